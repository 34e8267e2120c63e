//! Reading objects: HEAD, GET by version and range, going on where a connection broke.
//!
//! In: a key, a version, a range. Out: a plain [`Read`]. Never: the whole object in memory.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::types::{ChecksumMode, ObjectLockLegalHoldStatus, ObjectLockMode};
use aws_smithy_types::byte_stream::ByteStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf, Bytes};
use tokio::runtime::Handle;

use super::connection::Connection;
use super::error::{Asked, Failure};
use super::list::timestamp;
use super::lock::{legal_hold, read_lock};
use super::{Entry, State, StoreError};
use crate::store::{Digest, Lock, LockMode, LockState};
use crate::time::Timestamp;

/// Times in a row that a broken body is asked for again from where it broke.
const MAX_RESUMES: u32 = 5;

/// Wait before the first of these, doubled each time.
const RESUME_WAIT: Duration = Duration::from_millis(200);

/// The entry of exactly `key` as HEAD gives it: its latest version.
pub(super) async fn head(connection: &Connection, key: &str) -> Result<Option<Entry>, StoreError> {
    let answer = connection
        .client
        .head_object()
        .bucket(&connection.options.bucket)
        .key(key)
        .send()
        .await;
    match answer {
        Ok(found) => Ok(Some(Entry {
            key: key.to_owned(),
            size: u64::try_from(found.content_length().unwrap_or(0)).unwrap_or(0),
            version: found
                .version_id()
                .filter(|id| *id != "null")
                .map(str::to_owned),
            modified: found
                .last_modified()
                .map_or_else(Timestamp::default, timestamp),
            oddity: None,
        })),
        Err(error) => {
            if Failure::of(&error).is_missing() {
                // The answer has no body that would tell a missing key from a missing bucket.
                return bucket_is_there(connection).await.map(|()| None);
            }
            Err(Asked::object(connection, "s3:GetObject", key)
                .failed(error)
                .await)
        }
    }
}

/// What the store keeps of a version; `None` when there is none of that name.
///
/// HEAD tells lock and hold only to those who may read them, and some stores never do there; what
/// it leaves out is asked for by itself.
pub(super) async fn state(
    connection: &Connection,
    key: &str,
    version: Option<&str>,
) -> Result<Option<State>, StoreError> {
    let answer = connection
        .client
        .head_object()
        .bucket(&connection.options.bucket)
        .key(key)
        .set_version_id(version.map(str::to_owned))
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await;
    let found = match answer {
        Ok(found) => found,
        Err(error) => {
            let failure = Failure::of(&error);
            // A version id of another store or form is "no such version" too.
            if failure.is_missing() || (version.is_some() && failure.status() == Some(400)) {
                return bucket_is_there(connection).await.map(|()| None);
            }
            // A delete marker in place of the object.
            if failure.status() == Some(405) {
                return Ok(None);
            }
            return Err(Asked::object(connection, "s3:GetObject", key)
                .failed(error)
                .await);
        }
    };
    let mode = match found.object_lock_mode() {
        Some(ObjectLockMode::Governance) => Some(LockMode::Governance),
        Some(ObjectLockMode::Compliance) => Some(LockMode::Compliance),
        _ => None,
    };
    let lock = match mode.zip(found.object_lock_retain_until_date()) {
        Some((mode, until)) => LockState::Locked(Lock {
            mode,
            until: timestamp(until),
        }),
        None => read_lock(connection, key, version).await,
    };
    let legal_hold = match found.object_lock_legal_hold_status() {
        Some(status) => Some(*status == ObjectLockLegalHoldStatus::On),
        None => legal_hold(connection, key, version).await,
    };
    let checksum = found
        .checksum_sha256()
        // A checksum of checksums (`…-3`) is none of the object.
        .filter(|sum| !sum.contains('-'))
        .and_then(|sum| BASE64.decode(sum).ok())
        .and_then(|sum| Digest::try_from(sum).ok());
    Ok(Some(State {
        size: u64::try_from(found.content_length().unwrap_or(0)).unwrap_or(0),
        version: found
            .version_id()
            .filter(|id| *id != "null")
            .map(str::to_owned),
        sha256: checksum,
        lock,
        legal_hold,
    }))
}

/// Fails when the bucket is missing; a denied answer does not count as missing.
pub(super) async fn bucket_is_there(connection: &Connection) -> Result<(), StoreError> {
    let answer = connection
        .client
        .head_bucket()
        .bucket(&connection.options.bucket)
        .send()
        .await;
    match answer {
        Err(error) if Failure::of(&error).status() == Some(404) => {
            Err(Asked::bucket(connection, "s3:ListBucket")
                .failed(error)
                .await)
        }
        _ => Ok(()),
    }
}

/// Opens an object, or a range of it.
pub(super) async fn open(
    connection: Arc<Connection>,
    runtime: Handle,
    key: String,
    version: Option<String>,
    range: Option<(u64, u64)>,
) -> Result<Box<dyn Read + Send>, StoreError> {
    let (start, end) = match range {
        Some((start, end)) if start >= end => return Ok(Box::new(io::empty())),
        Some((start, end)) => (start, Some(end)),
        None => (0, None),
    };
    let mut object = Object {
        connection,
        runtime,
        key,
        version,
        etag: None,
        next: start,
        end,
        body: ByteStream::default(),
        chunk: Bytes::new(),
        resumes: 0,
    };
    match object.ask().await {
        Ok(()) => Ok(Box::new(object)),
        Err(Opening::BehindTheEnd) => Ok(Box::new(io::empty())),
        Err(Opening::Failed(error)) => Err(error),
    }
}

/// An object on its way.
struct Object {
    connection: Arc<Connection>,
    runtime: Handle,
    key: String,
    version: Option<String>,
    /// Entity tag of the first answer: what follows must come from the same object.
    etag: Option<String>,
    /// Offset of the next byte.
    next: u64,
    /// Offset behind the last byte, once known.
    end: Option<u64>,
    body: ByteStream,
    chunk: Bytes,
    resumes: u32,
}

enum Opening {
    BehindTheEnd,
    Failed(StoreError),
}

impl Object {
    /// Asks for the bytes from `next` on.
    async fn ask(&mut self) -> Result<(), Opening> {
        let range = match (self.next, self.end) {
            (0, None) => None,
            (next, None) => Some(format!("bytes={next}-")),
            (next, Some(end)) => Some(format!("bytes={next}-{}", end.saturating_sub(1))),
        };
        let answer = self
            .connection
            .client
            .get_object()
            .bucket(&self.connection.options.bucket)
            .key(&self.key)
            .set_version_id(self.version.clone())
            .set_range(range)
            .set_if_match(self.etag.clone())
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if Failure::of(&error).status() == Some(416) => {
                return Err(Opening::BehindTheEnd);
            }
            Err(error) => {
                let permission = match self.version {
                    Some(_) => "s3:GetObjectVersion",
                    None => "s3:GetObject",
                };
                let asked = Asked::object(&self.connection, permission, &self.key);
                return Err(Opening::Failed(asked.failed(error).await));
            }
        };
        if self.etag.is_none() {
            self.etag = answer.e_tag().map(str::to_owned);
        }
        if let Some(length) = answer.content_length().and_then(|n| u64::try_from(n).ok()) {
            self.end = Some(self.next.saturating_add(length));
        }
        self.body = answer.body;
        Ok(())
    }

    /// The next bytes; empty at the end.
    async fn chunk(&mut self) -> Result<Bytes, StoreError> {
        loop {
            let broken = match self.body.next().await {
                Some(Ok(chunk)) if chunk.is_empty() => continue,
                Some(Ok(chunk)) => {
                    self.next = self.next.saturating_add(chunk.len() as u64);
                    self.resumes = 0;
                    return Ok(chunk);
                }
                None if self.end.is_none_or(|end| self.next >= end) => return Ok(Bytes::new()),
                None => "the connection was closed early".to_owned(),
                Some(Err(error)) => error.to_string(),
            };
            loop {
                if self.resumes >= MAX_RESUMES {
                    return Err(StoreError::Unavailable(format!(
                        "s3://{}/{} broke off at byte {}: {broken}",
                        self.connection.options.bucket, self.key, self.next
                    )));
                }
                tokio::time::sleep(RESUME_WAIT * 2_u32.pow(self.resumes)).await;
                self.resumes += 1;
                match self.ask().await {
                    Ok(()) => break,
                    Err(Opening::BehindTheEnd) => return Ok(Bytes::new()),
                    Err(Opening::Failed(error)) if error.is_transient() => {}
                    Err(Opening::Failed(error)) => return Err(error),
                }
            }
        }
    }
}

impl Read for Object {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.chunk.is_empty() {
            let runtime = self.runtime.clone();
            self.chunk = runtime.block_on(self.chunk()).map_err(io::Error::other)?;
        }
        let taken = into.len().min(self.chunk.len());
        if let Some(room) = into.get_mut(..taken) {
            self.chunk.copy_to_slice(room);
        }
        Ok(taken)
    }
}
