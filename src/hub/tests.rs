//! Both ends together, in one process, over real connections.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::message::{Hello, Spread};
use super::targeted::Targeted;
use super::{Actions, Follower, Hub, HubOptions, Uplink, UplinkOptions, Whole, certs, tls};
use crate::capture::own::OwnSockets;
use crate::deliver::Imposed;
use crate::item::{Node, Origin, flat, lookup, sample};
use crate::kfl::{self, Schema};
use crate::packet::StreamName;
use crate::pipeline::{Counters, Rows};
use crate::server::Run;
use crate::spool::Size;
use crate::time::{Clock, SystemClock};

/// An address that the hub alone has.
const OWN: [u8; 4] = [10, 0, 0, 9];

/// Nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// A run with one stream, whose savefile is a megabyte of sevens.
struct Node1;

const STREAM_BYTES: usize = 6 << 20;

impl Run for Node1 {
    fn status(&self) -> Json {
        json!({"recordings": [{"name": "all", "reels": 1}], "outbox": {"waiting": 2}})
    }

    fn stream_pcap(&self, stream: StreamName, out: &mut dyn Write) -> Result<u64, String> {
        if stream.to_string() != "000000000042.pcap" {
            return Err("it is no longer in the spool".to_owned());
        }
        for _ in 0..STREAM_BYTES / 1024 {
            out.write_all(&[7; 1024])
                .map_err(|error| error.to_string())?;
        }
        Ok(9)
    }

    fn stream_pcap_of_run(
        &self,
        _worker: &str,
        run: u64,
        stream: StreamName,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        let told = format!("{stream} of {run}");
        let written = out.write_all(told.as_bytes());
        written.map(|()| 1).map_err(|error| error.to_string())
    }

    fn scripts(&self) -> Json {
        json!([{"title": "s"}])
    }

    fn console(&self, after: u64) -> Json {
        let lines = ["one", "two"].into_iter().zip(1_u64..);
        lines
            .filter(|(_, n)| *n > after)
            .map(|(text, n)| json!({"n": n, "at": "", "error": false, "text": text}))
            .collect::<Json>()
            .pipe(|lines| json!({"lines": lines}))
    }

    fn jobs(&self) -> Json {
        json!([])
    }

    fn run_job(&self, _tag: &str) -> Result<(), String> {
        Ok(())
    }

    fn limit_storage(&self, bytes: u64) -> Result<Json, String> {
        Ok(json!({"limit": bytes}))
    }

    fn sizes(&self, _worker: &str, streams: &[StreamName], _until: Instant) -> Vec<Option<Size>> {
        let size = Size {
            packets: 9,
            bytes: 900,
        };
        let is_held = |name: &&StreamName| name.stream.0 == 42;
        let each = streams.iter();
        each.map(|name| Some(name).filter(is_held).map(|_| size))
            .collect()
    }

    fn seal_recording(&self, name: Option<&str>) -> Result<Json, String> {
        match name {
            None => Ok(3.into()),
            Some(name) => Err(format!("no recording {name} is on")),
        }
    }
}

trait Pipe: Sized {
    fn pipe<T>(self, with: impl FnOnce(Self) -> T) -> T {
        with(self)
    }
}

impl Pipe for Json {}

/// Notes what the hub says.
#[derive(Default)]
pub(super) struct Noted(Mutex<Vec<String>>);

impl Noted {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    pub(super) fn has(&self, what: &str) -> bool {
        self.count(what) > 0
    }

    pub(super) fn count(&self, what: &str) -> usize {
        self.all(what).len()
    }

    pub(super) fn all(&self, what: &str) -> Vec<String> {
        let all = self.0.lock().unwrap();
        let those = all.iter().filter(|one| one.contains(what));
        those.cloned().collect()
    }
}

impl Follower for Noted {
    fn spread(&self, spread: &Spread) {
        self.note(format!("spread {:?}", spread.recording_kfl));
    }

    fn targets(&self, targets: &Arc<Targeted>) {
        let pods = targets.pods()["targets"].take();
        let names = pods
            .as_array()
            .unwrap()
            .iter()
            .map(|pod| pod["metadata"]["name"].as_str().unwrap());
        self.note(format!("targets {:?}", names.collect::<Vec<_>>()));
    }

    fn news(&self, news: &Json) {
        self.note(format!("news {news}"));
    }

    fn names(&self, deltas: &[u8]) {
        if deltas.starts_with(b"much") {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.note(format!("names {}", String::from_utf8_lossy(deltas)));
    }

    fn named(&self) {
        self.note("named".to_owned());
    }
}

pub(super) struct Cluster {
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) folder: tempfile::TempDir,
    rows: Arc<Rows>,
    actions: Arc<Noted>,
    pub(super) said: Arc<Noted>,
}

impl Cluster {
    pub(super) fn new() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        certs::make(folder.path(), SystemClock.now(), 1).unwrap();
        Cluster {
            runtime: runtime(),
            folder,
            rows: Arc::new(Rows::new(usize::MAX, 100_000)),
            actions: Arc::default(),
            said: Arc::default(),
        }
    }

    pub(super) fn hub(&self, listen: SocketAddr) -> Hub {
        let (actions, said) = (self.actions.clone(), self.said.clone());
        let options = HubOptions {
            listen,
            tls: tls::Folder(self.folder.path().join("hub")),
            rows: self.rows.clone(),
            clock: Arc::new(SystemClock),
            nodes: None,
            own: vec![SocketAddr::from((OWN, 0))],
            actions: Arc::new(move |action, object| actions.note(format!("{action} {object}"))),
            blocks: Arc::new({
                let blocks = self.actions.clone();
                move |name, namespace| blocks.note(format!("block {namespace}/{name}"))
            }),
            said: Box::new(move |sentence| said.note(sentence.to_owned())),
        };
        Hub::start(options, self.runtime.handle()).unwrap()
    }

    pub(super) fn worker(&self, node: &str, hub: SocketAddr) -> Worker {
        self.worker_with(node, hub, &self.folder.path().join("worker"), "")
    }

    pub(super) fn worker_with(
        &self,
        node: &str,
        hub: SocketAddr,
        certificates: &Path,
        imposed: &str,
    ) -> Worker {
        self.worker_of_run(node, hub, certificates, imposed, 7)
    }

    fn worker_of_run(
        &self,
        node: &str,
        hub: SocketAddr,
        certificates: &Path,
        imposed: &str,
        run: u64,
    ) -> Worker {
        let rows = Arc::new(Rows::new(usize::MAX, 10_000));
        let (heard, said): (Arc<Noted>, Arc<Noted>) = Default::default();
        let own = OwnSockets::default();
        let sentences = said.clone();
        let options = UplinkOptions {
            hub: hub.to_string(),
            tls: tls::Folder(certificates.to_owned()),
            hello: Hello {
                worker: format!("{node}:8897"),
                takes_differences: false,
                ..Hello::of(node, run)
            },
            rows: rows.clone(),
            counters: Arc::new(Counters::default()),
            run: Arc::new(Node1),
            schema: Arc::new(Schema::empty()),
            imposed: Imposed::read(imposed, &Schema::empty()).unwrap(),
            clock: Arc::new(SystemClock),
            own: own.clone(),
            follower: heard.clone(),
            said: Box::new(move |sentence| sentences.note(sentence.to_owned())),
        };
        let actions = Actions::default();
        Worker {
            uplink: Uplink::start(options, actions.clone(), self.runtime.handle()),
            actions,
            node: node.to_owned(),
            rows,
            heard,
            said,
            own,
        }
    }

    /// Node and item number at its worker... of all rows at the hub that match.
    fn nodes_of_rows(&self) -> Vec<String> {
        let page = self.rows.page(self.rows.held(), usize::MAX);
        let name = |row: &crate::pipeline::Row| {
            let name = lookup(row.node().unwrap(), "node.name").and_then(Node::text);
            name.unwrap().into_owned()
        };
        page.iter().map(name).collect()
    }
}

pub(super) struct Worker {
    pub(super) uplink: Uplink,
    actions: Actions,
    node: String,
    rows: Arc<Rows>,
    pub(super) heard: Arc<Noted>,
    pub(super) said: Arc<Noted>,
    own: OwnSockets,
}

impl Worker {
    fn add(&self, count: u64) {
        let first = self.rows.held().end;
        let mut bytes = Vec::new();
        for number in first..first + count {
            let mut item = sample::http();
            item.number = number;
            item.origin = Arc::new(Origin {
                node_name: self.node.clone(),
                node_ip: "10.0.0.1".to_owned(),
                worker: format!("{}:8897", self.node),
                ..Origin::default()
            });
            flat::encode(&item, &mut bytes);
        }
        self.rows.push(first, &Arc::new(bytes));
    }
}

/// Targets with these pods inside.
pub(super) fn pods(names: &[&str]) -> Targeted {
    let pod = |name: &&str| json!({"metadata": {"name": name, "namespace": "shop"}});
    let pods: Vec<Json> = names.iter().map(pod).collect();
    Targeted::new(None, json!({"targets": pods}), None).unwrap()
}

fn query(text: &str) -> kfl::Query {
    kfl::compile(text, &Schema::empty()).unwrap()
}

pub(super) fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[test]
fn rows_state_and_console_of_two_workers_come_together() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    hub.spread(&Spread {
        recording_kfl: Some("http".into()),
        ..Spread::default()
    })
    .unwrap();
    hub.names(whole(|| vec![b"all names".to_vec()]));
    let workers = ["a", "b"].map(|node| cluster.worker(node, hub.address));
    wait("both are there", || hub.shared.nodes.names().len() == 2);
    for worker in &workers {
        worker.add(3);
    }
    // Nobody looks yet, so nothing comes.
    assert_eq!(cluster.rows.held(), 0..0);
    hub.shared.look(&query("request.method == \"POST\""));
    wait("rows of before come", || cluster.rows.held().end == 6);
    let mut nodes = cluster.nodes_of_rows();
    nodes.sort();
    assert_eq!(nodes, ["a", "a", "a", "b", "b", "b"]);
    workers[0].add(2);
    wait("live rows come", || cluster.rows.held().end == 8);
    hub.shared.look(&query("request.method == \"GET\""));
    workers[1].add(1);
    wait("and more", || cluster.rows.held().end == 9);
    wait("states come", || {
        hub.shared
            .nodes
            .states()
            .iter()
            .filter(|(_, state)| state.scripts.is_some())
            .count()
            == 2
    });
    wait("lines come", || {
        hub.shared.lines.since(0)["lines"].as_array().unwrap().len() == 4
    });
    hub.targets(pods(&["cart"]));
    hub.tell_names(b"a delta").unwrap();
    hub.news(&json!([{"pod": ["ADDED", {}]}])).unwrap();
    for worker in &workers {
        for what in [
            "spread Some(\"http\")",
            "names all names",
            "names a delta",
            "news [{\"pod\":[\"ADDED\",{}]}]",
            "cart",
        ] {
            wait(what, || worker.heard.has(what));
        }
    }
    let sent = workers[0].actions.send("counts", &json!({"items": 2}));
    assert_eq!(sent, Ok(()));
    wait("the action came", || {
        cluster.actions.has("counts {\"items\":2}")
    });
    let asked = workers[0].actions.block_pod("cart-1", "shop").unwrap();
    assert!(asked.starts_with("the hub is asked"), "{asked}");
    wait("the pod is to be blocked", || {
        cluster.actions.has("block shop/cart-1")
    });
}

#[test]
fn what_is_imposed_on_a_worker_never_reaches_the_hub() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    let certificates = cluster.folder.path().join("worker");
    let imposed = r#"request.method == "POST" and redact("request.headers.Host")"#;
    let worker = cluster.worker_with("a", hub.address, &certificates, imposed);
    wait("it is there", || hub.shared.nodes.names().len() == 1);
    worker.add(2);
    hub.shared.look(&query("request.method == \"POST\""));
    wait("rows come", || cluster.rows.held().end == 2);
    for row in cluster.rows.page(0..2, 2) {
        let host = lookup(row.node().unwrap(), "request.headers.Host").and_then(Node::text);
        assert_eq!(host.as_deref(), Some("[REDACTED]"));
    }
    let connection = hub.shared.nodes.of("a").unwrap();
    let ask = |ask| connection.calls.ask(ask, &mut std::io::sink());
    let (id, kfl) = (sample_id("a"), String::new());
    let item = ask(super::ask::Ask::Item { id, kfl }).unwrap();
    assert_eq!(item["item"]["request"]["headers"]["Host"], "[REDACTED]");
    let stream = item["item"]["stream"].as_str().unwrap().to_owned();
    for refused in [
        super::ask::Ask::Stream {
            stream: stream.clone(),
        },
        super::ask::Ask::StreamOfRun {
            run: 7,
            stream: stream.clone(),
        },
        super::ask::Ask::Streams {
            streams: vec![stream],
        },
        super::ask::Ask::Raw {
            from: 0,
            to: i64::MAX,
        },
    ] {
        let why = ask(refused).unwrap_err();
        assert!(why.contains("tap.globalFilter"), "{why}");
    }
}

#[test]
fn packets_and_answers_come_from_the_worker_that_is_asked() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    let worker = cluster.worker("a", hub.address);
    wait("it is there", || hub.shared.nodes.names().len() == 1);
    worker.add(1);
    let connection = hub.shared.nodes.of("a").unwrap();
    let ask = |ask| connection.calls.ask(ask, &mut std::io::sink());
    let stream = |stream: &str| super::ask::Ask::Stream {
        stream: stream.to_owned(),
    };
    let mut bytes = Vec::new();
    let packets = connection
        .calls
        .ask(stream("000000000042.pcap"), &mut bytes);
    assert_eq!(packets, Ok(json!(9)));
    assert_eq!(bytes.len(), STREAM_BYTES);
    assert!(bytes.iter().all(|byte| *byte == 7));
    let gone = ask(stream("000000000043.pcap"));
    assert_eq!(gone, Err("it is no longer in the spool".to_owned()));
    assert!(ask(stream("../etc/passwd")).is_err());
    let mut told = Vec::new();
    let of_run = super::ask::Ask::StreamOfRun {
        run: 7,
        stream: "000000000042.pcap".to_owned(),
    };
    assert_eq!(connection.calls.ask(of_run, &mut told), Ok(json!(1)));
    assert_eq!(told, b"000000000042.pcap of 7");
    let seal = |name: Option<&str>| super::ask::Ask::Seal {
        name: name.map(str::to_owned),
    };
    assert_eq!(ask(seal(None)), Ok(json!(3)));
    assert!(ask(seal(Some("x"))).unwrap_err().contains("no recording x"));
    let limit = super::ask::Ask::LimitStorage { bytes: 1 << 30 };
    assert_eq!(ask(limit), Ok(json!({"limit": 1 << 30})));
    let sizes = super::ask::Ask::Sizes {
        streams: vec!["000000000041.pcap".into(), "000000000042.pcap".into()],
        patience_ms: 100,
    };
    let size = json!({"packets": 9, "bytes": 900});
    assert_eq!(ask(sizes), Ok(json!([null, size])));
    let id = sample_id("a");
    let item = |kfl: &str| {
        let (id, kfl) = (id.clone(), kfl.to_owned());
        ask(super::ask::Ask::Item { id, kfl })
    };
    assert_eq!(item("").unwrap()["item"]["id"], id.as_str());
    let hidden = item(r#"redact("id")"#).unwrap();
    assert_eq!(hidden["item"]["id"], "[REDACTED]");
    assert!(item("false").is_err());
    // Whoever asked stops reading: the rest does not come, and the link goes on.
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            match self.0 < 1 << 20 {
                true => Ok(bytes.len()),
                false => Err(std::io::Error::other("enough")),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let full = connection
        .calls
        .ask(stream("000000000042.pcap"), &mut Full(0));
    assert_eq!(full, Err("enough".to_owned()));
    assert_eq!(ask(seal(None)), Ok(json!(3)));
}

fn sample_id(node: &str) -> String {
    let mut item = sample::http();
    item.origin = Arc::new(Origin {
        worker: format!("{node}:8897"),
        ..Origin::default()
    });
    item.id()
}

#[test]
fn either_side_may_be_started_anew() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    let address = hub.address;
    let worker = cluster.worker("a", address);
    wait("it is there", || worker.uplink.standing().connected);
    wait("at the hub too", || hub.shared.nodes.names().len() == 1);
    hub.shared.look(&query("http"));
    drop(hub);
    wait("the hub is gone", || !worker.uplink.standing().connected);
    let lost = worker.actions.send("counts", &json!({}));
    assert!(lost.unwrap_err().contains("not connected"));
    worker.add(2);
    let hub = cluster.hub(address);
    wait("it is there again", || hub.shared.nodes.names().len() == 1);
    hub.shared.look(&query(""));
    wait("rows of before come", || cluster.rows.held().end == 2);
    drop(worker);
    wait("the worker is gone", || hub.shared.nodes.names().is_empty());
    assert_eq!(hub.shared.nodes.missing().len(), 1);
    let worker = cluster.worker("a", address);
    wait("a new one came", || hub.shared.nodes.missing().is_empty());
    assert_eq!(
        hub.shared.nodes.json()[0]["gaps"].as_array().unwrap().len(),
        1
    );
    drop(worker);
}

#[test]
fn the_hubs_address_is_left_out_over_a_link_that_breaks_and_not_once_it_is_gone() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    let worker = cluster.worker("a", hub.address);
    let is_left_out = || worker.own.addresses() == [std::net::IpAddr::from(OWN)];
    wait("it is told", is_left_out);
    let number = || {
        let connections = hub.shared.nodes.connections();
        connections.first().map(|(_, connection)| connection.number)
    };
    let first = number();
    hub.shared.nodes.connections()[0].1.kick.notify_one();
    wait("it is connected again", || {
        assert!(is_left_out());
        number().is_some_and(|number| Some(number) != first)
    });
    drop(hub);
    wait("it may be another pod's", || !is_left_out());
}

#[test]
fn names_that_come_faster_than_they_are_followed_let_the_hub_wait() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    let parts = |count: u32| (0..count).map(|part| format!("much {part};").into_bytes());
    hub.names(whole(move || parts(200).collect()));
    let worker = cluster.worker("a", hub.address);
    wait("all came", || worker.heard.has("much 199;"));
    assert!(!worker.said.has("is gone"));
}

/// All names, which `parts` gives.
fn whole(parts: impl Fn() -> Vec<Vec<u8>> + Send + Sync + 'static) -> super::WholeNames {
    Arc::new(move || Whole {
        parts: parts(),
        is_all: true,
    })
}

#[test]
fn a_worker_that_comes_knows_all_names_before_it_knows_what_is_captured() {
    let cluster = Cluster::new();
    let hub = Arc::new(cluster.hub(any()));
    let retargeting = Arc::downgrade(&hub);
    hub.targets(pods(&["first"]));
    hub.names(whole(move || {
        // Targets change while the names are being told.
        let hub = retargeting.upgrade().unwrap();
        hub.targets(pods(&["second"]));
        vec![b"one".to_vec(), b"two".to_vec()]
    }));
    let worker = cluster.worker("a", hub.address);
    wait("the targets came", || worker.heard.has("targets"));
    hub.targets(pods(&["third"]));
    wait("others came", || worker.heard.has("third"));
    let heard = worker.heard.0.lock().unwrap().clone();
    let first = ["names one", "names two", "named"];
    let then = ["targets [\"second\"]", "targets [\"third\"]"];
    assert_eq!(heard, [&first[..], &then[..]].concat());
}

#[test]
fn the_newer_of_two_workers_of_a_node_stays() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    let certificates = cluster.folder.path().join("worker");
    let older = cluster.worker("a", hub.address);
    wait("the older one is let in", || {
        older.uplink.standing().connected
    });
    let newer = cluster.worker_of_run("a", hub.address, &certificates, "", 8);
    wait("the older one is told why it cannot stay", || {
        older
            .said
            .has("a newer worker of the node a is connected from 127.0.0.1")
    });
    let told = || {
        cluster
            .said
            .count("a newer worker of the node a is connected")
    };
    wait("the hub says so", || told() == 1);
    // Neither pushes the other out from then on.
    std::thread::sleep(Duration::from_secs(3));
    assert!(newer.uplink.standing().connected);
    assert!(!newer.said.has("is gone"));
    assert_eq!((older.said.count("Connected with"), told()), (1, 1));
}
