//! Scripts in real child processes: the built program is its own script host.
//!
//! These tests start processes and wait for what they do; no duration is asserted.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tapedeck::item::{Item, Key, Origin, Peer, ProtocolInfo, Value, flat};
use tapedeck::packet::savefile::pcap::{self, Precision};
use tapedeck::packet::{Endpoint, LinkType, MAX_SNAPLEN, StreamId, StreamName, Transport};
use tapedeck::pipeline::host::{
    LiveHost, LiveOptions, NodeName, Outside, Recordings, S3Target, StreamReader, StreamRef,
};
use tapedeck::script::console::Console;
use tapedeck::script::environment::Environment;
use tapedeck::script::host::{Host, HostCall, ScriptId};
use tapedeck::script::supervisor::{Options, ScriptState, Scripts};
use tapedeck::store::folder::FolderStore;
use tapedeck::time::{Clock, SetClock, SystemClock, Timestamp};

/// Long enough for a loaded machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(120);

static HTTP: ProtocolInfo = ProtocolInfo {
    name: "http",
    version: "1.1",
    abbr: "HTTP",
    long_name: "Hypertext Transfer Protocol -- HTTP/1.1",
    macro_name: "http",
    background: "#326de6",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc9112",
    ports: &["80"],
    layer4: "tcp",
    priority: 0,
};

/// `GET /cart` with a status, in the stream `number / 10`.
pub fn item(number: u64, status: i64, at: Timestamp) -> Item {
    let peer = |last, port| Peer {
        endpoint: Endpoint {
            ip: [10, 0, 0, last].into(),
            port,
        },
        name: Arc::from("web"),
        namespace: Arc::from("shop"),
        mechanism: "ip",
        identity: None,
        process: None,
    };
    let text = |text: &'static str| Value::Text(text.as_bytes().into());
    Item {
        number,
        index: 0,
        stream: StreamName {
            stream: StreamId(number / 10),
            transport: Transport::Tcp,
        },
        protocol: &HTTP,
        tls: false,
        src: peer(1, 40000),
        dst: peer(2, 80),
        start: at,
        elapsed_nanos: 2_000_000 * number,
        request_size: 100,
        response_size: 100,
        request: Value::Object(vec![
            (Key::Static("method"), text("GET")),
            (Key::Static("path"), text("/cart")),
        ]),
        response: Value::Object(vec![(Key::Static("status"), Value::Int(status))]),
        data: Value::Null,
        error: None,
        ordinal: number,
        origin: Arc::new(Origin {
            node_name: "n".into(),
            node_ip: "10.9.8.7".into(),
            worker: "10.9.8.7:30001".into(),
            ..Origin::default()
        }),
        record: Arc::from(""),
        tunnel: None,
        asked_here: false,
    }
}

pub fn tell(scripts: &Scripts, items: &[Item], now: Timestamp) {
    let mut bytes = Vec::new();
    items.iter().for_each(|item| flat::encode(item, &mut bytes));
    let last = items.last().map_or(0, |item| item.number);
    scripts.tell_items(&bytes, items.len() as u32, last, now);
}

/// Notes what scripts ask and does nothing.
#[derive(Default)]
struct Notes(Mutex<Vec<HostCall>>);

impl Host for Notes {
    fn call(&self, _: &ScriptId, call: HostCall) -> Result<Json, String> {
        self.0.lock().unwrap().push(call);
        Ok(Json::Null)
    }
}

/// Waits until something is so.
fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "it never came true: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub struct Rig {
    pub dir: tempfile::TempDir,
    pub console: Arc<Console>,
    notes: Arc<Notes>,
}

impl Rig {
    pub fn new(scripts: &[(&str, &str)]) -> Rig {
        let rig = Rig {
            dir: tempfile::tempdir().unwrap(),
            console: Arc::new(Console::new("n")),
            notes: Arc::default(),
        };
        for (name, code) in scripts {
            rig.put(name, code);
        }
        rig
    }

    pub fn put(&self, name: &str, code: &str) {
        fs::write(self.dir.path().join(name), code).unwrap();
    }

    pub fn options(&self, offline: bool) -> Options {
        let console = Arc::clone(&self.console);
        let mut options = if offline {
            Options::offline("n", 17, console).unwrap()
        } else {
            Options::live("n", 17, console).unwrap()
        };
        options.program = env!("CARGO_BIN_EXE_tapedeck").into();
        options.sources = vec![self.dir.path().to_owned()];
        // The engine is slow without optimisation, and the machine may be busy.
        options.budgets.load = Duration::from_secs(30);
        options
    }

    pub fn live(&self) -> Scripts {
        self.start(self.options(false), Arc::new(SystemClock))
    }

    pub fn start(&self, options: Options, clock: Arc<dyn Clock>) -> Scripts {
        Scripts::start(options, Arc::clone(&self.notes) as Arc<dyn Host>, clock).unwrap()
    }

    pub fn calls(&self) -> Vec<HostCall> {
        self.notes.0.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        let lines = self.console.recent();
        lines.into_iter().map(|line| line.text).collect()
    }

    pub fn wait_for(&self, what: &str, mut is: impl FnMut(&[String]) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is(&self.lines()) {
            assert!(
                Instant::now() < until,
                "{what} did not come: {:#?}",
                self.lines()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn wait_for_line(&self, line: &str) {
        self.wait_for(line, |lines| lines.iter().any(|one| one == line));
    }
}

const COUNTING: &str = "var count = 0;
function onItemCaptured(data) { count++; if (count % 10 === 0) console.log('seen ' + count); }";

/// Tells ten items a time until the script `bad` of index 0 is given up, then checks that it was
/// named and that the script of index 1 saw everything.
fn is_given_up(bad: &str, said: &[&str]) {
    let rig = Rig::new(&[("a_bad.js", bad), ("b_good.js", COUNTING)]);
    let mut options = rig.options(false);
    options.budgets.hook = Duration::from_millis(700);
    options.restart.first_pause = Duration::from_millis(50);
    options.restart.failures = 2;
    options.limits.memory = 600 << 20;
    options.limits.loop_iterations = u64::MAX;
    let scripts = rig.start(options, Arc::new(SystemClock));
    let until = Instant::now() + PATIENCE;
    let mut number = 0;
    loop {
        let at = SystemClock.now();
        let items: Vec<Item> = (0..10).map(|step| item(number + step, 200, at)).collect();
        number += 10;
        tell(&scripts, &items, at);
        let state = scripts.status().remove(0);
        if matches!(state.state, ScriptState::Quarantined(_)) {
            assert_eq!(state.restarts, 1);
            assert!(state.dropped > 0, "what it missed is counted");
            break;
        }
        assert!(Instant::now() < until, "{state:?} {:#?}", rig.lines());
        std::thread::sleep(Duration::from_millis(100));
    }
    rig.wait_for_line(&format!("[n-1] seen {number}"));
    let good = scripts.status().remove(1);
    assert_eq!((good.state, good.dropped), (ScriptState::Running, 0));
    let lines = rig.lines();
    let stops: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("was stopped"))
        .collect();
    assert_eq!(stops.len(), 2, "{lines:#?}");
    for stop in &stops {
        assert!(
            stop.starts_with("[n-0:ERROR]") && stop.contains("a_bad.js"),
            "{stop}"
        );
        assert!(said.iter().any(|said| stop.contains(said)), "{stop}");
        assert!(stop.contains("onItemCaptured"), "the hook is named: {stop}");
    }
    assert!(stops[0].contains("starts again in"), "{}", stops[0]);
    assert!(
        stops[1].contains("does not start again until"),
        "{}",
        stops[1]
    );
}

#[test]
fn a_script_that_loops_for_ever_is_given_up() {
    let bad = "function onItemCaptured() { for (;;) {} }";
    is_given_up(
        bad,
        &["onItemCaptured took more than 0.7 s of processor time"],
    );
}

#[test]
fn a_script_with_a_backtracking_expression_is_given_up() {
    let bad = "function onItemCaptured() { /^(a+)+$/.test('a'.repeat(40) + 'b') }";
    is_given_up(
        bad,
        &[
            "onItemCaptured took more than",
            "aborted",
            "memory",
            "stack",
        ],
    );
}

#[test]
fn a_script_that_eats_memory_at_once_is_given_up() {
    let bad = "function onItemCaptured() { var x = 'x'.repeat(1e9); console.log(x.length) }";
    is_given_up(bad, &["aborted", "memory", "took more than"]);
}

#[test]
fn a_script_that_eats_memory_bit_by_bit_is_given_up() {
    let bad = "var all = [];
        function onItemCaptured() { for (;;) all.push('x'.repeat(1e6) + all.length) }";
    is_given_up(bad, &["aborted", "memory", "took more than"]);
}

#[test]
fn a_script_that_nests_too_deep_is_given_up() {
    let bad = "function onItemCaptured() { eval('['.repeat(200000)) }";
    is_given_up(bad, &["aborted", "stack", "memory", "took more than"]);
}

#[test]
fn a_reload_misses_no_item_and_tells_none_twice() {
    let version = |name: &str| {
        format!("function onItemCaptured(data) {{ console.log('{name} ' + data.index) }}")
    };
    let rig = Rig::new(&[("a.js", &version("one"))]);
    let scripts = rig.live();
    let at = SystemClock.now();
    let until = Instant::now() + PATIENCE;
    let mut number = 0;
    let mut changed = false;
    loop {
        let mut next = item(number, 200, at);
        next.index = number as u32;
        tell(&scripts, &[next], at);
        number += 1;
        if number == 50 {
            // As an editor saves: another file, then a rename over the old one.
            rig.put("a.js.tmp", &version("two"));
            let (from, to) = ("a.js.tmp", "a.js");
            fs::rename(rig.dir.path().join(from), rig.dir.path().join(to)).unwrap();
            changed = true;
        }
        let new = rig
            .lines()
            .iter()
            .filter(|line| line.contains("two"))
            .count();
        if changed && new >= 20 {
            break;
        }
        assert!(Instant::now() < until, "the new version did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
    scripts.drain();
    let seen: Vec<String> = rig.lines();
    assert_eq!(seen.len() as u64, number, "{seen:#?}");
    let first_new = seen.iter().position(|line| line.contains("two")).unwrap();
    for (number, line) in seen.iter().enumerate() {
        let name = if number < first_new { "one" } else { "two" };
        assert_eq!(*line, format!("[n-0] {name} {number}"));
    }
}

/// Saves of the script in the test under load, and how many there are at most before one was taken over.
const SAVES: u32 = 100;
const IN_A_ROW: u32 = 10;

#[test]
fn a_hundred_saves_under_load_lose_no_item_and_tell_none_twice() {
    let version = |number: u32| {
        format!(
            "function onItemCaptured(data) {{ console.log('{number} ' + data.index) }}
            jobs.schedule('tick', '* * * * * *', function () {{ console.log('job {number}') }})"
        )
    };
    let rig = Rig::new(&[("a.js", &version(0))]);
    let scripts = rig.live();
    let (_, lines) = rig.console.follow().unwrap();
    let start = Instant::now();
    let (mut number, mut saved, mut newest) = (0_u32, 0, 0);
    let mut told: Vec<(u32, u32)> = Vec::new();
    let mut jobs = 0;
    let mut hear = |told: &mut Vec<(u32, u32)>| {
        for line in lines.try_iter() {
            let text = line.text.strip_prefix("[n-0] ");
            let text = text.unwrap_or_else(|| panic!("{}", line.text));
            let Some((first, second)) = text.split_once(' ') else {
                continue;
            };
            if let Ok(version) = first.parse() {
                told.push((second.parse().unwrap(), version));
            }
            jobs += u64::from(first == "job");
        }
    };
    while newest < SAVES {
        // A script that is behind loses items, on purpose: it is not what this is about.
        if number as usize - told.len() < 32 {
            let at = SystemClock.now();
            let mut next = item(number.into(), 200, at);
            next.index = number;
            tell(&scripts, &[next], at);
            number += 1;
            // A save comes while the one before is still being loaded, and after it was.
            let may_save = saved % IN_A_ROW != 0 || newest == saved;
            if number % 20 == 0 && saved < SAVES && may_save {
                saved += 1;
                rig.put("a.js.tmp", &version(saved));
                let at = |name: &str| rig.dir.path().join(name);
                fs::rename(at("a.js.tmp"), at("a.js")).unwrap();
            }
        }
        hear(&mut told);
        newest = told.iter().map(|(_, version)| *version).max().unwrap_or(0);
        let waited = start.elapsed();
        assert!(waited < PATIENCE, "{newest} of {SAVES} versions came");
        std::thread::sleep(Duration::from_millis(2));
    }
    scripts.drain();
    hear(&mut told);
    told.sort_unstable();
    let numbers: Vec<u32> = told.iter().map(|(index, _)| *index).collect();
    assert_eq!(numbers, (0..number).collect::<Vec<_>>(), "each item once");
    let in_order = |pair: &[(u32, u32)]| pair[0].1 <= pair[1].1;
    assert!(
        told.windows(2).all(in_order),
        "no item goes back to an older version"
    );
    let versions: BTreeSet<u32> = told.iter().map(|(_, version)| *version).collect();
    let mut last_of_rows = (0..=SAVES).step_by(IN_A_ROW as usize);
    assert!(
        last_of_rows.all(|last| versions.contains(&last)),
        "the last version of each row took over: {versions:?}"
    );
    // The job of the old version ends in the step in which that of the new one begins.
    assert_eq!(scripts.jobs().len(), 1);
    assert!(
        jobs <= start.elapsed().as_secs() + 1,
        "{jobs} runs of one job"
    );
    let status = scripts.status().remove(0);
    assert_eq!((status.told, status.dropped), (number.into(), 0));
}

#[test]
fn items_that_a_query_leaves_out_never_reach_the_script() {
    let counts = "var seen = 0; jobs.schedule('say', '@every 1h', function () { console.log('saw', seen) });
        function onItemCaptured(data) { seen++; if (data.response.status === 500) console.log('500 ' + data.index) }";
    let filtered = format!("{counts}\nonItemCaptured.kfl = 'http and response.status == 500'");
    let rig = Rig::new(&[("a.js", &filtered), ("b.js", counts)]);
    let scripts = rig.live();
    let at = SystemClock.now();
    let mut items = Vec::new();
    for number in 0..200_u32 {
        let status = if number % 10 == 9 { 500 } else { 200 };
        let mut next = item(number.into(), status, at);
        next.index = number;
        items.push(next);
    }
    for step in items.chunks(25) {
        tell(&scripts, step, at);
    }
    // A step without any match reaches nobody who asked for matches.
    tell(&scripts, &items[..9], at);
    scripts.drain();
    let status = scripts.status();
    let counted = |script: usize| {
        let script = &status[script];
        let hook = script
            .calls
            .iter()
            .find(|count| count.name == "onItemCaptured");
        (
            script.told,
            script.filtered,
            script.dropped,
            hook.map_or(0, |hook| hook.calls),
        )
    };
    assert_eq!(counted(0), (20, 189, 0, 20));
    assert_eq!(counted(1), (209, 0, 0, 209));
    assert_eq!(
        status[0].kfl.as_deref(),
        Some("http and response.status == 500")
    );
    assert_eq!(status[1].kfl, None);
    let of = |script: usize| {
        let start = format!("[n-{script}] 500 ");
        let lines = rig.lines();
        let lines = lines
            .iter()
            .filter_map(|line| line.strip_prefix(&start).map(str::to_owned));
        lines.collect::<Vec<_>>()
    };
    let wanted: Vec<String> = (9..200)
        .step_by(10)
        .map(|number| number.to_string())
        .collect();
    assert_eq!((of(0), of(1)), (wanted.clone(), wanted));
}

#[test]
fn a_broken_version_is_reported_while_the_good_one_goes_on() {
    let good = "function onItemCaptured(data) { console.log('good ' + data.index) }";
    let rig = Rig::new(&[("a.js", good)]);
    let scripts = rig.live();
    rig.put("a.js", "var x = 1;\nfunction (");
    rig.wait_for("the report", |lines| {
        lines.iter().any(|line| {
            line.starts_with("[n-0:ERROR]")
                && line.contains("a.js:2:")
                && line.contains("the last good version goes on")
        })
    });
    let at = SystemClock.now();
    tell(&scripts, &[item(5, 200, at)], at);
    rig.wait_for_line("[n-0] good 0");
    wait_until("the status says what is broken", || {
        let status = scripts.status().remove(0);
        let broken = status.broken.unwrap_or_default();
        status.state == ScriptState::Running && broken.contains("a.js:2:")
    });

    rig.put("a.js", "throw new Error('not today')");
    rig.wait_for("the exception", |lines| {
        lines.iter().any(|line| line.contains("not today"))
    });
    rig.put("a.js", "console.log('new'); ");
    rig.wait_for_line("[n-0] new");
    wait_until("no version is broken", || {
        scripts.status().remove(0).broken.is_none()
    });

    fs::remove_file(rig.dir.path().join("a.js")).unwrap();
    wait_until("it is unloaded", || scripts.status().is_empty());
}

#[test]
fn the_hubs_instance_stays_until_a_version_without_the_hub_works() {
    let aware = "console.log('first ' + utils.nodeName())";
    let rig = Rig::new(&[("a.js", aware)]);
    let scripts = rig.live();
    rig.wait_for_line("[hub-0] first hub");
    rig.put("a.js", "throw new Error('not today')");
    rig.wait_for("the exception", |lines| {
        lines.iter().any(|line| line.contains("not today"))
    });
    let instances = || scripts.status().len();
    assert_eq!(instances(), 2, "what does not work replaces nothing");
    rig.put("a.js", "console.log('second')");
    rig.wait_for_line("[n-0] second");
    wait_until("the hub's instance is gone", || instances() == 1);
}

#[test]
fn timers_and_jobs_follow_the_time_of_packets_together() {
    let code = "
function say(what) { console.log(what + ' ' + new Date().toISOString().slice(14, 19)) }
var ticks = 0, id = setInterval(function () { say('timer'); if (++ticks == 3) clearInterval(id) }, 20000);
jobs.schedule('j', '*/30 * * * * *', function () { say('job') }, 3);";
    let rig = Rig::new(&[("a.js", code)]);
    let start = Timestamp::from_secs(1_706_933_105, 0);
    let clock = Arc::new(SetClock::at(start));
    let scripts = rig.start(rig.options(true), clock.clone());
    for at in [start, start + Duration::from_secs(300)] {
        clock.advance(at);
        tell(&scripts, &[item(1, 200, at)], at);
        scripts.advance(at);
    }
    scripts.finish(false);
    let said: Vec<String> = rig
        .lines()
        .iter()
        .filter_map(|line| Some(line.split_once("] ")?.1.to_owned()))
        .filter(|line| line.starts_with("timer") || line.starts_with("job"))
        .collect();
    assert_eq!(
        said,
        [
            "timer 05:25",
            "job 05:30",
            "timer 05:45",
            "job 06:00",
            "timer 06:05",
            "job 06:30"
        ],
    );
}

#[test]
fn a_script_that_falls_behind_loses_items_and_stops_nobody() {
    let slow =
        "function onItemCaptured() { var until = Date.now() + 10; while (Date.now() < until) {} }";
    let rig = Rig::new(&[("a.js", slow), ("b.js", COUNTING)]);
    let scripts = rig.live();
    let at = SystemClock.now();
    for number in 0..600 {
        // The quick one must not fall behind.
        wait_until("the quick one keeps up", || {
            scripts.status()[1].told + 60 > number
        });
        tell(&scripts, &[item(number, 200, at)], at);
        std::thread::sleep(Duration::from_millis(1));
    }
    scripts.drain();
    let status = scripts.status();
    assert!(status[0].dropped > 0, "{status:?}");
    assert_eq!(status[0].told + status[0].dropped, 600);
    assert_eq!((status[1].told, status[1].dropped), (600, 0));
    rig.wait_for("the count of what was lost", |lines| {
        lines
            .iter()
            .any(|line| line.starts_with("[n-0:ERROR]") && line.contains("were not told"))
    });
}

#[test]
fn a_folder_may_come_later() {
    let rig = Rig::new(&[]);
    let mut options = rig.options(false);
    let folder = rig.dir.path().join("later");
    options.sources = vec![folder.clone()];
    let scripts = rig.start(options, Arc::new(SystemClock));
    assert!(scripts.status().is_empty() && !scripts.wants_items());
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.js"), "console.log('here')").unwrap();
    rig.wait_for_line("[n-0] here");
    fs::remove_dir_all(&folder).unwrap();
    wait_until("it is unloaded", || scripts.status().is_empty());
}

#[test]
fn a_changed_environment_loads_every_script_again() {
    let rig = Rig::new(&[("a.js", "console.log('NAME is ' + env.NAME)")]);
    let scripts = rig.live();
    rig.wait_for_line("[n-0] NAME is undefined");
    let env = json!({"NAME": "x"}).as_object().unwrap().clone();
    scripts.set_env(Environment::of_all(env));
    rig.wait_for_line("[n-0] NAME is x");
}

#[test]
fn jobs_run_by_the_wall_clock_and_all_scripts_hear_of_them() {
    let once = "jobs.schedule('Run Once', '* * * * * *', function (word) { console.log('ran ' + word) }, 1, 'well');
        jobs.schedule('fails', '* * * * * *', function () { throw new Error('no') }, 1);
        setTimeout(function () { console.log('timer') }, 200);";
    let hears = "function onJobPassed(tag, cron, limit) { console.log('passed', tag, cron, limit) }
        function onJobFailed(tag, cron, limit, err) { console.log('failed', tag, err) }
        console.log('listens');";
    let rig = Rig::new(&[("a.js", hears)]);
    let scripts = rig.live();
    // A job that ran before it listens is not told to it.
    rig.wait_for_line("[n-0] listens");
    rig.put("b.js", once);
    let line = "[n-1] Scheduled the job: \"run-once\" for cron: \"* * * * * *\" (limit: 1)";
    rig.wait_for_line(line);
    rig.wait_for_line("[n-1] ran well");
    rig.wait_for_line("[n-1] timer");
    rig.wait_for_line("[n-0] passed run-once * * * * * * 1");
    rig.wait_for("the failure", |lines| {
        lines
            .iter()
            .any(|line| line == "[n-0] failed fails Error: no")
    });
    wait_until("jobs with a limit are removed after their runs", || {
        scripts.jobs().is_empty()
    });
    let ran = rig
        .lines()
        .iter()
        .filter(|line| line.contains("ran well"))
        .count();
    assert_eq!(ran, 1);
    let errors = rig.lines();
    let errors: Vec<_> = errors
        .iter()
        .filter(|line| line.contains(":ERROR]"))
        .collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(
        errors[0].starts_with("[n-1:ERROR] (job=fails) Error: no"),
        "{errors:#?}"
    );
    assert!(scripts.run_job("nothing").is_err());
}

#[test]
fn the_last_object_that_a_script_returns_replaces_the_queried_item() {
    let first = "function onItemQueried(data, query) { return test.fail(data) }";
    let second =
        "function onItemQueried(data, query) { data.note = query; return test.pass(data) }";
    let third = "function onItemQueried() { return 'no object' }";
    let rig = Rig::new(&[("a.js", first), ("b.js", second), ("c.js", third)]);
    let scripts = rig.live();
    let mut record = Vec::new();
    flat::encode(&item(5, 200, SystemClock.now()), &mut record);
    let until = Instant::now() + PATIENCE;
    let answer = loop {
        match scripts.ask_queried(&record, "http") {
            Some(answer) if answer["passed"] == json!(true) => break answer,
            // Too late: the machine is busy.
            _ => assert!(Instant::now() < until, "no answer came in time"),
        }
    };
    assert_eq!(answer["note"], json!("http"));
    assert_eq!(answer["response"]["status"], json!(200));
}

/// Streams that always have one packet, at their own number of seconds.
#[derive(Default)]
pub struct OnePacketStreams {
    pinned: Mutex<BTreeSet<StreamRef>>,
}

impl StreamReader for OnePacketStreams {
    fn write_pcap(&self, streams: &[StreamRef], out: &mut dyn Write) -> Result<u64, String> {
        let mut bytes = Vec::new();
        pcap::write_header(
            &mut bytes,
            LinkType::ETHERNET,
            MAX_SNAPLEN,
            Precision::Micros,
        );
        for stream in streams {
            let at = Timestamp::from_secs(stream.stream.stream.0 as i64, 0);
            pcap::write_packet(&mut bytes, Precision::Micros, at, 60, &[1, 2, 3]);
        }
        out.write_all(&bytes).map_err(|error| error.to_string())?;
        Ok(streams.len() as u64)
    }

    fn write_all(&self, out: &mut dyn Write) -> Result<u64, String> {
        self.write_pcap(&[], out)
    }

    fn has(&self, _: StreamRef) -> bool {
        true
    }

    fn pin(&self, stream: StreamRef) {
        self.pinned.lock().unwrap().insert(stream);
    }

    fn unpin(&self, stream: StreamRef) {
        self.pinned.lock().unwrap().remove(&stream);
    }
}

pub struct NoRecordings;

impl Recordings for NoRecordings {
    fn set(&self, _: &ScriptId, _: &Json) -> Result<Json, String> {
        Ok(Json::Null)
    }
    fn take(&self, _: &str, _: Option<&str>) -> Result<(), String> {
        Ok(())
    }
    fn seal(&self, _: Option<&str>) -> Result<Json, String> {
        Ok(Json::Null)
    }
    fn status(&self, _: Option<&str>) -> Result<Json, String> {
        Ok(Json::Null)
    }
    fn capture(&self, _: &ScriptId, _: &Json) -> Result<Json, String> {
        Ok(Json::Null)
    }
}

/// A recorder as scripts of 2023 are written: copies each matching stream once, and every hour
/// merges and uploads what it copied.
const RECORDER_OF_2023: &str = "
var seen = {};
var waiting = false;
file.delete('kept');
file.mkdir('kept');

function onItemCaptured(data) {
  if (!kfl.match(env.RECORDING_KFL, data) || seen[data.stream]) return;
  seen[data.stream] = true;
  file.copy(pcap.path(data.stream), 'kept/' + data.stream);
  waiting = true;
}

function hourly() {
  if (!waiting) return;
  waiting = false;
  file.move('kept', 'kept_tmp');
  file.mkdir('kept');
  var merged = pcap.snapshot([], 'kept_tmp');
  vendor.s3.put(env.S3_BUCKET, merged, env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY);
  file.delete(merged);
  file.delete('kept_tmp');
  var names = 'name_resolution_history.json';
  vendor.s3.put(env.S3_BUCKET, names, env.AWS_REGION);
  file.delete(names);
}

jobs.schedule('kept', '0 0 * * * *', hourly);
";

#[test]
fn a_recorder_of_2023_uploads_every_hour_and_each_stream_once() {
    let rig = Rig::new(&[("recorder.js", RECORDER_OF_2023)]);
    let bucket = tempfile::tempdir().unwrap();
    let start = Timestamp::from_secs(1_706_918_400 + 1800, 0);
    let clock = Arc::new(SetClock::at(start));
    let reader = Arc::new(OnePacketStreams::default());
    let root = bucket.path().to_owned();
    let host = LiveHost::start(LiveOptions {
        data: rig.dir.path().join("data"),
        share: 100 << 20,
        node: NodeName {
            name: "n".into(),
            ip: "10.9.8.7".into(),
            run: 17,
            run_in_keys: true,
        },
        allow_clear: false,
        console: Arc::clone(&rig.console),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        reader: Arc::clone(&reader) as Arc<dyn StreamReader>,
        stores: Arc::new(move |target: &S3Target| {
            assert_eq!(
                (target.bucket.as_str(), target.region.as_str()),
                ("b", "eu-west-1")
            );
            let store = FolderStore::create(&root).map_err(|error| error.to_string())?;
            Ok(Arc::new(store) as Arc<_>)
        }),
        recordings: Arc::new(NoRecordings),
        history: Arc::new(|| json!({})),
        outside: Outside::default(),
    })
    .unwrap();
    let mut options = rig.options(true);
    let env = json!({
        "RECORDING_KFL": "http and response.status == 500",
        "S3_BUCKET": "b",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "0123456789",
    });
    options.env = Environment::of_all(env.as_object().unwrap().clone());
    let scripts = Scripts::start(options, Arc::new(host), Arc::clone(&clock) as _).unwrap();
    assert_eq!(
        scripts
            .foreign_recorder()
            .map(|path| path.ends_with("recorder.js")),
        Some(true)
    );
    // Three hours with one item a minute; the second half of each stream's items are errors.
    for minute in 0..180_u64 {
        let at = start + Duration::from_secs(60 * minute);
        clock.advance(at);
        let status = if minute % 10 < 5 { 200 } else { 500 };
        tell(&scripts, &[item(minute, status, at)], at);
    }
    scripts.finish(false);
    let errors: Vec<String> = rig.lines();
    assert!(
        !errors.iter().any(|line| line.contains("ERROR")),
        "{errors:#?}"
    );

    let folder = bucket.path().join("n_10.9.8.7_17");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(
        names.len(),
        4,
        "three hours and the name history: {names:?}"
    );
    assert_eq!(names[3], "name_resolution_history.json");
    let mut streams = Vec::new();
    for name in &names[..3] {
        let bytes = fs::read(bucket.path().join("n_10.9.8.7_17").join(name)).unwrap();
        // A header, then packets of 16 + 3 bytes that begin with their second.
        for packet in bytes[24..].chunks_exact(19) {
            streams.push(u32::from_le_bytes(packet[..4].try_into().unwrap()));
        }
    }
    let unique: BTreeSet<u32> = streams.iter().copied().collect();
    assert_eq!(unique.len(), streams.len(), "each stream once: {streams:?}");
    assert_eq!(
        unique,
        (0..15).collect(),
        "the streams up to the last full hour"
    );
    let pinned: Vec<u64> = reader
        .pinned
        .lock()
        .unwrap()
        .iter()
        .map(|one| one.stream.stream.0)
        .collect();
    assert_eq!(
        pinned,
        [15, 16, 17],
        "what waits for the next hour stays pinned"
    );
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name);
    fs::read_to_string(path).unwrap()
}

/// Runs a shipped script in packet time over ten items a second, 100 in all; every tenth has 500.
fn run_shipped(name: &str, env: Json) -> Rig {
    let rig = Rig::new(&[(name, &shipped(name))]);
    let start = Timestamp::from_secs(1_706_918_455, 0);
    let clock = Arc::new(SetClock::at(start));
    let mut options = rig.options(true);
    options.env = Environment::of_all(env.as_object().unwrap().clone());
    let scripts = rig.start(options, Arc::clone(&clock) as Arc<dyn Clock>);
    for step in 0..10_u64 {
        let at = start + Duration::from_secs(step);
        clock.advance(at);
        let items: Vec<Item> = (step * 10..step * 10 + 10)
            .map(|number| item(number, if number % 10 == 9 { 500 } else { 200 }, at))
            .collect();
        tell(&scripts, &items, at);
    }
    scripts.finish(true);
    let lines = rig.lines();
    let faults: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("(hook="))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    rig
}

#[test]
fn the_shipped_recorder_declares_what_is_wanted() {
    let rig = run_shipped("recorder.js", json!({"RECORDING_KFL": "http or dns"}));
    let calls = rig.notes.0.lock().unwrap();
    let recording = json!({"name": "recording", "kfl": "http or dns"});
    assert_eq!(*calls, [HostCall::RecordingSet { recording }]);
    drop(calls);

    let rig = run_shipped("recorder.js", json!({"RECORDING_KFL": "http and =="}));
    assert!(rig.notes.0.lock().unwrap().is_empty());
    assert!(
        rig.lines()[0].starts_with("[n-0:ERROR]"),
        "{:?}",
        rig.lines()
    );

    let rig = run_shipped("recorder.js", json!({}));
    assert!(rig.notes.0.lock().unwrap().is_empty());
    assert!(rig.lines()[0].contains("RECORDING_KFL is not set"));
}

#[test]
fn the_shipped_counter_prints_once_a_minute() {
    let rig = run_shipped("count_statuses.js", json!({}));
    let lines: Vec<String> = rig
        .lines()
        .into_iter()
        .filter(|line| line.contains("Statuses"))
        .collect();
    assert_eq!(
        lines,
        [
            "[n-0] Statuses of the last minute: 200: 45, 500: 5",
            "[n-0] Statuses of the last minute: 200: 45, 500: 5"
        ]
    );
}

#[test]
fn the_shipped_alert_names_a_path_once_a_minute() {
    let rig = run_shipped("alert_500.js", json!({}));
    let line = "[n-0:ERROR] 500 GET /cart from web to web in stream 000000000000.pcap";
    assert_eq!(rig.lines(), [line]);
}

#[test]
fn the_shipped_keeper_takes_slow_streams() {
    // Item n took 2n milliseconds, so those from 90 on took 180 and more.
    let rig = run_shipped("keep_slow.js", json!({"SLOW_MS": "180"}));
    let calls = rig.notes.0.lock().unwrap();
    assert!(matches!(&calls[0], HostCall::RecordingSet { .. }));
    assert_eq!(calls.len(), 11);
    for call in &calls[1..] {
        let stream = "000000000009.pcap".to_owned();
        let name = Some("slow".to_owned());
        assert_eq!(*call, HostCall::RecordingTake { stream, name });
    }
}
