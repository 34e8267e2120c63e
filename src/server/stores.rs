//! What pages ask of the archives of a run: stores, days, reels, objects, proof.
//!
//! Objects are looked at and downloaded; there is no route that deletes or changes one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json as AsJson;
use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::task::JoinError;

use super::api::{Asked, State, aside, refuse};
use crate::investigate::verify;
use crate::time::Timestamp;

/// Reels of one answer unless asked otherwise.
const REELS: usize = 100;

/// Bytes of an object that are on their way at a time, in pieces.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    #[serde(default)]
    store: String,
    #[serde(default)]
    day: String,
    #[serde(default)]
    find: String,
    after: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    deep: bool,
    #[serde(default)]
    key: String,
    version: Option<String>,
}

/// Looks at archives, by their store.
#[derive(Debug, Default)]
pub(super) struct Proofs(Mutex<HashMap<String, Proof>>);

#[derive(Debug, Clone)]
enum Proof {
    Running(Timestamp, Arc<Read>),
    Done(Arc<Json>),
    Stopped,
    Failed(String),
}

impl Proof {
    /// What a look came to, also one that broke off in a panic.
    fn of(looked: Result<Result<Option<verify::Report>, String>, JoinError>) -> Proof {
        match looked {
            Ok(Ok(None)) => Proof::Stopped,
            Ok(Ok(Some(report))) => {
                let clean = report.is_clean();
                let mut json = serde_json::to_value(&report).unwrap_or_default();
                json["clean"] = clean.into();
                Proof::Done(Arc::new(json))
            }
            Ok(Err(sentence)) => Proof::Failed(sentence),
            Err(error) => Proof::Failed(format!("the look broke off: {error}; please report this")),
        }
    }
}

/// How far a look is.
#[derive(Debug, Default)]
struct Read {
    /// Bytes of reels that were read, and those that are read in all, when every byte is.
    done: AtomicU64,
    all: AtomicU64,
    is_stopped: AtomicBool,
}

impl Proofs {
    fn get(&self, store: &str) -> Json {
        let proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match proofs.get(store) {
            None => json!({"state": "none"}),
            Some(Proof::Running(since, read)) => json!({
                "state": "running", "since": since.to_string(),
                "read": read.done.load(Ordering::Relaxed), "bytes": read.all.load(Ordering::Relaxed),
            }),
            Some(Proof::Done(report)) => json!({"state": "done", "report": **report}),
            Some(Proof::Stopped) => json!({"state": "stopped"}),
            Some(Proof::Failed(sentence)) => json!({"state": "failed", "sentence": sentence}),
        }
    }

    fn set(&self, store: &str, proof: Proof) {
        let mut proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.insert(store.to_owned(), proof);
    }

    /// What its progress is told to; none when it was running already.
    fn begin(&self, store: &str, now: Timestamp) -> Option<Arc<Read>> {
        let mut proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(proofs.get(store), Some(Proof::Running(..))) {
            return None;
        }
        let read = Arc::<Read>::default();
        proofs.insert(store.to_owned(), Proof::Running(now, read.clone()));
        Some(read)
    }

    /// Ends a look that goes on; what it has compared by then counts.
    fn stop(&self, store: &str) {
        let proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Proof::Running(_, read)) = proofs.get(store) {
            read.is_stopped.store(true, Ordering::Relaxed);
        }
    }
}

/// The named store, when it is one of the run's.
#[expect(clippy::result_large_err, reason = "the answer is sent as it is")]
fn known(state: &State, store: &str) -> Result<(), Response> {
    let known = state.view.must_know(store);
    known.map_err(|(status, sentence)| refuse(status, sentence))
}

/// Answers out of a store's archive, with `empty` while there are no reels; what the store says is
/// passed on.
async fn asked(
    state: State,
    ask: Ask,
    empty: Json,
    read: impl FnOnce(&crate::investigate::Archive, &Ask) -> Result<Json, String> + Send + 'static,
) -> Response {
    if let Err(refused) = known(&state, &ask.store) {
        return refused;
    }
    let made = aside(move || match state.view.run.archive(&ask.store)? {
        Some(archive) => read(&archive, &ask),
        None => Ok(empty),
    });
    match made.await {
        Ok(Ok(answer)) => AsJson(answer).into_response(),
        Ok(Err(sentence)) => refuse(StatusCode::BAD_REQUEST, sentence),
        Err(response) => response,
    }
}

pub(super) async fn list(Extract(state): Extract<State>) -> AsJson<Json> {
    AsJson(json!({"stores": state.view.run.stores()}))
}

pub(super) async fn days(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    asked(state, ask, json!({"days": []}), |archive, _| {
        let days = archive.days().map_err(|error| error.to_string())?;
        Ok(json!({"days": days}))
    })
    .await
}

pub(super) async fn reels(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let empty = json!({"reels": [], "next": null});
    asked(state, ask, empty, |archive, ask| {
        let limit = ask.limit.unwrap_or(REELS);
        archive
            .shelf(&ask.day, &ask.find, ask.after.as_deref(), limit)
            .map_err(|error| error.to_string())
    })
    .await
}

pub(super) async fn proof(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    match known(&state, &ask.store) {
        Ok(()) => AsJson(state.proofs.get(&ask.store)).into_response(),
        Err(refused) => refused,
    }
}

/// Begins a look at a store; one that goes on already goes on.
pub(super) async fn verify(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    if let Err(refused) = known(&state, &ask.store) {
        return refused;
    }
    let now = state.view.clock.now();
    if let Some(read) = state.proofs.begin(&ask.store, now) {
        let state = state.clone();
        let store = ask.store.clone();
        let options = verify::Options {
            deep: ask.deep,
            now,
            ..verify::Options::default()
        };
        let proofs = state.proofs.clone();
        let looked = store.clone();
        let look = tokio::task::spawn_blocking(move || look(&state, &looked, &options, &read));
        tokio::spawn(async move { proofs.set(&store, Proof::of(look.await)) });
    }
    AsJson(state.proofs.get(&ask.store)).into_response()
}

pub(super) async fn stop(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    if let Err(refused) = known(&state, &ask.store) {
        return refused;
    }
    state.proofs.stop(&ask.store);
    AsJson(state.proofs.get(&ask.store)).into_response()
}

/// What was found; nothing when it was stopped before all objects were listed.
fn look(
    state: &State,
    store: &str,
    options: &verify::Options,
    read: &Read,
) -> Result<Option<verify::Report>, String> {
    let more = || !read.is_stopped.load(Ordering::Relaxed) && !*state.stopped.borrow();
    let open = state.view.run.store(store)?;
    let mut report = match verify::check(&*open, options, &more) {
        Ok(report) => report,
        Err(_) if !more() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let parts = std::mem::take(&mut report.parts);
    let all = parts.iter().map(|part| part.size).sum();
    read.all.store(all, Ordering::Relaxed);
    let (compared, findings) = verify::read_parts(&*open, &parts, &|done| {
        read.done.fetch_max(done, Ordering::Relaxed);
        more()
    });
    if compared < parts.len() as u64 {
        report.remarks.push(format!(
            "it was stopped: {compared} of {} reels were read and compared",
            parts.len()
        ));
    }
    report.counts.read = compared;
    report.extend(findings);
    report.blind_spots = verify::blind_spots(&report, options);
    Ok(Some(report))
}

/// An object of an archive, as it is stored.
pub(super) async fn object(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    if let Err(refused) = known(&state, &ask.store) {
        return refused;
    }
    // Manifests tell of packets and hold none.
    if !ask.key.ends_with(".manifest.json")
        && let Err(sentence) = state.view.imposed.lets_all_packets()
    {
        return refuse(StatusCode::FORBIDDEN, sentence);
    }
    let file = ask.key.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let file: String = file.chars().filter(|c| plain(*c)).collect();
    let opened = aside(move || {
        let archive = state.view.run.archive(&ask.store)?;
        archive
            .ok_or_else(|| format!("there are no reels in {} yet", ask.store))?
            .object(&ask.key, ask.version.as_deref())
            .map_err(|error| error.to_string())
    });
    let (size, mut bytes) = match opened.await {
        Ok(Ok(opened)) => opened,
        Ok(Err(sentence)) => return refuse(StatusCode::NOT_FOUND, sentence),
        Err(response) => return response,
    };
    let (pieces, body) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(PIECES);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let read = match bytes.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => {
                    piece.truncate(read);
                    Ok(Bytes::from(piece))
                }
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            // Nobody waits for the rest of a download that was stopped.
            if pieces.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    let stream = futures_util::stream::unfold(body, |mut body| async move {
        let piece = body.recv().await?;
        Some((piece, body))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{file}\""),
        ),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_breaks_off_has_failed() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let looked =
            runtime.block_on(async { tokio::task::spawn_blocking(|| panic!("a fault")).await });
        let proofs = Proofs::default();
        proofs.begin("s", Timestamp::default()).unwrap();
        proofs.set("s", Proof::of(looked));
        let told = proofs.get("s");
        assert_eq!(told["state"], "failed");
        let sentence = told["sentence"].as_str().unwrap();
        assert!(sentence.contains("a fault"), "{sentence}");
        assert!(proofs.begin("s", Timestamp::default()).is_some());
    }
}
