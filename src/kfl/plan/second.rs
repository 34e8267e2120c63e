//! Plans of the second dialect: flags, and how clauses are joined.
//!
//! In: a checked boolean with its guards. Out: each flag tested once, in front of what depends on
//! it. Never: an order that the answer depends on; in this dialect there is none.

use super::clause::clause;
use super::first::first;
use super::{Plan, tree};
use crate::item::Path;
use crate::kfl::ir::{Const, Expr, Owner, Typed};
use crate::kfl::v2::vars::{How, Type, Var};

/// A boolean of the second dialect; `set` holds the flags that are set wherever it is looked at.
pub(super) fn second(expr: &Expr, set: &mut Vec<&'static str>) -> Plan {
    let Expr::Typed(typed) = expr else {
        return match expr {
            Expr::Const(Const::Bool(value)) => Plan::Known(*value),
            // A macro that is written in the first dialect.
            Expr::Not(_) => first(expr),
            _ => tree(expr, false),
        };
    };
    match &**typed {
        Typed::And(_) | Typed::Guard(..) => all(expr, set),
        Typed::Or(parts) => Plan::Any(parts.iter().map(|part| second(part, set)).collect()),
        Typed::Not(inner) => Plan::Not(Box::new(second(inner, set))),
        Typed::Flag(owner, _) => owned(owner, set).unwrap_or(Plan::Known(true)),
        Typed::Var(var, _) if is_flag(var) => flag(var, set),
        _ => clause(typed).unwrap_or_else(|| tree(expr, false)),
    }
}

fn flag(var: &'static Var, set: &[&'static str]) -> Plan {
    if set.contains(&var.name) {
        return Plan::Known(true);
    }
    match var.how {
        How::Named(name) => Plan::Is(Path::new("protocol.name"), name.into()),
        How::Abbr(abbr, None) => Plan::Is(Path::new("protocol.abbr"), abbr.into()),
        _ => Plan::Flag(var),
    }
}

/// Whether one of the flags is set; `None` when that is known.
fn owned(owner: &Owner, set: &[&'static str]) -> Option<Plan> {
    match owner.as_slice() {
        _ if owner.iter().any(|var| set.contains(&var.name)) => None,
        [var] => Some(flag(var, set)),
        _ => Some(Plan::Any(owner.iter().map(|var| flag(var, set)).collect())),
    }
}

fn is_flag(var: &Var) -> bool {
    var.ty == Type::Bool && !matches!(var.how, How::Absent)
}

/// A conjunction: flags first, since they cost least and all else depends on them.
///
/// Order does not matter in the second dialect, and where a flag is not set the whole is false
/// whatever the parts come to, so what stands behind it need not ask again.
fn all(expr: &Expr, set: &mut Vec<&'static str>) -> Plan {
    let outer = set.len();
    let mut parts = Vec::new();
    let mut rest = Vec::new();
    gather(expr, set, &mut parts, &mut rest);
    for part in rest {
        match second(part, set) {
            Plan::Known(true) => {}
            Plan::All(inner) => parts.extend(inner.into_vec()),
            plan => parts.push(plan),
        }
    }
    set.truncate(outer);
    match parts.len() {
        0 => Plan::Known(true),
        1 => parts.remove(0),
        _ => Plan::All(parts.into()),
    }
}

/// Takes a conjunction apart: flags become parts, the others are left for later.
fn gather<'x>(
    expr: &'x Expr,
    set: &mut Vec<&'static str>,
    parts: &mut Vec<Plan>,
    rest: &mut Vec<&'x Expr>,
) {
    let Expr::Typed(typed) = expr else {
        rest.push(expr);
        return;
    };
    match &**typed {
        Typed::And(inner) => inner.iter().for_each(|part| gather(part, set, parts, rest)),
        Typed::Guard(owners, _, inner) => {
            for owner in owners {
                parts.extend(owned(owner, set));
                set.extend(
                    owner
                        .as_slice()
                        .first()
                        .filter(|_| owner.len() == 1)
                        .map(|var| var.name),
                );
            }
            // What the flags guard is itself no conjunction, so this goes no deeper.
            rest.push(inner);
        }
        Typed::Flag(owner, _) if owner.len() == 1 => {
            parts.extend(owned(owner, set));
            set.extend(owner.first().map(|var| var.name));
        }
        Typed::Var(var, _) if is_flag(var) => {
            if !set.contains(&var.name) {
                parts.push(flag(var, set));
                set.push(var.name);
            }
        }
        _ => rest.push(expr),
    }
}
