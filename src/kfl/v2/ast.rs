//! The second dialect as parsed: what is written, before names and types are looked at.

use std::fmt::{self, Write};

/// An expression with the place where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Ast {
    pub kind: Kind,
    /// Offset in bytes.
    pub offset: usize,
    /// Length of the longest path below, for the bound on nesting.
    pub height: usize,
}

/// Where it stands in the text does not make two expressions different.
impl PartialEq for Ast {
    fn eq(&self, other: &Ast) -> bool {
        self.kind == other.kind
    }
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Literal(Literal),
    /// A name, and whether a dot in front of it passes over what macros have named.
    Name(String, bool),
    Select(Box<Ast>, String),
    Index(Box<Ast>, Box<Ast>),
    /// A call, as a method of the first or free.
    Call(Option<Box<Ast>>, String, Vec<Ast>),
    List(Vec<Ast>),
    Map(Vec<(Ast, Ast)>),
    Not(Box<Ast>),
    Minus(Box<Ast>),
    /// An operator from `*` up to `in`, by its sign.
    Binary(&'static str, Box<Ast>, Box<Ast>),
    /// Two or more operands of `&&`.
    And(Vec<Ast>),
    /// Two or more operands of `||`.
    Or(Vec<Ast>),
    Cond(Box<(Ast, Ast, Ast)>),
}

/// Text that parses to the same expression again.
impl fmt::Display for Ast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Literal(literal) => write!(f, "{literal}"),
            Kind::Name(name, true) => write!(f, ".{name}"),
            Kind::Name(name, false) => f.write_str(name),
            Kind::Select(of, name) => write!(f, "{}.{name}", Tight(of)),
            Kind::Index(of, index) => write!(f, "{}[{index}]", Tight(of)),
            Kind::Call(of, name, args) => {
                if let Some(of) = of {
                    write!(f, "{}.", Tight(of))?;
                }
                write!(f, "{name}(")?;
                list(f, args)?;
                f.write_char(')')
            }
            Kind::List(elements) => {
                f.write_char('[')?;
                list(f, elements)?;
                f.write_char(']')
            }
            Kind::Map(entries) => {
                f.write_char('{')?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{key}: {value}")?;
                }
                f.write_char('}')
            }
            Kind::Not(inner) => write!(f, "!{}", Tight(inner)),
            Kind::Minus(inner) => write!(f, "-{}", Tight(inner)),
            Kind::Binary(sign, left, right) => write!(f, "{} {sign} {}", Tight(left), Tight(right)),
            Kind::And(parts) => joined(f, parts, " && "),
            Kind::Or(parts) => joined(f, parts, " || "),
            Kind::Cond(parts) => {
                let (condition, yes, no) = &**parts;
                write!(f, "{} ? {} : {}", Tight(condition), Tight(yes), Tight(no))
            }
        }
    }
}

/// In parentheses unless it holds together by itself.
struct Tight<'a>(&'a Ast);

impl fmt::Display for Tight<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            Kind::Literal(Literal::Int(value)) if *value < 0 => write!(f, "({})", self.0),
            Kind::Literal(_)
            | Kind::Name(..)
            | Kind::Select(..)
            | Kind::Index(..)
            | Kind::Call(..)
            | Kind::List(_)
            | Kind::Map(_) => write!(f, "{}", self.0),
            _ => write!(f, "({})", self.0),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, elements: &[Ast]) -> fmt::Result {
    for (at, element) in elements.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        write!(f, "{comma}{element}")?;
    }
    Ok(())
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Ast], sign: &str) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        let sign = if at == 0 { "" } else { sign };
        write!(f, "{sign}{}", Tight(part))?;
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Null => f.write_str("null"),
            Literal::Bool(value) => write!(f, "{value}"),
            Literal::Int(value) => write!(f, "{value}"),
            Literal::Uint(value) => write!(f, "{value}u"),
            Literal::Double(value) if value.is_infinite() => f.write_str("1e999"),
            Literal::Double(value) => write!(f, "{value:?}"),
            Literal::Text(text) => {
                f.write_char('"')?;
                for c in text.chars() {
                    match c {
                        '"' | '\\' => write!(f, "\\{c}")?,
                        _ if c.is_control() => write!(f, "\\U{:08x}", u32::from(c))?,
                        _ => f.write_char(c)?,
                    }
                }
                f.write_char('"')
            }
            Literal::Bytes(bytes) => {
                f.write_str("b\"")?;
                for byte in bytes {
                    write!(f, "\\x{byte:02x}")?;
                }
                f.write_char('"')
            }
        }
    }
}
