//! Rows of a block that hold the same values.

use std::hash::{Hash as _, Hasher};

use super::block::Block;
use super::column::{Content, place};
use super::values::Values;

impl Block {
    /// Feeds what a row holds in some of [`COLUMNS`](super::COLUMNS) to a hasher.
    pub fn hash_row(&self, row: usize, columns: &[usize], into: &mut impl Hasher) {
        for column in columns {
            match self.columns.get(*column).and_then(Option::as_ref) {
                Some(Values::Bool(values)) => values.get(row).hash(into),
                Some(Values::Int(values)) => values.get(row).hash(into),
                Some(Values::Text(values)) => {
                    values.get(row).map(|text| text.data()).hash(into);
                }
                None => {}
            }
        }
    }

    /// Whether two rows hold the same in some of [`COLUMNS`](super::COLUMNS).
    pub fn is_same(&self, a: usize, b: usize, columns: &[usize]) -> bool {
        columns.iter().all(
            |column| match self.columns.get(*column).and_then(Option::as_ref) {
                Some(Values::Bool(values)) => values.get(a) == values.get(b),
                Some(Values::Int(values)) => values.get(a) == values.get(b),
                Some(Values::Text(values)) => {
                    let text = |row: usize| values.get(row).map(|text| text.data());
                    text(a) == text(b)
                }
                None => true,
            },
        )
    }

    /// Whole microseconds from a row's request to its response.
    pub fn elapsed_micros(&self, row: usize) -> i64 {
        match self.columns.get(place(Content::Elapsed)) {
            Some(Some(Values::Int(values))) => {
                let nanos = values.get(row).copied();
                nanos.unwrap_or_default().div_euclid(1000)
            }
            _ => 0,
        }
    }
}

/// Columns that tell when an item was, to the nanosecond: hardly two rows have the same.
pub fn moments() -> [usize; 3] {
    [Content::Time, Content::Nanos, Content::Elapsed].map(place)
}
