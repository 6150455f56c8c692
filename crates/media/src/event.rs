use bytes::Bytes;

/// The scheme of ID3 tags ("Carriage of ID3 Timed Metadata in the Common Media Application Format").
pub const ID3_SCHEME: &str = "https://aomedia.org/emsg/ID3";

/// The scheme of `splice_info_section`s (ANSI/SCTE 214-3, 7.3).
pub const SCTE35_SCHEME: &str = "urn:scte:scte35:2013:bin";

/// Timed metadata: something that is due at an instant, and is no sample of sound or pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TimedEvent {
    /// When it is due, in 90 kHz ticks, on the line of the segment's presentation timestamps.
    pub time: i64,
    /// How long it lasts, in 90 kHz ticks; 0 where that is not known.
    pub duration: u32,
    /// What `data` is: `scheme_id_uri` of `emsg` (ISO/IEC 23009-1, 5.10.3.3).
    pub scheme: String,
    /// `value` of `emsg`.
    pub value: String,
    /// `id` of `emsg`.
    pub id: u32,
    /// The message.
    pub data: Bytes,
}
