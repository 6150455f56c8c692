//! What calls set for one stream, in place of what holds for its application.

use serde::{Deserialize, Serialize};

/// What calls set for a stream. What is absent is as its application has it.
///
/// Its serialised form is a part of that of a [`StreamEntry`](super::StreamEntry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StreamSettings {
    /// Its periodic clips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periodic: Option<Set<Periodic>>,
    /// How much is kept of it, in milliseconds; 0: no more than its source lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dvr_window_ms: Option<Set<u64>>,
    /// Its clips are kept no longer than this, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_ms: Option<Set<u64>>,
    /// No more bytes of its clips are kept. The application has none of this: its own is over all streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Set<u64>>,
    /// Its clips go while fewer bytes than these are free on their disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_free: Option<Set<u64>>,
}

impl StreamSettings {
    /// Whether nothing was set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether there are periodic clips, and how long one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Periodic {
    /// Whether there are any.
    pub enabled: bool,
    /// How long one is, or would be.
    pub interval_seconds: u64,
}

/// A value that a call set. It holds as long as the configuration says what it said then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set<T> {
    /// What was set.
    pub value: T,
    /// What the configuration said then.
    pub configured: Option<T>,
}

impl<T: Copy + PartialEq> Set<T> {
    /// The value, if the configuration still says what it said when that was set.
    #[must_use]
    pub fn in_force(self, configured: Option<T>) -> Option<T> {
        (self.configured == configured).then_some(self.value)
    }
}
