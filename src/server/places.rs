//! The places whose items can be looked at alone: the run itself, or a store of its.
//!
//! In: the name of a place, as `/archive/stores` has it. Out: the rows, or an archive that its indexes
//! answer for. Never: items of one place in the answer about another. Spools have no index, so they
//! are searched (`search`) and not summed up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value as Json, json};

use super::View;
use super::api::aside;
use super::indexed::Refusal;
use super::search::{LIVE, SPOOL};
use crate::investigate::Browse;
use crate::kfl;

/// How long it counts what manifests of a store told of coverage: a look reads many of them.
const FRESH: Duration = Duration::from_secs(60);

/// Stores whose coverage is kept; a run has fewer.
const MAX_KEPT: usize = 32;

/// What a place holds.
#[derive(Clone)]
pub(super) enum Source {
    /// The rows of the run.
    Rows,
    /// An archive.
    Archive(Arc<Browse>),
    /// A store without reels.
    Nothing,
}

impl View {
    /// What a place holds; with no name what is open here.
    pub(super) fn source(&self, place: &str) -> Result<Source, Refusal> {
        let open = self.indexed.get();
        match place {
            "" => Ok(open.cloned().map_or(Source::Rows, Source::Archive)),
            LIVE => Ok(Source::Rows),
            SPOOL => Err((StatusCode::BAD_REQUEST, NOT_SUMMED.to_owned())),
            name => {
                if let Some(open) = open.filter(|open| open.name() == name) {
                    return Ok(Source::Archive(open.clone()));
                }
                self.must_know(name)?;
                let found = self.run.browse(name);
                let found = found.map_err(|sentence| (StatusCode::BAD_GATEWAY, sentence))?;
                Ok(found.map_or(Source::Nothing, Source::Archive))
            }
        }
    }

    /// The same for packets, which the spools have too.
    pub(super) fn source_of_packets(&self, place: &str) -> Result<Source, Refusal> {
        match place {
            SPOOL => Ok(Source::Rows),
            place => self.source(place),
        }
    }

    /// A query of [`View::query`] for a place.
    pub(super) fn query_of(&self, place: &str, query: kfl::Query) -> kfl::Query {
        match place {
            "" | LIVE => query,
            _ => self.for_archive(&query),
        }
    }

    /// Whether there is something to be told of what was captured at a place.
    pub(super) fn covers(&self, place: &str) -> Result<(), Refusal> {
        match place {
            "" | LIVE | SPOOL => Ok(()),
            name => self.must_know(name),
        }
    }

    /// Whether a store is one of the run's.
    pub(super) fn must_know(&self, store: &str) -> Result<(), Refusal> {
        if store.is_empty() {
            let sentence = "name the store (store); /archive/stores lists them";
            return Err((StatusCode::BAD_REQUEST, sentence.to_owned()));
        }
        match self.run.stores().iter().any(|known| known == store) {
            true => Ok(()),
            false => Err((
                StatusCode::NOT_FOUND,
                format!("{store:?} is no store of this run; the view Archive shows those it has"),
            )),
        }
    }
}

/// For sums of what only a spool has.
const NOT_SUMMED: &str =
    "the spools have no index, so nothing is summed up of them; /search lists what they hold";

/// Coverage of stores, as it was told last.
#[derive(Default)]
pub(super) struct Covers(Mutex<HashMap<String, (Instant, Json)>>);

impl Covers {
    /// When packets of a store were captured and lost, and which reels there are.
    pub(super) fn of(&self, view: &View, store: &str) -> Result<Json, String> {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, told)) = kept().get(store)
            && at.elapsed() < FRESH
        {
            return Ok(told.clone());
        }
        let told = match view.run.archive(store)? {
            Some(archive) => archive.coverage().map_err(|error| error.to_string())?,
            None => json!({}),
        };
        let mut kept = kept();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(store.to_owned(), (Instant::now(), told.clone()));
        Ok(told)
    }
}

/// Whether whoever asked still waits for the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Asker(Arc<AtomicBool>);

impl Asker {
    /// Nobody reads the answer any more.
    pub(super) fn is_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says so when the request is dropped.
struct Waits(Asker);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// [`aside`] for work that ends early when the request is given up.
pub(super) async fn aside_for<T: Send + 'static>(
    work: impl FnOnce(&Asker) -> T + Send + 'static,
) -> Result<T, Response> {
    let asker = Asker::default();
    let _waits = Waits(asker.clone());
    aside(move || work(&asker)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_told_when_its_request_is_given_up() {
        let (tell, told) = std::sync::mpsc::channel();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let asked = tokio::spawn(aside_for(move |asker| {
            let _ = begun.send(());
            while !asker.is_gone() {
                std::thread::yield_now();
            }
            tell.send(()).unwrap();
        }));
        begins.await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        tokio::task::spawn_blocking(move || told.recv().unwrap())
            .await
            .unwrap();
    }
}
