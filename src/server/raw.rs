//! Packets of many streams: the raw capture of a node as it is read, and drop-in archives.
//!
//! In: a node and a time, or a query or names of streams. Out: a savefile while it is made, so that a
//! spool of any size goes through; a `.tar.gz` with a folder for each node. Never: an answer that is
//! cut off and looks whole: when packets fail in the middle, so does the connection.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use axum::Json as AsJson;
use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::api::{Asked, State, aside, refuse};
use super::queries::refuse_query;
use super::{Run, View};
use crate::item::flat::Flat;
use crate::item::{Node, lookup};
use crate::kfl;
use crate::packet::StreamName;
use crate::time::Timestamp;

/// Bytes of one piece of a body.
const PIECE: usize = 256 << 10;

/// Pieces that wait to be sent.
const WAITING: usize = 4;

/// Streams of one archive.
const MAX_STREAMS: usize = 100_000;

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

/// `GET /pcaps/name-resolution-history`.
pub(super) async fn history(Extract(state): Extract<State>) -> Response {
    match aside(move || state.view.run.history()).await {
        Ok(history) => AsJson(history).into_response(),
        Err(response) => response,
    }
}

#[derive(Debug, Deserialize)]
struct Merge {
    #[serde(default)]
    query: String,
    #[serde(default)]
    pcaps: BTreeMap<String, Vec<String>>,
}

/// `POST /pcaps/merge`: the streams of `pcaps` by worker, or all that `query` matches.
pub(super) async fn merge(Extract(state): Extract<State>, body: String) -> Response {
    let merge: Merge = match serde_json::from_str(&body) {
        Ok(merge) => merge,
        Err(error) => {
            let sentence = format!("the body is not as it must be: {error}");
            return refuse(StatusCode::BAD_REQUEST, sentence);
        }
    };
    let query = match kfl::compile(&merge.query, &state.view.schema) {
        Ok(query) => query,
        Err(error) => return refuse_query(&merge.query, &error),
    };
    let made = aside(move || {
        let wanted = match merge.pcaps.is_empty() {
            true => matching(&state.view, &query)?,
            false => named(&state.view, merge.pcaps)?,
        };
        archive(&*state.view.run, &wanted, state.view.clock.now())
    });
    let (name, file) = match made.await {
        Ok(Ok(made)) => made,
        Ok(Err(sentence)) => return refuse(StatusCode::NOT_FOUND, sentence),
        Err(response) => return response,
    };
    let file = Arc::new(file);
    let pieces = futures_util::stream::unfold(file, |file| async move {
        let reading = file.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE];
            let length = (&*reading).read(&mut piece)?;
            piece.truncate(length);
            Ok::<_, io::Error>(piece)
        })
        .await;
        match read {
            Ok(Ok(piece)) if piece.is_empty() => None,
            Ok(read) => Some((read.map(Bytes::from), file)),
            Err(error) => Some((Err(io::Error::other(error)), file)),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/gzip".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// Streams of a worker, with its node.
#[derive(Default)]
struct OfWorker {
    node: String,
    streams: BTreeSet<StreamName>,
}

/// Streams of all rows that match, by worker.
fn matching(view: &View, query: &kfl::Query) -> Result<BTreeMap<String, OfWorker>, String> {
    view.run.look(query);
    let now = view.clock.now();
    let mut found: BTreeMap<String, OfWorker> = BTreeMap::new();
    let mut count = 0;
    each_row(view, &mut |row| {
        if query.matches(row, now) != kfl::Verdict::Match {
            return Ok(());
        }
        let Some(stream) = stream_of(row) else {
            return Ok(());
        };
        let of = found.entry(text_of(row, "worker")).or_default();
        of.node = text_of(row, "node.name");
        count += usize::from(of.streams.insert(stream));
        match count > MAX_STREAMS {
            true => Err(format!(
                "more than {MAX_STREAMS} streams match; narrow the query"
            )),
            false => Ok(()),
        }
    })?;
    match found.is_empty() {
        true => Err("no row that is held matches; look for it in the archive".to_owned()),
        false => Ok(found),
    }
}

fn text_of(row: Flat<'_>, path: &str) -> String {
    let text = lookup(row, path).and_then(Node::text);
    text.unwrap_or_default().into_owned()
}

fn stream_of(row: Flat<'_>) -> Option<StreamName> {
    StreamName::parse(&text_of(row, "stream"))
}

/// Calls `each` for every row.
fn each_row(
    view: &View,
    each: &mut dyn FnMut(Flat<'_>) -> Result<(), String>,
) -> Result<(), String> {
    view.rows
        .try_each(|row| row.node().map_or(Ok(()), &mut *each))
}

/// Streams that a client names, by worker.
fn named(
    view: &View,
    pcaps: BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<String, OfWorker>, String> {
    let mut found: BTreeMap<String, OfWorker> = BTreeMap::new();
    for (worker, files) in pcaps {
        let of = found.entry(worker.clone()).or_default();
        of.node.clone_from(&worker);
        for file in files.iter().take(MAX_STREAMS) {
            let name = StreamName::parse(file);
            of.streams
                .insert(name.ok_or_else(|| format!("{file:?} is no name of a stream"))?);
        }
    }
    each_row(view, &mut |row| {
        if let Some(of) = found.get_mut(&text_of(row, "worker")) {
            of.node = text_of(row, "node.name");
        }
        Ok(())
    })?;
    Ok(found)
}

/// The archive, in a file without a name, at its start.
///
/// ```text
/// NODE_IP/UNIX.pcap
/// NODE_IP/name_resolution_history.json
/// ```
fn archive(
    run: &dyn Run,
    wanted: &BTreeMap<String, OfWorker>,
    now: Timestamp,
) -> Result<(String, File), String> {
    let failed = |error: io::Error| format!("the archive cannot be made: {error}");
    let unix = now.secs();
    let file = tempfile::tempfile().map_err(failed)?;
    let gz = GzEncoder::new(file, Compression::fast());
    let mut tar = tar::Builder::new(gz);
    let history = serde_json::to_vec(&run.history()).unwrap_or_default();
    let mut why = String::new();
    let mut any = false;
    for (worker, of) in wanted {
        let streams: Vec<StreamName> = of.streams.iter().copied().collect();
        let mut packets = tempfile::tempfile().map_err(failed)?;
        if let Err(sentence) = run.streams_pcap_of(worker, &streams, &mut packets) {
            why = format!("{}: {sentence}", of.node);
            continue;
        }
        any = true;
        let length = packets.seek(SeekFrom::End(0)).map_err(failed)?;
        packets.seek(SeekFrom::Start(0)).map_err(failed)?;
        let ip = worker
            .rsplit_once(':')
            .map_or(worker.as_str(), |(ip, _)| ip);
        let folder: String = format!("{}_{ip}", of.node)
            .chars()
            .map(|c| match c.is_ascii_alphanumeric() || "._-".contains(c) {
                true => c,
                false => '_',
            })
            .collect();
        let mut add = |name: String, length: u64, content: &mut dyn Read| {
            let mut head = tar::Header::new_gnu();
            head.set_size(length);
            head.set_mode(0o644);
            head.set_mtime(u64::try_from(unix).unwrap_or_default());
            tar.append_data(&mut head, name, content)
        };
        add(format!("{folder}/{unix}.pcap"), length, &mut packets).map_err(failed)?;
        let name = format!("{folder}/name_resolution_history.json");
        add(name, history.len() as u64, &mut history.as_slice()).map_err(failed)?;
    }
    if !any {
        return Err(why);
    }
    let mut file = tar
        .into_inner()
        .and_then(GzEncoder::finish)
        .map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok((format!("tapedeck_{unix}.tar.gz"), file))
}
