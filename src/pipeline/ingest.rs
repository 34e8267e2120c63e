//! Reading the source, one step after the other: headers, ordinals, streams, spool.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::crew::Feed;
use super::cuts::{Cuts, Resumed, Waiting};
use super::{Counters, Links, NamesOf, Spent, Step, Stop};
use crate::capture::duplicates::Duplicates;
use crate::capture::{CaptureError, Filled, RawBatch, Source};
use crate::dissect::Secrets;
use crate::flow::{Limits, StreamInfo, Table};
use crate::item::Origin;
use crate::packet::headers::{Decoder, Found};
use crate::packet::{
    Batch, Decoded, EndReason, Ended, Packet, Record, StreamId, StreamName, TcpFlags,
};
use crate::record::parse_goes_on;
use crate::spool;
use crate::time::{Clock, Timestamp};

/// How often a live run without traffic still takes a step, so that streams end and reels are sealed.
const IDLE_STEP: Duration = Duration::from_millis(250);

/// Where packets come from and go to first, and what is known beforehand.
pub(super) struct Setup {
    pub(super) source: Box<dyn Source>,
    pub(super) spool: Option<spool::Writer>,
    pub(super) origin: Arc<Origin>,
    pub(super) names: Option<NamesOf>,
    /// The wall clock of a live run.
    pub(super) live: Option<Arc<dyn Clock>>,
    pub(super) limits: Limits,
    pub(super) stop: Stop,
    pub(super) counters: Arc<Counters>,
    /// Where key logs of the source go; workers look there.
    pub(super) secrets: Arc<Secrets>,
    /// States that recordings ask for.
    pub(super) cuts: Cuts,
    /// Why the source could not be read to its end.
    pub(super) failure: Failure,
}

/// Why a source could not be read to its end, for whoever asks when the run is over.
pub(super) type Failure = Arc<Mutex<Option<CaptureError>>>;

/// Owns the source, the flow table and the spool's writer.
pub(super) struct Ingest {
    setup: Setup,
    state: State,
    raw: RawBatch,
    asked: bool,
    last_step: Timestamp,
    ended: bool,
}

/// Number of the first stream that has no packet; others have that of their first one.
const FIRST_OVER: u64 = 1 << 40;

/// What goes on from batch to batch.
struct State {
    decoder: Decoder,
    found: Found,
    table: Table,
    /// Second sights in files of several interfaces; a live source leaves them out itself.
    duplicates: Option<Duplicates>,
    /// Room for the packets of the next batch.
    packets: Vec<Packet>,
    ordinal: u64,
    number: u64,
    now: Timestamp,
    /// States of streams that go on from an earlier reel, and who goes on in a later one.
    waiting: Waiting,
    /// Streams of the batch that go on with a saved state.
    resumed: Vec<(StreamId, Resumed)>,
    /// Streams that had no packet in the reel which began with their states, and are over.
    over: Vec<Resumed>,
    /// How many of them there were so far.
    number_over: u64,
}

impl Feed for Ingest {
    /// The next step; waits until the source gives packets or an idle step is due. `None` when the
    /// source has ended or somebody asked to stop.
    fn next(&mut self, spent: Option<Spent>) -> Option<Step> {
        if let Some(spent) = spent {
            self.raw.room = spent.bytes;
            self.state.packets = spent.packets;
        }
        while !self.ended {
            if self.setup.stop.is_asked() && !self.asked {
                self.asked = true;
                self.setup.source.finish();
            }
            self.raw.clear();
            let filled = self.setup.source.fill(&mut self.raw);
            self.note_source();
            self.note_blocks();
            let stopped = self.asked && self.setup.live.is_none();
            let over = stopped || !matches!(filled, Ok(Filled::More | Filled::Idle));
            if let Some(clock) = &self.setup.live {
                self.state.now = self.state.now.max(clock.now());
            }
            let due = self.state.now.since(self.last_step) >= IDLE_STEP;
            let step = (!self.raw.records.is_empty() || over || due).then(|| self.step(over));
            match filled {
                Ok(Filled::Boundary) if !stopped => self.state.decoder = Decoder::new(),
                Ok(Filled::More | Filled::Idle) if !stopped => {}
                Ok(_) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    let failure = self.setup.failure.lock();
                    *failure.unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
            if self.ended {
                self.setup.counters.ended.store(true, Ordering::Relaxed);
            }
            if step.is_some() {
                return step;
            }
        }
        None
    }
}

impl Ingest {
    pub(super) fn new(setup: Setup) -> Ingest {
        let state = State {
            decoder: Decoder::new(),
            found: Found::default(),
            table: Table::new(setup.limits),
            duplicates: None,
            packets: Vec::new(),
            ordinal: 0,
            number: 0,
            now: Timestamp::default(),
            waiting: Waiting::default(),
            resumed: Vec::new(),
            over: Vec::new(),
            number_over: 0,
        };
        Ingest {
            setup,
            state,
            raw: RawBatch::default(),
            asked: false,
            last_step: Timestamp::default(),
            ended: false,
        }
    }

    fn note_source(&mut self) {
        let Setup {
            source, counters, ..
        } = &mut self.setup;
        counters.note_source(source.counts(), source.progress());
        counters.warn(source.warnings());
        // Before the batch is sent, so that its streams find them.
        for log in source.key_logs() {
            self.setup.secrets.insert(&log);
        }
    }

    fn note_blocks(&mut self) {
        // Before the packets that came with them are looked at; the marks of the reel before say
        // nothing about this one's end.
        let back = self.setup.source.back_blocks();
        let State {
            waiting,
            table,
            over,
            ..
        } = &mut self.state;
        if let Some(front) = self.setup.source.front_blocks() {
            over.extend(waiting.begin(&front, |tuple| table.has(tuple)));
        }
        for data in back {
            if let Some(tuples) = parse_goes_on(&data) {
                waiting.go_on(&tuples);
            }
        }
    }

    /// A step of the packets that were read; `over` ends every stream with it.
    fn step(&mut self, over: bool) -> Step {
        self.last_step = self.state.now;
        let (batch, opened) = self.batch(over);
        let Setup {
            source,
            origin,
            names,
            cuts,
            ..
        } = &self.setup;
        let mut origin = source.origin().unwrap_or_else(|| origin.clone());
        if let Some(addresses) = source.addresses() {
            origin = Arc::new(origin.with_addresses(&addresses));
        }
        Step {
            batch: Arc::new(batch),
            opened,
            names: names.as_ref().and_then(|names| names(&origin)),
            origin,
            record: source.record().unwrap_or_else(|| Arc::from("")),
            progress: source.progress(),
            wanted: cuts.take(),
            links: Links {
                resumed: std::mem::take(&mut self.state.resumed),
                going_on: over.then(|| std::mem::take(&mut self.state.waiting)),
            },
        }
    }

    fn batch(&mut self, over: bool) -> (Batch, Vec<StreamInfo>) {
        let Ingest {
            setup, state, raw, ..
        } = self;
        let mut batch = Batch {
            number: state.number,
            bytes: Bytes::from(std::mem::take(&mut raw.bytes)),
            packets: std::mem::take(&mut state.packets),
            ..Batch::default()
        };
        batch.packets.reserve(raw.records.len());
        let mut opened = Vec::new();
        state.number += 1;
        let (mut malformed, mut bytes) = (0, 0);
        for record in &raw.records {
            bytes += u64::from(record.caplen);
            state.packet(setup, record, &mut batch, &mut opened);
            let last = batch.packets.last();
            malformed += u64::from(last.is_some_and(|packet| packet.decoded == Decoded::Malformed));
        }
        batch.datagrams = std::mem::take(&mut state.found.datagrams);
        batch.tunnels = std::mem::take(&mut state.found.tunnels);
        state.table.sweep(state.now, &mut batch.ended);
        batch.now = state.now;
        let count = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        let counters = &setup.counters;
        count(&counters.packets, batch.packets.len() as u64);
        count(&counters.bytes, bytes);
        count(&counters.malformed, malformed);
        count(&counters.streams, opened.len() as u64);
        if let Some(last) = raw.records.last() {
            let millis = u64::try_from(last.ts.millis()).unwrap_or_default();
            counters.last_packet.store(millis, Ordering::Relaxed);
        }
        if over {
            let left = state.waiting.over();
            state.over.extend(left);
        }
        state.end_over(&mut batch, &mut opened);
        if over {
            state.table.end_all(&mut batch.ended);
        }
        if let Some(spool) = &mut setup.spool
            && let Err(error) = spool.append(&mut batch)
            && count(&counters.spool_errors, 1) == 0
        {
            counters.warn(vec![format!("spool: {error}")]);
        }
        (batch, opened)
    }
}

impl State {
    fn packet(
        &mut self,
        setup: &Setup,
        record: &Record,
        batch: &mut Batch,
        opened: &mut Vec<StreamInfo>,
    ) {
        let ordinal = self.ordinal;
        self.ordinal += 1;
        self.now = self.now.max(record.ts);
        let start = record.start as usize;
        let bytes = batch
            .bytes
            .get(start..start + record.caplen as usize)
            .unwrap_or_default();
        let decoded = self.decoder.decode(ordinal, record, bytes, &mut self.found);
        let mut stream = None;
        if setup.live.is_none() && self.is_second_sight(record, bytes) {
            // It stays among the packets, and out of its stream.
            setup.counters.duplicates.fetch_add(1, Ordering::Relaxed);
        } else if let Decoded::Flow(layers) = &decoded {
            let opens = layers.tcp.is_some_and(|tcp| tcp.flags.has(TcpFlags::SYN));
            let resumed = match self.waiting.is_empty() || opens || self.table.has(&layers.tuple) {
                true => None,
                false => self.waiting.take(&layers.tuple),
            };
            let assigned = match &resumed {
                None => self.table.assign(ordinal, record.ts, layers),
                Some(resumed) => self.table.resume(ordinal, record.ts, layers, &resumed.info),
            };
            let number = assigned.info.name.stream;
            if let Some(resumed) = resumed {
                self.resumed.push((number, resumed));
            }
            stream = Some((number, assigned.direction));
            let earlier = self.found.earlier.drain(..);
            batch
                .adopted
                .extend(earlier.map(|earlier| (earlier, number)));
            match assigned.translated {
                // The packets stay with their stream; its calls are those of the other one.
                Some(_) => {
                    setup.counters.translated.fetch_add(1, Ordering::Relaxed);
                }
                None if assigned.new => opened.push(assigned.info),
                None => {}
            }
        }
        // Built once, in its place: moving it around costs as much as reading its headers.
        batch.packets.push(Packet {
            ordinal,
            record: *record,
            decoded,
            stream,
        });
    }

    /// Opens and ends streams of which only their states are there, so that what they had open is told.
    fn end_over(&mut self, batch: &mut Batch, opened: &mut Vec<StreamInfo>) {
        for resumed in std::mem::take(&mut self.over) {
            let stream = StreamId(FIRST_OVER + self.number_over);
            self.number_over += 1;
            let name = StreamName {
                stream,
                ..resumed.info.name
            };
            opened.push(StreamInfo {
                name,
                ..resumed.info
            });
            batch.ended.push(Ended {
                stream,
                reason: EndReason::SourceEnd,
                ordinal: self.ordinal.saturating_sub(1),
            });
            self.resumed.push((stream, resumed));
        }
    }

    fn is_second_sight(&mut self, record: &Record, bytes: &[u8]) -> bool {
        if self.duplicates.is_none() {
            self.duplicates = Duplicates::for_linktype(record.linktype);
        }
        let known = self.duplicates.as_mut();
        known.is_some_and(|known| known.is_second_sight(record.linktype, bytes, record.ts))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::Path;

    use super::*;
    use crate::capture::file;
    use crate::dissect::Protocols;
    use crate::item::Item;
    use crate::packet::LinkType;
    use crate::packet::savefile::pcap;
    use crate::packet::savefile::pcapng::write;
    use crate::pipeline::Counts;
    use crate::pipeline::worker::Worker;
    use crate::synth;

    /// Items of a capture of the cluster, and what was counted.
    fn items_of(name: &str) -> Option<(Vec<Item>, Counts)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures/k8s");
        let Ok(source) = file::open(&Path::new(folder).join(name)) else {
            println!("skipped: the sample captures are not beside the repository");
            return None;
        };
        Some(items_in(source))
    }

    fn items_in(source: Box<dyn Source>) -> (Vec<Item>, Counts) {
        let counters: Arc<Counters> = Arc::default();
        let mut ingest = Ingest::new(Setup {
            source,
            spool: None,
            origin: Arc::default(),
            names: None,
            live: None,
            limits: Limits::default(),
            stop: Stop::default(),
            counters: counters.clone(),
            secrets: Arc::default(),
            cuts: Cuts::default(),
            failure: Failure::default(),
        });
        let mut worker = Worker::new(0, 1, Protocols::all(), counters.clone());
        let mut items = Vec::new();
        while let Some(step) = ingest.next(None) {
            items.extend(worker.find(&step).items);
        }
        (items, counters.now())
    }

    #[test]
    fn a_capture_tells_which_calls_its_machine_made() {
        let calls = || {
            let call = |client: &str, port: u16| {
                let client: IpAddr = client.parse().unwrap();
                synth::tcp((client, port), ([192, 0, 2, 80], 80))
                    .to_server("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    .to_client("HTTP/1.1 204 No Content\r\n\r\n")
                    .fin()
            };
            [call("192.0.2.8", 40_001), call("192.0.2.9", 40_002)].concat()
        };
        let outgoing = |file: Vec<u8>| {
            let reader = Box::new(std::io::Cursor::new(file));
            let source = file::FileSource::new("made", reader, 0).unwrap();
            let (items, _) = items_in(Box::new(source));
            let mut found: Vec<_> = items
                .iter()
                .map(|item| (item.src.endpoint.ip.to_string(), item.is_outgoing()))
                .collect();
            found.sort();
            found
        };
        // By the addresses of its interface.
        let of_interface = |addresses: &[IpAddr]| {
            let mut file = Vec::new();
            write::section(&mut file, &write::Section::default());
            let interface = write::Interface {
                linktype: LinkType::ETHERNET,
                snaplen: 0,
                name: "eth0",
                description: "",
                filter: "",
                addresses,
            };
            write::interface(&mut file, &interface);
            for frame in calls() {
                let len = u32::try_from(frame.bytes.len()).unwrap();
                write::packet(&mut file, 0, frame.ts, len, &frame.bytes);
            }
            outgoing(file)
        };
        let told = |first, second| {
            [("192.0.2.8", first), ("192.0.2.9", second)].map(|(ip, is)| (ip.to_owned(), is))
        };
        assert_eq!(of_interface(&[]), told(false, false));
        assert_eq!(
            of_interface(&["192.0.2.8".parse().unwrap()]),
            told(true, false)
        );
        // By the headers of cooked packets: the second machine was asked, and is this one.
        let mut file = Vec::new();
        pcap::write_header(&mut file, LinkType::LINUX_SLL, 0, pcap::Precision::Nanos);
        for frame in calls() {
            let is_first =
                frame.bytes[26..30] == [192, 0, 2, 8] || frame.bytes[30..34] == [192, 0, 2, 8];
            let is_request = frame.bytes[30..34] == [192, 0, 2, 80];
            let sent = is_first == is_request;
            let mut cooked = vec![0, if sent { 4 } else { 0 }, 0, 1, 0, 6];
            cooked.extend([0; 8]);
            cooked.extend_from_slice(&frame.bytes[12..]);
            let len = u32::try_from(cooked.len()).unwrap();
            pcap::write_packet(&mut file, pcap::Precision::Nanos, frame.ts, len, &cooked);
        }
        assert_eq!(outgoing(file), told(true, false));
    }

    #[test]
    fn each_call_of_a_node_is_shown_once() {
        // As many as the pod and the bridge saw (`constructed.json`). The node's recording begins with one
        // more, and has nothing of another one.
        for (name, calls) in [
            ("pod-client-eth0.pcap", 46),
            ("bridge-cni0.pcap", 49),
            ("node-any-sll2.pcap", 49),
        ] {
            let Some((items, _)) = items_of(name) else {
                return;
            };
            let http: Vec<_> = items
                .iter()
                .filter(|item| item.protocol.name == "http")
                .collect();
            let mut clients: Vec<u16> = http.iter().map(|item| item.src.endpoint.port).collect();
            clients.sort_unstable();
            clients.dedup();
            assert_eq!((http.len(), clients.len()), (calls, calls), "{name}");
        }
    }

    #[test]
    fn a_node_that_sees_a_packet_on_several_interfaces_shows_it_once() {
        let Some((items, counts)) = items_of("node-any-sll2.pcap") else {
            return;
        };
        // Three errors of ICMP, each seen on the bridge and on the pod's interface; tshark has 6.
        let icmp = items.iter().filter(|item| item.protocol.name == "icmp");
        assert_eq!(icmp.count(), 3);
        assert!(counts.duplicates > 264, "{}", counts.duplicates);
        assert!(counts.translated > 30, "{}", counts.translated);
        assert_eq!(counts.packets, 1444);
    }
}
