//! The port on which Prometheus reads the outbox and what scripts keep.
//!
//! In: a function that gives the text, one that says what keeps the run from its work, and the beats of
//! the loop that follows everything. Out: `GET
//! /metrics`, `/healthz` and `/readyz` beside the dashboard, without its token: whoever scrapes has
//! none. The same on a socket, for probes that run a command. Never: a run that fails because the port is
//! taken, or one that is silent about it.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::runtime::Handle;

use super::super::config::Config;
use super::super::exit::Failure;
use super::follow::say;
use crate::capture::own::OwnSockets;
use crate::cluster::WatchCounts;
use crate::packet::Endpoint;
#[cfg(unix)]
use crate::private;
use crate::record::outbox::Status;
use crate::time::Timestamp;

/// One figure of the outbox.
type Figure = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Status, Timestamp) -> u64,
);

/// The figures of the outbox: name, type, help, value.
const OUTBOX: &[Figure] = &[
    (
        "tapedeck_outbox_waiting",
        "gauge",
        "Sealed reels and heartbeats that wait for upload.",
        |status, _| status.waiting as u64,
    ),
    (
        "tapedeck_outbox_waiting_bytes",
        "gauge",
        "Their bytes.",
        |status, _| status.waiting_bytes,
    ),
    (
        "tapedeck_outbox_oldest_seconds",
        "gauge",
        "Age of the oldest of them.",
        |status, now| {
            status
                .oldest
                .map_or(0, |oldest| now.since(oldest).as_secs())
        },
    ),
    (
        "tapedeck_outbox_uploaded_total",
        "counter",
        "Reels uploaded.",
        |status, _| status.uploaded,
    ),
    (
        "tapedeck_outbox_uploaded_bytes_total",
        "counter",
        "Their bytes.",
        |status, _| status.uploaded_bytes,
    ),
    (
        "tapedeck_outbox_heartbeats_total",
        "counter",
        "Heartbeats and roll-ups uploaded.",
        |status, _| status.heartbeats,
    ),
    (
        "tapedeck_outbox_bytes_per_second",
        "gauge",
        "Bytes uploaded a second, over the last minute.",
        |status, _| status.bytes_per_second,
    ),
    (
        "tapedeck_outbox_dropped_total",
        "counter",
        "Reels dropped because too much waited.",
        |status, _| status.dropped,
    ),
    (
        "tapedeck_outbox_full",
        "gauge",
        "1 while recording stands still because too much waits.",
        |status, _| u64::from(status.is_full),
    ),
];

/// The figures of the outbox as text.
pub(super) fn of_outbox(status: &Status, now: Timestamp) -> String {
    let values: Vec<_> = OUTBOX
        .iter()
        .map(|(name, kind, help, value)| (*name, *kind, *help, value(status, now)))
        .collect();
    figures(&values)
}

/// One figure of the watches of a cluster.
type WatchFigure = (&'static str, &'static str, fn(&WatchCounts) -> u64);

/// The figures of the watches: name with labels, help, value; all of them counters.
const WATCHES: &[WatchFigure] = &[
    (
        "tapedeck_kube_requests_total{kind=\"list\"}",
        "Requests to the API server.",
        |counts| counts.lists,
    ),
    (
        "tapedeck_kube_requests_total{kind=\"watch\"}",
        "Requests to the API server.",
        |counts| counts.watches,
    ),
    (
        "tapedeck_kube_requests_total{kind=\"other\"}",
        "Requests to the API server.",
        |counts| counts.others,
    ),
    (
        "tapedeck_kube_bytes_total",
        "Bytes of the API server's answers.",
        |counts| counts.bytes,
    ),
    (
        "tapedeck_kube_events_total",
        "Events of watched objects.",
        |counts| counts.events,
    ),
    (
        "tapedeck_kube_relists_total",
        "Lists repeated because a version was no longer kept.",
        |counts| counts.relists,
    ),
    (
        "tapedeck_kube_failures_total",
        "Requests to the API server that failed, denials aside.",
        |counts| counts.failures,
    ),
];

/// The figures of the watches as text; `watched` counts lists by kind and state.
pub(super) fn of_watches(
    counts: &WatchCounts,
    watched: &BTreeMap<(&'static str, &'static str), u64>,
) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let mut last = "";
    for (name, help, value) in WATCHES {
        let family = name.split('{').next().unwrap_or(name);
        if family != last {
            let _ = write!(text, "# HELP {family} {help}\n# TYPE {family} counter\n");
            last = family;
        }
        let _ = writeln!(text, "{name} {}", value(counts));
    }
    let name = "tapedeck_kube_watch";
    let help = "Lists of a kind that are in a state; denied ones lack a right.";
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    for ((kind, state), count) in watched {
        let _ = writeln!(text, "{name}{{kind=\"{kind}\",state=\"{state}\"}} {count}");
    }
    text
}

/// Content type of the text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Time without a beat after which a program stands still; slow stores and disks take less.
const STILL: Duration = Duration::from_secs(300);

/// When the loop that follows everything went round last.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// Now.
    pub(super) fn new() -> Pulse {
        Pulse(Arc::new(Mutex::new(Instant::now())))
    }

    /// It goes round.
    pub(super) fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// A sentence when it has not for too long.
    fn unwell(&self, now: Instant) -> Option<String> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let still = now.saturating_duration_since(last);
        (still > STILL).then(|| format!("the program stands still since {} s", still.as_secs()))
    }
}

/// What is served beside the dashboard.
pub(super) struct Served {
    /// Whether the program is alive.
    pub(super) pulse: Pulse,
    /// Text for Prometheus.
    pub(super) metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// What keeps the run from its work, one sentence; nothing when it is ready.
    pub(super) unready: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// What it lacks while it is ready, one sentence.
    pub(super) lacks: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Where it is told whether the port is had.
    pub(super) port: Port,
}

/// Pause before a port that is taken is tried again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause between two tries: a startup probe of the chart waits for ten minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Whether `tap.metrics.port` is served; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Port(Arc<Mutex<Option<String>>>);

impl Port {
    /// One sentence when another program has it, so that neither probes nor Prometheus are answered.
    pub(super) fn unserved(&self) -> Option<String> {
        let sentence = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sentence.clone()
    }

    /// Takes what is wrong now, and answers whether that is other than before.
    fn set(&self, now: Option<String>) -> bool {
        let mut sentence = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = *sentence != now;
        *sentence = now;
        is_other
    }
}

/// A socket in a folder, which goes with the value.
#[derive(Debug)]
pub(super) struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Serves on a socket as long as the runtime lives; one that an earlier run left there is replaced.
///
/// # Errors
/// When it cannot be made, or the name is that of something else.
#[cfg(unix)]
pub(super) fn serve_socket(path: &Path, app: Router, runtime: &Handle) -> Result<Socket, Failure> {
    use std::os::unix::fs::FileTypeExt;
    let cannot = |error: std::io::Error| {
        let sentence = format!(
            "probes cannot be answered on {} (--probe-socket): {error}",
            path.display()
        );
        Failure::of(&error, sentence)
    };
    if fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket()) {
        fs::remove_file(path).map_err(cannot)?;
    }
    let _entered = runtime.enter();
    let listener = tokio::net::UnixListener::bind(path).map_err(cannot)?;
    private::close_file(path).map_err(cannot)?;
    runtime.spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::warn!(%error, "probes are no longer answered");
        }
    });
    Ok(Socket(path.to_owned()))
}

/// Refuses: the system has no such sockets.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub(super) fn serve_socket(path: &Path, _: Router, _: &Handle) -> Result<Socket, Failure> {
    Err(Failure::usage(format!(
        "probes cannot be answered on {} (--probe-socket): this system has no such sockets",
        path.display()
    )))
}

/// Serves on `tap.metrics.port` of `host` as long as the runtime lives; port 0 switches it off. A port that is
/// taken is tried again until it is free; the run goes on meanwhile.
pub(super) fn serve(
    config: &Config,
    host: IpAddr,
    port: Port,
    app: Router,
    own: &OwnSockets,
    runtime: &Handle,
) -> Result<(), Failure> {
    let state = port;
    let port = u16::try_from(config.int("tap.metrics.port"))
        .map_err(|_| Failure::usage("tap.metrics.port must be a port, 0 to 65535"))?;
    if port == 0 {
        return Ok(());
    }
    let own = own.clone();
    let _entered = runtime.enter();
    // At once, so that it is there when this returns.
    let mut bound = bind(host, port);
    runtime.spawn(async move {
        let mut pause = FIRST_PAUSE;
        loop {
            match bound {
                Ok(listener) => {
                    own.listen(Endpoint { ip: host, port });
                    if state.set(None) {
                        say(&format!(
                            "port {port} (tap.metrics.port) is free: probes and Prometheus are answered from now on"
                        ));
                    }
                    pause = FIRST_PAUSE;
                    if let Err(error) = axum::serve(listener, app.clone()).await {
                        tracing::warn!(%error, "the metrics are no longer served");
                    }
                }
                Err(error) => {
                    let sentence = unserved(port, &error);
                    if state.set(Some(sentence.clone())) {
                        say(&sentence);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            bound = bind(host, port);
        }
    });
    Ok(())
}

fn bind(host: IpAddr, port: u16) -> std::io::Result<tokio::net::TcpListener> {
    let listener = std::net::TcpListener::bind((host, port))?;
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// What is wrong, what becomes of it and what to set.
fn unserved(port: u16, error: &std::io::Error) -> String {
    format!(
        "port {port} (tap.metrics.port) cannot be had, so neither Prometheus nor probes of readiness are answered: {error}; the run goes on and tries it again, but set tap.metrics.port to a port that no other program of the node has"
    )
}

/// What is answered, on the port and on the socket. A run whose port another program has is alive and not
/// ready.
pub(super) fn app(served: Served) -> Router {
    let Served {
        pulse,
        metrics,
        unready,
        lacks,
        port,
    } = served;
    let (metrics, unready, lacks) = (Arc::new(metrics), Arc::new(unready), Arc::new(lacks));
    let answer = move || async move { ([(header::CONTENT_TYPE, TEXT)], metrics()) };
    let told = |wrong: Option<String>, right: &str| match wrong {
        None => (StatusCode::OK, right.to_owned()),
        Some(sentence) => (StatusCode::SERVICE_UNAVAILABLE, sentence),
    };
    let alive = move || async move { told(pulse.unwell(Instant::now()), "alive") };
    let ready = move || async move {
        let right = match lacks() {
            None => "ready".to_owned(),
            Some(sentence) => format!("ready; {sentence}"),
        };
        told(unready().or_else(|| port.unserved()), &right)
    };
    Router::new()
        .route("/metrics", get(answer))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
}

/// Figures as text: name, type, help, value.
pub(super) fn figures(all: &[(&str, &str, &str, u64)]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for (name, kind, help, value) in all {
        let _ = write!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_served_once_it_is_free() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        let mut config = Config::of_defaults(&crate::cli::Global::default()).unwrap();
        config.flag("tap.metrics.port", "test", serde_json::json!(at.port()));
        let (runtime, port) = (super::super::live::runtime().unwrap(), Port::default());
        let served = Served {
            pulse: Pulse::new(),
            metrics: Box::new(|| "a 1\n".to_owned()),
            unready: Box::new(|| None),
            lacks: Box::new(|| None),
            port: port.clone(),
        };
        let own = OwnSockets::default();
        let app = app(served);
        serve(&config, at.ip(), port.clone(), app, &own, runtime.handle()).unwrap();
        let wait = |is_over: &dyn Fn() -> bool| {
            let late = Instant::now() + Duration::from_secs(30);
            while !is_over() {
                assert!(Instant::now() < late);
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        wait(&|| port.unserved().is_some());
        let sentence = port.unserved().unwrap();
        assert!(
            sentence.contains("set tap.metrics.port to a port"),
            "{sentence}"
        );
        drop(taken);
        wait(&|| port.unserved().is_none());
        let answer = ureq::get(format!("http://{at}/metrics")).call();
        let text = answer.unwrap().body_mut().read_to_string().unwrap();
        assert_eq!(text, "a 1\n");
    }

    #[test]
    fn a_loop_that_stands_still_is_unwell_and_one_that_goes_round_is_not() {
        let pulse = Pulse::new();
        assert_eq!(pulse.unwell(Instant::now()), None);
        let later = Instant::now() + STILL + Duration::from_secs(1);
        let sentence = pulse.unwell(later).unwrap();
        assert!(sentence.contains("stands still since 301 s"), "{sentence}");
        pulse.beat();
        assert_eq!(pulse.unwell(Instant::now()), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_replaces_one_that_was_left_and_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe.sock");
        let runtime = super::super::live::runtime().unwrap();
        let serve = || serve_socket(&path, Router::new(), runtime.handle());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = serve().unwrap();
        let permissions = fs::metadata(&path).unwrap().permissions();
        let mode = std::os::unix::fs::PermissionsExt::mode(&permissions);
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        let error = serve().unwrap_err().message;
        assert!(error.contains("--probe-socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    }

    #[test]
    fn the_watches_are_told_by_kind_of_request() {
        let counts = WatchCounts {
            lists: 14,
            watches: 5,
            relists: 1,
            ..WatchCounts::default()
        };
        let watched = BTreeMap::from([(("pods", "denied"), 1), (("pods", "watching"), 0)]);
        let text = of_watches(&counts, &watched);
        for line in [
            "tapedeck_kube_watch{kind=\"pods\",state=\"denied\"} 1",
            "tapedeck_kube_watch{kind=\"pods\",state=\"watching\"} 0",
            "tapedeck_kube_requests_total{kind=\"list\"} 14",
            "tapedeck_kube_requests_total{kind=\"watch\"} 5",
            "tapedeck_kube_relists_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        let types = text.matches("# TYPE tapedeck_kube_requests_total counter");
        assert_eq!(types.count(), 1);
    }

    #[test]
    fn the_outbox_is_told_with_the_age_of_what_waits() {
        let status = Status {
            waiting: 3,
            oldest: Some(Timestamp::from_secs(10, 0)),
            is_full: true,
            ..Status::default()
        };
        let text = of_outbox(&status, Timestamp::from_secs(75, 0));
        for line in [
            "tapedeck_outbox_waiting 3",
            "tapedeck_outbox_oldest_seconds 65",
            "tapedeck_outbox_full 1",
            "# TYPE tapedeck_outbox_uploaded_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
    }
}
