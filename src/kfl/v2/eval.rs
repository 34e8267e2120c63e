//! Evaluating what only the second dialect has (reference sections 12.3 to 12.7).
//!
//! In: checked expressions. Out: values; [`Stop::Failed`] where the reference has an error. Never:
//! coercion between types, but for numbers that were made `dyn`.

use std::rc::Rc;

use crate::item::Node;
use crate::kfl::eval::Run;
use crate::kfl::ir::{Arith, Expr, Fold, Owner, Typed};
use crate::kfl::meter::Stop;
use crate::kfl::schema::Layout;
use crate::kfl::value::{BYTES_A_STEP, Val};

use super::functions;
use super::values::{compare, get, has_key, keys, strict_equal};
use super::vars::Keys;

type Out<'e, N> = Result<Val<'e, N>, Stop>;

impl<'e, 'a: 'e, N: Node<'a>> Run<'e, N> {
    /// The value of a typed expression.
    pub(crate) fn typed(&mut self, typed: &'e Typed) -> Out<'e, N> {
        match typed {
            Typed::Var(var, layout) => Ok(self.variable(var, *layout)),
            Typed::Flag(owner, layout) => Ok(Val::Bool(self.is_owned(owner, *layout))),
            Typed::Guard(owners, layout, inner) => self.guarded(owners, *layout, inner),
            Typed::Local(at) => self.locals.get(*at).cloned().ok_or(Stop::Failed),
            Typed::And(parts) => self.all_of(parts, true),
            Typed::Or(parts) => self.all_of(parts, false),
            Typed::Not(inner) => Ok(Val::Bool(!self.truth(inner)?)),
            Typed::Minus(inner) => self.minus(inner),
            Typed::Cmp(op, left, right) => {
                let left = self.eval(left)?;
                let right = self.eval(right)?;
                compare(*op, &left, &right, &mut self.meter).map(Val::Bool)
            }
            Typed::In(left, right, keys) => self.is_in(left, right, *keys),
            Typed::Arith(arith, left, right) => self.arith(*arith, left, right),
            Typed::Cond(condition, yes, no) => {
                let branch = if self.truth(condition)? { yes } else { no };
                self.eval(branch)
            }
            Typed::List(elements) => {
                let list: Result<Vec<_>, _> =
                    elements.iter().map(|element| self.eval(element)).collect();
                Ok(Val::List(Rc::new(list?)))
            }
            Typed::Map(entries) => self.map(entries),
            Typed::Index(of, index, keys) => self.index(of, index, *keys),
            Typed::Has(of, name, keys) => {
                let of = self.eval(of)?;
                let key = Val::Text(name.as_ref().into());
                has_key(&of, &key, *keys, &mut self.meter).map(Val::Bool)
            }
            Typed::Search(of, pattern) => {
                let Val::Text(text) = self.eval(of)? else {
                    return Err(Stop::Failed);
                };
                self.meter.charge(text.len() / BYTES_A_STEP)?;
                Ok(Val::Bool(pattern.is_in(&text)))
            }
            Typed::Call(func, args) => {
                let args: Result<Vec<_>, _> = args.iter().map(|arg| self.eval(arg)).collect();
                functions::call(func, &args?, self.now, &mut self.meter)
            }
            Typed::Fold(of, fold, keys) => self.fold(of, fold, *keys),
        }
    }

    /// Whether one of the flags at least is set.
    pub(crate) fn is_owned(&mut self, owner: &Owner, layout: Layout) -> bool {
        owner
            .iter()
            .any(|flag| matches!(self.variable(flag, layout), Val::Bool(true)))
    }

    fn guarded(&mut self, owners: &'e [Owner], layout: Layout, inner: &'e Expr) -> Out<'e, N> {
        if owners.iter().all(|owner| self.is_owned(owner, layout)) {
            return self.eval(inner);
        }
        Ok(Val::Bool(false))
    }

    fn truth(&mut self, expr: &'e Expr) -> Result<bool, Stop> {
        match self.eval(expr)? {
            Val::Bool(value) => Ok(value),
            _ => Err(Stop::Failed),
        }
    }

    /// `&&` (or `||`): false (true) when any part is, whatever the others are; else an error when
    /// one is; else the opposite.
    fn all_of(&mut self, parts: &'e [Expr], and: bool) -> Out<'e, N> {
        let mut failed = false;
        for part in parts {
            match self.truth(part) {
                Ok(value) if value != and => return Ok(Val::Bool(!and)),
                Ok(_) => {}
                Err(Stop::Bound) => return Err(Stop::Bound),
                Err(_) => failed = true,
            }
        }
        if failed {
            Err(Stop::Failed)
        } else {
            Ok(Val::Bool(and))
        }
    }

    fn minus(&mut self, inner: &'e Expr) -> Out<'e, N> {
        match self.eval(inner)? {
            Val::Int(value) | Val::Number(_, Some(value), _) => {
                value.checked_neg().map(Val::Int).ok_or(Stop::Failed)
            }
            Val::Float(value) | Val::Number(value, None, _) => Ok(Val::Float(-value)),
            _ => Err(Stop::Failed),
        }
    }

    fn is_in(&mut self, left: &'e Expr, right: &'e Expr, keys: Keys) -> Out<'e, N> {
        let left = self.eval(left)?;
        let right = self.eval(right)?;
        if !right.is_list() {
            return has_key(&right, &left, keys, &mut self.meter).map(Val::Bool);
        }
        for index in 0..right.len() {
            self.meter.charge(1)?;
            if let Some(element) = right.element(index)
                && strict_equal(&left, &element, &mut self.meter)?
            {
                return Ok(Val::Bool(true));
            }
        }
        Ok(Val::Bool(false))
    }

    fn arith(&mut self, arith: Arith, left: &'e Expr, right: &'e Expr) -> Out<'e, N> {
        let left = self.eval(left)?;
        let right = self.eval(right)?;
        functions::arith(arith, left, right, &mut self.meter)
    }

    fn map(&mut self, entries: &'e [(Expr, Expr)]) -> Out<'e, N> {
        let mut made: Vec<(Val<'e, N>, Val<'e, N>)> = Vec::new();
        for (key, value) in entries {
            let key = self.eval(key)?;
            for (known, _) in &made {
                if strict_equal(known, &key, &mut self.meter)? {
                    return Err(Stop::Failed);
                }
            }
            made.push((key, self.eval(value)?));
        }
        Ok(Val::Map(Rc::new(made)))
    }

    fn index(&mut self, of: &'e Expr, index: &'e Expr, keys: Keys) -> Out<'e, N> {
        let of = self.eval(of)?;
        let index = self.eval(index)?;
        if of.is_list() {
            let at = index.number().and_then(|(_, whole)| whole);
            let at = at.and_then(|at| usize::try_from(at).ok());
            return at.and_then(|at| of.element(at)).ok_or(Stop::Failed);
        }
        match get(&of, &index, keys, &mut self.meter)? {
            Some(value) => Ok(value),
            None if keys == Keys::Labels => Ok(Val::Text("".into())),
            None => Err(Stop::Failed),
        }
    }

    fn fold(&mut self, of: &'e Expr, fold: &'e Fold, flavour: Keys) -> Out<'e, N> {
        let of = self.eval(of)?;
        let of = if of.is_list() {
            of
        } else {
            Val::List(Rc::new(keys(&of, flavour, &mut self.meter)?))
        };
        let mut folded = Folded::default();
        let mut made = Vec::new();
        for index in 0..of.len() {
            self.meter.charge(1)?;
            let Some(element) = of.element(index) else {
                continue;
            };
            self.locals.push(element);
            let step = self.step(fold, &mut folded, &mut made);
            let element = self.locals.pop();
            match (step, element) {
                (Err(Stop::Failed), _) if matches!(fold, Fold::All(_) | Fold::Exists(_)) => {
                    folded.failed = true;
                }
                (Err(stop), _) => return Err(stop),
                (Ok(Next::Done), _) => return Ok(Val::Bool(matches!(fold, Fold::Exists(_)))),
                (Ok(Next::Keep), Some(element)) => made.push(element),
                (Ok(_), _) => {}
            }
        }
        match fold {
            _ if folded.failed => Err(Stop::Failed),
            Fold::All(_) => Ok(Val::Bool(true)),
            Fold::Exists(_) => Ok(Val::Bool(false)),
            Fold::ExistsOne(_) => Ok(Val::Bool(folded.count == 1)),
            Fold::Filter(_) | Fold::Map(..) => Ok(Val::List(Rc::new(made))),
        }
    }

    /// One element, which is the last local.
    fn step(
        &mut self,
        fold: &'e Fold,
        folded: &mut Folded,
        made: &mut Vec<Val<'e, N>>,
    ) -> Result<Next, Stop> {
        Ok(match fold {
            Fold::All(body) if !self.truth(body)? => Next::Done,
            Fold::Exists(body) if self.truth(body)? => Next::Done,
            Fold::All(_) | Fold::Exists(_) => Next::On,
            Fold::ExistsOne(body) => {
                folded.count += usize::from(self.truth(body)?);
                Next::On
            }
            Fold::Filter(body) => {
                if self.truth(body)? {
                    Next::Keep
                } else {
                    Next::On
                }
            }
            Fold::Map(condition, value) => {
                let wanted = match condition {
                    Some(condition) => self.truth(condition)?,
                    None => true,
                };
                if wanted {
                    let value = self.eval(value)?;
                    made.push(value);
                }
                Next::On
            }
        })
    }
}

#[derive(Default)]
struct Folded {
    failed: bool,
    count: usize,
}

enum Next {
    On,
    Keep,
    Done,
}
