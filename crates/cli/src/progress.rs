//! A bar on standard error, for jobs that take longer than a glance; and what `--wait` waits for.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clipmill::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a job runs before a bar appears.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often it is said what is waited for, where nobody looks at a bar.
const EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Bar {
    began: Instant,
    shown: bool,
    bar: OnceLock<ProgressBar>,
    writing: OnceLock<()>,
}

impl Bar {
    /// A bar that appears when the job takes its time; never when `quiet`, or when nobody looks.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            began: Instant::now(),
            shown: !quiet && std::io::stderr().is_terminal(),
            bar: OnceLock::new(),
            writing: OnceLock::new(),
        }
    }

    pub(crate) fn observe(&self, progress: Progress) -> ControlFlow<()> {
        if !self.shown || self.began.elapsed() < PATIENCE {
            return ControlFlow::Continue(());
        }
        let bar = self
            .bar
            .get_or_init(|| ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()));
        match progress {
            Progress::Indexing { done, total } => {
                bar.set_style(style("reading {wide_bar} {pos}/{len} segments"));
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            }
            Progress::Writing { done, total } => {
                if self.writing.set(()).is_ok() {
                    bar.set_style(style(
                        "writing {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
                    ));
                }
                bar.set_length(total);
                bar.set_position(done);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

/// What `--wait` waits for, and how much of it is there: one line that is rewritten on a terminal, else a
/// line from time to time.
pub(crate) struct Waiting {
    silent: bool,
    bar: Option<ProgressBar>,
    shown: Option<Instant>,
}

impl Waiting {
    pub(crate) fn new(silent: bool) -> Self {
        Self {
            silent,
            bar: None,
            shown: None,
        }
    }

    pub(crate) fn observe(&mut self, progress: Progress) -> ControlFlow<()> {
        let Progress::Waiting { listed, window } = progress else {
            return ControlFlow::Continue(());
        };
        if self.silent {
            return ControlFlow::Continue(());
        }
        let (listed, window) = (listed.as_secs_f64(), window.as_secs_f64());
        let text = format!("waiting for the playlist: {listed:.1} s of {window:.1} s are listed");
        if std::io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                bar.set_style(style("{msg}"));
                bar
            });
            bar.set_message(text);
        } else if self.shown.is_none_or(|shown| shown.elapsed() >= EVERY) {
            self.shown = Some(Instant::now());
            eprintln!("{text}");
        }
        ControlFlow::Continue(())
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
