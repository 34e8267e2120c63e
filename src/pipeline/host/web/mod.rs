//! The HTTP client of helpers: bounded, judged, announced.
//!
//! In: one request of a helper. Out: the answer, whatever its status, or one sentence. Never: a
//! redirect, a name or an address that the policy refuses; trust in more than the system trusts
//! and the bundle that the user names. Proxies are those of `HTTPS_PROXY` and `NO_PROXY`.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector, RustlsConnector, TcpConnector,
};

use super::vendor::VendorOptions;
use crate::capture::own::OwnSockets;

mod connect;
mod pinned;
mod policy;

use self::connect::{Announcing, Judging};
use self::pinned::PinnedConnector;
pub use self::policy::NetworkPolicy;

/// Time for one request with its answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read; what is longer is cut.
const MAX_ANSWER: u64 = 8 << 20;

/// Redirects that are followed, as browsers do (RFC 9110 section 15.4 leaves the number open).
const MAX_REDIRECTS: usize = 10;

/// How long a connection waits for its next request; as long it stays announced.
const IDLE: Duration = Duration::from_secs(5);

const USER_AGENT: &str = concat!("tapedeck/", env!("CARGO_PKG_VERSION"));

/// The client.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    agent: ureq::Agent,
    policy: Arc<NetworkPolicy>,
    own: OwnSockets,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method.
    pub(crate) method: String,
    /// Address.
    pub(crate) url: String,
    /// Headers beside those that the client makes.
    pub(crate) headers: Vec<(String, String)>,
    /// Body; `None` sends none.
    pub(crate) body: Option<Vec<u8>>,
    /// Time for all of it, redirects too.
    pub(crate) timeout: Duration,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body, decoded by nobody.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    pub(crate) fn new(method: &str, url: impl Into<String>) -> Request {
        Request {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            timeout: TIMEOUT,
        }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Request {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a body of a type.
    pub(crate) fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
        Request {
            body: Some(body.into()),
            ..self.header("Content-Type", content_type)
        }
    }

    /// With the time that it may take.
    pub(crate) fn within(self, timeout: Duration) -> Request {
        Request { timeout, ..self }
    }
}

impl Answer {
    /// The body as text; what is not UTF-8 is replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Seconds after which the server wants to be asked again (RFC 9110 section 10.2.3).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header("retry-after")?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

impl Web {
    /// A client under a policy.
    ///
    /// # Errors
    /// When the bundle of certificates cannot be read.
    pub(crate) fn new(options: &VendorOptions, policy: NetworkPolicy) -> Result<Web, String> {
        let roots = roots(options.ca_bundle.as_deref())?;
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(RustlsConnector::default());
        let own = options.own.clone();
        Ok(Web::over(connector, roots, Arc::new(policy), own))
    }

    /// The same for a server that is known by the fingerprint of a certificate and by nothing else.
    pub(crate) fn trusting(&self, fingerprint: &str) -> Result<Web, String> {
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(PinnedConnector::new(fingerprint)?);
        let (policy, own) = (self.policy.clone(), self.own.clone());
        Ok(Web::over(connector, RootCerts::from([]), policy, own))
    }

    fn over(
        connector: impl Connector<()>,
        roots: RootCerts,
        policy: Arc<NetworkPolicy>,
        own: OwnSockets,
    ) -> Web {
        let proxy = ureq::Proxy::try_from_env();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here, each judged.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .max_idle_age(IDLE)
            .user_agent(USER_AGENT)
            .proxy(proxy.clone())
            .tls_config(tls)
            .build();
        let resolver = Judging {
            policy: policy.clone(),
            proxy: proxy.map(|proxy| proxy.host().to_owned()),
        };
        let announcing = Announcing {
            connector,
            own: own.clone(),
        };
        Web {
            agent: ureq::Agent::with_parts(config, announcing, resolver),
            policy,
            own,
        }
    }

    /// Sends a request and follows redirects; any status is an answer.
    pub(crate) fn send(&self, request: &Request) -> Result<Answer, String> {
        let until = std::time::Instant::now() + request.timeout;
        let mut request = request.clone();
        let mut from = uri(&request.url)?;
        for _ in 0..=MAX_REDIRECTS {
            request.timeout = until.saturating_duration_since(std::time::Instant::now());
            let answer = self.once(&request, &from)?;
            let Some(to) = target(&answer, &from) else {
                return Ok(answer);
            };
            redirect(&mut request, answer.status, &from, &to);
            from = to;
        }
        Err(format!(
            "{} redirects more than {MAX_REDIRECTS} times",
            request.url
        ))
    }

    /// Sends a request once, and answers a redirect as it is.
    pub(crate) fn once(&self, request: &Request, uri: &Uri) -> Result<Answer, String> {
        let host = uri.host().unwrap_or_default();
        let place = format!("{}://{host}", uri.scheme_str().unwrap_or_default());
        let said = |why: &dyn std::fmt::Display| format!("{} {place}: {why}", request.method);
        self.policy.judge_name(host, port_of(uri))?;
        let method = Method::from_bytes(request.method.trim().to_uppercase().as_bytes())
            .map_err(|_| said(&"this is no method of HTTP"))?;
        let mut builder = http::Request::builder().method(method).uri(uri.clone());
        for (name, value) in &request.headers {
            let parsed = HeaderName::from_bytes(name.trim().as_bytes())
                .ok()
                .zip(HeaderValue::from_str(value.trim()).ok());
            let (name, value) =
                parsed.ok_or_else(|| said(&format!("the header {name} cannot be sent")))?;
            builder = builder.header(name, value);
        }
        let answered = match &request.body {
            Some(body) => {
                let made = builder.body(body).map_err(|error| said(&error))?;
                let made = self.agent.configure_request(made);
                self.agent
                    .run(made.timeout_global(Some(request.timeout)).build())
            }
            None => {
                let made = builder.body(()).map_err(|error| said(&error))?;
                let made = self.agent.configure_request(made);
                self.agent
                    .run(made.timeout_global(Some(request.timeout)).build())
            }
        };
        let (parts, body) = answered
            .map_err(|error| sentence(&error, &said))?
            .into_parts();
        let mut bytes = Vec::new();
        body.into_reader()
            .take(MAX_ANSWER)
            .read_to_end(&mut bytes)
            .map_err(|error| said(&error))?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: bytes,
        })
    }
}

fn sentence(error: &ureq::Error, said: &dyn Fn(&dyn std::fmt::Display) -> String) -> String {
    match error {
        ureq::Error::Other(refused) => refused.to_string(),
        ureq::Error::Timeout(_) => said(&"no answer in time"),
        ureq::Error::HostNotFound => said(&"the host is not known"),
        other => said(other),
    }
}

/// An address of HTTP.
pub(crate) fn uri(url: &str) -> Result<Uri, String> {
    let parsed: Result<Uri, _> = url.trim().parse();
    parsed
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
        .ok_or_else(|| "the address is no URL of the form http://host or https://host".to_owned())
}

fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("http") => 80,
        _ => 443,
    })
}

/// Where a redirect leads to (RFC 9110 section 10.2.2).
fn target(answer: &Answer, from: &Uri) -> Option<Uri> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.header(header::LOCATION.as_str())?;
    let scheme = from.scheme_str()?;
    let authority = from.authority()?.as_str();
    let absolute = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    uri(&absolute).ok()
}

/// Makes the request that follows a redirect (RFC 9110 sections 15.4.2 to 15.4.9): 307 and 308 keep
/// method and body, the others lead to a GET. Credentials stay with the host they were for.
fn redirect(request: &mut Request, status: StatusCode, from: &Uri, to: &Uri) {
    let keeps = matches!(status.as_u16(), 307 | 308);
    let is_body = |name: &str| name.to_lowercase().starts_with("content-");
    if !keeps && !matches!(request.method.as_str(), "GET" | "HEAD") {
        request.method = "GET".to_owned();
        request.body = None;
        request.headers.retain(|(name, _)| !is_body(name));
    }
    if from.authority() != to.authority() || from.scheme() != to.scheme() {
        request.headers.retain(|(name, _)| {
            let name = name.to_lowercase();
            !matches!(
                name.as_str(),
                "authorization" | "cookie" | "proxy-authorization"
            )
        });
    }
}

/// The certificates that the system trusts, read once, and those of a bundle.
fn roots(bundle: Option<&Path>) -> Result<RootCerts, String> {
    static SYSTEM: OnceLock<Vec<Certificate<'static>>> = OnceLock::new();
    let system = SYSTEM.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "certificates of the system cannot be read");
        }
        let found = found.certs.iter();
        found
            .map(|one| Certificate::from_der(one.as_ref()).to_owned())
            .collect()
    });
    let mut all = system.clone();
    if let Some(path) = bundle {
        let pem = std::fs::read(path).map_err(|error| {
            let path = path.display();
            format!("the certificate bundle {path} cannot be read: {error}")
        })?;
        for item in parse_pem(&pem) {
            if let Ok(PemItem::Certificate(certificate)) = item {
                all.push(certificate);
            }
        }
    }
    Ok(RootCerts::from(all))
}
