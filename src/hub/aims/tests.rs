//! Both ends of the telling without a connection: what the hub queues, and what workers make of it.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::capture::targets::TargetSet;
use crate::hub::difference::tests::some;
use crate::hub::following::{Following, Heard};
use crate::hub::frame::{Frames, MAX_FRAME};
use crate::hub::link;
use crate::hub::message::{FromHub, Hello, ToWorker};
use crate::time::Timestamp;

/// A worker, and what it has read.
struct Worker {
    name: &'static str,
    takes_differences: bool,
    connection: Connection,
    ends: link::Ends,
    following: Following,
    has: Option<Arc<Targeted>>,
    asks: usize,
    /// Bytes and kinds of the messages.
    bytes: Vec<usize>,
    heard: Vec<&'static str>,
}

impl Worker {
    fn come(aims: &Aims, nodes: &Nodes, name: &'static str, takes_differences: bool) -> Worker {
        let (queues, ends) = link::queues();
        let aim = Aim::new(takes_differences);
        let connection = Connection::new(1, queues, "10.0.0.1:1".parse().unwrap(), aim);
        nodes
            .join(Hello::of(name, 7), connection.clone(), Timestamp::default())
            .unwrap();
        aims.aim(&connection);
        Worker {
            name,
            takes_differences,
            connection,
            ends,
            following: Following::default(),
            has: None,
            asks: 0,
            bytes: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Loses its connection with what waits there, and comes again.
    fn come_again(&mut self, aims: &Aims, nodes: &Nodes) {
        *self = Worker {
            has: self.has.take(),
            ..Worker::come(aims, nodes, self.name, self.takes_differences)
        };
    }

    /// Reads so many messages at most.
    fn read(&mut self, most: usize, now: Instant) {
        for _ in 0..most {
            let Ok(message) = self.ends.urgent.try_recv() else {
                return;
            };
            self.bytes.push(message.len());
            match said(&message) {
                ToWorker::Targets { targets, number } => {
                    self.heard.push("whole");
                    self.has = self.following.whole(number, targets).or(self.has.take());
                }
                ToWorker::Retargeted {
                    base,
                    number,
                    difference,
                } => {
                    assert!(self.takes_differences);
                    self.heard.push("difference");
                    match self.following.difference(base, number, &difference, now) {
                        Heard::Targets(targets) => self.has = Some(targets),
                        Heard::Nothing => {}
                        Heard::Ask => self.asks += 1,
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn said(message: &Bytes) -> ToWorker {
    let mut frames = Frames::new(MAX_FRAME);
    frames.buffer().extend_from_slice(message);
    match crate::hub::message::from_hub(frames.take().unwrap().unwrap()).unwrap() {
        Some(FromHub::Said(said)) => said,
        other => panic!("{other:?}"),
    }
}

fn pod(index: u32, state: &str) -> Json {
    json!({
        "metadata": {
            "name": format!("cart-{index:05}-7d4b9c6f5-x2x7k"), "namespace": "shop",
            "uid": format!("6f0f3c8e-0b5a-4d62-9f07-{index:012}"), "labels": {"app": "cart"},
        },
        "spec": {"nodeName": "worker-1", "containers": [{"name": "app", "image": "cart:1", "ports": [{"containerPort": 80}]}]},
        "status": {"phase": state, "podIP": ip(index), "podIPs": [{"ip": ip(index)}], "hostIP": "192.0.2.11"},
    })
}

fn ip(index: u32) -> IpAddr {
    IpAddr::from((0x0A00_0000 + index).to_be_bytes())
}

/// Targets of the pods numbered so, all inside.
fn pods(numbers: std::ops::Range<u32>) -> Targeted {
    let mut set = TargetSet::default();
    set.ips.extend(numbers.clone().map(ip));
    set.known.extend(numbers.clone().map(ip));
    set.networks.push((ip(0), 8));
    let inside: Vec<Json> = numbers.map(|number| pod(number, "Running")).collect();
    Targeted::new(Some(set), json!({"targets": inside}), None).unwrap()
}

#[derive(Debug, Clone)]
enum Event {
    Set(Box<Targeted>),
    Read(usize, usize),
    Lose(usize),
    CatchUp,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => some().prop_map(|targeted| Event::Set(Box::new(targeted))),
        3 => (0_usize..3, 1_usize..6).prop_map(|(worker, most)| Event::Read(worker, most)),
        1 => (0_usize..3).prop_map(Event::Lose),
        1 => Just(Event::CatchUp),
    ];
    prop::collection::vec(event, 1..60)
}

proptest! {
    #[test]
    fn workers_have_what_the_hub_has_whatever_is_lost_on_the_way(events in events()) {
        let (aims, nodes, now) = (Aims::default(), Nodes::new(None), Instant::now());
        let mut workers = [("a", true), ("b", true), ("old", false)]
            .map(|(name, takes)| Worker::come(&aims, &nodes, name, takes));
        let mut last = None;
        for event in events {
            match event {
                Event::Set(targeted) => {
                    last = Some((*targeted).clone());
                    aims.set(*targeted, &nodes);
                }
                Event::Read(worker, most) => workers[worker].read(most, now),
                Event::Lose(worker) => workers[worker].come_again(&aims, &nodes),
                Event::CatchUp => aims.catch_up(&nodes),
            }
            for worker in &workers {
                prop_assert!(worker.ends.urgent.len() <= 8);
            }
        }
        for worker in &mut workers {
            worker.read(usize::MAX, now);
        }
        aims.catch_up(&nodes);
        for worker in &mut workers {
            worker.read(usize::MAX, now);
            prop_assert_eq!(worker.has.as_deref(), last.as_ref());
            prop_assert_eq!(worker.asks, 0);
        }
        prop_assert!(!aims.inner().is_owed);
    }

    #[test]
    fn whatever_a_hub_says_of_targets_is_taken_or_left(said in prop::collection::vec((0_u64..3, 0_u64..3, some(), some(), 0_u8..4), 0..20)) {
        let (mut following, now) = (Following::default(), Instant::now());
        let mut asked = 0;
        for (base, number, before, after, what) in said {
            let told = serde_json::to_value(&after).unwrap();
            let heard = match what {
                0 => {
                    let heard = following.whole(number, told);
                    prop_assert_eq!(heard.as_deref(), Some(&after));
                    continue;
                }
                1 => {
                    prop_assert_eq!(following.whole(number, json!({"set": {"ips": 7}})), None);
                    continue;
                }
                2 => following.difference(base, number, &told, now),
                _ => {
                    let difference = Difference::between(&before, &after);
                    let difference = serde_json::to_value(difference).unwrap();
                    following.difference(base, number, &difference, now)
                }
            };
            asked += usize::from(heard == Heard::Ask);
        }
        prop_assert!(asked <= 1);
    }
}

#[test]
fn five_new_pods_of_five_thousand_are_told_in_a_few_kilobytes() {
    let (aims, nodes, now) = (Aims::default(), Nodes::new(None), Instant::now());
    let mut new = Worker::come(&aims, &nodes, "new", true);
    let mut old = Worker::come(&aims, &nodes, "old", false);
    for second in 0..20 {
        // Five go, five come.
        aims.set(pods(second * 5..5000 + second * 5), &nodes);
        new.read(9, now);
        old.read(9, now);
        assert_eq!(new.has, old.has);
    }
    let mean = |worker: &Worker| worker.bytes[1..].iter().sum::<usize>() / 19;
    assert_eq!(new.bytes[0], old.bytes[0]);
    assert!(mean(&old) > 1_000_000);
    assert!((1_000..4_000).contains(&mean(&new)), "{}", mean(&new));
}

#[test]
fn a_worker_whose_link_is_behind_is_told_of_all_changes_together() {
    let (aims, nodes, now) = (Aims::default(), Nodes::new(None), Instant::now());
    let mut workers = ["a", "b"].map(|name| Worker::come(&aims, &nodes, name, true));
    let [fast, slow] = &mut workers;
    for second in 0..20 {
        aims.set(pods(second..100 + second), &nodes);
        fast.read(9, now);
    }
    assert_eq!(slow.ends.urgent.len(), 8);
    aims.catch_up(&nodes);
    assert_eq!(slow.ends.urgent.len(), 8);
    slow.read(8, now);
    aims.catch_up(&nodes);
    slow.read(8, now);
    assert_eq!(slow.heard.len(), 9);
    assert_eq!(slow.heard[8], "difference");
    assert_eq!(slow.has, fast.has);
    // One that lacks more than is remembered is told everything, once.
    for second in 20..100 {
        aims.set(pods(second..100 + second), &nodes);
        fast.read(9, now);
    }
    slow.read(8, now);
    aims.catch_up(&nodes);
    slow.read(8, now);
    assert_eq!(slow.heard.len(), 18);
    assert_eq!(slow.heard[17], "whole");
    assert_eq!(slow.has, fast.has);
    assert_eq!(fast.heard.len(), 100);
    assert!(fast.heard[1..].iter().all(|heard| *heard == "difference"));
}

#[test]
fn what_is_of_another_nature_or_no_shorter_is_told_whole_and_what_is_the_same_not_at_all() {
    let (aims, nodes, now) = (Aims::default(), Nodes::new(None), Instant::now());
    let mut worker = Worker::come(&aims, &nodes, "a", true);
    let everything = |bpf: Option<&str>| {
        let pods = json!({"targets": [pod(1, "Running")]});
        Targeted::new(None, pods, bpf.map(str::to_owned)).unwrap()
    };
    let mut heard = |targeted: Targeted| {
        aims.set(targeted.clone(), &nodes);
        worker.read(9, now);
        assert_eq!(worker.has.as_deref(), Some(&targeted));
        std::mem::take(&mut worker.heard)
    };
    assert_eq!(heard(pods(0..10)), ["whole"]);
    assert_eq!(heard(pods(0..10)), [""; 0]);
    assert_eq!(heard(pods(0..11)), ["difference"]);
    assert_eq!(heard(pods(50..60)), ["whole"]);
    assert_eq!(heard(pods(50..61)), ["difference"]);
    assert_eq!(heard(everything(None)), ["whole"]);
    assert_eq!(heard(everything(Some("udp"))), ["whole"]);
    assert_eq!(heard(everything(Some("udp"))), [""; 0]);
}

#[test]
fn a_worker_that_a_difference_does_not_fit_is_told_everything_and_neither_side_asks_hotly() {
    let (aims, nodes, begun) = (Aims::default(), Nodes::new(None), Instant::now());
    let mut worker = Worker::come(&aims, &nodes, "a", true);
    let mut ask = |step: u32, secs: u64| {
        let now = begun + Duration::from_secs(secs);
        aims.set(pods(0..100 + step), &nodes);
        // It begins anew without the hub's knowledge.
        worker.following.forget();
        worker.read(9, now);
        let asked = std::mem::take(&mut worker.asks);
        // It asks more often than it would.
        aims.asked(&worker.connection, now);
        aims.asked(&worker.connection, now);
        let before = worker.heard.len();
        aims.catch_up(&nodes);
        worker.read(9, now);
        (asked, worker.heard[before..].to_vec())
    };
    ask(0, 0);
    assert_eq!(ask(1, 6), (1, vec!["whole"]));
    assert_eq!(ask(2, 7), (0, vec![]));
    assert_eq!(ask(3, 12), (0, vec!["whole"]));
    assert_eq!(ask(4, 17), (1, vec!["whole"]));
    assert_eq!(ask(5, 18), (0, vec![]));
    let has = worker.has.as_deref().unwrap();
    assert_eq!(has, &pods(0..104));
}

#[test]
fn a_message_is_made_once_for_all_workers() {
    let (aims, nodes) = (Aims::default(), Nodes::new(None));
    let mut workers = ["a", "b"].map(|name| Worker::come(&aims, &nodes, name, true));
    for step in 0..3 {
        aims.set(pods(0..100 + step), &nodes);
        let [a, b] = workers
            .each_mut()
            .map(|worker| worker.ends.urgent.try_recv().unwrap());
        assert_eq!(a.as_ptr(), b.as_ptr());
    }
}

#[test]
fn nothing_is_told_before_the_names_are_nor_while_nobody_says_any() {
    let (aims, nodes, now) = (Aims::default(), Nodes::new(None), Instant::now());
    let mut worker = Worker::come(&aims, &nodes, "a", true);
    worker.read(9, now);
    assert_eq!(worker.heard, [""; 0]);
    let (queues, mut ends) = link::queues();
    let address = "10.0.0.1:1".parse().unwrap();
    let comes = Connection::new(2, queues, address, Aim::new(true));
    nodes
        .join(Hello::of("b", 7), comes.clone(), Timestamp::default())
        .unwrap();
    for step in 0..3 {
        aims.set(pods(0..10 + step), &nodes);
        aims.catch_up(&nodes);
        assert!(ends.urgent.try_recv().is_err());
    }
    aims.aim(&comes);
    let ToWorker::Targets { number, .. } = said(&ends.urgent.try_recv().unwrap()) else {
        panic!("it is told all first");
    };
    assert_eq!(number, 3);
    assert!(ends.urgent.try_recv().is_err());
}
