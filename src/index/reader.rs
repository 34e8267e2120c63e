//! Reads an index.
//!
//! In: a source of byte ranges, perhaps far away. Out: blocks of columns, row group by row group.
//! Never: more than the ranges that are asked for, each read once; a trust in the file, whose damage
//! is an error. `prune` tells which row groups and columns are worth reading.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;
use parquet::file::statistics::Statistics;

use super::block::Block;
use super::chunks::{Chunks, RangeSource};
use super::column::{COLUMNS, Content, Kind, place};
use super::json::Cuts;
use super::pages::Pages;
use super::values::Values;
use super::writer::{CUTS_KEY, FORMAT_KEY, MIXED_KEY, ORIGINS_KEY, RECORD_KEY};
use super::{FORMAT, IndexError};
use crate::item::Origin;

/// Largest file that is read: an index of a full reel has some megabytes, that of a source with ten
/// million items one or two gigabytes.
pub const MAX_FILE_BYTES: u64 = 1 << 32;

/// Bytes at the end of a file that are asked for first; a file of twice this size is read whole.
pub const TAIL_BYTES: u64 = 64 * 1024;

/// Items of one row group that are believed.
const MAX_GROUP_ROWS: i64 = 1 << 20;

/// Bytes of one column of one row group, decompressed, that are believed.
const MAX_CHUNK_BYTES: i64 = 256 << 20;

/// Rows of a row group, as a share of all: of more than these a column is read as a whole, since
/// passing over values one by one costs more than reading them.
const SOME: usize = 8;

/// An index whose footer is read.
pub struct Reader {
    /// What was read to open it, and filters that were asked for.
    pub(super) chunks: Arc<Chunks>,
    pub(super) meta: ParquetMetaData,
    /// Place in the file of each of [`COLUMNS`]; `None` where the file has no such column.
    pub(super) at: Vec<Option<usize>>,
    pub(super) mixed: BTreeSet<String>,
    pub(super) cuts: Cuts,
    record: Arc<str>,
    origins: Vec<(u64, Arc<Origin>, Arc<str>)>,
    /// First row of each row group.
    firsts: Vec<u64>,
}

impl Reader {
    /// Opens an index by its end.
    ///
    /// # Errors
    /// When the bytes cannot be had, are no index, or are one of a later format.
    pub fn open(source: Arc<dyn RangeSource>) -> Result<Reader, IndexError> {
        let length = source.len();
        if length > MAX_FILE_BYTES {
            return Err(IndexError::Damaged(format!(
                "it has {length} bytes, more than {MAX_FILE_BYTES}"
            )));
        }
        let chunks = Arc::new(Chunks::of(source));
        let tail = match length {
            whole if whole <= 2 * TAIL_BYTES => 0,
            long => long - TAIL_BYTES,
        };
        let tail = tail..length;
        chunks.fetch(std::slice::from_ref(&tail))?;
        let meta = guarded(|| Ok(ParquetMetaDataReader::new().parse_and_finish(&*chunks)?))?;
        let told: HashMap<&str, &str> = meta
            .file_metadata()
            .key_value_metadata()
            .into_iter()
            .flatten()
            .filter_map(|pair| Some((pair.key.as_str(), pair.value.as_deref()?)))
            .collect();
        let format = told.get(FORMAT_KEY).and_then(|text| text.parse().ok());
        match format {
            None => return Err(IndexError::Damaged("it is not of tapedeck".to_owned())),
            Some(format) if format > FORMAT => return Err(IndexError::Later(format)),
            Some(_) => {}
        }
        let lines = |key: &str| {
            let text = told.get(key).copied().unwrap_or_default();
            let lines = text.split('\n').filter(|line| !line.is_empty());
            lines.map(str::to_owned).collect::<BTreeSet<String>>()
        };
        let (mixed, cuts) = (lines(MIXED_KEY), Cuts(lines(CUTS_KEY)));
        let record = Arc::from(told.get(RECORD_KEY).copied().unwrap_or_default());
        let origins = told.get(ORIGINS_KEY).copied().unwrap_or_default();
        let origins = origins.lines().filter_map(origin_of).collect();
        let schema = meta.file_metadata().schema_descr();
        let at = COLUMNS
            .iter()
            .map(|column| {
                let found = schema
                    .columns()
                    .iter()
                    .position(|found| found.name() == column.name);
                found.filter(|at| schema.column(*at).physical_type() == physical(column.kind))
            })
            .collect();
        let mut rows = 0u64;
        let firsts = meta.row_groups().iter().map(|group| {
            let first = rows;
            rows = rows.saturating_add(u64::try_from(group.num_rows()).unwrap_or(0));
            first
        });
        let reader = Reader {
            firsts: firsts.collect(),
            chunks,
            at,
            mixed,
            cuts,
            record,
            origins,
            meta,
        };
        reader.check()?;
        Ok(reader)
    }

    fn check(&self) -> Result<(), IndexError> {
        for group in self.meta.row_groups() {
            let is_large = |bytes: i64| !(0..=MAX_CHUNK_BYTES).contains(&bytes);
            if !(0..=MAX_GROUP_ROWS).contains(&group.num_rows())
                || group
                    .columns()
                    .iter()
                    .any(|chunk| is_large(chunk.uncompressed_size()))
            {
                return Err(IndexError::Damaged(
                    "a row group is larger than any that is written".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Row groups.
    pub fn groups(&self) -> usize {
        self.meta.num_row_groups()
    }

    /// Items of a row group.
    pub fn rows(&self, group: usize) -> usize {
        let rows = self.meta.row_groups().get(group);
        rows.map_or(0, |group| usize::try_from(group.num_rows()).unwrap_or(0))
    }

    /// Items in all.
    pub fn len(&self) -> u64 {
        (0..self.groups())
            .map(|group| self.rows(group) as u64)
            .sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first row of a row group, counted over the whole.
    fn first_row(&self, group: usize) -> u64 {
        self.firsts.get(group).copied().unwrap_or_default()
    }

    /// Origin and recording of a row, where the index tells.
    pub fn origin(&self, row: u64) -> Option<(&Arc<Origin>, &Arc<str>)> {
        let behind = self.origins.partition_point(|(first, ..)| *first <= row);
        let (_, origin, record) = self.origins.get(behind.checked_sub(1)?)?;
        Some((origin, record))
    }

    /// The row group of a row of the whole, and its place there.
    pub fn group_of(&self, row: u64) -> Option<(usize, usize)> {
        let group = self.firsts.partition_point(|first| *first <= row);
        let group = group.checked_sub(1)?;
        let row = usize::try_from(row - self.first_row(group)).ok()?;
        (row < self.rows(group)).then_some((group, row))
    }

    /// Nanoseconds of the first and the last request in a row group.
    pub fn span(&self, group: usize) -> Option<(i64, i64)> {
        match self.statistics(group, place(Content::Time))? {
            Statistics::Int64(found) => Some((
                found.min_opt()?.saturating_mul(1000),
                found.max_opt()?.saturating_mul(1000).saturating_add(999),
            )),
            _ => None,
        }
    }

    /// Reads columns of a row group, in one request where they lie close together.
    ///
    /// # Errors
    /// When they cannot be had, or are damaged.
    pub fn read(&self, group: usize, wanted: &[usize]) -> Result<Block, IndexError> {
        self.read_some(group, wanted, None)
    }

    /// The same of some rows alone, which are places in the row group and rise.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_rows(
        &self,
        group: usize,
        wanted: &[usize],
        rows: &[usize],
    ) -> Result<Block, IndexError> {
        self.read_some(group, wanted, Some(rows))
    }

    /// Some rows of a block, which rise, with further columns; what the block has is not read again.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_on(
        &self,
        group: usize,
        block: &Block,
        wanted: &[usize],
        rows: &[usize],
    ) -> Result<Block, IndexError> {
        let has = |column: &usize| block.columns.get(*column).is_some_and(Option::is_some);
        let missing: Vec<usize> = wanted.iter().copied().filter(|one| !has(one)).collect();
        let places: Vec<usize> = rows.iter().map(|row| block.place_in_group(*row)).collect();
        let mut whole = match places.len() > self.rows(group) / SOME {
            true => self.read(group, &missing)?.pick(&places),
            false => self.read_rows(group, &missing, &places)?,
        };
        for (column, known) in whole.columns.iter_mut().zip(&block.columns) {
            if let Some(known) = known {
                *column = Some(known.pick(rows));
            }
        }
        Ok(whole)
    }

    fn read_some(
        &self,
        group: usize,
        wanted: &[usize],
        picked: Option<&[usize]>,
    ) -> Result<Block, IndexError> {
        let Some(meta) = self.meta.row_groups().get(group) else {
            return Err(IndexError::Damaged("there is no such row group".to_owned()));
        };
        let rows = self.rows(group);
        let mut columns: Vec<Option<Values>> = COLUMNS.iter().map(|_| None).collect();
        let mut places: Vec<(usize, usize)> = Vec::new();
        for index in wanted {
            let Some(at) = self.at.get(*index).copied().flatten() else {
                continue;
            };
            let statistics = meta.columns().get(at).and_then(|chunk| chunk.statistics());
            let told = statistics.and_then(|statistics| Values::told(statistics, rows));
            match (told, columns.get_mut(*index)) {
                (Some(told), Some(column)) => {
                    *column = Some(match picked {
                        None => told,
                        Some(rows) => told.pick(rows),
                    });
                }
                _ => places.push((*index, at)),
            }
        }
        let ranges = places.iter().filter_map(|(_, at)| {
            let (start, length) = guarded(|| Ok(meta.columns().get(*at).map(|c| c.byte_range())))
                .ok()
                .flatten()?;
            Some(start..start.saturating_add(length))
        });
        // Kept as long as the block is made: readers that stay open must not grow.
        let chunks = Arc::new(Chunks::above(self.chunks.clone()));
        chunks.fetch(&ranges.collect::<Vec<_>>())?;
        for (index, at) in places {
            let values = guarded(|| {
                let Some(chunk) = meta.columns().get(at) else {
                    return Err(IndexError::Damaged("a column is missing".to_owned()));
                };
                let (start, length) = chunk.byte_range();
                let bytes = chunks.get_bytes(start, usize::try_from(length).unwrap_or(0))?;
                let most = usize::try_from(chunk.uncompressed_size()).unwrap_or(0);
                let pages = Pages::of(bytes, chunk.compression(), most);
                Values::read(chunk.column_descr_ptr(), pages, rows, picked)
            })?;
            if let Some(column) = columns.get_mut(index) {
                *column = Some(values);
            }
        }
        Ok(Block {
            rows: picked.map_or(rows, <[usize]>::len),
            first: self.first_row(group),
            picked: picked.map(<[usize]>::to_vec),
            columns,
            record: self.record.clone(),
            only: Vec::new(),
            known: Mutex::default(),
        })
    }

    pub(super) fn statistics(&self, group: usize, index: usize) -> Option<&Statistics> {
        let at = (*self.at.get(index)?)?;
        let group = self.meta.row_groups().get(group)?;
        group.columns().get(at)?.statistics()
    }
}

/// `[row, node, address, worker, recording]`
fn origin_of(line: &str) -> Option<(u64, Arc<Origin>, Arc<str>)> {
    type Line = (u64, String, String, String, String);
    let (row, node_name, node_ip, worker, record): Line = serde_json::from_str(line).ok()?;
    let origin = Origin {
        node_name,
        node_ip,
        worker,
        ..Origin::default()
    };
    Some((row, Arc::new(origin), record.into()))
}

fn physical(kind: Kind) -> parquet::basic::Type {
    match kind {
        Kind::Bool => parquet::basic::Type::BOOLEAN,
        Kind::Int | Kind::Time => parquet::basic::Type::INT64,
        Kind::Text => parquet::basic::Type::BYTE_ARRAY,
    }
}

/// The decoder is written for files of friends: what it does not survive is damage of the file.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(IndexError::Damaged("it cannot be decoded".to_owned())))
}
