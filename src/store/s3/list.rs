//! Listings that look through delete markers to the first version of every key.
//!
//! In: a prefix. Out: entries in key order, one page in memory at a time. Never: more than a page
//! of keys at once, however many there are.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{CommonPrefix, Delete, DeleteMarkerEntry, ObjectIdentifier, ObjectVersion};
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::DateTime;

use super::connection::Connection;
use super::error::{Asked, Failure};
use super::{Entry, StoreError};
use crate::store::Oddity;
use crate::time::Timestamp;

/// Version id of objects written while a bucket keeps no versions.
const NULL_VERSION: &str = "null";

/// Calls `each` for the objects below `prefix`.
pub(super) async fn list(
    connection: &Connection,
    prefix: &str,
    each: &mut dyn FnMut(Entry) -> bool,
) -> Result<(), StoreError> {
    if !connection.no_versions.load(Ordering::Relaxed) {
        match versions(connection, prefix, each).await? {
            Listed::Done => return Ok(()),
            Listed::NotAllowed => connection.no_versions.store(true, Ordering::Relaxed),
        }
    }
    plain(connection, prefix, each).await
}

/// The first version of exactly `key`; `None` when there is none or versions may not be listed.
pub(super) async fn first_version(
    connection: &Connection,
    key: &str,
) -> Result<Option<Entry>, StoreError> {
    if connection.no_versions.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let mut found = None;
    // The key itself comes first among those that start with it.
    let listed = versions(connection, key, &mut |entry| {
        if entry.key == key {
            found = Some(entry);
        }
        false
    })
    .await?;
    if matches!(listed, Listed::NotAllowed) {
        connection.no_versions.store(true, Ordering::Relaxed);
    }
    Ok(found)
}

/// The folders directly below `prefix`, also those in which everything is hidden by delete markers.
pub(super) async fn folders(
    connection: &Connection,
    prefix: &str,
) -> Result<Vec<String>, StoreError> {
    if !connection.no_versions.load(Ordering::Relaxed) {
        match folders_of_versions(connection, prefix).await? {
            Some(folders) => return Ok(folders),
            None => connection.no_versions.store(true, Ordering::Relaxed),
        }
    }
    let mut folders = Vec::new();
    plain_pages(connection, prefix, Some("/"), &mut |page| {
        folders.extend(names(page.common_prefixes()));
        true
    })
    .await?;
    Ok(folders)
}

fn names(folders: &[CommonPrefix]) -> impl Iterator<Item = String> {
    let names = folders.iter().filter_map(CommonPrefix::prefix);
    names.map(str::to_owned)
}

/// The same by a listing of versions; `None` when that is not allowed.
async fn folders_of_versions(
    connection: &Connection,
    prefix: &str,
) -> Result<Option<Vec<String>>, StoreError> {
    let mut folders = Vec::new();
    let listed = version_pages(connection, prefix, Some("/"), &mut |page| {
        folders.extend(names(page.common_prefixes()));
        true
    })
    .await?;
    Ok(match listed {
        Listed::Done => Some(folders),
        Listed::NotAllowed => None,
    })
}

/// Deletes what is below `prefix`; on a bucket with versions this leaves delete markers.
pub(super) async fn clear(connection: &Connection, prefix: &str) -> Result<u64, StoreError> {
    let mut gone = 0;
    loop {
        let mut keys = Vec::new();
        plain(connection, prefix, &mut |entry| {
            keys.push(entry.key);
            keys.len() < MAX_DELETE
        })
        .await?;
        if keys.is_empty() {
            return Ok(gone);
        }
        let mut objects = Vec::with_capacity(keys.len());
        for key in &keys {
            let object = ObjectIdentifier::builder().key(key).build();
            objects.push(object.map_err(|error| StoreError::Refused(error.to_string()))?);
        }
        let delete = Delete::builder()
            .set_objects(Some(objects))
            .quiet(true)
            .build();
        let delete = delete.map_err(|error| StoreError::Refused(error.to_string()))?;
        let answer = connection
            .client
            .delete_objects()
            .bucket(&connection.options.bucket)
            .delete(delete)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let asked = Asked::object(connection, "s3:DeleteObject", prefix);
                return Err(asked.failed(error).await);
            }
        };
        if let Some(error) = answer.errors().first() {
            let key = error.key().unwrap_or_default();
            let said = error.message().or(error.code()).unwrap_or_default();
            return Err(StoreError::Denied(format!(
                "s3://{}/{key} could not be deleted: {said}",
                connection.options.bucket
            )));
        }
        gone += keys.len() as u64;
    }
}

/// Most keys of one DeleteObjects request.
const MAX_DELETE: usize = 1000;

/// Whether a listing of versions failed because it may not be asked for, or the server has none.
fn may_not_list_versions<E>(error: &SdkError<E, Response>) -> bool
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let failure = Failure::of(error);
    failure.is_denied() || matches!(failure.status(), Some(405 | 501))
}

enum Listed {
    Done,
    NotAllowed,
}

/// What is known of a key while its versions pass by.
#[derive(Debug, Default)]
struct Versions {
    /// Oldest version seen so far: versions come newest first.
    first: Option<(DateTime, u64, Option<String>)>,
    count: usize,
    hidden: bool,
}

impl Versions {
    fn version(&mut self, version: &ObjectVersion) {
        self.count += 1;
        let modified = version
            .last_modified()
            .copied()
            .unwrap_or(DateTime::from_secs(0));
        if self
            .first
            .as_ref()
            .is_none_or(|(first, ..)| modified <= *first)
        {
            let size = u64::try_from(version.size().unwrap_or(0)).unwrap_or(0);
            self.first = Some((modified, size, version.version_id().map(str::to_owned)));
        }
    }

    fn marker(&mut self, marker: &DeleteMarkerEntry) {
        self.hidden |= marker.is_latest().unwrap_or(false);
    }

    fn entry(self, key: String) -> Option<Entry> {
        let (modified, size, version) = self.first?;
        let oddity = match (self.hidden, self.count) {
            (true, _) => Some(Oddity::HiddenByMarker),
            (false, 0 | 1) => None,
            (false, count) => Some(Oddity::NewerVersions(count - 1)),
        };
        let version = version.filter(|id| id != NULL_VERSION || oddity.is_some());
        Some(Entry {
            key,
            size,
            version,
            modified: timestamp(&modified),
            oddity,
        })
    }
}

async fn versions(
    connection: &Connection,
    prefix: &str,
    each: &mut dyn FnMut(Entry) -> bool,
) -> Result<Listed, StoreError> {
    // Keys whose versions may go on in the next page: at most the last of a page.
    let mut open: BTreeMap<String, Versions> = BTreeMap::new();
    version_pages(connection, prefix, None, &mut |page| {
        for version in page.versions() {
            if let Some(key) = version.key() {
                open.entry(key.to_owned()).or_default().version(version);
            }
        }
        for marker in page.delete_markers() {
            if let Some(key) = marker.key() {
                open.entry(key.to_owned()).or_default().marker(marker);
            }
        }
        let unfinished = match next_key(page) {
            Some(next) => open.split_off(next),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut open, unfinished)
            .into_iter()
            .filter_map(|(key, versions)| versions.entry(key))
            .all(&mut *each)
    })
    .await
}

/// The key that the next page begins with; `None` on the last.
fn next_key(page: &ListObjectVersionsOutput) -> Option<&str> {
    page.next_key_marker()
        .filter(|_| page.is_truncated().unwrap_or(false))
}

/// Calls `each` for the pages of a listing of versions until it answers no.
async fn version_pages(
    connection: &Connection,
    prefix: &str,
    delimiter: Option<&str>,
    each: &mut dyn FnMut(&ListObjectVersionsOutput) -> bool,
) -> Result<Listed, StoreError> {
    let (mut key_marker, mut version_marker) = (None, None);
    loop {
        let answer = connection
            .client
            .list_object_versions()
            .bucket(&connection.options.bucket)
            .prefix(prefix)
            .set_delimiter(delimiter.map(str::to_owned))
            .set_key_marker(key_marker)
            .set_version_id_marker(version_marker)
            .send()
            .await;
        let page = match answer {
            Ok(page) => page,
            Err(error) if may_not_list_versions(&error) => return Ok(Listed::NotAllowed),
            Err(error) => {
                let asked = Asked::bucket(connection, "s3:ListBucketVersions");
                return Err(asked.failed(error).await);
            }
        };
        if !each(&page) {
            return Ok(Listed::Done);
        }
        let Some(next) = next_key(&page) else {
            return Ok(Listed::Done);
        };
        key_marker = Some(next.to_owned());
        version_marker = page.next_version_id_marker().map(str::to_owned);
    }
}

async fn plain(
    connection: &Connection,
    prefix: &str,
    each: &mut dyn FnMut(Entry) -> bool,
) -> Result<(), StoreError> {
    plain_pages(connection, prefix, None, &mut |page| {
        let mut entries = page.contents().iter().filter_map(|object| {
            Some(Entry {
                key: object.key()?.to_owned(),
                size: u64::try_from(object.size().unwrap_or(0)).unwrap_or(0),
                version: None,
                modified: object
                    .last_modified()
                    .map_or_else(Timestamp::default, timestamp),
                oddity: None,
            })
        });
        entries.all(&mut *each)
    })
    .await
}

/// Calls `each` for the pages of a plain listing until it answers no.
async fn plain_pages(
    connection: &Connection,
    prefix: &str,
    delimiter: Option<&str>,
    each: &mut dyn FnMut(&ListObjectsV2Output) -> bool,
) -> Result<(), StoreError> {
    let mut token = None;
    loop {
        let answer = connection
            .client
            .list_objects_v2()
            .bucket(&connection.options.bucket)
            .prefix(prefix)
            .set_delimiter(delimiter.map(str::to_owned))
            .set_continuation_token(token)
            .send()
            .await;
        let page = match answer {
            Ok(page) => page,
            Err(error) => {
                let asked = Asked::bucket(connection, "s3:ListBucket");
                return Err(asked.failed(error).await);
            }
        };
        if !each(&page) {
            return Ok(());
        }
        token = page
            .next_continuation_token()
            .filter(|_| page.is_truncated().unwrap_or(false))
            .map(str::to_owned);
        if token.is_none() {
            return Ok(());
        }
    }
}

/// The same moment in our type.
pub(super) fn timestamp(at: &DateTime) -> Timestamp {
    Timestamp::from_secs(at.secs(), at.subsec_nanos())
}
