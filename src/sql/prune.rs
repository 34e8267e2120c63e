//! What a filter of the engine needs of rows, in the terms of the index.
//!
//! In: filters as the engine pushes them down. Out: a weaker condition on columns, the queries that
//! must hold, and what is about the place of a reel alone. Never: a stronger condition: the engine
//! asks its filters of all that is left.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator};

use super::rewrite::query_of;
use super::tables::PLACE;
use crate::index::{COLUMNS, Kind};
use crate::kfl::prefilter::{ColumnTest, Condition, Scalar, Test};

/// Whether a filter is about the place of a reel alone, and always answers the same for it.
pub(super) fn is_of_place(filter: &Expr) -> bool {
    let mut columns = 0;
    let is_place = filter.column_refs().into_iter().all(|column| {
        columns += 1;
        PLACE.iter().any(|place| place.name == column.name)
    });
    is_place && columns > 0 && !filter.is_volatile()
}

/// The queries that every wanted row matches: those that a filter names as they are.
pub(super) fn required(filters: &[Expr]) -> Vec<usize> {
    let mut required = Vec::new();
    for filter in filters {
        conjuncts(filter, &mut |part| {
            let column = match part {
                Expr::Column(column) => Some(column),
                Expr::IsTrue(inner) => match &**inner {
                    Expr::Column(column) => Some(column),
                    _ => None,
                },
                _ => None,
            };
            required.extend(column.and_then(|column| query_of(&column.name)));
        });
    }
    required
}

fn conjuncts(expr: &Expr, each: &mut dyn FnMut(&Expr)) {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => {
            conjuncts(left, each);
            conjuncts(right, each);
        }
        other => each(other),
    }
}

/// What rows that pass `expr` are like; `None` when nothing can be told. `of_query` gives the
/// condition of a query by number.
pub(super) fn condition(
    expr: &Expr,
    of_query: &dyn Fn(usize) -> Option<Condition<ColumnTest>>,
) -> Option<Condition<ColumnTest>> {
    match expr {
        Expr::Column(column) => of_query(query_of(&column.name)?),
        Expr::IsTrue(inner) => condition(inner, of_query),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => all([condition(left, of_query), condition(right, of_query)]),
            Operator::Or => Some(Condition::Any(vec![
                condition(left, of_query)?,
                condition(right, of_query)?,
            ])),
            op => match (&**left, &**right) {
                (Expr::Column(column), Expr::Literal(value, ..)) => {
                    compared(&column.name, *op, value)
                }
                (Expr::Literal(value, ..), Expr::Column(column)) => {
                    compared(&column.name, op.swap()?, value)
                }
                _ => None,
            },
        },
        Expr::Between(between) if !between.negated => {
            match (&*between.expr, &*between.low, &*between.high) {
                (Expr::Column(column), Expr::Literal(low, ..), Expr::Literal(high, ..)) => all([
                    compared(&column.name, Operator::GtEq, low),
                    compared(&column.name, Operator::LtEq, high),
                ]),
                _ => None,
            }
        }
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) => {
            let Expr::Column(column) = &**expr else {
                return None;
            };
            let values = list.iter().map(|value| match value {
                Expr::Literal(value, ..) => exact(&column.name, value),
                _ => None,
            });
            is(&column.name, Test::In(values.collect::<Option<_>>()?))
        }
        Expr::Like(Like {
            negated: false,
            expr,
            pattern,
            escape_char: None,
            case_insensitive: false,
        }) => match (&**expr, &**pattern) {
            (Expr::Column(column), Expr::Literal(pattern, ..)) => {
                let pattern = text(pattern)?;
                let prefix = pattern.split(['%', '_', '\\']).next().unwrap_or_default();
                let is_prefix = !prefix.is_empty() && kind_of(&column.name)? == Kind::Text;
                is_prefix.then(|| is(&column.name, Test::Prefix(prefix.into())))?
            }
            _ => None,
        },
        _ => None,
    }
}

/// All of what is known of two parts.
pub(super) fn all<const N: usize>(
    parts: [Option<Condition<ColumnTest>>; N],
) -> Option<Condition<ColumnTest>> {
    let mut known: Vec<_> = parts.into_iter().flatten().collect();
    match known.len() {
        0 | 1 => known.pop(),
        _ => Some(Condition::All(known)),
    }
}

fn compared(column: &str, op: Operator, value: &ScalarValue) -> Option<Condition<ColumnTest>> {
    // Queries compare coarser units: what is less may be in the same one.
    if let Some(scale) = scale_of(column) {
        let at = Scalar::Int(number(column, value)?.div_euclid(scale));
        let test = match op {
            Operator::Eq => Test::Eq(at),
            Operator::Lt | Operator::LtEq => Test::Le(at),
            Operator::Gt | Operator::GtEq => Test::Ge(at),
            _ => return None,
        };
        return is(column, test);
    }
    let value = exact(column, value)?;
    let test = match op {
        Operator::Eq => Test::Eq(value),
        Operator::NotEq => Test::Ne(value),
        Operator::Lt => Test::Lt(value),
        Operator::LtEq => Test::Le(value),
        Operator::Gt => Test::Gt(value),
        Operator::GtEq => Test::Ge(value),
        _ => return None,
    };
    is(column, test)
}

/// A test of a column of the index, by the path that it has there; what is null never passes.
fn is(column: &str, test: Test) -> Option<Condition<ColumnTest>> {
    let column = COLUMNS.iter().find(|known| known.name == column)?;
    let name = match column.path() {
        Some(path) => path,
        // Known by its filter alone.
        None if column.has_bloom => column.name,
        None => return None,
    };
    Some(Condition::Is(ColumnTest {
        column: name.into(),
        test,
        nulls: Vec::new(),
    }))
}

fn kind_of(column: &str) -> Option<Kind> {
    let column = COLUMNS.iter().find(|known| known.name == column)?;
    Some(column.kind)
}

/// How many of a column's units make one of those that queries compare.
fn scale_of(column: &str) -> Option<i64> {
    let column = COLUMNS.iter().find(|known| known.name == column)?;
    Some(column.scale()).filter(|scale| *scale > 1)
}

/// A value as the column holds it; `None` when it is of another type, or the column of a scale.
fn exact(column: &str, value: &ScalarValue) -> Option<Scalar> {
    match kind_of(column)? {
        Kind::Text => Some(Scalar::Text(text(value)?.into())),
        Kind::Int if scale_of(column).is_none() => Some(Scalar::Int(number(column, value)?)),
        Kind::Bool => match value {
            ScalarValue::Boolean(Some(value)) => Some(Scalar::Bool(*value)),
            _ => None,
        },
        Kind::Int | Kind::Time => None,
    }
}

fn text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::Utf8View(Some(text))
        | ScalarValue::LargeUtf8(Some(text)) => Some(text),
        _ => None,
    }
}

/// A whole number in the units of the column: microseconds for a time.
fn number(column: &str, value: &ScalarValue) -> Option<i64> {
    match (kind_of(column)?, value) {
        (Kind::Time, ScalarValue::TimestampSecond(Some(at), _)) => at.checked_mul(1_000_000),
        (Kind::Time, ScalarValue::TimestampMillisecond(Some(at), _)) => at.checked_mul(1000),
        (Kind::Time, ScalarValue::TimestampMicrosecond(Some(at), _)) => Some(*at),
        (Kind::Time, ScalarValue::TimestampNanosecond(Some(at), _)) => Some(at.div_euclid(1000)),
        (Kind::Int, ScalarValue::Int64(Some(value))) => Some(*value),
        (Kind::Int, ScalarValue::Int32(Some(value))) => Some((*value).into()),
        (Kind::Int, ScalarValue::Int16(Some(value))) => Some((*value).into()),
        (Kind::Int, ScalarValue::Int8(Some(value))) => Some((*value).into()),
        (Kind::Int, ScalarValue::UInt32(Some(value))) => Some((*value).into()),
        (Kind::Int, ScalarValue::UInt16(Some(value))) => Some((*value).into()),
        (Kind::Int, ScalarValue::UInt8(Some(value))) => Some((*value).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn told(expr: &Expr) -> String {
        condition(expr, &|number| {
            is("status", Test::Eq(Scalar::Int(number as i64)))
        })
        .map_or("nothing".to_owned(), |condition| condition.to_string())
    }

    #[test]
    fn filters_become_weaker_conditions_on_fields() {
        let time = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), None));
        for (expr, wanted) in [
            (col("status").gt_eq(lit(500i64)), "response.status >= 500"),
            (lit(500i64).gt(col("status")), "response.status < 500"),
            (col("timestamp").lt(time(1_700_000)), "timestamp <= 1700"),
            (
                col("path")
                    .like(lit("/cart/%"))
                    .and(col("tls").eq(lit(true))),
                "request.path begins with \"/cart/\" and tls == true",
            ),
            (
                col("trace_id").eq(lit("ab")).or(col("__kfl_7")),
                "trace_id == \"ab\" or response.status == 7",
            ),
            (
                col("dst_name").in_list(vec![lit("a"), lit("b")], false),
                "dst.name in [\"a\", \"b\"]",
            ),
            // Nothing is known of these, or of their opposites.
            (col("query").eq(lit("a")), "nothing"),
            (
                col("status")
                    .eq(lit(500i64))
                    .or(col("packet").eq(lit(1i64))),
                "nothing",
            ),
            (col("dst_name").in_list(vec![lit("a")], true), "nothing"),
            (col("status").eq(lit(1.5f64)), "nothing"),
        ] {
            assert_eq!(told(&expr), wanted, "{expr}");
        }
    }

    #[test]
    fn places_are_told_from_rows() {
        assert!(is_of_place(
            &col("date")
                .eq(lit("2026-11-24"))
                .or(col("node").like(lit("a%")))
        ));
        assert!(!is_of_place(&col("date").eq(col("path"))));
        assert!(!is_of_place(&lit(true)));
        let both = col("__kfl_1").and(col("status").eq(lit(1i64)).and(col("__kfl_0").is_true()));
        assert_eq!(required(&[both]), [1, 0]);
        assert!(required(&[col("__kfl_1").or(col("__kfl_0"))]).is_empty());
    }
}
