//! One stream of Redis: which side asks, where each direction stands, and which reply answers what.
//!
//! In: chunks and gaps. Out: one item for each command with its reply, for each message that the
//! server pushes, and for what stands alone. Never: the replication stream behind PSYNC, which is
//! passed over. Standard: the RESP specification: "a client can send multiple commands without
//! waiting" and the server replies in order, but for pushed messages and CLIENT REPLY.
//!
//! ```text
//!            a gap, or joined midway                two commands at once
//!   Exact ─────────────────────────▶ Alternating ─────────────────────────▶ Apart ◀──┐
//!     ▲                                   │                        even rounds │     │ uneven
//!     │                                   │                                    ▼     │ a gap
//!     └───────── the stream was quiet for a while before a command ───────── Batches ┘
//! ```
//!
//! Exact: every reply answers the oldest open command. Alternating: something was missed, and the
//! client was never seen to pipeline: a reply answers the one command that was sent last. Apart:
//! something was missed and the client pipelines, so commands and replies stay alone. Batches: the
//! client pipelines and was seen to await all replies before it goes on (`rounds`): a reply answers
//! the oldest open command, for as long as that stays so.

mod rounds;
mod saved;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use self::rounds::Rounds;
use super::command::{self, Words};
use super::message::{self, Alone, Damage, Message, Partial};
use super::parser::{Framer, Role, Step};
use super::recognise::{self, Found, Looks, Pushed};
use crate::dissect::{Dissector, GiveUp, Outcome, Output, Stream};
use crate::flow::{Chunk, Gap};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Commands of one stream that may await their replies; `redis-cli --pipe` sends without end.
const MAX_OPEN: usize = 16 * 1024;

/// Bytes that open commands may hold.
const MAX_OPEN_BYTES: usize = 4 * 1024 * 1024;

/// Replies that may wait for commands which are captured after them.
const MAX_EARLY: usize = 16;

/// Bytes that early replies may hold.
const MAX_EARLY_BYTES: usize = 1024 * 1024;

/// A reply that was captured before its command was not captured longer before it than this.
const MAX_REORDER: Duration = Duration::from_millis(200);

/// After so long a silence, no reply is on its way to a client that begins to speak.
const QUIET: Duration = Duration::from_secs(1);

/// Bytes without any message in one direction after which the stream is not Redis.
const MAX_LOST: u64 = 4 * 1024 * 1024;

/// How commands and replies find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pairing {
    Exact,
    Alternating,
    Apart,
    Batches,
}

/// What CLIENT REPLY asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replies {
    On,
    Off,
    /// The next command has no reply.
    SkipNext,
}

/// Where one direction stands.
#[derive(Debug)]
struct Side {
    framer: Framer,
    partial: Option<Partial>,
    /// Whether a gap, or the beginning of the capture, hid where messages begin.
    lost: bool,
    /// Bytes passed over since the last message.
    passed: u64,
    /// Whether a message may begin where the next chunk does.
    may_begin: bool,
}

/// State of one stream.
#[derive(Debug)]
pub(super) struct RedisDissector {
    /// Direction of the commands; `None` until the bytes tell.
    asks: Option<Direction>,
    commands: Side,
    replies: Side,
    pairing: Pairing,
    /// Whether the client was seen to send commands without awaiting replies.
    pipelined: bool,
    /// Whether bytes went missing since the last command.
    hole: bool,
    rounds: Rounds,
    open: VecDeque<Message>,
    open_bytes: usize,
    early: VecDeque<Message>,
    early_bytes: usize,
    /// Commands handed out for lack of room whose replies are still to come.
    expired: u64,
    /// What is asked for by CLIENT REPLY.
    wanted: Replies,
    /// Whether the stream is subscribed, so that RESP2 arrays may be pushed messages.
    subscribed: bool,
    /// Confirmations to come for the (un)subscribe command that was answered last.
    confirmations: u64,
    /// Whether MONITOR was answered.
    monitor: bool,
    /// Whether the stream has become one of replication.
    replicates: bool,
    /// Time of the last message of either side.
    last: Timestamp,
}

impl Side {
    fn new(role: Role, lost: bool) -> Side {
        Side {
            framer: Framer::new(role),
            partial: None,
            lost,
            passed: 0,
            may_begin: true,
        }
    }

    /// Forgets a message that cannot be read to its end, and hands out what there is of it.
    fn cut(&mut self, role: Role, damage: Damage) -> Option<Message> {
        self.framer = Framer::new(role);
        self.partial
            .take()
            .map(|partial| partial.into_message(damage))
    }
}

impl RedisDissector {
    /// A stream of which nothing was seen yet.
    pub(super) fn new(stream: &Stream) -> RedisDissector {
        let whole = stream.is_from_start();
        RedisDissector {
            asks: stream.knows_sides().then_some(Direction::ToServer),
            commands: Side::new(Role::Command, !whole),
            replies: Side::new(Role::Reply, !whole),
            pairing: match whole {
                true => Pairing::Exact,
                false => Pairing::Alternating,
            },
            pipelined: false,
            hole: !whole,
            rounds: Rounds::default(),
            open: VecDeque::new(),
            open_bytes: 0,
            early: VecDeque::new(),
            early_bytes: 0,
            expired: 0,
            wanted: Replies::On,
            subscribed: false,
            confirmations: 0,
            monitor: false,
            replicates: false,
            last: stream.first,
        }
    }

    fn asks(&self) -> Direction {
        self.asks.unwrap_or(Direction::ToServer)
    }

    fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Command => &mut self.commands,
            Role::Reply => &mut self.replies,
        }
    }

    /// Learns who asks from the first bytes of either side that tell.
    fn who_asks(&mut self, chunk: &Chunk) -> bool {
        let command = recognise::command(&chunk.bytes);
        let reply = recognise::reply(&chunk.bytes);
        self.asks = match (command, reply) {
            (Looks::Yes, _) => Some(chunk.direction),
            // An array of words, the first of which is no command we know.
            (Looks::Perhaps, Looks::Yes) => Some(Direction::ToServer),
            (_, Looks::Yes | Looks::Perhaps) => Some(chunk.direction.other()),
            (Looks::Perhaps, _) => Some(chunk.direction),
            _ => match recognise::find_command(&chunk.bytes) {
                Found::At(_) => Some(chunk.direction),
                Found::NotBefore(_) => None,
            },
        };
        self.asks.is_some()
    }

    /// Looks for the place where messages begin again; how many bytes were passed over.
    fn search(&mut self, role: Role, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let bytes = &chunk.bytes;
        let found = match role {
            Role::Command => recognise::find_command(bytes),
            Role::Reply => self.find_reply(chunk),
        };
        let quiet = chunk.ts.since(self.last) >= QUIET;
        let side = self.side(role);
        let passed = match found {
            Found::At(at) => {
                (side.lost, side.passed) = (false, 0);
                return match at {
                    0 => self.read(role, chunk, out),
                    at => Outcome::Consumed(at),
                };
            }
            Found::NotBefore(at) => at,
        };
        side.may_begin &= passed == 0 || quiet;
        side.passed = side.passed.saturating_add(passed as u64);
        if side.passed > MAX_LOST {
            return Outcome::GiveUp(GiveUp::Malformed);
        }
        Outcome::Consumed(passed)
    }

    /// A reply begins where a chunk does, when the client spoke or nobody did since the last one.
    ///
    /// Elements of a long reply look like replies: a place in its middle must not be taken.
    fn find_reply(&self, chunk: &Chunk) -> Found {
        let bytes = &chunk.bytes;
        let quiet = chunk.ts.since(self.last) >= QUIET;
        let pushed =
            recognise::pushed(bytes).is_some_and(|_| self.subscribed || bytes.starts_with(b">"));
        match recognise::reply(bytes) {
            Looks::Unsure => Found::NotBefore(0),
            Looks::Yes | Looks::Perhaps if self.replies.may_begin || quiet || pushed => {
                Found::At(0)
            }
            _ => Found::NotBefore(bytes.len()),
        }
    }

    /// Reads up to the end of one message.
    fn read(&mut self, role: Role, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let side = self.side(role);
        match side.framer.walk(&chunk.bytes) {
            Step::Took(0) => Outcome::Consumed(0),
            Step::Took(count) => {
                side.partial
                    .get_or_insert_with(|| Partial::new(chunk))
                    .push(chunk.bytes.get(..count).unwrap_or_default(), chunk.ordinal);
                Outcome::Consumed(count)
            }
            Step::End(count) => {
                let message = match side.partial.take() {
                    Some(mut partial) => {
                        partial.push(chunk.bytes.get(..count).unwrap_or_default(), chunk.ordinal);
                        partial.into_message(Damage::None)
                    }
                    None => Message {
                        bytes: crate::item::cut_body(&chunk.bytes.slice(..count)).0,
                        size: count as u64,
                        ts: chunk.ts,
                        ordinal: chunk.ordinal,
                        damage: Damage::None,
                    },
                };
                self.on_message(role, message, out);
                Outcome::Consumed(count)
            }
            Step::Broken => {
                if let Some(message) = side.cut(role, Damage::Malformed) {
                    self.on_message(role, message, out);
                }
                if self.pairing == Pairing::Exact {
                    return Outcome::GiveUp(GiveUp::Malformed);
                }
                self.lose(role, out);
                Outcome::Consumed(1)
            }
        }
    }

    fn on_message(&mut self, role: Role, message: Message, out: &mut dyn Output) {
        match role {
            Role::Command => self.on_command(message, out),
            Role::Reply => self.on_reply(message, out),
        }
    }

    fn on_command(&mut self, command: Message, out: &mut dyn Output) {
        let mut words = Words::of(&command.bytes);
        let Some(verb) = words.next() else {
            // An empty line or array: the server does not reply to it.
            return;
        };
        let reply_mode = if verb.eq_ignore_ascii_case(b"CLIENT")
            && words
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case(b"REPLY"))
        {
            words.next().map(|word| word.to_ascii_uppercase())
        } else {
            None
        };
        let wanted = match reply_mode.as_deref() {
            Some(b"ON") => Some(Replies::On),
            Some(b"OFF") => Some(Replies::Off),
            Some(b"SKIP") if self.wanted == Replies::On => Some(Replies::SkipNext),
            _ => None,
        };
        let silent = matches!(wanted, Some(Replies::Off | Replies::SkipNext))
            || (self.wanted != Replies::On && wanted != Some(Replies::On));
        self.wanted = match (wanted, self.wanted) {
            (Some(wanted), _) => wanted,
            (None, Replies::SkipNext) => Replies::On,
            (None, before) => before,
        };
        self.settle(&command, silent, out);
        self.last = command.ts;
        self.hole = false;
        self.replies.may_begin = true;
        if silent {
            out.item(message::command(self.asks(), command, Alone::Rightly));
        } else if self.pairing == Pairing::Apart {
            out.item(message::command(self.asks(), command, Alone::Ambiguous));
        } else {
            self.open(command, out);
        }
    }

    /// Decides, before a command is taken, how commands and replies find each other from here on.
    fn settle(&mut self, command: &Message, silent: bool, out: &mut dyn Output) {
        let lost = self.commands.lost || self.replies.lost;
        if !silent {
            let exact = self.pairing == Pairing::Exact;
            let open = exact.then_some(!self.open.is_empty() || self.expired > 0);
            self.rounds.command(&command.bytes, open, lost || self.hole);
        }
        if self.pairing == Pairing::Exact {
            return;
        }
        if command.ts.since(self.last) >= QUIET && !lost {
            self.hand_out_open(Alone::Unseen, out);
            self.pairing = Pairing::Exact;
            return;
        }
        match self.pairing {
            Pairing::Alternating if !self.open.is_empty() && self.hole => {
                self.hand_out_open(Alone::Unseen, out);
            }
            Pairing::Alternating if !self.open.is_empty() => {
                self.pipelined = true;
                self.pairing = Pairing::Apart;
                self.hand_out_open(Alone::Ambiguous, out);
            }
            Pairing::Batches if !silent && self.rounds.begins() && !self.open.is_empty() => {
                self.pairing = Pairing::Apart;
                self.hand_out_open(Alone::Ambiguous, out);
            }
            Pairing::Apart if !silent && !lost && self.rounds.in_step() => {
                self.hand_out_open(Alone::Unseen, out);
                self.pairing = Pairing::Batches;
            }
            _ => {}
        }
    }

    fn open(&mut self, command: Message, out: &mut dyn Output) {
        while let Some(first) = self.early.front() {
            if command.ts.since(first.ts) > MAX_REORDER {
                self.give_up_early(out);
            } else if let Some(reply) = self.early.pop_front() {
                self.early_bytes -= reply.bytes.len();
                return self.answer(command, reply, out);
            }
        }
        self.pipelined |= !self.open.is_empty();
        self.open_bytes += command.bytes.len();
        self.open.push_back(command.own());
        while self.open.len() > MAX_OPEN || self.open_bytes > MAX_OPEN_BYTES {
            let Some(oldest) = self.take_open() else {
                break;
            };
            self.expired += 1;
            out.item(message::command(self.asks(), oldest, Alone::Limit));
        }
    }

    fn take_open(&mut self) -> Option<Message> {
        let command = self.open.pop_front()?;
        self.open_bytes -= command.bytes.len();
        Some(command)
    }

    fn hand_out_open(&mut self, why: Alone, out: &mut dyn Output) {
        self.expired = 0;
        while let Some(command) = self.take_open() {
            out.item(message::command(self.asks(), command, why));
        }
    }

    fn on_reply(&mut self, reply: Message, out: &mut dyn Output) {
        self.last = reply.ts;
        if self.is_pushed(&reply) {
            out.item(message::reply(self.asks(), reply, true, Alone::Rightly));
            return;
        }
        match recognise::pushed(&reply.bytes) {
            // Perhaps one of many that a single command has.
            Some(_) => self.rounds.miss(),
            None => {
                let exact = self.pairing == Pairing::Exact;
                self.rounds.reply(&reply.bytes, exact);
            }
        }
        if self.expired > 0 {
            self.expired -= 1;
            out.item(message::reply(self.asks(), reply, false, Alone::Limit));
            return;
        }
        if let Some(command) = self.take_open() {
            return self.answer(command, reply, out);
        }
        match self.pairing {
            Pairing::Exact => self.wait_for_command(reply, out),
            Pairing::Alternating => {
                out.item(message::reply(self.asks(), reply, false, Alone::Unseen));
            }
            Pairing::Apart | Pairing::Batches => {
                self.pairing = Pairing::Apart;
                out.item(message::reply(self.asks(), reply, false, Alone::Ambiguous));
            }
        }
    }

    /// Keeps a reply for a while whose command may have been captured late.
    fn wait_for_command(&mut self, reply: Message, out: &mut dyn Output) {
        let now = reply.ts;
        self.early_bytes += reply.bytes.len();
        self.early.push_back(reply.own());
        while self.early.len() > MAX_EARLY
            || self.early_bytes > MAX_EARLY_BYTES
            || self
                .early
                .front()
                .is_some_and(|first| now.since(first.ts) > MAX_REORDER)
        {
            self.give_up_early(out);
        }
    }

    fn give_up_early(&mut self, out: &mut dyn Output) {
        if let Some(reply) = self.early.pop_front() {
            self.early_bytes -= reply.bytes.len();
            out.item(message::reply(self.asks(), reply, false, Alone::Unseen));
        }
    }

    /// Whether the server sent this by itself; takes note of what it says about subscriptions.
    fn is_pushed(&mut self, reply: &Message) -> bool {
        if self.monitor && recognise::is_monitor_line(&reply.bytes) {
            return true;
        }
        let push_type = reply.bytes.starts_with(b">");
        match recognise::pushed(&reply.bytes) {
            None => false,
            Some(Pushed::Message) => push_type || self.subscribed || self.open.is_empty(),
            Some(Pushed::Other) => true,
            Some(Pushed::Confirmation(count)) => {
                let answers = self.confirms_open(reply);
                let pushed = push_type || self.subscribed || self.confirmations > 0;
                if pushed && !answers {
                    self.subscribed = count != Some(0);
                    self.confirmations = self.confirmations.saturating_sub(1);
                }
                pushed && !answers
            }
        }
    }

    /// Whether a confirmation is the reply to the oldest open command.
    fn confirms_open(&self, reply: &Message) -> bool {
        match (self.open.front(), first_word(&reply.bytes)) {
            (Some(open), Some(kind)) if self.confirmations == 0 => {
                let verb = command::Verb::of(&open.bytes);
                verb.as_bytes().eq_ignore_ascii_case(kind)
            }
            _ => false,
        }
    }

    /// Pairs a command with its reply, and takes note of what they change.
    fn answer(&mut self, command: Message, reply: Message, out: &mut dyn Output) {
        let mut pushed = false;
        match command::Verb::of(&command.bytes).as_bytes() {
            b"MONITOR" => self.monitor = reply.bytes.starts_with(b"+OK"),
            b"RESET" if reply.bytes.starts_with(b"+RESET") => {
                (self.monitor, self.subscribed, self.wanted) = (false, false, Replies::On);
            }
            b"PSYNC" | b"SYNC" => {
                self.replicates = reply.bytes.starts_with(b"+FULLRESYNC")
                    || reply.bytes.starts_with(b"+CONTINUE")
                    || reply.bytes.starts_with(b"$");
            }
            b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE"
            | b"SUNSUBSCRIBE" => {
                if let Some(Pushed::Confirmation(count)) = recognise::pushed(&reply.bytes) {
                    let names = Words::of(&command.bytes).skip(1).count() as u64;
                    self.confirmations = names.saturating_sub(1);
                    self.subscribed = count != Some(0);
                    pushed = true;
                }
            }
            _ => {}
        }
        out.item(message::pair(self.asks(), command, reply, pushed));
    }

    /// Takes note that it is unknown where the next message of a side begins.
    fn lose(&mut self, role: Role, out: &mut dyn Output) {
        if let Some(message) = self.side(role).cut(role, Damage::Lost) {
            self.on_message(role, message, out);
        }
        let side = self.side(role);
        (side.lost, side.may_begin, side.passed) = (true, false, 0);
        self.hole = true;
        self.rounds.miss();
        self.pairing = match self.pipelined {
            true => Pairing::Apart,
            false => Pairing::Alternating,
        };
        while !self.early.is_empty() {
            self.give_up_early(out);
        }
        // Commands before a gap among the commands are still answered first and in order.
        if role == Role::Reply && self.pairing == Pairing::Apart {
            self.hand_out_open(Alone::Ambiguous, out);
        }
    }
}

/// The first word of a reply that is an aggregate: its third line.
fn first_word(bytes: &[u8]) -> Option<&[u8]> {
    let mut lines = bytes.split(|byte| *byte == b'\n').skip(2);
    Some(lines.next()?.trim_ascii_end())
}

impl Dissector for RedisDissector {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        if self.replicates {
            return Outcome::Consumed(chunk.bytes.len());
        }
        if self.asks.is_none() && !self.who_asks(chunk) {
            self.commands.passed = self
                .commands
                .passed
                .saturating_add(chunk.bytes.len() as u64);
            if self.commands.passed > MAX_LOST {
                return Outcome::GiveUp(GiveUp::Malformed);
            }
            return Outcome::Consumed(chunk.bytes.len());
        }
        let role = match chunk.direction == self.asks() {
            true => Role::Command,
            false => Role::Reply,
        };
        match self.side(role).lost {
            true => self.search(role, chunk, out),
            false => self.read(role, chunk, out),
        }
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        let role = match gap.direction == self.asks() {
            true => Role::Command,
            false => Role::Reply,
        };
        let side = self.side(role);
        let within = !side.lost && side.partial.is_some() && side.framer.gap(gap.len);
        match (within, &mut side.partial) {
            (true, Some(partial)) => partial.gap(gap.len),
            _ => self.lose(role, out),
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, _direction: Direction, _rest: &Bytes, _out: &mut dyn Output) {}

    fn on_end(&mut self, out: &mut dyn Output) {
        for role in [Role::Command, Role::Reply] {
            if let Some(message) = self.side(role).cut(role, Damage::Ended) {
                self.on_message(role, message, out);
            }
        }
        self.hand_out_open(Alone::Unseen, out);
        while !self.early.is_empty() {
            self.give_up_early(out);
        }
    }

    fn save(&self) -> Vec<u8> {
        self.to_bytes()
    }
}
