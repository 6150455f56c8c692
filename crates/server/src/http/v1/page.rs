//! Lists, page by page.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::answer::Query;
use crate::http::fault::Fault;

/// Items of a page where nobody says how many.
const USUAL: usize = 50;

/// Items of a page at most.
const MOST: usize = 500;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Page<T> {
    /// What is on it.
    items: Vec<T>,
    /// With this as `cursor` the next page begins; null: this is the last.
    next: Option<String>,
}

/// Which page is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    limit: usize,
    /// The key of the last item of the page before.
    after: Option<String>,
}

impl Asked {
    pub(super) fn of(query: &Query) -> Result<Self, Fault> {
        let limit = match query.text("limit").map(|text| text.trim().parse()) {
            None => USUAL,
            Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
            Some(_) => {
                return Err(Fault::bad(format!(
                    "limit is not a number from 1 to {MOST}"
                )));
            }
        };
        let after = query.text("cursor").map(str::to_owned);
        Ok(Self { limit, after })
    }

    /// The page before, where its last key is a number: 0 where there is none.
    pub(super) fn number(&self) -> Result<u64, Fault> {
        match self.after.as_deref().map(str::parse) {
            None => Ok(0),
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => Err(Fault::bad("cursor is none that this call gave")),
        }
    }

    /// Whether so many items are a page, and one more.
    pub(super) fn is_full(&self, items: usize) -> bool {
        items > self.limit
    }

    /// The page that these items with their keys begin with: all that follow the page before.
    pub(super) fn first<T>(&self, mut items: Vec<(String, T)>) -> Page<T> {
        let more = self.is_full(items.len());
        items.truncate(self.limit);
        let last = items.last().filter(|_| more);
        Page {
            next: last.map(|(key, _)| key.clone()),
            items: items.into_iter().map(|(_, item)| item).collect(),
        }
    }

    /// The page of a list of items with their keys that is in the order of these.
    pub(super) fn keyed<T>(&self, all: Vec<(String, T)>) -> Page<T> {
        let is_old = |key: &String| self.after.as_ref().is_some_and(|after| key <= after);
        let behind = all.into_iter().filter(|(key, _)| !is_old(key));
        self.first(behind.collect())
    }

    /// The page of a list that is in the order of its keys.
    pub(super) fn cut<T>(&self, all: Vec<T>, key: impl Fn(&T) -> &str) -> Page<T> {
        let is_old = |item: &T| {
            self.after
                .as_deref()
                .is_some_and(|after| key(item) <= after)
        };
        let begin = all.partition_point(is_old);
        let mut items: Vec<T> = all.into_iter().skip(begin).take(self.limit + 1).collect();
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next = items
            .last()
            .filter(|_| more)
            .map(|item| key(item).to_owned());
        Page { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another() {
        let all = || vec!["a", "b", "c", "d", "e"];
        let mut asked = Asked {
            limit: 2,
            after: None,
        };
        let mut pages = Vec::new();
        loop {
            let page = asked.cut(all(), |item| item);
            pages.push(page.items);
            let Some(next) = page.next else { break };
            asked.after = Some(next);
        }
        assert_eq!(pages, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    }
}
