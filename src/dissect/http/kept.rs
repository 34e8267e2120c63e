//! What is kept of a body: a slice of the capture while it came in one piece, else a copy.
//!
//! In: the parts of a body, in order. Out: its first bytes, up to [`MAX_ITEM_BODY`], and whether that
//! is all. Never: a copy of a body that came at once.

use bytes::Bytes;

use crate::item::MAX_ITEM_BODY;

/// The kept part of a body.
#[derive(Debug, Default, Clone)]
pub(super) struct Kept {
    bytes: Piece,
    /// Whether something was left out: by the cap, or because it was never seen.
    pub cut: bool,
}

#[derive(Debug, Clone)]
enum Piece {
    One(Bytes),
    Many(Vec<u8>),
}

impl Default for Piece {
    fn default() -> Piece {
        Piece::One(Bytes::new())
    }
}

impl Kept {
    /// Adds `bytes` up to the cap; when they are all of the body they are not copied.
    pub(super) fn push(&mut self, bytes: Bytes) {
        match &mut self.bytes {
            Piece::One(one) if one.is_empty() && !self.cut => {
                self.cut = bytes.len() > MAX_ITEM_BODY;
                *one = bytes.slice(..bytes.len().min(MAX_ITEM_BODY));
            }
            _ => self.push_copied(&bytes),
        }
    }

    /// Adds `bytes` up to the cap.
    pub(super) fn push_copied(&mut self, bytes: &[u8]) {
        if self.cut {
            return;
        }
        let room = MAX_ITEM_BODY.saturating_sub(self.len());
        self.cut = bytes.len() > room;
        let bytes = bytes.get(..room).unwrap_or(bytes);
        match &mut self.bytes {
            Piece::One(one) => {
                let mut many = Vec::with_capacity(one.len() + bytes.len());
                many.extend_from_slice(one);
                many.extend_from_slice(bytes);
                self.bytes = Piece::Many(many);
            }
            Piece::Many(many) => many.extend_from_slice(bytes),
        }
    }

    /// Bytes kept.
    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// The bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        match &self.bytes {
            Piece::One(one) => one,
            Piece::Many(many) => many,
        }
    }

    /// The bytes, which stay here too.
    pub(super) fn share(&mut self) -> Bytes {
        self.join();
        self.clone().into_bytes()
    }

    /// Lets go of the captured bytes that these are a slice of.
    pub(super) fn own(&mut self) {
        if let Piece::One(one) = &mut self.bytes {
            *one = Bytes::copy_from_slice(one);
        }
    }

    /// Makes one shared piece of the bytes.
    pub(super) fn join(&mut self) {
        if let Piece::Many(many) = &mut self.bytes {
            self.bytes = Piece::One(Bytes::from(std::mem::take(many)));
        }
    }

    /// The bytes alone.
    pub(super) fn into_bytes(self) -> Bytes {
        match self.bytes {
            Piece::One(one) => one,
            Piece::Many(many) => Bytes::from(many),
        }
    }
}
