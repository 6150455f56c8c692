//! ffmpeg and ffprobe, as judges.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::binary::{Run, finish};

/// Whether all of `programs` are installed. Where one is not, says so in one line, or fails when
/// `CLIPMILL_REQUIRE_TOOLS` is set.
///
/// # Panics
/// When one is not installed and `CLIPMILL_REQUIRE_TOOLS` is set.
#[must_use]
pub fn installed(programs: &[&str]) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let missing = programs
        .iter()
        .find(|program| !std::env::split_paths(&folders).any(|f| f.join(program).is_file()));
    let Some(missing) = missing else {
        return true;
    };
    assert!(
        std::env::var_os("CLIPMILL_REQUIRE_TOOLS").is_none(),
        "{missing} is not installed, and CLIPMILL_REQUIRE_TOOLS is set"
    );
    let _ = writeln!(std::io::stderr(), "skipped: {missing} is not installed");
    false
}

/// Runs ffmpeg, quiet but for errors.
pub fn ffmpeg<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(args);
    finish(command)
}

/// What ffprobe sees: `show` are its options (`-show_streams`, …).
///
/// # Panics
/// When ffprobe fails.
#[must_use]
pub fn ffprobe(file: &Path, show: &[&str]) -> Value {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "json"]).args(show);
    command.arg(file);
    finish(command).expect(0).json()
}

/// What GStreamer's demultiplexer and decoders complain of when it plays a file to its end, without
/// showing it.
#[must_use]
pub fn gstreamer_complaints(file: &Path) -> String {
    let mut command = Command::new("gst-launch-1.0");
    command.envs([("GST_DEBUG", "*:2"), ("GST_DEBUG_NO_COLOR", "1")]);
    let uri = format!("uri=file://{}", file.display());
    command.args(["-q", "playbin", &uri]);
    command.args([
        "video-sink=fakesink sync=false",
        "audio-sink=fakesink sync=false",
    ]);
    let run = finish(command);
    let concerns = |line: &&str| {
        let parts = ["ERROR", "decoder", "libav", "short read"];
        parts.iter().any(|part| line.contains(part))
    };
    let lines: Vec<&str> = run.stderr.lines().filter(concerns).collect();
    match run.code {
        0 => lines.join("\n"),
        code => format!("exit code {code}: {}", run.stderr),
    }
}

/// The MD5 of the first video track's decoded pictures, and what the decoder complained of.
#[must_use]
pub fn decoded_pictures(file: &Path) -> (Option<String>, String) {
    let file = file.as_os_str();
    // Edit lists hide pictures; all of them are wanted here.
    let editless = [OsStr::new("-ignore_editlist"), OsStr::new("1")];
    let is_mp4 = Path::new(file).extension().is_some_and(|e| e == "mp4");
    let mut args: Vec<&OsStr> = if is_mp4 { editless.to_vec() } else { vec![] };
    // What a decoder makes of damaged pictures depends on how many threads it has, and it takes as many
    // as there are cores. The values of the corpus are from three.
    args.extend(["-threads", "3"].map(OsStr::new));
    args.extend([OsStr::new("-i"), file]);
    args.extend(
        "-map 0:v:0 -vsync passthrough -f rawvideo -c:v rawvideo -f md5 -"
            .split(' ')
            .map(OsStr::new),
    );
    let run = ffmpeg(args);
    let md5 = String::from_utf8_lossy(&run.stdout)
        .trim()
        .strip_prefix("MD5=")
        .map(str::to_owned);
    (md5.filter(|_| run.code == 0), run.stderr)
}
