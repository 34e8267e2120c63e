//! Completion: what may stand at the cursor.
//!
//! In: a text that is being written and a cursor. Out: names, values and operators that fit there,
//! each with a sentence, from the lists that the checker and the reference page read as well.
//! Never: a parse; an unfinished text has no tree, so its last tokens tell.

use std::collections::HashSet;

use serde::Serialize;

use super::closed;
use super::detect::{self, Kind, Marks, Token};
use super::functions::HELPERS;
use super::schema::Schema;
use super::v2::signatures::{FUNCTIONS, Form};
use super::v2::vars::{self, Type, VARS};
use super::{Dialect, MAX_LENGTH};
use crate::item::{Field, FieldType};

/// Proposals of one answer: all names of both dialects, and more than a person reads.
pub const MAX_PROPOSALS: usize = 1000;

/// What may stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// Offset in bytes of the first character that a proposal replaces; it replaces all up to the
    /// cursor.
    pub from: usize,
    /// What fits, the likeliest first.
    pub proposals: Vec<Proposal>,
}

/// One thing that fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// What to put there.
    pub text: String,
    /// What it is.
    pub kind: What,
    /// One sentence for people.
    pub doc: String,
}

/// What a proposal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A field of items, in the first dialect.
    Field,
    /// A variable of the second dialect.
    Variable,
    /// One name for a protocol test.
    Macro,
    /// A function, method or helper.
    Function,
    /// A value of a closed set.
    Value,
    /// What joins or compares.
    Operator,
}

/// Proposes what may stand at `cursor`, a byte offset; `dialect` is told by the text when not given.
pub fn complete(
    text: &str,
    cursor: usize,
    dialect: Option<Dialect>,
    schema: &Schema,
) -> Completion {
    let before = text.get(..cursor).unwrap_or(text);
    let mut found = Found {
        first: dialect != Some(Dialect::V2),
        second: dialect != Some(Dialect::V1),
        schema,
        typed: "",
        proposals: Vec::new(),
        known: HashSet::new(),
    };
    if before.len() > MAX_LENGTH {
        return found.done(before.len());
    }
    if dialect.is_none()
        && let Ok(Marks::Of(dialect)) = detect::marks(text)
    {
        found.first = dialect == Dialect::V1;
        found.second = dialect == Dialect::V2;
    }
    let tokens = detect::tokens(before);
    if detect::is_in_comment(before) {
        return found.done(before.len());
    }
    // A string that is being written.
    if let Some((last, rest)) = tokens.split_last()
        && let Kind::Text { .. } = last.kind
        && !last.closed
    {
        let prefix = last.text.len() - last.text.trim_start_matches(['r', 'R', 'b', 'B']).len();
        let inner = last.text.get(prefix + 1..).unwrap_or_default();
        found.typed = inner;
        found.values(rest, Some(inner));
        return found.done(before.len() - inner.len());
    }
    let start = word(before);
    let typed = before.get(start..).unwrap_or_default();
    let rest: Vec<_> = tokens
        .into_iter()
        .take_while(|token| token.offset < start)
        .collect();
    found.typed = typed;
    if typed.is_empty() && ends_operand(&rest) {
        found.operators();
        return found.done(start);
    }
    if !typed.contains('.') && ends_operand(&rest) {
        // Two operands cannot follow each other: a word is becoming an operator.
        found.operators();
        return found.done(start);
    }
    found.values(&rest, None);
    found.names();
    if let Some((of, method)) = typed.rsplit_once('.') {
        let at = start + of.len() + 1;
        let before_methods = found.proposals.len();
        found.typed = method;
        found.methods(of);
        if before_methods == 0 {
            return found.done(at);
        }
        for proposal in found.proposals.iter_mut().skip(before_methods) {
            proposal.text = format!("{of}.{}", proposal.text);
        }
    }
    found.done(start)
}

/// Where the names and dots that end in front of the cursor begin.
fn word(before: &str) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '*');
    let start = before.trim_end_matches(is_word).len();
    // A number is no name.
    match before.get(start..).and_then(|word| word.chars().next()) {
        Some(first) if first.is_ascii_digit() => before.len(),
        _ => start,
    }
}

/// Whether an operand stands at the end, so that an operator follows.
fn ends_operand(tokens: &[Token<'_>]) -> bool {
    tokens.last().is_some_and(|token| match token.kind {
        Kind::Name => !matches!(token.text, "and" | "or" | "in"),
        Kind::Number | Kind::Text { .. } => true,
        Kind::Sign => matches!(token.text, ")" | "]" | "}"),
    })
}

struct Found<'c> {
    first: bool,
    second: bool,
    schema: &'c Schema,
    /// What is there of the word.
    typed: &'c str,
    proposals: Vec<Proposal>,
    known: HashSet<String>,
}

impl Found<'_> {
    fn add(&mut self, text: impl Into<String>, kind: What, doc: impl Into<String>) {
        let text = text.into();
        let typed = self.typed.to_lowercase();
        let fits = text.to_lowercase().contains(&typed);
        if fits && self.known.insert(text.clone()) {
            let doc = doc.into();
            self.proposals.push(Proposal { text, kind, doc });
        }
    }

    fn done(mut self, from: usize) -> Completion {
        let typed = self.typed.to_lowercase();
        // What goes on from what is there comes first, values before names.
        self.proposals.sort_by_key(|proposal| {
            let text = proposal.text.to_lowercase();
            let quoted = text.trim_start_matches('"');
            (
                !text.starts_with(&typed) && !quoted.starts_with(&typed),
                proposal.kind != What::Value,
            )
        });
        self.proposals.truncate(MAX_PROPOSALS);
        Completion {
            from,
            proposals: self.proposals,
        }
    }

    /// Values of what is compared in front of the cursor; `open` is a string already begun.
    fn values(&mut self, tokens: &[Token<'_>], open: Option<&str>) {
        let Some(name) = compared(tokens) else {
            return;
        };
        let shown = |value: &str| match open {
            Some(_) => value.to_owned(),
            None => format!("\"{value}\""),
        };
        for (value, doc) in closed::values(&name) {
            self.add(shown(value), What::Value, *doc);
        }
        let kinds = self.schema.kinds().to_vec();
        match name.as_str() {
            "protocol" => closed::PROTOCOLS
                .iter()
                .for_each(|value| self.add(shown(value), What::Value, "items of this protocol")),
            "protocol.abbr" => kinds
                .iter()
                .for_each(|kind| self.add(shown(kind.abbr), What::Value, kind.long_name)),
            "protocol.name" => kinds
                .iter()
                .for_each(|kind| self.add(shown(kind.name), What::Value, kind.long_name)),
            "protocol.version" => kinds
                .iter()
                .for_each(|kind| self.add(shown(kind.version), What::Value, kind.long_name)),
            _ => {}
        }
        if open.is_some() {
            return;
        }
        let ty = vars::find(&name).map(|var| var.ty);
        let field = self.schema.fields().iter().find(|field| field.path == name);
        if ty == Some(Type::Bool) || field.is_some_and(|field| field.kind == FieldType::Bool) {
            self.add("true", What::Value, "it is so");
            self.add("false", What::Value, "it is not so");
        }
    }

    fn names(&mut self) {
        if self.second {
            for var in VARS {
                self.add(var.name, What::Variable, var.doc);
            }
        }
        if self.first {
            for made in self.schema.macros() {
                let doc = format!("items whose protocol.{} is {}", made.member, made.value);
                self.add(&*made.name, What::Macro, doc);
            }
            self.queries_by_name();
            let fields: Vec<(String, &str)> = self
                .schema
                .fields()
                .iter()
                .map(|field| (written(field, self.schema.fields()), field.doc))
                .collect();
            for (path, doc) in fields {
                self.add(path, What::Field, doc);
            }
            for helper in HELPERS
                .iter()
                .filter(|helper| !helper.signature.contains('.'))
            {
                self.add(call(helper.signature), What::Function, helper.doc);
            }
        }
        if self.second {
            self.queries_by_name();
            for function in FUNCTIONS
                .iter()
                .filter(|function| function.form == Form::Free)
            {
                self.add(call(function.signature), What::Function, function.doc);
            }
        }
    }

    /// Macros that stand for a query, which both dialects have.
    fn queries_by_name(&mut self) {
        let schema = self.schema;
        for (name, text) in schema.queries_by_name() {
            self.add(name, What::Macro, format!("stands for {text}"));
        }
    }

    /// What can be called on the value called `of`.
    fn methods(&mut self, of: &str) {
        if self.first {
            for helper in HELPERS {
                if let Some(method) = helper.signature.strip_prefix("path.") {
                    self.add(call(method), What::Function, helper.doc);
                }
            }
        }
        if !self.second {
            return;
        }
        let Some(var) = vars::find(of) else { return };
        let takes = |of: &str| match var.ty {
            Type::Text => of == "text",
            Type::List => of == "list",
            Type::Map(_) => of == "list",
            Type::Time => of == "time",
            Type::Int | Type::Bool | Type::Bytes => false,
        };
        for function in FUNCTIONS {
            if let Some((of, method)) = function.signature.split_once('.')
                && function.form != Form::Free
                && takes(of)
            {
                self.add(call(method), What::Function, function.doc);
            }
        }
    }

    fn operators(&mut self) {
        const BOTH: &[(&str, &str)] = &[
            ("==", "is equal"),
            ("!=", "is not equal"),
            (">=", "is greater or equal"),
            (">", "is greater"),
            ("<=", "is less or equal"),
            ("<", "is less"),
        ];
        if self.first {
            self.add("and", What::Operator, "both hold; groups to the right");
            self.add(
                "or",
                What::Operator,
                "one holds at least; groups to the right",
            );
        }
        if self.second {
            self.add("&&", What::Operator, "both hold");
            self.add("||", What::Operator, "one holds at least");
        }
        for (sign, doc) in BOTH {
            self.add(*sign, What::Operator, *doc);
        }
        if self.second {
            self.add(
                "in",
                What::Operator,
                "is an element of a list or a key of a map",
            );
        }
    }
}

/// The name that is compared with what stands at the end: `name ==`, `name in [...,`, `... in`.
fn compared(tokens: &[Token<'_>]) -> Option<String> {
    let mut rest = tokens;
    // Back to the bracket of a list.
    if let Some(open) = rest.iter().rposition(|token| token.text == "[")
        && rest.get(..open).and_then(<[_]>::last)?.text == "in"
        && rest.iter().skip(open).all(|token| token.text != "]")
    {
        rest = rest.get(..open)?;
    }
    let (last, mut rest) = rest.split_last()?;
    match last.text {
        "in" => {}
        "=" | ">" | "<" => {
            // The second half of an operator.
            if let Some((sign, front)) = rest.split_last()
                && matches!(sign.text, "=" | "!" | ">" | "<")
            {
                rest = front;
            }
        }
        _ => return None,
    }
    let mut names = Vec::new();
    let mut wants_name = true;
    for token in rest.iter().rev() {
        match token.kind {
            Kind::Name if wants_name => names.push(token.text),
            Kind::Sign if token.text == "." && !wants_name => {}
            // A wildcard only says that there are several.
            Kind::Sign if token.text == "*" && wants_name && !names.is_empty() => {
                wants_name = false;
                continue;
            }
            _ => break,
        }
        wants_name = !wants_name;
    }
    names.reverse();
    (!names.is_empty()).then(|| names.join("."))
}

/// A call with its parameters left to be written.
fn call(signature: &str) -> String {
    match signature.split_once('(') {
        Some((name, ")")) => format!("{name}()"),
        Some((name, _)) => format!("{name}("),
        None => signature.to_owned(),
    }
}

/// A field's path as a query writes it: a wildcard steps into a list.
fn written(field: &Field, all: &[Field]) -> String {
    let mut written = String::new();
    let mut path = String::new();
    for name in field.path.split('.') {
        if !path.is_empty() {
            let within_list = |known: &Field| known.path == path && known.kind == FieldType::List;
            written.push_str(if all.iter().any(within_list) {
                ".*."
            } else {
                "."
            });
            path.push('.');
        }
        path.push_str(name);
        written.push_str(name);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{ENVELOPE, field};

    fn at(text: &str, dialect: Option<Dialect>) -> (usize, Vec<String>) {
        let own = [
            field("request.method", FieldType::Text, "request method"),
            field("request.questions", FieldType::List, "what was asked"),
            field("request.questions.type", FieldType::Text, "type asked for"),
            field("response.status", FieldType::Int, "status"),
        ];
        let schema = Schema::new(ENVELOPE.iter().chain(&own), []);
        let completion = complete(text, text.len(), dialect, &schema);
        for proposal in &completion.proposals {
            assert!(!proposal.doc.is_empty(), "{}", proposal.text);
        }
        let texts = completion
            .proposals
            .into_iter()
            .map(|proposal| proposal.text);
        (completion.from, texts.collect())
    }

    #[track_caller]
    fn proposes(text: &str, from: usize, wanted: &[&str], unwanted: &[&str]) {
        let (start, found) = at(text, None);
        assert_eq!(start, from, "{text}: {found:?}");
        for wanted in wanted {
            assert!(
                found.iter().any(|found| found == wanted),
                "{text}: {wanted} not in {found:?}"
            );
        }
        for unwanted in unwanted {
            assert!(
                found.iter().all(|found| found != unwanted),
                "{text}: {unwanted} in {found:?}"
            );
        }
    }

    #[test]
    fn names_that_begin_so_come_first() {
        proposes(
            "",
            0,
            &["http", "status_code", "response.status", "now()"],
            &[],
        );
        proposes(
            "http && stat",
            8,
            &["status_code"],
            &["error.type", "limit("],
        );
        proposes("http and stat", 9, &["response.status"], &["status_code"]);
        let (_, found) = at("http && status", None);
        assert_eq!(found.first().map(String::as_str), Some("status_code"));
        proposes(
            "http and request.q",
            9,
            &["request.questions", "request.questions.*.type"],
            &[],
        );
        proposes("minu", 0, &["minutes("], &[]);
        proposes("!dn", 1, &["dns", "dns_questions"], &[]);
    }

    #[test]
    fn operators_follow_operands() {
        proposes("http ", 5, &["&&", "and", "=="], &["http"]);
        proposes("http and dns ", 13, &["or"], &["&&", "in"]);
        proposes(
            "status_code >= 500 && method ",
            29,
            &["==", "in", "||"],
            &["and"],
        );
        proposes("http a", 5, &["and"], &["amqp"]);
    }

    #[test]
    fn values_of_closed_sets_follow_comparisons() {
        proposes(
            "http && method == ",
            18,
            &["\"GET\"", "\"POST\"", "path"],
            &[],
        );
        proposes(
            "http && method == \"P",
            19,
            &["POST", "PUT", "PATCH"],
            &["path"],
        );
        proposes("http and request.method != 'd", 28, &["DELETE"], &[]);
        proposes("method in [\"GET\", \"P", 19, &["POST"], &[]);
        proposes("request.questions.*.type == \"", 29, &["AAAA"], &[]);
        proposes("tls == ", 7, &["true", "false"], &[]);
        proposes("protocol == \"D", 13, &["DNS", "DIAMETER"], &[]);
    }

    #[test]
    fn methods_follow_a_dot() {
        proposes("http && path.con", 13, &["contains("], &["json()"]);
        proposes("timestamp.getH", 10, &["getHours("], &[]);
        proposes("dns && dns_questions.ex", 21, &["exists("], &["contains("]);
        let (_, found) = at("request.method.", Some(Dialect::V1));
        assert!(
            found.iter().any(|found| found == "startsWith("),
            "{found:?}"
        );
    }

    #[test]
    fn comments_and_free_text_get_nothing() {
        for text in ["http # sta", "path == \"/a", "http && src.name == \"x"] {
            assert_eq!(at(text, None).1, Vec::<String>::new(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_and_cursor_make_it_panic(text: String, cursor in 0usize..40) {
            let completion = complete(&text, cursor, None, &Schema::empty());
            proptest::prop_assert!(completion.from <= text.len());
            proptest::prop_assert!(text.is_char_boundary(completion.from));
        }
    }
}
