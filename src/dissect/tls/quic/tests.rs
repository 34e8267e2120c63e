//! Tests of QUIC.

use proptest::prelude::*;
use ring::aead::{self, quic};

use super::super::cipher::numbered;
use super::super::fingerprint::hex;
use super::super::keys::{Hash, expand_label, extract};
use super::super::tests::{client_hello, server_hello_13};
use super::packet::{InitialKeys, Version};
use super::*;
use crate::dissect::robustness::{Feed, Sample};
use crate::dissect::{Draft, Protocols};
use crate::item::{ItemNode, Node, Value, lookup};
use crate::packet::Direction;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// The client's connection ID in RFC 9001 appendix A.
const CONNECTION_ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

/// The frames of RFC 9001 appendix A.2 before the padding.
const CLIENT_FRAMES: &str = "\
    060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868\
    04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578\
    616d706c652e636f6dff01000100000a00080006001d00170018001000070005\
    04616c706e000500050100000000003300260024001d00209370b2c9caa47fba\
    baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400\
    0d0010000e0403050306030203080408050806002d00020101001c0002400100\
    3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000\
    75300901100f088394c8f03e51570806048000ffff";

/// The server's Initial packet of RFC 9001 appendix A.3.
const SERVER_INITIAL: &str = "\
    cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a\
    5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3\
    dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84\
    022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc4\
    2158407dd074ee";

fn bytes_of(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// An Initial packet with `frames`, padded to `len` bytes in all.
fn initial(v2: bool, to_server: bool, number: u32, frames: &[u8], len: usize) -> Vec<u8> {
    let (version, salt, labels) = if v2 {
        (
            0x6b33_43cf_u32,
            "0dede3def700a6db819381be6e269dcbf9bd2ed9",
            ["quicv2 key", "quicv2 iv", "quicv2 hp"],
        )
    } else {
        (
            1,
            "38762cf7f55934b34d179ae6a4c80cadccbb7f0a",
            ["quic key", "quic iv", "quic hp"],
        )
    };
    let secret = extract(&bytes_of(salt), &CONNECTION_ID);
    let label: &[u8] = if to_server {
        b"client in"
    } else {
        b"server in"
    };
    let expand =
        |secret: &[u8], label: &[u8], len| expand_label(Hash::Sha256, secret, label, len).unwrap();
    let secret = expand(&secret, label, 32);
    let [key, iv, header] = labels;
    let key = expand(&secret, key.as_bytes(), 16);
    let iv: [u8; 12] = expand(&secret, iv.as_bytes(), 12).try_into().unwrap();
    let header_key = expand(&secret, header.as_bytes(), 16);
    let mut packet = vec![if v2 { 0xd3 } else { 0xc3 }];
    packet.extend(version.to_be_bytes());
    if to_server {
        packet.push(8);
        packet.extend(CONNECTION_ID);
    } else {
        packet.push(0);
    }
    packet.extend([0, 0]);
    let left = len - packet.len() - 2;
    packet.extend((0x4000 | left as u16).to_be_bytes());
    let number_at = packet.len();
    packet.extend(number.to_be_bytes());
    let mut sealed = frames.to_vec();
    sealed.resize(len - packet.len() - 16, 0);
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_128_GCM, &key).unwrap());
    let nonce = aead::Nonce::assume_unique_for_key(numbered(&iv, number.into()));
    key.seal_in_place_append_tag(nonce, aead::Aad::from(&packet), &mut sealed)
        .unwrap();
    packet.extend(sealed);
    let header_key = quic::HeaderProtectionKey::new(&quic::AES_128, &header_key).unwrap();
    let sample = packet[number_at + 4..number_at + 20].to_vec();
    let mask = header_key.new_mask(&sample).unwrap();
    packet[0] ^= mask[0] & 0x0f;
    for (byte, mask) in packet[number_at..].iter_mut().zip(&mask[1..]) {
        *byte ^= mask;
    }
    packet
}

fn crypto_frame(offset: u16, bytes: &[u8]) -> Vec<u8> {
    let number = |value: u16| (0x4000 | value).to_be_bytes();
    [
        &[6][..],
        &number(offset),
        &number(bytes.len() as u16),
        bytes,
    ]
    .concat()
}

pub(super) fn samples() -> Vec<Sample> {
    let hello = client_hello("shop.example");
    let (front, back) = hello.split_at(90);
    let server = initial(true, false, 0, &crypto_frame(0, &server_hello_13()), 1200);
    vec![
        Sample {
            name: "the packets of RFC 9001",
            transport: Transport::Udp,
            server_port: 443,
            turns: vec![
                (UP, initial(false, true, 2, &bytes_of(CLIENT_FRAMES), 1200)),
                (DOWN, bytes_of(SERVER_INITIAL)),
                (UP, vec![0x41; 60]),
            ],
            items: 1,
        },
        Sample {
            name: "a hello of version 2 in two datagrams, the second first",
            transport: Transport::Udp,
            server_port: 8443,
            turns: vec![
                (UP, initial(true, true, 1, &crypto_frame(90, back), 1200)),
                (UP, initial(true, true, 0, &crypto_frame(0, front), 1200)),
                (DOWN, server),
            ],
            items: 1,
        },
        Sample {
            name: "a refused hello",
            transport: Transport::Udp,
            server_port: 443,
            turns: vec![
                (UP, initial(false, true, 0, &crypto_frame(0, &hello), 1200)),
                (
                    DOWN,
                    initial(false, false, 0, &[0x1c, 0x41, 0x78, 6, 0], 1200),
                ),
            ],
            items: 1,
        },
        Sample {
            name: "a hello without an answer",
            transport: Transport::Udp,
            server_port: 443,
            turns: vec![(UP, initial(false, true, 0, &crypto_frame(0, &hello), 1200))],
            items: 1,
        },
    ]
}

fn play(sample: &Sample) -> Vec<Draft> {
    let mut feed = Feed::new(sample.transport, sample.server_port, &Protocols::all());
    for (direction, datagram) in &sample.turns {
        feed.chunk(*direction, datagram);
    }
    assert_eq!(feed.protocol(), Some("quic"));
    feed.end()
}

fn text(value: &Value, path: &str) -> String {
    lookup(ItemNode::of_value(value), path)
        .and_then(Node::text)
        .map_or_else(String::new, |text| text.into_owned())
}

/// RFC 9001 appendix A.2: the first bytes of the protected packet.
#[test]
fn packets_are_protected_as_in_rfc_9001() {
    let packet = initial(false, true, 2, &bytes_of(CLIENT_FRAMES), 1200);
    assert!(hex(&packet).starts_with(
        "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11\
             d242b123dc9bd8bab936b47d92ec356c0bab7df5976d27cd449f63300099f399"
    ));
}

/// RFC 9369 appendix A.1.
#[test]
fn keys_of_version_2_are_those_of_rfc_9369() {
    let salt = bytes_of("0dede3def700a6db819381be6e269dcbf9bd2ed9");
    let initial = extract(&salt, &CONNECTION_ID);
    let client = expand_label(Hash::Sha256, &initial, b"client in", 32).unwrap();
    let key = expand_label(Hash::Sha256, &client, b"quicv2 key", 16).unwrap();
    assert_eq!(hex(&key), "8b1a0bc121284290a29e0971b5cd045d");
}

#[test]
fn hellos_are_read_in_all_versions() {
    let drafts: Vec<Draft> = samples().iter().flat_map(play).collect();
    let seen: Vec<[String; 5]> = drafts
        .iter()
        .map(|draft| {
            [
                draft.kind.abbr.to_owned(),
                text(&draft.request, "quicVersion"),
                text(&draft.request, "serverName"),
                text(&draft.response, "cipherSuite"),
                draft
                    .error
                    .as_ref()
                    .map_or(String::new(), |error| error.msg.clone()),
            ]
        })
        .collect();
    let shop = "shop.example";
    let suite = "TLS_AES_128_GCM_SHA256";
    assert_eq!(
        seen,
        [
            ["QUIC", "1", "example.com", suite, ""],
            ["QUIC", "2", shop, suite, ""],
            [
                "QUIC",
                "1",
                shop,
                "",
                "the server sent the alert no_application_protocol"
            ],
            [
                "QUIC",
                "1",
                shop,
                "",
                "no ServerHello for this ClientHello was captured"
            ],
        ]
    );
    assert!(text(&drafts[0].request, "ja4").starts_with("q13d0211an"));
}

#[test]
fn the_hello_of_a_real_client_is_read() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/captures/other-protocols/retina-quic_xargs.pcap"
    );
    let Some(drafts) = super::super::tests::captures::items_of(path.as_ref()) else {
        return;
    };
    assert_eq!(drafts.len(), 1);
    assert!(drafts[0].error.is_none());
    let request = |path| text(&drafts[0].request, path);
    assert_eq!(request("serverName"), "example.ulfheim.net");
    // As tshark 4.0 has them.
    assert_eq!(request("ja3"), "f75253b5e2b4dcb3fdae9b78ce8c6e49");
    let ja3s = text(&drafts[0].response, "ja3s");
    assert_eq!(ja3s, "eb1d94daa7e0344597e756a1fb6e7054");
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        known in any::<bool>(),
    ) {
        let mut packet = bytes.clone();
        if known {
            packet.splice(0..0, [0xc0, 0, 0, 0, 1]);
        }
        if let Some(long) = Long::parse(&packet) {
            let keys = InitialKeys::new(Version::V1, long.destination).unwrap();
            keys.open(&long, &packet, true);
        }
        crypto::CryptoStream::default().frames(&bytes);
    }
}
