//! Frames: how messages stand one behind the other in a connection.
//!
//! In: bytes in any pieces. Out: whole frames. Never: a frame longer than the reader allows, memory
//! for bytes that did not come.
//!
//! ```text
//! frame = length u32 (of the body), kind u8, body
//! ```
//!
//! Integers are little-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes in front of a body.
pub const HEAD: usize = 5;

/// Bytes of one body at most.
pub const MAX_FRAME: usize = 8 << 20;

/// Bytes of the first body at most, when the other side has not said yet who it is.
pub const MAX_HELLO: usize = 64 << 10;

/// Bytes that are made room for at once; the length of a frame is not believed before it came.
const ROOM: usize = 64 << 10;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the body is; see [`super::message`].
    pub kind: u8,
    /// The body.
    pub body: Bytes,
}

/// A frame longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of {length} bytes is too long, {most} are allowed")]
pub struct TooLong {
    /// Bytes of its body.
    pub length: usize,
    /// Bytes that are allowed.
    pub most: usize,
}

/// A frame whose body is `parts`, one behind the other.
///
/// # Errors
/// When it is longer than [`MAX_FRAME`].
pub fn encode(kind: u8, parts: &[&[u8]]) -> Result<Bytes, TooLong> {
    let length = parts.iter().map(|part| part.len()).sum();
    let most = MAX_FRAME;
    if length > most {
        return Err(TooLong { length, most });
    }
    let mut frame = BytesMut::with_capacity(HEAD + length);
    frame.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_u8(kind);
    parts.iter().for_each(|part| frame.put_slice(part));
    Ok(frame.freeze())
}

/// Takes frames out of the bytes of a connection.
#[derive(Debug)]
pub struct Frames {
    buffer: BytesMut,
    most: usize,
}

impl Frames {
    /// Frames whose bodies have at most `most` bytes.
    pub fn new(most: usize) -> Frames {
        Frames {
            buffer: BytesMut::new(),
            most,
        }
    }

    /// Allows longer frames from now on.
    pub fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// Where the next bytes of the connection go, with room for some.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.buffer.reserve(ROOM);
        &mut self.buffer
    }

    /// The next frame; `None` when not all of it is there.
    ///
    /// # Errors
    /// When it is longer than allowed; nothing can be read behind it.
    pub fn take(&mut self) -> Result<Option<Frame>, TooLong> {
        let Some((head, _)) = self.buffer.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [a, b, c, d, kind] = *head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > self.most {
            return Err(TooLong {
                length,
                most: self.most,
            });
        }
        if self.buffer.len() - HEAD < length {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        let body = self.buffer.split_to(length).freeze();
        Ok(Some(Frame { kind, body }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(frames: &mut Frames) -> Result<Vec<Frame>, TooLong> {
        std::iter::from_fn(|| frames.take().transpose()).collect()
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            bodies in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
            cuts in prop::collection::vec(1_usize..700, 1..50),
        ) {
            let mut bytes = Vec::new();
            for (kind, body) in &bodies {
                let half = body.len() / 2;
                bytes.extend(encode(*kind, &[&body[..half], &body[half..]]).unwrap());
            }
            let mut frames = Frames::new(300);
            let mut found = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                frames.buffer().put_slice(piece);
                found.extend(all(&mut frames).unwrap());
                rest = behind;
            }
            let found: Vec<(u8, Vec<u8>)> =
                found.into_iter().map(|frame| (frame.kind, frame.body.to_vec())).collect();
            prop_assert_eq!(found, bodies);
        }

        #[test]
        fn any_bytes_are_read_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let mut frames = Frames::new(1000);
            frames.buffer().put_slice(&bytes);
            if let Ok(found) = all(&mut frames) {
                let taken: usize = found.iter().map(|frame| HEAD + frame.body.len()).sum();
                prop_assert!(taken <= bytes.len());
                prop_assert!(found.iter().all(|frame| frame.body.len() <= 1000));
            }
        }
    }

    #[test]
    fn a_length_is_not_believed() {
        let mut frames = Frames::new(MAX_FRAME);
        frames.buffer().put_slice(&[0, 0, 127, 0, 1]);
        assert_eq!(frames.take(), Ok(None));
        assert!(frames.buffer().capacity() < 1 << 20);
        let mut frames = Frames::new(MAX_HELLO);
        frames.buffer().put_slice(&[0xff; HEAD]);
        assert_eq!(
            frames.take().unwrap_err().to_string(),
            "a message of 4294967295 bytes is too long, 65536 are allowed"
        );
        assert!(encode(1, &[&vec![0; MAX_FRAME], b"x"]).is_err());
    }
}
