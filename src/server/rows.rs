//! Rows of the list, as the page gets them.

use serde_json::{Value as Json, json};

use crate::dissect;
use crate::item::{Columns, Node, int_at, lookup, shown, text_at};

/// What the list shows of one item.
///
/// ```text
/// {"n": 7, "id": "...", "protocol": {"abbr","macro","background","foreground"}, "method", "status",
///  "summary", "src": {"ip","port","name","namespace"}, "dst": {...}, "timestamp": ms, "elapsed": ms,
///  "outgoing", "stream", "index", "size", "error": text or null, "tone", "trace": text or null, "passed", "failed",
///  "node", "worker"}
/// ```
pub fn row_json<'a, N: Node<'a>>(number: u64, item: N) -> Json {
    let text = |path: &str| text_at(item, path);
    let int = |path: &str| int_at(item, path);
    let flag = |path: &str| lookup(item, path).and_then(Node::bool).unwrap_or_default();
    let abbr = text("protocol.abbr");
    let columns = columns_of(&abbr);
    let side = |side: &str| {
        json!({
            "ip": text(&format!("{side}.ip")),
            "port": text(&format!("{side}.port")),
            "name": text(&format!("{side}.name")),
            "namespace": text(&format!("{side}.namespace")),
        })
    };
    let status = shown(item, columns.status);
    let error = lookup(item, "error.msg").and_then(Node::text);
    json!({
        "n": number,
        "id": text("id"),
        "protocol": {
            "abbr": abbr,
            "macro": text("protocol.macro"),
            "background": text("protocol.backgroundColor"),
            "foreground": text("protocol.foregroundColor"),
        },
        "method": shown(item, columns.method),
        "status": status,
        "tone": tone(item, &status).word(),
        "trace": trace_of(item),
        "summary": shown(item, columns.summary),
        "src": side("src"),
        "dst": side("dst"),
        "timestamp": int("timestamp"),
        "elapsed": int("elapsedTime"),
        "outgoing": flag("outgoing"),
        "stream": text("stream"),
        "index": int("index"),
        "size": int("size"),
        "error": error,
        "passed": flag("passed"),
        "failed": flag("failed"),
        "node": text("node.name"),
        "worker": text("worker"),
    })
}

/// Header fields with the id of a trace: W3C Trace Context, B3, Jaeger, Datadog.
const TRACE_FIELDS: [(&str, TraceForm); 4] = [
    ("traceparent", TraceForm::Second),
    ("x-b3-traceid", TraceForm::Whole),
    ("uber-trace-id", TraceForm::First),
    ("x-datadog-trace-id", TraceForm::Whole),
];

/// Where the id stands in its field.
#[derive(Clone, Copy)]
enum TraceForm {
    Whole,
    /// In front of the first colon.
    First,
    /// Between the first two dashes.
    Second,
}

/// Id of the trace that a request belongs to, by its header.
fn trace_of<'a, N: Node<'a>>(item: N) -> Option<String> {
    let headers = lookup(item, "request.headers")?;
    let fields = (0..headers.len()).filter_map(|index| headers.entry(index));
    fields.into_iter().find_map(|(name, value)| {
        let (_, form) = TRACE_FIELDS
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))?;
        let field = value.text()?;
        let id = match form {
            TraceForm::Whole => Some(&*field),
            TraceForm::First => field.split(':').next(),
            TraceForm::Second => field.split('-').nth(1),
        }?;
        let fits = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| id.to_owned())
    })
}

/// The columns of the protocol whose items have this short name.
pub fn columns_of(abbr: &str) -> Columns {
    let protocol = dissect::PROTOCOLS
        .iter()
        .find(|protocol| protocol.kinds().iter().any(|kind| kind.abbr == abbr));
    protocol
        .map(|protocol| protocol.columns())
        .unwrap_or_default()
}

/// How a status looks to somebody who searches for trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// It went well.
    Good,
    /// The asker's mistake, or something to look at.
    Warn,
    /// It went wrong.
    Bad,
    /// It says neither.
    Plain,
}

impl Tone {
    /// As pages call it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
            Tone::Plain => "plain",
        }
    }
}

/// The tone of an item with this status: what had no answer, broke off or was answered with an error
/// of a database failed, whatever its status is.
pub(super) fn tone<'a, N: Node<'a>>(item: N, status: &str) -> Tone {
    let failed = lookup(item, "error.msg").is_some()
        || lookup(item, "response.success").and_then(Node::bool) == Some(false);
    tone_of(status, failed)
}

/// The tone of a status in any protocol's words.
fn tone_of(status: &str, failed: bool) -> Tone {
    const WELL: [&str; 4] = ["noerror", "no error", "ok", "success"];
    const TROUBLE: [&str; 11] = [
        "error",
        "fail",
        "refus",
        "reject",
        "denied",
        "invalid",
        "non-existent",
        "unreach",
        "exceeded",
        "aborted",
        "reset",
    ];
    if failed {
        return Tone::Bad;
    }
    let five = status.len() == 5
        && status
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    match status.parse::<i64>() {
        Ok(500..=999) => return Tone::Bad,
        Ok(400..=499) => return Tone::Warn,
        Ok(0 | 100..=399) if !five => return Tone::Good,
        // SQLSTATE (SQL:2016) begins with a digit too.
        Ok(code) if code > 0 && !five => return Tone::Warn,
        _ => {}
    }
    let lower = status.to_ascii_lowercase();
    if WELL.contains(&lower.as_str()) {
        Tone::Good
    } else if five && status.starts_with(|first: char| first.is_ascii_digit()) {
        Tone::Bad
    } else if TROUBLE.iter().any(|word| lower.contains(word)) {
        Tone::Warn
    } else {
        Tone::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::json::JsonNode;

    #[test]
    fn a_request_tells_its_trace() {
        let cases = [
            (
                json!({"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}),
                Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            ),
            (
                json!({"X-B3-TraceId": "80f198ee56343ba8"}),
                Some("80f198ee56343ba8"),
            ),
            (json!({"uber-trace-id": "3e8a:1:0:1"}), Some("3e8a")),
            (json!({"traceparent": "nonsense"}), None),
            (json!({"traceparent": "00-<b>-1"}), None),
            (json!({"accept": "*/*"}), None),
        ];
        for (headers, wanted) in cases {
            let item = json!({"request": {"headers": headers}});
            assert_eq!(trace_of(JsonNode(&item)).as_deref(), wanted, "{item}");
        }
        assert_eq!(trace_of(JsonNode(&json!({}))), None);
    }

    #[test]
    fn a_status_has_the_tone_that_people_expect() {
        let cases = [
            ("200", Tone::Good),
            ("0", Tone::Good),
            ("404", Tone::Warn),
            ("503", Tone::Bad),
            ("No Error", Tone::Good),
            ("Non-Existent Domain", Tone::Warn),
            ("OK", Tone::Good),
            ("23505", Tone::Bad),
            ("42P01", Tone::Bad),
            ("", Tone::Plain),
            ("17", Tone::Warn),
            ("Access-Reject", Tone::Warn),
            ("Access-Accept", Tone::Plain),
        ];
        for (status, tone) in cases {
            assert_eq!(tone_of(status, false), tone, "{status}");
        }
        assert_eq!(tone_of("200", true), Tone::Bad);
    }

    #[test]
    fn an_error_of_a_database_is_a_failure_whatever_its_number() {
        let of = |item: Json| tone(JsonNode(&item), "1062");
        assert_eq!(of(json!({"response": {"success": false}})), Tone::Bad);
        assert_eq!(of(json!({"response": {"success": true}})), Tone::Warn);
        assert_eq!(of(json!({"error": {"msg": "broken off"}})), Tone::Bad);
    }
}
