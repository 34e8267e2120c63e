//! The API server with the two subresources that need a kubelet: logs of pods and forwarded ports.
//! Everything else goes to the real one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the kubelets of this cluster have.
#[derive(Default)]
pub struct Kubelets {
    /// Where the port of a pod leads.
    pub ports: Mutex<BTreeMap<String, SocketAddr>>,
    /// Logs of pods.
    pub logs: Mutex<BTreeMap<String, String>>,
}

/// A kubeconfig for the double; it lives as long as the runtime.
pub async fn start(real: kube::Client, kubelets: Arc<Kubelets>, folder: &Path) -> PathBuf {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(move |request: Request| {
        let (real, kubelets) = (real.clone(), kubelets.clone());
        async move { answer(real, kubelets, request).await }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "test", "user": {}}],
    });
    let path = folder.join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

async fn answer(real: kube::Client, kubelets: Arc<Kubelets>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    if let ["", "api", "v1", "namespaces", _, "pods", pod, what] = parts.as_slice() {
        match *what {
            "log" => {
                let logs = kubelets.logs.lock().unwrap();
                return match logs.get(*pod) {
                    Some(log) => log.clone().into_response(),
                    None => (
                        StatusCode::BAD_REQUEST,
                        axum::Json(json!({"message": "the container is waiting to start"})),
                    )
                        .into_response(),
                };
            }
            "portforward" => return forward(kubelets, (*pod).to_owned(), request).await,
            _ => {}
        }
    }
    let (mut parts, body) = request.into_parts();
    parts.uri = parts
        .uri
        .path_and_query()
        .unwrap()
        .as_str()
        .parse()
        .unwrap();
    for name in ["host", "content-length", "accept-encoding", "connection"] {
        parts.headers.remove(name);
    }
    let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let request = http::Request::from_parts(parts, kube::client::Body::from(bytes.to_vec()));
    let response = real.send(request).await.unwrap();
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    for name in ["content-length", "transfer-encoding", "connection"] {
        parts.headers.remove(name);
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// As kubelets do: channel 0 is data, 1 errors; each begins with the port.
async fn forward(kubelets: Arc<Kubelets>, pod: String, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let port: u16 = query.strip_prefix("ports=").unwrap().parse().unwrap();
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(refused) => return refused.into_response(),
    };
    let to = kubelets.ports.lock().unwrap().get(&pod).copied();
    upgrade
        .protocols(["v4.channel.k8s.io"])
        .on_upgrade(move |socket| pipe(socket, port, to))
}

async fn pipe(mut socket: WebSocket, port: u16, to: Option<SocketAddr>) {
    let [low, high] = port.to_le_bytes();
    for channel in [0, 1] {
        let begins = Message::binary(vec![channel, low, high]);
        socket.send(begins).await.unwrap();
    }
    let connected = match to {
        Some(to) => TcpStream::connect(to)
            .await
            .map_err(|error| error.to_string()),
        None => Err("container not running".to_owned()),
    };
    let mut tcp = match connected {
        Ok(tcp) => tcp,
        Err(why) => {
            let mut message = vec![1];
            message.extend_from_slice(why.as_bytes());
            let _ = socket.send(Message::binary(message)).await;
            return;
        }
    };
    let mut piece = vec![0; 32 << 10];
    loop {
        tokio::select! {
            said = socket.recv() => match said {
                Some(Ok(Message::Binary(bytes))) => {
                    assert_eq!(bytes[0], 0);
                    if tcp.write_all(&bytes[1..]).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            read = tcp.read(&mut piece) => {
                let Ok(length @ 1..) = read else { return };
                let mut message = vec![0];
                message.extend_from_slice(&piece[..length]);
                if socket.send(Message::binary(message)).await.is_err() {
                    return;
                }
            }
        }
    }
}
