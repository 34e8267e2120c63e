//! Requests to the API server in the name of whoever runs the command.

use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::Value as Json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::cluster::{Connection, chain, refused, said_in};

/// Time for one answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Bytes of an answer as JSON: the pods of a large cluster.
const MAX_JSON: usize = 256 << 20;

/// Objects of one page of a list.
const PAGE: usize = 500;

/// Subprotocol of port forwarding: the first byte of a message names its channel.
const CHANNELS: &str = "v4.channel.k8s.io";

/// Why the API server did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The rights do not suffice.
    #[error("{0}; ask for this right, or take another context with --context")]
    Denied(String),
    /// The credentials do not count.
    #[error("the API server does not accept the credentials; sign in again ({0})")]
    Unknown(String),
    /// There is no such thing.
    #[error("{0}")]
    Missing(String),
    /// Any other answer than success.
    #[error("the API server answered {0}: {1}")]
    Failed(u16, String),
    /// No answer, or half of one.
    #[error("the API server at {server} does not answer: {reason}")]
    Away {
        /// Its address.
        server: String,
        /// Why.
        reason: String,
    },
}

/// The API server of a connection.
#[derive(Clone)]
pub struct Api {
    client: Client,
    server: String,
}

impl Api {
    /// Asks through `connection`.
    pub fn new(connection: &Connection) -> Api {
        Api {
            client: connection.client.clone(),
            server: connection.server.clone(),
        }
    }

    /// Address of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// One object, or one page of a list.
    ///
    /// # Errors
    /// When there is none, or it may not be read.
    pub async fn get(&self, path: &str) -> Result<Json, Refusal> {
        let bytes = self.read(path, MAX_JSON).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.away(&error))
    }

    /// All objects of a list, page by page; `path` has its parameters behind a `?`, or none.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn list(&self, path: &str) -> Result<Vec<Json>, Refusal> {
        let mut found = Vec::new();
        let mut more = String::new();
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let mut page = self.get(&format!("{path}{sign}limit={PAGE}{more}")).await?;
            if let Json::Array(items) = page["items"].take() {
                found.extend(items);
            }
            match page["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => {
                    let token = percent_encoding::utf8_percent_encode(
                        token,
                        percent_encoding::NON_ALPHANUMERIC,
                    );
                    more = format!("&continue={token}");
                }
                _ => return Ok(found),
            }
        }
    }

    /// The answer as it is, of `most` bytes at most.
    ///
    /// # Errors
    /// As [`Api::get`], and when it is longer.
    pub async fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, Refusal> {
        let read = async {
            let request = Request::get(path).body(Body::empty());
            let body = self.send(request).await?.into_body();
            let read = Limited::new(body, most).collect().await;
            let bytes = read.map_err(|error| self.away(&*error))?.to_bytes();
            Ok(bytes.to_vec())
        };
        self.within(read).await
    }

    /// A WebSocket over which ports of a pod are forwarded.
    ///
    /// # Errors
    /// When the pod is not there, or its ports may not be forwarded.
    pub(super) async fn channels(
        &self,
        path: &str,
    ) -> Result<WebSocketStream<TokioIo<Upgraded>>, Refusal> {
        let key = generate_key();
        let request = Request::get(path)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, CHANNELS)
            .body(Body::empty());
        let opened = async {
            let response = self.send(request).await?;
            if !is_ours(&response, &key) {
                let reason = "it forwards no ports over WebSockets".to_owned();
                return Err(self.away_because(reason));
            }
            let upgraded = hyper::upgrade::on(response).await;
            upgraded.map_err(|error| self.away(&error))
        };
        let upgraded = self.within(opened).await?;
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await)
    }

    async fn send(
        &self,
        request: Result<Request<Body>, http::Error>,
    ) -> Result<http::Response<Body>, Refusal> {
        let request = request.map_err(|error| self.away(&error))?;
        let sent = self.client.send(request).await;
        let response = sent.map_err(|error| self.away(&error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        Err(refusal(status, &refused(response.into_body()).await))
    }

    async fn within<T>(
        &self,
        asked: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let late = || self.away_because(format!("nothing came within {} s", ANSWER.as_secs()));
        tokio::time::timeout(ANSWER, asked)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    fn away_because(&self, reason: String) -> Refusal {
        let server = self.server.clone();
        Refusal::Away { server, reason }
    }

    fn away(&self, error: &(dyn std::error::Error + 'static)) -> Refusal {
        self.away_because(chain(error))
    }
}

/// Whether an answer opens the WebSocket that was asked for: the key proves that it belongs to this
/// request (RFC 6455 section 4.1).
fn is_ours(response: &http::Response<Body>, key: &str) -> bool {
    let says = |name: header::HeaderName, wanted: &str| {
        let said = response.headers().get(name);
        said.is_some_and(|said| said == wanted)
    };
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        && says(
            header::SEC_WEBSOCKET_ACCEPT,
            &derive_accept_key(key.as_bytes()),
        )
        && says(header::SEC_WEBSOCKET_PROTOCOL, CHANNELS)
}

/// What an answer other than success means.
fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    let message = said_in(body);
    match status.as_u16() {
        401 => Refusal::Unknown(message),
        403 => Refusal::Denied(message),
        404 => Refusal::Missing(message),
        other => Refusal::Failed(other, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_tell_what_the_api_server_says() {
        let said = br#"{"kind":"Status","message":"pods is forbidden"}"#;
        let denied = refusal(StatusCode::FORBIDDEN, said);
        assert_eq!(denied, Refusal::Denied("pods is forbidden".into()));
        let plain = refusal(StatusCode::BAD_GATEWAY, b"no upstream\nmore");
        assert_eq!(plain, Refusal::Failed(502, "no upstream".into()));
        let odd = refusal(StatusCode::NOT_FOUND, &[0xff]);
        assert_eq!(odd, Refusal::Missing("\u{fffd}".into()));
    }
}
