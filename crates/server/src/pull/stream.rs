//! A stream that is pulled: its media playlist is found and followed, for as long as the stream is wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clipmill::live::Taken;
use clipmill_playlist::{Playlist, Variables, VariantChoice};
use tokio::sync::watch;
use url::Url;

use super::disk::Place;
use super::follow::{Follow, Left};
use super::load::{Loader, get, parsed};
use super::media::{Fetcher, located};
use super::mirror::Mirror;
use super::origin::{Clients, Failure, Origin};
use super::polling::Polling;
use super::{End, Job, Teller, to_end};
use crate::metrics;

/// How long after something on this machine stood in the way it is tried again.
const LATER: Duration = Duration::from_secs(5);

/// Where the media of a stream is listed.
struct Found {
    url: Url,
    variables: Arc<Variables>,
    is_variant: bool,
}

/// Pulls a stream until it is to end.
pub(super) async fn pull(
    job: Arc<Job>,
    clients: Clients,
    mut show: Teller,
    mut end: watch::Receiver<End>,
) {
    let mut polling = Polling::new(Instant::now());
    while *end.borrow() == End::Runs {
        let opened = open(&job, &clients).await;
        let (origin, place, mirror) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                show.tell(Some(why));
                pause(&mut end, Instant::now() + LATER).await;
                continue;
            }
        };
        let found = match find(&origin, &job).await {
            Ok(found) => found,
            Err(why) => {
                metrics::pull_failed(&job.app);
                show.tell(Some(why.clone()));
                polling.failed(Instant::now(), why, rand::random_range(0.5..=1.0));
                pause(&mut end, polling.next()).await;
                continue;
            }
        };
        polling = Polling::new(Instant::now());
        let loader = Loader::new(Arc::clone(&origin), found.url, found.variables);
        let fetcher = Fetcher {
            origin,
            shared: Arc::default(),
        };
        let followed = Follow::new(
            Arc::clone(&job),
            place,
            mirror,
            (loader, fetcher),
            show,
            found.is_variant,
        );
        let mut followed = followed;
        if followed.run(&mut end).await == Left::Ended {
            return;
        }
        show = followed.into_teller();
    }
}

/// Waits until an instant, or until the stream is to end.
async fn pause(end: &mut watch::Receiver<End>, until: Instant) {
    tokio::select! {
        () = to_end(end) => {}
        () = tokio::time::sleep_until(until.into()) => {}
    }
}

/// What was mirrored before, and where more of it comes from.
async fn open(job: &Arc<Job>, clients: &Clients) -> Result<(Arc<Origin>, Place, Mirror), String> {
    let (job, clients) = (Arc::clone(job), clients.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let origin = Origin::new(clients, &job.source, job.reach, job.configured)?;
        let place = Place::of(&job.folder, &job.source.id);
        let mut mirror = place.open().map_err(|error| error.to_string())?;
        // Tokens in it change.
        let mut named = origin.url().clone();
        named.set_query(None);
        let named = format!("{named} {}", job.source.variant);
        let named = format!("{:016x}", Taken::head(named.as_bytes()));
        if mirror.origin != named {
            mirror.become_of(&named);
        }
        Ok((Arc::new(origin), place, mirror))
    });
    opened.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Finds the media playlist: of a multivariant one, that of the variant that was asked for.
async fn find(origin: &Origin, job: &Job) -> Result<Found, String> {
    let url = origin.url();
    let said = |failure: Failure| failure.at(url);
    let answer = get(origin, url, None).await.map_err(said)?;
    let answer = answer.ok_or_else(|| said(Failure::Status(304)))?;
    let playlist = parsed(&answer, &Variables::new()).map_err(said)?;
    let Playlist::Multivariant(playlist) = playlist else {
        return Ok(Found {
            url: url.clone(),
            variables: Arc::default(),
            is_variant: false,
        });
    };
    let choice = match job.source.variant.trim() {
        "" => VariantChoice::Best,
        named => named.parse().unwrap_or_default(),
    };
    let variant = choice.choose(&playlist);
    let variant = variant.map_err(|error| said(Failure::Useless(error.to_string())))?;
    let url = located(&answer.url, &variant.uri).map_err(|error| error.said)?;
    Ok(Found {
        url,
        variables: Arc::new(playlist.variables.clone()),
        is_variant: true,
    })
}
