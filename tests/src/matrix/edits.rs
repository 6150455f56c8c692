//! What lies between a sender and whoever cuts: renamed files, rewritten playlists, damage.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::http::FileServer;

/// A change of a stream.
#[derive(Debug, Clone, Copy)]
pub enum Edit {
    /// Another playlist is cut, of the same media.
    Instead(&'static str),
    /// Of the text of the playlist.
    Text(fn(&str) -> String),
    /// Segments get this before their names, as it is and as it stands in a URI.
    Rename(&'static str, &'static str),
    /// A segment, by its position, has so many bytes left, in percent.
    Cut(usize, usize),
    /// Segments are named by their absolute paths.
    Absolute,
    /// The playlist comes over HTTP, and names segments by `http:` URIs.
    Http,
    /// The same, by `//host/…`.
    Host,
    /// Segments are parts of longer ones, as low-latency servers list them: so many each.
    Parts(usize),
}

/// A stream that can be cut.
pub(super) struct Edited {
    playlist: OsString,
    _server: Option<FileServer>,
}

impl Edited {
    pub(super) fn of(playlist: PathBuf) -> Self {
        Self {
            playlist: playlist.into(),
            _server: None,
        }
    }

    pub(super) fn arguments(&self) -> Vec<OsString> {
        vec![self.playlist.clone()]
    }
}

/// Each line of a media playlist that names a segment is replaced.
fn map_uris(text: &str, with: impl Fn(&str) -> String) -> String {
    let lines = text.lines().map(|line| match line {
        uri if !uri.is_empty() && !uri.starts_with('#') => with(uri),
        tag => tag.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

pub(super) fn edit(edit: Edit, folder: &Path, playlist: &str) -> Edited {
    let path = folder.join(playlist);
    let text = fs::read_to_string(&path).unwrap();
    let write = |text: String| fs::write(&path, text).unwrap();
    match edit {
        Edit::Instead(other) => return Edited::of(folder.join(other)),
        Edit::Text(change) => write(change(&text)),
        Edit::Rename(name, uri) => write(map_uris(&text, |segment| {
            fs::rename(
                folder.join(segment),
                folder.join(format!("{name}{segment}")),
            )
            .unwrap();
            format!("{uri}{segment}")
        })),
        Edit::Cut(at, percent) => {
            let mut uris = text
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            let file = folder.join(uris.nth(at).unwrap());
            let bytes = fs::read(&file).unwrap();
            fs::write(&file, &bytes[..bytes.len() * percent / 100]).unwrap();
        }
        Edit::Absolute => write(map_uris(&text, |segment| {
            folder.join(segment).display().to_string()
        })),
        Edit::Http | Edit::Host => {
            let server = FileServer::new(folder);
            let base = server.url("");
            let base = match edit {
                Edit::Host => base.trim_start_matches("http:"),
                _ => &base,
            };
            write(map_uris(&text, |segment| format!("{base}{segment}")));
            return Edited {
                playlist: server.url(playlist).into(),
                _server: Some(server),
            };
        }
        Edit::Parts(count) => write(in_parts(&text, folder, count)),
    }
    Edited::of(path)
}

/// Segments become parts, and so many of them a segment. The last ones are listed as parts alone.
fn in_parts(text: &str, folder: &Path, count: usize) -> String {
    let map = text
        .lines()
        .find(|line| line.starts_with("#EXT-X-MAP"))
        .unwrap_or_default();
    let durations = text
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:"));
    let durations: Vec<f64> = durations
        .map(|value| value.trim_end_matches(',').parse().unwrap())
        .collect();
    let uris = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parts: Vec<_> = uris.zip(durations).collect();
    let longest = parts
        .iter()
        .map(|(_, duration)| *duration)
        .fold(0.0, f64::max);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={:.5},CAN-SKIP-UNTIL=12.0\n\
         #EXT-X-PART-INF:PART-TARGET={longest:.5}\n#EXT-X-MEDIA-SEQUENCE:7\n{map}\n",
        longest * 3.0
    );
    let mut segments = parts.chunks(count).enumerate().peekable();
    while let Some((n, parts)) = segments.next() {
        let mut bytes = Vec::new();
        for (uri, duration) in parts {
            bytes.extend(fs::read(folder.join(uri)).unwrap());
            text += &format!("#EXT-X-PART:DURATION={duration:.5},URI=\"{uri}\",INDEPENDENT=YES\n");
        }
        if segments.peek().is_some() {
            let name = format!("seg{n}.mp4");
            fs::write(folder.join(&name), bytes).unwrap();
            let duration: f64 = parts.iter().map(|(_, duration)| duration).sum();
            text += &format!("#EXTINF:{duration:.5},\n{name}\n");
        }
    }
    text + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"next.mp4\"\n"
}
