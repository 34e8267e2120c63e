//! What works beside the packets of a live run: processes of this machine, streams around happenings.
//!
//! In: the configuration, the parts of the run. Out: a consumer, a thread that looks into the spool. Never:
//! anything of it offline.

use std::path::Path;
use std::sync::Arc;

use super::super::config::Config;
use super::super::exit::Failure;
use super::Asked;
use super::follow::say;
use crate::pipeline::host::NodeName;
use crate::pipeline::{
    Consumer, Counters, Desk, Relieving, Rows, Seeking, SeekingOptions, relieve,
};
use crate::spool;
use crate::time::SystemClock;

/// What names the processes of this node.
#[cfg(target_os = "linux")]
pub(super) fn processes(
    config: &Config,
    is_live: bool,
) -> Result<Option<Box<dyn Consumer>>, Failure> {
    if !is_live || !config.bool("tap.processes") {
        return Ok(None);
    }
    let processes = crate::capture::process::Processes::start().map_err(without_thread)?;
    let consumer = crate::pipeline::ProcessConsumer::new(Arc::new(processes));
    Ok(Some(Box::new(consumer)))
}

/// Nothing: the system has no list of sockets with their processes here.
#[cfg(not(target_os = "linux"))]
pub(super) fn processes(_: &Config, _: bool) -> Result<Option<Box<dyn Consumer>>, Failure> {
    Ok(None)
}

/// What gives up this and that of a live run before memory runs out, where it is limited.
pub(super) fn relieving(
    is_live: bool,
    rows: &Arc<Rows>,
    counters: &Arc<Counters>,
) -> Result<Option<Relieving>, Failure> {
    if !is_live {
        return Ok(None);
    }
    let given_up = "older rows of the dashboard and what is open in streams is given up, and counted; \
                    raise the limit, or narrow what is captured";
    let told = counters.clone();
    let tell = Box::new(move |sentence| told.warn(vec![sentence]));
    relieve(rows, counters, given_up, tell).map_err(without_thread)
}

/// The same at a hub, which has nothing but the rows of its workers.
pub(super) fn relieving_hub(
    rows: &Arc<Rows>,
    counters: &Arc<Counters>,
) -> Result<Option<Relieving>, Failure> {
    let given_up =
        "older rows of the dashboard are given up; raise the limit, or look through a query";
    let tell = Box::new(|sentence: String| say(&sentence));
    relieve(rows, counters, given_up, tell).map_err(without_thread)
}

fn without_thread(error: std::io::Error) -> Failure {
    Failure::failed(format!("no thread can be started: {error}"))
}

/// What has the streams recorded around what happens in the cluster.
pub(super) fn seeking(
    desk: &Arc<Desk>,
    reader: &spool::Reader,
    cluster: &Asked,
    is_node: bool,
    node: &NodeName,
    data: &Path,
) -> Result<Seeking, Failure> {
    Seeking::start(SeekingOptions {
        desk: desk.clone(),
        reader: reader.clone(),
        names: cluster.names(),
        // A worker has its node's pods; a capture elsewhere may have anybody's.
        node: is_node.then(|| node.name.clone()),
        heard: Some(data.join("happenings.json")),
        clock: Arc::new(SystemClock),
    })
    .map_err(without_thread)
}
