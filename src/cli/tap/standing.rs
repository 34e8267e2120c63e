//! The targets that were in force last, for a role that starts with some that cannot be used. In a cluster a
//! pod that ended for them would be started again and again, and capture nothing.
//!
//! In: targets as configured. Out: a file in the data folder, and those of it in place of what cannot be used.
//! Never: targets that are in force without a word to people.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::super::config::Config;
use super::cluster::{TARGETS, targets};
use super::filters::refusal;
use super::follow::say;
use crate::record::{read_capped, write_whole};

/// File of the hub's targets, in its data folder.
pub(super) const OF_HUB: &str = "targets.json";

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// Targets of one role.
pub(super) struct Standing {
    path: PathBuf,
    /// What the role goes by.
    keys: &'static [&'static str],
    /// Why they cannot be used.
    fault: fn(&Config) -> Option<String>,
    /// Words for what is in force without any.
    without: &'static str,
}

/// What takes the place of targets that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instead {
    /// Nothing has to.
    Theirs,
    /// Those that were in force last.
    Last,
    /// None at all.
    None,
}

impl Standing {
    /// The hub's, which chooses pods.
    pub(super) fn of_hub(data: &Path) -> Standing {
        Standing {
            path: data.join(OF_HUB),
            keys: &TARGETS,
            fault: |config| targets(config).err(),
            without: "everything is captured until it is corrected, as far as the workers' own filter lets it pass",
        }
    }

    /// A worker's, which is told of pods and has a capture filter of its own.
    pub(super) fn of_worker(data: &Path) -> Standing {
        Standing {
            path: data.join("filter.json"),
            keys: &["tap.bpfOverride"],
            fault: |config| {
                let interface = config.text("tap.interface");
                refusal(config.text("tap.bpfOverride"), interface)
            },
            without: "this node captures without a filter of its own until it is corrected",
        }
    }

    /// Replaces targets that cannot be used by those that were in force last, or by none, and says so.
    pub(super) fn mend(&self, config: &mut Config) -> Instead {
        let Some(sentence) = (self.fault)(config) else {
            return Instead::Theirs;
        };
        if let Some(last) = self.last()
            && let mut mended = config.clone()
            && self.put(&mut mended, &last)
            && (self.fault)(&mended).is_none()
        {
            *config = mended;
            let last = self.words(&last);
            say(&format!(
                "{sentence}; what was in force last stays until it is corrected: {last}"
            ));
            return Instead::Last;
        }
        let none = Config::of_defaults(&super::super::Global::default());
        if let Ok(none) = none {
            self.put(config, &self.of(&none));
        }
        say(&format!("{sentence}; {}", self.without));
        Instead::None
    }

    /// Keeps the targets of a configuration for the next start, when they can be used.
    pub(super) fn keep(&self, config: &Config) {
        let now = self.of(config);
        if (self.fault)(config).is_some() || self.last().as_ref() == Some(&now) {
            return;
        }
        if let Err(error) = write_whole(&self.path, json!(now).to_string().as_bytes()) {
            tracing::warn!(%error, "the targets are not kept for the next start");
        }
    }

    fn of(&self, config: &Config) -> Map<String, Json> {
        let values = self
            .keys
            .iter()
            .map(|key| ((*key).to_owned(), config.any(key)));
        values.collect()
    }

    fn last(&self) -> Option<Map<String, Json>> {
        let read = read_capped(&self.path, MAX_FILE).ok()?;
        serde_json::from_slice(&read).ok()
    }

    /// Writes values over the configuration; false when they are not of its types.
    fn put(&self, config: &mut Config, values: &Map<String, Json>) -> bool {
        let is_same_kind =
            |one: &Json, other: &Json| std::mem::discriminant(one) == std::mem::discriminant(other);
        self.keys.iter().all(|key| match values.get(*key) {
            Some(value) if is_same_kind(value, &config.any(key)) => {
                config.flag(key, "last", value.clone());
                true
            }
            _ => false,
        })
    }

    /// The values that are no default, for people.
    fn words(&self, values: &Map<String, Json>) -> String {
        let is_set = |value: &Json| ![json!(""), json!(".*"), json!([])].contains(value);
        let words = values.iter().filter(|(_, value)| is_set(value));
        let words: Vec<String> = words
            .map(|(key, value)| format!("{key}: {value}"))
            .collect();
        match words.is_empty() {
            true => "no targets".to_owned(),
            false => words.join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Global;

    fn config(yaml: &str) -> Config {
        let mut config = Config::of_defaults(&Global::default()).unwrap();
        config.read_yaml(yaml, Path::new("x")).unwrap();
        config
    }

    #[test]
    fn targets_that_cannot_be_used_leave_the_last_ones_in_force_and_else_none() {
        let data = tempfile::tempdir().unwrap();
        let standing = Standing::of_hub(data.path());
        let bad = "tap: {regex: 'cart(', namespaces: [shop], labelSelector: app=cart}";
        let mut now = config(bad);
        assert_eq!(standing.mend(&mut now), Instead::None);
        assert_eq!(
            (now.text("tap.labelSelector"), now.list("tap.namespaces")),
            ("", vec![])
        );
        assert!(targets(&now).unwrap().is_all());
        // What cannot be used is not kept.
        standing.keep(&config(bad));
        assert_eq!(standing.last(), None);
        let mut good = config("tap: {regex: ^pay, namespaces: [web], labelselector: app=pay}");
        assert_eq!(standing.mend(&mut good), Instead::Theirs);
        standing.keep(&good);
        for wrong in [
            bad,
            "tap: {labelSelector: 'a b c'}",
            "tap: {namespaceSelector: '!!'}",
        ] {
            let mut now = config(wrong);
            assert_eq!(standing.mend(&mut now), Instead::Last, "{wrong}");
            assert_eq!(now.text("tap.regex"), "^pay");
            assert_eq!(now.text("tap.labelSelector"), "app=pay");
            assert_eq!(now.list("tap.namespaces"), ["web"]);
        }
        for broken in ["{", "[]", "{}", r#"{"tap.regex": 7}"#] {
            std::fs::write(&standing.path, broken).unwrap();
            assert_eq!(standing.mend(&mut config(bad)), Instead::None, "{broken}");
        }
    }

    #[cfg(feature = "live")]
    #[test]
    fn a_capture_filter_that_is_none_leaves_the_last_one_in_force() {
        let data = tempfile::tempdir().unwrap();
        let (worker, hub) = (
            Standing::of_worker(data.path()),
            Standing::of_hub(data.path()),
        );
        let bad = "tap: {bpfOverride: 'port ('}";
        let mended = |standing: &Standing, instead: Instead| {
            let mut now = config(bad);
            assert_eq!(standing.mend(&mut now), instead);
            now.text("tap.bpfOverride").to_owned()
        };
        assert_eq!(mended(&worker, Instead::None), "");
        worker.keep(&config("tap: {bpfOverride: udp port 53, regex: 'cart('}"));
        assert_eq!(mended(&worker, Instead::Last), "udp port 53");
        assert_eq!(mended(&hub, Instead::None), "");
        hub.keep(&config("tap: {bpfOverride: tcp}"));
        assert_eq!(mended(&hub, Instead::Last), "tcp");
        // A filter of the link before is none on another one.
        worker.keep(&config(
            "tap: {interface: eth0, bpfOverride: 'ether host 02:00:00:00:00:01'}",
        ));
        assert_eq!(mended(&worker, Instead::None), "");
    }
}
