//! Small files that are whole, or as they were before.
//!
//! In: paths and bytes. Out: a file written whole, or a line behind the last whole one, whatever the
//! disk refuses. Never: packets, which `spool` writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::private;

/// Makes what was renamed or deleted in a folder last.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Other systems sync names with their files and refuse to open a folder.
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Writes a file of its owner's alone so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let half = path.with_extension("half");
    let mut options = private::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .open(&half)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&half, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Reads a file of so many bytes at most.
pub(crate) fn read_capped(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    fs::read(path)
}

/// What a file of so many bytes at most says; `None` when it is missing or damaged.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, most: u64) -> Option<T> {
    serde_json::from_slice(&read_capped(path, most).ok()?).ok()
}

/// Writes a value so that its file is there whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    write_whole(path, &serde_json::to_vec(value)?)
}

/// Opens a file that grows by [`append`], and makes it when it is missing.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Adds bytes at the end of a file that was opened for it: all of them or none, since readers take
/// nothing of what stands behind a torn line.
pub(crate) fn append(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    let written = file.write_all(bytes);
    if written.is_err() {
        // Cutting takes no room; when even this fails, the disk is gone.
        let _ = file.set_len(before);
    }
    written
}
