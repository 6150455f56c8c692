//! Work that is the same for each of a few things, side by side.

use std::panic::resume_unwind;
use std::thread;

/// Below so many samples a thread of its own costs more than it saves.
const WORTH_A_THREAD: usize = 50_000;

/// What `work` makes of each item, in their order. Items of many samples, as `samples` counts them, are
/// worked on at the same time, each in a thread that ends before this returns; the others, and the
/// largest, in this one. Where no thread is to be had, all are.
pub fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    samples: impl Fn(&T) -> usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let counts = items.iter().map(&samples).enumerate();
    let largest = counts.max_by_key(|(_, count)| *count).map(|(at, _)| at);
    let work = &work;
    thread::scope(|scope| {
        let begun: Vec<_> = (0..)
            .zip(items)
            .map(|(at, item)| {
                let apart = Some(at) != largest && samples(item) >= WORTH_A_THREAD;
                let begin = || thread::Builder::new().spawn_scoped(scope, move || work(item));
                apart.then(begin)?.ok()
            })
            .collect();
        let here: Vec<_> = begun
            .iter()
            .zip(items)
            .map(|(begun, item)| begun.is_none().then(|| work(item)))
            .collect();
        let joined = begun.into_iter().zip(here).filter_map(|(begun, here)| {
            let made = begun.map(|thread| thread.join().unwrap_or_else(|why| resume_unwind(why)));
            made.or(here)
        });
        joined.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_however_many_threads_there_are() {
        for sizes in [&[][..], &[1], &[1, 2, 3], &[70_000, 3, 90_000, 80_000, 4]] {
            let made = side_by_side(sizes, |size| *size, |size| (*size, thread::current().id()));
            let own: Vec<_> = made.iter().map(|(size, _)| *size).collect();
            assert_eq!(own, sizes);
            let here = thread::current().id();
            let apart = made.iter().filter(|(_, thread)| *thread != here).count();
            assert_eq!(apart, if sizes.len() == 5 { 2 } else { 0 });
        }
    }
}
