//! Streams of scripts, read from the spool.
//!
//! In: streams of this run and of earlier ones. Out: their packets. Never: a copy of them.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::packet::StreamName;
use crate::spool::Reader;
use crate::time::Timestamp;

use super::streams::{StreamReader, StreamRef};

/// Bytes of a classic savefile's header.
const HEADER_BYTES: usize = 24;

/// The spool as a [`StreamReader`].
pub struct SpoolStreams(pub Reader);

impl StreamReader for SpoolStreams {
    fn write_pcap(&self, streams: &[StreamRef], out: &mut dyn Write) -> Result<u64, String> {
        let mut runs: BTreeMap<u64, Vec<StreamName>> = BTreeMap::new();
        for stream in streams {
            runs.entry(stream.run).or_default().push(stream.stream);
        }
        // One run of a node ends before the next begins, so their order is the order of time.
        let mut packets = 0;
        let mut skip = 0;
        for (run, streams) in &runs {
            let Some(reader) = self.0.of_run(*run) else {
                continue;
            };
            let mut rest = Behind { out, skip };
            let written = reader.write_pcap(streams, &mut rest);
            packets += written.map_err(|error| error.to_string())?;
            skip = HEADER_BYTES;
        }
        if skip == 0 {
            let written = self.0.write_pcap(&[], out);
            written.map_err(|error| error.to_string())?;
        }
        Ok(packets)
    }

    fn has(&self, stream: StreamRef) -> bool {
        let id = stream.stream.stream;
        self.0.of_run(stream.run).is_some_and(|reader| {
            reader.is_open(id) || reader.last(id).is_ok_and(|last| last.is_some())
        })
    }

    fn write_all(&self, out: &mut dyn Write) -> Result<u64, String> {
        let (from, to) = (i64::MIN, i64::MAX);
        self.0
            .write_window(Timestamp::from_nanos(from), Timestamp::from_nanos(to), out)
            .map_err(|error| error.to_string())
    }

    fn pin(&self, stream: StreamRef) {
        let pinned = self
            .0
            .of_run(stream.run)
            .is_some_and(|reader| reader.pin(stream.stream.stream));
        if !pinned {
            tracing::warn!(
                run = stream.run,
                stream = %stream.stream,
                "a stream that a script keeps cannot be pinned and goes with the ring"
            );
        }
    }

    fn unpin(&self, stream: StreamRef) {
        if let Some(reader) = self.0.of_run(stream.run) {
            reader.unpin(stream.stream.stream);
        }
    }
}

/// A writer that leaves out the first bytes.
struct Behind<'a> {
    out: &'a mut dyn Write,
    skip: usize,
}

impl Write for Behind<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.out
            .write_all(bytes.get(skipped..).unwrap_or_default())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
