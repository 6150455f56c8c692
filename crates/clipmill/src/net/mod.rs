//! What everything that goes over the network has in common: how connections are secured, which
//! addresses may be connected to, how long to wait before the next try, and how errors are told.
//!
//! It is there for the crates of this workspace, and no part of what the library promises, but for
//! [`Reach`](crate::source::Reach).

mod backoff;
#[cfg(feature = "http")]
mod reach;
#[cfg(feature = "http")]
mod resolve;
#[cfg(feature = "http")]
mod tls;

pub use backoff::BackOff;
#[cfg(feature = "http")]
pub use reach::{OutOfReach, Reach};
#[cfg(feature = "http")]
pub use resolve::Resolver;
#[cfg(feature = "http")]
pub use tls::tls;

use std::error::Error;

/// What names this program to servers.
pub const USER_AGENT: &str = concat!("clipmill/", env!("CARGO_PKG_VERSION"));

/// An error and what caused it, in one line, each thing said once.
#[must_use]
pub fn in_one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Said {
        said: &'static str,
        #[source]
        cause: io::Error,
    }

    #[test]
    fn causes_are_told_once() {
        let error = |said| Said {
            said,
            cause: io::Error::other("no route"),
        };
        assert_eq!(in_one_line(&error("it failed")), "it failed: no route");
        let known = error("it failed: no route to there");
        assert_eq!(in_one_line(&known), "it failed: no route to there");
    }
}
