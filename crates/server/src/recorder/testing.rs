//! What the tests of the recorder share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::indexes::Indexes;
use super::shared::{Shared, Troubles};
use super::virtual_clip::VirtualClips;
use crate::catalog::SledCatalog;
use crate::schedule::Pool;
use crate::scripts::Scripts;
use crate::spool::Spool;
use crate::storage::LocalStore;

/// What all recorders share, with all that lasts in a folder. To be called in a runtime.
pub(crate) fn shared(data: &Path) -> Arc<Shared> {
    Arc::new(Shared {
        runtime: tokio::runtime::Handle::current(),
        pool: Pool::new(2).unwrap(),
        spool: Arc::new(Spool::open(data, u64::MAX).unwrap()),
        catalog: Arc::new(SledCatalog::open(data).unwrap().catalog),
        store: Arc::new(LocalStore::default()),
        troubles: Troubles::default(),
        draining: AtomicBool::new(false),
        making: AtomicUsize::new(0),
        virtual_clips: VirtualClips::default(),
        indexes: Indexes::default(),
        scripts: Scripts::start().unwrap(),
    })
}
