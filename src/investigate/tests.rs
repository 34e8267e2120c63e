//! Sources as people have them: folders, archives, reels, broken ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::capture::{Filled, RawBatch};
use crate::packet::savefile::pcap;
use crate::packet::{Endpoint, LinkType};
use crate::record::manifest;
use crate::store::conformance::put;
use crate::store::memory::MemoryStore;
use crate::store::{Body, Entry, PutOptions, Receipt, Store, hex};
use crate::time::Timestamp;

fn capture(seconds: &[i64]) -> Vec<u8> {
    let mut file = Vec::new();
    let precision = pcap::Precision::Micros;
    pcap::write_header(&mut file, LinkType::RAW, 65_535, precision);
    for second in seconds {
        pcap::write_packet(
            &mut file,
            precision,
            Timestamp::from_secs(*second, 0),
            1,
            &[0x45],
        );
    }
    file
}

const HISTORY: &str = r#"{"1700000000":{"10.0.0.1":{"FullAddress":"cart.shop","Namespace":"shop"}},
    "1700000100":{"10.0.0.1":{"FullAddress":"orders.shop","Namespace":"shop"}}}"#;

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn write(folder: &Path, key: &str, bytes: &[u8]) {
    let path = folder.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What a source gave, one line for packets in a row from one node: `node: seconds`, the name of
/// 10.0.0.1 at the first of them behind it, `---` for a boundary.
fn story(source: &mut dyn Source, names: &SourceNames) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut batch = RawBatch::default();
        let filled = source.fill(&mut batch).unwrap();
        if let Some(first) = batch.records.first() {
            let origin = source.origin().map(|origin| (*origin).clone());
            let origin = origin.unwrap_or_default();
            let endpoint = Endpoint {
                ip: "10.0.0.1".parse().unwrap(),
                port: 80,
            };
            let name = names
                .of(&origin)
                .and_then(|names| names.lookup(endpoint, first.ts))
                .map(|named| format!(" {}.{} {}", named.name, named.namespace, named.mechanism))
                .unwrap_or_default();
            let seconds: Vec<String> = batch
                .records
                .iter()
                .map(|record| (record.ts.secs() - 1_700_000_000).to_string())
                .collect();
            lines.push(format!(
                "{}/{}: {}{name}",
                origin.node_name,
                origin.node_ip,
                seconds.join(" ")
            ));
        }
        match filled {
            Filled::End => return lines,
            Filled::Boundary => lines.push("---".to_owned()),
            _ => {}
        }
    }
}

fn opened(spec: &Path) -> Opened {
    open(&[spec.display().to_string()], &Options::default()).unwrap()
}

fn told(spec: &Path) -> (Vec<String>, Vec<String>) {
    let mut opened = opened(spec);
    let lines = story(&mut *opened.source, &opened.names);
    let warnings = opened.source.warnings();
    (lines, warnings)
}

const N: i64 = 1_700_000_000;

#[test]
fn drop_in_folders_are_read_node_by_node_with_names_of_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let at = |key: &str, bytes: &[u8]| write(folder.path(), key, bytes);
    at(
        "node-b_10.1.2.4_1700000011/1700000050.pcap",
        &capture(&[N + 50, N + 55]),
    );
    at(
        "node-a_10.1.2.3_1700000000/1700000200.pcap",
        &capture(&[N + 200]),
    );
    at(
        "node-a_10.1.2.3_1700000000/1700000010.pcap",
        &capture(&[N + 10, N + 20]),
    );
    at(
        "node-a_10.1.2.3_1700000000/name_resolution_history.json",
        HISTORY.as_bytes(),
    );
    at("readme.txt", b"not a capture");
    let (lines, warnings) = told(folder.path());
    assert_eq!(
        lines,
        [
            "node-a/10.1.2.3: 10 20 cart.shop ip",
            "node-a/10.1.2.3: 200 orders.shop ip",
            "---",
            "node-b/10.1.2.4: 50 55 cart.shop ip-borrowed",
        ]
    );
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_file_named_alone_still_has_its_node_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let node = "node-a_10.1.2.3_1700000000";
    write(
        folder.path(),
        &format!("{node}/1700000010.pcap"),
        &capture(&[N + 10]),
    );
    write(
        folder.path(),
        &format!("{node}/name_resolution_history.json"),
        HISTORY.as_bytes(),
    );
    let (lines, _) = told(&folder.path().join(node).join("1700000010.pcap"));
    assert_eq!(lines, ["node-a/10.1.2.3: 10 cart.shop ip"]);
}

/// Paths with bytes.
type Entries<'a> = &'a [(&'a str, &'a [u8])];

#[test]
fn archives_of_all_layouts_are_read() {
    let (one, two) = (capture(&[N + 10]), capture(&[N + 120]));
    let history = HISTORY.as_bytes();
    let by_node: &[(&str, &[u8])] = &[
        ("node-a_10.1.2.3/1700000010.pcap", &one),
        ("node-a_10.1.2.3/name_resolution_history.json", history),
        ("node-b_10.1.2.4/1700000120.pcap", &two),
        ("node-b_10.1.2.4/name_resolution_history.json", history),
    ];
    let of_query: &[(&str, &[u8])] = &[
        ("content.json", b"{}"),
        ("name_resolution_history.json", history),
        ("1700000010.pcap", &one),
    ];
    let of_recording: &[(&str, &[u8])] = &[
        ("000000000001.pcap", &one),
        ("000000000001_pcap-0_entry.json", b"{}"),
        ("000000000002.pcap", &two),
    ];
    let nodes = [
        "node-a/10.1.2.3: 10 cart.shop ip",
        "---",
        "node-b/10.1.2.4: 120 orders.shop ip",
    ];
    let query = ["/: 10 cart.shop ip"];
    let recording = ["/: 10", "/: 120"];
    let cases: [(&str, Entries<'_>, &[&str]); 3] = [
        ("kubeshark_1700000010.tar.gz", by_node, &nodes),
        ("kfl_0_kubeshark_1700000010.tgz", of_query, &query),
        ("errors_kubeshark_1.gz.tar", of_recording, &recording),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, entries, wanted) in &cases {
        for around in ["", "a folder/", "./"] {
            let moved: Vec<(String, &[u8])> = entries
                .iter()
                .map(|(path, bytes)| (format!("{around}{path}"), *bytes))
                .collect();
            let moved: Vec<(&str, &[u8])> = moved
                .iter()
                .map(|(path, bytes)| (path.as_str(), *bytes))
                .collect();
            write(folder.path(), name, &gzip(&tar(&moved)));
            let (lines, warnings) = told(&folder.path().join(name));
            assert_eq!(lines, *wanted, "{around}{name}: {warnings:?}");
            assert_eq!(warnings, Vec::<String>::new());
        }
    }
    let packed = zstd::encode_all(&tar(by_node)[..], 1).unwrap();
    write(folder.path(), "a.tar.zst", &packed);
    write(folder.path(), "plain.tar", &tar(by_node));
    for name in ["a.tar.zst", "plain.tar"] {
        let (lines, _) = told(&folder.path().join(name));
        assert_eq!(lines, nodes, "{name}");
    }
}

#[test]
fn an_archive_that_is_cut_off_gives_what_is_before_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (capture(&[N + 1]), capture(&[N + 2; 5000]));
    let whole = tar(&[("a.pcap", &one), ("b.pcap", &two)]);
    let zipped = gzip(&whole);
    for (name, whole) in [("cut.tar", whole), ("cut.tar.gz", zipped)] {
        write(folder.path(), name, &whole[..whole.len() / 2]);
        let (lines, warnings) = told(&folder.path().join(name));
        assert_eq!(lines[0], "/: 1");
        assert!(lines.len() >= 2, "{lines:?}");
        let cut = warnings.iter().find(|warning| warning.contains("b.pcap"));
        let cut = cut.unwrap_or_else(|| panic!("{warnings:?}"));
        assert!(cut.contains("it is cut off within"), "{cut}");
    }
    // And one that ends within its only capture.
    let whole = gzip(&tar(&[("b.pcap", &two)]));
    write(folder.path(), "one.tar.gz", &whole[..whole.len() / 2]);
    let (lines, _) = told(&folder.path().join("one.tar.gz"));
    assert!(!lines.is_empty());
}

#[test]
fn a_bomb_is_not_unpacked_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = vec![0; 300 << 20];
    let bomb = tar(&[("a.pcap", &capture(&[N + 1])), ("b.pcap", &zeros)]);
    write(
        folder.path(),
        "bomb.tar.zst",
        &zstd::encode_all(&bomb[..], 1).unwrap(),
    );
    let (lines, warnings) = told(&folder.path().join("bomb.tar.zst"));
    assert_eq!(lines, ["/: 1"]);
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("1100 times its size")),
        "{warnings:?}"
    );
}

#[test]
fn archives_within_archives_are_said_to_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let inner = tar(&[("a.pcap", &capture(&[N + 2]))]);
    write(
        folder.path(),
        "o.tar",
        &tar(&[("a.pcap", &capture(&[N + 1])), ("inner.tar", &inner)]),
    );
    let (lines, warnings) = told(&folder.path().join("o.tar"));
    assert_eq!(lines, ["/: 1"]);
    assert!(
        warnings[0].contains("inner.tar is an archive within the archive"),
        "{warnings:?}"
    );
}

/// An entry of a file with holes, of `real` bytes, which begins with these.
fn sparse(path: &str, bytes: &[u8], real: u64) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(bytes.len() as u64);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(real);
    let octal =
        |number: u64| -> [u8; 12] { format!("{number:011o}\0").into_bytes().try_into().unwrap() };
    gnu.sparse[0].offset = octal(0);
    gnu.sparse[0].numbytes = octal(bytes.len() as u64);
    if real > bytes.len() as u64 {
        gnu.sparse[1].offset = octal(real);
        gnu.sparse[1].numbytes = octal(0);
    }
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn captures_in_archives_are_read_whatever_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let of = |second: i64| capture(&[N + second]);
    let zipped = gzip(&of(5));
    let entries: &[(&str, &[u8])] = &[
        ("r/cap.pcap", &of(1)),
        ("r/cap.pcap1", &of(2)),
        ("r/b.pcap.2", &of(3)),
        ("r/c.dmp", &of(4)),
        ("r/d", &zipped),
        ("r/readme.md", b"text"),
        ("r/notes.gz", &gzip(b"text")),
        ("r/empty", b""),
    ];
    write(folder.path(), "rotated.tar.gz", &gzip(&tar(entries)));
    let (lines, warnings) = told(&folder.path().join("rotated.tar.gz"));
    assert_eq!(lines, ["/: 1", "/: 2", "/: 3", "/: 4", "/: 5"]);
    assert!(warnings.is_empty(), "{warnings:?}");
    // What is cut off is given as far as it goes.
    let two = capture(&[N + 1, N + 2]);
    let whole = tar(&[("c.dmp", &two)]);
    write(folder.path(), "cut.tar", &whole[..512 + two.len() - 3]);
    let (lines, _) = told(&folder.path().join("cut.tar"));
    assert_eq!(lines, ["/: 1"]);
    let one = of(1);
    let length = one.len() as u64;
    write(folder.path(), "holes.tar", &sparse("a.pcap", &one, length));
    let (lines, _) = told(&folder.path().join("holes.tar"));
    assert_eq!(lines, ["/: 1"]);
    // An archive ends with two blocks of zeros.
    let mut large = tar(&[("b.pcap", &of(2))]);
    large.truncate(large.len() - 1024);
    large.extend(sparse("a.pcap", &one, 4 << 30));
    write(folder.path(), "large.tar", &large);
    let (lines, warnings) = told(&folder.path().join("large.tar"));
    assert_eq!(lines, ["/: 2"]);
    assert!(
        warnings[0].contains("a.pcap unpacks to more"),
        "{warnings:?}"
    );
}

#[test]
fn what_is_no_capture_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.txt", b"text");
    let packed = gzip(&capture(&[N + 1]));
    write(folder.path(), "cut.pcap.gz", &packed[..packed.len() / 3]);
    write(folder.path(), "a.pcap.xz", b"\xfd7zXZ\0\0\x04");
    write(folder.path(), "empty.tar", &tar(&[("a.txt", b"text")]));
    let of = |spec: String| match open(&[spec], &Options::default()) {
        Err(error) => error.to_string(),
        Ok(mut opened) => loop {
            match opened.source.fill(&mut RawBatch::default()) {
                Err(error) => break error.to_string(),
                Ok(Filled::End) => panic!("no error"),
                Ok(_) => {}
            }
        },
    };
    let path = |name: &str| folder.path().join(name).display().to_string();
    assert!(
        of(path("")).contains("holds no capture; its 2 objects")
            || of(path("")).contains("no capture")
    );
    assert!(
        of(path("a.txt")).contains("is not a capture"),
        "{}",
        of(path("a.txt"))
    );
    assert!(
        of(path("none")).contains("no such file"),
        "{}",
        of(path("none"))
    );
    assert!(
        of(path("empty.tar")).contains("holds no capture"),
        "{}",
        of(path("empty.tar"))
    );
    let cut = of(path("cut.pcap.gz"));
    assert!(cut.contains("is cut off before the first packet"), "{cut}");
    let xz = of(path("a.pcap.xz"));
    assert!(xz.contains("it begins like xz data"), "{xz}");
    assert!(of("ftp://x/y".into()).contains("ftp:// cannot be read"));
}

const STEM: &str =
    "reels/cluster=c/date=2023-11-14/hour=22/node=n/recording=r/20231114T221320Z-1700000000";

fn reel(store: &dyn Store, sequence: u32, seconds: &[i64]) -> String {
    let packets = zstd::encode_all(&capture(seconds)[..], 1).unwrap();
    let hash = hex(&Sha256::digest(&packets).into());
    let key = format!("{STEM}-{sequence:06}-{}.pcapng.zst", &hash[..16]);
    put(store, &key, &packets).unwrap();
    let mut sealed = manifest::sample();
    sealed.parts.push(manifest::Part {
        role: "packets".into(),
        key: key.clone(),
        size: packets.len() as u64,
        sha256: hash,
        content_type: "application/zstd".into(),
        version: None,
        lock: manifest::LockNote::default(),
        frames: Vec::new(),
    });
    let name = format!("{STEM}-{sequence:06}-0123456789abcdef.manifest.json");
    put(store, &name, &sealed.to_bytes()).unwrap();
    key
}

fn of_store(store: Arc<dyn Store>) -> (plan::Plan, Options) {
    let mut remarks = Vec::new();
    let section = plan::of_bucket("s3://test", store, "", &[], &mut remarks).unwrap();
    let plan = plan::Plan {
        sections: vec![section],
        left_out: 0,
        remarks,
    };
    (plan, Options::default())
}

#[test]
fn reels_are_held_against_their_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::store::folder::FolderStore::create(folder.path()).unwrap();
    reel(&store, 1, &[N + 1]);
    let forged = reel(&store, 2, &[N + 2]);
    let missing = reel(&store, 3, &[N + 3]);
    let heartbeat = format!("{STEM}-000004-0123456789abcdef.manifest.json");
    put(&store, &heartbeat, &manifest::sample().to_bytes()).unwrap();
    fs::remove_file(folder.path().join(&missing)).unwrap();
    fs::remove_file(folder.path().join(&forged)).unwrap();
    write(
        folder.path(),
        &forged,
        &zstd::encode_all(&capture(&[N + 7])[..], 1).unwrap(),
    );
    for remote in [false, true] {
        let (lines, warnings) = if remote {
            let (plan, options) = of_store(Arc::new(
                crate::store::folder::FolderStore::open(folder.path()).unwrap(),
            ));
            let mut source = source::Inputs::new(&Arc::new(plan), &options, SourceNames::default());
            let lines = story(&mut source, &SourceNames::default());
            (lines, source.warnings())
        } else {
            told(folder.path())
        };
        assert_eq!(lines, ["n/: 1", "n/: 7"], "remote: {remote}");
        let said = |words: &[&str]| {
            warnings
                .iter()
                .any(|warning| words.iter().all(|word| warning.contains(word)))
        };
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(said(&["is not what was sealed", &forged]), "{warnings:?}");
        assert!(
            said(&["a sealed part is missing", &missing]),
            "{warnings:?}"
        );
    }
}

#[test]
fn reels_bring_their_recording_and_the_names_in_them() {
    use crate::packet::savefile::pcapng::write as pcapng;
    let folder = tempfile::tempdir().unwrap();
    let mut file = Vec::new();
    pcapng::section(&mut file, &pcapng::Section::default());
    let interface = pcapng::Interface {
        name: "eth0",
        ..pcapng::Interface::of(LinkType::RAW)
    };
    pcapng::interface(&mut file, &interface);
    let ip = |last| std::net::IpAddr::from([10, 0, 0, last]);
    pcapng::names(&mut file, [(ip(1), "cart.shop"), (ip(2), "db.shop")]);
    pcapng::packet(&mut file, 0, Timestamp::from_secs(N, 0), 1, &[0x45]);
    let key = format!("{STEM}-000001-0123456789abcdef.pcapng");
    write(folder.path(), &key, &file);
    write(folder.path(), "z/plain.pcap", &capture(&[N + 9]));
    let mut opened = opened(folder.path());
    let mut batch = RawBatch::default();
    opened.source.fill(&mut batch).unwrap();
    assert_eq!(opened.source.record().as_deref(), Some("r"));
    let mut again = self::opened(folder.path());
    assert_eq!(
        story(&mut *again.source, &again.names),
        ["n/: 0 cart.shop. capture", "---", "/: 9"]
    );
    assert_eq!(again.source.record(), None);
}

/// A store that gives the bodies of some keys only when it is told to.
struct Gated {
    inner: MemoryStore,
    shut: Mutex<BTreeMap<String, mpsc::Receiver<()>>>,
}

impl Store for Gated {
    fn name(&self) -> String {
        "gated".into()
    }
    fn put(&self, _: &str, _: Body<'_>, _: &PutOptions) -> Result<Receipt, StoreError> {
        unreachable!("readers do not put")
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError> {
        self.inner.list(prefix, each)
    }
    fn get(
        &self,
        key: &str,
        version: Option<&str>,
        range: Option<(u64, u64)>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        let shut = self.shut.lock().unwrap().remove(key);
        if let Some(gate) = shut {
            gate.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        self.inner.get(key, version, range)
    }
    fn head(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.inner.head(key)
    }
    fn state(
        &self,
        key: &str,
        version: Option<&str>,
    ) -> Result<Option<crate::store::State>, StoreError> {
        self.inner.state(key, version)
    }
    fn clear(&self, _: &str) -> Result<u64, StoreError> {
        unreachable!("readers do not clear")
    }
    fn facts(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::new()
    }
}

#[test]
fn first_packets_are_there_before_the_last_object_has_arrived() {
    let inner = MemoryStore::new();
    for second in [1, 2, 3] {
        let key = format!("n_10.0.0.9_1700000000/{}.pcap", N + second);
        put(&inner, &key, &capture(&[N + second])).unwrap();
    }
    let (open_gate, gate) = mpsc::channel();
    let last = format!("n_10.0.0.9_1700000000/{}.pcap", N + 3);
    let store = Arc::new(Gated {
        inner,
        shut: Mutex::new([(last, gate)].into()),
    });
    let (plan, options) = of_store(store);
    let mut source = source::Inputs::new(&Arc::new(plan), &options, SourceNames::default());
    for second in [1, 2] {
        let mut batch = RawBatch::default();
        source.fill(&mut batch).unwrap();
        assert_eq!(batch.records[0].ts.secs(), N + second);
    }
    open_gate.send(()).unwrap();
    let rest = story(&mut source, &SourceNames::default());
    assert_eq!(rest, ["n/10.0.0.9: 3"]);
    let (done, total) = source.progress().unwrap();
    assert_eq!(done, total);
}

#[test]
fn a_source_is_read_again_in_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "b.pcap", &capture(&[N + 1]));
    write(folder.path(), "a.pcap", &capture(&[N + 2]));
    let mut opened = opened(folder.path());
    let first = story(&mut *opened.source, &opened.names);
    write(folder.path(), "0.pcap", &capture(&[N]));
    let mut again = opened.again.reopen().unwrap();
    assert_eq!(story(&mut *again, &SourceNames::default()), first);
    assert_eq!(first, ["/: 1", "/: 2"]);
}

/// Keys that are read for a time range of seconds after N.
fn read_for(folder: &Path, spans: &[(i64, i64)]) -> (Vec<String>, usize) {
    let spans = spans.iter().map(|(from, to)| Span {
        from: Some(Timestamp::from_secs(N + from, 0)),
        to: Some(Timestamp::from_secs(N + to, 0)),
    });
    let options = Options {
        wanted: Wanted {
            spans: spans.collect(),
            shard: None,
        },
        ..Options::default()
    };
    let plan = plan::Plan::of(&[folder.display().to_string()], &options).unwrap();
    let mut keys = Vec::new();
    for section in &plan.sections {
        if let plan::Section::Stored(stored) = section {
            keys.extend(stored.files.iter().map(|file| file.key.clone()));
        }
    }
    (keys, plan.left_out)
}

#[test]
fn a_time_range_leaves_out_files_whose_names_tell_another_time() {
    const HOUR: i64 = 3600;
    let folder = tempfile::tempdir().unwrap();
    let node = "node-a_10.1.2.3_1700000000";
    for hour in 0..10 {
        let key = format!("{node}/{}.pcap", N + hour * HOUR);
        write(folder.path(), &key, &capture(&[N + hour * HOUR + 5]));
    }
    write(folder.path(), "other.pcap", &capture(&[N]));
    let (keys, left_out) = read_for(folder.path(), &[(5 * HOUR + 60, 5 * HOUR + 120)]);
    let hour = |hour: i64| format!("{node}/{}.pcap", N + hour * HOUR);
    let wanted: Vec<String> = (4..=6).map(hour).collect();
    let of_node: Vec<&String> = keys.iter().filter(|key| key.starts_with(node)).collect();
    assert_eq!(of_node, wanted.iter().collect::<Vec<_>>());
    assert!(keys.contains(&"other.pcap".to_owned()), "{keys:?}");
    assert_eq!(left_out, 7);
    let both = [(0, 60), (9 * HOUR, 9 * HOUR + 60)];
    assert_eq!(read_for(folder.path(), &both).1, 10 - 5);
    assert_eq!(read_for(folder.path(), &[]).1, 0);
}

#[test]
fn a_time_range_leaves_out_reels_and_days() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::store::folder::FolderStore::create(folder.path()).unwrap();
    let put_reel = |date: &str, hour: u32, first: i64, last: i64| {
        let day = date.replace('-', "");
        let stem = format!(
            "reels/cluster=c/date={date}/hour={hour:02}/node=n/recording=r/{day}T{hour:02}0000Z-1700000000-000001-0123456789abcdef"
        );
        put(&store, &format!("{stem}.pcapng"), &capture(&[first])).unwrap();
        let index = format!("{stem}.{}", crate::index::ending(Some((first, last))));
        put(&store, &index, b"x").unwrap();
    };
    // 2023-11-14 22:13:20 is N.
    put_reel("2023-11-13", 1, N - 76_000, N - 75_000);
    put_reel("2023-11-14", 18, N - 15_000, N - 14_000);
    put_reel("2023-11-14", 22, N - 800, N + 100);
    put_reel("2023-11-16", 1, N + 97_000, N + 98_000);
    let (keys, left_out) = read_for(folder.path(), &[(0, 60)]);
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(keys[0].contains("hour=22"), "{keys:?}");
    // The 16th was not even listed.
    assert_eq!(left_out, 2);
}
