//! What a recording is declared to be: one object, from the configuration, a command, the API or a
//! script.
//!
//! In: JSON. Out: a wish with its schedule, or one sentence about what is wrong. Never: a field that
//! is passed over in silence.
//!
//! ```text
//! {"name": "errors", "kfl": "http and response.status >= 500",
//!  "schedule": {"start": "09:00", "iterations": 5, "duration": "60m", "expiry": "7d"},
//!  "destination": "s3://bucket/prefix", "format": "pcapng", "storageClass": "STANDARD_IA",
//!  "retention": {"mode": "GOVERNANCE", "days": 30}, "legalHold": false, "lookBack": true,
//!  "limits": {"bytesPerDay": "10Gi"}, "redact": {"headers": ["authorization"]}, "payload": "full"}
//! {"name": "crashes", "on": ["OOMKilled", "podRestart"], "before": "60s", "after": "30s", "scope": "pod"}
//! ```

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::schedule::{DAY, Schedule, time_of_day};
use crate::cluster::What;
use crate::kfl::{self, Query};
use crate::record::{Format, Retention, Scope, Trigger, Wish};
use crate::redact::{Payload, Rule};
use crate::store;
use crate::units;

/// Names become folders of object keys.
const MAX_NAME: usize = 63;

/// Longest COMPLIANCE lock unless the configuration says otherwise, in days.
const MAX_LOCK_DAYS: u64 = 400;

/// Fields of a declaration.
const FIELDS: &[&str] = &[
    "name",
    "kfl",
    "on",
    "before",
    "after",
    "scope",
    "schedule",
    "start",
    "iterations",
    "duration",
    "expiry",
    "destination",
    "format",
    "retention",
    "legalHold",
    "lookBack",
    "limits",
    "redact",
    "payload",
    "storageClass",
];

/// The query of a recording that waits for happenings alone.
const NOTHING: &str = "false";

/// Time around a happening unless the declaration says otherwise, and the longest.
const BEFORE: Duration = Duration::from_secs(60);
const AFTER: Duration = Duration::from_secs(30);
const MAX_AROUND: Duration = DAY;

/// What declarations are read with.
pub struct Basis {
    /// Destination, format, lock and limits of recordings that do not say.
    pub template: Wish,
    /// Fields for queries.
    pub schema: Arc<kfl::Schema>,
    /// Longest COMPLIANCE lock, in days.
    pub max_lock_days: u64,
}

/// That two recordings of a list have one name.
pub(super) fn same_name(name: &str) -> String {
    format!("there are two recordings called {name}; give one another name")
}

impl Basis {
    /// A basis with the default bound of locks.
    pub fn new(template: Wish, schema: Arc<kfl::Schema>) -> Basis {
        Basis {
            template,
            schema,
            max_lock_days: MAX_LOCK_DAYS,
        }
    }

    /// Compiles the query of the recording `name`.
    pub(super) fn query(&self, name: &str, text: &str) -> Result<Query, String> {
        kfl::compile(text, &self.schema)
            .map_err(|error| format!("the query of the recording {name} is invalid, {error}"))
    }

    /// What is wrong with a list of declarations, one sentence.
    pub fn list_fault(&self, list: &Json) -> Option<String> {
        let mut names: Vec<String> = Vec::new();
        for declared in list.as_array().into_iter().flatten() {
            match self.read(declared) {
                Ok((wish, _)) if names.contains(&wish.name) => return Some(same_name(&wish.name)),
                Ok((wish, _)) => names.push(wish.name),
                Err(sentence) => return Some(sentence),
            }
        }
        None
    }

    /// Reads a declaration.
    ///
    /// # Errors
    /// One sentence that names the recording and the field.
    pub fn read(&self, declared: &Json) -> Result<(Wish, Schedule), String> {
        let Json::Object(fields) = declared else {
            return Err("a recording is an object with at least name and kfl".to_owned());
        };
        let name = name_of(declared)?;
        let wrong = |sentence: String| format!("recording {name}: {sentence}");
        for field in fields.keys() {
            if !FIELDS.iter().any(|known| known.eq_ignore_ascii_case(field)) {
                return Err(wrong(format!(
                    "{field} is not known; there are {}",
                    FIELDS.join(", ")
                )));
            }
        }
        let get = |field: &str| member(fields, field);
        let text = |field: &str| match get(field) {
            Json::Null => Ok(None),
            Json::String(text) if text.is_empty() => Ok(None),
            Json::String(text) => Ok(Some(text)),
            other => Err(wrong(format!("{field} must be text, not {other}"))),
        };
        let flag = |field: &str, otherwise: bool| match get(field) {
            Json::Null => Ok(otherwise),
            Json::Bool(flag) => Ok(flag),
            other => Err(wrong(format!("{field} must be true or false, not {other}"))),
        };
        let trigger = trigger(fields).map_err(&wrong)?;
        let query = text("kfl")?.filter(|text| !text.trim().is_empty());
        let query = match (query, &trigger) {
            (Some(query), None) => query,
            (None, Some(_)) => NOTHING.to_owned(),
            (None, None) => {
                let needs = "it needs kfl, or on for what happens in the cluster; to record all, write kfl: true";
                return Err(wrong(needs.to_owned()));
            }
            (Some(_), Some(_)) => {
                let both = "it has kfl and on; on takes all streams of whom something happens to, so make two recordings";
                return Err(wrong(both.to_owned()));
            }
        };
        let mut wish = Wish {
            name: name.to_owned(),
            query: self.query(name, &query)?,
            trigger,
            ..self.template.clone()
        };
        if let Some(destination) = text("destination")? {
            store::check(&destination).map_err(|error| wrong(error.to_string()))?;
            wish.destination = destination;
        }
        wish.format = match text("format")?.as_deref() {
            None => wish.format,
            Some("pcapng") => Format::Pcapng,
            Some("pcap") => Format::Pcap,
            Some(other) => {
                return Err(wrong(format!("format must be pcapng or pcap, not {other}")));
            }
        };
        wish.legal_hold = flag("legalHold", wish.legal_hold)?;
        wish.look_back = flag("lookBack", wish.look_back)?;
        if let Some(class) = text("storageClass")? {
            wish.storage_class = class;
        }
        match get("limits") {
            Json::Null => {}
            Json::Object(limits) => {
                for (limit, value) in &limits {
                    if !limit.eq_ignore_ascii_case("bytesPerDay") {
                        return Err(wrong(format!(
                            "limits.{limit} is not known; there is bytesPerDay"
                        )));
                    }
                    wish.bytes_per_day = bytes(value).ok_or_else(|| {
                        wrong(format!(
                            "limits.{limit} must be a size such as 10Gi, not {value}"
                        ))
                    })?;
                }
            }
            other => return Err(wrong(format!("limits must be an object, not {other}"))),
        }
        let redact = get("redact");
        if !redact.is_null() {
            let payload = wish.redact.payload;
            wish.redact = Rule::parse(&redact).map_err(&wrong)?;
            wish.redact.payload = payload;
        }
        if let Some(text) = text("payload")? {
            wish.redact.payload = payload(&text).map_err(&wrong)?;
        }
        let retention = get("retention");
        if !retention.is_null() {
            wish.retention = self.retention(&retention).map_err(&wrong)?;
        }
        let schedule = schedule(fields).map_err(wrong)?;
        Ok((wish, schedule))
    }

    fn retention(&self, retention: &Json) -> Result<Option<Retention>, String> {
        let Json::Object(fields) = retention else {
            return Err("retention must be an object with mode and days".to_owned());
        };
        let mut mode = String::new();
        let (mut days, mut acknowledged) = (0, 0);
        for (field, value) in fields {
            let number = || {
                value.as_u64().ok_or_else(|| {
                    format!("retention.{field} must be a number of days, not {value}")
                })
            };
            match field.to_ascii_lowercase().as_str() {
                "mode" => mode = value.as_str().unwrap_or_default().to_owned(),
                "days" => days = number()?,
                "acknowledgedays" => acknowledged = number()?,
                _ => {
                    return Err(format!(
                        "retention.{field} is not known; there are mode, days and acknowledgeDays"
                    ));
                }
            }
        }
        let period = Duration::from_secs(days.saturating_mul(DAY.as_secs()));
        Retention::asked("retention", &mode, period, acknowledged, self.max_lock_days)
    }
}

/// Whether one of these declarations waits for happenings called so.
pub fn waits_for(list: &Json, what: &str) -> bool {
    let declared = list.as_array().into_iter().flatten();
    let mut triggers = declared.filter_map(|one| trigger(one.as_object()?).ok().flatten());
    triggers.any(|trigger| trigger.on.iter().any(|on| on == what))
}

/// The name in a declaration.
///
/// # Errors
/// One sentence, when it is missing or could not be a folder.
pub(super) fn name_of(declared: &Json) -> Result<&str, String> {
    let fields = declared.as_object();
    let name = fields.and_then(|fields| {
        let mut named = fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case("name"));
        named.next()?.1.as_str()
    });
    let name = name.unwrap_or_default();
    match is_name(name) {
        true => Ok(name),
        false => Err(format!(
            "\"{name}\" is no name for a recording; use a to z, 0 to 9 and -"
        )),
    }
}

/// Whether a recording may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let fits = (1..=MAX_NAME).contains(&name.len());
    fits && name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What is kept of payloads, by its name.
///
/// # Errors
/// One sentence, when the name is none.
pub fn payload(text: &str) -> Result<Payload, String> {
    match text {
        "" | "full" => Ok(Payload::Full),
        "headers" => Ok(Payload::Headers),
        "none" => Ok(Payload::None),
        other => Err(format!(
            "payload must be full, headers or none, not {other}"
        )),
    }
}

fn member(fields: &Map<String, Json>, name: &str) -> Json {
    let found = fields
        .iter()
        .find(|(field, _)| field.eq_ignore_ascii_case(name));
    found.map_or(Json::Null, |(_, value)| value.clone())
}

fn bytes(value: &Json) -> Option<u64> {
    match value {
        Json::Number(number) => number.as_u64(),
        Json::String(text) => units::quantity(text),
        _ => None,
    }
}

/// `schedule:`, or its fields beside the others.
fn schedule(fields: &Map<String, Json>) -> Result<Schedule, String> {
    let inner = member(fields, "schedule");
    let inside = match &inner {
        Json::Null => fields,
        Json::Object(inner) => {
            let known = ["start", "iterations", "duration", "expiry"];
            let is_known =
                |field: &String| known.iter().any(|known| known.eq_ignore_ascii_case(field));
            if let Some(field) = inner.keys().find(|field| !is_known(field)) {
                return Err(format!(
                    "schedule.{field} is not known; there are {}",
                    known.join(", ")
                ));
            }
            inner
        }
        other => return Err(format!("schedule must be an object, not {other}")),
    };
    let start = match member(inside, "start") {
        Json::Null => None,
        Json::String(text) if text.is_empty() => None,
        Json::String(text) => Some(
            time_of_day(&text)
                .ok_or_else(|| format!("start must be a UTC time of day as HH:mm, not {text}"))?,
        ),
        other => {
            return Err(format!(
                "start must be a UTC time of day as HH:mm, not {other}"
            ));
        }
    };
    let duration = minutes(inside, "duration")?;
    let expiry = minutes(inside, "expiry")?;
    let iterations = match member(inside, "iterations") {
        // Once, as a recording with a length is.
        Json::Null => 1,
        value => value
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(|| {
                format!("iterations must be a number of days, 0 for every day, not {value}")
            })?,
    };
    if duration.is_some_and(|duration| duration > DAY) && iterations != 1 {
        return Err("duration must be a day at most when it comes again every day".to_owned());
    }
    Ok(Schedule {
        start,
        iterations,
        duration,
        expiry,
    })
}

/// `on:` with what belongs to it.
fn trigger(fields: &Map<String, Json>) -> Result<Option<Trigger>, String> {
    let listed = match member(fields, "on") {
        Json::Null => Vec::new(),
        Json::String(one) => vec![Json::String(one)],
        Json::Array(list) => list,
        other => return Err(format!("on must be a list of names, not {other}")),
    };
    if listed.is_empty() {
        let mut others = ["before", "after", "scope"].into_iter();
        return match others.find(|field| !member(fields, field).is_null()) {
            Some(field) => Err(format!("{field} goes with on: [OOMKilled, ...]")),
            None => Ok(None),
        };
    }
    let mut on: Vec<String> = Vec::new();
    for name in &listed {
        let what = name.as_str().and_then(What::named).ok_or_else(|| {
            let known = What::ALL.map(What::name).join(", ");
            format!("on does not know {name}; there are {known}")
        })?;
        if !on.iter().any(|known| known == what.name()) {
            on.push(what.name().to_owned());
        }
    }
    let time = |name: &str, otherwise: Duration| {
        if member(fields, name).is_null() {
            return Ok(otherwise);
        }
        let time = minutes(fields, name)?.unwrap_or_default();
        match time <= MAX_AROUND {
            true => Ok(time),
            false => Err(format!("{name} may be a day at most")),
        }
    };
    let scope = match member(fields, "scope") {
        Json::Null => Scope::Pod,
        asked => Scope::ALL
            .into_iter()
            .find(|scope| asked.as_str() == Some(scope.name()))
            .ok_or_else(|| {
                format!(
                    "scope must be {}, not {asked}",
                    Scope::ALL.map(Scope::name).join(", ")
                )
            })?,
    };
    Ok(Some(Trigger {
        on,
        before: time("before", BEFORE)?,
        after: time("after", AFTER)?,
        scope,
    }))
}

/// A time with a unit, or a number of minutes; 0 is none.
fn minutes(fields: &Map<String, Json>, name: &str) -> Result<Option<Duration>, String> {
    let value = member(fields, name);
    let found = match &value {
        Json::Null => return Ok(None),
        Json::Number(number) => number
            .as_u64()
            .and_then(|minutes| minutes.checked_mul(60))
            .map(Duration::from_secs),
        Json::String(text) if text.is_empty() => return Ok(None),
        Json::String(text) => units::duration(text),
        _ => None,
    };
    found
        .map(|time| Some(time).filter(|time| !time.is_zero()))
        .ok_or_else(|| {
            format!("{name} must be a time such as 90m, or a number of minutes, not {value}")
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::LockMode;

    fn basis() -> Basis {
        let schema = Arc::new(kfl::Schema::empty());
        let all = kfl::compile("true", &schema).unwrap();
        Basis::new(Wish::new("template", all, "folder"), schema)
    }

    #[test]
    fn every_field_is_read() {
        let (wish, schedule) = basis()
            .read(&json!({
                "name": "errors-5xx", "kfl": "true", "destination": "s3://b/p", "format": "pcap",
                "schedule": {"start": "09:30", "iterations": 5, "duration": 60, "expiry": "7d"},
                "retention": {"mode": "governance", "days": 30}, "legalHold": true, "lookBack": false,
                "limits": {"bytesPerDay": "1Gi"}, "redact": {"headers": ["Authorization"]},
                "payload": "headers", "storageClass": "STANDARD_IA",
            }))
            .unwrap();
        assert_eq!(wish.destination, "s3://b/p");
        assert_eq!(wish.format, Format::Pcap);
        assert_eq!(wish.retention.unwrap().mode, LockMode::Governance);
        assert_eq!(wish.retention.unwrap().period, DAY * 30);
        assert_eq!((wish.legal_hold, wish.look_back), (true, false));
        assert_eq!(wish.bytes_per_day, 1 << 30);
        assert_eq!(wish.redact.headers, ["authorization"]);
        assert_eq!(wish.redact.payload, Payload::Headers);
        assert_eq!(wish.storage_class, "STANDARD_IA");
        assert_eq!(schedule.start, Some(570));
        assert_eq!(schedule.iterations, 5);
        assert_eq!(schedule.duration, Some(Duration::from_secs(3600)));
        assert_eq!(schedule.expiry, Some(DAY * 7));
    }

    #[test]
    fn what_happens_in_the_cluster_stands_where_a_query_does() {
        let read = |declared: Json| basis().read(&declared).unwrap().0;
        let wish = read(json!({"name": "crashes", "on": ["oomkilled", "podRestart", "OOMKilled"]}));
        let trigger = wish.trigger.clone().unwrap();
        assert_eq!(trigger.on, ["OOMKilled", "podRestart"]);
        assert_eq!((trigger.before, trigger.after), (BEFORE, AFTER));
        assert_eq!(trigger.scope, Scope::Pod);
        assert_eq!(wish.query.text(), "false");
        assert_eq!(
            wish.asks(),
            "on OOMKilled, podRestart, 60 s before to 30 s after (pod)"
        );
        let around =
            json!({"name": "r", "on": "rollout", "before": "5m", "after": 0, "scope": "peers"});
        let trigger = read(around).trigger.unwrap();
        assert_eq!(trigger.before, Duration::from_secs(300));
        assert_eq!(
            (trigger.after, trigger.scope),
            (Duration::ZERO, Scope::Peers)
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_name_and_field() {
        let cases = [
            (
                json!({"name": "a", "on": ["reboot"]}),
                "on does not know \"reboot\"; there are podRestart, OOMKilled",
            ),
            (
                json!({"name": "a", "on": "rollout", "kfl": "true"}),
                "make two recordings",
            ),
            (
                json!({"name": "a", "kfl": "true", "before": "5m"}),
                "before goes with on",
            ),
            (
                json!({"name": "a", "on": "rollout", "scope": "all"}),
                "scope must be pod, owner, peers",
            ),
            (
                json!({"name": "a", "on": "rollout", "after": "2d"}),
                "after may be a day",
            ),
            (
                json!({"name": "", "kfl": "true"}),
                "no name for a recording",
            ),
            (
                json!({"name": "A b", "kfl": "true"}),
                "no name for a recording",
            ),
            (
                json!({"name": "../x", "kfl": "true"}),
                "no name for a recording",
            ),
            (json!({"name": "a", "kfl": " "}), "it needs kfl"),
            (json!({"name": "a", "kfl": "http and"}), "is invalid"),
            (
                json!({"name": "a", "kfl": "true", "detination": "x"}),
                "detination is not known",
            ),
            (
                json!({"name": "a", "kfl": "true", "start": "25:00"}),
                "HH:mm",
            ),
            (
                json!({"name": "a", "kfl": "true", "duration": "soon"}),
                "duration must be",
            ),
            (
                json!({"name": "a", "kfl": "true", "format": "cap"}),
                "format must be",
            ),
            (
                json!({"name": "a", "kfl": "true", "retention": {"mode": "COMPLIANCE", "days": 30}}),
                "acknowledgeDays: 30",
            ),
            (
                json!({"name": "a", "kfl": "true", "limits": {"bytesPerDay": "much"}}),
                "bytesPerDay must be",
            ),
            (
                json!({"name": "a", "kfl": "true", "redact": {"hedaers": []}}),
                "redact.hedaers",
            ),
            (
                json!({"name": "a", "kfl": "true", "redact": {"json": ["$..["]}}),
                "redact.json",
            ),
            (
                json!({"name": "a", "kfl": "true", "payload": "some"}),
                "payload must be",
            ),
            (
                json!({"name": "a", "kfl": "true", "destination": "nonsense://x"}),
                "nonsense:// is not a store",
            ),
            (
                json!({"name": "a", "kfl": "true", "destination": "s3://"}),
                "the store has no name",
            ),
        ];
        for (declared, expected) in cases {
            let said = basis().read(&declared).unwrap_err();
            assert!(said.contains(expected), "{declared}: {said}");
        }
    }
}
