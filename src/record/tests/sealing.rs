//! Reels that cannot be sealed, or not as they should.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::journal::sample_head;
use super::super::redaction::Redactors;
use super::super::reel::{Closed, OpenReel};
use super::*;
use crate::index::Summary;
use crate::packet::{Direction, LinkType, Position};
use crate::redact::{Protocols, Rule};
use crate::synth::{self, Frame};

#[test]
fn a_reel_that_cannot_be_sealed_holds_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let named = |name: &str| Wish {
        name: name.into(),
        ..wish("true")
    };
    life.recorder.set(vec![named("a"), named("b")]);
    life.recorder.settle();
    assert_eq!(life.outbox.drain(LONG).waiting, 0);
    let mut feed = Feed::default();
    let batch = feed.batch("x", 100);
    let items = [item(feed.id('x'), 200)];
    life.feed(batch, &items);
    // The reel of a; the numbers before it went to the two signs of life.
    let blocker = dir.path().join("outbox/half-0000001000-000002");
    fs::write(&blocker, "").unwrap();
    life.recorder.seal(None, "asked");
    until("the reel of b is uploaded", || {
        life.outbox.status().uploaded == 1
    });
    let status = life.recorder.status();
    assert!(
        status[0]
            .error
            .as_ref()
            .unwrap()
            .contains("cannot be sealed")
    );
    // The next one of the same recording goes too.
    life.feed(feed.batch("x", 100), &[]);
    life.recorder.seal(Some("a"), "asked");
    until("the next reel of a is uploaded", || {
        life.outbox.status().uploaded == 2
    });
    fs::remove_file(&blocker).unwrap();
    life.finish();
    let mut of_a: Vec<u64> = Vec::new();
    for reel in reels(&store) {
        if reel.manifest.recording == "a" {
            of_a.extend(packets(&plain(&store, &reel)));
        }
    }
    assert_eq!(of_a, [0, 1]);
    chain_holds(&store);
}

/// Panics so many times, where it makes an index and where it forgets.
struct Panicking {
    index: AtomicU32,
    forget: AtomicU32,
}

/// Panics as often as is left.
fn panic_once(left: &AtomicU32, sentence: &str) {
    let took = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    assert!(took.is_err(), "{sentence}");
}

impl Indexer for Panicking {
    fn index(&self, reel: &SealedReel<'_>) -> io::Result<Summary> {
        panic_once(&self.index, "a dissector fails");
        fs::write(reel.out, "index")?;
        Ok(Summary::default())
    }

    fn forget(&self, _head: &journal::Head) {
        panic_once(&self.forget, "forgetting fails");
    }
}

#[test]
fn a_panic_in_the_index_costs_a_reel_its_index_and_no_more() {
    for forget in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let mut life = Life::with(dir.path(), 1000, &store, |options| {
            options.indexer = Some(Arc::new(Panicking {
                index: AtomicU32::new(1),
                forget: AtomicU32::new(forget),
            }));
        });
        life.recorder.set(vec![wish("true")]);
        let mut feed = Feed::default();
        let batch = feed.batch("a", 100);
        let items = [item(feed.id('a'), 200)];
        life.feed(batch, &items);
        life.recorder.seal(None, "asked");
        life.feed(feed.batch("a", 100), &[]);
        life.recorder.seal(None, "asked");
        until("both reels are uploaded", || {
            life.outbox.status().uploaded == 2
        });
        let said = life.recorder.warnings();
        assert!(
            said.iter().any(|said| said.contains("a dissector fails")),
            "{said:?}"
        );
        life.finish();
        assert_eq!(recorded(&store, 1000), [0, 1]);
        let reels = reels(&store);
        let has_index = |found: &Found| {
            let parts = &found.manifest.parts;
            parts.iter().any(|part| part.role == "index")
        };
        assert!(!has_index(&reels[0]) && has_index(&reels[1]));
        let remarks = &reels[0].manifest.remarks;
        assert!(
            remarks
                .iter()
                .any(|remark| remark.starts_with("the reel has no index: ")),
            "{remarks:?}"
        );
    }
}

/// A clock at which the thread that seals panics so many times.
struct PanickingClock(AtomicU32);

impl Clock for PanickingClock {
    fn now(&self) -> crate::time::Timestamp {
        if std::thread::current().name() == Some("seal") {
            panic_once(&self.0, "sealing fails");
        }
        time_of(0)
    }
}

#[test]
fn a_panic_while_sealing_is_said_and_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let resolved = Gate::new(&store);
    let clock = Arc::new(PanickingClock(AtomicU32::new(1)));
    let outbox = Outbox::start(
        outbox::Options::new(dir.path().join("outbox"), 1 << 30),
        clock.clone(),
        Arc::new(move |_| Ok(resolved.clone())),
    )
    .unwrap();
    let options = Options::new(dir.path(), 1000, "n", "c");
    let mut recorder = Recorder::open(options, None, clock, outbox.clone()).unwrap();
    recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let items = [item(feed.id('a'), 200)];
    recorder.on_batch(&Arc::new(batch), &items);
    recorder.seal(None, "asked");
    until("the reel is uploaded", || outbox.status().uploaded == 1);
    let said = recorder.warnings();
    assert!(
        said.iter().any(|said| said.contains("sealing fails")),
        "{said:?}"
    );
    recorder.finish();
    assert_eq!(outbox.drain(LONG).waiting, 0);
    outbox.stop();
    assert_eq!(recorded(&store, 1000), [0]);
    chain_holds(&store);
}

/// A closed reel with two conversations.
fn two_streams(dir: &Path) -> Closed {
    let mut head = sample_head();
    head.redact = Rule {
        headers: vec!["x-secret".into()],
        ..Rule::default()
    };
    let mut reel = OpenReel::create(dir, head).unwrap();
    let mut ordinal = 0;
    for port in [4000, 4001] {
        let frames: Vec<Frame> = synth::tcp(([10, 0, 0, 1], port), ([10, 0, 0, 2], 80))
            .to_server("GET /kept HTTP/1.1\r\nHost: a\r\nX-Secret: hidden\r\n\r\n")
            .to_client("HTTP/1.1 204 No Content\r\n\r\n")
            .end();
        let name = StreamName {
            stream: StreamId(ordinal),
            transport: Transport::Tcp,
        };
        for frame in frames {
            // The port of the client, where a frame without options has it.
            let from_client = frame.bytes[34..36] == port.to_be_bytes();
            let direction = match from_client {
                true => Direction::ToServer,
                false => Direction::ToClient,
            };
            let entry = spool::Entry {
                ordinal,
                stream: Some((name, direction)),
                previous: None,
                ts: frame.ts,
                position: Position::default(),
                caplen: frame.len,
                len: frame.len,
                interface: 0,
                linktype: LinkType::ETHERNET,
                fragment: false,
                adopts: None,
            };
            reel.push(entry, &frame.bytes, frame.ts).unwrap();
            ordinal += 1;
        }
    }
    reel.close(false).unwrap()
}

#[test]
fn a_redaction_that_failed_is_tried_again_from_where_it_began() {
    let holds = |bytes: &[u8], text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    let dir = tempfile::tempdir().unwrap();
    let new = || Redactors::new(b"key".to_vec(), Protocols::all());
    let whole = two_streams(&dir.path().join("whole"));
    let (path, _) = new().prepare(&whole).unwrap();
    let wanted = fs::read(path).unwrap();
    assert!(holds(&wanted, "GET /kept") && !holds(&wanted, "hidden"));

    let torn = two_streams(&dir.path().join("torn"));
    let data = torn.pair().data();
    let bytes = fs::read(&data).unwrap();
    // The second conversation cannot be read to its end.
    fs::write(&data, &bytes[..bytes.len() - 40]).unwrap();
    let mut redactors = new();
    redactors.prepare(&torn).unwrap_err();
    fs::write(&data, &bytes).unwrap();
    let (path, _) = redactors.prepare(&torn).unwrap();
    assert!(fs::read(path).unwrap() == wanted);
}
