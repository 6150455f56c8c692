//! The recorders as the calls know them, whichever API they are of.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clipmill::Cut;

use super::{
    ClipWindow, DvrReach, MadeClip, MontageWindow, Named, OnDemandError, RecorderStatus, Recorders,
    RecordingMedia, Switched, VirtualClip, WindowPlaylist,
};
use crate::domain::{RecordedWindow, StreamSettings};

/// An answer that is on its way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the calls ask of whoever cuts.
pub trait Clipping: Send + Sync {
    /// Cuts a clip.
    fn on_demand<'a>(
        &'a self,
        app: &'a str,
        stream: &'a str,
        window: ClipWindow,
        cut: Option<Cut>,
        named: Named,
        return_file: bool,
    ) -> Pending<'a, Result<MadeClip, OnDemandError>>;
    /// Cuts a clip of several windows, one after the other.
    fn montage<'a>(
        &'a self,
        app: &'a str,
        windows: Vec<MontageWindow>,
        cut: Option<Cut>,
        named: Named,
    ) -> Pending<'a, Result<MadeClip, OnDemandError>>;
    /// Lays out a clip that is read and not stored; the same as before where the request `continues`
    /// with an earlier one.
    fn virtual_clip<'a>(
        &'a self,
        app: &'a str,
        stream: &'a str,
        window: ClipWindow,
        cut: Option<Cut>,
        continues: bool,
    ) -> Pending<'a, Result<Arc<VirtualClip>, OnDemandError>>;
    /// A window of a stream as a playlist for players.
    fn window_playlist<'a>(
        &'a self,
        app: &'a str,
        path: &'a str,
        window: ClipWindow,
        query: &'a str,
    ) -> Pending<'a, Result<WindowPlaylist, OnDemandError>>;
    /// The file of a segment that such a playlist lists below `dvr/`; with `map`, of the `EXT-X-MAP` that it needs.
    fn window_segment<'a>(
        &'a self,
        app: &'a str,
        stream: &'a str,
        session: &'a str,
        number: u64,
        map: bool,
    ) -> Pending<'a, Option<PathBuf>>;
    /// Has a window recorded, whose end may be open or lie ahead.
    fn record<'a>(
        &'a self,
        app: &'a str,
        window: RecordedWindow,
    ) -> Pending<'a, Result<(), OnDemandError>>;
    /// Has the recording of a window end, unless it ends before that; gives it as it is now. `None`: no such window is
    /// recorded.
    fn end_recording<'a>(
        &'a self,
        app: &'a str,
        id: &'a str,
        to_ms: i64,
    ) -> Pending<'a, Result<Option<RecordedWindow>, OnDemandError>>;
    /// The windows of an application's streams that are recorded.
    fn recorded(&self, app: &str) -> Vec<RecordedWindow>;
    /// The media of a recording that is not a clip yet, as it comes.
    fn recording_media<'a>(
        &'a self,
        app: &'a str,
        id: &'a str,
    ) -> Pending<'a, Option<RecordingMedia>>;
    /// A recording as a playlist of what has come of it; also for a while after its end.
    fn recording_playlist<'a>(&'a self, app: &'a str, id: &'a str) -> Pending<'a, Option<String>>;
    /// Turns the recording of a stream on or off, while it is live.
    fn switch<'a>(&'a self, app: &'a str, stream: &'a str, on: bool) -> Pending<'a, Switched>;
    /// Removes a stream's HLS files, as far as no clip to come needs them.
    fn delete_hls<'a>(&'a self, app: &'a str, stream: &'a str) -> Pending<'a, ()>;
    /// Starts periodic recording; true when it replaced one that ran.
    fn start_periodic<'a>(&'a self, app: &'a str, interval: Duration) -> Pending<'a, bool>;
    /// Stops periodic recording; false when none ran.
    fn stop_periodic<'a>(&'a self, app: &'a str) -> Pending<'a, bool>;
    /// Lets what was set for a stream take effect.
    fn set_stream<'a>(
        &'a self,
        app: &'a str,
        stream: &'a str,
        settings: StreamSettings,
    ) -> Pending<'a, ()>;
    /// The live edge of a stream and its target duration, in milliseconds.
    fn live_edge(&self, app: &str, stream: &str) -> Option<(i64, i64)>;
    /// What is kept of a stream for its DVR window, as far as that is known.
    fn dvr_reach(&self, app: &str, stream: &str) -> Option<DvrReach>;
    /// How it stands.
    fn status(&self) -> RecorderStatus;
}

impl Clipping for Recorders {
    fn on_demand<'a>(
        &'a self,
        app: &'a str,
        stream: &'a str,
        window: ClipWindow,
        cut: Option<Cut>,
        named: Named,
        return_file: bool,
    ) -> Pending<'a, Result<MadeClip, OnDemandError>> {
        Box::pin(Self::on_demand(
            self,
            app,
            stream,
            window,
            cut,
            named,
            return_file,
        ))
    }

    fn montage<'a>(
        &'a self,
        app: &'a str,
        windows: Vec<MontageWindow>,
        cut: Option<Cut>,
        named: Named,
    ) -> Pending<'a, Result<MadeClip, OnDemandError>> {
        Box::pin(Self::montage(self, app, windows, cut, named))
    }

    fn virtual_clip<'a>(
        &'a self,
        app: &'a str,
        stream: &'a str,
        window: ClipWindow,
        cut: Option<Cut>,
        continues: bool,
    ) -> Pending<'a, Result<Arc<VirtualClip>, OnDemandError>> {
        Box::pin(Self::virtual_clip(
            self, app, stream, window, cut, continues,
        ))
    }

    fn window_playlist<'a>(
        &'a self,
        app: &'a str,
        path: &'a str,
        window: ClipWindow,
        query: &'a str,
    ) -> Pending<'a, Result<WindowPlaylist, OnDemandError>> {
        Box::pin(Self::window_playlist(self, app, path, window, query))
    }

    fn window_segment<'a>(
        &'a self,
        app: &'a str,
        stream: &'a str,
        session: &'a str,
        number: u64,
        map: bool,
    ) -> Pending<'a, Option<PathBuf>> {
        Box::pin(Self::window_segment(
            self, app, stream, session, number, map,
        ))
    }

    fn record<'a>(
        &'a self,
        app: &'a str,
        window: RecordedWindow,
    ) -> Pending<'a, Result<(), OnDemandError>> {
        Box::pin(Self::record(self, app, window))
    }

    fn end_recording<'a>(
        &'a self,
        app: &'a str,
        id: &'a str,
        to_ms: i64,
    ) -> Pending<'a, Result<Option<RecordedWindow>, OnDemandError>> {
        Box::pin(Self::end_recording(self, app, id, to_ms))
    }

    fn recorded(&self, app: &str) -> Vec<RecordedWindow> {
        Self::recorded(self, app)
    }

    fn recording_media<'a>(
        &'a self,
        app: &'a str,
        id: &'a str,
    ) -> Pending<'a, Option<RecordingMedia>> {
        Box::pin(Self::recording_media(self, app, id))
    }

    fn recording_playlist<'a>(&'a self, app: &'a str, id: &'a str) -> Pending<'a, Option<String>> {
        Box::pin(Self::recording_playlist(self, app, id))
    }

    fn switch<'a>(&'a self, app: &'a str, stream: &'a str, on: bool) -> Pending<'a, Switched> {
        Box::pin(Self::switch(self, app, stream, on))
    }

    fn delete_hls<'a>(&'a self, app: &'a str, stream: &'a str) -> Pending<'a, ()> {
        Box::pin(Self::delete_hls(self, app, stream))
    }

    fn start_periodic<'a>(&'a self, app: &'a str, interval: Duration) -> Pending<'a, bool> {
        Box::pin(Self::start_periodic(self, app, interval))
    }

    fn stop_periodic<'a>(&'a self, app: &'a str) -> Pending<'a, bool> {
        Box::pin(Self::stop_periodic(self, app))
    }

    fn set_stream<'a>(
        &'a self,
        app: &'a str,
        stream: &'a str,
        settings: StreamSettings,
    ) -> Pending<'a, ()> {
        Box::pin(Self::set_stream(self, app, stream, settings))
    }

    fn live_edge(&self, app: &str, stream: &str) -> Option<(i64, i64)> {
        Self::live_edge(self, app, stream)
    }

    fn dvr_reach(&self, app: &str, stream: &str) -> Option<DvrReach> {
        Self::dvr_reach(self, app, stream)
    }

    fn status(&self) -> RecorderStatus {
        Self::status(self)
    }
}
