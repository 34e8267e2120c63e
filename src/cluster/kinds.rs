//! The kinds of objects that are watched, and where the API server has them.

use serde_json::Value as Json;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Nodes, for their addresses.
    Nodes,
    /// Namespaces, for their labels.
    Namespaces,
    /// Services, for their addresses and ports.
    Services,
    /// Endpoint slices, which tie services to pods.
    EndpointSlices,
    /// Pods.
    Pods,
    /// Events of failed probes, which name no address; watched when a recording waits for them.
    Events,
}

impl Kind {
    /// The kinds that are always followed.
    pub const ALL: [Kind; 5] = [
        Kind::Nodes,
        Kind::Namespaces,
        Kind::Services,
        Kind::EndpointSlices,
        Kind::Pods,
    ];

    /// Its plural, as rights name it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Nodes => "nodes",
            Kind::Namespaces => "namespaces",
            Kind::Services => "services",
            Kind::EndpointSlices => "endpointslices",
            Kind::Pods => "pods",
            Kind::Events => "events",
        }
    }

    /// What one of its objects is called in `kind`.
    pub fn object(self) -> &'static str {
        match self {
            Kind::Nodes => "Node",
            Kind::Namespaces => "Namespace",
            Kind::Services => "Service",
            Kind::EndpointSlices => "EndpointSlice",
            Kind::Pods => "Pod",
            Kind::Events => "Event",
        }
    }

    /// Whether its objects belong to a namespace.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Kind::Nodes | Kind::Namespaces)
    }

    /// Which of its objects are asked for, as parameters of a request; empty for all.
    pub fn selector(self) -> &'static str {
        match self {
            Kind::Events => "&fieldSelector=reason%3DUnhealthy",
            _ => "",
        }
    }

    /// Path of its list, of one namespace or of all.
    pub fn path(self, slices: SliceApi, namespace: Option<&str>) -> String {
        let (api, plural) = match (self, slices) {
            (Kind::EndpointSlices, SliceApi::V1) => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            (Kind::EndpointSlices, SliceApi::V1Beta1) => {
                ("/apis/discovery.k8s.io/v1beta1", "endpointslices")
            }
            (Kind::EndpointSlices, SliceApi::Endpoints) => ("/api/v1", "endpoints"),
            (other, _) => ("/api/v1", other.name()),
        };
        match namespace {
            Some(namespace) => format!("{api}/namespaces/{namespace}/{plural}"),
            None => format!("{api}/{plural}"),
        }
    }
}

/// Which objects tie services to pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SliceApi {
    /// `discovery.k8s.io/v1`, from Kubernetes 1.21 on.
    V1,
    /// `discovery.k8s.io/v1beta1`, from 1.17 on.
    V1Beta1,
    /// `endpoints` of core/v1, which every version has.
    Endpoints,
}

impl SliceApi {
    /// The newest version that an API server offers, by its answer to `/apis/discovery.k8s.io`;
    /// `None` when it has no such group.
    pub fn of_group(group: Option<&Json>) -> SliceApi {
        let versions = group
            .and_then(|group| group.get("versions"))
            .and_then(Json::as_array);
        let offers = |version: &str| {
            versions.is_some_and(|versions| {
                versions
                    .iter()
                    .any(|one| one.get("version").and_then(Json::as_str) == Some(version))
            })
        };
        match (offers("v1"), offers("v1beta1")) {
            (true, _) => SliceApi::V1,
            (false, true) => SliceApi::V1Beta1,
            (false, false) => SliceApi::Endpoints,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_way_to_ask_for_slices_is_taken() {
        let group = |versions: &[&str]| {
            let versions: Vec<_> = versions.iter().map(|v| json!({"version": v})).collect();
            json!({"kind": "APIGroup", "versions": versions})
        };
        let of = |json: &Json| SliceApi::of_group(Some(json));
        assert_eq!(of(&group(&["v1", "v1beta1"])), SliceApi::V1);
        assert_eq!(of(&group(&["v1beta1"])), SliceApi::V1Beta1);
        assert_eq!(of(&group(&["v2alpha1"])), SliceApi::Endpoints);
        assert_eq!(SliceApi::of_group(None), SliceApi::Endpoints);
        assert_eq!(
            Kind::EndpointSlices.path(SliceApi::Endpoints, Some("shop")),
            "/api/v1/namespaces/shop/endpoints"
        );
        assert_eq!(Kind::Pods.path(SliceApi::V1, None), "/api/v1/pods");
    }
}
