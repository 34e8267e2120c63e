//! The index of a reel: its items as a Parquet table, one row an item.
//!
//! In: items, with where their packets lie in the reel. Out: a Parquet file that any table engine
//! reads as it is; from such a file the items again, or single columns of them. Never: bodies (the
//! packets hold them), stores, sockets.
//!
//! ```text
//! items ──▶ Writer ──▶ <start>-<run>-<sequence>-<hash>.<first>_<last>.items.parquet
//!                        │ row group: up to 8192 items, every column with statistics
//!                        │ Bloom filters of names, paths, streams and traces
//!                        │ footer, and what the writer wants readers to know
//!                        ▼
//! query ──▶ Reader: footer ──▶ row groups that may match ──▶ columns ──▶ Item
//! ```
//!
//! `<first>` and `<last>` are the Unix seconds of the first and the last item, so that a listing
//! alone tells which files a time range needs.

mod alike;
mod block;
mod chunks;
mod column;
mod fold;
mod ids;
mod json;
mod pages;
mod prune;
mod reader;
mod sieve;
mod some;
mod values;
mod writer;

#[cfg(test)]
mod tests;

pub use alike::moments;
pub use block::Block;
pub use chunks::RangeSource;
pub use column::{COLUMNS, Column, Kind, column_of};
pub use prune::{Need, moment, places, whole};
pub use reader::{MAX_FILE_BYTES, Reader, TAIL_BYTES};
pub use sieve::Sieve;
pub use writer::{Place, Summary, Writer};

/// Ending of an index file.
pub const ENDING: &str = "items.parquet";

/// Version of the table; a reader refuses a later one. The first had identifiers of requests and
/// spans in the JSON alone.
pub const FORMAT: u32 = 2;

/// Why an index cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file is no index, or damaged.
    #[error("the index is damaged: {0}")]
    Damaged(String),
    /// Written by a later tapedeck.
    #[error("the index has format {0}, written by a later tapedeck; update this one")]
    Later(u32),
    /// The bytes could not be had, or not be written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl From<parquet::errors::ParquetError> for IndexError {
    fn from(error: parquet::errors::ParquetError) -> IndexError {
        match error {
            parquet::errors::ParquetError::External(inner) => {
                match inner.downcast::<std::io::Error>() {
                    Ok(error) => IndexError::Io(*error),
                    Err(other) => IndexError::Damaged(other.to_string()),
                }
            }
            other => IndexError::Damaged(other.to_string()),
        }
    }
}

/// The ending that an index's key has behind its hash, with the seconds of its first and last item.
pub fn ending(span: Option<(i64, i64)>) -> String {
    match span {
        // A minus sign would end the stem of the key.
        Some((first, last)) if first >= 0 => format!("{first}_{last}.{ENDING}"),
        _ => ENDING.to_owned(),
    }
}

/// The seconds of the first and the last item that a key tells; `None` when it tells none.
pub fn span_of(key: &str) -> Option<(i64, i64)> {
    let rest = key.strip_suffix(ENDING)?.strip_suffix('.')?;
    let (first, last) = rest.rsplit('.').next()?.split_once('_')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}
