//! What scripts send to Azure Blob Storage, Google Cloud Storage, Kinesis and InfluxDB, each against
//! its emulator or the server itself (`tools/test-deps.sh` installs them), and to a double of Google
//! Cloud Storage for what its emulator does not do.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tapedeck::script::host::HostCall;

use crate::double::{Double, Told};
use crate::outside::rig;

/// Account and key that every emulator of Azure knows.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server that a test started; it ends with the test.
pub struct Emulator {
    child: Child,
    pub port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Emulator {
    /// Starts `program` with arguments, in which PORT and DIR are replaced, and waits for its port.
    pub fn start(program: &PathBuf, arguments: &[&str]) -> Emulator {
        let dir = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let arguments = arguments.iter().map(|argument| {
            let argument = argument.replace("PORT", &port.to_string());
            argument.replace("DIR", &dir.path().display().to_string())
        });
        let child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let emulator = Emulator {
            child,
            port,
            _dir: dir,
        };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                Instant::now() < until,
                "{} does not answer",
                program.display()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        emulator
    }

    /// One request by hand; answers status and body.
    pub fn ask(&self, method: &str, target: &str, headers: &[&str], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\
             Content-Length: {}\r\n{more}\r\n{body}",
            self.port,
            body.len()
        )
        .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }
}

/// Where tools/test-deps.sh puts what it installs.
#[expect(
    clippy::disallowed_methods,
    reason = "tests find their tools by the environment"
)]
pub fn tools() -> Option<PathBuf> {
    match std::env::var("TAPEDECK_TOOLS") {
        Ok(tools) => Some(PathBuf::from(tools)),
        Err(_) => Some(PathBuf::from(std::env::var("HOME").ok()?).join(".cache/tapedeck/tools")),
    }
}

/// A program among the tools of the tests.
fn installed(path: &str) -> Option<PathBuf> {
    Some(tools()?.join(path)).filter(|program| program.is_file())
}

/// A program that npm installed among the tools of the tests.
fn tool(name: &str) -> Option<PathBuf> {
    installed(&format!("node_modules/.bin/{name}"))
}

/// The emulator of Google Cloud Storage, when it is installed.
pub fn fake_gcs() -> Option<Emulator> {
    let Some(program) = installed("venv/bin/fake-gcs-server") else {
        println!("skipped: fake-gcs-server is not installed; run tools/test-deps.sh");
        return None;
    };
    let arguments = [
        "-backend",
        "memory",
        "-scheme",
        "http",
        "-host",
        "127.0.0.1",
        "-port",
        "PORT",
        "-public-host",
        "127.0.0.1:PORT",
        "-log-level",
        "error",
    ];
    Some(Emulator::start(&program, &arguments))
}

/// Azurite, when it is installed.
pub fn azurite() -> Option<Emulator> {
    let Some(program) = tool("azurite-blob") else {
        println!("skipped: Azurite is not installed; run tools/test-deps.sh");
        return None;
    };
    let arguments = [
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        "PORT",
        "-l",
        "DIR",
        "--silent",
        "--disableTelemetry",
        "--skipApiVersionCheck",
    ];
    Some(Emulator::start(&program, &arguments))
}

/// Objects with their types.
type Objects = Arc<Mutex<BTreeMap<String, (String, Vec<u8>)>>>;

/// Google Cloud Storage as its XML API is documented: put, list, delete, uploads in parts, of which
/// the emulator does not know the last.
fn google(objects: &Objects) -> Double {
    let objects = objects.clone();
    Double::start(move |asked, number| {
        let mut objects = objects.lock().unwrap();
        let path = percent_encoding::percent_decode_str(asked.path())
            .decode_utf8()
            .unwrap();
        let key = path
            .strip_prefix("/bucket")
            .unwrap()
            .trim_start_matches('/')
            .to_owned();
        let query = asked.target.split_once('?').map_or("", |(_, query)| query);
        let etag = format!("ETag: \"{number}\"");
        if !asked.header("authorization").starts_with("Bearer eyJ") {
            return Told::status(401, "");
        }
        let part = |number: &str| format!("{key}.part{number}");
        match asked.method.as_str() {
            "POST" if query.starts_with("uploads") => Told::ok(
                "<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>",
            ),
            "PUT" if query.contains("partNumber=") => {
                let number = query.split("partNumber=").nth(1).unwrap();
                let number = number.split('&').next().unwrap();
                objects.insert(part(number), (String::new(), asked.body.clone()));
                Told::ok("").header(etag)
            }
            "POST" => {
                let mut whole = Vec::new();
                for number in 1.. {
                    let Some((_, bytes)) = objects.remove(&part(&number.to_string())) else {
                        break;
                    };
                    whole.extend(bytes);
                }
                objects.insert(key, ("parts".to_owned(), whole));
                Told::ok(
                    "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>",
                )
            }
            "PUT" => {
                let kind = asked.header("content-type").to_owned();
                objects.insert(key, (kind, asked.body.clone()));
                Told::ok("").header(etag)
            }
            "GET" => Told::ok(listed(&objects, query)),
            "DELETE" => {
                objects.remove(&key);
                Told::status(204, "")
            }
            _ => Told::status(405, ""),
        }
    })
}

fn listed(objects: &BTreeMap<String, (String, Vec<u8>)>, query: &str) -> String {
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value);
        percent_encoding::percent_decode_str(value)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    let prefix = parameter("prefix");
    let mut folders = BTreeSet::new();
    let mut contents = String::new();
    for (key, (_, bytes)) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        match key[prefix.len()..].split_once('/') {
            Some((folder, _)) if parameter("delimiter") == "/" => {
                folders.insert(format!("{prefix}{folder}/"));
            }
            _ => contents.push_str(&format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2024-02-03T04:05:06.000Z</LastModified></Contents>",
                bytes.len()
            )),
        }
    }
    let folders: String = folders
        .iter()
        .map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"))
        .collect();
    format!("<ListBucketResult>{contents}{folders}</ListBucketResult>")
}

#[test]
fn files_go_to_google_cloud_storage_and_are_cleared() {
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ])
        .output();
    let Ok(pem) = made else {
        println!("skipped: openssl is not installed; run tools/test-deps.sh");
        return;
    };
    let pem = String::from_utf8(pem.stdout).unwrap();
    let objects = Objects::default();
    let server = google(&objects);
    let account = json!({"type": "service_account", "private_key": pem, "private_key_id": "k",
        "client_email": "recorder@example.test", "gcs_base_url": server.url()});
    let rig = rig(|_| {});
    rig.write("report.json", "{\"a\":1}");
    let large = "0123456789abcdef".repeat(20 << 16);
    rig.write("large.txt", &large);
    let put = |path: &str| {
        rig.call(HostCall::GcsPut {
            bucket: "bucket".into(),
            path: path.into(),
            key: Some(account.clone()),
        })
    };
    let key = "node-a_10.0.0.1_17/report.json";
    let url = format!("https://storage.googleapis.com/bucket/{key}");
    assert_eq!(put("report.json"), Ok(url.clone().into()));
    assert_eq!(
        put("report.json"),
        Ok(url.into()),
        "again: it is a plain put"
    );
    put("large.txt").unwrap();
    let line = format!("[node-a-4] Uploaded {key} file to Google Cloud Storage bucket: bucket");
    assert_eq!(rig.lines()[0], line);
    {
        let objects = objects.lock().unwrap();
        let wanted = ("application/json".to_owned(), b"{\"a\":1}".to_vec());
        assert_eq!(objects[key], wanted);
        assert!(objects["node-a_10.0.0.1_17/large.txt"].1 == large.as_bytes());
        assert_eq!(objects.len(), 2);
    }
    assert!(put("missing").unwrap_err().contains("no such file"));

    let others = ["node-a_10.0.0.12_1/x", "node-b_10.0.0.1_1/x", "reels/x"];
    for other in others {
        objects
            .lock()
            .unwrap()
            .insert(other.into(), Default::default());
    }
    objects
        .lock()
        .unwrap()
        .insert("node-a_10.0.0.1_3/old".into(), Default::default());
    let clear = HostCall::GcsClear {
        bucket: "bucket".into(),
        key: Some(account.clone()),
    };
    rig.call(clear).unwrap();
    let left: Vec<String> = objects.lock().unwrap().keys().cloned().collect();
    assert_eq!(left, others, "those of other nodes stay");
}

/// In front of the emulator of Google Cloud Storage: it takes a PUT of the XML API only when it looks
/// like one by a signed address, and then answers as the JSON API does, where the service gives the
/// tag of the object in a header. All else passes as it is.
fn in_front_of(server: Arc<Emulator>) -> Double {
    Double::start(move |asked, _| {
        let content = format!("Content-Type: {}", asked.header("content-type"));
        let is_put = asked.method == "PUT";
        let mark = match asked.target.contains('?') {
            _ if !is_put => "",
            true => "&X-Goog-Algorithm=GOOG4-RSA-SHA256",
            false => "?X-Goog-Algorithm=GOOG4-RSA-SHA256",
        };
        let target = format!("{}{mark}", asked.target);
        let (status, body) = server.ask(&asked.method, &target, &[&content], &asked.text());
        let tag = serde_json::from_str::<Json>(&body).unwrap_or_default()["etag"].clone();
        let told = Told::status(status, body);
        match tag.as_str() {
            Some(tag) => told.header(format!("ETag: \"{tag}\"")),
            None => told,
        }
    })
}

#[test]
fn files_go_to_the_emulator_of_google_cloud_storage() {
    let Some(server) = fake_gcs() else {
        return;
    };
    let server = Arc::new(server);
    let json_type = ["Content-Type: application/json"];
    let buckets = "/storage/v1/b?project=p";
    let made = server.ask("POST", buckets, &json_type, "{\"name\":\"bucket\"}");
    assert_eq!(made.0, 200, "{}", made.1);
    let front = in_front_of(server.clone());
    // As Google's own clients are led to an emulator.
    let rig = rig(|outside| outside.vendor.gcs = Some(front.url()));
    rig.write("report.json", "{\"a\":1}");
    let put = |bucket: &str| {
        rig.call(HostCall::GcsPut {
            bucket: bucket.into(),
            path: "report.json".into(),
            key: None,
        })
    };
    let key = "node-a_10.0.0.1_17/report.json";
    let url = format!("https://storage.googleapis.com/bucket/{key}");
    assert_eq!(put("bucket"), Ok(url.into()));
    let line = format!("[node-a-4] Uploaded {key} file to Google Cloud Storage bucket: bucket");
    assert_eq!(rig.lines()[0], line);
    let object = |key: &str| server.ask("GET", &format!("/bucket/{key}"), &[], "");
    assert_eq!(object(key), (200, "{\"a\":1}".to_owned()));
    let said = put("not-there").unwrap_err();
    assert!(said.contains("404"), "{said}");

    let other = "node-a_10.0.0.12_1/x";
    let place = format!("/bucket/{other}?X-Goog-Algorithm=GOOG4-RSA-SHA256");
    assert_eq!(server.ask("PUT", &place, &json_type, "{}").0, 200);
    let clear = HostCall::GcsClear {
        bucket: "bucket".into(),
        key: None,
    };
    rig.call(clear).unwrap();
    assert_eq!(object(key).0, 404, "the node's own is gone");
    assert_eq!(object(other).0, 200, "that of another node stays");
}

/// InfluxDB 1.6, which knows `/write` and no `/api/v2/write`.
#[test]
fn points_lie_in_a_server_of_influxdb() {
    let program = PathBuf::from("/usr/bin/influxd");
    if !program.is_file() {
        println!("skipped: InfluxDB is not installed; run tools/test-deps.sh");
        return;
    }
    let arguments = [
        "INFLUXDB_HTTP_BIND_ADDRESS=127.0.0.1:PORT",
        "INFLUXDB_BIND_ADDRESS=127.0.0.1:0",
        "INFLUXDB_META_DIR=DIR/meta",
        "INFLUXDB_DATA_DIR=DIR/data",
        "INFLUXDB_DATA_WAL_DIR=DIR/wal",
        "INFLUXDB_MONITOR_STORE_ENABLED=false",
        "INFLUXDB_REPORTING_DISABLED=true",
        "/usr/bin/influxd",
        "run",
    ];
    let server = Emulator::start(&PathBuf::from("/usr/bin/env"), &arguments);
    let ask = |query: &str| {
        let query =
            percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
        let target = format!("/query?db=Kubeshark&epoch=ns&q={query}");
        let (status, text) = server.ask("POST", &target, &[], "");
        assert_eq!(status, 200, "{text}");
        // The answer comes in chunks.
        let start = text.find('{').unwrap();
        let end = text.rfind('}').unwrap();
        serde_json::from_str::<Json>(&text[start..=end]).unwrap()
    };
    ask("CREATE DATABASE Kubeshark");
    let rig = rig(|_| {});
    for latency in [12, 7] {
        let fields = json!({"latency": latency, "status": "200 \"fine\"", "ok": true});
        rig.call(HostCall::Influxdb {
            url: format!("http://127.0.0.1:{}", server.port),
            token: "token".into(),
            org: "org".into(),
            bucket: "Kubeshark".into(),
            measurement: "call KPIs".into(),
            fields: fields.as_object().unwrap().clone(),
            tags: vec![("path".into(), "/a b,c=d".into())],
        })
        .unwrap();
    }
    let until = Instant::now() + Duration::from_secs(60);
    let rows = loop {
        let found = ask("SELECT * FROM \"call KPIs\"");
        let rows = found["results"][0]["series"][0]["values"].clone();
        if rows.as_array().is_some_and(|rows| rows.len() == 2) {
            break rows;
        }
        let lines = rig.lines();
        assert!(
            Instant::now() < until && lines.is_empty(),
            "{found} {lines:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    let second = 1_706_933_106_000_000_000_i64;
    let row = |at: i64, latency: i64| json!([at, latency, true, "/a b,c=d", "200 \"fine\""]);
    assert_eq!(rows, json!([row(second, 12), row(second + 1, 7)]));
}

#[test]
fn files_go_to_azure_by_connection_string() {
    let Some(server) = azurite() else {
        return;
    };
    let place = format!("http://127.0.0.1:{}/{ACCOUNT}", server.port);
    let rig = rig(|_| {});
    rig.write("report.json", "{\"a\":1}");
    let put = |container: &str, key: &str| {
        rig.call(HostCall::AzurePut {
            container: container.into(),
            path: "report.json".into(),
            account: None,
            key: None,
            connection: Some(format!(
                "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={place};"
            )),
        })
    };
    let said = put("nothere", KEY).unwrap_err();
    assert!(said.contains("nothere") || said.contains("404"), "{said}");
    make_container(&server, "traffic");
    let key = "node-a_10.0.0.1/report.json";
    assert_eq!(
        put("traffic", KEY),
        Ok(format!("{place}/traffic/{key}").into())
    );
    assert!(put("traffic", KEY).is_ok(), "again: it is a plain put");
    let line = format!("[node-a-4] Uploaded {key} file to Azure container: traffic");
    assert_eq!(rig.lines()[0], line);
    let said = put("traffic", "d3Jvbmc=").unwrap_err();
    assert!(
        said.contains("403") || said.contains("Authorization") || said.contains("denied"),
        "{said}"
    );
    assert!(!said.contains("d3Jvbmc="), "{said}");
}

/// Makes a container, signed as the service wants it (Shared Key).
pub fn make_container(server: &Emulator, name: &str) {
    let headers = "x-ms-date:Sat, 03 Feb 2024 04:05:06 GMT\nx-ms-version:2021-08-06";
    let text = format!(
        "PUT{}{headers}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container",
        "\n".repeat(12)
    );
    let signature = STANDARD.encode(hmac(&STANDARD.decode(KEY).unwrap(), text.as_bytes()));
    let authorization = format!("Authorization: SharedKey {ACCOUNT}:{signature}");
    let mut lines: Vec<&str> = headers.lines().collect();
    lines.push(&authorization);
    let target = format!("/{ACCOUNT}/{name}?restype=container");
    let made = server.ask("PUT", &target, &lines, "");
    assert_eq!(made.0, 201, "{}", made.1);
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let keyed = |pad: u8| -> Vec<u8> { block.iter().map(|byte| byte ^ pad).collect() };
    let inner = Sha256::digest([keyed(0x36), text.to_vec()].concat());
    Sha256::digest([keyed(0x5c), inner.to_vec()].concat()).to_vec()
}

#[test]
fn records_go_into_a_kinesis_stream() {
    let Some(program) = tool("kinesalite") else {
        println!("skipped: Kinesalite is not installed; run tools/test-deps.sh");
        return;
    };
    let server = Emulator::start(&program, &["--port", "PORT", "--createStreamMs", "0"]);
    let ask = |operation: &str, body: Json| {
        let headers = [
            "Content-Type: application/x-amz-json-1.1",
            "X-Amz-Date: 20240203T040506Z",
            "Authorization: AWS4-HMAC-SHA256 Credential=a/20240203/r/kinesis/aws4_request, SignedHeaders=host, Signature=s",
            &format!("X-Amz-Target: Kinesis_20131202.{operation}"),
        ];
        let (status, text) = server.ask("POST", "/", &headers, &body.to_string());
        assert_eq!(status, 200, "{operation}: {text}");
        serde_json::from_str::<Json>(&text).unwrap_or_default()
    };
    ask(
        "CreateStream",
        json!({"StreamName": "traffic", "ShardCount": 1}),
    );
    let until = Instant::now() + Duration::from_secs(60);
    while ask("DescribeStream", json!({"StreamName": "traffic"}))["StreamDescription"]["StreamStatus"]
        != "ACTIVE"
    {
        assert!(Instant::now() < until, "the stream is not made");
        std::thread::sleep(Duration::from_millis(20));
    }
    let rig =
        rig(|outside| outside.vendor.kinesis = Some(format!("http://127.0.0.1:{}", server.port)));
    let put = |stream: &str| {
        rig.call(HostCall::KinesisPut {
            stream: stream.into(),
            payload: "{\"log\":{}}".into(),
            region: "us-east-1".into(),
            key_id: Some("AKIA".into()),
            secret: Some("secret".into()),
        })
    };
    let answer = put("traffic").unwrap();
    let shard = answer["ShardId"].as_str().unwrap();
    let start =
        json!({"StreamName": "traffic", "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = ask("GetShardIterator", start)["ShardIterator"].clone();
    let got = ask("GetRecords", json!({"ShardIterator": iterator}));
    let record = &got["Records"][0];
    assert_eq!(record["SequenceNumber"], answer["SequenceNumber"]);
    assert_eq!(record["Data"], "eyJsb2ciOnt9fQ==");
    let said = put("none").unwrap_err();
    assert!(said.contains("ResourceNotFoundException"), "{said}");
}
