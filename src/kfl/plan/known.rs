//! What a plan answers whatever the item.
//!
//! In: a plan. Out: its answer where that is known beforehand, and a warning about it. Never: a read
//! of an item or of the clock.

use super::Plan;
use crate::item::json::JsonNode;
use crate::kfl::error::Warning;
use crate::kfl::eval::without_item;
use crate::kfl::ir::{Expr, Func, Logic, Typed};
use crate::kfl::value::Val;

impl Plan {
    /// What the plan answers whatever the item; `None` when that depends on it.
    pub(crate) fn known(&self) -> Option<bool> {
        match self {
            Plan::Known(value) => Some(*value),
            Plan::All(parts) => known_of(parts, true),
            Plan::Any(parts) => known_of(parts, false),
            Plan::Not(inner) => inner.known().map(|value| !value),
            Plan::Group(inner) => inner.known(),
            Plan::Chain(head, rest) => {
                let mut parts: Vec<Option<bool>> = vec![head.known()];
                parts.extend(rest.iter().map(|(_, part)| part.known()));
                let mut known = parts.pop().flatten();
                for (logic, _) in rest.iter().rev() {
                    let deciding = *logic == Logic::Or;
                    let left = parts.pop().flatten();
                    known = match (left, known) {
                        (Some(value), _) | (_, Some(value)) if value == deciding => Some(value),
                        (Some(_), Some(value)) => Some(value),
                        _ => None,
                    };
                }
                known
            }
            Plan::Tree(expr, coerced) => {
                let holds = |value: &Val<'_, JsonNode<'_>>| match value {
                    Val::Bool(value) => *value,
                    value => *coerced && value.is_true(),
                };
                is_fixed(expr).then(|| without_item(expr, holds).unwrap_or(false))
            }
            _ => None,
        }
    }
}

fn known_of(parts: &[Plan], and: bool) -> Option<bool> {
    let known: Vec<Option<bool>> = parts.iter().map(Plan::known).collect();
    if known.contains(&Some(!and)) {
        return Some(!and);
    }
    known.iter().all(|known| *known == Some(and)).then_some(and)
}

/// Whether an expression reads neither the item nor the clock.
fn is_fixed(expr: &Expr) -> bool {
    match expr {
        Expr::Const(_) | Expr::Pattern(_) => true,
        Expr::Select(_) | Expr::Macro(_) => false,
        Expr::Group(inner) | Expr::Not(inner) | Expr::Neg(inner) => is_fixed(inner),
        Expr::Cmp(_, left, right) => is_fixed(left) && is_fixed(right),
        Expr::Chain(head, rest) => is_fixed(head) && rest.iter().all(|(_, part)| is_fixed(part)),
        Expr::Typed(typed) => match &**typed {
            Typed::Cmp(_, left, right)
            | Typed::In(left, right, _)
            | Typed::Arith(_, left, right) => is_fixed(left) && is_fixed(right),
            Typed::And(parts) | Typed::Or(parts) | Typed::List(parts) => parts.iter().all(is_fixed),
            Typed::Not(inner) | Typed::Minus(inner) | Typed::Search(inner, _) => is_fixed(inner),
            Typed::Call(func, args) => *func != Func::Now && args.iter().all(is_fixed),
            _ => false,
        },
    }
}

/// A warning about a query that says the same of every item; `true` and `false` alone are meant.
pub(crate) fn constant(text: &str, plan: &Plan) -> Option<Warning> {
    if text.trim().is_empty() || matches!(text.trim(), "true" | "false") {
        return None;
    }
    let what = if plan.known()? {
        "every item"
    } else {
        "no item"
    };
    let why = match plan {
        Plan::Tree(..) | Plan::Known(_) => "since it reads no field",
        _ => "whatever the item holds",
    };
    Some(Warning {
        offset: 0,
        message: format!("the query matches {what}, {why}"),
    })
}
