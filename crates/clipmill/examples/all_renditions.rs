//! One clip of each variant of a multivariant playlist, all of the same instants, each with every audio
//! rendition.
//!
//!     cargo run --example all_renditions -- PLAYLIST FOLDER [SECONDS]

use std::path::Path;
use std::time::Duration;

use clipmill::{AudioChoice, ClipRequest, Input, Location};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [playlist, folder, seconds @ ..] = arguments.as_slice() else {
        return Err("usage: all_renditions PLAYLIST FOLDER [SECONDS]".into());
    };
    let seconds = seconds.first().map_or(Ok(30), |seconds| seconds.parse())?;
    cut(
        playlist.as_str().into(),
        Duration::from_secs(seconds),
        Path::new(folder),
    )
}

pub(crate) fn cut(playlist: Location, last: Duration, folder: &Path) -> Outcome {
    let input = Input::playlist(playlist);
    let mut request = ClipRequest::last(last);
    request.audio = AudioChoice::All;
    for one in input.variants(&request)? {
        let path = folder.join(format!("clip.{}.mp4", one.label));
        let written = input.cut_to_path(&one.request, &path)?;
        println!("{}: {} bytes", path.display(), written.bytes);
    }
    Ok(())
}
