//! The contract of [`Store`] as one suite, run over every kind of store.
//!
//! In: an empty store. Out: nothing, or a panic that names the broken rule. Never: called outside
//! tests; it stands here, not beside them, so that unit and integration tests run the same suite.

use std::io::Read;

use sha2::{Digest as _, Sha256};

use super::{Body, PutOptions, Receipt, Store, StoreError};

/// Holds `store`, which must be empty, against the contract.
///
/// # Panics
/// When the store breaks it.
pub fn check(store: &dyn Store) {
    a_key_is_written_once(store);
    files_are_sent_as_bytes_are(store);
    a_wrong_digest_is_refused(store);
    racing_writers_have_one_winner(store);
    listings_are_complete_and_ordered(store);
    ranges_are_exact(store);
    what_is_missing_is_said_to_be(store);
    clearing_stops_at_the_folder(store);
}

/// Options of a write-once put of `bytes`.
pub fn once(bytes: &[u8]) -> PutOptions {
    PutOptions {
        sha256: Sha256::digest(bytes).into(),
        content_type: "application/octet-stream",
        lock: None,
        legal_hold: false,
        write_once: true,
        storage_class: String::new(),
    }
}

/// Puts `bytes` once.
pub fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<Receipt, StoreError> {
    store.put(key, Body::Bytes(bytes), &once(bytes))
}

/// All of an object.
///
/// # Panics
/// When it cannot be read.
pub fn read(store: &dyn Store, key: &str, version: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store
        .get(key, version, None)
        .and_then(|mut body| {
            body.read_to_end(&mut bytes)
                .map_err(|error| StoreError::Io(error.to_string()))
        })
        .unwrap_or_else(|error| panic!("{key} cannot be read: {error}"));
    bytes
}

/// All keys below `prefix`.
///
/// # Panics
/// When they cannot be listed.
pub fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    store
        .list(prefix, &mut |entry| {
            keys.push(entry.key);
            true
        })
        .unwrap_or_else(|error| panic!("{prefix} cannot be listed: {error}"));
    keys
}

fn a_key_is_written_once(store: &dyn Store) {
    let first = put(store, "once/a.bin", b"first").expect("a new key is written");
    assert!(!first.existed, "a new key existed");
    let again = put(store, "once/a.bin", b"first").expect("equal content is a success");
    assert!(again.existed, "equal content was written again");
    assert_eq!(first.version, again.version, "a retry gave another version");
    match put(store, "once/a.bin", b"other") {
        Err(StoreError::Exists(_)) => {}
        other => panic!("other content under a taken key gave {other:?}"),
    }
    assert_eq!(read(store, "once/a.bin", None), b"first");
    let entry = store.head("once/a.bin").expect("head").expect("an entry");
    assert_eq!(entry.size, 5);
    assert_eq!(entry.oddity, None);
    let by_version = read(store, "once/a.bin", first.version.as_deref());
    assert_eq!(by_version, b"first");
}

fn files_are_sent_as_bytes_are(store: &dyn Store) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("body");
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &bytes).expect("a temporary file");
    store
        .put("files/big.bin", Body::File(&path), &once(&bytes))
        .expect("a file is written");
    assert_eq!(read(store, "files/big.bin", None), bytes);
    put(store, "files/empty.bin", b"").expect("an empty object is written");
    assert_eq!(read(store, "files/empty.bin", None), b"");
}

fn a_wrong_digest_is_refused(store: &dyn Store) {
    let result = store.put("wrong/a.bin", Body::Bytes(b"changed"), &once(b"sealed"));
    assert!(
        matches!(result, Err(StoreError::Refused(_))),
        "a body that is not what was sealed gave {result:?}"
    );
    assert!(
        store.head("wrong/a.bin").expect("head").is_none(),
        "a refused body was kept"
    );
}

fn racing_writers_have_one_winner(store: &dyn Store) {
    let results: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8_u8)
            .map(|writer| scope.spawn(move || (writer, put(store, "race/a.bin", &[writer; 100]))))
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().expect("a writer"))
            .collect()
    });
    let winners: Vec<u8> = results
        .iter()
        .filter(|(_, result)| result.is_ok())
        .map(|(writer, _)| *writer)
        .collect();
    let [winner] = winners[..] else {
        panic!("{} of 8 writers won: {results:?}", winners.len());
    };
    for (_, result) in &results {
        assert!(
            matches!(result, Ok(_) | Err(StoreError::Exists(_))),
            "a loser got {result:?}"
        );
    }
    assert_eq!(read(store, "race/a.bin", None), [winner; 100]);
}

fn listings_are_complete_and_ordered(store: &dyn Store) {
    // `.` sorts before `/`, and `ab` is not below `a/`.
    let wanted = ["list/a.b", "list/a/1", "list/a/2/x", "list/ab", "list/b"];
    for key in wanted.iter().rev() {
        put(store, key, key.as_bytes()).expect("a put");
    }
    assert_eq!(keys(store, "list/"), wanted);
    assert_eq!(keys(store, "list/a/"), &wanted[1..3]);
    assert_eq!(
        keys(store, "list/a"),
        &wanted[..4],
        "a prefix may end inside a name"
    );
    assert_eq!(keys(store, "list/none"), Vec::<String>::new());
    let mut seen = 0;
    store
        .list("list/", &mut |_| {
            seen += 1;
            seen < 2
        })
        .expect("a listing");
    assert_eq!(seen, 2, "a listing went on after it was stopped");
}

fn ranges_are_exact(store: &dyn Store) {
    put(store, "range/a.bin", b"0123456789").expect("a put");
    let read = |range| {
        let mut bytes = Vec::new();
        store
            .get("range/a.bin", None, Some(range))
            .expect("a range")
            .read_to_end(&mut bytes)
            .expect("its bytes");
        bytes
    };
    assert_eq!(read((0, 1)), b"0");
    assert_eq!(read((3, 7)), b"3456");
    assert_eq!(read((8, 100)), b"89");
    assert_eq!(read((4, 4)), b"");
}

fn what_is_missing_is_said_to_be(store: &dyn Store) {
    assert_eq!(store.head("missing/a.bin").expect("head"), None);
    let result = store.get("missing/a.bin", None, None).map(|_| ());
    assert!(
        matches!(result, Err(StoreError::Missing(_))),
        "a missing key gave {result:?}"
    );
}

fn clearing_stops_at_the_folder(store: &dyn Store) {
    for key in ["node-1/a", "node-1/b/c", "node-12/a", "reels/a"] {
        put(store, key, b"x").expect("a put");
    }
    assert_eq!(store.clear("node-1").expect("clear"), 2);
    assert_eq!(keys(store, "node-1"), ["node-12/a"]);
    for refused in ["", "/", "reels", "reels/a"] {
        assert!(
            matches!(store.clear(refused), Err(StoreError::Refused(_))),
            "clearing {refused:?} was not refused"
        );
    }
    assert_eq!(keys(store, "reels/"), ["reels/a"]);
}
