//! What becomes of the tags: snapshots of whole models, and the liberties that encoders take.

use std::fmt::Write;

use clipmill_playlist::{
    KeyMethod, MediaPlaylist, MultivariantPlaylist, Playlist, PlaylistError, PlaylistLimits,
    Variables, VariantChoice,
};

fn parse(text: &str) -> Playlist {
    Playlist::parse(text.as_bytes(), &PlaylistLimits::default()).unwrap()
}

fn media(text: &str) -> MediaPlaylist {
    match parse(text) {
        Playlist::Media(media) => media,
        Playlist::Multivariant(_) => panic!("a multivariant playlist"),
    }
}

fn multivariant(text: &str) -> MultivariantPlaylist {
    match parse(text) {
        Playlist::Multivariant(multivariant) => multivariant,
        Playlist::Media(_) => panic!("a media playlist"),
    }
}

/// Short enough to be read in a review.
fn shown(media: &MediaPlaylist) -> String {
    let mut text = format!(
        "version {} target {:?} kind {:?} ended {} truncated {} sequence {}/{} total {:?}\n",
        media.version,
        media.target_duration,
        media.kind,
        media.ended,
        media.truncated,
        media.media_sequence,
        media.discontinuity_sequence,
        media.duration(),
    );
    for one in &media.segments {
        let date = one.start_time.map(|date| {
            let mark = if one.program_date_time.is_some() {
                ""
            } else {
                "~"
            };
            format!("{mark}{}", date.format("%F %T%.3f"))
        });
        let _ = write!(
            text,
            "{}/{} {:?}+{:?} {} at {}",
            one.sequence,
            one.discontinuity_sequence,
            one.start,
            one.duration,
            one.uri,
            date.as_deref().unwrap_or("?"),
        );
        if let Some(range) = one.byte_range {
            let _ = write!(text, " bytes {}+{}", range.offset, range.length);
        }
        if let Some(key) = &one.key {
            let uri = key.uri.as_deref().unwrap_or_default();
            let _ = write!(text, " key {uri} iv {:x?}", key.iv_for(one.sequence)[15]);
        }
        if let Some(map) = &one.map {
            let _ = write!(text, " map {} {:?}", map.uri, map.byte_range);
        }
        let flags = [(one.discontinuity, " discontinuity"), (one.gap, " gap")];
        for (_, flag) in flags.iter().filter(|(set, _)| *set) {
            text.push_str(flag);
        }
        text.push('\n');
    }
    for warning in &media.warnings {
        let _ = writeln!(text, "! {warning}");
    }
    text
}

#[test]
fn ant_media_event() {
    let text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n\
        #EXT-X-PLAYLIST-TYPE:EVENT\n\
        #EXTINF:2.760000,\n#EXT-X-PROGRAM-DATE-TIME:2024-09-30T00:07:27.342+0300\nlive000000000.ts\n\
        #EXTINF:2.000000,\n#EXT-X-PROGRAM-DATE-TIME:2024-09-30T00:07:30.102+0300\nlive000000001.ts\n";
    insta::assert_snapshot!(shown(&media(text)), @r"
    version 3 target 10s kind Some(Event) ended false truncated false sequence 0/0 total 4.76s
    0/0 0ns+2.76s live000000000.ts at 2024-09-29 21:07:27.342
    1/0 2.76s+2s live000000001.ts at 2024-09-29 21:07:30.102
    ");
}

#[test]
fn everything_that_carries_over() {
    let text = "\u{feff}#EXTM3U\r\n#EXT-X-VERSION:7\r\n#EXT-X-TARGETDURATION:4\r\n\
        #EXT-X-MEDIA-SEQUENCE:100\r\n#EXT-X-DISCONTINUITY-SEQUENCE:7\r\n\
        #EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"720@0\"\r\n\
        #EXTINF:4,\r\n#EXT-X-BYTERANGE:1000@720\r\nall.mp4\r\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"k1\",IV=0x0000000000000000000000000000002a\r\n\
        #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\r\n\
        #EXTINF:4,\r\n#EXT-X-BYTERANGE:1000\r\nall.mp4\r\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:08Z\r\n#EXTINF:3.5,title, with comma\r\n\
        #EXT-X-BYTERANGE:500\r\nall.mp4\r\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"k2\"\r\n#EXTINF:4,\r\nb.ts\r\n\
        #EXT-X-KEY:METHOD=NONE\r\n#EXT-X-DISCONTINUITY\r\n#EXTINF:4,\r\nc.ts\r\n\
        #EXT-X-GAP\r\n#EXTINF:4,\r\nd.ts\r\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-01-01T01:00:00Z\r\n#EXTINF:4,\r\ne.ts\r\n\
        #EXT-X-DISCONTINUITY\r\n#EXTINF:4,\r\nf.ts\r\n#EXT-X-ENDLIST\r\n";
    insta::assert_snapshot!("carried", shown(&media(text)));
}

#[test]
fn liberties_that_encoders_take() {
    let text = "\n  #EXTM3U\n#EXT-X-VERSION: 3\n#EXT-X-TARGETDURATION:6.5\n\
        # a comment\n#EXT\n#EXT-X-SOMETHING:NEW=1\n#EXTINF:-1 tvg-id=\"a,b\",Channel\n  a b.ts  \n\
        #EXTINF:6\nb.ts\nc.ts\n#EXT-X-PROGRAM-DATE-TIME:yesterday\n#EXTINF:1.5,\nd.ts\n\
        #EXT-X-MEDIA-SEQUENCE:-3\n#EXT-X-KEY:URI=\"k\"\n#EXT-X-MAP:BYTERANGE=\"1@2\"\n\
        #EXT-X-BYTERANGE:18446744073709551615@1\n#EXTINF:9223372036854775807,\ne.ts\n";
    insta::assert_snapshot!("liberties", shown(&media(text)));
}

#[test]
fn low_latency() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:9\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL=12.0\n\
        #EXT-X-PART-INF:PART-TARGET=0.33334\n#EXT-X-MEDIA-SEQUENCE:266\n\
        #EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:4.00008,\nf269.mp4\n\
        #EXT-X-PART:DURATION=0.33334,URI=\"f270.0.mp4\"\n#EXTINF:4.00008,\nf270.mp4\n\
        #EXT-X-PART:DURATION=0.33334,URI=\"f271.mp4\",BYTERANGE=\"100@0\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=0.33334,URI=\"f271.mp4\",BYTERANGE=\"50\",GAP=YES\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"f271.mp4\",BYTERANGE-START=150\n";
    let media = media(text);
    assert_eq!(media.skipped_segments, 3);
    insta::assert_snapshot!("low_latency_segments", shown(&media));
    insta::assert_debug_snapshot!(
        "low_latency_parts",
        (
            &media.parts,
            &media.preload_hints,
            &media.server_control,
            media.part_target
        )
    );
}

#[test]
fn parts_reach_to_the_live_edge() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
        #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"i.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n\
        #EXT-X-PART:DURATION=1,URI=\"7.0.mp4\"\n#EXTINF:2,\n7.mp4\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"j.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-01-01T01:00:00Z\n\
        #EXT-X-PART:DURATION=0.5,URI=\"8.mp4\",BYTERANGE=\"100@0\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=0.5,URI=\"8.mp4\",BYTERANGE=\"50\"\n\
        #EXT-X-PART:DURATION=0.4,URI=\"8.mp4\",BYTERANGE=\"50\",GAP=YES\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.mp4\",BYTERANGE-START=200\n\
        #EXT-X-RENDITION-REPORT:URI=\"../low.m3u8\",LAST-MSN=8,LAST-PART=2\n";
    let media = media(text);
    assert_eq!(
        media.segments.len(),
        1,
        "parts are no segments by themselves"
    );
    assert_eq!(media.rendition_reports[0].last_part, Some(2));
    insta::assert_snapshot!(shown(&media.with_parts()), @r"
    version 1 target 2s kind None ended false truncated false sequence 7/0 total 3.4s
    7/0 0ns+2s 7.mp4 at 2026-01-01 00:00:00.000 map i.mp4 None
    8/1 2s+1s 8.mp4 at 2026-01-01 01:00:00.000 bytes 0+150 key k iv 8 map j.mp4 None discontinuity
    8/1 3s+400ms 8.mp4 at ~2026-01-01 01:00:01.000 bytes 150+50 key k iv 8 map j.mp4 None gap
    ");
    // Caught in the middle of the line.
    let half = text.split_once("50\",GAP").unwrap().0;
    let media = self::media(half);
    assert_eq!((media.parts.len(), media.truncated), (2, true));
}

#[test]
fn a_delta_update_is_completed_by_what_was_known() {
    let full = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:10\n\
        #EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-MAP:URI=\"i.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n#EXTINF:4,\n10.mp4\n#EXTINF:4,\n11.mp4\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:4,\n12.mp4\n\
        #EXTINF:4,\n13.mp4\n#EXT-X-PART:DURATION=1,URI=\"14.0.mp4\"\n";
    let delta = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:11\n\
        #EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:4,\n13.mp4\n\
        #EXTINF:4,\n14.mp4\n#EXT-X-PART:DURATION=1,URI=\"15.0.mp4\"\n";
    let previous = media(full);
    let update = |previous: Option<&MediaPlaylist>| {
        let (limits, none) = (PlaylistLimits::default(), Variables::new());
        match Playlist::parse_update(delta.as_bytes(), &limits, &none, previous).unwrap() {
            Playlist::Media(media) => media,
            Playlist::Multivariant(_) => panic!("a multivariant playlist"),
        }
    };
    let completed = update(Some(&previous));
    assert_eq!(completed.skipped_segments, 0);
    insta::assert_snapshot!(shown(&completed.with_parts()), @r"
    version 1 target 4s kind None ended false truncated false sequence 11/3 total 17s
    11/3 0ns+4s 11.mp4 at 2026-01-01 00:00:04.000 map i.mp4 None
    12/4 4s+4s 12.mp4 at ~2026-01-01 00:00:08.000 key k iv c map i.mp4 None discontinuity
    13/4 8s+4s 13.mp4 at ~2026-01-01 00:00:12.000 key k iv d map i.mp4 None
    14/4 12s+4s 14.mp4 at ~2026-01-01 00:00:16.000 key k iv e map i.mp4 None
    15/4 16s+1s 15.0.mp4 at ~2026-01-01 00:00:20.000 key k iv f map i.mp4 None
    ");
    // What is not known cannot be completed, and is said.
    let mut forgetful = previous;
    forgetful.segments.remove(1);
    for previous in [None, Some(&forgetful)] {
        let media = update(previous);
        assert_eq!((media.skipped_segments, media.segments.len()), (2, 2));
        assert_eq!(media.segments[0].sequence, 13);
        assert!(media.warnings[0].contains("2 segments are not listed"));
    }
}

#[test]
fn what_is_said_of_stretches_of_time() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-DATERANGE:ID=\"ad,1\",CLASS=\"ad\",START-DATE=\"2026-01-01T00:00:00Z\",\
        PLANNED-DURATION=30,SCTE35-OUT=0xFC30,X-COM-EXAMPLE=\"a=b\"\n\
        #EXT-X-DATERANGE:START-DATE=\"2026-01-01T00:00:00Z\"\n#EXTINF:2,\na.ts\n\
        #EXT-X-DATERANGE:ID=\"ad,1\",END-DATE=\"2026-01-01T00:00:29+0000\",SCTE35-IN=0xFC31\n";
    let media = media(text);
    assert_eq!(
        media.warnings,
        ["line 4: a date range without an ID, ignored"]
    );
    insta::assert_debug_snapshot!("date_ranges", media.date_ranges);
}

#[test]
fn variants_and_their_choice() {
    let text = "#EXTM3U\n#EXT-X-VERSION:6\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"English\",LANGUAGE=\"en\",URI=\"en.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"Deutsch\",LANGUAGE=\"de\",DEFAULT=YES\n\
        #EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"chunked\",NAME=\"1080p60 (source)\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\naudio.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1280000, RESOLUTION=640x360 , NAME=\"low\",AUDIO=\"aac\"\n\
        low.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=2560000,RESOLUTION=1280x720,CODECS=\"avc1.4d401f,mp4a.40.2\"\n\
        \n# between\nmid.m3u8\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=86000,URI=\"iframes.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=2560000,RESOLUTION=1280x720,AUDIO=\"aac\"\nbackup.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=7680000,VIDEO=\"chunked\",FRAME-RATE=60\nhigh.m3u8\n";
    let playlist = multivariant(text);
    assert!(playlist.warnings.is_empty(), "{:?}", playlist.warnings);
    let choose = |text: &str| {
        let choice: VariantChoice = text.parse().unwrap();
        let variant = choice.choose(&playlist);
        variant
            .map(|variant| variant.uri.as_str())
            .map_err(|error| error.to_string())
    };
    for (text, uri) in [
        ("best", "high.m3u8"),
        ("Worst", "low.m3u8"),
        ("low", "low.m3u8"),
        ("1080p60 (source)", "high.m3u8"),
        ("chunked", "high.m3u8"),
        ("mid.m3u8", "mid.m3u8"),
        ("720p", "mid.m3u8"),
        ("2560000", "mid.m3u8"),
        ("2559999", "low.m3u8"),
        ("64000", "audio.m3u8"),
    ] {
        assert_eq!(choose(text).as_deref(), Ok(uri), "{text}");
    }
    assert_eq!(
        choose("1080p").unwrap_err(),
        "no variant \"1080p\": the playlist has 64000 bit/s, low 360p 1280000 bit/s, \
         720p 2560000 bit/s, 720p 2560000 bit/s, 7680000 bit/s"
    );
    assert!(choose("1").is_err());
    insta::assert_debug_snapshot!("variant", playlist.variants[1]);
    insta::assert_debug_snapshot!(
        "rendition",
        playlist.group(clipmill_playlist::RenditionKind::Audio, "aac")[0]
    );
}

#[test]
fn variables_are_replaced() {
    let text = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"host\",VALUE=\"http://a.example\"\n\
        #EXT-X-DEFINE:IMPORT=\"token\"\n#EXT-X-DEFINE:IMPORT=\"unknown\"\n\
        #EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"{$host}/k\"\n\
        #EXTINF:2,\n{$host}/a.ts?{$token}{$unknown}\n";
    let imports = Variables::from([("token".to_owned(), "t=1".to_owned())]);
    let playlist =
        Playlist::parse_with(text.as_bytes(), &PlaylistLimits::default(), &imports).unwrap();
    let Playlist::Media(media) = playlist else {
        panic!("not a media playlist");
    };
    let segment = &media.segments[0];
    assert_eq!(segment.uri, "http://a.example/a.ts?t=1{$unknown}");
    let key = segment.key.as_ref().unwrap();
    assert_eq!(key.uri.as_deref(), Some("http://a.example/k"));
    assert_eq!(key.method, KeyMethod::Aes128);
    assert_eq!(media.warnings.len(), 1);
}

#[test]
fn a_playlist_caught_half_written() {
    let whole = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n#EXTINF:2.5,\nb.ts\n";
    for end in "#EXTM3U".len()..whole.len() {
        let media = media(&whole[..end]);
        for (segment, uri) in media.segments.iter().zip(["a.ts", "b.ts"]) {
            assert!(uri.starts_with(&segment.uri), "{end}: {}", segment.uri);
            assert!(
                segment.uri == uri || media.truncated,
                "{end}: {}",
                segment.uri
            );
        }
    }
    assert!(!media(whole).truncated);
    assert!(media(&whole[..whole.len() - 1]).truncated);
    assert!(media(&whole[..whole.len() - 5]).truncated);
    let ended = format!("{whole}#EXT-X-ENDLIST");
    assert!(!media(&ended).truncated);
}

const PLAIN: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
    #EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"9@4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n\
    #EXTINF:2,a title\n#EXT-X-BYTERANGE:100@0\na.m4s\n#EXTINF:2,\n#EXT-X-BYTERANGE:50\na.m4s\n";

/// What differs from line to line aside, all of these say the same.
fn said(media: &MediaPlaylist) -> String {
    let segments = media.segments.iter().map(|one| {
        let range = one.byte_range.map(|range| (range.offset, range.length));
        let map = one.map.as_deref();
        let map = map.map(|map| (map.uri.as_str(), map.byte_range.map(|range| range.offset)));
        let key = one.key.as_deref();
        let key = key.map(|key| (&key.method, key.uri.as_deref(), key.iv));
        format!(
            "{:?}",
            (&one.uri, one.duration, &one.title, range, map, key)
        )
    });
    segments.collect::<Vec<_>>().join("\n")
}

#[test]
fn line_ends_and_blanks_of_every_kind() {
    let plain = media(PLAIN);
    assert_eq!(plain.segments.len(), 2);
    let tabbed: String = PLAIN.lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "\t {} \t", line.replace(',', ",\t"));
        text
    });
    for text in [
        PLAIN.replace('\n', "\r"),
        PLAIN.replace('\n', "\r\n"),
        PLAIN.replace('\n', "\r\r\n"),
        // Of two programs, one that wrote the head and one that appends.
        PLAIN.replacen('\n', "\r", 4),
        tabbed,
    ] {
        let media = media(&text);
        assert_eq!(said(&media), said(&plain), "{text:?}");
        assert_eq!(media.warnings, Vec::<String>::new(), "{text:?}");
        assert!(!media.truncated, "{text:?}");
    }
    let cut = PLAIN.replace('\n', "\r");
    assert!(media(&cut[..cut.len() - 1]).truncated);
    let one = media("#EXTM3U\r#EXTINF:2\ra.ts\r#EXTINF:x,\rb.ts\r");
    assert!(
        one.warnings[0].starts_with("line 4: "),
        "{:?}",
        one.warnings
    );
}

#[test]
fn padding_of_nuls_is_cut_away_with_a_warning() {
    let plain = media(PLAIN);
    for (text, line) in [
        (format!("{PLAIN}{}", "\0".repeat(3000)), 13),
        (format!("{PLAIN}\0\n\0\0\n"), 13),
        (format!("\0\0{PLAIN}"), 1),
        // Lost in a crash, and gone on with after it.
        (PLAIN.replacen("#EXTINF", "\0\0\0\0#EXTINF", 1), 7),
    ] {
        let media = media(&text);
        assert_eq!(said(&media), said(&plain), "{text:?}");
        let warning = format!("line {line}: NUL bytes around what is there, ignored");
        assert_eq!(media.warnings, [warning], "{text:?}");
        assert!(!media.truncated, "{text:?}");
    }
    // Its last line is not whole.
    let cut = media(&format!("{}\0\0", &PLAIN[..PLAIN.len() - 3]));
    assert!(cut.truncated);
    let error = Playlist::parse(&[0; 64], &PlaylistLimits::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not an M3U8 playlist: it does not begin with #EXTM3U (it is empty)"
    );
}

#[test]
fn names_of_attributes_in_lower_case() {
    let text = PLAIN
        .replace("URI=", "uri=")
        .replace("BYTERANGE=\"", "ByteRange=\"")
        .replace("METHOD=AES-128", "method=aes-128")
        .replace("IV=", "iv=");
    let lower = media(&text);
    assert_eq!(said(&lower), said(&media(PLAIN)));
    assert_eq!(lower.warnings, Vec::<String>::new());
    let master = "#EXTM3U\n#EXT-X-MEDIA:type=audio,group-id=\"a\",name=\"Deutsch\",default=yes,\
        language=\"de\",uri=\"de.m3u8\"\n\
        #EXT-X-STREAM-INF:bandwidth=800000,resolution=640X360,audio=\"a\"\nv.m3u8\n";
    let master = multivariant(master);
    assert_eq!(master.variants[0].bandwidth, 800_000);
    assert_eq!(master.variants[0].audio.as_deref(), Some("a"));
    let german = &master.renditions[0];
    assert!(german.default && german.uri.as_deref() == Some("de.m3u8"));
    let range = "#EXT-X-DATERANGE:id=\"1\",start-date=\"2026-11-22T14:00:00Z\",x-com=\"y\"\n";
    let ranges = media(&format!("{PLAIN}{range}")).date_ranges;
    let attributes = ranges[0]
        .attributes
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    assert_eq!(attributes.collect::<Vec<_>>(), [("x-com", "y")]);
    // Tags are not: the line is a comment by the specification, and what it lacks is said.
    let tags = media(&PLAIN.replacen("#EXTINF", "#extinf", 1));
    assert_eq!(tags.segments.len(), 2);
    assert!(
        tags.warnings[0].contains("without EXTINF"),
        "{:?}",
        tags.warnings
    );
}

#[test]
fn a_tag_of_two_megabytes() {
    let long = "x".repeat(2 << 20);
    for tag in [
        format!("#EXT-X-UNKNOWN:{long}"),
        format!("#EXT-X-DATERANGE:ID=\"1\",X-DATA=\"{long}\""),
        format!("#EXT-X-SESSION-DATA:{}", "A=1,".repeat(1 << 19)),
        format!("#EXTINF:2,{long}"),
        format!("#{long}"),
    ] {
        let media =
            media(&PLAIN.replacen("#EXTINF:2,a title", &format!("{tag}\n#EXTINF:2,a title"), 1));
        assert_eq!(said(&media), said(&self::media(PLAIN)));
    }
}

#[test]
fn bytes_that_are_not_utf_8_cost_no_segment() {
    let text = b"#EXTM3U\n#EXTINF:2,caf\xe9\na.ts\n#EXTINF:2,\nb\xff.ts\n#EXTINF:2,\nc.ts\n";
    let Ok(Playlist::Media(media)) = Playlist::parse(text, &PlaylistLimits::default()) else {
        panic!("no media playlist");
    };
    let uris: Vec<_> = media.segments.iter().map(|one| one.uri.as_str()).collect();
    assert_eq!(uris, ["a.ts", "b\u{fffd}.ts", "c.ts"]);
}

#[test]
fn what_is_no_playlist() {
    let error = |bytes: &[u8]| {
        let limits = PlaylistLimits::default();
        Playlist::parse(bytes, &limits).unwrap_err().to_string()
    };
    assert_eq!(
        error(b"<html><body>404</body>\n"),
        r#"not an M3U8 playlist: it does not begin with #EXTM3U but with "<html><body>404</body>""#
    );
    assert_eq!(
        error(b""),
        "not an M3U8 playlist: it does not begin with #EXTM3U (it is empty)"
    );
    assert!(error(b"#EXTM3").starts_with("not an M3U8 playlist"));
    assert!(error(b"#EXTM3U8\n").starts_with("not an M3U8 playlist"));
    assert!(error(b"\x47\x40\x00\x10\x00").starts_with("not an M3U8 playlist"));
}

#[test]
fn limits_hold() {
    let limits = PlaylistLimits {
        bytes: 200,
        lines: 20,
        segments: 2,
        warnings: 1,
    };
    let parse = |text: &str| Playlist::parse(text.as_bytes(), &limits);
    let three = format!("#EXTM3U\n{}", "a.ts\n".repeat(3));
    assert_eq!(
        parse(&three),
        Err(PlaylistError::TooMany {
            what: "segments",
            limit: 2,
            line: 4
        })
    );
    assert_eq!(
        parse(&"#EXTM3U\n".repeat(100)),
        Err(PlaylistError::TooLong {
            actual: 800,
            limit: 200
        })
    );
    let Ok(Playlist::Media(media)) = parse("#EXTM3U\na.ts\nb.ts\n") else {
        panic!("no media playlist");
    };
    assert_eq!(media.warnings.len(), 1);
    // A variable that is long and named often must not grow beyond the limit.
    let value = "x".repeat(80);
    let bomb = format!("#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{value}\"\n{{$a}}{{$a}}{{$a}}\n");
    let Ok(Playlist::Media(media)) = parse(&bomb) else {
        panic!("no media playlist");
    };
    assert_eq!(media.segments[0].uri, "{$a}{$a}{$a}");
}

/// A recorder tells segments apart by their numbers: with all of them the largest there is, it took
/// the same segment for a new one again and again.
#[test]
fn sequence_numbers_differ_however_large_the_first() {
    for first in [u64::MAX, u64::MAX - 1, u64::MAX >> 1] {
        let text = format!(
            "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXTINF:1,\na.ts\n#EXTINF:1,\nb.ts\n#EXTINF:1,\nc.ts\n"
        );
        let Ok(Playlist::Media(media)) =
            Playlist::parse(text.as_bytes(), &PlaylistLimits::default())
        else {
            panic!("no media playlist");
        };
        let numbers = media.segments.windows(2);
        assert!(
            numbers
                .map(|two| two[1].sequence - two[0].sequence)
                .all(|step| step == 1)
        );
    }
}

/// ffmpeg rounds: segments of 0.4 s have a target duration of 0, as the RFC wants it.
#[test]
fn a_target_duration_of_zero_is_right_for_short_segments() {
    let text = |length: &str| {
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:0\n#EXTINF:{length},\na.ts\n#EXT-X-ENDLIST\n")
    };
    let short = media(&text("0.4"));
    assert_eq!(short.warnings, [""; 0]);
    assert!(short.target_duration.is_zero());
    let long = media(&text("0.6"));
    assert_eq!(long.warnings, ["line 2: a target duration of \"0\""]);
    assert_eq!(long.target_duration.as_secs(), 1);
}
