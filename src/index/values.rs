//! The values of one column of a row group, or of some rows of it.
//!
//! In: a column as the decoder gives it. Out: values by row. Never: a value of a row that nobody asked
//! for, but those that a page holds beside it.

use std::ops::Range;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};

use super::IndexError;

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
    /// The place of each row's value, [`NONE`] for none; `None` where each row has the one of its own place.
    places: Option<Vec<u32>>,
}

impl Values {
    /// Reads a column of so many rows; those of `rows` alone, which rise, when they are given.
    pub(super) fn read(
        column: ColumnReader,
        count: usize,
        rows: Option<&[usize]>,
    ) -> Result<Values, IndexError> {
        Ok(match column {
            ColumnReader::BoolColumnReader(column) => Values::Bool(read(column, count, rows)?),
            ColumnReader::Int64ColumnReader(column) => Values::Int(read(column, count, rows)?),
            ColumnReader::ByteArrayColumnReader(column) => Values::Text(read(column, count, rows)?),
            _ => return Err(IndexError::Damaged("a column has another type".to_owned())),
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
    mut column: ColumnReaderImpl<T>,
    count: usize,
    rows: Option<&[usize]>,
) -> Result<Column<T::T>, IndexError> {
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

impl<T: Clone> Column<T> {
    /// Of values and a level for each row, which is 0 where there is none.
    fn of(levels: &[i16], values: Vec<T>, rows: usize) -> Column<T> {
        if levels.len() == rows && values.len() == rows {
            return Column {
                values,
                places: None,
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
            places: Some(places),
        }
    }

    /// The value of a row; `None` when it is null, or there is no such row.
    pub(super) fn get(&self, row: usize) -> Option<&T> {
        match &self.places {
            None => self.values.get(row),
            Some(places) => self.values.get(usize::try_from(*places.get(row)?).ok()?),
        }
    }

    fn pick(&self, rows: &[usize]) -> Column<T> {
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
        assert!(whole.places.is_none() && whole.get(1) == Some(&8));
        // A damaged page may promise more than it holds.
        assert_eq!(Column::of(&[1, 1], vec![7], 2).get(1), None);
    }

    #[test]
    fn neighbours_are_read_together() {
        assert_eq!(runs(&[0, 1, 4, 4, 5, 9]), [0..2, 4..6, 9..10]);
        assert!(runs(&[]).is_empty());
    }
}
