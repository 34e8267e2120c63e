//! What a recording takes of a stream, and how a reel holds it.

use proptest::prelude::*;

use super::*;

#[test]
fn a_match_keeps_the_whole_stream_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let said = life.recorder.set(vec![wish("response.status == 500")]);
    assert_eq!(
        said,
        ["the recording errors is on: response.status == 500 to memory"]
    );
    let mut feed = Feed::default();
    let batch = feed.batch("ababc", 100);
    let (a, b) = (feed.id('a'), feed.id('b'));
    life.feed(batch, &[item(a, 200), item(b, 200)]);
    let batch = feed.batch("aab", 100);
    life.feed(batch, &[item(a, 500), item(b, 404)]);
    let mut batch = feed.batch("bca", 100);
    feed.end(&mut batch, 'a');
    life.feed(batch, &[item(a, 500)]);
    life.feed(feed.batch("ab", 100), &[]);
    let status = &life.recorder.status()[0];
    assert_eq!(
        (status.streams, status.packets, status.open_streams),
        (1, 5, 0)
    );
    life.finish();

    assert_eq!(recorded(&store, 1000), [0, 2, 5, 6, 10]);
    let reel = &reels(&store)[0];
    assert_eq!(reel.manifest.kfl, "response.status == 500");
    assert_eq!(reel.manifest.counts.streams, 1);
    assert_eq!(reel.manifest.counts.items, 2);
    assert_eq!(
        reel.manifest.from.as_deref(),
        Some(&*time_of(0).to_string())
    );
    assert_eq!(reel.manifest.remarks.len(), 1);
    assert!(reel.manifest.remarks[0].starts_with("not immutable: "));
    assert!(reel.key.starts_with(
        "reels/cluster=test/date=2023-11-14/hour=22/node=node-a/recording=errors/20231114T221320Z-1000-"
    ));
    // Names of the items are in the file.
    let bytes = plain(&store, reel);
    assert!(bytes.windows(13).any(|text| text == b"web-7d9.shop\0"));
    chain_holds(&store);
}

#[test]
fn a_stream_that_lives_long_goes_over_many_reels_with_its_state() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let asked: Arc<Mutex<Vec<StreamId>>> = Arc::default();
    let mut life = Life::with(dir.path(), 1000, &store, |options| {
        let asked = asked.clone();
        options.want_states = Some(Arc::new(move |streams| {
            asked.lock().unwrap().extend(streams)
        }));
    });
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let mut wanted = Vec::new();
    for round in 0..6 {
        wanted.push(feed.next + 1);
        let batch = feed.batch("xa", 100);
        let items = [item(feed.id('a'), 500)];
        let wanted: Vec<StreamId> = std::mem::take(&mut *asked.lock().unwrap());
        if !wanted.is_empty() {
            let end = |port| crate::packet::Endpoint {
                ip: [10, 0, 0, 1].into(),
                port,
            };
            let tuple = crate::packet::FiveTuple {
                src: end(4000),
                dst: end(80),
                transport: crate::packet::Transport::Tcp,
            };
            let state = |stream: &StreamId| (*stream, (tuple, stream.0.to_be_bytes().to_vec()));
            let states = States {
                states: wanted.iter().map(state).collect(),
                asked: wanted.into_iter().collect(),
            };
            let first = batch.packets.first().map(|packet| packet.ordinal);
            life.recorder.on_states(&states, first);
        }
        life.feed(batch, &items[..usize::from(round == 1)]);
        life.wait(Duration::from_secs(90));
    }
    // The first reel is due after 60 seconds, the others after five minutes; the second one waits for
    // the states that its stream goes on with.
    life.recorder.settle();
    assert_eq!(life.recorder.status()[0].reels, 1);
    life.finish();
    assert_eq!(recorded(&store, 1000), wanted);
    let reels = reels(&store);
    assert_eq!(reels[0].manifest.counts.continued, 0);
    assert_eq!(reels[1].manifest.counts.continued, 1);
    let bytes = plain(&store, &reels[1]);
    let mut records = Records::new(bytes.as_slice());
    let mut states = 0;
    while let Some(entry) = records.advance().unwrap() {
        if let FileEntry::Block { block, .. } = entry
            && let Some(data) = custom_data(&block)
        {
            let Some((name, state)) = parse_state(data) else {
                continue;
            };
            assert_eq!(name.stream, StreamId(1));
            assert_eq!(state, 1u64.to_be_bytes());
            states += 1;
        }
    }
    assert_eq!(states, 1);
}

#[test]
fn frames_can_be_read_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    for _ in 0..10 {
        let batch = feed.batch(&"a".repeat(40), 8000);
        let items = [item(feed.id('a'), 200)];
        life.feed(batch, &items);
    }
    life.finish();
    let reel = &reels(&store)[0];
    let part = &reel.manifest.parts[0];
    assert_eq!(part.frames.len(), 4);
    assert_eq!(
        part.frames.iter().map(|frame| frame.packets).sum::<u64>(),
        400
    );
    let bytes = crate::store::conformance::read(&*store, &part.key, None);
    let mut all = Vec::new();
    for frame in &part.frames {
        let range = frame.offset as usize..(frame.offset + frame.size) as usize;
        let plain = zstd::stream::decode_all(&bytes[range]).unwrap();
        assert_eq!(plain.len() as u64, frame.plain);
        // Each frame begins at a block: its first length leads to another copy of itself.
        let length = u32::from_le_bytes(plain[4..8].try_into().unwrap()) as usize;
        assert_eq!(plain[length - 4..length], plain[4..8]);
        all.extend(plain);
    }
    assert_eq!(packets(&all), (0..400).collect::<Vec<_>>());
}

#[test]
fn classic_savefiles_are_written_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![Wish {
        format: Format::Pcap,
        ..wish("true")
    }]);
    let mut feed = Feed::default();
    let batch = feed.batch("aaa", 50);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    life.finish();
    assert!(reels(&store)[0].manifest.parts[0].key.ends_with(".pcap"));
    assert_eq!(recorded(&store, 1000), [0, 1, 2]);
}

#[test]
fn a_stream_about_which_nothing_can_be_told_is_kept_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.* <= response.*")]);
    let mut feed = Feed::default();
    let batch = feed.batch("ab", 50);
    let (a, b) = (feed.id('a'), feed.id('b'));
    // Every element is compared with every other before the answer is no.
    let costly = Item {
        response: Value::List((0..3000).map(|_| Value::Text("x".into())).collect()),
        ..item(a, 200)
    };
    life.feed(batch, &[costly, item(b, 200)]);
    let status = &life.recorder.status()[0];
    assert_eq!((status.undecided, status.last_match.is_some()), (1, true));
    life.finish();
    let reels = reels(&store);
    let remarks = &reels[0].manifest.remarks;
    assert!(
        remarks[0].starts_with("1 streams were kept because the query could not be decided"),
        "{remarks:?}"
    );
}

#[test]
fn a_script_takes_a_stream_by_name_and_never_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let mut batch = feed.batch("abab", 100);
    let a = feed.id('a');
    let b = feed.id('b');
    feed.end(&mut batch, 'a');
    life.feed(batch, &[]);
    let name = |stream| StreamName {
        stream,
        transport: Transport::Tcp,
    };
    assert!(life.recorder.take(name(a), None));
    assert!(!life.recorder.take(name(a), Some("errors")));
    assert!(!life.recorder.take(name(b), Some("nobody")));
    assert!(life.recorder.take(name(b), Some("errors")));
    assert_eq!(life.recorder.status()[0].open_streams, 1);
    life.feed(feed.batch("ba", 100), &[item(a, 500)]);
    life.finish();
    assert_eq!(recorded(&store, 1000), [0, 1, 2, 3, 4]);
}

#[test]
fn what_the_look_back_could_not_reach_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    for _ in 0..20 {
        // More than the ring holds.
        life.feed(feed.batch(&"ab".repeat(150), 1000), &[]);
    }
    let (a, last) = (feed.id('a'), feed.next);
    let batch = feed.batch("ac", 100);
    let items = [item(a, 500), item(feed.id('c'), 500)];
    life.feed(batch, &items);
    assert_eq!(life.recorder.status()[0].beheaded, 1);
    life.finish();
    let kept = recorded(&store, 1000);
    assert_eq!(kept[kept.len() - 3..], [last - 2, last, last + 1]);
    assert!(kept[0] > 0 && kept.len() > 1000);
    let remarks = &reels(&store)[0].manifest.remarks;
    assert!(
        remarks
            .iter()
            .any(|remark| remark.starts_with("1 streams lack"))
    );
    let coverage = &reels(&store)[0].manifest.coverage;
    assert!(coverage["spool_overwritten"].packets > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the order of packets, matches, ends, seals and kills: of each stream that matched,
    /// every packet is in the store exactly once, and of the others none.
    #[test]
    fn matched_streams_are_recorded_whole_and_once(
        steps in proptest::collection::vec(
            ("[a-d]{1,12}", proptest::option::of(0usize..12), proptest::option::of(0usize..12), 0u8..8),
            1..12,
        ),
    ) {
        let mut dir = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let mut run = 1000;
        let mut life = Life::start(dir.path(), run, &store);
        life.recorder.set(vec![wish("response.status == 500")]);
        let mut feed = Feed::default();
        let mut of_stream: BTreeMap<(u64, StreamId), Vec<u64>> = BTreeMap::new();
        let mut matched = std::collections::BTreeSet::new();
        for (letters, hit, end, what) in steps {
            let mut batch = feed.batch(&letters, 300);
            for packet in &batch.packets {
                let stream = packet.stream.unwrap().0;
                of_stream.entry((run, stream)).or_default().push(packet.ordinal);
            }
            let mut items = Vec::new();
            if let Some(name) = hit.and_then(|at| letters.chars().nth(at)) {
                items.push(item(feed.id(name), 500));
                matched.insert((run, feed.id(name)));
            }
            if let Some(name) = end.and_then(|at| letters.chars().nth(at)) {
                feed.end(&mut batch, name);
            }
            life.feed(batch, &items);
            match what {
                0 | 1 => {
                    life.recorder.seal(None, "asked");
                }
                2 => {
                    let copy = life.kill();
                    run += 1000;
                    feed = Feed::default();
                    life = Life::start(copy.path(), run, &store);
                    life.recorder.set(vec![wish("response.status == 500")]);
                    dir = copy;
                }
                3 => life.wait(Duration::from_secs(61)),
                _ => {}
            }
        }
        life.finish();
        drop(dir);
        let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut wanted: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for run in (1000..=run).step_by(1000) {
            let mut ordinals = recorded(&store, run);
            ordinals.sort_unstable();
            found.insert(run, ordinals);
            wanted.entry(run).or_default();
        }
        for key in matched {
            wanted.get_mut(&key.0).unwrap().extend(&of_stream[&key]);
        }
        for ordinals in wanted.values_mut() {
            ordinals.sort_unstable();
        }
        prop_assert_eq!(found, wanted);
        chain_holds(&store);
    }
}
