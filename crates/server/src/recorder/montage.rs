//! Several windows, of one or several streams, in one clip.

use std::sync::Arc;
use std::time::Instant;

use clipmill::{Clip, Cut, MontagePart};

use super::app::App;
use super::asked::Asked;
use super::chapters::{add_chapters, markers_in, shown_by};
use super::make::{Named, Recipe, all_gaps, make, title};
use super::request::{MadeClip, MontageWindow, OnDemandError};
use super::shared::{MakeError, Shared};
use crate::domain::{ClipKind, JoinedWindow};

/// A montage that was asked for.
#[derive(Debug)]
pub(crate) struct AskedMontage {
    pub(crate) windows: Vec<MontageWindow>,
    pub(crate) cut: Cut,
}

impl AskedMontage {
    /// Makes it: of the first window's stream, where it is stored and what it is called.
    pub(crate) fn make(
        self,
        named: Named,
        shared: &Arc<Shared>,
        app: &Arc<App>,
    ) -> Result<MadeClip, OnDemandError> {
        let _counted = shared.count_making();
        let failed = |error: String| OnDemandError::Failed(error);
        let (mut parts, mut joined, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        // What keeps the segments where they are, until the clip is stored.
        let mut kept = Vec::new();
        let mut sub_folder = None;
        for wanted in self.windows {
            let asked = Asked {
                stream: wanted.stream.clone(),
                window: wanted.window,
                cut: self.cut,
            };
            let planned = asked.plan(shared, app)?;
            let mut clip = planned.clip;
            let shown = shown_by(&clip).or(planned.window);
            let markers = markers_in(shown, &wanted.stream, shared, app);
            let markers = markers.map_err(|error| failed(error.to_string()))?;
            let name = wanted.title.clone();
            let name = name.unwrap_or_else(|| title(&planned.stream_entry, None));
            add_chapters(&mut clip, &markers, &name);
            if kept.is_empty() {
                sub_folder = planned.sub_folder;
            }
            kept.push(planned.files);
            missing.extend(all_gaps(planned.missing, &clip, planned.window));
            let (from_ms, to_ms) = shown.unwrap_or_default();
            joined.push(JoinedWindow {
                stream_id: wanted.stream,
                from_ms,
                to_ms,
            });
            parts.push(MontagePart {
                clip,
                title: wanted.title,
            });
        }
        let clip = Clip::montage(parts).map_err(|error| OnDemandError::Unfit(error.to_string()))?;
        let first = joined.first().map(|window| window.stream_id.clone());
        let recipe = Recipe {
            stream: &first.unwrap_or_default(),
            sub_folder: sub_folder.as_deref(),
            clip,
            vod_id: None,
            kind: ClipKind::OnDemand,
            named,
            boundary: None,
            missing,
            joined,
            window: None,
            from_the_start: false,
            complete: Instant::now(),
            growing: None,
        };
        match make(shared, app, recipe, |_, _| None) {
            Ok(entry) => Ok(MadeClip { entry, body: None }),
            Err(MakeError::DiskFull) => Err(OnDemandError::DiskFull),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}
