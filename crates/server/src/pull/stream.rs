//! A stream that is pulled: its media playlists are found and followed, for as long as it is wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clipmill::live::Taken;
use clipmill_playlist::{Playlist, Variables};
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use super::beat::Beat;
use super::disk::Place;
use super::follow::{Follow, Left};
use super::ladder::{Part, Strand, strands};
use super::load::{Loader, parsed, playlist_at};
use super::media::{Fetcher, located};
use super::mirror::Mirror;
use super::origin::{Connections, Failure, Origin};
use super::polling::Polling;
use super::{End, Job, Standing, Teller, to_end};
use crate::metrics;

/// How long after something on this machine stood in the way it is tried again.
const LATER: Duration = Duration::from_secs(5);

/// What the stream's URL led to.
struct Found {
    strands: Vec<Strand>,
    /// What URIs are relative to.
    base: Url,
    variables: Arc<Variables>,
    /// It is a multivariant playlist, which may change.
    is_variant: bool,
}

/// Pulls a stream until it is to end.
pub(super) async fn pull(
    job: Arc<Job>,
    connections: Connections,
    show: Teller,
    mut end: watch::Receiver<End>,
) {
    let mut polling = Polling::new(Instant::now());
    while *end.borrow() == End::Runs {
        let origin = match open(&job, &connections).await {
            Ok(origin) => origin,
            Err(why) => {
                show.tell(Some(why));
                pause(&mut end, Instant::now() + LATER).await;
                continue;
            }
        };
        let found = tokio::select! {
            found = find(&origin, &job) => found,
            () = to_end(&mut end) => return,
        };
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                metrics::pull_failed(&job.app);
                show.tell(Some(why.clone()));
                polling.failed(Instant::now(), why, rand::random_range(0.5..=1.0));
                pause(&mut end, polling.next()).await;
                continue;
            }
        };
        let followed = match follow(&job, &origin, &found).await {
            Ok(followed) => followed,
            Err(why) => {
                show.tell(Some(why));
                pause(&mut end, Instant::now() + LATER).await;
                continue;
            }
        };
        polling = Polling::new(Instant::now());
        let beside = found.strands.iter().flat_map(|strand| {
            let own = (strand.id != job.source.id).then(|| strand.id.clone());
            own.into_iter().chain(strand.alias.clone())
        });
        show.beside(beside.collect());
        run(followed, &show, &mut end).await;
    }
}

/// Waits until an instant, or until the stream is to end.
async fn pause(end: &mut watch::Receiver<End>, until: Instant) {
    tokio::select! {
        () = to_end(end) => {}
        () = tokio::time::sleep_until(until.into()) => {}
    }
}

/// Follows all playlists of a stream, until it is to end or one of them is elsewhere.
async fn run(
    followed: Vec<(Follow, watch::Receiver<Standing>)>,
    show: &Teller,
    end: &mut watch::Receiver<End>,
) {
    let (ends, _) = watch::channel(End::Runs);
    let mut tasks = JoinSet::new();
    let mut standings = Vec::new();
    for (mut one, standing) in followed {
        let mut end = ends.subscribe();
        standings.push(standing);
        tasks.spawn(async move { one.run(&mut end).await });
    }
    loop {
        let all = standings
            .iter_mut()
            .map(|one| one.borrow_and_update().clone());
        let all: Vec<Standing> = all.collect();
        let problem = all.iter().find_map(|one| match one {
            Standing::Problem(problem) => Some(problem.clone()),
            Standing::Unknown | Standing::Fine => None,
        });
        // As long as nobody knows, what was said before holds.
        if problem.is_some() || !all.contains(&Standing::Unknown) {
            show.tell(problem);
        }
        let mut changes: JoinSet<()> = JoinSet::new();
        for standing in &standings {
            let mut standing = standing.clone();
            changes.spawn(async move {
                let _ = standing.changed().await;
            });
        }
        tokio::select! {
            () = to_end(end) => {
                ends.send_replace(*end.borrow());
                break;
            }
            Some(left) = tasks.join_next() => {
                if !matches!(left, Ok(Left::Ended)) {
                    ends.send_replace(End::Pauses);
                    break;
                }
                if tasks.is_empty() {
                    break;
                }
            }
            _ = changes.join_next() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// The servers of a stream, where nothing on this machine stands in the way.
async fn open(job: &Arc<Job>, connections: &Connections) -> Result<Arc<Origin>, String> {
    let (job, connections) = (Arc::clone(job), connections.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let place = Place::of(&job.folder, &job.source.id);
        place.open().map_err(|error| error.to_string())?;
        let origin = Origin::new(connections, &job.source, job.reach, job.configured)?;
        Ok(Arc::new(origin))
    });
    opened.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Finds the media playlists: of a multivariant one, those of the variant that was asked for.
async fn find(origin: &Origin, job: &Job) -> Result<Found, String> {
    let (url, id) = (origin.url(), job.source.id.as_str());
    let said = |failure: Failure| failure.at(url);
    let answer = origin.get(&playlist_at(url)).await.map_err(said)?;
    let answer = answer.ok_or_else(|| said(Failure::Status(304)))?;
    let playlist = parsed(&answer, &Variables::new(), None).map_err(said)?;
    let Playlist::Multivariant(playlist) = playlist else {
        let part = Part {
            name: None,
            uri: url.to_string(),
            is_sound: false,
        };
        let strand = Strand {
            id: id.to_owned(),
            alias: None,
            parts: vec![part],
            text: None,
        };
        return Ok(Found {
            strands: vec![strand],
            base: url.clone(),
            variables: Arc::default(),
            is_variant: false,
        });
    };
    let strands = strands(id, &job.source.variant, &playlist);
    let strands = strands.map_err(|error| said(Failure::Useless(error.to_string())))?;
    Ok(Found {
        strands,
        base: answer.url,
        variables: Arc::new(playlist.variables),
        is_variant: true,
    })
}

/// Prepares to follow what was found: what is mirrored of each playlist already is looked up.
async fn follow(
    job: &Arc<Job>,
    origin: &Arc<Origin>,
    found: &Found,
) -> Result<Vec<(Follow, watch::Receiver<Standing>)>, String> {
    let mut all = Vec::new();
    for strand in &found.strands {
        let beside = strand.parts.iter().filter(|part| part.is_sound).count();
        let (leads, mut follows) = Beat::together(beside);
        let mut leads = Some(leads);
        if let Some(text) = strand.text.clone() {
            let place = Place::of(&job.folder, &strand.id);
            let written = tokio::task::spawn_blocking(move || place.write_multivariant(&text));
            let written = written.await.map_err(|error| error.to_string())?;
            written.map_err(|error| error.to_string())?;
        }
        for (at, part) in strand.parts.iter().enumerate() {
            let url = located(&found.base, &part.uri).map_err(|error| error.said)?;
            let place = match &part.name {
                Some(name) => Place::of_part(&job.folder, &strand.id, name),
                None => {
                    let place = Place::of(&job.folder, &strand.id);
                    place.with_alias(&job.folder, strand.alias.as_deref())
                }
            };
            let named = job.source.variant.clone();
            let opened = mirror(place.clone(), origin.url().clone(), named).await?;
            let beat = match at {
                0 => leads.take(),
                _ if part.is_sound => follows.pop(),
                _ => None,
            };
            let loader = Loader::new(Arc::clone(origin), url, Arc::clone(&found.variables));
            let fetcher = Fetcher {
                origin: Arc::clone(origin),
                shared: Arc::default(),
            };
            let (said, standing) = watch::channel(Standing::Unknown);
            let part = (beat.unwrap_or(Beat::Alone), found.is_variant);
            let both = (loader, fetcher);
            let follow = Follow::new(Arc::clone(job), place, opened, both, said, part);
            all.push((follow, standing));
        }
    }
    Ok(all)
}

/// What was mirrored before.
async fn mirror(place: Place, mut url: Url, variant: String) -> Result<Mirror, String> {
    let opened = tokio::task::spawn_blocking(move || {
        let mut mirror = place.open().map_err(|error| error.to_string())?;
        // Tokens in it change.
        url.set_query(None);
        let named = format!("{url} {variant}");
        let named = format!("{:016x}", Taken::head(named.as_bytes()));
        if mirror.origin != named {
            mirror.become_of(&named);
        }
        Ok(mirror)
    });
    opened.await.unwrap_or_else(|error| Err(error.to_string()))
}
