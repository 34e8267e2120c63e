//! The whole road with the real program: capture on loopback, record to a real S3 server with
//! Object Lock, and find everything again.
//!
//! Skips with a printed line without the right to capture, SeaweedFS or nginx. One test runs at a
//! time, so that no two loads share the processor.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aws_sdk_s3::types::ObjectLockRetentionMode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tapedeck::capture::CaptureError;
use tapedeck::capture::live::{self, LiveOptions};
use tapedeck::store::s3::{S3Options, S3Store};
use tapedeck::store::{Entry, Store};

use crate::seaweed::Seaweed;
use crate::site::{self, Site};

/// HTTP requests of the big load.
const REQUESTS: u32 = 20_000;

/// DNS queries of the big load; their numbers follow those of the requests.
const QUERIES: u32 = 2_000;

/// A wait for the program; a busy machine is slow, but not that slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// One load at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn may_capture() -> bool {
    let options = LiveOptions {
        interface: "lo".to_owned(),
        ..LiveOptions::default()
    };
    match live::open(&options) {
        Ok(_) => true,
        Err(CaptureError::NoRight { .. }) => {
            println!("skipped: capturing needs CAP_NET_RAW");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// The published configuration with bucket, region, keys and path of one's own; `query` is the
/// line of `RECORDING_KFL`, or nothing.
fn config(s3: &S3Options, query: &str, scripts: &Path) -> String {
    let keys = s3.keys.as_ref().unwrap();
    format!(
        "scripting:\n  env:\n{query}    S3_BUCKET: \"{}\"\n    S3_PREFIX: \"{}\"\n    \
         AWS_REGION: \"us-east-1\"\n    AWS_ACCESS_KEY_ID: \"{}\"\n    \
         AWS_SECRET_ACCESS_KEY: \"{}\"\n    S3_ENDPOINT: \"{}\"\n  \
         source: \"{}\"\n  watchScripts: true\n",
        s3.bucket,
        s3.prefix,
        keys.access_key_id,
        keys.secret_access_key,
        s3.endpoint.as_ref().unwrap(),
        scripts.display(),
    )
}

fn query_line(query: &str) -> String {
    format!("    RECORDING_KFL: {}\n", Json::from(query))
}

/// A home of one's own with configuration, data and scripts.
struct Home {
    folder: tempfile::TempDir,
    s3: S3Options,
}

impl Home {
    fn new(s3: &S3Options) -> Home {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scripts")).unwrap();
        Home {
            folder,
            s3: s3.clone(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration with this query, or with none.
    fn configure(&self, query: Option<&str>) {
        let line = query.map(query_line).unwrap_or_default();
        let text = config(&self.s3, &line, &self.path("scripts"));
        std::fs::write(self.path("tapedeck.yaml"), text).unwrap();
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
        command.env_clear().env("HOME", self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    fn tap(&self, bpf: &str, more: &[&str]) -> Tap {
        let mut command = self.program();
        command.args(["tap", "-i", "lo", "--headless", "--config-path"]);
        command.arg(self.path("tapedeck.yaml"));
        let data = self.path("data");
        command.args(["--set", &format!("tap.dataDir={}", data.display())]);
        if !bpf.is_empty() {
            command.args(["--bpf", bpf]);
        }
        command.args(more);
        Tap::start(command, data)
    }

    /// What `tapedeck query s3://...` prints, by number.
    fn found(&self) -> BTreeMap<u32, Vec<String>> {
        let url = format!("s3://{}/{}", self.s3.bucket, self.s3.prefix);
        let mut command = self.program();
        command.args(["query", &url, "--s3-path-style", "--format", "json"]);
        command.args(["--s3-endpoint", self.s3.endpoint.as_ref().unwrap()]);
        command.args(["--s3-region", "us-east-1"]);
        // Reading is somebody else's job, with rights of their own.
        command.env("AWS_ACCESS_KEY_ID", "ciaccess");
        command.env("AWS_SECRET_ACCESS_KEY", "cisecret");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?}: {said}", output.status);
        let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let number = site::number_in(line).unwrap_or_else(|| panic!("foreign: {line}"));
            found.entry(number).or_default().push(line.to_owned());
        }
        found
    }

    /// What `tapedeck verify --deep` says; everything must be as it was sealed.
    fn verified(&self) -> Json {
        let url = format!("s3://{}/{}", self.s3.bucket, self.s3.prefix);
        let mut command = self.program();
        command.args(["verify", &url, "--deep", "--yes", "--format", "json"]);
        command.args(["--s3-endpoint", self.s3.endpoint.as_ref().unwrap()]);
        command.args(["--s3-region", "us-east-1", "--s3-path-style"]);
        command.env("AWS_ACCESS_KEY_ID", "ciaccess");
        command.env("AWS_SECRET_ACCESS_KEY", "cisecret");
        let output = command.output().unwrap();
        let (report, said) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8_lossy(&output.stderr),
        );
        assert_eq!(output.status.code(), Some(0), "{said}: {report}");
        serde_json::from_str(&report).unwrap()
    }

    fn objects(&self) -> Vec<Entry> {
        let store = S3Store::new(S3Options {
            keys: Some(crate::seaweed::keys("ciaccess", "cisecret")),
            ..self.s3.clone()
        })
        .unwrap();
        let mut entries = Vec::new();
        let mut each = |entry| {
            entries.push(entry);
            true
        };
        store.list("reels/", &mut each).unwrap();
        entries
    }

    /// Sealed packets in the bucket.
    fn reels(&self) -> Vec<Entry> {
        let mut objects = self.objects();
        objects.retain(|entry| entry.key.ends_with(".pcapng.zst"));
        objects
    }
}

/// A running `tapedeck tap`.
struct Tap {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    data: PathBuf,
}

impl Tap {
    fn start(mut command: Command, data: PathBuf) -> Tap {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let reader = thread::spawn({
            let said = said.clone();
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    let mut said = said.lock().unwrap();
                    said.push_str(&line);
                    said.push('\n');
                }
            }
        });
        let mut tap = Tap {
            child,
            said,
            reader: Some(reader),
            data,
        };
        tap.wait_for("Capturing live on lo");
        tap
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until the program said so; answers the line.
    fn wait_for(&mut self, words: &str) -> String {
        self.wait_until(words, |tap| {
            let said = tap.said();
            said.lines()
                .find(|line| line.contains(words))
                .map(str::to_owned)
        })
    }

    fn wait_until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Tap) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: {ended:?}: {}", self.said());
            assert!(begun.elapsed() < PATIENCE, "{what}: {}", self.said());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn wait(&mut self) -> Option<i32> {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        status.code()
    }

    /// Ctrl+C; waits for the end, which must be without gaps, and answers what was said.
    fn interrupt(mut self) -> String {
        self.signal(Signal::INT);
        let code = self.wait();
        let said = self.said();
        assert_eq!(code, Some(0), "{said}");
        said
    }

    fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// A page of the dashboard.
    fn page(&self, path: &str) -> Option<Json> {
        let file = self.data.join(format!("run/{}.json", self.child.id()));
        let instance: Json = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let address = instance["address"].as_str()?;
        let token = instance["token"].as_str()?;
        let mut stream = TcpStream::connect(address).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).ok()
    }

    fn recorded_packets(&self) -> Option<u64> {
        self.page("/api/status")?["run"]["recordings"][0]["packets"].as_u64()
    }

    /// Waits until what was sent so far is recorded.
    fn settle(&mut self) {
        let mut before = None;
        let mut same = 0;
        self.wait_until("settling", |tap| {
            let now = tap.recorded_packets().filter(|packets| *packets > 0);
            same = if now.is_some() && now == before {
                same + 1
            } else {
                0
            };
            before = now;
            // Longer than libpcap may hold packets back.
            (same > 40).then_some(())
        });
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn locked(s3: &Seaweed, name: &str) -> S3Options {
    let options = s3.bucket(name, true);
    s3.lock_by_default(&options, ObjectLockRetentionMode::Governance, 1);
    options
}

/// Every number of `wanted` exactly once, and nothing else.
fn assert_once(found: &BTreeMap<u32, Vec<String>>, wanted: impl Iterator<Item = u32>) {
    let wanted: Vec<u32> = wanted.collect();
    let missing: Vec<&u32> = wanted.iter().filter(|n| !found.contains_key(n)).collect();
    assert!(missing.is_empty(), "{} missing: {missing:?}", missing.len());
    assert_doubles_nothing(found);
    let more: Vec<&u32> = found
        .keys()
        .filter(|n| wanted.binary_search(n).is_err())
        .collect();
    assert!(more.is_empty(), "{} too many: {more:?}", more.len());
}

fn assert_doubles_nothing(found: &BTreeMap<u32, Vec<String>>) {
    for (number, lines) in found {
        assert_eq!(lines.len(), 1, "{number}: {lines:?}");
    }
}

#[test]
fn a_load_is_found_again_whatever_others_do_to_the_bucket() {
    let _alone = alone();
    if !may_capture() {
        return;
    }
    let Some(s3) = Seaweed::shared() else { return };
    let bucket = locked(s3, "road");
    let home = Home::new(&bucket);
    let Some(site) = Site::start(home.folder.path()) else {
        return;
    };
    home.configure(Some("http or dns"));
    let tap = home.tap(&site.bpf(), &[]);
    thread::scope(|scope| {
        scope.spawn(|| site.dns_load(REQUESTS..REQUESTS + QUERIES));
        site.http_load(0..REQUESTS);
    });
    let said = tap.interrupt();
    assert!(
        said.contains("0 dropped by the kernel, 0 by the interface, 0 left out as own"),
        "{said}"
    );

    let found = home.found();
    assert_once(&found, 0..REQUESTS + QUERIES);
    for (number, lines) in &found {
        let failed = lines[0].contains("\"response\":{\"status\":500,");
        assert_eq!(
            failed,
            *number < REQUESTS && site::fails(*number),
            "{}",
            lines[0]
        );
    }

    let objects = home.objects();
    assert!(!home.reels().is_empty(), "{objects:?}");
    for entry in &objects {
        let version = entry.version.as_deref().unwrap();
        let refused = s3.delete_version(&bucket, &entry.key, version);
        assert!(refused.is_err(), "{} could be deleted", entry.key);
        s3.delete(&bucket, &entry.key);
    }
    assert_eq!(home.found(), found, "after a plain delete");
    for entry in &objects {
        s3.overwrite(&bucket, &entry.key, b"something else");
    }
    assert_eq!(home.found(), found, "after a second put");
}

#[test]
fn a_failed_request_keeps_its_whole_stream_and_no_other() {
    let _alone = alone();
    if !may_capture() {
        return;
    }
    let Some(s3) = Seaweed::shared() else { return };
    let home = Home::new(&locked(s3, "failed"));
    let Some(site) = Site::start(home.folder.path()) else {
        return;
    };
    home.configure(Some("http and response.status == 500"));
    let tap = home.tap(&site.bpf(), &[]);
    site.http_load(0..REQUESTS);
    tap.interrupt();

    let wanted = (0..REQUESTS).filter(|number| site::has_failure(*number));
    assert_once(&home.found(), wanted.clone());

    let streams = wanted.count() / site::ON_A_CONNECTION as usize;
    let packets = home.path("packets.pcapng.zst");
    let store = S3Store::new(home.s3.clone()).unwrap();
    let mut handshakes = 0;
    for reel in home.reels() {
        let mut bytes = Vec::new();
        let mut object = store.get(&reel.key, None, None).unwrap();
        object.read_to_end(&mut bytes).unwrap();
        std::fs::write(&packets, bytes).unwrap();
        let shark = Command::new("tshark")
            .args(["-n", "-Y", "tcp.flags.syn == 1", "-r"])
            .arg(&packets)
            .output();
        let Ok(shark) = shark else {
            println!("skipped: tshark is not installed, so nobody else counted handshakes");
            return;
        };
        assert!(shark.status.success(), "{shark:?}");
        handshakes += String::from_utf8(shark.stdout).unwrap().lines().count();
    }
    // The client's SYN and the server's.
    assert_eq!(handshakes, 2 * streams);
}

#[test]
fn the_recording_follows_the_configuration() {
    let _alone = alone();
    if !may_capture() {
        return;
    }
    let Some(s3) = Seaweed::shared() else { return };
    let home = Home::new(&locked(s3, "follows"));
    let Some(site) = Site::start(home.folder.path()) else {
        return;
    };
    home.configure(Some("http"));
    let mut tap = home.tap(&site.bpf(), &[]);
    site.http_load(0..100);
    tap.settle();

    home.configure(None);
    let said = tap.wait_for("the recording recording is off");
    assert!(said.contains("it recorded 2 streams with"), "{said}");
    site.http_load(100..200);
    thread::sleep(Duration::from_secs(3));

    home.configure(Some("http and response.status == 200"));
    tap.wait_for("is on: http and response.status == 200");
    site.http_load(200..300);
    tap.settle();

    home.configure(Some("http and ("));
    let said = tap.wait_for("the last good query stays in force");
    assert!(said.contains("is invalid"), "{said}");
    site.http_load(300..400);
    tap.interrupt();
    assert_once(&home.found(), (0..100).chain(200..400));
}

#[test]
fn without_a_query_nothing_is_recorded() {
    let _alone = alone();
    if !may_capture() {
        return;
    }
    let Some(s3) = Seaweed::shared() else { return };
    let home = Home::new(&locked(s3, "off"));
    let Some(site) = Site::start(home.folder.path()) else {
        return;
    };
    home.configure(None);
    let tap = home.tap(&site.bpf(), &[]);
    site.http_load(0..200);
    let said = tap.interrupt();
    assert!(
        said.contains(" 200 items in 4 streams; 0 reels uploaded"),
        "{said}"
    );
    assert_eq!(home.objects(), Vec::<Entry>::new());
}

#[test]
fn an_identity_that_may_only_put_is_enough_to_record() {
    let _alone = alone();
    if !may_capture() {
        return;
    }
    let Some(s3) = Seaweed::shared() else { return };
    let home = Home::new(&s3.put_only());
    let Some(site) = Site::start(home.folder.path()) else {
        return;
    };
    home.configure(Some("http or dns"));
    let tap = home.tap(&site.bpf(), &[]);
    site.http_load(0..200);
    site.dns_load(200..300);
    tap.interrupt();
    assert_once(&home.found(), 0..300);
}

#[test]
fn a_killed_recorder_loses_and_doubles_nothing_that_it_had() {
    let _alone = alone();
    if !may_capture() {
        return;
    }
    let Some(s3) = Seaweed::shared() else { return };
    let home = Home::new(&locked(s3, "killed"));
    let Some(site) = Site::start(home.folder.path()) else {
        return;
    };
    home.configure(Some("http or dns"));
    // Seals and uploads are under way all the time.
    let often = [
        "--set",
        "recording.sealFirst=1s",
        "--set",
        "recording.sealEvery=1s",
    ];
    let mut tap = home.tap(&site.bpf(), &often);
    site.http_load(0..2_000);
    site.dns_load(2_000..2_200);
    tap.settle();
    thread::scope(|scope| {
        // What is under way at the kill may be lost, but not doubled.
        let during = scope.spawn(|| site.http_load(10_000..20_000));
        thread::sleep(Duration::from_millis(1_500));
        tap.kill();
        during.join().unwrap();
    });

    let tap = home.tap(&site.bpf(), &often);
    site.http_load(30_000..31_000);
    tap.interrupt();
    let mut found = home.found();
    assert_doubles_nothing(&found);
    found.retain(|number, _| !(10_000..20_000).contains(number));
    assert_once(&found, (0..2_200).chain(30_000..31_000));
    let report = home.verified();
    assert_eq!(report["counts"]["locked"], report["counts"]["objects"]);
    let counts = &report["counts"];
    let parts = counts["objects"].as_u64().unwrap() - counts["manifests"].as_u64().unwrap();
    assert_eq!(counts["read"], parts);
    assert_eq!(report["chains"][0]["runs"], 2);
}

#[test]
fn tapedeck_records_nothing_of_its_own() {
    let _alone = alone();
    if !may_capture() {
        return;
    }
    // A server of one's own: other tests talk to the shared one.
    let Some(s3) = Seaweed::start() else { return };
    let home = Home::new(&locked(&s3, "own"));
    let Some(site) = Site::start(home.folder.path()) else {
        return;
    };
    let (_, s3_port) = s3.endpoint.rsplit_once(':').unwrap();
    let dashboard = crate::seaweed::free_ports(1)[0];
    // The inner services of the S3 server speak HTTP on the same interface, and it asks itself
    // whether it is up: these are nobody's own.
    let probe = "request.headers[\"User-Agent\"] == \"Go-http-client/1.1\"";
    home.configure(Some(&format!(
        "http and (dst.port == {s3_port} or dst.port == {dashboard} or dst.port == {}) and !({probe})",
        site.http
    )));
    let port = format!("tap.proxy.front.port={dashboard}");
    let often = [
        "--set",
        "recording.sealFirst=1s",
        "--set",
        "recording.sealEvery=1s",
    ];
    let heartbeat = ["--set", "recording.heartbeat=1s", "--set", &port];
    let tap = home.tap("", &[often, heartbeat].concat());
    let time = if is_slow() { 60 } else { 15 };
    let begun = Instant::now();
    let mut polls = 0;
    while begun.elapsed() < Duration::from_secs(time) {
        assert!(tap.page("/api/status").is_some(), "{}", tap.said());
        polls += 1;
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(tap.recorded_packets(), Some(0), "after {polls} polls");

    // The same with reels on their way, and somebody else's traffic is still there.
    site.http_load(0..500);
    thread::sleep(Duration::from_secs(3));
    site.http_load(500..1_000);
    let said = tap.interrupt();
    assert!(!said.contains(" 0 left out as own"), "{said}");
    let objects = home.objects().len();
    assert!(objects > 10, "there was something to see: {objects}");
    // Counting what was found says that nothing foreign was in it.
    assert_once(&home.found(), 0..1_000);
}

#[expect(
    clippy::disallowed_methods,
    reason = "slow tests are asked for by the environment"
)]
fn is_slow() -> bool {
    std::env::var("TAPEDECK_SLOW").is_ok_and(|value| value == "1")
        || std::env::var_os("CI").is_some()
}
