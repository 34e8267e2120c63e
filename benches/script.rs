//! What a hook costs: time in the child for an item, and items a second through a child process.
//!
//! Run with `cargo bench --bench script`. The program starts itself as the child, with all limits
//! in force. The time in hooks is the child's own figure; the last column is wall time over all,
//! encoding left out, with one reader.

use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use tapedeck::item::flat;
use tapedeck::item::json::JsonNode;
use tapedeck::kfl::Schema;
use tapedeck::script::child;
use tapedeck::script::wire::{
    Batch, ClockMode, FromChild, Limits, Role, Small, Start, ToChild, ToParent, send_to_child,
};
use tapedeck::time::Timestamp;

/// Items that one measurement tells.
const ITEMS: u64 = 200_000;

/// Items of one batch, as the pipeline sends them.
const BATCH: u64 = 64;

/// Batches on the way, as the supervisor allows them.
const WINDOW: u64 = 4;

const SCRIPTS: &[(&str, &str)] = &[
    ("empty", ""),
    (
        "three reads",
        "if (data.protocol.name === 'http') { data.response.status; data.src.name; }",
    ),
    (
        "kfl.match",
        "kfl.match('http and response.status == 500', data)",
    ),
    ("stringify", "JSON.stringify(data)"),
    (
        "stringify, altered",
        "data.passed = true; JSON.stringify(data)",
    ),
    ("all keys", "for (var k in data) data[k]"),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("script-host") {
        return child::main(&Schema::empty());
    }
    println!(
        "{:<20} {:>14} {:>16}",
        "hook", "ns an item", "items a second"
    );
    for (name, body) in SCRIPTS {
        let (nanos, rate) = measure(&format!("function onItemCaptured(data) {{ {body} }}"));
        println!("{name:<20} {nanos:>14} {rate:>16}");
    }
    ExitCode::SUCCESS
}

fn measure(code: &str) -> (u64, u64) {
    let (socket, theirs) = UnixStream::pair().expect("a socket pair");
    let program = std::env::current_exe().expect("this program");
    let mut process = Command::new(program)
        .arg("script-host")
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .expect("a child");
    let start = Start {
        path: "bench.js".into(),
        title: "bench".into(),
        code: code.into(),
        env: serde_json::Map::new(),
        index: 0,
        node: "node-a".into(),
        run: 0,
        role: Role::Worker,
        clock: ClockMode::Wall,
        now: Timestamp::default(),
        limits: Limits::default(),
    };
    send_to_child(&socket, &ToChild::Start(Box::new(start))).expect("the child listens");
    let mut reader = FromChild::new(BufReader::new(socket.try_clone().expect("a second handle")));
    loop {
        match reader.next().expect("a message") {
            Some(ToParent::Ready { missing, .. }) => {
                assert!(missing.is_empty(), "{missing:?}");
                break;
            }
            Some(ToParent::Console { text, .. }) => println!("{text}"),
            other => panic!("{other:?}"),
        }
    }
    let records = records();
    let began = Instant::now();
    let (mut sent, mut done, mut nanos, mut calls) = (0, 0, 0, 0);
    while done < ITEMS {
        while sent < ITEMS && sent - done < WINDOW * BATCH {
            let batch = Batch::new(sent, sent + BATCH - 1, Timestamp::default(), &records, 1);
            send_to_child(&socket, &ToChild::Items(batch)).expect("the child listens");
            sent += BATCH;
        }
        match reader.next().expect("a message") {
            Some(ToParent::Done { spent, .. }) => {
                done += BATCH;
                nanos += spent.nanos;
                calls += spent.calls;
                assert_eq!(spent.errors, 0);
            }
            Some(ToParent::Beat { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let rate = done as f64 / began.elapsed().as_secs_f64();
    send_to_child(&socket, &ToChild::Small(Small::Stop)).expect("the child listens");
    process.wait().expect("the child ends");
    (nanos / calls, rate as u64)
}

/// One batch of an item of the usual shape and size.
fn records() -> Vec<u8> {
    let item: serde_json::Value = serde_json::from_str(ITEM).expect("the item above is JSON");
    let mut records = Vec::new();
    for number in 0..BATCH {
        flat::encode_node(number, JsonNode(&item), &mut records);
    }
    records
}

const ITEM: &str = r##"{"id":"10.9.8.7:30001/000000000042.pcap-0","index":0,"stream":"000000000042.pcap",
"worker":"10.9.8.7:30001","node":{"ip":"10.9.8.7","name":"node-a"},"namespace":"shop",
"protocol":{"name":"http","version":"1.1","abbr":"HTTP","longName":"Hypertext Transfer Protocol -- HTTP/1.1",
"macro":"http","backgroundColor":"#326de6","foregroundColor":"#ffffff","fontSize":12,
"referenceLink":"https://www.rfc-editor.org/rfc/rfc9112","ports":["80","443","8080"],"layer3":"ip",
"layer4":"tcp","priority":0},"tls":false,
"src":{"ip":"10.244.1.5","port":"51514","name":"web-7d9","namespace":"shop","pod":null,"endpointSlice":null,
"service":null,"cgroupId":0,"containerId":"","socketId":0,"processId":0,"parentProcessId":0,
"hostProcessId":0,"hostParentProcessId":0,"processName":"","processPath":"","resolutionMechanism":"ip"},
"dst":{"ip":"10.244.2.9","port":"8080","name":"cart","namespace":"shop","pod":null,"endpointSlice":null,
"service":null,"cgroupId":0,"containerId":"","socketId":0,"processId":0,"parentProcessId":0,
"hostProcessId":0,"hostParentProcessId":0,"processName":"","processPath":"","resolutionMechanism":"ip"},
"outgoing":false,"timestamp":1706933106000,"startTime":"2024-02-03T04:05:06.000700800Z",
"request":{"method":"POST","url":"/orders?dry=1","targetUri":"/orders?dry=1","path":"/orders",
"pathSegments":["orders"],"httpVersion":"HTTP/1.1","headers":{"Host":"cart.shop",
"Content-Type":"application/json","Content-Length":"9","User-Agent":"curl/8","Accept":"*/*"},
"cookies":{"sid":"z1"},"queryString":{"dry":"1"},"headersSize":-1,"bodySize":9,
"postData":{"mimeType":"application/json","params":[],"text":"{\"qty\":2}"}},
"response":{"status":500,"statusText":"Internal Server Error","httpVersion":"HTTP/1.1",
"headers":{"Content-Type":"text/plain","Content-Length":"4"},"cookies":{},
"content":{"size":4,"mimeType":"text/plain","encoding":"base64","text":"b29wcw=="},"redirectURL":"",
"headersSize":-1,"bodySize":4},"requestSize":310,"responseSize":196,"elapsedTime":12,"passed":false,
"failed":false,"error":null,"entryFile":"000000000042_pcap-0_entry.json","record":"","event":null,
"data":null,"size":506}"##;
