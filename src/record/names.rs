//! The names that a reel's addresses had, with their namespaces: one JSON line each time a name was
//! first seen, or became another.
//!
//! In: both sides of the items of taken streams. Out: `names.jsonl`, whole up to the last line
//! whatever happens to the process, and a part of the sealed reel. Never: names of other streams.
//!
//! ```text
//! {"address":"10.244.2.9:8080","from":1706933106,"name":"cart","namespace":"shop"}
//! {"address":"10.244.2.9:8080","from":1706933106,"process":{"id":7,"hostId":4711,"name":"nginx",...}}
//! ```
//!
//! `from` is in Unix seconds. The first line of an address also holds for the time before it. `by` says
//! what told the name when it was not the cluster (`dns`, `tls-sni`), `who` holds pod, service and
//! more when it was. A line with `process` tells no name, but the process of the recording node that held
//! that end, as far as it was known.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ahash::RandomState;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::files::{append, open_to_append};
use crate::item::{Identity, MAX_IDENTITY, Peer, Process};
use crate::packet::Endpoint;
use crate::resolve::{Address, History, Name};
use crate::time::Timestamp;

/// Lines of one reel; Wireshark reads as many names at once.
pub(crate) const MAX_NAMES: usize = 16_384;

/// Lines of one reel that tell a process.
const MAX_PROCESSES: usize = 8192;

/// Bytes of a program's path that are kept.
const MAX_PATH: usize = 1024;

/// Longest line that is read: a name has 253 bytes, and a namespace 63.
const MAX_LINE: u64 = 4096 + MAX_IDENTITY as u64;

/// Bytes of one reel's names; further lines are left out.
const MAX_BYTES: usize = 16 << 20;

/// What else than the cluster tells names.
const SECOND: [&str; 2] = ["dns", "tls-sni"];

/// One name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// `ip` or `ip:port`.
    pub(crate) address: String,
    pub(crate) from: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) namespace: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) who: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) process: Option<ProcessLine>,
}

/// A process, as a line tells it; see [`Process`].
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ProcessLine {
    id: u32,
    parent_id: u32,
    host_id: u32,
    host_parent_id: u32,
    name: String,
    path: String,
    cgroup_id: u64,
    container_id: String,
    socket_id: u64,
}

impl ProcessLine {
    fn of(process: &Process) -> ProcessLine {
        let fits = process.path.floor_char_boundary(MAX_PATH);
        ProcessLine {
            id: process.id,
            parent_id: process.parent_id,
            host_id: process.host_id,
            host_parent_id: process.host_parent_id,
            name: process.name.to_string(),
            path: process.path.get(..fits).unwrap_or_default().to_owned(),
            cgroup_id: process.cgroup_id,
            container_id: process.container_id.to_string(),
            socket_id: process.socket_id,
        }
    }

    fn process(&self) -> Process {
        Process {
            id: self.id,
            parent_id: self.parent_id,
            host_id: self.host_id,
            host_parent_id: self.host_parent_id,
            name: self.name.as_str().into(),
            path: self.path.as_str().into(),
            cgroup_id: self.cgroup_id,
            container_id: self.container_id.as_str().into(),
            socket_id: self.socket_id,
        }
    }
}

impl Line {
    /// The name with its namespace, as Wireshark shows it; empty without a name.
    pub(crate) fn full(&self) -> String {
        match self.namespace.is_empty() || self.name.is_empty() {
            true => self.name.clone(),
            false => format!("{}.{}", self.name, self.namespace),
        }
    }

    /// The address without port.
    pub(crate) fn ip(&self) -> Option<std::net::IpAddr> {
        Some(match Address::parse(&self.address)? {
            Address::Ip(ip) => ip,
            Address::Endpoint(endpoint) => endpoint.ip,
            Address::NodePort(_) => return None,
        })
    }
}

/// Name, namespace and identity.
type Noted = (Arc<str>, Arc<str>, Option<Arc<Identity>>);

/// The names of an open reel.
#[derive(Debug)]
pub(crate) struct NameLog {
    path: PathBuf,
    last: HashMap<Address, Noted, RandomState>,
    processes: HashMap<Endpoint, Arc<Process>, RandomState>,
    lines: usize,
    told: usize,
    bytes: usize,
    pending: Vec<u8>,
}

impl NameLog {
    pub(crate) fn new(folder: &Path) -> NameLog {
        NameLog {
            path: path(folder),
            last: HashMap::default(),
            processes: HashMap::default(),
            lines: 0,
            told: 0,
            bytes: 0,
            pending: Vec::new(),
        }
    }

    /// Notes the name that a side of an item has, and its process.
    pub(crate) fn note(&mut self, peer: &Peer, at: Timestamp) {
        self.note_process(peer, at);
        if peer.name.is_empty() && peer.namespace.is_empty() {
            return;
        }
        let address = match peer.mechanism.starts_with("ip-and-port") {
            true => Address::Endpoint(peer.endpoint),
            false => Address::Ip(peer.endpoint.ip),
        };
        let name = (
            peer.name.clone(),
            peer.namespace.clone(),
            peer.identity.clone(),
        );
        let full = self.lines >= MAX_NAMES || self.bytes >= MAX_BYTES;
        if full || self.last.get(&address) == Some(&name) {
            return;
        }
        let by = SECOND.iter().find(|by| **by == peer.mechanism);
        let who = peer.identity.as_ref();
        let line = Line {
            address: address.to_string(),
            from: at.secs(),
            name: name.0.to_string(),
            namespace: name.1.to_string(),
            by: by.map_or_else(String::new, ToString::to_string),
            who: who.and_then(|who| serde_json::from_str(who.text()).ok()),
            process: None,
        };
        self.last.insert(address, name);
        self.lines += 1;
        self.add(&line);
    }

    fn note_process(&mut self, peer: &Peer, at: Timestamp) {
        let Some(process) = &peer.process else {
            return;
        };
        let full = self.told >= MAX_PROCESSES || self.bytes >= MAX_BYTES;
        if full || self.processes.get(&peer.endpoint) == Some(process) {
            return;
        }
        let line = Line {
            address: Address::Endpoint(peer.endpoint).to_string(),
            from: at.secs(),
            name: String::new(),
            namespace: String::new(),
            by: String::new(),
            who: None,
            process: Some(ProcessLine::of(process)),
        };
        self.processes.insert(peer.endpoint, process.clone());
        self.told += 1;
        self.add(&line);
    }

    fn add(&mut self, line: &Line) {
        let before = self.pending.len();
        // Texts and numbers have a JSON form, and a vector takes it.
        let _ = serde_json::to_writer(&mut self.pending, line);
        self.pending.push(b'\n');
        self.bytes += self.pending.len() - before;
    }

    /// Hands what was noted to the system.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        append(&mut open_to_append(&self.path)?, &self.pending)?;
        self.pending.clear();
        Ok(())
    }
}

/// The lines that the folder of an open reel holds; a torn last one is left out.
pub(crate) fn of_folder(folder: &Path) -> io::Result<Vec<Line>> {
    match File::open(path(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => lines(other?),
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("names.jsonl")
}

fn lines(from: impl Read) -> io::Result<Vec<Line>> {
    let mut from = BufReader::new(from);
    let mut lines = Vec::new();
    let mut text = Vec::new();
    while lines.len() < MAX_NAMES + MAX_PROCESSES {
        text.clear();
        from.by_ref().take(MAX_LINE).read_until(b'\n', &mut text)?;
        match serde_json::from_slice(&text) {
            Ok(line) if text.ends_with(b"\n") => lines.push(line),
            _ => break,
        }
    }
    Ok(lines)
}

/// Reads the names part of a reel, as far as it is good.
///
/// # Errors
/// When the bytes cannot be had.
pub fn read(from: impl Read) -> io::Result<History> {
    Ok(history(&lines(from)?))
}

pub(crate) fn history(lines: &[Line]) -> History {
    let mut history = History::new();
    let mut known: HashSet<Address, RandomState> = HashSet::default();
    for line in lines {
        let Some(address) = Address::parse(&line.address) else {
            continue;
        };
        if let (Some(process), Address::Endpoint(endpoint)) = (&line.process, address) {
            let at = Timestamp::from_secs(line.from, 0);
            history.set_process(endpoint, at, Arc::new(process.process()));
            continue;
        }
        let from = match known.insert(address) {
            true => 0,
            false => line.from,
        };
        let identity = line.who.as_ref().and_then(Identity::from_json);
        let name = Some(Name {
            identity: identity.map(Arc::new),
            mechanism: SECOND.into_iter().find(|by| *by == line.by),
            ..Name::plain(&line.name, &line.namespace)
        });
        history.set_name(address, Timestamp::from_secs(from, 0), name);
    }
    history
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::item::sample;

    #[test]
    fn names_come_back_with_namespace_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = NameLog::new(folder.path());
        let item = sample::http();
        let mut later = item.dst.clone();
        later.name = "cart-2".into();
        for (peer, at) in [(&item.dst, 100), (&item.dst, 150), (&later, 200)] {
            log.note(peer, Timestamp::from_secs(at, 0));
        }
        log.commit().unwrap();
        std::fs::write(
            path(folder.path()),
            [
                std::fs::read(path(folder.path())).unwrap(),
                b"{\"add".to_vec(),
            ]
            .concat(),
        )
        .unwrap();
        let lines = of_folder(folder.path()).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].full(), "cart.shop");
        let history = history(&lines);
        let name = |at| {
            let named = history.lookup(item.dst.endpoint, Timestamp::from_secs(at, 0));
            let named = named.unwrap();
            format!("{} {}", named.name, named.namespace)
        };
        assert_eq!(name(50), "cart shop");
        assert_eq!(name(199), "cart shop");
        assert_eq!(name(200), "cart-2 shop");
    }

    #[test]
    fn processes_come_back_beside_names_for_their_end_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = NameLog::new(folder.path());
        let process = |id: u32, path: &str| {
            Arc::new(Process {
                id,
                host_id: 4000 + id,
                name: "nginx".into(),
                path: path.into(),
                container_id: "c".repeat(64).into(),
                ..Process::default()
            })
        };
        let mut peer = sample::http().dst;
        let long = "\u{e9}".repeat(2000);
        for (of, at) in [
            (process(7, "/usr/sbin/nginx"), 100),
            (process(7, "/usr/sbin/nginx"), 150),
            (process(9, &long), 200),
        ] {
            peer.process = Some(of);
            log.note(&peer, Timestamp::from_secs(at, 0));
        }
        // Its name is there without a process too.
        peer.process = None;
        log.note(&peer, Timestamp::from_secs(300, 0));
        log.commit().unwrap();
        let lines = of_folder(folder.path()).unwrap();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].full().is_empty() && lines[1].full() == "cart.shop");
        let history = history(&lines);
        let found = |at| history.process(peer.endpoint, Timestamp::from_secs(at, 0));
        // The first one also counts for the time before it.
        assert_eq!(found(10), Some(process(7, "/usr/sbin/nginx")));
        assert_eq!(found(199), Some(process(7, "/usr/sbin/nginx")));
        let second = found(250).unwrap();
        assert_eq!((second.id, second.path.len()), (9, MAX_PATH));
        let elsewhere = Endpoint {
            port: peer.endpoint.port + 1,
            ..peer.endpoint
        };
        assert_eq!(
            history.process(elsewhere, Timestamp::from_secs(250, 0)),
            None
        );
        assert_eq!(
            &*history
                .lookup(peer.endpoint, Timestamp::from_secs(10, 0))
                .unwrap()
                .name,
            "cart"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(bytes.as_slice());
        }
    }
}
