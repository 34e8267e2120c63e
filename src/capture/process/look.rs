//! A look into `/proc`: sockets of flows, and the processes that hold them.
//!
//! In: flows. Out: their ends on this node with the process of each. Never: longer than [`MAX_TIME`] in
//! one look, so that a node with very many open files costs answers and not time; network namespaces
//! whose addresses are not asked for.
//! Formats: proc(5), cgroups(7), `pid_namespaces(7)`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Key;
use crate::capture::proc_net::{self, Row, socket_inode};
use crate::item::Process;
use crate::packet::{Endpoint, FiveTuple, Transport};

/// Longest time of one look over open files.
const MAX_TIME: Duration = Duration::from_millis(250);

/// Time after which namespaces and their addresses are listed again.
const NAMESPACES_EVERY: Duration = Duration::from_secs(2);

/// Network namespaces that are looked into; a node has some hundred pods.
const MAX_NAMESPACES: usize = 1024;

/// Processes that are looked at.
const MAX_PROCESSES: usize = 65_536;

/// Processes that are looked at first, and those that are remembered.
const MAX_LIKELY: usize = 256;
const MAX_KNOWN: usize = 4096;

/// Bytes of one small file of `/proc` that are read.
const MAX_FILE: u64 = 64 * 1024;

/// Where control groups are mounted, and those of the first version one by one.
const CGROUPS: &str = "/sys/fs/cgroup";

type Flows = HashSet<FiveTuple, ahash::RandomState>;

/// A network namespace.
#[derive(Debug)]
struct Namespace {
    /// Folder with its tables, of one of its processes.
    net: PathBuf,
    addresses: HashSet<IpAddr, ahash::RandomState>,
    is_own: bool,
}

/// What is known from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Looker {
    namespaces: Vec<Namespace>,
    listed: Option<Instant>,
    /// Processes that held sockets, looked at first: mostly they are the same.
    likely: Vec<u32>,
    /// By process and the moment it began.
    known: HashMap<(u32, u64), Arc<Process>, ahash::RandomState>,
}

impl Looker {
    /// Finds the ends of `flows` on this node.
    pub(super) fn look(&mut self, flows: &Flows) -> Vec<(Key, Arc<Process>)> {
        let now = Instant::now();
        let stale = |at: Instant| now.duration_since(at) >= NAMESPACES_EVERY;
        if self.listed.is_none_or(stale) {
            self.namespaces = namespaces();
            self.listed = Some(now);
        }
        let mut sockets: HashMap<u64, Vec<Key>, ahash::RandomState> = HashMap::default();
        for namespace in &self.namespaces {
            let here = |end: &Endpoint| {
                namespace.addresses.contains(&end.ip) || namespace.is_own && end.ip.is_loopback()
            };
            let ends = flows.iter().flat_map(|flow| [*flow, flow.reversed()]);
            let ends: Vec<FiveTuple> = ends.filter(|flow| here(&flow.src)).collect();
            if !ends.is_empty() {
                let rows = proc_net::rows(&namespace.net);
                for (inode, key) in matching(&ends, &rows) {
                    sockets.entry(inode).or_default().push(key);
                }
            }
        }
        self.holders(sockets, now)
    }

    /// Who holds these sockets.
    fn holders(
        &mut self,
        mut sockets: HashMap<u64, Vec<Key>, ahash::RandomState>,
        began: Instant,
    ) -> Vec<(Key, Arc<Process>)> {
        let mut found = Vec::new();
        if sockets.is_empty() {
            return found;
        }
        let likely = std::mem::take(&mut self.likely);
        let first: HashSet<u32> = likely.iter().copied().collect();
        let others = processes().filter(|id| !first.contains(id));
        let mut holders = Vec::new();
        for id in likely.iter().copied().chain(others) {
            if sockets.is_empty() || began.elapsed() > MAX_TIME {
                break;
            }
            let mut holds = false;
            for inode in held(id) {
                if let Some(keys) = sockets.remove(&inode) {
                    holds = true;
                    let process = self.process(id, inode);
                    found.extend(keys.into_iter().map(|key| (key, process.clone())));
                }
            }
            if holds {
                holders.push(id);
            }
        }
        // Those that held nothing this time stay likely, behind those that did, as far as there is room.
        let rest = likely.into_iter().filter(|id| !holders.contains(id));
        let rest: Vec<u32> = rest.collect();
        holders.extend(rest);
        holders.truncate(MAX_LIKELY);
        self.likely = holders;
        found
    }

    fn process(&mut self, id: u32, socket_id: u64) -> Arc<Process> {
        let stat = read(id, "stat").and_then(|text| Stat::parse(&text));
        let key = (id, stat.map_or(0, |stat| stat.began));
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        let known = self.known.entry(key).or_insert_with(|| {
            let parent = stat.map_or(0, |stat| stat.parent);
            Arc::new(describe(id, parent))
        });
        Arc::new(Process {
            socket_id,
            ..Process::clone(known)
        })
    }
}

/// The sockets at the sources of `ends`: of the flow itself, else whoever listens there.
fn matching(ends: &[FiveTuple], rows: &[Row]) -> Vec<(u64, Key)> {
    let mut connected: HashMap<(Transport, Endpoint, Endpoint), u64, ahash::RandomState> =
        HashMap::default();
    let mut open: HashMap<(Transport, u16), Vec<(IpAddr, u64)>, ahash::RandomState> =
        HashMap::default();
    for row in rows.iter().filter(|row| row.inode != 0) {
        match row.listens || row.remote.ip.is_unspecified() {
            true => open
                .entry((row.transport, row.local.port))
                .or_default()
                .push((row.local.ip, row.inode)),
            false => {
                connected.insert((row.transport, row.local, row.remote), row.inode);
            }
        }
    }
    let mut found = Vec::new();
    for end in ends {
        let key = Key::of(*end);
        if let Some(inode) = connected.get(&(end.transport, end.src, end.dst)) {
            found.push((*inode, key));
        }
        let listeners = open.get(&(end.transport, end.src.port));
        let bound = |wanted: bool| {
            let mut sockets = listeners.into_iter().flatten();
            let fits = |(ip, _): &&(IpAddr, u64)| match wanted {
                true => *ip == end.src.ip,
                false => ip.is_unspecified(),
            };
            sockets.find(fits).map(|(_, inode)| *inode)
        };
        // One that is bound to the address goes before one for all addresses.
        if let Some(inode) = bound(true).or_else(|| bound(false)) {
            found.push((inode, key.listener()));
        }
    }
    found
}

/// Numbers of all processes that can be seen.
fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.take(MAX_PROCESSES)
}

/// Inodes of the sockets that a process holds; none where the rights do not suffice.
fn held(id: u32) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten();
    entries.flatten().filter_map(|entry| {
        let link = fs::read_link(entry.path()).ok()?;
        socket_inode(link.to_str()?)
    })
}

/// The network namespaces of all processes, this process's own first.
fn namespaces() -> Vec<Namespace> {
    let link = |of: &str| fs::read_link(format!("/proc/{of}/ns/net")).ok();
    let own = link("self");
    let named = |net: PathBuf, is_own| Namespace {
        addresses: proc_net::addresses(&net),
        net,
        is_own,
    };
    let mut all = vec![named(PathBuf::from("/proc/self/net"), true)];
    let mut seen: HashSet<PathBuf> = own.into_iter().collect();
    for id in processes() {
        if all.len() >= MAX_NAMESPACES {
            break;
        }
        if let Some(namespace) = link(&id.to_string())
            && seen.insert(namespace)
        {
            all.push(named(PathBuf::from(format!("/proc/{id}/net")), false));
        }
    }
    all
}

fn read(id: u32, name: &str) -> Option<String> {
    use std::io::Read as _;
    let file = fs::File::open(format!("/proc/{id}/{name}")).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What `/proc/PID/stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// In ticks since the machine began.
    began: u64,
}

impl Stat {
    /// `PID (NAME) STATE PARENT ...`; the name may hold blanks and parentheses.
    fn parse(text: &str) -> Option<Stat> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let began = fields.nth(17)?.parse().ok()?;
        Some(Stat { parent, began })
    }
}

fn describe(id: u32, parent: u32) -> Process {
    let inner = |id: u32| {
        let status = read(id, "status").unwrap_or_default();
        inner_id(&status).unwrap_or(id)
    };
    let groups = read(id, "cgroup").unwrap_or_default();
    let name = read(id, "comm").unwrap_or_default();
    let path = fs::read_link(format!("/proc/{id}/exe")).unwrap_or_default();
    Process {
        id: inner(id),
        parent_id: if parent == 0 { 0 } else { inner(parent) },
        host_id: id,
        host_parent_id: parent,
        name: name.trim_end().into(),
        path: path.to_string_lossy().into(),
        cgroup_id: cgroup_folder(&groups).map_or(0, |folder| inode_of(&folder)),
        container_id: container_of(&groups).unwrap_or_default().into(),
        socket_id: 0,
    }
}

/// The number that a process has in the innermost namespace.
fn inner_id(status: &str) -> Option<u32> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().last()?.parse().ok()
}

fn inode_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(folder).map_or(0, |found| found.ino())
}

/// The folder of a control group: of the second version, else of the first one's memory controller.
fn cgroup_folder(groups: &str) -> Option<PathBuf> {
    let lines = || {
        groups
            .lines()
            .filter_map(|line| line.split_once(':')?.1.split_once(':'))
    };
    let second = lines().find(|(controllers, _)| controllers.is_empty());
    let folder = |part: &str, group: &str| {
        let root = Path::new(CGROUPS).join(part);
        root.join(group.trim_start_matches('/'))
    };
    let unified = second
        .map(|(_, group)| folder("", group))
        .filter(|folder| folder.exists());
    let first = || {
        let (_, group) =
            lines().find(|(controllers, _)| controllers.split(',').any(|one| one == "memory"))?;
        Some(folder("memory", group))
    };
    unified.or_else(first)
}

/// Digits of a container's id.
const DIGITS: usize = 64;

/// The container that a control group is called after: its id stands in the path.
fn container_of(groups: &str) -> Option<&str> {
    let parts = groups.lines().flat_map(|line| line.split('/').rev());
    let mut ids = parts.filter_map(|part| {
        // `cri-containerd-ID.scope`, `docker-ID.scope`, or the id alone.
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let id = part.rsplit(['-', ':']).next()?;
        let is_hex = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        (id.len() == DIGITS && is_hex).then_some(id)
    });
    ids.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f3c2b1a8f3c2b1a8f3c2b1a8f3c2b1a8f3c2b1a8f3c2b1a8f3c2b1a8f3c2b1a";

    #[test]
    fn containers_are_read_from_control_groups_of_all_runtimes() {
        for line in [
            format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
            format!("0::/system.slice/docker-{ID}.scope"),
            format!("4:memory:/kubepods/besteffort/pod756c8c3e-8d5e/{ID}\n0::/"),
            format!("0::/kubepods/pod1/{ID}/inner"),
            format!("1:name=systemd:/kubepods-pod1.slice:cri-containerd:{ID}"),
        ] {
            assert_eq!(container_of(&line), Some(ID), "{line}");
        }
        for line in [
            "0::/user.slice/user-1000.slice/session-1.scope",
            "",
            "0::/abc",
            "x",
        ] {
            assert_eq!(container_of(line), None, "{line}");
        }
    }

    #[test]
    fn a_name_may_hold_anything() {
        let tail = "S 41 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        for name in ["nginx", "a b", ") R 1 (", "é"] {
            let text = format!("42 ({name}) {tail}");
            let expected = Stat {
                parent: 41,
                began: 12_345,
            };
            assert_eq!(Stat::parse(&text), Some(expected), "{text}");
        }
        assert_eq!(Stat::parse("42 nginx S 1"), None);
        assert_eq!(Stat::parse("42 (nginx) S"), None);
        assert_eq!(inner_id("Name:\tx\nNSpid:\t4242\t7\n"), Some(7));
        assert_eq!(inner_id("Name:\tx\n"), None);
    }

    fn end(ip: [u8; 4], port: u16) -> Endpoint {
        Endpoint {
            ip: ip.into(),
            port,
        }
    }

    #[test]
    fn the_connection_goes_before_whoever_listens() {
        let row = |local, remote, listens, inode| Row {
            transport: Transport::Tcp,
            local,
            remote,
            listens,
            inode,
        };
        let (server, client) = (end([10, 0, 0, 1], 80), end([10, 0, 0, 2], 4000));
        let any = end([0; 4], 0);
        let rows = [
            row(end([0; 4], 80), any, true, 1),
            row(server, any, true, 2),
            row(server, client, false, 3),
            row(end([10, 0, 0, 1], 81), client, false, 0),
        ];
        let flow = |src, dst| FiveTuple {
            src,
            dst,
            transport: Transport::Tcp,
        };
        let inodes = |src, dst| -> Vec<(u64, bool)> {
            let found = matching(&[flow(src, dst)], &rows);
            found
                .into_iter()
                .map(|(inode, key)| (inode, key.remote.is_some()))
                .collect()
        };
        assert_eq!(inodes(server, client), [(3, true), (2, false)]);
        assert_eq!(inodes(server, end([10, 0, 0, 3], 1)), [(2, false)]);
        assert_eq!(inodes(end([10, 0, 0, 9], 80), client), [(1, false)]);
        assert_eq!(inodes(client, server), []);
        // A socket that nobody holds any more names nobody.
        assert_eq!(inodes(end([10, 0, 0, 1], 81), client), []);
    }
}
