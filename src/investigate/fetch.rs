//! One object on its way: written to a temporary file by a thread, read from it meanwhile.
//!
//! In: an opener. Out: a [`Read`] that waits for what has not arrived. Never: the object in memory;
//! a body that differs from the hash it was sealed with without a warning.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::store::{Digest, hex};

/// Bytes moved at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// Sentences kept for the user; more would not be read.
const MAX_WARNINGS: usize = 1000;

/// What all threads of a source tell it.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Bytes that have arrived.
    pub(super) done: AtomicU64,
    /// Set when nobody reads any more.
    pub(super) stop: AtomicBool,
    warnings: Mutex<Vec<String>>,
}

impl Told {
    /// Adds a sentence for the user.
    pub(super) fn warn(&self, sentence: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MAX_WARNINGS {
            warnings.push(sentence);
        }
    }

    /// Takes the sentences out.
    pub(super) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts what is read, and holds it against a hash at the end.
pub(super) struct Counted<R> {
    inner: R,
    name: String,
    told: Arc<Told>,
    hash: Option<(Sha256, Digest)>,
}

impl<R: Read> Counted<R> {
    /// Counts the bytes of `inner`, which `name` calls in sentences.
    pub(super) fn new(inner: R, name: &str, told: Arc<Told>, sha256: Option<Digest>) -> Counted<R> {
        Counted {
            inner,
            name: name.to_owned(),
            told,
            hash: sha256.map(|wanted| (Sha256::new(), wanted)),
        }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let taken = self.inner.read(into)?;
        self.told
            .done
            .fetch_add(u64::try_from(taken).unwrap_or(0), Ordering::Relaxed);
        if let Some((hash, _)) = &mut self.hash {
            hash.update(into.get(..taken).unwrap_or_default());
        }
        if taken == 0
            && !into.is_empty()
            && let Some((hash, wanted)) = self.hash.take()
        {
            let found: Digest = hash.finalize().into();
            if found != wanted {
                self.told.warn(format!(
                    "{} is not what was sealed: its SHA-256 is {}, its manifest says {}",
                    self.name,
                    hex(&found),
                    hex(&wanted)
                ));
            }
        }
        Ok(taken)
    }
}

/// The reading end of a download.
pub(super) struct Download {
    shared: Arc<Shared>,
    file: File,
    /// Removes the file when the last reader is done.
    path: tempfile::TempPath,
    at: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    gone: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    written: u64,
    end: Option<Result<(), String>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing end.
pub(super) struct Filling {
    shared: Arc<Shared>,
    file: File,
    told: Arc<Told>,
}

/// Both ends of a download in `folder`.
///
/// # Errors
/// When no temporary file can be made there.
pub(super) fn download(folder: Option<&Path>, told: Arc<Told>) -> io::Result<(Download, Filling)> {
    let file = match folder {
        Some(folder) => tempfile::NamedTempFile::new_in(folder)?,
        None => tempfile::NamedTempFile::new()?,
    };
    let reading = file.reopen()?;
    let (writing, path) = file.into_parts();
    let shared = Arc::new(Shared::default());
    let filling = Filling {
        shared: shared.clone(),
        file: writing,
        told,
    };
    let download = Download {
        shared,
        file: reading,
        path,
        at: 0,
    };
    Ok((download, filling))
}

impl Filling {
    /// Writes all of `body`, unless the reader goes away.
    pub(super) fn fill(mut self, mut body: impl Read) {
        let mut chunk = vec![0; CHUNK_BYTES];
        let result = loop {
            if self.shared.gone.load(Ordering::Relaxed) || self.told.stop.load(Ordering::Relaxed) {
                break Err(io::Error::other("nobody reads it any more"));
            }
            let taken = match body.read(&mut chunk) {
                Ok(0) => break Ok(()),
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(error),
            };
            let bytes = chunk.get(..taken).unwrap_or_default();
            if let Err(error) = self.file.write_all(bytes) {
                break Err(error);
            }
            let mut state = self.shared.state();
            state.written += bytes.len() as u64;
            self.shared.changed.notify_all();
        };
        let mut state = self.shared.state();
        state.end = Some(result.map_err(|error| error.to_string()));
        self.shared.changed.notify_all();
    }
}

/// A thread that dies leaves no reader waiting.
impl Drop for Filling {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.end.is_none() {
            state.end = Some(Err("the download ended early".to_owned()));
        }
        self.shared.changed.notify_all();
    }
}

impl Download {
    /// Waits for all of it.
    ///
    /// # Errors
    /// When it did not arrive.
    pub(super) fn finished(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        loop {
            match &state.end {
                Some(Ok(())) => return Ok(()),
                Some(Err(sentence)) => return Err(io::Error::other(sentence.clone())),
                None => {
                    state = self
                        .shared
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// The file that it is written to.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.shared.state();
        let ready = loop {
            if state.written > self.at {
                break state.written - self.at;
            }
            match &state.end {
                Some(Ok(())) => return Ok(0),
                Some(Err(sentence)) => return Err(io::Error::other(sentence.clone())),
                None => {
                    state = self
                        .shared
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        drop(state);
        let most = into.len().min(usize::try_from(ready).unwrap_or(usize::MAX));
        let taken = match into.get_mut(..most) {
            Some(room) => self.file.read(room)?,
            None => 0,
        };
        self.at += taken as u64;
        Ok(taken)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_read_while_it_arrives() {
        let (mut reading, filling) = download(None, Arc::default()).unwrap();
        let path = reading.path().to_owned();
        let (mut pipe, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || filling.fill(far));
        pipe.write_all(b"first").unwrap();
        let mut five = [0; 5];
        reading.read_exact(&mut five).unwrap();
        assert_eq!(&five, b"first");
        pipe.write_all(b"last").unwrap();
        drop(pipe);
        let mut rest = Vec::new();
        reading.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"last");
        thread.join().unwrap();
        drop(reading);
        assert!(!path.exists());
    }

    #[test]
    fn a_body_that_breaks_off_is_an_error_for_its_reader() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the line is cut"))
            }
        }
        let (mut reading, filling) = download(None, Arc::default()).unwrap();
        filling.fill(b"some".chain(Broken));
        let mut all = Vec::new();
        let error = reading.read_to_end(&mut all).unwrap_err();
        assert_eq!(all, b"some");
        assert_eq!(error.to_string(), "the line is cut");
    }

    #[test]
    fn a_wrong_hash_is_a_warning_with_the_name() {
        let told = Arc::new(Told::default());
        let wanted: Digest = Sha256::digest(b"sealed").into();
        for (body, warnings) in [(&b"sealed"[..], 0), (b"forged", 1)] {
            let mut counted = Counted::new(body, "reel-1", told.clone(), Some(wanted));
            io::copy(&mut counted, &mut io::sink()).unwrap();
            let found = told.warnings();
            assert_eq!(found.len(), warnings);
            assert!(
                found
                    .iter()
                    .all(|sentence| sentence.starts_with("reel-1 is not what was sealed"))
            );
        }
        assert_eq!(told.done.load(Ordering::Relaxed), 12);
    }
}
