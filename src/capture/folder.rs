//! Several savefiles as one source: named ones, and those below a folder.
//!
//! In: paths; `-` is standard input. Out: their packets, file after file. Files of a folder come in
//! the order of their first packets, which is the order in which a capturing program rotated them.
//! A file that begins before the one in front of it ended cannot be its continuation: between the two
//! stands a [`Filled::Boundary`]. Never: more than one file open at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::capture::file::{self, FileSource, LeftBlocks, plain_name};
use crate::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use crate::time::Timestamp;

/// Folders within folders that are walked; deeper ones are a loop or a mistake.
pub const MAX_DEPTH: usize = 16;

/// Files read from folders; a recording of a week in files of one stream each stays below.
pub const MAX_FILES: usize = 200_000;

/// A rotated file may begin this long before the last packet of the one in front: packets of
/// several queues are not quite in order.
const ROTATION_SLACK: Duration = Duration::from_secs(1);

/// Opens files, folders and `-` as one source, in the order given.
///
/// # Errors
/// When a path is missing, may not be read or is no capture, and when a folder holds none.
pub fn open_all(paths: &[PathBuf]) -> Result<Box<dyn Source>, CaptureError> {
    let mut files = Vec::new();
    let mut warnings = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            files.push(Planned {
                place: Place::Stdin,
                first: None,
                bytes: None,
            });
            continue;
        }
        let kind = fs::metadata(path)
            .map_err(|error| CaptureError::from_io(path.display().to_string(), error))?;
        if kind.is_dir() {
            files.extend(plan_folder(path, &mut warnings)?);
        } else {
            // Reading the front of a pipe would take it away from the reader that comes later.
            let first = match kind.is_file() {
                true => file::first_packet(path)?,
                false => None,
            };
            files.push(Planned {
                place: Place::Path(path.clone()),
                first,
                bytes: kind.is_file().then_some(kind.len()),
            });
        }
    }
    Ok(Box::new(Files {
        total: files.iter().map(|file| file.bytes).sum(),
        files,
        next: 0,
        current: None,
        latest: None,
        done_bytes: 0,
        counts: SourceCounts::default(),
        warnings,
        key_logs: Vec::new(),
        left: LeftBlocks::default(),
    }))
}

#[derive(Debug)]
struct Planned {
    place: Place,
    /// Time of the first packet, where it can be known before reading.
    first: Option<Timestamp>,
    bytes: Option<u64>,
}

#[derive(Debug)]
enum Place {
    Stdin,
    Path(PathBuf),
}

/// The captures below a folder, in the order of their first packets, then of their names.
fn plan_folder(folder: &Path, warnings: &mut Vec<String>) -> Result<Vec<Planned>, CaptureError> {
    let mut paths = Vec::new();
    walk(folder, 0, &mut paths, warnings)?;
    paths.sort();
    if paths.len() > MAX_FILES {
        warnings.push(format!(
            "{}: only the first {MAX_FILES} of {} files are read",
            folder.display(),
            paths.len()
        ));
        paths.truncate(MAX_FILES);
    }
    let mut planned = Vec::new();
    for path in paths {
        match file::first_packet(&path) {
            Ok(first) => planned.push(Planned {
                first,
                bytes: fs::metadata(&path).ok().map(|kind| kind.len()),
                place: Place::Path(path),
            }),
            // Other files may lie beside captures; what is named like one should be one.
            Err(error) if is_named_like_a_capture(&path) => warnings.push(error.to_string()),
            Err(_) => {}
        }
    }
    planned.sort_by_key(|file| file.first);
    if planned.is_empty() {
        return Err(CaptureError::NoCaptures {
            path: folder.display().to_string(),
        });
    }
    Ok(planned)
}

fn walk(
    folder: &Path,
    depth: usize,
    into: &mut Vec<PathBuf>,
    warnings: &mut Vec<String>,
) -> Result<(), CaptureError> {
    let failed = |error| CaptureError::from_io(folder.display().to_string(), error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Hidden files are leftovers of editors, file managers and copying.
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        // Links to files are followed, links to folders are not: they may lead back.
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        if is_folder && depth < MAX_DEPTH {
            if let Err(error) = walk(&path, depth + 1, into, warnings) {
                warnings.push(error.to_string());
            }
        } else if !is_folder && path.is_file() {
            into.push(path);
        }
    }
    Ok(())
}

fn is_named_like_a_capture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    let plain = plain_name(&name);
    [".pcap", ".pcapng", ".cap"]
        .iter()
        .any(|ending| plain.ends_with(ending))
}

struct Files {
    files: Vec<Planned>,
    /// The file that comes after `current`.
    next: usize,
    current: Option<FileSource>,
    /// Latest packet time since the last boundary; `None` before the first packet.
    latest: Option<Timestamp>,
    /// Bytes of the files that are done.
    done_bytes: u64,
    /// Bytes of all files; `None` when one is a pipe.
    total: Option<u64>,
    /// Counts of the files that are done.
    counts: SourceCounts,
    warnings: Vec<String>,
    /// Key logs of files that are read, until somebody takes them.
    key_logs: Vec<Vec<u8>>,
    left: LeftBlocks,
}

impl Files {
    /// Opens the next file; tells whether it goes on where the one before ended. `None` at the end.
    fn open_next(&mut self) -> Result<Option<Filled>, CaptureError> {
        let number = u32::try_from(self.next).unwrap_or(u32::MAX);
        let Some(planned) = self.files.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        let continues = match (self.latest, planned.first) {
            (None, _) => true,
            (Some(latest), Some(first)) => latest.since(first) <= ROTATION_SLACK,
            (Some(_), None) => false,
        };
        self.current = Some(match &planned.place {
            Place::Stdin => file::open_stdin(number)?,
            Place::Path(path) => file::open_numbered(path, number)?,
        });
        if continues {
            return Ok(Some(Filled::More));
        }
        self.latest = None;
        Ok(Some(Filled::Boundary))
    }

    fn close(&mut self) {
        if let Some(mut done) = self.current.take() {
            self.done_bytes += done.bytes_read();
            self.warnings.extend(done.warnings());
            self.key_logs.extend(done.key_logs());
            self.left.keep(&mut done);
            let counts = done.counts();
            self.counts.received += counts.received;
            self.counts.damaged += counts.damaged;
        }
    }
}

impl Source for Files {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        loop {
            let Some(current) = &mut self.current else {
                match self.open_next()? {
                    None => return Ok(Filled::End),
                    Some(Filled::Boundary) => return Ok(Filled::Boundary),
                    Some(_) => continue,
                }
            };
            let filled = current.fill(batch)?;
            let read = current.latest();
            if current.counts().received > 0 {
                self.latest = Some(self.latest.map_or(read, |latest| latest.max(read)));
            }
            match filled {
                Filled::End => {
                    self.close();
                    // What stands at the front of the next file is said before its packets come.
                    if !batch.records.is_empty() {
                        return Ok(Filled::More);
                    }
                }
                other => return Ok(other),
            }
        }
    }

    fn counts(&mut self) -> SourceCounts {
        let mut counts = self.counts;
        if let Some(current) = &mut self.current {
            let more = current.counts();
            counts.received += more.received;
            counts.damaged += more.damaged;
        }
        counts
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let total = self.total?;
        let current = self.current.as_ref().map_or(0, FileSource::bytes_read);
        Some(((self.done_bytes + current).min(total), total))
    }

    fn interface_name(&self, interface: u32) -> Option<String> {
        self.current.as_ref()?.interface_name(interface)
    }

    fn path(&self, number: u32) -> Option<PathBuf> {
        match &self.files.get(number as usize)?.place {
            Place::Path(path) if file::is_seekable(path) => Some(path.clone()),
            _ => None,
        }
    }

    fn key_logs(&mut self) -> Vec<Vec<u8>> {
        let mut logs = std::mem::take(&mut self.key_logs);
        if let Some(current) = &mut self.current {
            logs.extend(current.key_logs());
        }
        logs
    }

    fn front_blocks(&mut self) -> Option<Vec<Vec<u8>>> {
        self.left.front(self.current.as_mut())
    }

    fn back_blocks(&mut self) -> Vec<Vec<u8>> {
        self.left.back(self.current.as_mut())
    }

    fn warnings(&mut self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.warnings);
        if let Some(current) = &mut self.current {
            warnings.extend(current.warnings());
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::LinkType;
    use crate::packet::savefile::pcap;

    fn write(path: &Path, seconds: &[i64]) {
        let mut file = Vec::new();
        let precision = pcap::Precision::Micros;
        pcap::write_header(&mut file, LinkType::RAW, 65_535, precision);
        for second in seconds {
            let ts = Timestamp::from_secs(*second, 0);
            pcap::write_packet(&mut file, precision, ts, 1, &[0x45]);
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }

    /// Seconds of the packets, with -1 for a boundary.
    fn seconds(source: &mut dyn Source) -> Vec<i64> {
        let mut seen = Vec::new();
        loop {
            let mut batch = RawBatch::default();
            let filled = source.fill(&mut batch).unwrap();
            seen.extend(batch.records.iter().map(|record| record.ts.secs()));
            match filled {
                Filled::Boundary => seen.push(-1),
                Filled::End => return seen,
                _ => {}
            }
        }
    }

    #[test]
    fn rotated_files_go_on_in_the_order_of_their_first_packets() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("tap10.pcap"), &[30, 40]);
        write(&at("tap2.pcap"), &[10, 20]);
        write(&at("below/tap1.pcap"), &[1, 2]);
        fs::write(at("notes.json"), "{}").unwrap();
        fs::write(at(".hidden.pcap"), "junk").unwrap();
        let mut source = open_all(&[folder.path().to_owned()]).unwrap();
        assert_eq!(seconds(&mut *source), [1, 2, 10, 20, 30, 40]);
        assert_eq!(source.warnings().len(), 0);
        assert_eq!(source.counts().received, 6);
        let (read, total) = source.progress().unwrap();
        assert_eq!(read, total);
        assert_eq!(source.path(1), Some(at("tap2.pcap")));
    }

    #[test]
    fn a_file_that_begins_earlier_is_another_capture() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("a.pcap"), &[10, 50]);
        write(&at("b.pcap"), &[20, 60]);
        let mut source = open_all(&[at("b.pcap"), at("a.pcap")]).unwrap();
        assert_eq!(seconds(&mut *source), [20, 60, -1, 10, 50]);
    }

    #[test]
    fn a_damaged_file_between_others_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a.pcap"), &[1]);
        fs::write(folder.path().join("b.pcap.gz"), "text").unwrap();
        let mut source = open_all(&[folder.path().to_owned()]).unwrap();
        assert_eq!(seconds(&mut *source), [1]);
        let warnings = source.warnings();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("b.pcap.gz is not a capture: it begins like text"));
    }

    #[test]
    fn a_folder_without_captures_says_so() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "text").unwrap();
        let error = open_all(&[folder.path().to_owned()]).err().unwrap();
        assert!(error.to_string().contains("holds no capture"), "{error}");
    }
}
