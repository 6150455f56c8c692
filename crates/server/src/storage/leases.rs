//! Which files are being read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::lock;

/// Counts the readers of each file.
#[derive(Debug, Clone, Default)]
pub(super) struct Leases(Arc<Mutex<HashMap<PathBuf, usize>>>);

impl Leases {
    pub(super) fn take(&self, path: &Path) -> Lease {
        *lock(&self.0).entry(path.to_owned()).or_default() += 1;
        Lease {
            path: path.to_owned(),
            all: self.clone(),
        }
    }

    pub(super) fn holds(&self, path: &Path) -> bool {
        lock(&self.0).contains_key(path)
    }
}

/// A file is being read.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    all: Leases,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut all = lock(&self.all.0);
        if let Some(readers) = all.get_mut(&self.path) {
            *readers -= 1;
            if *readers == 0 {
                all.remove(&self.path);
            }
        }
    }
}
