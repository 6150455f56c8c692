//! URIs in playlists that are served (RFC 3986, 2.1).
//!
//! A media server writes the names of its files into a playlist as they are, and a stream's name may hold
//! what means something else in a URI: a player would ask for another file.

use std::path::Path;

use clipmill_playlist::map_uris;

use crate::domain::percent_encoded;

/// What a name must not hold to be a URI as it is.
const TELLING: [char; 3] = ['%', '?', '#'];

/// Whether a playlist of this name may list such files.
pub(super) fn may_need_escapes(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.contains(TELLING)
}

/// The same playlist, with the names of files that are there as URIs.
pub(super) fn escaped(text: &str, folder: &Path) -> String {
    let is_file = |name: &str| folder.join(name).is_file();
    map_uris(text, &|uri: &str| {
        let plain = !uri.contains(TELLING) || uri.contains("://");
        (!plain && is_file(uri)).then(|| percent_encoded(uri))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_taken_for_something_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a%20b?#0.ts", "i%.mp4"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let text =
            "#EXTM3U\n#EXT-X-MAP:URI=\"i%.mp4\"\n#EXTINF:2,\na%20b?#0.ts\n#EXTINF:2,\nc.ts?t=1\n";
        assert_eq!(
            escaped(text, folder.path()),
            "#EXTM3U\n#EXT-X-MAP:URI=\"i%25.mp4\"\n#EXTINF:2,\na%2520b%3F%230.ts\n#EXTINF:2,\nc.ts?t=1\n"
        );
        assert!(may_need_escapes("x/50%.m3u8") && !may_need_escapes("50%/直播.m3u8"));
        assert_eq!(
            percent_encoded("直 a+b/c(1).m3u8"),
            "%E7%9B%B4%20a+b/c(1).m3u8"
        );
    }
}
