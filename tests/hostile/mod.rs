//! Hostile scripts beside a capture, a recording and a well-behaved script, none of which may notice.
//!
//! One run is the real pipeline over made traffic that comes as the clock goes: spool, workers,
//! recorder with its outbox and a folder as its store, scripts in child processes with the live host.
//! While it runs, hostile scripts are saved into the watched folder. Each must end as its table says.
//! Afterwards every packet was captured, every stream recorded, and the other script called once for
//! each item.

mod cases;
mod live;
mod traffic;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tapedeck::capture::Source;
use tapedeck::dissect::Protocols;
use tapedeck::flow::Limits;
use tapedeck::item::Origin;
use tapedeck::kfl::{self, Schema};
use tapedeck::pipeline::host::{LiveHost, LiveOptions, NodeName, Outside, SpoolStreams, health};
use tapedeck::pipeline::{self, Counters, Desk, DeskConsumer, ScriptsConsumer, Stop};
use tapedeck::record::{Outbox, Recorder, Wish, outbox};
use tapedeck::script::console::{Console, MAX_BYTES, MAX_LINES};
use tapedeck::script::environment::Environment;
use tapedeck::script::supervisor::{Options, Own, ScriptStatus, Scripts};
use tapedeck::script::wire::Role;
use tapedeck::spool;
use tapedeck::store::Store;
use tapedeck::store::folder::FolderStore;
use tapedeck::time::{SetClock, SystemClock, Timestamp};

use self::cases::Case;
use self::live::Talk;
use self::traffic::{REQUESTS, Sent, Traffic};

/// Long enough for a loaded machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(120);

/// Processor time of one call of a hostile script.
const BUDGET: Duration = Duration::from_millis(300);

/// The run's Unix start second.
const RUN: u64 = 17;

/// Counts what it is told, and what the numbers in the paths add up to.
const WELL_BEHAVED: &str = "
var count = 0, sum = 0;
function onItemCaptured(data) { count++; sum += Number(data.request.path.slice(2)); }
jobs.schedule('report', '0 0 0 1 1 *', function () { console.log('told ' + count + ' sum ' + sum) });
console.log('well-behaved');
";

/// One run at a time: they share the processors, and what is measured is who gets in whose way.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The real pipeline with one well-behaved script.
struct Rig {
    dir: tempfile::TempDir,
    console: Arc<Console>,
    scripts: Arc<Scripts>,
    host: Arc<LiveHost>,
    desk: Arc<Desk>,
    outbox: Arc<Outbox>,
    sent: Arc<Sent>,
    counters: Arc<Counters>,
    running: Option<pipeline::Running>,
    /// Those whose traffic is captured from an interface.
    talk: Option<Talk>,
    /// Takes connections and never answers.
    _silent: TcpListener,
}

impl Rig {
    /// With made traffic.
    fn start(cases: &[Case]) -> Rig {
        let sent = Arc::new(Sent::default());
        let source = Box::new(Traffic::new(sent.clone()));
        Rig::over(source, sent, None, cases)
    }

    fn over(source: Box<dyn Source>, sent: Arc<Sent>, talk: Option<Talk>, cases: &[Case]) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("scripts")).unwrap();
        fs::write(path("scripts/a_well_behaved.js"), WELL_BEHAVED).unwrap();
        let clock = Arc::new(SystemClock);
        let console = Arc::new(Console::new("n"));
        let (writer, reader) =
            spool::Writer::open(spool::Options::new(path("spool"), RUN)).unwrap();
        let (outbox, desk) = recording(dir.path(), &reader);
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = live_host(&path("data"), &console, &reader, &desk);

        let mut options = Options::live("n", RUN, console.clone()).unwrap();
        options.program = env!("CARGO_BIN_EXE_tapedeck").into();
        options.sources = vec![path("scripts")];
        options.env = environment(&silent);
        options.own = cases.iter().map(own).collect();
        // The engine is slow without optimisation, and the machine may be busy.
        options.budgets.load = Duration::from_secs(30);
        options.budgets.hook = Duration::from_secs(30);
        options.restart.failures = 1;
        let scripts_host = host.clone();
        let scripts = Scripts::start(options, scripts_host, clock.clone()).unwrap();
        let scripts = Arc::new(scripts);

        let counters = Arc::new(Counters::default());
        let running = pipeline::start(
            source,
            pipeline::Options {
                workers: 1,
                protocols: Protocols::all(),
                limits: Limits::default(),
                origin: Arc::new(Origin::default()),
                names: None,
                spool: Some((writer, reader)),
                live: true,
                clock,
                stop: Stop::default(),
                counters: counters.clone(),
                cuts: Default::default(),
                consumers: vec![
                    Box::new(DeskConsumer(desk.clone())),
                    Box::new(ScriptsConsumer {
                        scripts: scripts.clone(),
                        clock: Arc::new(SetClock::at(Timestamp::default())),
                        query_all: false,
                    }),
                ],
            },
        );
        Rig {
            dir,
            console,
            scripts,
            host,
            desk,
            outbox,
            sent,
            counters,
            running: Some(running),
            talk,
            _silent: silent,
        }
    }

    fn status(&self, name: &str) -> Option<ScriptStatus> {
        let file = format!("{name}.js");
        let mut all = self.scripts.status().into_iter();
        all.find(|script| script.role == Role::Worker && script.path.ends_with(&file))
    }

    /// State of the script and the line that says what ended it, when both are as they must be.
    fn end_of(&self, case: &Case) -> Option<(&'static str, String)> {
        let status = self.status(case.name)?;
        let state = status.state.word();
        let lines = self.console.recent();
        let said = lines.into_iter().find(|line| {
            let has = |word: &&str| line.text.contains(*word);
            line.script == status.index
                && line.text.contains(case.place)
                && case.words.iter().any(has)
        });
        said.filter(|_| case.states.contains(&state))
            .map(|line| (state, line.text))
    }

    /// Saves the scripts and waits until each has ended as it must.
    fn attack(&self, cases: &[Case]) -> Vec<Ended> {
        wait_until("traffic flows", || {
            self.sent.items.load(Ordering::Relaxed) > 100
        });
        let begun = Instant::now();
        for case in cases {
            let script = self
                .dir
                .path()
                .join("scripts")
                .join(format!("{}.js", case.name));
            plant_a_link(&self.host.folder(&script), self.dir.path());
            let code = case.code.replace("@DEEP@", &"[".repeat(100_000));
            fs::write(script, code).unwrap();
        }
        let mut ended: Vec<Option<Ended>> = cases.iter().map(|_| None).collect();
        while ended.iter().any(Option::is_none) {
            for (case, ended) in cases.iter().zip(&mut ended) {
                if ended.is_none()
                    && let Some((state, line)) = self.end_of(case)
                {
                    let after = begun.elapsed();
                    *ended = Some(Ended { state, after, line });
                }
            }
            if begun.elapsed() > PATIENCE {
                let open = cases
                    .iter()
                    .zip(&ended)
                    .filter(|(_, ended)| ended.is_none());
                let open: Vec<_> = open
                    .map(|(case, _)| {
                        let status = self.status(case.name);
                        let index = status.as_ref().map(|status| status.index);
                        let lines = self.console.recent();
                        let lines: Vec<String> = lines
                            .into_iter()
                            .filter(|line| Some(line.script) == index)
                            .map(|line| line.text.chars().take(300).collect())
                            .take(3)
                            .collect();
                        (case.name, status.map(|status| status.state), lines)
                    })
                    .collect();
                panic!("these did not end as they must: {open:#?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        ended.into_iter().flatten().collect()
    }

    /// Ends the traffic and checks that nobody else noticed anything.
    fn finish(mut self) {
        // Some more, with all that is left of the attack.
        thread::sleep(Duration::from_millis(300));
        let is_live = self.talk.is_some();
        if let Some(talk) = &mut self.talk {
            talk.end();
            // The last packets are on their way.
            thread::sleep(Duration::from_millis(300));
        }
        let running = self.running.take().unwrap();
        running.stop.stop();
        running.join().unwrap();
        let sent = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let (packets, streams) = (sent(&self.sent.packets), sent(&self.sent.streams));
        let (items, sum) = (sent(&self.sent.items), sent(&self.sent.sum));

        // The capture: every packet, none unwritten, all of them read.
        let counts = self.counters.now();
        // How many segments the kernel makes is its own affair.
        let packets = if is_live { counts.packets } else { packets };
        assert_eq!((counts.packets, counts.streams), (packets, streams));
        assert_eq!((counts.kernel_dropped, counts.interface_dropped), (0, 0));
        assert_eq!((counts.spool_not_written, counts.not_dissected), (0, 0));
        assert_eq!(
            counts.items.values().sum::<u64>(),
            items,
            "{:?}",
            counts.items
        );

        // The other script: one call for each item, and its job.
        let wanted = format!("[n-0] told {items} sum {sum}");
        wait_until("the other script is told all", || {
            self.status("a_well_behaved")
                .is_some_and(|good| good.told >= items)
        });
        self.scripts.run_job("report").unwrap();
        wait_until(&wanted, || {
            let lines = self.console.recent();
            lines.iter().any(|line| line.text == wanted)
        });
        let good = self.status("a_well_behaved").unwrap();
        assert_eq!((good.told, good.dropped, good.restarts), (items, 0, 0));
        assert_eq!(good.state.word(), "running");
        let calls = good
            .calls
            .iter()
            .find(|call| call.name == "onItemCaptured")
            .unwrap();
        assert_eq!((calls.calls, calls.errors), (items, 0));
        assert!(calls.p50.is_some() && calls.p50 <= calls.p99, "{calls:?}");
        let is_told = cfg!(target_os = "linux");
        assert_eq!(good.memory.is_some_and(|bytes| bytes > 1 << 20), is_told);
        let first = "[n-0] well-behaved";
        let lines = self.console.recent();
        assert!(
            lines.iter().any(|line| line.text == first),
            "its lines are kept"
        );
        let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
        assert!(lines.len() <= MAX_LINES && bytes <= MAX_BYTES);
        let metrics = health(&self.scripts.status());
        let of_good = format!(
            "tapedeck_script_items_total{{index=\"0\",script=\"a_well_behaved\",role=\"worker\"}} {items}\n"
        );
        assert!(metrics.contains(&of_good), "{metrics}");

        // The recording: every stream with every packet, read back from the store.
        let recorded = self.desk.status().remove(0);
        assert_eq!((recorded.streams, recorded.packets), (streams, packets));
        assert_eq!((recorded.refused, recorded.not_written), (0, 0));
        self.desk.finish();
        assert_eq!(self.outbox.drain(PATIENCE).waiting, 0);
        self.outbox.stop();
        assert_eq!(read_back(self.dir.path()), items);
        // Nothing outside the data folders was read or written.
        let secret = fs::read_to_string(self.dir.path().join("secrets/secret")).unwrap();
        assert_eq!(secret, "nobody reads this");
        assert!(!self.dir.path().join("outside").exists());
        for copied in files_below(&self.dir.path().join("data")) {
            let bytes = fs::read(&copied).unwrap_or_default();
            assert!(
                !bytes.starts_with(b"nobody reads") && !bytes.starts_with(b"root:"),
                "{copied:?}"
            );
        }
    }
}

/// How a hostile script ended.
struct Ended {
    state: &'static str,
    after: Duration,
    line: String,
}

fn run(topic: &str, cases: &[Case]) {
    let _alone = alone();
    run_on(Rig::start(cases), topic, cases);
}

fn run_on(rig: Rig, topic: &str, cases: &[Case]) {
    let ended = rig.attack(cases);
    rig.finish();
    for (case, ended) in cases.iter().zip(&ended) {
        let (state, after) = (ended.state, ended.after.as_secs_f32());
        let said: String = ended.line.chars().take(160).collect();
        let said = said.replace('\n', " ");
        let name = case.name;
        println!("{topic:<11} {name:<25} {state:<12} {after:>5.1} s  {said}");
    }
}

/// Budgets of one hostile script.
fn own(case: &Case) -> Own {
    let counted = cases::COUNTED_LOOPS.iter().any(|one| one.name == case.name);
    // What is refused only after many calls of helpers needs some time of its own.
    let patient = cases::ESCAPES.iter().any(|one| one.name == case.name);
    Own {
        script: case.name.to_owned(),
        memory: Some(400 << 20),
        loop_iterations: Some(if counted { 20_000 } else { u64::MAX }),
        hook: Some(if patient { 10 * BUDGET } else { BUDGET }),
        job: Some(BUDGET),
        load: None,
        host: Some(Duration::from_secs(if case.name == "calls_in_a_loop" {
            1
        } else {
            20
        })),
    }
}

/// What scripts see as `env`; one of them gets more than can be handed over.
fn environment(silent: &TcpListener) -> Environment {
    let address = silent.local_addr().unwrap();
    let all = json!({"SILENT": format!("http://{address}/")});
    let huge = json!({"huge_env": {"HUGE": "x".repeat(70 << 20)}});
    Environment {
        all: all.as_object().unwrap().clone(),
        each: huge.as_object().unwrap().clone(),
    }
}

/// The recorder of everything, its store in the folder `archive`.
fn recording(dir: &Path, reader: &spool::Reader) -> (Arc<Outbox>, Arc<Desk>) {
    let clock = Arc::new(SystemClock);
    let archive = dir.join("archive");
    let store: Arc<dyn Store> = Arc::new(FolderStore::create(&archive).unwrap());
    let options = outbox::Options::new(dir.join("outbox"), 1 << 30);
    let resolve = Arc::new(move |_: &str| Ok(store.clone()));
    let outbox = Outbox::start(options, clock.clone(), resolve).unwrap();
    let options = tapedeck::record::Options::new(dir.join("record"), RUN, "n", "test");
    let recorder = Recorder::open(options, Some(reader.clone()), clock, outbox.clone()).unwrap();
    let schema = Arc::new(Schema::empty());
    let query = kfl::compile("true", &schema).unwrap();
    let template = Wish::new("recording", query, archive.display().to_string());
    let desk = Desk::new(recorder, template, schema, Box::new(|_| {}));
    desk.configure(Some("true")).unwrap();
    (outbox, Arc::new(desk))
}

fn live_host(
    data: &Path,
    console: &Arc<Console>,
    reader: &spool::Reader,
    desk: &Arc<Desk>,
) -> Arc<LiveHost> {
    let host = LiveHost::start(LiveOptions {
        data: data.to_owned(),
        share: 8 << 20,
        node: NodeName {
            name: "n".into(),
            ip: "10.9.8.7".into(),
            run: RUN,
            run_in_keys: true,
        },
        allow_clear: false,
        console: console.clone(),
        clock: Arc::new(SystemClock),
        reader: Arc::new(SpoolStreams(reader.clone())),
        stores: Arc::new(|_| Err("there is no store".into())),
        recordings: desk.clone(),
        history: Arc::new(|| json!({})),
        outside: Outside::default(),
    });
    Arc::new(host.unwrap())
}

/// A symbolic link that leads out of a script's data folder, as somebody else may have left it.
fn plant_a_link(folder: &Path, dir: &Path) {
    let secrets = dir.join("secrets");
    fs::create_dir_all(&secrets).unwrap();
    fs::write(secrets.join("secret"), "nobody reads this").unwrap();
    fs::create_dir_all(folder).unwrap();
    std::os::unix::fs::symlink(&secrets, folder.join("way")).unwrap();
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// Items that the sealed recording gives.
fn read_back(dir: &Path) -> u64 {
    let query = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .args(["query", "--format", "json", "--kfl", "http"])
        .arg(dir.join("archive"))
        .env("HOME", dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&query.stderr);
    assert!(query.status.success(), "{said}");
    query.stdout.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "it never came true: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn loops_that_the_engine_counts() {
    run("loop", cases::COUNTED_LOOPS);
}

#[test]
fn loops_that_the_watchdog_ends() {
    run("endless", cases::ENDLESS);
}

#[test]
fn patterns_that_track_back() {
    run("pattern", cases::PATTERNS);
}

#[test]
fn memory_eaten_at_once_and_bit_by_bit() {
    run("memory", cases::MEMORY);
}

#[test]
fn what_lies_too_deep() {
    run("depth", cases::DEPTH);
}

#[test]
fn exceptions_everywhere() {
    run("exception", cases::EXCEPTIONS);
}

#[test]
fn floods_of_timers_lines_and_jobs() {
    run("flood", cases::FLOODS);
}

#[test]
fn ways_out() {
    run("escape", cases::ESCAPES);
}

/// All scripts, by topic.
const TOPICS: &[&[Case]] = &[
    cases::COUNTED_LOOPS,
    cases::ENDLESS,
    cases::PATTERNS,
    cases::MEMORY,
    cases::DEPTH,
    cases::EXCEPTIONS,
    cases::FLOODS,
    cases::ESCAPES,
];

/// Two of each topic while an interface is captured: the kernel loses no packet of it.
#[test]
fn beside_the_capture_of_an_interface() {
    let _alone = alone();
    let sent = Arc::new(Sent::default());
    let Some((talk, source)) = Talk::start(&sent) else {
        return;
    };
    let first = TOPICS.iter().flat_map(|topic| topic.iter().take(2));
    let cases: Vec<Case> = first.copied().collect();
    run_on(Rig::over(source, sent, Some(talk), &cases), "live", &cases);
}

#[test]
fn every_hostile_script_has_a_name_of_its_own() {
    let mut names: Vec<&str> = TOPICS
        .iter()
        .flat_map(|topic| topic.iter())
        .map(|case| case.name)
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(
        count >= 100,
        "{count} hostile scripts; a conversation has {REQUESTS} requests"
    );
}
