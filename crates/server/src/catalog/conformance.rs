//! What every catalog must do, whatever stores it: `conformance!` makes tests of it for a back end.

mod clips;
mod deliveries;
mod markers;
mod streams;

use std::pin::Pin;

pub(crate) use self::clips::*;
pub(crate) use self::deliveries::*;
pub(crate) use self::markers::*;
pub(crate) use self::streams::*;
use super::*;

/// The tests, for a back end that `$open` opens in a folder (`PathBuf`), which it may await: it finds there
/// what an earlier one of the same folder stored.
macro_rules! conformance {
    ($open:expr) => {
        mod conformance {
            use std::sync::Arc;

            use super::*;
            use crate::catalog::Catalog;

            $crate::catalog::conformance::each!($open;
                a_clip_its_boundary_and_its_webhooks_come_together_and_last
                lists_are_ordered_searched_and_paged
                lists_are_whole_while_clips_come
                removed_entries_are_doomed_until_they_are_buried
                applications_know_nothing_of_each_other
                streams_change_one_at_a_time
                a_stream_that_is_another_by_now_is_left_as_it_is
                of_several_that_replace_the_same_one_does
                what_rest_asked_of_periodic_recording_lasts
                streams_that_calls_have_pulled_last
                markers_last_until_they_are_forgotten
                a_marker_that_was_removed_does_not_come_back
                boundaries_last_and_never_go_back
                of_several_clips_behind_one_boundary_one_is_committed
                recordings_last_until_they_are_over
                windows_that_are_recorded_last_until_they_are_over
                a_command_that_comes_twice_is_harmless
                an_import_fills_in_what_is_not_known
                webhooks_keep_their_order_and_their_places
                no_webhook_is_missed_while_others_come
                a_webhook_is_delivered_by_one_at_a_time
                of_several_that_claim_a_webhook_one_has_it
                nothing_is_lost_between_several_that_write
            );
        }
    };
}
pub(crate) use conformance;

macro_rules! each {
    ($open:expr; $($name:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().to_owned();
            let open: $crate::catalog::conformance::Open = Box::new(move || {
                let opened = $open(path.clone());
                Box::pin(async move { Arc::new(opened.await) as Arc<dyn Catalog> })
            });
            $crate::catalog::conformance::$name(open).await;
        })*
    };
}
pub(crate) use each;

pub(crate) type Open =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Arc<dyn Catalog>> + Send>> + Send>;

pub(crate) fn clip(number: u32) -> ClipEntry {
    let clip_id = format!("{number:024}");
    ClipEntry {
        file_name: format!("{clip_id}.mp4"),
        key: format!("{clip_id}.mp4"),
        id: clip_id,
        stream_id: format!("cam{}", number % 2),
        created_ms: 1000 - i64::from(number),
        ..ClipEntry::default()
    }
}

pub(crate) fn hook(number: i64) -> Delivery {
    Delivery {
        id: number.to_string(),
        app: "live".into(),
        url: "http://127.0.0.1/".into(),
        payload: serde_json::Map::new(),
        created_ms: number,
        attempts: 0,
        next_ms: 0,
        last_error: None,
    }
}

fn ids(clips: &[ClipEntry]) -> Vec<u32> {
    clips.iter().map(|clip| clip.id.parse().unwrap()).collect()
}

const ALL: ClipQuery = ClipQuery {
    offset: 0,
    size: 100,
    sort_by: SortBy::Creation,
    descending: false,
    stream_id: None,
    search: None,
};

fn boundary(ordinal: u64) -> Boundary {
    Boundary {
        ordinal,
        session: "s".into(),
        ..Boundary::default()
    }
}

/// Commits a clip that moves no boundary and that no webhook tells of.
async fn commit(catalog: &dyn Catalog, app: &str, clip: &ClipEntry) -> Committed {
    catalog.commit_clip(app, clip, None, &[]).await.unwrap()
}

/// The webhooks in the queue.
async fn queued(catalog: &dyn Catalog) -> Vec<Delivery> {
    let queued = catalog.deliveries_after(0, 1000).await.unwrap();
    queued.into_iter().map(|(_, hook)| hook).collect()
}

/// All entries.
async fn all(catalog: &dyn Catalog) -> Vec<u32> {
    ids(&catalog.clips("live", &ALL).await.unwrap())
}

/// Several at once, each with its number; what they gave, in their order.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    number: u32,
    catalog: &Arc<dyn Catalog>,
    what: impl Fn(u32, Arc<dyn Catalog>) -> F,
) -> Vec<T> {
    let tasks: Vec<_> = (0..number)
        .map(|number| tokio::spawn(what(number, Arc::clone(catalog))))
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    all
}
