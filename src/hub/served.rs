//! One worker at the hub: let in, told what it is to follow, heard until it goes.
//!
//! In: a connection, and what the worker says. Out: rows, states, lines and answers at the hub. Never: a worker
//! that has not shown its certificate and said who it is; more handshakes at once than there is room for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::aims::Aim;
use super::center::{FLUSH_EVERY, Shared};
use super::frame::{Frame, Frames, MAX_FRAME, MAX_HELLO};
use super::link::{self, HANDSHAKE};
use super::message::{self, FromWorker, Hello, ToHub, ToWorker};
use super::nodes::Connection;
use super::tls;

/// Handshakes at once; whoever comes then waits.
const MAX_HANDSHAKES: usize = 64;

/// Bytes of a node's name.
const MAX_NAME: usize = 253;

/// Lets workers in as they come, each served aside.
pub(super) async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    accepting: Arc<tls::Accepting>,
    stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        let (socket, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files, as a rule: others may be closed soon.
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(FLUSH_EVERY).await;
                continue;
            }
        };
        let acceptor = TlsAcceptor::from(accepting.now());
        let (shared, mut until) = (shared.clone(), stopped.clone());
        tokio::spawn(async move {
            let serving = async {
                match let_in(&shared, socket, address, &acceptor).await {
                    Ok(worker) => {
                        drop(place);
                        worker.serve(&shared).await;
                    }
                    Err(sentence) if shared.refusals.is_new(&sentence, Instant::now()) => {
                        (shared.options.said)(&sentence);
                    }
                    Err(_) => {}
                }
            };
            tokio::select! {
                () = serving => {}
                _ = until.wait_for(|stop| *stop) => {}
            }
        });
    }
}

/// A worker that was let in.
struct Worker {
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    frames: Frames,
    ends: link::Ends,
    connection: Connection,
    node: String,
}

/// Lets a worker in, or says why not.
async fn let_in(
    shared: &Shared,
    socket: TcpStream,
    address: SocketAddr,
    acceptor: &TlsAcceptor,
) -> Result<Worker, String> {
    let from = format!("the worker at {}", address.ip());
    let refused = |error: &std::io::Error| {
        let why = tls::refusal(error, &from).unwrap_or_else(|| format!("{from}: {error}"));
        format!("A connection was refused: {why}")
    };
    let _ = socket.set_nodelay(true);
    let mut own = shared.options.own.clone();
    own.extend(socket.local_addr());
    let mut stream = match timeout(HANDSHAKE, acceptor.accept(socket)).await {
        Ok(accepted) => accepted.map_err(|error| refused(&error))?,
        Err(_) => {
            return Err(format!(
                "A connection was refused: {from} made no handshake"
            ));
        }
    };
    let mut frames = Frames::new(MAX_HELLO);
    let first = link::first(&mut stream, &mut frames)
        .await
        .map_err(|error| refused(&error))?;
    let said = message::from_worker(first);
    let Ok(Some(FromWorker::Said(ToHub::Hello(hello)))) = said else {
        return Err(format!(
            "A connection was refused: {from} did not say who it is"
        ));
    };
    let joined = joined(shared, &hello, address);
    let (connection, ends, protocol, known) = match joined {
        Ok(joined) => joined,
        Err(sentence) => {
            let message = ToWorker::Refused {
                sentence: sentence.clone(),
            };
            if let Ok(message) = message::said(&message) {
                let _ = timeout(HANDSHAKE, async {
                    stream.write_all(&message).await?;
                    stream.shutdown().await
                })
                .await;
            }
            return Err(format!(
                "The worker of {} at {} was refused: {sentence}",
                printable(&hello.node),
                address.ip()
            ));
        }
    };
    let welcome = message::said(&ToWorker::Welcome {
        protocol,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hub: shared.life,
        received: known.received,
        lines: known.lines,
        own,
    });
    let sent = async {
        stream
            .write_all(&welcome.map_err(std::io::Error::other)?)
            .await?;
        stream.flush().await
    };
    if let Err(error) = sent.await {
        let now = shared.options.clock.now();
        shared
            .nodes
            .leave(&hello.node, connection.number, &error.to_string(), now);
        return Err(refused(&error));
    }
    frames.allow(MAX_FRAME);
    Ok(Worker {
        stream,
        frames,
        ends,
        connection,
        node: hello.node,
    })
}

/// Takes a worker up among the nodes.
fn joined(
    shared: &Shared,
    hello: &Hello,
    address: SocketAddr,
) -> Result<(Connection, link::Ends, u32, super::nodes::Known), String> {
    let protocol = message::common(message::PROTOCOL, hello.protocol)?;
    let is_name =
        |text: &str| (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(|c| c.is_control());
    if ![&hello.node, &hello.ip, &hello.worker, &hello.version]
        .iter()
        .all(|text| is_name(text))
    {
        return Err(format!(
            "its node, address or version is empty, or longer than {MAX_NAME} bytes"
        ));
    }
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let (queues, ends) = link::queues();
    let aim = Aim::new(hello.takes_differences);
    let connection = Connection::new(number, queues, address, aim);
    let now = shared.options.clock.now();
    let known = shared.nodes.join(hello.clone(), connection.clone(), now)?;
    Ok((connection, ends, protocol, known))
}

fn printable(text: &str) -> String {
    let text = text.chars().take(MAX_NAME);
    text.map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

impl Worker {
    /// Serves it until the connection ends.
    async fn serve(self, shared: &Arc<Shared>) {
        let Worker {
            stream,
            frames,
            ends,
            connection,
            node,
        } = self;
        (shared.options.said)(&format!("The worker of {node} is connected"));
        if let Some(message) = shared.spread() {
            connection.send(&message);
        }
        let (telling, told) = (shared.clone(), connection.clone());
        let names = tokio::task::spawn_blocking(move || {
            telling.tell_whole(&told);
            // A worker records what it captures by name.
            telling.aims.aim(&told);
            // What happened is looked for by names.
            telling.tell_late(&told);
        });
        // It ends only with the process.
        let _ = names.await;
        let queries = shared.queries.all();
        if !queries.is_empty()
            && let Ok(message) = message::said(&ToWorker::Queries { queries })
        {
            connection.send(&message);
        }
        let beat = message::said(&ToWorker::Beat).unwrap_or_default();
        let take = |frame| std::future::ready(heard(shared, &connection, &node, frame));
        let why = tokio::select! {
            why = link::run(stream, frames, ends, beat, link::PACE, take) => why,
            () = connection.kick.notified() => {
                "another connection of this worker took its place, or it read too little".to_owned()
            }
        };
        connection.calls.end();
        let now = shared.options.clock.now();
        if shared.nodes.leave(&node, connection.number, &why, now) {
            shared.queries.came(&node, None);
            (shared.options.said)(&format!(
                "The worker of {node} is gone: {why}; what it records is kept there"
            ));
        }
    }
}

/// Takes one message of a worker.
fn heard(shared: &Shared, connection: &Connection, node: &str, frame: Frame) -> Result<(), String> {
    let Some(message) = message::from_worker(frame).map_err(|error| error.to_string())? else {
        return Ok(());
    };
    let said = match message {
        FromWorker::Rows(rows) => {
            let taken = shared
                .merge
                .add(node, connection.number, rows.batch, rows.records);
            shared.nodes.took(node, rows.batch, taken);
            if shared.merge.is_full() {
                shared.flush();
            }
            return Ok(());
        }
        FromWorker::Chunk { call, bytes } => return connection.calls.chunk(call, bytes),
        FromWorker::Said(said) => said,
    };
    match said {
        ToHub::State(state) => shared.nodes.state(node, *state),
        ToHub::Console { mut lines } => {
            lines.retain(|line| shared.nodes.heard(node, line.n));
            shared.lines.add(node, lines);
        }
        ToHub::Action { action, object } => (shared.options.actions)(action, object),
        ToHub::BlockPod { name, namespace } => (shared.options.blocks)(name, namespace),
        ToHub::Answer { call, result } => return connection.calls.answer(call, result),
        ToHub::Backfilled { query } => shared.queries.came(node, Some(query)),
        ToHub::Astray => shared.aims.asked(connection, Instant::now()),
        ToHub::Hello(_) | ToHub::Beat | ToHub::Unknown => {}
    }
    Ok(())
}
