//! Tests of both formats and of reading them from any reader.

use std::io::{Cursor, Read};
use std::net::IpAddr;

use proptest::prelude::*;

use super::pcapng::write::{self, Copying};
use super::*;
use crate::packet::MAX_SNAPLEN;

/// Gives a few bytes at a time, as a slow connection does.
struct Drip(Cursor<Vec<u8>>, usize);

impl Read for Drip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(self.1);
        self.0.read(&mut into[..len])
    }
}

type Found = (Vec<(PacketHead, Vec<u8>, u64)>, Option<SavefileError>);

fn read_all(bytes: &[u8], step: usize) -> Found {
    let mut records = Records::new(Drip(Cursor::new(bytes.to_vec()), step));
    let mut packets = Vec::new();
    loop {
        match records.advance() {
            Ok(Some(Entry::Packet {
                head,
                bytes,
                offset,
            })) => packets.push((head, bytes.to_vec(), offset)),
            Ok(Some(Entry::Block { .. })) => {}
            Ok(None) => return (packets, None),
            Err(error) => {
                assert!(records.advance().unwrap().is_none());
                return (packets, Some(error));
            }
        }
    }
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

#[test]
fn savefiles_of_both_precisions_read_back() {
    for (precision, nanos) in [
        (pcap::Precision::Micros, 1_706_933_106_700_800_000),
        (pcap::Precision::Nanos, 1_706_933_106_700_800_901),
    ] {
        let mut file = Vec::new();
        pcap::write_header(&mut file, LinkType::ETHERNET, 65_535, precision);
        pcap::write_packet(
            &mut file,
            precision,
            at(1_706_933_106_700_800_901),
            90,
            b"abc",
        );
        pcap::write_packet(&mut file, precision, at(5), 2, b"de");
        for step in [1, 7, 1000] {
            let (packets, error) = read_all(&file, step);
            assert!(error.is_none());
            let (head, bytes, offset) = &packets[0];
            assert_eq!((head.ts, head.len, head.caplen), (at(nanos), 90, 3));
            assert_eq!((&bytes[..], *offset), (&b"abc"[..], 24));
            assert_eq!(packets[1].2, 24 + 16 + 3);
        }
    }
}

#[test]
fn a_big_endian_savefile_reads_the_same() {
    let mut file = vec![0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend_from_slice(&[0, 4, 0, 0, 0, 0, 0, 101]);
    file.extend_from_slice(&[0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0x45]);
    let (packets, error) = read_all(&file, 3);
    assert!(error.is_none());
    let (head, bytes, _) = &packets[0];
    assert_eq!(head.linktype, LinkType::RAW);
    assert_eq!((head.ts, head.len), (at(2_000_003_000), 9));
    assert_eq!(bytes, &[0x45]);
}

#[test]
fn a_savefile_with_longer_record_headers_is_read() {
    let mut file = vec![0x34, 0xcd, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend_from_slice(&[0, 4, 0, 0, 1, 0, 0, 0]);
    for byte in [7, 8] {
        file.extend_from_slice(&[2, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0]);
        // Interface, protocol, packet type, padding.
        file.extend_from_slice(&[4, 0, 0, 0, 8, 0, 0, 0, byte, byte]);
    }
    let (packets, error) = read_all(&file, 5);
    assert!(error.is_none());
    let bytes: Vec<_> = packets.iter().map(|(_, bytes, _)| &bytes[..]).collect();
    assert_eq!(bytes, [[7, 7], [8, 8]]);
    let head = &packets[0].0;
    assert_eq!((head.ts, head.len), (at(2_000_003_000), 9));
    assert_eq!(head.linktype, LinkType::ETHERNET);
}

#[test]
fn a_cut_file_gives_the_packets_before_the_cut() {
    let precision = pcap::Precision::Nanos;
    let mut file = Vec::new();
    pcap::write_header(&mut file, LinkType::RAW, 65_535, precision);
    pcap::write_packet(&mut file, precision, at(1), 3, b"abc");
    let second = file.len() as u64;
    pcap::write_packet(&mut file, precision, at(2), 3, b"abc");
    file.pop();
    let (packets, error) = read_all(&file, 1000);
    assert_eq!(packets.len(), 1);
    assert!(matches!(error, Some(SavefileError::CutOff(offset)) if offset == second));
}

/// Bytes, then an error that comes once, as decompressors tell a wrong checksum.
struct WrongChecksum(Cursor<Vec<u8>>, Option<io::Error>);

impl Read for WrongChecksum {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => self.1.take().map_or(Ok(0), Err),
            count => Ok(count),
        }
    }
}

#[test]
fn an_error_that_the_reader_tells_once_is_not_lost() {
    let mut file = Vec::new();
    pcap::write_header(&mut file, LinkType::RAW, 100, pcap::Precision::Nanos);
    for number in 0..3 {
        pcap::write_packet(&mut file, pcap::Precision::Nanos, at(number), 1, b"x");
    }
    for full in [false, true] {
        let error = io::Error::other("wrong checksum");
        let mut records = Records::new(WrongChecksum(Cursor::new(file.clone()), Some(error)));
        let mut packets = 0;
        let told = loop {
            match records.read_on(full) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error.to_string()),
            }
            while records.at_hand().unwrap().is_some() {
                packets += 1;
            }
            if records.is_over() {
                break None;
            }
        };
        assert_eq!(packets, 3);
        assert_eq!(told.as_deref(), Some("wrong checksum"), "full: {full}");
    }
}

#[test]
fn an_impossible_length_is_damage_at_its_offset() {
    let precision = pcap::Precision::Nanos;
    let mut file = Vec::new();
    pcap::write_header(&mut file, LinkType::RAW, 65_535, precision);
    pcap::write_packet(&mut file, precision, at(1), 3, b"abc");
    file.extend_from_slice(&[0xff; 32]);
    let (packets, error) = read_all(&file, 1000);
    assert_eq!(packets.len(), 1);
    assert_eq!(
        error.unwrap().to_string(),
        "it is damaged at offset 43: a packet claims 4294967295 bytes"
    );
}

/// Packets that come behind damage too, and the bytes passed over at each place.
fn read_through(bytes: &[u8], step: usize) -> (Vec<Vec<u8>>, Vec<Option<u64>>) {
    let mut records = Records::with_read_bytes(Drip(Cursor::new(bytes.to_vec()), step), 64);
    let (mut packets, mut passed) = (Vec::new(), Vec::new());
    loop {
        match records.advance() {
            Ok(Some(Entry::Packet { bytes, .. })) => packets.push(bytes.to_vec()),
            Ok(Some(Entry::Block { .. })) => {}
            Ok(None) => return (packets, passed),
            Err(_) => passed.push(records.recover().unwrap()),
        }
    }
}

#[test]
fn behind_a_damaged_block_the_next_one_is_found() {
    let mut file = Vec::new();
    write::section(&mut file, &write::Section::default());
    let interface = write::Interface::of(LinkType::RAW);
    write::interface(&mut file, &interface);
    let mut starts = Vec::new();
    for number in 0..4u8 {
        starts.push(file.len());
        write::packet(&mut file, 0, at(number.into()), 400, &[number; 400]);
    }
    let block = (starts[2] - starts[1]) as u64;
    let whole: Vec<Vec<u8>> = [0, 1, 2, 3].map(|number| vec![number; 400]).into();
    let without = |lost: usize| {
        let kept = whole.iter().enumerate().filter(|(at, _)| *at != lost);
        kept.map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
    };
    // An interface that is not there, a length beyond the block, lengths of the block that differ.
    for at in [8, 23, 4] {
        let mut damaged = file.clone();
        damaged[starts[1] + at] = 0xf0;
        for step in [5, 10_000] {
            let (packets, passed) = read_through(&damaged, step);
            assert_eq!(packets, without(1), "{at}");
            assert_eq!(passed, [Some(block)], "{at}");
        }
        // Nothing follows; a length that is too large looks like a file that is cut off.
        let mut last = file.clone();
        last[starts[3] + at] = 0xf0;
        let (packets, passed) = read_through(&last, 10_000);
        assert_eq!((packets, passed), (without(3), vec![None]), "{at}");
    }
    // A length beyond the file's end.
    let mut long = file.clone();
    long[starts[1] + 6] = 1;
    let (packets, passed) = read_through(&long, 10_000);
    assert_eq!((packets, passed), (without(1), vec![Some(block)]));
    // Other bytes between two blocks, of any length that is a multiple of four.
    let mut junk = file.clone();
    junk.splice(starts[2]..starts[2], [0xff; 4000]);
    let (packets, passed) = read_through(&junk, 10_000);
    assert_eq!((packets, passed), (whole, vec![Some(4000)]));
}

#[test]
fn a_packet_beyond_the_bound_keeps_its_first_bytes() {
    let precision = pcap::Precision::Nanos;
    let mut file = Vec::new();
    pcap::write_header(&mut file, LinkType::RAW, 1 << 20, precision);
    let long = MAX_SNAPLEN + 5;
    for field in [1, 0, long, long] {
        file.extend_from_slice(&field.to_le_bytes());
    }
    file.resize(file.len() + long as usize, 7);
    pcap::write_packet(&mut file, precision, at(2), 1, b"x");
    let (packets, error) = read_all(&file, 100_000);
    assert!(error.is_none());
    let (head, bytes, _) = &packets[0];
    assert_eq!((head.caplen, head.len), (MAX_SNAPLEN, long));
    assert_eq!(bytes.len(), MAX_SNAPLEN as usize);
    assert_eq!(packets[1].1, b"x");
}

#[test]
fn what_is_no_capture_is_named() {
    let refused = |bytes: &[u8]| Records::new(bytes).open().unwrap_err().to_string();
    assert_eq!(refused(b""), "it is empty");
    assert_eq!(refused(b"{\"a\": 1}"), "it begins like text");
    assert_eq!(refused(b"PK\x03\x04rest"), "it begins like a zip archive");
    assert_eq!(
        refused(&[0xd4, 0xc3, 0xb2, 0xa1, 2]),
        "it is cut off within the record at offset 0"
    );
}

fn pcapng_file() -> Vec<u8> {
    let mut file = Vec::new();
    let section = write::Section {
        application: "tapedeck",
        comments: &["node=a", "run=1"],
        ..write::Section::default()
    };
    write::section(&mut file, &section);
    for (name, linktype) in [("lo", LinkType::ETHERNET), ("any", LinkType::LINUX_SLL2)] {
        let interface = write::Interface {
            linktype,
            snaplen: 65_535,
            name,
            description: "",
            filter: "tcp",
            addresses: &["192.0.2.8".parse().unwrap(), "fd00::8".parse().unwrap()],
        };
        write::interface(&mut file, &interface);
    }
    let names: [(IpAddr, &str); 2] = [
        ([10, 0, 0, 1].into(), "web"),
        (IpAddr::from([1u16, 2, 3, 4, 5, 6, 7, 8]), "db"),
    ];
    write::names(&mut file, names);
    write::packet(&mut file, 1, at(1_706_933_106_700_800_901), 90, b"abc");
    write::packet(&mut file, 0, at(7), 5, b"defgh");
    write::custom(&mut file, 32_473, Copying::Allowed, b"state");
    write::secrets(&mut file, 0x544c_534b, b"CLIENT_RANDOM");
    let counts = write::Statistics {
        received: 2,
        ..Default::default()
    };
    write::statistics(&mut file, 0, at(9), &counts);
    file
}

#[test]
fn pcapng_reads_back_with_names_comments_and_custom_data() {
    let file = pcapng_file();
    let mut records = Records::new(&file[..]);
    let mut seen = Vec::new();
    while let Some(entry) = records.advance().unwrap() {
        match entry {
            Entry::Packet { head, bytes, .. } => {
                seen.push(format!(
                    "packet {} {} {bytes:?}",
                    head.interface, head.linktype.0
                ));
            }
            Entry::Block { block, .. } => match block.kind {
                pcapng::SECTION => seen.extend(
                    pcapng::section_options(&block)
                        .map(|(code, text)| format!("{code} {}", String::from_utf8_lossy(text))),
                ),
                pcapng::NAMES => seen.extend(
                    pcapng::names(&block).map(|(address, name)| format!("{address} {name}")),
                ),
                pcapng::CUSTOM => {
                    let (enterprise, data) = pcapng::custom(&block).unwrap();
                    seen.push(format!("{enterprise} {data:?}"));
                }
                kind => seen.push(format!("block {kind}")),
            },
        }
    }
    assert_eq!(
        seen,
        [
            "1 node=a",
            "1 run=1",
            "4 tapedeck",
            "block 1",
            "block 1",
            "10.0.0.1 web",
            "1:2:3:4:5:6:7:8 db",
            "packet 1 276 [97, 98, 99]",
            "packet 0 1 [100, 101, 102, 103, 104]",
            "32473 [115, 116, 97, 116, 101, 0, 0, 0]",
            "block 10",
            "block 5",
        ]
    );
    assert_eq!(records.parser().interface_name(1), Some("any"));
    let addresses = ["192.0.2.8", "fd00::8"].map(|ip| ip.parse::<IpAddr>().unwrap());
    assert_eq!(
        records.parser().addresses(),
        [addresses, addresses].concat()
    );
}

#[test]
fn interfaces_count_on_through_sections() {
    let mut file = pcapng_file();
    file.extend(pcapng_file());
    let (packets, error) = read_all(&file, 13);
    assert!(error.is_none());
    let interfaces: Vec<u32> = packets.iter().map(|(head, ..)| head.interface).collect();
    assert_eq!(interfaces, [1, 0, 3, 2]);
    assert_eq!(packets[2].0.ts, at(1_706_933_106_700_800_901));
}

/// A big-endian file with one interface of the given options and one packet of each block type.
fn big_endian(options: &[u8], ticks: u64) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let total = (body.len() as u32 + 12).to_be_bytes();
        [&kind.to_be_bytes()[..], &total, body, &total].concat()
    };
    let mut file = block(
        pcapng::SECTION,
        &[
            0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
        ],
    );
    file.extend(block(
        pcapng::INTERFACE,
        &[&[0, 101, 0, 0, 0, 0, 0, 3], options].concat(),
    ));
    let time = ticks.to_be_bytes();
    let lens = [0, 0, 0, 3, 0, 0, 0, 9];
    file.extend(block(
        pcapng::ENHANCED_PACKET,
        &[&[0, 0, 0, 0], &time[..], &lens, b"abc\0"].concat(),
    ));
    file.extend(block(
        pcapng::PACKET,
        &[&[0, 0, 0, 1], &time[..], &lens, b"def\0"].concat(),
    ));
    file.extend(block(
        pcapng::SIMPLE_PACKET,
        &[&[0, 0, 0, 9], &b"ghi\0"[..]].concat(),
    ));
    // An unknown block is passed over.
    file.extend(block(0x7777, &[1; 8]));
    file
}

#[test]
fn big_endian_times_follow_the_interface() {
    let cases: [(&[u8], u64, i64); 5] = [
        (&[], 5, 5000),
        (&[0, 9, 0, 1, 3, 0, 0, 0], 5, 5_000_000),
        (&[0, 9, 0, 1, 12, 0, 0, 0], 5_000_000, 5000),
        (&[0, 9, 0, 1, 0x80 | 10, 0, 0, 0], 512, 500_000_000),
        (
            &[0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0],
            1,
            2_000_001_000,
        ),
    ];
    for (options, ticks, nanos) in cases {
        let (packets, error) = read_all(&big_endian(options, ticks), 5);
        assert!(error.is_none());
        let texts: Vec<&[u8]> = packets.iter().map(|(_, bytes, _)| &bytes[..]).collect();
        assert_eq!(texts, [b"abc", b"def", b"ghi"]);
        for (head, ..) in &packets {
            assert_eq!((head.ts, head.len, head.caplen), (at(nanos), 9, 3));
        }
    }
}

#[test]
fn a_block_whose_lengths_differ_is_damage() {
    let mut file = pcapng_file();
    let last = file.len() - 4;
    file[last] ^= 4;
    let (packets, error) = read_all(&file, 1000);
    assert_eq!(packets.len(), 2);
    assert!(matches!(error, Some(SavefileError::Damaged { .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(
        front in prop::sample::select(vec![vec![], big_endian(&[], 1), pcapng_file()]),
        tail in prop::collection::vec(any::<u8>(), 0..200),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut file = front;
        file.extend(tail);
        for (at, value) in flips {
            if !file.is_empty() {
                let at = at.index(file.len());
                file[at] = value;
            }
        }
        read_all(&file, 64);
    }

    #[test]
    fn no_savefile_bytes_make_reading_panic(
        magic in prop::sample::select(vec![[0xd4, 0xc3, 0xb2, 0xa1], [0xa1, 0xb2, 0x3c, 0x4d]]),
        tail in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..300),
    ) {
        read_all(&[&magic[..], &tail].concat(), 64);
    }

    #[test]
    fn what_is_written_reads_back(
        packets in prop::collection::vec(
            (0i64..i64::MAX / 4, 0u32..3, prop::collection::vec(any::<u8>(), 0..90)),
            0..20,
        ),
    ) {
        let mut file = Vec::new();
        write::section(&mut file, &write::Section::default());
        for linktype in [1, 101, 276] {
            let interface = write::Interface { name: "x", description: "y", ..write::Interface::of(LinkType(linktype)) };
            write::interface(&mut file, &interface);
        }
        for (nanos, interface, bytes) in &packets {
            write::packet(&mut file, *interface, at(*nanos), 100, bytes);
        }
        let (found, error) = read_all(&file, 4096);
        prop_assert!(error.is_none());
        let found: Vec<_> = found
            .into_iter()
            .map(|(head, bytes, _)| (head.ts.nanos(), head.interface, bytes))
            .collect();
        prop_assert_eq!(found, packets);
    }
}
