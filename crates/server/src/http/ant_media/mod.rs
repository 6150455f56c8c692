//! Ant Media Server's REST calls and those of its Clip Creator plugin: an adapter of what the server means by clips and
//! streams (`crate::domain`) to that contract.
//!
//! - `json`: what the calls take and answer;
//! - `fault`: how they say what went wrong;
//! - `clips`, `vods`, `uploads`, `broadcasts`, `recordings`: the calls.

pub(super) mod broadcasts;
pub(super) mod clips;
pub(super) mod fault;
pub(super) mod json;
pub(super) mod recordings;
pub(super) mod uploads;
pub(super) mod vods;
