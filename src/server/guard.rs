//! Who may talk to the dashboard: token, Host and Origin, and the headers of every answer.
//!
//! A page of another site can make the browser send requests here, and a name can be rebound to
//! 127.0.0.1; so Host and Origin must be ours, and the cookie is SameSite=Strict. A token comes in
//! the printed URL once, or from the page that asks for it, and is kept in an HttpOnly cookie.
//! What each token allows is checked route by route (`routes`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::access::{Grant, Role, Visitor};
use super::assets;
use super::audit::Audit;
use super::mcp;
use super::oidc::{Oidc, Refused, SESSION};

/// What the audit log calls whoever has the printed token.
const PRINTED: &str = "printed token";

/// Octets of randomness in a token.
const TOKEN_BYTES: usize = 24;

/// Time after which an open socket is held against its session again.
const ADMITTED_FOR: Duration = Duration::from_secs(2);

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

    /// One that is given.
    pub fn of(text: &str) -> Token {
        Token(text.into())
    }

    /// The text, for the printed URL.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Compares digests, so that the time taken tells nothing about the token.
    pub(super) fn is(&self, offered: &str) -> bool {
        Sha256::digest(self.0.as_bytes()) == Sha256::digest(offered.as_bytes())
    }
}

/// What requests are held against.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    grants: Arc<[Grant]>,
    /// What it listens on, with the port.
    own: Arc<[String]>,
    /// Further names, with or without a port.
    named: Arc<[String]>,
    /// Whether it listens on all addresses of the machine.
    everywhere: bool,
    cookie: Arc<str>,
    audit: Arc<Audit>,
    oidc: Option<Arc<Oidc>>,
}

impl Guard {
    /// Allows the address itself and the names of the loopback interface, and further `hosts`, with
    /// or without a port; `token` may do everything, `grants` say what others may.
    pub(super) fn new(
        address: SocketAddr,
        token: Token,
        grants: &[Grant],
        hosts: &[String],
        audit: Arc<Audit>,
        oidc: Option<Arc<Oidc>>,
    ) -> Guard {
        let port = address.port();
        let printed = Grant {
            name: PRINTED.to_owned(),
            role: Role::Operate,
            token,
        };
        let own = [
            address.to_string(),
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("[::1]:{port}"),
        ];
        Guard {
            grants: std::iter::once(printed)
                .chain(grants.iter().cloned())
                .collect(),
            own: own.into(),
            named: hosts.into(),
            everywhere: address.ip().is_unspecified(),
            // Cookies do not tell ports apart, and two dashboards may be open at once.
            cookie: format!("tapedeck_{port}").into(),
            audit,
            oidc,
        }
    }

    fn is_known(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let is = |allowed: &String, text: &str| allowed.eq_ignore_ascii_case(text);
        self.own.iter().any(|own| is(own, host))
            || self
                .named
                .iter()
                .any(|named| is(named, host) || is(named, name))
    }

    fn is_host(&self, host: &str) -> bool {
        // An address cannot be rebound as a name can.
        let is_address = host.parse::<IpAddr>().is_ok() || host.parse::<SocketAddr>().is_ok();
        self.is_known(host) || (self.everywhere && is_address)
    }

    /// Whether a page of `origin` may ask for something at `host`.
    fn is_origin(&self, origin: &str, host: &str) -> bool {
        origin
            .strip_prefix("http://")
            // Behind a proxy that speaks TLS.
            .or_else(|| origin.strip_prefix("https://"))
            .is_some_and(|from| from.eq_ignore_ascii_case(host) || self.is_known(from))
    }

    fn bearer_of(&self, offered: &str) -> Option<Visitor> {
        let grant = self.grants.iter().find(|grant| grant.token.is(offered))?;
        Some(Visitor {
            name: grant.name.clone(),
            role: grant.role,
        })
    }

    fn visitor(&self, headers: &HeaderMap) -> Option<Visitor> {
        let of_session = |id| self.oidc.as_ref()?.visitor(id);
        cookies(headers, &self.cookie)
            .find_map(|value| self.bearer_of(value).or_else(|| of_session(value)))
            .or_else(|| {
                let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
                self.bearer_of(text.strip_prefix("Bearer ")?)
            })
    }
}

/// Who opened a socket, to be asked again while it stays open.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    guard: Guard,
    headers: HeaderMap,
}

impl Admitted {
    /// Does the work until it is done, or until who asked for it is not let in any more.
    pub(super) async fn during(self, work: impl Future<Output = ()>) {
        let ended = async {
            while self.guard.visitor(&self.headers).is_some() {
                tokio::time::sleep(ADMITTED_FOR).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = ended => {}
        }
    }
}

/// Values of the cookies of a name.
fn cookies<'a>(headers: &'a HeaderMap, wanted: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(move |(name, _)| *name == wanted)
        .map(|(_, value)| value)
}

/// Puts `guard` in front of `pages`.
pub(super) fn protect(pages: Router, guard: Guard) -> Router {
    pages.layer(middleware::from_fn(move |request: Request, next: Next| {
        pass(guard.clone(), request, next)
    }))
}

async fn pass(guard: Guard, mut request: Request, next: Next) -> Response {
    let is_login = request.uri().path().starts_with("/oidc");
    let head = is_login.then(|| Head {
        method: request.method().clone(),
        uri: request.uri().clone(),
        headers: request.headers().clone(),
    });
    let answered = match head {
        Some(head) => login(&guard, head).await,
        None => None,
    };
    let checked = match answered {
        Some(answer) => Err(answer),
        None => check(&guard, &request),
    };
    let mut response = match checked {
        Err(answer) => answer,
        Ok(visitor) => {
            if let Some(visitor) = visitor {
                request.extensions_mut().insert(visitor);
                if request.headers().contains_key(header::UPGRADE) {
                    let headers = request.headers().clone();
                    let guard = guard.clone();
                    request.extensions_mut().insert(Admitted { guard, headers });
                }
            }
            request.extensions_mut().insert(guard.audit.clone());
            next.run(request).await
        }
    };
    // RFC 9110, section 15.5.2.
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(CHALLENGE);
        response
            .headers_mut()
            .entry(header::WWW_AUTHENTICATE)
            .or_insert(challenge);
    }
    add_headers(response.headers_mut());
    response
}

/// How whoever is not let in can say who they are (RFC 6750, section 3).
const CHALLENGE: &str = "Bearer realm=\"tapedeck\"";

/// The head of a request, kept while its answer is waited for.
struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// What begins a login by OpenID Connect and what the issuer sends browsers back to; `None` for all
/// else. A login may take the issuer a while, so it is waited for aside.
async fn login(guard: &Guard, request: Head) -> Option<Response> {
    let oidc = guard.oidc.clone()?;
    let host = request.headers.get(header::HOST)?.to_str().ok()?;
    if request.method != Method::GET || !guard.is_host(host) {
        return None;
    }
    let failed = |status: StatusCode, sentence: String| {
        let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (status, headers, sentence).into_response()
    };
    let state_cookie = format!("{}_login", guard.cookie);
    let secure = if oidc.is_secure() { "; Secure" } else { "" };
    match request.uri.path() {
        "/oidc" => Some(axum::Json(serde_json::json!({"issuer": oidc.issuer()})).into_response()),
        "/oidc/start" => {
            let begun = tokio::task::spawn_blocking(move || oidc.begin()).await;
            Some(match begun {
                Ok(Ok((to, state))) => {
                    let cookie = format!(
                        "{state_cookie}={state}; Path=/oidc; HttpOnly; SameSite=Lax; Max-Age=600{secure}"
                    );
                    let headers = [(header::LOCATION, to), (header::SET_COOKIE, cookie)];
                    (StatusCode::SEE_OTHER, headers).into_response()
                }
                Ok(Err(sentence)) => failed(StatusCode::BAD_GATEWAY, sentence),
                Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            })
        }
        "/oidc/callback" => {
            let query = request.uri.query().unwrap_or_default();
            let value = |name: &str| {
                let found = query.split('&').find_map(|pair| {
                    let (known, value) = pair.split_once('=')?;
                    (known == name).then_some(value)
                });
                let plain = found.unwrap_or_default().replace('+', " ");
                let decoded = percent_encoding::percent_decode_str(&plain);
                decoded.decode_utf8_lossy().into_owned()
            };
            let (state, code) = (value("state"), value("code"));
            // The browser that comes back must be the one that set out.
            if !cookies(&request.headers, &state_cookie).any(|known| known == state) {
                let sentence = "this login was begun elsewhere or took too long; begin again at /";
                return Some(failed(StatusCode::FORBIDDEN, sentence.to_owned()));
            }
            if code.is_empty() {
                let why = Some(value("error_description")).filter(|why| !why.is_empty());
                let sentence = format!(
                    "the issuer let nobody in: {}",
                    why.unwrap_or_else(|| value("error"))
                );
                return Some(failed(StatusCode::FORBIDDEN, sentence));
            }
            let finished = tokio::task::spawn_blocking(move || oidc.finish(&state, &code)).await;
            Some(match finished {
                Ok(Ok(session)) => {
                    let cookie = format!(
                        "{}; Max-Age={}{secure}",
                        cookie_of(guard, &session),
                        SESSION.as_secs()
                    );
                    // A page of ours leads on: a strict cookie does not come along from elsewhere.
                    ([(header::SET_COOKIE, cookie)], assets::signed_in_page()).into_response()
                }
                Ok(Err(Refused::Login)) => failed(
                    StatusCode::FORBIDDEN,
                    "this login was begun elsewhere or took too long; begin again at /".to_owned(),
                ),
                Ok(Err(Refused::NoRole(name))) => failed(
                    StatusCode::FORBIDDEN,
                    format!("{name} has no role here; tap.dashboard.oidc.roles gives them"),
                ),
                Ok(Err(Refused::Issuer(sentence))) => failed(StatusCode::BAD_GATEWAY, sentence),
                Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            })
        }
        _ => None,
    }
}

/// Who asks; nobody for what the page that asks for a token consists of. An error is the answer to a
/// request that does not get through.
#[expect(clippy::result_large_err, reason = "the answer is sent as it is")]
fn check(guard: &Guard, request: &Request) -> Result<Option<Visitor>, Response> {
    let text = |name: HeaderName| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap_or("?").to_owned())
    };
    let host = text(header::HOST).or_else(|| request.uri().host().map(str::to_owned));
    let Some(host) = host.filter(|host| guard.is_host(host)) else {
        let sentence = "this address is not served here; tap.dashboard.hosts names further ones";
        return Err(refuse(StatusCode::MISDIRECTED_REQUEST, sentence));
    };
    if text(header::ORIGIN).is_some_and(|origin| !guard.is_origin(&origin, &host)) {
        let sentence = "requests from other sites are refused";
        return Err(refuse(StatusCode::FORBIDDEN, sentence));
    }
    let path = request.uri().path();
    if path == SIGN_IN && request.method() == Method::POST {
        return Err(sign_in(guard, request.headers()));
    }
    if path == SIGN_OUT && request.method() == Method::POST {
        return Err(sign_out(guard, request.headers()));
    }
    if let Some(offered) = token_in_query(request.uri().query()) {
        return Err(exchange(guard, request, &offered));
    }
    if let Some(visitor) = guard.visitor(request.headers()) {
        return Ok(Some(visitor));
    }
    if request.method() == Method::GET && assets::PUBLIC.contains(&path) {
        return Ok(None);
    }
    if request.method() == Method::GET && path == "/" {
        return Err((StatusCode::UNAUTHORIZED, assets::sign_in_page()).into_response());
    }
    let offers = request.headers().contains_key(header::AUTHORIZATION);
    let sentence = match (is_for_programs(path), offers) {
        (false, _) => "open the URL that tapedeck printed: it carries the token",
        (true, true) => {
            "this token is not known here, or is not sent as Authorization: Bearer TOKEN"
        }
        (true, false) => {
            "send a token as Authorization: Bearer TOKEN; the URL that tapedeck printed carries one"
        }
    };
    Err(refuse(StatusCode::UNAUTHORIZED, sentence))
}

/// Whether a path is asked by programs, and not opened by people.
fn is_for_programs(path: &str) -> bool {
    let is = |root: &str| {
        let rest = path.strip_prefix(root);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is("/api") || is(mcp::PATH)
}

/// Where the page that asks for a token hands it in, as `Authorization: Bearer`.
const SIGN_IN: &str = "/signin";

/// Puts a good token into the cookie.
fn sign_in(guard: &Guard, headers: &HeaderMap) -> Response {
    let offered = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.strip_prefix("Bearer "));
    match offered.filter(|offered| guard.bearer_of(offered).is_some()) {
        Some(offered) => {
            let headers = [(header::SET_COOKIE, cookie_of(guard, offered))];
            (StatusCode::NO_CONTENT, headers).into_response()
        }
        None => refuse(
            StatusCode::UNAUTHORIZED,
            "this token is not known here; ask whoever runs tapedeck for one",
        ),
    }
}

/// Where the page goes to leave.
const SIGN_OUT: &str = "/signout";

/// Ends the session of whoever asks and takes the cookie away. A token stays good for those who know
/// it.
fn sign_out(guard: &Guard, headers: &HeaderMap) -> Response {
    if let Some(oidc) = &guard.oidc {
        cookies(headers, &guard.cookie).for_each(|session| oidc.end(session));
    }
    let gone = format!("{}; Max-Age=0", cookie_of(guard, ""));
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response()
}

fn cookie_of(guard: &Guard, token: &str) -> String {
    format!(
        "{}={token}; Path=/; HttpOnly; SameSite=Strict",
        guard.cookie
    )
}

/// Takes the token out of the URL and puts it into a cookie.
fn exchange(guard: &Guard, request: &Request, offered: &str) -> Response {
    if guard.bearer_of(offered).is_none() {
        // The page takes the token out of the address and says what is wrong with it.
        if request.method() == Method::GET && request.uri().path() == "/" {
            return (StatusCode::UNAUTHORIZED, assets::sign_in_page()).into_response();
        }
        let sentence = "this token is of another run; open the URL that tapedeck printed last";
        return refuse(StatusCode::UNAUTHORIZED, sentence);
    }
    let cookie = cookie_of(guard, offered);
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
