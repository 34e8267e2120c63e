//! Logs of the pods of a release, and the events of its namespace.

use serde_json::Value as Json;

use super::api::{Api, Refusal};
use super::find::Release;

/// Lines of one container's log, counted from its end.
const MAX_LINES: usize = 100_000;

/// Bytes of one container's log.
const MAX_LOG: usize = 32 << 20;

/// One member of what was collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// `NAMESPACE.POD.CONTAINER.log`, `NAMESPACE_events.log`.
    pub name: String,
    /// Its text, or why it cannot be had.
    pub text: Result<String, String>,
}

/// The log of each container, of its life before as well where it was started anew, and the events. `each`
/// takes one before the next is asked for, so that one is in memory however many there are.
///
/// # Errors
/// When the pods may not be listed.
pub async fn collect(
    api: &Api,
    release: &Release,
    mut each: impl FnMut(Collected),
) -> Result<(), Refusal> {
    let namespace = &release.namespace;
    for pod in release.pods(api).await? {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        for (container, restarts) in containers(&pod) {
            let path = format!(
                "/api/v1/namespaces/{namespace}/pods/{name}/log?container={container}&timestamps=true&tailLines={MAX_LINES}&limitBytes={MAX_LOG}"
            );
            let stem = format!("{namespace}.{name}.{container}");
            each(Collected {
                name: format!("{stem}.log"),
                text: log(api, &path).await,
            });
            if restarts > 0 {
                each(Collected {
                    name: format!("{stem}.previous.log"),
                    text: log(api, &format!("{path}&previous=true")).await,
                });
            }
        }
    }
    let events = api
        .list(&format!("/api/v1/namespaces/{namespace}/events"))
        .await;
    each(Collected {
        name: format!("{namespace}_events.log"),
        text: events
            .map(|events| event_lines(&events))
            .map_err(|error| error.to_string()),
    });
    Ok(())
}

async fn log(api: &Api, path: &str) -> Result<String, String> {
    // A line at the end may go beyond the limit.
    let read = api.read(path, MAX_LOG + (1 << 20)).await;
    let bytes = read.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|odd| String::from_utf8_lossy(odd.as_bytes()).into_owned()))
}

/// Names of a pod's containers, with how often each was started anew.
fn containers(pod: &Json) -> Vec<(String, u64)> {
    let list = |of: &Json| of.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for (of, statuses) in [
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
    ] {
        let told = list(&pod["status"][statuses]);
        for container in list(&pod["spec"][of]) {
            let name = container["name"].as_str().unwrap_or_default();
            let status = told.iter().find(|status| status["name"] == name);
            let restarts = status.and_then(|status| status["restartCount"].as_u64());
            found.push((name.to_owned(), restarts.unwrap_or_default()));
        }
    }
    found
}

/// Events as lines, in the order of their time: time, type, reason, object, message, count.
pub fn event_lines(events: &[Json]) -> String {
    let text = |event: &Json, names: &[&str]| -> String {
        let found = names.iter().find_map(|name| event[*name].as_str());
        found.unwrap_or_default().to_owned()
    };
    let mut lines: Vec<(String, String)> = events
        .iter()
        .map(|event| {
            let at = text(event, &["lastTimestamp", "eventTime", "firstTimestamp"]);
            let about = &event["involvedObject"];
            let line = format!(
                "{at} {} {} {}/{} {}{}",
                text(event, &["type"]),
                text(event, &["reason"]),
                text(about, &["kind"]),
                text(about, &["name"]),
                text(event, &["message"]).replace('\n', " "),
                match event["count"].as_u64() {
                    Some(count) if count > 1 => format!(" ({count} times)"),
                    _ => String::new(),
                }
            );
            (at, line)
        })
        .collect();
    lines.sort();
    let mut told = String::new();
    for (_, line) in lines {
        told.push_str(&line);
        told.push('\n');
    }
    told
}
