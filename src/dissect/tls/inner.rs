//! What a decrypted connection carries: a conversation of its own, with its own detection.
//!
//! In: plaintext of both directions. Out: its items, marked as decrypted. Never: more than
//! [`Protocols::inside`] allows of TLS within TLS.

use bytes::Bytes;

use crate::dissect::{Conversation, Draft, Handover, Output, Protocols};
use crate::flow::{Chunk, Event, Gap, Opening, StreamInfo};
use crate::packet::{Direction, EndReason};

use super::exchange::Moment;

/// The conversation inside, if any.
#[derive(Default)]
pub(super) struct Inner {
    conversation: Option<Box<Conversation>>,
    /// Bytes of plaintext so far, to the server and to the client.
    offsets: [u64; 2],
    /// Who goes on inside, when the protocol that began the encryption said so.
    handover: Option<Handover>,
    /// State that was saved, until the protocols are known.
    saved: Option<Bytes>,
}

impl Inner {
    /// Takes the note of a handover: the name of the protocol that goes on inside, and behind a
    /// zero byte that one's own note. An empty note leaves it to detection.
    pub(super) fn expect(&mut self, note: &[u8]) {
        let mut parts = note.splitn(2, |byte| *byte == 0);
        let name = parts.next().unwrap_or_default();
        self.handover = crate::dissect::PROTOCOLS
            .iter()
            .find(|protocol| protocol.name().as_bytes() == name)
            .map(|protocol| Handover {
                protocol: protocol.name(),
                note: Bytes::copy_from_slice(parts.next().unwrap_or_default()),
            });
    }

    /// Restores what [`Inner::saved`] holds.
    pub(super) fn equip(&mut self, info: &StreamInfo, protocols: &Protocols) {
        if let Some(state) = self.saved.take()
            && let Some(inside) = protocols.inside()
        {
            self.conversation = Conversation::restore_inside(info, &inside, &state).map(Box::new);
        }
    }

    /// Takes the next plaintext of a direction.
    pub(super) fn plaintext(
        &mut self,
        (info, protocols): (&StreamInfo, &Protocols),
        direction: Direction,
        plaintext: Vec<u8>,
        at: Moment,
        out: &mut dyn Output,
    ) {
        if plaintext.is_empty() {
            return;
        }
        let offset = self.offset(direction);
        let chunk = Chunk {
            direction,
            offset: *offset,
            bytes: plaintext.into(),
            ts: at.ts,
            ordinal: at.ordinal,
        };
        *offset += chunk.bytes.len() as u64;
        if self.conversation.is_none() {
            let Some(inside) = protocols.inside() else {
                return;
            };
            let mut info = *info;
            if chunk.offset > 0 {
                // What was before is over: a hole hid how it goes on.
                info.opening = Opening::FirstPacket;
            }
            let conversation = Conversation::inside(&info, &inside, self.handover.as_ref());
            self.conversation = Some(Box::new(conversation));
        }
        self.event(Event::Chunk(chunk), out);
    }

    /// So many bytes of plaintext were not captured.
    pub(super) fn gap(&mut self, direction: Direction, len: u64, at: Moment, out: &mut dyn Output) {
        let offset = self.offset(direction);
        let gap = Gap {
            direction,
            offset: *offset,
            len,
            ts: at.ts,
            ordinal: at.ordinal,
        };
        *offset = offset.saturating_add(len);
        self.event(Event::Gap(gap), out);
    }

    /// A side is done.
    pub(super) fn fin(&mut self, direction: Direction, out: &mut dyn Output) {
        self.event(Event::Fin(direction), out);
    }

    /// What stays open lets go of the plaintext that it is a slice of.
    pub(super) fn settle(&mut self) {
        if let Some(conversation) = &mut self.conversation {
            conversation.settle();
        }
    }

    /// Hands out what is open; what comes after is looked at anew.
    pub(super) fn end(&mut self, out: &mut dyn Output) {
        self.handover = None;
        if let Some(mut conversation) = self.conversation.take() {
            conversation.end(EndReason::SourceEnd, &mut Decrypted(out));
        }
    }

    fn event(&mut self, event: Event, out: &mut dyn Output) {
        if let Some(conversation) = &mut self.conversation {
            conversation.event(event, &mut Decrypted(out));
        }
    }

    fn offset(&mut self, direction: Direction) -> &mut u64 {
        let [up, down] = &mut self.offsets;
        match direction {
            Direction::ToServer => up,
            Direction::ToClient => down,
        }
    }

    /// Offsets, handover and state, for saving.
    pub(super) fn parts(&self) -> ([u64; 2], Option<&Handover>, Vec<u8>) {
        let state = match (&self.conversation, &self.saved) {
            (Some(conversation), _) => conversation.save(),
            (None, Some(saved)) => saved.to_vec(),
            (None, None) => Vec::new(),
        };
        (self.offsets, self.handover.as_ref(), state)
    }

    /// The reverse of [`Inner::parts`], with the handover as its note.
    pub(super) fn of_parts(offsets: [u64; 2], note: &[u8], state: &[u8]) -> Inner {
        let mut inner = Inner {
            offsets,
            saved: (!state.is_empty()).then(|| Bytes::copy_from_slice(state)),
            ..Inner::default()
        };
        inner.expect(note);
        inner
    }
}

/// Marks what comes out of the inner conversation.
struct Decrypted<'a>(&'a mut dyn Output);

impl Output for Decrypted<'_> {
    fn item(&mut self, draft: Draft) {
        self.0.decrypted(draft);
    }

    fn decrypted(&mut self, draft: Draft) {
        self.0.decrypted(draft);
    }
}
