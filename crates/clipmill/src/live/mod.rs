//! Recording a live stream: periodic clips that lose nothing and double nothing, clips of any window
//! that is at hand, and what has to be kept from deletion for them.
//!
//! [`Live`] is the simple way: segments are pushed, and finished clips come out.
//!
//! ```
//! use std::time::Duration;
//! use clipmill::Cut;
//! use clipmill::live::{Live, Pushed, Settings, Window};
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/demo");
//! # let out = tempfile::tempdir()?;
//! let mut settings = Settings::default();
//! settings.periodic = Some(Duration::from_secs(5));
//! settings.window = Some(Duration::from_secs(60));
//! let mut live = Live::new(settings);
//! for number in 0..10 {
//!     let file = format!("{folder}/seg{number:02}.ts");
//!     live.push(Pushed::file(file, Duration::from_secs(2)))?;
//!     for (at, clip) in live.take_clips().iter().enumerate() {
//!         clip.write_to_path(out.path().join(format!("{number}.{at}.mp4")))?;
//!     }
//! }
//! let last = live.clip(Window::Last(Duration::from_secs(8)), Cut::Exact)?;
//! // The sound is a little longer than the pictures.
//! let length = last.map(|clip| clip.clip().duration_ms);
//! assert!(length.is_some_and(|length| (8000..8050).contains(&length)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The machine
//!
//! Below it is [`Recorder`], one for each stream: a state machine that opens no file, reads no clock and
//! starts no thread. What happens is an [`Event`], what is to be done about it an [`Action`]: whoever
//! drives it tells of playlists, fetches, indexes, keeps, cuts and stores, in any order and at any speed,
//! and tells what came of it. What fails is asked for again; whatever is asked for is asked for
//! once.
//!
//! - **Intake.** What a [`Listing`] means is decided by [`Continuity`]: the session goes on, or the stream
//!   started over, which ends it and begins another, or the listing is old or half-written. Of what a
//!   playlist lists, everything up to the last segment that was taken before is old, whatever session
//!   took it and whatever number it has now, and what follows it is new ([`Taken`]). Segments are taken
//!   one after the other; one that is missing is waited for while that makes sense, and is a gap then.
//! - **Clips.** Where a clip ends the next begins, at a sync sample ([`Mark`]); the driver stores a
//!   [`Boundary`] in one transaction with each clip. Sessions are closed one after the other with a
//!   clip of the remainder.
//! - **Requests** are placed on the timeline when they come, cut when all of their window is there, and
//!   hold the segments until then.
//! - **Keeping.** Each segment is kept as soon as it is indexed, and released when neither the clip in
//!   the making, nor a request, nor the DVR window needs it, and no clip that reads it is being cut.
//! - **After a restart**, however the process ended, [`Recorder::resume`] takes the last boundary and
//!   the segments that are kept. They are taken again as any others, and recording goes on from the
//!   boundary. So draining is to stop driving it.
//!
//! # States
//!
//! [`State`] is how far the periodic clips of a session have come. The simulation in the tests of this
//! module, which holds the machine against random histories, sees all of these transitions, and no
//! others:
//!
//! ```text
//! stateDiagram-v2
//!     [*] --> Off : a session begins
//!     Off --> Waiting : periodic clips are on
//!     Off --> Resuming : a boundary was left
//!     Waiting --> Beginning : a sync sample has come
//!     Waiting --> Off : off, or over
//!     Resuming --> Recording : its segment has come
//!     Resuming --> Beginning : its segment is lost, and a later one has come
//!     Resuming --> Off : off, or over
//!     Beginning --> Recording : the place is stored
//!     Beginning --> Pausing : it can't be
//!     Recording --> Cutting : a clip is complete
//!     Cutting --> Recording : it is stored
//!     Cutting --> Off : it was the last one
//!     Cutting --> Resuming : segments are lost
//!     Cutting --> Skipping : nothing is in it, or it is given up
//!     Cutting --> Pausing : it failed
//!     Skipping --> Recording : the place is stored
//!     Skipping --> Off : it was the last one
//!     Skipping --> Pausing : it can't be
//!     Pausing --> Waiting : time passed
//!     Pausing --> Resuming : time passed
//!     Pausing --> Recording : time passed
//!     Pausing --> Skipping : time passed
//!     Off --> Lingering : over, and there is a DVR window
//!     Off --> [*] : over
//!     Lingering --> [*] : the window has passed
//! ```
//!
//! [`PeriodicClips`] is the part of the machine that holds it, for those who drive the rest themselves.
//! Where they find segments lost outside of a clip it goes from `Recording` to `Resuming` as well
//! ([`lose`](PeriodicClips::lose)), and where another stream has what came, from anywhere to `Off`
//! ([`discard`](PeriodicClips::discard)).
//!
//! A recorder without a session is `Idle`, and `Recovering` until the first look at the playlist where
//! an earlier run left something.

mod boundary;
mod clips;
mod clock;
mod continuity;
mod event;
mod intake;
mod keeping;
mod listing;
mod periodic;
mod push;
mod recorder;
mod recover;
mod request;
mod session;
#[cfg(test)]
mod simulation;
mod state;
mod taken;
mod taken_segment;
mod timeouts;

pub use boundary::{Boundary, Mark, Period};
pub use continuity::{Circumstances, Continuity, Decision, SessionStart, missing_length};
pub use event::{
    Action, ActionId, Command, CutJob, EndReason, Event, Failure, Fetch, FetchFrom, Grow, Indexed,
    Keep, Label, LossReason, LostMedia, Moment, Purpose, SegmentId, SessionId,
};
pub use listing::{Listed, Listing, Version, complete_segments};
pub use periodic::{Ahead, Done, PeriodicClips, Progress, Step};
pub use push::{Live, LiveClip, Pushed};
pub use recorder::{Recorder, Settings};
pub use recover::{Left, LeftSegment, LeftSession};
pub use request::{ClipId, Refusal, Window};
pub use session::Placement;
pub use state::{Beginning, CompleteClip, PeriodicClip, State};
pub use taken::{Seen, SegmentFiles, Taken};
pub use taken_segment::{TakenSegment, TakenTail};
pub use timeouts::Timeouts;
