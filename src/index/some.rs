//! Some members of an object, out of its JSON text.
//!
//! In: JSON text, names. Out: an object of the members of these names, the case of their ASCII
//! letters apart. Never: a value made of what is not wanted; deeper recursion than serde_json's bound.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::item::{Key, Value};

/// The members of an object that have these names; `None` when the text is no object.
pub(super) fn members(text: &[u8], names: &[String]) -> Option<Value> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let found = Wanted(names).deserialize(&mut from).ok()?;
    from.end().ok()?;
    Some(Value::Object(found))
}

struct Wanted<'n>(&'n [String]);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Vec<(Key, Value)>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Vec<(Key, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            if self
                .0
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(&name))
            {
                found.push((key(&name), map.next_value::<Made>()?.0));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A name, borrowed where the text has it as it is.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

fn key(name: &str) -> Key {
    Key::Bytes(bytes::Bytes::copy_from_slice(name.as_bytes()))
}

/// A whole value.
struct Made(Value);

impl<'de> Deserialize<'de> for Made {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any).map(Made)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        let whole = i64::try_from(value).map(Value::Int);
        Ok(whole.unwrap_or(Value::Float(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Made(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), Made(value))) = map.next_entry()? {
            members.push((key(&name), value));
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::ItemNode;
    use crate::item::json::to_string;

    #[test]
    fn members_that_are_wanted_are_as_in_the_whole() {
        let text = br#"{"a":[1,-2,3.5,9223372036854775807,true,null],"b":{"c":"x\ny","d":{}},"Host":"\u00e9"}"#;
        let shown = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let made = members(text, &names).unwrap();
            let shown = to_string(ItemNode::of_value(&made));
            serde_json::from_str::<serde_json::Value>(&shown).unwrap()
        };
        let whole: serde_json::Value = serde_json::from_slice(text).unwrap();
        assert_eq!(shown(&["a", "b", "Host"]), whole);
        assert_eq!(shown(&["b"]), serde_json::json!({"b": whole["b"]}));
        assert_eq!(shown(&["host"]), serde_json::json!({"Host": "\u{e9}"}));
        assert_eq!(shown(&["absent"]), serde_json::json!({}));
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in ["", "null", "[1]", "{\"a\":", "{\"a\":1}x"] {
            assert!(
                members(text.as_bytes(), &["a".to_owned()]).is_none(),
                "{text}"
            );
        }
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert!(members(deep.as_bytes(), &["a".to_owned()]).is_none());
    }
}
