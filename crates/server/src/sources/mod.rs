//! Placeholder.

pub(crate) mod names;
pub(crate) mod session;
