//! Markers of streams.

use super::*;
use crate::domain::{Marker, MarkerOrigin};

fn marker(id: &str, from_ms: i64) -> Marker {
    Marker {
        id: id.into(),
        from_ms,
        to_ms: Some(from_ms + 10),
        ..Marker::default()
    }
}

/// The ids of the markers of a stream, in order.
async fn listed(catalog: &dyn Catalog, stream: &str, removed: bool) -> Vec<String> {
    let found = catalog.markers("live", stream, removed).await.unwrap();
    found.into_iter().map(|marker| marker.id).collect()
}

pub(crate) async fn markers_last_until_they_are_forgotten(open: Open) {
    let catalog = open().await;
    let put = async |stream: &str, marker: &Marker| {
        catalog.put_marker("live", stream, marker).await.unwrap()
    };
    let of_tag = Marker {
        origin: MarkerOrigin::DateRange,
        ..marker("ad/1 \"x\"", 300)
    };
    assert!(put("cam", &marker("b", 200)).await);
    assert!(put("cam", &of_tag).await);
    assert!(put("cam", &marker("z", 100)).await);
    assert!(put("cam", &marker("a", 200)).await);
    // Streams whose ids begin alike, and other applications, have their own.
    assert!(put("cam1", &marker("a", 1)).await);
    let tv = catalog.put_marker("tv", "cam", &marker("a", 2)).await;
    assert!(tv.unwrap());
    let all = ["z", "a", "b", "ad/1 \"x\""];
    assert_eq!(listed(&*catalog, "cam", false).await, all);
    // Put once more, or anew.
    assert!(put("cam", &marker("a", 200)).await);
    let later = Marker {
        to_ms: None,
        ..marker("z", 400)
    };
    assert!(put("cam", &later).await);
    drop(catalog);
    let catalog = open().await;
    let all = ["a", "b", "ad/1 \"x\"", "z"];
    assert_eq!(listed(&*catalog, "cam", false).await, all);
    let found = catalog.marker("live", "cam", "z").await.unwrap();
    assert_eq!(found, Some(later));
    assert_eq!(catalog.marker("live", "cam", "y").await.unwrap(), None);

    let ids = ["a".to_owned(), "none".to_owned()];
    for _ in 0..2 {
        catalog.forget_markers("live", "cam", &ids).await.unwrap();
    }
    assert_eq!(
        listed(&*catalog, "cam", true).await,
        ["b", "ad/1 \"x\"", "z"]
    );
    assert_eq!(listed(&*catalog, "cam1", false).await, ["a"]);
    assert_eq!(catalog.markers("tv", "cam", false).await.unwrap().len(), 1);
}

pub(crate) async fn a_marker_that_was_removed_does_not_come_back(open: Open) {
    let catalog = open().await;
    let of_tag = Marker {
        origin: MarkerOrigin::DateRange,
        ..marker("ad", 300)
    };
    let of_call = marker("call", 400);
    for marker in [&of_tag, &of_call] {
        let put = catalog.put_marker("live", "cam", marker).await;
        assert!(put.unwrap());
    }
    let remove = async |id: &str| catalog.remove_marker("live", "cam", id).await.unwrap();
    assert!(remove("ad").await && remove("call").await);
    assert!(!remove("ad").await && !remove("call").await && !remove("none").await);
    assert_eq!(catalog.marker("live", "cam", "ad").await.unwrap(), None);
    assert!(listed(&*catalog, "cam", false).await.is_empty());
    // Its source says it again and again.
    drop(catalog);
    let catalog = open().await;
    let again = catalog.put_marker("live", "cam", &of_tag).await.unwrap();
    assert!(!again);
    assert!(listed(&*catalog, "cam", false).await.is_empty());
    assert_eq!(listed(&*catalog, "cam", true).await, ["ad"]);
    // Until it is forgotten.
    let ids = ["ad".to_owned()];
    catalog.forget_markers("live", "cam", &ids).await.unwrap();
    assert!(listed(&*catalog, "cam", true).await.is_empty());
    assert!(catalog.put_marker("live", "cam", &of_tag).await.unwrap());
}
