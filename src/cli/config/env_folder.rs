//! A folder whose files are names of `env`, as Kubernetes mounts a Secret.
//!
//! In: a folder. Out: what its files hold: `NAME` for all scripts, `TITLE/NAME` for one of them.
//! Never: more than the caps; a file that is no text; a name that begins with a dot, under which
//! Kubernetes keeps its own.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Map, Value as Json};

use super::super::exit::Failure;

/// Bytes of all values together; a Secret holds no more than 1 MiB, and several may be mounted.
const MAX_BYTES: u64 = 8 << 20;

/// Files of a folder, those of its subfolders included.
const MAX_FILES: usize = 4096;

/// What the folder holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Mounted {
    /// Values for all scripts.
    pub(super) all: Map<String, Json>,
    /// Values by title or file name of a script.
    pub(super) each: Map<String, Json>,
}

/// A file, its size and when it was changed.
pub type Stamp = (PathBuf, u64, Option<SystemTime>);

/// Reads `folder`. A line end at the end of a value is left out.
///
/// # Errors
/// When something cannot be read, is no text or is too much; the sentence names it.
pub(super) fn read(folder: &Path) -> Result<Mounted, Failure> {
    let mut mounted = Mounted::default();
    let mut left = MAX_BYTES;
    for path in files(folder).map_err(|error| cannot(folder, error))? {
        let value = value(&path, &mut left)?;
        let Some(name) = name_of(&path) else { continue };
        let of_script = path
            .parent()
            .filter(|parent| *parent != folder)
            .and_then(name_of);
        match of_script {
            None => drop(mounted.all.insert(name, value)),
            Some(title) => {
                let entry = mounted
                    .each
                    .entry(title)
                    .or_insert_with(|| Json::Object(Map::new()));
                if let Json::Object(values) = entry {
                    values.insert(name, value);
                }
            }
        }
    }
    Ok(mounted)
}

/// What tells whether a file of the folder was changed; empty for a folder that cannot be read.
pub(super) fn stamps(folder: &Path) -> Vec<Stamp> {
    let files = files(folder).unwrap_or_default();
    let stamp = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok()?;
        Some((path, metadata.len(), metadata.modified().ok()))
    };
    files.into_iter().filter_map(stamp).collect()
}

/// The files of the folder and of the folders in it, in order of their names.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            found.extend(entries(&path)?.into_iter().filter(|path| path.is_file()));
        } else {
            found.push(path);
        }
        if found.len() > MAX_FILES {
            return Err(std::io::Error::other(format!(
                "it holds more than {MAX_FILES} files"
            )));
        }
    }
    Ok(found)
}

/// The entries of one folder whose names are text that begins with no dot.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)?.take(MAX_FILES + 1) {
        let path = entry?.path();
        if name_of(&path).is_some_and(|name| !name.starts_with('.')) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn name_of(path: &Path) -> Option<String> {
    path.file_name()?.to_str().map(str::to_owned)
}

fn value(path: &Path, left: &mut u64) -> Result<Json, Failure> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| cannot(path, error))?;
    let read = file.take(*left + 1).read_to_end(&mut bytes);
    read.map_err(|error| cannot(path, error))?;
    let too_much = || {
        cannot(
            path,
            format!("the folder holds more than {MAX_BYTES} bytes"),
        )
    };
    *left = left.checked_sub(bytes.len() as u64).ok_or_else(too_much)?;
    let text = String::from_utf8(bytes).map_err(|_| cannot(path, "it is no text"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Json::String(text.to_owned()))
}

fn cannot(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::usage(format!(
        "scripting.envFolder: {} cannot be read: {why}",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_secret_is_read_with_its_links_and_without_what_kubernetes_keeps() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("..2026_11_26");
        fs::create_dir_all(data.join("Alert on errors")).unwrap();
        fs::write(data.join("S3_BUCKET"), "b\n").unwrap();
        fs::write(data.join("RECORDING_KFL"), "http\nor dns").unwrap();
        fs::write(data.join("Alert on errors/SLACK_AUTH_TOKEN"), "t").unwrap();
        std::os::unix::fs::symlink("..2026_11_26", folder.path().join("..data")).unwrap();
        for name in ["S3_BUCKET", "RECORDING_KFL", "Alert on errors"] {
            let target = Path::new("..data").join(name);
            std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
        }
        let mounted = read(folder.path()).unwrap();
        assert_eq!(
            Json::Object(mounted.all),
            serde_json::json!({"RECORDING_KFL": "http\nor dns", "S3_BUCKET": "b"})
        );
        assert_eq!(
            Json::Object(mounted.each),
            serde_json::json!({"Alert on errors": {"SLACK_AUTH_TOKEN": "t"}})
        );
        let before = stamps(folder.path());
        assert_eq!(before.len(), 3);
        assert_eq!(before, stamps(folder.path()));
        fs::write(data.join("S3_BUCKET"), "another").unwrap();
        assert_ne!(before, stamps(folder.path()));
    }

    #[test]
    fn what_cannot_be_a_value_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let said = |folder: &Path| read(folder).unwrap_err().message;
        let gone = said(&folder.path().join("gone"));
        assert!(gone.contains("gone cannot be read"), "{gone}");
        fs::write(folder.path().join("PICTURE"), [0xff, 0xd8]).unwrap();
        let picture = said(folder.path());
        assert!(
            picture.contains("PICTURE cannot be read: it is no text"),
            "{picture}"
        );
        let large = folder.path().join("PICTURE");
        fs::File::create(&large)
            .unwrap()
            .set_len(MAX_BYTES + 1)
            .unwrap();
        let large = said(folder.path());
        assert!(large.contains("more than 8388608 bytes"), "{large}");
    }
}
