//! Changes of a broadcast that depend on what it is: looked up, changed, and put back if nobody else
//! changed it meanwhile.

use super::{Catalog, Result};
use crate::domain::{Delivery, StreamEntry};

/// Changes a broadcast; gives what it is then, or `None` when there is none. `change` is called again
/// where somebody else came in between.
///
/// # Errors
/// When the catalog does not answer.
pub fn change_stream(
    catalog: &dyn Catalog,
    app: &str,
    stream_id: &str,
    mut change: impl FnMut(&mut StreamEntry),
) -> Result<Option<StreamEntry>> {
    loop {
        let Some(known) = catalog.stream(app, stream_id)? else {
            return Ok(None);
        };
        let mut new = known.clone();
        change(&mut new);
        if catalog.replace_stream(app, Some(&known), &new, None)? {
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
pub fn announce(
    catalog: &dyn Catalog,
    app: &str,
    stream_id: &str,
    change: impl Fn(Option<StreamEntry>) -> Option<(StreamEntry, Option<Delivery>)>,
) -> Result<()> {
    loop {
        let known = catalog.stream(app, stream_id)?;
        let Some((new, hook)) = change(known.clone()) else {
            return Ok(());
        };
        if catalog.replace_stream(app, known.as_ref(), &new, hook.as_ref())? {
            return Ok(());
        }
    }
}
