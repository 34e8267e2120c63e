//! The transport header: ports, TCP fields, and where the payload lies.
//!
//! In: what stands behind the IP headers, and its length on the wire. Out: a [`TransportHeader`].
//! Never: checksums verified, TCP options but the window scale of a SYN. Standards: RFC 9293, RFC 7323,
//! RFC 768, RFC 9260.

use crate::bytes::Reader;
use crate::packet::{TcpFlags, TcpHeader, Transport, WindowScale};

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
            let scale = match flags.has(TcpFlags::SYN) {
                true => window_scale(segment.get(reader.offset()..header_len)),
                false => WindowScale::UNKNOWN,
            };
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
                    scale,
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

/// What the options of a SYN say of the window scale; `None` when they were cut off.
#[cold]
fn window_scale(options: Option<&[u8]>) -> WindowScale {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    let Some(options) = options else {
        return WindowScale::UNKNOWN;
    };
    let mut reader = Reader::new(options);
    while let Ok(kind) = reader.u8() {
        match kind {
            END => break,
            NO_OPERATION => continue,
            _ => {}
        }
        // RFC 9293 section 3.1: the length counts kind and length.
        let value = reader.u8().ok().and_then(|len| len.checked_sub(2));
        let Some(Ok(value)) = value.map(|len| reader.take(usize::from(len))) else {
            break;
        };
        if let (WINDOW_SCALE, [count]) = (kind, value) {
            return WindowScale::shift(*count);
        }
    }
    WindowScale::NONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syn_tells_its_window_scale() {
        let scale = |options: &[u8], cut: usize, flags: u8| {
            let mut segment = vec![0; 20];
            segment[12] = u8::try_from(5 + options.len() / 4).unwrap() << 4;
            segment[13] = flags;
            segment.extend_from_slice(options);
            segment.truncate(segment.len() - cut);
            let read = read_transport(TCP, &segment, 20 + options.len()).unwrap();
            read.tcp.unwrap().scale
        };
        // Maximum segment size, no operation, window scale; as Linux and others order them.
        let options = [2, 4, 5, 180, 1, 3, 3, 7];
        assert_eq!(scale(&options, 0, TcpFlags::SYN), WindowScale::shift(7));
        assert_eq!(scale(&options, 0, TcpFlags::ACK), WindowScale::UNKNOWN);
        assert_eq!(scale(&options, 4, TcpFlags::SYN), WindowScale::UNKNOWN);
        for without in [&[][..], &[0, 3, 3, 7], &[2, 4, 5, 180], &[3, 0, 3, 7]] {
            assert_eq!(scale(without, 0, TcpFlags::SYN), WindowScale::NONE);
        }
        assert_eq!(
            scale(&[3, 3, 200, 0], 0, TcpFlags::SYN),
            WindowScale::shift(14)
        );
    }
}
