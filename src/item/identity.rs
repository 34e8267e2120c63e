//! Who holds an address in a cluster: pod, service and endpoint slice, as items tell it.
//!
//! In: JSON with the members `pod`, `service`, `endpointSlice` and `node`, each an object as core/v1
//! has it, cut to what names it. Out: values that an item shows as `src.pod` or `dst.service`, and
//! the JSON text again. Never: more than [`MAX_TEXT`] bytes; annotations give first, then labels.

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value as Json};

use super::Value;

/// Bytes of JSON text that one identity holds; a pod with a screenful of annotations has half of it.
pub const MAX_TEXT: usize = 8 * 1024;

/// Members of an identity, each an object.
const MEMBERS: [&str; 4] = ["pod", "service", "endpointSlice", "node"];

/// Who holds an address, or one port of it.
///
/// Of the thousands that a history keeps few are ever shown, so the values are made when they are
/// read.
#[derive(Debug, Clone)]
pub struct Identity {
    text: Arc<str>,
    is_node: bool,
    values: OnceLock<Values>,
}

#[derive(Debug, Default, Clone)]
struct Values {
    pod: Value,
    service: Value,
    endpoint_slice: Value,
    node_name: String,
}

impl Eq for Identity {}

impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        self.text == other.text
    }
}

impl Identity {
    /// Reads an identity; `None` when the JSON names nobody. Members that are no objects, and those
    /// with other names, are left out.
    pub fn from_json(json: &Json) -> Option<Identity> {
        let mut members = Map::new();
        for name in MEMBERS {
            if let Some(object) = json.get(name).filter(|member| member.is_object()) {
                members.insert(name.to_owned(), object.clone());
            }
        }
        if members.is_empty() {
            return None;
        }
        let mut text = Json::Object(members.clone()).to_string();
        for gives in ["annotations", "labels"] {
            if text.len() > MAX_TEXT {
                for member in members.values_mut() {
                    if let Some(metadata) = member.get_mut("metadata").and_then(Json::as_object_mut)
                    {
                        metadata.remove(gives);
                    }
                }
                text = Json::Object(members.clone()).to_string();
            }
        }
        if text.len() > MAX_TEXT {
            return None;
        }
        Some(Identity {
            text: Arc::from(text),
            is_node: members.contains_key("node") && !members.contains_key("pod"),
            values: OnceLock::new(),
        })
    }

    fn values(&self) -> &Values {
        self.values.get_or_init(|| {
            let members: Json = serde_json::from_str(&self.text).unwrap_or_default();
            let value = |name: &str| members.get(name).map_or(Value::Null, Value::from_json);
            let text = |path: &str| members.pointer(path).and_then(Json::as_str);
            let node_name = text("/pod/spec/nodeName").or_else(|| text("/node/metadata/name"));
            Values {
                node_name: node_name.unwrap_or_default().to_owned(),
                pod: value("pod"),
                service: value("service"),
                endpoint_slice: value("endpointSlice"),
            }
        })
    }

    /// The JSON text of all members.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The pod, an object with `metadata` (name, namespace, labels, annotations), `spec.nodeName`,
    /// `owner` (kind and name of what made it, seen through replica sets) and, where the port tells it,
    /// `container`; null when no pod holds the address.
    pub fn pod(&self) -> &Value {
        &self.values().pod
    }

    /// The service, an object with `metadata`; null when none is known.
    pub fn service(&self) -> &Value {
        &self.values().service
    }

    /// The endpoint slice (or endpoints object) that lists the address for the service; null when none.
    pub fn endpoint_slice(&self) -> &Value {
        &self.values().endpoint_slice
    }

    /// Name of the node that the pod is on, or that has the address itself; empty when it is not known.
    pub fn node_name(&self) -> &str {
        &self.values().node_name
    }

    /// Whether the address is that of a node itself.
    pub fn is_node(&self) -> bool {
        self.is_node
    }

    /// The id of the container that listens on the port, without its runtime's prefix; empty when
    /// it is not known.
    pub fn container_id(&self) -> &str {
        let id = self
            .pod()
            .member("container")
            .and_then(|container| container.member("id"));
        match id {
            Some(Value::Text(id)) => std::str::from_utf8(id).unwrap_or_default(),
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::item::{ItemNode, json::to_string};

    #[test]
    fn an_identity_shows_what_it_was_made_of() {
        let json = json!({
            "pod": {
                "metadata": {"name": "cart-1", "namespace": "shop", "labels": {"app": "cart"}},
                "container": {"name": "app", "id": "8f3c"},
            },
            "service": {"metadata": {"name": "cart"}},
            "foreign": {"a": 1},
        });
        let identity = Identity::from_json(&json).unwrap();
        let shown = to_string(ItemNode::of_value(identity.pod()));
        assert_eq!(serde_json::from_str::<Json>(&shown).unwrap(), json["pod"]);
        assert_eq!(identity.container_id(), "8f3c");
        assert!(!identity.is_node());
        assert!(!identity.text().contains("foreign"));
        let again = Identity::from_json(&serde_json::from_str(identity.text()).unwrap());
        assert_eq!(again.as_ref(), Some(&identity));
    }

    #[test]
    fn what_the_node_or_its_pods_ask_is_outgoing() {
        let of_node = |name: &str| {
            let pod = json!({"pod": {"metadata": {"name": "web-1"}, "spec": {"nodeName": name}}});
            Identity::from_json(&pod).map(Arc::new)
        };
        let cases: [(&str, Option<Arc<Identity>>, bool); 8] = [
            ("10.0.0.1", None, false),
            ("10.0.0.1", of_node("node-a"), true),
            ("10.0.0.1", of_node("node-b"), false),
            ("10.0.0.1", of_node(""), false),
            ("10.9.8.7", None, true),
            ("127.0.0.1", None, true),
            ("192.0.2.8", None, true),
            ("fd00::8", None, true),
        ];
        for (ip, identity, wanted) in cases {
            let mut item = crate::item::sample::http();
            let own = ["fd00::8", "192.0.2.8"].map(|own| own.parse().unwrap());
            item.origin = Arc::new(item.origin.with_addresses(&own));
            item.src.endpoint.ip = ip.parse().unwrap();
            item.src.identity = identity;
            let shown = crate::item::lookup(item.node(), "outgoing");
            assert_eq!(
                shown.and_then(crate::item::Node::bool),
                Some(wanted),
                "{ip}"
            );
        }
    }

    #[test]
    fn annotations_give_before_labels_and_labels_before_the_name() {
        let many = |count: usize| -> Json {
            let members = (0..count).map(|at| (format!("key-{at}"), "v".repeat(50).into()));
            Json::Object(members.collect())
        };
        let pod = |labels: usize, annotations: usize| {
            let json = json!({"pod": {"metadata": {
                "name": "cart-1", "labels": many(labels), "annotations": many(annotations),
            }}});
            let identity = Identity::from_json(&json).unwrap();
            let metadata = identity.pod().member("metadata").unwrap().clone();
            (
                metadata.member("labels").is_some(),
                metadata.member("annotations").is_some(),
            )
        };
        assert_eq!(pod(3, 3), (true, true));
        assert_eq!(pod(3, 1000), (true, false));
        assert_eq!(pod(1000, 3), (false, false));
        assert!(Identity::from_json(&json!({"pod": {"a": "v".repeat(MAX_TEXT)}})).is_none());
    }

    #[test]
    fn what_names_nobody_is_no_identity() {
        for json in [json!(null), json!({}), json!({"pod": 7}), json!(["pod"])] {
            assert!(Identity::from_json(&json).is_none(), "{json}");
        }
        let node = json!({"node": {"metadata": {"name": "worker-1"}}});
        let node = Identity::from_json(&node).unwrap();
        assert!(node.is_node());
        assert_eq!(node.node_name(), "worker-1");
    }
}
