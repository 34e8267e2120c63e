//! Requests to the API server, and what its refusals mean.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value as Json;

/// Bytes of one page of a list: 500 objects of the largest size that etcd takes would be more, and no
/// cluster is made of those.
const MAX_PAGE: usize = 256 << 20;

/// Bytes of one event of a watch; etcd takes objects of 1.5 MB.
const MAX_EVENT: usize = 16 << 20;

/// Bytes of a refusal that are read.
const MAX_REFUSAL: usize = 64 << 10;

/// Time for the head of an answer, and for a whole page.
const ANSWER: Duration = Duration::from_secs(60);

/// Objects asked for with one request.
const PAGE: usize = 500;

/// Asks for the metadata of objects alone, which API servers do since Kubernetes 1.15; older ones answer
/// with the whole objects.
const METADATA: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// The path of a page of a list; `more` says where the one before ended.
fn page_path(path: &str, selector: &str, more: &str) -> String {
    if more.is_empty() {
        return format!("{path}?limit={PAGE}{selector}");
    }
    let more = percent_encoding::utf8_percent_encode(more, percent_encoding::NON_ALPHANUMERIC);
    format!("{path}?limit={PAGE}{selector}&continue={more}")
}

/// Why a request did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The rights do not suffice.
    #[error("{0}")]
    Denied(String),
    /// The credentials do not count.
    #[error("the API server does not accept the credentials: {0}")]
    Unknown(String),
    /// What the version refers to is no longer kept.
    #[error("the version is no longer kept")]
    Gone,
    /// There is no such list.
    #[error("the API server has no such list")]
    Missing,
    /// Any other answer than success.
    #[error("the API server answered {0}: {1}")]
    Failed(u16, String),
    /// No answer, or half of one.
    #[error("{0}")]
    Away(String),
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: PageMeta,
    #[serde(default)]
    pub(super) items: Option<Vec<Json>>,
}

/// Where the list goes on, and as of which version it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMeta {
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default, rename = "continue")]
    pub(super) more: String,
}

/// An event of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct WatchEvent {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) object: Json,
}

/// Counts of requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) lists: AtomicU64,
    pub(super) watches: AtomicU64,
    pub(super) others: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// Asks the API server and counts.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    pub(super) requests: std::sync::Arc<Requests>,
}

impl Api {
    pub(super) fn new(client: Client) -> Api {
        Api {
            client,
            requests: std::sync::Arc::default(),
        }
    }

    /// One object.
    pub(super) async fn get(&self, path: &str) -> Result<Json, Refusal> {
        self.requests.others.fetch_add(1, Ordering::Relaxed);
        self.whole(path).await
    }

    /// Hands over all objects of a list, page by page; answers the version of the list. `accept` asks for
    /// another form of them.
    pub(super) async fn list(
        &self,
        path: &str,
        selector: &str,
        accept: Option<&str>,
        each: &mut (dyn FnMut(Json) + Send),
    ) -> Result<String, Refusal> {
        let mut more = String::new();
        loop {
            self.requests.lists.fetch_add(1, Ordering::Relaxed);
            let mut request = Request::get(page_path(path, selector, &more));
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            let page: Page = self.answer(request.body(Body::empty())).await?;
            page.items.into_iter().flatten().for_each(&mut *each);
            more = page.metadata.more;
            if more.is_empty() {
                return Ok(page.metadata.resource_version);
            }
        }
    }

    /// The same with the metadata of the objects alone.
    pub(super) async fn metadata(
        &self,
        path: &str,
        each: &mut (dyn FnMut(Json) + Send),
    ) -> Result<(), Refusal> {
        self.list(path, "", Some(METADATA), each).await.map(drop)
    }

    async fn whole<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, Refusal> {
        let request = Request::get(path).body(Body::empty());
        self.answer(request).await
    }

    /// Changes something; the answer is the object as it is then.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        object: &Json,
    ) -> Result<Json, Refusal> {
        self.requests.others.fetch_add(1, Ordering::Relaxed);
        let request = Request::builder().method(method).uri(path);
        let request = request.header(CONTENT_TYPE, kind);
        self.answer(request.body(Body::from(object.to_string().into_bytes())))
            .await
    }

    async fn answer<T: for<'de> Deserialize<'de>>(
        &self,
        request: http::Result<Request<Body>>,
    ) -> Result<T, Refusal> {
        let read = async {
            let body = self.open(request).await?;
            let read = Limited::new(body, MAX_PAGE).collect().await;
            let bytes = read
                .map_err(|error| Refusal::Away(chain(&*error)))?
                .to_bytes();
            self.requests
                .bytes
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            serde_json::from_slice(&bytes)
                .map_err(|error| Refusal::Away(format!("an answer is no JSON of a list: {error}")))
        };
        within(ANSWER, read).await
    }

    /// A watch.
    pub(super) async fn watch(&self, path: &str) -> Result<Events, Refusal> {
        self.requests.watches.fetch_add(1, Ordering::Relaxed);
        let body = within(ANSWER, self.open(Request::get(path).body(Body::empty()))).await?;
        Ok(Events {
            body,
            waiting: Vec::new(),
            looked: 0,
            requests: self.requests.clone(),
        })
    }

    async fn open(&self, request: http::Result<Request<Body>>) -> Result<Body, Refusal> {
        let request = request.map_err(|error| Refusal::Away(error.to_string()))?;
        let sent = self.client.send(request).await;
        let response = sent.map_err(|error| Refusal::Away(chain(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = refused(response.into_body()).await;
        Err(of_code(status.as_u16(), said_in(&body)))
    }
}

async fn within<T>(
    time: Duration,
    asked: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let late = || Refusal::Away(format!("no answer within {} s", time.as_secs()));
    tokio::time::timeout(time, asked)
        .await
        .unwrap_or_else(|_| Err(late()))
}

/// The body of an answer other than success.
pub(crate) async fn refused(body: Body) -> Bytes {
    let read = Limited::new(body, MAX_REFUSAL).collect().await;
    read.map(|read| read.to_bytes()).unwrap_or_default()
}

/// What such a body says: the message of its `Status`, else its first line.
pub(crate) fn said_in(body: &[u8]) -> String {
    let said: Json = serde_json::from_slice(body).unwrap_or_default();
    match said.get("message").and_then(Json::as_str) {
        Some(message) => message.to_owned(),
        None => {
            let text = String::from_utf8_lossy(body);
            let line = text.lines().next().unwrap_or_default();
            line.chars().take(200).collect()
        }
    }
}

/// The same for a `Status` that comes as an event of a watch.
pub(super) fn of_status(object: &Json) -> Refusal {
    let code = object.get("code").and_then(Json::as_u64).unwrap_or(500);
    let message = object
        .get("message")
        .and_then(Json::as_str)
        .unwrap_or_default();
    of_code(u16::try_from(code).unwrap_or(500), message.to_owned())
}

fn of_code(code: u16, message: String) -> Refusal {
    match code {
        401 => Refusal::Unknown(message),
        403 => Refusal::Denied(message),
        404 => Refusal::Missing,
        410 => Refusal::Gone,
        other => Refusal::Failed(other, message),
    }
}

/// What libraries call their own errors, before what caused them.
const TYPES: [&str; 4] = [
    "ServiceError: ",
    "HyperError: ",
    "client error (Connect): ",
    "client error (SendRequest): ",
];

/// An error with what caused it, for people: the outer ones alone say little.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        next = error.source();
    }
    for name in TYPES {
        if let Some(cause) = said.strip_prefix(name) {
            said = cause.to_owned();
        }
    }
    said
}

/// The events of a watch, a line of JSON each.
pub(super) struct Events {
    body: Body,
    waiting: Vec<u8>,
    /// Bytes of `waiting` that hold no end of a line.
    looked: usize,
    requests: std::sync::Arc<Requests>,
}

impl Events {
    /// The next event; `None` when the server ended the watch.
    pub(super) async fn next(&mut self) -> Result<Option<WatchEvent>, Refusal> {
        loop {
            let fresh = self.waiting.get(self.looked..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                let end = self.looked + at;
                let read = serde_json::from_slice(self.waiting.get(..end).unwrap_or_default());
                self.waiting.drain(..=end);
                self.looked = 0;
                return read.map(Some).map_err(|error| {
                    Refusal::Away(format!("an event is no JSON of a watch: {error}"))
                });
            }
            self.looked = self.waiting.len();
            if self.waiting.len() > MAX_EVENT {
                return Err(Refusal::Away("an event is too large".to_owned()));
            }
            match self.body.frame().await {
                // Half a line at the end is one that was cut off: the watch goes on behind the last
                // whole event.
                None => return Ok(None),
                Some(Err(error)) => return Err(Refusal::Away(chain(&error))),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.requests
                            .bytes
                            .fetch_add(data.len() as u64, Ordering::Relaxed);
                        self.waiting.extend_from_slice(data);
                    }
                }
            }
        }
    }
}
