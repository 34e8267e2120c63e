//! A parcel: a sealed reel on disk, with where it goes.
//!
//! In: what sealing made. Out: `parcel.json` in the parcel's folder, and back again. Never: the
//! parts themselves, which lie beside it.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::read_capped;
use super::journal::Head;
use super::manifest::{MAX_MANIFEST_BYTES, Manifest};
use super::wish::Retention;

/// A sealed reel on disk: what it is and where it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parcel {
    pub(crate) id: String,
    pub(crate) destination: String,
    pub(crate) lock: Option<String>,
    pub(crate) lock_seconds: u64,
    pub(crate) legal_hold: bool,
    #[serde(default)]
    pub(crate) storage_class: String,
    pub(crate) stem: String,
    pub(crate) sealed_nanos: i64,
    /// Names of the parts' files, in the order of the manifest's parts.
    pub(crate) files: Vec<String>,
    pub(crate) manifest: Manifest,
}

impl Parcel {
    pub(crate) fn new(head: &Head, stem: String, manifest: Manifest, files: Vec<String>) -> Parcel {
        Parcel {
            id: head.id(),
            destination: head.destination.clone(),
            lock: head.lock.clone(),
            lock_seconds: head.lock_seconds,
            legal_hold: head.legal_hold,
            storage_class: head.storage_class.clone(),
            stem,
            sealed_nanos: 0,
            files,
            manifest,
        }
    }

    pub(crate) fn retention(&self) -> Option<Retention> {
        super::journal::retention(self.lock.as_deref(), self.lock_seconds)
    }

    /// Reads the parcel of a folder.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub(crate) fn read(folder: &Path) -> io::Result<Parcel> {
        let path = folder.join("parcel.json");
        Ok(serde_json::from_slice(&read_capped(
            &path,
            MAX_MANIFEST_BYTES,
        )?)?)
    }
}

/// Bytes of a parcel's files.
pub(crate) fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|about| about.len())
        .sum()
}
