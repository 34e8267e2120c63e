//! Which release is meant, and where its hub is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::api::{Api, Refusal};

/// Labels that every hub of a release of ours has.
const HUBS: &str = "app.kubernetes.io%2Fpart-of%3Dtapedeck%2Capp.kubernetes.io%2Fcomponent%3Dhub";

/// Label with the name of the release.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// Name of the hub's port of the dashboard, and of the volumes with its token and its configuration.
const DASHBOARD: &str = "dashboard";
const TOKEN: &str = "token";
const CONFIG: &str = "config";

/// Which release is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'n> {
    /// Its name.
    pub name: &'n str,
    /// Whether the name was said: else the only release there is meant, whatever its name.
    pub name_is_said: bool,
    /// Its namespace.
    pub namespace: &'n str,
    /// Whether the namespace was said: else other ones are looked into when it has none.
    pub namespace_is_said: bool,
}

/// Why there is no release to speak with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// There is none.
    #[error("no release of tapedeck was found in {0}; install one with: tapedeck tap -A")]
    None(String),
    /// There are others, and none of the name that was said.
    #[error("no release {name} was found in {place}; there is {others}")]
    OfOtherNames {
        /// The name.
        name: String,
        /// Where it was looked for.
        place: String,
        /// Those that are there.
        others: String,
    },
    /// There are several, and it is not said which.
    #[error("there are several releases ({0}); name one with --release-name and -s NAMESPACE")]
    Several(String),
    /// There is one, and it is not the one that was named.
    #[error(
        "there is no release {name} in {namespace}, and {found} is removed only when it is named; name it with: --release-name {} -s {}",
        found.name,
        found.namespace
    )]
    NotNamed {
        /// The name.
        name: String,
        /// Its namespace.
        namespace: String,
        /// The release that is there.
        found: Box<Release>,
    },
    /// Its objects are not as the chart makes them.
    #[error("the release {0} is of a chart that has no {1}; upgrade it with helm")]
    Foreign(String, &'static str),
    /// Its hub does not run.
    #[error("the hub of the release {0} does not run: {1}; see: kubectl -n {2} get pods")]
    NotRunning(String, String, String),
    /// The API server did not answer as it should.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A release of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Version of the program in it.
    pub version: String,
    /// Port of the dashboard inside the hub's pod.
    pub port: u16,
    /// Secret with the dashboard's token.
    secret: String,
    /// ConfigMap with the configuration; empty where there is none.
    config: String,
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.name, self.namespace)
    }
}

/// Finds the release that is wanted: of the name in the namespace, else of the name in any other one,
/// unless the namespace was said. Where no name was said, a release that is alone is the one.
///
/// # Errors
/// One sentence, when there is none or it is not clear which.
pub async fn find(api: &Api, wanted: Named<'_>) -> Result<Release, NotFound> {
    let path = |namespace: &str| {
        format!("/apis/apps/v1/namespaces/{namespace}/deployments?labelSelector={HUBS}")
    };
    let mut found = api.list(&path(wanted.namespace)).await?;
    let mut place = format!("the namespace {}", wanted.namespace);
    let is_there = match wanted.name_is_said {
        true => found.iter().any(|hub| name(hub) == wanted.name),
        false => !found.is_empty(),
    };
    if !is_there && !wanted.namespace_is_said {
        // Who may not look into all namespaces is told of the one.
        let everywhere = format!("/apis/apps/v1/deployments?labelSelector={HUBS}");
        if let Ok(all) = api.list(&everywhere).await {
            found = all;
            place = "the cluster".to_owned();
        }
    }
    release(choose(&found, wanted, place)?)
}

/// Finds the release that is named: by its own name, in its namespace unless only the name was said.
/// Nothing is taken for it because it is alone.
///
/// # Errors
/// As [`find`], and `NotNamed`.
pub async fn find_named(api: &Api, wanted: Named<'_>) -> Result<Release, NotFound> {
    let found = find(api, wanted).await?;
    let is_in_place = wanted.name_is_said || found.namespace == wanted.namespace;
    if found.name == wanted.name && is_in_place {
        return Ok(found);
    }
    Err(NotFound::NotNamed {
        name: wanted.name.to_owned(),
        namespace: wanted.namespace.to_owned(),
        found: Box::new(found),
    })
}

/// Name of a hub's release.
fn name(hub: &Json) -> &str {
    hub["metadata"]["labels"][INSTANCE]
        .as_str()
        .unwrap_or_default()
}

/// The hub of the release that is wanted, among those that were found in `place`.
fn choose<'h>(hubs: &'h [Json], wanted: Named<'_>, place: String) -> Result<&'h Json, NotFound> {
    let told = |hubs: &[&Json]| {
        let told = hubs
            .iter()
            .map(|hub| format!("{} in {}", name(hub), text(&hub["metadata"]["namespace"])));
        told.collect::<Vec<_>>().join(", ")
    };
    let all: Vec<&Json> = hubs.iter().collect();
    let mut named = all.clone();
    named.retain(|hub| name(hub) == wanted.name);
    match (named.as_slice(), all.as_slice()) {
        ([hub], _) => Ok(hub),
        ([], []) => Err(NotFound::None(place)),
        ([], others) if wanted.name_is_said => Err(NotFound::OfOtherNames {
            name: wanted.name.to_owned(),
            place,
            others: told(others),
        }),
        ([], [hub]) => Ok(hub),
        ([], several) | (several, _) => Err(NotFound::Several(told(several))),
    }
}

fn text(of: &Json) -> String {
    of.as_str().unwrap_or_default().to_owned()
}

/// The release of a hub's deployment.
fn release(hub: &Json) -> Result<Release, NotFound> {
    let name = name(hub).to_owned();
    let spec = &hub["spec"]["template"]["spec"];
    let list = |of: &Json| of.as_array().cloned().unwrap_or_default();
    let containers = list(&spec["containers"]);
    let mut ports = containers.iter().flat_map(|one| list(&one["ports"]));
    let port = ports
        .find(|port| port["name"] == DASHBOARD)
        .and_then(|port| u16::try_from(port["containerPort"].as_u64()?).ok());
    let volumes = list(&spec["volumes"]);
    let volume = |name: &str| volumes.iter().find(|volume| volume["name"] == name);
    let secret = volume(TOKEN).map(|volume| text(&volume["secret"]["secretName"]));
    let config = volume(CONFIG).map(|volume| text(&volume["configMap"]["name"]));
    Ok(Release {
        port: port.ok_or(NotFound::Foreign(name.clone(), "port of a dashboard"))?,
        secret: secret.ok_or(NotFound::Foreign(name.clone(), "token of a dashboard"))?,
        config: config.unwrap_or_default(),
        namespace: text(&hub["metadata"]["namespace"]),
        version: text(&hub["metadata"]["labels"]["app.kubernetes.io/version"]),
        name,
    })
}

impl Release {
    /// Selects the release's pods, in a query.
    pub(super) fn selector(&self) -> String {
        let name =
            percent_encoding::utf8_percent_encode(&self.name, percent_encoding::NON_ALPHANUMERIC);
        format!("app.kubernetes.io%2Fpart-of%3Dtapedeck%2Capp.kubernetes.io%2Finstance%3D{name}")
    }

    /// All its pods.
    ///
    /// # Errors
    /// When they may not be listed.
    pub async fn pods(&self, api: &Api) -> Result<Vec<Json>, Refusal> {
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector={}",
            self.namespace,
            self.selector()
        );
        api.list(&path).await
    }

    /// Name of the pod in which the hub runs and is ready.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn hub(&self, api: &Api) -> Result<String, NotFound> {
        let pods = self.pods(api).await?;
        let hubs = pods.iter().filter(|pod| {
            pod["metadata"]["labels"]["app.kubernetes.io/component"] == "hub"
                && pod["metadata"]["deletionTimestamp"].is_null()
        });
        let mut why = "it has no pod".to_owned();
        for pod in hubs {
            match waits_for(pod) {
                None => return Ok(text(&pod["metadata"]["name"])),
                Some(reason) => why = reason,
            }
        }
        Err(NotFound::NotRunning(
            self.name.clone(),
            why,
            self.namespace.clone(),
        ))
    }

    /// Its configuration, as YAML.
    ///
    /// # Errors
    /// When its ConfigMap may not be read, or holds none.
    pub async fn config(&self, api: &Api) -> Result<String, NotFound> {
        let none = || NotFound::Foreign(self.name.clone(), "ConfigMap of its configuration");
        if self.config.is_empty() {
            return Err(none());
        }
        let path = format!(
            "/api/v1/namespaces/{}/configmaps/{}",
            self.namespace, self.config
        );
        let map = api.get(&path).await?;
        let text = map["data"]["config.yaml"].as_str();
        text.map(str::to_owned).ok_or_else(none)
    }

    /// The token of the dashboard.
    ///
    /// # Errors
    /// When its Secret may not be read, or holds none.
    pub async fn token(&self, api: &Api) -> Result<String, NotFound> {
        let path = format!(
            "/api/v1/namespaces/{}/secrets/{}",
            self.namespace, self.secret
        );
        let secret = api.get(&path).await?;
        let held = secret["data"][TOKEN].as_str().unwrap_or_default();
        let token = STANDARD.decode(held).ok();
        token
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty())
            .ok_or(NotFound::Foreign(
                self.name.clone(),
                "token in the Secret of the dashboard",
            ))
    }
}

/// Why a pod is not ready; `None` when it is.
pub(super) fn waits_for(pod: &Json) -> Option<String> {
    let status = &pod["status"];
    let conditions = status["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    if status["phase"] == "Running"
        && conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
    {
        return None;
    }
    let containers = status["containerStatuses"].as_array();
    let waiting = containers.into_iter().flatten().find_map(|container| {
        let state = &container["state"];
        let of = |kind: &str| {
            let reason = state[kind]["reason"].as_str()?;
            let message = state[kind]["message"].as_str().unwrap_or_default();
            Some(format!("{reason} {message}").trim().to_owned())
        };
        of("waiting").or_else(|| of("terminated"))
    });
    let phase = || status["phase"].as_str().unwrap_or("Pending");
    Some(waiting.unwrap_or_else(|| format!("its pod is {} and not ready", phase())))
}
