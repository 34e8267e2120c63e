//! Tests of TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::robustness::{Feed, Sample};
use super::super::{Draft, Protocols, enabled, truth};
use super::*;
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::Direction;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// Bytes behind their length in `width` bytes.
fn vector(width: usize, bytes: &[u8]) -> Vec<u8> {
    let len = (bytes.len() as u64).to_be_bytes();
    [&len[8 - width..], bytes].concat()
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, value)].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &vector(3, body)].concat()
}

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &vector(2, payload)].concat()
}

/// A ClientHello for `name` that offers TLS 1.3 and 1.2, with GREASE.
pub(super) fn client_hello(name: &str) -> Vec<u8> {
    let server_name = vector(2, &[&[0][..], &vector(2, name.as_bytes())].concat());
    let alpn = vector(2, &[vector(1, b"h2"), vector(1, b"http/1.1")].concat());
    let share = [&[0, 29][..], &vector(2, &[7; 32])].concat();
    let extensions = [
        extension(0x2a2a, &[]),
        extension(0, &server_name),
        extension(10, &vector(2, &[0x1a, 0x1a, 0, 29, 0, 23])),
        extension(11, &[1, 0]),
        extension(13, &vector(2, &[4, 3, 8, 4])),
        extension(16, &alpn),
        extension(43, &[6, 0x3a, 0x3a, 3, 4, 3, 3]),
        extension(51, &vector(2, &share)),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[0x11; 32],
        &vector(1, &[0x22; 32]),
        &vector(2, &[0x0a, 0x0a, 0x13, 0x01, 0xc0, 0x2f]),
        &[1, 0],
        &vector(2, &extensions),
    ]
    .concat();
    message(1, &body)
}

pub(super) fn server_hello(suite: u16, extensions: &[u8]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[0x33; 32],
        &vector(1, &[0x44; 32]),
        &suite.to_be_bytes(),
        &[0],
        &vector(2, extensions),
    ]
    .concat();
    message(2, &body)
}

pub(super) fn server_hello_13() -> Vec<u8> {
    let share = [&[0, 29][..], &vector(2, &[8; 32])].concat();
    let extensions = [extension(43, &[3, 4]), extension(51, &share)].concat();
    server_hello(0x1301, &extensions)
}

/// A self-signed certificate for `shop.example`, made with OpenSSL.
const CERTIFICATE: &str = include_str!("tests/certificate.hex");

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn flight_12() -> Vec<u8> {
    let alpn = extension(16, &vector(2, &vector(1, b"h2")));
    [
        record(22, &server_hello(0xc02f, &alpn)),
        record(
            22,
            &[
                message(11, &vector(3, &vector(3, &bytes_of(CERTIFICATE)))),
                message(12, &[9; 100]),
                message(14, &[]),
            ]
            .concat(),
        ),
    ]
    .concat()
}

pub(super) fn samples() -> Vec<Sample> {
    let hello = client_hello("shop.example");
    let protected = |len| record(23, &vec![0x5a; len]);
    vec![
        Sample {
            name: "a handshake of TLS 1.2 and data",
            transport: Transport::Tcp,
            server_port: 443,
            turns: vec![
                (UP, record(22, &hello)),
                (DOWN, flight_12()),
                (
                    UP,
                    [
                        record(22, &message(16, &[5; 33])),
                        record(20, &[1]),
                        record(22, &[0x77; 40]),
                    ]
                    .concat(),
                ),
                (DOWN, [record(20, &[1]), record(22, &[0x78; 40])].concat()),
                (UP, protected(200)),
                (DOWN, protected(300)),
            ],
            items: 1,
        },
        Sample {
            name: "a hello cut into records, answered with TLS 1.3",
            transport: Transport::Tcp,
            server_port: 9443,
            turns: vec![
                (
                    UP,
                    [record(22, &hello[..7]), record(22, &hello[7..])].concat(),
                ),
                (
                    DOWN,
                    [
                        record(22, &server_hello_13()),
                        record(20, &[1]),
                        protected(400),
                    ]
                    .concat(),
                ),
                (
                    UP,
                    [record(20, &[1]), protected(53), protected(90)].concat(),
                ),
                (DOWN, protected(300)),
            ],
            items: 1,
        },
        Sample {
            name: "a refused handshake",
            transport: Transport::Tcp,
            server_port: 443,
            turns: vec![(UP, record(22, &hello)), (DOWN, record(21, &[2, 40]))],
            items: 1,
        },
        Sample {
            name: "a handshake that a client's alert ends",
            transport: Transport::Tcp,
            server_port: 443,
            turns: vec![
                (UP, record(22, &hello)),
                (DOWN, flight_12()),
                (UP, record(21, &[2, 48])),
            ],
            items: 1,
        },
        Sample {
            name: "a hello without an answer",
            transport: Transport::Tcp,
            server_port: 443,
            turns: vec![(UP, record(22, &hello))],
            items: 1,
        },
    ]
}

fn feed() -> Feed {
    Feed::new(Transport::Tcp, 443, &enabled(&["tlsx"]).0)
}

fn shown(value: &Value) -> String {
    json::to_string(ItemNode::of_value(value))
}

fn text(value: &Value, path: &str) -> String {
    lookup(ItemNode::of_value(value), path)
        .and_then(Node::text)
        .map_or_else(String::new, |text| text.into_owned())
}

fn errors(drafts: &[Draft]) -> Vec<(&'static str, String)> {
    let error = |draft: &Draft| draft.error.clone().map(|error| (error.kind, error.msg));
    drafts.iter().filter_map(error).collect()
}

#[test]
fn an_item_has_the_shape_of_the_reference() {
    let sample = samples().remove(0);
    let mut feed = feed();
    for (direction, bytes) in &sample.turns {
        feed.chunk(*direction, bytes);
    }
    let drafts = feed.end();
    assert_eq!(errors(&drafts), []);
    assert_eq!(
        shown(&drafts[0].request),
        "{\"type\":\"ClientHello\",\"version\":\"TLS 1.2\",\"versionCode\":771,\
         \"versions\":[\"GREASE\",\"TLS 1.3\",\"TLS 1.2\"],\
         \"serverName\":\"shop.example\",\"sni\":\"shop.example\",\
         \"cipherSuites\":[\"GREASE\",\"TLS_AES_128_GCM_SHA256\",\
         \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"],\"alpn\":[\"h2\",\"http/1.1\"],\
         \"groups\":[\"GREASE\",\"x25519\",\"secp256r1\"],\
         \"signatureAlgorithms\":[\"ecdsa_secp256r1_sha256\",\"rsa_pss_rsae_sha256\"],\
         \"keyShares\":[\"x25519\"],\"extensions\":[\"GREASE\",\"server_name\",\
         \"supported_groups\",\"ec_point_formats\",\"signature_algorithms\",\
         \"application_layer_protocol_negotiation\",\"supported_versions\",\"key_share\"],\
         \"random\":\"1111111111111111111111111111111111111111111111111111111111111111\",\
         \"sessionId\":\"2222222222222222222222222222222222222222222222222222222222222222\",\
         \"sessionTicket\":false,\"pskIdentities\":0,\"earlyData\":false,\
         \"encryptedClientHello\":false,\"ja3\":\"f35d08c46026a7c8edfab6e19cef8620\",\
         \"ja4\":\"t13d0207h2_c1929292aa6b_078775ef5e04\",\"summary\":\"shop.example\"}"
    );
    let response = &drafts[0].response;
    for (path, expected) in [
        ("type", "ServerHello"),
        ("version", "TLS 1.2"),
        ("cipherSuite", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("alpn", "h2"),
        ("info", "TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2"),
        ("summary", "h2"),
        ("certificates.0.subject", "CN=shop.example, O=Shop"),
        ("certificates.0.issuer", "CN=shop.example, O=Shop"),
        ("certificates.0.names.0", "shop.example"),
        ("certificates.0.names.1", "*.shop.example"),
        ("certificates.0.names.2", "10.0.0.2"),
        ("certificates.0.serial", "1234abcd"),
        ("certificates.0.notBefore", "2026-01-01T00:00:00Z"),
        ("certificates.0.notAfter", "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(text(response, path), expected, "{path}");
    }
}

#[test]
fn what_went_wrong_is_said() {
    let hello = record(22, &client_hello("shop.example"));
    let play = |turns: &[(Direction, &[u8])]| {
        let mut feed = feed();
        for (direction, bytes) in turns {
            feed.chunk(*direction, bytes);
        }
        feed.end()
    };
    let refused = play(&[(UP, &hello), (DOWN, &record(21, &[2, 40]))]);
    assert_eq!(
        errors(&refused),
        [(
            "connection",
            "the server sent the alert handshake_failure".to_owned()
        )]
    );
    assert_eq!(
        text(&refused[0].response, "description"),
        "handshake_failure"
    );

    let warned = play(&[
        (UP, &hello),
        (DOWN, &record(21, &[1, 112])),
        (DOWN, &flight_12()),
    ]);
    assert_eq!(errors(&warned), []);

    let alone = play(&[(UP, &hello)]);
    assert_eq!(errors(&alone)[0].0, "timeout");

    let late = play(&[(DOWN, &flight_12()), (DOWN, &record(20, &[1]))]);
    assert_eq!(errors(&late)[0].0, "pair-not-found");
    assert!(late[0].from_client);

    let only_alert = play(&[(DOWN, &record(21, &[2, 70]))]);
    assert_eq!(text(&only_alert[0].data, "description"), "protocol_version");
    assert!(!only_alert[0].from_client);
}

#[test]
fn swapped_sides_are_told_by_the_hellos() {
    let mut feed = feed();
    feed.chunk(DOWN, &record(22, &client_hello("shop.example")))
        .chunk(UP, &record(22, &server_hello_13()));
    let drafts = feed.end();
    assert_eq!(drafts.len(), 1);
    assert!(!drafts[0].from_client);
    assert_eq!(text(&drafts[0].request, "serverName"), "shop.example");
}

#[test]
fn a_retry_and_its_two_hellos_are_one_handshake() {
    let mut retry = server_hello(0x1301, &extension(43, &[3, 4]));
    let random = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8,
        0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8,
        0x33, 0x9c,
    ];
    retry[6..38].copy_from_slice(&random);
    let mut feed = feed();
    feed.chunk(UP, &record(22, &client_hello("shop.example")))
        .chunk(DOWN, &[record(22, &retry), record(20, &[1])].concat())
        .chunk(UP, &record(20, &[1]))
        .chunk(UP, &record(22, &client_hello("shop.example")))
        .chunk(DOWN, &record(22, &server_hello_13()));
    let drafts = feed.end();
    assert_eq!(drafts.len(), 1);
    assert_eq!(errors(&drafts), []);
    let retried = drafts[0].response.member("helloRetryRequest");
    assert!(matches!(retried, Some(Value::Bool(true))));
}

#[test]
fn both_names_enable_tls_and_its_hello_over_quic() {
    for name in ["tls", "tlsx", "TLSX"] {
        let (protocols, unknown) = enabled(&[name]);
        let names: Vec<_> = protocols.iter().map(|protocol| protocol.name()).collect();
        assert_eq!(names, ["tls", "quic"]);
        assert!(unknown.is_empty());
    }
}

#[test]
fn compressed_certificates_are_unpacked() {
    use std::io::Write;
    let whole = [&[0][..], &vector(3, &vector(3, &bytes_of(CERTIFICATE)))].concat();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&whole).unwrap();
    let packed = [
        (1_u16, zlib.finish().unwrap()),
        (3, zstd::encode_all(&whole[..], 1).unwrap()),
    ];
    for (algorithm, packed) in packed {
        let len = &(whole.len() as u32).to_be_bytes()[1..];
        let body = [&algorithm.to_be_bytes()[..], len, &vector(3, &packed)].concat();
        assert_eq!(certificate::decompressed(&body).unwrap(), whole);
        // Another length than it says, and a bomb.
        let mut damaged = body.clone();
        damaged[4] ^= 1;
        assert_eq!(certificate::decompressed(&damaged), None);
        damaged[2] = 0xff;
        assert_eq!(certificate::decompressed(&damaged), None);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(
        body in proptest::collection::vec(any::<u8>(), 0..400),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut hello = client_hello("shop.example");
        let mut der = bytes_of(CERTIFICATE);
        for (at, value) in &damage {
            let place = at.index(hello.len());
            hello[place] = *value;
            let place = at.index(der.len());
            der[place] = *value;
        }
        for bytes in [&body[..], &hello[4..]] {
            for flags in [0, 0xff] {
                render::request(&render::pack(flags, &[bytes, bytes]));
                render::response(&render::pack(flags, &[bytes, bytes, bytes]));
            }
            render::request(&Bytes::copy_from_slice(bytes));
        }
        for algorithm in 0..4 {
            let packed = vector(3, &body);
            certificate::decompressed(&[&[0, algorithm, 0, 1, 0], &packed[..]].concat());
        }
        certificate::chain(&vector(3, &vector(3, &der)), false);
        certificate::chain(&vector(3, &vector(3, &body)), true);
    }
}

pub(super) mod captures;
mod decryption;
