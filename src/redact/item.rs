//! Items: the same rule on what was dissected.
//!
//! In: an item as any node. Out: its JSON with named values overwritten. Never: a payload of a
//! protocol that the rule does not know how to read. An index that writes items calls this before
//! anything is sealed.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::body::Kind;
use super::{Payload, Redactor};
use crate::item::Node;
use crate::item::json::AsJson;

/// Parts of an item that hold what was sent.
const PAYLOADS: [&str; 3] = ["request", "response", "data"];

/// What stands in a text for a value that went.
const GONE: &str = "****";

impl Redactor {
    /// The item as JSON, with what the rule names overwritten.
    pub fn item<'a, N: Node<'a>>(&mut self, node: N) -> Json {
        let mut item = serde_json::to_value(AsJson(node)).unwrap_or_default();
        self.json_item(&mut item);
        item
    }

    /// The same on an item that is JSON already.
    pub fn json_item(&mut self, item: &mut Json) {
        if self.rule.is_empty() {
            return;
        }
        let protocol = item
            .pointer("/protocol/name")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned();
        let known = matches!(
            protocol.as_str(),
            "http" | "redis" | "dns" | "icmp" | "tls" | "tcp" | "udp"
        );
        let payload = self.rule.payload;
        let keeps = self.rule.keeps(&protocol);
        for part in PAYLOADS {
            let Some(value) = item.get_mut(part) else {
                continue;
            };
            match payload {
                Payload::None => *value = Json::Null,
                _ if keeps => {}
                _ if !known => *value = Json::Null,
                _ if protocol == "redis" => self.redis(value),
                _ => self.http(value),
            }
        }
        if self.rule.addresses {
            self.addresses(item);
        }
    }

    fn addresses(&mut self, item: &mut Json) {
        for side in ["src", "dst"] {
            let Some(peer) = item.get_mut(side).and_then(Json::as_object_mut) else {
                continue;
            };
            for (name, value) in peer.iter_mut() {
                match (
                    name.as_str(),
                    value.as_str().and_then(|text| text.parse().ok()),
                ) {
                    ("ip", Some(ip)) => *value = self.address(ip).to_string().into(),
                    ("port", _) => {}
                    _ => *value = empty(value),
                }
            }
        }
    }

    fn redis(&self, value: &mut Json) {
        let verb = value
            .get("command")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_ascii_uppercase();
        let secret = ["AUTH", "ACL", "HELLO", "CONFIG", "MIGRATE"].contains(&verb.as_str());
        let Some(members) = value.as_object_mut() else {
            return;
        };
        for (name, member) in members {
            if name == "command" || name == "type" {
                continue;
            }
            if secret || self.rule.payload == Payload::Headers {
                *member = empty(member);
            } else {
                self.in_texts(member);
            }
        }
    }

    /// JSON in any text below.
    fn in_texts(&self, value: &mut Json) {
        match value {
            Json::String(text) if !self.json.is_empty() && text.contains(['{', '[']) => {
                let mut bytes = std::mem::take(text).into_bytes();
                self.in_json(&mut bytes);
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            Json::Array(list) => list.iter_mut().for_each(|one| self.in_texts(one)),
            Json::Object(members) => members.values_mut().for_each(|one| self.in_texts(one)),
            _ => {}
        }
    }

    fn http(&self, value: &mut Json) {
        let Some(message) = value.as_object_mut() else {
            return;
        };
        let mut kind = Kind::default();
        if let Some(headers) = message.get("headers").and_then(Json::as_object) {
            for (name, value) in headers {
                if name.eq_ignore_ascii_case("content-type")
                    && let Some(text) = value.as_str()
                {
                    kind.learn(name.as_bytes(), text.as_bytes());
                }
            }
        }
        for (name, member) in message {
            match name.as_str() {
                "headers" | "trailers" => self.each(member, |name, text| {
                    masked(text, &self.in_header(name.as_bytes(), text.as_bytes()))
                }),
                "cookies" => self.each(member, |name, text| {
                    if self.rule.hides_cookie(name.as_bytes()) {
                        GONE.to_owned()
                    } else {
                        text.to_owned()
                    }
                }),
                "queryString" => self.each(member, |name, text| {
                    if self.rule.hides_parameter(name.as_bytes()) {
                        GONE.to_owned()
                    } else {
                        text.to_owned()
                    }
                }),
                "url" | "targetUri" | "redirectURL" => {
                    if let Json::String(text) = member {
                        *text = masked(text, &self.in_target(text.as_bytes()));
                    }
                }
                "postData" => self.body(member, &kind, false),
                "content" => self.body(member, &kind, true),
                "grpc" if kind.goes_undecoded(self) => {
                    if let Some(messages) = member.get_mut("messages") {
                        *messages = Json::Array(Vec::new());
                    }
                }
                "graphql" | "variables" | "query" => self.in_texts(member),
                _ => {}
            }
        }
    }

    fn body(&self, body: &mut Json, kind: &Kind, coded: bool) {
        let truncated = body.get("truncated").and_then(Json::as_bool) == Some(true);
        let Some(Json::String(text)) = body.get_mut("text") else {
            return;
        };
        let unpacked = if coded {
            STANDARD.decode(text.as_bytes()).ok()
        } else {
            None
        };
        let packed = unpacked.is_some();
        let mut bytes = unpacked.unwrap_or_else(|| text.clone().into_bytes());
        if truncated && kind.goes_undecoded(self) {
            bytes.fill(b'*');
        } else {
            self.in_body(kind, &mut bytes);
        }
        *text = match packed {
            true => STANDARD.encode(&bytes),
            false => String::from_utf8_lossy(&bytes).into_owned(),
        };
    }

    /// Changes each text below a map of names.
    fn each(&self, map: &mut Json, change: impl Fn(&str, &str) -> String) {
        let Some(members) = map.as_object_mut() else {
            return;
        };
        for (name, value) in members {
            match value {
                Json::String(text) => *text = change(name, text),
                Json::Array(list) => {
                    for one in list {
                        if let Json::String(text) = one {
                            *text = change(name, text);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn empty(value: &Json) -> Json {
    match value {
        Json::String(text) if text.is_empty() => Json::String(String::new()),
        Json::String(_) => GONE.into(),
        Json::Array(_) => Json::Array(Vec::new()),
        Json::Object(_) => Json::Object(serde_json::Map::new()),
        other => other.clone(),
    }
}

fn masked(text: &str, parts: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for part in parts {
        if let Some(part) = bytes.get_mut(part.clone()) {
            part.fill(b'*');
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
