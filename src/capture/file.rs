//! One savefile as a source: a path, standard input, or any reader.
//!
//! In: bytes of a pcap or pcapng file, plain or as gzip, LZ4 or zstd, told by their content. Out: batches
//! of its packets; positions are offsets in the uncompressed file. A file that is damaged or cut off
//! gives what is before that, a pcapng file also what is found behind it, and one warning. Never: more
//! memory than one window, the decompressor's ([`compression`]) and 65,536 names.

mod blocks;
mod compression;

use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use self::blocks::Blocks;
pub use self::blocks::LeftBlocks;
pub use self::compression::MAX_ZSTD_WINDOW_LOG;
pub(crate) use self::compression::{decompressed, plain_name};
use crate::capture::{BATCH_PACKETS, CaptureError, Filled, RawBatch, Source, SourceCounts};
use crate::packet::savefile::{Entry, Records, SavefileError, pcapng};
use crate::packet::{Position, Record};
use crate::time::Timestamp;

/// What sentences call standard input.
pub(crate) const STDIN: &str = "standard input";

/// Bytes read at a time when only the first packet of a file is looked for.
const PROBE_BYTES: usize = 16 * 1024;

/// Opens one file.
///
/// # Errors
/// When it is missing, may not be read, or is no capture.
pub fn open(path: &Path) -> Result<Box<dyn Source>, CaptureError> {
    Ok(Box::new(open_numbered(path, 0)?))
}

/// Standard input as a source.
///
/// # Errors
/// When it is a terminal or gives no capture.
pub fn stdin() -> Result<Box<dyn Source>, CaptureError> {
    Ok(Box::new(open_stdin(0)?))
}

pub(crate) fn open_stdin(file: u32) -> Result<FileSource, CaptureError> {
    let input = io::stdin();
    if input.is_terminal() {
        return Err(CaptureError::Format {
            path: STDIN.to_owned(),
            found: "it is a terminal".to_owned(),
        });
    }
    let mut source = FileSource::new(STDIN, Box::new(input), file)?;
    source.hand_over_early = true;
    Ok(source)
}

pub(crate) fn open_numbered(path: &Path, file: u32) -> Result<FileSource, CaptureError> {
    let name = path.display().to_string();
    let failed = |error| CaptureError::from_io(&name, error);
    let opened = File::open(path).map_err(failed)?;
    let kind = opened.metadata().map_err(failed)?;
    let mut source = FileSource::new(&name, Box::new(opened), file)?;
    if kind.is_file() {
        source.size = Some(kind.len());
        if !source.compressed {
            source.path = Some(path.to_owned());
        }
    } else {
        source.hand_over_early = true;
    }
    Ok(source)
}

/// Time of a file's first packet; `None` when it is a capture without packets.
///
/// # Errors
/// As [`open`].
pub fn first_packet(path: &Path) -> Result<Option<Timestamp>, CaptureError> {
    let name = path.display().to_string();
    let opened = File::open(path).map_err(|error| CaptureError::from_io(&name, error))?;
    let (plain, _) =
        decompressed(Box::new(opened)).map_err(|error| CaptureError::from_io(&name, error))?;
    let mut records = Records::with_read_bytes(plain, PROBE_BYTES);
    records
        .open()
        .map_err(|error| refused(&name, error, false))?;
    loop {
        match records.advance() {
            Ok(Some(Entry::Packet { head, .. })) => return Ok(Some(head.ts)),
            Ok(Some(Entry::Block { .. })) => {}
            // Damage is told when the file is read.
            Ok(None) | Err(_) => return Ok(None),
        }
    }
}

/// Whether a capture, compressed or not, begins with these bytes.
pub(crate) fn begins_capture(front: &[u8]) -> bool {
    let Ok((plain, _)) = decompressed(Box::new(Cursor::new(front.to_vec()))) else {
        return false;
    };
    Records::with_read_bytes(plain, PROBE_BYTES).open().is_ok()
}

/// Whether a file's bytes lie at the offsets of its positions.
pub(crate) fn is_seekable(path: &Path) -> bool {
    let mut front = [0; compression::MAGIC];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut front))
        .is_ok()
        && !compression::is_compressed(&front)
}

/// The packets of one capture.
pub struct FileSource {
    name: String,
    file: u32,
    path: Option<PathBuf>,
    size: Option<u64>,
    records: Records<Box<dyn Read + Send>>,
    meter: Meter,
    compressed: bool,
    /// Hand packets over as soon as nothing more is read: somebody may still be writing.
    hand_over_early: bool,
    latest: Timestamp,
    counts: SourceCounts,
    warnings: Vec<String>,
    damage: Damaged,
    blocks: Blocks,
    /// Addresses of the interfaces described so far.
    addresses: Option<Arc<[IpAddr]>>,
}

impl FileSource {
    /// A source over any reader: `name` is for sentences, `file` the number in its positions.
    ///
    /// # Errors
    /// When the reader fails or its first bytes are of no capture.
    pub fn new(
        name: impl Into<String>,
        reader: Box<dyn Read + Send>,
        file: u32,
    ) -> Result<FileSource, CaptureError> {
        let name = name.into();
        let meter = Meter::default();
        let metered = Metered {
            inner: reader,
            meter: meter.clone(),
        };
        let (plain, compressed) =
            decompressed(Box::new(metered)).map_err(|error| CaptureError::from_io(&name, error))?;
        let mut records = Records::new(plain);
        records
            .open()
            .map_err(|error| refused(&name, error, meter.failed()))?;
        Ok(FileSource {
            name,
            file,
            path: None,
            size: None,
            records,
            meter,
            compressed,
            hand_over_early: false,
            latest: Timestamp::from_nanos(i64::MIN),
            counts: SourceCounts::default(),
            warnings: Vec::new(),
            damage: Damaged::default(),
            blocks: Blocks::default(),
            addresses: None,
        })
    }

    /// All names that the file has held so far for addresses (pcapng name resolution blocks), when
    /// there are new ones since the last call.
    pub fn new_names(&mut self) -> Option<&[(IpAddr, Box<str>)]> {
        let blocks = &mut self.blocks;
        std::mem::take(&mut blocks.names_are_new).then_some(blocks.names.as_slice())
    }

    /// The same, with the bytes that the reader will give in all, for progress.
    pub fn sized(mut self, bytes: u64) -> FileSource {
        self.size = Some(bytes);
        self
    }

    /// Latest packet time so far.
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Bytes taken from the reader so far, compressed ones where it is compressed.
    pub fn bytes_read(&self) -> u64 {
        self.meter.read.load(Ordering::Relaxed)
    }
}

impl FileSource {
    /// Takes what lies whole in the window; tells whether the file ended.
    fn take(&mut self, records: &mut Vec<Record>) -> Result<bool, SavefileError> {
        // Nothing in the window is held now, so that it may be searched.
        if let Some(error) = self.damage.met.take() {
            let Some(passed) = self.records.recover()? else {
                self.damage.is_final = true;
                return Err(error);
            };
            self.damage.passed += passed;
            self.damage.places += 1;
            self.damage.first.get_or_insert_with(|| error.to_string());
        }
        while records.is_empty() {
            // Nothing in the window is held yet, so it may move.
            if !self.records.read_on(!self.hand_over_early)? {
                return Ok(true);
            }
            self.take_at_hand(records)?;
        }
        Ok(self.records.is_over())
    }

    /// Says what was passed over, and where.
    fn tell_damage(&mut self) {
        let Damaged {
            first,
            places,
            passed,
            ..
        } = &mut self.damage;
        let Some(first) = first.take() else { return };
        let elsewhere = match places {
            1 => String::new(),
            2 => ", and in another place".to_owned(),
            places => format!(", and in {} other places", *places - 1),
        };
        self.warnings.push(format!(
            "{}: {first}{elsewhere}; {passed} bytes are left out, the {} packets around them are read",
            self.name, self.counts.received
        ));
    }

    fn take_at_hand(&mut self, records: &mut Vec<Record>) -> Result<(), SavefileError> {
        let mut described = false;
        while records.len() < BATCH_PACKETS
            && let Some((entry, start)) = self.records.at_hand()?
        {
            match entry {
                Entry::Packet { head, offset, .. } => {
                    let position = Position {
                        file: self.file,
                        offset,
                    };
                    records.push(head.record(start, position));
                    self.counts.received += 1;
                    self.latest = self.latest.max(head.ts);
                }
                Entry::Block { block, .. } => {
                    described |= matches!(block.kind, pcapng::SECTION | pcapng::INTERFACE);
                    self.blocks.note(&block, self.counts.received == 0);
                }
            }
        }
        if described {
            let addresses = self.records.parser().addresses();
            self.addresses = (!addresses.is_empty()).then(|| addresses.into());
        }
        Ok(())
    }
}

impl Source for FileSource {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        let taken = self.take(&mut batch.records);
        batch.bytes = std::mem::take(&mut batch.room);
        self.records.hand_out(&mut batch.bytes);
        batch.several_interfaces = self.records.parser().interfaces() > 1;
        match taken {
            Ok(true) => {
                self.tell_damage();
                Ok(Filled::End)
            }
            Ok(false) => Ok(Filled::More),
            Err(error @ (SavefileError::Damaged { .. } | SavefileError::CutOff(_)))
                if !self.damage.is_final =>
            {
                self.counts.damaged += 1;
                self.damage.met = Some(error);
                Ok(Filled::More)
            }
            Err(error) if matches!(error, SavefileError::Io(_)) && self.meter.failed() => {
                Err(refused(&self.name, error, true))
            }
            Err(error) => {
                self.counts.damaged += u64::from(!self.damage.is_final);
                self.tell_damage();
                let what = match error {
                    SavefileError::Io(error) => format!(
                        "its compressed data is damaged at offset {}: {error}",
                        self.records.offset()
                    ),
                    error => error.to_string(),
                };
                self.warnings.push(format!(
                    "{}: {what}; the {} packets before it are read",
                    self.name, self.counts.received
                ));
                Ok(Filled::End)
            }
        }
    }

    fn counts(&mut self) -> SourceCounts {
        self.counts
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let size = self.size?;
        Some((self.bytes_read().min(size), size))
    }

    fn addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.addresses.clone()
    }

    fn interface_name(&self, interface: u32) -> Option<String> {
        self.records
            .parser()
            .interface_name(interface)
            .map(str::to_owned)
    }

    fn path(&self, file: u32) -> Option<PathBuf> {
        (file == self.file).then(|| self.path.clone()).flatten()
    }

    fn key_logs(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.blocks.key_logs)
    }

    fn front_blocks(&mut self) -> Option<Vec<Vec<u8>>> {
        match self.counts.received {
            0 => None,
            _ => self.blocks.front.take(),
        }
    }

    fn back_blocks(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.blocks.back)
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

fn refused(name: &str, error: SavefileError, reader_failed: bool) -> CaptureError {
    match error {
        SavefileError::Io(error) if reader_failed => CaptureError::from_io(name, error),
        SavefileError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            CaptureError::Format {
                path: name.to_owned(),
                found: "its compressed data is cut off before the first packet can be unpacked"
                    .to_owned(),
            }
        }
        SavefileError::Io(error) => CaptureError::Format {
            path: name.to_owned(),
            found: format!("its compressed data is damaged ({error})"),
        },
        SavefileError::Unknown(begins @ "a tar archive") if name == STDIN => CaptureError::Format {
            path: name.to_owned(),
            found: format!(
                "it begins like {begins}, which is read twice, so save it to a file and name that"
            ),
        },
        error => CaptureError::Format {
            path: name.to_owned(),
            found: error.to_string(),
        },
    }
}

/// Damage that was passed over.
#[derive(Debug, Default)]
struct Damaged {
    /// What was met last and is to be passed over.
    met: Option<SavefileError>,
    /// Whether nothing was found behind it.
    is_final: bool,
    /// The first one, and how many there were.
    first: Option<String>,
    places: u64,
    /// Bytes left out.
    passed: u64,
}

/// What a reader gave, seen from outside the decompressor.
#[derive(Debug, Default, Clone)]
struct Meter {
    read: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
}

impl Meter {
    /// Whether the reader itself failed, and not what undoes the compression.
    fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

struct Metered {
    inner: Box<dyn Read + Send>,
    meter: Meter,
}

impl Read for Metered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(into);
        match &result {
            Ok(count) => {
                let count = u64::try_from(*count).unwrap_or(u64::MAX);
                self.meter.read.fetch_add(count, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.meter.failed.store(true, Ordering::Relaxed),
        }
        result
    }
}

#[cfg(test)]
mod tests;
