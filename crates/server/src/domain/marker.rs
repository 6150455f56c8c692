//! Named instants and windows on streams.

use serde::{Deserialize, Serialize};

/// A named instant or window on a stream.
///
/// Its serialised form is what the catalog keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Marker {
    /// Its identifier, of its stream.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// What kind of thing it marks: `CLASS` of `EXT-X-DATERANGE`.
    pub class: Option<String>,
    /// Where it begins, in milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// Where it ends: that of an instant where it begins. `None`: it has not ended yet.
    pub to_ms: Option<i64>,
    /// Who said so.
    pub origin: MarkerOrigin,
    /// When it was set, by this machine's clock, in milliseconds since the Unix epoch.
    pub set_ms: i64,
    /// What splices call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<SpliceEvent>,
}

/// Who set a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MarkerOrigin {
    /// A call.
    #[default]
    Call,
    /// `EXT-X-DATERANGE` in the playlist.
    DateRange,
    /// A splice (SCTE 35) in the segments, or a cue in the playlist.
    Splice,
}

/// What the messages of splices call what they are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpliceEvent {
    /// `segmentation_type_id` of its beginning; `None`: `splice_insert`.
    pub type_id: Option<u8>,
    /// `segmentation_event_id` or `splice_event_id`.
    pub event_id: u32,
}

impl Marker {
    /// The longest identifier, in bytes.
    pub const LONGEST_ID: usize = 255;

    /// Where it ends, as far as that is known.
    #[must_use]
    pub fn known_end_ms(&self) -> i64 {
        self.to_ms.unwrap_or(self.from_ms)
    }

    /// Whether some of it lies in a window; an instant does where it lies at its beginning, not where it lies at its
    /// end. One that has not ended reaches as far as there is any.
    #[must_use]
    pub fn is_in(&self, from_ms: i64, to_ms: i64) -> bool {
        let ends = self.to_ms.unwrap_or(i64::MAX);
        self.from_ms < to_ms && (ends > from_ms || self.from_ms >= from_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_window() {
        let marker = |from_ms, to_ms| Marker {
            from_ms,
            to_ms,
            ..Marker::default()
        };
        for (from, to, expected) in [
            (0, Some(10), false),
            (0, Some(11), true),
            (10, Some(10), true),
            (19, Some(30), true),
            (20, Some(20), false),
            (20, Some(30), false),
            (0, None, true),
            (20, None, false),
        ] {
            assert_eq!(marker(from, to).is_in(10, 20), expected, "{from} {to:?}");
        }
    }
}
