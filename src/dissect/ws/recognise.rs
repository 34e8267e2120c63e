//! What a run of frames looks like: for detection, and for finding the way back.
//!
//! In: bytes from anywhere in a stream. Out: how many frames fit in a row from their start, and
//! what speaks for them. Never: state. Standard: RFC 6455 sections 5 to 7; what the standard lets a
//! receiver ignore speaks against a frame here, since senders do not do it.

use super::parser::{self, Header, Opcode, Parsed};

/// Frames in a row that tell a WebSocket whose handshake was not seen.
const MIN_FRAMES: usize = 4;

/// Masked frames in a row that need no other witness.
const MIN_MASKED: usize = 3;

/// Bytes of text that are a witness; less may be chance.
const MIN_TEXT: usize = 4;

/// Longest frame that is believed where frames are only guessed at.
const MAX_GUESSED: u64 = 1 << 20;

/// Longest frame that is waited for in order to find the way back.
const MAX_AWAITED: usize = 64 * 1024;

/// How a run of frames ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the last byte.
    Whole,
    /// Within a frame; this many bytes from the start of the run are needed.
    Within(usize),
    /// At something that is no frame.
    Broken,
}

/// Frames that fit in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Whole frames.
    pub frames: usize,
    /// Those whose content speaks for them: text in UTF-8, a close with a status code.
    pub witnesses: usize,
    /// How it ends.
    pub end: End,
}

/// Looks at `bytes` as frames that are masked, or are not.
pub(super) fn run(bytes: &[u8], masked: bool) -> Run {
    let mut run = Run {
        frames: 0,
        witnesses: 0,
        end: End::Whole,
    };
    let mut at = 0;
    // Whether a message goes on; of the one that `bytes` may begin in it is not known.
    let mut goes_on = None;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let header = match parser::header(rest) {
            Parsed::Header(header) if is_usual(&header, masked) => header,
            Parsed::Partial(need) if is_usual_start(rest, masked) => {
                run.end = End::Within(at + need);
                return run;
            }
            _ => {
                run.end = End::Broken;
                return run;
            }
        };
        // `is_usual` has an eye on the length.
        let continues = header.opcode == Opcode::Continuation;
        if !header.opcode.is_control() {
            if goes_on == Some(!continues) {
                run.end = End::Broken;
                return run;
            }
            goes_on = Some(!header.fin);
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let end = header.size.saturating_add(length);
        let payload = rest.get(header.size..).unwrap_or_default();
        let whole = payload.get(..length);
        let Some(witness) = content(&header, whole.unwrap_or(payload), whole.is_some()) else {
            run.end = End::Broken;
            return run;
        };
        if whole.is_none() {
            run.end = End::Within(at.saturating_add(end));
            return run;
        }
        run.frames += 1;
        run.witnesses += usize::from(witness);
        at += end;
    }
    run
}

/// Whether runs of both sides tell a WebSocket: `None` while they may.
pub(super) fn tells(client: Run, server: Run) -> Option<bool> {
    if client.end == End::Broken || server.end == End::Broken {
        return Some(false);
    }
    let frames = client.frames + server.frames;
    let witnesses = client.witnesses + server.witnesses;
    let enough = frames >= MIN_FRAMES && (witnesses > 0 || client.frames >= MIN_MASKED);
    enough.then_some(true)
}

/// Where to go on after a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    /// A frame begins here.
    Here,
    /// More bytes are needed to tell.
    NeedMore(usize),
    /// Not in these bytes.
    Nowhere,
}

/// Whether a frame begins with `bytes`, of a side of which it is known that it masks, or not.
///
/// Frames most likely begin where segments do. What they must do is fit up to the last byte, or
/// two must, and the begin of a third.
pub(super) fn back(bytes: &[u8], masked: bool) -> Back {
    let run = run(bytes, masked);
    match run.end {
        End::Broken => Back::Nowhere,
        End::Whole => Back::Here,
        End::Within(_) if run.frames >= 2 => Back::Here,
        End::Within(need) if need <= MAX_AWAITED => Back::NeedMore(need),
        End::Within(_) => Back::Nowhere,
    }
}

fn is_usual(header: &Header, masked: bool) -> bool {
    let data = matches!(header.opcode, Opcode::Text | Opcode::Binary);
    header.mask.is_some() == masked
        && header.minimal
        && !header.rsv23
        && header.length <= MAX_GUESSED
        // The bit stands on the first frame of a message (RFC 7692 section 6).
        && (!header.rsv1 || data)
        && (header.fin || header.length > 0)
}

/// The same for the first bytes of a header.
fn is_usual_start(bytes: &[u8], masked: bool) -> bool {
    let is = |first: u8| first & 0x30 == 0 && (first & 0x40 == 0 || matches!(first & 0x0f, 1 | 2));
    bytes.first().is_some_and(|first| is(*first))
        && bytes
            .get(1)
            .is_none_or(|second| (second & 0x80 != 0) == masked)
}

/// Whether the content speaks for the frame; `None` when it speaks against it.
fn content(header: &Header, payload: &[u8], whole: bool) -> Option<bool> {
    let judged = matches!(header.opcode, Opcode::Text | Opcode::Close) && !header.rsv1;
    if !judged {
        return Some(false);
    }
    let unmasked;
    let payload = match header.mask {
        Some(key) => {
            let mut copy = payload.to_vec();
            parser::unmask(&mut copy, key, 0);
            unmasked = copy;
            &unmasked
        }
        None => payload,
    };
    match (header.opcode, parser::close(payload)) {
        (Opcode::Text, _) => {
            is_text(payload, whole && header.fin).then_some(payload.len() >= MIN_TEXT)
        }
        (_, Some((code, reason))) => {
            ((1000..5000).contains(&code) && is_text(reason, whole)).then_some(true)
        }
        // "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer".
        _ => (!whole || payload.is_empty()).then_some(false),
    }
}

/// Whether it is UTF-8; a character that is cut at the end is allowed unless `whole`.
fn is_text(bytes: &[u8], whole: bool) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => !whole && error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_end_where_frames_do() {
        let text = b"\x81\x05Hello\x89\x02hi";
        let cases: [(&[u8], usize, End); 9] = [
            (text, 2, End::Whole),
            (&text[..8], 1, End::Within(9)),
            (&text[..9], 1, End::Within(11)),
            (b"\x81\x05Hel", 0, End::Within(7)),
            (b"\x81\x85Hel", 0, End::Broken),
            (b"\x81\x05Hel\xff\xff", 0, End::Broken),
            (b"\0\0\0\0", 0, End::Broken),
            (b"GET / HTTP/1.1\r\n", 0, End::Broken),
            (b"\x82\x7f\0\0\0\0\xff\0\0\0", 0, End::Broken),
        ];
        for (bytes, frames, end) in cases {
            let found = run(bytes, false);
            assert_eq!((found.frames, found.end), (frames, end), "{bytes:x?}");
        }
        assert_eq!(run(b"\x88\x02\x03\xe8", false).witnesses, 1);
        assert_eq!(run(b"\x88\x02\x00\x08", false).end, End::Broken);
        let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(
            (run(masked, true).frames, run(masked, true).witnesses),
            (1, 1)
        );
        assert_eq!(run(masked, false).end, End::Broken);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            masked in any::<bool>(),
        ) {
            run(&bytes, masked);
            back(&bytes, masked);
        }
    }
}
