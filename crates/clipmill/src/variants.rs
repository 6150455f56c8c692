//! One clip of each variant of a multivariant playlist (RFC 8216, 4.3.4.2), all of the same
//! instants.

use std::collections::BTreeSet;

use clipmill_playlist::{
    Location, MediaPlaylist, Playlist, Variant, VariantChoice, Window, WindowRequest,
};

use crate::error::{ClipError, PlaylistFailure};
use crate::named::locate;
use crate::request::{ClipRequest, open_playlist, open_playlist_with};
use crate::source::SegmentSource;

/// What is to be cut of one variant.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VariantClip {
    /// A short name that no other variant of the playlist has, for file names: `720p`,
    /// `720p-2500k` where there are several of that height, `audio` where there are no pictures.
    pub label: String,
    /// What the playlist says of it.
    pub variant: Variant,
    /// What to ask for.
    pub request: ClipRequest,
}

impl VariantClip {
    /// The request as it is.
    pub(crate) fn alone(request: &ClipRequest) -> Self {
        Self {
            label: String::new(),
            variant: Variant::default(),
            request: request.clone(),
        }
    }

    /// One for each variant.
    pub(crate) fn of_all(
        source: &dyn SegmentSource,
        playlist: &Location,
        request: &ClipRequest,
    ) -> Result<Vec<Self>, ClipError> {
        let (location, playlist) = open_playlist(source, playlist, &request.limits)?;
        let multivariant = match playlist {
            Playlist::Multivariant(multivariant) => multivariant,
            Playlist::Media(_) => return Ok(vec![Self::alone(request)]),
        };
        let failed = |playlist: &Location, error: PlaylistFailure| ClipError::Playlist {
            playlist: playlist.to_string(),
            error,
        };
        let mut seen = BTreeSet::new();
        let mut window: Option<WindowRequest> = None;
        let mut variants = Vec::new();
        for variant in multivariant.variants.iter().cloned() {
            if !seen.insert(variant.uri.clone()) {
                continue;
            }
            let at = locate(&location, &variant.uri, request.allow_outside)
                .map_err(|error| failed(&location, error.into()))?;
            let variables = &multivariant.variables;
            let opened = open_playlist_with(source, &at, &request.limits, variables)?;
            let (at, Playlist::Media(media)) = opened else {
                return Err(ClipError::Unsupported {
                    what: at.to_string(),
                    feature: "a multivariant playlist inside another".to_owned(),
                });
            };
            if media.i_frames_only {
                continue;
            }
            let own = pinned(&request.window, media).map_err(|error| failed(&at, error))?;
            window = Some(window.map_or(own, |window| window.common(&own)));
            variants.push(variant);
        }
        let window = window.unwrap_or(request.window);
        let labels = labels(&variants);
        let clips = variants.into_iter().zip(labels).map(|(variant, label)| {
            let request = ClipRequest {
                window,
                variant: VariantChoice::Uri(variant.uri.clone()),
                ..request.clone()
            };
            Self {
                label,
                variant,
                request,
            }
        });
        Ok(clips.collect())
    }
}

fn pinned(window: &WindowRequest, media: MediaPlaylist) -> Result<WindowRequest, PlaylistFailure> {
    let media = media.with_parts();
    let window: Window = window.resolve(&media)?;
    Ok(window.pinned(&media))
}

/// A name for each.
fn labels(variants: &[Variant]) -> Vec<String> {
    let base = |variant: &Variant| match variant.resolution {
        Some(size) => format!("{}p", size.height),
        None if !variant.may_have_video() => "audio".to_owned(),
        None => format!("{}k", variant.bandwidth / 1000),
    };
    let mut labels: Vec<String> = Vec::new();
    for variant in variants {
        let own = base(variant);
        let alone = variants.iter().filter(|other| base(other) == own).count() == 1;
        let label = if alone {
            own
        } else {
            format!("{own}-{}k", variant.bandwidth / 1000)
        };
        let taken = |label: &String| labels.contains(label);
        let numbered = (2..).map(|number: u32| format!("{label}-{number}"));
        let free = std::iter::once(label.clone()).chain(numbered);
        let free = free.skip_while(taken).take(1);
        labels.extend(free.collect::<Vec<_>>());
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use clipmill_playlist::PlaylistLimits;

    #[test]
    fn each_has_a_name_of_its_own() {
        let text = "#EXTM3U\n\
            #EXT-X-STREAM-INF:BANDWIDTH=5000000,RESOLUTION=1920x1080\na\n\
            #EXT-X-STREAM-INF:BANDWIDTH=2500000,RESOLUTION=1280x720\nb\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1500000,RESOLUTION=1280x720\nc\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1500000,RESOLUTION=1280x720\nd\n\
            #EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\ne\n\
            #EXT-X-STREAM-INF:BANDWIDTH=300000\nf\n";
        let parsed = Playlist::parse(text.as_bytes(), &PlaylistLimits::default());
        let Ok(Playlist::Multivariant(playlist)) = parsed else {
            panic!("{parsed:?}");
        };
        assert_eq!(
            labels(&playlist.variants),
            [
                "1080p",
                "720p-2500k",
                "720p-1500k",
                "720p-1500k-2",
                "audio",
                "300k"
            ]
        );
    }
}
