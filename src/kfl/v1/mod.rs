//! The first dialect: `http and response.status == 500` (reference part I).
//!
//! In: query text. Out: a compiled query. Never: a rejection of names; what nobody knows is a
//! warning.

pub(crate) mod lexer;
pub(crate) mod parser;
pub(crate) mod print;

use std::sync::Arc;

use super::error::{Error, Warning, nearest};
use super::eval::without_item;
use super::functions::Does;
use super::ir::{End, Expr, Selector, Step};
use super::plan::known::constant;
use super::plan::plan;
use super::schema::Schema;
use super::v2::vars::{self, VARS};
use super::{Compiled, Dialect, LeftOff, Query, Steering};

/// Compiles a query of the first dialect.
pub(crate) fn compile(text: &str, schema: &Schema) -> Result<Query, Error> {
    let mut parsed = parser::parse(text, schema)?;
    for (offset, path) in &parsed.paths {
        parsed.warnings.extend(unknown(*offset, path, schema));
    }
    let mut steering = Steering::default();
    let mut redacts = false;
    if let Some(expr) = &parsed.expr {
        visit(expr, &mut |selector| {
            steer(selector, &mut steering, &mut redacts)
        });
    }
    let plan = plan(Dialect::V1, parsed.expr.as_ref(), schema.layout(), redacts);
    parsed.warnings.extend(constant(text, &plan));
    parsed.warnings.extend(Warning::turned(text));
    parsed.warnings.sort_by_key(|warning| warning.offset);
    let compiled = Compiled {
        text: text.to_owned(),
        dialect: Dialect::V1,
        plan,
        expr: parsed.expr,
        warnings: parsed.warnings,
        steering,
        redacts,
        size: parsed.size,
    };
    Ok(Query(Arc::new(compiled), None))
}

fn unknown(offset: usize, path: &str, schema: &Schema) -> Option<Warning> {
    if schema.may_hold(path) || vars::find(path).is_some() {
        return None;
    }
    let variables = VARS.iter().map(|var| var.name);
    let known = schema.paths().chain(schema.macro_names()).chain(variables);
    let hint = match nearest(path, known) {
        Some(known) => format!("; did you mean {known}"),
        None => String::new(),
    };
    Some(Warning {
        offset,
        message: format!("no item has a field {path}{hint}"),
    })
}

fn visit<'x>(expr: &'x Expr, each: &mut impl FnMut(&'x Selector)) {
    match expr {
        Expr::Const(_) | Expr::Pattern(_) | Expr::Macro(_) | Expr::Typed(_) => {}
        Expr::Select(selector) => {
            each(selector);
            for step in &selector.steps {
                if let Step::Call(_, params) = step {
                    params.iter().for_each(|param| visit(param, each));
                }
            }
        }
        Expr::Group(inner) | Expr::Not(inner) | Expr::Neg(inner) => visit(inner, each),
        Expr::Cmp(_, left, right) => {
            visit(left, each);
            visit(right, each);
        }
        Expr::Chain(first, rest) => {
            visit(first, each);
            rest.iter().for_each(|(_, part)| visit(part, each));
        }
    }
}

/// Notes what a helper asks of the stream; the first that asks for something counts.
fn steer(selector: &Selector, steering: &mut Steering, redacts: &mut bool) {
    let (End::Helper(helper), Some(Step::Call(_, params))) = (selector.end, selector.steps.last())
    else {
        return;
    };
    let Some(first) = params.first() else { return };
    // Zero and below mean no limit; a cast of a float saturates.
    let count = || without_item(first, |value| value.num() as u64).filter(|count| *count > 0);
    match helper.does {
        Does::Limit => steering.limit = steering.limit.or_else(count),
        Does::Rlimit => steering.rlimit = steering.rlimit.or_else(count),
        Does::LeftOff if steering.left_off.is_none() => steering.left_off = left_off(first),
        Does::Redact => *redacts = true,
        _ => {}
    }
}

fn left_off(param: &Expr) -> Option<LeftOff> {
    let id = match param {
        Expr::Select(selector) => match &*selector.steps {
            [Step::Name(name)] => name.to_string(),
            _ => return None,
        },
        _ => without_item(param, |value| value.text().into_owned())?,
    };
    match &*id {
        "" => None,
        "latest" => Some(LeftOff::Latest),
        _ => Some(LeftOff::After(id)),
    }
}
