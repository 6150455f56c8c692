use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const BEGIN: i64 = 1_795_356_300 * SECOND;

fn label(sequence: u64, start_us: Option<i64>) -> Label {
    Label {
        sequence,
        duration: 180_000,
        start_time: start_us.and_then(DateTime::from_timestamp_micros),
        discontinuity: sequence.is_multiple_of(3),
        missing_before: 90_000,
        init: Some(7).filter(|_| sequence.is_multiple_of(2)),
        changed: !sequence.is_multiple_of(2),
        file: (1, 2),
    }
}

/// A segment of 2 s, the first one at [`BEGIN`].
fn entry(sequence: u64) -> Entry {
    let start = BEGIN + 2 * SECOND * sequence as i64;
    Entry::new(&label(sequence, Some(start)), 100, 0)
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(BEGIN + seconds * SECOND).unwrap()
}

/// A window of `count` segments, whose live edge is their end.
fn window(count: u64) -> Window {
    let mut window = Window::default();
    for sequence in 0..count {
        assert!(window.insert("1-0", entry(sequence)));
    }
    window.set_edge(at(2 * count as i64), Instant::now());
    window
}

fn sequences(listed: &[Listed]) -> Vec<u64> {
    listed.iter().map(|one| one.entry.sequence()).collect()
}

#[test]
fn an_entry_says_what_the_label_did() {
    for label in [
        label(0, Some(BEGIN)),
        label(1, None),
        label(u64::MAX, Some(-1)),
    ] {
        let entry = Entry::new(&label, 1, 0);
        assert_eq!(entry.label(), label);
    }
    assert!(size_of::<Entry>() <= 64, "hours of many streams are listed");
}

#[test]
fn what_lies_further_back_than_the_window_goes() {
    let mut window = window(10);
    let now = Instant::now();
    assert!(window.trim(Duration::from_secs(60), now).is_empty());
    let gone = window.trim(Duration::from_secs(12), now);
    assert_eq!(sequences(&gone), [0, 1, 2, 3]);
    assert_eq!((window.len(), window.bytes()), (6, 600));
    // A stream that is silent grows older all the same.
    let later = now + Duration::from_secs(8);
    let gone = window.trim(Duration::from_secs(12), later);
    assert_eq!(sequences(&gone), [4, 5, 6, 7]);
    window.trim(Duration::ZERO, later + Duration::from_secs(60));
    assert_eq!(window.reach(), None);
}

#[test]
fn what_a_reader_holds_stays() {
    let mut window = window(10);
    let listed = window.select(Some(at(6)), Some(at(8)), 1);
    assert_eq!(sequences(&listed), [2, 3, 4]);
    let hold = window.hold(&listed[0]);
    let now = Instant::now();
    let gone = window.trim(Duration::ZERO, now + Duration::from_secs(60));
    assert_eq!(sequences(&gone), [0, 1]);
    assert_eq!(window.pop_oldest(), None);
    window.let_go(hold);
    assert_eq!(window.pop_oldest().map(|one| one.entry.sequence()), Some(2));
    let gone = window.trim(Duration::ZERO, now + Duration::from_secs(60));
    assert_eq!(gone.len(), 7);
}

#[test]
fn a_window_is_chosen_over_all_sessions() {
    let mut window = window(3);
    for sequence in 0..3 {
        let start = BEGIN + (100 + 2 * sequence as i64) * SECOND;
        window.insert("2-0", Entry::new(&label(sequence, Some(start)), 100, 0));
    }
    let chosen = |from, to| {
        let chosen = window.select(from, to, 0);
        chosen
            .into_iter()
            .map(|one| (one.session, one.entry.sequence()))
            .collect::<Vec<_>>()
    };
    let named = |all: &[(&str, u64)]| {
        all.iter()
            .map(|(session, n)| ((*session).to_owned(), *n))
            .collect::<Vec<_>>()
    };
    assert_eq!(chosen(None, None).len(), 6);
    assert_eq!(
        chosen(Some(at(5)), Some(at(101))),
        named(&[("1-0", 2), ("2-0", 0), ("2-0", 1)])
    );
    assert!(chosen(Some(at(200)), None).is_empty());
    assert_eq!(window.reach(), Some((at(0), at(106))));
}

#[test]
fn a_clock_that_was_wrong_blocks_nothing() {
    let mut window = Window::default();
    let day = 24 * 3600 * SECOND;
    window.insert("1-0", Entry::new(&label(0, Some(BEGIN + day)), 100, 0));
    window.insert("2-0", Entry::new(&label(0, Some(BEGIN)), 100, 0));
    let now = Instant::now();
    window.set_edge(at(2), now);
    let gone = window.trim(Duration::from_secs(3600), now);
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].session, "1-0");
}

#[test]
fn what_has_no_date_goes_with_what_follows() {
    let mut window = Window::default();
    window.insert("1-0", Entry::new(&label(0, None), 100, 0));
    window.insert("1-0", entry(1));
    let now = Instant::now();
    window.set_edge(at(4), now);
    assert!(window.trim(Duration::from_secs(3600), now).is_empty());
    let late = now + Duration::from_secs(7200);
    assert_eq!(window.trim(Duration::from_secs(3600), late).len(), 2);
}

proptest! {
    /// However they come and go: what is in it is in order and counted, and nothing that is held goes.
    #[test]
    fn it_is_in_order_and_counted(steps in prop::collection::vec((0..4u8, 0..40u64, 0..3usize), 1..80)) {
        let mut window = Window::default();
        let now = Instant::now();
        window.set_edge(at(80), now);
        let mut held: Vec<(u64, Listed)> = Vec::new();
        for (step, sequence, session) in steps {
            let session = ["1-0", "2-0", "3-0"][session];
            match step {
                0 | 1 => { window.insert(session, entry(sequence)); }
                2 => { window.trim(Duration::from_secs(2 * sequence), now); }
                _ => {
                    let listed = window.select(Some(at(sequence as i64)), None, 0);
                    if let Some(first) = listed.first() {
                        held.push((window.hold(first), first.clone()));
                    }
                    if held.len() > 2 {
                        window.let_go(held.remove(0).0);
                    }
                }
            }
            let all = window.select(None, None, 0);
            let keys: Vec<_> = all.iter().map(|one| (one.session.clone(), one.entry.sequence())).collect();
            prop_assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]));
            prop_assert_eq!(window.bytes(), all.iter().map(|one| one.entry.len).sum::<u64>());
            prop_assert_eq!(window.len(), all.len());
            for (_, first) in &held {
                prop_assert!(all.contains(first), "it is held");
            }
        }
    }
}
