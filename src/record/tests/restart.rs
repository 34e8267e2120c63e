//! What a start finds that an earlier process left behind.

use super::*;
use crate::index::Summary;
use crate::packet::{Endpoint, FiveTuple};
use crate::redact::Rule;

/// The first reel of a run cannot be sealed while this is there.
fn hold_first_reel(dir: &Path) -> PathBuf {
    let blocker = dir.join("outbox/half-0000001000-000001");
    fs::write(&blocker, "").unwrap();
    blocker
}

/// The disk of a process that was killed while its first reel waited to be sealed.
fn cut_off(life: Life) -> tempfile::TempDir {
    let copy = life.cut_off();
    fs::remove_file(copy.path().join("outbox/half-0000001000-000001")).unwrap();
    copy
}

#[test]
fn what_was_overwritten_before_a_kill_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let rule = Rule {
        headers: vec!["x-secret".into()],
        ..Rule::default()
    };
    life.recorder.set(vec![Wish {
        redact: rule,
        ..wish("true")
    }]);
    let mut feed = Feed::default();
    let batch = feed.batch("aa", 100);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    life.spool.append(&mut feed.batch("a", 100)).unwrap();
    let copy = life.kill();
    let [open] = &open_reels(copy.path())[..] else {
        panic!("one reel is open");
    };
    for left in ["redacted.pcapng", "redacted.half"] {
        fs::copy(open.join("packets.pcapng"), open.join(left)).unwrap();
    }
    Life::start(copy.path(), 2000, &store).finish();
    let reels = reels(&store);
    assert_eq!(reels.len(), 1);
    assert_eq!(reels[0].manifest.counts.packets, 3);
}

#[test]
fn a_reel_that_was_closed_ends_where_the_next_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("aba", 100);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    hold_first_reel(dir.path());
    life.recorder.seal(None, "asked");
    life.feed(feed.batch("ab", 100), &[]);
    // The spool is ahead of the recorder.
    life.spool.append(&mut feed.batch("ab", 100)).unwrap();
    let copy = cut_off(life);
    assert_eq!(open_reels(copy.path()).len(), 2);
    Life::start(copy.path(), 2000, &store).finish();
    assert_eq!(recorded(&store, 1000), [0, 2, 3, 5]);
    assert_eq!(reels(&store)[0].manifest.counts.packets, 2);
}

#[test]
fn a_reel_that_waited_for_states_ends_where_the_next_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::with(dir.path(), 1000, &store, |options| {
        options.want_states = Some(Arc::new(|_| {}));
    });
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 200)]);
    life.wait(Duration::from_secs(61));
    life.feed(feed.batch("a", 100), &[]);
    hold_first_reel(dir.path());
    let end = |port| Endpoint {
        ip: [10, 0, 0, 1].into(),
        port,
    };
    let tuple = FiveTuple {
        src: end(4000),
        dst: end(80),
        transport: Transport::Tcp,
    };
    let states = States {
        states: [(a, (tuple, b"state".to_vec()))].into_iter().collect(),
        asked: [a].into_iter().collect(),
    };
    life.recorder.on_states(&states, Some(2));
    life.feed(feed.batch("a", 100), &[]);
    let copy = cut_off(life);
    assert_eq!(open_reels(copy.path()).len(), 2);
    Life::start(copy.path(), 2000, &store).finish();
    assert_eq!(recorded(&store, 1000), [0, 1, 2]);
    let counts: Vec<u64> = reels(&store)
        .iter()
        .map(|reel| reel.manifest.counts.packets)
        .collect();
    assert_eq!(counts, [2, 1]);
}

#[test]
fn streams_whose_states_never_came_go_on_in_the_next_reel() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::with(dir.path(), 1000, &store, |options| {
        options.want_states = Some(Arc::new(|_| {}));
    });
    life.recorder.set(vec![Wish {
        look_back: false,
        ..wish("true")
    }]);
    let mut feed = Feed::default();
    let batch = feed.batch("ab", 100);
    let (a, b) = (feed.id('a'), feed.id('b'));
    life.feed(batch, &[item(a, 200)]);
    life.wait(Duration::from_secs(61));
    // Another stream is taken, of which nothing is there yet: its reel has no packets.
    let name = StreamName {
        stream: b,
        transport: Transport::Tcp,
    };
    assert!(life.recorder.take(name, None));
    hold_first_reel(dir.path());
    life.recorder.seal(None, "asked");
    life.spool.append(&mut feed.batch("ab", 100)).unwrap();
    let copy = cut_off(life);
    Life::start(copy.path(), 2000, &store).finish();
    let mut all = recorded(&store, 1000);
    all.sort_unstable();
    assert_eq!(all, [0, 2, 3]);
}

#[test]
fn what_came_after_a_recording_was_removed_is_not_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("aa", 100);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    hold_first_reel(dir.path());
    life.recorder.set(Vec::new());
    life.feed(feed.batch("a", 100), &[]);
    let copy = cut_off(life);
    Life::start(copy.path(), 2000, &store).finish();
    assert_eq!(recorded(&store, 1000), [0, 1]);
}

#[test]
fn what_is_no_reel_keeps_nobody_from_recording() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let open = dir.path().join("record/open");
    fs::create_dir_all(&open).unwrap();
    fs::write(open.join("x"), "somebody's").unwrap();
    let mut life = Life::start(dir.path(), 1000, &store);
    let said = life.recorder.warnings();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("open/x"), "{said:?}");
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    life.wait(Duration::from_secs(3600));
    // It is said once.
    let again = life.recorder.warnings();
    assert!(
        !again.iter().any(|said| said.contains("open/x")),
        "{again:?}"
    );
    assert_eq!(fs::read(open.join("x")).unwrap(), b"somebody's");
    life.finish();
    assert_eq!(recorded(&store, 1000), [0]);
}

#[test]
fn a_run_that_goes_on_uses_no_number_of_what_it_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    // A file in the place of a folder cannot be read as one.
    let open = dir.path().join("record/open");
    fs::create_dir_all(&open).unwrap();
    fs::write(open.join("0000001000-000007"), "").unwrap();
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    life.finish();
    let numbers: Vec<u64> = manifests(&store)
        .iter()
        .map(|found| found.manifest.sequence)
        .collect();
    assert!(numbers.iter().all(|number| *number > 7), "{numbers:?}");
}

/// Says of each reel how many packets it has, as its items.
struct Counting;

impl Indexer for Counting {
    fn index(&self, reel: &SealedReel<'_>) -> std::io::Result<Summary> {
        fs::write(reel.out, "index")?;
        Ok(Summary {
            items: reel.streams.len() as u64,
            span: None,
        })
    }

    fn forget(&self, _head: &journal::Head) {}
}

#[test]
fn a_reel_sealed_after_a_kill_says_how_many_items_its_index_has() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("aaa", 100);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    let copy = life.kill();
    Life::with(copy.path(), 2000, &store, |options| {
        options.indexer = Some(Arc::new(Counting));
    })
    .finish();
    assert_eq!(reels(&store)[0].manifest.counts.items, 3);
}

#[test]
fn a_reel_whose_folder_cannot_be_let_go_is_sealed_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    // What is in the way of its new name.
    let taken = dir.path().join("record/open/sealed-0000001000-000001");
    fs::create_dir_all(taken.join("x")).unwrap();
    life.recorder.seal(None, "asked");
    until("that it cannot be let go is said", || {
        life.recorder.status()[0].error.is_some()
    });
    // It would be sealed again at the next start if it were uploaded and forgotten now.
    assert!(reels(&store).is_empty());
    fs::remove_dir_all(&taken).unwrap();
    life.finish();
    Life::start(dir.path(), 2000, &store).finish();
    assert_eq!(reels(&store).len(), 1);
    assert_eq!(recorded(&store, 1000), [0]);
}
