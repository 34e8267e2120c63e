//! Several messages in one request, as the revisions up to 2025-03-26 have them.
//!
//! In: an array of messages. Out: an array of the answers to the requests among them, in their order; nothing
//! when there is none. Never: more than [`MAX_MESSAGES`], `initialize` among others.
//!
//! Standard: JSON-RPC 2.0, section 6; Model Context Protocol 2025-03-26, Base Protocol (Batching), Lifecycle
//! and Transports (Sending Messages to the Server). Revision 2025-06-18 took batches out, and brought the
//! header by which its clients are known.

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use rmcp::model::{ErrorData, JsonRpcError};
use serde_json::{Value as Json, json};

use super::{Service, one};

/// Messages of one batch: each may take as long as a call, and they are answered one after the other.
const MAX_MESSAGES: usize = 32;

/// Bytes of the answer to one message, far beyond what `fit` leaves.
const MAX_ANSWER: usize = 4 << 20;

/// The last revision with batches; a request without the header is of it or of an older one.
const LAST: &str = "2025-03-26";

/// The messages of a body that is a batch; `None` when it is none, or of a revision without batches.
pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Option<Result<Vec<Json>, ErrorData>> {
    let version = headers.get("mcp-protocol-version");
    let knows_batches = version.is_none_or(|version| version.as_bytes() <= LAST.as_bytes());
    if !knows_batches || body.trim_ascii_start().first() != Some(&b'[') {
        return None;
    }
    // What is no JSON is told as of a single message.
    let messages: Vec<Json> = serde_json::from_slice(body).ok()?;
    let wrong = |sentence: String| Some(Err(ErrorData::invalid_request(sentence, None)));
    match messages.len() {
        0 => wrong("a batch has at least one message".to_owned()),
        1..=MAX_MESSAGES => Some(Ok(messages)),
        count => wrong(format!(
            "the batch has {count} messages, and {MAX_MESSAGES} is the most"
        )),
    }
}

/// Answers the messages of a batch, one after the other.
pub(super) async fn answer(service: &Service, parts: &Parts, messages: Vec<Json>) -> Response {
    let mut answers = Vec::new();
    for message in messages {
        if message["method"] == "initialize" {
            let sentence = "initialize stands alone, and in no batch".to_owned();
            let error = JsonRpcError::new(None, ErrorData::invalid_request(sentence, None));
            let mut error = json!(error);
            error["id"] = message["id"].clone();
            answers.push(error);
            continue;
        }
        let answer = one(service, parts.clone(), message.to_string().into()).await;
        match answer.status() {
            StatusCode::OK | StatusCode::BAD_REQUEST => {}
            // A notification, or an answer to nothing that was asked.
            StatusCode::ACCEPTED => continue,
            // It is the request that is wrong, and not a message.
            _ => return answer,
        }
        let body = axum::body::to_bytes(answer.into_body(), MAX_ANSWER).await;
        let read = body
            .ok()
            .and_then(|body| serde_json::from_slice(&body).ok());
        answers.push(read.unwrap_or_else(|| {
            let sentence = "the answer is too long for a batch; ask for it alone".to_owned();
            let mut error = json!(JsonRpcError::new(
                None,
                ErrorData::internal_error(sentence, None)
            ));
            error["id"] = message["id"].clone();
            error
        }));
    }
    match answers.is_empty() {
        true => StatusCode::ACCEPTED.into_response(),
        false => axum::Json(answers).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_read_of_the_revisions_that_have_batches() {
        let read = |version: Option<&'static str>, body: &'static str| {
            let mut headers = HeaderMap::new();
            if let Some(version) = version {
                headers.insert("mcp-protocol-version", version.parse().unwrap());
            }
            read(&headers, &Bytes::from_static(body.as_bytes())).map(|read| {
                read.map_or_else(
                    |error| error.message.into_owned(),
                    |all| all.len().to_string(),
                )
            })
        };
        assert_eq!(read(None, " [1, 2]").as_deref(), Some("2"));
        assert_eq!(read(Some("2025-03-26"), "[1]").as_deref(), Some("1"));
        assert_eq!(read(Some("2025-06-18"), "[1]"), None);
        assert_eq!(read(None, "{}"), None);
        assert_eq!(read(None, "[1"), None);
        assert!(read(None, "[]").unwrap().contains("at least one"));
        let many: &str = "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]";
        assert!(read(None, many).unwrap().contains("33 messages"));
    }
}
