//! What the dashboard may ask of a whole cluster.
//!
//! In: what workers said, and questions to those that know. Out: one answer for all nodes. Never: a
//! node that is missing and not named.

use std::collections::BTreeSet;
use std::io::{Write, sink};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value as Json, json};

use super::ask::Ask;
use super::center::Hub;
use super::fold::fold;
use super::nodes::Connection;
use super::state::{ConsoleLine, State};
use super::wishes::Wishes;
use crate::deliver::{Asks, Delivery, Imposed};
use crate::investigate::{Archive, Browse};
use crate::item::{Node, lookup};
use crate::kfl;
use crate::packet::StreamName;
use crate::pipeline::Counts;
use crate::script::supervisor::Scripts;
use crate::server::search::{Part, Wanted};
use crate::server::{Archived, Run};
use crate::spool::Size;
use crate::store::Store;
use crate::time::Timestamp;

/// Nodes that are asked at once.
const ASKED_AT_ONCE: usize = 32;

/// Rows that are looked at for the node of a stream.
const LOOKED_AT: u64 = 50_000;

/// Name of the hub's own lines among those of nodes; no node can be called so.
const HUB: &str = "";

/// Opens a store by its URL, or says why it cannot be.
pub type OpenStore = dyn Fn(&str) -> Result<Arc<dyn Store>, String> + Send + Sync;

/// What the program of the hub knows beside its workers.
pub struct Beside {
    /// What the operator imposes on what the hub reads itself; workers impose it on their own.
    pub imposed: Imposed,
    /// Archives of stores that all nodes write to.
    pub archived: Archived,
    /// Opens a store by its URL.
    pub open: Box<OpenStore>,
    /// Whether a store lies on the disk of the node that writes to it.
    pub is_folder: fn(&str) -> bool,
    /// Where recordings go that do not say.
    pub destination: String,
    /// The name history.
    pub history: Box<dyn Fn() -> Json + Send + Sync>,
    /// Pods inside and outside of the targets.
    pub targeted: Box<dyn Fn() -> Json + Send + Sync>,
    /// How the watches of the cluster fare.
    pub cluster: Box<dyn Fn() -> Json + Send + Sync>,
    /// Why neither probes of the hub nor Prometheus are answered; `None` when they are.
    pub unserved: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// One view of all nodes.
pub struct Overview {
    hub: Arc<Hub>,
    scripts: Arc<Scripts>,
    wishes: Arc<Wishes>,
    beside: Beside,
    /// The last line of the hub's own console that was taken over.
    seen: Mutex<u64>,
}

impl Overview {
    /// What `hub` brings together, with the scripts at the hub.
    pub fn new(
        hub: Arc<Hub>,
        scripts: Arc<Scripts>,
        wishes: Arc<Wishes>,
        beside: Beside,
    ) -> Overview {
        Overview {
            hub,
            scripts,
            wishes,
            beside,
            seen: Mutex::new(0),
        }
    }

    /// What all nodes say of one thing, each list with its node.
    fn lists(&self, own: Json, of: impl Fn(State) -> Option<Json>) -> Json {
        let mut all: Vec<Json> = own.as_array().cloned().unwrap_or_default();
        for (node, state) in self.hub.shared.nodes.states() {
            let Some(Json::Array(list)) = of(state) else {
                continue;
            };
            all.extend(list.into_iter().map(|mut one| {
                if let Some(members) = one.as_object_mut() {
                    members.insert("node".to_owned(), node.clone().into());
                }
                one
            }));
        }
        Json::Array(all)
    }

    /// What all runs are together.
    fn folded(&self) -> Json {
        let mut run = json!({"recordings": []});
        for (_, state) in self.hub.shared.nodes.states() {
            if let Some(one) = &state.run {
                fold(&mut run, one);
            }
        }
        run
    }

    /// Stores that are no folders on the nodes.
    fn common_stores(&self) -> Vec<String> {
        let mut stores = self.stores();
        stores.retain(|url| !(self.beside.is_folder)(url));
        stores
    }

    /// Asks every worker that is there; answers by node.
    fn ask_all(&self, ask: &Ask) -> Vec<(String, Result<Json, String>)> {
        let all = self.hub.shared.nodes.connections();
        let mut answers = Vec::new();
        for some in all.chunks(ASKED_AT_ONCE) {
            std::thread::scope(|scope| {
                let asked: Vec<_> = some
                    .iter()
                    .map(|(node, connection)| {
                        let asking = scope.spawn(|| connection.calls.ask(ask.clone(), &mut sink()));
                        (node.clone(), asking)
                    })
                    .collect();
                answers.extend(asked.into_iter().map(|(node, asking)| {
                    let gone = |_| Err("it could not be asked".to_owned());
                    (node, asking.join().unwrap_or_else(gone))
                }));
            });
        }
        answers
    }

    /// The worker that has a stream, found by the rows that name it.
    fn worker_of(&self, stream: StreamName) -> Result<Connection, String> {
        let nodes = &self.hub.shared.nodes;
        let rows = &self.hub.shared.options.rows;
        let held = rows.held();
        let from = held.end.saturating_sub(LOOKED_AT).max(held.start);
        let wanted = stream.to_string();
        let found: BTreeSet<String> = rows
            .page(from..held.end, usize::MAX)
            .iter()
            .filter_map(|row| {
                let row = row.node()?;
                let text = |path| lookup(row, path).and_then(Node::text);
                (text("stream")? == wanted).then(|| text("node.name"))?
            })
            .map(|name| name.into_owned())
            .collect();
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(node), None) => nodes.of(&node),
            (Some(_), Some(_)) => Err(format!(
                "several nodes have a stream called {wanted}; ask with the worker that its item names"
            )),
            (None, _) => {
                let mut there = nodes.connections().into_iter();
                match (there.next(), there.next()) {
                    (Some((_, connection)), None) => Ok(connection),
                    _ => Err(format!(
                        "it is not known which node has {wanted}; ask with the worker that its item names"
                    )),
                }
            }
        }
    }

    fn stream_from(
        connection: &Connection,
        stream: StreamName,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        let stream = stream.to_string();
        let packets = connection.calls.ask(Ask::Stream { stream }, out)?;
        Ok(packets.as_u64().unwrap_or_default())
    }

    /// A query on its way from what the hub reads itself.
    fn delivery(&self, query: &kfl::Query, now: Timestamp) -> Delivery<'_> {
        let query = self.beside.imposed.before(query.clone());
        Delivery::new(query, now, self.asks())
    }

    fn tell_wishes(&self) -> Result<(), String> {
        self.hub.spread(&self.wishes.spread())
    }
}

impl Run for Overview {
    fn status(&self) -> Json {
        let nodes = &self.hub.shared.nodes;
        let mut run = self.folded();
        let (all, there) = (nodes.json(), nodes.names().len());
        let count = all.as_array().map_or(0, Vec::len);
        let mut scripts = self.scripts.summary();
        fold(&mut scripts, &run["scripts"]);
        let missing = nodes.missing().into_iter();
        let mut remarks: Vec<String> = missing.map(|(_, sentence)| sentence).collect();
        remarks.extend((self.beside.unserved)());
        remarks.extend(nodes.hindered());
        remarks.extend(self.wishes.faults());
        let feed = nodes.feeds();
        if feed.skipped > 0 {
            remarks.push(format!(
                "{} rows are not shown because the hub or a link was slow; recordings have them",
                feed.skipped
            ));
        }
        run["live"] = true.into();
        run["source"] = match count - there.min(count) {
            0 => format!("{there} nodes"),
            missing => format!("{there} nodes, {missing} missing"),
        }
        .into();
        run["scripts"] = scripts;
        run["remarks"] = remarks.into();
        run["unserved"] = (self.beside.unserved)().into();
        run["nodes"] = all;
        run["cluster"] = (self.beside.cluster)();
        run["feed"] = json!(feed);
        run
    }

    fn counts(&self) -> Option<Json> {
        let mut counts = serde_json::to_value(Counts::default()).unwrap_or_default();
        for (_, state) in self.hub.shared.nodes.states() {
            if let Some(one) = &state.counts {
                fold(&mut counts, one);
            }
        }
        Some(counts)
    }

    fn look(&self, query: &kfl::Query) {
        self.hub.shared.look(query);
    }

    fn item(&self, id: &str, query: &kfl::Query) -> Option<Json> {
        let (worker, rest) = id.split_once('/')?;
        let asked = self.hub.shared.nodes.of(worker).and_then(|connection| {
            let (id, kfl) = (id.to_owned(), query.text().to_owned());
            connection.calls.ask(Ask::Item { id, kfl }, &mut sink())
        });
        asked.ok().or_else(|| {
            let now = self.hub.shared.options.clock.now();
            let stores = self.common_stores();
            let delivery = self.delivery(query, now);
            self.beside.archived.item(&stores, worker, rest, &delivery)
        })
    }

    fn limit_storage(&self, bytes: u64) -> Result<Json, String> {
        let answers = self.ask_all(&Ask::LimitStorage { bytes });
        let mut nodes = serde_json::Map::new();
        let mut why = None;
        let mut any = false;
        for (node, answer) in answers {
            any |= answer.is_ok();
            let told = answer.unwrap_or_else(|sentence| {
                why = Some(format!("{node}: {sentence}"));
                json!({"error": sentence})
            });
            nodes.insert(node, told);
        }
        match any {
            true => Ok(json!({"limit": bytes, "nodes": nodes})),
            false => Err(why.unwrap_or_else(|| "no worker is connected".to_owned())),
        }
    }

    fn search(&self, query: &kfl::Query, wanted: &Wanted) -> Vec<Part> {
        let missing = self.hub.shared.nodes.missing();
        let mut parts: Vec<Part> = missing
            .iter()
            .map(|(node, why)| Part::missing(node, why))
            .collect();
        let ask = Ask::Search {
            wanted: Box::new(wanted.clone()),
        };
        let delivery = &self.delivery(query, Timestamp::from_nanos(wanted.now));
        let (asked, stores) = std::thread::scope(|scope| {
            let archives: Vec<_> = self
                .common_stores()
                .into_iter()
                .map(|url| scope.spawn(move || self.beside.archived.search(&url, delivery, wanted)))
                .collect();
            let asked = self.ask_all(&ask);
            let stores: Vec<Part> = archives
                .into_iter()
                .filter_map(|searching| searching.join().ok())
                .collect();
            (asked, stores)
        });
        parts.extend(asked.into_iter().map(|(node, answer)| {
            let read = answer.and_then(|told| {
                serde_json::from_value(told)
                    .map_err(|error| format!("its answer cannot be read: {error}"))
            });
            read.unwrap_or_else(|why| Part::missing(&node, &why))
        }));
        parts.extend(stores);
        parts
    }

    fn streams_pcap_of(
        &self,
        worker: &str,
        streams: &[StreamName],
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        let streams = streams.iter().map(ToString::to_string).collect();
        let connection = self.hub.shared.nodes.of(worker)?;
        let packets = connection.calls.ask(Ask::Streams { streams }, out)?;
        Ok(packets.as_u64().unwrap_or_default())
    }

    fn raw(
        &self,
        node: &str,
        from: Timestamp,
        to: Timestamp,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        if node.is_empty() {
            return Err("name the node; /status lists them under run.nodes".to_owned());
        }
        let (from, to) = (from.nanos(), to.nanos());
        let connection = self.hub.shared.nodes.of(node)?;
        let packets = connection.calls.ask(Ask::Raw { from, to }, out)?;
        Ok(packets.as_u64().unwrap_or_default())
    }

    fn history(&self) -> Json {
        (self.beside.history)()
    }

    fn targeted(&self) -> Json {
        (self.beside.targeted)()
    }

    fn stores(&self) -> Vec<String> {
        let mut stores = vec![self.beside.destination.clone()];
        let mut add = |url: &str| {
            if !url.is_empty() && !stores.iter().any(|known| known == url) {
                stores.push(url.to_owned());
            }
        };
        let run = self.folded();
        let recordings = run["recordings"].as_array();
        for recording in recordings.into_iter().flatten() {
            add(recording["destination"].as_str().unwrap_or_default());
        }
        let kept = run["kept"].as_object();
        kept.into_iter()
            .flat_map(serde_json::Map::keys)
            .for_each(|url| add(url));
        stores
    }

    fn archive(&self, store: &str) -> Result<Option<Archive>, String> {
        Archive::over(self.store(store)?).map_err(|error| error.to_string())
    }

    fn browse(&self, store: &str) -> Result<Option<Arc<Browse>>, String> {
        self.beside.archived.browse(store)
    }

    fn sizes(&self, worker: &str, streams: &[StreamName], until: Instant) -> Vec<Option<Size>> {
        let names = streams.iter().map(ToString::to_string).collect();
        let asked = self.hub.shared.nodes.of(worker).and_then(|connection| {
            let millis = until.saturating_duration_since(Instant::now()).as_millis();
            let ask = Ask::Sizes {
                streams: names,
                patience_ms: u64::try_from(millis).unwrap_or_default(),
            };
            connection.calls.ask(ask, &mut sink())
        });
        let told: Option<Vec<_>> = asked
            .ok()
            .and_then(|told| serde_json::from_value(told).ok());
        let mut sizes = told.unwrap_or_default();
        sizes.resize(streams.len(), None);
        sizes
    }

    fn store(&self, store: &str) -> Result<Arc<dyn Store>, String> {
        if (self.beside.is_folder)(store) && !std::path::Path::new(store).exists() {
            return Err(format!(
                "{store} is a folder on each node; look into it there, or record to a bucket"
            ));
        }
        (self.beside.open)(store)
    }

    fn coverage(&self) -> Result<Json, String> {
        let mut whole = json!({"captured": [], "lost": [], "reels": [], "missing": []});
        let mut add = |list: &str, node: &str, one: Json| {
            let mut one = one;
            if let Some(members) = one.as_object_mut() {
                members.insert("node".to_owned(), node.into());
            }
            if let Some(list) = whole[list].as_array_mut() {
                list.push(one);
            }
        };
        for (node, answer) in self.ask_all(&Ask::Coverage) {
            match answer {
                Ok(mut told) => {
                    for list in ["captured", "lost", "reels"] {
                        if let Json::Array(ones) = told[list].take() {
                            ones.into_iter().for_each(|one| add(list, &node, one));
                        }
                    }
                }
                Err(why) => add("missing", &node, json!({"why": why})),
            }
        }
        for (node, gaps) in self.hub.shared.nodes.times_without() {
            for gap in gaps {
                add("missing", &node, gap);
            }
        }
        Ok(whole)
    }

    fn stream_pcap(&self, stream: StreamName, out: &mut dyn Write) -> Result<u64, String> {
        Overview::stream_from(&self.worker_of(stream)?, stream, out)
    }

    fn stream_pcap_of(
        &self,
        worker: &str,
        stream: StreamName,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        let connection = self.hub.shared.nodes.of(worker)?;
        Overview::stream_from(&connection, stream, out)
    }

    fn stream_pcap_of_run(
        &self,
        worker: &str,
        run: u64,
        stream: StreamName,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        if worker.is_empty() {
            return Err("name the worker, as the row does; each has runs of its own".to_owned());
        }
        let connection = self.hub.shared.nodes.of(worker)?;
        let stream = stream.to_string();
        let ask = Ask::StreamOfRun { run, stream };
        let packets = connection.calls.ask(ask, out)?;
        Ok(packets.as_u64().unwrap_or_default())
    }

    fn scripts(&self) -> Json {
        let own = serde_json::to_value(self.scripts.status()).unwrap_or_default();
        self.lists(own, |state| state.scripts)
    }

    fn console(&self, after: u64) -> Json {
        let lines = &self.hub.shared.lines;
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let own: Vec<ConsoleLine> =
                serde_json::from_value(self.scripts.console_lines(*seen)).unwrap_or_default();
            *seen = own.last().map_or(*seen, |line| line.n);
            lines.add(HUB, own);
        }
        lines.since(after)
    }

    fn jobs(&self) -> Json {
        self.lists(self.scripts.jobs_json(), |state| state.jobs)
    }

    fn run_job(&self, tag: &str) -> Result<(), String> {
        let own = self.scripts.run_job(tag);
        let has = |state: &State| {
            let jobs = state.jobs.as_ref().and_then(Json::as_array);
            jobs.into_iter().flatten().any(|job| {
                job["tag"]
                    .as_str()
                    .is_some_and(|known| known.eq_ignore_ascii_case(tag))
            })
        };
        let nodes = &self.hub.shared.nodes;
        let mut told = own.is_ok();
        for (node, _) in nodes.states().iter().filter(|(_, state)| has(state)) {
            let tag = tag.to_owned();
            let asked = nodes
                .of(node)
                .map(|one| one.calls.tell(Ask::RunJob { tag }));
            told |= matches!(asked, Ok(Ok(())));
        }
        match told {
            true => Ok(()),
            false => own,
        }
    }

    fn recordings(&self) -> Json {
        let mut list = match self.folded()["recordings"].take() {
            Json::Array(list) => list,
            _ => Vec::new(),
        };
        let added = self.wishes.added();
        for one in &mut list {
            // At the workers it stands in the configuration that the hub gave them.
            if one["name"]
                .as_str()
                .is_some_and(|name| added.iter().any(|one| one == name))
            {
                one["source"] = "added".into();
            }
        }
        Json::Array(list)
    }

    fn add_recording(&self, declared: &Json) -> Result<Json, String> {
        let added = self.wishes.add(declared)?;
        self.tell_wishes()?;
        Ok(added)
    }

    fn remove_recording(&self, name: &str) -> Result<Json, String> {
        let removed = self.wishes.remove(name)?;
        self.tell_wishes()?;
        Ok(removed)
    }

    fn seal_recording(&self, name: Option<&str>) -> Result<Json, String> {
        let name = name.map(str::to_owned);
        let answers = self.ask_all(&Ask::Seal { name });
        let mut sealed = 0_u64;
        let mut why = None;
        let mut any = false;
        for (node, answer) in answers {
            match answer {
                Ok(count) => {
                    sealed += count.as_u64().unwrap_or_default();
                    any = true;
                }
                Err(sentence) => why = Some(format!("{node}: {sentence}")),
            }
        }
        match (any, why) {
            (true, _) => Ok(sealed.into()),
            (false, Some(sentence)) => Err(sentence),
            (false, None) => Err("no worker is connected".to_owned()),
        }
    }

    fn asks(&self) -> Option<&dyn Asks> {
        Some(&*self.scripts)
    }
}
