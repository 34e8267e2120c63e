//! TLS in the sample captures, encrypted and decrypted.

use std::collections::BTreeMap;

use super::*;

/// The folder of the captures, when it is there.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures"));
    if folder.is_dir() {
        return Some(folder.to_owned());
    }
    println!("skipped: no sample captures in {}", folder.display());
    None
}

/// Items of a capture, with the secrets in it and those beside it.
fn items(path: &Path) -> Vec<Draft> {
    truth::decrypted(path)
}

/// The same for other test files; `None` when it is not there.
pub(in super::super) fn items_of(path: &Path) -> Option<Vec<Draft>> {
    folder().map(|_| items(path))
}

/// A capture with what tshark 4.0 finds in it: JA3 and JA3S of the handshakes that were completed,
/// errors, and HTTP exchanges inside.
struct Case {
    path: &'static str,
    /// Server name, JA3, JA3S; the last empty without a ServerHello.
    handshakes: &'static [[&'static str; 3]],
    errors: &'static [&'static str],
    /// Exchanges inside, `method path`.
    inside: &'static [&'static str],
}

#[test]
fn handshakes_of_the_sample_captures_are_all_found() {
    let Some(folder) = folder() else { return };
    for case in CASES {
        let drafts = items(&folder.join(case.path));
        let handshakes: Vec<[String; 3]> = drafts
            .iter()
            .filter(|draft| draft.kind.abbr == "TLS")
            .map(|draft| {
                [
                    text(&draft.request, "serverName"),
                    text(&draft.request, "ja3"),
                    text(&draft.response, "ja3s"),
                ]
            })
            .collect();
        assert_eq!(handshakes, case.handshakes, "{}", case.path);
        let errors: Vec<_> = drafts
            .iter()
            .filter_map(|draft| draft.error.as_ref())
            .collect();
        let errors: Vec<_> = errors.iter().map(|error| error.msg.as_str()).collect();
        assert_eq!(errors, case.errors, "{}", case.path);
        let inside: Vec<_> = drafts
            .iter()
            .filter(|draft| draft.kind.abbr == "HTTP")
            .map(|draft| {
                let line = ["method", "url"].map(|member| text(&draft.request, member));
                line.join(" ")
            })
            .collect();
        assert_eq!(inside, case.inside, "{}", case.path);
    }
}

/// Members of the first handshake of a capture. JA4 was worked out from the fields that tshark shows;
/// the first is the one published for Chrome.
#[rustfmt::skip]
const MEMBERS: &[(&str, &str, &str)] = &[
    ("tls/arkime-tls-split-client-hello.pcap", "request.ja4", "t13d1516h2_8daaf6152771_02713d6af862"),
    ("tls/arkime-tls-split-client-hello.pcap", "response.group", "X25519MLKEM768"),
    ("tls/zeek-tls13-ech.pcap", "request.ja4", "t13d1517h2_8daaf6152771_b1ff8ab2d16f"),
    ("tls/zeek-tls13-ech.pcap", "request.encryptedClientHello", "true"),
    ("tls/zeek-tls1.2.pcap", "request.ja4", "t12i800500_15c493246000_3eafcbe19126"),
    ("tls/zeek-tls1.2.pcap", "request.encryptedClientHello", "false"),
    ("tls/zeek-chrome-34-google.pcap", "request.ja4", "t12d2011s3_8dd61975155f_06a4338d0495"),
    ("tls/zeek-chrome-34-google.pcap", "response.certificates.0.subject", "C=US, ST=California, L=Mountain View, O=Google Inc, CN=*.google.de"),
    ("tls/zeek-chrome-34-google.pcap", "response.certificates.0.names.0", "*.google.de"),
    ("tls/zeek-tls13_psk_succesfull.pcap", "request.pskIdentities", "1"),
    ("tls/zeek-tls13_psk_succesfull.pcap", "response.resumed", "true"),
    ("tls/zeek-tls1_1.pcap", "response.version", "TLS 1.1"),
    ("tls/wireshark-tls13-20-chacha20poly1305.pcap", "response.version", "TLS 1.3 (draft 20)"),
    ("tls/wireshark-tls13-20-chacha20poly1305.pcap", "response.cipherSuite", "TLS_CHACHA20_POLY1305_SHA256"),
    ("tls/own-tls13.pcap", "response.alpn", "http/1.1"),
    ("tls/own-tls13.pcap", "response.certificates.0.sha256", "45c261b2b61e67e096a007f4d28a8051a18a62341490162cc8d73e7474c435c6"),
];

#[test]
fn members_of_real_handshakes_are_right() {
    let Some(folder) = folder() else { return };
    for (path, member, expected) in MEMBERS {
        let drafts = items(&folder.join(path));
        let draft = drafts
            .iter()
            .find(|draft| draft.kind.name == "tls")
            .unwrap();
        let (side, rest) = member.split_once('.').unwrap();
        let value = if side == "request" {
            &draft.request
        } else {
            &draft.response
        };
        let found = lookup(ItemNode::of_value(value), rest).map(json::to_string);
        let found = found.unwrap_or_default();
        assert_eq!(found.trim_matches('"'), *expected, "{path} {member}");
    }
}

const GOODBYE: &str = "both are: close_notify ends a connection in order and is no item";
const SEALED: &str = "both are: the alert is encrypted and its secrets are not at hand";

/// Captures in which we show other alerts than `truth.json` counts.
const ALERTS: &[truth::Difference<u64>] = &[
    (
        "http2/wireshark-http2-data-reassembly.pcap",
        0,
        &[40, 41],
        GOODBYE,
    ),
    (
        "http2/wireshark-http2_follow_multistream.pcapng",
        0,
        &[192],
        GOODBYE,
    ),
    ("pcapng/own-tls12-dsb.pcapng", 0, &[20, 43, 66], GOODBYE),
    ("pcapng/own-tls13-dsb.pcapng", 0, &[21, 45, 70], GOODBYE),
    ("tls/ndpi-tls_alert.pcap", 1, &[12], SEALED),
    ("tls/own-tls12.pcap", 0, &[20, 43, 66], GOODBYE),
    ("tls/own-tls13.pcap", 0, &[21, 45, 70], GOODBYE),
    (
        "tls/wireshark-tls12-dsb.pcapng",
        0,
        &[8, 9, 16, 17],
        GOODBYE,
    ),
    (
        "tls/wireshark-tls13-20-chacha20poly1305.pcap",
        0,
        &[8, 16],
        GOODBYE,
    ),
    ("tls/zeek-ecdhe.pcap", 0, &[23], SEALED),
    ("tls/zeek-tls-1.2-stream-keylog.pcap", 0, &[231], SEALED),
    ("tls/zeek-tls1.2.pcap", 0, &[20], SEALED),
    ("tls/zeek-tls12-decryption.pcap", 0, &[13], SEALED),
    ("tls/zeek-tls1_1.pcap", 0, &[16], SEALED),
];

#[test]
fn alerts_of_the_sample_captures_are_shown() {
    let count = |drafts: &[Draft]| {
        let sides = drafts
            .iter()
            .flat_map(|draft| [&draft.response, &draft.data]);
        sides.filter(|side| text(side, "type") == "Alert").count() as u64
    };
    let expected =
        |_: &str, facts: &serde_json::Value| facts["tls"]["alerts"].as_u64().unwrap_or(0);
    truth::assert_counts_but("tls", count, expected, ALERTS, |wanted, ours| {
        *wanted = *ours
    });
}

#[test]
fn server_names_of_the_sample_captures_are_all_found() {
    let count = |drafts: &[Draft]| {
        let mut names = BTreeMap::<String, u64>::new();
        for draft in drafts {
            let name = text(&draft.request, "serverName");
            if !name.is_empty() {
                *names.entry(name).or_default() += 1;
            }
        }
        names
    };
    truth::assert_counts("tls", count, |_, facts| {
        serde_json::from_value(facts["tls"]["server_names"].clone()).unwrap_or_default()
    });
}

#[test]
fn hellos_are_counted_as_tshark_counts_them() {
    let count = |drafts: &[Draft]| {
        let seen = |value: &Value, kind| u64::from(text(value, "type") == kind);
        drafts.iter().fold((0, 0), |(client, server), draft| {
            (
                client + seen(&draft.request, "ClientHello"),
                server + seen(&draft.response, "ServerHello"),
            )
        })
    };
    let expected = |_: &str, facts: &serde_json::Value| {
        let number = |kind: &str| facts["tls"]["handshake_types"][kind].as_u64().unwrap_or(0);
        (number("1"), number("2"))
    };
    truth::assert_counts_but("tls", count, expected, DIFFERENCES, |wanted, counts| {
        *wanted = *counts;
    });
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case {
        path: "tls/arkime-https-connect.pcap",
        handshakes: &[
            ["", "b288289af2999820648eb3ca4d8304c5", "b7bd51222a09f3ad66a340710ae9c01a"],
        ],
        errors: &[],
        inside: &["CONNECT ts01-b.cloudsink.net:443"],
    },
    Case {
        path: "tls/arkime-tls-split-client-hello.pcap",
        handshakes: &[
            ["clients2.google.com", "35708a08e7be9f7aa5bce7f2d5c1cecb", "eb1d94daa7e0344597e756a1fb6e7054"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "tls/ndpi-tls_alert.pcap",
        handshakes: &[
            ["www.google-analytics.com", "d78489b860c8bf7838a6ff0b4d131541", ""],
        ],
        errors: &["the server sent the alert protocol_version"],
        inside: &[],
    },
    Case {
        path: "tls/own-tls12.pcap",
        handshakes: &[
            ["shop.example", "87b9bfc7da97115ed2276737b09f8d74", "263c859c5391203d774bc0599793d915"],
            ["shop.example", "87b9bfc7da97115ed2276737b09f8d74", "263c859c5391203d774bc0599793d915"],
            ["shop.example", "87b9bfc7da97115ed2276737b09f8d74", "263c859c5391203d774bc0599793d915"],
        ],
        errors: &[],
        inside: &["GET /items.json", "GET /small.txt", "GET /items.json", "GET /small.txt", "GET /items.json", "GET /small.txt"],
    },
    Case {
        path: "tls/own-tls13.pcap",
        handshakes: &[
            ["shop.example", "89dfc51e72bdcb94e4ba4622588002b1", "15af977ce25de452b96affa2addb1036"],
            ["shop.example", "89dfc51e72bdcb94e4ba4622588002b1", "15af977ce25de452b96affa2addb1036"],
            ["shop.example", "89dfc51e72bdcb94e4ba4622588002b1", "15af977ce25de452b96affa2addb1036"],
        ],
        errors: &[],
        inside: &["GET /items.json", "GET /small.txt", "GET /items.json", "GET /small.txt", "GET /items.json", "GET /small.txt"],
    },
    Case {
        path: "tls/wireshark-tls12-dsb.pcapng",
        handshakes: &[
            ["example.com", "00bcd759cb8ad485fdbf1e7a0c5b94b4", "5d79edf64e03689ff559a54e9d9487bc"],
            ["example.net", "00bcd759cb8ad485fdbf1e7a0c5b94b4", "5d79edf64e03689ff559a54e9d9487bc"],
        ],
        errors: &[],
        inside: &["HEAD /", "HEAD /"],
    },
    Case {
        path: "tls/wireshark-tls13-20-chacha20poly1305.pcap",
        handshakes: &[
            ["10.42.0.243", "0f07bc69e01592785bad20835bc85ab9", "1b984219635216a12760c4f6f8956dbe"],
            ["10.42.0.243", "0f07bc69e01592785bad20835bc85ab9", "1b984219635216a12760c4f6f8956dbe"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "tls/wireshark-tls13-rfc8446.pcap",
        handshakes: &[
            ["", "25bd5fc6fcc031c1c87f93613e0252ce", "eb1d94daa7e0344597e756a1fb6e7054"],
            ["", "7ed44a80eb19c620609c3b5cbc2eafd0", "2b0648ab686ee45e0e7c35fcfb0eea7e"],
        ],
        errors: &[],
        inside: &["GET /first", "GET /early", "GET /second"],
    },
    Case {
        path: "tls/zeek-chrome-34-google.pcap",
        handshakes: &[
            ["google.de", "a607f3a5c94c2ee592af1456f36c8367", "9f5e2e0d84076af5475bbe44debdb03e"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "tls/zeek-ecdhe.pcap",
        handshakes: &[
            ["", "29d8afc9e0a4d38d138ec2643966815f", "a8d2a5625ef8f3aada2fb53dad3f2921"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "tls/zeek-tls-1.2-stream-keylog.pcap",
        handshakes: &[
            ["www.heise.de", "579ccef312d18482fc42e2b822ca2430", "953e28364e4bd093e9de5afe980cfe7c"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "tls/zeek-tls1.2.pcap",
        handshakes: &[
            ["", "bd9c99b3a0f752c3ab8b052a79e9de3e", "c253ec3ad88e42f8da4032682892f9a0"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "tls/zeek-tls12-decryption.pcap",
        handshakes: &[
            ["heise.de", "7850fef8eca29f3f885216d7b8929cb5", "d154fcfa5bb4f0748e1dd1992c681104"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "tls/zeek-tls13-ech.pcap",
        handshakes: &[
            ["cloudflare-ech.com", "2fcbf8655473005933c5869b2b5d8044", "f4febc55ea12b31ae17cfb7e614afda8"],
            ["cloudflare-ech.com", "fa58f5ffd45a2d590a1677134966dc64", "f4febc55ea12b31ae17cfb7e614afda8"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "tls/zeek-tls13_psk_succesfull.pcap",
        handshakes: &[
            ["", "b564664050e32957639f6833f37e86df", "b4f2541b0a0b815edb08e1c3ffe8aad8"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "tls/zeek-tls1_1.pcap",
        handshakes: &[
            ["", "5eb6e1fe80f696450a62a48bb3d6a965", "b5237e0430ad71aac52aa90b6627cb5f"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "pcapng/own-tls12-dsb.pcapng",
        handshakes: &[
            ["shop.example", "87b9bfc7da97115ed2276737b09f8d74", "263c859c5391203d774bc0599793d915"],
            ["shop.example", "87b9bfc7da97115ed2276737b09f8d74", "263c859c5391203d774bc0599793d915"],
            ["shop.example", "87b9bfc7da97115ed2276737b09f8d74", "263c859c5391203d774bc0599793d915"],
        ],
        errors: &[],
        inside: &["GET /items.json", "GET /small.txt", "GET /items.json", "GET /small.txt", "GET /items.json", "GET /small.txt"],
    },
    Case {
        path: "pcapng/own-tls13-dsb.pcapng",
        handshakes: &[
            ["shop.example", "89dfc51e72bdcb94e4ba4622588002b1", "15af977ce25de452b96affa2addb1036"],
            ["shop.example", "89dfc51e72bdcb94e4ba4622588002b1", "15af977ce25de452b96affa2addb1036"],
            ["shop.example", "89dfc51e72bdcb94e4ba4622588002b1", "15af977ce25de452b96affa2addb1036"],
        ],
        errors: &[],
        inside: &["GET /items.json", "GET /small.txt", "GET /items.json", "GET /small.txt", "GET /items.json", "GET /small.txt"],
    },
    Case {
        path: "pcapng/own-h2-tls-dsb.pcapng",
        handshakes: &[
            ["", "78f0dc5ac5b19daf131a133cfdee9691", "6aea764ee67f71caf3dc723118906199"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "http2/own-h2-tls.pcap",
        handshakes: &[
            ["", "78f0dc5ac5b19daf131a133cfdee9691", "6aea764ee67f71caf3dc723118906199"],
        ],
        errors: &[],
        inside: &[],
    },
    Case {
        path: "http2/wireshark-http2-data-reassembly.pcap",
        handshakes: &[
            ["", "b66416e66b4ade577a2ab38fcd28f413", "96681175a9547081bf3d417f1a572091"],
        ],
        errors: &[],
        inside: &[],
    },
];

/// Captures in which we count other hellos than `truth.json`, with ours and the reason.
const DIFFERENCES: &[truth::Difference<(u64, u64)>] = &[(
    "malformed/ndpi-ossfuzz_seed_fake_traces_1.pcapng",
    (0, 0),
    &[19, 21],
    "both are: the streams begin with another byte; tshark looks at each segment anew",
)];
