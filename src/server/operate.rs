//! What pages do beyond looking: jobs, recordings, targets, requests sent once more.
//!
//! Each needs the role that `routes` names, and is noted where that says so.

use std::time::Duration;

use axum::Json as AsJson;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::api::{
    Ask, Asked, GONE, Named, Sent, State, Stream, answered, aside, item_numbered, refuse,
    write_stream,
};
use super::payload;
use super::queries::refuse_query;
use super::replay::{Pace, Replay};
use crate::deliver::Delivery;
use crate::packet::StreamName;
use crate::script::jobs::JobsAct;
use crate::units;

pub(super) async fn jobs(Extract(state): Extract<State>) -> AsJson<Json> {
    AsJson(state.view.run.jobs())
}

pub(super) async fn run_job(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    match state.view.run.run_job(&ask.tag) {
        Ok(()) => AsJson(json!({"ok": true})).into_response(),
        Err(sentence) => refuse(StatusCode::NOT_FOUND, sentence),
    }
}

/// Whether the scheduler runs.
pub(super) async fn scheduler(Extract(state): Extract<State>) -> AsJson<Json> {
    AsJson(json!({"running": state.view.run.jobs_run()}))
}

/// Runs or removes jobs, or starts or stops their scheduler.
pub(super) async fn jobs_do(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let all = ask.tag.is_empty();
    let act = match ask.act.as_str() {
        "run" if all => JobsAct::RunAll,
        "run" => JobsAct::Run(ask.tag),
        "remove" if all => JobsAct::RemoveAll,
        "remove" => JobsAct::Remove(ask.tag),
        "start" => JobsAct::Start,
        "stop" => JobsAct::Stop,
        other => {
            let sentence =
                format!("{other:?} is nothing to do; act may be run, remove, start or stop");
            return refuse(StatusCode::BAD_REQUEST, sentence);
        }
    };
    match state.view.run.jobs_do(&act) {
        Ok(()) => AsJson(json!({"ok": true})).into_response(),
        Err(sentence) => refuse(StatusCode::NOT_FOUND, sentence),
    }
}

pub(super) async fn recordings(Extract(state): Extract<State>) -> AsJson<Json> {
    AsJson(state.view.run.recordings())
}

pub(super) async fn add_recording(
    Extract(state): Extract<State>,
    Sent(declared): Sent<Json>,
) -> Response {
    answered(aside(move || state.view.run.add_recording(&declared)).await)
}

pub(super) async fn remove_recording(
    Extract(state): Extract<State>,
    Asked(ask): Asked<Ask>,
) -> Response {
    if ask.name.is_empty() {
        let sentence = "name the recording (name); /recordings lists them";
        return refuse(StatusCode::BAD_REQUEST, sentence);
    }
    answered(aside(move || state.view.run.remove_recording(&ask.name)).await)
}

pub(super) async fn seal_recording(
    Extract(state): Extract<State>,
    Asked(ask): Asked<Ask>,
) -> Response {
    let name = Some(ask.name).filter(|name| !name.is_empty());
    answered(aside(move || state.view.run.seal_recording(name.as_deref())).await)
}

/// What a recording with this query would have kept: of what is open here, or of a store.
pub(super) async fn backtest(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let query = match state.view.query(&ask.q) {
        Ok(query) => query,
        Err(error) => return refuse_query(&ask.q, &error),
    };
    answered(aside(move || state.tries.of(&state.view, &query, &ask.store)).await)
}

fn may_replay(state: &State) -> Result<(), (StatusCode, String)> {
    let sentence = "requests are not sent again unless tap.dashboard.replay is true";
    match state.view.replay {
        true => Ok(()),
        false => Err((StatusCode::FORBIDDEN, sentence.to_owned())),
    }
}

/// Sends what was shown, as often and as fast as is asked for.
fn send(replay: &Replay, ask: &Ask) -> Result<Json, (StatusCode, String)> {
    if replay.sha256() != ask.sha256 {
        let sentence = "these are not the bytes that were shown; look at them again";
        return Err((StatusCode::CONFLICT, sentence.to_owned()));
    }
    let pace = Pace {
        count: ask.count.unwrap_or(1),
        delay: Duration::from_micros(ask.delay.unwrap_or(100)),
        concurrent: ask.concurrent,
    };
    replay
        .send_all(pace)
        .map_err(|sentence| (StatusCode::BAD_GATEWAY, sentence))
}

fn told(done: Result<Result<Json, (StatusCode, String)>, Response>) -> Response {
    match done {
        Ok(Ok(answer)) => AsJson(answer).into_response(),
        Ok(Err((status, sentence))) => refuse(status, sentence),
        Err(response) => response,
    }
}

/// The request of an item as it would be sent; not of one whose bytes are hidden from whoever asks.
fn replay_of(state: &State, number: u64) -> Result<Replay, (StatusCode, String)> {
    may_replay(state)?;
    let view = &state.view;
    let refused = |sentence: String| (StatusCode::FORBIDDEN, sentence);
    view.imposed.lets_packets().map_err(refused)?;
    let query = view
        .query("")
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let delivery = view.delivery(query.clone(), view.clock.now());
    let gone = || (StatusCode::NOT_FOUND, GONE.to_owned());
    let source = view.source("")?;
    let shown = item_numbered(view, &source, number, &delivery)?.ok_or_else(gone)?;
    if delivery.is_plain() {
        return replayed(&shown);
    }
    let plain = Delivery::new(query, view.clock.now(), None);
    let found = item_numbered(view, &source, number, &plain)?.ok_or_else(gone)?;
    match found["item"]["request"] == shown["item"]["request"] {
        true => replayed(&found),
        false => Err(refused(
            "a script changes what is shown of this request, so it is not sent once more"
                .to_owned(),
        )),
    }
}

fn replayed(found: &Json) -> Result<Replay, (StatusCode, String)> {
    Replay::of(&found["item"]).map_err(|sentence| (StatusCode::BAD_REQUEST, sentence))
}

pub(super) async fn replay_shown(
    Extract(state): Extract<State>,
    Named(number): Named<u64>,
) -> Response {
    told(aside(move || replay_of(&state, number).map(|replay| replay.shown())).await)
}

pub(super) async fn replay(
    Extract(state): Extract<State>,
    Named(number): Named<u64>,
    Asked(ask): Asked<Ask>,
) -> Response {
    told(aside(move || send(&replay_of(&state, number)?, &ask)).await)
}

/// What the client of a stream sent, to be sent once more.
fn replay_of_stream(
    state: &State,
    worker: &str,
    stream: &str,
    ask: &Ask,
) -> Result<Replay, (StatusCode, String)> {
    may_replay(state)?;
    let bad = |sentence: String| (StatusCode::BAD_REQUEST, sentence);
    let name =
        StreamName::parse(stream).ok_or_else(|| bad("this is no name of a stream".to_owned()))?;
    let host = match ask.host.as_str() {
        "" => None,
        host => Some(host.parse().map_err(|_| {
            bad(format!(
                "{host:?} is no address; host is an IP address, or left out"
            ))
        })?),
    };
    let mut front = payload::Savefile::default();
    let source = state.view.source("")?;
    write_stream(
        &state.view,
        &source,
        Stream::asked(worker, name, ask),
        &mut front,
    )
    .map_err(|sentence| (StatusCode::NOT_FOUND, sentence))?;
    payload::replay(&front, host, ask.port).map_err(bad)
}

pub(super) async fn replay_stream(
    Extract(state): Extract<State>,
    Named((worker, stream)): Named<(String, String)>,
    Asked(ask): Asked<Ask>,
) -> Response {
    let done = aside(move || {
        let replay = replay_of_stream(&state, &worker, &stream, &ask)?;
        match ask.sha256.is_empty() {
            true => Ok(replay.shown()),
            false => send(&replay, &ask),
        }
    });
    told(done.await)
}

/// The least limit that leaves a spool of some packets.
pub(super) const MIN_STORAGE: u64 = 16 << 20;

/// A limit for everything that a node keeps on disk.
#[derive(Debug, Deserialize)]
pub(super) struct Storage {
    limit: Size,
}

/// Bytes, or a size as configurations write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

/// Bounds the spools anew.
pub(super) async fn limit_storage(
    Extract(state): Extract<State>,
    Sent(asked): Sent<Storage>,
) -> Response {
    let bytes = match asked.limit {
        Size::Bytes(bytes) => Some(bytes),
        Size::Text(text) => units::quantity(&text),
    };
    let Some(bytes) = bytes.filter(|bytes| *bytes >= MIN_STORAGE) else {
        let sentence =
            format!("limit must be a size such as 5Gi, and at least {MIN_STORAGE} bytes");
        return refuse(StatusCode::BAD_REQUEST, sentence);
    };
    answered(aside(move || state.view.run.limit_storage(bytes)).await)
}

/// Pods inside and outside of the targets.
pub(super) async fn targeted(Extract(state): Extract<State>) -> Response {
    let told = aside(move || match &state.view.targets {
        Some(desk) => desk.targeted(),
        None => json!({"targets": [], "excluded": [], "wanted": null}),
    });
    match told.await {
        Ok(told) => AsJson(told).into_response(),
        Err(response) => response,
    }
}

/// Captures other pods from now on.
pub(super) async fn target(Extract(state): Extract<State>, Sent(wanted): Sent<Json>) -> Response {
    let done = aside(move || match &state.view.targets {
        Some(desk) => desk.target(&wanted).map(|()| desk.targeted()),
        None => Err("what is captured is not chosen here".to_owned()),
    });
    answered(done.await)
}
