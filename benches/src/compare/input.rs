//! What is cut: a stream on disk, and the forms of it that programs want.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use super::copying;
use super::template::Values;
use super::verify::{self, Samples};
use crate::media::{self, Kind};

/// Seconds of a segment.
const SEGMENT: u64 = 2;

/// Which input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum InputName {
    /// One segment of 2 s of 1080p at 5 Mbit/s
    #[value(name = "S")]
    Segment,
    /// 10 min of 1080p at 5 Mbit/s, 375 MB
    #[value(name = "A")]
    TenMinutes,
    /// 1 h of the same, 2.3 GB
    #[value(name = "B")]
    Hour,
    /// 10 min of 2160p H.265 at 20 Mbit/s, 1.5 GB
    #[value(name = "C")]
    Uhd,
}

impl fmt::Display for InputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Segment => "S",
            Self::TenMinutes => "A",
            Self::Hour => "B",
            Self::Uhd => "C",
        })
    }
}

impl InputName {
    /// What it is made of.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Segment | Self::TenMinutes | Self::Hour => {
                "1080p30 H.264 High with B-frames, 5 Mbit/s, AAC 128 kbit/s"
            }
            Self::Uhd => "2160p30 H.265, 20 Mbit/s, AAC 128 kbit/s",
        }
    }

    fn seconds(self) -> u32 {
        match self {
            Self::Segment | Self::TenMinutes | Self::Uhd => 600,
            Self::Hour => 3_600,
        }
    }

    /// The element that parses its pictures in GStreamer.
    pub(super) fn parser(self) -> &'static str {
        match self {
            Self::Uhd => "h265parse",
            _ => "h264parse",
        }
    }
}

/// A stream on disk.
pub(super) struct Input {
    pub(super) name: InputName,
    /// Where the segments lie.
    pub(super) folder: PathBuf,
    pub(super) playlist: PathBuf,
    /// File names, relative to the folder.
    pub(super) segments: Vec<PathBuf>,
    pub(super) seconds: u64,
    pub(super) bytes: u64,
    /// What an output should hold.
    pub(super) samples: Samples,
    /// For outputs.
    pub(super) scratch: PathBuf,
}

impl Input {
    /// Makes it, where it is not there yet.
    pub(super) fn make(name: InputName, folder: &Path, scratch: &Path) -> Result<Self, String> {
        let kind = match name {
            InputName::Uhd => Kind::Uhd,
            _ => Kind::Hd,
        };
        let whole = media::stream(folder, kind, name.seconds())?;
        let (playlist, files) = if name == InputName::Segment {
            media::first_segments(&whole, 1, &scratch.join("input"))
        } else {
            let files = media::segments(&whole);
            (whole, files)
        };
        let io = |error: std::io::Error| error.to_string();
        let playlist = playlist.canonicalize().map_err(io)?;
        let folder = playlist.parent().unwrap_or(Path::new("/")).to_owned();
        let lengths = files.iter().map(|file| file.metadata().map(|it| it.len()));
        let bytes = lengths.sum::<Result<u64, _>>().map_err(io)?;
        let segments: Vec<PathBuf> = files
            .iter()
            .filter_map(|file| Some(file.file_name()?.into()))
            .collect();
        Ok(Self {
            name,
            seconds: match name {
                InputName::Segment => SEGMENT,
                _ => u64::from(name.seconds()),
            },
            samples: verify::input(&playlist)?,
            scratch: scratch.canonicalize().map_err(io)?,
            folder,
            playlist,
            segments,
            bytes,
        })
    }

    /// Makes the forms of it that these words name.
    pub(super) fn prepare(&self, uses: &[&str]) -> std::io::Result<()> {
        if uses.contains(&"concat") && !self.concat().is_file() {
            let files: Vec<_> = self
                .segments
                .iter()
                .map(|name| self.folder.join(name))
                .collect();
            copying::copy(&self.concat(), &files, 0)?;
        }
        if uses.contains(&"list") {
            let mut text = String::new();
            for name in &self.segments {
                // As the concat demuxer quotes.
                let path = self.folder.join(name).display().to_string();
                let _ = writeln!(text, "file '{}'", path.replace('\'', r"'\''"));
            }
            std::fs::write(self.list(), text)?;
        }
        Ok(())
    }

    fn concat(&self) -> PathBuf {
        self.scratch.join("all.ts")
    }

    fn list(&self) -> PathBuf {
        self.scratch.join("list.txt")
    }

    /// What stands for the words of a command.
    pub(super) fn values(&self, out: &Path) -> Values {
        let one = |path: &Path| vec![path.as_os_str().to_owned()];
        let this = std::env::current_exe().unwrap_or_default();
        [
            ("playlist", one(&self.playlist)),
            ("out", one(out)),
            (
                "segments",
                self.segments
                    .iter()
                    .map(|it| it.as_os_str().to_owned())
                    .collect(),
            ),
            ("concat", one(&self.concat())),
            ("list", one(&self.list())),
            ("step", one(&self.scratch.join("step-1.mp4"))),
            ("seconds", vec![self.seconds.to_string().into()]),
            ("clipmill", one(clipmill_tests::binary::path())),
            ("bench", one(&this)),
        ]
        .into_iter()
        .collect()
    }
}
