//! Object Lock: asked for with a put, read back after it, and what to say where they differ.
//!
//! In: what a recording wants, and what the store says of an object. Out: request headers, the lock
//! as the store has it, remarks. Never: a lock taken for granted.

use aws_sdk_s3::types::{
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
};
use aws_smithy_types::DateTime;

use super::PutOptions;
use super::connection::Connection;
use super::error::Failure;
use super::list;
use crate::store::{Lock, LockMode, LockState};
use crate::time::Timestamp;

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
        Err(error) if Failure::of(&error).has_no_lock_code() => LockState::NotLocked,
        Err(_) => LockState::NotVerified,
    }
}

/// Locks an object that was written without the lock asked for: Ceph 16.2 drops it from uploads in
/// parts. Tells whether the store took it.
pub(super) async fn lock_afterwards(
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

pub(super) fn lock_remark(asked: Lock, found: LockState) -> Option<String> {
    let named = LockMode::name;
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

/// Whether an object is under legal hold; `None` when that may not be asked.
pub(super) async fn legal_hold(
    connection: &Connection,
    key: &str,
    version: Option<&str>,
) -> Option<bool> {
    let answer = connection
        .client
        .get_object_legal_hold()
        .bucket(&connection.options.bucket)
        .key(key)
        .set_version_id(version.map(str::to_owned))
        .send()
        .await;
    match answer {
        Ok(found) => {
            let status = found.legal_hold().and_then(|hold| hold.status());
            Some(status == Some(&ObjectLockLegalHoldStatus::On))
        }
        // Neither the object nor the bucket has one.
        Err(error) if Failure::of(&error).has_no_lock_code() => Some(false),
        Err(_) => None,
    }
}

/// Lock headers of a request.
pub(super) struct Locks {
    pub(super) mode: Option<ObjectLockMode>,
    pub(super) until: Option<DateTime>,
    pub(super) hold: Option<ObjectLockLegalHoldStatus>,
}

impl Locks {
    pub(super) fn of(options: &PutOptions) -> Locks {
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

#[cfg(test)]
mod tests {
    use super::*;

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
