//! The values of one column of a row group, or of some rows of it.
//!
//! In: a column as the decoder gives it. Out: values by row. Never: a value of a row that nobody asked
//! for, but those that a page holds beside it.

use std::ops::Range;

use parquet::basic::Type;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::IndexError;
use super::pages::Pages;

/// Stands for a row that has no value.
const NONE: u32 = u32::MAX;

/// The values of one column.
pub(super) enum Values {
    Bool(Column<bool>),
    Int(Column<i64>),
    Text(Column<ByteArray>),
}

/// Values of one type.
pub(super) struct Column<T> {
    /// Those that are not null, in the order of their rows.
    values: Vec<T>,
    places: Places,
}

/// Which value a row has.
enum Places {
    /// The one of its own place.
    Own,
    /// The first one; of so many rows.
    Same(usize),
    /// The one at this place, [`NONE`] for none.
    At(Vec<u32>),
}

impl Values {
    /// Reads a column of so many rows; those of `rows` alone, which rise, when they are given.
    pub(super) fn read(
        column: ColumnDescPtr,
        pages: Pages,
        count: usize,
        rows: Option<&[usize]>,
    ) -> Result<Values, IndexError> {
        Ok(match column.physical_type() {
            Type::BOOLEAN => Values::Bool(read::<BoolType>(column, pages, count, rows)?),
            Type::INT64 => Values::Int(read::<Int64Type>(column, pages, count, rows)?),
            Type::BYTE_ARRAY => Values::Text(read::<ByteArrayType>(column, pages, count, rows)?),
            _ => return Err(IndexError::Damaged("a column has another type".to_owned())),
        })
    }

    /// The values of so many rows that all have the same, or none, where the statistics of their row group
    /// tell it: the column need not be read then.
    pub(super) fn told(statistics: &Statistics, rows: usize) -> Option<Values> {
        let nulls = statistics.null_count_opt()?;
        let is_exact = statistics.min_is_exact() && statistics.max_is_exact();
        if nulls != rows as u64 && (nulls > 0 || !is_exact) {
            return None;
        }
        let nothing = nulls > 0 || rows == 0;
        Some(match statistics {
            Statistics::Boolean(found) => Values::Bool(Column::told(
                found.min_opt(),
                found.max_opt(),
                nothing,
                rows,
            )?),
            Statistics::Int64(found) => Values::Int(Column::told(
                found.min_opt(),
                found.max_opt(),
                nothing,
                rows,
            )?),
            Statistics::ByteArray(found) => Values::Text(Column::told(
                found.min_opt(),
                found.max_opt(),
                nothing,
                rows,
            )?),
            _ => return None,
        })
    }

    /// The values of some rows, in this order.
    pub(super) fn pick(&self, rows: &[usize]) -> Values {
        match self {
            Values::Bool(column) => Values::Bool(column.pick(rows)),
            Values::Int(column) => Values::Int(column.pick(rows)),
            Values::Text(column) => Values::Text(column.pick(rows)),
        }
    }
}

fn read<T: DataType>(
    column: ColumnDescPtr,
    pages: Pages,
    count: usize,
    rows: Option<&[usize]>,
) -> Result<Column<T::T>, IndexError> {
    let mut column = ColumnReaderImpl::<T>::new(column, Box::new(pages));
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let Some(rows) = rows else {
        column.read_records(count, Some(&mut levels), None, &mut values)?;
        return Ok(Column::of(&levels, values, count));
    };
    let mut at = 0;
    for run in runs(rows) {
        column.skip_records(run.start - at)?;
        column.read_records(run.len(), Some(&mut levels), None, &mut values)?;
        at = run.end;
    }
    Ok(Column::of(&levels, values, rows.len()))
}

/// Neighbours among rising rows, together.
fn runs(rows: &[usize]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for row in rows {
        match runs.last_mut() {
            Some(run) if run.end == *row => run.end += 1,
            Some(run) if run.end > *row => {}
            _ => runs.push(*row..row + 1),
        }
    }
    runs
}

impl<T: Clone + PartialEq> Column<T> {
    /// The one value of all rows, or of none.
    fn told(least: Option<&T>, most: Option<&T>, nothing: bool, rows: usize) -> Option<Column<T>> {
        let values = match nothing {
            true => Vec::new(),
            false => vec![least.filter(|least| most == Some(*least))?.clone()],
        };
        Some(Column {
            values,
            places: Places::Same(rows),
        })
    }

    /// Of values and a level for each row, which is 0 where there is none.
    fn of(levels: &[i16], values: Vec<T>, rows: usize) -> Column<T> {
        if levels.len() == rows && values.len() == rows {
            return Column {
                values,
                places: Places::Own,
            };
        }
        let mut next = 0;
        let mut places: Vec<u32> = levels
            .iter()
            .map(|level| match *level > 0 {
                true => {
                    next += 1;
                    next - 1
                }
                false => NONE,
            })
            .collect();
        places.resize(rows, NONE);
        Column {
            values,
            places: Places::At(places),
        }
    }

    /// The value of a row; `None` when it is null, or there is no such row.
    pub(super) fn get(&self, row: usize) -> Option<&T> {
        match &self.places {
            Places::Own => self.values.get(row),
            Places::Same(rows) => self.values.first().filter(|_| row < *rows),
            Places::At(places) => self.values.get(usize::try_from(*places.get(row)?).ok()?),
        }
    }

    fn pick(&self, rows: &[usize]) -> Column<T> {
        if let Places::Same(_) = self.places {
            return Column {
                values: self.values.clone(),
                places: Places::Same(rows.len()),
            };
        }
        let levels: Vec<i16> = rows
            .iter()
            .map(|row| i16::from(self.get(*row).is_some()))
            .collect();
        let values = rows.iter().filter_map(|row| self.get(*row).cloned());
        Column::of(&levels, values.collect(), rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_at_their_rows() {
        let column = Column::of(&[1, 0, 1], vec!["a", "b"], 4);
        let all: Vec<_> = (0..5).map(|row| column.get(row).copied()).collect();
        assert_eq!(all, [Some("a"), None, Some("b"), None, None]);
        let some = column.pick(&[2, 1, 0]);
        let all: Vec<_> = (0..3).map(|row| some.get(row).copied()).collect();
        assert_eq!(all, [Some("b"), None, Some("a")]);
        let whole = Column::of(&[1, 1], vec![7, 8], 2);
        assert!(matches!(whole.places, Places::Own) && whole.get(1) == Some(&8));
        // A damaged page may promise more than it holds.
        assert_eq!(Column::of(&[1, 1], vec![7], 2).get(1), None);
    }

    #[test]
    fn statistics_tell_columns_of_one_value() {
        let of = |least, most, nulls| {
            let found = Statistics::int64(least, most, None, nulls, false);
            match Values::told(&found, 3) {
                Some(Values::Int(column)) => Some((column.get(2).copied(), column.get(3).copied())),
                _ => None,
            }
        };
        assert_eq!(of(Some(7), Some(7), Some(0)), Some((Some(7), None)));
        assert_eq!(of(None, None, Some(3)), Some((None, None)));
        assert_eq!(of(Some(7), Some(8), Some(0)), None);
        assert_eq!(of(Some(7), Some(7), Some(1)), None);
        assert_eq!(of(Some(7), Some(7), None), None);
    }

    #[test]
    fn neighbours_are_read_together() {
        assert_eq!(runs(&[0, 1, 4, 4, 5, 9]), [0..2, 4..6, 9..10]);
        assert!(runs(&[]).is_empty());
    }
}
