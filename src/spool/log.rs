//! An append-only pair of files: a savefile, and its side file.
//!
//! In: packets. Out: both files, whole up to the last commit whatever happens to the process.
//! Never: two writers. The savefile opens in Wireshark at any time. Spool segments, pin files and
//! the open files of recordings are all such pairs.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ahash::RandomState;

use super::side::{ENTRY_SIZE, Entry, Head, SideReader};
use crate::packet::savefile::pcapng::{self, write};
use crate::packet::{LinkType, MAX_SNAPLEN, Position};
use crate::time::Timestamp;

/// Bytes of an enhanced packet block in front of the packet.
const PACKET_HEAD: u64 = 28;

/// Size of the enhanced packet block around `caplen` bytes: head, bytes to a multiple of four, and
/// the length once more.
fn packet_size(caplen: u32) -> u64 {
    PACKET_HEAD + u64::from(caplen).next_multiple_of(4) + 4
}

/// What a pair of files is called: the same path with two endings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair(PathBuf);

impl Pair {
    /// The pair `stem` in `folder`.
    pub fn new(folder: &Path, stem: &str) -> Pair {
        Pair(folder.join(stem))
    }

    fn with(&self, ending: &str) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    }

    /// The savefile.
    pub fn data(&self) -> PathBuf {
        self.with(".pcapng")
    }

    /// The side file.
    pub fn side(&self) -> PathBuf {
        self.with(".side")
    }

    /// The list of streams that ended while the pair was written to.
    pub fn ends(&self) -> PathBuf {
        self.with(".ends")
    }

    /// Opens the side file for reading.
    pub fn read_side(&self) -> io::Result<SideReader> {
        File::open(self.side()).map(SideReader::new)
    }

    /// Bytes of its files together.
    pub fn bytes(&self) -> u64 {
        [self.data(), self.side(), self.ends()]
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|about| about.len())
            .sum()
    }

    /// Deletes what there is of the pair.
    pub fn remove(&self) -> io::Result<()> {
        for path in [self.data(), self.side(), self.ends()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A pair that is being written.
#[derive(Debug)]
pub struct Log {
    pair: Pair,
    data: Option<Growing>,
    side: Growing,
    interfaces: Interfaces,
    committed_interfaces: usize,
    entries: u64,
}

/// What segments and reels say they were written by.
pub const APPLICATION: &str = concat!("tapedeck ", env!("CARGO_PKG_VERSION"));

/// Appends the description of an interface.
pub fn describe(out: &mut Vec<u8>, linktype: LinkType, name: &str, description: &str) {
    write::interface(
        out,
        &write::Interface {
            linktype,
            snaplen: MAX_SNAPLEN,
            name,
            description,
            filter: "",
        },
    );
}

/// Numbers that a pcapng file gives to the interfaces of its packets.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Interfaces {
    list: Vec<(LinkType, u32)>,
    ids: HashMap<(LinkType, u32), u32, RandomState>,
}

impl Interfaces {
    /// Number of an interface of the source, and whether it is new and must be described.
    ///
    /// A file with more interfaces than readers accept shares the numbers of earlier ones.
    pub fn id(&mut self, linktype: LinkType, interface: u32) -> (u32, bool) {
        let key = (linktype, interface);
        if let Some(id) = self.ids.get(&key) {
            return (*id, false);
        }
        if self.list.len() >= pcapng::MAX_INTERFACES {
            let same = self.list.iter().position(|known| known.0 == linktype);
            return (u32::try_from(same.unwrap_or(0)).unwrap_or(0), false);
        }
        let id = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(key);
        self.ids.insert(key, id);
        (id, true)
    }

    /// Link type and source's number of each, in order.
    pub fn list(&self) -> &[(LinkType, u32)] {
        &self.list
    }

    fn truncate(&mut self, len: usize) {
        for key in self.list.drain(len.min(self.list.len())..) {
            self.ids.remove(&key);
        }
    }
}

/// A file that grows by whole commits.
#[derive(Debug)]
struct Growing {
    file: File,
    committed: u64,
    buffer: Vec<u8>,
}

impl Growing {
    fn create(path: &Path) -> io::Result<Growing> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(true)
            .open(path)?;
        Ok(Growing {
            file,
            committed: 0,
            buffer: Vec::new(),
        })
    }

    /// Where the next byte goes.
    fn end(&self) -> u64 {
        self.committed + self.buffer.len() as u64
    }

    fn commit(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.buffer);
        if written.is_ok() {
            self.committed += self.buffer.len() as u64;
            self.buffer.clear();
        }
        written
    }

    /// Back to the last commit.
    fn roll_back(&mut self, to: u64) {
        self.buffer.clear();
        self.committed = to;
        // When even this fails, the reader's check of the tail cuts what is too much.
        let _ = self.file.set_len(to);
        let _ = io::Seek::seek(&mut self.file, io::SeekFrom::Start(to));
    }
}

impl Log {
    /// Starts a new pair; what stood under its names is gone.
    ///
    /// # Errors
    /// What the system says, a full disk among it; then nothing is left behind.
    pub fn create(pair: Pair, head: Head, comment: &str) -> io::Result<Log> {
        let data = Growing::create(&pair.data())?;
        Log::start(pair, Some(data), head, comment)
    }

    /// Starts a side file alone; the packets stay where they are.
    ///
    /// # Errors
    /// As for [`Log::create`].
    pub fn create_index(pair: Pair, head: Head) -> io::Result<Log> {
        Log::start(pair, None, head, "")
    }

    fn start(pair: Pair, mut data: Option<Growing>, head: Head, comment: &str) -> io::Result<Log> {
        let mut side = Growing::create(&pair.side())?;
        side.buffer.extend_from_slice(&head.encode());
        if let Some(data) = &mut data {
            let comments: &[&str] = if comment.is_empty() { &[] } else { &[comment] };
            write::section(
                &mut data.buffer,
                &write::Section {
                    hardware: "",
                    os: "",
                    application: APPLICATION,
                    comments,
                },
            );
        }
        let mut log = Log {
            pair,
            data,
            side,
            interfaces: Interfaces::default(),
            committed_interfaces: 0,
            entries: 0,
        };
        if let Err(error) = log.commit() {
            let _ = log.pair.remove();
            return Err(error);
        }
        Ok(log)
    }

    /// Adds a packet; it is in the files after the next [`Log::commit`].
    ///
    /// `entry.position.offset` becomes the packet's place in this savefile, unless the pair is a
    /// side file alone. Answers the entry as written.
    pub fn push(&mut self, mut entry: Entry, bytes: &[u8]) -> Entry {
        if let Some(data) = &mut self.data {
            let bytes = bytes.get(..MAX_SNAPLEN as usize).unwrap_or(bytes);
            entry.caplen = u32::try_from(bytes.len()).unwrap_or(MAX_SNAPLEN);
            entry.len = entry.len.max(entry.caplen);
            let (id, is_new) = self.interfaces.id(entry.linktype, entry.interface);
            if is_new {
                describe(&mut data.buffer, entry.linktype, "", "");
            }
            entry.position.offset = data.end();
            write::packet(&mut data.buffer, id, entry.ts, entry.len, bytes);
        }
        self.side.buffer.extend_from_slice(&entry.encode());
        self.entries += 1;
        entry
    }

    /// Hands everything pushed so far to the system: one write a file.
    ///
    /// # Errors
    /// What the system says; the pair is then as it was after the commit before.
    pub fn commit(&mut self) -> io::Result<()> {
        let data_before = self.data.as_ref().map_or(0, |data| data.committed);
        let side_before = self.side.committed;
        let mut done = match &mut self.data {
            Some(data) => data.commit(),
            None => Ok(()),
        };
        if done.is_ok() {
            done = self.side.commit();
        }
        match done {
            Ok(()) => self.committed_interfaces = self.interfaces.list.len(),
            Err(_) => {
                if let Some(data) = &mut self.data {
                    data.roll_back(data_before);
                }
                self.side.roll_back(side_before);
                self.interfaces.truncate(self.committed_interfaces);
                self.entries = (side_before / ENTRY_SIZE as u64).saturating_sub(1);
            }
        }
        done
    }

    /// Bytes of both files, uncommitted ones included.
    pub fn bytes(&self) -> u64 {
        self.data.as_ref().map_or(0, Growing::end) + self.side.end()
    }

    /// Packets, uncommitted ones included.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// What it is called.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Goes on with a pair that was recovered.
    ///
    /// # Errors
    /// What the system says.
    pub fn reopen(pair: Pair, recovered: &Recovered) -> io::Result<Log> {
        let open = |path: PathBuf, at: u64| -> io::Result<Growing> {
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(at))?;
            Ok(Growing {
                file,
                committed: at,
                buffer: Vec::new(),
            })
        };
        let data = open(pair.data(), recovered.data_bytes)?;
        let side_bytes = (recovered.entries + 1).saturating_mul(ENTRY_SIZE as u64);
        let side = open(pair.side(), side_bytes)?;
        Ok(Log {
            pair,
            data: Some(data),
            side,
            committed_interfaces: recovered.interfaces.list.len(),
            interfaces: recovered.interfaces.clone(),
            entries: recovered.entries,
        })
    }
}

/// What a pair holds after its torn tail was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Head of the side file.
    pub head: Head,
    /// Whole packets.
    pub entries: u64,
    /// Bytes of the savefile up to the end of the last whole packet.
    pub data_bytes: u64,
    /// Bytes that were cut off both files.
    pub cut: u64,
    /// Captured bytes of the packets.
    pub captured: u64,
    /// Interfaces that the savefile describes: numbers are given in the order in which packets
    /// first need them, so the entries tell.
    pub interfaces: Interfaces,
    /// Earliest and latest packet time.
    pub span: Option<(Timestamp, Timestamp)>,
}

/// Reads the side file of a pair left by a killed process and cuts both files at the last packet
/// that is whole in both; `None` when nothing usable is there.
///
/// `contiguous` holds for segments, whose ordinals rise by one.
///
/// # Errors
/// What the system says.
pub fn recover(pair: &Pair, contiguous: bool) -> io::Result<Option<Recovered>> {
    let side = match OpenOptions::new().read(true).write(true).open(pair.side()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let data = match OpenOptions::new().read(true).write(true).open(pair.data()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let (side_len, data_len) = (side.metadata()?.len(), data.metadata()?.len());
    let mut reader = SideReader::new(side.try_clone()?);
    let Some(head) = reader.head()? else {
        return Ok(None);
    };
    let mut recovered = Recovered {
        head,
        entries: 0,
        data_bytes: 0,
        cut: 0,
        captured: 0,
        interfaces: Interfaces::default(),
        span: None,
    };
    while let Some(entry) = reader.next_entry(recovered.entries)? {
        let end = entry
            .position
            .offset
            .saturating_add(packet_size(entry.caplen));
        let in_order = entry.position.offset >= recovered.data_bytes
            && (!contiguous || Some(entry.ordinal) == head.first.checked_add(recovered.entries));
        if end > data_len || !in_order {
            break;
        }
        let (from, to) = recovered.span.unwrap_or((entry.ts, entry.ts));
        recovered.span = Some((from.min(entry.ts), to.max(entry.ts)));
        recovered.interfaces.id(entry.linktype, entry.interface);
        recovered.captured += u64::from(entry.caplen);
        recovered.data_bytes = end;
        recovered.entries += 1;
    }
    if recovered.entries == 0 {
        return Ok(None);
    }
    let side_bytes = (recovered.entries + 1).saturating_mul(ENTRY_SIZE as u64);
    recovered.cut =
        data_len.saturating_sub(recovered.data_bytes) + side_len.saturating_sub(side_bytes);
    if recovered.cut > 0 {
        data.set_len(recovered.data_bytes)?;
        side.set_len(side_bytes)?;
    }
    Ok(Some(recovered))
}

/// Where the captured bytes of a packet of a pair's savefile begin.
pub fn bytes_at(position: Position) -> u64 {
    position.offset + PACKET_HEAD
}

/// Reads the captured bytes of one packet of a pair's savefile.
///
/// # Errors
/// What the system says; `UnexpectedEof` when the file ends before the packet does.
pub fn read_packet(
    data: &File,
    position: Position,
    caplen: u32,
    into: &mut Vec<u8>,
) -> io::Result<()> {
    read_bytes(data, bytes_at(position), caplen, into)
}

/// Reads `caplen` bytes from `at` on.
pub(crate) fn read_bytes(data: &File, at: u64, caplen: u32, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    into.resize(caplen.min(MAX_SNAPLEN) as usize, 0);
    if super::side::read_at(data, into, at)? < into.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
