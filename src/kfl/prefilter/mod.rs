//! Weaker conditions that are tested close to the data, before the query itself (reference
//! section 16).
//!
//! In: a compiled query. Out: a [`Condition`] on facts of packets or of columns that holds wherever
//! the query matches, and perhaps elsewhere. Never: a narrower one; what cannot be told from such
//! facts gives nothing, and the query itself is asked of all that is left.

mod columns;
mod packets;
mod paths;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::ir::{Expr, Logic, Selector, Step, Typed};
use super::{Query, functions::Does, ir::End};
use crate::time::Timestamp;

pub use columns::{ColumnTest, Found, Scalar, Stats, Test, may_hold};
pub use packets::{Fact, Link, Side, bpf, shown};

/// A condition on facts of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition<T> {
    /// Every one of these.
    All(Vec<Condition<T>>),
    /// At least one of these.
    Any(Vec<Condition<T>>),
    /// One fact.
    Is(T),
}

impl Query {
    /// What packets must be like that belong to a matching item's stream, in either direction;
    /// `None` when nothing can be told.
    pub fn packet_condition(&self) -> Option<Condition<Fact>> {
        self.and_imposed(&|query| {
            weaken(query.0.expr.as_ref()?, &mut packets::fact).map(packets::merged)
        })
    }

    /// What the columns of a matching item's row must be like; relative times count from `now`.
    pub fn column_condition(&self, now: Timestamp) -> Option<Condition<ColumnTest>> {
        self.and_imposed(&|query| {
            weaken(query.0.expr.as_ref()?, &mut |atom, holds| {
                columns::test(atom, holds, now)
            })
        })
    }

    /// What `of` says of this query and of those that stand in front of it; behind one that redacts
    /// nothing is known.
    fn and_imposed<T: PartialEq>(
        &self,
        of: &dyn Fn(&Query) -> Option<Condition<T>>,
    ) -> Option<Condition<T>> {
        match &self.1 {
            None => of(self),
            Some(imposed) if imposed.redacts() => imposed.and_imposed(of),
            Some(imposed) => all(vec![imposed.and_imposed(of), of(self)]),
        }
    }
}

/// The condition of what a query asks; `fact` tells what an atom, or its opposite, needs.
fn weaken<T: PartialEq>(expr: &Expr, fact: &mut Facts<'_, T>) -> Option<Condition<T>> {
    match expr {
        Expr::Typed(_) => second(expr, true, fact),
        _ => first(expr, true, &mut false, fact),
    }
}

type Facts<'f, T> = dyn FnMut(&Expr, bool) -> Option<Condition<T>> + 'f;

/// All of what is known.
pub(crate) fn all<T: PartialEq>(parts: Vec<Option<Condition<T>>>) -> Option<Condition<T>> {
    let mut known = Vec::new();
    for part in parts.into_iter().flatten() {
        let inner = match part {
            Condition::All(inner) => inner,
            part => vec![part],
        };
        for part in inner {
            if !known.contains(&part) {
                known.push(part);
            }
        }
    }
    match known.len() {
        0 | 1 => known.pop(),
        _ => Some(Condition::All(known)),
    }
}

/// Any of these, when each is known.
fn any<T: PartialEq>(parts: Vec<Option<Condition<T>>>) -> Option<Condition<T>> {
    let mut known = Vec::new();
    for part in parts {
        let inner = match part? {
            Condition::Any(inner) => inner,
            part => vec![part],
        };
        for part in inner {
            if !known.contains(&part) {
                known.push(part);
            }
        }
    }
    match known.len() {
        0 | 1 => known.pop(),
        _ => Some(Condition::Any(known)),
    }
}

/// The second dialect: an error only ever turns a match into none, so it needs no care here.
fn second<T: PartialEq>(expr: &Expr, holds: bool, fact: &mut Facts<'_, T>) -> Option<Condition<T>> {
    let Expr::Typed(typed) = expr else {
        return first(expr, holds, &mut false, fact);
    };
    let each = |parts: &[Expr], fact: &mut Facts<'_, T>| -> Vec<_> {
        parts.iter().map(|part| second(part, holds, fact)).collect()
    };
    match &**typed {
        Typed::And(parts) if holds => all(each(parts, fact)),
        Typed::And(parts) => any(each(parts, fact)),
        Typed::Or(parts) if holds => any(each(parts, fact)),
        Typed::Or(parts) => all(each(parts, fact)),
        Typed::Not(inner) => second(inner, !holds, fact),
        Typed::Guard(owners, layout, inner) => {
            let mut parts = Vec::new();
            for owner in owners {
                let flag = Expr::Typed(Box::new(Typed::Flag(owner.clone(), *layout)));
                parts.push(second(&flag, holds, fact));
            }
            parts.push(second(inner, holds, fact));
            if holds { all(parts) } else { any(parts) }
        }
        Typed::Flag(owner, layout) if owner.len() > 1 => {
            let flags = owner.iter().map(|var| {
                let flag = Expr::Typed(Box::new(Typed::Var(var, *layout)));
                second(&flag, holds, fact)
            });
            let parts = flags.collect();
            if holds { any(parts) } else { all(parts) }
        }
        Typed::Cond(condition, yes, no) => {
            let yes = all(vec![
                second(condition, true, fact),
                second(yes, holds, fact),
            ]);
            let no = all(vec![
                second(condition, false, fact),
                second(no, holds, fact),
            ]);
            any(vec![yes, no])
        }
        _ => fact(expr, holds),
    }
}

/// The first dialect, whose tree groups to the right.
///
/// What is missing makes the part it stands in false, so a negation may hold for want of a value:
/// below one only a macro counts. After a redaction every part reads what that left.
fn first<T: PartialEq>(
    expr: &Expr,
    holds: bool,
    redacted: &mut bool,
    fact: &mut Facts<'_, T>,
) -> Option<Condition<T>> {
    if *redacted || redacts(expr) && !matches!(expr, Expr::Chain(..) | Expr::Group(_)) {
        *redacted = true;
        return None;
    }
    match expr {
        Expr::Group(inner) => first(inner, holds, redacted, fact),
        Expr::Not(inner) => first(inner, !holds, redacted, fact),
        Expr::Chain(head, rest) => chain(head, rest, holds, redacted, fact),
        Expr::Macro(_) => fact(expr, holds),
        // An error in it makes it false here, so its opposite says nothing.
        Expr::Typed(_) => holds.then(|| second(expr, true, fact)).flatten(),
        _ if holds => fact(expr, true),
        _ => None,
    }
}

fn chain<T: PartialEq>(
    head: &Expr,
    rest: &[(Logic, Expr)],
    holds: bool,
    redacted: &mut bool,
    fact: &mut Facts<'_, T>,
) -> Option<Condition<T>> {
    let mut parts = vec![first(head, holds, redacted, fact)];
    for (_, part) in rest {
        parts.push(first(part, holds, redacted, fact));
    }
    // From the last part on, since the right operand of each operator is all the rest.
    let mut made = parts.pop().flatten();
    for (logic, _) in rest.iter().rev() {
        let left = parts.pop().flatten();
        let both = (*logic == Logic::And) == holds;
        made = if both {
            all(vec![left, made])
        } else {
            any(vec![left, made])
        };
    }
    made
}

fn redacts(expr: &Expr) -> bool {
    let within = |selector: &Selector| {
        let calls = matches!(selector.end, End::Helper(helper) if helper.does == Does::Redact);
        calls
            || selector.steps.iter().any(|step| match step {
                Step::Call(_, params) => params.iter().any(redacts),
                _ => false,
            })
    };
    match expr {
        Expr::Select(selector) => within(selector),
        Expr::Group(inner) | Expr::Not(inner) | Expr::Neg(inner) => redacts(inner),
        Expr::Cmp(_, left, right) => redacts(left) || redacts(right),
        Expr::Chain(head, rest) => redacts(head) || rest.iter().any(|(_, part)| redacts(part)),
        Expr::Const(_) | Expr::Pattern(_) | Expr::Macro(_) | Expr::Typed(_) => false,
    }
}

/// A comparison of the same kind whichever way round it is written: what is compared, with what.
fn sides(expr: &Expr) -> Option<(super::ir::Op, &Expr, &Expr)> {
    let (op, left, right) = match expr {
        Expr::Cmp(op, left, right) => (*op, &**left, &**right),
        Expr::Typed(typed) => match &**typed {
            Typed::Cmp(op, left, right) => (*op, left, right),
            _ => return None,
        },
        _ => return None,
    };
    let is_known = |expr: &Expr| matches!(expr, Expr::Const(_) | Expr::Pattern(_));
    if is_known(left) && !is_known(right) {
        return Some((super::plan::turned(op), right, left));
    }
    Some((op, left, right))
}

/// The dotted names and numbers of a selector that is nothing else.
fn path_of(expr: &Expr) -> Option<String> {
    let Expr::Select(selector) = expr else {
        return None;
    };
    if selector.end != End::Value {
        return None;
    }
    names(&selector.steps)
}

fn names(steps: &[Step]) -> Option<String> {
    let names: Option<Vec<Cow<'_, str>>> = steps
        .iter()
        .map(|step| match step {
            // A dot within a name would make another path.
            Step::Name(name) | Step::Key(name, None) if !name.contains('.') => {
                Some(Cow::Borrowed(&**name))
            }
            Step::Index(index) => Some(Cow::Owned(index.to_string())),
            _ => None,
        })
        .collect();
    names.map(|names| names.join("."))
}
