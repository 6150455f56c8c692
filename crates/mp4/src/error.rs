/// Why a movie has no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// No track has a sample.
    #[error("there is no sample to write")]
    Empty,
    /// A track contradicts itself.
    #[error("track {track}: {what}")]
    Track {
        /// Index of the track in the movie.
        track: usize,
        /// What is wrong with it, in words.
        what: &'static str,
    },
    /// A codec configuration cannot be written as a sample entry.
    #[error("track {track}, configuration {config}: {what}")]
    Config {
        /// Index of the track in the movie.
        track: usize,
        /// Index of the configuration in the track.
        config: usize,
        /// What is wrong with it, in words.
        what: &'static str,
    },
    /// An audio configuration appeared after the header was written.
    #[error("track {track}: audio configuration {config} came after the header was written")]
    LateAudioConfig {
        /// Index of the track in the movie.
        track: usize,
        /// Index of the configuration in the track.
        config: usize,
    },
    /// The `moov` does not fit into the room that was kept for it.
    #[error("the movie's description does not fit before byte {media_at}")]
    NoRoom {
        /// Where the media begins.
        media_at: u64,
    },
    /// A number does not fit its field.
    #[error("{what} is too large for its field")]
    TooLarge {
        /// Which number, in words.
        what: &'static str,
    },
}
