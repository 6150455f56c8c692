//! Changes that depend on what there is: looked up, changed, and put back if nobody else changed it
//! meanwhile.

use super::{Catalog, PeriodicState, Result};
use crate::domain::{Delivery, StreamEntry};

/// Changes a broadcast; gives what it is then, or `None` when there is none. `change` is called again
/// where somebody else came in between.
///
/// # Errors
/// When the catalog does not answer.
pub async fn change_stream(
    catalog: &dyn Catalog,
    app: &str,
    stream_id: &str,
    mut change: impl FnMut(&mut StreamEntry) + Send,
) -> Result<Option<StreamEntry>> {
    loop {
        let Some(known) = catalog.stream(app, stream_id).await? else {
            return Ok(None);
        };
        let mut new = known.clone();
        change(&mut new);
        let replaced = catalog.replace_stream(app, Some(&known), &new, None);
        if replaced.await? {
            return Ok(Some(new));
        }
    }
}

/// Changes or makes a broadcast, and queues the webhook that tells of it, both of them or neither.
/// `change` is given what there is, and called again where somebody else came in between; when it gives
/// `None`, nothing is done.
///
/// # Errors
/// When the catalog does not answer.
pub async fn announce(
    catalog: &dyn Catalog,
    app: &str,
    stream_id: &str,
    change: impl Fn(Option<StreamEntry>) -> Option<(StreamEntry, Option<Delivery>)> + Send,
) -> Result<()> {
    loop {
        let known = catalog.stream(app, stream_id).await?;
        let Some((new, hook)) = change(known.clone()) else {
            return Ok(());
        };
        let replaced = catalog.replace_stream(app, known.as_ref(), &new, hook.as_ref());
        if replaced.await? {
            return Ok(());
        }
    }
}

/// Sets what was asked of periodic recording, which depends on what was asked before: `change` is called
/// again where somebody else came in between.
///
/// # Errors
/// When the catalog does not answer.
pub async fn change_periodic(
    catalog: &dyn Catalog,
    app: &str,
    change: impl Fn(Option<&PeriodicState>) -> Option<PeriodicState> + Send,
) -> Result<()> {
    loop {
        let known = catalog.periodic(app).await?;
        let new = change(known.as_ref());
        let replaced = catalog.replace_periodic(app, known.as_ref(), new.as_ref());
        if replaced.await? {
            return Ok(());
        }
    }
}
