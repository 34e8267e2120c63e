//! Slack: incoming webhooks, and a bot with files.
//!
//! In: notes, fields, files. Out: calls of Slack's Web API (`files.getUploadURLExternal`,
//! `chat.postMessage`, `files.completeUploadExternal`), or one post to an incoming webhook. Never:
//! `files.upload`, which Slack has retired.

use serde_json::{Value as Json, json};

use super::super::web::Request;
use super::{Vendors, encoded, json_of, refusal, send_patiently};
use crate::script::host::Note;
use crate::time::Timestamp;

/// A file to share.
pub(crate) struct Shared {
    /// Its name in the channel.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) bytes: Vec<u8>,
}

impl Vendors {
    /// Posts a note through an incoming webhook.
    pub(crate) fn slack(&self, url: &str, note: &Note, now: Timestamp) -> Result<(), String> {
        let body = json!({"attachments": [attachment(note, &[], now)]});
        let request = Request::new("POST", url).body("application/json", body.to_string());
        let answer = send_patiently(&self.web, &request)?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(refusal("Slack", &answer))
    }

    /// Uploads files, posts a note, shares the files in the channel; answers the channel's id and the
    /// message's time stamp as Slack gave them.
    pub(crate) fn slack_bot(
        &self,
        token: &str,
        channel: &str,
        note: &Note,
        fields: &[(String, String)],
        files: &[Shared],
        now: Timestamp,
    ) -> Result<(String, String), String> {
        let mut uploaded = Vec::new();
        for file in files {
            uploaded.push(json!({"id": self.upload(token, file)?, "title": file.name}));
        }
        let message = json!({"channel": channel, "attachments": [attachment(note, fields, now)]});
        let posted = self.slack_call(token, "chat.postMessage", &message)?;
        let text = |name: &str| posted.get(name).and_then(Json::as_str).unwrap_or_default();
        let id = Some(text("channel")).filter(|id| !id.is_empty());
        let id = id.unwrap_or(channel).to_owned();
        let stamp = text("ts").to_owned();
        if !uploaded.is_empty() {
            let shared = json!({"files": uploaded, "channel_id": id});
            self.slack_call(token, "files.completeUploadExternal", &shared)?;
        }
        Ok((id, stamp))
    }

    /// Uploads a file that is not shared yet; answers its id.
    fn upload(&self, token: &str, file: &Shared) -> Result<String, String> {
        let method = "files.getUploadURLExternal";
        let form = format!(
            "filename={}&length={}",
            encoded(&file.name),
            file.bytes.len()
        );
        let request = Request::new("POST", format!("{}/{method}", self.options.slack))
            .header("Authorization", format!("Bearer {token}"))
            .body("application/x-www-form-urlencoded", form);
        let given = self.slack_answer(method, &request)?;
        let text = |name: &str| given.get(name).and_then(Json::as_str);
        let (Some(url), Some(id)) = (text("upload_url"), text("file_id")) else {
            return Err(format!(
                "Slack's answer to {method} names no place for the file"
            ));
        };
        let request =
            Request::new("POST", url).body("application/octet-stream", file.bytes.clone());
        let answer = send_patiently(&self.web, &request)?;
        if !answer.status.is_success() {
            return Err(refusal("Slack", &answer));
        }
        Ok(id.to_owned())
    }

    fn slack_call(&self, token: &str, method: &str, body: &Json) -> Result<Json, String> {
        let request = Request::new("POST", format!("{}/{method}", self.options.slack))
            .header("Authorization", format!("Bearer {token}"))
            .body("application/json; charset=utf-8", body.to_string());
        self.slack_answer(method, &request)
    }

    /// Slack says `ok: false` with status 200 when it refuses.
    fn slack_answer(&self, method: &str, request: &Request) -> Result<Json, String> {
        let answer = send_patiently(&self.web, request)?;
        let json = json_of("Slack", &answer)?;
        if json.get("ok").and_then(Json::as_bool) == Some(true) {
            return Ok(json);
        }
        let why = json.get("error").and_then(Json::as_str);
        Err(format!(
            "Slack refused {method}: {}",
            why.unwrap_or("no reason given")
        ))
    }
}

fn attachment(note: &Note, fields: &[(String, String)], now: Timestamp) -> Json {
    let mut shown: Vec<Json> = fields
        .iter()
        .map(|(title, value)| json!({"title": title, "value": value, "short": true}))
        .collect();
    shown.push(json!({"title": "Timestamp", "value": now.to_string(), "short": false}));
    json!({"pretext": note.pretext, "text": note.text, "color": note.color, "fields": shown})
}
