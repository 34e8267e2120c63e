//! The table `items`: reels and row groups that may matter, as record batches.
//!
//! In: columns and filters of the engine. Out: a stream of batches for each thread of the engine,
//! fed by blocking threads that read a row group at a time. Never: more than a few row groups of a
//! thread waiting; a day listed before the one in front of it was read.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::prune;
use super::rewrite::column_of;
use super::tables::PLACE;
use crate::index::{COLUMNS, Kind};
use crate::investigate::tables::{Asked, Day, Part, Rows, Tables};
use crate::kfl::Query;
use crate::kfl::prefilter::{ColumnTest, Condition};
use crate::pipeline::Stop;

/// Batches that may wait for one thread of the engine.
const QUEUED: usize = 1;

/// The type in which the engine sees a column.
pub(super) fn type_of(kind: Kind) -> DataType {
    match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Int => DataType::Int64,
        Kind::Text => DataType::Utf8,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

/// Texts of a column.
pub(super) fn texts<'t>(values: impl Iterator<Item = Option<&'t str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// Whole numbers of a column.
pub(super) fn ints(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

/// Microseconds of a column.
pub(super) fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let times: TimestampMicrosecondArray = values.collect();
    Arc::new(times.with_timezone("UTC"))
}

/// A batch that may have no columns, of `rows` rows.
pub(super) fn batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Of the index.
    Index(usize),
    /// Of the place.
    Place(usize),
    /// The verdict of a query.
    Query(usize),
}

/// All columns of the table, those of queries last.
fn sources(queries: usize) -> impl Iterator<Item = Source> {
    let index = (0..COLUMNS.len()).map(Source::Index);
    let place = (0..PLACE.len()).map(Source::Place);
    index.chain(place).chain((0..queries).map(Source::Query))
}

impl Source {
    fn field(self) -> Field {
        match self {
            Source::Index(at) => {
                let column = COLUMNS.get(at);
                let column = column.expect("the list has no other numbers");
                Field::new(column.name, type_of(column.kind), true)
            }
            Source::Place(at) => {
                let column = PLACE.get(at);
                let column = column.expect("the list has no other numbers");
                Field::new(column.name, type_of(column.kind), true)
            }
            Source::Query(number) => Field::new(column_of(number), DataType::Boolean, true),
        }
    }
}

/// The table `items`.
pub(super) struct Items {
    tables: Arc<Tables>,
    queries: Vec<Query>,
    schema: SchemaRef,
    stop: Stop,
}

impl Items {
    pub(super) fn new(tables: Arc<Tables>, queries: Vec<Query>, stop: Stop) -> Items {
        let fields: Vec<Field> = sources(queries.len()).map(Source::field).collect();
        Items {
            tables,
            queries,
            schema: Arc::new(Schema::new(fields)),
            stop,
        }
    }

    fn condition(&self, filters: &[Expr]) -> Option<Condition<ColumnTest>> {
        let now = self.tables.now();
        let of_query = |number: usize| self.queries.get(number)?.column_condition(now);
        let told = filters
            .iter()
            .filter_map(|filter| prune::condition(filter, &of_query));
        told.reduce(|left, right| Condition::All(vec![left, right]))
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for Items {
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
        Ok(pushed(&self.tables, filters))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<Source> = sources(self.queries.len()).collect();
        let chosen: Vec<Source> = match projection {
            Some(places) => places
                .iter()
                .filter_map(|place| all.get(*place).copied())
                .collect(),
            None => all,
        };
        let schema: SchemaRef = Arc::new(Schema::new(
            chosen.iter().map(|one| one.field()).collect::<Vec<_>>(),
        ));
        let required = prune::required(filters);
        // Of each query that is asked for, its number among all.
        let mut numbers: Vec<usize> = required.clone();
        numbers.extend(chosen.iter().filter_map(|one| match one {
            Source::Query(number) => Some(*number),
            _ => None,
        }));
        numbers.sort_unstable();
        numbers.dedup();
        let queries = numbers
            .iter()
            .filter_map(|number| self.queries.get(*number));
        let scan = Arc::new(Scan {
            asked: Asked {
                columns: chosen
                    .iter()
                    .filter_map(|one| match one {
                        Source::Index(at) => Some(*at),
                        _ => None,
                    })
                    .collect(),
                condition: self.condition(filters),
                queries: queries.cloned().collect(),
            },
            chosen,
            required,
            numbers,
            schema: schema.clone(),
        });
        let condition = scan.asked.condition.clone();
        let walk = Walk::new(self.tables.clone(), state, filters, condition, Which::Items)?;
        let read: Arc<Read> = {
            let tables = self.tables.clone();
            Arc::new(
                move |part: &Part, send: &mut dyn FnMut(RecordBatch) -> Result<bool>| {
                    let mut failed = None;
                    tables.rows(part, &scan.asked, &mut |rows| {
                        let made = scan.batch(part, &rows);
                        match made.and_then(|made| match made {
                            Some(made) => send(made),
                            None => Ok(true),
                        }) {
                            Ok(goes_on) => goes_on,
                            Err(error) => {
                                failed = Some(error);
                                false
                            }
                        }
                    });
                    failed.map_or(Ok(()), Err)
                },
            )
        };
        walk.plan(state, &schema, read, limit, &self.stop)
    }
}

/// How filters on a table with places are pushed down.
pub(super) fn pushed(tables: &Tables, filters: &[&Expr]) -> Vec<TableProviderFilterPushDown> {
    let filters = filters.iter();
    filters
        .map(
            |filter| match prune::is_of_place(filter) && tables.has_places() {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Inexact,
            },
        )
        .collect()
}

/// What a scan makes of rows.
struct Scan {
    asked: Asked,
    chosen: Vec<Source>,
    /// Queries whose verdict must be yes.
    required: Vec<usize>,
    /// Number of each query of `asked` among all of the statement.
    numbers: Vec<usize>,
    schema: SchemaRef,
}

impl Scan {
    /// The batch of some rows; `None` when none is left.
    fn batch(&self, part: &Part, rows: &Rows) -> Result<Option<RecordBatch>> {
        let verdicts = |number: &usize| {
            let place = self.numbers.iter().position(|known| known == number)?;
            rows.verdicts.get(place)
        };
        let mut kept: Vec<usize> = (0..rows.chosen.len()).collect();
        for verdicts in self.required.iter().filter_map(verdicts) {
            kept.retain(|at| verdicts.get(*at).copied().flatten() == Some(true));
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let rows_of = || kept.iter().filter_map(|at| rows.chosen.get(*at).copied());
        let columns = self.chosen.iter().map(|source| match source {
            Source::Index(at) => {
                let block = &rows.block;
                match COLUMNS.get(*at).map(|column| column.kind) {
                    Some(Kind::Text) => texts(rows_of().map(|row| block.text_at(*at, row))),
                    Some(Kind::Time) => times(rows_of().map(|row| block.int_at(*at, row))),
                    Some(Kind::Bool) => {
                        let values = rows_of().map(|row| block.bool_at(*at, row));
                        Arc::new(values.collect::<BooleanArray>()) as ArrayRef
                    }
                    Some(Kind::Int) | None => ints(rows_of().map(|row| block.int_at(*at, row))),
                }
            }
            Source::Place(at) => place(*at, part, &kept, rows.origins.as_deref()),
            Source::Query(number) => {
                let verdicts = verdicts(number);
                let values = kept.iter().map(|at| *verdicts?.get(*at)?);
                Arc::new(values.collect::<BooleanArray>()) as ArrayRef
            }
        });
        let columns = columns.collect();
        batch(&self.schema, columns, kept.len()).map(Some)
    }
}

/// A column of the place for these rows; `origins` are those of all, where they have several.
fn place(
    at: usize,
    part: &Part,
    kept: &[usize],
    origins: Option<&[(Arc<str>, Arc<str>)]>,
) -> ArrayRef {
    let name = PLACE.get(at).map_or("", |column| column.name);
    if let (Some(origins), "node" | "recording") = (origins, name) {
        return texts(kept.iter().map(|at| {
            let (node, recording) = origins.get(*at)?;
            let text = if name == "node" { node } else { recording };
            Some(&**text).filter(|text| !text.is_empty())
        }));
    }
    match of_place(name, part) {
        Value::Int(number) => ints(kept.iter().map(|_| number)),
        Value::Text(text) => texts(kept.iter().map(|_| text)),
    }
}

/// A value of a place.
pub(super) enum Value<'p> {
    Int(Option<i64>),
    Text(Option<&'p str>),
}

/// What the column called `name` of a place holds.
pub(super) fn of_place<'p>(name: &str, part: &'p Part) -> Value<'p> {
    Value::Text(match name {
        "run" => return Value::Int(part.run),
        "cluster" => part.cluster.as_deref(),
        "date" => part.date.as_deref(),
        "hour" => part.hour.as_deref(),
        "node" => part.node.as_deref(),
        "recording" => part.recording.as_deref(),
        "reel" => Some(&part.name),
        _ => None,
    })
}

/// What of a day is walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Reels that may hold items.
    Items,
    /// Sealed reels.
    Reels,
    /// Everything with a manifest.
    Sealed,
}

/// Hands on the batches of a part; `send` answers whether more are taken.
pub(super) type Read =
    dyn Fn(&Part, &mut dyn FnMut(RecordBatch) -> Result<bool>) -> Result<()> + Send + Sync;

/// Which days and parts are read, in which order.
pub(super) struct Walk {
    tables: Arc<Tables>,
    which: Which,
    condition: Option<Condition<ColumnTest>>,
    /// Filters on places, and the columns that they see.
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// The part of them that is about days.
    filter_of_days: Option<Arc<dyn PhysicalExpr>>,
    places: SchemaRef,
}

impl Walk {
    pub(super) fn new(
        tables: Arc<Tables>,
        state: &dyn Session,
        filters: &[Expr],
        condition: Option<Condition<ColumnTest>>,
        which: Which,
    ) -> Result<Walk> {
        let fields: Vec<Field> = (0..PLACE.len())
            .map(|at| Source::Place(at).field())
            .collect();
        let places: SchemaRef = Arc::new(Schema::new(fields));
        let columns = DFSchema::try_from(places.clone())?;
        let of_place = || {
            let is_of_place = |filter: &&Expr| prune::is_of_place(filter) && tables.has_places();
            filters.iter().filter(is_of_place).cloned()
        };
        let physical = |filters: Vec<Expr>| {
            let filter = conjunction(filters);
            filter
                .map(|filter| state.create_physical_expr(filter, &columns))
                .transpose()
        };
        let is_of_day = |filter: &Expr| {
            let names = filter.column_refs();
            names
                .into_iter()
                .all(|column| ["cluster", "date"].contains(&column.name.as_str()))
        };
        Ok(Walk {
            filter: physical(of_place().collect())?,
            filter_of_days: physical(of_place().filter(is_of_day).collect())?,
            tables,
            which,
            condition,
            places,
        })
    }

    /// The plan that walks, with a stream for each thread of the engine.
    pub(super) fn plan(
        self,
        state: &dyn Session,
        schema: &SchemaRef,
        read: Arc<Read>,
        limit: Option<usize>,
        stop: &Stop,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let walk = Arc::new(self);
        let runs: Arc<Mutex<Vec<Run>>> = Arc::default();
        let threads = state.config().target_partitions().max(1);
        let streams = (0..threads).map(|number| {
            Arc::new(Thread {
                number,
                walk: walk.clone(),
                runs: runs.clone(),
                read: read.clone(),
                schema: schema.clone(),
                limit,
                stop: stop.clone(),
            }) as Arc<dyn PartitionStream>
        });
        let plan = StreamingTableExec::try_new(
            schema.clone(),
            streams.collect(),
            None,
            Vec::new(),
            false,
            limit,
        )?;
        Ok(Arc::new(plan))
    }

    /// Whether what a part tells of its place passes a filter.
    fn passes(
        &self,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        parts: &[Values<'_>],
    ) -> Result<Vec<bool>> {
        let Some(filter) = filter else {
            return Ok(vec![true; parts.len()]);
        };
        let columns = PLACE.iter().map(|column| match column.kind {
            Kind::Int => ints(parts.iter().map(|part| match part(column.name) {
                Value::Int(number) => number,
                Value::Text(_) => None,
            })),
            _ => {
                let found: StringArray = parts
                    .iter()
                    .map(|part| match part(column.name) {
                        Value::Text(text) => text.map(str::to_owned),
                        Value::Int(_) => None,
                    })
                    .collect();
                Arc::new(found) as ArrayRef
            }
        });
        let batch = batch(&self.places, columns.collect(), parts.len())?;
        let passed = filter.evaluate(&batch)?.into_array(parts.len())?;
        let passed = passed.as_any().downcast_ref::<BooleanArray>();
        let passed = passed
            .ok_or_else(|| DataFusionError::Internal("a filter gives no yes or no".to_owned()))?;
        Ok(passed.iter().map(|yes| yes == Some(true)).collect())
    }

    fn days(&self) -> Result<Vec<Day>> {
        let days = self
            .tables
            .days(self.condition.as_ref())
            .map_err(external)?;
        let values: Vec<Values<'_>> = days
            .iter()
            .map(|day| -> Values<'_> {
                Box::new(move |name| match name {
                    "cluster" => Value::Text(day.cluster.as_deref()),
                    "date" => Value::Text(day.date.as_deref()),
                    "run" => Value::Int(None),
                    _ => Value::Text(None),
                })
            })
            .collect();
        let passed = self.passes(self.filter_of_days.as_ref(), &values)?;
        let days = days.iter().zip(passed);
        // An archive without days is one whose keys tell its date.
        Ok(days
            .filter(|(day, passed)| *passed || day.date.is_none())
            .map(|(day, _)| day.clone())
            .collect())
    }

    fn parts(&self, day: &Day) -> Result<VecDeque<Part>> {
        let mut parts = match self.which {
            Which::Items => self.tables.reels(day, self.condition.as_ref()),
            Which::Reels | Which::Sealed => self.tables.sealed(day),
        }
        .map_err(external)?;
        if self.which == Which::Reels {
            parts.retain(Part::is_reel);
        }
        let values: Vec<Values<'_>> = parts
            .iter()
            .map(|part| -> Values<'_> { Box::new(move |name| of_place(name, part)) })
            .collect();
        let passed = self.passes(self.filter.as_ref(), &values)?;
        drop(values);
        let parts = parts.into_iter().zip(passed);
        Ok(parts
            .filter_map(|(part, passed)| passed.then_some(part))
            .collect())
    }
}

/// The columns of one place by name.
type Values<'p> = Box<dyn Fn(&str) -> Value<'p> + 'p>;

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// What is left of one run of a plan, which its threads share.
struct Run {
    /// Threads that take part; one that comes again begins another run.
    threads: HashSet<usize>,
    left: Arc<Mutex<Left>>,
}

#[derive(Default)]
struct Left {
    /// `None` before the first was wanted; the one that is read next is the last.
    days: Option<Vec<Day>>,
    parts: VecDeque<Part>,
}

impl Left {
    /// The next part to read.
    fn next(&mut self, walk: &Walk) -> Result<Option<Part>> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Ok(Some(part));
            }
            let days = match &mut self.days {
                Some(days) => days,
                None => {
                    let mut days = walk.days()?;
                    days.reverse();
                    self.days.insert(days)
                }
            };
            let Some(day) = days.pop() else {
                return Ok(None);
            };
            self.parts = walk.parts(&day)?;
        }
    }
}

/// One thread's share of a run.
struct Thread {
    number: usize,
    walk: Arc<Walk>,
    runs: Arc<Mutex<Vec<Run>>>,
    read: Arc<Read>,
    schema: SchemaRef,
    limit: Option<usize>,
    stop: Stop,
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} over {:?}", self.number, self.walk.which)
    }
}

impl Thread {
    fn left(&self) -> Arc<Mutex<Left>> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let open = runs
            .iter_mut()
            .find(|run| !run.threads.contains(&self.number));
        if let Some(run) = open {
            run.threads.insert(self.number);
            return run.left.clone();
        }
        let left: Arc<Mutex<Left>> = Arc::default();
        runs.push(Run {
            threads: HashSet::from([self.number]),
            left: left.clone(),
        });
        left
    }
}

impl PartitionStream for Thread {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let left = self.left();
        let mut builder = RecordBatchReceiverStream::builder(self.schema.clone(), QUEUED);
        let to_engine = builder.tx();
        let (walk, read, stop) = (self.walk.clone(), self.read.clone(), self.stop.clone());
        let mut wanted = self.limit.unwrap_or(usize::MAX);
        builder.spawn_blocking(move || {
            while wanted > 0 && !stop.is_asked() {
                let next = {
                    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
                    left.next(&walk)?
                };
                let Some(part) = next else { break };
                read(&part, &mut |batch| {
                    wanted = wanted.saturating_sub(batch.num_rows());
                    let sent = to_engine.blocking_send(Ok(batch)).is_ok();
                    if !sent {
                        wanted = 0;
                    }
                    Ok(sent && wanted > 0 && !stop.is_asked())
                })?;
            }
            Ok(())
        });
        builder.build()
    }
}
