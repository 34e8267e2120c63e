//! The way to the hub: its name, a connection, both certificates, the welcome.
//!
//! In: where the hub is, who this worker is. Out: a connection that is let in, and the addresses whose
//! traffic is tapedeck's own. Never: an address that is left out although it may be another pod's.

use std::convert::Infallible;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::frame::{Frames, MAX_FRAME, MAX_HELLO};
use super::link::{self, HANDSHAKE};
use super::message::{self, FromHub, Hello, ToHub, ToWorker};
use super::tls;
use super::uplink::{Kept, LONGEST_PAUSE};
use crate::packet::Endpoint;

/// How long a hub may take to accept a connection before it is tried again.
const ACCEPTED: Duration = Duration::from_secs(2);

/// Time within which every worker that can reach a hub has connected: the longest pause, a try that
/// began just before the hub listened, and a second for the handshake.
pub const FOUND_WITHIN: Duration = Duration::from_secs(7);
const _: () = assert!(FOUND_WITHIN.as_secs() > LONGEST_PAUSE.as_secs() + ACCEPTED.as_secs());

/// Time for which the addresses of a hub stay its own after the connection ended. A link that broke is
/// there again by then; no network gives the address of a pod that ended to another one so soon.
pub(super) const HELD: Duration = Duration::from_secs(2);

/// What the hub said when it let us in.
pub(super) struct Welcomed {
    pub(super) stream: tokio_rustls::client::TlsStream<TcpStream>,
    pub(super) frames: Frames,
    pub(super) hub: u64,
    pub(super) received: u64,
    pub(super) lines: u64,
}

/// Why there is no connection, one sentence.
pub(super) enum Unmet {
    /// The hub is not reached, or one of both is not trusted.
    Away(String),
    /// It says that this worker cannot stay.
    Refused(String),
}

impl From<String> for Unmet {
    fn from(sentence: String) -> Unmet {
        Unmet::Away(sentence)
    }
}

impl Kept {
    /// Captures what goes to and from the address of a hub that does not answer: it may be another pod's by
    /// the time that one does.
    pub(super) fn forget(&self) {
        self.options.own.set_addresses(Vec::new());
        self.options.own.said();
    }

    /// Forgets the address when the time is up for which it is held.
    pub(super) async fn let_go(&self, held: Option<Instant>) -> Infallible {
        if let Some(until) = held {
            sleep_until(until).await;
            self.forget();
        }
        std::future::pending().await
    }

    /// Connects, shows the certificate and says who this is.
    pub(super) async fn connect(&self) -> Result<Welcomed, Unmet> {
        let options = &self.options;
        let name = &options.hub;
        let cannot =
            |error: &dyn std::fmt::Display| format!("The hub at {name} is not reached: {error}");
        let config = options.tls.client()?;
        let found: Vec<_> = match timeout(HANDSHAKE, tokio::net::lookup_host(name)).await {
            Ok(found) => found.map_err(|error| cannot(&error))?.collect(),
            Err(_) => return Err(cannot(&"its name is not resolved").into()),
        };
        for address in &found {
            options.own.listen(Endpoint {
                ip: address.ip(),
                port: address.port(),
            });
        }
        let handshake = async {
            let socket = match timeout(ACCEPTED, TcpStream::connect(found.as_slice())).await {
                Ok(connected) => connected.map_err(|error| cannot(&error))?,
                Err(_) => return Err(cannot(&"it does not answer").into()),
            };
            let _ = socket.set_nodelay(true);
            let refused = |error: std::io::Error| {
                tls::refusal(&error, &format!("the hub at {name}"))
                    .unwrap_or_else(|| cannot(&error))
            };
            let mut stream = TlsConnector::from(config)
                .connect(tls::hub_name(), socket)
                .await
                .map_err(refused)?;
            let hello = ToHub::Hello(Hello {
                protocol: message::PROTOCOL,
                takes_differences: true,
                ..options.hello.clone()
            });
            let hello = message::said(&hello).map_err(|error| cannot(&error))?;
            use tokio::io::AsyncWriteExt as _;
            stream.write_all(&hello).await.map_err(refused)?;
            stream.flush().await.map_err(refused)?;
            let mut frames = Frames::new(MAX_HELLO);
            let frame = link::first(&mut stream, &mut frames)
                .await
                .map_err(refused)?;
            match message::from_hub(frame).map_err(|error| cannot(&error))? {
                Some(FromHub::Said(ToWorker::Welcome {
                    protocol,
                    version,
                    hub,
                    received,
                    lines,
                    own,
                })) => {
                    tracing::info!(protocol, version, "the hub lets us in");
                    let (alone, shared): (Vec<_>, Vec<_>) =
                        own.into_iter().partition(|address| address.port() == 0);
                    let alone = alone.into_iter().map(|address| address.ip());
                    options.own.set_addresses(alone.collect());
                    for address in shared {
                        options.own.listen(Endpoint {
                            ip: address.ip(),
                            port: address.port(),
                        });
                    }
                    options.own.said();
                    frames.allow(MAX_FRAME);
                    Ok(Welcomed {
                        stream,
                        frames,
                        hub,
                        received,
                        lines,
                    })
                }
                Some(FromHub::Said(ToWorker::Refused { sentence })) => {
                    let why = format!("The hub at {name} refuses this worker: {sentence}");
                    Err(Unmet::Refused(why))
                }
                _ => Err(cannot(&"it says no welcome").into()),
            }
        };
        match timeout(HANDSHAKE * 2, handshake).await {
            Ok(done) => done,
            Err(_) => Err(cannot(&"it does not answer").into()),
        }
    }
}
