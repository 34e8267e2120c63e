//! The second dialect, KFL2: `http && status_code >= 500` (reference part II).
//!
//! In: query text. Out: a compiled query. Never: a query that passes with a name nobody knows or
//! with types that do not fit.

pub(crate) mod ast;
pub(crate) mod calls;
pub(crate) mod check;
pub(crate) mod convert;
#[cfg(test)]
mod differential;
pub(crate) mod eval;
pub(crate) mod functions;
pub(crate) mod lexer;
pub(crate) mod parser;
pub(crate) mod read;
pub(crate) mod signatures;
#[cfg(test)]
mod tests;
pub(crate) mod types;
pub(crate) mod values;
pub(crate) mod vars;

use std::sync::Arc;

use super::error::{Error, Warning};
use super::named::Size;
use super::plan::known::constant;
use super::plan::plan;
use super::schema::Schema;
use super::{Compiled, Dialect, Query, Steering};

/// Compiles a query of the second dialect.
pub(crate) fn compile(text: &str, schema: &Schema) -> Result<Query, Error> {
    let (expr, mut warnings, size) = match parser::parse(text)? {
        None => (None, Vec::new(), Size::default()),
        Some(ast) => {
            let checked = check::check(text, &ast, schema)?;
            (Some(checked.expr), checked.warnings, checked.size)
        }
    };
    let plan = plan(Dialect::V2, expr.as_ref(), schema.layout(), false);
    warnings.extend(constant(text, &plan));
    warnings.extend(Warning::turned(text));
    let compiled = Compiled {
        text: text.to_owned(),
        dialect: Dialect::V2,
        plan,
        expr,
        warnings,
        steering: Steering::default(),
        redacts: false,
        size,
    };
    Ok(Query(Arc::new(compiled), None))
}
