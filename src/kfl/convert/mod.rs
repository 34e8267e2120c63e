//! Queries of the first dialect in the second (reference section 14).
//!
//! In: a query of the first dialect. Out: one of the second that matches the same items, or the
//! reasons why there is none. Never: a query that means something else without a word about it.

mod compare;
#[cfg(test)]
mod tests;
mod values;

use serde::Serialize;

use super::error::Error;
use super::functions::Does;
use super::ir::{Const, End, Expr, Logic, Selector, Step};
use super::schema::Schema;
use super::v2::ast::Literal;
use super::v2::vars::{self, Type};
use super::{Dialect, compile_as};
use values::{Value, text_of};

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
            Expr::Typed(_) => self.cannot(
                "a macro that is written in KFL2 is not taken apart; use its name there".into(),
            ),
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
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn quoted(text: &str) -> String {
    Literal::Text(text.to_owned()).to_string()
}
