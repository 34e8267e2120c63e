//! Streams around what happens in the cluster, for recordings that wait for it (`recordings.on`).
//!
//! In: happenings, and the lists of packets that the spool keeps. Out: streams for the recorder, with
//! the names of their ends. Never: work while nothing happens; more than the first packet of a stream
//! read to tell its ends; the packet path held up.
//!
//! A stream belongs to a happening when one of its ends does and it has packets between `before` and
//! `after` it. It is taken whole, as far back as the spool goes, and followed until `after` is over.
//! The spool is looked through once a second while something is going on, one table of streams for
//! all that does. What is heard of late, because the hub was away or this node was, is looked for in the
//! same way, as far as the spool still has it, in runs before this one too; what was heard of before is not
//! taken again, nor is what a recording has of a stream.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use heard::Heard;

use super::desk::Desk;
use crate::cluster::{Ends, Happening, Key};
use crate::item::Peer;
use crate::packet::{Endpoint, StreamId, StreamName, headers};
use crate::record::manifest::Event;
use crate::record::{Scope, Trigger};
use crate::resolve::Names;
use crate::spool;
use crate::time::{Clock, Timestamp};

mod heard;

/// Happenings that wait to be looked at; a node that is drained has some hundred pods.
const MAX_WAITING: usize = 1024;

/// Happenings that are going on at once, each for one recording.
const MAX_GOING: usize = 256;

/// Streams that are told apart at a time.
const MAX_STREAMS: usize = 262_144;

/// Peers of one pod whose streams are taken too.
const MAX_PEERS: usize = 256;

/// Time between two looks into the spool.
const LOOK: Duration = Duration::from_secs(1);

/// Time in which a packet reaches the spool, and by which the order of packets may be wrong.
const SETTLED: Duration = Duration::from_secs(1);

/// What it takes to seek.
pub struct SeekingOptions {
    /// Where the recordings are.
    pub desk: Arc<Desk>,
    /// The spool.
    pub reader: spool::Reader,
    /// Names of addresses.
    pub names: Names,
    /// The node whose pods alone are looked for when only a pod is meant; `None` looks for all.
    pub node: Option<String>,
    /// Remembers what was heard of over restarts.
    pub heard: Option<PathBuf>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// Hears what happens, and has the streams around it recorded; ends when it is dropped.
pub struct Seeking {
    send: Sender<Happening>,
    left_out: AtomicU64,
}

impl Seeking {
    /// Starts the thread that looks.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn start(options: SeekingOptions) -> io::Result<Seeking> {
        let (send, happenings) = bounded(MAX_WAITING);
        let seeker = Seeker::new(options);
        std::thread::Builder::new()
            .name("seeking".to_owned())
            .spawn(move || seeker.run(&happenings))?;
        Ok(Seeking {
            send,
            left_out: AtomicU64::new(0),
        })
    }

    /// Something happened.
    pub fn happened(&self, happening: &Happening) {
        if self.send.try_send(happening.clone()).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Happenings that were not looked at because too many came at once.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

/// A happening that a recording waits for and that is not over.
struct Going {
    recording: String,
    number: u64,
    scope: Scope,
    happening: Happening,
    from: Timestamp,
    until: Timestamp,
    peers: HashSet<IpAddr, ahash::RandomState>,
    /// Streams that were looked at, by run.
    taken: HashSet<(u64, StreamId), ahash::RandomState>,
    /// With how many peers earlier runs were looked through; they change no more, but peers are found.
    looked_back: Option<usize>,
}

impl Going {
    fn reach(&self) -> &Ends {
        match self.scope {
            Scope::Pod | Scope::Peers => &self.happening.pod,
            Scope::Owner => &self.happening.all,
        }
    }

    /// Whether earlier runs are still to be looked through.
    fn looks_back(&self) -> bool {
        self.looked_back != Some(self.peers.len())
    }

    /// Whether a stream is one of its own.
    fn has(&self, stream: &Seen) -> bool {
        stream.ends.iter().any(|end| self.reach().has(*end))
    }

    /// Whether a stream is wanted: its own, and those of the peers that are known by now.
    fn wants(&self, stream: &Seen) -> bool {
        let mut ends = stream.ends.iter();
        self.has(stream) || ends.any(|end| self.peers.contains(&end.ip))
    }

    /// Notes the peers of those whose stream this is.
    fn note_peers(&mut self, stream: &Seen) {
        if self.scope != Scope::Peers || !self.has(stream) {
            return;
        }
        for end in stream.ends {
            let is_peer = !self.happening.pod.has(end)
                && !self.happening.shared.contains(&end.ip)
                && !end.ip.is_loopback()
                && !end.ip.is_multicast();
            if is_peer && self.peers.len() < MAX_PEERS {
                self.peers.insert(end.ip);
            }
        }
    }
}

/// A stream as the spool shows it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    name: StreamName,
    ends: [Endpoint; 2],
    first: Timestamp,
    last: Timestamp,
}

/// The streams of a time, up to `looked`, and at most so many.
struct Table {
    most: usize,
    streams: HashMap<StreamId, Seen, ahash::RandomState>,
    from: Option<Timestamp>,
    looked: Option<Timestamp>,
}

impl Table {
    fn new(most: usize) -> Table {
        Table {
            most,
            streams: HashMap::default(),
            from: None,
            looked: None,
        }
    }

    /// Looks through the spool from `from` up to `to`, as far as that was not done.
    fn look(&mut self, reader: &spool::Reader, from: Timestamp, to: Timestamp) {
        if let Some(known) = self.from
            && from < known
        {
            self.read(reader, from, known);
        }
        let begin = match self.looked {
            Some(looked) => looked - SETTLED,
            None => from,
        };
        self.read(reader, begin, to);
        self.from = Some(self.from.map_or(from, |known| known.min(from)));
        self.looked = Some(to);
    }

    fn read(&mut self, reader: &spool::Reader, from: Timestamp, to: Timestamp) {
        let mut packets = reader.window(from, to);
        let mut bytes = Vec::new();
        loop {
            let listed = match packets.next_entry() {
                Ok(Some(listed)) => listed,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "some packets are not looked at for a happening");
                    return;
                }
            };
            let entry = listed.entry;
            let Some((name, _)) = entry.stream else {
                continue;
            };
            if let Some(seen) = self.streams.get_mut(&name.stream) {
                seen.first = seen.first.min(entry.ts);
                seen.last = seen.last.max(entry.ts);
                continue;
            }
            if self.streams.len() >= self.most
                || !packets.read(&listed, &mut bytes).unwrap_or(false)
            {
                continue;
            }
            // A fragment shows no ports; the next packet of the stream does.
            if let Some((layers, _)) = headers::peek(entry.linktype, &bytes) {
                let seen = Seen {
                    name,
                    ends: [layers.tuple.src, layers.tuple.dst],
                    first: entry.ts,
                    last: entry.ts,
                };
                self.streams.insert(name.stream, seen);
            }
        }
    }

    /// The streams with packets between two moments, in the order in which they began.
    fn between(&self, from: Timestamp, until: Timestamp) -> Vec<Seen> {
        let within = |seen: &&Seen| seen.last >= from && seen.first <= until;
        let mut found: Vec<Seen> = self.streams.values().filter(within).copied().collect();
        found.sort_by_key(|seen| seen.name.stream);
        found
    }
}

struct Seeker {
    options: SeekingOptions,
    table: Table,
    going: Vec<Going>,
    next: u64,
    heard: Heard,
    /// By recording, how many happenings were heard of too late, and the first of them.
    late: BTreeMap<String, (u64, String)>,
}

impl Seeker {
    fn new(mut options: SeekingOptions) -> Seeker {
        Seeker {
            heard: options.heard.take().map(Heard::read).unwrap_or_default(),
            options,
            table: Table::new(MAX_STREAMS),
            going: Vec::new(),
            next: 1,
            late: BTreeMap::new(),
        }
    }

    fn run(mut self, happenings: &Receiver<Happening>) {
        loop {
            let heard = match self.going.is_empty() {
                true => happenings
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                false => happenings.recv_timeout(LOOK),
            };
            match heard {
                Ok(happening) => {
                    self.begin(&happening);
                    // Those that came with it are looked for together.
                    while let Ok(more) = happenings.try_recv() {
                        self.begin(&more);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.say_late();
            self.look();
            self.heard.keep(self.options.clock.now());
        }
    }

    fn begin(&mut self, happening: &Happening) {
        let mut meant = self.options.desk.triggers();
        meant.retain(|(_, trigger)| {
            let is_meant = trigger.on.iter().any(|on| on == happening.what.name());
            is_meant && self.is_here(happening, trigger)
        });
        let after = meant.iter().map(|(_, trigger)| trigger.after).max();
        let Some(after) = after else {
            return;
        };
        let over = happening.at() + after + SETTLED;
        if !self.heard.is_new(happening, over, self.options.clock.now()) {
            return;
        }
        for (recording, trigger) in meant {
            self.begin_for(recording, &trigger, happening);
        }
    }

    /// Says of which happenings nothing can be taken any more.
    fn say_late(&mut self) {
        for (recording, (count, first)) in std::mem::take(&mut self.late) {
            let more = match count {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            self.options.desk.say(&format!(
                "the recording {recording} has nothing of {first}{more}, heard of too late: \
                 no packet of then is in the spool"
            ));
        }
    }

    /// Whether the spool has a packet of a time, of whichever run.
    fn has_packets(&self, from: Timestamp, until: Timestamp) -> bool {
        let reader = &self.options.reader;
        let has = |reader: &spool::Reader| {
            let found = reader.window(from, until).next_entry();
            !matches!(found, Ok(None))
        };
        has(reader) || self.earlier().any(|earlier| has(&earlier))
    }

    /// Readers of the runs before this one, the newest first.
    fn earlier(&self) -> impl Iterator<Item = spool::Reader> {
        let reader = &self.options.reader;
        let runs = reader.runs().into_iter().rev();
        runs.filter(|run| *run != reader.run())
            .filter_map(|run| reader.of_run(run))
    }

    /// Whether this node looks for it: the streams of one pod are on its node.
    fn is_here(&self, happening: &Happening, trigger: &Trigger) -> bool {
        let node = self
            .options
            .node
            .as_ref()
            .filter(|_| trigger.scope == Scope::Pod);
        node.is_none_or(|node| happening.node.is_empty() || happening.node == *node)
    }

    fn begin_for(&mut self, recording: String, trigger: &Trigger, happening: &Happening) {
        let at = happening.at();
        let (from, until) = (happening.since() - trigger.before, at + trigger.after);
        let key = Key {
            namespace: happening.namespace.clone(),
            name: happening.name.clone(),
        };
        let about = format!("{} of {key}", happening.what.name());
        let is_past = until + SETTLED < self.options.clock.now();
        if is_past && !self.has_packets(from, until) {
            let noted = self.late.entry(recording).or_insert((0, about));
            noted.0 += 1;
            return;
        }
        let event = Event {
            at: at.to_string(),
            what: happening.what.name().to_owned(),
            namespace: happening.namespace.clone(),
            name: happening.name.clone(),
            node: happening.node.clone(),
            container: happening.container.clone(),
            owner: happening.owner.clone(),
            message: happening.message.clone(),
            scope: trigger.scope.name().to_owned(),
            from: from.to_string(),
            to: until.to_string(),
        };
        // Another one of the same pod goes on with what is looked for already.
        let same = self.going.iter_mut().find(|going| {
            going.recording == recording
                && going.happening.pod == happening.pod
                && going.happening.all == happening.all
        });
        if let Some(going) = same {
            if from < going.from {
                going.looked_back = None;
            }
            going.from = going.from.min(from);
            going.until = going.until.max(until);
            self.options.desk.event(&recording, going.number, event);
            return;
        }
        if self.going.len() >= MAX_GOING {
            self.options.desk.say(&format!(
                "the recording {recording} leaves out {} of {}/{}: {MAX_GOING} happenings are going on at once",
                event.what, event.namespace, event.name
            ));
            return;
        }
        let number = self.next;
        self.next += 1;
        let said = format!("the recording {recording} takes the streams around {about}");
        if !self.options.desk.event(&recording, number, event) {
            return;
        }
        self.options.desk.say(&said);
        self.going.push(Going {
            recording,
            number,
            scope: trigger.scope,
            happening: happening.clone(),
            from,
            until,
            peers: HashSet::default(),
            taken: HashSet::default(),
            looked_back: None,
        });
    }

    /// Looks for the streams of all that is going on, and ends what is over.
    fn look(&mut self) {
        let Some(from) = self.going.iter().map(|going| going.from).min() else {
            return;
        };
        let now = self.options.clock.now();
        self.table.look(&self.options.reader, from, now);
        let mut all = std::mem::take(&mut self.going);
        let earlier = self.look_back(&all);
        for going in &mut all {
            self.take(going, &earlier);
        }
        if !earlier.is_empty() {
            for going in &all {
                self.options.desk.earlier_over(&going.recording);
            }
        }
        all.retain(|going| {
            // Peers that were found just now have streams in earlier runs too.
            let is_over = now >= going.until + SETTLED && !going.looks_back();
            if is_over {
                self.options.desk.event_over(&going.recording, going.number);
            }
            !is_over
        });
        if all.is_empty() {
            self.table = Table::new(MAX_STREAMS);
        }
        self.going = all;
    }

    /// The streams of earlier runs around all that did not look for them yet.
    fn look_back(&self, all: &[Going]) -> Vec<(spool::Reader, Table)> {
        let looking = || all.iter().filter(|going| going.looks_back());
        let from = looking().map(|going| going.from).min();
        let until = looking().map(|going| going.until).max();
        let Some((from, until)) = from.zip(until) else {
            return Vec::new();
        };
        let mut most = MAX_STREAMS;
        let mut found = Vec::new();
        for reader in self.earlier() {
            let mut table = Table::new(most);
            table.look(&reader, from, until + SETTLED);
            most -= table.streams.len();
            if !table.streams.is_empty() {
                found.push((reader, table));
            }
        }
        // In the order of time.
        found.reverse();
        found
    }

    /// Takes what belongs to a happening, of earlier runs as far as it looks back.
    fn take(&mut self, going: &mut Going, earlier: &[(spool::Reader, Table)]) {
        let is_looking_back = going.looks_back();
        let earlier = if is_looking_back { earlier } else { &[] };
        let between = |table: &Table| table.between(going.from, going.until);
        let past: Vec<_> = earlier
            .iter()
            .map(|(reader, table)| (reader, between(table)))
            .collect();
        let present = between(&self.table);
        for stream in past.iter().flat_map(|(_, streams)| streams).chain(&present) {
            going.note_peers(stream);
        }
        if is_looking_back {
            going.looked_back = Some(going.peers.len());
        }
        for (reader, streams) in &past {
            for stream in streams {
                if going.wants(stream) {
                    self.take_one(going, stream, Some(*reader));
                }
            }
        }
        for stream in &present {
            if going.wants(stream) {
                self.take_one(going, stream, None);
            }
        }
    }

    /// Takes a stream of this run, or of an earlier one.
    fn take_one(&mut self, going: &mut Going, stream: &Seen, earlier: Option<&spool::Reader>) {
        let run = earlier.unwrap_or(&self.options.reader).run();
        let id = stream.name.stream;
        if !going.taken.insert((run, id)) {
            return;
        }
        let Going {
            recording, number, ..
        } = going;
        let ends = self.names_of(stream);
        let desk = &self.options.desk;
        let of = (&ends[..], stream.first);
        match earlier {
            None => desk.take_for_event(recording, *number, stream.name, of),
            Some(reader) => desk.take_earlier(recording, *number, reader, stream.name, of),
        }
    }

    /// The names that the ends of a stream had.
    fn names_of(&self, stream: &Seen) -> Vec<Peer> {
        let named = stream.ends.iter().flat_map(|end| {
            let whole = self.options.names.lookup(*end, stream.first);
            let alone = self.options.names.lookup_ip(end.ip, stream.first);
            [whole, alone].into_iter().flatten().map(move |named| Peer {
                name: named.name,
                namespace: named.namespace,
                mechanism: named.mechanism,
                identity: named.identity,
                ..Peer::unresolved(*end)
            })
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests;
