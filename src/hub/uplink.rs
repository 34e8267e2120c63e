//! The worker's end: finds the hub, tells it what it asks for, follows what it says.
//!
//! In: the run of this node. Out: its state, console, rows and packets; recordings, scripts, targets
//! and names handed to [`Follower`]. Never: a run that waits for the hub. Without a hub everything
//! goes on as it last said, and the worker tries again, more and more seldom.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::answers::Answers;
use super::feed::{Feed, Step};
use super::following::{Following, Heard};
use super::frame::Frame;
use super::link::{self, Queues};
use super::marks::delivered;
use super::message::{self, FromHub, Hello, QueryText, Spread, ToHub, ToWorker};
use super::reach::{HELD, Unmet, Welcomed};
use super::state::{ConsoleLine, FeedCounts, State};
use super::targeted::Targeted;
use super::tls;
use crate::capture::own::OwnSockets;
use crate::deliver::Imposed;
use crate::kfl::Schema;
use crate::pipeline::{Counters, Rows};
use crate::server::Run;
use crate::time::{Clock, Timestamp};

/// Pause after the first connection that failed; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause between two tries: a hub that was started anew waits for the next one before it says
/// anything to others ([`super::FOUND_WITHIN`]).
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Pause after the hub said that this worker cannot stay: somebody has to change something first.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// Time between two looks at state and console.
const LOOK: Duration = Duration::from_secs(1);

/// Time that rows are collected for.
const PACE: Duration = Duration::from_millis(50);

/// Bytes of console lines in one message.
const LINES_BYTES: usize = 1 << 20;

/// Orders of the hub that wait to be followed.
const ORDERS: usize = 64;

/// Follows what the hub says.
pub trait Follower: Send + Sync {
    /// Recordings and scripts as they are from now on.
    fn spread(&self, spread: &Spread);

    /// What is to be captured.
    fn targets(&self, targets: &Arc<Targeted>);

    /// Deltas of the name history, as [`crate::resolve::History::read`] reads them.
    fn names(&self, deltas: &[u8]);

    /// A hub is connected, which begins to tell all names in force.
    fn connected(&self) {}

    /// It has told all of them.
    fn named(&self) {}

    /// What goes on while there is no hub.
    fn goes_on(&self) -> &'static str {
        "recording goes on"
    }

    /// What became of pods, as whoever hears it wrote it.
    fn news(&self, news: &Json);
}

/// What a worker tells of.
pub struct Options {
    /// Where the hub is, `host:port`.
    pub hub: String,
    /// Certificates.
    pub tls: tls::Folder,
    /// Who this is; the protocol, and whether differences are taken, are set to what is in force.
    pub hello: Hello,
    /// The live rows.
    pub rows: Arc<Rows>,
    /// The counters.
    pub counters: Arc<Counters>,
    /// The run.
    pub run: Arc<dyn Run>,
    /// Fields for queries.
    pub schema: Arc<Schema>,
    /// What the operator imposes on what leaves this node.
    pub imposed: Imposed,
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
        self.say(&ToHub::Action {
            action: action.to_owned(),
            object: object.clone(),
        })
    }

    /// Sends `hub.blockPod`, and answers with a sentence; the hub says what came of it.
    ///
    /// # Errors
    /// One sentence when it did not leave.
    pub fn block_pod(&self, name: &str, namespace: &str) -> Result<String, String> {
        self.say(&ToHub::BlockPod {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        })?;
        Ok(format!(
            "the hub is asked to cut off the pod {namespace}/{name}; its log says what came of it"
        ))
    }

    fn say(&self, said: &ToHub) -> Result<(), String> {
        let message = message::said(said).map_err(|error| error.to_string())?;
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
        let feed = Feed::new(
            options.rows.clone(),
            options.schema.clone(),
            options.imposed.clone(),
        );
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What outlives a connection.
pub(super) struct Kept {
    pub(super) options: Arc<Options>,
    feed: Arc<Mutex<Feed>>,
    actions: Actions,
    standing: Arc<Mutex<Standing>>,
}

/// What the feed is told.
enum FeedOrder {
    Queries(Vec<QueryText>),
    Received(u64),
}

/// What [`Follower`] is told.
enum Order {
    Spread(Box<Spread>),
    Targets {
        targets: Json,
        number: u64,
    },
    Retargeted {
        base: u64,
        number: u64,
        difference: Json,
    },
    Names(Bytes),
    Named,
    News(Json),
}

impl Kept {
    async fn keep(self, mut stopped: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        let mut last = String::new();
        let mut held = None;
        loop {
            let trying = async {
                let connected = tokio::select! {
                    connected = self.connect() => connected,
                    never = self.let_go(held) => match never {},
                };
                match connected {
                    Ok(welcomed) => {
                        self.stand(true, String::new());
                        (self.options.said)(&format!(
                            "Connected with the hub at {}",
                            self.options.hub
                        ));
                        let why = self.connected(welcomed).await;
                        let hub = &self.options.hub;
                        (format!("The hub at {hub} is gone: {why}"), true, false)
                    }
                    Err(Unmet::Away(why)) => (why, false, false),
                    Err(Unmet::Refused(why)) => (why, false, true),
                }
            };
            let (why, was_connected, is_refused) = tokio::select! {
                ended = trying => ended,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            *self.actions.queue() = None;
            if was_connected {
                pause = FIRST_PAUSE;
                held = Some(Instant::now() + HELD);
            } else {
                held = None;
                self.forget();
            }
            if was_connected || why != last {
                (self.options.said)(&format!(
                    "{why}; {}, and the hub is tried again",
                    self.options.follower.goes_on()
                ));
            }
            last.clone_from(&why);
            self.stand(false, why);
            let now = if is_refused { REFUSED_PAUSE } else { pause };
            tokio::select! {
                () = sleep(jittered(now)) => {}
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

    /// Speaks with the hub until the connection ends; answers why it did.
    async fn connected(&self, welcomed: Welcomed) -> String {
        let (queues, ends) = link::queues();
        *self.actions.queue() = Some(queues.urgent.clone());
        lock(&self.feed).connected(welcomed.hub, welcomed.received);
        self.options.follower.connected();
        let (to_feed, feed_orders) = mpsc::channel(ORDERS);
        let (to_orders, orders) = mpsc::channel(ORDERS);
        let calls = Arc::new(Answers::new(self.options.clone(), queues.clone()));
        let take = |frame| heard(frame, &to_feed, &to_orders, &calls);
        let beat = message::said(&ToHub::Beat).unwrap_or_default();
        let why = tokio::select! {
            why = link::run(welcomed.stream, welcomed.frames, ends, beat, link::PACE, take) => why,
            why = self.report(&queues) => why,
            why = self.console(&queues, welcomed.lines) => why,
            why = self.feed(&queues, feed_orders) => why,
            why = self.follow(orders, &queues) => why,
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
                        let asks = options.run.asks();
                        let now = options.clock.now();
                        rows.records = delivered(&options.imposed, asks, &query, rows.records, now);
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
    async fn follow(&self, mut orders: mpsc::Receiver<Order>, queues: &Queues) -> String {
        let following: Arc<Mutex<Following>> = Arc::default();
        while let Some(order) = orders.recv().await {
            let (follower, following) = (self.options.follower.clone(), following.clone());
            let followed = tokio::task::spawn_blocking(move || {
                let heard = obey(order, &*follower, &mut lock(&following));
                if let Heard::Targets(targets) = &heard {
                    follower.targets(targets);
                }
                heard == Heard::Ask
            });
            let asks = match followed.await {
                Ok(asks) => asks,
                Err(error) => return error.to_string(),
            };
            if asks
                && let Ok(message) = message::said(&ToHub::Astray)
                && queues.urgent.send(message).await.is_err()
            {
                break;
            }
        }
        "it was ended here".to_owned()
    }
}

/// Follows one order; what comes of those about targets is followed behind it.
fn obey(order: Order, follower: &dyn Follower, following: &mut Following) -> Heard {
    match order {
        Order::Spread(spread) => follower.spread(&spread),
        Order::Targets { targets, number } => {
            let targets = following.whole(number, targets);
            return targets.map_or(Heard::Nothing, Heard::Targets);
        }
        Order::Retargeted {
            base,
            number,
            difference,
        } => {
            let now = std::time::Instant::now();
            return following.difference(base, number, &difference, now);
        }
        Order::Names(deltas) => follower.names(&deltas),
        Order::Named => follower.named(),
        Order::News(news) => follower.news(&news),
    }
    Heard::Nothing
}

/// Takes one message of the hub. Orders that are not followed yet let the hub wait: the names of a large
/// cluster come faster than they are read.
async fn heard(
    frame: Frame,
    to_feed: &mpsc::Sender<FeedOrder>,
    to_orders: &mpsc::Sender<Order>,
    calls: &Arc<Answers>,
) -> Result<(), String> {
    let behind = "the hub says more than can be followed";
    let feed = |order| to_feed.try_send(order).map_err(|_| behind.to_owned());
    let said = match message::from_hub(frame).map_err(|error| error.to_string())? {
        Some(FromHub::Names(deltas)) => return follow(to_orders, Order::Names(deltas)).await,
        Some(FromHub::Said(said)) => said,
        None => return Ok(()),
    };
    match said {
        ToWorker::Spread(spread) => follow(to_orders, Order::Spread(spread)).await,
        ToWorker::Targets { targets, number } => {
            follow(to_orders, Order::Targets { targets, number }).await
        }
        ToWorker::Retargeted {
            base,
            number,
            difference,
        } => {
            let order = Order::Retargeted {
                base,
                number,
                difference,
            };
            follow(to_orders, order).await
        }
        ToWorker::Named => follow(to_orders, Order::Named).await,
        ToWorker::News { news } => follow(to_orders, Order::News(news)).await,
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
    }
}

/// Has an order followed behind those before it.
async fn follow(to_orders: &mpsc::Sender<Order>, order: Order) -> Result<(), String> {
    let sent = to_orders.send(order).await;
    sent.map_err(|_| "it was ended here".to_owned())
}

/// Half of the pause at least: workers that lost one hub must not all come back at one moment.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 1];
    let _ = getrandom::fill(&mut random);
    pause / 2 + pause / 2 * u32::from(random[0]) / 255
}
