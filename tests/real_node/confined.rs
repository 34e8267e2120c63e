//! The system calls that the pods have left.

use serde_json::Value as Json;

use super::node::Node;
use super::release::NAMESPACE;
use crate::seccomp;

/// The worker runs under the profile that the chart wrote to the node, the hub under that of the runtime,
/// and each of their scripts under one more.
pub(super) fn are_worker_and_hub(node: &Node) {
    let of = |role: &str| {
        let pod = node.pod(NAMESPACE, role).unwrap();
        let (spec, pid) = node.container(&pod);
        seccomp::are_confined(pid, 1);
        spec["linux"]["seccomp"].clone()
    };
    let profile = seccomp::profile();
    let worker = of("worker");
    for key in [
        "defaultAction",
        "defaultErrnoRet",
        "architectures",
        "syscalls",
    ] {
        assert_eq!(worker[key], profile[key], "{key}");
    }
    let is_of_runtime = |seccomp: &Json| {
        let rules = seccomp["syscalls"].as_array().map_or(0, Vec::len);
        seccomp["defaultAction"] == "SCMP_ACT_ERRNO" && rules > 0
    };
    let hub = of("hub");
    assert!(
        is_of_runtime(&hub) && hub["syscalls"] != profile["syscalls"],
        "{hub}"
    );
}
