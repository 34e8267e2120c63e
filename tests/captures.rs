//! Every sample capture is read to its end; packet counts are those of tshark.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tapedeck::capture::{Filled, RawBatch, file};
use tapedeck::packet::headers::{Decoder, Found};
use tapedeck::packet::{Decoded, Transport, Tunnel, TunnelKind};

/// The sample captures, or a message that they are not there.
pub fn samples() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    if folder.join("truth.json").is_file() {
        return Some(folder);
    }
    println!("skipped: the sample captures are not beside the repository");
    None
}

fn truth(folder: &Path) -> BTreeMap<String, serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("truth.json")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(all["files"].clone()).unwrap()
}

#[derive(Debug, Default)]
struct Seen {
    packets: u64,
    tcp: u64,
    udp: u64,
    other: u64,
    fragments: u64,
    not_ip: u64,
    malformed: u64,
    datagrams: usize,
    tunnels: Vec<Tunnel>,
    warnings: Vec<String>,
}

fn read(path: &Path) -> Seen {
    let mut seen = Seen::default();
    let mut source = file::open(path).unwrap();
    let mut decoder = Decoder::new();
    let mut found = Found::default();
    let mut batch = RawBatch::default();
    loop {
        let filled = source.fill(&mut batch).unwrap();
        for record in &batch.records {
            let start = record.start as usize;
            let bytes = &batch.bytes[start..start + record.caplen as usize];
            match decoder.decode(seen.packets, record, bytes, &mut found) {
                Decoded::Flow(layers) => match layers.tuple.transport {
                    Transport::Tcp => seen.tcp += 1,
                    Transport::Udp => seen.udp += 1,
                    Transport::Other(_) => seen.other += 1,
                },
                Decoded::Fragment => seen.fragments += 1,
                Decoded::NotIp => seen.not_ip += 1,
                Decoded::Malformed => seen.malformed += 1,
            }
            seen.packets += 1;
        }
        batch.clear();
        if filled == Filled::End {
            break;
        }
    }
    seen.datagrams = found.datagrams.len();
    seen.tunnels = found.tunnels;
    seen.warnings = source.warnings();
    seen
}

#[test]
fn packet_counts_are_those_of_the_truth() {
    let Some(folder) = samples() else { return };
    let mut wrong = Vec::new();
    for (name, truth) in truth(&folder) {
        let seen = read(&folder.join(&name));
        if Some(seen.packets) != truth["packets"].as_u64() {
            wrong.push(format!("{name}: {seen:?}, truth {}", truth["packets"]));
        }
        if std::env::var_os("SHOW").is_some() {
            println!("{name} {seen:?} {}", truth["packets_by_protocol"]);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tunnels by network identifier are as many as tshark has; of GRE those that carry IP.
#[test]
fn tunnels_are_those_of_the_truth() {
    let Some(folder) = samples() else { return };
    // Frames without IP inside stay packets of the tunnel's own flow: here ARP in packets 3 and 4.
    let without_ip = [("overlays/own-vxlan-http-kernel.pcap", 2)];
    // Packet 1 has more than 65,535 bytes and a UDP length of zero: there tshark stops, we go on.
    let jumbo = "overlays/tcpdump-bigtcp-ipv4-vxlan-ipv4.pcap";
    assert_eq!(read(&folder.join(jumbo)).tunnels[0].id, Some(5001));
    let mut wrong = Vec::new();
    let mut opened = 0;
    for (name, truth) in truth(&folder) {
        if name == jumbo {
            continue;
        }
        let tunnels = read(&folder.join(&name)).tunnels;
        opened += tunnels.len();
        let count = |kinds: &[TunnelKind]| {
            let of_kind = tunnels.iter().filter(|tunnel| kinds.contains(&tunnel.kind));
            of_kind.count() as u64
        };
        let ours = [
            count(&[TunnelKind::Vxlan]),
            count(&[TunnelKind::Geneve]),
            count(&[TunnelKind::Gre, TunnelKind::Erspan]),
        ];
        let expected = ["vxlan_vni", "geneve_vni", "gre_protocol"].map(|key| {
            let counts = truth["encapsulation"][key].as_object();
            let counts = counts.into_iter().flatten();
            counts.filter_map(|(_, count)| count.as_u64()).sum::<u64>()
        });
        let missing = without_ip
            .iter()
            .find(|(path, _)| *path == name)
            .map_or(0, |(_, count)| *count);
        if ours.iter().sum::<u64>() + missing != expected.iter().sum::<u64>() {
            wrong.push(format!("{name}: {ours:?}, truth {expected:?}"));
        }
        for tunnel in &tunnels {
            let named = match (tunnel.kind, tunnel.id) {
                (TunnelKind::Vxlan, Some(id)) => truth["encapsulation"]["vxlan_vni"]
                    .get(id.to_string())
                    .is_some(),
                (TunnelKind::Geneve, Some(id)) => truth["encapsulation"]["geneve_vni"]
                    .get(format!("{id:#08x}"))
                    .is_some(),
                _ => true,
            };
            if !named {
                wrong.push(format!("{name}: {tunnel:?}"));
            }
        }
    }
    assert!(opened > 500, "{opened}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
