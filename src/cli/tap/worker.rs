//! `tapedeck worker`: captures, records and scripts on one node of a cluster, as the hub says.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};

use super::super::Global;
use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::super::{instance, pass, schema};
use super::aimed::Aimed;
use super::claim::Claim;
use super::facts::Facts;
use super::follow::say;
use super::live::{runtime, script_env, told_env, without_invalid_list, without_invalid_query};
use super::metrics::{self, Served};
use super::news::{self, Piece};
use super::session::{Remote, Session, Setup, private_dir};
use super::standing::{Instead, Standing};
use super::told::{HUB_WORD, Told};
use super::view;
use crate::capture::own::OwnSockets;
use crate::capture::targets::SharedTargets;
use crate::hub::message::{Hello, PROTOCOL, ScriptText, Spread};
use crate::hub::targeted::Targeted;
use crate::hub::{Actions, Follower, Uplink, UplinkOptions, tls};
use crate::packet::Endpoint;
use crate::pipeline::{RECORDING_KFL, Stop};
use crate::record::{read_capped, write_whole};
use crate::time::SystemClock;

/// Time that the worker before this one may take to end: more than the chart's grace.
const PREDECESSOR: Duration = Duration::from_secs(180);

/// Largest file of what the hub said last that is read.
const MAX_KEPT: u64 = 16 << 20;

/// Capture, record and run scripts on this node, as the hub says
///
/// Connects with the hub of the cluster and follows it: which recordings and scripts, what is looked at
/// on the dashboard. Spool, reels and outbox stay on this node, and without the hub everything goes on
/// as it said last. Ends with Ctrl+C: what is open is sealed and uploaded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck worker --hub tapedeck-hub.tapedeck.svc:8898
  sudo tapedeck worker --hub 10.0.0.5:8898 --tls certs/worker/ --node node-a -i eth0")]
pub struct WorkerArgs {
    /// Where the hub is
    #[arg(long, value_name = "HOST:PORT")]
    hub: Option<String>,

    /// Folder with ca.crt, tls.crt and tls.key; see: tapedeck certs --help
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,

    /// Name of this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// Network interface to capture on
    #[arg(short, long, value_name = "NAME")]
    interface: Option<String>,

    /// Capture filter in tcpdump syntax
    #[arg(long, value_name = "FILTER")]
    bpf: Option<String>,

    /// Also answer probes on this socket; see: tapedeck probe --help
    #[arg(long, value_name = "FILE")]
    probe_socket: Option<PathBuf>,

    /// Disk for spool, open reels, outbox and script folders together
    #[arg(long = "storageLimit", alias = "storage-limit", value_name = "SIZE")]
    storage_limit: Option<String>,
}

impl WorkerArgs {
    fn over(&self, config: &mut Config) {
        let mut text = |path: &'static str, flag: &'static str, value: &Option<String>| {
            if let Some(value) = value {
                config.flag(path, flag, json!(value));
            }
        };
        let tls = self.tls.as_ref().map(|folder| folder.display().to_string());
        text("cluster.hub", "hub", &self.hub);
        text("cluster.tls", "tls", &tls);
        text("tap.nodeName", "node", &self.node);
        text("tap.interface", "interface", &self.interface);
        text("tap.bpfOverride", "bpf", &self.bpf);
        text("tap.storageLimit", "storageLimit", &self.storage_limit);
    }
}

/// Runs the command.
pub fn run(args: &WorkerArgs, global: &Global, mut config: Config) -> Result<Exit, Failure> {
    args.over(&mut config);
    let Some(hub) = config.text_if_set("cluster.hub").map(str::to_owned) else {
        return Err(Failure::usage(
            "name the hub with --hub HOST:PORT, or cluster.hub in the configuration",
        ));
    };
    if !hub.contains(':') {
        return Err(Failure::usage(format!(
            "--hub {hub} has no port; write it as {hub}:8898"
        )));
    }
    let certificates = tls::Folder(config.text("cluster.tls").into());
    certificates.client().map_err(Failure::usage)?;
    let data = super::super::data_dir(&config)?;
    let standing = Standing::of_worker(&data);
    let instead = standing.mend(&mut config);
    let own = OwnSockets::default();
    let addresses = SharedTargets::default();
    let (source, filters) = super::source::open(&config, &own, &addresses)?;
    super::source::give_up_rights()?;
    let stop = Stop::default();
    super::super::stop_on_signal(&stop)?;
    private_dir(&data)?;
    // What comes meanwhile waits in the kernel's buffer.
    let _claim = Claim::take(&data, PREDECESSOR, &stop)?;
    if instead == Instead::Theirs {
        standing.keep(&config);
    }
    let folder = data.join("hub");
    private_dir(&folder.join(SCRIPTS))?;
    let last = kept(&folder);
    if let Some(last) = &last {
        over_by_hub(&mut config, last);
    }
    without_invalid_query(&mut config);
    without_invalid_list(&mut config, &data)?;
    let env = match &last {
        Some(last) => told_env(last),
        None => script_env(&config),
    };

    let told = Arc::new(Told::new(addresses.clone(), filters.clone()));
    told.begin(&folder, &config);
    let actions = Actions::default();
    let remote = Remote {
        actions: Arc::new({
            let actions = actions.clone();
            move |action, object| actions.send(action, object)
        }),
        block: Arc::new({
            let actions = actions.clone();
            move |name, namespace| actions.block_pod(name, namespace)
        }),
        pods: Arc::new({
            let told = told.clone();
            move || told.pods()
        }),
        waits: Arc::new({
            let told = told.clone();
            move || told.waits()
        }),
    };
    let what = format!("live on {}", config.text("tap.interface"));
    let setup = Setup {
        source: Box::new(Aimed::new(
            source,
            told.gate(),
            addresses,
            filters.clone(),
            usize::try_from(config.bytes("tap.bufferSize")).unwrap_or(usize::MAX),
        )),
        names: Some(told.names()),
        is_live: true,
        what: what.clone(),
        data: data.clone(),
        scripts: match config.bool("scripting.enabled") {
            true => vec![folder.join(SCRIPTS)],
            false => Vec::new(),
        },
        env,
        own: own.clone(),
        hub: Some(remote),
        cluster: told.asked(),
        dry: None,
        stop: stop.clone(),
    };
    own.wait_for_word(HUB_WORD);
    let mut session = Session::start(&config, setup)?;
    let runtime = runtime()?;
    let facts = session.facts.clone();
    let hello = Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: facts.node.name.clone(),
        ip: facts.node.ip.clone(),
        worker: format!("{}:8897", facts.node.ip),
        run: facts.node.run,
        instance: random_number()?,
        takes_differences: true,
    };
    eprintln!(
        "Capturing {what} on {}; Ctrl+C seals and uploads what is open",
        hello.node
    );
    let uplink = UplinkOptions {
        hub,
        tls: certificates,
        hello,
        rows: session.rows.clone(),
        counters: session.counters.clone(),
        run: facts.clone(),
        schema: schema(&config),
        imposed: pass::imposed(&config)?,
        clock: Arc::new(SystemClock),
        own: own.clone(),
        follower: Arc::new(Following {
            facts: facts.clone(),
            folder,
            last: Mutex::new(last),
            own: Own {
                query: config.env_text(RECORDING_KFL),
                recordings: config.any("recordings"),
            },
            told: told.clone(),
        }),
        said: Box::new(say),
    };
    let uplink = Arc::new(Uplink::start(uplink, actions, runtime.handle()));
    keep(&told, &uplink);

    // For commands on this node: the dashboard is the hub's.
    let local = crate::server::Options {
        host: IpAddr::from(Ipv4Addr::LOCALHOST),
        port: 0,
        token: None,
        hosts: Vec::new(),
        grants: Vec::new(),
        audit: super::audit_log(&config)?,
        oidc: None,
    };
    let view = view::view(
        &config,
        session.rows.clone(),
        session.counters.clone(),
        facts,
        // The hub says what is captured.
        None,
    )?;
    let server = crate::server::Server::start(&local, view, runtime.handle())
        .map_err(|error| Failure::failed(format!("cannot serve on this node: {error}")))?;
    own.listen(Endpoint {
        ip: server.address.ip(),
        port: server.address.port(),
    });
    let registered = instance::register(&data, &instance::Instance::of_process(&server, &what));
    if let Err(error) = registered.as_ref() {
        say(&format!("commands on this node do not find it: {error}"));
    }
    let of_session = session.metrics();
    let of_link = uplink.clone();
    let (of_targets, of_work) = (told.clone(), session.unready());
    let (of_names, of_told) = (told.clone(), told.clone());
    let beside = Served {
        pulse: session.pulse.clone(),
        metrics: Box::new(move || of_session() + &of_uplink(&of_link) + &figures_of(&of_told)),
        unready: Box::new(move || of_work().or_else(|| of_targets.waits())),
        lacks: Box::new(move || of_names.nameless()),
        port: session.facts.port.clone(),
    };
    let everywhere = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let port = beside.port.clone();
    let app = metrics::app(beside);
    let _socket = match &args.probe_socket {
        Some(path) => Some(metrics::serve_socket(path, app.clone(), runtime.handle())?),
        None => None,
    };
    metrics::serve(&config, everywhere, port, app, &own, runtime.handle())?;
    session.follow(&config, global, &stop, &|config: &Config| {
        filters.follow(config);
        standing.keep(config);
        told.follow(config);
    });
    told.end(uplink.standing().connected);
    session.finish(false)
}

/// Writes down what the hub tells, and says when it tells no names, as long as the link lives.
fn keep(told: &Arc<Told>, uplink: &Arc<Uplink>) {
    /// Time between two looks.
    const LOOK: Duration = Duration::from_secs(1);
    /// Looks until a hub that is there has told names.
    const SILENCE: u32 = 5;
    let (told, uplink) = (told.clone(), Arc::downgrade(uplink));
    std::thread::spawn(move || {
        let mut looks = 0;
        while let Some(uplink) = uplink.upgrade() {
            told.tick(uplink.standing().connected);
            drop(uplink);
            looks += 1;
            if looks == SILENCE
                && let Some(sentence) = told.nameless()
            {
                say(&sentence);
            }
            std::thread::sleep(LOOK);
        }
    });
}

/// A number that no other process has, above 0.
fn random_number() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("the system gives no random number: {error}")))?;
    Ok(u64::from_le_bytes(bytes).max(1))
}

/// The figures of the link.
fn of_uplink(uplink: &Uplink) -> String {
    let feed = uplink.feed();
    metrics::figures(&[
        (
            "tapedeck_worker_hub_connected",
            "gauge",
            "1 while the hub is connected.",
            u64::from(uplink.standing().connected),
        ),
        (
            "tapedeck_worker_rows_sent_total",
            "counter",
            "Rows sent to the hub.",
            feed.sent,
        ),
        (
            "tapedeck_worker_rows_skipped_total",
            "counter",
            "Rows that the hub asked for and that were held no longer when their turn came.",
            feed.skipped,
        ),
    ])
}

/// The figures of what the hub told.
fn figures_of(told: &Told) -> String {
    metrics::figures(&[
        (
            "tapedeck_worker_names",
            "gauge",
            "Addresses that have or had a name; with 0 queries by name match nothing.",
            told.named() as u64,
        ),
        (
            "tapedeck_worker_targets_awaited",
            "gauge",
            "1 while nothing is captured because the hub has not said which pods are.",
            u64::from(told.waits().is_some()),
        ),
    ])
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Folder of the hub's scripts, below that of what it said.
const SCRIPTS: &str = "scripts";

/// File of what the hub said last, but for the scripts.
const KEPT: &str = "spread.json";

/// What the hub said last.
fn kept(folder: &Path) -> Option<Spread> {
    let path = folder.join(KEPT);
    let read = read_capped(&path, MAX_KEPT).ok()?;
    match serde_json::from_slice(&read) {
        Ok(spread) => Some(spread),
        Err(error) => {
            say(&format!(
                "{} cannot be read, the configuration of this node counts until the hub is there: {error}",
                path.display()
            ));
            None
        }
    }
}

/// What the hub said last goes before the configuration of this node.
fn over_by_hub(config: &mut Config, last: &Spread) {
    let list = match &last.recordings {
        Json::Array(_) => last.recordings.clone(),
        _ => json!([]),
    };
    config.flag("recordings", "hub", list);
    let mut env = config.map("scripting.env");
    // What is mounted counts where nothing is said.
    let query = last.recording_kfl.as_deref().unwrap_or_default();
    env.insert(RECORDING_KFL.to_owned(), json!(query));
    config.flag("scripting.env", "hub", Json::Object(env));
}

/// What this node records until the hub says something.
struct Own {
    query: Option<String>,
    recordings: Json,
}

/// Leaves as it is what the hub knows nothing valid of.
fn stay(spread: &mut Spread, last: Option<&Spread>, own: &Own) {
    if std::mem::take(&mut spread.query_stays) {
        spread.recording_kfl = match last {
            Some(last) => last.recording_kfl.clone(),
            None => own.query.clone(),
        };
        if let Some(value) = last.and_then(|last| last.env.get(RECORDING_KFL)) {
            spread.env.insert(RECORDING_KFL.to_owned(), value.clone());
        }
    }
    if std::mem::take(&mut spread.list_stays) {
        let before = last.map_or(&own.recordings, |last| &last.recordings);
        let is_added = |one: &Json, added: &[String]| {
            let name = one["name"].as_str().unwrap_or_default();
            added.iter().any(|added| added == name)
        };
        let mut listed = before.as_array().cloned().unwrap_or_default();
        listed.retain(|one| !last.is_some_and(|last| is_added(one, &last.added)));
        let is_listed = |name: &str| listed.iter().any(|one| one["name"] == name);
        // The configuration goes first.
        spread.added.retain(|name| !is_listed(name));
        let added = spread.recordings.as_array().into_iter().flatten();
        listed.extend(added.filter(|one| is_added(one, &spread.added)).cloned());
        spread.recordings = Json::Array(listed);
    }
}

/// Follows the hub.
struct Following {
    facts: Arc<Facts>,
    folder: PathBuf,
    last: Mutex<Option<Spread>>,
    own: Own,
    told: Arc<Told>,
}

impl Follower for Following {
    fn spread(&self, spread: &Spread) {
        let mut last = lock(&self.last);
        if let Err(error) = write_scripts(&self.folder.join(SCRIPTS), &spread.scripts) {
            say(&format!("the hub's scripts cannot be written: {error}"));
        }
        let mut rest = Spread {
            scripts: Vec::new(),
            ..spread.clone()
        };
        stay(&mut rest, last.as_ref(), &self.own);
        if last.as_ref() == Some(&rest) {
            return;
        }
        self.facts
            .record(rest.recording_kfl.as_deref(), &rest.recordings);
        let env = told_env(&rest);
        if last.as_ref().is_none_or(|last| told_env(last) != env) {
            self.facts.scripts.set_env(env);
        }
        let text = serde_json::to_vec(&rest).unwrap_or_default();
        if let Err(error) = write_whole(&self.folder.join(KEPT), &text) {
            say(&format!(
                "what the hub said is forgotten when this worker ends: {error}"
            ));
        }
        *last = Some(rest);
    }

    fn targets(&self, targets: &Arc<Targeted>) {
        self.told.retarget(targets);
    }

    fn names(&self, deltas: &[u8]) {
        self.told.learn(deltas);
    }

    fn connected(&self) {
        self.told.connected();
    }

    fn named(&self) {
        self.told.named_all();
    }

    fn goes_on(&self) -> &'static str {
        match self.told.waits() {
            None => "recording goes on",
            Some(_) => "nothing is captured until it says which pods are",
        }
    }

    fn news(&self, news: &Json) {
        for piece in news::pieces(news) {
            match (piece, &self.facts.seeking) {
                (Piece::Pod(event, pod), _) => self.facts.scripts.tell_pod(&event, &pod),
                (Piece::Happening(happening), Some(seeking)) => seeking.happened(&happening),
                (Piece::Happening(_), None) => {}
            }
        }
    }
}

/// Makes the folder hold these scripts and no others; what is the same is not touched.
fn write_scripts(folder: &Path, scripts: &[ScriptText]) -> std::io::Result<()> {
    let is_name = |name: &str| {
        name.ends_with(".js")
            && !name.starts_with('.')
            && name.len() <= 255
            && !name.contains(['/', '\\', '\0'])
    };
    let scripts: Vec<&ScriptText> = scripts
        .iter()
        .filter(|script| {
            let fits = is_name(&script.name);
            if !fits {
                tracing::warn!(name = script.name, "this is no name of a script");
            }
            fits
        })
        .collect();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !scripts.iter().any(|script| script.name == name) {
            fs::remove_file(entry.path())?;
        }
    }
    for script in scripts {
        let path = folder.join(&script.name);
        if fs::read(&path).is_ok_and(|before| before == script.code.as_bytes()) {
            continue;
        }
        write_whole(&path, script.code.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(name: &str, code: &str) -> ScriptText {
        ScriptText {
            name: name.to_owned(),
            code: code.to_owned(),
        }
    }

    #[test]
    fn a_query_that_stays_is_that_of_the_hub_before_and_else_the_own_one() {
        let said = |query: Option<&str>| Spread {
            recording_kfl: query.map(str::to_owned),
            env: [(RECORDING_KFL.to_owned(), json!(query))]
                .into_iter()
                .collect(),
            ..Spread::default()
        };
        let stays = |last: Option<&Spread>| {
            let mut spread = Spread {
                query_stays: true,
                ..Spread::default()
            };
            let own = Own {
                query: Some("dns".to_owned()),
                recordings: json!([]),
            };
            stay(&mut spread, last, &own);
            (spread.recording_kfl, spread.env.get(RECORDING_KFL).cloned())
        };
        assert_eq!(
            stays(Some(&said(Some("http")))),
            (Some("http".into()), Some(json!("http")))
        );
        assert_eq!(stays(Some(&said(None))).0, None);
        assert_eq!(stays(None), (Some("dns".into()), None));
    }

    #[test]
    fn a_list_that_stays_is_that_of_before_with_what_the_hub_has_added_since() {
        let list =
            |names: &[&str]| -> Json { names.iter().map(|name| json!({"name": name})).collect() };
        let own = Own {
            query: None,
            recordings: list(&["own"]),
        };
        let said = |names: &[&str], added: &[&str], list_stays| Spread {
            recordings: list(names),
            added: added.iter().map(|name| (*name).to_owned()).collect(),
            list_stays,
            ..Spread::default()
        };
        let stays = |last: Option<&Spread>, added: &[&str]| {
            let mut spread = said(added, added, true);
            stay(&mut spread, last, &own);
            assert!(!spread.list_stays);
            spread
        };
        assert_eq!(
            stays(None, &["more"]),
            said(&["own", "more"], &["more"], false)
        );
        let last = said(&["errors", "gone"], &["gone"], false);
        let now = stays(Some(&last), &["more", "errors"]);
        assert_eq!(now, said(&["errors", "more"], &["more"], false));
        // As often as it is said.
        assert_eq!(stays(Some(&now), &["more", "errors"]), now);
        assert_eq!(stays(Some(&now), &[]), said(&["errors"], &[], false));
    }

    #[test]
    fn a_recording_that_the_hub_switched_off_stays_off_whatever_is_mounted() {
        let env = tempfile::tempdir().unwrap();
        fs::write(env.path().join(RECORDING_KFL), "http").unwrap();
        let mut config = Config::of_defaults(&Global::default()).unwrap();
        config.flag("scripting.envFolder", "test", json!(env.path()));
        over_by_hub(&mut config, &Spread::default());
        assert_eq!(config.env_text(RECORDING_KFL), None);
    }

    #[test]
    fn the_folder_holds_the_scripts_of_the_hub_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("scripts");
        fs::create_dir(&folder).unwrap();
        let names = || {
            let mut names: Vec<String> = fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let hostile = [
            script("../out.js", "x"),
            script("/etc/out.js", "x"),
            script(".hidden.js", "x"),
            script("out.sh", "x"),
        ];
        let mut all = vec![script("a.js", "1"), script("b.js", "2")];
        all.extend(hostile);
        write_scripts(&folder, &all).unwrap();
        assert_eq!(names(), ["a.js", "b.js"]);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        write_scripts(&folder, &[script("b.js", "3")]).unwrap();
        assert_eq!(names(), ["b.js"]);
        assert_eq!(fs::read_to_string(folder.join("b.js")).unwrap(), "3");
    }
}
