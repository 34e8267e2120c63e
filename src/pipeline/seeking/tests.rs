//! What a happening makes recordings take, on a spool of made traffic.

use std::path::Path;
use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::cluster::What;
use crate::flow::{Limits, Table as Flows};
use crate::kfl::{self, Schema};
use crate::packet::headers::{Decoder, Found};
use crate::packet::{Batch, Decoded, Packet};
use crate::pipeline::Basis;
use crate::record::manifest::{Kind, Manifest};
use crate::record::{MANIFEST, Options, Outbox, PREFIX, Recorder, Wish, outbox};
use crate::resolve::{Address, Change, LiveHistory, Name, Update};
use crate::store::conformance::{keys, read};
use crate::store::memory::MemoryStore;
use crate::synth::{self, Frame};
use crate::time::SetClock;

const START: Timestamp = Timestamp::from_secs(1_700_000_000, 0);
const POD: [u8; 4] = [10, 244, 1, 7];
const SIBLING: [u8; 4] = [10, 244, 1, 8];
const DATABASE: [u8; 4] = [10, 244, 1, 20];
const OTHER: [u8; 4] = [10, 244, 1, 30];
const NODE: [u8; 4] = [192, 0, 2, 11];

/// A call from one address to another at a second.
fn call(from: [u8; 4], port: u16, to: [u8; 4], second: u64) -> Vec<Frame> {
    synth::tcp((from, port), (to, 80))
        .at(START + Duration::from_secs(second))
        .to_server("GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .to_client("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .fin()
}

struct World {
    seeker: Seeker,
    spool: spool::Writer,
    store: Arc<MemoryStore>,
    outbox: Arc<Outbox>,
    clock: Arc<SetClock>,
    flows: Flows,
    decoder: Decoder,
    next: u64,
    said: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new(dir: &Path, declared: &serde_json::Value) -> World {
        World::life(dir, declared, 17, Arc::new(MemoryStore::new()))
    }

    /// A run on a folder that others had before.
    fn life(dir: &Path, declared: &serde_json::Value, run: u64, store: Arc<MemoryStore>) -> World {
        let clock = Arc::new(SetClock::at(START));
        let (spool, reader) =
            spool::Writer::open(spool::Options::new(dir.join("spool"), run)).unwrap();
        let kept = store.clone();
        let outbox = Outbox::start(
            outbox::Options::new(dir.join("outbox"), 1 << 30),
            clock.clone(),
            Arc::new(move |_| Ok(kept.clone())),
        )
        .unwrap();
        let options = Options::new(dir.join("record"), run, "node-a", "test");
        let recorder =
            Recorder::open(options, Some(reader.clone()), clock.clone(), outbox.clone()).unwrap();
        let schema = Arc::new(Schema::empty());
        let everything = kfl::compile("true", &schema).unwrap();
        let basis = Basis::new(Wish::new("template", everything, "memory"), schema);
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let sentences = said.clone();
        let say = move |sentence: &str| sentences.lock().unwrap().push(sentence.to_owned());
        let desk = Desk::on(recorder, basis, Box::new(say));
        desk.configure_list(&json!([declared])).unwrap();
        let history = Arc::new(LiveHistory::new());
        let named = Update {
            address: Address::Ip(POD.into()),
            changes: vec![Change {
                from: 0,
                name: Some(Name::plain("cart-1", "shop")),
            }],
        };
        history.apply(&[named], START);
        let options = SeekingOptions {
            desk: Arc::new(desk),
            reader,
            names: Names::live(history),
            node: Some("worker-1".to_owned()),
            heard: Some(dir.join("happenings.json")),
            clock: clock.clone(),
        };
        World {
            seeker: Seeker::new(options),
            spool,
            store,
            outbox,
            clock,
            flows: Flows::new(Limits::default()),
            decoder: Decoder::new(),
            next: 0,
            said,
        }
    }

    /// Packets come, and it is a second later than the last of them.
    fn traffic(&mut self, frames: &[Frame]) {
        let (bytes, records) = synth::records(frames);
        let mut batch = Batch {
            bytes: bytes.into(),
            ..Batch::default()
        };
        let mut found = Found::default();
        for record in records {
            let start = record.start as usize;
            let bytes = batch.bytes.slice(start..start + record.caplen as usize);
            let ordinal = self.next;
            self.next += 1;
            let decoded = self.decoder.decode(ordinal, &record, &bytes, &mut found);
            let Decoded::Flow(layers) = decoded else {
                panic!()
            };
            let assigned = self.flows.assign(ordinal, record.ts, &layers);
            batch.packets.push(Packet {
                ordinal,
                record,
                decoded,
                stream: Some((assigned.info.name.stream, assigned.direction)),
            });
            self.clock.advance(record.ts + Duration::from_secs(1));
        }
        batch.now = self.clock.now();
        self.spool.append(&mut batch).unwrap();
        self.seeker.options.desk.step_for_tests(batch);
    }

    fn at(&mut self, second: u64) {
        self.clock.advance(START + Duration::from_secs(second));
        self.seeker.look();
    }

    /// All manifests, after everything was sealed.
    fn manifests(self) -> Vec<Manifest> {
        self.seeker.options.desk.finish();
        let sent = self.outbox.drain(Duration::from_secs(20));
        assert_eq!(sent.waiting, 0, "{sent:?}");
        let found = keys(&*self.store, PREFIX).into_iter();
        let manifests = found.filter(|key| key.ends_with(MANIFEST));
        manifests
            .map(|key| Manifest::parse(&read(&*self.store, &key, None)).unwrap())
            .collect()
    }

    fn reels(self) -> Vec<Manifest> {
        let mut all = self.manifests();
        all.retain(|manifest| manifest.kind == Kind::Reel);
        all.sort_by_key(|manifest| (manifest.run, manifest.sequence));
        all
    }
}

fn happening(what: What, second: i64) -> Happening {
    let ends = |ips: &[[u8; 4]]| Ends {
        ips: ips.iter().map(|ip| IpAddr::from(*ip)).collect(),
        ports: Vec::new(),
    };
    Happening {
        what,
        at_nanos: (START.secs() + second) * 1_000_000_000,
        since_nanos: None,
        uid: "cart-1".to_owned(),
        namespace: "shop".to_owned(),
        name: "cart-1".to_owned(),
        node: "worker-1".to_owned(),
        container: "app".to_owned(),
        owner: "Deployment/cart".to_owned(),
        message: String::new(),
        pod: ends(&[POD]),
        all: ends(&[POD, SIBLING]),
        shared: vec![NODE.into()],
    }
}

/// A minute of calls of the pod, its sibling, its database and others.
fn minute() -> Vec<Frame> {
    let mut frames = Vec::new();
    frames.extend(call(OTHER, 1000, POD, 5));
    frames.extend(call(POD, 1001, DATABASE, 40));
    frames.extend(call(OTHER, 1002, SIBLING, 41));
    frames.extend(call(OTHER, 1003, DATABASE, 42));
    frames.extend(call(NODE, 1004, POD, 43));
    frames.extend(call(NODE, 1005, [10, 244, 1, 99], 44));
    frames.extend(call(OTHER, 1006, POD, 50));
    frames
}

fn taken(scope: &str) -> (u64, Vec<Manifest>) {
    let dir = tempfile::tempdir().unwrap();
    let declared = json!({"name": "crashes", "on": ["OOMKilled"], "before": "30s", "after": "20s", "scope": scope});
    let mut world = World::new(dir.path(), &declared);
    world.traffic(&minute());
    world.seeker.begin(&happening(What::OomKilled, 60));
    world.at(60);
    world.traffic(&call(OTHER, 1007, POD, 65));
    world.at(66);
    // After its time nothing is taken any more.
    world.traffic(&call(OTHER, 1008, POD, 85));
    world.at(90);
    assert!(world.seeker.going.is_empty() && world.seeker.table.streams.is_empty());
    let reels = world.reels();
    (reels.iter().map(|reel| reel.counts.streams).sum(), reels)
}

#[test]
fn the_streams_of_the_pod_around_the_moment_are_taken_and_the_event_stands_in_the_manifest() {
    // To the database, from the node, from others: before and after, not the one of second 5.
    let (streams, reels) = taken("pod");
    assert_eq!(streams, 4);
    let [event] = reels[0].events.as_slice() else {
        panic!("{reels:?}")
    };
    assert_eq!(
        (event.what.as_str(), event.name.as_str()),
        ("OOMKilled", "cart-1")
    );
    assert_eq!(
        (event.owner.as_str(), event.scope.as_str()),
        ("Deployment/cart", "pod")
    );
    assert_eq!(event.at, "2023-11-14T22:14:20.000000000Z");
    assert_eq!(event.from, "2023-11-14T22:13:50.000000000Z");
    assert_eq!(reels.last().unwrap().why, "event");
    assert!(reels.iter().all(|reel| reel.events.len() == 1));
    // The names of the time are in the reel, though no item came after the take.
    assert!(reels[0].parts.iter().any(|part| part.role == "names"));
}

#[test]
fn a_wider_scope_takes_the_owners_pods_or_the_peers() {
    // Beside those: the call to the sibling.
    assert_eq!(taken("owner").0, 5);
    // Beside those of the pod: others to the database, to the sibling; nothing else of the node.
    assert_eq!(taken("peers").0, 6);
}

#[test]
fn what_is_not_waited_for_or_elsewhere_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let declared = json!({"name": "crashes", "on": ["rollout"]});
    let mut world = World::new(dir.path(), &declared);
    world.traffic(&minute());
    world.seeker.begin(&happening(What::OomKilled, 60));
    assert!(world.seeker.going.is_empty());
    let mut elsewhere = happening(What::Rollout, 60);
    elsewhere.node = "worker-2".to_owned();
    world.seeker.begin(&elsewhere);
    assert!(world.seeker.going.is_empty());
    assert_eq!(world.reels(), []);
}

/// The hub was away: what happened is told ten minutes later, and the spool still has the window.
#[test]
fn what_is_heard_of_late_is_taken_from_the_spool_once() {
    let dir = tempfile::tempdir().unwrap();
    let declared = json!({"name": "crashes", "on": ["OOMKilled", "podDeleted"], "before": "30s", "after": "20s"});
    let mut world = World::new(dir.path(), &declared);
    world.traffic(&minute());
    world.traffic(&call(OTHER, 1007, POD, 65));
    world.traffic(&call(OTHER, 1008, POD, 600));
    world.seeker.begin(&happening(What::OomKilled, 60));
    world.at(600);
    assert!(world.seeker.going.is_empty(), "it is over already");
    let now = world.clock.now();
    world.seeker.heard.keep(now);
    // Told once more, by this hub or the next one, to this run or the next one.
    world.seeker.begin(&happening(What::OomKilled, 60));
    world.seeker.heard = Heard::read(dir.path().join("happenings.json"));
    world.seeker.begin(&happening(What::OomKilled, 60));
    assert!(world.seeker.going.is_empty());
    let reels = world.reels();
    let streams: u64 = reels.iter().map(|reel| reel.counts.streams).sum();
    assert_eq!(streams, 4);
    assert_eq!(reels[0].events.len(), 1);
}

/// Run and streams of each reel.
fn held(reels: &[Manifest]) -> Vec<(u64, u64)> {
    reels
        .iter()
        .map(|reel| (reel.run, reel.counts.streams))
        .collect()
}

/// A recording that waits for crashes, its store, and a run with a minute of traffic before any.
fn a_minute_before(dir: &Path) -> (serde_json::Value, Arc<MemoryStore>, World) {
    let declared = json!({"name": "crashes", "on": ["OOMKilled"], "before": "30s", "after": "20s"});
    let store = Arc::new(MemoryStore::new());
    let mut first = World::life(dir, &declared, 17, store.clone());
    first.traffic(&minute());
    (declared, store, first)
}

#[test]
fn what_an_earlier_run_left_in_the_spool_is_taken_too_and_each_stream_once() {
    let dir = tempfile::tempdir().unwrap();
    let (declared, store, first) = a_minute_before(dir.path());
    assert_eq!(first.reels(), []);

    // The worker is started anew, and then the pod dies. Its streams have the same numbers now.
    let mut second = World::life(dir.path(), &declared, 18, store.clone());
    second.traffic(&call(OTHER, 1007, POD, 62));
    second.traffic(&call(OTHER, 1008, SIBLING, 63));
    second.seeker.begin(&happening(What::OomKilled, 60));
    second.at(66);
    second.traffic(&call(OTHER, 1009, POD, 70));
    second.at(90);
    let reels = second.reels();
    // Of seconds 40, 43 and 50, and of 62 and 70.
    assert_eq!(held(&reels), [(17, 3), (18, 2)]);
    assert!(
        reels
            .iter()
            .all(|reel| reel.events.len() == 1 && reel.why == "event")
    );
    assert_eq!(
        reels[0].from.as_deref(),
        Some("2023-11-14T22:14:00.000000000Z")
    );
    // What this run lost is not told of that one.
    assert!(reels[0].coverage.is_empty());
    let is_late = |one: &String| one.contains("after the run had ended");
    assert!(
        reels[0].remarks.iter().any(is_late),
        "{:?}",
        reels[0].remarks
    );
    assert!(reels[0].parts.iter().any(|part| part.role == "names"));

    // Something else about the pod in that time: only what no reel has.
    let mut third = World::life(dir.path(), &declared, 19, store);
    third.clock.advance(START + Duration::from_secs(100));
    third.seeker.begin(&happening(What::OomKilled, 34));
    third.at(101);
    assert!(third.seeker.going.is_empty());
    let manifests = third.manifests();
    let reels = manifests.iter().filter(|one| one.kind == Kind::Reel);
    let mut held: Vec<_> = reels.map(|one| (one.run, one.counts.streams)).collect();
    held.sort_unstable();
    // That of second 5 of the first run is new.
    assert_eq!(held, [(17, 1), (17, 3), (18, 2)]);
}

#[test]
fn what_a_killed_run_began_to_take_the_next_one_takes_to_the_end_and_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (declared, store, mut first) = a_minute_before(dir.path());
    first.seeker.begin(&happening(What::OomKilled, 60));
    first.at(60);
    first.seeker.heard.keep(first.clock.now());
    // Nothing was sealed, and which streams were taken was not noted.
    first.outbox.stop();
    first.outbox.wait_until_still();
    drop(first);
    let mut second = World::life(dir.path(), &declared, 18, store);
    second.traffic(&call(OTHER, 1007, POD, 65));
    second.seeker.begin(&happening(What::OomKilled, 60));
    second.at(90);
    assert!(second.seeker.going.is_empty());
    let manifests = second.manifests();
    let reels: Vec<_> = manifests
        .iter()
        .filter(|one| one.kind == Kind::Reel)
        .cloned()
        .collect();
    let mut of_runs = held(&reels);
    of_runs.sort_unstable();
    assert_eq!(of_runs, [(17, 3), (18, 1)]);
    assert!(
        reels
            .iter()
            .any(|reel| reel.run == 17 && reel.why == "restart")
    );
    assert!(reels.iter().all(|reel| reel.events.len() == 1));
}

#[test]
fn what_was_sealed_before_the_look_was_over_is_not_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let (declared, store, first) = a_minute_before(dir.path());
    assert_eq!(first.reels(), []);
    // Asked to end meanwhile, it seals what it took, and is gone.
    let mut second = World::life(dir.path(), &declared, 18, store.clone());
    second.traffic(&call(OTHER, 1007, POD, 62));
    second.seeker.begin(&happening(What::OomKilled, 60));
    second.at(66);
    assert_eq!(held(&second.reels()), [(17, 3), (18, 1)]);
    // The next one is told of it once more.
    let mut third = World::life(dir.path(), &declared, 19, store);
    third.clock.advance(START + Duration::from_secs(100));
    third.seeker.begin(&happening(What::OomKilled, 60));
    third.at(101);
    assert!(third.seeker.going.is_empty());
    assert_eq!(held(&third.reels()), [(17, 3), (18, 1)]);
}

#[test]
fn what_the_spool_lost_of_an_earlier_run_stands_in_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let (declared, store, first) = a_minute_before(dir.path());
    assert_eq!(first.reels(), []);
    let mut second = World::life(dir.path(), &declared, 18, store);
    // The ring overwrites what is being read: the end of the last stream.
    let files = std::fs::read_dir(dir.path().join("spool/run-0000000017")).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    let packets = paths.find(|path| path.extension().is_some_and(|kind| kind == "pcap"));
    let packets = std::fs::OpenOptions::new()
        .write(true)
        .open(packets.unwrap())
        .unwrap();
    packets
        .set_len(packets.metadata().unwrap().len() - 100)
        .unwrap();
    second.clock.advance(START + Duration::from_secs(62));
    second.seeker.begin(&happening(What::OomKilled, 60));
    second.at(66);
    second.at(90);
    let reels = second.reels();
    assert_eq!(held(&reels), [(17, 3)]);
    let missed = &reels[0].coverage["look_back_overwritten"].packets;
    let all = 3 * call(OTHER, 1006, POD, 50).len() as u64;
    assert!(
        *missed > 0 && reels[0].counts.packets + missed == all,
        "{reels:?}"
    );
    // It is that run's loss alone.
    assert_eq!(reels[0].coverage.len(), 1);
}

/// A connection of which the first event has one call and the second one another: with the same run at
/// both, or with the next one at the second.
#[test]
fn a_stream_that_went_on_after_an_event_goes_on_in_the_reel_of_the_next_one() {
    for is_restarted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let declared =
            json!({"name": "crashes", "on": ["OOMKilled"], "before": "30s", "after": "20s"});
        let store = Arc::new(MemoryStore::new());
        let frames = synth::tcp((OTHER, 1000), (POD, 80))
            .at(START + Duration::from_secs(50))
            .to_server("GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
            .to_client("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .wait(Duration::from_secs(50))
            .to_server("GET /b HTTP/1.1\r\nhost: a\r\n\r\n")
            .to_client("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .fin();
        let is_later = |frame: &Frame| frame.ts > START + Duration::from_secs(90);
        let (early, late) = frames.split_at(frames.iter().position(is_later).unwrap());
        let mut world = World::life(dir.path(), &declared, 17, store.clone());
        world.traffic(early);
        world.seeker.begin(&happening(What::OomKilled, 60));
        world.at(60);
        world.at(90);
        assert!(world.seeker.going.is_empty());
        world.traffic(late);
        if is_restarted {
            assert_eq!(held(&world.reels()), [(17, 1)]);
            world = World::life(dir.path(), &declared, 18, store);
        }
        world.clock.advance(START + Duration::from_secs(102));
        world.seeker.begin(&happening(What::OomKilled, 102));
        world.at(103);
        world.at(130);
        let reels = world.reels();
        let packets: Vec<u64> = reels.iter().map(|reel| reel.counts.packets).collect();
        assert_eq!(packets, [early.len() as u64, late.len() as u64]);
        assert!(reels.iter().all(|reel| reel.events.len() == 1));
        let (streams, continued) = (reels[1].counts.streams, reels[1].counts.continued);
        assert_eq!((reels[1].run, streams, continued), (17, 1, 1));
    }
}

#[test]
fn an_event_of_which_earlier_reels_have_all_stands_in_a_manifest_too() {
    let dir = tempfile::tempdir().unwrap();
    let declared = json!({"name": "crashes", "on": ["OOMKilled"], "before": "30s", "after": 0});
    let mut world = World::new(dir.path(), &declared);
    world.traffic(&minute());
    for second in [60_u32, 65] {
        world
            .seeker
            .begin(&happening(What::OomKilled, second.into()));
        world.at(second.into());
        world.at(u64::from(second) + 2);
    }
    let mut manifests = world.manifests();
    manifests.retain(|manifest| !manifest.events.is_empty());
    let told: Vec<_> = manifests
        .iter()
        .map(|manifest| (manifest.kind, manifest.events[0].at.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Kind::Reel, "2023-11-14T22:14:20.000000000Z"),
            (Kind::Heartbeat, "2023-11-14T22:14:25.000000000Z")
        ]
    );
}

#[test]
fn peers_are_looked_for_in_all_runs() {
    let dir = tempfile::tempdir().unwrap();
    let declared = json!({"name": "crashes", "on": ["OOMKilled"], "before": "30s", "after": "20s", "scope": "peers"});
    let store = Arc::new(MemoryStore::new());
    let mut first = World::life(dir.path(), &declared, 17, store.clone());
    // The database is no peer yet.
    first.traffic(&call(OTHER, 1001, DATABASE, 40));
    assert_eq!(first.reels(), []);
    let mut second = World::life(dir.path(), &declared, 18, store);
    second.seeker.begin(&happening(What::OomKilled, 60));
    second.at(60);
    second.traffic(&call(POD, 1002, DATABASE, 65));
    second.at(66);
    second.at(90);
    assert_eq!(held(&second.reels()), [(17, 1), (18, 1)]);
}

#[test]
fn a_pod_that_went_at_an_unknown_moment_is_looked_for_since_it_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let declared = json!({"name": "gone", "on": "podDeleted", "before": "10s", "after": 0});
    let mut world = World::new(dir.path(), &declared);
    world.traffic(&minute());
    let gone = Happening {
        since_nanos: Some((START.secs() + 48) * 1_000_000_000),
        ..happening(What::PodDeleted, 300)
    };
    world.seeker.begin(&gone);
    world.at(302);
    // Seconds 40 and later, not that of second 5.
    let reels = world.reels();
    assert_eq!(reels.iter().map(|reel| reel.counts.streams).sum::<u64>(), 3);
    assert_eq!(reels[0].events[0].from, "2023-11-14T22:13:58.000000000Z");
    assert_eq!(reels[0].events[0].at, "2023-11-14T22:18:20.000000000Z");
}

#[test]
fn what_the_spool_has_nothing_of_is_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let declared = json!({"name": "crashes", "on": ["OOMKilled", "podRestart"], "before": "30s", "after": "20s"});
    let mut world = World::new(dir.path(), &declared);
    world.traffic(&call(OTHER, 1000, POD, 600));
    world.seeker.begin(&happening(What::OomKilled, 60));
    world.seeker.begin(&happening(What::PodRestart, 61));
    world.seeker.say_late();
    world.seeker.say_late();
    assert!(world.seeker.going.is_empty());
    let said = world.said.lock().unwrap().clone();
    let late = said.iter().filter(|one| one.contains("heard of too late"));
    assert_eq!(
        late.collect::<Vec<_>>(),
        [
            "the recording crashes has nothing of OOMKilled of shop/cart-1 and 1 more, heard of too late: \
          no packet of then is in the spool"
        ]
    );
}

#[test]
fn two_of_the_same_pod_go_on_together() {
    let dir = tempfile::tempdir().unwrap();
    let declared = json!({"name": "crashes", "on": ["OOMKilled", "podRestart"], "before": "30s", "after": "20s"});
    let mut world = World::new(dir.path(), &declared);
    world.traffic(&minute());
    world.seeker.begin(&happening(What::OomKilled, 60));
    world.at(60);
    world.seeker.begin(&happening(What::PodRestart, 62));
    world.at(62);
    assert_eq!(world.seeker.going.len(), 1);
    world.at(81);
    assert_eq!(
        world.seeker.going.len(),
        1,
        "it goes on until the second is over"
    );
    world.at(84);
    assert!(world.seeker.going.is_empty());
    let reels = world.reels();
    let what: Vec<&str> = reels[0]
        .events
        .iter()
        .map(|event| event.what.as_str())
        .collect();
    assert_eq!(what, ["OOMKilled", "podRestart"]);
}

#[test]
fn a_happening_without_traffic_stands_in_a_manifest_without_packets() {
    let dir = tempfile::tempdir().unwrap();
    let declared = json!({"name": "crashes", "on": "OOMKilled", "after": 0});
    let mut world = World::new(dir.path(), &declared);
    world.seeker.begin(&happening(What::OomKilled, 60));
    world.at(60);
    world.at(62);
    let manifests = world.manifests();
    assert!(
        manifests
            .iter()
            .all(|manifest| manifest.kind == Kind::Heartbeat)
    );
    let told: Vec<_> = manifests
        .iter()
        .filter(|manifest| manifest.why == "event")
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].events[0].name, "cart-1");
}

#[test]
fn more_than_can_wait_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), &json!({"name": "a", "on": "rollout"}));
    let (send, held) = bounded(1);
    let seeking = Seeking {
        send,
        left_out: AtomicU64::new(0),
    };
    for _ in 0..3 {
        seeking.happened(&happening(What::OomKilled, 1));
    }
    assert_eq!((seeking.left_out(), held.len()), (2, 1));
    assert!(!world.seeker.options.desk.waits_for("OOMKilled"));
    assert!(world.seeker.options.desk.waits_for("rollout"));
}
