//! The model of a multivariant ("master") playlist (RFC 8216, 4.3.4), and the choice of a variant.

use std::fmt;
use std::str::FromStr;

use crate::variables::Variables;

/// A playlist of playlists.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct MultivariantPlaylist {
    /// `EXT-X-VERSION` (4.3.1.2); 1 when absent.
    pub version: u64,
    /// `EXT-X-STREAM-INF` (4.3.4.2), in the order in which they stand.
    pub variants: Vec<Variant>,
    /// `EXT-X-MEDIA` (4.3.4.1).
    pub renditions: Vec<Rendition>,
    /// `EXT-X-INDEPENDENT-SEGMENTS` (4.3.5.1) for all media playlists.
    pub independent_segments: bool,
    /// `EXT-X-SESSION-KEY` (4.3.4.5): the media is encrypted, and this many keys are announced.
    pub session_keys: usize,
    /// `EXT-X-DEFINE` (rfc8216bis, 4.4.2.3): what media playlists may import, see
    /// [`crate::Playlist::parse_with`].
    pub variables: Variables,
    /// What was passed over, each with its line number.
    pub warnings: Vec<String>,
}

impl MultivariantPlaylist {
    /// The renditions of one group, the default one first.
    pub fn group(&self, kind: RenditionKind, id: &str) -> Vec<&Rendition> {
        let members = self.renditions.iter();
        let mut group: Vec<_> = members
            .filter(|one| one.kind == kind && one.group_id == id)
            .collect();
        group.sort_by_key(|one| !one.default);
        group
    }
}

/// One variant stream.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Variant {
    /// As written, variables replaced; see [`crate::resolve`].
    pub uri: String,
    /// `BANDWIDTH`: peak, bits per second; 0 when absent.
    pub bandwidth: u64,
    /// `AVERAGE-BANDWIDTH`: bits per second.
    pub average_bandwidth: Option<u64>,
    /// `RESOLUTION`.
    pub resolution: Option<Resolution>,
    /// `CODECS`, RFC 6381.
    pub codecs: Option<String>,
    /// `FRAME-RATE`: frames per second.
    pub frame_rate: Option<f64>,
    /// `NAME`, which no specification has and many packagers write.
    pub name: Option<String>,
    /// `AUDIO`: the group that its audio comes from.
    pub audio: Option<String>,
    /// `VIDEO`: the group of its other angles.
    pub video: Option<String>,
    /// `SUBTITLES`: the group that its subtitles come from.
    pub subtitles: Option<String>,
    /// Line of the URI, from 1.
    pub line: usize,
}

impl Variant {
    /// Whether `CODECS` promises a picture; unknown codecs are given the benefit of the doubt.
    pub fn may_have_video(&self) -> bool {
        let Some(codecs) = &self.codecs else {
            return true;
        };
        self.resolution.is_some() || !codecs.split(',').all(|one| is_audio_codec(one.trim()))
    }

    fn rank(&self) -> (bool, u64, u64) {
        let pixels = self.resolution.map_or(0, |size| size.pixels());
        (self.may_have_video(), self.bandwidth, pixels)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name} ")?;
        }
        if let Some(size) = self.resolution {
            write!(f, "{}p ", size.height)?;
        }
        write!(f, "{} bit/s", self.bandwidth)
    }
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Pixels across.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
}

impl Resolution {
    fn pixels(&self) -> u64 {
        self.width.saturating_mul(self.height)
    }
}

/// One alternative rendition (RFC 8216, 4.3.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rendition {
    /// `TYPE`.
    pub kind: RenditionKind,
    /// As written, variables replaced; `None` when the media is inside the variant itself.
    pub uri: Option<String>,
    /// `GROUP-ID`.
    pub group_id: String,
    /// `LANGUAGE`, RFC 5646.
    pub language: Option<String>,
    /// `NAME`.
    pub name: String,
    /// `DEFAULT=YES`.
    pub default: bool,
    /// `AUTOSELECT=YES`.
    pub autoselect: bool,
    /// `FORCED=YES`.
    pub forced: bool,
    /// `CHANNELS`.
    pub channels: Option<String>,
    /// Line number, from 1.
    pub line: usize,
}

/// `TYPE` of `EXT-X-MEDIA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenditionKind {
    /// `AUDIO`.
    Audio,
    /// `VIDEO`.
    Video,
    /// `SUBTITLES`.
    Subtitles,
    /// `CLOSED-CAPTIONS`.
    ClosedCaptions,
}

/// Which variant to take: `best`, `worst`, a `NAME`, `720p`, or a highest bandwidth in bits per
/// second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum VariantChoice {
    /// The highest bandwidth, one with a picture rather than one without.
    #[default]
    Best,
    /// The lowest bandwidth, one with a picture rather than one without.
    Worst,
    /// `NAME` of the variant or of its video rendition, else its `VIDEO` group or URI.
    Name(String),
    /// The highest bandwidth among those of this height in pixels.
    Height(u32),
    /// The highest bandwidth that is not above this many bits per second.
    MaxBandwidth(u64),
    /// The first one with this URI, as it is written.
    Uri(String),
}

impl VariantChoice {
    /// The variant that is meant.
    ///
    /// # Errors
    /// When there is none, with a list of what there is.
    pub fn choose<'a>(
        &self,
        playlist: &'a MultivariantPlaylist,
    ) -> Result<&'a Variant, VariantError> {
        let variants = &playlist.variants;
        let best = |matching: &dyn Fn(&Variant) -> bool| {
            // Of equals the first, which the author prefers: `max_by_key` would take the last.
            let candidates = variants.iter().rev();
            candidates
                .filter(|one| matching(one))
                .max_by_key(|one| one.rank())
        };
        let found = match self {
            Self::Best => best(&|_| true),
            Self::Worst => variants.iter().min_by_key(|one| {
                let (video, bandwidth, pixels) = one.rank();
                (!video, bandwidth, pixels)
            }),
            Self::Name(name) => best(&|one| is_called(playlist, one, name)),
            Self::Height(height) => {
                let wanted = u64::from(*height);
                let of_height =
                    |one: &Variant| one.resolution.is_some_and(|size| size.height == wanted);
                // Without RESOLUTION, `720p` may still be what a variant is called.
                let name = self.to_string();
                best(&of_height).or_else(|| best(&|one| is_called(playlist, one, &name)))
            }
            Self::MaxBandwidth(limit) => best(&|one| one.bandwidth <= *limit),
            Self::Uri(uri) => variants.iter().find(|one| one.uri == *uri),
        };
        found.ok_or_else(|| VariantError {
            wanted: self.to_string(),
            available: variants.iter().take(32).map(ToString::to_string).collect(),
        })
    }
}

impl FromStr for VariantChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let height = text.strip_suffix(['p', 'P']).unwrap_or_default();
        Ok(match text {
            _ if text.eq_ignore_ascii_case("best") => Self::Best,
            _ if text.eq_ignore_ascii_case("worst") => Self::Worst,
            _ => match (height.parse(), text.parse()) {
                (Ok(height), _) => Self::Height(height),
                (_, Ok(bandwidth)) => Self::MaxBandwidth(bandwidth),
                _ => Self::Name(text.to_owned()),
            },
        })
    }
}

impl fmt::Display for VariantChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("best"),
            Self::Worst => f.write_str("worst"),
            Self::Name(name) | Self::Uri(name) => f.write_str(name),
            Self::Height(height) => write!(f, "{height}p"),
            Self::MaxBandwidth(limit) => write!(f, "{limit}"),
        }
    }
}

/// No variant is the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no variant {wanted:?}: {}", listed(.available))]
pub struct VariantError {
    /// What was asked for.
    pub wanted: String,
    /// What there is, at most 32 of them.
    pub available: Vec<String>,
}

fn listed(available: &[String]) -> String {
    if available.is_empty() {
        return "the playlist has no variants".to_owned();
    }
    format!("the playlist has {}", available.join(", "))
}

fn is_called(playlist: &MultivariantPlaylist, variant: &Variant, name: &str) -> bool {
    let same = |text: &Option<String>| text.as_deref().is_some_and(|text| text == name);
    if same(&variant.name) || same(&variant.video) || variant.uri == name {
        return true;
    }
    // Twitch names its qualities in the video rendition alone.
    let group = variant.video.as_deref().unwrap_or_default();
    let angles = playlist.group(RenditionKind::Video, group);
    angles.iter().any(|one| one.name == name)
}

fn is_audio_codec(codec: &str) -> bool {
    let known = ["mp4a", "ac-3", "ec-3", "ac-4", "opus", "flac", "alac"];
    let head = codec.split('.').next().unwrap_or_default();
    known.iter().any(|one| head.eq_ignore_ascii_case(one))
}
