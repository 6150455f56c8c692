//! Who delivers which webhook.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The claims on webhooks, by their places in the queue.
#[derive(Debug, Default)]
pub(super) struct Claims {
    last: u64,
    /// Number of each claim, and when its lease is over.
    by_place: HashMap<u64, (u64, Instant)>,
}

impl Claims {
    /// Whether somebody has a webhook now.
    pub(super) fn is_taken(&self, place: u64) -> bool {
        let known = self.by_place.get(&place);
        known.is_some_and(|(_, until)| *until > Instant::now())
    }

    /// Whether nobody has claimed a webhook since: then a claim counts, even where its lease is over.
    pub(super) fn is_latest(&self, place: u64, claim: u64) -> bool {
        let known = self.by_place.get(&place);
        known.is_some_and(|(known, _)| *known == claim)
    }

    /// Adds a claim; gives its number.
    pub(super) fn add(&mut self, place: u64, lease: Duration) -> u64 {
        self.last += 1;
        self.by_place
            .insert(place, (self.last, Instant::now() + lease));
        self.last
    }

    pub(super) fn end(&mut self, place: u64) {
        self.by_place.remove(&place);
    }
}
