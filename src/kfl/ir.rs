//! The intermediate form that both dialects are lowered to (reference section 17).
//!
//! In: what the two front ends understood. Out: a tree that [`eval`](super::eval) walks over an
//! item. Never: source text that evaluation would read again; regexes, keys and numbers are ready.
//!
//! Invariants: no path from the root is longer than [`MAX_DEPTH`](super::MAX_DEPTH), and a chain of
//! `and` and `or` is one node, so walking the tree never recurses without bound.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::functions::Helper;
use super::pattern::Pattern;
use super::schema::Layout;
use super::v2::convert::{Part, Zone};
use super::v2::vars::{Keys, Var};

/// A value that is known when the query is compiled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Const {
    /// `nil`, `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number and its text.
    Int(i64, Arc<str>),
    /// Another number and its text.
    Float(f64, Arc<str>),
    /// Text.
    Text(Arc<str>),
    /// Text with escapes in the first dialect: as written, and unescaped.
    Escaped(Arc<(String, String)>),
    /// An unsigned number.
    Uint(u64),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A point in time.
    Time(DateTime<Utc>),
    /// A length of time.
    Span(TimeDelta),
    /// A type.
    Type(&'static str),
}

impl Const {
    pub(crate) fn int(value: i64) -> Const {
        Const::Int(value, value.to_string().into())
    }

    pub(crate) fn float(value: f64) -> Const {
        Const::Float(value, super::value::float_text(value).into())
    }
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Op {
    /// As written in either dialect.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Op::Eq => "==",
            Op::Ne => "!=",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
        }
    }

    /// Whether two values in this order satisfy the operator.
    pub(crate) fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match self {
            Op::Eq => order == Some(Equal),
            Op::Ne => order != Some(Equal),
            Op::Lt => order == Some(Less),
            Op::Le => matches!(order, Some(Less | Equal)),
            Op::Gt => order == Some(Greater),
            Op::Ge => matches!(order, Some(Greater | Equal)),
        }
    }
}

/// What joins two parts of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logic {
    And,
    Or,
}

/// One step of a selector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// `.name`; the only step that enters the elements of an XML array.
    Name(Box<str>),
    /// `["key"]`: as written, and unescaped when that differs.
    Key(Box<str>, Option<Box<str>>),
    /// `[3]`.
    Index(usize),
    /// `.*` or `[*]`.
    Wild,
    /// `..name`.
    Descent(Box<str>),
    /// `.json()`.
    Json,
    /// `.xml()`.
    Xml,
    /// Any other call; always where [`End`] says so.
    Call(Box<str>, Vec<Expr>),
}

/// What a selector comes to after its plain steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum End {
    /// The value found.
    Value,
    /// The helper that the last step calls.
    Helper(&'static Helper),
    /// Nothing that exists: an unknown helper, missing parameters, steps after a helper.
    Nothing,
}

/// A selector of the first dialect.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selector {
    /// The steps as written, from the first name on.
    pub steps: Vec<Step>,
    /// What they come to.
    pub end: End,
    /// The variable of the second dialect that is read when the item has nothing there.
    pub fallback: Option<&'static Var>,
}

/// A macro: one name for a test of the item's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Macro {
    /// The name in queries.
    pub name: Box<str>,
    /// The member of `protocol` that is compared.
    pub member: &'static str,
    /// What it must be.
    pub value: Box<str>,
    /// What `protocol.version` must be.
    pub version: Option<&'static str>,
}

/// The tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// A known value.
    Const(Const),
    /// A regex of the first dialect, as an operand.
    Pattern(Pattern),
    /// A selector of the first dialect.
    Select(Box<Selector>),
    /// A protocol macro.
    Macro(Arc<Macro>),
    /// A parenthesis: what is missing inside makes it false, not what stands around it.
    Group(Box<Expr>),
    /// `!` by truthiness.
    Not(Box<Expr>),
    /// Prefix `-`.
    Neg(Box<Expr>),
    /// A comparison with the coercions of the first dialect.
    Cmp(Op, Box<Expr>, Box<Expr>),
    /// Parts joined from left to right, the right operand of each operator being all the rest.
    Chain(Box<Expr>, Vec<(Logic, Expr)>),
    /// What only the second dialect has.
    Typed(Box<Typed>),
}

/// Flags of which one at least must be set.
pub(crate) type Owner = Vec<&'static Var>;

/// Arithmetic operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// Functions of the second dialect.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Func {
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    Size,
    MapGet(Keys),
    Now,
    Timestamp,
    Duration,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Bool,
    Dyn,
    Type,
    /// A part of a point or length of time, in a zone.
    Part(Part, Zone),
}

/// Macros over lists and the keys of maps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fold {
    All(Expr),
    Exists(Expr),
    ExistsOne(Expr),
    Filter(Expr),
    /// What is made of the elements for which the condition, if any, holds.
    Map(Option<Expr>, Expr),
}

/// Strictly typed expressions: an error is [`Failed`](super::meter::Stop::Failed).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Typed {
    Var(&'static Var, Layout),
    /// A bare variable: whether the item is of its protocol.
    Flag(Owner, Layout),
    /// An atom that only counts on items of these protocols.
    Guard(Vec<Owner>, Layout, Expr),
    /// What a macro has named, by its number from the outermost macro on.
    Local(usize),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Expr),
    Minus(Expr),
    Cmp(Op, Expr, Expr),
    In(Expr, Expr, Keys),
    Arith(Arith, Expr, Expr),
    Cond(Expr, Expr, Expr),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    Index(Expr, Expr, Keys),
    /// Whether a map has a key.
    Has(Expr, Box<str>, Keys),
    Call(Func, Vec<Expr>),
    /// A search for a pattern known beforehand.
    Search(Expr, Pattern),
    Fold(Expr, Fold, Keys),
}
