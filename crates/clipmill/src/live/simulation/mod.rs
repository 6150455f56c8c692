//! Random histories, held against a model that is trivial: every access unit in exactly one periodic
//! clip, no action lost or doubled, every kept segment released, no wake-up missed.
//!
//! `CLIPMILL_HISTORIES` says how many, `CLIPMILL_SEED` repeats one. A history that fails is made shorter
//! before it is shown.

mod driver;
mod history;
mod judge;
mod publisher;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::driver::run;
use self::history::{History, shrink};

thread_local! {
    /// The transitions that this thread has seen.
    static WENT: RefCell<BTreeSet<(&'static str, &'static str)>> = const { RefCell::new(BTreeSet::new()) };
}

/// A session went from one state to another.
pub(super) fn went(from: &'static str, to: &'static str) {
    WENT.with_borrow_mut(|went| went.insert((from, to)));
}

/// So many histories in every run of the tests.
const HISTORIES: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What is wrong with a history, if anything.
fn verdict(history: &History) -> Option<String> {
    let result = catch_unwind(AssertUnwindSafe(|| run(history)));
    match result {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            Some(format!("panic: {}", text.unwrap_or_default()))
        }
    }
}

/// Plays histories on all cores; gives the transitions that were seen.
fn play(seeds: std::ops::Range<u64>) -> BTreeSet<(&'static str, &'static str)> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let seen = std::sync::Mutex::new(BTreeSet::new());
    let failed = std::sync::Mutex::new(None::<u64>);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().unwrap().is_some() {
                        break;
                    }
                    if verdict(&History::of(seed)).is_some() {
                        *failed.lock().unwrap() = Some(seed);
                    }
                }
                seen.lock().unwrap().extend(WENT.take());
            });
        }
    });
    if let Some(seed) = failed.into_inner().unwrap() {
        let shortest = shrink(History::of(seed), |history| verdict(history).is_some());
        let why = verdict(&shortest).unwrap_or_default();
        panic!("CLIPMILL_SEED={seed}: {why}\n{shortest:#?}");
    }
    seen.into_inner().unwrap()
}

#[test]
fn random_histories_lose_nothing_and_double_nothing() {
    if let Some(seed) = number("CLIPMILL_SEED") {
        play(seed..seed + 1);
        return;
    }
    let count = number("CLIPMILL_HISTORIES").unwrap_or(HISTORIES);
    let seen = play(0..count);
    // The drawing in the documentation of the module, line by line.
    let drawn: BTreeSet<(&str, &str)> = include_str!("../mod.rs")
        .lines()
        .filter_map(|line| {
            let (from, to) = line.strip_prefix("//!     ")?.split_once(" --> ")?;
            let to = to.split(" : ").next()?;
            Some((from.trim(), to.trim()))
        })
        .filter(|(from, to)| *from != "[*]" && *to != "[*]")
        .collect();
    let undrawn: Vec<_> = seen.difference(&drawn).collect();
    let unseen: Vec<_> = drawn.difference(&seen).collect();
    assert!(
        undrawn.is_empty(),
        "transitions that are not drawn: {undrawn:?}"
    );
    if count >= HISTORIES {
        assert!(unseen.is_empty(), "drawn, and never seen: {unseen:?}");
    }
}
