//! The data folder, links and snapshots, against streams in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use super::files::{FileError, Files, Share, clean};
use super::streams::{Pins, StreamReader, StreamRef};
use super::{
    HISTORY, LiveHost, LiveOptions, NodeName, Outside, Recordings, S3Target, SpoolStreams,
};
use crate::packet::savefile::pcap::{self, Precision};
use crate::packet::savefile::{Entry, Records};
use crate::packet::{LinkType, MAX_SNAPLEN, StreamName, Transport};
use crate::script::console::Console;
use crate::script::host::{Host, HostCall, ScriptId};
use crate::script::wire::Role;
use crate::spool;
use crate::spool::feed::Feed;
use crate::store::memory::MemoryStore;
use crate::store::{Body, PutOptions, Store};
use crate::time::{SetClock, Timestamp};

/// Streams in memory: the seconds at which each has a packet, whose only byte is the stream.
#[derive(Default)]
pub(super) struct FakeReader {
    pub packets: Mutex<BTreeMap<StreamRef, Vec<u32>>>,
    pub pinned: Mutex<BTreeSet<StreamRef>>,
}

impl FakeReader {
    pub(super) fn with(streams: &[(u64, &[u32])]) -> Arc<FakeReader> {
        let reader = FakeReader::default();
        for (number, seconds) in streams {
            let stream = stream(*number);
            reader
                .packets
                .lock()
                .unwrap()
                .insert(stream, seconds.to_vec());
        }
        Arc::new(reader)
    }

    pub(super) fn pinned(&self) -> Vec<u64> {
        let pinned = self.pinned.lock().unwrap();
        pinned.iter().map(|one| one.stream.stream.0).collect()
    }
}

pub(super) fn stream(number: u64) -> StreamRef {
    StreamRef {
        run: RUN,
        stream: StreamName::parse(&number.to_string()).unwrap(),
    }
}

pub(super) const RUN: u64 = 17;

impl StreamReader for FakeReader {
    fn write_pcap(&self, streams: &[StreamRef], out: &mut dyn Write) -> Result<u64, String> {
        let packets = self.packets.lock().unwrap();
        let mut all: Vec<(u32, u8)> = Vec::new();
        for stream in streams {
            for second in packets.get(stream).into_iter().flatten() {
                all.push((*second, stream.stream.stream.0 as u8));
            }
        }
        all.sort();
        let mut bytes = Vec::new();
        pcap::write_header(
            &mut bytes,
            LinkType::ETHERNET,
            MAX_SNAPLEN,
            Precision::Micros,
        );
        for (second, byte) in &all {
            let at = Timestamp::from_secs(i64::from(*second), 0);
            pcap::write_packet(&mut bytes, Precision::Micros, at, 60, &[*byte]);
        }
        out.write_all(&bytes).map_err(|error| error.to_string())?;
        Ok(all.len() as u64)
    }

    fn write_all(&self, out: &mut dyn Write) -> Result<u64, String> {
        let all: Vec<StreamRef> = self.packets.lock().unwrap().keys().copied().collect();
        self.write_pcap(&all, out)
    }

    fn has(&self, stream: StreamRef) -> bool {
        self.packets.lock().unwrap().contains_key(&stream)
    }

    fn pin(&self, stream: StreamRef) {
        assert!(self.pinned.lock().unwrap().insert(stream), "pinned twice");
    }

    fn unpin(&self, stream: StreamRef) {
        assert!(self.pinned.lock().unwrap().remove(&stream), "not pinned");
    }
}

fn files(root: &Path, reader: &Arc<FakeReader>) -> Files {
    Files::open(
        root,
        Pins::new(reader.clone()),
        RUN,
        Share::new(root, 10 << 20),
    )
    .unwrap()
}

/// Second and byte of each packet of a savefile.
pub(super) fn packets(path: &Path) -> Vec<(u64, u8)> {
    let mut records = Records::new(fs::File::open(path).unwrap());
    let mut found = Vec::new();
    while let Some(Entry::Packet { head, bytes, .. }) = records.advance().unwrap() {
        found.push((head.ts.secs() as u64, bytes[0]));
    }
    found
}

#[test]
fn paths_stay_below_the_root() {
    assert_eq!(clean("/a//b/./c/../d").unwrap(), Path::new("a/b/d"));
    for root in ["", ".", "/", "a/.."] {
        assert_eq!(clean(root).unwrap(), Path::new("."));
    }
    for outside in ["..", "../a", "/../a", "a/../../b"] {
        assert!(
            matches!(clean(outside), Err(FileError::Outside(_))),
            "{outside}"
        );
    }
    assert!(clean("a\0b").is_err() && clean(&"a/".repeat(600)).is_err());
}

#[test]
fn a_symbolic_link_does_not_lead_out() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "x").unwrap();
    let files = files(dir.path(), &FakeReader::with(&[]));
    std::os::unix::fs::symlink(outside.path(), dir.path().join("way")).unwrap();
    assert!(files.copy("way/secret", "mine").is_err());
    assert!(files.write("way/new", b"x").is_err());
    assert!(files.delete("way/secret").is_err());
    assert!(outside.path().join("secret").exists());
    files.delete("way").unwrap();
    assert!(outside.path().join("secret").exists());
}

#[test]
fn files_are_written_appended_moved_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), &FakeReader::with(&[]));
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    files.write("/a.txt", b"one").unwrap();
    files.append("a.txt", b" two").unwrap();
    files.append("new.txt", b"made").unwrap();
    assert_eq!(
        (read("a.txt"), read("new.txt")),
        ("one two".into(), "made".into())
    );
    files.write("a.txt", b"1").unwrap();
    files.mkdir("x/y").unwrap();
    files.mkdir("x/y").unwrap();
    files.rename("a.txt", "x/y/").unwrap();
    assert_eq!(read("x/y/a.txt"), "1");
    files.rename("x/y", "z").unwrap();
    files.copy("z/a.txt", "b.txt").unwrap();
    files.copy("b.txt", "b.txt").unwrap();
    assert_eq!((read("z/a.txt"), read("b.txt")), ("1".into(), "1".into()));
    files.delete("z").unwrap();
    files.delete("z").unwrap();
    assert!(!dir.path().join("z").exists());
    assert!(matches!(files.delete("/"), Err(FileError::Root)));
    assert!(matches!(files.rename(".", "a"), Err(FileError::Root)));
}

#[test]
fn what_is_missing_throws_in_the_known_words() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), &FakeReader::with(&[]));
    let root = dir.path().display();
    let error = files.copy("pcaps/000000000007.pcap", "x").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("open {root}/pcaps/000000000007.pcap: no such file or directory")
    );
    assert!(files.rename("nothing", "x").is_err());
    assert!(files.write("no/folder", b"x").is_err());
    assert!(files.tar("nothing", 1).is_err());
    assert!(files.snapshot(&[], Some("nothing"), 1).is_err());
}

#[test]
fn fresh_names_are_fresh() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), &FakeReader::with(&[]));
    let temp = files.temp("apicalls", ".", "json").unwrap();
    assert!(
        temp.starts_with("apicalls") && temp.ends_with(".json"),
        "{temp}"
    );
    assert!(dir.path().join(&temp).is_file());
    let folder = files.mkdir_temp("snap*shot", "").unwrap();
    assert!(folder.starts_with("snap") && folder.ends_with("shot") && folder.len() > 8);
    assert!(
        files
            .mkdir_temp("a", &folder)
            .unwrap()
            .starts_with(&format!("{folder}/a"))
    );
    assert!(files.temp("../../x", ".", "txt").is_err());
}

#[test]
fn a_copied_stream_is_a_link_that_pins_it() {
    let dir = tempfile::tempdir().unwrap();
    let reader = FakeReader::with(&[(7, &[1, 4]), (9, &[2, 3])]);
    let files = files(dir.path(), &reader);
    files.mkdir("dfir").unwrap();
    files
        .copy("pcaps/000000000007.pcap", "dfir/000000000007.pcap")
        .unwrap();
    files.copy("pcaps/000000000009.pcap", "dfir/b").unwrap();
    files.copy("dfir/b", "c").unwrap();
    assert_eq!(reader.pinned(), [7, 9]);
    assert!(fs::metadata(dir.path().join("c")).unwrap().len() < 128);

    files.rename("dfir", "dfir_tmp").unwrap();
    assert_eq!(reader.pinned(), [7, 9]);
    // Packets that come after the copy are in it too.
    reader
        .packets
        .lock()
        .unwrap()
        .get_mut(&stream(7))
        .unwrap()
        .push(9);
    let made = files.snapshot(&[], Some("dfir_tmp"), 1000).unwrap();
    assert_eq!((made.name.as_str(), made.packets), ("1000.pcap", 5));
    let expected = [(1, 7), (2, 9), (3, 9), (4, 7), (9, 7)];
    assert_eq!(packets(&dir.path().join("1000.pcap")), expected);

    files.delete("dfir_tmp").unwrap();
    assert_eq!(reader.pinned(), [9]);
    files.write("c", b"over").unwrap();
    assert!(reader.pinned().is_empty());
}

#[test]
fn links_are_found_again_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let reader = FakeReader::with(&[(7, &[1])]);
    let first = files(dir.path(), &reader);
    first.mkdir("a/b").unwrap();
    first.copy("pcaps/7", "a/b/c").unwrap();
    let again = FakeReader::with(&[(7, &[1])]);
    let _files = files(dir.path(), &again);
    assert_eq!(again.pinned(), [7]);
}

#[test]
fn snapshots_merge_savefiles_and_links_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let reader = FakeReader::with(&[(1, &[5, 6]), (2, &[1]), (3, &[8])]);
    let files = files(dir.path(), &reader);
    files.mkdir("in").unwrap();
    let first = files
        .snapshot(&["2".into(), "3.pcap".into(), "99".into()], None, 50)
        .unwrap();
    assert_eq!((first.name.as_str(), first.packets), ("50.pcap", 2));
    files.copy("50.pcap", "in/made.pcap").unwrap();
    files.copy("pcaps/1", "in/1").unwrap();
    files
        .write(
            "in/note.txt",
            b"no savefile at all, but long enough for one",
        )
        .unwrap();
    files.write("in/empty.pcap", b"").unwrap();
    let both = files.snapshot(&[], Some("in"), 50).unwrap();
    assert_eq!((both.name.as_str(), both.packets), ("51.pcap", 4));
    assert_eq!(both.warnings.len(), 2, "{:?}", both.warnings);
    assert_eq!(
        packets(&dir.path().join("51.pcap")),
        [(1, 2), (5, 1), (6, 1), (8, 3)]
    );
    let one = files.snapshot(&["made".into()], Some("in"), 60).unwrap();
    assert_eq!(packets(&dir.path().join(one.name)), [(1, 2), (8, 3)]);
    let all = files.snapshot(&[], None, 70).unwrap();
    assert_eq!(all.packets, 4);
}

#[test]
fn a_cut_savefile_gives_what_is_before_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    let reader = FakeReader::with(&[(1, &[5, 6])]);
    let files = files(dir.path(), &reader);
    files.mkdir("in").unwrap();
    let whole = files.snapshot(&[], None, 1).unwrap();
    let bytes = fs::read(dir.path().join(whole.name)).unwrap();
    files
        .write("in/cut.pcap", &bytes[..bytes.len() - 1])
        .unwrap();
    let made = files.snapshot(&[], Some("in"), 2).unwrap();
    assert_eq!((made.packets, made.warnings.len()), (1, 1));
}

#[test]
fn a_tar_holds_the_packets_of_links() {
    let dir = tempfile::tempdir().unwrap();
    let reader = FakeReader::with(&[(1, &[5, 6])]);
    let files = files(dir.path(), &reader);
    files.mkdir("in/deep").unwrap();
    files.copy("pcaps/1", "in/deep/1.pcap").unwrap();
    files.write("in/a.txt", b"hello").unwrap();
    let name = files.tar("in", 99).unwrap();
    assert_eq!(name, "kubeshark_99.tar.gz");
    assert_eq!(files.tar("in", 99).unwrap(), "kubeshark_100.tar.gz");
    let zip = flate2::read::GzDecoder::new(fs::File::open(dir.path().join(name)).unwrap());
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(zip).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        found.insert(path, bytes);
    }
    assert_eq!(found["a.txt"], b"hello");
    assert_eq!(found["deep/1.pcap"].len(), 24 + 2 * 17);
}

#[test]
fn a_folder_does_not_grow_beyond_its_share() {
    let dir = tempfile::tempdir().unwrap();
    let reader = FakeReader::with(&[(1, &[5; 5000])]);
    let pins = Pins::new(reader);
    let files = Files::open(dir.path(), pins, RUN, Share::new(dir.path(), 64 << 10)).unwrap();
    files.write("a", &[0; 50_000]).unwrap();
    assert!(matches!(
        files.write("b", &[0; 50_000]),
        Err(FileError::Full(_))
    ));
    assert!(files.snapshot(&[], None, 1).is_err());
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_full_folder_leaves_room_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let whole = Share::new(dir.path(), 100 << 10);
    let open = |name: &str| {
        let path = dir.path().join(name);
        let pins = Pins::new(FakeReader::with(&[]));
        let share = Share::of_folder(&path, &whole);
        Files::open(&path, pins, RUN, share).unwrap()
    };
    let (greedy, other) = (open("greedy"), open("other"));
    let made = (0..).take_while(|number| greedy.append(&format!("{number}"), b"x").is_ok());
    let made = made.count();
    assert!((10..20).contains(&made), "empty files cost a block: {made}");
    other.write("note", b"still fits").unwrap();
    let full = other.write("large", &[0; 30 << 10]);
    assert!(matches!(full, Err(FileError::Full(_))), "{full:?}");
    greedy.delete("0").unwrap();
}

#[test]
fn folders_cannot_be_moved_into_each_other_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), &FakeReader::with(&[]));
    let deep = vec!["d"; 30].join("/");
    files.mkdir(&deep).unwrap();
    files.mkdir("e").unwrap();
    // 1 + 30 fit, twice that does not.
    files.rename("d", "e").unwrap();
    files.mkdir(&deep).unwrap();
    let refused = files.rename("e", &deep);
    assert!(matches!(refused, Err(FileError::Deep(_))), "{refused:?}");
    files.write("small", b"x").unwrap();
    files.rename("small", &deep).unwrap();
    files.delete("e").unwrap();
    files.delete("d").unwrap();
}

struct NoRecordings;

impl Recordings for NoRecordings {
    fn set(&self, script: &ScriptId, wanted: &Json) -> Result<Json, String> {
        Ok(json!([script.index, wanted]))
    }
    fn take(&self, stream: &str, name: Option<&str>) -> Result<(), String> {
        Err(format!("{stream} {name:?}"))
    }
    fn seal(&self, _: Option<&str>) -> Result<Json, String> {
        Ok(Json::Null)
    }
    fn status(&self, _: Option<&str>) -> Result<Json, String> {
        Ok(json!({}))
    }
    fn capture(&self, _: &ScriptId, _: &Json) -> Result<Json, String> {
        Ok(Json::Null)
    }
}

struct Fixture {
    host: LiveHost,
    store: Arc<MemoryStore>,
    targets: Arc<Mutex<Vec<S3Target>>>,
    console: Arc<Console>,
    dir: tempfile::TempDir,
}

fn fixture(allow_clear: bool) -> Fixture {
    fixture_in(
        tempfile::tempdir().unwrap(),
        FakeReader::with(&[(7, &[1, 2])]),
        allow_clear,
    )
}

fn fixture_in(dir: tempfile::TempDir, reader: Arc<FakeReader>, allow_clear: bool) -> Fixture {
    let store = Arc::new(MemoryStore::new());
    let targets = Arc::new(Mutex::new(Vec::new()));
    let console = Arc::new(Console::new("node-a"));
    let (put, asked) = (Arc::clone(&store), Arc::clone(&targets));
    let host = LiveHost::start(LiveOptions {
        data: dir.path().join("scripts"),
        share: 10 << 20,
        node: NodeName {
            name: "node-a".into(),
            ip: "10.0.0.1".into(),
            run: RUN,
            run_in_keys: true,
        },
        allow_clear,
        console: Arc::clone(&console),
        clock: Arc::new(SetClock::at(Timestamp::from_secs(5000, 0))),
        reader,
        stores: Arc::new(move |target: &S3Target| {
            asked.lock().unwrap().push(target.clone());
            Ok(Arc::clone(&put) as Arc<dyn Store>)
        }),
        recordings: Arc::new(NoRecordings),
        history: Arc::new(|| json!({"1": {"10.0.0.1": {"name": "a"}}})),
        outside: Outside::default(),
    })
    .unwrap();
    Fixture {
        host,
        store,
        targets,
        console,
        dir,
    }
}

impl Fixture {
    fn ask(&self, call: HostCall) -> Result<Json, String> {
        let script = ScriptId {
            role: Role::Worker,
            index: 4,
            child: 1,
            title: "A".into(),
            path: "/scripts/a.js".into(),
        };
        self.host.call(&script, call)
    }

    fn put(&self, arguments: &[&str]) -> Result<Json, String> {
        let arguments = arguments
            .iter()
            .map(|text| Some((*text).to_owned()))
            .collect();
        self.ask(HostCall::S3Put { arguments })
    }

    fn clear(&self) -> Result<Json, String> {
        let arguments = ["eu-west-1", "k", "s", "b"]
            .map(|text| Some(text.to_owned()))
            .to_vec();
        self.ask(HostCall::S3Clear { arguments })
    }

    fn last_line(&self) -> String {
        self.console.recent().pop().unwrap().text
    }

    fn object(&self, key: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut body = self.store.get(key, None, None).unwrap();
        body.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

#[test]
fn uploads_go_under_the_nodes_key_in_both_orders() {
    let at = fixture(false);
    let key = "node-a_10.0.0.1_17/000000000007.pcap";
    let sent = at.put(&["b", "pcaps/000000000007.pcap", "eu-west-1"]);
    let url = format!("https://b.s3.eu-west-1.amazonaws.com/{key}");
    assert_eq!(sent, Ok(json!(url)));
    let line = format!("[node-a-4] Uploaded {key} file to AWS S3 bucket: b");
    assert_eq!(at.last_line(), line);
    assert_eq!(at.object(key).len(), 24 + 2 * 17);

    at.put(&["eu-west-1", "k", "s", "b", HISTORY]).unwrap();
    let body = at.object("node-a_10.0.0.1_17/name_resolution_history.json");
    assert_eq!(body, br#"{"1":{"10.0.0.1":{"name":"a"}}}"#);
    let targets = at.targets.lock().unwrap();
    assert_eq!(targets[0].key_id, None);
    assert_eq!(targets[1].key_id.as_deref(), Some("k"));
}

#[test]
fn the_name_history_is_there_again_after_it_was_deleted() {
    let at = fixture(false);
    let path = HISTORY.to_owned();
    at.ask(HostCall::FileDelete { path }).unwrap();
    let folder = at.host.folder(Path::new("/scripts/a.js"));
    assert!(!folder.join(HISTORY).exists());
    at.put(&["b", HISTORY, "eu-west-1"]).unwrap();
    at.put(&["b", HISTORY, "eu-west-1"]).unwrap();
    assert!(folder.join(HISTORY).exists());
}

#[test]
fn a_missing_file_is_not_uploaded() {
    let at = fixture(false);
    let error = at.put(&["b", "none.pcap", "eu-west-1"]).unwrap_err();
    assert!(
        error.ends_with("none.pcap: no such file or directory"),
        "{error}"
    );
}

#[test]
fn clearing_is_refused_unless_it_is_allowed() {
    let put = ["b", HISTORY, "eu-west-1"];
    let at = fixture(false);
    at.put(&put).unwrap();
    assert_eq!(at.clear(), Ok(Json::Null));
    let line = at.last_line();
    assert!(
        line.contains("ERROR") && line.contains("allowClear"),
        "{line}"
    );
    at.object("node-a_10.0.0.1_17/name_resolution_history.json");

    let at = fixture(true);
    at.put(&put).unwrap();
    let options = PutOptions {
        sha256: sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new()).into(),
        ..PutOptions::default()
    };
    for key in ["node-a_10.0.0.12_17/x", "reels/x"] {
        at.store.put(key, Body::Bytes(b""), &options).unwrap();
    }
    at.clear().unwrap();
    let line = "[node-a-4] Deleted all files under node-a_10.0.0.1 in AWS S3 bucket: b";
    assert_eq!(at.last_line(), line);
    let mut left = Vec::new();
    let mut each = |entry: crate::store::Entry| {
        left.push(entry.key);
        true
    };
    at.store.list("", &mut each).unwrap();
    assert_eq!(left, ["node-a_10.0.0.12_17/x", "reels/x"]);
}

#[test]
fn scripts_with_equal_names_have_folders_of_their_own() {
    let at = fixture(false);
    let folders = ["/a/x.js", "/b/x.js", "/b/x y.js"].map(|path| at.host.folder(Path::new(path)));
    let different: BTreeSet<_> = folders.iter().collect();
    assert_eq!(different.len(), 3);
}

#[test]
fn a_folder_of_links_becomes_a_savefile() {
    let at = fixture(false);
    let dir = Some("dfir".to_owned());
    at.ask(HostCall::FileMkdir {
        path: "dfir".into(),
    })
    .unwrap();
    let copy = HostCall::FileCopy {
        from: "pcaps/7".into(),
        to: "dfir/7.pcap".into(),
    };
    at.ask(copy).unwrap();
    let path = "dfir/7.pcap".to_owned();
    assert_eq!(at.ask(HostCall::FileExists { path }), Ok(json!(true)));
    let one = vec!["7".to_owned()];
    for (selected, dir) in [(Vec::new(), dir), (Vec::new(), None), (one, None)] {
        let made = at.ask(HostCall::PcapSnapshot { selected, dir }).unwrap();
        let folder = at.host.folder(Path::new("/scripts/a.js"));
        assert_eq!(
            packets(&folder.join(made.as_str().unwrap())),
            [(1, 7), (2, 7)]
        );
    }
}

#[test]
fn wishes_reach_the_recorder() {
    let at = fixture(false);
    let recording = json!({"kfl": "http"});
    let set = at.ask(HostCall::RecordingSet { recording });
    assert_eq!(set, Ok(json!([4, {"kfl": "http"}])));
    let take = HostCall::RecordingTake {
        stream: "7.pcap".into(),
        name: Some("slow".into()),
    };
    assert_eq!(at.ask(take), Err("7.pcap Some(\"slow\")".into()));
}

#[test]
fn what_scripts_kept_in_an_earlier_run_is_pinned_before_they_ask() {
    let at = fixture(false);
    let copy = HostCall::FileCopy {
        from: "pcaps/7".into(),
        to: "7.pcap".into(),
    };
    at.ask(copy).unwrap();
    let Fixture { host, dir, .. } = at;
    drop(host);
    let reader = FakeReader::with(&[(7, &[1, 2])]);
    let _again = fixture_in(dir, Arc::clone(&reader), false);
    assert_eq!(reader.pinned(), [7]);
}

#[test]
fn streams_come_out_of_the_spool_with_late_packets() {
    let dir = tempfile::tempdir().unwrap();
    let options = spool::Options::new(dir.path(), RUN);
    let (mut writer, reader) = spool::Writer::open(options).unwrap();
    let mut feed = Feed::default();
    writer.append(&mut feed.batch("ab", 60)).unwrap();
    writer.append(&mut feed.batch("a", 60)).unwrap();
    let streams = SpoolStreams(reader);
    let named = |letter| StreamRef {
        run: RUN,
        stream: StreamName {
            stream: feed.id(letter),
            transport: Transport::Tcp,
        },
    };
    let (a, b) = (named('a'), named('b'));
    assert!(streams.has(a) && streams.has(b));
    let other = StreamRef { run: 3, ..a };
    assert!(!streams.has(other));
    let mut bytes = Vec::new();
    assert_eq!(streams.write_pcap(&[a, other], &mut bytes), Ok(2));
    let mut all = Vec::new();
    assert_eq!(streams.write_all(&mut all), Ok(3));
    assert!(all.len() > bytes.len());
    let mut none = Vec::new();
    assert_eq!(streams.write_pcap(&[], &mut none), Ok(0));
    assert_eq!(none.len(), 24);
}
