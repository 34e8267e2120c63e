//! Google Cloud Storage and Azure Blob Storage, through `object_store`.
//!
//! In: `gs://bucket/prefix` or `az://container/prefix`, and how to sign in. Out: objects, put once
//! by the condition that both clouds honour. Never: a lock that was not read back: these clouds lock
//! by rules of the bucket or container, which whoever owns it sets; objects say nothing of it here,
//! so their lock is "not verified", and newer versions and deletions are not seen.
//!
//! Signing in to Google: a service account's key, else `GOOGLE_APPLICATION_CREDENTIALS` or the
//! metadata service. To Azure: a connection string, account and key, else `AZURE_*` variables or
//! the metadata service.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    RetryConfig,
};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::{
    Body, Digest, Entry, LockState, PutOptions, Receipt, State, Store, StoreError, clear_prefix,
    digest_of, hex, is_named_by, named_remark,
};
use crate::time::Timestamp;

pub mod azure;
mod http;

/// Bytes that are asked for at a time.
const PIECE: u64 = 4 << 20;

/// Largest object: it is sent in one request, so that its condition covers all of it.
const MAX_OBJECT: u64 = 1 << 30;

/// How the clouds are reached.
#[derive(Debug, Clone, Default)]
pub struct CloudOptions {
    /// Key of a service account of Google, as JSON.
    pub google_key: Option<String>,
    /// Server that speaks for Google (`STORAGE_EMULATOR_HOST`).
    pub google_server: Option<String>,
    /// Storage account of Azure.
    pub azure: Option<azure::Account>,
    /// PEM file of authorities trusted beside the system's.
    pub ca_bundle: Option<std::path::PathBuf>,
    /// Tries after the first; `None` is that of `object_store`.
    pub retries: Option<usize>,
}

/// A bucket or container, or a prefix in one, as a store.
pub struct CloudStore {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    cloud: &'static str,
    scheme: &'static str,
    bucket: String,
    prefix: String,
}

/// What is said when no token can be had.
const NO_TOKEN: [&str; 2] = ["performing token request", "Error requesting token"];

/// What to set for credentials.
fn variables(scheme: &str) -> &'static str {
    match scheme {
        "gs" => "GOOGLE_APPLICATION_CREDENTIALS to the file of a service account",
        _ => {
            "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"
        }
    }
}

/// Scheme, bucket and what follows it in the URL of a cloud store; `None` for other URLs.
pub fn parts(url: &str) -> Option<(&'static str, &str, &str)> {
    // `azblob` is what other tools call it.
    let (scheme, rest) = [("gs", "gs://"), ("az", "az://"), ("az", "azblob://")]
        .into_iter()
        .find_map(|(scheme, start)| Some((scheme, url.strip_prefix(start)?)))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    Some((scheme, bucket, prefix))
}

impl CloudStore {
    /// The store of a URL as [`parts`] gives it; it connects when it is first used.
    ///
    /// # Errors
    /// `Refused` when the name or the credentials cannot be of the cloud.
    pub fn new(
        scheme: &'static str,
        bucket: &str,
        prefix: &str,
        options: &CloudOptions,
    ) -> Result<CloudStore, StoreError> {
        let client = http::Client::new(options.ca_bundle.as_deref())?;
        let retry = RetryConfig {
            max_retries: options
                .retries
                .unwrap_or(RetryConfig::default().max_retries),
            ..RetryConfig::default()
        };
        let (cloud, made): (_, Result<Arc<dyn ObjectStore>, Error>) = match scheme {
            "gs" => ("Google Cloud Storage", {
                let builder = match &options.google_key {
                    Some(key) => GoogleCloudStorageBuilder::new().with_service_account_key(key),
                    None => GoogleCloudStorageBuilder::from_env(),
                };
                let mut builder = builder
                    .with_bucket_name(bucket)
                    .with_retry(retry)
                    .with_http_connector(client);
                if let Some(server) = &options.google_server {
                    let server = match server.contains("://") {
                        true => server.clone(),
                        false => format!("http://{server}"),
                    };
                    // As Google's own clients do: a server of one's own wants no token of Google's.
                    builder = builder
                        .with_base_url(server.trim_end_matches('/'))
                        .with_skip_signature(true)
                        .with_bearer_token("none");
                }
                builder.build().map(|store| Arc::new(store) as _)
            }),
            _ => ("Azure Blob Storage", {
                let builder = match &options.azure {
                    Some(account) => account.on(MicrosoftAzureBuilder::new()),
                    None => MicrosoftAzureBuilder::from_env(),
                };
                let builder = builder
                    .with_container_name(bucket)
                    .with_retry(retry)
                    .with_allow_http(true)
                    .with_http_connector(client);
                builder.build().map(|store| Arc::new(store) as _)
            }),
        };
        let store = made.map_err(|error| {
            StoreError::Credentials(format!(
                "{scheme}://{bucket} cannot be opened: {}; set {}",
                cause(&error),
                variables(scheme)
            ))
        })?;
        Ok(CloudStore {
            store,
            runtime: super::s3::shared_runtime()?,
            cloud,
            scheme,
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }

    fn full_key(&self, key: &str) -> String {
        match self.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    fn path(&self, key: &str) -> Result<Path, StoreError> {
        Path::parse(self.full_key(key)).map_err(|error| {
            StoreError::Refused(format!(
                "{key:?} cannot be an object in {}: {error}",
                self.name()
            ))
        })
    }

    /// One of our errors, with the object it is about.
    fn failed(&self, key: &str, error: &Error) -> StoreError {
        let place = format!("{}/{key}", self.name());
        let place = place.trim_end_matches('/');
        let why = cause(error);
        match error {
            Error::NotFound { .. } => StoreError::Missing(format!("there is no {place}: {why}")),
            Error::AlreadyExists { .. } | Error::Precondition { .. } => {
                StoreError::Exists(format!("{place} exists already"))
            }
            Error::PermissionDenied { .. } => {
                StoreError::Denied(format!("{place} may not be used: {why}"))
            }
            Error::Unauthenticated { .. } => StoreError::Credentials(format!(
                "{} does not accept the credentials for {place}: {why}",
                self.cloud
            )),
            Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::UnknownConfigurationKey { .. } => {
                StoreError::Refused(format!("{place}: {why}"))
            }
            // A listing has no kind of error for a bucket that is not there.
            Error::Generic { .. } if why.contains("404 Not Found") => {
                StoreError::Missing(format!("there is no {place}: {why}"))
            }
            // Without credentials tokens are asked for at addresses that only machines of the cloud have.
            Error::Generic { .. } if NO_TOKEN.iter().any(|said| why.contains(said)) => {
                StoreError::Credentials(format!(
                    "no credentials of {} were found for {place}; set {}",
                    self.cloud,
                    variables(self.scheme)
                ))
            }
            _ => StoreError::Unavailable(format!("{place}: {why}")),
        }
    }

    fn hash_of(&self, key: &str, version: Option<&str>) -> Result<Digest, StoreError> {
        let mut body = self.get(key, version, None)?;
        digest_of(&mut body).map_err(|error| StoreError::Unavailable(format!("{key}: {error}")))
    }

    /// The version of an object that is there already, if it has equal content.
    fn existing(
        &self,
        key: &str,
        sha256: &Digest,
        remarks: &mut Vec<String>,
    ) -> Result<Option<String>, StoreError> {
        let place = format!("{}/{key}", self.name());
        match self.hash_of(key, None) {
            Ok(found) if found == *sha256 => {
                Ok(self.meta(key, None)?.and_then(|meta| meta.version))
            }
            Ok(_) => Err(StoreError::Exists(format!(
                "{place} exists with other content"
            ))),
            Err(StoreError::Denied(_)) if is_named_by(key, sha256) => {
                remarks.push(named_remark(&place));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn meta(&self, key: &str, version: Option<&str>) -> Result<Option<ObjectMeta>, StoreError> {
        let path = self.path(key)?;
        let options = GetOptions {
            head: true,
            version: version.map(str::to_owned),
            ..GetOptions::default()
        };
        match self.runtime.block_on(self.store.get_opts(&path, options)) {
            Ok(found) => Ok(Some(found.meta)),
            // Nobody can tell a missing object from a missing bucket by HEAD; a listing can.
            Err(Error::NotFound { .. }) => {
                let mut listed = self.store.list(Some(&path));
                match self.runtime.block_on(listed.next()) {
                    Some(Err(error)) => Err(self.failed("", &error)),
                    _ => Ok(None),
                }
            }
            Err(error) => Err(self.failed(key, &error)),
        }
    }
}

impl Store for CloudStore {
    fn name(&self) -> String {
        let CloudStore {
            scheme,
            bucket,
            prefix,
            ..
        } = self;
        match prefix.as_str() {
            "" => format!("{scheme}://{bucket}"),
            prefix => format!("{scheme}://{bucket}/{prefix}"),
        }
    }

    fn put(&self, key: &str, body: Body<'_>, options: &PutOptions) -> Result<Receipt, StoreError> {
        let path = self.path(key)?;
        let bytes = read_body(body)?;
        let sha256: Digest = Sha256::digest(&bytes).into();
        if options.sha256 != Digest::default() && sha256 != options.sha256 {
            return Err(StoreError::Refused(format!(
                "{key} has SHA-256 {}, not {} as sealed",
                hex(&sha256),
                hex(&options.sha256)
            )));
        }
        let mut remarks = Vec::new();
        if options.lock.is_some() || options.legal_hold {
            remarks.push(format!(
                "{} locks by rules of the bucket alone: set a retention there",
                self.cloud
            ));
        }
        let put = object_store::PutOptions {
            mode: match options.write_once {
                true => PutMode::Create,
                false => PutMode::Overwrite,
            },
            attributes: Attributes::from_iter([(Attribute::ContentType, options.content_type)]),
            ..object_store::PutOptions::default()
        };
        let put = self.store.put_opts(&path, bytes.into(), put);
        let (version, existed) = match self.runtime.block_on(put) {
            Ok(done) => (done.version, false),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                (self.existing(key, &sha256, &mut remarks)?, true)
            }
            Err(error) => return Err(self.failed(key, &error)),
        };
        Ok(Receipt {
            version,
            lock: LockState::NotVerified,
            legal_hold: None,
            existed,
            remarks,
        })
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError> {
        let full = self.full_key(prefix);
        let cut = self.full_key("").len();
        // Clouds list folders; a prefix may end inside a name.
        let folder = full.rsplit_once('/').map(|(folder, _)| folder);
        let folder = folder
            .map(Path::parse)
            .transpose()
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let mut listed = self.store.list(folder.as_ref());
        loop {
            // Outside of the runtime, so that `each` may use the store.
            let meta = match self.runtime.block_on(listed.try_next()) {
                Ok(Some(meta)) => meta,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.failed(prefix, &error)),
            };
            let key = meta.location.as_ref();
            if !key.starts_with(&full) {
                continue;
            }
            let key = key.get(cut..).unwrap_or_default().to_owned();
            if !each(entry(key, &meta)) {
                return Ok(());
            }
        }
    }

    fn get(
        &self,
        key: &str,
        version: Option<&str>,
        range: Option<(u64, u64)>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        let Some(meta) = self.meta(key, version)? else {
            return Err(StoreError::Missing(format!(
                "there is no {}/{key}",
                self.name()
            )));
        };
        let (start, end) = range.unwrap_or((0, meta.size));
        Ok(Box::new(Object {
            store: self.store.clone(),
            runtime: self.runtime.clone(),
            path: self.path(key)?,
            version: version.map(str::to_owned),
            etag: meta.e_tag,
            next: start,
            end: end.min(meta.size),
            piece: io::Cursor::default(),
        }))
    }

    fn head(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self
            .meta(key, None)?
            .map(|meta| entry(key.to_owned(), &meta)))
    }

    fn state(&self, key: &str, version: Option<&str>) -> Result<Option<State>, StoreError> {
        Ok(self.meta(key, version)?.map(|meta| State {
            size: meta.size,
            version: meta.version,
            sha256: None,
            lock: LockState::NotVerified,
            legal_hold: None,
        }))
    }

    fn clear(&self, prefix: &str) -> Result<u64, StoreError> {
        let prefix = clear_prefix(prefix)?;
        let mut keys = Vec::new();
        self.list(&prefix, &mut |entry| {
            keys.push(entry.key);
            true
        })?;
        for key in &keys {
            let path = self.path(key)?;
            self.runtime
                .block_on(self.store.delete(&path))
                .map_err(|error| self.failed(key, &error))?;
        }
        Ok(keys.len() as u64)
    }

    fn facts(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("kind", self.cloud.to_owned()),
            (
                "object lock",
                "unknown: the cloud locks by rules of the bucket, which are not read".to_owned(),
            ),
            ("versioning", "unknown".to_owned()),
        ])
    }
}

fn read_body(body: Body<'_>) -> Result<Vec<u8>, StoreError> {
    match body {
        Body::Bytes(bytes) => Ok(bytes.to_vec()),
        Body::File(path) => {
            let failed = |error: io::Error| StoreError::Io(format!("{}: {error}", path.display()));
            let size = std::fs::metadata(path).map_err(failed)?.len();
            if size > MAX_OBJECT {
                return Err(StoreError::Refused(format!(
                    "{} has {size} bytes, more than an object may have; lower recording.sealBytes",
                    path.display()
                )));
            }
            std::fs::read(path).map_err(failed)
        }
    }
}

fn entry(key: String, meta: &ObjectMeta) -> Entry {
    let modified = meta.last_modified;
    Entry {
        key,
        size: meta.size,
        version: meta.version.clone(),
        modified: Timestamp::from_secs(modified.timestamp(), modified.timestamp_subsec_nanos()),
        oddity: None,
    }
}

/// An error with what caused it, each said once.
fn cause(error: &Error) -> String {
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

/// An object on its way, piece by piece.
struct Object {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    path: Path,
    version: Option<String>,
    /// Entity tag of the first answer: what follows must come from the same object.
    etag: Option<String>,
    next: u64,
    end: u64,
    piece: io::Cursor<bytes::Bytes>,
}

impl Read for Object {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let taken = self.piece.read(into)?;
        if taken > 0 || into.is_empty() || self.next >= self.end {
            return Ok(taken);
        }
        let until = self.end.min(self.next.saturating_add(PIECE));
        let options = GetOptions {
            range: Some((self.next..until).into()),
            version: self.version.clone(),
            if_match: self.etag.clone(),
            ..GetOptions::default()
        };
        let store = &self.store;
        let piece = self
            .runtime
            .block_on(async { store.get_opts(&self.path, options).await?.bytes().await });
        let piece = piece.map_err(|error| io::Error::other(cause(&error)))?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.next = self.next.saturating_add(piece.len() as u64);
        self.piece = io::Cursor::new(piece);
        self.piece.read(into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_clouds_are_told_apart() {
        assert_eq!(parts("gs://b/p/q"), Some(("gs", "b", "p/q")));
        assert_eq!(parts("az://c"), Some(("az", "c", "")));
        assert_eq!(parts("azblob://c/"), Some(("az", "c", "")));
        assert_eq!(parts("s3://b"), None);
    }
}
