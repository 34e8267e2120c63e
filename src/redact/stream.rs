//! The packets of one stream: put together, overwritten, written back.
//!
//! In: packets in capture order, and where the stream stood before. Out: the same packets; every copy
//! of a byte that was sent several times is the same, whatever it was. Never: a payload left as it
//! was because nobody could tell what it is.

use crate::flow::{Opening, StreamInfo};
use crate::packet::{Direction, StreamId, StreamName, TcpFlags, Transport};
use crate::time::Timestamp;

use super::frame::{Frame, hide_all};
use super::h2::Http2;
use super::http1::{self, Http1};
use super::redis::Redis;
use super::side::Side;
use super::{Captured, MASK, Payload, Redactor};

/// Bytes of each side that tell the protocol.
const PROBED: usize = 8 * 1024;

/// Packets among which the first byte of a stream without a SYN is looked for.
const REORDERED: usize = 64;

/// Octets of an ICMP message in front of what it carries.
const ICMP_HEAD: usize = 8;

/// Octets of a quoted packet behind its IP header that tell its ports.
const QUOTED: usize = 8;

/// A stream from reel to reel.
#[derive(Debug, Clone)]
pub(super) struct Carried {
    /// Sequence number of the next byte of each side.
    next: [Option<u32>; 2],
    reading: Reading,
}

#[derive(Debug, Clone)]
enum Reading {
    Http1(Box<Http1>),
    Http2(Box<Http2>),
    Redis(Redis),
    Tls,
    /// Left as it is.
    Kept,
    /// Overwritten whole.
    Hidden,
    /// Nothing told yet what it is.
    Unknown,
}

/// Overwrites what must go of a stream's packets; where the stream stands then.
pub(super) fn rewrite(
    redactor: &mut Redactor,
    carried: Option<Carried>,
    packets: &mut [Captured],
) -> Carried {
    let frames: Vec<Option<Frame>> = packets.iter().map(Frame::of).collect();
    let is_tcp = frames
        .iter()
        .flatten()
        .any(|frame| frame.layers.tuple.transport == Transport::Tcp);
    let joined = carried.is_none();
    let mut carried = carried.unwrap_or(Carried {
        next: [None, None],
        reading: Reading::Unknown,
    });
    match is_tcp {
        true => tcp(redactor, &mut carried, joined, &frames, packets),
        false => datagrams(redactor, &mut carried, &frames, packets),
    }
    for (frame, packet) in frames.iter().zip(packets) {
        match frame {
            Some(frame) => frame.finish(redactor, packet),
            None => hide_all(redactor, packet),
        }
    }
    carried
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::ToServer => 0,
        Direction::ToClient => 1,
    }
}

fn tcp(
    redactor: &Redactor,
    carried: &mut Carried,
    joined: bool,
    frames: &[Option<Frame>],
    packets: &mut [Captured],
) {
    let bases = [
        base(carried.next[0], Direction::ToServer, frames, packets),
        base(carried.next[1], Direction::ToClient, frames, packets),
    ];
    let offsets: Vec<Option<u64>> = frames
        .iter()
        .zip(&*packets)
        .map(|(frame, packet)| {
            let frame = frame.as_ref()?;
            let tcp = frame.layers.tcp?;
            let syn = u32::from(tcp.flags.has(TcpFlags::SYN));
            let offset = tcp
                .seq
                .wrapping_add(syn)
                .wrapping_sub(bases[index(packet.direction)]?);
            // Beyond half the numbers it lies before the first byte that is known.
            (offset < 1 << 31).then_some(u64::from(offset))
        })
        .collect();
    let mut sides =
        [Direction::ToServer, Direction::ToClient].map(|direction| {
            let pieces = frames.iter().zip(&*packets).zip(&offsets).filter_map(
                |((frame, packet), offset)| {
                    let payload = packet.bytes.get(frame.as_ref()?.payload())?;
                    (packet.direction == direction && !payload.is_empty())
                        .then_some(((*offset)?, payload))
                },
            );
            Side::of(pieces.collect())
        });
    let whole = frames.iter().flatten().any(|frame| {
        frame
            .layers
            .tcp
            .is_some_and(|tcp| tcp.flags.has(TcpFlags::SYN))
    });
    let first = frames
        .iter()
        .zip(&*packets)
        .find_map(|(frame, packet)| Some(((*frame)?, packet.direction)));
    if matches!(carried.reading, Reading::Unknown)
        && let Some((frame, direction)) = first
    {
        carried.reading = reading(redactor, frame, direction, &sides, joined && !whole);
    }
    match &mut carried.reading {
        Reading::Http1(http) => http.rewrite(redactor, &mut sides),
        Reading::Http2(http) => http.rewrite(redactor, &mut sides),
        Reading::Redis(redis) => redis.rewrite(redactor, &mut sides),
        Reading::Tls => sides.iter_mut().for_each(tls),
        Reading::Kept => {}
        Reading::Hidden | Reading::Unknown => {
            for side in &mut sides {
                side.bytes.fill(MASK);
            }
        }
    }
    for (base, (next, side)) in bases.iter().zip(carried.next.iter_mut().zip(&sides)) {
        let end = u32::try_from(side.end()).unwrap_or(0);
        *next = base.map(|base| base.wrapping_add(end)).or(*next);
    }
    let kept = matches!(carried.reading, Reading::Kept);
    for ((frame, packet), offset) in frames.iter().zip(packets).zip(offsets) {
        let Some(frame) = frame else { continue };
        let side = &sides[index(packet.direction)];
        if let Some(payload) = packet.bytes.get_mut(frame.payload())
            && !(kept && offset.is_none())
        {
            side.write_back(offset, payload);
        }
    }
}

/// The sequence number from which a side's bytes are counted.
fn base(
    next: Option<u32>,
    direction: Direction,
    frames: &[Option<Frame>],
    packets: &[Captured],
) -> Option<u32> {
    if next.is_some() {
        return next;
    }
    let ours = frames
        .iter()
        .zip(packets)
        .filter(|(_, packet)| packet.direction == direction);
    let mut headers = ours.filter_map(|(frame, _)| {
        let frame = frame.as_ref()?;
        Some((frame.layers.tcp?, frame.layers.payload_len))
    });
    let mut first: Option<u32> = None;
    for (tcp, length) in headers.by_ref().take(REORDERED) {
        if tcp.flags.has(TcpFlags::SYN) {
            return Some(tcp.seq.wrapping_add(1));
        }
        if length > 0 && first.is_none_or(|first| first.wrapping_sub(tcp.seq) < 1 << 31) {
            first = Some(tcp.seq);
        }
    }
    first
}

/// What a stream is, by its first bytes.
fn reading(
    redactor: &Redactor,
    frame: Frame,
    direction: Direction,
    sides: &[Side; 2],
    joined: bool,
) -> Reading {
    if redactor.rule.payload == Payload::None {
        return Reading::Hidden;
    }
    let [to_server, to_client] = sides;
    if to_server.bytes.is_empty() && to_client.bytes.is_empty() {
        return Reading::Unknown;
    }
    let front = |side: &Side| {
        let rest = side.rest(0);
        rest.get(..rest.len().min(PROBED))
            .unwrap_or_default()
            .to_vec()
    };
    let (asked, answered) = (front(to_server), front(to_client));
    let opening = if joined {
        Opening::FirstPacket
    } else {
        Opening::Syn
    };
    let info = info_of(&frame, direction, opening);
    let name = redactor.protocols.recognise(&info, &asked, &answered);
    if let Some(name) = name
        && redactor.rule.keeps(name)
    {
        return Reading::Kept;
    }
    match name {
        Some("http2") if joined => Reading::Http2(Box::new(Http2::joined())),
        Some("http2") => Reading::Http2(Box::default()),
        Some("http") if joined => Reading::Http1(Box::new(Http1::joined())),
        Some("http") => Reading::Http1(Box::default()),
        Some("redis") if joined => Reading::Redis(Redis::joined()),
        Some("redis") => Reading::Redis(Redis::default()),
        Some("tls" | "tlsx") => Reading::Tls,
        // A first word that is cut off tells nothing to detection.
        None if http1::begins(&answered, false) => Reading::Http1(Box::new(Http1::joined())),
        _ => Reading::Hidden,
    }
}

/// Records of TLS: hellos stay, what is encrypted goes (RFC 8446 section 5.1).
fn tls(side: &mut Side) {
    const APPLICATION_DATA: u8 = 23;
    let mut at = 0;
    while at < side.bytes.len() {
        let head = side.rest(at).first_chunk::<5>().copied();
        let record = head.filter(|[kind, major, ..]| (20..=24).contains(kind) && *major == 3);
        let Some([kind, _, _, high, low]) = record.filter(|_| !side.is_behind_gap(at)) else {
            // What is not a record is overwritten as far as the next packet that begins with one.
            let begins = |bytes: &[u8]| matches!(bytes, [20..=24, 3, 0..=4, ..]);
            let next = side.next_start(at + 1, begins).unwrap_or(side.bytes.len());
            side.hide(at..next);
            at = next;
            continue;
        };
        let length = u64::from(u16::from_be_bytes([high, low]));
        let moved = side.advance(at + 5, length);
        if kind == APPLICATION_DATA || moved.holed || moved.left > 0 {
            side.hide(at + 5..moved.to);
        }
        at = moved.to.max(at + 5);
    }
}

/// UDP, ICMP, SCTP and the like: each packet by itself.
fn datagrams(
    redactor: &Redactor,
    carried: &mut Carried,
    frames: &[Option<Frame>],
    packets: &mut [Captured],
) {
    for (frame, packet) in frames.iter().zip(packets) {
        let Some(frame) = frame else { continue };
        let transport = frame.layers.tuple.transport;
        let Some(payload) = packet.bytes.get_mut(frame.payload()) else {
            continue;
        };
        if redactor.rule.payload == Payload::None {
            let keep = match transport {
                Transport::ICMP | Transport::ICMPV6 | Transport::SCTP => ICMP_HEAD,
                _ => 0,
            };
            hide_behind(payload, keep);
            continue;
        }
        match transport {
            Transport::ICMP | Transport::ICMPV6 => hide_behind(payload, quoted(redactor, payload)),
            Transport::SCTP => hide_behind(
                payload,
                if redactor.rule.keeps("sctp") {
                    payload.len()
                } else {
                    ICMP_HEAD
                },
            ),
            Transport::Udp => {
                if matches!(carried.reading, Reading::Unknown) {
                    carried.reading = datagram_reading(redactor, frame, packet.direction, payload);
                }
                if matches!(carried.reading, Reading::Hidden) {
                    payload.fill(MASK);
                }
            }
            _ => payload.fill(MASK),
        }
    }
}

fn hide_behind(payload: &mut [u8], keep: usize) {
    if let Some(rest) = payload.get_mut(keep.min(payload.len())..) {
        rest.fill(0);
    }
}

/// Octets of an ICMP message that stay: its head, and of a quoted packet its headers.
fn quoted(redactor: &Redactor, payload: &[u8]) -> usize {
    if redactor.rule.keeps("icmp") {
        return payload.len();
    }
    let is_error = matches!(payload.first(), Some(1..=5 | 11 | 12));
    let inner = payload.get(ICMP_HEAD).copied().unwrap_or(0);
    match (is_error && !redactor.rule.addresses, inner >> 4) {
        (true, 4) => ICMP_HEAD + usize::from(inner & 0x0f) * 4 + QUOTED,
        (true, 6) => ICMP_HEAD + 40 + QUOTED,
        _ => ICMP_HEAD,
    }
}

/// What detection is told of the stream to which a frame belongs.
fn info_of(frame: &Frame, direction: Direction, opening: Opening) -> StreamInfo {
    let tuple = match direction {
        Direction::ToServer => frame.layers.tuple,
        Direction::ToClient => frame.layers.tuple.reversed(),
    };
    StreamInfo {
        name: StreamName {
            stream: StreamId(0),
            transport: tuple.transport,
        },
        client: tuple.src,
        server: tuple.dst,
        opening,
        first: Timestamp::default(),
    }
}

fn datagram_reading(
    redactor: &Redactor,
    frame: &Frame,
    direction: Direction,
    payload: &[u8],
) -> Reading {
    let info = info_of(frame, direction, Opening::FirstPacket);
    let (asked, answered): (&[u8], &[u8]) = match direction {
        Direction::ToServer => (payload, &[]),
        Direction::ToClient => (&[], payload),
    };
    match redactor.protocols.recognise(&info, asked, answered) {
        Some(name) if redactor.rule.keeps(name) => Reading::Kept,
        // Its records are addresses, and bodies there are none.
        Some("dns") if !redactor.rule.addresses => Reading::Kept,
        _ => Reading::Hidden,
    }
}
