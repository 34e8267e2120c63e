//! Values as the type of their key holds them.

use serde_json::Value as Json;

use super::keys::{ConfigKey, KeyType};
use super::{default_of, units};

/// What a type is called in sentences.
pub(super) fn kind_name(kind: KeyType) -> &'static str {
    match kind {
        KeyType::Text => "text",
        KeyType::Bool => "true or false",
        KeyType::Int => "a whole number",
        KeyType::Quantity => "a size such as 500Mi",
        KeyType::Duration => "a duration such as 90s or 30d",
        KeyType::List => "a list",
        KeyType::Map | KeyType::Tree => "a map",
        KeyType::Maps => "a map of maps",
        KeyType::Objects => "a list of objects",
        KeyType::Any => "a value",
    }
}

/// The value that a text of the command line is; `None` when it does not fit.
pub(super) fn parse_text(kind: KeyType, text: &str) -> Option<Json> {
    match kind {
        KeyType::Text => Some(Json::String(text.to_owned())),
        KeyType::Bool => units::boolean(text).map(Json::Bool),
        KeyType::Int => text.parse::<i64>().ok().map(Json::from),
        KeyType::Quantity => units::quantity(text).map(|_| Json::String(text.to_owned())),
        KeyType::Duration => (text.is_empty() || units::duration(text).is_some())
            .then(|| Json::String(text.to_owned())),
        KeyType::List | KeyType::Objects => serde_json::from_str(text).ok(),
        KeyType::Map | KeyType::Maps | KeyType::Tree => {
            serde_json::from_str(text).ok().filter(Json::is_object)
        }
        KeyType::Any => {
            Some(serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned())))
        }
    }
}

/// The value as the key's type holds it; `None` when it does not fit.
pub(super) fn fit(key: &ConfigKey, value: &Json) -> Option<Json> {
    match (key.kind, value) {
        (_, Json::Null) => Some(default_of(key)),
        (KeyType::List, Json::Array(_)) | (KeyType::Any, _) => Some(value.clone()),
        (KeyType::List, Json::String(text)) => Some(Json::Array(vec![Json::String(text.clone())])),
        (KeyType::Objects, Json::Array(_))
        | (KeyType::Map | KeyType::Maps | KeyType::Tree, Json::Object(_)) => Some(value.clone()),
        (KeyType::Bool, Json::Bool(_)) => Some(value.clone()),
        (KeyType::Int, Json::Number(number)) if number.is_i64() || number.is_u64() => {
            Some(value.clone())
        }
        (KeyType::Text, Json::Bool(_) | Json::Number(_)) => Some(Json::String(value.to_string())),
        (KeyType::Quantity | KeyType::Duration, Json::Number(number)) => {
            parse_text(key.kind, &number.to_string())
        }
        (
            kind @ (KeyType::Text
            | KeyType::Bool
            | KeyType::Int
            | KeyType::Quantity
            | KeyType::Duration),
            Json::String(text),
        ) => parse_text(kind, text),
        _ => None,
    }
}
