//! The configuration: which file, which keys, and where each value came from.
//!
//! Order: built-in default, file, environment, `--set`, named flag; the last one wins. Exactly one
//! file is read: `--config-path`, else `./tapedeck.yaml`, `./kubeshark.yaml`,
//! `~/.tapedeck/config.yaml`, `~/.kubeshark/config.yaml`. Keys match without regard to case.

mod env_folder;
pub mod keys;
mod nearest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::Global;
use super::exit::Failure;
pub use crate::units;
pub use env_folder::Stamp;
use keys::{ConfigKey, KEYS, KeyType, Status};
pub use nearest::nearest;

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
            home: std::env::var_os("HOME").map(PathBuf::from),
            here: std::env::current_dir().unwrap_or_default(),
        }
    }
}

impl Config {
    /// Reads what `global` and the surroundings name.
    ///
    /// # Errors
    /// When the file is not YAML, a type does not fit, or `--set` names an unknown key.
    pub fn load(global: &Global, around: &Surroundings) -> Result<Config, Failure> {
        let file = match &global.config_path {
            Some(path) => Some(around.here.join(path)),
            None => default_files(around)
                .into_iter()
                .find(|path| path.is_file()),
        };
        let mut config = Config {
            file: None,
            values: defaults(),
            mounted: env_folder::Mounted::default(),
            warnings: Vec::new(),
        };
        if let Some(path) = file {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", path.display()))
            })?;
            config.read_yaml(&text, &path)?;
            config.file = Some(path);
        }
        for setting in &global.set {
            config.set_text(setting, global.set_lenient)?;
        }
        for setting in &global.set_json {
            config.set_json(setting, global.set_lenient)?;
        }
        if let Some(folder) = config.text_if_set("scripting.envFolder") {
            config.mounted = env_folder::read(&around.here.join(folder))?;
        }
        config.warn_about_env();
        Ok(config)
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
                let value = fit(key, value).ok_or_else(|| {
                    Failure::usage(format!(
                        "{}: {} must be {}, not {value}",
                        path.display(),
                        key.path,
                        kind_name(key.kind)
                    ))
                })?;
                self.values.insert(key.path, (value, Came::File));
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

    /// Takes one `--set` argument: `key=value`, several joined by commas, `{a,b}`, `key[0]=`.
    pub fn set_text(&mut self, argument: &str, lenient: bool) -> Result<(), Failure> {
        let mut seen: Vec<(String, Vec<String>)> = Vec::new();
        for part in split_commas(argument) {
            let Some((name, value)) = part.split_once('=') else {
                self.warnings
                    .push(format!("--set {part} has no = and is ignored"));
                continue;
            };
            let name = name.split('[').next().unwrap_or(name).to_owned();
            match seen.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value.to_owned()),
                None => seen.push((name, vec![value.to_owned()])),
            }
        }
        for (name, values) in seen {
            self.set_values(&name, &values, lenient)?;
        }
        Ok(())
    }

    fn set_values(&mut self, name: &str, values: &[String], lenient: bool) -> Result<(), Failure> {
        if let Some(key) = find(name) {
            let value = match (key.kind, values) {
                (KeyType::List, [one]) if one.starts_with('{') && one.ends_with('}') => one
                    .trim_matches(['{', '}'])
                    .split(',')
                    .filter(|text| !text.is_empty())
                    .map(|text| Json::String(text.trim().to_owned()))
                    .collect(),
                (KeyType::List, values) => {
                    let mut list = match self.values.get(key.path) {
                        Some((Json::Array(list), Came::Set)) => list.clone(),
                        _ => Vec::new(),
                    };
                    list.extend(values.iter().cloned().map(Json::String));
                    Json::Array(list)
                }
                (kind, [.., last]) => parse_text(kind, last).ok_or_else(|| {
                    Failure::usage(format!(
                        "--set {}: {last} is not {}",
                        key.path,
                        kind_name(kind)
                    ))
                })?,
                _ => return Ok(()),
            };
            self.values.insert(key.path, (value, Came::Set));
            return Ok(());
        }
        // A name below a map, as scripting.env.RECORDING_KFL.
        let map = KEYS
            .iter()
            .find(|key| key.kind == KeyType::Map && is_below(name, key.path));
        if let (Some(key), Some(last)) = (map, values.last()) {
            let below = &name[key.path.len() + 1..];
            let entry = self
                .values
                .get_mut(key.path)
                .expect("every key has a value");
            if let Json::Object(map) = &mut entry.0 {
                map.insert(below.to_owned(), Json::String(last.clone()));
            }
            entry.1 = Came::Set;
            return Ok(());
        }
        let sentence = unknown(name, "--set");
        if lenient {
            self.warnings.push(sentence);
            Ok(())
        } else {
            Err(Failure::usage(format!(
                "{sentence}; --set-lenient lets it pass"
            )))
        }
    }

    /// Takes one `--set-json` argument.
    pub fn set_json(&mut self, argument: &str, lenient: bool) -> Result<(), Failure> {
        let Some((name, text)) = argument.split_once('=') else {
            return Err(Failure::usage(format!("--set-json {argument} has no =")));
        };
        let value: Json = serde_json::from_str(text)
            .map_err(|error| Failure::usage(format!("--set-json {name}: {error}")))?;
        let Some(key) = find(name) else {
            if let Json::String(text) = &value {
                return self.set_values(name, std::slice::from_ref(text), lenient);
            }
            return Err(Failure::usage(unknown(name, "--set-json")));
        };
        let fitted = fit(key, &value).ok_or_else(|| {
            Failure::usage(format!(
                "--set-json {}: must be {}",
                key.path,
                kind_name(key.kind)
            ))
        })?;
        self.values.insert(key.path, (fitted, Came::Set));
        Ok(())
    }

    /// A named flag wins over everything else.
    pub fn flag(&mut self, path: &'static str, flag: &'static str, value: Json) {
        self.values.insert(path, (value, Came::Flag(flag)));
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

    /// Keys that somebody set and that are not acted on, though what is captured would differ.
    pub fn not_yet(&self) -> impl Iterator<Item = &'static ConfigKey> {
        self.all()
            .filter(|(key, _, came)| key.status == Status::NotYetCapture && **came != Came::Default)
            .map(|(key, _, _)| key)
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

/// Where `config --regenerate` writes.
pub fn regenerate_path(global: &Global, around: &Surroundings) -> PathBuf {
    match (&global.config_path, &around.home) {
        (Some(path), _) => around.here.join(path),
        (None, Some(home)) => home.join(".tapedeck/config.yaml"),
        (None, None) => around.here.join("tapedeck.yaml"),
    }
}

fn defaults() -> BTreeMap<&'static str, (Json, Came)> {
    let value = |key: &ConfigKey| serde_json::from_str(key.default).expect("defaults are JSON");
    KEYS.iter()
        .map(|key| (key.path, (value(key), Came::Default)))
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
    match nearest(name, KEYS.iter().map(|key| key.path)) {
        Some(near) => format!("{place}: unknown key {name}; did you mean {near}?"),
        None => format!("{place}: unknown key {name}"),
    }
}

fn kind_name(kind: KeyType) -> &'static str {
    match kind {
        KeyType::Text => "text",
        KeyType::Bool => "true or false",
        KeyType::Int => "a whole number",
        KeyType::Quantity => "a size such as 500Mi",
        KeyType::Duration => "a duration such as 90s or 30d",
        KeyType::List => "a list",
        KeyType::Map => "a map",
        KeyType::Objects => "a list of objects",
        KeyType::Any => "a value",
    }
}

fn parse_text(kind: KeyType, text: &str) -> Option<Json> {
    match kind {
        KeyType::Text => Some(Json::String(text.to_owned())),
        KeyType::Bool => units::boolean(text).map(Json::Bool),
        KeyType::Int => text.parse::<i64>().ok().map(Json::from),
        KeyType::Quantity => units::quantity(text).map(|_| Json::String(text.to_owned())),
        KeyType::Duration => (text.is_empty() || units::duration(text).is_some())
            .then(|| Json::String(text.to_owned())),
        KeyType::List | KeyType::Map | KeyType::Objects => serde_json::from_str(text).ok(),
        KeyType::Any => {
            Some(serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned())))
        }
    }
}

/// The value as the key's type holds it; `None` when it does not fit.
fn fit(key: &ConfigKey, value: &Json) -> Option<Json> {
    match (key.kind, value) {
        (_, Json::Null) => serde_json::from_str(key.default).ok(),
        (KeyType::List, Json::Array(_)) | (KeyType::Any, _) => Some(value.clone()),
        (KeyType::List, Json::String(text)) => Some(Json::Array(vec![Json::String(text.clone())])),
        (KeyType::Objects, Json::Array(_)) | (KeyType::Map, Json::Object(_)) => Some(value.clone()),
        (KeyType::Bool, Json::Bool(_)) => Some(value.clone()),
        (KeyType::Int, Json::Number(number)) if number.is_i64() || number.is_u64() => {
            Some(value.clone())
        }
        (KeyType::Text, Json::Bool(_) | Json::Number(_)) => Some(Json::String(value.to_string())),
        (KeyType::Quantity | KeyType::Duration, Json::Number(number)) => {
            parse_text(key.kind, &number.to_string())
        }
        (kind, Json::String(text)) if kind != KeyType::Map && kind != KeyType::Objects => {
            parse_text(kind, text)
        }
        _ => None,
    }
}

/// Splits at commas that are neither escaped nor inside braces.
fn split_commas(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0usize;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.last_mut().expect("there is always one part");
        match c {
            '\\' if chars.peek() == Some(&',') => last.extend(chars.next()),
            '{' => {
                depth += 1;
                last.push(c);
            }
            '}' => {
                depth = depth.saturating_sub(1);
                last.push(c);
            }
            ',' if depth == 0 => parts.push(String::new()),
            _ => last.push(c),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Config {
        let mut config = Config {
            file: None,
            values: defaults(),
            mounted: env_folder::Mounted::default(),
            warnings: Vec::new(),
        };
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
    fn set_takes_lists_maps_and_commas() {
        let mut config = config("");
        config
            .set_text("tap.storageLimit=2Gi,headless=true", false)
            .unwrap();
        config.set_text("tap.namespaces={a,b}", false).unwrap();
        config
            .set_text(
                "scripting.env.RECORDING_KFL=http and src.name == \"a\\,b\"",
                false,
            )
            .unwrap();
        config.set_text("scripting.sources[0]=x.js", false).unwrap();
        assert_eq!(config.bytes("tap.storageLimit"), 2 << 30);
        assert!(config.bool("headless"));
        assert_eq!(config.list("tap.namespaces"), ["a", "b"]);
        assert_eq!(config.list("scripting.sources"), ["x.js"]);
        assert_eq!(
            config.env_text("RECORDING_KFL").as_deref(),
            Some("http and src.name == \"a,b\"")
        );
        assert!(config.set_text("tap.storageLimti=1Gi", false).is_err());
        config.set_text("tap.storageLimti=1Gi", true).unwrap();
        assert_eq!(config.warnings.len(), 1);
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
    fn blank_recording_kfl_is_off() {
        assert_eq!(
            config("scripting:\n  env:\n    RECORDING_KFL: \"  \"\n").env_text("RECORDING_KFL"),
            None
        );
    }
}
