//! What of an index can matter to a question: columns, and row groups that may match.
//!
//! In: the paths and the condition of a query; footers, statistics and Bloom filters. Out: columns
//! to read, "may hold" or "cannot". Never: values of columns.

use std::collections::{BTreeMap, BTreeSet};

use parquet::bloom_filter::Sbbf;
use parquet::data_type::ByteArray;
use parquet::file::statistics::Statistics;

use super::IndexError;
use super::column::{COLUMNS, Content, End, column_of, place};
use super::ids;
use super::reader::{Reader, guarded};
use crate::kfl::prefilter::{ColumnTest, Condition, Scalar, Stats, Test, may_hold};
use crate::packet::StreamName;

/// What it takes to answer a question about items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// These of [`COLUMNS`].
    Columns(Vec<usize>),
    /// The packets: the index lacks what is asked for.
    Packets,
}

impl Reader {
    /// What answering a question about these paths takes ([`crate::kfl::Query::paths`]).
    pub fn need<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> Need {
        match self.wanted(paths) {
            (wanted, false) => Need::Columns(wanted),
            (_, true) => Need::Packets,
        }
    }

    /// The columns that hold what the index has of these paths.
    pub fn columns<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> Vec<usize> {
        self.wanted(paths).0
    }

    /// The columns, and whether the packets have more.
    fn wanted<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> (Vec<usize>, bool) {
        let mut is_cut = false;
        let mut wanted: BTreeSet<usize> = [Content::Time, Content::Nanos, Content::Elapsed]
            .map(place)
            .into();
        for (index, column) in COLUMNS.iter().enumerate() {
            if column
                .path()
                .is_some_and(|path| path.starts_with("protocol."))
            {
                wanted.insert(index);
            }
        }
        for path in paths {
            let root = path.split('.').next().unwrap_or(path);
            if root == "protocol" {
                continue;
            }
            if root == "tunnel" {
                is_cut |= self.cuts.touch(path);
                continue;
            }
            match column_of(path) {
                Some(index) if self.has(index) && (path != root || root_of(root).is_empty()) => {
                    wanted.insert(index);
                    continue;
                }
                _ => {}
            }
            if let Some(part) = COLUMNS
                .iter()
                .position(|column| column.from == Content::Json(root_of(root)))
            {
                is_cut |= self.cuts.touch(path) || !self.has(part);
                wanted.insert(part);
                wanted.extend(held(root));
            } else {
                wanted.extend(envelope(root));
            }
        }
        (wanted.into_iter().collect(), is_cut)
    }

    /// Whether a column is there, and holds all that items have at its path.
    pub(super) fn has(&self, index: usize) -> bool {
        let column = COLUMNS.get(index);
        self.at.get(index).copied().flatten().is_some()
            && column.is_some_and(|column| !self.mixed.contains(column.name))
    }

    /// Whether an item of a row group may meet `condition`, by statistics and Bloom filters.
    ///
    /// # Errors
    /// When a filter cannot be read.
    pub fn may_hold(
        &self,
        group: usize,
        condition: &Condition<ColumnTest>,
    ) -> Result<bool, IndexError> {
        let stats: BTreeMap<&str, Stats> = (0..COLUMNS.len())
            .filter_map(|index| Some((COLUMNS.get(index)?.path()?, self.stats(group, index)?)))
            .collect();
        if !may_hold(condition, &|path| stats.get(path)) {
            return Ok(false);
        }
        guarded(|| self.filter_may_hold(group, condition))
    }

    /// Whether a row group may hold items of a stream.
    ///
    /// # Errors
    /// When a filter cannot be read.
    pub fn may_hold_stream(&self, group: usize, name: StreamName) -> Result<bool, IndexError> {
        let test = ColumnTest {
            column: "stream".into(),
            test: Test::Eq(Scalar::Text(name.to_string().into())),
            nulls: Vec::new(),
        };
        self.may_hold(group, &Condition::Is(test))
    }

    /// What KFL is told of a column's values in a row group.
    fn stats(&self, group: usize, index: usize) -> Option<Stats> {
        if !self.has(index) {
            return None;
        }
        let found = self.statistics(group, index)?;
        let nulls = found.null_count_opt().is_none_or(|count| count > 0);
        if found.null_count_opt() == Some(self.rows(group) as u64) {
            return Some(Stats {
                bounds: None,
                nulls,
            });
        }
        let scale = COLUMNS.get(index)?.scale();
        let text = |bytes: &ByteArray| Some(Scalar::Text(bytes.as_utf8().ok()?.into()));
        let int = |value: &i64| Scalar::Int(value.div_euclid(scale));
        let bounds = match found {
            Statistics::Boolean(found) => (
                Scalar::Bool(*found.min_opt()?),
                Scalar::Bool(*found.max_opt()?),
            ),
            Statistics::Int64(found) => (int(found.min_opt()?), int(found.max_opt()?)),
            Statistics::ByteArray(found) => (text(found.min_opt()?)?, text(found.max_opt()?)?),
            _ => return None,
        };
        Some(Stats {
            bounds: Some(bounds),
            nulls,
        })
    }

    /// Whether the Bloom filters let an equality of text pass.
    fn filter_may_hold(
        &self,
        group: usize,
        condition: &Condition<ColumnTest>,
    ) -> Result<bool, IndexError> {
        match condition {
            Condition::All(parts) => {
                for part in parts {
                    if !self.filter_may_hold(group, part)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Any(parts) => {
                for part in parts {
                    if self.filter_may_hold(group, part)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::Is(test) => self.one_may_hold(group, test),
        }
    }

    fn one_may_hold(&self, group: usize, test: &ColumnTest) -> Result<bool, IndexError> {
        let wanted: Vec<&str> = match &test.test {
            Test::Eq(Scalar::Text(text)) | Test::Shown(text) => vec![text],
            Test::In(values) => {
                let texts = values.iter().map(|value| match value {
                    Scalar::Text(text) => Some(&**text),
                    _ => None,
                });
                match texts.collect() {
                    Some(texts) => texts,
                    None => return Ok(true),
                }
            }
            _ => return Ok(true),
        };
        let by_null = test.nulls.iter().any(|null| match null {
            Scalar::Text(null) => wanted.contains(&&**null),
            _ => false,
        });
        let of_header = |text: &&str| ids::sure(&test.column, text);
        let of_headers: Option<Vec<(usize, String)>> = wanted.iter().map(of_header).collect();
        let of_headers = of_headers.filter(|_| self.has(place(Content::RequestId)));
        let column = column_of(&test.column).or_else(|| by_name(&test.column));
        let column = column.or_else(|| Some(of_headers.as_ref()?.first()?.0));
        let wanted: Vec<&str> = match &of_headers {
            Some(found) => found.iter().map(|(_, text)| text.as_str()).collect(),
            None => wanted,
        };
        let column = column.filter(|index| {
            COLUMNS.get(*index).is_some_and(|column| column.has_bloom) && self.has(*index)
        });
        let (Some(index), false) = (column, by_null) else {
            return Ok(true);
        };
        let at = self.at.get(index).copied().flatten().unwrap_or_default();
        let chunk = self
            .meta
            .row_groups()
            .get(group)
            .and_then(|group| group.columns().get(at));
        let Some(chunk) = chunk else { return Ok(true) };
        let filter = Sbbf::read_from_column_chunk(chunk, &*self.chunks)?;
        Ok(filter.is_none_or(|filter| wanted.iter().any(|text| filter.check(*text))))
    }
}

/// A column with a filter that is no field of items.
fn by_name(name: &str) -> Option<usize> {
    let mut columns = COLUMNS.iter();
    columns.position(|column| column.path().is_none() && column.has_bloom && column.name == name)
}

/// The parts of an item that are kept as JSON.
fn root_of(root: &str) -> &'static str {
    ["request", "response", "data"]
        .into_iter()
        .find(|part| *part == root)
        .unwrap_or_default()
}

/// The columns from which an item is made, but for its JSON: those of one side when the path is of
/// one.
fn envelope(root: &str) -> impl Iterator<Item = usize> {
    let side = match root {
        "src" | "dst" => Some(root),
        // Whether the node asked follows from who did.
        "outgoing" => Some("src"),
        _ => None,
    };
    COLUMNS
        .iter()
        .enumerate()
        .filter(move |(_, column)| match (side, column.path()) {
            (Some(side), path) => {
                path.is_some_and(|path| path.starts_with(side))
                    || matches!(column.from, Content::Who(of) if of == side)
            }
            (None, _) => !matches!(
                column.from,
                Content::Json(_)
                    | Content::Who(_)
                    | Content::Time
                    | Content::Trace
                    | Content::Span
                    | Content::Flags
                    | Content::RequestId
            ),
        })
        .map(|(index, _)| index)
}

/// The columns whose values the JSON of a part does not repeat.
fn held(root: &str) -> impl Iterator<Item = usize> {
    let columns: &[Content] = match root {
        "request" => &[
            Content::Path("request.method"),
            Content::Path("request.path"),
            Content::Query,
            Content::Trace,
            Content::Span,
            Content::Flags,
            Content::RequestId,
        ],
        "response" => &[Content::Path("response.status")],
        _ => &[],
    };
    columns.iter().copied().map(place)
}

/// The columns that tell when a request was.
pub fn moment() -> Vec<usize> {
    [Content::Time, Content::Nanos].map(place).into()
}

/// The columns that tell where the packets of an item are.
pub fn places() -> Vec<usize> {
    let frames = [End::First, End::Last].map(Content::Frame);
    [Content::Stream, Content::Packet]
        .into_iter()
        .chain(frames)
        .map(place)
        .collect()
}

/// Every column that an item is made of.
pub fn whole() -> Vec<usize> {
    (0..COLUMNS.len()).collect()
}
