//! The clock of the periodic clips.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time that has passed.
pub(crate) fn elapsed() -> Duration {
    START.elapsed()
}

/// When so much will have passed.
pub(crate) fn instant(elapsed: Duration) -> Instant {
    *START + elapsed
}
