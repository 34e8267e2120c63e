//! What a merged feed costs the hub: the program itself, with simulated workers that send rows at a
//! fixed pace over real connections, and somebody who looks at all of them.
//!
//! Prints CPU time and memory of the hub's process for each pace. `cargo bench --bench hub -- WORKERS
//! SECONDS` takes other numbers than 20 and 20.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tapedeck::dissect::Protocols;
use tapedeck::hub::message::{Hello, PROTOCOL, Spread};
use tapedeck::hub::targeted::Targeted;
use tapedeck::hub::{Actions, Follower, Uplink, UplinkOptions, tls};
use tapedeck::item::{Item, flat};
use tapedeck::kfl::Schema;
use tapedeck::packet::StreamName;
use tapedeck::pipeline::{self, Consumer, Counters, Encoded, Rows, Step, Stop};
use tapedeck::server::Run;
use tapedeck::synth;
use tapedeck::time::SystemClock;

/// Rows a second of each worker.
const PACES: [u64; 3] = [50, 250, 1000];

/// Steps a second in which they come.
const STEPS: u64 = 20;

struct Quiet;

impl Run for Quiet {
    fn status(&self) -> Json {
        json!({"recordings": []})
    }
    fn stream_pcap(&self, _: StreamName, _: &mut dyn Write) -> Result<u64, String> {
        Err("there are no packets".to_owned())
    }
    fn scripts(&self) -> Json {
        json!([])
    }
    fn console(&self, _: u64) -> Json {
        json!({"lines": []})
    }
    fn jobs(&self) -> Json {
        json!([])
    }
    fn run_job(&self, _: &str) -> Result<(), String> {
        Err("there are no jobs".to_owned())
    }
}

impl Follower for Quiet {
    fn spread(&self, _: &Spread) {}
    fn targets(&self, _: &Arc<Targeted>) {}
    fn names(&self, _: &[u8]) {}
    fn news(&self, _: &Json) {}
}

/// Takes the first item of a run.
struct First(std::sync::mpsc::Sender<Item>);

impl Consumer for First {
    fn on_step(&mut self, _: &Step, items: &[Item], _: &Encoded<'_>) {
        if let Some(item) = items.first() {
            let _ = self.0.send(item.clone());
        }
    }
}

/// An HTTP exchange as the pipeline makes it, with a body of a kilobyte.
fn item() -> Item {
    let body = "{\"id\":77,\"paid\":false}".repeat(46);
    let frames = synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80))
        .to_server("GET /orders/77?full=1 HTTP/1.1\r\nHost: shop\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n")
        .to_client(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .fin();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.pcap");
    std::fs::write(&path, synth::savefile(&frames)).unwrap();
    let source = tapedeck::capture::file::open(&path).unwrap();
    let (sender, items) = std::sync::mpsc::channel();
    let options = pipeline::Options {
        workers: 1,
        protocols: Protocols::all(),
        limits: Default::default(),
        origin: Arc::default(),
        names: None,
        spool: None,
        live: false,
        clock: Arc::new(SystemClock),
        stop: Stop::default(),
        counters: Arc::default(),
        cuts: Default::default(),
        consumers: vec![Box::new(First(sender))],
    };
    pipeline::start(source, options).join().unwrap();
    items.recv().unwrap()
}

/// CPU seconds and resident MiB, now and at most.
fn cost(pid: u32) -> (f64, u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            / 1024
    };
    (ticks as f64 / 100.0, mib("VmRSS"), mib("VmHWM"))
}

fn ask(address: &str, token: &str, path: &str) -> Json {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .filter_map(|text| text.parse().ok())
        .collect();
    let count = numbers.first().copied().unwrap_or(20);
    let seconds = numbers.get(1).copied().unwrap_or(20);
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    tapedeck::hub::certs::make(&path("certs"), tapedeck::time::Clock::now(&SystemClock), 1)
        .unwrap();
    let mut hub = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .args([
            "hub",
            "--headless",
            "--listen",
            "127.0.0.1:0",
            "--proxy-front-port",
            "0",
        ])
        .args(["--set", "tap.metrics.port=0", "--tls"])
        .arg(path("certs/hub"))
        .arg("--set")
        .arg(format!("tap.dataDir={}", path("hub").display()))
        .env("HOME", home.path())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(hub.stderr.take().unwrap()).lines();
    let mut next = |mark: &str| loop {
        let line = lines.next().unwrap().unwrap();
        if let Some((_, rest)) = line.split_once(mark) {
            break rest.to_owned();
        }
    };
    let link = next("Waiting for workers on ");
    let link = link.split(';').next().unwrap().to_owned();
    let url = next("http://");
    let (address, token) = url.trim().split_once("/?token=").unwrap();
    std::thread::spawn(move || lines.for_each(drop));

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let item = item();
    let workers: Vec<(Arc<Rows>, Item, Uplink)> = (0..count)
        .map(|number| {
            let rows = Arc::new(Rows::new(100 << 20, 20_000));
            let node = format!("node-{number}");
            let hello = Hello {
                protocol: PROTOCOL,
                version: "0.1.0".to_owned(),
                node: node.clone(),
                ip: format!("10.0.0.{number}"),
                worker: format!("10.0.0.{number}:8897"),
                run: 1,
                instance: 0,
                takes_differences: true,
            };
            let mut item = item.clone();
            item.origin = Arc::new(tapedeck::item::Origin {
                node_name: node,
                node_ip: hello.ip.clone(),
                worker: hello.worker.clone(),
                ..tapedeck::item::Origin::default()
            });
            let options = UplinkOptions {
                hub: link.clone(),
                tls: tls::Folder(path("certs/worker")),
                hello,
                rows: rows.clone(),
                counters: Arc::new(Counters::default()),
                run: Arc::new(Quiet),
                schema: Arc::new(Schema::empty()),
                imposed: Default::default(),
                clock: Arc::new(SystemClock),
                own: Default::default(),
                follower: Arc::new(Quiet),
                said: Box::new(|_| {}),
            };
            let uplink = Uplink::start(options, Actions::default(), runtime.handle());
            (rows, item, uplink)
        })
        .collect();
    while !workers
        .iter()
        .all(|(.., uplink)| uplink.standing().connected)
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (_, idle, _) = cost(hub.id());
    println!("{count} workers connected, nobody looks: {idle} MiB");
    ask(address, token, "/api/items?q=http");
    for pace in PACES {
        let before = cost(hub.id());
        let rows_before = ask(address, token, "/api/status")["rows"]["end"]
            .as_u64()
            .unwrap();
        let begun = Instant::now();
        let each = pace / STEPS.min(pace);
        let mut steps = 0;
        let mut looked = 0;
        while begun.elapsed() < Duration::from_secs(seconds) {
            for (rows, item, _) in &workers {
                let first = rows.held().end;
                let mut bytes = Vec::new();
                let mut item = item.clone();
                for number in first..first + each {
                    item.number = number;
                    item.start = tapedeck::time::Clock::now(&SystemClock);
                    flat::encode(&item, &mut bytes);
                }
                rows.push(first, &Arc::new(bytes));
            }
            steps += 1;
            // As a page does, every five seconds.
            if steps / (STEPS * 5) > looked {
                looked += 1;
                ask(address, token, "/api/items?q=http");
                ask(address, token, "/api/timeline?q=http");
            }
            let due = Duration::from_secs(steps) / u32::try_from(STEPS).unwrap();
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        std::thread::sleep(Duration::from_secs(2));
        let after = cost(hub.id());
        let status = ask(address, token, "/api/status");
        let came = status["rows"]["end"].as_u64().unwrap() - rows_before;
        let offered = steps * each * count;
        println!(
            "{count} workers at {pace} rows/s each: {came} of {offered} rows came, {} skipped so far; \
             hub {:.1} CPU s in {:.0} s, {:.1} us a row; {} MiB now, {} at most; ring {} MiB",
            status["run"]["feed"]["skipped"],
            after.0 - before.0,
            begun.elapsed().as_secs_f64(),
            (after.0 - before.0) * 1e6 / came.max(1) as f64,
            after.1,
            after.2,
            status["rows"]["bytes"].as_u64().unwrap() >> 20,
        );
    }
    drop(workers);
    hub.kill().unwrap();
    hub.wait().unwrap();
}
