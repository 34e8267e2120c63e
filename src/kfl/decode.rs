//! Documents inside texts: JSON and XML, plain or in base64 (reference section 6).
//!
//! In: a text of an item. Out: the document as JSON; `None` when it is none. Never: entities or
//! files that a document declares.
//!
//! ```text
//! <a k="v">x<b>1</b><b>2</b></a>   reads as   {"a": {"-k": "v", "#text": "x", "b": ["1", "2"]}}
//! ```

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};
use xmlparser::{ElementEnd, Token, Tokenizer};

/// The member that holds an element's own text beside its attributes and children.
pub(crate) const TEXT: &str = "#text";

/// Elements within elements: documents that nest deeper are not decoded.
const MAX_ELEMENTS_DEEP: usize = 100;

/// Elements of one document: a body of [`MAX_ITEM_BODY`](crate::item::MAX_ITEM_BODY) bytes that
/// holds more is made to cost memory.
const MAX_ELEMENTS: usize = 50_000;

/// The JSON document that `text` or the base64 in it holds.
pub(crate) fn json(text: &str) -> Option<Json> {
    // The parser itself refuses documents deeper than 128 levels.
    serde_json::from_str(text)
        .ok()
        .or_else(|| serde_json::from_slice(&unpacked(text)?).ok())
}

/// The XML document that `text` or the base64 in it holds, as JSON.
pub(crate) fn xml(text: &str) -> Option<Json> {
    elements(text)
        .or_else(|| elements(&String::from_utf8(unpacked(text)?).ok()?))
        .map(|document| document.to_json())
}

/// The bytes that `text` holds as base64.
pub(crate) fn unpacked(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok()
}

/// The elements of an XML document, each after its parent; the first is the root.
pub(crate) struct Document {
    pub elements: Vec<Element>,
}

/// One element.
pub(crate) struct Element {
    pub name: String,
    /// Name, value, and where in the document the value stands.
    pub attributes: Vec<(String, String, Range<usize>)>,
    pub text: String,
    /// Where everything between its tags stands; empty for `<a/>`.
    pub inside: Range<usize>,
    pub children: Vec<usize>,
}

/// Takes a document apart; `None` when it is not well-formed.
pub(crate) fn elements(text: &str) -> Option<Document> {
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for token in Tokenizer::from(text) {
        match token.ok()? {
            Token::ElementStart { prefix, local, .. } => {
                if open.len() >= MAX_ELEMENTS_DEEP
                    || elements.len() >= MAX_ELEMENTS
                    || open.is_empty() && !elements.is_empty()
                {
                    return None;
                }
                let index = elements.len();
                if let Some(parent) = open.last() {
                    elements.get_mut(*parent)?.children.push(index);
                }
                elements.push(Element {
                    name: qualified(prefix.as_str(), local.as_str()),
                    attributes: Vec::new(),
                    text: String::new(),
                    inside: 0..0,
                    children: Vec::new(),
                });
                open.push(index);
            }
            Token::Attribute {
                prefix,
                local,
                value,
                ..
            } => {
                let name = qualified(prefix.as_str(), local.as_str());
                let shown = plain(value.as_str());
                let element = elements.get_mut(*open.last()?)?;
                element.attributes.push((name, shown, value.range()));
            }
            Token::ElementEnd { end, span } => match end {
                ElementEnd::Open => {
                    elements.get_mut(*open.last()?)?.inside = span.end()..span.end();
                }
                ElementEnd::Empty => {
                    open.pop()?;
                }
                ElementEnd::Close(prefix, local) => {
                    let element = elements.get_mut(open.pop()?)?;
                    if element.name != qualified(prefix.as_str(), local.as_str()) {
                        return None;
                    }
                    element.inside.end = span.start();
                }
            },
            Token::Text { text } => {
                let shown = plain(text.as_str().trim());
                match open.last() {
                    Some(at) => elements.get_mut(*at)?.text.push_str(&shown),
                    None if shown.is_empty() => {}
                    None => return None,
                }
            }
            Token::Cdata { text, .. } => {
                elements
                    .get_mut(*open.last()?)?
                    .text
                    .push_str(text.as_str());
            }
            _ => {}
        }
    }
    (open.is_empty() && !elements.is_empty()).then_some(Document { elements })
}

fn qualified(prefix: &str, local: &str) -> String {
    if prefix.is_empty() {
        return local.to_owned();
    }
    format!("{prefix}:{local}")
}

/// Text with the five named entities and character references replaced.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        let made = rest.find(';').and_then(|end| {
            let name = rest.get(1..end)?;
            Some((entity(name)?, end + 1))
        });
        let (made, length) = made.unwrap_or(('&', 1));
        out.push(made);
        rest = rest.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let code = name.strip_prefix('#')?;
            let value = match code.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => code.parse().ok()?,
            };
            char::from_u32(value)?
        }
    })
}

impl Document {
    fn to_json(&self) -> Json {
        // Children stand after their parents, so walking backwards finds every child made already.
        let mut made: Vec<Json> = vec![Json::Null; self.elements.len()];
        for (at, element) in self.elements.iter().enumerate().rev() {
            let value = if element.attributes.is_empty() && element.children.is_empty() {
                Json::String(element.text.clone())
            } else {
                Json::Object(self.members(element, &mut made))
            };
            if let Some(slot) = made.get_mut(at) {
                *slot = value;
            }
        }
        let mut root = Map::new();
        if let (Some(element), Some(value)) = (self.elements.first(), made.into_iter().next()) {
            root.insert(element.name.clone(), value);
        }
        Json::Object(root)
    }

    fn members(&self, element: &Element, made: &mut [Json]) -> Map<String, Json> {
        let mut members = Map::new();
        for (name, value, _) in &element.attributes {
            members.insert(format!("-{name}"), Json::String(value.clone()));
        }
        for child in &element.children {
            let (Some(known), Some(slot)) = (self.elements.get(*child), made.get_mut(*child))
            else {
                continue;
            };
            let value = slot.take();
            match members.get_mut(&known.name) {
                Some(Json::Array(list)) => list.push(value),
                Some(first) => {
                    let list = vec![first.take(), value];
                    *first = Json::Array(list);
                }
                None => {
                    members.insert(known.name.clone(), value);
                }
            }
        }
        if !element.text.is_empty() {
            members.insert(TEXT.into(), Json::String(element.text.clone()));
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_become_members() {
        let read = xml(r#"<?xml version="1.0"?><a k="v&amp;w">x<b>1</b><b>2</b><n:c/></a>"#);
        let expected =
            serde_json::json!({"a": {"-k": "v&w", "b": ["1", "2"], "n:c": "", "#text": "x"}});
        assert_eq!(read, Some(expected));
        assert_eq!(xml("PGE+MTwvYT4="), Some(serde_json::json!({"a": "1"})));
    }

    #[test]
    fn what_is_not_well_formed_is_no_document() {
        for text in ["<a>", "<a></b>", "text", "", "<a/><b/>", "<a/>x"] {
            assert_eq!(xml(text), None, "{text}");
        }
        assert_eq!(xml(&"<a>".repeat(5000)), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_decoding_panic(text in "[<>/a-c&;#x0-9=\"' !\\[\\]-]{0,80}") {
            let _ = (xml(&text), json(&text));
        }
    }
}
