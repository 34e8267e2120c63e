//! What will be read, in which order: specs become stores and lists of their captures.
//!
//! In: specs. Out: for every spec the captures and archives, grouped by node and run, ordered by
//! time within a group, groups by their first file. Never: bodies, except the first packet of local
//! files whose name tells no time.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::group::{
    Group, HISTORY, Histories, MAX_BORROWED, Place, StoredHistory, named_second, reel_stem,
};
use super::{OpenError, Options, Span, narrow};
use crate::capture::CaptureError;
use crate::capture::file::{first_packet, plain_name};
use crate::index::{ENDING, span_of};
use crate::store::cloud;
use crate::store::folder::FolderStore;
use crate::store::s3::S3Store;
use crate::store::{Digest, Entry, Oddity, Store, StoreError, s3_parts};
use crate::system;
use crate::time::Timestamp;

/// Objects that are planned for at most, some 300 bytes each: a year of a large cluster.
const MAX_OBJECTS: usize = 2_000_000;

/// Keys named in one remark.
const NAMED_KEYS: usize = 3;

/// Endings of captures, compressed or not.
const CAPTURES: &[&str] = &[".pcap", ".pcapng", ".cap"];

/// Endings of archives.
const ARCHIVES: &[&str] = &[".tar", ".tar.gz", ".tgz", ".gz.tar", ".tar.lz4", ".tar.zst"];

/// Ending of manifests.
const MANIFEST: &str = ".manifest.json";

/// Ending of the names of a reel.
const NAMES: &str = ".names.jsonl";

/// All that will be read.
pub(super) struct Plan {
    /// In the order of the specs.
    pub(super) sections: Vec<Section>,
    /// What should be known before reading.
    pub(super) remarks: Vec<String>,
    /// Files that are not wanted.
    pub(super) left_out: usize,
}

/// What one spec named.
pub(super) enum Section {
    /// Standard input.
    Stdin,
    /// Files of a store.
    Stored(Stored),
}

/// Files of a store, in the order in which they are read.
pub(super) struct Stored {
    /// The store.
    pub(super) store: Arc<dyn Store>,
    /// Its folder, when it is one.
    pub(super) root: Option<PathBuf>,
    /// The files.
    pub(super) files: Vec<Planned>,
    /// What tells them from others: names, sizes, versions and times of all that was listed.
    pub(super) identity: Digest,
}

/// One file to read.
pub(super) struct Planned {
    /// Its key.
    pub(super) key: String,
    /// Size as listed.
    pub(super) size: u64,
    /// Version to read.
    pub(super) version: Option<String>,
    /// How it is read.
    pub(super) kind: Kind,
    /// Its node and run.
    pub(super) group: Arc<Group>,
    /// Manifest that says which bytes were sealed, with its version.
    pub(super) manifest: Option<(String, Option<String>)>,
    /// Names of the reel's addresses, as listed.
    pub(super) names: Option<Entry>,
    /// Second of its last request, where its index tells.
    pub(super) last: Option<i64>,
    /// Second by which it is ordered.
    second: i64,
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As a savefile.
    Capture,
    /// As an archive of savefiles.
    Archive,
    /// A manifest whose reel is not listed: its parts are asked for by name.
    Manifest,
}

impl Plan {
    /// The plan for `specs`.
    pub(super) fn of(specs: &[String], options: &Options) -> Result<Plan, OpenError> {
        let mut plan = Plan {
            sections: Vec::new(),
            remarks: Vec::new(),
            left_out: 0,
        };
        for spec in specs {
            let mut section = section(spec, options, &mut plan.remarks)?;
            if let Section::Stored(stored) = &mut section {
                let before = stored.files.len();
                narrow::narrow(&mut stored.files, &options.wanted.spans);
                if let Some(shard) = options.wanted.shard {
                    stored
                        .files
                        .retain(|file| shard.has(&file.key, &file.group.key));
                }
                plan.left_out += before - stored.files.len();
            }
            plan.sections.push(section);
        }
        Ok(plan)
    }

    /// Files that will be read.
    pub(super) fn objects(&self) -> usize {
        let files = |section: &Section| match section {
            Section::Stdin => 1,
            Section::Stored(stored) => stored.files.len(),
        };
        self.sections.iter().map(files).sum()
    }

    /// Their bytes as stored; `None` with standard input.
    pub(super) fn bytes(&self) -> Option<u64> {
        let bytes = |section: &Section| match section {
            Section::Stdin => None,
            Section::Stored(stored) => Some(stored.files.iter().map(|file| file.size).sum::<u64>()),
        };
        self.sections.iter().map(bytes).sum()
    }
}

fn section(spec: &str, options: &Options, remarks: &mut Vec<String>) -> Result<Section, OpenError> {
    if spec == "-" {
        return Ok(Section::Stdin);
    }
    if let Some((bucket, rest)) = s3_parts(spec) {
        let mut s3 = options.store.s3.clone();
        s3.bucket = bucket.to_owned();
        s3.prefix = String::new();
        let store: Arc<dyn Store> = Arc::new(S3Store::new(s3)?);
        return of_bucket(spec, store, rest, &options.wanted.spans, remarks);
    }
    if let Some((scheme, bucket, rest)) = cloud::parts(spec) {
        let store = cloud::CloudStore::new(scheme, bucket, "", &options.store.cloud)?;
        return of_bucket(spec, Arc::new(store), rest, &options.wanted.spans, remarks);
    }
    let path = spec.strip_prefix("file://").unwrap_or(spec);
    if path.is_empty() {
        return Err(OpenError::Unnamed);
    }
    if let Some((scheme, _)) = path.split_once("://") {
        return Err(OpenError::Scheme(format!("{scheme}://")));
    }
    of_path(spec, Path::new(path), &options.wanted.spans, remarks)
}

/// An object when there is one of exactly this name, else all keys that start so.
pub(super) fn of_bucket(
    spec: &str,
    store: Arc<dyn Store>,
    rest: &str,
    spans: &[Span],
    remarks: &mut Vec<String>,
) -> Result<Section, OpenError> {
    if !rest.is_empty() && !rest.ends_with('/') {
        let found = match store.head(rest) {
            // Without the right to list, S3 refuses what is only missing; the listing will tell.
            Err(StoreError::Denied(_)) => None,
            other => other?,
        };
        if let Some(entry) = found {
            let folder = rest.rsplit_once('/').map_or("", |(folder, _)| folder);
            let beside = match folder {
                "" => HISTORY.to_owned(),
                folder => format!("{folder}/{HISTORY}"),
            };
            // The object alone may be readable; then there are no names.
            let history = store.head(&beside).ok().flatten();
            let entries = std::iter::once(entry).chain(history).collect();
            return arranged(spec, store, None, entries, Some(rest), remarks);
        }
    }
    let entries = listed(&store, rest, spans)?;
    arranged(spec, store, None, entries, None, remarks)
}

fn of_path(
    spec: &str,
    path: &Path,
    spans: &[Span],
    remarks: &mut Vec<String>,
) -> Result<Section, OpenError> {
    let failed = |error| CaptureError::from_io(path.display().to_string(), error);
    let found = std::fs::metadata(path).map_err(failed)?;
    if found.is_dir() {
        let store: Arc<dyn Store> = Arc::new(FolderStore::open(path)?);
        let entries = listed(&store, "", spans)?;
        return arranged(spec, store, Some(path.to_owned()), entries, None, remarks);
    }
    // A file is the one object that is read of its folder; its node and names lie around it.
    let full = system::full(path).map_err(failed)?;
    let (folder, name) = match (
        full.parent(),
        full.file_name().and_then(|name| name.to_str()),
    ) {
        (Some(folder), Some(name)) => (folder, name),
        _ => return Err(OpenError::Scheme(spec.to_owned())),
    };
    let root = folder.parent().unwrap_or(folder);
    let inside = folder.strip_prefix(root).ok().and_then(Path::to_str);
    let key = match inside {
        Some("") | None => name.to_owned(),
        Some(inside) => format!("{inside}/{name}"),
    };
    let root = match inside {
        Some(_) => root,
        None => folder,
    };
    let store: Arc<dyn Store> = Arc::new(FolderStore::open(root)?);
    let mut entries = vec![Entry {
        key: key.clone(),
        size: found.len(),
        version: None,
        modified: found
            .modified()
            .ok()
            .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
            .map_or_else(Timestamp::default, |since| Timestamp::default() + since),
        oddity: None,
    }];
    let beside = key
        .strip_suffix(name)
        .map(|folder| format!("{folder}{HISTORY}"));
    if let Some(beside) = beside {
        entries.extend(store.head(&beside)?);
    }
    arranged(
        spec,
        store,
        Some(root.to_owned()),
        entries,
        Some(&key),
        remarks,
    )
}

/// Everything below a prefix that could matter, of an archive only the days of `spans`.
fn listed(store: &Arc<dyn Store>, prefix: &str, spans: &[Span]) -> Result<Vec<Entry>, OpenError> {
    let mut entries = Vec::new();
    for prefix in narrow::prefixes(store, prefix, spans)? {
        store.list(&prefix, &mut |entry| {
            let hidden = entry.key.split('/').any(|part| part.starts_with('.'));
            if !hidden {
                entries.push(entry);
            }
            entries.len() < MAX_OBJECTS
        })?;
    }
    Ok(entries)
}

/// Orders the files of a store. `only` names the one file that was asked for, whatever its ending.
fn arranged(
    spec: &str,
    store: Arc<dyn Store>,
    root: Option<PathBuf>,
    entries: Vec<Entry>,
    only: Option<&str>,
    remarks: &mut Vec<String>,
) -> Result<Section, OpenError> {
    let seen = entries.len();
    if seen >= MAX_OBJECTS {
        remarks.push(format!(
            "{spec}: only the first {MAX_OBJECTS} objects are read; name a longer prefix"
        ));
    }
    remarks.extend(oddities(spec, &entries));
    let identity = identity(&*store, &entries);
    let mut histories = BTreeMap::new();
    let mut manifests = HashMap::new();
    let mut names = HashMap::new();
    let mut lasts = HashMap::new();
    let mut captures = Vec::new();
    for entry in entries {
        let file = entry.key.rsplit('/').next().unwrap_or_default();
        let kind = kind_of(file);
        if file == HISTORY {
            let hidden = entry.oddity == Some(Oddity::HiddenByMarker);
            let folder = folder_of(&entry.key).to_owned();
            histories.insert(
                folder,
                Arc::new(StoredHistory::new(store.clone(), entry.key, hidden)),
            );
        } else if file.ends_with(MANIFEST) && only.is_none() {
            if let Some(stem) = reel_stem(&entry.key) {
                manifests.insert(stem.to_owned(), entry);
            }
        } else if file.ends_with(NAMES) {
            if let Some(stem) = reel_stem(&entry.key) {
                names.insert(stem.to_owned(), entry);
            }
        } else if let (Some(stem), Some((_, last))) = (reel_stem(&entry.key), span_of(&entry.key)) {
            lasts.insert(stem.to_owned(), last);
        } else if let Some(kind) = kind {
            captures.push((kind, entry));
        } else if only.is_some() {
            captures.push((Kind::Capture, entry));
        } else if let Some(root) = &root
            && !file.ends_with(ENDING)
            && first_packet(&root.join(&entry.key)).is_ok()
        {
            // Whoever names a local folder means every capture in it, whatever it is called.
            captures.push((Kind::Capture, entry));
        }
    }
    let mut groups = Groups {
        histories,
        found: HashMap::new(),
        section: spec.to_owned(),
    };
    let mut files = Vec::new();
    for (kind, entry) in captures {
        let stem = reel_stem(&entry.key);
        let manifest = stem.and_then(|stem| manifests.remove(stem));
        let names = stem.and_then(|stem| names.get(stem)).cloned();
        let second = second_of(&entry, root.as_deref(), kind);
        files.push(Planned {
            group: groups.of(&entry.key, kind),
            size: entry.size,
            version: entry.version,
            kind,
            manifest: manifest.map(|manifest| (manifest.key, manifest.version)),
            names,
            last: reel_stem(&entry.key)
                .and_then(|stem| lasts.get(stem))
                .copied(),
            second,
            key: entry.key,
        });
    }
    // Heartbeats, and reels whose packets are hidden from a listing without versions.
    for entry in manifests.into_values() {
        files.push(Planned {
            group: groups.of(&entry.key, Kind::Manifest),
            size: 0,
            version: entry.version.clone(),
            kind: Kind::Manifest,
            second: named_second(&entry.key).unwrap_or(i64::MAX),
            names: reel_stem(&entry.key)
                .and_then(|stem| names.get(stem))
                .cloned(),
            manifest: Some((entry.key.clone(), entry.version)),
            last: None,
            key: entry.key,
        });
    }
    if files.is_empty() {
        let hint = match (seen, &root) {
            (0, Some(_)) => "; the folder is empty".to_owned(),
            (0, None) => "; there is no object under this name".to_owned(),
            (1, _) => "; its one object has another ending".to_owned(),
            (seen, _) => format!("; its {seen} objects have other endings"),
        };
        return Err(OpenError::Nothing {
            place: spec.to_owned(),
            hint,
        });
    }
    sort(&mut files);
    Ok(Section::Stored(Stored {
        store,
        root,
        files,
        identity,
    }))
}

fn identity(store: &dyn Store, entries: &[Entry]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(store.name());
    // An index that lies beside the files says nothing of them.
    let others = entries.iter().filter(|entry| !entry.key.ends_with(ENDING));
    for entry in others {
        let version = entry.version.as_deref().unwrap_or_default();
        let Entry {
            key,
            size,
            modified,
            ..
        } = entry;
        hash.update(format!("\n{key}\n{version} {size} {modified}"));
    }
    hash.finalize().into()
}

/// Groups by their first file, files of a group by time, then by key.
fn sort(files: &mut [Planned]) {
    let mut first: HashMap<String, i64> = HashMap::new();
    for file in files.iter() {
        let second = first.entry(file.group.key.clone()).or_insert(i64::MAX);
        *second = (*second).min(file.second);
    }
    files.sort_by_cached_key(|file| {
        let group = file.group.key.clone();
        let begins = first.get(&group).copied().unwrap_or(i64::MAX);
        (begins, group, file.second, file.key.clone())
    });
}

fn second_of(entry: &Entry, root: Option<&Path>, kind: Kind) -> i64 {
    if let Some(second) = named_second(&entry.key) {
        return second;
    }
    if let (Some(root), Kind::Capture) = (root, kind)
        && let Ok(Some(first)) = first_packet(&root.join(&entry.key))
    {
        return first.secs();
    }
    entry.modified.secs()
}

/// How a file of this name is read; `None` when it is neither capture nor archive.
pub(super) fn kind_of(file: &str) -> Option<Kind> {
    let file = file.to_ascii_lowercase();
    if ARCHIVES.iter().any(|ending| file.ends_with(ending)) {
        return Some(Kind::Archive);
    }
    // As rotated files are called: `a.pcap3` and `a.pcap.3`.
    let plain = plain_name(&file).trim_end_matches(|c: char| c.is_ascii_digit());
    let plain = plain.strip_suffix('.').unwrap_or(plain);
    let named = CAPTURES.iter().any(|ending| plain.ends_with(ending));
    named.then_some(Kind::Capture)
}

/// The folder of a key; empty at the top.
pub(super) fn folder_of(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Groups by node and run, made as files name them.
struct Groups {
    /// By folder.
    histories: BTreeMap<String, Arc<StoredHistory>>,
    found: HashMap<String, Arc<Group>>,
    section: String,
}

impl Groups {
    fn of(&mut self, key: &str, kind: Kind) -> Arc<Group> {
        let place = Place::of(key);
        let own = self.histories.get(folder_of(key)).cloned();
        let inner = match (&place, &own, kind) {
            (_, _, Kind::Archive) => key,
            (Some(place), _, _) => place.key.as_str(),
            (None, Some(_), _) => folder_of(key),
            // Files of no known node are one capture until their times say otherwise.
            (None, None, _) => "",
        };
        // Files of two specs are of one capture only when neither says where it is from.
        let name = match inner {
            "" => String::new(),
            inner => format!("{}\n{inner}", self.section),
        };
        if let Some(group) = self.found.get(&name) {
            return group.clone();
        }
        let run = place.as_ref().and_then(|place| place.run);
        let borrowed = match &own {
            Some(_) => Vec::new(),
            None => self.borrowed(run),
        };
        let group = Arc::new(Group::new(
            name.clone(),
            place.as_ref(),
            Histories { own, borrowed },
        ));
        self.found.insert(name, group.clone());
        group
    }

    /// Histories of the same run, else of any.
    fn borrowed(&self, run: Option<u64>) -> Vec<Arc<StoredHistory>> {
        let of_run = |folder: &str| {
            let place = Place::of_folder(folder);
            run.is_some() && place.is_some_and(|place| place.run == run)
        };
        let mut histories: Vec<_> = self.histories.iter().collect();
        histories.sort_by_key(|(folder, _)| !of_run(folder));
        histories
            .into_iter()
            .take(MAX_BORROWED)
            .map(|(_, history)| history.clone())
            .collect()
    }
}

/// What others did to objects since they were written.
fn oddities(spec: &str, entries: &[Entry]) -> Vec<String> {
    let named = |of: &dyn Fn(&Oddity) -> bool| {
        let keys: Vec<&str> = entries
            .iter()
            .filter(|entry| entry.oddity.as_ref().is_some_and(of))
            // Histories are meant to be written again.
            .filter(|entry| !entry.key.ends_with(HISTORY))
            .map(|entry| entry.key.as_str())
            .collect();
        let some = keys
            .get(..NAMED_KEYS.min(keys.len()))
            .unwrap_or_default()
            .join(", ");
        (keys.len(), some)
    };
    let mut remarks = Vec::new();
    let (count, some) = named(&|oddity| *oddity == Oddity::HiddenByMarker);
    if count > 0 {
        remarks.push(format!(
            "{spec}: somebody deleted {count} objects ({some}); a delete marker hides them, they are read all the same"
        ));
    }
    let (count, some) = named(&|oddity| matches!(oddity, Oddity::NewerVersions(_)));
    if count > 0 {
        remarks.push(format!(
            "{spec}: somebody wrote again over {count} objects ({some}); their first versions are read"
        ));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_captures_from_archives() {
        for name in [
            "a.pcap",
            "a.PCAPNG",
            "a.pcap.gz",
            "a.pcap.lz4",
            "x.pcapng.zst",
            "a.cap",
        ] {
            assert_eq!(kind_of(name), Some(Kind::Capture), "{name}");
        }
        for name in [
            "a.tar",
            "a.tar.gz",
            "a.tgz",
            "r_kubeshark_1.gz.tar",
            "a.tar.lz4",
            "a.tar.zst",
        ] {
            assert_eq!(kind_of(name), Some(Kind::Archive), "{name}");
        }
        for name in ["a.json", "pcap", "a.pcap.txt", "a.gz", "a.pcaptmp"] {
            assert_eq!(kind_of(name), None, "{name}");
        }
    }
}
