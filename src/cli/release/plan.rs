//! What `tapedeck tap` does with the release: installs one, leaves the one that is there, or changes it.
//!
//! In: the configuration, the release that is there with its own. Out: what helm is asked for, and the
//! configuration whose targets the release has afterwards. Never: a change of the version of a release
//! that nobody asked for; targets of which the release keeps a part.

use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::super::Global;
use super::super::config::{Came, Config};
use super::super::exit::Failure;
use super::super::tap::live::script_sources;
use super::super::tap::{TARGETS, TELLS_FILTERS, filter_refusal};
use super::helm::{Helm, image_of_flags, is_value, values};
use super::tap::Asked;
use super::{Reach, named};
use crate::release::{NotFound, Release};

/// The one of the targets that running pods do not follow: the chart starts them anew when it changes.
const BPF: &str = "tap.bpfOverride";

/// Keys that are values of the chart, and that `tap` heeds by itself as well.
const HEEDED_HERE: [&str; 5] = [
    "logLevel",
    "scripting.console",
    "scripting.enabled",
    "scripting.watchScripts",
    "tap.debug",
];

/// What is done.
pub(super) enum Plan {
    /// A release is installed.
    Install(Json),
    /// The one that is there stays as it is.
    Leave(Release),
    /// It is given these values.
    Change {
        /// The release.
        release: Release,
        /// What is given to it.
        values: Json,
        /// Whether it comes to the version of the chart.
        upgrades: bool,
    },
}

/// A plan, and what it leads to.
pub(super) struct Planned {
    /// What is done.
    pub(super) plan: Plan,
    /// The configuration with the targets of the release afterwards, or why they are not known.
    pub(super) aim: Result<Config, String>,
    /// What the command names and the release that is there does not get.
    withheld: Vec<&'static str>,
    /// Helm, where the plan takes it.
    helm: Option<Helm>,
}

/// Looks for the release, and plans what becomes of it.
///
/// # Errors
/// When it is not clear which release is meant, libpcap refuses the capture filter, helm is missing where
/// it is needed, or targets cannot be changed without another version.
pub(super) fn plan(reach: &Reach, config: &Config, asked: Asked) -> Result<Planned, Failure> {
    let found = match asked.clean {
        true => reach.release_named(config),
        false => reach.release(config),
    };
    let release = match found {
        Ok(release) => release,
        Err(NotFound::None(_) | NotFound::OfOtherNames { .. }) => {
            check_filter(config, config)?;
            return Planned::new(
                Plan::Install(values(config)),
                Ok(config.clone()),
                Vec::new(),
                config,
            );
        }
        Err(other) => return Err(other.into()),
    };
    let there = There::read(reach, &release);
    let names_targets = names_targets(config);
    let differs = match &there {
        Ok(there) => TARGETS.iter().any(|path| there.differs(config, path)),
        Err(_) => true,
    };
    let changes = names_targets && differs;
    let withheld = withheld(config, there.as_ref().ok(), asked);
    if !changes && !asked.upgrade {
        let aim = there.map(|there| there.config);
        return Planned::new(Plan::Leave(release), aim, withheld, config);
    }
    let mut given = Map::new();
    if changes {
        check_filter(config, there.as_ref().map_or(config, |there| &there.config))?;
        given.insert("tap".to_owned(), targets(config, there.as_ref().ok()));
    }
    if asked.upgrade {
        image_of_flags(config, &mut given);
    }
    let aim = match names_targets {
        true => Ok(config.clone()),
        false => there.map(|there| there.config),
    };
    let change = Plan::Change {
        release,
        values: Json::Object(given),
        upgrades: asked.upgrade,
    };
    Planned::new(change, aim, withheld, config)
}

impl Planned {
    fn new(
        plan: Plan,
        aim: Result<Config, String>,
        withheld: Vec<&'static str>,
        config: &Config,
    ) -> Result<Planned, Failure> {
        let takes_helm = !matches!(plan, Plan::Leave(_)) && !config.bool("tap.dryRun");
        let helm = match takes_helm {
            true => Some(Helm::find(config)?),
            false => None,
        };
        if let (
            Some(helm),
            Plan::Change {
                release,
                upgrades: false,
                ..
            },
        ) = (&helm, &plan)
        {
            let ours = helm.version()?;
            if release.version != ours {
                return Err(Failure::usage(format!(
                    "the release {release} is of version {}, and other targets from here would bring it to {ours}; take tapedeck {} for that, or say --upgrade",
                    release.version, release.version
                )));
            }
        }
        Ok(Planned {
            plan,
            aim,
            withheld,
            helm,
        })
    }

    /// Does it, and says what was done.
    ///
    /// # Errors
    /// What helm says.
    pub(super) fn carry_out(self, reach: &Reach, config: &Config) -> Result<Release, Failure> {
        match (self.plan, self.helm) {
            (Plan::Install(values), helm) => {
                let wanted = named(config);
                let (name, namespace) = (wanted.name, wanted.namespace);
                eprintln!("Installing the release {name} in {namespace}");
                let helm = helm.map_or_else(|| Helm::find(config), Ok)?;
                helm.install(name, namespace, &values)?;
                Ok(reach.release(config)?)
            }
            (Plan::Leave(release), _) => {
                tell_left(&release, config);
                tell_withheld(&release, &self.withheld);
                Ok(release)
            }
            (
                Plan::Change {
                    release,
                    values,
                    upgrades,
                },
                helm,
            ) => {
                let helm = helm.map_or_else(|| Helm::find(config), Ok)?;
                if upgrades {
                    let (from, to) = (&release.version, helm.version()?);
                    eprintln!("Upgrading the release {release} from version {from} to {to}");
                }
                helm.upgrade(&release.name, &release.namespace, &values, upgrades)?;
                if !values["tap"][name_of(BPF)].is_null() {
                    eprintln!(
                        "The release {release} gets another capture filter; its pods start anew, node by node"
                    );
                } else if !values["tap"].is_null() {
                    eprintln!("The release {release} captures other pods within a minute");
                }
                tell_withheld(&release, &self.withheld);
                Ok(release)
            }
        }
    }
}

/// What is to be said of a release that stays as it is.
fn tell_left(release: &Release, config: &Config) {
    let ours = env!("CARGO_PKG_VERSION");
    if release.version != ours {
        eprintln!(
            "The release is of version {}, this program of {ours}; tapedeck tap --upgrade brings it to {ours}",
            release.version
        );
    }
    if names_targets(config) {
        eprintln!("The release {release} has these targets already");
    }
}

/// Says what a release does not get.
fn tell_withheld(release: &Release, withheld: &[&str]) {
    if !withheld.is_empty() {
        eprintln!(
            "The release {release} does not get {}: tapedeck tap changes only targets of a release that is there; give it other values with helm upgrade --reuse-values",
            withheld.join(", ")
        );
    }
}

/// What a release has of configuration.
struct There {
    config: Config,
    /// What it has under `tap`, as it is spelt there.
    tap: Map<String, Json>,
}

impl There {
    /// Reads it; a sentence when it cannot be read.
    fn read(reach: &Reach, release: &Release) -> Result<There, String> {
        let text = reach.runtime.block_on(release.config(&reach.api));
        There::of(&text.map_err(|error| error.to_string())?)
    }

    fn of(text: &str) -> Result<There, String> {
        let failed = |failure: Failure| failure.message;
        let mut config = Config::of_defaults(&Global::default()).map_err(failed)?;
        let place = Path::new("its configuration");
        config.read_yaml(text, place).map_err(failed)?;
        let tree: Json = serde_yaml_ng::from_str(text).unwrap_or_default();
        let tap = tree["tap"].as_object().cloned().unwrap_or_default();
        Ok(There { config, tap })
    }

    /// Whether a key has another value in `config`.
    fn differs(&self, config: &Config, path: &str) -> bool {
        self.config.any(path) != config.any(path)
    }
}

/// Whether the command names targets, by flags or `--set`.
fn names_targets(config: &Config) -> bool {
    TARGETS.iter().any(|path| is_named(config, path))
}

fn is_named(config: &Config, path: &str) -> bool {
    named_keys(config).any(|named| named == path)
}

/// Keys that flags and `--set` of the command name.
fn named_keys(config: &Config) -> impl Iterator<Item = &'static str> {
    let named = |came: &Came| matches!(came, Came::Flag(_) | Came::Set);
    config
        .all()
        .filter(move |(_, _, came)| named(came))
        .map(|(key, _, _)| key.path)
}

/// Values that the command names, and that a release which is there has otherwise and does not get.
fn withheld(config: &Config, there: Option<&There>, asked: Asked) -> Vec<&'static str> {
    let pushes_env = config.bool("scripting.watchScripts") && !script_sources(config).is_empty();
    let is_heeded = |path: &str| {
        TARGETS.contains(&path)
            || HEEDED_HERE.contains(&path)
            || (path == "tap.docker" && asked.upgrade)
            || (path == "scripting.env" && pushes_env)
    };
    let is_there = |path: &str| there.is_some_and(|there| !there.differs(config, path));
    named_keys(config)
        .filter(|path| is_value(path) && !is_heeded(path) && !is_there(path))
        .collect()
}

/// What a key is called under `tap`.
fn name_of(path: &str) -> &str {
    path.trim_start_matches("tap.")
}

/// All targets, so that the release keeps none of those that it has: what is listed beforehand is what is
/// captured. The capture filter goes with them only where it changes, since pods start anew for it.
fn targets(config: &Config, there: Option<&There>) -> Json {
    let mut tap = Map::new();
    for path in TARGETS {
        let (name, value) = (name_of(path), config.any(path));
        let stays = match there {
            Some(there) => !there.differs(config, path),
            None => value == "" && !is_named(config, path),
        };
        if path == BPF && stays {
            continue;
        }
        // A key of an old spelling would go on to count beside ours.
        let spelt = there.into_iter().flat_map(|there| there.tap.keys());
        let mut spelt: Vec<&str> = spelt
            .map(String::as_str)
            .filter(|key| key.eq_ignore_ascii_case(name))
            .collect();
        if spelt.is_empty() {
            spelt.push(name);
        }
        for key in spelt {
            tap.insert(key.to_owned(), value.clone());
        }
    }
    json!(tap)
}

/// Refuses a capture filter that libpcap refuses, for the interface of `there`.
fn check_filter(config: &Config, there: &Config) -> Result<(), Failure> {
    let bpf = config.text(BPF);
    if !TELLS_FILTERS && !bpf.is_empty() {
        eprintln!(
            "This tapedeck was built without live capture, so only the workers can tell whether {bpf} is a capture filter"
        );
    }
    match filter_refusal(bpf, there.text("tap.interface")) {
        Some(sentence) => Err(Failure::usage(sentence)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::config::Surroundings;
    use super::*;

    fn config(yaml: &str) -> Config {
        let mut config = Config::load(&Global::default(), &Surroundings::default()).unwrap();
        config.read_yaml(yaml, Path::new("x")).unwrap();
        config
    }

    #[test]
    fn only_targets_that_the_command_names_change_a_release() {
        let mut config = config("tap: {regex: cart.*}");
        assert!(!names_targets(&config));
        config.flag("kube.context", "context", json!("x"));
        assert!(!names_targets(&config));
        config.flag("tap.namespaces", "namespaces", json!(["shop"]));
        assert!(names_targets(&config));
    }

    #[test]
    fn a_release_is_given_all_targets_and_a_capture_filter_only_when_it_is_another_one() {
        let mut config = config("tap: {regex: cart.*}");
        config.flag("tap.namespaces", "namespaces", json!(["shop"]));
        let there = There::of("tap: {regex: pay.*, excludednamespaces: [kube-system]}").unwrap();
        let all = json!({
            "regex": "cart.*", "namespaces": ["shop"], "excludednamespaces": [],
            "labelSelector": "", "namespaceSelector": "",
        });
        assert_eq!(targets(&config, Some(&there)), all);
        let there = There::of("tap: {bpfOverride: udp}").unwrap();
        assert_eq!(targets(&config, Some(&there))["bpfOverride"], "");
        assert!(targets(&config, None)["bpfOverride"].is_null());
        config.flag("tap.bpfOverride", "bpf", json!("udp"));
        assert!(targets(&config, Some(&there))["bpfOverride"].is_null());
        assert_eq!(targets(&config, None)["bpfOverride"], "udp");
        assert!(There::of("tap: {regex: [1]}").is_err());
    }
}
