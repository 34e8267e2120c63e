//! What pages ask of the files of scripts, and of scripts being on or off.

use std::sync::Arc;

use axum::Json as AsJson;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use super::api::{Asked, State, aside, refuse};
use super::script_files::Refusal;

/// Checks at a time: each is a process.
const CHECKS: usize = 2;

#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    #[serde(default)]
    path: String,
    #[serde(default)]
    sha256: String,
    on: Option<bool>,
}

/// Bounds the checks that run at the same time.
#[derive(Debug, Clone)]
pub(super) struct Checks(Arc<Semaphore>);

impl Default for Checks {
    fn default() -> Checks {
        Checks(Arc::new(Semaphore::new(CHECKS)))
    }
}

pub(super) fn answered(done: Result<Result<Json, Refusal>, Response>) -> Response {
    match done {
        Ok(Ok(answer)) => AsJson(answer).into_response(),
        Ok(Err(Refusal::Missing(sentence))) => refuse(StatusCode::NOT_FOUND, sentence),
        Ok(Err(Refusal::Forbidden(sentence))) => refuse(StatusCode::FORBIDDEN, sentence),
        Ok(Err(Refusal::Conflict(sentence))) => refuse(StatusCode::CONFLICT, sentence),
        Ok(Err(Refusal::Wrong(sentence))) => refuse(StatusCode::BAD_REQUEST, sentence),
        Err(response) => response,
    }
}

pub(super) async fn files(Extract(state): Extract<State>) -> Response {
    answered(aside(move || Ok(state.view.scripts.list())).await)
}

pub(super) async fn source(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    answered(aside(move || state.view.scripts.source(&ask.path)).await)
}

pub(super) async fn types(Extract(state): Extract<State>) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (headers, state.view.scripts.types.clone()).into_response()
}

pub(super) async fn check(
    Extract(state): Extract<State>,
    Asked(ask): Asked<Ask>,
    code: String,
) -> Response {
    let Ok(_one) = state.checks.0.clone().acquire_owned().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the dashboard is ending");
    };
    answered(aside(move || state.view.scripts.check(&ask.path, &code)).await)
}

pub(super) async fn save(
    Extract(state): Extract<State>,
    Asked(ask): Asked<Ask>,
    code: String,
) -> Response {
    answered(aside(move || state.view.scripts.save(&ask.path, &ask.sha256, &code)).await)
}

pub(super) async fn remove(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    answered(aside(move || state.view.scripts.remove(&ask.path, &ask.sha256)).await)
}

pub(super) async fn switch(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let Some(on) = ask.on else {
        return refuse(StatusCode::BAD_REQUEST, "on must be true or false");
    };
    match state.view.run.switch_script(&ask.path, on) {
        Ok(()) => AsJson(json!({"ok": true})).into_response(),
        Err(sentence) => refuse(StatusCode::NOT_FOUND, sentence),
    }
}
