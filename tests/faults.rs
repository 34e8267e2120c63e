//! An outbox before a store that fails in every way for a long time: nothing is lost, nothing is
//! put twice under two names, and the archive proves itself afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tapedeck::investigate::verify::{self, Options};
use tapedeck::kfl::{self, Schema};
use tapedeck::record::{self, Outbox, Recorder, Wish, outbox};
use tapedeck::store::conformance::put;
use tapedeck::store::memory::MemoryStore;
use tapedeck::store::s3::{S3Options, S3Store};
use tapedeck::store::{Store, StoreError};
use tapedeck::synth;
use tapedeck::time::{Clock, SystemClock};

use crate::double::{Asked, Double, Told};
use crate::recording::batch;
use crate::seaweed::keys;

/// A wait for uploads; a busy machine needs seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reels that wait while the store fails.
const REELS: u64 = 6;

/// How a put fails.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Internal,
    SlowDown,
    Expired,
    Reset,
    Stall,
    /// The object is kept and the answer is lost.
    Kept,
}

/// What happens to one put after the other; all that follow succeed.
const FAULTS: &[Fault] = &[
    Fault::Internal,
    Fault::SlowDown,
    Fault::SlowDown,
    Fault::Expired,
    Fault::Expired,
    Fault::Reset,
    Fault::Stall,
    Fault::Kept,
    Fault::Reset,
    Fault::Internal,
    Fault::Kept,
    Fault::Expired,
    Fault::Stall,
];

/// Longer than a try may take.
const STALL: Duration = Duration::from_millis(1500);

const TRY: Duration = Duration::from_millis(500);

type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

fn refused(status: u16, code: &str) -> Told {
    let body = format!("<Error><Code>{code}</Code><Message>told so</Message></Error>");
    Told::status(status, body).header("Content-Type: application/xml")
}

/// The part of S3 that a put needs, on a bucket without versions and locks.
fn answer(asked: &Asked, objects: &Objects, puts: &AtomicUsize) -> Told {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let path = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .unwrap();
    let key = path
        .trim_start_matches("/bucket")
        .trim_start_matches('/')
        .to_owned();
    let kept = objects.lock().unwrap().get(&key).cloned();
    match asked.method.as_str() {
        "PUT" => {
            let fault = FAULTS.get(puts.fetch_add(1, Ordering::SeqCst));
            match fault {
                Some(Fault::Internal) => return refused(500, "InternalError"),
                Some(Fault::SlowDown) => return refused(503, "SlowDown"),
                Some(Fault::Expired) => return refused(400, "ExpiredToken"),
                Some(Fault::Reset) => return Told::reset(),
                Some(Fault::Stall) => {
                    std::thread::sleep(STALL);
                    return Told::reset();
                }
                Some(Fault::Kept) | None => {}
            }
            assert_eq!(asked.header("if-none-match"), "*");
            if kept.is_some() {
                return refused(412, "PreconditionFailed");
            }
            objects.lock().unwrap().insert(key, asked.body.clone());
            match fault {
                Some(_) => Told::reset(),
                None => Told::ok("").header("ETag: \"1\""),
            }
        }
        "HEAD" => match kept {
            Some(bytes) => {
                let sum = STANDARD.encode(Sha256::digest(&bytes));
                Told::ok("x".repeat(bytes.len())).header(format!("x-amz-checksum-sha256: {sum}"))
            }
            None => Told::status(404, ""),
        },
        _ if query.starts_with("versions") => refused(501, "NotImplemented"),
        _ => refused(404, "NoSuchObjectLockConfiguration"),
    }
}

#[test]
fn a_store_that_fails_in_every_way_gets_everything_once() {
    let objects: Objects = Arc::default();
    let puts = Arc::new(AtomicUsize::new(0));
    let double = Double::start({
        let (objects, puts) = (objects.clone(), puts.clone());
        move |asked, _| answer(asked, &objects, &puts)
    });
    let home = tempfile::tempdir().unwrap();
    let opened = Arc::new(AtomicUsize::new(0));
    let resolve = Arc::new({
        let (url, opened) = (double.url(), opened.clone());
        move |_: &str| -> Result<Arc<dyn Store>, StoreError> {
            opened.fetch_add(1, Ordering::SeqCst);
            Ok(Arc::new(S3Store::new(S3Options {
                bucket: "bucket".into(),
                endpoint: Some(url.clone()),
                region: Some("us-east-1".into()),
                keys: Some(keys("id", "secret")),
                tries: Some(1),
                try_timeout: Some(TRY),
                ..S3Options::default()
            })?))
        }
    });
    let clock = Arc::new(SystemClock);
    let mut options = outbox::Options::new(home.path().join("outbox"), 1 << 30);
    options.first_pause = Duration::from_millis(1);
    let outbox = Outbox::start(options, clock.clone(), resolve).unwrap();
    let options = record::Options::new(home.path(), 1000, "node-a", "test");
    let mut recorder = Recorder::open(options, None, clock.clone(), outbox.clone()).unwrap();
    let query = kfl::compile("http", &Schema::empty()).unwrap();
    recorder.set(vec![Wish::new("web", query, "s3://bucket/")]);
    for reel in 0..REELS {
        let port = 4000 + u16::try_from(reel).unwrap();
        let frames = synth::tcp(([10, 0, 0, 1], port), ([10, 0, 0, 2], 80))
            .at(clock.now())
            .to_server("GET / HTTP/1.1\r\nHost: cart\r\n\r\n")
            .fin();
        let (batch, names) = batch(1000 * reel, &frames);
        assert!(recorder.take(names[0], None));
        recorder.on_batch(&Arc::new(batch), &[]);
        recorder.seal(None, "asked");
    }
    recorder.finish();
    let status = outbox.drain(PATIENCE);
    assert_eq!((status.waiting, status.uploaded), (0, REELS), "{status:?}");
    outbox.stop();
    assert!(puts.load(Ordering::SeqCst) > FAULTS.len());
    // Each failure leads to a new sign-in: credentials may have been renewed.
    assert!(opened.load(Ordering::SeqCst) > FAULTS.len() / 2);
    let said = outbox.warnings();
    for words in [
        "tried again, nothing is lost",
        "expired",
        "work again",
        "not immutable",
    ] {
        assert!(
            said.iter().any(|sentence| sentence.contains(words)),
            "{words}: {said:#?}"
        );
    }
    let store = MemoryStore::new();
    let objects = objects.lock().unwrap();
    // Two heartbeats, and two objects for each reel.
    assert_eq!(objects.len() as u64, 2 + 2 * REELS);
    for (key, bytes) in objects.iter() {
        put(&store, key, bytes).unwrap();
    }
    let options = Options {
        now: clock.now(),
        ..Options::default()
    };
    let report = verify::check(&store, &options, &|| true).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.counts.checksums, REELS);
}
