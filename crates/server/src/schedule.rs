//! Who works when: a few threads for everything that reads or writes media by itself.
//!
//! The work of all streams goes through one [`Pool`], so that the number of streams decides how long
//! the queue is and never how many disks heads, files and buffers are in use at once. Clips that
//! somebody waits for are not queued here.
//!
//! **How simultaneous clips are spread.** Streams that were started at the same instant reach
//! their boundaries at the same instant. Where a boundary lies is decided by media time alone; when
//! the work is done is decided here, and by three rules:
//!
//! 1. A clip's work is due a little after the clip is complete: by a share of a tenth of the
//!    interval, one second at most, that is derived from the stream's name ([`spread`]). What is left
//!    to do for a clip then is its `moov`, a sync and a name, as its media was written while it
//!    arrived: 500 streams take about that long, and none waits for longer than a segment.
//! 2. Periodic clips and segments that appear have threads of their own: a clip waits for the disk
//!    most of its time, and several that wait share what they wait for.
//! 3. What is due is done in the order of its due time. Nobody waits for a stream, only for a worker.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinError;

/// Clips that become complete at the same instant are cut over at most this much time.
const LONGEST_SPREAD: Duration = Duration::from_secs(1);

/// Periodic clips that are finished at once, beside the workers that look after segments.
const FINISHING: usize = 8;

/// Threads for each worker: whoever looks after a segment waits for the disk too, when it is linked,
/// and when a stream's entry is made.
const WAITING: usize = 4;

/// Runs work that blocks and awaits in turns on a thread for blocking work.
///
/// # Errors
/// When the runtime ends, or the work panics.
pub async fn spawn_blocking_async<F: Future<Output: Send + 'static>>(
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<F::Output, JoinError> {
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work())).await
}

/// What kind of work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Segments that appear: they may soon be deleted, and cost little.
    Segments,
    /// A periodic clip.
    Periodic,
}

type Job = Box<dyn FnOnce() + Send>;

/// A few threads and what they have to do.
///
/// The queue is bounded by those who fill it: each stream has at most one look at its playlist, one clip,
/// one write to the clip in the making and what it lets go of in it, and the clips that are asked for are
/// counted.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// How many threads may be busy with each kind of work at once.
    limits: [usize; 2],
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    /// By urgency, then due time, then order of arrival.
    queues: [BTreeMap<(Instant, u64), Job>; 2],
    running: [usize; 2],
    submitted: u64,
    closed: bool,
    /// Until when a thread sleeps that then looks again. The others sleep until they are woken: not
    /// all of them need to look when one thing is due.
    watched: Option<Instant>,
}

impl Pool {
    /// Starts threads for `workers` workers, at least two, and some for clips.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn new(workers: usize) -> io::Result<Self> {
        let workers = workers.max(2) * WAITING;
        let shared = Arc::new(Queue {
            state: Mutex::default(),
            changed: Condvar::new(),
            limits: [workers, FINISHING],
        });
        let mut threads = Vec::new();
        for number in 0..workers + FINISHING {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || shared.work())?;
            threads.push(thread);
        }
        Ok(Self {
            shared,
            threads: Mutex::new(threads),
        })
    }

    /// Has `job` done as soon as a worker is free after `due`.
    pub fn submit(&self, urgency: Urgency, due: Instant, job: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.lock();
        if state.closed {
            return;
        }
        state.submitted += 1;
        let key = (due, state.submitted);
        state.queues[urgency as usize].insert(key, Box::new(job));
        drop(state);
        self.shared.changed.notify_one();
    }

    /// How many jobs wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.lock().queues.iter().map(BTreeMap::len).sum()
    }

    /// Drops what waits and returns when what runs has ended.
    pub fn close(&self) {
        let dropped = {
            let mut state = self.shared.lock();
            state.closed = true;
            std::mem::take(&mut state.queues)
        };
        drop(dropped);
        self.shared.changed.notify_all();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // A worker may be the one that closes.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn work(&self) {
        let mut state = self.lock();
        while !state.closed {
            let now = Instant::now();
            if let Some((urgency, job)) = state.take(now, self) {
                state.running[urgency] += 1;
                let more = state.has_more();
                drop(state);
                if more {
                    // Somebody else has to see what is due next.
                    self.changed.notify_one();
                }
                // One job that fails must not take a worker away from all others.
                if std::panic::catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a job ended in a panic; its worker goes on");
                }
                state = self.lock();
                state.running[urgency] -= 1;
                if state.has_more() {
                    // A limit may have stood in the way of a job for which no one else woke up.
                    self.changed.notify_one();
                }
                continue;
            }
            let due = state.next_due().filter(|due| *due > now);
            let unwatched = |due: &Instant| state.watched.is_none_or(|until| *due < until);
            state = match due.filter(unwatched) {
                // Nothing is to come, or it is over a limit, or somebody sees to it: whoever ends
                // next, or brings more, wakes somebody up.
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    state.watched = Some(due);
                    let woken = self.changed.wait_timeout(state, due - now);
                    let mut state = woken.unwrap_or_else(PoisonError::into_inner).0;
                    if state.watched == Some(due) {
                        state.watched = None;
                    }
                    state
                }
            };
        }
    }
}

impl State {
    fn has_more(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty())
    }

    fn take(&mut self, now: Instant, shared: &Queue) -> Option<(usize, Job)> {
        for (urgency, limit) in shared.limits.into_iter().enumerate() {
            let (running, queue) = (self.running[urgency], &mut self.queues[urgency]);
            if running < limit
                && let Some(first) = queue.first_entry()
                && first.key().0 <= now
            {
                return Some((urgency, first.remove()));
            }
        }
        None
    }

    /// When the next job is due that is not due yet; zero waits where only limits hold jobs back.
    fn next_due(&self) -> Option<Instant> {
        let firsts = self
            .queues
            .iter()
            .filter_map(|queue| queue.first_key_value());
        let future = firsts.map(|((due, _), _)| *due);
        let now = Instant::now();
        let (mut later, mut held) = (None, None);
        for due in future {
            if due > now {
                later = Some(later.map_or(Reverse(due), |known: Reverse<Instant>| {
                    known.max(Reverse(due))
                }));
            } else {
                held = Some(due);
            }
        }
        later.map(|Reverse(due)| due).or(held)
    }
}

/// How long after it is complete a periodic clip of this stream is cut.
#[must_use]
pub fn spread(app: &str, stream: &str, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (app, stream).hash(&mut hasher);
    let share = (hasher.finish() % 1000) as u32;
    (interval / 10).min(LONGEST_SPREAD) * share / 1000
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn everything_is_done_once() {
        let pool = Pool::new(3).unwrap();
        let (done, results) = mpsc::channel();
        for number in 0..200_u64 {
            let done = done.clone();
            let due = Instant::now() + Duration::from_millis(number % 7);
            let urgency = [Urgency::Segments, Urgency::Periodic];
            pool.submit(urgency[(number % 2) as usize], due, move || {
                done.send(number).unwrap();
            });
        }
        let mut all: Vec<_> = (0..200)
            .map(|_| results.recv_timeout(PATIENCE).unwrap())
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn periodic_clips_leave_the_workers_free() {
        let pool = Pool::new(2).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let now = Instant::now();
        for _ in 0..2 * FINISHING {
            let gate = Arc::clone(&gate);
            pool.submit(Urgency::Periodic, now, move || {
                gate.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            });
        }
        let (done, result) = mpsc::channel();
        pool.submit(Urgency::Segments, now, move || done.send(()).unwrap());
        assert_eq!(result.recv_timeout(PATIENCE), Ok(()));
        for _ in 0..2 * FINISHING {
            release.send(()).unwrap();
        }
        while pool.waiting() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_job_is_not_done_before_it_is_due() {
        let pool = Pool::new(2).unwrap();
        let (done, result) = mpsc::channel();
        let due = Instant::now() + Duration::from_millis(50);
        pool.submit(Urgency::Segments, due, move || {
            done.send(Instant::now()).unwrap();
        });
        assert!(result.recv_timeout(PATIENCE).unwrap() >= due);
    }

    #[test]
    fn a_panic_costs_no_worker() {
        let pool = Pool::new(2).unwrap();
        let ended = Arc::new(AtomicUsize::new(0));
        for _ in 0..8 {
            pool.submit(Urgency::Segments, Instant::now(), || panic!("on purpose"));
        }
        for _ in 0..8 {
            let ended = Arc::clone(&ended);
            pool.submit(Urgency::Segments, Instant::now(), move || {
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        let begun = Instant::now();
        while ended.load(Ordering::Relaxed) < 8 && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(ended.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn closing_waits_for_what_runs_and_drops_the_rest() {
        let pool = Pool::new(2).unwrap();
        let ended = Arc::new(AtomicUsize::new(0));
        let (started, wait) = mpsc::channel();
        let count = Arc::clone(&ended);
        pool.submit(Urgency::Periodic, Instant::now(), move || {
            started.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            count.fetch_add(1, Ordering::Relaxed);
        });
        wait.recv_timeout(PATIENCE).unwrap();
        let count = Arc::clone(&ended);
        pool.submit(Urgency::Periodic, Instant::now() + PATIENCE, move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        pool.close();
        assert_eq!(ended.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn five_hundred_clips_are_spread() {
        let interval = Duration::from_secs(600);
        let mut tenths = [0; 10];
        for number in 0..500 {
            let after = spread("live", &format!("cam{number}"), interval);
            tenths[after.as_millis() as usize / 100] += 1;
        }
        assert!(
            tenths.iter().all(|&count| (25..=80).contains(&count)),
            "{tenths:?}"
        );
        assert!(spread("live", "x", Duration::from_secs(2)) < Duration::from_millis(200));
    }
}
