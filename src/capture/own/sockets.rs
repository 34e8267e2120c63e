//! Which sockets this process and its children hold, as Linux tells it.
//!
//! In: `/proc`: the inodes of our open sockets, and the tables of all sockets of the network
//! namespace. Out: the owner of a five-tuple. Never: a walk over other processes.
//! Looking is two steps: our own inodes are listed each time (a few microseconds a file), the tables,
//! which hold every socket of the host, are read only when that shows a socket not known yet.
//! Formats: proc(5), `proc_pid_fd`, `proc_pid_net`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::capture::own::listens;
use crate::capture::proc_net::{self, Row, socket_inode};
use crate::packet::{Endpoint, FiveTuple, Transport};

/// Time for which a connection of ours is remembered after it was last seen open.
const REMEMBER: Duration = Duration::from_secs(10);

/// Children are looked for again after this long; walking all threads' children costs more than the
/// rest.
const CHILDREN_EVERY: Duration = Duration::from_millis(20);

/// A socket in no table (not connected yet, or of a family without addresses) makes the tables be
/// read again at most this often, once it is older than that.
const UNRESOLVED_EVERY: Duration = Duration::from_millis(200);

/// Sockets of ours that are followed; more than any limit on open files in use.
const MAX_SOCKETS: usize = 65_536;

/// Time after which this machine's addresses are read again.
const ADDRESSES_EVERY: Duration = Duration::from_secs(1);

/// Depth of the tree of children that is walked: scripts and credential helpers start few.
const MAX_GENERATIONS: usize = 4;

/// Whose socket carries a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// This process or a child.
    Ours,
    /// Another process, or no socket of this host at all as far as is known.
    Other,
    /// No open socket carries it any more.
    Gone,
}

type Set<T> = HashSet<T, ahash::RandomState>;
type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// What was found when last looked.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Our sockets, and when each was first seen; true once found in a table.
    inodes: Map<u64, (Instant, bool)>,
    /// Our connections, and when they were last seen.
    tuples: Map<FiveTuple, Instant>,
    listeners: Vec<Endpoint>,
    /// Local endpoints that only sockets of ours use: address translation may have changed the
    /// remote one on the wire.
    locals: Set<(Transport, Endpoint)>,
    /// Of the flows asked for: those that an open socket of another process carries.
    others: Set<FiveTuple>,
    /// Whether the tables were read in this refresh.
    read_now: bool,
    children: Vec<u32>,
    children_at: Option<Instant>,
    tables_at: Option<Instant>,
    addresses: Set<IpAddr>,
    addresses_at: Option<Instant>,
}

impl Scan {
    /// Looks again, for the flows `asked`; `tables` makes the tables be read in any case.
    pub(super) fn refresh<'a>(&mut self, asked: impl Iterator<Item = &'a FiveTuple>, tables: bool) {
        let now = Instant::now();
        let mut found: Set<u64> = Set::default();
        list_sockets(Path::new("/proc/self/fd"), &mut found);
        if self
            .children_at
            .is_none_or(|at| now.duration_since(at) >= CHILDREN_EVERY)
        {
            self.children = children();
            self.children_at = Some(now);
        }
        for child in &self.children {
            list_sockets(Path::new(&format!("/proc/{child}/fd")), &mut found);
        }
        self.inodes.retain(|inode, _| found.contains(inode));
        for inode in found {
            self.inodes.entry(inode).or_insert((now, false));
        }
        if self
            .addresses_at
            .is_none_or(|at| now.duration_since(at) >= ADDRESSES_EVERY)
        {
            self.addresses = proc_net::addresses(Path::new("/proc/self/net"));
            self.addresses_at = Some(now);
        }
        let rest = self
            .tables_at
            .is_some_and(|at| now.duration_since(at) < UNRESOLVED_EVERY);
        let unresolved = self.inodes.values().any(|(first, resolved)| {
            !resolved && (!rest || now.duration_since(*first) <= UNRESOLVED_EVERY)
        });
        self.others.clear();
        self.read_now = tables || unresolved;
        if self.read_now {
            let asked: Set<FiveTuple> = asked.copied().collect();
            self.read_tables(&asked, now);
        }
    }

    /// Who carries `tuple`, which [`Scan::refresh`] was asked for.
    pub(super) fn owner(&self, tuple: &FiveTuple) -> Owner {
        if self.others.contains(tuple) {
            return Owner::Other;
        }
        let ends = [tuple.src, tuple.dst];
        // Nothing is translated between two ends of this machine, and two connections may share
        // one of them: there the whole tuple decides.
        let inside =
            tuple.transport == Transport::Tcp && ends.iter().all(|end| self.is_local(&end.ip));
        let ours = self.tuples.contains_key(tuple)
            || ends.iter().filter(|end| self.is_local(&end.ip)).any(|end| {
                let bound = |ip: IpAddr| {
                    let local = Endpoint { ip, ..*end };
                    self.locals.contains(&(tuple.transport, local))
                };
                let is_bound = bound(end.ip)
                    || bound(Ipv4Addr::UNSPECIFIED.into())
                    || bound(Ipv6Addr::UNSPECIFIED.into());
                (!inside && is_bound)
                    || (tuple.transport == Transport::Tcp
                        && self.listeners.iter().any(|ours| listens(ours, end)))
            });
        match (ours, self.read_now) {
            (true, _) => Owner::Ours,
            (false, true) => Owner::Gone,
            (false, false) => Owner::Other,
        }
    }

    /// Whether an address is this machine's: a socket bound to all addresses has no other.
    pub(super) fn is_local(&self, ip: &IpAddr) -> bool {
        ip.is_loopback() || self.addresses.contains(ip)
    }

    fn read_tables(&mut self, asked: &Set<FiveTuple>, now: Instant) {
        self.tables_at = Some(now);
        self.listeners.clear();
        self.locals.clear();
        let rows = proc_net::rows(Path::new("/proc/self/net"));
        self.note(&rows, asked, now);
        // Sockets without ports, so that they are not taken for ones that are about to connect.
        for (name, column) in [("unix", 6), ("netlink", 9), ("packet", 8)] {
            let text = fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default();
            for line in text.lines().skip(1) {
                let inode = line.split_ascii_whitespace().nth(column);
                if let Some(inode) = inode.and_then(|inode| inode.parse().ok())
                    && let Some((_, resolved)) = self.inodes.get_mut(&inode)
                {
                    *resolved = true;
                }
            }
        }
    }

    fn note(&mut self, rows: &[Row], asked: &Set<FiveTuple>, now: Instant) {
        for row in rows {
            let Some((_, resolved)) = self.inodes.get_mut(&row.inode) else {
                continue;
            };
            *resolved = true;
            let local = (row.transport, row.local);
            if row.listens {
                self.listeners.push(row.local);
            } else if row.remote.ip.is_unspecified() {
                // A UDP socket that is not connected: whatever its port sends is ours.
                self.locals.insert(local);
                *resolved = row.local.port != 0;
            } else {
                self.locals.insert(local);
                self.tuples.insert(row.ordered(), now);
            }
        }
        for row in rows {
            if row.inode == 0 || self.inodes.contains_key(&row.inode) {
                continue;
            }
            self.locals.remove(&(row.transport, row.local));
            // On loopback both ends are sockets of this host: ours at one end is enough.
            let tuple = row.ordered();
            if asked.contains(&tuple) && self.tuples.get(&tuple) != Some(&now) {
                self.others.insert(tuple);
            }
        }
        self.tuples
            .retain(|_, last| now.duration_since(*last) < REMEMBER);
    }
}

/// Adds the inodes of the sockets open in a process.
fn list_sockets(folder: &Path, into: &mut Set<u64>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if into.len() >= MAX_SOCKETS {
            return;
        }
        let inode = fs::read_link(entry.path())
            .ok()
            .and_then(|link| socket_inode(link.to_str()?));
        into.extend(inode);
    }
}

/// Process numbers of children, their children, and so on.
fn children() -> Vec<u32> {
    let mut all = Vec::new();
    let mut parents = vec![std::process::id()];
    for _ in 0..MAX_GENERATIONS {
        let next: Vec<u32> = parents
            .iter()
            .flat_map(|parent| children_of(*parent))
            .collect();
        if next.is_empty() {
            break;
        }
        all.extend_from_slice(&next);
        parents = next;
    }
    all
}

fn children_of(parent: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| {
            text.split_ascii_whitespace()
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;
    use crate::capture::own::ordered;

    fn to_endpoint(addr: std::net::SocketAddr) -> Endpoint {
        Endpoint {
            ip: addr.ip(),
            port: addr.port(),
        }
    }

    #[test]
    fn sockets_of_this_process_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let connected = ordered(FiveTuple {
            src: to_endpoint(stream.local_addr().unwrap()),
            dst: to_endpoint(stream.peer_addr().unwrap()),
            transport: Transport::Tcp,
        });
        let datagrams = ordered(FiveTuple {
            src: to_endpoint(udp.local_addr().unwrap()),
            dst: "192.0.2.77:53".parse().map(to_endpoint).unwrap(),
            transport: Transport::Udp,
        });
        let foreign = ordered(FiveTuple {
            src: "192.0.2.77:1".parse().map(to_endpoint).unwrap(),
            dst: "192.0.2.78:2".parse().map(to_endpoint).unwrap(),
            transport: Transport::Tcp,
        });
        let asked = [connected, datagrams, foreign];
        let mut scan = Scan::default();
        scan.refresh(asked.iter(), true);
        let owners = asked.map(|tuple| scan.owner(&tuple));
        assert_eq!(owners, [Owner::Ours, Owner::Ours, Owner::Gone]);
        // A connection stays known for a while after it was closed.
        drop((stream, listener));
        scan.refresh(asked.iter(), true);
        assert_eq!(scan.owner(&connected), Owner::Ours);
    }
}
