//! WebVTT (W3C, <https://www.w3.org/TR/webvtt1/>, sections 4 and 6), as HLS splits it into segments
//! (RFC 8216, 3.5).

use std::fmt::Write;

use crate::{LimitExceeded, Limits};

/// A text that begins with `WEBVTT`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebVtt {
    /// What stands before the first cue, `STYLE` and `REGION` blocks included, without
    /// `X-TIMESTAMP-MAP`. It begins with `WEBVTT`.
    pub header: String,
    /// `X-TIMESTAMP-MAP` (RFC 8216, 3.5).
    pub timestamp_map: Option<TimestampMap>,
    /// The cues, in the order in which they stand.
    pub cues: Vec<Cue>,
}

/// Which timestamp of the media which time of the cues is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimestampMap {
    /// `MPEGTS`: 90 kHz ticks, 33 bits.
    pub mpegts: u64,
    /// `LOCAL`, in milliseconds.
    pub local_ms: u64,
}

/// A text and when it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Cue {
    /// Its first moment, in milliseconds.
    pub start_ms: u64,
    /// The moment after its last, in milliseconds.
    pub end_ms: u64,
    /// Its identifier; empty where it has none.
    pub id: String,
    /// Where it is shown: what follows the times.
    pub settings: String,
    /// The text with its tags, lines parted by `\n`.
    pub text: String,
}

/// Why a text is no WebVTT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebVttError {
    /// It does not begin with `WEBVTT`.
    #[error("not WebVTT: it does not begin with WEBVTT")]
    NoSignature,
    /// There is too much of it.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl WebVtt {
    /// Reads a text. A block that makes no cue costs that block alone; so do cues that end before
    /// they begin.
    ///
    /// # Errors
    /// When it is no WebVTT, or has more cues than samples are allowed.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, WebVttError> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut lines = text.split('\n');
        let first = lines.next().unwrap_or_default();
        let after = first.strip_prefix("WEBVTT");
        if !after.is_some_and(|after| after.is_empty() || after.starts_with([' ', '\t'])) {
            return Err(WebVttError::NoSignature);
        }
        let mut vtt = Self {
            header: first.trim_end().to_owned(),
            ..Self::default()
        };
        let mut blocks = Vec::new();
        let mut block: Vec<&str> = Vec::new();
        let mut in_header = true;
        for line in lines.chain([""]) {
            if in_header && !line.trim().is_empty() && !line.contains("-->") {
                match line.strip_prefix("X-TIMESTAMP-MAP=") {
                    Some(map) => vtt.timestamp_map = TimestampMap::parse(map),
                    None => {
                        let _ = write!(vtt.header, "\n{}", line.trim_end());
                    }
                }
                continue;
            }
            in_header = false;
            if !line.trim().is_empty() {
                block.push(line);
            } else if !block.is_empty() {
                blocks.push(std::mem::take(&mut block));
            }
        }
        for block in blocks {
            vtt.block(&block);
            let count = vtt.cues.len() as u64;
            LimitExceeded::check("cues of a segment", count, limits.samples as u64)?;
        }
        Ok(vtt)
    }

    fn block(&mut self, block: &[&str]) {
        let keyword = block.first().map_or("", |line| line.trim_end());
        let (id, rest) = match block {
            [first, rest @ ..] if first.contains("-->") => ("", Some((*first, rest))),
            [id, times, rest @ ..] if times.contains("-->") => (*id, Some((*times, rest))),
            _ => ("", None),
        };
        let Some((times, text)) = rest else {
            if self.cues.is_empty() && (keyword == "STYLE" || keyword == "REGION") {
                let _ = write!(self.header, "\n\n{}", block.join("\n"));
            }
            return;
        };
        let Some((start, after)) = times.split_once("-->") else {
            return;
        };
        let after = after.trim();
        let (end, settings) = after.split_once([' ', '\t']).unwrap_or((after, ""));
        let (Some(start_ms), Some(end_ms)) = (time(start.trim()), time(end)) else {
            return;
        };
        if end_ms <= start_ms {
            return;
        }
        self.cues.push(Cue {
            start_ms,
            end_ms,
            id: id.trim().to_owned(),
            settings: settings.trim().to_owned(),
            text: text.join("\n"),
        });
    }
}

impl TimestampMap {
    /// `MPEGTS:n,LOCAL:t`, in either order.
    fn parse(value: &str) -> Option<Self> {
        let mut map = (None, None);
        for part in value.split(',') {
            match part.trim().split_once(':')? {
                ("MPEGTS", ticks) => map.0 = ticks.trim().parse().ok(),
                ("LOCAL", local) => map.1 = time(local.trim()),
                _ => {}
            }
        }
        Some(Self {
            mpegts: map.0?,
            local_ms: map.1?,
        })
    }
}

/// `hh:mm:ss.ttt`, hours being optional, in milliseconds. A comma for the point is SubRip's, and
/// common.
fn time(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut fields = whole.rsplit(':');
    let seconds: u64 = fields.next()?.parse().ok()?;
    let minutes: u64 = fields.next()?.parse().ok()?;
    let hours: u64 = fields.next().map_or(Some(0), |hours| hours.parse().ok())?;
    if fields.next().is_some() || fraction.is_empty() {
        return None;
    }
    let digits = fraction.bytes().chain([b'0', b'0']).take(3);
    let mut millis = 0u64;
    for digit in digits {
        let digit = char::from(digit).to_digit(10)?;
        millis = millis.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    hours
        .checked_mul(60)?
        .checked_add(minutes)?
        .checked_mul(60)?
        .checked_add(seconds)?
        .checked_mul(1000)?
        .checked_add(millis)
}

/// A whole text: `header`, then the cues.
#[must_use]
pub fn write_webvtt<'a>(header: &str, cues: impl IntoIterator<Item = &'a Cue>) -> String {
    let mut text = format!("{header}\n");
    for cue in cues {
        text.push('\n');
        if !cue.id.is_empty() {
            let _ = writeln!(text, "{}", cue.id);
        }
        let _ = write!(text, "{} --> {}", shown(cue.start_ms), shown(cue.end_ms));
        if !cue.settings.is_empty() {
            let _ = write!(text, " {}", cue.settings);
        }
        let _ = writeln!(text, "\n{}", cue.text);
    }
    text
}

fn shown(ms: u64) -> String {
    let of = |unit: u64, size: u64| ms.checked_div(unit).unwrap_or(0).checked_rem(size);
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        ms.checked_div(3_600_000).unwrap_or(0),
        of(60_000, 60).unwrap_or(0),
        of(1000, 60).unwrap_or(0),
        of(1, 1000).unwrap_or(0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> WebVtt {
        WebVtt::parse(text.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn what_the_specification_shows() {
        let vtt = parse(
            "\u{feff}WEBVTT - a title\r\nX-TIMESTAMP-MAP=LOCAL:00:00:01.500,MPEGTS:900000\r\n\r\n\
             STYLE\r\n::cue { color: lime }\r\n\r\nNOTE nothing\r\nat all\r\n\r\n\
             id 1\r\n00:01.000 --> 00:02.500 line:0 align:start\r\nOne <b>two</b>\r\nthree\r\n\r\n\
             01:00:00.000 --> 01:00:00.001\r\n& last",
        );
        assert_eq!(
            vtt.header,
            "WEBVTT - a title\n\nSTYLE\n::cue { color: lime }"
        );
        let map = TimestampMap {
            mpegts: 900_000,
            local_ms: 1500,
        };
        assert_eq!(vtt.timestamp_map, Some(map));
        let first = Cue {
            start_ms: 1000,
            end_ms: 2500,
            id: "id 1".to_owned(),
            settings: "line:0 align:start".to_owned(),
            text: "One <b>two</b>\nthree".to_owned(),
        };
        let last = Cue {
            start_ms: 3_600_000,
            end_ms: 3_600_001,
            text: "& last".to_owned(),
            ..Cue::default()
        };
        assert_eq!(vtt.cues, [first, last]);
        let again = write_webvtt(&vtt.header, &vtt.cues);
        assert_eq!(parse(&again).cues, vtt.cues);
    }

    #[test]
    fn what_is_no_cue_costs_itself_alone() {
        let vtt = parse(
            "WEBVTT\n\nx --> 00:01.000\na\n\n00:03.000 --> 00:02.000\nb\n\n00:04,5 --> 00:05.000\nc\n\n\
             9:99\n\n00:06.000 --> 00:07.000\n",
        );
        let times: Vec<_> = vtt
            .cues
            .iter()
            .map(|cue| (cue.start_ms, cue.text.as_str()))
            .collect();
        assert_eq!(times, [(4500, "c"), (6000, "")]);
        assert_eq!(
            WebVtt::parse(b"WEBVTTX\n", &Limits::default()),
            Err(WebVttError::NoSignature)
        );
        assert_eq!(
            parse("WEBVTT"),
            WebVtt {
                header: "WEBVTT".to_owned(),
                ..WebVtt::default()
            }
        );
        assert_eq!(time("99999999999999:00:00.0"), None);
        assert_eq!(
            parse("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:1\n\n").timestamp_map,
            None
        );
    }
}
