//! Captured packets: records, their headers, and the five-tuple.
//!
//! In: bytes as a source read them. Out: [`Batch`]es of packets whose headers are read once, as
//! offsets into one shared buffer. Never: allocation per packet, sockets, files, clocks.
//! Names follow libpcap (`linktype`, `len`, `caplen`) and the RFCs of the headers.

use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::bytes::append_padded;
use crate::time::Timestamp;

pub mod bpf;
pub mod fragments;
pub mod headers;
pub(crate) mod link;
pub mod savefile;
pub(crate) mod tunnel;

/// Largest `caplen` that is believed, libpcap's own bound for most link types (262,144 octets).
pub const MAX_SNAPLEN: u32 = 262_144;

/// A link-layer header type, by its `LINKTYPE_` number (<https://www.tcpdump.org/linktypes.html>).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: address family in host byte order.
    pub const NULL: LinkType = LinkType(0);
    /// IEEE 802.3 Ethernet.
    pub const ETHERNET: LinkType = LinkType(1);
    /// PPP, with or without address and control.
    pub const PPP: LinkType = LinkType(9);
    /// IP without a link-layer header, as BSD wrote it.
    pub const RAW_BSD: LinkType = LinkType(12);
    /// The same, as OpenBSD wrote it.
    pub const RAW_OPENBSD: LinkType = LinkType(14);
    /// PPP in HDLC-like framing, or Cisco's HDLC.
    pub const PPP_HDLC: LinkType = LinkType(50);
    /// A session of PPPoE without Ethernet in front.
    pub const PPP_ETHER: LinkType = LinkType(51);
    /// IP without a link-layer header.
    pub const RAW: LinkType = LinkType(101);
    /// Cisco's HDLC.
    pub const C_HDLC: LinkType = LinkType(104);
    /// IEEE 802.11.
    pub const IEEE802_11: LinkType = LinkType(105);
    /// Frame relay.
    pub const FRELAY: LinkType = LinkType(107);
    /// OpenBSD loopback: address family in network byte order.
    pub const LOOP: LinkType = LinkType(108);
    /// OpenBSD's encapsulating interface.
    pub const ENC: LinkType = LinkType(109);
    /// Linux cooked capture, version 1.
    pub const LINUX_SLL: LinkType = LinkType(113);
    /// IEEE 802.11 behind the header of Prism cards or of AVS drivers.
    pub const IEEE802_11_PRISM: LinkType = LinkType(119);
    /// IEEE 802.11 behind a radiotap header.
    pub const IEEE802_11_RADIOTAP: LinkType = LinkType(127);
    /// IEEE 802.11 behind the header of AVS drivers.
    pub const IEEE802_11_AVS: LinkType = LinkType(163);
    /// Per-packet information in front of another link type.
    pub const PPI: LinkType = LinkType(192);
    /// PPP behind a byte that tells the direction.
    pub const PPP_WITH_DIR: LinkType = LinkType(204);
    /// Cisco's HDLC behind a byte that tells the direction.
    pub const C_HDLC_WITH_DIR: LinkType = LinkType(205);
    /// Frame relay behind a byte that tells the direction.
    pub const FRELAY_WITH_DIR: LinkType = LinkType(206);
    /// IPv4 only.
    pub const IPV4: LinkType = LinkType(228);
    /// IPv6 only.
    pub const IPV6: LinkType = LinkType(229);
    /// Linux netfilter log.
    pub const NFLOG: LinkType = LinkType(239);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: LinkType = LinkType(276);
}

/// The protocol above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// Any other, by its IP protocol number.
    Other(u8),
}

impl Transport {
    /// RFC 792.
    pub const ICMP: Transport = Transport::Other(1);
    /// RFC 4443.
    pub const ICMPV6: Transport = Transport::Other(58);
    /// RFC 9260.
    pub const SCTP: Transport = Transport::Other(132);
}

/// An address with a port; port 0 where the transport has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

/// Addresses, ports and protocol as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    /// Sender.
    pub src: Endpoint,
    /// Receiver.
    pub dst: Endpoint,
    /// Protocol above IP.
    pub transport: Transport,
}

impl FiveTuple {
    /// The same tuple seen from the other side.
    pub fn reversed(self) -> FiveTuple {
        FiveTuple {
            src: self.dst,
            dst: self.src,
            transport: self.transport,
        }
    }
}

/// Which way bytes go within a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the side that opened to the side that answered.
    ToServer,
    /// From the side that answered to the side that opened.
    ToClient,
}

impl Direction {
    /// The opposite direction.
    pub fn other(self) -> Direction {
        match self {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        }
    }
}

/// The fields of a TCP header that reassembly needs (RFC 9293 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpHeader {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Control bits, CWR to FIN, as in the header's octet 13.
    pub flags: TcpFlags,
    /// Window, not scaled.
    pub window: u16,
    /// What a SYN says of the scale of later windows.
    pub scale: WindowScale,
}

/// The window scale option of a SYN (RFC 7323 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowScale(u8);

impl WindowScale {
    /// Largest shift that counts (RFC 7323 section 2.3).
    pub const MAX: u8 = 14;

    /// The segment is no SYN, or its options were cut off.
    pub const UNKNOWN: WindowScale = WindowScale(u8::MAX);

    /// The SYN has no such option: windows of neither side are scaled.
    pub const NONE: WindowScale = WindowScale(u8::MAX - 1);

    /// The option's shift count, at most [`WindowScale::MAX`].
    pub fn shift(count: u8) -> WindowScale {
        WindowScale(count.min(WindowScale::MAX))
    }

    /// The shift of the windows of `receiver` in a connection with `sender`; the largest there is
    /// where the handshake does not tell it.
    pub fn in_force(sender: WindowScale, receiver: WindowScale) -> u8 {
        match (sender, receiver) {
            (WindowScale::NONE, _) | (_, WindowScale::NONE) => 0,
            (_, WindowScale::UNKNOWN) => WindowScale::MAX,
            (_, WindowScale(shift)) => shift,
        }
    }
}

impl Default for WindowScale {
    fn default() -> WindowScale {
        WindowScale::UNKNOWN
    }
}

/// TCP control bits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment field counts.
    pub const ACK: u8 = 0x10;

    /// Whether all `bits` are set.
    pub fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

/// Headers of one packet, read once; offsets count from the packet's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// Who to whom.
    pub tuple: FiveTuple,
    /// First byte of the transport payload.
    pub payload_start: u32,
    /// Captured bytes of the transport payload.
    pub payload_len: u32,
    /// Payload bytes on the wire; above `payload_len` when the packet was truncated.
    pub payload_wire_len: u32,
    /// The TCP header, when the transport is TCP.
    pub tcp: Option<TcpHeader>,
    /// The identification field of IPv4; 0 for IPv6.
    pub identification: u16,
    /// The checksum field of UDP as captured; 0 for other transports.
    pub udp_checksum: u16,
    /// VLAN identifier of the innermost tag; `None` without a tag.
    pub vlan: Option<u16>,
    /// Network identifier of the innermost VXLAN or Geneve around the packet. The same addresses
    /// in another network are another host's.
    pub vni: Option<u32>,
    /// Index into [`Batch::tunnels`] of the innermost tunnel around the packet; all other fields
    /// are of what it carries.
    pub tunnel: Option<u32>,
    /// Index into [`Batch::datagrams`] when the payload was put together from IP fragments;
    /// `payload_start` then counts within that datagram.
    pub datagram: Option<u32>,
}

/// What carries one packet within another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TunnelKind {
    /// A switch port's mirror over GRE (draft-foschiano-erspan-03, types I to III).
    Erspan,
    /// RFC 8926.
    Geneve,
    /// RFC 2784 and RFC 2890, also with Ethernet inside and over UDP (RFC 8086).
    Gre,
    /// User plane of mobile networks (3GPP TS 29.281).
    GtpU,
    /// IP directly within IP (RFC 2003, RFC 2473, RFC 4213).
    IpInIp,
    /// RFC 3032, also over IP and UDP (RFC 4023, RFC 7510).
    Mpls,
    /// RFC 2516.
    Pppoe,
    /// RFC 7348.
    Vxlan,
}

impl TunnelKind {
    /// Its name in items.
    pub fn name(self) -> &'static str {
        match self {
            TunnelKind::Erspan => "erspan",
            TunnelKind::Geneve => "geneve",
            TunnelKind::Gre => "gre",
            TunnelKind::GtpU => "gtp-u",
            TunnelKind::IpInIp => "ip-in-ip",
            TunnelKind::Mpls => "mpls",
            TunnelKind::Pppoe => "pppoe",
            TunnelKind::Vxlan => "vxlan",
        }
    }
}

/// One tunnel around a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// What it is.
    pub kind: TunnelKind,
    /// Its ends: the five-tuple of the outer packet, ports 0 where there are none. `None` where no
    /// IP header stands around it: MPLS and PPPoE on a link.
    pub tuple: Option<FiveTuple>,
    /// VXLAN and Geneve network identifier, GRE key, ERSPAN session, GTP tunnel endpoint, bottom
    /// label of MPLS, PPPoE session.
    pub id: Option<u32>,
    /// Index into [`Batch::tunnels`] of the tunnel around this one.
    pub around: Option<u32>,
}

/// What the headers of a packet say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// A packet of a flow.
    Flow(Layers),
    /// An IP fragment that does not complete its datagram.
    Fragment,
    /// No IP inside (ARP, LLDP, unknown link type, ...).
    NotIp,
    /// Headers cut off or against their standard.
    Malformed,
}

/// Where a packet's record lies in its source: a file of the source, and the offset of the record.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Number of the file within its source (spool segment, file of an archive), from 0.
    pub file: u32,
    /// Offset of the packet's record header within the file.
    pub offset: u64,
}

/// One packet as its source gave it; the bytes lie in the batch's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// When it was captured.
    pub ts: Timestamp,
    /// First byte within the batch's buffer.
    pub start: u32,
    /// Bytes captured.
    pub caplen: u32,
    /// Bytes on the wire.
    pub len: u32,
    /// What the bytes begin with.
    pub linktype: LinkType,
    /// Interface number within the source.
    pub interface: u32,
    /// Where the record lies in the source.
    pub position: Position,
}

/// A stream's number: the ordinal of its first packet in the run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A packet with all that ingest learned about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Ordinal of the packet in the run, from 0.
    pub ordinal: u64,
    /// The record.
    pub record: Record,
    /// Its headers.
    pub decoded: Decoded,
    /// Stream and direction; `None` for packets of no flow.
    pub stream: Option<(StreamId, Direction)>,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// Both sides sent FIN.
    Fin,
    /// One side sent RST.
    Rst,
    /// No packet for the idle timeout.
    Idle,
    /// A new connection took the same five-tuple.
    Reused,
    /// The flow table was full.
    Evicted,
    /// The source ended.
    SourceEnd,
}

/// A stream that ended after the packets of the batch that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The stream.
    pub stream: StreamId,
    /// Why.
    pub reason: EndReason,
    /// Ordinal of the packet after which it ended; orders the stream's last items.
    pub ordinal: u64,
}

/// Packets in capture order over one shared buffer; what threads hand to each other.
#[derive(Debug, Default)]
pub struct Batch {
    /// Number of the batch in the run, from 0.
    pub number: u64,
    /// Bytes of all packets.
    pub bytes: Bytes,
    /// The packets.
    pub packets: Vec<Packet>,
    /// Datagrams put together from fragments, by [`Layers::datagram`].
    pub datagrams: Vec<Bytes>,
    /// Tunnels around packets, by [`Layers::tunnel`].
    pub tunnels: Vec<Tunnel>,
    /// Fragments seen earlier whose stream became known with this batch: ordinal and stream.
    pub adopted: Vec<(u64, StreamId)>,
    /// Streams that ended, in order.
    pub ended: Vec<Ended>,
    /// Latest packet time seen in the run so far; the pipeline's notion of now in offline runs.
    pub now: Timestamp,
}

/// What threads share.
pub type SharedBatch = Arc<Batch>;

impl Batch {
    /// Captured bytes of `packet`, link-layer header first.
    pub fn bytes_of(&self, packet: &Packet) -> Bytes {
        let start = packet.record.start as usize;
        let end = start + packet.record.caplen as usize;
        if end <= self.bytes.len() {
            self.bytes.slice(start..end)
        } else {
            Bytes::new()
        }
    }

    /// The tunnels around `packet`, the innermost first.
    pub fn tunnels_of(&self, packet: &Packet) -> impl Iterator<Item = &Tunnel> {
        let innermost = match packet.decoded {
            Decoded::Flow(layers) => layers.tunnel,
            _ => None,
        };
        let tunnel = |index: u32| self.tunnels.get(index as usize);
        std::iter::successors(innermost.and_then(tunnel), move |inner| {
            inner.around.and_then(tunnel)
        })
    }

    /// Transport payload of `packet`, from the packet or from its reassembled datagram.
    pub fn payload_of(&self, packet: &Packet) -> Bytes {
        self.payload_in(&self.bytes, packet)
    }

    /// The same, with `bytes` another handle of the batch's bytes; a slice counts as one more
    /// reference to that handle.
    pub fn payload_in(&self, bytes: &Bytes, packet: &Packet) -> Bytes {
        let Decoded::Flow(layers) = packet.decoded else {
            return Bytes::new();
        };
        let (whole, base) = match layers.datagram {
            Some(index) => (self.datagrams.get(index as usize), 0),
            None => (Some(bytes), packet.record.start as usize),
        };
        let start = base + layers.payload_start as usize;
        let end = start + layers.payload_len as usize;
        match whole {
            Some(whole) if end <= whole.len() => whole.slice(start..end),
            _ => Bytes::new(),
        }
    }
}

/// A stream's public name: twelve digits, the transport's suffix, `.pcap`.
///
/// Suffixes: none for TCP, `_udp`, `_icmp`, `_icmpv6`, `_sctp`, and `_ip<number>` for any other
/// IP protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName {
    /// The stream.
    pub stream: StreamId,
    /// Its transport.
    pub transport: Transport,
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}{}.pcap", self.stream.0, Suffix(self.transport))
    }
}

/// What tells the transport in a stream's name.
struct Suffix(Transport);

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Transport::Tcp => "",
            Transport::Udp => "_udp",
            Transport::ICMP => "_icmp",
            Transport::ICMPV6 => "_icmpv6",
            Transport::SCTP => "_sctp",
            Transport::Other(number) => return write!(f, "_ip{number}"),
        })
    }
}

impl StreamName {
    /// Appends the text that [`fmt::Display`] gives.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        append_padded(out, self.stream.0, 12);
        let _ = match self.transport {
            Transport::Tcp => {
                out.extend_from_slice(b".pcap");
                Ok(())
            }
            // Writing into memory does not fail.
            other => write!(out, "{}.pcap", Suffix(other)),
        };
    }

    /// Reads a name with or without folder and `.pcap`; `None` when it is none.
    pub fn parse(text: &str) -> Option<StreamName> {
        let base = text.rsplit('/').next().unwrap_or(text);
        let base = base.strip_suffix(".pcap").unwrap_or(base);
        let (digits, suffix) = base.split_at(base.find('_').unwrap_or(base.len()));
        let transport = match suffix {
            "" => Transport::Tcp,
            "_udp" => Transport::Udp,
            "_icmp" => Transport::ICMP,
            "_icmpv6" => Transport::ICMPV6,
            "_sctp" => Transport::SCTP,
            other => Transport::Other(other.strip_prefix("_ip")?.parse().ok()?),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(StreamName {
            stream: StreamId(digits.parse().ok()?),
            transport,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_names_read_back() {
        let name = StreamName {
            stream: StreamId(25277),
            transport: Transport::Udp,
        };
        assert_eq!(name.to_string(), "000000025277_udp.pcap");
        assert_eq!(StreamName::parse("pcaps/000000025277_udp.pcap"), Some(name));
        assert_eq!(StreamName::parse("000000025277_udp"), Some(name));
        assert_eq!(StreamName::parse("dfir/a.pcap"), None);
        for number in [1, 47, 58, 132] {
            let name = StreamName {
                stream: StreamId(7),
                transport: Transport::Other(number),
            };
            assert_eq!(StreamName::parse(&name.to_string()), Some(name));
            let mut appended = Vec::new();
            name.append_to(&mut appended);
            assert_eq!(appended, name.to_string().into_bytes());
        }
    }
}
