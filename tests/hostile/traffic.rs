//! Made traffic that comes as the clock goes.
//!
//! In: nothing. Out: conversations of HTTP, one after the other, and counts of all that was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tapedeck::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use tapedeck::synth;
use tapedeck::time::{Clock, SystemClock};

/// Requests of one conversation.
pub const REQUESTS: u64 = 4;

/// Time between two conversations.
const PAUSE: Duration = Duration::from_millis(15);

/// What was sent so far.
#[derive(Debug, Default)]
pub struct Sent {
    pub packets: AtomicU64,
    pub streams: AtomicU64,
    pub items: AtomicU64,
    /// Sum of the numbers in the paths of all requests.
    pub sum: AtomicU64,
}

/// The source; it ends when it is told to finish.
pub struct Traffic {
    sent: Arc<Sent>,
    ended: bool,
}

impl Traffic {
    pub fn new(sent: Arc<Sent>) -> Traffic {
        Traffic { sent, ended: false }
    }
}

impl Source for Traffic {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        if self.ended {
            return Ok(Filled::End);
        }
        thread::sleep(PAUSE);
        let stream = self.sent.streams.load(Ordering::Relaxed);
        let [.., high, low] = stream.to_be_bytes();
        let client = ([10, 1, high, low], 40_000);
        let mut talk = synth::tcp(client, ([10, 0, 0, 2], 80)).at(SystemClock.now());
        let mut sum = 0;
        for number in stream * REQUESTS..(stream + 1) * REQUESTS {
            sum += number;
            talk = talk
                .to_server(format!("GET /q{number} HTTP/1.1\r\nHost: shop\r\n\r\n"))
                .to_client("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        let (bytes, mut records) = synth::records(&talk.fin());
        let start = u32::try_from(batch.bytes.len()).unwrap();
        for record in &mut records {
            record.start += start;
        }
        self.sent
            .packets
            .fetch_add(records.len() as u64, Ordering::Relaxed);
        self.sent.streams.fetch_add(1, Ordering::Relaxed);
        self.sent.sum.fetch_add(sum, Ordering::Relaxed);
        self.sent.items.fetch_add(REQUESTS, Ordering::Relaxed);
        batch.bytes.extend(bytes);
        batch.records.extend(records);
        Ok(Filled::Idle)
    }

    fn finish(&mut self) {
        self.ended = true;
    }

    fn counts(&mut self) -> SourceCounts {
        SourceCounts {
            received: self.sent.packets.load(Ordering::Relaxed),
            ..SourceCounts::default()
        }
    }
}
