//! Pushes segments as they come, and gets a clip every few seconds, the last seconds at the end, and no
//! server.
//!
//!     cargo run --example push_segments -- OUT SEGMENT...

use std::path::{Path, PathBuf};
use std::time::Duration;

use clipmill::Cut;
use clipmill::live::{Live, LiveClip, Pushed, Settings, Window};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let out = arguments.next();
    let out = out.ok_or("usage: push_segments OUT SEGMENT...")?;
    record(&out, arguments)
}

/// Records segments of two seconds.
pub(crate) fn record(out: &Path, segments: impl Iterator<Item = PathBuf>) -> Outcome {
    let mut settings = Settings::default();
    settings.periodic = Some(Duration::from_secs(6));
    settings.window = Some(Duration::from_secs(30));
    let mut live = Live::in_folder(settings, out)?;
    let mut number = 0;
    let mut store = |clips: Vec<LiveClip>| {
        clips.iter().try_for_each(|clip| {
            number += 1;
            println!("{number}.mp4: {} ms", clip.clip().duration_ms);
            clip.write_to_path(out.join(format!("{number}.mp4")))
        })
    };
    for segment in segments {
        live.push(Pushed::file(segment, Duration::from_secs(2)))?;
        store(live.take_clips())?;
    }
    if let Some(clip) = live.clip(Window::Last(Duration::from_secs(5)), Cut::Exact)? {
        println!("last.mp4: {} ms", clip.clip().duration_ms);
        clip.write_to_path(out.join("last.mp4"))?;
    }
    live.end();
    store(live.take_clips())?;
    Ok(())
}
