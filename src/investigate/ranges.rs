//! Ranges of stored objects: counted, and kept on disk for the next time.
//!
//! In: entries of a listing and ranges of their bytes. Out: the bytes. Never: more on disk than the
//! cache may have; anything in it that cannot be had again. An object never changes under its key
//! and version, so what was read once holds for ever.
//!
//! ```text
//! <cache>/<hash of store, key and version>-<start>-<end>     mode 0700, safe to delete
//! <cache>/<hash of objects and reading>.items.parquet        an index made on first sight
//! ```

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::index::{self, RangeSource, Reader};
use crate::private;
use crate::store::{Digest, Entry, Store, hex};
use crate::system;
use crate::time::{Clock as _, SystemClock, Timestamp};

/// Bytes of ranges that the cache keeps unless told otherwise.
pub const DEFAULT_CACHE_BYTES: u64 = 256 << 20;

/// Made indexes may take this many times as much: what they were made of takes longest to read.
const INDEXES: u64 = 16;

/// What reading an archive took so far.
#[derive(Debug, Default)]
pub struct Used {
    /// Objects, or ranges of them, that were asked for.
    pub gets: AtomicU64,
    /// Pages of listings that were asked for, as far as they can be told from their keys.
    pub lists: AtomicU64,
    /// Bytes of the bodies.
    pub bytes: AtomicU64,
    /// Ranges that were there from an earlier time.
    pub cached: AtomicU64,
}

impl Used {
    pub(super) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// Ranges kept on disk.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in `folder`, which is made when it is missing; the oldest ranges go until the rest
    /// has `max_bytes`, and the made indexes used longest ago until those have 16 times as much.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: &Path, max_bytes: u64) -> io::Result<Cache> {
        private::make_folder(folder)?;
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for file in fs::read_dir(folder)? {
            let file = file?;
            // Another process may have deleted it.
            if let Ok(about) = file.metadata() {
                let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                kept.push((used, about.len(), file.path()));
            }
        }
        kept.sort_by_key(|(used, _, _)| std::cmp::Reverse(*used));
        let (mut ranges, mut indexes) = (0u64, 0u64);
        for (_, size, path) in kept {
            let is_index = path.to_string_lossy().ends_with(index::ENDING);
            let (bytes, most) = match is_index {
                true => (&mut indexes, max_bytes.saturating_mul(INDEXES)),
                false => (&mut ranges, max_bytes),
            };
            *bytes = bytes.saturating_add(size);
            if *bytes > most {
                let _ = fs::remove_file(path);
            }
        }
        Ok(Cache {
            folder: folder.to_owned(),
        })
    }

    fn path(&self, object: &Digest, range: &Range<u64>) -> PathBuf {
        let object = hex(object);
        self.folder
            .join(format!("{object}-{}-{}", range.start, range.end))
    }

    /// A file in the cache's folder that becomes part of it with [`Cache::keep`].
    pub(super) fn half(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::NamedTempFile::new_in(&self.folder)
    }

    /// Keeps a file as the index called `id`; opens it.
    pub(super) fn keep(&self, half: tempfile::NamedTempFile, id: &Digest) -> io::Result<File> {
        Ok(half.persist(self.index_path(id))?)
    }

    /// The index called `id`, when it is kept.
    pub(super) fn index(&self, id: &Digest) -> Option<File> {
        let path = self.index_path(id);
        let file = File::open(path).ok()?;
        // What was used last goes last.
        let now = SystemClock.now().since(Timestamp::from_secs(0, 0));
        let _ = file.set_modified(SystemTime::UNIX_EPOCH + now);
        Some(file)
    }

    fn index_path(&self, id: &Digest) -> PathBuf {
        self.folder.join(format!("{}.{}", hex(id), index::ENDING))
    }

    fn get(&self, object: &Digest, range: &Range<u64>) -> Option<Bytes> {
        let bytes = fs::read(self.path(object, range)).ok()?;
        let is_whole = bytes.len() as u64 == range.end - range.start;
        is_whole.then(|| Bytes::from(bytes))
    }

    /// Keeps a range; what the disk refuses is asked for again next time.
    fn put(&self, object: &Digest, range: &Range<u64>, bytes: &[u8]) {
        let half = tempfile::NamedTempFile::new_in(&self.folder);
        if let Ok(half) = half
            && fs::write(half.path(), bytes).is_ok()
        {
            let _ = half.persist(self.path(object, range));
        }
    }
}

/// Indexes that stay open, so that a second look costs no reading.
#[derive(Default)]
pub(super) struct Readers(Mutex<VecDeque<(String, Arc<Reader>)>>);

/// Indexes that stay open: a footer and a small index as a whole take some 200 KB.
const KEPT_READERS: usize = 128;

impl Readers {
    /// The open index of `key`.
    pub(super) fn get(&self, key: &str) -> Option<Arc<Reader>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(other, _)| other == key)?;
        let found = kept.remove(at)?;
        let reader = found.1.clone();
        kept.push_back(found);
        Some(reader)
    }

    /// Keeps an index open; the one used longest ago is closed.
    pub(super) fn keep(&self, key: &str, reader: &Arc<Reader>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_READERS {
            kept.pop_front();
        }
        kept.push_back((key.to_owned(), reader.clone()));
    }
}

/// A file's bytes.
pub(super) struct FileRanges {
    file: File,
    length: u64,
}

impl FileRanges {
    pub(super) fn new(file: File) -> io::Result<FileRanges> {
        let length = file.metadata()?.len();
        Ok(FileRanges { file, length })
    }
}

impl RangeSource for FileRanges {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = range.end.checked_sub(range.start);
        let length = length.filter(|_| range.end <= self.length);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let mut bytes = vec![0; length.ok_or(io::ErrorKind::UnexpectedEof)?];
        match system::read_at(&self.file, &mut bytes, range.start)? {
            got if got == bytes.len() => Ok(bytes.into()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// One object's bytes.
pub(super) struct ObjectRanges {
    store: Arc<dyn Store>,
    entry: Entry,
    id: Digest,
    cache: Option<Arc<Cache>>,
    used: Arc<Used>,
}

impl ObjectRanges {
    pub(super) fn new(
        store: Arc<dyn Store>,
        entry: Entry,
        cache: Option<Arc<Cache>>,
        used: Arc<Used>,
    ) -> ObjectRanges {
        let mut id = Sha256::new();
        for part in [
            store.name().as_str(),
            &entry.key,
            entry.version.as_deref().unwrap_or_default(),
        ] {
            id.update(part.as_bytes());
            id.update([0]);
        }
        ObjectRanges {
            id: id.finalize().into(),
            store,
            entry,
            cache,
            used,
        }
    }
}

impl RangeSource for ObjectRanges {
    fn len(&self) -> u64 {
        self.entry.size
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let kept = self.cache.as_ref();
        if let Some(bytes) = kept.and_then(|cache| cache.get(&self.id, &range)) {
            Used::add(&self.used.cached, 1);
            return Ok(bytes);
        }
        Used::add(&self.used.gets, 1);
        let wanted = range.end.saturating_sub(range.start);
        let body = self
            .store
            .get_listed(&self.entry, Some((range.start, range.end)))
            .map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        body.take(wanted).read_to_end(&mut bytes)?;
        Used::add(&self.used.bytes, bytes.len() as u64);
        if bytes.len() as u64 != wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(cache) = kept {
            cache.put(&self.id, &range, &bytes);
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_range_is_asked_for_once_and_the_oldest_goes_first() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        conformance::put(&*store, "a/b", b"0123456789").unwrap();
        let entry = store.head("a/b").unwrap().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(folder.path(), 100).unwrap());
        let used = Arc::new(Used::default());
        let open = || {
            let cache = Some(cache.clone());
            ObjectRanges::new(store.clone(), entry.clone(), cache, used.clone())
        };
        assert_eq!(open().read(2..5).unwrap(), "234");
        assert_eq!(open().read(2..5).unwrap(), "234");
        assert_eq!(open().read(5..10).unwrap(), "56789");
        assert_eq!(used.gets.load(Ordering::Relaxed), 2);
        assert_eq!(used.cached.load(Ordering::Relaxed), 1);
        assert_eq!(used.bytes.load(Ordering::Relaxed), 8);
        assert!(open().read(8..12).is_err());
        Cache::open(folder.path(), 5).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
