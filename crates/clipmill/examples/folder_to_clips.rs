//! One MP4 of each playlist in a folder, with progress.
//!
//!     cargo run --example folder_to_clips -- STREAMS CLIPS

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clipmill::{ClipRequest, Cut, Input, Progress};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    match (arguments.next(), arguments.next()) {
        (Some(streams), Some(clips)) => convert(&streams, &clips),
        _ => Err("usage: folder_to_clips STREAMS CLIPS".into()),
    }
}

pub(crate) fn convert(streams: &Path, clips: &Path) -> Outcome {
    fs::create_dir_all(clips)?;
    for entry in fs::read_dir(streams)? {
        let playlist = entry?.path();
        if playlist
            .extension()
            .is_none_or(|extension| extension != "m3u8")
        {
            continue;
        }
        let name = playlist.file_stem().unwrap_or_default();
        let clip = clips.join(name).with_extension("mp4");
        let input = Input::playlist(playlist.as_path()).with_progress(|progress| {
            if let Progress::Indexing { done, total } = progress {
                eprint!("\r{}: {done} of {total} segments", playlist.display());
            }
            ControlFlow::Continue(())
        });
        // Whole groups of pictures: clips that follow one another share no frame and lose none.
        let request = ClipRequest::default().with_cut(Cut::Keyframe);
        // One stream that cannot be read keeps no other from its clip.
        match input.cut_to_path(&request, &clip) {
            Ok(written) => println!("\r{}: {} bytes", clip.display(), written.bytes),
            Err(error) => eprintln!("\r{error}"),
        }
    }
    Ok(())
}
