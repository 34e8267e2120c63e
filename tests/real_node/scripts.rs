//! Scripts of a ConfigMap: the kubelet swaps the folder of a mounted one by a symbolic link.

use serde_json::json;

use super::node::Node;
use super::release::{NAMESPACE, SCRIPT, said};

/// Hub and worker run the first version, then the second, then a script that was not there.
pub(super) fn of_a_config_map_are_followed(node: &Node) {
    said(node, "hub", "the first version at node-a");
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/td-tapedeck-scripts");
    let changed = SCRIPT.replace("first", "second");
    node.patch(&path, &json!({"data": {"versions.js": changed}}));
    said(node, "hub", "the second version at node-a");
    let other = "console.log('another one at', utils.nodeName());\n";
    node.patch(
        &path,
        &json!({"data": {"versions.js": null, "other.js": other}}),
    );
    said(node, "hub", "another one at node-a");
}
