//! What a capture holds beside its packets: names, key logs, and blocks of our own.
//!
//! In: pcapng blocks that are no packets. Out: what is of use in them, until somebody takes it. Never:
//! more of it than the bounds below, whatever the file holds.

use std::net::IpAddr;

use super::FileSource;
use crate::capture::Source;
use crate::packet::savefile::pcapng;

/// Names taken from one file; a recording writes a quarter of that at most.
const MAX_NAMES: usize = 65_536;

/// Bytes of key logs taken from one file; a connection has some 700 of them.
const MAX_KEY_LOG_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of custom blocks taken from one file; a recording writes a quarter of that at most.
const MAX_CUSTOM_BYTES: usize = 256 * 1024 * 1024;

/// How the data of custom blocks begins that are our own.
const CUSTOM_MARK: &[u8] = b"tapedeck ";

/// Bytes kept of a name: a full domain name, twice over.
const MAX_NAME_BYTES: usize = 512;

/// What the blocks of a file say that are no packets.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Names that the file holds for addresses, and whether some are new since they were asked for.
    pub(super) names: Vec<(IpAddr, Box<str>)>,
    pub(super) names_are_new: bool,
    /// Key logs that nobody took yet, and the bytes of all so far.
    pub(super) key_logs: Vec<Vec<u8>>,
    key_log_bytes: usize,
    /// Custom blocks before the first packet, until somebody takes them, and those behind packets.
    pub(super) front: Option<Vec<Vec<u8>>>,
    pub(super) back: Vec<Vec<u8>>,
    custom_bytes: usize,
}

impl Default for Blocks {
    fn default() -> Blocks {
        Blocks {
            names: Vec::new(),
            names_are_new: false,
            key_logs: Vec::new(),
            key_log_bytes: 0,
            front: Some(Vec::new()),
            back: Vec::new(),
            custom_bytes: 0,
        }
    }
}

impl Blocks {
    /// Keeps what is of use in a block; `is_front` before the first packet.
    pub(super) fn note(&mut self, block: &pcapng::Block<'_>, is_front: bool) {
        match block.kind {
            pcapng::NAMES => {
                let room = MAX_NAMES - self.names.len();
                let before = self.names.len();
                let named = pcapng::names(block).take(room);
                self.names
                    .extend(named.map(|(ip, name)| (ip, clipped(name).into())));
                self.names_are_new |= self.names.len() > before;
            }
            pcapng::CUSTOM | pcapng::CUSTOM_NO_COPY => {
                let Some((_, data)) = pcapng::custom(block) else {
                    return;
                };
                if data.starts_with(CUSTOM_MARK)
                    && self.custom_bytes + data.len() <= MAX_CUSTOM_BYTES
                {
                    self.custom_bytes += data.len();
                    match &mut self.front {
                        Some(front) if is_front => front.push(data.to_vec()),
                        _ => self.back.push(data.to_vec()),
                    }
                }
            }
            pcapng::SECRETS => {
                if let Some((pcapng::SECRETS_TLS_KEY_LOG, text)) = pcapng::secrets(block)
                    && self.key_log_bytes + text.len() <= MAX_KEY_LOG_BYTES
                {
                    self.key_log_bytes += text.len();
                    self.key_logs.push(text.to_vec());
                }
            }
            _ => {}
        }
    }
}

/// Custom blocks of files that are read to their end, until somebody takes them.
#[derive(Debug, Default)]
pub struct LeftBlocks {
    front: Option<Vec<Vec<u8>>>,
    back: Vec<Vec<u8>>,
}

impl LeftBlocks {
    /// Keeps what nobody took of a file that is done.
    pub fn keep(&mut self, done: &mut FileSource) {
        self.front = done.front_blocks().or(self.front.take());
        self.back.extend(done.back_blocks());
    }

    /// See [`Source::front_blocks`]; `current` is the file that is read.
    pub fn front(&mut self, current: Option<&mut FileSource>) -> Option<Vec<Vec<u8>>> {
        let current = current.and_then(FileSource::front_blocks);
        self.front.take().or(current)
    }

    /// See [`Source::back_blocks`]; `current` is the file that is read.
    pub fn back(&mut self, current: Option<&mut FileSource>) -> Vec<Vec<u8>> {
        let mut blocks = std::mem::take(&mut self.back);
        if let Some(current) = current {
            blocks.extend(current.back_blocks());
        }
        blocks
    }
}

/// The front of a name that is kept.
fn clipped(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_NAME_BYTES))
        .unwrap_or(name)
}
