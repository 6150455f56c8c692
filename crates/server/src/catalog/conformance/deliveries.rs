//! Webhooks.

use super::*;

/// Queues webhooks.
pub(crate) async fn enqueue(catalog: &dyn Catalog, hooks: &[Delivery]) {
    let clip = ClipEntry {
        id: crate::domain::clip_id(),
        ..ClipEntry::default()
    };
    let committed = catalog.commit_clip("queue", &clip, None, hooks).await;
    assert_eq!(committed.unwrap(), Committed::Now);
}

/// Claims a webhook that is there to be claimed.
async fn claim(catalog: &dyn Catalog, place: u64) -> Claimed {
    match catalog.claim_delivery(place, 0, LEASE).await.unwrap() {
        Claim::Yours(claimed) => claimed,
        other => panic!("{other:?}"),
    }
}

/// Longer than any test.
const LEASE: Duration = Duration::from_secs(3600);

pub(crate) async fn webhooks_keep_their_order_and_their_places(open: Open) {
    let catalog = open().await;
    enqueue(&*catalog, &[hook(1), hook(2)]).await;
    enqueue(&*catalog, &[hook(3)]).await;
    let page = catalog.deliveries_after(0, 2).await.unwrap();
    let [(first, _), (second, _)] = page.as_slice() else {
        panic!("{page:?}");
    };
    let (first, second) = (*first, *second);
    assert!(first > 0 && second > first);
    let rest = catalog.deliveries_after(second, 9).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].1, hook(3));
    let mut tried = claim(&*catalog, first).await;
    tried.delivery.attempts = 3;
    assert!(catalog.retry_delivery(&tried).await.unwrap());
    catalog.finish_delivery(second).await.unwrap();
    let given_up = claim(&*catalog, rest[0].0).await;
    assert!(catalog.fail_delivery(&given_up).await.unwrap());
    catalog.flush().await.unwrap();
    drop(catalog);
    let catalog = open().await;
    assert_eq!(queued(&*catalog).await, [tried.delivery]);
    let failed = catalog.failed_deliveries().await.unwrap();
    assert_eq!(failed, [hook(3)]);
    enqueue(&*catalog, &[hook(4)]).await;
    let page = catalog.deliveries_after(first, 9).await.unwrap();
    assert!(page[0].0 > rest[0].0, "no place is given twice");
}

pub(crate) async fn no_webhook_is_missed_while_others_come(open: Open) {
    let catalog = open().await;
    let read = at_once(5, &catalog, |number, catalog| async move {
        let (mut seen, mut last) = (Vec::new(), 0);
        for n in 0..6 {
            if number > 0 {
                enqueue(&*catalog, &[hook((number * 6 + n).into())]).await;
            }
        }
        while number == 0 && seen.len() < 24 {
            for (place, hook) in catalog.deliveries_after(last, 5).await.unwrap() {
                assert!(place > last);
                last = place;
                seen.push(hook.created_ms);
            }
        }
        seen
    })
    .await;
    let mut seen = read.concat();
    seen.sort_unstable();
    assert_eq!(seen, (6..30).collect::<Vec<_>>());
}

pub(crate) async fn a_webhook_is_delivered_by_one_at_a_time(open: Open) {
    let catalog = open().await;
    enqueue(&*catalog, &[hook(1)]).await;
    let (place, _) = catalog.deliveries_after(0, 1).await.unwrap()[0];
    let ask = async |attempts, lease| {
        let claim = catalog.claim_delivery(place, attempts, lease).await;
        claim.unwrap()
    };
    // Its lease is over at once, and nobody else came.
    let Claim::Yours(mut late) = ask(0, Duration::ZERO).await else {
        panic!("nobody has it");
    };
    late.delivery.attempts = 1;
    assert!(catalog.retry_delivery(&late).await.unwrap());
    assert!(!catalog.retry_delivery(&late).await.unwrap(), "given back");
    let Claim::Changed(found) = ask(0, LEASE).await else {
        panic!("it has been tried");
    };
    assert_eq!(found, late.delivery);
    let Claim::Yours(mut slow) = ask(1, Duration::ZERO).await else {
        panic!("it was given back");
    };
    let Claim::Yours(mut tried) = ask(1, LEASE).await else {
        panic!("its lease is over");
    };
    assert_eq!(tried.delivery, late.delivery);
    assert_eq!(ask(1, LEASE).await, Claim::Taken);
    // Whoever was too slow changes nothing any more.
    slow.delivery.attempts = 7;
    assert!(!catalog.retry_delivery(&slow).await.unwrap());
    assert!(!catalog.fail_delivery(&slow).await.unwrap());
    assert_eq!(catalog.failed_deliveries().await.unwrap(), []);
    assert_eq!(queued(&*catalog).await, [late.delivery]);
    // But what was delivered is delivered.
    catalog.finish_delivery(place).await.unwrap();
    assert_eq!(ask(1, LEASE).await, Claim::Gone);
    tried.delivery.attempts = 2;
    assert!(!catalog.retry_delivery(&tried).await.unwrap());
    assert!(!catalog.fail_delivery(&tried).await.unwrap());
    assert_eq!(queued(&*catalog).await, []);
}

pub(crate) async fn of_several_that_claim_a_webhook_one_has_it(open: Open) {
    let catalog = open().await;
    enqueue(&*catalog, &[hook(1)]).await;
    let (place, _) = catalog.deliveries_after(0, 1).await.unwrap()[0];
    let claims = at_once(8, &catalog, move |_, catalog| async move {
        catalog.claim_delivery(place, 0, LEASE).await.unwrap()
    })
    .await;
    let taken = claims.iter().filter(|claim| **claim == Claim::Taken);
    assert_eq!(taken.count(), 7);
    let yours = |claim: &Claim| matches!(claim, Claim::Yours(_));
    assert!(claims.iter().any(yours));
}
