//! What a store refuses, and what an outbox must not forget.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::outbox::OnFull;
use super::*;

fn refused(key: &str) -> StoreError {
    StoreError::Refused(format!("{key} cannot be locked"))
}

/// Two recordings into one store, each with a reel; what is of `b` comes first.
fn two_recordings(life: &mut Life) {
    let named = |name: &str| Wish {
        name: name.into(),
        ..wish("true")
    };
    life.recorder.set(vec![named("b"), named("a")]);
    let mut feed = Feed::default();
    let batch = feed.batch("x", 100);
    let items = [item(feed.id('x'), 200)];
    life.feed(batch, &items);
    life.recorder.seal(Some("b"), "asked");
    life.recorder.seal(Some("a"), "asked");
    life.recorder.settle();
}

fn recordings(store: &MemoryStore) -> Vec<String> {
    let reels = reels(store);
    let mut names: Vec<String> = reels
        .into_iter()
        .map(|reel| reel.manifest.recording)
        .collect();
    names.sort();
    names
}

#[test]
fn what_a_store_refuses_of_one_recording_holds_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.gate
        .refuse(|key| key.contains("recording=b").then(|| refused(key)));
    two_recordings(&mut life);
    until("the reel of a is uploaded", || {
        life.outbox.status().uploaded == 1
    });
    assert_eq!(recordings(&store), ["a"]);
    let status = life.outbox.status();
    assert!(status.last_error.unwrap().contains("cannot be locked"));
    let said = life.outbox.warnings();
    let told = |said: &&String| said.contains("tried again, nothing is lost");
    assert!(said.iter().any(|said| told(&said)), "{said:?}");
    assert!(!said.iter().any(|said| said.contains("work again")));
    life.gate.refuse_nothing();
    assert_eq!(life.outbox.drain(LONG).last_error, None);
    let said = life.outbox.warnings();
    assert!(said.iter().any(|said| said.contains("work again")));
    life.finish();
    assert_eq!(recordings(&store), ["a", "b"]);
    chain_holds(&store);
}

#[test]
fn no_reel_is_found_before_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let is_named = |key: &str| key.ends_with(".names.jsonl");
    life.gate
        .refuse(move |key| is_named(key).then(|| refused(key)));
    two_recordings(&mut life);
    until("the names of both are refused", || {
        life.outbox.status().last_error.is_some()
    });
    life.outbox.drain(Duration::from_millis(300));
    let found = crate::store::conformance::keys(&*store, "");
    let of_reels = |key: &&String| key.contains(".pcap") || key.contains(".parquet");
    assert_eq!(found.iter().find(of_reels), None);
    life.gate.refuse_nothing();
    life.finish();
    let found = crate::store::conformance::keys(&*store, "");
    assert_eq!(found.iter().filter(|key| is_named(key)).count(), 2);
    assert_eq!(found.iter().filter(of_reels).count(), 2);
    chain_holds(&store);
}

#[test]
fn a_manifest_that_is_refused_after_the_store_was_away_holds_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.gate.allow(Some(0));
    two_recordings(&mut life);
    until("the store is away", || {
        life.outbox.status().last_error.is_some()
    });
    life.gate
        .refuse(|key| key.contains("recording=b").then(|| refused(key)));
    life.gate.allow(None);
    until("the reel of a is uploaded", || {
        life.outbox.status().uploaded == 1
    });
    life.gate.refuse_nothing();
    life.finish();
    assert_eq!(recordings(&store), ["a", "b"]);
    chain_holds(&store);
}

#[test]
fn a_parcel_that_is_damaged_waits_behind_those_of_its_recording() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    life.recorder.settle();
    assert_eq!(life.outbox.drain(LONG).waiting, 0);
    life.gate.allow(Some(0));
    let mut feed = Feed::default();
    let batch = feed.batch("x", 100);
    let items = [item(feed.id('x'), 200)];
    life.feed(batch, &items);
    life.recorder.seal(None, "asked");
    life.recorder.settle();
    let part = dir
        .path()
        .join("outbox/0000001000-000001/packets.pcapng.zst");
    let good = fs::read(&part).unwrap();
    fs::write(&part, &good[..good.len() - 1]).unwrap();
    life.feed(feed.batch("x", 100), &[]);
    life.recorder.seal(None, "asked");
    life.recorder.settle();
    life.gate.allow(None);
    until("the second reel is uploaded", || {
        life.outbox.status().uploaded == 1
    });
    assert!(life.outbox.status().last_error.is_some());
    fs::write(&part, &good).unwrap();
    life.finish();
    assert_eq!(recorded(&store, 1000), [0, 1]);
    chain_holds(&store);
}

#[test]
fn what_was_dropped_is_said_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SetClock::at(time_of(0)));
    let start = |gate: &Arc<Gate>, bytes| {
        let resolved = gate.clone();
        let options = outbox::Options::new(dir.path().join("outbox"), bytes);
        assert_eq!(options.on_full, OnFull::DropOldest);
        Outbox::start(
            options,
            clock.clone(),
            Arc::new(move |_| Ok(resolved.clone())),
        )
        .unwrap()
    };
    let record = |outbox: &Arc<Outbox>, run, destination: &str| {
        let options = Options::new(dir.path(), run, "n", "c");
        let mut recorder = Recorder::open(options, None, clock.clone(), outbox.clone()).unwrap();
        recorder.set(vec![Wish {
            destination: destination.into(),
            ..wish("true")
        }]);
        recorder
    };
    let away = Gate::new(&store);
    away.allow(Some(0));
    let outbox = start(&away, 20_000);
    let mut recorder = record(&outbox, 1000, "memory");
    let mut feed = Feed::default();
    for round in 0..20 {
        let batch = feed.batch("a", 2000);
        let items = [item(feed.id('a'), 200)];
        recorder.on_batch(&Arc::new(batch), &items);
        clock.advance(time_of(1000 * round));
        recorder.seal(None, "asked");
        recorder.settle();
    }
    let dropped = outbox.status().dropped;
    assert!(dropped > 0);
    outbox.stop();
    outbox.wait_until_still();
    drop(recorder);

    // What goes to another destination lost nothing.
    let other = Arc::new(MemoryStore::new());
    let gates = [Gate::new(&store), Gate::new(&other)];
    let [gate, other_gate] = gates.clone();
    let options = outbox::Options::new(dir.path().join("outbox"), 1 << 30);
    let outbox = Outbox::start(
        options,
        clock.clone(),
        Arc::new(move |destination: &str| {
            Ok(match destination {
                "memory" => gate.clone() as Arc<dyn Store>,
                _ => other_gate.clone(),
            })
        }),
    )
    .unwrap();
    let mut recorder = record(&outbox, 2000, "elsewhere");
    recorder.finish();
    assert_eq!(outbox.drain(LONG).waiting, 0);
    outbox.stop();
    let of_run = |run| {
        let mut all = manifests(&store);
        all.extend(manifests(&other));
        all.retain(|found| found.manifest.run == run);
        let said = |found: &Found| {
            let coverage = &found.manifest.coverage;
            coverage
                .get("outbox_dropped")
                .map_or(0, |lost| lost.packets)
        };
        all.iter().map(said).max().unwrap()
    };
    assert_eq!(of_run(1000), dropped);
    assert_eq!(of_run(2000), 0);

    // What was said is not said of the next run.
    let outbox = start(&gates[0], 1 << 30);
    let mut recorder = record(&outbox, 3000, "memory");
    recorder.finish();
    assert_eq!(outbox.drain(LONG).waiting, 0);
    outbox.stop();
    assert_eq!(of_run(3000), 0);
    chain_holds(&store);
}

#[test]
fn a_late_reel_is_marked_before_it_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let tries = AtomicU32::new(0);
    life.gate.refuse(move |key| {
        let is_first = key.ends_with(LATE) && tries.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then(|| StoreError::Unavailable("the store is busy".into()))
    });
    life.recorder.set(vec![wish("true")]);
    life.recorder.settle();
    assert_eq!(life.outbox.drain(LONG).waiting, 0);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    life.wait(Duration::from_secs(3 * 3600));
    let gate = life.gate.clone();
    life.finish();
    assert_eq!(recorded(&store, 1000), [0]);
    assert!(!crate::store::conformance::keys(&*store, ROLLUPS).is_empty());
    // Whoever sees the reel sees the mark.
    let put = gate.put.lock().unwrap();
    let first = |holds: &dyn Fn(&String) -> bool| put.iter().position(holds).unwrap();
    let mark = first(&|key| key.ends_with(LATE));
    let reel = &reels(&store)[0].key;
    assert!(mark < first(&|key| key == reel));
}

#[test]
fn a_store_that_takes_no_marks_takes_reels() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.gate.refuse(|key| {
        key.ends_with(LATE)
            .then(|| StoreError::Denied("no right to put below rollups/".into()))
    });
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    life.wait(Duration::from_secs(3 * 3600));
    life.finish();
    assert_eq!(recorded(&store, 1000), [0]);
}

#[test]
fn an_uploaded_parcel_that_could_not_be_deleted_forks_no_chain() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.gate.allow(Some(0));
    life.recorder.set(vec![wish("true")]);
    until("the store is away", || {
        life.outbox.status().last_error.is_some()
    });
    // Its manifest is final.
    let sign = dir.path().join("outbox/0000001000-000000");
    let left = tempfile::tempdir().unwrap();
    copy_folder(&sign, left.path());
    assert!(left.path().join("manifest.json").exists());
    life.gate.allow(None);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    life.recorder.seal(None, "asked");
    life.recorder.settle();
    assert_eq!(life.outbox.drain(LONG).waiting, 0);
    let copy = life.kill();
    copy_folder(left.path(), &copy.path().join("outbox/0000001000-000000"));
    let mut life = Life::start(copy.path(), 2000, &store);
    life.recorder.set(vec![wish("true")]);
    life.finish();
    assert_eq!(recorded(&store, 1000), [0]);
    chain_holds(&store);
}
