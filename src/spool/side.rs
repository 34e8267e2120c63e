//! The side file: for each packet where it lies, its stream, and that stream's packet before it.
//!
//! In: packets as they are appended. Out: entries, by index or in order. Never: packet bytes.
//! Entries have a fixed size and a checksum, so that a torn tail is found without guessing and no
//! bytes of a damaged file are believed.
//!
//! ```text
//! file   = head, entries
//! head   = "tdside01", run u64, first ordinal u64, number u32, zeros to 60, check u32
//! entry  = ordinal u64, stream u64, previous ordinal u64, ts i64 (ns), offset u64, file u32,
//!          caplen u32, len u32, interface u32, linktype u16, IP protocol u8, flags u8, check u32
//! ```
//!
//! Integers are little-endian; `u64::MAX` stands for no stream and no previous packet.

use std::fs::File;
use std::io;

use crate::packet::{Direction, LinkType, MAX_SNAPLEN, Position, StreamId, StreamName, Transport};
use crate::time::Timestamp;

/// Bytes of the head and of each entry.
pub const ENTRY_SIZE: usize = 64;

const MAGIC: &[u8; 8] = b"tdside01";
const NONE: u64 = u64::MAX;
const TO_CLIENT: u8 = 1;
const ADOPTED: u8 = 2;

/// Entries read at once when a chain is followed: one page.
const CHAIN_READ: usize = 64;

/// Entries read at once when a whole file is looked through.
const SCAN_READ: usize = 4096;

/// What a side file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The run.
    pub run: u64,
    /// Ordinal of the first packet.
    pub first: u64,
    /// Number of the segment within the run.
    pub number: u32,
}

impl Head {
    /// The head as it stands in the file.
    pub fn encode(&self) -> [u8; ENTRY_SIZE] {
        let mut out = [0; ENTRY_SIZE];
        out[..8].copy_from_slice(MAGIC);
        out[8..16].copy_from_slice(&self.run.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.to_le_bytes());
        out[24..28].copy_from_slice(&self.number.to_le_bytes());
        seal(&mut out);
        out
    }

    /// Reads a head; `None` when the bytes are none.
    pub fn decode(bytes: &[u8; ENTRY_SIZE]) -> Option<Head> {
        (is_sealed(bytes) && bytes.starts_with(MAGIC)).then(|| Head {
            run: u64_at(bytes, 8),
            first: u64_at(bytes, 16),
            number: u32_at(bytes, 24),
        })
    }
}

/// One packet of a side file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Ordinal of the packet in its run.
    pub ordinal: u64,
    /// Stream and direction; `None` for packets of no flow.
    pub stream: Option<(StreamName, Direction)>,
    /// Ordinal of the stream's packet before this one.
    pub previous: Option<u64>,
    /// When it was captured.
    pub ts: Timestamp,
    /// Where its record lies.
    pub position: Position,
    /// Bytes captured.
    pub caplen: u32,
    /// Bytes on the wire.
    pub len: u32,
    /// Interface number within the source.
    pub interface: u32,
    /// What the bytes begin with.
    pub linktype: LinkType,
    /// Whether it is a fragment that was given its stream later.
    pub adopted: bool,
}

impl Entry {
    /// The entry as it stands in the file.
    pub fn encode(&self) -> [u8; ENTRY_SIZE] {
        let mut out = [0; ENTRY_SIZE];
        let (stream, protocol, direction) = match self.stream {
            Some((name, direction)) => (name.stream.0, protocol_of(name.transport), direction),
            None => (NONE, 0, Direction::ToServer),
        };
        let mut flags = 0;
        if direction == Direction::ToClient {
            flags |= TO_CLIENT;
        }
        if self.adopted {
            flags |= ADOPTED;
        }
        out[..8].copy_from_slice(&self.ordinal.to_le_bytes());
        out[8..16].copy_from_slice(&stream.to_le_bytes());
        out[16..24].copy_from_slice(&self.previous.unwrap_or(NONE).to_le_bytes());
        out[24..32].copy_from_slice(&self.ts.nanos().to_le_bytes());
        out[32..40].copy_from_slice(&self.position.offset.to_le_bytes());
        out[40..44].copy_from_slice(&self.position.file.to_le_bytes());
        out[44..48].copy_from_slice(&self.caplen.to_le_bytes());
        out[48..52].copy_from_slice(&self.len.to_le_bytes());
        out[52..56].copy_from_slice(&self.interface.to_le_bytes());
        out[56..58].copy_from_slice(&self.linktype.0.to_le_bytes());
        out[58] = protocol;
        out[59] = flags;
        seal(&mut out);
        out
    }

    /// Reads an entry; `None` when the bytes are none.
    pub fn decode(bytes: &[u8; ENTRY_SIZE]) -> Option<Entry> {
        if !is_sealed(bytes) || bytes.starts_with(MAGIC) {
            return None;
        }
        let stream = u64_at(bytes, 8);
        let previous = u64_at(bytes, 16);
        let [.., protocol, flags, _, _, _, _] = *bytes;
        let direction = if flags & TO_CLIENT == 0 {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        let name = StreamName {
            stream: StreamId(stream),
            transport: transport_of(protocol),
        };
        let entry = Entry {
            ordinal: u64_at(bytes, 0),
            stream: (stream != NONE).then_some((name, direction)),
            previous: (previous != NONE).then_some(previous),
            ts: Timestamp::from_nanos(u64_at(bytes, 24).cast_signed()),
            position: Position {
                offset: u64_at(bytes, 32),
                file: u32_at(bytes, 40),
            },
            caplen: u32_at(bytes, 44),
            len: u32_at(bytes, 48),
            interface: u32_at(bytes, 52),
            linktype: LinkType((u32_at(bytes, 56) & 0xffff) as u16),
            adopted: flags & ADOPTED != 0,
        };
        (entry.caplen <= MAX_SNAPLEN).then_some(entry)
    }

    /// Number of the stream it belongs to.
    pub fn stream_id(&self) -> Option<StreamId> {
        self.stream.map(|(name, _)| name.stream)
    }
}

/// Reads entries of one side file, some at a time.
#[derive(Debug)]
pub struct SideReader {
    file: File,
    cached: Vec<u8>,
    cached_at: u64,
}

impl SideReader {
    /// A reader of `file`.
    pub fn new(file: File) -> SideReader {
        SideReader {
            file,
            cached: Vec::new(),
            cached_at: u64::MAX,
        }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The head; `None` when there is none.
    pub fn head(&self) -> io::Result<Option<Head>> {
        let mut bytes = [0; ENTRY_SIZE];
        let got = read_at(&self.file, &mut bytes, 0)?;
        Ok((got == ENTRY_SIZE).then(|| Head::decode(&bytes)).flatten())
    }

    /// Entry `index`, with those before it kept at hand since chains lead backwards; `None` past
    /// the end and where the bytes are damaged.
    pub fn entry(&mut self, index: u64) -> io::Result<Option<Entry>> {
        self.load(
            index,
            (index + 1).saturating_sub(CHAIN_READ as u64),
            CHAIN_READ,
        )
    }

    /// Entry `index`, with those after it kept at hand for reading on.
    pub fn next_entry(&mut self, index: u64) -> io::Result<Option<Entry>> {
        self.load(index, index, SCAN_READ)
    }

    fn load(&mut self, index: u64, from: u64, count: usize) -> io::Result<Option<Entry>> {
        if let Some(entry) = self.cached_entry(index) {
            return Ok(entry);
        }
        self.cached.resize(count * ENTRY_SIZE, 0);
        let at = from.saturating_add(1).saturating_mul(ENTRY_SIZE as u64);
        let got = read_at(&self.file, &mut self.cached, at)?;
        self.cached.truncate(got - got % ENTRY_SIZE);
        self.cached_at = from;
        Ok(self.cached_entry(index).flatten())
    }

    fn cached_entry(&self, index: u64) -> Option<Option<Entry>> {
        let within = usize::try_from(index.checked_sub(self.cached_at)?).ok()?;
        let (entries, _) = self.cached.as_chunks::<ENTRY_SIZE>();
        entries.get(within).map(Entry::decode)
    }
}

/// Writes `entry` over entry `index` of `file`.
pub fn rewrite(file: &File, index: u64, entry: &Entry) -> io::Result<()> {
    let at = index.saturating_add(1).saturating_mul(ENTRY_SIZE as u64);
    write_at(file, &entry.encode(), at)
}

/// Reads up to `into.len()` bytes from `at` on; fewer only at the end of the file.
pub fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        let Some(rest) = into.get_mut(done..) else {
            break;
        };
        #[cfg(unix)]
        let got = std::os::unix::fs::FileExt::read_at(file, rest, at + done as u64);
        #[cfg(windows)]
        let got = std::os::windows::fs::FileExt::seek_read(file, rest, at + done as u64);
        match got {
            Ok(0) => break,
            Ok(got) => done += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, at);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_write(file, bytes, at).map(|_| ());
}

fn protocol_of(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Other(number) => number,
    }
}

fn transport_of(protocol: u8) -> Transport {
    match protocol {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        number => Transport::Other(number),
    }
}

fn u64_at(bytes: &[u8; ENTRY_SIZE], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

fn u32_at(bytes: &[u8; ENTRY_SIZE], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

/// A checksum against torn writes and stray bytes, not against forgers: multiply and fold.
fn check_of(bytes: &[u8; ENTRY_SIZE]) -> u32 {
    let mut sum = 0x7461_7065_6465_636b_u64;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let mut word = u64::from_le_bytes(*word);
        if index == ENTRY_SIZE / 8 - 1 {
            // The upper half of the last word is the checksum itself.
            word &= 0xffff_ffff;
        }
        sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^= sum >> 29;
    }
    (sum >> 32) as u32
}

fn seal(bytes: &mut [u8; ENTRY_SIZE]) {
    let check = check_of(bytes).to_le_bytes();
    bytes[60..].copy_from_slice(&check);
}

fn is_sealed(bytes: &[u8; ENTRY_SIZE]) -> bool {
    u32_at(bytes, 60) == check_of(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> Entry {
        Entry {
            ordinal: 77,
            stream: Some((
                StreamName {
                    stream: StreamId(70),
                    transport: Transport::Udp,
                },
                Direction::ToClient,
            )),
            previous: Some(75),
            ts: Timestamp::from_secs(9, 8),
            position: Position {
                file: 3,
                offset: 4096,
            },
            caplen: 60,
            len: 1500,
            interface: 2,
            linktype: LinkType::LINUX_SLL2,
            adopted: true,
        }
    }

    #[test]
    fn an_entry_reads_back() {
        assert_eq!(Entry::decode(&entry().encode()), Some(entry()));
        let bare = Entry {
            stream: None,
            previous: None,
            ..entry()
        };
        assert_eq!(Entry::decode(&bare.encode()), Some(bare));
    }

    #[test]
    fn a_head_is_no_entry_and_zeros_are_neither() {
        let head = Head {
            run: 1,
            first: 2,
            number: 3,
        };
        assert_eq!(Head::decode(&head.encode()), Some(head));
        assert_eq!(Entry::decode(&head.encode()), None);
        assert_eq!(Entry::decode(&[0; ENTRY_SIZE]), None);
        assert_eq!(Head::decode(&[0; ENTRY_SIZE]), None);
    }

    proptest! {
        #[test]
        fn one_changed_byte_is_noticed(at in 0usize..ENTRY_SIZE, by in 1u8..) {
            let mut bytes = entry().encode();
            bytes[at] ^= by;
            prop_assert_eq!(Entry::decode(&bytes), None);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), ENTRY_SIZE)) {
            let mut bytes: [u8; ENTRY_SIZE] = bytes.try_into().unwrap();
            let _ = Entry::decode(&bytes);
            seal(&mut bytes);
            let _ = Entry::decode(&bytes);
            let _ = Head::decode(&bytes);
        }
    }
}
