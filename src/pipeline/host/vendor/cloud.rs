//! Uploads to the clouds of Google and Microsoft, through `object_store`.
//!
//! In: a store, a key, a file. Out: the object. Never: another HTTP client than that of helpers: the
//! bridge here hands every request of `object_store` to it, so that policy, proxies, trust and
//! announcements are one thing for all.

use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, MultipartUpload, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, RetryConfig,
};
use tokio::runtime::{Builder, Runtime};

use super::super::web::{Request, Web, uri};
use super::VendorOptions;

/// Files from this size on go up in parts.
const MULTIPART_ABOVE: u64 = 16 << 20;

/// Bytes of one part; the clouds want 5 MiB at least for all but the last.
const PART: usize = 8 << 20;

/// Time for one request: a part over a line of 1 Mbit/s.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Tries after the first.
const MAX_RETRIES: usize = 3;

/// Time in which tries are made.
const RETRY_WITHIN: Duration = Duration::from_secs(120);

/// Folders that one `clear` looks into; a node has one a run.
const MAX_FOLDERS: usize = 100_000;

/// Threads that end without being waited for: whoever is the last to hold them may itself be a task
/// of another runtime, where waiting is not allowed.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A runtime for `object_store`, and the ways out.
pub(crate) struct Cloud {
    runtime: Threads,
    /// For what a script chose.
    script: Web,
    /// For credentials of the machine.
    machine: Web,
}

impl Cloud {
    /// # Errors
    /// When trusted certificates cannot be read or no thread can be started.
    pub(super) fn new(options: &VendorOptions) -> Result<Cloud, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cloud")
            .enable_all()
            .build()
            .map_err(|error| format!("no thread can be started: {error}"))?;
        Ok(Cloud {
            runtime: Threads(Some(runtime)),
            script: Web::new(options, options.network.clone())?,
            machine: Web::new(options, options.network.with_metadata())?,
        })
    }

    /// The way out: `of_machine` when neither address nor credentials are the script's.
    pub(super) fn bridge(&self, of_machine: bool) -> Bridge {
        Bridge(if of_machine {
            self.machine.clone()
        } else {
            self.script.clone()
        })
    }

    fn wait<T>(&self, work: impl Future<Output = object_store::Result<T>>) -> Result<T, String> {
        let threads = self.runtime.0.as_ref().ok_or("tapedeck is ending")?;
        threads.block_on(work).map_err(|error| sentence(&error))
    }

    /// Uploads a file under `key`, replacing what is there.
    pub(super) fn put(
        &self,
        store: &dyn ObjectStore,
        key: &str,
        mut file: File,
        content_type: &'static str,
    ) -> Result<(), String> {
        let place = Path::parse(key).map_err(|error| error.to_string())?;
        let read = |error: std::io::Error| format!("the file cannot be read: {error}");
        let size = file.metadata().map_err(read)?.len();
        let attributes = Attributes::from_iter([(Attribute::ContentType, content_type)]);
        if size <= MULTIPART_ABOVE {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(read)?;
            let options = PutOptions::from(attributes);
            return self
                .wait(store.put_opts(&place, bytes.into(), options))
                .map(|_| ());
        }
        let options = PutMultipartOptions::from(attributes);
        let mut upload = self.wait(store.put_multipart_opts(&place, options))?;
        let done = self.put_parts(&mut *upload, &mut file);
        if done.is_err() {
            // What cannot be taken back is forgotten by the clouds after some days.
            let _ = self.wait(upload.abort());
        }
        done
    }

    fn put_parts(&self, upload: &mut dyn MultipartUpload, file: &mut File) -> Result<(), String> {
        loop {
            let mut part = Vec::with_capacity(PART);
            file.take(PART as u64)
                .read_to_end(&mut part)
                .map_err(|error| format!("the file cannot be read: {error}"))?;
            if part.is_empty() {
                return self.wait(upload.complete()).map(|_| ());
            }
            self.wait(upload.put_part(part.into()))?;
        }
    }

    /// Deletes all objects in the folders for which `is_ours` is true.
    pub(super) fn clear(
        &self,
        store: &dyn ObjectStore,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        self.wait(async {
            let found = store.list_with_delimiter(None).await?;
            let ours = found
                .common_prefixes
                .iter()
                .filter(|folder| is_ours(&format!("{folder}/")));
            for folder in ours.take(MAX_FOLDERS) {
                let mut objects = store.list(Some(folder));
                while let Some(object) = objects.next().await {
                    store.delete(&object?.location).await?;
                }
            }
            Ok(())
        })
    }
}

/// How often and how long is tried.
pub(super) fn retries() -> RetryConfig {
    RetryConfig {
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_WITHIN,
        ..RetryConfig::default()
    }
}

/// An error with what caused it, said once.
fn sentence(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

/// Hands the requests of `object_store` to the client of helpers.
#[derive(Debug, Clone)]
pub(super) struct Bridge(Web);

impl HttpConnector for Bridge {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unanswered(String);

#[async_trait]
impl HttpService for Bridge {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let failed = |kind, why: String| HttpError::new(kind, Unanswered(why));
        let body = match body.as_bytes() {
            Some(bytes) => bytes.clone(),
            None => body.collect().await?.to_bytes(),
        };
        let headers = parts.headers.iter().filter_map(|(name, value)| {
            // The client writes this one itself.
            let written = *name == http::header::CONTENT_LENGTH;
            let value = value.to_str().ok().filter(|_| !written)?;
            Some((name.to_string(), value.to_owned()))
        });
        let made = Request {
            method: parts.method.to_string(),
            url: parts.uri.to_string(),
            headers: headers.collect(),
            body: has_body(&parts.method, &body).then(|| body.to_vec()),
            timeout: TIMEOUT,
        };
        let web = self.0.clone();
        let sent = tokio::task::spawn_blocking(move || web.once(&made, &uri(&made.url)?));
        let answer = sent
            .await
            .map_err(|error| failed(HttpErrorKind::Interrupted, error.to_string()))?
            .map_err(|why| failed(HttpErrorKind::Connect, why))?;
        let body = HttpResponseBody::from(Bytes::from(answer.body));
        let mut response = HttpResponse::new(body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// Methods that carry content say so even when it is empty: servers want a length then.
fn has_body(method: &http::Method, body: &Bytes) -> bool {
    !body.is_empty() || *method == http::Method::PUT || *method == http::Method::POST
}

/// What is uploaded, and under which name.
pub(crate) struct Upload {
    /// The bytes, at their start.
    pub(crate) file: File,
    /// Type of the content.
    pub(crate) content_type: &'static str,
    /// Key of the object.
    pub(crate) key: String,
}

/// A store of one call.
pub(super) type Opened = Arc<dyn ObjectStore>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_may_be_the_last_to_hold_the_threads() {
        let cloud = Cloud::new(&VendorOptions::default()).unwrap();
        let other = Builder::new_current_thread().build().unwrap();
        other.block_on(async move { drop(cloud) });
    }
}
