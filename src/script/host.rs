//! Every effect that a script may ask for, and who does it.
//!
//! In: [`HostCall`]s from a child process. Out: a JSON value, or one sentence that the script sees
//! as the message of an `Error`. Never: an effect of its own; `pipeline` implements [`Host`] live,
//! tests record.
//!
//! Nothing here is trusted: paths, sizes and names come from a script and are checked by whoever
//! implements [`Host`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What the parent does for the script that asks.
///
/// String arguments are converted with ToString by the child; `None` stands for `undefined` and
/// `null` in an optional position. Each variant says what it answers; `null` where nothing is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "call",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum HostCall {
    /// `file.write(path, content)`: create or truncate.
    FileWrite {
        /// Path in the data folder.
        path: String,
        /// Text to write.
        content: String,
    },
    /// `file.append(path, content)`: append, creating if missing.
    FileAppend {
        /// Path in the data folder.
        path: String,
        /// Text to append.
        content: String,
    },
    /// `file.move(from, to)`.
    FileMove {
        /// What is moved.
        from: String,
        /// Its new place, or an existing folder that takes it.
        to: String,
    },
    /// `file.copy(from, to)`.
    FileCopy {
        /// What is copied.
        from: String,
        /// The copy.
        to: String,
    },
    /// `file.delete(path)`: recursive, nothing when missing.
    FileDelete {
        /// What is deleted.
        path: String,
    },
    /// `file.exists(path)`. Answers a boolean.
    FileExists {
        /// What is looked for.
        path: String,
    },
    /// `file.mkdir(path)`, with parents.
    FileMkdir {
        /// The folder.
        path: String,
    },
    /// `file.mkdirTemp(name?, dir?)`. Answers the relative path.
    FileMkdirTemp {
        /// Start of the name, or a pattern with `*`.
        name: Option<String>,
        /// Parent folder.
        dir: Option<String>,
    },
    /// `file.temp(name, dir?, extension?)`. Answers the relative path.
    FileTemp {
        /// Start of the name.
        name: String,
        /// Parent folder.
        dir: Option<String>,
        /// Extension without its dot.
        extension: Option<String>,
    },
    /// `file.tar(dir)`. Answers the relative path of the archive.
    FileTar {
        /// Folder that is packed.
        dir: String,
    },
    /// `pcap.snapshot(selectedPcaps?, pcapsDir?)`. Answers the relative path of the savefile.
    PcapSnapshot {
        /// Names of streams or files; empty means all.
        selected: Vec<String>,
        /// Folder in the data folder; `None` means the live streams.
        dir: Option<String>,
    },
    /// `pcap.nameResolutionHistory()`. Answers the history object.
    PcapNameResolutionHistory,
    /// `vendor.s3.put(...)`: the arguments as given, since two orders are in use and only files
    /// tell them apart. Answers the object's URL.
    S3Put {
        /// Arguments in their order, `None` for `undefined` and `null`.
        arguments: Vec<Option<String>>,
    },
    /// `vendor.s3.clear(...)`: the arguments as given.
    S3Clear {
        /// Arguments in their order, `None` for `undefined` and `null`.
        arguments: Vec<Option<String>>,
    },
    /// `jobs.schedule(tag, cron, task, limit?, ...args)`.
    JobsSchedule {
        /// Tag as the script gave it.
        tag: String,
        /// Cron text as the script gave it.
        cron: String,
        /// Runs allowed; 0 is no limit.
        limit: u64,
        /// The function's number in this child, as `RunJob` names it.
        task: u64,
    },
    /// `jobs.remove(tag)`.
    JobsRemove {
        /// Tag as the script gave it.
        tag: String,
    },
    /// `jobs.removeAll()`.
    JobsRemoveAll,
    /// `jobs.list()`. Answers a list of tags.
    JobsList,
    /// `jobs.run(tag)`.
    JobsRun {
        /// Tag as the script gave it.
        tag: String,
    },
    /// `jobs.runAll()`.
    JobsRunAll,
    /// `jobs.scheduler.isRunning()`. Answers a boolean.
    SchedulerIsRunning,
    /// `jobs.scheduler.start()`.
    SchedulerStart,
    /// `jobs.scheduler.stop()`.
    SchedulerStop,
    /// `recording.set({name, kfl, ...})`: declares a recording. Answers its status.
    RecordingSet {
        /// The declaration as the script gave it.
        recording: Json,
    },
    /// `recording.take(stream[, name])`: a recording takes a stream.
    RecordingTake {
        /// Name of the stream, with or without `.pcap`.
        stream: String,
        /// The recording; `None` means the only one.
        name: Option<String>,
    },
    /// `recording.seal([name])`: closes what is open.
    RecordingSeal {
        /// The recording; `None` means all.
        name: Option<String>,
    },
    /// `recording.status([name])`. Answers an object, or a list of them without a name.
    RecordingStatus {
        /// The recording; `None` means all.
        name: Option<String>,
    },
    /// `recording.capture({...})`: settings of the capture itself.
    RecordingCapture {
        /// The settings as the script gave them.
        settings: Json,
    },
}

impl HostCall {
    /// Name of the helper as scripts write it, for messages and counters.
    pub fn helper(&self) -> &'static str {
        match self {
            HostCall::FileWrite { .. } => "file.write",
            HostCall::FileAppend { .. } => "file.append",
            HostCall::FileMove { .. } => "file.move",
            HostCall::FileCopy { .. } => "file.copy",
            HostCall::FileDelete { .. } => "file.delete",
            HostCall::FileExists { .. } => "file.exists",
            HostCall::FileMkdir { .. } => "file.mkdir",
            HostCall::FileMkdirTemp { .. } => "file.mkdirTemp",
            HostCall::FileTemp { .. } => "file.temp",
            HostCall::FileTar { .. } => "file.tar",
            HostCall::PcapSnapshot { .. } => "pcap.snapshot",
            HostCall::PcapNameResolutionHistory => "pcap.nameResolutionHistory",
            HostCall::S3Put { .. } => "vendor.s3.put",
            HostCall::S3Clear { .. } => "vendor.s3.clear",
            HostCall::JobsSchedule { .. } => "jobs.schedule",
            HostCall::JobsRemove { .. } => "jobs.remove",
            HostCall::JobsRemoveAll => "jobs.removeAll",
            HostCall::JobsList => "jobs.list",
            HostCall::JobsRun { .. } => "jobs.run",
            HostCall::JobsRunAll => "jobs.runAll",
            HostCall::SchedulerIsRunning => "jobs.scheduler.isRunning",
            HostCall::SchedulerStart => "jobs.scheduler.start",
            HostCall::SchedulerStop => "jobs.scheduler.stop",
            HostCall::RecordingSet { .. } => "recording.set",
            HostCall::RecordingTake { .. } => "recording.take",
            HostCall::RecordingSeal { .. } => "recording.seal",
            HostCall::RecordingStatus { .. } => "recording.status",
            HostCall::RecordingCapture { .. } => "recording.capture",
        }
    }
}

/// The script on whose behalf something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptId {
    /// Its stable index, the one in console lines.
    pub index: u32,
    /// Number of its child process, never used twice.
    pub child: u64,
    /// Its title.
    pub title: String,
    /// Where it lies; what is kept for it from run to run is kept under this.
    pub path: PathBuf,
}

/// Does what scripts ask for.
pub trait Host: Send + Sync {
    /// Does `call` for `script` and answers what the helper returns; the error is the message that
    /// the script's `Error` carries. Blocks; the budget of the hook stands still meanwhile.
    ///
    /// The supervisor answers `jobs.*` itself; they never arrive here.
    fn call(&self, script: &ScriptId, call: HostCall) -> Result<Json, String>;
}
