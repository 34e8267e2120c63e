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
use serde_json::{Map, Value as Json};

use super::wire::Role;

/// Names with their values, in the script's order.
pub type Pairs = Vec<(String, String)>;

/// A note for a chat: one attachment.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Text above the attachment.
    pub pretext: String,
    /// Text of the attachment.
    pub text: String,
    /// Colour of its bar.
    pub color: String,
}

/// The ways to sign in to Elasticsearch, as the script gave them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElasticLogin {
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Cloud id, which names the server.
    pub cloud_id: Option<String>,
    /// API key, encoded or `id:key`.
    pub api_key: Option<String>,
    /// Token of a service account.
    pub service_token: Option<String>,
    /// SHA-256 of the server's certificate, in hex.
    pub certificate_fingerprint: Option<String>,
}

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
    /// `vendor.webhook(method, url, body?, headers?)`. Answers the text of the response.
    Webhook {
        /// Method, `POST` say.
        method: String,
        /// Address.
        url: String,
        /// Body; `None` sends none.
        body: Option<String>,
        /// Further headers.
        headers: Pairs,
    },
    /// `vendor.webhookForm(method, url, fields)`. Answers the text of the response.
    WebhookForm {
        /// Method.
        method: String,
        /// Address.
        url: String,
        /// Parts of the form.
        fields: Pairs,
    },
    /// `vendor.slack(webhookUrl, pretext, text, color)`.
    Slack {
        /// Address of the incoming webhook.
        url: String,
        /// What is posted.
        note: Note,
    },
    /// `vendor.slackBot(token, channelId, pretext, text, color, fields?, files?)`.
    SlackBot {
        /// Token of the bot.
        token: String,
        /// Id of the channel.
        channel: String,
        /// What is posted.
        note: Note,
        /// Titles and values of fields.
        fields: Pairs,
        /// Display names and paths in the data folder of files to share.
        files: Pairs,
    },
    /// `vendor.influxdb(url, token, org, bucket, measurement, data, tags?)`.
    Influxdb {
        /// Address of the server.
        url: String,
        /// Token; empty for a server that wants none.
        token: String,
        /// Organisation.
        org: String,
        /// Bucket.
        bucket: String,
        /// Measurement of the point.
        measurement: String,
        /// Its fields.
        fields: Map<String, Json>,
        /// Its tags.
        tags: Pairs,
    },
    /// `vendor.elastic(url, index, data, username?, ...)`. Answers the document's id.
    Elastic {
        /// Address of the server; empty when a cloud id names it.
        url: String,
        /// Index that takes the document.
        index: String,
        /// The document.
        document: Json,
        /// How to sign in.
        login: ElasticLogin,
    },
    /// `vendor.kinesis.put(stream, payload, region, keyId?, secret?)`. Answers what the service said.
    KinesisPut {
        /// Name of the stream.
        stream: String,
        /// Data of the record.
        payload: String,
        /// Region.
        region: String,
        /// Access key id; `None` means the default chain.
        key_id: Option<String>,
        /// Secret access key; `None` means the default chain.
        secret: Option<String>,
    },
    /// `vendor.gcs.put(bucket, path, serviceAccountKey?)`. Answers the object's URL.
    GcsPut {
        /// Bucket.
        bucket: String,
        /// Path in the data folder.
        path: String,
        /// The parsed key of a service account; `None` means the default chain.
        key: Option<Json>,
    },
    /// `vendor.gcs.clear(bucket, serviceAccountKey?)`.
    GcsClear {
        /// Bucket.
        bucket: String,
        /// The parsed key of a service account; `None` means the default chain.
        key: Option<Json>,
    },
    /// `vendor.azure.put(container, path, account?, key?, connectionString?)`. Answers the blob's URL.
    AzurePut {
        /// Container, which must be there.
        container: String,
        /// Path in the data folder.
        path: String,
        /// Storage account.
        account: Option<String>,
        /// Its key; `None` means the default chain.
        key: Option<String>,
        /// A connection string, which goes before account and key.
        connection: Option<String>,
    },
    /// `chatgpt.prompt(apiKey, prompt, maxTokens?)`. Answers the completion's text.
    ChatgptPrompt {
        /// Key of the service.
        key: String,
        /// What is asked.
        prompt: String,
        /// Tokens that the answer may have.
        max_tokens: u64,
    },
    /// `prometheus.metric(...)` or `prometheus.vector(...)`. Answers a sentence.
    Prometheus {
        /// Name of the metric.
        name: String,
        /// Its help text.
        description: String,
        /// 1 counter, 2 gauge, 3 untyped.
        kind: u8,
        /// The value.
        value: f64,
        /// Its labels.
        labels: Pairs,
        /// Whether a counter adds up (`vector`) or is set (`metric`).
        adds: bool,
    },
    /// `aggregation.*`: a line for the program's own log.
    Aggregation {
        /// The script's own word for the level.
        level: String,
        /// The text.
        text: String,
    },
    /// `hub.action(action, object)`.
    HubAction {
        /// Name of the action.
        action: String,
        /// What comes with it.
        object: Json,
    },
    /// `hub.targeted()`. Answers `{"targets": [...], "excluded": [...]}`.
    HubTargeted,
    /// `hub.blockPod(name, namespace)`. Answers a sentence.
    HubBlockPod {
        /// Name of the pod.
        name: String,
        /// Its namespace.
        namespace: String,
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
    /// `recording.capture({...})`: records for a window of time from now on. Answers its status.
    RecordingCapture {
        /// Name, query and length of the window, as the script gave them.
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
            HostCall::Webhook { .. } => "vendor.webhook",
            HostCall::WebhookForm { .. } => "vendor.webhookForm",
            HostCall::Slack { .. } => "vendor.slack",
            HostCall::SlackBot { .. } => "vendor.slackBot",
            HostCall::Influxdb { .. } => "vendor.influxdb",
            HostCall::Elastic { .. } => "vendor.elastic",
            HostCall::KinesisPut { .. } => "vendor.kinesis.put",
            HostCall::GcsPut { .. } => "vendor.gcs.put",
            HostCall::GcsClear { .. } => "vendor.gcs.clear",
            HostCall::AzurePut { .. } => "vendor.azure.put",
            HostCall::ChatgptPrompt { .. } => "chatgpt.prompt",
            HostCall::Prometheus { adds: false, .. } => "prometheus.metric",
            HostCall::Prometheus { adds: true, .. } => "prometheus.vector",
            HostCall::Aggregation { .. } => "aggregation",
            HostCall::HubAction { .. } => "hub.action",
            HostCall::HubTargeted => "hub.targeted",
            HostCall::HubBlockPod { .. } => "hub.blockPod",
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
    /// Which side it plays; the hub's instance keeps its own files.
    pub role: Role,
}

/// Does what scripts ask for.
pub trait Host: Send + Sync {
    /// Does `call` for `script` and answers what the helper returns; the error is the message that
    /// the script's `Error` carries. Blocks; the budget of the hook stands still meanwhile.
    ///
    /// The supervisor answers `jobs.*` and `hub.action` itself; they never arrive here.
    fn call(&self, script: &ScriptId, call: HostCall) -> Result<Json, String>;
}
