//! What senders really write, against what is cut of it.
//!
//! Each [`Combination`] has real programs (ffmpeg, GStreamer, nginx with its RTMP module) write a few
//! seconds of HLS, which is then cut in every mode, whole and within, progressive and fragmented. The
//! judge is ffmpeg: it decodes what was sent and what was cut, and the pictures must be the same, at
//! the same times, each once. Sound is compared frame by frame as it is coded.

mod edits;
mod judge;
mod senders;
mod table;
mod truth;

use std::fmt::Write;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use table::COMBINATIONS;

use crate::tools::installed;

/// A way to send, and what may come of it.
#[derive(Debug, Clone, Copy)]
pub struct Combination {
    /// What is special about it.
    pub name: &'static str,
    /// It is one of the few that CI runs.
    pub part: bool,
    /// Programs that it needs besides ffmpeg.
    pub needs: &'static [&'static str],
    /// Who writes it.
    pub sender: Sender,
    /// The playlist that is cut.
    pub playlist: &'static str,
    /// What is done to it before it is cut.
    pub edit: Option<edits::Edit>,
    /// The rules of judging that do not hold for it, each with its reason in the table.
    pub but: &'static [But],
}

/// Who writes the stream.
#[derive(Debug, Clone, Copy)]
pub enum Sender {
    /// Command lines, run one after the other in the folder of the stream.
    Commands(&'static [&'static str]),
    /// Publishers that follow one another, of so many seconds each, to nginx with these directives.
    Rtmp {
        /// What is said of the application besides `hls on`.
        directives: &'static str,
        /// The command line of each publisher up to its address.
        publishers: &'static [&'static str],
    },
}

/// What does not hold for a combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum But {
    /// A segment is empty or cut off: what lay in it may be missing.
    Lost,
    /// `EXTINF` does not say how long segments last: windows begin and end where it says.
    WrongDurations,
    /// Sound is not carried as it is sent: it is compared decoded.
    SoundIsRewritten,
    /// Decoding that begins within misses the references of pictures that are not shown.
    OpenGroups,
    /// Decoding that begins within shows nothing before all of a picture has been refreshed.
    Refresh,
    /// Decoding can begin with the first picture alone: windows of sync samples may hold none.
    NoSync,
    /// ffmpeg reads no timestamps of packed audio.
    SoundUntimed,
    /// ffmpeg's parser, not its decoder, complains where parameter sets change inside a track.
    NewSets,
    /// It is right to warn.
    Warned,
}

/// The cuts that each combination is put to: mode, whole or within, format.
pub const CUTS: [(&str, bool, &str); 12] = [
    ("exact", true, "mp4"),
    ("exact", true, "fmp4"),
    ("exact", false, "mp4"),
    ("exact", false, "fmp4"),
    ("keyframe", true, "mp4"),
    ("keyframe", true, "fmp4"),
    ("keyframe", false, "mp4"),
    ("keyframe", false, "fmp4"),
    ("segment", true, "mp4"),
    ("segment", true, "fmp4"),
    ("segment", false, "mp4"),
    ("segment", false, "fmp4"),
];

/// What came of one combination.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What was wrong, for each cut; or why it was not put to any.
    pub cuts: Result<Vec<Option<String>>, String>,
}

impl Row {
    /// Whether something is wrong.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        match &self.cuts {
            Ok(cuts) => cuts.iter().any(Option::is_some),
            Err(why) => !why.starts_with("skipped"),
        }
    }
}

/// Tries combinations, two at a time.
///
/// # Panics
/// When no temporary folder can be made.
#[must_use]
pub fn run(combinations: &[Combination]) -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while let Some(one) = combinations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = try_one(one);
                    eprint!("{}", told(&row));
                    rows.lock().unwrap().push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    let place = |row: &Row| combinations.iter().position(|one| one.name == row.name);
    rows.sort_by_key(place);
    rows
}

fn try_one(one: &Combination) -> Row {
    let cuts = if installed(&["ffmpeg", "ffprobe"]) && installed(one.needs) {
        let folder = tempfile::tempdir().unwrap();
        // What hangs or makes no sense to the judge is wrong, and the others are still tried.
        catch_unwind(|| judge::judge(one, folder.path())).unwrap_or_else(|said| {
            let said = said.downcast_ref::<String>().map(String::as_str);
            Err(said.unwrap_or("it panicked").to_owned())
        })
    } else {
        Err("skipped".to_owned())
    };
    let name = one.name;
    Row { name, cuts }
}

/// A row in a few lines: what is wrong, if anything is.
fn told(row: &Row) -> String {
    let mut text = String::new();
    match &row.cuts {
        Err(why) => writeln!(text, "{}: {why}", row.name).unwrap(),
        Ok(cuts) if cuts.iter().all(Option::is_none) => writeln!(text, "{}: ok", row.name).unwrap(),
        Ok(cuts) => {
            for (cut, fault) in CUTS.iter().zip(cuts) {
                if let Some(fault) = fault {
                    let part = if cut.1 { "whole" } else { "within" };
                    writeln!(text, "{}: {} {part} {}: {fault}", row.name, cut.0, cut.2).unwrap();
                }
            }
        }
    }
    text
}

/// The combinations against the modes.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text =
        String::from("| sender | exact | keyframe | segment |\n| --- | --- | --- | --- |\n");
    for row in rows {
        match &row.cuts {
            Err(why) => writeln!(text, "| {} | {why} | | |", row.name).unwrap(),
            Ok(cuts) => {
                let cells = cuts.chunks(4).map(|mode| {
                    let bad = mode.iter().filter(|cut| cut.is_some()).count();
                    if bad == 0 {
                        "ok".to_owned()
                    } else {
                        format!("{bad} of 4 wrong")
                    }
                });
                let cells: Vec<_> = cells.collect();
                writeln!(text, "| {} | {} |", row.name, cells.join(" | ")).unwrap();
            }
        }
    }
    let bad = rows.iter().filter(|row| row.is_bad()).count();
    let skipped = rows
        .iter()
        .filter(|row| !row.is_bad() && row.cuts.is_err())
        .count();
    writeln!(
        text,
        "\n{} combinations, {} cuts each: {bad} wrong, {skipped} skipped",
        rows.len(),
        CUTS.len()
    )
    .unwrap();
    text
}
