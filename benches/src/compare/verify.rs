//! Whether an output holds what it should, told by readers that are not Clipmill's.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;

use clipmill_tests::mp4;
use serde::{Deserialize, Serialize};

/// How far a length may be from what it should be, in seconds.
const NEAR: f64 = 0.15;

/// What is in a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Of each track: the kind, and how many samples.
    pub tracks: Vec<(Found, usize)>,
    /// Seconds from the first picture's presentation to the end of the last.
    pub seconds: f64,
}

/// The kind of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Found {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

impl Samples {
    /// Sentences about what is not as expected.
    #[must_use]
    pub fn differ_from(&self, expected: &Self) -> Vec<String> {
        let mut faults = Vec::new();
        for kind in [Found::Video, Found::Audio] {
            let of = |samples: &Self| -> Vec<usize> {
                let tracks = samples.tracks.iter().filter(|(found, _)| *found == kind);
                tracks.map(|(_, count)| *count).collect()
            };
            let (is, should) = (of(self), of(expected));
            let name = match kind {
                Found::Video => "pictures",
                Found::Audio => "frames of sound",
            };
            match (is.as_slice(), should.as_slice()) {
                (is, should) if is == should => {}
                ([is], [should]) if is < should => {
                    faults.push(format!("{} {name} lost", should - is));
                }
                ([is], [should]) => faults.push(format!("{} {name} too many", is - should)),
                (is, should) => faults.push(format!(
                    "{} tracks of {name} instead of {}",
                    is.len(),
                    should.len()
                )),
            }
        }
        if (self.seconds - expected.seconds).abs() > NEAR {
            faults.push(format!(
                "{:.2} s long instead of {:.2} s",
                self.seconds, expected.seconds
            ));
        }
        faults
    }
}

/// What is in a stream, as ffprobe counts it.
pub(super) fn input(playlist: &Path) -> Result<Samples, String> {
    let run = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-show_entries"])
        .args([
            "stream=codec_type,nb_read_packets,r_frame_rate",
            "-of",
            "json",
        ])
        .arg(playlist)
        .output()
        .map_err(|error| format!("ffprobe: {error}"))?;
    let seen: serde_json::Value =
        serde_json::from_slice(&run.stdout).map_err(|error| format!("ffprobe: {error}"))?;
    let mut samples = Samples::default();
    for stream in seen["streams"].as_array().into_iter().flatten() {
        let count = stream["nb_read_packets"].as_str();
        let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
        match stream["codec_type"].as_str() {
            Some("video") => {
                samples.tracks.push((Found::Video, count));
                let rate = stream["r_frame_rate"].as_str().unwrap_or_default();
                samples.seconds = count as f64 / frames_per_second(rate).unwrap_or(1.0);
            }
            Some("audio") => samples.tracks.push((Found::Audio, count)),
            _ => {}
        }
    }
    samples.tracks.sort_unstable();
    if samples.tracks.is_empty() {
        return Err(format!("ffprobe sees nothing in {}", playlist.display()));
    }
    Ok(samples)
}

fn frames_per_second(text: &str) -> Option<f64> {
    let (frames, seconds) = text.split_once('/')?;
    let rate = frames.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// What is in an output. Read in a process of its own, for its tables take memory, and the peaks
/// of other programs are counted from this one's.
pub(super) fn output(file: &Path) -> Result<Samples, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let run = Command::new(this).arg("samples").arg(file).output();
    let run = run.map_err(|error| error.to_string())?;
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr);
        return Err(said.lines().last().unwrap_or("cannot be read").to_owned());
    }
    serde_json::from_slice(&run.stdout).map_err(|error| error.to_string())
}

impl Samples {
    /// Those of an MP4.
    ///
    /// # Errors
    /// A sentence, when it is not a sound MP4.
    pub fn of(file: &Path) -> Result<Self, String> {
        let tables = tables(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let movie = mp4::read(&tables)?;
        let mut samples = Self::default();
        for track in &movie.tracks {
            let kind = match track.handler.as_str() {
                "vide" => Found::Video,
                "soun" => Found::Audio,
                _ => continue,
            };
            samples.tracks.push((kind, track.samples.len()));
            if kind == Found::Video {
                let first = track.samples.iter().map(|it| it.pts).min();
                let end = track
                    .samples
                    .iter()
                    .map(|it| it.pts + i64::from(it.duration))
                    .max();
                let ticks = end.unwrap_or(0) - first.unwrap_or(0);
                samples.seconds = ticks as f64 / f64::from(track.timescale.max(1));
            }
        }
        samples.tracks.sort_unstable();
        Ok(samples)
    }
}

/// An MP4 without its media: it may be larger than memory.
fn tables(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let (mut kept, mut at) = (Vec::new(), 0);
    while at + 8 <= length {
        file.seek(SeekFrom::Start(at))?;
        let mut header = [0; 16];
        file.read_exact(&mut header[..8])?;
        let mut size = u64::from(u32::from_be_bytes([
            header[0], header[1], header[2], header[3],
        ]));
        let mut head = 8;
        if size == 1 {
            file.read_exact(&mut header[8..])?;
            size = u64::from_be_bytes(header[8..].try_into().unwrap_or_default());
            head = 16;
        }
        if size == 0 {
            size = length - at;
        }
        if size < head || size > length - at {
            return Err(io::Error::other(format!(
                "the box at byte {at} does not fit"
            )));
        }
        if &header[4..8] == b"mdat" {
            kept.extend_from_slice(b"\0\0\0\x08mdat");
        } else {
            file.seek(SeekFrom::Start(at))?;
            let mut whole = Vec::new();
            (&file).take(size).read_to_end(&mut whole)?;
            kept.append(&mut whole);
        }
        at += size;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(video: usize, audio: usize, seconds: f64) -> Samples {
        Samples {
            tracks: vec![(Found::Video, video), (Found::Audio, audio)],
            seconds,
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let should = samples(18_002, 28_126, 600.0);
        assert!(
            samples(18_002, 28_126, 600.02)
                .differ_from(&should)
                .is_empty()
        );
        let faults = samples(18_000, 28_127, 616.9).differ_from(&should);
        let expected = [
            "2 pictures lost",
            "1 frames of sound too many",
            "616.90 s long instead of 600.00 s",
        ];
        assert_eq!(faults, expected);
        let mut silent = should.clone();
        silent.tracks.pop();
        let faults = silent.differ_from(&should);
        assert_eq!(faults, ["0 tracks of frames of sound instead of 1"]);
    }

    #[test]
    fn media_is_left_out_and_its_length_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.mp4");
        let mut file = b"\0\0\0\x10ftypisom\0\0\0\0".to_vec();
        file.extend_from_slice(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x14data");
        file.extend_from_slice(b"\0\0\0\x0cfreexxxx\0\0\0\0mdatrest");
        std::fs::write(&path, file).unwrap();
        let kept = tables(&path).unwrap();
        assert_eq!(
            kept,
            b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08mdat\0\0\0\x0cfreexxxx\0\0\0\x08mdat"
        );
        std::fs::write(&path, b"\0\0\0\x20ftypisom").unwrap();
        assert!(tables(&path).is_err());
    }

    #[test]
    fn frame_rates() {
        assert_eq!(frames_per_second("30/1"), Some(30.0));
        assert_eq!(frames_per_second("0/0"), None);
        assert_eq!(frames_per_second("30"), None);
    }
}
