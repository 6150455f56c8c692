//! Files that appear whole or not at all.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::ClipError;

/// Lets `write` fill a new file beside `path`, then gives it that name, in place of what may have
/// been there. Nothing is left behind when `write` fails.
pub(crate) fn replace<T>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<T, ClipError>,
) -> Result<T, ClipError> {
    let failed = |error: io::Error| ClipError::Write {
        path: path.to_owned(),
        error,
    };
    // A device or a pipe cannot be replaced; it takes the bytes as they come.
    if !is_replaced(path) {
        let mut file = File::options().write(true).open(path).map_err(failed)?;
        return write(&mut file);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Without this the message would name the temporary file.
    std::fs::metadata(folder).map_err(failed)?;
    let name = path.file_name().ok_or_else(|| {
        failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not the name of a file",
        ))
    })?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&hidden).suffix(".part");
    #[cfg(unix)]
    {
        // Those of any new file, under the process's umask; temporary files are private otherwise.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    let written = write(file.as_file_mut())?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(written)
}

/// Whether a new file will take this name; a device or a pipe keeps it, and takes bytes in order
/// alone.
pub(crate) fn is_replaced(path: &Path) -> bool {
    !std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}
