//! One exchange: a request of one or several messages, and what the server answers.
//!
//! In: messages that `dissector` found to belong to it. Out: a [`Draft`]. Never: more than the caps
//! below; a password, or anything of a SASL exchange but the names of its mechanisms.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes};

use super::answer::Answer;
use super::{POSTGRESQL, render};
use crate::dissect::Draft;
use crate::dissect::intake::Message;
use crate::dissect::saved::{Saved, put_bytes, put_list};
use crate::item::{ItemError, Value};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Replies that one exchange can await: Parse, Bind, two Describe, Execute and Sync, with some room.
const MAX_STEPS: usize = 8;

/// Bytes of the name of a statement or portal; servers take 63.
const MAX_NAME: usize = 256;

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
    /// A request was not captured whose answer this may be.
    pub unsure: bool,
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
            unsure: false,
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
        let formats = self.formats.as_ref().map_or(0, Bytes::len);
        self.query.len() + self.body.len() + self.columns.len() + formats
    }

    /// Keeps only the beginning of what it says, for want of room.
    pub(super) fn shrink(&mut self) {
        const LEFT: usize = 256;
        self.columns = Bytes::new();
        for part in [&mut self.query, &mut self.body]
            .into_iter()
            .chain(&mut self.formats)
        {
            if part.len() > LEFT {
                *part = Bytes::copy_from_slice(part.get(..LEFT).unwrap_or_default());
                self.cut = true;
            }
        }
    }

    /// Whether one more message may join the request.
    pub(super) fn is_open(&self) -> bool {
        // Sync comes last and always joins.
        !self.closed && self.steps.len() + 1 < MAX_STEPS
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
        } else if self.unsure && self.answer.first.is_some() {
            (
                "dissection",
                "requests before this one were not captured, so the response may answer another one",
            )
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

/// A copy of a name, cut at [`MAX_NAME`].
pub(super) fn named(name: &[u8]) -> Bytes {
    Bytes::copy_from_slice(name.get(..MAX_NAME).unwrap_or(name))
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
            self.unsure,
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
        let (password_sent, holed) = (saved.flag()?, saved.flag()?);
        let (unsure, doubtful) = (saved.flag()?, saved.flag()?);
        let has_formats = saved.flag()?;
        Some(Exchange {
            command,
            steps,
            closed,
            query_known,
            cut,
            password_sent,
            holed,
            unsure,
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
