//! What is kept of a stream, as players get it: a playlist of the segments of a window (RFC 8216).
//!
//! Segments that were put together of pictures and sound carry a `moov` of their own. Players want that named (4.3.2.5),
//! so it is, as the first bytes of the segment's own file.

use std::fmt::Write;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};

use super::dvr::Kept;
use super::history::Span;
use crate::domain::percent_encoded_part;
use crate::spool::Label;

/// A `moov` is no longer than that.
const LONGEST_HEAD: u64 = 1 << 20;

/// A segment that is kept.
struct Played {
    session: String,
    label: Label,
    path: PathBuf,
}

/// What a segment needs ahead of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Map {
    /// Nothing.
    None,
    /// A file of its own.
    Apart(u64),
    /// The first bytes of a segment's own file: these.
    Within(Vec<u8>),
}

/// A playlist that is written.
struct Text {
    text: String,
    base: String,
    /// The last segment: its session, and its number there.
    last: Option<(String, u64)>,
    /// What the name of a segment of this session ends in.
    suffix: &'static str,
    map: Map,
}

impl Text {
    fn add(&mut self, segment: &Played) {
        let Played {
            session,
            label,
            path,
        } = segment;
        let number = label.sequence;
        let last = self.last.replace((session.clone(), number));
        let is_new = last.as_ref().is_none_or(|(last, _)| last != session);
        if is_new {
            self.suffix = suffix_of(path, label);
        }
        let follows = last.is_none_or(|(_, last)| !is_new && last + 1 == number);
        let breaks = !follows || label.discontinuity || label.missing_before > 0;
        // What the first one follows is not listed.
        let breaks = breaks && !self.is_empty();
        if breaks {
            self.text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let (base, suffix) = (&self.base, self.suffix);
        let within = match label.init {
            None if suffix == "m4s" => head_of(path),
            _ => None,
        };
        let (map, len) = match (within, label.init) {
            (Some((head, len)), _) => (Map::Within(head), len),
            (None, Some(init)) => (Map::Apart(init), 0),
            (None, None) => (Map::None, 0),
        };
        if map != self.map || breaks {
            let _ = match &map {
                Map::None => Ok(()),
                Map::Apart(_) => {
                    writeln!(
                        self.text,
                        "#EXT-X-MAP:URI=\"{base}/{session}/{number}.mp4\""
                    )
                }
                Map::Within(head) => writeln!(
                    self.text,
                    "#EXT-X-MAP:URI=\"{base}/{session}/{number}.{suffix}\",BYTERANGE=\"{}@0\"",
                    head.len()
                ),
            };
        }
        if let Some(start) = label.start_time {
            let date = start.to_rfc3339_opts(SecondsFormat::Millis, true);
            let _ = writeln!(self.text, "#EXT-X-PROGRAM-DATE-TIME:{date}");
        }
        let seconds = label.duration as f64 / 90_000.0;
        let _ = writeln!(self.text, "#EXTINF:{seconds:.6},");
        if let Map::Within(head) = &map {
            let rest = len.saturating_sub(head.len() as u64);
            let _ = writeln!(self.text, "#EXT-X-BYTERANGE:{rest}@{}", head.len());
        }
        let _ = writeln!(self.text, "{base}/{session}/{number}.{suffix}");
        self.map = map;
    }

    fn is_empty(&self) -> bool {
        !self.text.contains("#EXTINF")
    }
}

impl Kept {
    /// A stretch of time as a playlist (RFC 8216, 4.3.3.5: `VOD`, or `EVENT` where it still `grows`), whose segments lie
    /// below `base`; first and last segment whole. `None` when nothing is in it.
    pub(crate) fn playlist(&self, span: Span, base: &str, grows: bool) -> Option<String> {
        let segments = self.played(span.from, span.to);
        let longest = segments.iter().map(|one| one.label.duration).max()?;
        let mut text = Text {
            text: format!(
                "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n\
                 #EXT-X-PLAYLIST-TYPE:{}\n",
                (longest + 45_000) / 90_000,
                if grows { "EVENT" } else { "VOD" }
            ),
            base: base.to_owned(),
            last: None,
            suffix: "",
            map: Map::None,
        };
        for segment in &segments {
            text.add(segment);
        }
        if !grows {
            text.text.push_str("#EXT-X-ENDLIST\n");
        }
        Some(text.text)
    }

    /// The segments of a stretch of time.
    fn played(&self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Vec<Played> {
        let (found, _) = self.window.select(from, to, 0);
        let begins_before = |label: &Label| {
            to.zip(label.start_time)
                .is_none_or(|(to, start)| start < to)
        };
        let mut all: Vec<_> = found
            .into_iter()
            .filter(|one| begins_before(&one.label))
            .map(|one| Played {
                session: one.session,
                label: one.label,
                path: one.path,
            })
            .collect();
        let last = all.last();
        let last = last.map(|last| (last.session.clone(), last.label.sequence));
        let last = last
            .as_ref()
            .map(|(session, sequence)| (session.as_str(), *sequence));
        for (session, _, file) in self.behind(last) {
            let Some(holding) = &file.holding else {
                continue;
            };
            let label = holding.kept().label;
            let is_over = from.zip(label.end()).is_some_and(|(from, end)| end <= from);
            if begins_before(&label) && !is_over {
                all.push(Played {
                    session: session.to_owned(),
                    label,
                    path: holding.kept().path.clone(),
                });
            }
        }
        all
    }
}

/// Where players find the segments that are kept of a stream, from a playlist below `streams/` that lies `depth` folders
/// deep.
pub(crate) fn playlist_base(stream: &str, depth: usize) -> String {
    let stream = percent_encoded_part(stream);
    format!("{}../dvr/{stream}", "../".repeat(depth))
}

/// What the name of a segment ends in, by its content: players go by it.
fn suffix_of(path: &Path, label: &Label) -> &'static str {
    let mut first = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read(&mut first));
    match first {
        _ if label.init.is_some() => "m4s",
        [0x47, ..] => "ts",
        [_, _, _, _, b'f', b't', b'y', b'p'] => "m4s",
        [0xff, ..] | [b'I', b'D', b'3', ..] if read.is_ok() => "aac",
        _ => "ts",
    }
}

/// What comes before the first fragment of a file that has a `moov` of its own (ISO/IEC 14496-12, 8.2.1), and the length
/// of the file in bytes. `None` where it has none, or cannot be read.
fn head_of(path: &Path) -> Option<(Vec<u8>, u64)> {
    let mut file = File::open(path).ok()?;
    let len = file.metadata().ok()?.len();
    let (mut end, mut has_moov) = (0, false);
    loop {
        let mut header = [0; 8];
        file.seek(SeekFrom::Start(end)).ok()?;
        file.read_exact(&mut header).ok()?;
        let [a, b, c, d, kind @ ..] = header;
        match &kind {
            b"moof" | b"styp" | b"sidx" | b"emsg" | b"prft" | b"mdat" => break,
            b"moov" => has_moov = true,
            _ => {}
        }
        let size = u64::from(u32::from_be_bytes([a, b, c, d]));
        end += Some(size).filter(|size| *size >= 8)?;
        if end > LONGEST_HEAD.min(len) {
            return None;
        }
    }
    let mut head = vec![0; usize::try_from(end).ok().filter(|_| has_moov)?];
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_exact(&mut head).ok()?;
    Some((head, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).unwrap();
        [&size.to_be_bytes(), kind.as_slice(), content].concat()
    }

    #[test]
    fn the_head_of_a_segment_is_what_comes_before_its_first_fragment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        let head = [boxed(b"ftyp", b"iso6"), boxed(b"moov", &[7; 100])].concat();
        let rest = [boxed(b"moof", &[1; 50]), boxed(b"mdat", &[2; 500])].concat();
        std::fs::write(&path, [head.clone(), rest.clone()].concat()).unwrap();
        let len = (head.len() + rest.len()) as u64;
        assert_eq!(head_of(&path), Some((head.clone(), len)));
        for broken in [
            Vec::new(),
            rest,
            head.clone(),
            [head.clone(), vec![0; 20]].concat(),
            [&head[..40], &[0xff; 4], b"free".as_slice()].concat(),
        ] {
            std::fs::write(&path, &broken).unwrap();
            assert_eq!(head_of(&path), None, "{}", broken.len());
        }
    }
}
