//! What a recording seals when it has a rule: secrets planted in every place that traffic has are
//! looked for in the sealed bytes: packets, index, names and manifest.
//!
//! Checksums are read by Wireshark's `tshark`; without it that part is skipped.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value as Json, json};
use tapedeck::dissect::Protocols;
use tapedeck::flow::Limits;
use tapedeck::item::{Item, Origin};
use tapedeck::kfl::{self, Schema};
use tapedeck::packet::Batch;
use tapedeck::pipeline::{self, Consumer, Encoded, Indexing, Step};
use tapedeck::record::{Options, Outbox, Recorder, Wish, outbox};
use tapedeck::redact::{Payload, Rule};
use tapedeck::resolve::{Address, History, Names};
use tapedeck::spool::{self, Writer};
use tapedeck::store::Store;
use tapedeck::store::folder::FolderStore;
use tapedeck::synth::{self, Frame};
use tapedeck::time::{SystemClock, Timestamp};

use crate::lake::Reels;
use crate::recording::{batch, files};

/// What must not be found.
const SECRETS: &[&str] = &[
    "s3cret-bearer-01",
    "s3cret-apikey-02",
    "s3cret-folded-03",
    "s3cret-cookie-04",
    "s3cret-setcookie-05",
    "s3cret-query-06",
    "s3cret-referer-07",
    "s3cret-json-08",
    "s3cret-nested-09",
    "s3cret-chunked-10",
    "s3cret-gzip-11",
    "s3cret-gzipchunk-12",
    "s3cret-form-13",
    "s3cret-multipart-14",
    "s3cret-trailer-15",
    "s3cret-h2raw-16",
    "s3cret-h2data-17",
    "s3cret-redis-18",
    "s3cret-segments-19",
    "s3cret-copy-20",
    "s3cret-brotli-21",
    "s3cret-padding-22",
    "s3cret-udp-23",
    "s3cret-escaped-24",
    "s3cret-events-25",
    "s3cret-websocket-26",
    "s3cret-userinfo-27",
    "s3cret-ssh-28",
    "s3cret-hello-29",
    "s3cret-cutbody-30",
];

/// What must stay.
const KEPT: &[&str] = &[
    "/kept-path",
    "kept-header-value",
    "kept-cookie",
    "kept-parameter",
    "kept-json",
    "kept-chunked",
    "kept-key",
    "kept-html",
    "kept-form",
    "kept-part",
    "kept-h2-path",
];

/// Names of the two hosts, which go with their addresses.
const HOSTS: &[(&str, &str)] = &[
    ("10.0.0.1", "host-of-clients"),
    ("10.0.0.2", "host-of-servers"),
];

/// `custom-value` in the Huffman code (RFC 7541 section C.4.3).
const HUFFMAN: &[u8] = &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf];

fn rule() -> Json {
    json!({
        "credentials": true,
        "headers": ["x-secret", "custom-key"],
        "json": ["$.user.card"],
        "query": ["otp"],
    })
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn body(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn chunks(parts: &[&[u8]], trailer: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
    out
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A literal with incremental indexing and a new name.
fn literal(name: &str, value: &[u8], coded: bool) -> Vec<u8> {
    let mut out = vec![0x40, u8::try_from(name.len()).unwrap()];
    out.extend_from_slice(name.as_bytes());
    out.push(u8::try_from(value.len()).unwrap() | if coded { 0x80 } else { 0 });
    out.extend_from_slice(value);
    out
}

fn talk(port: u16, server: u16) -> synth::Tcp {
    synth::tcp(([10, 0, 0, 1], port), ([10, 0, 0, 2], server))
        .at(Timestamp::from_secs(1_700_000_000, 0))
}

fn http1() -> Vec<Frame> {
    let zipped = gzip(&format!(
        "{{\"kept\":\"{}\",\"password\":\"s3cret-gzip-11\"}}",
        "kept-zipped ".repeat(30)
    ));
    let other = gzip("{\"token\":\"s3cret-gzipchunk-12\",\"a\":[1,2,3]}");
    let multipart = "--xx\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nkept-part\r\n--xx\r\n\
        Content-Disposition: form-data; name=\"password\"\r\n\r\ns3cret-multipart-14\r\n--xx--\r\n";
    talk(4000, 80)
        .to_server(
            "GET /kept-path?otp=s3cret-query-06&page=kept-parameter HTTP/1.1\r\nHost: shop\r\n\
             Authorization: Bearer s3cret-bearer-01\r\nX-API-Key: s3cret-apikey-02\r\n\
             X-Secret: a\r\n  s3cret-folded-03\r\nX-Kept: kept-header-value\r\n\
             Referer: http://shop/a?token=s3cret-referer-07\r\n\
             X-Next: http://me:s3cret-userinfo-27@shop/\r\n\
             Cookie: session=s3cret-cookie-04\r\n\r\n",
        )
        .to_client(body(
            "HTTP/1.1 200 OK\r\nSet-Cookie: sid=s3cret-setcookie-05; Path=/kept-cookie\r\nContent-Type: application/json",
            b"{\"password\":\"s3cret-json-08\",\"user\":{\"card\":{\"no\":\"s3cret-nested-09\"},\"name\":\"kept-json\"},\
              \"pass\\u0077ord\":\"s3cret-escaped-24\",\"token\":12345}",
        ))
        .to_server("GET /chunked HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client(
            [
                &b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
                &chunks(
                    &[b"{\"k\":\"kept-chunked\",\"secret\":\"s3cret-ch", b"unked-10\"}"],
                    "X-Secret: s3cret-trailer-15\r\n",
                ),
            ]
            .concat(),
        )
        .to_server("GET /zip HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client(body(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip",
            &zipped,
        ))
        .to_server("GET /zipchunk HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client(
            [
                &b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
                &chunks(&[&other[..10], &other[10..]], ""),
            ]
            .concat(),
        )
        .to_server(body(
            "POST /form HTTP/1.1\r\nHost: shop\r\nContent-Type: application/x-www-form-urlencoded",
            b"a=kept-form&password=s3cret-form-13",
        ))
        .to_client(body("HTTP/1.1 200 OK\r\nContent-Type: text/html", b"<p>kept-html</p>"))
        .to_server(body(
            "POST /part HTTP/1.1\r\nHost: shop\r\nContent-Type: multipart/form-data; boundary=xx",
            multipart.as_bytes(),
        ))
        .to_client(body(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: br",
            b"not brotli at all s3cret-brotli-21",
        ))
        .to_server("GET /events HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client(body(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream",
            b"event: a\ndata: {\"token\":\"s3cret-events-25\",\"n\":1}\n\n",
        ))
        .to_server("GET /ws HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        .to_client("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x13s3cret-websocket-26")
        .fin()
}

/// A body of which the end was not captured.
fn cut() -> Vec<Frame> {
    talk(4001, 80)
        .to_server("GET /cut HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"a\":\"s3cret-cutbody-30\"")
        .end()
}

/// A secret that no segment holds whole, and a second copy of it with other bytes.
fn segments() -> Vec<Frame> {
    let request =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Secret: s3cret-segments-19\r\nX-Kept: kept-key\r\n\r\n";
    let answer = "HTTP/1.1 204 No Content\r\n\r\n";
    let mut frames = talk(4002, 80)
        .mss(5)
        .to_server(request)
        .to_client(answer)
        .fin();
    let other = request.replace(
        "segments-19\r\nX-Kept: kept-key",
        "copy-20\r\nX-Kept: 123456789012",
    );
    assert_eq!(other.len(), request.len());
    let copy = talk(4002, 80).to_server(other).end();
    let payload = copy.iter().filter(|frame| frame.bytes.len() > 100).cloned();
    frames.extend(payload.map(|mut frame| {
        frame.ts = frame.ts + Duration::from_secs(1);
        frame
    }));
    frames
}

fn http2() -> Vec<Frame> {
    let mut block = vec![0x82, 0x86];
    block.extend(literal(":path", b"/kept-h2-path?otp=123456", false));
    block.extend(literal("x-secret", b"s3cret-h2raw-16", false));
    block.extend(literal("custom-key", HUFFMAN, true));
    block.extend(literal("content-type", b"application/json", false));
    // The same value again, by its place in the table.
    let again = [0x82, 0x86, 0xc0 | 1, 0xc0 | 2];
    let data = b"{\"password\":\"s3cret-h2data-17\",\"b\":2}";
    let mut client = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    client.extend(frame(4, 0, 0, &[]));
    let (front, back) = block.split_at(40);
    client.extend(frame(1, 0, 1, front));
    client.extend(frame(9, 4, 1, back));
    client.extend(frame(0, 0, 1, &data[..20]));
    client.extend(frame(0, 1, 1, &data[20..]));
    client.extend(frame(1, 5, 3, &again));
    let mut server = frame(4, 0, 0, &[]);
    server.extend(frame(1, 5, 1, &[0x88]));
    server.extend(frame(1, 5, 3, &[0x88]));
    talk(4003, 8080).to_server(client).to_client(server).fin()
}

fn redis() -> Vec<Frame> {
    talk(4004, 6379)
        .to_server("*2\r\n$4\r\nAUTH\r\n$15\r\ns3cret-redis-18\r\n")
        .to_client("+OK\r\n")
        .to_server(
            "*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$15\r\ns3cret-hello-29\r\n",
        )
        .to_client("+OK\r\n")
        .to_server("*2\r\n$3\r\nGET\r\n$8\r\nkept-key\r\n")
        .to_client("$5\r\nvalue\r\n")
        .fin()
}

fn others() -> Vec<Frame> {
    let mut frames = talk(4005, 22)
        .to_server("SSH-2.0-s3cret-ssh-28\r\n")
        .to_client("SSH-2.0-x\r\n")
        .fin();
    // Ethernet pads short frames with whatever was in memory.
    let last = frames.last_mut().unwrap();
    last.bytes.extend_from_slice(b"s3cret-padding-22");
    last.len += 17;
    frames.extend(
        synth::udp(([10, 0, 0, 1], 4006), ([10, 0, 0, 2], 9999))
            .at(Timestamp::from_secs(1_700_000_000, 0))
            .to_server("s3cret-udp-23")
            .end(),
    );
    frames
}

struct Collect(Arc<Mutex<Vec<Item>>>);

impl Consumer for Collect {
    fn on_step(&mut self, _step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        self.0.lock().unwrap().extend_from_slice(items);
    }
}

/// One worker for all protocols, with these names.
fn options(names: Option<Arc<Names>>, consumer: Box<dyn Consumer>) -> pipeline::Options {
    pipeline::Options::pass(
        Protocols::all(),
        Limits::default(),
        Arc::new(Origin::default()),
        Some(Box::new(move |_| names.clone())),
        consumer,
    )
}

/// The items of the frames, with the names of the hosts.
fn named_items(frames: &[Frame]) -> Vec<Item> {
    let mut history = History::new();
    for (address, name) in HOSTS {
        let address = Address::parse(address).unwrap();
        history.set(address, Timestamp::from_secs(0, 0), Some((name, "shop")));
    }
    let names = Arc::new(Names::of(Arc::new(history)));
    let items: Arc<Mutex<Vec<Item>>> = Arc::default();
    let running = pipeline::start(
        Box::new(Reels(vec![frames.to_vec()])),
        options(Some(names), Box::new(Collect(items.clone()))),
    );
    running.join().unwrap();
    std::mem::take(&mut *items.lock().unwrap())
}

/// A recorder with indexes, and the folder that it seals into.
fn recorder(dir: &Path, spool: Option<spool::Reader>) -> (Recorder, Arc<Outbox>, PathBuf) {
    let clock = Arc::new(SystemClock);
    let archive = dir.join("archive");
    let store: Arc<dyn Store> = Arc::new(FolderStore::create(&archive).unwrap());
    let outbox = Outbox::start(
        outbox::Options::new(dir.join("outbox"), 1 << 30),
        clock.clone(),
        Arc::new(move |_| Ok(store.clone())),
    )
    .unwrap();
    let mut options = Options::new(dir, 1000, "node-a", "test");
    options.indexer = Some(Arc::new(Indexing::new(Protocols::all(), Limits::default())));
    let recorder = Recorder::open(options, spool, clock, outbox.clone()).unwrap();
    (recorder, outbox, archive)
}

/// Records all of it with `rule`; answers the sealed files.
fn sealed(dir: &Path, rule: &Rule, frames: &[Frame]) -> Vec<PathBuf> {
    let (mut batch, names) = batch(0, frames);
    let (mut writer, reader) = Writer::open(spool::Options::new(dir.join("spool"), 1000)).unwrap();
    writer.append(&mut batch).unwrap();
    let (mut recorder, outbox, archive) = recorder(dir, Some(reader));
    let query = kfl::compile("response.status == 999", &Schema::empty()).unwrap();
    let mut wish = Wish::new("all", query, "folder");
    wish.redact = rule.clone();
    recorder.set(vec![wish]);
    recorder.on_batch(&Arc::new(batch), &[]);
    for name in names {
        assert!(recorder.take(name, None), "{name}");
    }
    recorder.on_batch(&Arc::new(Batch::default()), &named_items(frames));
    recorder.finish();
    assert_eq!(outbox.drain(Duration::from_secs(20)).waiting, 0);
    outbox.stop();
    files(&archive, "")
}

fn plain(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "zst") {
        let mut plain = Vec::new();
        zstd::stream::read::Decoder::new(bytes.as_slice())
            .unwrap()
            .read_to_end(&mut plain)
            .unwrap();
        return plain;
    }
    if is_index(path) {
        return [bytes.clone(), rows(bytes)].concat();
    }
    bytes
}

fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "parquet")
}

/// Every value of a table, as any reader of Parquet gets it, and what texts hold in base64.
fn rows(bytes: Vec<u8>) -> Vec<u8> {
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let mut all = Vec::new();
    for row in reader.get_row_iter(None).unwrap() {
        for (_, field) in row.unwrap().get_column_iter() {
            values(field, &mut all);
        }
    }
    let is_coded = |byte: &u8| byte.is_ascii_alphanumeric() || [b'+', b'/'].contains(byte);
    let coded: Vec<Vec<u8>> = all
        .split(|byte| !is_coded(byte))
        .filter_map(|run| STANDARD_NO_PAD.decode(run).ok())
        .collect();
    all.extend(coded.concat());
    all
}

fn values(field: &Field, out: &mut Vec<u8>) {
    match field {
        Field::Str(text) => out.extend_from_slice(text.as_bytes()),
        Field::Bytes(bytes) => out.extend_from_slice(bytes.data()),
        Field::Group(row) => row.get_column_iter().for_each(|(_, one)| values(one, out)),
        Field::ListInternal(list) => list.elements().iter().for_each(|one| values(one, out)),
        Field::MapInternal(map) => map.entries().iter().for_each(|(key, value)| {
            values(key, out);
            values(value, out);
        }),
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
    out.push(b'\n');
}

/// The text of the part whose name ends so.
fn part(paths: &[PathBuf], ending: &str) -> Vec<u8> {
    let path = paths
        .iter()
        .find(|path| path.to_string_lossy().ends_with(ending));
    plain(path.unwrap_or_else(|| panic!("no part *{ending}")))
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

/// Members of gzip among the bytes, decoded as far as they go.
fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for at in memchr::memmem::find_iter(bytes, &[0x1f, 0x8b, 8]) {
        let mut plain = Vec::new();
        let _ = flate2::read::GzDecoder::new(&bytes[at..]).read_to_end(&mut plain);
        all.extend(plain);
    }
    all
}

fn all_frames() -> Vec<Frame> {
    synth::merge([http1(), cut(), segments(), http2(), redis(), others()])
}

#[test]
fn no_planted_secret_is_in_what_is_sealed() {
    let frames = all_frames();
    let bare = tempfile::tempdir().unwrap();
    let bare_paths = sealed(bare.path(), &Rule::default(), &frames);
    let before: Vec<u8> = bare_paths.iter().flat_map(|path| plain(path)).collect();
    let covered = tempfile::tempdir().unwrap();
    let rule = Rule::parse(&rule()).unwrap();
    let paths = sealed(covered.path(), &rule, &frames);
    let after: Vec<u8> = paths.iter().flat_map(|path| plain(path)).collect();
    assert!(holds(&before, HUFFMAN));
    assert!(!holds(&after, HUFFMAN), "a Huffman coded value");
    let zipped = (unzipped(&before), unzipped(&after));
    assert!(holds(&zipped.0, b"s3cret-gzip-11") && holds(&zipped.1, b"kept-zipped"));
    assert!(!holds(&zipped.1, b"s3cret"));
    let hidden: BTreeSet<&str> = [
        "s3cret-segments-19",
        "s3cret-chunked-10",
        "s3cret-gzip-11",
        "s3cret-gzipchunk-12",
        "s3cret-h2data-17",
    ]
    .into();
    for secret in SECRETS {
        assert!(
            hidden.contains(secret) || holds(&before, secret.as_bytes()),
            "{secret} was not planted"
        );
        assert!(!holds(&after, secret.as_bytes()), "{secret}");
        // Nor a part of it that says as much.
        let middle = &secret.as_bytes()[7..secret.len() - 3];
        assert!(!holds(&after, &[b"s3cret-", middle].concat()), "{secret}");
    }
    for text in KEPT {
        assert!(holds(&after, text.as_bytes()), "{text}");
    }
    let (bare_index, index) = (
        part(&bare_paths, ".items.parquet"),
        part(&paths, ".items.parquet"),
    );
    for (bare, kept) in [
        ("s3cret-bearer-01", "kept-header-value"),
        ("s3cret-query-06", "kept-parameter"),
    ] {
        assert!(holds(&bare_index, bare.as_bytes()), "{bare}");
        assert!(holds(&index, kept.as_bytes()), "{kept}");
    }
    for (address, host) in HOSTS {
        for text in [address, host] {
            assert!(holds(&index, text.as_bytes()), "{text}");
            let names = part(&paths, ".names.jsonl");
            assert!(holds(&names, text.as_bytes()), "{text}");
        }
    }
    let manifest = paths
        .iter()
        .find(|path| path.to_string_lossy().ends_with("manifest.json"));
    assert!(manifest.is_some());
    assert!(holds(&after, b"overwritten before sealing: headers"));
    let read = items(&bare_paths);
    assert!(read >= 13, "{read}");
    assert_eq!(items(&paths), read, "every exchange is still read");
    checksums_are_right(&paths);
}

#[test]
fn payloads_and_addresses_go_when_asked() {
    let frames = all_frames();
    for payload in [Payload::Headers, Payload::None] {
        let dir = tempfile::tempdir().unwrap();
        let rule = Rule {
            payload,
            addresses: true,
            ..Rule::parse(&json!("credentials")).unwrap()
        };
        let paths = sealed(dir.path(), &rule, &frames);
        let after: Vec<u8> = paths.iter().flat_map(|path| plain(path)).collect();
        for secret in SECRETS
            .iter()
            .filter(|secret| !secret.contains("query-06") && !secret.contains("folded-03"))
        {
            let named = secret.contains("trailer-15")
                || secret.contains("h2raw-16")
                || secret.contains("segments")
                || secret.contains("copy");
            assert!(
                named && payload == Payload::Headers || !holds(&after, secret.as_bytes()),
                "{payload:?} {secret}"
            );
        }
        assert_eq!(holds(&after, b"/kept-path"), payload == Payload::Headers);
        assert!(!holds(&after, b"kept-html"));
        let packets = part(&paths, ".pcapng.zst");
        for address in [[10, 0, 0, 1], [10, 0, 0, 2]] {
            assert!(!holds(&packets, &address), "{address:?}");
        }
        assert!(paths.iter().any(|path| is_index(path)));
        for (address, host) in HOSTS {
            for text in [address, host] {
                assert!(!holds(&after, text.as_bytes()), "{payload:?} {text}");
            }
        }
        checksums_are_right(&paths);
    }
}

/// Records a step a reel, from the second on with `rule`.
struct Ruled(Arc<Mutex<Recorder>>, Rule);

impl Consumer for Ruled {
    fn on_step(&mut self, step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        let mut recorder = self.0.lock().unwrap();
        recorder.on_batch(&step.batch, items);
        if !step.batch.packets.is_empty() {
            recorder.set(vec![wish(&self.1)]);
            recorder.seal(None, "asked");
        }
    }
}

fn wish(rule: &Rule) -> Wish {
    let mut wish = Wish::new(
        "all",
        kfl::compile("true", &Schema::empty()).unwrap(),
        "folder",
    );
    wish.redact = rule.clone();
    wish
}

/// The folder to which frames are recorded under a rule, those from two seconds on in a second reel
/// under another one.
fn two_reels(dir: &Path, mut frames: Vec<Frame>, first: &Rule, then: &Rule) -> PathBuf {
    let start = frames[0].ts;
    let at = frames.partition_point(|frame| frame.ts < start + Duration::from_secs(2));
    let later = frames.split_off(at);
    let (mut recorder, outbox, archive) = recorder(dir, None);
    recorder.set(vec![wish(first)]);
    let recorder = Arc::new(Mutex::new(recorder));
    let running = pipeline::start(
        Box::new(Reels(vec![frames, later])),
        options(None, Box::new(Ruled(recorder.clone(), then.clone()))),
    );
    running.join().unwrap();
    recorder.lock().unwrap().finish();
    assert_eq!(outbox.drain(Duration::from_secs(20)).waiting, 0);
    outbox.stop();
    archive
}

/// The indexes of two reels, of which the second has the answer to a request of the first.
fn two_indexes(rule: &Rule) -> Vec<Vec<u8>> {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let frames = talk(4000, 80)
        .to_server("GET /before HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client(ok)
        .to_server("GET /across HTTP/1.1\r\nHost: shop\r\nX-API-Key: s3cret-apikey-02\r\n\r\n")
        .wait(Duration::from_secs(5))
        .to_client(ok)
        .fin();
    let dir = tempfile::tempdir().unwrap();
    let archive = two_reels(dir.path(), frames, &Rule::default(), rule);
    let mut paths = files(&archive, ".items.parquet");
    paths.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    paths.iter().map(|path| plain(path)).collect()
}

#[test]
fn what_came_before_a_rule_is_in_no_index_under_it() {
    let bare = two_indexes(&Rule::default());
    assert_eq!(bare.len(), 2);
    assert!(!holds(&bare[0], b"/across") && holds(&bare[1], b"s3cret-apikey-02"));
    let ruled = two_indexes(&Rule::parse(&json!("credentials")).unwrap());
    assert_eq!(ruled.len(), 2);
    assert!(holds(&ruled[0], b"/before"));
    assert!(!holds(&ruled[1], b"s3cret-apikey-02"));
}

#[test]
fn an_exchange_across_reels_is_found_by_its_body_under_a_rule() {
    let rule = Rule::parse(&json!("credentials")).unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: shop\r\nX-API-Key: k\r\n\r\n");
    let answer = "HTTP/1.1 500 Error\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"status\":500}";
    let frames = talk(4000, 80)
        .to_server(get("/before"))
        .to_client(answer)
        .to_server(get("/across"))
        .wait(Duration::from_secs(5))
        .to_client(answer)
        .to_server(get("/after"))
        .to_client(answer)
        .fin();
    let dir = tempfile::tempdir().unwrap();
    let archive = two_reels(dir.path(), frames, &rule, &rule);
    let paths = |args: &[&str]| {
        let mut found: Vec<String> = super::lake::query(&archive, args)
            .iter()
            .map(|item| {
                item["request"]["path"]
                    .as_str()
                    .unwrap_or("none")
                    .to_owned()
            })
            .collect();
        found.sort();
        found
    };
    // Bodies are in the packets alone.
    let kfl = "response.content.text.contains(\"OjUwMH0\")";
    assert_eq!(paths(&["--newest"]), ["/across", "/after", "/before"]);
    assert_eq!(
        paths(&["--newest", "--kfl", kfl]),
        ["/across", "/after", "/before"]
    );
}

/// Items that the program reads of the sealed packets.
fn items(paths: &[PathBuf]) -> usize {
    let packets = paths
        .iter()
        .find(|path| path.to_string_lossy().ends_with(".pcapng.zst"))
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .args(["query", "--format", "json", "--kfl", "http or redis"])
        .arg(packets)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap().lines().count()
}

fn checksums_are_right(paths: &[PathBuf]) {
    let packets = paths
        .iter()
        .find(|path| path.to_string_lossy().ends_with(".pcapng.zst"))
        .unwrap();
    let bad = "ip.checksum.status == 0 or tcp.checksum.status == 0 or udp.checksum.status == 0";
    let output = Command::new("tshark")
        .args([
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "tcp.check_checksum:TRUE",
        ])
        .args(["-o", "udp.check_checksum:TRUE", "-n", "-Y", bad, "-r"])
        .arg(packets)
        .output();
    match output {
        Err(_) => println!("skipped: tshark is not installed"),
        Ok(output) => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        }
    }
}
