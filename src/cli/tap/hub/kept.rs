//! What the hub knows beyond its configuration, over the life of its pod: recordings that were added, scripts
//! and values of env that were pushed, targets and recordings that were valid last.
//!
//! In: the data folder, a secret of the API server. Out: the files of a folder that is empty, before any
//! worker is told what to do; the secret as the folder is from then on. Never: workers that stop to record
//! because a new pod of the hub does not know yet what the one before was told.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::super::follow::say;
use super::super::live::PACE;
use super::super::standing;
use super::ready::Ready;
use super::shared::rebased;
use super::{PUSHED, RECORDINGS, VALID};
use crate::cluster::{Files, Held, Kept, KeptError, MAX_KEPT};
use crate::pipeline::Stop;
use crate::private;
use crate::record::{read_capped, write_whole};

/// Time between two tries.
const AGAIN: Duration = Duration::from_secs(5);

/// File that says that the folder was filled: a hub that starts again with it has no need to ask.
const FILLED: &str = "hub-filled";

/// Files of the data folder itself; all others are what was pushed.
const OWN: [&str; 3] = [RECORDINGS, VALID, standing::OF_HUB];

/// Tries to write before the next look: each one fails for another hub that was faster.
const TRIES: usize = 3;

/// Keeps a data folder in a secret.
pub(super) struct Mirror {
    kept: Kept,
    data: PathBuf,
    handle: Handle,
    /// What the secret holds; `None` while that is not known.
    held: Option<Known>,
    going: Option<JoinHandle<Result<Known, KeptError>>>,
    again: Option<Instant>,
    said: Option<String>,
}

/// A secret and the folder, as both were when the one last followed the other.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The folder.
    base: Files,
    /// The secret, in which another hub may have more.
    held: Held,
    /// Whether another hub wrote it meanwhile.
    is_shared: bool,
}

impl Known {
    fn of(held: Held) -> Known {
        Known {
            base: held.files.clone(),
            held,
            is_shared: false,
        }
    }
}

impl Mirror {
    /// Keeps the folder `data` in the secret, which may fill it first: as long as the folder is empty and
    /// the API server does not answer, this waits, until the run is to end, and `ready` says so. `None` where
    /// the folder cannot be filled: what the secret holds must not be replaced by an empty one.
    pub(super) fn start(
        kept: Kept,
        data: &Path,
        stop: &Stop,
        handle: &Handle,
        ready: &Ready,
    ) -> Option<Mirror> {
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
            if !mirror.fill(stop, ready) {
                return None;
            }
            // Without it the next start asks once more.
            let _ = write_whole(&data.join(FILLED), b"");
        }
        Some(mirror)
    }

    /// Answers whether there is nothing more to come.
    fn fill(&mut self, stop: &Stop, ready: &Ready) -> bool {
        while !stop.is_asked() {
            ready.beat();
            match self.handle.block_on(self.kept.read()) {
                Ok(held) => {
                    let written = held.files.iter().try_for_each(|(name, bytes)| {
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
                    self.held = Some(Known::of(held));
                    return true;
                }
                Err(KeptError::Away(why)) => {
                    let why = format!(
                        "workers go on with what they were told last until the hub knows what was added to it: the API server does not answer: {why}"
                    );
                    self.say(&why);
                    ready.waits(Some(why));
                }
                Err(why) => {
                    self.say(&format!(
                        "what is added to the hub is gone with its pod: {why}"
                    ));
                    return false;
                }
            }
            let begun = Instant::now();
            while begun.elapsed() < AGAIN && !stop.is_asked() {
                ready.beat();
                std::thread::sleep(PACE);
            }
        }
        false
    }

    /// Has the secret follow the folder; waits for nothing.
    pub(super) fn look(&mut self) {
        if let Some(going) = self.going.take_if(|going| going.is_finished()) {
            match self.handle.block_on(going) {
                Ok(Ok(known)) => {
                    match known.is_shared {
                        true => self.say(
                            "another hub keeps what is added to it in the same secret: the next pod of either one has what was added to both; name another secret in cluster.kept of one of them",
                        ),
                        false => self.said = None,
                    }
                    self.held = Some(known);
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
            None => Some(
                self.handle
                    .spawn(async move { Ok(Known::of(kept.read().await?)) }),
            ),
            Some(known) if known.base == files => return,
            Some(known) => {
                let known = known.clone();
                Some(self.handle.spawn(write(kept, known, files)))
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

/// Has the secret follow the folder, which is `files` now. What another hub wrote meanwhile stays.
async fn write(kept: Kept, mut known: Known, files: Files) -> Result<Known, KeptError> {
    for _ in 0..TRIES {
        let changes = rebased(&known.base, &files, &known.held.files);
        let written = match changes.is_empty() {
            true => Ok(known.held.version.clone()),
            false => kept.write(&changes, &known.held.version).await,
        };
        match written {
            Ok(version) => {
                known.held.version = version;
                for (name, bytes) in changes {
                    match bytes {
                        Some(bytes) => drop(known.held.files.insert(name, bytes)),
                        None => drop(known.held.files.remove(&name)),
                    }
                }
                known.base = files;
                return Ok(known);
            }
            Err(KeptError::Overtaken) => {
                let held = kept.read().await?;
                // Labels make another version too.
                known.is_shared |= held.files != known.held.files;
                known.held = held;
            }
            Err(why) => return Err(why),
        }
    }
    Err(KeptError::Overtaken)
}

/// Where a file of the secret lies; `None` for what is none of the hub's.
fn path_of(data: &Path, name: &str) -> Option<PathBuf> {
    if OWN.contains(&name) {
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
    let mut paths: Vec<PathBuf> = OWN.iter().map(|name| data.join(name)).collect();
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
            (VALID, "{}"),
            (standing::OF_HUB, "{}"),
            ("pods.json", "{}"),
            ("pushed/count.js", "1;"),
            ("pushed/env.json", "{}"),
            ("pushed/.tapedeck-half", "?"),
        ] {
            fs::write(data.join(name), text).unwrap();
        }
        let names: Vec<String> = read(data).unwrap().into_keys().collect();
        let own = [VALID, RECORDINGS, standing::OF_HUB];
        assert_eq!(names, [&["count.js", "env.json"], &own[..]].concat());
        for name in ["../x.js", "a/b.js", ".hidden", "a b.js", ""] {
            assert_eq!(path_of(data, name), None, "{name}");
        }
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
