//! The outbox: sealed reels on their way to the store.
//!
//! In: parcels from sealing, whole and synced. Out: objects in a store, packets first, the manifest
//! last. Never: a parcel given up, or uploaded under a second name: keys are fixed by sealing. A
//! parcel leaves only when the store confirmed all of it, or, counted and said, when the outbox's
//! share of the disk is exceeded. Uploads are retried with back-off for ever.
//!
//! ```text
//! <dir>/<run>-<sequence>/parcel.json     what it is and where it goes
//!                        packets…        its parts
//!                        manifest.json   once its parts are uploaded: final from then on
//!       half-<run>-<sequence>/           being written or being deleted; worth nothing
//!       heads/<destination>.json         the last manifest of each destination's chain
//! ```

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahash::RandomState;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::journal::Head;
use super::manifest::{Coverage, Covered, Kind, MAX_MANIFEST_BYTES, Manifest};
use super::seal::sync_folder;
use super::upload;
use super::wish::Retention;
use crate::store::{Digest, Store, StoreError, hex};
use crate::time::{Clock, Timestamp};

/// Gives the store of a destination's URL; called again after every failure.
pub type Resolve = dyn Fn(&str) -> Result<Arc<dyn Store>, StoreError> + Send + Sync;

/// First pause after a failed upload; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause when trying again may help.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Longest pause when somebody must change something first (rights, a missing bucket).
const MAX_REFUSED_PAUSE: Duration = Duration::from_secs(300);

/// Pause while somebody waits for the outbox to drain.
const DRAIN_PAUSE: Duration = Duration::from_millis(500);

/// Sentences kept for whoever asks next.
const MAX_WARNINGS: usize = 32;

/// A sealed reel on disk: what it is and where it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parcel {
    pub(crate) id: String,
    pub(crate) destination: String,
    pub(crate) lock: Option<String>,
    pub(crate) lock_seconds: u64,
    pub(crate) legal_hold: bool,
    #[serde(default)]
    pub(crate) storage_class: String,
    pub(crate) stem: String,
    pub(crate) sealed_nanos: i64,
    /// Names of the parts' files, in the order of the manifest's parts.
    pub(crate) files: Vec<String>,
    pub(crate) manifest: Manifest,
}

impl Parcel {
    pub(crate) fn new(head: &Head, stem: String, manifest: Manifest, files: Vec<String>) -> Parcel {
        Parcel {
            id: head.id(),
            destination: head.destination.clone(),
            lock: head.lock.clone(),
            lock_seconds: head.lock_seconds,
            legal_hold: head.legal_hold,
            storage_class: head.storage_class.clone(),
            stem,
            sealed_nanos: 0,
            files,
            manifest,
        }
    }

    pub(crate) fn retention(&self) -> Option<Retention> {
        super::journal::retention(self.lock.as_deref(), self.lock_seconds)
    }
}

/// How the outbox is set up.
pub struct Options {
    /// Its folder; made when missing.
    pub dir: PathBuf,
    /// Bytes that may wait; beyond them the oldest parcel is dropped.
    pub max_bytes: u64,
}

/// What the outbox holds and did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Status {
    /// Parcels that wait, heartbeats included.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the oldest of them was sealed.
    pub oldest: Option<Timestamp>,
    /// Reels uploaded since the start.
    pub uploaded: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Heartbeats uploaded since the start.
    pub heartbeats: u64,
    /// Reels dropped because the share of the disk was exceeded.
    pub dropped: u64,
    /// The last failure that was not overcome yet, one sentence.
    pub last_error: Option<String>,
}

/// Sealed reels waiting for upload; shared by sealing, status and shutdown.
pub struct Outbox {
    pub(crate) dir: PathBuf,
    max_bytes: u64,
    pub(crate) clock: Arc<dyn Clock>,
    resolve: Arc<Resolve>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<String, Queue>,
    /// Every parcel since the start, uploaded ones too.
    known: HashSet<String, RandomState>,
    done: Status,
    dropped: Covered,
    warnings: Vec<String>,
    is_stopping: bool,
    drains: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    uploading: Option<String>,
    has_worker: bool,
    failures: u32,
    error: Option<String>,
    retry_at: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Waiting {
    id: String,
    bytes: u64,
    packets: u64,
    sealed: Timestamp,
}

impl Outbox {
    /// Opens the outbox and goes on with what an earlier process left.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn start(
        options: Options,
        clock: Arc<dyn Clock>,
        resolve: Arc<Resolve>,
    ) -> Result<Arc<Outbox>, OutboxError> {
        let dir = &options.dir;
        fs::create_dir_all(dir.join("heads")).map_err(OutboxError::at(dir))?;
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).map_err(OutboxError::at(dir))? {
            let entry = entry.map_err(OutboxError::at(dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("half-") {
                // Half written or half deleted: what it was made of, or became, is elsewhere.
                let _ = fs::remove_dir_all(entry.path());
            } else if name != "heads" {
                found.push((name, entry.path()));
            }
        }
        found.sort();
        let outbox = Arc::new(Outbox {
            dir: options.dir,
            max_bytes: options.max_bytes,
            clock,
            resolve,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        for (name, path) in found {
            match read_parcel(&path) {
                Ok(parcel) if parcel.id == name => outbox.enqueue(&parcel),
                _ => outbox.lock().warn(format!(
                    "{} is no parcel that can be read; it stays where it is and is not uploaded",
                    path.display()
                )),
            }
        }
        Ok(outbox)
    }

    /// Takes a parcel in: `fill` writes its parts into a folder, and when this returns, it is on
    /// disk whole and synced, and waits for upload.
    ///
    /// # Errors
    /// What the system says, a full disk among it; then nothing is left behind.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        id: &str,
        fill: impl FnOnce(&Path) -> io::Result<Parcel>,
    ) -> io::Result<()> {
        let half = self.dir.join(format!("half-{id}"));
        let made = self.write(&half, id, fill);
        match made {
            Ok(parcel) => {
                self.enqueue(&parcel);
                self.keep_share();
                Ok(())
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&half);
                Err(error)
            }
        }
    }

    fn write(
        &self,
        half: &Path,
        id: &str,
        fill: impl FnOnce(&Path) -> io::Result<Parcel>,
    ) -> io::Result<Parcel> {
        let _ = fs::remove_dir_all(half);
        fs::create_dir_all(half)?;
        let mut parcel = fill(half)?;
        parcel.sealed_nanos = self.clock.now().nanos();
        let bytes = serde_json::to_vec(&parcel)?;
        super::seal::write_whole(&half.join("parcel.json"), &bytes)?;
        sync_folder(half)?;
        fs::rename(half, self.dir.join(id))?;
        sync_folder(&self.dir)?;
        Ok(parcel)
    }

    /// Whether a parcel was in the outbox at any time since the start.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.lock().known.contains(id)
    }

    /// The first number of a run that no parcel has.
    pub(crate) fn next_sequence(&self, run: u64) -> u64 {
        let state = self.lock();
        let used = state.known.iter().filter_map(|id| {
            let (of_run, sequence) = id.split_once('-')?;
            let is_same = of_run.parse() == Ok(run);
            is_same.then(|| sequence.parse::<u64>().ok()).flatten()
        });
        used.max().map_or(0, |last| last + 1)
    }

    fn enqueue(self: &Arc<Self>, parcel: &Parcel) {
        let bytes = folder_bytes(&self.dir.join(&parcel.id));
        let mut state = self.lock();
        state.known.insert(parcel.id.clone());
        let queue = state.queues.entry(parcel.destination.clone()).or_default();
        queue.waiting.push_back(Waiting {
            id: parcel.id.clone(),
            bytes,
            packets: parcel.manifest.counts.packets,
            sealed: Timestamp::from_nanos(parcel.sealed_nanos),
        });
        if !queue.has_worker {
            let outbox = self.clone();
            let destination = parcel.destination.clone();
            let worker = std::thread::Builder::new()
                .name("upload".into())
                .spawn(move || outbox.work(&destination));
            match worker {
                Ok(_) => queue.has_worker = true,
                Err(error) => queue.error = Some(format!("no thread to upload with: {error}")),
            }
        }
        self.changed.notify_all();
    }

    /// Drops the oldest parcels that are not being uploaded while too many bytes wait.
    fn keep_share(&self) {
        let mut state = self.lock();
        while state.bytes() > self.max_bytes {
            let oldest = state
                .queues
                .values()
                .flat_map(|queue| {
                    let busy = queue.uploading.clone();
                    queue
                        .waiting
                        .iter()
                        .filter(move |waiting| Some(&waiting.id) != busy.as_ref())
                })
                .min_by_key(|waiting| waiting.sealed)
                .cloned();
            let Some(oldest) = oldest else { break };
            for queue in state.queues.values_mut() {
                queue.waiting.retain(|waiting| waiting.id != oldest.id);
            }
            self.discard(&oldest.id);
            state.done.dropped += 1;
            state.dropped.packets += oldest.packets;
            state.dropped.bytes += oldest.bytes;
            let at = oldest.sealed.to_string();
            state.dropped.from.get_or_insert_with(|| at.clone());
            state.dropped.to = Some(at);
            state.warn(format!(
                "the outbox is full: the reel {} sealed at {} was dropped before it could be \
                 uploaded; make the store reachable or raise tap.storageLimit",
                oldest.id, oldest.sealed
            ));
        }
    }

    /// Deletes a parcel's folder so that no half of it is ever taken for a parcel.
    fn discard(&self, id: &str) {
        let half = self.dir.join(format!("half-{id}"));
        if fs::rename(self.dir.join(id), &half).is_ok() {
            let _ = sync_folder(&self.dir);
            let _ = fs::remove_dir_all(&half);
        }
    }

    /// What waits, what was done, and what is wrong.
    pub fn status(&self) -> Status {
        let state = self.lock();
        let waiting = || state.queues.values().flat_map(|queue| &queue.waiting);
        Status {
            waiting: waiting().count(),
            waiting_bytes: state.bytes(),
            oldest: waiting().map(|waiting| waiting.sealed).min(),
            last_error: state.queues.values().find_map(|queue| queue.error.clone()),
            ..state.done.clone()
        }
    }

    /// Sentences about trouble since the last call, for console and dashboard.
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().warnings)
    }

    /// Waits until everything is uploaded, at most for `limit`, trying again without long pauses.
    pub fn drain(&self, limit: Duration) -> Status {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        state.drains += 1;
        self.changed.notify_all();
        while state.queues.values().any(|queue| !queue.waiting.is_empty()) {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                break;
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.drains -= 1;
        drop(state);
        self.status()
    }

    /// Ends the uploads after the object that is being sent; what waits is uploaded next time.
    pub fn stop(&self) {
        self.lock().is_stopping = true;
        self.changed.notify_all();
    }

    /// Waits until no upload is under way, after [`Outbox::stop`].
    #[cfg(test)]
    pub(crate) fn wait_until_still(&self) {
        let mut state = self.lock();
        while state.queues.values().any(|queue| queue.uploading.is_some()) {
            state = self.changed.wait(state).unwrap();
        }
    }

    /// The life of a destination's thread.
    fn work(&self, destination: &str) {
        let mut store = None;
        while let Some(id) = self.next(destination) {
            let result = self.upload(destination, &id, &mut store);
            if result.is_err() {
                // Credentials may have been renewed and addresses may have changed.
                store = None;
            }
            self.settle(destination, &id, result);
        }
    }

    /// Waits for the next parcel that may be tried; `None` when it is time to stop.
    fn next(&self, destination: &str) -> Option<String> {
        let mut state = self.lock();
        loop {
            if state.is_stopping {
                return None;
            }
            let is_draining = state.drains > 0;
            let queue = state.queues.get_mut(destination)?;
            let pause = queue
                .retry_at
                .and_then(|at| at.checked_duration_since(Instant::now()))
                .map(|pause| {
                    if is_draining {
                        pause.min(DRAIN_PAUSE)
                    } else {
                        pause
                    }
                });
            match (queue.waiting.front(), pause) {
                (Some(front), None) => {
                    queue.uploading = Some(front.id.clone());
                    return queue.uploading.clone();
                }
                (Some(_), Some(pause)) => {
                    if is_draining {
                        queue.retry_at = Some(Instant::now() + pause);
                    }
                    let waited = self.changed.wait_timeout(state, pause);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                (None, _) => {
                    let waited = self.changed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn upload(
        &self,
        destination: &str,
        id: &str,
        store: &mut Option<Arc<dyn Store>>,
    ) -> Result<Kind, StoreError> {
        let store = match store {
            Some(store) => store.clone(),
            None => store.insert((self.resolve)(destination)?).clone(),
        };
        let folder = self.dir.join(id);
        let parcel = read_parcel(&folder).map_err(|error| local(&folder, &error))?;
        let dropped = self.lock().dropped.clone();
        let mut extra = Coverage::new();
        if dropped != Covered::default() {
            extra.insert("outbox_dropped".to_owned(), dropped);
        }
        let head = self.head_path(destination);
        upload::parcel(&*store, &parcel, &folder, &head, &extra, self.clock.now())?;
        self.discard(id);
        Ok(parcel.manifest.kind)
    }

    fn settle(&self, destination: &str, id: &str, result: Result<Kind, StoreError>) {
        let mut state = self.lock();
        let Some(queue) = state.queues.get_mut(destination) else {
            return;
        };
        queue.uploading = None;
        match result {
            Ok(kind) => {
                let this = queue.waiting.iter().find(|waiting| waiting.id == id);
                let bytes = this.map_or(0, |waiting| waiting.bytes);
                queue.waiting.retain(|waiting| waiting.id != id);
                queue.failures = 0;
                queue.retry_at = None;
                let recovered = queue.error.take();
                match kind {
                    Kind::Reel => {
                        state.done.uploaded += 1;
                        state.done.uploaded_bytes += bytes;
                    }
                    Kind::Heartbeat => state.done.heartbeats += 1,
                }
                if recovered.is_some() {
                    state.warn(format!("uploads to {destination} work again"));
                }
            }
            Err(error) => {
                let longest = if error.is_transient() {
                    MAX_PAUSE
                } else {
                    MAX_REFUSED_PAUSE
                };
                let pause = FIRST_PAUSE
                    .saturating_mul(1 << queue.failures.min(10))
                    .min(longest);
                queue.failures = queue.failures.saturating_add(1);
                queue.retry_at = Some(Instant::now() + pause);
                if matches!(error, StoreError::Exists(_)) && queue.waiting.len() > 1 {
                    // Somebody else's object lies under this name: the others can still go.
                    queue.waiting.rotate_left(1);
                }
                let sentence = format!("uploading to {destination} failed: {error}");
                let is_news = queue.error.as_ref() != Some(&sentence);
                queue.error = Some(sentence.clone());
                if is_news {
                    state.warn(format!("{sentence}; it is tried again, nothing is lost"));
                }
            }
        }
        self.changed.notify_all();
    }

    fn head_path(&self, destination: &str) -> PathBuf {
        let name: Digest = Sha256::digest(destination.as_bytes()).into();
        let name = hex(&name);
        let short = name.get(..16).unwrap_or(&name);
        self.dir.join("heads").join(format!("{short}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bytes(&self) -> u64 {
        self.queues
            .values()
            .flat_map(|queue| &queue.waiting)
            .map(|waiting| waiting.bytes)
            .sum()
    }

    fn warn(&mut self, sentence: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(sentence);
        }
    }
}

/// Why an outbox cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the outbox in {path}: {error}")]
pub struct OutboxError {
    path: String,
    error: io::Error,
}

impl OutboxError {
    fn at(path: &Path) -> impl Fn(io::Error) -> OutboxError {
        let path = path.display().to_string();
        move |error| OutboxError {
            path: path.clone(),
            error,
        }
    }
}

pub(crate) fn local(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io(format!("{}: {error}", path.display()))
}

fn read_parcel(folder: &Path) -> io::Result<Parcel> {
    let path = folder.join("parcel.json");
    if fs::metadata(&path)?.len() > MAX_MANIFEST_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|about| about.len())
        .sum()
}
