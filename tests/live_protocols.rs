//! Real clients against real servers, captured as they speak: each protocol's items are those of the
//! calls that were made.
//!
//! One row a protocol; a row whose programs are not installed is skipped, and says so. Everything
//! listens on loopback, on ports that are free, and is stopped by its PID.

#[path = "live/rows.rs"]
mod rows;

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tapedeck::capture::CaptureError;
use tapedeck::capture::live::{self, LiveOptions};
use tapedeck::dissect::{Protocols, Secrets};
use tapedeck::flow::Limits;
use tapedeck::item::{Item, Origin, shown};
use tapedeck::pipeline::key_log::KeyLog;
use tapedeck::pipeline::{self, Consumer, Encoded, Running, Step, Stop};
use tapedeck::time::SystemClock;

/// How long a server may take to listen, and a client to be done.
const PATIENCE: Duration = Duration::from_secs(60);

/// A protocol spoken live.
struct Row {
    /// What it is, for people.
    what: &'static str,
    /// `protocol.name` of the items that are counted.
    name: &'static str,
    /// Debian's programs that it needs; `python:MODULE` is a module of the tools' interpreter.
    needs: &'static [&'static str],
    /// Starts the server, and answers once it listens; `None` when the client brings its own.
    server: fn(&mut Place) -> Option<Served>,
    /// Makes the calls.
    client: fn(&Place),
    /// What each item is, in order: the values of `paths`, with blanks between.
    expected: &'static [&'static str],
    paths: &'static [&'static str],
    /// Values of the first path whose items are left out: what a client says as it pleases.
    without: &'static [&'static str],
}

/// Where a row runs.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
    /// Servers behind the one that is captured.
    behind: Vec<Served>,
    /// Secrets of TLS, which follow the file `keys` where the server made one.
    secrets: Arc<Secrets>,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn port(&self) -> String {
        self.port.to_string()
    }
}

/// A server that runs; it ends with the value.
struct Served(Child);

impl Served {
    fn start(command: &mut Command) -> Served {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        Served(command.stderr(Stdio::null()).spawn().unwrap())
    }

    /// The same once it is ready.
    fn once(mut self, ready: impl Fn() -> bool) -> Served {
        wait("a server is ready", || {
            assert!(self.0.try_wait().unwrap().is_none(), "the server ended");
            ready()
        });
        self
    }

    /// The same once a connection to `port` is accepted.
    fn listening(self, port: u16) -> Served {
        self.once(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        let _ = command("kill").arg(pid).stderr(Stdio::null()).status();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).map_or_else(|_| free_port(), |_| port)
}

/// The full path of a program; of Debian, some lie where only root looks.
fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let mut paths = folders.iter().map(|folder| Path::new(folder).join(name));
    paths.find(|path| path.is_file())
}

/// The interpreter of the tools that tools/test-deps.sh installs.
#[expect(
    clippy::disallowed_methods,
    reason = "tests find their tools by the environment"
)]
fn python() -> PathBuf {
    let tools = std::env::var("TAPEDECK_TOOLS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap_or_default();
        PathBuf::from(home).join(".cache/tapedeck/tools")
    });
    tools.join("venv/bin/python")
}

fn is_there(need: &str) -> bool {
    match need.strip_prefix("python:") {
        None => program(need).is_some(),
        Some(module) => {
            let check = Command::new(python())
                .args(["-c", &format!("import {module}")])
                .stderr(Stdio::null())
                .status();
            check.is_ok_and(|status| status.success())
        }
    }
}

fn command(name: &str) -> Command {
    Command::new(program(name).unwrap())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn script(name: &str, arguments: &[&str]) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live");
    let mut command = Command::new(python());
    command.arg(folder.join(name)).args(arguments);
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A server that must not run as root runs as nobody.
fn unprivileged(program: &Path, folder: &Path) -> Command {
    const NOBODY: u32 = 65_534;
    if !is_root() {
        return Command::new(program);
    }
    std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(program);
    command
}

/// The newest PostgreSQL, which lies beside the path.
fn postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions
        .flatten()
        .map(|entry| entry.path().join("bin/postgres"));
    programs.filter(|path| path.is_file()).max()
}

/// Keeps all items.
struct Keep(Arc<Mutex<Vec<Item>>>);

impl Consumer for Keep {
    fn on_step(&mut self, _step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        self.0.lock().unwrap().extend_from_slice(items);
    }
}

/// A capture on loopback that is under way.
struct Capture {
    running: Running,
    kept: Arc<Mutex<Vec<Item>>>,
}

/// Starts one; `None` where the right to capture is missing.
fn capture(place: &Place) -> Option<Capture> {
    let source = match live::open(&LiveOptions {
        interface: "lo".into(),
        bpf: format!("port {}", place.port),
        capture_self: true,
        ..LiveOptions::default()
    }) {
        Ok(source) => source,
        Err(CaptureError::NoRight { .. }) => {
            println!("skipped: capturing needs CAP_NET_RAW");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let kept = Arc::default();
    let options = pipeline::Options {
        workers: 1,
        protocols: Protocols::all().with_secrets(Arc::clone(&place.secrets)),
        limits: Limits::default(),
        origin: Arc::new(Origin::default()),
        names: None,
        spool: None,
        live: true,
        clock: Arc::new(SystemClock),
        stop: Stop::default(),
        counters: Arc::default(),
        cuts: pipeline::Cuts::default(),
        consumers: vec![Box::new(Keep(Arc::clone(&kept)))],
    };
    let running = pipeline::start(source, options);
    let keys = place.path("keys");
    if keys.is_file() {
        let secrets = Arc::clone(&place.secrets);
        let followed = KeyLog::new(&keys).follow(secrets, running.stop.clone());
        followed.unwrap();
    }
    Some(Capture { running, kept })
}

impl Capture {
    fn end(self) -> Vec<Item> {
        self.running.stop.stop();
        self.running.join().unwrap();
        std::mem::take(&mut self.kept.lock().unwrap())
    }
}

fn check(row: &Row) {
    if let Some(need) = row.needs.iter().find(|need| !is_there(need)) {
        println!("skipped: {need} is not installed; run tools/test-deps.sh");
        return;
    }
    let mut place = Place {
        folder: tempfile::tempdir().unwrap(),
        port: free_port(),
        behind: Vec::new(),
        secrets: Arc::default(),
    };
    let server = (row.server)(&mut place);
    let Some(capture) = capture(&place) else {
        return;
    };
    (row.client)(&place);
    let items = capture.end();
    drop(server);
    let mut lines: Vec<String> = items
        .iter()
        .filter(|item| item.protocol.name == row.name)
        .map(|item| {
            row.paths
                .iter()
                .map(|path| shown(item.node(), path))
                .collect()
        })
        .filter(|parts: &Vec<_>| !row.without.contains(&&*parts[0]))
        .map(|parts| parts.join(" ").trim_end().to_owned())
        .collect();
    // Requests that are open at once are over in any order, and what was encrypted comes out when its
    // secrets are read, whichever stream's are first.
    lines.sort();
    let mut expected = row.expected.to_vec();
    expected.sort_unstable();
    assert_eq!(lines, expected, "{}", row.what);
}

#[test]
fn items_are_those_of_the_calls_that_real_clients_made() {
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let rows = rows::ROWS
            .iter()
            .map(|row| (row.what, scope.spawn(|| check(row))));
        let rows: Vec<_> = rows.collect();
        let failed = rows
            .into_iter()
            .filter_map(|(what, thread)| thread.join().err().map(|_| what));
        failed.collect()
    });
    assert!(failed.is_empty(), "{failed:?}");
}
