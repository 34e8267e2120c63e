//! Which name an address had from when to when.
//!
//! In: changes, in any order of time. Out: the name at a moment, found by bisection. Never: a row
//! that repeats the one before it; more than [`MAX_CHANGES`].

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Named;
use crate::item::{Identity, Process};
use crate::packet::Endpoint;
use crate::time::Timestamp;

/// Changes that one history keeps, some 100 MB; a cluster of 5,000 pods that are all replaced
/// every hour has half of that in a week.
pub(super) const MAX_CHANGES: usize = 2_000_000;

/// Changes of one address up to which one may still come in between: moving the later ones costs
/// time, and only a disordered file asks for it.
const MAX_DISORDER: usize = 4096;

/// Processes that one history keeps, and changes of one end.
const MAX_PROCESSES: usize = 1 << 20;
const MAX_OF_END: usize = 4096;

/// Bytes of a name that are believed: a full domain name, twice over.
const MAX_NAME: usize = 512;

pub(super) const IP: &str = "ip";
pub(super) const IP_AND_PORT: &str = "ip-and-port";

/// What a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An address with all its ports.
    Ip(IpAddr),
    /// One port of an address.
    Endpoint(Endpoint),
    /// A port that every node of the cluster forwards, as it does for services of type `NodePort`.
    NodePort(u16),
}

impl Address {
    /// Reads `ip`, `ip:port`, `[ip]:port` or `*:port`, which is that port of every node; `None` when
    /// the text is none of them.
    pub fn parse(text: &str) -> Option<Address> {
        if let Some(port) = text.strip_prefix("*:") {
            return Some(Address::NodePort(port.parse().ok()?));
        }
        if let Ok(ip) = text.parse() {
            return Some(Address::Ip(ip));
        }
        let at: SocketAddr = text.parse().ok()?;
        Some(Address::Endpoint(Endpoint {
            ip: at.ip(),
            port: at.port(),
        }))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Ip(ip) => ip.fmt(f),
            Address::Endpoint(endpoint) => endpoint.fmt(f),
            Address::NodePort(port) => write!(f, "*:{port}"),
        }
    }
}

/// A name with its namespace, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// The name, without namespace.
    pub name: Arc<str>,
    /// The namespace; empty when none.
    pub namespace: Arc<str>,
    /// Pod, service and more, where the cluster told it.
    pub identity: Option<Arc<Identity>>,
    /// What told the name when it was not a history of the cluster: `dns`, `tls-sni`.
    pub mechanism: Option<&'static str>,
}

impl Name {
    /// A name of which nothing else is known.
    pub fn plain(name: &str, namespace: &str) -> Name {
        Name {
            name: name.into(),
            namespace: namespace.into(),
            identity: None,
            mechanism: None,
        }
    }
}

/// From `from` (Unix seconds) on the address has this name; `None`, none.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Unix seconds.
    pub from: i64,
    /// The name from then on.
    pub name: Option<Name>,
}

/// The names of all addresses that one node saw.
///
/// Invariant: the changes of an address rise in time, and none repeats the one before.
#[derive(Debug, Clone)]
pub struct History {
    changes: HashMap<Address, Vec<Change>, ahash::RandomState>,
    learned: HashMap<IpAddr, Arc<str>, ahash::RandomState>,
    texts: HashSet<Arc<str>, ahash::RandomState>,
    processes: HashMap<Endpoint, Vec<(i64, Arc<Process>)>, ahash::RandomState>,
    held: usize,
    first: Option<i64>,
    count: usize,
    max: usize,
}

impl Default for History {
    fn default() -> History {
        History::new()
    }
}

impl History {
    /// A history without names.
    pub fn new() -> History {
        History::with_max(MAX_CHANGES)
    }

    /// A history that keeps `max` changes.
    pub(super) fn with_max(max: usize) -> History {
        History {
            changes: HashMap::default(),
            learned: HashMap::default(),
            texts: HashSet::default(),
            processes: HashMap::default(),
            held: 0,
            first: None,
            count: 0,
            max,
        }
    }

    /// Changes that are kept at most.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Addresses that ever had a name.
    pub fn len(&self) -> usize {
        self.changes.len() + self.learned.len()
    }

    /// Whether no address ever had a name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes kept.
    pub fn changes(&self) -> usize {
        self.count
    }

    /// Notes that from `at` on `address` has a name with its namespace, or none any more.
    ///
    /// The answer is false when the history is full.
    pub fn set(&mut self, address: Address, at: Timestamp, name: Option<(&str, &str)>) -> bool {
        let name = name.map(|(name, namespace)| Name::plain(name, namespace));
        self.set_name(address, at, name)
    }

    /// The same for a name of which more is known.
    pub fn set_name(&mut self, address: Address, at: Timestamp, name: Option<Name>) -> bool {
        self.table(at.secs());
        self.note(address, at.secs(), name)
    }

    /// Replaces what is known of an address from the first of `changes` on, which rise in time; the
    /// answer is false when the history is full.
    pub fn rewrite(&mut self, address: Address, changes: &[Change]) -> bool {
        let Some(first) = changes.first() else {
            return true;
        };
        self.table(first.from);
        if let Some(known) = self.changes.get_mut(&address) {
            let keep = known.partition_point(|change| change.from < first.from);
            self.count -= known.len() - keep;
            known.truncate(keep);
            if known.is_empty() {
                self.changes.remove(&address);
            }
        }
        let mut kept = true;
        for change in changes {
            kept &= self.note(address, change.from, change.name.clone());
        }
        kept
    }

    /// Forgets the names that ended before `secs` (Unix seconds).
    pub fn forget_before(&mut self, secs: i64) {
        self.changes.retain(|_, changes| {
            let behind = changes.partition_point(|change| change.from <= secs);
            // The change in force at that moment still counts, unless it says that there is no name.
            let mut drop = behind.saturating_sub(1);
            if behind > 0
                && changes
                    .get(drop)
                    .is_some_and(|change| change.name.is_none())
            {
                drop = behind;
            }
            changes.drain(..drop);
            !changes.is_empty()
        });
        self.count = self.changes.values().map(Vec::len).sum();
        if let Some(first) = &mut self.first {
            *first = (*first).max(secs);
        }
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.texts.shrink_to_fit();
        self.changes.shrink_to_fit();
    }

    /// Notes that the capture itself names an address, as a pcapng name-resolution block does;
    /// such a name counts at all times, where no history knows better.
    pub fn learn(&mut self, ip: IpAddr, name: &str) {
        if self.learned.len() < self.max {
            let name = self.text(name);
            self.learned.entry(ip).or_insert(name);
        }
    }

    /// Notes that from `at` on a process holds this end; those of one end come in the order of time. What
    /// is more than is kept is left out.
    pub fn set_process(&mut self, endpoint: Endpoint, at: Timestamp, process: Arc<Process>) {
        if self.held >= MAX_PROCESSES {
            return;
        }
        let of = self.processes.entry(endpoint).or_default();
        let is_later = of.last().is_none_or(|(from, _)| *from <= at.secs());
        if is_later && of.len() < MAX_OF_END {
            of.push((at.secs(), process));
            self.held += 1;
        }
    }

    /// The process that held an end at a moment; the first that is known also counts for the time before.
    pub fn process(&self, endpoint: Endpoint, at: Timestamp) -> Option<Arc<Process>> {
        let of = self.processes.get(&endpoint)?;
        let behind = of.partition_point(|(from, _)| *from <= at.secs());
        let (_, process) = of.get(behind.saturating_sub(1))?;
        Some(process.clone())
    }

    /// The name of an endpoint at a moment: first that of the address with its port, then that of
    /// the address; of a node's address also the service whose node port it is.
    pub fn lookup(&self, endpoint: Endpoint, at: Timestamp) -> Option<Named> {
        if let Some(name) = self.at(&Address::Endpoint(endpoint), at) {
            return Some(named(name, IP_AND_PORT));
        }
        let found = self.lookup_ip(endpoint.ip, at);
        let is_node = |named: &Named| named.identity.as_ref().is_some_and(|who| who.is_node());
        if found.as_ref().is_some_and(is_node)
            && let Some(name) = self.at(&Address::NodePort(endpoint.port), at)
        {
            return Some(named(name, IP_AND_PORT));
        }
        found
    }

    /// The name of an address at a moment, whatever the port.
    pub fn lookup_ip(&self, ip: IpAddr, at: Timestamp) -> Option<Named> {
        if let Some(name) = self.at(&Address::Ip(ip), at) {
            return Some(named(name, IP));
        }
        self.learned.get(&ip).map(|name| Named {
            name: name.clone(),
            namespace: Arc::from(""),
            mechanism: "capture",
            identity: None,
        })
    }

    /// The newest change not later than `at`; before the first table, the first table counts.
    fn at(&self, address: &Address, at: Timestamp) -> Option<&Name> {
        let changes = self.changes.get(address)?;
        let at = at.secs().max(self.first?);
        let behind = changes.partition_point(|change| change.from <= at);
        changes.get(behind.checked_sub(1)?)?.name.as_ref()
    }

    /// All changes, by address.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Address, &[Change])> {
        self.changes
            .iter()
            .map(|(address, changes)| (address, changes.as_slice()))
    }

    /// Names that the captures hold themselves.
    pub(super) fn all_learned(&self) -> impl Iterator<Item = (&IpAddr, &Arc<str>)> {
        self.learned.iter()
    }

    /// When the first table begins, in Unix seconds.
    pub(super) fn first(&self) -> Option<i64> {
        self.first
    }

    /// Notes that there is a table from `from` on, if only an empty one.
    pub(super) fn table(&mut self, from: i64) {
        self.first = Some(self.first.map_or(from, |first| first.min(from)));
    }

    /// Notes a change, unless it repeats what already holds.
    pub(super) fn note(&mut self, address: Address, from: i64, name: Option<Name>) -> bool {
        let changes = self.changes.get(&address);
        let place = changes.map_or(0, |changes| {
            changes.partition_point(|change| change.from <= from)
        });
        let before = place.checked_sub(1).and_then(|index| changes?.get(index));
        if before.and_then(|change| change.name.as_ref()) == name.as_ref() {
            return true;
        }
        let again = before.is_some_and(|change| change.from == from);
        let later = changes.map_or(0, |changes| changes.len() - place);
        let full = self.count >= self.max || (later > 0 && place + later > MAX_DISORDER);
        if !again && full {
            return false;
        }
        let name = name.map(|name| Name {
            name: self.text(&name.name),
            namespace: self.text(&name.namespace),
            ..name
        });
        let changes = self.changes.entry(address).or_default();
        let change = Change { from, name };
        if again {
            changes[place - 1] = change;
        } else {
            changes.insert(place, change);
            self.count += 1;
        }
        true
    }

    /// One copy of each text.
    fn text(&mut self, text: &str) -> Arc<str> {
        let mut end = text.len().min(MAX_NAME);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let known: Arc<str> = Arc::from(text);
        self.texts.insert(known.clone());
        known
    }
}

fn named(name: &Name, mechanism: &'static str) -> Named {
    Named {
        name: name.name.clone(),
        namespace: name.namespace.clone(),
        mechanism: name.mechanism.unwrap_or(mechanism),
        identity: name.identity.clone(),
    }
}
