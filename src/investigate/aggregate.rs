//! Counts, rates and percentiles of items, by groups and by time.
//!
//! In: items in any form, one after the other, of any source. Out: one row a group. Never: the items
//! kept; more groups than [`MAX_GROUPS`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ahash::RandomState;

use super::latency::Latencies;
use crate::index::COLUMNS;
use crate::item::{Kind, Node, Path, json};
use crate::time::Timestamp;

/// Groups that are told apart; what comes later is counted together.
pub const MAX_GROUPS: usize = 100_000;

/// Bytes of a value by which is grouped; what is longer is cut.
const MAX_VALUE: usize = 256;

/// What is wanted.
#[derive(Debug, Default, Clone)]
pub struct Wanted {
    /// Fields to group by.
    pub by: Vec<String>,
    /// Length of the time slices, counted from 1970.
    pub every: Option<Duration>,
    /// The field with numbers to give percentiles of.
    pub percentiles: Option<String>,
    /// Only the groups with the highest counts.
    pub top: Option<usize>,
}

impl Wanted {
    /// Paths of the items that are read.
    pub fn paths(&self) -> Vec<String> {
        let fields = self.by.iter().chain(&self.percentiles);
        let time = self.every.map(|_| "timestamp".to_owned());
        fields.map(|field| path_of(field)).chain(time).collect()
    }
}

/// The path that a field's name stands for: a column of the index by its name, `snake_case` for
/// `camelCase`, else the path itself.
pub fn path_of(field: &str) -> String {
    let column = COLUMNS.iter().find(|column| column.name == field);
    if let Some(path) = column.and_then(|column| column.path()) {
        return path.to_owned();
    }
    let mut path = String::new();
    let mut is_upper = false;
    for c in field.chars() {
        match c {
            '_' => is_upper = true,
            c if is_upper => {
                path.push(c.to_ascii_uppercase());
                is_upper = false;
            }
            c => path.push(c),
        }
    }
    path
}

/// Groups that grow with every item.
pub struct Aggregate {
    wanted: Wanted,
    by: Vec<Path>,
    numbers: Option<Path>,
    time: Path,
    groups: HashMap<Key, Group, RandomState>,
    others: u64,
}

/// The start of a time slice in milliseconds, and the values of a group.
type Key = (Option<i64>, Vec<String>);

#[derive(Debug, Default)]
struct Group {
    count: u64,
    numbers: Numbers,
}

/// One row of the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Start of the time slice.
    pub time: Option<Timestamp>,
    /// Values of the fields that were grouped by, in their order; empty where an item has none.
    pub values: Vec<String>,
    /// Items.
    pub count: u64,
    /// Percentiles of the numbers; `None` when none were wanted, or no item has one.
    pub percentiles: Option<Percentiles>,
}

/// How numbers are spread; a percentile is at most one part in 32 too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    /// The least.
    pub min: i64,
    /// Half of them are not greater.
    pub p50: i64,
    /// Nine in ten are not greater.
    pub p90: i64,
    /// 95 in a hundred are not greater.
    pub p95: i64,
    /// 99 in a hundred are not greater.
    pub p99: i64,
    /// The greatest.
    pub max: i64,
}

impl Aggregate {
    /// Nothing is counted yet.
    pub fn new(wanted: Wanted) -> Aggregate {
        let path = |field: &String| Path::new(&path_of(field));
        Aggregate {
            by: wanted.by.iter().map(path).collect(),
            numbers: wanted.percentiles.as_ref().map(path),
            time: Path::new("timestamp"),
            groups: HashMap::default(),
            others: 0,
            wanted,
        }
    }

    /// Counts an item.
    pub fn add<'a, N: Node<'a>>(&mut self, item: N) {
        let slice = self.wanted.every.and_then(|every| {
            let every = i64::try_from(every.as_millis()).ok()?.max(1);
            let at = item.at(&self.time)?.int()?;
            Some(at.div_euclid(every) * every)
        });
        let values = self.by.iter().map(|path| value(item.at(path)));
        let key = (slice, values.collect());
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            self.others += 1;
            return;
        }
        let group = self.groups.entry(key).or_default();
        group.count += 1;
        if let Some(number) = self
            .numbers
            .as_ref()
            .and_then(|path| item.at(path)?.whole())
        {
            group.numbers.add(number);
        }
    }

    /// Items that belong to none of the groups, since there were too many.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// One row a group: by time, then the highest counts first.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self
            .groups
            .iter()
            .map(|((slice, values), group)| Row {
                time: slice.map(|millis| Timestamp::from_nanos(millis.saturating_mul(1_000_000))),
                values: values.clone(),
                count: group.count,
                percentiles: group.numbers.percentiles(),
            })
            .collect();
        rows.sort_by(|left, right| {
            (left.time, right.count, &left.values).cmp(&(right.time, left.count, &right.values))
        });
        if let Some(top) = self.wanted.top {
            let kept = self.highest(top);
            rows.retain(|row| kept.contains(&row.values));
        }
        rows
    }

    /// The values with the highest counts over all time slices.
    fn highest(&self, top: usize) -> Vec<Vec<String>> {
        let mut counts: BTreeMap<&Vec<String>, u64> = BTreeMap::new();
        for ((_, values), group) in &self.groups {
            *counts.entry(values).or_default() += group.count;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
            .into_iter()
            .take(top)
            .map(|(values, _)| values.clone())
            .collect()
    }
}

fn value<'a, N: Node<'a>>(node: Option<N>) -> String {
    let Some(node) = node else {
        return String::new();
    };
    let text: Cow<'_, str> = match node.kind() {
        Kind::Null => Cow::Borrowed(""),
        Kind::Text => node.text().unwrap_or_default(),
        _ => Cow::Owned(json::to_string(node)),
    };
    match text
        .char_indices()
        .find(|(at, c)| at + c.len_utf8() > MAX_VALUE)
    {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text.into_owned(),
    }
}

/// Numbers and their bounds; what is below zero counts as zero.
#[derive(Debug, Default)]
struct Numbers {
    counts: Latencies,
    bounds: Option<(i64, i64)>,
}

impl Numbers {
    fn add(&mut self, number: i64) {
        self.counts.add(u64::try_from(number).unwrap_or_default());
        let (min, max) = self.bounds.unwrap_or((number, number));
        self.bounds = Some((min.min(number), max.max(number)));
    }

    fn percentiles(&self) -> Option<Percentiles> {
        let (min, max) = self.bounds?;
        let at = |percent| {
            let found = self.counts.percentile(percent)?;
            Some(i64::try_from(found).unwrap_or(i64::MAX).clamp(min, max))
        };
        Some(Percentiles {
            min,
            p50: at(50)?,
            p90: at(90)?,
            p95: at(95)?,
            p99: at(99)?,
            max,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::item::json::JsonNode;

    fn aggregated(wanted: Wanted, items: &[serde_json::Value]) -> Vec<Row> {
        let mut aggregate = Aggregate::new(wanted);
        for item in items {
            aggregate.add(JsonNode(item));
        }
        aggregate.rows()
    }

    #[test]
    fn groups_are_counted_by_value_and_time() {
        let item = |at: i64, status: i64, name: &str| json!({"timestamp": at, "response": {"status": status}, "src": {"name": name}});
        let items = [
            item(1_000, 200, "a"),
            item(59_999, 500, "a"),
            item(60_000, 500, "b"),
            item(60_001, 500, "b"),
        ];
        let by = |by: &[&str], every, top| Wanted {
            by: by.iter().map(|&field| field.to_owned()).collect(),
            every,
            top,
            percentiles: None,
        };
        let shown = |rows: Vec<Row>| {
            let shown = rows.iter().map(|row| {
                let at = row.time.map_or(-1, |time| time.secs());
                format!("{at} {} {}", row.values.join("+"), row.count)
            });
            shown.collect::<Vec<_>>()
        };
        assert_eq!(
            shown(aggregated(by(&["response.status"], None, None), &items)),
            ["-1 500 3", "-1 200 1"]
        );
        let minute = Some(Duration::from_secs(60));
        assert_eq!(
            shown(aggregated(
                by(&["status", "src.name"], minute, None),
                &items
            )),
            ["0 200+a 1", "0 500+a 1", "60 500+b 2"]
        );
        assert_eq!(
            shown(aggregated(by(&["src_name"], None, Some(1)), &items)),
            ["-1 a 2"]
        );
        assert_eq!(
            shown(aggregated(by(&["absent"], None, None), &items)),
            ["-1  4"]
        );
    }

    #[test]
    fn percentiles_are_near_those_of_the_sorted_numbers() {
        let items: Vec<_> = (1..=1000).map(|at| json!({"elapsedTime": at})).collect();
        let wanted = Wanted {
            percentiles: Some("elapsed_time".into()),
            ..Wanted::default()
        };
        let found = aggregated(wanted, &items)[0].percentiles.unwrap();
        assert_eq!((found.min, found.max), (1, 1000));
        for (found, exact) in [
            (found.p50, 500),
            (found.p90, 900),
            (found.p95, 950),
            (found.p99, 990),
        ] {
            assert!(
                (exact..=exact + exact / 32).contains(&found),
                "{found} {exact}"
            );
        }
    }
}
