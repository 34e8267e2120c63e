//! Pods that call each other, and say of each call when it was and who answered.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tapedeck::time::Timestamp;

use super::node::{INSIDE, Node, container, wait};
use super::release::Release;

/// Port of every node that leads to the service `web`.
const NODE_PORT: u16 = 30080;

/// Port of the pod that shares the network of its node.
const HOSTED_PORT: u16 = 8090;

/// Says its own name to whoever asks.
fn server(port: u16) -> Json {
    let mut server = container(&format!(
        "echo $NAME > /www/index.html; exec httpd -f -p {port} -h /www"
    ));
    server["ports"] = json!([{"containerPort": port}]);
    server
}

/// Calls `KIND:HOST` one after the other, and says `KIND-NUMBER NAME` when NAME has answered. The time is
/// limited from outside: `wget -T` and names of hosts crash a busybox that is linked statically with glibc.
fn client(hosts: &[String]) -> Json {
    container(&format!(
        "n=0; while true; do for host in {}; do call=${{host%%:*}}-$n; \
         name=$(busybox timeout 2 wget -q -O - http://${{host#*:}}/index.html?$NAME=$call) && echo $call $name; \
         done; n=$((n+1)); sleep 0.3; done",
        hosts.join(" ")
    ))
}

/// A call that was answered.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// As the URL has it, `client=service-7`.
    pub(super) name: String,
    /// `service`, `nodeport`, `hosted` or `other`.
    pub(super) kind: String,
    /// When the answer was there.
    pub(super) at: Timestamp,
    /// The pod that asked.
    pub(super) client: String,
    /// The pod that answered.
    pub(super) server: String,
}

/// The namespaces `shop` and `other`, with all their pods.
pub(super) struct Shop<'n> {
    node: &'n Node,
}

impl<'n> Shop<'n> {
    /// Makes all but the clients.
    pub(super) fn open(node: &'n Node) -> Shop<'n> {
        for name in ["shop", "other"] {
            node.make("/api/v1/namespaces", &json!({"metadata": {"name": name}}));
        }
        let template = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [server(8080)], "terminationGracePeriodSeconds": 1},
        });
        let deployment = json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
        });
        node.make("/apis/apps/v1/namespaces/shop/deployments", &deployment);
        let service = json!({
            "metadata": {"name": "web"},
            "spec": {
                "type": "NodePort", "selector": {"app": "web"},
                "ports": [{"port": 80, "targetPort": 8080, "nodePort": NODE_PORT}],
            },
        });
        node.make("/api/v1/namespaces/shop/services", &service);
        let hosted = json!({
            "metadata": {"name": "hosted"},
            "spec": {"hostNetwork": true, "containers": [server(HOSTED_PORT)]},
        });
        node.make("/api/v1/namespaces/shop/pods", &hosted);
        let lonely =
            json!({"metadata": {"name": "lonely"}, "spec": {"containers": [server(8080)]}});
        node.make("/api/v1/namespaces/other/pods", &lonely);
        node.wait_for_pods("shop", 3);
        node.wait_for_pods("other", 1);
        Shop { node }
    }

    /// Begins to call, once the worker has heard all names.
    pub(super) fn call(&self, _: &Release) {
        std::thread::sleep(Duration::from_secs(5));
        let lonely = self.node.ready("other")["lonely"].clone();
        let of_shop = [
            "service:$WEB_SERVICE_HOST".to_owned(),
            format!("nodeport:{INSIDE}:{NODE_PORT}"),
            format!("hosted:{INSIDE}:{HOSTED_PORT}"),
        ];
        let of_other = [format!("other:{lonely}:8080")];
        for (namespace, name, hosts) in [
            ("shop", "client", &of_shop[..]),
            ("other", "visitor", &of_other),
        ] {
            let pod = json!({
                "metadata": {"name": name},
                "spec": {"containers": [client(hosts)], "terminationGracePeriodSeconds": 1},
            });
            self.node
                .make(&format!("/api/v1/namespaces/{namespace}/pods"), &pod);
        }
        self.node.wait_for_pods("shop", 4);
        self.node.wait_for_pods("other", 2);
        std::thread::sleep(Duration::from_secs(10));
    }

    /// All calls so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        let of = |namespace: &str, client: &str| -> Vec<Call> {
            let lines = self.node.log(namespace, client).into_iter();
            let call = |(at, line): (Timestamp, String)| {
                let (call, server) = line.split_once(' ')?;
                let (kind, number) = call.split_once('-')?;
                number.parse::<u32>().ok()?;
                Some(Call {
                    name: format!("{client}={call}"),
                    kind: kind.to_owned(),
                    at,
                    client: client.to_owned(),
                    server: server.to_owned(),
                })
            };
            lines.filter_map(call).collect()
        };
        let mut all = of("shop", "client");
        all.extend(of("other", "visitor"));
        all
    }

    /// The pods that are called by an address of their own, each with the id of its container.
    pub(super) fn called_by_address(&self) -> Vec<(&'static str, String)> {
        let of = |(namespace, name): (&str, &'static str)| {
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
            let pod = self.node.get(&path);
            let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
            let id = id.unwrap_or_else(|| panic!("{pod}"));
            (name, id.trim_start_matches("containerd://").to_owned())
        };
        [("shop", "hosted"), ("other", "lonely")].map(of).into()
    }

    /// The pods behind the service.
    pub(super) fn web(&self) -> BTreeSet<String> {
        let ready = self.node.ready("shop").into_keys();
        ready.filter(|name| name.starts_with("web-")).collect()
    }

    /// Replaces the pods behind the service by those of another revision.
    pub(super) fn roll_out(&self, revision: u32) {
        let before = self.web();
        let annotations = json!({"revision": revision.to_string()});
        let changed = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        let path = "/apis/apps/v1/namespaces/shop/deployments/web";
        self.node.patch(path, &changed);
        wait(
            || format!("a rollout: {}", self.node.states("shop")),
            || {
                let now = self.web();
                (now.len() == 2 && now.is_disjoint(&before)).then_some(())
            },
        );
        std::thread::sleep(Duration::from_secs(12));
    }
}
