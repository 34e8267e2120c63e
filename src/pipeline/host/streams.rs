//! Streams as scripts see them: names under `pcaps/`, and links that stand for their packets.
//!
//! In: names and link files. Out: the packets, read from wherever they lie when somebody asks.
//! Never: a copy of the packets. A link is a small regular file:
//!
//! ```text
//! TAPEDECK-LINK 1
//! run=1706933106
//! stream=000000025258.pcap
//! ```

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use crate::packet::StreamName;

/// First line of a link file.
const MAGIC: &str = "TAPEDECK-LINK 1\n";

/// Largest link file; what is longer is some other file.
pub const MAX_LINK_BYTES: u64 = 128;

/// A stream of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamRef {
    /// Run that captured it: its Unix start second.
    pub run: u64,
    /// The stream's name in that run.
    pub stream: StreamName,
}

/// Where the packets of streams are read from: the spool, or the source itself offline.
pub trait StreamReader: Send + Sync {
    /// Writes one classic savefile (microseconds, snaplen 262144) with all packets of `streams` so
    /// far, in order of time, and answers how many; streams that are not there are left out.
    fn write_pcap(&self, streams: &[StreamRef], out: &mut dyn Write) -> Result<u64, String>;

    /// Whether any packet of the stream can still be read.
    fn has(&self, stream: StreamRef) -> bool;

    /// The same with the packets of all streams of this run that can be read.
    fn write_all(&self, out: &mut dyn Write) -> Result<u64, String>;

    /// Keeps the stream readable until [`StreamReader::unpin`]; called once a stream, whatever the
    /// number of its links.
    fn pin(&self, stream: StreamRef);

    /// Takes [`StreamReader::pin`] back.
    fn unpin(&self, stream: StreamRef);
}

impl StreamRef {
    /// Content of a link to this stream.
    pub fn link(self) -> String {
        format!("{MAGIC}run={}\nstream={}\n", self.run, self.stream)
    }

    /// Reads the content of a file; `None` when it is no link.
    pub fn from_link(bytes: &[u8]) -> Option<StreamRef> {
        let text = std::str::from_utf8(bytes).ok()?.strip_prefix(MAGIC)?;
        let (run, stream) = text.strip_prefix("run=")?.split_once('\n')?;
        let stream = stream.strip_prefix("stream=")?.strip_suffix('\n')?;
        Some(StreamRef {
            run: run.parse().ok()?,
            stream: StreamName::parse(stream)?,
        })
    }
}

/// Counts the links of each stream, so that its first link pins it and its last one lets it go.
pub(crate) struct Pins {
    reader: Arc<dyn StreamReader>,
    links: Mutex<HashMap<StreamRef, u64>>,
}

impl Pins {
    /// No links yet.
    pub(crate) fn new(reader: Arc<dyn StreamReader>) -> Pins {
        Pins {
            reader,
            links: Mutex::default(),
        }
    }

    /// Where the packets are.
    pub(crate) fn reader(&self) -> &dyn StreamReader {
        self.reader.as_ref()
    }

    /// A link was made or found.
    pub(crate) fn add(&self, stream: StreamRef) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let count = links.entry(stream).or_default();
        *count += 1;
        if *count == 1 {
            self.reader.pin(stream);
        }
    }

    /// A link is gone.
    pub(crate) fn remove(&self, stream: StreamRef) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = links.get_mut(&stream) {
            *count -= 1;
            if *count == 0 {
                links.remove(&stream);
                self.reader.unpin(stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_reads_back_and_nothing_else_is_one() {
        let stream = StreamRef {
            run: 1_706_933_106,
            stream: StreamName::parse("000000025277_udp").unwrap(),
        };
        let text = stream.link();
        assert!((text.len() as u64) < MAX_LINK_BYTES);
        assert_eq!(StreamRef::from_link(text.as_bytes()), Some(stream));
        for other in ["", MAGIC, "run=1\nstream=1\n", "\u{d4}\u{c3}"] {
            assert_eq!(StreamRef::from_link(other.as_bytes()), None);
        }
    }
}
