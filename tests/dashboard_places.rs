//! A live run and a store that it records to, looked at side by side: what is asked of the store is
//! answered by its indexes, as a run that opens the store answers it, and nothing of the live run is in it.
//!
//! Skips by name without the right to capture; the part in a browser also without node or Chromium.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::dashboard::{Tap, browser_tools, drive, send, start_live, text};
use crate::road::may_capture;

/// Requests on each connection.
const REQUESTS: usize = 2;

/// Answers every request, `/bad` with 500; ends with the process.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || answer(&stream));
        }
    });
    port
}

fn answer(mut stream: &TcpStream) {
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(asked)) = lines.next() {
        // Up to the empty line behind the head.
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        let status = match asked.contains("/bad") {
            true => "500 Internal Server Error",
            false => "200 OK",
        };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
    }
}

/// Connections, one after the other, each with requests for `path`.
fn load(port: u16, connections: usize, path: &str) {
    for _ in 0..connections {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        for _ in 0..REQUESTS {
            // In one packet.
            let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                answers.read_line(&mut line).unwrap();
            }
            std::io::Read::read_exact(&mut answers, &mut [0; 2]).unwrap();
        }
    }
}

/// A live run on loopback; it ends with the value.
struct Run {
    child: Child,
    address: SocketAddr,
    token: String,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Run {
    fn start(home: &Path, port: u16) -> Run {
        let filter = format!("tcp port {port}");
        let (child, address, token) = start_live(home, &["-i", "lo", "--bpf", &filter], &[]);
        Run {
            child,
            address,
            token,
        }
    }

    fn ask(&self, line: &str, body: &Json) -> (u16, Json) {
        let (status, answer) = send(self.address, &self.token, line, body);
        (
            status,
            serde_json::from_slice(&answer).unwrap_or(Json::Null),
        )
    }

    fn get(&self, path: &str) -> Json {
        let (status, answer) = self.ask(&format!("GET /api/v1{path}"), &Json::Null);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// An answer about which `is` says that it is the one.
    fn until(&self, path: &str, is: &dyn Fn(&Json) -> bool) -> Json {
        let late = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.get(path);
            if is(&answer) {
                return answer;
            }
            assert!(Instant::now() < late, "{path}: {answer}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('/', "%2F")
}

/// The counts of a sum that are the same wherever it is made.
fn counts(sum: &Json) -> Json {
    let names = ["count", "good", "warn", "bad", "bytes", "first", "last"];
    names
        .iter()
        .map(|name| (*name, sum[*name].clone()))
        .collect()
}

#[test]
fn what_sums_up_follows_the_place() {
    if !may_capture() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("reels");
    std::fs::create_dir(&folder).unwrap();
    let store = folder.display().to_string();
    let port = serve();
    let run = Run::start(home.path(), port);
    let declared = json!({"name": "kept", "kfl": "http", "destination": store});
    let (status, answer) = run.ask("POST /api/v1/recordings/add", &declared);
    assert_eq!(status, 200, "{answer}");
    load(port, 3, "/kept");
    let total =
        |wanted: u64| move |line: &Json| line["all"]["count"] == wanted && line["behind"] == 0;
    run.until("/timeline", &total(6));
    let (_, sealed) = run.ask("POST /api/v1/recordings/seal", &Json::Null);
    assert_ne!(sealed, json!(0), "{sealed}");
    let at = format!("place={}", escaped(&store));
    let days = format!("/archive/days?store={}", escaped(&store));
    run.until(&days, &|found| found["days"] != json!([]));
    run.ask("POST /api/v1/recordings/remove?name=kept", &Json::Null);
    // A store of a recording that was stopped is known by what was uploaded to it.
    run.until("/archive/stores", &|found| {
        let stores = found["stores"].as_array().unwrap();
        stores.contains(&json!(store))
    });
    load(port, 2, "/bad");
    let live = run.until("/timeline", &total(10));
    assert_eq!(live["all"]["bad"], 4);

    // The store alone, by filter and time.
    let line = run.until(&format!("/timeline?{at}"), &total(6));
    assert_eq!(line["all"]["bad"], 0, "{line}");
    let failed = format!("/timeline?{at}&q=response.status%20==%20500");
    run.until(&failed, &total(0));
    let groups = run.get(&format!("/groups?{at}&by=endpoint"));
    assert_eq!(groups["groups"].as_array().unwrap().len(), 1, "{groups}");
    assert_eq!(groups["groups"][0]["labels"][2], "/kept");
    let map = run.get(&format!("/map?{at}"));
    assert_eq!(map["edges"][0]["count"], 6, "{map}");
    let cover = run.get(&format!("/coverage?{at}"));
    assert!(!cover["reels"].as_array().unwrap().is_empty(), "{cover}");
    assert_eq!(run.get("/coverage?place=spool")["captured"], json!([]));
    let stored = run.get(&format!("/flows?{at}"));
    assert_eq!(stored["connections"].as_array().unwrap().len(), 3);
    assert!(stored["connections"].as_array().unwrap().iter().all(|one| {
        one["packets"].is_null() && one["bytes"].is_null() && one["items"] == REQUESTS
    }));
    // Items have numbers of the store, also when its listing is read again.
    let items = run.get(&format!("/items?{at}&limit=100"));
    let rows = items["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6, "{items}");
    let row = &rows[0];
    let item = run.get(&format!("/item/{}?{at}", row["n"]));
    assert_eq!(item["row"]["summary"], "/kept");
    let id = escaped(row["id"].as_str().unwrap()).replacen("%2F", "/", 1);
    assert_eq!(run.get(&format!("/item/{id}?{at}"))["row"], item["row"]);
    let stream = row["stream"].as_str().unwrap();
    let packets = format!("/packets/{stream}?{at}&n={}", row["n"]);
    assert!(run.get(&packets)["packets"].as_array().unwrap().len() > 4);
    let elsewhere = format!("GET /api/v1/flows?{at}&before=99999999999");
    assert_eq!(run.ask(&elsewhere, &Json::Null).0, 404);
    // What is no place, or has no index, says so.
    for (place, status) in [("spool", 400), ("s3:%2F%2Felsewhere", 404)] {
        for path in ["timeline", "groups", "map", "flows"] {
            let asked = format!("GET /api/v1/{path}?place={place}");
            assert_eq!(run.ask(&asked, &Json::Null).0, status, "{asked}");
        }
    }

    // Of the live run the spool has whole streams, and their packets are counted.
    let live = run.get("/flows");
    let connections = live["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 5, "{live}");
    for one in connections {
        let stream = one["stream"].as_str().unwrap();
        let table = run.get(&format!("/packets/{stream}"));
        let packets = table["packets"].as_array().unwrap();
        assert_eq!(one["packets"], packets.len(), "{one}");
        let bytes: u64 = packets
            .iter()
            .map(|one| one["length"].as_u64().unwrap())
            .sum();
        assert_eq!(one["bytes"], bytes, "{one}");
    }

    in_a_browser(&run, &store);

    // A run that opens the store answers alike.
    drop(run);
    let tap = Tap::on(&folder, tempfile::tempdir().unwrap(), 0);
    let late = Instant::now() + Duration::from_secs(60);
    let opened = loop {
        let opened = tap.json("/timeline");
        if total(6)(&opened) || Instant::now() > late {
            break opened;
        }
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(counts(&opened["all"]), counts(&line["all"]));
    let opened = tap.json("/groups?by=endpoint");
    assert_eq!(opened["groups"][0]["labels"], groups["groups"][0]["labels"]);
}

/// Bytes of all packets that were told.
fn bytes_of(told: &Json) -> Vec<u8> {
    let packets = told["packets"].as_array().unwrap().iter();
    let bytes = packets.map(|packet| STANDARD.decode(packet["bytes"].as_str().unwrap()).unwrap());
    bytes.flatten().collect()
}

#[test]
fn rows_of_an_earlier_run_lead_to_its_packets() {
    if !may_capture() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let port = serve();
    let first = Run::start(home.path(), port);
    load(port, 1, "/first");
    first.until("/timeline", &|line| line["all"]["count"] == 2);
    drop(first);
    // A run has the second in which it began as its number.
    thread::sleep(Duration::from_millis(1100));
    let run = Run::start(home.path(), port);
    load(port, 1, "/second");
    run.until("/timeline", &|line| line["all"]["count"] == 2);
    let found = run.get("/search?place=spool&q=request.path%20==%20%22/first%22");
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{found}");
    let row = &rows[0];
    assert!(row["n"].is_null() && row["key"].is_string(), "{row}");
    let live = &run.get("/items")["rows"][0];
    assert_eq!(live["stream"], row["stream"], "names begin anew");
    let has = |told: &Json, path: &str| {
        let path = format!("GET {path} ");
        bytes_of(told)
            .windows(path.len())
            .any(|part| part == path.as_bytes())
    };
    let (stream, of) = (row["stream"].as_str().unwrap(), &row["run"]);
    let asked = format!("/packets/{stream}?run={of}");
    let packets = run.get(&asked);
    assert!(has(&packets, "/first") && !has(&packets, "/second"));
    assert_eq!(run.get(&format!("{asked}&place=spool")), packets);
    let present = run.get(&format!("/packets/{stream}"));
    assert!(has(&present, "/second") && !has(&present, "/first"));
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "packets", "arguments": {"stream": stream, "run": of, "worker": row["worker"]}}});
    let told = mcp(&run, &call);
    assert!(
        has(&told["result"]["structuredContent"], "/first"),
        "{told}"
    );
    let (status, said) = run.ask(&format!("GET /api/v1/packets/{stream}?run=1"), &Json::Null);
    assert_eq!(status, 404);
    let said = said["error"].as_str().unwrap();
    assert!(said.contains("run 1 is no longer in the spool"), "{said}");
    in_the_spool(&run);
}

/// What one message of the Model Context Protocol is answered.
fn mcp(run: &Run, message: &Json) -> Json {
    let body = message.to_string();
    let mut stream = TcpStream::connect(run.address).unwrap();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        run.address,
        run.token,
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

fn in_the_spool(run: &Run) {
    if browser_tools().is_none() {
        return;
    }
    let url = format!("http://{}/?token={}", run.address, run.token);
    let Some(seen) = drive("spool.mjs", &[&url]) else {
        return;
    };
    for list in ["errors", "foreign"] {
        assert_eq!(seen[list], json!([]), "{seen:#}");
    }
    for name in ["bytes", "bytesAgain"] {
        let shown = text(&seen, name);
        assert!(shown.contains("/first"), "{name}: {shown}");
    }
    assert!(text(&seen, "details").contains("/first"), "{seen:#}");
    assert_eq!(seen["chosen"], seen["chosenAgain"], "{seen:#}");
    assert!(text(&seen, "gone").contains("no longer"), "{seen:#}");
}

fn in_a_browser(run: &Run, store: &str) {
    if browser_tools().is_none() {
        return;
    }
    let url = format!("http://{}/?token={}", run.address, run.token);
    let Some(seen) = drive("places.mjs", &[&url, store]) else {
        return;
    };
    for list in ["errors", "foreign", "axe", "foreignToPlace"] {
        assert_eq!(seen[list], json!([]), "{seen:#}");
    }
    let has = |name: &str, parts: &[&str]| {
        let said = text(&seen, name);
        for part in parts {
            assert!(said.contains(part), "{name} without {part:?}: {said}");
        }
    };
    has("where", &[store, "nothing of the live run"]);
    has("timeline", &["6 items", "0 failed"]);
    has("endpoints", &["1 group of 6 items"]);
    has("map", &["pair"]);
    has("flows", &["3 connections"]);
    assert_eq!(seen["flowPackets"], "\u{2013}", "{seen:#}");
    has("flowTitle", &["Not known"]);
    has("compared", &["items before"]);
    has("details", &["/kept"]);
    assert!(seen["packets"].as_u64().unwrap() > 4, "{seen:#}");
    has("state", &["listed", "the live run:"]);
    for view in ["Health", "Scripts", "Recordings", "Archive"] {
        has(&format!("about{view}"), &["This is about", store]);
    }
    has("spoolTimeline", &["no index"]);
    has("spoolEndpoints", &["not summed up"]);
    has("linked", &["6 items"]);
    has("back", &["10 items"]);
    assert_eq!(seen["typed"], json!({"box": "dns", "applied": ""}));
    has("missed", &["the flow of this link"]);
    assert!(!text(&seen, "notValid").is_empty(), "{seen:#}");
    assert_eq!(seen["notListed"], json!({"word": "not listed", "told": ""}));
    has("denied", &["s3:ListBucket on s3://secret is denied"]);
    assert_eq!(seen["deniedBelow"], "");
    assert_ne!(seen["livePackets"], "\u{2013}", "{seen:#}");
}
