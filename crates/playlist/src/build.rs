//! What has been read so far, while the lines go by.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::attributes::{Attributes, seconds};
use crate::date::parse_date;
use crate::dating;
use crate::error::{PlaylistError, PlaylistLimits};
use crate::media::{
    ByteRange, Cue, DateRange, Key, KeyMethod, Map, MediaPlaylist, Part, PlaylistKind, PreloadHint,
    RenditionReport, Segment, ServerControl,
};
use crate::multivariant::{MultivariantPlaylist, Rendition, RenditionKind, Resolution, Variant};
use crate::playlist::Playlist;
use crate::variables::{self, Variables};

pub(crate) struct Builder<'a> {
    limits: &'a PlaylistLimits,
    imports: &'a Variables,
    /// What a delta update takes the segments from that it leaves out.
    previous: Option<&'a MediaPlaylist>,
    expansion_left: u64,
    media: MediaPlaylist,
    multivariant: MultivariantPlaylist,
    warnings: Vec<String>,
    target_duration: Option<Duration>,
    /// The line that says that it is 0.
    target_of_zero: Option<usize>,
    media_tags: bool,
    next: Pending,
    variant: Option<Variant>,
    keys: BTreeMap<String, Arc<Key>>,
    map: Option<Arc<Map>>,
    bitrate: Option<u64>,
    discontinuities: u64,
    /// The resource of the previous byte range and where it ended.
    range_end: Option<(String, u64)>,
    part_range_end: Option<(String, u64)>,
    cut_short: bool,
}

/// What the tags since the previous URI say about the next segment.
#[derive(Default)]
struct Pending {
    duration: Option<Duration>,
    title: Option<String>,
    discontinuity: bool,
    date: Option<DateTime<Utc>>,
    gap: bool,
    cue: Option<Cue>,
    range: Option<(u64, Option<u64>)>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        limits: &'a PlaylistLimits,
        imports: &'a Variables,
        previous: Option<&'a MediaPlaylist>,
    ) -> Self {
        Self {
            limits,
            imports,
            previous,
            expansion_left: limits.bytes,
            media: MediaPlaylist {
                version: 1,
                ..MediaPlaylist::default()
            },
            multivariant: MultivariantPlaylist::default(),
            warnings: Vec::new(),
            target_duration: None,
            target_of_zero: None,
            media_tags: false,
            next: Pending::default(),
            variant: None,
            keys: BTreeMap::new(),
            map: None,
            bitrate: None,
            discontinuities: 0,
            range_end: None,
            part_range_end: None,
            cut_short: false,
        }
    }

    pub(crate) fn warn(&mut self, line: usize, what: &str) {
        if self.warnings.len() < self.limits.warnings {
            self.warnings.push(format!("line {line}: {what}"));
        }
    }

    /// One tag; `name` is without `#EXT`.
    pub(crate) fn tag(
        &mut self,
        line: usize,
        name: &str,
        value: &str,
    ) -> Result<(), PlaylistError> {
        match name {
            "INF" => self.inf(line, value),
            "-X-PROGRAM-DATE-TIME" => self.program_date_time(line, value),
            "-X-BYTERANGE" => self.byte_range(line, value),
            "-X-DISCONTINUITY" => {
                self.next.discontinuity = true;
                // Each tag counts, two in a row as well (RFC 8216, 6.2.2).
                self.discontinuities = self.discontinuities.saturating_add(1);
            }
            "-X-GAP" => self.next.gap = true,
            "-X-CUE-OUT" => {
                let length = Attributes::parse(value).seconds("DURATION");
                self.next.cue = Some(Cue::Out(seconds(value).or(length)));
            }
            "-X-CUE-IN" => self.next.cue = Some(Cue::In),
            "-X-KEY" => self.key(line, value),
            "-X-MAP" => self.map(line, value),
            "-X-BITRATE" => self.bitrate = value.parse().ok(),
            "-X-PART" => return self.part(line, value),
            "-X-TARGETDURATION" => {
                self.media_tags = true;
                match seconds(value) {
                    // Right for segments of less than half a second (rfc8216bis, 4.4.3.1).
                    Some(Duration::ZERO) => self.target_of_zero = Some(line),
                    Some(length) => self.target_duration = Some(length),
                    None => self.warn(line, &format!("a target duration of {value:?}")),
                }
            }
            "-X-MEDIA-SEQUENCE" => {
                self.media_tags = true;
                self.media.media_sequence = self.number(line, name, value);
            }
            "-X-DISCONTINUITY-SEQUENCE" => {
                self.media.discontinuity_sequence = self.number(line, name, value);
            }
            "-X-PLAYLIST-TYPE" => {
                self.media_tags = true;
                self.media.kind = match value.to_ascii_uppercase().as_str() {
                    "EVENT" => Some(PlaylistKind::Event),
                    "VOD" => Some(PlaylistKind::Vod),
                    _ => {
                        self.warn(line, &format!("a playlist type {value:?}"));
                        None
                    }
                };
            }
            "-X-ENDLIST" => {
                self.media_tags = true;
                self.media.ended = true;
            }
            "-X-VERSION" => self.media.version = self.number(line, name, value),
            "-X-INDEPENDENT-SEGMENTS" => self.media.independent_segments = true,
            "-X-I-FRAMES-ONLY" => self.media.i_frames_only = true,
            "-X-START" => {
                let offset = Attributes::parse(value).get("TIME-OFFSET");
                let offset = offset.and_then(|text| text.parse().ok());
                self.media.start_offset = offset.filter(|offset: &f64| offset.is_finite());
            }
            "-X-PART-INF" => {
                self.media.part_target = Attributes::parse(value).seconds("PART-TARGET");
            }
            "-X-SKIP" => self.skip(line, value),
            "-X-DATERANGE" => return self.date_range(line, value),
            "-X-RENDITION-REPORT" => self.rendition_report(line, value),
            "-X-SERVER-CONTROL" => self.server_control(value),
            "-X-PRELOAD-HINT" => self.preload_hint(line, value),
            "-X-DEFINE" => self.define(line, value),
            "-X-STREAM-INF" => self.stream_inf(line, value),
            "-X-MEDIA" => return self.rendition(line, value),
            "-X-SESSION-KEY" => {
                let keys = &mut self.multivariant.session_keys;
                *keys = keys.saturating_add(1);
            }
            _ => {}
        }
        Ok(())
    }

    /// A line that is no tag; `complete` when a line end follows it.
    pub(crate) fn uri(
        &mut self,
        line: usize,
        uri: &str,
        complete: bool,
    ) -> Result<(), PlaylistError> {
        self.cut_short = !complete;
        let uri = self.substitute(line, uri);
        if let Some(mut variant) = self.variant.take() {
            let count = self.multivariant.variants.len();
            self.check_count("variants", count, line)?;
            variant.uri = uri;
            variant.line = line;
            self.multivariant.variants.push(variant);
            return Ok(());
        }
        self.check_count("segments", self.media.segments.len(), line)?;
        let segment = self.segment(line, uri);
        self.media.segments.push(segment);
        self.media.parts.clear();
        Ok(())
    }

    fn segment(&mut self, line: usize, uri: String) -> Segment {
        let pending = std::mem::take(&mut self.next);
        let duration = pending.duration.unwrap_or_else(|| {
            self.warn(
                line,
                "a segment without EXTINF, taken to last the target duration",
            );
            self.target_duration.unwrap_or_default()
        });
        let byte_range = pending.range.and_then(|range| {
            let resolved = follow(&mut self.range_end, &uri, range);
            if resolved.is_none() {
                self.warn(line, "a byte range beyond any file, ignored");
            }
            resolved
        });
        if byte_range.is_none() {
            self.range_end = None;
        }
        Segment {
            uri,
            duration,
            byte_range,
            line,
            ..self.described(pending)
        }
    }

    /// What the tags before a segment say of it. Both of its numbers are completed at the end, when
    /// the tags that they count from are known.
    fn described(&self, pending: Pending) -> Segment {
        Segment {
            title: pending.title,
            discontinuity: pending.discontinuity,
            discontinuity_sequence: self.discontinuities,
            program_date_time: pending.date,
            start: self.media.duration(),
            gap: pending.gap,
            key: self.key_in_force(),
            map: self.map.clone(),
            bitrate: self.bitrate,
            cue: pending.cue,
            ..Segment::default()
        }
    }

    /// Puts the segments in place that a delta update leaves out, and what their tags say of those
    /// that follow (rfc8216bis, 6.2.5.1).
    fn skip(&mut self, line: usize, value: &str) {
        let skipped = Attributes::parse(value).integer("SKIPPED-SEGMENTS");
        let skipped = skipped.unwrap_or(0);
        let first = self.media.media_sequence;
        let wanted = first..first.saturating_add(skipped);
        let known = self.previous.map_or(&[][..], |previous| &previous.segments);
        let known = known.iter().filter(|one| wanted.contains(&one.sequence));
        let known: Vec<_> = known.filter(|one| one.part.is_none()).cloned().collect();
        let all = u64::try_from(known.len()).is_ok_and(|known| known == skipped);
        if !all || !self.media.segments.is_empty() {
            self.media.skipped_segments = skipped;
            self.warn(
                line,
                &format!("a delta update: {skipped} segments are not listed"),
            );
            return;
        }
        let base = self.media.discontinuity_sequence;
        let mut start = Duration::ZERO;
        for mut segment in known {
            // The date that it counts from may have gone by.
            if start.is_zero() {
                segment.program_date_time = segment.start_time;
            }
            segment.start = start;
            segment.discontinuity_sequence = segment.discontinuity_sequence.saturating_sub(base);
            self.discontinuities = segment.discontinuity_sequence;
            self.map.clone_from(&segment.map);
            self.bitrate = segment.bitrate;
            self.keys.clear();
            if let Some(key) = &segment.key {
                self.keys.insert(key.format.clone(), Arc::clone(key));
            }
            let end = segment.byte_range.and_then(|range| range.end());
            self.range_end = end.map(|end| (segment.uri.clone(), end));
            start = segment.end();
            self.media.segments.push(segment);
        }
    }

    fn date_range(&mut self, line: usize, value: &str) -> Result<(), PlaylistError> {
        self.check_count("date ranges", self.media.date_ranges.len(), line)?;
        let attributes = Attributes::parse(value);
        let date = |name| attributes.get(name).and_then(parse_date);
        let range = DateRange {
            id: attributes.get("ID").unwrap_or_default().to_owned(),
            class: attributes.get("CLASS").map(str::to_owned),
            start: date("START-DATE").map(|date| date.utc),
            end: date("END-DATE").map(|date| date.utc),
            duration: attributes
                .seconds("DURATION")
                .or(attributes.seconds("PLANNED-DURATION")),
            end_on_next: attributes.yes("END-ON-NEXT"),
            attributes: ["SCTE35-", "X-"]
                .iter()
                .flat_map(|prefix| attributes.beginning(prefix))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        if range.id.is_empty() {
            self.warn(line, "a date range without an ID, ignored");
            return Ok(());
        }
        // Said again, with more.
        let same = |known: &&mut DateRange| known.id == range.id;
        match self.media.date_ranges.iter_mut().rev().take(64).find(same) {
            Some(known) => {
                known.class = range.class.or(known.class.take());
                known.start = range.start.or(known.start);
                known.end = range.end.or(known.end);
                known.duration = range.duration.or(known.duration);
                known.end_on_next |= range.end_on_next;
                known.attributes.extend(range.attributes);
            }
            None => self.media.date_ranges.push(range),
        }
        Ok(())
    }

    fn rendition_report(&mut self, line: usize, value: &str) {
        let attributes = Attributes::parse(value);
        let Some(uri) = attributes.get("URI") else {
            return;
        };
        if self.media.rendition_reports.len() < 64 {
            let report = RenditionReport {
                uri: self.substitute(line, uri),
                last_msn: attributes.integer("LAST-MSN"),
                last_part: attributes.integer("LAST-PART"),
            };
            self.media.rendition_reports.push(report);
        }
    }

    fn inf(&mut self, line: usize, value: &str) {
        self.media_tags = true;
        let (length, title) = value.split_once(',').unwrap_or((value, ""));
        let length = length.trim();
        // Channel lists add attributes behind the number: `-1 tvg-id="…"`.
        let numeric = |next: char| !matches!(next, '0'..='9' | '.' | '+' | '-' | 'e' | 'E');
        let number = length.split(numeric).next().unwrap_or_default();
        self.next.duration = seconds(number).or_else(|| {
            self.warn(
                line,
                &format!("a duration of {length:?}, taken as the target duration"),
            );
            Some(self.target_duration.unwrap_or_default())
        });
        let title = title.trim();
        self.next.title = (!title.is_empty()).then(|| title.to_owned());
    }

    fn program_date_time(&mut self, line: usize, value: &str) {
        match parse_date(value) {
            Some(date) => {
                if !date.has_offset {
                    self.warn(line, "a date without an offset from UTC, taken as UTC");
                }
                self.next.date = Some(date.utc);
            }
            None => self.warn(line, &format!("a date {value:?}")),
        }
    }

    fn byte_range(&mut self, line: usize, value: &str) {
        self.next.range = parse_range(value);
        if self.next.range.is_none() {
            self.warn(line, &format!("a byte range {value:?}"));
        }
    }

    fn key(&mut self, line: usize, value: &str) {
        let attributes = Attributes::parse(value);
        let method = attributes.get("METHOD");
        let method = match method.map(str::to_ascii_uppercase).as_deref() {
            Some("NONE") => {
                self.keys.clear();
                return;
            }
            None | Some("") => {
                self.warn(line, "a key without METHOD, taken as AES-128");
                KeyMethod::Aes128
            }
            Some("AES-128") => KeyMethod::Aes128,
            Some("SAMPLE-AES") => KeyMethod::SampleAes,
            Some("SAMPLE-AES-CTR") => KeyMethod::SampleAesCtr,
            Some(other) => KeyMethod::Other(other.to_owned()),
        };
        let iv = attributes.get("IV").and_then(|text| {
            let parsed = parse_iv(text).map(|iv| match method {
                KeyMethod::SampleAes | KeyMethod::SampleAesCtr => sample_iv(text, iv),
                _ => iv,
            });
            if parsed.is_none() {
                self.warn(line, &format!("an initialization vector {text:?}"));
            }
            parsed
        });
        let uri = attributes.get("URI").map(|uri| self.substitute(line, uri));
        if uri.is_none() {
            self.warn(line, "a key without a URI");
        }
        let format = attributes.get("KEYFORMAT").unwrap_or("identity");
        let key = Key {
            method,
            uri,
            iv,
            format: format.to_owned(),
            format_versions: attributes.get("KEYFORMATVERSIONS").map(str::to_owned),
            line,
        };
        self.keys.insert(format.to_owned(), Arc::new(key));
        // As many formats as key systems, not as many as lines.
        if self.keys.len() > 64 {
            self.keys.pop_last();
        }
    }

    fn key_in_force(&self) -> Option<Arc<Key>> {
        let identity = self.keys.get("identity");
        identity.or_else(|| self.keys.values().next()).cloned()
    }

    fn map(&mut self, line: usize, value: &str) {
        self.media_tags = true;
        let attributes = Attributes::parse(value);
        let Some(uri) = attributes.get("URI").filter(|uri| !uri.is_empty()) else {
            self.warn(line, "a map without a URI, ignored");
            return;
        };
        let uri = self.substitute(line, uri);
        let range = attributes.get("BYTERANGE").and_then(|text| {
            let parsed = parse_range(text);
            if parsed.is_none() {
                self.warn(line, &format!("a byte range {text:?}"));
            }
            parsed
        });
        let byte_range = range.map(|(length, offset)| ByteRange {
            offset: offset.unwrap_or(0),
            length,
        });
        self.map = Some(Arc::new(Map {
            uri,
            byte_range,
            key: self.key_in_force(),
            line,
        }));
    }

    fn part(&mut self, line: usize, value: &str) -> Result<(), PlaylistError> {
        self.check_count("parts", self.media.parts.len(), line)?;
        self.media_tags = true;
        // Caught while it was being written.
        if value.matches('"').count() % 2 == 1 {
            self.cut_short = true;
            return Ok(());
        }
        let attributes = Attributes::parse(value);
        let (Some(uri), Some(duration)) = (attributes.get("URI"), attributes.seconds("DURATION"))
        else {
            self.warn(line, "a part without URI or DURATION, ignored");
            return Ok(());
        };
        let uri = self.substitute(line, uri);
        let range = attributes.get("BYTERANGE").and_then(parse_range);
        let byte_range = range.and_then(|range| follow(&mut self.part_range_end, &uri, range));
        self.media.parts.push(Part {
            uri,
            duration,
            independent: attributes.yes("INDEPENDENT"),
            gap: attributes.yes("GAP"),
            byte_range,
            line,
        });
        Ok(())
    }

    fn preload_hint(&mut self, line: usize, value: &str) {
        let attributes = Attributes::parse(value);
        let Some(uri) = attributes.get("URI") else {
            return;
        };
        // One of each type is all that the specification allows (rfc8216bis, 4.4.5.3).
        if self.media.preload_hints.len() < 8 {
            let hint = PreloadHint {
                kind: attributes.get("TYPE").unwrap_or_default().to_owned(),
                uri: self.substitute(line, uri),
                offset: attributes.integer("BYTERANGE-START").unwrap_or(0),
                length: attributes.integer("BYTERANGE-LENGTH"),
            };
            self.media.preload_hints.push(hint);
        }
    }

    fn server_control(&mut self, value: &str) {
        let attributes = Attributes::parse(value);
        self.media.server_control = Some(ServerControl {
            can_skip_until: attributes.seconds("CAN-SKIP-UNTIL"),
            can_skip_dateranges: attributes.yes("CAN-SKIP-DATERANGES"),
            hold_back: attributes.seconds("HOLD-BACK"),
            part_hold_back: attributes.seconds("PART-HOLD-BACK"),
            can_block_reload: attributes.yes("CAN-BLOCK-RELOAD"),
        });
    }

    fn define(&mut self, line: usize, value: &str) {
        let attributes = Attributes::parse(value);
        let imported = attributes.get("IMPORT").or(attributes.get("QUERYPARAM"));
        let defined = match (attributes.get("NAME"), imported) {
            (Some(name), _) => {
                let value = attributes.get("VALUE").unwrap_or_default();
                Some((name.to_owned(), value.to_owned()))
            }
            (None, Some(name)) => {
                let value = self.imports.get(name);
                value.map(|value| (name.to_owned(), value.clone()))
            }
            (None, None) => None,
        };
        match defined {
            Some((name, value)) => {
                self.multivariant.variables.insert(name, value);
            }
            None => self.warn(line, &format!("nothing to define in {value:?}")),
        }
    }

    fn stream_inf(&mut self, line: usize, value: &str) {
        if self.variant.is_some() {
            self.warn(line, "the variant before this one has no URI");
        }
        let value = self.substitute(line, value);
        let attributes = Attributes::parse(&value);
        let text = |name| attributes.get(name).map(str::to_owned);
        let bandwidth = attributes.integer("BANDWIDTH");
        let frame_rate = attributes.get("FRAME-RATE");
        let frame_rate = frame_rate.and_then(|text| text.parse().ok());
        self.variant = Some(Variant {
            uri: String::new(),
            bandwidth: bandwidth.unwrap_or(0),
            average_bandwidth: attributes.integer("AVERAGE-BANDWIDTH"),
            resolution: attributes.get("RESOLUTION").and_then(parse_resolution),
            codecs: text("CODECS"),
            frame_rate: frame_rate.filter(|rate: &f64| rate.is_finite() && *rate > 0.0),
            name: text("NAME"),
            audio: text("AUDIO"),
            video: text("VIDEO"),
            subtitles: text("SUBTITLES"),
            line,
        });
        if bandwidth.is_none() {
            self.warn(line, "a variant without BANDWIDTH");
        }
    }

    fn rendition(&mut self, line: usize, value: &str) -> Result<(), PlaylistError> {
        let count = self.multivariant.renditions.len();
        self.check_count("renditions", count, line)?;
        let value = self.substitute(line, value);
        let attributes = Attributes::parse(&value);
        let kind = attributes.get("TYPE").map(str::to_ascii_uppercase);
        let kind = match kind.as_deref() {
            Some("AUDIO") => RenditionKind::Audio,
            Some("VIDEO") => RenditionKind::Video,
            Some("SUBTITLES") => RenditionKind::Subtitles,
            Some("CLOSED-CAPTIONS") => RenditionKind::ClosedCaptions,
            other => {
                self.warn(line, &format!("a rendition of type {other:?}, ignored"));
                return Ok(());
            }
        };
        let text = |name| attributes.get(name).map(str::to_owned);
        self.multivariant.renditions.push(Rendition {
            kind,
            uri: text("URI"),
            group_id: text("GROUP-ID").unwrap_or_default(),
            language: text("LANGUAGE"),
            name: text("NAME").unwrap_or_default(),
            default: attributes.yes("DEFAULT"),
            autoselect: attributes.yes("AUTOSELECT"),
            forced: attributes.yes("FORCED"),
            channels: text("CHANNELS"),
            line,
        });
        Ok(())
    }

    fn number(&mut self, line: usize, name: &str, value: &str) -> u64 {
        value.parse().unwrap_or_else(|_| {
            self.warn(line, &format!("#EXT{name} is {value:?}, taken as 0"));
            0
        })
    }

    fn check_count(
        &self,
        what: &'static str,
        count: usize,
        line: usize,
    ) -> Result<(), PlaylistError> {
        let limit = self.limits.segments;
        if count < limit {
            return Ok(());
        }
        Err(PlaylistError::TooMany { what, limit, line })
    }

    fn substitute(&mut self, line: usize, text: &str) -> String {
        let defined = &self.multivariant.variables;
        if defined.is_empty() {
            return text.to_owned();
        }
        let Some(expanded) = variables::substitute(text, defined, &mut self.expansion_left) else {
            self.warn(line, "variables expand to too much text, left alone");
            return text.to_owned();
        };
        expanded
    }

    pub(crate) fn finish(mut self) -> Playlist {
        let is_multivariant = !self.multivariant.variants.is_empty()
            || !self.multivariant.renditions.is_empty()
            || self.variant.is_some();
        if is_multivariant && !self.media_tags {
            self.warn_of_strays();
            self.multivariant.version = self.media.version;
            self.multivariant.independent_segments = self.media.independent_segments;
            self.multivariant.warnings = self.warnings;
            return Playlist::Multivariant(self.multivariant);
        }
        if is_multivariant {
            self.warn(1, "variants in a media playlist, ignored");
        }
        self.finish_media();
        self.media.warnings = self.warnings;
        Playlist::Media(self.media)
    }

    fn warn_of_strays(&mut self) {
        let strays: Vec<_> = self.media.segments.iter().map(|one| one.line).collect();
        for line in strays.into_iter().take(self.limits.warnings) {
            self.warn(line, "a URI that belongs to no variant, ignored");
        }
    }

    fn finish_media(&mut self) {
        let waiting = self.next.duration.is_some();
        if !self.media.parts.is_empty() {
            let pending = std::mem::take(&mut self.next);
            let lengths = self.media.parts.iter().map(|part| part.duration);
            let open = Segment {
                duration: lengths.fold(Duration::ZERO, Duration::saturating_add),
                ..self.described(pending)
            };
            self.media.segments.push(open);
        }
        let longest = self.media.segments.iter().map(|one| one.duration).max();
        let rounded = longest.unwrap_or_default().as_secs_f64().round();
        let rounded = Duration::try_from_secs_f64(rounded).unwrap_or_default();
        if let Some(line) = self.target_of_zero.filter(|_| !rounded.is_zero()) {
            self.warn(line, "a target duration of \"0\"");
        }
        let media = &mut self.media;
        media.truncated = !media.ended && (waiting || self.cut_short);
        media.target_duration = self.target_duration.unwrap_or(rounded);
        let first = media.media_sequence.saturating_add(media.skipped_segments);
        // Each needs a number of its own, and so does the one that comes next.
        let count = u64::try_from(media.segments.len()).unwrap_or(u64::MAX);
        let first = first.min(u64::MAX.saturating_sub(count));
        let base = media.discontinuity_sequence;
        for (segment, number) in media.segments.iter_mut().zip(0u64..) {
            segment.sequence = first.saturating_add(number);
            segment.discontinuity_sequence = base.saturating_add(segment.discontinuity_sequence);
        }
        dating::date_segments(&mut media.segments);
        if !media.parts.is_empty() {
            media.open_segment = media.segments.pop().map(Box::new);
        }
    }
}

/// `n[@o]` (RFC 8216, 4.3.2.2).
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (length, offset) = match text.split_once('@') {
        // `n@` is written by some who mean that there is no offset.
        Some((length, "")) => (length, None),
        Some((length, offset)) => (length, Some(offset.trim().parse().ok()?)),
        None => (text, None),
    };
    Some((length.trim().parse().ok()?, offset))
}

/// Where a range lies that may go on where the previous one of the same resource ended.
fn follow(
    previous: &mut Option<(String, u64)>,
    uri: &str,
    (length, offset): (u64, Option<u64>),
) -> Option<ByteRange> {
    let implied = previous.as_ref().filter(|(last, _)| last == uri);
    let offset = offset.unwrap_or_else(|| implied.map_or(0, |(_, end)| *end));
    let end = offset.checked_add(length)?;
    *previous = Some((uri.to_owned(), end));
    Some(ByteRange { offset, length })
}

/// A hexadecimal sequence of at most 128 bits (RFC 8216, 4.2); quotes and a missing prefix occur.
fn parse_iv(text: &str) -> Option<[u8; 16]> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let digits = digits.unwrap_or(text);
    if digits.starts_with('+') {
        return None;
    }
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}

/// Samples are encrypted with 64-bit vectors, too: those stand in front of zeros (ISO/IEC 23001-7, 9.1),
/// as Shaka Packager and FFmpeg have them.
fn sample_iv(text: &str, iv: [u8; 16]) -> [u8; 16] {
    match text.trim_start_matches("0x").trim_start_matches("0X").len() {
        16 => (u128::from_be_bytes(iv) << 64).to_be_bytes(),
        _ => iv,
    }
}

fn parse_resolution(text: &str) -> Option<Resolution> {
    let (width, height) = text.split_once(['x', 'X'])?;
    Some(Resolution {
        width: width.trim().parse().ok()?,
        height: height.trim().parse().ok()?,
    })
}
