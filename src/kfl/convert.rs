//! Queries of the first dialect in the second (reference section 14).
//!
//! In: a query of the first dialect. Out: one of the second that matches the same items, or the
//! reasons why there is none. Never: a query that means something else without a word about it.

use serde::Serialize;

use super::error::Error;
use super::functions::Does;
use super::ir::{Const, End, Expr, Logic, Op, Selector, Step};
use super::schema::Schema;
use super::v2::ast::Literal;
use super::v2::vars::{self, Keys, Type, Var};
use super::{Dialect, compile_as};

/// What became of a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Converted {
    /// The query of the second dialect; `None` when a part has none.
    pub query: Option<String>,
    /// What the second dialect cannot say, a sentence each.
    pub cannot: Vec<String>,
    /// Where the two differ at the edges, a sentence each.
    pub remarks: Vec<String>,
}

/// Writes a query of the first dialect in the second.
///
/// # Errors
/// When `text` is no valid query of the first dialect.
pub fn convert(text: &str, schema: &Schema) -> Result<Converted, Error> {
    let query = compile_as(text, Dialect::V1, schema)?;
    let mut writer = Writer::default();
    let Some(expr) = &query.0.expr else {
        return Ok(Converted {
            query: Some(String::new()),
            cannot: Vec::new(),
            remarks: Vec::new(),
        });
    };
    let written = writer.part(expr, None);
    let query = writer
        .cannot
        .is_empty()
        .then(|| unwrapped(&written).to_owned());
    // What was written is checked by the dialect it is for.
    if let Some(Err(error)) = query
        .as_ref()
        .map(|query| compile_as(query, Dialect::V2, schema))
    {
        writer.cannot(format!("this would not be valid: {}", error.message));
    }
    Ok(Converted {
        query: query.filter(|_| writer.cannot.is_empty()),
        cannot: writer.cannot,
        remarks: writer.remarks,
    })
}

/// Without the parentheses around the whole.
fn unwrapped(text: &str) -> &str {
    let inner = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'));
    inner
        .filter(|inner| super::explain::is_closed(inner))
        .unwrap_or(text)
}

#[derive(Default)]
struct Writer {
    cannot: Vec<String>,
    remarks: Vec<String>,
}

/// Fields of the first dialect that are a variable of another name, by the protocol they are of.
const NAMES: &[(&str, &str, &str)] = &[
    ("", "node.name", "node_name"),
    ("", "node.ip", "node_ip"),
    ("", "capture.source", "capture_source"),
    ("", "capture.backend", "capture_backend"),
    ("", "src.pod.metadata.name", "src.pod.name"),
    ("", "dst.pod.metadata.name", "dst.pod.name"),
    ("", "src.pod.metadata.namespace", "src.pod.namespace"),
    ("", "dst.pod.metadata.namespace", "dst.pod.namespace"),
    ("", "src.service.metadata.name", "src.service.name"),
    ("", "dst.service.metadata.name", "dst.service.name"),
    ("", "elapsedTime", "elapsed_time"),
    ("http", "request.method", "method"),
    ("http", "request.path", "path"),
    ("http", "request.url", "url"),
    ("http", "request.targetUri", "url"),
    ("http", "request.httpVersion", "http_version"),
    ("http", "request.bodySize", "request_body_size"),
    ("http", "request.headersSize", "request_headers_size"),
    ("http", "response.bodySize", "response_body_size"),
    ("http", "response.headersSize", "response_headers_size"),
    ("http", "response.status", "status_code"),
    ("dns", "request.questions.*.name", "dns_questions"),
    ("dns", "request.questions.*.type", "dns_question_types"),
    ("dns", "response.answers.*.ip", "dns_answers"),
    ("dns", "response.answers.*.cname", "dns_answers"),
    ("redis", "request.key", "redis_key"),
    ("kafka", "request.apiKey", "kafka_api_key"),
    ("kafka", "request.clientID", "kafka_client_id"),
    ("kafka", "request.size", "kafka_size"),
];

/// Maps of the first dialect whose members are asked for by key.
const MAPS: &[(&str, &str)] = &[
    ("request.headers", "request.headers"),
    ("response.headers", "response.headers"),
    ("request.cookies", "request.cookies"),
    ("response.cookies", "response.cookies"),
    ("request.queryString", "query_string"),
];

/// A value in the second dialect.
enum Value {
    Var(&'static Var),
    /// A member of a map.
    Member(&'static Var, String),
    /// A point in time that does not depend on the item.
    Time(String),
}

impl Writer {
    fn cannot(&mut self, why: String) -> String {
        if !self.cannot.contains(&why) {
            self.cannot.push(why);
        }
        "true".into()
    }

    fn remark(&mut self, what: String) {
        if !self.remarks.contains(&what) {
            self.remarks.push(what);
        }
    }

    /// A part, in parentheses where it does not hold together; `of` is the protocol around it.
    fn part(&mut self, expr: &Expr, of: Option<&str>) -> String {
        match expr {
            Expr::Group(inner) => self.part(inner, of),
            Expr::Chain(head, rest) => self.chain(head, rest, of),
            Expr::Not(inner) => match self.part(inner, of) {
                part if part.starts_with('(') || is_word(&part) => format!("!{part}"),
                part => format!("!({part})"),
            },
            Expr::Macro(made) => self.made(&made.name),
            Expr::Const(Const::Bool(value)) => value.to_string(),
            Expr::Select(selector) => self.alone(selector, of),
            Expr::Cmp(op, left, right) => self.compared(*op, left, right, of),
            _ => self.cannot("a value that is no condition has no place in KFL2".into()),
        }
    }

    fn chain(&mut self, head: &Expr, rest: &[(Logic, Expr)], of: Option<&str>) -> String {
        // The operands of one chain stand beside each other until the first `or`.
        let mut beside = vec![head];
        beside.extend(
            rest.iter()
                .take_while(|(logic, _)| *logic == Logic::And)
                .map(|(_, part)| part),
        );
        let named = beside.iter().find_map(|part| match part {
            Expr::Macro(made) => Some(&*made.name),
            _ => None,
        });
        let of = named.or(of);
        let mut parts: Vec<String> = vec![self.part(head, of)];
        parts.extend(rest.iter().map(|(_, part)| self.part(part, of)));
        let mut out = parts.pop().unwrap_or_default();
        let mut last: Option<Logic> = None;
        for ((logic, _), part) in rest.iter().rev().zip(parts.into_iter().rev()) {
            if last.is_some_and(|last| last != *logic) {
                out = format!("({out})");
            }
            let sign = if *logic == Logic::And { "&&" } else { "||" };
            out = format!("{part} {sign} {out}");
            last = Some(*logic);
        }
        format!("({out})")
    }

    fn made(&mut self, name: &str) -> String {
        match name {
            "http" => "(http && !grpc && !gql && http_version != \"HTTP/2\")".into(),
            "http2" => "(http && !grpc && !gql && http_version == \"HTTP/2\")".into(),
            _ if vars::find(name).is_some() => name.into(),
            _ => self.cannot(format!("KFL2 has no flag {name}")),
        }
    }

    /// A selector that stands alone: its truth, or what its helper says.
    fn alone(&mut self, selector: &Selector, of: Option<&str>) -> String {
        if let End::Helper(helper) = selector.end {
            return self.helped(helper.name, helper.does, selector, of);
        }
        if let [Step::Name(name)] = selector.steps.as_slice()
            && &**name == "tls"
        {
            return "tls".into();
        }
        match self.value(selector, of) {
            Some(Value::Var(var)) => match var.ty {
                Type::Bool => var.name.into(),
                Type::Int => format!("{} > 0", var.name),
                Type::Text => format!("{} != \"\"", var.name),
                _ => format!("size({}) > 0", var.name),
            },
            Some(Value::Member(map, key)) => {
                format!("map_get({}, {}, \"\") != \"\"", map.name, quoted(&key))
            }
            _ => "true".into(),
        }
    }

    fn helped(&mut self, name: &str, does: Does, selector: &Selector, of: Option<&str>) -> String {
        let (Some((Step::Call(_, params), receiver)), true) = (
            selector.steps.split_last(),
            matches!(does, Does::StartsWith | Does::EndsWith | Does::Contains),
        ) else {
            return self.cannot(match does {
                Does::Limit | Does::Rlimit | Does::LeftOff => {
                    format!("{name}() steers the stream; give it as a parameter of the request")
                }
                _ => format!("KFL2 has no {name}()"),
            });
        };
        let Some(Expr::Const(part)) = params.first() else {
            return self.cannot(format!("{name}() of another field has no counterpart"));
        };
        let Some(part) = text_of(part) else {
            return self.cannot("a text with two readings has no counterpart".into());
        };
        let receiver = Selector {
            steps: receiver.to_vec(),
            end: End::Value,
            fallback: selector.fallback,
        };
        match self.value(&receiver, of) {
            Some(value) => self.tested(value, &format!("{name}({})", quoted(&part))),
            None => "true".into(),
        }
    }

    fn remark_labels(&mut self, var: &Var) {
        if is_namespace(var.name) {
            self.remark(format!(
                "in KFL2 {} of a peer outside the cluster is internal or public, not empty",
                var.name
            ));
        }
    }

    /// A method of a text; of a number that of its text, of a list that of any element.
    fn tested(&mut self, value: Value, method: &str) -> String {
        if let Value::Var(var) = &value {
            self.remark_labels(var);
        }
        match value {
            Value::Var(var) => match var.ty {
                Type::Text => format!("{}.{method}", var.name),
                Type::List => format!("{}.exists(x, x.{method})", var.name),
                Type::Int if var.name != "elapsed_time" => format!("string({}).{method}", var.name),
                _ => self.cannot(format!("{} has another form in KFL2", var.name)),
            },
            Value::Member(map, key) => {
                let key = quoted(&key);
                format!("({key} in {map} && {map}[{key}].{method})", map = map.name)
            }
            Value::Time(_) => self.cannot("a point in time is no text in KFL2".into()),
        }
    }

    /// The value that a selector has in the second dialect; says why when there is none.
    fn value(&mut self, selector: &Selector, of: Option<&str>) -> Option<Value> {
        if let End::Helper(helper) = selector.end {
            return self.time(helper.does, selector);
        }
        let path = match selector.end {
            End::Value => written(&selector.steps),
            _ => None,
        };
        let Some(path) = path else {
            self.cannot(
                "a call that comes to nothing, or a path into bodies, has no counterpart".into(),
            );
            return None;
        };
        if let Some((map, key)) = member(&path, &selector.steps) {
            if matches!(map.ty, Type::Map(Keys::Headers)) {
                self.remark(format!(
                    "in KFL2 letter case of {} does not count",
                    map.name
                ));
            }
            return Some(Value::Member(map, key));
        }
        let named = NAMES.iter().find(|(_, name, _)| *name == path);
        let var = match named {
            Some((owner, ..)) if !owner.is_empty() && of.is_some_and(|of| !owned(of, owner)) => {
                None
            }
            Some((_, _, var)) => vars::find(var),
            None => selector.fallback.or_else(|| {
                vars::find(&path).filter(|var| {
                    matches!(var.how, vars::How::Path(at) if at == path) || is_namespace(&path)
                })
            }),
        };
        match var.filter(|var| var.how != vars::How::Absent) {
            Some(var) => {
                if let Some(owner) = var
                    .owner
                    .filter(|owner| of.is_none_or(|of| !owned(of, owner)))
                {
                    self.remark(format!("in KFL2 {} is of {owner} items only", var.name));
                }
                if path.contains(".answers.") {
                    self.remark("dns_answers holds answers of every kind".into());
                }
                if path.contains(".metadata.") {
                    self.remark(format!(
                        "{} falls back on other names when there is no such",
                        var.name
                    ));
                }
                Some(Value::Var(var))
            }
            None => {
                self.cannot(format!("KFL2 has no variable for {path}"));
                None
            }
        }
    }

    fn time(&mut self, does: Does, selector: &Selector) -> Option<Value> {
        let param = match selector.steps.last() {
            Some(Step::Call(_, params)) => params.first(),
            _ => None,
        };
        match (does, param) {
            (Does::Now, _) => Some(Value::Time("now()".into())),
            (Does::Relative(unit), Some(Expr::Const(Const::Int(count, _)))) => {
                let seconds = count.saturating_mul(unit) / 1000;
                let sign = if seconds < 0 { '-' } else { '+' };
                Some(Value::Time(format!(
                    "now() {sign} duration(\"{}s\")",
                    seconds.unsigned_abs()
                )))
            }
            (Does::Datetime, Some(Expr::Const(Const::Text(text)))) => {
                let at = super::time::datetime(text)?;
                Some(Value::Time(moment(at)?))
            }
            _ => {
                self.cannot("a call that depends on the item has no counterpart".into());
                None
            }
        }
    }

    fn compared(&mut self, op: Op, left: &Expr, right: &Expr, of: Option<&str>) -> String {
        let (op, selector, other) = match (left, right) {
            (Expr::Select(selector), other) => (op, selector, other),
            (other, Expr::Select(selector)) => (super::plan::turned(op), selector, other),
            _ => return self.cannot("a comparison without a field has no counterpart".into()),
        };
        // The answer's code is a number there.
        if written(&selector.steps).as_deref() == Some("response.code") {
            return self.dns_code(op, other);
        }
        let Some(value) = self.value(selector, of) else {
            return "true".into();
        };
        match other {
            Expr::Pattern(pattern) => {
                let owner = match &value {
                    Value::Var(var) => var.owner.map(str::to_owned),
                    _ => None,
                };
                let test = self.tested(value, &format!("matches({})", quoted(pattern.written())));
                match (op, owner) {
                    (Op::Eq, _) => test,
                    (Op::Ne, Some(owner)) => format!("({owner} && !{test})"),
                    (Op::Ne, None) => format!("!{test}"),
                    _ => self.cannot("a pattern has no order".into()),
                }
            }
            Expr::Const(constant) => self.with_constant(op, value, constant),
            Expr::Select(other) => match (value, self.value(other, of)) {
                (Value::Var(left), Some(Value::Var(right)))
                    if left.ty == right.ty && left.ty != Type::List =>
                {
                    self.remark_labels(left);
                    format!("{} {} {}", left.name, op.sign(), right.name)
                }
                (Value::Var(left), Some(Value::Time(at))) if left.ty == Type::Time => {
                    format!("{} {} {at}", left.name, op.sign())
                }
                (Value::Time(at), Some(Value::Var(right))) if right.ty == Type::Time => {
                    format!("{at} {} {}", op.sign(), right.name)
                }
                (_, None) => "true".into(),
                _ => self.cannot("these two are of different types in KFL2".into()),
            },
            _ => self.cannot("a comparison of a comparison has no counterpart".into()),
        }
    }

    fn with_constant(&mut self, op: Op, value: Value, constant: &Const) -> String {
        let sign = op.sign();
        let text = text_of(constant);
        match (value, text) {
            (Value::Member(map, key), Some(text)) => {
                let (map, key, shown) = (map.name, quoted(&key), quoted(&text));
                match op {
                    Op::Eq if !text.is_empty() => format!("map_get({map}, {key}, \"\") == {shown}"),
                    Op::Eq | Op::Ne => format!("({key} in {map} && {map}[{key}] {sign} {shown})"),
                    _ => self.cannot(format!(
                        "{map} holds texts, which KFL2 does not order as numbers"
                    )),
                }
            }
            (Value::Var(var), Some(text)) => match var.ty {
                Type::Text if is_namespace(var.name) && text.is_empty() => {
                    let name = var.name;
                    match op {
                        Op::Eq => format!("({name} == \"internal\" || {name} == \"public\")"),
                        Op::Ne => format!("!({name} == \"internal\" || {name} == \"public\")"),
                        _ => self.cannot(format!(
                            "{name} is a text, which KFL2 does not order as a number"
                        )),
                    }
                }
                Type::Text if matches!(op, Op::Eq | Op::Ne) => {
                    format!("{} {sign} {}", var.name, quoted(&text))
                }
                Type::List if op == Op::Eq => format!("{} in {}", quoted(&text), var.name),
                Type::Bool if text == "true" || text == "false" => {
                    let set = (text == "true") == (op == Op::Eq);
                    if !matches!(op, Op::Eq | Op::Ne) {
                        return self.cannot("flags have no order in KFL2".into());
                    }
                    format!("{}{}", if set { "" } else { "!" }, var.name)
                }
                Type::Int => match whole(constant) {
                    Some(number) => {
                        let scale = if var.name == "elapsed_time" { 1000 } else { 1 };
                        format!("{} {sign} {}", var.name, number.saturating_mul(scale))
                    }
                    None => self.cannot(format!(
                        "{} is a whole number in KFL2, not {text}",
                        var.name
                    )),
                },
                Type::Time => match whole(constant).and_then(moment) {
                    Some(at) => format!("{} {sign} {at}", var.name),
                    None => self.cannot("this is no point in time".into()),
                },
                _ => self.cannot(format!("{} cannot be compared so in KFL2", var.name)),
            },
            (_, None) => self.cannot("nil has no counterpart; compare with the default".into()),
            (Value::Time(_), _) => {
                self.cannot("a comparison without a field has no counterpart".into())
            }
        }
    }

    fn dns_code(&mut self, op: Op, other: &Expr) -> String {
        let code = match other {
            Expr::Const(constant) => text_of(constant),
            _ => None,
        };
        let known = code.and_then(|code| {
            super::v2::read::DNS_CODES
                .iter()
                .find(|(name, _)| *name == code)
        });
        match (known, op) {
            (Some((_, code)), Op::Eq | Op::Ne) => {
                self.remark("in KFL2 an item without a DNS response has the code 0".into());
                format!("(dns && dns_response && status_code {} {code})", op.sign())
            }
            _ => self.cannot("KFL2 has DNS response codes as numbers only".into()),
        }
    }
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn is_namespace(name: &str) -> bool {
    matches!(name, "src.namespace" | "dst.namespace")
}

/// Whether items of the macro `of` are of the protocol `owner`.
fn owned(of: &str, owner: &str) -> bool {
    of == owner || owner == "http" && matches!(of, "http2" | "grpc" | "gql" | "gqlv1" | "gqlv2")
}

/// Names and wildcards as a dotted path; `None` when other steps are among them.
fn written(steps: &[Step]) -> Option<String> {
    let names: Option<Vec<&str>> = steps
        .iter()
        .map(|step| match step {
            Step::Name(name) | Step::Key(name, None) => Some(&**name),
            Step::Wild => Some("*"),
            _ => None,
        })
        .collect();
    names.map(|names| names.join("."))
}

/// The map and key of a path that leads into one.
fn member(path: &str, steps: &[Step]) -> Option<(&'static Var, String)> {
    let (_, map) = MAPS.iter().find(|(map, _)| {
        path.strip_prefix(map)
            .is_some_and(|rest| rest.starts_with('.'))
    })?;
    let (Step::Name(key) | Step::Key(key, None)) = steps.get(2)? else {
        return None;
    };
    (steps.len() == 3).then(|| Some((vars::find(map)?, key.to_string())))?
}

/// The one text of a constant; `None` for nil and for a text with two readings.
fn text_of(constant: &Const) -> Option<String> {
    Some(match constant {
        Const::Text(text) => text.to_string(),
        Const::Int(_, text) | Const::Float(_, text) => text.to_string(),
        Const::Bool(value) => value.to_string(),
        _ => return None,
    })
}

fn whole(constant: &Const) -> Option<i64> {
    match constant {
        Const::Int(value, _) => Some(*value),
        Const::Float(value, _) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
        Const::Text(text) => {
            let value: i64 = text.parse().ok()?;
            (value.to_string() == **text).then_some(value)
        }
        _ => None,
    }
}

/// A point in time as a literal of the second dialect.
fn moment(millis: i64) -> Option<String> {
    let at = chrono::DateTime::from_timestamp_millis(millis)?;
    let at = super::v2::convert::in_range(at)?;
    let text = at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    Some(format!("timestamp(\"{text}\")"))
}

fn quoted(text: &str) -> String {
    Literal::Text(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::item::json::JsonNode;
    use crate::item::{ENVELOPE, sample};
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_secs(1_706_933_200, 0);

    fn schema() -> Schema {
        Schema::new(ENVELOPE, [])
    }

    #[test]
    fn queries_are_written_in_the_second_dialect() {
        for (first, second) in [
            ("dns or redis and kafka", "dns || (redis && kafka)"),
            ("!dns and !tcp", "!dns && !tcp"),
            ("response.status >= 500", "status_code >= 500"),
            (
                "response.status == r\"5.*\"",
                "string(status_code).matches(\"5.*\")",
            ),
            (
                "request.path.startsWith(\"/a\") and dst.port == \"80\"",
                "path.startsWith(\"/a\") && dst.port == 80",
            ),
            (
                "request.headers[\"User-Agent\"] == \"x\"",
                "map_get(request.headers, \"User-Agent\", \"\") == \"x\"",
            ),
            (
                "timestamp > minutes(-5)",
                "timestamp > now() - duration(\"300s\")",
            ),
            (
                "timestamp >= datetime(\"1/2/2026, 3:04:05 PM\")",
                "timestamp >= timestamp(\"2026-01-02T15:04:05Z\")",
            ),
            ("elapsedTime > 500", "elapsed_time > 500000"),
            (
                "dns and request.questions.*.name == \"a.b\"",
                "dns && \"a.b\" in dns_questions",
            ),
            (
                "dst.namespace == \"\"",
                "dst.namespace == \"internal\" || dst.namespace == \"public\"",
            ),
            (
                "redis and request.key == \"k\"",
                "redis && redis_key == \"k\"",
            ),
            (
                "dns and response.code == \"Non-Existent Domain\"",
                "dns && (dns && dns_response && status_code == 3)",
            ),
            (
                "http",
                "http && !grpc && !gql && http_version != \"HTTP/2\"",
            ),
            (
                "src.pod.namespace == \"a\" or tls",
                "src.pod.namespace == \"a\" || tls",
            ),
            ("", ""),
        ] {
            let converted = convert(first, &schema()).unwrap();
            assert_eq!(
                converted.query.as_deref(),
                Some(second),
                "{first}: {converted:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_said_is_said() {
        for (text, word) in [
            ("http and limit(5)", "limit"),
            ("response.content.text.json().a == 1", "bodies"),
            ("redact(\"a\")", "redact"),
            ("error", "error"),
            ("request.path == nil", "nil"),
            ("response.status == \"abc\"", "whole number"),
            ("nope == 1", "nope"),
        ] {
            let converted = convert(text, &schema()).unwrap();
            assert_eq!(converted.query, None, "{text}");
            assert!(
                converted.cannot.iter().any(|why| why.contains(word)),
                "{text}: {converted:?}"
            );
        }
        assert!(convert("http and", &schema()).is_err());
    }

    fn text() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "http",
            "dns",
            "tls",
            "!dns",
            "response.status == 500",
            "response.status >= 200",
            "response.status == r\"5\"",
            "response.status != r\"5\"",
            "request.method == \"POST\"",
            "request.path == r\"^/o\"",
            "request.path != \"/orders\"",
            "request.path.contains(\"ord\")",
            "src.port == 51514",
            "dst.port > 80",
            "dst.port == \"8080\"",
            "dst.namespace == \"shop\"",
            "dst.namespace != \"\"",
            "src.name == \"web-7d9\"",
            "elapsedTime > 11",
            "elapsedTime == 12",
            "timestamp > minutes(-5)",
            "timestamp == 1706933106000",
            "request.headers[\"Host\"] == \"cart.shop\"",
            "request.headers[\"Host\"] != \"x\"",
            "request.queryString[\"dry\"] == 1",
            "dns and request.questions.*.name == \"a.b\"",
            "node.name == \"node-a\"",
            "status_code == 500",
        ])
        .prop_map(str::to_owned);
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("{l} and {r}")),
                (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("{l} or {r}")),
                inner.clone().prop_map(|e| format!("({e})")),
                inner.prop_map(|e| format!("!({e})")),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_match_the_same_items(text in text()) {
            let converted = convert(&text, &schema());
            prop_assert!(converted.is_ok(), "{}", text);
            let Some(second) = converted.ok().and_then(|converted| converted.query) else { return Ok(()) };
            let first = compile_as(&text, Dialect::V1, &schema());
            let made = compile_as(&second, Dialect::V2, &schema());
            prop_assert!(made.is_ok(), "{}: {:?}", second, made);
            let item = sample::http();
            let dns: Json = json!({"protocol": {"name": "dns", "abbr": "DNS", "version": "0"}, "request": {"questions": [{"name": "a.b"}]},
                "src": {"ip": "8.8.8.8", "port": "53", "name": "", "namespace": ""}, "dst": {"ip": "10.0.0.1", "port": "53", "name": "", "namespace": ""},
                "node": {"name": "n"}, "timestamp": 1_706_933_106_000_i64, "elapsedTime": 1, "tls": true, "response": null});
            let (Ok(first), Ok(made)) = (first, made) else { return Ok(()) };
            prop_assert_eq!(first.matches(item.node(), NOW), made.matches(item.node(), NOW), "{} as {}", text, second);
            prop_assert_eq!(first.matches(JsonNode(&dns), NOW), made.matches(JsonNode(&dns), NOW), "{} as {}", text, second);
        }
    }
}
