//! What follows from other members of an item is null in the JSON of its index, and comes back when
//! it is read.
//!
//! A dissector shows the target of a request as `url`, `targetUri`, `path`, `pathSegments` and
//! `queryString`; compressed, each repetition still costs some bytes a row, which together are half
//! of an index. Nothing is folded on trust: what would not come back equal stays as it is.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::ids;
use super::json::kept;
use crate::item::json::{AsJson, JsonNode};
use crate::item::{Kind, Node};

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
    /// The one at the end of these names.
    At(&'static [&'static str]),
    /// The first of these headers that is there, in any case.
    Header(&'static [&'static str]),
}

/// What a member follows from.
#[derive(Clone, Copy)]
enum Origin {
    Method,
    Path,
    /// Path and query.
    Url,
    Segments,
    /// Pairs of the query as they are written there.
    Pairs,
    Status,
    Traceparent,
    Trace,
    Span,
    RequestId,
    /// The header `Content-Length`.
    Length,
    /// The same value in another place.
    Same(&'static [&'static str]),
}

use Member::{At, Header};

const HEADERS: &str = "headers";

/// Parts of the item, members of them, and what those follow from, each perhaps from those above it.
const RULES: &[(&str, Member, Origin)] = &[
    ("request", At(&["method"]), Origin::Method),
    ("request", At(&["path"]), Origin::Path),
    ("request", At(&["url"]), Origin::Url),
    ("request", At(&["targetUri"]), Origin::Same(&["url"])),
    ("request", At(&["pathSegments"]), Origin::Segments),
    ("request", At(&["queryString"]), Origin::Pairs),
    ("request", At(&["bodySize"]), Origin::Length),
    ("request", Header(&[ids::TRACEPARENT]), Origin::Traceparent),
    ("request", Header(&[ids::B3_TRACE]), Origin::Trace),
    ("request", Header(&[ids::B3_SPAN]), Origin::Span),
    ("request", Header(ids::REQUEST), Origin::RequestId),
    ("response", At(&["status"]), Origin::Status),
    ("response", At(&["content", "size"]), Origin::Length),
    (
        "response",
        At(&["bodySize"]),
        Origin::Same(&["content", "size"]),
    ),
    (
        "response",
        At(&["content", "mimeType"]),
        Origin::Same(&[HEADERS, "Content-Type"]),
    ),
];

/// A value that follows from others.
enum Derived<'a, N> {
    Text(Cow<'a, str>),
    Url(&'a str, Option<&'a str>),
    Segments(&'a str),
    Pairs(&'a str),
    Int(i64),
    Same(N),
}

/// The place at the end of `names`.
fn reach<'a, N: Node<'a>>(part: N, names: &[&str]) -> Option<N> {
    names.iter().try_fold(part, |node, name| node.member(name))
}

/// Whether it is null in the JSON of the index.
fn is_null<'a, N: Node<'a>>(node: N) -> bool {
    match node.kind() {
        Kind::Null => true,
        Kind::Text => kept(node).is_none(),
        _ => false,
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

impl Origin {
    /// The value, with what `part` holds.
    fn derive<'a, N: Node<'a>>(self, part: N, held: &Held<'a>) -> Option<Derived<'a, N>> {
        let text = |text: Option<&'a str>| text.map(|text| Derived::Text(text.into()));
        match self {
            Origin::Method => text(held.method),
            Origin::Path => text(held.path),
            Origin::Url => Some(Derived::Url(held.path?, held.query)),
            Origin::Segments => held.path.map(Derived::Segments),
            Origin::Pairs => held
                .path
                .map(|_| Derived::Pairs(held.query.unwrap_or_default())),
            Origin::Status => held.status.map(Derived::Int),
            Origin::Traceparent => {
                let (trace, span, flags) = (held.trace?, held.span?, held.flags?);
                Some(Derived::Text(format!("00-{trace}-{span}-{flags}").into()))
            }
            Origin::Trace => text(held.trace),
            Origin::Span => text(held.span),
            Origin::RequestId => text(held.request_id),
            Origin::Length => {
                let text = kept(reach(part, &[HEADERS, "Content-Length"])?)?;
                text.parse().ok().map(Derived::Int)
            }
            Origin::Same(names) => reach(part, names).map(Derived::Same),
        }
    }
}

impl<'a, N: Node<'a>> Derived<'a, N> {
    fn is_null(&self) -> bool {
        matches!(self, Derived::Same(node) if is_null(*node))
    }

    /// Whether it is what `node` is in the JSON of the index.
    fn is(&self, node: N) -> bool {
        let is = |node: N, wanted: &str| kept(node).is_some_and(|text| text == wanted);
        match self {
            Derived::Text(text) => is(node, text),
            Derived::Url(path, query) => kept(node).is_some_and(|text| {
                let rest = text.strip_prefix(path);
                match (rest, query) {
                    (Some(rest), Some(query)) => rest.strip_prefix('?') == Some(query),
                    (rest, None) => rest == Some(""),
                    (None, _) => false,
                }
            }),
            Derived::Segments(path) => {
                node.kind() == Kind::List
                    && segments(path).count() == node.len()
                    && segments(path)
                        .enumerate()
                        .all(|(index, text)| node.element(index).is_some_and(|one| is(one, text)))
            }
            // A name that comes twice is no pair.
            Derived::Pairs(query) => {
                node.kind() == Kind::Object
                    && pairs(query).count() == node.len()
                    && pairs(query)
                        .all(|(name, text)| node.member(name).is_some_and(|one| is(one, text)))
            }
            Derived::Int(value) => node.kind() == Kind::Int && node.int() == Some(*value),
            Derived::Same(other) => match (node.kind(), other.kind()) {
                (Kind::Text, Kind::Text) => {
                    kept(*other).is_some_and(|text| kept(node).as_ref() == Some(&text))
                }
                (Kind::Int, Kind::Int) => node.int() == other.int(),
                _ => false,
            },
        }
    }

    fn json(&self) -> Value {
        match self {
            Derived::Text(text) => text.as_ref().into(),
            Derived::Url(path, Some(query)) => format!("{path}?{query}").into(),
            Derived::Url(path, None) => (*path).into(),
            Derived::Segments(path) => segments(path).collect::<Vec<_>>().into(),
            Derived::Pairs(query) => pairs(query)
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect::<Map<_, _>>()
                .into(),
            Derived::Int(value) => (*value).into(),
            Derived::Same(node) => serde_json::to_value(AsJson(*node)).unwrap_or_default(),
        }
    }
}

impl Member {
    /// Whether it is the one at the end of `names`; a header is looked for in `part`.
    fn is<'a, N: Node<'a>>(&self, part: N, names: &[&str]) -> bool {
        match self {
            At(path) => *path == names,
            Header(wanted) => match names {
                [HEADERS, name] if wanted.iter().any(|one| one.eq_ignore_ascii_case(name)) => {
                    let headers = part.member(HEADERS);
                    headers
                        .and_then(|headers| first(headers, wanted))
                        .as_deref()
                        == Some(*name)
                }
                _ => false,
            },
        }
    }

    fn of_mut<'v>(&self, part: &'v mut Value) -> Option<&'v mut Value> {
        match self {
            At(names) => names
                .iter()
                .try_fold(part, |value, name| value.as_object_mut()?.get_mut(*name)),
            Header(wanted) => {
                let headers = part.get_mut(HEADERS)?;
                let name = first(JsonNode(headers), wanted)?.into_owned();
                headers.get_mut(&name)
            }
        }
    }
}

/// Name of the first of the wanted headers that is there, in any case.
fn first<'a, N: Node<'a>>(headers: N, wanted: &[&str]) -> Option<Cow<'a, str>> {
    wanted.iter().find_map(|one| {
        let mut names = (0..headers.len()).filter_map(|index| headers.entry(index));
        names
            .find(|(name, _)| name.eq_ignore_ascii_case(one))
            .map(|(name, _)| name)
    })
}

fn rules(part: &str) -> impl Iterator<Item = &'static (&'static str, Member, Origin)> {
    RULES.iter().filter(move |(of, _, _)| *of == part)
}

/// Whether a member of a part may follow from others, as a question calls it; headers may, each by
/// itself ([`header`]).
pub(super) fn may_follow(part: &str, member: &str) -> bool {
    rules(part).any(|(_, rule, _)| match rule {
        At(names) => names
            .first()
            .is_some_and(|first| first.eq_ignore_ascii_case(member)),
        Header(_) => false,
    })
}

/// The text of a header that was folded.
pub(super) fn header(part: &str, name: &str, held: &Held<'_>) -> Option<String> {
    rules(part).find_map(|(_, member, origin)| match member {
        Header(names) if names.iter().any(|one| one.eq_ignore_ascii_case(name)) => {
            let derived = origin.derive(JsonNode(&Value::Null), held)?.json();
            derived.as_str().map(str::to_owned)
        }
        _ => None,
    })
}

/// What becomes of a member in the JSON of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays as it is.
    Stays,
    /// It is null there, and comes back.
    Folded,
    /// It is null by itself and something else when it is read.
    Lost,
}

/// What becomes of `node`, which is at the end of `names`, two at most, in the part called `name`.
pub(super) fn fate<'a, N: Node<'a>>(
    (name, part): (&str, N),
    names: &[&str],
    node: N,
    held: &Held<'a>,
) -> Fate {
    let rule = rules(name).find(|(_, member, _)| member.is(part, names));
    let Some(derived) = rule.and_then(|(_, _, origin)| origin.derive(part, held)) else {
        return Fate::Stays;
    };
    match (derived.is(node), is_null(node)) {
        (true, _) => Fate::Folded,
        (false, true) if !derived.is_null() => Fate::Lost,
        _ => Fate::Stays,
    }
}

/// Brings back what was folded.
pub(super) fn unfold(name: &str, part: &mut Value, held: &Held<'_>) {
    for (_, member, origin) in rules(name) {
        if member.of_mut(part).is_some_and(|value| value.is_null())
            && let Some(value) = origin
                .derive(JsonNode(part), held)
                .map(|value| value.json())
            && let Some(folded) = member.of_mut(part)
        {
            *folded = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::json::{Cuts, write};
    use super::*;

    /// What is left of a part; `None` when not even leaving it as it is would bring it back.
    fn fold(name: &str, part: &Value, held: &Held<'_>) -> Option<Value> {
        let (mut text, mut cuts) = (Vec::new(), Cuts::default());
        let is_lost = write(JsonNode(part), name, held, &mut text, &mut cuts);
        (!is_lost).then(|| serde_json::from_slice(&text).unwrap())
    }

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

    const TARGETS: &[&str] = &[
        "", "/", "/a/b", "/a//b", "/a%20b", "x=1&y=2", "x=1&x=2", "x", "=&",
    ];

    /// A value as some member has it, often one that follows.
    fn any_value() -> impl Strategy<Value = Value> {
        let text = prop::sample::select(TARGETS);
        prop_oneof![
            Just(Value::Null),
            text.clone().prop_map(Value::from),
            (text, prop::sample::select(TARGETS))
                .prop_map(|(path, query)| format!("{path}?{query}").into()),
            (0..3u8).prop_map(Value::from),
            Just("a".repeat(2000).into()),
            Just(json!(["a", "b"])),
            Just(json!({"x": "1", "y": "2"})),
            Just(json!({"x": "2"})),
            (0..2u8).prop_map(|count| count.to_string().into()),
        ]
    }

    fn any_part() -> impl Strategy<Value = Value> {
        let names = &[
            "method",
            "url",
            "targetUri",
            "path",
            "pathSegments",
            "queryString",
            "bodySize",
            "status",
        ];
        let headers = &[
            "Content-Length",
            "Content-Type",
            "X-Request-Id",
            "request-id",
            "TraceParent",
        ];
        let members = |names: &'static [&'static str]| {
            prop::collection::btree_map(prop::sample::select(names), any_value(), 0..=names.len())
        };
        (
            members(names),
            members(headers),
            members(&["size", "mimeType"]),
        )
            .prop_map(|(part, headers, content)| {
                let mut part = json!(part);
                part["headers"] = json!(headers);
                part["content"] = json!(content);
                part
            })
    }

    proptest! {
        #[test]
        fn whatever_is_folded_comes_back(
            part in any_part(),
            path in prop::option::of(prop::sample::select(TARGETS)),
            query in prop::option::of(prop::sample::select(TARGETS)),
            id in prop::option::of(prop::sample::select(TARGETS)),
            status in prop::option::of(0..3i64),
        ) {
            let held = Held {
                method: path, path, query, status, trace: id, span: id, flags: id, request_id: id,
            };
            // A part without rules is written as it is.
            let (mut text, mut cuts) = (Vec::new(), Cuts::default());
            write(JsonNode(&part), "part", &held, &mut text, &mut cuts);
            let plain: Value = serde_json::from_slice(&text).unwrap();
            for name in ["request", "response"] {
                let (mut text, mut cuts) = (Vec::new(), Cuts::default());
                write(JsonNode(&part), name, &held, &mut text, &mut cuts);
                let mut back: Value = serde_json::from_slice(&text).unwrap();
                unfold(name, &mut back, &held);
                prop_assert!(cuts.touch(&format!("{name}.none")) || back == plain, "{} became {}", plain, back);
            }
        }
    }
}
