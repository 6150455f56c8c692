//! What a playlist or a segment holds.
//!
//!     cargo run --example probe -- PLAYLIST

use clipmill::{ClipRequest, Input, Location};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let input = std::env::args().nth(1).ok_or("usage: probe PLAYLIST")?;
    for line in lines(input.as_str().into())? {
        println!("{line}");
    }
    Ok(())
}

pub(crate) fn lines(location: Location) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let probe = Input::playlist(location).probe(&ClipRequest::default())?;
    let mut lines = Vec::new();
    if let Some(playlist) = &probe.playlist {
        let state = if playlist.ended { "ended" } else { "live" };
        lines.push(format!(
            "{state}, {} segments, {:.3} s",
            playlist.segments,
            playlist.duration.as_secs_f64()
        ));
    }
    for track in &probe.clip.tracks {
        let codec = track.config.rfc6381();
        lines.push(format!(
            "{:?} {codec}: {} samples, {} sync samples, {} ms",
            track.kind, track.samples, track.sync_samples, track.duration_ms
        ));
    }
    lines.extend(probe.clip.warnings);
    Ok(lines)
}
