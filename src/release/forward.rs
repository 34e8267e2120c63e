//! A port of this computer that leads to the dashboard of a release.
//!
//! Each connection goes over a WebSocket of its own, as kubelets forward ports: the first byte of a
//! message is its channel, 0 for data and 1 for what went wrong; the first message of each channel is
//! the port, two bytes, the low one first. A pod that is gone is looked for anew.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::api::Api;
use super::find::{NotFound, Release};

/// Connections at once.
const MAX_CONNECTIONS: usize = 128;

/// Bytes of one message.
const PIECE: usize = 64 << 10;

/// Pause after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(200);

const DATA: u8 = 0;
const ERRORS: u8 = 1;

/// A forwarded port; it ends when dropped.
pub struct Forward {
    /// Where it listens.
    pub address: SocketAddr,
    troubles: Arc<Mutex<String>>,
    stop: watch::Sender<bool>,
}

impl Forward {
    /// Forwards `listener` to the dashboard of `release`.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start(
        api: Api,
        release: Release,
        listener: TcpListener,
        runtime: &tokio::runtime::Handle,
    ) -> std::io::Result<Forward> {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let to = Arc::new(To {
            api,
            release,
            pod: Mutex::default(),
            troubles: Arc::default(),
        });
        let troubles = to.troubles.clone();
        runtime.spawn(accept(listener, to, stopped));
        Ok(Forward {
            address,
            troubles,
            stop,
        })
    }

    /// Why the last connection could not be forwarded, once.
    pub fn trouble(&self) -> Option<String> {
        let mut last = lock(&self.troubles);
        Some(std::mem::take(&mut *last)).filter(|sentence| !sentence.is_empty())
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where connections go.
struct To {
    api: Api,
    release: Release,
    /// The pod that was found last.
    pod: Mutex<Option<String>>,
    troubles: Arc<Mutex<String>>,
}

async fn accept(listener: TcpListener, to: Arc<To>, stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut until = stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = until.wait_for(|stop| *stop) => return,
        };
        let (Ok((socket, _)), Ok(place)) = (accepted, room.clone().acquire_owned().await) else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (to, mut until) = (to.clone(), stopped.clone());
        tokio::spawn(async move {
            let _place = place;
            let forwarding = async {
                if let Err(sentence) = to.forward(socket).await {
                    *lock(&to.troubles) = sentence;
                }
            };
            tokio::select! {
                () = forwarding => {}
                _ = until.wait_for(|stop| *stop) => {}
            }
        });
    }
}

impl To {
    /// Opens the way to the hub; to the pod that was there last, else to the one that is there now.
    async fn open(&self) -> Result<WebSocketStream<TokioIo<Upgraded>>, NotFound> {
        let known = lock(&self.pod).clone();
        if let Some(pod) = known
            && let Ok(opened) = self.api.channels(&self.path(&pod)).await
        {
            return Ok(opened);
        }
        let pod = self.release.hub(&self.api).await?;
        let opened = self.api.channels(&self.path(&pod)).await?;
        *lock(&self.pod) = Some(pod);
        Ok(opened)
    }

    fn path(&self, pod: &str) -> String {
        let Release {
            namespace, port, ..
        } = &self.release;
        format!("/api/v1/namespaces/{namespace}/pods/{pod}/portforward?ports={port}")
    }

    async fn forward(&self, mut socket: TcpStream) -> Result<(), String> {
        let channels = self.open().await.map_err(|error| error.to_string())?;
        let (mut to_pod, mut from_pod) = channels.split();
        let (mut from_here, mut to_here) = socket.split();
        let sending = async {
            loop {
                let mut piece = BytesMut::with_capacity(PIECE);
                piece.extend_from_slice(&[DATA]);
                let read = from_here.read_buf(&mut piece).await;
                if read.map_err(|error| error.to_string())? == 0 {
                    // There is no half-closed channel: whoever has sent all waits for no answer.
                    return to_pod
                        .send(Message::Close(None))
                        .await
                        .map_err(|error| error.to_string());
                }
                let sent = to_pod.send(Message::Binary(piece.freeze())).await;
                sent.map_err(|error| error.to_string())?;
            }
        };
        let mut greeted = [false; 2];
        let receiving = async {
            while let Some(message) = from_pod.next().await {
                let mut bytes: Bytes = match message.map_err(|error| error.to_string())? {
                    Message::Binary(bytes) if !bytes.is_empty() => bytes,
                    Message::Close(_) => break,
                    _ => continue,
                };
                let channel = bytes.get_u8();
                let Some(greeted) = greeted.get_mut(usize::from(channel)) else {
                    return Err("the API server forwards what nobody asked for".to_owned());
                };
                if !std::mem::replace(greeted, true) {
                    continue;
                }
                if channel == ERRORS {
                    let said = String::from_utf8_lossy(&bytes).trim().to_owned();
                    return Err(format!("the port of the hub cannot be forwarded: {said}"));
                }
                let written = to_here.write_all(&bytes).await;
                written.map_err(|error| error.to_string())?;
            }
            to_here.shutdown().await.map_err(|error| error.to_string())
        };
        tokio::select! {
            ended = sending => ended,
            ended = receiving => ended,
        }
    }
}
