//! The worker's end: finds the hub, tells it what it asks for, follows what it says.
//!
//! In: the run of this node. Out: its state, console, rows and packets; recordings, scripts, targets
//! and names handed to [`Follower`]. Never: a run that waits for the hub. Without a hub everything
//! goes on as it last said, and the worker tries again, more and more seldom.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::feed::{Feed, Step};
use super::frame::{Frame, Frames, MAX_FRAME, MAX_HELLO};
use super::link::{self, HANDSHAKE, Queues};
use super::message::{
    self, Ask, ConsoleLine, FeedCounts, FromHub, Hello, QueryText, Spread, State, ToHub, ToWorker,
};
use super::tls;
use crate::capture::own::OwnSockets;
use crate::item::flat;
use crate::item::json::{AsJson, JsonNode};
use crate::kfl::Schema;
use crate::packet::{Endpoint, StreamName};
use crate::pipeline::{Counters, Rows};
use crate::server::{Run, item_of};
use crate::time::{Clock, Timestamp};

/// Pause after the first connection that failed; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Time between two looks at state and console.
const LOOK: Duration = Duration::from_secs(1);

/// Time that rows are collected for.
const PACE: Duration = Duration::from_millis(50);

/// Bytes of console lines in one message.
const LINES_BYTES: usize = 1 << 20;

/// Time for the marks of one batch.
const MARKS_PATIENCE: Duration = Duration::from_secs(2);

/// Things that the hub asks for at once.
const MAX_CALLS: usize = 4;

/// Bytes of one chunk.
const CHUNK: usize = 256 << 10;

/// Chunks that may come before the hub asks for more.
pub(super) const CHUNKS: u32 = 16;

/// How long a chunk waits for whoever asked.
const CHUNK_PATIENCE: Duration = Duration::from_secs(60);

/// Orders of the hub that wait to be followed.
const ORDERS: usize = 64;

/// Follows what the hub says.
pub trait Follower: Send + Sync {
    /// Recordings and scripts as they are from now on.
    fn spread(&self, spread: &Spread);

    /// What is to be captured, as whoever names the targets wrote it.
    fn targets(&self, targets: &Json);

    /// Deltas of the name history, as [`crate::resolve::History::read`] reads them.
    fn names(&self, deltas: &[u8]);
}

/// What a worker tells of.
pub struct Options {
    /// Where the hub is, `host:port`.
    pub hub: String,
    /// Certificates.
    pub tls: tls::Folder,
    /// Who this is; the protocol is set to the one in force.
    pub hello: Hello,
    /// The live rows.
    pub rows: Arc<Rows>,
    /// The counters.
    pub counters: Arc<Counters>,
    /// The run.
    pub run: Arc<dyn Run>,
    /// Fields for queries.
    pub schema: Arc<Schema>,
    /// For `now()` in queries.
    pub clock: Arc<dyn Clock>,
    /// Where the hub's endpoints are announced, so that they are not captured.
    pub own: OwnSockets,
    /// Follows what the hub says.
    pub follower: Arc<dyn Follower>,
    /// Takes sentences for people.
    pub said: Box<dyn Fn(&str) + Send + Sync>,
}

/// How the link to the hub is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether the hub is there.
    pub connected: bool,
    /// When that began.
    pub since: Timestamp,
    /// Why the last connection ended or could not be made; empty before the first.
    pub why: String,
}

/// Where scripts of this node send what is for the hub; there before the link is.
#[derive(Debug, Clone, Default)]
pub struct Actions(Arc<Mutex<Option<mpsc::Sender<Bytes>>>>);

impl Actions {
    /// Sends `hub.action`.
    ///
    /// # Errors
    /// One sentence when it did not leave.
    pub fn send(&self, action: &str, object: &Json) -> Result<(), String> {
        let message = message::said(&ToHub::Action {
            action: action.to_owned(),
            object: object.clone(),
        })
        .map_err(|error| error.to_string())?;
        let queue = self.queue().clone();
        let queue = queue.ok_or("the hub is not connected, the action did not reach it")?;
        queue
            .try_send(message)
            .map_err(|_| "the hub is behind, the action did not reach it".to_owned())
    }

    fn queue(&self) -> MutexGuard<'_, Option<mpsc::Sender<Bytes>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The link of a worker; it ends when dropped.
pub struct Uplink {
    standing: Arc<Mutex<Standing>>,
    feed: Arc<Mutex<Feed>>,
    stop: watch::Sender<bool>,
}

impl Uplink {
    /// Keeps the link on `runtime`.
    pub fn start(options: Options, actions: Actions, runtime: &tokio::runtime::Handle) -> Uplink {
        let standing: Arc<Mutex<Standing>> = Arc::default();
        let (stop, stopped) = watch::channel(false);
        let feed = Feed::new(options.rows.clone(), options.schema.clone());
        let feed = Arc::new(Mutex::new(feed));
        let kept = Kept {
            feed: feed.clone(),
            actions,
            standing: standing.clone(),
            options: Arc::new(options),
        };
        runtime.spawn(kept.keep(stopped));
        Uplink {
            standing,
            feed,
            stop,
        }
    }

    /// What the feed did since the run began.
    pub fn feed(&self) -> FeedCounts {
        lock(&self.feed).counts()
    }

    /// How it is now.
    pub fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What outlives a connection.
struct Kept {
    options: Arc<Options>,
    feed: Arc<Mutex<Feed>>,
    actions: Actions,
    standing: Arc<Mutex<Standing>>,
}

/// What the hub said when it let us in.
struct Welcomed {
    stream: tokio_rustls::client::TlsStream<TcpStream>,
    frames: Frames,
    hub: u64,
    received: u64,
    lines: u64,
}

/// What the feed is told.
enum FeedOrder {
    Queries(Vec<QueryText>),
    Received(u64),
}

/// What [`Follower`] is told.
enum Order {
    Spread(Box<Spread>),
    Targets(Json),
    Names(Bytes),
}

impl Kept {
    async fn keep(self, mut stopped: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        let mut last = String::new();
        loop {
            let trying = async {
                match self.connect().await {
                    Ok(welcomed) => {
                        self.stand(true, String::new());
                        (self.options.said)(&format!(
                            "Connected with the hub at {}",
                            self.options.hub
                        ));
                        let why = self.connected(welcomed).await;
                        (
                            format!("The hub at {} is gone: {why}", self.options.hub),
                            true,
                        )
                    }
                    Err(sentence) => (sentence, false),
                }
            };
            let (why, was_connected) = tokio::select! {
                ended = trying => ended,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            *self.actions.queue() = None;
            if was_connected {
                pause = FIRST_PAUSE;
            }
            if was_connected || why != last {
                (self.options.said)(&format!(
                    "{why}; recording goes on, and the hub is tried again"
                ));
            }
            last.clone_from(&why);
            self.stand(false, why);
            tokio::select! {
                () = sleep(jittered(pause)) => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn stand(&self, connected: bool, why: String) {
        let mut standing = lock(&self.standing);
        if standing.connected != connected || standing.since == Timestamp::default() {
            standing.since = self.options.clock.now();
        }
        standing.connected = connected;
        standing.why = why;
    }

    /// Connects, shows the certificate and says who this is.
    async fn connect(&self) -> Result<Welcomed, String> {
        let options = &self.options;
        let name = &options.hub;
        let cannot =
            |error: &dyn std::fmt::Display| format!("The hub at {name} is not reached: {error}");
        let config = options.tls.client()?;
        let found: Vec<_> = match timeout(HANDSHAKE, tokio::net::lookup_host(name)).await {
            Ok(found) => found.map_err(|error| cannot(&error))?.collect(),
            Err(_) => return Err(cannot(&"its name is not resolved")),
        };
        for address in &found {
            options.own.listen(Endpoint {
                ip: address.ip(),
                port: address.port(),
            });
        }
        let handshake = async {
            let socket = TcpStream::connect(found.as_slice())
                .await
                .map_err(|error| cannot(&error))?;
            let _ = socket.set_nodelay(true);
            let refused = |error: std::io::Error| {
                tls::refusal(&error, &format!("the hub at {name}"))
                    .unwrap_or_else(|| cannot(&error))
            };
            let mut stream = TlsConnector::from(config)
                .connect(tls::hub_name(), socket)
                .await
                .map_err(refused)?;
            let hello = ToHub::Hello(Hello {
                protocol: message::PROTOCOL,
                ..options.hello.clone()
            });
            let hello = message::said(&hello).map_err(|error| cannot(&error))?;
            use tokio::io::AsyncWriteExt as _;
            stream.write_all(&hello).await.map_err(refused)?;
            stream.flush().await.map_err(refused)?;
            let mut frames = Frames::new(MAX_HELLO);
            let frame = link::first(&mut stream, &mut frames)
                .await
                .map_err(refused)?;
            match message::from_hub(frame).map_err(|error| cannot(&error))? {
                Some(FromHub::Said(ToWorker::Welcome {
                    protocol,
                    version,
                    hub,
                    received,
                    lines,
                    own,
                })) => {
                    tracing::info!(protocol, version, "the hub lets us in");
                    for address in own {
                        options.own.listen(Endpoint {
                            ip: address.ip(),
                            port: address.port(),
                        });
                    }
                    frames.allow(MAX_FRAME);
                    Ok(Welcomed {
                        stream,
                        frames,
                        hub,
                        received,
                        lines,
                    })
                }
                Some(FromHub::Said(ToWorker::Refused { sentence })) => {
                    Err(format!("The hub at {name} refuses this worker: {sentence}"))
                }
                _ => Err(cannot(&"it says no welcome")),
            }
        };
        match timeout(HANDSHAKE * 2, handshake).await {
            Ok(done) => done,
            Err(_) => Err(cannot(&"it does not answer")),
        }
    }

    /// Speaks with the hub until the connection ends; answers why it did.
    async fn connected(&self, welcomed: Welcomed) -> String {
        let (queues, ends) = link::queues();
        *self.actions.queue() = Some(queues.urgent.clone());
        lock(&self.feed).connected(welcomed.hub, welcomed.received);
        let (to_feed, feed_orders) = mpsc::channel(ORDERS);
        let (to_orders, orders) = mpsc::channel(ORDERS);
        let calls = Arc::new(Calls {
            options: self.options.clone(),
            queues: queues.clone(),
            room: Arc::new(Semaphore::new(MAX_CALLS)),
            credits: Mutex::default(),
        });
        let take = |frame| heard(frame, &to_feed, &to_orders, &calls);
        let beat = message::said(&ToHub::Beat).unwrap_or_default();
        let why = tokio::select! {
            why = link::run(welcomed.stream, welcomed.frames, ends, beat, link::PACE, take) => why,
            why = self.report(&queues) => why,
            why = self.console(&queues, welcomed.lines) => why,
            why = self.feed(&queues, feed_orders) => why,
            why = self.follow(orders) => why,
        };
        calls.end();
        why
    }

    /// Tells the state as it changes.
    async fn report(&self, queues: &Queues) -> String {
        let options = &self.options;
        let mut before: [String; 4] = Default::default();
        let mut feed_before = None;
        loop {
            let values = [
                serde_json::to_value(options.counters.now()).unwrap_or_default(),
                options.run.status(),
                options.run.scripts(),
                options.run.jobs(),
            ];
            let mut news = before.iter_mut().zip(values).map(|(before, value)| {
                let text = value.to_string();
                (*before != text).then(|| {
                    *before = text;
                    value
                })
            });
            let mut next = || news.next().flatten();
            let mut state = State {
                counts: next(),
                run: next(),
                scripts: next(),
                jobs: next(),
                ..State::default()
            };
            state.feed = lock(&self.feed).counts();
            let is_news = feed_before != Some(state.feed)
                || state.counts.is_some()
                || state.run.is_some()
                || state.scripts.is_some()
                || state.jobs.is_some();
            feed_before = Some(state.feed);
            if is_news {
                match message::said(&ToHub::State(Box::new(state))) {
                    Ok(message) => {
                        if queues.urgent.send(message).await.is_err() {
                            return "it was ended here".to_owned();
                        }
                    }
                    Err(error) => tracing::warn!(%error, "the state is not told"),
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Tells the lines of the console after the one numbered `after`.
    async fn console(&self, queues: &Queues, mut after: u64) -> String {
        loop {
            let told = self.options.run.console(after);
            let lines: Vec<ConsoleLine> =
                serde_json::from_value(told["lines"].clone()).unwrap_or_default();
            let mut lines = lines.into_iter().peekable();
            while lines.peek().is_some() {
                let mut some = Vec::new();
                let mut bytes = 0;
                while let Some(line) = lines.next_if(|_| bytes < LINES_BYTES) {
                    bytes += line.text.len();
                    after = after.max(line.n);
                    some.push(line);
                }
                let Ok(message) = message::said(&ToHub::Console { lines: some }) else {
                    continue;
                };
                if queues.urgent.send(message).await.is_err() {
                    return "it was ended here".to_owned();
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Sends the rows that the hub asks for.
    async fn feed(&self, queues: &Queues, mut orders: mpsc::Receiver<FeedOrder>) -> String {
        let mut end = self.options.rows.follow();
        let gone = || "it was ended here".to_owned();
        let follow = |order| {
            let mut feed = lock(&self.feed);
            match order {
                FeedOrder::Queries(queries) => feed.set_queries(queries),
                FeedOrder::Received(batch) => feed.received(batch),
            }
        };
        loop {
            while let Ok(order) = orders.try_recv() {
                follow(order);
            }
            let (feed, options) = (self.feed.clone(), self.options.clone());
            let stepped = tokio::task::spawn_blocking(move || {
                let (step, query) = {
                    let mut feed = lock(&feed);
                    (feed.step(options.clock.now()), feed.query())
                };
                match step {
                    Step::Send(mut rows) => {
                        rows.records = marked(&*options.run, &query, rows.records);
                        Step::Send(rows)
                    }
                    other => other,
                }
            })
            .await;
            let message = match stepped {
                Ok(Step::Send(rows)) => message::rows(&rows),
                Ok(Step::Backfilled(query)) => message::said(&ToHub::Backfilled { query }),
                Ok(Step::Again) => continue,
                Ok(Step::Wait) => {
                    tokio::select! {
                        order = orders.recv() => match order {
                            Some(order) => follow(order),
                            None => return gone(),
                        },
                        changed = end.changed() => {
                            if changed.is_err() {
                                return gone();
                            }
                            sleep(PACE).await;
                        }
                    }
                    continue;
                }
                Err(error) => return error.to_string(),
            };
            match message {
                // Behind its rows, so that their end is not told before them.
                Ok(message) => {
                    if queues.bulk.send(message).await.is_err() {
                        return gone();
                    }
                }
                Err(error) => tracing::warn!(%error, "rows are not sent"),
            }
        }
    }

    /// Follows what the hub says, one thing after the other.
    async fn follow(&self, mut orders: mpsc::Receiver<Order>) -> String {
        while let Some(order) = orders.recv().await {
            let follower = self.options.follower.clone();
            let followed = tokio::task::spawn_blocking(move || match order {
                Order::Spread(spread) => follower.spread(&spread),
                Order::Targets(targets) => follower.targets(&targets),
                Order::Names(deltas) => follower.names(&deltas),
            });
            if let Err(error) = followed.await {
                return error.to_string();
            }
        }
        "it was ended here".to_owned()
    }
}

/// Rows with the marks that scripts give them (`onItemQueried`), as far as patience goes: a script
/// that is slow costs marks and not rows.
fn marked(run: &dyn Run, query: &str, records: Vec<u8>) -> Vec<u8> {
    let begun = std::time::Instant::now();
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    for record in flat::records(&records) {
        let start = at;
        at += record.record().len();
        let altered = match begun.elapsed() < MARKS_PATIENCE {
            true => run.queried(record.record(), query),
            false => None,
        };
        let is_set = |mark: &&str| {
            altered
                .as_ref()
                .is_some_and(|altered| altered[mark] == true)
        };
        let marks: Vec<&str> = ["passed", "failed"].into_iter().filter(is_set).collect();
        if marks.is_empty() {
            if let Some(out) = &mut out {
                out.extend_from_slice(record.record());
            }
            continue;
        }
        let out = out.get_or_insert_with(|| records.get(..start).unwrap_or_default().to_vec());
        let mut item = serde_json::to_value(AsJson(record)).unwrap_or_default();
        for mark in marks {
            item[mark] = true.into();
        }
        flat::encode_node(record.number(), JsonNode(&item), out);
    }
    match out {
        // What grew too large goes without marks.
        Some(out) if out.len() <= message::MAX_ROWS => out,
        _ => records,
    }
}

/// Takes one message of the hub.
fn heard(
    frame: Frame,
    to_feed: &mpsc::Sender<FeedOrder>,
    to_orders: &mpsc::Sender<Order>,
    calls: &Arc<Calls>,
) -> Result<(), String> {
    let behind = "the hub says more than can be followed";
    let order = |order| to_orders.try_send(order).map_err(|_| behind.to_owned());
    let feed = |order| to_feed.try_send(order).map_err(|_| behind.to_owned());
    match message::from_hub(frame).map_err(|error| error.to_string())? {
        Some(FromHub::Names(deltas)) => order(Order::Names(deltas)),
        Some(FromHub::Said(said)) => match said {
            ToWorker::Spread(spread) => order(Order::Spread(spread)),
            ToWorker::Targets { targets } => order(Order::Targets(targets)),
            ToWorker::Queries { queries } => feed(FeedOrder::Queries(queries)),
            ToWorker::Received { batch } => feed(FeedOrder::Received(batch)),
            ToWorker::Call { call, ask } => {
                calls.begin(call, ask);
                Ok(())
            }
            ToWorker::More { call, chunks } => {
                calls.more(call, Some(chunks));
                Ok(())
            }
            ToWorker::Cancel { call } => {
                calls.more(call, None);
                Ok(())
            }
            ToWorker::Refused { sentence } => Err(sentence),
            ToWorker::Welcome { .. } | ToWorker::Beat | ToWorker::Unknown => Ok(()),
        },
        None => Ok(()),
    }
}

/// What the hub asks for.
struct Calls {
    options: Arc<Options>,
    queues: Queues,
    room: Arc<Semaphore>,
    credits: Mutex<HashMap<u64, Arc<Credit>>>,
}

impl Calls {
    fn begin(self: &Arc<Self>, call: u64, ask: Ask) {
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            self.answer(
                call,
                Err("this node is busy with other requests".to_owned()),
            );
            return;
        };
        let credit = Arc::new(Credit::default());
        lock(&self.credits).insert(call, credit.clone());
        let calls = self.clone();
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let result = calls.do_it(call, ask, credit);
            lock(&calls.credits).remove(&call);
            calls.answer(call, result);
        });
    }

    fn do_it(&self, call: u64, ask: Ask, credit: Arc<Credit>) -> Result<Json, String> {
        let run = &self.options.run;
        match ask {
            Ask::Stream { stream } => {
                let name = StreamName::parse(&stream).ok_or("this is no name of a stream")?;
                let mut chunks = Chunks {
                    call,
                    queues: &self.queues,
                    credit,
                    bytes: Vec::with_capacity(CHUNK),
                };
                let packets = run.stream_pcap(name, &mut chunks)?;
                chunks.send().map_err(|error| error.to_string())?;
                Ok(packets.into())
            }
            Ask::Item { id } => item_of(&self.options.rows, &id)
                .ok_or_else(|| "this item is no longer held; search for it in the archive".into()),
            Ask::Seal { name } => run.seal_recording(name.as_deref()),
            Ask::RunJob { tag } => run.run_job(&tag).map(|()| Json::Null),
            Ask::Unknown => Err("this worker is older than the hub and cannot do that".into()),
        }
    }

    /// Sends an answer, behind the chunks that belong to it.
    fn answer(&self, call: u64, result: Result<Json, String>) {
        let message = message::said(&ToHub::Answer { call, result })
            .or_else(|error| {
                let result = Err(error.to_string());
                message::said(&ToHub::Answer { call, result })
            })
            .unwrap_or_default();
        let bulk = self.queues.bulk.clone();
        tokio::runtime::Handle::current().spawn(async move {
            // An error means that the connection is gone.
            let _ = bulk.send(message).await;
        });
    }

    /// Lets more chunks of a call leave, or none any more.
    fn more(&self, call: u64, chunks: Option<u32>) {
        if let Some(credit) = lock(&self.credits).get(&call) {
            credit.add(chunks);
        }
    }

    /// The connection is gone.
    fn end(&self) {
        for credit in lock(&self.credits).values() {
            credit.add(None);
        }
    }
}

/// How many chunks may leave.
struct Credit {
    /// `None` when nobody waits any more.
    left: Mutex<Option<u32>>,
    changed: Condvar,
}

impl Default for Credit {
    fn default() -> Credit {
        Credit {
            left: Mutex::new(Some(CHUNKS)),
            changed: Condvar::new(),
        }
    }
}

impl Credit {
    fn add(&self, chunks: Option<u32>) {
        let mut left = lock(&self.left);
        *left = left
            .zip(chunks)
            .map(|(left, more)| left.saturating_add(more));
        self.changed.notify_all();
    }

    /// Waits until one may leave; false when none may.
    fn take(&self) -> bool {
        let waiting = |left: &mut Option<u32>| *left == Some(0);
        let left = lock(&self.left);
        let (mut left, _) = self
            .changed
            .wait_timeout_while(left, CHUNK_PATIENCE, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        match left.as_mut() {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

/// Sends what is written in chunks.
struct Chunks<'q> {
    call: u64,
    queues: &'q Queues,
    credit: Arc<Credit>,
    bytes: Vec<u8>,
}

impl Chunks<'_> {
    fn send(&mut self) -> std::io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let gone = || std::io::Error::other("nobody waits for the packets any more");
        if !self.credit.take() {
            return Err(gone());
        }
        let chunk = message::chunk(self.call, &self.bytes).map_err(std::io::Error::other)?;
        self.bytes.clear();
        self.queues.bulk.blocking_send(chunk).map_err(|_| gone())
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = CHUNK - self.bytes.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(taken);
        if self.bytes.len() == CHUNK {
            self.send()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Half of the pause at least: workers that lost one hub must not all come back at one moment.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 1];
    let _ = getrandom::fill(&mut random);
    pause / 2 + pause / 2 * u32::from(random[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Node, lookup, sample};

    /// Fails every second item that it is asked about.
    struct Strict;

    impl Run for Strict {
        fn status(&self) -> Json {
            Json::Null
        }

        fn stream_pcap(&self, _: StreamName, _: &mut dyn Write) -> Result<u64, String> {
            Ok(0)
        }

        fn scripts(&self) -> Json {
            Json::Null
        }

        fn console(&self, _: u64) -> Json {
            Json::Null
        }

        fn jobs(&self) -> Json {
            Json::Null
        }

        fn run_job(&self, _: &str) -> Result<(), String> {
            Ok(())
        }

        fn queried(&self, record: &[u8], query: &str) -> Option<Json> {
            assert_eq!(query, "http");
            let number = flat::Flat::new(record)?.number();
            Some(serde_json::json!({"failed": number % 2 == 1}))
        }
    }

    #[test]
    fn marks_of_scripts_go_along_with_their_rows() {
        let mut records = Vec::new();
        for number in 0..5 {
            let mut item = sample::http();
            item.number = number;
            flat::encode(&item, &mut records);
        }
        let marked = marked(&Strict, "http", records.clone());
        let seen: Vec<(u64, Option<bool>)> = flat::records(&marked)
            .map(|row| (row.number(), lookup(row, "failed").and_then(Node::bool)))
            .collect();
        let expected = [0, 1, 2, 3, 4].map(|number| (number, Some(number % 2 == 1)));
        assert_eq!(seen, expected);
        let methods = |records: &[u8]| -> Vec<String> {
            flat::records(records)
                .map(|row| {
                    lookup(row, "request.method")
                        .and_then(Node::text)
                        .unwrap()
                        .into_owned()
                })
                .collect()
        };
        assert_eq!(methods(&marked), methods(&records));
    }
}
