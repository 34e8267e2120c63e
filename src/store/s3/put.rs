//! Writing an object once, and finding out what the store made of it.
//!
//! In: a key, a body, how it is to be kept. Out: a receipt with the version that counts, the lock as
//! read back and remarks on what the store did not do. Never: a claim that rests on a status alone:
//! some stores answer 200 to `If-None-Match` and to checksums that they ignore.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart,
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
    ServerSideEncryption,
};
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::DateTime;
use aws_smithy_types::byte_stream::ByteStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::connection::Connection;
use super::error::{Asked, Failure};
use super::list;
use super::{Body, PutOptions, Receipt, StoreError};
use crate::store::{Digest, Lock, LockMode, LockState, Oddity, hex};
use crate::time::Timestamp;

/// Bodies above this are sent in parts. Reels stay below: one request keeps one checksum over the
/// whole object, and Ceph 16.2 takes the bucket's default lock for what comes in parts.
pub(super) const MULTIPART_ABOVE: u64 = 100 * 1024 * 1024;

/// Size of a part; S3 takes 5 MiB to 5 GiB.
const PART_BYTES: u64 = 16 * 1024 * 1024;

/// Most parts of an object at S3.
const MAX_PARTS: u64 = 10_000;

/// Tries while somebody else writes the same key (status 409).
const MAX_CONFLICTS: u32 = 6;

/// Wait after the first of these, doubled each time.
const CONFLICT_WAIT: Duration = Duration::from_millis(100);

/// Hexadecimal digits of a body's hash in its name that stand for its content when the object may
/// not be read: 64 bits.
const NAME_HASH_DIGITS: usize = 16;

/// Bytes hashed at a time.
const HASH_BYTES: usize = 256 * 1024;

/// A body with its size and digests.
#[derive(Debug)]
pub(super) struct Content {
    source: Source,
    size: u64,
    sha256: Digest,
    md5: [u8; 16],
}

#[derive(Debug)]
enum Source {
    Bytes(Bytes),
    File(PathBuf),
}

impl Content {
    /// Hashes a body and holds it against the digest it was sealed with.
    ///
    /// # Errors
    /// `Refused` when it is not what was sealed, `Io` when it cannot be read.
    pub(super) fn read(
        body: Body<'_>,
        options: &PutOptions,
        key: &str,
    ) -> Result<Content, StoreError> {
        let mut sha256 = Sha256::new();
        let mut md5 = Md5::new();
        let mut size = 0;
        let source = match body {
            Body::Bytes(bytes) => {
                sha256.update(bytes);
                md5.update(bytes);
                size = bytes.len() as u64;
                Source::Bytes(Bytes::copy_from_slice(bytes))
            }
            Body::File(path) => {
                let failed = |error| StoreError::Io(format!("{}: {error}", path.display()));
                let mut file = File::open(path).map_err(failed)?;
                let mut buffer = vec![0; HASH_BYTES];
                loop {
                    let taken = file.read(&mut buffer).map_err(failed)?;
                    let Some(bytes) = buffer.get(..taken).filter(|bytes| !bytes.is_empty()) else {
                        break;
                    };
                    sha256.update(bytes);
                    md5.update(bytes);
                    size += bytes.len() as u64;
                }
                Source::File(path.to_owned())
            }
        };
        let sha256: Digest = sha256.finalize().into();
        if options.sha256 != Digest::default() && sha256 != options.sha256 {
            return Err(StoreError::Refused(format!(
                "{key} has SHA-256 {}, not {} as sealed",
                hex(&sha256),
                hex(&options.sha256)
            )));
        }
        Ok(Content {
            source,
            size,
            sha256,
            md5: md5.finalize().into(),
        })
    }

    async fn stream(&self) -> Result<ByteStream, StoreError> {
        match &self.source {
            Source::Bytes(bytes) => Ok(ByteStream::from(bytes.clone())),
            Source::File(path) => ByteStream::from_path(path)
                .await
                .map_err(|error| StoreError::Io(format!("{}: {error}", path.display()))),
        }
    }

    /// Size of the parts it is sent in.
    fn part_bytes(&self) -> u64 {
        PART_BYTES.max(self.size.div_ceil(MAX_PARTS))
    }

    /// Calls `each` with every part in order.
    fn parts(&self) -> Parts<'_> {
        Parts {
            content: self,
            file: None,
            offset: 0,
        }
    }
}

/// The parts of a body, one in memory at a time.
struct Parts<'a> {
    content: &'a Content,
    file: Option<File>,
    offset: u64,
}

impl Iterator for Parts<'_> {
    type Item = Result<Bytes, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = self
            .content
            .part_bytes()
            .min(self.content.size - self.offset);
        if length == 0 {
            return None;
        }
        let part = match &self.content.source {
            Source::Bytes(bytes) => {
                let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
                Ok(bytes.slice(start.min(bytes.len())..end.min(bytes.len())))
            }
            Source::File(path) => self
                .file
                .take()
                .map_or_else(|| File::open(path), Ok)
                .and_then(|file| {
                    let mut part = Vec::new();
                    let mut limited = file.take(length);
                    limited.read_to_end(&mut part)?;
                    self.file = Some(limited.into_inner());
                    match part.len() as u64 == length {
                        true => Ok(part.into()),
                        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
                    }
                })
                .map_err(|error| StoreError::Io(format!("{}: {error}", path.display()))),
        };
        self.offset += length;
        Some(part)
    }
}

/// Writes `content` under `key`.
pub(super) async fn put(
    connection: &Connection,
    key: &str,
    content: &Content,
    options: &PutOptions,
) -> Result<Receipt, StoreError> {
    let above = connection
        .options
        .multipart_above
        .unwrap_or(MULTIPART_ABOVE);
    let mut wait = CONFLICT_WAIT;
    let mut tries = 0;
    let written = loop {
        let written = if content.size > above {
            put_in_parts(connection, key, content, options).await?
        } else {
            put_whole(connection, key, content, options).await?
        };
        tries += 1;
        match written {
            Written::Conflict if tries < MAX_CONFLICTS => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            Written::Conflict => {
                return Err(StoreError::Unavailable(format!(
                    "s3://{}/{key} is being written by somebody else",
                    connection.options.bucket
                )));
            }
            written => break written,
        }
    };
    let mut remarks = Vec::new();
    let (version, existed) = match written {
        Written::New(version) => match (&version, options.write_once) {
            // Amazon honours conditions; without versions there is nothing to look at.
            (Some(_), true) if connection.endpoint.is_some() => {
                look(connection, key, content, version, &mut remarks).await?
            }
            _ => (version, false),
        },
        Written::Taken | Written::Conflict => (
            existing(connection, key, content, &mut remarks).await?,
            true,
        ),
    };
    let mut lock = read_lock(connection, key, version.as_deref()).await;
    if let Some(asked) = options.lock {
        if lock == LockState::NotLocked
            && version.is_some()
            && lock_afterwards(connection, key, version.as_deref(), options).await
        {
            lock = read_lock(connection, key, version.as_deref()).await;
            remarks.push(
                "the store did not lock the object with its body; it was locked afterwards"
                    .to_owned(),
            );
        }
        remarks.extend(lock_remark(asked, lock));
    }
    if options.legal_hold {
        remarks.extend(hold_remark(connection, key, version.as_deref()).await);
    }
    Ok(Receipt {
        version,
        lock,
        existed,
        remarks,
    })
}

enum Written {
    /// Written now, as this version.
    New(Option<String>),
    /// There is an object already.
    Taken,
    /// Somebody else is writing it at this moment.
    Conflict,
}

async fn put_whole(
    connection: &Connection,
    key: &str,
    content: &Content,
    options: &PutOptions,
) -> Result<Written, StoreError> {
    let locks = Locks::of(options);
    let answer = connection
        .client
        .put_object()
        .bucket(&connection.options.bucket)
        .key(key)
        .body(content.stream().await?)
        .content_length(i64::try_from(content.size).unwrap_or(i64::MAX))
        .set_content_type(content_type(options))
        .checksum_sha256(BASE64.encode(content.sha256))
        // Stores that ignore the SHA-256 still refuse a wrong MD5.
        .content_md5(BASE64.encode(content.md5))
        .set_if_none_match(options.write_once.then(|| "*".to_owned()))
        .set_object_lock_mode(locks.mode)
        .set_object_lock_retain_until_date(locks.until)
        .set_object_lock_legal_hold_status(locks.hold)
        .set_server_side_encryption(encryption(connection))
        .set_ssekms_key_id(connection.options.kms_key_id.clone())
        .send()
        .await;
    match answer {
        Ok(written) => Ok(Written::New(real_version(written.version_id()))),
        Err(error) => match Failure::of(&error).status() {
            Some(412) if options.write_once => Ok(Written::Taken),
            Some(409) if options.write_once => Ok(Written::Conflict),
            _ => Err(put_failed(connection, key, options, error).await),
        },
    }
}

async fn put_in_parts(
    connection: &Connection,
    key: &str,
    content: &Content,
    options: &PutOptions,
) -> Result<Written, StoreError> {
    let locks = Locks::of(options);
    let answer = connection
        .client
        .create_multipart_upload()
        .bucket(&connection.options.bucket)
        .key(key)
        .set_content_type(content_type(options))
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .set_object_lock_mode(locks.mode)
        .set_object_lock_retain_until_date(locks.until)
        .set_object_lock_legal_hold_status(locks.hold)
        .set_server_side_encryption(encryption(connection))
        .set_ssekms_key_id(connection.options.kms_key_id.clone())
        .send()
        .await;
    let upload = match answer {
        Ok(begun) => begun.upload_id().unwrap_or_default().to_owned(),
        Err(error) => {
            return Err(put_failed(connection, key, options, error).await);
        }
    };
    let sent = send_parts(connection, key, &upload, content, options).await;
    if !matches!(sent, Ok(Written::New(_))) {
        // An upload that is not finished is no object, but its parts are paid for. When this fails
        // too, the bucket's lifecycle rule removes it.
        let _ = connection
            .client
            .abort_multipart_upload()
            .bucket(&connection.options.bucket)
            .key(key)
            .upload_id(&upload)
            .send()
            .await;
    }
    sent
}

async fn send_parts(
    connection: &Connection,
    key: &str,
    upload: &str,
    content: &Content,
    options: &PutOptions,
) -> Result<Written, StoreError> {
    let mut parts = Vec::new();
    for (number, part) in (1..).zip(content.parts()) {
        let part = part?;
        let checksum = BASE64.encode(Sha256::digest(&part));
        let answer = connection
            .client
            .upload_part()
            .bucket(&connection.options.bucket)
            .key(key)
            .upload_id(upload)
            .part_number(number)
            .checksum_sha256(&checksum)
            .content_md5(BASE64.encode(Md5::digest(&part)))
            .body(ByteStream::from(part))
            .send()
            .await;
        let etag = match answer {
            Ok(taken) => taken.e_tag().map(str::to_owned),
            Err(error) => {
                return Err(put_failed(connection, key, options, error).await);
            }
        };
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(etag)
                .checksum_sha256(checksum)
                .build(),
        );
    }
    let answer = connection
        .client
        .complete_multipart_upload()
        .bucket(&connection.options.bucket)
        .key(key)
        .upload_id(upload)
        .multipart_upload(
            CompletedMultipartUpload::builder()
                .set_parts(Some(parts))
                .build(),
        )
        .set_if_none_match(options.write_once.then(|| "*".to_owned()))
        .send()
        .await;
    match answer {
        Ok(written) => Ok(Written::New(real_version(written.version_id()))),
        Err(error) => match Failure::of(&error).status() {
            Some(412) if options.write_once => Ok(Written::Taken),
            Some(409) if options.write_once => Ok(Written::Conflict),
            // An answer that got lost and was asked for again: the upload is done already.
            Some(404) if options.write_once => Ok(Written::Taken),
            _ => Err(put_failed(connection, key, options, error).await),
        },
    }
}

/// Why a put was refused; what a lock needs beyond it is named.
async fn put_failed<E>(
    connection: &Connection,
    key: &str,
    options: &PutOptions,
    error: SdkError<E, Response>,
) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let locks = options.lock.is_some() || options.legal_hold;
    if locks && Failure::of(&error).code() == "InvalidRequest" {
        let bucket = &connection.options.bucket;
        return StoreError::Refused(format!(
            "s3://{bucket} has no Object Lock, so s3://{bucket}/{key} cannot be locked; make a bucket with Object Lock or ask for no lock"
        ));
    }
    let permission = match (options.lock.is_some(), options.legal_hold) {
        (false, false) => "s3:PutObject",
        (true, false) => "s3:PutObject or s3:PutObjectRetention",
        (false, true) => "s3:PutObject or s3:PutObjectLegalHold",
        (true, true) => "s3:PutObject, s3:PutObjectRetention or s3:PutObjectLegalHold",
    };
    Asked::object(connection, permission, key)
        .failed(error)
        .await
}

/// Looks whether the condition was honoured: whether ours is the first version.
async fn look(
    connection: &Connection,
    key: &str,
    content: &Content,
    written: Option<String>,
    remarks: &mut Vec<String>,
) -> Result<(Option<String>, bool), StoreError> {
    let first = match list::first_version(connection, key).await {
        Ok(Some(first)) => first,
        // Not allowed to look; a put-only identity records all the same.
        Ok(None) | Err(StoreError::Denied(_)) => return Ok((written, false)),
        Err(error) => return Err(error),
    };
    let place = format!("s3://{}/{key}", connection.options.bucket);
    if first.version == written || first.version.is_none() {
        return Ok((written, false));
    }
    let newer = match first.oddity {
        Some(Oddity::NewerVersions(newer)) => newer,
        _ => 1,
    };
    match is_same(connection, key, first.version.as_deref(), content).await? {
        Some(true) => {
            remarks.push(format!(
                "the store ignored If-None-Match: {place} has {newer} equal versions beside the first"
            ));
            Ok((first.version, true))
        }
        Some(false) => Err(StoreError::Exists(format!(
            "{place} exists with other content; the store ignored If-None-Match and keeps this body as a later version"
        ))),
        None => {
            remarks.push(format!(
                "the store ignored If-None-Match: {place} was there before and may not be read to compare"
            ));
            Ok((written, false))
        }
    }
}

/// The version of an object that is there already, if it has equal content.
async fn existing(
    connection: &Connection,
    key: &str,
    content: &Content,
    remarks: &mut Vec<String>,
) -> Result<Option<String>, StoreError> {
    let first = list::first_version(connection, key).await?;
    let version = first.and_then(|entry| entry.version);
    let place = format!("s3://{}/{key}", connection.options.bucket);
    match is_same(connection, key, version.as_deref(), content).await? {
        Some(true) => Ok(version),
        Some(false) => Err(StoreError::Exists(format!(
            "{place} exists with other content"
        ))),
        None => {
            let hash = hex(&content.sha256);
            if hash
                .get(..NAME_HASH_DIGITS)
                .is_some_and(|digits| key.contains(digits))
            {
                remarks.push(format!(
                    "{place} was there already and may not be read to compare; its name holds the hash of this body"
                ));
                return Ok(None);
            }
            Err(StoreError::Denied(format!(
                "{place} exists and may not be read to compare; grant s3:GetObject on it"
            )))
        }
    }
}

/// Whether an object has this content; `None` when it may not be read.
async fn is_same(
    connection: &Connection,
    key: &str,
    version: Option<&str>,
    content: &Content,
) -> Result<Option<bool>, StoreError> {
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
        Err(error) if Failure::of(&error).is_denied() => return Ok(None),
        Err(error) => {
            return Err(Asked::object(connection, "s3:GetObject", key)
                .failed(error)
                .await);
        }
    };
    if found.content_length().and_then(|n| u64::try_from(n).ok()) != Some(content.size) {
        return Ok(Some(false));
    }
    // A checksum of checksums (`…-3`) depends on the parts; then the bytes decide.
    if let Some(checksum) = found.checksum_sha256().filter(|sum| !sum.contains('-')) {
        return Ok(Some(checksum == BASE64.encode(content.sha256)));
    }
    let answer = connection
        .client
        .get_object()
        .bucket(&connection.options.bucket)
        .key(key)
        .set_version_id(version.map(str::to_owned))
        .send()
        .await;
    let mut body = match answer {
        Ok(found) => found.body,
        Err(error) if Failure::of(&error).is_denied() => return Ok(None),
        Err(error) => {
            return Err(Asked::object(connection, "s3:GetObject", key)
                .failed(error)
                .await);
        }
    };
    let mut hash = Sha256::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| {
            StoreError::Unavailable(format!(
                "s3://{}/{key} broke off while it was compared: {error}",
                connection.options.bucket
            ))
        })?;
        hash.update(&chunk);
    }
    let found: Digest = hash.finalize().into();
    Ok(Some(found == content.sha256))
}

/// The lock of an object as the store has it.
pub(super) async fn read_lock(
    connection: &Connection,
    key: &str,
    version: Option<&str>,
) -> LockState {
    let answer = connection
        .client
        .get_object_retention()
        .bucket(&connection.options.bucket)
        .key(key)
        .set_version_id(version.map(str::to_owned))
        .send()
        .await;
    match answer {
        Ok(found) => {
            let Some(retention) = found.retention() else {
                return LockState::NotLocked;
            };
            let mode = match retention.mode() {
                Some(ObjectLockRetentionMode::Compliance) => LockMode::Compliance,
                Some(ObjectLockRetentionMode::Governance) => LockMode::Governance,
                _ => return LockState::NotLocked,
            };
            match retention.retain_until_date() {
                Some(until) => LockState::Locked(Lock {
                    mode,
                    until: list::timestamp(until),
                }),
                None => LockState::NotLocked,
            }
        }
        Err(error) => {
            let failure = Failure::of(&error);
            match failure.code() {
                "NoSuchObjectLockConfiguration" | "ObjectLockConfigurationNotFoundError" => {
                    LockState::NotLocked
                }
                // The bucket has no Object Lock at all.
                "InvalidRequest" => LockState::NotLocked,
                _ => LockState::NotVerified,
            }
        }
    }
}

/// Locks an object that was written without the lock asked for: Ceph 16.2 drops it from uploads in
/// parts. Tells whether the store took it.
async fn lock_afterwards(
    connection: &Connection,
    key: &str,
    version: Option<&str>,
    options: &PutOptions,
) -> bool {
    let mode = options.lock.map(|lock| match lock.mode {
        LockMode::Governance => ObjectLockRetentionMode::Governance,
        LockMode::Compliance => ObjectLockRetentionMode::Compliance,
    });
    let retention = ObjectLockRetention::builder()
        .set_mode(mode)
        .set_retain_until_date(Locks::of(options).until)
        .build();
    connection
        .client
        .put_object_retention()
        .bucket(&connection.options.bucket)
        .key(key)
        .set_version_id(version.map(str::to_owned))
        .retention(retention)
        .send()
        .await
        .is_ok()
}

fn lock_remark(asked: Lock, found: LockState) -> Option<String> {
    let named = |mode| match mode {
        LockMode::Governance => "GOVERNANCE",
        LockMode::Compliance => "COMPLIANCE",
    };
    match found {
        LockState::NotVerified => None,
        LockState::NotLocked => Some(format!(
            "the store did not lock the object, {} was asked for",
            named(asked.mode)
        )),
        LockState::Locked(lock)
            if lock.mode == asked.mode && lock.until.secs() >= asked.until.secs() =>
        {
            None
        }
        LockState::Locked(lock) => Some(format!(
            "the store locks the object with {} until {}, asked for was {} until {}",
            named(lock.mode),
            lock.until,
            named(asked.mode),
            asked.until
        )),
    }
}

async fn hold_remark(connection: &Connection, key: &str, version: Option<&str>) -> Option<String> {
    let found = connection
        .client
        .get_object_legal_hold()
        .bucket(&connection.options.bucket)
        .key(key)
        .set_version_id(version.map(str::to_owned))
        .send()
        .await
        .ok()?;
    let status = found.legal_hold().and_then(|hold| hold.status());
    match status {
        Some(ObjectLockLegalHoldStatus::On) => None,
        _ => Some("the store did not put the object under legal hold".to_owned()),
    }
}

/// Lock headers of a request.
struct Locks {
    mode: Option<ObjectLockMode>,
    until: Option<DateTime>,
    hold: Option<ObjectLockLegalHoldStatus>,
}

impl Locks {
    fn of(options: &PutOptions) -> Locks {
        Locks {
            mode: options.lock.map(|lock| match lock.mode {
                LockMode::Governance => ObjectLockMode::Governance,
                LockMode::Compliance => ObjectLockMode::Compliance,
            }),
            until: options.lock.map(|lock| whole_second_after(lock.until)),
            hold: options.legal_hold.then_some(ObjectLockLegalHoldStatus::On),
        }
    }
}

/// Stores keep whole seconds; a lock never ends before what was asked for.
pub(super) fn whole_second_after(at: Timestamp) -> DateTime {
    DateTime::from_secs(at.secs() + i64::from(at.subsec_nanos() > 0))
}

fn content_type(options: &PutOptions) -> Option<String> {
    let given = !options.content_type.is_empty();
    given.then(|| options.content_type.to_owned())
}

pub(super) fn encryption(connection: &Connection) -> Option<ServerSideEncryption> {
    let asked = connection.options.sse.as_deref();
    match (asked, &connection.options.kms_key_id) {
        (Some(asked), _) => Some(ServerSideEncryption::from(asked)),
        (None, Some(_)) => Some(ServerSideEncryption::AwsKms),
        (None, None) => None,
    }
}

fn real_version(id: Option<&str>) -> Option<String> {
    id.filter(|id| !id.is_empty() && *id != "null")
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_the_body() {
        let bytes: Vec<u8> = (0..PART_BYTES * 2 + 5).map(|n| n as u8).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        std::fs::write(&path, &bytes).unwrap();
        for body in [Body::Bytes(&bytes), Body::File(&path)] {
            let content = Content::read(body, &PutOptions::default(), "k").unwrap();
            let parts: Vec<Bytes> = content.parts().map(Result::unwrap).collect();
            assert_eq!(parts.len(), 3);
            assert_eq!(parts.concat(), bytes);
        }
    }

    #[test]
    fn a_lock_never_ends_early() {
        let until = whole_second_after(Timestamp::from_secs(10, 1));
        assert_eq!(until.secs(), 11);
        assert_eq!(whole_second_after(Timestamp::from_secs(10, 0)).secs(), 10);
    }

    #[test]
    fn a_weaker_lock_is_said() {
        let asked = Lock {
            mode: LockMode::Compliance,
            until: Timestamp::from_secs(100, 5),
        };
        assert_eq!(lock_remark(asked, LockState::NotVerified), None);
        assert!(lock_remark(asked, LockState::NotLocked).is_some());
        let weaker = Lock {
            mode: LockMode::Governance,
            ..asked
        };
        assert!(lock_remark(asked, LockState::Locked(weaker)).is_some());
        let longer = Lock {
            until: Timestamp::from_secs(200, 0),
            ..asked
        };
        assert_eq!(lock_remark(asked, LockState::Locked(longer)), None);
    }
}
