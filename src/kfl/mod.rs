//! KFL, the filter language.
//!
//! In: query text. Out: an immutable [`Query`], shared between threads, that decides about any
//! [`Node`]. Never: clocks (the moment is handed in), fields of its own (the
//! schema is handed in).

pub mod cases;
mod closed;
mod complete;
mod convert;
mod decide;
mod decode;
mod detect;
mod error;
mod eval;
mod explain;
mod functions;
mod imposed;
mod ir;
mod macros;
#[cfg(test)]
mod messages;
mod meter;
mod named;
mod path;
pub(crate) mod pattern;
mod plan;
pub mod prefilter;
mod redact;
#[cfg(test)]
mod samples;
mod schema;
#[cfg(test)]
mod tests;
mod time;
mod v1;
mod v2;
mod value;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

use crate::item::Node;
use crate::time::Timestamp;

pub use closed::{CLOSED, Closed};
pub use complete::{Completion, MAX_PROPOSALS, Proposal, What, complete};
pub use convert::{Converted, convert};
pub use error::{Error, Warning};
pub use explain::{Explained, Read, Report, check, explain};
pub use functions::{HELPERS, Helper};
pub use meter::MAX_STEPS;
pub use schema::Schema;
pub use v2::signatures::{FUNCTIONS, Form, Function};
pub use v2::vars::{VARS, Var};

/// Bytes of a query: a person writes some hundreds, a machine some thousands.
pub const MAX_LENGTH: usize = 64 * 1024;

/// Levels of nesting in a query; parser and evaluation recurse over them.
pub const MAX_DEPTH: usize = 256;

/// Operands and operators of a query, and so the work of one evaluation.
pub const MAX_NODES: usize = 1000;

/// The two dialects of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// `http and response.status == 500`.
    V1,
    /// `http && status_code >= 500`.
    V2,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::V1 => "v1",
            Dialect::V2 => "v2",
        })
    }
}

/// What a query says about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The item is wanted.
    Match,
    /// It is not.
    NoMatch,
    /// [`MAX_STEPS`] were spent before an answer was found.
    Undecided,
}

/// What a query asks of the stream that delivers its matches (reference section 9).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Steering {
    /// Matches after which the stream ends.
    pub limit: Option<u64>,
    /// How many of the stored matches are delivered, the last ones.
    pub rlimit: Option<u64>,
    /// Where delivery resumes.
    pub left_off: Option<LeftOff>,
}

impl Steering {
    /// Items that are delivered at most where the newest come first: the last matches are the first.
    pub fn most(&self) -> Option<u64> {
        [self.limit, self.rlimit].into_iter().flatten().min()
    }
}

/// Where delivery resumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOff {
    /// After the newest stored item.
    Latest,
    /// After the item with this id.
    After(String),
}

/// A compiled query, and the one that stands in front of it ([`Query::behind`]); cheap to clone,
/// shared between threads.
#[derive(Debug, Clone)]
pub struct Query(Arc<Compiled>, Option<Arc<Query>>);

#[derive(Debug)]
struct Compiled {
    text: String,
    dialect: Dialect,
    expr: Option<ir::Expr>,
    plan: plan::Plan,
    warnings: Vec<Warning>,
    steering: Steering,
    redacts: bool,
    size: named::Size,
}

/// Compiles a query in the dialect that its text is of.
///
/// A text that both dialects accept is KFL2; one that KFL2 refuses is v1 only when it starts every
/// path with a name that items have, so that a misspelt variable is an error and not silence. Where
/// both refuse it, the error is that which comes first in the text.
pub fn compile(text: &str, schema: &Schema) -> Result<Query, Error> {
    if text.len() > MAX_LENGTH {
        return compile_as(text, Dialect::V2, schema);
    }
    match detect::marks(text)? {
        detect::Marks::Of(dialect) => compile_as(text, dialect, schema),
        detect::Marks::Empty => compile_as(text, Dialect::V2, schema),
        detect::Marks::None => compile_as(text, Dialect::V2, schema).or_else(|error| {
            match compile_as(text, Dialect::V1, schema) {
                Ok(query) if schema.has_roots_of(text) => Ok(query),
                Err(first) if first.offset < error.offset => Err(first),
                _ => Err(error),
            }
        }),
    }
}

/// Compiles a query in the given dialect.
pub fn compile_as(text: &str, dialect: Dialect, schema: &Schema) -> Result<Query, Error> {
    if text.len() > MAX_LENGTH {
        let message = format!("the query is longer than {MAX_LENGTH} bytes");
        return Err(Error::at(text, 0, message));
    }
    match dialect {
        Dialect::V1 => v1::compile(text, schema),
        Dialect::V2 => v2::compile(text, schema),
    }
}

impl Query {
    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The dialect it is of.
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// Whether it has no text but blanks and comments, and so matches everything.
    pub fn is_empty(&self) -> bool {
        self.0.expr.is_none() && self.1.is_none()
    }

    /// What is valid in it and hardly meant.
    pub fn warnings(&self) -> &[Warning] {
        &self.0.warnings
    }

    /// What it asks of the stream that delivers its matches.
    pub fn steering(&self) -> &Steering {
        &self.0.steering
    }

    /// Whether [`Query::view`] may give an altered copy.
    pub fn redacts(&self) -> bool {
        self.0.redacts || self.1.as_ref().is_some_and(|imposed| imposed.redacts())
    }

    /// Whether the item at `node` is wanted; `now` is when the query was asked.
    pub fn matches<'a, N: Node<'a>>(&self, node: N, now: Timestamp) -> Verdict {
        match &self.1 {
            None => self.matches_alone(node, now),
            Some(imposed) => self.matches_behind(imposed, node, now),
        }
    }

    /// As [`Query::matches`], with the altered copy to deliver when the query redacted something.
    pub fn view<'a, N: Node<'a>>(&self, node: N, now: Timestamp) -> (Verdict, Option<Json>) {
        match &self.1 {
            None => self.view_alone(node, now),
            Some(imposed) => self.view_behind(imposed, node, now),
        }
    }

    fn matches_alone<'a, N: Node<'a>>(&self, node: N, now: Timestamp) -> Verdict {
        self.verdict(&mut eval::Run::new(node, now))
    }

    fn view_alone<'a, N: Node<'a>>(&self, node: N, now: Timestamp) -> (Verdict, Option<Json>) {
        let mut run = eval::Run::new(node, now);
        let verdict = self.verdict(&mut run);
        let altered = (verdict == Verdict::Match).then(|| run.into_altered());
        (verdict, altered.flatten())
    }

    fn verdict<'e, 'a: 'e, N: Node<'a>>(&'e self, run: &mut eval::Run<'e, N>) -> Verdict {
        match run.decide(&self.0.plan) {
            Ok(true) => Verdict::Match,
            Ok(false) | Err(meter::Stop::Collapse | meter::Stop::Failed) => Verdict::NoMatch,
            Err(meter::Stop::Bound) => Verdict::Undecided,
        }
    }
}

#[cfg(test)]
impl Query {
    /// What walking the tree itself answers; the plan must answer the same.
    fn by_tree<'a, N: Node<'a>>(&self, node: N, now: Timestamp) -> Verdict {
        let Some(expr) = &self.0.expr else {
            return Verdict::Match;
        };
        let holds = |value: &value::Val<'_, N>| match (self.0.dialect, value) {
            (Dialect::V1, value) => value.is_true(),
            // What came out of `dyn` as anything but a boolean is no match.
            (Dialect::V2, value) => matches!(value, value::Val::Bool(true)),
        };
        match eval::Run::new(node, now).part(expr) {
            Ok(value) if holds(&value) => Verdict::Match,
            Ok(_) | Err(meter::Stop::Collapse | meter::Stop::Failed) => Verdict::NoMatch,
            Err(meter::Stop::Bound) => Verdict::Undecided,
        }
    }
}

/// The query's text.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}
