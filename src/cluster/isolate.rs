//! Cutting a pod off, which is done in a cluster only when a script asks for it.
//!
//! In: a pod. Out: a label on that pod, and a network policy (`networking.k8s.io/v1`) that selects it
//! and allows nothing in or out. Never: another pod; the label holds the pod's uid, which no other has.

use http::Method;
use serde_json::{Value as Json, json};

use super::api::{Api, Refusal};

/// The label that the policy selects.
const LABEL: &str = "tapedeck.io/blocked";

/// Longest name of an object of the API server.
const MAX_NAME: usize = 253;

/// Isolates a pod and answers with a sentence that names the policy.
///
/// # Errors
/// One sentence: there is no such pod, or the rights do not suffice.
pub(super) async fn isolate(api: &Api, namespace: &str, name: &str) -> Result<String, String> {
    if ![namespace, name].into_iter().all(is_name) {
        return Err(format!(
            "{namespace}/{name} is no pod: hub.blockPod takes its name, then its namespace"
        ));
    }
    let because = |what: &str, why: Refusal| match why {
        Refusal::Missing => format!("there is no pod {namespace}/{name}"),
        Refusal::Denied(why) => format!(
            "the pod {namespace}/{name} is not blocked: {what} needs a right that this account does not have ({why})"
        ),
        why => format!("the pod {namespace}/{name} is not blocked: {why}"),
    };
    let pod_path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let pod = api.get(&pod_path).await;
    let pod = pod.map_err(|why| because("reading pods", why))?;
    let uid = pod.pointer("/metadata/uid").and_then(Json::as_str);
    let uid = uid.ok_or_else(|| format!("the pod {namespace}/{name} has no uid"))?;
    let label = json!({"metadata": {"labels": {LABEL: uid}}});
    let labelled = api.send(
        Method::PATCH,
        &pod_path,
        "application/merge-patch+json",
        &label,
    );
    labelled
        .await
        .map_err(|why| because("patching pods", why))?;
    let policy = format!("tapedeck-block-{uid}");
    let object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "tapedeck"},
            "annotations": {"tapedeck.io/pod": name},
        },
        "spec": {
            "podSelector": {"matchLabels": {LABEL: uid}},
            "policyTypes": ["Ingress", "Egress"],
        },
    });
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
    match api
        .send(Method::POST, &path, "application/json", &object)
        .await
    {
        Ok(_) => Ok(format!(
            "the pod {namespace}/{name} is cut off by the network policy {policy}; delete that to let it talk again"
        )),
        // It is there already.
        Err(Refusal::Failed(409, _)) => Ok(format!(
            "the pod {namespace}/{name} was cut off before by the network policy {policy}"
        )),
        Err(why) => Err(because("creating network policies", why)),
    }
}

/// Whether a text is a name by RFC 1123, and nothing else: it becomes part of a path.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(fits) && !text.contains("..")
}
