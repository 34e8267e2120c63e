//! A folder as a store: one file an object, folders for the slashes in keys.
//!
//! In: keys and bytes. Out: files that are whole or absent, also after a crash: each is written
//! under a temporary name, synced, given its name without replacing another, and the folder synced.
//! Never: following symbolic links while listing, leaving the folder, keeping a half-written file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{
    Body, Digest, Entry, LockState, PutOptions, Receipt, State, Store, StoreError, clear_prefix,
    digest_of, hex,
};
use crate::private;
use crate::system;
use crate::time::Timestamp;

/// What the names of unfinished files start with; listings leave them out.
const UNFINISHED: &str = ".unfinished-";

/// Folders within folders; deeper ones are a loop or hostile, no key of ours has ten.
const MAX_DEPTH: usize = 64;

/// Longest part of a key between slashes (`NAME_MAX` of Linux file systems).
const MAX_NAME: usize = 255;

/// Bytes copied at a time.
const COPY_BYTES: usize = 256 * 1024;

/// A folder as a store.
#[derive(Debug)]
pub struct FolderStore {
    root: PathBuf,
}

impl FolderStore {
    /// The store in `root`, which is made (mode 0700) when it is missing.
    ///
    /// # Errors
    /// `Io` when it can neither be found nor made, `Refused` when something else has its name.
    pub fn create(root: &Path) -> Result<FolderStore, StoreError> {
        make_folder(root).map_err(|error| io_error(root, &error))?;
        FolderStore::open(root)
    }

    /// The store in the folder `root`, which must exist.
    ///
    /// # Errors
    /// `Missing` when there is nothing, `Refused` when it is no folder.
    pub fn open(root: &Path) -> Result<FolderStore, StoreError> {
        let metadata = fs::metadata(root).map_err(|error| io_error(root, &error))?;
        if !metadata.is_dir() {
            return Err(StoreError::Refused(format!(
                "{} is not a folder; name a folder to keep objects in",
                root.display()
            )));
        }
        Ok(FolderStore {
            root: root.to_owned(),
        })
    }

    fn path_of(&self, key: &str) -> Result<PathBuf, StoreError> {
        let fits = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.len() <= MAX_NAME
                && !part.contains(['\0', '\\'])
                && !part.starts_with(UNFINISHED)
                && system::can_name(part)
        };
        if key.split('/').count() > MAX_DEPTH || !key.split('/').all(fits) {
            return Err(StoreError::Refused(format!(
                "{key:?} cannot be a file below {}; use names between single slashes, without ..",
                self.root.display()
            )));
        }
        Ok(self.root.join(key))
    }

    /// Writes `body` to an unfinished file in `folder`; it vanishes unless it is given its name.
    fn stage(folder: &Path, body: Body<'_>) -> io::Result<(tempfile::NamedTempFile, Digest)> {
        let mut unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(folder)?;
        let mut hash = Sha256::new();
        match body {
            Body::Bytes(bytes) => {
                hash.update(bytes);
                unfinished.write_all(bytes)?;
            }
            Body::File(path) => {
                let mut file = File::open(path).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
                let mut buffer = vec![0; COPY_BYTES];
                loop {
                    let taken = file.read(&mut buffer)?;
                    let Some(bytes) = buffer.get(..taken).filter(|bytes| !bytes.is_empty()) else {
                        break;
                    };
                    hash.update(bytes);
                    unfinished.write_all(bytes)?;
                }
            }
        }
        unfinished.as_file().sync_all()?;
        Ok((unfinished, hash.finalize().into()))
    }
}

impl Store for FolderStore {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn put(&self, key: &str, body: Body<'_>, options: &PutOptions) -> Result<Receipt, StoreError> {
        let path = self.path_of(key)?;
        let folder = path.parent().unwrap_or(&self.root);
        make_folder(folder).map_err(|error| io_error(folder, &error))?;
        let (unfinished, digest) =
            Self::stage(folder, body).map_err(|error| io_error(&path, &error))?;
        if options.sha256 != Digest::default() && digest != options.sha256 {
            return Err(StoreError::Refused(format!(
                "{key} has SHA-256 {}, not {} as sealed",
                hex(&digest),
                hex(&options.sha256)
            )));
        }
        let mut receipt = Receipt {
            version: None,
            lock: LockState::NotLocked,
            legal_hold: options.legal_hold.then_some(false),
            existed: false,
            remarks: Vec::new(),
        };
        if options.lock.is_some() || options.legal_hold {
            receipt
                .remarks
                .push("a folder cannot lock what it keeps".into());
        }
        if options.write_once {
            protect(unfinished.as_file()).map_err(|error| io_error(&path, &error))?;
            match unfinished.persist_noclobber(&path) {
                Ok(_) => {}
                Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                    let existing = File::open(&path)
                        .and_then(|mut file| digest_of(&mut file))
                        .map_err(|error| io_error(&path, &error))?;
                    if existing != digest {
                        return Err(StoreError::Exists(format!(
                            "{} exists with other content",
                            path.display()
                        )));
                    }
                    receipt.existed = true;
                }
                Err(failed) => return Err(io_error(&path, &failed.error)),
            }
        } else {
            unfinished
                .persist(&path)
                .map_err(|failed| io_error(&path, &failed.error))?;
        }
        sync_folder(folder).map_err(|error| io_error(folder, &error))?;
        Ok(receipt)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError> {
        walk(&self.root, "", prefix, 0, each).map(|_| ())
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let folder = match prefix.trim_end_matches('/') {
            "" => self.root.clone(),
            inner => self.path_of(inner)?,
        };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // The store itself may have been moved away since it was opened.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.root.is_dir() => {
                return Ok(Vec::new());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(io_error(&self.root, &error));
            }
            Err(error) => return Err(io_error(&folder, &error)),
        };
        let mut folders = Vec::new();
        for file in entries {
            let file = file.map_err(|error| io_error(&folder, &error))?;
            let kind = file
                .file_type()
                .map_err(|error| io_error(&folder, &error))?;
            if let (true, Ok(name)) = (kind.is_dir(), file.file_name().into_string()) {
                folders.push(format!("{prefix}{name}/"));
            }
        }
        folders.sort();
        Ok(folders)
    }

    fn get(
        &self,
        key: &str,
        _version: Option<&str>,
        range: Option<(u64, u64)>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        let path = self.path_of(key)?;
        let mut file = File::open(&path).map_err(|error| io_error(&path, &error))?;
        let Some((start, end)) = range else {
            return Ok(Box::new(file));
        };
        file.seek(SeekFrom::Start(start))
            .map_err(|error| io_error(&path, &error))?;
        Ok(Box::new(file.take(end.saturating_sub(start))))
    }

    fn head(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let path = self.path_of(key)?;
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(entry(key.to_owned(), &metadata))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(&path, &error)),
        }
    }

    fn state(&self, key: &str, _version: Option<&str>) -> Result<Option<State>, StoreError> {
        Ok(self.head(key)?.map(|entry| State {
            size: entry.size,
            version: None,
            sha256: None,
            lock: LockState::NotLocked,
            legal_hold: Some(false),
        }))
    }

    fn clear(&self, prefix: &str) -> Result<u64, StoreError> {
        let prefix = clear_prefix(prefix)?;
        let folder = self.path_of(prefix.trim_end_matches('/'))?;
        if !folder.is_dir() {
            return Ok(0);
        }
        let mut gone = 0;
        let mut failed = None;
        self.list(&prefix, &mut |entry| {
            let path = self.root.join(&entry.key);
            match fs::remove_file(&path) {
                Ok(()) => gone += 1,
                Err(error) => failed = Some(io_error(&path, &error)),
            }
            failed.is_none()
        })?;
        match failed {
            Some(error) => Err(error),
            None => {
                // Only empty folders are left; a file that came meanwhile keeps its own.
                remove_empty(&folder, 0);
                Ok(gone)
            }
        }
    }

    fn facts(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("kind", "folder".into()),
            ("path", self.root.display().to_string()),
            (
                "object lock",
                "none: whoever owns the folder can delete".into(),
            ),
            ("versioning", "none".into()),
        ])
    }
}

/// Calls `each` for the files below `folder` in key order; answers whether to go on.
fn walk(
    folder: &Path,
    above: &str,
    prefix: &str,
    depth: usize,
    each: &mut dyn FnMut(Entry) -> bool,
) -> Result<bool, StoreError> {
    if depth > MAX_DEPTH {
        return Ok(true);
    }
    // The slash behind a folder's name takes part in the order of keys.
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // Removed since its parent was read.
        Err(error) if depth > 0 && error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(io_error(folder, &error)),
    };
    for file in entries {
        let file = file.map_err(|error| io_error(folder, &error))?;
        let kind = file.file_type().map_err(|error| io_error(folder, &error))?;
        let Ok(name) = file.file_name().into_string() else {
            continue;
        };
        if name.starts_with(UNFINISHED) {
            continue;
        }
        if kind.is_dir() {
            let key = format!("{above}{name}/");
            if key.starts_with(prefix) || prefix.starts_with(&key) {
                found.push(key);
            }
        } else if kind.is_file() {
            let key = format!("{above}{name}");
            if key.starts_with(prefix) {
                found.push(key);
            }
        }
    }
    found.sort();
    for key in found {
        let name = key.get(above.len()..).unwrap_or_default();
        let path = folder.join(name.trim_end_matches('/'));
        if name.ends_with('/') {
            if !walk(&path, &key, prefix, depth + 1, each)? {
                return Ok(false);
            }
            continue;
        }
        match fs::symlink_metadata(&path) {
            Ok(metadata) => {
                if !each(entry(key, &metadata)) {
                    return Ok(false);
                }
            }
            // Removed since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(&path, &error)),
        }
    }
    Ok(true)
}

fn entry(key: String, metadata: &fs::Metadata) -> Entry {
    let modified = metadata
        .modified()
        .ok()
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or_else(Timestamp::default, |since| Timestamp::default() + since);
    Entry {
        key,
        size: metadata.len(),
        version: None,
        modified,
        oddity: None,
    }
}

/// Makes `folder` and what is missing above it, each with mode 0700 and synced into its parent.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_folder(parent)?;
    }
    match private::make_one_folder(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(parent.unwrap_or(Path::new(".")))
}

/// Takes the right to write from a finished file, against editors rather than against owners.
fn protect(file: &File) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)
}

/// A new name is safe from a crash once its folder is synced.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn remove_empty(folder: &Path, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    for inside in fs::read_dir(folder).into_iter().flatten().flatten() {
        if inside.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&inside.path(), depth + 1);
        }
    }
    // Fails, as it should, when something is inside.
    let _ = fs::remove_dir(folder);
}

fn io_error(path: &Path, error: &io::Error) -> StoreError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::Missing(format!("there is no {path}")),
        io::ErrorKind::PermissionDenied => StoreError::Denied(format!(
            "{path} may not be read or written by this user: {error}"
        )),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Io(format!(
            "no room is left for {path}; free some space and it is written on the next try"
        )),
        io::ErrorKind::ReadOnlyFilesystem => StoreError::Io(format!(
            "{path} lies on a file system that is mounted read-only"
        )),
        _ => StoreError::Io(format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[test]
    fn folder_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::create(&folder.path().join("new/store")).unwrap();
        conformance::check(&store);
    }

    #[test]
    fn keys_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::create(folder.path()).unwrap();
        let long = "x".repeat(300);
        for key in [
            "../a",
            "a/../../b",
            "/etc/x",
            "a//b",
            "",
            ".",
            "a/",
            "a\0b",
            &long,
        ] {
            let result = conformance::put(&store, key, b"x");
            assert!(
                matches!(result, Err(StoreError::Refused(_))),
                "{key:?}: {result:?}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn folders_are_closed_and_files_read_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::create(&folder.path().join("s")).unwrap();
        conformance::put(&store, "a/b", b"x").unwrap();
        let mode = |path: &str| {
            let path = folder.path().join(path);
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode("s"), 0o700);
        assert_eq!(mode("s/a"), 0o700);
        assert_eq!(mode("s/a/b"), 0o400);
    }

    #[cfg(unix)]
    #[test]
    fn listings_follow_no_links_and_show_nothing_unfinished() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::create(folder.path()).unwrap();
        conformance::put(&store, "a/b", b"x").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        fs::write(folder.path().join("a/.unfinished-1"), b"half").unwrap();
        assert_eq!(conformance::keys(&store, ""), ["a/b"]);
    }

    #[test]
    fn a_store_that_was_moved_away_is_missing_and_not_empty() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let store = FolderStore::create(&root).unwrap();
        assert_eq!(store.folders("reels/").unwrap(), Vec::<String>::new());
        fs::rename(&root, folder.path().join("elsewhere")).unwrap();
        for prefix in ["", "reels/"] {
            let error = store.folders(prefix).unwrap_err().to_string();
            assert_eq!(error, format!("there is no {}", root.display()));
        }
    }

    #[test]
    fn a_failed_put_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::create(folder.path()).unwrap();
        let missing = folder.path().join("not-there");
        let result = store.put("a/b", Body::File(&missing), &conformance::once(b""));
        assert!(result.is_err());
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_said_and_leaves_nothing_half_written() {
        use std::process::Command;
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(folder.path())
            .output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            println!("skipped: a small disk cannot be mounted by this user");
            return;
        }
        let store = FolderStore::create(folder.path()).unwrap();
        conformance::put(&store, "a/small", b"fits").unwrap();
        let result = conformance::put(&store, "a/big", &vec![7; 1 << 20]);
        let left = conformance::keys(&store, "");
        let files = fs::read_dir(folder.path().join("a")).unwrap().count();
        let unmounted = Command::new("umount").arg(folder.path()).status().unwrap();
        assert!(unmounted.success());
        let error = result.unwrap_err();
        assert!(
            matches!(error, StoreError::Io(_)) && error.is_transient(),
            "{error:?}"
        );
        assert!(
            error.to_string().starts_with("no room is left for"),
            "{error}"
        );
        assert_eq!((left, files), (vec!["a/small".to_owned()], 1));
    }
}
