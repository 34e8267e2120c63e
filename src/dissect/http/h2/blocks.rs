//! Field blocks for those who rewrite them: each line with the place of its value.
//!
//! In: whole field blocks of one direction, in order. Out: names, values and where the values stand.
//! Never: a name guessed. Standard: RFC 7541.

use std::ops::Range;

use super::hpack::{Decoder, Name, Written, fixed, hidden};

/// The field blocks of one direction of a connection.
#[derive(Debug, Clone)]
pub struct FieldBlocks(Decoder);

/// A value that a block holds.
#[derive(Debug)]
pub struct Sent<'a> {
    /// Name of the field; `None` when it was sent where nobody captured it.
    pub name: Option<&'a [u8]>,
    /// The value, decoded.
    pub value: &'a [u8],
    /// Where the block holds it; `None` when it came from a table.
    pub part: Option<Range<usize>>,
    coded: bool,
}

impl Sent<'_> {
    /// The bytes to be written over [`Sent::part`] so that `parts` of the value are gone: as many as
    /// there are, of a string that is as long as the one that was sent.
    pub fn without(&self, parts: &[Range<usize>]) -> Vec<u8> {
        if self.coded {
            return hidden(self.value, parts);
        }
        let mut value = self.value.to_vec();
        for part in parts {
            if let Some(part) = value.get_mut(part.clone()) {
                part.fill(b'*');
            }
        }
        value
    }
}

impl FieldBlocks {
    /// Of a connection that is seen from its beginning.
    pub fn new() -> FieldBlocks {
        let mut decoder = Decoder::new();
        // Whether the receiver allowed a table is not what matters here.
        decoder.allow(usize::MAX);
        FieldBlocks(decoder)
    }

    /// Of a connection that is joined late, or of which a block was missed.
    pub fn unknown() -> FieldBlocks {
        FieldBlocks(Decoder::unknown())
    }

    /// A block was missed: what the table holds is unknown from here on.
    pub fn lose(&mut self) {
        self.0.lose();
    }

    /// Reads a whole block and hands each line to `each`; false when it is against the standard.
    pub fn read(&mut self, block: &[u8], mut each: impl FnMut(&Sent<'_>)) -> bool {
        let mut line = |name: Name<'_>, value: Option<&[u8]>, place: Option<Written>| {
            let coded = place.as_ref().is_some_and(|place| place.coded);
            let mut sent = Sent {
                name: None,
                value: value.unwrap_or_default(),
                part: place.map(|place| place.part),
                coded,
            };
            match name {
                Name::Static(index) => {
                    let name = fixed(index.into()).map(|(name, _)| name.as_bytes());
                    sent.name = name;
                    each(&sent);
                }
                Name::Written(name) => {
                    let sent = Sent {
                        name: Some(name),
                        ..sent
                    };
                    each(&sent);
                }
                Name::Unknown => each(&sent),
            }
        };
        match self.0.decode_placed(block, &mut line) {
            Ok(progress) => progress.taken == block.len(),
            Err(_) => false,
        }
    }
}

impl Default for FieldBlocks {
    fn default() -> FieldBlocks {
        FieldBlocks::new()
    }
}
