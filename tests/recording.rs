//! A recording from made traffic to a folder, read back by Wireshark's own tools.
//!
//! Needs `tshark` (with zstd) for the second reading; without it that part is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tapedeck::flow::{Limits, Table};
use tapedeck::kfl::{self, Schema};
use tapedeck::packet::headers::{Decoder, Found};
use tapedeck::packet::{Batch, Decoded, Packet, StreamName};
use tapedeck::record::{Options, Outbox, Recorder, Wish, outbox};
use tapedeck::spool::{self, Writer};
use tapedeck::store::Store;
use tapedeck::store::folder::FolderStore;
use tapedeck::synth::{self, Frame};
use tapedeck::time::{SystemClock, Timestamp};

/// A batch of `frames`, whose first packet has the ordinal `first`, and the streams in it.
pub fn batch(first: u64, frames: &[Frame]) -> (Batch, Vec<StreamName>) {
    let (bytes, records) = synth::records(frames);
    let mut batch = Batch {
        bytes: bytes.into(),
        ..Batch::default()
    };
    let mut decoder = Decoder::new();
    let mut found = Found::default();
    let mut table = Table::new(Limits::default());
    let mut names = Vec::new();
    for (ordinal, record) in (first..).zip(records) {
        let start = record.start as usize;
        let bytes = batch.bytes.slice(start..start + record.caplen as usize);
        let decoded = decoder.decode(ordinal, &record, &bytes, &mut found);
        let stream = match decoded {
            Decoded::Flow(layers) => {
                let assigned = table.assign(ordinal, record.ts, &layers);
                if assigned.new {
                    names.push(assigned.info.name);
                }
                Some((assigned.info.name.stream, assigned.direction))
            }
            _ => None,
        };
        batch.packets.push(Packet {
            ordinal,
            record,
            decoded,
            stream,
        });
    }
    (batch, names)
}

/// Count of packets that tshark reads of a file, in order; `None` without tshark.
fn tshark(path: &Path, filter: &str) -> Option<Vec<String>> {
    let out = Command::new("tshark")
        .args(["-n", "-T", "fields", "-e", "tcp.stream", "-Y", filter, "-r"])
        .arg(path)
        .output()
        .ok()?;
    assert!(
        out.status.success(),
        "{}: {}",
        path.display(),
        String::from_utf8_lossy(&out.stderr)
    );
    let text = String::from_utf8_lossy(&out.stdout);
    Some(text.lines().map(str::to_owned).collect())
}

/// Files below a folder whose names end so.
pub(crate) fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn what_was_taken_opens_in_wireshark_from_segment_reel_and_export() {
    let dir = tempfile::tempdir().unwrap();
    let start = Timestamp::from_secs(1_700_000_000, 123_456_789);
    let talk = |port: u16| {
        synth::tcp(([10, 0, 0, 1], port), ([10, 0, 0, 2], 80))
            .at(start)
            .to_server("GET / HTTP/1.1\r\nHost: cart\r\n\r\n")
            .to_client("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .fin()
    };
    let frames = synth::merge([talk(4000), talk(4001), talk(4002)]);
    let (mut batch, names) = batch(0, &frames);
    assert_eq!(names.len(), 3);
    let of_stream = |name: &StreamName| {
        let ours = |packet: &&Packet| packet.stream.is_some_and(|(id, _)| id == name.stream);
        batch.packets.iter().filter(ours).count()
    };
    let wanted = of_stream(&names[1]);

    let (mut writer, reader) =
        Writer::open(spool::Options::new(dir.path().join("spool"), 1000)).unwrap();
    writer.append(&mut batch).unwrap();
    let clock = Arc::new(SystemClock);
    let archive = dir.path().join("archive");
    let store: Arc<dyn Store> = Arc::new(FolderStore::create(&archive).unwrap());
    let outbox = Outbox::start(
        outbox::Options::new(dir.path().join("outbox"), 1 << 30),
        clock.clone(),
        Arc::new(move |_| Ok(store.clone())),
    )
    .unwrap();
    let options = Options::new(dir.path(), 1000, "node-a", "test");
    let mut recorder =
        Recorder::open(options, Some(reader.clone()), clock, outbox.clone()).unwrap();
    let query = kfl::compile("response.status == 500", &Schema::empty()).unwrap();
    recorder.set(vec![Wish::new("errors", query, "folder")]);
    recorder.on_batch(&Arc::new(batch), &[]);
    assert!(recorder.take(names[1], None));
    recorder.finish();
    assert_eq!(outbox.drain(Duration::from_secs(20)).waiting, 0);
    outbox.stop();

    let export = dir.path().join("export.pcap");
    let mut file = std::fs::File::create(&export).unwrap();
    reader.write_pcap(&names[1..2], &mut file).unwrap();

    let segments = files(&dir.path().join("spool"), ".pcap");
    let reels = files(&archive, ".pcapng.zst");
    assert_eq!((segments.len(), reels.len()), (1, 1));
    assert_eq!(files(&archive, ".manifest.json").len(), 3);
    let Some(all) = tshark(&segments[0], "frame") else {
        println!("skipped: tshark is not installed");
        return;
    };
    assert_eq!(all.len(), frames.len());
    for path in [&reels[0], &export] {
        assert_eq!(tshark(path, "tcp.port == 4001").unwrap().len(), wanted);
        assert_eq!(tshark(path, "frame").unwrap().len(), wanted);
        assert_eq!(tshark(path, "http.response.code == 200").unwrap().len(), 1);
    }
    let exact = "frame.time_epoch >= 1700000000.123456789";
    assert_eq!(tshark(&reels[0], exact).unwrap().len(), wanted);
}
