//! The parts of a recording run, put together: spool, recorder, outbox, scripts, rows.

use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::super::Global;
use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::super::{heard, secrets};
use super::beat::Beat;
use super::facts::Facts;
use super::follow::{Followed, Printed, say};
use super::live::PACE;
use super::metrics::{Port, Pulse};
use super::primed::Primed;
use super::scripting::{leaves_to_scripts, script_options, vendor_options};
use super::spooled::{SpoolSearch, shared};
use super::stores::Stores;
use super::watch::Watch;
use super::{Asked, beside, figures, recording, stores::archived, view};
use crate::capture::Source;
use crate::capture::own::OwnSockets;
use crate::item::Origin;
use crate::pipeline::host::{
    DryHost, HubAction, LiveHost, LiveOptions, NodeName, Outside, PodBlocker, S3Target, SentLog,
    SpoolStreams, health,
};
use crate::pipeline::{
    self, Consumer, Counters, Cuts, Desk, DeskConsumer, Indexing, Learning, RECORDING_KFL,
    RowsConsumer, ScriptsConsumer, Stop,
};
use crate::private;
use crate::record::manifest::Covered;
use crate::record::{self, Outbox, Recorder, outbox};
use crate::script::console::Console;
use crate::script::environment::Environment;
use crate::script::folder::Side;
use crate::script::host::Host;
use crate::script::supervisor::Scripts;
use crate::server::Losses;
use crate::spool;
use crate::time::{Clock, SetClock, SystemClock};

/// Time that the last uploads get after Ctrl+C; what is left then goes out at the next start.
const LAST_UPLOADS: Duration = Duration::from_secs(60);

/// Shares of `tap.storageLimit`, in hundredths: spool, pinned packets, open reels, outbox, scripts.
const SHARES: [u64; 5] = [50, 10, 15, 20, 5];

/// What a run is made of, beside the configuration.
pub struct Setup {
    /// The packets.
    pub source: Box<dyn Source>,
    /// Names by origin, where the source brings them.
    pub names: Option<pipeline::NamesOf>,
    /// The cluster, as far as it can be asked.
    pub cluster: Asked,
    /// Whether the source is live; else packet time rules and nothing is dropped.
    pub is_live: bool,
    /// What people call the source.
    pub what: String,
    /// Folder for spool, open reels, outbox and script data.
    pub data: PathBuf,
    /// Folders and files of scripts.
    pub scripts: Vec<PathBuf>,
    /// What they see as `env`.
    pub env: Environment,
    /// Where connections of the run are announced, so that they are not captured.
    pub own: OwnSockets,
    /// The hub, where it is another process.
    pub hub: Option<Remote>,
    /// Whether what would be sent is noted instead.
    pub dry: Option<Dry>,
    /// Asks the run to end.
    pub stop: Stop,
}

/// The hub of a cluster, as scripts of a worker see it.
pub struct Remote {
    /// Where `hub.action` leads.
    pub actions: Arc<HubAction>,
    /// Where `hub.blockPod` leads.
    pub block: Arc<PodBlocker>,
    /// What `hub.targeted` answers.
    pub pods: Arc<dyn Fn() -> Json + Send + Sync>,
    /// Why nothing is captured before it says more.
    pub waits: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

/// A run that sends nothing: see [`DryHost`]. Recordings are sealed into the run's own folder.
pub struct Dry {
    /// Where calls are noted that would have left.
    pub sent: Arc<SentLog>,
    /// Whether nothing is printed either.
    pub quiet: bool,
    /// Sees items beside the scripts.
    pub watcher: Option<Watcher>,
}

/// Makes a consumer that is called after the scripts.
pub type Watcher = Box<dyn FnOnce(Arc<Scripts>) -> Box<dyn Consumer>>;

/// The running parts of a recording run.
pub struct Session {
    /// Rows for the dashboard.
    pub rows: Arc<pipeline::Rows>,
    /// Counters of the run.
    pub counters: Arc<Counters>,
    /// What the dashboard may ask.
    pub facts: Arc<Facts>,
    running: pipeline::Running,
    host: Arc<LiveHost>,
    printed: Printed,
    watch: Watch,
    beat: Arc<Beat>,
    pub(super) pulse: Pulse,
    quiet: bool,
    /// Ends with the run.
    _relieving: Option<pipeline::Relieving>,
}

impl Session {
    /// Opens spool, recorder, outbox and scripts around the source, and starts the run.
    pub fn start(config: &Config, mut setup: Setup) -> Result<Session, Failure> {
        private_dir(&setup.data)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let counters = Arc::new(Counters::default());
        let stores = Stores::new(recording::open_options(config), setup.own.clone());
        let began = clock.now();
        let wanted = u64::try_from(began.secs()).unwrap_or_default();
        let run = spool::unused_run(&setup.data.join("spool"), wanted);
        let node = node_name(config, run);
        let (mut writer, reader) = open_spool(config, &setup.data, run)?;
        let quiet = setup.dry.as_ref().is_some_and(|dry| dry.quiet);
        // What an earlier run left is no gap of this one.
        for sentence in writer.warnings().iter().filter(|_| !quiet) {
            say(sentence);
        }
        let kept = setup.dry.is_some().then(|| setup.data.join("recordings"));
        let outbox = open_outbox(config, &setup.data, kept, &stores, &clock)?;
        let cuts = Cuts::default();
        let addresses = match setup.is_live {
            true => super::source::own_addresses(),
            false => Vec::new(),
        };
        let mut options = recorder_options(config, &setup.data, &node, &counters, &cuts)?;
        options.addresses.clone_from(&addresses);
        let kept = Some(reader.clone());
        let recorder = Recorder::open(options, kept, Arc::new(SystemClock), outbox.clone())
            .map_err(|error| Failure::failed(error.to_string()))?;
        let basis = recording::basis(config, &setup.data)?;
        let destination = basis.template.destination.clone();
        let desk = Arc::new(Desk::on(
            recorder,
            basis,
            Box::new(move |said| {
                if !quiet {
                    eprintln!("{said}");
                }
            }),
        ));

        let primed = Primed::new(setup.source, setup.is_live);
        let packet_clock = Arc::new(SetClock::at(primed.begins().unwrap_or_default()));
        let script_clock: Arc<dyn Clock> = match setup.is_live {
            true => clock.clone(),
            false => packet_clock.clone(),
        };
        let console = Arc::new(Console::new(&node.name));
        let streams = Arc::new(SpoolStreams(reader.clone()));
        let mut outside = Outside {
            vendor: vendor_options(config, &setup.own)?,
            pods: Arc::new({
                let cluster = setup.cluster.clone();
                move || cluster.pods()
            }),
            block: setup.cluster.blocker(config),
            ..Outside::default()
        };
        let is_node = setup.hub.is_some();
        let mut waits: Arc<dyn Fn() -> Option<String> + Send + Sync> = Arc::new(|| None);
        if let Some(hub) = setup.hub {
            (outside.hub, outside.pods) = (hub.actions, hub.pods);
            outside.block = hub.block;
            waits = hub.waits;
        }
        let host = Arc::new(
            LiveHost::start(LiveOptions {
                data: setup.data.join("scripts"),
                share: share(config, 4),
                node: node.clone(),
                allow_clear: config.bool("scripting.allowClear"),
                console: console.clone(),
                clock: script_clock.clone(),
                reader: streams.clone(),
                stores: Arc::new({
                    let stores = stores.clone();
                    move |target: &S3Target| stores.of_script(target)
                }),
                recordings: desk.clone(),
                history: Arc::new({
                    let cluster = setup.cluster.clone();
                    move || cluster.history()
                }),
                outside,
            })
            .map_err(Failure::failed)?,
        );
        // The host has pinned what links of earlier runs point at.
        reader.drop_unpinned();
        let mut options = script_options(config, setup.is_live, &node, console.clone())?;
        if is_node {
            options.side = Side::Worker;
        }
        options.sources = std::mem::take(&mut setup.scripts);
        options.env = std::mem::take(&mut setup.env);
        let scripts_host: Arc<dyn Host> = match &setup.dry {
            None => host.clone(),
            Some(dry) => Arc::new(DryHost {
                live: host.clone(),
                node: node.clone(),
                console: console.clone(),
                clock: script_clock.clone(),
                sent: dry.sent.clone(),
            }),
        };
        let scripts = Scripts::start(options, scripts_host, script_clock)
            .map_err(|error| Failure::failed(error.to_string()))?;
        let scripts = Arc::new(scripts);
        let kept_stores = stores.clone();
        let watch = Watch::new(stores);
        let seeking = match setup.is_live {
            true => Some(Arc::new(beside::seeking(
                &desk,
                &reader,
                &setup.cluster,
                is_node,
                &node,
                &setup.data,
            )?)),
            false => None,
        };
        let rows = Arc::new(view::rows(config));
        let protocols = secrets::protocols(config, setup.is_live.then(|| setup.stop.clone()))?;
        let origin = Arc::new(Origin {
            worker: format!("{}:8897", node.ip),
            node_name: node.name.clone(),
            node_ip: node.ip.clone(),
            ..Origin::default().with_addresses(&addresses)
        });
        let names = setup.names.map(|names| Arc::new(Mutex::new(names)));
        let spooled = SpoolSearch {
            reader: reader.clone(),
            protocols: protocols.clone(),
            limits: super::super::limits(config),
            origin: origin.clone(),
            names: names.clone(),
        };
        let facts = Arc::new(Facts {
            what: setup.what,
            live: setup.is_live,
            is_node,
            node: node.clone(),
            run,
            began,
            desk: desk.clone(),
            outbox,
            scripts: scripts.clone(),
            console,
            streams,
            leaves_to_scripts: leaves_to_scripts(config)?,
            sizes: spool::Sizes::default(),
            locks: watch.locks(),
            archived: archived(config, &kept_stores)?,
            stores: kept_stores,
            destination,
            cluster: setup.cluster.clone(),
            rows: rows.clone(),
            spooled,
            losses: Arc::new(Losses::new(began)),
            seeking,
            port: Port::default(),
            waits,
        });
        facts.choose_recorder();
        if setup.is_live {
            desk.remember(setup.data.join("recordings.json"));
        }
        desk.configure_list(&config.any("recordings"))
            .and_then(|()| desk.configure(config.env_text(RECORDING_KFL).as_deref()))
            .map_err(Failure::usage)?;

        let learning = setup.is_live.then(|| {
            let cluster = setup.cluster.clone();
            Learning::new(Box::new(move |host| cluster.service_of_host(host)))
        });
        let mut consumers: Vec<Box<dyn Consumer>> = learning
            .map(|learning| Box::new(learning) as Box<dyn Consumer>)
            .into_iter()
            .collect();
        consumers.extend(beside::processes(config, setup.is_live)?);
        let others: [Box<dyn Consumer>; 3] = [
            Box::new(DeskConsumer(desk)),
            Box::new(ScriptsConsumer {
                scripts: scripts.clone(),
                clock: packet_clock,
                query_all: config.bool("scripting.queryEveryItem"),
            }),
            Box::new(RowsConsumer(rows.clone())),
        ];
        consumers.extend(others);
        if let Some(watcher) = setup.dry.and_then(|dry| dry.watcher) {
            consumers.push(watcher(scripts));
        }
        let options = pipeline::Options {
            workers: usize::try_from(config.int("tap.workers")).unwrap_or_default(),
            protocols,
            limits: super::super::limits(config),
            origin,
            names: names.map(shared),
            spool: Some((writer, reader)),
            live: setup.is_live,
            clock,
            stop: setup.stop,
            counters: counters.clone(),
            cuts,
            consumers,
        };
        let running = pipeline::start(Box::new(primed), options);
        Ok(Session {
            _relieving: beside::relieving(setup.is_live, &rows, &counters)?,
            rows,
            counters,
            facts,
            running,
            host,
            printed: Printed::new(config.bool("scripting.console"), quiet),
            watch,
            beat: Arc::new(Beat::start(
                config.duration("recording.heartbeat"),
                SystemClock.now(),
                setup.data.join("manifests-due.json"),
            )),
            pulse: Pulse::new(),
            quiet,
        })
    }

    /// Reads the metrics of capture, recordings, outbox and scripts, and those that scripts keep, as
    /// text for Prometheus.
    pub fn metrics(&self) -> impl Fn() -> String + Send + Sync + 'static {
        let host = Arc::downgrade(&self.host);
        let facts = Arc::downgrade(&self.facts);
        let outbox = self.facts.outbox.clone();
        let counters = self.counters.clone();
        let beat = self.beat.clone();
        move || {
            let (sent, now) = (outbox.status(), SystemClock.now());
            let mut text = figures::of_capture(&counters.now());
            text += &super::metrics::of_outbox(&sent, now);
            if let Some(facts) = facts.upgrade() {
                text += &figures::of_spool(&facts.streams.0.counts());
                text += &figures::of_recordings(&facts.desk.status(), &sent, &beat, now);
                text += &health(&facts.scripts.status());
                text += &facts.cluster.figures();
            }
            text += &host
                .upgrade()
                .map(|host| host.metrics())
                .unwrap_or_default();
            text
        }
    }

    /// Says what keeps the run from its work.
    pub fn unready(&self) -> impl Fn() -> Option<String> + Send + Sync + 'static {
        let facts = Arc::downgrade(&self.facts);
        let counters = self.counters.clone();
        move || {
            let ended = || Some("the capture has ended".to_owned());
            let Some(facts) = facts.upgrade() else {
                return ended();
            };
            if counters.now().ended {
                return ended();
            }
            let outbox = facts.outbox.status();
            outbox.is_full.then(|| {
                format!(
                    "recording stands still: {} reels wait for the store{}",
                    outbox.waiting,
                    outbox
                        .last_error
                        .map(|error| format!(", {error}"))
                        .unwrap_or_default()
                )
            })
        }
    }

    /// Follows configuration and console until the run is to end; `source` follows changes too.
    pub fn follow(
        &mut self,
        config: &Config,
        global: &Global,
        stop: &Stop,
        source: &dyn Fn(&Config),
    ) {
        /// Time between two looks at how old manifests are, which is kept for the next start.
        const BEAT: Duration = Duration::from_secs(1);
        let mut file = Followed::new(config, global);
        let mut beaten: Option<Instant> = None;
        while !stop.is_asked() && !self.running.is_finished() {
            std::thread::sleep(PACE);
            self.pulse.beat();
            self.printed.print(&self.facts, &self.counters);
            for (level, record) in heard::records().try_iter() {
                self.facts.scripts.tell_log(level, &record);
            }
            let items = self.counters.now().items.values().sum();
            let recordings = self.facts.desk.status();
            if beaten.is_none_or(|at| at.elapsed() >= BEAT) {
                beaten = Some(Instant::now());
                let newest = self.facts.outbox.status().newest;
                self.beat.ages(&recordings, &newest, SystemClock.now());
            }
            for sentence in self.watch.look(&recordings, items, SystemClock.now()) {
                say(&sentence);
            }
            if let Some(changed) = file.changed() {
                self.facts.follow_config(&changed);
                source(&changed);
            }
            for sentence in self.facts.cluster.sentences() {
                say(&sentence);
            }
            self.facts.choose_recorder();
        }
    }

    /// The data folder of a script.
    pub fn folder(&self, script: &Path) -> PathBuf {
        self.host.folder(script)
    }

    /// Waits for the end of the source and for the scripts, and says what is recorded, as pages show
    /// it; recordings end with [`Session::finish`].
    pub fn recorded(&self) -> Json {
        /// Time between two looks at whether the source has ended.
        const LOOK: Duration = Duration::from_millis(2);
        while !self.running.is_finished() {
            std::thread::sleep(LOOK);
        }
        self.facts.scripts.drain();
        self.facts.desk.status_json()
    }

    /// Waits until the source has ended or the run is to end.
    pub fn wait(&mut self, stop: &Stop) {
        while !stop.is_asked() && !self.running.is_finished() {
            std::thread::sleep(PACE);
            self.printed.print(&self.facts, &self.counters);
        }
    }

    /// Waits a moment and prints what is new; false when the source has ended.
    pub fn step(&mut self) -> bool {
        std::thread::sleep(PACE);
        self.printed.print(&self.facts, &self.counters);
        !self.running.is_finished()
    }

    /// Waits for the end of the run, seals, uploads, and says what came of it.
    pub fn finish(mut self, run_jobs_at_end: bool) -> Result<Exit, Failure> {
        let facts = self.facts;
        let stop = self.running.stop.clone();
        let result = self.running.join();
        facts.scripts.finish(run_jobs_at_end);
        drop(self.host);
        facts.desk.finish();
        self.printed.print(&facts, &self.counters);
        if facts.outbox.status().waiting > 0 && !self.quiet {
            eprintln!("Uploading what is sealed; a second Ctrl+C leaves it for the next start");
        }
        let goes_on = || !stop.is_hurried();
        let status = facts.outbox.drain_while(LAST_UPLOADS, &goes_on);
        facts.outbox.stop();
        if facts.live && status.waiting == 0 {
            self.beat.end();
        }
        let counts = self.counters.now();
        let items: u64 = counts.items.values().sum();
        let dropped = counts.kernel_dropped + counts.interface_dropped;
        if self.quiet {
            result?;
            return Ok(Exit::Done);
        }
        eprintln!(
            "{} packets captured, {} dropped by the kernel, {} by the interface, {} left out as own{}; {items} items in {} streams; {} reels uploaded, {} waiting",
            counts.packets,
            counts.kernel_dropped,
            counts.interface_dropped,
            counts.own,
            match counts.not_targeted {
                0 => String::new(),
                packets => format!(", {packets} as not targeted"),
            },
            counts.streams,
            status.uploaded,
            status.waiting,
        );
        if let Some(error) = &status.last_error {
            say(&format!(
                "{} reels wait in the outbox for the next start: {error}",
                status.waiting
            ));
        }
        let is_cut_short = stop.is_hurried() && status.waiting > 0;
        if is_cut_short && status.last_error.is_none() {
            say(&format!(
                "{} reels wait in the outbox for the next start",
                status.waiting
            ));
        }
        result?;
        if counts.memory_short > 0 {
            say(&format!(
                "{} packets were not dissected because memory was short; raise its limit, or narrow what is captured",
                counts.memory_short
            ));
        }
        if counts.not_dissected > 0 {
            say(&format!(
                "{} packets were overwritten in the spool before they were dissected; raise tap.storageLimit or tap.workers",
                counts.not_dissected
            ));
        }
        if counts.targets_unknown > 0 {
            say(&format!(
                "{} packets were thrown away because the hub had not said which pods are captured",
                counts.targets_unknown
            ));
        }
        let lost = dropped
            + status.dropped
            + counts.not_dissected
            + counts.memory_short
            + counts.targets_unknown;
        let gaps = lost > 0 || !counts.warnings.is_empty() || is_cut_short;
        Ok(if gaps { Exit::Gaps } else { Exit::Done })
    }
}

/// A share of `tap.storageLimit`, by its place in [`SHARES`].
pub(super) fn share(config: &Config, place: usize) -> u64 {
    share_of(config.bytes("tap.storageLimit"), place)
}

/// The same of another limit.
pub(super) fn share_of(limit: u64, place: usize) -> u64 {
    limit / 100 * SHARES.get(place).copied().unwrap_or_default()
}

fn open_spool(
    config: &Config,
    data: &Path,
    run: u64,
) -> Result<(spool::Writer, spool::Reader), Failure> {
    /// Segments that a ring has at least, so that recycling one does not empty it.
    const SEGMENTS: u64 = 8;
    let mut options = spool::Options::new(data.join("spool"), run);
    options.max_bytes = share(config, 0);
    options.segment_bytes = options
        .segment_bytes
        .min(options.max_bytes / SEGMENTS)
        .max(1 << 20);
    options.max_pin_bytes = share(config, 1);
    spool::Writer::open(options).map_err(|error| Failure::failed(error.to_string()))
}

/// The outbox; with `kept`, what is sealed goes to that folder whatever its destination.
fn open_outbox(
    config: &Config,
    data: &Path,
    kept: Option<PathBuf>,
    stores: &Arc<Stores>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Outbox>, Failure> {
    let stores = stores.clone();
    let kept = kept.map(|folder| folder.display().to_string());
    let resolve = move |destination: &str| match &kept {
        None => stores.open(destination),
        Some(folder) => stores.open(folder),
    };
    let mut options = outbox::Options::new(data.join("outbox"), share(config, 3));
    options.on_full = recording::on_full(config)?;
    options.signer = recording::signer(config)?;
    Outbox::start(options, clock.clone(), Arc::new(resolve))
        .map_err(|error| Failure::failed(error.to_string()))
}

fn recorder_options(
    config: &Config,
    data: &Path,
    node: &NodeName,
    counters: &Arc<Counters>,
    cuts: &Cuts,
) -> Result<record::Options, Failure> {
    let cluster = config.text("tap.clusterName");
    let mut options = record::Options::new(data.join("record"), node.run, &node.name, cluster);
    options.max_open_bytes = share(config, 2);
    options.heartbeat = config.duration("recording.heartbeat");
    options.coverage = Some(Arc::new({
        let counters = counters.clone();
        move || coverage(&counters)
    }));
    options.protocols = super::super::protocols(config)?;
    options.indexer = Some(Arc::new(Indexing::new(
        options.protocols.clone(),
        super::super::limits(config),
    )));
    let cuts = cuts.clone();
    options.want_states = Some(Arc::new(move |streams| cuts.want(streams)));
    options.interfaces = vec![config.text("tap.interface").to_owned()];
    Ok(options)
}

fn coverage(counters: &Counters) -> record::manifest::Coverage {
    let counts = counters.now();
    let reasons = figures::left_out(&counts).into_iter();
    // They are lost unless somebody says in time what they are.
    let reasons = reasons.chain([("targets_awaited", counts.waiting)]);
    let seen = reasons.filter(|(_, packets)| *packets > 0);
    seen.map(|(reason, packets)| (reason.to_owned(), Covered::new(packets, 0, None)))
        .collect()
}

pub(super) fn private_dir(dir: &Path) -> Result<(), Failure> {
    private::make_folder(dir).map_err(|error| {
        let sentence = format!(
            "the data folder {} cannot be made: {error}; name another with --set tap.dataDir=DIR",
            dir.display()
        );
        Failure::of(&error, sentence)
    })
}

/// Name and address of this node: the configuration's, else the host's.
pub(super) fn node_name(config: &Config, run: u64) -> NodeName {
    let name = config
        .text_if_set("tap.nodeName")
        .map_or_else(host_name, str::to_owned);
    NodeName {
        name,
        ip: local_ip().to_string(),
        run,
        run_in_keys: config.bool("scripting.runInKeys"),
    }
}

#[cfg(unix)]
fn host_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

#[cfg(windows)]
fn host_name() -> String {
    let name = std::env::var_os("COMPUTERNAME").unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The address that packets to elsewhere would leave from; nothing is sent.
fn local_ip() -> IpAddr {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    socket.map_or(loopback, |address| address.ip())
}
