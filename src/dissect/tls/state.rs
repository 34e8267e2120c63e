//! The saved state of a connection.
//!
//! In: a dissector, or what was saved of one. Out: the other. Never: secrets or keys; the number of
//! records is kept, and the keys are derived anew from the secrets that are known then.
//!
//! ```text
//! state    = version u8 (2), asking u8, records u64, exchange, session, half to server,
//!            half to client, inner
//! exchange = flags u8, alert 3 x u8, asked, answered, 2 x u64 sizes, 5 x bytes
//! session  = u8 (0 none, 1, 2 without client random), is 1.3 u8, suite u16, server random,
//!            encrypt-then-MAC u8, client random
//! half     = cover u8, stage u8, session, counted u8, updates u32, sequence u64, tries u32,
//!            lost bytes u64, searched u64, skip u64, bytes (of a message), count u32, count x record
//! record   = turn u64, moment, header 5 bytes, payload
//! inner    = 2 x u64 offsets, bytes (note of the handover), bytes (state)
//! moment   = ts i64, ordinal u64        bytes = length u32, bytes        big-endian
//! ```

use bytes::{BufMut, Bytes};

use super::dissector::{Session, TlsDissector};
use super::exchange::{Alert, Exchange, Moment};
use super::half::{Cover, Half, Loss, MAX_TRIES, MAX_WAITING, Record, Stage};
use super::handshake::{MAX_MESSAGE, Messages};
use super::inner::Inner;
use super::record::{HEADER, Head};
use crate::bytes::{Reader, Short};
use crate::flow::StreamInfo;
use crate::packet::Direction;
use crate::time::Timestamp;

const VERSION: u8 = 2;

/// A loss longer than any stream; a damaged state may say more.
const MAX_LOSS: u64 = 1 << 48;

impl TlsDissector {
    pub(super) fn state(&self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.asking == Direction::ToClient)];
        out.put_u64(self.records);
        self.exchange.put(&mut out);
        put_session(&mut out, self.session.as_ref());
        self.to_server.put(&mut out);
        self.to_client.put(&mut out);
        let (offsets, handover, state) = self.inner.parts();
        for offset in offsets {
            out.put_u64(offset);
        }
        let note = handover
            .map(|handover| [handover.protocol.as_bytes(), &[0], &handover.note[..]].concat());
        put_bytes(&mut out, &note.unwrap_or_default());
        put_bytes(&mut out, &state);
        out
    }

    /// Reads [`TlsDissector::state`] back.
    pub(super) fn restore(info: &StreamInfo, state: &[u8]) -> Option<TlsDissector> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != VERSION {
            return None;
        }
        let mut restored = TlsDissector::new(info, &[]);
        restored.asking = match reader.u8().ok()? {
            0 => Direction::ToServer,
            1 => Direction::ToClient,
            _ => return None,
        };
        restored.records = reader.u64().ok().filter(|records| *records < 1 << 62)?;
        restored.exchange = Exchange::read(&mut reader)?;
        restored.session = session(&mut reader)?;
        restored.to_server = Half::read(&mut reader)?;
        restored.to_client = Half::read(&mut reader)?;
        let mut offset = || reader.u64().ok().filter(|offset| *offset < 1 << 62);
        let offsets = [offset()?, offset()?];
        let note = bytes(&mut reader).ok()?;
        let inner = bytes(&mut reader).ok()?;
        restored.inner = Inner::of_parts(offsets, note, inner);
        reader.is_empty().then_some(restored)
    }
}

fn put_session(out: &mut Vec<u8>, session: Option<&Session>) {
    let Some(session) = session else {
        return out.put_u8(0);
    };
    out.put_u8(1 + u8::from(session.client_random.is_none()));
    out.put_u8(session.is_13.into());
    out.put_u16(session.suite);
    out.put_slice(&session.server_random);
    out.put_u8(session.encrypt_then_mac.into());
    out.put_slice(&session.client_random.unwrap_or_default());
}

fn session(reader: &mut Reader<'_>) -> Option<Option<Session>> {
    let kind = reader.u8().ok()?;
    if kind == 0 {
        return Some(None);
    }
    let is_13 = reader.u8().ok()? == 1;
    let suite = reader.u16().ok()?;
    let server_random = *reader.take(32).ok()?.first_chunk()?;
    let encrypt_then_mac = reader.u8().ok()? == 1;
    let client_random = *reader.take(32).ok()?.first_chunk()?;
    Some(Some(Session {
        is_13,
        suite,
        client_random: (kind == 1).then_some(client_random),
        server_random,
        encrypt_then_mac,
    }))
}

impl Exchange {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let flags = [
            self.retried,
            self.is_damaged,
            self.server_done,
            self.client_done,
        ];
        let bits = flags.iter().rev();
        out.put_u8(bits.fold(0, |all, flag| all << 1 | u8::from(*flag)));
        match self.alert {
            None => out.put_slice(&[0; 3]),
            Some(alert) => {
                out.put_slice(&[1 + u8::from(alert.from_asker), alert.level, alert.code]);
            }
        }
        put_moment(out, self.asked);
        put_moment(out, self.answered);
        out.put_u64(self.request_size);
        out.put_u64(self.response_size);
        for part in [
            &self.client_hello,
            &self.server_hello,
            &self.encrypted_extensions,
            &self.server_certificates,
            &self.client_certificates,
        ] {
            put_bytes(out, part);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Exchange> {
        let flags = reader.u8().ok()?;
        let (sender, level, code) = (reader.u8().ok()?, reader.u8().ok()?, reader.u8().ok()?);
        let (asked, answered) = (moment(reader)?, moment(reader)?);
        let (request_size, response_size) = (reader.u64().ok()?, reader.u64().ok()?);
        let mut part = || {
            let part = bytes(reader).ok()?;
            (part.len() <= MAX_MESSAGE).then(|| Bytes::copy_from_slice(part))
        };
        Some(Exchange {
            client_hello: part()?,
            server_hello: part()?,
            encrypted_extensions: part()?,
            server_certificates: part()?,
            client_certificates: part()?,
            asked,
            answered,
            request_size,
            response_size,
            retried: flags & 1 != 0,
            is_damaged: flags & 2 != 0,
            server_done: flags & 4 != 0,
            client_done: flags & 8 != 0,
            alert: (sender > 0).then_some(Alert {
                level,
                code,
                from_asker: sender == 2,
            }),
        })
    }
}

impl Half {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(match self.cover {
            Cover::Clear => 0,
            // Keys are looked up again.
            Cover::Sealed | Cover::Open(_) | Cover::Trial => 1,
            Cover::Lost => 2,
        });
        out.put_u8(match self.stage {
            Stage::Early => 0,
            Stage::Handshake => 1,
            Stage::Application => 2,
        });
        put_session(out, self.session.as_ref());
        out.put_u8(self.is_counted.into());
        out.put_u32(self.updates);
        out.put_u64(self.sequence);
        out.put_u32(self.tries_left);
        let loss = self.loss.unwrap_or(Loss {
            bytes: u64::MAX,
            searched: 0,
        });
        out.put_u64(loss.bytes);
        out.put_u64(loss.searched);
        let (message, skip) = self.messages.parts();
        out.put_u64(skip as u64);
        put_bytes(out, message);
        out.put_u32(u32::try_from(self.waiting.len()).unwrap_or(u32::MAX));
        for record in &self.waiting {
            out.put_u64(record.turn);
            put_moment(out, record.at);
            out.put_slice(&record.head.raw);
            out.put_slice(&record.payload);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Half> {
        let cover = match reader.u8().ok()? {
            0 => Cover::Clear,
            1 => Cover::Sealed,
            2 => Cover::Lost,
            _ => return None,
        };
        let stage = match reader.u8().ok()? {
            0 => Stage::Early,
            1 => Stage::Handshake,
            2 => Stage::Application,
            _ => return None,
        };
        let mut half = Half {
            cover,
            stage,
            session: session(reader)?,
            is_counted: reader.u8().ok()? == 1,
            updates: reader.u32().ok()?,
            sequence: reader.u64().ok()?,
            tries_left: reader.u32().ok()?.min(MAX_TRIES),
            ..Half::default()
        };
        let loss = Loss {
            bytes: reader.u64().ok()?,
            searched: reader.u64().ok()?,
        };
        half.loss = (loss.bytes < MAX_LOSS).then_some(loss);
        let skip = usize::try_from(reader.u64().ok()?).ok()?;
        half.messages = Messages::of_parts(bytes(reader).ok()?, skip);
        for _ in 0..reader.u32().ok()? {
            let turn = reader.u64().ok()?;
            let at = moment(reader)?;
            let head = Head::parse(reader.take(HEADER).ok()?)?;
            let payload = Bytes::copy_from_slice(reader.take(head.len).ok()?);
            half.waiting_bytes += head.record_len();
            if half.waiting_bytes > MAX_WAITING {
                return None;
            }
            half.waiting.push_back(Record {
                head,
                payload,
                at,
                turn,
            });
        }
        Some(half)
    }
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

pub(super) fn bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let len = reader.u32()?;
    reader.take(usize::try_from(len).unwrap_or(usize::MAX))
}

fn put_moment(out: &mut Vec<u8>, moment: Moment) {
    out.put_i64(moment.ts.nanos());
    out.put_u64(moment.ordinal);
}

fn moment(reader: &mut Reader<'_>) -> Option<Moment> {
    Some(Moment {
        ts: Timestamp::from_nanos(reader.u64().ok()?.cast_signed()),
        ordinal: reader.u64().ok()?,
    })
}
