//! What scripts see as `env`: values for all, and values for one.
//!
//! In: `scripting.env` and `scripting.envFor`. Out: the names and values of one script. Never: the
//! process environment; a script sees what was meant for it.

use serde_json::{Map, Value as Json};

use super::console::Console;
use super::folder::ScriptFile;

/// The values of `scripting.env` and `scripting.envFor`.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Environment {
    /// For every script.
    pub all: Map<String, Json>,
    /// For one script each, by its title, file name or file stem, letter case aside; each an object
    /// of names and values that go before those for all. `script.NAME` with a plain value, as
    /// `--set` writes it, is one such value.
    pub each: Map<String, Json>,
}

impl Environment {
    /// The same values for every script.
    pub fn of_all(all: Map<String, Json>) -> Environment {
        Environment {
            all,
            each: Map::new(),
        }
    }

    /// What one script sees.
    pub(crate) fn of(&self, file: &ScriptFile) -> Map<String, Json> {
        let mut env = self.all.clone();
        for (name, values) in &self.each {
            match (values.as_object(), name.rsplit_once('.')) {
                (Some(values), _) if is_named(file, name) => env.extend(values.clone()),
                (None, Some((script, name))) if is_named(file, script) => {
                    env.insert(name.to_owned(), values.clone());
                }
                _ => {}
            }
        }
        env
    }

    /// Has the console mask the secrets among all values.
    pub(crate) fn mask(&self, console: &Console) {
        let each = self.each.values().filter_map(Json::as_object).flatten();
        console.mask(self.all.iter().chain(each).chain(&self.each));
    }
}

/// Whether `name` is the script's title, file name or file stem, letter case aside.
pub(crate) fn is_named(file: &ScriptFile, name: &str) -> bool {
    let path = file.path.as_path();
    let of_file = [path.file_name(), path.file_stem()];
    let mut names = of_file
        .into_iter()
        .flatten()
        .map(|part| part.to_string_lossy().to_lowercase())
        .chain([file.title.to_lowercase()]);
    let name = name.trim().to_lowercase();
    names.any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_script_sees_its_own_values_and_no_other_script_does() {
        let map = |value: Json| value.as_object().unwrap().clone();
        let env = Environment {
            all: map(json!({"S3_BUCKET": "b", "REGION": "r"})),
            each: map(json!({
                "alert": {"SLACK_AUTH_TOKEN": "t", "REGION": "own"},
                "Traffic Recording": {"KEY": "k"},
                "dfir.js.FLAT": "f",
            })),
        };
        let file = |path: &str, title: &str| ScriptFile {
            index: 0,
            path: path.into(),
            title: title.into(),
            code: String::new(),
        };
        let alert = env.of(&file("/s/Alert.js", "Alerts"));
        let wanted = json!({"S3_BUCKET": "b", "REGION": "own", "SLACK_AUTH_TOKEN": "t"});
        assert_eq!(Json::Object(alert), wanted);
        let recorder = env.of(&file("/s/dfir.js", "Traffic Recording"));
        let wanted = json!({"S3_BUCKET": "b", "REGION": "r", "KEY": "k", "FLAT": "f"});
        assert_eq!(Json::Object(recorder), wanted);
        assert_eq!(env.of(&file("/s/x.js", "x")), env.all);
    }
}
