//! How many bytes are kept, of each application and of all.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes by application.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: u64,
    apps: BTreeMap<String, u64>,
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, app: &str, bytes: u64) {
        let mut counts = self.lock();
        counts.all = counts.all.saturating_add(bytes);
        match counts.apps.get_mut(app) {
            Some(own) => *own = own.saturating_add(bytes),
            None => drop(counts.apps.insert(app.to_owned(), bytes)),
        }
    }

    pub(super) fn sub(&self, app: &str, bytes: u64) {
        let mut counts = self.lock();
        counts.all = counts.all.saturating_sub(bytes);
        if let Some(own) = counts.apps.get_mut(app) {
            *own = own.saturating_sub(bytes);
        }
    }

    /// Of one application, or of all.
    pub(super) fn of(&self, app: Option<&str>) -> u64 {
        let counts = self.lock();
        match app {
            Some(app) => counts.apps.get(app).copied().unwrap_or_default(),
            None => counts.all,
        }
    }
}
