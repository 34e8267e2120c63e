//! Recordings over a clock that is set back, and what look-backs and carried states lack.

use std::collections::HashSet;

use super::*;
use crate::packet::{Endpoint, FiveTuple};

/// Feeds a batch whose time the clock does not follow.
fn feed_still(life: &mut Life, mut batch: Batch, items: &[Item]) {
    life.spool.append(&mut batch).unwrap();
    life.recorder.on_batch(&Arc::new(batch), items);
}

#[test]
fn a_clock_that_is_set_back_seals_nothing_at_each_step() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let hour = Duration::from_secs(3600);
    let ahead = time_of(0) + hour;
    life.clock.set(ahead);
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let a = feed.id('a');
    feed_still(&mut life, batch, &[item(a, 200)]);
    life.recorder.tick(life.clock.now());
    let before = sealed(&life);
    life.clock.set(ahead - 2 * hour);
    // One recording is on since then, the other one since before.
    let late = Wish {
        name: "late".into(),
        ..wish("true")
    };
    life.recorder.set(vec![wish("true"), late]);
    for _ in 0..10 {
        feed_still(&mut life, feed.batch("a", 100), &[item(a, 200)]);
        life.recorder.tick(life.clock.now());
    }
    assert_eq!(sealed(&life), before + 1, "the first sign of life of one");
    // Both reels are due in their time, and so are the next signs of life.
    life.wait(Duration::from_secs(61));
    assert_eq!(sealed(&life), before + 3);
    life.wait(hour);
    assert_eq!(sealed(&life), before + 5);
    life.finish();
    let twice = (0..11).chain(0..11).collect::<Vec<_>>();
    assert_eq!(recorded(&store, 1000), twice);
}

/// Reels and signs of life that were sealed so far.
fn sealed(life: &Life) -> usize {
    life.recorder.settle();
    life.outbox.drain(LONG);
    manifests(&life.gate.store).len()
}

#[test]
fn what_the_ring_loses_while_it_is_copied_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    for _ in 0..3 {
        life.feed(feed.batch(&"a".repeat(40), 1000), &[]);
    }
    // As if the ring had come round between listing and reading.
    let segment = life.dir.join("spool/run-0000001000/00000001.pcap");
    let bytes = fs::read(&segment).unwrap();
    let lost = packets(&bytes);
    fs::remove_file(&segment).unwrap();
    let batch = feed.batch("a", 1000);
    let items = [item(feed.id('a'), 500)];
    life.feed(batch, &items);
    life.finish();
    let wanted: Vec<u64> = (0..121).filter(|ordinal| !lost.contains(ordinal)).collect();
    assert!(lost.len() > 10 && wanted.len() > 10, "{lost:?}");
    assert_eq!(recorded(&store, 1000), wanted);
    let manifest = &reels(&store)[0].manifest;
    let missed = manifest.coverage["look_back_overwritten"].packets;
    assert_eq!(missed, lost.len() as u64);
}

#[test]
fn streams_whose_state_has_no_room_go_on_without_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let asked: Arc<Mutex<Vec<StreamId>>> = Arc::default();
    let mut life = Life::with(dir.path(), 1000, &store, |options| {
        let asked = asked.clone();
        options.want_states = Some(Arc::new(move |streams| {
            asked.lock().unwrap().extend(streams)
        }));
    });
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("ab", 100);
    let (a, b) = (feed.id('a'), feed.id('b'));
    life.feed(batch, &[item(a, 200), item(b, 200)]);
    life.recorder.seal(None, "asked");
    let asked: HashSet<StreamId, _> = asked.lock().unwrap().iter().copied().collect();
    assert_eq!(asked.len(), 2);
    let tuple = |port| {
        let end = |port| Endpoint {
            ip: [10, 0, 0, 1].into(),
            port,
        };
        FiveTuple {
            src: end(port),
            dst: end(80),
            transport: Transport::Tcp,
        }
    };
    let too_long = vec![0; reel::MAX_STATE_BYTES as usize];
    let states = States {
        asked,
        states: [(a, (tuple(4000), too_long)), (b, (tuple(4001), vec![1]))]
            .into_iter()
            .collect(),
    };
    let batch = feed.batch("ab", 100);
    life.recorder.on_states(&states, Some(2));
    life.feed(batch, &[]);
    life.finish();
    assert_eq!(recorded(&store, 1000), [0, 1, 2, 3]);
    let reels = reels(&store);
    let said = |found: &Found| {
        let remarks = found.manifest.remarks.iter();
        remarks
            .filter(|remark| remark.starts_with("1 streams go on without their state"))
            .count()
    };
    assert_eq!((said(&reels[0]), said(&reels[1])), (1, 1));
    // The reel before tells what the stream without a state had open: only the other one goes on.
    let bytes = plain(&store, &reels[0]);
    let mut records = Records::new(bytes.as_slice());
    let mut going_on = Vec::new();
    while let Some(entry) = records.advance().unwrap() {
        if let FileEntry::Block { block, .. } = entry
            && let Some(tuples) = custom_data(&block).and_then(parse_goes_on)
        {
            going_on.extend(tuples);
        }
    }
    assert_eq!(going_on, [tuple(4001)]);
}
