//! The hub's end: lets workers in, tells them what to follow, brings together what they say.
//!
//! In: connections. Out: rows in the hub's ring, states, console lines, answers. Never: trust in a
//! worker beyond its own node, a worker that holds another up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value as Json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::frame::{Frame, Frames, MAX_FRAME, MAX_HELLO};
use super::lines::Lines;
use super::link::{self, HANDSHAKE};
use super::merge::Merge;
use super::message::{self, FromWorker, Hello, Spread, ToHub, ToWorker};
use super::nodes::{Connection, Nodes};
use super::queries::{PATIENCE, Queries};
use super::refusals::Refusals;
use super::tls;
use crate::kfl;
use crate::pipeline::Rows;
use crate::time::Clock;

/// Handshakes at once; whoever comes then waits.
const MAX_HANDSHAKES: usize = 64;

/// Time between two flushes of rows.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// Time between two looks at queries that nobody looks through any more.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Bytes of a node's name.
const MAX_NAME: usize = 253;

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

/// What workers are told when they come, kept as it is sent.
#[derive(Default)]
struct Standing {
    spread: Option<Bytes>,
    targets: Option<Bytes>,
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
    queries: Queries,
    merge: Merge,
    standing: Mutex<Standing>,
    names: Mutex<Option<WholeNames>>,
    late: OnceLock<LateNews>,
    refusals: Refusals,
    /// Number of this life.
    life: u64,
    connections: AtomicU64,
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
            standing: Mutex::default(),
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
        self.shared.standing().spread = Some(message.clone());
        self.shared.send_all(&message);
        Ok(())
    }

    /// Tells all workers what is to be captured, and those that come later.
    ///
    /// # Errors
    /// As [`Hub::spread`].
    pub fn targets(&self, targets: &Json) -> Result<(), String> {
        let targets = targets.clone();
        let message = said(&ToWorker::Targets { targets })?;
        let mut standing = self.shared.standing();
        standing.targets = Some(message.clone());
        // Those who are still told the names are told the targets behind them.
        for (_, connection) in self.shared.nodes.connections() {
            if connection.is_aimed.load(Ordering::Relaxed) {
                connection.send(&message);
            }
        }
        drop(standing);
        Ok(())
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
    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells one who comes the whole name history.
    fn tell_whole(&self, connection: &Connection) {
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

    /// Tells one who was told the names what is to be captured, and from now on whenever it changes.
    fn aim(&self, connection: &Connection) {
        let standing = self.standing();
        connection.is_aimed.store(true, Ordering::Relaxed);
        if let Some(message) = &standing.targets {
            connection.send(message);
        }
    }

    /// Tells one who comes what happened lately.
    fn tell_late(&self, connection: &Connection) {
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
    fn flush(&self) {
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

async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    accepting: Arc<tls::Accepting>,
    stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        let (socket, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files, as a rule: others may be closed soon.
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(FLUSH_EVERY).await;
                continue;
            }
        };
        let acceptor = TlsAcceptor::from(accepting.now());
        let (shared, mut until) = (shared.clone(), stopped.clone());
        tokio::spawn(async move {
            let serving = async {
                match let_in(&shared, socket, address, &acceptor).await {
                    Ok(worker) => {
                        drop(place);
                        worker.serve(&shared).await;
                    }
                    Err(sentence) if shared.refusals.is_new(&sentence, Instant::now()) => {
                        (shared.options.said)(&sentence);
                    }
                    Err(_) => {}
                }
            };
            tokio::select! {
                () = serving => {}
                _ = until.wait_for(|stop| *stop) => {}
            }
        });
    }
}

/// A worker that was let in.
struct Worker {
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    frames: Frames,
    ends: link::Ends,
    connection: Connection,
    node: String,
}

/// Lets a worker in, or says why not.
async fn let_in(
    shared: &Shared,
    socket: TcpStream,
    address: SocketAddr,
    acceptor: &TlsAcceptor,
) -> Result<Worker, String> {
    let from = format!("the worker at {}", address.ip());
    let refused = |error: &std::io::Error| {
        let why = tls::refusal(error, &from).unwrap_or_else(|| format!("{from}: {error}"));
        format!("A connection was refused: {why}")
    };
    let _ = socket.set_nodelay(true);
    let mut own = shared.options.own.clone();
    own.extend(socket.local_addr());
    let mut stream = match timeout(HANDSHAKE, acceptor.accept(socket)).await {
        Ok(accepted) => accepted.map_err(|error| refused(&error))?,
        Err(_) => {
            return Err(format!(
                "A connection was refused: {from} made no handshake"
            ));
        }
    };
    let mut frames = Frames::new(MAX_HELLO);
    let first = link::first(&mut stream, &mut frames)
        .await
        .map_err(|error| refused(&error))?;
    let said = message::from_worker(first);
    let Ok(Some(FromWorker::Said(ToHub::Hello(hello)))) = said else {
        return Err(format!(
            "A connection was refused: {from} did not say who it is"
        ));
    };
    let joined = joined(shared, &hello, address);
    let (connection, ends, protocol, known) = match joined {
        Ok(joined) => joined,
        Err(sentence) => {
            let message = ToWorker::Refused {
                sentence: sentence.clone(),
            };
            if let Ok(message) = message::said(&message) {
                let _ = timeout(HANDSHAKE, async {
                    stream.write_all(&message).await?;
                    stream.shutdown().await
                })
                .await;
            }
            return Err(format!(
                "The worker of {} at {} was refused: {sentence}",
                printable(&hello.node),
                address.ip()
            ));
        }
    };
    let welcome = message::said(&ToWorker::Welcome {
        protocol,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hub: shared.life,
        received: known.received,
        lines: known.lines,
        own,
    });
    let sent = async {
        stream
            .write_all(&welcome.map_err(std::io::Error::other)?)
            .await?;
        stream.flush().await
    };
    if let Err(error) = sent.await {
        let now = shared.options.clock.now();
        shared
            .nodes
            .leave(&hello.node, connection.number, &error.to_string(), now);
        return Err(refused(&error));
    }
    frames.allow(MAX_FRAME);
    Ok(Worker {
        stream,
        frames,
        ends,
        connection,
        node: hello.node,
    })
}

/// Takes a worker up among the nodes.
fn joined(
    shared: &Shared,
    hello: &Hello,
    address: SocketAddr,
) -> Result<(Connection, link::Ends, u32, super::nodes::Known), String> {
    let protocol = message::common(message::PROTOCOL, hello.protocol)?;
    let is_name =
        |text: &str| (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(|c| c.is_control());
    if ![&hello.node, &hello.ip, &hello.worker, &hello.version]
        .iter()
        .all(|text| is_name(text))
    {
        return Err(format!(
            "its node, address or version is empty, or longer than {MAX_NAME} bytes"
        ));
    }
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let (queues, ends) = link::queues();
    let connection = Connection::new(number, queues, address);
    let now = shared.options.clock.now();
    let known = shared.nodes.join(hello.clone(), connection.clone(), now)?;
    Ok((connection, ends, protocol, known))
}

fn printable(text: &str) -> String {
    let text = text.chars().take(MAX_NAME);
    text.map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

impl Worker {
    /// Serves it until the connection ends.
    async fn serve(self, shared: &Arc<Shared>) {
        let Worker {
            stream,
            frames,
            ends,
            connection,
            node,
        } = self;
        (shared.options.said)(&format!("The worker of {node} is connected"));
        let spread = shared.standing().spread.clone();
        if let Some(message) = spread {
            connection.send(&message);
        }
        let (telling, told) = (shared.clone(), connection.clone());
        let names = tokio::task::spawn_blocking(move || {
            telling.tell_whole(&told);
            // A worker records what it captures by name.
            telling.aim(&told);
            // What happened is looked for by names.
            telling.tell_late(&told);
        });
        // It ends only with the process.
        let _ = names.await;
        let queries = shared.queries.all();
        if !queries.is_empty()
            && let Ok(message) = message::said(&ToWorker::Queries { queries })
        {
            connection.send(&message);
        }
        let beat = message::said(&ToWorker::Beat).unwrap_or_default();
        let take = |frame| std::future::ready(heard(shared, &connection, &node, frame));
        let why = tokio::select! {
            why = link::run(stream, frames, ends, beat, link::PACE, take) => why,
            () = connection.kick.notified() => {
                "another connection of this worker took its place, or it read too little".to_owned()
            }
        };
        connection.calls.end();
        let now = shared.options.clock.now();
        if shared.nodes.leave(&node, connection.number, &why, now) {
            shared.queries.came(&node, None);
            (shared.options.said)(&format!(
                "The worker of {node} is gone: {why}; what it records is kept there"
            ));
        }
    }
}

/// Takes one message of a worker.
fn heard(shared: &Shared, connection: &Connection, node: &str, frame: Frame) -> Result<(), String> {
    let Some(message) = message::from_worker(frame).map_err(|error| error.to_string())? else {
        return Ok(());
    };
    let said = match message {
        FromWorker::Rows(rows) => {
            let taken = shared
                .merge
                .add(node, connection.number, rows.batch, rows.records);
            shared.nodes.took(node, rows.batch, taken);
            if shared.merge.is_full() {
                shared.flush();
            }
            return Ok(());
        }
        FromWorker::Chunk { call, bytes } => return connection.calls.chunk(call, bytes),
        FromWorker::Said(said) => said,
    };
    match said {
        ToHub::State(state) => shared.nodes.state(node, *state),
        ToHub::Console { mut lines } => {
            lines.retain(|line| shared.nodes.heard(node, line.n));
            shared.lines.add(node, lines);
        }
        ToHub::Action { action, object } => (shared.options.actions)(action, object),
        ToHub::BlockPod { name, namespace } => (shared.options.blocks)(name, namespace),
        ToHub::Answer { call, result } => return connection.calls.answer(call, result),
        ToHub::Backfilled { query } => shared.queries.came(node, Some(query)),
        ToHub::Hello(_) | ToHub::Beat | ToHub::Unknown => {}
    }
    Ok(())
}
