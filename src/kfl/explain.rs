//! What a query means, for people: its dialect, its grouping made visible, what it reads.
//!
//! In: query text. Out: [`Report`] for editors and `kfl check`, [`Explained`] for `kfl explain`.
//! Never: text that compiles; names and grouping are made plain instead.

use std::collections::BTreeSet;

use serde::Serialize;

use super::ir::{Arith, Const, Expr, Fold, Func, Logic, Macro, Owner, Step, Typed};
use super::v1::print::Shown;
use super::v2::vars;
use super::{Dialect, Error, LeftOff, Query, Schema, Warning, compile, prefilter};
use crate::time::Timestamp;

/// Whether a query is valid, and what is wrong or doubtful about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether it compiles.
    pub valid: bool,
    /// The dialect it is of; `None` when it is invalid.
    pub dialect: Option<Dialect>,
    /// Why it does not compile.
    pub error: Option<Error>,
    /// What is valid and hardly meant.
    pub warnings: Vec<Warning>,
}

/// Looks at a query without running it.
pub fn check(text: &str, schema: &Schema) -> Report {
    match compile(text, schema) {
        Ok(query) => Report {
            valid: true,
            dialect: Some(query.dialect()),
            error: None,
            warnings: query.warnings().to_vec(),
        },
        Err(error) => Report {
            valid: false,
            dialect: None,
            error: Some(error),
            warnings: Vec::new(),
        },
    }
}

/// What a query does, a fact a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The dialect it is of.
    pub dialect: Dialect,
    /// Its meaning with every group in parentheses.
    pub means: String,
    /// The fields and variables it reads.
    pub reads: Vec<Read>,
    /// What it asks of the stream: `ends after 5 matches`.
    pub steers: Vec<String>,
    /// Whether it alters what it delivers.
    pub redacts: bool,
    /// The capture filter that lets pass all it can match, without what is let pass as unreadable;
    /// `None` when headers tell nothing.
    pub headers: Option<String>,
    /// The whole capture filter for Ethernet, as `tap --bpf` takes it.
    pub bpf: Option<String>,
    /// The conditions on index columns that hold wherever it matches; `None` when columns tell
    /// nothing.
    pub columns: Option<String>,
    /// What is valid and hardly meant.
    pub warnings: Vec<Warning>,
}

/// A field or variable that a query reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Read {
    /// Its name in the query's dialect.
    pub name: String,
    /// The protocols whose items have it; none when every item does, or when nobody told.
    pub protocols: Vec<&'static str>,
}

/// Looks at what a query does without running it; relative times count from `now`.
///
/// # Errors
/// When it is invalid.
pub fn explain(text: &str, schema: &Schema, now: Timestamp) -> Result<Explained, Error> {
    let query = compile(text, schema)?;
    let expr = query.0.expr.as_ref();
    let mut names = BTreeSet::new();
    if let Some(expr) = expr {
        collect(expr, &mut names);
    }
    let reads = names.into_iter().map(|name| Read {
        protocols: match (query.dialect(), vars::find(&name)) {
            (Dialect::V2, Some(var)) => var
                .owner
                .map_or(Vec::new(), |owner| owner.split('|').collect()),
            _ => schema.owners(&name),
        },
        name,
    });
    let headers = query.packet_condition();
    let columns = query.column_condition(now);
    Ok(Explained {
        dialect: query.dialect(),
        means: expr.map_or("every item".into(), |expr| outer(&shown(expr)).to_owned()),
        reads: reads.collect(),
        steers: steers(&query),
        redacts: query.redacts(),
        bpf: headers
            .as_ref()
            .map(|condition| prefilter::bpf(condition, prefilter::Link::Ethernet)),
        headers: headers.as_ref().map(prefilter::shown),
        columns: columns.map(|condition| condition.to_string()),
        warnings: query.warnings().to_vec(),
    })
}

fn steers(query: &Query) -> Vec<String> {
    let steering = query.steering();
    let mut said = Vec::new();
    said.extend(
        steering
            .limit
            .map(|limit| format!("ends after {limit} matches")),
    );
    said.extend(
        steering
            .rlimit
            .map(|rlimit| format!("starts with the last {rlimit} stored matches")),
    );
    said.extend(steering.left_off.as_ref().map(|left_off| match left_off {
        LeftOff::Latest => "resumes after the newest stored item".to_owned(),
        LeftOff::After(id) => format!("resumes after item {id}"),
    }));
    said
}

/// One fact a line.
impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "dialect   {}", self.dialect)?;
        writeln!(f, "means     {}", self.means)?;
        if !self.reads.is_empty() {
            let names = self
                .reads
                .iter()
                .map(|read| match read.protocols.as_slice() {
                    [] => read.name.clone(),
                    protocols => format!("{} ({})", read.name, protocols.join(", ")),
                });
            writeln!(f, "reads     {}", names.collect::<Vec<_>>().join(", "))?;
        }
        for sentence in &self.steers {
            writeln!(f, "steers    {sentence}")?;
        }
        if self.redacts {
            writeln!(
                f,
                "redacts   what it delivers; stored items stay as they are"
            )?;
        }
        let nothing = "nothing; every item is looked at";
        writeln!(
            f,
            "headers   {}",
            self.headers
                .as_deref()
                .unwrap_or("nothing; every packet is needed")
        )?;
        writeln!(
            f,
            "columns   {}",
            self.columns.as_deref().unwrap_or(nothing)
        )?;
        for warning in &self.warnings {
            writeln!(f, "warning   {warning}")?;
        }
        Ok(())
    }
}

/// Takes off the parentheses around the whole.
fn outer(text: &str) -> &str {
    let inner = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'));
    inner.filter(|inner| is_closed(inner)).unwrap_or(text)
}

/// Whether no parenthesis closes that `text` did not open; strings may only make it say no.
pub(crate) fn is_closed(text: &str) -> bool {
    let mut depth = 0usize;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return false,
            ')' => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}

fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Const(constant) => constant_text(constant),
        Expr::Pattern(_) | Expr::Select(_) => Shown(expr).to_string(),
        Expr::Macro(made) => macro_text(made),
        Expr::Group(inner) => shown(inner),
        Expr::Not(inner) => format!("!{}", shown(inner)),
        Expr::Neg(inner) => format!("-{}", shown(inner)),
        Expr::Cmp(op, left, right) => format!("({} {} {})", shown(left), op.sign(), shown(right)),
        Expr::Chain(first, rest) => {
            let mut out = shown(first);
            let mut close = String::new();
            for (at, (logic, part)) in rest.iter().enumerate() {
                let word = if *logic == Logic::And { "and" } else { "or" };
                // The right operand is all the rest, so it opens a group unless it is the last
                // or all that follows is joined by the same word, which groups either way alike.
                let tail = rest.get(at + 1..).unwrap_or_default();
                let opens = tail.iter().any(|(other, _)| other != logic);
                out.push_str(&format!(" {word} "));
                if opens {
                    out.push('(');
                    close.push(')');
                }
                out.push_str(&shown(part));
            }
            format!("({out}{close})")
        }
        Expr::Typed(typed) => typed_text(typed),
    }
}

pub(crate) fn macro_text(made: &Macro) -> String {
    let test = format!("protocol.{} == \"{}\"", made.member, made.value);
    match made.version {
        Some(version) => format!("({test} and protocol.version == \"{version}\")"),
        None => format!("({test})"),
    }
}

fn constant_text(constant: &Const) -> String {
    match constant {
        Const::Null => "null".into(),
        Const::Bool(value) => value.to_string(),
        Const::Int(_, text) | Const::Float(_, text) => text.to_string(),
        Const::Text(text) => format!("{text:?}"),
        Const::Escaped(both) => format!("{:?}", both.1),
        Const::Uint(value) => format!("{value}u"),
        Const::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Const::Time(at) => at.to_rfc3339(),
        Const::Span(length) => super::v2::convert::span_text(*length),
        Const::Type(name) => (*name).to_owned(),
    }
}

fn owner_text(owner: &Owner) -> String {
    let names: Vec<_> = owner.iter().map(|flag| flag.name).collect();
    match names.as_slice() {
        [name] => (*name).to_owned(),
        _ => format!("({})", names.join(" || ")),
    }
}

fn joined(parts: &[Expr], sign: &str) -> String {
    let parts: Vec<_> = parts.iter().map(shown).collect();
    parts.join(sign)
}

fn typed_text(typed: &Typed) -> String {
    match typed {
        Typed::Var(var, _) => var.name.to_owned(),
        Typed::Flag(owner, _) => owner_text(owner),
        Typed::Guard(owners, _, inner) => {
            let owners: Vec<_> = owners.iter().map(owner_text).collect();
            format!("({} && {})", owners.join(" && "), shown(inner))
        }
        Typed::Local(at) => format!("x{at}"),
        Typed::And(parts) => format!("({})", joined(parts, " && ")),
        Typed::Or(parts) => format!("({})", joined(parts, " || ")),
        Typed::Not(inner) => format!("!{}", shown(inner)),
        Typed::Minus(inner) => format!("-{}", shown(inner)),
        Typed::Cmp(op, left, right) => format!("({} {} {})", shown(left), op.sign(), shown(right)),
        Typed::In(left, right, _) => format!("({} in {})", shown(left), shown(right)),
        Typed::Arith(arith, left, right) => {
            let sign = match arith {
                Arith::Add => "+",
                Arith::Sub => "-",
                Arith::Mul => "*",
                Arith::Div => "/",
                Arith::Rem => "%",
            };
            format!("({} {sign} {})", shown(left), shown(right))
        }
        Typed::Cond(condition, yes, no) => {
            format!("({} ? {} : {})", shown(condition), shown(yes), shown(no))
        }
        Typed::List(elements) => format!("[{}]", joined(elements, ", ")),
        Typed::Map(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", shown(key), shown(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Typed::Index(of, index, _) => format!("{}[{}]", shown(of), shown(index)),
        Typed::Has(of, name, _) => format!("has({}.{name})", shown(of)),
        Typed::Call(func, args) => format!("{}({})", func_name(func), joined(args, ", ")),
        Typed::Search(of, pattern) => format!("matches({}, {:?})", shown(of), pattern.written()),
        Typed::Fold(of, fold, _) => {
            let (name, body) = match fold {
                Fold::All(body) => ("all", shown(body)),
                Fold::Exists(body) => ("exists", shown(body)),
                Fold::ExistsOne(body) => ("exists_one", shown(body)),
                Fold::Filter(body) => ("filter", shown(body)),
                Fold::Map(None, value) => ("map", shown(value)),
                Fold::Map(Some(condition), value) => {
                    ("map", format!("{}, {}", shown(condition), shown(value)))
                }
            };
            format!("{}.{name}(x, {body})", shown(of))
        }
    }
}

fn func_name(func: &Func) -> &'static str {
    match func {
        Func::Contains => "contains",
        Func::StartsWith => "startsWith",
        Func::EndsWith => "endsWith",
        Func::Matches => "matches",
        Func::Size => "size",
        Func::MapGet(_) => "map_get",
        Func::Now => "now",
        Func::Timestamp => "timestamp",
        Func::Duration => "duration",
        Func::Int => "int",
        Func::Uint => "uint",
        Func::Double => "double",
        Func::Text => "string",
        Func::Bytes => "bytes",
        Func::Bool => "bool",
        Func::Dyn => "dyn",
        Func::Type => "type",
        Func::Part(part, _) => super::v2::convert::PARTS
            .iter()
            .find(|(_, known)| known == part)
            .map_or("get", |(name, _)| name),
    }
}

/// The fields and variables that are read.
pub(super) fn collect(expr: &Expr, into: &mut BTreeSet<String>) {
    match expr {
        Expr::Const(_) | Expr::Pattern(_) => {}
        Expr::Macro(made) => {
            into.insert(format!("protocol.{}", made.member));
        }
        Expr::Select(selector) => {
            let mut path = String::new();
            for step in &selector.steps {
                match step {
                    Step::Name(name) if path.is_empty() => path.push_str(name),
                    Step::Name(name) => path.push_str(&format!(".{name}")),
                    Step::Call(_, params) => params.iter().for_each(|param| collect(param, into)),
                    _ => break,
                }
            }
            if !path.is_empty() && path != "now" {
                into.insert(path);
            }
        }
        Expr::Group(inner) | Expr::Not(inner) | Expr::Neg(inner) => collect(inner, into),
        Expr::Cmp(_, left, right) => {
            collect(left, into);
            collect(right, into);
        }
        Expr::Chain(first, rest) => {
            collect(first, into);
            rest.iter().for_each(|(_, part)| collect(part, into));
        }
        Expr::Typed(typed) => collect_typed(typed, into),
    }
}

fn collect_typed(typed: &Typed, into: &mut BTreeSet<String>) {
    match typed {
        Typed::Var(var, _) => {
            into.insert(var.name.to_owned());
        }
        Typed::Flag(owner, _) => into.extend(owner.iter().map(|flag| flag.name.to_owned())),
        Typed::Local(_) => {}
        Typed::Guard(_, _, inner)
        | Typed::Not(inner)
        | Typed::Minus(inner)
        | Typed::Has(inner, ..)
        | Typed::Search(inner, _) => collect(inner, into),
        Typed::And(parts) | Typed::Or(parts) | Typed::List(parts) | Typed::Call(_, parts) => {
            parts.iter().for_each(|part| collect(part, into));
        }
        Typed::Cmp(_, left, right)
        | Typed::In(left, right, _)
        | Typed::Arith(_, left, right)
        | Typed::Index(left, right, _) => {
            collect(left, into);
            collect(right, into);
        }
        Typed::Cond(condition, yes, no) => {
            [condition, yes, no]
                .into_iter()
                .for_each(|part| collect(part, into));
        }
        Typed::Map(entries) => entries.iter().for_each(|(key, value)| {
            collect(key, into);
            collect(value, into);
        }),
        Typed::Fold(of, fold, _) => {
            collect(of, into);
            match fold {
                Fold::All(body)
                | Fold::Exists(body)
                | Fold::ExistsOne(body)
                | Fold::Filter(body) => {
                    collect(body, into);
                }
                Fold::Map(condition, value) => {
                    condition
                        .iter()
                        .for_each(|condition| collect(condition, into));
                    collect(value, into);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::ENVELOPE;

    fn means(text: &str) -> String {
        let schema = Schema::new(ENVELOPE, []);
        explain(text, &schema, Timestamp::default()).unwrap().means
    }

    #[test]
    fn grouping_and_scopes_become_visible() {
        assert_eq!(
            means("http and tls == false or dns"),
            "(protocol.abbr == \"HTTP\") and ((tls == false) or (protocol.abbr == \"DNS\"))"
        );
        assert_eq!(
            means("tls and error and passed"),
            "tls and error and passed"
        );
        assert_eq!(
            means("!(status_code == 200)"),
            "!(http && (status_code == 200))"
        );
        assert_eq!(means("kafka_api_key || dns"), "kafka || dns");
        assert_eq!(means(""), "every item");
    }

    #[test]
    fn a_report_tells_what_is_wrong() {
        let schema = Schema::new(ENVELOPE, []);
        let report = check("http and", &schema);
        assert!(!report.valid && report.error.is_some_and(|error| error.column == 9));
        let report = check("src.nme == \"x\" and limit(5)", &schema);
        assert_eq!(
            (report.valid, report.dialect, report.warnings.len()),
            (true, Some(Dialect::V1), 1)
        );
        let text = "http and limit(5) and redact(\"src.ip\")";
        let explained = explain(text, &schema, Timestamp::default()).unwrap();
        assert_eq!(explained.steers, ["ends after 5 matches"]);
        assert!(explained.redacts);
    }

    #[test]
    fn what_can_be_told_beforehand_is_shown() {
        let schema = Schema::new(ENVELOPE, []);
        let text = "http && dst.port == 443 && status_code >= 500";
        let explained = explain(text, &schema, Timestamp::default()).unwrap();
        assert_eq!(explained.headers.as_deref(), Some("tcp and port 443"));
        assert_eq!(
            explained.columns.as_deref(),
            Some("protocol.name == \"http\" and dst.port == 443 and response.status >= 500")
        );
        let shown = explained.to_string();
        assert!(
            shown.contains("reads     dst.port, http, status_code (http)"),
            "{shown}"
        );
        let owned = schema
            .clone()
            .with_owners([("request.path", "http"), ("request.key", "redis")]);
        let read = explain("request.path == nil", &owned, Timestamp::default()).unwrap();
        assert_eq!(read.reads[0].protocols, ["http"]);
        let nothing = explain("error", &schema, Timestamp::default()).unwrap();
        assert_eq!((nothing.headers, nothing.columns), (None, None));
    }
}
