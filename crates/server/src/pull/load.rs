//! A playlist of another server, loaded (RFC 8216, 6.3.4).

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clipmill::live::Taken;
use clipmill_playlist::{MediaPlaylist, Playlist, PlaylistLimits, Variables};
use url::Url;

use super::lock;
use super::origin::{Answer, Ask, Failure, Origin, READ, Validators};

/// Bytes of a playlist at most: as much as weeks of segments take.
const LONGEST: u64 = 16 << 20;

/// What was loaded.
pub(super) enum Loaded {
    /// The same as before.
    Same,
    Media(Box<Listed>),
}

/// A playlist.
pub(super) struct Listed {
    pub(super) media: MediaPlaylist,
    pub(super) text: Bytes,
    /// Where it came from in the end, which is what its URIs are relative to.
    pub(super) url: Url,
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
    /// What it listed, where its server says that it can wait for what comes next, or leave out what is known
    /// (rfc8216bis, 6.2.5).
    listed: Option<Arc<MediaPlaylist>>,
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

    /// Whether its server waits with the answer until there is something new.
    pub(super) fn blocks(&self) -> bool {
        let known = lock(&self.known);
        known.listed.as_deref().is_some_and(can_block)
    }

    /// Loads it.
    pub(super) async fn load(self) -> Result<Loaded, Failure> {
        let (validators, listed) = {
            let known = lock(&self.known);
            (known.validators.clone(), known.listed.clone())
        };
        let found = match &listed {
            Some(listed) => self.load_what_comes(listed).await?,
            None => None,
        };
        let (answer, media) = match found {
            Some(found) => found,
            None => {
                let ask = playlist_at(&self.url);
                let known = Some(&validators);
                let Some(answer) = self.origin.get(&Ask { known, ..ask }).await? else {
                    return Ok(Loaded::Same);
                };
                let media = self.media(&answer, None)?;
                (answer, media)
            }
        };
        let digest = Taken::head(&answer.body);
        let mut known = lock(&self.known);
        let offers = media.server_control.as_ref();
        let offers = offers.is_some_and(|it| it.can_block_reload || it.can_skip_until.is_some());
        known.listed = (offers && !media.ended).then(|| Arc::new(media.clone()));
        known.validators = match known.listed.is_some() {
            // They are of another URL.
            true => Validators::default(),
            false => answer.validators,
        };
        if known.text.replace(digest) == Some(digest) {
            return Ok(Loaded::Same);
        }
        drop(known);
        Ok(Loaded::Media(Box::new(Listed {
            media,
            text: answer.body,
            url: answer.url,
        })))
    }

    /// Loads it with what its server offers: it answers when the next segment is there, and leaves out what is
    /// old. `None` where that came to nothing, and all of it is to be loaded.
    async fn load_what_comes(
        &self,
        listed: &MediaPlaylist,
    ) -> Result<Option<(Answer, MediaPlaylist)>, Failure> {
        let mut url = self.url.clone();
        let mut patience = READ;
        if can_block(listed)
            && let Some(last) = listed.segments.last()
        {
            let next = last.sequence.saturating_add(1).to_string();
            url.query_pairs_mut().append_pair("_HLS_msn", &next);
            patience = READ.saturating_add(listed.target_duration.saturating_mul(3));
        }
        let offers = listed.server_control.as_ref();
        if offers.is_some_and(|it| it.can_skip_until.is_some()) {
            url.query_pairs_mut().append_pair("_HLS_skip", "YES");
        }
        let ask = Ask {
            patience,
            ..playlist_at(&url)
        };
        let answer = match self.origin.get(&ask).await {
            Ok(Some(answer)) => answer,
            // Not all who offer it can do it in the end.
            Ok(None) | Err(Failure::Status(_) | Failure::Useless(_)) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let media = self.media(&answer, Some(listed))?;
        Ok((media.skipped_segments == 0).then_some((answer, media)))
    }

    fn media(
        &self,
        answer: &Answer,
        previous: Option<&MediaPlaylist>,
    ) -> Result<MediaPlaylist, Failure> {
        match parsed(answer, &self.variables, previous)? {
            Playlist::Media(media) => Ok(media),
            Playlist::Multivariant(_) => Err(Failure::Other),
        }
    }
}

fn can_block(listed: &MediaPlaylist) -> bool {
    let offers = listed.server_control.as_ref();
    offers.is_some_and(|it| it.can_block_reload)
}

/// A playlist, as it is asked for.
pub(super) fn playlist_at(url: &Url) -> Ask<'_> {
    Ask {
        text: true,
        ..Ask::of(url, LONGEST)
    }
}

/// Reads a playlist. It may import what its multivariant playlist defines, and the parameters of its URL.
pub(super) fn parsed(
    answer: &Answer,
    variables: &Variables,
    previous: Option<&MediaPlaylist>,
) -> Result<Playlist, Failure> {
    let mut imports = variables.clone();
    imports.extend(answer.url.query_pairs().into_owned());
    let limits = PlaylistLimits {
        bytes: LONGEST,
        ..PlaylistLimits::default()
    };
    Playlist::parse_update(&answer.body, &limits, &imports, previous).map_err(|error| {
        let kind = match answer.kind.split(';').next().unwrap_or_default() {
            "" => String::new(),
            kind => format!(", but {kind:.40}"),
        };
        Failure::Useless(format!("it is no playlist{kind}: {error}"))
    })
}
