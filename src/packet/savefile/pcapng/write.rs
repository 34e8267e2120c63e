//! Appends pcapng blocks to a buffer, least significant bytes first, times in nanoseconds.
//!
//! In: values. Out: whole blocks, so that a file may be cut between any two calls. Never: writes.
//! Format: draft-ietf-opsawg-pcapng.

use std::net::IpAddr;

use crate::packet::savefile::pcapng::{
    CUSTOM, CUSTOM_NO_COPY, ENHANCED_PACKET, INTERFACE, NAMES, OPTION_APPLICATION, OPTION_COMMENT,
    OPTION_HARDWARE, OPTION_IF_DESCRIPTION, OPTION_IF_FILTER, OPTION_IF_IPV4, OPTION_IF_IPV6,
    OPTION_IF_NAME, OPTION_IF_TSRESOL, OPTION_OS, SECRETS, SECTION, STATISTICS,
};
use crate::packet::{LinkType, MAX_SNAPLEN};
use crate::time::Timestamp;

/// What a section says of itself; empty texts are left out.
#[derive(Debug, Default, Clone, Copy)]
pub struct Section<'a> {
    /// `shb_hardware`.
    pub hardware: &'a str,
    /// `shb_os`.
    pub os: &'a str,
    /// `shb_userappl`.
    pub application: &'a str,
    /// One `opt_comment` each.
    pub comments: &'a [&'a str],
}

/// What an interface says of itself; empty texts are left out.
#[derive(Debug, Clone, Copy)]
pub struct Interface<'a> {
    /// What its packets begin with.
    pub linktype: LinkType,
    /// Bytes of a packet that were captured at most; 0 for no bound.
    pub snaplen: u32,
    /// `if_name`.
    pub name: &'a str,
    /// `if_description`.
    pub description: &'a str,
    /// `if_filter`, a BPF expression.
    pub filter: &'a str,
    /// `if_IPv4addr` and `if_IPv6addr`, one each.
    pub addresses: &'a [IpAddr],
}

impl Interface<'_> {
    /// An interface that says nothing but what its packets begin with.
    pub fn of(linktype: LinkType) -> Self {
        Interface {
            linktype,
            snaplen: 0,
            name: "",
            description: "",
            filter: "",
            addresses: &[],
        }
    }
}

/// Counts of an interface at a moment.
#[derive(Debug, Default, Clone, Copy)]
pub struct Statistics {
    /// Packets received (`isb_ifrecv`).
    pub received: u64,
    /// Packets dropped by the interface (`isb_ifdrop`).
    pub interface_dropped: u64,
    /// Packets dropped by the system (`isb_osdrop`).
    pub system_dropped: u64,
}

/// Appends a section header block.
pub fn section(out: &mut Vec<u8>, section: &Section<'_>) {
    block(out, SECTION, |out| {
        out.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        // Version 1.0, and a length that is not told.
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        for comment in section.comments {
            text(out, OPTION_COMMENT, comment);
        }
        text(out, OPTION_HARDWARE, section.hardware);
        text(out, OPTION_OS, section.os);
        text(out, OPTION_APPLICATION, section.application);
        end_of_options(out);
    });
}

/// Appends an interface description block; interfaces count from 0 within a section.
pub fn interface(out: &mut Vec<u8>, interface: &Interface<'_>) {
    block(out, INTERFACE, |out| {
        out.extend_from_slice(&interface.linktype.0.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&interface.snaplen.to_le_bytes());
        text(out, OPTION_IF_NAME, interface.name);
        text(out, OPTION_IF_DESCRIPTION, interface.description);
        for address in interface.addresses {
            // The network that an address is in is not told: its own bits are all that counts.
            match address {
                IpAddr::V4(ip) => {
                    let value = [ip.octets(), [255; 4]].concat();
                    option(out, OPTION_IF_IPV4, &value);
                }
                IpAddr::V6(ip) => {
                    let mut value = ip.octets().to_vec();
                    value.push(128);
                    option(out, OPTION_IF_IPV6, &value);
                }
            }
        }
        option(out, OPTION_IF_TSRESOL, &[9]);
        if !interface.filter.is_empty() {
            // The first byte says that an expression follows, not code.
            let mut value = vec![0];
            value.extend_from_slice(interface.filter.as_bytes());
            option(out, OPTION_IF_FILTER, &value);
        }
        end_of_options(out);
    });
}

/// Appends a packet as an enhanced packet block; `len` are its bytes on the wire.
pub fn packet(out: &mut Vec<u8>, interface: u32, ts: Timestamp, len: u32, bytes: &[u8]) {
    let bytes = bytes.get(..MAX_SNAPLEN as usize).unwrap_or(bytes);
    let caplen = u32::try_from(bytes.len()).unwrap_or(MAX_SNAPLEN);
    block(out, ENHANCED_PACKET, |out| {
        out.extend_from_slice(&interface.to_le_bytes());
        time(out, ts);
        out.extend_from_slice(&caplen.to_le_bytes());
        out.extend_from_slice(&len.max(caplen).to_le_bytes());
        out.extend_from_slice(bytes);
        pad(out, bytes.len());
    });
}

/// Appends a name resolution block.
pub fn names<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = (IpAddr, &'a str)>) {
    block(out, NAMES, |out| {
        for (address, name) in names {
            // A name ends with a zero byte, so none can hold one.
            let mut value = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            value.extend(name.bytes().filter(|byte| *byte != 0));
            value.push(0);
            option(out, if address.is_ipv4() { 1 } else { 2 }, &value);
        }
        end_of_options(out);
    });
}

/// Appends an interface statistics block.
pub fn statistics(out: &mut Vec<u8>, interface: u32, ts: Timestamp, counts: &Statistics) {
    block(out, STATISTICS, |out| {
        out.extend_from_slice(&interface.to_le_bytes());
        time(out, ts);
        option(out, 4, &counts.received.to_le_bytes());
        option(out, 5, &counts.interface_dropped.to_le_bytes());
        option(out, 7, &counts.system_dropped.to_le_bytes());
        end_of_options(out);
    });
}

/// Appends a decryption secrets block (`TLSK` for a key log).
pub fn secrets(out: &mut Vec<u8>, kind: u32, secrets: &[u8]) {
    block(out, SECRETS, |out| {
        out.extend_from_slice(&kind.to_le_bytes());
        let len = u32::try_from(secrets.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(secrets);
        pad(out, secrets.len());
    });
}

/// Appends a custom block of an enterprise; `copyable` ones survive when other tools rewrite a file.
///
/// The reader sees the data with up to three zero bytes behind it.
pub fn custom(out: &mut Vec<u8>, enterprise: u32, copy: Copying, data: &[u8]) {
    let kind = match copy {
        Copying::Allowed => CUSTOM,
        Copying::Refused => CUSTOM_NO_COPY,
    };
    block(out, kind, |out| {
        out.extend_from_slice(&enterprise.to_le_bytes());
        out.extend_from_slice(data);
        pad(out, data.len());
    });
}

/// Whether a custom block still makes sense in another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copying {
    /// It does.
    Allowed,
    /// It does not.
    Refused,
}

fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let total = u32::try_from(out.len() - start + 4)
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    out.extend_from_slice(&total);
    if let Some(length) = out.get_mut(start + 4..start + 8) {
        length.copy_from_slice(&total);
    }
}

fn time(out: &mut Vec<u8>, ts: Timestamp) {
    let nanos = ts.nanos().max(0).cast_unsigned();
    let [low, high] = [nanos & 0xffff_ffff, nanos >> 32];
    out.extend_from_slice(&high.to_le_bytes()[..4]);
    out.extend_from_slice(&low.to_le_bytes()[..4]);
}

fn text(out: &mut Vec<u8>, code: u16, value: &str) {
    if !value.is_empty() {
        let fits = value.floor_char_boundary(usize::from(u16::MAX));
        option(out, code, value.as_bytes().get(..fits).unwrap_or_default());
    }
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

fn end_of_options(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
}

fn pad(out: &mut Vec<u8>, len: usize) {
    out.resize(out.len() + len.next_multiple_of(4) - len, 0);
}
