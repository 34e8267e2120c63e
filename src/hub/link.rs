//! One connection between a worker and its hub, the same at both ends.
//!
//! In: frames to send, of two kinds: urgent ones (state, answers, orders) and bulk (rows, packets),
//! which wait for the urgent. Out: frames as they come. Never: a queue without an end, a connection
//! that says nothing and is kept.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frame::{Frame, Frames};

/// How long the handshake may take, and the first message.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// How patient one end is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Time without anything to say after which a beat is sent.
    beat: Duration,
    /// Time without a byte after which the other side is gone.
    silence: Duration,
    /// Time that the other side may leave a message unread.
    stall: Duration,
}

/// The pace of both ends.
pub(super) const PACE: Pace = Pace {
    beat: Duration::from_secs(2),
    silence: Duration::from_secs(10),
    stall: Duration::from_secs(30),
};

/// Urgent messages that wait.
const URGENT: usize = 256;

/// Urgent messages that wait when the other side reads slower than it is told.
const BEHIND: usize = 8;

/// Bulk messages that wait; what comes next waits where it is.
const BULK: usize = 2;

/// Where what is to be sent waits.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    pub(super) urgent: mpsc::Sender<Bytes>,
    pub(super) bulk: mpsc::Sender<Bytes>,
}

impl Queues {
    /// Whether so much waits that what can be told later is.
    pub(super) fn are_behind(&self) -> bool {
        self.urgent.max_capacity() - self.urgent.capacity() >= BEHIND
    }
}

/// Where it comes out.
pub(super) struct Ends {
    pub(super) urgent: mpsc::Receiver<Bytes>,
    bulk: mpsc::Receiver<Bytes>,
}

/// The queues of a connection.
pub(super) fn queues() -> (Queues, Ends) {
    let (to_urgent, urgent) = mpsc::channel(URGENT);
    let (to_bulk, bulk) = mpsc::channel(BULK);
    (
        Queues {
            urgent: to_urgent,
            bulk: to_bulk,
        },
        Ends { urgent, bulk },
    )
}

/// Reads the first frame.
///
/// # Errors
/// When none comes, or the connection ends.
pub(super) async fn first<S: AsyncRead + Unpin>(
    stream: &mut S,
    frames: &mut Frames,
) -> std::io::Result<Frame> {
    let reading = async {
        loop {
            if let Some(frame) = frames.take().map_err(std::io::Error::other)? {
                return Ok(frame);
            }
            if stream.read_buf(frames.buffer()).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    match timeout(HANDSHAKE, reading).await {
        Ok(frame) => frame,
        Err(_) => Err(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            "it said nothing",
        )),
    }
}

/// Sends what waits and hands every frame to `take`, until the connection ends; answers why it did. While
/// `take` waits nothing is read.
pub(super) async fn run<S: AsyncRead + AsyncWrite, F: Future<Output = Result<(), String>>>(
    stream: S,
    mut frames: Frames,
    mut ends: Ends,
    beat: Bytes,
    pace: Pace,
    mut take: impl FnMut(Frame) -> F,
) -> String {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = async {
        loop {
            loop {
                match frames.take() {
                    Ok(Some(frame)) => {
                        if let Err(why) = take(frame).await {
                            return why;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return error.to_string(),
                }
            }
            match timeout(pace.silence, reader.read_buf(frames.buffer())).await {
                Ok(Ok(0)) => return "the other side closed the connection".to_owned(),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return broke(&error),
                Err(_) => {
                    return format!("nothing came for {} seconds", pace.silence.as_secs_f32());
                }
            }
        }
    };
    let writing = async {
        loop {
            let next = tokio::select! {
                biased;
                next = ends.urgent.recv() => next,
                next = ends.bulk.recv() => next,
                () = tokio::time::sleep(pace.beat) => Some(beat.clone()),
            };
            let Some(bytes) = next else {
                // So that the other side can tell an end from a fault.
                let _ = timeout(pace.beat, writer.shutdown()).await;
                return "it was ended here".to_owned();
            };
            let is_last = ends.urgent.is_empty() && ends.bulk.is_empty();
            let sending = async {
                writer.write_all(&bytes).await?;
                if is_last {
                    writer.flush().await?;
                }
                std::io::Result::Ok(())
            };
            match timeout(pace.stall, sending).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return broke(&error),
                Err(_) => return "the other side reads no more".to_owned(),
            }
        }
    };
    tokio::select! {
        why = reading => why,
        why = writing => why,
    }
}

/// Why a connection broke, for people.
fn broke(error: &std::io::Error) -> String {
    match error.kind() {
        // TLS without its closing alert, as a process that is killed leaves it.
        std::io::ErrorKind::UnexpectedEof => {
            "the other side went without a farewell: it was stopped or killed, or something between closed the connection".to_owned()
        }
        _ => format!("the connection broke: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;
    use crate::hub::frame::{self, MAX_FRAME};

    const QUICK: Pace = Pace {
        beat: Duration::from_millis(20),
        silence: Duration::from_millis(500),
        stall: Duration::from_millis(500),
    };

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    fn body(text: &str) -> Bytes {
        frame::encode(1, &[text.as_bytes()]).unwrap()
    }

    fn frames() -> Frames {
        Frames::new(MAX_FRAME)
    }

    #[test]
    fn an_end_without_a_farewell_is_told_in_words() {
        let gone = std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "peer closed connection: https://docs.rs/",
        );
        let told = broke(&gone);
        assert!(told.contains("stopped or killed"), "{told}");
        assert!(!told.contains("https://"), "{told}");
        let reset = broke(&std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(reset, "the connection broke: connection reset");
    }

    #[test]
    fn whoever_ends_a_connection_closes_it() {
        runtime().block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(1 << 10);
            let (queues, ends) = queues();
            drop(queues);
            let run = run(ours, frames(), ends, body("beat"), QUICK, |_| ready(Ok(())));
            assert_eq!(run.await, "it was ended here");
            let mut rest = Vec::new();
            theirs.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"");
        });
    }

    #[test]
    fn urgent_messages_pass_those_in_bulk() {
        runtime().block_on(async {
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            let (queues, ends) = queues();
            queues.bulk.try_send(body("rows")).unwrap();
            queues.bulk.try_send(body("more rows")).unwrap();
            assert!(queues.bulk.try_send(body("too many")).is_err());
            queues.urgent.try_send(body("state")).unwrap();
            let sent = run(ours, frames(), ends, body("beat"), QUICK, |_| ready(Ok(())));
            let mut heard = Vec::new();
            let (_silent, silent) = super::queues();
            let read = run(theirs, frames(), silent, body("beat"), QUICK, |frame| {
                heard.push(String::from_utf8(frame.body.to_vec()).unwrap());
                ready(match heard.len() {
                    3 => Err("enough".to_owned()),
                    _ => Ok(()),
                })
            });
            let why = tokio::select! {
                why = sent => why,
                why = read => why,
            };
            assert_eq!(why, "enough");
            assert_eq!(heard, ["state", "rows", "more rows"]);
        });
    }

    #[test]
    fn a_silent_side_is_gone_and_a_beating_one_is_not() {
        runtime().block_on(async {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let (_queues, ends) = queues();
            let why = run(ours, frames(), ends, body("beat"), QUICK, |_| ready(Ok(()))).await;
            assert_eq!(why, "nothing came for 0.5 seconds");
            drop(theirs);

            let (ours, theirs) = tokio::io::duplex(1 << 10);
            let (_a, a_ends) = queues();
            let (_b, b_ends) = queues();
            let mut beats = 0;
            let talk = async {
                tokio::join!(
                    run(ours, frames(), a_ends, body("beat"), QUICK, |_| {
                        beats += 1;
                        ready(Ok(()))
                    }),
                    run(theirs, frames(), b_ends, body("beat"), QUICK, |_| ready(
                        Ok(())
                    )),
                )
            };
            assert!(timeout(QUICK.silence * 3, talk).await.is_err());
            assert!(beats > 10, "{beats}");
        });
    }

    #[test]
    fn a_side_that_reads_nothing_is_let_go() {
        runtime().block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let (queues, ends) = queues();
            queues.bulk.try_send(body(&"x".repeat(1000))).unwrap();
            let talk = run(ours, frames(), ends, body("beat"), QUICK, |_| ready(Ok(())));
            let says = async {
                while theirs.write_all(&body("beat")).await.is_ok() {
                    tokio::time::sleep(QUICK.beat).await;
                }
            };
            let (why, ()) = tokio::join!(talk, says);
            assert_eq!(why, "the other side reads no more");
        });
    }
}
