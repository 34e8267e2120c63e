//! Carrying out a plan on one item.
//!
//! In: a plan and a run over an item. Out: whether the item is wanted, or why that has no answer.
//! Never: an allocation for a clause that reads text, numbers or times as the item holds them.

use chrono::{DateTime, Utc};

use super::eval::Run;
use super::ir::{Expr, Logic, Op, Step};
use super::meter::{Meter, Stop};
use super::pattern::Pattern;
use super::plan::{Compare, Known, Member, Moment, Plan, Route, Source, TextTest, Texts};
use super::schema::Layout;
use super::v2::read;
use super::v2::vars::{self, Keys};
use super::value::{BYTES_A_STEP, Val};
use crate::item::{Kind, Node, Path};

impl<'e, 'a: 'e, N: Node<'a>> Run<'e, N> {
    /// Whether the plan's condition holds.
    pub(crate) fn decide(&mut self, plan: &'e Plan) -> Result<bool, Stop> {
        self.meter.charge(1)?;
        match plan {
            Plan::Known(value) => Ok(*value),
            Plan::All(parts) => self.absorbing(parts, true),
            Plan::Any(parts) => self.absorbing(parts, false),
            Plan::Not(inner) => Ok(!self.decide(inner)?),
            Plan::Chain(first, rest) => self.joined(first, rest),
            Plan::Group(inner) => self.whole(inner),
            Plan::Is(path, wanted) => {
                let found = self.root.at(path);
                Ok(found.is_some_and(|node| read::is_text(node, wanted)))
            }
            Plan::Flag(var) => Ok(read::flag(self.root, var)),
            Plan::Compare(compare) => self.compared(compare),
            Plan::Helper(receiver, test) => self.helped(receiver, test),
            Plan::Text(source, test) => self.text_of(source, test),
            Plan::Int(source, op, value) => {
                let found = self.int_of(source)?;
                Ok(op.holds(Some(found.cmp(value))))
            }
            Plan::IntIn(source, set) => {
                let found = self.int_of(source)?;
                Ok(set.binary_search(&found).is_ok())
            }
            Plan::Time(path, op, moment) => self.timed(path, *op, *moment),
            Plan::Member(member) => self.member_test(member),
            Plan::HasKey(map, key, keys) => Ok(self.under(map, key, *keys)?.is_some()),
            Plan::AnyText(texts, test) => self.any_text(texts, test),
            Plan::Count(texts, op, value) => {
                let mut count = 0;
                self.each_text(texts, |_, _| {
                    count += 1;
                    Ok(false)
                })?;
                Ok(op.holds(Some(count.cmp(value))))
            }
            Plan::Tree(expr, coerced) => self.tree(expr, *coerced),
        }
    }

    /// Not inlined, nor are the other rarer ways: they would make the usual ones dear in stack.
    #[inline(never)]
    fn tree(&mut self, expr: &'e Expr, coerced: bool) -> Result<bool, Stop> {
        match self.eval(expr)? {
            value if coerced => Ok(value.is_true()),
            Val::Bool(value) => Ok(value),
            _ => Err(Stop::Failed),
        }
    }

    /// A part of the first dialect: what is missing in it makes it false, as what fails in a macro of
    /// the second.
    fn whole(&mut self, plan: &'e Plan) -> Result<bool, Stop> {
        match self.decide(plan) {
            Err(Stop::Collapse | Stop::Failed) => Ok(false),
            result => result,
        }
    }

    fn joined(&mut self, first: &'e Plan, rest: &'e [(Logic, Plan)]) -> Result<bool, Stop> {
        let mut holds = self.whole(first)?;
        for (logic, part) in rest {
            if holds != (*logic == Logic::And) {
                break;
            }
            holds = self.whole(part)?;
        }
        Ok(holds)
    }

    fn absorbing(&mut self, parts: &'e [Plan], and: bool) -> Result<bool, Stop> {
        let mut failed = false;
        for part in parts {
            match self.decide(part) {
                Ok(value) if value != and => return Ok(!and),
                Ok(_) => {}
                Err(Stop::Bound) => return Err(Stop::Bound),
                Err(_) => failed = true,
            }
        }
        if failed { Err(Stop::Failed) } else { Ok(and) }
    }

    /// The place that a route leads to.
    fn plain(&mut self, route: &Route) -> Result<Option<N>, Stop> {
        let Some(mut at) = self.root.at(&route.names) else {
            return Ok(None);
        };
        self.meter.charge(route.steps.len())?;
        for step in &route.steps {
            let next = match step {
                Step::Name(name) => at.member(name),
                Step::Key(name, other) => at
                    .member(name)
                    .or_else(|| other.as_deref().and_then(|other| at.member(other))),
                Step::Index(index) => at.element(*index),
                _ => None,
            };
            let Some(next) = next else { return Ok(None) };
            at = next;
        }
        Ok(Some(at))
    }

    #[inline(never)]
    fn compared(&mut self, compare: &'e Compare) -> Result<bool, Stop> {
        if compare.elapsed
            && let Some(micros) = self.root.elapsed_micros()
        {
            return against(&Val::<N>::Int(micros), compare, &mut self.meter);
        }
        let Some(node) = self.plain(&compare.route)? else {
            let found = self.fall_back(&compare.selector).ok_or(Stop::Collapse)?;
            return against(&found, compare, &mut self.meter);
        };
        match node.kind() {
            Kind::Int => {
                let found: Val<'_, N> = Val::Int(node.int().unwrap_or_default());
                against(&found, compare, &mut self.meter)
            }
            Kind::Text => {
                let meter = &mut self.meter;
                let result = node.with_text(|text| {
                    let found: Val<'_, N> = Val::Text(text.into());
                    against(&found, compare, meter)
                });
                result.unwrap_or(Ok(false))
            }
            _ => against(&Val::<N>::of_node(node), compare, &mut self.meter),
        }
    }

    #[inline(never)]
    fn helped(&mut self, receiver: &'e Route, test: &'e TextTest) -> Result<bool, Stop> {
        let node = self.plain(receiver)?;
        let Some(node) = node else {
            return Ok(false);
        };
        if let Some(result) = test.at(node, &mut self.meter) {
            return result;
        }
        Val::<N>::of_node(node).any(&mut self.meter, |value, meter| {
            let mut result = Ok(false);
            value.any_text(|text| {
                result = test.holds(text, meter);
                true
            });
            result
        })
    }

    fn place_of(&self, source: &Source) -> Option<N> {
        let there = |node: &N| node.kind() != Kind::Null;
        match source {
            Source::At(path) | Source::Elapsed(path) => self.root.at(path).filter(there),
            Source::Parts(paths) => {
                let mut found = paths.iter().filter_map(|path| self.root.at(path));
                found.find(there)
            }
            Source::Var(_) => None,
        }
    }

    fn text_of(&mut self, source: &Source, test: &TextTest) -> Result<bool, Stop> {
        if let Source::Var(var) = source {
            return match self.variable(var, Layout::Items) {
                Val::Text(text) => test.holds(&text, &mut self.meter),
                _ => Err(Stop::Failed),
            };
        }
        let Some(node) = self.place_of(source) else {
            return test.holds("", &mut self.meter);
        };
        if let Some(result) = test.at(node, &mut self.meter) {
            return result;
        }
        match node.kind() {
            Kind::List | Kind::Object => test.holds("", &mut self.meter),
            _ => test.holds(&Val::<N>::of_node(node).text(), &mut self.meter),
        }
    }

    fn int_of(&mut self, source: &Source) -> Result<i64, Stop> {
        if let Source::Elapsed(_) = source
            && let Some(micros) = self.root.elapsed_micros()
        {
            return Ok(micros);
        }
        match source {
            Source::Var(var) => match self.variable(var, Layout::Items) {
                Val::Int(value) => Ok(value),
                _ => Err(Stop::Failed),
            },
            _ => Ok(self.place_of(source).and_then(Node::whole).unwrap_or(0)),
        }
    }

    #[inline(never)]
    fn timed(&mut self, path: &Path, op: Op, moment: Moment) -> Result<bool, Stop> {
        let place = self.root.at(path);
        let found = match place.filter(|node| node.kind() == Kind::Int) {
            Some(node) => DateTime::from_timestamp_millis(node.int().unwrap_or_default()),
            None => match vars::find("timestamp").map(|var| self.variable(var, Layout::Items)) {
                Some(Val::Time(at)) => Some(at),
                _ => None,
            },
        };
        let found = found.unwrap_or(DateTime::UNIX_EPOCH);
        let wanted: DateTime<Utc> = match moment {
            Moment::At(at) => at,
            Moment::Now(by) => {
                let now = self.now.utc().checked_add_signed(by);
                now.and_then(super::v2::convert::in_range)
                    .ok_or(Stop::Failed)?
            }
        };
        Ok(op.holds(Some(found.cmp(&wanted))))
    }

    /// What a map variable holds under a key.
    #[inline(never)]
    fn under(&mut self, map: &Path, key: &str, keys: Keys) -> Result<Option<N>, Stop> {
        let map = self.root.at(map).filter(|node| node.kind() == Kind::Object);
        let Some(map) = map else { return Ok(None) };
        self.meter.charge(map.len())?;
        Ok(match keys {
            Keys::Headers => map.member_ignoring_case(key),
            Keys::Exact | Keys::Labels => map.member(key),
        })
    }

    #[inline(never)]
    fn member_test(&mut self, member: &Member) -> Result<bool, Stop> {
        let Some(node) = self.under(&member.map, &member.key, member.keys)? else {
            return match &member.missing {
                Some(text) => member.test.holds(text, &mut self.meter),
                None => Err(Stop::Failed),
            };
        };
        if let Some(result) = member.test.at(node, &mut self.meter) {
            return result;
        }
        match super::v2::values::map_text(Val::<N>::of_node(node)) {
            Val::Text(text) => member.test.holds(&text, &mut self.meter),
            _ => Err(Stop::Failed),
        }
    }

    #[inline(never)]
    fn any_text(&mut self, texts: &Texts, test: &TextTest) -> Result<bool, Stop> {
        self.each_text(texts, |text, meter| test.holds(text, meter))
    }

    /// Whether `holds` is true of one of the texts at least.
    fn each_text(
        &mut self,
        texts: &Texts,
        mut holds: impl FnMut(&str, &mut Meter) -> Result<bool, Stop>,
    ) -> Result<bool, Stop> {
        let meter = &mut self.meter;
        let mut result = Ok(false);
        let mut see = |text: &str| {
            result = meter.charge(1).and_then(|()| holds(text, meter));
            !matches!(result, Ok(false))
        };
        match texts {
            Texts::Var(var) => {
                read::each_text(self.root, var, &mut see);
            }
            Texts::Below(list, member) => {
                if let Some(list) = self.root.at(list) {
                    read::each_member(list, member, &mut see);
                }
            }
        }
        result
    }
}

fn against<'v, 'a: 'v, N: Node<'a>>(
    found: &Val<'v, N>,
    compare: &'v Compare,
    meter: &mut Meter,
) -> Result<bool, Stop> {
    let known = match &compare.other {
        Known::Const(constant) => Val::of(constant),
        Known::Pattern(pattern) => Val::Pattern(pattern),
    };
    if compare.turned {
        known.compare(compare.op, found, meter)
    } else {
        found.compare(compare.op, &known, meter)
    }
}

impl TextTest {
    /// Whether the text at `node` passes; `None` when there is no text.
    pub(crate) fn at<'m, M: Node<'m>>(
        &self,
        node: M,
        meter: &mut Meter,
    ) -> Option<Result<bool, Stop>> {
        if let Some(bytes) = node.text_bytes()
            && let Some(result) = self.holds_bytes(bytes, meter)
        {
            return Some(result);
        }
        node.with_text(|text| self.holds(text, meter))
    }

    /// As [`TextTest::holds`] on the text that `bytes` are, without making it valid first.
    ///
    /// Text without the replacement character, as plans have it, is found in a text exactly where
    /// its bytes are found in the bytes: what is invalid ends where a valid character begins.
    fn holds_bytes(&self, bytes: &[u8], meter: &mut Meter) -> Option<Result<bool, Stop>> {
        let (length, holds) = match self {
            TextTest::Order(Op::Eq, part) => (part.len(), bytes == part.as_bytes()),
            TextTest::Order(Op::Ne, part) => (part.len(), bytes != part.as_bytes()),
            TextTest::Starts(part) => (part.len(), bytes.starts_with(part.as_bytes())),
            TextTest::Ends(part) => (part.len(), bytes.ends_with(part.as_bytes())),
            TextTest::Contains(part) => {
                let charged = meter.charge(bytes.len() / BYTES_A_STEP);
                return Some(charged.map(|()| part.find(bytes).is_some()));
            }
            _ => return None,
        };
        let cost = bytes.len().min(length) / BYTES_A_STEP;
        Some(meter.charge(cost).map(|()| holds))
    }

    /// Whether `text` passes.
    pub(crate) fn holds(&self, text: &str, meter: &mut Meter) -> Result<bool, Stop> {
        let cost = match self {
            TextTest::Order(_, other) => text.len().min(other.len()),
            _ => text.len(),
        };
        meter.charge(cost / BYTES_A_STEP)?;
        Ok(match self {
            TextTest::Order(Op::Eq, other) => *text == **other,
            TextTest::Order(Op::Ne, other) => *text != **other,
            TextTest::Order(op, other) => op.holds(Some(text.cmp(other))),
            TextTest::Starts(part) => text.starts_with(&**part),
            TextTest::Ends(part) => text.ends_with(&**part),
            TextTest::Contains(part) => part.find(text.as_bytes()).is_some(),
            TextTest::Found(pattern) => Pattern::is_in(pattern, text),
            TextTest::OneOf(set) => set.contains(text),
        })
    }
}
