//! What the dashboard may ask of a live run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::super::config::Config;
use super::Asked;
use super::follow::say;
use super::live::script_env;
use super::metrics::Port;
use super::session::share_of;
use super::spooled::SpoolSearch;
use super::stores::{Stores, is_folder};
use super::watch::Locks;
use crate::deliver::{Asks, Delivery};
use crate::investigate::{Archive, Browse};
use crate::item::{Node, lookup};
use crate::kfl;
use crate::packet::StreamName;
use crate::pipeline::host::{NodeName, Recordings as _, SpoolStreams, StreamReader, StreamRef};
use crate::pipeline::{Desk, RECORDING_KFL, Rows, Seeking};
use crate::record::Outbox;
use crate::script::console::{Console, Line};
use crate::script::jobs::JobsAct;
use crate::script::supervisor::{ScriptState, Scripts};
use crate::script::wire::Role;
use crate::server::search::{Part, Wanted};
use crate::server::{Archived, Losses, Run};
use crate::spool::{Size, Sizes};
use crate::store::Store;
use crate::time::{Clock, SystemClock, Timestamp};

/// Time beside the oldest row in which the spool is searched too: rows come when exchanges are over, and
/// not in the order in which they began.
const BESIDE: Duration = Duration::from_secs(10);

/// What the dashboard and the end of the run want to know.
pub struct Facts {
    pub(super) what: String,
    pub(super) live: bool,
    /// Whether a hub says what to record and which scripts to run.
    pub(super) is_node: bool,
    pub(super) node: NodeName,
    pub(super) run: u64,
    /// When the run began, before its first packet; its number is of whole seconds.
    pub(super) began: Timestamp,
    pub(super) desk: Arc<Desk>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) console: Arc<Console>,
    pub(super) streams: Arc<SpoolStreams>,
    /// Whether a script that records by itself does so alone.
    pub(super) leaves_to_scripts: bool,
    pub(super) sizes: Sizes,
    pub(super) locks: Locks,
    pub(super) stores: Arc<Stores>,
    /// Where recordings go that do not say.
    pub(super) destination: String,
    pub(super) cluster: Asked,
    pub(super) rows: Arc<Rows>,
    pub(super) spooled: SpoolSearch,
    pub(super) archived: Archived,
    pub(super) losses: Arc<Losses>,
    /// Has streams recorded around what happens in the cluster; none offline.
    pub(super) seeking: Option<Arc<Seeking>>,
    /// Whether probes and Prometheus are answered.
    pub(super) port: Port,
    /// Why nothing is captured yet.
    pub(super) waits: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl Facts {
    /// A sentence for each script that does not run, or was stopped before its time.
    pub fn failed_scripts(&self) -> Vec<String> {
        let states = self
            .scripts
            .status()
            .into_iter()
            // A script that has no use for the hub throws there, as those of other makers do.
            .filter(|script| script.role == Role::Worker)
            .filter_map(|script| {
                let path = script.path.display().to_string();
                match (script.state.reason(), script.stopped) {
                    // An error of syntax begins with its place.
                    (Some(why), _) if why.starts_with(&path) => Some(why.to_owned()),
                    (Some(why), _) => Some(format!("{path}: {why}")),
                    (None, Some(why)) => Some(format!("{path} was stopped: {why}")),
                    (None, None) => None,
                }
            });
        states.collect()
    }

    /// The lines of the console that are kept.
    pub fn console_lines(&self) -> Vec<Line> {
        self.console.recent()
    }

    pub(super) fn follow_config(&self, config: &Config) {
        if self.is_node {
            return;
        }
        let query = config.env_text(RECORDING_KFL);
        self.record(query.as_deref(), &config.any("recordings"));
        self.scripts.set_env(script_env(config));
    }

    /// Records this from now on; what is invalid leaves the last good one in force.
    pub(super) fn record(&self, query: Option<&str>, list: &Json) {
        if let Err(sentence) = self.desk.configure(query) {
            say(&format!("{sentence}; the last good query stays in force"));
        }
        if let Err(sentence) = self.desk.configure_list(list) {
            say(&format!("{sentence}; the last good list stays in force"));
        }
    }

    /// One recorder at a time (`scripting.recorder`).
    pub(super) fn choose_recorder(&self) {
        let foreign = self.scripts.foreign_recorder();
        self.desk
            .leave_to(foreign.filter(|_| self.leaves_to_scripts));
        let present: Vec<PathBuf> = self
            .scripts
            .status()
            .into_iter()
            .filter(|script| script.state != ScriptState::Off)
            .map(|script| script.path)
            .collect();
        self.desk.keep_scripts(&|path| present.contains(path));
    }
}

impl Run for Facts {
    fn status(&self) -> Json {
        let outbox = self.outbox.status();
        let spool = self.streams.0.counts();
        let (unserved, waits) = (self.port.unserved(), (self.waits)());
        let remarks: Vec<&String> = unserved.iter().chain(&waits).collect();
        json!({
            "live": self.live,
            "source": self.what,
            "recordings": self.desk.list(),
            "outbox": {
                "waiting": outbox.waiting,
                "waitingBytes": outbox.waiting_bytes,
                "oldest": outbox.oldest.map(|at| at.to_string()),
                "bytesPerSecond": outbox.bytes_per_second,
                "onFull": self.outbox.on_full().name(),
                "full": outbox.is_full,
                "uploaded": outbox.uploaded,
                "uploadedBytes": outbox.uploaded_bytes,
                "dropped": outbox.dropped,
                "lastError": outbox.last_error,
            },
            "spool": {
                "onDisk": spool.on_disk,
                "segments": spool.segments,
                "overwritten": spool.overwritten.packets,
                "notWritten": spool.not_written.packets,
            },
            "kept": outbox
                .kept
                .iter()
                .map(|(destination, lock)| (destination.clone(), Json::from(lock.to_string())))
                .collect::<serde_json::Map<_, _>>(),
            "locks": self.locks.json(),
            "cluster": self.cluster.status(),
            "scripts": self.scripts.summary(),
            "remarks": remarks,
            "unserved": unserved,
            "waits": waits,
        })
    }

    fn stream_pcap(&self, stream: StreamName, out: &mut dyn Write) -> Result<u64, String> {
        let wanted = StreamRef {
            run: self.run,
            stream,
        };
        match self.streams.write_pcap(&[wanted], out)? {
            0 => Err(format!(
                "{stream} is no longer in the spool; look for it in the archive"
            )),
            packets => Ok(packets),
        }
    }

    fn stream_pcap_of_run(
        &self,
        _worker: &str,
        run: u64,
        stream: StreamName,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        match self.streams.write_pcap(&[StreamRef { run, stream }], out)? {
            0 => Err(format!(
                "{stream} of the run {run} is no longer in the spool; look for it in the archive"
            )),
            packets => Ok(packets),
        }
    }

    fn is_present(&self, _worker: &str, run: u64) -> bool {
        run == self.run
    }

    fn streams_pcap_of(
        &self,
        _worker: &str,
        streams: &[StreamName],
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        let wanted: Vec<StreamRef> = streams
            .iter()
            .map(|stream| StreamRef {
                run: self.run,
                stream: *stream,
            })
            .collect();
        match self.streams.write_pcap(&wanted, out)? {
            0 => Err("none of the streams is in the spool any more".to_owned()),
            packets => Ok(packets),
        }
    }

    fn raw(
        &self,
        node: &str,
        from: Timestamp,
        to: Timestamp,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        let name = &self.node.name;
        if !node.is_empty() && node != name {
            return Err(format!("no node is called {node}; this one is {name}"));
        }
        let mut packets = 0;
        let reader = &self.spooled.reader;
        for run in reader.runs() {
            let Some(reader) = reader.of_run(run) else {
                continue;
            };
            let written = reader.write_raw(from, to, name, out, &mut |_| {});
            packets += written.map_err(|error| error.to_string())?;
        }
        Ok(packets)
    }

    fn limit_storage(&self, bytes: u64) -> Result<Json, String> {
        if !self.live {
            return Err("a recorded source is its own spool and is not bounded".to_owned());
        }
        let (spool, pins) = (share_of(bytes, 0), share_of(bytes, 1));
        self.spooled.reader.bound(spool, pins);
        say(&format!(
            "the spool holds {spool} bytes at most until tapedeck starts again, since somebody set a \
             storage limit of {bytes} bytes"
        ));
        Ok(json!({"limit": bytes, "spool": spool, "pins": pins}))
    }

    fn search(&self, query: &kfl::Query, wanted: &Wanted) -> Vec<Part> {
        let held = self.rows.held();
        let oldest = || {
            let row = self.rows.page(held.clone(), 1).pop()?;
            let at = lookup(row.node()?, "timestamp").and_then(Node::int)?;
            Some(Timestamp::from_nanos(at.saturating_mul(1_000_000)))
        };
        let until = match held.start {
            // All of this run is held, what the spool has beyond it is of runs before.
            0 => self.began,
            _ => oldest().unwrap_or(self.began) + BESIDE,
        };
        let now = Timestamp::from_nanos(wanted.now);
        let delivery = Delivery::new(query.clone(), now, self.asks());
        let mut parts = self.spooled.search(&delivery, wanted, until);
        let stores = self.stores();
        // What several nodes write to is searched once, by the hub.
        let own = stores.iter().filter(|url| !self.is_node || is_folder(url));
        parts.extend(own.map(|url| self.archived.search(url, &delivery, wanted)));
        parts
    }

    fn item(&self, id: &str, query: &kfl::Query) -> Option<Json> {
        let (worker, rest) = id.split_once('/')?;
        let stores = self.stores();
        let delivery = Delivery::new(query.clone(), SystemClock.now(), self.asks());
        self.archived.item(&stores, worker, rest, &delivery)
    }

    fn history(&self) -> Json {
        self.cluster.history()
    }

    fn targeted(&self) -> Json {
        self.cluster.pods()
    }

    fn scripts(&self) -> Json {
        serde_json::to_value(self.scripts.status()).unwrap_or_default()
    }

    fn console(&self, after: u64) -> Json {
        json!({"lines": self.scripts.console_lines(after)})
    }

    fn jobs(&self) -> Json {
        self.scripts.jobs_json()
    }

    fn run_job(&self, tag: &str) -> Result<(), String> {
        self.scripts.run_job(tag)
    }

    fn jobs_do(&self, act: &JobsAct) -> Result<(), String> {
        self.scripts.jobs_do(act)
    }

    fn jobs_run(&self) -> bool {
        self.scripts.jobs_run()
    }

    fn recordings(&self) -> Json {
        let mut list = self.desk.list();
        let troubles = self.outbox.troubles();
        for one in list.as_array_mut().into_iter().flatten() {
            let destination = one["destination"].as_str().unwrap_or_default();
            // What is not recorded is worse than what is not uploaded yet.
            if let Some(trouble) = troubles.get(destination)
                && one["error"].is_null()
            {
                one["error"] = format!("reels are not uploaded: {trouble}").into();
            }
        }
        list
    }

    fn add_recording(&self, declared: &Json) -> Result<Json, String> {
        self.desk.add(declared)
    }

    fn remove_recording(&self, name: &str) -> Result<Json, String> {
        self.desk.remove(name)
    }

    fn seal_recording(&self, name: Option<&str>) -> Result<Json, String> {
        let known = self.desk.status();
        match name.filter(|name| known.iter().all(|one| one.name != *name)) {
            Some(name) => Err(format!("no recording {name} is on")),
            None => self.desk.seal(name),
        }
    }

    fn stores(&self) -> Vec<String> {
        let mut stores = vec![self.destination.clone()];
        let list = self.desk.list();
        let recorded = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|recording| recording["destination"].as_str().map(str::to_owned));
        // Those of recordings that were stopped, too.
        for named in recorded.chain(self.outbox.status().kept.into_keys()) {
            if !named.is_empty() && !stores.contains(&named) {
                stores.push(named);
            }
        }
        stores
    }

    fn archive(&self, store: &str) -> Result<Option<Archive>, String> {
        Archive::over(self.store(store)?).map_err(|error| error.to_string())
    }

    fn browse(&self, store: &str) -> Result<Option<Arc<Browse>>, String> {
        self.archived.browse(store)
    }

    fn sizes(&self, _worker: &str, streams: &[StreamName], until: Instant) -> Vec<Option<Size>> {
        let spool = self.streams.0.of_run(self.run);
        let size = |name: &StreamName| match Instant::now() < until {
            true => self.sizes.of(spool.as_ref()?, name.stream, until).ok()?,
            false => None,
        };
        streams.iter().map(size).collect()
    }

    fn store(&self, store: &str) -> Result<Arc<dyn Store>, String> {
        self.stores.open(store).map_err(|error| error.to_string())
    }

    fn coverage(&self) -> Result<Json, String> {
        let mut told = match self.live {
            true => self.losses.json(SystemClock.now()),
            false => json!({}),
        };
        told["reels"] = json!(self.outbox.sent());
        Ok(told)
    }

    fn losses(&self) -> Option<Arc<Losses>> {
        self.live.then(|| self.losses.clone())
    }

    fn switch_script(&self, path: &str, on: bool) -> Result<(), String> {
        self.scripts.switch(Path::new(path), on)
    }

    fn asks(&self) -> Option<&dyn Asks> {
        Some(&*self.scripts)
    }
}
