//! Splices (ANSI/SCTE 35) for segments: sections, and segments that carry them.

use std::process::Command;

use serde_json::Value;

use crate::mux;
use crate::writer::crc;

/// The PID of splices.
const PID: u16 = 0x1ff;

/// Presentation timestamps have 33 bits.
const WRAP: u64 = 1 << 33;

/// What is taken from timestamps and given back as `pts_adjustment`.
const ADJUSTED: u64 = 5_000_000;

/// A `splice_info_section`: a command, its bytes, and descriptors.
fn section(command: u8, content: &[u8], descriptors: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xfc, 0x30, 0, 0];
    bytes.extend(&ADJUSTED.to_be_bytes()[3..]);
    bytes.extend([0, 0xff, 0xf0, content.len() as u8, command]);
    bytes.extend(content);
    bytes.extend((descriptors.len() as u16).to_be_bytes());
    bytes.extend(descriptors);
    bytes[2] = (bytes.len() + 4 - 3) as u8;
    bytes.extend(crc(&bytes).to_be_bytes());
    bytes
}

/// `splice_time` (9.8.1): a timestamp, as many ticks earlier as `pts_adjustment` says.
fn time(pts: u64) -> [u8; 5] {
    let pts = (pts % WRAP + WRAP - ADJUSTED) % WRAP;
    let bytes = pts.to_be_bytes();
    [0xfe | bytes[3] & 1, bytes[4], bytes[5], bytes[6], bytes[7]]
}

/// `splice_insert` (9.7.3): the programme is left at `pts`, or come back to.
#[must_use]
pub fn insert(event_id: u32, out: bool, pts: u64) -> Vec<u8> {
    let mut content = event_id.to_be_bytes().to_vec();
    content.extend([0x7f, 0x4f | u8::from(out) << 7]);
    content.extend(time(pts));
    content.extend([0, 1, 0, 0]);
    section(0x05, &content, &[])
}

/// `time_signal` (9.7.4) with one `segmentation_descriptor` (10.3.3) of this type, which lasts so many ticks.
#[must_use]
pub fn signal(event_id: u32, type_id: u8, pts: u64, ticks: u64) -> Vec<u8> {
    let mut descriptor = b"CUEI".to_vec();
    descriptor.extend(event_id.to_be_bytes());
    descriptor.extend([0x7f, 0xff]);
    descriptor.extend(&ticks.to_be_bytes()[3..]);
    descriptor.extend([0, 0, type_id, 0, 0]);
    let mut descriptors = vec![0x02, descriptor.len() as u8];
    descriptors.extend(descriptor);
    section(0x06, &time(pts), &descriptors)
}

/// A segment that carries sections, besides what it carries already.
#[must_use]
pub fn carrying(segment: &[u8], sections: &[Vec<u8>]) -> Vec<u8> {
    let mut streams = mux::streams(segment);
    streams.push(mux::Stream {
        pid: PID,
        stream_type: 0x86,
        descriptors: Vec::new(),
        pes: Vec::new(),
    });
    let mut out = mux::segment(&streams);
    for (counter, section) in sections.iter().enumerate() {
        assert!(section.len() < 183, "a section in one packet");
        let mut packet = vec![0x47, 0x40 | (PID >> 8) as u8, PID as u8];
        packet.extend([0x10 | counter as u8 & 0x0f, 0]);
        packet.extend(section);
        packet.resize(188, 0xff);
        out.extend(packet);
    }
    out
}

/// What threefive, a decoder of splices in Python, makes of a section; `None` where it is not installed.
#[must_use]
pub fn judged(section: &[u8]) -> Option<Value> {
    let digits: String = section.iter().map(|byte| format!("{byte:02X}")).collect();
    let script = format!(
        "import json\nfrom threefive import Cue\ncue = Cue('0x{digits}')\ncue.decode()\n\
         print(json.dumps(cue.get()))"
    );
    let run = Command::new("python3")
        .args(["-c", &script])
        .output()
        .ok()?;
    serde_json::from_slice(&run.stdout).ok()
}
