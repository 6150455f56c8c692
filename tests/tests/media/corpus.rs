//! Media made by others comes out whole: every access unit, its bytes, its times, its key flag, and
//! the pictures that it decodes to, as the expectations beside the corpus have them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clipmill_tests::corpus::{corpus, decoded_pictures, expectation, files};
use clipmill_tests::ts::Kind;
use clipmill_tests::{binary, es, mp4, tools, ts};
use serde_json::Value;

/// What of an expectation does not hold for a file, and why that is right. A line that is no longer
/// needed is a failure.
const EXCEPTIONS: &[(&str, &[Check], &str)] = &[
    // Not carried.
    (
        "ec3-audio-1.ec3",
        &[Jitter],
        "ffprobe adds up rounded durations",
    ),
    (
        "ec3-video-2.ts",
        &[Tracks],
        "encrypted: the key is in the playlist",
    ),
    (
        "ec3-video-3.ts",
        &[Tracks],
        "encrypted: the key is in the playlist",
    ),
    (
        "sample_mpegh_bl_cicp1_cont.ts",
        &[Tracks],
        "MPEG-H, which ffprobe takes for MP3",
    ),
    (
        "catalyst/non-existing-pps.ts",
        &[Tracks],
        "pictures without any parameter set",
    ),
    (
        "exiftool/M2TS.mts",
        &[Tracks],
        "seven packets: no whole frame of sound",
    ),
    (
        "tsduck/test-171.11.ts",
        &[Tracks],
        "no whole frame of anything",
    ),
    // Counted otherwise.
    (
        "androidx/sample_ac3.ts",
        &[Count],
        "its golden says 8: ffprobe counts the partial frames at both ends",
    ),
    (
        "androidx/sample_eac3.ts",
        &[Count],
        "six syncframes of one block make one access unit",
    ),
    ("androidx/sample.ac3", &[Count], PARTIAL),
    ("kim_mpeg_ts/broken.ts", &[Count], PARTIAL),
    ("ts/truncated_mid_packet.ts", &[Count], PARTIAL),
    ("tsduck/test-026.ts", &[Count, Pictures], CAPTURE),
    ("tsduck/test-035.decap.pack.ts", &[Count], CAPTURE),
    ("tsduck/test-138.1.ts", &[Count, Pictures], CAPTURE),
    ("tsduck/test-143.ts", &[Count, Payload], CAPTURE),
    (
        "tsduck/test-100.1.ts",
        &[Count],
        "one coded frame in two PES packets",
    ),
    (
        "ts/duplicate_packets.ts",
        &[Count, Pictures],
        "ffprobe takes each packet twice",
    ),
    (
        "ts/codec_change_h264_to_hevc_pmt_v1.ts",
        &[Tracks, Time],
        "another codec is another track; see below for the sound",
    ),
    // Timed otherwise.
    ("testStream000000000.ts", &[Jitter], MILLISECONDS),
    ("testStream000000001.ts", &[Jitter], MILLISECONDS),
    ("testStream000000002.ts", &[Jitter], MILLISECONDS),
    ("testStream000000003.ts", &[Jitter], MILLISECONDS),
    (
        "ts/jump_backward_597s_no_indicator.ts",
        &[Time],
        "the jump is repaired",
    ),
    (
        "ts/jump_forward_597s_disc_indicator.ts",
        &[Time],
        "the jump is repaired",
    ),
    (
        "ts/jump_forward_597s_no_indicator.ts",
        &[Time],
        "the jump is repaired",
    ),
    ("ts/resolution_change_same_pmt.ts", &[Time], OVERLAP),
    ("ts/audio_rate_and_channels_change.ts", &[Time], OVERLAP),
    (
        "hls-ts-overflow-samples/fileSequence0.ts",
        &[Key],
        "ffprobe takes an I picture that is no IDR for a key frame",
    ),
    (
        "lpms/kryp-2.ts",
        &[Key],
        "an I picture that its packet marks as a random access point (ISO/IEC 13818-1, 2.4.3.5), \
         which ffprobe does not heed",
    ),
    // Damaged: what is left is not what another tool leaves.
    ("ts/bit_flips_1_in_50.ts", &[Pictures], DAMAGED),
    ("ts/lost_packet_every_100.ts", &[Payload, Pictures], DAMAGED),
    ("ts/tei_every_60.ts", &[Count, Payload, Pictures], DAMAGED),
    ("ts/video_scrambled_part.ts", &[Pictures], DAMAGED),
    (
        "ts/no_psi_at_all.ts",
        &[Payload],
        "the plain reader needs tables",
    ),
];

const PARTIAL: &str = "ffprobe counts the partial frame at the end";
const CAPTURE: &str = "a capture that begins and ends anywhere: partial frames, missing references, tables of several programmes";
const MILLISECONDS: &str = "timestamps rounded to milliseconds are smoothed";
const OVERLAP: &str =
    "the pictures of two streams overlap here, and so does their sound: what came first makes room";
const DAMAGED: &str = "every tool leaves something else of damaged packets";

use Check::{Count, Jitter, Key, Payload, Pictures, Time, Tracks};

/// One thing that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Check {
    /// How many tracks, and of what.
    Tracks,
    /// How many samples.
    Count,
    /// Differences of timestamps, and the offset between tracks.
    Time,
    /// The same of sound, to less than a frame.
    Jitter,
    /// Which samples are sync samples.
    Key,
    /// The bytes.
    Payload,
    /// What the pictures decode to.
    Pictures,
    /// The file as such. There is no exception from it.
    Sound,
}

#[test]
fn every_file_comes_out_whole() {
    let Some(corpus) = corpus() else { return };
    if !tools::installed(&["ffmpeg"]) {
        return;
    }
    let jobs: Vec<Job> = ["dev", "gen"]
        .iter()
        .flat_map(|set| jobs(&corpus.join(set)))
        .collect();
    assert!(jobs.len() > 100, "only {} files found", jobs.len());
    let next = AtomicUsize::new(0);
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = job.run();
                    faults.lock().unwrap().extend(found);
                }
            });
        }
    });
    let mut faults = faults.into_inner().unwrap();
    faults.sort();
    assert!(
        faults.is_empty(),
        "{} of {} files:\n{}",
        faults.len(),
        jobs.len(),
        faults.join("\n")
    );
}

/// Streams made for one codec or form each: what decodes in GStreamer as it is, decodes as MP4.
#[test]
fn gstreamer_decodes_every_codec() {
    let Some(corpus) = corpus() else { return };
    if !tools::installed(&["gst-launch-1.0"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.mp4");
    let mut faults = Vec::new();
    let mut seen = 0;
    for stream in files(&corpus.join("gen/ts")) {
        let name = stream.file_name().unwrap().to_str().unwrap().to_owned();
        let made = ["h264_", "hevc_", "mpeg2_", "audio_only_", "multi_"];
        if !name.ends_with(".ts") || !made.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let run = binary::clipmill([Path::new("remux"), &stream, Path::new("-o"), &out]);
        if run.code != 0 {
            continue;
        }
        seen += 1;
        let complaints = tools::gstreamer_complaints(&out);
        if !complaints.is_empty() && tools::gstreamer_complaints(&stream).is_empty() {
            faults.push(format!("{name}: {complaints}"));
        }
    }
    assert!(seen > 30, "only {seen} streams found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Playlists of which something else comes out than ffprobe's HLS reader saw, and why.
const PLAYLIST_EXCEPTIONS: &[(&str, &str)] = &[
    ("hls/fmp4_two_maps/index.m3u8", RESTART),
    (
        "hls-raw-ec3/prog_index.m3u8",
        "ffprobe does not read packed E-AC-3",
    ),
    (
        "hls-raw-ec3/prog_index.trimmed.m3u8",
        "ffprobe does not read packed E-AC-3",
    ),
    ("bear-640x360-ec3-audio.m3u8", WRONG_KEY),
    (
        "bear-640x360-ec3-video-iframe.m3u8",
        "its byte ranges have no program map and no EXT-X-MAP (RFC 8216, 4.3.3.6): nothing says what is encrypted",
    ),
    ("bear-640x360-ec3-video.m3u8", WRONG_KEY),
    (
        "hls/broken_segment/index.m3u8",
        "a primary coded picture has all slices (ISO/IEC 14496-10, 7.4.1.2.4): one that is cut off is left out",
    ),
    (
        "hls-sample-aes-ctr/index.m3u8",
        "Common Encryption is not read",
    ),
    ("hls-text-no-discontinuity/text.m3u8", "subtitles"),
    ("hls-text-no-discontinuity/av.m3u8", RESTART),
    (
        "hls-gap/playlist.m3u8",
        "segments are missing, and ffprobe gave up",
    ),
    (
        "hls-gap/playlist.trimmed.m3u8",
        "ffprobe reads the segments that are marked as gaps",
    ),
    (
        "hls-ts-ec3/prog_index.m3u8",
        "segments are missing, and ffprobe gave up",
    ),
    (
        "hls/gap_missing/index.m3u8",
        "segments are missing, and ffprobe gave up",
    ),
    (
        "hls-ts-muxed-aac-h265/media.m3u8",
        "two of four segments are missing: their time is kept",
    ),
    (
        "hls-ts-muxed-opus-2880/playlist.m3u8",
        "pictures come at any pace: how long the last one lasts is a guess",
    ),
    (
        "hls/discontinuity/index.m3u8",
        "another codec is another track",
    ),
];

const RESTART: &str = "timestamps restart: ffprobe sees the second half on top of the first";

const WRONG_KEY: &str = "its key is the identifier of the right one: what that does not fit is left out and \
    declared as a gap, see below";

/// Samples that Shaka Packager encrypted, with the key that it had; its playlists name another.
#[test]
fn encrypted_samples_decode() {
    let Some(corpus) = corpus() else { return };
    if !tools::installed(&["ffmpeg"]) {
        return;
    }
    let of = corpus.join("dev/shaka-packager/sample-aes-packed-ec3");
    let folder = tempfile::tempdir().unwrap();
    for file in files(&of) {
        std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let right = "URI=\"data:;base64,MjM0NTY3ODkwITIzNDU2Nw==\"";
    for (name, samples) in [("video", 80), ("audio", 79)] {
        let path = folder.path().join(format!("bear-640x360-ec3-{name}.m3u8"));
        let cut = |out: &Path| binary::clipmill([Path::new("cut"), &path, Path::new("-o"), out]);
        let out = folder.path().join("out.mp4");
        // The first segment is in the clear, the other two are not.
        let wrong = cut(&out).expect(0).stderr;
        assert_eq!(
            wrong.matches("does not fit: wrong key").count(),
            2,
            "{wrong}"
        );
        if name == "video" {
            let frames = folder.path().join("bear-640x360-ec3-video-iframe.m3u8");
            let run = binary::clipmill([Path::new("cut"), &frames, Path::new("-o"), &out]);
            let said = run.expect(0).stderr;
            assert_eq!(said.matches("no program map").count(), 2, "{said}");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, after) = text.split_once("URI=").unwrap();
        let (_, after) = after.split_once("\",").unwrap();
        std::fs::write(&path, format!("{before}{right},{after}")).unwrap();
        let run = cut(&out).expect(0);
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
        let file = std::fs::read(&out).unwrap();
        assert_eq!(mp4::read(&file).unwrap().tracks[0].samples.len(), samples);
        let args = ["-xerror", "-i", out.to_str().unwrap(), "-f", "null", "-"];
        assert_eq!(tools::ffmpeg(args).expect(0).stderr, "");
    }
}

#[test]
fn every_playlist_comes_out_whole() {
    let Some(corpus) = corpus() else { return };
    let mut faults = Vec::new();
    let mut seen = 0;
    for playlist in files(&corpus) {
        let is_playlist = playlist.extension().is_some_and(|e| e == "m3u8");
        let Some(expected) = expectation(&playlist).filter(|_| is_playlist) else {
            continue;
        };
        seen += 1;
        let name = playlist
            .strip_prefix(&corpus)
            .unwrap()
            .display()
            .to_string();
        let known = PLAYLIST_EXCEPTIONS
            .iter()
            .any(|(exception, _)| name.ends_with(exception));
        match (check_playlist(&playlist, &expected), known) {
            (Err(fault), false) => faults.push(format!("{name}: {fault}")),
            (Ok(()), true) => faults.push(format!("{name}: no longer an exception")),
            _ => {}
        }
    }
    assert!(seen > 30, "only {seen} playlists found");
    assert!(
        faults.is_empty(),
        "{} of {seen} playlists:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// Pictures and two languages of sound, each in a playlist of its own.
#[test]
fn sound_in_playlists_of_its_own_comes_along() {
    let Some(corpus) = corpus() else { return };
    let of = corpus.join("gen/hls/demuxed_audio");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.mp4");
    let run = binary::clipmill([
        Path::new("cut"),
        &of.join("master.m3u8"),
        Path::new("-o"),
        &out,
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let file = std::fs::read(&out).unwrap();
    let movie = mp4::read(&file).unwrap();
    assert_eq!(movie.faults(&file), Vec::<String>::new());
    let playlists = ["s0.m3u8", "s1.m3u8", "s2.m3u8"];
    assert_eq!(movie.tracks.len(), playlists.len());
    for (track, playlist) in movie.tracks.iter().zip(playlists) {
        let expected = expectation(&of.join(playlist)).unwrap();
        let packets = expected["streams"][0]["packets"].as_u64();
        assert_eq!(packets, Some(track.samples.len() as u64), "{playlist}");
    }
}

/// Samples and span of each track, in a clip of the whole playlist.
fn check_playlist(playlist: &Path, expected: &Value) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.mp4");
    let run = binary::clipmill([Path::new("cut"), playlist, Path::new("-o"), &out]);
    if run.code != 0 {
        return Err(run.stderr.trim_end().to_owned());
    }
    let file = std::fs::read(&out).unwrap();
    let mut movie = mp4::read(&file)?;
    if let Some(fault) = movie.faults(&file).into_iter().next() {
        return Err(fault);
    }
    movie
        .tracks
        .retain(|track| track.is_video() || track.is_audio());
    let streams = expected["streams"].as_array().into_iter().flatten();
    let wanted: Vec<&Value> = streams
        .filter(|stream| stream["packets"].as_u64() > Some(0))
        .collect();
    if wanted.len() != movie.tracks.len() {
        return Err(format!(
            "{} tracks instead of {}",
            movie.tracks.len(),
            wanted.len()
        ));
    }
    let is_video = |codec: &Value| matches!(codec.as_str(), Some("h264" | "hevc" | "av1"));
    for track in &movie.tracks {
        let same_kind = |stream: &&&Value| is_video(&stream["codec"]) == track.is_video();
        let Some(stream) = wanted.iter().find(same_kind) else {
            return Err(format!("track {} is not expected", track.id));
        };
        let (packets, samples) = (&stream["packets"], track.samples.len());
        if packets.as_u64() != Some(samples as u64) {
            return Err(format!(
                "{samples} samples of {} instead of {packets}",
                stream["codec"]
            ));
        }
        let ticks: u64 = track
            .samples
            .iter()
            .map(|sample| u64::from(sample.duration))
            .sum();
        let (span, wanted) = (
            ticks as f64 / f64::from(track.timescale),
            stream["span_s"].as_f64().unwrap_or_default(),
        );
        if (span - wanted).abs() > 0.05 {
            return Err(format!(
                "{span:.3} s of {} instead of {wanted}",
                stream["codec"]
            ));
        }
    }
    Ok(())
}

struct Job {
    name: String,
    path: PathBuf,
    expected: Value,
    pictures: Option<String>,
}

fn jobs(set: &Path) -> Vec<Job> {
    let pictures: HashMap<String, String> = decoded_pictures(set);
    let media = files(set).into_iter().filter(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(
            extension,
            Some("ts" | "m2ts" | "mts" | "aac" | "adts" | "ac3" | "ec3" | "mp3")
        )
    });
    let jobs = media.filter_map(|path| {
        let name = path.strip_prefix(set).ok()?.to_str()?.to_owned();
        let expected = expectation(&path)?;
        let pictures = pictures.get(&name).cloned();
        Some(Job {
            name,
            path,
            expected,
            pictures,
        })
    });
    jobs.collect()
}

/// What can be carried, of what ffprobe lists: kind, index of the stream.
fn carried(expected: &Value) -> Vec<(Kind, usize)> {
    let streams = expected["ffprobe"]["streams"].as_array();
    let kinds = streams
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(n, stream)| {
            let packets = stream["nb_packets"].as_u64().unwrap_or_default();
            let kind = match stream["codec_name"].as_str() {
                _ if packets == 0 => Kind::Other,
                Some("h264") => Kind::H264,
                Some("hevc") => Kind::H265,
                Some("aac") => Kind::Adts,
                Some("aac_latm") => Kind::Latm,
                Some("dts") => Kind::Dts,
                Some("mp1" | "mp2" | "mp3") => Kind::MpegAudio,
                Some("ac3") => Kind::Ac3,
                Some("eac3") => Kind::Eac3,
                Some("opus") => Kind::Opus,
                Some("mpeg2video") => Kind::Mpeg2Video,
                _ => Kind::Other,
            };
            (kind, n)
        });
    kinds
        .filter(|(kind, _)| *kind != Kind::Other)
        .filter(|(_, n)| is_of_first_programme(expected, *n))
        .collect()
}

/// Of several programmes one is taken.
fn is_of_first_programme(expected: &Value, stream: usize) -> bool {
    let programmes = expected["programs"].as_array();
    let Some(first) = programmes.and_then(|programmes| programmes.first()) else {
        return true;
    };
    let pid = expected["ffprobe"]["streams"][stream]["id"]
        .as_str()
        .unwrap_or_default();
    let is_listed = |programme: &Value| {
        let streams = programme["streams"].as_array().into_iter().flatten();
        streams.into_iter().any(|stream| {
            let listed = stream["pid"].as_u64().unwrap_or_default();
            pid.ends_with(&format!("x{listed:x}"))
        })
    };
    programmes
        .into_iter()
        .flatten()
        .filter(|programme| programme["program"] == first["program"])
        .any(is_listed)
}

impl Job {
    /// One line for the file, when something does not hold.
    fn run(&self) -> Option<String> {
        let exceptions = EXCEPTIONS
            .iter()
            .filter(|(name, ..)| self.name.ends_with(name));
        let allowed: HashSet<Check> = exceptions
            .flat_map(|(_, checks, _)| *checks)
            .copied()
            .collect();
        let mut used = HashSet::new();
        let mut faults = Vec::new();
        self.check(&mut |check, fault: String| {
            if allowed.contains(&check) {
                used.insert(check);
            } else {
                faults.push(format!("{check:?}: {fault}"));
            }
        });
        faults.extend(
            allowed
                .difference(&used)
                .map(|check| format!("no longer an exception: {check:?}")),
        );
        (!faults.is_empty()).then(|| format!("{}: {}", self.name, faults.join("; ")))
    }

    fn check(&self, fault: &mut dyn FnMut(Check, String)) {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.mp4");
        let args = [
            Path::new("remux"),
            &self.path,
            Path::new("-o"),
            &out,
            Path::new("--json"),
        ];
        let run = binary::clipmill(args);
        let expected = carried(&self.expected);
        if run.code != 0 {
            let one_line = run.code == 1 && run.stderr.trim_end().lines().count() == 1;
            if !one_line {
                fault(
                    Check::Sound,
                    format!("exit code {}: {}", run.code, run.stderr),
                );
            }
            if !expected.is_empty() {
                fault(
                    Tracks,
                    format!("nothing came out: {}", run.stderr.trim_end()),
                );
            }
            return;
        }
        let file = std::fs::read(&out).unwrap();
        let movie = match mp4::read(&file) {
            Ok(movie) => movie,
            Err(error) => return fault(Check::Sound, error),
        };
        for found in movie.faults(&file).into_iter().take(3) {
            fault(Check::Sound, found);
        }
        self.check_tracks(&movie, &file, &expected, fault);
        if let (Some(pictures), true) = (
            &self.pictures,
            movie.tracks.iter().any(mp4::Track::is_video),
        ) {
            let (found, errors) = tools::decoded_pictures(&out);
            if found.as_ref() != Some(pictures) {
                let errors = errors.lines().next().unwrap_or_default().to_owned();
                fault(Pictures, format!("other pictures than {pictures} {errors}"));
            } else if !errors.is_empty() {
                let (_, before) = tools::decoded_pictures(&self.path);
                if before.is_empty() {
                    let first = errors.lines().next().unwrap_or_default();
                    fault(Pictures, format!("decoding complains: {first}"));
                }
            }
        }
    }

    fn check_tracks(
        &self,
        movie: &mp4::Movie,
        file: &[u8],
        expected: &[(Kind, usize)],
        fault: &mut dyn FnMut(Check, String),
    ) {
        let of = |video: bool| {
            expected
                .iter()
                .filter(move |(kind, _)| kind.is_video() == video)
        };
        let mut offsets = Vec::new();
        for video in [true, false] {
            let tracks: Vec<&mp4::Track> = movie
                .tracks
                .iter()
                .filter(|track| {
                    if video {
                        track.is_video()
                    } else {
                        track.is_audio()
                    }
                })
                .collect();
            if tracks.len() != of(video).count() {
                let what = if video { "video" } else { "audio" };
                let wanted = of(video).count();
                fault(
                    Tracks,
                    format!("{} {what} tracks instead of {wanted}", tracks.len()),
                );
                continue;
            }
            for (track, (kind, stream)) in tracks.iter().zip(of(video)) {
                let stream = self.stream(*stream);
                stream.check(track, fault);
                self.check_payload(track, *kind, &stream, file, fault);
                let first = track.samples.first().zip(stream.packets.first());
                if let Some((sample, packet)) = first {
                    let shown = track.presented(sample.pts, movie.timescale);
                    offsets.push((shown, packet.pts / 90_000.0));
                }
            }
        }
        let Some(((Some(first), first_pts), rest)) = offsets.split_first() else {
            return;
        };
        for (shown, pts) in rest {
            let Some(shown) = shown else { continue };
            let off = (shown - first) - (pts - first_pts);
            if off.abs() > 0.001 {
                fault(Time, format!("a track is off by {:.1} ms", off * 1000.0));
            }
        }
    }

    fn stream(&self, index: usize) -> Stream {
        let about = &self.expected["ffprobe"]["streams"][index];
        let packets = self.expected["packets"][index.to_string()].as_array();
        let clock = about["time_base"]
            .as_str()
            .and_then(|base| base.strip_prefix("1/"));
        let clock: f64 = clock
            .and_then(|clock| clock.parse().ok())
            .unwrap_or(90_000.0);
        let packets = packets.into_iter().flatten().filter_map(|packet| {
            Some(Packet {
                pts: packet[0].as_f64().or(packet[1].as_f64())? * 90_000.0 / clock,
                key: packet[4].as_i64() == Some(1),
            })
        });
        let pid = about["id"].as_str().unwrap_or_default();
        let pid = u16::from_str_radix(pid.trim_start_matches("0x"), 16).unwrap_or_default();
        let pes = &self.expected["pes"][format!("{pid:#06x}")];
        let coded = ["h264", "hevc"]
            .iter()
            .find_map(|kind| pes[*kind]["nal"]["coded_frames"].as_u64());
        Stream {
            pid,
            packets: packets.collect(),
            count: about["nb_packets"].as_u64().unwrap_or_default() as usize,
            coded: coded.map(|coded| coded as usize),
            sample_rate: about["sample_rate"]
                .as_str()
                .and_then(|r| r.parse().ok())
                .or(about["sample_rate"].as_u64().map(|r| r as f64)),
        }
    }

    fn check_payload(
        &self,
        track: &mp4::Track,
        kind: Kind,
        stream: &Stream,
        file: &[u8],
        fault: &mut dyn FnMut(Check, String),
    ) {
        let input = std::fs::read(&self.path).unwrap();
        let is_raw = input.first() != Some(&0x47) && stream.pid == 0;
        let (bytes, pes) = if is_raw {
            (input, Vec::new())
        } else {
            let streams = ts::read(&input);
            let Some(found) = streams.into_iter().find(|s| s.pid == stream.pid) else {
                return fault(
                    Payload,
                    format!("the plain reader has no PID {}", stream.pid),
                );
            };
            (found.bytes(), found.pes)
        };
        let samples = (0..track.samples.len()).map(|n| track.data(file, n));
        let verdict = match kind {
            Kind::H264 | Kind::H265 => {
                let content = |unit: &&[u8]| es::is_content(kind, unit);
                let wanted: Vec<&[u8]> = es::annex_b(&bytes).into_iter().filter(content).collect();
                let found: Vec<&[u8]> = samples
                    .filter_map(es::length_prefixed)
                    .flatten()
                    .filter(content)
                    .collect();
                compare("NAL unit", &found, &wanted)
            }
            Kind::Adts => compare("frame", &samples.collect::<Vec<_>>(), &es::adts(&bytes)),
            Kind::Latm => {
                let frames = es::loas(&bytes);
                let samples: Vec<&[u8]> = samples.collect();
                let differs = frames.iter().zip(&samples);
                match differs
                    .clone()
                    .position(|(frame, sample)| !es::ends_with(frame, sample))
                {
                    Some(n) => Err(format!("frame {n} differs")),
                    None if frames.len() != samples.len() => Err(format!(
                        "{} frames instead of {}",
                        samples.len(),
                        frames.len()
                    )),
                    None => Ok(()),
                }
            }
            Kind::Opus => {
                let wanted: Vec<&[u8]> = pes.iter().flat_map(|pes| es::opus(&pes.data)).collect();
                compare("packet", &samples.collect::<Vec<_>>(), &wanted)
            }
            _ => {
                let found: Vec<u8> = samples.flatten().copied().collect();
                contains(&bytes, &found)
            }
        };
        if let Err(verdict) = verdict {
            fault(Payload, verdict);
        }
    }
}

struct Packet {
    pts: f64,
    key: bool,
}

struct Stream {
    pid: u16,
    packets: Vec<Packet>,
    count: usize,
    coded: Option<usize>,
    sample_rate: Option<f64>,
}

impl Stream {
    fn check(&self, track: &mp4::Track, fault: &mut dyn FnMut(Check, String)) {
        let samples = &track.samples;
        let count = self.coded.unwrap_or(self.count);
        let name = if track.is_video() { "video" } else { "audio" };
        if samples.len() != count {
            fault(
                Count,
                format!("{} {name} samples instead of {count}", samples.len()),
            );
        }
        // Two fields are two packets and one sample: then there is nothing to lay side by side.
        if samples.len() != self.packets.len() || samples.is_empty() {
            return;
        }
        // Frames of sound are one after the other at the sampling rate; timestamps are rounded.
        let rate = self.sample_rate.unwrap_or(48_000.0);
        let tolerance = if track.is_video() {
            0.01
        } else {
            2.5 + 90_000.0 / rate
        };
        let frame = if track.is_video() {
            0.0
        } else {
            1_024.0 * 90_000.0 / rate
        };
        let ticks = 90_000.0 / f64::from(track.timescale);
        let since = |n: usize| (samples[n].pts - samples[0].pts) as f64 * ticks;
        for (slack, check) in [(tolerance.max(frame), Time), (tolerance, Jitter)] {
            let wrong = self.packets.iter().enumerate().find(|(n, packet)| {
                let wanted = packet.pts - self.packets[0].pts;
                (since(*n) - wanted).abs() > slack
            });
            if let Some((n, packet)) = wrong {
                let wanted = packet.pts - self.packets[0].pts;
                fault(
                    check,
                    format!("{name} sample {n} at {:.1} instead of {wanted}", since(n)),
                );
                break;
            }
        }
        let wrong = samples
            .iter()
            .zip(&self.packets)
            .position(|(s, p)| s.sync != p.key);
        if let Some(n) = wrong {
            fault(
                Key,
                format!("{name} sample {n} has sync {}", samples[n].sync),
            );
        }
    }
}

fn compare(what: &str, found: &[&[u8]], wanted: &[&[u8]]) -> Result<(), String> {
    if let Some(n) = found
        .iter()
        .zip(wanted)
        .position(|(found, wanted)| found != wanted)
    {
        return Err(format!(
            "{what} {n} differs ({} bytes instead of {})",
            found[n].len(),
            wanted[n].len()
        ));
    }
    if found.len() != wanted.len() {
        return Err(format!(
            "{} {what}s instead of {}",
            found.len(),
            wanted.len()
        ));
    }
    Ok(())
}

/// Whether `part` is a stretch of `whole` from which at most a frame is missing at either end.
fn contains(whole: &[u8], part: &[u8]) -> Result<(), String> {
    let slack = 4096.min(whole.len());
    let at = whole
        .windows(part.len().clamp(1, 64))
        .take(slack)
        .position(|window| part.starts_with(window));
    let found = at.filter(|at| whole.get(*at..at + part.len()) == Some(part));
    match found {
        Some(at) if whole.len() - at - part.len() <= slack => Ok(()),
        Some(at) => Err(format!(
            "{} of {} bytes, from byte {at}",
            part.len(),
            whole.len()
        )),
        None => Err("the bytes are not those of the stream".to_owned()),
    }
}
