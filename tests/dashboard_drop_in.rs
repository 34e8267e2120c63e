//! Routes that clients of other programs know, as they ask them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tapedeck::synth;

use crate::dashboard::{Tap, assert_saved, send, shop};

const VIEW: &str = "view-0123456789abcdef";
const INVESTIGATE: &str = "investigate-0123456789abcdef";

/// Items of the source, as soon as they are there.
fn rows(tap: &Tap, count: usize) -> Vec<Json> {
    for _ in 0..400 {
        let page = tap.json("/items");
        let rows = page["rows"].as_array().unwrap();
        if rows.len() == count {
            return rows.clone();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the items did not come");
}

fn read(answer: (u16, Vec<u8>)) -> (u16, Json) {
    let (status, body) = answer;
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[test]
fn old_paths_have_their_roles() {
    let tokens = json!({"view": VIEW, "investigate": INVESTIGATE});
    let tap = Tap::open_with(&shop(), 0, &[&format!("tap.dashboard.tokens={tokens}")]);
    let stream = rows(&tap, 3)[0]["stream"].as_str().unwrap().to_owned();
    let replay = format!("POST /api/pcaps/replay/127.0.0.1:8897/{stream}");
    let cases = [
        ("GET /api/license", [200, 200, 200]),
        // Off unless the configuration says otherwise.
        (replay.as_str(), [403, 403, 403]),
        ("POST /api/pcaps/set-storage-limit", [403, 403, 400]),
        ("POST /api/pcaps/merge", [403, 200, 200]),
        // Of a recorded source nothing is chosen, and workers tell of themselves elsewhere.
        ("POST /api/pods/targeted", [403, 403, 400]),
        ("POST /api/pods/worker", [403, 403, 410]),
    ];
    for (line, wanted) in cases {
        let tokens = [VIEW, INVESTIGATE, &tap.token];
        let got = tokens.map(|token| send(tap.address, token, line, &json!({})).0);
        assert_eq!(got, wanted, "{line}");
    }
    let get = replay.replacen("POST", "GET", 1);
    assert_eq!(send(tap.address, &tap.token, &get, &json!({})).0, 405);
    let license = tap.json("/license");
    assert_eq!(
        (&license["license"], &license["valid"]),
        (&json!("Apache-2.0"), &json!(true))
    );
    // What was recorded has no spool that could be bounded.
    for (limit, part) in [
        (json!(1 << 30), "no packets are captured here"),
        (json!("many"), "a size such as 5Gi"),
        (json!(7), "at least"),
        (json!([]), "not as it must be"),
    ] {
        let line = "POST /api/pcaps/set-storage-limit";
        let (status, answer) = read(send(
            tap.address,
            &tap.token,
            line,
            &json!({"limit": limit}),
        ));
        assert_eq!(status, 400, "{limit}");
        let said = answer["error"].as_str().unwrap();
        assert!(said.contains(part), "{limit}: {said}");
    }
}

#[test]
fn what_a_client_sent_is_shown_and_then_sent_once_more() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let asked = "GET /orders HTTP/1.1\r\nHost: shop\r\n\r\n";
    let frames = synth::tcp(([10, 0, 0, 1], 40000), ([127, 0, 0, 1], port))
        .to_server(asked)
        .to_client("HTTP/1.1 204 No Content\r\n\r\n")
        .fin();
    let tap = Tap::open_with(&frames, 0, &["tap.dashboard.replay=true"]);
    let stream = rows(&tap, 1)[0]["stream"].as_str().unwrap().to_owned();
    let line = |more: &str| format!("POST /api/pcaps/replay/127.0.0.1:8897/{stream}?{more}");
    let ask = |more: &str| read(send(tap.address, &tap.token, &line(more), &json!({})));
    let (status, shown) = ask("");
    assert_eq!((status, &shown["text"]), (200, &json!(asked)), "{shown:#}");
    assert_eq!(shown["to"], format!("127.0.0.1:{port}"));
    let sum = shown["sha256"].as_str().unwrap();
    // Other bytes, and the same to elsewhere, are not what was shown.
    for more in ["sha256=00".to_owned(), format!("sha256={sum}&port=1")] {
        assert_eq!(ask(&more).0, 409, "{more}");
    }
    for (more, part) in [
        ("host=shop", "no address"),
        ("host=169.254.169.254", "credentials"),
    ] {
        let (status, answer) = ask(more);
        assert_eq!(status, 400, "{more}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
    }
    let answering = std::thread::spawn(move || {
        let answered = (0..2).map(|_| {
            let (mut stream, _) = server.accept().unwrap();
            let mut asked = String::new();
            stream.read_to_string(&mut asked).unwrap();
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .unwrap();
            asked
        });
        answered.collect::<Vec<String>>()
    });
    let (status, answer) = ask(&format!("sha256={sum}&count=2&delay=1"));
    assert_eq!(status, 200, "{answer:#}");
    assert_eq!((&answer["sent"], &answer["failed"]), (&json!(2), &json!(0)));
    assert_eq!(answer["statuses"], json!({"204": 2}));
    assert_eq!(answering.join().unwrap(), [asked, asked]);
}

#[test]
fn streams_of_a_query_and_of_a_list_are_one_archive() {
    let frames = shop();
    let tap = Tap::open(&frames, 0);
    let all = rows(&tap, 3);
    let folder = tempfile::tempdir().unwrap();
    let save = |line: &str, body: &Json, packets: usize| {
        let (status, bytes) = send(tap.address, &tap.token, line, body);
        assert_eq!(status, 200, "{line}: {}", String::from_utf8_lossy(&bytes));
        let path = folder.path().join("saved.tar.gz");
        std::fs::write(&path, bytes).unwrap();
        assert_saved(&path, packets);
    };
    save("GET /api/pcaps/matching?q=http", &json!({}), frames.len());
    let merge = "POST /api/pcaps/merge";
    save(merge, &json!({"query": "http"}), frames.len());
    let page = all.iter().find(|row| row["summary"] == "/page").unwrap();
    let one = page["stream"].as_str().unwrap();
    let of_one = frames
        .iter()
        .filter(|frame| {
            let port = u16::to_be_bytes(40001);
            frame.bytes[34..36] == port || frame.bytes[36..38] == port
        })
        .count();
    save(merge, &json!({"pcaps": {"127.0.0.1:8897": [one]}}), of_one);
    for (body, wanted, part) in [
        (json!({"query": "dns"}), 404, "no item matches"),
        (json!({"query": "http and ("}), 400, "expected"),
        (
            json!({"pcaps": {"127.0.0.1:8897": ["../x"]}}),
            404,
            "no name of a stream",
        ),
        (json!([7]), 400, "not as it must be"),
    ] {
        let (status, answer) = read(send(tap.address, &tap.token, merge, &body));
        assert_eq!(status, wanted, "{body}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
    }
}

/// The folders of an archive.
fn folders(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let entries = archive.entries().unwrap();
    let mut folders: Vec<String> = entries
        .map(|entry| {
            let path = entry.unwrap().path().unwrap().display().to_string();
            path.split_once('/').unwrap().0.to_owned()
        })
        .collect();
    folders.dedup();
    folders
}

#[test]
fn a_source_that_is_open_by_its_index_answers_old_paths_as_well() {
    let frames = shop();
    let home = tempfile::tempdir().unwrap();
    let capture = home.path().join("made.pcap");
    std::fs::write(&capture, synth::savefile(&frames)).unwrap();
    let named = |tap: &Tap| {
        let row = rows(tap, 3).remove(0);
        let body = json!({"pcaps": {"127.0.0.1:8897": [row["stream"]]}});
        let merge = "POST /api/pcaps/merge";
        let of_list = send(tap.address, &tap.token, merge, &body);
        let of_query = send(tap.address, &tap.token, merge, &json!({"query": "http"}));
        assert_eq!((of_list.0, of_query.0), (200, 200));
        (folders(&of_list.1), folders(&of_query.1))
    };
    let by_packets = Tap::at(&capture, home.path(), 0, &["--dissect"]);
    let (wanted, same) = named(&by_packets);
    assert_eq!(wanted, same);
    let streams = by_packets.json("/pcaps/total-tcp-streams");
    drop(by_packets);
    for _ in 0..2 {
        // The first of these makes the index, and goes over to it.
        let tap = Tap::at(&capture, home.path(), 0, &[]);
        rows(&tap, 3);
        for _ in 0..400 {
            if !tap.json("/status")["archive"].is_null() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(named(&tap), (wanted.clone(), wanted.clone()));
        assert_eq!(tap.json("/pcaps/total-tcp-streams"), streams);
    }
}

#[test]
fn targets_are_posted_by_their_old_path_and_workers_are_refused() {
    let tap = Tap::open(&shop(), 0);
    let ask = |line: &str| read(send(tap.address, &tap.token, line, &json!({"regex": "a"})));
    let (status, targets) = ask("POST /api/targets");
    assert_eq!(ask("POST /api/pods/targeted"), (status, targets));
    let (status, answer) = ask("POST /api/pods/worker");
    assert_eq!(status, 410, "{answer}");
    let said = answer["error"].as_str().unwrap();
    assert!(said.contains("tapedeck worker --hub"), "{said}");
    let (status, answer) = ask("GET /api/v1/items?limit=abc");
    assert_eq!(status, 400, "{answer}");
    let said = answer["error"].as_str().unwrap();
    assert_eq!(said, "limit: it is no whole number");
}
