//! The routes of scripts that are pushed, and of their console (`pushed` keeps them).

use std::sync::Arc;
use std::time::Duration;

use axum::Json as AsJson;
use axum::extract::State as Extract;
use axum::extract::ws::{Message, WebSocket};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::api::{Asked, Named, Sent, State, aside, refuse};
use super::pushed::{NotTaken, Pushed};
use super::socket::Socket;
use crate::kfl;
use crate::pipeline::RECORDING_KFL;

/// Time between two looks at the console.
const PACE: Duration = Duration::from_millis(300);

#[derive(Debug, Deserialize)]
pub(super) struct Script {
    #[serde(default)]
    title: String,
    code: String,
    file: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Done {
    files: Option<Vec<String>>,
}

fn refused(why: &NotTaken) -> Response {
    let status = match why {
        NotTaken::Wrong(_) => StatusCode::BAD_REQUEST,
        NotTaken::Missing(_) => StatusCode::NOT_FOUND,
        NotTaken::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refuse(status, why.to_string())
}

/// Does something with what was pushed.
async fn with(
    state: State,
    act: impl FnOnce(&Pushed) -> Result<Json, NotTaken> + Send + 'static,
) -> Response {
    let Some(pushed) = state.view.pushed.clone() else {
        let sentence = "scripts are not pushed to this run; put them into a folder that scripting.source names";
        return refuse(StatusCode::FORBIDDEN, sentence);
    };
    match aside(move || act(&pushed)).await {
        Ok(Ok(json)) => AsJson(json).into_response(),
        Ok(Err(why)) => refused(&why),
        Err(response) => response,
    }
}

pub(super) async fn add(Extract(state): Extract<State>, Sent(script): Sent<Script>) -> Response {
    with(state, move |pushed| {
        let number = pushed.add(script.file.as_deref(), &script.title, &script.code)?;
        Ok(json!({"index": number}))
    })
    .await
}

pub(super) async fn replace(
    Extract(state): Extract<State>,
    Named(index): Named<u64>,
    Sent(script): Sent<Script>,
) -> Response {
    with(state, move |pushed| {
        pushed.replace(index, &script.code)?;
        Ok(json!({"index": index}))
    })
    .await
}

pub(super) async fn remove(Extract(state): Extract<State>, Named(index): Named<u64>) -> Response {
    with(state, move |pushed| {
        pushed.remove(index)?;
        Ok(json!({"index": index}))
    })
    .await
}

pub(super) async fn done(
    Extract(state): Extract<State>,
    Sent(done): Sent<Option<Done>>,
) -> Response {
    with(state, move |pushed| {
        let files = done.and_then(|done| done.files);
        Ok(json!({"scripts": pushed.done(files.as_deref())?}))
    })
    .await
}

/// Names of env with their values, but those of secrets.
pub(super) async fn env(Extract(state): Extract<State>) -> Response {
    with(state, |pushed| {
        let masked = pushed.env().into_iter().map(|(name, value)| {
            let value = match crate::script::console::is_secret(&name) {
                true => "********".into(),
                false => value,
            };
            (name, value)
        });
        Ok(Json::Object(masked.collect()))
    })
    .await
}

pub(super) async fn set_env(
    Extract(state): Extract<State>,
    Sent(env): Sent<Map<String, Json>>,
) -> Response {
    if let Some(text) = env.get(RECORDING_KFL).and_then(Json::as_str)
        && !text.trim().is_empty()
        && let Err(error) = kfl::compile(text, &state.view.schema)
    {
        return super::queries::refuse_query(text, &error);
    }
    with(state, move |pushed| {
        let names = env.len();
        pushed.set_env(env)?;
        Ok(json!({"names": names}))
    })
    .await
}

/// The console, a line a message: what is kept, then what comes.
pub(super) async fn logs(
    Extract(state): Extract<State>,
    socket: Socket,
    Asked(ask): Asked<super::api::Ask>,
) -> Response {
    let after = ask.after.unwrap_or_default();
    socket.open(4096, move |socket| follow(socket, state, after))
}

async fn follow(mut socket: WebSocket, state: State, mut after: u64) {
    let mut stopped = state.stopped.clone();
    loop {
        let view = Arc::clone(&state.view);
        let Ok(told) = tokio::task::spawn_blocking(move || view.run.console(after)).await else {
            return;
        };
        for line in told["lines"].as_array().into_iter().flatten() {
            after = after.max(line["n"].as_u64().unwrap_or_default());
            let text = line["text"].as_str().unwrap_or_default();
            if socket.send(Message::text(text)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PACE) => {}
            said = socket.recv() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}
