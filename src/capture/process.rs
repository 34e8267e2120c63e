//! Which process of this node holds an end of a connection.
//!
//! In: flows that began, as the packet path sees them. Out: the process, where the rights allow to see
//! it. Never: a look into `/proc` by whoever asks: a thread of its own looks, at most [`SHARE`] of its
//! time, and answers come from what it found; more than [`MAX_KNOWN`] answers kept.
//!
//! A connection that is closed again before the thread looks has no process that the system could
//! name. Its serving end mostly has one all the same, that of the socket which listens there.

mod look;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::item::Process;
use crate::packet::{Endpoint, FiveTuple, Transport};

use look::Looker;

/// Answers kept, in each of two generations.
const MAX_KNOWN: usize = 16_384;

/// Flows that wait to be looked for.
const MAX_WAITING: usize = 4096;

/// Rest between two looks, at least and as a multiple of the time that one took: a twentieth of one
/// processor at most.
const REST: Duration = Duration::from_millis(20);
const SHARE: u32 = 20;

/// Time after which who listens is looked for again when it is asked for.
const LISTENS: Duration = Duration::from_secs(5);

/// An end of a flow: with its other end, or of whoever listens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    transport: Transport,
    local: Endpoint,
    remote: Option<Endpoint>,
}

impl Key {
    /// The source of a flow.
    fn of(flow: FiveTuple) -> Key {
        Key {
            transport: flow.transport,
            local: flow.src,
            remote: Some(flow.dst),
        }
    }

    fn listener(self) -> Key {
        Key {
            remote: None,
            ..self
        }
    }
}

#[derive(Debug, Clone)]
struct Known {
    process: Arc<Process>,
    at: Instant,
}

/// What was found, the older half forgotten when there is too much.
#[derive(Debug, Default)]
struct Answers {
    young: HashMap<Key, Known, ahash::RandomState>,
    old: HashMap<Key, Known, ahash::RandomState>,
}

impl Answers {
    fn put(&mut self, key: Key, known: Known) {
        if self.young.len() >= MAX_KNOWN {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, known);
    }

    fn get(&mut self, key: Key) -> Option<Known> {
        if let Some(known) = self.young.get(&key) {
            return Some(known.clone());
        }
        let known = self.old.remove(&key)?;
        self.put(key, known.clone());
        Some(known)
    }
}

/// Knows processes; ends its thread when it is dropped.
#[derive(Debug)]
pub struct Processes {
    answers: Arc<Mutex<Answers>>,
    send: Sender<FiveTuple>,
    left_out: AtomicU64,
}

impl Processes {
    /// Starts the thread that looks.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn start() -> io::Result<Processes> {
        let (send, wanted) = bounded(MAX_WAITING);
        let answers: Arc<Mutex<Answers>> = Arc::default();
        let found = answers.clone();
        std::thread::Builder::new()
            .name("processes".to_owned())
            .spawn(move || run(&wanted, &found))?;
        Ok(Processes {
            answers,
            send,
            left_out: AtomicU64::new(0),
        })
    }

    /// A flow begins: what was known of another one between the same ends does not count, and both
    /// ends are looked for.
    pub fn begins(&self, flow: FiveTuple) {
        let mut answers = lock(&self.answers);
        for flow in [flow, flow.reversed()] {
            let key = Key::of(flow);
            answers.young.remove(&key);
            answers.old.remove(&key);
        }
        drop(answers);
        self.want(flow);
    }

    /// Has both ends of a flow looked for; never waits.
    pub fn want(&self, flow: FiveTuple) {
        if matches!(flow.transport, Transport::Other(_)) {
            return;
        }
        if self.send.try_send(flow).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Flows that were not looked for because too many began at once.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// The process at the source of `flow`; `None` when it is not known, or not yet.
    pub fn at_source(&self, flow: FiveTuple) -> Option<Arc<Process>> {
        let key = Key::of(flow);
        let mut answers = lock(&self.answers);
        if let Some(known) = answers.get(key) {
            return Some(known.process);
        }
        let listens = answers.get(key.listener())?;
        drop(answers);
        if listens.at.elapsed() > LISTENS {
            self.want(flow);
        }
        Some(listens.process)
    }
}

fn lock(answers: &Mutex<Answers>) -> MutexGuard<'_, Answers> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(wanted: &Receiver<FiveTuple>, answers: &Mutex<Answers>) {
    let mut looker = Looker::default();
    while let Ok(first) = wanted.recv() {
        let began = Instant::now();
        let flows: HashSet<FiveTuple, ahash::RandomState> =
            std::iter::once(first).chain(wanted.try_iter()).collect();
        let found = looker.look(&flows);
        let mut known = lock(answers);
        for (key, process) in found {
            known.put(key, Known { process, at: began });
        }
        drop(known);
        std::thread::sleep(REST.max(began.elapsed() * SHARE));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

    use super::*;

    fn end(at: SocketAddr) -> Endpoint {
        Endpoint {
            ip: at.ip(),
            port: at.port(),
        }
    }

    fn wait_for(processes: &Processes, flow: FiveTuple) -> Arc<Process> {
        let late = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(process) = processes.at_source(flow) {
                return process;
            }
            assert!(Instant::now() < late, "{flow:?} is not found");
            processes.want(flow);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn both_ends_of_a_connection_and_whoever_listens_are_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let flow = FiveTuple {
            src: end(client.local_addr().unwrap()),
            dst: end(client.peer_addr().unwrap()),
            transport: Transport::Tcp,
        };
        let processes = Processes::start().unwrap();
        let (from, to) = (
            wait_for(&processes, flow),
            wait_for(&processes, flow.reversed()),
        );
        let own = std::process::id();
        assert_eq!((from.host_id, to.host_id), (own, own));
        assert_ne!(from.socket_id, to.socket_id);
        assert!(!from.name.is_empty());
        let program = std::env::current_exe().unwrap();
        assert_eq!(&*from.path, program.to_str().unwrap());
        assert!(from.host_parent_id > 0);
        // A connection that is gone again is served by whoever listens.
        let gone = FiveTuple {
            src: "127.0.0.9:1".parse().map(end).unwrap(),
            ..flow
        };
        drop((client, server));
        assert_eq!(wait_for(&processes, gone.reversed()).host_id, own);
        assert_eq!(processes.at_source(gone), None);
    }

    #[test]
    fn a_socket_of_datagrams_is_found_by_its_port() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let flow = FiveTuple {
            src: end(socket.local_addr().unwrap()),
            dst: "127.0.0.1:53".parse().map(end).unwrap(),
            transport: Transport::Udp,
        };
        let processes = Processes::start().unwrap();
        assert_eq!(wait_for(&processes, flow).host_id, std::process::id());
    }

    #[test]
    fn what_is_known_is_bounded_and_what_is_asked_for_stays() {
        let mut answers = Answers::default();
        let key = |port: u32| Key {
            transport: Transport::Tcp,
            local: Endpoint {
                ip: std::net::Ipv4Addr::from(port).into(),
                port: 1,
            },
            remote: None,
        };
        let known = Known {
            process: Arc::default(),
            at: Instant::now(),
        };
        for port in 0..3 * MAX_KNOWN as u32 {
            answers.put(key(port), known.clone());
            assert!(answers.get(key(0)).is_some(), "{port}");
        }
        assert!(answers.young.len() + answers.old.len() <= 2 * MAX_KNOWN + 1);
        assert!(answers.get(key(1)).is_none());
    }
}
