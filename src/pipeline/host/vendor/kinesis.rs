//! Amazon Kinesis Data Streams: one record a call.
//!
//! In: a record. Out: `PutRecord` (API version 2013-12-02), signed with Signature Version 4. Never: a
//! client of its own; it is one request, and credentials come from where those of S3 come from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::super::web::Request;
use super::{Vendors, json_of, refusal, send_patiently};
use crate::store::s3::{Keys, default_keys};
use crate::time::{Clock, SystemClock};

/// Content type of the protocol (AWS JSON 1.1).
const AMZ_JSON: &str = "application/x-amz-json-1.1";

/// Bytes of a record that the service takes, as it says since 2025.
const MAX_RECORD: usize = 10 << 20;

impl Vendors {
    /// Puts a record; answers what the service said: `ShardId`, `SequenceNumber`.
    pub(crate) fn kinesis_put(
        &self,
        stream: &str,
        payload: &str,
        region: &str,
        keys: Option<(&str, &str)>,
        node: &str,
    ) -> Result<Json, String> {
        static RECORDS: AtomicU64 = AtomicU64::new(0);
        if payload.len() > MAX_RECORD {
            return Err(format!(
                "a record for Kinesis has {MAX_RECORD} bytes at most, this one {}",
                payload.len()
            ));
        }
        // It becomes part of a host's name, and a request signed for the machine must not leave Amazon.
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || !region.bytes().all(plain) {
            return Err(format!("{region:?} is no region of Amazon"));
        }
        let keys = match keys {
            Some((id, secret)) => Keys {
                access_key_id: id.to_owned(),
                secret_access_key: secret.to_owned(),
                session_token: None,
            },
            None => default_keys()?,
        };
        // A key that differs each time spreads the records over all shards.
        let number = RECORDS.fetch_add(1, Ordering::Relaxed);
        let body = json!({
            "StreamName": stream,
            "Data": STANDARD.encode(payload),
            "PartitionKey": format!("{node}-{number}"),
        });
        let body = body.to_string();
        let base = match &self.options.kinesis {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if region.starts_with("cn-") => {
                format!("https://kinesis.{region}.amazonaws.com.cn")
            }
            None => format!("https://kinesis.{region}.amazonaws.com"),
        };
        let request = Request::new("POST", format!("{base}/"))
            .header("X-Amz-Target", "Kinesis_20131202.PutRecord")
            .body(AMZ_JSON, body);
        let request = signed(request, region, &keys)?;
        let answer = send_patiently(&self.web, &request)?;
        if answer.status.is_success() {
            return json_of("Kinesis", &answer);
        }
        let why = json_of("Kinesis", &answer).ok();
        let text = |name: &str| why.as_ref()?.get(name)?.as_str();
        let kind = text("__type").map(|kind| kind.rsplit('#').next().unwrap_or(kind));
        Err(match (kind, text("message").or_else(|| text("Message"))) {
            (Some(kind), Some(message)) => format!("Kinesis refused the record: {kind}: {message}"),
            (Some(kind), None) => format!("Kinesis refused the record: {kind}"),
            _ => refusal("Kinesis", &answer),
        })
    }
}

/// The request with the headers of its signature.
fn signed(mut request: Request, region: &str, keys: &Keys) -> Result<Request, String> {
    let said = |error: &dyn std::fmt::Display| format!("the request cannot be signed: {error}");
    let identity = Credentials::new(
        &keys.access_key_id,
        &keys.secret_access_key,
        keys.session_token.clone(),
        None,
        "scripts",
    )
    .into();
    // The service compares it with its own clock, also when packets are of another day.
    let now = SystemClock.now().secs();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("kinesis")
        .time(UNIX_EPOCH + Duration::from_secs(now.unsigned_abs()))
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| said(&error))?
        .into();
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .collect();
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let body = SignableBody::Bytes(request.body.as_deref().unwrap_or_default());
    let signable = SignableRequest::new("POST", request.url.as_str(), pairs, body)
        .map_err(|error| said(&error))?;
    let (signed, _) = sign(signable, &params)
        .map_err(|error| said(&error))?
        .into_parts();
    let made: Vec<(String, String)> = signed
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    request.headers.extend(made);
    Ok(request)
}
