//! What the hub asks of one worker, and its answers.
//!
//! In: questions. Out: answers, within a time. Never: more than a worker may send unasked.

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;

use super::answers::CHUNKS;
use super::ask::Ask;
use super::link::Queues;
use super::message::{self, ToWorker};

/// How long the next piece of an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of one answer in chunks; the raw capture of a node may be its whole spool.
const MAX_BYTES: u64 = 1 << 30;

/// Chunks after which more are asked for.
const REFILL: u32 = CHUNKS / 2;

/// A piece of an answer.
enum Piece {
    Chunk(Bytes),
    End(Result<Json, String>),
}

/// The open questions of one connection.
pub(super) struct Calls {
    queues: Queues,
    next: AtomicU64,
    open: Mutex<HashMap<u64, SyncSender<Piece>>>,
}

impl Calls {
    /// None yet.
    pub(super) fn new(queues: Queues) -> Calls {
        Calls {
            queues,
            next: AtomicU64::new(1),
            open: Mutex::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, SyncSender<Piece>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, writes what comes in chunks to `out`, and waits for the answer.
    ///
    /// # Errors
    /// One sentence, of the worker or about it.
    pub(super) fn ask(&self, ask: Ask, out: &mut dyn Write) -> Result<Json, String> {
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        // Twice what may come without being asked for, and the answer.
        let (sender, pieces) = sync_channel(2 * CHUNKS as usize + 1);
        self.open().insert(call, sender);
        let most = match ask {
            Ask::Raw { .. } => u64::MAX,
            _ => MAX_BYTES,
        };
        let result = (|| {
            self.send(&ToWorker::Call { call, ask })?;
            let (mut bytes, mut taken) = (0, 0);
            loop {
                match pieces.recv_timeout(PATIENCE) {
                    Ok(Piece::End(result)) => return result,
                    Ok(Piece::Chunk(chunk)) => {
                        bytes += chunk.len() as u64;
                        taken += 1;
                        let written = match bytes > most {
                            true => Err(std::io::Error::other(
                                "it is larger than 1 GiB; find it in the archive",
                            )),
                            false => out.write_all(&chunk),
                        };
                        if let Err(error) = written {
                            let _ = self.send(&ToWorker::Cancel { call });
                            return Err(error.to_string());
                        }
                        if taken % REFILL == 0 {
                            self.send(&ToWorker::More {
                                call,
                                chunks: REFILL,
                            })?;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        let _ = self.send(&ToWorker::Cancel { call });
                        return Err("the worker does not answer".to_owned());
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err("the worker is gone".to_owned());
                    }
                }
            }
        })();
        self.open().remove(&call);
        result
    }

    /// Asks for something whose answer nobody waits for.
    ///
    /// # Errors
    /// One sentence, when it cannot be sent.
    pub(super) fn tell(&self, ask: Ask) -> Result<(), String> {
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        self.send(&ToWorker::Call { call, ask })
    }

    fn send(&self, message: &ToWorker) -> Result<(), String> {
        let message = message::said(message).map_err(|error| error.to_string())?;
        let sent = self.queues.urgent.try_send(message);
        sent.map_err(|_| "the worker is gone, or reads no more".to_owned())
    }

    /// A piece of an answer came; one that nobody waits for is left out.
    ///
    /// # Errors
    /// One sentence, when more comes than was asked for.
    pub(super) fn chunk(&self, call: u64, bytes: Bytes) -> Result<(), String> {
        self.take(call, Piece::Chunk(bytes))
    }

    /// The answer came.
    ///
    /// # Errors
    /// As [`Calls::chunk`].
    pub(super) fn answer(&self, call: u64, result: Result<Json, String>) -> Result<(), String> {
        self.take(call, Piece::End(result))
    }

    fn take(&self, call: u64, piece: Piece) -> Result<(), String> {
        let sender = self.open().get(&call).cloned();
        let Some(sender) = sender else { return Ok(()) };
        match sender.try_send(piece) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => {
                Err("the worker sends more than was asked for".to_owned())
            }
        }
    }

    /// The connection is gone: nobody waits any more.
    pub(super) fn end(&self) {
        self.open().clear();
    }
}
