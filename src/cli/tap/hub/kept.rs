//! What was added to the hub, over the life of its pod: recordings, scripts and values of env that were
//! pushed.
//!
//! In: the data folder, a secret of the API server. Out: the files of a folder that is empty, before any
//! worker is told what to do; the secret as the folder is from then on. Never: workers that stop to record
//! because a new pod of the hub does not know yet what the one before was told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::super::follow::say;
use super::super::live::PACE;
use super::{PUSHED, RECORDINGS};
use crate::cluster::{Files, Kept, KeptError, MAX_KEPT};
use crate::pipeline::Stop;
use crate::private;
use crate::record::{read_capped, write_whole};

/// Time between two tries.
const AGAIN: Duration = Duration::from_secs(5);

/// File that says that the folder was filled: a hub that starts again with it has no need to ask.
const FILLED: &str = "hub-filled";

/// Keeps a data folder in a secret.
pub(super) struct Mirror {
    kept: Kept,
    data: PathBuf,
    handle: Handle,
    /// What the secret holds; `None` while that is not known.
    held: Option<Files>,
    going: Option<JoinHandle<Result<Files, KeptError>>>,
    again: Option<Instant>,
    said: Option<String>,
}

impl Mirror {
    /// Keeps the folder `data` in the secret, which may fill it first: as long as the folder is empty and
    /// the API server does not answer, this waits, until the run is to end. `None` where the folder cannot
    /// be filled: what the secret holds must not be replaced by an empty one.
    pub(super) fn start(kept: Kept, data: &Path, stop: &Stop, handle: &Handle) -> Option<Mirror> {
        let mut mirror = Mirror {
            kept,
            data: data.to_owned(),
            handle: handle.clone(),
            held: None,
            going: None,
            again: None,
            said: None,
        };
        let is_fresh = !data.join(FILLED).exists();
        if is_fresh && read(data).is_ok_and(|files| files.is_empty()) {
            if !mirror.fill(stop) {
                return None;
            }
            // Without it the next start asks once more.
            let _ = write_whole(&data.join(FILLED), b"");
        }
        Some(mirror)
    }

    /// Answers whether there is nothing more to come.
    fn fill(&mut self, stop: &Stop) -> bool {
        while !stop.is_asked() {
            match self.handle.block_on(self.kept.read()) {
                Ok(files) => {
                    let written = files.iter().try_for_each(|(name, bytes)| {
                        let Some(path) = path_of(&self.data, name) else {
                            return Ok(());
                        };
                        path.parent().map_or(Ok(()), private::make_folder)?;
                        write_whole(&path, bytes)
                    });
                    if let Err(error) = written {
                        say(&format!(
                            "what was added to the hub before cannot be written to {}: {error}",
                            self.data.display()
                        ));
                        return false;
                    }
                    self.held = Some(files);
                    return true;
                }
                Err(KeptError::Refused(why)) => {
                    self.say(&format!(
                        "what is added to the hub is gone with its pod: {why}"
                    ));
                    return false;
                }
                Err(KeptError::Away(why)) => self.say(&format!(
                    "workers go on with what they were told last until the hub knows what was added to it: the API server does not answer: {why}"
                )),
            }
            let begun = Instant::now();
            while begun.elapsed() < AGAIN && !stop.is_asked() {
                std::thread::sleep(PACE);
            }
        }
        false
    }

    /// Has the secret follow the folder; waits for nothing.
    pub(super) fn look(&mut self) {
        if let Some(going) = self.going.take_if(|going| going.is_finished()) {
            match self.handle.block_on(going) {
                Ok(Ok(files)) => {
                    self.held = Some(files);
                    self.said = None;
                }
                Ok(Err(why)) => self.failed(&why.to_string()),
                Err(error) => self.failed(&error.to_string()),
            }
        }
        if self.going.is_some() || self.again.is_some_and(|again| Instant::now() < again) {
            return;
        }
        let files = match read(&self.data) {
            Ok(files) => files,
            Err(why) => return self.failed(&why),
        };
        let kept = self.kept.clone();
        self.going = match &self.held {
            None => Some(self.handle.spawn(async move { kept.read().await })),
            Some(held) => {
                let changes = changes(held, &files);
                if changes.is_empty() {
                    return;
                }
                Some(self.handle.spawn(async move {
                    kept.write(&changes).await?;
                    Ok(files)
                }))
            }
        };
    }

    fn failed(&mut self, why: &str) {
        self.again = Some(Instant::now() + AGAIN);
        self.say(&format!(
            "what is added to the hub is not kept for its next pod yet: {why}"
        ));
    }

    /// Says it, unless it was said last.
    fn say(&mut self, sentence: &str) {
        if self.said.as_deref() != Some(sentence) {
            say(sentence);
            self.said = Some(sentence.to_owned());
        }
    }
}

/// What is other in `now` than in `held`.
fn changes(held: &Files, now: &Files) -> BTreeMap<String, Option<Vec<u8>>> {
    let gone = held.keys().filter(|name| !now.contains_key(*name));
    let other = now
        .iter()
        .filter(|(name, bytes)| held.get(*name) != Some(bytes));
    gone.map(|name| (name.clone(), None))
        .chain(other.map(|(name, bytes)| (name.clone(), Some(bytes.clone()))))
        .collect()
}

/// Where a file of the secret lies; `None` for what is none of the hub's.
fn path_of(data: &Path, name: &str) -> Option<PathBuf> {
    if name == RECORDINGS {
        return Some(data.join(name));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_file = !name.is_empty() && !name.starts_with('.') && name.bytes().all(fits);
    is_file.then(|| data.join(PUSHED).join(name))
}

/// The files that are to be kept.
///
/// # Errors
/// One sentence, when they cannot be read or are more than a secret holds.
fn read(data: &Path) -> Result<Files, String> {
    let mut paths = vec![data.join(RECORDINGS)];
    if let Ok(entries) = fs::read_dir(data.join(PUSHED)) {
        paths.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    let mut files = Files::new();
    let mut left = MAX_KEPT;
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| path_of(data, name).is_some() && path.is_file()) else {
            continue;
        };
        // A name and base64 take room too.
        let room = (left.saturating_sub(name.len()) / 4 * 3) as u64;
        let bytes = read_capped(&path, room).map_err(|error| {
            match error.kind() {
                std::io::ErrorKind::FileTooLarge => format!(
                    "it is more than the {MAX_KEPT} bytes of a secret; set hub.persistence.enabled, which keeps all"
                ),
                _ => format!("{} cannot be read: {error}", path.display()),
            }
        })?;
        left = left.saturating_sub(name.len() + bytes.len().div_ceil(3) * 4);
        files.insert(name.to_owned(), bytes);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_hub_are_read_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert_eq!(read(data).unwrap(), Files::new());
        fs::create_dir(data.join(PUSHED)).unwrap();
        for (name, text) in [
            (RECORDINGS, "[]"),
            ("pods.json", "{}"),
            ("pushed/count.js", "1;"),
            ("pushed/env.json", "{}"),
            ("pushed/.tapedeck-half", "?"),
        ] {
            fs::write(data.join(name), text).unwrap();
        }
        let names: Vec<String> = read(data).unwrap().into_keys().collect();
        assert_eq!(names, ["count.js", "env.json", RECORDINGS]);
        for name in ["../x.js", "a/b.js", ".hidden", "a b.js", ""] {
            assert_eq!(path_of(data, name), None, "{name}");
        }
    }

    #[test]
    fn changes_are_what_is_new_other_or_gone() {
        let files = |of: &[(&str, &str)]| -> Files {
            let of = of.iter();
            of.map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
                .collect()
        };
        let held = files(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let now = files(&[("a", "1"), ("b", "4"), ("d", "5")]);
        let expected = [
            ("b".to_owned(), Some(b"4".to_vec())),
            ("c".to_owned(), None),
            ("d".to_owned(), Some(b"5".to_vec())),
        ];
        assert_eq!(changes(&held, &now), BTreeMap::from(expected));
        assert!(changes(&now, &now).is_empty());
    }

    #[test]
    fn what_a_secret_does_not_hold_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        fs::create_dir(data.join(PUSHED)).unwrap();
        for name in ["a.js", "b.js"] {
            fs::write(data.join(PUSHED).join(name), vec![b' '; MAX_KEPT / 2]).unwrap();
        }
        let why = read(data).unwrap_err();
        assert!(why.contains("hub.persistence.enabled"), "{why}");
    }
}
