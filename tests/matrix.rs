//! Scripts of the kinds that users bring, each with the effect that it must have.
//!
//! Each file of `tests/specs/scripts` is one row of the list of scripts that run unmodified: a script
//! of our own with the same hooks, helpers, data paths and language features. Its first comment is the
//! case as JSON:
//!
//! | key | meaning |
//! |---|---|
//! | `row` | the script that it stands for |
//! | `env` | `scripting.env`; SERVICE in a value is the address of the double of all services |
//! | `items` | items, one a second: `protocol`, `status`, `path`, `src`, `dst`, `namespace`, `elapsed`, `error`, `payload`, `answers`, `repeat` |
//! | `seconds` | packet time that passes afterwards |
//! | `packets` | packets that are told first, of 100 bytes each |
//! | `pod`, `log` | arguments of `onPodEvent` and `onLogCall` |
//! | `query` | asks `onItemQueried` of each item; `returned` is what the last one gave, as far as it says |
//! | `lines` | texts in console lines, in this order |
//! | `never` | texts in no console line |
//! | `requests` | start of method and target, and texts in the body, of requests in this order |
//! | `objects` | starts and ends of keys in the bucket, in order; no others are there |
//! | `members` | names in the last archive of the bucket |
//! | `metrics` | texts in the metrics |

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tapedeck::item::{Item, ItemError, Key, Origin, Peer, ProtocolInfo, Value, flat};
use tapedeck::packet::{Endpoint, StreamId, StreamName, Transport};
use tapedeck::pipeline::host::{LiveHost, LiveOptions, NodeName, Outside};
use tapedeck::script::environment::Environment;
use tapedeck::script::supervisor::Scripts;
use tapedeck::script::wire::PacketSummary;
use tapedeck::store::Store;
use tapedeck::store::memory::MemoryStore;
use tapedeck::time::{Clock, SetClock, Timestamp};

use crate::double::{Asked, Double, Told};
use crate::scripts::{NoRecordings, OnePacketStreams, Rig, tell};

/// Half a minute before a full hour, so that jobs of all kinds run soon.
const START: Timestamp = Timestamp::from_secs(1_706_918_400 + 3570, 0);

const fn protocol(
    name: &'static str,
    abbr: &'static str,
    macro_name: &'static str,
    layer4: &'static str,
) -> ProtocolInfo {
    ProtocolInfo {
        name,
        version: "",
        abbr,
        long_name: name,
        macro_name,
        background: "#000000",
        foreground: "#ffffff",
        font_size: 12,
        reference: "https://www.rfc-editor.org/",
        ports: &[],
        layer4,
        priority: 0,
    }
}

static HTTP: ProtocolInfo = protocol("http", "HTTP", "http", "tcp");
static DNS: ProtocolInfo = protocol("dns", "DNS", "dns", "udp");
static TCP: ProtocolInfo = protocol("tcp", "TCP", "tcp", "tcp");

/// All services at one address, as far as the scripts go.
fn service(asked: &Asked, _: usize) -> Told {
    let path = asked.path();
    if path.starts_with("/api/v2/write") {
        return Told::status(204, "");
    }
    if path.starts_with("/slack/") {
        let url = format!("http://{}/up", asked.header("host"));
        return Told::ok(
            json!({"ok": true, "channel": "C1", "ts": "1.2", "upload_url": url, "file_id": "F1"}),
        );
    }
    if asked.header("x-amz-target").starts_with("Kinesis") {
        return Told::ok(json!({"ShardId": "shardId-000000000000", "SequenceNumber": "49"}));
    }
    if path.ends_with("/chat/completions") {
        return Told::ok(json!({"choices": [{"message": {"content": " fine "}}]}));
    }
    Told::ok(json!({"answer": path})).header("ETag: \"1\"")
}

fn text<'a>(case: &'a Json, key: &str, otherwise: &'a str) -> &'a str {
    case.get(key).and_then(Json::as_str).unwrap_or(otherwise)
}

fn peer(name: &str, namespace: &str, last: u8, port: u16) -> Peer {
    Peer {
        endpoint: Endpoint {
            ip: [10, 0, 0, last].into(),
            port,
        },
        name: Arc::from(name),
        namespace: Arc::from(namespace),
        mechanism: "ip",
        identity: None,
        process: None,
    }
}

fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => Value::Int(number.as_i64().unwrap()),
        Json::String(text) => Value::text(text),
        Json::Array(list) => Value::List(list.into_iter().map(value).collect()),
        Json::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, member)| (Key::Bytes(key.into()), value(member)))
                .collect(),
        ),
    }
}

fn item(number: u64, case: &Json, at: Timestamp) -> Item {
    let path = text(case, "path", "/cart");
    let (protocol, request, response, data) = match text(case, "protocol", "http") {
        "dns" => {
            let name = path.trim_start_matches('/');
            let answers = case
                .get("answers")
                .cloned()
                .unwrap_or(json!([{"name": name}]));
            let question = json!({"opCode": "Query", "questions": [{"name": name}]});
            let answer = json!({"code": "No Error", "answers": answers});
            (&DNS, question, answer, Json::Null)
        }
        "tcp" => (
            &TCP,
            Json::Null,
            Json::Null,
            json!({"payload": text(case, "payload", "")}),
        ),
        _ => {
            let request = json!({"method": "GET", "url": path, "path": path, "httpVersion": "HTTP/1.1",
                "headers": {"Host": "cart"}, "cookies": {}, "queryString": {}});
            let status = case.get("status").cloned().unwrap_or(json!(200));
            let response = json!({"status": status, "statusText": "", "headers": {}, "cookies": {},
                "content": {"size": 0, "mimeType": "text/plain"}});
            (&HTTP, request, response, Json::Null)
        }
    };
    let millis = case.get("elapsed").and_then(Json::as_u64).unwrap_or(12);
    let error = case.get("error").and_then(Json::as_str);
    Item {
        number,
        index: 0,
        stream: StreamName {
            stream: StreamId(number),
            transport: Transport::Tcp,
        },
        protocol,
        tls: false,
        src: peer(
            text(case, "src", "web"),
            text(case, "namespace", "shop"),
            1,
            40000,
        ),
        dst: peer(text(case, "dst", "cart"), "shop", 2, 80),
        start: at,
        elapsed_nanos: millis * 1_000_000,
        request_size: 100,
        response_size: 200,
        request: value(request),
        response: value(response),
        data: value(data),
        error: error.map(|msg| ItemError {
            kind: "timeout",
            msg: msg.to_owned(),
        }),
        ordinal: number,
        origin: Arc::new(Origin {
            node_name: "n".into(),
            node_ip: "10.9.8.7".into(),
            worker: "10.9.8.7:30001".into(),
            ..Origin::default()
        }),
        record: Arc::from(""),
        tunnel: None,
        asked_here: false,
    }
}

/// Everything that a script ran with.
struct Ran {
    rig: Rig,
    double: Double,
    store: Arc<MemoryStore>,
    returned: Option<Json>,
    metrics: String,
}

fn run(name: &str, code: &str, case: &Json) -> Ran {
    let rig = Rig::new(&[(name, code)]);
    let double = Double::start(service);
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SetClock::at(START));
    let mut outside = Outside {
        pods: Arc::new(
            || json!({"targets": [{"metadata": {"name": "web"}, "spec": {"nodeName": "n"}}], "excluded": []}),
        ),
        ..Outside::default()
    };
    outside.vendor.slack = format!("{}/slack", double.url());
    outside.vendor.kinesis = Some(double.url());
    outside.vendor.chat = double.url();
    let opened = store.clone();
    let host = LiveHost::start(LiveOptions {
        data: rig.dir.path().join("data"),
        share: 100 << 20,
        node: NodeName {
            name: "n".into(),
            ip: "10.9.8.7".into(),
            run: 17,
            run_in_keys: true,
        },
        allow_clear: true,
        console: rig.console.clone(),
        clock: clock.clone(),
        reader: Arc::new(OnePacketStreams::default()),
        stores: Arc::new(move |_| Ok(opened.clone() as Arc<dyn Store>)),
        recordings: Arc::new(NoRecordings),
        history: Arc::new(|| json!({"1": {}})),
        outside,
    });
    let host = Arc::new(host.unwrap());
    let mut options = rig.options(true);
    let env = case
        .get("env")
        .map_or_else(|| "{}".to_owned(), Json::to_string);
    let env = env.replace("SERVICE", &double.url());
    let env: Map<String, Json> = serde_json::from_str(&env).unwrap();
    options.env = Environment::of_all(env);
    let scripts = Scripts::start(options, host.clone(), clock.clone() as Arc<dyn Clock>).unwrap();
    let returned = play(&scripts, &clock, case);
    scripts.finish(false);
    drop(scripts);
    let metrics = host.metrics();
    // Its end writes the last points.
    drop(host);
    Ran {
        rig,
        double,
        store,
        returned,
        metrics,
    }
}

/// Tells what the case says, in packet time; answers what the last query returned.
fn play(scripts: &Scripts, clock: &SetClock, case: &Json) -> Option<Json> {
    let number = |key: &str| case.get(key).and_then(Json::as_u64).unwrap_or(0);
    let mut now = START;
    let packets = number("packets");
    if packets > 0 {
        let packet = PacketSummary {
            at: now,
            caplen: 100,
            len: 100,
            fragmented: false,
        };
        let all = vec![packet; usize::try_from(packets).unwrap()];
        scripts.tell_packets(&Arc::new(all), packets, now);
    }
    if let Some(pod) = case.get("pod") {
        scripts.tell_pod(text(pod, "event", ""), &pod["pod"]);
    }
    if let Some(log) = case.get("log") {
        scripts.tell_log(text(log, "level", ""), text(log, "msg", ""));
    }
    let (mut next, mut returned) = (0, None);
    for one in case
        .get("items")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
    {
        for _ in 0..one.get("repeat").and_then(Json::as_u64).unwrap_or(1) {
            clock.advance(now);
            let item = item(next, one, now);
            tell(scripts, std::slice::from_ref(&item), now);
            if let Some(query) = case.get("query").and_then(Json::as_str) {
                let mut record = Vec::new();
                flat::encode(&item, &mut record);
                scripts.drain();
                returned = scripts.ask_queried(&record, query).or(returned);
            }
            next += 1;
            now = now + Duration::from_secs(1);
        }
    }
    // What hooks scheduled is known before time goes on.
    scripts.drain();
    for _ in 0..number("seconds") {
        now = now + Duration::from_secs(1);
        clock.advance(now);
        scripts.advance(now);
    }
    returned
}

fn strings(case: &Json, key: &str) -> Vec<String> {
    let list = case.get(key).and_then(Json::as_array);
    let list = list.into_iter().flatten();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// What differs from what the case says.
fn differs(case: &Json, ran: &Ran) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines = ran.rig.lines();
    let mut rest = lines.iter();
    for wanted in strings(case, "lines") {
        if !rest.any(|line| line.contains(&wanted)) {
            wrong.push(format!("no line with {wanted:?} in {lines:#?}"));
            break;
        }
    }
    for unwanted in strings(case, "never") {
        if lines.iter().any(|line| line.contains(&unwanted)) {
            wrong.push(format!("a line with {unwanted:?} in {lines:#?}"));
        }
    }
    let asked = ran.double.asked();
    let mut rest = asked.iter();
    for wanted in case
        .get("requests")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
    {
        let parts: Vec<&str> = wanted
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Json::as_str)
            .collect();
        let is_it = |asked: &Asked| {
            let line = format!("{} {}", asked.method, asked.target);
            line.starts_with(parts[0]) && parts[1..].iter().all(|part| asked.text().contains(part))
        };
        if !rest.any(is_it) {
            wrong.push(format!(
                "no request {parts:?} in {asked:#?}, lines {lines:#?}"
            ));
            break;
        }
    }
    if let Some(objects) = case.get("objects").and_then(Json::as_array) {
        let mut keys = Vec::new();
        let _ = ran.store.list("", &mut |entry| {
            keys.push(entry.key);
            true
        });
        let fits = |(wanted, key): (&Json, &String)| {
            let ends = wanted.as_array().unwrap();
            key.starts_with(ends[0].as_str().unwrap()) && key.ends_with(ends[1].as_str().unwrap())
        };
        if keys.len() != objects.len() || !objects.iter().zip(&keys).all(fits) {
            wrong.push(format!("objects are {keys:#?}, lines {lines:#?}"));
        }
    }
    if case.get("members").is_some() {
        let members = members(&ran.store);
        if members != strings(case, "members") {
            wrong.push(format!("the archive holds {members:?}"));
        }
    }
    for wanted in strings(case, "metrics") {
        if !ran.metrics.contains(&wanted) {
            wrong.push(format!("no {wanted:?} in {}", ran.metrics));
        }
    }
    if let Some(wanted) = case.get("returned").and_then(Json::as_object) {
        let got = ran.returned.clone().unwrap_or_default();
        if !wanted
            .iter()
            .all(|(key, value)| got.get(key) == Some(value))
        {
            wrong.push(format!("returned {got}, lines {lines:#?}"));
        }
    }
    wrong
}

/// Names in the last archive of a bucket; the digits of a savefile's name are left out.
fn members(store: &MemoryStore) -> Vec<String> {
    let mut last = String::new();
    let _ = store.list("", &mut |entry| {
        if entry.key.ends_with(".tar.gz") {
            last = entry.key;
        }
        true
    });
    let bytes = store.get(&last, None, None).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    let mut names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .map(|name| {
            name.trim_start_matches(|c: char| c.is_ascii_digit())
                .to_owned()
        })
        .collect();
    names.sort();
    names
}

/// The scripts that users bring, of all years: each is a row of some case. Three more are of no case,
/// since no version loads them: their names do not end in `.js`.
const ROWS: [&str; 45] = [
    "examples/elastic.js",
    "examples/empty.js",
    "examples/error_handling.js",
    "examples/influxdb.js",
    "examples/packet_byte_counter.js",
    "examples/pass_fail.js",
    "examples/print_env.js",
    "examples/s3_pcap_snapshot.js",
    "examples/s3_pcap_snapshot_selective.js",
    "examples/s3_pcap_snapshot_selective_fs.js",
    "examples/s3_pcap_stream.js",
    "examples/slack_bot.js",
    "examples/webhook.js",
    "dfir/forensics.js",
    "dfir/forensics_s3.js",
    "dfir/forensics_irsa.js",
    "dfir/forensics_gcs.js",
    "dfir/forensics_kube.js",
    "dfir/kube2.js",
    "drafts/hub-worker.js",
    "drafts/recording.js",
    "drafts/throughput.js",
    "detection/slacklogs.js",
    "telemetry/influx_db_kpis.js",
    "telemetry/elastic_traffic_logs.js",
    "apisec/apicalls.js",
    "apisec/apisec_s3/apicalls.js",
    "kinesis/kinesis.js",
    "zap-proxy/zap.js",
    "networkerrors/networkerrors.js",
    "perf/perf2.js",
    "podtraffic/podtraffic.js",
    "security/ns-ext-conns.js",
    "security/processes.js",
    "tcphttpcompare/tcphttpcompare.js",
    "top5/top5.js",
    "top5/dns.js",
    "top5/dns2.js",
    "top5/dns3.js",
    "anomalies/find.js",
    "anomalies/find2.js",
    "utilities/logs.js",
    "utilities/no-traffic-pods.js",
    "specs/helpers.js",
    "specs/hooks.js",
];

#[test]
fn scripts_of_every_row_have_their_effect() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/specs/scripts");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut wrong = Vec::new();
    let mut rows = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let code = fs::read_to_string(path).unwrap();
        let (case, _) = code.strip_prefix("/*").unwrap().split_once("*/").unwrap();
        let case: Json =
            serde_json::from_str(case).unwrap_or_else(|error| panic!("{name}: {error}"));
        rows.extend(text(&case, "row", "").split(", ").map(str::to_owned));
        let ran = run(name, &code, &case);
        let differs = differs(&case, &ran);
        wrong.extend(differs.iter().map(|what| format!("{name}: {what}")));
    }
    for row in ROWS {
        assert!(rows.iter().any(|known| known == row), "no case is {row}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
