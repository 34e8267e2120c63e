//! Recordings on a disk that is full for a while; mounting one takes rights.

use super::super::journal::{self, Journal, Take, sample_head};
use super::super::names::{self, NameLog};
use super::super::reel::OpenReel;
use super::*;
use crate::record::manifest::Event;
use crate::time::Timestamp;

/// A disk of its own, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// A disk of so many KiB; `None` without the right to mount.
    fn mount(kib: u64) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(dir.path())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            println!("skipped: mounting a small tmpfs needs root");
            return None;
        }
        Some(SmallDisk(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Something else takes all of it but so many KiB.
    fn fill(&self, left_kib: u64) {
        let ballast = self.path().join("ballast");
        let _ = fs::write(&ballast, vec![0; 4 << 20]);
        let file = fs::OpenOptions::new().write(true).open(&ballast).unwrap();
        let taken = file.metadata().unwrap().len();
        file.set_len(taken - (left_kib << 10)).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .status();
    }
}

/// A recorder on a disk, with its outbox there too.
fn open(
    disk: &SmallDisk,
    run: u64,
    store: &Arc<MemoryStore>,
    spool: Option<spool::Reader>,
) -> (Recorder, Arc<Outbox>) {
    let clock = Arc::new(SetClock::at(time_of(0)));
    let resolved = Gate::new(store);
    let outbox = Outbox::start(
        outbox::Options::new(disk.path().join("outbox"), 1 << 30),
        clock.clone(),
        Arc::new(move |_| Ok(resolved.clone())),
    )
    .unwrap();
    let options = Options::new(disk.path().join("record"), run, "n", "c");
    let recorder = Recorder::open(options, spool, clock, outbox.clone()).unwrap();
    (recorder, outbox)
}

fn finish(mut recorder: Recorder, outbox: &Outbox) {
    recorder.finish();
    assert_eq!(outbox.drain(LONG).waiting, 0);
    outbox.stop();
}

#[test]
fn a_full_disk_delays_sealing_and_is_named() {
    let Some(disk) = SmallDisk::mount(1024) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let (mut recorder, outbox) = open(&disk, 1000, &store, None);
    recorder.set(vec![wish("true")]);
    recorder.settle();
    outbox.drain(LONG);
    let mut feed = Feed::default();
    let batch = feed.batch("aaa", 20_000);
    let items = [item(feed.id('a'), 200)];
    recorder.on_batch(&Arc::new(batch), &items);
    disk.fill(0);
    recorder.on_batch(&Arc::new(feed.batch("aaa", 20_000)), &[]);
    let status = recorder.status().remove(0);
    assert_eq!(status.not_written, 3);
    assert!(status.error.unwrap().contains("could not be written"));
    recorder.seal(None, "asked");
    until("sealing fails", || {
        let error = recorder.status().remove(0).error;
        error.is_some_and(|error| error.contains("cannot be sealed"))
    });
    disk.free();
    finish(recorder, &outbox);
    assert_eq!(recorded(&store, 1000), [0, 1, 2]);
    let reel = &reels(&store)[0];
    assert_eq!(reel.manifest.coverage["recording_not_written"].packets, 3);
}

#[test]
fn every_packet_that_a_full_disk_refuses_is_counted() {
    let Some(disk) = SmallDisk::mount(1024) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let (mut recorder, outbox) = open(&disk, 1000, &store, None);
    recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let items = [item(feed.id('a'), 200)];
    recorder.on_batch(&Arc::new(batch), &items);
    disk.fill(0);
    // More than is held back before it is handed to the system.
    recorder.on_batch(&Arc::new(feed.batch(&"a".repeat(20), 200_000)), &[]);
    let status = recorder.status().remove(0);
    assert_eq!((status.packets, status.not_written), (1, 20));
    assert_eq!((status.bytes, status.bytes_today), (100, 100));
    disk.free();
    recorder.on_batch(&Arc::new(feed.batch("a", 100)), &[]);
    finish(recorder, &outbox);
    assert_eq!(recorded(&store, 1000), [0, 21]);
    let coverage = &reels(&store)[0].manifest.coverage;
    assert_eq!(coverage["recording_not_written"].packets, 20);
}

#[test]
fn a_reel_that_cannot_begin_leaves_no_folder() {
    let Some(disk) = SmallDisk::mount(2048) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let (mut recorder, outbox) = open(&disk, 1000, &store, None);
    recorder.set(vec![wish("true")]);
    recorder.settle();
    assert_eq!(outbox.drain(LONG).waiting, 0);
    let mut feed = Feed::default();
    let letters: String = ('\u{4e00}'..).take(2000).collect();
    let batch = feed.batch(&letters, 8);
    let items: Vec<Item> = letters
        .chars()
        .map(|name| item(feed.id(name), 200))
        .collect();
    recorder.on_batch(&Arc::new(batch), &items);
    // The first reel cannot leave, and in what is left of the disk fits a reel without its streams.
    let blocker = disk.path().join("outbox/half-0000001000-000001");
    fs::write(&blocker, "").unwrap();
    disk.fill(64);
    recorder.seal(None, "asked");
    for _ in 0..5 {
        recorder.on_batch(&Arc::new(feed.batch("\u{4e00}", 8)), &[]);
    }
    assert_eq!(recorder.status()[0].not_written, 5);
    assert_eq!(open_reels(disk.path()).len(), 1);
    disk.free();
    fs::remove_file(&blocker).unwrap();
    recorder.on_batch(&Arc::new(feed.batch("\u{4e00}", 8)), &[]);
    finish(recorder, &outbox);
    let kept: Vec<u64> = (0..2000).chain([2005]).collect();
    assert_eq!(recorded(&store, 1000), kept);
}

#[test]
fn a_reel_that_cannot_be_made_whole_yet_waits_for_room() {
    let Some(disk) = SmallDisk::mount(256) else {
        return;
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let spool = |run| Writer::open(spool::Options::new(elsewhere.path(), run)).unwrap();
    let store = Arc::new(MemoryStore::new());
    let (mut writer, reader) = spool(1000);
    let (mut recorder, outbox) = open(&disk, 1000, &store, Some(reader));
    recorder.set(vec![wish("true")]);
    recorder.settle();
    assert_eq!(outbox.drain(LONG).waiting, 0);
    let mut feed = Feed::default();
    let mut batch = feed.batch("a", 1000);
    let items = [item(feed.id('a'), 200)];
    writer.append(&mut batch).unwrap();
    recorder.on_batch(&Arc::new(batch), &items);
    disk.fill(0);
    writer
        .append(&mut feed.batch(&"a".repeat(20), 5000))
        .unwrap();
    outbox.stop();
    drop((recorder, writer));

    let (_writer, reader) = spool(2000);
    let (mut recorder, outbox) = open(&disk, 2000, &store, Some(reader));
    let said = recorder.warnings();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("is tried again"), "{said:?}");
    // The run at hand records meanwhile as far as there is room.
    recorder.set(vec![wish("true")]);
    disk.free();
    recorder.tick(time_of(0) + Duration::from_secs(60));
    recorder.settle();
    assert!(recorder.warnings()[0].contains("is sealed now"));
    finish(recorder, &outbox);
    assert_eq!(recorded(&store, 1000), (0..21).collect::<Vec<u64>>());
}

#[test]
fn what_is_appended_goes_on_behind_the_last_whole_line() {
    let Some(disk) = SmallDisk::mount(256) else {
        return;
    };
    let at = Timestamp::from_secs(100, 0);
    let mut names = NameLog::new(disk.path());
    let note = |names: &mut NameLog, number: u32| {
        let mut peer = sample::http().dst;
        peer.name = format!("cart-{number}").into();
        names.note(&peer, at);
    };
    let path = disk.path().join("takes.journal");
    let mut journal = Journal::create(&path, &sample_head()).unwrap();
    let take = |stream| {
        let name = StreamName {
            stream: StreamId(stream),
            transport: Transport::Tcp,
        };
        Take::new(name, stream, crate::packet::Position::default(), false)
    };
    let mut reel = OpenReel::create(disk.path(), sample_head()).unwrap();
    let event = |number: usize, bytes: usize| -> Event {
        serde_json::from_value(serde_json::json!({
            "at": "2023-11-14T22:13:20Z", "what": "OOMKilled", "name": format!("cart-{number}"),
            "namespace": "shop", "message": "x".repeat(bytes), "scope": "pod",
            "from": "2023-11-14T22:13:20Z", "to": "2023-11-14T22:13:20Z",
        }))
        .unwrap()
    };
    let state_of = |number| StreamName {
        stream: StreamId(number),
        transport: Transport::Tcp,
    };

    note(&mut names, 0);
    names.commit().unwrap();
    journal.takes([take(0)].iter()).unwrap();
    reel.event(&event(0, 10)).unwrap();
    reel.state(state_of(0), &[0; 10]).unwrap();
    disk.fill(0);
    for number in 1..100 {
        note(&mut names, number);
    }
    names.commit().unwrap_err();
    let takes: Vec<Take> = (1..100).map(take).collect();
    journal.takes(takes.iter()).unwrap_err();
    reel.event(&event(1, 10_000)).unwrap_err();
    reel.state(state_of(1), &[1; 10_000]).unwrap_err();
    disk.free();
    note(&mut names, 100);
    names.commit().unwrap();
    journal.takes([take(100)].iter()).unwrap();
    reel.event(&event(2, 10)).unwrap();
    reel.state(state_of(2), &[2; 10]).unwrap();

    // Names wait until they are written; what is refused of the others is told at once.
    assert_eq!(names::of_folder(disk.path()).unwrap().len(), 101);
    let read = journal::read(&path).unwrap().unwrap();
    assert_eq!(read.takes, [take(0), take(100)]);
    let closed = reel.close(true).unwrap();
    assert_eq!(closed.events().unwrap(), [event(0, 10), event(2, 10)]);
    let states: Vec<u64> = closed
        .states()
        .unwrap()
        .iter()
        .map(|state| parse_state(state).unwrap().0.stream.0)
        .collect();
    assert_eq!(states, [0, 2]);
}
