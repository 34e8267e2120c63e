//! Prepared statements of one connection, by number.
//!
//! In: what COM_STMT_PREPARE asked and got. Out: the text, parameters and columns that a later
//! COM_STMT_EXECUTE is about. Never: more than the caps; the oldest is forgotten.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use super::binary;
use super::parser::{lenenc, lenenc_int};
use crate::bytes::Reader;
use crate::dissect::saved::{Saved, put_bytes, put_list};

/// Statements that are remembered; connectors cache some hundred at most.
const MAX_STATEMENTS: usize = 256;

/// Bytes of one remembered text.
const MAX_QUERY: usize = 16 * 1024;

/// Bytes of all that is remembered.
const MAX_BYTES: usize = 1024 * 1024;

/// Parameters of one statement (the protocol counts them in 16 bits) that are read.
const MAX_PARAMETERS: usize = 4096;

/// One prepared statement.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub id: u32,
    pub query: Bytes,
    pub cut: bool,
    pub parameters: u16,
    /// Payloads of the column definitions, each behind its length as `u32`.
    pub columns: Bytes,
    pub column_count: u16,
    /// Types that the last execution gave, two bytes each.
    pub types: Bytes,
    /// Parameters that were sent apart.
    pub apart: Vec<u16>,
}

impl Statement {
    fn weight(&self) -> usize {
        self.query.len() + self.columns.len() + self.types.len() + 2 * self.apart.len()
    }
}

/// The statements, the most recent last.
#[derive(Debug, Default)]
pub(super) struct Statements {
    list: VecDeque<Statement>,
    bytes: usize,
}

impl Statements {
    /// The statement with this number.
    pub(super) fn find(&self, id: u32) -> Option<&Statement> {
        self.list.iter().rev().find(|one| one.id == id)
    }

    /// The number of the statement that was prepared last.
    pub(super) fn last(&self) -> Option<u32> {
        self.list.back().map(|one| one.id)
    }

    /// Remembers a statement.
    pub(super) fn put(&mut self, mut statement: Statement) {
        self.forget(statement.id);
        if statement.query.len() > MAX_QUERY {
            statement.query =
                Bytes::copy_from_slice(statement.query.get(..MAX_QUERY).unwrap_or_default());
            statement.cut = true;
        }
        self.bytes += statement.weight();
        self.list.push_back(statement);
        while self.list.len() > MAX_STATEMENTS || self.bytes > MAX_BYTES {
            self.drop_at(0);
        }
    }

    /// Forgets a statement that was closed.
    pub(super) fn forget(&mut self, id: u32) {
        if let Some(at) = self.list.iter().position(|one| one.id == id) {
            self.drop_at(at);
        }
    }

    fn drop_at(&mut self, at: usize) {
        if let Some(statement) = self.list.remove(at) {
            self.bytes = self.bytes.saturating_sub(statement.weight());
        }
    }

    /// A parameter was sent apart (COM_STMT_SEND_LONG_DATA).
    pub(super) fn send_apart(&mut self, id: u32, parameter: u16) {
        if let Some(one) = self.list.iter_mut().find(|one| one.id == id)
            && !one.apart.contains(&parameter)
            && one.apart.len() < usize::from(one.parameters)
            && one.apart.len() < MAX_PARAMETERS
        {
            one.apart.push(parameter);
            self.bytes += 2;
        }
    }

    /// Parameters that were sent apart are gone (COM_STMT_RESET).
    pub(super) fn reset(&mut self, id: u32) {
        if let Some(one) = self.list.iter_mut().find(|one| one.id == id) {
            self.bytes = self.bytes.saturating_sub(2 * one.apart.len());
            one.apart.clear();
        }
    }

    /// Reads the parameters of a COM_STMT_EXECUTE, behind its command byte, into the form that
    /// [`super::render::parameters`] shows; `None` when they cannot be told apart.
    pub(super) fn parameters(&mut self, id: u32, body: &[u8], attributes: bool) -> Option<Bytes> {
        /// Flag of COM_STMT_EXECUTE: the count of parameters comes with it.
        const PARAMETER_COUNT_AVAILABLE: u8 = 8;
        let at = self.list.iter().rposition(|one| one.id == id);
        let statement = at.and_then(|at| self.list.get_mut(at));
        let mut reader = Reader::new(body);
        reader.skip(4).ok()?;
        let flags = reader.u8().ok()?;
        reader.skip(4).ok()?;
        let named = attributes && flags & PARAMETER_COUNT_AVAILABLE != 0;
        let count = match (named, &statement) {
            (true, _) => usize::try_from(lenenc_int(&mut reader).ok()?).ok()?,
            (false, Some(statement)) => usize::from(statement.parameters),
            (false, None) => return None,
        };
        if count == 0 || count > MAX_PARAMETERS {
            return None;
        }
        let nulls = reader.take(count.div_ceil(8)).ok()?;
        let types = match reader.u8().ok()? {
            1 => read_types(&mut reader, count, attributes)?,
            _ => statement.as_ref()?.types.clone(),
        };
        if types.len() != count * 2 {
            return None;
        }
        let apart = statement.as_ref().map_or(&[][..], |one| &one.apart);
        let mut out = BytesMut::with_capacity(2 + 3 * count + nulls.len() + reader.left());
        out.put_u16(u16::try_from(count).ok()?);
        for (index, code) in types.chunks_exact(2).enumerate() {
            let index = u16::try_from(index).ok()?;
            out.put_slice(code);
            out.put_u8(apart.contains(&index).into());
        }
        out.put_slice(nulls);
        out.put_slice(reader.rest());
        if let Some(statement) = statement {
            self.bytes = (self.bytes + types.len())
                .saturating_sub(statement.types.len() + 2 * statement.apart.len());
            statement.types = types;
            statement.apart.clear();
        }
        Some(out.freeze())
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        put_list(out, self.list.iter(), |out, one| {
            out.put_u32(one.id);
            out.put_u8(one.cut.into());
            out.put_u16(one.parameters);
            out.put_u16(one.column_count);
            for bytes in [&one.query, &one.columns, &one.types] {
                put_bytes(out, bytes);
            }
            put_list(out, one.apart.iter(), |out, index| out.put_u16(*index));
        });
    }

    pub(super) fn restore(saved: &mut Saved<'_>) -> Option<Statements> {
        let list = saved.list(MAX_STATEMENTS, |saved| {
            let id = saved.u32()?;
            let cut = saved.flag()?;
            let (parameters, column_count) = (saved.u16()?, saved.u16()?);
            Some(Statement {
                id,
                cut,
                parameters,
                column_count,
                query: saved.bytes(MAX_BYTES)?,
                columns: saved.bytes(MAX_BYTES)?,
                types: saved.bytes(2 * MAX_PARAMETERS)?,
                apart: saved.list(MAX_PARAMETERS, Saved::u16)?,
            })
        })?;
        let mut statements = Statements::default();
        for one in list {
            statements.put(one);
        }
        Some(statements)
    }
}

/// Types of parameters as the client binds them, each in network order; with query attributes each
/// has a name behind it.
fn read_types(reader: &mut Reader<'_>, count: usize, named: bool) -> Option<Bytes> {
    let mut types = Vec::with_capacity(count * 2);
    for _ in 0..count {
        types.put_u16(reader.u16_le().ok()?);
        if named {
            lenenc(reader).ok()?;
        }
    }
    Some(types.into())
}

/// The text of a COM_QUERY, behind its command byte and the attributes in front of it.
pub(super) fn query_text(body: &[u8], attributes: bool) -> Option<&[u8]> {
    if !attributes {
        return Some(body);
    }
    let mut reader = Reader::new(body);
    let count = usize::try_from(lenenc_int(&mut reader).ok()?).ok()?;
    // Sets of attributes; always one.
    lenenc_int(&mut reader).ok()?;
    if count == 0 {
        return Some(reader.rest());
    }
    if count > MAX_PARAMETERS {
        return None;
    }
    let nulls = reader.take(count.div_ceil(8)).ok()?;
    let types = match reader.u8().ok()? {
        1 => read_types(&mut reader, count, true)?,
        _ => return None,
    };
    for (index, code) in types.chunks_exact(2).enumerate() {
        let is_null = nulls
            .get(index / 8)
            .is_some_and(|byte| byte >> (index % 8) & 1 == 1);
        if !is_null {
            binary::skip(&mut reader, *code.last()?)?;
        }
    }
    Some(reader.rest())
}

/// The number of the statement that a command is about.
pub(super) fn statement_id(body: &[u8]) -> Option<u32> {
    Reader::new(body).u32_le().ok()
}
