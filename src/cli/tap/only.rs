//! What `tap --pcap` shows of a recorded source: a time range, and what a query matches.
//!
//! In: flags. Out: what is asked of an archive, and the rows of what is dissected. Never: a packet read
//! of an object that lies outside of the range.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::config::Config;
use super::super::exit::Failure;
use super::super::pass;
use super::super::reading::{Range, RangeArgs};
use super::follow::say;
use crate::investigate;
use crate::item::Item;
use crate::kfl::{Query, Verdict};
use crate::pipeline::{Consumer, Encoded, Rows, Step};
use crate::time::{Clock, SystemClock, Timestamp};

/// What of a source is shown.
#[derive(Debug, Clone)]
pub struct Only {
    range: Range,
    query: Option<Query>,
    /// What `now` in the query means.
    now: Timestamp,
}

/// All of it.
impl Default for Only {
    fn default() -> Only {
        Only {
            range: Range::ALL,
            query: None,
            now: Timestamp::default(),
        }
    }
}

impl Only {
    /// What the flags ask for.
    ///
    /// # Errors
    /// When they are no times or no query.
    pub fn asked(range: &RangeArgs, kfl: Option<&str>, config: &Config) -> Result<Only, Failure> {
        let query = kfl.map(|text| pass::query(text, config)).transpose()?;
        for warning in query.iter().flat_map(Query::warnings) {
            say(&format!("--kfl: {warning}"));
        }
        Ok(Only {
            range: range.range()?,
            query: query.filter(|query| !query.is_empty()),
            now: SystemClock.now(),
        })
    }

    /// Whether it is all.
    pub fn is_all(&self) -> bool {
        self.range == Range::ALL && self.query.is_none()
    }

    /// What is wanted of the objects of a source.
    pub fn wanted(&self) -> investigate::Wanted {
        pass::times(&[self.range])
    }

    /// The same of an archive that is looked at by its indexes.
    pub fn of_archive(&self) -> investigate::Only {
        investigate::Only {
            span: self.range.span(),
            query: self.query.clone(),
        }
    }

    fn has(&self, item: &Item) -> Verdict {
        match &self.query {
            _ if !self.range.has(item.start) => Verdict::NoMatch,
            None => Verdict::Match,
            Some(query) => query.matches(item.node(), self.now),
        }
    }
}

/// Items that were chosen of a run, and those that could not be decided.
#[derive(Debug, Default)]
pub struct Chosen {
    kept: AtomicU64,
    undecided: AtomicU64,
}

impl Chosen {
    /// Items that are rows.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Items that took too many steps and are none.
    pub fn undecided(&self) -> u64 {
        self.undecided.load(Ordering::Relaxed)
    }
}

/// Rows of what is chosen, numbered in a row.
pub struct ChosenRows {
    /// Where they go.
    pub rows: Arc<Rows>,
    /// What is chosen.
    pub only: Only,
    /// How much that was.
    pub chosen: Arc<Chosen>,
}

impl Consumer for ChosenRows {
    fn on_step(&mut self, _step: &Step, items: &[Item], encoded: &Encoded<'_>) {
        self.take(items, encoded);
    }
}

impl ChosenRows {
    fn take(&mut self, items: &[Item], encoded: &Encoded<'_>) {
        let Some(first) = items.first() else { return };
        if self.only.is_all() {
            let count = items.len() as u64;
            self.chosen.kept.fetch_add(count, Ordering::Relaxed);
            self.rows.push(first.number, encoded.records());
            return;
        }
        let mut kept = Vec::new();
        let next = self.chosen.kept();
        for item in items {
            match self.only.has(item) {
                Verdict::Match => kept.push(Item {
                    number: next + kept.len() as u64,
                    ..item.clone()
                }),
                Verdict::NoMatch => {}
                Verdict::Undecided => {
                    self.chosen.undecided.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if !kept.is_empty() {
            self.rows.push(next, Encoded::new(&kept).records());
            let count = kept.len() as u64;
            self.chosen.kept.fetch_add(count, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Global;
    use crate::item::{sample, shown};
    use crate::pipeline::Row;

    fn items() -> Vec<Item> {
        let with = |number: u64| {
            let mut item = sample::http();
            item.number = number;
            item.index = u32::try_from(number).unwrap();
            item.start = Timestamp::from_secs(1_700_000_000 + number as i64, 0);
            item
        };
        (0..10).map(with).collect()
    }

    /// Number and index of the rows, and how many were counted.
    fn rows(range: RangeArgs, kfl: Option<&str>) -> (Vec<(u64, String)>, u64) {
        let rows = Arc::new(Rows::new(usize::MAX, 100));
        let chosen = Arc::new(Chosen::default());
        let config = Config::of_defaults(&Global::default()).unwrap();
        let mut consumer = ChosenRows {
            rows: rows.clone(),
            only: Only::asked(&range, kfl, &config).unwrap(),
            chosen: chosen.clone(),
        };
        for step in items().chunks(3) {
            consumer.take(step, &Encoded::new(step));
        }
        let told = |row: &Row| {
            let node = row.node().unwrap();
            (node.number(), shown(node, "index").into_owned())
        };
        (
            rows.page(0..100, 100).iter().map(told).collect(),
            chosen.kept(),
        )
    }

    #[test]
    fn rows_of_a_range_and_a_query_are_numbered_in_a_row() {
        let (all, kept) = rows(RangeArgs::default(), None);
        assert_eq!((all.len(), kept), (10, 10));
        let range = RangeArgs {
            from: Some("1700000002".into()),
            to: Some("1700000008".into()),
        };
        let (some, kept) = rows(range.clone(), Some("http"));
        let wanted: Vec<(u64, String)> = (0..6).map(|at| (at, (at + 2).to_string())).collect();
        assert_eq!((some, kept), (wanted, 6));
        assert_eq!(rows(range, Some("dns")), (Vec::new(), 0));
    }
}
