//! Connections: what the items of a stream say together, below the protocols.
//!
//! In: the newest items that match, of rows or of an archive by its indexes. Out: one connection for
//! each stream that they are of, with its ends, times and bytes by direction, and its packets where a
//! spool holds all of them or an item tells them. Never: a count of some of the packets; more than
//! [`MAX_ITEMS`] items for one answer, or a connection of which no item is shown; older items are for
//! the next answer, and whoever asks puts both together.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::Json as AsJson;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use super::api::{Ask, Asked, State, refuse};
use super::delivered::Adds;
use super::indexed::{self, Refusal};
use super::places::{Source, aside_for};
use super::queries::refuse_query;
use super::rows::{Tone, columns_of, tone};
use super::sums::Bytes;
use super::{View, delivered, looking, steered};
use crate::deliver::Delivery;
use crate::item::{Node, int_at, shown, text_at};
use crate::packet::{StreamName, Transport};
use crate::spool::Size;

/// Items that one answer is made of when no limit is asked for, and at most.
const ITEMS: usize = 2000;
const MAX_ITEMS: usize = 10_000;

/// Time in which packets are counted for one answer; it is asked for again and again.
const PATIENCE: Duration = Duration::from_millis(200);

pub(super) async fn flows(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let view = state.view.clone();
    let query = match view.query(&ask.q) {
        Ok(query) => query,
        Err(error) => return refuse_query(&ask.q, &error),
    };
    let limit = ask.limit.unwrap_or(ITEMS).clamp(1, MAX_ITEMS);
    let limit = steered::limit_of(&query, limit);
    let found = aside_for(move |asker| {
        let source = view.source(&ask.place)?;
        let query = view.query_of(&ask.place, query);
        let delivery = view.delivery(query, view.clock.now());
        let (mut flows, read) = read(&view, &source, &delivery, ask.before, limit)?;
        if let Source::Rows = source
            && !asker.is_gone()
        {
            flows.measure(&view);
        }
        Ok::<_, Refusal>(read.json(flows))
    });
    match found.await {
        Ok(Ok(found)) => AsJson(found).into_response(),
        Ok(Err((status, sentence))) => refuse(status, sentence),
        Err(response) => response,
    }
}

/// How far an answer went.
struct Read {
    next: Option<u64>,
    looked: u64,
}

impl Read {
    /// ```text
    /// {"connections": [...], "next": cursor or null, "scanned": items looked at}
    /// ```
    fn json(self, flows: Flows) -> Json {
        json!({"connections": flows.json(), "next": self.next, "scanned": self.looked})
    }
}

/// The connections of at most `limit` items in front of the one numbered `before`.
fn read(
    view: &View,
    source: &Source,
    delivery: &Delivery<'_>,
    before: Option<u64>,
    limit: usize,
) -> Result<(Flows, Read), Refusal> {
    let mut flows = Flows::default();
    let (next, looked) = match source {
        Source::Archive(browse) => {
            let query = delivery.query().clone();
            let page = browse
                .page(query, delivery.now(), before, limit, indexed::PATIENCE)
                .map_err(|error| indexed::refusal(&error))?;
            for (_, item) in &page.items {
                flows.add_delivered(&delivered::stored_match(delivery, item), item.node());
            }
            (page.next, page.looked)
        }
        Source::Rows => {
            view.run.look(delivery.query());
            let found =
                looking::newest(&view.rows, delivery.query(), delivery.now(), before, limit);
            for node in found.rows.iter().filter_map(|row| row.node()) {
                flows.add_delivered(&delivered::held_match(delivery, node), node);
            }
            (found.next, found.looked)
        }
        Source::Nothing => (None, 0),
    };
    // Whoever asked for so many has them.
    let next = next.filter(|_| steered::most(delivery.query()).is_none());
    Ok((flows, Read { next, looked }))
}

/// Connections, the ones with the newest items first.
#[derive(Default)]
struct Flows {
    order: Vec<Flow>,
    /// Places in `order`, by worker and stream.
    places: HashMap<(String, String), usize>,
}

/// One connection, as far as the items tell.
struct Flow {
    /// Of its newest item.
    worker: String,
    stream: String,
    node: String,
    transport: &'static str,
    src: Json,
    dst: Json,
    items: u64,
    failed: u64,
    bytes: Bytes,
    /// Both sides' packets and their bytes on the wire, where all of the stream is in a spool.
    size: Option<Size>,
    /// Both sides' packets as an item tells them, where the stream was counted and not read.
    packets: Option<u64>,
    /// How it ended, likewise.
    end: String,
    first: i64,
    last: i64,
    /// Short names of the protocols with counts of their items.
    protocols: Vec<(String, u64)>,
}

impl Adds for Flows {
    /// Adds an item that is older than those before it.
    fn add<'a, N: Node<'a>>(&mut self, item: N) {
        let text = |path: &str| text_at(item, path);
        let int = |path: &str| int_at(item, path);
        let (worker, stream) = (text("worker"), text("stream"));
        let Some(transport) = StreamName::parse(&stream).map(|name| word(name.transport)) else {
            // A redaction took what tells connections apart.
            return;
        };
        let key = (worker.clone(), stream.clone());
        let at = *self.places.entry(key).or_insert_with(|| {
            let side = |side: &str| {
                let of = |name: &str| text(&format!("{side}.{name}"));
                json!({
                    "ip": of("ip"), "port": of("port"),
                    "name": of("name"), "namespace": of("namespace"),
                })
            };
            self.order.push(Flow {
                worker,
                stream,
                node: text("node.name"),
                transport,
                src: side("src"),
                dst: side("dst"),
                items: 0,
                failed: 0,
                bytes: Bytes::default(),
                size: None,
                packets: None,
                end: String::new(),
                first: i64::MAX,
                last: i64::MIN,
                protocols: Vec::new(),
            });
            self.order.len() - 1
        });
        let Some(flow) = self.order.get_mut(at) else {
            return;
        };
        let abbr = text("protocol.abbr");
        let tone = tone(item, &shown(item, columns_of(&abbr).status));
        flow.items += 1;
        flow.failed += u64::from(tone == Tone::Bad);
        flow.bytes.add(Bytes::of(&int));
        let began = int("timestamp");
        flow.first = flow.first.min(began);
        flow.last = flow
            .last
            .max(began.saturating_add(int("elapsedTime").max(0)));
        if ["tcp", "udp"].contains(&text("protocol.name").as_str()) {
            let packets = int("data.clientPackets").saturating_add(int("data.serverPackets"));
            let packets = u64::try_from(packets).unwrap_or_default();
            flow.packets = Some(flow.packets.unwrap_or_default().saturating_add(packets));
            flow.end = text("data.end");
            flow.last = flow
                .last
                .max(began.saturating_add(int("data.duration").max(0)));
        }
        match flow.protocols.iter_mut().find(|(known, _)| *known == abbr) {
            Some((_, count)) => *count += 1,
            None => flow.protocols.push((abbr, 1)),
        }
    }
}

impl Flows {
    /// Counts the packets of the streams that spools hold, the newest first, as far as it is done in
    /// [`PATIENCE`].
    fn measure(&mut self, view: &View) {
        let until = Instant::now() + PATIENCE;
        let mut of: HashMap<&str, Vec<(usize, StreamName)>> = HashMap::new();
        for (at, flow) in self.order.iter().enumerate() {
            if let Some(name) = StreamName::parse(&flow.stream) {
                of.entry(&flow.worker).or_default().push((at, name));
            }
        }
        let mut sizes = Vec::new();
        for (worker, streams) in of {
            let names: Vec<StreamName> = streams.iter().map(|(_, name)| *name).collect();
            let found = view.run.sizes(worker, &names, until);
            let places = streams.into_iter().map(|(at, _)| at);
            sizes.extend(places.zip(found));
        }
        for (at, size) in sizes {
            if let Some(flow) = self.order.get_mut(at) {
                flow.size = size;
            }
        }
    }

    /// ```text
    /// [{"worker","stream","node","transport": "tcp", "udp", ..., "src": {"ip","port","name","namespace"},
    ///   "dst": {...}, "items","failed","requestBytes","responseBytes", "packets": count or null,
    ///   "bytes": of these on the wire, or null, "end": how it ended or "", "first": ms, "last": ms, "protocols": {abbr: count}}]
    /// ```
    fn json(self) -> Json {
        let each = self.order.into_iter().map(|flow| {
            let protocols = flow.protocols.into_iter();
            let protocols = protocols.map(|(abbr, count)| (abbr, json!(count)));
            json!({
                "worker": flow.worker,
                "stream": flow.stream,
                "node": flow.node,
                "transport": flow.transport,
                "src": flow.src,
                "dst": flow.dst,
                "items": flow.items,
                "failed": flow.failed,
                "requestBytes": flow.bytes.requests,
                "responseBytes": flow.bytes.responses,
                "packets": flow.size.map(|size| size.packets).or(flow.packets),
                "bytes": flow.size.map(|size| size.bytes),
                "end": flow.end,
                "first": flow.first,
                "last": flow.last,
                "protocols": protocols.collect::<serde_json::Map<String, Json>>(),
            })
        });
        each.collect()
    }
}

/// What pages call a transport.
fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::ICMP | Transport::ICMPV6 => "icmp",
        Transport::SCTP => "sctp",
        Transport::Other(_) => "ip",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::json::JsonNode;
    use crate::item::sample;
    use crate::packet::StreamId;
    use crate::time::Timestamp;

    fn call(stream: u64, at: i64) -> crate::item::Item {
        let mut item = sample::http();
        item.stream.stream = StreamId(stream);
        item.start = Timestamp::from_secs(at, 0);
        item
    }

    #[test]
    fn the_items_of_a_stream_are_one_connection_with_times_and_bytes_by_direction() {
        let mut flows = Flows::default();
        for (stream, at) in [(7, 30), (8, 20), (7, 10)] {
            flows.add(call(stream, at).node());
        }
        let found = flows.json();
        let streams: Vec<&str> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["stream"].as_str().unwrap())
            .collect();
        assert_eq!(streams, ["000000000007.pcap", "000000000008.pcap"]);
        let first = &found[0];
        assert_eq!(first["transport"], "tcp");
        assert_eq!((&first["items"], &first["failed"]), (&json!(2), &json!(2)));
        assert_eq!(first["requestBytes"], 620);
        assert_eq!(first["responseBytes"], 392);
        assert_eq!(
            (&first["first"], &first["last"]),
            (&json!(10_000), &json!(30_012))
        );
        assert_eq!(first["protocols"], json!({"HTTP": 2}));
        assert_eq!(
            first["src"],
            json!({"ip": "10.244.1.5", "port": "51514", "name": "web-7d9", "namespace": "shop"})
        );
        // What is read is not counted.
        assert_eq!(
            (&first["packets"], &first["end"]),
            (&Json::Null, &json!(""))
        );
    }

    #[test]
    fn a_stream_that_nobody_reads_tells_its_packets_and_its_end() {
        let item = json!({
            "worker": "w", "stream": "000000000003_udp.pcap", "timestamp": 1000, "elapsedTime": 5,
            "requestSize": 10, "responseSize": 20, "protocol": {"name": "udp", "abbr": "UDP"},
            "data": {"clientPackets": 2, "serverPackets": 3, "duration": 400, "end": "idle"},
        });
        let mut flows = Flows::default();
        flows.add(JsonNode(&item));
        let found = flows.json();
        let one = &found[0];
        assert_eq!(
            (&one["transport"], &one["packets"]),
            (&json!("udp"), &json!(5))
        );
        assert_eq!((&one["last"], &one["end"]), (&json!(1400), &json!("idle")));
        // Without a stream there is nothing to tell.
        let mut none = Flows::default();
        none.add(JsonNode(&json!({"stream": "[REDACTED]"})));
        assert_eq!(none.json(), json!([]));
    }
}
