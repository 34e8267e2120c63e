//! The HTTP client of cloud stores, as `object_store` asks for one.
//!
//! In: its requests. Out: answers, whole. Never: an upload taken for good when the server says
//! another MD5 than the body has. Proxies are those of `HTTPS_PROXY` and `NO_PROXY`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::BodyExt;
use md5::{Digest as _, Md5};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use ureq::http::{HeaderMap, Method, StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::super::StoreError;

/// Time for one request: 64 MiB over a line of 4 Mbit/s.
const TIMEOUT: Duration = Duration::from_secs(210);

/// Time to connect; a dead address must not hold an upload thread for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer that is read: pieces of objects are asked for one by one.
const MAX_ANSWER: u64 = 64 << 20;

const USER_AGENT: &str = concat!("tapedeck/", env!("CARGO_PKG_VERSION"));

/// The client.
#[derive(Debug, Clone)]
pub(super) struct Client(ureq::Agent);

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unanswered(String);

impl Client {
    /// A client that trusts what the system trusts, and the authorities in `ca_bundle`.
    pub(super) fn new(ca_bundle: Option<&Path>) -> Result<Client, StoreError> {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(roots(ca_bundle)?)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(USER_AGENT)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .tls_config(tls)
            .build();
        Ok(Client(ureq::Agent::new_with_config(config)))
    }

    /// Sends a request; any status is an answer.
    pub(super) fn send(
        &self,
        method: Method,
        url: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), HttpError> {
        let failed = |kind, why: String| HttpError::new(kind, Unanswered(why));
        let mut builder = ureq::http::Request::builder()
            .method(method.clone())
            .uri(url);
        for (name, value) in headers {
            // The client writes this one itself.
            if name != header::CONTENT_LENGTH {
                builder = builder.header(name, value);
            }
        }
        // Methods that carry content say so even when it is empty: servers want a length then.
        let has_body = !body.is_empty() || method == Method::PUT || method == Method::POST;
        let answered = match has_body {
            true => builder
                .body(body.as_ref())
                .map_err(ureq::Error::from)
                .and_then(|made| self.0.run(made)),
            false => builder
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|made| self.0.run(made)),
        };
        let (parts, answer) = answered
            .map_err(|error| {
                let kind = match &error {
                    ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
                    ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                        HttpErrorKind::Connect
                    }
                    _ => HttpErrorKind::Interrupted,
                };
                failed(kind, error.to_string())
            })?
            .into_parts();
        let answer = answer
            .into_with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(|error| failed(HttpErrorKind::Interrupted, error.to_string()))?;
        if method == Method::PUT && parts.status.is_success() && !took(&parts.headers, body) {
            return Err(failed(
                HttpErrorKind::Interrupted,
                "the server says another MD5 than the body has".to_owned(),
            ));
        }
        Ok((parts.status, parts.headers, answer.into()))
    }
}

/// Whether what the server says of the body's MD5, if anything, is true: Azure in `Content-MD5`,
/// Google in `x-goog-hash`.
fn took(headers: &HeaderMap, body: &Bytes) -> bool {
    let plain = headers.get("content-md5").and_then(|md5| md5.to_str().ok());
    let google = headers
        .get_all("x-goog-hash")
        .iter()
        .filter_map(|hashes| hashes.to_str().ok())
        .flat_map(|hashes| hashes.split(','))
        .find_map(|hash| hash.trim().strip_prefix("md5="));
    match plain.or(google) {
        Some(said) => said == BASE64.encode(Md5::digest(body)),
        None => true,
    }
}

fn roots(bundle: Option<&Path>) -> Result<RootCerts, StoreError> {
    let found = rustls_native_certs::load_native_certs().certs;
    let mut certificates: Vec<Certificate<'static>> = found
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    if let Some(path) = bundle {
        let failed =
            |why: String| StoreError::Refused(format!("AWS_CA_BUNDLE {}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(certificate) =
                item.map_err(|error| failed(error.to_string()))?
            {
                certificates.push(certificate);
            }
        }
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

impl HttpConnector for Client {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let body = match body.as_bytes() {
            Some(bytes) => bytes.clone(),
            None => body.collect().await?.to_bytes(),
        };
        let client = self.clone();
        let sent = tokio::task::spawn_blocking(move || {
            client.send(parts.method, &parts.uri.to_string(), &parts.headers, &body)
        });
        let (status, headers, answer) = sent.await.map_err(|error| {
            HttpError::new(HttpErrorKind::Interrupted, Unanswered(error.to_string()))
        })??;
        let mut response = HttpResponse::new(HttpResponseBody::from(answer));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_md5_that_is_not_the_bodys_is_no_upload() {
        let body = Bytes::from_static(b"reel");
        let right = BASE64.encode(Md5::digest(&body));
        let with = |name: &'static str, value: String| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        assert!(took(&HeaderMap::new(), &body));
        assert!(took(&with("content-md5", right.clone()), &body));
        assert!(took(
            &with("x-goog-hash", format!("crc32c=AAAA==,md5={right}")),
            &body
        ));
        assert!(!took(&with("x-goog-hash", "md5=AAAA".to_owned()), &body));
        assert!(!took(&with("content-md5", "AAAA".to_owned()), &body));
    }
}
