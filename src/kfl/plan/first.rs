//! Plans of the first dialect.
//!
//! In: its parts, which stay in their order since one may hide another. Out: comparisons and helpers
//! of a plain path in their direct form. Never: a direct form for wildcards and decoded documents.

use super::{Compare, Known, Plan, Route, TextTest, contains, plain, tree};
use crate::item::Path;
use crate::kfl::eval::is_elapsed;
use crate::kfl::functions::Does;
use crate::kfl::ir::{Const, End, Expr, Macro, Op, Selector, Step};

/// A part of the first dialect.
pub(super) fn first(expr: &Expr) -> Plan {
    match expr {
        Expr::Macro(made) => is_of(made),
        Expr::Group(inner) => Plan::Group(Box::new(first(inner))),
        Expr::Not(inner) => Plan::Not(Box::new(first(inner))),
        Expr::Chain(head, rest) => {
            let rest = rest.iter().map(|(logic, part)| (*logic, first(part)));
            Plan::Chain(Box::new(first(head)), rest.collect())
        }
        Expr::Cmp(op, left, right) => compare(*op, left, right).unwrap_or_else(|| tree(expr, true)),
        // A macro that is written in the second dialect.
        Expr::Typed(_) => super::second::second(expr, &mut Vec::new()),
        Expr::Select(selector) => helper(selector).unwrap_or_else(|| tree(expr, true)),
        _ => tree(expr, true),
    }
}

fn is_of(made: &Macro) -> Plan {
    let is = |member: &str, value: &str| {
        Plan::Is(
            Path::of_names(["protocol", member].into_iter()),
            value.into(),
        )
    };
    let named = is(made.member, &made.value);
    match made.version {
        None => named,
        Some(version) => Plan::All([named, is("version", version)].into()),
    }
}

/// The way to what steps select, when none of them can lead to more than one place.
fn route(steps: &[Step]) -> Option<Route> {
    let plain = |step: &Step| matches!(step, Step::Name(_) | Step::Key(..) | Step::Index(_));
    if !steps.iter().all(plain) {
        return None;
    }
    // A name never selects in a list here, so a number is no name.
    let name = |step: &Step| match step {
        Step::Name(name) => Some(name.clone()),
        _ => None,
    };
    let names: Vec<Box<str>> = steps.iter().map_while(name).collect();
    Some(Route {
        steps: steps.get(names.len()..).unwrap_or_default().into(),
        names: Path::of_names(names.iter().map(|name| &**name)),
    })
}

fn compare(op: Op, left: &Expr, right: &Expr) -> Option<Plan> {
    let (selector, other, turned) = match (left, right) {
        (Expr::Select(selector), other) => (selector, other, false),
        (other, Expr::Select(selector)) => (selector, other, true),
        _ => return None,
    };
    let other = match other {
        Expr::Const(constant) => Known::Const(constant.clone()),
        Expr::Pattern(pattern) => Known::Pattern(pattern.clone()),
        _ => return None,
    };
    if selector.end != End::Value {
        return None;
    }
    let route = route(&selector.steps)?;
    Some(Plan::Compare(Box::new(Compare {
        selector: (**selector).clone(),
        elapsed: is_elapsed(&selector.steps),
        route,
        op,
        other,
        turned,
    })))
}

fn helper(selector: &Selector) -> Option<Plan> {
    let End::Helper(helper) = selector.end else {
        return None;
    };
    let (Step::Call(_, params), receiver) = selector.steps.split_last()? else {
        return None;
    };
    let Some(Expr::Const(Const::Text(text))) = params.first() else {
        return None;
    };
    let text = plain(text)?;
    let test = match helper.does {
        Does::StartsWith => TextTest::Starts(text.into()),
        Does::EndsWith => TextTest::Ends(text.into()),
        Does::Contains => contains(text),
        _ => return None,
    };
    if receiver.is_empty() || is_elapsed(receiver) {
        return None;
    }
    Some(Plan::Helper(route(receiver)?, test))
}
