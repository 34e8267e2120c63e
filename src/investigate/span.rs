//! Time ranges, and what a query says of time.

use crate::kfl::prefilter::{ColumnTest, Condition, Scalar, Test};
use crate::time::Timestamp;

/// A time range, both ends optional and within it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The last moment.
    pub to: Option<Timestamp>,
}

impl Span {
    /// Whether it has an end at all.
    pub fn is_limited(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// Whether a moment lies in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at <= to)
    }

    /// The part of it that ends at `to`.
    pub(super) fn until(self, to: Timestamp) -> Span {
        let to = self.to.map_or(to, |end| end.min(to));
        Span {
            to: Some(to),
            ..self
        }
    }

    /// The part of it that begins at `from`.
    fn since(self, from: Timestamp) -> Span {
        let from = self.from.map_or(from, |start| start.max(from));
        Span {
            from: Some(from),
            ..self
        }
    }

    /// The part of it in which items may lie that meet `condition`: what that says of the time of a
    /// request.
    pub(super) fn narrowed(self, condition: Option<&Condition<ColumnTest>>) -> Span {
        match condition {
            Some(Condition::All(parts)) => parts
                .iter()
                .fold(self, |span, part| span.narrowed(Some(part))),
            Some(Condition::Is(test)) if *test.column == *"timestamp" && test.nulls.is_empty() => {
                // Fields are in milliseconds, and rounded down.
                let start = |millis: i64| Timestamp::from_nanos(millis.saturating_mul(1_000_000));
                let end = |millis: i64| {
                    let nanos = millis.saturating_mul(1_000_000).saturating_add(999_999);
                    Timestamp::from_nanos(nanos)
                };
                match &test.test {
                    Test::Eq(Scalar::Int(at)) => self.since(start(*at)).until(end(*at)),
                    Test::Lt(Scalar::Int(at)) | Test::Le(Scalar::Int(at)) => self.until(end(*at)),
                    Test::Gt(Scalar::Int(at)) | Test::Ge(Scalar::Int(at)) => self.since(start(*at)),
                    _ => self,
                }
            }
            _ => self,
        }
    }

    /// Whether any moment from `first` to `last`, in nanoseconds, may lie in it.
    pub fn touches(&self, first: i64, last: i64) -> bool {
        self.from.is_none_or(|from| from.nanos() <= last)
            && self.to.is_none_or(|to| first <= to.nanos())
    }
}
