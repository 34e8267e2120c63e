//! Record batches as a Parquet file.
//!
//! In: batches of one schema. Out: a file that any table engine reads. Whole numbers, numbers, truth
//! values, texts, bytes, dates and times keep their type; decimals become numbers, and what has parts
//! becomes the text that is shown of it. Never: more than one row group in memory.

use std::io::{self, Write};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

/// Rows of one row group.
const GROUP_ROWS: usize = 65_536;

/// How a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bool,
    Int,
    Float,
    Text,
    Bytes,
    Date,
    /// Microseconds; of UTC, or of no time zone.
    Time(bool),
}

impl Form {
    fn of(kind: &DataType) -> Form {
        match kind {
            DataType::Boolean => Form::Bool,
            kind if kind.is_integer() => Form::Int,
            kind if kind.is_floating() => Form::Float,
            DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Form::Float,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Form::Bytes,
            DataType::Date32 | DataType::Date64 => Form::Date,
            DataType::Timestamp(_, zone) => Form::Time(zone.is_some()),
            _ => Form::Text,
        }
    }

    fn field(self, name: &str) -> parquet::errors::Result<Type> {
        let physical = match self {
            Form::Bool => Physical::BOOLEAN,
            Form::Int | Form::Time(_) => Physical::INT64,
            Form::Float => Physical::DOUBLE,
            Form::Text | Form::Bytes => Physical::BYTE_ARRAY,
            Form::Date => Physical::INT32,
        };
        let logical = match self {
            Form::Text => Some(LogicalType::String),
            Form::Date => Some(LogicalType::Date),
            Form::Time(is_utc) => {
                let unit = parquet::basic::TimeUnit::MICROS;
                Some(LogicalType::timestamp(is_utc, unit))
            }
            _ => None,
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
    }
}

/// A file that is being written.
pub struct ParquetOutput<W: Write + Send> {
    file: SerializedFileWriter<W>,
    forms: Vec<Form>,
    waiting: Vec<RecordBatch>,
    rows: usize,
}

impl<W: Write + Send> ParquetOutput<W> {
    /// A file of batches with this schema.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(out: W, schema: &Schema) -> io::Result<ParquetOutput<W>> {
        let forms: Vec<Form> = schema
            .fields()
            .iter()
            .map(|field| Form::of(field.data_type()))
            .collect();
        let fields = forms.iter().zip(schema.fields());
        let fields = fields.map(|(form, field)| form.field(field.name()).map(Arc::new));
        let fields = fields.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let root = Type::group_type_builder("answer")
            .with_fields(fields)
            .build();
        let level = ZstdLevel::try_new(3).map_err(failed)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
        let root = Arc::new(root.map_err(failed)?);
        let file = SerializedFileWriter::new(out, root, Arc::new(properties.build()));
        Ok(ParquetOutput {
            file: file.map_err(failed)?,
            forms,
            waiting: Vec::new(),
            rows: 0,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// What the output says.
    pub fn push(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.rows += batch.num_rows();
        self.waiting.push(batch.clone());
        match self.rows >= GROUP_ROWS {
            true => self.end_group(),
            false => Ok(()),
        }
    }

    fn end_group(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(failed)?;
        for (at, form) in self.forms.iter().enumerate() {
            let Some(mut column) = group.next_column().map_err(failed)? else {
                break;
            };
            for array in waiting.iter().map(|batch| batch.column(at)) {
                write(column.untyped(), *form, array)?;
            }
            column.close().map_err(failed)?;
        }
        group.close().map_err(failed)?;
        Ok(())
    }

    /// Ends the file; answers what it was written to.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_group()?;
        self.file.into_inner().map_err(failed)
    }
}

fn write(column: &mut ColumnWriter<'_>, form: Form, array: &ArrayRef) -> io::Result<()> {
    let as_kind = |kind: &DataType| cast(array, kind).map_err(io::Error::other);
    let levels: Vec<i16> = (0..array.len())
        .map(|row| i16::from(!array.is_null(row)))
        .collect();
    let levels = Some(levels.as_slice());
    let done = match (column, form) {
        (ColumnWriter::BoolColumnWriter(column), _) => {
            let values: Vec<bool> = array.as_boolean().iter().flatten().collect();
            column.write_batch(&values, levels, None)
        }
        (ColumnWriter::Int64ColumnWriter(column), Form::Time(_)) => {
            let kind = DataType::Timestamp(TimeUnit::Microsecond, None);
            let zoned = match array.data_type() {
                DataType::Timestamp(_, zone) => {
                    as_kind(&DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?
                }
                _ => as_kind(&kind)?,
            };
            let values = zoned.as_primitive::<TimestampMicrosecondType>();
            column.write_batch(&values.iter().flatten().collect::<Vec<_>>(), levels, None)
        }
        (ColumnWriter::Int64ColumnWriter(column), _) => {
            let array = as_kind(&DataType::Int64)?;
            let values = array.as_primitive::<Int64Type>();
            column.write_batch(&values.iter().flatten().collect::<Vec<_>>(), levels, None)
        }
        (ColumnWriter::Int32ColumnWriter(column), _) => {
            let array = as_kind(&DataType::Date32)?;
            let values = array.as_primitive::<Date32Type>();
            column.write_batch(&values.iter().flatten().collect::<Vec<_>>(), levels, None)
        }
        (ColumnWriter::DoubleColumnWriter(column), _) => {
            let array = as_kind(&DataType::Float64)?;
            let values = array.as_primitive::<Float64Type>();
            column.write_batch(&values.iter().flatten().collect::<Vec<_>>(), levels, None)
        }
        (ColumnWriter::ByteArrayColumnWriter(column), Form::Bytes) => {
            let array = as_kind(&DataType::Binary)?;
            let values = array.as_binary::<i32>().iter().flatten();
            let values: Vec<ByteArray> = values.map(ByteArray::from).collect();
            column.write_batch(&values, levels, None)
        }
        (ColumnWriter::ByteArrayColumnWriter(column), _) => {
            let options = FormatOptions::default();
            let shown = ArrayFormatter::try_new(array, &options).map_err(io::Error::other)?;
            let rows = (0..array.len()).filter(|row| !array.is_null(*row));
            let values: Vec<ByteArray> = rows
                .map(|row| ByteArray::from(shown.value(row).to_string().into_bytes()))
                .collect();
            column.write_batch(&values, levels, None)
        }
        _ => {
            return Err(io::Error::other(
                "a column has another type than its schema",
            ));
        }
    };
    done.map(|_| ()).map_err(failed)
}

fn failed(error: parquet::errors::ParquetError) -> io::Error {
    match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other.to_string()),
        },
        other => io::Error::other(other),
    }
}
