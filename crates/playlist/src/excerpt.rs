//! A window of a media playlist as a playlist of its own, for players.
//!
//! Tags are passed on as they stand, those that are not known here included: what a segment needs is
//! in the tags before it, and in those of earlier segments that are still in force (RFC 8216, 4.3.2).

use std::fmt::Write;
use std::ops::Range;

use chrono::SecondsFormat;

use crate::attributes::Attributes;
use crate::media::{MediaPlaylist, Segment};
use crate::parse::{is_padding, lines};

/// Tags that say something of a whole playlist, or of a live one.
const DROPPED: [&str; 17] = [
    "M3U",
    "-X-VERSION",
    "-X-TARGETDURATION",
    "-X-MEDIA-SEQUENCE",
    "-X-DISCONTINUITY-SEQUENCE",
    "-X-PLAYLIST-TYPE",
    "-X-ENDLIST",
    "-X-ALLOW-CACHE",
    "-X-I-FRAMES-ONLY",
    "-X-INDEPENDENT-SEGMENTS",
    "-X-START",
    "-X-PART-INF",
    "-X-PART",
    "-X-SERVER-CONTROL",
    "-X-SKIP",
    "-X-PRELOAD-HINT",
    "-X-RENDITION-REPORT",
];

const KEY: &str = "-X-KEY";

/// The least version that knows `EXT-X-GAP` (rfc8216bis, 8).
const GAP_VERSION: u64 = 8;

impl MediaPlaylist {
    /// The text of a finished playlist (`VOD`) that lists `segments` alone, by their positions; `text` is what
    /// this playlist was read from. Those that `is_missing` are marked as gaps.
    #[must_use]
    pub fn excerpt(
        &self,
        text: &[u8],
        segments: Range<usize>,
        is_missing: &dyn Fn(&Segment) -> bool,
    ) -> String {
        let wanted = self.segments.get(segments.clone()).unwrap_or_default();
        let before = segments.start.checked_sub(1);
        let before = before.and_then(|at| self.segments.get(at));
        let before = before.map_or(0, |segment| segment.line);
        let text = String::from_utf8_lossy(text);
        let lines = lines(text.trim_start_matches('\u{feff}'));
        let mut lines = (1..).zip(lines.map(|line| line.trim_matches(is_padding)));
        let mut force = InForce::default();
        if before > 0 {
            for (number, line) in lines.by_ref() {
                force.line(line);
                if number == before {
                    break;
                }
            }
        }
        let mut body = String::new();
        let mut gaps = false;
        for (at, segment) in wanted.iter().enumerate() {
            let missing = !segment.gap && is_missing(segment);
            gaps |= missing || segment.gap;
            if at == 0 {
                force.write(&mut body);
            }
            let mut dated = at > 0;
            for (number, line) in lines.by_ref() {
                if number >= segment.line {
                    if !dated && let Some(time) = segment.start_time {
                        let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
                        let _ = writeln!(body, "#EXT-X-PROGRAM-DATE-TIME:{time}");
                    }
                    if missing {
                        body.push_str("#EXT-X-GAP\n");
                    }
                    let _ = writeln!(body, "{line}");
                    break;
                }
                match tag(line) {
                    _ if line.is_empty() => continue,
                    Some(("-X-DEFINE", _)) => {
                        force.define(line);
                        continue;
                    }
                    Some((name, _)) if DROPPED.contains(&name) => continue,
                    // The number of the first one is told; the tags before it are counted in.
                    Some(("-X-DISCONTINUITY", _)) if at == 0 => continue,
                    // It may go on where the segment before ended.
                    Some(("-X-BYTERANGE", _)) if at == 0 => {
                        if let Some(range) = segment.byte_range {
                            let (length, offset) = (range.length, range.offset);
                            let _ = writeln!(body, "#EXT-X-BYTERANGE:{length}@{offset}");
                        }
                        continue;
                    }
                    Some(("-X-PROGRAM-DATE-TIME", _)) => dated = true,
                    _ => {}
                }
                let _ = writeln!(body, "{line}");
            }
        }
        let mut output = self.head(wanted, gaps);
        output.push_str(&force.definitions);
        output.push_str(&body);
        output.push_str("#EXT-X-ENDLIST\n");
        output
    }

    fn head(&self, wanted: &[Segment], gaps: bool) -> String {
        let least = if gaps { GAP_VERSION } else { 3 };
        let longest = wanted.iter().map(|segment| segment.duration).max();
        let target = self.target_duration.max(longest.unwrap_or_default());
        let rounded_up = u64::from(target.subsec_nanos() > 0);
        let target = target.as_secs().saturating_add(rounded_up);
        let first = wanted.first();
        let mut head = format!(
            "#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{}\n",
            self.version.max(least),
            first.map_or(0, |first| first.sequence),
        );
        let discontinuities = first.map_or(0, |first| first.discontinuity_sequence);
        if discontinuities > 0 {
            let _ = writeln!(head, "#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}");
        }
        head.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n");
        if self.independent_segments {
            head.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        if self.i_frames_only {
            head.push_str("#EXT-X-I-FRAMES-ONLY\n");
        }
        head
    }
}

/// What earlier tags say of later segments.
#[derive(Default)]
struct InForce {
    definitions: String,
    /// One of each key format.
    keys: Vec<(String, String)>,
    /// With the keys that it came under.
    map: Option<(Vec<(String, String)>, String)>,
    bitrate: Option<String>,
}

impl InForce {
    fn line(&mut self, line: &str) {
        let Some((name, value)) = tag(line) else {
            return;
        };
        match name {
            "-X-DEFINE" => self.define(line),
            KEY => {
                let attributes = Attributes::parse(value);
                let method = attributes.get("METHOD").unwrap_or_default();
                if method.eq_ignore_ascii_case("NONE") {
                    self.keys.clear();
                    return;
                }
                let format = attributes.get("KEYFORMAT").unwrap_or("identity").to_owned();
                self.keys.retain(|(known, _)| *known != format);
                // As many as there are key systems.
                if self.keys.len() < 64 {
                    self.keys.push((format, line.to_owned()));
                }
            }
            "-X-MAP" => self.map = Some((self.keys.clone(), line.to_owned())),
            "-X-BITRATE" => self.bitrate = Some(line.to_owned()),
            _ => {}
        }
    }

    fn define(&mut self, line: &str) {
        let _ = writeln!(self.definitions, "{line}");
    }

    fn write(&self, output: &mut String) {
        let mut write = |keys: &[(String, String)]| {
            for (_, key) in keys {
                let _ = writeln!(output, "{key}");
            }
        };
        match &self.map {
            Some((keys, _)) => write(keys),
            None => write(&self.keys),
        }
        if let Some((keys, map)) = &self.map {
            let _ = writeln!(output, "{map}");
            if *keys != self.keys {
                if !keys.is_empty() {
                    output.push_str("#EXT-X-KEY:METHOD=NONE\n");
                }
                for (_, key) in &self.keys {
                    let _ = writeln!(output, "{key}");
                }
            }
        }
        if let Some(bitrate) = &self.bitrate {
            let _ = writeln!(output, "{bitrate}");
        }
    }
}

/// The name of a tag, without `#EXT`, and its value.
fn tag(line: &str) -> Option<(&str, &str)> {
    let tag = line.strip_prefix("#EXT")?;
    Some(tag.split_once(':').unwrap_or((tag, "")))
}

/// Rewrites every URI of a playlist: lines that are none but that, and `URI` attributes. `None`
/// leaves one as it is.
#[must_use]
pub fn map_uris(text: &str, map: &dyn Fn(&str) -> Option<String>) -> String {
    let mut output = String::with_capacity(text.len());
    for line in lines(text) {
        let bare = line.trim_matches(is_padding);
        if bare.is_empty() {
        } else if !bare.starts_with('#') {
            match map(bare) {
                Some(uri) => output.push_str(&uri),
                None => output.push_str(line),
            }
        } else {
            match uri_attribute(line).and_then(|at| Some((at.clone(), map(line.get(at)?)?))) {
                Some((at, uri)) => {
                    output.push_str(line.get(..at.start).unwrap_or_default());
                    output.push_str(&uri);
                    output.push_str(line.get(at.end..).unwrap_or_default());
                }
                None => output.push_str(line),
            }
        }
        output.push('\n');
    }
    output.pop();
    output
}

/// Where the value of a tag's `URI` attribute stands.
fn uri_attribute(line: &str) -> Option<Range<usize>> {
    let (_, value) = tag(line)?;
    let uri = Attributes::parse(value).get("URI")?;
    // It is a slice of the line.
    let start = uri.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
    let at = start..start.checked_add(uri.len())?;
    (line.get(at.clone()) == Some(uri)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Playlist, PlaylistLimits};

    const TEXT: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n\
        #EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-DEFINE:NAME=\"v\",VALUE=\"a\"\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"k0\",IV=0x1\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"700@0\"\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n#EXT-X-BITRATE:800\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:00Z\n#EXTINF:4,\n#EXT-X-BYTERANGE:100@700\n{$v}.m4s\n\
        #EXTINF:4,two\n#EXT-X-BYTERANGE:50\na.m4s\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-CUE-OUT:8\n#EXTINF:4,\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:01:00Z\n\
        b.m4s\n#EXT-X-DATERANGE:ID=\"1\",SCTE35-OUT=0xFC\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:3.5,\nc.m4s\n\
        #EXT-X-PART:DURATION=1,URI=\"d.0.m4s\"\n";

    fn media(text: &str) -> MediaPlaylist {
        match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()).unwrap() {
            Playlist::Media(media) => media,
            Playlist::Multivariant(_) => panic!(),
        }
    }

    fn excerpt(range: Range<usize>) -> String {
        media(TEXT).excerpt(TEXT.as_bytes(), range, &|_| false)
    }

    #[test]
    fn what_is_in_force_at_the_first_segment_is_said_again() {
        assert_eq!(
            excerpt(1..3),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:101\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-DEFINE:NAME=\"v\",VALUE=\"a\"\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"k0\",IV=0x1\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"700@0\"\n\
             #EXT-X-KEY:METHOD=NONE\n#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n#EXT-X-BITRATE:800\n\
             #EXTINF:4,two\n#EXT-X-BYTERANGE:50@800\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:04.000Z\na.m4s\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-CUE-OUT:8\n#EXTINF:4,\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:01:00Z\n\
             b.m4s\n#EXT-X-ENDLIST\n"
        );
        let last = excerpt(3..4);
        assert!(last.contains("#EXT-X-DISCONTINUITY-SEQUENCE:4\n"), "{last}");
        assert!(
            last.contains("SCTE35-OUT") && !last.contains("PART"),
            "{last}"
        );
    }

    /// Whatever is taken of it, each segment is what it was in the whole.
    #[test]
    fn each_segment_is_what_it_was() {
        let whole = media(TEXT);
        for text in [
            TEXT.to_owned(),
            TEXT.replace('\n', "\r\n"),
            TEXT.replace('\n', "\r"),
        ] {
            for from in 0..4 {
                for to in from + 1..=4 {
                    let output = media(&text).excerpt(text.as_bytes(), from..to, &|_| false);
                    let read = media(&output);
                    assert!(read.ended && read.warnings.is_empty(), "{output}");
                    assert_eq!(read.segments.len(), to - from);
                    for (own, other) in read.segments.iter().zip(&whole.segments[from..to]) {
                        let mut own = own.clone();
                        own.line = other.line;
                        own.start = other.start;
                        own.discontinuity = other.discontinuity;
                        own.program_date_time = other.program_date_time;
                        let line = other.key.as_ref().map_or(0, |key| key.line);
                        own.key = own.key.as_ref().map(|key| {
                            let mut key = key.as_ref().clone();
                            key.line = line;
                            key.into()
                        });
                        let (mine, theirs) = (own.map.take(), other.map.clone());
                        let (mine, theirs) = (mine.unwrap(), theirs.unwrap());
                        assert_eq!(
                            (&mine.uri, mine.byte_range),
                            (&theirs.uri, theirs.byte_range)
                        );
                        let uri =
                            |map: &crate::Map| map.key.as_ref().and_then(|key| key.uri.clone());
                        assert_eq!(uri(&mine), uri(&theirs));
                        own.map.clone_from(&other.map);
                        assert_eq!(own, *other, "{output}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_missing_is_a_gap() {
        let output = media(TEXT).excerpt(TEXT.as_bytes(), 0..3, &|segment| segment.uri == "b.m4s");
        let gaps: Vec<_> = media(&output).segments.iter().map(|one| one.gap).collect();
        assert_eq!(gaps, [false, false, true]);
        assert!(output.contains("#EXT-X-VERSION:8\n"), "{output}");
    }

    #[test]
    fn uris_are_rewritten_wherever_they_stand() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"v\",NAME=\"v\",URI=\"v\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1\n v.m3u8 \r\n#EXT-X-SESSION-DATA:DATA-ID=\"x\"\n# v\n";
        let asked = |uri: &str| Some(format!("{uri}?start=1"));
        assert_eq!(
            map_uris(text, &asked),
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"v\",NAME=\"v\",URI=\"v?start=1\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8?start=1\n#EXT-X-SESSION-DATA:DATA-ID=\"x\"\n# v\n"
        );
        assert_eq!(map_uris(text, &|_| None), text.replace('\r', ""));
    }
}
