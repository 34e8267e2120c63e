//! Packets of all streams whose items match, as one archive.
//!
//! In: rows or an archive, a query. Out: a `.tar.gz` with a folder for each node, in it the packets in
//! order of time and the names that the items have. Never: more than [`MAX_STREAMS`] streams or
//! [`MAX_BYTES`]; what is larger is refused with the command that has no such bound.
//!
//! ```text
//! <node>_<ip>/<unix>.pcap                       of the first second; one file for each link type
//! <node>_<ip>/name_resolution_history.json      {"<unix>": {"<ip>": {"FullAddress","Namespace"}}}
//! ```

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::ops::Range;

use ahash::RandomState;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value as Json, json};

use super::View;
use super::api::{Ask, Asked, State, aside, refuse};
use super::queries::refuse_query;
use crate::item::{Node, lookup};
use crate::kfl;
use crate::packet::savefile::pcap::{Precision, write_header, write_packet};
use crate::packet::savefile::{Entry, Records};
use crate::packet::{LinkType, MAX_SNAPLEN, StreamName};
use crate::time::Timestamp;

/// Streams of one answer.
const MAX_STREAMS: usize = 5000;

/// Bytes of packets of one answer; they are put in order in memory.
const MAX_BYTES: usize = 256 << 20;

/// Rows that are looked up at a time.
const STEP: usize = 2048;

/// Tables of names of one node.
const MAX_TABLES: usize = 1000;

/// What is refused for its size.
const TOO_MUCH: &str = "more matches than one download holds; narrow the filter or its time, or use: tapedeck export SRC --kfl FILTER -o FILE";

/// Streams and names of one node.
#[derive(Default)]
struct OfNode {
    worker: String,
    streams: Vec<(StreamName, u64)>,
    known: HashSet<StreamName, RandomState>,
    /// When, which address, which name and namespace; as items have them.
    names: BTreeMap<i64, BTreeMap<String, (String, String)>>,
}

impl OfNode {
    fn add<'a, N: Node<'a>>(&mut self, number: u64, item: N) -> Option<StreamName> {
        let text = |path: &str| {
            let found = lookup(item, path).and_then(Node::text);
            found.unwrap_or_default().into_owned()
        };
        let millis = lookup(item, "timestamp").and_then(Node::int);
        let second = millis.unwrap_or_default().div_euclid(1000);
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
        let name = StreamName::parse(&text("stream"))?;
        self.known.insert(name).then(|| {
            self.streams.push((name, number));
            name
        })
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

/// The streams of all items that match, by node.
fn streams(
    view: &View,
    query: &kfl::Query,
    now: Timestamp,
) -> Result<BTreeMap<String, OfNode>, String> {
    let mut nodes: BTreeMap<String, OfNode> = BTreeMap::new();
    let mut count = 0;
    if let Some(browse) = view.indexed.get() {
        let mut before = None;
        loop {
            let page = browse
                .page(query.clone(), now, before, STEP, super::indexed::PATIENCE)
                .map_err(|error| error.to_string())?;
            for (number, item) in &page.items {
                count += usize::from(note(&mut nodes, *number, item.node()));
            }
            if count > MAX_STREAMS {
                return Err(TOO_MUCH.to_owned());
            }
            before = page.next;
            if before.is_none() {
                return Ok(nodes);
            }
        }
    }
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
    Ok(nodes)
}

/// Notes the stream of an item; whether it was not known.
fn note<'a, N: Node<'a>>(nodes: &mut BTreeMap<String, OfNode>, number: u64, item: N) -> bool {
    let text = |path: &str| {
        let found = lookup(item, path).and_then(Node::text);
        found.unwrap_or_default().into_owned()
    };
    let plain = |text: String| {
        text.replace(
            |c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-',
            "-",
        )
    };
    let folder = format!("{}_{}", plain(text("node.name")), plain(text("node.ip")));
    let node = nodes.entry(folder).or_default();
    if node.worker.is_empty() {
        node.worker = text("worker");
    }
    node.add(number, item).is_some()
}

/// The archive and the second in its name.
fn archive(view: &View, query: &kfl::Query, now: Timestamp) -> Result<(i64, Vec<u8>), String> {
    let nodes = streams(view, query, now)?;
    if nodes.is_empty() {
        return Err("no item matches, so there are no packets to save".to_owned());
    }
    let failed = |error: std::io::Error| error.to_string();
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut first = i64::MAX;
    for (folder, node) in &nodes {
        let mut merged = Merged::default();
        let mut each = |savefile: &[u8]| merged.take(savefile);
        match view.indexed.get() {
            Some(browse) => browse.streams_pcap(&node.streams, &mut each)?,
            None => {
                let names: Vec<StreamName> = node.streams.iter().map(|(name, _)| *name).collect();
                let mut savefile = Vec::new();
                view.run
                    .streams_pcap_of(&node.worker, &names, &mut savefile)?;
                each(&savefile)?;
            }
        }
        let (second, files) = merged.files();
        if files.is_empty() {
            return Err(
                "the packets are no longer in the spool; look for them in the archive".to_owned(),
            );
        }
        first = first.min(second);
        let mut put = |name: String, bytes: &[u8]| {
            let mut head = tar::Header::new_ustar();
            head.set_size(bytes.len() as u64);
            head.set_mode(0o644);
            head.set_mtime(u64::try_from(second).unwrap_or_default());
            tar.append_data(&mut head, format!("{folder}/{name}"), bytes)
                .map_err(failed)
        };
        for (at, (linktype, bytes)) in files.iter().enumerate() {
            let name = match at {
                0 => format!("{second}.pcap"),
                _ => format!("{second}-linktype{linktype}.pcap"),
            };
            put(name, bytes)?;
        }
        put(
            "name_resolution_history.json".to_owned(),
            node.history().to_string().as_bytes(),
        )?;
    }
    let mut packed = tar.into_inner().map_err(failed)?;
    packed.flush().map_err(failed)?;
    Ok((first, packed.finish().map_err(failed)?))
}

/// The packets of what matches, as an attachment.
pub(super) async fn packets(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    send(state, &ask.q).await
}

async fn send(state: State, q: &str) -> Response {
    let query = match kfl::compile(q, &state.view.schema) {
        Ok(query) => query,
        Err(error) => return refuse_query(q, &error),
    };
    let now = state.view.clock.now();
    match aside(move || archive(&state.view, &query, now)).await {
        Ok(Ok((second, bytes))) => {
            let attachment = format!("attachment; filename=\"kubeshark_{second}.tar.gz\"");
            let headers = [
                (header::CONTENT_TYPE, "application/gzip".to_owned()),
                (header::CONTENT_DISPOSITION, attachment),
            ];
            (headers, bytes).into_response()
        }
        Ok(Err(sentence)) => refuse(StatusCode::BAD_REQUEST, sentence),
        Err(response) => response,
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
        assert!(node.add(1, item.node()).is_some());
        assert!(node.add(2, item.node()).is_none());
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
