//! Items as JSON: writing any node, and reading JSON as a node.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value as Json;

use super::node::{Kind, Node};

/// Serialises a node with serde, members in their order.
#[derive(Clone, Copy)]
pub struct AsJson<N>(pub N);

impl<'a, N: Node<'a>> Serialize for AsJson<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let node = self.0;
        match node.kind() {
            Kind::Null => to.serialize_unit(),
            Kind::Bool => to.serialize_bool(node.bool().unwrap_or_default()),
            Kind::Int => to.serialize_i64(node.int().unwrap_or_default()),
            Kind::Float => to.serialize_f64(node.float().unwrap_or_default()),
            Kind::Text => to.serialize_str(&node.text().unwrap_or_default()),
            Kind::List => {
                let mut list = to.serialize_seq(Some(node.len()))?;
                for element in (0..node.len()).filter_map(|index| node.element(index)) {
                    list.serialize_element(&AsJson(element))?;
                }
                list.end()
            }
            Kind::Object => {
                let mut object = to.serialize_map(Some(node.len()))?;
                for (name, member) in (0..node.len()).filter_map(|index| node.entry(index)) {
                    object.serialize_entry(&name, &AsJson(member))?;
                }
                object.end()
            }
        }
    }
}

/// The JSON text of a node.
pub fn to_string<'a, N: Node<'a>>(node: N) -> String {
    serde_json::to_string(&AsJson(node)).expect("nodes hold only what JSON can say")
}

/// A node on parsed JSON, as altered `data` and `kfl match` hand it in.
#[derive(Clone, Copy)]
pub struct JsonNode<'a>(pub &'a Json);

impl<'a> Node<'a> for JsonNode<'a> {
    fn kind(self) -> Kind {
        match self.0 {
            Json::Null => Kind::Null,
            Json::Bool(_) => Kind::Bool,
            Json::Number(number) if number.is_i64() => Kind::Int,
            Json::Number(_) => Kind::Float,
            Json::String(_) => Kind::Text,
            Json::Array(_) => Kind::List,
            Json::Object(_) => Kind::Object,
        }
    }

    fn bool(self) -> Option<bool> {
        self.0.as_bool()
    }

    fn int(self) -> Option<i64> {
        self.0.as_i64()
    }

    fn float(self) -> Option<f64> {
        self.0.as_f64()
    }

    fn text(self) -> Option<Cow<'a, str>> {
        self.0.as_str().map(Cow::Borrowed)
    }

    fn len(self) -> usize {
        match self.0 {
            Json::Array(list) => list.len(),
            Json::Object(members) => members.len(),
            _ => 0,
        }
    }

    fn entry(self, index: usize) -> Option<(Cow<'a, str>, Self)> {
        let (name, value) = self.0.as_object()?.iter().nth(index)?;
        Some((Cow::Borrowed(name), JsonNode(value)))
    }

    fn element(self, index: usize) -> Option<Self> {
        self.0.as_array()?.get(index).map(JsonNode)
    }

    fn member(self, name: &str) -> Option<Self> {
        self.0.as_object()?.get(name).map(JsonNode)
    }
}
