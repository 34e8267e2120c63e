//! The configuration: which file, which keys, and where each value came from.
//!
//! Order: built-in default, file, environment, `--set`, named flag; the last one wins. Exactly one
//! file is read: `--config-path`, else `./tapedeck.yaml`, `./kubeshark.yaml`,
//! `~/.tapedeck/config.yaml`, `~/.kubeshark/config.yaml`. Keys match without regard to case.

mod env_folder;
pub mod keys;
mod nearest;
mod set;
mod typed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::Global;
use super::exit::{Failure, system};
pub use crate::units;
pub use env_folder::Stamp;
use keys::{ConfigKey, KEYS, Status};
pub use nearest::nearest;
use nearest::nearest_key;
use typed::{fit, kind_name};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// Built in.
    Default,
    /// From the configuration file.
    File,
    /// From an environment variable of this name.
    Environment(String),
    /// From `--set` or `--set-json`.
    Set,
    /// From a named flag.
    Flag(&'static str),
}

impl std::fmt::Display for Came {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Came::Default => write!(f, "default"),
            Came::File => write!(f, "file"),
            Came::Environment(name) => write!(f, "environment {name}"),
            Came::Set => write!(f, "--set"),
            Came::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// The configuration in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    values: BTreeMap<&'static str, (Json, Came)>,
    mounted: env_folder::Mounted,
    /// Sentences about what was not understood.
    pub warnings: Vec<String>,
}

/// What the environment says that the configuration wants to know.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// The working directory.
    pub here: PathBuf,
}

impl Surroundings {
    /// As the process finds them.
    pub fn of_process() -> Surroundings {
        Surroundings {
            home: home(),
            here: std::env::current_dir().unwrap_or_default(),
        }
    }
}

/// The user's home folder: `HOME`, on Windows `USERPROFILE`.
pub fn home() -> Option<PathBuf> {
    let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    let set = std::env::var_os(name).filter(|value| !value.is_empty());
    set.map(PathBuf::from)
}

impl Config {
    /// Reads what `global` and the surroundings name.
    ///
    /// # Errors
    /// When the file is not YAML, a type does not fit, or `--set` names an unknown key.
    pub fn load(global: &Global, around: &Surroundings) -> Result<Config, Failure> {
        let mut config = Config::built_in();
        if let Some(path) = file_of(global, around) {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Failure::usage(format!(
                    "cannot read {}: {}",
                    path.display(),
                    system(&error)
                ))
            })?;
            config.read_yaml(&text, &path)?;
            config.file = Some(path);
        }
        config.set(global)?;
        if let Some(folder) = config.text_if_set("scripting.envFolder") {
            config.mounted = env_folder::read(&around.here.join(folder))?;
        }
        config.warn_about_env();
        Ok(config)
    }

    /// What is built in, with what `--set` says over it: no file is read.
    ///
    /// # Errors
    /// When `--set` names an unknown key, or a type does not fit.
    pub fn of_defaults(global: &Global) -> Result<Config, Failure> {
        let mut config = Config::built_in();
        config.set(global)?;
        Ok(config)
    }

    fn built_in() -> Config {
        Config {
            file: None,
            values: defaults(),
            mounted: env_folder::Mounted::default(),
            warnings: Vec::new(),
        }
    }

    /// Takes over the keys of a YAML text.
    pub fn read_yaml(&mut self, text: &str, path: &Path) -> Result<(), Failure> {
        let tree: Json = serde_yaml_ng::from_str(text).map_err(|error| {
            Failure::usage(format!(
                "{} is not valid YAML: {error}; correct it, or remove it and run: tapedeck config --regenerate",
                path.display()
            ))
        })?;
        match tree {
            Json::Null => Ok(()),
            Json::Object(tree) => self.walk("", &tree, path),
            _ => Err(Failure::usage(format!("{} holds no keys", path.display()))),
        }
    }

    fn walk(&mut self, prefix: &str, tree: &Map<String, Json>, path: &Path) -> Result<(), Failure> {
        for (name, value) in tree {
            let full = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            // Some samples nest the scripting section under tap.
            let full = match full.strip_prefix("tap.scripting") {
                Some(rest) if rest.is_empty() || rest.starts_with('.') => {
                    format!("scripting{rest}")
                }
                _ => full,
            };
            if let Some(key) = find(&full) {
                let place = path.display().to_string();
                let shown = value.to_string();
                self.take(key, fit(key, value), Came::File, &place, &shown)?;
            } else if let Json::Object(below) = value
                && KEYS.iter().any(|key| is_below(key.path, &full))
            {
                self.walk(&full, below, path)?;
            } else if !(value.is_null() && KEYS.iter().any(|key| is_below(key.path, &full))) {
                self.warnings
                    .push(unknown(&full, &path.display().to_string()));
            }
        }
        Ok(())
    }

    /// A named flag wins over everything else.
    pub fn flag(&mut self, path: &'static str, flag: &'static str, value: Json) {
        self.values.insert(path, (value, Came::Flag(flag)));
    }

    /// Takes a value that fits the key's type. What changes nothing here may have any form: then there
    /// is a warning and no value.
    fn take(
        &mut self,
        key: &ConfigKey,
        fitting: Option<Json>,
        came: Came,
        place: &str,
        shown: &str,
    ) -> Result<(), Failure> {
        if let Some(value) = fitting {
            self.values.insert(key.path, (value, came));
            return Ok(());
        }
        let wanted = kind_name(key.kind);
        if key.status == Status::Harmless {
            self.warnings.push(format!(
                "{place}: {} is left out: it should be {wanted}, not {shown}",
                key.path
            ));
            return Ok(());
        }
        Err(Failure::usage(format!(
            "{place}: {} must be {wanted}, not {shown}",
            key.path
        )))
    }

    fn value(&self, path: &str) -> &Json {
        self.values
            .get(path)
            .map_or(&Json::Null, |(value, _)| value)
    }

    /// Text.
    pub fn text(&self, path: &str) -> &str {
        self.value(path).as_str().unwrap_or_default()
    }

    /// Text, `None` when empty.
    pub fn text_if_set(&self, path: &str) -> Option<&str> {
        Some(self.text(path)).filter(|text| !text.is_empty())
    }

    /// What the word of a key stands for, of the words that it may be.
    ///
    /// # Errors
    /// One sentence with these words.
    pub fn choice<T: Copy>(&self, path: &str, choices: &[(&str, T)]) -> Result<T, String> {
        let word = self.text(path);
        let chosen = choices.iter().find(|(name, _)| *name == word);
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let mut names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let last = names.pop().unwrap_or_default();
            let names = match names.as_slice() {
                [] => last.to_owned(),
                others => format!("{} or {last}", others.join(", ")),
            };
            format!("{path} must be {names}, not {word:?}")
        })
    }

    /// A boolean.
    pub fn bool(&self, path: &str) -> bool {
        self.value(path).as_bool().unwrap_or_default()
    }

    /// A whole number.
    pub fn int(&self, path: &str) -> u64 {
        self.value(path).as_u64().unwrap_or_default()
    }

    /// Bytes of a quantity.
    pub fn bytes(&self, path: &str) -> u64 {
        units::quantity(self.text(path)).unwrap_or_default()
    }

    /// A duration.
    pub fn duration(&self, path: &str) -> Duration {
        units::duration(self.text(path)).unwrap_or_default()
    }

    /// A list of text.
    pub fn list(&self, path: &str) -> Vec<String> {
        let list = self.value(path).as_array();
        list.into_iter()
            .flatten()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    }

    /// A value of any kind.
    pub fn any(&self, path: &str) -> Json {
        self.value(path).clone()
    }

    /// A map of the user's own names.
    pub fn map(&self, path: &str) -> Map<String, Json> {
        self.value(path).as_object().cloned().unwrap_or_default()
    }

    /// `scripting.env` with what `scripting.envFolder` and `scripting.consts` add to it.
    pub fn env(&self) -> Map<String, Json> {
        let mut env = self.mounted.all.clone();
        env.extend(self.map("scripting.consts"));
        env.extend(self.map("scripting.env"));
        env
    }

    /// Blanks a name of `scripting.env`, wherever it comes from.
    pub fn without_env(&mut self, name: &str) {
        if let Some((Json::Object(env), _)) = self.values.get_mut("scripting.env") {
            env.insert(name.to_owned(), Json::String(String::new()));
        }
    }

    /// `scripting.envFor` with what `scripting.envFolder` adds to it: names by title or file name.
    pub fn env_for(&self) -> Map<String, Json> {
        let mut each = self.mounted.each.clone();
        for (title, values) in self.map("scripting.envFor") {
            match (each.get_mut(&title), values) {
                (Some(Json::Object(there)), Json::Object(values)) => there.extend(values),
                (_, values) => drop(each.insert(title, values)),
            }
        }
        each
    }

    /// When the files of `scripting.envFolder` were last changed; equal while none was.
    pub fn mounted_since(&self) -> Vec<Stamp> {
        let folder = self.text_if_set("scripting.envFolder");
        folder.map_or_else(Vec::new, |folder| env_folder::stamps(Path::new(folder)))
    }

    /// One name of `scripting.env` as text; `None` when absent or blank.
    pub fn env_text(&self, name: &str) -> Option<String> {
        let text = match self.env().get(name)? {
            Json::String(text) => text.clone(),
            Json::Null => return None,
            other => other.to_string(),
        };
        Some(text).filter(|text| !text.trim().is_empty())
    }

    /// Every key with its value and where it came from.
    pub fn all(&self) -> impl Iterator<Item = (&'static ConfigKey, &Json, &Came)> {
        KEYS.iter()
            .filter_map(|key| self.values.get(key.path).map(|(v, came)| (key, v, came)))
    }

    /// Whether somebody asked for the value of a key: a file that lists all keys with their defaults
    /// asks for none of them.
    pub fn is_said(&self, path: &str) -> bool {
        let found = self.all().find(|(key, _, _)| key.path == path);
        found.is_some_and(|(key, value, came)| is_said(key, value, came))
    }

    /// Every key whose value somebody asked for, with the value.
    pub fn said(&self) -> impl Iterator<Item = (&'static ConfigKey, &Json)> {
        self.all()
            .filter(|(key, value, came)| is_said(key, value, came))
            .map(|(key, value, _)| (key, value))
    }

    /// Keys that somebody set and that are not acted on, though what is captured would differ; what
    /// is switched off is not there anyway.
    pub fn not_yet(&self) -> impl Iterator<Item = &'static ConfigKey> {
        self.said()
            .filter(|(key, value)| {
                key.status == Status::NotYetCapture && **value != Json::Bool(false)
            })
            .map(|(key, _)| key)
    }

    /// The configuration as YAML.
    pub fn yaml(&self) -> String {
        let mut tree = Map::new();
        for (key, value, _) in self.all() {
            let mut at = &mut tree;
            let mut names = key.path.split('.').peekable();
            while let Some(name) = names.next() {
                if names.peek().is_none() {
                    at.insert(name.to_owned(), value.clone());
                } else {
                    let below = at.entry(name).or_insert_with(|| Json::Object(Map::new()));
                    let Json::Object(below) = below else { break };
                    at = below;
                }
            }
        }
        serde_yaml_ng::to_string(&Json::Object(tree)).unwrap_or_default()
    }

    fn warn_about_env(&mut self) {
        for name in self.env().keys() {
            if keys::ENV_NAMES.contains(&name.as_str()) {
                continue;
            }
            if let Some(near) = nearest(name, keys::ENV_NAMES.iter().copied()) {
                self.warnings.push(format!(
                    "scripting.env.{name} is not a known name; did you mean {near}?"
                ));
            }
        }
    }
}

/// Files that are looked for, first hit wins.
fn default_files(around: &Surroundings) -> Vec<PathBuf> {
    let mut files = vec![
        around.here.join("tapedeck.yaml"),
        around.here.join("kubeshark.yaml"),
    ];
    if let Some(home) = &around.home {
        files.push(home.join(".tapedeck/config.yaml"));
        files.push(home.join(".kubeshark/config.yaml"));
    }
    files
}

/// The file that is read: the one that is named, else the first hit of those that are looked for.
fn file_of(global: &Global, around: &Surroundings) -> Option<PathBuf> {
    match &global.config_path {
        Some(path) => Some(around.here.join(path)),
        None => default_files(around)
            .into_iter()
            .find(|path| path.is_file()),
    }
}

/// Where `config --regenerate` writes: the file that is read, or where it would be looked for.
pub fn regenerate_path(global: &Global, around: &Surroundings) -> PathBuf {
    let usual = || match &around.home {
        Some(home) => home.join(".tapedeck/config.yaml"),
        None => around.here.join("tapedeck.yaml"),
    };
    file_of(global, around).unwrap_or_else(usual)
}

fn is_said(key: &ConfigKey, value: &Json, came: &Came) -> bool {
    match came {
        Came::Default => false,
        Came::File => *value != default_of(key),
        Came::Environment(_) | Came::Set | Came::Flag(_) => true,
    }
}

fn default_of(key: &ConfigKey) -> Json {
    serde_json::from_str(key.default).expect("defaults are JSON")
}

fn defaults() -> BTreeMap<&'static str, (Json, Came)> {
    KEYS.iter()
        .map(|key| (key.path, (default_of(key), Came::Default)))
        .collect()
}

fn find(path: &str) -> Option<&'static ConfigKey> {
    KEYS.iter().find(|key| key.path.eq_ignore_ascii_case(path))
}

fn is_below(path: &str, parent: &str) -> bool {
    path.len() > parent.len()
        && path.as_bytes()[parent.len()] == b'.'
        && path.is_char_boundary(parent.len())
        && path[..parent.len()].eq_ignore_ascii_case(parent)
}

fn unknown(name: &str, place: &str) -> String {
    if let Some(key) = KEYS.iter().find(|key| is_below(key.path, name)) {
        let example = key.path;
        return format!("{place}: {name} is a section; name a key in it, as {example}");
    }
    match nearest_key(name) {
        Some(near) => format!("{place}: unknown key {name}; did you mean {near}?"),
        None => format!("{place}: unknown key {name}; see: tapedeck config --explain"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Config {
        let mut config = Config::built_in();
        config.read_yaml(yaml, Path::new("c.yaml")).unwrap();
        config.warn_about_env();
        config
    }

    #[test]
    fn the_published_yaml_loads() {
        let config = config(
            "scripting:\n  env:\n    RECORDING_KFL: \"http or dns\"\n    S3_BUCKET: \"b\"\n    AWS_REGION: us-east-2\n  \
             source: \"/home/u/scripts\"\n  watchscripts: true\n",
        );
        assert_eq!(
            config.env_text("RECORDING_KFL").as_deref(),
            Some("http or dns")
        );
        assert_eq!(config.text("scripting.source"), "/home/u/scripts");
        assert!(config.bool("scripting.watchScripts"));
        assert_eq!(config.warnings, Vec::<String>::new());
    }

    #[test]
    fn scripting_under_tap_and_old_spellings_load() {
        let config = config("tap:\n  storagelimit: 1Gi\n  scripting:\n    env: {A_KFL: x}\n");
        assert_eq!(config.bytes("tap.storageLimit"), 1 << 30);
        assert_eq!(config.env_text("A_KFL").as_deref(), Some("x"));
    }

    #[test]
    fn misspelt_names_are_named_with_the_nearest() {
        let config =
            config("scripting:\n  env:\n    RECORDNG_KFL: http\ntap:\n  storageLimt: 1Gi\n");
        assert!(
            config
                .warnings
                .iter()
                .any(|w| w.contains("did you mean RECORDING_KFL")),
            "{:?}",
            config.warnings
        );
        assert!(
            config
                .warnings
                .iter()
                .any(|w| w.contains("did you mean tap.storageLimit"))
        );
    }

    #[test]
    fn a_wrong_type_is_a_sentence() {
        let mut config = config("");
        let error = config
            .read_yaml("tap:\n  storageLimit: lots\n", Path::new("c.yaml"))
            .unwrap_err();
        assert_eq!(
            error.message,
            "c.yaml: tap.storageLimit must be a size such as 500Mi, not \"lots\""
        );
    }

    #[test]
    fn what_changes_nothing_here_may_have_any_form() {
        let config = config("tap:\n  ipv6: [yes]\n  dns: none\n");
        assert_eq!(
            config.warnings,
            [
                "c.yaml: tap.ipv6 is left out: it should be true or false, not [\"yes\"]",
                "c.yaml: tap.dns is left out: it should be a map, not \"none\"",
            ]
        );
        assert!(config.bool("tap.ipv6"));
    }

    #[test]
    fn terms_of_nodes_are_a_list_or_a_map_by_role() {
        for terms in [
            "[{matchExpressions: []}]",
            "{workers: [{matchExpressions: []}]}",
        ] {
            let config = config(&format!("tap:\n  nodeSelectorTerms: {terms}\n"));
            assert_eq!(config.warnings, Vec::<String>::new());
            assert!(config.is_said("tap.nodeSelectorTerms"));
        }
    }

    #[test]
    fn a_file_of_defaults_asks_for_nothing() {
        let whole = config(&Config::built_in().yaml());
        assert_eq!(whole.warnings, Vec::<String>::new());
        let said: Vec<&str> = whole.said().map(|(key, _)| key.path).collect();
        assert_eq!(said, [""; 0]);
        let names =
            |config: &Config| -> Vec<&str> { config.not_yet().map(|key| key.path).collect() };
        assert_eq!(names(&whole), [""; 0]);
        let changed = config("tap: {tls: false, misc: {trafficSampleRate: 50}}");
        assert_eq!(names(&changed), ["tap.misc.trafficSampleRate"]);
    }

    #[test]
    fn the_file_that_is_read_is_the_one_that_is_made() {
        let home = tempfile::tempdir().unwrap();
        let here = tempfile::tempdir().unwrap();
        let around = Surroundings {
            home: Some(home.path().to_owned()),
            here: here.path().to_owned(),
        };
        let mut global = Global::default();
        let usual = home.path().join(".tapedeck/config.yaml");
        assert_eq!(regenerate_path(&global, &around), usual);
        let found = here.path().join("kubeshark.yaml");
        std::fs::write(&found, "").unwrap();
        assert_eq!(regenerate_path(&global, &around), found);
        global.config_path = Some("x/y.yaml".into());
        assert_eq!(
            regenerate_path(&global, &around),
            here.path().join("x/y.yaml")
        );
    }

    #[test]
    fn blank_recording_kfl_is_off() {
        assert_eq!(
            config("scripting:\n  env:\n    RECORDING_KFL: \"  \"\n").env_text("RECORDING_KFL"),
            None
        );
    }
}
