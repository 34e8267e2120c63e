//! A store in memory, for tests and trials.
//!
//! In: keys and bytes. Out: the same, until the process ends. Never: a disk, a network. It can be
//! told to be away, so that callers can be tested against a store that fails.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use super::{
    Body, Digest, Entry, LockState, PutOptions, Receipt, State, Store, StoreError, clear_prefix,
    hex,
};
use crate::time::{Clock, SystemClock, Timestamp};

/// Objects in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Object>>,
    away: AtomicBool,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Arc<[u8]>,
    lock: LockState,
    legal_hold: bool,
    modified: Timestamp,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// Makes every call fail as if the network were down, or work again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Object>> {
        // A panic elsewhere leaves whole objects behind, so the map is still good.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable(
                "the store in memory is away".into(),
            ));
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn name(&self) -> String {
        "memory".into()
    }

    fn put(&self, key: &str, body: Body<'_>, options: &PutOptions) -> Result<Receipt, StoreError> {
        self.reach()?;
        let bytes: Arc<[u8]> = match body {
            Body::Bytes(bytes) => bytes.into(),
            Body::File(path) => std::fs::read(path)
                .map_err(|error| StoreError::Io(format!("{}: {error}", path.display())))?
                .into(),
        };
        let found: Digest = Sha256::digest(&bytes).into();
        if options.sha256 != Digest::default() && found != options.sha256 {
            return Err(StoreError::Refused(format!(
                "{key} has SHA-256 {}, not {} as sealed",
                hex(&found),
                hex(&options.sha256)
            )));
        }
        let mut objects = self.objects();
        let existing = objects.get(key).filter(|_| options.write_once);
        if let Some(existing) = existing {
            if existing.bytes != bytes {
                return Err(StoreError::Exists(format!(
                    "{key} exists in memory with other content"
                )));
            }
            return Ok(Receipt {
                version: None,
                lock: existing.lock,
                legal_hold: options.legal_hold.then_some(existing.legal_hold),
                existed: true,
                remarks: Vec::new(),
            });
        }
        let lock = options.lock.map_or(LockState::NotLocked, LockState::Locked);
        let object = Object {
            bytes,
            lock,
            legal_hold: options.legal_hold,
            modified: SystemClock.now(),
        };
        objects.insert(key.to_owned(), object);
        Ok(Receipt {
            version: None,
            lock,
            legal_hold: options.legal_hold.then_some(true),
            existed: false,
            remarks: Vec::new(),
        })
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError> {
        self.reach()?;
        let found: Vec<Entry> = self
            .objects()
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, object)| entry(key, object))
            .collect();
        for entry in found {
            if !each(entry) {
                break;
            }
        }
        Ok(())
    }

    fn get(
        &self,
        key: &str,
        _version: Option<&str>,
        range: Option<(u64, u64)>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        self.reach()?;
        let bytes = self
            .objects()
            .get(key)
            .map(|object| object.bytes.clone())
            .ok_or_else(|| StoreError::Missing(format!("there is no {key} in memory")))?;
        let Some((start, end)) = range else {
            return Ok(Box::new(Cursor::new(bytes)));
        };
        let mut whole = Cursor::new(bytes);
        whole.set_position(start);
        Ok(Box::new(whole.take(end.saturating_sub(start))))
    }

    fn head(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.reach()?;
        Ok(self.objects().get(key).map(|object| entry(key, object)))
    }

    fn state(&self, key: &str, _version: Option<&str>) -> Result<Option<State>, StoreError> {
        self.reach()?;
        Ok(self.objects().get(key).map(|object| State {
            size: object.bytes.len() as u64,
            version: None,
            sha256: Some(Sha256::digest(&object.bytes).into()),
            lock: object.lock,
            legal_hold: Some(object.legal_hold),
        }))
    }

    fn clear(&self, prefix: &str) -> Result<u64, StoreError> {
        self.reach()?;
        let prefix = clear_prefix(prefix)?;
        let mut gone = 0;
        self.objects().retain(|key, _| {
            let goes = key.starts_with(&prefix);
            gone += u64::from(goes);
            !goes
        });
        Ok(gone)
    }

    fn facts(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([("kind", "memory".into()), ("object lock", "none".into())])
    }
}

fn entry(key: &str, object: &Object) -> Entry {
    Entry {
        key: key.to_owned(),
        size: object.bytes.len() as u64,
        version: None,
        modified: object.modified,
        oddity: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_the_contract() {
        super::super::conformance::check(&MemoryStore::new());
    }

    #[test]
    fn a_store_that_is_away_is_worth_another_try() {
        let store = MemoryStore::new();
        store.set_away(true);
        let error = store.head("a").unwrap_err();
        assert!(error.is_transient());
    }
}
