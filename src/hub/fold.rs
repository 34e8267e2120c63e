//! The states of many nodes as one.
//!
//! In: JSON of one shape. Out: JSON of that shape: counts added, lists joined, times the latest.

use serde_json::{Map, Value as Json};

/// Members that are the earliest or the latest of all, and not their sum.
const EARLIEST: &[&str] = &["oldest", "made", "nextStart"];
const LATEST: &[&str] = &["lastPacket"];

/// Members that hold for all only when they hold for each.
const EACH: &[&str] = &["ended"];

/// Numbers that are the same at each node, and not a sum.
const SAME: &[&str] = &["iterations", "durationSeconds", "expirySeconds"];

/// The member by which objects of a list are the same thing at several nodes.
const NAME: &str = "name";

/// Adds what one node says to what others said.
pub(super) fn fold(into: &mut Json, from: &Json) {
    fold_member("", into, from);
}

fn fold_member(name: &str, into: &mut Json, from: &Json) {
    match (&mut *into, from) {
        (Json::Null, from) => *into = from.clone(),
        (_, Json::Null) => {}
        _ if SAME.contains(&name) => {}
        (Json::Object(into), Json::Object(from)) => fold_object(into, from),
        (Json::Array(into), Json::Array(from)) => fold_list(into, from),
        (Json::Bool(into), Json::Bool(from)) => {
            *into = if EACH.contains(&name) {
                *into && *from
            } else {
                *into || *from
            };
        }
        (Json::Number(a), Json::Number(b)) => {
            let latest = LATEST.contains(&name);
            *into = match (a.as_u64(), b.as_u64()) {
                (Some(a), Some(b)) if latest => a.max(b).into(),
                (Some(a), Some(b)) => a.saturating_add(b).into(),
                _ => {
                    let (a, b) = (
                        a.as_f64().unwrap_or_default(),
                        b.as_f64().unwrap_or_default(),
                    );
                    (if latest { a.max(b) } else { a + b }).into()
                }
            };
        }
        (Json::String(a), Json::String(b)) => {
            // Times are RFC 3339 in UTC, which sort as text.
            let is_time = |text: &str| crate::time::Timestamp::parse(text).is_some();
            let takes = match EARLIEST.contains(&name) {
                true => b < a,
                false => is_time(a) && is_time(b) && b > a,
            };
            if takes || a.is_empty() {
                a.clone_from(b);
            }
        }
        // Another shape, of another version: the first counts.
        _ => {}
    }
}

fn fold_object(into: &mut Map<String, Json>, from: &Map<String, Json>) {
    for (name, value) in from {
        match into.get_mut(name) {
            Some(into) => fold_member(name, into, value),
            None => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

fn fold_list(into: &mut Vec<Json>, from: &[Json]) {
    for value in from {
        let name = value.get(NAME);
        let is_same = |one: &Json| match name {
            Some(name) => one.get(NAME) == Some(name),
            None => one == value,
        };
        match into.iter_mut().find(|one| is_same(one)) {
            Some(same) if name.is_some() => fold(same, value),
            Some(_) => {}
            None => into.push(value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_are_added_and_recordings_are_told_by_name() {
        let mut all = Json::Null;
        fold(
            &mut all,
            &json!({
                "packets": 3, "ended": true, "lastPacket": 50, "full": false,
                "oldest": "2024-01-02T00:00:00Z", "lastMatch": "2024-01-02T00:00:00Z", "lastError": null,
                "items": {"http": 2},
                "recordings": [{"name": "a", "kfl": "http", "reels": 2}],
            }),
        );
        fold(
            &mut all,
            &json!({
                "packets": 4, "ended": false, "lastPacket": 20, "full": true,
                "oldest": "2024-01-01T00:00:00Z", "lastMatch": "2024-01-03T00:00:00Z", "lastError": "no",
                "items": {"http": 1, "dns": 5},
                "recordings": [{"name": "b", "kfl": "dns", "reels": 1}, {"name": "a", "kfl": "http", "reels": 3}],
            }),
        );
        let wanted = json!({
            "packets": 7, "ended": false, "lastPacket": 50, "full": true,
            "oldest": "2024-01-01T00:00:00Z", "lastMatch": "2024-01-03T00:00:00Z", "lastError": "no",
            "items": {"http": 3, "dns": 5},
            "recordings": [{"name": "a", "kfl": "http", "reels": 5}, {"name": "b", "kfl": "dns", "reels": 1}],
        });
        assert_eq!(all, wanted);
        fold(&mut all, &json!({"packets": "another shape"}));
        assert_eq!(all["packets"], 7);
    }
}
