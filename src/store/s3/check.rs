//! What a bucket keeps and which rights there are, found out without leaving anything behind.
//!
//! In: a connection. Out: a [`CheckReport`] to read or print. Never: an object. The right to put is
//! proved by beginning an upload in parts and giving it up: it asks for the same right, with lock
//! and key, and on no bucket does it make an object that somebody would have to delete.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    BucketVersioningStatus, ObjectLockEnabled, ObjectLockMode, ObjectLockRule,
};
use aws_smithy_runtime_api::http::Response;

use super::super::policy::Role;
use super::StoreError;
use super::connection::Connection;
use super::error::{Asked, Failure};
use super::lock::whole_second_after;
use crate::time::{Clock, SystemClock};

/// Name of the upload that is begun and given up.
const PROBE: &str = ".tapedeck-check";

/// Retention asked for with it; it never comes to an object.
const PROBE_LOCK: std::time::Duration = std::time::Duration::from_secs(60);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// The store's name.
    pub name: String,
    /// Who asked, where it can be known.
    pub identity: Option<String>,
    /// What the bucket is and keeps.
    pub facts: BTreeMap<&'static str, String>,
    /// The rights, in the order in which they are needed.
    pub rights: Vec<Right>,
    /// How the store met who asked.
    pub met: Met,
    /// What stands in the way or should be known, one sentence each.
    pub problems: Vec<String>,
}

/// One permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Its name in policies.
    pub permission: &'static str,
    /// Who needs it.
    pub needed_by: &'static str,
    /// Whether it is there.
    pub state: RightState,
}

/// Whether a right is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RightState {
    /// It was used.
    Granted,
    /// It was refused.
    Missing,
    /// It cannot be told without reading or writing an object.
    Unknown,
}

/// How a store meets who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// It answers, and takes the credentials.
    In,
    /// It does not take the credentials, or there are none.
    Refused,
    /// There is no such bucket, or no answer.
    Away,
}

impl Met {
    /// What an error says of it, when it is not about a right.
    fn by(error: &StoreError) -> Option<Met> {
        match error {
            StoreError::Credentials(_) => Some(Met::Refused),
            StoreError::Missing(_) | StoreError::Unavailable(_) | StoreError::Io(_) => {
                Some(Met::Away)
            }
            StoreError::Exists(_) | StoreError::Denied(_) | StoreError::Refused(_) => None,
        }
    }
}

impl CheckReport {
    /// A report on a store that cannot be asked.
    pub(super) fn unreachable(name: String, error: &StoreError) -> CheckReport {
        CheckReport {
            name,
            identity: None,
            facts: BTreeMap::new(),
            rights: Vec::new(),
            met: Met::by(error).unwrap_or(Met::Away),
            problems: vec![error.to_string()],
        }
    }

    /// Whether a recorder can put here.
    pub fn can_record(&self) -> bool {
        self.suffices(Role::Recorder)
    }

    /// Whether it can be read.
    pub fn can_read(&self) -> bool {
        self.suffices(Role::Reader)
    }

    /// Whether a role can do its work here: what must be granted is, and nothing is missing of what
    /// cannot be tried without an object.
    pub fn suffices(&self, role: Role) -> bool {
        let (granted, not_missing): (&[&str], &[&str]) = match role {
            Role::Recorder => (&["s3:PutObject"], &[]),
            Role::Reader => (&["s3:ListBucket"], &["s3:GetObject"]),
            Role::Verifier => (
                &["s3:ListBucket", "s3:ListBucketVersions"],
                &["s3:GetObject", "s3:GetObjectRetention"],
            ),
        };
        let has = |name: &str, fits: &dyn Fn(RightState) -> bool| {
            let mut rights = self.rights.iter();
            rights.any(|right| right.permission == name && fits(right.state))
        };
        self.met == Met::In
            && granted
                .iter()
                .all(|name| has(name, &|state| state == RightState::Granted))
            && not_missing
                .iter()
                .all(|name| has(name, &|state| state != RightState::Missing))
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        if let Some(identity) = &self.identity {
            writeln!(f, "  {:18} {identity}", "signed in as")?;
        }
        for (name, value) in &self.facts {
            writeln!(f, "  {name:18} {value}")?;
        }
        for right in &self.rights {
            let state = match right.state {
                RightState::Granted => "granted",
                RightState::Missing => "MISSING",
                RightState::Unknown => "unknown",
            };
            writeln!(f, "  {:38} {state:8} {}", right.permission, right.needed_by)?;
        }
        for problem in &self.problems {
            writeln!(f, "! {problem}")?;
        }
        Ok(())
    }
}

/// Asks for everything.
pub(super) async fn check(connection: &Connection) -> CheckReport {
    let mut report = CheckReport {
        name: format!("s3://{}", connection.options.bucket),
        identity: connection.identity().await,
        facts: facts(connection).await,
        rights: Vec::new(),
        met: Met::In,
        problems: Vec::new(),
    };
    if let Err(error) = super::read::bucket_is_there(connection).await {
        report.met = Met::Away;
        report.problems.push(error.to_string());
        return report;
    }
    writing(connection, &mut report).await;
    reading(connection, &mut report).await;
    let locks = report.facts.get("object lock").map(String::as_str);
    if locks == Some("off") {
        report.problems.push(
            "the bucket has no Object Lock: who may delete can delete recordings; make a bucket with Object Lock to rule that out".into(),
        );
    }
    if connection.endpoint.is_some() {
        report.problems.push(
            "whether this store honours If-None-Match is looked at after every put; it cannot be tried without leaving an object".into(),
        );
    }
    report
}

async fn writing(connection: &Connection, report: &mut CheckReport) {
    match begin_upload(connection, false).await {
        Ok(()) => report.push("s3:PutObject", "recorder", RightState::Granted),
        Err((state, problem)) => {
            report.push("s3:PutObject", "recorder", state);
            report.stands_in_the_way(&problem);
        }
    }
    let locks = report.facts.get("object lock").map(String::as_str);
    let lock_right = match locks {
        Some("off") => return,
        _ => begin_upload(connection, true).await,
    };
    match lock_right {
        Ok(()) => report.push(
            "s3:PutObjectRetention",
            "recorder that locks",
            RightState::Granted,
        ),
        Err((state, problem)) => {
            report.push("s3:PutObjectRetention", "recorder that locks", state);
            if report.can_record() {
                report.stands_in_the_way(&problem);
            }
        }
    }
}

/// Begins an upload in parts and gives it up.
async fn begin_upload(
    connection: &Connection,
    locked: bool,
) -> Result<(), (RightState, StoreError)> {
    let key = match connection.options.prefix.as_str() {
        "" => PROBE.to_owned(),
        prefix => format!("{prefix}/{PROBE}"),
    };
    let until = whole_second_after(SystemClock.now() + PROBE_LOCK);
    let answer = connection
        .client
        .create_multipart_upload()
        .bucket(&connection.options.bucket)
        .key(&key)
        .set_object_lock_mode(locked.then_some(ObjectLockMode::Governance))
        .set_object_lock_retain_until_date(locked.then_some(until))
        .set_server_side_encryption(super::put::encryption(connection))
        .set_ssekms_key_id(connection.options.kms_key_id.clone())
        .send()
        .await;
    let upload = match answer {
        Ok(begun) => begun.upload_id().unwrap_or_default().to_owned(),
        Err(error) => {
            let state = match Failure::of(&error).is_denied() {
                true => RightState::Missing,
                false => RightState::Unknown,
            };
            let permission = match locked {
                true => "s3:PutObjectRetention",
                false => "s3:PutObject",
            };
            let asked = Asked::object(connection, permission, &key);
            return Err((state, asked.failed(error).await));
        }
    };
    let given_up = connection
        .client
        .abort_multipart_upload()
        .bucket(&connection.options.bucket)
        .key(&key)
        .upload_id(upload)
        .send()
        .await;
    match given_up {
        Ok(_) => Ok(()),
        Err(error) => {
            let asked = Asked::object(connection, "s3:AbortMultipartUpload", &key);
            let sentence = asked.failed(error).await;
            let sentence = format!("an empty unfinished upload stays behind: {sentence}");
            Err((RightState::Granted, StoreError::Denied(sentence)))
        }
    }
}

async fn reading(connection: &Connection, report: &mut CheckReport) {
    let bucket = &connection.options.bucket;
    let prefix = &connection.options.prefix;
    let listed = connection
        .client
        .list_objects_v2()
        .bucket(bucket)
        .prefix(prefix)
        .max_keys(1)
        .send()
        .await;
    report.push("s3:ListBucket", "reader, verifier", state_of(&listed));
    if let Err(error) = &listed
        && Failure::of(error).is_sign_in()
        && report.met == Met::In
    {
        report.met = Met::Refused;
        let sentence = format!("the store did not take the credentials to list {bucket}");
        report.problems.push(sentence);
    }
    let versions = connection
        .client
        .list_object_versions()
        .bucket(bucket)
        .prefix(prefix)
        .max_keys(1)
        .send()
        .await;
    report.push(
        "s3:ListBucketVersions",
        "reader, verifier",
        state_of(&versions),
    );
    let some_key = listed
        .as_ref()
        .ok()
        .and_then(|page| page.contents().first())
        .and_then(|object| object.key());
    let Some(key) = some_key else {
        // Without an object a refusal and a missing key look the same.
        report.push("s3:GetObject", "reader, verifier", RightState::Unknown);
        report.push("s3:GetObjectRetention", "verifier", RightState::Unknown);
        return;
    };
    let head = connection
        .client
        .head_object()
        .bucket(bucket)
        .key(key)
        .send()
        .await;
    report.push("s3:GetObject", "reader, verifier", state_of(&head));
    let retention = connection
        .client
        .get_object_retention()
        .bucket(bucket)
        .key(key)
        .send()
        .await;
    let state = match &retention {
        Err(error) if Failure::of(error).means_no_lock() => RightState::Granted,
        other => state_of(other),
    };
    report.push("s3:GetObjectRetention", "verifier", state);
}

impl CheckReport {
    fn stands_in_the_way(&mut self, error: &StoreError) {
        if let Some(met) = Met::by(error) {
            self.met = met;
        }
        self.problems.push(error.to_string());
    }

    fn push(&mut self, permission: &'static str, needed_by: &'static str, state: RightState) {
        self.rights.push(Right {
            permission,
            needed_by,
            state,
        });
    }
}

fn state_of<T, E>(answer: &Result<T, SdkError<E, Response>>) -> RightState
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(_) => RightState::Granted,
        Err(error) => {
            let failure = Failure::of(error);
            match failure.status() {
                _ if failure.is_denied() => RightState::Missing,
                // "There is none" is an answer only to those who may ask.
                Some(404) => RightState::Granted,
                _ => RightState::Unknown,
            }
        }
    }
}

/// What the bucket is and keeps; what may not be asked reads "unknown".
pub(super) async fn facts(connection: &Connection) -> BTreeMap<&'static str, String> {
    let mut facts = BTreeMap::new();
    facts.insert("kind", "S3".to_owned());
    facts.insert("region", connection.region.clone());
    if let Some(endpoint) = &connection.endpoint {
        facts.insert("endpoint", endpoint.clone());
    }
    lock_facts(connection, &mut facts).await;
    let client = &connection.client;
    let bucket = &connection.options.bucket;
    let versioning = client.get_bucket_versioning().bucket(bucket).send().await;
    let versioning = said(versioning, "off", |found| match found.status() {
        Some(BucketVersioningStatus::Enabled) => "on".to_owned(),
        Some(BucketVersioningStatus::Suspended) => "suspended".to_owned(),
        _ => "off".to_owned(),
    });
    facts.insert("versioning", versioning);
    let encryption = client.get_bucket_encryption().bucket(bucket).send().await;
    let encryption = said(encryption, "none by default", |found| {
        found
            .server_side_encryption_configuration()
            .and_then(|configuration| configuration.rules().first())
            .and_then(|rule| rule.apply_server_side_encryption_by_default())
            .map_or_else(
                || "none by default".to_owned(),
                |rule| match rule.kms_master_key_id() {
                    Some(key) => format!("{} with {key}", rule.sse_algorithm().as_str()),
                    None => rule.sse_algorithm().as_str().to_owned(),
                },
            )
    });
    facts.insert("encryption", encryption);
    let block = client.get_public_access_block().bucket(bucket).send().await;
    let public = said(block, "not blocked", |found| {
        let all = found
            .public_access_block_configuration()
            .is_some_and(|block| {
                [
                    block.block_public_acls(),
                    block.ignore_public_acls(),
                    block.block_public_policy(),
                    block.restrict_public_buckets(),
                ]
                .iter()
                .all(|on| on.unwrap_or(false))
            });
        match all {
            true => "blocked".to_owned(),
            false => "partly blocked".to_owned(),
        }
    });
    facts.insert("public access", public);
    facts
}

async fn lock_facts(connection: &Connection, facts: &mut BTreeMap<&'static str, String>) {
    let asked = connection
        .client
        .get_object_lock_configuration()
        .bucket(&connection.options.bucket)
        .send()
        .await;
    let mut default = "none".to_owned();
    let lock = said(asked, "off", |found| {
        let Some(configuration) = found.object_lock_configuration() else {
            return "off".to_owned();
        };
        default = configuration
            .rule()
            .map_or_else(|| "none".to_owned(), default_retention);
        match configuration.object_lock_enabled() {
            Some(ObjectLockEnabled::Enabled) => "on".to_owned(),
            _ => "off".to_owned(),
        }
    });
    if lock != "on" && lock != "off" {
        default = lock.clone();
    }
    facts.insert("object lock", lock);
    facts.insert("default retention", default);
}

fn default_retention(rule: &ObjectLockRule) -> String {
    let Some(retention) = rule.default_retention() else {
        return "none".to_owned();
    };
    let mode = retention.mode().map_or("", |mode| mode.as_str());
    match (retention.days(), retention.years()) {
        (Some(days), _) => format!("{mode} for {days} days"),
        (None, Some(years)) => format!("{mode} for {years} years"),
        (None, None) => "none".to_owned(),
    }
}

/// What an answer says, `absent` when the bucket has no such setting, "unknown" when it may not be
/// asked.
fn said<T, E>(
    answer: Result<T, SdkError<E, Response>>,
    absent: &str,
    say: impl FnOnce(&T) -> String,
) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(found) => say(&found),
        Err(error) => {
            let failure = Failure::of(&error);
            match failure.status() {
                Some(404) if failure.code() != "NoSuchBucket" => absent.to_owned(),
                _ if failure.is_denied() => "unknown (denied)".to_owned(),
                // Ceph answers some questions that it does not know with the bucket's listing.
                Some(200 | 405 | 501) => "unknown (the store does not tell)".to_owned(),
                Some(status) => format!("unknown (status {status})"),
                None => "unknown".to_owned(),
            }
        }
    }
}
