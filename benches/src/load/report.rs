//! What a run showed, as JSON and as Markdown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ask::Asked;
use super::exposition::Metrics;
use super::judge::CLASSES;
use super::publish::Published;
use super::{Clips, History, Options, Sample};
use crate::machine::Machine;
use crate::stats::Spread;
use crate::units::digits;

/// Several runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// `serve-load`.
    pub kind: String,
    /// Where.
    pub machine: Machine,
    /// The command line.
    pub command: String,
    /// By number of streams.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Live streams.
    pub streams: usize,
    /// Seconds that they were played.
    pub seconds: u64,
    /// Seconds between periodic clips.
    pub interval: u64,
    /// Bits per second of a stream.
    pub bits: u64,
    /// Seconds at the beginning that the means below leave out.
    pub warm: u64,
    /// Processors that the server kept busy.
    pub cores: f64,
    /// Processors that the load generator kept busy.
    pub own_cores: f64,
    /// The most memory that the server held, in MiB.
    pub peak_mib: f64,
    /// Memory at the end of the warm-up and at the end, in MiB.
    pub rss_mib: (f64, f64),
    /// Open files, at most.
    pub open_files: usize,
    /// Threads, at most.
    pub threads: u64,
    /// Periodic clips.
    pub clips: Clips,
    /// Milliseconds until a clip on demand was stored and answered for.
    pub stored_ms: Spread,
    /// Milliseconds until the first byte of a clip on demand that came in the answer.
    pub first_byte_ms: Spread,
    /// Milliseconds until its last byte.
    pub whole_ms: Spread,
    /// Milliseconds until the first byte of a clip that is stored nowhere.
    pub virtual_first_byte_ms: Spread,
    /// Answers on demand that were none, with how often.
    pub refused: BTreeMap<String, usize>,
    /// MB per second that the server wrote, by second.
    pub written_mb_s: Spread,
    /// MB per second that the disk took, by second.
    pub disk_mb_s: Spread,
    /// Processors that the server kept busy, by second.
    pub cores_by_second: Spread,
    /// What the server itself counts as failed.
    pub errors: BTreeMap<String, f64>,
    /// Clips that the server says it made, periodic and on demand.
    pub counted: (f64, f64),
    /// Segments that it says it indexed.
    pub indexed: f64,
    /// Bytes that it says it kept from deletion at the end.
    pub spool_bytes: f64,
    /// Segments that the generator published late.
    pub behind: usize,
    /// Lines of the log that are warnings or errors, and the first of them.
    pub complaints: (usize, Option<String>),
    /// Clips of a long stretch.
    pub history: Option<History>,
    /// The whole run, second by second.
    pub samples: Vec<Sample>,
}

/// All that was seen in a run.
pub(super) struct Seen<'a> {
    pub(super) warm: u64,
    pub(super) samples: Vec<Sample>,
    pub(super) published: &'a Published,
    pub(super) asked: &'a Asked,
    pub(super) clips: Clips,
    pub(super) history: Option<History>,
    pub(super) metrics: &'a Metrics,
    /// As it was before the streams began.
    pub(super) metrics_before: &'a Metrics,
    pub(super) peak_kib: u64,
    pub(super) log: &'a str,
}

impl Run {
    pub(super) fn of(options: &Options, seen: Seen<'_>) -> Self {
        let end = options.seconds as f64;
        let measured: Vec<Sample> = seen
            .samples
            .iter()
            .copied()
            .filter(|sample| sample.at > seen.warm as f64 && sample.at <= end + 0.5)
            .collect();
        let column =
            |value: fn(&Sample) -> f64| Spread::of(&measured.iter().map(value).collect::<Vec<_>>());
        let ms = |seconds: &[f64]| Spread::of(&seconds.iter().map(|s| s * 1e3).collect::<Vec<_>>());
        let rss = |sample: Option<&Sample>| sample.map_or(0.0, |sample| sample.rss_mib);
        let mut complaints = seen.log.lines().filter(|line| {
            line.contains("WARN") || line.contains("ERROR") || line.contains("panicked")
        });
        let first = complaints.next().map(str::to_owned);
        let made = |kind: &str| seen.metrics.sum("clipmill_clips_made_total", kind);
        Self {
            streams: options.streams,
            seconds: options.seconds,
            interval: options.interval,
            bits: options.bits,
            warm: seen.warm,
            cores: column(|s| s.cores).mean,
            own_cores: column(|s| s.own_cores).mean,
            peak_mib: seen.peak_kib as f64 / 1024.0,
            rss_mib: (rss(measured.first()), rss(measured.last())),
            open_files: measured.iter().map(|s| s.open_files).max().unwrap_or(0),
            threads: measured.iter().map(|s| s.threads).max().unwrap_or(0),
            clips: seen.clips,
            stored_ms: ms(&seen.asked.stored),
            first_byte_ms: ms(&seen.asked.first_byte),
            whole_ms: ms(&seen.asked.whole),
            virtual_first_byte_ms: ms(&seen.asked.virtual_first_byte),
            refused: seen.asked.errors.clone(),
            written_mb_s: column(|s| s.written / 1e6),
            disk_mb_s: column(|s| s.disk / 1e6),
            cores_by_second: column(|s| s.cores),
            errors: seen.metrics.errors_since(seen.metrics_before),
            counted: (made("periodic"), made("on_demand")),
            indexed: seen.metrics.sum("clipmill_segments_indexed_total", ""),
            spool_bytes: seen.metrics.sum("clipmill_spool_bytes", ""),
            behind: seen.published.behind,
            complaints: (complaints.count() + usize::from(first.is_some()), first),
            history: seen.history,
            samples: seen.samples,
        }
    }

    /// Whether every clip that should be there is there, whole and in its place.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.clips.missed == 0 && self.clips.torn == 0 && self.errors.is_empty()
    }
}

/// Two or three numbers in one cell.
fn cell(values: &[f64]) -> String {
    values
        .iter()
        .map(|v| digits(*v))
        .collect::<Vec<_>>()
        .join(" / ")
}

/// As Markdown, ready to be pasted.
#[must_use]
pub fn print(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |it: String| {
        text.push_str(&it);
        text.push('\n');
    };
    line(report.machine.sentence());
    line(format!("\n    {}\n", report.command));
    line("| streams | cores | per 100 streams | peak MiB | clips made / expected | late > 1 segment | lateness s, median / p99 / most | on demand stored ms, median / p99 | first byte ms, median / p99 |".into());
    line("| --- | --- | --- | --- | --- | --- | --- | --- | --- |".into());
    for run in &report.runs {
        let clips = &run.clips;
        line(format!(
            "| {} | {:.2} | {:.3} | {:.0} | {} / {} | {} | {} | {} | {} |",
            run.streams,
            run.cores,
            run.cores * 100.0 / run.streams.max(1) as f64,
            run.peak_mib,
            clips.made,
            clips.expected,
            clips.late,
            cell(&[clips.lateness.p50, clips.lateness.p99, clips.lateness.max]),
            cell(&[run.stored_ms.p50, run.stored_ms.p99]),
            cell(&[run.first_byte_ms.p50, run.first_byte_ms.p99]),
        ));
    }
    line("\n| streams | cores by second, median / p99 / most | written MB/s, median / p99 / most | disk MB/s, median / p99 / most | memory MiB, after warm-up / end | open files | threads | generator cores |".into());
    line("| --- | --- | --- | --- | --- | --- | --- | --- |".into());
    for run in &report.runs {
        let three = |s: &Spread| cell(&[s.p50, s.p99, s.max]);
        line(format!(
            "| {} | {} | {} | {} | {} | {} | {} | {:.2} |",
            run.streams,
            three(&run.cores_by_second),
            three(&run.written_mb_s),
            three(&run.disk_mb_s),
            cell(&[run.rss_mib.0, run.rss_mib.1]),
            run.open_files,
            run.threads,
            run.own_cores,
        ));
    }
    for run in &report.runs {
        detail(run, &mut line);
    }
    text
}

fn detail(run: &Run, line: &mut impl FnMut(String)) {
    line(format!("\n{} streams:", run.streams));
    let classes: Vec<_> = CLASSES
        .iter()
        .map(|bound| format!("≤ {bound} s"))
        .chain(["more".to_owned()])
        .zip(run.clips.histogram)
        .map(|(class, count)| format!("{class}: {count}"))
        .collect();
    line(format!("- lateness of clips: {}", classes.join(", ")));
    line(format!(
        "- {} clips missed, {} torn; the server counts {} periodic and {} on demand, {} segments indexed, {:.1} MB kept from deletion",
        run.clips.missed,
        run.clips.torn,
        run.counted.0,
        run.counted.1,
        run.indexed,
        run.spool_bytes / 1e6
    ));
    if run.virtual_first_byte_ms.count > 0 {
        let spread = &run.virtual_first_byte_ms;
        line(format!(
            "- virtual clips of 30 s, first byte: median {} ms, p99 {} ms of {}",
            digits(spread.p50),
            digits(spread.p99),
            spread.count
        ));
    }
    if run.whole_ms.count > 0 {
        line(format!(
            "- clips on demand in the answer, to the last byte: median {} ms, p99 {} ms of {}",
            digits(run.whole_ms.p50),
            digits(run.whole_ms.p99),
            run.whole_ms.count
        ));
    }
    if let Some(history) = &run.history {
        detail_history(history, line);
    }
    for (what, times) in &run.refused {
        line(format!("- asked in vain {times} times: {what}"));
    }
    for (what, count) in &run.errors {
        line(format!("- failed, as the server counts it: {what} {count}"));
    }
    if let (count, Some(first)) = &run.complaints {
        line(format!(
            "- {count} warnings and errors in the log, the first: {first}"
        ));
    }
    if run.behind > 0 {
        line(format!(
            "- NOT VALID: the generator published {} segments late",
            run.behind
        ));
    }
}

fn detail_history(history: &History, line: &mut impl FnMut(String)) {
    let first = |what: &str, spread: &Spread| {
        format!(
            "- {what} of {} s, first byte: median {} ms, p99 {} ms, most {} ms of {}",
            history.seconds,
            digits(spread.p50),
            digits(spread.p99),
            digits(spread.max),
            spread.count
        )
    };
    line(first("clips", &history.first_byte_ms));
    line(format!(
        "- their {:.0} MB came at {} GB/s (median) while they were stored, at {} GB/s once they were",
        history.bytes as f64 / 1e6,
        digits(history.body_gb_s.p50),
        digits(history.stored_gb_s.p50)
    ));
    if history.virtual_first_byte_ms.count > 0 {
        line(first("virtual clips", &history.virtual_first_byte_ms));
        line(format!(
            "- they came at {} GB/s",
            digits(history.virtual_gb_s.p50)
        ));
    }
    if let Some((count, why)) = &history.failed {
        line(format!("- {count} of these failed, the first: {why}"));
    }
}
