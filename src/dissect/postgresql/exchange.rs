//! One exchange: a request of one or several messages, and what the server answers.
//!
//! In: messages that `dissector` found to belong to it. Out: a [`Draft`]. Never: more than the caps
//! below; a password, or anything of a SASL exchange but the names of its mechanisms.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes};

use super::POSTGRESQL;
use super::render;
use crate::dissect::Draft;
use crate::dissect::intake::Message;
use crate::dissect::saved::{Saved, put_bytes, put_list, put_time};
use crate::item::{ItemError, Value};
use crate::packet::Direction;
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

/// Replies that one exchange can await.
const MAX_STEPS: usize = 8;

/// What a request is called: the last of its messages that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Bind,
    CancelRequest,
    Close,
    Describe,
    Execute,
    FunctionCall,
    GssEncRequest,
    Parse,
    Query,
    SslRequest,
    StartupMessage,
    /// A Sync of its own; no item.
    Sync,
    Terminate,
    /// No request was seen.
    Unseen,
}

impl Command {
    const ALL: [Command; 14] = [
        Command::Bind,
        Command::CancelRequest,
        Command::Close,
        Command::Describe,
        Command::Execute,
        Command::FunctionCall,
        Command::GssEncRequest,
        Command::Parse,
        Command::Query,
        Command::SslRequest,
        Command::StartupMessage,
        Command::Sync,
        Command::Terminate,
        Command::Unseen,
    ];

    /// Its name in the documentation.
    pub(super) fn name(self) -> &'static str {
        match self {
            Command::Bind => "Bind",
            Command::CancelRequest => "CancelRequest",
            Command::Close => "Close",
            Command::Describe => "Describe",
            Command::Execute => "Execute",
            Command::FunctionCall => "FunctionCall",
            Command::GssEncRequest => "GSSENCRequest",
            Command::Parse => "Parse",
            Command::Query => "Query",
            Command::SslRequest => "SSLRequest",
            Command::StartupMessage => "StartupMessage",
            Command::Sync => "Sync",
            Command::Terminate => "Terminate",
            Command::Unseen => "",
        }
    }

    /// Whether it is of the extended query protocol.
    pub(super) fn is_extended(self) -> bool {
        matches!(
            self,
            Command::Bind | Command::Close | Command::Describe | Command::Execute | Command::Parse
        )
    }
}

/// A reply that is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Parse,
    Bind,
    DescribePortal,
    DescribeStatement,
    Execute,
    Close,
    /// The byte that answers an SSLRequest or GSSENCRequest.
    Encryption,
    /// All up to ReadyForQuery: a Query, a FunctionCall, the start.
    Whole,
    /// ReadyForQuery alone.
    Sync,
}

impl Step {
    const ALL: [Step; 9] = [
        Step::Parse,
        Step::Bind,
        Step::DescribePortal,
        Step::DescribeStatement,
        Step::Execute,
        Step::Close,
        Step::Encryption,
        Step::Whole,
        Step::Sync,
    ];

    /// Whether ReadyForQuery ends it.
    pub(super) fn is_ready(self) -> bool {
        matches!(self, Step::Sync | Step::Whole)
    }
}

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

/// One exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    pub command: Command,
    pub steps: VecDeque<Step>,
    /// No message can join the request any more.
    pub closed: bool,
    pub start: Timestamp,
    pub ordinal: u64,
    pub request_size: u64,
    pub query: Bytes,
    /// Whether the text of the query, if it has one, is known.
    pub query_known: bool,
    /// Something of the request is not kept.
    pub cut: bool,
    pub statement: Bytes,
    pub portal: Bytes,
    /// Body of the Bind message, or of the start-up message behind its code.
    pub body: Bytes,
    /// Formats that results were asked for, two bytes each; see [`super::parser::Formats`].
    pub formats: Option<Bytes>,
    /// Most rows of an Execute, protocol version of a start, process of a CancelRequest.
    pub number: u32,
    pub password_sent: bool,
    /// SASL mechanism that the client chose.
    pub mechanism: Bytes,
    pub answer: Answer,
    /// Body of the RowDescription that the statement is known by.
    pub columns: Bytes,
    /// The last RowDescription was of the statement; told on at once, and not saved.
    pub statement_described: bool,
    /// Bytes of the request or the response were not captured.
    pub holed: bool,
    /// The capture missed part of the answer: it may already be over.
    pub doubtful: bool,
}

/// Who is connected to what.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub user: Bytes,
    pub database: Bytes,
}

impl Exchange {
    /// A request that begins with `message`.
    pub(super) fn new(command: Command, message: &Message) -> Exchange {
        Exchange {
            command,
            steps: VecDeque::new(),
            closed: false,
            start: message.ts,
            ordinal: message.ordinal,
            request_size: message.size,
            query: Bytes::new(),
            query_known: false,
            cut: false,
            statement: Bytes::new(),
            portal: Bytes::new(),
            body: Bytes::new(),
            formats: None,
            number: 0,
            password_sent: false,
            mechanism: Bytes::new(),
            answer: Answer::default(),
            columns: Bytes::new(),
            statement_described: false,
            holed: message.holed,
            doubtful: false,
        }
    }

    /// An answer to a request that nobody saw; `message` is its first.
    pub(super) fn unseen(message: &Message) -> Exchange {
        Exchange {
            request_size: 0,
            holed: false,
            ..Exchange::new(Command::Unseen, message)
        }
    }

    /// One more message of the request.
    pub(super) fn join(&mut self, command: Command, message: &Message) {
        self.command = command;
        self.request_size += message.size;
        self.ordinal = message.ordinal;
        self.holed |= message.holed;
    }

    /// Bytes that the request keeps.
    pub(super) fn weight(&self) -> usize {
        let texts = self.query.len() + self.statement.len() + self.portal.len();
        texts + self.body.len() + self.columns.len()
    }

    /// Keeps only the beginning of what it says, for want of room.
    pub(super) fn shrink(&mut self) {
        const LEFT: usize = 256;
        for part in [&mut self.query, &mut self.body] {
            if part.len() > LEFT {
                *part = Bytes::copy_from_slice(part.get(..LEFT).unwrap_or_default());
                self.cut = true;
            }
        }
    }

    /// Whether ReadyForQuery is one of the replies it awaits.
    pub(super) fn awaits_ready(&self) -> bool {
        self.steps.iter().any(|step| step.is_ready())
    }

    /// Notes one message of the answer.
    pub(super) fn touch(&mut self, message: &Message) {
        self.answer.first.get_or_insert(message.ts);
        self.answer.size += message.size;
        self.ordinal = message.ordinal;
        self.holed |= message.holed;
    }

    /// The result that rows go to.
    pub(super) fn result(&mut self) -> &mut ResultSet {
        let results = &mut self.answer.results;
        if results.last().is_none_or(|result| result.done) {
            if results.len() < MAX_RESULTS {
                results.push(ResultSet::default());
            } else if let Some(last) = results.last_mut() {
                self.answer.more_results = true;
                *last = ResultSet::default();
            }
        }
        results.last_mut().expect("one is there or was just pushed")
    }

    /// Counts a row and keeps it while there is room.
    pub(super) fn row(&mut self, body: &[u8], is_cut: bool) {
        let held: usize = self.answer.results.iter().map(|one| one.rows.len()).sum();
        let kept: u64 = self.answer.results.iter().map(|one| one.kept).sum();
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
        if self.answer.notices.len() < MAX_NOTICES {
            self.answer.notices.push(kept(body));
        }
    }

    /// Keeps the report of a parameter while there is room.
    pub(super) fn parameter(&mut self, body: &[u8]) {
        const MAX_PARAMETER: usize = 1024;
        if self.answer.parameters.len() < MAX_PARAMETERS && body.len() <= MAX_PARAMETER {
            self.answer.parameters.push(Bytes::copy_from_slice(body));
        }
    }

    /// Notes an Authentication message.
    pub(super) fn authentication(&mut self, code: u32, rest: &[u8]) {
        const SASL: u32 = 10;
        if self.answer.authentication.len() < MAX_AUTHENTICATION {
            let code = u8::try_from(code).unwrap_or(u8::MAX);
            self.answer.authentication.push(code);
        }
        if code == SASL {
            self.answer.mechanisms = kept(rest);
        }
    }

    /// The item.
    pub(super) fn draft(self, session: &Session, asks: Direction) -> Draft {
        let error = self.error();
        let elapsed = self
            .answer
            .first
            .map_or(0, |first| first.since(self.start).as_nanos());
        Draft {
            kind: &POSTGRESQL,
            from_client: asks == Direction::ToServer,
            start: self.start,
            elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
            request_size: self.request_size,
            response_size: self.answer.size,
            request: match self.command {
                Command::Unseen => Value::Null,
                _ => render::request(&self, session),
            },
            response: match self.answer.first.is_some() || self.answer.aborted {
                true => render::response(&self),
                false => Value::Null,
            },
            data: Value::Null,
            error,
            ordinal: self.ordinal,
        }
    }

    /// Whether the answer may come without a request: a notice, a notification, a last word.
    fn is_unasked(&self) -> bool {
        let answer = &self.answer;
        answer.results.is_empty() && answer.authentication.is_empty() && answer.transaction == 0
    }

    fn error(&self) -> Option<ItemError> {
        let (kind, msg) = if self.holed || self.doubtful {
            ("dissection", "bytes of the exchange were not captured")
        } else if self.command == Command::Unseen {
            if self.is_unasked() {
                return None;
            }
            (
                "pair-not-found",
                "no request for this response was captured",
            )
        } else if self.steps.is_empty() || self.answer.aborted {
            return None;
        } else if self.answer.first.is_some() {
            ("connection", "the stream ended before the response did")
        } else {
            ("timeout", "no response to this request was captured")
        };
        Some(ItemError {
            kind,
            msg: msg.into(),
        })
    }
}

/// A copy that may be kept for long, cut at [`MAX_TEXT`].
pub(super) fn kept(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes.get(..MAX_TEXT).unwrap_or(bytes))
}

/// Saving and restoring, the fields in their order.
impl Exchange {
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.put_u8(index_of(&Command::ALL, self.command));
        put_list(out, self.steps.iter(), |out, step| {
            out.put_u8(index_of(&Step::ALL, *step));
        });
        for flag in [
            self.closed,
            self.query_known,
            self.cut,
            self.password_sent,
            self.holed,
            self.doubtful,
            self.formats.is_some(),
        ] {
            out.put_u8(flag.into());
        }
        out.put_i64(self.start.nanos());
        out.put_u64(self.ordinal);
        out.put_u64(self.request_size);
        out.put_u32(self.number);
        for bytes in [
            &self.query,
            &self.statement,
            &self.portal,
            &self.body,
            self.formats.as_ref().unwrap_or(&Bytes::new()),
            &self.mechanism,
            &self.columns,
        ] {
            put_bytes(out, bytes);
        }
        self.answer.save(out);
    }

    pub(super) fn restore(saved: &mut Saved<'_>) -> Option<Exchange> {
        const MOST: usize = super::dissector::MAX_KEPT;
        let command = *Command::ALL.get(usize::from(saved.u8()?))?;
        let steps = saved
            .list(MAX_STEPS, |saved| {
                Step::ALL.get(usize::from(saved.u8()?)).copied()
            })?
            .into();
        let (closed, query_known, cut) = (saved.flag()?, saved.flag()?, saved.flag()?);
        let (password_sent, holed, doubtful) = (saved.flag()?, saved.flag()?, saved.flag()?);
        let has_formats = saved.flag()?;
        Some(Exchange {
            command,
            steps,
            closed,
            query_known,
            cut,
            password_sent,
            holed,
            doubtful,
            start: saved.time()?,
            ordinal: saved.u64()?,
            request_size: saved.u64()?,
            number: saved.u32()?,
            query: saved.bytes(MOST)?,
            statement: saved.bytes(MOST)?,
            portal: saved.bytes(MOST)?,
            body: saved.bytes(MOST)?,
            formats: Some(saved.bytes(MOST)?).filter(|_| has_formats),
            mechanism: saved.bytes(MOST)?,
            columns: saved.bytes(MOST)?,
            statement_described: false,
            answer: Answer::restore(saved)?,
        })
    }
}

fn index_of<T: PartialEq>(all: &[T], one: T) -> u8 {
    let index = all.iter().position(|other| *other == one);
    index.and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}

impl Answer {
    fn save(&self, out: &mut Vec<u8>) {
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

    fn restore(saved: &mut Saved<'_>) -> Option<Answer> {
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
