//! Where a query's answer goes: stdout, or a file that is there whole or not at all.

use std::fs::File;
#[cfg(feature = "sql")]
use std::io::IsTerminal;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::super::exit::{Exit, Failure, cannot_write};
use super::super::style::Style;
use super::lines::Format;

/// Bytes that are handed to the system at a time.
const BUFFER: usize = 1 << 16;

/// Output formats of `tapedeck query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Asked {
    /// Columns for people
    Table,
    /// One JSON object a line
    Json,
    /// Comma-separated values with a header line
    Csv,
    /// A Parquet file; of --sql only
    Parquet,
}

impl Asked {
    /// The format of lines.
    ///
    /// # Errors
    /// When it has no lines.
    pub(super) fn lines(self) -> Result<Format, Failure> {
        match self {
            Asked::Table => Ok(Format::Table),
            Asked::Json => Ok(Format::Json),
            Asked::Csv => Ok(Format::Csv),
            Asked::Parquet => Err(Failure::usage(
                "--format parquet is for --sql, as --sql 'SELECT * FROM items'",
            )),
        }
    }

    /// Its name on the command line.
    #[cfg(not(feature = "sql"))]
    pub(super) fn name(self) -> &'static str {
        match self {
            Asked::Table => "table",
            Asked::Json => "json",
            Asked::Csv => "csv",
            Asked::Parquet => "parquet",
        }
    }
}

/// Where the answer goes.
#[derive(Debug, Clone)]
pub(super) struct Target(Option<PathBuf>);

impl Target {
    /// A file, or stdout without one.
    ///
    /// # Errors
    /// When the file is there already.
    pub(super) fn of(path: Option<&Path>) -> Result<Target, Failure> {
        if let Some(path) = path.filter(|path| path.exists()) {
            return Err(Failure::usage(format!(
                "{} is there already; name another file",
                path.display()
            )));
        }
        Ok(Target(path.map(Path::to_owned)))
    }

    /// Whether people see it at once.
    #[cfg(feature = "sql")]
    pub(super) fn is_terminal(&self) -> bool {
        self.0.is_none() && io::stdout().is_terminal()
    }

    /// How it is coloured.
    pub(super) fn style(&self) -> Style {
        match &self.0 {
            None => Style::stdout(),
            Some(_) => Style::plain(),
        }
    }

    /// Begins writing. What is written to a file is there after [`Target::keep`].
    pub(super) fn open(&self) -> Result<Box<dyn Write + Send>, Failure> {
        let Some(path) = self.half() else {
            return Ok(Box::new(BufWriter::with_capacity(BUFFER, io::stdout())));
        };
        // An attempt that was ended may have left its half; this one writes all of it again.
        let file = File::create(&path).map_err(|error| Failure {
            exit: Exit::Usage,
            ..cannot_write(self.0.as_deref().unwrap_or(&path), &error)
        })?;
        Ok(Box::new(BufWriter::with_capacity(BUFFER, file)))
    }

    /// Ends writing, after what was opened is flushed.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        let (Some(half), Some(path)) = (self.half(), &self.0) else {
            return Ok(());
        };
        File::open(&half)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&half, path))
            .map_err(|error| cannot_write(path, &error))
    }

    fn half(&self) -> Option<PathBuf> {
        let mut name = self.0.clone()?.into_os_string();
        name.push(".half");
        Some(name.into())
    }
}
