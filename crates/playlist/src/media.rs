//! The model of a media playlist (RFC 8216, 4.3.2 and 4.3.3).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// A playlist of segments.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct MediaPlaylist {
    /// `EXT-X-VERSION` (4.3.1.2); 1 when absent.
    pub version: u64,
    /// `EXT-X-TARGETDURATION` (4.3.3.1); when absent, the longest segment rounded to seconds.
    pub target_duration: Duration,
    /// `EXT-X-MEDIA-SEQUENCE` (4.3.3.2): the sequence number of the first segment, those that a
    /// delta update skipped included.
    pub media_sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` (4.3.3.3).
    pub discontinuity_sequence: u64,
    /// `EXT-X-PLAYLIST-TYPE` (4.3.3.5); `None` for a sliding window.
    pub kind: Option<PlaylistKind>,
    /// `EXT-X-ENDLIST` (4.3.3.4): no segment will be added.
    pub ended: bool,
    /// `EXT-X-INDEPENDENT-SEGMENTS` (4.3.5.1): every segment begins with what decodes alone.
    pub independent_segments: bool,
    /// `EXT-X-I-FRAMES-ONLY` (4.3.3.6): each segment is one I-frame.
    pub i_frames_only: bool,
    /// The segments that have a URI, in order.
    pub segments: Vec<Segment>,
    /// `EXT-X-START` `TIME-OFFSET` (4.3.5.2) in seconds: from the start, or when negative from the
    /// end.
    pub start_offset: Option<f64>,
    /// `EXT-X-PART-INF` (rfc8216bis, 4.4.3.7): the longest partial segment.
    pub part_target: Option<Duration>,
    /// `EXT-X-PART` (rfc8216bis, 4.4.4.9) of the segment that is not complete yet. Parts of
    /// complete segments hold nothing that their segment does not.
    pub parts: Vec<Part>,
    /// What the tags say of the segment that is not complete yet, where there are parts of it: it
    /// has no URI, and lasts as long as its parts.
    pub open_segment: Option<Box<Segment>>,
    /// `EXT-X-PRELOAD-HINT` (rfc8216bis, 4.4.5.3).
    pub preload_hints: Vec<PreloadHint>,
    /// `EXT-X-SKIP` (rfc8216bis, 4.4.5.2): segments that a delta update leaves out before the first
    /// one listed. 0 in a full playlist, and in an update of one that still had them.
    pub skipped_segments: u64,
    /// `EXT-X-RENDITION-REPORT` (rfc8216bis, 4.4.5.4).
    pub rendition_reports: Vec<RenditionReport>,
    /// `EXT-X-DATERANGE` (4.3.2.7), in the order in which they stand.
    pub date_ranges: Vec<DateRange>,
    /// `EXT-X-SERVER-CONTROL` (rfc8216bis, 4.4.3.8).
    pub server_control: Option<ServerControl>,
    /// The text ends in the middle of a line or after a tag that wants a URI, and there is no
    /// `EXT-X-ENDLIST`: it was probably caught while it was being written, and its last segment, if
    /// it has one, may have a shortened name.
    pub truncated: bool,
    /// What was passed over, each with its line number.
    pub warnings: Vec<String>,
}

impl MediaPlaylist {
    /// The sum of all `EXTINF`.
    pub fn duration(&self) -> Duration {
        let last = self.segments.last();
        last.map_or(Duration::ZERO, Segment::end)
    }

    /// Whether absolute times mean something: at least one `EXT-X-PROGRAM-DATE-TIME` is there.
    pub fn has_dates(&self) -> bool {
        self.segments.iter().any(|one| one.start_time.is_some())
    }

    /// The instants that the dated segments cover, from the earliest beginning to the latest end.
    pub fn date_range(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let starts = self.segments.iter().filter_map(|one| one.start_time);
        let ends = self.segments.iter().filter_map(Segment::end_time);
        Some((starts.min()?, ends.max()?))
    }

    /// The same with the complete parts of the segment that is not complete yet, as segments: they
    /// reach to the live edge. Parts that lie in one file one behind the other make one; all have
    /// the media sequence number of the segment.
    #[must_use]
    pub fn with_parts(mut self) -> Self {
        let parts = std::mem::take(&mut self.parts);
        let Some(open) = self.open_segment.take() else {
            return self;
        };
        let (mut start, mut start_time) = (open.start, open.start_time);
        for (part, number) in parts.into_iter().zip(0..) {
            let first = number == 0;
            let segment = Segment {
                uri: part.uri,
                duration: part.duration,
                discontinuity: open.discontinuity && first,
                program_date_time: open.program_date_time.filter(|_| first),
                cue: open.cue.filter(|_| first),
                start_time,
                start,
                gap: part.gap || open.gap,
                byte_range: part.byte_range,
                part: Some(number),
                line: part.line,
                ..open.as_ref().clone()
            };
            start = segment.end();
            start_time = segment.end_time();
            let last = self.segments.last_mut();
            match last.filter(|last| last.part.is_some() && last.goes_on_in(&segment)) {
                // Cut anywhere, even inside a frame: one stretch of one file is read as such.
                Some(last) => {
                    last.duration = last.duration.saturating_add(segment.duration);
                    last.byte_range = last.byte_range.zip(segment.byte_range).map(|(a, b)| {
                        let length = a.length.saturating_add(b.length);
                        ByteRange { length, ..a }
                    });
                }
                None => self.segments.push(segment),
            }
        }
        self
    }
}

/// `EXT-X-PLAYLIST-TYPE` (RFC 8216, 4.3.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaylistKind {
    /// Segments are only ever added.
    Event,
    /// Nothing changes any more.
    Vod,
}

/// One media segment (RFC 8216, 4.3.2).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Segment {
    /// As written, variables replaced; see [`crate::resolve`].
    pub uri: String,
    /// `EXTINF` (4.3.2.1).
    pub duration: Duration,
    /// The title of `EXTINF`, when there is one.
    pub title: Option<String>,
    /// Media sequence number (3).
    pub sequence: u64,
    /// `EXT-X-DISCONTINUITY` (4.3.2.3) stands before this segment.
    pub discontinuity: bool,
    /// Discontinuity sequence number (3).
    pub discontinuity_sequence: u64,
    /// `EXT-X-PROGRAM-DATE-TIME` (4.3.2.6) of this very segment.
    pub program_date_time: Option<DateTime<Utc>>,
    /// When the segment begins: its own date, or one carried over from its neighbours by `EXTINF`,
    /// from those of the same discontinuity run if they have any. `None` only when the playlist
    /// has no date at all.
    pub start_time: Option<DateTime<Utc>>,
    /// The sum of all `EXTINF` before it in this playlist.
    pub start: Duration,
    /// `EXT-X-GAP` (rfc8216bis, 4.4.4.7): there is no media here.
    pub gap: bool,
    /// `EXT-X-BYTERANGE` (4.3.2.2), its offset worked out when it is implied.
    pub byte_range: Option<ByteRange>,
    /// `EXT-X-KEY` (4.3.2.4) in force. Of several with different formats, the one that needs no
    /// key system.
    pub key: Option<Arc<Key>>,
    /// `EXT-X-MAP` (4.3.2.5) in force.
    pub map: Option<Arc<Map>>,
    /// `EXT-X-BITRATE` (rfc8216bis, 4.4.4.8) in force, in kilobits per second.
    pub bitrate: Option<u64>,
    /// `EXT-X-CUE-OUT` or `EXT-X-CUE-IN` stands before this segment.
    pub cue: Option<Cue>,
    /// Which part of the segment it begins with, from 0; see [`MediaPlaylist::with_parts`].
    pub part: Option<u32>,
    /// Line of the URI, from 1.
    pub line: usize,
}

impl Segment {
    /// Where it ends on the playlist's own time line.
    pub fn end(&self) -> Duration {
        self.start.saturating_add(self.duration)
    }

    /// Whether `next` is the stretch of the same resource that follows.
    fn goes_on_in(&self, next: &Self) -> bool {
        let end = self.byte_range.and_then(|range| range.end());
        let start = next.byte_range.map(|range| range.offset);
        self.uri == next.uri && self.gap == next.gap && end.is_some() && end == start
    }

    /// When it ends, if it is dated.
    pub fn end_time(&self) -> Option<DateTime<Utc>> {
        crate::date::later(self.start_time?, self.duration)
    }
}

/// What packagers write before a segment with which a break begins or ends. No standard has it: where they conform to
/// RFC 8216 they write `EXT-X-DATERANGE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// `EXT-X-CUE-OUT`: the programme is left, for so long if that is said.
    Out(Option<Duration>),
    /// `EXT-X-CUE-IN`: it is come back to.
    In,
}

/// As playlists have it.
impl fmt::Display for Cue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Out(Some(length)) => write!(f, "#EXT-X-CUE-OUT:{}", length.as_secs_f64()),
            Self::Out(None) => f.write_str("#EXT-X-CUE-OUT"),
            Self::In => f.write_str("#EXT-X-CUE-IN"),
        }
    }
}

/// A stretch of a resource, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

impl ByteRange {
    /// The byte after the last one; `None` when no file can be so large.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.length)
    }
}

/// `EXT-X-KEY` (RFC 8216, 4.3.2.4) with a method other than `NONE`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// How segments are encrypted.
    pub method: KeyMethod,
    /// Where the key is.
    pub uri: Option<String>,
    /// The initialization vector, when it is written.
    pub iv: Option<[u8; 16]>,
    /// `KEYFORMAT`; `identity` when absent: the key itself, 16 bytes.
    pub format: String,
    /// `KEYFORMATVERSIONS`.
    pub format_versions: Option<String>,
    /// Line number, from 1.
    pub line: usize,
}

impl Key {
    /// The initialization vector of a segment: the one written, or else its media sequence number
    /// as a big-endian 128-bit integer (RFC 8216, 5.2).
    pub fn iv_for(&self, sequence: u64) -> [u8; 16] {
        self.iv
            .unwrap_or_else(|| u128::from(sequence).to_be_bytes())
    }

    /// Whether the URI gives the key itself, so that no key system is needed.
    pub fn is_identity(&self) -> bool {
        self.format == "identity"
    }
}

/// `METHOD` of `EXT-X-KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyMethod {
    /// Whole segments, AES-128-CBC with PKCS#7 padding.
    Aes128,
    /// Samples, AES-128-CBC or, in fMP4, `cbcs`.
    SampleAes,
    /// Samples of fMP4 segments, `cenc`.
    SampleAesCtr,
    /// One that no specification names.
    Other(String),
}

/// As playlists write it (RFC 8216, 4.3.2.4).
impl fmt::Display for KeyMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128 => "AES-128",
            Self::SampleAes => "SAMPLE-AES",
            Self::SampleAesCtr => "SAMPLE-AES-CTR",
            Self::Other(name) => name,
        })
    }
}

/// `EXT-X-MAP` (RFC 8216, 4.3.2.5): what must stand before segments to parse them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Map {
    /// As written, variables replaced.
    pub uri: String,
    /// The part of the resource that it is; all of it when absent.
    pub byte_range: Option<ByteRange>,
    /// The key in force where the tag stands, which the map is encrypted with.
    pub key: Option<Arc<Key>>,
    /// Line number, from 1.
    pub line: usize,
}

/// `EXT-X-PART` (rfc8216bis, 4.4.4.9).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// As written, variables replaced.
    pub uri: String,
    /// Its `DURATION`.
    pub duration: Duration,
    /// It begins with what decodes alone.
    pub independent: bool,
    /// There is no media here.
    pub gap: bool,
    /// The part of the resource that it is; all of it when absent.
    pub byte_range: Option<ByteRange>,
    /// Line number, from 1.
    pub line: usize,
}

/// `EXT-X-PRELOAD-HINT` (rfc8216bis, 4.4.5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PreloadHint {
    /// `TYPE`: `PART` or `MAP`.
    pub kind: String,
    /// As written, variables replaced.
    pub uri: String,
    /// First byte.
    pub offset: u64,
    /// How many bytes, when known.
    pub length: Option<u64>,
}

/// `EXT-X-RENDITION-REPORT` (rfc8216bis, 4.4.5.4): how far another playlist of the same stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenditionReport {
    /// As written, variables replaced.
    pub uri: String,
    /// `LAST-MSN`: media sequence number of its last segment.
    pub last_msn: Option<u64>,
    /// `LAST-PART`: the last part of that segment.
    pub last_part: Option<u64>,
}

/// `EXT-X-DATERANGE` (RFC 8216, 4.3.2.7): something that is said of a stretch of time, such as an
/// advertisement.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct DateRange {
    /// `ID`.
    pub id: String,
    /// `CLASS`.
    pub class: Option<String>,
    /// `START-DATE`.
    pub start: Option<DateTime<Utc>>,
    /// `END-DATE`.
    pub end: Option<DateTime<Utc>>,
    /// `DURATION`, else `PLANNED-DURATION`.
    pub duration: Option<Duration>,
    /// `END-ON-NEXT`: it ends where the next one of its class begins.
    pub end_on_next: bool,
    /// `SCTE35-CMD`, `SCTE35-OUT`, `SCTE35-IN` and those of the client's own (`X-…`), as they stand.
    pub attributes: Vec<(String, String)>,
}

/// `EXT-X-SERVER-CONTROL` (rfc8216bis, 4.4.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerControl {
    /// Delta updates are offered for what is older than this.
    pub can_skip_until: Option<Duration>,
    /// Delta updates may leave out date ranges as well.
    pub can_skip_dateranges: bool,
    /// How far from the end to begin playing.
    pub hold_back: Option<Duration>,
    /// The same for low-latency playing.
    pub part_hold_back: Option<Duration>,
    /// The server can hold a reload back until there is something new.
    pub can_block_reload: bool,
}
