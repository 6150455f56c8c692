//! What pushed streams and files may be called.

use std::path::Path;

use crate::domain::{is_clip_id, is_stream_id};
use crate::sources::names::{PlaylistName, Role};

/// How deep files may lie below their stream's folder, the file itself counted.
const LEVELS: usize = 4;

/// The longest part of a path, in bytes: what file systems allow, and room for a temporary name.
const LONGEST_PART: usize = 200;

/// What playlists end with.
const PLAYLIST: &str = "m3u8";

/// What media files end with: segments and initialization sections of every form that can be cut.
pub(crate) const MEDIA: [&str; 17] = [
    "aac", "ac3", "cmfa", "cmft", "cmfv", "ec3", "fmp4", "m2ts", "m4a", "m4s", "m4v", "mp3", "mp4",
    "mts", "ts", "vtt", "webvtt",
];

/// Why a file may not be called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// It would be no stream's name, or the name of a part of another stream.
    #[error(
        "no pushed stream can have this name: it is 128 bytes at most, without slash, backslash, control \
         characters, two dots in a row, a dot at its beginning or an ending that names a quality or a date"
    )]
    Stream,
    /// It leads elsewhere, or to what is hidden.
    #[error(
        "the path has a part that is empty, longer than {LONGEST_PART} bytes, begins with a dot, or has \
         two dots in a row, a backslash or a control character in it"
    )]
    Part,
    /// It lies too deep.
    #[error("the path has more than {LEVELS} levels")]
    Depth,
    /// It is none of the files that HLS has.
    #[error(
        "only playlists (.m3u8) and media (.ts, .mp4, .m4s, .cmfv, .aac, .vtt, …) may be pushed"
    )]
    Extension,
    /// A clip might have this name.
    #[error("24 letters and digits with .mp4 is the name of a clip")]
    Clip,
}

/// Whether a text may be the name of a stream that is pushed: its playlist `{id}.m3u8` must be that of the stream
/// `{id}`, and of no other.
pub(crate) fn check_stream(id: &str) -> Result<(), NameError> {
    let name = PlaylistName::of(Path::new(&format!("{id}.{PLAYLIST}")));
    let own = name.is_some_and(|name| name.stream == id && name.role == Role::Main);
    if is_stream_id(id) && own {
        Ok(())
    } else {
        Err(NameError::Stream)
    }
}

/// Where a file lies in its stream's folder: `v0/seg1.ts`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MediaPath(String);

impl MediaPath {
    /// Reads a path that was decoded already.
    pub(crate) fn parse(path: &str) -> Result<Self, NameError> {
        let fine = |part: &str| {
            (1..=LONGEST_PART).contains(&part.len())
                && !part.starts_with('.')
                && !part.contains("..")
                && !part.contains('\\')
                && !part.chars().any(char::is_control)
        };
        if !path.split('/').all(fine) {
            return Err(NameError::Part);
        }
        if path.split('/').count() > LEVELS {
            return Err(NameError::Depth);
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let (stem, extension) = name.rsplit_once('.').ok_or(NameError::Extension)?;
        let is_media = MEDIA
            .iter()
            .any(|known| known.eq_ignore_ascii_case(extension));
        if extension != PLAYLIST && !is_media {
            return Err(NameError::Extension);
        }
        if is_clip_id(stem) && extension.eq_ignore_ascii_case("mp4") {
            return Err(NameError::Clip);
        }
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that it lies in, empty or with a slash at its end.
    pub(crate) fn folder(&self) -> &str {
        let end = self.0.rfind('/').map_or(0, |at| at + 1);
        self.0.get(..end).unwrap_or_default()
    }

    pub(crate) fn is_playlist(&self) -> bool {
        self.0.ends_with(".m3u8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_hls_below_the_streams_folder() {
        for good in [
            "a.ts",
            "init.mp4",
            "v0/seg-1.m4s",
            "a/b/c/d.CMFV",
            "50%.ts",
            "直 播.aac",
            "x.m3u8",
            "a/x.m3u8",
        ] {
            let path = MediaPath::parse(good).unwrap();
            assert_eq!(path.as_str(), good);
            assert_eq!(path.is_playlist(), good.ends_with("m3u8"));
        }
        assert_eq!(MediaPath::parse("a/b/c.ts").unwrap().folder(), "a/b/");
        assert_eq!(MediaPath::parse("c.ts").unwrap().folder(), "");
        let long = format!("{}.ts", "x".repeat(198));
        for (bad, why) in [
            ("", NameError::Part),
            ("/a.ts", NameError::Part),
            ("a//b.ts", NameError::Part),
            ("../a.ts", NameError::Part),
            ("a/../../b.ts", NameError::Part),
            ("./a.ts", NameError::Part),
            (".a.ts", NameError::Part),
            (".git/a.ts", NameError::Part),
            ("a\\b.ts", NameError::Part),
            ("a\nb.ts", NameError::Part),
            ("a\0.ts", NameError::Part),
            (&long, NameError::Part),
            ("a/b/c/d/e.ts", NameError::Depth),
            ("a", NameError::Extension),
            ("ts", NameError::Extension),
            ("a.html", NameError::Extension),
            ("a.json", NameError::Extension),
            ("a.M3U8", NameError::Extension),
            ("a.m3u8.tmp", NameError::Extension),
            ("abcdefghijklmnopqrstuvwx.mp4", NameError::Clip),
        ] {
            assert_eq!(MediaPath::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn streams_that_are_what_their_playlist_says() {
        for good in ["cam", "直播间", "a b", "cam@home", "index"] {
            assert_eq!(check_stream(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".cam",
            "a..b",
            "a\\b",
            "cam_adaptive",
            "cam_720p2000kbps",
            "cam-2024-09-30_00-07-27.342",
        ] {
            assert_eq!(check_stream(bad), Err(NameError::Stream), "{bad}");
        }
    }
}
