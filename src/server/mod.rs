//! The dashboard: API, live feed, embedded pages, and the same for assistants (`mcp`).
//!
//! In: requests from browsers, commands and assistants. Out: rows, details, captures, state. Never: a
//! request to anywhere that nobody confirmed, a GET that changes anything, markup made of traffic.
//! Everything behind a token (`guard`) and its role (`access`), payloads noted (`audit`), everything
//! served from the binary.

mod access;
mod api;
mod archived;
mod assets;
mod audit;
mod backtest;
mod bundle;
mod coverage;
mod delivered;
mod feed;
mod flows;
mod guard;
mod id_token;
mod indexed;
pub mod kfl_reference;
mod looking;
mod map;
pub mod mcp;
mod oidc;
mod openapi;
mod operate;
mod packets;
mod payload;
mod places;
mod push;
mod pushed;
mod queries;
mod raw;
mod replay;
mod routes;
mod rows;
mod script_files;
mod scripts;
pub mod search;
mod socket;
mod steered;
mod stores;
mod summary;
mod sums;

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use serde_json::Value as Json;

use crate::deliver::{Asks, Delivery, Imposed};
use crate::investigate::{Archive, Browse, Reading};
use crate::kfl;
use crate::packet::StreamName;
use crate::pipeline::{Counters, Rows};
use crate::script::jobs::JobsAct;
use crate::spool::Size;
use crate::store::Store;
use crate::time::{Clock, SystemClock, Timestamp};

pub use access::{Grant, Role, grants};
pub use api::item_of;
pub use archived::{Archived, OpenArchive, OpenCache};
pub use coverage::Losses;
pub use delivered::{earlier_shown, streams_shown};
pub use guard::Token;
pub use oidc::OidcOptions;
pub use pushed::Pushed;
pub use rows::{columns_of, row_json};
pub use script_files::ScriptFiles;

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

    /// An item that the rows do not hold, by its id, as [`item_of`] gives it to whoever asks with a
    /// query.
    fn item(&self, id: &str, query: &kfl::Query) -> Option<Json> {
        let _ = (id, query);
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

    /// The packets of a stream of one of the worker's runs, as rows of its spool name it: names of streams
    /// begin anew with each run. The worker is the only one when its name is empty.
    ///
    /// # Errors
    /// As [`Run::stream_pcap_of`].
    fn stream_pcap_of_run(
        &self,
        worker: &str,
        run: u64,
        stream: StreamName,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        let _ = (worker, stream, out);
        Err(format!("nothing of the run {run} is kept here"))
    }

    /// Whether a run of a worker is the one that goes on.
    fn is_present(&self, worker: &str, run: u64) -> bool {
        let _ = (worker, run);
        false
    }

    /// The packets of several streams of a worker as one savefile, ordered by time.
    ///
    /// # Errors
    /// As [`Run::stream_pcap_of`].
    fn streams_pcap_of(
        &self,
        worker: &str,
        streams: &[StreamName],
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        match streams {
            [one] => self.stream_pcap_of(worker, *one, out),
            _ => Err("only one stream at a time can be had here".to_owned()),
        }
    }

    /// Writes all packets that a node holds from `from` up to, not including, `to`, as pcapng; answers
    /// how many they are. The node is the only one when its name is empty.
    ///
    /// # Errors
    /// One sentence: why they cannot be had.
    fn raw(
        &self,
        node: &str,
        from: Timestamp,
        to: Timestamp,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        let _ = (node, from, to, out);
        Err("no packets are captured here".to_owned())
    }

    /// Bounds what the spool of each node holds, by a limit for everything that it keeps on disk, until it
    /// starts again; answers what the bounds are then.
    ///
    /// # Errors
    /// One sentence, when nothing is kept here.
    fn limit_storage(&self, bytes: u64) -> Result<Json, String> {
        let _ = bytes;
        Err("no packets are captured here, so there is no spool to bound".to_owned())
    }

    /// What other places than the rows have of what is wanted: other nodes, spools, archives. May take
    /// some seconds.
    fn search(&self, query: &kfl::Query, wanted: &search::Wanted) -> Vec<search::Part> {
        let _ = (query, wanted);
        Vec::new()
    }

    /// The name history, as `name_resolution_history.json` holds it.
    fn history(&self) -> Json {
        Json::Object(serde_json::Map::new())
    }

    /// Pods inside and outside of the targets: `{"targets": [...], "excluded": [...]}`.
    fn targeted(&self) -> Json {
        serde_json::json!({"targets": [], "excluded": []})
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

    /// Does something about jobs.
    ///
    /// # Errors
    /// One sentence, when there is no such job, or no scripts run here.
    fn jobs_do(&self, act: &JobsAct) -> Result<(), String> {
        match act {
            JobsAct::Run(tag) => self.run_job(tag),
            _ => Err("jobs are stopped and removed where their scripts run".to_owned()),
        }
    }

    /// Whether the scheduler of jobs runs.
    fn jobs_run(&self) -> bool {
        true
    }

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

    /// URLs or paths of the stores that reels go to or come from.
    fn stores(&self) -> Vec<String> {
        Vec::new()
    }

    /// The archive in one of the stores; `None` while it holds no reels.
    ///
    /// # Errors
    /// One sentence: it cannot be reached.
    fn archive(&self, store: &str) -> Result<Option<Archive>, String> {
        Err(format!("{store} is no archive"))
    }

    /// The same archive, kept open for whoever looks at its items; their numbers hold as long as the run.
    ///
    /// # Errors
    /// One sentence: it cannot be reached.
    fn browse(&self, store: &str) -> Result<Option<Arc<Browse>>, String> {
        Err(format!("{store} is no archive"))
    }

    /// How much the spool holds of streams of a worker, when that is all of them; `None` for those that
    /// it holds no longer whole, and for those that are not counted until `until`.
    fn sizes(&self, worker: &str, streams: &[StreamName], until: Instant) -> Vec<Option<Size>> {
        let _ = (worker, until);
        vec![None; streams.len()]
    }

    /// One of the stores itself.
    ///
    /// # Errors
    /// One sentence: it cannot be reached.
    fn store(&self, store: &str) -> Result<Arc<dyn Store>, String> {
        Err(format!("{store} is no archive"))
    }

    /// When packets were captured and lost, and which reels there are, as far as the run knows it from
    /// before; see [`Archive::coverage`].
    ///
    /// # Errors
    /// One sentence, when the archive cannot be read.
    fn coverage(&self) -> Result<Json, String> {
        Ok(Json::Object(serde_json::Map::new()))
    }

    /// Where losses are noted while the run is served; `None` where nothing is captured.
    fn losses(&self) -> Option<Arc<Losses>> {
        None
    }

    /// Switches a script on or off for the rest of the run.
    ///
    /// # Errors
    /// One sentence, when there is none with this path.
    fn switch_script(&self, path: &str, on: bool) -> Result<(), String> {
        let _ = on;
        Err(format!("no script {path} runs here"))
    }

    /// Who sees and may alter each item before a client gets it (`onItemQueried`).
    fn asks(&self) -> Option<&dyn Asks> {
        None
    }
}

/// Which pods are captured, and who may change that.
pub trait TargetDesk: Send + Sync {
    /// Pods inside and outside, and what was asked for.
    ///
    /// ```text
    /// {"targets": [pods, as the API server has them], "excluded": [...],
    ///  "wanted": {"regex","namespaces","excluded","bpf"} or null without a cluster}
    /// ```
    fn targeted(&self) -> Json;

    /// Captures other pods, or what passes a capture filter instead, until the configuration changes:
    /// `{"regex","namespaces","excluded","bpf"}`.
    ///
    /// # Errors
    /// One sentence: what is not understood, or that there is no cluster.
    fn target(&self, wanted: &Json) -> Result<(), String>;
}

/// What is served.
pub struct View {
    /// The rows; none of an archive.
    pub rows: Arc<Rows>,
    /// What is looked at by indexes, as soon as there are any.
    pub indexed: Arc<OnceLock<Arc<Browse>>>,
    /// The counters of the run.
    pub counters: Arc<Counters>,
    /// Fields for queries.
    pub schema: Arc<kfl::Schema>,
    /// For `now()` in queries.
    pub clock: Arc<dyn Clock>,
    /// The run.
    pub run: Arc<dyn Run>,
    /// What the operator imposes on what is shown.
    pub imposed: Imposed,
    /// Whether the rows come from workers, which have imposed it on them already.
    pub relayed: bool,
    /// Filter that the page opens with.
    pub default_filter: String,
    /// Files of scripts.
    pub scripts: ScriptFiles,
    /// Whether requests may be sent once more.
    pub replay: bool,
    /// Which pods are captured; none of a recorded source.
    pub targets: Option<Arc<dyn TargetDesk>>,
    /// How archives in the stores of the run are read.
    pub reading: Option<Reading>,
    /// Scripts that a computer elsewhere pushes; `None` where none are taken.
    pub pushed: Option<Arc<Pushed>>,
}

impl View {
    /// Compiles what somebody asks, behind what is imposed.
    fn query(&self, text: &str) -> Result<kfl::Query, kfl::Error> {
        match self.relayed {
            true => kfl::compile(text, &self.schema),
            false => self.imposed.compile(text, &self.schema),
        }
    }

    /// The same query for an archive that is read here.
    fn for_archive(&self, query: &kfl::Query) -> kfl::Query {
        match self.relayed {
            true => self.imposed.before(query.clone()),
            false => query.clone(),
        }
    }

    /// Whether the packets of streams of the run may leave, as [`streams_shown`] says; workers look at
    /// their own rows.
    fn shows_streams(&self, streams: &[StreamName]) -> Result<(), String> {
        match self.relayed {
            true => self.imposed.lets_packets(),
            false => streams_shown(&self.rows, &self.imposed, streams, self.clock.now()),
        }
    }

    /// The same of a stream of one of the runs of a worker, of which earlier ones have no rows.
    fn shows_stream_of(&self, worker: &str, run: u64, stream: StreamName) -> Result<(), String> {
        match self.relayed || self.run.is_present(worker, run) {
            true => self.shows_streams(&[stream]),
            false => earlier_shown(&self.imposed, stream),
        }
    }

    /// A query of [`View::query`], asked at `now`, on its way to whoever asked.
    fn delivery(&self, query: kfl::Query, now: Timestamp) -> Delivery<'_> {
        Delivery::new(query, now, self.run.asks())
    }
}

/// Where and how to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address to listen on.
    pub host: IpAddr,
    /// First port to try.
    pub port: u16,
    /// Further names under which it is reached, with or without a port.
    pub hosts: Vec<String>,
    /// The token of the printed URL; a new one when it is not given.
    pub token: Option<Token>,
    /// Tokens beside the printed one.
    pub grants: Vec<Grant>,
    /// Signing in by OpenID Connect.
    pub oidc: Option<OidcOptions>,
    /// File of the audit log.
    pub audit: PathBuf,
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
        let token = match &options.token {
            Some(token) => token.clone(),
            None => Token::random()?,
        };
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let app = router(
            Arc::new(view),
            guard::Guard::new(
                address,
                token.clone(),
                &options.grants,
                &options.hosts,
                Arc::new(audit::Audit::new(options.audit.clone())),
                options
                    .oidc
                    .clone()
                    .map(|oidc| Arc::new(oidc::Oidc::new(oidc))),
            ),
            stopped.clone(),
            runtime,
        );
        let _entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut until = stopped;
        runtime.spawn(async move {
            let ended = async move {
                let _ = until.wait_for(|stop| *stop).await;
            };
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
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
    runtime: &tokio::runtime::Handle,
) -> Router {
    if let Some(losses) = view.run.losses() {
        runtime.spawn(watch_losses(view.clone(), losses, stopped.clone()));
    }
    let state = api::State {
        view,
        instance: SystemClock.now().to_string().into(),
        stopped,
        undecided: Arc::default(),
        summaries: Arc::default(),
        covers: Arc::default(),
        tries: Arc::default(),
        proofs: Arc::default(),
        checks: scripts::Checks::default(),
    };
    let pages = Router::new()
        .nest("/api/v1", routes::router())
        .nest("/api", routes::router())
        .merge(api::routes_at_root())
        .fallback(assets::serve)
        .with_state(state);
    guard::protect(pages, guard)
}

/// Looks at the counters until the server ends.
async fn watch_losses(
    view: Arc<View>,
    losses: Arc<Losses>,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(coverage::EVERY) => {
                losses.note(&view.counters.now(), view.clock.now());
            }
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}
