//! Values of the command line: `--set` and `--set-json`.
//!
//! In: `key=value`, several joined by commas, `{a,b}`, `key[0]=`, names below maps by dots. Out: values
//! over those of the file. Never: an unknown key that passes without a word.

use serde_json::{Map, Value as Json};

use super::super::Global;
use super::super::exit::Failure;
use super::keys::{ConfigKey, KEYS, KeyType};
use super::typed::{fit, parse_text};
use super::{Came, Config, find, is_below, unknown};

impl Config {
    /// Takes what `--set` and `--set-json` say.
    pub(super) fn set(&mut self, global: &Global) -> Result<(), Failure> {
        self.set_texts(&global.set, global.set_lenient)?;
        for setting in &global.set_json {
            self.set_json(setting, global.set_lenient)?;
        }
        Ok(())
    }

    /// Takes all `--set` arguments together: a list gets all values that its key is given, anything
    /// else the last one.
    fn set_texts(&mut self, arguments: &[String], lenient: bool) -> Result<(), Failure> {
        let mut seen: Vec<(String, Vec<String>)> = Vec::new();
        for argument in arguments {
            let mut before: Option<(String, String)> = None;
            for part in split_commas(argument) {
                let Some((name, value)) = part.split_once('=') else {
                    self.warnings.push(no_value(&part, before.as_ref()));
                    continue;
                };
                let name = name.split('[').next().unwrap_or(name).to_owned();
                if name.is_empty() {
                    return Err(Failure::usage(format!(
                        "--set {part} has no key before the ="
                    )));
                }
                before = Some((name.clone(), value.to_owned()));
                match seen.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, values)) => values.push(value.to_owned()),
                    None => seen.push((name, vec![value.to_owned()])),
                }
            }
        }
        for (name, values) in seen {
            self.set_values(&name, &values, lenient)?;
        }
        Ok(())
    }

    fn set_values(&mut self, name: &str, values: &[String], lenient: bool) -> Result<(), Failure> {
        let Some(last) = values.last() else {
            return Ok(());
        };
        let key = find(name);
        let is_list = key.is_some_and(|key| key.kind == KeyType::List);
        if !is_list && values.iter().any(|value| value != last) {
            self.warnings.push(format!(
                "--set {name} is given {} times; the last one counts, {last}",
                values.len()
            ));
        }
        if let Some(key) = key {
            let value = match is_list {
                true => {
                    let each = values.iter().flat_map(|value| match braces(value) {
                        Some(list) => list,
                        None => vec![value.clone()],
                    });
                    Some(each.map(Json::String).collect())
                }
                false => parse_text(key.kind, last),
            };
            return self.take(key, value, Came::Set, "--set", last);
        }
        // A name below a map, as scripting.env.RECORDING_KFL.
        let map = KEYS.iter().find(|key| {
            (key.kind.has_names() || key.kind == KeyType::Any) && is_below(name, key.path)
        });
        if let Some(key) = map {
            let (path, value) = below(key, &name[key.path.len() + 1..], last);
            let entry = self
                .values
                .get_mut(key.path)
                .expect("every key has a value");
            put(&mut entry.0, &path, value);
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
    fn set_json(&mut self, argument: &str, lenient: bool) -> Result<(), Failure> {
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
        self.take(key, fit(key, &value), Came::Set, "--set-json", text)
    }
}

/// What is said of a part without `=`; behind a value of a list it is meant to be the next one.
fn no_value(part: &str, before: Option<&(String, String)>) -> String {
    let list = before.filter(|(name, _)| find(name).is_some_and(|key| key.kind == KeyType::List));
    match list {
        Some((name, value)) => format!(
            "--set {part} has no = and is ignored; write several values as {name}={{{value},{part}}}"
        ),
        None => format!("--set {part} has no = and is ignored"),
    }
}

/// The names of a path below a map, and the value, in the form that the map has.
fn below(key: &ConfigKey, path: &str, text: &str) -> (Vec<String>, Json) {
    let own = || Json::String(text.to_owned());
    match key.kind {
        // Names of the user's own have dots in them, as those of annotations.
        KeyType::Map => (vec![path.replace("\\.", ".")], own()),
        KeyType::Maps => {
            let names = match path.rsplit_once('.') {
                Some((title, name)) => vec![title.replace("\\.", "."), name.to_owned()],
                None => vec![path.to_owned()],
            };
            (names, own())
        }
        _ => (names(path), guessed(text)),
    }
}

/// The names of a path; `\.` is a dot in a name.
fn names(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        let last = names.last_mut().expect("there is always one name");
        match c {
            '\\' if chars.peek() == Some(&'.') => last.extend(chars.next()),
            '.' => names.push(String::new()),
            _ => last.push(c),
        }
    }
    names
}

/// The value that a text is in YAML: true or false, a whole number, `{a,b}`, else text.
fn guessed(text: &str) -> Json {
    if let Some(list) = braces(text) {
        return list.iter().map(|text| guessed(text)).collect();
    }
    match text {
        "true" => Json::Bool(true),
        "false" => Json::Bool(false),
        text => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Json::from(number),
            _ => Json::String(text.to_owned()),
        },
    }
}

/// The parts of `{a,b}`.
fn braces(text: &str) -> Option<Vec<String>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let parts = inner.split(',').map(str::trim);
    Some(
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

/// Puts a value at a path in a tree; names that are there match without regard to case.
fn put(tree: &mut Json, path: &[String], value: Json) {
    let Some((first, rest)) = path.split_first() else {
        *tree = value;
        return;
    };
    if !tree.is_object() {
        *tree = Json::Object(Map::new());
    }
    let Json::Object(members) = tree else { return };
    let there = members.keys().find(|name| name.eq_ignore_ascii_case(first));
    let name = there.unwrap_or(first).clone();
    put(members.entry(name).or_insert(Json::Null), rest, value);
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
    use serde_json::json;

    use super::*;

    fn set(arguments: &[&str]) -> Result<Config, Failure> {
        Config::of_defaults(&Global {
            set: arguments.iter().map(|text| (*text).to_owned()).collect(),
            ..Global::default()
        })
    }

    #[test]
    fn lists_maps_and_commas_are_taken() {
        let config = set(&[
            "tap.storageLimit=2Gi,headless=true",
            "tap.namespaces={a,b}",
            "scripting.env.RECORDING_KFL=http and src.name == \"a\\,b\"",
            "scripting.sources[0]=x.js",
            "tap.excludedNamespaces=c",
            "tap.excludedNamespaces=d",
        ])
        .unwrap();
        assert_eq!(config.bytes("tap.storageLimit"), 2 << 30);
        assert!(config.bool("headless"));
        assert_eq!(config.list("tap.namespaces"), ["a", "b"]);
        assert_eq!(config.list("tap.excludedNamespaces"), ["c", "d"]);
        assert_eq!(config.list("scripting.sources"), ["x.js"]);
        assert_eq!(
            config.env_text("RECORDING_KFL").as_deref(),
            Some("http and src.name == \"a,b\"")
        );
        assert_eq!(config.warnings, Vec::<String>::new());
        assert!(set(&["tap.storageLimti=1Gi"]).is_err());
        let lenient = Config::of_defaults(&Global {
            set: vec!["tap.storageLimti=1Gi".to_owned()],
            set_lenient: true,
            ..Global::default()
        });
        assert_eq!(lenient.unwrap().warnings.len(), 1);
    }

    #[test]
    fn names_below_a_tree_are_walked_and_read_by_their_type() {
        let config = set(&[
            "tap.resources.worker.limits.cpu=1,tap.resources.worker.limits.memory=1Gi",
            "tap.ingress.enabled=true",
            "tap.ingress.auth.approveddomains={example.org,example.com}",
            "tap.snapshots.cloud.provider=s3",
            "tap.portMapping.redis={6379,6380}",
            "tap.nodeSelectorTerms.workers={}",
            "tap.annotations.eks\\.amazonaws\\.com/role-arn=arn",
            "tap.labels.app.kubernetes.io/part-of=7",
            "scripting.envFor.alert.js.SLACK_AUTH_TOKEN=12",
        ])
        .unwrap();
        let wanted = [
            (
                "tap.resources",
                json!({"worker": {"limits": {"cpu": 1, "memory": "1Gi"}}}),
            ),
            (
                "tap.ingress",
                json!({"enabled": true, "auth": {"approveddomains": ["example.org", "example.com"]}}),
            ),
            ("tap.snapshots", json!({"cloud": {"provider": "s3"}})),
            ("tap.portMapping", json!({"redis": [6379, 6380]})),
            ("tap.nodeSelectorTerms", json!({"workers": []})),
            (
                "tap.annotations",
                json!({"eks.amazonaws.com/role-arn": "arn"}),
            ),
            ("tap.labels", json!({"app.kubernetes.io/part-of": "7"})),
            (
                "scripting.envFor",
                json!({"alert.js": {"SLACK_AUTH_TOKEN": "12"}}),
            ),
        ];
        for (key, wanted) in wanted {
            assert_eq!(config.any(key), wanted, "{key}");
        }
        assert_eq!(config.warnings, Vec::<String>::new());
    }

    #[test]
    fn what_is_hardly_meant_is_said() {
        let warnings = |arguments: &[&str]| set(arguments).unwrap().warnings;
        assert_eq!(
            warnings(&["headless=false", "headless=true"]),
            ["--set headless is given 2 times; the last one counts, true"]
        );
        assert_eq!(
            warnings(&["headless=true,headless=true"]),
            Vec::<String>::new()
        );
        assert_eq!(
            warnings(&["tap.enabledDissectors=http,dns"]),
            [
                "--set dns has no = and is ignored; write several values as tap.enabledDissectors={http,dns}"
            ]
        );
        let message = |argument: &str| set(&[argument]).unwrap_err().message;
        assert_eq!(message("=x"), "--set =x has no key before the =");
        assert_eq!(
            message("tap=x"),
            "--set: tap is a section; name a key in it, as tap.regex; --set-lenient lets it pass"
        );
        assert!(
            message("scripting.evn.RECORDING_KFL=http").contains("scripting.env.RECORDING_KFL")
        );
        assert_eq!(
            message("tap.storageLimit=lots"),
            "--set: tap.storageLimit must be a size such as 500Mi, not lots"
        );
    }
}
