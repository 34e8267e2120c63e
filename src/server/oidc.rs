//! Signing in by OpenID Connect: the authorization code flow with PKCE (RFC 7636).
//!
//! In: a browser that has no token. Out: a session with a role, by a claim of the ID token. Never: a
//! login that another browser began, an issuer or an endpoint without TLS outside this machine, a
//! session without a role.
//!
//! ```text
//! /oidc/start ─▶ issuer ─▶ /oidc/callback?code,state ─▶ token endpoint ─▶ ID token ─▶ session cookie ─▶ /
//! ```

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::access::{Role, Visitor};
use super::guard::Token;
use super::id_token::{self, Jwk, Wanted};
use crate::time::{Clock, SystemClock};

/// Logins that are under way at a time, and how long one may take.
const MAX_PENDING: usize = 1000;
const LOGIN_WITHIN: Duration = Duration::from_secs(600);

/// Sessions at a time, and how long one lasts.
const MAX_SESSIONS: usize = 10_000;
pub(super) const SESSION: Duration = Duration::from_secs(8 * 3600);

/// How long what the issuer says of itself is believed.
const FRESH: Duration = Duration::from_secs(3600);

/// Bytes of an answer of the issuer that are read, and the time for it.
const MAX_ANSWER: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(15);

/// How to sign in.
#[derive(Debug, Clone)]
pub struct OidcOptions {
    /// Address of the issuer, as its ID tokens name it.
    pub issuer: String,
    /// Name of this client there.
    pub client_id: String,
    /// Its secret; public clients have none.
    pub client_secret: Option<String>,
    /// Address under which browsers reach the dashboard, as `https://tapedeck.example.com`.
    pub url: String,
    /// Claim that roles go by.
    pub claim: String,
    /// What is asked for.
    pub scopes: String,
    /// Values of the claim that give each role; `*` is everybody who can sign in.
    pub roles: Vec<(Role, Vec<String>)>,
}

impl OidcOptions {
    /// Reads `tap.dashboard.oidc`; `None` when it is empty.
    ///
    /// ```text
    /// {"issuer": "https://id.example.com", "clientId": "...", "clientSecret": "...",
    ///  "url": "https://tapedeck.example.com", "claim": "groups", "scopes": "openid email",
    ///  "roles": {"view": ["*"], "operate": ["sre"]}}
    /// ```
    ///
    /// # Errors
    /// One sentence: what is missing or wrong.
    pub fn read(all: &serde_json::Map<String, Json>) -> Result<Option<OidcOptions>, String> {
        const KNOWN: [&str; 7] = [
            "issuer",
            "clientId",
            "clientSecret",
            "url",
            "claim",
            "scopes",
            "roles",
        ];
        if all.is_empty() {
            return Ok(None);
        }
        if let Some(name) = all.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!(
                "tap.dashboard.oidc.{name} is not known; there are {}",
                KNOWN.join(", ")
            ));
        }
        let text = |name: &str| all.get(name).and_then(Json::as_str).map(str::to_owned);
        let needed = |name: &str| {
            text(name)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| format!("tap.dashboard.oidc needs {name}"))
        };
        let address = |name: &str| {
            let url = needed(name)?;
            match is_safe(&url) {
                true => Ok(url.trim_end_matches('/').to_owned()),
                false => Err(format!(
                    "tap.dashboard.oidc.{name} must begin with https://, not {url}"
                )),
            }
        };
        let mut roles = Vec::new();
        for (name, values) in all
            .get("roles")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
        {
            let role = Role::named(name).ok_or_else(|| {
                format!("tap.dashboard.oidc.roles.{name} is no role; there are view, investigate and operate")
            })?;
            let values = match values {
                Json::Array(list) => list.iter().filter_map(Json::as_str).collect(),
                one => Vec::from_iter(one.as_str()),
            };
            roles.push((role, values.into_iter().map(str::to_owned).collect()));
        }
        if roles.is_empty() {
            return Err(
                "tap.dashboard.oidc needs roles: which values of the claim give which role"
                    .to_owned(),
            );
        }
        Ok(Some(OidcOptions {
            issuer: address("issuer")?,
            client_id: needed("clientId")?,
            client_secret: text("clientSecret").filter(|secret| !secret.is_empty()),
            url: address("url")?,
            claim: text("claim").unwrap_or_else(|| "groups".to_owned()),
            scopes: text("scopes").unwrap_or_else(|| "openid email profile".to_owned()),
            roles,
        }))
    }

    /// The most that somebody with these claims may do.
    fn role(&self, claims: &Json) -> Option<Role> {
        let values: Vec<&str> = match &claims[&self.claim] {
            Json::Array(list) => list.iter().filter_map(Json::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        let given = |wanted: &String| wanted == "*" || values.contains(&wanted.as_str());
        let roles = self.roles.iter();
        roles
            .filter(|(_, wanted)| wanted.iter().any(given))
            .map(|(role, _)| *role)
            .max()
    }

    fn redirect(&self) -> String {
        format!("{}/oidc/callback", self.url)
    }
}

/// TLS that believes the authorities of this system.
pub(super) fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<Certificate<'static>> = found
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned())
        .collect();
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// Whether an address is one that nobody can listen in on.
fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<axum::http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let is_here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_here,
        _ => false,
    }
}

/// What the issuer says of itself.
#[derive(Debug, Clone)]
struct Provider {
    authorization: String,
    token: String,
    keys: Vec<Jwk>,
    read: Instant,
}

/// A login under way.
#[derive(Debug)]
struct Pending {
    nonce: String,
    verifier: String,
    began: Instant,
}

#[derive(Debug)]
struct Session {
    visitor: Visitor,
    began: Instant,
}

/// Logins and sessions.
#[derive(Debug)]
pub(super) struct Oidc {
    options: OidcOptions,
    agent: ureq::Agent,
    provider: Mutex<Option<Arc<Provider>>>,
    pending: Mutex<HashMap<String, Pending>>,
    sessions: Mutex<HashMap<String, Session>>,
}

/// Why nobody was let in.
#[derive(Debug)]
pub(super) enum Refused {
    /// The login is not ours, or too old.
    Login,
    /// Whoever it is has no role.
    NoRole(String),
    /// The issuer, or what it sent, is not as it must be.
    Issuer(String),
}

impl Oidc {
    /// Nothing is asked of the issuer yet.
    pub(super) fn new(options: OidcOptions) -> Oidc {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE))
            .tls_config(tls())
            .build();
        Oidc {
            options,
            agent: ureq::Agent::new_with_config(config),
            provider: Mutex::default(),
            pending: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    /// Name of the issuer, for the page.
    pub(super) fn issuer(&self) -> &str {
        &self.options.issuer
    }

    /// Whether browsers reach the dashboard by TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.options.url.starts_with("https://")
    }

    /// Who has a session with this id.
    pub(super) fn visitor(&self, session: &str) -> Option<Visitor> {
        let sessions = lock(&self.sessions);
        let found = sessions.get(session)?;
        (found.began.elapsed() < SESSION).then(|| found.visitor.clone())
    }

    /// Ends a session, if there is one with this id.
    pub(super) fn end(&self, session: &str) {
        lock(&self.sessions).remove(session);
    }

    /// Begins a login: where the browser is to go, and the state that it must bring back. Blocks.
    pub(super) fn begin(&self) -> Result<(String, String), String> {
        let provider = self.provider(false)?;
        let (state, nonce, verifier) = (random()?, random()?, random()?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let url = with_query(
            &provider.authorization,
            &[
                ("response_type", "code"),
                ("client_id", &self.options.client_id),
                ("redirect_uri", &self.options.redirect()),
                ("scope", &self.options.scopes),
                ("state", &state),
                ("nonce", &nonce),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ],
        );
        let mut pending = lock(&self.pending);
        pending.retain(|_, login| login.began.elapsed() < LOGIN_WITHIN);
        if pending.len() >= MAX_PENDING {
            return Err("too many logins are under way; try again in some minutes".to_owned());
        }
        pending.insert(
            state.clone(),
            Pending {
                nonce,
                verifier,
                began: Instant::now(),
            },
        );
        Ok((url, state))
    }

    /// Ends a login: the id of a session. Blocks.
    pub(super) fn finish(&self, state: &str, code: &str) -> Result<String, Refused> {
        let login = lock(&self.pending)
            .remove(state)
            .filter(|login| login.began.elapsed() < LOGIN_WITHIN)
            .ok_or(Refused::Login)?;
        let token = self
            .exchange(code, &login.verifier)
            .map_err(Refused::Issuer)?;
        let claims = self.claims(&token, &login.nonce).map_err(Refused::Issuer)?;
        let name = ["email", "preferred_username", "sub"]
            .into_iter()
            .find_map(|name| claims[name].as_str())
            .unwrap_or("somebody")
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect::<String>();
        let role = self
            .options
            .role(&claims)
            .ok_or_else(|| Refused::NoRole(name.clone()))?;
        let id = random().map_err(Refused::Issuer)?;
        let mut sessions = lock(&self.sessions);
        sessions.retain(|_, session| session.began.elapsed() < SESSION);
        if sessions.len() >= MAX_SESSIONS {
            return Err(Refused::Issuer("too many people are signed in".to_owned()));
        }
        sessions.insert(
            id.clone(),
            Session {
                visitor: Visitor { name, role },
                began: Instant::now(),
            },
        );
        Ok(id)
    }

    /// The claims of an ID token; keys are read anew once when none of those at hand vouches for it.
    fn claims(&self, token: &str, nonce: &str) -> Result<Json, String> {
        let wanted = Wanted {
            issuer: &self.options.issuer,
            client: &self.options.client_id,
            nonce,
            now: SystemClock.now().secs(),
        };
        let known = self.provider(false)?;
        id_token::verify(token, &known.keys, wanted)
            .or_else(|_| id_token::verify(token, &self.provider(true)?.keys, wanted))
    }

    fn exchange(&self, code: &str, verifier: &str) -> Result<String, String> {
        let provider = self.provider(false)?;
        let form = query(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.options.redirect()),
            ("client_id", &self.options.client_id),
            ("code_verifier", verifier),
        ]);
        let mut request = self
            .agent
            .post(&provider.token)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json");
        if let Some(secret) = &self.options.client_secret {
            let pair = format!("{}:{}", escape(&self.options.client_id), escape(secret));
            request = request.header("authorization", format!("Basic {}", STANDARD.encode(pair)));
        }
        let answer = request
            .send(form.as_bytes())
            .map_err(|error| format!("{} does not answer: {error}", provider.token))?;
        let answer = json_of(&provider.token, answer)?;
        let token = answer["id_token"].as_str();
        token.map(str::to_owned).ok_or_else(|| {
            format!(
                "{} gave no ID token; is openid among the scopes?",
                provider.token
            )
        })
    }

    fn provider(&self, anew: bool) -> Result<Arc<Provider>, String> {
        // One at a time, so that a crowd asks the issuer once.
        let mut kept = lock(&self.provider);
        if let Some(provider) = kept
            .as_ref()
            .filter(|provider| !anew && provider.read.elapsed() < FRESH)
        {
            return Ok(provider.clone());
        }
        let place = format!("{}/.well-known/openid-configuration", self.options.issuer);
        let said = self.get(&place)?;
        let named = said["issuer"].as_str().unwrap_or_default();
        if named.trim_end_matches('/') != self.options.issuer {
            return Err(format!("{place} is of the issuer {named}"));
        }
        let endpoint = |name: &str| {
            let url = said[name].as_str().unwrap_or_default();
            match is_safe(url) {
                true => Ok(url.to_owned()),
                false => Err(format!("{place} names no {name} with TLS")),
            }
        };
        let keys = self.get(&endpoint("jwks_uri")?)?;
        let provider = Arc::new(Provider {
            authorization: endpoint("authorization_endpoint")?,
            token: endpoint("token_endpoint")?,
            keys: keys["keys"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|key| serde_json::from_value(key.clone()).ok())
                .collect(),
            read: Instant::now(),
        });
        *kept = Some(provider.clone());
        Ok(provider)
    }

    fn get(&self, url: &str) -> Result<Json, String> {
        let answer = self
            .agent
            .get(url)
            .header("accept", "application/json")
            .call()
            .map_err(|error| format!("{url} does not answer: {error}"))?;
        json_of(url, answer)
    }
}

fn json_of(url: &str, mut answer: ureq::http::Response<ureq::Body>) -> Result<Json, String> {
    let status = answer.status();
    let mut body = Vec::new();
    answer
        .body_mut()
        .as_reader()
        .take(MAX_ANSWER)
        .read_to_end(&mut body)
        .map_err(|error| format!("{url} broke off: {error}"))?;
    let said: Json = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        let why = said["error_description"]
            .as_str()
            .or(said["error"].as_str());
        return Err(format!(
            "{url} answered {status}: {}",
            why.unwrap_or("no reason given")
        ));
    }
    match said.is_object() {
        true => Ok(said),
        false => Err(format!("{url} did not answer in JSON")),
    }
}

fn random() -> Result<String, String> {
    let token = Token::random().map_err(|error| error.to_string())?;
    Ok(token.text().to_owned())
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn query(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", escape(value)))
        .collect();
    pairs.join("&")
}

fn with_query(url: &str, pairs: &[(&str, &str)]) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{}", query(pairs))
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(json: Json) -> Result<Option<OidcOptions>, String> {
        OidcOptions::read(json.as_object().unwrap())
    }

    fn good() -> Json {
        json!({
            "issuer": "https://id.test/", "clientId": "deck", "url": "https://deck.test",
            "roles": {"view": "*", "operate": ["sre", "boss"]},
        })
    }

    #[test]
    fn what_is_wrong_with_the_configuration_is_said() {
        assert!(read(json!({})).unwrap().is_none());
        let with = |name: &str, value: Json| {
            let mut all = good();
            all[name] = value;
            read(all).unwrap_err()
        };
        assert!(with("issuer", json!("http://id.test")).contains("https://"));
        assert!(with("url", json!("ftp://deck.test")).contains("https://"));
        assert!(with("clientId", json!("")).contains("needs clientId"));
        assert!(with("roles", json!({})).contains("needs roles"));
        assert!(with("roles", json!({"root": "*"})).contains("is no role"));
        assert!(with("moon", json!(1)).contains("is not known"));
        let mut local = good();
        local["issuer"] = json!("http://127.0.0.1:5/realm");
        assert!(read(local).is_ok());
    }

    #[test]
    fn the_claim_gives_the_greatest_role() {
        let options = read(good()).unwrap().unwrap();
        assert_eq!(options.issuer, "https://id.test");
        let role = |claims: Json| options.role(&claims);
        assert_eq!(role(json!({"groups": ["dev", "sre"]})), Some(Role::Operate));
        assert_eq!(role(json!({"groups": "boss"})), Some(Role::Operate));
        assert_eq!(role(json!({"groups": ["dev"]})), Some(Role::View));
        let mut strict = good();
        strict["roles"] = json!({"investigate": ["sre"]});
        let strict = read(strict).unwrap().unwrap();
        assert_eq!(strict.role(&json!({"groups": ["dev"]})), None);
        assert_eq!(strict.role(&json!({})), None);
    }

    #[test]
    fn a_login_that_was_not_begun_is_refused() {
        let oidc = Oidc::new(read(good()).unwrap().unwrap());
        assert!(matches!(oidc.finish("state", "code"), Err(Refused::Login)));
        assert!(oidc.visitor("session").is_none());
    }
}
