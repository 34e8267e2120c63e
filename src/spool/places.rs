//! From a position to bytes, wherever packets lie.
//!
//! In: positions as sources and the spool gave them. Out: the captured bytes. Never: headers of
//! packets, which side files hold. Three sources share the trait: segments of the spool, local
//! savefiles, and reels (which `investigate` reads).

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::SpoolError;
use super::log::{Form, Pair, read_bytes};
use crate::packet::Position;
use crate::system::read_at;

/// Files that are kept open for reading; a stream rarely touches more at a time.
const MAX_OPEN: usize = 8;

/// Gives the captured bytes of packets by their position.
pub trait PacketBytes: Send + Sync {
    /// Reads the `caplen` captured bytes of the packet at `position` into `into`, which is cleared.
    ///
    /// # Errors
    /// `Gone` when the file is no longer there or ends before the packet; `Io` when the system
    /// refuses.
    fn read(&self, position: Position, caplen: u32, into: &mut Vec<u8>) -> Result<(), SpoolError>;
}

/// Files by number, the last few kept open.
#[derive(Debug, Default)]
struct OpenFiles(Mutex<VecDeque<(u32, Opened)>>);

/// A file and what kind it is.
type Opened = (Arc<File>, Form);

impl OpenFiles {
    /// The file with a number; when it is not open yet, the one at `path`, which has `form`.
    fn file(&self, number: u32, form: Form, path: &Path) -> Result<Opened, SpoolError> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = open.iter().find(|(known, _)| *known == number) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(path).map_err(SpoolError::io("open", path))?);
        if open.len() >= MAX_OPEN {
            open.pop_front();
        }
        open.push_back((number, (file.clone(), form)));
        Ok((file, form))
    }

    fn forget(&self, number: u32) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(known, _)| *known != number);
    }
}

/// The segments of one run.
#[derive(Debug)]
pub(crate) struct Segments {
    folder: PathBuf,
    open: OpenFiles,
}

impl Segments {
    pub(crate) fn new(folder: PathBuf) -> Segments {
        Segments {
            folder,
            open: OpenFiles::default(),
        }
    }

    /// What the pair of a segment is called.
    pub(crate) fn pair(folder: &Path, number: u32, form: Form) -> Pair {
        Pair::new(folder, &format!("{number:08}")).with_form(form)
    }

    /// Closes a file that is about to be deleted, so that its space is free.
    pub(crate) fn forget(&self, number: u32) {
        self.open.forget(number);
    }
}

impl PacketBytes for Segments {
    fn read(&self, position: Position, caplen: u32, into: &mut Vec<u8>) -> Result<(), SpoolError> {
        let (file, form) = self.open(position)?;
        let at = position.offset.saturating_add(form.head());
        read_bytes(&file, at, caplen, into).map_err(|error| {
            let path = Segments::pair(&self.folder, position.file, form).data();
            cut_off(error, &path, position)
        })
    }
}

impl Segments {
    /// A segment's savefile, whichever kind it is.
    fn open(&self, position: Position) -> Result<Opened, SpoolError> {
        for form in [Form::Pcap, Form::Pcapng] {
            let path = Segments::pair(&self.folder, position.file, form).data();
            match self.open.file(position.file, form, &path) {
                Err(SpoolError::Io { error, .. })
                    if error.kind() == std::io::ErrorKind::NotFound => {}
                other => return other,
            }
        }
        Err(gone(position))
    }
}

/// Local savefiles, plain pcap or pcapng, in the order in which the source numbers them.
#[derive(Debug)]
pub struct LocalFiles {
    paths: Vec<PathBuf>,
    open: OpenFiles,
}

impl LocalFiles {
    /// The files of a source; file `n` of a [`Position`] is `paths[n]`.
    pub fn new(paths: Vec<PathBuf>) -> LocalFiles {
        LocalFiles {
            paths,
            open: OpenFiles::default(),
        }
    }
}

impl PacketBytes for LocalFiles {
    fn read(&self, position: Position, caplen: u32, into: &mut Vec<u8>) -> Result<(), SpoolError> {
        let path = self
            .paths
            .get(position.file as usize)
            .ok_or_else(|| gone(position))?;
        // What kind it is, its first bytes tell.
        let (file, _) = self.open.file(position.file, Form::default(), path)?;
        let head =
            head_bytes(&file, position.offset).map_err(|error| cut_off(error, path, position))?;
        let at = position.offset.saturating_add(head);
        read_bytes(&file, at, caplen, into).map_err(|error| cut_off(error, path, position))
    }
}

/// Bytes between the start of a record and its packet, by what the file and the record are.
fn head_bytes(file: &File, offset: u64) -> std::io::Result<u64> {
    let mut magic = [0; 4];
    read_at(file, &mut magic, 0)?;
    if magic != [0x0a, 0x0d, 0x0d, 0x0a] {
        // A record header of a classic savefile: seconds, fraction, captured length, length.
        return Ok(16);
    }
    let mut kind = [0; 4];
    read_at(file, &mut kind, offset)?;
    // A simple packet block (type 3, in either byte order) has only the length in front.
    Ok(match kind {
        [3, 0, 0, 0] | [0, 0, 0, 3] => 12,
        _ => 28,
    })
}

fn gone(position: Position) -> SpoolError {
    SpoolError::Gone {
        file: position.file,
        offset: position.offset,
    }
}

fn cut_off(error: std::io::Error, path: &Path, position: Position) -> SpoolError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        gone(position)
    } else {
        SpoolError::io("read", path)(error)
    }
}
