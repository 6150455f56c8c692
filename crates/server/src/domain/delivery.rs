//! Webhook events on their way.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One webhook event on its way to one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// What tells one event from another; the same over all tries.
    #[serde(rename = "delivery")]
    pub id: String,
    /// The application that it comes from: its settings say how it is sent and signed.
    pub app: String,
    /// The receiver.
    pub url: String,
    /// The event.
    pub payload: Map<String, Value>,
    /// When it was queued, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Tries that failed.
    pub attempts: u32,
    /// When the next try is due, in milliseconds since the Unix epoch.
    pub next_ms: i64,
    /// Why the last try failed.
    pub last_error: Option<String>,
}
