//! The packet that an ICMP error quotes: its five-tuple.
//!
//! In: the bytes behind the error's header, at least an IP header and eight octets of what follows
//! (RFC 792; RFC 4443 quotes as much as fits). Out: [`Quoted`]; `None` when no IP header stands there.
//! Never: what lies behind the ports.

use std::net::IpAddr;

use crate::bytes::Reader;

/// IPv6 extension headers that are passed over.
const MAX_EXTENSIONS: usize = 8;

/// The packet that caused an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quoted {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) protocol: u8,
    /// Source and destination, when the transport has them and they were quoted.
    pub(super) ports: Option<(u16, u16)>,
    /// Bytes of the whole packet, as its header says.
    pub(super) length: usize,
}

impl Quoted {
    pub(super) fn read(bytes: &[u8]) -> Option<Quoted> {
        match bytes.first()? >> 4 {
            4 => read_v4(bytes),
            6 => read_v6(bytes),
            _ => None,
        }
    }

    /// Name of the transport, as lists show it.
    pub(super) fn protocol_name(&self) -> Option<&'static str> {
        Some(match self.protocol {
            1 => "icmp",
            2 => "igmp",
            4 | 41 => "ip",
            6 => "tcp",
            17 => "udp",
            47 => "gre",
            50 => "esp",
            58 => "icmpv6",
            132 => "sctp",
            _ => return None,
        })
    }
}

fn read_v4(bytes: &[u8]) -> Option<Quoted> {
    let mut reader = Reader::new(bytes);
    let header_len = usize::from(reader.u8().ok()? & 0x0f) * 4;
    reader.skip(1).ok()?;
    let length = usize::from(reader.u16().ok()?);
    reader.skip(2).ok()?;
    let fragment_offset = reader.u16().ok()? & 0x1fff;
    reader.skip(1).ok()?;
    let protocol = reader.u8().ok()?;
    reader.skip(2).ok()?;
    let src = reader.u32().ok()?;
    let dst = reader.u32().ok()?;
    let upper = (fragment_offset == 0)
        .then(|| bytes.get(header_len..))
        .flatten();
    Some(Quoted {
        src: std::net::Ipv4Addr::from(src).into(),
        dst: std::net::Ipv4Addr::from(dst).into(),
        protocol,
        ports: upper.and_then(|upper| ports(protocol, upper)),
        length,
    })
}

fn read_v6(bytes: &[u8]) -> Option<Quoted> {
    let mut reader = Reader::new(bytes);
    reader.skip(4).ok()?;
    let length = 40 + usize::from(reader.u16().ok()?);
    let mut protocol = reader.u8().ok()?;
    reader.skip(1).ok()?;
    let address = |bytes: &[u8]| {
        let octets = bytes.first_chunk::<16>()?;
        Some(IpAddr::from(*octets))
    };
    let src = address(reader.take(16).ok()?)?;
    let dst = address(reader.take(16).ok()?)?;
    let mut first = true;
    for _ in 0..MAX_EXTENSIONS {
        let len = match protocol {
            0 | 43 | 60 => {
                let mut peek = reader;
                let next = peek.u8().ok();
                next.zip(peek.u8().ok())
                    .map(|(next, units)| (next, (usize::from(units) + 1) * 8))
            }
            44 => {
                let mut peek = reader;
                let next = peek.u8().ok();
                let offset = peek.skip(1).ok().and_then(|()| peek.u16().ok());
                first &= offset.is_some_and(|field| field & 0xfff8 == 0);
                next.map(|next| (next, 8))
            }
            _ => break,
        };
        let Some((next, len)) = len else { break };
        protocol = next;
        if reader.skip(len).is_err() {
            first = false;
            break;
        }
    }
    Some(Quoted {
        src,
        dst,
        protocol,
        ports: first.then(|| ports(protocol, reader.rest())).flatten(),
        length,
    })
}

fn ports(protocol: u8, upper: &[u8]) -> Option<(u16, u16)> {
    if !matches!(protocol, 6 | 17 | 132) {
        return None;
    }
    let mut reader = Reader::new(upper);
    Some((reader.u16().ok()?, reader.u16().ok()?))
}
