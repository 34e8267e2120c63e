//! Scripts and values of env that a computer elsewhere pushes into this run, as `tapedeck scripts` does.
//!
//! In: titles and texts by number or file name, values of env. Out: a folder that the run follows like
//! any other script folder, so that what was pushed is hot-reloaded, and is there after a restart.
//! Never: a name that leads out of the folder, a value of env in an answer unless it is no secret.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value as Json};

use crate::private;
use crate::script::folder::{MAX_SCRIPT_BYTES, MAX_SCRIPTS};

/// File of the values of env, beside the scripts.
const ENV: &str = "env.json";

/// Bytes of that file.
const MAX_ENV: u64 = 1 << 20;

/// Letters of a file name.
const MAX_NAME: usize = 128;

/// What was pushed, by its number.
#[derive(Debug, Default)]
struct Inner {
    names: BTreeMap<u64, String>,
    next: u64,
    env: Map<String, Json>,
}

/// A folder of pushed scripts.
#[derive(Debug)]
pub struct Pushed {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

/// Why something was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is not as it must be.
    #[error("{0}")]
    Wrong(String),
    /// There is no script of this number.
    #[error("there is no pushed script {0}")]
    Missing(u64),
    /// It cannot be kept.
    #[error("what was pushed cannot be written: {0}")]
    Disk(String),
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> NotTaken {
        NotTaken::Disk(error.to_string())
    }
}

impl Pushed {
    /// What lies in `folder`, which is made for its owner alone when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: PathBuf) -> io::Result<Pushed> {
        private::make_folder(&folder)?;
        let mut names: Vec<String> = fs::read_dir(&folder)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_name(name))
            .collect();
        names.sort();
        let names: BTreeMap<u64, String> = (0..).zip(names).collect();
        let path = folder.join(ENV);
        let is_small = fs::metadata(&path).is_ok_and(|about| about.len() <= MAX_ENV);
        let env = is_small.then(|| fs::read(&path).ok()).flatten();
        let env = env.and_then(|text| serde_json::from_slice(&text).ok());
        let inner = Inner {
            next: names.len() as u64,
            names,
            env: env.unwrap_or_default(),
        };
        Ok(Pushed {
            folder,
            inner: Mutex::new(inner),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the scripts lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The values of env that were pushed last.
    pub fn env(&self) -> Map<String, Json> {
        self.inner().env.clone()
    }

    /// Takes other values of env, which go before those of the configuration.
    ///
    /// # Errors
    /// When they are too many, or cannot be kept.
    pub fn set_env(&self, env: Map<String, Json>) -> Result<(), NotTaken> {
        let text = serde_json::to_vec(&env).unwrap_or_default();
        if text.len() as u64 > MAX_ENV {
            return Err(NotTaken::Wrong(format!("env has {MAX_ENV} bytes at most")));
        }
        let mut inner = self.inner();
        self.write(ENV, &text)?;
        inner.env = env;
        Ok(())
    }

    /// Takes a script; one of the same file name is replaced, and keeps its number. Without a file name
    /// it is called after its title.
    ///
    /// # Errors
    /// When it is too large, there are too many, its name is none, or it cannot be kept.
    pub fn add(&self, file: Option<&str>, title: &str, code: &str) -> Result<u64, NotTaken> {
        let name = match file {
            Some(name) if is_name(name) => name.to_owned(),
            Some(name) => {
                return Err(NotTaken::Wrong(format!(
                    "{name:?} is no name for a script; use letters, digits, _ and -, and end it with .js"
                )));
            }
            None => named_after(title),
        };
        let mut inner = self.inner();
        let known = inner.names.iter().find(|(_, known)| **known == name);
        let number = known.map(|(number, _)| *number);
        if number.is_none() && inner.names.len() >= MAX_SCRIPTS {
            return Err(NotTaken::Wrong(format!(
                "there are {MAX_SCRIPTS} scripts; delete one first"
            )));
        }
        self.write_script(&name, code)?;
        let number = number.unwrap_or(inner.next);
        inner.next = inner.next.max(number + 1);
        inner.names.insert(number, name);
        Ok(number)
    }

    /// Replaces the text of a script.
    ///
    /// # Errors
    /// As [`Pushed::add`], and when there is none of this number.
    pub fn replace(&self, number: u64, code: &str) -> Result<(), NotTaken> {
        let inner = self.inner();
        let name = inner.names.get(&number).ok_or(NotTaken::Missing(number))?;
        self.write_script(name, code)
    }

    /// Deletes a script.
    ///
    /// # Errors
    /// When there is none of this number, or it cannot be deleted.
    pub fn remove(&self, number: u64) -> Result<(), NotTaken> {
        let mut inner = self.inner();
        let name = inner.names.get(&number).ok_or(NotTaken::Missing(number))?;
        self.delete(name)?;
        inner.names.remove(&number);
        Ok(())
    }

    /// Loading is done: deletes what is of no file in `files`; answers how many there are.
    ///
    /// # Errors
    /// When one cannot be deleted.
    pub fn done(&self, files: Option<&[String]>) -> Result<usize, NotTaken> {
        let mut inner = self.inner();
        if let Some(files) = files {
            let gone: Vec<u64> = inner
                .names
                .iter()
                .filter(|(_, name)| !files.contains(name))
                .map(|(number, _)| *number)
                .collect();
            for number in gone {
                if let Some(name) = inner.names.remove(&number) {
                    self.delete(&name)?;
                }
            }
        }
        Ok(inner.names.len())
    }

    fn delete(&self, name: &str) -> Result<(), NotTaken> {
        match fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn write_script(&self, name: &str, code: &str) -> Result<(), NotTaken> {
        if code.len() as u64 > MAX_SCRIPT_BYTES {
            return Err(NotTaken::Wrong(format!(
                "a script has {MAX_SCRIPT_BYTES} bytes at most"
            )));
        }
        let path = self.folder.join(name);
        if fs::read(&path).is_ok_and(|before| before == code.as_bytes()) {
            return Ok(());
        }
        self.write(name, code.as_bytes())
    }

    /// Writes a file in one step, for its owner alone.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), NotTaken> {
        // Temporary files are their owner's alone.
        let mut file = tempfile::Builder::new()
            .prefix(".tapedeck-")
            .tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join(name))
            .map_err(|error| NotTaken::from(error.error))?;
        Ok(())
    }
}

/// Whether a script may be called so: one file of the folder, with nothing that a shell or a path reads.
fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.len() > 3
        && name.ends_with(".js")
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A file name made of a title.
fn named_after(title: &str) -> String {
    let mut name = String::new();
    for c in title.trim().chars().take(MAX_NAME / 2) {
        match c.is_ascii_alphanumeric() {
            true => name.push(c.to_ascii_lowercase()),
            false if name.ends_with('_') || name.is_empty() => {}
            false => name.push('_'),
        }
    }
    let name = name.trim_end_matches('_');
    match name {
        "" => "script.js".to_owned(),
        name => format!("{name}.js"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_pushed_is_there_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("pushed");
        let pushed = Pushed::open(folder.clone()).unwrap();
        assert_eq!(pushed.add(None, "Watch: 500s!", "1"), Ok(0));
        assert_eq!(pushed.add(Some("b.js"), "", "2"), Ok(1));
        assert_eq!(pushed.add(Some("b.js"), "", "3"), Ok(1));
        assert_eq!(pushed.replace(0, "4"), Ok(()));
        let env = json!({"S3_BUCKET": "b"});
        pushed.set_env(env.as_object().unwrap().clone()).unwrap();
        assert_eq!(files(&folder), ["b.js", "env.json", "watch_500s.js"]);
        let mode = fs::metadata(folder.join(ENV)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let again = Pushed::open(folder.clone()).unwrap();
        assert_eq!(Json::Object(again.env()), env);
        assert_eq!(fs::read_to_string(folder.join("b.js")).unwrap(), "3");
        assert_eq!(again.add(Some("c.js"), "", "5"), Ok(2));
        assert_eq!(again.remove(7), Err(NotTaken::Missing(7)));
        assert_eq!(again.remove(0), Ok(()));
        assert_eq!(again.done(Some(&["c.js".to_owned()])), Ok(1));
        assert_eq!(files(&folder), ["c.js", "env.json"]);
        assert_eq!(again.done(None), Ok(1));
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let home = tempfile::tempdir().unwrap();
        let pushed = Pushed::open(home.path().join("pushed")).unwrap();
        for name in [
            "../a.js", "/a.js", ".a.js", "a.sh", ".js", "a\0.js", "a b.js",
        ] {
            assert!(pushed.add(Some(name), "", "x").is_err(), "{name:?}");
        }
        assert_eq!(pushed.add(None, "../../etc/passwd", "x"), Ok(0));
        assert_eq!(pushed.add(None, "", "x"), Ok(1));
        assert_eq!(pushed.add(None, "é", "x"), Ok(1));
        assert_eq!(
            files(&home.path().join("pushed")),
            ["etc_passwd.js", "script.js"]
        );
        let large = "x".repeat(usize::try_from(MAX_SCRIPT_BYTES).unwrap() + 1);
        assert!(pushed.replace(0, &large).is_err());
    }
}
