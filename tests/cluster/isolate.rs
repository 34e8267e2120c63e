//! `hub.blockPod`: what it makes at a real API server.

use http::Method;
use serde_json::{Value as Json, json};
use tapedeck::cluster::{Cluster, Options};

use super::real::{READER, Real};

async fn cut_off(cluster: &Cluster, namespace: &str, name: &str) -> Result<String, String> {
    let isolate = cluster.isolate(namespace, name);
    tokio::task::spawn_blocking(isolate).await.unwrap()
}

/// Cuts pods off; `options` makes what a cluster is followed with.
pub async fn pods(real: &Real, options: impl Fn() -> Options) {
    real.make_pod(
        "shop",
        "bad-1",
        "10.244.1.66",
        &json!({"labels": {"app": "bad"}}),
    )
    .await;
    let handle = tokio::runtime::Handle::current();
    let cluster = Cluster::start(&handle, real.admin().await, options());
    let said = cut_off(&cluster, "shop", "bad-1").await.unwrap();
    let path = "/api/v1/namespaces/shop/pods/bad-1";
    let pod = real.ask(Method::GET, path, &Json::Null).await;
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let policy = format!("tapedeck-block-{uid}");
    assert!(said.contains(&policy), "{said}");
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["tapedeck.io/blocked"], uid, "{pod}");
    let path = format!("/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/{policy}");
    let made = real.ask(Method::GET, &path, &Json::Null).await;
    let selects = json!({"matchLabels": {"tapedeck.io/blocked": uid}});
    assert_eq!(made["spec"]["podSelector"], selects, "{made}");
    assert_eq!(made["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    // No rules: nothing is allowed.
    assert!(made["spec"].get("ingress").is_none() && made["spec"].get("egress").is_none());
    let again = cut_off(&cluster, "shop", "bad-1").await.unwrap();
    assert!(again.contains("was cut off before"), "{again}");

    let none = cut_off(&cluster, "shop", "bad-2").await.unwrap_err();
    assert_eq!(none, "there is no pod shop/bad-2");
    let odd = cut_off(&cluster, "shop/pods", "../x").await.unwrap_err();
    assert!(odd.contains("is no pod"), "{odd}");

    let reader = Cluster::start(&handle, real.connection(READER).await, options());
    let denied = cut_off(&reader, "shop", "bad-1").await.unwrap_err();
    assert!(denied.contains("needs a right"), "{denied}");
    real.delete_pod("shop", "bad-1").await;
}
