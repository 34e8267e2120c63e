//! S3 and what speaks its language, through the AWS SDK.
//!
//! In: a bucket, a prefix, where and as whom to sign in. Out: write-once objects with lock and
//! checksum as the bucket really keeps them. Never: trusting that a condition or a checksum was
//! honoured (some stores answer 200 and ignore both), deleting anything but on `clear`.
//! The API: <https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html>.
//!
//! Calls block on a small runtime of this room; they must not come from within an async runtime.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::{Body, Entry, PutOptions, Receipt, State, Store, StoreError, clear_prefix};
use connection::Connection;

pub mod check;
mod connection;
mod content;
mod error;
mod list;
mod lock;
mod put;
mod read;

/// Where a bucket is and how to sign in.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// Put in front of every key with a slash; empty for none.
    pub prefix: String,
    /// Region; `None` takes that of environment or profile and then the bucket's own.
    pub region: Option<String>,
    /// Endpoint of a store that speaks S3; `None` takes `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`
    /// or the profile's, and then Amazon's.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path; `None` says so for every endpoint but Amazon's.
    pub path_style: Option<bool>,
    /// Static keys; `None` takes the default chain of the SDK.
    pub keys: Option<Keys>,
    /// Profile of `~/.aws`; goes before keys in the environment.
    pub profile: Option<String>,
    /// Whether to sign nothing, for public buckets.
    pub anonymous: bool,
    /// `AES256`, `aws:kms` or `aws:kms:dsse`; `None` leaves the bucket's default.
    pub sse: Option<String>,
    /// Key for `aws:kms`; `None` takes the bucket's.
    pub kms_key_id: Option<String>,
    /// PEM file of authorities trusted beside the system's (`AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
    /// Bodies above this many bytes are sent in parts; `None` is [`put::MULTIPART_ABOVE`].
    pub multipart_above: Option<u64>,
    /// Tries of one request; `None` is [`connection::MAX_TRIES`].
    pub tries: Option<u32>,
    /// Time for one try; `None` is [`connection::TRY_TIMEOUT`].
    pub try_timeout: Option<Duration>,
    /// Runtime to use; `None` is a small one shared by all S3 stores of the process.
    pub runtime: Option<Handle>,
}

/// Static access keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`, for temporary keys.
    pub session_token: Option<String>,
}

/// Shows whose keys these are, never the secret.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({}, …)", self.access_key_id)
    }
}

/// The small runtime that all buckets of the process share.
pub(super) fn shared_runtime() -> Result<Handle, StoreError> {
    connection::shared_runtime()
}

/// Keys that the default chain of credentials finds (environment, shared files, web identity,
/// metadata services), for a request to another service of Amazon.
///
/// # Errors
/// A sentence when there are none.
pub fn default_keys() -> Result<Keys, String> {
    connection::default_keys()
}

/// A bucket, or a prefix in one, as a store.
pub struct S3Store {
    options: S3Options,
    runtime: Handle,
    connection: OnceCell<Arc<Connection>>,
}

impl S3Store {
    /// A store that connects when it is first used, so that a recorder can start without network.
    ///
    /// # Errors
    /// `Refused` for a bucket name that cannot be one, `Io` when no runtime can be started.
    pub fn new(mut options: S3Options) -> Result<S3Store, StoreError> {
        let bucket = &options.bucket;
        // Rules of <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>,
        // with what other stores allow beyond them.
        let fits = (1..=255).contains(&bucket.len())
            && bucket
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c));
        if !fits {
            return Err(StoreError::Refused(format!(
                "{bucket:?} is not a bucket name; write s3://BUCKET or s3://BUCKET/PREFIX"
            )));
        }
        options.prefix = options.prefix.trim_matches('/').to_owned();
        let runtime = match &options.runtime {
            Some(runtime) => runtime.clone(),
            None => connection::shared_runtime()?,
        };
        Ok(S3Store {
            options,
            runtime,
            connection: OnceCell::new(),
        })
    }

    /// What the store was opened with.
    pub fn options(&self) -> &S3Options {
        &self.options
    }

    /// Asks which rights there are and what the bucket keeps; see [`check`].
    pub fn check(&self) -> check::CheckReport {
        self.runtime.block_on(async {
            match self.connect().await {
                Ok(connection) => check::check(&connection).await,
                Err(error) => check::CheckReport::unreachable(self.name(), &error),
            }
        })
    }

    async fn connect(&self) -> Result<Arc<Connection>, StoreError> {
        self.connection
            .get_or_try_init(|| async { Connection::open(&self.options).await.map(Arc::new) })
            .await
            .cloned()
    }

    /// Runs `work` with the connection, on the calling thread.
    fn run<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl FnOnce(Arc<Connection>) -> F,
    ) -> Result<T, StoreError> {
        self.runtime.block_on(async {
            let connection = self.connect().await?;
            work(connection).await
        })
    }

    fn full_key(&self, key: &str) -> String {
        if self.options.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}/{key}", self.options.prefix)
        }
    }
}

impl Store for S3Store {
    fn name(&self) -> String {
        let S3Options { bucket, prefix, .. } = &self.options;
        if prefix.is_empty() {
            format!("s3://{bucket}")
        } else {
            format!("s3://{bucket}/{prefix}")
        }
    }

    fn put(&self, key: &str, body: Body<'_>, options: &PutOptions) -> Result<Receipt, StoreError> {
        let key = self.full_key(key);
        let content = content::Content::read(body, options, &key)?;
        self.run(|connection| async move { put::put(&connection, &key, &content, options).await })
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError> {
        let prefix = self.full_key(prefix);
        let cut = self.full_key("").len();
        let mut each = |mut entry: Entry| {
            entry.key = entry.key.get(cut..).unwrap_or_default().to_owned();
            each(entry)
        };
        self.run(|connection| async move { list::list(&connection, &prefix, &mut each).await })
    }

    fn get(
        &self,
        key: &str,
        version: Option<&str>,
        range: Option<(u64, u64)>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        let key = self.full_key(key);
        let runtime = self.runtime.clone();
        self.run(|connection| async move {
            let version = match version {
                Some(version) => Some(version.to_owned()),
                None => list::first_version(&connection, &key)
                    .await?
                    .and_then(|entry| entry.version),
            };
            read::open(connection, runtime, key, version, range).await
        })
    }

    fn get_listed(
        &self,
        entry: &Entry,
        range: Option<(u64, u64)>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        let key = self.full_key(&entry.key);
        let (runtime, version) = (self.runtime.clone(), entry.version.clone());
        self.run(|connection| read::open(connection, runtime, key, version, range))
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let prefix = self.full_key(prefix);
        let cut = self.full_key("").len();
        let found =
            self.run(|connection| async move { list::folders(&connection, &prefix).await })?;
        Ok(found
            .into_iter()
            .filter_map(|folder| folder.get(cut..).map(str::to_owned))
            .collect())
    }

    fn get_latest(&self, key: &str) -> Result<Box<dyn Read + Send>, StoreError> {
        let key = self.full_key(key);
        let runtime = self.runtime.clone();
        self.run(|connection| read::open(connection, runtime, key, None, None))
    }

    fn head(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let full = self.full_key(key);
        let entry = self.run(|connection| async move {
            match list::first_version(&connection, &full).await? {
                Some(entry) => Ok(Some(entry)),
                None => read::head(&connection, &full).await,
            }
        })?;
        Ok(entry.map(|entry| Entry {
            key: key.to_owned(),
            ..entry
        }))
    }

    fn state(&self, key: &str, version: Option<&str>) -> Result<Option<State>, StoreError> {
        let key = self.full_key(key);
        self.run(|connection| async move {
            let version = match version {
                Some(version) => Some(version.to_owned()),
                None => list::first_version(&connection, &key)
                    .await?
                    .and_then(|entry| entry.version),
            };
            read::state(&connection, &key, version.as_deref()).await
        })
    }

    fn clear(&self, prefix: &str) -> Result<u64, StoreError> {
        let prefix = self.full_key(&clear_prefix(prefix)?);
        self.run(|connection| async move { list::clear(&connection, &prefix).await })
    }

    fn facts(&self) -> BTreeMap<&'static str, String> {
        let found = self.run(|connection| async move { Ok(check::facts(&connection).await) });
        match found {
            Ok(facts) => facts,
            Err(error) => BTreeMap::from([("kind", "S3".into()), ("error", error.to_string())]),
        }
    }
}
