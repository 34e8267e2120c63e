//! What follows from other members of an item is null in the JSON of its index, and comes back when
//! it is read.
//!
//! A dissector shows the target of a request as `url`, `targetUri`, `path`, `pathSegments` and
//! `queryString`; compressed, each repetition still costs some bytes a row, which together are half
//! of an index. Nothing is folded on trust: what does not come back equal stays as it is.

use serde_json::{Map, Value, json};

/// Values of a row's columns that stand for members of its JSON.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) method: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    /// What follows the question mark of the URL.
    pub(super) query: Option<&'a str>,
    pub(super) status: Option<i64>,
}

/// Gives the value of a member from the others.
type Derive = fn(&Value, &Held<'_>) -> Option<Value>;

/// Parts of the item, paths in them, and what they follow from, each perhaps from those above it.
const RULES: &[(&str, &str, Derive)] = &[
    ("request", "/method", |_, held| held.method.map(Value::from)),
    ("request", "/path", |_, held| held.path.map(Value::from)),
    ("request", "/url", |_, held| {
        let path = held.path?;
        Some(match held.query {
            Some(query) => format!("{path}?{query}").into(),
            None => path.into(),
        })
    }),
    ("request", "/targetUri", |part, _| part.get("url").cloned()),
    ("request", "/pathSegments", |_, held| {
        let segments = held.path?.split('/').filter(|part| !part.is_empty());
        Some(segments.collect::<Vec<_>>().into())
    }),
    ("request", "/queryString", |_, held| {
        let mut members = Map::new();
        for pair in held.query.unwrap_or_default().split('&') {
            if let Some((name, value)) = pair.split_once('=') {
                members.insert(name.to_owned(), value.into());
            }
        }
        held.path.map(|_| members.into())
    }),
    ("request", "/bodySize", length),
    ("response", "/status", |_, held| {
        held.status.map(Value::from)
    }),
    ("response", "/content/size", length),
    ("response", "/bodySize", |part, _| {
        part.pointer("/content/size").cloned()
    }),
    ("response", "/content/mimeType", |part, _| {
        part.pointer("/headers/Content-Type").cloned()
    }),
];

fn length(part: &Value, _: &Held<'_>) -> Option<Value> {
    let text = part.pointer("/headers/Content-Length")?.as_str()?;
    text.parse::<u64>().ok().map(|length| json!(length))
}

fn rules(part: &str) -> impl Iterator<Item = &'static (&'static str, &'static str, Derive)> {
    RULES.iter().filter(move |(of, _, _)| *of == part)
}

/// Whether a member of a part may follow from others, as a question calls it.
pub(super) fn may_follow(part: &str, member: &str) -> bool {
    rules(part).any(|(_, path, _)| {
        let first = path.split('/').nth(1);
        first.is_some_and(|first| first.eq_ignore_ascii_case(member))
    })
}

/// Folds a part of an item; `None` when not even leaving it as it is would bring it back.
pub(super) fn fold(name: &str, part: &Value, held: &Held<'_>) -> Option<Value> {
    let mut folded = part.clone();
    for (_, path, _) in rules(name) {
        if let Some(member) = folded.pointer_mut(path) {
            *member = Value::Null;
        }
    }
    // What one rule gets wrong may be what another needs.
    for _ in 0..3 {
        let mut back = folded.clone();
        unfold(name, &mut back, held);
        if back == *part {
            return Some(folded);
        }
        for (_, path, _) in rules(name) {
            if back.pointer(path) != part.pointer(path)
                && let (Some(member), Some(value)) = (folded.pointer_mut(path), part.pointer(path))
            {
                *member = value.clone();
            }
        }
    }
    None
}

/// Brings back what was folded.
pub(super) fn unfold(name: &str, part: &mut Value, held: &Held<'_>) {
    for (_, path, derive) in rules(name) {
        if part.pointer(path).is_some_and(Value::is_null)
            && let Some(value) = derive(part, held)
            && let Some(member) = part.pointer_mut(path)
        {
            *member = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_other_members_is_left_out_and_comes_back() {
        let part = json!({
            "method": "GET", "url": "/a/b?x=1&y=2", "targetUri": "/a/b?x=1&y=2", "path": "/a/b",
            "pathSegments": ["a", "b"], "queryString": {"x": "1", "y": "2"}, "bodySize": 0,
        });
        let held = Held {
            method: Some("GET"),
            path: Some("/a/b"),
            query: Some("x=1&y=2"),
            status: None,
        };
        let folded = fold("request", &part, &held).unwrap();
        let kept = folded.as_object().unwrap();
        let left: Vec<_> = kept.iter().filter(|(_, value)| !value.is_null()).collect();
        assert_eq!(left.len(), 1, "{folded}");
        let mut back = folded.clone();
        unfold("request", &mut back, &held);
        assert_eq!(back, part);
    }

    #[test]
    fn what_does_not_follow_stays() {
        let held = Held {
            path: Some("/a%20b"),
            query: Some("x=%31"),
            ..Held::default()
        };
        let part = json!({
            "url": "http://other/", "targetUri": "x", "path": "/a%20b",
            "pathSegments": ["a b"], "queryString": {"x": "1"},
        });
        let folded = fold("request", &part, &held).unwrap();
        assert_eq!(folded["path"], Value::Null);
        let mut back = folded;
        unfold("request", &mut back, &held);
        assert_eq!(back, part);
        // A null that would come back as something else cannot be kept.
        let held = Held {
            method: Some("GET"),
            ..held
        };
        assert_eq!(fold("request", &json!({"method": null}), &held), None);
    }
}
