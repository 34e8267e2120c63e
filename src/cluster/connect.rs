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
    /// A kubeconfig that was asked for; it must be there.
    pub kubeconfig: Option<PathBuf>,
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
    let asked = credentials.kubeconfig.as_deref();
    if let Some(path) = asked
        && !path.exists()
    {
        return Err(ConnectError::Missing {
            path: path.display().to_string(),
        });
    }
    let usual = credentials.usual.as_deref().filter(|path| path.exists());
    let config = match (asked, credentials.in_pod, usual) {
        (Some(path), ..) => from_file(path, &credentials.context).await?,
        (None, true, _) if Path::new(SERVICE_ACCOUNT).exists() => {
            Config::incluster().map_err(|error| ConnectError::ServiceAccount(error.to_string()))?
        }
        (None, _, Some(path)) => from_file(path, &credentials.context).await?,
        (None, _, None) => return Ok(None),
    };
    client(config).map(Some)
}

async fn from_file(path: &Path, context: &str) -> Result<Config, ConnectError> {
    let failed = |error: kube::config::KubeconfigError| ConnectError::Kubeconfig {
        path: path.display().to_string(),
        reason: error.to_string(),
    };
    let options = KubeConfigOptions {
        context: Some(context.to_owned()).filter(|context| !context.is_empty()),
        ..KubeConfigOptions::default()
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(failed)
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
    fn without_credentials_there_is_no_cluster() {
        assert!(run(connect(&Credentials::default())).unwrap().is_none());
        let usual = Credentials {
            usual: Some("/nonexistent/config".into()),
            ..Credentials::default()
        };
        assert!(run(connect(&usual)).unwrap().is_none());
        let asked = Credentials {
            kubeconfig: Some("/nonexistent/config".into()),
            ..Credentials::default()
        };
        let error = run(connect(&asked)).err().unwrap().to_string();
        assert!(error.starts_with("there is no kubeconfig /nonexistent/config"));
    }
}
