//! Chosen streams as one classic savefile, the form in which scripts and downloads get them.
//!
//! In: stream names. Out: a libpcap savefile with microseconds, ordered by time. Never: packets of
//! other streams, duplicates. Streams of one link type keep it; of several, all become Ethernet.

use std::borrow::Cow;
use std::io::Write;

use super::SpoolError;
use super::reader::{Listed, Packets, Reader, Streams};
use crate::packet::savefile::pcap::{self, Precision};
use crate::packet::{LinkType, MAX_SNAPLEN, StreamName};
use crate::time::Timestamp;

/// Packets that are ordered by time together (some 100 MiB of entries); captured order is time
/// order but for moments, so larger exports come out in order too.
const MAX_SORTED: usize = 1 << 20;

/// Bytes handed to the writer at a time.
const WRITE_BYTES: usize = 256 * 1024;

impl Reader {
    /// Writes the packets of `streams` as one classic savefile; answers how many.
    ///
    /// Shape: microseconds, snaplen 262144, ordered by time; a stream named twice counts once, and
    /// an unknown one has no packets.
    ///
    /// # Errors
    /// When the spool cannot be read, or `out` does not take the bytes.
    pub fn write_pcap(
        &self,
        streams: &[StreamName],
        out: &mut dyn Write,
    ) -> Result<u64, SpoolError> {
        let ids: Streams = streams.iter().map(|name| name.stream).collect();
        write(self.streams(ids)?, out)
    }

    /// Writes all packets captured from `from` up to, not including, `to` in the same way.
    ///
    /// # Errors
    /// As [`Reader::write_pcap`].
    pub fn write_window(
        &self,
        from: Timestamp,
        to: Timestamp,
        out: &mut dyn Write,
    ) -> Result<u64, SpoolError> {
        write(self.window(from, to), out)
    }
}

fn write(mut packets: Packets, out: &mut dyn Write) -> Result<u64, SpoolError> {
    let mut group = next_group(&mut packets)?;
    let linktype = common_linktype(&group);
    let mut buffer = Vec::with_capacity(WRITE_BYTES);
    pcap::write_header(&mut buffer, linktype, MAX_SNAPLEN, Precision::Micros);
    let mut written = 0;
    let mut bytes = Vec::new();
    while !group.is_empty() {
        for listed in &group {
            let entry = &listed.entry;
            if !packets.read(listed, &mut bytes)? {
                continue;
            }
            let Some(framed) = framed_as(linktype, entry.linktype, &bytes) else {
                continue;
            };
            let grown = framed.len().saturating_sub(bytes.len());
            let shrunk = bytes.len().saturating_sub(framed.len());
            let len = entry
                .len
                .saturating_add(u32::try_from(grown).unwrap_or(0))
                .saturating_sub(u32::try_from(shrunk).unwrap_or(0));
            pcap::write_packet(&mut buffer, Precision::Micros, entry.ts, len, &framed);
            written += 1;
            if buffer.len() >= WRITE_BYTES {
                out.write_all(&buffer).map_err(SpoolError::Out)?;
                buffer.clear();
            }
        }
        group = next_group(&mut packets)?;
    }
    out.write_all(&buffer).map_err(SpoolError::Out)?;
    Ok(written)
}

/// The next packets in order of time.
fn next_group(packets: &mut Packets) -> Result<Vec<Listed>, SpoolError> {
    let mut group = Vec::new();
    while group.len() < MAX_SORTED {
        match packets.next_entry()? {
            Some(listed) => group.push(listed),
            None => break,
        }
    }
    group.sort_by_key(|listed| (listed.entry.ts, listed.entry.ordinal));
    group.dedup_by_key(|listed| listed.entry.ordinal);
    Ok(group)
}

fn common_linktype(group: &[Listed]) -> LinkType {
    let mut kinds = group.iter().map(|listed| listed.entry.linktype);
    match kinds.next() {
        Some(first) if kinds.all(|kind| kind == first) => first,
        _ => LinkType::ETHERNET,
    }
}

/// The packet with the framing of `target`; `None` when it cannot have that.
fn framed_as(target: LinkType, linktype: LinkType, bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    if linktype == target {
        return Some(Cow::Borrowed(bytes));
    }
    if target != LinkType::ETHERNET {
        return None;
    }
    let no_address = [0; 6];
    let (source, ethertype, rest) = match linktype {
        LinkType::LINUX_SLL => (bytes.get(6..12)?, bytes.get(14..16)?, bytes.get(16..)?),
        LinkType::LINUX_SLL2 => (bytes.get(12..18)?, bytes.get(..2)?, bytes.get(20..)?),
        LinkType::NULL | LinkType::LOOP => {
            let rest = bytes.get(4..)?;
            (no_address.as_slice(), ethertype_of(rest)?, rest)
        }
        LinkType::RAW | LinkType::RAW_BSD | LinkType::IPV4 | LinkType::IPV6 => {
            (no_address.as_slice(), ethertype_of(bytes)?, bytes)
        }
        _ => return None,
    };
    let mut framed = Vec::with_capacity(rest.len() + 14);
    framed.extend_from_slice(&no_address);
    framed.extend_from_slice(source);
    framed.extend_from_slice(ethertype);
    framed.extend_from_slice(rest);
    Some(Cow::Owned(framed))
}

/// The Ethernet type of an IP packet, by its version.
fn ethertype_of(packet: &[u8]) -> Option<&'static [u8]> {
    match packet.first()? >> 4 {
        4 => Some(&[0x08, 0x00]),
        6 => Some(&[0x86, 0xdd]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cooked_packets_become_ethernet() {
        let mut cooked = vec![0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x08, 0x00];
        cooked.extend_from_slice(b"E...");
        let framed = framed_as(LinkType::ETHERNET, LinkType::LINUX_SLL, &cooked).unwrap();
        assert_eq!(
            framed.as_ref(),
            b"\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x08\0E..."
        );
        assert_eq!(
            framed_as(LinkType::ETHERNET, LinkType::RAW, b"\x60").unwrap()[12..14],
            [0x86, 0xdd]
        );
        assert!(framed_as(LinkType::ETHERNET, LinkType::LINUX_SLL2, b"short").is_none());
    }
}
