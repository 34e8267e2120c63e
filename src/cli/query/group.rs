//! Groups of items on stdout: counts, rates, percentiles.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::super::style::Style;
use super::lines::{Format, csv_cell, plain};
use crate::investigate::aggregate::{Aggregate, Percentiles, Row, Wanted};
use crate::kfl::{self, Dialect, Schema};
use crate::units;

/// What to print instead of items.
#[derive(Debug, Default, Args)]
pub struct GroupArgs {
    /// Count items by these fields instead of printing them
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    count_by: Vec<String>,

    /// Only the groups with the highest counts
    #[arg(long, value_name = "N")]
    top: Option<usize>,

    /// Percentiles of this field, as elapsedTime, which items have in milliseconds
    #[arg(long, value_name = "FIELD")]
    percentiles: Option<String>,

    /// Count by time slices of this length, as 1m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    every: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text)
        .filter(|length| !length.is_zero())
        .ok_or_else(|| "write a number with a unit, as 30s, 5m or 1h".to_owned())
}

impl GroupArgs {
    /// Says which fields no item has: all items are then in one group without a value.
    pub fn warn(&self, schema: &Schema) {
        let fields = self.count_by.iter().chain(&self.percentiles);
        for field in fields {
            // A field is what a query of it alone reads.
            let query = kfl::compile_as(field, Dialect::V1, schema);
            let found: Vec<String> = match &query {
                Ok(query) => query.warnings().iter().map(ToString::to_string).collect(),
                Err(error) => vec![format!("{field} is no field, {error}")],
            };
            for warning in found.into_iter().filter(|said| said.contains("field")) {
                eprintln!("{}", Style::stderr().yellow(&warning));
            }
        }
    }

    /// What is wanted; `None` when items are.
    pub fn wanted(&self) -> Option<Wanted> {
        let is_wanted =
            !self.count_by.is_empty() || self.percentiles.is_some() || self.every.is_some();
        is_wanted.then(|| Wanted {
            by: self.count_by.clone(),
            every: self.every,
            percentiles: self.percentiles.clone(),
            top: self.top,
        })
    }
}

/// A cell of CSV.
fn cell(text: &str) -> String {
    let mut out = Vec::new();
    csv_cell(&mut out, text);
    String::from_utf8_lossy(&out).into_owned()
}

/// Names and values of the numbers of a row.
fn numbers(found: &Percentiles) -> [(&'static str, i64); 6] {
    [
        ("min", found.min),
        ("p50", found.p50),
        ("p90", found.p90),
        ("p95", found.p95),
        ("p99", found.p99),
        ("max", found.max),
    ]
}

/// Prints the rows of `aggregate`.
pub fn print(
    aggregate: &Aggregate,
    wanted: &Wanted,
    format: Format,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let rows = aggregate.rows();
    match format {
        Format::Json => {
            for row in &rows {
                serde_json::to_writer(&mut *out, &object(row, wanted))?;
                out.write_all(b"\n")?;
            }
        }
        Format::Csv => {
            writeln!(out, "{}", heads(wanted).join(","))?;
            for row in &rows {
                let quoted: Vec<String> = cells(row, wanted).iter().map(|c| cell(c)).collect();
                writeln!(out, "{}", quoted.join(","))?;
            }
        }
        Format::Table => table(&rows, wanted, out)?,
    }
    out.flush()
}

fn object(row: &Row, wanted: &Wanted) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    if let Some(time) = row.time {
        object.insert("time".into(), time.to_string().into());
    }
    for (field, value) in wanted.by.iter().zip(&row.values) {
        object.insert(field.clone(), value.clone().into());
    }
    object.insert("count".into(), row.count.into());
    for (name, number) in row.percentiles.iter().flat_map(numbers) {
        object.insert(name.into(), number.into());
    }
    object.into()
}

fn heads(wanted: &Wanted) -> Vec<String> {
    let mut heads = Vec::new();
    heads.extend(wanted.every.map(|_| "time".to_owned()));
    heads.extend(wanted.by.iter().cloned());
    heads.push("count".into());
    if wanted.percentiles.is_some() {
        let names = ["min", "p50", "p90", "p95", "p99", "max"];
        heads.extend(names.map(str::to_owned));
    }
    heads
}

fn cells(row: &Row, wanted: &Wanted) -> Vec<String> {
    let mut cells = Vec::new();
    cells.extend(
        wanted
            .every
            .map(|_| row.time.map_or_else(String::new, |time| time.to_string())),
    );
    cells.extend(row.values.iter().cloned());
    cells.push(row.count.to_string());
    if wanted.percentiles.is_some() {
        match &row.percentiles {
            Some(found) => cells.extend(numbers(found).map(|(_, number)| number.to_string())),
            None => cells.extend((0..6).map(|_| String::new())),
        }
    }
    cells
}

fn table(rows: &[Row], wanted: &Wanted, out: &mut dyn Write) -> std::io::Result<()> {
    let mut lines = vec![heads(wanted)];
    lines.extend(rows.iter().map(|row| {
        let cells = cells(row, wanted);
        cells.iter().map(|cell| plain(cell)).collect()
    }));
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for line in &lines {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(out, "{}", padded.join("  ").trim_end())?;
    }
    Ok(())
}
