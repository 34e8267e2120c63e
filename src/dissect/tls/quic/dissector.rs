//! One conversation of QUIC: Initial packets into hellos.
//!
//! In: datagrams. Out: one item a connection. The side that sends the first Initial that its own
//! connection ID opens is the client; a Retry or another connection gives new keys the same way
//! (RFC 9001 section 5.2). Never: anything after the hellos.

use bytes::{BufMut, Bytes};

use super::QUIC;
use super::crypto::{CryptoStream, MAX_PIECES};
use super::packet::{InitialKeys, Kind, Long, MAX_CONNECTION_ID, Version};
use crate::bytes::Reader;
use crate::dissect::tls::exchange::{Alert, Exchange, Moment};
use crate::dissect::tls::handshake::{CLIENT_HELLO, MAX_MESSAGE, Message, Messages, SERVER_HELLO};
use crate::dissect::tls::hello::{ClientHello, ServerHello};
use crate::dissect::tls::render::flags;
use crate::dissect::tls::state::{bytes, put_bytes};
use crate::dissect::{Dissector, Outcome, Output};
use crate::flow::{Chunk, Gap};
use crate::packet::Direction;

/// Packets in one datagram; four kinds may be put together (RFC 9000 section 12.2).
const MAX_COALESCED: usize = 8;

/// State of one conversation.
#[derive(Default)]
pub(super) struct QuicDissector {
    /// Keys of the present connection, and its client's direction.
    keys: Option<(InitialKeys, Direction)>,
    client: CryptoStream,
    server: CryptoStream,
    exchange: Exchange,
}

impl QuicDissector {
    fn datagram(&mut self, chunk: &Chunk, out: &mut dyn Output) {
        let mut rest = &chunk.bytes[..];
        for _ in 0..MAX_COALESCED {
            let Some(long) = Long::parse(rest) else {
                return;
            };
            if long.kind == Kind::Initial {
                self.initial(&long, rest, chunk, out);
            }
            rest = rest.get(long.len..).unwrap_or_default();
        }
    }

    fn initial(&mut self, long: &Long<'_>, bytes: &[u8], chunk: &Chunk, out: &mut dyn Output) {
        let direction = chunk.direction;
        let known = self.keys.as_ref().and_then(|(keys, client)| {
            let opened = open_with(keys, long, bytes, direction == *client)?;
            Some((opened, *client))
        });
        if let Some((frames, client)) = known {
            return self.frames(direction == client, &frames, chunk, out);
        }
        if self.keys.as_ref().is_some_and(|(keys, client)| {
            direction == *client && keys.connection_id == long.destination
        }) {
            return;
        }
        // The first Initial, or one with the connection ID of a Retry.
        let Some(keys) = InitialKeys::new(long.version, long.destination) else {
            return;
        };
        let Some(frames) = keys.open(long, bytes, true) else {
            return;
        };
        if self.exchange.is_open() && !self.exchange.server_hello.is_empty() {
            self.finish(chunk.ordinal, out);
        }
        self.client = CryptoStream::default();
        self.server = CryptoStream::default();
        self.keys = Some((keys, direction));
        self.frames(true, &frames, chunk, out);
    }

    fn frames(&mut self, from_client: bool, frames: &[u8], chunk: &Chunk, out: &mut dyn Output) {
        let at = Moment::of(chunk);
        let before = self.client.at;
        let stream = if from_client {
            &mut self.client
        } else {
            &mut self.server
        };
        let alert = stream.frames(frames);
        let mut messages = Vec::new();
        while let Some(message) = stream.next() {
            messages.push(message);
        }
        if from_client && before == 0 && self.exchange.asked == Moment::default() {
            // The hello's first packet counts, not the one that completes it.
            self.exchange.asked = at;
        }
        for message in messages {
            self.message(from_client, message, at, out);
        }
        if let Some(code) = alert
            && self.exchange.is_open()
        {
            self.exchange.alert = Some(Alert {
                level: 2,
                code,
                from_asker: from_client,
            });
            self.finish(at.ordinal, out);
        }
    }

    fn message(&mut self, from_client: bool, message: Message, at: Moment, out: &mut dyn Output) {
        if from_client && message.kind == CLIENT_HELLO {
            let random = |body: &[u8]| ClientHello::parse(body).ok().map(|hello| hello.random);
            let before = &self.exchange.client_hello;
            // After a Retry the same hello comes again, and after a HelloRetryRequest one with the
            // same random.
            if !before.is_empty() && random(before) != random(&message.body) {
                self.finish(at.ordinal, out);
                self.exchange.asked = at;
            }
            self.exchange.client_hello = message.body.clone();
        }
        self.exchange.count(from_client, message.body.len());
        match message.kind {
            SERVER_HELLO if !from_client => {
                let retry = ServerHello::parse(&message.body).is_ok_and(|hello| hello.is_retry());
                if retry {
                    self.exchange.retried = true;
                    return;
                }
                self.exchange.answered = at;
                self.exchange.server_hello = message.body;
                self.finish(at.ordinal, out);
            }
            _ => {}
        }
    }

    fn finish(&mut self, ordinal: u64, out: &mut dyn Output) {
        let exchange = std::mem::take(&mut self.exchange);
        if !exchange.is_open() {
            return;
        }
        let (version, client) = self
            .keys
            .as_ref()
            .map_or((Version::V1, Direction::ToServer), |(keys, client)| {
                (keys.version, *client)
            });
        let carried = flags::QUIC
            | match version {
                Version::V1 => 0,
                Version::V2 => flags::QUIC_V2,
                Version::Draft29 => flags::QUIC_DRAFT,
            };
        out.item(exchange.draft(&QUIC, carried, client == Direction::ToServer, ordinal));
    }
}

/// Opens with keys of the packet's version: a server may answer in another one with keys from the
/// same connection ID (RFC 9369 section 4.1).
fn open_with(
    keys: &InitialKeys,
    long: &Long<'_>,
    bytes: &[u8],
    from_client: bool,
) -> Option<Vec<u8>> {
    if keys.version == long.version {
        return keys.open(long, bytes, from_client);
    }
    InitialKeys::new(long.version, &keys.connection_id)?.open(long, bytes, from_client)
}

impl Dissector for QuicDissector {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        self.datagram(chunk, out);
        Outcome::Consumed(chunk.bytes.len())
    }

    fn on_gap(&mut self, _gap: &Gap, _out: &mut dyn Output) -> Outcome {
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, _direction: Direction, _rest: &Bytes, _out: &mut dyn Output) {}

    fn on_end(&mut self, out: &mut dyn Output) {
        let ordinal = self.exchange.asked.ordinal;
        self.finish(ordinal, out);
    }

    /// ```text
    /// state  = version u8 (1), keys, stream, stream, exchange (as of TLS)          big-endian
    /// keys   = u8 (0 none, 1 client to server, 2 reverse), version u8, bytes (connection ID)
    /// stream = at u64, skip u64, bytes (of a message), count u8, count x (offset u64, bytes)
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![1];
        match &self.keys {
            None => out.put_slice(&[0; 6]),
            Some((keys, client)) => {
                out.put_u8(1 + u8::from(*client == Direction::ToClient));
                out.put_u8(match keys.version {
                    Version::V1 => 0,
                    Version::V2 => 1,
                    Version::Draft29 => 2,
                });
                put_bytes(&mut out, &keys.connection_id);
            }
        }
        for stream in [&self.client, &self.server] {
            out.put_u64(stream.at);
            let (message, skip) = stream.messages.parts();
            out.put_u64(skip as u64);
            put_bytes(&mut out, message);
            out.put_u8(u8::try_from(stream.pieces.len()).unwrap_or(u8::MAX));
            for (offset, piece) in &stream.pieces {
                out.put_u64(*offset);
                put_bytes(&mut out, piece);
            }
        }
        self.exchange.put(&mut out);
        out
    }
}

impl QuicDissector {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(state: &[u8]) -> Option<QuicDissector> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != 1 {
            return None;
        }
        let client = match reader.u8().ok()? {
            0 => None,
            1 => Some(Direction::ToServer),
            2 => Some(Direction::ToClient),
            _ => return None,
        };
        let version = match reader.u8().ok()? {
            0 => Version::V1,
            1 => Version::V2,
            2 => Version::Draft29,
            _ => return None,
        };
        let connection_id = bytes(&mut reader).ok()?;
        if connection_id.len() > MAX_CONNECTION_ID {
            return None;
        }
        let keys = match client {
            Some(client) => Some((InitialKeys::new(version, connection_id)?, client)),
            None => None,
        };
        Some(QuicDissector {
            keys,
            client: stream(&mut reader)?,
            server: stream(&mut reader)?,
            exchange: Exchange::read(&mut reader).filter(|_| reader.is_empty())?,
        })
    }
}

fn stream(reader: &mut Reader<'_>) -> Option<CryptoStream> {
    let at = reader.u64().ok()?;
    let skip = usize::try_from(reader.u64().ok()?).ok()?;
    let message = bytes(reader).ok()?;
    if message.len() > 2 * MAX_MESSAGE {
        return None;
    }
    let messages = Messages::of_parts(message, skip);
    let count = usize::from(reader.u8().ok()?);
    if count > MAX_PIECES || at > 1 << 62 {
        return None;
    }
    let mut pieces = Vec::with_capacity(count);
    for _ in 0..count {
        let offset = reader.u64().ok()?;
        pieces.push((offset, bytes(reader).ok()?.to_vec()));
    }
    Some(CryptoStream {
        at,
        pieces,
        messages,
    })
}
