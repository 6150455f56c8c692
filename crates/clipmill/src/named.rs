//! Where a URI of a playlist leads on this machine.
//!
//! By names alone, a folder that is called `live` does not hold `/srv/live/a.ts`, whatever the current
//! folder is. So what leads outside by its name is judged by where it really is, and the answer is the
//! same however the playlist was named.

use std::fs;
use std::path::{Path, PathBuf};

use clipmill_playlist::{Location, LocationError, candidates, resolve};

/// Where `uri` in the playlist at `base` leads: as [`resolve`] has it, and inside the playlist's folder
/// by whatever name.
///
/// # Errors
/// As [`resolve`].
pub(crate) fn locate(
    base: &Location,
    uri: &str,
    allow_outside: bool,
) -> Result<Location, LocationError> {
    let found = resolve(base, uri, allow_outside);
    let (Err(LocationError::Outside { .. }), Some(folder)) = (&found, base.folder()) else {
        return found;
    };
    let readings = candidates(base, uri, None)?;
    let Some(folder) = real(folder) else {
        return found;
    };
    let inside = |reading: &Location| match reading {
        Location::File(path) => path
            .parent()
            .and_then(real)
            .is_some_and(|parent| parent.starts_with(&folder)),
        Location::Url(_) => false,
    };
    if !readings.iter().all(inside) {
        return found;
    }
    readings.into_iter().next().map_or(found, Ok)
}

fn real(folder: &Path) -> Option<PathBuf> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    fs::canonicalize(folder).ok()
}

/// The last part of a location's path.
pub(crate) fn file_name(location: &Location) -> String {
    let name = match location {
        Location::File(path) => path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned()),
        Location::Url(url) => url
            .path_segments()
            .and_then(|mut parts| parts.next_back())
            .map(str::to_owned),
    };
    name.unwrap_or_else(|| location.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same playlist by different names, and what its URIs lead to.
    #[test]
    fn however_the_playlist_is_named_its_folder_is_the_same() {
        let root = tempfile::tempdir_in(".").unwrap();
        let absolute = root.path().canonicalize().unwrap();
        let relative = Path::new(root.path().file_name().unwrap());
        for folder in ["live/sub", "other"] {
            fs::create_dir_all(absolute.join(folder)).unwrap();
        }
        let by_link = absolute.join("link");
        std::os::unix::fs::symlink("live", &by_link).unwrap();
        let leads = |folder: PathBuf, uri: &str| {
            let base = Location::File(folder.join("x.m3u8"));
            locate(&base, uri, false).map(|found| match found {
                Location::File(path) => path.parent().and_then(real).unwrap(),
                Location::Url(url) => panic!("{url}"),
            })
        };
        let shown = absolute.display();
        for folder in [relative.join("live"), absolute.join("live"), by_link] {
            for (uri, inside) in [
                ("a.ts".to_owned(), "live"),
                ("sub/a.ts".to_owned(), "live/sub"),
                ("../live/a.ts".to_owned(), "live"),
                (format!("{shown}/live/a.ts"), "live"),
                (format!("{shown}/link/sub/a.ts?t=1"), "live/sub"),
                (format!("file://{shown}/live/sub/a.ts"), "live/sub"),
                (format!("file://localhost{shown}/live/a.ts"), "live"),
            ] {
                let found = leads(folder.clone(), &uri);
                assert_eq!(found, Ok(absolute.join(inside)), "{folder:?} {uri}");
            }
            for uri in [
                "../a.ts".to_owned(),
                "../other/a.ts".to_owned(),
                "/etc/passwd".to_owned(),
                format!("{shown}/other/a.ts"),
                format!("{shown}/live/../other/a.ts"),
                format!("file://{shown}/other/a.ts"),
                format!("{shown}/live%2f..%2fother/a.ts"),
                format!("{shown}/nowhere/a.ts"),
                format!("/{shown}/../live/a.ts"),
            ] {
                let found = leads(folder.clone(), &uri);
                let refused = matches!(found, Err(LocationError::Outside { .. }));
                assert!(refused, "{folder:?} {uri} {found:?}");
            }
        }
    }
}
