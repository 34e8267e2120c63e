//! The audit log: who looked at which payload, downloaded what, changed what.
//!
//! In: one entry a request. Out: lines of JSON in a file, and the newest of them for a page. Never: a
//! token, a payload, a line that is lost in silence: what cannot be noted is not answered.
//!
//! ```text
//! {"at":"2026-11-24T10:00:00.000000000Z","who":"investigate","role":"investigate","from":"10.0.0.7:51000",
//!  "method":"GET","path":"/item/7","query":"","status":200}
//! ```
//!
//! The file is opened anew for each line, so that it can be moved away at any time; it is never
//! shortened from here.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::private;

/// Bytes at the end of the file that a page is shown from.
const TAIL: u64 = 1 << 20;

/// Bytes of a path or query that are noted.
const MAX_TEXT: usize = 4096;

/// One request.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Entry {
    pub(super) at: String,
    pub(super) who: String,
    pub(super) role: &'static str,
    pub(super) from: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) status: u16,
}

/// The log.
#[derive(Debug)]
pub(super) struct Audit {
    path: PathBuf,
    /// One line at a time, so that lines do not mix.
    writing: Mutex<()>,
}

impl Audit {
    pub(super) fn new(path: PathBuf) -> Audit {
        Audit {
            path,
            writing: Mutex::default(),
        }
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, mut entry: Entry) -> io::Result<()> {
        for text in [&mut entry.path, &mut entry.query] {
            if text.len() > MAX_TEXT {
                *text = text.chars().take(MAX_TEXT).collect();
            }
        }
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || {
            let mut options = private::options();
            options.create(true).append(true).open(&self.path)
        };
        let mut file = match (open(), self.path.parent()) {
            (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
                private::make_folder(folder)?;
                open()?
            }
            (opened, _) => opened?,
        };
        file.write_all(&line)
    }

    /// The newest entries, the newest first.
    ///
    /// ```text
    /// {"entries": [...], "file": path, "more": whether older ones are in the file}
    /// ```
    ///
    /// # Errors
    /// When the file cannot be read; one that is not there yet has no entries.
    pub(super) fn newest(&self, limit: usize) -> io::Result<Json> {
        let mut text = Vec::new();
        let mut cut = false;
        match File::open(&self.path) {
            Ok(mut file) => {
                let length = file.metadata()?.len();
                let start = length.saturating_sub(TAIL);
                cut = start > 0;
                file.seek(SeekFrom::Start(start))?;
                file.take(TAIL).read_to_end(&mut text)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut entries: Vec<Json> = text
            .split(|byte| *byte == b'\n')
            // The first line of a tail is hardly a whole one.
            .skip(usize::from(cut))
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        entries.reverse();
        let more = cut || entries.len() > limit;
        entries.truncate(limit);
        Ok(json!({"entries": entries, "file": self.path.display().to_string(), "more": more}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            at: "2026-11-24T10:00:00Z".into(),
            who: "investigate".into(),
            role: "investigate",
            from: "127.0.0.1:5".into(),
            method: "GET".into(),
            path: path.into(),
            query: String::new(),
            status: 200,
        }
    }

    #[test]
    fn the_newest_entries_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::new(folder.path().join("audit.jsonl"));
        assert_eq!(audit.newest(5).unwrap()["entries"], json!([]));
        for number in 0..3 {
            audit.write(entry(&format!("/item/{number}"))).unwrap();
        }
        let newest = audit.newest(2).unwrap();
        assert_eq!(newest["entries"][0]["path"], "/item/2");
        assert_eq!(newest["entries"].as_array().unwrap().len(), 2);
        assert_eq!(newest["more"], true);
    }

    #[test]
    fn a_long_file_is_read_from_its_end_and_a_moved_one_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::new(path.clone());
        for _ in 0..300 {
            audit.write(entry(&"x".repeat(2 * MAX_TEXT))).unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() > TAIL);
        audit.write(entry("/last")).unwrap();
        let newest = audit.newest(1000).unwrap();
        assert_eq!(newest["entries"][0]["path"], "/last");
        assert_eq!(newest["more"], true);
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        audit.write(entry("/first")).unwrap();
        assert_eq!(
            audit.newest(10).unwrap()["entries"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let audit = Audit::new(folder.path().join("file/audit.jsonl"));
        assert!(audit.write(entry("/item/1")).is_err());
        let audit = Audit::new(folder.path().join("new/folder/audit.jsonl"));
        assert!(audit.write(entry("/item/1")).is_ok());
    }
}
