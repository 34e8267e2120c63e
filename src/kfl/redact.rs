//! Replacing values in a copy of an item (reference section 8).
//!
//! In: a copy and a path such as `request.headers['Cookie']` or `body.json()..pin`. Out: how many
//! values were replaced. Never: a member that was not there before, or a change outside the paths.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::decode::{self, Document};
use super::meter::{Meter, Stop};
use crate::item::{Kind, Node};

/// What a redacted value becomes.
pub(crate) const REDACTED: &str = "[REDACTED]";

/// Containers within containers that are copied; what lies deeper is null.
const MAX_COPIED_DEEP: usize = 100;

/// Steps of one path, and so documents within documents that are rewritten.
const MAX_STEPS: usize = 64;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
    All,
    Descent(String),
    Json,
    Xml,
}

/// The item as JSON.
pub(crate) fn copy<'a, N: Node<'a>>(
    node: N,
    depth: usize,
    meter: &mut Meter,
) -> Result<Json, Stop> {
    meter.charge(1)?;
    if depth > MAX_COPIED_DEEP {
        return Ok(Json::Null);
    }
    Ok(match node.kind() {
        Kind::Null => Json::Null,
        Kind::Bool => node.bool().into(),
        Kind::Int => node.int().into(),
        Kind::Float => node.float().into(),
        Kind::Text => Json::String(node.text().unwrap_or_default().into_owned()),
        Kind::List => {
            let elements = (0..node.len()).filter_map(|index| node.element(index));
            Json::Array(
                elements
                    .map(|element| copy(element, depth + 1, meter))
                    .collect::<Result<_, _>>()?,
            )
        }
        Kind::Object => {
            let mut members = Map::new();
            for (name, member) in (0..node.len()).filter_map(|index| node.entry(index)) {
                members.insert(name.into_owned(), copy(member, depth + 1, meter)?);
            }
            Json::Object(members)
        }
    })
}

/// Replaces what `path` finds in `copy`; a malformed path finds nothing.
pub(crate) fn apply(copy: &mut Json, path: &str) -> usize {
    parse(path).map_or(0, |steps| replace(copy, &steps))
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() >= MAX_STEPS {
            return None;
        }
        let descends = rest.starts_with("..");
        rest = rest
            .strip_prefix("..")
            .or_else(|| rest.strip_prefix('.'))
            .unwrap_or(rest);
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, after) = bracket(inner)?;
            rest = after;
            steps.push(match step {
                Step::Name(name) if descends => Step::Descent(name),
                _ if descends => return None,
                step => step,
            });
            continue;
        }
        let end = rest.find(['.', '[', '(']).unwrap_or(rest.len());
        let (name, after) = (rest.get(..end)?, rest.get(end..)?);
        if let Some(after) = after.strip_prefix("()") {
            steps.push(match name {
                "json" if !descends => Step::Json,
                "xml" if !descends => Step::Xml,
                _ => return None,
            });
            rest = after;
            continue;
        }
        steps.push(match name {
            "" => return None,
            "*" if !descends => Step::All,
            name if descends => Step::Descent(name.to_owned()),
            name => Step::Name(name.to_owned()),
        });
        rest = after;
        if rest.starts_with('(') {
            return None;
        }
    }
    (!steps.is_empty()).then_some(steps)
}

fn bracket(inner: &str) -> Option<(Step, &str)> {
    if let Some(quote) = inner.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let close = [quote, ']'].iter().collect::<String>();
        let (name, rest) = inner.get(1..)?.split_once(&close)?;
        return Some((Step::Name(name.to_owned()), rest));
    }
    let (index, rest) = inner.split_once(']')?;
    let step = match index.trim() {
        "*" => Step::All,
        index => Step::Index(index.parse().ok()?),
    };
    Some((step, rest))
}

/// Recursion is bounded by the depth of `copy` and of the documents in it, each capped when made.
fn replace(value: &mut Json, steps: &[Step]) -> usize {
    let Some((step, rest)) = steps.split_first() else {
        *value = REDACTED.into();
        return 1;
    };
    match (step, value) {
        (Step::Name(name), Json::Object(members)) => members
            .get_mut(name)
            .map_or(0, |value| replace(value, rest)),
        (Step::Index(index), Json::Array(list)) => {
            list.get_mut(*index).map_or(0, |value| replace(value, rest))
        }
        (Step::All, Json::Object(members)) => {
            members.values_mut().map(|value| replace(value, rest)).sum()
        }
        (Step::All, Json::Array(list)) => list.iter_mut().map(|value| replace(value, rest)).sum(),
        (Step::Descent(name), Json::Object(members)) => members
            .iter_mut()
            .map(|(key, value)| {
                // Inside first: once replaced, a member holds nothing more.
                let inside = replace(value, steps);
                inside + if key == name { replace(value, rest) } else { 0 }
            })
            .sum(),
        (Step::Descent(_), Json::Array(list)) => {
            list.iter_mut().map(|value| replace(value, steps)).sum()
        }
        (Step::Json, Json::String(text)) => in_json(text, rest),
        (Step::Xml, Json::String(text)) => in_xml(text, rest),
        _ => 0,
    }
}

fn in_json(text: &mut String, steps: &[Step]) -> usize {
    let plain = serde_json::from_str::<Json>(text).ok();
    let packed = plain.is_none();
    let Some(mut document) = plain.or_else(|| decode::json(text)) else {
        return 0;
    };
    let changed = replace(&mut document, steps);
    if changed > 0 {
        let written = document.to_string();
        *text = if packed {
            STANDARD.encode(written)
        } else {
            written
        };
    }
    changed
}

fn in_xml(text: &mut String, steps: &[Step]) -> usize {
    if let Some(document) = decode::elements(text) {
        return rewrite(text, &document, steps);
    }
    let unpacked = decode::unpacked(text).and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(mut inner) = unpacked else { return 0 };
    let Some(document) = decode::elements(&inner) else {
        return 0;
    };
    let changed = rewrite(&mut inner, &document, steps);
    if changed > 0 {
        *text = STANDARD.encode(inner);
    }
    changed
}

/// Replaces the contents of the elements and attributes at `steps`, all else staying as it is.
fn rewrite(text: &mut String, document: &Document, steps: &[Step]) -> usize {
    let mut spans = spans(document, steps);
    spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    let mut outer: Vec<Range<usize>> = Vec::new();
    for span in spans {
        if outer.last().is_none_or(|last| span.start >= last.end) {
            outer.push(span);
        }
    }
    for span in outer.iter().rev() {
        text.replace_range(span.clone(), REDACTED);
    }
    outer.len()
}

fn spans(document: &Document, steps: &[Step]) -> Vec<Range<usize>> {
    // Places are elements; above the root stands `None`.
    let mut places: Vec<Option<usize>> = vec![None];
    let mut found = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let last = at + 1 == steps.len();
        if let (true, Step::Name(name)) = (last, step)
            && let Some(name) = name.strip_prefix('-')
        {
            let elements = places
                .iter()
                .flatten()
                .filter_map(|at| document.elements.get(*at));
            let attributes = elements.flat_map(|element| &element.attributes);
            found.extend(
                attributes
                    .filter(|made| made.0 == name)
                    .map(|made| made.2.clone()),
            );
            return found;
        }
        places = match step {
            Step::Name(name) => below(document, &places, |child| child == name),
            Step::All => below(document, &places, |_| true),
            Step::Index(index) => places.get(*index).copied().into_iter().collect(),
            Step::Descent(name) => {
                let mut open = below(document, &places, |_| true);
                let mut named = Vec::new();
                while let Some(place) = open.pop() {
                    let element = place.and_then(|at| document.elements.get(at));
                    if element.is_some_and(|element| element.name == *name) {
                        named.push(place);
                    }
                    open.extend(below(document, &[place], |_| true));
                }
                named
            }
            Step::Json | Step::Xml => return found,
        };
    }
    let elements = places.into_iter().flatten();
    found.extend(
        elements
            .filter_map(|at| document.elements.get(at))
            .map(|element| element.inside.clone())
            .filter(|inside| !inside.is_empty()),
    );
    found
}

fn below(
    document: &Document,
    places: &[Option<usize>],
    wanted: impl Fn(&str) -> bool,
) -> Vec<Option<usize>> {
    let mut found = Vec::new();
    for place in places {
        let root = [0];
        let children = match place {
            None => &root[..],
            Some(at) => document
                .elements
                .get(*at)
                .map_or(&[][..], |element| &element.children),
        };
        found.extend(children.iter().copied().filter_map(|child| {
            let element = document.elements.get(child)?;
            wanted(&element.name).then_some(Some(child))
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn after(mut value: Json, path: &str) -> Json {
        apply(&mut value, path);
        value
    }

    #[test]
    fn every_form_of_path_is_understood() {
        let item = json!({"a": {"x-y": 1, "l": [1, {"pin": 2}]}, "pin": {"pin": 3}});
        for (path, at) in [
            ("a['x-y']", "/a/x-y"),
            ("$.a[\"x-y\"]", "/a/x-y"),
            (".a.l[0]", "/a/l/0"),
            ("a.l[*]", "/a/l/1"),
            ("a.*", "/a/l"),
            ("..pin", "/a/l/1/pin"),
            ("a..['pin']", "/a/l/1/pin"),
            ("..pin", "/pin"),
        ] {
            let redacted = after(item.clone(), path);
            assert_eq!(redacted.pointer(at), Some(&json!(REDACTED)), "{path}");
        }
        for path in ["nope", "a.nope.x", "", "..", "a[", "a['x", "a.b()", "$"] {
            assert_eq!(after(item.clone(), path), item, "{path}");
        }
    }

    #[test]
    fn documents_are_written_back_as_they_came() {
        let packed = STANDARD.encode(r#"{"card":"4111","n":1}"#);
        let redacted = after(json!({ "body": packed }), "body.json().card");
        let text = STANDARD.decode(redacted["body"].as_str().unwrap()).unwrap();
        assert_eq!(text, br#"{"card":"[REDACTED]","n":1}"#);

        let xml =
            r#"<?xml version="1.0"?><u k="1"><card t="v">4111</card><n/> <card>42</card></u>"#;
        let redacted = after(json!({ "body": xml }), "body.xml().u.card");
        assert_eq!(
            redacted["body"],
            r#"<?xml version="1.0"?><u k="1"><card t="v">[REDACTED]</card><n/> <card>[REDACTED]</card></u>"#
        );
        let redacted = after(json!({ "body": xml }), "body.xml()..card.-t");
        assert!(
            redacted["body"]
                .as_str()
                .unwrap()
                .contains(r#"<card t="[REDACTED]">4111"#)
        );
    }

    proptest! {
        #[test]
        fn no_path_panics_or_adds_members(path in "[.a*\\[\\]'\"0-9$()jsonxml]{0,30}") {
            let item = json!({"a": [{"a": "<a>1</a>"}, "{\"a\":1}"], "j": {"son": "x"}});
            let redacted = after(item.clone(), &path);
            prop_assert!(redacted.as_object().is_none_or(|members| members.len() == 2));
        }
    }
}
