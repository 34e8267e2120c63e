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
    /// Somebody else changed the secret meanwhile.
    #[error("the secret was changed by somebody else")]
    Overtaken,
}

/// What a secret holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Its files.
    pub files: Files,
    /// Its version (Kubernetes API, ObjectMeta: resourceVersion).
    pub version: String,
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
    pub async fn read(&self) -> Result<Held, KeptError> {
        let secret = self.api.get(&self.path).await;
        let secret = secret.map_err(|why| self.because("get", why))?;
        let data = secret.get("data").and_then(Json::as_object);
        let files = data.into_iter().flatten().filter_map(|(name, text)| {
            let bytes = STANDARD.decode(text.as_str()?).ok()?;
            Some((name.clone(), bytes))
        });
        Ok(Held {
            files: files.collect(),
            version: version(&secret),
        })
    }

    /// Takes changes of the secret as it was at `from`: the bytes of files, `None` for those that are gone.
    /// Answers its version afterwards.
    ///
    /// # Errors
    /// As [`Kept::read`], and when it is another one than at `from` by now; then nothing is changed.
    pub async fn write(
        &self,
        changes: &BTreeMap<String, Option<Vec<u8>>>,
        from: &str,
    ) -> Result<String, KeptError> {
        let data: Map<String, Json> = changes
            .iter()
            .map(|(name, bytes)| {
                let text = bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
                (name.clone(), json!(text))
            })
            .collect();
        // RFC 7386: null takes a member away.
        let patch = json!({"metadata": {"resourceVersion": from}, "data": data});
        let kind = "application/merge-patch+json";
        let sent = self.api.send(Method::PATCH, &self.path, kind, &patch).await;
        match sent {
            Ok(secret) => Ok(version(&secret)),
            Err(Refusal::Failed(409, _)) => Err(KeptError::Overtaken),
            Err(why) => Err(self.because("patch", why)),
        }
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

fn version(secret: &Json) -> String {
    let version = secret["metadata"]["resourceVersion"].as_str();
    version.unwrap_or_default().to_owned()
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
            let version = secret["metadata"]["resourceVersion"].as_str().unwrap();
            if patch["metadata"]["resourceVersion"] != version {
                let said = json!({"kind": "Status", "message": "changed", "code": 409});
                return (StatusCode::CONFLICT, said.to_string());
            }
            let next = version.parse::<u32>().unwrap() + 1;
            secret["metadata"]["resourceVersion"] = next.to_string().into();
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
                json!({"kind": "Secret", "metadata": {"resourceVersion": "7"}, "data": {"old": "eA=="}}),
            ));
            let routes = axum::Router::new().fallback(answer).with_state(secret);
            tokio::spawn(async { axum::serve(listener, routes).await });
            let connection = to_double(&format!("http://{server}")).await;
            let kept = Kept::new(&connection, "tap/hub-kept").unwrap();
            let held = |files: [(&str, &str); 1], version: &str| Held {
                files: files
                    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
                    .into(),
                version: version.to_owned(),
            };
            assert_eq!(kept.read().await, Ok(held([("old", "x")], "7")));
            let changes = [
                ("old".to_owned(), None),
                ("new.js".to_owned(), Some(b"1;".to_vec())),
            ];
            let changes = BTreeMap::from(changes);
            assert_eq!(kept.write(&changes, "7").await, Ok("8".to_owned()));
            assert_eq!(kept.read().await, Ok(held([("new.js", "1;")], "8")));
            // Whoever knows an older one changes nothing.
            let late = BTreeMap::from([("new.js".to_owned(), None)]);
            assert_eq!(kept.write(&late, "7").await, Err(KeptError::Overtaken));
            assert_eq!(kept.read().await, Ok(held([("new.js", "1;")], "8")));

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
        // People read it.
        let why = why.to_string();
        assert!(
            !why.contains("ServiceError") && !why.contains("client error"),
            "{why}"
        );
        assert!(why.contains("Connection refused"), "{why}");
    }
}
