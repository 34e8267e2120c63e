//! The transport header: ports, TCP fields, and where the payload lies.
//!
//! In: what stands behind the IP headers, and its length on the wire. Out: a [`TransportHeader`].
//! Never: checksums verified, TCP options. Standards: RFC 9293, RFC 768, RFC 9260.

use crate::bytes::Reader;
use crate::packet::{TcpFlags, TcpHeader, Transport};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const SCTP: u8 = 132;

/// What the transport header says.
#[derive(Debug)]
pub(super) struct TransportHeader {
    pub(super) transport: Transport,
    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    pub(super) header_len: usize,
    pub(super) payload_len: usize,
    pub(super) payload_wire_len: usize,
    pub(super) tcp: Option<TcpHeader>,
    pub(super) udp_checksum: u16,
}

/// Reads a transport header; `None` when its fixed part was cut off or contradicts itself.
///
/// The payload of SCTP begins behind the ports, with the verification tag and the checksum that its
/// association needs (RFC 9260 section 3.1); that of protocols without ports behind the IP headers.
#[inline(always)]
pub(super) fn read_transport(
    protocol: u8,
    segment: &[u8],
    wire_len: usize,
) -> Option<TransportHeader> {
    let mut reader = Reader::new(segment);
    match protocol {
        TCP => {
            let (src_port, dst_port) = (reader.u16().ok()?, reader.u16().ok()?);
            let (seq, ack) = (reader.u32().ok()?, reader.u32().ok()?);
            let header_len = usize::from(reader.u8().ok()? >> 4) * 4;
            let flags = TcpFlags(reader.u8().ok()?);
            let window = reader.u16().ok()?;
            // Checksum and urgent pointer: the fixed part must be there, the options need not.
            reader.skip(4).ok()?;
            let payload_wire_len = wire_len.checked_sub(header_len)?;
            if header_len < reader.offset() {
                return None;
            }
            Some(TransportHeader {
                transport: Transport::Tcp,
                src_port,
                dst_port,
                header_len: header_len.min(segment.len()),
                payload_len: segment.len().saturating_sub(header_len),
                payload_wire_len,
                tcp: Some(TcpHeader {
                    seq,
                    ack,
                    flags,
                    window,
                }),
                udp_checksum: 0,
            })
        }
        UDP => {
            let (src_port, dst_port) = (reader.u16().ok()?, reader.u16().ok()?);
            let len = usize::from(reader.u16().ok()?);
            let udp_checksum = reader.u16().ok()?;
            let header_len = reader.offset();
            // Zero: a jumbogram (RFC 2675), or left for the network card to fill.
            let len = if len == 0 {
                wire_len
            } else {
                len.min(wire_len)
            };
            let payload_wire_len = len.checked_sub(header_len)?;
            Some(TransportHeader {
                transport: Transport::Udp,
                src_port,
                dst_port,
                header_len,
                payload_len: reader.left().min(payload_wire_len),
                payload_wire_len,
                tcp: None,
                udp_checksum,
            })
        }
        SCTP => {
            let (src_port, dst_port) = (reader.u16().ok()?, reader.u16().ok()?);
            let header_len = reader.offset();
            reader.skip(8).ok()?;
            Some(TransportHeader {
                transport: Transport::SCTP,
                src_port,
                dst_port,
                header_len,
                payload_len: segment.len().saturating_sub(header_len),
                payload_wire_len: wire_len.checked_sub(header_len)?,
                tcp: None,
                udp_checksum: 0,
            })
        }
        other => Some(TransportHeader {
            transport: Transport::Other(other),
            src_port: 0,
            dst_port: 0,
            header_len: 0,
            payload_len: segment.len(),
            payload_wire_len: wire_len,
            tcp: None,
            udp_checksum: 0,
        }),
    }
}
