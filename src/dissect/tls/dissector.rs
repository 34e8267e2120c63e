//! One connection: records into handshakes, and with secrets into what they carry.
//!
//! In: chunks. Out: an item a handshake, an item an error alert, and the items of the conversation
//! inside. A direction whose secret is missing is left alone once its handshake is read. Never:
//! keys in a saved state; the number of records is saved, and the secrets are looked up again.

use bytes::Bytes;

use super::TLS;
use super::cipher::{Opened, Opener};
use super::exchange::{Alert, Exchange, Moment};
use super::half::{Cover, Half, Loss, Record, Stage};
use super::handshake::{
    self, CERTIFICATE, CLIENT_HELLO, ENCRYPTED_EXTENSIONS, END_OF_EARLY_DATA, FINISHED, KEY_UPDATE,
    Message, SERVER_HELLO, SERVER_HELLO_DONE,
};
use super::hello::{self, ClientHello, ServerHello};
use super::inner::Inner;
use super::keys::{self, Side, Suite};
use super::record::{ContentType, HEADER, Head, MAX_PAYLOAD};
use super::secrets::Label;
use crate::dissect::{Dissector, GiveUp, Outcome, Output, Protocols};
use crate::flow::{Chunk, Gap, StreamInfo};
use crate::packet::Direction;

/// Numbers that are tried for the first record after lost packets; a lost window of 64 KiB has
/// fewer records in all but strange traffic.
const MAX_LOST_RECORDS: u64 = 256;

/// Bytes after a gap in which the next record must be found: two of the longest.
const MAX_SEARCH: u64 = 2 * (HEADER + MAX_PAYLOAD) as u64;

/// KeyUpdates of one direction; each costs a derivation when a saved state is restored.
const MAX_UPDATES: u32 = 1 << 16;

/// What both hellos agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) is_13: bool,
    /// The suite, 0 when it is not read.
    pub(super) suite: u16,
    /// Secrets are logged under it; unknown when the ClientHello was not seen.
    pub(super) client_random: Option<[u8; 32]>,
    pub(super) server_random: [u8; 32],
    pub(super) encrypt_then_mac: bool,
}

/// State of one connection.
pub(super) struct TlsDissector {
    pub(super) info: StreamInfo,
    /// What to look for inside, and the secrets; `None` until [`Dissector::equip`].
    protocols: Option<Protocols>,
    pub(super) exchange: Exchange,
    pub(super) session: Option<Session>,
    /// Direction of the ClientHello.
    pub(super) asking: Direction,
    pub(super) to_server: Half,
    pub(super) to_client: Half,
    pub(super) inner: Inner,
    /// [`super::secrets::Secrets::generation`] when secrets were last looked for; not since a
    /// restore.
    looked_at: Option<u64>,
    /// Waiting bytes as the secrets' budget knows them.
    kept: usize,
}

impl Drop for TlsDissector {
    fn drop(&mut self) {
        if let Some(protocols) = &self.protocols {
            protocols.secrets().keep(self.kept, 0);
        }
    }
}

impl TlsDissector {
    /// A connection of which nothing was seen yet; `note` as [`Inner::expect`] takes it.
    pub(super) fn new(info: &StreamInfo, note: &[u8]) -> TlsDissector {
        let mut inner = Inner::default();
        inner.expect(note);
        TlsDissector {
            info: *info,
            protocols: None,
            exchange: Exchange::default(),
            session: None,
            asking: Direction::ToServer,
            to_server: Half::default(),
            to_client: Half::default(),
            inner,
            looked_at: None,
            kept: 0,
        }
    }

    pub(super) fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn is_13(&self) -> bool {
        self.session.is_some_and(|session| session.is_13)
    }

    fn record(&mut self, direction: Direction, record: &Record, out: &mut dyn Output) {
        self.look_for_secrets(out);
        // TLS 1.3 shows protected records as application data; others are plain.
        let plain = self.is_13() && record.head.kind != ContentType::ApplicationData;
        match self.half(direction).cover {
            Cover::Clear => self.plain(direction, record, out),
            Cover::Sealed | Cover::Open(_) | Cover::Trial if plain => {
                self.plain(direction, record, out);
            }
            Cover::Sealed => self.wait(direction, record, out),
            Cover::Open(_) | Cover::Trial => self.protected(direction, record, out),
            Cover::Lost => {}
        }
        self.finish_if_done(record.at, out);
        self.account();
    }

    /// Tells the budget of all streams what waits in this one.
    fn account(&mut self) {
        let now = self.to_server.waiting_bytes + self.to_client.waiting_bytes;
        if now != self.kept
            && let Some(protocols) = &self.protocols
        {
            protocols.secrets().keep(self.kept, now);
            self.kept = now;
        }
    }

    /// A record that is not protected.
    fn plain(&mut self, direction: Direction, record: &Record, out: &mut dyn Output) {
        match record.head.kind {
            ContentType::Handshake => {
                self.messages(direction, &record.payload, false, record.at, out);
            }
            ContentType::Alert => self.alert(direction, &record.payload, record.at, out),
            ContentType::ChangeCipherSpec => self.change_cipher(direction, record.at, out),
            ContentType::ApplicationData => {
                // Early data comes before the ServerHello says which suite protects it.
                let early = direction == self.asking && self.offers_early_data();
                if early && self.session.is_none() {
                    self.half(direction).seal(Stage::Early);
                    self.wait(direction, record, out);
                } else {
                    self.lose(direction, record.at, out);
                }
            }
            ContentType::Heartbeat => {}
        }
    }

    fn offers_early_data(&self) -> bool {
        ClientHello::parse(&self.exchange.client_hello)
            .is_ok_and(|hello| hello.extensions.has(hello::EARLY_DATA))
    }

    fn wait(&mut self, direction: Direction, record: &Record, out: &mut dyn Output) {
        let may_come = self.protocols.as_ref().is_some_and(|protocols| {
            let secrets = protocols.secrets();
            // What comes before the ServerHello cannot be looked up yet.
            !secrets.is_full() && (secrets.is_expected() || self.session.is_none())
        });
        if !may_come || !self.half(direction).wait(record) {
            self.lose(direction, record.at, out);
        }
    }

    fn lose(&mut self, direction: Direction, at: Moment, out: &mut dyn Output) {
        self.half(direction).lose();
        if let Some(protocols) = &self.protocols {
            protocols.secrets().count_given_up();
        }
        if direction != self.asking {
            self.exchange.server_done = true;
        }
        self.finish_if_done(at, out);
    }

    /// Opens a record and takes what is in it.
    fn protected(&mut self, direction: Direction, record: &Record, out: &mut dyn Output) {
        match self.open(direction, record) {
            Some(opened) => self.opened(direction, opened, record.at, out),
            // Early data that cannot be read, or that the server does not read either.
            None if self.half(direction).passes_early_data() => {}
            None => self.lose(direction, record.at, out),
        }
    }

    fn open(&mut self, direction: Direction, record: &Record) -> Option<Opened> {
        let half = self.half(direction);
        if let Cover::Open(opener) = &half.cover
            && let Some(opened) = opener.open(half.sequence, &record.head, &record.payload)
        {
            half.sequence += 1;
            return Some(opened);
        }
        if half.stage != Stage::Early {
            return None;
        }
        // A server that takes no early data reads on with the keys of the handshake, and skips what
        // they do not open (RFC 8446 section 4.2.10); so does who has no secret for it.
        let opener = self.opener(direction, Stage::Handshake, 0)?;
        let opened = opener.open(0, &record.head, &record.payload)?;
        let half = self.half(direction);
        half.seal(Stage::Handshake);
        half.sequence = 1;
        half.cover = Cover::Open(Box::new(opener));
        Some(opened)
    }

    fn opened(&mut self, direction: Direction, opened: Opened, at: Moment, out: &mut dyn Output) {
        match opened.kind {
            ContentType::Handshake => {
                self.messages(direction, &opened.plaintext, true, at, out);
            }
            ContentType::Alert => self.alert(direction, &opened.plaintext, at, out),
            ContentType::ChangeCipherSpec => self.change_cipher(direction, at, out),
            ContentType::ApplicationData => {
                if let Some(protocols) = &self.protocols {
                    let around = (&self.info, protocols);
                    self.inner
                        .plaintext(around, direction, opened.plaintext, at, out);
                }
            }
            ContentType::Heartbeat => {}
        }
    }

    /// In TLS 1.2 what follows is protected; TLS 1.3 sends it for old middleboxes only.
    fn change_cipher(&mut self, direction: Direction, at: Moment, out: &mut dyn Output) {
        // Before the ServerHello it is one of TLS 1.3, after a retry or before early data.
        if self.is_13() || self.session.is_none() {
            return;
        }
        self.half(direction).seal(Stage::Application);
        if direction != self.asking {
            self.exchange.server_done = true;
            self.exchange.client_done = true;
        }
        self.unseal_or_lose(direction, at, out);
    }

    fn messages(
        &mut self,
        direction: Direction,
        payload: &[u8],
        protected: bool,
        at: Moment,
        out: &mut dyn Output,
    ) {
        self.half(direction).messages.push(payload);
        while let Some(message) = self.half(direction).messages.next() {
            self.message(direction, message, protected, at, out);
        }
    }

    fn message(
        &mut self,
        direction: Direction,
        message: Message,
        protected: bool,
        at: Moment,
        out: &mut dyn Output,
    ) {
        if message.kind == CLIENT_HELLO {
            return self.client_hello(direction, message, at, out);
        }
        if message.kind == SERVER_HELLO {
            return self.server_hello(direction, message, at, out);
        }
        let asker = direction == self.asking;
        if self.exchange.is_open() {
            self.exchange.count(asker, message.body.len());
        }
        let secret = self.is_13() && protected;
        match message.kind {
            CERTIFICATE if asker => self.exchange.client_certificates = message.body,
            CERTIFICATE => self.exchange.server_certificates = message.body,
            ENCRYPTED_EXTENSIONS if !asker && secret => {
                self.exchange.encrypted_extensions = message.body;
            }
            SERVER_HELLO_DONE if !asker => self.exchange.server_done = true,
            END_OF_EARLY_DATA if asker && secret => {
                self.advance(direction, Stage::Handshake, at, out);
            }
            FINISHED if secret => {
                if asker {
                    self.exchange.client_done = true;
                } else {
                    self.exchange.server_done = true;
                }
                self.advance(direction, Stage::Application, at, out);
            }
            KEY_UPDATE if secret => self.update(direction, at, out),
            _ => {}
        }
    }

    fn client_hello(
        &mut self,
        direction: Direction,
        message: Message,
        at: Moment,
        out: &mut dyn Output,
    ) {
        let again = self.exchange.is_open() && direction == self.asking;
        if again && self.exchange.retried && self.exchange.server_hello.is_empty() {
            // The second hello, as the server asked for it.
            self.exchange.count(true, message.body.len());
            self.exchange.client_hello = message.body;
            return;
        }
        self.finish(at, out);
        self.asking = direction;
        self.exchange.asked = at;
        self.exchange.count(true, message.body.len());
        self.exchange.client_hello = message.body;
    }

    fn server_hello(
        &mut self,
        direction: Direction,
        message: Message,
        at: Moment,
        out: &mut dyn Output,
    ) {
        let hello = ServerHello::parse(&message.body).ok();
        if self.exchange.is_open() && direction == self.asking {
            return;
        }
        self.asking = direction.other();
        self.exchange.count(false, message.body.len());
        if hello.is_some_and(|hello| hello.is_retry()) {
            self.exchange.retried = true;
            return;
        }
        self.exchange.answered = at;
        let Some(hello) = hello else {
            self.exchange.server_hello = message.body;
            return;
        };
        let client = ClientHello::parse(&self.exchange.client_hello).ok();
        // Versions before 1.2 and drafts of 1.3 derive keys in other ways: they stay closed.
        let is_read = matches!(hello.version(), hello::TLS12 | hello::TLS13);
        let session = Session {
            is_13: hello.is_13(),
            suite: if is_read { hello.suite } else { 0 },
            client_random: client.map(|client| client.random),
            server_random: hello.random,
            encrypt_then_mac: hello.extensions.has(hello::ENCRYPT_THEN_MAC),
        };
        self.session = Some(session);
        self.exchange.server_hello = message.body;
        if session.is_13 {
            let early = self.half(self.asking).is_sealed() || self.offers_early_data();
            self.half(direction).seal(Stage::Handshake);
            self.half(direction.other()).seal(if early {
                Stage::Early
            } else {
                Stage::Handshake
            });
            self.unseal_or_lose(direction.other(), at, out);
            self.unseal_or_lose(direction, at, out);
            self.drain(out);
        }
    }

    /// The direction goes on with the keys of a later stage.
    fn advance(&mut self, direction: Direction, stage: Stage, at: Moment, out: &mut dyn Output) {
        let half = self.half(direction);
        if half.stage < stage {
            half.seal(stage);
            self.unseal_or_lose(direction, at, out);
        }
    }

    /// RFC 8446 section 4.6.3.
    fn update(&mut self, direction: Direction, at: Moment, out: &mut dyn Output) {
        let half = self.half(direction);
        let updates = half.updates + 1;
        half.seal(Stage::Application);
        half.updates = updates;
        if updates > MAX_UPDATES {
            self.lose(direction, at, out);
        } else {
            self.unseal_or_lose(direction, at, out);
        }
    }

    fn alert(&mut self, direction: Direction, payload: &[u8], at: Moment, out: &mut dyn Output) {
        let &[level, code] = payload else { return };
        let alert = Alert {
            level,
            code,
            from_asker: direction == self.asking,
        };
        if !alert.is_error(self.is_13()) {
            return;
        }
        if self.exchange.is_open() {
            self.exchange.alert = Some(alert);
            self.finish(at, out);
        } else {
            let from_client = direction == Direction::ToServer;
            out.item(alert.draft(from_client, at));
        }
    }

    fn finish_if_done(&mut self, at: Moment, out: &mut dyn Output) {
        let asking = self.asking;
        let client_done = self.exchange.client_done
            || (self.is_13() && self.half(asking).is_lost())
            || self.half(asking.other()).is_lost();
        let answered = !self.exchange.server_hello.is_empty();
        if answered && self.exchange.server_done && client_done {
            self.finish(at, out);
        }
    }

    /// Hands out the handshake, complete or not.
    fn finish(&mut self, at: Moment, out: &mut dyn Output) {
        if !self.exchange.is_open() {
            return;
        }
        let exchange = std::mem::take(&mut self.exchange);
        if let Some(protocols) = &self.protocols {
            protocols.secrets().count_handshake();
        }
        let from_client = self.asking == Direction::ToServer;
        out.item(exchange.draft(&TLS, 0, from_client, at.ordinal));
    }
}

/// Secrets, and what waits for them.
impl TlsDissector {
    fn look_for_secrets(&mut self, out: &mut dyn Output) {
        let Some(protocols) = &self.protocols else {
            return;
        };
        let generation = protocols.secrets().generation();
        if self.looked_at == Some(generation) {
            return;
        }
        self.looked_at = Some(generation);
        for direction in [Direction::ToServer, Direction::ToClient] {
            if self.half(direction).is_sealed() {
                self.unseal(direction);
            }
        }
        self.drain(out);
    }

    /// Reads what waited, in the order in which it came.
    fn drain(&mut self, out: &mut dyn Output) {
        loop {
            let first = |half: &Half| {
                let ready = half.waiting.front().filter(|_| half.is_ready());
                ready.map(|record| record.at.ordinal)
            };
            let (up, down) = (first(&self.to_server), first(&self.to_client));
            let direction = match (up, down) {
                (None, None) => return,
                (Some(up), Some(down)) if down < up => Direction::ToClient,
                (Some(_), _) => Direction::ToServer,
                (None, Some(_)) => Direction::ToClient,
            };
            if let Some(record) = self.half(direction).next_waiting() {
                self.protected(direction, &record, out);
                self.finish_if_done(record.at, out);
            }
        }
    }

    /// Gives up at once where no secret is there and none will come.
    fn unseal_or_lose(&mut self, direction: Direction, at: Moment, out: &mut dyn Output) {
        let expected = self
            .protocols
            .as_ref()
            .is_some_and(|protocols| protocols.secrets().is_expected());
        if !self.unseal(direction) && !expected {
            self.lose(direction, at, out);
        }
    }

    /// Looks for the secret of a sealed direction.
    fn unseal(&mut self, direction: Direction) -> bool {
        let half = self.half(direction);
        let (stage, updates) = (half.stage, half.updates);
        let cover = match self.opener(direction, stage, updates) {
            Some(opener) => Cover::Open(Box::new(opener)),
            None if stage == Stage::Early
                && self.opener(direction, Stage::Handshake, 0).is_some() =>
            {
                Cover::Trial
            }
            None => return false,
        };
        if stage == Stage::Application
            && let Some(protocols) = &self.protocols
        {
            protocols.secrets().count_decrypted();
        }
        self.half(direction).cover = cover;
        true
    }

    fn opener(&self, direction: Direction, stage: Stage, updates: u32) -> Option<Opener> {
        let session = self.session?;
        let secrets = self.protocols.as_ref()?.secrets();
        let random = session.client_random?;
        let suite = Suite::of(session.suite)?;
        let side = if direction == self.asking {
            Side::Client
        } else {
            Side::Server
        };
        if !session.is_13 {
            let master = secrets.find(&random, Label::ClientRandom)?;
            let keys = keys::tls12(suite, &master, &random, &session.server_random, side)?;
            return Opener::tls12(suite, &keys, session.encrypt_then_mac);
        }
        let label = match (stage, side) {
            (Stage::Early, Side::Client) => Label::ClientEarly,
            (Stage::Handshake, Side::Client) => Label::ClientHandshake,
            (Stage::Application, Side::Client) => Label::Client,
            (Stage::Early, Side::Server) => return None,
            (Stage::Handshake, Side::Server) => Label::ServerHandshake,
            (Stage::Application, Side::Server) => Label::Server,
        };
        let mut secret = secrets.find(&random, label)?.into_vec();
        for _ in 0..updates.min(MAX_UPDATES) {
            secret = keys::next_secret(suite.hash, &secret)?;
        }
        Opener::tls13(suite, &keys::tls13(suite, &secret)?)
    }
}

/// The way back after lost packets.
impl TlsDissector {
    /// Looks for the next record that can be opened, and for its number.
    fn search(&mut self, loss: Loss, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let direction = chunk.direction;
        let at = Moment::of(chunk);
        let mut from = 0;
        while let Some(rest) = chunk.bytes.get(from..)
            && rest.len() >= HEADER
        {
            let Some(head) = Head::parse(rest) else {
                from += 1;
                continue;
            };
            let Some(payload) = rest.get(HEADER..head.record_len()) else {
                if from == 0 {
                    return Outcome::NeedMore(head.record_len());
                }
                break;
            };
            let lost = loss.bytes + from as u64;
            if let Some((opened, gap)) = self.find_place(direction, lost, &head, payload) {
                self.half(direction).loss = None;
                match gap {
                    Some(len) => self.inner.gap(direction, len, at, out),
                    None => self.inner.end(out),
                }
                self.opened(direction, opened, at, out);
                return Outcome::Consumed(from + head.record_len());
            }
            from += 1;
        }
        let half = self.half(direction);
        let passed = from as u64;
        half.loss = Some(Loss {
            bytes: loss.bytes + passed,
            searched: loss.searched + passed,
        });
        if loss.searched + passed > MAX_SEARCH || half.tries_left == 0 {
            self.lose(direction, at, out);
            return Outcome::Consumed(chunk.bytes.len());
        }
        if from == 0 {
            return Outcome::NeedMore(HEADER);
        }
        Outcome::Consumed(from)
    }

    /// Tries the numbers that a record may have after `lost` bytes. With it come the bytes of
    /// plaintext that are missing, where they can be told: protection adds the same to each record.
    fn find_place(
        &mut self,
        direction: Direction,
        lost: u64,
        head: &Head,
        payload: &[u8],
    ) -> Option<(Opened, Option<u64>)> {
        let half = self.half(direction);
        let Cover::Open(opener) = &half.cover else {
            return None;
        };
        let overhead = opener.overhead().map(|bytes| bytes as u64);
        let fewest = lost.div_ceil((HEADER + MAX_PAYLOAD) as u64);
        let most = lost / overhead.unwrap_or(HEADER as u64).max(1);
        for records in fewest..=most.min(fewest + MAX_LOST_RECORDS) {
            half.tries_left = half.tries_left.checked_sub(1)?;
            let number = half.sequence.saturating_add(records);
            if let Some(opened) = opener.open(number, head, payload) {
                half.sequence = number.saturating_add(1);
                let added = overhead.map(|overhead| overhead * records);
                return Some((opened, added.and_then(|added| lost.checked_sub(added))));
            }
        }
        if half.stage != Stage::Handshake {
            return None;
        }
        // The end of the handshake may have been among what was lost.
        let opener = self.opener(direction, Stage::Application, 0)?;
        for number in 0..=most.min(MAX_LOST_RECORDS) {
            let half = self.half(direction);
            half.tries_left = half.tries_left.checked_sub(1)?;
            if let Some(opened) = opener.open(number, head, payload) {
                half.seal(Stage::Application);
                half.sequence = number + 1;
                half.cover = Cover::Open(Box::new(opener));
                if direction == self.asking {
                    self.exchange.client_done = true;
                } else {
                    self.exchange.server_done = true;
                }
                return Some((opened, None));
            }
        }
        None
    }
}

impl Dissector for TlsDissector {
    fn equip(&mut self, protocols: &Protocols) {
        self.inner.equip(&self.info, protocols);
        self.protocols = Some(protocols.clone());
        self.account();
    }

    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let direction = chunk.direction;
        if self.half(direction).is_lost() {
            return Outcome::Consumed(chunk.bytes.len());
        }
        if let Some(loss) = self.half(direction).loss {
            self.look_for_secrets(out);
            return self.search(loss, chunk, out);
        }
        if chunk.bytes.len() < HEADER {
            return Outcome::NeedMore(HEADER);
        }
        let Some(head) = Head::parse(&chunk.bytes) else {
            return Outcome::GiveUp(GiveUp::Malformed);
        };
        let whole = head.record_len();
        if chunk.bytes.len() < whole {
            return Outcome::NeedMore(whole);
        }
        let record = Record {
            head,
            payload: chunk.bytes.slice(HEADER..whole),
            at: Moment::of(chunk),
        };
        self.record(direction, &record, out);
        Outcome::Consumed(whole)
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        let direction = gap.direction;
        let at = Moment {
            ts: gap.ts,
            ordinal: gap.ordinal,
        };
        if self.half(direction).is_lost() {
            return Outcome::Consumed(0);
        }
        self.half(direction).messages.clear();
        self.exchange.is_damaged |= self.exchange.is_open();
        if matches!(self.half(direction).cover, Cover::Clear)
            && self.session.is_some_and(|session| !session.is_13)
        {
            // The change to the keys may have been among what was lost.
            self.half(direction).seal(Stage::Application);
            self.unseal(direction);
        }
        let half = self.half(direction);
        if let Cover::Open(_) = half.cover {
            let before = half.loss.map_or(0, |loss| loss.bytes);
            half.loss = Some(Loss {
                bytes: before.saturating_add(gap.len),
                searched: 0,
            });
        } else {
            self.lose(direction, at, out);
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, direction: Direction, _rest: &Bytes, out: &mut dyn Output) {
        self.look_for_secrets(out);
        self.inner.fin(direction, out);
    }

    fn on_end(&mut self, out: &mut dyn Output) {
        self.look_for_secrets(out);
        let ordinal = self.last_ordinal();
        let at = Moment {
            ordinal,
            ..Moment::default()
        };
        self.finish(at, out);
        self.inner.end(out);
    }

    fn save(&self) -> Vec<u8> {
        self.state()
    }
}

impl TlsDissector {
    /// The packet that brought the last part of an open handshake.
    fn last_ordinal(&self) -> u64 {
        self.exchange
            .asked
            .ordinal
            .max(self.exchange.answered.ordinal)
    }
}

impl Exchange {
    /// Counts a message of the handshake.
    pub(super) fn count(&mut self, asker: bool, body: usize) {
        let len = (handshake::HEADER + body) as u64;
        if asker {
            self.request_size += len;
        } else {
            self.response_size += len;
        }
    }
}

impl Moment {
    /// When a chunk came.
    pub(super) fn of(chunk: &Chunk) -> Moment {
        Moment {
            ts: chunk.ts,
            ordinal: chunk.ordinal,
        }
    }
}
