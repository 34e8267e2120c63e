//! The live host: what the helpers of scripts do when tapedeck really runs.
//!
//! In: one request of one script at a time. Out: files in the script's own data folder, objects in
//! its buckets, wishes to the recorder. Never: an effect outside those.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::private;
use crate::script::console::Console;
use crate::script::host::{Host, HostCall, ScriptId};
use crate::script::wire::Role;
use crate::store::{Body, PutOptions};
use crate::time::{Clock, Timestamp};

use super::files::{FileError, Files, Found, Share, clean};
use super::metrics::ScriptMetrics;
use super::objects::{
    NodeName, Order, StoreFactory, clear_arguments, content_type, put_arguments, url,
};
use super::outside::Outside;
use super::streams::{Pins, StreamReader};
use super::vendor::Vendors;

/// Name of the dump of the name history in every data folder.
pub const HISTORY: &str = "name_resolution_history.json";

/// How often the dump is written anew.
const HISTORY_EVERY: Duration = Duration::from_secs(3);

/// Bytes from which the type of an upload is told.
const SNIFFED: usize = 512;

/// Folders of keys that scripts may never clear.
const REELS: &str = "reels/";

/// What scripts ask of the recorder.
pub trait Recordings: Send + Sync {
    /// `recording.set({name, kfl, ...})`: declares a recording, or changes it.
    /// Answers its status.
    fn set(&self, script: &ScriptId, wanted: &Json) -> Result<Json, String>;
    /// `recording.take(stream, name?)`: takes a stream whatever its items are.
    fn take(&self, stream: &str, name: Option<&str>) -> Result<(), String>;
    /// `recording.seal(name?)`: seals what is open now.
    fn seal(&self, name: Option<&str>) -> Result<Json, String>;
    /// `recording.status(name?)`: what is recorded, waiting and uploaded.
    fn status(&self, name: Option<&str>) -> Result<Json, String>;
    /// `recording.capture({...})`: records for a window of time that begins now. Answers its status.
    fn capture(&self, script: &ScriptId, wanted: &Json) -> Result<Json, String>;
}

/// All that the live host stands on.
pub struct LiveOptions {
    /// Folder that holds the data folder of every script.
    pub data: PathBuf,
    /// Bytes that all data folders may hold together.
    pub share: u64,
    /// This node.
    pub node: NodeName,
    /// Whether `vendor.s3.clear` may delete (`scripting.allowClear`).
    pub allow_clear: bool,
    /// The console of all scripts, on which uploads are told.
    pub console: Arc<Console>,
    /// The time: wall clock live, packet time in offline runs.
    pub clock: Arc<dyn Clock>,
    /// Packets of streams.
    pub reader: Arc<dyn StreamReader>,
    /// Opens the stores that scripts name.
    pub stores: Arc<StoreFactory>,
    /// The recorder.
    pub recordings: Arc<dyn Recordings>,
    /// The name history of this node, as `name_resolution_history.json` holds it.
    pub history: Arc<dyn Fn() -> Json + Send + Sync>,
    /// What lies outside.
    pub outside: Outside,
}

/// What a helper returns, or the text of the exception that the script gets.
pub(super) type Returned = Result<Json, String>;

/// Does what scripts ask.
pub struct LiveHost {
    shared: Arc<Shared>,
    pub(super) vendors: Vendors,
    pub(super) metrics: ScriptMetrics,
    /// Scripts of which it was said how their uploads are read.
    orders: Mutex<BTreeSet<u32>>,
    /// Time of the point before, in nanoseconds: points at one moment would replace each other.
    last_point: AtomicI64,
    stop: Option<Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    options: LiveOptions,
    share: Arc<Share>,
    /// By the folder's name.
    folders: Mutex<BTreeMap<String, Arc<Files>>>,
}

impl LiveHost {
    /// Opens the data folder; the dumps of the name history are kept up from now on, and all streams
    /// that links of earlier runs stand for are pinned when this returns.
    ///
    /// # Errors
    /// A sentence when the folder cannot be made, or trusted certificates cannot be read.
    pub fn start(options: LiveOptions) -> Result<LiveHost, String> {
        let (console, clock) = (Arc::clone(&options.console), Arc::clone(&options.clock));
        let report = move |script, line: &str| console.error(clock.now(), script, line);
        let vendors = Vendors::new(options.outside.vendor.clone(), Box::new(report))?;
        fs::create_dir_all(&options.data).map_err(|error| {
            format!(
                "the data folder of scripts {} cannot be made: {error}",
                options.data.display()
            )
        })?;
        let _ = private::close_folder(&options.data);
        let shared = Arc::new(Shared {
            share: Share::new(&options.data, options.share),
            options,
            folders: Mutex::default(),
        });
        if let Err(error) = shared.open_all() {
            tracing::warn!(%error, "the data folders of scripts cannot be listed");
        }
        let (stop, stopped) = bounded(1);
        let ticking = Arc::clone(&shared);
        let ticker = thread::spawn(move || {
            while stopped.recv_timeout(HISTORY_EVERY)
                == Err(crossbeam_channel::RecvTimeoutError::Timeout)
            {
                ticking.write_histories();
            }
        });
        Ok(LiveHost {
            shared,
            vendors,
            metrics: ScriptMetrics::default(),
            orders: Mutex::default(),
            last_point: AtomicI64::new(0),
            stop: Some(stop),
            ticker: Some(ticker),
        })
    }

    /// The data folder of a script.
    pub fn folder(&self, script: &Path) -> PathBuf {
        self.shared
            .options
            .data
            .join(folder_name(script, Role::Worker))
    }

    /// What metrics of scripts are now, for Prometheus (text format 0.0.4).
    pub fn metrics(&self) -> String {
        self.metrics.text()
    }

    pub(super) fn options(&self) -> &LiveOptions {
        &self.shared.options
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.options.clock.now()
    }

    /// The present moment, moved on where it was answered before.
    pub(super) fn distinct_now(&self) -> Timestamp {
        let now = self.now().nanos();
        let next = |last: i64| Some(now.max(last.saturating_add(1)));
        let last = self
            .last_point
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .unwrap_or_default();
        Timestamp::from_nanos(now.max(last.saturating_add(1)))
    }

    /// Says once of a script how its uploads are read.
    fn say_order(&self, script: &ScriptId, order: Order) {
        let mut said = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(script.index) {
            let path = script.path.display();
            let read = match order {
                Order::New => "(bucket, path, region, key id, secret)",
                Order::Old => "(region, key id, secret, bucket, path)",
            };
            tracing::debug!("{path}: vendor.s3.put is read as {read}");
        }
    }

    pub(super) fn log(&self, script: &ScriptId, line: &str) {
        let now = self.shared.options.clock.now();
        self.shared.options.console.log(now, script.index, line);
    }

    fn warn(&self, script: &ScriptId, line: &str) {
        let now = self.shared.options.clock.now();
        self.shared.options.console.error(now, script.index, line);
    }

    fn second(&self) -> i64 {
        self.shared.options.clock.now().secs()
    }

    /// The data folder of `script`, with the dump of the name history in it: scripts upload that
    /// without making it, and delete it afterwards.
    fn files(&self, script: &ScriptId) -> Result<Arc<Files>, String> {
        let files = self.shared.files(script)?;
        if !files.root().exists(HISTORY) {
            self.shared.write_history(&files);
        }
        Ok(files)
    }

    fn snapshot(&self, script: &ScriptId, selected: &[String], dir: Option<&str>) -> Returned {
        let made = self
            .files(script)?
            .snapshot(selected, dir, self.second())
            .map_err(said)?;
        tracing::debug!(packets = made.packets, name = made.name, "made a snapshot");
        for line in &made.warnings {
            self.warn(script, line);
        }
        Ok(made.name.into())
    }

    /// A file of the data folder, or the packets of a stream, and its base name.
    pub(super) fn opened(
        &self,
        script: &ScriptId,
        path: &str,
    ) -> Result<(fs::File, String), String> {
        let files = self.files(script)?;
        let path = clean(path).map_err(said)?;
        let bytes = match files.find(&path).map_err(said)? {
            Found::Stream(stream) => files.materialise(stream).map_err(said)?,
            Found::File(file) => file,
        };
        let basename = path.file_name().unwrap_or_default().to_string_lossy();
        Ok((bytes, basename.into_owned()))
    }

    fn put(&self, script: &ScriptId, arguments: &[Option<String>]) -> Returned {
        let files = self.files(script)?;
        let (target, path, order) = put_arguments(arguments, |path| files.is_file(path))?;
        self.say_order(script, order);
        let (mut bytes, basename) = self.opened(script, &path)?;
        let key = self.shared.options.node.key(&basename);
        let store = (self.shared.options.stores)(&target)?;
        let (copy, sha256, start) = self
            .copied(&mut bytes)
            .map_err(|error| format!("read {path}: {error}"))?;
        let options = PutOptions {
            sha256,
            content_type: content_type(&start),
            lock: None,
            legal_hold: false,
            // A script's upload is a plain put: names like the name history are used every hour.
            write_once: false,
            storage_class: String::new(),
        };
        store
            .put(&key, Body::File(copy.path()), &options)
            .map_err(|error| error.to_string())?;
        let bucket = &target.bucket;
        self.log(
            script,
            &format!("Uploaded {key} file to AWS S3 bucket: {bucket}"),
        );
        Ok(url(&target, &key).into())
    }

    /// A copy to upload, its hash and its first bytes: the script may change its file while it is
    /// sent, and what was hashed must be what goes out.
    pub(super) fn copied(
        &self,
        bytes: &mut fs::File,
    ) -> std::io::Result<(tempfile::NamedTempFile, [u8; 32], Vec<u8>)> {
        let mut copy = tempfile::NamedTempFile::new_in(&self.shared.options.data)?;
        let mut hash = Sha256::new();
        let mut start = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = bytes.read(&mut buffer)?;
            let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else {
                break;
            };
            let wanted = SNIFFED.saturating_sub(start.len()).min(part.len());
            start.extend_from_slice(part.get(..wanted).unwrap_or_default());
            hash.update(part);
            copy.write_all(part)?;
        }
        copy.flush()?;
        Ok((copy, hash.finalize().into(), start))
    }

    /// Prefixes that a script may clear in a bucket; `None` when it may not, which the console says.
    pub(super) fn may_clear(
        &self,
        script: &ScriptId,
        helper: &str,
        bucket: &str,
    ) -> Option<[String; 2]> {
        let refused = |why: &str| {
            self.left(script, helper, bucket, why);
            None
        };
        let Some(prefixes) = self.shared.options.node.prefixes() else {
            return refused("the name or address of this node is not known");
        };
        if prefixes.iter().any(|prefix| prefix.starts_with(REELS)) {
            return refused("recordings are never cleared");
        }
        if !self.shared.options.allow_clear {
            return refused("set scripting.allowClear to true to let scripts delete");
        }
        Some(prefixes)
    }

    fn left(&self, script: &ScriptId, helper: &str, bucket: &str, why: &str) {
        let line = format!("{helper} left the bucket {bucket} as it is: {why}");
        self.warn(script, &line);
    }

    fn clear(&self, script: &ScriptId, arguments: &[Option<String>]) -> Returned {
        let target = clear_arguments(arguments)?;
        let (bucket, helper) = (&target.bucket, "vendor.s3.clear");
        let Some(prefixes) = self.may_clear(script, helper, bucket) else {
            return Ok(Json::Null);
        };
        let store = (self.shared.options.stores)(&target)?;
        if is_locked(&store.facts()) {
            let why = "it is an Object Lock bucket, whose objects are there to stay";
            self.left(script, helper, bucket, why);
            return Ok(Json::Null);
        }
        // A store clears whole folders: one for each run of this node.
        let mut folders = BTreeSet::new();
        for prefix in &prefixes {
            store
                .list(prefix, &mut |entry| {
                    folders.extend(entry.key.split_once('/').map(|(top, _)| top.to_owned()));
                    true
                })
                .map_err(|error| error.to_string())?;
        }
        for folder in folders {
            store.clear(&folder).map_err(|error| error.to_string())?;
        }
        let [prefix, _] = prefixes;
        let prefix = prefix.trim_end_matches('_');
        let line = format!("Deleted all files under {prefix} in AWS S3 bucket: {bucket}");
        self.log(script, &line);
        Ok(Json::Null)
    }
}

impl Host for LiveHost {
    fn call(&self, script: &ScriptId, call: HostCall) -> Returned {
        use HostCall as Call;

        let done = |result: Result<(), FileError>| result.map(|()| Json::Null).map_err(said);
        let made = |result: Result<String, FileError>| result.map(Json::from).map_err(said);
        let files = || self.files(script);
        let recordings = &self.shared.options.recordings;
        match call {
            Call::FileWrite { path, content } => done(files()?.write(&path, content.as_bytes())),
            Call::FileAppend { path, content } => done(files()?.append(&path, content.as_bytes())),
            Call::FileMove { from, to } => done(files()?.rename(&from, &to)),
            Call::FileCopy { from, to } => done(files()?.copy(&from, &to)),
            Call::FileDelete { path } => done(files()?.delete(&path)),
            Call::FileExists { path } => Ok(files()?.exists(&path).into()),
            Call::FileMkdir { path } => done(files()?.mkdir(&path)),
            Call::FileMkdirTemp { name, dir } => made(files()?.mkdir_temp(
                name.as_deref().unwrap_or_default(),
                dir.as_deref().unwrap_or_default(),
            )),
            Call::FileTemp {
                name,
                dir,
                extension,
            } => made(files()?.temp(
                &name,
                dir.as_deref().unwrap_or_default(),
                extension.as_deref().unwrap_or("txt"),
            )),
            Call::FileTar { dir } => made(files()?.tar(&dir, self.second())),
            Call::PcapSnapshot { selected, dir } => {
                self.snapshot(script, &selected, dir.as_deref())
            }
            Call::PcapNameResolutionHistory => Ok((self.shared.options.history)()),
            Call::S3Put { arguments } => self.put(script, &arguments),
            Call::S3Clear { arguments } => self.clear(script, &arguments),
            call @ (Call::Webhook { .. }
            | Call::WebhookForm { .. }
            | Call::Slack { .. }
            | Call::SlackBot { .. }
            | Call::Influxdb { .. }
            | Call::Elastic { .. }
            | Call::KinesisPut { .. }
            | Call::GcsPut { .. }
            | Call::GcsClear { .. }
            | Call::AzurePut { .. }
            | Call::ChatgptPrompt { .. }
            | Call::Prometheus { .. }
            | Call::Aggregation { .. }
            | Call::HubTargeted
            | Call::HubBlockPod { .. }) => self.outside(script, call),
            Call::RecordingSet { recording } => recordings.set(script, &recording),
            Call::RecordingTake { stream, name } => recordings
                .take(&stream, name.as_deref())
                .map(|()| Json::Null),
            Call::RecordingSeal { name } => recordings.seal(name.as_deref()),
            Call::RecordingStatus { name } => recordings.status(name.as_deref()),
            Call::RecordingCapture { settings } => recordings.capture(script, &settings),
            // The supervisor answers what crosses scripts itself.
            Call::HubAction { action, object } => {
                (self.options().outside.hub)(&action, &object).map(|()| Json::Null)
            }
            Call::JobsSchedule { .. }
            | Call::JobsRemove { .. }
            | Call::JobsRemoveAll
            | Call::JobsList
            | Call::JobsRun { .. }
            | Call::JobsRunAll
            | Call::SchedulerIsRunning
            | Call::SchedulerStart
            | Call::SchedulerStop => Err("that is done elsewhere".into()),
        }
    }
}

fn said(error: FileError) -> String {
    error.to_string()
}

impl Drop for LiveHost {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

impl Shared {
    /// The data folder of a script.
    fn files(&self, script: &ScriptId) -> Result<Arc<Files>, String> {
        self.open(&folder_name(&script.path, script.role))
    }

    /// The data folder with a name, opened once.
    fn open(&self, name: &str) -> Result<Arc<Files>, String> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = folders.get(name) {
            return Ok(Arc::clone(files));
        }
        let path = self.options.data.join(name);
        let pins = Pins::new(Arc::clone(&self.options.reader));
        let run = self.options.node.run;
        let share = Share::of_folder(&path, &self.share);
        let files = Files::open(&path, pins, run, share).map_err(|error| error.to_string())?;
        let _ = private::close_folder(&path);
        let files = Arc::new(files);
        self.write_history(&files);
        folders.insert(name.to_owned(), Arc::clone(&files));
        Ok(files)
    }

    /// Opens every folder that is left of earlier runs, so that what their links stand for stays
    /// pinned although its script may not ask for anything yet.
    fn open_all(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.options.data)? {
            let entry = entry?;
            if let Some(name) = entry.file_name().to_str()
                && entry.file_type()?.is_dir()
                && let Err(error) = self.open(name)
            {
                tracing::warn!(error, "a data folder of a script cannot be opened");
            }
        }
        Ok(())
    }

    fn write_histories(&self) {
        let folders: Vec<Arc<Files>> = {
            let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
            folders.values().cloned().collect()
        };
        for files in folders {
            self.write_history(&files);
        }
    }

    /// Writes the dump anew, in one step for whoever reads it.
    fn write_history(&self, files: &Files) {
        let text = (self.options.history)().to_string();
        if files
            .root()
            .read(HISTORY)
            .is_ok_and(|before| before == text.as_bytes())
        {
            return;
        }
        let written = tempfile::NamedTempFile::new_in(&self.options.data).and_then(|file| {
            fs::write(file.path(), &text)?;
            file.persist(files.path().join(HISTORY))
                .map_err(|error| error.error)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the name history cannot be written for scripts");
        }
    }
}

/// Stem of the script and a hash of its path: scripts with equal names keep apart, and so do the two
/// instances of one script.
fn folder_name(script: &Path, role: Role) -> String {
    let stem: String = script
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .take(60)
        .collect();
    let hash = Sha256::digest(script.to_string_lossy().as_bytes());
    let hash: String = hash
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let side = match role {
        Role::Worker => "",
        Role::Hub => "-hub",
    };
    format!("{stem}-{hash}{side}")
}

/// Whether the facts of a store name a lock.
fn is_locked(facts: &BTreeMap<&'static str, String>) -> bool {
    facts.get("object lock").is_some_and(|lock| {
        let lock = lock.to_lowercase();
        !(lock.is_empty()
            || ["off", "no", "none", "unknown"]
                .iter()
                .any(|off| lock.starts_with(off)))
    })
}
