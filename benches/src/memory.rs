//! A clip of an hour must be cut within a bound, however long it is.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::media::{self, Kind};
use crate::process;

/// What a clip may take.
const PEAK_KIB: u64 = 64 * 1024;

/// Longer than this is a hang.
const LIMIT: Duration = Duration::from_secs(300);

/// Cuts a stream of so many seconds to a file of both formats.
///
/// # Panics
/// When there is no room for the output.
pub fn run(folder: &Path, seconds: u32) -> ExitCode {
    let playlist = match media::stream(folder, Kind::Hd, seconds) {
        Ok(playlist) => playlist,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let scratch = tempfile::tempdir_in(folder).unwrap();
    let mut code = ExitCode::SUCCESS;
    for format in ["mp4", "fmp4"] {
        let out = scratch.path().join("clip.mp4");
        let mut command = Command::new(clipmill_tests::binary::path());
        command.args(["cut", "--quiet", "--format", format]);
        command.arg(&playlist).arg("-o").arg(&out);
        let taken = match process::measure(&mut command, LIMIT) {
            Ok(taken) => taken,
            Err(why) => {
                eprintln!("{format}: {why}");
                return ExitCode::FAILURE;
            }
        };
        let bytes = out.metadata().unwrap().len();
        std::fs::remove_file(out).unwrap();
        let is_within = taken.peak_kib <= PEAK_KIB;
        println!(
            "{seconds} s of stream to one {format} of {:.0} MB: {:.2} s, peak {:.1} MiB, {} {} MiB",
            bytes as f64 / 1e6,
            taken.wall,
            taken.peak_kib as f64 / 1024.0,
            if is_within { "within" } else { "OVER" },
            PEAK_KIB / 1024
        );
        if !is_within {
            code = ExitCode::FAILURE;
        }
    }
    code
}
