//! Google Cloud Storage and Azure as stores, each against its emulator: the contract of all stores,
//! and a recording that proves itself from there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tapedeck::investigate::verify::{self, Options};
use tapedeck::kfl::{self, Schema};
use tapedeck::record::{self, Outbox, Recorder, Wish, outbox};
use tapedeck::store::cloud::azure::Account;
use tapedeck::store::cloud::{CloudOptions, CloudStore};
use tapedeck::store::{Body, PutOptions, Store, StoreError, conformance, hex};
use tapedeck::synth;
use tapedeck::time::{Clock, SystemClock};

use crate::clouds::{ACCOUNT, Emulator, KEY, azurite, fake_gcs, make_container};
use crate::double::{Asked, Double, Told};
use crate::recording::batch;

/// A wait for uploads; a busy machine needs seconds.
const PATIENCE: Duration = Duration::from_secs(60);

fn azure(server: &Emulator, container: &str, prefix: &str) -> CloudStore {
    let options = CloudOptions {
        azure: Some(Account {
            name: ACCOUNT.into(),
            key: Some(KEY.into()),
            endpoint: Some(format!("http://127.0.0.1:{}/{ACCOUNT}", server.port)),
            ..Account::default()
        }),
        retries: Some(0),
        ..CloudOptions::default()
    };
    CloudStore::new("az", container, prefix, &options).unwrap()
}

/// Records a run with a reel into a store and has it proved.
fn a_recording_proves_itself(store: CloudStore) {
    let store: Arc<dyn Store> = Arc::new(store);
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock);
    let resolved = store.clone();
    let outbox = Outbox::start(
        outbox::Options::new(home.path().join("outbox"), 1 << 30),
        clock.clone(),
        Arc::new(move |_: &str| Ok(resolved.clone())),
    )
    .unwrap();
    let options = record::Options::new(home.path(), 1000, "node-a", "test");
    let mut recorder = Recorder::open(options, None, clock.clone(), outbox.clone()).unwrap();
    let query = kfl::compile("http", &Schema::empty()).unwrap();
    // A name that is percent-encoded in keys.
    recorder.set(vec![Wish::new("web: all", query, store.name())]);
    let frames = synth::tcp(([10, 0, 0, 1], 4000), ([10, 0, 0, 2], 80))
        .at(clock.now())
        .to_server("GET / HTTP/1.1\r\nHost: cart\r\n\r\n")
        .fin();
    let (batch, names) = batch(0, &frames);
    assert!(recorder.take(names[0], None));
    recorder.on_batch(&Arc::new(batch), &[]);
    recorder.finish();
    let status = outbox.drain(PATIENCE);
    assert_eq!((status.waiting, status.uploaded), (0, 1), "{status:?}");
    let said = outbox.warnings().join("\n");
    assert!(said.contains("could not be verified"), "{said}");
    outbox.stop();
    let options = Options {
        deep: true,
        now: clock.now(),
        ..Options::default()
    };
    let report = verify::check(&*store, &options, &|| true).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.counts.manifests, report.counts.reels), (3, 1));
    assert!(report.facts["object lock"].starts_with("unknown"));
    let (read, findings) = verify::read_parts(&*store, &report.parts, &|_| true);
    assert_eq!((read, findings), (1, Vec::new()));
}

#[test]
fn azure_keeps_the_contract() {
    let Some(server) = azurite() else {
        return;
    };
    make_container(&server, "contract");
    conformance::check(&azure(&server, "contract", ""));
    make_container(&server, "below");
    conformance::check(&azure(&server, "below", "a/b"));
    a_recording_proves_itself(azure(&server, "below", "archive"));
    let missing = azure(&server, "nothere", "").head("a");
    assert!(
        matches!(missing, Err(StoreError::Missing(_))),
        "{missing:?}"
    );
}

/// Sends a request to a port; answers status, header lines and body.
fn send(port: u16, method: &str, target: &str, headers: &[String], body: &[u8]) -> Told {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Length: {}\r\n{more}\r\n",
        body.len()
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut lines = Vec::new();
    let mut length = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let lower = line.to_lowercase();
        match lower.strip_prefix("content-length:") {
            Some(value) => length = value.trim().parse::<usize>().ok(),
            None => lines.push(line.to_owned()),
        }
    }
    let mut body = Vec::new();
    reader.read_to_end(&mut body).unwrap();
    if method == "HEAD" {
        // The double writes the length of a body that it leaves out.
        body.resize(length.unwrap_or(0), 0);
    }
    let mut told = Told::bytes(status, body);
    told.1 = lines;
    told
}

/// The emulator knows puts and deletes of the JSON API alone; `object_store` uses the XML API. This
/// translates those two and hands everything else on.
fn translated(asked: &Asked, port: u16) -> Told {
    let key = asked.path().trim_start_matches("/bucket/");
    let name = percent_encoding::percent_decode_str(key)
        .decode_utf8()
        .unwrap();
    match asked.method.as_str() {
        "PUT" => {
            let about = serde_json::json!({
                "name": name, "contentType": asked.header("content-type"),
            });
            let mut body = format!(
                "--B\r\nContent-Type: application/json\r\n\r\n{about}\r\n--B\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            )
            .into_bytes();
            body.extend_from_slice(&asked.body);
            body.extend_from_slice(b"\r\n--B--\r\n");
            let condition = match asked.header("x-goog-if-generation-match") {
                "" => String::new(),
                generation => format!("&ifGenerationMatch={generation}"),
            };
            let target = format!("/upload/storage/v1/b/bucket/o?uploadType=multipart{condition}");
            let kind = "Content-Type: multipart/related; boundary=B".to_owned();
            let Told(status, _, body) = send(port, "POST", &target, &[kind], &body);
            let told = Told::status(status, "");
            if status != 200 {
                return told;
            }
            let about: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let text = |name: &str| about[name].as_str().unwrap().to_owned();
            told.header(format!("ETag: \"{}\"", text("etag")))
                .header(format!("x-goog-generation: {}", text("generation")))
                .header(format!("x-goog-hash: md5={}", text("md5Hash")))
        }
        "DELETE" => {
            let key =
                percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
            let target = format!("/storage/v1/b/bucket/o/{key}");
            send(port, "DELETE", &target, &[], b"")
        }
        method => {
            let wanted = ["range", "if-match"];
            let headers: Vec<String> = asked
                .headers
                .iter()
                .filter(|(name, _)| wanted.contains(&name.as_str()))
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            send(port, method, &asked.target, &headers, b"")
        }
    }
}

#[test]
fn google_keeps_the_contract() {
    let Some(server) = fake_gcs() else {
        return;
    };
    let bucket = serde_json::json!({"name": "bucket"}).to_string();
    let kind = ["Content-Type: application/json".to_owned()];
    let made = send(
        server.port,
        "POST",
        "/storage/v1/b",
        &kind,
        bucket.as_bytes(),
    );
    assert_eq!(made.0, 200);
    let port = server.port;
    let double = Double::start(move |asked, _| translated(asked, port));
    let options = CloudOptions {
        google_server: Some(double.address.clone()),
        retries: Some(0),
        ..CloudOptions::default()
    };
    let store = |prefix| CloudStore::new("gs", "bucket", prefix, &options).unwrap();
    conformance::check(&store("contract"));
    a_recording_proves_itself(store("archive"));
}

/// An identity that may only create, after an answer that was lost.
#[test]
fn google_without_the_right_to_read_knows_what_is_there_by_its_name() {
    let double = Double::start(|asked, _| match asked.method.as_str() {
        "PUT" => Told::status(412, ""),
        _ => Told::status(403, ""),
    });
    let options = CloudOptions {
        google_server: Some(double.address.clone()),
        retries: Some(0),
        ..CloudOptions::default()
    };
    let store = CloudStore::new("gs", "bucket", "", &options).unwrap();
    let sha256: tapedeck::store::Digest = Sha256::digest("packets").into();
    let put = |key: &str| {
        let options = PutOptions {
            sha256,
            content_type: "text/plain",
            write_once: true,
            ..PutOptions::default()
        };
        store.put(key, Body::Bytes(b"packets"), &options)
    };
    let receipt = put(&format!("reels/1-{}.pcapng", &hex(&sha256)[..16])).unwrap();
    assert!(receipt.existed);
    assert!(
        receipt.remarks[0].contains("its name holds the hash"),
        "{:?}",
        receipt.remarks
    );
    let other = put("reels/1-0123456789abcdef.pcapng");
    assert!(matches!(other, Err(StoreError::Denied(_))), "{other:?}");
}
