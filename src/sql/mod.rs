//! SQL over an archive: four tables that are made of its indexes and manifests.
//!
//! In: a statement, and an [`Archive`](crate::investigate::Archive) or a source with an index. Out:
//! record batches, and for those who have no engine here the command of one that does the same.
//! Never: a statement that writes; the archive in memory. The engine is DataFusion, in the cargo
//! feature `sql`; what it reads goes through the same readers, caches and pruning as any query.
//!
//! ```text
//! statement ──▶ rewrite (kfl('…') becomes a column) ──▶ plan ──▶ scan ──▶ days, reels, row groups
//!                                                                 │ partitions, times, statistics
//!                                                                 ▼
//!                                                        record batches ──▶ whoever prints them
//! ```

pub mod duckdb;
mod tables;

#[cfg(feature = "sql")]
mod engine;
#[cfg(feature = "sql")]
mod functions;
#[cfg(feature = "sql")]
mod parquet;
#[cfg(feature = "sql")]
mod prune;
#[cfg(feature = "sql")]
mod rewrite;
#[cfg(feature = "sql")]
mod scan;
#[cfg(feature = "sql")]
mod sealed;

#[cfg(feature = "sql")]
pub use engine::{Answer, Engine, MAX_MEMORY, SqlError};
#[cfg(feature = "sql")]
pub use parquet::ParquetOutput;
pub use tables::{COVERAGE, Column, PLACE, REELS, STREAMS, STREAMS_QUERY};
