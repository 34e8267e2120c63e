//! Streams of several nodes as one archive, in the form that older clients open.
//!
//! In: a query, or names of streams. Out: a `.tar.gz` with a folder for each node, in it the packets in
//! order of time and the names that the items have. Never: an archive whose packets are gone and that
//! looks whole; more streams than [`MAX_STREAMS`], or of stored reels [`MAX_STORED`] and [`MAX_BYTES`];
//! what is larger is refused with the command that has no such bound.
//!
//! ```text
//! <node>_<ip>/<unix>.pcap                       of the first second; one file for each link type
//! <node>_<ip>/name_resolution_history.json      {"<unix>": {"<ip>": {"FullAddress","Namespace"}}}
//! ```

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::Arc;

use ahash::RandomState;
use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::View;
use super::api::{Ask, Asked, Sent, State, aside, refuse};
use super::places::Source;
use super::queries::refuse_query;
use crate::deliver::NO_PACKETS_OF_QUERY;
use crate::investigate::Browse;
use crate::item::{Node, int_at, text_at};
use crate::kfl;
use crate::packet::savefile::pcap::{Precision, write_header, write_packet};
use crate::packet::savefile::{Entry, Records};
use crate::packet::{LinkType, MAX_SNAPLEN, StreamName};
use crate::time::Timestamp;

/// Streams of one answer.
const MAX_STREAMS: usize = 100_000;

/// Streams of one answer out of stored reels, each of which is looked for by itself.
const MAX_STORED: usize = 5000;

/// Bytes of packets out of stored reels; they are put in order in memory.
const MAX_BYTES: usize = 256 << 20;

/// Rows that are looked up at a time.
const STEP: usize = 2048;

/// Tables of names of one node.
const MAX_TABLES: usize = 1000;

/// Bytes of one piece of a body.
const PIECE: usize = 256 << 10;

/// What is refused for its size.
const TOO_MUCH: &str = "more matches than one download holds; narrow the filter or its time, or use: tapedeck export SRC --kfl FILTER -o FILE";

/// The packets of what matches, as an attachment.
pub(super) async fn matching(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    send(state, &ask.q, &ask.place, BTreeMap::new()).await
}

/// What a client wants: all that the query matches, or streams by worker.
#[derive(Debug, Deserialize)]
pub(super) struct Merge {
    #[serde(default)]
    query: String,
    #[serde(default)]
    pcaps: BTreeMap<String, Vec<String>>,
}

/// The streams of `pcaps` by worker, or all that `query` matches.
pub(super) async fn merge(Extract(state): Extract<State>, Sent(merge): Sent<Merge>) -> Response {
    send(state, &merge.query, "", merge.pcaps).await
}

async fn send(
    state: State,
    q: &str,
    place: &str,
    pcaps: BTreeMap<String, Vec<String>>,
) -> Response {
    let query = match state.view.query(q) {
        Ok(query) => query,
        Err(error) => return refuse_query(q, &error),
    };
    if let Err(sentence) = state.view.imposed.lets_packets() {
        return refuse(StatusCode::FORBIDDEN, sentence);
    }
    if query.redacts() {
        return refuse(StatusCode::BAD_REQUEST, NO_PACKETS_OF_QUERY);
    }
    let place = place.to_owned();
    let made = aside(move || {
        let view = &state.view;
        let source = view.source(&place).map_err(|(_, sentence)| sentence)?;
        let query = view.query_of(&place, query);
        let nodes = match pcaps.is_empty() {
            true => found(view, &source, &query, view.clock.now())?,
            false => named(view, &pcaps)?,
        };
        archive(view, &source, &nodes)
    });
    let (second, file) = match made.await {
        Ok(Ok(made)) => made,
        Ok(Err(sentence)) => return refuse(StatusCode::NOT_FOUND, sentence),
        Err(response) => return response,
    };
    let attachment = format!("attachment; filename=\"kubeshark_{second}.tar.gz\"");
    let headers = [
        (header::CONTENT_TYPE, "application/gzip".to_owned()),
        (header::CONTENT_DISPOSITION, attachment),
    ];
    (headers, body_of(file)).into_response()
}

/// A file as a body, piece by piece.
fn body_of(file: File) -> Body {
    let pieces = futures_util::stream::unfold(Arc::new(file), |file| async move {
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
    Body::from_stream(pieces)
}

/// Streams and names of one node.
#[derive(Default)]
struct OfNode {
    worker: String,
    /// With the number of an item of each, where that is known.
    streams: Vec<(StreamName, Option<u64>)>,
    known: HashSet<StreamName, RandomState>,
    /// When, which address, which name and namespace; as items have them.
    names: BTreeMap<i64, BTreeMap<String, (String, String)>>,
}

impl OfNode {
    /// Notes the names and the stream of an item; whether the stream was not known.
    fn add<'a, N: Node<'a>>(&mut self, number: u64, item: N) -> bool {
        let text = |path: &str| text_at(item, path);
        let second = int_at(item, "timestamp").div_euclid(1000);
        for side in ["src", "dst"] {
            let (name, ip) = (text(&format!("{side}.name")), text(&format!("{side}.ip")));
            if name.is_empty() || ip.is_empty() {
                continue;
            }
            if self.names.len() < MAX_TABLES || self.names.contains_key(&second) {
                let named = (name, text(&format!("{side}.namespace")));
                self.names.entry(second).or_default().insert(ip, named);
            }
        }
        let Some(name) = StreamName::parse(&text("stream")) else {
            return false;
        };
        let is_new = self.known.insert(name);
        if is_new {
            self.streams.push((name, Some(number)));
        }
        is_new
    }

    /// Whole tables, one for each second in which a name changed.
    fn history(&self) -> Json {
        let mut table: BTreeMap<&str, &(String, String)> = BTreeMap::new();
        let mut history = Map::new();
        for (second, names) in &self.names {
            let mut changed = false;
            for (ip, named) in names {
                changed |= table.insert(ip, named) != Some(named);
            }
            if !changed {
                continue;
            }
            let records = table.iter().map(|(ip, (name, namespace))| {
                let full = match namespace.is_empty() {
                    true => name.clone(),
                    false => format!("{name}.{namespace}"),
                };
                let record = json!({"FullAddress": full, "Namespace": namespace});
                ((*ip).to_owned(), record)
            });
            history.insert(second.to_string(), Json::Object(records.collect()));
        }
        Json::Object(history)
    }
}

/// Nodes by the names of their folders.
type Nodes = BTreeMap<String, OfNode>;

/// Packets that are put in order.
#[derive(Default)]
struct Merged {
    bytes: Vec<u8>,
    packets: Vec<(Timestamp, LinkType, u32, Range<usize>)>,
}

impl Merged {
    fn take(&mut self, savefile: &[u8]) -> Result<(), String> {
        let mut records = Records::new(savefile);
        while let Some(entry) = records.advance().map_err(|error| error.to_string())? {
            let Entry::Packet { head, bytes, .. } = entry else {
                continue;
            };
            if self.bytes.len() + bytes.len() > MAX_BYTES {
                return Err(TOO_MUCH.to_owned());
            }
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            let range = start..self.bytes.len();
            self.packets.push((head.ts, head.linktype, head.len, range));
        }
        Ok(())
    }

    /// Savefiles by number of the link type, with the second of the first packet.
    fn files(mut self) -> (i64, BTreeMap<u16, Vec<u8>>) {
        self.packets.sort_by_key(|(ts, ..)| *ts);
        let first = self.packets.first().map(|(ts, ..)| ts.secs());
        let mut files: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
        for (ts, linktype, len, range) in self.packets {
            let file = files.entry(linktype.0).or_insert_with(|| {
                let mut file = Vec::new();
                write_header(&mut file, linktype, MAX_SNAPLEN, Precision::Micros);
                file
            });
            let bytes = self.bytes.get(range).unwrap_or_default();
            write_packet(file, Precision::Micros, ts, len, bytes);
        }
        (first.unwrap_or_default(), files)
    }
}

/// The streams of all items of a place that match, by folder.
fn found(
    view: &View,
    source: &Source,
    query: &kfl::Query,
    now: Timestamp,
) -> Result<Nodes, String> {
    let mut nodes = Nodes::new();
    let mut count = 0;
    if let Source::Archive(browse) = source {
        let mut before = None;
        loop {
            let page = browse
                .page(query.clone(), now, before, STEP, super::indexed::PATIENCE)
                .map_err(|error| error.to_string())?;
            for (number, item) in &page.items {
                count += usize::from(note(&mut nodes, *number, item.node()));
            }
            if count > MAX_STORED {
                return Err(TOO_MUCH.to_owned());
            }
            before = page.next;
            if before.is_none() {
                break;
            }
        }
    } else if let Source::Rows = source {
        view.run.look(query);
        view.rows.try_each(|row| {
            if let Some(node) = row.node()
                && query.matches(node, now) == kfl::Verdict::Match
            {
                count += usize::from(note(&mut nodes, node.number(), node));
            }
            match count > MAX_STREAMS {
                true => Err(TOO_MUCH.to_owned()),
                false => Ok(()),
            }
        })?;
    }
    match nodes.is_empty() {
        true => Err("no item matches, so there are no packets to save".to_owned()),
        false => Ok(nodes),
    }
}

/// Streams that a client names by worker, by folder.
fn named(view: &View, pcaps: &BTreeMap<String, Vec<String>>) -> Result<Nodes, String> {
    if pcaps.values().map(Vec::len).sum::<usize>() > MAX_STREAMS {
        return Err(TOO_MUCH.to_owned());
    }
    let mut folders: BTreeMap<&str, String> = BTreeMap::new();
    let Ok(()) = view.rows.try_each(|row| {
        if let Some(node) = row.node()
            && folders.len() < pcaps.len()
            && let Some((worker, _)) = pcaps.get_key_value(&text_at(node, "worker"))
        {
            folders.entry(worker).or_insert_with(|| folder_of(node));
        }
        Ok::<(), std::convert::Infallible>(())
    });
    let mut nodes = Nodes::new();
    for (worker, files) in pcaps {
        let ip = worker
            .rsplit_once(':')
            .map_or(worker.as_str(), |(ip, _)| ip);
        let folder = match folders.remove(worker.as_str()) {
            None => indexed_folder(view, worker)?,
            folder => folder,
        };
        let of = nodes
            .entry(folder.unwrap_or_else(|| plain(&format!("{worker}_{ip}"))))
            .or_default();
        of.worker.clone_from(worker);
        for file in files {
            let name = StreamName::parse(file);
            let name = name.ok_or_else(|| format!("{file:?} is no name of a stream"))?;
            if of.known.insert(name) {
                of.streams.push((name, None));
            }
        }
    }
    let all = nodes.values().flat_map(|of| &of.streams);
    let all: Vec<StreamName> = all.map(|(name, _)| *name).collect();
    match view.indexed.get() {
        None => view.shows_streams(&all)?,
        // Names alone do not tell which streams of an archive they are.
        Some(_) => view.imposed.lets_all_packets()?,
    }
    Ok(nodes)
}

/// The folder of a worker that an archive has items of.
fn indexed_folder(view: &View, worker: &str) -> Result<Option<String>, String> {
    let Some(browse) = view.indexed.get() else {
        return Ok(None);
    };
    let text = format!("worker == {}", Json::from(worker));
    let query = kfl::compile_as(&text, kfl::Dialect::V1, &view.schema);
    let query = query.map_err(|error| error.to_string())?;
    let now = view.clock.now();
    let page = browse
        .page(query, now, None, 1, super::indexed::PATIENCE)
        .map_err(|error| error.to_string())?;
    let item = page.items.first();
    Ok(item.map(|(_, item)| folder_of(item.node())))
}

/// A name that every archiver takes.
fn plain(name: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.chars()
        .map(|c| if good(c) { c } else { '_' })
        .collect()
}

fn folder_of<'a, N: Node<'a>>(item: N) -> String {
    let (name, ip) = (text_at(item, "node.name"), text_at(item, "node.ip"));
    plain(&format!("{name}_{ip}"))
}

/// Notes the stream of an item; whether it was not known.
fn note<'a, N: Node<'a>>(nodes: &mut Nodes, number: u64, item: N) -> bool {
    let node = nodes.entry(folder_of(item)).or_default();
    if node.worker.is_empty() {
        node.worker = text_at(item, "worker");
    }
    node.add(number, item)
}

/// The archive in a file without a name, at its start, and the second of its first packet. A node whose
/// packets are gone is left out when others have theirs.
fn archive(view: &View, source: &Source, nodes: &Nodes) -> Result<(i64, File), String> {
    let failed = |error: io::Error| format!("the archive cannot be made: {error}");
    let file = tempfile::tempfile().map_err(failed)?;
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    let mut first = None;
    let mut why = String::new();
    for (folder, node) in nodes {
        let packets = match source {
            Source::Archive(browse) => stored(browse, node),
            Source::Rows | Source::Nothing => held(view, node),
        };
        let (second, mut files) = match packets {
            Ok(packets) => packets,
            Err(sentence) if sentence == TOO_MUCH => return Err(sentence),
            Err(sentence) => {
                why = format!("{folder}: {sentence}");
                continue;
            }
        };
        first = Some(first.map_or(second, |first: i64| first.min(second)));
        let history = match node.names.is_empty() {
            true => view.run.history(),
            false => node.history(),
        };
        let history = history.to_string();
        let mut add = |name: String, length: u64, content: &mut dyn Read| {
            let mut head = tar::Header::new_gnu();
            head.set_size(length);
            head.set_mode(0o644);
            head.set_mtime(u64::try_from(second).unwrap_or_default());
            tar.append_data(&mut head, format!("{folder}/{name}"), content)
        };
        for (at, file) in files.iter_mut().enumerate() {
            let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            let name = match at {
                0 => format!("{second}.pcap"),
                _ => format!("{second}-{at}.pcap"),
            };
            add(name, length, file).map_err(failed)?;
        }
        let name = "name_resolution_history.json".to_owned();
        add(name, history.len() as u64, &mut history.as_bytes()).map_err(failed)?;
    }
    let Some(second) = first else {
        return Err(why);
    };
    let mut file = tar
        .into_inner()
        .and_then(GzEncoder::finish)
        .map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok((second, file))
}

/// Savefiles with the second of their first packet.
type Savefiles = (i64, Vec<File>);

/// For a node none of whose packets can be had.
const GONE: &str = "the packets are no longer in the spool; look for them in the archive";

/// The packets of a node that its run has.
fn held(view: &View, node: &OfNode) -> Result<Savefiles, String> {
    let failed = |error: io::Error| error.to_string();
    let names: Vec<StreamName> = node.streams.iter().map(|(name, _)| *name).collect();
    let mut file = tempfile::tempfile().map_err(failed)?;
    view.run.streams_pcap_of(&node.worker, &names, &mut file)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut records = Records::new(io::BufReader::new(&file));
    loop {
        match records.advance().map_err(|error| error.to_string())? {
            Some(Entry::Packet { head, .. }) => {
                let second = head.ts.secs();
                drop(records);
                return Ok((second, vec![file]));
            }
            Some(_) => {}
            None => return Err(GONE.to_owned()),
        }
    }
}

/// The packets of a node out of stored reels.
fn stored(browse: &Browse, node: &OfNode) -> Result<Savefiles, String> {
    let mut merged = Merged::default();
    let numbered = node.streams.iter();
    let numbered = numbered.filter_map(|(name, number)| Some((*name, (*number)?)));
    let numbered: Vec<(StreamName, u64)> = numbered.collect();
    if !numbered.is_empty() {
        browse.streams_pcap(&numbered, &mut |savefile| merged.take(savefile))?;
    }
    let named = node.streams.iter().filter(|(_, number)| number.is_none());
    for (name, _) in named {
        let mut savefile = Vec::new();
        browse.stream_pcap(&node.worker, *name, None, &mut savefile)?;
        merged.take(&savefile)?;
    }
    let (second, files) = merged.files();
    let written = files.into_values().map(|bytes| {
        let mut file = tempfile::tempfile()?;
        file.write_all(&bytes)?;
        Ok(file)
    });
    let files: Vec<File> = written
        .collect::<io::Result<_>>()
        .map_err(|error| error.to_string())?;
    match files.is_empty() {
        true => Err(GONE.to_owned()),
        false => Ok((second, files)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::sample;
    use crate::synth;

    #[test]
    fn packets_of_several_streams_are_put_in_order() {
        let stream = |port| {
            synth::tcp(([10, 0, 0, 1], port), ([10, 0, 0, 2], 80))
                .to_server("GET / HTTP/1.1\r\n\r\n")
                .to_client("HTTP/1.1 204 No Content\r\n\r\n")
                .fin()
        };
        let mut merged = Merged::default();
        let (one, two) = (stream(40000), stream(40001));
        merged.take(&synth::savefile(&two)).unwrap();
        merged.take(&synth::savefile(&one)).unwrap();
        let (_, files) = merged.files();
        assert_eq!(files.len(), 1);
        let mut records = Records::new(files.values().next().unwrap().as_slice());
        let mut times = Vec::new();
        while let Some(entry) = records.advance().unwrap() {
            if let Entry::Packet { head, .. } = entry {
                times.push(head.ts);
            }
        }
        assert_eq!(times.len(), one.len() + two.len());
        assert!(times.is_sorted());
    }

    #[test]
    fn names_are_written_when_they_change() {
        let mut node = OfNode::default();
        let mut item = sample::http();
        item.src.name = "web".into();
        item.src.namespace = "shop".into();
        item.start = Timestamp::from_secs(100, 0);
        assert!(node.add(1, item.node()));
        assert!(!node.add(2, item.node()));
        item.start = Timestamp::from_secs(101, 0);
        node.add(3, item.node());
        item.src.name = "other".into();
        item.start = Timestamp::from_secs(105, 0);
        node.add(4, item.node());
        let history = node.history();
        let seconds: Vec<&String> = history.as_object().unwrap().keys().collect();
        assert_eq!(seconds, ["100", "105"], "{history:#}");
        let ip = item.src.endpoint.ip.to_string();
        assert_eq!(history["100"][&ip]["FullAddress"], "web.shop");
        assert_eq!(history["105"][&ip]["FullAddress"], "other.shop");
    }
}
