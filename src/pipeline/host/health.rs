//! Metrics of the scripts themselves: what they took and what they missed.
//!
//! In: the status of every script. Out: text for Prometheus (exposition format 0.0.4). Never: a
//! sample of something that the system does not tell.

use std::fmt::Write as _;

use crate::script::supervisor::{CallStatus, ScriptStatus};
use crate::script::wire::Role;

use super::metrics::{OURS, escaped};

/// Nanoseconds in a second.
const NANOS: f64 = 1e9;

/// Labels of a sample beside those of the script, and its value.
type Samples = Vec<(Vec<(&'static str, String)>, f64)>;

/// One metric.
struct Metric {
    /// Name behind [`OURS`].
    name: &'static str,
    /// Its type as the format names it.
    kind: &'static str,
    /// One sentence.
    help: &'static str,
    /// Its samples of one script.
    samples: fn(&ScriptStatus) -> Samples,
}

const METRICS: &[Metric] = &[
    Metric {
        name: "script_calls_total",
        kind: "counter",
        help: "Calls of hooks, jobs and timers",
        samples: |script| calls(script, |call| call.calls as f64),
    },
    Metric {
        name: "script_call_errors_total",
        kind: "counter",
        help: "Calls that ended in an exception",
        samples: |script| calls(script, |call| call.errors as f64),
    },
    Metric {
        name: "script_call_seconds",
        kind: "summary",
        help: "Time of one call without the helpers in it",
        samples: |script| {
            let mut samples = Vec::new();
            for call in &script.calls {
                for (quantile, nanos) in [("0.5", call.p50), ("0.99", call.p99)] {
                    if let Some(nanos) = nanos {
                        let labels = vec![
                            ("hook", call.name.to_owned()),
                            ("quantile", quantile.to_owned()),
                        ];
                        samples.push((labels, nanos as f64 / NANOS));
                    }
                }
            }
            samples
        },
    },
    Metric {
        name: "script_call_seconds_sum",
        kind: "",
        help: "",
        samples: |script| calls(script, |call| call.nanos as f64 / NANOS),
    },
    Metric {
        name: "script_call_seconds_count",
        kind: "",
        help: "",
        samples: |script| calls(script, |call| call.calls as f64),
    },
    Metric {
        name: "script_items_total",
        kind: "counter",
        help: "Items that were told to the script",
        samples: |script| one(script.told as f64),
    },
    Metric {
        name: "script_items_dropped_total",
        kind: "counter",
        help: "Items that were not told because the script was behind or not running",
        samples: |script| one(script.dropped as f64),
    },
    Metric {
        name: "script_packets_dropped_total",
        kind: "counter",
        help: "Packets that were not told because the script was behind or not running",
        samples: |script| one(script.packets_dropped as f64),
    },
    Metric {
        name: "script_restarts_total",
        kind: "counter",
        help: "Starts after a failure",
        samples: |script| one(script.restarts as f64),
    },
    Metric {
        name: "script_memory_bytes",
        kind: "gauge",
        help: "Memory that the script's process holds",
        samples: |script| {
            script
                .memory
                .map_or_else(Vec::new, |bytes| one(bytes as f64))
        },
    },
    Metric {
        name: "script_memory_limit_bytes",
        kind: "gauge",
        help: "Address space that the script's process may have",
        samples: |script| one(script.allowed.limits.memory as f64),
    },
    Metric {
        name: "script_state",
        kind: "gauge",
        help: "1 for the state that the script is in",
        samples: |script| vec![(vec![("state", script.state.word().to_owned())], 1.0)],
    },
];

fn one(value: f64) -> Samples {
    vec![(Vec::new(), value)]
}

fn calls(script: &ScriptStatus, value: fn(&CallStatus) -> f64) -> Samples {
    let of_hook = |call: &CallStatus| (vec![("hook", call.name.to_owned())], value(call));
    script.calls.iter().map(of_hook).collect()
}

/// The metrics of `scripts` in the text format.
pub fn health(scripts: &[ScriptStatus]) -> String {
    let mut out = String::new();
    for metric in METRICS {
        let name = format!("{OURS}{}", metric.name);
        // Sum and count belong to the summary before them.
        if !metric.kind.is_empty() {
            let (help, kind) = (metric.help, metric.kind);
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
        for script in scripts {
            let role = match script.role {
                Role::Worker => "worker",
                Role::Hub => "hub",
            };
            let whose = [
                ("index", script.index.to_string()),
                ("script", script.title.clone()),
                ("role", role.to_owned()),
            ];
            for (labels, value) in (metric.samples)(script) {
                let labels: Vec<String> = whose
                    .iter()
                    .chain(&labels)
                    .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                    .collect();
                let _ = writeln!(out, "{name}{{{}}} {value}", labels.join(","));
            }
        }
    }
    out
}
