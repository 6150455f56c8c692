use chrono::{DateTime, Utc};
use clipmill_playlist::{Playlist, PlaylistLimits};

use super::*;
use crate::catalog::SledCatalog;

const DATE: i64 = 1_795_356_000_000;

/// The date ranges of a playlist, a line each.
fn ranges(lines: &[&str]) -> Vec<DateRange> {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for line in lines {
        text.push_str(&format!("#EXT-X-DATERANGE:{line}\n"));
    }
    text.push_str("#EXTINF:2,\na.ts\n");
    match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()) {
        Ok(Playlist::Media(media)) => media.date_ranges,
        other => panic!("{other:?}"),
    }
}

/// An instant of the first minute, as playlists have it.
fn date(ms: i64) -> String {
    let date = DateTime::<Utc>::from_timestamp_millis(DATE + ms).unwrap();
    date.to_rfc3339()
}

/// Markers as texts: `id from..to name`.
fn texts(markers: &[Marker]) -> Vec<String> {
    let text = |marker: &Marker| {
        let to = marker
            .to_ms
            .map_or("open".to_owned(), |to| (to - DATE).to_string());
        let name = marker.name.as_deref().unwrap_or("-");
        format!("{} {}..{to} {name}", marker.id, marker.from_ms - DATE)
    };
    markers.iter().map(text).collect()
}

#[test]
fn date_ranges_are_markers() {
    let at = |ms| format!("START-DATE=\"{}\"", date(ms));
    let out = "SCTE35-OUT=0xFC302F000000000000FFFFF014054800008F7FEFFE7369C02EFE0052CCF500000000000A0008435545490000013562DBA30A";
    let signal = "SCTE35-CMD=0xFC3034000000000000FFFFF00506FE72BD0050001E021C435545494800008E7FCF0001A599B00808000000002CA0A18A3402009AC9D17E";
    let lines = [
        format!("ID=\"ends\",{},END-DATE=\"{}\"", at(1000), date(4500)),
        format!("ID=\"lasts\",{},DURATION=2.5", at(1000)),
        format!("ID=\"planned\",{},PLANNED-DURATION=30,{signal}", at(1000)),
        format!(
            "ID=\"both\",{},END-DATE=\"{}\",PLANNED-DURATION=30",
            at(0),
            date(9000)
        ),
        format!("ID=\"out\",{},{out}", at(2000)),
        format!("ID=\"back\",{},DURATION=6,{out},SCTE35-IN=0xFC00", at(2000)),
        format!("ID=\"instant\",{}", at(3000)),
        format!("ID=\"song 1\",CLASS=\"song\",{},END-ON-NEXT=YES", at(0)),
        format!("ID=\"song 2\",CLASS=\"song\",{},END-ON-NEXT=YES", at(5000)),
        format!("ID=\"other\",CLASS=\"x\",{},END-ON-NEXT=YES", at(5000)),
        "ID=\"undated\",DURATION=3".to_owned(),
        format!("ID=\"{}\",{}", "x".repeat(256), at(0)),
        format!("ID=\"backwards\",{},END-DATE=\"{}\"", at(3000), date(2000)),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(
        texts(&markers_of(&ranges(&lines))),
        [
            "ends 1000..4500 -",
            "lasts 1000..3500 -",
            "planned 1000..31000 Provider Placement Opportunity 1207959694",
            "both 0..9000 -",
            "out 2000..open Splice 1207959695",
            "back 2000..8000 Splice 1207959695",
            "instant 3000..3000 -",
            "song 1 0..5000 -",
            "song 2 5000..open -",
            "other 5000..open -",
            "backwards 3000..3000 -",
        ]
    );
}

#[test]
fn what_has_not_changed_is_not_said_again() {
    let start = format!("START-DATE=\"{}\"", date(0));
    let first = format!("ID=\"a\",{start},PLANNED-DURATION=30");
    let second = format!("ID=\"b\",{start}");
    let ended = format!("ID=\"a\",{start},END-DATE=\"{}\"", date(20_000));
    let mut known = Listed::default();
    let mut news = |lines: &[&str]| texts(&known.ranges(&ranges(lines)));
    assert_eq!(news(&[&first]), ["a 0..30000 -"]);
    assert!(news(&[&first]).is_empty());
    assert_eq!(news(&[&first, &second]), ["b 0..0 -"]);
    // The same tag, said again with more.
    assert_eq!(news(&[&first, &second, &ended]), ["a 0..20000 -"]);
    assert!(news(&[&second]).is_empty());
    // One that was gone is looked at anew.
    assert_eq!(news(&[&ended, &second]), ["a 0..20000 -"]);
}

#[tokio::test]
async fn cues_are_breaks() {
    let data = tempfile::tempdir().unwrap();
    let catalog = SledCatalog::open(data.path()).unwrap().catalog;
    let mut known = Listed::default();
    // Segments of ten seconds, and what stands before each.
    let mut look = async |first: usize, tags: &[&str]| {
        let mut text =
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for (number, tags) in tags.iter().enumerate().skip(first) {
            let at = date(10_000 * number as i64);
            text.push_str(&format!(
                "{tags}#EXT-X-PROGRAM-DATE-TIME:{at}\n#EXTINF:10,\n{number}.ts\n"
            ));
        }
        let Ok(Playlist::Media(media)) =
            Playlist::parse(text.as_bytes(), &PlaylistLimits::default())
        else {
            panic!("{text}");
        };
        let news = known.news(&media.date_ranges, &media.segments);
        for news in &news {
            write(&catalog, "live", "cam", news).await.unwrap();
        }
        let markers = catalog.markers("live", "cam", false).await.unwrap();
        let texts = texts(&markers).into_iter();
        let texts = texts.map(|text| text.split_once(' ').unwrap().1.to_owned());
        (news.len(), texts.collect::<Vec<_>>().join(", "))
    };
    let mut tags = vec!["", "#EXT-X-CUE-OUT:15\n"];
    assert_eq!(look(0, &tags).await, (1, "10000..25000 Break".to_owned()));
    assert_eq!(look(0, &tags).await.0, 0);
    tags.extend([
        "#EXT-X-CUE-OUT-CONT:10/15\n",
        "#EXT-X-CUE-IN\n",
        "#EXT-X-CUE-OUT\n",
    ]);
    let seen = look(1, &tags).await;
    assert_eq!(
        seen,
        (2, "10000..30000 Break, 40000..open Break".to_owned())
    );
    // The last one's end is lost.
    tags.extend(["", "", "#EXT-X-CUE-OUT:DURATION=5.5\n"]);
    let all = "10000..30000 Break, 40000..70000 Break, 70000..75500 Break";
    assert_eq!(look(5, &tags).await, (1, all.to_owned()));
    // One that a date range tells of as well, and its end.
    let range = format!(
        "#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"{}\",DURATION=20\n#EXT-X-CUE-OUT:20\n",
        date(100_000)
    );
    tags.extend(["", "", range.as_str(), "", "#EXT-X-CUE-IN\n"]);
    let all = format!("{all}, 100000..120000 -");
    assert_eq!(look(8, &tags).await, (2, all));
}

/// A `splice_info_section`: a command, its bytes, and descriptors.
fn section(command: u8, content: &[u8], descriptors: &[u8]) -> SpliceInfo {
    let mut bytes = vec![0xfc, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0];
    bytes.extend([content.len() as u8, command]);
    bytes.extend(content);
    bytes.extend((descriptors.len() as u16).to_be_bytes());
    bytes.extend(descriptors);
    bytes[2] = (bytes.len() + 4 - 3) as u8;
    let mut crc = u32::MAX;
    for byte in &bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            let carry = crc >> 31;
            crc = (crc << 1) ^ (carry * 0x04c1_1db7);
        }
    }
    bytes.extend(crc.to_be_bytes());
    SpliceInfo::parse(&bytes).unwrap()
}

/// `splice_insert` at once: out with a length in seconds, in without.
fn insert(event_id: u32, out: bool, seconds: Option<u64>) -> SpliceInfo {
    let mut content = event_id.to_be_bytes().to_vec();
    let flags = 0x40 | u8::from(out) << 7 | u8::from(seconds.is_some()) << 5 | 0x1f;
    content.extend([0x7f, flags]);
    if let Some(seconds) = seconds {
        let ticks = (seconds * 90_000).to_be_bytes();
        content.extend([0xfe | ticks[3] & 1]);
        content.extend(&ticks[4..]);
    }
    content.extend([0, 1, 0, 0]);
    section(0x05, &content, &[])
}

fn cancelled(event_id: u32) -> SpliceInfo {
    let mut content = event_id.to_be_bytes().to_vec();
    content.push(0xff);
    section(0x05, &content, &[])
}

/// `time_signal` at once, with one segmentation that lasts as long as that, in seconds.
fn signal(event_id: u32, type_id: u8, seconds: Option<u64>) -> SpliceInfo {
    let mut descriptor = b"CUEI".to_vec();
    descriptor.extend(event_id.to_be_bytes());
    descriptor.extend([0x7f, 0x80 | u8::from(seconds.is_some()) << 6 | 0x3f]);
    if let Some(seconds) = seconds {
        descriptor.extend(&(seconds * 90_000).to_be_bytes()[3..]);
    }
    descriptor.extend([0, 0, type_id, 0, 0]);
    let mut descriptors = vec![0x02, descriptor.len() as u8];
    descriptors.extend(descriptor);
    section(0x06, &[0x7f], &descriptors)
}

#[tokio::test]
async fn what_splices_begin_others_end() {
    let data = tempfile::tempdir().unwrap();
    let catalog = SledCatalog::open(data.path()).unwrap().catalog;
    let say = async |info: SpliceInfo, at_ms: i64| {
        for news in news_of(&info, DATE + at_ms) {
            write(&catalog, "live", "cam", &news).await.unwrap();
        }
        texts(&catalog.markers("live", "cam", false).await.unwrap())
    };
    let at = |at_ms: i64| DATE + at_ms;
    // Out and in, announced again and again.
    let five = format!("scte35-5-{}", at(1000));
    for _ in 0..3 {
        let now = say(insert(5, true, None), 1000).await;
        assert_eq!(now, [format!("{five} 1000..open Splice 5")]);
    }
    // A little off, as a timeline that began anew has it.
    assert_eq!(say(insert(5, true, None), 1004).await.len(), 1);
    for _ in 0..2 {
        let now = say(insert(5, false, None), 31_000).await;
        assert_eq!(now, [format!("{five} 1000..31000 Splice 5")]);
    }
    assert_eq!(say(insert(6, false, None), 40_000).await.len(), 1);
    // The same event once more, with a length that turns out to be another.
    let again = say(insert(5, true, Some(30)), 60_000).await;
    let second = format!("scte35-5-{} 60000..", at(60_000));
    assert_eq!(again[1], format!("{second}90000 Splice 5"));
    let back = say(insert(5, false, None), 80_000).await;
    assert_eq!(back[1], format!("{second}80000 Splice 5"));
    // What was planned does not take back what was said.
    assert_eq!(say(insert(5, true, Some(30)), 60_000).await, back);
    assert_eq!(back[0], format!("{five} 1000..31000 Splice 5"));

    // Segmentations, by type and event; a program that ends early.
    let type_of = |markers: &[String], id: &str| {
        let found = markers.iter().find(|one| one.starts_with(id));
        found.cloned().unwrap_or_default()
    };
    say(signal(9, 0x30, Some(15)), 100_000).await;
    say(signal(9, 0x10, None), 100_000).await;
    let all = say(signal(9, 0x31, None), 112_000).await;
    assert_eq!(
        type_of(&all, "scte35-30-9"),
        format!(
            "scte35-30-9-{} 100000..112000 Provider Advertisement 9",
            at(100_000)
        )
    );
    assert!(type_of(&all, "scte35-10-9").ends_with("100000..open Program 9"));
    let all = say(signal(9, 0x12, None), 120_000).await;
    assert!(type_of(&all, "scte35-10-9").ends_with("100000..120000 Program 9"));
    say(signal(7, 0x01, None), 130_004).await;
    let all = say(signal(7, 0x01, None), 130_000).await;
    assert_eq!(
        all.iter()
            .filter(|one| one.starts_with("scte35-01-7"))
            .count(),
        1
    );
    assert!(type_of(&all, "scte35-01-7").ends_with("130004..130004 Content Identification 7"));
    // One that nobody ends ends with the next.
    say(signal(3, 0x22, None), 140_000).await;
    let all = say(signal(3, 0x22, None), 150_000).await;
    let breaks: Vec<_> = all
        .iter()
        .filter(|one| one.starts_with("scte35-22-3"))
        .collect();
    assert!(breaks[0].ends_with("140000..150000 Break 3"));
    assert!(breaks[1].ends_with("150000..open Break 3"));

    // What is cancelled before it begins is gone; what has begun stays.
    let count = all.len();
    assert_eq!(
        say(insert(8, true, Some(30)), 200_000).await.len(),
        count + 1
    );
    assert_eq!(say(cancelled(8), 190_000).await.len(), count);
    assert_eq!(say(cancelled(5), 190_000).await.len(), count);
    // And what somebody has removed does not come back.
    assert!(catalog.remove_marker("live", "cam", &five).await.unwrap());
    for at in [1000, 1004] {
        assert_eq!(say(insert(5, true, None), at).await.len(), count - 1);
    }
}

#[test]
fn markers_go_when_no_clip_can_be_made_of_them_any_more() {
    let marker = |to_ms, set_ms| Marker {
        from_ms: 1000,
        to_ms,
        set_ms,
        ..Marker::default()
    };
    for (to, set, edge, over) in [
        (Some(2000), 9000, Some(12_000), false),
        (Some(2000), 9000, Some(12_001), true),
        // One that has not ended is as old as its beginning.
        (None, 9000, Some(11_000), false),
        (None, 9000, Some(11_001), true),
        // Whose clock is behind: what is ahead stays.
        (Some(2000), 0, Some(500), false),
        (Some(2000), 40_000, None, false),
        (Some(2000), 39_999, None, true),
    ] {
        let found = is_over(&marker(to, set), edge, 10_000, 50_000);
        assert_eq!(found, over, "{to:?} {set} {edge:?}");
    }
}
