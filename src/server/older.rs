//! Routes that older clients use and pages do not: scripts by index, their console as a socket, the
//! name history.
//!
//! Scripts are files here, so writing them needs what saving them from the editor needs.

use std::time::Duration;

use axum::Json as AsJson;
use axum::extract::State as Extract;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::api::{Named, State, aside, refuse};
use super::script_files::Refusal;
use super::scripts::answered;

/// Time between two looks at the console.
const PACE: Duration = Duration::from_millis(300);

/// A script as older clients send it.
#[derive(Debug, Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    title: String,
    code: String,
}

#[expect(clippy::result_large_err, reason = "the answer is sent as it is")]
fn sent(body: &str) -> Result<Sent, Response> {
    serde_json::from_str(body).map_err(|error| {
        let sentence = format!("a script is JSON with title and code: {error}");
        refuse(StatusCode::BAD_REQUEST, sentence)
    })
}

/// The file of the script with this index.
fn path_of(state: &State, index: u64) -> Result<String, Refusal> {
    let scripts = state.view.run.scripts();
    let mut all = scripts.as_array().into_iter().flatten();
    let found = all.find(|script| script["index"].as_u64() == Some(index));
    let path = found.and_then(|script| script["path"].as_str());
    path.map(str::to_owned)
        .ok_or_else(|| Refusal::Missing(format!("there is no script {index}; /scripts lists them")))
}

/// A file name out of a title: `Report 5xx` is `report_5xx.js`.
fn name_of(title: &str) -> String {
    let mut name = String::new();
    for c in title.trim().chars().take(60) {
        match c.is_ascii_alphanumeric() {
            true => name.push(c.to_ascii_lowercase()),
            false if name.ends_with('_') || name.is_empty() => {}
            false => name.push('_'),
        }
    }
    let name = name.trim_end_matches('_');
    format!("{}.js", if name.is_empty() { "script" } else { name })
}

/// A new script, in the first folder.
pub(super) async fn add_script(Extract(state): Extract<State>, body: String) -> Response {
    let script = match sent(&body) {
        Ok(script) => script,
        Err(refused) => return refused,
    };
    answered(
        aside(move || {
            let files = &state.view.scripts;
            let folders = files.list()["folders"].clone();
            let folder = folders[0].as_str().ok_or_else(|| {
                Refusal::Wrong("scripting.source names no folder to put it into".to_owned())
            })?;
            let path = format!(
                "{}/{}",
                folder.trim_end_matches('/'),
                name_of(&script.title)
            );
            files.save(&path, "", &script.code)
        })
        .await,
    )
}

/// Other text for a script.
pub(super) async fn put_script(
    Extract(state): Extract<State>,
    Named(index): Named<u64>,
    body: String,
) -> Response {
    let script = match sent(&body) {
        Ok(script) => script,
        Err(refused) => return refused,
    };
    answered(
        aside(move || {
            let path = path_of(&state, index)?;
            let files = &state.view.scripts;
            let before = files.source(&path)?;
            let digest = before["sha256"].as_str().unwrap_or_default();
            files.save(&path, digest, &script.code)
        })
        .await,
    )
}

/// Removes a script.
pub(super) async fn delete_script(
    Extract(state): Extract<State>,
    Named(index): Named<u64>,
) -> Response {
    answered(
        aside(move || {
            let path = path_of(&state, index)?;
            let files = &state.view.scripts;
            let before = files.source(&path)?;
            files.remove(&path, before["sha256"].as_str().unwrap_or_default())
        })
        .await,
    )
}

/// Names that scripts find in `env`; values stay here.
pub(super) async fn env(Extract(state): Extract<State>) -> AsJson<Json> {
    let names = state.view.scripts.env.iter();
    let masked: serde_json::Map<String, Json> =
        names.map(|name| (name.clone(), json!("***"))).collect();
    AsJson(Json::Object(masked))
}

/// The name history, as `name_resolution_history.json` holds it.
pub(super) async fn names(Extract(state): Extract<State>) -> Response {
    let told = aside(move || match &state.view.targets {
        Some(desk) => desk.names(),
        None => json!({}),
    });
    match told.await {
        Ok(told) => AsJson(told).into_response(),
        Err(response) => response,
    }
}

/// The console as a socket: one line of it is one message.
pub(super) async fn logs(Extract(state): Extract<State>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_message_size(4096)
        .on_upgrade(move |socket| tell(socket, state))
}

async fn tell(mut socket: WebSocket, mut state: State) {
    let mut after = 0;
    loop {
        let run = state.view.run.clone();
        let Ok(lines) = tokio::task::spawn_blocking(move || run.console(after)).await else {
            return;
        };
        for line in lines["lines"].as_array().into_iter().flatten() {
            after = line["n"].as_u64().unwrap_or(after).max(after);
            let text = Message::Text(line.to_string().into());
            if socket.send(text).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PACE) => {}
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            _ = state.stopped.wait_for(|stop| *stop) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_gives_a_file_name() {
        for (title, name) in [
            ("Report 5xx!", "report_5xx.js"),
            ("../../etc/passwd", "etc_passwd.js"),
            ("  ", "script.js"),
            ("a", "a.js"),
        ] {
            assert_eq!(name_of(title), name);
        }
    }
}
