//! What is to be overwritten, as a recording says it.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::json::Path;
use crate::dissect;

/// Entries of one list of a rule.
const MAX_ENTRIES: usize = 256;

/// What is kept of payloads.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// All that no list of the rule names.
    #[default]
    Full,
    /// Heads of messages; bodies are overwritten.
    Headers,
    /// Nothing behind the transport header.
    None,
}

/// What is overwritten before anything is sealed.
///
/// ```text
/// redact: credentials                      the well-known names of secrets
/// redact:
///   credentials: true
///   headers: [x-api-key]                   whole values; "*" is all
///   cookies: [session]
///   query: [token]                         parameters of URLs and of forms
///   json: [password, $.card.number]        members of bodies; a bare name is one at any depth
///   addresses: true                        addresses get stand-ins, names of hosts go
///   keep: [postgresql]                     protocols that are left as they are
/// ```
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Names of header fields, lower case.
    pub headers: Vec<String>,
    /// Names of cookies.
    pub cookies: Vec<String>,
    /// Paths in JSON bodies.
    pub json: Vec<String>,
    /// Names of query parameters and form fields.
    pub query: Vec<String>,
    /// Whether IP addresses get stand-ins.
    pub addresses: bool,
    /// Protocols that are left as they are.
    pub keep: Vec<String>,
    /// What is kept of payloads.
    pub payload: Payload,
}

/// Header fields that carry credentials.
const SECRET_HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "x-csrf-token",
    "x-vault-token",
    "apikey",
    "authentication-info",
];

/// Parameters and members that carry credentials.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "api_key",
    "apikey",
    "client_secret",
    "private_key",
    "authorization",
];

/// Header fields that tell addresses.
pub(super) const ADDRESS_HEADERS: &[&str] = &[
    "x-forwarded-for",
    "x-real-ip",
    "forwarded",
    "true-client-ip",
    "cf-connecting-ip",
    "x-client-ip",
    "via",
    "host",
    ":authority",
];

impl Rule {
    /// Whether nothing is overwritten.
    pub fn is_empty(&self) -> bool {
        let lists = [&self.headers, &self.cookies, &self.json, &self.query];
        lists.iter().all(|list| list.is_empty()) && !self.addresses && self.payload == Payload::Full
    }

    /// Reads a rule: `credentials`, or an object with the fields above.
    ///
    /// # Errors
    /// One sentence that names what is wrong.
    pub fn parse(json: &Json) -> Result<Rule, String> {
        let mut rule = Rule::default();
        let fields = match json {
            Json::Null | Json::Bool(false) => return Ok(rule),
            Json::Bool(true) => {
                rule.add_credentials();
                return Ok(rule);
            }
            Json::String(text) if text == "credentials" => {
                rule.add_credentials();
                return Ok(rule);
            }
            Json::Object(fields) => fields,
            other => {
                return Err(format!(
                    "redact must be credentials or name headers, cookies, query, json, addresses or keep, not {other}"
                ));
            }
        };
        for (name, value) in fields {
            match name.to_ascii_lowercase().as_str() {
                "credentials" => {
                    if flag(name, value)? {
                        rule.add_credentials();
                    }
                }
                "headers" => rule.headers.extend(lower(list(name, value)?)),
                "cookies" => rule.cookies.extend(list(name, value)?),
                "query" => rule.query.extend(list(name, value)?),
                "json" => rule.json.extend(list(name, value)?),
                "addresses" => rule.addresses = flag(name, value)?,
                "keep" => rule.keep.extend(lower(list(name, value)?)),
                _ => {
                    return Err(format!(
                        "redact.{name} is not known; there are credentials, headers, cookies, query, json, addresses and keep"
                    ));
                }
            }
        }
        for path in &rule.json {
            Path::parse(path).map_err(|why| format!("redact.json: {path}: {why}"))?;
        }
        let keep: Vec<&str> = rule.keep.iter().map(String::as_str).collect();
        let (_, unknown) = dissect::enabled(&keep);
        if let Some(name) = unknown.first() {
            return Err(format!(
                "redact.keep: {name} is no protocol; use a name of tap.enabledDissectors"
            ));
        }
        Ok(rule)
    }

    fn add_credentials(&mut self) {
        let all = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        self.headers.extend(all(SECRET_HEADERS));
        self.cookies.push("*".to_owned());
        self.query.extend(all(SECRET_NAMES));
        self.json.extend(all(SECRET_NAMES));
    }

    /// Whether the value of this header field goes as a whole; `name` in any case.
    pub(super) fn hides_header(&self, name: &[u8]) -> bool {
        let named = |list: &[String]| list.iter().any(|known| is(known, name));
        named(&self.headers)
            || (self.addresses
                && ADDRESS_HEADERS
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
    }

    /// Whether the value of this cookie goes.
    pub(super) fn hides_cookie(&self, name: &[u8]) -> bool {
        self.cookies.iter().any(|known| is(known, name))
    }

    /// Whether the value of this parameter goes.
    pub(super) fn hides_parameter(&self, name: &[u8]) -> bool {
        self.query.iter().any(|known| is(known, name))
    }

    /// Whether bodies must be looked into.
    pub(super) fn reads_bodies(&self) -> bool {
        !self.json.is_empty() || !self.query.is_empty()
    }

    /// Whether streams of this protocol are left as they are.
    pub(super) fn keeps(&self, protocol: &str) -> bool {
        self.payload == Payload::Full
            && self.keep.iter().any(|kept| {
                let known = dissect::PROTOCOLS.iter().find(|one| one.name() == protocol);
                kept == protocol
                    || known.is_some_and(|one| {
                        one.enabled_by().eq_ignore_ascii_case(kept)
                            || one
                                .aliases()
                                .iter()
                                .any(|name| name.eq_ignore_ascii_case(kept))
                    })
            })
    }
}

fn is(known: &str, name: &[u8]) -> bool {
    known == "*" || name.eq_ignore_ascii_case(known.as_bytes())
}

fn flag(name: &str, value: &Json) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("redact.{name} must be true or false"))
}

fn list(name: &str, value: &Json) -> Result<Vec<String>, String> {
    let wrong = || format!("redact.{name} must be a list of names");
    let list: Vec<String> = match value {
        Json::String(one) => vec![one.clone()],
        Json::Array(list) => {
            let texts = list.iter().map(|one| one.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    match list.len() > MAX_ENTRIES || list.iter().any(String::is_empty) {
        true => Err(wrong()),
        false => Ok(list),
    }
}

fn lower(list: Vec<String>) -> impl Iterator<Item = String> {
    list.into_iter().map(|name| name.to_ascii_lowercase())
}
