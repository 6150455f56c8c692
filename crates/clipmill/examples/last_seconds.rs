//! The last thirty seconds of a stream in a file, frame-accurate.
//!
//!     cargo run --example last_seconds -- PLAYLIST CLIP.mp4 [SECONDS]

use std::path::Path;
use std::time::Duration;

use clipmill::{ClipRequest, Input, Location};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [playlist, clip, seconds @ ..] = arguments.as_slice() else {
        return Err("usage: last_seconds PLAYLIST CLIP.mp4 [SECONDS]".into());
    };
    let seconds = seconds.first().map_or(Ok(30), |seconds| seconds.parse())?;
    cut(
        playlist.as_str().into(),
        Duration::from_secs(seconds),
        Path::new(clip),
    )
}

/// The playlist is a path or a URL.
pub(crate) fn cut(playlist: Location, last: Duration, path: &Path) -> Outcome {
    let input = Input::playlist(playlist);
    let clip = input.clip(&ClipRequest::last(last))?;
    clip.write_to_path(path)?;

    let clip = clip.clip();
    println!(
        "{}: {} ms, {} tracks",
        path.display(),
        clip.duration_ms,
        clip.tracks.len()
    );
    for gap in &clip.gaps {
        println!(
            "{} ms are missing at {} ms: {}",
            gap.duration_ms, gap.at_ms, gap.reason
        );
    }
    Ok(())
}
