//! Making one clip: laid out, stored, and known to the catalog, or none of it.

use std::time::Instant;

use chrono::{DateTime, Utc};
use clipmill::live::LostMedia;
use clipmill::source::FileSource;
use clipmill::{Clip, Format, TrackKind};
use metrics::{counter, histogram};

use super::app::App;
use super::chapters::{add_chapters, markers_in, shown_by};
use super::growing::{Growing, Grown};
use super::shared::{MakeError, Shared};
use crate::catalog::{Boundary, Committed};
use crate::domain::{ClipEntry, ClipKind, Gap, JoinedWindow, StreamEntry, clip_id, now_ms};
use crate::metrics::{
    CLIP_BYTES, CLIP_DURATION, CLIP_LATENESS, CLIP_SECONDS, CLIPS_AHEAD, CLIPS_ANEW, CLIPS_FAILED,
    CLIPS_MADE,
};
use crate::storage::{self, BodySender, ClipRecord};
use crate::webhooks;

/// A clip that is to be made.
pub(crate) struct Recipe<'a> {
    pub(crate) stream: &'a str,
    pub(crate) sub_folder: Option<&'a str>,
    pub(crate) clip: Clip,
    /// What it is called, where that is known already.
    pub(crate) vod_id: Option<String>,
    /// Why it is made.
    pub(crate) kind: ClipKind,
    /// What people call it and file it under, where somebody has said so.
    pub(crate) named: Named,
    /// Where the stream's periodic clips go on, where this is one of them.
    pub(crate) boundary: Option<&'a Boundary>,
    /// What is missing at its edges.
    pub(crate) missing: Vec<Gap>,
    /// What was joined, where it is a montage: its chapters are there already.
    pub(crate) joined: Vec<JoinedWindow>,
    /// The window that was asked for, in milliseconds since 1970.
    pub(crate) window: Option<(i64, i64)>,
    /// It is the first of its session, with all that came before its first picture.
    pub(crate) from_the_start: bool,
    /// When its last sample was there.
    pub(crate) complete: Instant,
    /// What of it is written already.
    pub(crate) growing: Option<Growing>,
}

/// What people call a clip, and file it under.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// The stream's name otherwise.
    pub title: Option<String>,
    /// In the order in which they were given.
    pub tags: Vec<String>,
}

/// Makes a clip. `begun` is told of it before anything is stored, with its length, and may have the
/// bytes as they come.
pub(crate) fn make(
    shared: &Shared,
    app: &App,
    recipe: Recipe<'_>,
    begun: impl FnOnce(&ClipEntry, u64) -> Option<BodySender>,
) -> Result<ClipEntry, MakeError> {
    let started = Instant::now();
    let kind = recipe.kind.name();
    let labels = [("app", app.name().to_owned()), ("kind", kind.to_owned())];
    let (complete, stream) = (recipe.complete, recipe.stream);
    let made = make_one(shared, app, recipe, begun);
    let took = started.elapsed();
    match &made {
        Ok((entry, samples)) => {
            counter!(CLIPS_MADE, &labels).increment(1);
            counter!(CLIP_BYTES, "app" => app.name().to_owned()).increment(entry.bytes);
            histogram!(CLIP_SECONDS, &labels).record(took);
            histogram!(CLIP_DURATION, &labels).record(entry.duration_ms as f64 / 1000.0);
            if kind == "periodic" {
                histogram!(CLIP_LATENESS, "app" => app.name().to_owned())
                    .record(complete.elapsed());
            }
            let end_time = entry.start_ms.saturating_add(entry.duration_ms);
            tracing::info!(
                app = app.name(),
                stream,
                kind,
                vod = entry.id,
                from = rfc3339(entry.start_ms),
                to = rfc3339(end_time),
                samples,
                bytes = entry.bytes,
                gaps = entry.gaps.len(),
                took_ms = took.as_millis() as u64,
                late_ms = complete.elapsed().as_millis() as u64,
                "clip"
            );
        }
        Err(error) => {
            counter!(CLIPS_FAILED, &labels).increment(1);
            // It is tried every few seconds; once is enough to say so.
            if matches!(error, MakeError::DiskFull) {
                tracing::debug!(app = app.name(), stream, kind, %error, "clip failed");
            } else {
                tracing::error!(app = app.name(), stream, kind, %error, "clip failed");
            }
        }
    }
    made.map(|(entry, _)| entry)
}

fn make_one(
    shared: &Shared,
    app: &App,
    recipe: Recipe<'_>,
    begun: impl FnOnce(&ClipEntry, u64) -> Option<BodySender>,
) -> Result<(ClipEntry, u64), MakeError> {
    let begun_ms = now_ms();
    let Recipe {
        stream,
        sub_folder,
        mut clip,
        vod_id,
        kind,
        named,
        boundary,
        mut missing,
        joined,
        from_the_start,
        window,
        growing,
        ..
    } = recipe;
    let known = shared.wait(shared.catalog.stream(app.name(), stream))?;
    let stream_entry = known.unwrap_or_else(|| StreamEntry {
        id: stream.to_owned(),
        ..StreamEntry::default()
    });
    let samples = clip.tracks.iter().map(|track| track.samples).sum();
    let height = clip.tracks.iter().find_map(|track| track.config.video());
    let height = height.map(|video| video.height);
    let id = growing.as_ref().map(|growing| growing.vod_id.clone());
    let id = id.or(vod_id).unwrap_or_else(clip_id);
    let mut entry = ClipEntry::of_stream(&id, &stream_entry, height, sub_folder);
    entry.kind = Some(kind);
    entry.tags = named.tags;
    if let Some(title) = &named.title {
        entry.title = title.clone();
    }
    entry.duration_ms = i64::try_from(clip.duration_ms).unwrap_or(i64::MAX);
    entry.start_ms = match clip.start_time {
        // What is heard ahead of the first picture is presented first.
        Some(time) if from_the_start => time.timestamp_millis().saturating_sub(ahead_ms(&clip)),
        Some(time) => time.timestamp_millis(),
        None => begun_ms.saturating_sub(entry.duration_ms),
    };
    entry.created_ms = begun_ms;
    entry.making_began_ms = begun_ms;
    let begins = Some(entry.start_ms);
    for gap in &mut missing {
        if gap.from_ms < begins && gap.to_ms > begins {
            gap.to_ms = begins;
        }
    }
    entry.gaps = all_gaps(missing, &clip, window);
    for gap in &entry.gaps {
        tracing::warn!(
            app = app.name(),
            stream,
            vod = entry.id,
            from = gap.from_text(),
            to = gap.to_text(),
            reason = gap.reason,
            "a clip has a gap"
        );
    }
    let usual = || title(&stream_entry, height);
    let title = named.title.unwrap_or_else(usual);
    if joined.is_empty() {
        let markers = markers_in(shown_by(&clip), stream, shared, app)?;
        add_chapters(&mut clip, &markers, &title);
    }
    entry.windows = joined;
    clip.set_title(title);
    let grown = growing.and_then(|growing| finish(growing, &clip, app));
    // The end of its making is told as well as it can be known before it.
    entry.making_ended_ms = now_ms();
    let stored = match grown {
        Some(grown) => {
            entry.bytes = grown.len();
            grown
                .complete()?
                .publish(&ClipRecord::new(app.name(), &entry, boundary))?
        }
        None => {
            let layout = clip.layout(Format::Mp4);
            let layout = layout.map_err(|error| MakeError::Media(error.to_string()))?;
            entry.bytes = layout.len();
            let tee = begun(&entry, layout.len());
            let record = ClipRecord::new(app.name(), &entry, boundary);
            let (paths, source) = (app.paths(), FileSource::default());
            storage::store(&*shared.store, &paths, &record, &layout, &source, tee)?
        }
    };
    let settings = app.settings();
    let hooks: Vec<_> = webhooks::vod_ready(&settings, Some(&stream_entry), &entry)
        .into_iter()
        .collect();
    let committed = shared
        .catalog
        .commit_clip(app.name(), &entry, boundary, &hooks);
    let committed = match shared.wait(committed) {
        Ok(Committed::Now | Committed::Before) => Ok(()),
        Ok(Committed::Behind(ordinal)) => Err(MakeError::Behind(ordinal)),
        Err(error) => Err(error.into()),
    };
    match committed {
        Ok(()) => {
            if let (Some(script), Some(path)) = (settings.finish_script(), &stored.path) {
                shared.scripts.run(&script, path, app.name());
            }
            stored.keep();
            Ok((entry, samples))
        }
        Err(error) => {
            stored.discard(&*shared.store, &app.paths());
            Err(error)
        }
    }
}

/// Lays out what was written ahead, if it is what the clip begins with.
fn finish(growing: Growing, clip: &Clip, app: &App) -> Option<Grown> {
    let finished = growing.finish(clip).unwrap_or_else(|error| {
        tracing::debug!(app = app.name(), %error, "a clip cannot be laid out around its media");
        None
    });
    let counted = if finished.is_some() {
        CLIPS_AHEAD
    } else {
        CLIPS_ANEW
    };
    counter!(counted, "app" => app.name().to_owned()).increment(1);
    finished
}

/// What players show as a clip's title: it is part of the file, and so says nothing of when and as
/// what the clip was stored.
pub(crate) fn title(stream_entry: &StreamEntry, height: Option<u32>) -> String {
    let name = stream_entry.name.as_deref().map(str::trim);
    let name = name
        .filter(|name| !name.is_empty())
        .unwrap_or(&stream_entry.id);
    match height {
        Some(height) => format!("{name} ({height}p)"),
        None => name.to_owned(),
    }
}

/// How long something is heard ahead of the first picture, in milliseconds.
fn ahead_ms(clip: &Clip) -> i64 {
    let leading = clip
        .tracks
        .iter()
        .find(|track| track.kind == TrackKind::Video);
    let first = clip.tracks.iter().map(|track| track.first_pts).min();
    let ahead = leading
        .zip(first)
        .map(|(leading, first)| leading.first_pts - first);
    ahead.map_or(0, |ticks| (ticks + 45) / 90)
}

/// What a clip has no media for: at the edges of its window, and inside.
pub(crate) fn all_gaps(missing: Vec<Gap>, clip: &Clip, window: Option<(i64, i64)>) -> Vec<Gap> {
    let mut all: Vec<_> = gaps(clip).collect();
    let covers = |gap: &Gap, other: &Gap| gap.from_ms <= other.from_ms && gap.to_ms >= other.to_ms;
    for gap in missing {
        // Of two that are the same, one.
        if all.iter().any(|known| covers(known, &gap)) {
            continue;
        }
        all.retain(|known| !covers(&gap, known));
        all.push(gap);
    }
    if let Some((from, to)) = window {
        for gap in all.iter_mut().filter(|gap| gap.from_ms.is_some()) {
            gap.from_ms = gap.from_ms.max(Some(from));
            gap.to_ms = gap.to_ms.map(|end| end.min(to));
        }
        all.retain(|gap| gap.to_ms.is_none() || gap.from_ms < gap.to_ms);
    }
    all.sort_by_key(|gap| gap.from_ms);
    all
}

impl From<LostMedia> for Gap {
    fn from(lost: LostMedia) -> Self {
        let ms = |time: DateTime<Utc>| time.timestamp_millis();
        Self {
            from_ms: lost.from.map(ms),
            to_ms: lost.to.map(ms),
            reason: lost.reason.to_string(),
        }
    }
}

fn gaps(clip: &Clip) -> impl Iterator<Item = Gap> + '_ {
    let ms = |time: DateTime<Utc>| time.timestamp_millis();
    clip.gaps.iter().map(move |gap| Gap {
        from_ms: gap.from.map(ms),
        to_ms: gap.to.map(ms),
        reason: gap.reason.clone(),
    })
}

/// An instant in milliseconds since 1970, as people read it.
pub(crate) fn rfc3339(ms: i64) -> String {
    crate::domain::Instant(ms).to_string()
}
