//! The figures of the hub, as text for Prometheus.

use serde_json::Value as Json;

use super::super::metrics;
use crate::hub::Overview;
use crate::pipeline::Counts;
use crate::server::Run as _;

/// The figures of the hub.
pub(super) fn of_hub(overview: &Overview, invalid: bool, counts: &Counts) -> String {
    let status = overview.status();
    let nodes = status["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let is_there = |node: &&Json| node["connected"] == true;
    let there = nodes.iter().filter(is_there).count() as u64;
    let hindered = |why: &str| {
        let is_so = |node: &&Json| is_there(node) && node[why].is_string();
        nodes.iter().filter(is_so).count() as u64
    };
    let feed = |name: &str| status["feed"][name].as_u64().unwrap_or_default();
    metrics::figures(&[
        (
            "tapedeck_hub_workers_connected",
            "gauge",
            "Workers that are connected.",
            there,
        ),
        (
            "tapedeck_hub_workers_missing",
            "gauge",
            "Workers that were connected in the last day and are not now.",
            nodes.len() as u64 - there,
        ),
        (
            "tapedeck_hub_workers_unserved",
            "gauge",
            "Workers that are connected and answer neither probes nor Prometheus, as another program has their port.",
            hindered("unserved"),
        ),
        (
            "tapedeck_hub_workers_waiting",
            "gauge",
            "Workers that are connected and capture nothing, as the hub has not said yet which pods are captured.",
            hindered("waits"),
        ),
        (
            "tapedeck_hub_rows_total",
            "counter",
            "Rows that workers sent, since each was started.",
            feed("sent"),
        ),
        (
            "tapedeck_hub_rows_skipped_total",
            "counter",
            "Rows that were asked for and are not shown because hub or link were slow.",
            feed("skipped"),
        ),
        (
            "tapedeck_recordings_invalid",
            "gauge",
            "1 while RECORDING_KFL or recordings are invalid as configured; what was valid last stays in force.",
            u64::from(invalid),
        ),
        (
            "tapedeck_memory_used_bytes",
            "gauge",
            "Memory that is used and cannot be taken back, scripts included; 0 without a limit.",
            counts.memory_used,
        ),
        (
            "tapedeck_memory_limit_bytes",
            "gauge",
            "Memory that may be used; 0 without a limit.",
            counts.memory_limit,
        ),
    ])
}
