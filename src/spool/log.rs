//! An append-only pair of files: a savefile, and its side file.
//!
//! In: packets. Out: both files, whole up to the last commit whatever happens to the process.
//! Never: two writers. The savefile opens in Wireshark at any time. Spool segments, pin files and
//! the open files of recordings are all such pairs. Segments are classic savefiles, which have half
//! the bytes around a packet; what holds packets of several link types is pcapng.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ahash::RandomState;

use super::side::{Anchor, Entry, HEAD_SIZE, Head, SideReader, SideWriter, anchor, renew};
use crate::packet::savefile::pcap::{self, Precision};
use crate::packet::savefile::pcapng::{self, write};
use crate::packet::{LinkType, MAX_SNAPLEN, Position};
use crate::system;
use crate::time::Timestamp;

/// What kind of savefile a pair has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A classic savefile with nanoseconds: one link type.
    Pcap,
    /// pcapng: any link types and interfaces.
    #[default]
    Pcapng,
}

impl Form {
    fn ending(self) -> &'static str {
        match self {
            Form::Pcap => ".pcap",
            Form::Pcapng => ".pcapng",
        }
    }

    /// Bytes of a record in front of the packet.
    pub(crate) fn head(self) -> u64 {
        match self {
            Form::Pcap => pcap::RECORD_BYTES as u64,
            Form::Pcapng => 28,
        }
    }

    /// Size of the record around `caplen` bytes; that of pcapng has its length once more behind them,
    /// and is a multiple of four.
    fn size(self, caplen: u32) -> u64 {
        let caplen = u64::from(caplen);
        match self {
            Form::Pcap => self.head() + caplen,
            Form::Pcapng => self.head() + caplen.next_multiple_of(4) + 4,
        }
    }
}

/// What a pair of files is called: the same path with two endings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair(PathBuf, Form);

impl Pair {
    /// The pair `stem` in `folder`, with packets of any link types.
    pub fn new(folder: &Path, stem: &str) -> Pair {
        Pair(folder.join(stem), Form::Pcapng)
    }

    /// The same with another kind of savefile.
    pub(crate) fn with_form(self, form: Form) -> Pair {
        Pair(self.0, form)
    }

    /// What kind of savefile it has.
    pub(crate) fn form(&self) -> Form {
        self.1
    }

    /// The same with the kind of savefile that is there.
    pub(crate) fn on_disk(self) -> Pair {
        let classic = self.clone().with_form(Form::Pcap);
        match classic.data().exists() {
            true => classic,
            false => self.with_form(Form::Pcapng),
        }
    }

    fn with(&self, ending: &str) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    }

    /// The savefile.
    pub fn data(&self) -> PathBuf {
        self.with(self.1.ending())
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
    index: SideWriter,
    interfaces: Interfaces,
    committed_interfaces: usize,
    committed_entries: u64,
}

/// What segments and reels say they were written by.
pub const APPLICATION: &str = concat!("tapedeck ", env!("CARGO_PKG_VERSION"));

/// Appends the description of an interface.
pub fn describe(
    out: &mut Vec<u8>,
    linktype: LinkType,
    name: &str,
    description: &str,
    addresses: &[IpAddr],
) {
    write::interface(
        out,
        &write::Interface {
            linktype,
            snaplen: MAX_SNAPLEN,
            name,
            description,
            filter: "",
            addresses,
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
        let mut data = Growing::create(&pair.data())?;
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
        Log::start(pair, Some(data), head)
    }

    /// Starts a new pair for packets of one link type.
    ///
    /// # Errors
    /// As for [`Log::create`].
    pub(crate) fn create_classic(pair: Pair, head: Head, linktype: LinkType) -> io::Result<Log> {
        let pair = pair.with_form(Form::Pcap);
        let mut data = Growing::create(&pair.data())?;
        pcap::write_header(&mut data.buffer, linktype, MAX_SNAPLEN, Precision::Nanos);
        Log::start(pair, Some(data), head)
    }

    /// Starts a side file alone; the packets stay where they are.
    ///
    /// # Errors
    /// As for [`Log::create`].
    pub fn create_index(pair: Pair, head: Head) -> io::Result<Log> {
        Log::start(pair, None, head)
    }

    fn start(pair: Pair, data: Option<Growing>, head: Head) -> io::Result<Log> {
        let mut side = Growing::create(&pair.side())?;
        side.buffer.extend_from_slice(&head.encode());
        let mut log = Log {
            pair,
            data,
            side,
            index: SideWriter::default(),
            interfaces: Interfaces::default(),
            committed_interfaces: 0,
            committed_entries: 0,
        };
        if let Err(error) = log.commit() {
            let _ = log.pair.remove();
            return Err(error);
        }
        Ok(log)
    }

    /// Adds a packet; it is in the files after the next [`Log::commit`]. A classic savefile has room
    /// for packets of its link type alone.
    ///
    /// `entry.position.offset` becomes the packet's place in this savefile, unless the pair is a
    /// side file alone. Answers the entry as written.
    pub fn push(&mut self, mut entry: Entry, bytes: &[u8]) -> Entry {
        if let Some(data) = &mut self.data {
            let bytes = bytes.get(..MAX_SNAPLEN as usize).unwrap_or(bytes);
            entry.caplen = u32::try_from(bytes.len()).unwrap_or(MAX_SNAPLEN);
            entry.len = entry.len.max(entry.caplen);
            match self.pair.form() {
                Form::Pcap => {
                    entry.position.offset = data.end();
                    let (ts, len) = (entry.ts, entry.len);
                    pcap::write_packet(&mut data.buffer, Precision::Nanos, ts, len, bytes);
                }
                Form::Pcapng => {
                    let (id, is_new) = self.interfaces.id(entry.linktype, entry.interface);
                    if is_new {
                        describe(&mut data.buffer, entry.linktype, "", "", &[]);
                    }
                    entry.position.offset = data.end();
                    write::packet(&mut data.buffer, id, entry.ts, entry.len, bytes);
                }
            }
        }
        let end = self.side.end();
        self.index.push(&entry, &mut self.side.buffer, end);
        entry
    }

    /// Hands everything pushed so far to the system: one write a file.
    ///
    /// # Errors
    /// What the system says; the pair is then as it was after the commit before.
    pub fn commit(&mut self) -> io::Result<()> {
        let end = self.side.end();
        self.index.finish(&mut self.side.buffer, end);
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
            Ok(()) => {
                self.committed_interfaces = self.interfaces.list.len();
                self.committed_entries = self.index.entries();
            }
            Err(_) => {
                if let Some(data) = &mut self.data {
                    data.roll_back(data_before);
                }
                self.side.roll_back(side_before);
                self.interfaces.truncate(self.committed_interfaces);
                self.index.roll_back(self.committed_entries);
            }
        }
        done
    }

    /// Bytes of both files, uncommitted ones included.
    pub fn bytes(&self) -> u64 {
        let side = self.side.end() + self.index.pending();
        self.data.as_ref().map_or(0, Growing::end) + side
    }

    /// Packets, uncommitted ones included.
    pub fn entries(&self) -> u64 {
        self.index.entries()
    }

    /// Where its entries are found.
    pub(crate) fn anchors(&self) -> &[Anchor] {
        self.index.anchors()
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
        let side = open(pair.side(), recovered.side_bytes)?;
        Ok(Log {
            pair,
            data: Some(data),
            side,
            index: SideWriter::behind(recovered.entries, recovered.anchors.clone()),
            committed_interfaces: recovered.interfaces.list.len(),
            interfaces: recovered.interfaces.clone(),
            committed_entries: recovered.entries,
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
    /// Bytes of the side file up to there.
    pub side_bytes: u64,
    /// Where its entries are found.
    pub(crate) anchors: Vec<Anchor>,
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
    let open = |path: PathBuf| match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    };
    if open(pair.side())?.is_some() {
        renew(&pair.side())?;
    }
    let (Some(side), Some(data)) = (open(pair.side())?, open(pair.data())?) else {
        return Ok(None);
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
        side_bytes: HEAD_SIZE as u64,
        anchors: Vec::new(),
        cut: 0,
        captured: 0,
        interfaces: Interfaces::default(),
        span: None,
    };
    while let Some((_, behind)) = reader.next_block()? {
        if !recovered.add(reader.at_hand(), pair.form(), data_len, contiguous) {
            break;
        }
        let index = recovered.entries - reader.at_hand().len() as u64;
        anchor(&mut recovered.anchors, index, recovered.side_bytes);
        recovered.side_bytes = behind;
    }
    if recovered.entries == 0 {
        return Ok(None);
    }
    recovered.cut = data_len.saturating_sub(recovered.data_bytes)
        + side_len.saturating_sub(recovered.side_bytes);
    if recovered.cut > 0 {
        data.set_len(recovered.data_bytes)?;
        side.set_len(recovered.side_bytes)?;
    }
    Ok(Some(recovered))
}

impl Recovered {
    /// Adds a block of the side file; false, and nothing added, when not all of its packets are whole.
    fn add(&mut self, block: &[Entry], form: Form, data_len: u64, contiguous: bool) -> bool {
        let (mut end, mut entries) = (self.data_bytes, self.entries);
        for entry in block {
            let in_order = entry.position.offset >= end
                && (!contiguous || Some(entry.ordinal) == self.head.first.checked_add(entries));
            end = entry
                .position
                .offset
                .saturating_add(form.size(entry.caplen));
            entries += 1;
            if end > data_len || !in_order {
                return false;
            }
        }
        for entry in block {
            let (from, to) = self.span.unwrap_or((entry.ts, entry.ts));
            self.span = Some((from.min(entry.ts), to.max(entry.ts)));
            self.interfaces.id(entry.linktype, entry.interface);
            self.captured += u64::from(entry.caplen);
        }
        (self.data_bytes, self.entries) = (end, entries);
        true
    }
}

/// Where the captured bytes of a packet of a pcapng savefile begin.
pub fn bytes_at(position: Position) -> u64 {
    position.offset + Form::Pcapng.head()
}

/// Reads the captured bytes of one packet of a pair's pcapng savefile.
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
    if system::read_at(data, into, at)? < into.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
