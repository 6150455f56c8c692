//! A bar on standard error, for jobs that take longer than a glance.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use clipmill::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a job runs before a bar appears.
const PATIENCE: Duration = Duration::from_millis(500);

pub(crate) struct Bar {
    began: Instant,
    shown: bool,
    bar: Option<ProgressBar>,
    writing: bool,
}

impl Bar {
    /// A bar that appears when the job takes its time; never when `quiet`, or when nobody looks.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            began: Instant::now(),
            shown: !quiet && std::io::stderr().is_terminal(),
            bar: None,
            writing: false,
        }
    }

    pub(crate) fn observe(&mut self, progress: Progress) -> ControlFlow<()> {
        if !self.shown || self.began.elapsed() < PATIENCE {
            return ControlFlow::Continue(());
        }
        let bar = self.bar.get_or_insert_with(|| {
            ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr())
        });
        match progress {
            Progress::Indexing { done, total } => {
                bar.set_style(style("reading {wide_bar} {pos}/{len} segments"));
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            }
            Progress::Writing { done, total } => {
                if !self.writing {
                    self.writing = true;
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
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
