//! Reels on their way into the store.

use super::*;

#[test]
fn uploads_wait_for_a_store_that_is_away_and_go_up_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.gate.allow(Some(0));
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let mut a = StreamId(0);
    for _ in 0..3 {
        let batch = feed.batch("a", 100);
        a = feed.id('a');
        life.feed(batch, &[item(a, 200)]);
        life.recorder.seal(None, "asked");
    }
    life.recorder.settle();
    let status = life.outbox.drain(Duration::from_millis(50));
    assert_eq!(status.waiting, 4);
    assert_eq!(
        status.last_error.as_deref(),
        Some("uploading to memory failed: the store is away")
    );
    assert!(store.is_empty());
    assert_eq!(life.outbox.warnings().len(), 1);
    life.gate.allow(None);
    let status = life.outbox.drain(LONG);
    assert_eq!(
        (status.waiting, status.uploaded, status.last_error),
        (0, 3, None)
    );
    let mut said = life.outbox.warnings();
    said.sort();
    assert_eq!(
        said,
        [
            "memory keeps reels without a lock: not immutable",
            "uploads to memory work again",
        ]
    );
    life.feed(feed.batch("a", 100), &[item(a, 200)]);
    life.finish();
    assert_eq!(recorded(&store, 1000), [0, 1, 2, 3]);
    chain_holds(&store);
}

#[test]
fn what_a_reel_was_made_from_is_gone_before_it_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 7, &store);
    life.recorder.set(vec![wish("true")]);
    let open = life.dir.join("record").join("open");
    *life.gate.watched.lock().unwrap() = Some(open.clone());
    let mut feed = Feed::default();
    for _ in 0..20 {
        let batch = feed.batch("a", 1000);
        let items = [item(feed.id('a'), 200)];
        life.feed(batch, &items);
        life.recorder.seal(None, "asked");
        life.recorder.settle();
    }
    assert_eq!(life.outbox.drain(LONG).waiting, 0);
    assert!(life.gate.put.lock().unwrap().len() > 20);
    // A process that is killed after an upload would seal such a reel again.
    let none: Vec<String> = Vec::new();
    assert_eq!(*life.gate.open.lock().unwrap(), none);
    // Neither does what is half deleted become one.
    let sealed = open.join("sealed-7-99");
    fs::create_dir_all(&sealed).unwrap();
    fs::write(sealed.join("takes.journal"), "{}").unwrap();
    let before = life.gate.put.lock().unwrap().len();
    life.finish();
    let next = Life::start(dir.path(), 8, &store);
    assert!(!sealed.exists());
    assert!(before > 0 && next.recorder.status().is_empty());
    next.finish();
}

#[test]
fn an_outbox_over_its_share_drops_the_oldest_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SetClock::at(time_of(0)));
    let gate = Gate::new(&store);
    gate.allow(Some(0));
    let resolved = gate.clone();
    let outbox = Outbox::start(
        outbox::Options::new(dir.path().join("outbox"), 20_000),
        clock.clone(),
        Arc::new(move |_| Ok(resolved.clone())),
    )
    .unwrap();
    let options = Options::new(dir.path(), 1000, "n", "c");
    let mut recorder = Recorder::open(options, None, clock.clone(), outbox.clone()).unwrap();
    recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    for round in 0..20 {
        let batch = feed.batch("a", 2000);
        let items = [item(feed.id('a'), 200)];
        recorder.on_batch(&Arc::new(batch), &items);
        clock.advance(time_of(1000 * round));
        recorder.seal(None, "asked");
        recorder.settle();
    }
    let status = outbox.status();
    assert!(status.waiting_bytes <= 20_000);
    assert!(status.dropped > 0);
    assert!(
        outbox
            .warnings()
            .iter()
            .any(|said| said.contains("the outbox is full"))
    );
    gate.allow(None);
    recorder.finish();
    assert_eq!(outbox.drain(LONG).waiting, 0);
    let last = reels(&store).pop().unwrap();
    assert_eq!(packets(&plain(&store, &last)), [19]);
    assert!(last.manifest.coverage["outbox_dropped"].packets > 0);
}

#[test]
fn a_full_outbox_stops_recording_when_it_is_to_keep_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SetClock::at(time_of(0)));
    let gate = Gate::new(&store);
    gate.allow(Some(0));
    let resolved = gate.clone();
    let mut options = outbox::Options::new(dir.path().join("outbox"), 20_000);
    options.on_full = outbox::OnFull::Stop;
    let outbox = Outbox::start(
        options,
        clock.clone(),
        Arc::new(move |_| Ok(resolved.clone())),
    )
    .unwrap();
    let options = Options::new(dir.path(), 1000, "n", "c");
    let mut recorder = Recorder::open(options, None, clock.clone(), outbox.clone()).unwrap();
    recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let mut round = |recorder: &mut Recorder| {
        let batch = feed.batch("a", 2000);
        let items = [item(feed.id('a'), 200)];
        recorder.on_batch(&Arc::new(batch), &items);
        recorder.seal(None, "asked");
        recorder.settle();
    };
    for _ in 0..30 {
        round(&mut recorder);
    }
    let status = outbox.status();
    assert!(status.is_full && status.waiting_bytes > 20_000);
    assert_eq!(status.dropped, 0);
    let stopped = recorder.status().remove(0);
    assert!(stopped.not_written > 0 && stopped.packets + stopped.not_written == 30);
    assert!(stopped.error.unwrap().contains("recording has stopped"));
    let said = recorder.warnings();
    assert!(
        said.iter()
            .any(|said| said.contains("recording has stopped"))
    );
    gate.allow(None);
    assert_eq!(outbox.drain(LONG).waiting, 0);
    round(&mut recorder);
    assert!(recorder.warnings()[0].contains("recording goes on"));
    recorder.finish();
    assert_eq!(outbox.drain(LONG).waiting, 0);
    let kept = recorded(&store, 1000);
    assert_eq!(kept.len() as u64, stopped.packets + 1);
    assert_eq!(kept.last(), Some(&30));
    let last = reels(&store).pop().unwrap().manifest;
    assert_eq!(last.coverage["outbox_full"].packets, stopped.not_written);
    chain_holds(&store);
}

#[test]
fn a_day_ends_with_a_roll_up_of_all_heads() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut other = Life::with(dir.path().join("b").as_path(), 1000, &store, |options| {
        options.node = "node-b".into();
    });
    other.recorder.set(vec![wish("true")]);
    other.finish();
    let of_b = manifests(&store).pop().unwrap();
    let day = Duration::from_secs(86_400);
    let mut life = Life::start(&dir.path().join("a"), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    life.wait(Duration::from_secs(60));
    life.wait(day);
    life.wait(Duration::from_secs(60));
    life.finish();
    // Another process on the same day knows that the day was summed up.
    let mut life = Life::start(&dir.path().join("a"), 2000, &store);
    life.clock.advance(time_of(0) + day);
    life.recorder.set(vec![wish("true")]);
    life.wait(Duration::from_secs(120));
    life.wait(day);
    life.finish();
    let mut rollups = manifests(&store);
    rollups.retain(|found| found.manifest.kind == Kind::Rollup);
    let runs: Vec<u64> = rollups.iter().map(|found| found.manifest.run).collect();
    assert_eq!(runs, [1000, 2000]);
    let heads = &rollups[0].manifest.heads;
    let previous = rollups[0].manifest.previous.clone().unwrap();
    assert_eq!(
        (&heads[0].key, &heads[0].sha256),
        (&previous.key, &previous.sha256)
    );
    let sha256: crate::store::Digest = Sha256::digest(&of_b.bytes).into();
    assert_eq!(heads[1].node, "node-b");
    assert_eq!(
        (&heads[1].key, &heads[1].sha256),
        (&of_b.key, &crate::store::hex(&sha256))
    );
    assert_eq!(
        rollups[1].manifest.heads.len(),
        1,
        "that node is silent for two days"
    );
}
