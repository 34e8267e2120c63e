//! Rows of an answer as a table for people, JSON lines, CSV or Parquet.
//!
//! Never: more rows in memory than it takes to find how wide the columns of a table are.

use std::io::{self, Write};

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::LineDelimited;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::super::super::style::Style;
use super::super::lines::{csv_cell, plain};
use super::super::output::Asked;
use super::answer::Out;
use crate::sql::ParquetOutput;

/// Rows by which the width of a table's columns is found.
const MEASURED: usize = 1000;

/// Widest column of a table; longer cells run over.
const MAX_WIDTH: usize = 60;

/// An answer on its way out.
pub(super) enum Shown {
    Table(Table),
    Json(Out),
    Csv(Out),
    Parquet(Box<ParquetOutput<Out>>),
}

impl Shown {
    /// Begins an answer with the columns of `schema`.
    pub(super) fn new(
        format: Asked,
        style: Style,
        mut out: Out,
        schema: &Schema,
    ) -> io::Result<Shown> {
        let names = || schema.fields().iter().map(|field| field.name().clone());
        Ok(match format {
            Asked::Json => Shown::Json(out),
            Asked::Parquet => Shown::Parquet(Box::new(ParquetOutput::new(out, schema)?)),
            Asked::Csv => {
                csv_line(&mut out, names())?;
                Shown::Csv(out)
            }
            Asked::Table => Shown::Table(Table {
                style,
                out,
                heads: names().map(|name| plain(&name)).collect(),
                are_numbers: schema
                    .fields()
                    .iter()
                    .map(|field| field.data_type().is_numeric())
                    .collect(),
                waiting: Vec::new(),
                widths: None,
            }),
        })
    }

    /// Adds rows.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> io::Result<()> {
        match self {
            Shown::Json(out) => {
                let builder = WriterBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, LineDelimited>(out);
                writer.write(batch).map_err(failed)?;
                writer.finish().map_err(failed)
            }
            Shown::Csv(out) => each_row(batch, &mut |cells| csv_line(out, cells.into_iter())),
            Shown::Parquet(file) => file.push(batch),
            Shown::Table(table) => each_row(batch, &mut |cells| table.push(&cells)),
        }
    }

    /// Ends the answer.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Shown::Json(mut out) | Shown::Csv(mut out) => out.flush(),
            Shown::Parquet(file) => file.finish()?.flush(),
            Shown::Table(table) => table.finish(),
        }
    }
}

/// The cells of each row as text; those of nulls are empty.
fn each_row(
    batch: &RecordBatch,
    each: &mut dyn FnMut(Vec<String>) -> io::Result<()>,
) -> io::Result<()> {
    let options = FormatOptions::default();
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(&**column, &options));
    let columns = columns.collect::<Result<Vec<_>, _>>();
    let columns = columns.map_err(failed)?;
    for row in 0..batch.num_rows() {
        let cells = columns.iter().zip(batch.columns());
        let cells = cells.map(|(shown, column)| match column.is_null(row) {
            true => String::new(),
            false => shown.value(row).to_string(),
        });
        each(cells.collect())?;
    }
    Ok(())
}

fn failed(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}

fn csv_line(out: &mut dyn Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    let mut line = Vec::new();
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            line.push(b',');
        }
        csv_cell(&mut line, &cell);
    }
    line.push(b'\n');
    out.write_all(&line)
}

/// A table for people.
pub(super) struct Table {
    style: Style,
    out: Out,
    heads: Vec<String>,
    are_numbers: Vec<bool>,
    /// The first rows, until it is known how wide the columns are.
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl Table {
    fn push(&mut self, cells: &[String]) -> io::Result<()> {
        let cells: Vec<String> = cells.iter().map(|cell| plain(cell)).collect();
        if self.widths.is_some() {
            return self.line(&cells);
        }
        self.waiting.push(cells);
        match self.waiting.len() >= MEASURED {
            true => self.begin(),
            false => Ok(()),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let widths = self.heads.iter().enumerate().map(|(at, head)| {
            let cells = waiting.iter().filter_map(|cells| cells.get(at));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.min(MAX_WIDTH).max(head.chars().count())
        });
        self.widths = Some(widths.collect());
        let heads = self.heads.clone();
        let line = self.lined(&heads);
        writeln!(self.out, "{}", self.style.bold(&line))?;
        waiting.iter().try_for_each(|cells| self.line(cells))
    }

    fn lined(&self, cells: &[String]) -> String {
        let widths = self.widths.iter().flatten();
        let cells = cells.iter().zip(widths).zip(&self.are_numbers);
        let cells: Vec<String> = cells
            .map(|((cell, width), is_number)| match is_number {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    }

    fn line(&mut self, cells: &[String]) -> io::Result<()> {
        let line = self.lined(cells);
        writeln!(self.out, "{line}")
    }

    fn finish(mut self) -> io::Result<()> {
        if self.widths.is_none() {
            self.begin()?;
        }
        self.out.flush()
    }
}
