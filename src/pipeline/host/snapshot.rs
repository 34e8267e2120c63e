//! `pcap.snapshot`: many savefiles and streams merged into one savefile.
//!
//! In: names of streams, or a folder with savefiles and links. Out: `<second>.pcap` in the data
//! root, classic pcap, little-endian, microseconds, packets in order of time. Never: a file of the
//! inputs changed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use pcap_parser::parse_pcap_header;

use crate::packet::MAX_SNAPLEN;

use super::files::{Counted, FileError, Files, Found, PCAPS, clean};
use super::streams::StreamRef;

/// Savefiles that are open at once; more are merged in rounds.
const MAX_OPEN: usize = 128;

/// Link type of Ethernet, which is written when the inputs disagree.
const ETHERNET: u32 = 1;

/// A snapshot that was made.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Its name in the data root.
    pub name: String,
    /// Packets in it.
    pub packets: u64,
    /// Sentences about inputs that were skipped or cut.
    pub warnings: Vec<String>,
}

impl Files {
    /// Merges `selected` (all when empty) of `dir` (the live streams when absent) into
    /// `<second>.pcap`.
    pub(crate) fn snapshot(
        &self,
        selected: &[String],
        dir: Option<&str>,
        second: i64,
    ) -> Result<Snapshot, FileError> {
        let dir = dir.map(clean).transpose()?;
        let mut warnings = Vec::new();
        let (streams, files) = match dir {
            Some(dir) if dir != Path::new(PCAPS) || self.root().exists(&dir) => {
                self.inputs(&dir, selected, &mut warnings)?
            }
            _ => (self.live(selected), Vec::new()),
        };
        let (name, out) = self.numbered("", second, ".pcap")?;
        let out = Counted {
            inner: out.into_std(),
            left: self.free(),
        };
        match self.merge_into(&streams, files, out, &mut warnings) {
            Ok(packets) => {
                self.made(&name);
                Ok(Snapshot {
                    name,
                    packets,
                    warnings,
                })
            }
            Err(error) => {
                let _ = self.root().remove_file(&name);
                Err(error)
            }
        }
    }

    fn live(&self, selected: &[String]) -> Vec<StreamRef> {
        let reader = self.pins().reader();
        if selected.is_empty() {
            return reader.streams();
        }
        let named: BTreeSet<StreamRef> = selected
            .iter()
            .filter_map(|name| self.stream_named(name))
            .filter(|stream| reader.has(*stream))
            .collect();
        named.into_iter().collect()
    }

    /// Links and savefiles that lie in `dir` itself.
    fn inputs(
        &self,
        dir: &Path,
        selected: &[String],
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<StreamRef>, Vec<PathBuf>), FileError> {
        let wanted: BTreeSet<&str> = selected.iter().map(|name| stem(name)).collect();
        let mut streams = BTreeSet::new();
        let mut files = Vec::new();
        let listing = self
            .root()
            .read_dir(dir)
            .map_err(|error| self.system("open", dir, &error))?;
        for entry in listing.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !entry.file_type().is_ok_and(|kind| kind.is_file())
                || !(wanted.is_empty() || wanted.contains(stem(&name)))
            {
                continue;
            }
            let path = dir.join(&*name);
            match self.find(&path) {
                Ok(Found::Stream(stream)) => {
                    streams.insert(stream);
                }
                Ok(Found::File(_)) => files.push(path),
                Err(error) => warnings.push(format!("{error}, it is left out")),
            }
        }
        files.sort();
        Ok((streams.into_iter().collect(), files))
    }

    fn merge_into(
        &self,
        streams: &[StreamRef],
        files: Vec<PathBuf>,
        out: Counted<File>,
        warnings: &mut Vec<String>,
    ) -> Result<u64, FileError> {
        let mut out = BufWriter::new(out);
        if files.is_empty() && !streams.is_empty() {
            let written = self.pins().reader().write_pcap(streams, &mut out);
            out.flush().map_err(|error| self.full(&error))?;
            return written.map_err(FileError::Stream);
        }
        let mut inputs = Vec::new();
        if !streams.is_empty() {
            inputs.push(Input::Open(self.materialise_all(streams)?));
        }
        inputs.extend(files.into_iter().map(Input::Path));
        while inputs.len() > MAX_OPEN {
            let round: Vec<Input> = inputs.drain(..MAX_OPEN).collect();
            let mut merged = tempfile::tempfile_in(self.path())
                .map_err(|error| self.system("open", Path::new("."), &error))?;
            let mut round_out = BufWriter::new(Counted {
                inner: &mut merged,
                left: self.free(),
            });
            self.merge(round, &mut round_out, warnings)?;
            round_out.flush().map_err(|error| self.full(&error))?;
            drop(round_out);
            merged
                .rewind()
                .map_err(|error| self.system("seek", Path::new("."), &error))?;
            inputs.push(Input::Open(merged));
        }
        let packets = self.merge(inputs, &mut out, warnings)?;
        out.flush().map_err(|error| self.full(&error))?;
        Ok(packets)
    }

    fn merge(
        &self,
        inputs: Vec<Input>,
        out: &mut dyn Write,
        warnings: &mut Vec<String>,
    ) -> Result<u64, FileError> {
        let mut open = Vec::new();
        for input in inputs {
            let (name, file) = match input {
                Input::Open(file) => ("a part".to_owned(), Ok(file)),
                Input::Path(path) => (
                    path.display().to_string(),
                    self.root().open(&path).map(|file| file.into_std()),
                ),
            };
            match file.and_then(Savefile::open) {
                Ok(Some(savefile)) => open.push((name, savefile)),
                Ok(None) => warnings.push(format!("{name} is no savefile, it is left out")),
                Err(error) => {
                    warnings.push(format!("{name} cannot be read ({error}), it is left out"))
                }
            }
        }
        let linktype = match open.first() {
            Some((_, first)) if open.iter().all(|(_, one)| one.linktype == first.linktype) => {
                first.linktype
            }
            _ => ETHERNET,
        };
        let mut packets = 0;
        let written = write_merged(linktype, &mut open, out, &mut packets, warnings);
        written.map_err(|error| self.full(&error))?;
        Ok(packets)
    }
}

enum Input {
    Open(File),
    Path(PathBuf),
}

/// A name without `.pcap`.
fn stem(name: &str) -> &str {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.strip_suffix(".pcap").unwrap_or(base)
}

fn write_merged(
    linktype: u32,
    open: &mut [(String, Savefile)],
    out: &mut dyn Write,
    packets: &mut u64,
    warnings: &mut Vec<String>,
) -> io::Result<()> {
    out.write_all(&header(linktype))?;
    let mut heads = BinaryHeap::new();
    let mut next: Vec<Option<Record>> = Vec::new();
    for (at, (name, savefile)) in open.iter_mut().enumerate() {
        let record = savefile.next(name, warnings);
        heads.extend(record.as_ref().map(|record| Reverse((record.ts, at))));
        next.push(record);
    }
    while let Some(Reverse((_, at))) = heads.pop() {
        let (Some(slot), Some((name, savefile))) = (next.get_mut(at), open.get_mut(at)) else {
            continue;
        };
        if let Some(record) = slot.take() {
            record.write(out)?;
            *packets += 1;
        }
        *slot = savefile.next(name, warnings);
        heads.extend(slot.as_ref().map(|record| Reverse((record.ts, at))));
    }
    Ok(())
}

/// The file header of a classic savefile: magic, version 2.4, zone, accuracy, snaplen, link type.
pub(crate) fn header(linktype: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    bytes[4..6].copy_from_slice(&2_u16.to_le_bytes());
    bytes[6..8].copy_from_slice(&4_u16.to_le_bytes());
    bytes[16..20].copy_from_slice(&MAX_SNAPLEN.to_le_bytes());
    bytes[20..].copy_from_slice(&linktype.to_le_bytes());
    bytes
}

/// One packet of a savefile.
pub(crate) struct Record {
    /// Microseconds since the epoch.
    pub ts: u64,
    /// Bytes on the wire.
    pub len: u32,
    /// Bytes captured.
    pub bytes: Vec<u8>,
}

impl Record {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let secs = u32::try_from(self.ts / 1_000_000).unwrap_or(u32::MAX);
        let micros = (self.ts % 1_000_000) as u32;
        let caplen = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        for field in [secs, micros, caplen, self.len] {
            out.write_all(&field.to_le_bytes())?;
        }
        out.write_all(&self.bytes)
    }
}

/// A classic savefile that is read.
pub(crate) struct Savefile {
    input: BufReader<File>,
    big_endian: bool,
    nanos: bool,
    /// Its link type.
    pub linktype: u32,
}

impl Savefile {
    /// Reads the file header; `None` when it is none.
    pub(crate) fn open(file: File) -> io::Result<Option<Savefile>> {
        let mut input = BufReader::new(file);
        let mut head = [0; 24];
        if let Err(error) = input.read_exact(&mut head) {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => Ok(None),
                _ => Err(error),
            };
        }
        let Ok((_, header)) = parse_pcap_header(&head) else {
            return Ok(None);
        };
        Ok(Some(Savefile {
            input,
            big_endian: header.is_bigendian(),
            nanos: header.is_nanosecond_precision(),
            linktype: u32::try_from(header.network.0).unwrap_or(ETHERNET),
        }))
    }

    /// The next packet; `None` at the end, or where the file is cut or wrong, which is told.
    pub(crate) fn next(&mut self, name: &str, warnings: &mut Vec<String>) -> Option<Record> {
        match self.read() {
            Ok(record) => record,
            Err(error) => {
                warnings.push(format!(
                    "{name} ends early ({error}), what is before is taken"
                ));
                None
            }
        }
    }

    fn read(&mut self) -> io::Result<Option<Record>> {
        let mut head = [0; 16];
        let mut filled = 0;
        while filled < head.len() {
            match self.input.read(&mut head[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        let [secs, part, caplen, len] = [0, 4, 8, 12].map(|at| {
            let mut field = [0; 4];
            field.copy_from_slice(&head[at..at + 4]);
            if self.big_endian {
                u32::from_be_bytes(field)
            } else {
                u32::from_le_bytes(field)
            }
        });
        if caplen > MAX_SNAPLEN {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a packet is longer than any can be",
            ));
        }
        let mut bytes = vec![0; caplen as usize];
        self.input.read_exact(&mut bytes)?;
        let micros = if self.nanos { part / 1000 } else { part };
        Ok(Some(Record {
            ts: u64::from(secs) * 1_000_000 + u64::from(micros),
            len,
            bytes,
        }))
    }
}
