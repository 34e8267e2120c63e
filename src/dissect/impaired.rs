//! What happens to segments on their way: late, repeated, cut elsewhere, put together otherwise, lost,
//! or sent before the capture began. The TCP streams of every sample capture, and of those that the
//! tests bring along, are dissected as they were captured and then impaired.
//!
//! Compared are all members of all items but those that honestly differ: times of capture, ordinals,
//! and in the items of streams that nobody reads the tallies of packets and their bytes. A stream
//! counts only where its capture is whole: with bytes missing, or two versions of a byte, the order
//! of segments decides what can be known.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::conversation::tests::{Told, assign_records, read_savefile};
use super::robustness::Drafts;
use super::{Conversation, Draft, PROTOCOLS, Protocols, truth};
use crate::flow::{Budget, Event, Opening, Reassembly, Segment, StreamInfo};
use crate::item::{ItemNode, Value, json};
use crate::packet::{
    Decoded, Direction, EndReason, Packet, StreamId, TcpFlags, TcpHeader, Transport,
};
use crate::synth;

/// Captures of the tests' own.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pcaps");

/// How many places a segment comes too late at most: less than what reassembly waits for.
const MAX_LATE: u64 = 3;

/// How many places behind a segment it comes once more at most.
const MAX_REPEAT: u64 = 20;

/// Longest piece that a segment is cut into.
const MAX_PIECE: u64 = 700;

/// Messages that come behind a loss before the last of them counts: the first ones may be touched.
const FEW: usize = 3;

/// One TCP stream of a capture.
#[derive(Clone)]
struct Stream {
    /// Name of the capture.
    capture: String,
    info: StreamInfo,
    protocols: Protocols,
    packets: Vec<(Packet, Bytes)>,
    reason: EndReason,
}

impl Stream {
    /// Its items when `packets` are what was captured, each a step behind the one before.
    fn items(&self, packets: &[(Packet, Bytes)]) -> Vec<Draft> {
        let budget = Budget::new(Budget::DEFAULT_BYTES);
        let info = StreamInfo {
            first: synth::START,
            ..self.info
        };
        // What servers told in another run is not known.
        let protocols = self.protocols.clone().with_descriptors(Arc::default());
        let mut conversation = Conversation::new(&info, &protocols, &budget);
        let mut drafts = Drafts::default();
        for (packet, payload) in packets {
            conversation.packet(packet, payload.clone(), &mut drafts);
        }
        conversation.end(self.reason, &mut drafts);
        drafts.0
    }

    /// Where each direction is known: no segment of either is the first that was seen any more.
    fn firm(&self) -> usize {
        let begins = |wanted: Direction| {
            let mut packets = self.packets.iter();
            packets.position(|(packet, payload)| {
                direction(packet) == wanted
                    && (!payload.is_empty() || tcp(packet).flags.has(TcpFlags::SYN))
            })
        };
        let both = [Direction::ToServer, Direction::ToClient].map(begins);
        both.into_iter()
            .flatten()
            .max()
            .map_or(0, |place| place + 1)
    }

    /// Whether every byte was captured, and all segments agree about it.
    fn is_whole(&self) -> bool {
        let mut reassembly = Reassembly::new(Budget::new(Budget::DEFAULT_BYTES));
        let mut events = Vec::new();
        for (packet, payload) in &self.packets {
            let Decoded::Flow(layers) = &packet.decoded else {
                return false;
            };
            let segment = Segment {
                direction: direction(packet),
                tcp: tcp(packet),
                payload: payload.clone(),
                wire_len: layers.payload_wire_len,
                ts: packet.record.ts,
                ordinal: packet.ordinal,
            };
            reassembly.push(segment, &mut events);
        }
        reassembly.finish(synth::START, 0, &mut events);
        let counts = reassembly.counts();
        if counts.gaps + counts.truncated + counts.after_fin > 0 {
            return false;
        }
        let mut sides: HashMap<Direction, Vec<u8>> = HashMap::new();
        for event in &events {
            if let Event::Chunk(chunk) = event {
                sides
                    .entry(chunk.direction)
                    .or_default()
                    .extend_from_slice(&chunk.bytes);
            }
        }
        let mut bases: HashMap<Direction, u32> = HashMap::new();
        self.packets.iter().all(|(packet, payload)| {
            let (header, direction) = (tcp(packet), direction(packet));
            let syn = header.flags.has(TcpFlags::SYN);
            if payload.is_empty() && !syn {
                return true;
            }
            let first = header.seq.wrapping_add(u32::from(syn));
            let base = *bases.entry(direction).or_insert(first);
            let at = first.wrapping_sub(base) as usize;
            let side = sides.get(&direction).map_or(&[][..], Vec::as_slice);
            // What repeats bytes from before the first one, as a keep-alive does, agrees with nothing.
            payload.is_empty() || side.get(at..at + payload.len()) == Some(&payload[..])
        })
    }
}

fn tcp(packet: &Packet) -> TcpHeader {
    match &packet.decoded {
        Decoded::Flow(layers) => layers.tcp.expect("streams of TCP have its header"),
        other => panic!("{other:?} is of no stream"),
    }
}

fn direction(packet: &Packet) -> Direction {
    packet.stream.expect("it is of a stream").1
}

/// The part of a segment from `from` to `to`.
fn part(packet: &Packet, payload: &Bytes, from: usize, to: usize) -> (Packet, Bytes) {
    joined(packet, &payload.slice(from..to), from, to == payload.len())
}

/// A segment with another payload, which begins `from` bytes further; `last` when it ends as before.
fn joined(packet: &Packet, payload: &Bytes, from: usize, last: bool) -> (Packet, Bytes) {
    let mut packet = *packet;
    if let Decoded::Flow(layers) = &mut packet.decoded {
        layers.payload_len = payload.len() as u32;
        layers.payload_wire_len = payload.len() as u32;
        if let Some(tcp) = &mut layers.tcp {
            tcp.seq = tcp.seq.wrapping_add(from as u32);
            if !last {
                tcp.flags.0 &= !(TcpFlags::FIN | TcpFlags::PSH);
            }
        }
    }
    (packet, payload.clone())
}

/// Numbers packets anew, each a step behind the one before.
fn renumber(packets: &mut [(Packet, Bytes)]) {
    for (place, (packet, _)) in (0u32..).zip(packets) {
        packet.ordinal = place.into();
        packet.record.ts = synth::START + synth::STEP * place;
    }
}

/// Captures in which answers do not acknowledge what they answer: nothing tells that one was overtaken.
const UNACKNOWLEDGED: &[&str] = &["zeek-attr.pcap"];

/// What is done to a stream, as chances in a thousand for each segment.
#[derive(Debug, Clone)]
struct Impairment {
    cut: u64,
    again: u64,
    repeat: u64,
    late: u64,
    seed: u64,
}

fn impairment() -> impl Strategy<Value = Impairment> {
    let chance = || prop_oneof![Just(0u64), 1..400u64];
    (chance(), chance(), chance(), chance(), any::<u64>()).prop_map(
        |(cut, again, repeat, late, seed)| Impairment {
            cut,
            again,
            repeat,
            late,
            seed,
        },
    )
}

/// Numbers that look like chance and are the same each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn happens(&mut self, in_a_thousand: u64) -> bool {
        self.below(1000) < in_a_thousand
    }
}

/// The packets of a stream as they come after all of it.
fn impaired(stream: &Stream, how: &Impairment) -> Vec<(Packet, Bytes)> {
    let mut chance = Chance(how.seed ^ stream.info.name.stream.0);
    let firm = stream.firm();
    let mut sent: Vec<(Packet, Bytes)> = stream.packets[..firm].to_vec();
    // The last segment of each direction, to be sent once more together with the next one.
    let mut before: HashMap<Direction, (Packet, Bytes)> = HashMap::new();
    // Segments that come once more, and behind how many others.
    let mut repeats: Vec<(usize, (Packet, Bytes))> = Vec::new();
    for (packet, payload) in &stream.packets[firm..] {
        if payload.is_empty() {
            sent.push((*packet, payload.clone()));
            continue;
        }
        let mut from = 0;
        while from < payload.len() {
            let left = payload.len() - from;
            let len = match chance.happens(how.cut) {
                true => left.min(1 + chance.below(MAX_PIECE) as usize),
                false => left,
            };
            let piece = part(packet, payload, from, from + len);
            from += len;
            let next = tcp(&piece.0).seq;
            let behind = before.insert(direction(packet), piece.clone());
            sent.push(piece.clone());
            if let Some((earlier, bytes)) = behind
                && chance.happens(how.again)
                && tcp(&earlier).seq.wrapping_add(bytes.len() as u32) == next
            {
                // From within the one before to within this one.
                let skip = chance.below(bytes.len() as u64) as usize;
                let take = 1 + chance.below(piece.1.len() as u64) as usize;
                let both = [&bytes[skip..], &piece.1[..take]].concat();
                sent.push(joined(&earlier, &both.into(), skip, false));
            }
            if chance.happens(how.repeat) {
                repeats.push((sent.len() + chance.below(MAX_REPEAT) as usize, piece));
            }
        }
    }
    for (place, repeated) in repeats.into_iter().rev() {
        let place = place.min(sent.len());
        sent.insert(place, repeated);
    }
    let in_a_thousand = match UNACKNOWLEDGED.contains(&&*stream.capture) {
        true => 0,
        false => how.late,
    };
    // Nothing comes later than a reset that it came before: it would say that it never came.
    let reset = |(packet, _): &(Packet, Bytes)| tcp(packet).flags.has(TcpFlags::RST);
    let mut places: Vec<(u64, (Packet, Bytes))> = Vec::new();
    let resets: Vec<usize> = (0..sent.len()).filter(|at| reset(&sent[*at])).collect();
    for (place, one) in sent.into_iter().enumerate() {
        let next = resets.iter().find(|reset| **reset >= place);
        let room = next.map_or(u64::MAX, |reset| (*reset - place) as u64);
        let late = match place >= firm && chance.happens(in_a_thousand) {
            true => (1 + chance.below(MAX_LATE)).min(room.saturating_sub(1)),
            false => 0,
        };
        places.push((2 * (place as u64 + late) + u64::from(late > 0), one));
    }
    places.sort_by_key(|(place, _)| *place);
    let mut packets: Vec<_> = places.into_iter().map(|(_, one)| one).collect();
    renumber(&mut packets);
    packets
}

/// An item without what honestly differs.
fn told(draft: &Draft) -> String {
    let value = |value| -> serde_json::Value {
        serde_json::from_str(&json::to_string(ItemNode::of_value(value))).unwrap()
    };
    let (mut request, mut response) = (value(&draft.request), value(&draft.response));
    let mut data = value(&draft.data);
    let mut sizes = Some((draft.request_size, draft.response_size));
    let leave_out = |value: &mut serde_json::Value, members: &[&str]| {
        if let Some(object) = value.as_object_mut() {
            object.retain(|name, _| !members.contains(&name.as_str()));
        }
    };
    match draft.kind.abbr {
        "KAFKA" => {
            leave_out(&mut request, &["captureTime"]);
            leave_out(&mut response, &["captureTime"]);
        }
        "TCP" => {
            sizes = None;
            let tallies = [
                // First bytes are kept as far as somebody looked.
                "payload",
                "serverPayload",
                "length",
                "clientPackets",
                "clientBytes",
                "serverPackets",
                "serverBytes",
                "duration",
            ];
            leave_out(&mut data, &tallies);
        }
        _ => {}
    }
    let kind = draft.kind.abbr;
    let from = draft.from_client;
    format!(
        "{kind} {from} {sizes:?} {request} {response} {data} {:?}",
        draft.error
    )
}

fn sorted(drafts: &[Draft]) -> Vec<String> {
    let mut items: Vec<String> = drafts.iter().map(told).collect();
    items.sort();
    items
}

/// Every whole TCP stream of the captures, one capture at a time; false when they are not there.
fn each_stream(mut each: impl FnMut(&Stream)) -> bool {
    let samples = Path::new(truth::FOLDER);
    if !samples.is_dir() {
        println!("skipped: no sample captures in {}", truth::FOLDER);
        return false;
    }
    let mut paths: Vec<_> = truth::captures()
        .iter()
        .map(|name| samples.join(name))
        .collect();
    let own = std::fs::read_dir(OWN)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths.extend(own.filter(|path| path.extension().is_some_and(|ending| ending == "pcap")));
    for path in paths {
        let file = read_savefile(&path);
        let protocols = truth::with_secrets_of(&path, &file);
        let mut open: BTreeMap<StreamId, Stream> = BTreeMap::new();
        assign_records(&file.bytes, &file.records, |told| match told {
            Told::Packet(info, packet, payload) if info.name.transport == Transport::Tcp => {
                let stream = open.entry(info.name.stream).or_insert_with(|| Stream {
                    capture: path.file_name().unwrap().to_string_lossy().into_owned(),
                    info: *info,
                    protocols: protocols.clone(),
                    packets: Vec::new(),
                    reason: EndReason::SourceEnd,
                });
                stream.packets.push((*packet, payload));
            }
            Told::Packet(..) => {}
            Told::Ended(end) => {
                if let Some(mut stream) = open.remove(&end.stream)
                    && stream.is_whole()
                {
                    stream.reason = end.reason;
                    renumber(&mut stream.packets);
                    each(&stream);
                }
            }
        });
    }
    true
}

/// All of them, each with its items.
fn streams() -> Vec<(Stream, Vec<Draft>)> {
    let mut streams = Vec::new();
    each_stream(|stream| {
        let items = stream.items(&stream.packets);
        if !items.is_empty() {
            streams.push((stream.clone(), items));
        }
    });
    streams
}

/// What is in one list alone, from a little before the place where the first two differ.
fn apart(found: &[String], expected: &[String]) -> Vec<String> {
    let more: Vec<_> = found
        .iter()
        .filter(|item| !expected.contains(item))
        .collect();
    let less: Vec<_> = expected
        .iter()
        .filter(|item| !found.contains(item))
        .collect();
    let same = match (more.first(), less.first()) {
        (Some(one), Some(other)) => {
            let mut pairs = one.chars().zip(other.chars());
            pairs.position(|(one, other)| one != other).unwrap_or(0)
        }
        _ => 0,
    };
    let part = |item: &str| {
        item.chars()
            .skip(same.saturating_sub(60))
            .take(300)
            .collect::<String>()
    };
    let more = more.iter().map(|item| format!("+ {}", part(item)));
    let less = less.iter().map(|item| format!("- {}", part(item)));
    more.take(2).chain(less.take(2)).collect()
}

/// Any order, repetition, overlap or cut of the same segments gives the same items.
#[test]
fn impaired_segments_give_the_same_items() {
    let streams = streams();
    let expected: Vec<Vec<String>> = streams.iter().map(|(_, items)| sorted(items)).collect();
    let config = ProptestConfig {
        cases: 6,
        max_shrink_iters: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    // The same ones each time: a new finding is not for whoever changes something else.
    let chance = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, chance);
    let ran = runner.run(&impairment(), |how| {
        let mut wrong = Vec::new();
        for ((stream, _), expected) in streams.iter().zip(&expected) {
            let found = sorted(&stream.items(&impaired(stream, &how)));
            if found != *expected {
                let number = stream.info.name.stream.0;
                wrong.push((&stream.capture, number, apart(&found, expected)));
            }
        }
        prop_assert!(wrong.is_empty(), "found +, expected -: {:#?}", wrong);
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    every_protocol_is_among(&streams);
}

/// The captures have items of every protocol over TCP.
fn every_protocol_is_among(streams: &[(Stream, Vec<Draft>)]) {
    let mut seen = BTreeMap::<&str, usize>::new();
    for draft in streams.iter().flat_map(|(_, items)| items) {
        *seen.entry(draft.kind.abbr).or_default() += 1;
    }
    for (kind, count) in &seen {
        println!("{kind} | {count} items");
    }
    for protocol in PROTOCOLS {
        let tcp = protocol.transports().contains(&Transport::Tcp);
        let known = protocol
            .kinds()
            .iter()
            .any(|kind| seen.contains_key(kind.abbr));
        assert!(
            streams.is_empty() || !tcp || known,
            "{}: {seen:?}",
            protocol.name()
        );
    }
}

/// The packets of a stream without those that hold bytes of the one at `place`, and the first place
/// that they leave.
fn without(stream: &Stream, place: usize) -> (Vec<(Packet, Bytes)>, u64) {
    let (lost, bytes) = &stream.packets[place];
    let first = tcp(lost).seq;
    let holds = |(packet, payload): &&(Packet, Bytes)| {
        let ahead = i64::from(tcp(packet).seq.wrapping_sub(first).cast_signed());
        direction(packet) == direction(lost)
            && !payload.is_empty()
            && ahead < bytes.len() as i64
            && ahead + payload.len() as i64 > 0
    };
    let packets = stream.packets.iter();
    let (gone, left): (Vec<_>, Vec<_>) = packets.partition(holds);
    let first = gone.iter().map(|(packet, _)| packet.ordinal).min();
    (
        left.into_iter().cloned().collect(),
        first.unwrap_or(u64::MAX),
    )
}

/// Place of the first packet of an item, in a stream that was numbered anew.
fn place_of(draft: &Draft) -> u64 {
    let nanos = draft.start.since(synth::START).as_nanos() / synth::STEP.as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// The last message that begins behind a place, when there are a few.
fn last_behind(items: &[Draft], place: u64) -> Option<&Draft> {
    let behind: Vec<_> = items
        .iter()
        .filter(|draft| place_of(draft) > place)
        .collect();
    behind.last().filter(|_| behind.len() >= FEW).copied()
}

/// Whether an item of the same message is among those found. What was agreed on before, as a user's
/// name or a table of header fields, it may lack, and its other half.
fn is_among(found: &[Draft], message: &Draft) -> bool {
    found.iter().any(|one| {
        one.kind.abbr != "TCP"
            && (place_of(one) == place_of(message) || one.ordinal == message.ordinal)
    })
}

/// Captures whose streams were told something at their beginning without which the rest says nothing.
const TOLD_BEFORE: &[(&str, &str)] = &[
    ("mysql-compressed.pcap", "that packets are compressed"),
    (
        "suricata-websocket-compressed.pcap",
        "that messages are compressed",
    ),
    ("ws-over-h2.pcap", "which of its streams is a tunnel"),
    (
        "zeek-jupyter-websocket.pcap",
        "what the server's frames are, without any of the client",
    ),
];

/// Whether the rest of a stream can be read by itself; what is encrypted cannot.
fn is_plain(stream: &Stream, items: &[Draft]) -> bool {
    TOLD_BEFORE
        .iter()
        .all(|(capture, _)| stream.capture != *capture)
        && items.iter().all(|draft| draft.kind.abbr != "TLS")
}

/// A lost segment costs what it touches: what was whole before it stays, and what comes later is found.
#[test]
fn a_lost_segment_is_passed() {
    let mut wrong = Vec::new();
    let mut passed = BTreeMap::<&str, usize>::new();
    for (stream, items) in streams() {
        let mut chance = Chance(stream.info.name.stream.0);
        let data: Vec<usize> = (stream.firm()..stream.packets.len())
            .filter(|place| !stream.packets[*place].1.is_empty())
            .collect();
        for _ in 0..2.min(data.len()) {
            let place = data[chance.below(data.len() as u64) as usize];
            let (left, first) = without(&stream, place);
            let found = stream.items(&left);
            let texts = sorted(&found);
            // The last message before may go on behind the loss, as one does that ends with the stream.
            let began = items
                .iter()
                .map(place_of)
                .filter(|place| *place < first)
                .max();
            let whole = |draft: &&Draft| began.is_some_and(|began| draft.ordinal < began);
            for draft in items.iter().filter(whole) {
                let item = told(draft);
                if draft.kind.abbr != "TCP" && !texts.contains(&item) {
                    wrong.push((stream.capture.clone(), place, "before", item));
                }
            }
            let last = last_behind(&items, place as u64);
            // A lost beginning is that of a capture that begins in the middle.
            let known = |last: &&Draft| {
                let mut before = items.iter().filter(whole);
                before.any(|draft| draft.kind.abbr == last.kind.abbr)
            };
            if let Some(last) = last.filter(|_| is_plain(&stream, &items)).filter(known) {
                *passed.entry(last.kind.abbr).or_default() += 1;
                if !is_among(&found, last) {
                    wrong.push((stream.capture.clone(), place, "behind", told(last)));
                }
            }
        }
    }
    println!("passed: {passed:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Captures of which responses were put in front of their requests: their order tells which one a
/// response answers, and with a request lost it tells nothing.
const TURNED: &[&str] = &[
    "own-http1-mixed-duplicated.pcap",
    "own-http1-mixed-reordered.pcap",
];

/// Whether it is a request with its response, and not marked.
fn is_pair(draft: &&Draft) -> bool {
    let both = !matches!(draft.request, Value::Null) && !matches!(draft.response, Value::Null);
    both && draft.error.is_none()
}

/// When the two halves of a pair began.
fn times(draft: &Draft) -> (u64, u64) {
    (place_of(draft), draft.elapsed_nanos)
}

/// Whichever segment is lost, the first one behind the handshake among them: what comes out as a pair
/// is one, or is marked.
#[test]
fn a_lost_segment_makes_no_pair() {
    let mut wrong = BTreeMap::<String, Vec<(usize, usize, String)>>::new();
    let mut checked = BTreeMap::<&str, usize>::new();
    for (stream, items) in streams() {
        let pairs: HashSet<_> = items.iter().map(times).collect();
        // What was overtaken by what is lost has other times.
        let texts: HashSet<_> = items.iter().map(told).collect();
        let in_doubt = items.iter().filter(|draft| draft.error.is_some());
        let marked: HashSet<_> = in_doubt.map(place_of).collect();
        let data: Vec<usize> = (0..stream.packets.len())
            .filter(|place| !stream.packets[*place].1.is_empty())
            .collect();
        if data.is_empty() || TURNED.contains(&&*stream.capture) {
            continue;
        }
        let mut chance = Chance(stream.info.name.stream.0);
        let more = (0..40).map(|_| data[chance.below(data.len() as u64) as usize]);
        let places: BTreeSet<usize> = data.iter().take(8).copied().chain(more).collect();
        for place in places {
            let (left, _) = without(&stream, place);
            let found = stream.items(&left);
            // What was marked may be known better without what made the doubt.
            let is_known = |draft: &Draft| {
                pairs.contains(&times(draft))
                    || texts.contains(&told(draft))
                    || marked.contains(&place_of(draft))
            };
            let unmarked = found.iter().filter(is_pair);
            let invented: Vec<_> = unmarked.filter(|draft| !is_known(draft)).collect();
            if let Some(first) = invented.first() {
                let sides = |value: &Value| {
                    json::to_string(ItemNode::of_value(value))
                        .chars()
                        .take(60)
                        .collect::<String>()
                };
                let about = format!(
                    "{:?} {} {} -> {}",
                    times(first),
                    first.kind.abbr,
                    sides(&first.request),
                    sides(&first.response)
                );
                let capture = wrong.entry(stream.capture.clone()).or_default();
                capture.push((place, invented.len(), about));
            }
            for draft in &found {
                *checked.entry(draft.kind.abbr).or_default() += 1;
            }
        }
    }
    println!("checked: {checked:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A capture that begins in the middle of a stream finds the next message.
#[test]
fn a_start_in_the_middle_finds_the_next_message() {
    let mut wrong = Vec::new();
    let mut passed = BTreeMap::<&str, usize>::new();
    for (mut stream, items) in streams() {
        let mut chance = Chance(stream.info.name.stream.0);
        let firm = stream.firm();
        stream.info.opening = Opening::Port;
        for _ in 0..2.min(stream.packets.len() - firm) {
            let place = firm + chance.below((stream.packets.len() - firm) as u64) as usize;
            let last = last_behind(&items, place as u64);
            let Some(last) = last.filter(|_| is_plain(&stream, &items)) else {
                continue;
            };
            *passed.entry(last.kind.abbr).or_default() += 1;
            if !is_among(&stream.items(&stream.packets[place..]), last) {
                wrong.push((stream.capture.clone(), place, told(last)));
            }
        }
    }
    println!("passed: {passed:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
