//! The way from ingest to workers in a live run: what waits while they are slow (design D9).
//!
//! In: steps whose packets the spool has. Out: the same steps, in order. While little waits, steps
//! keep their bytes; beyond [`MAX_WAITING_BYTES`] they let go of packets and bytes, which come back
//! from the spool when their turn comes. What the ring has overwritten by then is counted as not
//! dissected. Never: waiting in the ingest thread for a slow worker, so that no burst makes the
//! kernel drop packets as long as [`MAX_WAITING_STEPS`] are not met.
//!
//! ```text
//! ingest ──whole or spooled──▶ backlog ──whole──▶ workers
//!    │                            ▲
//!    └────────▶ spool ────────────┘
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::crew::Feed;
use super::{Counters, Spent, Step};
use crate::packet::headers::{Decoder, Found};
use crate::packet::{Batch, Decoded, Packet, Record};
use crate::spool::{self, NOWHERE};

/// Captured bytes that wait in memory.
pub(super) const MAX_WAITING_BYTES: u64 = 64 << 20;

/// Steps that wait, with bytes or without: 16 GiB of traffic in full steps, and some 30 MB of memory
/// when few streams begin in them.
const MAX_WAITING_STEPS: usize = 1 << 16;

/// What is kept of a step whose packets are read from the spool again.
struct Spooled {
    step: Step,
    first: u64,
    count: u64,
    /// Packets whose headers do not tell all by themselves: fragments, and what was put together.
    special: Vec<Packet>,
}

enum Waiting {
    Whole(Box<Step>, u64),
    Spooled(Box<Spooled>),
}

/// The entrance, for the ingest thread.
pub(super) struct Entrance {
    to: Sender<Waiting>,
    bytes: Arc<AtomicU64>,
    max_bytes: u64,
    counters: Arc<Counters>,
}

/// The exit, for the workers.
pub(super) struct Backlog {
    from: Receiver<Waiting>,
    bytes: Arc<AtomicU64>,
    reader: spool::Reader,
    counters: Arc<Counters>,
}

/// A backlog over the spool that `reader` reads.
pub(super) fn new(
    reader: spool::Reader,
    max_bytes: u64,
    counters: Arc<Counters>,
) -> (Entrance, Backlog) {
    let (to, from) = bounded(MAX_WAITING_STEPS);
    let bytes = Arc::new(AtomicU64::new(0));
    let entrance = Entrance {
        to,
        bytes: bytes.clone(),
        max_bytes,
        counters: counters.clone(),
    };
    let backlog = Backlog {
        from,
        bytes,
        reader,
        counters,
    };
    (entrance, backlog)
}

impl Entrance {
    /// Hands a step on; false when nobody takes it any more.
    pub(super) fn send(&self, step: Step) -> bool {
        let batch = &step.batch;
        let size = batch.bytes.len() as u64;
        let in_spool = batch
            .packets
            .iter()
            .all(|packet| packet.record.position != NOWHERE);
        let is_full = self.bytes.load(Ordering::Acquire) + size > self.max_bytes;
        let waiting = if is_full && in_spool && !batch.packets.is_empty() {
            let spooled = Spooled::of(step);
            self.counters
                .behind
                .fetch_add(spooled.count, Ordering::Relaxed);
            Waiting::Spooled(Box::new(spooled))
        } else {
            self.bytes.fetch_add(size, Ordering::AcqRel);
            Waiting::Whole(Box::new(step), size)
        };
        self.to.send(waiting).is_ok()
    }
}

impl Feed for Backlog {
    /// Waits for the ingest thread.
    fn next(&mut self, _: Option<Spent>) -> Option<Step> {
        Some(match self.from.recv().ok()? {
            Waiting::Whole(step, size) => {
                self.bytes.fetch_sub(size, Ordering::AcqRel);
                *step
            }
            Waiting::Spooled(spooled) => {
                let count = spooled.count;
                let (step, missing) = spooled.read(&self.reader);
                self.counters.behind.fetch_sub(count, Ordering::Relaxed);
                self.counters
                    .not_dissected
                    .fetch_add(missing, Ordering::Relaxed);
                step
            }
        })
    }
}

impl Spooled {
    fn of(mut step: Step) -> Spooled {
        let batch = batch_of(&mut step);
        let packets = std::mem::take(&mut batch.packets);
        batch.bytes = Bytes::new();
        let first = packets.first().map_or(0, |packet| packet.ordinal);
        let count = packets.len() as u64;
        let is_special = |packet: &Packet| match &packet.decoded {
            Decoded::Flow(layers) => layers.datagram.is_some(),
            Decoded::Fragment => true,
            _ => false,
        };
        let special: Vec<Packet> = packets.into_iter().filter(is_special).collect();
        let in_tunnel = |packet: &Packet| matches!(&packet.decoded, Decoded::Flow(layers) if layers.tunnel.is_some());
        if !special.iter().any(in_tunnel) {
            batch.tunnels = Vec::new();
        }
        Spooled {
            step,
            first,
            count,
            special,
        }
    }

    /// The step with its packets again, and how many of them are gone.
    fn read(mut self, reader: &spool::Reader) -> (Step, u64) {
        let mut packets = Vec::with_capacity(usize::try_from(self.count).unwrap_or_default());
        let mut bytes = Vec::new();
        let mut special = self.special.into_iter().peekable();
        let mut decoder = Decoder::new();
        // What special packets point at stays in its place.
        let mut found = Found {
            tunnels: std::mem::take(&mut batch_of(&mut self.step).tunnels),
            ..Found::default()
        };
        let mut each = |entry: &spool::Entry, captured: &[u8]| {
            let record = Record {
                ts: entry.ts,
                start: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                caplen: entry.caplen,
                len: entry.len,
                linktype: entry.linktype,
                interface: entry.interface,
                position: entry.position,
            };
            bytes.extend_from_slice(captured);
            while special
                .next_if(|next| next.ordinal < entry.ordinal)
                .is_some()
            {}
            let decoded = match special.next_if(|next| next.ordinal == entry.ordinal) {
                Some(known) => known.decoded,
                None => decoder.decode(entry.ordinal, &record, captured, &mut found),
            };
            // An adopted fragment was no stream's when it came.
            let stream = entry.stream.filter(|_| !entry.fragment);
            packets.push(Packet {
                ordinal: entry.ordinal,
                record,
                decoded,
                stream: stream.map(|(name, direction)| (name.stream, direction)),
            });
        };
        let read = reader.range(self.first, self.count, &mut each);
        let missing = self.count - packets.len() as u64;
        if let Err(error) = read {
            tracing::warn!(%error, missing, "packets cannot be read back from the spool");
        }
        let batch = batch_of(&mut self.step);
        batch.bytes = bytes.into();
        batch.packets = packets;
        batch.tunnels = found.tunnels;
        (self.step, missing)
    }
}

/// The batch of a step that nobody else has yet.
fn batch_of(step: &mut Step) -> &mut Batch {
    Arc::get_mut(&mut step.batch).expect("a step that waits is not shared")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::folder;
    use crate::flow::Limits;
    use crate::item::Origin;
    use crate::pipeline::Stop;
    use crate::pipeline::crew::MAX_STEPS;
    use crate::pipeline::ingest::{Failure, Ingest, Setup};
    use crate::synth;

    /// What came out of ingest and a way, with the counters.
    fn steps(frames: &[synth::Frame], spool_bytes: u64, max_bytes: Option<u64>) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("a.pcap");
        std::fs::write(&capture, synth::savefile(frames)).unwrap();
        let mut options = spool::Options::new(folder.path().join("spool"), 1);
        options.max_bytes = spool_bytes;
        options.segment_bytes = 1 << 16;
        let (writer, reader) = spool::Writer::open(options).unwrap();
        let counters = Arc::new(Counters::default());
        let mut ingest = Ingest::new(Setup {
            source: folder::open_all(&[capture]).unwrap(),
            spool: Some(writer),
            origin: Arc::new(Origin::default()),
            names: None,
            live: None,
            limits: Limits::default(),
            stop: Stop::default(),
            counters: counters.clone(),
            secrets: Arc::default(),
            cuts: crate::pipeline::Cuts::default(),
            failure: Failure::default(),
        });
        let made = std::iter::from_fn(|| ingest.next(None));
        let (steps, behind): (Vec<Step>, u64) = match max_bytes {
            None => (made.collect(), 0),
            Some(max_bytes) => {
                let (entrance, mut backlog) = new(reader, max_bytes, counters.clone());
                for step in made {
                    assert!(entrance.send(step));
                }
                drop(entrance);
                // Everything waits until now, as behind a worker that was slow all the time.
                let behind = counters.now().behind;
                (std::iter::from_fn(|| backlog.next(None)).collect(), behind)
            }
        };
        Outcome {
            steps,
            behind,
            counts: counters.now(),
        }
    }

    struct Outcome {
        steps: Vec<Step>,
        behind: u64,
        counts: crate::pipeline::Counts,
    }

    fn conversations(count: u8) -> Vec<synth::Frame> {
        let one = |last: u8| {
            synth::tcp(([10, 0, 0, last], 40_000), ([10, 0, 1, 1], 80))
                .to_server(vec![last; 50_000])
                .to_client(b"HTTP/1.1 204 No Content\r\n\r\n")
                .fin()
        };
        synth::merge((1..=count).map(one))
    }

    #[test]
    fn steps_come_back_from_the_spool_as_they_were() {
        let frames = conversations(20);
        let straight = steps(&frames, 1 << 30, None);
        let behind = steps(&frames, 1 << 30, Some(0));
        assert!(straight.steps.len() > MAX_STEPS / 2);
        assert_eq!(behind.behind, frames.len() as u64);
        assert_eq!((behind.counts.behind, behind.counts.not_dissected), (0, 0));
        assert_eq!(straight.steps.len(), behind.steps.len());
        for (one, other) in straight.steps.iter().zip(&behind.steps) {
            assert_eq!(one.opened, other.opened);
            let (one, other) = (&one.batch, &other.batch);
            assert_eq!((one.number, one.now), (other.number, other.now));
            assert_eq!(one.ended, other.ended);
            assert_eq!(one.packets.len(), other.packets.len());
            for (packet, again) in one.packets.iter().zip(&other.packets) {
                assert_eq!(one.bytes_of(packet), other.bytes_of(again));
                // The source's record headers lie between its packets.
                let mut moved = *again;
                moved.record.start = packet.record.start;
                assert_eq!(*packet, moved);
            }
        }
    }

    #[test]
    fn little_that_waits_is_not_read_again() {
        let few = steps(&conversations(2), 1 << 30, Some(MAX_WAITING_BYTES));
        assert_eq!(few.behind, 0);
    }

    #[test]
    fn what_the_ring_has_overwritten_is_counted() {
        let frames = conversations(20);
        let late = steps(&frames, 1 << 18, Some(0));
        let read: usize = late.steps.iter().map(|step| step.batch.packets.len()).sum();
        assert!(late.counts.not_dissected > 0);
        assert_eq!(read as u64 + late.counts.not_dissected, frames.len() as u64);
    }
}
