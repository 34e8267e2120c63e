//! The S3 store against a real server: the contract, locks, other clients, refusals.

use std::time::Duration;

use aws_sdk_s3::types::ObjectLockRetentionMode;
use tapedeck::store::conformance::{check, keys, once, put, read};
use tapedeck::store::s3::check::RightState;
use tapedeck::store::s3::{S3Options, S3Store};
use tapedeck::store::{
    Body, Entry, Lock, LockMode, LockState, Oddity, PutOptions, Store, StoreError,
};
use tapedeck::time::{Clock, SystemClock};

use crate::seaweed::{self, Seaweed};

fn store(options: &S3Options) -> S3Store {
    S3Store::new(options.clone()).unwrap()
}

fn entries(store: &dyn Store) -> Vec<Entry> {
    let mut entries = Vec::new();
    store
        .list("", &mut |entry| {
            entries.push(entry);
            true
        })
        .unwrap();
    entries
}

fn locked(bytes: &[u8], mode: LockMode, seconds: u64) -> PutOptions {
    let until = SystemClock.now() + Duration::from_secs(seconds);
    PutOptions {
        lock: Some(Lock { mode, until }),
        ..once(bytes)
    }
}

#[test]
fn s3_keeps_the_contract() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    for (locked, prefix) in [(false, ""), (true, "some/prefix")] {
        let options = S3Options {
            prefix: prefix.into(),
            ..server.bucket("contract", locked)
        };
        let store = store(&options);
        if locked {
            // Clearing a lock bucket leaves markers; the rest of the contract is the same.
            let first = put(&store, "once/a", b"first").unwrap();
            assert!(first.version.is_some());
            assert!(put(&store, "once/a", b"first").unwrap().existed);
            let other = put(&store, "once/a", b"other");
            assert!(matches!(other, Err(StoreError::Exists(_))), "{other:?}");
        } else {
            check(&store);
        }
    }
}

#[test]
fn mode_and_date_of_a_lock_are_read_back() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let options = server.bucket("locks", true);
    let store = store(&options);
    for (key, mode) in [("g", LockMode::Governance), ("c", LockMode::Compliance)] {
        let asked = locked(b"sealed", mode, 600);
        let receipt = store.put(key, Body::Bytes(b"sealed"), &asked).unwrap();
        let LockState::Locked(found) = receipt.lock else {
            panic!("{key}: {receipt:?}");
        };
        let wanted = asked.lock.unwrap().until;
        assert_eq!(found.mode, mode);
        assert!(
            found.until >= wanted,
            "{key}: {found:?} ends before {wanted}"
        );
        assert_eq!(receipt.remarks, Vec::<String>::new());
        let version = receipt.version.unwrap();
        let refused = server.delete_version(&options, key, &version);
        assert!(refused.is_err(), "{key} could be deleted");
    }
    let receipt = put(&store, "plain", b"x").unwrap();
    assert_eq!(receipt.lock, LockState::NotLocked);
}

#[test]
fn a_default_retention_is_read_back() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let options = server.bucket("default", true);
    server.lock_by_default(&options, ObjectLockRetentionMode::Governance, 2);
    let receipt = put(&store(&options), "a", b"x").unwrap();
    let LockState::Locked(lock) = receipt.lock else {
        panic!("{receipt:?}");
    };
    assert_eq!(lock.mode, LockMode::Governance);
    assert!(lock.until > SystemClock.now() + Duration::from_secs(86_400));
}

#[test]
fn locking_in_a_plain_bucket_is_refused_with_the_reason() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let store = store(&server.bucket("plain", false));
    let asked = locked(b"x", LockMode::Compliance, 600);
    let error = store.put("a", Body::Bytes(b"x"), &asked).unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("Object Lock"), "{error}");
}

#[test]
fn other_clients_neither_hide_nor_replace_an_object() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let options = server.bucket("others", true);
    let store = store(&options);
    for key in ["deleted", "overwritten", "untouched"] {
        store
            .put(
                key,
                Body::Bytes(b"original"),
                &locked(b"original", LockMode::Compliance, 600),
            )
            .unwrap();
    }
    server.delete(&options, "deleted");
    server.overwrite(&options, "overwritten", b"forged");
    server.overwrite(&options, "overwritten", b"forged again");
    let found: Vec<_> = entries(&store)
        .into_iter()
        .map(|entry| (entry.key, entry.size, entry.oddity))
        .collect();
    assert_eq!(
        found,
        [
            ("deleted".into(), 8, Some(Oddity::HiddenByMarker)),
            ("overwritten".into(), 8, Some(Oddity::NewerVersions(2))),
            ("untouched".into(), 8, None),
        ]
    );
    for entry in entries(&store) {
        assert_eq!(
            read(&store, &entry.key, entry.version.as_deref()),
            b"original"
        );
        assert_eq!(read(&store, &entry.key, None), b"original");
        let head = store.head(&entry.key).unwrap().unwrap();
        assert_eq!(head, entry);
    }
    let mut latest = Vec::new();
    std::io::Read::read_to_end(&mut store.get_latest("overwritten").unwrap(), &mut latest).unwrap();
    assert_eq!(latest, b"forged again");
    let again = put(&store, "overwritten", b"original").unwrap();
    assert!(again.existed, "the first version counts, not the last");
}

#[test]
fn a_put_only_identity_records() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let options = server.put_only();
    let store = store(&options);
    let body = b"sealed by a writer";
    let asked = once(body);
    let receipt = store.put("reel-1", Body::Bytes(body), &asked).unwrap();
    assert!(!receipt.existed);
    assert_eq!(receipt.lock, LockState::NotVerified);
    let error = store.get("reel-1", None, None).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Denied(_)), "{error:?}");
    let sentence = error.to_string();
    assert!(sentence.contains("access key wraccess"), "{sentence}");
    assert!(sentence.contains("s3:GetObject"), "{sentence}");
    // Without the right to compare, a name that holds the hash stands for the content.
    let named = format!("reel-{}", tapedeck::store::hex(&asked.sha256));
    assert!(
        !store
            .put(&named, Body::Bytes(body), &asked)
            .unwrap()
            .existed
    );
    let again = store.put(&named, Body::Bytes(body), &asked).unwrap();
    assert!(again.existed);
    assert_eq!(again.remarks.len(), 1);
    let again = store.put("reel-1", Body::Bytes(body), &asked);
    assert!(matches!(again, Err(StoreError::Denied(_))), "{again:?}");
    let refused = store.put(
        "reel-2",
        Body::Bytes(body),
        &locked(body, LockMode::Governance, 9),
    );
    let sentence = refused.unwrap_err().to_string();
    assert!(sentence.contains("s3:PutObjectRetention"), "{sentence}");
    let admin = S3Options {
        prefix: options.prefix.clone(),
        ..server.options(&options.bucket)
    };
    let kept = entries(&self::store(&admin));
    assert_eq!(kept.len(), 2);
    let version = kept[0].version.as_deref().unwrap();
    let key = format!("{}/{}", admin.prefix, kept[0].key);
    assert!(
        server.delete_version(&admin, &key, version).is_err(),
        "the bucket's lock holds"
    );
}

#[test]
fn wrong_keys_missing_buckets_and_dead_endpoints_are_told_apart() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let good = server.bucket("refusals", false);
    let wrong = S3Options {
        keys: Some(seaweed::keys("ciaccess", "wrong")),
        ..good.clone()
    };
    let error = put(&store(&wrong), "a", b"x").unwrap_err();
    assert!(matches!(error, StoreError::Credentials(_)), "{error:?}");
    assert!(
        error.to_string().contains("AWS_SECRET_ACCESS_KEY"),
        "{error}"
    );
    let missing = server.options("no-such-bucket");
    // A put by the administrator would make SeaweedFS make the bucket.
    for error in [
        store(&missing)
            .get("a", None, None)
            .map(|_| ())
            .unwrap_err(),
        store(&missing).head("a").unwrap_err(),
        store(&missing).list("", &mut |_| true).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Missing(_)), "{error:?}");
        assert!(error.to_string().contains("s3://no-such-bucket"), "{error}");
    }
    let dead = S3Options {
        // Nothing listens on the discard port of loopback.
        endpoint: Some("http://127.0.0.1:9".into()),
        ..good
    };
    let error = put(&store(&dead), "a", b"x").unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.is_transient());
}

#[test]
fn a_store_that_comes_back_is_used_again() {
    let Some(server) = Seaweed::start() else {
        return;
    };
    let options = server.bucket("away", true);
    let store = store(&options);
    put(&store, "a", b"before").unwrap();
    server.stop();
    let error = put(&store, "b", b"while away").unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    server.resume();
    put(&store, "b", b"while away").unwrap();
    assert_eq!(keys(&store, ""), ["a", "b"]);
    assert_eq!(read(&store, "a", None), b"before");
}

#[test]
fn bodies_above_the_threshold_go_in_parts_and_are_locked_whole() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let options = S3Options {
        multipart_above: Some(1024 * 1024),
        ..server.bucket("parts", true)
    };
    let store = store(&options);
    let body: Vec<u8> = (0..9 * 1024 * 1024_u32)
        .flat_map(|n| (n / 7).to_le_bytes())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    std::fs::write(&path, &body).unwrap();
    let asked = locked(&body, LockMode::Compliance, 600);
    let receipt = store.put("big", Body::File(&path), &asked).unwrap();
    assert!(matches!(receipt.lock, LockState::Locked(_)), "{receipt:?}");
    assert_eq!(read(&store, "big", receipt.version.as_deref()), body);
    let again = store.put("big", Body::File(&path), &asked).unwrap();
    assert!(again.existed);
    let other = vec![1; 2 * 1024 * 1024];
    let refused = put(&store, "big", &other);
    assert!(matches!(refused, Err(StoreError::Exists(_))), "{refused:?}");
    assert_eq!(server.unfinished_uploads(&options), 0);
}

#[test]
fn listings_go_on_over_pages() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let options = server.bucket("pages", true);
    let store = store(&options);
    let wanted: Vec<String> = (0..1500).map(|n| format!("k/{n:05}")).collect();
    std::thread::scope(|scope| {
        for part in wanted.chunks(190) {
            let options = &options;
            scope.spawn(move || {
                for key in part {
                    server.overwrite(options, key, b"x");
                }
            });
        }
    });
    // The last key of the first page goes on in the second.
    server.overwrite(&options, "k/00999", b"y");
    server.delete(&options, "k/00998");
    assert_eq!(keys(&store, ""), wanted);
    let odd: Vec<_> = entries(&store)
        .into_iter()
        .filter_map(|entry| Some((entry.key, entry.oddity?)))
        .collect();
    assert_eq!(
        odd,
        [
            ("k/00998".into(), Oddity::HiddenByMarker),
            ("k/00999".into(), Oddity::NewerVersions(1)),
        ]
    );
}

#[test]
fn a_check_tells_rights_and_leaves_nothing_behind() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let options = server.bucket("checked", true);
    server.lock_by_default(&options, ObjectLockRetentionMode::Compliance, 3);
    let report = store(&options).check();
    assert!(report.can_record(), "{report}");
    assert_eq!(report.facts["object lock"], "on", "{report}");
    assert_eq!(report.facts["versioning"], "on", "{report}");
    assert_eq!(
        report.facts["default retention"], "COMPLIANCE for 3 days",
        "{report}"
    );
    assert_eq!(entries(&store(&options)), []);
    assert_eq!(server.unfinished_uploads(&options), 0);

    let writer = store(&server.put_only()).check();
    assert!(writer.can_record(), "{writer}");
    assert!(!writer.can_read(), "{writer}");
    let list = writer
        .rights
        .iter()
        .find(|right| right.permission == "s3:ListBucket");
    assert_eq!(list.unwrap().state, RightState::Missing, "{writer}");

    let missing = store(&server.options("no-such-bucket-2")).check();
    assert!(
        !missing.can_record() && missing.problems[0].contains("there is no bucket"),
        "{missing}"
    );
}
