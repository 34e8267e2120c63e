//! Side files as tapedeck wrote them first: 64 bytes an entry.
//!
//! In: a side file that an earlier version left. Out: the same as it is written now. Never: anything
//! else that reads or writes the old form.
//!
//! ```text
//! file   = head, entries
//! entry  = ordinal u64, stream u64, previous ordinal u64, ts i64 (ns), offset u64, file u32,
//!          caplen u32, len u32, interface u32, linktype u16, IP protocol u8, flags u8, check u32
//! ```
//!
//! Integers are little-endian; `u64::MAX` stands for no stream and no previous packet.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use super::block::{Builder, transport_of};
use super::{Entry, Head, check_of};
use crate::bytes::{Reader, Short};
use crate::packet::{Direction, LinkType, MAX_SNAPLEN, Position, StreamId, StreamName};
use crate::time::Timestamp;

const MAGIC: &[u8; 8] = b"tdside01";
const ENTRY: usize = 64;
const NONE: u64 = u64::MAX;
const TO_CLIENT: u8 = 1;
const ADOPTED: u8 = 2;

/// Writes the side file at `path` anew when it is an old one; what stands behind a damaged entry is
/// left out.
pub(super) fn renew(path: &Path) -> io::Result<()> {
    let mut old = BufReader::new(File::open(path)?);
    let mut bytes = [0; ENTRY];
    if old.read_exact(&mut bytes).is_err() || !bytes.starts_with(MAGIC) || !is_sealed(&bytes) {
        return Ok(());
    }
    let Some(head) = Head::fields(&bytes) else {
        return Ok(());
    };
    let half = path.with_extension("new");
    let mut new = io::BufWriter::new(File::create(&half)?);
    new.write_all(&head.encode())?;
    let (mut builder, mut block) = (Builder::default(), Vec::new());
    while old.read_exact(&mut bytes).is_ok() {
        let Some(entry) = decode(&bytes) else { break };
        if builder.is_full() {
            builder.finish(&mut block);
            new.write_all(&block)?;
            block.clear();
        }
        builder.push(&entry);
    }
    if builder.len() > 0 {
        builder.finish(&mut block);
        new.write_all(&block)?;
    }
    new.into_inner()?.sync_all()?;
    fs::rename(half, path)
}

fn is_sealed(bytes: &[u8; ENTRY]) -> bool {
    bytes.ends_with(&check_of(bytes).to_le_bytes())
}

fn decode(bytes: &[u8; ENTRY]) -> Option<Entry> {
    let sealed = is_sealed(bytes) && !bytes.starts_with(MAGIC);
    let entry = fields(bytes).ok()?;
    (sealed && entry.caplen <= MAX_SNAPLEN).then_some(entry)
}

fn fields(bytes: &[u8; ENTRY]) -> Result<Entry, Short> {
    let mut reader = Reader::new(bytes);
    let ordinal = reader.u64_le()?;
    let (stream, previous) = (reader.u64_le()?, reader.u64_le()?);
    let ts = reader.u64_le()?.cast_signed();
    let offset = reader.u64_le()?;
    let file = reader.u32_le()?;
    let (caplen, len, interface) = (reader.u32_le()?, reader.u32_le()?, reader.u32_le()?);
    let linktype = LinkType(reader.u16_le()?);
    let (protocol, flags) = (reader.u8()?, reader.u8()?);
    let name = StreamName {
        stream: StreamId(stream),
        transport: transport_of(protocol),
    };
    let direction = match flags & TO_CLIENT {
        0 => Direction::ToServer,
        _ => Direction::ToClient,
    };
    Ok(Entry {
        ordinal,
        stream: (stream != NONE).then_some((name, direction)),
        previous: (previous != NONE).then_some(previous),
        ts: Timestamp::from_nanos(ts),
        position: Position { file, offset },
        caplen,
        len,
        interface,
        linktype,
        fragment: flags & ADOPTED != 0,
        adopts: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{SideReader, protocol_of};
    use super::*;

    fn encode(entry: &Entry) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        let (name, direction) = entry.stream.unzip();
        let stream = name.map_or(NONE, |name| name.stream.0);
        out[..8].copy_from_slice(&entry.ordinal.to_le_bytes());
        out[8..16].copy_from_slice(&stream.to_le_bytes());
        out[16..24].copy_from_slice(&entry.previous.unwrap_or(NONE).to_le_bytes());
        out[24..32].copy_from_slice(&entry.ts.nanos().to_le_bytes());
        out[32..40].copy_from_slice(&entry.position.offset.to_le_bytes());
        out[40..44].copy_from_slice(&entry.position.file.to_le_bytes());
        out[44..48].copy_from_slice(&entry.caplen.to_le_bytes());
        out[48..52].copy_from_slice(&entry.len.to_le_bytes());
        out[52..56].copy_from_slice(&entry.interface.to_le_bytes());
        out[56..58].copy_from_slice(&entry.linktype.0.to_le_bytes());
        out[58] = name.map_or(0, |name| protocol_of(name.transport));
        out[59] = u8::from(direction == Some(Direction::ToClient));
        out[59] |= u8::from(entry.fragment) << 1;
        sealed(out)
    }

    fn sealed(mut bytes: [u8; ENTRY]) -> [u8; ENTRY] {
        let check = check_of(&bytes).to_le_bytes();
        bytes[60..].copy_from_slice(&check);
        bytes
    }

    #[test]
    fn what_an_earlier_version_left_reads_on_up_to_its_torn_tail() {
        let entries: Vec<Entry> = (0..700).map(super::super::tests::entry).collect();
        let head = Head {
            run: 7,
            first: 0,
            number: 3,
        };
        let mut bytes = head.encode();
        bytes[..8].copy_from_slice(MAGIC);
        let mut file = sealed(bytes).to_vec();
        entries.iter().for_each(|entry| file.extend(encode(entry)));
        file.extend([1; 70]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.side");
        fs::write(&path, &file).unwrap();
        renew(&path).unwrap();
        let mut reader = SideReader::new(File::open(&path).unwrap());
        assert_eq!(reader.head().unwrap(), Some(head));
        let read = (0..).map_while(|index| reader.next_entry(index).unwrap());
        assert!(read.eq(entries));
        let renewed = fs::read(&path).unwrap();
        assert!(renewed.len() < file.len() / 4);
        renew(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), renewed);
    }
}
