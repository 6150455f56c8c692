//! A playlist of another server, loaded (RFC 8216, 6.3.4).

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clipmill::live::Taken;
use clipmill_playlist::{MediaPlaylist, Playlist, PlaylistLimits, Variables};
use url::Url;

use super::lock;
use super::origin::{Answer, Ask, Failure, Origin, Validators};

/// Bytes of a playlist at most: as much as weeks of segments take.
const LONGEST: u64 = 16 << 20;

/// What was loaded.
pub(super) enum Loaded {
    /// The same as before.
    Same,
    Media {
        media: Box<MediaPlaylist>,
        text: Bytes,
        /// Where it came from in the end, which is what its URIs are relative to.
        url: Url,
    },
}

/// Loads one media playlist again and again.
#[derive(Clone)]
pub(super) struct Loader {
    origin: Arc<Origin>,
    url: Url,
    /// What its multivariant playlist defines.
    variables: Arc<Variables>,
    known: Arc<Mutex<Known>>,
}

/// What was loaded last.
#[derive(Default)]
struct Known {
    validators: Validators,
    text: Option<u64>,
}

impl Loader {
    pub(super) fn new(origin: Arc<Origin>, url: Url, variables: Arc<Variables>) -> Self {
        Self {
            origin,
            url,
            variables,
            known: Arc::default(),
        }
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Loads it.
    pub(super) async fn load(self) -> Result<Loaded, Failure> {
        let known = lock(&self.known).validators.clone();
        let Some(answer) = get(&self.origin, &self.url, Some(&known)).await? else {
            return Ok(Loaded::Same);
        };
        let digest = Taken::head(&answer.body);
        let playlist = parsed(&answer, &self.variables)?;
        let Playlist::Media(media) = playlist else {
            return Err(Failure::Other);
        };
        let mut known = lock(&self.known);
        known.validators = answer.validators;
        if known.text.replace(digest) == Some(digest) {
            return Ok(Loaded::Same);
        }
        Ok(Loaded::Media {
            media: Box::new(media),
            text: answer.body,
            url: answer.url,
        })
    }
}

/// Gets a playlist; `None` where it is what is known.
pub(super) async fn get(
    origin: &Origin,
    url: &Url,
    known: Option<&Validators>,
) -> Result<Option<Answer>, Failure> {
    let ask = Ask {
        text: true,
        known,
        ..Ask::of(url, LONGEST)
    };
    origin.get(&ask).await
}

/// Reads a playlist. It may import what its multivariant playlist defines, and the parameters of its URL.
pub(super) fn parsed(answer: &Answer, variables: &Variables) -> Result<Playlist, Failure> {
    let mut imports = variables.clone();
    imports.extend(answer.url.query_pairs().into_owned());
    let limits = PlaylistLimits {
        bytes: LONGEST,
        ..PlaylistLimits::default()
    };
    Playlist::parse_with(&answer.body, &limits, &imports).map_err(|error| {
        let kind = match answer.kind.split(';').next().unwrap_or_default() {
            "" => String::new(),
            kind => format!(", but {kind:.40}"),
        };
        Failure::Useless(format!("it is no playlist{kind}: {error}"))
    })
}
