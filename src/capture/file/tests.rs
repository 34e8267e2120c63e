//! Tests of one savefile as a source: compressed, damaged, cut off, or none.

use std::io::{Cursor, Write};

use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

use super::*;
use crate::packet::LinkType;
use crate::packet::savefile::pcap;

fn capture(packets: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let precision = pcap::Precision::Nanos;
    pcap::write_header(&mut file, LinkType::RAW, 65_535, precision);
    for number in 0..packets {
        let ts = Timestamp::from_secs(i64::from(number), 0);
        pcap::write_packet(&mut file, precision, ts, 100, &[0x45; 60]);
    }
    file
}

/// Records with the bytes of their packets; where these begin in a batch is the source's affair.
fn drain(source: &mut dyn Source) -> Vec<(Record, Vec<u8>)> {
    let mut packets = Vec::new();
    let mut batch = RawBatch::default();
    loop {
        let filled = source.fill(&mut batch).unwrap();
        for record in &batch.records {
            let start = record.start as usize;
            let bytes = batch.bytes[start..start + record.caplen as usize].to_vec();
            packets.push((
                Record {
                    start: 0,
                    ..*record
                },
                bytes,
            ));
        }
        batch.clear();
        if filled == Filled::End {
            return packets;
        }
    }
}

fn source(bytes: Vec<u8>) -> FileSource {
    let size = bytes.len() as u64;
    FileSource::new("a.pcap", Box::new(Cursor::new(bytes)), 3)
        .unwrap()
        .sized(size)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let small = FrameInfo::new().block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(small, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_captures_give_the_same_packets() {
    let plain = capture(10_000);
    let expected = drain(&mut source(plain.clone()));
    assert_eq!(expected.len(), 10_000);
    assert_eq!(
        expected[1].0.position,
        Position {
            file: 3,
            offset: 100
        }
    );
    let (head, tail) = plain.split_at(5_000);
    let members = [gzip(head), gzip(tail)].concat();
    let frames = [
        zstd::encode_all(head, 1).unwrap(),
        zstd::encode_all(tail, 1).unwrap(),
    ]
    .concat();
    let blocks = [lz4(head), lz4(b""), lz4(tail)].concat();
    for bytes in [members, frames, blocks] {
        let mut source = source(bytes);
        assert_eq!(drain(&mut source), expected);
        let (read, size) = source.progress().unwrap();
        assert_eq!(read, size);
    }
}

#[test]
fn key_logs_in_the_file_are_handed_up_once() {
    const OTHER_KIND: u32 = 0x5747_4b4c;
    let mut file = Vec::new();
    pcapng::write::section(&mut file, &pcapng::write::Section::default());
    let log = b"CLIENT_RANDOM 00 11\n";
    pcapng::write::secrets(&mut file, pcapng::SECRETS_TLS_KEY_LOG, log);
    pcapng::write::secrets(&mut file, OTHER_KIND, b"WireGuard");
    let mut source = source(file);
    assert!(drain(&mut source).is_empty());
    assert_eq!(source.key_logs(), [log.to_vec()]);
    assert!(source.key_logs().is_empty());
}

#[test]
fn a_cut_capture_gives_one_warning_with_the_offset() {
    let mut bytes = capture(3);
    bytes.truncate(24 + 76 + 76 + 10);
    let mut source = source(bytes);
    assert_eq!(drain(&mut source).len(), 2);
    assert_eq!(
        source.warnings(),
        ["a.pcap: it is cut off within the record at offset 176; \
             the 2 packets before it are read"]
    );
    assert_eq!(source.counts().damaged, 1);
    assert_eq!(source.warnings().len(), 0);
}

#[test]
fn packets_behind_a_damaged_block_are_read() {
    let mut file = Vec::new();
    pcapng::write::section(&mut file, &pcapng::write::Section::default());
    let interface = pcapng::write::Interface::of(LinkType::RAW);
    pcapng::write::interface(&mut file, &interface);
    let mut starts = Vec::new();
    for number in 0..6000 {
        starts.push(file.len());
        let ts = Timestamp::from_secs(number, 0);
        pcapng::write::packet(&mut file, 0, ts, 60, &[0x45; 60]);
    }
    let mut once = file.clone();
    once[starts[10] + 8] = 7;
    let mut twice = once.clone();
    twice[starts[5000] + 4] = 7;
    let first = starts[10];
    for (bytes, packets, elsewhere, left_out) in [
        (once, 5999, "", 92),
        (twice, 5998, ", and in another place", 184),
    ] {
        let mut source = source(bytes);
        assert_eq!(drain(&mut source).len(), packets);
        assert_eq!(
            source.warnings(),
            [format!(
                "a.pcap: it is damaged at offset {first}: a packet names the undescribed \
                 interface 7{elsewhere}; {left_out} bytes are left out, the {packets} packets \
                 around them are read"
            )]
        );
    }
    let mut last = file;
    last[starts[5999] + 4] = 7;
    let mut source = source(last);
    assert_eq!(drain(&mut source).len(), 5999);
    let warnings = source.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].ends_with("; the 5999 packets before it are read"));
    assert_eq!(source.counts().damaged, 1);
}

#[test]
fn cut_compressed_data_is_a_warning_and_not_an_error() {
    let damaged = "its compressed data is damaged at offset";
    // A cut frame of LZ4 reads as one that ends early, so the packet is what is cut.
    for (mut bytes, what) in [
        (gzip(&capture(10_000)), damaged),
        (lz4(&capture(10_000)), "a.pcap: "),
    ] {
        bytes.truncate(bytes.len() / 2);
        let mut source = source(bytes);
        assert!(!drain(&mut source).is_empty());
        let warnings = source.warnings();
        assert!(warnings[0].contains(what), "{warnings:?}");
        assert!(warnings[0].ends_with("packets before it are read"));
    }
}

#[test]
fn a_wrong_checksum_is_a_warning_behind_all_packets() {
    // The first byte of what gzip puts last, and the last one of LZ4's content checksum.
    let lz4 = {
        let info = FrameInfo::new().content_checksum(true);
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&capture(100)).unwrap();
        encoder.finish().unwrap()
    };
    for (mut bytes, from_end) in [(gzip(&capture(100)), 8), (lz4, 1)] {
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        let mut source = source(bytes);
        assert_eq!(drain(&mut source).len(), 100);
        let warnings = source.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let told = "a.pcap: its compressed data is damaged at offset 7624: ";
        assert!(warnings[0].starts_with(told), "{warnings:?}");
        assert!(warnings[0].ends_with("; the 100 packets before it are read"));
    }
}

#[test]
fn a_reader_that_fails_is_an_error() {
    struct Broken(Cursor<Vec<u8>>);
    impl Read for Broken {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(io::Error::other("connection lost")),
                count => Ok(count),
            }
        }
    }
    for bytes in [capture(10), gzip(&capture(10))[..60].to_vec()] {
        let reader = Box::new(Broken(Cursor::new(bytes)));
        let read_all = |mut source: FileSource| {
            loop {
                let mut batch = RawBatch::default();
                if source.fill(&mut batch)? == Filled::End {
                    return Ok(());
                }
            }
        };
        let error = FileSource::new("a.pcap", reader, 0)
            .and_then(read_all)
            .unwrap_err();
        assert_eq!(error.to_string(), "a.pcap: connection lost");
    }
}

#[test]
fn what_is_no_capture_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = open(&path).err().unwrap().to_string();
        error.replace(&folder.path().display().to_string(), "")
    };
    assert_eq!(
        refused("a.pcap", b""),
        "/a.pcap is not a capture: it is empty; \
         tapedeck reads pcap, pcapng, and archives of them"
    );
    assert!(refused("b", b"hello").contains("it begins like text"));
    assert!(refused("c.gz", &gzip(b"{}")).contains("it begins like text"));
    assert!(refused("d.gz", &[0x1f, 0x8b, 9, 9]).contains("its compressed data is cut off"));
    let wrong = [&[0x1f, 0x8b, 9, 9][..], &[0; 64]].concat();
    assert!(refused("e.gz", &wrong).contains("its compressed data is damaged"));
    let missing = open(&folder.path().join("none")).err().unwrap();
    assert!(
        missing
            .to_string()
            .ends_with("none: no such file or folder")
    );
}

#[test]
fn an_archive_on_standard_input_says_what_to_do() {
    let mut archive = tar::Builder::new(Vec::new());
    let inside = capture(1);
    for mut header in [tar::Header::new_ustar(), tar::Header::new_gnu()] {
        header.set_size(inside.len() as u64);
        archive
            .append_data(&mut header, "one.pcap", &inside[..])
            .unwrap();
    }
    let archive = Cursor::new(archive.into_inner().unwrap());
    let error = FileSource::new(STDIN, Box::new(archive), 0).err().unwrap();
    let said = error.to_string();
    assert!(
        said.contains("so save it to a file and name that"),
        "{said}"
    );
}
