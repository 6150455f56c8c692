//! What the name of a playlist says about the stream that it belongs to.
//!
//! Media servers write `{id}.m3u8` (ffmpeg, SRS, nginx-rtmp, Ant Media), `{id}/index.m3u8`
//! (nginx-rtmp with `hls_nested`), `{id}_adaptive.m3u8` with `{id}_{height}p{kbps}kbps.m3u8`
//! (Ant Media, adaptive) and `{id}-{yyyy-MM-dd_HH-mm-ss.SSS}.m3u8` (Ant Media with dates in names).
//! Names under which playlists are written before they are renamed (`.m3u8.tmp`, `.m3u8.bak`,
//! dot-files) are nobody's.

use std::path::{Component, Path};

use crate::domain::is_stream_id;

/// Playlists that nested layouts name alike for every stream: the folder has the stream's name.
const COMMON_NAMES: [&str; 3] = ["index", "master", "playlist"];

/// What part a playlist has in its stream. Later ones serve only when earlier ones are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// `{id}.m3u8`, `{id}/index.m3u8`, `{id}-{date}.m3u8`.
    Main,
    /// `{id}_{height}p{kbps}kbps.m3u8`; in order of quality, best first.
    Rendition {
        /// Negated, so that more comes first.
        minus_height: i32,
        /// Negated, so that more comes first.
        minus_kbps: i32,
    },
    /// `{id}_adaptive.m3u8`: lists renditions, holds no media.
    Adaptive,
}

/// The stream and the part that a playlist's path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlaylistName {
    pub(crate) stream: String,
    pub(crate) role: Role,
    /// Its folder under the streams folder, `/` between the parts.
    pub(crate) sub_folder: Option<String>,
}

impl PlaylistName {
    /// Reads a path relative to the streams folder. `None` when it is no playlist of a stream.
    pub(crate) fn of(relative: &Path) -> Option<Self> {
        let mut folders = Vec::new();
        for part in relative.components() {
            let Component::Normal(part) = part else {
                return None;
            };
            let part = part.to_str().filter(|part| !part.starts_with('.'))?;
            folders.push(part);
        }
        let (stream, role) = stream_of(&mut folders)?;
        is_stream_id(stream).then(|| Self {
            stream: stream.to_owned(),
            role,
            sub_folder: (!folders.is_empty()).then(|| folders.join("/")),
        })
    }
}

/// Takes the file's name off its folders: the stream that it names, and its part in that.
fn stream_of<'a>(folders: &mut Vec<&'a str>) -> Option<(&'a str, Role)> {
    let stem = folders.pop()?.strip_suffix(".m3u8")?;
    let (name, role) = split_role(stem);
    let name = without_date(name);
    let stream = match folders.last() {
        Some(folder) if role == Role::Main && COMMON_NAMES.contains(&name) => folder,
        _ => name,
    };
    Some((stream, role))
}

fn split_role(stem: &str) -> (&str, Role) {
    if let Some(name) = stem
        .strip_suffix("_adaptive")
        .filter(|name| !name.is_empty())
    {
        return (name, Role::Adaptive);
    }
    match rendition(stem) {
        Some((name, role)) => (name, role),
        None => (stem, Role::Main),
    }
}

/// `{id}_{height}p{kbps}kbps`.
fn rendition(stem: &str) -> Option<(&str, Role)> {
    let (name, quality) = stem.rsplit_once('_')?;
    let (height, kbps) = quality.strip_suffix("kbps")?.split_once('p')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i32>().ok().filter(|_| digits)
    };
    let role = Role::Rendition {
        minus_height: -number(height)?,
        minus_kbps: -number(kbps)?,
    };
    (!name.is_empty()).then_some((name, role))
}

/// `{id}-{yyyy-MM-dd_HH-mm-ss.SSS}` without the date.
fn without_date(name: &str) -> &str {
    const SHAPE: &[u8] = b"-dddd-dd-dd_dd-dd-dd.ddd";
    let Some(at) = name.len().checked_sub(SHAPE.len()).filter(|&at| at > 0) else {
        return name;
    };
    let (Some(id), Some(date)) = (name.get(..at), name.as_bytes().get(at..)) else {
        return name;
    };
    let fits = SHAPE.iter().zip(date).all(|(&shape, &byte)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    });
    if fits { id } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<(String, Role, Option<String>)> {
        let name = PlaylistName::of(Path::new(path))?;
        Some((name.stream, name.role, name.sub_folder))
    }

    fn main(stream: &str, sub_folder: Option<&str>) -> Option<(String, Role, Option<String>)> {
        Some((stream.to_owned(), Role::Main, sub_folder.map(str::to_owned)))
    }

    #[test]
    fn names_of_every_server() {
        assert_eq!(of("cam1.m3u8"), main("cam1", None));
        assert_eq!(of("live/a.b-c_d.m3u8"), main("a.b-c_d", Some("live")));
        assert_eq!(of("x/cam1/index.m3u8"), main("cam1", Some("x/cam1")));
        assert_eq!(of("index.m3u8"), main("index", None));
        assert_eq!(of("cam1-2024-09-30_00-07-27.342.m3u8"), main("cam1", None));
        assert_eq!(
            of("cam1_adaptive.m3u8"),
            Some(("cam1".to_owned(), Role::Adaptive, None))
        );
        let rendition = Role::Rendition {
            minus_height: -720,
            minus_kbps: -2000,
        };
        assert_eq!(
            of("cam1_720p2000kbps.m3u8"),
            Some(("cam1".to_owned(), rendition, None))
        );
        assert_eq!(
            of("cam_1-2024-09-30_00-07-27.342_720p2000kbps.m3u8"),
            Some(("cam_1".to_owned(), rendition, None))
        );
    }

    #[test]
    fn names_in_any_script() {
        for id in [
            "直播间",
            "with space",
            "a+b",
            "cam@home",
            "naïve",
            "50%",
            "a?b#c",
        ] {
            assert_eq!(of(&format!("{id}.m3u8")), main(id, None));
            assert_eq!(of(&format!("{id}/index.m3u8")), main(id, Some(id)));
            let dated = format!("x y/{id}-2024-09-30_00-07-27.342.m3u8");
            assert_eq!(of(&dated), main(id, Some("x y")));
            let adaptive = Some((id.to_owned(), Role::Adaptive, None));
            assert_eq!(of(&format!("{id}_adaptive.m3u8")), adaptive);
        }
        // Composed and not: two files, two streams.
        assert_ne!(of("naïve.m3u8"), of("nai\u{308}ve.m3u8"));
    }

    #[test]
    fn names_that_only_look_like_it() {
        assert_eq!(of("cam_720p.m3u8"), main("cam_720p", None));
        assert_eq!(of("_adaptive.m3u8"), main("_adaptive", None));
        assert_eq!(of("cam_p2000kbps.m3u8"), main("cam_p2000kbps", None));
        assert_eq!(of("cam-2024-9-30.m3u8"), main("cam-2024-9-30", None));
        for nobodys in [
            "cam.m3u8.tmp",
            "cam.m3u8.bak",
            ".cam.m3u8",
            ".hidden/cam.m3u8",
            "../cam.m3u8",
            "/cam.m3u8",
            "a\tb.m3u8",
            "a..b.m3u8",
            "a\\b.m3u8",
            ".m3u8",
            "cam.ts",
            "",
        ] {
            assert_eq!(of(nobodys), None, "{nobodys}");
        }
        assert_eq!(of(&format!("{}.m3u8", "x".repeat(129))), None);
    }

    #[test]
    fn the_best_rendition_comes_first() {
        let role = |name: &str| PlaylistName::of(Path::new(name)).unwrap().role;
        assert!(role("a_720p2000kbps.m3u8") < role("a_480p900kbps.m3u8"));
        assert!(role("a_720p2000kbps.m3u8") < role("a_720p900kbps.m3u8"));
        assert!(role("a.m3u8") < role("a_720p2000kbps.m3u8"));
        assert!(role("a_240p200kbps.m3u8") < role("a_adaptive.m3u8"));
    }
}
