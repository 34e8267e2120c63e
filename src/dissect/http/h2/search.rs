//! Where frames begin, when nothing but the bytes can tell: in detection and behind gaps.
//!
//! In: bytes from anywhere in a connection. Out: whether frames begin here, or where the next one
//! does. Never: state. A header says little by itself, so the one behind its payload must be one too.

use super::frame::{HEADER_LEN, Header, PREFACE};

/// Frames from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    /// No frame begins here.
    Broken,
    /// So many whole frames, at least one, and then nothing or the front of another.
    Frames {
        /// How many.
        whole: usize,
        /// Whether the bytes end where a frame does.
        even: bool,
    },
    /// Only the front of a frame, which ends behind so many bytes.
    Open(usize),
}

/// Frames that are followed at most; so many are no accident.
const MAX_FOLLOWED: usize = 8;

/// Follows the frames at the front of `bytes`; no payload is longer than `max`.
pub(super) fn chain(bytes: &[u8], max: u32) -> Chain {
    let mut rest = bytes;
    let mut whole = 0;
    while whole < MAX_FOLLOWED {
        let Some(header) = Header::read(rest) else {
            return match (whole, fronts_header(rest)) {
                (_, false) => Chain::Broken,
                (0, true) => Chain::Open(HEADER_LEN),
                (whole, true) => Chain::Frames {
                    whole,
                    even: rest.is_empty(),
                },
            };
        };
        if !header.is_plausible(max) {
            return Chain::Broken;
        }
        match rest.get(HEADER_LEN + header.payload()..) {
            Some(behind) => rest = behind,
            None if whole == 0 => return Chain::Open(HEADER_LEN + header.payload()),
            None => return Chain::Frames { whole, even: false },
        }
        whole += 1;
    }
    Chain::Frames { whole, even: true }
}

/// Whether fewer bytes than a header may be the front of one.
fn fronts_header(bytes: &[u8]) -> bool {
    let length_fits = bytes.first().is_none_or(|byte| *byte == 0);
    length_fits && bytes.get(3).is_none_or(|kind| *kind < 10)
}

/// Where the next frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// At this offset.
    At(usize),
    /// Perhaps at this offset; that so many bytes from there on would tell.
    Maybe(usize, usize),
    /// Nowhere in these bytes.
    Nowhere,
}

/// Looks for frames or a preface; `fresh` when `bytes` begin where a packet does, so that a single
/// frame which fills them is one.
pub(super) fn find(bytes: &[u8], max: u32, fresh: bool) -> Found {
    // The first octet of a length below 64 KiB is zero; longer frames are passed over.
    for at in memchr::memchr2_iter(0, b'P', bytes) {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.first() == Some(&b'P') {
            if rest
                .iter()
                .zip(PREFACE)
                .all(|(byte, wanted)| byte == wanted)
            {
                return match rest.len() >= PREFACE.len() {
                    true => Found::At(at),
                    false => Found::Maybe(at, PREFACE.len()),
                };
            }
            continue;
        }
        match chain(rest, max) {
            Chain::Broken => {}
            Chain::Frames { whole, even } if whole > 1 || (even && fresh && at == 0) => {
                return Found::At(at);
            }
            Chain::Frames { .. } => {
                let header = Header::read(rest).map_or(0, |header| header.payload());
                return Found::Maybe(at, 2 * HEADER_LEN + header);
            }
            Chain::Open(needs) => return Found::Maybe(at, needs + HEADER_LEN),
        }
    }
    Found::Nowhere
}

#[cfg(test)]
mod tests {
    use super::super::frame::DEFAULT_MAX_FRAME;
    use super::*;

    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";

    fn look(bytes: &[u8], fresh: bool) -> Found {
        find(bytes, DEFAULT_MAX_FRAME, fresh)
    }

    #[test]
    fn a_frame_is_found_by_the_next_one() {
        let two = [PING, PING].concat();
        assert_eq!(look(&two, false), Found::At(0));
        assert_eq!(look(PING, true), Found::At(0));
        assert_eq!(look(PING, false), Found::Maybe(0, 26));
        assert_eq!(look(&PING[..12], true), Found::Maybe(0, 26));
        let behind = [b"some \0\0\0 data P".as_slice(), &two].concat();
        assert_eq!(look(&behind, true), Found::At(15));
        assert_eq!(look(&[0; 4000], true), Found::Maybe(3992, 18));
        assert_eq!(look(&[7; 4000], true), Found::Nowhere);
    }

    #[test]
    fn a_preface_is_found() {
        assert_eq!(look(&[b"xP", PREFACE].concat(), false), Found::At(2));
        assert_eq!(look(b"xPRI *", false), Found::Maybe(1, 24));
    }
}
