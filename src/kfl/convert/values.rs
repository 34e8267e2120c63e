//! What a selector of the first dialect is in the second.
//!
//! In: a path, a key below a map, or a point in time. Out: the variable, member or literal that
//! reads the same. Never: a guess; a path without a counterpart is said to have none.

use super::Writer;
use crate::kfl::functions::Does;
use crate::kfl::ir::{Const, End, Expr, Selector, Step};
use crate::kfl::v2::vars::{self, Keys, Type, Var};

/// Fields of the first dialect that are a variable of another name, by the protocol they are of.
const NAMES: &[(&str, &str, &str)] = &[
    ("", "node.name", "node_name"),
    ("", "node.ip", "node_ip"),
    ("", "tunnel.type", "tunnel_type"),
    ("", "tunnel.id", "tunnel_id"),
    ("", "tunnel.src.ip", "tunnel_src_ip"),
    ("", "tunnel.dst.ip", "tunnel_dst_ip"),
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
pub(super) enum Value {
    Var(&'static Var),
    /// A member of a map.
    Member(&'static Var, String),
    /// A point in time that does not depend on the item.
    Time(String),
}

impl Writer {
    /// The value that a selector has in the second dialect; says why when there is none.
    pub(super) fn value(&mut self, selector: &Selector, of: Option<&str>) -> Option<Value> {
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
                let at = crate::kfl::time::datetime(text)?;
                Some(Value::Time(moment(at)?))
            }
            _ => {
                self.cannot("a call that depends on the item has no counterpart".into());
                None
            }
        }
    }

    pub(super) fn remark_labels(&mut self, var: &Var) {
        if is_namespace(var.name) {
            self.remark(format!(
                "in KFL2 {} of a peer outside the cluster is internal or public, not empty",
                var.name
            ));
        }
    }
}

pub(super) fn is_namespace(name: &str) -> bool {
    matches!(name, "src.namespace" | "dst.namespace")
}

/// Whether items of the macro `of` are of the protocol `owner`.
fn owned(of: &str, owner: &str) -> bool {
    of == owner || owner == "http" && matches!(of, "http2" | "grpc" | "gql" | "gqlv1" | "gqlv2")
}

/// Names and wildcards as a dotted path; `None` when other steps are among them.
pub(super) fn written(steps: &[Step]) -> Option<String> {
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
pub(super) fn text_of(constant: &Const) -> Option<String> {
    Some(match constant {
        Const::Text(text) => text.to_string(),
        Const::Int(_, text) | Const::Float(_, text) => text.to_string(),
        Const::Bool(value) => value.to_string(),
        _ => return None,
    })
}

pub(super) fn whole(constant: &Const) -> Option<i64> {
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
pub(super) fn moment(millis: i64) -> Option<String> {
    let at = chrono::DateTime::from_timestamp_millis(millis)?;
    let at = crate::kfl::v2::convert::in_range(at)?;
    let text = at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    Some(format!("timestamp(\"{text}\")"))
}
