//! What holds for one stream: what calls set for it, as long as the configuration says what it said then, else what
//! holds for its application.

use std::time::Duration;

use super::{AppSettings, Retention};
use crate::domain::{Periodic, Set, StreamSettings};

impl AppSettings {
    /// What the configuration says of periodic clips.
    #[must_use]
    pub fn configured_periodic(&self) -> Periodic {
        Periodic {
            enabled: self.enabled,
            interval_seconds: self.interval.as_secs(),
        }
    }

    /// What was set of a stream's periodic clips; `None`: they are as those of all streams.
    #[must_use]
    pub fn periodic_of(&self, set: &StreamSettings) -> Option<Periodic> {
        set.periodic?.in_force(Some(self.configured_periodic()))
    }

    /// How much of a stream is kept, whatever its source still lists; `None`: as long as it lists.
    #[must_use]
    pub fn dvr_window_of(&self, set: &StreamSettings) -> Option<Duration> {
        let window = one_of(set.dvr_window_ms, millis(self.dvr_window))?;
        Some(Duration::from_millis(window)).filter(|window| !window.is_zero())
    }

    /// How long the clips of a stream are kept. Its `max_bytes` is that of the stream alone, `None` where nobody set it.
    #[must_use]
    pub fn retention_of(&self, set: &StreamSettings) -> Retention {
        let Retention {
            max_age, min_free, ..
        } = self.retention;
        Retention {
            max_age: one_of(set.max_age_ms, millis(max_age)).map(Duration::from_millis),
            max_bytes: set.max_bytes.and_then(|set| set.in_force(None)),
            min_free: one_of(set.min_free, min_free),
        }
    }

    /// What was set for a stream and still holds.
    #[must_use]
    pub fn still_set(&self, set: &StreamSettings) -> StreamSettings {
        let periodic = Some(self.configured_periodic());
        StreamSettings {
            periodic: still(set.periodic, periodic),
            dvr_window_ms: still(set.dvr_window_ms, millis(self.dvr_window)),
            max_age_ms: still(set.max_age_ms, millis(self.retention.max_age)),
            max_bytes: still(set.max_bytes, None),
            min_free: still(set.min_free, self.retention.min_free),
        }
    }

    /// What a call sets of [`StreamSettings::periodic`].
    #[must_use]
    pub fn set_periodic(&self, value: Periodic) -> Set<Periodic> {
        Set {
            value,
            configured: Some(self.configured_periodic()),
        }
    }

    /// What a call sets of [`StreamSettings::dvr_window_ms`].
    #[must_use]
    pub fn set_dvr_window(&self, window: Duration) -> Set<u64> {
        Set {
            value: in_millis(window),
            configured: millis(self.dvr_window),
        }
    }

    /// What a call sets of [`StreamSettings::max_age_ms`].
    #[must_use]
    pub fn set_max_age(&self, age: Duration) -> Set<u64> {
        Set {
            value: in_millis(age),
            configured: millis(self.retention.max_age),
        }
    }

    /// What a call sets of [`StreamSettings::min_free`].
    #[must_use]
    pub fn set_min_free(&self, bytes: u64) -> Set<u64> {
        Set {
            value: bytes,
            configured: self.retention.min_free,
        }
    }
}

fn one_of(set: Option<Set<u64>>, configured: Option<u64>) -> Option<u64> {
    let own = set.and_then(|set| set.in_force(configured));
    own.or(configured)
}

fn still<T: Copy + PartialEq>(set: Option<Set<T>>, configured: Option<T>) -> Option<Set<T>> {
    set.filter(|set| set.in_force(configured).is_some())
}

fn millis(length: Option<Duration>) -> Option<u64> {
    length.map(in_millis)
}

fn in_millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_holds_until_the_configuration_says_something_else() {
        let hour = Duration::from_secs(3600);
        let mut app = AppSettings::default();
        app.retention.max_age = Some(hour);
        app.retention.max_bytes = Some(1000);
        let periodic = Periodic {
            enabled: false,
            interval_seconds: 5,
        };
        let set = StreamSettings {
            periodic: Some(app.set_periodic(periodic)),
            dvr_window_ms: Some(app.set_dvr_window(2 * hour)),
            max_age_ms: Some(app.set_max_age(3 * hour)),
            max_bytes: Some(Set {
                value: 7,
                configured: None,
            }),
            min_free: Some(app.set_min_free(8)),
        };
        assert_eq!(app.periodic_of(&set), Some(periodic));
        assert_eq!(app.dvr_window_of(&set), Some(2 * hour));
        let own = Retention {
            max_age: Some(3 * hour),
            max_bytes: Some(7),
            min_free: Some(8),
        };
        assert_eq!(app.retention_of(&set), own);
        assert_eq!(app.still_set(&set), set);

        // Each value by itself.
        app.dvr_window = Some(hour);
        assert_eq!(app.dvr_window_of(&set), Some(hour));
        assert_eq!(app.periodic_of(&set), Some(periodic));
        app.interval = hour;
        assert_eq!(app.periodic_of(&set), None);
        app.retention.max_age = None;
        app.retention.min_free = Some(9);
        let left = Retention {
            max_age: None,
            max_bytes: Some(7),
            min_free: Some(9),
        };
        assert_eq!(app.retention_of(&set), left);
        let still = app.still_set(&set);
        assert_eq!((still.periodic, still.dvr_window_ms), (None, None));
        assert_eq!((still.max_age_ms, still.max_bytes), (None, set.max_bytes));
        // What was set once does not come back.
        app.dvr_window = None;
        assert_eq!(app.dvr_window_of(&still), None);
        // Nothing is kept of this one, though much is of all others.
        let none = StreamSettings {
            dvr_window_ms: Some(app.set_dvr_window(Duration::ZERO)),
            ..StreamSettings::default()
        };
        assert_eq!(app.dvr_window_of(&none), None);
    }
}
