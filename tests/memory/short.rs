//! Roles whose memory others take, so that there is little that they could give up. A worker reads nothing
//! that begins from nine tenths of the limit on, counts that, records on, and reads again below eight
//! tenths; a hub gives up rows.

use std::io::{BufRead, BufReader};
use std::process::ChildStdin;

use super::*;
use crate::cluster::release::{Running, dashboard, get};
use crate::node::make_certs;

/// What the group may have: a debug build and its script take a fifth of it.
const LIMIT: u64 = 1 << 30;

/// Calls before, while memory is short, and after.
const CALLS: usize = 40;

/// Asks on one connection and makes calls, as told: `ask PATH` or `calls NAME`, each with `done`; its second
/// argument is the number of calls.
const TOLD: &str = r"
kept = Connection()
for line in sys.stdin:
    what, name = line.split()
    if what == 'ask':
        kept.ask(name.encode())
    else:
        for n in range(int(sys.argv[2])):
            call(b'/kept/%s-%d' % (name.encode(), n))
            time.sleep(0.005)
    print('done', flush=True)
";

/// Takes as many MiB more as it is told, each with `done`.
const HOG: &str = r"
import sys
taken = []
for line in sys.stdin:
    taken.append(bytearray(b'x') * (int(line) << 20))
    print('done', flush=True)
";

/// A program that does what it is told, line by line; it is killed with the value.
struct Told {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<std::process::ChildStdout>,
}

impl Told {
    fn start(command: &mut Command) -> Told {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Told {
            child,
            orders,
            answers,
        }
    }

    fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "{order}");
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes memory of a group.
struct Hog(Told);

impl Hog {
    fn start(group: &Group) -> Hog {
        let mut command = Group::command(Some(group), "python3");
        Hog(Told::start(command.args(["-c", HOG])))
    }

    /// Takes until `used` says so many percent of the limit: half of what is missing each time.
    fn take(&mut self, percent: u64, used: impl Fn() -> u64) {
        let aim = LIMIT / 100 * (percent + 2);
        while used() < LIMIT / 100 * percent {
            let more = (aim.saturating_sub(used()) >> 21).max(2);
            self.0.tell(&more.to_string());
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// A hub, where its metrics are, and where workers connect.
fn hub(folder: &Path, group: Option<&Group>) -> (Running, u16, String) {
    let metrics = free_ports(1)[0];
    make_certs(folder);
    let config = json!({
        "tap": {"metrics": {"port": metrics}, "proxy": {"front": {"port": 0}}, "dataDir": folder.join("hub")},
        "scripting": {"env": {"RECORDING_KFL": "http and request.path.startsWith(\"/kept/\")"}},
    });
    fs::write(folder.join("hub.yaml"), config.to_string()).unwrap();
    let (out, err) = (folder.join("hub-out"), folder.join("hub-err"));
    let child = Group::command(group, env!("CARGO_BIN_EXE_tapedeck"))
        .env_clear()
        .env("HOME", folder)
        .args(["hub", "--listen", "127.0.0.1:0", "--headless", "--tls"])
        .arg(folder.join("certs/hub"))
        .arg("--config-path")
        .arg(folder.join("hub.yaml"))
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    let mut hub = Running { child, out, err };
    let said = hub.says("?token=");
    let link = said.split("Waiting for workers on ").nth(1).unwrap();
    (hub, metrics, link.split(';').next().unwrap().to_owned())
}

/// A worker of the hub on the line.
fn worker(group: Option<&Group>, folder: &Path, link: &str, line: &Line) -> Tap {
    let (interface, certs) = (format!("{}b", line.0), folder.join("certs/worker"));
    let role = [
        "worker", "--hub", link, "--node", "n", "-i", &interface, "--tls",
    ]
    .map(OsStr::new);
    let role = role.into_iter().chain([certs.as_os_str()]);
    let tap = Tap::in_role(group, tempfile::tempdir().unwrap(), role);
    tap.wait(|| tap.log().contains("Connected with the hub"));
    tap
}

fn traffic(line: &Line) -> Told {
    let mut traffic = Command::new("python3");
    let traffic = traffic.args(["-c", &[TRAFFIC, TOLD].concat()]);
    Told::start(traffic.arg(format!("{}a", line.0)).arg(CALLS.to_string()))
}

/// The paths of all calls in the archive, by what is in the packets.
fn recorded(tap: &Tap) -> Vec<String> {
    let capture = tap.home.path().join("all.pcapng");
    let run = |arguments: &[&OsStr]| {
        let out = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .env_clear()
            .env("HOME", tap.home.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let kept = tap.home.path().join("kept");
    let to = [OsStr::new("--output"), capture.as_os_str()];
    run(&[&[OsStr::new("export"), kept.as_os_str()], &to[..]].concat());
    let json = ["--format", "json", "--kfl", "http"].map(OsStr::new);
    let read = run(&[&[OsStr::new("query"), capture.as_os_str()], &json[..]].concat());
    let item = |line: &str| serde_json::from_str::<Json>(line).unwrap();
    let path = |line| item(line)["request"]["path"].as_str().unwrap().to_owned();
    read.lines().map(path).collect()
}

/// Packets that the last manifest says were not read because memory was short, of all of the run.
fn told_in_manifests(folder: &Path) -> u64 {
    let of = |path: PathBuf| {
        if path.is_dir() {
            return told_in_manifests(&path);
        }
        if !path.to_string_lossy().ends_with(".manifest.json") {
            return 0;
        }
        let manifest: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let coverage = &manifest["coverage"]["memory_short"];
        coverage["packets"].as_u64().unwrap_or_default()
    };
    let entries = fs::read_dir(folder).unwrap();
    let all = entries.map(|entry| of(entry.unwrap().path()));
    all.max().unwrap_or_default()
}

#[test]
fn a_worker_of_a_hub_reads_nothing_that_begins_at_nine_tenths_and_reads_on_below_eight() {
    if !may_capture() {
        return;
    }
    let Some(group) = Group::new("short", LIMIT) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (hub, _, link) = hub(folder.path(), None);
    let (address, token) = dashboard(&fs::read_to_string(&hub.err).unwrap());
    let line = Line::new("s");
    let mut tap = worker(Some(&group), folder.path(), &link, &line);
    let mut traffic = traffic(&line);
    let mut hog = Hog::start(&group);

    let items = || tap.figure("tapedeck_items_total{protocol=\"HTTP\"}") as usize;
    let unread = || tap.figure("tapedeck_packets_left_out_total{reason=\"memory_short\"}");
    traffic.tell("ask /kept/long-0");
    traffic.tell("calls before");
    // The first packets wait for the names that the hub has.
    tap.wait(|| {
        tap.metrics()
            .contains("tapedeck_items_total{protocol=\"HTTP\"}")
    });
    tap.wait(|| items() == 1 + CALLS);
    assert_eq!(tap.figure("tapedeck_memory_limit_bytes"), LIMIT);

    let used = || tap.figure("tapedeck_memory_used_bytes");
    hog.take(91, used);
    traffic.tell("calls during");
    traffic.tell("ask /kept/long-1");
    tap.wait(|| unread() >= 8 * CALLS as u64);
    assert_eq!(items(), 1 + CALLS, "{}", tap.log());
    assert!(tap.log().contains("memory is short"), "{}", tap.log());
    assert!(tap.ask("/readyz").starts_with("HTTP/1.1 200"));
    // Whoever looks at the hub sees it too.
    let at_hub = || get(&address, &token, "/api/v1/status")["run"]["nodes"][0]["counts"].clone();
    tap.wait(|| at_hub()["memoryShort"].as_u64() >= Some(unread()));
    println!(
        "{} of {} MiB used, {} packets unread, {} streams given up",
        used() >> 20,
        LIMIT >> 20,
        unread(),
        tap.figure("tapedeck_streams_given_up_total")
    );

    drop(hog);
    tap.wait(|| used() < LIMIT / 100 * 80);
    traffic.tell("calls after");
    traffic.tell("ask /kept/long-2");
    tap.wait(|| items() > 2 * CALLS);
    let left_out = unread();
    assert_eq!(tap.end(), Some(3), "{}", tap.log());
    assert_eq!(group.kills(), 0);
    // What was taken before went on to be recorded; what began unread is not in the recording, and the
    // manifests say why.
    let recorded = recorded(&tap);
    let count = |name: &str| {
        let begins = format!("/kept/{name}-");
        recorded
            .iter()
            .filter(|path| path.starts_with(&begins))
            .count()
    };
    assert_eq!(
        (count("before"), count("after"), count("long")),
        (CALLS, CALLS, 3)
    );
    assert_eq!(count("during"), 0);
    assert_eq!(told_in_manifests(&tap.home.path().join("kept")), left_out);
}

#[test]
fn a_hub_whose_memory_is_short_gives_up_rows_and_lives() {
    if !may_capture() {
        return;
    }
    let Some(group) = Group::new("hub", LIMIT) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut hub, metrics, link) = hub(folder.path(), Some(&group));
    let (address, token) = dashboard(&fs::read_to_string(&hub.err).unwrap());
    let line = Line::new("h");
    let tap = worker(None, folder.path(), &link, &line);
    let mut traffic = traffic(&line);
    traffic.tell("calls before");
    let rows = || {
        let page = get(&address, &token, "/api/v1/items?limit=1000&q=http");
        page["rows"].as_array().map_or(0, Vec::len)
    };
    tap.wait(|| rows() == CALLS);

    let used = || {
        let text = ureq::get(format!("http://127.0.0.1:{metrics}/metrics"));
        let text = text.call().unwrap().body_mut().read_to_string().unwrap();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("tapedeck_memory_used_bytes "));
        value.unwrap().parse().unwrap()
    };
    let mut hog = Hog::start(&group);
    hog.take(83, used);
    hub.says("so older rows of the dashboard are given up");
    tap.wait(|| rows() < CALLS);
    assert_eq!(group.kills(), 0);
    drop(hog);
    traffic.tell("calls after");
    let after = "/api/v1/items?limit=1000&q=request.path.contains(\"after\")";
    tap.wait(|| {
        let page = get(&address, &token, &after.replace('"', "%22"));
        page["rows"].as_array().map(Vec::len) == Some(CALLS)
    });
}
