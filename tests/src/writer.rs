//! MPEG-TS whose every access unit can be recognised again.
//!
//! The H.264 is a sound SPS, PPS and slice headers (ITU-T H.264, 7.3) with text where the
//! macroblocks would be; the AAC is ADTS headers (ISO/IEC 14496-3, 1.A.2.2) around text. Nothing
//! decodes, but everything that a remuxer looks at is there.

use std::time::Duration;

/// What to write.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Groups of pictures; each is a segment.
    pub groups: usize,
    /// Pictures of a group.
    pub group: usize,
    /// Ticks of 90 kHz that a picture lasts.
    pub picture_ticks: u64,
    /// Two B-pictures between reference pictures.
    pub reorder: bool,
    /// Slices of a picture.
    pub slices: usize,
    /// Whether an access unit delimiter opens each access unit.
    pub delimiters: bool,
    /// Whether there is sound at all.
    pub sound: bool,
    /// Frames of sound in a PES packet.
    pub frames_per_pes: usize,
    /// Ticks between the first picture's decoding and the first sound.
    pub sound_delay: u64,
    /// The first decoding timestamp, of 33 bits; it wraps where it must.
    pub start: u64,
    /// Length of the text in each access unit, the more the longer.
    pub weight: usize,
    /// Whether parameter sets come with the first picture alone.
    pub sets_once: bool,
    /// By how many ticks the decoding timestamps of pictures are later than they should be.
    pub late: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            groups: 4,
            group: 12,
            picture_ticks: 3_600,
            reorder: true,
            slices: 1,
            delimiters: true,
            sound: true,
            frames_per_pes: 3,
            sound_delay: 0,
            start: 126_000,
            weight: 100,
            sets_once: false,
            late: 0,
        }
    }
}

/// One access unit, as it should come out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Presentation time, unrolled: it does not wrap.
    pub pts: u64,
    /// Decoding time, unrolled.
    pub dts: u64,
    /// Whether decoding can start here.
    pub key: bool,
    /// The NAL units that carry slices; or the one raw frame of sound.
    pub content: Vec<Vec<u8>>,
}

/// One segment.
#[derive(Debug, Clone, Default)]
pub struct Segment {
    /// MPEG-TS.
    pub bytes: Vec<u8>,
    /// Its pictures.
    pub video: Vec<Unit>,
    /// Its sound.
    pub audio: Vec<Unit>,
}

const PMT_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;
const SAMPLE_RATE: u64 = 48_000;
const WRAP: u64 = 1 << 33;

impl Plan {
    /// Writes it.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment> {
        let mut mux = Mux::default();
        let mut frame = 0;
        (0..self.groups)
            .map(|group| {
                let video: Vec<Unit> = (0..self.group).map(|n| self.picture(group, n)).collect();
                let end = self.start + ((group + 1) * self.group) as u64 * self.picture_ticks;
                let mut audio = Vec::new();
                while self.sound && self.frame_time(frame) < end {
                    audio.push(self.frame(frame));
                    frame += 1;
                }
                let bytes = self.mux(&mut mux, &video, &audio);
                Segment {
                    bytes,
                    video,
                    audio,
                }
            })
            .collect()
    }

    /// How long a segment lasts.
    #[must_use]
    pub fn segment_duration(&self) -> Duration {
        let ticks = self.group as u64 * self.picture_ticks;
        Duration::from_micros(ticks * 100 / 9)
    }

    /// A VOD playlist of the segments `0.ts`, `1.ts` and so on, the first of which begins at
    /// 2026-11-22T14:00:00Z.
    #[must_use]
    pub fn playlist(&self, segments: &[Segment]) -> String {
        let duration = self.segment_duration();
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:VOD\n",
            duration.as_secs() + 1
        );
        for n in 0..segments.len() {
            let at = duration * u32::try_from(n).unwrap_or(u32::MAX);
            let (minutes, seconds) = (at.as_secs() / 60, at.as_secs() % 60);
            text.push_str(&format!(
                "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:{minutes:02}:{seconds:02}.{:03}Z\n#EXTINF:{:.6},\n{n}.ts\n",
                at.subsec_millis(),
                duration.as_secs_f64()
            ));
        }
        text.push_str("#EXT-X-ENDLIST\n");
        text
    }

    fn picture(&self, group: usize, n: usize) -> Unit {
        let serial = (group * self.group + n) as u64;
        let dts = self.start + serial * self.picture_ticks;
        // Decode order I P b b P b b: a P is shown after the two b that follow it.
        let shift = match (self.reorder, n % 3) {
            (false, _) => 0,
            (true, 0) if n == 0 => 1,
            (true, 1) if n + 2 < self.group => 3,
            (true, 1) => 1,
            (true, 2) if n + 1 >= self.group => 1,
            (true, _) => 0,
        };
        let key = n == 0;
        let text = format!("picture {serial} ").repeat(1 + self.weight * (1 + n % 5) / 20);
        let content = (0..self.slices).map(|slice| {
            let mut bits = Bits::default();
            bits.byte(if key { 0x65 } else { 0x41 });
            bits.ue(slice as u64 * 20);
            bits.ue(if key { 7 } else { 5 });
            bits.ue(0);
            bits.put((n % 256) as u64, 8);
            if key {
                bits.ue(group as u64 % 2);
            }
            bits.put((2 * (n as u64 + shift)) % 256, 8);
            bits.align();
            bits.bytes.extend_from_slice(text.as_bytes());
            bits.bytes
        });
        Unit {
            pts: dts + shift * self.picture_ticks,
            dts,
            key,
            content: content.collect(),
        }
    }

    fn frame_time(&self, n: u64) -> u64 {
        self.start + self.sound_delay + n * 1024 * 90_000 / SAMPLE_RATE
    }

    fn frame(&self, n: u64) -> Unit {
        let time = self.frame_time(n);
        let text = format!("frame {n} ").repeat(1 + self.weight / 40);
        Unit {
            pts: time,
            dts: time,
            key: true,
            content: vec![text.into_bytes()],
        }
    }

    fn mux(&self, mux: &mut Mux, video: &[Unit], audio: &[Unit]) -> Vec<u8> {
        let mut out = Vec::new();
        mux.tables(&mut out, self.sound);
        let mut sound = audio.chunks(self.frames_per_pes.max(1)).peekable();
        for unit in video {
            while let Some(frames) = sound.next_if(|frames| frames[0].dts <= unit.dts) {
                mux.pes(&mut out, AUDIO_PID, &frames[0], &adts(frames));
            }
            let told = Unit {
                dts: unit.dts + self.late,
                ..unit.clone()
            };
            mux.pes(&mut out, VIDEO_PID, &told, &self.annex_b(unit));
        }
        for frames in sound {
            mux.pes(&mut out, AUDIO_PID, &frames[0], &adts(frames));
        }
        out
    }

    fn annex_b(&self, unit: &Unit) -> Vec<u8> {
        let mut out = Vec::new();
        let mut push = |nal: &[u8]| {
            out.extend_from_slice(&[0, 0, 0, 1]);
            out.extend_from_slice(nal);
        };
        if self.delimiters {
            push(&[0x09, 0xf0]);
        }
        if unit.key && (!self.sets_once || unit.dts == self.start) {
            push(&sequence_parameter_set());
            push(&picture_parameter_set());
        }
        unit.content.iter().for_each(|nal| push(nal));
        out
    }
}

/// H.264 Main, 320x240.
#[must_use]
pub fn sequence_parameter_set() -> Vec<u8> {
    let mut bits = Bits::default();
    for byte in [0x67, 77, 0x40, 30] {
        bits.byte(byte);
    }
    bits.ue(0); // seq_parameter_set_id
    bits.ue(4); // log2_max_frame_num_minus4
    bits.ue(0); // pic_order_cnt_type
    bits.ue(4); // log2_max_pic_order_cnt_lsb_minus4
    bits.ue(4); // max_num_ref_frames
    bits.put(0, 1);
    bits.ue(19); // pic_width_in_mbs_minus1
    bits.ue(14); // pic_height_in_map_units_minus1
    bits.put(0b1100, 4); // frame_mbs_only, direct_8x8, no cropping, no VUI
    bits.align();
    bits.bytes
}

/// What goes with [`sequence_parameter_set`].
#[must_use]
pub fn picture_parameter_set() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.byte(0x68);
    bits.ue(0); // pic_parameter_set_id
    bits.ue(0); // seq_parameter_set_id
    bits.put(0, 2); // CAVLC, no bottom_field_pic_order
    bits.ue(0); // one slice group
    bits.ue(0);
    bits.ue(0);
    bits.put(0, 3); // no weighted prediction
    bits.ue(0); // three times se(0)
    bits.ue(0);
    bits.ue(0);
    bits.put(0b100, 3); // deblocking control, no constrained intra, no redundant pictures
    bits.align();
    bits.bytes
}

fn adts(frames: &[Unit]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames.iter().flat_map(|unit| &unit.content) {
        let length = frame.len() as u64 + 7;
        let mut bits = Bits::default();
        bits.put(0xfff1, 16); // MPEG-4, no CRC
        bits.put(1, 2); // AAC LC
        bits.put(3, 4); // 48 kHz
        bits.put(0, 1);
        bits.put(2, 3); // stereo
        bits.put(0, 4);
        bits.put(length, 13);
        bits.put(0x7ff, 11);
        bits.put(0, 2); // one raw data block
        out.extend_from_slice(&bits.bytes);
        out.extend_from_slice(frame);
    }
    out
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u64, count: u32) {
        for bit in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    fn byte(&mut self, value: u8) {
        self.put(u64::from(value), 8);
    }

    fn ue(&mut self, value: u64) {
        let length = 64 - (value + 1).leading_zeros();
        self.put(value + 1, 2 * length - 1);
    }

    /// `rbsp_trailing_bits`.
    fn align(&mut self) {
        self.put(1, 1);
        while self.used != 0 {
            self.put(0, 1);
        }
    }
}

#[derive(Default)]
struct Mux {
    counters: std::collections::BTreeMap<u16, u8>,
}

impl Mux {
    fn tables(&mut self, out: &mut Vec<u8>, sound: bool) {
        let pid = |pid: u16| [0xe0 | (pid >> 8) as u8, pid as u8];
        let mut pat = vec![0, 1, 0xc1, 0, 0, 0, 1];
        pat.extend(pid(PMT_PID));
        self.section(out, 0, 0, &pat);
        let mut pmt = vec![0, 1, 0xc1, 0, 0];
        pmt.extend(pid(VIDEO_PID));
        pmt.extend([0xf0, 0]);
        let mut stream = |kind: u8, number: u16| {
            pmt.push(kind);
            pmt.extend(pid(number));
            pmt.extend([0xf0, 0]);
        };
        stream(0x1b, VIDEO_PID);
        if sound {
            stream(0x0f, AUDIO_PID);
        }
        self.section(out, PMT_PID, 2, &pmt);
    }

    fn section(&mut self, out: &mut Vec<u8>, pid: u16, table: u8, body: &[u8]) {
        let length = body.len() + 4;
        let mut section = vec![table, 0xb0 | (length >> 8) as u8, length as u8];
        section.extend_from_slice(body);
        section.extend(crc(&section).to_be_bytes());
        section.insert(0, 0); // pointer_field
        section.resize(184, 0xff);
        out.extend(self.header(pid, true, 1));
        out.extend(section);
    }

    fn header(&mut self, pid: u16, starts: bool, control: u8) -> [u8; 4] {
        let counter = self.counters.entry(pid).or_default();
        let header = [
            0x47,
            (pid >> 8) as u8 | if starts { 0x40 } else { 0 },
            pid as u8,
            control << 4 | *counter,
        ];
        *counter = (*counter + 1) % 16;
        header
    }

    fn pes(&mut self, out: &mut Vec<u8>, pid: u16, unit: &Unit, data: &[u8]) {
        let video = pid == VIDEO_PID;
        let with_dts = unit.dts != unit.pts;
        let stamps = if with_dts { 10 } else { 5 };
        let length = if video { 0 } else { data.len() + 3 + stamps };
        let mut pes = vec![0, 0, 1, if video { 0xe0 } else { 0xc0 }];
        pes.extend([(length >> 8) as u8, length as u8, 0x80]);
        pes.extend([if with_dts { 0xc0 } else { 0x80 }, stamps as u8]);
        pes.extend(timestamp(if with_dts { 3 } else { 2 }, unit.pts));
        if with_dts {
            pes.extend(timestamp(1, unit.dts));
        }
        pes.extend_from_slice(data);
        let mut rest = pes.as_slice();
        let mut starts = true;
        while !rest.is_empty() {
            let mut adaptation = Vec::new();
            if starts && video {
                adaptation.push(0x10 | if unit.key { 0x40 } else { 0 });
                let base = unit.dts.wrapping_sub(9_000) % WRAP;
                adaptation.extend(((base << 15) | 0x7e00).to_be_bytes().iter().skip(2));
            }
            // What room is left is stuffed: a length of 0 is one byte alone.
            let room = 184
                - if adaptation.is_empty() {
                    0
                } else {
                    adaptation.len() + 1
                };
            let field = if rest.len() < room || !adaptation.is_empty() {
                let stuffing = room.saturating_sub(rest.len());
                if adaptation.is_empty() && stuffing > 1 {
                    adaptation.push(0);
                    adaptation.resize(stuffing - 1, 0xff);
                } else if !adaptation.is_empty() {
                    adaptation.resize(adaptation.len() + stuffing, 0xff);
                }
                let mut field = vec![adaptation.len() as u8];
                field.extend(adaptation);
                field
            } else {
                Vec::new()
            };
            let take = (184 - field.len()).min(rest.len());
            let control = if field.is_empty() { 1 } else { 3 };
            out.extend(self.header(pid, starts, control));
            out.extend(field);
            out.extend_from_slice(&rest[..take]);
            rest = &rest[take..];
            starts = false;
        }
    }
}

/// A timestamp of a PES header (ISO/IEC 13818-1, 2.4.3.7), after its four bits of `prefix`.
#[must_use]
pub fn timestamp(prefix: u8, ticks: u64) -> [u8; 5] {
    let ticks = ticks % WRAP;
    [
        prefix << 4 | (ticks >> 30 << 1) as u8 | 1,
        (ticks >> 22) as u8,
        (ticks >> 15 << 1) as u8 | 1,
        (ticks >> 7) as u8,
        (ticks << 1) as u8 | 1,
    ]
}

/// CRC-32/MPEG-2 (ISO/IEC 13818-1, annex A).
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1
                ^ if crc & 0x8000_0000 != 0 {
                    0x04c1_1db7
                } else {
                    0
                }
        })
    })
}
