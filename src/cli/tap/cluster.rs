//! The cluster beside a live run: names from its watches, targets, pod events for scripts.
//!
//! In: the configuration, kubeconfig or service account. Out: names for the pipeline, addresses for
//! the source's filter, what scripts ask of pods. Never: a run that does not start because no cluster
//! answers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::config::Config;
use super::super::exit::Failure;
use super::follow::say;
use super::metrics::of_watches;
use crate::capture::targets::SharedTargets;
use crate::cluster::{
    self, Cluster, Connection, Credentials, HappeningTeller, Kept, Pace, PodTeller, Remembered,
    Targets, UpdateTeller, Wanted, Wants,
};
use crate::pipeline::NamesOf;
use crate::pipeline::host::{Outside, PodBlocker};
use crate::resolve::{LiveHistory, Names};
use crate::time::{Clock, SystemClock, Timestamp};

/// Time for credential plugins of a kubeconfig.
const CONNECT: Duration = Duration::from_secs(20);

/// Who hears of the cluster.
pub(super) struct Hears {
    /// What becomes of pods.
    pub(super) pods: PodTeller,
    /// Which names changed.
    pub(super) updates: Option<UpdateTeller>,
    /// What happens to pods and nodes.
    pub(super) happenings: HappeningTeller,
    /// Whether a recording waits for a kind of it.
    pub(super) wants: Wants,
    /// Pods that were known in the life before, and when they were known last.
    pub(super) before: Option<(Timestamp, Vec<Remembered>)>,
}

/// The cluster of a run, which may be none.
pub(super) struct Nearby {
    connection: Option<Connection>,
    history: Arc<LiveHistory>,
    addresses: SharedTargets,
    targets: Targets,
    namespaces: Vec<String>,
    /// Set once the run has begun.
    cluster: Arc<Mutex<Option<Cluster>>>,
}

impl Nearby {
    /// Finds the credentials; what is asked for and cannot be had is an error, what is not there is
    /// said.
    pub(super) fn find(
        config: &Config,
        addresses: SharedTargets,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Nearby, Failure> {
        let targets = targets(config).map_err(Failure::usage)?;
        Nearby::find_for(config, targets, addresses, runtime)
    }

    /// As [`Nearby::find`], with targets that [`Nearby::aim`] may replace before the start.
    pub(super) fn find_for(
        config: &Config,
        targets: Targets,
        addresses: SharedTargets,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Nearby, Failure> {
        let credentials = credentials(config);
        let asked = !credentials.kubeconfig.is_empty();
        let found = runtime.block_on(async {
            tokio::time::timeout(CONNECT, cluster::connect(&credentials)).await
        });
        let connection = match found {
            Ok(Ok(found)) => {
                if found.is_none() {
                    eprintln!("{}", without(&targets));
                }
                found
            }
            Ok(Err(error)) if asked => return Err(Failure::usage(error.to_string())),
            Ok(Err(error)) => {
                say(&format!("{error}; {}", without(&targets)));
                None
            }
            Err(_) => {
                let late = format!(
                    "the credentials for the cluster were not there after {} s",
                    CONNECT.as_secs()
                );
                say(&format!("{late}; {}", without(&targets)));
                None
            }
        };
        if let Some(connection) = &connection {
            eprintln!("Names of pods and services come from {}", connection.server);
        }
        Ok(Nearby {
            connection,
            history: Arc::default(),
            addresses,
            targets,
            namespaces: config.list("tap.namespaces"),
            cluster: Arc::default(),
        })
    }

    /// Takes the targets of a configuration, from the start on.
    pub(super) fn aim(&mut self, config: &Config) -> Result<(), Failure> {
        self.targets = targets(config).map_err(Failure::usage)?;
        self.namespaces = config.list("tap.namespaces");
        Ok(())
    }

    /// The names for items; `None` without a cluster.
    pub(super) fn names(&self) -> Option<NamesOf> {
        self.connection.as_ref()?;
        let names = Arc::new(Names::live(self.history.clone()));
        Some(Box::new(move |_| Some(names.clone())))
    }

    /// The secret of this name; `None` without a cluster.
    ///
    /// # Errors
    /// One sentence, when it is no name of one.
    pub(super) fn kept(&self, name: &str) -> Result<Option<Kept>, String> {
        let connection = self.connection.as_ref();
        connection.map(|found| Kept::new(found, name)).transpose()
    }

    /// What scripts and pages ask of the cluster.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            history: self.history.clone(),
            cluster: self.cluster.clone(),
        }
    }

    /// The names, for others to look into.
    pub(super) fn history(&self) -> Arc<LiveHistory> {
        self.history.clone()
    }

    /// Begins to follow the cluster.
    pub(super) fn start(&mut self, hears: Hears, runtime: &tokio::runtime::Handle) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let options = cluster::Options {
            namespaces: self.namespaces.clone(),
            pace: Pace::default(),
            history: self.history.clone(),
            addresses: self.addresses.clone(),
            targets: self.targets.clone(),
            on_pod: Some(hears.pods),
            on_updates: hears.updates,
            on_happening: Some(hears.happenings),
            before: hears.before,
            wants: Some(hears.wants),
            clock: Arc::new(SystemClock),
        };
        let cluster = Cluster::start(runtime, connection, options);
        *self.cluster.lock().unwrap_or_else(PoisonError::into_inner) = Some(cluster);
    }

    /// Follows a changed configuration.
    pub(super) fn follow(&self, config: &Config) {
        match targets(config) {
            Ok(targets) => {
                let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(cluster) = &*cluster {
                    cluster.set_namespaces(config.list("tap.namespaces"));
                    cluster.set_targets(targets);
                }
            }
            Err(sentence) => say(&format!("{sentence}; the targets in force stay")),
        }
    }
}

/// What a run asks of its cluster.
#[derive(Clone, Default)]
pub struct Asked {
    history: Arc<LiveHistory>,
    cluster: Arc<Mutex<Option<Cluster>>>,
}

impl Asked {
    /// Of a run that is told names, and watches nothing itself.
    pub(super) fn without_watches(history: Arc<LiveHistory>) -> Asked {
        Asked {
            history,
            cluster: Arc::default(),
        }
    }

    /// Pods inside and outside of the targets.
    pub(super) fn pods(&self) -> Json {
        self.of(Cluster::targeted)
            .unwrap_or_else(|| json!({"targets": [], "excluded": []}))
    }

    /// The names of its addresses.
    pub(super) fn names(&self) -> Names {
        Names::live(self.history.clone())
    }

    /// Cuts a pod off, for scripts.
    fn block(&self, name: &str, namespace: &str) -> Result<String, String> {
        let isolate = self.of(|cluster| cluster.isolate(namespace, name));
        isolate.ok_or_else(|| {
            format!("the pod {namespace}/{name} is not blocked: no cluster is connected")
        })?()
    }

    /// What `hub.blockPod` of this process does; refuses unless it is allowed to change something.
    pub(super) fn blocker(&self, config: &Config) -> Arc<PodBlocker> {
        if !config.bool("scripting.allowBlockPod") {
            return Outside::default().block;
        }
        let cluster = self.clone();
        Arc::new(move |name, namespace| cluster.block(name, namespace))
    }

    /// The name history, as `name_resolution_history.json` holds it.
    pub(super) fn history(&self) -> Json {
        let now = SystemClock.now();
        let kept = i64::try_from(crate::resolve::KEPT.as_secs()).unwrap_or(i64::MAX);
        let from = Timestamp::from_secs(now.secs().saturating_sub(kept), 0);
        self.history.json(from, now)
    }

    /// The pods that are there, once they are known, for the next life.
    pub(super) fn remembered(&self) -> Option<Vec<Remembered>> {
        self.of(Cluster::remembered)?
    }

    /// How the watches fare; null without a cluster.
    pub(super) fn status(&self) -> Json {
        self.of(Cluster::json).unwrap_or_default()
    }

    /// What keeps the names from being known; `None` when they are, or without a cluster.
    pub(super) fn waits_for(&self) -> Option<String> {
        self.of(Cluster::waits_for)?
    }

    /// The figures of the watches as text; empty without a cluster.
    pub(super) fn figures(&self) -> String {
        let figures = self.of(|cluster| of_watches(&cluster.counts(), &cluster.watched()));
        figures.unwrap_or_default()
    }

    /// What is to be said of the watches.
    pub(super) fn sentences(&self) -> Vec<String> {
        self.of(Cluster::sentences).unwrap_or_default()
    }

    /// The service that stands for a name outside the cluster, with its namespace.
    pub(super) fn service_of_host(&self, host: &str) -> Option<(String, String)> {
        self.of(|cluster| {
            cluster.with_who(|who| {
                let key = who.service_of_host(host)?;
                Some((key.name.clone(), key.namespace.clone()))
            })
        })?
    }

    /// What is asked of the watches; `None` without a cluster.
    pub(super) fn of<R>(&self, ask: impl FnOnce(&Cluster) -> R) -> Option<R> {
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.as_ref().map(ask)
    }
}

/// Keys that say what is captured.
pub const TARGETS: [&str; 6] = [
    "tap.regex",
    "tap.namespaces",
    "tap.excludedNamespaces",
    "tap.labelSelector",
    "tap.namespaceSelector",
    "tap.bpfOverride",
];

/// What is captured, by the configuration; a capture filter of the user's own goes before.
///
/// # Errors
/// A sentence that names what is not understood, be it by libpcap, where this build has it.
pub fn targets(config: &Config) -> Result<Targets, String> {
    let bpf = config.text("tap.bpfOverride");
    if let Some(sentence) = super::filters::refusal(bpf, config.text("tap.interface")) {
        return Err(sentence);
    }
    Targets::parse(&Wanted {
        regex: config.text("tap.regex").to_owned(),
        namespaces: config.list("tap.namespaces"),
        excluded: config.list("tap.excludedNamespaces"),
        labels: config.text("tap.labelSelector").to_owned(),
        namespace_labels: config.text("tap.namespaceSelector").to_owned(),
        bpf: bpf.to_owned(),
    })
}

/// Where credentials for a cluster may be, by the configuration and the environment.
pub fn credentials(config: &Config) -> Credentials {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let listed = variable("KUBECONFIG").map(|list| {
        let paths = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
        paths.collect()
    });
    let named = config.text_if_set("kube.configPath");
    Credentials {
        kubeconfig: named
            .map(|path| vec![PathBuf::from(path)])
            .or(listed)
            .unwrap_or_default(),
        usual: std::env::home_dir().map(|home| home.join(".kube").join("config")),
        context: config.text("kube.context").to_owned(),
        in_pod: variable("KUBERNETES_SERVICE_HOST").is_some(),
    }
}

/// What a run without a cluster is like.
fn without(targets: &Targets) -> &'static str {
    match targets.is_all() {
        true => "no cluster: addresses are shown without names of pods and services",
        false => {
            "no cluster: pods cannot be told apart, so everything is captured, and addresses are shown without names"
        }
    }
}
