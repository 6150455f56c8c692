//! Prints where every sample of some segments lies: `index a0.ts a1.ts …`, one stream.
//!
//! One line per track (`track`, PID, codec, language), sample (`sample`, PID, PTS, DTS, duration,
//! size, random access, leading), declined stream and damage, separated by tabs.

use std::fmt::Write as _;
use std::io::Write as _;

use clipmill_ts::{DemuxOptions, Demuxer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut demuxer = Demuxer::new(DemuxOptions::default());
    for path in std::env::args_os().skip(1) {
        let segment = std::fs::read(&path)?;
        let began = std::time::Instant::now();
        let index = match demuxer.index(&segment) {
            Ok(index) => index,
            Err(error) => {
                println!("error\t{error}");
                continue;
            }
        };
        eprintln!("{} bytes in {:?}", segment.len(), began.elapsed());
        let mut text = String::new();
        for track in &index.tracks {
            let id = track.id();
            let codec = track.configs().first().map_or("?", |config| config.name());
            writeln!(text, "track\t{id}\t{codec}\t{}", track.language())?;
            for sample in track.samples() {
                writeln!(
                    text,
                    "sample\t{id}\t{}\t{}\t{}\t{}\t{:?}\t{:?}",
                    sample.pts(),
                    sample.dts,
                    sample.duration,
                    sample.size,
                    sample.random_access,
                    sample.leading
                )?;
            }
        }
        for declined in &index.declined {
            writeln!(text, "declined\t{declined}")?;
        }
        for damage in index.damage.kept() {
            writeln!(text, "damage\t{damage}")?;
        }
        writeln!(text, "damages\t{}", index.damage.total())?;
        std::io::stdout().write_all(text.as_bytes())?;
    }
    Ok(())
}
