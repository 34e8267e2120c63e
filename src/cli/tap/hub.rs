//! `tapedeck hub`: one view of all nodes of a cluster, and what they all do.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::super::Global;
use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::super::{browser, heard, instance, pass, style::Style};
use super::beside;
use super::chosen::Chooser;
use super::cluster::{Hears, Nearby, targets};
use super::follow::{Followed, say};
use super::live::{PACE, runtime, told_env};
use super::metrics;
use super::news::News;
use super::recording;
use super::session::private_dir;
use super::standing::{Instead, Standing};
use super::stores::{Stores, archived, is_folder};
use super::told::{Changes, packed};
use super::view;
use crate::capture::own::OwnSockets;
use crate::capture::targets::SharedTargets;
use crate::cluster::{Cluster, UpdateTeller, What};
use crate::hub::targeted::Targeted;
use crate::hub::{Beside, Hub, HubOptions, Overview, Whole, WishFiles, Wishes, tls};
use crate::pipeline::host::PodBlocker;
use crate::pipeline::{Counters, Stop};
use crate::script::console::Console;
use crate::script::supervisor::Scripts;
use crate::server::{Pushed, Run as _};
use crate::time::{Clock, SystemClock};

mod figures;
mod kept;
mod known;
mod own;
mod ready;
mod said;
mod scripts;
mod shared;
mod wanted;

use kept::Mirror;
use known::Known;
use own::{beside_the_link, is_known_to_workers};
use ready::Ready;
use said::Said;
use wanted::{chosen_filter, sources, spread};

/// Name of the hub, as scripts know it.
const NAME: &str = "hub";

/// Names under which a forwarded dashboard is reached.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// File of the recordings that were added.
const RECORDINGS: &str = "hub-recordings.json";

/// File of what the configuration said last of recordings that was valid.
const VALID: &str = "hub-configured.json";

/// Folder of scripts that computers elsewhere push.
const PUSHED: &str = "pushed";

/// Time between two looks at scripts and configuration.
const LOOK: Duration = Duration::from_secs(1);

/// Pods that wait to be cut off.
const MAX_BLOCKS: usize = 64;

/// Show all nodes of a cluster at once, and tell them what to record
///
/// Waits for workers, serves the dashboard over the traffic of all nodes, gives them the recordings
/// and scripts of the configuration as it changes, and runs those scripts that know the hub
/// (onHubAction, onPodEvent). Ends with Ctrl+C; workers go on, and come back to the next hub.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck hub
  tapedeck hub --tls certs/hub/ --listen 10.0.0.5:8898 --headless
  tapedeck hub --set scripting.env.RECORDING_KFL='http and response.status == 500'")]
pub struct HubArgs {
    /// Where workers connect
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,

    /// Folder with ca.crt, tls.crt and tls.key; see: tapedeck certs --help
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,

    /// Port of the dashboard; the next free one when taken
    #[arg(long, value_name = "PORT")]
    proxy_front_port: Option<u16>,

    /// Address of the dashboard
    #[arg(long, value_name = "ADDRESS")]
    proxy_host: Option<String>,

    /// Do not open the browser
    #[arg(long)]
    headless: bool,
}

impl HubArgs {
    fn over(&self, config: &mut Config) {
        let mut text = |path: &'static str, flag: &'static str, value: &Option<String>| {
            if let Some(value) = value {
                config.flag(path, flag, json!(value));
            }
        };
        let tls = self.tls.as_ref().map(|folder| folder.display().to_string());
        text("cluster.listen", "listen", &self.listen);
        text("cluster.tls", "tls", &tls);
        text("tap.proxy.host", "proxy-host", &self.proxy_host);
        if let Some(port) = self.proxy_front_port {
            config.flag("tap.proxy.front.port", "proxy-front-port", json!(port));
        }
        if self.headless {
            config.flag("headless", "headless", json!(true));
        }
    }
}

/// Where workers connect, as the configuration says.
fn listens(config: &Config) -> Result<SocketAddr, Failure> {
    if let Some(text) = config.text_if_set("cluster.listen") {
        return text.parse().map_err(|_| {
            Failure::usage(format!(
                "--listen {text} is no address with a port, such as 0.0.0.0:8898"
            ))
        });
    }
    let port = u16::try_from(config.int("tap.proxy.hub.srvPort"))
        .map_err(|_| Failure::usage("tap.proxy.hub.srvPort must be a port, 0 to 65535"))?;
    Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
}

/// Runs the command.
pub fn run(args: &HubArgs, global: &Global, mut config: Config) -> Result<Exit, Failure> {
    args.over(&mut config);
    let listen = listens(&config)?;
    let mut served = super::server_options(&config)?;
    // Whoever forwards the port may have another one there.
    served.hosts.extend(LOOPBACK.map(str::to_owned));
    let stop = Stop::default();
    super::super::stop_on_signal(&stop)?;
    let data = super::super::data_dir(&config)?;
    private_dir(&data)?;
    let own = OwnSockets::default();
    let basis = recording::basis(&config, &data)?;
    let destination = basis.template.destination.clone();
    let console = Arc::new(Console::new(NAME));
    let runtime = runtime()?;
    let addresses = SharedTargets::default();
    // Which targets take the place of some that cannot be used is known later.
    let aims = targets(&config).unwrap_or_default();
    let mut nearby = Nearby::find_for(&config, aims, addresses.clone(), runtime.handle())?;
    let cluster = nearby.asked();
    let ready = Ready::new(cluster.clone());
    let everywhere = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let app = metrics::app(ready.served());
    metrics::serve(
        &config,
        everywhere,
        ready.port(),
        app,
        &own,
        runtime.handle(),
    )?;
    let stores = Stores::new(recording::open_options(&config), own.clone());
    let rows = Arc::new(view::rows(&config));
    let counters: Arc<Counters> = Arc::default();
    let _relieving = beside::relieving_hub(&rows, &counters)?;
    let actions = Arc::new(scripts::Actions::default());
    let to_scripts = actions.clone();
    let options = HubOptions {
        listen,
        tls: tls::Folder(config.text("cluster.tls").into()),
        rows: rows.clone(),
        clock: Arc::new(SystemClock),
        nodes: Some(data.join("nodes.json")),
        own: beside_the_link(&config, served.port),
        actions: Arc::new(move |action, object| to_scripts.tell(action, object)),
        blocks: blocks(cluster.blocker(&config)),
        said: Box::new(say),
    };
    let hub = Hub::start(options, runtime.handle()).map_err(Failure::usage)?;
    let hub = Arc::new(hub);
    hub.names(Arc::new({
        let (history, cluster) = (nearby.history(), cluster.clone());
        move || {
            let are_listed = cluster.of(Cluster::is_ready).unwrap_or(false);
            let parts = packed(&history.snapshot(SystemClock.now()));
            Whole {
                // Names of before outlive a hub that may see none.
                is_all: are_listed && !parts.is_empty(),
                parts,
            }
        }
    }));
    if !is_known_to_workers(&hub, &stop, &ready) {
        return Ok(Exit::Done);
    }
    let kept = match config.text_if_set("cluster.kept") {
        Some(name) => nearby.kept(name).map_err(Failure::usage)?,
        None => None,
    };
    let mirror = kept.and_then(|kept| Mirror::start(kept, &data, &stop, runtime.handle(), &ready));
    if stop.is_asked() {
        return Ok(Exit::Done);
    }
    let standing = Standing::of_hub(&data);
    let mut aimed = config.clone();
    match standing.mend(&mut aimed) {
        Instead::Theirs => standing.keep(&aimed),
        Instead::Last => {}
        // Workers stay with the filter that each of them had.
        Instead::None => config = aimed.clone(),
    }
    nearby.aim(&aimed)?;
    let pushed = Pushed::open(data.join(PUSHED))
        .map_err(|error| Failure::failed(format!("the folder of pushed scripts: {error}")))?;
    let pushed = Arc::new(pushed);
    let files = WishFiles {
        added: data.join(RECORDINGS),
        valid: data.join(VALID),
    };
    let (wishes, unread) = Wishes::new(basis, files);
    unread.iter().for_each(|sentence| say(sentence));
    let wishes = Arc::new(wishes);
    let mut said = Said::default();
    let wanted = spread(&config, &pushed, &mut said);
    let configured = wishes.configure(wanted);
    said.say("configuration", configured.faults);
    hub.spread(&wishes.spread()).map_err(Failure::failed)?;
    let given = scripts::Given {
        sources: sources(&config, &pushed),
        env: told_env(&wishes.spread()),
    };
    let (scripts, _host) = scripts::start(&config, &data, &own, console, &cluster, &stores, given)?;
    actions.begin(&scripts);
    let changes = Arc::new(Changes::default());
    let news = Arc::new(News::default());
    news.follow(&wishes.spread().scripts);
    hub.late_news(Arc::new({
        let news = news.clone();
        move || news.late(SystemClock.now())
    }));
    let known = Known::new(&data);
    let hears = Hears {
        before: known.read(),
        ..hears(&hub, &scripts, &wishes, &news, &changes)
    };
    nearby.start(hears, runtime.handle());
    let beside = Beside {
        imposed: pass::imposed(&config)?,
        archived: archived(&config, &stores)?,
        open: Box::new(move |url| stores.open(url).map_err(|error| error.to_string())),
        is_folder,
        destination,
        history: Box::new({
            let cluster = cluster.clone();
            move || cluster.history()
        }),
        targeted: Box::new({
            let cluster = cluster.clone();
            move || cluster.pods()
        }),
        cluster: Box::new({
            let cluster = cluster.clone();
            move || cluster.status()
        }),
        unserved: Box::new({
            let port = ready.port();
            move || port.unserved()
        }),
    };
    let overview = Overview::new(hub.clone(), scripts.clone(), wishes.clone(), beside);
    let overview = Arc::new(overview);
    let mut view = view::view(
        &config,
        rows,
        counters.clone(),
        overview.clone(),
        Some(Arc::new(Chooser::new(cluster.clone(), &config, None))),
    )?;
    view.relayed = true;
    view.scripts.sources.push(pushed.folder().to_owned());
    view.pushed = Some(pushed.clone());
    let server = crate::server::Server::start(&served, view, runtime.handle())
        .map_err(|error| Failure::failed(format!("cannot serve the dashboard: {error}")))?;
    let counted = overview.clone();
    let memory = counters.clone();
    ready.figures(Box::new({
        let (cluster, wishes) = (cluster.clone(), wishes.clone());
        move || {
            let invalid = !wishes.faults().is_empty();
            figures::of_hub(&counted, invalid, &memory.now()) + &cluster.figures()
        }
    }));
    ready.waits(None);
    let instance = instance::Instance::of_process(&server, "all nodes");
    let registered = instance::register(&data, &instance);
    if let Err(error) = registered.as_ref() {
        say(&format!("commands on this machine do not find it: {error}"));
    }
    eprintln!(
        "Waiting for workers on {}; Ctrl+C ends the hub, and workers go on",
        hub.address
    );
    match config.text_if_set("tap.dashboard.tokenFile") {
        // Who may read a log need not be who may look at traffic.
        Some(file) => eprintln!(
            "Dashboard: http://{}/ with the token in {file}; from elsewhere: tapedeck proxy",
            server.address
        ),
        None => browser::show(
            &server.url(),
            server.address,
            served.port,
            config.bool("headless"),
        ),
    }
    follow(
        &config,
        global,
        &stop,
        &Parts {
            scripts: &scripts,
            wishes: &wishes,
            hub: &hub,
            overview: &overview,
            nearby: &nearby,
            addresses: &addresses,
            pushed: &pushed,
            ready: &ready,
            news: &news,
            changes: &changes,
            known: &known,
            standing: &standing,
        },
        mirror,
        said,
    );
    drop(server);
    scripts.finish(false);
    Ok(Exit::Done)
}

/// What the hub follows with.
struct Parts<'h> {
    scripts: &'h Scripts,
    wishes: &'h Wishes,
    hub: &'h Hub,
    overview: &'h Overview,
    nearby: &'h Nearby,
    addresses: &'h SharedTargets,
    pushed: &'h Pushed,
    ready: &'h Ready,
    news: &'h News,
    changes: &'h Changes,
    known: &'h Known,
    standing: &'h Standing,
}

/// What of the cluster scripts of the hub and workers hear.
fn hears(
    hub: &Arc<Hub>,
    scripts: &Arc<Scripts>,
    wishes: &Arc<Wishes>,
    news: &Arc<News>,
    changes: &Arc<Changes>,
) -> Hears {
    let (scripts, wishes) = (scripts.clone(), wishes.clone());
    let (of_pods, of_happenings) = (news.clone(), news.clone());
    Hears {
        pods: Arc::new(move |change, pod| {
            scripts.tell_pod(change.name(), pod);
            of_pods.pod(change, pod);
        }),
        updates: Some(teller(hub, changes)),
        happenings: Arc::new(move |happening| of_happenings.happening(happening)),
        wants: Arc::new(move |what| wishes.waits_for(what.name())),
        before: None,
    }
}

/// Takes up which names changed, for all workers.
fn teller(hub: &Arc<Hub>, changes: &Arc<Changes>) -> UpdateTeller {
    // The hub ends with its run, not with the watches.
    let (hub, changes) = (Arc::downgrade(hub), changes.clone());
    Arc::new(move |updates| {
        if let Some(hub) = hub.upgrade() {
            changes.add(updates, |part| tell_names(&hub, part));
        }
    })
}

/// Tells all workers of changed names.
fn tell_names(hub: &Hub, part: &[u8]) {
    if let Err(error) = hub.tell_names(part) {
        tracing::warn!(%error, "some names are not told");
    }
}

/// Follows configuration, scripts and console until the hub is to end.
fn follow(
    config: &Config,
    global: &Global,
    stop: &Stop,
    parts: &Parts<'_>,
    mut mirror: Option<Mirror>,
    mut said: Said,
) {
    let mut file = Followed::new(config, global);
    let mut config = config.clone();
    let (mut looked, mut line) = (Instant::now(), 0);
    let cluster = parts.nearby.asked();
    let mut env = told_env(&parts.wishes.spread());
    let mut targeted = None;
    while !stop.is_asked() {
        std::thread::sleep(PACE);
        parts.ready.beat();
        for (level, record) in heard::records().try_iter() {
            parts.scripts.tell_log(level, &record);
        }
        line = print_console(&config, parts.overview, line);
        parts.changes.flush(|part| tell_names(parts.hub, part));
        for part in parts.news.take() {
            if let Err(sentence) = parts.hub.news(&part) {
                say(&format!(
                    "workers are not told of some happenings: {sentence}"
                ));
            }
        }
        if looked.elapsed() < LOOK {
            continue;
        }
        looked = Instant::now();
        if let Some(mirror) = &mut mirror {
            mirror.look();
        }
        if let Some(changed) = file.changed() {
            parts.nearby.follow(&changed);
            parts.standing.keep(&changed);
            config = changed;
        }
        for sentence in cluster.sentences() {
            say(&sentence);
        }
        parts.known.keep(&cluster, || {
            let of_pods = [What::PodDeleted, What::Rollout];
            let mut waited = of_pods.iter();
            waited.any(|what| parts.wishes.waits_for(what.name()))
        });
        // Before pods are listed nobody can say which are targeted: workers stay with what they were told last.
        let are_known = cluster.of(Cluster::are_targets_known).unwrap_or(true);
        let (version, set) = parts.addresses.get();
        let bpf = chosen_filter(&config, &cluster);
        let now = Some((version, bpf.clone()));
        if are_known && targeted != now {
            targeted = now;
            // Workers record what they capture by name.
            parts.changes.flush(|part| tell_names(parts.hub, part));
            let told = Targeted::new(set.as_deref().cloned(), cluster.pods(), bpf);
            let told = told.map(|told| parts.hub.targets(told));
            let unsent = told.err();
            let unsent = unsent.map(|why| format!("workers go on with the last targets: {why}"));
            said.say("targets", unsent.into_iter().collect());
        }
        let wanted = spread(&config, parts.pushed, &mut said);
        let configured = parts.wishes.configure(wanted);
        said.say("configuration", configured.faults);
        if !configured.is_new {
            continue;
        }
        let spread = parts.wishes.spread();
        let env_now = told_env(&spread);
        if env_now != env {
            parts.scripts.set_env(env_now.clone());
            env = env_now;
        }
        parts.news.follow(&spread.scripts);
        let unsent = parts.hub.spread(&spread).err();
        let unsent =
            unsent.map(|why| format!("{why}; workers go on with what they were told last"));
        said.say("spread", unsent.into_iter().collect());
    }
}

/// Prints the console's lines behind `after`; answers the last one.
fn print_console(config: &Config, overview: &Overview, after: u64) -> u64 {
    let mut last = after;
    let lines = overview.console(after);
    for line in lines["lines"].as_array().into_iter().flatten() {
        last = last.max(line["n"].as_u64().unwrap_or_default());
        if !config.bool("scripting.console") {
            continue;
        }
        let text = line["text"].as_str().unwrap_or_default();
        if line["error"] == true {
            eprintln!("{}", Style::stderr().red(text));
        } else {
            // Whoever read the console may go away.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }
    last
}

/// Cuts pods off one after the other, aside: the API server may take its time, and the link waits for
/// nobody.
fn blocks(block: Arc<PodBlocker>) -> Arc<dyn Fn(String, String) + Send + Sync> {
    let (sender, asked) = std::sync::mpsc::sync_channel::<(String, String)>(MAX_BLOCKS);
    std::thread::spawn(move || {
        for (name, namespace) in asked {
            match block(&name, &namespace) {
                Ok(sentence) | Err(sentence) => say(&format!("hub.blockPod: {sentence}")),
            }
        }
    });
    Arc::new(move |name, namespace| {
        if let Err(TrySendError::Full((name, namespace))) = sender.try_send((name, namespace)) {
            say(&format!(
                "hub.blockPod: too many pods wait to be cut off, {namespace}/{name} is left out"
            ));
        }
    })
}
