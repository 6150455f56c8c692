//! What was asked for, and which place in the playlist it is.

use std::time::Duration;

use clipmill_playlist::{
    MediaPlaylist, Playlist, PlaylistLimits, Position, TimeSpec, Window, WindowError,
    WindowRequest, parse_duration,
};

fn media(body: &str) -> MediaPlaylist {
    let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{body}");
    match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()) {
        Ok(Playlist::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

/// Ten segments of two seconds from 14:00:00 on, three with dates.
fn dated() -> MediaPlaylist {
    let mut body = String::new();
    for number in 0..10 {
        if number % 4 == 0 {
            let second = number * 2;
            body += &format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:{second:02}Z\n");
        }
        body += &format!("#EXTINF:2,\n{number}.ts\n");
    }
    media(&body)
}

fn undated() -> MediaPlaylist {
    media(&"#EXTINF:2,\na.ts\n".repeat(10))
}

/// `from to last duration`, with `_` for what is not given.
fn request(text: &str) -> WindowRequest {
    let mut words = text.split(' ').map(|word| (word != "_").then_some(word));
    let mut next = || words.next().flatten();
    WindowRequest {
        from: next().map(|word| word.parse().unwrap()),
        to: next().map(|word| word.parse().unwrap()),
        last: next().map(|word| parse_duration(word).unwrap()),
        duration: next().map(|word| parse_duration(word).unwrap()),
    }
}

fn at(segment: usize, millis: u64) -> Option<Position> {
    Some(Position {
        segment,
        offset: Duration::from_millis(millis),
    })
}

fn resolve(playlist: &MediaPlaylist, text: &str) -> Result<Window, WindowError> {
    request(text).resolve(playlist)
}

#[test]
fn nothing_asked_is_everything() {
    let window = resolve(&undated(), "_").unwrap();
    assert_eq!(window, Window::default());
    assert_eq!(window.segments_overlapping(&undated()), 0..10);
    assert_eq!(
        window.span(&undated()),
        Duration::ZERO..Duration::from_secs(20)
    );
}

#[test]
fn relative_times() {
    for (text, from, to, segments) in [
        ("+3s", at(1, 1000), None, 1..10),
        ("+4s", at(2, 0), None, 2..10),
        ("+0s", None, None, 0..10),
        ("_ +4s", None, at(2, 0), 0..2),
        ("_ +4001ms", None, at(2, 1), 0..3),
        ("_ +20s", None, None, 0..10),
        ("_ +2h", None, None, 0..10),
        ("-3s", at(8, 1000), None, 8..10),
        ("-2h", None, None, 0..10),
        ("_ -3s", None, at(8, 1000), 0..9),
        ("+1s -1s", at(0, 1000), at(9, 1000), 0..10),
        ("_ _ 5s", at(7, 1000), None, 7..10),
        ("_ _ 1h", None, None, 0..10),
        ("_ _ _ 5s", None, at(2, 1000), 0..3),
        ("+3s _ _ 2s", at(1, 1000), at(2, 1000), 1..3),
        ("+19s _ _ 1h", at(9, 1000), None, 9..10),
        ("-5s _ _ 2s", at(7, 1000), at(8, 1000), 7..9),
        ("-5s _ _ 1h", at(7, 1000), None, 7..10),
        ("_ +9s _ 4s", at(2, 1000), at(4, 1000), 2..5),
        ("_ +9s _ 1h", None, at(4, 1000), 0..5),
        ("_ -4s _ 1s", at(7, 1000), at(8, 0), 7..8),
    ] {
        let playlist = undated();
        let window = resolve(&playlist, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(window, Window { from, to }, "{text}");
        assert_eq!(window.segments_overlapping(&playlist), segments, "{text}");
    }
}

#[test]
fn instants() {
    for (text, from, to) in [
        ("2026-11-22T14:00:03Z", at(1, 1000), None),
        ("2026-11-22T17:00:03.250+0300", at(1, 1250), None),
        ("2026-11-22T14:00:04Z", at(2, 0), None),
        ("1795356003000", at(1, 1000), None),
        ("2026-11-22T13:00:00Z", None, None),
        ("2026-11-22T14:00:00Z", None, None),
        ("_ 2026-11-22T15:00:00Z", None, None),
        ("_ 2026-11-22T14:00:20Z", None, None),
        (
            "2026-11-22T14:00:03Z 2026-11-22T14:00:05Z",
            at(1, 1000),
            at(2, 1000),
        ),
        ("2026-11-22T14:00:03Z _ _ 2s", at(1, 1000), at(2, 1000)),
        ("_ 2026-11-22T14:00:05Z _ 2s", at(1, 1000), at(2, 1000)),
        ("2026-11-22T14:00:03Z -1s", at(1, 1000), at(9, 1000)),
    ] {
        let window = resolve(&dated(), text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(window, Window { from, to }, "{text}");
    }
}

#[test]
fn requests_that_make_no_sense() {
    for (text, expected) in [
        ("+1s _ 5s", WindowError::LastWithOthers),
        ("_ +1s 5s", WindowError::LastWithOthers),
        ("_ _ 5s 1s", WindowError::LastWithOthers),
        ("+1s +2s _ 1s", WindowError::TooManyBounds),
        ("_ _ 0s", WindowError::ZeroLength),
        ("+1s _ _ 0s", WindowError::ZeroLength),
        ("+2s +2s", WindowError::EndsBeforeStart),
        ("+100s +50s", WindowError::EndsBeforeStart),
        ("-2s -3s", WindowError::EndsBeforeStart),
        ("-2s +3s", WindowError::EndsBeforeStart),
        (
            "2026-11-22T14:00:03Z 2026-11-22T14:00:02Z",
            WindowError::EndsBeforeStart,
        ),
    ] {
        assert_eq!(resolve(&dated(), text), Err(expected), "{text}");
    }
}

#[test]
fn windows_that_miss_the_playlist() {
    let message = |playlist: &MediaPlaylist, text| resolve(playlist, text).unwrap_err().to_string();
    for text in ["+20s", "+1h", "_ +0s", "_ -20s", "-0s"] {
        assert_eq!(
            message(&undated(), text),
            "nothing in the window: the playlist covers +0s to +20s",
            "{text}"
        );
    }
    for text in [
        "2026-11-22T14:00:20Z",
        "2026-11-22T13:00:00Z 2026-11-22T14:00:00Z",
        "2020-01-01T00:00:00Z _ _ 1h",
    ] {
        assert_eq!(
            message(&dated(), text),
            "nothing in the window: the playlist covers \
             2026-11-22T14:00:00.000Z to 2026-11-22T14:00:20.000Z",
            "{text}"
        );
    }
    assert_eq!(
        message(&undated(), "2026-11-22T14:00:00Z"),
        "the playlist has no EXT-X-PROGRAM-DATE-TIME, so 2026-11-22T14:00:00.000Z cannot be found \
         in it: use +90s (from its start) or -30s (from its end)"
    );
    assert_eq!(message(&media(""), "_"), "the playlist has no segments");
}

const PAUSED: &str = "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:00Z\n#EXTINF:2,\n0.ts\n\
    #EXTINF:2,\n1.ts\n\
    #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T15:00:00Z\n#EXTINF:2,\n2.ts\n";

#[test]
fn an_instant_in_a_pause_is_where_the_stream_goes_on() {
    let playlist = media(PAUSED);
    let half_past = "2026-11-22T14:30:00Z";
    let begins = resolve(&playlist, half_past).unwrap();
    assert_eq!(begins.from, at(2, 0));
    assert_eq!(begins.segments_overlapping(&playlist), 2..3);
    let ends = resolve(&playlist, &format!("_ {half_past}")).unwrap();
    assert_eq!(ends.to, at(2, 0));
    assert_eq!(ends.segments_overlapping(&playlist), 0..2);
    assert!(matches!(
        resolve(&playlist, &format!("{half_past} 2026-11-22T14:40:00Z")),
        Err(WindowError::Nothing { .. })
    ));
}

#[test]
fn a_date_is_believed_before_the_sum_of_durations() {
    // Segments really last 2.1 s, and EXTINF is rounded.
    let mut body = String::new();
    for number in 0..10 {
        let millis = number * 2100;
        body += &format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:{:02}.{:03}Z\n#EXTINF:2,\n{number}.ts\n",
            millis / 1000,
            millis % 1000
        );
    }
    let playlist = media(&body);
    let place = |instant: &str| resolve(&playlist, instant).unwrap().from;
    assert_eq!(place("2026-11-22T14:00:02.050Z"), at(0, 2050));
    assert_eq!(place("2026-11-22T14:00:02.100Z"), at(1, 0));
    assert_eq!(place("2026-11-22T14:00:18.899Z"), at(8, 2099));
}

#[test]
fn overlapping_dates_go_by_the_later_segment() {
    // Segments really last 1.9 s.
    let playlist = media(
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:00Z\n#EXTINF:2,\n0.ts\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:01.900Z\n#EXTINF:2,\n1.ts\n",
    );
    let window = resolve(&playlist, "2026-11-22T14:00:01.950Z").unwrap();
    assert_eq!(window.from, at(1, 50));
}

#[test]
fn a_clock_that_was_set_back() {
    let playlist = media(
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:00Z\n#EXTINF:2,\n0.ts\n#EXTINF:2,\n1.ts\n\
         #EXT-X-DISCONTINUITY\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-22T13:00:00Z\n#EXTINF:2,\n2.ts\n#EXTINF:2,\n3.ts\n",
    );
    let place = |instant: &str| resolve(&playlist, instant).unwrap().from;
    assert_eq!(place("2026-11-22T14:00:03Z"), at(1, 1000));
    assert_eq!(place("2026-11-22T13:00:03Z"), at(3, 1000));
}

#[test]
fn windows_asked_for_back_to_back_tile() {
    for playlist in [dated(), media(PAUSED)] {
        let mut last_end = None;
        for step in 0..40 {
            let instant = |step: i64| 1_795_356_000_000 + step * 500;
            let text = format!("{} {}", instant(step), instant(step + 1));
            let Ok(window) = resolve(&playlist, &text) else {
                continue;
            };
            if let Some(end) = last_end {
                assert_eq!(window.from, end, "{text}");
            }
            last_end = Some(window.to);
        }
    }
}

#[test]
fn a_pinned_window_is_the_same_place_in_another_playlist() {
    // By media sequence number, where there are no dates: the other one has slid.
    let playlist = undated();
    let mut slid = undated();
    slid.segments.remove(0);
    for (number, segment) in slid.segments.iter_mut().enumerate() {
        segment.start = Duration::from_secs(2 * number as u64);
    }
    for text in ["+5s +9s", "-5s", "_ _ 5s", "+2s _ _ 4s"] {
        let window = resolve(&playlist, text).unwrap();
        let pinned = window.pinned(&playlist);
        let other = pinned.resolve(&slid).unwrap();
        let start = window.span(&playlist);
        let shifted = other.span(&slid);
        let by = Duration::from_secs(2);
        assert_eq!(shifted.start + by..shifted.end + by, start, "{text}");
    }
    // By the date, where there are some.
    let window = resolve(&dated(), "+5s +9s").unwrap();
    let pinned = window.pinned(&dated());
    assert_eq!(pinned, request("2026-11-22T14:00:05Z 2026-11-22T14:00:09Z"));
    // What two have in common.
    let whole = resolve(&playlist, "_").unwrap().pinned(&playlist);
    let own = resolve(&slid, "_ -1s").unwrap().pinned(&slid);
    let common = whole.common(&own).resolve(&playlist).unwrap();
    assert_eq!((common.from, common.to), (at(1, 0), at(9, 1000)));
}

#[test]
fn a_place_in_a_segment_of_parts() {
    let body = "#EXTINF:2,\na.ts\n#EXT-X-PART:DURATION=0.5,URI=\"b0\"\n\
        #EXT-X-PART:DURATION=0.5,URI=\"b1\"\n#EXT-X-PART:DURATION=0.5,URI=\"b2\"\n";
    let parts = media(body).with_parts();
    for (millis, place) in [
        (0, at(1, 0)),
        (600, at(2, 100)),
        (1499, at(3, 499)),
        (1500, None),
    ] {
        let request = WindowRequest {
            to: Some(TimeSpec::InSegment {
                sequence: 1,
                offset: Duration::from_millis(millis),
            }),
            ..WindowRequest::default()
        };
        assert_eq!(request.resolve(&parts).unwrap().to, place, "{millis}");
    }
    let end = Window::default().pinned(&parts).to;
    let offset = Duration::from_millis(1500);
    assert_eq!(
        end,
        Some(TimeSpec::InSegment {
            sequence: 1,
            offset
        })
    );
    // Complete by now.
    let whole = media("#EXTINF:2,\na.ts\n#EXTINF:2,\nb.ts\n");
    let request = WindowRequest {
        to: Some(TimeSpec::InSegment {
            sequence: 1,
            offset: Duration::from_millis(600),
        }),
        ..WindowRequest::default()
    };
    assert_eq!(request.resolve(&whole).unwrap().to, at(1, 600));
}

/// An encoder's clock is set back: the same instants are in the playlist twice.
#[test]
fn dates_that_go_back_are_said() {
    let dates = [0, 2, 4, 2, 4, 6];
    let body = dates.iter().enumerate().map(|(number, second)| {
        format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:{second:02}Z\n#EXTINF:2,\n{number}.ts\n")
    });
    let playlist = media(&body.collect::<String>());
    let said = |text| {
        resolve(&playlist, text)
            .unwrap()
            .dates_going_back(&playlist)
    };
    let words = "EXT-X-PROGRAM-DATE-TIME goes back by 4s before segment 3.ts (sequence 3): \
        the window is longer than its dates say";
    let across = said("2026-11-22T14:00:01Z 2026-11-22T14:00:07Z _ _");
    assert_eq!(across.as_deref(), Some(words));
    assert_eq!(said("2026-11-22T14:00:01Z 2026-11-22T14:00:03Z _ _"), None);
    let dated = dated();
    let whole = resolve(&dated, "_ _ _ _").unwrap();
    assert_eq!(whole.dates_going_back(&dated), None);
}
