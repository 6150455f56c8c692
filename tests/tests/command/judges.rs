//! The judges must agree with each other before they judge anything else.

use clipmill_tests::binary::root;
use clipmill_tests::writer::{Plan, Unit};
use clipmill_tests::{es, mp4, tools, ts};

#[test]
fn the_plain_reader_finds_every_access_unit() {
    for (reorder, delimiters, frames_per_pes) in [(true, true, 3), (false, false, 1)] {
        let plan = Plan {
            reorder,
            delimiters,
            frames_per_pes,
            start: (1 << 33) - 40_000,
            ..Plan::default()
        };
        for segment in plan.segments() {
            let streams = ts::read(&segment.bytes);
            let video = streams[0].bytes();
            let units = es::annex_b(&video);
            let units = units
                .into_iter()
                .filter(|unit| es::is_content(ts::Kind::H264, unit));
            assert!(units.eq(segment.video.iter().flat_map(|unit| &unit.content)));
            let stamp = |unit: &Unit| Some(unit.pts % (1 << 33));
            assert!(
                streams[0]
                    .pes
                    .iter()
                    .map(|pes| pes.pts)
                    .eq(segment.video.iter().map(stamp))
            );
            let audio = streams[1].bytes();
            let frames = es::adts(&audio);
            assert!(
                frames
                    .into_iter()
                    .eq(segment.audio.iter().flat_map(|unit| &unit.content))
            );
        }
    }
}

#[test]
fn ffprobe_finds_every_access_unit() {
    if !tools::installed(&["ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let segments = Plan::default().segments();
    let whole: Vec<u8> = segments
        .iter()
        .flat_map(|segment| segment.bytes.clone())
        .collect();
    let file = folder.path().join("whole.ts");
    std::fs::write(&file, whole).unwrap();
    let seen = tools::ffprobe(&file, &["-show_packets", "-select_streams", "v"]);
    let seen = seen["packets"].as_array().unwrap();
    let written: Vec<&Unit> = segments.iter().flat_map(|segment| &segment.video).collect();
    assert_eq!(seen.len(), written.len());
    for (seen, written) in seen.iter().zip(written) {
        assert_eq!(seen["pts"].as_u64(), Some(written.pts));
        assert_eq!(
            seen["flags"].as_str().unwrap().starts_with('K'),
            written.key
        );
    }
}

#[test]
fn the_plain_mp4_reader_agrees_with_ffprobe() {
    if !tools::installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let input = root().join("fixtures/demo/seg01.ts");
    for flags in ["+faststart", "+frag_keyframe+empty_moov+default_base_moof"] {
        let file = folder.path().join("out.mp4");
        let args = [
            "-i",
            input.to_str().unwrap(),
            "-c",
            "copy",
            "-bsf:a",
            "aac_adtstoasc",
            "-movflags",
            flags,
        ];
        tools::ffmpeg(args.into_iter().chain([file.to_str().unwrap()])).expect(0);
        let bytes = std::fs::read(&file).unwrap();
        let movie = mp4::read(&bytes).unwrap();
        assert_eq!(movie.sample_faults(&bytes), [""; 0]);
        let seen = tools::ffprobe(&file, &["-show_packets"]);
        let seen = seen["packets"].as_array().unwrap();
        for (index, track) in movie.tracks.iter().enumerate() {
            let packets: Vec<_> = seen
                .iter()
                .filter(|packet| packet["stream_index"] == index)
                .collect();
            assert_eq!(packets.len(), track.samples.len());
            // Edit lists shift what ffprobe says; differences remain.
            let first = packets[0]["pts"].as_i64().unwrap() - track.samples[0].pts;
            for (packet, sample) in packets.iter().zip(&track.samples) {
                assert_eq!(packet["pts"].as_i64().unwrap() - first, sample.pts);
                assert_eq!(packet["size"].as_str().unwrap(), sample.size.to_string());
                assert_eq!(packet["pos"].as_str().unwrap(), sample.offset.to_string());
                assert_eq!(
                    packet["flags"].as_str().unwrap().starts_with('K'),
                    sample.sync
                );
            }
        }
    }
}
