//! One connection: records into handshakes, and with secrets into what they carry.
//!
//! In: chunks. Out: an item a handshake, an item an error alert, and the items of the conversation
//! inside. A direction whose secret is missing is left alone once its handshake is read. Never:
//! keys in a saved state; the number of records is saved, and the secrets are looked up again.

use bytes::Bytes;

use super::TLS;
use super::certificate;
use super::cipher::Opened;
use super::exchange::{Alert, Exchange, Moment};
use super::half::{Cover, Half, Loss, Record, Stage};
use super::handshake::{
    self, CERTIFICATE, CLIENT_HELLO, COMPRESSED_CERTIFICATE, ENCRYPTED_EXTENSIONS,
    END_OF_EARLY_DATA, FINISHED, KEY_UPDATE, Message, SERVER_HELLO, SERVER_HELLO_DONE,
};
use super::hello::{self, ClientHello, ServerHello};
use super::inner::Inner;
use super::record::{ContentType, HEADER, Head};
use crate::dissect::{Dissector, GiveUp, Outcome, Output, Protocols};
use crate::flow::{Chunk, Gap, Opening, StreamInfo};
use crate::packet::Direction;

/// KeyUpdates of one direction; each costs a derivation when a saved state is restored.
pub(super) const MAX_UPDATES: u32 = 1 << 16;

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
    pub(super) protocols: Option<Protocols>,
    pub(super) exchange: Exchange,
    pub(super) session: Option<Session>,
    /// Direction of the ClientHello.
    pub(super) asking: Direction,
    pub(super) to_server: Half,
    pub(super) to_client: Half,
    pub(super) inner: Inner,
    /// [`super::secrets::Secrets::generation`] when secrets were last looked for; not since a
    /// restore.
    pub(super) looked_at: Option<u64>,
    /// Records so far, of both directions.
    pub(super) records: u64,
    /// Waiting bytes as the secrets' budget knows them.
    pub(super) kept: usize,
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
            records: 0,
            kept: 0,
        }
    }

    pub(super) fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// What is known of the stream inside. It begins with the handshake, also where the connection
    /// was joined later: what comes before cannot be read.
    fn info_inside(&self) -> StreamInfo {
        let opening = match self.asking {
            Direction::ToServer => Opening::Syn,
            Direction::ToClient => self.info.opening,
        };
        StreamInfo {
            opening,
            ..self.info
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
                    self.half(direction).seal(Stage::Early, None);
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

    pub(super) fn lose(&mut self, direction: Direction, at: Moment, out: &mut dyn Output) {
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
    pub(super) fn protected(
        &mut self,
        direction: Direction,
        record: &Record,
        out: &mut dyn Output,
    ) {
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
        half.seal(Stage::Handshake, half.session);
        half.sequence = 1;
        half.cover = Cover::Open(Box::new(opener));
        Some(opened)
    }

    pub(super) fn opened(
        &mut self,
        direction: Direction,
        opened: Opened,
        at: Moment,
        out: &mut dyn Output,
    ) {
        match opened.kind {
            ContentType::Handshake => {
                self.messages(direction, &opened.plaintext, true, at, out);
            }
            ContentType::Alert => self.alert(direction, &opened.plaintext, at, out),
            ContentType::ChangeCipherSpec => self.change_cipher(direction, at, out),
            ContentType::ApplicationData => {
                let info = self.info_inside();
                if let Some(protocols) = &self.protocols {
                    self.inner
                        .plaintext((&info, protocols), direction, opened.plaintext, at, out);
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
        let session = self.session;
        self.half(direction).seal(Stage::Application, session);
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
            COMPRESSED_CERTIFICATE => {
                let body = certificate::decompressed(&message.body).unwrap_or_default();
                if asker {
                    self.exchange.client_certificates = body;
                } else {
                    self.exchange.server_certificates = body;
                }
            }
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
            let first = if early {
                Stage::Early
            } else {
                Stage::Handshake
            };
            self.half(direction).seal(Stage::Handshake, Some(session));
            self.half(direction.other()).seal(first, Some(session));
            self.unseal_or_lose(direction.other(), at, out);
            self.unseal_or_lose(direction, at, out);
            self.drain(out);
        }
    }

    /// The direction goes on with the keys of a later stage.
    fn advance(&mut self, direction: Direction, stage: Stage, at: Moment, out: &mut dyn Output) {
        let half = self.half(direction);
        if half.stage < stage {
            half.seal(stage, half.session);
            self.unseal_or_lose(direction, at, out);
        }
    }

    /// RFC 8446 section 4.6.3.
    fn update(&mut self, direction: Direction, at: Moment, out: &mut dyn Output) {
        let half = self.half(direction);
        let updates = half.updates + 1;
        half.seal(Stage::Application, half.session);
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

    pub(super) fn finish_if_done(&mut self, at: Moment, out: &mut dyn Output) {
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

impl Dissector for TlsDissector {
    fn equip(&mut self, protocols: &Protocols) {
        self.inner.equip(&self.info_inside(), protocols);
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
            turn: self.records,
        };
        self.records += 1;
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
            let session = self.session;
            self.half(direction).seal(Stage::Application, session);
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

    fn settle(&mut self) {
        self.inner.settle();
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
