//! NAL units between the slices of one picture and those of the next.

use super::*;

const AUD: [u8; 2] = [9, 0xf0];

fn sei(mark: u8) -> Vec<u8> {
    vec![6, 4, 2, mark, 0xee, 0x80]
}

/// SEI behind the slices of a picture belongs to the one that follows, wherever the PES packet ends.
#[test]
fn sei_behind_the_slices_belongs_to_the_next_picture() {
    let whole = Stream::default()
        .pes(0, 0)
        .nal(&AUD)
        .sets()
        .slice(IDR)
        .nal(&sei(1))
        .pes(3600, 3600)
        .nal(&AUD)
        .slice(p(1, 4))
        .nal(&sei(2))
        .pes(7200, 7200)
        .nal(&AUD)
        .slice(p(2, 6));
    let inside = Stream::default()
        .pes(0, 0)
        .nal(&AUD)
        .sets()
        .slice(IDR)
        .pes(3600, 3600)
        .nal(&sei(1))
        .nal(&AUD)
        .slice(p(1, 4))
        .pes(7200, 7200)
        .nal(&sei(2))
        .nal(&AUD)
        .slice(p(2, 6));
    let without_delimiters = Stream::default()
        .pes(0, 0)
        .sets()
        .slice(IDR)
        .nal(&sei(1))
        .pes(3600, 3600)
        .slice(p(1, 4))
        .nal(&sei(2))
        .pes(7200, 7200)
        .slice(p(2, 6));
    let delimiter_too = Stream::default()
        .pes(0, 0)
        .sets()
        .slice(IDR)
        .nal(&sei(1))
        .nal(&AUD)
        .pes(3600, 3600)
        .slice(p(1, 4))
        .nal(&AUD)
        .nal(&sei(2))
        .pes(7200, 7200)
        .slice(p(2, 6));
    for (name, stream) in [
        ("whole", whole),
        ("inside", inside),
        ("without delimiters", without_delimiters),
        ("delimiter, too", delimiter_too),
    ] {
        let (track, damage) = stream.h264();
        assert!(damage.is_empty(), "{name}: {damage:?}");
        assert_eq!(
            times(&track),
            [(0, 0), (3600, 3600), (7200, 7200)],
            "{name}"
        );
        assert_eq!(stream.nals(&track, 0), [IDR.nal()], "{name}");
        assert_eq!(stream.nals(&track, 1), [sei(1), p(1, 4).nal()], "{name}");
        assert_eq!(stream.nals(&track, 2), [sei(2), p(2, 6).nal()], "{name}");
    }
}

/// Where PES packets hold any bytes, one that begins with the rest of a picture has the timestamps
/// of the picture that begins in it.
#[test]
fn timestamps_that_were_lent_go_back() {
    let stream = Stream::default()
        .pes(0, 0)
        .sets()
        .slice(IDR)
        .nal(&sei(1))
        .pes(7200, 7200)
        .slice(p(1, 4))
        .slice(p(2, 6))
        .pes(10_800, 10_800)
        .slice(p(3, 8));
    let (track, _) = stream.h264();
    assert_eq!(
        times(&track),
        [(0, 0), (3600, 3600), (7200, 7200), (10_800, 10_800)]
    );
}

/// At the end of a segment, it waits for the next one; what is too long to wait stays.
#[test]
fn sei_at_the_end_of_a_segment_is_carried_into_the_next() {
    for (len, carried) in [(30, true), (6_000, false)] {
        let mut long = sei(7);
        long.resize(len, 0x55);
        let tail = [sei(1), hex(PPS), long, sei(2)];
        let mut first = Stream::default().pes(0, 0).nal(&AUD).sets().slice(IDR);
        for nal in &tail {
            first = first.nal(nal);
        }
        let second = Stream::default()
            .pes(3600, 3600)
            .nal(&AUD)
            .slice(p(1, 4))
            .pes(7200, 7200)
            .slice(p(2, 6));
        let mut assembler = H264Assembler::new(0x100, &Limits::default());
        let (before, damage) = first.feed(&mut assembler, &[184]);
        assert!(damage.is_empty(), "{damage:?}");
        let (after, damage) = second.feed(&mut assembler, &[184]);
        assert!(damage.is_empty(), "{damage:?}");
        let kept = [tail[0].clone(), tail[2].clone(), tail[3].clone()];
        let (mut last, mut next) = (vec![IDR.nal()], vec![]);
        if carried { &mut next } else { &mut last }.extend(kept);
        next.push(p(1, 4).nal());
        assert_eq!(first.nals(&before, 0), last, "{len}");
        assert_eq!(second.nals(&after, 0), next, "{len}");
        assert_eq!(times(&after), [(3600, 3600), (7200, 7200)]);

        // Where another segment comes than the next one, it is lost with its picture.
        let mut assembler = H264Assembler::new(0x100, &Limits::default());
        let lost = Stream::default()
            .lost()
            .pes(9000, 9000)
            .nal(&AUD)
            .slice(p(1, 4));
        first.feed(&mut assembler, &[184]);
        let (after, damage) = lost.feed(&mut assembler, &[184]);
        assert_eq!(lost.nals(&after, 0), [p(1, 4).nal()]);
        let dropped: usize = tail.iter().map(Vec::len).sum::<usize>() - hex(PPS).len();
        let said: Vec<_> = damage.kept().iter().map(|damage| &damage.kind).collect();
        let expected = DamageKind::LostBytes {
            dropped: dropped as u64,
        };
        assert_eq!(said, if carried { vec![&expected] } else { vec![] });
    }
}

/// At the end of the stream, it belongs to the last picture; where there is none, it is said.
#[test]
fn sei_at_the_end_of_the_stream_stays_with_the_last_picture() {
    let begin = || Stream::default().pes(0, 0).nal(&AUD).sets();
    let stream = begin().slice(IDR).nal(&sei(1)).nal(&sei(2)).ends();
    let (track, damage) = stream.h264();
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(stream.nals(&track, 0), [IDR.nal(), sei(1), sei(2)]);

    let (_, damage) = begin().nal(&sei(1)).ends().h264();
    let dropped = sei(1).len() as u64;
    assert_eq!(damage.kept()[0].kind, DamageKind::LostBytes { dropped });
}

/// SEI whose picture got lost is not given to another: what it says of random access is not true
/// of that.
#[test]
fn sei_does_not_outlive_its_picture() {
    let recovery = [6, 6, 1, 0b1100_0100, 0x80];
    let stream = Stream::default()
        .pes(0, 0)
        .sets()
        .slice(IDR)
        .pes(3600, 3600)
        .nal(&AUD)
        .nal(&recovery)
        .lost()
        .pes(7200, 7200)
        .nal(&AUD)
        .slice(p(2, 6));
    let (track, damage) = stream.h264();
    assert_eq!(stream.nals(&track, 1), [p(2, 6).nal()]);
    let second = track.samples().get(1).unwrap();
    assert_eq!(second.random_access, RandomAccess::None);
    assert!(damage.total() > 0);
}

/// Ends of sequences belong to the picture before, as do NAL units that no picture begins with
/// (Rec. ITU-T H.264, 7.4.1.2.3).
#[test]
fn what_ends_a_picture_stays_with_it() {
    let (end, all, auxiliary, unspecified) = ([10], [11], [19, 0x88, 0x80], [24, 1, 0x80]);
    let stream = Stream::default()
        .pes(0, 0)
        .sets()
        .slice(IDR)
        .nal(&auxiliary)
        .nal(&unspecified)
        .nal(&end)
        .pes(3600, 3600)
        .nal(&AUD)
        .slice(IDR)
        .nal(&end)
        .nal(&all);
    let (track, damage) = stream.h264();
    assert!(damage.is_empty(), "{damage:?}");
    let expected = [
        IDR.nal(),
        auxiliary.to_vec(),
        unspecified.to_vec(),
        end.to_vec(),
    ];
    assert_eq!(stream.nals(&track, 0), expected);
    let expected = [IDR.nal(), end.to_vec(), all.to_vec()];
    assert_eq!(stream.nals(&track, 1), expected);

    // Behind the end of a segment there is nothing for it to stay with but what comes.
    let stream = Stream::default().pes(0, 0).nal(&end).sets().slice(IDR);
    let (track, damage) = stream.h264();
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(stream.nals(&track, 0), [end.to_vec(), IDR.nal()]);
}

/// The same in H.265 (Rec. ITU-T H.265, 7.4.2.4.4): prefix SEI and reserved types ahead, suffix SEI,
/// ends and enhancement (as that of Dolby Vision) behind.
#[test]
fn h265_knows_what_comes_ahead_and_behind() {
    const SETS: [&str; 3] = [
        "40010c01ffff022000000300b0000003000003009918a340c00000fa40003a9814",
        "420101022000000300b00000030000030099a001e020021c4d90628d9242942f016a0202022800001f480007\
         530309208370000e4e180007270ff3c78f40",
        "4401c172f63b64",
    ];
    let delimiter = [0x46, 1, 0x50];
    let prefix = |mark| vec![0x4e, 1, 4, 2, mark, 0xee, 0x80];
    // IDR_W_RADL: first in its picture, picture parameter set 0, intra.
    let slice = |mark| vec![0x26, 1, 0xac, mark, 0x9a, 0x9a, 0x80];
    let behind = [
        vec![0x50, 1, 4, 2, 9, 0xee, 0x80],
        vec![0x7c, 1, 0x19, 8, 0x80],
        vec![0x02, 9, 0xd0, 0x80],
        vec![0x48, 1],
        vec![0x4a, 1],
    ];
    let reserved = vec![0x52, 1, 0x80];
    let mut stream = Stream::default().pes(0, 0).nal(&delimiter);
    for set in SETS {
        stream = stream.nal(&hex(set));
    }
    stream = stream.nal(&slice(1));
    for nal in &behind {
        stream = stream.nal(nal);
    }
    stream = stream
        .nal(&prefix(1))
        .nal(&reserved)
        .pes(3600, 3600)
        .nal(&delimiter)
        .nal(&slice(2))
        .nal(&prefix(2))
        .pes(7200, 7200)
        .nal(&slice(3));
    let mut assembler = H265Assembler::new(0x100, &Limits::default());
    let (track, damage) = stream.feed(&mut assembler, &[184]);
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(times(&track), [(0, 0), (3600, 3600), (7200, 7200)]);
    let mut first = vec![slice(1)];
    first.extend(behind);
    assert_eq!(stream.nals(&track, 0), first);
    let second = [prefix(1), reserved, slice(2)];
    assert_eq!(stream.nals(&track, 1), second);
    assert_eq!(stream.nals(&track, 2), [prefix(2), slice(3)]);
}

proptest! {
    /// Whatever comes between the slices, and however it is cut into packets and segments, every
    /// NAL unit but delimiters and filler is in a sample, once and in order, unless it waits at the end.
    #[test]
    fn every_nal_unit_is_kept(
        kinds in prop::collection::vec((0u8..9, any::<bool>()), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut made = vec![(hex(SPS), false), (hex(PPS), false), (IDR.nal(), true)];
        for (n, &(kind, pes)) in (1u8..).zip(&kinds) {
            let nal = match kind {
                0 => sei(n),
                1 => AUD.to_vec(),
                2 => vec![10],
                3 => vec![14, n, 0x80],
                4 => vec![19, n, 0x80],
                5 => vec![30, n, 0x80],
                6 => vec![12, 0xff, 0x80],
                _ => p(u32::from(n) % 16, u32::from(n) * 2 % 32).nal(),
            };
            made.push((nal, pes));
        }
        made.push((p(1, 1).nal(), true));
        let cut = 3 + cut.index(made.len() - 3);
        let (first, second) = made.split_at(cut);
        let mut assembler = H264Assembler::new(0x100, &Limits::default());
        let mut found = Vec::new();
        for (n, part) in [first, second].into_iter().enumerate() {
            let mut stream = Stream::default().pes(n as i64 * 90_000, n as i64 * 90_000);
            for (m, (nal, pes)) in part.iter().enumerate() {
                let time = n as i64 * 90_000 + m as i64 * 3600;
                stream = if *pes { stream.pes(time, time) } else { stream };
                stream = stream.nal(nal);
            }
            let (track, damage) = stream.feed(&mut assembler, &[184]);
            prop_assert!(damage.is_empty(), "{damage:?}");
            for sample in 0..track.samples().len() {
                found.extend(stream.nals(&track, sample));
            }
        }
        let kept = made.into_iter().map(|(nal, _)| nal);
        let kept: Vec<_> = kept.filter(|nal| !matches!(nal[0] & 0x1f, 7..=9 | 12)).collect();
        prop_assert_eq!(found, kept);
    }
}
