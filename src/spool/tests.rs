//! Tests of the whole spool: chains, ring, pins, recovery, exports.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::feed::{Feed, bytes_of, time_of};
use super::*;
use crate::packet::savefile;
use crate::packet::{StreamId, StreamName, Transport};

fn options(dir: &Path) -> Options {
    Options {
        max_bytes: 1 << 20,
        segment_bytes: 16 << 10,
        max_pin_bytes: 1 << 20,
        ..Options::new(dir, 1000)
    }
}

fn ordinals(packets: Packets) -> Vec<u64> {
    packets
        .map(|packet| {
            let packet = packet.unwrap();
            let ordinal = packet.entry.ordinal;
            assert_eq!(packet.bytes, bytes_of(ordinal, packet.bytes.len()));
            assert_eq!(packet.entry.ts, time_of(ordinal));
            ordinal
        })
        .collect()
}

fn savefile_ordinals(bytes: &[u8]) -> Vec<u64> {
    let mut records = savefile::Records::new(bytes);
    let mut found = Vec::new();
    while let Some(entry) = records.advance().unwrap() {
        if let savefile::Entry::Packet { bytes, .. } = entry {
            found.push(u64::from_le_bytes(bytes[..8].try_into().unwrap()));
        }
    }
    found
}

#[test]
fn a_stream_reads_back_as_soon_as_it_was_appended() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = Writer::open(options(dir.path())).unwrap();
    let mut feed = Feed::default();
    let mut batch = feed.batch("aba-ab", 100);
    writer.append(&mut batch).unwrap();
    assert_eq!(
        ordinals(reader.stream(feed.id('a'), None).unwrap()),
        [0, 2, 4]
    );
    assert_eq!(ordinals(reader.stream(feed.id('b'), None).unwrap()), [1, 5]);
    assert_eq!(
        ordinals(reader.stream(feed.id('a'), Some(4)).unwrap()),
        [0, 2]
    );
    assert_eq!(ordinals(reader.stream(StreamId(2), None).unwrap()), [0; 0]);
    assert_eq!(ordinals(reader.stream(StreamId(99), None).unwrap()), [0; 0]);
    assert_eq!(reader.packet(3).unwrap().unwrap().bytes, bytes_of(3, 100));
    assert!(
        batch
            .packets
            .windows(2)
            .all(|pair| pair[0].record.position < pair[1].record.position)
    );
}

#[test]
fn the_size_of_a_stream_is_that_of_all_its_packets_or_not_known() {
    let later = || Instant::now() + Duration::from_secs(60);
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = Writer::open(options(dir.path())).unwrap();
    let mut feed = Feed::default();
    let mut batch = feed.batch("aba-ab", 100);
    let (a, b) = (feed.id('a'), feed.id('b'));
    feed.end(&mut batch, 'b');
    writer.append(&mut batch).unwrap();
    let size = |packets| {
        Some(Size {
            packets,
            bytes: packets * 100,
        })
    };
    let sizes = Sizes::default();
    let of = |stream, until| sizes.of(&reader, stream, until).unwrap();
    assert_eq!(of(a, later()), size(3));
    assert_eq!(of(b, later()), size(2));
    assert_eq!(of(StreamId(99), later()), None);
    assert_eq!(of(StreamId(2), later()), None);
    let mut many = |times: u64| {
        for _ in 0..times {
            let mut batch = feed.batch(&"a".repeat(50), 100);
            writer.append(&mut batch).unwrap();
        }
    };
    many(20);
    // Whoever asks again has what came since.
    assert_eq!(of(a, later()), size(1003));
    assert_eq!(of(a, later()), size(1003));
    // In no time a short one alone is counted.
    let anew = Sizes::default();
    let now = Instant::now();
    assert_eq!(anew.of(&reader, a, now).unwrap(), None);
    assert_eq!(anew.of(&reader, b, now).unwrap(), size(2));
    // What was recycled before it was counted is in no sum.
    many(400);
    assert!(reader.packet(0).unwrap().is_none());
    assert_eq!(anew.of(&reader, a, later()).unwrap(), None);
}

#[test]
fn a_closed_stream_is_found_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = Writer::open(options(dir.path())).unwrap();
    let mut feed = Feed::default();
    let mut wanted = Vec::new();
    for round in 0..40 {
        wanted.push(feed.next);
        let mut batch = feed.batch("abbbbbbb", 500);
        if round == 39 {
            let id = feed.id('a');
            feed.end(&mut batch, 'a');
            writer.append(&mut batch).unwrap();
            assert!(!reader.is_open(id));
            assert!(reader.counts().segments > 5);
            assert_eq!(ordinals(reader.stream(id, None).unwrap()), wanted);
        } else {
            writer.append(&mut batch).unwrap();
        }
    }
    // Without the lists of ends the side files are looked through.
    for entry in fs::read_dir(dir.path().join("run-0000001000")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "ends") {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(ordinals(reader.stream(StreamId(0), None).unwrap()), wanted);
    assert_eq!(
        ordinals(reader.stream(StreamId(0), Some(20)).unwrap()),
        [0, 8, 16]
    );
}

#[test]
fn segments_are_savefiles_at_any_time() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = Writer::open(options(dir.path())).unwrap();
    let mut feed = Feed::default();
    let raw = crate::packet::LinkType::RAW;
    writer.append(&mut feed.batch("ab", 60)).unwrap();
    let mut batch = feed.batch("ab", 60);
    batch
        .packets
        .iter_mut()
        .for_each(|packet| packet.record.linktype = raw);
    writer.append(&mut batch).unwrap();
    let mut batch = feed.batch("aba", 60);
    batch.packets[1].record.linktype = raw;
    writer.append(&mut batch).unwrap();
    writer.append(&mut feed.batch("b", 60)).unwrap();
    for (name, held) in [
        ("00000000.pcap", &[0, 1][..]),
        ("00000001.pcap", &[2, 3]),
        ("00000002.pcapng", &[4, 5, 6, 7]),
    ] {
        let bytes = fs::read(dir.path().join("run-0000001000").join(name)).unwrap();
        assert_eq!(savefile_ordinals(&bytes), held, "{name}");
    }
    assert_eq!(
        ordinals(reader.stream(feed.id('b'), None).unwrap()),
        [1, 3, 5, 7]
    );
}

#[test]
fn what_is_known_of_packets_takes_little_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = Writer::open(Options {
        segment_bytes: 1 << 20,
        max_bytes: 8 << 20,
        ..options(dir.path())
    })
    .unwrap();
    let mut feed = Feed::default();
    for round in 0..40 {
        // Some streams are busy, many have a packet now and then.
        let letters: String = (0..200u32)
            .map(|at| char::from(b'a' + ((at * at + round) % 26) as u8))
            .collect();
        writer.append(&mut feed.batch(&letters, 250)).unwrap();
    }
    let savefile = 24 + feed.next * (16 + 250);
    let on_disk = reader.counts().on_disk;
    assert!(
        on_disk * 100 <= savefile * 105,
        "{on_disk} bytes where a savefile has {savefile}"
    );
}

#[test]
fn the_ring_keeps_its_bound_and_counts_what_it_overwrote() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = Writer::open(Options {
        max_bytes: 100 << 10,
        ..options(dir.path())
    })
    .unwrap();
    let mut feed = Feed::default();
    for _ in 0..100 {
        writer.append(&mut feed.batch("abcdefgh", 500)).unwrap();
        assert!(reader.counts().on_disk <= 100 << 10);
    }
    let counts = reader.counts();
    assert_eq!(counts.packets, 800);
    let left = ordinals(reader.window(time_of(0), time_of(800)));
    assert_eq!(counts.overwritten.packets, 800 - left.len() as u64);
    assert_eq!(*left.last().unwrap(), 799);
    assert_eq!(left, ((800 - left.len() as u64)..800).collect::<Vec<_>>());
    let stream = ordinals(reader.stream(feed.id('a'), None).unwrap());
    assert_eq!(
        stream.len(),
        left.iter().filter(|ordinal| *ordinal % 8 == 0).count()
    );
    assert_eq!(
        ordinals(reader.window(time_of(700), time_of(703))),
        [700, 701, 702]
    );
}

#[test]
fn a_run_with_a_smaller_number_keeps_its_packets_and_recycles_those_of_earlier_runs() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options {
        max_bytes: 100 << 10,
        ..options(dir.path())
    };
    // The clock was ahead.
    let run = 2000;
    let (mut writer, _) = Writer::open(Options {
        run,
        ..small.clone()
    })
    .unwrap();
    let mut feed = Feed::default();
    for _ in 0..30 {
        writer.append(&mut feed.batch("abcdefgh", 500)).unwrap();
    }
    drop(writer);
    let (mut writer, reader) = Writer::open(small).unwrap();
    let mut feed = Feed::default();
    for _ in 0..12 {
        writer.append(&mut feed.batch("abcdefgh", 500)).unwrap();
        assert!(reader.counts().on_disk <= 100 << 10);
    }
    let all = |reader: &Reader| ordinals(reader.window(time_of(0), time_of(1000)));
    assert_eq!(all(&reader), (0..96).collect::<Vec<_>>());
    // Of the run before as much as there is room for, the newest of it.
    let before = all(&reader.of_run(2000).unwrap());
    assert!(
        before.len() > 50 && before.last() == Some(&239),
        "{before:?}"
    );
    for _ in 0..100 {
        writer.append(&mut feed.batch("abcdefgh", 500)).unwrap();
    }
    assert_eq!(reader.runs(), [1000]);
    assert!(all(&reader).len() > 100);
}

#[test]
fn a_segment_gives_what_it_has_of_each_pinned_stream_at_once() {
    const STREAMS: u32 = 5000;
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = Writer::open(Options {
        max_bytes: 16 << 20,
        segment_bytes: 4 << 20,
        ..options(dir.path())
    })
    .unwrap();
    let mut feed = Feed::default();
    let names: String = (0..STREAMS)
        .filter_map(|index| char::from_u32(0x4e00 + index))
        .collect();
    for _ in 0..10 {
        writer.append(&mut feed.batch(&names, 8)).unwrap();
    }
    let ids: Vec<StreamId> = names.chars().map(|name| feed.id(name)).collect();
    assert!(ids.iter().all(|id| reader.pin(*id)));
    reader.bound(64 << 10, u64::from(STREAMS) * 2000);
    for _ in 0..20 {
        writer.append(&mut feed.batch("xyz", 1000)).unwrap();
    }
    assert!(reader.counts().overwritten.packets >= 50_000);
    assert_eq!(reader.counts().pins_dropped, 0);
    for (index, id) in ids.iter().enumerate() {
        let wanted: Vec<u64> = (0..10)
            .map(|round| index as u64 + round * u64::from(STREAMS))
            .collect();
        assert_eq!(ordinals(reader.stream(*id, None).unwrap()), wanted);
        // A block ends with each time that the files were opened and written.
        let pair = Pair::new(
            &dir.path().join("run-0000001000/pins"),
            &format!("{:012}", id.0),
        );
        let mut side = pair.read_side().unwrap();
        side.next_block().unwrap();
        assert_eq!(side.at_hand().len(), 10);
    }
}

#[test]
fn pins_keep_their_bound_over_segments_and_count_what_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = Writer::open(Options {
        max_bytes: 64 << 10,
        max_pin_bytes: 20 << 10,
        ..options(dir.path())
    })
    .unwrap();
    let mut feed = Feed::default();
    writer.append(&mut feed.batch("ab", 500)).unwrap();
    let (a, b) = (feed.id('a'), feed.id('b'));
    assert!(reader.pin(a) && reader.pin(b));
    for _ in 0..60 {
        writer.append(&mut feed.batch("abxxxxxx", 500)).unwrap();
    }
    let counts = reader.counts();
    let in_ring = ordinals(reader.window(time_of(0), time_of(1000)));
    let first = in_ring[0];
    let kept = |id| {
        let all = ordinals(reader.stream(id, None).unwrap());
        all.iter().filter(|ordinal| **ordinal < first).count() as u64
    };
    let (of_a, of_b) = (kept(a), kept(b));
    assert!(of_a > 10 && of_b > 10, "{of_a} {of_b}");
    let gone = 2 + (2..first).filter(|ordinal| (ordinal - 2) % 8 < 2).count() as u64;
    assert_eq!(counts.pins_dropped, gone - of_a - of_b);
    assert!(counts.pins_dropped > 0);
    let pins = fs::read_dir(dir.path().join("run-0000001000/pins")).unwrap();
    let pinned: u64 = pins.map(|pin| pin.unwrap().metadata().unwrap().len()).sum();
    // At most one packet too many.
    assert!(pinned <= (20 << 10) + 1000, "{pinned}");
    reader.unpin(a);
    reader.unpin(b);
    assert_eq!(kept(a) + kept(b), 0);
    assert_eq!(reader.counts().on_disk, counts.on_disk - pinned);
}

#[test]
fn a_bound_can_be_another_one_while_packets_come() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = Writer::open(options(dir.path())).unwrap();
    let mut feed = Feed::default();
    let mut write = |rounds: usize| {
        for _ in 0..rounds {
            writer.append(&mut feed.batch("abcdefgh", 500)).unwrap();
        }
        reader.counts().on_disk
    };
    assert!(write(150) > 500 << 10);
    reader.bound(100 << 10, 1 << 20);
    let less = write(1);
    assert!(less <= 100 << 10, "{less}");
    // Segments are small enough that a turn of the ring leaves most of them.
    assert!(write(100) > 60 << 10);
    reader.bound(300 << 10, 1 << 20);
    let more = write(150);
    assert!((200 << 10..=300 << 10).contains(&more), "{more}");
}

#[test]
fn a_pinned_stream_outlives_its_segments() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options {
        max_bytes: 64 << 10,
        ..options(dir.path())
    };
    let (mut writer, reader) = Writer::open(small.clone()).unwrap();
    let mut feed = Feed::default();
    writer.append(&mut feed.batch("ax", 300)).unwrap();
    let id = feed.id('a');
    assert!(reader.pin(id));
    for _ in 0..60 {
        writer.append(&mut feed.batch("axxxxxxx", 500)).unwrap();
    }
    let wanted: Vec<u64> = [0]
        .into_iter()
        .chain((0..60).map(|round| 2 + round * 8))
        .collect();
    assert!(reader.counts().overwritten.packets > 300);
    assert_eq!(ordinals(reader.stream(id, None).unwrap()), wanted);
    let mut out = Vec::new();
    let name = StreamName {
        stream: id,
        transport: Transport::Tcp,
    };
    assert_eq!(reader.write_pcap(&[name, name], &mut out).unwrap(), 61);
    assert_eq!(savefile_ordinals(&out), wanted);
    drop((writer, reader));

    let (_writer, reader) = Writer::open(Options { run: 2000, ..small }).unwrap();
    let old = reader.of_run(1000).unwrap();
    assert!(old.pin(id));
    assert_eq!(reader.drop_unpinned(), 0);
    assert_eq!(ordinals(old.stream(id, None).unwrap()), wanted);
    old.unpin(id);
    assert!(ordinals(old.stream(id, None).unwrap()).len() < wanted.len());
}

#[test]
fn fragments_join_the_stream_they_turn_out_to_belong_to() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = Writer::open(options(dir.path())).unwrap();
    let mut feed = Feed::default();
    writer.append(&mut feed.batch("a.aa.", 100)).unwrap();
    let mut batch = feed.batch("..aa", 100);
    let id = feed.id('a');
    batch.adopted = vec![(1, id), (4, id), (6, id)];
    writer.append(&mut batch).unwrap();
    assert_eq!(
        ordinals(reader.stream(id, None).unwrap()),
        [0, 1, 2, 3, 4, 6, 7, 8]
    );
    assert_eq!(batch.adopted.len(), 3);
}

#[test]
fn after_kill_an_old_run_reads_back_and_its_torn_tail_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _reader) = Writer::open(options(dir.path())).unwrap();
    let mut feed = Feed::default();
    for _ in 0..10 {
        writer.append(&mut feed.batch("abb", 700)).unwrap();
    }
    // What a killed process leaves: the files as they are, copied while they are still open, and
    // a block and an entry that were half written.
    let copy = tempfile::tempdir().unwrap();
    copy_folder(dir.path(), copy.path());
    let run = copy.path().join("run-0000001000");
    let last = (0..99)
        .map(|number| run.join(format!("{number:08}.pcap")))
        .take_while(|path| path.exists())
        .last()
        .unwrap();
    append(&last, &[6, 0, 0, 0, 200, 0]);
    append(&last.with_extension("side"), &[1; 70]);

    let (mut writer, reader) = Writer::open(Options {
        run: 2000,
        ..options(copy.path())
    })
    .unwrap();
    assert_eq!(writer.warnings().len(), 1);
    assert_eq!(reader.runs(), [1000]);
    let old = reader.of_run(1000).unwrap();
    assert_eq!(
        ordinals(old.stream(feed.id('a'), None).unwrap()),
        (0..10).map(|round| round * 3).collect::<Vec<_>>()
    );
    assert_eq!(
        savefile_ordinals(&fs::read(&last).unwrap()).last(),
        Some(&29)
    );
    writer.append(&mut Feed::default().batch("a", 90)).unwrap();
    assert_eq!(ordinals(reader.stream(StreamId(0), None).unwrap()), [0]);
    assert_eq!(reader.runs(), [1000, 2000]);
    // A stream that is open now is another one than that of the same number then.
    assert_eq!(feed.id('a'), StreamId(0));
    assert!(reader.is_open(StreamId(0)) && !old.is_open(StreamId(0)));
    assert_eq!(ordinals(old.stream(StreamId(0), None).unwrap()).len(), 10);
}

#[test]
fn an_index_alone_reads_from_the_source_itself() {
    let dir = tempfile::tempdir().unwrap();
    let frames = crate::synth::tcp(([10, 0, 0, 1], 4000), ([10, 0, 0, 2], 80))
        .to_server("GET / HTTP/1.1\r\n\r\n")
        .to_client("HTTP/1.1 200 OK\r\n\r\n")
        .fin();
    let path = dir.path().join("source.pcap");
    fs::write(&path, crate::synth::savefile(&frames)).unwrap();
    let files: Arc<dyn PacketBytes> = Arc::new(LocalFiles::new(vec![path]));
    let (mut writer, reader) =
        Writer::index_only(options(&dir.path().join("spool")), files).unwrap();
    let mut feed = Feed::default();
    let mut batch = feed.batch(&"a".repeat(frames.len()), 8);
    let (bytes, records) = crate::synth::records(&frames);
    batch.bytes = bytes.into();
    for (packet, record) in batch.packets.iter_mut().zip(records) {
        packet.record = record;
    }
    let before = batch.packets.clone();
    writer.append(&mut batch).unwrap();
    assert_eq!(batch.packets, before);
    let read: Vec<Vec<u8>> = reader
        .stream(feed.id('a'), None)
        .unwrap()
        .map(|packet| packet.unwrap().bytes)
        .collect();
    let frames: Vec<Vec<u8>> = frames.into_iter().map(|frame| frame.bytes).collect();
    assert_eq!(read, frames);
}

/// A disk of its own that is full after a few packets; needs the right to mount.
#[test]
fn a_full_disk_costs_packets_of_the_spool_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(dir.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: mounting a small tmpfs needs root");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let (mut writer, reader) = Writer::open(options(dir.path())).unwrap();
        let ballast = dir.path().join("ballast");
        let mut feed = Feed::default();
        writer.append(&mut feed.batch("aaaa", 1000)).unwrap();
        // Something else takes the rest of the disk.
        let _ = fs::write(&ballast, vec![0; 300 << 10]);
        let mut batch = feed.batch(&"a".repeat(40), 1000);
        writer.append(&mut batch).unwrap();
        let lost = reader.counts().not_written.packets;
        assert!(lost > 0);
        let nowhere = |packet: &&crate::packet::Packet| packet.record.position == NOWHERE;
        assert_eq!(batch.packets.iter().filter(nowhere).count() as u64, lost);
        assert_eq!(writer.warnings().len(), 1);
        fs::remove_file(&ballast).unwrap();
        std::thread::sleep(FULL_DISK_RETRY);
        writer.append(&mut feed.batch("ab", 1000)).unwrap();
        assert_eq!(writer.warnings().len(), 1);
        let read = ordinals(reader.stream(feed.id('a'), None).unwrap());
        assert_eq!(read.len() as u64, 45 - lost);
        assert_eq!(*read.last().unwrap(), 44);
        // Full of its own segments, it gives up the oldest and goes on.
        for _ in 0..100 {
            let mut batch = feed.batch("abcdefgh", 1000);
            writer.append(&mut batch).unwrap();
            assert_eq!(batch.packets.iter().filter(nowhere).count(), 0);
        }
    });
    let _ = std::process::Command::new("umount")
        .arg(dir.path())
        .status();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn append(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_mix_of_streams_reads_back_whole(
        batches in proptest::collection::vec(("[a-e.-]{1,30}", 8usize..900, proptest::option::of(0usize..5)), 1..20)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, reader) = Writer::open(options(dir.path())).unwrap();
        let mut feed = Feed::default();
        let mut wanted: std::collections::BTreeMap<StreamId, Vec<u64>> = Default::default();
        for (letters, len, end) in batches {
            let mut batch = feed.batch(&letters, len);
            for packet in &batch.packets {
                if let Some((stream, _)) = packet.stream {
                    wanted.entry(stream).or_default().push(packet.ordinal);
                }
            }
            let ended = end.and_then(|at| letters.chars().filter(|c| c.is_alphabetic()).nth(at));
            if let Some(name) = ended {
                feed.end(&mut batch, name);
            }
            writer.append(&mut batch).unwrap();
        }
        for (stream, wanted) in wanted {
            prop_assert_eq!(ordinals(reader.stream(stream, None).unwrap()), wanted);
        }
        prop_assert_eq!(
            ordinals(reader.window(time_of(0), time_of(feed.next))),
            (0..feed.next).collect::<Vec<_>>()
        );
    }

    #[test]
    fn whatever_the_files_hold_opening_never_fails_and_keeps_a_prefix(
        cut_data in 0usize..40_000,
        cut_side in 0usize..4000,
        noise in proptest::collection::vec((any::<proptest::sample::Index>(), 1u8..), 0..4),
        tail in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _reader) = Writer::open(Options {
            segment_bytes: 1 << 20,
            max_bytes: 8 << 20,
            ..options(dir.path())
        })
        .unwrap();
        let mut feed = Feed::default();
        writer.append(&mut feed.batch(&"ab".repeat(25), 600)).unwrap();
        drop(writer);
        let data = dir.path().join("run-0000001000/00000000.pcap");
        let side = data.with_extension("side");
        let mut bytes = fs::read(&data).unwrap();
        bytes.truncate(cut_data);
        fs::write(&data, bytes).unwrap();
        let mut bytes = fs::read(&side).unwrap();
        bytes.truncate(cut_side);
        bytes.extend_from_slice(&tail);
        for (at, by) in noise {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= by;
            }
        }
        fs::write(&side, bytes).unwrap();
        let (_writer, reader) = Writer::open(Options { run: 2000, ..options(dir.path()) }).unwrap();
        if let Some(old) = reader.of_run(1000) {
            let read = ordinals(old.window(time_of(0), time_of(100)));
            prop_assert_eq!(&read, &(0..read.len() as u64).collect::<Vec<_>>());
            let of_a = ordinals(old.stream(StreamId(0), None).unwrap());
            prop_assert_eq!(of_a.len(), read.len().div_ceil(2));
        }
    }
}
