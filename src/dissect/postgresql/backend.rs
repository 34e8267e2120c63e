//! What the server sends: answers, and what it says on its own.
//!
//! In: messages of the server. Out: answers of the exchanges in `open`, finished ones handed out.
//! Never: a guess about an answer whose request was not seen; it makes an item without a request.

use super::answer::{Copy, kept};
use super::dissector::Postgres;
use super::exchange::{Command, Exchange, Step};
use super::parser::{self, HEADER};
use crate::bytes::Reader;
use crate::dissect::Output;
use crate::dissect::intake::Message;

impl Postgres {
    /// Takes one message of the server.
    pub(super) fn on_response(&mut self, message: &Message, out: &mut dyn Output) {
        let kind = message.bytes.first().copied().unwrap_or_default();
        if self.expired > 0 {
            self.expired -= u64::from(kind == b'Z');
            return;
        }
        let body = parser::body(&message.bytes);
        match kind {
            b'N' | b'S' => self.aside(kind, message, body, out),
            b'A' => self.notification(message, body, out),
            b'Z' => self.ready(message, body, out),
            b'E' => self.error(message, body, out),
            _ => {
                let Some(exchange) = self.answered(kind) else {
                    return self.unseen(kind, message, body);
                };
                exchange.touch(message);
                answer(exchange, kind, message, body);
                if kind == b'T' && exchange.statement_described {
                    exchange.statement_described = false;
                    let name = exchange.statement.clone();
                    self.catalog.describe(&name, kept(body));
                }
                self.after(kind);
                self.settle(out);
            }
        }
    }

    /// What a message of the server changes beside its exchange.
    fn after(&mut self, kind: u8) {
        if matches!(kind, b'G' | b'W') {
            self.copying = true;
            // A Sync that came with the Execute is lost on a server that awaits rows.
            if let Some(first) = self.open.front_mut()
                && first.steps.back() == Some(&Step::Sync)
            {
                first.steps.pop_back();
                first.closed = false;
            }
            while self
                .open
                .get(1)
                .is_some_and(|one| one.command == Command::Sync)
            {
                self.open.remove(1);
            }
        }
    }

    /// The exchange that a message of this type belongs to, with the replies before it crossed off.
    fn answered(&mut self, kind: u8) -> Option<&mut Exchange> {
        if self.unseen.is_some() {
            return None;
        }
        let at = self.open.iter().position(|one| !one.steps.is_empty())?;
        let exchange = self.open.get_mut(at)?;
        let place = exchange.steps.iter().position(|step| fits(*step, kind))?;
        // Replies that were crossed over are in a gap.
        exchange.steps.drain(..place);
        Some(exchange)
    }

    /// An answer without a request: kept until it is over.
    fn unseen(&mut self, kind: u8, message: &Message, body: &[u8]) {
        let exchange = self
            .unseen
            .get_or_insert_with(|| Box::new(Exchange::unseen(message)));
        exchange.touch(message);
        answer(exchange, kind, message, body);
    }

    /// ReadyForQuery ends all up to the first request that awaits it.
    fn ready(&mut self, message: &Message, body: &[u8], out: &mut dyn Output) {
        self.copying = false;
        let status = body.first().copied().unwrap_or_default();
        if let Some(unseen) = &mut self.unseen {
            unseen.touch(message);
            unseen.answer.transaction = status;
            self.answered_unseen(out);
            // Answers that came before in one batch belong to a request whose answer has begun, so
            // that this ends both.
            let begun = |one: &Exchange| one.answer.first.is_some() && !one.steps.is_empty();
            if !self.open.iter().any(begun) {
                return;
            }
        }
        let Some(at) = self.open.iter().position(Exchange::awaits_ready) else {
            return;
        };
        for _ in 0..at {
            if let Some(skipped) = self.open.front_mut() {
                skipped.abort();
            }
            self.hand_out(out);
        }
        if let Some(exchange) = self.open.front_mut() {
            exchange.touch(message);
            exchange.answer.transaction = status;
            exchange.doubtful = false;
            let unanswered = exchange.steps.iter().any(|step| !step.is_ready());
            if unanswered && exchange.answer.error.is_empty() {
                exchange.answer.aborted = true;
            }
            exchange.steps.clear();
            exchange.closed = true;
        }
        self.settle(out);
        self.late &= !self.open.is_empty();
    }

    /// An answer without a request is over: those that follow belong to the requests that were seen.
    fn answered_unseen(&mut self, out: &mut dyn Output) {
        (self.doubts, self.late) = (0, false);
        self.hand_out_unseen(out);
    }

    fn error(&mut self, message: &Message, body: &[u8], out: &mut dyn Output) {
        self.copying = false;
        // Servers since 9.6 give the severity untranslated as `V`.
        let severity = match parser::error_field(body, b'V') {
            [] => parser::error_field(body, b'S'),
            severity => severity,
        };
        let is_last = matches!(severity, b"FATAL" | b"PANIC");
        let waits = self.open.iter().position(|one| !one.steps.is_empty());
        let exchange = match waits.filter(|_| self.unseen.is_none()) {
            Some(at) => self.open.get_mut(at),
            None => None,
        };
        let Some(exchange) = exchange else {
            self.unseen(b'E', message, body);
            if is_last {
                self.answered_unseen(out);
            }
            return;
        };
        exchange.touch(message);
        exchange.answer.error = kept(body);
        exchange.end_result();
        if is_last {
            exchange.steps.clear();
            exchange.closed = true;
        } else {
            // "the backend ... reads and discards messages until a Sync is reached"
            exchange.steps.retain(|step| step.is_ready());
        }
        self.settle(out);
    }

    /// A notice, or the new value of a parameter.
    fn aside(&mut self, kind: u8, message: &Message, body: &[u8], out: &mut dyn Output) {
        let waits = self.open.iter().position(|one| !one.steps.is_empty());
        let exchange = match (&mut self.unseen, waits) {
            (Some(unseen), _) => Some(&mut **unseen),
            (None, Some(at)) => self.open.get_mut(at),
            (None, None) => None,
        };
        match exchange {
            Some(exchange) => {
                exchange.touch(message);
                answer(exchange, kind, message, body);
            }
            // A parameter that changes by itself (a reload) tells nothing about a request.
            None if kind == b'S' => {}
            None => {
                let mut exchange = Exchange::unseen(message);
                exchange.touch(message);
                exchange.answer.notice(body);
                self.emit(exchange, out);
            }
        }
    }

    fn notification(&mut self, message: &Message, body: &[u8], out: &mut dyn Output) {
        let mut exchange = Exchange::unseen(message);
        exchange.touch(message);
        exchange.answer.notification = kept(body);
        self.emit(exchange, out);
    }
}

/// Whether a message of this type can answer a step.
fn fits(step: Step, kind: u8) -> bool {
    match step {
        Step::Parse => kind == b'1',
        Step::Bind => kind == b'2',
        Step::Close => kind == b'3',
        Step::DescribePortal => matches!(kind, b'T' | b'n'),
        Step::DescribeStatement => matches!(kind, b't' | b'T' | b'n'),
        Step::Execute => matches!(
            kind,
            b'D' | b'C' | b'I' | b's' | b'G' | b'H' | b'W' | b'd' | b'c'
        ),
        Step::Whole => !matches!(kind, b'1' | b'2' | b'3' | b't' | b'n' | b's'),
        Step::Encryption | Step::Sync => false,
    }
}

/// Notes what a message says, and crosses off the reply that it ends.
fn answer(exchange: &mut Exchange, kind: u8, message: &Message, body: &[u8]) {
    let mut reader = Reader::new(body);
    let step = exchange.steps.front().copied();
    match kind {
        b'1' | b'2' | b'3' | b'n' => exchange.end_step(),
        b'T' => match step {
            Some(Step::DescribePortal | Step::DescribeStatement) => {
                exchange.answer.result().columns = kept(body);
                exchange.statement_described = step == Some(Step::DescribeStatement);
                exchange.end_step();
            }
            _ => exchange.answer.result().columns = kept(body),
        },
        b'D' => exchange.answer.row(body, message.is_cut()),
        // The value that a function gave is a row of one.
        b'V' => exchange
            .answer
            .row(&[&[0, 1], body].concat(), message.is_cut()),
        b'C' | b'I' | b's' => {
            let result = exchange.answer.result();
            if kind == b'C' {
                result.tag = kept(parser::text(&mut reader).unwrap_or_default());
            }
            result.suspended = kind == b's';
            result.done = true;
            if step == Some(Step::Execute) {
                exchange.end_step();
            }
        }
        b'G' | b'H' | b'W' => {
            exchange.answer.result().copy = Some(Copy {
                kind,
                binary: reader.u8() == Ok(1),
                columns: reader.u16().unwrap_or_default(),
                ..Copy::default()
            });
        }
        b'd' => {
            if let Some(copy) = exchange.copy_mut() {
                copy.bytes += message.size.saturating_sub(HEADER as u64);
                copy.messages += 1;
            }
        }
        b'R' => {
            let code = reader.u32().unwrap_or(u32::MAX);
            exchange.answer.authentication(code, reader.rest());
        }
        b'K' => exchange.answer.process_id = reader.u32().ok(),
        b'S' => exchange.answer.parameter(body),
        b'N' => exchange.answer.notice(body),
        b'E' => {
            exchange.answer.error = kept(body);
            exchange.end_result();
        }
        _ => {}
    }
}

impl Exchange {
    fn end_step(&mut self) {
        self.steps.pop_front();
    }

    fn end_result(&mut self) {
        if let Some(result) = self.answer.results.last_mut() {
            result.done = true;
        }
    }

    /// The COPY that goes on.
    pub(super) fn copy_mut(&mut self) -> Option<&mut Copy> {
        let result = self.answer.results.last_mut()?;
        result.copy.as_mut().filter(|_| !result.done)
    }

    /// The server skipped it for an error before it.
    fn abort(&mut self) {
        if !self.steps.is_empty() && self.answer.error.is_empty() {
            self.answer.aborted = true;
        }
        self.steps.clear();
    }
}
