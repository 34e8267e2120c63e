//! The scripts that have an instance at the hub.
//!
//! In: the configuration, the folders, what the hub knows of the cluster. Out: scripts that run. Never:
//! packets or recordings, which are on the nodes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value as Json;

use super::super::super::config::Config;
use super::super::super::exit::Failure;
use super::super::Asked;
use super::super::follow::say;
use super::super::scripting::{script_options, vendor_options};
use super::super::session::{node_name, share};
use super::super::stores::Stores;
use super::NAME;
use crate::capture::own::OwnSockets;
use crate::pipeline::host::{
    LiveHost, LiveOptions, NodeName, Outside, Recordings, S3Target, StreamReader, StreamRef,
};
use crate::script::console::Console;
use crate::script::environment::Environment;
use crate::script::folder::Side;
use crate::script::host::ScriptId;
use crate::script::supervisor::Scripts;
use crate::time::{Clock, SystemClock};

/// What scripts of the hub are made of.
pub(super) struct Given {
    /// Folders and files of scripts.
    pub(super) sources: Vec<PathBuf>,
    /// Values of env.
    pub(super) env: Environment,
}

/// The scripts that have an instance at the hub.
pub(super) fn start(
    config: &Config,
    data: &Path,
    own: &OwnSockets,
    console: Arc<Console>,
    cluster: &Asked,
    stores: &Arc<Stores>,
    given: Given,
) -> Result<(Arc<Scripts>, Arc<LiveHost>), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let run = u64::try_from(clock.now().secs()).unwrap_or_default();
    let node = NodeName {
        name: NAME.to_owned(),
        ..node_name(config, run)
    };
    let stores = stores.clone();
    let scripts: Arc<OnceLock<std::sync::Weak<Scripts>>> = Arc::default();
    let to_scripts = scripts.clone();
    let host = LiveHost::start(LiveOptions {
        data: data.join("scripts"),
        share: share(config, 4),
        node: node.clone(),
        allow_clear: config.bool("scripting.allowClear"),
        console: console.clone(),
        clock: clock.clone(),
        reader: Arc::new(Elsewhere),
        stores: Arc::new(move |target: &S3Target| stores.of_script(target)),
        recordings: Arc::new(Elsewhere),
        history: Arc::new({
            let cluster = cluster.clone();
            move || cluster.history()
        }),
        outside: Outside {
            pods: Arc::new({
                let cluster = cluster.clone();
                move || cluster.pods()
            }),
            vendor: vendor_options(config, own)?,
            block: cluster.blocker(config),
            hub: Arc::new(move |action, object| {
                let scripts = to_scripts.get().and_then(std::sync::Weak::upgrade);
                let scripts = scripts.ok_or("the hub has ended")?;
                scripts.tell_action(action, object.clone())
            }),
            ..Outside::default()
        },
    })
    .map_err(Failure::failed)?;
    let host = Arc::new(host);
    let mut options = script_options(config, true, &node, console)?;
    options.sources = given.sources;
    options.env = given.env;
    options.side = Side::Hub;
    let started = Scripts::start(options, host.clone(), clock)
        .map_err(|error| Failure::failed(error.to_string()))?;
    let started = Arc::new(started);
    let _ = scripts.set(Arc::downgrade(&started));
    Ok((started, host))
}

/// Bytes of the actions of workers' scripts that wait until those of the hub run.
const MAX_EARLY: usize = 4 << 20;

/// Where `hub.action` of workers' scripts goes.
#[derive(Default)]
pub(super) struct Actions {
    scripts: OnceLock<Arc<Scripts>>,
    early: Mutex<Early>,
}

/// Actions that wait, and their bytes.
#[derive(Default)]
struct Early {
    actions: Vec<(String, Json)>,
    bytes: usize,
}

impl Actions {
    /// Tells the scripts, or has it wait for them.
    pub(super) fn tell(&self, action: String, object: Json) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scripts) = self.scripts.get() {
            drop(early);
            return tell(scripts, &action, object);
        }
        let bytes = action.len() + object.to_string().len();
        if early.bytes + bytes > MAX_EARLY {
            return say(&format!(
                "hub.action {action}: too much waits for the hub to begin, it is left out"
            ));
        }
        early.bytes += bytes;
        early.actions.push((action, object));
    }

    /// The scripts run, and are told what waited.
    pub(super) fn begin(&self, scripts: &Arc<Scripts>) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        for (action, object) in std::mem::take(&mut early.actions) {
            tell(scripts, &action, object);
        }
        // Whoever starts a hub starts them once.
        let _ = self.scripts.set(scripts.clone());
    }
}

fn tell(scripts: &Scripts, action: &str, object: Json) {
    if let Err(sentence) = scripts.tell_action(action, object) {
        say(&format!("hub.action {action}: {sentence}"));
    }
}

/// Packets and recordings, which are at the workers.
struct Elsewhere;

/// What a script at the hub is told that wants them.
const ELSEWHERE: &str = "packets and recordings are on the nodes; do this in an instance there";

impl StreamReader for Elsewhere {
    fn write_pcap(&self, _streams: &[StreamRef], _out: &mut dyn Write) -> Result<u64, String> {
        Err(ELSEWHERE.to_owned())
    }

    fn has(&self, _stream: StreamRef) -> bool {
        false
    }

    fn write_all(&self, _out: &mut dyn Write) -> Result<u64, String> {
        Err(ELSEWHERE.to_owned())
    }

    fn pin(&self, _stream: StreamRef) {}

    fn unpin(&self, _stream: StreamRef) {}
}

impl Recordings for Elsewhere {
    fn set(&self, _script: &ScriptId, _wanted: &Json) -> Result<Json, String> {
        Err(ELSEWHERE.to_owned())
    }

    fn take(&self, _stream: &str, _name: Option<&str>) -> Result<(), String> {
        Err(ELSEWHERE.to_owned())
    }

    fn seal(&self, _name: Option<&str>) -> Result<Json, String> {
        Err(ELSEWHERE.to_owned())
    }

    fn status(&self, _name: Option<&str>) -> Result<Json, String> {
        Err(ELSEWHERE.to_owned())
    }

    fn capture(&self, _script: &ScriptId, _wanted: &Json) -> Result<Json, String> {
        Err(ELSEWHERE.to_owned())
    }
}
