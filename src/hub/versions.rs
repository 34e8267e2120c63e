//! Workers and hubs whose versions differ: by one step they work together, by more one is told so.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::frame::{self, Frame, Frames, MAX_FRAME};
use super::message::{self, FromHub, FromWorker, PROTOCOL, ToHub, ToWorker};
use super::tests::{Cluster, any, pods, wait};
use super::{link, tls};

/// A kind of message that is not known yet.
const TOMORROW: u8 = 77;

/// A message with what a later version may have in it.
fn said(message: &Json) -> bytes::Bytes {
    message::said(message).unwrap()
}

fn hello(protocol: u32) -> Json {
    json!({
        "kind": "hello", "protocol": protocol, "version": "9.0.0", "node": "other", "ip": "10.0.0.9",
        "worker": "10.0.0.9:8897", "run": 7, "mood": {"of": "tomorrow"},
    })
}

/// A worker that says what it is told to.
struct Worker {
    stream: client::TlsStream<TcpStream>,
    frames: Frames,
}

impl Worker {
    async fn connect(cluster: &Cluster, hub: SocketAddr) -> Worker {
        let folder = tls::Folder(cluster.folder.path().join("worker"));
        let socket = TcpStream::connect(hub).await.unwrap();
        let connector = TlsConnector::from(folder.client().unwrap());
        let stream = connector.connect(tls::hub_name(), socket).await.unwrap();
        let frames = Frames::new(MAX_FRAME);
        Worker { stream, frames }
    }

    async fn say(&mut self, message: &[u8]) {
        self.stream.write_all(message).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn hears(&mut self) -> FromHub {
        let frame = next(&mut self.stream, &mut self.frames).await;
        message::from_hub(frame).unwrap().unwrap()
    }
}

/// What is told of targets.
async fn targets(worker: &mut Worker) -> ToWorker {
    loop {
        match worker.hears().await {
            FromHub::Said(told @ (ToWorker::Targets { .. } | ToWorker::Retargeted { .. })) => {
                return told;
            }
            FromHub::Said(ToWorker::Beat | ToWorker::Welcome { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn next(stream: &mut (impl tokio::io::AsyncRead + Unpin), frames: &mut Frames) -> Frame {
    link::first(stream, frames).await.unwrap()
}

/// What a worker of this protocol is answered; one that may stay says things of tomorrow, and is still
/// there afterwards.
fn meet(protocol: u32) -> FromHub {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    cluster.runtime.block_on(async {
        let mut worker = Worker::connect(&cluster, hub.address).await;
        worker.say(&said(&hello(protocol))).await;
        let answer = worker.hears().await;
        if let FromHub::Said(ToWorker::Welcome { .. }) = &answer {
            worker
                .say(&said(&json!({"kind": "tomorrow", "a": 1})))
                .await;
            let unknown = frame::encode(TOMORROW, &[b"bytes of tomorrow"]).unwrap();
            worker.say(&unknown).await;
            let state = json!({"kind": "state", "run": {"recordings": []}, "weather": "fine"});
            worker.say(&said(&state)).await;
            worker
                .say(&said(
                    &json!({"kind": "answer", "call": 99, "result": {"Ok": 1}}),
                ))
                .await;
            let said_by = |name: &str| {
                let nodes = hub.shared.nodes.json();
                nodes[0]["connected"] == true && nodes[0]["name"] == name
            };
            let late = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
            while hub.shared.nodes.states().is_empty() {
                assert!(tokio::time::Instant::now() < late, "its state did not come");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            assert!(said_by("other"));
        }
        answer
    })
}

#[test]
fn a_worker_of_the_next_or_the_previous_version_works_as_the_older_does() {
    for (theirs, spoken) in [(PROTOCOL + 1, PROTOCOL), (PROTOCOL - 1, PROTOCOL - 1)] {
        match meet(theirs) {
            FromHub::Said(ToWorker::Welcome { protocol, .. }) => assert_eq!(protocol, spoken),
            other => panic!("{theirs}: {other:?}"),
        }
    }
}

#[test]
fn a_worker_two_versions_ahead_is_told_so() {
    match meet(PROTOCOL + 2) {
        FromHub::Said(ToWorker::Refused { sentence }) => {
            let wanted = format!("protocol {PROTOCOL} and this worker {}", PROTOCOL + 2);
            assert!(sentence.contains(&wanted), "{sentence}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_older_worker_is_told_all_targets_and_a_newer_one_what_changed() {
    let cluster = Cluster::new();
    let hub = cluster.hub(any());
    let many: Vec<String> = (0..20).map(|number| format!("cart-{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    hub.targets(pods(&many));
    cluster.runtime.block_on(async {
        for takes_differences in [None, Some(false), Some(true)] {
            hub.targets(pods(&many));
            let mut worker = Worker::connect(&cluster, hub.address).await;
            let mut hello = hello(PROTOCOL);
            if let Some(takes) = takes_differences {
                hello["takesDifferences"] = takes.into();
            }
            worker.say(&said(&hello)).await;
            let whole = |told: ToWorker| match told {
                ToWorker::Targets { targets, number } => {
                    let pods = targets["pods"]["targets"].as_array().unwrap().len();
                    (pods, number)
                }
                other => panic!("{other:?}"),
            };
            let (pods_told, first) = whole(targets(&mut worker).await);
            assert_eq!(pods_told, 20);
            hub.targets(pods(&many[1..]));
            let told = targets(&mut worker).await;
            if takes_differences != Some(true) {
                assert_eq!(whole(told), (19, first + 1));
                continue;
            }
            let gone = json!({"targets": {"gone": [["shop", "cart-0"]]}});
            assert_eq!(
                told,
                ToWorker::Retargeted {
                    base: first,
                    number: first + 1,
                    difference: gone,
                }
            );
            // It is told all again where that did not fit.
            worker.say(&said(&json!({"kind": "astray"}))).await;
            assert_eq!(whole(targets(&mut worker).await), (19, first + 1));
        }
    });
}

/// A hub that says what it is told to, once.
async fn hub_of_tomorrow(
    cluster: &Cluster,
    listener: &TcpListener,
) -> (server::TlsStream<TcpStream>, Frames) {
    let folder = tls::Folder(cluster.folder.path().join("hub"));
    let accepting = tls::Accepting::new(folder).unwrap();
    let acceptor = TlsAcceptor::from(accepting.now());
    let (socket, _) = listener.accept().await.unwrap();
    let mut stream = acceptor.accept(socket).await.unwrap();
    let mut frames = Frames::new(MAX_FRAME);
    let first = next(&mut stream, &mut frames).await;
    let Some(FromWorker::Said(ToHub::Hello(hello))) = message::from_worker(first).unwrap() else {
        panic!("it does not say who it is");
    };
    assert_eq!(hello.protocol, PROTOCOL);
    (stream, frames)
}

#[test]
fn a_worker_follows_a_hub_of_the_next_version_and_leaves_out_what_it_does_not_know() {
    let cluster = Cluster::new();
    let listener = cluster.runtime.block_on(TcpListener::bind(any())).unwrap();
    let worker = cluster.worker("a", listener.local_addr().unwrap());
    let refusal = cluster.runtime.block_on(async {
        let (mut stream, mut frames) = hub_of_tomorrow(&cluster, &listener).await;
        let unknown = frame::encode(TOMORROW, &[b"bytes of tomorrow"]).unwrap();
        for message in [
            said(&json!({
                "kind": "welcome", "protocol": PROTOCOL, "version": "9.0.0", "hub": 5, "received": 0,
                "lines": 0, "own": [], "weather": "fine",
            })),
            said(&json!({"kind": "tomorrow"})),
            unknown,
            said(&json!({"kind": "spread", "recordingKfl": "dns", "weather": "fine"})),
            said(&json!({"kind": "call", "call": 4, "ask": {"what": "dance", "steps": 3}})),
        ] {
            stream.write_all(&message).await.unwrap();
        }
        stream.flush().await.unwrap();
        loop {
            let frame = next(&mut stream, &mut frames).await;
            if let Some(FromWorker::Said(ToHub::Answer { call: 4, result })) =
                message::from_worker(frame).unwrap()
            {
                break result;
            }
        }
    });
    assert!(refusal.unwrap_err().contains("older than the hub"));
    wait("it follows", || worker.heard.has("spread Some(\"dns\")"));
    assert_eq!(worker.uplink.feed().skipped, 0);
}

#[test]
fn a_worker_follows_an_older_hub_that_tells_whole_lists_and_asks_one_whose_differences_do_not_fit()
{
    let cluster = Cluster::new();
    let listener = cluster.runtime.block_on(TcpListener::bind(any())).unwrap();
    let worker = cluster.worker("a", listener.local_addr().unwrap());
    let pod = |name: &str| json!({"metadata": {"name": name, "namespace": "shop"}});
    let list = |names: &[&str]| -> Json { names.iter().map(|name| pod(name)).collect() };
    let targets = |names: &[&str]| {
        let pods = json!({"targets": list(names), "excluded": []});
        json!({"kind": "targets", "targets": {"set": null, "pods": pods, "bpf": null}})
    };
    let retargeted = |base: u64, name: &str| {
        let difference = json!({"targets": {"come": [pod(name)]}});
        json!({"kind": "retargeted", "base": base, "number": base + 1, "difference": difference})
    };
    let numbered = |number: u64, names: &[&str]| {
        let mut told = targets(names);
        told["number"] = number.into();
        told
    };
    cluster.runtime.block_on(async {
        let (mut stream, mut frames) = hub_of_tomorrow(&cluster, &listener).await;
        for message in [
            json!({
                "kind": "welcome", "protocol": PROTOCOL, "version": "0.1.0", "hub": 5, "received": 0,
                "lines": 0, "own": [],
            }),
            targets(&["one"]),
            targets(&["two"]),
            numbered(7, &["three"]),
            retargeted(7, "four"),
            retargeted(9, "lost"),
            retargeted(10, "lost"),
        ] {
            stream.write_all(&said(&message)).await.unwrap();
        }
        stream.flush().await.unwrap();
        loop {
            let frame = next(&mut stream, &mut frames).await;
            if let Some(FromWorker::Said(ToHub::Astray)) = message::from_worker(frame).unwrap() {
                break;
            }
        }
        let whole = numbered(11, &["five"]);
        stream.write_all(&said(&whole)).await.unwrap();
        stream.write_all(&said(&retargeted(11, "six"))).await.unwrap();
        stream.flush().await.unwrap();
        let heard = worker.heard.clone();
        let told = tokio::task::spawn_blocking(move || {
            wait("it goes on", || heard.has("six"));
            heard.all("targets")
        });
        let expected = [
            r#"targets ["one"]"#,
            r#"targets ["two"]"#,
            r#"targets ["three"]"#,
            r#"targets ["four", "three"]"#,
            r#"targets ["five"]"#,
            r#"targets ["five", "six"]"#,
        ];
        assert_eq!(told.await.unwrap(), expected);
    });
}
