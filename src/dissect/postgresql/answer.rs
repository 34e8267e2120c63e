//! What the server answered: results with their first rows, errors, notices, what a start told.
//!
//! In: bodies of messages. Out: the parts that [`super::render`] shows. Never: more than the caps
//! below.

use bytes::{BufMut, Bytes};

use crate::dissect::saved::{Saved, put_bytes, put_list, put_time};
use crate::time::Timestamp;

/// Bytes of rows that one exchange keeps: enough to see what kind of rows they are.
const MAX_ROW_BYTES: usize = 64 * 1024;

/// Rows that one exchange keeps.
const MAX_ROWS: u64 = 100;

/// Results of one Query that are kept; dumps have thousands of statements in one.
const MAX_RESULTS: usize = 32;

/// Notices that one exchange keeps.
const MAX_NOTICES: usize = 8;

/// Parameter reports that one exchange keeps; servers send about fifteen at the start.
const MAX_PARAMETERS: usize = 64;

/// Authentication messages of one start that are named.
const MAX_AUTHENTICATION: usize = 16;

/// Bytes of one text that an answer keeps: an error, a notice, a description of columns.
pub(super) const MAX_TEXT: usize = 16 * 1024;

/// Which way COPY goes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    /// Type of the response that began it: `G` in, `H` out, `W` both.
    pub kind: u8,
    pub binary: bool,
    pub columns: u16,
    pub bytes: u64,
    pub messages: u64,
    /// The reason that a CopyFail gave.
    pub failed: Bytes,
}

/// What one statement gave.
#[derive(Debug, Default, Clone)]
pub(super) struct ResultSet {
    /// Body of the RowDescription.
    pub columns: Bytes,
    /// Bodies of the first DataRows, each behind its length as `u32`.
    pub rows: Vec<u8>,
    pub kept: u64,
    pub count: u64,
    /// A kept row is not whole.
    pub cut: bool,
    pub tag: Bytes,
    pub copy: Option<Copy>,
    /// The portal has more rows (PortalSuspended).
    pub suspended: bool,
    /// Nothing more comes for it.
    pub done: bool,
}

/// What the server answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub first: Option<Timestamp>,
    pub size: u64,
    /// Fields of the ErrorResponse.
    pub error: Bytes,
    pub notices: Vec<Bytes>,
    pub results: Vec<ResultSet>,
    /// Results that are no longer kept.
    pub more_results: bool,
    /// Bodies of ParameterStatus messages.
    pub parameters: Vec<Bytes>,
    /// Codes of the Authentication messages.
    pub authentication: Vec<u8>,
    /// SASL mechanisms that the server offered, each ended by zero.
    pub mechanisms: Bytes,
    pub process_id: Option<u32>,
    /// Status in ReadyForQuery; 0 when unseen.
    pub transaction: u8,
    /// Byte that answered an encryption request; 0 when unseen.
    pub encryption: u8,
    /// Body of a NotificationResponse.
    pub notification: Bytes,
    /// An error before it in the pipeline kept it from being run.
    pub aborted: bool,
}

impl Answer {
    /// The result that rows go to.
    pub(super) fn result(&mut self) -> &mut ResultSet {
        let results = &mut self.results;
        if results.last().is_none_or(|result| result.done) {
            if results.len() < MAX_RESULTS {
                results.push(ResultSet::default());
            } else if let Some(last) = results.last_mut() {
                self.more_results = true;
                *last = ResultSet::default();
            }
        }
        results.last_mut().expect("one is there or was just pushed")
    }

    /// Counts a row and keeps it while there is room.
    pub(super) fn row(&mut self, body: &[u8], is_cut: bool) {
        let held: usize = self.results.iter().map(|one| one.rows.len()).sum();
        let kept: u64 = self.results.iter().map(|one| one.kept).sum();
        let room = MAX_ROW_BYTES.saturating_sub(held);
        let result = self.result();
        result.count += 1;
        // Rows that are left out must not be followed by one that is kept.
        let in_a_row = result.kept + 1 == result.count && !result.cut;
        if kept < MAX_ROWS && room > 0 && in_a_row {
            let part = body.get(..room).unwrap_or(body);
            result.cut = is_cut || part.len() < body.len();
            put_bytes(&mut result.rows, part);
            result.kept += 1;
        }
    }

    /// Keeps a notice while there is room.
    pub(super) fn notice(&mut self, body: &[u8]) {
        if self.notices.len() < MAX_NOTICES {
            self.notices.push(kept(body));
        }
    }

    /// Keeps the report of a parameter while there is room.
    pub(super) fn parameter(&mut self, body: &[u8]) {
        const MAX_PARAMETER: usize = 1024;
        if self.parameters.len() < MAX_PARAMETERS && body.len() <= MAX_PARAMETER {
            self.parameters.push(Bytes::copy_from_slice(body));
        }
    }

    /// Notes an Authentication message.
    pub(super) fn authentication(&mut self, code: u32, rest: &[u8]) {
        const SASL: u32 = 10;
        if self.authentication.len() < MAX_AUTHENTICATION {
            let code = u8::try_from(code).unwrap_or(u8::MAX);
            self.authentication.push(code);
        }
        if code == SASL {
            self.mechanisms = kept(rest);
        }
    }
}

/// A copy that may be kept for long, cut at [`MAX_TEXT`].
pub(super) fn kept(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes.get(..MAX_TEXT).unwrap_or(bytes))
}

impl Answer {
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        put_time(out, self.first);
        out.put_u64(self.size);
        out.put_u8(self.more_results.into());
        out.put_u8(self.aborted.into());
        out.put_u8(self.process_id.is_some().into());
        out.put_u32(self.process_id.unwrap_or_default());
        out.put_u8(self.transaction);
        out.put_u8(self.encryption);
        for bytes in [&self.error, &self.mechanisms, &self.notification] {
            put_bytes(out, bytes);
        }
        put_bytes(out, &self.authentication);
        put_list(out, self.notices.iter(), |out, one| put_bytes(out, one));
        put_list(out, self.parameters.iter(), |out, one| put_bytes(out, one));
        put_list(out, self.results.iter(), |out, one| one.save(out));
    }

    pub(super) fn restore(saved: &mut Saved<'_>) -> Option<Answer> {
        let first = saved.time_or_none()?;
        let size = saved.u64()?;
        let (more_results, aborted) = (saved.flag()?, saved.flag()?);
        let process_id = match (saved.flag()?, saved.u32()?) {
            (true, id) => Some(id),
            (false, _) => None,
        };
        Some(Answer {
            first,
            size,
            more_results,
            aborted,
            process_id,
            transaction: saved.u8()?,
            encryption: saved.u8()?,
            error: saved.bytes(MAX_TEXT)?,
            mechanisms: saved.bytes(MAX_TEXT)?,
            notification: saved.bytes(MAX_TEXT)?,
            authentication: saved.bytes(MAX_AUTHENTICATION)?.into(),
            notices: saved.list(MAX_NOTICES, |saved| saved.bytes(MAX_TEXT))?,
            parameters: saved.list(MAX_PARAMETERS, |saved| saved.bytes(MAX_TEXT))?,
            results: saved.list(MAX_RESULTS, ResultSet::restore)?,
        })
    }
}

impl ResultSet {
    fn save(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.columns);
        put_bytes(out, &self.rows);
        put_bytes(out, &self.tag);
        out.put_u64(self.kept);
        out.put_u64(self.count);
        out.put_u8(self.cut.into());
        out.put_u8(self.suspended.into());
        out.put_u8(self.done.into());
        out.put_u8(self.copy.is_some().into());
        if let Some(copy) = &self.copy {
            out.put_u8(copy.kind);
            out.put_u8(copy.binary.into());
            out.put_u16(copy.columns);
            out.put_u64(copy.bytes);
            out.put_u64(copy.messages);
            put_bytes(out, &copy.failed);
        }
    }

    fn restore(saved: &mut Saved<'_>) -> Option<ResultSet> {
        let columns = saved.bytes(MAX_TEXT)?;
        let rows = saved.bytes(2 * MAX_ROW_BYTES)?.into();
        Some(ResultSet {
            columns,
            rows,
            tag: saved.bytes(MAX_TEXT)?,
            kept: saved.u64()?,
            count: saved.u64()?,
            cut: saved.flag()?,
            suspended: saved.flag()?,
            done: saved.flag()?,
            copy: match saved.flag()? {
                false => None,
                true => Some(Copy {
                    kind: saved.u8()?,
                    binary: saved.flag()?,
                    columns: saved.u16()?,
                    bytes: saved.u64()?,
                    messages: saved.u64()?,
                    failed: saved.bytes(MAX_TEXT)?,
                }),
            },
        })
    }
}
