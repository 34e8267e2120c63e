//! How a query steers what is printed of it: `limit`, `rlimit` (reference section 9).
//!
//! In: lines of matches, in order. Out: the lines that are wanted, in order. Never: more of the last
//! lines in memory than [`MAX_LAST`] bytes.

use std::collections::VecDeque;
use std::io;

use super::super::exit::Failure;
use crate::kfl::Query;

/// Bytes of the last lines that `rlimit` keeps until the source has ended.
const MAX_LAST: usize = 256 << 20;

/// Lines that are wanted.
#[derive(Debug)]
pub(super) struct Steered {
    /// Lines that may still be printed.
    left: u64,
    /// Of all lines only so many, the last ones.
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    count: usize,
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Steered {
    /// Of a query and a further limit.
    ///
    /// # Errors
    /// When the query resumes after an item, which a source that is read from its start does not.
    pub(super) fn of(query: &Query, limit: Option<u64>) -> Result<Steered, Failure> {
        let steering = query.steering();
        if steering.left_off.is_some() {
            return Err(Failure::usage(
                "leftOff() is for live streams; leave it out and use --from, or --newest with --after",
            ));
        }
        let last = steering.rlimit.map(|count| Last {
            count: usize::try_from(count).unwrap_or(usize::MAX),
            lines: VecDeque::new(),
            bytes: 0,
        });
        let left = limit.unwrap_or(u64::MAX);
        Ok(Steered {
            left: steering.limit.map_or(left, |most| most.min(left)),
            last,
        })
    }

    /// Whether nothing more is wanted.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Ends it.
    pub(super) fn give_up(&mut self) {
        self.left = 0;
        self.last = None;
    }

    /// Takes a line; answers whether it is to be printed now.
    ///
    /// # Errors
    /// When the last lines take too much memory.
    pub(super) fn take(&mut self, line: &[u8]) -> io::Result<bool> {
        let Some(last) = &mut self.last else {
            let wanted = self.left > 0;
            self.left = self.left.saturating_sub(1);
            return Ok(wanted);
        };
        last.bytes += line.len();
        last.lines.push_back(line.to_vec());
        if last.lines.len() > last.count {
            last.bytes -= last.lines.pop_front().map_or(0, |line| line.len());
        }
        match last.bytes > MAX_LAST {
            true => Err(io::Error::other(
                "the last matches take more than 256 MiB; lower rlimit()",
            )),
            false => Ok(false),
        }
    }

    /// The lines that are printed when the source has ended.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let lines = self.last.take().map(|last| last.lines).unwrap_or_default();
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        lines.into_iter().take(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kfl::{Schema, compile};

    /// The lines printed of `0` to `5`.
    fn printed(kfl: &str, limit: Option<u64>) -> String {
        let query = compile(kfl, &Schema::new(crate::item::ENVELOPE, [])).unwrap();
        let mut steered = Steered::of(&query, limit).unwrap();
        let mut out = Vec::new();
        for number in 0..6 {
            let line = number.to_string().into_bytes();
            if steered.take(&line).unwrap() {
                out.extend(line);
            }
        }
        out.extend(steered.rest().flatten());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn statements_choose_the_lines() {
        let cases = [
            ("http", None, "012345"),
            ("http", Some(4), "0123"),
            ("http and limit(2)", None, "01"),
            ("http and limit(2)", Some(1), "0"),
            ("http and limit(0)", None, "012345"),
            ("http and rlimit(3)", None, "345"),
            ("http and rlimit(9)", None, "012345"),
            ("http and rlimit(3) and limit(2)", None, "34"),
        ];
        for (kfl, limit, wanted) in cases {
            assert_eq!(printed(kfl, limit), wanted, "{kfl} {limit:?}");
        }
        let query = compile("leftOff(latest)", &Schema::new(crate::item::ENVELOPE, [])).unwrap();
        assert!(Steered::of(&query, None).is_err());
    }
}
