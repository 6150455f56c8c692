//! What the assembler makes of payload that is whole, split, broken, or no audio at all.
#![allow(clippy::arithmetic_side_effects)]

use clipmill_media::{CodecConfig, DamageKind, DamageLog, Language, Limits, Samples, TrackIndex};
use proptest::prelude::*;

use super::{AudioAssembler, AudioKind};
use crate::assemble::{Assemble, PesStart};

const OPUS: AudioKind = AudioKind::Opus {
    channel_config_code: Some(2),
};

/// What happens to an assembler.
#[derive(Debug, Clone)]
enum Event {
    Pes(Option<i64>),
    Bytes(Vec<u8>),
    Lost,
    Segment,
    /// Nothing comes any more.
    Last,
}

/// A segment, its index, and its damage.
struct Seen {
    segment: Vec<u8>,
    index: TrackIndex,
    damage: DamageLog,
}

impl Seen {
    fn payload(&self, sample: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.index
            .gather(&self.segment, sample..sample + 1, &mut out)
            .unwrap();
        out
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        (0..self.samples().len())
            .map(|at| self.payload(at))
            .collect()
    }

    fn samples(&self) -> Samples<'_> {
        self.index.samples()
    }

    fn times(&self) -> Vec<i64> {
        self.samples().iter().map(|s| s.pts()).collect()
    }

    fn damages(&self) -> Vec<DamageKind> {
        let kept = self.damage.kept();
        kept.iter().map(|damage| damage.kind.clone()).collect()
    }
}

/// Runs `events`, each piece of payload cut into parts of at most `split` bytes.
fn run(kind: AudioKind, split: usize, events: &[Event]) -> Vec<Seen> {
    let limits = Limits::default();
    let mut assembler = AudioAssembler::new(0x101, kind, Language::from_bytes(b"eng"), &limits);
    let mut seen = Vec::new();
    for events in events.split(|event| matches!(event, Event::Segment)) {
        // Four bytes before each part stand for a packet's header.
        let mut segment = Vec::new();
        let mut parts = Vec::new();
        for event in events {
            if let Event::Bytes(bytes) = event {
                for part in bytes.chunks(split) {
                    segment.extend([0x47; 4]);
                    parts.push(segment.len()..segment.len() + part.len());
                    segment.extend_from_slice(part);
                }
            }
        }
        let mut damage = DamageLog::with_capacity(100);
        let mut parts = parts.into_iter();
        assembler.begin_segment(segment.len() as u64, 188).unwrap();
        for event in events {
            match event {
                Event::Pes(pts) => {
                    let start = PesStart {
                        pts: *pts,
                        ..PesStart::default()
                    };
                    assembler.pes(start, &mut damage).unwrap();
                }
                Event::Bytes(bytes) => {
                    for part in parts.by_ref().take(bytes.chunks(split).len()) {
                        let offset = part.start as u64;
                        assembler
                            .payload(offset, &segment[part], &mut damage)
                            .unwrap();
                    }
                }
                Event::Lost => assembler.lost(&mut damage).unwrap(),
                Event::Segment => {}
                Event::Last => assembler.end_of_stream(&mut damage).unwrap(),
            }
        }
        let index = assembler.end_segment(&mut damage).unwrap();
        seen.push(Seen {
            segment,
            index,
            damage,
        });
    }
    seen
}

fn one(kind: AudioKind, events: &[Event]) -> Seen {
    run(kind, 184, events).pop().unwrap()
}

/// An ADTS frame with a body of `len` bytes, 48 kHz.
fn adts(channels: u8, len: usize, fill: u8) -> Vec<u8> {
    let frame = len + 7;
    let mut bytes = vec![
        0xff,
        0xf1,
        0x4c,
        channels << 6 | (frame >> 11) as u8,
        (frame >> 3) as u8,
        (frame << 5) as u8 | 0x1f,
        0xfc,
    ];
    bytes.resize(frame, fill);
    bytes
}

/// An E-AC-3 syncframe of 64 bytes, 48 kHz, stereo; `code` is `numblkscod`.
fn eac3(kind: u8, id: u8, code: u8) -> Vec<u8> {
    let mut bytes = vec![
        0x0b,
        0x77,
        kind << 6 | id << 3,
        31,
        code << 4 | 2 << 1,
        16 << 3,
    ];
    bytes.resize(64, 0);
    bytes
}

fn opus(len: usize) -> Vec<u8> {
    let mut bytes = vec![0x7f, 0xe0, len as u8, 0xf8];
    bytes.resize(3 + len, 0x55);
    bytes
}

fn bytes(parts: &[&[u8]]) -> Event {
    Event::Bytes(parts.concat())
}

const TICKS: i64 = 1920;

#[test]
fn frames_straddle_packets_and_pes() {
    let frames: Vec<Vec<u8>> = (0..6).map(|n| adts(2, 300, n)).collect();
    let stream = frames.concat();
    let seen = one(
        AudioKind::Adts,
        &[
            Event::Pes(Some(1000)),
            bytes(&[&stream[..700]]),
            // Begins inside the third frame: its time is that of the fourth.
            Event::Pes(Some(1000 + 3 * TICKS + 1)),
            bytes(&[&stream[700..]]),
        ],
    );
    assert_eq!(
        seen.payloads(),
        (0..6).map(|n| vec![n; 300]).collect::<Vec<_>>()
    );
    let shift = |n: i64| 1000 + n * TICKS + i64::from(n > 2);
    assert_eq!(seen.times(), (0..6).map(shift).collect::<Vec<_>>());
    assert!(seen.damage.is_empty());
    assert_eq!(seen.index.language().as_str(), "eng");
    assert!(seen.samples().iter().all(|sample| sample.duration == 1024));
}

#[test]
fn a_frame_may_lie_in_two_segments() {
    let (first, second) = (adts(2, 300, 1), adts(2, 300, 2));
    let seen = run(
        AudioKind::Adts,
        184,
        &[
            Event::Pes(Some(0)),
            bytes(&[&first, &second[..3]]),
            Event::Segment,
            bytes(&[&second[3..200]]),
            Event::Segment,
            bytes(&[&second[200..]]),
            Event::Pes(Some(90_000)),
            bytes(&[&first]),
        ],
    );
    assert_eq!(seen[0].payloads(), [[1; 300]]);
    assert!(seen[1].samples().is_empty());
    assert_eq!(seen[1].index.configs().len(), 1);
    assert_eq!(seen[2].payloads(), [[2; 300], [1; 300]]);
    assert_eq!(seen[2].times(), [TICKS, 90_000]);
    assert!(seen.iter().all(|seen| seen.damage.is_empty()));
}

#[test]
fn a_segment_that_does_not_continue_the_frame_drops_it() {
    let frames = [
        adts(2, 300, 1),
        adts(2, 300, 2),
        adts(2, 300, 3),
        adts(2, 300, 4),
    ];
    let seen = run(
        AudioKind::Adts,
        184,
        &[
            Event::Pes(Some(0)),
            bytes(&[&frames[0], &frames[1][..200]]),
            Event::Segment,
            Event::Pes(Some(90_000)),
            bytes(&[&frames[2], &frames[3]]),
        ],
    );
    assert_eq!(seen[1].payloads(), [[3; 300], [4; 300]]);
    assert_eq!(seen[1].times(), [90_000, 90_000 + TICKS]);
    assert_eq!(seen[1].damages(), [DamageKind::TruncatedAccessUnit]);
}

#[test]
fn a_loss_costs_the_frame_that_it_hits() {
    let frames: Vec<Vec<u8>> = (0..6).map(|n| adts(2, 300, n)).collect();
    let stream = frames.concat();
    let seen = one(
        AudioKind::Adts,
        &[
            Event::Pes(Some(0)),
            bytes(&[&stream[..500]]),
            Event::Lost,
            bytes(&[&stream[560..1228]]),
            Event::Pes(Some(4 * TICKS)),
            bytes(&[&stream[1228..]]),
        ],
    );
    // Where the loss leaves no timestamp, it is counted back from the next one.
    let expected = [0, 2, 3, 4, 5];
    assert_eq!(seen.times(), expected.map(|n| n * TICKS));
    assert_eq!(seen.payloads(), expected.map(|n| vec![n as u8; 300]));
    assert_eq!(
        seen.damages(),
        [
            DamageKind::CutOffFrame {
                found: 193,
                wanted: 307
            },
            DamageKind::LostBytes { dropped: 54 }
        ]
    );
}

#[test]
fn without_a_further_timestamp_frames_follow_what_came_before() {
    let frame = adts(2, 300, 1);
    let seen = one(
        AudioKind::Adts,
        &[
            Event::Pes(Some(0)),
            bytes(&[&frame]),
            Event::Lost,
            bytes(&[&frame, &frame]),
        ],
    );
    assert_eq!(seen.times(), [0, TICKS, 2 * TICKS]);
}

#[test]
fn frames_before_the_first_timestamp_are_counted_back() {
    let frame = adts(2, 300, 1);
    let events = [
        Event::Pes(None),
        bytes(&[&frame, &frame]),
        Event::Pes(Some(9000)),
        bytes(&[&frame]),
    ];
    assert_eq!(
        one(AudioKind::Adts, &events).times(),
        [9000 - 2 * TICKS, 9000 - TICKS, 9000]
    );
    let without = one(AudioKind::Adts, &events[..2]);
    assert!(without.samples().is_empty());
    assert_eq!(without.damages(), [DamageKind::NoTimestamp]);
}

#[test]
fn a_damaged_header_costs_its_own_frame() {
    let mut frames: Vec<Vec<u8>> = (0..5).map(|n| adts(2, 300, n)).collect();
    frames[2][1] = 0;
    let stream = frames.concat();
    let seen = one(
        AudioKind::Adts,
        &[
            Event::Pes(Some(0)),
            bytes(&[&stream]),
            Event::Pes(Some(5 * TICKS)),
            bytes(&[&adts(2, 300, 5)]),
        ],
    );
    assert_eq!(seen.times(), [0, 1, 3, 4, 5].map(|n| n * TICKS));
    assert_eq!(seen.damages(), [DamageKind::LostBytes { dropped: 307 }]);
}

#[test]
fn a_change_of_configuration_needs_a_second_frame() {
    let (stereo, mono) = (adts(2, 300, 1), adts(1, 300, 2));
    let seen = one(
        AudioKind::Adts,
        &[
            Event::Pes(Some(0)),
            bytes(&[&stereo, &stereo, &mono, &mono]),
        ],
    );
    let configs: Vec<u16> = seen.samples().iter().map(|sample| sample.config).collect();
    assert_eq!(configs, [0, 0, 1, 1]);
    let channels = |at: usize| seen.index.configs()[at].channels();
    assert_eq!((channels(0), channels(1)), (Some(2), Some(1)));

    // One damaged frame among others is no change.
    let seen = one(
        AudioKind::Adts,
        &[
            Event::Pes(Some(0)),
            bytes(&[&stereo, &stereo, &mono, &stereo, &stereo]),
        ],
    );
    assert_eq!(seen.samples().len(), 4);
    assert_eq!(seen.index.configs().len(), 1);
    assert_eq!(seen.damages(), [DamageKind::LostBytes { dropped: 307 }]);
}

#[test]
fn short_eac3_syncframes_join_to_six_blocks() {
    let frame = eac3(0, 0, 0);
    let pes = |n: i64| [Event::Pes(Some(480 * n)), bytes(&[&frame])];
    let mut events: Vec<Event> = (0..8).flat_map(pes).collect();
    events.push(Event::Segment);
    events.extend((8..13).flat_map(pes));
    let seen = run(AudioKind::Ac3, 20, &events);
    assert_eq!(seen[0].times(), [0]);
    assert_eq!(seen[1].times(), [6 * 480]);
    for seen in &seen {
        assert_eq!(seen.payload(0), frame.repeat(6));
        assert_eq!(seen.samples().get(0).unwrap().duration, 1536);
        assert!(seen.damage.is_empty());
    }
}

#[test]
fn dependent_substreams_stay_with_their_program() {
    let unit = [eac3(0, 0, 3), eac3(1, 0, 3)].concat();
    let events = [
        Event::Pes(Some(0)),
        bytes(&[&unit, &unit, &unit[..64]]),
        Event::Segment,
        bytes(&[&unit[64..], &unit]),
    ];
    let seen = run(AudioKind::Ac3, 184, &events);
    assert_eq!(seen[0].times(), [0, 2880]);
    assert_eq!(seen[1].times(), [5760, 8640]);
    for seen in seen {
        assert!(seen.payloads().iter().all(|payload| *payload == unit));
        assert_eq!(seen.index.configs().len(), 1);
        let CodecConfig::Eac3(config) = seen.index.configs()[0].as_ref() else {
            panic!("E-AC-3");
        };
        assert_eq!(config.substreams[0].num_dep_sub, 1);
    }
}

#[test]
fn opus_goes_without_its_control_header() {
    let mut first = opus(40);
    first[1] |= 0x10;
    first.splice(3..3, [0x01, 0x38]);
    let events = [Event::Pes(Some(0)), bytes(&[&first, &opus(50), &opus(60)])];
    let seen = one(OPUS, &events);
    let sizes: Vec<u32> = seen.samples().iter().map(|sample| sample.size).collect();
    assert_eq!(sizes, [40, 50, 60]);
    assert_eq!(seen.times(), [0, 1800, 3600]);
    let CodecConfig::Opus(config) = seen.index.configs()[0].as_ref() else {
        panic!("Opus");
    };
    assert_eq!((config.channels, config.pre_skip), (2, 312));
}

/// An ID3v2 tag with a body of `len` bytes, which may look like frames.
fn id3(len: usize, fill: u8) -> Vec<u8> {
    let mut bytes = b"ID3\x04\0\0\0\0".to_vec();
    bytes.extend([(len >> 7) as u8, (len & 0x7f) as u8]);
    bytes.resize(10 + len, fill);
    bytes
}

/// An MPEG layer II frame, 24 kHz.
fn layer_2() -> Vec<u8> {
    let mut frame = vec![0xff, 0xf5, 0x14, 0xc0];
    frame.resize(48, 0);
    frame
}

#[test]
fn tags_between_frames_cost_none_of_them() {
    let old = [b"TAG".to_vec(), vec![0; 125]].concat();
    let inner = adts(2, 20, 9);
    let mut with_frame = id3(inner.len(), 0);
    with_frame.truncate(10);
    with_frame.extend(inner);
    for (kind, frame) in [
        (AudioKind::Adts, adts(2, 300, 1)),
        (AudioKind::MpegAudio, layer_2()),
        (AudioKind::Ac3, eac3(0, 0, 3)),
        (OPUS, opus(40)),
    ] {
        let single = one(kind, &[Event::Pes(Some(0)), bytes(&[&frame, &frame])]);
        let duration = single.samples().get(0).unwrap().duration;
        for tag in [id3(0, 0), id3(300, 0xff), with_frame.clone(), old.clone()] {
            let seen = one(
                kind,
                &[
                    Event::Pes(Some(0)),
                    // Two in a row, and the first frame has no other witness.
                    bytes(&[&tag, &frame, &tag, &tag, &frame, &frame, &tag, &frame, &tag]),
                    Event::Last,
                ],
            );
            assert_eq!(seen.samples().len(), 4, "{kind:?}");
            assert!(seen.samples().iter().all(|s| s.duration == duration));
            assert!(seen.damage.is_empty(), "{kind:?}: {:?}", seen.damages());
            let payload = single.payload(0);
            assert!(seen.payloads().iter().all(|one| *one == payload));
        }
    }
}

#[test]
fn what_only_looks_like_a_tag_hides_no_frame() {
    let frame = adts(2, 300, 1);
    // Its length leads into the middle of a frame, and beyond the end.
    for tag in [id3(700, 1), id3(3000, 1)] {
        let seen = one(
            AudioKind::Adts,
            &[
                Event::Pes(Some(0)),
                bytes(&[&frame, &tag[..10], &frame, &frame, &frame]),
                Event::Last,
            ],
        );
        assert_eq!(seen.samples().len(), 4);
        assert_eq!(seen.damages(), [DamageKind::LostBytes { dropped: 10 }]);
    }
}

#[test]
fn the_end_of_the_stream_confirms_a_frame_and_tells_what_is_cut_off() {
    let (stereo, mono) = (adts(2, 300, 1), adts(1, 300, 2));
    let whole = [Event::Pes(Some(0)), bytes(&[&stereo, &stereo, &mono])];
    let ended = [&whole[..], &[Event::Last]].concat();
    assert_eq!(one(AudioKind::Adts, &whole).samples().len(), 2, "it waits");
    let seen = one(AudioKind::Adts, &ended);
    assert_eq!(seen.samples().len(), 3);
    assert!(seen.damage.is_empty());

    for (kind, frame) in [
        (AudioKind::Adts, adts(2, 300, 1)),
        (AudioKind::MpegAudio, layer_2()),
        (AudioKind::Ac3, eac3(0, 0, 3)),
        (OPUS, opus(40)),
    ] {
        let wanted = frame.len() as u64;
        for gone in [1, 5, frame.len() - 12] {
            let cut = [
                Event::Pes(Some(0)),
                bytes(&[&frame, &frame, &frame[..frame.len() - gone]]),
            ];
            let seen = one(kind, &cut);
            assert!(seen.damage.is_empty(), "it may go on: {:?}", seen.damages());
            let seen = one(kind, &[&cut[..], &[Event::Last]].concat());
            assert_eq!(seen.samples().len(), 2);
            let found = wanted - gone as u64;
            assert_eq!(seen.damages(), [DamageKind::CutOffFrame { found, wanted }]);
        }
    }
    // Three of the six blocks of a unit are whole frames, and all that there is.
    let block = eac3(0, 0, 0);
    let some = [Event::Pes(Some(0)), bytes(&[&block.repeat(9)]), Event::Last];
    let seen = one(AudioKind::Ac3, &some);
    let durations: Vec<u32> = seen.samples().iter().map(|s| s.duration).collect();
    assert_eq!(durations, [1536, 768]);
    assert!(seen.damage.is_empty());
}

fn kinds() -> impl Strategy<Value = AudioKind> {
    prop_oneof![
        Just(AudioKind::Adts),
        Just(AudioKind::MpegAudio),
        Just(AudioKind::Ac3),
        Just(OPUS),
    ]
}

/// Payload that often goes through, and sometimes not.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let mpeg = |padding: u8| {
        let mut frame = vec![0xff, 0xfd, 0x14 | padding << 1, 0xc0];
        frame.resize(96 + usize::from(padding), 0);
        frame
    };
    let frame = prop_oneof![
        (1..3u8, 8..300usize, any::<u8>())
            .prop_map(|(channels, len, fill)| adts(channels, len, fill)),
        (0..2u8).prop_map(mpeg),
        (0..2u8, 0..2u8, 0..4u8).prop_map(|(kind, id, code)| eac3(kind, id, code)),
        (1..255usize).prop_map(opus),
        (0..60usize, any::<u8>()).prop_map(|(len, fill)| id3(len, fill)),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let cut = (
        prop::collection::vec(frame, 1..6),
        any::<bool>(),
        any::<prop::sample::Index>(),
    );
    cut.prop_map(|(frames, whole, at)| {
        let mut bytes = frames.concat();
        if !whole && !bytes.is_empty() {
            bytes.truncate(at.index(bytes.len()));
        }
        bytes
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => payload().prop_map(Event::Bytes),
        2 => prop::option::of(-10_000..1_000_000i64).prop_map(Event::Pes),
        1 => Just(Event::Lost),
        1 => Just(Event::Segment),
        1 => Just(Event::Last),
    ];
    prop::collection::vec(event, 0..24)
}

proptest! {
    #[test]
    fn the_split_into_pieces_changes_nothing(kind in kinds(), events in events(), split in 1..200usize) {
        let whole = run(kind, usize::MAX, &events);
        let split = run(kind, split, &events);
        prop_assert_eq!(whole.len(), split.len());
        for (a, b) in whole.iter().zip(&split) {
            prop_assert_eq!(a.payloads(), b.payloads());
            prop_assert_eq!(a.times(), b.times());
            prop_assert_eq!(a.damages(), b.damages());
            prop_assert_eq!(a.index.configs(), b.index.configs());
            for (a, b) in a.samples().iter().zip(b.samples()) {
                prop_assert_eq!((a.duration, a.config), (b.duration, b.config));
            }
        }
    }

    #[test]
    fn frames_of_a_whole_stream_all_come_out(
        lens in prop::collection::vec(1..2000usize, 2..20),
        split in 1..400usize,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let frames: Vec<Vec<u8>> = lens.iter().zip(0u8..).map(|(&len, n)| adts(2, len, n)).collect();
        let stream = frames.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut events = vec![Event::Pes(Some(0))];
        for pair in cuts.windows(2) {
            events.push(Event::Bytes(stream[pair[0]..pair[1]].to_vec()));
            events.push(Event::Segment);
        }
        let seen = run(AudioKind::Adts, split, &events);
        let payloads: Vec<Vec<u8>> = seen.iter().flat_map(Seen::payloads).collect();
        let times: Vec<i64> = seen.iter().flat_map(Seen::times).collect();
        let bodies: Vec<Vec<u8>> = frames.iter().map(|frame| frame[7..].to_vec()).collect();
        prop_assert_eq!(payloads, bodies);
        prop_assert_eq!(times, (0..frames.len() as i64).map(|n| n * TICKS).collect::<Vec<_>>());
        prop_assert!(seen.iter().all(|seen| seen.damage.is_empty()));
    }
}
