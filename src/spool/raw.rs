//! All packets of a time as they were captured: pcapng with every link type, in the order of capture.
//!
//! In: two moments. Out: a savefile with an interface for each link type and interface of the source.
//! Never: a packet that is framed anew, or left out because others are of another kind.

use std::io::Write;

use super::{APPLICATION, Entry, Interfaces, Reader, SpoolError};
use crate::packet::MAX_SNAPLEN;
use crate::packet::savefile::pcapng::write;
use crate::time::Timestamp;

/// Bytes handed to the writer at a time.
const WRITE_BYTES: usize = 256 * 1024;

impl Reader {
    /// Writes all packets captured from `from` up to, not including, `to`, as interfaces called
    /// `name`; `each` sees what is written. Answers how many packets that are. How many were overwritten
    /// before they were read stands at the end, as packets that the system dropped.
    ///
    /// # Errors
    /// When the spool cannot be read, or `out` does not take the bytes.
    pub fn write_raw(
        &self,
        from: Timestamp,
        to: Timestamp,
        name: &str,
        out: &mut dyn Write,
        each: &mut dyn FnMut(&Entry),
    ) -> Result<u64, SpoolError> {
        let mut packets = self.window(from, to);
        let mut interfaces = Interfaces::default();
        let mut buffer = Vec::with_capacity(WRITE_BYTES);
        let section = write::Section {
            application: APPLICATION,
            ..write::Section::default()
        };
        write::section(&mut buffer, &section);
        let (mut written, mut last) = (0, None);
        for packet in packets.by_ref() {
            let packet = packet?;
            let entry = &packet.entry;
            let (id, is_new) = interfaces.id(entry.linktype, entry.interface);
            if is_new {
                let interface = write::Interface {
                    snaplen: MAX_SNAPLEN,
                    name,
                    ..write::Interface::of(entry.linktype)
                };
                write::interface(&mut buffer, &interface);
            }
            write::packet(&mut buffer, id, entry.ts, entry.len, &packet.bytes);
            each(entry);
            written += 1;
            last = Some(entry.ts);
            if buffer.len() >= WRITE_BYTES {
                out.write_all(&buffer).map_err(SpoolError::Out)?;
                buffer.clear();
            }
        }
        if let (Some(last), missing @ 1..) = (last, packets.missing()) {
            let counts = write::Statistics {
                received: written + missing,
                system_dropped: missing,
                ..write::Statistics::default()
            };
            write::statistics(&mut buffer, 0, last, &counts);
        }
        out.write_all(&buffer).map_err(SpoolError::Out)?;
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::super::feed::{Feed, time_of};
    use super::super::{Options, Writer};
    use crate::packet::savefile::{Entry as Record, Records};

    #[test]
    fn a_window_is_written_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, reader) = Writer::open(Options::new(folder.path(), 7)).unwrap();
        let mut feed = Feed::default();
        let mut batch = feed.batch("ab-a.b", 90);
        writer.append(&mut batch).unwrap();
        let mut bytes = Vec::new();
        let mut seen = Vec::new();
        let (from, to) = (time_of(1), time_of(5));
        let written = reader
            .write_raw(from, to, "node-a", &mut bytes, &mut |entry| {
                seen.push(entry.ordinal);
            })
            .unwrap();
        assert_eq!(written, 4);
        assert_eq!(seen, [1, 2, 3, 4]);
        let mut records = Records::new(bytes.as_slice());
        let mut read = Vec::new();
        while let Some(record) = records.advance().unwrap() {
            if let Record::Packet { head, bytes, .. } = record {
                read.push((head.ts, u64::from(bytes[0])));
            }
        }
        let expected: Vec<_> = (1..5).map(|n| (time_of(n), n)).collect();
        assert_eq!(read, expected);
        assert_eq!(records.parser().interface_name(0), Some("node-a"));
    }
}
