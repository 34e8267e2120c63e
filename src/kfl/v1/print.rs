//! The intermediate form of the first dialect as text that parses to the same form again.

use std::fmt::{self, Write};

use crate::kfl::ir::{Const, Expr, Logic, Selector, Step};

/// Shows an expression in the first dialect.
pub(crate) struct Shown<'x>(pub &'x Expr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Const(constant) => write_const(f, constant),
            Expr::Pattern(pattern) => {
                // Between back quotes nothing is an escape; a pattern that holds one came from
                // other quotes, where only the double quote is written with a backslash.
                if pattern.written().contains('`') {
                    return write!(f, "r\"{}\"", pattern.written().replace('"', "\\\""));
                }
                write!(f, "r`{}`", pattern.written())
            }
            Expr::Select(selector) => write_selector(f, selector),
            Expr::Macro(made) => f.write_str(&made.name),
            Expr::Group(inner) => write!(f, "({})", Shown(inner)),
            Expr::Not(inner) => write!(f, "!{}", Shown(inner)),
            Expr::Neg(inner) => write!(f, "-{}", Shown(inner)),
            Expr::Cmp(op, left, right) => {
                write!(f, "{} {} {}", Shown(left), op.sign(), Shown(right))
            }
            Expr::Typed(_) => Ok(()),
            Expr::Chain(first, rest) => {
                write!(f, "{}", Shown(first))?;
                for (logic, part) in rest {
                    let word = match logic {
                        Logic::And => "and",
                        Logic::Or => "or",
                    };
                    write!(f, " {word} {}", Shown(part))?;
                }
                Ok(())
            }
        }
    }
}

fn write_const(f: &mut fmt::Formatter<'_>, constant: &Const) -> fmt::Result {
    match constant {
        Const::Null => f.write_str("nil"),
        Const::Bool(value) => write!(f, "{value}"),
        Const::Int(value, _) => write!(f, "{value}"),
        Const::Float(value, _) if value.is_infinite() && *value > 0.0 => f.write_str("1e999"),
        Const::Float(value, _) if value.is_infinite() => f.write_str("-1e999"),
        Const::Float(value, _) => write!(f, "{value:?}"),
        Const::Text(text) => write_text(f, text, false),
        Const::Escaped(both) => write_text(f, &both.0, true),
        // The first dialect has no literals of these.
        Const::Uint(_) | Const::Bytes(_) | Const::Time(_) | Const::Span(_) | Const::Type(_) => {
            Ok(())
        }
    }
}

/// A text as written, between quotes that it does not hold.
fn write_text(f: &mut fmt::Formatter<'_>, text: &str, escaped: bool) -> fmt::Result {
    // What has a backslash and one meaning, or a line feed, came from back quotes or means the same
    // between them.
    let quote = if !escaped && text.contains(['\n', '\\']) && !text.contains('`') {
        '`'
    } else if !holds_bare(text, '"') {
        '"'
    } else if !holds_bare(text, '\'') {
        '\''
    } else {
        '`'
    };
    f.write_char(quote)?;
    f.write_str(text)?;
    f.write_char(quote)
}

/// Whether `text` holds `quote` without a backslash in front.
fn holds_bare(text: &str, quote: char) -> bool {
    let mut escaped = false;
    for c in text.chars() {
        if c == quote && !escaped {
            return true;
        }
        escaped = !escaped && c == '\\';
    }
    false
}

fn write_selector(f: &mut fmt::Formatter<'_>, selector: &Selector) -> fmt::Result {
    for (at, step) in selector.steps.iter().enumerate() {
        let dot = if at == 0 { "" } else { "." };
        match step {
            Step::Name(name) => write!(f, "{dot}{name}")?,
            Step::Key(key, other) => {
                f.write_char('[')?;
                write_text(f, key, other.is_some())?;
                f.write_char(']')?;
            }
            Step::Index(index) => write!(f, "[{index}]")?,
            Step::Wild => f.write_str(".*")?,
            Step::Descent(name) => write!(f, "..{name}")?,
            Step::Json => write!(f, "{dot}json()")?,
            Step::Xml => write!(f, "{dot}xml()")?,
            Step::Call(name, params) => {
                write!(f, "{dot}{name}(")?;
                for (at, param) in params.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", Shown(param))?;
                }
                f.write_char(')')?;
            }
        }
    }
    Ok(())
}
