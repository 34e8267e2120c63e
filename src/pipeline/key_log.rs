//! The TLS key log file (`SSLKEYLOGFILE`, RFC 9850) of a run.
//!
//! In: a file that programs append to while they run. Out: its lines, into the [`Secrets`] that
//! workers look into. Never: more than one piece of the file in memory; a word about what is in it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Stop;
use crate::dissect::{KeyLogLines, Secrets};
use crate::system;

/// How often a followed file is looked at; packets wait for their secrets a good deal longer.
const PACE: Duration = Duration::from_millis(100);

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// A key log file, read as far as it goes.
#[derive(Debug)]
pub struct KeyLog {
    path: PathBuf,
    file: Option<Opened>,
    lines: KeyLogLines,
}

#[derive(Debug)]
struct Opened {
    file: File,
    /// Another file may take its place.
    identity: (u64, u128),
    read: u64,
}

impl KeyLog {
    /// The file at `path`, which need not be there yet.
    pub fn new(path: &Path) -> KeyLog {
        KeyLog {
            path: path.to_owned(),
            file: None,
            lines: KeyLogLines::default(),
        }
    }

    /// Reads what is new since the last call; answers how many bytes that is.
    ///
    /// A file that was cut short or replaced is read from its start.
    ///
    /// # Errors
    /// When the file cannot be read; one that is not there (yet) is no error.
    pub fn read(&mut self, secrets: &Secrets) -> io::Result<u64> {
        let now = match std::fs::metadata(&self.path) {
            Ok(now) => now,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let identity = system::identity(&self.path)?;
        // A pipe has no length; it is read on.
        let is_other = |opened: &Opened| {
            opened.identity != identity || (now.is_file() && now.len() < opened.read)
        };
        if self.file.as_ref().is_some_and(is_other) {
            self.lines.end(secrets);
            self.file = None;
        }
        let opened = match &mut self.file {
            Some(opened) => opened,
            None => self.file.insert(Opened {
                file: File::open(&self.path)?,
                identity,
                read: 0,
            }),
        };
        let before = opened.read;
        let mut piece = vec![0; PIECE];
        loop {
            match opened.file.read(&mut piece) {
                Ok(0) => return Ok(opened.read - before),
                Ok(count) => {
                    opened.read += count as u64;
                    let new = piece.get(..count).unwrap_or_default();
                    self.lines.push(new, secrets);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the file to its end, for a run over packets of the past.
    ///
    /// # Errors
    /// As [`KeyLog::read`], and when it is not there.
    pub fn read_whole(mut self, secrets: &Secrets) -> io::Result<()> {
        self.read(secrets)?;
        if self.file.is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.lines.end(secrets);
        Ok(())
    }

    /// Follows the file on a thread of its own until `stop`; streams wait for secrets meanwhile.
    ///
    /// # Errors
    /// As [`KeyLog::read`], for what the file holds now.
    pub fn follow(mut self, secrets: Arc<Secrets>, stop: Stop) -> io::Result<()> {
        secrets.expect(true);
        self.read(&secrets)?;
        let mut told = false;
        std::thread::Builder::new()
            .name("key-log".to_owned())
            .spawn(move || {
                while !stop.is_asked() {
                    std::thread::sleep(PACE);
                    if let Err(error) = self.read(&secrets)
                        && !std::mem::replace(&mut told, true)
                    {
                        tracing::warn!(%error, path = %self.path.display(), "key log");
                    }
                }
            })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(number: u8) -> String {
        format!("CLIENT_RANDOM {number:064x} {}\n", "ab".repeat(48))
    }

    #[test]
    fn a_file_is_followed_through_growth_cut_and_replacement() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.log");
        let secrets = Secrets::default();
        let mut log = KeyLog::new(&path);
        assert_eq!(log.read(&secrets).unwrap(), 0);
        let mut file = File::create(&path).unwrap();
        let (first, second) = (line(1), line(2));
        let (front, back) = second.split_at(40);
        file.write_all(first.as_bytes()).unwrap();
        file.write_all(front.as_bytes()).unwrap();
        log.read(&secrets).unwrap();
        assert_eq!(secrets.counts().secrets, 1);
        file.write_all(back.as_bytes()).unwrap();
        log.read(&secrets).unwrap();
        assert_eq!(log.read(&secrets).unwrap(), 0);
        assert_eq!(secrets.counts().secrets, 2);

        std::fs::write(&path, line(3)).unwrap();
        log.read(&secrets).unwrap();
        assert_eq!(secrets.counts().secrets, 3);

        let other = folder.path().join("other");
        std::fs::write(&other, line(4) + &line(5)).unwrap();
        std::fs::rename(&other, &path).unwrap();
        log.read(&secrets).unwrap();
        assert_eq!(secrets.counts().secrets, 5);
    }

    #[test]
    fn a_whole_file_needs_no_last_newline_and_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.log");
        let secrets = Secrets::default();
        assert!(KeyLog::new(&path).read_whole(&secrets).is_err());
        std::fs::write(&path, line(1).trim_end()).unwrap();
        KeyLog::new(&path).read_whole(&secrets).unwrap();
        assert_eq!(secrets.counts().secrets, 1);
    }
}
