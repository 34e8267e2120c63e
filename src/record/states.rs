//! Streams that go on from reel to reel: their states, and the marks that link the reels.
//!
//! In: states of dissectors as of a boundary between two batches. Out: custom blocks, and what they
//! said again. Never: what is in a state, which only its dissector knows.
//!
//! ```text
//! state     STATE_MAGIC,   stream number u64, name length u16, name, state length u32, state
//! goes on   GOES_ON_MAGIC, count u32, count x (protocol u8, 2 x endpoint)
//! endpoint  family u8 (4 or 6), address, port u16                        little-endian
//! ```

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ahash::RandomState;

use crate::packet::{Endpoint, FiveTuple, StreamId, StreamName, Transport};

/// First bytes of a custom block that holds a stream's saved state, with the format's version.
pub const STATE_MAGIC: &[u8; 16] = b"tapedeck state 1";

/// First bytes of a custom block that names the streams which go on in the next reel.
pub const GOES_ON_MAGIC: &[u8; 16] = b"tapedeck goes on";

/// Streams that one block names at most.
const MAX_GOING_ON: usize = 262_144;

/// The states of streams at the start of a batch.
#[derive(Debug, Default)]
pub struct States {
    /// Streams that were asked for.
    pub asked: HashSet<StreamId, RandomState>,
    /// Five-tuple, the client first, and state of those that have one.
    pub states: HashMap<StreamId, (FiveTuple, Vec<u8>), RandomState>,
}

/// The data of a custom block with a stream's state.
pub(crate) fn state_record(name: StreamName, state: &[u8]) -> Vec<u8> {
    let text = name.to_string();
    let mut record = STATE_MAGIC.to_vec();
    record.extend_from_slice(&name.stream.0.to_le_bytes());
    record.extend_from_slice(&u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
    record.extend_from_slice(text.as_bytes());
    record.extend_from_slice(&u32::try_from(state.len()).unwrap_or(u32::MAX).to_le_bytes());
    record.extend_from_slice(state);
    record
}

/// Reads a saved state out of the data of a custom block: the stream's name in the run that wrote
/// it, and the state; `None` when the block holds something else.
pub fn parse_state(data: &[u8]) -> Option<(StreamName, &[u8])> {
    let rest = data.strip_prefix(STATE_MAGIC)?;
    let (_, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (state, _) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((StreamName::parse(std::str::from_utf8(name).ok()?)?, state))
}

/// The data of a custom block that names streams which go on.
pub(crate) fn goes_on_record(tuples: &[FiveTuple]) -> Vec<u8> {
    let tuples = tuples
        .get(..tuples.len().min(MAX_GOING_ON))
        .unwrap_or_default();
    let mut record = GOES_ON_MAGIC.to_vec();
    record.extend_from_slice(&u32::try_from(tuples.len()).unwrap_or(0).to_le_bytes());
    for tuple in tuples {
        record.push(match tuple.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Other(protocol) => protocol,
        });
        put_endpoint(&mut record, tuple.src);
        put_endpoint(&mut record, tuple.dst);
    }
    record
}

/// Reads which streams go on, by their five-tuples in either direction; `None` when the block holds
/// something else.
pub fn parse_goes_on(data: &[u8]) -> Option<Vec<FiveTuple>> {
    let rest = data.strip_prefix(GOES_ON_MAGIC)?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    let mut tuples = Vec::new();
    for _ in 0..count.min(MAX_GOING_ON) {
        let (protocol, tail) = rest.split_first()?;
        rest = tail;
        tuples.push(FiveTuple {
            transport: match protocol {
                6 => Transport::Tcp,
                17 => Transport::Udp,
                other => Transport::Other(*other),
            },
            src: take_endpoint(&mut rest)?,
            dst: take_endpoint(&mut rest)?,
        });
    }
    Some(tuples)
}

/// Appends an address with its port.
pub fn put_endpoint(out: &mut Vec<u8>, endpoint: Endpoint) {
    match endpoint.ip {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&endpoint.port.to_le_bytes());
}

/// Takes what [`put_endpoint`] wrote off the front.
pub fn take_endpoint(from: &mut &[u8]) -> Option<Endpoint> {
    let (family, rest) = from.split_first()?;
    let (ip, rest) = match family {
        4 => {
            let (octets, rest) = rest.split_first_chunk::<4>()?;
            (IpAddr::from(*octets), rest)
        }
        6 => {
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            (IpAddr::from(*octets), rest)
        }
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    *from = rest;
    Some(Endpoint {
        ip,
        port: u16::from_le_bytes(*port),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(ip: &str, port: u16) -> Endpoint {
        Endpoint {
            ip: ip.parse().unwrap(),
            port,
        }
    }

    #[test]
    fn states_and_marks_read_back_with_padding_behind_them() {
        let name = StreamName {
            stream: StreamId(7),
            transport: Transport::Tcp,
        };
        let mut record = state_record(name, b"abc");
        record.extend_from_slice(&[0; 3]);
        assert_eq!(parse_state(&record), Some((name, b"abc".as_slice())));
        let tuples = [
            FiveTuple {
                src: endpoint("10.0.0.1", 4000),
                dst: endpoint("10.0.0.2", 80),
                transport: Transport::Tcp,
            },
            FiveTuple {
                src: endpoint("2001:db8::1", 53),
                dst: endpoint("2001:db8::2", 5353),
                transport: Transport::Udp,
            },
        ];
        let mut record = goes_on_record(&tuples);
        record.push(0);
        assert_eq!(parse_goes_on(&record).as_deref(), Some(&tuples[..]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_state(&[STATE_MAGIC.as_slice(), &bytes].concat());
            let _ = parse_goes_on(&[GOES_ON_MAGIC.as_slice(), &bytes].concat());
        }
    }
}
