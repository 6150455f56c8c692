//! Samples of WebVTT (ISO/IEC 14496-30, 7.4): every moment of the track has one, which holds all cues
//! that are shown then.

use clipmill_media::Cue;

/// The sample in which these cues are shown, each with a number that its other samples, if it has
/// any, bear as well.
#[must_use]
pub fn webvtt_sample<'a>(cues: impl IntoIterator<Item = (&'a Cue, Option<u32>)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (cue, source) in cues {
        let mut body = Vec::new();
        if let Some(source) = source {
            put(&mut body, b"vsid", &source.to_be_bytes());
        }
        for (kind, text) in [(b"iden", &cue.id), (b"sttg", &cue.settings)] {
            if !text.is_empty() {
                put(&mut body, kind, text.as_bytes());
            }
        }
        put(&mut body, b"payl", cue.text.as_bytes());
        put(&mut out, b"vttc", &body);
    }
    if out.is_empty() {
        put(&mut out, b"vtte", &[]);
    }
    out
}

fn put(out: &mut Vec<u8>, kind: &[u8; 4], body: &[u8]) {
    // What came in one segment is far from 4 GiB.
    let len = u32::try_from(body.len().saturating_add(8)).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(kind);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_in_boxes() {
        assert_eq!(webvtt_sample([]), b"\0\0\0\x08vtte");
        let cue = Cue {
            id: "7".to_owned(),
            settings: "line:0".to_owned(),
            text: "Hi".to_owned(),
            ..Cue::default()
        };
        let sample = webvtt_sample([(&cue, Some(3)), (&Cue::default(), None)]);
        let wanted = b"\0\0\0\x35vttc\0\0\0\x0cvsid\0\0\0\x03\0\0\0\x09iden7\
            \0\0\0\x0esttgline:0\0\0\0\x0apaylHi\0\0\0\x10vttc\0\0\0\x08payl";
        assert_eq!(sample, wanted);
    }
}
