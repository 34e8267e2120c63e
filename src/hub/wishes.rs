//! What the hub has all workers do: the configuration's recordings and scripts, and recordings that
//! were added at the hub.
//!
//! In: the configuration as it changes, commands and the API. Out: a [`Spread`] for all workers.
//! Never: something invalid that is told to workers; the last good one stays, also over a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::message::Spread;
use crate::kfl;
use crate::pipeline::{Basis, DEFAULT_NAME, RECORDING_KFL, waits_for};
use crate::record::{read_capped, write_whole};

/// Recordings that may be added.
const MAX_ADDED: usize = 256;

/// Largest file of recordings that is read.
const MAX_FILE: u64 = 4 << 20;

#[derive(Default)]
struct Inner {
    configured: Spread,
    added: Vec<Json>,
    valid: Valid,
    faults: Vec<String>,
}

/// What the configuration said last that was valid, as it is kept for the next start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Valid {
    /// `RECORDING_KFL`, empty for none; `None` where nothing valid is known.
    query: Option<String>,
    /// `recordings:`; `None` where nothing valid is known.
    recordings: Option<Json>,
}

/// Files of the data folder.
#[derive(Debug, Clone)]
pub struct Files {
    /// Holds the recordings that were added.
    pub added: PathBuf,
    /// Holds what the configuration said last that was valid.
    pub valid: PathBuf,
}

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Whether workers are to do anything else than before.
    pub is_new: bool,
    /// One sentence about each part that is invalid, with what is in force instead.
    pub faults: Vec<String>,
}

/// What all workers are to do.
pub struct Wishes {
    basis: Basis,
    files: Files,
    inner: Mutex<Inner>,
}

fn name_of(declared: &Json) -> &str {
    declared["name"].as_str().unwrap_or_default()
}

fn list(of: &Json) -> &[Json] {
    of.as_array().map_or(&[], Vec::as_slice)
}

impl Wishes {
    /// Nothing is configured yet; recordings that were added, and what was valid last, are as the files say.
    ///
    /// Answers a sentence for each of them that cannot be read.
    pub fn new(basis: Basis, files: Files) -> (Wishes, Vec<String>) {
        let mut said = Vec::new();
        let added: Vec<Json> = read(&files.added).unwrap_or_else(|why| {
            said.push(format!(
                "{} cannot be read, so recordings that were added are forgotten: {why}",
                files.added.display()
            ));
            Vec::new()
        });
        let valid: Valid = read(&files.valid).unwrap_or_else(|why| {
            said.push(format!(
                "{} cannot be read, so what was recorded before is not known here: {why}",
                files.valid.display()
            ));
            Valid::default()
        });
        let wishes = Wishes {
            inner: Mutex::default(),
            basis,
            files,
        };
        {
            let mut inner = wishes.inner();
            inner.added = added
                .into_iter()
                .filter(|declared| wishes.basis.read(declared).is_ok())
                .take(MAX_ADDED)
                .collect();
            // Another version of the program may have written it.
            inner.valid = Valid {
                query: valid
                    .query
                    .filter(|text| wishes.query_fault(text).is_none()),
                recordings: valid
                    .recordings
                    .filter(|listed| wishes.basis.list_fault(listed).is_none()),
            };
        }
        (wishes, said)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the configuration as it is now. A part that is invalid is replaced by what was valid last; where
    /// nothing valid is known of it, workers stay with theirs.
    pub fn configure(&self, mut configured: Spread) -> Configured {
        let is_blank = |text: &String| text.trim().is_empty();
        configured.recording_kfl = configured.recording_kfl.filter(|text| !is_blank(text));
        let mut inner = self.inner();
        let mut valid = inner.valid.clone();
        let mut faults = Vec::new();
        let query = configured.recording_kfl.take().unwrap_or_default();
        let fault = self.query_fault(&query);
        match (&fault, &inner.valid.query) {
            (None, _) => valid.query = Some(query),
            (Some(why), Some(last)) => faults.push(match last.is_empty() {
                true => format!("{why}; it records nothing until it is corrected, as before"),
                false => format!("{why}; workers go on with the last valid one: {last}"),
            }),
            (Some(why), None) => faults.push(format!(
                "{why}; workers go on with what they recorded last until it is corrected"
            )),
        }
        configured.query_stays = valid.query.is_none();
        configured.recording_kfl = valid.query.clone().filter(|text| !text.is_empty());
        if fault.is_some() {
            // Scripts that record by themselves go by it too.
            let env = configured.env.get_mut(RECORDING_KFL);
            match (env, &configured.recording_kfl) {
                (Some(value), Some(query)) => *value = json!(query),
                (Some(_), None) => drop(configured.env.remove(RECORDING_KFL)),
                (None, _) => {}
            }
        }
        match (self.basis.list_fault(&configured.recordings), &valid.recordings) {
            (None, _) => valid.recordings = Some(configured.recordings.clone()),
            (Some(why), None) => faults.push(format!(
                "recordings are invalid, {why}; workers go on with the list that they had last until it is corrected"
            )),
            (Some(why), Some(_)) => faults.push(format!(
                "recordings are invalid, {why}; workers go on with the last valid list"
            )),
        }
        configured.list_stays = valid.recordings.is_none();
        configured.recordings = valid.recordings.clone().unwrap_or_else(|| json!([]));
        if inner.valid != valid {
            self.keep_valid(&valid);
            inner.valid = valid;
        }
        inner.faults.clone_from(&faults);
        let is_new = inner.configured != configured;
        inner.configured = configured;
        Configured { is_new, faults }
    }

    /// What of the configuration is invalid, one sentence each, with what is in force instead.
    pub fn faults(&self) -> Vec<String> {
        self.inner().faults.clone()
    }

    fn query_fault(&self, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let error = kfl::compile(text, &self.basis.schema).err()?;
        Some(format!("{RECORDING_KFL} is invalid, {error}"))
    }

    fn keep_valid(&self, valid: &Valid) {
        let written = serde_json::to_vec(valid)
            .map_err(io::Error::from)
            .and_then(|text| write_whole(&self.files.valid, &text));
        if let Err(error) = written {
            tracing::warn!(%error, "what is recorded is not kept for the next start of the hub");
        }
    }

    /// Whether a recording waits for happenings called so. Of a list that workers keep from before nobody here
    /// knows, so it may wait for all.
    pub fn waits_for(&self, what: &str) -> bool {
        let spread = self.spread();
        spread.list_stays || waits_for(&spread.recordings, what)
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
        for one in added {
            spread.added.push(name_of(one).to_owned());
            recordings.push(one.clone());
        }
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
            .and_then(|text| write_whole(&self.files.added, &text))
            .map_err(|error| {
                format!("{} cannot be written: {error}", self.files.added.display())
            })?;
        inner.added = added;
        Ok(())
    }
}

/// What a file holds; a file that is not there holds nothing.
fn read<T: Default + serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    match read_capped(path, MAX_FILE) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error.to_string()),
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
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::record::Wish;

    fn wishes(file: &Path) -> Wishes {
        let schema = Arc::new(kfl::Schema::empty());
        let query = kfl::compile("true", &schema).unwrap();
        let template = Wish::new("recording", query, file.display().to_string());
        let files = Files {
            added: file.to_owned(),
            valid: file.with_extension("valid"),
        };
        let (wishes, said) = Wishes::new(Basis::new(template, schema), files);
        assert_eq!(said, Vec::<String>::new());
        wishes
    }

    fn of_query(text: &str) -> Spread {
        Spread {
            recording_kfl: Some(text.to_owned()),
            env: [(RECORDING_KFL.to_owned(), json!(text))]
                .into_iter()
                .collect(),
            ..Spread::default()
        }
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
        let configure = |wishes: &Wishes| wishes.configure(configured.clone()).is_new;
        assert!(configure(&wishes_1) && !configure(&wishes_1));
        wishes_1
            .add(&json!({"name": "more", "kfl": "dns"}))
            .unwrap();
        for taken in ["errors", DEFAULT_NAME] {
            let refused = wishes_1.add(&json!({"name": taken, "kfl": "dns"}));
            assert!(refused.unwrap_err().contains("configuration"));
        }
        let wishes_2 = wishes(&file);
        assert!(configure(&wishes_2));
        let names = |spread: Spread| -> Vec<String> {
            let names = list(&spread.recordings).iter().map(name_of);
            names.map(str::to_owned).collect()
        };
        assert_eq!(names(wishes_2.spread()), ["errors", "more"]);
        let invalid = Spread {
            recordings: json!([{"name": "errors", "kfl": "response.status =="}]),
            ..configured.clone()
        };
        let refused = wishes_2.configure(invalid.clone());
        assert!(!refused.is_new && refused.faults.len() == 1, "{refused:?}");
        assert_eq!(names(wishes_2.spread()), ["errors", "more"]);
        wishes_2.remove("more").unwrap();
        assert_eq!(names(wishes_2.spread()), ["errors"]);
        assert!(wishes_2.remove("more").is_err());
        // Nor does the next start fail for it.
        let wishes_3 = wishes(&file);
        assert!(wishes_3.configure(invalid.clone()).is_new);
        assert_eq!(names(wishes_3.spread()), ["errors"]);
    }

    #[test]
    fn an_invalid_list_without_a_valid_one_leaves_workers_with_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let wishes = wishes(&folder.path().join("recordings.json"));
        let of_list = |kfl: &str| Spread {
            recordings: json!([{"name": "errors", "kfl": kfl}]),
            ..Spread::default()
        };
        let configured = wishes.configure(of_list("response.status =="));
        assert!(configured.is_new);
        let fault = &configured.faults[0];
        assert!(fault.starts_with("recordings are invalid, the query of the recording errors"));
        assert!(
            fault.ends_with("they had last until it is corrected"),
            "{fault}"
        );
        assert_eq!(wishes.faults(), configured.faults);
        wishes.add(&json!({"name": "more", "kfl": "dns"})).unwrap();
        let spread = wishes.spread();
        assert!(spread.list_stays);
        assert!(wishes.waits_for("failedProbe"));
        assert_eq!(spread.recordings, json!([{"name": "more", "kfl": "dns"}]));
        assert_eq!(spread.added, ["more"]);
        // It is taken when it becomes valid.
        let configured = wishes.configure(of_list("response.status == 500"));
        assert!(configured.is_new && configured.faults.is_empty());
        let spread = wishes.spread();
        assert!(!spread.list_stays);
        assert!(!wishes.waits_for("failedProbe"));
        assert_eq!(spread.recordings.as_array().map(Vec::len), Some(2));
        assert_eq!(spread.added, ["more"]);
    }

    #[test]
    fn an_invalid_query_leaves_the_last_valid_one_in_force_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recordings.json");
        let first = wishes(&file);
        // Nothing valid was ever known: workers stay with theirs.
        let configured = first.configure(of_query("http and ("));
        assert!(configured.faults[0].contains("RECORDING_KFL is invalid"));
        assert_eq!(first.faults(), configured.faults);
        let spread = first.spread();
        assert!(spread.query_stays && spread.recording_kfl.is_none() && spread.env.is_empty());
        assert!(first.configure(of_query("http")).faults.is_empty());
        assert!(!first.spread().query_stays);
        for (wishes, is_new) in [(&first, false), (&wishes(&file), true)] {
            let configured = wishes.configure(of_query("http and ("));
            assert_eq!(configured.is_new, is_new);
            let sentence = &configured.faults[0];
            assert!(sentence.ends_with("the last valid one: http"), "{sentence}");
            let spread = wishes.spread();
            assert_eq!(spread.recording_kfl.as_deref(), Some("http"));
            assert_eq!(spread.env[RECORDING_KFL], "http");
            assert!(!spread.query_stays);
        }
        // The rest of the configuration is followed.
        let mut other = of_query("http and (");
        other.env.insert("A".to_owned(), json!(1));
        assert!(first.configure(other).is_new);
        assert_eq!(first.spread().env["A"], 1);
        // A recording that is switched off is valid, and stays off.
        first.configure(Spread::default());
        let off = wishes(&file);
        off.configure(of_query("http and ("));
        let spread = off.spread();
        assert!(spread.recording_kfl.is_none() && !spread.query_stays);
        assert!(!spread.env.contains_key(RECORDING_KFL));
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
