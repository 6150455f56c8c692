//! What was sent: decoded pictures and coded sound, by ffmpeg, of the segments one after the other.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tools::{ffmpeg, ffprobe};

/// A picture or a frame of sound.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    /// When it is presented, in seconds.
    pub(super) time: f64,
    /// What it is.
    pub(super) hash: String,
    /// Decoding can begin at it.
    pub(super) key: bool,
}

/// What lies between two discontinuities.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub(super) video: Vec<Frame>,
    pub(super) sounds: Vec<Vec<Frame>>,
}

/// A stream as it was sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Truth {
    pub(super) runs: Vec<Run>,
    /// What its playlist says that its segments last, in seconds.
    pub(super) durations: Vec<f64>,
    /// What ffmpeg complains of when it decodes what was sent.
    pub(super) complaints: String,
}

/// One segment of a playlist.
#[derive(Debug, Clone, Default)]
struct Segment {
    file: PathBuf,
    range: Option<(usize, usize)>,
    map: Option<(PathBuf, Option<(usize, usize)>)>,
    duration: f64,
    discontinuity: bool,
}

/// Frames of sound that are sent in other bytes than those of a clip are the same when they are decoded.
pub(super) const DECODED: [&str; 2] = ["-c:a", "pcm_f32le"];

/// Reads what a playlist lists, renditions of sound with it.
pub(super) fn read(playlist: &Path, scratch: &Path) -> Result<Truth, String> {
    let text = fs::read_to_string(playlist).map_err(|error| format!("no playlist: {error}"))?;
    if !text.contains("#EXT-X-STREAM-INF") {
        return read_media(playlist, scratch, "main");
    }
    let folder = playlist.parent().unwrap();
    let mut lines = text.lines();
    let best = lines
        .by_ref()
        .filter(|line| line.starts_with("#EXT-X-STREAM-INF"));
    let rates = best.map(|line| attribute(line, "BANDWIDTH").parse::<u64>().unwrap_or(0));
    let rates: Vec<_> = rates.collect();
    let uris = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let uris: Vec<_> = uris.collect();
    let best = (0..uris.len()).max_by_key(|at| rates.get(*at)).unwrap();
    let mut truth = read_media(&folder.join(decoded(uris[best])), scratch, "best")?;
    let sounds = text.lines().filter(|line| {
        line.starts_with("#EXT-X-MEDIA:") && line.contains("TYPE=AUDIO") && line.contains("URI=")
    });
    for (n, line) in sounds.enumerate() {
        let uri = decoded(&attribute(line, "URI"));
        let sound = read_media(&folder.join(uri), scratch, &format!("sound{n}"))?;
        for (run, sound) in truth.runs.iter_mut().zip(sound.runs) {
            run.sounds.extend(sound.sounds);
        }
    }
    Ok(truth)
}

fn read_media(playlist: &Path, scratch: &Path, name: &str) -> Result<Truth, String> {
    let segments = segments(playlist)?;
    let mut truth = Truth::default();
    let mut bytes: Vec<Vec<u8>> = Vec::new();
    let mut map = None;
    for segment in &segments {
        if segment.discontinuity || bytes.is_empty() {
            bytes.push(Vec::new());
            map = None;
        }
        let run = bytes.last_mut().unwrap();
        if map != segment.map {
            map.clone_from(&segment.map);
            if let Some((file, range)) = &map {
                run.extend(part(file, *range)?);
            }
        }
        run.extend(part(&segment.file, segment.range)?);
        truth.durations.push(segment.duration);
    }
    for (n, bytes) in bytes.iter().enumerate() {
        let file = scratch.join(format!("{name}{n}.bin"));
        fs::write(&file, bytes).unwrap();
        let (run, complaints) = frames(&file)?;
        truth.complaints += &complaints;
        truth.runs.push(run);
    }
    Ok(truth)
}

fn part(file: &Path, range: Option<(usize, usize)>) -> Result<Vec<u8>, String> {
    let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(match range {
        Some((start, len)) => bytes[start..start + len].to_vec(),
        None => bytes,
    })
}

fn segments(playlist: &Path) -> Result<Vec<Segment>, String> {
    let text = fs::read_to_string(playlist).map_err(|error| format!("no playlist: {error}"))?;
    let folder = playlist.parent().unwrap();
    let (mut all, mut next, mut end) = (Vec::new(), Segment::default(), 0);
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("#EXTINF:") {
            next.duration = value.split(',').next().unwrap().parse().unwrap();
        } else if let Some(value) = line.strip_prefix("#EXT-X-BYTERANGE:") {
            next.range = Some(range(value, end));
        } else if line.starts_with("#EXT-X-MAP:") {
            let value = attribute(line, "BYTERANGE");
            let range = (!value.is_empty()).then(|| range(&value, 0));
            next.map = Some((folder.join(decoded(&attribute(line, "URI"))), range));
        } else if line == "#EXT-X-DISCONTINUITY" {
            next.discontinuity = true;
        } else if !line.starts_with('#') && !line.trim().is_empty() {
            next.file = folder.join(decoded(line));
            end = next.range.map_or(0, |(start, len)| start + len);
            all.push(next.clone());
            next.range = None;
            next.discontinuity = false;
        }
    }
    Ok(all)
}

/// `length[@offset]`.
fn range(value: &str, end: usize) -> (usize, usize) {
    let (len, start) = match value.split_once('@') {
        Some((len, start)) => (len, start.parse().unwrap()),
        None => (value, end),
    };
    (start, len.parse().unwrap())
}

fn attribute(line: &str, name: &str) -> String {
    let value = line.split(&format!("{name}=")).nth(1).unwrap_or_default();
    match value.strip_prefix('"') {
        Some(value) => value.split('"').next().unwrap_or_default().to_owned(),
        None => value.split(',').next().unwrap_or_default().to_owned(),
    }
}

fn decoded(uri: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), uri.as_bytes());
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let escaped =
            escaped.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8(bytes).unwrap()
}

/// What is in a file of any kind.
fn frames(file: &Path) -> Result<(Run, String), String> {
    let streams = ffprobe(
        file,
        &[
            "-count_packets",
            "-show_entries",
            "stream=index,codec_type,codec_name,nb_read_packets:format=format_name",
        ],
    );
    let format = streams["format"]["format_name"]
        .as_str()
        .unwrap_or_default();
    let is_adts = matches!(format, "mpegts" | "aac");
    // Senders declare sound and pictures that never come.
    let comes = |one: &&Value| {
        one["nb_read_packets"]
            .as_str()
            .is_some_and(|count| count != "0")
    };
    let streams = streams["streams"].as_array().unwrap();
    let streams: Vec<_> = streams.iter().filter(comes).collect();
    let count = |kind: &str| {
        streams
            .iter()
            .filter(|one| one["codec_type"] == kind)
            .count()
    };
    let mut run = Run::default();
    let mut complaints = String::new();
    if count("video") > 0 {
        let (frames, said) = pictures(file)?;
        complaints = said;
        run.video = frames;
        let shown = [
            "-select_streams",
            "v:0",
            "-show_entries",
            "packet=pts_time,flags",
        ];
        let packets = ffprobe(file, &shown);
        let keys: Vec<f64> = packets["packets"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|packet| {
                packet["flags"]
                    .as_str()
                    .unwrap_or_default()
                    .starts_with('K')
            })
            .filter_map(|packet| packet["pts_time"].as_str()?.parse().ok())
            .collect();
        for frame in &mut run.video {
            frame.key = keys.iter().any(|key| (key - frame.time).abs() < 0.000_1);
        }
    }
    let sounds = streams.iter().filter(|one| one["codec_type"] == "audio");
    for stream in sounds {
        let adts = is_adts && stream["codec_name"] == "aac";
        let map = format!("0:{}", stream["index"]);
        let mut args = vec![
            "-copyts",
            "-i",
            file.to_str().unwrap(),
            "-map",
            &map,
            "-c",
            "copy",
        ];
        if adts {
            args.extend(["-bsf:a", "aac_adtstoasc"]);
        }
        if stream["codec_name"] == "aac_latm" {
            args.extend(DECODED);
        }
        args.extend(["-f", "framehash", "-hash", "md5", "-"]);
        let found = listed(&ffmpeg(args).stdout);
        run.sounds.push(
            found
                .into_iter()
                .map(|frame| Frame { key: true, ..frame })
                .collect(),
        );
    }
    Ok((run, complaints))
}

/// The decoded pictures of a file, in the order of their presentation, and what the decoder complains of.
pub(super) fn pictures(file: &Path) -> Result<(Vec<Frame>, String), String> {
    let mut args = vec!["-copyts", "-i", file.to_str().unwrap(), "-map", "0:v:0"];
    args.extend("-vsync passthrough -enc_time_base -1 -c:v rawvideo -pix_fmt yuv420p".split(' '));
    args.extend(["-f", "framehash", "-hash", "md5", "-"]);
    let run = ffmpeg(args);
    if run.code != 0 {
        return Err(format!(
            "ffmpeg cannot decode it: {}",
            first_line(&run.stderr)
        ));
    }
    Ok((listed(&run.stdout), run.stderr))
}

/// The frames that the framehash muxer lists.
pub(super) fn listed(text: &[u8]) -> Vec<Frame> {
    let text = String::from_utf8_lossy(text);
    let mut tick = 0.0;
    let mut frames = Vec::new();
    for line in text.lines() {
        if let Some(base) = line.strip_prefix("#tb 0: ") {
            let (num, den) = base.split_once('/').unwrap();
            tick = num.parse::<f64>().unwrap() / den.parse::<f64>().unwrap();
        }
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        if line.starts_with('#') || fields.len() < 6 {
            continue;
        }
        frames.push(Frame {
            time: fields[2].parse::<f64>().unwrap() * tick,
            hash: fields[5].to_owned(),
            key: false,
        });
    }
    frames
}

pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
