//! What of a multivariant playlist (RFC 8216, 4.3.4) is pulled, and how that is listed here. It does no I/O.

use std::collections::BTreeSet;
use std::fmt::Write;

use clipmill_playlist::{
    MultivariantPlaylist, Rendition, RenditionKind, Variant, VariantChoice, VariantError,
};

use crate::domain::{is_stream_id, percent_encoded_part};

/// Renditions of one kind that are pulled with a variant.
const MOST: usize = 16;

/// Variants that are streams of their own, at most.
const MOST_VARIANTS: usize = 32;

/// A stream that is made of a multivariant playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strand {
    /// Its id here.
    pub(super) id: String,
    /// Another id under which its playlist is found as well.
    pub(super) alias: Option<String>,
    /// The media playlists that it consists of, that with the pictures first.
    pub(super) parts: Vec<Part>,
    /// Its multivariant playlist, where it has more than one part.
    pub(super) text: Option<String>,
}

/// A media playlist that a stream consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name in the folder of the stream; none: it is the stream's playlist itself.
    pub(super) name: Option<String>,
    /// Where it is, as the multivariant playlist has it.
    pub(super) uri: String,
    /// The pictures wait for it.
    pub(super) is_sound: bool,
}

/// What is pulled where this variant is asked for, or all of them: the first one has the id itself.
pub(super) fn strands(
    id: &str,
    asked: &str,
    playlist: &MultivariantPlaylist,
) -> Result<Vec<Strand>, VariantError> {
    let all = asked.trim().eq_ignore_ascii_case("all");
    let choice: VariantChoice = match asked.trim() {
        "" => VariantChoice::Best,
        _ if all => VariantChoice::Best,
        named => named.parse().unwrap_or_default(),
    };
    let chosen = choice.choose(playlist)?;
    let mut first = strand(id, playlist, chosen);
    if !all {
        return Ok(vec![first]);
    }
    let mut names = BTreeSet::new();
    let mut strands = Vec::new();
    for variant in playlist.variants.iter().take(MOST_VARIANTS) {
        let name = free_name(id, variant, &mut names);
        if std::ptr::eq(variant, chosen) {
            if first.text.is_none() {
                first.alias = Some(name);
            }
        } else {
            strands.push(strand(&name, playlist, variant));
        }
    }
    strands.insert(0, first);
    Ok(strands)
}

/// A name for a stream of a variant: `{id}_{name}`.
fn free_name(id: &str, variant: &Variant, names: &mut BTreeSet<String>) -> String {
    let height = variant.resolution.map(|size| format!("{}p", size.height));
    let kbps = format!("{}k", variant.bandwidth / 1000);
    let named = variant.name.clone().map(|name| {
        let fits = |one: char| one.is_alphanumeric() || "-_".contains(one);
        name.replace(|one| !fits(one), "-")
    });
    let own = named.or(height).unwrap_or_else(|| kbps.clone());
    let candidates = [own.clone(), format!("{own}-{kbps}")];
    let more = (2..).map(|number| format!("{own}-{number}"));
    let mut all = candidates
        .into_iter()
        .chain(more)
        .map(|name| format!("{id}_{name}"));
    let free = all.find(|name| is_stream_id(name) && !names.contains(name));
    // A name that is too long for that stays as it is, and is refused when it is written.
    let free = free.unwrap_or_else(|| format!("{id}_{own}"));
    names.insert(free.clone());
    free
}

fn strand(id: &str, playlist: &MultivariantPlaylist, variant: &Variant) -> Strand {
    let group = |kind, id: &Option<String>| {
        let group = id.as_deref().map(|id| playlist.group(kind, id));
        let mut group = group.unwrap_or_default();
        group.truncate(MOST);
        group
    };
    let sound = group(RenditionKind::Audio, &variant.audio);
    let text = group(RenditionKind::Subtitles, &variant.subtitles);
    // What is in the variant itself needs no playlist.
    let apart = |one: &&&Rendition| one.uri.as_ref().is_some_and(|uri| *uri != variant.uri);
    if !sound.iter().chain(&text).any(|one| apart(&one)) {
        return Strand {
            id: id.to_owned(),
            alias: None,
            parts: vec![Part {
                name: None,
                uri: variant.uri.clone(),
                is_sound: false,
            }],
            text: None,
        };
    }
    let mut parts = vec![Part {
        name: Some("video".to_owned()),
        uri: variant.uri.clone(),
        is_sound: false,
    }];
    let version = playlist.version.max(4);
    let mut master = format!("#EXTM3U\n#EXT-X-VERSION:{version}\n");
    if playlist.independent_segments {
        master.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    for (kind, group, is_sound) in [("AUDIO", &sound, true), ("SUBTITLES", &text, false)] {
        for (number, one) in group.iter().enumerate() {
            let name = format!("{}-{number}", kind.to_ascii_lowercase());
            let own = one.uri.as_ref().filter(|_| apart(&one));
            media(&mut master, kind, one, own.map(|_| name.as_str()), id);
            if let Some(uri) = own {
                parts.push(Part {
                    name: Some(name),
                    uri: uri.clone(),
                    is_sound,
                });
            }
        }
    }
    stream_inf(&mut master, variant, !sound.is_empty(), !text.is_empty());
    let _ = writeln!(master, "{}/video.m3u8", percent_encoded_part(id));
    Strand {
        id: id.to_owned(),
        alias: None,
        parts,
        text: Some(master),
    }
}

fn media(text: &mut String, kind: &str, one: &Rendition, file: Option<&str>, id: &str) {
    let group = kind.to_ascii_lowercase();
    let _ = write!(
        text,
        "#EXT-X-MEDIA:TYPE={kind},GROUP-ID=\"{group}\",NAME=\"{}\"",
        quoted(&one.name)
    );
    for (name, value) in [("LANGUAGE", &one.language), ("CHANNELS", &one.channels)] {
        if let Some(value) = value {
            let _ = write!(text, ",{name}=\"{}\"", quoted(value));
        }
    }
    for (name, is_so) in [
        ("DEFAULT", one.default),
        ("AUTOSELECT", one.autoselect || one.default),
        ("FORCED", one.forced),
    ] {
        if is_so {
            let _ = write!(text, ",{name}=YES");
        }
    }
    if let Some(file) = file {
        let _ = write!(text, ",URI=\"{}/{file}.m3u8\"", percent_encoded_part(id));
    }
    text.push('\n');
}

fn stream_inf(text: &mut String, variant: &Variant, sound: bool, subtitles: bool) {
    let _ = write!(text, "#EXT-X-STREAM-INF:BANDWIDTH={}", variant.bandwidth);
    if let Some(average) = variant.average_bandwidth {
        let _ = write!(text, ",AVERAGE-BANDWIDTH={average}");
    }
    if let Some(size) = variant.resolution {
        let _ = write!(text, ",RESOLUTION={}x{}", size.width, size.height);
    }
    if let Some(codecs) = &variant.codecs {
        let _ = write!(text, ",CODECS=\"{}\"", quoted(codecs));
    }
    if let Some(rate) = variant.frame_rate {
        let _ = write!(text, ",FRAME-RATE={rate:.3}");
    }
    for (name, group, is_there) in [
        ("AUDIO", "audio", sound),
        ("SUBTITLES", "subtitles", subtitles),
    ] {
        if is_there {
            let _ = write!(text, ",{name}=\"{group}\"");
        }
    }
    text.push('\n');
}

/// What a quoted string may hold (RFC 8216, 4.2).
fn quoted(text: &str) -> String {
    text.replace(['"', '\r', '\n'], "'")
}

#[cfg(test)]
mod tests {
    use clipmill_playlist::{Playlist, PlaylistLimits};

    use super::*;

    fn parsed(text: &str) -> MultivariantPlaylist {
        match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()) {
            Ok(Playlist::Multivariant(playlist)) => {
                assert_eq!(playlist.warnings, [""; 0], "{text}");
                playlist
            }
            other => panic!("{other:?}"),
        }
    }

    const LADDER: &str = "#EXTM3U\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720\nhi.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000000,RESOLUTION=640x360,NAME=\"low one\"\nlo.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1500000,RESOLUTION=1280x720\nmid.m3u8\n";

    #[test]
    fn one_variant_is_the_stream_and_all_are_streams_beside_it() {
        let playlist = parsed(LADDER);
        let one = |asked| {
            let found = strands("cam", asked, &playlist).unwrap();
            assert_eq!((found.len(), found[0].id.as_str()), (1, "cam"));
            assert_eq!((found[0].parts.len(), &found[0].text), (1, &None));
            found[0].parts[0].uri.clone()
        };
        for (asked, uri) in [
            ("", "hi.m3u8"),
            ("best", "hi.m3u8"),
            ("worst", "lo.m3u8"),
            ("360p", "lo.m3u8"),
            ("low one", "lo.m3u8"),
            ("2000000", "mid.m3u8"),
        ] {
            assert_eq!(one(asked), uri, "{asked}");
        }
        let error = strands("cam", "4k", &playlist).unwrap_err();
        assert!(error.to_string().contains("720p"), "{error}");
        let all = strands("cam", "all", &playlist).unwrap();
        let ids: Vec<_> = all.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["cam", "cam_low-one", "cam_720p-1500k"]);
        assert_eq!(all[0].alias.as_deref(), Some("cam_720p"));
    }

    #[test]
    fn sound_and_subtitles_of_the_variant_come_with_it() {
        let playlist = parsed(
            "#EXTM3U\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"a/en.m3u8\"\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Deutsch\",LANGUAGE=\"de\",URI=\"a/de.m3u8\"\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"Other\",URI=\"b.m3u8\"\n\
             #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",LANGUAGE=\"en\",URI=\"s.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"a\",SUBTITLES=\"s\"\nv.m3u8\n",
        );
        let found = strands("cam 1", "best", &playlist).unwrap();
        let parts = found[0].parts.iter();
        let parts: Vec<_> = parts
            .map(|one| (one.name.as_deref().unwrap(), one.uri.as_str()))
            .collect();
        assert_eq!(
            parts,
            [
                ("video", "v.m3u8"),
                ("audio-0", "a/en.m3u8"),
                ("audio-1", "a/de.m3u8"),
                ("subtitles-0", "s.m3u8")
            ]
        );
        let listed = parsed(found[0].text.as_ref().unwrap());
        assert_eq!(listed.variants[0].uri, "cam%201/video.m3u8");
        assert_eq!(
            listed.variants[0].codecs.as_deref(),
            Some("avc1.64001f,mp4a.40.2")
        );
        let sound = listed.group(RenditionKind::Audio, "audio");
        assert_eq!(sound.len(), 2);
        assert_eq!(sound[0].uri.as_deref(), Some("cam%201/audio-0.m3u8"));
        assert!(sound[0].default && sound[0].language.as_deref() == Some("en"));
        assert_eq!(listed.group(RenditionKind::Subtitles, "subtitles").len(), 1);
    }

    #[test]
    fn sound_that_is_in_the_variant_needs_no_playlist() {
        let playlist = parsed(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"in it\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nv.m3u8\n",
        );
        let found = strands("cam", "", &playlist).unwrap();
        assert_eq!((found[0].parts.len(), &found[0].text), (1, &None));
    }
}
