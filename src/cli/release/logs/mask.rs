//! Secrets in texts: known values, and what looks like one.

use std::borrow::Cow;

use regex::Regex;
use serde_json::Value as Json;

use super::super::super::config::Config;
use crate::script::console::is_secret;

/// What stands where a secret stood.
const MASK: &str = "********";

/// Shortest value that is masked wherever it stands: shorter ones would mask ordinary words.
const MIN: usize = 6;

/// What is a secret by its look; the group is what is masked.
const LOOKS: [&str; 6] = [
    // The dashboard's token in an address, and others of that form.
    r"(?i)[?&](?:token|access_token|code|sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token)=([^&\s\x22']+)",
    // What authorises a request.
    r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/=-]{8,})",
    // Keys of AWS.
    r"\b((?:AKIA|ASIA)[A-Z0-9]{16})\b",
    // User and password in an address.
    r"[a-z][a-z0-9+.-]*://([^/\s:@]+:[^/\s@]+)@",
    // A name that says so, as environments and command lines have it.
    r"(?i)\b[A-Z0-9_.-]*(?:SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|CONNECTION_STRING|WEBHOOK|ACCESS_KEY|ACCOUNT_KEY|API_KEY|APIKEY)[A-Z0-9_]*[\x22']?\s*[=:]\s*[\x22']?([^\s\x22',;&}]{4,})",
    // Web tokens.
    r"\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
];

/// A private key, over several lines.
const KEY: &str =
    r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)";

/// What is masked.
pub(super) struct Masks {
    values: Vec<String>,
    looks: Vec<Regex>,
    key: Regex,
}

impl Masks {
    /// The secrets of the configuration, and what looks like one.
    pub(super) fn of(config: &Config) -> Masks {
        let mut values = Vec::new();
        for (key, value, _) in config.all() {
            let name = key.path.rsplit('.').next().unwrap_or_default();
            secrets(name, value, &mut values);
        }
        secrets("env", &Json::Object(config.env()), &mut values);
        secrets("envFor", &Json::Object(config.env_for()), &mut values);
        // Of two that hold one another the longer one first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        let read = |pattern: &str| Regex::new(pattern).expect("the patterns are constant");
        Masks {
            values,
            looks: LOOKS.iter().map(|pattern| read(pattern)).collect(),
            key: read(KEY),
        }
    }

    /// `text` with a mask for each secret in it.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut text: Cow<'_, str> = self.key.replace_all(text, MASK);
        for value in &self.values {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), MASK).into();
            }
        }
        for look in &self.looks {
            let found: Vec<_> = look
                .captures_iter(&text)
                .filter_map(|found| Some(found.get(1)?.range()))
                .collect();
            if found.is_empty() {
                continue;
            }
            let mut masked = String::with_capacity(text.len());
            let mut at = 0;
            for range in found {
                masked.push_str(text.get(at..range.start).unwrap_or_default());
                masked.push_str(MASK);
                at = range.end;
            }
            masked.push_str(text.get(at..).unwrap_or_default());
            text = masked.into();
        }
        text.into_owned()
    }
}

/// Texts in `value` that are secrets: below a secret name all of them.
fn secrets(name: &str, value: &Json, into: &mut Vec<String>) {
    match value {
        Json::Object(members) => {
            for (below, value) in members {
                let below = if is_secret(name) { name } else { below };
                secrets(below, value, into);
            }
        }
        Json::Array(list) => list.iter().for_each(|value| secrets(name, value, into)),
        Json::String(text) if is_secret(name) && text.len() >= MIN => into.push(text.clone()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::Global;
    use super::super::super::super::config::Surroundings;
    use super::*;

    fn masks(yaml: &str) -> Masks {
        let mut config = Config::load(&Global::default(), &Surroundings::default()).unwrap();
        config
            .read_yaml(yaml, std::path::Path::new("config.yaml"))
            .unwrap();
        Masks::of(&config)
    }

    #[test]
    fn values_of_secret_names_are_masked_wherever_they_stand() {
        let masks = masks(
            "
scripting:
  env: {AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMI/K7MDENG, AWS_REGION: eu-west-1}
  envFor: {alert: {SLACK_WEBHOOK: 'https://hooks.example/T0/B0/x1'}}
tap: {dashboard: {tokens: {view: sesame-open-sesame}}}
",
        );
        let text = "put wJalrXUtnFEMI/K7MDENG in eu-west-1, sesame-open-sesame and https://hooks.example/T0/B0/x1";
        assert_eq!(
            masks.mask(text),
            format!("put {MASK} in eu-west-1, {MASK} and {MASK}")
        );
    }

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        let masks = masks("{}");
        let cases = [
            (
                "http://127.0.0.1:8899/?token=abc-DEF_123&q=http",
                "http://127.0.0.1:8899/?token=********&q=http",
            ),
            (
                "Authorization: Bearer eyJhbGciOi.x.y",
                "Authorization: Bearer ********",
            ),
            ("key AKIAIOSFODNN7EXAMPLE refused", "key ******** refused"),
            (
                "GET https://me:hunter22@example.org/x",
                "GET https://********@example.org/x",
            ),
            (
                "AZURE_ACCOUNT_KEY=Eby8vdM02xNOcqFlqUw== set",
                "AZURE_ACCOUNT_KEY=******** set",
            ),
            (
                r#"{"client_secret": "hunter22", "a": 1}"#,
                r#"{"client_secret": "********", "a": 1}"#,
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\nrest",
                "********\nrest",
            ),
            ("RECORDING_KFL=http and dns", "RECORDING_KFL=http and dns"),
            ("12 packets of node-a", "12 packets of node-a"),
        ];
        for (text, masked) in cases {
            assert_eq!(masks.mask(text), masked);
        }
    }
}
