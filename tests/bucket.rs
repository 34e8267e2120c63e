//! Buckets opened again: by every form of their name, with what others did to them.

use std::io::Write;

use tapedeck::capture::{Filled, RawBatch, Source};
use tapedeck::investigate::{OpenError, Opened, Options, open};
use tapedeck::packet::LinkType;
use tapedeck::packet::savefile::pcap;
use tapedeck::store::conformance::put;
use tapedeck::store::s3::{S3Options, S3Store};
use tapedeck::store::{OpenOptions, Store, StoreError};
use tapedeck::time::Timestamp;

use crate::seaweed::Seaweed;

const N: i64 = 1_700_000_000;

fn capture(second: i64) -> Vec<u8> {
    let mut file = Vec::new();
    let precision = pcap::Precision::Micros;
    pcap::write_header(&mut file, LinkType::RAW, 65_535, precision);
    pcap::write_packet(
        &mut file,
        precision,
        Timestamp::from_secs(N + second, 0),
        1,
        &[0x45],
    );
    file
}

/// Seconds of all packets, with the node in front; `|` for a boundary.
fn story(source: &mut dyn Source) -> String {
    let mut story = Vec::new();
    loop {
        let mut batch = RawBatch::default();
        let filled = source.fill(&mut batch).unwrap();
        let node = source
            .origin()
            .map(|origin| origin.node_name.clone())
            .unwrap_or_default();
        for record in &batch.records {
            story.push(format!("{node}{}", record.ts.secs() - N));
        }
        match filled {
            Filled::End => return story.join(" "),
            Filled::Boundary => story.push("|".into()),
            _ => {}
        }
    }
}

fn opened(spec: &str, s3: &S3Options) -> Result<Opened, OpenError> {
    let options = Options {
        store: OpenOptions {
            s3: s3.clone(),
            ..OpenOptions::default()
        },
        ..Options::default()
    };
    open(&[spec.to_owned()], &options)
}

#[test]
fn a_bucket_is_opened_by_every_form_of_its_name() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let s3 = server.bucket("open", false);
    let store = S3Store::new(s3.clone()).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    let packed = capture(90);
    let mut header = tar::Header::new_gnu();
    header.set_size(packed.len() as u64);
    tar.append_data(&mut header, "c_10.0.0.3/1700000090.pcap", &packed[..])
        .unwrap();
    let mut archive = tar.into_inner().unwrap();
    archive.flush().unwrap();
    let archive = archive.finish().unwrap();
    put(&store, "a_10.0.0.1_1700000000/1700000001.pcap", &capture(1)).unwrap();
    put(&store, "a_10.0.0.1_1700000000/1700000009.pcap", &capture(9)).unwrap();
    put(&store, "b_10.0.0.2_1700000000/1700000002.pcap", &capture(2)).unwrap();
    put(&store, "deep/er/kubeshark_1700000090.tar.gz", &archive).unwrap();
    let bucket = &s3.bucket;
    for (rest, wanted) in [
        ("", "a1 a9 | b2 | c90"),
        ("/", "a1 a9 | b2 | c90"),
        ("/a_10.0.0.1_1700000000", "a1 a9"),
        ("/b_10.0.0.2_1700000000/", "b2"),
        ("/a_", "a1 a9"),
        ("/b_10.0.0.2_1700000000/1700000002.pcap", "b2"),
        ("/deep/er/kubeshark_1700000090.tar.gz", "c90"),
        ("/deep", "c90"),
    ] {
        let mut opened = opened(&format!("s3://{bucket}{rest}"), &s3).unwrap();
        assert_eq!(story(&mut *opened.source), wanted, "{rest}");
        assert_eq!(opened.source.warnings(), Vec::<String>::new());
        let (done, total) = opened.source.progress().unwrap();
        assert_eq!(done, total, "{rest}");
    }
}

#[test]
fn denied_missing_and_empty_are_told_apart() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let s3 = server.bucket("told", false);
    let error = |spec: &str, s3: &S3Options| match opened(spec, s3) {
        Ok(_) => panic!("{spec} was opened"),
        Err(error) => error,
    };
    let empty = error(&format!("s3://{}/nothing", s3.bucket), &s3);
    assert!(matches!(empty, OpenError::Nothing { .. }), "{empty}");
    assert!(
        empty
            .to_string()
            .contains("there is no object under this name"),
        "{empty}"
    );
    let missing = error("s3://not-a-bucket-here", &s3);
    assert!(
        matches!(missing, OpenError::Store(StoreError::Missing(_))),
        "{missing}"
    );
    let writer = server.put_only();
    let denied = error(&format!("s3://{}/", writer.bucket), &writer);
    assert!(
        matches!(denied, OpenError::Store(StoreError::Denied(_))),
        "{denied}"
    );
}

#[test]
fn what_others_did_to_a_lock_bucket_changes_nothing() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let s3 = server.bucket("done", true);
    let store = S3Store::new(s3.clone()).unwrap();
    for second in [1, 2, 3] {
        let key = format!("n_10.0.0.1_1700000000/{}.pcap", N + second);
        put(&store, &key, &capture(second)).unwrap();
    }
    server.delete(&s3, "n_10.0.0.1_1700000000/1700000001.pcap");
    server.overwrite(&s3, "n_10.0.0.1_1700000000/1700000002.pcap", &capture(77));
    let mut opened = opened(&format!("s3://{}", s3.bucket), &s3).unwrap();
    assert_eq!(story(&mut *opened.source), "n1 n2 n3");
    assert_eq!(opened.remarks.len(), 2, "{:?}", opened.remarks);
    assert!(
        opened.remarks[0].contains("deleted 1 objects"),
        "{:?}",
        opened.remarks
    );
    assert!(
        opened.remarks[1].contains("wrote again over 1 objects"),
        "{:?}",
        opened.remarks
    );
    assert_eq!(
        store
            .head("n_10.0.0.1_1700000000/1700000001.pcap")
            .unwrap()
            .unwrap()
            .size,
        41
    );
}
