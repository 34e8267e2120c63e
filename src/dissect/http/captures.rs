//! HTTP/1.x of every sample capture: as many requests, responses, methods and statuses as tshark
//! finds, or the packets and a sentence on who is right.
//!
//! A request is an item whose request was seen, a response an item whose response was seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::dissect::conversation::tests::dissect_savefile;
use crate::dissect::{Draft, Protocols, truth};
use crate::item::{ItemNode, Value, json};

/// The sample captures, or a message that they are not there.
fn samples() -> Option<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures"));
    if folder.is_dir() {
        return Some(folder.to_owned());
    }
    println!("skipped: no sample captures in {}", folder.display());
    None
}

/// An item of HTTP/1.x.
fn is_http1(draft: &Draft) -> bool {
    matches!(draft.kind.macro_name, "http" | "gql") && draft.kind.version != "2.0"
}

/// Reads a capture to its end and answers the HTTP items in it.
fn items(path: &Path) -> Vec<Draft> {
    let mut drafts = dissect_savefile(path, 0, &Protocols::all());
    drafts.retain(is_http1);
    drafts
}

/// How often each method and each status came, as `GET 2, PUT 1 / 200 3`; empty when none did.
pub fn counted<'a>(items: impl Iterator<Item = &'a Draft>) -> String {
    let (mut methods, mut statuses) = (BTreeMap::new(), BTreeMap::new());
    for item in items {
        if let Some(Value::Text(method)) = item.request.member("method") {
            let method = String::from_utf8_lossy(method).into_owned();
            *methods.entry(method).or_default() += 1;
        }
        match item.response.member("status") {
            None | Some(Value::Int(0)) => {}
            Some(Value::Int(status)) => *statuses.entry(status.to_string()).or_default() += 1,
            other => panic!("an HTTP item's status is a number, not {other:?}"),
        }
    }
    shown(&methods, &statuses)
}

fn shown(methods: &BTreeMap<String, u64>, statuses: &BTreeMap<String, u64>) -> String {
    let list = |counts: &BTreeMap<String, u64>| {
        let parts = counts.iter().map(|(name, count)| format!("{name} {count}"));
        parts.collect::<Vec<_>>().join(", ")
    };
    match (methods.is_empty(), statuses.is_empty()) {
        (true, true) => String::new(),
        _ => format!("{} / {}", list(methods), list(statuses)),
    }
}

/// What `truth.json` has in the same form; requests and responses are the sums.
pub fn expected(truth: &serde_json::Value) -> String {
    let part = |name| serde_json::from_value(truth[name].clone()).unwrap_or_default();
    let (methods, statuses) = (part("methods"), part("statuses"));
    let sum = |counts: &BTreeMap<String, u64>| Some(counts.values().sum::<u64>());
    if !truth.is_null() {
        assert_eq!(sum(&methods), truth["requests"].as_u64());
        assert_eq!(sum(&statuses), truth["responses"].as_u64());
    }
    shown(&methods, &statuses)
}

const INTERIM: &str = "both are: an interim 100 belongs to the exchange and is no item of its own";

/// Captures where we differ: our counts, the packets, and who is right.
const DIFFERENCES: &[truth::Difference<&str>] = &[
    (
        "http1-evader/suricata-http-evader-050.pcap",
        "GET 1 / 200 1",
        &[5],
        "we are: a status line with version 0.9 is one, and browsers take it",
    ),
    (
        "http1-evader/suricata-http-evader-390.pcap",
        "GET 1 / 200 1",
        &[5],
        "we are: a whole status line follows a NUL byte, and browsers take it",
    ),
    (
        "http1-evader/suricata-http-evader-480.pcap",
        "GET 1 / 200 1",
        &[5],
        "we are: empty lines before a status line are ignored, as browsers do",
    ),
    (
        "http1-evader/suricata-http-evader-490.pcap",
        "GET 1 / 200 1",
        &[5],
        "we are: a bare CR before a status line is ignored, as browsers do",
    ),
    (
        "http1/own-http1-pipelined-split.pcap",
        "GET 8, POST 1 / 200 9, 400 1",
        &[37],
        INTERIM,
    ),
    (
        "http1/zeek-100-continue.pcap",
        "POST 1 / 200 1",
        &[6],
        INTERIM,
    ),
    (
        "http1/suricata-http-gap-simple.pcap",
        "GET 3 / 200 3",
        &[13, 26],
        "we are: all three heads are there, tshark drops those whose bodies have a hole",
    ),
    (
        "http1/suricata-http-gap-whole-body.pcap",
        "GET 3 / 200 3",
        &[7, 12, 26],
        "we are: all three heads are there, tshark drops those whose bodies have a hole",
    ),
    (
        "http1/zeek-1000-requests-one-dropped-response.pcap",
        "GET 1000 / 200 999",
        &[6, 7],
        "we are: one of a thousand responses is missing, tshark gives up on all",
    ),
    (
        "http1/zeek-content-range-gap.pcap",
        "GET 1 / 206 1",
        &[6],
        "we are: the head of the response is there, its body has a hole",
    ),
    (
        "http1/zeek-261-variant-01-chunk_2pow64_overflow.pcap",
        "GET 1, POST 1 / ",
        &[4],
        "both are: where a chunk size overflows nobody can tell the end of the body; the smuggled \
         request behind it is what an attacker wants a server to see, so it is shown",
    ),
    (
        "http1/zeek-http-single-conn-22.pcap",
        "GET 1 / 200 1",
        &[4, 6],
        "we are: it is HTTP on port 22, tshark goes by the port",
    ),
    (
        "k8s/node-any-sll2.pcap",
        "GET 41 / 200 26, 404 23",
        &[34, 35, 62, 63],
        "we are: 41 requests and 49 status lines are in the bytes when each is counted once, whatever \
         interfaces and addresses it was seen with, as the response and the request in these are",
    ),
    (
        "other-protocols/zeek-get-to-ssh-server.pcap",
        "GET 1 / ",
        &[4],
        "we are: a browser sent a whole request to an ssh server, tshark goes by the port",
    ),
    (
        "overlays/own-http1-in-geneve-option.pcap",
        "GET 8, POST 1 / 200 9, 400 1",
        &[37],
        INTERIM,
    ),
    (
        "overlays/own-http1-in-gre-key-teb.pcap",
        "GET 8, POST 1 / 200 9, 400 1",
        &[37],
        INTERIM,
    ),
    (
        "overlays/own-http1-in-gre.pcap",
        "GET 8, POST 1 / 200 9, 400 1",
        &[37],
        INTERIM,
    ),
    (
        "overlays/own-http1-in-ip6-vxlan.pcap",
        "GET 8, POST 1 / 200 9, 400 1",
        &[37],
        INTERIM,
    ),
    (
        "overlays/own-http1-in-ipip.pcap",
        "GET 8, POST 1 / 200 9, 400 1",
        &[37],
        INTERIM,
    ),
    (
        "overlays/own-http1-in-qinq.pcap",
        "GET 8, POST 1 / 200 9, 400 1",
        &[37],
        INTERIM,
    ),
    (
        "overlays/own-http1-in-vlan.pcap",
        "GET 8, POST 1 / 200 9, 400 1",
        &[37],
        INTERIM,
    ),
    (
        "overlays/own-http1-in-vxlan-8472-flannel.pcap",
        "GET 8, POST 1 / 200 9, 400 1",
        &[37],
        INTERIM,
    ),
    (
        "overlays/own-http1-in-vxlan-vlan-inner.pcap",
        "GET 8, POST 1 / 200 9, 400 1",
        &[37],
        INTERIM,
    ),
    (
        "overlays/zeek-gtp1_gn_normal_incl_fragmentation.pcap",
        "GET 1 / 206 1",
        &[9, 58],
        "we are: the head of the response is there, its body has a hole",
    ),
    (
        "sctp/arkime-sctp-www.pcap",
        "",
        &[5, 7, 21, 22, 27, 29],
        "tshark: it reads HTTP over SCTP, which is not TCP and not for this version",
    ),
    (
        "tcp-anomalies/wireshark-tcp-badsegments.pcap",
        "GET 1 / ",
        &[4, 18],
        "both are: the head has holes; its request line is there, so we show the request as cut",
    ),
    (
        "tcp-impaired/own-http1-mixed-lossy.pcap",
        "DELETE 1, GET 18, HEAD 1, OPTIONS 1, POST 4, PUT 1 / 200 21, 204 1, 302 1, 304 1, 404 1, 500 1",
        &[49, 314, 317, 320, 326, 328, 330, 341],
        "we are: all 26 heads are there, tshark drops those whose bodies have a hole",
    ),
    (
        "tcp-impaired/own-http1-mixed-truncated-file.pcap",
        "GET 18, HEAD 1 / 200 14, 204 1, 302 1, 304 1, 404 1, 500 1",
        &[49],
        "we are: the last response's head is there, the file ends within its body",
    ),
];

#[test]
fn http_of_the_sample_captures_is_all_found() {
    let count = |drafts: &[Draft]| counted(drafts.iter().filter(|draft| is_http1(draft)));
    let expected = |_: &str, facts: &serde_json::Value| expected(&facts["http"]);
    truth::assert_counts_but("http", count, expected, DIFFERENCES, |wanted, ours| {
        (*ours).clone_into(wanted);
    });
}

/// How often each host was asked.
fn hosts(drafts: &[Draft]) -> BTreeMap<String, u64> {
    let mut hosts = BTreeMap::new();
    for draft in drafts.iter().filter(|draft| is_http1(draft)) {
        let request = json::to_string(ItemNode::of_value(&draft.request));
        let request: serde_json::Value = serde_json::from_str(&request).unwrap();
        let headers = request["headers"].as_object().into_iter().flatten();
        for (_, host) in headers.filter(|(name, _)| name.eq_ignore_ascii_case("host")) {
            let host = host.as_str().unwrap();
            *hosts.entry(host.to_owned()).or_default() += 1;
        }
    }
    hosts
}

/// Captures where we differ on hosts.
const HOSTS: &[truth::Difference<&[(&str, u64)]>] = &[
    (
        "http1/zeek-261-variant-01-chunk_2pow64_overflow.pcap",
        &[("target", 2)],
        &[4],
        "both are: the smuggled request names it too",
    ),
    (
        "k8s/node-any-sll2.pcap",
        &[
            ("10.200.0.1:31927", 3),
            ("10.96.203.33", 20),
            ("10.96.254.210:9000", 18),
        ],
        &[62, 63],
        "we are: one request, before address translation and behind it",
    ),
    (
        "other-protocols/zeek-get-to-ssh-server.pcap",
        &[("128.3.50.246", 1)],
        &[4],
        "we are: a browser sent a whole request to an ssh server, tshark goes by the port",
    ),
    (
        "sctp/arkime-sctp-www.pcap",
        &[],
        &[5, 21, 27],
        "tshark: it reads HTTP over SCTP, which is not TCP and not for this version",
    ),
    (
        "tcp-anomalies/arkime-wireshark-retrans.pcap",
        &[("", 4)],
        &[21, 39, 61, 80],
        "both are: the header is there and empty",
    ),
    (
        "tcp-anomalies/wireshark-tcp-badsegments.pcap",
        &[("localhost", 1)],
        &[4, 18],
        "both are: the head has holes; its first lines are there, so we show the request as cut",
    ),
    (
        "tcp-impaired/own-http1-mixed-snaplen96.pcap",
        &[],
        &[34, 36, 38, 42, 48, 337],
        "we are: the packet was cut within the line, nobody knows how the host goes on",
    ),
];

#[test]
fn hosts_of_the_sample_captures_are_all_found() {
    let expected = |_: &str, facts: &serde_json::Value| {
        serde_json::from_value(facts["http"]["hosts"].clone()).unwrap_or_default()
    };
    truth::assert_counts_but("http", hosts, expected, HOSTS, |wanted, ours| {
        let ours = ours
            .iter()
            .map(|(host, count)| ((*host).to_owned(), *count));
        *wanted = ours.collect();
    });
}

/// The same conversation whatever happened to its packets: every item equals that of the whole one.
#[test]
fn impaired_captures_give_the_items_of_the_whole_one() {
    let Some(folder) = samples() else { return };
    let read = |name: &str| -> Vec<String> {
        let items = items(&folder.join(name));
        items
            .iter()
            .map(|item| format!("{:?} {:?}", item.request, item.response))
            .collect()
    };
    let whole = read("http1/own-http1-mixed.pcap");
    assert_eq!(whole.len(), 26);
    for name in ["clockstep", "duplicated", "reordered"] {
        let impaired = read(&format!("tcp-impaired/own-http1-mixed-{name}.pcap"));
        assert_eq!(impaired, whole, "{name}");
    }
    assert_eq!(read("pcapng/own-http1-comments-nano.pcapng"), whole);
    let midstream = read("tcp-impaired/own-http1-mixed-midstream.pcap");
    let tail: Vec<_> = whole
        .iter()
        .filter(|item| midstream.contains(item))
        .collect();
    assert!(tail.len() >= 7, "{}", tail.len());
}

/// One conversation in nine wrappings is nine times the same.
#[test]
fn a_tunnel_changes_nothing_of_what_it_carries() {
    let Some(folder) = samples() else { return };
    let read = |name: &str| -> Vec<String> {
        let items = items(&folder.join(name));
        items
            .iter()
            .map(|item| format!("{:?} {:?}", item.request, item.response))
            .collect()
    };
    let plain = read("http1/own-http1-pipelined-split.pcap");
    assert_eq!(plain.len(), 10);
    for wrapping in [
        "geneve-option",
        "gre-key-teb",
        "gre",
        "ip6-vxlan",
        "ipip",
        "qinq",
        "vlan",
        "vxlan-8472-flannel",
        "vxlan-vlan-inner",
    ] {
        let name = format!("overlays/own-http1-in-{wrapping}.pcap");
        assert_eq!(read(&name), plain, "{wrapping}");
    }
}

/// A thousand requests, one answer lost: only that request goes without.
#[test]
fn one_lost_response_leaves_the_others_paired() {
    let Some(folder) = samples() else { return };
    let items = items(&folder.join("http1/zeek-1000-requests-one-dropped-response.pcap"));
    let alone: Vec<_> = items.iter().filter(|item| item.error.is_some()).collect();
    assert_eq!((items.len(), alone.len()), (1000, 1));
    assert_eq!(alone[0].error.as_ref().unwrap().kind, "pair-not-found");
}
