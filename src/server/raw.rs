//! The raw capture of a node as it is read, and what older clients ask about names and pods.
//!
//! In: a node and a time. Out: a savefile while it is made, so that a spool of any size goes through.
//! Never: an answer that is cut off and looks whole: when packets fail in the middle, so does the
//! connection.

use std::io::{self, Write};

use axum::Json as AsJson;
use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::api::{Asked, State, aside, refuse};
use crate::time::Timestamp;

/// Bytes of one piece of a body.
const PIECE: usize = 256 << 10;

/// Pieces that wait to be sent.
const WAITING: usize = 4;

#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    #[serde(default)]
    node: String,
    from: Option<i64>,
    to: Option<i64>,
}

/// A moment of a parameter, milliseconds since 1970.
fn moment(millis: Option<i64>, otherwise: i64) -> Timestamp {
    let nanos = millis.map_or(otherwise, |millis| millis.saturating_mul(1_000_000));
    Timestamp::from_nanos(nanos)
}

/// `GET /pcapdump`.
pub(super) async fn dump(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    if let Err(sentence) = state.view.imposed.lets_all_packets() {
        return refuse(StatusCode::FORBIDDEN, sentence);
    }
    let (from, to) = (moment(ask.from, i64::MIN), moment(ask.to, i64::MAX));
    let (pieces, body) = mpsc::channel(WAITING);
    let (said, first) = tokio::sync::oneshot::channel();
    let run = state.view.run.clone();
    tokio::task::spawn_blocking(move || {
        let mut out = Pieces {
            pieces,
            first: Some(said),
            bytes: Vec::with_capacity(PIECE),
        };
        let written = run.raw(&ask.node, from, to, &mut out);
        out.end(written.map(drop));
    });
    match first.await {
        Ok(Ok(())) => {
            let pieces = futures_util::stream::unfold(body, |mut body| async move {
                let piece: io::Result<Bytes> = body.recv().await?;
                Some((piece, body))
            });
            let headers = [
                (header::CONTENT_TYPE, "application/vnd.tcpdump.pcap"),
                (
                    header::CONTENT_DISPOSITION,
                    "attachment; filename=\"capture.pcapng\"",
                ),
            ];
            (headers, Body::from_stream(pieces)).into_response()
        }
        Ok(Err(sentence)) => refuse(StatusCode::NOT_FOUND, sentence),
        Err(_) => refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the packets cannot be read",
        ),
    }
}

/// Hands on what is written in pieces; says once whether it began well.
struct Pieces {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    first: Option<tokio::sync::oneshot::Sender<Result<(), String>>>,
    bytes: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        if let Some(first) = self.first.take() {
            let _ = first.send(Ok(()));
        }
        let piece = Bytes::from(std::mem::take(&mut self.bytes));
        let sent = self.pieces.blocking_send(Ok(piece));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn end(mut self, written: Result<(), String>) {
        match (written, self.first.take()) {
            // Nothing has left yet, so it can be told in words.
            (Err(sentence), Some(first)) => {
                let _ = first.send(Err(sentence));
            }
            (Err(sentence), None) => {
                let _ = self.pieces.blocking_send(Err(io::Error::other(sentence)));
            }
            (Ok(()), first) => {
                self.first = first;
                let _ = self.send();
            }
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.bytes.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(taken);
        if self.bytes.len() == PIECE {
            self.send()?;
            self.bytes.reserve(PIECE);
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `GET /pods/targeted`.
pub(super) async fn targeted(Extract(state): Extract<State>) -> AsJson<Json> {
    AsJson(state.view.run.targeted()["targets"].take())
}

/// `POST /pods/worker`, by which workers of another program report themselves.
pub(super) async fn worker() -> Response {
    refuse(
        StatusCode::GONE,
        "workers report themselves over their own connection: tapedeck worker --hub HOST:PORT",
    )
}

/// `GET /pcaps/name-resolution-history`.
pub(super) async fn history(Extract(state): Extract<State>) -> Response {
    match aside(move || state.view.run.history()).await {
        Ok(history) => AsJson(history).into_response(),
        Err(response) => response,
    }
}
