//! `tap` on a live interface: capture, record, script, serve.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::super::{Global, browser, instance, pass};
use super::chosen::Chooser;
use super::claim::Claim;
use super::cluster::{Hears, Nearby};
use super::facts::Facts;
use super::follow::say;
use super::metrics::Served;
use super::session::{Session, Setup};
use super::view;
use crate::capture::own::OwnSockets;
use crate::capture::targets::SharedTargets;
use crate::cluster::What;
use crate::hub::message::Spread;
use crate::packet::Endpoint;
use crate::pipeline::{RECORDING_KFL, Stop};
use crate::script::environment::Environment;

/// Time between two looks at signals, configuration and console.
pub const PACE: Duration = Duration::from_millis(100);

/// Time that another run may take to end that was asked to just before.
const PREDECESSOR: Duration = Duration::from_secs(3);

/// Threads for server and uploads; the packet path has its own.
const RIM_THREADS: usize = 2;

/// The runtime at the rim.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RIM_THREADS)
        .thread_name("rim")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no threads can be started: {error}")))
}

/// Why the query of the recording is none: a sentence, and the query with its place.
fn query_fault(config: &Config) -> Option<(String, String)> {
    let text = config.env_text(RECORDING_KFL)?;
    let error = crate::kfl::compile(&text, &super::super::schema(config)).err()?;
    Some((
        format!("{RECORDING_KFL} is invalid, {error}"),
        error.caret(&text),
    ))
}

/// Reads the queries before anything is opened: an invalid one must not start a silent nothing.
fn check_query(config: &Config) -> Result<(), Failure> {
    pass::imposed(config)?;
    match query_fault(config) {
        None => Ok(()),
        Some((sentence, place)) => Err(Failure::usage(format!("{sentence}\n{place}"))),
    }
}

/// Switches recording off when its query is invalid, and says so. In a cluster a pod that ended for it
/// would be started again and again, and take the dashboard of all nodes with it.
pub(super) fn without_invalid_query(config: &mut Config) {
    if let Some((sentence, _)) = query_fault(config) {
        say(&format!(
            "{sentence}; nothing is recorded until it is corrected"
        ));
        config.without_env(RECORDING_KFL);
    }
}

/// The same for the list of recordings.
pub(super) fn without_invalid_list(config: &mut Config, data: &Path) -> Result<(), Failure> {
    let basis = super::recording::basis(config, data)?;
    if let Some(sentence) = basis.list_fault(&config.any("recordings")) {
        say(&format!(
            "recordings are invalid, {sentence}; none of them is on until it is corrected"
        ));
        config.flag("recordings", "none", serde_json::json!([]));
    }
    Ok(())
}

/// Captures until Ctrl+C.
pub fn run(config: &Config, global: &Global) -> Result<Exit, Failure> {
    check_query(config)?;
    let served = super::server_options(config)?;
    let own = OwnSockets::default();
    let addresses = SharedTargets::default();
    let (source, filters) = super::source::open(config, &own, &addresses)?;
    // Before the first thread: what is given up counts for one thread and those that it starts.
    super::source::give_up_rights()?;
    let data = super::super::data_dir(config)?;
    super::session::private_dir(&data)?;
    let stop = Stop::default();
    super::super::stop_on_signal(&stop)?;
    let _claim = Claim::take(&data, PREDECESSOR, &stop)?;
    let runtime = runtime()?;
    let mut nearby = Nearby::find(config, addresses, runtime.handle())?;
    for key in config.not_yet() {
        say(&format!(
            "{} is set, but not acted on in this version: {}",
            key.path, key.doc
        ));
    }
    let what = format!("live on {}", config.text("tap.interface"));
    let setup = Setup {
        source,
        names: nearby.names(),
        cluster: nearby.asked(),
        is_live: true,
        what: what.clone(),
        data: data.clone(),
        scripts: script_sources(config),
        env: script_env(config),
        own: own.clone(),
        hub: None,
        dry: None,
        stop: stop.clone(),
    };
    let mut session = Session::start(config, setup)?;
    nearby.start(hears(&session.facts), runtime.handle());
    let view = view::view(
        config,
        session.rows.clone(),
        session.counters.clone(),
        session.facts.clone(),
        Some(Arc::new(Chooser::new(
            session.facts.cluster.clone(),
            config,
            Some(filters.clone()),
        ))),
    )?;
    let server = crate::server::Server::start(&served, view, runtime.handle())
        .map_err(|error| Failure::failed(format!("cannot serve the dashboard: {error}")))?;
    own.listen(Endpoint {
        ip: server.address.ip(),
        port: server.address.port(),
    });
    if !script_sources(config).is_empty() {
        let beside = Served {
            pulse: session.pulse.clone(),
            metrics: Box::new(session.metrics()),
            unready: Box::new(session.unready()),
            lacks: Box::new(|| None),
            port: session.facts.port.clone(),
        };
        let port = beside.port.clone();
        let app = super::metrics::app(beside);
        super::metrics::serve(config, served.host, port, app, &own, runtime.handle())?;
    }
    let _registered = instance::register(&data, &instance::Instance::of_process(&server, &what));
    eprintln!("Capturing {what}; Ctrl+C seals and uploads what is open");
    browser::show(
        &server.url(),
        server.address,
        served.port,
        config.bool("headless"),
    );
    session.follow(config, global, &stop, &|config: &Config| {
        filters.follow(config);
        // What somebody chose holds until now.
        let _ = filters.choose(None);
        nearby.follow(config);
    });
    session.finish(false)
}

/// What of the cluster scripts and recordings hear.
fn hears(facts: &Arc<Facts>) -> Hears {
    let (scripts, desk) = (facts.scripts.clone(), facts.desk.clone());
    let seeking = facts.seeking.clone();
    Hears {
        pods: Arc::new(move |change, pod| scripts.tell_pod(change.name(), pod)),
        updates: None,
        happenings: Arc::new(move |happening| {
            if let Some(seeking) = &seeking {
                seeking.happened(happening);
            }
        }),
        wants: Arc::new(move |what: What| desk.waits_for(what.name())),
        before: None,
    }
}

/// Lists the interfaces.
pub fn list_interfaces() -> Result<Exit, Failure> {
    super::source::list_interfaces()
}

/// Folders and files of scripts.
pub fn script_sources(config: &Config) -> Vec<PathBuf> {
    if !config.bool("scripting.enabled") {
        return Vec::new();
    }
    let first = config.text_if_set("scripting.source").map(str::to_owned);
    first
        .into_iter()
        .chain(config.list("scripting.sources"))
        .map(PathBuf::from)
        .collect()
}

/// Names that `scripting.env` and `scripting.envFor` give scripts.
pub fn script_env_names(config: &Config) -> Vec<String> {
    let env = script_env(config);
    let each = env.each.values().filter_map(serde_json::Value::as_object);
    env.all
        .keys()
        .chain(each.flat_map(serde_json::Map::keys))
        .cloned()
        .collect()
}

/// What scripts see as `env`.
///
/// With `scripting.recorder: native` a script that records by itself is not told the query.
pub fn script_env(config: &Config) -> Environment {
    let mut all = config.env();
    if config.text("scripting.recorder") == "native" {
        all.remove(RECORDING_KFL);
    }
    Environment {
        all,
        each: config.env_for(),
    }
}

/// The same, as the hub told it.
pub(super) fn told_env(spread: &Spread) -> Environment {
    Environment {
        all: spread.env.clone(),
        each: spread.env_for.clone(),
    }
}
