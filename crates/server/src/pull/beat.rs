//! Several playlists of one stream that are followed together: pictures wait for the sound of their time, as
//! whoever records them takes both at once.
//!
//! The one with the pictures leads. When it lists something new, the others are loaded too; what was listed
//! then of theirs, and is mirrored, is all the sound that there is for these pictures, whatever their times are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

/// The part of one playlist in that.
pub(super) enum Beat {
    /// There is no other.
    Alone,
    Leads(Leads),
    Follows(Follows),
}

pub(super) struct Leads {
    asked: watch::Sender<u64>,
    done: Vec<watch::Receiver<u64>>,
    progress: Arc<Notify>,
}

pub(super) struct Follows {
    asked: watch::Receiver<u64>,
    done: watch::Sender<u64>,
    progress: Arc<Notify>,
    /// What had been asked when the load began that is under way, and when the last one did that was seen.
    loading: u64,
    loaded: u64,
}

impl Beat {
    /// One that leads, and so many that follow.
    pub(super) fn together(count: usize) -> (Self, Vec<Self>) {
        if count == 0 {
            return (Self::Alone, Vec::new());
        }
        let (asked, _) = watch::channel(0);
        let progress = Arc::new(Notify::new());
        let mut done = Vec::new();
        let follow = (0..count).map(|_| {
            let (finished, seen) = watch::channel(0);
            done.push(seen);
            Self::Follows(Follows {
                asked: asked.subscribe(),
                done: finished,
                progress: Arc::clone(&progress),
                loading: 0,
                loaded: 0,
            })
        });
        let follow = follow.collect();
        let leads = Leads {
            asked,
            done,
            progress,
        };
        (Self::Leads(leads), follow)
    }

    /// Something new is listed: gives the number of this.
    pub(super) fn ask(&self) -> u64 {
        match self {
            Self::Leads(leads) => {
                leads.asked.send_modify(|asked| *asked += 1);
                *leads.asked.borrow()
            }
            _ => 0,
        }
    }

    /// Whether the others have all that was there when this was asked.
    pub(super) fn has(&self, number: u64) -> bool {
        match self {
            Self::Leads(leads) => leads.done.iter().all(|done| *done.borrow() >= number),
            _ => true,
        }
    }

    /// A load begins.
    pub(super) fn begin(&mut self) {
        if let Self::Follows(follows) = self {
            follows.loading = *follows.asked.borrow_and_update();
        }
    }

    /// What was loaded is known; whether another load is asked for meanwhile.
    pub(super) fn loaded(&mut self) -> bool {
        match self {
            Self::Follows(follows) => {
                follows.loaded = follows.loading;
                *follows.asked.borrow() > follows.loaded
            }
            _ => false,
        }
    }

    /// All that is known is mirrored.
    pub(super) fn drained(&self) {
        if let Self::Follows(follows) = self
            && *follows.done.borrow() < follows.loaded
        {
            follows.done.send_replace(follows.loaded);
            follows.progress.notify_one();
        }
    }

    /// Waits until there is something to do: to load, or to mirror what had to wait. True when it is to load.
    pub(super) async fn comes(&mut self) -> bool {
        match self {
            Self::Alone => std::future::pending().await,
            Self::Leads(leads) => {
                leads.progress.notified().await;
                false
            }
            Self::Follows(follows) => {
                if follows.asked.changed().await.is_err() {
                    // Whoever leads is gone, and so will this one.
                    std::future::pending::<()>().await;
                }
                true
            }
        }
    }
}

/// Until when pictures wait for what the others have.
pub(super) fn held_until(now: Instant, target: Duration, patience: Duration) -> Instant {
    now + target.max(patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pictures_wait_until_the_others_have_what_was_there() {
        let (leads, mut follow) = Beat::together(2);
        assert!(leads.has(0));
        // This load began before it was asked: what it brings may be too little.
        follow[0].begin();
        let number = leads.ask();
        assert!(follow[0].loaded(), "once more");
        follow[0].drained();
        assert!(!leads.has(number));
        for one in &mut follow {
            assert!(one.comes().await);
            one.begin();
            assert!(!one.loaded());
            one.drained();
        }
        assert!(leads.has(number));
        let (alone, none) = Beat::together(0);
        assert!(none.is_empty() && alone.has(alone.ask()));
    }
}
