//! The daily roll-up: the newest manifest of every chain, in a manifest of its own.
//!
//! In: the heads of this node's chains, and, where the recorder may list, the day's manifests of
//! the other nodes. Out: witnesses: what a roll-up names was there when it was written, so that a
//! whole node or a chain's end cannot vanish without taking the roll-ups of all others along.
//! Never: an upload that fails because somebody may not look.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};

use super::keys::{MANIFEST, PREFIX};
use super::manifest::{ChainHead, MAX_MANIFEST_BYTES, Manifest, Previous};
use crate::store::{Digest, Store, StoreError, hex};
use crate::time::Timestamp;

/// Nodes that a roll-up names at most.
const MAX_NODES: usize = 1000;

/// Objects that are looked through for them.
const MAX_LISTED: usize = 200_000;

const DAY: Duration = Duration::from_secs(86_400);

/// Fills a roll-up that is about to be uploaded to `store`; `own` is the head of the node's own
/// chain there, `heads` the folder with those of its other destinations, `ours` the file of this.
pub(crate) fn fill(
    store: &dyn Store,
    manifest: &mut Manifest,
    own: Option<&Previous>,
    heads: &Path,
    ours: &Path,
) {
    manifest.heads = own
        .map(|head| ChainHead {
            cluster: manifest.cluster.clone(),
            node: manifest.node.clone(),
            run: head.run,
            key: head.key.clone(),
            sha256: head.sha256.clone(),
        })
        .into_iter()
        .collect();
    match others(store, manifest) {
        Ok(others) => manifest.heads.extend(others),
        Err(error) => manifest
            .remarks
            .push(format!("the heads of other nodes are left out: {error}")),
    }
    manifest.elsewhere = elsewhere(heads, ours);
}

/// The newest manifest of the last two days of each other node of the cluster.
fn others(store: &dyn Store, manifest: &Manifest) -> Result<Vec<ChainHead>, StoreError> {
    let now = Timestamp::parse(&manifest.sealed).unwrap_or_default();
    // By node: the newest file name and its key and version.
    let mut newest: BTreeMap<String, (String, String, Option<String>)> = BTreeMap::new();
    for at in [now - DAY, now] {
        let prefix = format!(
            "{PREFIX}cluster={}/date={}/",
            super::keys::plain(&manifest.cluster),
            at.utc().format("%Y-%m-%d")
        );
        let mut listed = 0;
        store.list(&prefix, &mut |entry| {
            listed += 1;
            if let Some((node, file)) = named(&entry.key)
                && node != manifest.node
                && (newest.len() < MAX_NODES || newest.contains_key(&node))
            {
                let found = newest.entry(node).or_default();
                if found.0.as_str() < file {
                    *found = (file.to_owned(), entry.key.clone(), entry.version);
                }
            }
            listed < MAX_LISTED
        })?;
    }
    let mut heads = Vec::new();
    for (node, (_, key, version)) in newest {
        let mut bytes = Vec::new();
        let body = store.get(&key, version.as_deref(), None)?;
        body.take(MAX_MANIFEST_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|error| StoreError::Io(format!("{key}: {error}")))?;
        let Ok(found) = Manifest::parse(&bytes) else {
            continue;
        };
        let sha256: Digest = Sha256::digest(&bytes).into();
        heads.push(ChainHead {
            cluster: found.cluster,
            node,
            run: found.run,
            key,
            sha256: hex(&sha256),
        });
    }
    Ok(heads)
}

/// Node and file name of a manifest's key.
fn named(key: &str) -> Option<(String, &str)> {
    let (folder, file) = key.rsplit_once('/')?;
    if !file.ends_with(MANIFEST) {
        return None;
    }
    let node = folder
        .split('/')
        .find_map(|part| part.strip_prefix("node="))?;
    Some((
        percent_decode_str(node).decode_utf8_lossy().into_owned(),
        file,
    ))
}

/// The heads of this node's chains at its other destinations.
fn elsewhere(heads: &Path, ours: &Path) -> BTreeMap<String, Previous> {
    let Ok(entries) = fs::read_dir(heads) else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path != ours && path.extension().is_some_and(|ending| ending == "json"))
        .filter_map(|path| {
            let head = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            // A destination's URL may hold what is not for everybody; its hash tells it as well.
            let name = path.file_stem()?.to_string_lossy().into_owned();
            Some((name, head))
        })
        .take(MAX_NODES)
        .collect()
}
