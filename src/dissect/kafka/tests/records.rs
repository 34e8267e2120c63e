//! Batches and message sets, plain and packed.

use super::*;

#[test]
fn records_are_read_in_every_format_and_compression() {
    let plain = plain_records(3, b"some value, some value, some value");
    let set = |magic| {
        let first = if magic == 1 { 0 } else { 100 };
        (0..3)
            .flat_map(|number| old_message(magic, 0, first + number, b"some value, some value"))
            .collect::<Vec<u8>>()
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("2 plain", batch(0, 3, &plain), "none"),
        ("2 gzip", batch(1, 3, &gzip(&plain)), "gzip"),
        ("2 snappy", batch(2, 3, &snappy(&plain)), "snappy"),
        ("2 snappy-java", batch(2, 3, &snappy_java(&plain)), "snappy"),
        ("2 lz4", batch(3, 3, &lz4(&plain)), "lz4"),
        (
            "2 zstd",
            batch(4, 3, &zstd::encode_all(&plain[..], 1).unwrap()),
            "zstd",
        ),
        ("0 plain", set(0), "none"),
        ("1 gzip", old_message(1, 1, 102, &gzip(&set(1))), "gzip"),
        (
            "0 snappy-java",
            old_message(0, 2, 102, &snappy_java(&set(0))),
            "snappy",
        ),
        ("1 lz4", old_message(1, 3, 102, &lz4(&set(1))), "lz4"),
    ];
    for (name, bytes, codec) in cases {
        let mut limits = Limits::default();
        let value = records(&Bytes::from(bytes), &mut limits);
        let records = lookup(ItemNode::of_value(&value), "recordBatch.record").unwrap();
        assert_eq!(records.len(), 3, "{name}");
        assert_eq!(text(&value, "recordBatch.compression"), codec, "{name}");
        for (at, offset) in ["100", "101", "102"].iter().enumerate() {
            let member = |member: &str| text(&value, &format!("recordBatch.record.{at}.{member}"));
            assert_eq!(member("offset"), *offset, "{name}");
            assert!(member("value").starts_with("some value"), "{name}");
        }
        assert!(!limits.met, "{name}");
    }
}

/// KIP-31: the outer offset is that of the last inner message.
#[test]
fn offsets_of_a_set_that_is_cut_are_not_guessed() {
    let inner = |count: i64| -> Vec<u8> {
        let message = |offset| old_message(1, 0, offset, b"some value");
        (0..count).flat_map(message).collect()
    };
    let offsets = |set: &[u8], limits: &mut Limits| -> Vec<String> {
        let packed = old_message(1, 1, 500, &gzip(set));
        let value = records(&Bytes::from(packed), limits);
        let records = lookup(ItemNode::of_value(&value), "recordBatch.record").unwrap();
        (0..records.len())
            .map(|at| text(&value, &format!("recordBatch.record.{at}.offset")))
            .collect()
    };
    let whole = inner(3);
    assert_eq!(
        offsets(&whole, &mut Limits::default()),
        ["498", "499", "500"]
    );
    // A log that was compacted lost messages from its middle.
    let compacted = [inner(1), old_message(1, 0, 7, b"some value")].concat();
    assert_eq!(offsets(&compacted, &mut Limits::default()), ["493", "500"]);
    let cut = &whole[..whole.len() - 5];
    let unknown = offsets(cut, &mut Limits::default());
    assert_eq!(unknown.len(), 2);
    assert!(
        unknown.iter().all(|offset| offset.parse::<i64>().is_err()),
        "{unknown:?}"
    );
    // More messages than are shown.
    let mut limits = Limits {
        elements: 2,
        ..Limits::default()
    };
    assert_eq!(offsets(&inner(5), &mut limits), ["496", "497"]);
    assert!(limits.met);
}

#[test]
fn a_batch_has_the_shape_of_the_reference() {
    let mut feed = kafka();
    feed.chunk(
        UP,
        &produce(7, -1, &batch(0, 1, &plain_records(1, b"\xff"))),
    );
    let drafts = feed.end();
    let topics = lookup(ItemNode::of_value(&drafts[0].request), "payload.topicData").unwrap();
    assert_eq!(
        json::to_string(topics),
        r#"[{"topic":"orders","partitions":{"length":1,"partitionData":{"index":0,"unknown":null,"records":{"recordBatch":{"baseOffset":100,"batchLength":63,"partitionLeaderEpoch":7,"magic":2,"crc":3735928559,"attributes":0,"lastOffsetDelta":0,"firstTimestamp":1700000000000,"maxTimestamp":1700000000009,"producerId":-1,"producerEpoch":-1,"baseSequence":-1,"record":[{"key":"k0","value":"/w==","headers":[{"headerKey":"h","value":"v"}],"offsetDelta":0,"timestampDelta":0,"offset":100,"timestamp":1700000000000}],"compression":"none","batches":1}}}}}]"#
    );
    assert_eq!(text(&drafts[0].request, "summary"), "orders");
}

#[test]
fn what_unpacks_without_end_meets_a_cap() {
    let bomb = plain_records(1, &vec![0; 8 << 20]);
    for packed in [
        batch(1, 1, &gzip(&bomb)),
        batch(2, 1, &snappy(&bomb)),
        batch(2, 1, &snappy_java(&bomb)),
        batch(3, 1, &lz4(&bomb)),
        batch(4, 1, &zstd::encode_all(&bomb[..], 1).unwrap()),
        batch(0, i32::MAX as usize, &plain_records(20_000, b"")),
    ] {
        let mut limits = Limits::default();
        let value = records(&Bytes::from(packed), &mut limits);
        assert!(shown(&value).len() < 4 << 20);
    }
}

#[test]
fn what_unpacks_beyond_the_cap_shows_its_first_records() {
    let most = Limits::default().unpacked;
    let plain = plain_records(3 * most / (1 << 14), &[b'v'; 1 << 14]);
    let mut limits = Limits::default();
    let packed = Bytes::from(batch(1, 3 * most / (1 << 14), &gzip(&plain)));
    let value = records(&packed, &mut limits);
    let first = lookup(ItemNode::of_value(&value), "recordBatch.record").unwrap();
    assert!(limits.met);
    assert!(first.len() * (1 << 14) > most / 2, "{}", first.len());
}
