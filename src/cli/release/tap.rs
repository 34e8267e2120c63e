//! `tapedeck tap` in a cluster: installs or finds the release, forwards the dashboard, follows scripts.
//!
//! In: the configuration, the cluster. Out: the pods that the release captures, its dashboard on a port of
//! this computer. Never: something else done to the release than what [`plan`] says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::super::config::Config;
use super::super::console::Lines;
use super::super::exit::{Exit, Failure};
use super::super::stop_on_signal;
use super::super::style::Style;
use super::super::tap::live::{script_env, script_sources};
use super::super::tap::targets;
use super::helm::Helm;
use super::plan::plan;
use super::push::Pusher;
use super::{Reach, flags_of, forwarded, logs, ports, proxy, reach_cluster};
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
    /// Whether a release of another version comes to the one of this program.
    pub upgrade: bool,
}

/// Runs the command.
pub fn run(asked: Asked, config: &Config) -> Result<Exit, Failure> {
    // A pattern that is wrong ends it before anything is installed.
    targets(config).map_err(Failure::usage)?;
    let at = ports(config)?;
    let reach = reach_cluster(config)?;
    let planned = plan(&reach, config, asked)?;
    match &planned.aim {
        Ok(aim) => preview(&reach, aim)?,
        Err(why) => eprintln!("It is not known which pods the release targets: {why}"),
    }
    if config.bool("tap.dryRun") {
        return Ok(Exit::Done);
    }
    let stop = Stop::default();
    stop_on_signal(&stop)?;
    let release = planned.carry_out(&reach, config)?;
    if !wait_for_hub(&reach, &release, &stop)? {
        return Ok(Exit::Done);
    }
    let hub = reach.forward(&release, &at)?;
    let _noted = forwarded::note(config, &reach, &release, hub.instance.address);
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
            "The release {} goes on; come back with: tapedeck proxy {flags}; remove it with: tapedeck clean {flags}",
            release.name,
            flags = flags_of(&release)
        ),
    }
    // The release is gone by now if that was asked for, whatever became of the archive.
    written.unwrap_or(Ok(Exit::Done))
}

/// Prints the pods that a release with this configuration targets now.
fn preview(reach: &Reach, config: &Config) -> Result<(), Failure> {
    let targets = match targets(config) {
        Ok(targets) => targets,
        Err(sentence) => {
            eprintln!("The targets of the release cannot be read: {sentence}");
            return Ok(());
        }
    };
    if !targets.bpf().is_empty() {
        let filter = targets.bpf();
        eprintln!(
            "What passes the capture filter {filter} is captured, whatever pods it belongs to"
        );
        return Ok(());
    }
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
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_of_namespaces_are_read() {
        let namespace = json!({"metadata": {"name": "shop", "labels": {"team": "a"}}});
        let (name, labels) = labels_of(&namespace);
        assert_eq!((name.as_str(), labels["team"].as_str()), ("shop", "a"));
        assert_eq!(labels_of(&json!({})).1.len(), 0);
    }
}
