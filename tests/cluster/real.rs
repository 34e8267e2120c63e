//! An API server and an etcd of a test's own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::{Method, Request};
use serde_json::{Value as Json, json};

use tapedeck::cluster::{Connection, Credentials, connect};

/// Token of a user that may do everything.
const ADMIN: &str = "admin-token";

/// Token of a user that may do what a test gives it.
pub const READER: &str = "reader-token";

/// Servers that end with the test.
pub struct Real {
    folder: tempfile::TempDir,
    binary: PathBuf,
    etcd: Child,
    api: Option<Child>,
    etcd_port: u16,
    port: u16,
    client: Option<kube::Client>,
}

impl Drop for Real {
    fn drop(&mut self) {
        for child in [self.api.as_mut(), Some(&mut self.etcd)]
            .into_iter()
            .flatten()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).exists())
}

impl Real {
    /// Starts both; `None`, and a line that says so, where they are not there.
    pub async fn start() -> Option<Real> {
        let folder = std::env::var_os("TAPEDECK_KUBE").map(PathBuf::from);
        let usual = std::env::home_dir().map(|home| home.join(".cache/tapedeck/kube"));
        let binary = folder.or(usual).unwrap_or_default().join("kube-apiserver");
        if !binary.exists() || !on_path("etcd") {
            println!(
                "skipped: the Kubernetes API server is not built; run tools/kube.sh once (15 minutes)"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (etcd_port, peer_port) = (free_port(), free_port());
        let url = |port| format!("http://127.0.0.1:{port}");
        let etcd = Command::new("etcd")
            .arg("--data-dir")
            .arg(folder.path().join("etcd"))
            .args(["--listen-client-urls", &url(etcd_port)])
            .args(["--advertise-client-urls", &url(etcd_port)])
            .args(["--listen-peer-urls", &url(peer_port)])
            .args(["--initial-advertise-peer-urls", &url(peer_port)])
            .args(["--initial-cluster", &format!("default={}", url(peer_port))])
            // A test's data need not outlive the machine.
            .arg("--unsafe-no-fsync")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let tokens = format!("{ADMIN},admin,1,system:masters\n{READER},reader,2\n");
        std::fs::write(folder.path().join("tokens.csv"), tokens).unwrap();
        let made = Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(folder.path().join("account.key"))
            .arg("2048")
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        let mut real = Real {
            port: free_port(),
            folder,
            binary,
            etcd,
            api: None,
            etcd_port,
            client: None,
        };
        real.start_api().await;
        Some(real)
    }

    /// Starts the API server, and waits until it answers.
    pub async fn start_api(&mut self) {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let key = file("account.key");
        let log = std::fs::File::create(file("api.log")).unwrap();
        let child = Command::new(&self.binary)
            .arg(format!(
                "--etcd-servers=http://127.0.0.1:{}",
                self.etcd_port
            ))
            .args(["--bind-address=127.0.0.1", "--insecure-port=0"])
            .arg(format!("--secure-port={}", self.port))
            .arg(format!("--cert-dir={}", file("certs")))
            .arg(format!("--token-auth-file={}", file("tokens.csv")))
            .arg(format!("--service-account-signing-key-file={key}"))
            .arg(format!("--service-account-key-file={key}"))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .args([
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=RBAC",
            ])
            // Pods are made here without a controller that would give them accounts.
            .arg("--disable-admission-plugins=ServiceAccount,TaintNodesByCondition,Priority")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.api = Some(child);
        let connection = self.connection(ADMIN).await;
        let late = Instant::now() + Duration::from_secs(120);
        loop {
            let asked = Request::get("/readyz").body(Vec::new()).unwrap();
            if connection.client.request_text(asked).await.is_ok() {
                break;
            }
            let log = || std::fs::read_to_string(self.folder.path().join("api.log"));
            assert!(Instant::now() < late, "{}", log().unwrap());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.client = Some(connection.client);
    }

    /// Stops the API server by force.
    pub fn stop_api(&mut self) {
        if let Some(mut api) = self.api.take() {
            api.kill().unwrap();
            api.wait().unwrap();
        }
    }

    /// The way to the API server for a token, by a kubeconfig.
    pub async fn connection(&self, token: &str) -> Connection {
        let path = self.kubeconfig(token);
        let credentials = Credentials {
            kubeconfig: vec![path],
            ..Credentials::default()
        };
        connect(&credentials).await.unwrap().unwrap()
    }

    /// The way to it for a user that may do everything.
    pub async fn admin(&self) -> Connection {
        self.connection(ADMIN).await
    }

    /// A kubeconfig of a user that may do everything.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.kubeconfig(ADMIN)
    }

    fn kubeconfig(&self, token: &str) -> PathBuf {
        let path: &Path = self.folder.path();
        let path = path.join(format!("{token}.yaml"));
        let server = format!("https://127.0.0.1:{}", self.port);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "shop"}}],
            "clusters": [{"name": "test", "cluster": {"server": server, "insecure-skip-tls-verify": true}}],
            "users": [{"name": "test", "user": {"token": token}}],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Asks as a user that may do everything.
    pub async fn ask(&self, method: Method, path: &str, body: &Json) -> Json {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let client = self.client.as_ref().unwrap();
        match client.request(request).await {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    pub async fn make(&self, path: &str, body: &Json) -> Json {
        self.ask(Method::POST, path, body).await
    }

    /// Makes a pod, and says as its node would that it runs at `ip`.
    pub async fn make_pod(&self, namespace: &str, name: &str, ip: &str, more: &Json) {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "nodeName": "worker-1",
                "containers": [{"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}]}],
            },
        });
        if let Some(metadata) = more.as_object() {
            for (key, value) in metadata {
                pod["metadata"][key] = value.clone();
            }
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let mut made = self.make(&path, &pod).await;
        made["status"] = json!({
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.0.2.11",
        });
        self.ask(Method::PUT, &format!("{path}/{name}/status"), &made)
            .await;
    }

    /// Deletes a pod at once.
    pub async fn delete_pod(&self, namespace: &str, name: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0");
        self.ask(Method::DELETE, &path, &Json::Null).await;
    }
}
