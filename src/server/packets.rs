//! The packets of a stream, as a page shows them: headers in words, bytes in hexadecimal.
//!
//! In: the front of a stream's savefile. Out: a table, bounded in packets and bytes. Never: a packet
//! that names more than its captured bytes.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::packet::headers::{Decoder, Found};
use crate::packet::savefile::{Entry, PacketHead, Records};
use crate::packet::{Decoded, Endpoint, FiveTuple, Layers, Position, Record, TcpFlags};

/// Bytes of a stream's savefile that are read for the table.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// Packets of one table.
const MAX_PACKETS: usize = 1000;

/// Bytes of one packet that are shown.
const MAX_SHOWN: usize = 2048;

/// Keeps what is written to it up to [`MAX_BYTES`], then refuses, so that nobody writes on for nothing.
#[derive(Default)]
pub(super) struct Front {
    bytes: Vec<u8>,
    full: bool,
}

impl Front {
    /// Whether there was more than was kept.
    pub(super) fn is_cut(&self) -> bool {
        self.full
    }
}

impl Write for Front {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_BYTES - self.bytes.len();
        let taken = bytes.len().min(room);
        self.bytes
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        self.full = taken < bytes.len();
        if taken == 0 && !bytes.is_empty() {
            return Err(io::Error::other("enough packets for one page"));
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The table.
///
/// ```text
/// {"packets": [{"n": 1, "at": nanoseconds as text, "src": "ip:port", "dst": "ip:port", "length",
///   "captured", "info", "toServer": bool, "payload": {"start","length"} or null, "bytes": base64}],
///  "more": whether the stream goes on}
/// ```
/// The side that the first packet comes from is taken for the client.
pub(super) fn table(front: &Front) -> Json {
    let mut records = Records::new(front.bytes.as_slice());
    let mut decoder = Decoder::new();
    let mut found = Found::default();
    let mut first: Option<FiveTuple> = None;
    let mut base = [None::<u32>; 2];
    let mut packets = Vec::new();
    let mut more = front.is_cut();
    // What is cut off at the end ends the table.
    while let Ok(Some(entry)) = records.advance() {
        let Entry::Packet { head, bytes, .. } = entry else {
            continue;
        };
        if packets.len() == MAX_PACKETS {
            more = true;
            break;
        }
        let decoded = decoder.decode(packets.len() as u64, &record_of(&head), bytes, &mut found);
        let mut shown = json!({
            "n": packets.len() + 1,
            "at": head.ts.nanos().to_string(),
            "length": head.len,
            "captured": head.caplen,
            "bytes": STANDARD.encode(bytes.get(..MAX_SHOWN).unwrap_or(bytes)),
        });
        match decoded {
            Decoded::Flow(layers) => {
                let opened = *first.get_or_insert(layers.tuple);
                let to_server = layers.tuple == opened;
                let whole = layers.datagram.is_none();
                shown["src"] = json!(end_of(layers.tuple.src));
                shown["dst"] = json!(end_of(layers.tuple.dst));
                shown["toServer"] = json!(to_server);
                shown["info"] = json!(words(&layers, &mut base, to_server));
                shown["payload"] = (whole && layers.payload_len > 0)
                    .then(|| json!({"start": layers.payload_start, "length": layers.payload_len}))
                    .into();
            }
            Decoded::Fragment => shown["info"] = json!("IP fragment"),
            Decoded::NotIp => shown["info"] = json!("no IP inside"),
            Decoded::Malformed => shown["info"] = json!("malformed headers"),
        }
        packets.push(shown);
    }
    json!({"packets": packets, "more": more})
}

pub(super) fn record_of(head: &PacketHead) -> Record {
    Record {
        ts: head.ts,
        start: 0,
        caplen: head.caplen,
        len: head.len,
        linktype: head.linktype,
        interface: head.interface,
        position: Position::default(),
    }
}

fn end_of(end: Endpoint) -> String {
    if end.port == 0 {
        end.ip.to_string()
    } else {
        end.to_string()
    }
}

/// Flags, numbers relative to the first of each side, window and lengths.
fn words(layers: &Layers, base: &mut [Option<u32>; 2], to_server: bool) -> String {
    let mut said = String::new();
    if let Some(tcp) = layers.tcp {
        let names = [
            (TcpFlags::SYN, "SYN"),
            (TcpFlags::FIN, "FIN"),
            (TcpFlags::RST, "RST"),
            (TcpFlags::PSH, "PSH"),
            (TcpFlags::ACK, "ACK"),
        ];
        let flags: Vec<&str> = names
            .iter()
            .filter(|(bit, _)| tcp.flags.has(*bit))
            .map(|(_, name)| *name)
            .collect();
        let (mine, theirs) = if to_server { (0, 1) } else { (1, 0) };
        let seq = tcp.seq.wrapping_sub(*base[mine].get_or_insert(tcp.seq));
        said = format!("{} seq {seq}", flags.join(", "));
        if tcp.flags.has(TcpFlags::ACK) {
            let ack = tcp.ack.wrapping_sub(*base[theirs].get_or_insert(tcp.ack));
            said.push_str(&format!(" ack {ack}"));
        }
        said.push_str(&format!(" win {} ", tcp.window));
    }
    said.push_str(&format!("len {}", layers.payload_wire_len));
    if layers.payload_len < layers.payload_wire_len {
        said.push_str(&format!(" ({} captured)", layers.payload_len));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth;

    #[test]
    fn a_stream_is_a_table_of_its_packets() {
        let frames = synth::tcp(([10, 0, 0, 1], 40000), ([10, 0, 0, 2], 80))
            .to_server("GET / HTTP/1.1\r\n\r\n")
            .to_client("HTTP/1.1 204 No Content\r\n\r\n")
            .fin();
        let mut front = Front::default();
        front.write_all(&synth::savefile(&frames)).unwrap();
        let table = table(&front);
        let packets = table["packets"].as_array().unwrap();
        assert_eq!(packets.len(), frames.len());
        assert_eq!(table["more"], false);
        assert_eq!(packets[0]["info"], "SYN seq 0 win 65535 len 0");
        let asked = packets
            .iter()
            .find(|one| one["payload"].is_object())
            .unwrap();
        assert_eq!(asked["src"], "10.0.0.1:40000");
        assert_eq!(asked["toServer"], true);
        let bytes = STANDARD.decode(asked["bytes"].as_str().unwrap()).unwrap();
        let start = asked["payload"]["start"].as_u64().unwrap() as usize;
        assert_eq!(&bytes[start..], b"GET / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn a_long_stream_is_cut_and_says_so() {
        let mut long = synth::tcp(([10, 0, 0, 1], 40000), ([10, 0, 0, 2], 80));
        for _ in 0..MAX_PACKETS {
            long = long.to_server("x");
        }
        let mut front = Front::default();
        front.write_all(&synth::savefile(&long.fin())).unwrap();
        let table = table(&front);
        assert_eq!(table["packets"].as_array().unwrap().len(), MAX_PACKETS);
        assert_eq!(table["more"], true);
        let mut front = Front::default();
        assert!(front.write_all(&vec![0; MAX_BYTES + 1]).is_err());
        assert!(front.is_cut());
        assert_eq!(super::table(&front)["packets"], json!([]));
    }
}
