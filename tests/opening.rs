//! An archive on the dashboard: by its indexes, with packets only where they are needed.

use std::collections::BTreeSet;
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::dashboard::Tap;
use crate::lake::{comparable, files, query, recorded, traffic};

fn tap(archive: &Path) -> Tap {
    Tap::on(archive, tempfile::tempdir().unwrap(), 0)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// All rows that match, page by page.
fn rows(tap: &Tap, q: &str, limit: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut before = String::new();
    loop {
        let page = tap.json(&format!("/items?q={}&limit={limit}{before}", encoded(q)));
        let found = page["rows"].as_array().unwrap();
        assert!(found.len() <= limit);
        rows.extend(found.iter().cloned());
        match page["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => return rows,
        }
    }
}

/// What a summary says when all is counted.
fn whole(tap: &Tap, path: &str) -> Value {
    loop {
        let found = tap.json(path);
        if found["behind"] == 0 {
            return found;
        }
    }
}

#[test]
fn a_recording_is_tried_on_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let tap = tap(&archive);
    let tried = |q: &str| whole(&tap, &format!("/recordings/backtest?q={}", encoded(q)));
    let all = tried("true");
    assert_eq!(all["items"], 62);
    assert_eq!(all["itemsSeen"], 62);
    assert_eq!(all["streams"], all["streamsSeen"]);
    assert_eq!(all["bytes"], all["bytesSeen"]);
    assert_eq!(all["byNamespace"][0]["namespace"], "shop");
    // A stream is kept as a whole: the long connection with the items of its three reels.
    let one = tried("response.status == 503");
    assert_eq!((&one["items"], &one["streams"]), (&1.into(), &1.into()));
    let size = |item: &Value| item["size"].as_u64().unwrap();
    let long: u64 = query(&archive, &["--newest", "--kfl", "src.port == 4000"])
        .iter()
        .map(size)
        .sum();
    assert_eq!(one["bytes"], long);
    // Bodies are in the packets alone.
    let bodies = tried("response.content.text.contains(\"OjUwMH0\")");
    let failed = tried("response.status == 500");
    assert_eq!(failed["items"], 12);
    for member in ["items", "streams", "bytes", "bytesPerDay"] {
        assert_eq!(bodies[member], failed[member], "{member}");
    }
}

#[test]
fn a_savefile_that_was_indexed_is_asked_for_bodies_too() {
    let home = tempfile::tempdir().unwrap();
    let capture = capture(home.path());
    let kfl = "response.content.text.contains(\"a\")";
    let wanted = query(&capture, &["--kfl", kfl]).len();
    assert!(wanted > 0);
    let tap = Tap::at(&capture, home.path(), 0, &[]);
    indexed(&tap);
    assert_eq!(rows(&tap, kfl, 100).len(), wanted);
}

#[test]
fn an_archive_is_shown_by_its_indexes_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let tap = tap(&archive);
    let shown = rows(&tap, "", 7);
    let items = query(&archive, &["--newest"]);
    let of = |row: &Value| (row["id"].to_string(), row["timestamp"].as_i64().unwrap());
    let wanted: Vec<_> = items.iter().map(of).collect();
    assert_eq!(shown.iter().map(of).collect::<Vec<_>>(), wanted);
    let numbers: BTreeSet<u64> = shown.iter().map(|row| row["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), items.len());
    assert!(numbers.last() < Some(&(1 << 53)), "{numbers:?}");

    // So far no packet was asked for.
    let packets: u64 = files(&archive, ".pcapng.zst")
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    let indexes: u64 = files(&archive, ".items.parquet")
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    let status = tap.json("/status");
    let read = status["archive"]["bytes"].as_u64().unwrap();
    assert!(
        read <= indexes && read > 0,
        "{read} of {indexes} and {packets}"
    );
    assert_eq!(status["archive"]["reels"], 3);

    for (row, item) in shown.iter().zip(&items).step_by(9) {
        let found = tap.json(&format!("/item/{}", row["n"]));
        assert_eq!(found["row"]["n"], row["n"]);
        let (left, right) = (&found["item"], item);
        assert_eq!(
            comparable(std::slice::from_ref(left)),
            comparable(std::slice::from_ref(right))
        );
        assert!(left["response"]["content"]["text"].is_string(), "{left}");
        let id = row["id"].as_str().unwrap();
        let named = tap.json(&format!("/item/{id}"));
        assert_eq!(named["row"]["id"], row["id"]);
    }
}

#[test]
fn filters_times_and_sums_of_an_archive_are_those_of_its_items() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let tap = tap(&archive);
    for q in [
        "response.status == 500",
        "timestamp >= 1700000150000 and timestamp < 1700000160000",
        "response.content.text == \"eyJzdGF0dXMiOjUwMH0=\"",
        "dst.name == \"nobody\"",
    ] {
        let found = rows(&tap, q, 5).len();
        assert_eq!(
            found,
            query(&archive, &["--newest", "--kfl", q]).len(),
            "{q}"
        );
    }
    let bodies = "response.content.text == \"eyJzdGF0dXMiOjUwMH0=\"";
    let row = &rows(&tap, bodies, 5)[0];
    let found = tap.json(&format!("/item/{}", row["n"]));
    assert_eq!(found["item"]["response"]["status"], 500);

    let line = whole(&tap, "/timeline?q=&limit=3");
    assert_eq!(line["all"]["count"], 62);
    assert_eq!(line["since"], Value::Null);
    let slots = line["slots"].as_array().unwrap().iter();
    assert_eq!(
        slots
            .map(|slot| slot["count"].as_u64().unwrap())
            .sum::<u64>(),
        62
    );
    let groups = whole(&tap, "/groups?q=&by=status");
    let bad = groups["groups"].as_array().unwrap().iter();
    let bad = bad.filter(|group| group["labels"][1] == "500");
    assert_eq!(
        bad.map(|group| group["count"].as_u64().unwrap())
            .sum::<u64>(),
        12
    );
    let map = whole(
        &tap,
        &format!("/map?q={}", encoded("response.status == 500")),
    );
    assert_eq!(map["edges"][0]["count"], 12);
    assert_eq!(map["edges"][0]["src"], "web.shop");
    assert_eq!(tap.json("/status")["counts"]["items"]["HTTP"], 62);
}

#[test]
fn a_stream_of_an_archive_is_found_in_all_its_reels() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let tap = tap(&archive);
    let row = &rows(&tap, "request.path == \"/straddles\"", 5)[0];
    let stream = row["stream"].as_str().unwrap();
    let table = tap.json(&format!("/packets/{stream}?n={}", row["n"]));
    let packets = table["packets"].as_array().unwrap();
    let ends: BTreeSet<&str> = packets
        .iter()
        .map(|one| one["src"].as_str().unwrap())
        .collect();
    assert_eq!(ends, BTreeSet::from(["10.0.0.1:4000", "10.0.0.2:80"]));
    // The opening is in the first reel, the answer in the second.
    assert!(
        packets[0]["info"].as_str().unwrap().starts_with("SYN"),
        "{}",
        packets[0]
    );
    let last: i64 = packets.last().unwrap()["at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(last > 1_700_000_200_000_000_000, "{last}");
    let without = tap.json(&format!("/packets/{stream}"));
    assert_eq!(without["packets"].as_array().unwrap().len(), packets.len());
}

#[test]
fn a_reel_without_its_index_is_indexed_on_first_sight_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let items = query(&archive, &["--newest"]);
    std::fs::remove_file(&files(&archive, "items.parquet")[2]).unwrap();
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join(".cache/tapedeck/ranges");
    let tap = Tap::on(&archive, home, 0);
    let shown = rows(&tap, "", 10);
    assert_eq!(shown.len(), items.len());
    let made = || files(&cache, ".items.parquet");
    assert_eq!(made().len(), 1);
    let wrote = made()[0].metadata().unwrap().modified().unwrap();
    assert_eq!(rows(&tap, "response.status == 500", 10).len(), 12);
    assert_eq!(made().len(), 1);
    assert!(made()[0].metadata().unwrap().modified().unwrap() >= wrote);
    let found = tap.json(&format!("/item/{}", shown[0]["n"]));
    assert!(found["item"]["response"]["content"]["text"].is_string());
}

/// The demo capture in a folder of its own.
fn capture(folder: &Path) -> std::path::PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo.pcap");
    let to = folder.join("demo.pcap");
    std::fs::copy(from, &to).unwrap();
    to
}

/// Waits until the index of what was dissected is there.
fn indexed(tap: &Tap) {
    for _ in 0..600 {
        if tap.json("/status")["archive"].is_object() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("there is no index");
}

#[test]
fn a_capture_is_opened_by_the_index_that_its_first_reading_left() {
    let home = tempfile::tempdir().unwrap();
    let capture = capture(home.path());
    let first = Tap::at(&capture, home.path(), 0, &[]);
    indexed(&first);
    let before = rows(&first, "", 100);
    assert_eq!(before.len(), 320);
    // Queries about what is measured finer than it is shown, and about members that are always empty.
    let counts = |tap: &Tap| {
        [
            "elapsedTime > 0",
            "elapsedTime < 1000 and elapsed_time > 0",
            "elapsed_time > 0 && elapsed_time < 1000",
            "elapsed_time in [0, 1]",
            "requestRef == \"\" and duplicate == \"\" and base == nil and src.cpuUsage == 0",
            "capture == nil and checksums == \"x\"",
            "https or http and status_code == 200",
        ]
        .map(|q| rows(tap, q, 100).len())
    };
    let counted = counts(&first);
    let fine = counted[1];
    assert!(
        fine > 0 && counted[0] > fine && counted[2] == fine,
        "{counted:?}"
    );
    assert_eq!(counted[4..6], [320, 0]);
    let streams = first.json("/pcaps/total-tcp-streams");
    drop(first);
    let kept = files(
        &home.path().join(".cache/tapedeck/ranges"),
        ".items.parquet",
    );
    assert_eq!(kept.len(), 1);

    let again = Tap::at(&capture, home.path(), 0, &[]);
    // It is there with the first answer, and the items are called as before.
    assert!(again.json("/status")["archive"].is_object());
    assert_eq!(rows(&again, "", 100), before);
    assert_eq!(counts(&again), counted);
    let named: BTreeSet<&str> = before
        .iter()
        .filter_map(|row| row["stream"].as_str())
        .collect();
    assert_eq!(again.json("/pcaps/total-tcp-streams"), named.len());
    assert!(streams.as_u64().unwrap() >= named.len() as u64);
    let http = &rows(&again, "response.status == 200", 10)[0];
    let found = again.json(&format!("/item/{}", http["n"]));
    assert!(
        found["item"]["response"]["content"]["text"].is_string(),
        "{found}"
    );
    assert_eq!(found["row"]["id"], http["id"]);
    let stream = http["stream"].as_str().unwrap();
    let packets = again.json(&format!("/packets/{stream}"));
    assert!(!packets["packets"].as_array().unwrap().is_empty());
    let folder_of = |body: serde_json::Value| {
        let line = "POST /api/pcaps/merge";
        let (status, bytes) = crate::dashboard::send(again.address, &again.token, line, &body);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let first = archive.entries().unwrap().next().unwrap().unwrap();
        let path = first.path().unwrap().display().to_string();
        path.split('/').next().unwrap().to_owned()
    };
    let worker = found["item"]["worker"].as_str().unwrap();
    let listed = folder_of(serde_json::json!({"pcaps": {worker: [stream]}}));
    let asked = format!("stream == \"{stream}\"");
    assert_eq!(listed, folder_of(serde_json::json!({"query": asked})));
    drop(again);

    // Another file under the same name is read anew.
    let file = std::fs::File::options()
        .append(true)
        .open(&capture)
        .unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let other = Tap::at(&capture, home.path(), 0, &[]);
    indexed(&other);
    let kept = files(
        &home.path().join(".cache/tapedeck/ranges"),
        ".items.parquet",
    );
    assert_eq!(kept.len(), 2);
}

#[test]
fn an_index_is_written_beside_a_capture_when_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let capture = capture(place.path());
    let first = Tap::at(&capture, home.path(), 0, &["--write-index"]);
    indexed(&first);
    let before = rows(&first, "", 100);
    drop(first);
    let beside = files(place.path(), ".items.parquet");
    assert_eq!(beside.len(), 1);
    let name = beside[0].file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("demo.pcap."), "{name}");
    // Somebody else, with an empty cache.
    let stranger = tempfile::tempdir().unwrap();
    let other = Tap::at(&capture, stranger.path(), 0, &[]);
    assert!(other.json("/status")["archive"].is_object());
    assert_eq!(rows(&other, "", 100), before);
}
