//! Writing an object once, and finding out what the store made of it.
//!
//! In: a key, a body, how it is to be kept. Out: a receipt with the version that counts, the lock as
//! read back and remarks on what the store did not do. Never: a claim that rests on a status alone:
//! some stores answer 200 to `If-None-Match` and to checksums that they ignore.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
    StorageClass,
};
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::byte_stream::ByteStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::connection::Connection;
use super::content::Content;
use super::error::{Asked, Failure};
use super::list;
use super::lock::{Locks, legal_hold, lock_afterwards, lock_remark, read_lock};
use super::{PutOptions, Receipt, StoreError};
use crate::store::{Digest, LockState, Oddity, is_named_by, named_remark};

/// Bodies above this are sent in parts. Reels stay below: one request keeps one checksum over the
/// whole object, and Ceph 16.2 takes the bucket's default lock for what comes in parts.
pub(super) const MULTIPART_ABOVE: u64 = 100 * 1024 * 1024;

/// Tries while somebody else writes the same key (status 409).
const MAX_CONFLICTS: u32 = 6;

/// Wait after the first of these, doubled each time.
const CONFLICT_WAIT: Duration = Duration::from_millis(100);

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
    let mut held = None;
    if options.legal_hold {
        held = legal_hold(connection, key, version.as_deref()).await;
        if held == Some(false) {
            remarks.push("the store did not put the object under legal hold".to_owned());
        }
    }
    Ok(Receipt {
        version,
        lock,
        legal_hold: held,
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
        .set_storage_class(storage_class(options))
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
        .set_storage_class(storage_class(options))
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
            if is_named_by(key, &content.sha256) {
                remarks.push(named_remark(&place));
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

fn storage_class(options: &PutOptions) -> Option<StorageClass> {
    let given = !options.storage_class.is_empty();
    given.then(|| StorageClass::from(options.storage_class.as_str()))
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
