//! Helpers that lead outside: services, metrics, the cluster, the program's own log.
//!
//! In: calls of scripts, with the files they name. Out: what the services answered, lines on the
//! console as people know them. Never: a request to the hub's own address; it is answered here.

use std::io::Read;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::live::{LiveHost, Returned};
use super::metrics::Sample;
use super::objects::{NodeName, content_type};
use super::vendor::{Point, SharedFile, azure, form};
use super::vendor::{Upload, VendorOptions, Vendors};
use super::web::{Request, uri};
use crate::script::host::{HostCall, Pairs, ScriptId};

/// Host name of the hub, under which scripts ask for pods; there is no such host.
const HUB: &str = "kubeshark-hub";

/// Bytes of a file that is shared in a chat.
const MAX_SHARED: u64 = 64 << 20;

/// Files that are shared with one message.
const MAX_FILES: usize = 10;

/// Takes `hub.action(action, object)`; the sentence says why it did not get there.
pub type HubAction = dyn Fn(&str, &Json) -> Result<(), String> + Send + Sync;

/// Does `hub.blockPod(name, namespace)`; a sentence says what came of it, or why not.
pub type PodBlocker = dyn Fn(&str, &str) -> Result<String, String> + Send + Sync;

/// What lies outside of this process.
#[derive(Clone)]
pub struct Outside {
    /// How services are reached.
    pub vendor: VendorOptions,
    /// Pods inside and outside the capture's target: `{"targets": [...], "excluded": [...]}`.
    pub pods: Arc<dyn Fn() -> Json + Send + Sync>,
    /// Takes `hub.action`, where the hub is another process.
    pub hub: Arc<HubAction>,
    /// Cuts a pod off.
    pub block: Arc<PodBlocker>,
    /// Takes lines of `aggregation.*`.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Services as they are in the world, no cluster, lines to standard error.
impl Default for Outside {
    fn default() -> Outside {
        Outside {
            vendor: VendorOptions::default(),
            pods: Arc::new(|| json!({"targets": [], "excluded": []})),
            hub: Arc::new(|_, _| Err("there is no hub".to_owned())),
            block: Arc::new(|name, namespace| {
                Err(format!(
                    "the pod {namespace}/{name} is not blocked: scripting.allowBlockPod is off"
                ))
            }),
            log: Arc::new(|line| eprintln!("{line}")),
        }
    }
}

impl LiveHost {
    /// Does a call that leads outside.
    pub(super) fn outside(&self, script: &ScriptId, call: HostCall) -> Returned {
        let call = self.options().outside.vendor.credentials.complete(call)?;
        use HostCall as Call;
        match call {
            Call::Webhook {
                method,
                url,
                body,
                headers,
            } => self.webhook(&method, &url, body, headers),
            Call::WebhookForm {
                method,
                url,
                fields,
            } => {
                let (kind, body) = form(&fields)?;
                let request = Request::new(&method, url).body(&kind, body);
                Ok(self.vendors().web.send(&request)?.text().into())
            }
            Call::Slack { url, note } => {
                self.vendors().slack(&url, &note, self.now())?;
                Ok(Json::Null)
            }
            call @ Call::SlackBot { .. } => self.slack_bot(script, call),
            call @ Call::Influxdb { .. } => self.influxdb(script, call),
            Call::Elastic {
                url,
                index,
                document,
                login,
            } => {
                let id = self.vendors().elastic(&url, &index, &document, &login)?;
                Ok(id.into())
            }
            Call::KinesisPut {
                stream,
                payload,
                region,
                key_id,
                secret,
            } => {
                let keys = key_id.as_deref().zip(secret.as_deref());
                let node = &self.options().node.name;
                self.vendors()
                    .kinesis_put(&stream, &payload, &region, keys, node)
            }
            Call::GcsPut { bucket, path, key } => {
                let upload = self.upload(script, &path, NodeName::key)?;
                let name = upload.key.clone();
                let url = self.vendors().gcs_put(&bucket, key.as_ref(), upload)?;
                let line = format!("Uploaded {name} file to Google Cloud Storage bucket: {bucket}");
                self.log(script, &line);
                Ok(url.into())
            }
            Call::GcsClear { bucket, key } => self.gcs_clear(script, &bucket, key.as_ref()),
            Call::AzurePut {
                container,
                path,
                account,
                key,
                connection,
            } => {
                let upload = self.upload(script, &path, NodeName::key_of_node)?;
                let name = upload.key.clone();
                let login = azure::Login {
                    account: account.as_deref(),
                    key: key.as_deref(),
                    connection: connection.as_deref(),
                };
                let url = self.vendors().azure_put(&container, &login, upload)?;
                let line = format!("Uploaded {name} file to Azure container: {container}");
                self.log(script, &line);
                Ok(url.into())
            }
            Call::ChatgptPrompt {
                key,
                prompt,
                max_tokens,
            } => Ok(self.vendors().prompt(&key, &prompt, max_tokens)?.into()),
            Call::Prometheus {
                name,
                description,
                kind,
                value,
                labels,
                adds,
            } => {
                let status = self.metrics.keep(&Sample {
                    script: script.index,
                    name: &name,
                    help: &description,
                    kind,
                    value,
                    labels: &labels,
                    adds,
                })?;
                Ok(status.into())
            }
            Call::Aggregation { level, text } => {
                (self.options().outside.log)(&format!("{} {level} {text}", self.now()));
                Ok(Json::Null)
            }
            Call::HubTargeted => Ok((self.options().outside.pods)()),
            Call::HubBlockPod { name, namespace } => {
                let said = (self.options().outside.block)(&name, &namespace)?;
                self.log(script, &said);
                Ok(said.into())
            }
            other => Err(format!("{} is done elsewhere", other.helper())),
        }
    }

    fn vendors(&self) -> &Vendors {
        &self.vendors
    }

    fn webhook(&self, method: &str, url: &str, body: Option<String>, headers: Pairs) -> Returned {
        if let Some(path) = path_at_hub(url) {
            return Ok(self.as_hub(&path).into());
        }
        let mut request = Request::new(method, url);
        request.headers = headers;
        // An empty text with GET is how scripts say that there is no body.
        request.body = body
            .filter(|body| !body.is_empty() || !method.eq_ignore_ascii_case("get"))
            .map(String::into_bytes);
        Ok(self.vendors().web.send(&request)?.text().into())
    }

    /// What the hub's API answers; it is this very process.
    fn as_hub(&self, path: &str) -> String {
        match path
            .strip_prefix("/api")
            .unwrap_or(path)
            .trim_end_matches('/')
        {
            "/pods/targeted" => (self.options().outside.pods)().to_string(),
            other => format!("404 page not found: {other}"),
        }
    }

    fn slack_bot(&self, script: &ScriptId, call: HostCall) -> Returned {
        let HostCall::SlackBot {
            token,
            channel,
            note,
            fields,
            files,
        } = call
        else {
            return Ok(Json::Null);
        };
        if files.len() > MAX_FILES {
            return Err(format!("a message shares {MAX_FILES} files at most"));
        }
        let mut shared = Vec::new();
        for (name, path) in files {
            let (file, _) = self.opened(script, &path)?;
            let mut bytes = Vec::new();
            file.take(MAX_SHARED + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| format!("read {path}: {error}"))?;
            if bytes.len() as u64 > MAX_SHARED {
                return Err(format!("{path} is larger than {MAX_SHARED} bytes"));
            }
            shared.push(SharedFile { name, bytes });
        }
        let (id, stamp) =
            self.vendors()
                .slack_bot(&token, &channel, &note, &fields, &shared, self.now())?;
        self.log(
            script,
            &format!("Message sent to Slack channel: {id} at {stamp}"),
        );
        for file in shared {
            let name = file.name;
            self.log(
                script,
                &format!("Shared file: {name} to Slack channel: {id}"),
            );
        }
        Ok(Json::Null)
    }

    fn influxdb(&self, script: &ScriptId, call: HostCall) -> Returned {
        let HostCall::Influxdb {
            url,
            token,
            org,
            bucket,
            measurement,
            fields,
            tags,
        } = call
        else {
            return Ok(Json::Null);
        };
        let target = [&url, &token, &org, &bucket, &measurement].map(String::as_str);
        let point = Point::new(script.index, target, &fields, &tags, self.distinct_now())?;
        self.vendors().influx.write(point)?;
        Ok(Json::Null)
    }

    fn gcs_clear(&self, script: &ScriptId, bucket: &str, key: Option<&Json>) -> Returned {
        let Some(prefixes) = self.may_clear(script, "vendor.gcs.clear", bucket) else {
            return Ok(Json::Null);
        };
        let is_ours = |folder: &str| prefixes.iter().any(|prefix| folder.starts_with(prefix));
        self.vendors().gcs_clear(bucket, key, is_ours)?;
        let [prefix, _] = &prefixes;
        let prefix = prefix.trim_end_matches('_');
        let line =
            format!("Deleted all files under {prefix} in Google Cloud Storage bucket: {bucket}");
        self.log(script, &line);
        Ok(Json::Null)
    }

    /// A copy of a file of the data folder, with its key in a bucket.
    fn upload(
        &self,
        script: &ScriptId,
        path: &str,
        key: fn(&NodeName, &str) -> String,
    ) -> Result<Upload, String> {
        let (mut bytes, basename) = self.opened(script, path)?;
        let (copy, _, start) = self
            .copied(&mut bytes)
            .map_err(|error| format!("read {path}: {error}"))?;
        let file = copy.reopen();
        Ok(Upload {
            file: file.map_err(|error| format!("read {path}: {error}"))?,
            content_type: content_type(&start),
            key: key(&self.options().node, &basename),
        })
    }
}

/// The path of an address at the hub; `None` for every other address.
pub(super) fn path_at_hub(url: &str) -> Option<String> {
    let url = uri(url).ok()?;
    let is_hub = url.host()?.eq_ignore_ascii_case(HUB);
    is_hub.then(|| url.path().to_owned())
}
