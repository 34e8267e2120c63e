//! Names that stand for a query of their own: `https`, and what an operator adds.
//!
//! In: names and texts, in any order; one may use another. Out: their meaning in either dialect, made
//! once, and a sentence about each that is no macro. Never: a meaning larger than a query may be, or
//! one that depends on itself.
//!
//! A text that only one dialect understands is that condition in both: of a query of the other it is
//! one part, and what is missing or fails in it makes it false.

use std::sync::Arc;

use super::ir::Expr;
use super::schema::Schema;
use super::v2::vars;
use super::{Dialect, Query, Steering, compile_as, detect};

/// The macros that are there without anybody asking.
const BUILT_IN: &[(&str, &str)] = &[("https", "tls and (http or http2)")];

/// Words that mean something else.
const WORDS: &[&str] = &[
    "and", "or", "nil", "null", "true", "false", "in", "now", "r", "b",
];

/// Macros of an operator at most.
const MAX_NAMED: usize = 256;

/// How large an expression is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Its operands and operators.
    pub nodes: usize,
    /// Levels of nesting.
    pub height: usize,
}

/// A name that stands for a query.
#[derive(Debug)]
pub(crate) struct Named {
    pub name: Box<str>,
    pub text: Box<str>,
    first: Option<Query>,
    second: Option<Query>,
}

impl Named {
    /// What it stands for in a query of `dialect`, and how large that is.
    pub(crate) fn expr(&self, dialect: Dialect) -> Option<(Expr, Size)> {
        let (own, other) = match dialect {
            Dialect::V1 => (&self.first, &self.second),
            Dialect::V2 => (&self.second, &self.first),
        };
        let query = own.as_ref().or(other.as_ref())?;
        let expr = query.0.expr.clone()?;
        let Size { nodes, height } = query.0.size;
        let (expr, more) = match (dialect, query.dialect()) {
            (Dialect::V1, _) => (Expr::Group(Box::new(expr)), 1),
            // Twice, since whatever the first dialect comes to is a boolean then.
            (Dialect::V2, Dialect::V1) => {
                let group = Expr::Group(Box::new(expr));
                (Expr::Not(Box::new(Expr::Not(Box::new(group)))), 3)
            }
            (Dialect::V2, Dialect::V2) => (expr, 0),
        };
        let size = Size {
            nodes: nodes + more,
            height: height + more,
        };
        Some((expr, size))
    }

    fn new(name: &str, text: &str, schema: &Schema) -> Result<Named, String> {
        let first = || compile_as(text, Dialect::V1, schema);
        let second = || compile_as(text, Dialect::V2, schema);
        let (first, second) = match detect::marks(text).map_err(|error| error.to_string())? {
            detect::Marks::Empty => return Err("it stands for nothing".into()),
            detect::Marks::Of(Dialect::V1) => (Some(first()), None),
            detect::Marks::Of(Dialect::V2) => (None, Some(second())),
            detect::Marks::None => match (first(), second()) {
                (Ok(first), second) if schema.has_roots_of(text) => {
                    (Some(Ok(first)), second.ok().map(Ok))
                }
                (_, second) => (None, Some(second)),
            },
        };
        let error = |error: super::Error| error.to_string();
        let named = Named {
            name: name.into(),
            text: text.into(),
            first: first.transpose().map_err(error)?,
            second: second.transpose().map_err(error)?,
        };
        let parts = || named.first.iter().chain(&named.second);
        if parts().any(|query| query.redacts() || *query.steering() != Steering::default()) {
            let sentence =
                "it is a condition: redact(), limit(), rlimit() and leftOff() have no place in it";
            return Err(sentence.into());
        }
        Ok(named)
    }

    /// What is doubtful about it.
    fn warnings(&self) -> impl Iterator<Item = String> {
        let queries = self.first.iter().chain(&self.second).take(1);
        queries.flat_map(|query| query.warnings().iter().map(ToString::to_string))
    }
}

/// The built-in ones, for a schema without any.
pub(crate) fn built_in(schema: &Schema) -> Vec<Arc<Named>> {
    let made = BUILT_IN
        .iter()
        .map(|(name, text)| Named::new(name, text, schema));
    made.filter_map(Result::ok).map(Arc::new).collect()
}

/// Why `name` cannot be given to a macro; `None` when it can.
fn refused(name: &str, schema: &Schema) -> Option<&'static str> {
    let is_letter = |c: char| c == '_' || c.is_alphabetic();
    let is_name =
        name.starts_with(is_letter) && name.chars().all(|c| c == '_' || c.is_alphanumeric());
    if !is_name {
        return Some("a name is letters, digits and underscores");
    }
    if WORDS.contains(&name) {
        return Some("the language has this word already");
    }
    let taken = vars::find(name).is_some() || schema.is_root(name);
    taken.then_some("a field, variable or macro has this name already")
}

/// Adds macros to `schema`, which takes the place of built-in ones of the same name; answers with a
/// sentence about each that is invalid, and about what is doubtful in the others.
pub(crate) fn add<'m>(
    schema: Schema,
    macros: impl IntoIterator<Item = (&'m str, &'m str)>,
) -> (Schema, Vec<String>) {
    let mut left: Vec<(&str, &str)> = macros.into_iter().collect();
    let mut said = Vec::new();
    if left.len() > MAX_NAMED {
        said.push(format!(
            "there are more than {MAX_NAMED}; the others are left out"
        ));
        left.truncate(MAX_NAMED);
    }
    let others = schema.named().iter();
    let others = others.filter(|known| !left.iter().any(|(name, _)| **name == *known.name));
    let others = others.cloned().collect();
    let mut schema = schema.with_named(others);
    left.retain(|(name, _)| match refused(name, &schema) {
        Some(why) => {
            said.push(format!("{name}: {why}"));
            false
        }
        None => true,
    });
    let mut left: Vec<_> = left
        .into_iter()
        .map(|(name, text)| (name, text, detect::roots(text)))
        .collect();
    let mut failed: Vec<&str> = Vec::new();
    while !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|(name, ..)| *name).collect();
        let (later, now): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, _, roots)| {
            roots.iter().any(|(_, root)| names.contains(&root.as_str()))
        });
        if now.is_empty() {
            said.extend(
                later
                    .iter()
                    .map(|(name, ..)| format!("{name}: it stands for itself")),
            );
            break;
        }
        let mut known = schema.named().to_vec();
        for (name, text, roots) in now {
            let uses = failed
                .iter()
                .find(|failed| roots.iter().any(|(_, root)| root == *failed));
            let made = match uses {
                Some(failed) => Err(format!("it uses {failed}, which is invalid")),
                None => Named::new(name, text, &schema),
            };
            match made {
                Ok(named) => {
                    said.extend(named.warnings().map(|warning| format!("{name}: {warning}")));
                    known.push(Arc::new(named));
                }
                Err(why) => {
                    failed.push(name);
                    said.push(format!("{name}: {why}"));
                }
            }
        }
        schema = schema.with_named(known);
        left = later;
    }
    (schema, said)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::{Verdict, compile};
    use super::*;
    use crate::item::json::JsonNode;
    use crate::item::{ENVELOPE, field};
    use crate::time::Timestamp;

    fn schema(macros: &[(&str, &str)]) -> (Schema, Vec<String>) {
        let http = [field(
            "response.status",
            crate::item::FieldType::Int,
            "status",
        )];
        Schema::new(ENVELOPE.iter().chain(&http), []).with_macros(macros.iter().copied())
    }

    fn record(abbr: &str, tls: bool, port: &str) -> Json {
        let name = if abbr == "DNS" { "dns" } else { "http" };
        json!({"protocol": {"name": name, "abbr": abbr, "version": "1.1", "macro": name}, "tls": tls,
            "dst": {"port": port, "ip": "10.0.0.1"}, "response": {"status": 503}, "request": {"headers": {}}})
    }

    fn is_match(text: &str, record: &Json, schema: &Schema) -> bool {
        let query = compile(text, schema).unwrap_or_else(|error| panic!("{text}: {error}"));
        query.matches(JsonNode(record), Timestamp::default()) == Verdict::Match
    }

    #[test]
    fn https_is_http_over_tls_in_both_dialects() {
        let (schema, said) = schema(&[]);
        assert!(said.is_empty());
        for (abbr, tls, wanted) in [
            ("HTTP", true, true),
            ("HTTP/2", true, true),
            ("HTTP", false, false),
            ("DNS", true, false),
        ] {
            let record = record(abbr, tls, "443");
            for text in ["https", "https and true", "https && true", "!(!https)"] {
                assert_eq!(
                    is_match(text, &record, &schema),
                    wanted,
                    "{text} {abbr} {tls}"
                );
            }
            assert_eq!(is_match("!https", &record, &schema), !wanted);
            assert_eq!(is_match("!https and true", &record, &schema), !wanted);
            assert_eq!(
                is_match("https or dns", &record, &schema),
                wanted || abbr == "DNS"
            );
        }
    }

    #[test]
    fn macros_of_either_dialect_serve_queries_of_both() {
        let (schema, said) = schema(&[
            ("broken_shop", "shop and failing"),
            ("shop", "http and dst.port == 80"),
            ("failing", "http && status_code >= 500"),
            ("web", "http"),
        ]);
        assert_eq!(said, Vec::<String>::new());
        let here = record("HTTP", false, "80");
        let there = record("HTTP", false, "81");
        for text in [
            "shop",
            "shop and true",
            "shop && true",
            "broken_shop",
            "failing && broken_shop",
        ] {
            assert!(is_match(text, &here, &schema), "{text}");
            assert!(!is_match(text, &there, &schema), "{text}");
        }
        // What a condition of KFL2 cannot tell is false there, and does not end the query around it.
        let (schema, _) =
            self::schema(&[("tenant", "request.headers[\"x-tenant\"] == \"a\" && http")]);
        assert!(is_match("!tenant and http", &here, &schema));
        assert!(!is_match("tenant or dns", &here, &schema));
        // HTTP/2 is http in the second dialect alone.
        let (schema, _) = self::schema(&[("web", "http")]);
        let two = record("HTTP/2", false, "80");
        assert!(!is_match("web and true", &two, &schema));
    }

    #[test]
    fn what_is_no_macro_is_told_and_left_out() {
        let (schema, said) = schema(&[
            ("http", "dns"),
            ("src", "dns"),
            ("a-b", "dns"),
            ("or", "dns"),
            ("half", "http and"),
            ("empty", " "),
            ("one", "two and http"),
            ("two", "one and http"),
            ("shown", "http and limit(3)"),
            ("odd", "http and srcc.name == \"a\""),
        ]);
        let starts = [
            "http: a field, variable or macro",
            "src: a field, variable or macro",
            "a-b: a name is letters",
            "or: the language has this word",
            "half: 1:9: unexpected token",
            "empty: it stands for nothing",
            "shown: it is a condition",
            "odd: no item has a field srcc.name",
            "one: it stands for itself",
            "two: it stands for itself",
        ];
        assert_eq!(said.len(), starts.len(), "{said:#?}");
        for (said, start) in said.iter().zip(starts) {
            assert!(said.starts_with(start), "{said}");
        }
        assert!(compile("half", &schema).is_err());
        assert!(compile("odd", &schema).is_ok());
    }

    #[test]
    fn macros_of_macros_stay_as_large_as_a_query_may_be() {
        let mut made: Vec<(String, String)> = vec![("m0".into(), "http and dst.port == 80".into())];
        for at in 1..30 {
            let text = format!("m{} and m{}", at - 1, at - 1);
            made.push((format!("m{at}"), text));
        }
        let pairs = || {
            made.iter()
                .map(|(name, text)| (name.as_str(), text.as_str()))
        };
        let (schema, said) = Schema::new(ENVELOPE, []).with_macros(pairs());
        assert!(
            said.iter().any(|said| said.contains("more than")),
            "{said:#?}"
        );
        assert!(
            said.last()
                .is_some_and(|said| said.contains("which is invalid")),
            "{said:#?}"
        );
        assert!(compile("m3", &schema).is_ok());
        assert!(compile("m3 && true", &schema).is_ok());
        let second: Vec<(String, String)> = made
            .iter()
            .map(|(name, text)| (name.clone(), text.replace(" and ", " && ")))
            .collect();
        let pairs = second
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let (_, said) = Schema::new(ENVELOPE, []).with_macros(pairs);
        assert!(
            said.iter().any(|said| said.contains("more than")),
            "{said:#?}"
        );
    }

    #[test]
    fn a_name_that_is_there_already_may_be_given_another_meaning() {
        let (schema, said) = schema(&[("https", "dst.port == 443")]);
        assert!(said.is_empty(), "{said:?}");
        assert!(is_match("https", &record("DNS", false, "443"), &schema));
    }
}
