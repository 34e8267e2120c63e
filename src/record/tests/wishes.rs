//! What is asked for changes, or matches nothing.

use super::*;

#[test]
fn switching_off_seals_what_is_open_and_says_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("aaa", 50);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 200)]);
    let said = life.recorder.set(Vec::new());
    assert_eq!(
        said,
        [
            "the recording errors is off: 3 packets that were open are sealed for upload; in all it \
          recorded 1 streams with 3 packets and 150 bytes"
        ]
    );
    life.feed(feed.batch("aaa", 50), &[item(a, 200)]);
    assert!(life.recorder.status().is_empty());
    life.finish();
    assert_eq!(recorded(&store, 1000), [0, 1, 2]);
    let whys: Vec<String> = manifests(&store)
        .into_iter()
        .map(|found| found.manifest.why)
        .collect();
    assert!(
        ["start", "removed", "stop"]
            .iter()
            .all(|why| whys.iter().any(|found| found == why))
    );
}

#[test]
fn a_changed_query_is_followed_and_named_in_the_next_reel() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let batch = feed.batch("ab", 50);
    let (a, b) = (feed.id('a'), feed.id('b'));
    life.feed(batch, &[item(a, 500), item(b, 404)]);
    assert!(
        life.recorder
            .set(vec![wish("response.status == 500")])
            .is_empty()
    );
    assert_eq!(
        life.recorder
            .set(vec![wish("response.status == 404")])
            .len(),
        1
    );
    life.feed(feed.batch("ab", 50), &[item(a, 500), item(b, 404)]);
    life.finish();
    let reels = reels(&store);
    assert_eq!(reels.len(), 2);
    assert_eq!(reels[0].manifest.kfl, "response.status == 500");
    assert_eq!(packets(&plain(&store, &reels[0])), [0]);
    // What was taken stays whole, and the new match brings its look-back.
    assert_eq!(reels[1].manifest.kfl, "response.status == 404");
    assert_eq!(packets(&plain(&store, &reels[1])), [1, 2, 3]);
}

#[test]
fn now_is_when_the_query_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let at = |stream, at| Item {
        start: at,
        ..item(stream, 200)
    };
    let second = Duration::from_secs(1);
    let asked = life.clock.now();
    life.recorder.set(vec![wish("timestamp >= now()")]);
    life.wait(10 * second);
    let mut feed = Feed::default();
    let batch = feed.batch("abcd", 50);
    let [a, b, c, d] = ['a', 'b', 'c', 'd'].map(|name| feed.id(name));
    life.feed(batch, &[at(a, asked - second), at(b, asked + second)]);
    assert_eq!(life.recorder.status()[0].streams, 1);
    // The same query again is no new one; another one is asked at its own time.
    life.recorder.set(vec![wish("timestamp >= now()")]);
    life.feed(feed.batch("c", 50), &[at(c, asked + second)]);
    assert_eq!(life.recorder.status()[0].streams, 2);
    life.recorder.set(vec![wish("timestamp > now()")]);
    life.feed(feed.batch("d", 50), &[at(d, asked + second)]);
    assert_eq!(life.recorder.status()[0].streams, 2);
    life.feed(feed.batch("d", 50), &[at(d, asked + 11 * second)]);
    assert_eq!(life.recorder.status()[0].streams, 3);
    life.finish();
}

#[test]
fn nothing_matched_leaves_signs_of_life_and_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 50);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 200)]);
    life.wait(Duration::from_secs(3601));
    let warnings = life.recorder.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("matched none of 1 items"));
    life.finish();
    let whys: Vec<String> = manifests(&store)
        .into_iter()
        .map(|found| found.manifest.why)
        .collect();
    assert_eq!(whys.len(), 3, "{whys:?}");
    assert!(reels(&store).is_empty());
    chain_holds(&store);
}

#[test]
fn the_last_match_is_the_last_one_of_any_stream() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 50);
    let a = feed.id('a');
    let last = |life: &Life| life.recorder.status()[0].last_match;
    life.feed(batch, &[item(a, 500)]);
    let first = last(&life);
    life.wait(Duration::from_secs(600));
    life.feed(feed.batch("a", 50), &[item(a, 200)]);
    assert_eq!(last(&life), first);
    life.feed(feed.batch("a", 50), &[item(a, 500)]);
    assert_eq!(last(&life), Some(life.clock.now()));
    // One connection that goes on matching is no recording that matches nothing.
    life.wait(Duration::from_secs(3300));
    assert!(life.recorder.warnings().is_empty());
    life.finish();
}

#[test]
fn one_that_begins_again_has_the_reels_of_this_life_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let mut feed = Feed::default();
    let begin = |life: &mut Life| life.recorder.set(vec![wish("true")]);
    begin(&mut life);
    let batch = feed.batch("a", 50);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 200)]);
    life.recorder.set(Vec::new());
    life.recorder.settle();
    assert_eq!(life.recorder.past()[0].reels, 1);
    begin(&mut life);
    assert_eq!(life.recorder.status()[0].reels, 0);
    life.feed(feed.batch("b", 50), &[item(feed.id('b'), 200)]);
    // What ended may still wait to be sealed when it begins again.
    life.recorder.set(Vec::new());
    begin(&mut life);
    life.recorder.settle();
    assert_eq!(life.recorder.status()[0].reels, 0);
    life.feed(feed.batch("c", 50), &[item(feed.id('c'), 200)]);
    life.recorder.seal(None, "asked");
    life.recorder.settle();
    assert_eq!(life.recorder.status()[0].reels, 1);
    life.finish();
}

#[test]
fn the_rate_is_that_of_what_came_since_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let mut feed = Feed::default();
    let batch = feed.batch(&"a".repeat(100), 5000);
    let a = feed.id('a');
    life.feed(batch, &[]);
    life.wait(Duration::from_secs(600));
    life.recorder.set(vec![wish("true")]);
    life.feed(feed.batch("a", 50), &[item(a, 200)]);
    let status = &life.recorder.status()[0];
    assert!(status.bytes > 500_000 && status.bytes_today == status.bytes);
    assert_eq!(status.rate, 0);
    life.finish();
}
