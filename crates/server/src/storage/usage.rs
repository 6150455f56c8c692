//! Which clips this process is making and reading.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::{AppPaths, lock};

/// Which clips this process is making and reading: they are not swept.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    making: Arc<Mutex<HashSet<String>>>,
    readers: Arc<Mutex<HashMap<(String, String), usize>>>,
}

impl Usage {
    /// Says that a clip is being made. Its entry is still to come while what this gives lives.
    #[must_use]
    pub fn make(&self, clip_id: &str) -> Making {
        lock(&self.making).insert(clip_id.to_owned());
        Making {
            clip_id: clip_id.to_owned(),
            all: self.clone(),
        }
    }

    /// Whether the entry of a clip is still to come.
    #[must_use]
    pub fn in_making(&self, clip_id: &str) -> bool {
        lock(&self.making).contains(clip_id)
    }

    /// Says that a clip is being read: it is not swept while the lease lives.
    #[must_use]
    pub fn lease(&self, app: &AppPaths, key: &str) -> Lease {
        let clip = (app.app.clone(), key.to_owned());
        *lock(&self.readers).entry(clip.clone()).or_default() += 1;
        Lease {
            clip,
            all: self.clone(),
        }
    }

    /// Whether a clip is being read.
    #[must_use]
    pub fn in_use(&self, app: &AppPaths, key: &str) -> bool {
        lock(&self.readers).contains_key(&(app.app.clone(), key.to_owned()))
    }
}

/// A clip is being made.
#[derive(Debug)]
pub struct Making {
    clip_id: String,
    all: Usage,
}

impl Drop for Making {
    fn drop(&mut self) {
        lock(&self.all.making).remove(&self.clip_id);
    }
}

/// A clip is being read.
#[derive(Debug)]
pub struct Lease {
    clip: (String, String),
    all: Usage,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut readers = lock(&self.all.readers);
        if let Some(count) = readers.get_mut(&self.clip) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.clip);
            }
        }
    }
}
