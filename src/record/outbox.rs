//! The outbox: sealed reels on their way to the store.
//!
//! In: parcels from sealing, whole and synced. Out: objects in a store, packets first, the manifest
//! last. Never: a parcel given up, or uploaded under a second name: keys are fixed by sealing. A
//! parcel leaves only when the store confirmed all of it, or, counted and said, when the outbox's
//! share of the disk is exceeded and the policy is to drop. Uploads are retried with back-off for ever.
//!
//! ```text
//! <dir>/<run>-<sequence>/parcel.json     what it is and where it goes
//!                        packets…        its parts
//!                        manifest.json   once its parts are uploaded: final from then on
//!       half-<run>-<sequence>/           being written or being deleted; worth nothing
//!       heads/<destination>.json         the last manifest of each destination's chain
//!             <destination>-rolled.day   the day of its last roll-up
//!             <destination>-dropped.sum  what was dropped and no manifest says
//! ```

mod dropped;
mod queue;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahash::RandomState;
use sha2::{Digest as _, Sha256};

use super::files::{sync_folder, write_whole};
use super::journal::numbers_of;
use super::manifest::{Coverage, Kind, LockNote};
use super::parcel::Parcel;
use super::rate::Rate;
pub use super::settings::{OnFull, Options, Status};
use super::sign::Signer;
use super::upload::{self, Upload};
use crate::store::{Digest, Store, StoreError, hex};
use crate::time::{Clock, Timestamp};
use dropped::Dropped;
use queue::{Queue, Turn, Waiting};

/// Gives the store of a destination's URL; called again after every failure.
pub type Resolve = dyn Fn(&str) -> Result<Arc<dyn Store>, StoreError> + Send + Sync;

/// Pause while somebody waits for the outbox to drain.
const DRAIN_PAUSE: Duration = Duration::from_millis(500);

/// Time between two looks at whether somebody still waits for it.
const DRAIN_LOOK: Duration = Duration::from_millis(100);

/// Sentences kept for whoever asks next.
const MAX_WARNINGS: usize = 32;

/// Sealed reels waiting for upload; shared by sealing, status and shutdown.
pub struct Outbox {
    pub(crate) dir: PathBuf,
    max_bytes: u64,
    on_full: OnFull,
    signer: Option<Arc<Signer>>,
    first_pause: Duration,
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
    /// By destination.
    dropped: BTreeMap<String, Dropped>,
    rate: Rate,
    warnings: Vec<String>,
    is_stopping: bool,
    drains: usize,
    /// The newest uploads last.
    sent: VecDeque<Sent>,
}

/// What manifests call reels that were dropped.
const DROPPED: &str = "outbox_dropped";

/// Uploads that are remembered.
const MAX_SENT: usize = 1000;

/// A reel that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Sent {
    /// The recording.
    pub recording: String,
    /// Where it went.
    pub destination: String,
    /// Time of its first packet, RFC 3339.
    pub from: Option<String>,
    /// Time of its last packet.
    pub to: Option<String>,
    /// When it was sealed.
    pub sealed: String,
    /// When the store had confirmed it.
    pub uploaded: String,
    /// Its bytes as stored.
    pub bytes: u64,
}

/// What an upload led to.
struct Done {
    kind: Kind,
    /// Lock of the reel as read back; none of a heartbeat.
    lock: Option<LockNote>,
    sent: Sent,
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
            on_full: options.on_full,
            signer: options.signer,
            first_pause: options.first_pause,
            clock,
            resolve,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        for (name, path) in found {
            match Parcel::read(&path) {
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
    /// disk whole and synced, and waits for upload. Answers whether there is one: `fill` may find
    /// that there is nothing to keep.
    ///
    /// `let_go` lets go of what it was made from. It is called before the upload can begin: an uploaded
    /// parcel is forgotten, and the next start would make another one. When it fails, the parcel stays
    /// and waits for the next call.
    ///
    /// # Errors
    /// What the system says, a full disk among it; then nothing half-written is left behind.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        id: &str,
        fill: impl FnOnce(&Path) -> io::Result<Option<Parcel>>,
        let_go: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<bool> {
        let half = self.dir.join(format!("half-{id}"));
        let made = match Parcel::read(&self.dir.join(id)) {
            // An earlier call made it and could not let go.
            Ok(parcel) => Ok(Some(parcel)),
            Err(_) => self.write(&half, id, fill),
        };
        match made {
            Ok(Some(parcel)) => {
                let_go()?;
                self.enqueue(&parcel);
                self.keep_share();
                Ok(true)
            }
            Ok(None) => {
                let _ = fs::remove_dir_all(&half);
                let_go()?;
                Ok(false)
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
        fill: impl FnOnce(&Path) -> io::Result<Option<Parcel>>,
    ) -> io::Result<Option<Parcel>> {
        let _ = fs::remove_dir_all(half);
        fs::create_dir_all(half)?;
        let Some(mut parcel) = fill(half)? else {
            return Ok(None);
        };
        parcel.sealed_nanos = self.clock.now().nanos();
        let bytes = serde_json::to_vec(&parcel)?;
        write_whole(&half.join("parcel.json"), &bytes)?;
        sync_folder(half)?;
        fs::rename(half, self.dir.join(id))?;
        sync_folder(&self.dir)?;
        Ok(Some(parcel))
    }

    /// Whether a parcel was in the outbox at any time since the start.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.lock().known.contains(id)
    }

    /// The first number of a run that no parcel has.
    pub(crate) fn next_sequence(&self, run: u64) -> u64 {
        let state = self.lock();
        let used = state.known.iter().filter_map(|id| {
            let (of_run, sequence) = numbers_of(id)?;
            (of_run == run).then_some(sequence)
        });
        used.max().map_or(0, |last| last + 1)
    }

    fn enqueue(self: &Arc<Self>, parcel: &Parcel) {
        let bytes = super::parcel::bytes(&self.dir.join(&parcel.id));
        let mut state = self.lock();
        state.known.insert(parcel.id.clone());
        let queue = state.queues.entry(parcel.destination.clone()).or_default();
        queue.waiting.push_back(Waiting {
            id: parcel.id.clone(),
            recording: parcel.manifest.recording.clone(),
            bytes,
            packets: parcel.manifest.counts.packets,
            sealed: Timestamp::from_nanos(parcel.sealed_nanos),
            is_final: self.is_final(&parcel.id),
            error: None,
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

    fn is_final(&self, id: &str) -> bool {
        self.dir.join(id).join(upload::FINAL).exists()
    }

    /// Drops the oldest parcels while too many bytes wait, but none that is being uploaded or whose
    /// manifest may be in the store already: what comes after it would not name it.
    fn keep_share(&self) {
        if self.on_full == OnFull::Stop {
            return;
        }
        let mut state = self.lock();
        while state.bytes() > self.max_bytes {
            let oldest = state
                .queues
                .iter()
                .flat_map(|(destination, queue)| {
                    let busy = queue.uploading.clone();
                    let waiting = queue.waiting.iter();
                    waiting
                        .filter(move |waiting| Some(&waiting.id) != busy.as_ref())
                        .map(move |waiting| (destination, waiting))
                })
                .filter(|(_, waiting)| !waiting.is_final)
                .min_by_key(|(_, waiting)| waiting.sealed)
                .map(|(destination, waiting)| (destination.clone(), waiting.clone()));
            let Some((destination, oldest)) = oldest else {
                break;
            };
            for queue in state.queues.values_mut() {
                queue.waiting.retain(|waiting| waiting.id != oldest.id);
            }
            let path = self.dropped_path(&destination);
            let lost = state.dropped(&destination, &path);
            lost.add(oldest.packets, oldest.bytes, &oldest.sealed.to_string());
            // Before it is gone; where that takes room that there is not, behind it.
            let noted = lost.note(&path);
            self.discard(&oldest.id);
            if let Err(error) = noted.or_else(|_| lost.note(&path)) {
                tracing::warn!(%error, "what was dropped is not noted");
            }
            state.done.dropped += 1;
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

    /// Whether recording is to stand still: too much waits, and nothing of it may be dropped.
    pub fn is_full(&self) -> bool {
        self.on_full == OnFull::Stop && self.lock().bytes() > self.max_bytes
    }

    /// What happens when too much waits.
    pub fn on_full(&self) -> OnFull {
        self.on_full
    }

    /// The day of a destination's last roll-up.
    pub(crate) fn rolled(&self, destination: &str) -> Option<String> {
        fs::read_to_string(self.day_path(destination)).ok()
    }

    /// Notes the day of a destination's last roll-up.
    pub(crate) fn set_rolled(&self, destination: &str, day: &str) -> io::Result<()> {
        write_whole(&self.day_path(destination), day.as_bytes())
    }

    /// What waits, what was done, and what is wrong.
    pub fn status(&self) -> Status {
        let is_full = self.is_full();
        let state = self.lock();
        let waiting = || state.queues.values().flat_map(|queue| &queue.waiting);
        Status {
            waiting: waiting().count(),
            waiting_bytes: state.bytes(),
            oldest: waiting().map(|waiting| waiting.sealed).min(),
            last_error: state.queues.values().find_map(Queue::trouble),
            bytes_per_second: state.rate.per_second(Instant::now()),
            is_full,
            ..state.done.clone()
        }
    }

    /// Why something is not uploaded, by destination.
    pub fn troubles(&self) -> BTreeMap<String, String> {
        let state = self.lock();
        let queues = state.queues.iter();
        let troubles = queues.filter_map(|(name, queue)| Some((name.clone(), queue.trouble()?)));
        troubles.collect()
    }

    /// The reels that were uploaded last, the oldest of them first.
    pub fn sent(&self) -> Vec<Sent> {
        self.lock().sent.iter().cloned().collect()
    }

    /// Sentences about trouble since the last call, for console and dashboard.
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().warnings)
    }

    /// Waits until everything is uploaded, at most for `limit`, trying again without long pauses.
    pub fn drain(&self, limit: Duration) -> Status {
        self.drain_while(limit, &|| true)
    }

    /// The same as long as `goes_on` says so; it is asked some ten times a second.
    pub fn drain_while(&self, limit: Duration, goes_on: &dyn Fn() -> bool) -> Status {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        state.drains += 1;
        self.changed.notify_all();
        while state.queues.values().any(|queue| !queue.waiting.is_empty()) {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                break;
            };
            if !goes_on() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left.min(DRAIN_LOOK));
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
            let now = Instant::now();
            if is_draining {
                queue.hurry(now + DRAIN_PAUSE);
            }
            state = match queue.turn(now) {
                Turn::Try(id) => {
                    queue.uploading = Some(id.clone());
                    return Some(id);
                }
                Turn::Wait(pause) => {
                    let waited = self.changed.wait_timeout(state, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Turn::Idle => {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    fn upload(
        &self,
        destination: &str,
        id: &str,
        store: &mut Option<Arc<dyn Store>>,
    ) -> Result<Done, StoreError> {
        let store = match store {
            Some(store) => store.clone(),
            None => store.insert((self.resolve)(destination)?).clone(),
        };
        let folder = self.dir.join(id);
        let parcel = Parcel::read(&folder).map_err(|error| local(&folder, &error))?;
        let dropped_path = self.dropped_path(destination);
        let dropped = self.lock().dropped(destination, &dropped_path).sum();
        let extra: Coverage = dropped
            .map(|lost| (DROPPED.to_owned(), lost))
            .into_iter()
            .collect();
        let upload = Upload {
            store: &*store,
            heads: &self.dir.join("heads"),
            head: &self.head_path(destination),
            extra: &extra,
            signer: self.signer.as_deref(),
            now: self.clock.now(),
        };
        let put = upload.parcel(&parcel, &folder)?;
        let said = put.coverage.get(DROPPED);
        self.lock()
            .dropped(destination, &dropped_path)
            .told(said, &dropped_path);
        self.discard(id);
        let lock = put.parts.into_iter().next().map(|part| part.lock);
        let manifest = parcel.manifest;
        Ok(Done {
            kind: manifest.kind,
            lock,
            sent: Sent {
                recording: manifest.recording,
                destination: destination.to_owned(),
                from: manifest.from,
                to: manifest.to,
                sealed: manifest.sealed,
                uploaded: self.clock.now().to_string(),
                bytes: 0,
            },
        })
    }

    fn settle(&self, destination: &str, id: &str, result: Result<Done, StoreError>) {
        let is_final = self.is_final(id);
        let mut state = self.lock();
        let Some(queue) = state.queues.get_mut(destination) else {
            return;
        };
        queue.uploading = None;
        if let Some(this) = queue.waiting.iter_mut().find(|waiting| waiting.id == id) {
            this.is_final = is_final;
        }
        match result {
            Ok(Done { kind, lock, sent }) => {
                let (waiting, is_over) = queue.uploaded(id);
                let bytes = waiting.map_or(0, |waiting| waiting.bytes);
                state.rate.add(Instant::now(), bytes);
                match kind {
                    Kind::Reel => {
                        state.done.uploaded += 1;
                        state.done.uploaded_bytes += bytes;
                        if state.sent.len() == MAX_SENT {
                            state.sent.pop_front();
                        }
                        state.sent.push_back(Sent { bytes, ..sent });
                    }
                    Kind::Heartbeat | Kind::Rollup => state.done.heartbeats += 1,
                }
                let newest = &mut state.done.newest;
                newest.insert(destination.to_owned(), self.clock.now());
                if let Some(lock) = lock {
                    state.kept(destination, &lock);
                }
                if is_over {
                    state.warn(format!("uploads to {destination} work again"));
                }
            }
            Err(error) => {
                let sentence = format!("uploading to {destination} failed: {error}");
                let now = Instant::now();
                if queue.failed(id, &error, &sentence, self.first_pause, now) {
                    state.warn(format!("{sentence}; it is tried again, nothing is lost"));
                }
            }
        }
        self.changed.notify_all();
    }

    fn head_path(&self, destination: &str) -> PathBuf {
        self.dir
            .join("heads")
            .join(format!("{}.json", short(destination)))
    }

    /// Another stem than the head's: both are written by way of a file that ends otherwise.
    fn day_path(&self, destination: &str) -> PathBuf {
        self.dir
            .join("heads")
            .join(format!("{}-rolled.day", short(destination)))
    }

    fn dropped_path(&self, destination: &str) -> PathBuf {
        self.dir
            .join("heads")
            .join(format!("{}-dropped.sum", short(destination)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes how a destination keeps reels, and says it when that is news.
    fn kept(&mut self, destination: &str, lock: &LockNote) {
        let before = self.done.kept.insert(destination.to_owned(), lock.clone());
        let is_news = before.is_none_or(|before| {
            (before.state, &before.mode, before.legal_hold)
                != (lock.state, &lock.mode, lock.legal_hold)
        });
        if is_news {
            self.warn(format!("{destination} keeps reels {lock}"));
        }
    }

    /// What a destination lost; `path` is where an earlier process noted it.
    fn dropped(&mut self, destination: &str, path: &Path) -> &mut Dropped {
        let known = self.dropped.entry(destination.to_owned());
        known.or_insert_with(|| Dropped::read(path))
    }

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

/// A destination's name in the folder of heads.
fn short(destination: &str) -> String {
    let name: Digest = Sha256::digest(destination.as_bytes()).into();
    let mut name = hex(&name);
    name.truncate(16);
    name
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
