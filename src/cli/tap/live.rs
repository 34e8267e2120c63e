//! `tap` on a live interface: capture, record, script, serve.

use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::super::config::{Config, Surroundings};
use super::super::exit::{Exit, Failure};
use super::super::{Global, browser, instance};
use super::stores::Stores;
use super::watch::{Locks, Watch};
use super::{recording, view};
use crate::capture::Source;
use crate::capture::own::OwnSockets;
use crate::item::Origin;
use crate::packet::{Endpoint, StreamName};
use crate::pipeline::host::{
    LiveHost, LiveOptions, NodeName, S3Target, SpoolStreams, StreamReader, StreamRef,
};
use crate::pipeline::{
    self, Consumer, Counters, Desk, DeskConsumer, RowsConsumer, ScriptsConsumer, Stop,
};
use crate::record::manifest::Covered;
use crate::record::{self, Outbox, Recorder, outbox};
use crate::script::console::Console;
use crate::script::supervisor::{self, ScriptState, Scripts};
use crate::server::Run;
use crate::spool;
use crate::time::{Clock, SetClock, SystemClock};

/// Time between two looks at signals, configuration and console.
pub const PACE: Duration = Duration::from_millis(100);

/// Time that the last uploads get after Ctrl+C; what is left then goes out at the next start.
const LAST_UPLOADS: Duration = Duration::from_secs(60);

/// Shares of `tap.storageLimit`, in hundredths: spool, pinned packets, open reels, outbox, scripts.
const SHARES: [u64; 5] = [50, 10, 15, 20, 5];

/// Threads for server and uploads; the packet path has its own.
const RIM_THREADS: usize = 2;

/// The runtime at the rim.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RIM_THREADS)
        .thread_name("rim")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no threads can be started: {error}")))
}

/// Captures until Ctrl+C.
pub fn run(config: &Config, global: &Global) -> Result<Exit, Failure> {
    // The query is read before anything is opened: an invalid one must not start a silent nothing.
    let schema = super::super::schema();
    if let Some(text) = config.env_text("RECORDING_KFL") {
        crate::kfl::compile(&text, &schema).map_err(|error| {
            Failure::usage(format!(
                "RECORDING_KFL is invalid, {error}\n{}",
                error.caret(&text)
            ))
        })?;
    }
    let own = OwnSockets::default();
    let source = super::source::open(config, &own)?;
    // Before the first thread: what is given up counts for one thread and those that it starts.
    super::source::give_up_rights()?;
    let stop = Stop::default();
    super::super::stop_on_signal(&stop)?;
    for key in config.not_yet() {
        say(&format!(
            "{} is set, but not acted on in this version: {}",
            key.path, key.doc
        ));
    }
    let what = format!("live on {}", config.text("tap.interface"));
    let setup = Setup {
        source,
        names: None,
        is_live: true,
        what: what.clone(),
        data: super::super::data_dir(config)?,
        scripts: script_sources(config),
        env: script_env(config),
        own: own.clone(),
        stop: stop.clone(),
    };
    let mut session = Session::start(config, setup)?;
    let runtime = runtime()?;
    let view = view::view(
        config,
        session.rows.clone(),
        session.counters.clone(),
        session.facts.clone(),
    );
    let server =
        crate::server::Server::start(&super::server_options(config)?, view, runtime.handle())
            .map_err(|error| Failure::failed(format!("cannot serve the dashboard: {error}")))?;
    own.listen(Endpoint {
        ip: server.address.ip(),
        port: server.address.port(),
    });
    let data = super::super::data_dir(config)?;
    let _registered = instance::register(&data, &instance::Instance::of_process(&server, &what));
    eprintln!("Capturing {what}; Ctrl+C seals and uploads what is open");
    browser::show(&server.url(), server.address, config.bool("headless"));
    session.follow(config, global, &stop);
    session.finish(false)
}

fn say(sentence: &str) {
    eprintln!("{}", super::super::Style::stderr().yellow(sentence));
}

/// Lists the interfaces.
pub fn list_interfaces() -> Result<Exit, Failure> {
    super::source::list_interfaces()
}

/// What a run is made of, beside the configuration.
pub struct Setup {
    /// The packets.
    pub source: Box<dyn Source>,
    /// Names by origin, where the source brings them.
    pub names: Option<pipeline::NamesOf>,
    /// Whether the source is live; else packet time rules and nothing is dropped.
    pub is_live: bool,
    /// What people call the source.
    pub what: String,
    /// Folder for spool, open reels, outbox and script data.
    pub data: PathBuf,
    /// Folders and files of scripts.
    pub scripts: Vec<PathBuf>,
    /// What they see as `env`.
    pub env: Map<String, Json>,
    /// Where connections of the run are announced, so that they are not captured.
    pub own: OwnSockets,
    /// Asks the run to end.
    pub stop: Stop,
}

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
}

/// What the dashboard and the end of the run want to know.
pub struct Facts {
    what: String,
    live: bool,
    run: u64,
    desk: Arc<Desk>,
    outbox: Arc<Outbox>,
    scripts: Arc<Scripts>,
    console: Arc<Console>,
    streams: Arc<SpoolStreams>,
    recorder_choice: String,
    locks: Locks,
}

impl Session {
    /// Opens spool, recorder, outbox and scripts around `source`, and starts the run.
    pub fn start(config: &Config, setup: Setup) -> Result<Session, Failure> {
        let Setup {
            source,
            names,
            is_live,
            what,
            data,
            scripts,
            env,
            own,
            stop,
        } = setup;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let run = u64::try_from(clock.now().secs()).unwrap_or_default();
        private_dir(&data)?;
        let node = node_name(config, run);
        let limit = config.bytes("tap.storageLimit");
        let share = |index: usize| limit / 100 * SHARES.get(index).copied().unwrap_or_default();

        let mut spool_options = spool::Options::new(data.join("spool"), run);
        spool_options.max_bytes = share(0);
        spool_options.segment_bytes = spool_options.segment_bytes.min(share(0) / 8).max(1 << 20);
        spool_options.max_pin_bytes = share(1);
        let (writer, reader) = spool::Writer::open(spool_options)
            .map_err(|error| Failure::failed(error.to_string()))?;

        let stores = Stores::new(recording::open_options(config), own);
        let resolve = {
            let stores = stores.clone();
            move |destination: &str| stores.open(destination)
        };
        let outbox_options = outbox::Options {
            dir: data.join("outbox"),
            max_bytes: share(3),
        };
        let outbox = Outbox::start(outbox_options, clock.clone(), Arc::new(resolve))
            .map_err(|error| Failure::failed(error.to_string()))?;

        let counters = Arc::new(Counters::default());
        let mut options = record::Options::new(
            data.join("record"),
            run,
            &node.name,
            config.text("tap.clusterName"),
        );
        options.max_open_bytes = share(2);
        options.heartbeat = config.duration("recording.heartbeat");
        options.coverage = Some(Arc::new({
            let counters = counters.clone();
            move || coverage(&counters)
        }));
        options.interfaces = vec![config.text("tap.interface").to_owned()];
        let recorder = Recorder::open(options, Some(reader.clone()), clock.clone(), outbox.clone())
            .map_err(|error| Failure::failed(error.to_string()))?;
        let template = recording::template(config, &data)?;
        let desk = Arc::new(Desk::new(
            recorder,
            template,
            super::super::schema(),
            Box::new(|said| eprintln!("{said}")),
        ));

        let console = Arc::new(Console::new(&node.name));
        let packet_clock = Arc::new(SetClock::default());
        let script_clock: Arc<dyn Clock> = if is_live {
            clock.clone()
        } else {
            packet_clock.clone()
        };
        let streams = Arc::new(SpoolStreams(reader));
        let host = Arc::new(
            LiveHost::start(LiveOptions {
                data: data.join("scripts"),
                share: share(4),
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
                history: Arc::new(|| json!({})),
            })
            .map_err(Failure::failed)?,
        );
        let mut script_options = if is_live {
            supervisor::Options::live(&node.name, run, console.clone())?
        } else {
            supervisor::Options::offline(&node.name, run, console.clone())?
        };
        script_options.sources = scripts;
        script_options.active = config.list("scripting.active");
        script_options.watch = is_live && config.bool("scripting.watchScripts");
        script_options.env = env;
        script_options.limits.memory = config.bytes("scripting.memoryLimit");
        script_options.budgets.hook = config.duration("scripting.hookTimeout");
        let scripts = Arc::new(
            Scripts::start(script_options, host.clone(), script_clock.clone())
                .map_err(|error| Failure::failed(error.to_string()))?,
        );
        let watch = Watch::new(stores.clone());
        let facts = Arc::new(Facts {
            what,
            live: is_live,
            run,
            desk: desk.clone(),
            outbox,
            scripts: scripts.clone(),
            console,
            streams,
            recorder_choice: config.text("scripting.recorder").to_owned(),
            locks: watch.locks(),
        });
        facts.choose_recorder();
        desk.configure(config.env_text("RECORDING_KFL").as_deref())
            .map_err(Failure::usage)?;

        let rows = Arc::new(view::rows(config));
        let consumers: Vec<Box<dyn Consumer>> = vec![
            Box::new(DeskConsumer(desk)),
            Box::new(ScriptsConsumer {
                scripts,
                clock: packet_clock,
            }),
            Box::new(RowsConsumer(rows.clone())),
        ];
        let running = pipeline::start(
            source,
            pipeline::Options {
                workers: usize::try_from(config.int("tap.workers")).unwrap_or_default(),
                protocols: super::super::protocols(config),
                limits: super::super::limits(config),
                origin: Arc::new(Origin {
                    worker: format!("{}:8897", node.ip),
                    node_name: node.name,
                    node_ip: node.ip,
                }),
                names,
                spool: Some(writer),
                live: is_live,
                clock,
                stop,
                counters: counters.clone(),
                consumers,
            },
        );
        let printed = Printed::new(config.bool("scripting.console"));
        Ok(Session {
            rows,
            counters,
            facts,
            running,
            host,
            printed,
            watch,
        })
    }

    /// Follows configuration and console until the run is to end.
    pub fn follow(&mut self, config: &Config, global: &Global, stop: &Stop) {
        let mut file = Followed::new(config, global);
        while !stop.is_asked() && !self.running.is_finished() {
            std::thread::sleep(PACE);
            self.printed.print(&self.facts);
            let items = self.counters.now().items.values().sum();
            let recordings = self.facts.desk.status();
            for sentence in self.watch.look(&recordings, items, SystemClock.now()) {
                say(&sentence);
            }
            if let Some(changed) = file.changed() {
                self.facts.follow_config(&changed);
            }
            self.facts.choose_recorder();
        }
    }

    /// Waits until the source has ended or the run is to end.
    pub fn wait(&mut self, stop: &Stop) {
        while !stop.is_asked() && !self.running.is_finished() {
            std::thread::sleep(PACE);
            self.printed.print(&self.facts);
        }
    }

    /// Waits for the end of the run, seals, uploads, and says what came of it.
    pub fn finish(mut self, run_jobs_at_end: bool) -> Result<Exit, Failure> {
        let facts = self.facts;
        let result = self.running.join();
        facts.scripts.finish(run_jobs_at_end);
        drop(self.host);
        facts.desk.finish();
        self.printed.print(&facts);
        if facts.outbox.status().waiting > 0 {
            eprintln!("Uploading what is sealed; a second Ctrl+C leaves it for the next start");
        }
        let status = facts.outbox.drain(LAST_UPLOADS);
        facts.outbox.stop();
        let counts = self.counters.now();
        let items: u64 = counts.items.values().sum();
        let dropped = counts.kernel_dropped + counts.interface_dropped;
        eprintln!(
            "{} packets captured, {} dropped by the kernel, {} by the interface, {} left out as own; {items} items in {} streams; {} reels uploaded, {} waiting",
            counts.packets,
            counts.kernel_dropped,
            counts.interface_dropped,
            counts.own,
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
        result.map_err(|error| Failure::failed(error.to_string()))?;
        Ok(if dropped > 0 || status.dropped > 0 {
            Exit::Gaps
        } else {
            Exit::Done
        })
    }
}

impl Facts {
    /// A sentence for each script that does not run.
    pub fn failed_scripts(&self) -> Vec<String> {
        let states = self
            .scripts
            .status()
            .into_iter()
            .filter_map(|script| match script.state {
                ScriptState::Broken(why)
                | ScriptState::Quarantined(why)
                | ScriptState::Restarting(why) => Some(format!("{}: {why}", script.path.display())),
                ScriptState::Loading | ScriptState::Running => None,
            });
        states.collect()
    }

    fn follow_config(&self, config: &Config) {
        if let Err(sentence) = self
            .desk
            .configure(config.env_text("RECORDING_KFL").as_deref())
        {
            say(&format!("{sentence}; the last good query stays in force"));
        }
        self.scripts.set_env(script_env(config));
    }

    /// One recorder at a time (`scripting.recorder`).
    fn choose_recorder(&self) {
        let foreign = self.scripts.foreign_recorder();
        self.desk.leave_to(
            if self.recorder_choice.is_empty() || self.recorder_choice == "script" {
                foreign
            } else {
                None
            },
        );
        let present: Vec<PathBuf> = self
            .scripts
            .status()
            .into_iter()
            .map(|script| script.path)
            .collect();
        self.desk.keep_scripts(&|path| present.contains(path));
    }
}

impl Run for Facts {
    fn status(&self) -> Json {
        let outbox = self.outbox.status();
        json!({
            "live": self.live,
            "source": self.what,
            "recordings": self.desk.status_json(),
            "outbox": {
                "waiting": outbox.waiting,
                "waitingBytes": outbox.waiting_bytes,
                "uploaded": outbox.uploaded,
                "uploadedBytes": outbox.uploaded_bytes,
                "dropped": outbox.dropped,
                "lastError": outbox.last_error,
            },
            "locks": self.locks.json(),
            "remarks": [],
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

    fn scripts(&self) -> Json {
        serde_json::to_value(self.scripts.status()).unwrap_or_default()
    }

    fn console(&self, after: u64) -> Json {
        let titles: HashMap<u32, (String, String)> = self
            .scripts
            .status()
            .into_iter()
            .map(|script| {
                let file = script
                    .path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                (script.index, (script.title, file))
            })
            .collect();
        let lines: Vec<Json> = self
            .console
            .recent()
            .into_iter()
            .filter(|line| line.number >= after)
            .map(|line| {
                let (title, file) = titles.get(&line.script).cloned().unwrap_or_default();
                json!({"n": line.number + 1, "at": line.at.to_string(), "error": line.error, "text": line.text, "title": title, "file": file})
            })
            .collect();
        json!({"lines": lines})
    }

    fn jobs(&self) -> Json {
        self.scripts
            .jobs()
            .into_iter()
            .map(|job| {
                json!({
                    "script": job.script, "tag": job.tag, "cron": job.cron, "limit": job.limit, "runs": job.runs,
                    "last": job.last.map(|at| at.to_string()), "next": job.next.map(|at| at.to_string()),
                    "running": job.running,
                })
            })
            .collect()
    }

    fn run_job(&self, tag: &str) -> Result<(), String> {
        self.scripts.run_job(tag)
    }

    fn queried(&self, record: &[u8], query: &str) -> Option<Json> {
        self.scripts.ask_queried(record, query)
    }
}

/// What was printed of console and warnings.
struct Printed {
    console: bool,
    next: u64,
}

impl Printed {
    fn new(console: bool) -> Printed {
        Printed { console, next: 0 }
    }

    fn print(&mut self, facts: &Facts) {
        let from = self.next;
        let recent = facts.console.recent().into_iter();
        for line in recent.filter(|line| line.number >= from) {
            self.next = line.number + 1;
            if !self.console {
                continue;
            }
            if line.error {
                eprintln!("{}", super::super::Style::stderr().red(&line.text));
            } else {
                // Whoever read the console may go away; the recording goes on.
                let _ = writeln!(std::io::stdout(), "{}", line.text);
            }
        }
        self.print_warnings(facts);
    }

    fn print_warnings(&self, facts: &Facts) {
        for sentence in facts
            .desk
            .warnings()
            .into_iter()
            .chain(facts.outbox.warnings())
        {
            say(&sentence);
        }
    }
}

/// The configuration file, followed by its content.
struct Followed {
    path: Option<PathBuf>,
    text: String,
    global: Global,
}

impl Followed {
    fn new(config: &Config, global: &Global) -> Followed {
        let text = config.file.as_deref().map(read).unwrap_or_default();
        Followed {
            path: config.file.clone(),
            text,
            global: global.clone(),
        }
    }

    /// The configuration, when the file changed since the last look.
    fn changed(&mut self) -> Option<Config> {
        let text = read(self.path.as_deref()?);
        // Editors empty a file for a moment while they save it.
        if text == self.text || text.is_empty() {
            return None;
        }
        self.text = text;
        match Config::load(&self.global, &Surroundings::of_process()) {
            Ok(config) => {
                config.warnings.iter().for_each(|warning| say(warning));
                Some(config)
            }
            Err(failure) => {
                say(&format!("{}; the settings in force stay", failure.message));
                None
            }
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn coverage(counters: &Counters) -> record::manifest::Coverage {
    let counts = counters.now();
    let reasons = [
        ("kernel_dropped", counts.kernel_dropped),
        ("interface_dropped", counts.interface_dropped),
        ("self", counts.own),
        ("duplicate", counts.duplicates),
        ("malformed", counts.malformed),
        ("damaged", counts.damaged),
    ];
    let seen = reasons.into_iter().filter(|(_, packets)| *packets > 0);
    seen.map(|(reason, packets)| (reason.to_owned(), Covered::new(packets, 0, None)))
        .collect()
}

fn private_dir(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        Failure::failed(format!(
            "the data folder {} cannot be made: {error}; name another with --set tap.dataDir=DIR",
            dir.display()
        ))
    })
}

/// Name and address of this node: the configuration's, else the host's.
fn node_name(config: &Config, run: u64) -> NodeName {
    let host = || {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    };
    let name = config
        .text_if_set("tap.nodeName")
        .map_or_else(host, str::to_owned);
    NodeName {
        name,
        ip: local_ip().to_string(),
        run,
    }
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

/// Folders and files of scripts.
pub fn script_sources(config: &Config) -> Vec<PathBuf> {
    if !config.bool("scripting.enabled") {
        return Vec::new();
    }
    let first = config.text_if_set("scripting.source").map(str::to_owned);
    first
        .into_iter()
        .chain(config.list("scripting.sources"))
        .map(PathBuf::from)
        .collect()
}

/// What scripts see as `env`.
///
/// With `scripting.recorder: native` a script that records by itself is not told the query.
pub fn script_env(config: &Config) -> Map<String, Json> {
    let mut env = config.env();
    if config.text("scripting.recorder") == "native" {
        env.remove("RECORDING_KFL");
    }
    env
}
