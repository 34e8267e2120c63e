//! Recordings over a clock that is set back.

use super::*;

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
