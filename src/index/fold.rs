//! What follows from other members of an item is null in the JSON of its index, and comes back when
//! it is read.
//!
//! A dissector shows the target of a request as `url`, `targetUri`, `path`, `pathSegments` and
//! `queryString`; compressed, each repetition still costs some bytes a row, which together are half
//! of an index. Nothing is folded on trust: what does not come back equal stays as it is.

use serde_json::{Map, Value, json};

use super::ids;

/// Values of a row's columns that stand for members of its JSON.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) method: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    /// What follows the question mark of the URL.
    pub(super) query: Option<&'a str>,
    pub(super) status: Option<i64>,
    pub(super) trace: Option<&'a str>,
    pub(super) span: Option<&'a str>,
    pub(super) flags: Option<&'a str>,
    pub(super) request_id: Option<&'a str>,
}

/// A member of a part.
enum Member {
    /// The one that a JSON pointer (RFC 6901) names.
    At(&'static str),
    /// The first of these headers that is there, in any case.
    Header(&'static [&'static str]),
}

/// Gives the value of a member from the others.
type Derive = fn(&Value, &Held<'_>) -> Option<Value>;

use Member::{At, Header};

/// Parts of the item, members of them, and what those follow from, each perhaps from those above it.
const RULES: &[(&str, Member, Derive)] = &[
    ("request", At("/method"), |_, held| {
        held.method.map(Value::from)
    }),
    ("request", At("/path"), |_, held| held.path.map(Value::from)),
    ("request", At("/url"), |_, held| {
        let path = held.path?;
        Some(match held.query {
            Some(query) => format!("{path}?{query}").into(),
            None => path.into(),
        })
    }),
    ("request", At("/targetUri"), |part, _| {
        part.get("url").cloned()
    }),
    ("request", At("/pathSegments"), |_, held| {
        let segments = held.path?.split('/').filter(|part| !part.is_empty());
        Some(segments.collect::<Vec<_>>().into())
    }),
    ("request", At("/queryString"), |_, held| {
        let mut members = Map::new();
        for pair in held.query.unwrap_or_default().split('&') {
            if let Some((name, value)) = pair.split_once('=') {
                members.insert(name.to_owned(), value.into());
            }
        }
        held.path.map(|_| members.into())
    }),
    ("request", At("/bodySize"), length),
    ("request", Header(&[ids::TRACEPARENT]), |_, held| {
        let (trace, span, flags) = (held.trace?, held.span?, held.flags?);
        Some(format!("00-{trace}-{span}-{flags}").into())
    }),
    ("request", Header(&[ids::B3_TRACE]), |_, held| {
        held.trace.map(Value::from)
    }),
    ("request", Header(&[ids::B3_SPAN]), |_, held| {
        held.span.map(Value::from)
    }),
    ("request", Header(ids::REQUEST), |_, held| {
        held.request_id.map(Value::from)
    }),
    ("response", At("/status"), |_, held| {
        held.status.map(Value::from)
    }),
    ("response", At("/content/size"), length),
    ("response", At("/bodySize"), |part, _| {
        part.pointer("/content/size").cloned()
    }),
    ("response", At("/content/mimeType"), |part, _| {
        part.pointer("/headers/Content-Type").cloned()
    }),
];

fn length(part: &Value, _: &Held<'_>) -> Option<Value> {
    let text = part.pointer("/headers/Content-Length")?.as_str()?;
    text.parse::<u64>().ok().map(|length| json!(length))
}

impl Member {
    fn of<'v>(&self, part: &'v Value) -> Option<&'v Value> {
        match self {
            At(path) => part.pointer(path),
            Header(names) => {
                let headers = part.get("headers")?.as_object()?;
                names.iter().find_map(|name| {
                    let mut headers = headers.iter();
                    headers
                        .find(|(key, _)| key.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value)
                })
            }
        }
    }

    fn of_mut<'v>(&self, part: &'v mut Value) -> Option<&'v mut Value> {
        match self {
            At(path) => part.pointer_mut(path),
            Header(names) => {
                let headers = part.get_mut("headers")?.as_object_mut()?;
                let key = names.iter().find_map(|name| {
                    let mut keys = headers.keys();
                    keys.find(|key| key.eq_ignore_ascii_case(name)).cloned()
                })?;
                headers.get_mut(&key)
            }
        }
    }
}

fn rules(part: &str) -> impl Iterator<Item = &'static (&'static str, Member, Derive)> {
    RULES.iter().filter(move |(of, _, _)| *of == part)
}

/// Whether a member of a part may follow from others, as a question calls it; headers may, each by
/// itself ([`header`]).
pub(super) fn may_follow(part: &str, member: &str) -> bool {
    rules(part).any(|(_, rule, _)| match rule {
        At(path) => {
            let first = path.split('/').nth(1);
            first.is_some_and(|first| first.eq_ignore_ascii_case(member))
        }
        Header(_) => false,
    })
}

/// The text of a header that was folded.
pub(super) fn header(part: &str, name: &str, held: &Held<'_>) -> Option<String> {
    rules(part).find_map(|(_, member, derive)| match member {
        Header(names) if names.iter().any(|one| one.eq_ignore_ascii_case(name)) => {
            derive(&Value::Null, held)?.as_str().map(str::to_owned)
        }
        _ => None,
    })
}

/// Folds a part of an item; `None` when not even leaving it as it is would bring it back.
pub(super) fn fold(name: &str, part: &Value, held: &Held<'_>) -> Option<Value> {
    let mut folded = part.clone();
    for (_, member, derive) in rules(name) {
        // What nothing tells of is left as it is at once.
        if derive(part, held).is_some()
            && let Some(value) = member.of_mut(&mut folded)
        {
            *value = Value::Null;
        }
    }
    // What one rule gets wrong may be what another needs.
    for _ in 0..3 {
        let mut back = folded.clone();
        unfold(name, &mut back, held);
        if back == *part {
            return Some(folded);
        }
        for (_, member, _) in rules(name) {
            if member.of(&back) != member.of(part)
                && let (Some(kept), Some(value)) = (member.of_mut(&mut folded), member.of(part))
            {
                *kept = value.clone();
            }
        }
    }
    None
}

/// Brings back what was folded.
pub(super) fn unfold(name: &str, part: &mut Value, held: &Held<'_>) {
    for (_, member, derive) in rules(name) {
        if member.of(part).is_some_and(Value::is_null)
            && let Some(value) = derive(part, held)
            && let Some(folded) = member.of_mut(part)
        {
            *folded = value;
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
            ..Held::default()
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

    #[test]
    fn identifiers_are_in_their_columns_alone() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let held = Held {
            trace: Some(trace),
            span: Some(span),
            flags: Some("01"),
            request_id: Some("7"),
            ..Held::default()
        };
        let part = json!({"headers": {
            "Traceparent": format!("00-{trace}-{span}-01"), "x-b3-traceid": trace,
            "X-B3-SpanId": span, "X-Correlation-Id": "7", "request-id": "7",
        }});
        let folded = fold("request", &part, &held).unwrap();
        // The second id of the request is not what the column holds.
        let kept = json!({"headers": {
            "Traceparent": null, "x-b3-traceid": null, "X-B3-SpanId": null,
            "X-Correlation-Id": null, "request-id": "7",
        }});
        assert_eq!(folded, kept);
        let mut back = folded;
        unfold("request", &mut back, &held);
        assert_eq!(back, part);
        let other = json!({"headers": {"traceparent": "cc-1-2-3", "x-request-id": ["a", "b"]}});
        assert_eq!(fold("request", &other, &held).unwrap(), other);
    }
}
