//! Walking the intermediate form over one item (reference section 5).
//!
//! In: a compiled tree, an item in any form, the present moment. Out: a value or why there is
//! none. Never: a change to the item; `redact` alters a copy that lives as long as the run.

use serde_json::Value as Json;

use super::functions::Does;
use super::ir::{End, Expr, Logic, Macro, Selector, Step};
use super::meter::{Meter, Stop};
use super::path::value_at;
use super::schema::Layout;
use super::v2::check::owner_of;
use super::v2::read;
use super::v2::vars::{How, Var};
use super::value::{BYTES_A_STEP, Val};
use super::{redact, time};
use crate::item::Node;
use crate::item::json::JsonNode;
use crate::time::Timestamp;

/// The field of the first dialect that is read in other units than it is shown in.
pub(crate) const ELAPSED: &str = "elapsedTime";

/// Whether the steps of a selector name that field.
pub(crate) fn is_elapsed(steps: &[Step]) -> bool {
    matches!(steps, [Step::Name(name)] if &**name == ELAPSED)
}

/// One evaluation.
pub(crate) struct Run<'e, N> {
    pub(crate) root: N,
    pub(crate) now: Timestamp,
    pub(crate) meter: Meter,
    /// What macros have named, the outermost first.
    pub(crate) locals: Vec<Val<'e, N>>,
    /// The copy that `redact` has altered; once there, everything is read from it.
    altered: Option<Json>,
    /// Inside a parameter that must not depend on the item: selectors count as 0.
    frozen: bool,
}

impl<'e, 'a: 'e, N: Node<'a>> Run<'e, N> {
    pub(crate) fn new(root: N, now: Timestamp) -> Run<'e, N> {
        Run {
            root,
            now,
            meter: Meter::full(),
            locals: Vec::new(),
            altered: None,
            frozen: false,
        }
    }

    /// A run without an item, for what is known when a query is compiled.
    pub(crate) fn frozen(root: N) -> Run<'e, N> {
        Run {
            frozen: true,
            ..Run::new(root, Timestamp::default())
        }
    }

    /// The altered copy, when something was redacted.
    pub(crate) fn into_altered(self) -> Option<Json> {
        self.altered
    }

    /// A part: what is missing in it makes it false, as what fails in a macro of the second dialect.
    pub(crate) fn part(&mut self, expr: &'e Expr) -> Result<Val<'e, N>, Stop> {
        match self.eval(expr) {
            Err(Stop::Collapse | Stop::Failed) => Ok(Val::Bool(false)),
            result => result,
        }
    }

    pub(crate) fn eval(&mut self, expr: &'e Expr) -> Result<Val<'e, N>, Stop> {
        self.meter.charge(1)?;
        match expr {
            Expr::Const(constant) => Ok(Val::of(constant)),
            Expr::Pattern(pattern) => Ok(Val::Pattern(pattern)),
            Expr::Select(selector) => self.select(selector),
            Expr::Macro(made) => self.is_of(made),
            Expr::Group(inner) => self.part(inner),
            Expr::Not(inner) => Ok(Val::Bool(!self.eval(inner)?.is_true())),
            Expr::Neg(inner) => self.negated(inner),
            Expr::Cmp(op, left, right) => {
                let left = self.eval(left)?;
                let right = self.eval(right)?;
                left.compare(*op, &right, &mut self.meter).map(Val::Bool)
            }
            Expr::Chain(first, rest) => self.chain(first, rest),
            Expr::Typed(typed) => self.typed(typed),
        }
    }

    fn negated(&mut self, inner: &'e Expr) -> Result<Val<'e, N>, Stop> {
        Ok(match self.eval(inner)? {
            Val::Int(value) => value
                .checked_neg()
                .map_or(Val::Float(-(value as f64)), Val::Int),
            Val::Float(value) => Val::Float(-value),
            Val::Number(value, exact, _) => exact
                .and_then(i64::checked_neg)
                .map_or(Val::Float(-value), Val::Int),
            other => other,
        })
    }

    /// `a and REST` and `a or REST`: the first part that decides ends the chain.
    fn chain(&mut self, first: &'e Expr, rest: &'e [(Logic, Expr)]) -> Result<Val<'e, N>, Stop> {
        let mut holds = self.part(first)?.is_true();
        for (logic, part) in rest {
            let goes_on = match logic {
                Logic::And => holds,
                Logic::Or => !holds,
            };
            if !goes_on {
                break;
            }
            holds = self.part(part)?.is_true();
        }
        Ok(Val::Bool(holds))
    }

    /// The value at `steps` in the item, or in its altered copy.
    fn read(&mut self, steps: &[Step]) -> Result<Option<Val<'e, N>>, Stop> {
        if self.frozen {
            return Ok(Some(Val::Int(0)));
        }
        if is_elapsed(steps)
            && let Some(micros) = self.elapsed()
        {
            return Ok(Some(Val::Int(micros)));
        }
        match &self.altered {
            None => value_at(self.root, steps, &Val::of_node, &mut self.meter),
            Some(copy) => {
                let own = |node: JsonNode<'_>| Val::of_json(node.0);
                value_at(JsonNode(copy), steps, &own, &mut self.meter)
            }
        }
    }

    /// Microseconds from request to response, when the root is an item that has them still.
    fn elapsed(&self) -> Option<i64> {
        let is_there = |copy: &Json| copy.get(ELAPSED).is_some_and(Json::is_number);
        let micros = self.root.elapsed_micros()?;
        self.altered.as_ref().is_none_or(is_there).then_some(micros)
    }

    /// The variable that a missing path of names spells, when the item's protocol provides it.
    pub(crate) fn fall_back(&mut self, selector: &Selector) -> Option<Val<'e, N>> {
        let var = selector.fallback?;
        // An object without a protocol is no item.
        self.member("protocol", "abbr")?;
        let provided = owner_of(var).is_none_or(|owner| self.is_owned(&owner, Layout::Items));
        provided.then(|| self.variable(var, Layout::Items))
    }

    /// A variable of the second dialect; its default when the item does not have it.
    pub(crate) fn variable(&mut self, var: &'static Var, layout: Layout) -> Val<'e, N> {
        if self.frozen {
            return read::default_of(var);
        }
        if var.how == How::Elapsed
            && let Some(micros) = self.elapsed()
        {
            return Val::Int(micros);
        }
        match &self.altered {
            None => read::variable(self.root, var, layout, &Val::of_node),
            Some(copy) => {
                let own = |node: JsonNode<'_>| Val::of_json(node.0);
                read::variable(JsonNode(copy), var, layout, &own)
            }
        }
    }

    fn member(&mut self, outer: &str, inner: &str) -> Option<Val<'e, N>> {
        match &self.altered {
            None => self.root.member(outer)?.member(inner).map(Val::of_node),
            Some(copy) => copy.get(outer)?.get(inner).map(Val::of_json),
        }
    }

    fn is_of(&mut self, made: &Macro) -> Result<Val<'e, N>, Stop> {
        if self.frozen {
            return Ok(Val::Bool(false));
        }
        let found = self.member("protocol", made.member);
        let mut holds = found.is_some_and(|value| value.text() == *made.value);
        if let (true, Some(version)) = (holds, made.version) {
            let found = self.member("protocol", "version");
            holds = found.is_some_and(|value| value.text() == version);
        }
        Ok(Val::Bool(holds))
    }

    fn select(&mut self, selector: &'e Selector) -> Result<Val<'e, N>, Stop> {
        let helper = match selector.end {
            End::Value => {
                let found = self.read(&selector.steps)?;
                return found
                    .or_else(|| self.fall_back(selector))
                    .ok_or(Stop::Collapse);
            }
            End::Nothing => return Err(Stop::Collapse),
            End::Helper(helper) => helper,
        };
        let Some((Step::Call(_, params), receiver)) = selector.steps.split_last() else {
            // `now` without parentheses is the one helper that is no call.
            return Ok(Val::Int(self.now.millis()));
        };
        match helper.does {
            Does::StartsWith => {
                self.text_test(receiver, params, |text, part| text.starts_with(part))
            }
            Does::EndsWith => self.text_test(receiver, params, |text, part| text.ends_with(part)),
            Does::Contains => self.text_test(receiver, params, |text, part| {
                memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some()
            }),
            Does::Now => Ok(Val::Int(self.now.millis())),
            Does::Relative(unit) => self.relative(unit, params),
            Does::Datetime => {
                let text = self.param(params)?;
                let at = text.as_ref().and_then(|text| time::datetime(&text.text()));
                Ok(at.map_or(Val::Bool(false), Val::Int))
            }
            Does::Record => {
                let Some(name) = self.param(params)? else {
                    return Ok(Val::Bool(false));
                };
                let recording = [Step::Name("record".into())];
                let found = self.read(&recording)?.ok_or(Stop::Collapse)?;
                self.meter.charge(1)?;
                // Several recordings may have the stream; no name holds a comma.
                let (found, name) = (found.text(), name.text());
                let is_one = found.split(',').any(|one| one == name);
                Ok(Val::Bool(is_one))
            }
            Does::Redact => self.redact(params),
            // What steers the stream was read when the query was compiled.
            Does::Limit | Does::Rlimit | Does::LeftOff | Does::Json | Does::Xml => {
                Ok(Val::Bool(true))
            }
        }
    }

    /// The first parameter; `None` when it is a selector of something missing.
    fn param(&mut self, params: &'e [Expr]) -> Result<Option<Val<'e, N>>, Stop> {
        let Some(first) = params.first() else {
            return Ok(None);
        };
        match self.eval(first) {
            Err(Stop::Collapse) if matches!(first, Expr::Select(_)) => Ok(None),
            Err(Stop::Collapse) => Ok(Some(Val::Bool(false))),
            result => result.map(Some),
        }
    }

    fn text_test(
        &mut self,
        receiver: &[Step],
        params: &'e [Expr],
        holds: fn(&str, &str) -> bool,
    ) -> Result<Val<'e, N>, Stop> {
        let receiver = match receiver {
            [] => None,
            steps => self.read(steps)?,
        };
        let param = self.param(params)?;
        let (Some(receiver), Some(param)) = (receiver, param) else {
            return Ok(Val::Bool(false));
        };
        if matches!(param, Val::Pattern(_)) {
            return Ok(Val::Bool(false));
        }
        let found = receiver.any(&mut self.meter, |value, meter| {
            let text = value.text();
            meter.charge(text.len() / BYTES_A_STEP)?;
            Ok(param.any_text(|part| holds(&text, part)))
        })?;
        Ok(Val::Bool(found))
    }

    fn relative(&mut self, unit: i64, params: &'e [Expr]) -> Result<Val<'e, N>, Stop> {
        let outer = std::mem::replace(&mut self.frozen, true);
        let count = self.param(params);
        self.frozen = outer;
        // A cast of a float saturates, which is as far in the past or future as can be told.
        let count = count?.map_or(0, |count| count.num() as i64);
        let at = self.now.millis().saturating_add(count.saturating_mul(unit));
        Ok(Val::Int(at))
    }

    fn redact(&mut self, params: &'e [Expr]) -> Result<Val<'e, N>, Stop> {
        for param in params {
            let path = match self.eval(param) {
                Err(Stop::Collapse) => continue,
                result => result?,
            };
            if self.frozen {
                continue;
            }
            let mut copy = match self.altered.take() {
                Some(copy) => copy,
                None => redact::copy(self.root, 0, &mut self.meter)?,
            };
            let mut changed = 0;
            path.any_text(|path| {
                changed = redact::apply(&mut copy, path);
                changed > 0
            });
            self.meter.charge(1000)?;
            self.altered = Some(copy);
        }
        Ok(Val::Bool(true))
    }
}

/// The value of an expression where no item is: constants and what is made of them.
pub(crate) fn without_item<T>(
    expr: &Expr,
    read: impl FnOnce(&Val<'_, JsonNode<'_>>) -> T,
) -> Option<T> {
    if let Expr::Const(constant) = expr {
        return Some(read(&Val::<JsonNode<'_>>::of(constant)));
    }
    let value = Run::frozen(JsonNode(&Json::Null)).part(expr).ok()?;
    Some(read(&value))
}
