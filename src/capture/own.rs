//! Tapedeck's own traffic: which packets belong to a socket of this process or its children.
//!
//! In: a batch as it was captured, what the system says of our sockets, what other rooms say of
//! theirs. Out: the batch without our own packets. Never: leaving out by host or port alone;
//! traffic of others to the same server stays.
//!
//! A flow is looked up when its first packet is seen. Most of our connections still live then and are
//! found by their socket. One that is already gone again has no owner that the system could name;
//! it counts as ours when, at the time of the packet, a room had said that it was about to talk to that
//! very endpoint ([`OwnSockets::expect`]).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::capture::RawBatch;
use crate::packet::{Endpoint, FiveTuple, TcpFlags, Transport, headers};
use crate::time::{Clock, SystemClock, Timestamp};

#[cfg(target_os = "linux")]
mod sockets;

#[cfg(target_os = "linux")]
use sockets::Scan;

/// Time for which what a room told stays known after it was taken back: packets come late.
const LINGER: Duration = Duration::from_secs(5);

/// Slack around an announced connection: two clocks stamp it, the kernel's and ours.
const CLOCK_SLACK: Duration = Duration::from_millis(2);

/// Flows whose owner is remembered, in each of two generations.
const MAX_FLOWS: usize = 65_536;

/// Silence after which a UDP flow is looked up again: its port may be another socket's by now.
const UDP_FRESH: Duration = Duration::from_secs(2);

/// Announcements kept; more at a time than any part of the program makes.
const MAX_EXPECTED: usize = 4096;

/// What rooms say of their sockets; clones share it.
#[derive(Debug, Default, Clone)]
pub struct OwnSockets(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    told: Mutex<Told>,
    /// Wakes filters that wait for [`OwnSockets::said`].
    said: Condvar,
}

/// A word that filters wait for.
#[derive(Debug)]
struct Awaited {
    at_most: Duration,
    /// Until when, once somebody waits.
    until: Option<Instant>,
}

#[derive(Debug, Default)]
struct Told {
    /// Tuples with the moment of their removal.
    tuples: HashMap<FiveTuple, Option<Timestamp>, ahash::RandomState>,
    listeners: Vec<Endpoint>,
    /// Addresses that nobody else has.
    addresses: Vec<IpAddr>,
    /// Remote endpoints with the span in which they are expected.
    expected: Vec<(u64, Endpoint, Timestamp, Option<Timestamp>)>,
    next: u64,
    /// Counts changes of listeners and addresses, after which flows are judged anew.
    changes: u64,
    awaited: Option<Awaited>,
}

impl OwnSockets {
    /// A connection of ours, either way round; best told before its first packet leaves.
    pub fn add(&self, tuple: FiveTuple) {
        self.told().tuples.insert(ordered(tuple), None);
    }

    /// The connection is closed; its last packets still count as ours.
    pub fn remove(&self, tuple: FiveTuple) {
        let now = SystemClock.now();
        let mut told = self.told();
        if let Some(removed) = told.tuples.get_mut(&ordered(tuple)) {
            *removed = Some(now);
        }
        told.tuples
            .retain(|_, removed| removed.is_none_or(|at| now.since(at) < LINGER));
    }

    /// An endpoint on which we listen; all connections to it are ours.
    pub fn listen(&self, endpoint: Endpoint) {
        let mut told = self.told();
        if !told.listeners.contains(&endpoint) {
            told.listeners.push(endpoint);
            told.changes += 1;
        }
    }

    /// Addresses that are ours with all their ports, as a pod's own one is; those that were told before
    /// are no longer.
    pub fn set_addresses(&self, addresses: Vec<IpAddr>) {
        let mut told = self.told();
        if told.addresses != addresses {
            told.addresses = addresses;
            told.changes += 1;
        }
    }

    /// The addresses that are ours with all their ports.
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.told().addresses.clone()
    }

    /// Has filters wait before they judge their first packets, until [`OwnSockets::said`] or for `at_most`:
    /// what is ours is known only some moments after the capture began. The kernel keeps packets meanwhile.
    pub fn wait_for_word(&self, at_most: Duration) {
        self.told().awaited = Some(Awaited {
            at_most,
            until: None,
        });
    }

    /// What filters waited for is told, or will not be.
    pub fn said(&self) {
        self.told().awaited = None;
        self.0.said.notify_all();
    }

    /// What is told, once the word is there that is waited for.
    fn hear(&self) -> MutexGuard<'_, Told> {
        let mut told = self.told();
        while let Some(awaited) = &mut told.awaited {
            let now = Instant::now();
            let until = *awaited.until.get_or_insert(now + awaited.at_most);
            if until <= now {
                told.awaited = None;
                break;
            }
            let waited = self.0.said.wait_timeout(told, until - now);
            told = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        told
    }

    /// Says that a connection to `remote` is about to be made, until the guard is dropped.
    ///
    /// Connections made meanwhile are known as ours even when they end before the system can be
    /// asked; hold the guard no longer than the connecting and the request last.
    #[must_use = "the announcement ends when the guard is dropped"]
    pub fn expect(&self, remote: Endpoint) -> Expected {
        let now = SystemClock.now();
        let mut told = self.told();
        told.expected
            .retain(|(.., end)| end.is_none_or(|end| now.since(end) < LINGER));
        let number = told.next;
        told.next += 1;
        if told.expected.len() < MAX_EXPECTED {
            told.expected.push((number, remote, now, None));
        }
        Expected {
            own: self.clone(),
            number,
        }
    }

    /// Whether a connection to `remote` is announced at this moment.
    pub fn expects_now(&self, remote: Endpoint) -> bool {
        self.told()
            .expected
            .iter()
            .any(|(_, announced, _, end)| *announced == remote && end.is_none())
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An announced connection; see [`OwnSockets::expect`].
#[derive(Debug)]
pub struct Expected {
    own: OwnSockets,
    number: u64,
}

impl Drop for Expected {
    fn drop(&mut self) {
        let now = SystemClock.now();
        let mut told = self.own.told();
        if let Some((.., end)) = told
            .expected
            .iter_mut()
            .find(|(number, ..)| *number == self.number)
        {
            *end = Some(now);
        }
    }
}

impl Told {
    fn owns(&self, tuple: FiveTuple, is_local: impl Fn(&IpAddr) -> bool) -> bool {
        let ends = [tuple.src.ip, tuple.dst.ip];
        self.tuples.contains_key(&tuple)
            || ends.iter().any(|ip| self.addresses.contains(ip))
            || self.listeners.iter().any(|listener| {
                [tuple.src, tuple.dst].iter().any(|end| {
                    listens(listener, end) && (end.ip == listener.ip || is_local(&end.ip))
                })
            })
    }

    fn expects(&self, tuple: FiveTuple, at: Timestamp) -> bool {
        self.expected.iter().any(|(_, remote, from, to)| {
            (tuple.src == *remote || tuple.dst == *remote)
                && at + CLOCK_SLACK >= *from
                && to.is_none_or(|to| at <= to + CLOCK_SLACK)
        })
    }
}

/// Whether packets to `end` reach a socket that listens on `listener`.
fn listens(listener: &Endpoint, end: &Endpoint) -> bool {
    listener.port == end.port && (listener.ip == end.ip || listener.ip.is_unspecified())
}

/// The tuple with its smaller endpoint first: one key for both directions.
pub(super) fn ordered(tuple: FiveTuple) -> FiveTuple {
    if tuple.src <= tuple.dst {
        tuple
    } else {
        tuple.reversed()
    }
}

/// Takes our own packets out of batches.
#[derive(Debug)]
pub(crate) struct OwnFilter {
    told: OwnSockets,
    young: Verdicts,
    old: Verdicts,
    /// The count of changes that the verdicts are of, and the addresses that were ours then.
    changes: u64,
    addresses: Vec<IpAddr>,
    #[cfg(target_os = "linux")]
    scan: Scan,
}

type Verdicts = HashMap<FiveTuple, Verdict, ahash::RandomState>;

#[derive(Debug, Clone, Copy)]
struct Verdict {
    own: bool,
    last: Timestamp,
}

impl OwnFilter {
    pub(crate) fn new(told: OwnSockets) -> OwnFilter {
        OwnFilter {
            told,
            young: Verdicts::default(),
            old: Verdicts::default(),
            changes: 0,
            addresses: Vec::new(),
            #[cfg(target_os = "linux")]
            scan: Scan::default(),
        }
    }

    /// Takes our own packets out of `batch`, from record `from` on; gives their count.
    ///
    /// The bytes stay, unused, until the batch is cleared.
    pub(crate) fn leave_out(&mut self, batch: &mut RawBatch, from: usize) -> u64 {
        if batch.records.len() > from {
            self.follow();
        }
        let mut unknown: Vec<(FiveTuple, Timestamp)> = Vec::new();
        let tuples: Vec<Option<FiveTuple>> = batch
            .records
            .iter()
            .skip(from)
            .map(|record| {
                let start = record.start as usize;
                let bytes = batch.bytes.get(start..start + record.caplen as usize)?;
                let (layers, _) = headers::peek(record.linktype, bytes)?;
                if let Transport::Other(_) = layers.tuple.transport {
                    return None;
                }
                let tuple = ordered(layers.tuple);
                let opens = layers.tcp.is_some_and(|tcp| {
                    tcp.flags.has(TcpFlags::SYN) && !tcp.flags.has(TcpFlags::ACK)
                });
                if (opens || !self.is_known(&tuple, record.ts))
                    && unknown.last().is_none_or(|(last, _)| *last != tuple)
                {
                    unknown.push((tuple, record.ts));
                }
                Some(tuple)
            })
            .collect();
        if !unknown.is_empty() {
            self.look_up(&unknown);
        }
        let mut tuples = tuples.into_iter();
        let before = batch.records.len();
        let mut index = 0;
        let (young, old) = (&self.young, &self.old);
        batch.records.retain(|_| {
            index += 1;
            if index <= from {
                return true;
            }
            let verdict = tuples
                .next()
                .flatten()
                .and_then(|tuple| young.get(&tuple).or_else(|| old.get(&tuple)));
            !verdict.is_some_and(|verdict| verdict.own)
        });
        u64::try_from(before - batch.records.len()).unwrap_or(0)
    }

    /// Forgets the verdicts that what was told since may change: those of others, and those by addresses
    /// that are ours no longer.
    fn follow(&mut self) {
        let told = self.told.hear();
        if told.changes == self.changes {
            return;
        }
        self.changes = told.changes;
        let before = std::mem::replace(&mut self.addresses, told.addresses.clone());
        drop(told);
        let now = &self.addresses;
        let is_gone = |ip: &IpAddr| before.contains(ip) && !now.contains(ip);
        for verdicts in [&mut self.young, &mut self.old] {
            verdicts.retain(|tuple, verdict| {
                verdict.own && !is_gone(&tuple.src.ip) && !is_gone(&tuple.dst.ip)
            });
        }
    }

    /// Whether the owner of a flow is remembered; notes that the flow lives.
    fn is_known(&mut self, tuple: &FiveTuple, ts: Timestamp) -> bool {
        if let Some(verdict) = self.old.remove(tuple) {
            self.young.insert(*tuple, verdict);
        }
        let Some(verdict) = self.young.get_mut(tuple) else {
            return false;
        };
        let fresh = tuple.transport == Transport::Tcp || ts.since(verdict.last) < UDP_FRESH;
        verdict.last = ts;
        fresh
    }

    fn look_up(&mut self, unknown: &[(FiveTuple, Timestamp)]) {
        let told = self.told.told();
        #[cfg(target_os = "linux")]
        self.scan.refresh(
            unknown.iter().map(|(tuple, _)| tuple),
            unknown.iter().any(|(tuple, ts)| told.expects(*tuple, *ts)),
        );
        for (tuple, ts) in unknown {
            #[cfg(target_os = "linux")]
            let own = match self.scan.owner(tuple) {
                sockets::Owner::Ours => true,
                sockets::Owner::Other => told.owns(*tuple, |ip| self.scan.is_local(ip)),
                sockets::Owner::Gone => {
                    told.owns(*tuple, |ip| self.scan.is_local(ip)) || told.expects(*tuple, *ts)
                }
            };
            // Elsewhere the rooms' own word is all there is.
            #[cfg(not(target_os = "linux"))]
            let own = told.owns(*tuple, |_| true) || told.expects(*tuple, *ts);
            if self.young.len() >= MAX_FLOWS {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(*tuple, Verdict { own, last: *ts });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::savefile::PacketHead;
    use crate::packet::{LinkType, Position};

    fn end(last: u8, port: u16) -> Endpoint {
        Endpoint {
            ip: [198, 51, 100, last].into(),
            port,
        }
    }

    fn tuple(src: Endpoint, dst: Endpoint) -> FiveTuple {
        FiveTuple {
            src,
            dst,
            transport: Transport::Tcp,
        }
    }

    fn packet(src: Endpoint, dst: Endpoint, flags: u8) -> Vec<u8> {
        let mut out = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
        for end in [src, dst] {
            let IpAddr::V4(ip) = end.ip else { panic!() };
            out.extend_from_slice(&ip.octets());
        }
        out.extend_from_slice(&src.port.to_be_bytes());
        out.extend_from_slice(&dst.port.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        out
    }

    fn batch(packets: &[(Endpoint, Endpoint, u8)], ts: Timestamp) -> RawBatch {
        let mut batch = RawBatch::default();
        for (src, dst, flags) in packets {
            let bytes = packet(*src, *dst, *flags);
            let head = PacketHead {
                ts,
                caplen: 40,
                len: 40,
                linktype: LinkType::RAW,
                interface: 0,
            };
            batch.push(&head, Position::default(), &bytes);
        }
        batch
    }

    #[test]
    fn told_connections_and_listeners_are_left_out_in_both_directions() {
        let (us, server, other) = (end(1, 40_000), end(2, 9000), end(3, 40_000));
        let listener = end(1, 8899);
        let own = OwnSockets::default();
        own.add(tuple(us, server));
        own.listen(listener);
        let mut filter = OwnFilter::new(own.clone());
        let packets = [
            (us, server, 2),
            (server, us, 18),
            (other, server, 2),
            (other, listener, 2),
            (listener, other, 18),
        ];
        let mut batch = batch(&packets, SystemClock.now());
        assert_eq!(filter.leave_out(&mut batch, 0), 4);
        assert_eq!(batch.records.len(), 1);
        assert_eq!(batch.records[0].start, 80);
    }

    #[test]
    fn an_address_of_ours_is_left_out_until_it_is_another() {
        let (hub, server, other) = (end(1, 40_000), end(2, 443), end(3, 40_000));
        let own = OwnSockets::default();
        own.set_addresses(vec![hub.ip]);
        let packets = [(hub, server, 2), (server, hub, 18), (other, server, 2)];
        let mut first = batch(&packets, SystemClock.now());
        assert_eq!(OwnFilter::new(own.clone()).leave_out(&mut first, 0), 2);
        own.set_addresses(vec![other.ip]);
        let mut second = batch(&packets, SystemClock.now());
        assert_eq!(OwnFilter::new(own).leave_out(&mut second, 0), 1);
    }

    #[test]
    fn a_flow_of_an_address_is_judged_anew_when_that_becomes_ours_and_when_it_is_no_longer() {
        let (hub, server, other) = (end(1, 40_000), end(2, 443), end(3, 40_000));
        let own = OwnSockets::default();
        let mut filter = OwnFilter::new(own.clone());
        let packets = [(hub, server, 16), (server, hub, 16), (other, server, 16)];
        let mut left_out = || filter.leave_out(&mut batch(&packets, SystemClock.now()), 0);
        assert_eq!(left_out(), 0);
        own.set_addresses(vec![hub.ip]);
        assert_eq!(left_out(), 2);
        own.set_addresses(Vec::new());
        assert_eq!(left_out(), 0);
        own.listen(server);
        assert_eq!(left_out(), 3);
    }

    #[test]
    fn first_packets_wait_for_the_word_what_is_ours_but_not_for_ever() {
        let (hub, server) = (end(1, 40_000), end(2, 443));
        let packets = [(hub, server, 16), (server, hub, 16)];
        let first = |own: &OwnSockets| {
            let mut filter = OwnFilter::new(own.clone());
            let (tell, told) = std::sync::mpsc::channel();
            let mut batch = batch(&packets, SystemClock.now());
            std::thread::spawn(move || tell.send(filter.leave_out(&mut batch, 0)));
            told
        };
        let own = OwnSockets::default();
        own.wait_for_word(Duration::from_secs(600));
        let told = first(&own);
        assert!(told.recv_timeout(Duration::from_millis(20)).is_err());
        own.set_addresses(vec![hub.ip]);
        own.said();
        assert_eq!(told.recv(), Ok(2));
        let own = OwnSockets::default();
        own.wait_for_word(Duration::from_millis(20));
        assert_eq!(first(&own).recv(), Ok(0));
        own.set_addresses(vec![hub.ip]);
        assert_eq!(first(&own).recv(), Ok(2));
    }

    #[test]
    fn an_expected_endpoint_counts_only_while_it_is_expected() {
        let (us, server) = (end(1, 40_001), end(2, 9001));
        let own = OwnSockets::default();
        let before = SystemClock.now() - Duration::from_secs(1);
        let expected = own.expect(server);
        let during = SystemClock.now();
        drop(expected);
        let after = SystemClock.now() + Duration::from_secs(1);
        for (ts, left_out) in [(before, 0), (during, 1), (after, 0)] {
            let mut filter = OwnFilter::new(own.clone());
            let mut batch = batch(&[(us, server, 2)], ts);
            assert_eq!(filter.leave_out(&mut batch, 0), left_out);
        }
    }

    #[test]
    fn a_new_connection_under_the_same_tuple_is_looked_up_again() {
        let (us, server) = (end(1, 40_002), end(2, 9002));
        let own = OwnSockets::default();
        let mut filter = OwnFilter::new(own.clone());
        let now = SystemClock.now();
        let mut first = batch(&[(us, server, 2)], now);
        assert_eq!(filter.leave_out(&mut first, 0), 0);
        own.add(tuple(server, us));
        let mut more = batch(&[(us, server, 16)], now);
        assert_eq!(filter.leave_out(&mut more, 0), 0);
        let mut again = batch(&[(us, server, 2), (us, server, 16)], now);
        assert_eq!(filter.leave_out(&mut again, 0), 2);
    }
}
