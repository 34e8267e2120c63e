//! Makes an archive like one of a week in a cluster, for measuring what reading it takes.
//!
//! `cargo bench --bench archive -- make DESTINATION [--reels 10000] [--nodes 20]` records made HTTP
//! traffic through the pipeline, the recorder and the outbox, one node after the other, with the time
//! of the packets; `tools/bench-archive.sh` does that against a local S3 server and measures.
//! `-- record DESTINATION CAPTURE` records a capture as one reel. `-- year FOLDER [--reels 1000000]`
//! lays empty manifests beside what is in the folder, as of reels of the year before that week.
//! Without arguments, as `cargo bench` runs it, it does nothing.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tapedeck::capture::file;
use tapedeck::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use tapedeck::dissect::Protocols;
use tapedeck::flow::Limits;
use tapedeck::item::{Item, Origin};
use tapedeck::kfl;
use tapedeck::packet::Endpoint;
use tapedeck::pipeline::{self, Consumer, Cuts, Encoded, Indexing, Step, Stop};
use tapedeck::record::{Options, Outbox, Recorder, Wish, outbox};
use tapedeck::resolve::{Address, History, Names};
use tapedeck::store::s3::{Keys, S3Options};
use tapedeck::store::{OpenOptions, Store};
use tapedeck::synth;
use tapedeck::time::{SetClock, Timestamp};

/// The last moment of the week: 2026-11-24 23:59:59.
const END: i64 = 1_795_564_799;

const WEEK: i64 = 7 * 86_400;

/// Connections of a reel, and exchanges of a connection.
const CONNECTIONS: u64 = 20;
const EXCHANGES: u64 = 5;

/// The client of each node whose calls often fail, by the last octet of its address.
const FAILING: u8 = 3;

/// Seconds that a reel spans.
const REEL_SECONDS: u64 = 120;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (destination, rest) = match args.as_slice() {
        ["record", destination, capture] => {
            let source = file::open(Path::new(capture)).expect("the capture can be read");
            record(destination, "node", source, Arc::default(), false);
            return;
        }
        ["year", folder, rest @ ..] => {
            year(Path::new(folder), number(rest, "--reels", 1_000_000)).expect("a folder for it");
            return;
        }
        ["make", destination, rest @ ..] => (*destination, rest),
        _ => {
            println!(
                "usage: make DESTINATION [--reels N] [--nodes N], record DESTINATION CAPTURE, \
                 or year FOLDER [--reels N]"
            );
            return;
        }
    };
    let (reels, nodes) = (number(rest, "--reels", 10_000), number(rest, "--nodes", 20));
    let began = Instant::now();
    for node in 0..nodes {
        let week = Week {
            node,
            nodes,
            reels: reels / nodes,
            next: 0,
        };
        let names = Arc::new(Names::of(Arc::new(history(node))));
        let name = format!("node-{node:02}");
        record(destination, &name, Box::new(week), names, true);
        println!(
            "node {} of {nodes} after {:.0} s",
            node + 1,
            began.elapsed().as_secs_f64()
        );
    }
}

fn number(args: &[&str], flag: &str, default: u64) -> u64 {
    let at = args.iter().position(|arg| *arg == flag);
    at.and_then(|at| args.get(at + 1)?.parse().ok())
        .unwrap_or(default)
}

/// Lays `reels` manifests over the 358 days before the week, of 20 nodes.
fn year(folder: &Path, reels: u64) -> std::io::Result<()> {
    const DAYS: i64 = 358;
    let a_day = reels.div_ceil(DAYS.unsigned_abs());
    for day in 0..DAYS {
        let start = END + 1 - WEEK - (DAYS - day) * 86_400;
        let mut made = HashSet::new();
        for number in 0..a_day {
            let second = i64::try_from(number * 86_400 / a_day).expect("below a day");
            let at = Timestamp::from_secs(start + second, 0).utc();
            let place = folder.join(format!(
                "reels/cluster=bench/date={}/hour={}/node=node-{:02}/recording=all",
                at.format("%Y-%m-%d"),
                at.format("%H"),
                number % 20
            ));
            if made.insert(place.clone()) {
                std::fs::create_dir_all(&place)?;
            }
            let name = format!(
                "{}-{}-{number:06}-{number:016x}.manifest.json",
                at.format("%Y%m%dT%H%M%SZ"),
                END - WEEK
            );
            std::fs::File::create(place.join(name))?;
        }
    }
    Ok(())
}

/// Records a source, a batch a reel or all in one.
fn record(
    destination: &str,
    name: &str,
    source: Box<dyn Source>,
    names: Arc<Names>,
    is_reel_a_batch: bool,
) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let start = END - WEEK;
    let clock = Arc::new(SetClock::at(Timestamp::from_secs(start, 0)));
    let store = open(destination);
    let outbox = Outbox::start(
        outbox::Options::new(folder.path().join("outbox"), 1 << 34),
        clock.clone(),
        Arc::new(move |_| Ok(store.clone())),
    )
    .expect("an outbox starts in an empty folder");
    let run = u64::try_from(start).expect("the week is after 1970");
    let mut options = Options::new(folder.path().join("record"), run, name, "bench");
    options.heartbeat = Duration::from_secs(u64::MAX / 4);
    options.indexer = Some(Arc::new(Indexing::new(Protocols::all(), Limits::default())));
    let mut recorder = Recorder::open(options, None, clock.clone(), outbox.clone())
        .expect("a recorder opens in an empty folder");
    let everything = kfl::compile("true", &kfl::Schema::empty()).expect("true is a query");
    recorder.set(vec![Wish::new("all", everything, destination.to_owned())]);
    let recorder = Arc::new(Mutex::new(recorder));
    let running = pipeline::start(
        source,
        pipeline::Options {
            workers: 1,
            protocols: Protocols::all(),
            limits: Limits::default(),
            origin: Arc::new(Origin {
                node_name: name.to_owned(),
                node_ip: String::new(),
                worker: name.to_owned(),
                ..Origin::default()
            }),
            names: Some(Box::new(move |_| Some(names.clone()))),
            spool: None,
            live: false,
            clock: clock.clone(),
            stop: Stop::default(),
            counters: Arc::default(),
            cuts: Cuts::default(),
            consumers: vec![Box::new(Keeper {
                recorder: recorder.clone(),
                clock,
                is_reel_a_batch,
            })],
        },
    );
    running.join().expect("made packets can be read");
    recorder.lock().expect("nobody panicked").finish();
    let left = outbox.drain(Duration::from_secs(3600));
    assert_eq!(left.waiting, 0, "{left:?}");
    outbox.stop();
}

fn open(destination: &str) -> Arc<dyn Store> {
    let env = |name: &str| std::env::var_os(name)?.into_string().ok();
    let keys = env("AWS_ACCESS_KEY_ID").zip(env("AWS_SECRET_ACCESS_KEY"));
    let options = OpenOptions {
        s3: S3Options {
            endpoint: env("S3_ENDPOINT"),
            region: env("AWS_REGION"),
            path_style: Some(true),
            keys: keys.map(|(access_key_id, secret_access_key)| Keys {
                access_key_id,
                secret_access_key,
                session_token: None,
            }),
            ..S3Options::default()
        },
        ..OpenOptions::default()
    };
    tapedeck::store::open(destination, &options).expect("the destination is a store")
}

/// Hands each reel's packets to the recorder and seals it.
struct Keeper {
    recorder: Arc<Mutex<Recorder>>,
    clock: Arc<SetClock>,
    is_reel_a_batch: bool,
}

impl Consumer for Keeper {
    fn on_step(&mut self, step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        if step.batch.packets.is_empty() {
            return;
        }
        self.clock.advance(step.batch.now);
        let mut recorder = self.recorder.lock().expect("nobody panicked");
        recorder.on_batch(&step.batch, items);
        if self.is_reel_a_batch {
            recorder.seal(None, "age");
        }
    }
}

/// The packets of one node, a reel a batch.
struct Week {
    node: u64,
    nodes: u64,
    reels: u64,
    next: u64,
}

impl Source for Week {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        if self.next >= self.reels {
            return Ok(Filled::End);
        }
        // The nodes' reels lie beside each other, not on top.
        let step = WEEK / i64::try_from(self.reels).expect("a week has few reels");
        let shift = i64::try_from(self.node * 7 % self.nodes).expect("few nodes");
        let at =
            END - WEEK + step * i64::try_from(self.next).expect("few reels") + step / 2 + shift;
        let mut draw = Draw(self.node << 32 | (self.next + 1));
        let streams = (0..CONNECTIONS).map(|number| self.connection(number, at, &mut draw));
        let (bytes, records) = synth::records(&synth::merge(streams));
        batch.bytes = bytes;
        batch.records = records;
        self.next += 1;
        Ok(Filled::More)
    }

    fn counts(&mut self) -> SourceCounts {
        SourceCounts::default()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    fn interface_name(&self, _interface: u32) -> Option<String> {
        None
    }
}

impl Week {
    fn connection(&self, number: u64, at: i64, draw: &mut Draw) -> Vec<synth::Frame> {
        let octet = |value: u64| u8::try_from(value % 256).expect("below 256");
        // The first connection of each reel is of the pod that fails.
        let pod = match number {
            0 => FAILING,
            _ => octet(draw.below(30)),
        };
        let client = [10, 1, octet(self.node), pod];
        let server = [10, 2, octet(self.node), octet(draw.below(10))];
        let port =
            20_000 + u16::try_from((self.next * CONNECTIONS + number) % 40_000).expect("fits");
        let start = draw.below((REEL_SECONDS - 10) * 1000);
        let mut tcp = synth::tcp((client, port), (server, 8080))
            .at(Timestamp::from_secs(at, 0) + Duration::from_millis(start));
        for _ in 0..EXCHANGES {
            let order = draw.below(1_000_000);
            let path = ["orders", "cart", "users", "health", "search"][draw.below(5) as usize];
            // One pod of each node fails often, so that a question about it has an answer.
            let failures = if client[3] == FAILING { 30 } else { 1 };
            let status = match draw.below(100) {
                part if part < failures => "500 Internal Server Error",
                part if part < failures + 3 => "404 Not Found",
                _ => "200 OK",
            };
            let body: String = (0..20 + draw.below(60))
                .map(|_| {
                    format!(
                        "{{\"sku\":\"{:08x}\",\"price\":{}}},",
                        draw.next(),
                        draw.below(9999)
                    )
                })
                .collect();
            tcp = tcp
                .to_server(format!(
                    "GET /api/{path}/{order}?page={} HTTP/1.1\r\nHost: shop.svc.cluster.local\r\n\
                     User-Agent: okhttp/4.12.0\r\nAccept: application/json\r\n\
                     Traceparent: 00-{:016x}{:016x}-{:016x}-01\r\n\r\n",
                    draw.below(9),
                    draw.next(),
                    draw.next(),
                    draw.next()
                ))
                .wait(Duration::from_millis(1 + draw.below(200)))
                .to_client(format!(
                    "HTTP/1.1 {status}\r\nServer: nginx/1.26.0\r\n\
                     Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ))
                .wait(Duration::from_millis(draw.below(900)));
        }
        tcp.fin()
    }
}

/// Names of the node's pods.
fn history(node: u64) -> History {
    let mut history = History::new();
    let octet = |value: u64| u8::try_from(value).expect("below 256");
    let mut kinds: HashMap<u8, (&str, u64)> = HashMap::new();
    kinds.insert(1, ("web", 30));
    kinds.insert(2, ("orders", 10));
    for (net, (name, count)) in kinds {
        for pod in 0..count {
            let address = Endpoint {
                ip: [10, net, octet(node), octet(pod)].into(),
                port: 0,
            };
            let name = format!("{name}-{node:02}-{pod:02}");
            history.set(
                Address::Ip(address.ip),
                Timestamp::from_secs(0, 0),
                Some((&name, "shop")),
            );
        }
    }
    history
}

/// Numbers that look random and are the same each time (xorshift64*, Vigna 2016).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
