//! A dry run: what scripts would send is told and noted instead of sent.
//!
//! In: what scripts ask. Out: everything inside tapedeck is done as always (files, packets,
//! recordings); a call whose helper reaches outside is a console line and a [`Sent`]. Never: a
//! connection. A helper that is not on the list of globals counts as one that reaches outside.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::live::LiveHost;
use super::objects::{NodeName, clear_arguments, put_arguments, url};
use super::outside::path_at_hub;
use crate::script::api::{Effect, GLOBALS};
use crate::script::console::Console;
use crate::script::host::{Host, HostCall, ScriptId};
use crate::time::Clock;

/// Calls that are kept; later ones are told on the console alone.
const MAX_SENT: usize = 10_000;

/// Bytes of an upload that are kept as text.
const MAX_TEXT: u64 = 256 * 1024;

/// Characters of the arguments that a console line shows.
const MAX_SHOWN: usize = 2000;

/// The helper whose addresses are secrets: an incoming webhook takes what comes.
const SLACK: &str = "vendor.slack";

/// What stands for a secret.
const MASK: &str = "***";

/// Parts of names whose values nobody is to read.
const SECRETS: &[&str] = &[
    "key",
    "secret",
    "token",
    "connection",
    "password",
    "login",
    "authorization",
    "signature",
];

/// A call that would have left.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// The helper, as `vendor.webhook`.
    pub helper: &'static str,
    /// Its arguments by name, secrets masked.
    pub arguments: Map<String, Json>,
    /// The file that would have gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
}

/// A file that would have been uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upload {
    /// Bucket or container.
    pub bucket: String,
    /// Key of the object.
    pub key: String,
    /// Path in the data folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Its text; `None` when it is none, or a long one.
    pub text: Option<String>,
}

/// What would have been sent in one run.
#[derive(Debug, Default)]
pub struct SentLog(Mutex<Vec<Sent>>);

impl SentLog {
    /// All calls so far, in order.
    pub fn calls(&self) -> Vec<Sent> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, sent: Sent) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() < MAX_SENT {
            calls.push(sent);
        }
    }
}

/// The live host, but for what leaves it.
pub struct DryHost {
    /// Does what stays inside.
    pub live: Arc<LiveHost>,
    /// Keys of uploads begin with it.
    pub node: NodeName,
    /// Where calls are told.
    pub console: Arc<Console>,
    /// When.
    pub clock: Arc<dyn Clock>,
    /// Where they are noted.
    pub sent: Arc<SentLog>,
}

impl Host for DryHost {
    fn call(&self, script: &ScriptId, call: HostCall) -> Result<Json, String> {
        if !leaves(call.helper()) || is_ours(&call) {
            return self.live.call(script, call);
        }
        if let HostCall::SlackBot { files, .. } = &call {
            for (_, path) in files {
                self.live.opened(script, path)?;
            }
        }
        let helper = call.helper();
        let mut arguments = arguments(&call);
        let (returned, upload) = match self.upload(script, &call, &arguments)? {
            Some((returned, upload)) => (Json::String(returned), Some(upload)),
            None => (nothing(helper), None),
        };
        mask(&mut arguments);
        if helper == SLACK {
            mask_path(arguments.get_mut("url"));
        }
        let line = match &upload {
            Some(upload) => format!(
                "Dry run: {helper} would upload {} ({} bytes) to {}",
                upload.key, upload.bytes, upload.bucket
            ),
            None => {
                let shown = Json::Object(arguments.clone()).to_string();
                let shown: String = shown.chars().take(MAX_SHOWN).collect();
                format!("Dry run: {helper} would send {shown}")
            }
        };
        self.console.log(self.clock.now(), script.index, &line);
        self.sent.note(Sent {
            helper,
            arguments,
            upload,
        });
        Ok(returned)
    }
}

impl DryHost {
    /// The file that a call would upload, and the address that it would answer.
    fn upload(
        &self,
        script: &ScriptId,
        call: &HostCall,
        arguments: &Map<String, Json>,
    ) -> Result<Option<(String, Upload)>, String> {
        let text = |name: &str| arguments.get(name).and_then(Json::as_str);
        let (bucket, path, target) = if let HostCall::S3Put { arguments } = call {
            let is_file = |path: &str| self.live.opened(script, path).is_ok();
            let (target, path, _) = put_arguments(arguments, is_file)?;
            (target.bucket.clone(), path, Some(target))
        } else if let (Some(bucket), Some(path)) =
            (text("bucket").or(text("container")), text("path"))
        {
            (bucket.to_owned(), path.to_owned(), None)
        } else {
            return Ok(None);
        };
        let (mut file, basename) = self.live.opened(script, &path)?;
        let bytes = file.metadata().map_or(0, |found| found.len());
        let mut start = Vec::new();
        if bytes <= MAX_TEXT {
            file.by_ref()
                .take(MAX_TEXT)
                .read_to_end(&mut start)
                .map_err(|error| format!("read {path}: {error}"))?;
        }
        let key = self.node.key(&basename);
        let address = match &target {
            Some(target) => url(target, &key),
            None => format!("dry-run://{bucket}/{key}"),
        };
        let upload = Upload {
            bucket,
            key,
            path,
            bytes,
            text: String::from_utf8(start).ok().filter(|_| bytes <= MAX_TEXT),
        };
        Ok(Some((address, upload)))
    }
}

/// The helper's entry on the list of globals.
fn listed(helper: &str) -> Option<&'static crate::script::api::Helper> {
    let (global, name) = helper.split_once('.')?;
    let global = GLOBALS.iter().find(|known| known.name == global)?;
    global.helpers().iter().find(|known| known.name == name)
}

fn leaves(helper: &str) -> bool {
    listed(helper).is_none_or(|known| known.effect == Effect::Network)
}

/// Whether a call that may leave does not: what the hub is asked is answered here, and metrics are
/// kept until somebody asks for them.
fn is_ours(call: &HostCall) -> bool {
    match call {
        HostCall::Webhook { url, .. } => path_at_hub(url).is_some(),
        HostCall::Prometheus { .. } => true,
        _ => false,
    }
}

/// What a helper answers when nothing was sent.
fn nothing(helper: &str) -> Json {
    let signature = listed(helper).map_or("", |known| known.signature);
    match signature.rsplit_once(" -> ").map(|(_, returned)| returned) {
        Some("string") => Json::String(String::new()),
        Some("boolean") => Json::Bool(true),
        Some(returned) if returned == "object" || returned.starts_with('{') => {
            Json::Object(Map::new())
        }
        _ => Json::Null,
    }
}

/// The arguments of a call by their names.
fn arguments(call: &HostCall) -> Map<String, Json> {
    match serde_json::to_value(call) {
        Ok(Json::Object(mut members)) => {
            members.shift_remove("call");
            // Two orders are in use; keys may stand anywhere.
            if let HostCall::S3Put { .. } | HostCall::S3Clear { .. } = call {
                members.shift_remove("arguments");
            }
            if let HostCall::S3Clear { arguments } = call
                && let Ok(target) = clear_arguments(arguments)
            {
                members.insert("region".to_owned(), target.region.into());
                members.insert("bucket".to_owned(), target.bucket.into());
            }
            members
        }
        _ => Map::new(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret))
}

fn mask(members: &mut Map<String, Json>) {
    for (name, value) in members {
        let is_secret = is_secret(name);
        match value {
            Json::Object(inner) if !is_secret => mask(inner),
            Json::Array(list) if !is_secret => {
                for one in list.iter_mut() {
                    pair(one);
                    if let Json::Object(inner) = one {
                        mask(inner);
                    }
                }
            }
            Json::Null => {}
            value if is_secret => *value = Json::String(MASK.to_owned()),
            Json::String(text) if name == "url" => *text = masked(text),
            _ => {}
        }
    }
}

/// `["Authorization", "..."]`, as headers are written in calls.
fn pair(value: &mut Json) {
    if let Json::Array(list) = value
        && let [Json::String(name), second] = list.as_mut_slice()
        && is_secret(name)
    {
        *second = Json::String(MASK.to_owned());
    }
}

/// An address without the password before its host and the secrets behind its question mark.
fn masked(url: &str) -> String {
    let (front, query) = match url.split_once('?') {
        Some((front, query)) => (front, Some(query)),
        None => (url, None),
    };
    let (scheme, rest) = front.split_once("://").unwrap_or(("", front));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut shown = String::new();
    if !scheme.is_empty() {
        shown = format!("{scheme}://");
    }
    match host.rsplit_once('@') {
        Some((_, host)) => shown.push_str(&format!("{MASK}@{host}")),
        None => shown.push_str(host),
    }
    shown.push_str(path);
    for (index, pair) in query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .enumerate()
    {
        shown.push(if index == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => shown.push_str(&format!("{name}={MASK}")),
            _ => shown.push_str(pair),
        }
    }
    shown
}

/// Leaves the host alone of an address whose path is its secret.
fn mask_path(url: Option<&mut Json>) {
    if let Some(Json::String(url)) = url {
        let start = url.find("://").map_or(0, |at| at + 3);
        let path = url.get(start..).and_then(|rest| rest.find('/'));
        if let Some(path) = path {
            url.truncate(start + path + 1);
            url.push_str(MASK);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_leaves_is_told_from_what_stays() {
        for stays in ["file.write", "pcap.snapshot", "recording.set", "jobs.list"] {
            assert!(!leaves(stays), "{stays}");
        }
        for out in ["vendor.s3.put", "vendor.s3.clear", "vendor.new", "other"] {
            assert!(leaves(out), "{out}");
        }
        assert_eq!(nothing("vendor.s3.put"), json!(""));
        assert_eq!(nothing("vendor.s3.clear"), Json::Null);
    }

    #[test]
    fn addresses_are_shown_without_their_secrets() {
        for (url, shown) in [
            ("http://a.test/x?y=1", "http://a.test/x?y=1"),
            (
                "http://me:pw@a.test:80/x?apikey=k&z",
                "http://***@a.test:80/x?apikey=***&z",
            ),
            ("a.test", "a.test"),
            (
                "https://a.test?sig=1&X-Amz-Signature=2",
                "https://a.test?sig=1&X-Amz-Signature=***",
            ),
        ] {
            assert_eq!(masked(url), shown);
        }
        let mut url = json!("https://hooks.slack.com/services/T0/B0/x");
        mask_path(Some(&mut url));
        assert_eq!(url, "https://hooks.slack.com/***");
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let mut members = json!({
            "url": "http://127.0.0.1/", "token": "t", "key": {"private_key": "k"}, "none": null,
            "headers": [["Authorization", "Bearer x"], ["Accept", "text/plain"]],
            "document": {"apiKey": "a", "path": "/cart"},
        });
        mask(members.as_object_mut().unwrap());
        assert_eq!(
            members,
            json!({
                "url": "http://127.0.0.1/", "token": "***", "key": "***", "none": null,
                "headers": [["Authorization", "***"], ["Accept", "text/plain"]],
                "document": {"apiKey": "***", "path": "/cart"},
            })
        );
    }
}
