//! A process that is killed at any moment, and its successor.

use super::*;

#[test]
fn after_kill_the_open_reel_is_sealed_under_its_old_run_and_made_whole_from_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let batch = feed.batch("aba", 100);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 500)]);
    life.wait(Duration::from_secs(61));
    life.recorder.settle();
    assert_eq!(life.outbox.drain(LONG).waiting, 0);
    life.feed(feed.batch("ab", 100), &[]);
    // The spool is ahead of the recorder when the process dies.
    life.spool.append(&mut feed.batch("aab", 100)).unwrap();
    let copy = life.kill();
    for torn in ["packets.pcapng", "packets.side", "takes.journal"] {
        let open = fs::read_dir(copy.path().join("record/open")).unwrap();
        let path = open
            .map(|entry| entry.unwrap().path())
            .next()
            .unwrap()
            .join(torn);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{torn");
        fs::write(&path, bytes).unwrap();
    }
    let mut life = Life::start(copy.path(), 2000, &store);
    assert_eq!(life.recorder.warnings().len(), 1);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 500)]);
    life.finish();
    assert_eq!(recorded(&store, 1000), [0, 2, 3, 5, 6]);
    assert_eq!(recorded(&store, 2000), [0]);
    chain_holds(&store);
}

#[test]
fn a_kill_between_sealing_and_cleaning_up_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    life.gate.allow(Some(0));
    let mut feed = Feed::default();
    let batch = feed.batch("aa", 100);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 200)]);
    let open = tempfile::tempdir().unwrap();
    copy_folder(&dir.path().join("record/open"), open.path());
    life.recorder.seal(None, "asked");
    let copy = life.kill();
    copy_folder(open.path(), &copy.path().join("record/open"));
    fs::create_dir_all(copy.path().join("outbox/half-0000001000-000001")).unwrap();
    Life::start(copy.path(), 2000, &store).finish();
    assert_eq!(recorded(&store, 1000), [0, 1]);
    assert_eq!(reels(&store).len(), 1);
}

#[test]
fn a_kill_after_any_upload_leads_to_the_same_objects() {
    for puts in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let mut life = Life::start(dir.path(), 1000, &store);
        life.gate.allow(Some(puts));
        life.recorder.set(vec![wish("true")]);
        let mut feed = Feed::default();
        for _ in 0..3 {
            let batch = feed.batch("a", 100);
            let items = [item(feed.id('a'), 200)];
            life.feed(batch, &items);
            life.recorder.seal(None, "asked");
        }
        life.recorder.settle();
        while life.outbox.status().last_error.is_none() {
            std::thread::yield_now();
        }
        let copy = life.kill();
        let before: Vec<String> = crate::store::conformance::keys(&*store, "");
        assert_eq!(before.len(), puts as usize);
        Life::start(copy.path(), 2000, &store).finish();
        let after = crate::store::conformance::keys(&*store, "");
        // One heartbeat, and three reels of packets, names and manifest.
        assert_eq!(after.len(), 10);
        assert!(before.iter().all(|key| after.contains(key)));
        assert_eq!(recorded(&store, 1000), [0, 1, 2]);
        chain_holds(&store);
    }
}
