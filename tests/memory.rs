//! A worker at its memory limit: it lives, gives up what may go, and says so.
//!
//! The traffic is made of frames on a pair of virtual interfaces: thousands of uploads that never end,
//! which all together are more than the limit that the chart gives, and many short calls between them. In the
//! other test something else in the group takes the memory, which a worker can give up nothing of.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};

use crate::road::may_capture;
use crate::seaweed::free_ports;
use crate::slow;

mod short;

/// A wait for anything; a busy machine is slow, but not that slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// Uploads that never end, and the pieces of 60,000 bytes that come of each: 2.1 GB, where 256 KiB of a body
/// are kept.
const UPLOADS: u32 = 9000;
const PIECES: u32 = 4;

/// Calls of the recording before, and again after the uploads.
const KEPT: usize = 200;

/// Sends frames; its first argument is the interface.
const TRAFFIC: &str = r"
import socket, struct, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[1], 0))
FIN, SYN, PSH, ACK = 1, 2, 8, 16
SERVER = bytes([10, 99, 255, 1])
def frame(src, dst, sport, dport, seq, ack, flags, data):
    ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 40 + len(data), 0, 0, 64, 6, 0, src, dst)
    tcp = struct.pack('>HHIIBBHHH', sport, dport, seq, ack, 0x50, flags, 65535, 0, 0)
    return b'\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0' + ip + tcp + data
class Connection:
    count = 0
    def __init__(self):
        number = Connection.count
        Connection.count += 1
        self.client, self.port = bytes([10, 99, number // 20000 % 250, 7]), 10000 + number % 20000
        self.ours, self.theirs = 1000, 5000
        self.say(SYN)
        self.hear(SYN | ACK)
        self.say(ACK)
    def say(self, flags, data=b''):
        ack = self.theirs if flags & ACK else 0
        wire.send(frame(self.client, SERVER, self.port, 80, self.ours, ack, flags, data))
        self.ours += len(data) + (1 if flags & (SYN | FIN) else 0)
    def hear(self, flags, data=b''):
        wire.send(frame(SERVER, self.client, 80, self.port, self.theirs, self.ours, flags, data))
        self.theirs += len(data) + (1 if flags & (SYN | FIN) else 0)
    def ask(self, path):
        self.say(PSH | ACK, b'GET %s HTTP/1.1\r\nhost: shop\r\n\r\n' % path)
        self.hear(PSH | ACK, b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
def call(path):
    one = Connection()
    one.ask(path)
    one.say(FIN | ACK)
    one.hear(FIN | ACK)
    one.say(ACK)
";

/// Uploads and calls; arguments: interface, uploads, pieces, calls of the recording.
const UPLOADING: &str = r"
uploads, pieces, kept = map(int, sys.argv[2:])
def calls(first):
    for n in range(first, first + kept):
        call(b'/kept/%d' % n)
        time.sleep(0.005)
calls(0)
part = b'x' * 60000
for n in range(uploads):
    one = Connection()
    one.say(PSH | ACK, b'POST /upload HTTP/1.1\r\nhost: shop\r\ncontent-length: 100000000\r\n\r\n')
    for _ in range(pieces): one.say(ACK, part)
    for _ in range(10): call(b'/many/%d' % n)
    # No faster than a debug build on a busy machine takes it.
    time.sleep(0.004)
time.sleep(3)
calls(kept)
";

/// Keeps what it counts, as scripts do.
const SCRIPT: &str = "var seen = 0;\nfunction onItemCaptured(data) { seen++; }\n";

/// What the chart gives a worker.
fn limit_of_the_chart() -> u64 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/helm/tapedeck/values.yaml");
    let values: Json = serde_yaml_ng::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let limit = values["worker"]["resources"]["limits"]["memory"]
        .as_str()
        .unwrap();
    let gibibytes: u64 = limit.strip_suffix("Gi").unwrap().parse().unwrap();
    gibibytes << 30
}

/// A control group with a memory limit; it goes with the value, when nothing is in it.
struct Group {
    folder: PathBuf,
    is_first: bool,
}

impl Group {
    /// Makes one; `None` with a printed line where that may not be done.
    fn new(name: &str, limit: u64) -> Option<Group> {
        let mount = Path::new("/sys/fs/cgroup");
        let is_first = mount.join("memory/memory.limit_in_bytes").exists();
        let parent = if is_first {
            mount.join("memory")
        } else {
            mount.to_owned()
        };
        let folder = parent.join(format!("tapedeck-{name}-{}", std::process::id()));
        let file = if is_first {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        let limited = fs::create_dir(&folder).and_then(|()| {
            fs::OpenOptions::new()
                .write(true)
                .open(folder.join(file))?
                .write_all(limit.to_string().as_bytes())
        });
        let group = Group { folder, is_first };
        if limited.is_err() {
            println!("skipped: a memory limit takes root and a control group with memory in it");
            return None;
        }
        Some(group)
    }

    /// A program in the group, or outside of any.
    fn command(group: Option<&Group>, program: &str) -> Command {
        let mut command = Command::new("sh");
        let enters = group.map_or("", |_| "echo $$ > \"$0\"; ");
        command.args(["-c", &format!("{enters}exec \"$@\"")]);
        let members = group.map_or(PathBuf::new(), |group| group.folder.join("cgroup.procs"));
        command.arg(members).arg(program);
        command
    }

    /// How often the kernel killed something in it.
    fn kills(&self) -> u64 {
        let name = if self.is_first {
            "memory.oom_control"
        } else {
            "memory.events"
        };
        let text = fs::read_to_string(self.folder.join(name)).unwrap();
        let mut counts = text
            .lines()
            .filter_map(|line| line.strip_prefix("oom_kill "));
        counts.next().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Two interfaces that are one line.
struct Line(String);

impl Line {
    fn new(name: &str) -> Line {
        let name = format!("td{name}{}", std::process::id() % 100_000);
        let ip = |arguments: &str| {
            let status = Command::new("ip").args(arguments.split(' ')).status();
            assert!(status.unwrap().success(), "ip {arguments}");
        };
        ip(&format!(
            "link add {name}a mtu 65000 type veth peer name {name}b mtu 65000"
        ));
        let line = Line(name);
        ip(&format!("link set {}a up", line.0));
        ip(&format!("link set {}b up", line.0));
        line
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["link", "del"])
            .arg(format!("{}a", self.0))
            .status();
    }
}

/// The program in the group, killed with the value.
struct Tap {
    child: Child,
    home: tempfile::TempDir,
    metrics: u16,
}

impl Tap {
    fn start(group: &Group, interface: &str) -> Tap {
        let place = ["tap", "-i", interface, "--headless", "--set"];
        let place = place.into_iter().chain(["tap.proxy.front.port=0"]);
        Tap::in_role(Some(group), tempfile::tempdir().unwrap(), place)
    }

    /// Starts what `arguments` say, in the group if there is one, and waits until it captures.
    fn in_role<A: AsRef<OsStr>>(
        group: Option<&Group>,
        home: tempfile::TempDir,
        arguments: impl IntoIterator<Item = A>,
    ) -> Tap {
        let metrics = free_ports(1)[0];
        let path = |name: &str| home.path().join(name);
        fs::create_dir(path("scripts")).unwrap();
        fs::write(path("scripts/count.js"), SCRIPT).unwrap();
        let config = json!({
            "tap": {
                "dataDir": path("data"), "storageLimit": "2Gi", "metrics": {"port": metrics},
                // As the chart has it.
                "workers": 4,
            },
            "recording": {"destination": path("kept"), "sealFirst": "5s"},
            "scripting": {
                "env": {"RECORDING_KFL": "http and request.path.startsWith(\"/kept/\")"},
                "source": path("scripts"),
            },
        });
        fs::write(path("config.yaml"), config.to_string()).unwrap();
        let child = Group::command(group, env!("CARGO_BIN_EXE_tapedeck"))
            .args(arguments)
            .arg("--config-path")
            .arg(path("config.yaml"))
            .env_clear()
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let tap = Tap {
            child,
            home,
            metrics,
        };
        tap.wait(|| tap.log().contains("Capturing live on"));
        tap
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    fn wait(&self, is_done: impl Fn() -> bool) {
        let late = Instant::now() + PATIENCE;
        while !is_done() {
            assert!(Instant::now() < late, "{}\n{}", self.log(), self.metrics());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a path of the port of metrics answers.
    fn ask(&self, path: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.metrics)) {
            let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).unwrap();
            let _ = socket.read_to_string(&mut answer);
        }
        answer
    }

    fn metrics(&self) -> String {
        self.ask("/metrics")
    }

    /// A figure by its name and labels.
    fn figure(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("{name} of\n{metrics}\n{}", self.log()));
        value.parse::<f64>().unwrap() as u64
    }

    /// Asks it to end; answers its exit code.
    fn end(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }

    /// How many calls are recorded.
    fn kept(&self) -> usize {
        let out = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .env_clear()
            .env("HOME", self.home.path())
            .arg("query")
            .arg(self.home.path().join("kept"))
            .args([
                "--format",
                "json",
                "--kfl",
                "request.path.startsWith(\"/kept/\")",
            ])
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap().lines().count()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_worker_at_its_memory_limit_lives_and_says_what_it_gave_up() {
    if !slow::is_asked_for("the test at a memory limit") || !may_capture() {
        return;
    }
    let limit = limit_of_the_chart();
    let Some(group) = Group::new("chart", limit) else {
        return;
    };
    let line = Line::new("m");
    let mut tap = Tap::start(&group, &format!("{}b", line.0));
    let sent = Command::new("python3")
        .args(["-c", &[TRAFFIC, UPLOADING].concat()])
        .arg(format!("{}a", line.0))
        .args([UPLOADS, PIECES, KEPT as u32].map(|number| number.to_string()))
        .status()
        .unwrap();
    assert!(sent.success());
    assert_eq!(group.kills(), 0, "{}", tap.log());
    // All of the spool is read, and what came last is in the recording.
    tap.wait(|| tap.figure("tapedeck_packets_behind") == 0);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(tap.figure("tapedeck_memory_limit_bytes"), limit);
    let used = tap.figure("tapedeck_memory_used_bytes");
    let given_up = tap.figure("tapedeck_streams_given_up_total");
    let unread = tap.figure("tapedeck_packets_left_out_total{reason=\"memory_short\"}");
    let dropped = tap.figure("tapedeck_packets_left_out_total{reason=\"kernel_dropped\"}");
    let items = tap.figure("tapedeck_items_total{protocol=\"HTTP\"}");
    let script = |name: &str, more: &str| {
        tap.figure(&format!(
            "tapedeck_script_{name}{{index=\"0\",script=\"count\",role=\"worker\"{more}}}"
        ))
    };
    let told = script("call_seconds_count", ",hook=\"onItemCaptured\"");
    let untold = script("items_dropped_total", "");
    println!(
        "limit {} MiB, used {} MiB at the end; {given_up} streams given up, {unread} packets unread, \
         {dropped} dropped by the kernel, {items} items, {untold} of which the script was not told",
        limit >> 20,
        used >> 20
    );
    assert!(given_up > 100 && used < limit, "{}", tap.log());
    assert!(
        tap.ask("/readyz").starts_with("HTTP/1.1 200"),
        "{}",
        tap.ask("/readyz")
    );
    assert!(tap.log().contains("memory is short"), "{}", tap.log());
    assert!(
        told > 0 && told + untold >= items,
        "{told} and {untold} of {items}"
    );
    assert_eq!(script("restarts_total", ""), 0);
    // What was given up is a gap.
    assert_eq!(tap.end(), Some(3), "{}", tap.log());
    assert_eq!(group.kills(), 0);
    let kept = tap.kept();
    assert!(
        kept == 2 * KEPT || (dropped > 0 && kept > KEPT),
        "{kept} of {} calls, {dropped} packets dropped by the kernel",
        2 * KEPT
    );
}
