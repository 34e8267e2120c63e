//! Chunks of one SCTP packet (RFC 9260 section 3).
//!
//! In: a packet from its verification tag on. Out: [`Packet`] and its [`Chunk`]s. Never: allocation.

use crate::bytes::{Reader, Short};

pub(super) const DATA: u8 = 0;
pub(super) const INIT: u8 = 1;
pub(super) const INIT_ACK: u8 = 2;
pub(super) const SACK: u8 = 3;
pub(super) const ABORT: u8 = 6;
pub(super) const ERROR: u8 = 9;
pub(super) const I_DATA: u8 = 64;
pub(super) const PAD: u8 = 132;

/// Header of a chunk: type, flags, length.
pub(super) const CHUNK_HEADER: usize = 4;

/// A packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) tag: u32,
    pub(super) checksum: u32,
    rest: Reader<'a>,
}

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Length as its header says, padding left out.
    pub(super) length: u16,
    /// What follows the header, as captured.
    pub(super) value: &'a [u8],
    /// Offset of `value` within the packet.
    pub(super) at: usize,
}

/// The fixed part of a DATA or I-DATA chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) tsn: u32,
    pub(super) stream: u16,
    /// Stream sequence number; the message identifier of I-DATA.
    pub(super) seq: u32,
    /// Payload protocol identifier; 0 in all but the first piece of I-DATA.
    pub(super) protocol: u32,
    pub(super) first: bool,
    pub(super) last: bool,
    /// Length of the fixed part.
    pub(super) header: usize,
}

impl<'a> Packet<'a> {
    /// Reads the common header behind the ports.
    ///
    /// # Errors
    /// `Short` when it was cut off.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Packet<'a>, Short> {
        let mut reader = Reader::new(bytes);
        Ok(Packet {
            tag: reader.u32()?,
            checksum: reader.u32()?,
            rest: reader,
        })
    }

    /// The chunks, up to the first whose header does not fit. The last one may be cut off.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Chunk<'a>> {
        let mut reader = self.rest;
        std::iter::from_fn(move || {
            let kind = reader.u8().ok()?;
            let flags = reader.u8().ok()?;
            let length = reader.u16().ok()?;
            let len = usize::from(length).checked_sub(CHUNK_HEADER)?;
            let at = reader.offset();
            let value = reader.take(len.min(reader.left())).ok()?;
            // RFC 9260 section 3.2: padded to four octets, the padding not counted.
            let padding = (len.next_multiple_of(4) - len).min(reader.left());
            reader.skip(padding).ok()?;
            Some(Chunk {
                kind,
                flags,
                length,
                value,
                at,
            })
        })
    }
}

impl Chunk<'_> {
    /// Whether bytes of it were not captured.
    pub(super) fn is_cut(&self) -> bool {
        usize::from(self.length) > CHUNK_HEADER + self.value.len()
    }

    /// The fixed part of a chunk that carries a message or a piece of one.
    pub(super) fn data(&self) -> Option<Data> {
        const LAST: u8 = 1;
        const FIRST: u8 = 2;
        let mut reader = Reader::new(self.value);
        let tsn = reader.u32().ok()?;
        let stream = reader.u16().ok()?;
        let (first, last) = (self.flags & FIRST != 0, self.flags & LAST != 0);
        let (seq, protocol) = match self.kind {
            DATA => (u32::from(reader.u16().ok()?), reader.u32().ok()?),
            I_DATA => {
                reader.skip(2).ok()?;
                let identifier = reader.u32().ok()?;
                // RFC 8260 section 2.1: later pieces hold their number here.
                let word = reader.u32().ok()?;
                (identifier, if first { word } else { 0 })
            }
            _ => return None,
        };
        Some(Data {
            tsn,
            stream,
            seq,
            protocol,
            first,
            last,
            header: reader.offset(),
        })
    }

    /// The first sequence number that the sender of INIT or INIT ACK will use.
    pub(super) fn initial_tsn(&self) -> Option<u32> {
        let mut reader = Reader::new(self.value);
        reader.skip(12).ok()?;
        reader.u32().ok()
    }
}

/// Name of a chunk type (IANA registry "Chunk Types").
pub(super) fn type_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        DATA => "DATA",
        INIT => "INIT",
        INIT_ACK => "INIT ACK",
        SACK => "SACK",
        4 => "HEARTBEAT",
        5 => "HEARTBEAT ACK",
        ABORT => "ABORT",
        7 => "SHUTDOWN",
        8 => "SHUTDOWN ACK",
        ERROR => "ERROR",
        10 => "COOKIE ECHO",
        11 => "COOKIE ACK",
        12 => "ECNE",
        13 => "CWR",
        14 => "SHUTDOWN COMPLETE",
        15 => "AUTH",
        I_DATA => "I-DATA",
        128 => "ASCONF-ACK",
        130 => "RE-CONFIG",
        PAD => "PAD",
        192 => "FORWARD TSN",
        193 => "ASCONF",
        194 => "I-FORWARD-TSN",
        _ => return None,
    })
}
