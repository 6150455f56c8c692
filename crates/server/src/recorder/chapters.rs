//! Markers as chapters of the clips that they lie in.

use std::time::Duration;

use chrono::DateTime;
use clipmill::Clip;

use super::app::App;
use super::shared::Shared;
use crate::catalog::CatalogError;
use crate::domain::Marker;

/// Clips that are asked for by a marker begin and end a frame earlier or later: that is no chapter.
const A_FRAME_MS: i64 = 100;

/// From when to when a clip is, in milliseconds since 1970, where it is dated.
pub(crate) fn shown_by(clip: &Clip) -> Option<(i64, i64)> {
    let (from, to) = clip.start_time.zip(clip.end_time)?;
    Some((from.timestamp_millis(), to.timestamp_millis()))
}

/// The markers of a stream that lie in that.
pub(crate) fn markers_in(
    shown: Option<(i64, i64)>,
    stream: &str,
    shared: &Shared,
    app: &App,
) -> Result<Vec<Marker>, CatalogError> {
    let Some((from_ms, to_ms)) = shown else {
        return Ok(Vec::new());
    };
    let mut all = shared.wait(shared.catalog.markers(app.name(), stream, false))?;
    all.retain(|marker| marker.is_in(from_ms, to_ms));
    Ok(all)
}

/// Adds markers to a clip as chapters. What none of them marks is called as the clip is.
pub(crate) fn add_chapters(clip: &mut Clip, markers: &[Marker], title: &str) {
    let Some((from_ms, to_ms)) = shown_by(clip) else {
        return;
    };
    for (at_ms, name) in chapters(markers, from_ms, to_ms, title) {
        // Sound may be heard ahead of the first frame.
        let first = (at_ms == from_ms).then_some(Duration::ZERO);
        let at = DateTime::from_timestamp_millis(at_ms);
        let at = first.or_else(|| clip.position_of(at?));
        if let Some(at) = at {
            clip.add_chapter(at, name);
        }
    }
}

/// Where chapters begin in a clip, in milliseconds since 1970, and what they are called.
fn chapters<'a>(
    markers: &'a [Marker],
    from_ms: i64,
    to_ms: i64,
    title: &'a str,
) -> Vec<(i64, &'a str)> {
    let is_seen = |marker: &&Marker| {
        let ends = marker.to_ms.unwrap_or(i64::MAX);
        marker.from_ms >= from_ms || ends >= from_ms.saturating_add(A_FRAME_MS)
    };
    let markers: Vec<&Marker> = markers.iter().filter(is_seen).collect();
    if markers.is_empty() {
        return Vec::new();
    }
    let begins = |marker: &Marker| match marker.from_ms {
        from if from < from_ms.saturating_add(A_FRAME_MS) => from_ms,
        from => from,
    };
    let ends = |marker: &Marker| match marker.to_ms {
        Some(to) if to.saturating_add(A_FRAME_MS) <= to_ms => to,
        // An instant is no longer for that.
        Some(to) if to == marker.from_ms => begins(marker),
        _ => i64::MAX,
    };
    let mut edges: Vec<i64> = markers
        .iter()
        .flat_map(|marker| [begins(marker), ends(marker)])
        .chain([from_ms])
        .filter(|edge| (from_ms..to_ms).contains(edge))
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let mut chapters: Vec<(i64, &str)> = Vec::new();
    for edge in edges {
        // Of several that hold here the one that began last, and of those the last; an instant holds until anything else
        // begins or ends.
        let holds = markers.iter().filter(|marker| {
            begins(marker) == edge || begins(marker) < edge && ends(marker) > edge
        });
        let name = holds
            .max_by_key(|marker| begins(marker))
            .map_or(title, |marker| {
                let name = marker.name.as_deref().or(marker.class.as_deref());
                name.unwrap_or(&marker.id)
            });
        if chapters.last().is_none_or(|(_, last)| *last != name) {
            chapters.push((edge, name));
        }
    }
    chapters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(name: &str, from_ms: i64, to_ms: Option<i64>) -> Marker {
        Marker {
            id: format!("{name}-id"),
            name: Some(name.into()).filter(|name: &String| !name.is_empty()),
            from_ms,
            to_ms,
            ..Marker::default()
        }
    }

    #[test]
    fn markers_are_chapters_and_what_lies_between_is_called_as_the_clip() {
        // Times of the test are in seconds.
        let of = |markers: &[Marker]| {
            let found = chapters(markers, 100_000, 200_000, "clip");
            let found = found
                .into_iter()
                .map(|(at, name)| format!("{} {name}", at / 1000));
            found.collect::<Vec<_>>().join(", ")
        };
        let marker = |name: &str, from: i64, to: Option<i64>| {
            let mut marker = marker(name, from, to);
            marker.from_ms *= 1000;
            marker.to_ms = to.map(|to| to * 1000);
            marker
        };
        assert_eq!(of(&[]), "");
        assert_eq!(of(&[marker("goal", 150, Some(150))]), "100 clip, 150 goal");
        let ad = marker("ad", 120, Some(140));
        assert_eq!(of(std::slice::from_ref(&ad)), "100 clip, 120 ad, 140 clip");
        // They reach over its edges, or have not ended.
        assert_eq!(of(&[marker("ad", 50, Some(140))]), "100 ad, 140 clip");
        assert_eq!(of(&[marker("ad", 180, Some(300))]), "100 clip, 180 ad");
        assert_eq!(of(&[marker("ad", 100, None)]), "100 ad");
        // One inside another, at its beginning, behind it, with nothing between.
        let goal = marker("goal", 130, Some(130));
        let all = [marker("game", 90, Some(190)), ad.clone(), goal];
        assert_eq!(of(&all), "100 game, 120 ad, 130 goal, 140 game, 190 clip");
        let next = [ad.clone(), marker("", 140, Some(160))];
        assert_eq!(of(&next), "100 clip, 120 ad, 140 -id, 160 clip");
        // A frame more at either end is none of another.
        let whole = Marker {
            from_ms: 100_033,
            to_ms: Some(199_990),
            ..ad
        };
        assert_eq!(of(std::slice::from_ref(&whole)), "100 ad");
        let before = Marker {
            from_ms: 50_000,
            to_ms: Some(100_040),
            ..whole.clone()
        };
        assert_eq!(of(&[before]), "");
        let last = marker("end", 199, Some(199));
        let late = Marker {
            from_ms: 199_950,
            to_ms: Some(199_950),
            ..last.clone()
        };
        assert_eq!(of(&[whole, last, late]), "100 ad, 199 end");
    }
}
