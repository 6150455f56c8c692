//! Frames of real media, against what ffprobe says of the same files.
#![allow(clippy::arithmetic_side_effects)]

use std::path::PathBuf;

use clipmill_media::RandomAccess;

use crate::{DemuxOptions, Demuxer};

/// A file, its PID, and the bytes of header and CRC that ffprobe counts and a sample goes without.
const FILES: [(&str, u32, u32); 20] = [
    ("gen/ts/audio_only_aac.ts", 0x100, 7),
    ("gen/ts/audio_only_aac_8000.ts", 0x100, 7),
    ("gen/ts/audio_only_aac_11025.ts", 0x100, 7),
    ("gen/ts/audio_only_aac_44100.ts", 0x100, 7),
    ("gen/ts/audio_only_aac_96000.ts", 0x100, 7),
    ("gen/ts/audio_only_heaac_sbr.ts", 0x100, 7),
    ("gen/ts/audio_pes_many_frames.ts", 0x101, 7),
    ("gen/ts/audio_pes_one_frame_small.ts", 0x101, 7),
    ("gen/ts/h264_aac_5_1.ts", 0x101, 7),
    ("gen/ts/one_audio_frame.ts", 0x100, 7),
    ("gen/ts/h264_mp2.ts", 0x101, 0),
    ("gen/ts/h264_mp3.ts", 0x101, 0),
    ("gen/ts/h264_ac3.ts", 0x101, 0),
    ("gen/ts/h264_eac3.ts", 0x101, 0),
    ("gen/ts/h264_opus.ts", 0x101, 0),
    (
        "dev/shaka-player/hls-ts-muxed-opus-2880/segment.ts",
        0x101,
        0,
    ),
    ("dev/mediabunny/ac3.ts", 0x100, 0),
    ("dev/mediabunny/eac3.ts", 0x100, 0),
    ("dev/mediabunny/mp3.ts", 0x100, 0),
    ("dev/shaka-packager/bear-640x360-ac3.ts", 0x101, 0),
];

fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("CLIPMILL_CORPUS").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../../shared/corpus"
            ))
        },
        PathBuf::from,
    );
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no corpus at {}", path.display());
    None
}

/// The `[pts,dts,duration,size,key]` rows of the stream with this PID.
fn expected(json: &str, pid: u32) -> Vec<Vec<i64>> {
    let text = json.replace(char::is_whitespace, "");
    let before = text.split(&format!("\"id\":\"{pid:#x}\"")).next().unwrap();
    let index = before.rsplit("\"index\":").next().unwrap();
    let index = index.split(',').next().unwrap();
    let packets = text.rsplit("\"packets\":{").next().unwrap();
    let rows = packets.split(&format!("\"{index}\":[[")).nth(1).unwrap();
    let rows = rows.split("]]").next().unwrap();
    rows.split("],[")
        .map(|row| row.split(',').map(|value| value.parse().unwrap()).collect())
        .collect()
}

#[test]
fn every_frame_is_where_ffprobe_sees_it() {
    let Some(corpus) = corpus() else { return };
    for (file, pid, stripped) in FILES {
        let segment = std::fs::read(corpus.join(file)).unwrap();
        let json = std::fs::read_to_string(corpus.join(format!("{file}.expect.json"))).unwrap();
        let index = Demuxer::new(DemuxOptions::default())
            .index(&segment)
            .unwrap();
        let track = index.tracks.iter().find(|track| track.id() == pid);
        let samples = track.unwrap().samples();
        let expected = expected(&json, pid);
        assert_eq!(samples.len(), expected.len(), "{file}");
        for (sample, row) in samples.iter().zip(&expected) {
            assert!((sample.pts() - row[0]).abs() <= 1, "{file}: {row:?}");
            let size = i64::from(sample.size + stripped);
            assert_eq!(size, row[3], "{file}: {row:?}");
            assert_eq!(sample.random_access, RandomAccess::Closed);
        }
        assert!(index.damage.is_empty(), "{file}");
    }
}

/// Syncframes of one block: six of them make a sample.
#[test]
fn short_eac3_syncframes_join() {
    let Some(corpus) = corpus() else { return };
    let segment = std::fs::read(corpus.join("dev/androidx/sample_eac3.ts")).unwrap();
    let index = Demuxer::new(DemuxOptions::default())
        .index(&segment)
        .unwrap();
    let samples = index.tracks[0].samples();
    let times: Vec<i64> = samples.iter().map(|sample| sample.pts()).collect();
    assert_eq!(times, (0..9).map(|n| n * 2880).collect::<Vec<_>>());
    assert!(samples.iter().all(|sample| sample.size == 6 * 4000));
}
