//! How a route is asked: in this process, or of a tapedeck elsewhere over HTTP.
//!
//! Both ways meet the same router: role, audit log, limits and sentences are those of the route. Never:
//! a way around the route to what it answers from.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, header};
use serde_json::Value as Json;
use tower_service::Service;

use super::super::access::Visitor;
use super::super::api::State;
use super::super::audit::Audit;
use super::super::oidc;
use super::super::routes::{self, Route};

/// Bytes of a route's answer that are read.
const MAX_ANSWER: usize = 16 << 20;

/// Characters of a sentence against a request.
const MAX_SENTENCE: usize = 2000;

/// Wait for a connection, and for a whole answer, over HTTP.
const CONNECT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(90);

/// What is asked.
pub struct Asked {
    pub(super) route: &'static Route,
    /// Below `/api`, its parameters filled in.
    pub(super) path: String,
    pub(super) body: Option<Json>,
}

/// What a route said.
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// Whether the body is JSON.
    pub is_json: bool,
    /// The body.
    pub body: Vec<u8>,
}

impl Answered {
    /// What it said against the request, in one sentence: that of the route, or of what stands before it.
    pub fn refusal(&self) -> String {
        let json: Json = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = String::from_utf8_lossy(&self.body);
        let said = json["error"].as_str().unwrap_or(text.trim());
        // A page or a document of some other program is no sentence.
        let is_sentence = !said.is_empty() && !said.starts_with(['<', '{', '[']);
        match is_sentence {
            false => format!("it was answered with the status {}", self.status),
            true => match said.char_indices().nth(MAX_SENTENCE) {
                Some((end, _)) => format!("{}\u{2026}", said.get(..end).unwrap_or_default()),
                None => said.to_owned(),
            },
        }
    }
}

/// A way to the routes.
#[async_trait]
pub trait Way: Send + Sync {
    /// Asks; a refusal is an answer too.
    ///
    /// # Errors
    /// One sentence: nobody answers, or the answer is too long.
    async fn ask(&self, asked: Asked) -> Result<Answered, String>;
}

fn too_long() -> String {
    format!(
        "the answer has more than {} MiB; ask for less: a narrower q, a shorter span or a smaller limit",
        MAX_ANSWER >> 20
    )
}

/// The routes of this process, with the credentials that came with a request.
pub(super) struct Inside {
    pub(super) state: State,
    pub(super) visitor: Visitor,
    pub(super) audit: Arc<Audit>,
    pub(super) from: Option<ConnectInfo<SocketAddr>>,
}

#[async_trait]
impl Way for Inside {
    async fn ask(&self, asked: Asked) -> Result<Answered, String> {
        let mut request = Request::builder()
            .method(asked.route.method.to_uppercase().as_str())
            .uri(&asked.path)
            .extension(self.visitor.clone())
            .extension(self.audit.clone());
        if let Some(from) = self.from {
            request = request.extension(from);
        }
        let body = match asked.body {
            Some(body) => Body::from(body.to_string()),
            None => Body::empty(),
        };
        let request = request.body(body).map_err(|error| error.to_string())?;
        let mut router: Router = Router::new()
            .route(asked.route.path, routes::guarded(asked.route))
            .with_state(self.state.clone());
        let answer = match router.call(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let status = answer.status().as_u16();
        let is_json = is_json(answer.headers().get(header::CONTENT_TYPE));
        let body = axum::body::to_bytes(answer.into_body(), MAX_ANSWER).await;
        Ok(Answered {
            status,
            is_json,
            body: body.map_err(|_| too_long())?.to_vec(),
        })
    }
}

fn is_json(kind: Option<&header::HeaderValue>) -> bool {
    let kind = kind.and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

/// A tapedeck that is reached over HTTP.
#[derive(Clone)]
pub struct Elsewhere {
    agent: ureq::Agent,
    /// Scheme, host and port.
    base: Arc<str>,
    token: Arc<str>,
}

impl Elsewhere {
    /// The one at `base`, as `http://127.0.0.1:8899`; nothing is asked of it yet.
    pub fn new(base: &str, token: &str) -> Elsewhere {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(PATIENCE))
            .tls_config(oidc::tls())
            .build();
        Elsewhere {
            agent: ureq::Agent::new_with_config(config),
            base: base.trim_end_matches('/').into(),
            token: token.into(),
        }
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks for what `path` names below `/api/v1`. Blocks.
    ///
    /// # Errors
    /// As [`Way::ask`].
    pub fn send(&self, method: &str, path: &str, body: Option<&Json>) -> Result<Answered, String> {
        let away = |error: &dyn std::fmt::Display| {
            format!("the tapedeck at {} does not answer: {error}", self.base)
        };
        let mut request = ureq::http::Request::builder()
            .method(method.to_uppercase().as_str())
            .uri(format!("{}/api/v1{path}", self.base));
        if !self.token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        }
        let text = body.map(Json::to_string).unwrap_or_default();
        let request = request.body(text).map_err(|error| away(&error))?;
        let answer = self.agent.run(request).map_err(|error| away(&error))?;
        let status = answer.status().as_u16();
        let is_json = is_json(answer.headers().get(header::CONTENT_TYPE));
        let mut body = Vec::new();
        let most = MAX_ANSWER as u64 + 1;
        let mut read = answer.into_body().into_reader().take(most);
        read.read_to_end(&mut body).map_err(|error| away(&error))?;
        if body.len() > MAX_ANSWER {
            return Err(too_long());
        }
        Ok(Answered {
            status,
            is_json,
            body,
        })
    }
}

#[async_trait]
impl Way for Elsewhere {
    async fn ask(&self, asked: Asked) -> Result<Answered, String> {
        let there = self.clone();
        let ask = move || there.send(asked.route.method, &asked.path, asked.body.as_ref());
        let done = tokio::task::spawn_blocking(ask).await;
        done.map_err(|error| error.to_string())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_sentence_of_a_bounded_length() {
        let refusal = |body: &str| {
            let answer = Answered {
                status: 403,
                is_json: false,
                body: body.as_bytes().to_vec(),
            };
            answer.refusal()
        };
        let status = "it was answered with the status 403";
        assert_eq!(refusal("{\"error\": \"no such item\"}"), "no such item");
        assert_eq!(refusal("say who you are\n"), "say who you are");
        for other in [
            "",
            "<?xml version=\"1.0\"?><Error/>",
            "{\"code\": 1}",
            "[1]",
        ] {
            assert_eq!(refusal(other), status);
        }
        assert_eq!(
            refusal(&"\u{e9}".repeat(9000)).chars().count(),
            MAX_SENTENCE + 1
        );
    }
}
