//! What the configuration says of scripts (`scripting.*`).

use std::path::PathBuf;
use std::sync::Arc;

use super::super::config::Config;
use super::super::exit::Failure;
use super::budgets;
use crate::capture::own::OwnSockets;
use crate::pipeline::host::{Credentials, NetworkPolicy, NodeName, VendorOptions};
use crate::script::console::Console;
use crate::script::folder::HubInstances;
use crate::script::supervisor;
use crate::script::wire::{Dates, Elapsed, Habits};

/// How scripts run.
pub(super) fn script_options(
    config: &Config,
    is_live: bool,
    node: &NodeName,
    console: Arc<Console>,
) -> Result<supervisor::Options, Failure> {
    let mut options = if is_live {
        supervisor::Options::live(&node.name, node.run, console)?
    } else {
        supervisor::Options::offline(&node.name, node.run, console)?
    };
    options.schema = super::super::schema(config).as_ref().clone();
    options.active = config.list("scripting.active");
    options.watch = is_live && config.bool("scripting.watchScripts");
    let instances = [
        ("aware", HubInstances::Aware),
        ("all", HubInstances::All),
        ("none", HubInstances::None),
    ];
    let instances = config.choice("scripting.hub", &instances);
    options.hub = instances.map_err(Failure::usage)?;
    options.habits = habits(config)?;
    budgets::apply(config, &mut options)?;
    Ok(options)
}

/// Whether a script that records by itself does so alone.
pub(super) fn leaves_to_scripts(config: &Config) -> Result<bool, Failure> {
    let key = "scripting.recorder";
    if config.text_if_set(key).is_none() {
        return Ok(true);
    }
    let choices = [("native", false), ("script", true), ("both", false)];
    config.choice(key, &choices).map_err(Failure::usage)
}

/// How items and dates read in scripts.
fn habits(config: &Config) -> Result<Habits, Failure> {
    let elapsed = [("ms", Elapsed::Millis), ("us", Elapsed::Micros)];
    let dates = [("standard", Dates::Standard), ("otto", Dates::Otto)];
    let elapsed = config.choice("scripting.elapsedTime", &elapsed);
    let dates = config.choice("scripting.dates", &dates);
    let (elapsed, dates) = (
        elapsed.map_err(Failure::usage)?,
        dates.map_err(Failure::usage)?,
    );
    Ok(Habits { elapsed, dates })
}

/// How helpers of scripts reach services.
pub(super) fn vendor_options(config: &Config, own: &OwnSockets) -> Result<VendorOptions, Failure> {
    let allowed = config.list("scripting.network.allow");
    // Variables that the services' own clients know, for servers of one's own.
    let variable = |names: &[&str]| {
        let mut values = names.iter().filter_map(std::env::var_os);
        let value = values.find(|value| !value.is_empty())?;
        value.into_string().ok()
    };
    let mut options = VendorOptions {
        ca_bundle: variable(&["AWS_CA_BUNDLE"]).map(PathBuf::from),
        kinesis: variable(&["AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL"]),
        gcs: variable(&["STORAGE_EMULATOR_HOST"]),
        credentials: Credentials::read(|name| std::env::var_os(name)?.into_string().ok()),
        network: NetworkPolicy::parse(&allowed).map_err(Failure::usage)?,
        own: own.clone(),
        ..VendorOptions::default()
    };
    if let Some(url) = config.text_if_set("scripting.chatgpt.url") {
        options.chat = url.to_owned();
    }
    if let Some(model) = config.text_if_set("scripting.chatgpt.model") {
        options.chat_model = model.to_owned();
    }
    Ok(options)
}
