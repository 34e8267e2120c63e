//! The hub's end: tells workers what to follow, brings together what they say.
//!
//! In: connections. Out: rows in the hub's ring, states, console lines, answers. Never: trust in a
//! worker beyond its own node, a worker that holds another up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

use super::aims::Aims;
use super::lines::Lines;
use super::merge::Merge;
use super::message::{self, Spread, ToWorker};
use super::nodes::{Connection, Nodes};
use super::queries::{PATIENCE, Queries};
use super::refusals::Refusals;
use super::served::accept;
use super::targeted::Targeted;
use super::tls;
use crate::kfl;
use crate::pipeline::Rows;
use crate::time::Clock;

/// Time between two flushes of rows, and two looks at workers whose links were behind.
pub(super) const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// Time between two looks at queries that nobody looks through any more.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a hub is made of.
pub struct Options {
    /// Where workers connect.
    pub listen: SocketAddr,
    /// Certificates.
    pub tls: tls::Folder,
    /// Where rows go; nobody else fills it.
    pub rows: Arc<Rows>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Remembers the nodes over restarts.
    pub nodes: Option<PathBuf>,
    /// Further endpoints of the hub whose traffic workers leave out: the dashboard; with port 0 all ports
    /// of an address that nobody else has.
    pub own: Vec<SocketAddr>,
    /// Takes `hub.action` of workers' scripts.
    pub actions: Arc<dyn Fn(String, Json) + Send + Sync>,
    /// Takes `hub.blockPod(name, namespace)` of workers' scripts.
    pub blocks: Arc<dyn Fn(String, String) + Send + Sync>,
    /// Takes sentences for people.
    pub said: Box<dyn Fn(&str) + Send + Sync>,
}

/// The name history for one who comes.
pub struct Whole {
    /// Names, in parts of a size that is sent.
    pub parts: Vec<Vec<u8>>,
    /// Whether these are all names in force, so that an address that is not among them has none.
    pub is_all: bool,
}

/// Gives the whole name history to workers that come.
pub type WholeNames = Arc<dyn Fn() -> Whole + Send + Sync>;

/// Gives what happened lately to workers that come, in parts of a size that is sent.
pub type LateNews = Arc<dyn Fn() -> Vec<Json> + Send + Sync>;

pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) nodes: Nodes,
    pub(super) lines: Lines,
    pub(super) queries: Queries,
    pub(super) merge: Merge,
    /// What workers are told to record when they come, as it is sent.
    spread: Mutex<Option<Bytes>>,
    pub(super) aims: Aims,
    names: Mutex<Option<WholeNames>>,
    late: OnceLock<LateNews>,
    pub(super) refusals: Refusals,
    /// Number of this life.
    pub(super) life: u64,
    pub(super) connections: AtomicU64,
}

/// A hub that serves; it ends when dropped.
pub struct Hub {
    pub(super) shared: Arc<Shared>,
    /// Where workers connect.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
}

impl Hub {
    /// Listens and serves on `runtime`.
    ///
    /// # Errors
    /// One sentence, when it cannot listen or certificates cannot be read.
    pub fn start(options: Options, runtime: &tokio::runtime::Handle) -> Result<Hub, String> {
        let accepting = Arc::new(tls::Accepting::new(options.tls.clone())?);
        let listen = options.listen;
        let cannot = |error: std::io::Error| format!("the hub cannot listen on {listen}: {error}");
        let _entered = runtime.enter();
        let listener = std::net::TcpListener::bind(listen).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let listener = TcpListener::from_std(listener).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let mut life = [0; 8];
        getrandom::fill(&mut life).map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared {
            nodes: Nodes::new(options.nodes.clone()),
            lines: Lines::default(),
            queries: Queries::default(),
            merge: Merge::new(options.rows.clone()),
            spread: Mutex::default(),
            aims: Aims::default(),
            names: Mutex::default(),
            late: OnceLock::new(),
            refusals: Refusals::default(),
            // 0 is the life that no worker has met.
            life: u64::from_le_bytes(life).max(1),
            connections: AtomicU64::new(0),
            options,
        });
        let (stop, stopped) = watch::channel(false);
        let serving = shared.clone();
        let mut until = stopped.clone();
        runtime.spawn(async move {
            tokio::select! {
                () = accept(serving, listener, accepting, stopped) => {}
                _ = until.wait_for(|stop| *stop) => {}
            }
        });
        let (keeping, mut until) = (shared.clone(), stop.subscribe());
        runtime.spawn(async move {
            tokio::select! {
                () = keep(keeping) => {}
                _ = until.wait_for(|stop| *stop) => {}
            }
        });
        Ok(Hub {
            shared,
            address,
            stop,
        })
    }

    /// Tells all workers what to record and which scripts to run, and those that come later.
    ///
    /// # Errors
    /// One sentence when it is too much to be sent; what was told before stays in force.
    pub fn spread(&self, spread: &Spread) -> Result<(), String> {
        let message = said(&ToWorker::Spread(Box::new(spread.clone())))?;
        // First for those who come, then to those who are there: nobody is between the two.
        *self.shared.standing() = Some(message.clone());
        self.shared.send_all(&message);
        Ok(())
    }

    /// Tells all workers what is to be captured, and those that come later. Whoever was told before is told what
    /// changed.
    pub fn targets(&self, targets: Targeted) {
        self.shared.aims.set(targets, &self.shared.nodes);
    }

    /// Tells all workers that are there what became of pods.
    ///
    /// # Errors
    /// As [`Hub::spread`].
    pub fn news(&self, news: &Json) -> Result<(), String> {
        let news = news.clone();
        let message = said(&ToWorker::News { news })?;
        self.shared.send_all(&message);
        Ok(())
    }

    /// Gives the whole name history to workers that come from now on.
    pub fn names(&self, whole: WholeNames) {
        let mut names = self
            .shared
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *names = Some(whole);
    }

    /// Gives what happened lately to workers that come from now on: they were away meanwhile. They may
    /// be told of the same once more.
    pub fn late_news(&self, late: LateNews) {
        // Whoever starts a hub gives it once.
        let _ = self.shared.late.set(late);
    }

    /// Tells all workers what changed in the name history, as [`crate::resolve::History::read`] reads
    /// it.
    ///
    /// # Errors
    /// One sentence when it is too much to be sent.
    pub fn tell_names(&self, deltas: &[u8]) -> Result<(), String> {
        let message = message::names(deltas).map_err(|error| error.to_string())?;
        // Nobody who comes is told of the whole as it was before this, and of this before.
        let _whole = self.shared.names.lock();
        self.shared.send_all(&message);
        Ok(())
    }

    /// Writes down the nodes, for the next life.
    pub fn remember(&self) {
        let now = self.shared.options.clock.now();
        self.shared.nodes.remember(now);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.remember();
        self.stop.send_replace(true);
    }
}

impl Shared {
    fn standing(&self) -> std::sync::MutexGuard<'_, Option<Bytes>> {
        self.spread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one who comes is told to record.
    pub(super) fn spread(&self) -> Option<Bytes> {
        self.standing().clone()
    }

    /// Tells one who comes the whole name history.
    pub(super) fn tell_whole(&self, connection: &Connection) {
        let whole = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Whole { parts, mut is_all }) = whole.as_ref().map(|whole| whole()) else {
            return;
        };
        for part in parts {
            match message::names(&part) {
                Ok(message) => connection.send(&message),
                Err(error) => {
                    is_all = false;
                    tracing::warn!(%error, "some names are not told");
                }
            }
        }
        if is_all && let Ok(message) = message::said(&ToWorker::Named) {
            connection.send(&message);
        }
    }

    /// Tells one who comes what happened lately.
    pub(super) fn tell_late(&self, connection: &Connection) {
        for news in self.late.get().map(|late| late()).unwrap_or_default() {
            match said(&ToWorker::News { news }) {
                Ok(message) => connection.send(&message),
                Err(error) => tracing::warn!(error, "some happenings are not told"),
            }
        }
    }

    fn send_all(&self, message: &Bytes) {
        for (_, connection) in self.nodes.connections() {
            connection.send(message);
        }
    }

    /// Somebody looks at items through a query: workers send what matches from now on, and what they
    /// hold of before, which this waits for.
    pub(super) fn look(&self, query: &kfl::Query) {
        let names = self.nodes.names();
        let now = Instant::now();
        let (id, is_new) = self.queries.look(query.text(), names, now);
        if is_new {
            self.merge.hold(now + PATIENCE);
            self.tell_queries();
        }
        self.queries.wait(id);
        self.flush();
    }

    fn tell_queries(&self) {
        let queries = self.queries.all();
        match said(&ToWorker::Queries { queries }) {
            Ok(message) => self.send_all(&message),
            Err(error) => tracing::warn!(error, "the queries are not told"),
        }
    }

    /// Puts the rows that came into the ring, unless rows of before are waited for.
    pub(super) fn flush(&self) {
        if !self.queries.are_waiting(Instant::now()) {
            self.merge.release();
        }
        let taken = self.merge.flush();
        if taken.is_empty() {
            return;
        }
        for (_, connection) in self.nodes.connections() {
            if let Some(batch) = taken.get(&connection.number)
                && let Ok(message) = message::said(&ToWorker::Received { batch: *batch })
            {
                connection.send(&message);
            }
        }
    }
}

fn said(message: &ToWorker) -> Result<Bytes, String> {
    message::said(message).map_err(|error| error.to_string())
}

/// Does what is due by the clock.
async fn keep(shared: Arc<Shared>) {
    let mut looked = Instant::now();
    loop {
        sleep(FLUSH_EVERY).await;
        shared.flush();
        shared.aims.catch_up(&shared.nodes);
        if looked.elapsed() < LOOK_EVERY {
            continue;
        }
        looked = Instant::now();
        if shared.queries.expire(looked) {
            shared.tell_queries();
        }
        let remembering = shared.clone();
        let written = tokio::task::spawn_blocking(move || {
            remembering.nodes.remember(remembering.options.clock.now());
        });
        let _ = written.await;
    }
}
