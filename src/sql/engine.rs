//! The engine: plans a statement over the four tables, and runs it.
//!
//! In: a statement. Out: record batches, one after the other. Never: more memory than
//! [`MAX_MEMORY`] for sorting and grouping; anything but a question: statements that create, change or
//! write are refused.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures_util::StreamExt;

use super::functions;
use super::rewrite;
use super::scan::Items;
use super::sealed::{About, Sealed};
use super::tables::STREAMS_QUERY;
use crate::investigate::tables::Tables;
use crate::kfl;
use crate::pipeline::Stop;

/// Memory for sorting, grouping and joining; beyond it they go on in temporary files.
pub const MAX_MEMORY: usize = 512 << 20;

/// Stack of a thread that plans: plans are trees.
const STACK: usize = 8 << 20;

/// How often it is looked whether somebody wants it to end.
const PACE: Duration = Duration::from_millis(50);

/// Why a statement has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// It is none, or asks for what is not there.
    #[error("{0}")]
    Statement(String),
    /// It could not be run.
    #[error("{0}")]
    Failed(String),
    /// Whoever took the answer failed.
    #[error("{0}")]
    Output(#[from] std::io::Error),
}

/// The engine over one archive or source.
pub struct Engine {
    tables: Arc<Tables>,
    schema: Arc<kfl::Schema>,
    runtime: tokio::runtime::Runtime,
}

/// What comes of a statement.
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Where they are among those that the plan gives.
    shown: Vec<usize>,
}

impl Engine {
    /// An engine over `tables`; `schema` has the fields that queries in `kfl()` know.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn new(tables: Arc<Tables>, schema: Arc<kfl::Schema>) -> std::io::Result<Engine> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_stack_size(STACK)
            .enable_all()
            .build()?;
        Ok(Engine {
            tables,
            schema,
            runtime,
        })
    }

    /// Runs `statement` until it has its answer, `stop` is asked for, or `each` takes no more. `begin`
    /// is told the columns once, `each` some rows at a time.
    ///
    /// # Errors
    /// When it is no question, cannot be run, or its rows are not taken.
    pub fn run(
        &self,
        statement: &str,
        limit: Option<usize>,
        stop: &Stop,
        begin: &mut dyn FnMut(&SchemaRef) -> std::io::Result<()>,
        each: &mut dyn FnMut(&RecordBatch) -> std::io::Result<()>,
    ) -> Result<(), SqlError> {
        self.runtime.block_on(async {
            let parsed = parse(statement)?;
            let (parsed, texts) = rewritten(parsed)?;
            let told = |error: DataFusionError| self.told(&error, &texts);
            let context = self.context(&texts, stop)?;
            let state = context.state();
            let streams = state.statement_to_plan(parse(STREAMS_QUERY)?);
            let streams = context.execute_logical_plan(streams.await.map_err(told)?);
            let streams = streams.await.map_err(told)?.into_view();
            context.register_table("streams", streams).map_err(told)?;
            let state = context.state();
            let plan = state.statement_to_plan(parsed).await.map_err(told)?;
            let options = SQLOptions::new()
                .with_allow_ddl(false)
                .with_allow_dml(false)
                .with_allow_statements(false);
            options.verify_plan(&plan).map_err(|_| {
                SqlError::Statement(
                    "an archive is only read: write a statement that begins with SELECT or WITH"
                        .to_owned(),
                )
            })?;
            let mut frame = context.execute_logical_plan(plan).await.map_err(told)?;
            if limit.is_some() {
                frame = frame.limit(0, limit).map_err(told)?;
            }
            let answer = Answer::of(frame.schema().as_arrow());
            begin(&answer.schema)?;
            let mut batches = frame.execute_stream().await.map_err(told)?;
            loop {
                let next = tokio::time::timeout(PACE, batches.next()).await;
                if stop.is_asked() {
                    return Ok(());
                }
                match next {
                    Err(_) => {}
                    Ok(None) => return Ok(()),
                    Ok(Some(batch)) => {
                        let batch = batch.map_err(told)?;
                        let shown = batch.project(&answer.shown);
                        each(&shown.map_err(|error| told(error.into()))?)?;
                    }
                }
            }
        })
    }

    /// The tables for a statement whose queries are `texts`.
    fn context(&self, texts: &[String], stop: &Stop) -> Result<SessionContext, SqlError> {
        let queries = texts.iter().map(|text| {
            let query = kfl::compile(text, &self.schema).map_err(|error| {
                SqlError::Statement(format!("kfl('{text}'): {error}\n{}", error.caret(text)))
            })?;
            match query.redacts() {
                true => Err(SqlError::Statement(format!(
                    "kfl('{text}'): redact() alters what is delivered, and SQL reads columns as they are; leave it out"
                ))),
                false => Ok(query),
            }
        });
        let queries = queries.collect::<Result<Vec<_>, _>>()?;
        let failed = |error: DataFusionError| SqlError::Failed(error.to_string());
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(MAX_MEMORY)))
            .build_arc()
            .map_err(failed)?;
        let config = SessionConfig::new().with_information_schema(true);
        let context = SessionContext::new_with_config_rt(config, environment);
        for function in functions::all() {
            context.register_udf(function);
        }
        let (tables, stop) = (&self.tables, stop.clone());
        let items = Items::new(tables.clone(), queries, stop.clone());
        let reels = Sealed::new(About::Reels, tables.clone(), stop.clone());
        let coverage = Sealed::new(About::Coverage, tables.clone(), stop);
        context
            .register_table("items", Arc::new(items))
            .and_then(|_| context.register_table("reels", Arc::new(reels)))
            .and_then(|_| context.register_table("coverage", Arc::new(coverage)))
            .map_err(failed)?;
        Ok(context)
    }

    fn told(&self, error: &DataFusionError, texts: &[String]) -> SqlError {
        let root = error.find_root();
        let message = rewrite::shown(&root.to_string(), texts);
        match root {
            DataFusionError::ResourcesExhausted(_) => SqlError::Failed(format!(
                "the statement needs more than {} MiB at a time; narrow it with conditions, --from and --to",
                MAX_MEMORY >> 20
            )),
            DataFusionError::External(_)
            | DataFusionError::IoError(_)
            | DataFusionError::Execution(_) => SqlError::Failed(message),
            _ => SqlError::Statement(format!("--sql: {message}")),
        }
    }
}

fn parse(statement: &str) -> Result<Statement, SqlError> {
    let wrong = |why: String| SqlError::Statement(format!("--sql: {why}"));
    let tokens = Tokenizer::new(&GenericDialect {}, statement).tokenize_with_location();
    let mut tokens = tokens.map_err(|error| wrong(error.to_string()))?;
    for token in &mut tokens {
        // A column here; the parser would take it for the start of a clause that only Hive has.
        if let Token::Word(word) = &mut token.token
            && word.keyword == Keyword::CLUSTER
            && word.quote_style.is_none()
        {
            word.value.make_ascii_lowercase();
            word.quote_style = Some('"');
            word.keyword = Keyword::NoKeyword;
        }
    }
    let mut found = DFParserBuilder::new(tokens)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| wrong(error.find_root().to_string()))?;
    match (found.pop_front(), found.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => Err(wrong(
            "write a statement, as SELECT * FROM items".to_owned(),
        )),
        (Some(_), false) => Err(wrong("write one statement at a time".to_owned())),
    }
}

/// A statement with columns in the place of `kfl()`, and the queries.
fn rewritten(mut statement: Statement) -> Result<(Statement, Vec<String>), SqlError> {
    let inner = match &mut statement {
        Statement::Statement(inner) => inner,
        Statement::Explain(explain) => match &mut *explain.statement {
            Statement::Statement(inner) => inner,
            _ => return Ok((statement, Vec::new())),
        },
        _ => return Ok((statement, Vec::new())),
    };
    let texts =
        rewrite::rewrite(inner).map_err(|why| SqlError::Statement(format!("--sql: {why}")))?;
    Ok((statement, texts))
}

impl Answer {
    /// What of a plan's columns is shown: not those that stand for queries.
    fn of(schema: &Schema) -> Answer {
        let fields = schema.fields().iter().enumerate();
        let shown: Vec<usize> = fields
            .filter(|(_, field)| rewrite::query_of(field.name()).is_none())
            .map(|(at, _)| at)
            .collect();
        let fields = shown.iter().filter_map(|at| schema.fields().get(*at));
        Answer {
            schema: Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>())),
            shown,
        }
    }
}
