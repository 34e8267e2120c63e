//! `pcap.snapshot`: many savefiles and streams merged into one savefile.
//!
//! In: names of streams, or a folder with savefiles and links. Out: `<second>.pcap` in the data
//! root, classic pcap, little-endian, microseconds, packets in order of time. Never: a file of the
//! inputs changed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use crate::packet::savefile::pcap::{Precision, write_header, write_packet};
use crate::packet::savefile::{Entry, Records};
use crate::packet::{LinkType, MAX_SNAPLEN};
use crate::time::Timestamp;

use super::files::{Counted, FileError, Files, Found, PCAPS, clean};
use super::streams::StreamRef;

/// Savefiles that are open at once; more are merged in rounds.
const MAX_OPEN: usize = 128;

/// Bytes read at a time of each open savefile.
const READ_BYTES: usize = 64 << 10;

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
        let dir = dir.filter(|dir| dir != Path::new(PCAPS) || self.root().exists(dir));
        let everything = dir.is_none() && selected.is_empty();
        let (streams, files) = match &dir {
            Some(dir) => self.inputs(dir, selected, &mut warnings)?,
            None => (self.live(selected), Vec::new()),
        };
        let (name, out) = self.numbered("", second, ".pcap")?;
        let out = Counted {
            inner: out.into_std(),
            left: self.free(),
        };
        let made = if everything {
            self.export(out, |out| self.pins().reader().write_all(out))
        } else {
            self.merge_into(&streams, files, out, &mut warnings)
        };
        match made {
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

    /// Has the reader of streams write the whole file.
    fn export(
        &self,
        out: Counted<File>,
        write: impl FnOnce(&mut dyn Write) -> Result<u64, String>,
    ) -> Result<u64, FileError> {
        let mut out = BufWriter::new(out);
        let written = write(&mut out);
        out.flush().map_err(|error| self.full(&error))?;
        written.map_err(FileError::Stream)
    }

    fn merge_into(
        &self,
        streams: &[StreamRef],
        files: Vec<PathBuf>,
        out: Counted<File>,
        warnings: &mut Vec<String>,
    ) -> Result<u64, FileError> {
        if files.is_empty() && !streams.is_empty() {
            return self.export(out, |out| self.pins().reader().write_pcap(streams, out));
        }
        let mut out = BufWriter::new(out);
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
            match file {
                Ok(file) => open.push(Savefile::new(name, file)),
                Err(error) => {
                    warnings.push(format!("{name} cannot be read ({error}), it is left out"));
                }
            }
        }
        let mut packets = 0;
        let written = write_merged(&mut open, out, &mut packets, warnings);
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
    open: &mut [Savefile],
    out: &mut dyn Write,
    packets: &mut u64,
    warnings: &mut Vec<String>,
) -> io::Result<()> {
    let mut heads = BinaryHeap::new();
    let mut next: Vec<Option<Packet>> = Vec::new();
    for (at, savefile) in open.iter_mut().enumerate() {
        let packet = savefile.next(warnings);
        heads.extend(packet.as_ref().map(|packet| Reverse((packet.ts, at))));
        next.push(packet);
    }
    let mut kinds = next.iter().flatten().map(|packet| packet.linktype);
    let linktype = match kinds.next() {
        Some(first) if kinds.all(|kind| kind == first) => first,
        _ => LinkType::ETHERNET,
    };
    let mut bytes = Vec::new();
    write_header(&mut bytes, linktype, MAX_SNAPLEN, Precision::Micros);
    while let Some(Reverse((_, at))) = heads.pop() {
        let (Some(slot), Some(savefile)) = (next.get_mut(at), open.get_mut(at)) else {
            continue;
        };
        if let Some(packet) = slot.take() {
            let Packet { ts, len, data, .. } = packet;
            write_packet(&mut bytes, Precision::Micros, ts, len, &data);
            *packets += 1;
        }
        out.write_all(&bytes)?;
        bytes.clear();
        *slot = savefile.next(warnings);
        heads.extend(slot.as_ref().map(|packet| Reverse((packet.ts, at))));
    }
    out.write_all(&bytes)
}

/// One packet of an input.
struct Packet {
    ts: Timestamp,
    linktype: LinkType,
    len: u32,
    data: Vec<u8>,
}

/// An input that is read packet by packet.
struct Savefile {
    name: String,
    records: Records<File>,
    any: bool,
}

impl Savefile {
    fn new(name: String, file: File) -> Savefile {
        Savefile {
            name,
            records: Records::with_read_bytes(file, READ_BYTES),
            any: false,
        }
    }

    /// The next packet; `None` at the end, or where the file is cut or wrong, which is told.
    fn next(&mut self, warnings: &mut Vec<String>) -> Option<Packet> {
        loop {
            match self.records.advance() {
                Ok(Some(Entry::Packet { head, bytes, .. })) => {
                    self.any = true;
                    return Some(Packet {
                        ts: head.ts,
                        linktype: head.linktype,
                        len: head.len,
                        data: bytes.to_vec(),
                    });
                }
                Ok(Some(Entry::Block { .. })) => {}
                Ok(None) => return None,
                Err(error) => {
                    let name = &self.name;
                    warnings.push(if self.any {
                        format!("{name} ends early ({error}), what is before is taken")
                    } else {
                        format!("{name} cannot be read ({error}), it is left out")
                    });
                    return None;
                }
            }
        }
    }
}
