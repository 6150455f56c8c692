use clipmill_media::{DeclinedStream, LimitExceeded};

/// Why an initialization segment or a media segment could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There are no bytes.
    #[error("the segment is empty")]
    Empty,
    /// There is no `moov` that says what the fragments hold.
    #[error("no initialization segment: there is no moov box to tell what the fragments hold")]
    NoInit,
    /// There is neither a `moov` nor a `moof`.
    #[error("no fragmented MP4: there is no moof box")]
    NoFragment,
    /// The samples are listed in the `moov`: this is a file, not a segment.
    #[error("a whole MP4 file, not a fragmented one: its samples are listed in its moov box")]
    Progressive,
    /// A box makes no sense.
    #[error("box {path} at byte {offset}: {what}")]
    Box {
        /// The box, with those that it lies in: `moov/trak/mdia/mdhd`.
        path: &'static str,
        /// Where it begins.
        offset: u64,
        /// What is wrong with it, in words.
        what: &'static str,
    },
    /// No track can be carried.
    #[error("no track can be carried: {}", tracks(.declined))]
    NothingCarried {
        /// The tracks.
        declined: Vec<DeclinedStream>,
    },
    /// Something is larger than allowed.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

fn tracks(declined: &[DeclinedStream]) -> String {
    if declined.is_empty() {
        return "the moov box lists none".to_owned();
    }
    DeclinedStream::list(declined).to_string()
}
