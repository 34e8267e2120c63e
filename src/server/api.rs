//! What the page, commands and drop-in clients may ask; `routes` lists it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use axum::Json as AsJson;
use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State as Extract};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::backtest::Tries;
use super::indexed::{self, Refusal};
use super::map::MapBy;
use super::places::{Covers, Source, aside_for};
use super::queries::refuse_query;
use super::scripts::Checks;
use super::stores::Proofs;
use super::summary::{GROUPINGS, Summaries, Summary};
use super::{View, delivered, looking, mcp, packets, routes, search, steered};
use crate::deliver::{Delivered, Delivery};
use crate::dissect;
use crate::investigate::Browse;
use crate::item::{Node, lookup};
use crate::kfl;
use crate::packet::StreamName;
use crate::pipeline::{Row, Rows};

/// Rows that one answer holds at most.
pub(super) const MAX_LIMIT: usize = 1000;

/// Rows that are looked at under one lock.
const SCAN_STEP: u64 = 2048;

/// What every route has.
#[derive(Clone)]
pub(super) struct State {
    pub(super) view: Arc<View>,
    /// Tells this server from those before and after it: numbers of items are of one alone.
    pub(super) instance: Arc<str>,
    pub(super) stopped: tokio::sync::watch::Receiver<bool>,
    /// Items that filters left out since their bound of steps was met.
    pub(super) undecided: Arc<AtomicU64>,
    pub(super) summaries: Arc<Summaries>,
    pub(super) covers: Arc<Covers>,
    pub(super) tries: Arc<Tries>,
    pub(super) proofs: Arc<Proofs>,
    pub(super) checks: Checks,
}

/// Parameters of a query; what cannot be read is answered as everything else is.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(error) => Err(refuse(StatusCode::BAD_REQUEST, wrong(&error.body_text()))),
        }
    }
}

/// What is said of a parameter that cannot be read, in words of people.
fn wrong(said: &str) -> String {
    said.replace("invalid digit found in string", "it is no whole number")
        .replace("Failed to deserialize query string: ", "")
}

/// Parameters in a path, in the same way.
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(named)) => Ok(Named(named)),
            Err(error) => Err(refuse(StatusCode::BAD_REQUEST, error.body_text())),
        }
    }
}

/// A body of JSON, in the same way; an empty one is null.
pub(super) struct Sent<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = match String::from_request(request, state).await {
            Ok(body) => body,
            Err(error) => return Err(refuse(error.status(), error.body_text())),
        };
        let text = Some(body.trim()).filter(|text| !text.is_empty());
        serde_json::from_str(text.unwrap_or("null"))
            .map(Sent)
            .map_err(|error| {
                let sentence = format!("the body is not as it must be: {error}");
                refuse(StatusCode::BAD_REQUEST, sentence)
            })
    }
}

/// Routes that older clients use without `/api`.
pub(super) fn routes_at_root() -> Router<State> {
    Router::new()
        .route("/item/{worker}/{id}", routes::at("/item/{worker}/{id}"))
        .route("/echo", routes::at("/echo"))
        .route(mcp::PATH, routes::at(mcp::PATH))
        .route(&format!("{}/", mcp::PATH), routes::at(mcp::PATH))
}

#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    #[serde(default)]
    pub(super) q: String,
    pub(super) before: Option<u64>,
    pub(super) from: Option<u64>,
    pub(super) limit: Option<usize>,
    #[serde(default)]
    pub(super) sample: bool,
    pub(super) after: Option<u64>,
    pub(super) n: Option<u64>,
    pub(super) cursor: Option<usize>,
    #[serde(default)]
    pub(super) clause: String,
    #[serde(default)]
    pub(super) topic: String,
    #[serde(default)]
    pub(super) tag: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    worker: String,
    pub(super) run: Option<u64>,
    #[serde(default)]
    pub(super) place: String,
    #[serde(default)]
    pub(super) sha256: String,
    #[serde(default)]
    pub(super) store: String,
    #[serde(default)]
    pub(super) act: String,
    pub(super) count: Option<u32>,
    pub(super) delay: Option<u64>,
    #[serde(default)]
    pub(super) concurrent: bool,
    #[serde(default)]
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

/// An answer that says what is wrong.
pub(super) fn refuse(status: StatusCode, sentence: impl Into<String>) -> Response {
    (status, AsJson(json!({"error": sentence.into()}))).into_response()
}

/// Runs work that reads many rows or a disk off the threads that serve.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

pub(super) async fn status(Extract(state): Extract<State>) -> AsJson<Json> {
    let view = &state.view;
    let held = view.rows.held();
    let (max_bytes, max_rows) = view.rows.most();
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "instance": &*state.instance,
        "counts": view.run.counts().unwrap_or_else(|| json!(view.counters.now())),
        "rows": {
            "first": held.start, "end": held.end, "bytes": view.rows.bytes(),
            "maxBytes": max_bytes, "maxRows": max_rows,
        },
        "defaultFilter": view.default_filter,
        "undecided": state.undecided.load(Ordering::Relaxed),
        "run": view.run.status(),
    });
    if let Some(browse) = view.indexed.get() {
        status["archive"] = indexed::status(browse);
        if view.counters.items() == 0 {
            status["counts"]["items"] = state.summaries.counted();
        }
        status["counts"]["ended"] = true.into();
    }
    AsJson(status)
}

pub(super) async fn items(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let view = state.view.clone();
    let query = match view.query(&ask.q) {
        Ok(query) => query,
        Err(error) => return refuse_query(&ask.q, &error),
    };
    let limit = steered::limit_of(&query, ask.limit.unwrap_or(200));
    let wanted = query.steering().limit;
    let instance = state.instance.clone();
    let found = aside(move || {
        let source = view.source(&ask.place)?;
        let query = view.query_of(&ask.place, query);
        let delivery = view.delivery(query, view.clock.now());
        let end = view.rows.held().end;
        match source {
            Source::Archive(browse) => indexed::page(&browse, &delivery, ask.before, limit, end),
            Source::Rows => Ok(page_back(&state, &delivery, ask.before, limit)),
            Source::Nothing => Ok(json!({"rows": [], "next": null, "scanned": 0, "end": end})),
        }
    });
    match found.await {
        Ok(Ok(mut found)) => {
            found["limit"] = json!(wanted);
            found["instance"] = json!(&*instance);
            AsJson(found).into_response()
        }
        Ok(Err((status, sentence))) => refuse(status, sentence),
        Err(response) => response,
    }
}

/// Rows before the one numbered `before`, newest first.
fn page_back(state: &State, delivery: &Delivery<'_>, before: Option<u64>, limit: usize) -> Json {
    let view = &state.view;
    let query = delivery.query();
    view.run.look(query);
    let limit = limit.clamp(1, MAX_LIMIT);
    let end = view.rows.held().end;
    let found = looking::newest(&view.rows, query, delivery.now(), before, limit);
    state
        .undecided
        .fetch_add(found.undecided, Ordering::Relaxed);
    let rows: Vec<Json> = found
        .rows
        .iter()
        .filter_map(|row| {
            let node = row.node()?;
            delivered::row(&delivered::held_match(delivery, node), node.number(), node)
        })
        .collect();
    let left_off = steered::left_off(&view.rows, query);
    let is_past = |row: &Json| row["n"].as_u64() <= left_off;
    let (rows, next) = steered::cut(query, rows, found.next, &is_past);
    json!({"rows": rows, "next": next, "scanned": found.looked, "end": end})
}

/// The row's number and what the list shows of it, when it matches.
pub(super) fn show(state: &State, delivery: &Delivery<'_>, row: &Row) -> Option<(u64, Json)> {
    let node = row.node()?;
    let delivered = delivered::held(delivery, node);
    if delivered == Delivered::Undecided {
        state.undecided.fetch_add(1, Ordering::Relaxed);
    }
    let shown = delivered::row(&delivered, node.number(), node)?;
    Some((node.number(), shown))
}

pub(super) async fn item_by_number(
    Extract(state): Extract<State>,
    Named(number): Named<u64>,
    Asked(ask): Asked<Ask>,
) -> Response {
    let view = state.view.clone();
    let query = match view.query(&ask.q) {
        Ok(query) => query,
        Err(error) => return refuse_query(&ask.q, &error),
    };
    let found = aside(move || {
        let source = view.source(&ask.place)?;
        let query = view.query_of(&ask.place, query);
        let delivery = view.delivery(query, view.clock.now());
        item_numbered(&view, &source, number, &delivery)
    });
    one_item(found.await)
}

/// One item as it is delivered; `None` when it is not held, or not for whoever asks.
pub(super) fn item_numbered(
    view: &View,
    source: &Source,
    number: u64,
    delivery: &Delivery<'_>,
) -> Result<Option<Json>, Refusal> {
    match source {
        Source::Archive(browse) => indexed::item(browse, number, delivery),
        Source::Rows => Ok(view.rows.get(number).and_then(|row| detail(&row, delivery))),
        Source::Nothing => Ok(None),
    }
}

pub(super) async fn item_by_id(
    Extract(state): Extract<State>,
    Named((worker, id)): Named<(String, String)>,
    Asked(ask): Asked<Ask>,
) -> Response {
    let view = state.view.clone();
    let query = match view.query(&ask.q) {
        Ok(query) => query,
        Err(error) => return refuse_query(&ask.q, &error),
    };
    let found = aside(move || {
        let source = view.source(&ask.place)?;
        let query = view.query_of(&ask.place, query);
        let delivery = view.delivery(query.clone(), view.clock.now());
        match source {
            Source::Archive(browse) => indexed::item_by_id(&browse, &worker, &id, &delivery),
            Source::Rows => {
                let id = format!("{worker}/{id}");
                Ok(item_of(&view.rows, &id, &delivery).or_else(|| view.run.item(&id, &query)))
            }
            Source::Nothing => Ok(None),
        }
    });
    one_item(found.await)
}

/// One item of the rows by its id, with all its fields, as it is delivered.
///
/// ```text
/// {"row": {...}, "item": {...}}
/// ```
pub fn item_of(rows: &Rows, id: &str, delivery: &Delivery<'_>) -> Option<Json> {
    detail(&row_with_id(rows, id)?, delivery)
}

/// The newest row with an id.
pub(super) fn row_with_id(rows: &Rows, id: &str) -> Option<Row> {
    let held = rows.held();
    let mut end = held.end;
    while end > held.start {
        let start = end.saturating_sub(SCAN_STEP).max(held.start);
        let page = rows.page(start..end, SCAN_STEP as usize);
        let found = page.into_iter().rev().find(|row| {
            row.node()
                .and_then(|node| lookup(node, "id"))
                .and_then(Node::text)
                .is_some_and(|text| text == id)
        });
        if found.is_some() {
            return found;
        }
        end = start;
    }
    None
}

fn detail(row: &Row, delivery: &Delivery<'_>) -> Option<Json> {
    let node = row.node()?;
    delivered::detail(delivered::held(delivery, node), node.number(), node)
}

/// For an item that the ring of rows has dropped.
pub(super) const GONE: &str =
    "this item is no longer held, or not shown by this query; search for it in the archive";

fn one_item(found: Result<Result<Option<Json>, Refusal>, Response>) -> Response {
    match found {
        Ok(Ok(Some(item))) => AsJson(item).into_response(),
        Ok(Ok(None)) => refuse(StatusCode::NOT_FOUND, GONE),
        Ok(Err((status, sentence))) => refuse(status, sentence),
        Err(response) => response,
    }
}

/// The licence, for clients that ask before they show anything.
///
/// ```text
/// {"license": "Apache-2.0", "edition": "open source", "valid": true, "expiration": null, "nodes": null}
/// ```
/// No date and no count of nodes bounds it.
pub(super) async fn license() -> AsJson<Json> {
    AsJson(json!({
        "license": env!("CARGO_PKG_LICENSE"),
        "edition": "open source",
        "valid": true,
        "expiration": null,
        "nodes": null,
    }))
}

pub(super) async fn total_streams(Extract(state): Extract<State>) -> Response {
    if let Some(browse) = state.view.indexed.get().cloned() {
        let now = state.view.clock.now();
        let counted = aside(move || browse.streams(now, indexed::PATIENCE)).await;
        return match counted {
            Ok(Ok(streams)) => AsJson(json!(streams)).into_response(),
            Ok(Err(error)) => refuse(StatusCode::BAD_GATEWAY, error.to_string()),
            Err(response) => response,
        };
    }
    let counts = state.view.run.counts();
    let streams = counts.map(|counts| counts["streams"].clone());
    let streams = streams.unwrap_or_else(|| json!(state.view.counters.now().streams));
    AsJson(streams).into_response()
}

pub(super) async fn download(
    Extract(state): Extract<State>,
    Named(stream): Named<String>,
    Asked(ask): Asked<Ask>,
) -> Response {
    let worker = ask.worker.clone();
    send_stream(state, worker, stream, ask).await
}

pub(super) async fn download_of_worker(
    Extract(state): Extract<State>,
    Named((worker, stream)): Named<(String, String)>,
    Asked(ask): Asked<Ask>,
) -> Response {
    send_stream(state, worker, stream, ask).await
}

/// Answers with the stream as an attachment; the file is made beside and then sent, so that a stream
/// that is gone is an error and not half a file.
async fn send_stream(state: State, worker: String, stream: String, ask: Ask) -> Response {
    let Some(name) = StreamName::parse(&stream) else {
        return refuse(StatusCode::BAD_REQUEST, "this is no name of a stream");
    };
    let made = aside(move || {
        let mut bytes = Vec::new();
        let source = state.view.source_of_packets(&ask.place)?;
        let wanted = Stream::asked(&worker, name, &ask);
        let written = write_stream(&state.view, &source, wanted, &mut bytes);
        let written = written.map_err(|sentence| (StatusCode::NOT_FOUND, sentence));
        written.map(|_| bytes)
    });
    match made.await {
        Ok(Ok(bytes)) => {
            let attachment = format!("attachment; filename=\"{name}\"");
            let headers = [
                (
                    header::CONTENT_TYPE,
                    "application/vnd.tcpdump.pcap".to_owned(),
                ),
                (header::CONTENT_DISPOSITION, attachment),
            ];
            (headers, bytes).into_response()
        }
        Ok(Err((status, sentence))) => refuse(status, sentence),
        Err(response) => response,
    }
}

/// A stream whose packets are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream<'a> {
    /// As its item names it; empty for the only one.
    worker: &'a str,
    name: StreamName,
    /// The run, where that is not the present one alone.
    run: Option<u64>,
    /// Number of an item of it, in an archive.
    near: Option<u64>,
}

impl<'a> Stream<'a> {
    pub(super) fn asked(worker: &'a str, name: StreamName, ask: &Ask) -> Stream<'a> {
        Stream {
            worker,
            name,
            run: ask.run,
            near: ask.n,
        }
    }
}

/// The packets of a stream.
pub(super) fn write_stream(
    view: &View,
    source: &Source,
    wanted: Stream<'_>,
    out: &mut dyn std::io::Write,
) -> Result<u64, String> {
    let Stream { worker, name, .. } = wanted;
    match source {
        Source::Archive(_) | Source::Nothing if wanted.run.is_some() => {
            Err("run is for rows of the spool; streams of a store are named by n".to_owned())
        }
        Source::Archive(browse) => {
            shows_stream(view, browse, name, wanted.near)?;
            browse.stream_pcap(worker, name, wanted.near, out)
        }
        Source::Nothing => Err(format!("no item of {name} is here")),
        Source::Rows => match (wanted.run, worker) {
            (Some(run), worker) => {
                view.shows_stream_of(worker, run, name)?;
                view.run.stream_pcap_of_run(worker, run, name, out)
            }
            (None, "") => {
                view.shows_streams(&[name])?;
                view.run.stream_pcap(name, out)
            }
            (None, worker) => {
                view.shows_streams(&[name])?;
                view.run.stream_pcap_of(worker, name, out)
            }
        },
    }
}

/// Whether what is imposed lets the packets of a stream of an archive leave: that of the item numbered
/// `near`.
fn shows_stream(
    view: &View,
    browse: &Browse,
    name: StreamName,
    near: Option<u64>,
) -> Result<(), String> {
    view.imposed.lets_packets()?;
    let Some(query) = view.imposed.query() else {
        return Ok(());
    };
    let near =
        near.ok_or("while tap.globalFilter is in force, name one of the stream's items (n)")?;
    let item = browse.item(near).map_err(|error| error.to_string())?;
    match item.stream == name && query.matches(item.node(), view.clock.now()) == kfl::Verdict::Match
    {
        true => Ok(()),
        false => Err(delivered::hidden(&name.to_string())),
    }
}

pub(super) async fn packets_of(
    Extract(state): Extract<State>,
    Named(stream): Named<String>,
    Asked(ask): Asked<Ask>,
) -> Response {
    let Some(name) = StreamName::parse(&stream) else {
        return refuse(StatusCode::BAD_REQUEST, "this is no name of a stream");
    };
    let made = aside(move || {
        let mut front = packets::Front::default();
        let source = state.view.source_of_packets(&ask.place)?;
        let wanted = Stream::asked(&ask.worker, name, &ask);
        match write_stream(&state.view, &source, wanted, &mut front) {
            Err(sentence) if !front.is_cut() => Err((StatusCode::NOT_FOUND, sentence)),
            _ => Ok(packets::table(&front)),
        }
    });
    match made.await {
        Ok(Ok(table)) => AsJson(table).into_response(),
        Ok(Err((status, sentence))) => refuse(status, sentence),
        Err(response) => response,
    }
}

/// Slots of a timeline when none are asked for.
const SLOTS: usize = 120;

pub(super) async fn timeline(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let slots = ask.limit.unwrap_or(SLOTS);
    summed(state, ask, move |summary, _| Ok(summary.timeline(slots))).await
}

pub(super) async fn groups(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let limit = ask.limit.unwrap_or(200).min(MAX_LIMIT);
    summed(state, ask, move |summary, by| {
        summary.groups(by, limit).ok_or_else(|| {
            format!(
                "items are not grouped by {by:?}; by may be {}",
                GROUPINGS.join(", ")
            )
        })
    })
    .await
}

pub(super) async fn map(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let limit = ask.limit.unwrap_or(500).min(MAX_LIMIT);
    summed(state, ask, move |summary, by| {
        let by = MapBy::named(by).ok_or_else(|| {
            let known = MapBy::ALL.map(MapBy::name).join(", ");
            format!("the map is not drawn by {by:?}; by may be {known}")
        })?;
        Ok(summary.map(by, limit))
    })
    .await
}

/// Answers out of the summary of a filter at a place, in the manner that `by` asks for.
async fn summed(
    state: State,
    ask: Ask,
    read: impl FnOnce(&Summary, &str) -> Result<Json, String> + Send + 'static,
) -> Response {
    let query = match state.view.query(&ask.q) {
        Ok(query) => query,
        Err(error) => return refuse_query(&ask.q, &error),
    };
    let made = aside_for(move |asker| {
        let query = state.view.query_of(&ask.place, query);
        let summary = state.summaries.of(&state.view, &ask.place, &query, asker)?;
        let summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
        read(&summary, &ask.by).map_err(|sentence| (StatusCode::BAD_REQUEST, sentence))
    });
    match made.await {
        Ok(Ok(answer)) => AsJson(answer).into_response(),
        Ok(Err((status, sentence))) => refuse(status, sentence),
        Err(response) => response,
    }
}

/// The fields that lists show as method, status and summary, by the short name of the protocol.
pub(super) async fn columns() -> AsJson<Json> {
    let all = dissect::PROTOCOLS.iter().flat_map(|protocol| {
        let columns = protocol.columns();
        let shown = json!({
            "method": columns.method, "status": columns.status, "summary": columns.summary,
        });
        let kinds = protocol.kinds().iter();
        kinds.map(move |kind| (kind.abbr.to_owned(), shown.clone()))
    });
    AsJson(Json::Object(all.collect()))
}

pub(super) async fn fields() -> AsJson<Json> {
    let all: Vec<Json> = dissect::fields()
        .map(|field| json!({"path": field.path, "type": format!("{:?}", field.kind), "doc": field.doc}))
        .collect();
    AsJson(json!(all))
}

pub(super) async fn scripts(Extract(state): Extract<State>) -> AsJson<Json> {
    AsJson(state.view.run.scripts())
}

/// What a change led to.
pub(super) fn answered(done: Result<Result<Json, String>, Response>) -> Response {
    match done {
        Ok(Ok(json)) => AsJson(json).into_response(),
        Ok(Err(sentence)) => refuse(StatusCode::BAD_REQUEST, sentence),
        Err(response) => response,
    }
}

/// What the run knows of its past, with what was lost since it began; or what a store does. A spool
/// knows nothing.
pub(super) async fn coverage(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    if let Err((status, sentence)) = state.view.covers(&ask.place) {
        return refuse(status, sentence);
    }
    let made = aside(move || {
        let mut told = match ask.place.as_str() {
            "" | search::LIVE => state.view.run.coverage()?,
            search::SPOOL => json!({}),
            store => state.covers.of(&state.view, store)?,
        };
        for list in ["captured", "lost", "reels"] {
            if !told[list].is_array() {
                told[list] = json!([]);
            }
        }
        Ok(told)
    });
    answered(made.await)
}

pub(super) async fn console(
    Extract(state): Extract<State>,
    Asked(ask): Asked<Ask>,
) -> AsJson<Json> {
    AsJson(state.view.run.console(ask.after.unwrap_or_default()))
}
