//! `tapedeck tap` in a cluster: installs or finds the release, forwards the dashboard, follows scripts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::super::config::{Came, Config};
use super::super::console::Lines;
use super::super::exit::{Exit, Failure};
use super::super::stop_on_signal;
use super::super::style::Style;
use super::super::tap::live::{script_env, script_sources};
use super::super::tap::targets;
use super::helm::{Helm, values};
use super::push::Pusher;
use super::{Reach, logs, named, ports, proxy, reach_cluster};
use crate::cluster::Pod;
use crate::pipeline::Stop;
use crate::release::{NotFound, Release};

/// Time between two looks at Ctrl+C, scripts and the console.
const PACE: Duration = Duration::from_millis(200);

/// Time for images to be fetched and the hub to start.
const START: Duration = Duration::from_secs(300);

/// Time between two looks at a hub that starts.
const LOOK: Duration = Duration::from_secs(1);

/// Pods that are listed by name.
const MAX_SHOWN: usize = 50;

/// What the command was asked for beside the configuration.
#[derive(Debug, Default, Clone, Copy)]
pub struct Asked {
    /// Whether the release is removed at the end.
    pub clean: bool,
}

/// Runs the command.
pub fn run(asked: Asked, config: &Config) -> Result<Exit, Failure> {
    // A pattern that is wrong ends it before anything is installed.
    let targets = targets(config).map_err(Failure::usage)?;
    let at = ports(config)?;
    let reach = reach_cluster(config)?;
    preview(&reach, config, &targets)?;
    if config.bool("tap.dryRun") {
        return Ok(Exit::Done);
    }
    let stop = Stop::default();
    stop_on_signal(&stop)?;
    let release = installed(&reach, config)?;
    if !wait_for_hub(&reach, &release, &stop)? {
        return Ok(Exit::Done);
    }
    let hub = reach.forward(&release, &at)?;
    proxy::show(&hub, config, config.bool("headless"));
    let sources = match config.bool("scripting.watchScripts") {
        true => script_sources(config),
        false => Vec::new(),
    };
    let mut pusher = (!sources.is_empty()).then(|| Pusher::new(sources, script_env(config)));
    if let Some(pusher) = &mut pusher {
        let count = pusher.begin(&hub.instance)?;
        eprintln!("{count} scripts follow this computer");
    }
    let console = config.bool("scripting.console");
    let mut lines = Lines::default();
    eprintln!("Ctrl+C ends the forwarding");
    while !stop.is_asked() {
        std::thread::sleep(PACE);
        proxy::tell_trouble(&hub);
        if let Some(pusher) = &mut pusher {
            pusher.follow(&hub.instance);
        }
        if console {
            lines.print_new(&hub.instance);
        }
    }
    let written = config
        .bool("dumpLogs")
        .then(|| logs::write_archive(&reach, &release, config));
    match asked.clean {
        true => {
            Helm::find(config)?.uninstall(&release.name, &release.namespace)?;
            eprintln!("Removed the release {}", release.name);
        }
        false => eprintln!(
            "The release {} goes on; come back with: tapedeck proxy -s {}; remove it with: tapedeck clean -s {}",
            release.name, release.namespace, release.namespace
        ),
    }
    // The release is gone by now if that was asked for, whatever became of the archive.
    written.unwrap_or(Ok(Exit::Done))
}

/// Prints the pods that are targeted now.
fn preview(
    reach: &Reach,
    config: &Config,
    targets: &crate::cluster::Targets,
) -> Result<(), Failure> {
    let namespaces = config.list("tap.namespaces");
    let (pods, labels) = reach.runtime.block_on(async {
        let mut pods = Vec::new();
        match namespaces.as_slice() {
            [] => pods = reach.api.list("/api/v1/pods").await?,
            some => {
                for namespace in some {
                    let path = format!("/api/v1/namespaces/{namespace}/pods");
                    pods.extend(reach.api.list(&path).await?);
                }
            }
        }
        // Without the right to list them, labels of namespaces match none.
        let labels = match config.text_if_set("tap.namespaceSelector") {
            Some(_) => reach.api.list("/api/v1/namespaces").await?,
            None => Vec::new(),
        };
        Ok::<_, Failure>((pods, labels))
    })?;
    let labels: BTreeMap<String, BTreeMap<String, String>> = labels.iter().map(labels_of).collect();
    let running = pods
        .iter()
        .filter(|pod| pod["status"]["phase"] == "Running");
    let mut found: Vec<String> = running
        .filter_map(Pod::of)
        .filter(|pod| targets.wants(pod, labels.get(&pod.key.namespace)))
        .map(|pod| format!("{}/{}", pod.key.namespace, pod.key.name))
        .collect();
    found.sort();
    let style = Style::stderr();
    if found.is_empty() {
        let sentence = "No running pod is targeted; pods that come later are captured too";
        eprintln!("{}", style.yellow(sentence));
        return Ok(());
    }
    eprintln!("{} pods are targeted:", found.len());
    for pod in found.iter().take(MAX_SHOWN) {
        eprintln!("  {}", style.green(&format!("+ {pod}")));
    }
    if let Some(more) = found.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
        eprintln!("  and {more} more");
    }
    Ok(())
}

/// Name and labels of a namespace.
fn labels_of(namespace: &Json) -> (String, BTreeMap<String, String>) {
    let metadata = &namespace["metadata"];
    let labels = metadata["labels"].as_object();
    let labels = labels.into_iter().flatten().map(|(name, value)| {
        let value = value.as_str().unwrap_or_default();
        (name.clone(), value.to_owned())
    });
    let name = metadata["name"].as_str().unwrap_or_default();
    (name.to_owned(), labels.collect())
}

/// The release: the one that is there, with the targets that this command names, or a new one.
fn installed(reach: &Reach, config: &Config) -> Result<Release, Failure> {
    match reach.release(config) {
        Ok(release) => {
            let ours = env!("CARGO_PKG_VERSION");
            if release.version != ours {
                eprintln!(
                    "The release is of version {}, this program of {ours}; helm upgrade brings both together",
                    release.version
                );
            }
            let named = targets_of_flags(config);
            if !named.is_null() {
                let helm = Helm::find(config)?;
                helm.install(&release.name, &release.namespace, &named, true)?;
                eprintln!(
                    "The release {} in {} captures other pods within a minute",
                    release.name, release.namespace
                );
            }
            Ok(release)
        }
        Err(NotFound::None(_)) => {
            let wanted = named(config);
            eprintln!(
                "Installing the release {} in {}",
                wanted.name, wanted.namespace
            );
            let helm = Helm::find(config)?;
            helm.install(wanted.name, wanted.namespace, &values(config), false)?;
            Ok(reach.release(config)?)
        }
        Err(other) => Err(other.into()),
    }
}

/// Targets that flags and `--set` name, as values of the chart; null when they name none.
fn targets_of_flags(config: &Config) -> Json {
    let keys = [
        "tap.regex",
        "tap.namespaces",
        "tap.excludedNamespaces",
        "tap.labelSelector",
        "tap.namespaceSelector",
        "tap.bpfOverride",
    ];
    let mut tap = serde_json::Map::new();
    for (key, value, came) in config.all() {
        if keys.contains(&key.path) && matches!(came, Came::Flag(_) | Came::Set) {
            let name = key.path.trim_start_matches("tap.");
            tap.insert(name.to_owned(), value.clone());
        }
    }
    match tap.is_empty() {
        true => Json::Null,
        false => json!({"tap": tap}),
    }
}

/// Waits until the hub is ready; false when Ctrl+C came first.
fn wait_for_hub(reach: &Reach, release: &Release, stop: &Stop) -> Result<bool, Failure> {
    let begun = Instant::now();
    let mut told = String::new();
    while !stop.is_asked() {
        match reach.runtime.block_on(release.hub(&reach.api)) {
            Ok(_) => return Ok(true),
            Err(error @ NotFound::NotRunning(..)) => {
                let sentence = error.to_string();
                if begun.elapsed() > START {
                    return Err(Failure::failed(sentence));
                }
                if sentence != told {
                    eprintln!("Waiting for the hub: {sentence}");
                    told = sentence;
                }
            }
            Err(other) => return Err(other.into()),
        }
        std::thread::sleep(LOOK);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::super::Global;
    use super::super::super::config::Surroundings;
    use super::*;

    #[test]
    fn only_targets_that_the_command_names_change_a_release() {
        let around = Surroundings::default();
        let mut config = Config::load(&Global::default(), &around).unwrap();
        config
            .read_yaml("tap: {regex: cart.*}", std::path::Path::new("x"))
            .unwrap();
        assert_eq!(targets_of_flags(&config), Json::Null);
        config.flag("tap.namespaces", "namespaces", json!(["shop"]));
        config.flag("kube.context", "context", json!("x"));
        assert_eq!(
            targets_of_flags(&config),
            json!({"tap": {"namespaces": ["shop"]}})
        );
    }

    #[test]
    fn labels_of_namespaces_are_read() {
        let namespace = json!({"metadata": {"name": "shop", "labels": {"team": "a"}}});
        let (name, labels) = labels_of(&namespace);
        assert_eq!((name.as_str(), labels["team"].as_str()), ("shop", "a"));
        assert_eq!(labels_of(&json!({})).1.len(), 0);
    }
}
