//! The workers that the hub knows, there or gone.
//!
//! In: who connects and who goes, and what they say. Out: state and gaps of every node, for people.
//! Never: a node that is gone and forgotten at once; it is told as missing for a day.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use super::aims::Aim;
use super::calls::Calls;
use super::link::Queues;
use super::merge::Taken;
use super::message::Hello;
use super::remembered::{self, Gap, Remembered};
use super::state::{FeedCounts, State};
use crate::time::Timestamp;

/// Nodes that are known at most.
pub(super) const MAX_NODES: usize = 5000;

/// Times without a worker that are remembered of one node.
pub(super) const MAX_GAPS: usize = 64;

/// Time after which a node that is gone is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A connection with a worker.
#[derive(Clone)]
pub(super) struct Connection {
    /// Its number in the hub's life.
    pub(super) number: u64,
    pub(super) queues: Queues,
    /// Ends it when told.
    pub(super) kick: Arc<Notify>,
    pub(super) calls: Arc<Calls>,
    /// What it was told of what is captured.
    pub(super) aim: Arc<Aim>,
    address: SocketAddr,
}

impl Connection {
    /// A connection from `address`, of a worker that is told of targets so.
    pub(super) fn new(number: u64, queues: Queues, address: SocketAddr, aim: Aim) -> Connection {
        Connection {
            number,
            calls: Arc::new(Calls::new(queues.clone())),
            queues,
            kick: Arc::default(),
            aim: Arc::new(aim),
            address,
        }
    }

    /// Sends without waiting; a worker that reads so little is let go.
    pub(super) fn send(&self, message: &Bytes) {
        if self.queues.urgent.try_send(message.clone()).is_err() {
            self.kick.notify_one();
        }
    }
}

/// A node.
struct Node {
    hello: Hello,
    connection: Option<Connection>,
    /// When it came or went.
    since: Timestamp,
    /// Why it went.
    why: String,
    gaps: VecDeque<Gap>,
    state: State,
    taken: Taken,
    /// Last batch of rows and last line of the console that came of this run.
    received: u64,
    lines: u64,
}

/// What a worker is told when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) received: u64,
    pub(super) lines: u64,
}

/// All nodes by name.
pub(super) struct Nodes {
    all: Mutex<BTreeMap<String, Node>>,
    file: Option<PathBuf>,
    /// Whether the file has less than is known.
    is_cut: AtomicBool,
}

impl Nodes {
    /// The nodes that the file names, all of them missing yet.
    pub(super) fn new(file: Option<PathBuf>) -> Nodes {
        let remembered = file.as_deref().map(remembered::read).unwrap_or_default();
        let node = |one: Remembered| {
            let node = Node {
                connection: None,
                since: one.last_seen,
                why: "the hub was started anew, and this worker has not come back yet".to_owned(),
                gaps: one.gaps,
                state: State::default(),
                taken: Taken::default(),
                received: 0,
                lines: 0,
                hello: one.hello,
            };
            (node.hello.node.clone(), node)
        };
        let all = remembered.into_iter().take(MAX_NODES).map(node).collect();
        Nodes {
            all: Mutex::new(all),
            file,
            is_cut: AtomicBool::default(),
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker comes. One that is there already for the node is let go, unless it ranks above this one
    /// ([`Hello::rank`]): two that live would push each other out without end.
    ///
    /// # Errors
    /// One sentence, when this one cannot stay.
    pub(super) fn join(
        &self,
        hello: Hello,
        connection: Connection,
        now: Timestamp,
    ) -> Result<Known, String> {
        let mut all = self.all();
        if !all.contains_key(&hello.node) && all.len() >= MAX_NODES {
            return Err(format!("the hub serves {MAX_NODES} nodes and no more"));
        }
        let name = hello.node.clone();
        let node = all.entry(name).or_insert_with(|| Node {
            hello: hello.clone(),
            connection: None,
            since: now,
            why: String::new(),
            gaps: VecDeque::new(),
            state: State::default(),
            taken: Taken::default(),
            received: 0,
            lines: 0,
        });
        if let Some(before) = &node.connection {
            if node.hello.rank() > hello.rank() {
                return Err(format!(
                    "{} worker of the node {} is connected from {}; end one of them, or give each node a name of its own",
                    match node.hello.run == hello.run {
                        true => "another",
                        false => "a newer",
                    },
                    hello.node,
                    before.address.ip()
                ));
            }
            before.kick.notify_one();
        } else if now > node.since {
            node.gaps.push_back(Gap {
                from: node.since,
                to: now,
                why: std::mem::take(&mut node.why),
            });
            while node.gaps.len() > MAX_GAPS {
                node.gaps.pop_front();
            }
        }
        if node.hello.rank() != hello.rank() {
            (node.received, node.lines) = (0, 0);
            node.state = State::default();
        }
        node.hello = hello;
        node.since = now;
        node.why.clear();
        node.connection = Some(connection);
        Ok(Known {
            received: node.received,
            lines: node.lines,
        })
    }

    /// A connection ended; answers whether it was the node's last.
    pub(super) fn leave(&self, name: &str, number: u64, why: &str, now: Timestamp) -> bool {
        let mut all = self.all();
        let Some(node) = all.get_mut(name) else {
            return false;
        };
        let is_its = node
            .connection
            .take_if(|connection| connection.number == number)
            .is_some();
        if is_its {
            node.since = now;
            node.why = why.to_owned();
        }
        is_its
    }

    /// What a worker says about itself.
    pub(super) fn state(&self, name: &str, news: State) {
        let mut all = self.all();
        let Some(node) = all.get_mut(name) else {
            return;
        };
        let state = &mut node.state;
        state.counts = news.counts.or(state.counts.take());
        state.run = news.run.or(state.run.take());
        state.scripts = news.scripts.or(state.scripts.take());
        state.jobs = news.jobs.or(state.jobs.take());
        state.feed = news.feed;
    }

    /// Rows came.
    pub(super) fn took(&self, name: &str, batch: u64, taken: Taken) {
        if let Some(node) = self.all().get_mut(name) {
            node.received = batch;
            node.taken.rows += taken.rows;
            node.taken.foreign += taken.foreign;
        }
    }

    /// Lines of the console came, up to this one; answers whether they are new.
    pub(super) fn heard(&self, name: &str, line: u64) -> bool {
        let mut all = self.all();
        all.get_mut(name).is_some_and(|node| {
            let is_new = line > node.lines;
            node.lines = node.lines.max(line);
            is_new
        })
    }

    /// The connections of all workers that are there.
    pub(super) fn connections(&self) -> Vec<(String, Connection)> {
        let all = self.all();
        let there = all.iter().filter_map(|(name, node)| {
            let connection = node.connection.clone()?;
            Some((name.clone(), connection))
        });
        there.collect()
    }

    /// Names of those that are there.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let all = self.all();
        let there = all.iter().filter(|(_, node)| node.connection.is_some());
        there.map(|(name, _)| name.clone()).collect()
    }

    /// The connection of the node that is called so: by name, by address, or as items name its
    /// worker.
    ///
    /// # Errors
    /// One sentence, when there is none.
    pub(super) fn of(&self, called: &str) -> Result<Connection, String> {
        let all = self.all();
        let named = all.get(called).or_else(|| {
            let mut nodes = all.values();
            nodes.find(|node| [&node.hello.worker, &node.hello.ip].contains(&&called.to_owned()))
        });
        let node = named.ok_or_else(|| format!("no node is called {called}"))?;
        node.connection.clone().ok_or_else(|| {
            format!(
                "the worker of {} is not connected since {}: {}",
                node.hello.node, node.since, node.why
            )
        })
    }

    /// Each state of the workers that said one, with the node's name.
    pub(super) fn states(&self) -> Vec<(String, State)> {
        let all = self.all();
        let states = all
            .iter()
            .filter(|(_, node)| node.state != State::default());
        states
            .map(|(name, node)| (name.clone(), node.state.clone()))
            .collect()
    }

    /// Times without a worker, of each node that has any; the last may go on.
    ///
    /// ```text
    /// {"from", "to": or null, "why"}
    /// ```
    pub(super) fn times_without(&self) -> Vec<(String, Vec<Json>)> {
        let all = self.all();
        let times = |node: &Node| -> Vec<Json> {
            let gone = node.connection.is_none();
            let now = gone.then_some((node.since, None, &node.why));
            let gaps = node.gaps.iter();
            gaps.map(|gap| (gap.from, Some(gap.to), &gap.why))
                .chain(now)
                .map(|(from, to, why)| {
                    let to = to.map(|to| to.to_string());
                    json!({"from": from.to_string(), "to": to, "why": why})
                })
                .collect()
        };
        let of_all = all.iter().map(|(name, node)| (name.clone(), times(node)));
        of_all.filter(|(_, times)| !times.is_empty()).collect()
    }

    /// Each node that is missing, with a sentence about it.
    pub(super) fn missing(&self) -> Vec<(String, String)> {
        let all = self.all();
        let missing = all.values().filter(|node| node.connection.is_none());
        missing
            .map(|node| {
                let sentence = format!(
                    "the worker of {} is not connected since {}: {}; what it records is kept there",
                    node.hello.node, node.since, node.why
                );
                (node.hello.node.clone(), sentence)
            })
            .collect()
    }

    /// A sentence for each worker that is there and answers neither probes nor Prometheus, or captures nothing
    /// yet.
    pub(super) fn hindered(&self) -> Vec<String> {
        let all = self.all();
        let there = all.values().filter(|node| node.connection.is_some());
        let said = there.flat_map(|node| {
            let run = node.state.run.as_ref();
            let why = ["unserved", "waits"].map(|name| run.and_then(|run| run[name].as_str()));
            let why = why.into_iter().flatten();
            why.map(|why| format!("{}: {why}", node.hello.node))
        });
        said.collect()
    }

    /// All nodes for people.
    ///
    /// ```text
    /// [{"name","ip","worker","version","run","connected","since","why","address","counts","outbox",
    ///   "unserved": why neither probes nor Prometheus are answered, or null,
    ///   "waits": why nothing is captured yet, or null,
    ///   "feed":{...},"received": rows,"foreign": rows,"gaps":[{"from","to","why"}]}]
    /// ```
    pub(super) fn json(&self) -> Json {
        let all = self.all();
        let one = |node: &Node| {
            let run = node.state.run.as_ref();
            json!({
                "name": node.hello.node,
                "ip": node.hello.ip,
                "worker": node.hello.worker,
                "version": node.hello.version,
                "run": node.hello.run,
                "connected": node.connection.is_some(),
                "since": node.since.to_string(),
                "why": node.why,
                "address": node.connection.as_ref().map(|connection| connection.address.to_string()),
                "counts": node.state.counts,
                "outbox": run.and_then(|run| run.get("outbox")),
                "unserved": run.and_then(|run| run.get("unserved")),
                "waits": run.and_then(|run| run.get("waits")),
                "feed": node.state.feed,
                "received": node.taken.rows,
                "foreign": node.taken.foreign,
                "gaps": node.gaps.iter().map(|gap| json!({
                    "from": gap.from.to_string(), "to": gap.to.to_string(), "why": gap.why,
                })).collect::<Vec<_>>(),
            })
        };
        all.values().map(one).collect()
    }

    /// What all feeds did together.
    pub(super) fn feeds(&self) -> FeedCounts {
        self.all()
            .values()
            .fold(FeedCounts::default(), |sum, node| {
                let feed = node.state.feed;
                FeedCounts {
                    sent: sum.sent.saturating_add(feed.sent),
                    skipped: sum.skipped.saturating_add(feed.skipped),
                    too_large: sum.too_large.saturating_add(feed.too_large),
                    looked_at: sum.looked_at.saturating_add(feed.looked_at),
                }
            })
    }

    /// Forgets nodes that are gone for long, and writes down the others.
    pub(super) fn remember(&self, now: Timestamp) {
        let Some(path) = &self.file else { return };
        let remembered: Vec<Remembered> = {
            let mut all = self.all();
            all.retain(|_, node| {
                node.connection.is_some() || now.since(node.since) < FORGOTTEN_AFTER
            });
            let remembered = all.values().map(|node| Remembered {
                hello: node.hello.clone(),
                last_seen: match node.connection {
                    Some(_) => now,
                    None => node.since,
                },
                gaps: node.gaps.clone(),
            });
            remembered.collect()
        };
        let cut = match remembered::write(path, remembered) {
            Ok(cut) => cut,
            Err(error) => {
                tracing::warn!(%error, "the nodes cannot be remembered");
                return;
            }
        };
        let was_cut = self.is_cut.swap(cut.is_some(), Ordering::Relaxed);
        if let (false, Some(cut)) = (was_cut, cut) {
            tracing::warn!("{cut}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::link;

    fn connection(number: u64, address: &str) -> Connection {
        Connection::new(
            number,
            link::queues().0,
            address.parse().unwrap(),
            Aim::new(true),
        )
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs, 0)
    }

    #[test]
    fn a_node_that_went_and_came_back_has_a_gap() {
        let nodes = Nodes::new(None);
        let first = nodes.join(Hello::of("a", 7), connection(1, "10.0.0.1:1"), at(10));
        assert_eq!(
            first,
            Ok(Known {
                received: 0,
                lines: 0
            })
        );
        nodes.took(
            "a",
            5,
            Taken {
                rows: 9,
                foreign: 0,
            },
        );
        assert!(nodes.heard("a", 3));
        assert!(!nodes.heard("a", 3));
        assert!(nodes.leave("a", 1, "nothing came", at(20)));
        assert!(nodes.missing()[0].1.contains("nothing came"));
        let why = nodes.of("a").err().unwrap();
        assert!(why.contains("not connected since"), "{why}");
        // The same run goes on where it was, another one begins anew.
        let again = nodes.join(Hello::of("a", 7), connection(2, "10.0.0.1:2"), at(30));
        assert_eq!(
            again,
            Ok(Known {
                received: 5,
                lines: 3
            })
        );
        assert_eq!(nodes.missing(), Vec::<(String, String)>::new());
        assert_eq!(
            nodes.json()[0]["gaps"],
            json!([{"from": at(20).to_string(), "to": at(30).to_string(), "why": "nothing came"}])
        );
        let other = nodes.join(Hello::of("a", 8), connection(3, "10.0.0.1:3"), at(31));
        assert_eq!(other.map(|known| known.received), Ok(0));
        // The end of the connection before says nothing.
        assert!(!nodes.leave("a", 2, "kicked", at(32)));
        assert!(nodes.of("10.0.0.1:8897").is_ok());
    }

    #[test]
    fn two_nodes_of_one_name_do_not_take_turns() {
        let nodes = Nodes::new(None);
        nodes
            .join(Hello::of("a", 9), connection(1, "10.0.0.1:1"), at(1))
            .unwrap();
        for address in ["10.0.0.1:2", "10.0.0.2:1"] {
            let refused = nodes.join(Hello::of("a", 8), connection(2, address), at(2));
            assert!(refused.unwrap_err().contains("a name of its own"));
        }
        // The newer one comes and goes as it likes, and the older one has the place when it is gone.
        for number in [3, 4] {
            let again = nodes.join(Hello::of("a", 9), connection(number, "10.0.0.1:3"), at(3));
            assert!(again.is_ok());
        }
        assert!(nodes.leave("a", 4, "ended", at(4)));
        let older = nodes.join(Hello::of("a", 8), connection(5, "10.0.0.1:4"), at(5));
        assert!(older.is_ok());
    }

    #[test]
    fn of_two_workers_of_one_second_the_same_one_stays_whoever_comes_first() {
        let of = |instance: u64| Hello {
            instance,
            ..Hello::of("a", 9)
        };
        for order in [[1, 2], [2, 1]] {
            let nodes = Nodes::new(None);
            let mut number = 0;
            let mut join = |instance| {
                number += 1;
                let connection = connection(number, "10.0.0.1:1");
                nodes.join(of(instance), connection, at(number as i64))
            };
            for instance in order {
                let _ = join(instance);
            }
            for _ in 0..3 {
                assert!(join(1).unwrap_err().contains("another worker"), "{order:?}");
                assert!(join(2).is_ok(), "{order:?}");
            }
            // What one of them sent is none of the other's.
            nodes.took("a", 5, Taken::default());
            assert_eq!(join(2).unwrap().received, 5);
            assert_eq!(join(3).unwrap().received, 0);
        }
    }

    #[test]
    fn a_worker_whose_port_is_taken_is_named_while_it_is_there() {
        let nodes = Nodes::new(None);
        let hello = Hello::of("a", 9);
        nodes
            .join(hello, connection(1, "10.0.0.1:1"), at(1))
            .unwrap();
        let run = |unserved: Json| {
            let run = Some(json!({"unserved": unserved}));
            let state = State {
                run,
                ..State::default()
            };
            nodes.state("a", state);
            nodes.hindered()
        };
        assert_eq!(run(Json::Null), [""; 0]);
        assert_eq!(run("port 7 is taken".into()), ["a: port 7 is taken"]);
        assert_eq!(nodes.json()[0]["unserved"], "port 7 is taken");
        let waits = Some(json!({"waits": "nobody says which pods"}));
        let state = State {
            run: waits,
            ..State::default()
        };
        nodes.state("a", state);
        assert_eq!(nodes.hindered(), ["a: nobody says which pods"]);
        assert_eq!(nodes.json()[0]["waits"], "nobody says which pods");
        nodes.leave("a", 1, "ended", at(2));
        assert_eq!(nodes.hindered(), [""; 0]);
    }

    #[test]
    fn a_hub_that_was_started_anew_knows_who_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nodes.json");
        let nodes = Nodes::new(Some(file.clone()));
        nodes
            .join(Hello::of("a", 7), connection(1, "10.0.0.1:1"), at(10))
            .unwrap();
        nodes.remember(at(15));
        let nodes = Nodes::new(Some(file.clone()));
        assert!(nodes.missing()[0].1.contains("started anew"));
        nodes
            .join(Hello::of("a", 7), connection(1, "10.0.0.1:1"), at(40))
            .unwrap();
        assert_eq!(nodes.json()[0]["gaps"][0]["from"], at(15).to_string());
        nodes.leave("a", 1, "gone", at(50));
        nodes.remember(at(50) + FORGOTTEN_AFTER);
        assert_eq!(
            Nodes::new(Some(file)).missing(),
            Vec::<(String, String)>::new()
        );
    }
}
