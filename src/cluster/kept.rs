//! Files that outlive the pod of the hub: a secret of the API server that holds them.
//!
//! In: a connection, namespace and name of a secret that is there. Out: files by their names, and changes
//! to them. Never: another secret, one that is made here.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Map, Value as Json, json};

use super::api::{Api, Refusal};
use super::connect::Connection;
use super::isolate::is_name;

/// Bytes that a secret holds, all files together (Kubernetes API, Secret: 1 MiB).
pub const MAX_KEPT: usize = 1 << 20;

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why files cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// The API server cannot be asked; later it may answer.
    #[error("the API server cannot be asked: {0}")]
    Away(String),
    /// It refuses.
    #[error("{0}")]
    Refused(String),
}

/// A secret that holds files.
#[derive(Clone)]
pub struct Kept {
    api: Api,
    path: String,
    name: String,
}

impl Kept {
    /// The secret `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// One sentence, when that is no such name.
    pub fn new(connection: &Connection, name: &str) -> Result<Kept, String> {
        let parts = name.split_once('/');
        let Some((namespace, secret)) = parts.filter(|(a, b)| is_name(a) && is_name(b)) else {
            return Err(format!(
                "cluster.kept: {name} is no secret; write NAMESPACE/NAME"
            ));
        };
        Ok(Kept {
            api: Api::new(connection.client.clone()),
            path: format!("/api/v1/namespaces/{namespace}/secrets/{secret}"),
            name: name.to_owned(),
        })
    }

    /// All files.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn read(&self) -> Result<Files, KeptError> {
        let secret = self.api.get(&self.path).await;
        let secret = secret.map_err(|why| self.because("get", why))?;
        let data = secret.get("data").and_then(Json::as_object);
        let files = data.into_iter().flatten().filter_map(|(name, text)| {
            let bytes = STANDARD.decode(text.as_str()?).ok()?;
            Some((name.clone(), bytes))
        });
        Ok(files.collect())
    }

    /// Takes changes: the bytes of files, `None` for those that are gone.
    ///
    /// # Errors
    /// As [`Kept::read`].
    pub async fn write(
        &self,
        changes: &BTreeMap<String, Option<Vec<u8>>>,
    ) -> Result<(), KeptError> {
        let data: Map<String, Json> = changes
            .iter()
            .map(|(name, bytes)| {
                let text = bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
                (name.clone(), json!(text))
            })
            .collect();
        // RFC 7386: null takes a member away.
        let patch = json!({"data": data});
        let kind = "application/merge-patch+json";
        let sent = self.api.send(Method::PATCH, &self.path, kind, &patch).await;
        sent.map(drop).map_err(|why| self.because("patch", why))
    }

    fn because(&self, verb: &str, why: Refusal) -> KeptError {
        let name = &self.name;
        match why {
            Refusal::Away(why) => KeptError::Away(why),
            Refusal::Failed(code, why) if code >= 500 || code == 429 => {
                KeptError::Away(format!("{code}: {why}"))
            }
            Refusal::Missing => KeptError::Refused(format!("there is no secret {name}")),
            Refusal::Denied(why) => KeptError::Refused(format!(
                "the hub has no right to {verb} the secret {name}: {why}"
            )),
            why => KeptError::Refused(format!("the secret {name}: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::extract::{Request, State};
    use axum::http::StatusCode;
    use axum::response::IntoResponse;

    use super::*;
    use crate::cluster::to_double;

    /// An API server with one secret that follows merge patches, and one that denies.
    async fn answer(State(secret): State<Arc<Mutex<Json>>>, request: Request) -> impl IntoResponse {
        let (head, body) = request.into_parts();
        if !head
            .uri
            .path()
            .ends_with("/namespaces/tap/secrets/hub-kept")
        {
            let said = json!({"kind": "Status", "message": "secrets is forbidden", "code": 403});
            return (StatusCode::FORBIDDEN, said.to_string());
        }
        if head.method == Method::PATCH {
            let patch = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let patch: Json = serde_json::from_slice(&patch).unwrap();
            let mut secret = secret.lock().unwrap();
            for (name, value) in patch["data"].as_object().unwrap() {
                match value {
                    Json::Null => drop(secret["data"].as_object_mut().unwrap().remove(name)),
                    value => secret["data"][name] = value.clone(),
                }
            }
        }
        (StatusCode::OK, secret.lock().unwrap().to_string())
    }

    #[test]
    fn files_are_kept_changed_and_taken_away() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = listener.local_addr().unwrap();
            let secret = Arc::new(Mutex::new(
                json!({"kind": "Secret", "data": {"old": "eA=="}}),
            ));
            let routes = axum::Router::new().fallback(answer).with_state(secret);
            tokio::spawn(async { axum::serve(listener, routes).await });
            let connection = to_double(&format!("http://{server}")).await;
            let kept = Kept::new(&connection, "tap/hub-kept").unwrap();
            assert_eq!(
                kept.read().await.unwrap(),
                Files::from([("old".into(), b"x".to_vec())])
            );
            let changes = [
                ("old".to_owned(), None),
                ("new.js".to_owned(), Some(b"1;".to_vec())),
            ];
            kept.write(&BTreeMap::from(changes)).await.unwrap();
            assert_eq!(
                kept.read().await.unwrap(),
                Files::from([("new.js".into(), b"1;".to_vec())])
            );

            let denied = Kept::new(&connection, "tap/other").unwrap();
            let why = denied.read().await.unwrap_err();
            assert!(matches!(why, KeptError::Refused(_)), "{why}");
            assert!(
                why.to_string()
                    .contains("no right to get the secret tap/other"),
                "{why}"
            );
            for wrong in ["", "other", "a/b/c", "../x", "a/"] {
                assert!(Kept::new(&connection, wrong).is_err(), "{wrong}");
            }
        });
    }

    #[test]
    fn an_api_server_that_is_away_is_no_refusal() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let why = runtime.block_on(async {
            let connection = to_double("http://127.0.0.1:1").await;
            let kept = Kept::new(&connection, "tap/kept").unwrap();
            kept.read().await.unwrap_err()
        });
        assert!(matches!(why, KeptError::Away(_)), "{why}");
    }
}
