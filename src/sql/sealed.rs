//! The tables `reels` and `coverage`, by the manifests.
//!
//! In: columns and filters of the engine. Out: batches, one manifest at a time. Never: a manifest
//! that no column needs.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::scan::{self, Read, Value, Walk, Which, batch, ints, of_place, texts, times, type_of};
use super::tables::{COVERAGE, Column, PLACE, REELS};
use crate::index::Kind;
use crate::investigate::tables::{Part, Tables};
use crate::pipeline::Stop;
use crate::record::manifest::{Covered, Manifest};
use crate::time::Timestamp;

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// One row a reel.
    Reels,
    /// One row a manifest and reason.
    Coverage,
}

impl About {
    fn columns(self) -> impl Iterator<Item = &'static Column> {
        let own = match self {
            About::Reels => REELS,
            About::Coverage => COVERAGE,
        };
        own.iter().chain(PLACE)
    }
}

/// A table by manifests.
pub(super) struct Sealed {
    about: About,
    tables: Arc<Tables>,
    schema: SchemaRef,
    stop: Stop,
}

impl Sealed {
    pub(super) fn new(about: About, tables: Arc<Tables>, stop: Stop) -> Sealed {
        Sealed {
            about,
            tables,
            schema: schema_of(about.columns()),
            stop,
        }
    }
}

fn schema_of<'c>(columns: impl Iterator<Item = &'c Column>) -> SchemaRef {
    let fields = columns.map(|column| Field::new(column.name, type_of(column.kind), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for Sealed {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(scan::pushed(&self.tables, filters))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<&'static Column> = self.about.columns().collect();
        let chosen: Vec<&'static Column> = match projection {
            Some(places) => places
                .iter()
                .filter_map(|place| all.get(*place).copied())
                .collect(),
            None => all,
        };
        let schema = schema_of(chosen.iter().copied());
        let which = match self.about {
            About::Reels => Which::Reels,
            About::Coverage => Which::Sealed,
        };
        let walk = Walk::new(self.tables.clone(), state, filters, None, which)?;
        let told_by_keys = |column: &&Column| {
            column.name == "sequence" || PLACE.iter().any(|place| place.name == column.name)
        };
        let needs_manifest = self.about == About::Coverage
            || self.tables.times().is_limited()
            || !chosen.iter().all(told_by_keys);
        let read: Arc<Read> = {
            let (about, tables, schema) = (self.about, self.tables.clone(), schema.clone());
            Arc::new(
                move |part: &Part, send: &mut dyn FnMut(RecordBatch) -> Result<bool>| {
                    let manifest = match needs_manifest {
                        true => match tables.manifest(part) {
                            Some(manifest) => Some(manifest),
                            // It is a warning.
                            None => return Ok(()),
                        },
                        false => None,
                    };
                    let rows = rows(about, manifest.as_ref(), &tables);
                    if rows.is_empty() {
                        return Ok(());
                    }
                    let columns = chosen.iter().map(|column| made(column, part, &rows));
                    let made = batch(&schema, columns.collect(), rows.len())?;
                    send(made)?;
                    Ok(())
                },
            )
        };
        walk.plan(state, &schema, read, limit, &self.stop)
    }
}

/// A row: what is told by a manifest, where that is needed, and a loss.
struct Row<'m> {
    about: About,
    manifest: Option<&'m Manifest>,
    loss: Option<(&'m str, &'m Covered)>,
}

fn rows<'m>(about: About, manifest: Option<&'m Manifest>, tables: &Tables) -> Vec<Row<'m>> {
    let row = |loss| Row {
        about,
        manifest,
        loss,
    };
    let Some(told) = manifest else {
        return vec![row(None)];
    };
    let [begins, ends] = [&told.from, &told.to].map(|at| {
        let at = at.as_deref().unwrap_or(&told.sealed);
        Timestamp::parse(at).unwrap_or_default().nanos()
    });
    if !tables.times().touches(begins, ends) {
        return Vec::new();
    }
    match about {
        About::Coverage if !told.coverage.is_empty() => {
            let losses = told.coverage.iter();
            losses
                .map(|(reason, lost)| row(Some((reason.as_str(), lost))))
                .collect()
        }
        _ => vec![row(None)],
    }
}

/// A column of some rows.
fn made(column: &Column, part: &Part, rows: &[Row<'_>]) -> ArrayRef {
    if PLACE.iter().any(|place| place.name == column.name) {
        return match of_place(column.name, part) {
            Value::Int(number) => ints(rows.iter().map(|_| number)),
            Value::Text(text) => texts(rows.iter().map(|_| text)),
        };
    }
    match column.kind {
        Kind::Text => texts(rows.iter().map(|row| row.text(column.name))),
        Kind::Time => times(rows.iter().map(|row| row.time(column.name))),
        _ => ints(rows.iter().map(|row| match column.name {
            "sequence" => part.sequence,
            name => row.int(name),
        })),
    }
}

impl<'m> Row<'m> {
    fn text(&self, name: &str) -> Option<&'m str> {
        let manifest = self.manifest?;
        match name {
            "kind" => Some(manifest.kind.name()),
            "why" => Some(&manifest.why),
            "kfl" => Some(&manifest.kfl),
            "reason" => self.loss.map(|(reason, _)| reason),
            "lock" => {
                let states = manifest.parts.iter().map(|part| part.lock.state.name());
                // By the alphabet, what is not locked comes behind what is.
                states.max()
            }
            _ => None,
        }
    }

    fn time(&self, name: &str) -> Option<i64> {
        let manifest = self.manifest?;
        let lost = self.loss.map(|(_, lost)| lost);
        let at = match name {
            "begins" => manifest.from.as_deref(),
            "ends" => manifest.to.as_deref(),
            "sealed" => Some(manifest.sealed.as_str()),
            "first" => lost?.from.as_deref(),
            "last" => lost?.to.as_deref(),
            _ => None,
        };
        Some(Timestamp::parse(at?)?.nanos().div_euclid(1000))
    }

    fn int(&self, name: &str) -> Option<i64> {
        let manifest = self.manifest?;
        let counts = &manifest.counts;
        let lost = self.loss.map(|(_, lost)| lost);
        let number = match (self.about, name) {
            (About::Coverage, "packets") => lost.map_or(0, |lost| lost.packets),
            (About::Coverage, "bytes") => lost.map_or(0, |lost| lost.bytes),
            (About::Reels, "packets") => counts.packets,
            (About::Reels, "bytes") => counts.bytes,
            (About::Reels, "streams") => counts.streams,
            (About::Reels, "items") => counts.items,
            (About::Reels, "stored") => manifest.parts.iter().map(|part| part.size).sum(),
            _ => return None,
        };
        i64::try_from(number).ok()
    }
}
