//! The way to the API server: a kubeconfig, or the service account that a pod is given.
//!
//! In: paths that the caller found in configuration and environment. Out: a client with TLS and
//! credentials, which renews what expires. Never: a look at the environment of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Folder of the credentials that a pod is given.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Time for connecting.
const CONNECT: Duration = Duration::from_secs(10);

/// Where credentials may be.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Kubeconfigs that were asked for, merged as kubectl does: of what two of them name the first one
    /// counts, and those that are not there are left out; one must be there.
    pub kubeconfig: Vec<PathBuf>,
    /// A kubeconfig that is used when it is there.
    pub usual: Option<PathBuf>,
    /// A context of it; the current one when empty.
    pub context: String,
    /// Whether the variables are set that a pod has (`KUBERNETES_SERVICE_HOST`).
    pub in_pod: bool,
}

/// Why there is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig that was asked for is not there.
    #[error("there is no kubeconfig {path}; name one with kube.configPath or KUBECONFIG")]
    Missing {
        /// Its path.
        path: String,
    },
    /// A kubeconfig cannot be used.
    #[error("the kubeconfig {path} cannot be used: {reason}")]
    Kubeconfig {
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
    /// The service account cannot be used.
    #[error("the service account of this pod cannot be used: {0}")]
    ServiceAccount(String),
    /// No client can be made of the credentials.
    #[error("no connection to {server} can be set up: {reason}")]
    Client {
        /// Address of the API server.
        server: String,
        /// Why.
        reason: String,
    },
}

/// A way to an API server.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// Address of the API server.
    pub server: String,
    /// The namespace that the credentials belong to.
    pub namespace: String,
}

/// Finds the way to the API server; `None` when there are no credentials of any kind.
///
/// # Errors
/// When credentials are there, or were asked for, and cannot be used.
pub async fn connect(credentials: &Credentials) -> Result<Option<Connection>, ConnectError> {
    let asked = &credentials.kubeconfig;
    let there: Vec<&Path> = asked
        .iter()
        .map(PathBuf::as_path)
        .filter(|path| path.exists())
        .collect();
    if let (Some(path), []) = (asked.first(), there.as_slice()) {
        return Err(ConnectError::Missing {
            path: path.display().to_string(),
        });
    }
    let usual = credentials.usual.as_deref().filter(|path| path.exists());
    let config = match (there.as_slice(), credentials.in_pod, usual) {
        ([first, more @ ..], ..) => from_files(first, more, &credentials.context).await?,
        ([], true, _) if Path::new(SERVICE_ACCOUNT).exists() => {
            Config::incluster().map_err(|error| ConnectError::ServiceAccount(error.to_string()))?
        }
        ([], _, Some(path)) => from_files(path, &[], &credentials.context).await?,
        ([], _, None) => return Ok(None),
    };
    client(config).map(Some)
}

async fn from_files(first: &Path, more: &[&Path], context: &str) -> Result<Config, ConnectError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: kube::config::KubeconfigError| ConnectError::Kubeconfig {
            path,
            reason: error.to_string(),
        }
    };
    let mut merged = read(first).map_err(failed(first))?;
    for path in more {
        let next = read(path).map_err(failed(path))?;
        merged = merged.merge(next).map_err(failed(path))?;
    }
    let options = KubeConfigOptions {
        context: Some(context.to_owned()).filter(|context| !context.is_empty()),
        ..KubeConfigOptions::default()
    };
    let made = Config::from_custom_kubeconfig(merged, &options).await;
    made.map_err(failed(first))
}

fn read(path: &Path) -> Result<Kubeconfig, kube::config::KubeconfigError> {
    let mut kubeconfig = Kubeconfig::read_from(path)?;
    // An empty name is none, and leaves it to the next file.
    kubeconfig.current_context = kubeconfig.current_context.filter(|name| !name.is_empty());
    Ok(kubeconfig)
}

fn client(mut config: Config) -> Result<Connection, ConnectError> {
    config.connect_timeout = Some(CONNECT);
    // A watch is silent for minutes; the watch itself says how long is too long, and who asks again.
    config.read_timeout = None;
    config.default_retry = false;
    let server = config
        .cluster_url
        .to_string()
        .trim_end_matches('/')
        .to_owned();
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| ConnectError::Client {
        server: server.clone(),
        reason: error.to_string(),
    })?;
    Ok(Connection {
        client,
        server,
        namespace,
    })
}

/// A way to a server of a test.
#[cfg(test)]
pub(crate) async fn to_double(server: &str) -> Connection {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let text = serde_json::json!({
        "current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": server}}], "users": [{"name": "a", "user": {}}],
    });
    std::fs::write(&file, text.to_string()).unwrap();
    let credentials = Credentials {
        kubeconfig: vec![file],
        ..Credentials::default()
    };
    connect(&credentials).await.unwrap().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(future)
    }

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: a, user: me, namespace: shop}}
- {name: two, context: {cluster: b, user: me}}
clusters:
- {name: a, cluster: {server: 'http://127.0.0.1:1'}}
- {name: b, cluster: {server: 'https://[::1]:2', insecure-skip-tls-verify: true}}
users:
- {name: me, user: {token: secret}}
";

    #[test]
    fn a_kubeconfig_gives_server_and_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, FILE).unwrap();
        let of = |context: &str| {
            let credentials = Credentials {
                usual: Some(path.clone()),
                context: context.to_owned(),
                ..Credentials::default()
            };
            let found = run(connect(&credentials)).map(Option::unwrap);
            found.map(|found| (found.server, found.namespace))
        };
        let pair = |server: &str, namespace: &str| (server.to_owned(), namespace.to_owned());
        assert_eq!(of("").unwrap(), pair("http://127.0.0.1:1", "shop"));
        assert_eq!(of("two").unwrap(), pair("https://[::1]:2", "default"));
        let error = of("three").unwrap_err().to_string();
        assert!(error.contains("three"), "{error}");
    }

    #[test]
    fn several_kubeconfigs_are_merged_and_the_first_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, current: &str, contexts: &[(&str, &str)]| {
            let clusters = contexts.iter().map(
                |(name, server)| serde_json::json!({"name": name, "cluster": {"server": server}}),
            );
            let named = contexts.iter().map(|(name, _)| {
                serde_json::json!({"name": name, "context": {"cluster": name, "user": "me"}})
            });
            let text = serde_json::json!({
                "apiVersion": "v1", "kind": "Config", "current-context": current,
                "clusters": clusters.collect::<Vec<_>>(), "contexts": named.collect::<Vec<_>>(),
                "users": [{"name": "me", "user": {}}],
            });
            let path = folder.path().join(name);
            std::fs::write(&path, text.to_string()).unwrap();
            path
        };
        let a = file("a", "", &[("one", "http://127.0.0.1:1")]);
        let b = file(
            "b",
            "two",
            &[("one", "http://127.0.0.1:9"), ("two", "http://127.0.0.1:2")],
        );
        let of = |context: &str| {
            let credentials = Credentials {
                kubeconfig: vec![folder.path().join("missing"), a.clone(), b.clone()],
                context: context.to_owned(),
                ..Credentials::default()
            };
            run(connect(&credentials)).unwrap().unwrap().server
        };
        assert_eq!(of(""), "http://127.0.0.1:2");
        assert_eq!(of("one"), "http://127.0.0.1:1");
        assert_eq!(of("two"), "http://127.0.0.1:2");
    }

    #[test]
    fn without_credentials_there_is_no_cluster() {
        assert!(run(connect(&Credentials::default())).unwrap().is_none());
        let usual = Credentials {
            usual: Some("/nonexistent/config".into()),
            ..Credentials::default()
        };
        assert!(run(connect(&usual)).unwrap().is_none());
        let asked = Credentials {
            kubeconfig: vec!["/nonexistent/config".into(), "/nonexistent/other".into()],
            ..Credentials::default()
        };
        let error = run(connect(&asked)).err().unwrap().to_string();
        assert!(error.starts_with("there is no kubeconfig /nonexistent/config"));
    }
}
