//! The dashboard: API, live feed, embedded pages.
//!
//! In: requests from one browser or command on this machine. Out: rows, details, captures, state.
//! Never: a request to anywhere, a GET that changes anything, markup made of traffic. Everything
//! behind the token (`guard`), everything served from the binary.

mod api;
mod assets;
mod feed;
mod guard;
mod packets;
mod routes;
mod rows;
mod summary;

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use serde_json::Value as Json;

use crate::kfl;
use crate::packet::StreamName;
use crate::pipeline::{Counters, Rows};
use crate::time::Clock;

pub use api::item_of;
pub use guard::Token;
pub use rows::{columns_of, row_json};

/// Ports that are tried after the wanted one.
const PORTS_TRIED: u16 = 20;

/// What the pages may ask of the run that they look at.
pub trait Run: Send + Sync {
    /// State of recordings, outbox, scripts, spool and source, for the state bar.
    fn status(&self) -> Json;

    /// The counters, where the run keeps others than those of the view.
    fn counts(&self) -> Option<Json> {
        None
    }

    /// Somebody looks at items through a query, and goes on to: what is held elsewhere is fetched
    /// first. May wait a few seconds.
    fn look(&self, query: &kfl::Query) {
        let _ = query;
    }

    /// An item that the rows do not hold, by its id, as [`item_of`] gives it.
    fn item(&self, id: &str) -> Option<Json> {
        let _ = id;
        None
    }

    /// Writes the packets of a stream as a savefile.
    ///
    /// # Errors
    /// One sentence: why they cannot be had (no longer in the spool, no such stream).
    fn stream_pcap(&self, stream: StreamName, out: &mut dyn Write) -> Result<u64, String>;

    /// The same of the worker that items name, where there are several.
    ///
    /// # Errors
    /// As [`Run::stream_pcap`], or that there is no such worker.
    fn stream_pcap_of(
        &self,
        worker: &str,
        stream: StreamName,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        let _ = worker;
        self.stream_pcap(stream, out)
    }

    /// The scripts with their states.
    fn scripts(&self) -> Json;

    /// Console lines after the one numbered `after`.
    fn console(&self, after: u64) -> Json;

    /// The jobs with their runs.
    fn jobs(&self) -> Json;

    /// Runs a job now.
    ///
    /// # Errors
    /// One sentence, when there is no such job.
    fn run_job(&self, tag: &str) -> Result<(), String>;

    /// The recordings with what they are and did.
    fn recordings(&self) -> Json {
        Json::Array(Vec::new())
    }

    /// Adds a recording as declared, or changes one that was added; answers what it is then.
    ///
    /// # Errors
    /// One sentence: what is wrong with it, or that nothing is recorded here.
    fn add_recording(&self, declared: &Json) -> Result<Json, String> {
        let _ = declared;
        Err("nothing is recorded from a recorded source".to_owned())
    }

    /// Ends a recording that was added.
    ///
    /// # Errors
    /// One sentence, when there is none of that name.
    fn remove_recording(&self, name: &str) -> Result<Json, String> {
        Err(format!("there is no recording {name}"))
    }

    /// Seals what is open of a recording, or of all; answers how many reels that are.
    ///
    /// # Errors
    /// One sentence, when there is none of that name.
    fn seal_recording(&self, name: Option<&str>) -> Result<Json, String> {
        let _ = name;
        Ok(Json::from(0))
    }

    /// Lets scripts see and alter the item before a client gets it (`onItemQueried`).
    fn queried(&self, record: &[u8], query: &str) -> Option<Json>;
}

/// What is served.
pub struct View {
    /// The rows.
    pub rows: Arc<Rows>,
    /// The counters of the run.
    pub counters: Arc<Counters>,
    /// Fields for queries.
    pub schema: Arc<kfl::Schema>,
    /// For `now()` in queries.
    pub clock: Arc<dyn Clock>,
    /// The run.
    pub run: Arc<dyn Run>,
    /// Filter that the page opens with.
    pub default_filter: String,
}

/// Where and how to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address to listen on.
    pub host: IpAddr,
    /// First port to try.
    pub port: u16,
}

/// A dashboard that is being served.
pub struct Server {
    /// Address in use.
    pub address: SocketAddr,
    /// The token that lets clients in.
    pub token: Token,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Server {
    /// Listens and serves on `runtime` until dropped; a taken port makes it try the next ones.
    ///
    /// # Errors
    /// When no port could be had.
    pub fn start(
        options: &Options,
        view: View,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Server, std::io::Error> {
        let listener = listen(options)?;
        let address = listener.local_addr()?;
        let token = Token::random()?;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let app = router(
            Arc::new(view),
            guard::Guard::new(address, token.clone()),
            stopped.clone(),
        );
        let _entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut until = stopped;
        runtime.spawn(async move {
            let ended = async move {
                let _ = until.wait_for(|stop| *stop).await;
            };
            if let Err(error) = axum::serve(listener, app)
                .with_graceful_shutdown(ended)
                .await
            {
                tracing::error!(%error, "dashboard ended");
            }
        });
        Ok(Server {
            address,
            token,
            stop,
        })
    }

    /// The address to open, token included.
    pub fn url(&self) -> String {
        format!("http://{}/?token={}", self.address, self.token.text())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn listen(options: &Options) -> Result<std::net::TcpListener, std::io::Error> {
    let mut last = None;
    for port in options.port..=options.port.saturating_add(PORTS_TRIED) {
        match std::net::TcpListener::bind(SocketAddr::new(options.host, port)) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok(listener);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}

fn router(
    view: Arc<View>,
    guard: guard::Guard,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> Router {
    let state = api::State {
        view,
        stopped,
        undecided: Arc::default(),
        summaries: Arc::default(),
    };
    let pages = Router::new()
        .nest("/api/v1", routes::router())
        .nest("/api", routes::router())
        .merge(api::routes_at_root())
        .fallback(assets::serve)
        .with_state(state);
    guard::protect(pages, guard)
}
