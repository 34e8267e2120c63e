//! Who may talk to the dashboard: token, Host and Origin, and the headers of every answer.
//!
//! A page of another site can make the browser send requests here, and a name can be rebound to
//! 127.0.0.1; so Host and Origin must be ours, and the cookie is SameSite=Strict. The token comes in
//! the printed URL once and is kept in an HttpOnly cookie.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Octets of randomness in a token.
const TOKEN_BYTES: usize = 24;

/// What lets a client in.
#[derive(Debug, Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// A new one from the system's random source.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<Token, std::io::Error> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Token(URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// The text, for the printed URL.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Compares digests, so that the time taken tells nothing about the token.
    fn is(&self, offered: &str) -> bool {
        Sha256::digest(self.0.as_bytes()) == Sha256::digest(offered.as_bytes())
    }
}

/// What requests are held against.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    token: Token,
    hosts: Arc<[String]>,
    cookie: Arc<str>,
}

impl Guard {
    /// Allows the address itself and the names of the loopback interface.
    pub(super) fn new(address: SocketAddr, token: Token) -> Guard {
        let port = address.port();
        let hosts = [
            address.to_string(),
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("[::1]:{port}"),
        ];
        // Cookies do not tell ports apart, and two dashboards may be open at once.
        Guard {
            token,
            hosts: hosts.into(),
            cookie: format!("tapedeck_{port}").into(),
        }
    }

    fn is_host(&self, host: &str) -> bool {
        self.hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    fn is_origin(&self, origin: &str) -> bool {
        origin
            .strip_prefix("http://")
            .is_some_and(|host| self.is_host(host))
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let cookies = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut pairs = cookies
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        if pairs.any(|(name, value)| name == &*self.cookie && self.token.is(value)) {
            return true;
        }
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        bearer
            .and_then(|text| text.strip_prefix("Bearer "))
            .is_some_and(|text| self.token.is(text))
    }
}

/// Puts `guard` in front of `pages`.
pub(super) fn protect(pages: Router, guard: Guard) -> Router {
    pages.layer(middleware::from_fn(move |request: Request, next: Next| {
        let guard = guard.clone();
        async move {
            let mut response = match check(&guard, &request) {
                Some(answer) => answer,
                None => next.run(request).await,
            };
            add_headers(response.headers_mut());
            response
        }
    }))
}

/// The answer to a request that does not get through.
fn check(guard: &Guard, request: &Request) -> Option<Response> {
    let text = |name: HeaderName| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap_or("?").to_owned())
    };
    let host = text(header::HOST).or_else(|| request.uri().host().map(str::to_owned));
    if !host.is_some_and(|host| guard.is_host(&host)) {
        let sentence = "this address is not served here";
        return Some(refuse(StatusCode::MISDIRECTED_REQUEST, sentence));
    }
    if text(header::ORIGIN).is_some_and(|origin| !guard.is_origin(&origin)) {
        let sentence = "requests from other sites are refused";
        return Some(refuse(StatusCode::FORBIDDEN, sentence));
    }
    if let Some(offered) = token_in_query(request.uri().query()) {
        return Some(exchange(guard, request, &offered));
    }
    if !guard.has_token(request.headers()) {
        let sentence = "open the URL that tapedeck printed: it carries the token";
        return Some(refuse(StatusCode::UNAUTHORIZED, sentence));
    }
    None
}

/// Takes the token out of the URL and puts it into a cookie.
fn exchange(guard: &Guard, request: &Request, offered: &str) -> Response {
    if !guard.token.is(offered) {
        let sentence = "this token is of another run; open the URL that tapedeck printed last";
        return refuse(StatusCode::UNAUTHORIZED, sentence);
    }
    let cookie = format!(
        "{}={offered}; Path=/; HttpOnly; SameSite=Strict",
        guard.cookie
    );
    // Two slashes would begin another host.
    let path = request.uri().path().trim_start_matches('/');
    let to = format!("/{path}{}", query_without_token(request.uri().query()));
    let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, to)];
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn token_in_query(query: Option<&str>) -> Option<String> {
    let pair = query?
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))?;
    Some(pair.to_owned())
}

fn query_without_token(query: Option<&str>) -> String {
    let kept: Vec<&str> = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.starts_with("token="))
        .collect();
    let kept = kept.join("&");
    if kept.is_empty() {
        kept
    } else {
        format!("?{kept}")
    }
}

fn refuse(status: StatusCode, sentence: &'static str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        Body::from(sentence),
    )
        .into_response()
}

fn add_headers(headers: &mut HeaderMap) {
    let mut set = |name: HeaderName, value: &'static str| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    set(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    set(header::CACHE_CONTROL, "no-store");
}
