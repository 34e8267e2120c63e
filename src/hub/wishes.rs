//! What the hub has all workers do: the configuration's recordings and scripts, and recordings that
//! were added at the hub.
//!
//! In: the configuration as it changes, commands and the API. Out: a [`Spread`] for all workers.
//! Never: something invalid that is told to workers; the last good one stays.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value as Json, json};

use super::message::Spread;
use crate::kfl;
use crate::pipeline::{Basis, DEFAULT_NAME};
use crate::record::write_whole;

/// Recordings that may be added.
const MAX_ADDED: usize = 256;

/// Largest file of recordings that is read.
const MAX_FILE: u64 = 4 << 20;

#[derive(Default)]
struct Inner {
    configured: Spread,
    added: Vec<Json>,
}

/// What all workers are to do.
pub struct Wishes {
    basis: Basis,
    file: PathBuf,
    inner: Mutex<Inner>,
}

fn name_of(declared: &Json) -> &str {
    declared["name"].as_str().unwrap_or_default()
}

fn list(of: &Json) -> &[Json] {
    of.as_array().map_or(&[], Vec::as_slice)
}

impl Wishes {
    /// Nothing is configured yet; recordings that were added are kept in `file`.
    ///
    /// Answers a sentence when that cannot be read.
    pub fn new(basis: Basis, file: PathBuf) -> (Wishes, Option<String>) {
        let read = || -> Result<Vec<Json>, String> {
            let found = fs::metadata(&file).map_err(|error| error.to_string())?;
            if found.len() > MAX_FILE {
                return Err("it is too large".to_owned());
            }
            let text = fs::read(&file).map_err(|error| error.to_string())?;
            serde_json::from_slice(&text).map_err(|error| error.to_string())
        };
        let (added, said) = match file.exists().then(read) {
            None => (Vec::new(), None),
            Some(Ok(added)) => (added, None),
            Some(Err(why)) => {
                let sentence = format!(
                    "{} cannot be read, so recordings that were added are forgotten: {why}",
                    file.display()
                );
                (Vec::new(), Some(sentence))
            }
        };
        let inner = Inner {
            added: added
                .into_iter()
                .filter(|declared| basis.read(declared).is_ok())
                .take(MAX_ADDED)
                .collect(),
            ..Inner::default()
        };
        let inner = Mutex::new(inner);
        (Wishes { basis, file, inner }, said)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the configuration as it is now; answers whether anything is other than before.
    ///
    /// # Errors
    /// One sentence about what is wrong; what was configured before stays.
    pub fn configure(&self, mut configured: Spread) -> Result<bool, String> {
        let is_blank = |text: &String| text.trim().is_empty();
        configured.recording_kfl = configured.recording_kfl.filter(|text| !is_blank(text));
        let mut inner = self.inner();
        if inner.configured == configured {
            return Ok(false);
        }
        if let Some(text) = &configured.recording_kfl {
            kfl::compile(text, &self.basis.schema)
                .map_err(|error| format!("RECORDING_KFL is invalid, {error}"))?;
        }
        let mut names: Vec<&str> = Vec::new();
        for declared in list(&configured.recordings) {
            self.basis.read(declared)?;
            let name = name_of(declared);
            if names.contains(&name) {
                return Err(format!(
                    "there are two recordings called {name}; give one another name"
                ));
            }
            names.push(name);
        }
        inner.configured = configured;
        Ok(true)
    }

    /// What workers are told.
    pub fn spread(&self) -> Spread {
        let inner = self.inner();
        let mut spread = inner.configured.clone();
        let mut recordings = list(&spread.recordings).to_vec();
        // The configuration goes first.
        let added = inner.added.iter().filter(|declared| {
            let name = name_of(declared);
            !list(&inner.configured.recordings)
                .iter()
                .any(|one| name_of(one) == name)
        });
        recordings.extend(added.cloned());
        spread.recordings = Json::Array(recordings);
        spread
    }

    /// Adds a recording, or changes one that was added; answers it.
    ///
    /// # Errors
    /// One sentence, when it is wrong or the configuration's, or cannot be kept; then nothing is
    /// other than before.
    pub(super) fn add(&self, declared: &Json) -> Result<Json, String> {
        let (wish, _) = self.basis.read(declared)?;
        let mut inner = self.inner();
        refuse_configured(&inner, &wish.name)?;
        let mut added = inner.added.clone();
        added.retain(|one| name_of(one) != wish.name);
        if added.len() >= MAX_ADDED {
            return Err(format!(
                "there can be {MAX_ADDED} added recordings; remove one first"
            ));
        }
        added.push(declared.clone());
        self.keep(&mut inner, added)?;
        Ok(json!({
            "name": wish.name,
            "kfl": wish.query.text(),
            "destination": wish.destination,
            "state": "on",
            "source": "added",
        }))
    }

    /// Ends a recording that was added.
    ///
    /// # Errors
    /// One sentence, when there is none, or what is left cannot be kept; then it goes on.
    pub(super) fn remove(&self, name: &str) -> Result<Json, String> {
        let mut inner = self.inner();
        let mut added = inner.added.clone();
        added.retain(|one| name_of(one) != name);
        if added.len() == inner.added.len() {
            refuse_configured(&inner, name)?;
            return Err(format!(
                "there is no recording {name} that was added; see: tapedeck recordings list"
            ));
        }
        self.keep(&mut inner, added)?;
        Ok(json!({"removed": name}))
    }

    /// Names of the recordings that were added.
    pub(super) fn added(&self) -> Vec<String> {
        let inner = self.inner();
        let names = inner.added.iter().map(name_of);
        names.map(str::to_owned).collect()
    }

    /// Makes these the recordings that were added. They are on disk before any worker is told: what
    /// workers do must not be forgotten with the next start.
    fn keep(&self, inner: &mut Inner, added: Vec<Json>) -> Result<(), String> {
        serde_json::to_vec(&added)
            .map_err(io::Error::from)
            .and_then(|text| write_whole(&self.file, &text))
            .map_err(|error| format!("{} cannot be written: {error}", self.file.display()))?;
        inner.added = added;
        Ok(())
    }
}

fn refuse_configured(inner: &Inner, name: &str) -> Result<(), String> {
    if name == DEFAULT_NAME && inner.configured.recording_kfl.is_some() {
        return Err(format!(
            "the recording {name} is RECORDING_KFL; change it in the configuration"
        ));
    }
    let mut listed = list(&inner.configured.recordings).iter();
    match listed.any(|one| name_of(one) == name) {
        true => Err(format!(
            "the recording {name} stands in the configuration; change it there"
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::Wish;

    fn wishes(file: &std::path::Path) -> Wishes {
        let schema = Arc::new(kfl::Schema::empty());
        let query = kfl::compile("true", &schema).unwrap();
        let template = Wish::new("recording", query, file.display().to_string());
        let (wishes, said) = Wishes::new(Basis::new(template, schema), file.to_owned());
        assert_eq!(said, None);
        wishes
    }

    #[test]
    fn what_was_added_outlives_the_hub_and_never_hides_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recordings.json");
        let wishes_1 = wishes(&file);
        let configured = Spread {
            recording_kfl: Some("http".into()),
            recordings: json!([{"name": "errors", "kfl": "response.status == 500"}]),
            ..Spread::default()
        };
        assert_eq!(wishes_1.configure(configured.clone()), Ok(true));
        assert_eq!(wishes_1.configure(configured.clone()), Ok(false));
        wishes_1
            .add(&json!({"name": "more", "kfl": "dns"}))
            .unwrap();
        for taken in ["errors", DEFAULT_NAME] {
            let refused = wishes_1.add(&json!({"name": taken, "kfl": "dns"}));
            assert!(refused.unwrap_err().contains("configuration"));
        }
        let wishes_2 = wishes(&file);
        wishes_2.configure(configured.clone()).unwrap();
        let names = |spread: Spread| -> Vec<String> {
            let names = list(&spread.recordings).iter().map(name_of);
            names.map(str::to_owned).collect()
        };
        assert_eq!(names(wishes_2.spread()), ["errors", "more"]);
        let invalid = Spread {
            recordings: json!([{"name": "errors", "kfl": "response.status =="}]),
            ..configured
        };
        assert!(wishes_2.configure(invalid).is_err());
        assert_eq!(names(wishes_2.spread()), ["errors", "more"]);
        wishes_2.remove("more").unwrap();
        assert_eq!(names(wishes_2.spread()), ["errors"]);
        assert!(wishes_2.remove("more").is_err());
    }

    #[test]
    fn what_cannot_be_kept_is_neither_added_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("hub");
        fs::create_dir(&place).unwrap();
        let wishes = wishes(&place.join("recordings.json"));
        let declared = |kfl: &str| json!({"name": "more", "kfl": kfl});
        wishes.add(&declared("dns")).unwrap();
        fs::remove_dir_all(&place).unwrap();
        let spread = json!([declared("dns")]);
        let refused = wishes.add(&declared("http")).unwrap_err();
        assert!(refused.contains("cannot be written"), "{refused}");
        assert_eq!(wishes.spread().recordings, spread);
        let other = json!({"name": "other", "kfl": "http"});
        assert!(wishes.add(&other).is_err());
        assert!(wishes.remove("more").is_err());
        assert_eq!(wishes.spread().recordings, spread);
        fs::create_dir(&place).unwrap();
        wishes.add(&other).unwrap();
        assert_eq!(wishes.added(), ["more", "other"]);
    }
}
