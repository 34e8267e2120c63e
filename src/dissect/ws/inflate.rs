//! permessage-deflate: compressed messages of one side, inflated as they come.
//!
//! In: the payload bytes of compressed messages, unmasked and in order. Out: their content. Never:
//! content that refers to bytes which were not seen; more memory than two windows, [`STEP`] and
//! [`MAX_HELD`]; more output for one message than [`MAX_INFLATED`]. Standards: RFC 7692 section 7.2,
//! RFC 1951.
//!
//! Behind messages that were not seen the window begins empty: what a message refers to is either in
//! it, or in front of its start and an error. So a message that inflates to its end is right, whatever
//! was missed and whatever was agreed on; a window of 32 KiB with takeover serves for all parameters.
//!
//! Between messages only the window is kept. Within a message the state of the last block boundary
//! is kept too, with the compressed bytes since: a save holds that, and restoring inflates them
//! again, since a decoder's tables cannot be written down.

use bytes::{BufMut, Bytes};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress};

use super::agreed::Deflate;
use crate::bytes::Reader;

/// Content of one message that is inflated; clients and servers take 1 to 100 MiB by default. What
/// inflates to more is a bomb, and a message behind it that refers to it cannot be read.
pub(super) const MAX_INFLATED: u64 = 16 << 20;

/// Compressed bytes of one block that are held for a save; zlib's blocks have 64 KiB at most.
const MAX_HELD: usize = 256 * 1024;

/// Output made at a time.
const STEP: usize = 16 * 1024;

/// Smallest window: zlib uses this one where 256 bytes were agreed on.
const MIN_WINDOW: usize = 512;

/// What ends every message and is left out on the wire (RFC 7692 section 7.2.1).
const TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];

const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT
    | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY
    // Makes a distance beyond the window's start an error.
    | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;

/// Why a message cannot be inflated to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes are against RFC 1951, or refer to what never was.
    Malformed,
    /// The same, where it may refer to messages that were not seen.
    Window,
    /// It inflates to more than [`MAX_INFLATED`].
    TooLarge,
}

/// Inflates the messages of one side.
pub(super) struct Inflater {
    window: usize,
    takeover: bool,
    /// The last bytes of the messages so far, at most `window`; empty without takeover.
    history: Bytes,
    /// Whether the sender may refer to what is in front of `history`.
    lost: bool,
    inside: Option<Box<Inside>>,
}

/// A message that is being inflated.
struct Inside {
    core: DecompressorOxide,
    /// The window and [`STEP`]; the first `at` bytes are history and output.
    out: Vec<u8>,
    at: usize,
    produced: u64,
    /// Whether all input ended with a block.
    between_blocks: bool,
    mark: Mark,
}

/// The last block boundary.
struct Mark {
    /// The window there.
    history: Bytes,
    /// Bits of the byte before it that belong behind it, and their count.
    bits: [u8; 2],
    /// Input since; `None` when it was more than [`MAX_HELD`].
    held: Option<Vec<u8>>,
}

impl Inflater {
    /// An inflater at the first message of a side.
    pub(super) fn new(deflate: Deflate) -> Inflater {
        Inflater {
            window: (1_usize << deflate.window_bits.min(15)).max(MIN_WINDOW),
            takeover: deflate.takeover,
            history: Bytes::new(),
            lost: false,
            inside: None,
        }
    }

    /// An inflater of a side whose messages so far were not seen.
    pub(super) fn joined(deflate: Deflate) -> Inflater {
        Inflater {
            lost: deflate.takeover,
            ..Inflater::new(deflate)
        }
    }

    /// Starts a message.
    pub(super) fn begin(&mut self) {
        let history = self.history.clone();
        self.inside = Some(Inside::new(history, [0; 2], self.window));
    }

    /// Whether a message is being inflated.
    pub(super) fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// Inflates more of the message into `sink`.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        let window = self.window;
        let Some(inside) = &mut self.inside else {
            return Ok(());
        };
        let fed = inside.feed(bytes, window, sink);
        fed.map_err(|fault| self.failed(fault))
    }

    /// Gives up the message for what is wrong with it.
    fn failed(&mut self, fault: Fault) -> Fault {
        let lost = self.lost;
        self.abandon();
        match fault {
            Fault::Malformed if lost => Fault::Window,
            fault => fault,
        }
    }

    /// Ends the message and keeps its window for the next one.
    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        self.feed(TAIL, sink)?;
        let Some(inside) = self.inside.take() else {
            return Ok(());
        };
        if !inside.between_blocks {
            return Err(self.failed(Fault::Malformed));
        }
        if self.takeover {
            self.history = inside.history(self.window);
            self.lost &= self.history.len() < self.window;
        }
        Ok(())
    }

    /// Gives up the message, or one that was never seen: what refers to it cannot be read.
    pub(super) fn abandon(&mut self) {
        self.inside = None;
        if self.takeover {
            self.history = Bytes::new();
            self.lost = true;
        }
    }

    /// ```text
    /// state  = flags u8 (1 lost, 2 inside), history, inside: bits u8, count u8, produced u64, held
    /// texts  = length u32, bytes                                                  big-endian
    /// ```
    ///
    /// A message whose block is longer than [`MAX_HELD`] is saved as given up.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let bytes = |bytes: &[u8], out: &mut Vec<u8>| {
            out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            out.extend_from_slice(bytes);
        };
        match &self.inside {
            Some(inside) => match &inside.mark.held {
                Some(held) => {
                    out.put_u8(u8::from(self.lost) | 2);
                    bytes(&inside.mark.history, out);
                    out.extend_from_slice(&inside.mark.bits);
                    out.put_u64(inside.produced);
                    bytes(held, out);
                }
                None => {
                    out.put_u8(u8::from(self.takeover));
                    bytes(&[], out);
                }
            },
            None => {
                out.put_u8(u8::from(self.lost));
                bytes(&self.history, out);
            }
        }
    }

    /// Reads what [`Inflater::save`] wrote.
    pub(super) fn load(deflate: Deflate, from: &mut Reader<'_>) -> Option<Inflater> {
        let mut inflater = Inflater::new(deflate);
        let bytes = |most: usize, from: &mut Reader<'_>| {
            let length = usize::try_from(from.u32().ok()?).ok()?;
            let bytes = from.take(length).ok().filter(|_| length <= most)?;
            Some(Bytes::copy_from_slice(bytes))
        };
        let flags = from.u8().ok().filter(|flags| *flags < 4)?;
        let history = bytes(inflater.window, from)?;
        inflater.lost = flags & 1 != 0;
        if flags & 2 == 0 {
            inflater.history = history;
            return Some(inflater);
        }
        let bits = [from.u8().ok()?, from.u8().ok().filter(|count| *count < 8)?];
        let produced = from.u64().ok()?;
        let held = bytes(MAX_HELD, from)?;
        let mut inside = Inside::new(history, bits, inflater.window);
        inside.feed(&held, inflater.window, &mut |_| {}).ok()?;
        inside.produced = produced;
        inflater.inside = Some(inside);
        Some(inflater)
    }
}

impl Inside {
    fn new(history: Bytes, bits: [u8; 2], window: usize) -> Box<Inside> {
        let mut out = vec![0; window + STEP];
        let at = history.len().min(window);
        if let (Some(to), Some(from)) = (out.get_mut(..at), history.get(history.len() - at..)) {
            to.copy_from_slice(from);
        }
        let [bit_buf, num_bits] = bits;
        let boundary = BlockBoundaryState {
            num_bits,
            bit_buf,
            ..BlockBoundaryState::default()
        };
        Box::new(Inside {
            core: DecompressorOxide::from_block_boundary_state(&boundary),
            out,
            at,
            produced: 0,
            between_blocks: true,
            mark: Mark {
                history,
                bits,
                held: Some(Vec::new()),
            },
        })
    }

    fn feed(
        &mut self,
        mut input: &[u8],
        window: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Fault> {
        if input.is_empty() {
            return Ok(());
        }
        loop {
            if self.at == self.out.len() {
                let kept = window.min(self.at);
                self.out.copy_within(self.at - kept.., 0);
                self.at = kept;
            }
            let (status, read, wrote) =
                decompress(&mut self.core, input, &mut self.out, self.at, FLAGS);
            let (taken, rest) = input.split_at_checked(read).unwrap_or((input, &[]));
            self.mark.hold(taken);
            input = rest;
            sink(self.out.get(self.at..self.at + wrote).unwrap_or_default());
            self.at += wrote;
            self.produced += wrote as u64;
            if self.produced > MAX_INFLATED {
                return Err(Fault::TooLarge);
            }
            self.between_blocks = matches!(status, TINFLStatus::BlockBoundary | TINFLStatus::Done);
            match status {
                TINFLStatus::BlockBoundary | TINFLStatus::Done => {
                    self.reach_boundary(window);
                    if input.is_empty() {
                        return Ok(());
                    }
                }
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => return Ok(()),
                _ => return Err(Fault::Malformed),
            }
        }
    }

    fn reach_boundary(&mut self, window: usize) {
        let bits = match self.core.block_boundary_state() {
            Some(boundary) => [boundary.bit_buf, boundary.num_bits],
            None => {
                // Behind a final block, which a sender may use too (RFC 7692 section 7.2.3.4), the
                // next one begins at a whole byte.
                self.core.init();
                [0; 2]
            }
        };
        self.mark = Mark {
            history: self.history(window),
            bits,
            held: Some(Vec::new()),
        };
    }

    fn history(&self, window: usize) -> Bytes {
        let from = self.at.saturating_sub(window);
        Bytes::copy_from_slice(self.out.get(from..self.at).unwrap_or_default())
    }
}

impl Mark {
    fn hold(&mut self, bytes: &[u8]) {
        if let Some(held) = &mut self.held {
            match held.len() + bytes.len() <= MAX_HELD {
                true => held.extend_from_slice(bytes),
                false => self.held = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    const SIDE: Deflate = Deflate {
        takeover: true,
        window_bits: 15,
    };
    const NO_TAKEOVER: Deflate = Deflate {
        takeover: false,
        ..SIDE
    };

    /// Compresses as RFC 7692 section 7.2.1 says.
    fn deflate(side: &mut Compress, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() + 1024);
        side.compress_vec(message, &mut out, FlushCompress::Sync)
            .unwrap();
        assert_eq!(out.split_off(out.len() - 4), TAIL);
        out
    }

    fn inflate(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        inflater.begin();
        inflater.feed(payload, &mut |bytes| out.extend_from_slice(bytes))?;
        inflater.finish(&mut |bytes| out.extend_from_slice(bytes))?;
        Ok(out)
    }

    /// RFC 7692 section 7.2.3: one block, two blocks, no compression, a final block, a window that
    /// is taken over.
    #[test]
    fn examples_of_the_standard() {
        let cases: [&[u8]; 4] = [
            b"\xf2\x48\xcd\xc9\xc9\x07\x00",
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ];
        for payload in cases {
            let mut inflater = Inflater::new(SIDE);
            assert_eq!(inflate(&mut inflater, payload).unwrap(), b"Hello");
            let second = inflate(&mut inflater, b"\xf2\x00\x11\x00\x00").unwrap();
            assert_eq!(second, b"Hello", "with the window of the first");
        }
        let mut fresh = Inflater::new(NO_TAKEOVER);
        inflate(&mut fresh, cases[0]).unwrap();
        assert_eq!(
            inflate(&mut fresh, b"\xf2\x00\x11\x00\x00"),
            Err(Fault::Malformed),
            "refers to what is not taken over"
        );
        assert_eq!(inflate(&mut fresh, cases[0]).unwrap(), b"Hello");
    }

    #[test]
    fn a_bomb_is_cut_and_what_refers_to_it_is_refused() {
        let mut sender = Compress::new(Compression::best(), false);
        let bomb = deflate(&mut sender, &vec![0; MAX_INFLATED as usize + 1]);
        let mut inflater = Inflater::new(SIDE);
        let mut seen = 0;
        inflater.begin();
        let fed = inflater.feed(&bomb, &mut |bytes| seen += bytes.len() as u64);
        assert_eq!(fed, Err(Fault::TooLarge));
        assert!(seen <= MAX_INFLATED + STEP as u64);
        assert!(inflater.lost);
        let mut other = Inflater::new(NO_TAKEOVER);
        other.begin();
        assert!(other.feed(&bomb, &mut |_| {}).is_err());
        assert!(!other.lost);
    }

    #[test]
    fn a_cut_message_is_refused() {
        let mut inflater = Inflater::new(SIDE);
        assert_eq!(
            inflate(&mut inflater, b"\xf2\x48\xcd"),
            Err(Fault::Malformed)
        );
        assert!(inflater.lost);
    }

    /// Messages that share words, some longer than the window.
    fn messages(seeds: &[(u8, u16)]) -> Vec<Vec<u8>> {
        let message = |(seed, words): &(u8, u16)| {
            let word = |index: u16| {
                let at = u32::from(index).wrapping_mul(u32::from(*seed) + 77);
                format!(
                    "{}:{:x} ",
                    at % 61,
                    at.wrapping_mul(0x9e37_79b9) >> (at % 23)
                )
            };
            (0..*words).map(word).collect::<String>().into_bytes()
        };
        seeds.iter().map(message).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_cut_and_any_save_give_the_same_content(
            seeds in proptest::collection::vec((any::<u8>(), 0..9000u16), 1..6),
            cuts in proptest::collection::vec(1..5000usize, 1..6),
            save in 0..20usize,
        ) {
            let mut sender = Compress::new(Compression::default(), false);
            let mut inflater = Inflater::new(SIDE);
            let mut steps = 0;
            for message in messages(&seeds) {
                let payload = deflate(&mut sender, &message);
                let mut out = Vec::new();
                inflater.begin();
                let (mut rest, mut cut) = (payload.as_slice(), cuts.iter().cycle());
                while !rest.is_empty() {
                    let size = (*cut.next().unwrap()).min(rest.len());
                    let (piece, behind) = rest.split_at(size);
                    rest = behind;
                    inflater.feed(piece, &mut |bytes| out.extend_from_slice(bytes)).unwrap();
                    steps += 1;
                    if steps % (save + 1) == 0 {
                        let mut state = Vec::new();
                        inflater.save(&mut state);
                        let mut reader = Reader::new(&state);
                        inflater = Inflater::load(SIDE, &mut reader).unwrap();
                        prop_assert!(reader.is_empty() && inflater.is_inside());
                    }
                }
                inflater.finish(&mut |bytes| out.extend_from_slice(bytes)).unwrap();
                prop_assert_eq!(out, message);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..8),
        ) {
            let mut inflater = Inflater::new(SIDE);
            inflater.begin();
            for piece in &pieces {
                if inflater.feed(piece, &mut |_| {}).is_err() {
                    break;
                }
                let mut state = Vec::new();
                inflater.save(&mut state);
                Inflater::load(SIDE, &mut Reader::new(&state)).unwrap();
            }
            let _ = inflater.finish(&mut |_| {});
        }

        #[test]
        fn a_damaged_payload_is_survived(
            seeds in proptest::collection::vec((any::<u8>(), 0..600u16), 1..3),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
            cut in 1..90usize,
        ) {
            let mut sender = Compress::new(Compression::default(), false);
            let mut inflater = Inflater::new(SIDE);
            for message in messages(&seeds) {
                let mut payload = deflate(&mut sender, &message);
                for (at, byte) in &damage {
                    let at = at.index(payload.len());
                    payload[at] = *byte;
                }
                inflater.begin();
                for piece in payload.chunks(cut) {
                    let _ = inflater.feed(piece, &mut |_| {});
                    let mut state = Vec::new();
                    inflater.save(&mut state);
                    inflater = Inflater::load(SIDE, &mut Reader::new(&state)).unwrap();
                }
                let _ = inflater.finish(&mut |_| {});
            }
        }

        #[test]
        fn a_damaged_state_is_refused_or_survived(
            state in proptest::collection::vec(any::<u8>(), 0..120),
            flags in 0..4u8,
        ) {
            let state = [&[flags][..], &state].concat();
            if let Some(mut inflater) = Inflater::load(SIDE, &mut Reader::new(&state)) {
                let _ = inflater.feed(b"\xf2\x48\xcd\xc9\xc9\x07\x00", &mut |_| {});
            }
        }
    }
}
