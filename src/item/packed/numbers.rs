//! Columns of whole numbers, in as few bytes each as the span of their values takes.

/// Where the numbers of a column stand in the bytes that columns share.
///
/// A number is `base`, more by its place when the column `rises`, more by the `width` bytes at its
/// place. Numbers that are all the same, or count up, take no bytes.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Column {
    base: i64,
    at: u32,
    width: u8,
    rises: bool,
}

/// Bytes of the widest number.
const WORD: usize = size_of::<u64>();

/// What stands behind the last column, so that each number can be read as a word.
pub(super) const BEHIND: [u8; WORD] = [0; WORD];

impl Column {
    /// Writes numbers behind `data`.
    pub(super) fn write(numbers: &[i64], data: &mut Vec<u8>) -> Column {
        let Some(&first) = numbers.first() else {
            return Column::default();
        };
        let counts_up = |(place, number): (i64, &i64)| *number == first.wrapping_add(place);
        if numbers.len() > 1 && (0..).zip(numbers).all(counts_up) {
            return Column {
                base: first,
                rises: true,
                ..Column::default()
            };
        }
        let base = numbers.iter().copied().min().unwrap_or(first);
        let most = numbers.iter().copied().max().unwrap_or(first);
        let width = width_of(most.wrapping_sub(base).cast_unsigned());
        let column = Column {
            base,
            at: u32::try_from(data.len()).unwrap_or(u32::MAX),
            width,
            rises: false,
        };
        if width > 0 {
            for number in numbers {
                let more = number.wrapping_sub(base).cast_unsigned().to_le_bytes();
                data.extend_from_slice(more.get(..usize::from(width)).unwrap_or(&more));
            }
        }
        column
    }

    /// The number at a place; the least where there is none.
    pub(super) fn at(self, place: usize, data: &[u8]) -> i64 {
        if self.rises {
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            return self.base.wrapping_add(place);
        }
        let width = usize::from(self.width);
        if width == 0 {
            return self.base;
        }
        let start = self.at as usize + place * width;
        let Some(word) = data.get(start..).and_then(<[u8]>::first_chunk) else {
            return self.base;
        };
        let others = 8 * (WORD - width);
        let more = u64::from_le_bytes(*word) << others >> others;
        self.base.wrapping_add(more.cast_signed())
    }
}

impl Column {
    /// Whether a number of the column may lie from `first` to `last`.
    pub(super) fn may_be_within(self, first: i64, last: i64) -> bool {
        let span = match (self.rises, self.width) {
            (true, _) | (_, 8..) => return true,
            (_, width) => (1i64 << (8 * width)) - 1,
        };
        last >= self.base && first <= self.base.saturating_add(span)
    }
}

/// Bytes that a number takes.
fn width_of(most: u64) -> u8 {
    let bits = u64::BITS - most.leading_zeros();
    u8::try_from(bits.div_ceil(8)).unwrap_or(8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_the_same_or_counts_up_takes_no_bytes() {
        for numbers in [vec![7; 9], (5..99).collect(), vec![-1], vec![]] {
            let mut data = Vec::new();
            let column = Column::write(&numbers, &mut data);
            assert!(data.is_empty(), "{numbers:?}");
            for (place, number) in numbers.iter().enumerate() {
                assert_eq!(column.at(place, &data), *number);
            }
        }
        let mut data = Vec::new();
        Column::write(&[1, 256, 3], &mut data);
        assert_eq!(data.len(), 3);
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers in proptest::collection::vec(any::<i64>(), 0..50), small in proptest::collection::vec(-300i64..70_000, 0..50)) {
            for numbers in [numbers, small] {
                let mut data = vec![1, 2, 3];
                let column = Column::write(&numbers, &mut data);
                data.extend_from_slice(&BEHIND);
                let read: Vec<i64> = (0..numbers.len()).map(|place| column.at(place, &data)).collect();
                prop_assert_eq!(&read, &numbers);
                prop_assert!(numbers.iter().all(|number| column.may_be_within(*number, *number)));
            }
        }
    }
}
