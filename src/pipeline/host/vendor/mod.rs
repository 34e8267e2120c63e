//! Services that helpers talk to, each by its documented interface.
//!
//! In: what a script asked, checked no further than that it is text. Out: requests through the one
//! client of helpers, what the services answer. Never: a secret in a sentence or a log line.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

use super::web::{Answer, NetworkPolicy, Request, Web};
use crate::capture::own::OwnSockets;

pub(crate) mod azure;
mod cloud;
mod credentials;
mod elastic;
mod gcs;
mod influx;
mod kinesis;
mod prompt;
mod slack;

pub(crate) use self::cloud::{Cloud, Upload};
pub use self::credentials::{CREDENTIALS, Credential, Credentials, Used};
pub(crate) use self::influx::{Influx, Point};
pub(crate) use self::slack::Shared as SharedFile;

/// Tries of a request that a server was too busy for.
const MAX_TRIES: u32 = 3;

/// First pause between two tries; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Characters of an answer that an error quotes.
const MAX_QUOTE: usize = 300;

/// How services are reached.
#[derive(Debug, Clone)]
pub struct VendorOptions {
    /// Where helpers may go (`scripting.network.allow`).
    pub network: NetworkPolicy,
    /// Where connections are announced, so that they are not captured.
    pub own: OwnSockets,
    /// Credentials for scripts that give none.
    pub credentials: Credentials,
    /// Certificates in PEM that are trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Slack's Web API.
    pub slack: String,
    /// The server for Kinesis; `None` means Amazon's of the region.
    pub kinesis: Option<String>,
    /// The server for Google Cloud Storage; `None` means Google's.
    pub gcs: Option<String>,
    /// The chat completions API that `chatgpt.prompt` asks (`scripting.chatgpt.url`).
    pub chat: String,
    /// Its model (`scripting.chatgpt.model`).
    pub chat_model: String,
}

impl Default for VendorOptions {
    fn default() -> VendorOptions {
        VendorOptions {
            network: NetworkPolicy::default(),
            own: OwnSockets::default(),
            credentials: Credentials::default(),
            slack: "https://slack.com/api".to_owned(),
            ca_bundle: None,
            kinesis: None,
            gcs: None,
            chat: "https://api.openai.com/v1".to_owned(),
            chat_model: "gpt-4o-mini".to_owned(),
        }
    }
}

/// The services.
pub(crate) struct Vendors {
    pub(crate) web: Web,
    /// Points on their way to InfluxDB.
    pub(crate) influx: Influx,
    pub(crate) cloud: Cloud,
    pub(crate) options: VendorOptions,
}

impl Vendors {
    /// Makes the client; `report` takes what goes wrong in the background, with the script's index.
    ///
    /// # Errors
    /// When trusted certificates cannot be read or no thread can be started.
    pub(crate) fn new(
        options: VendorOptions,
        report: Box<influx::Report>,
    ) -> Result<Vendors, String> {
        let web = Web::new(&options, options.network.clone())?;
        Ok(Vendors {
            influx: Influx::start(web.clone(), report)?,
            cloud: Cloud::new(&options)?,
            web,
            options,
        })
    }
}

/// Sends a request, again when the server is too busy for it now (RFC 6585 section 4, RFC 9110
/// sections 15.6.3 to 15.6.5).
fn send_patiently(web: &Web, request: &Request) -> Result<Answer, String> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..MAX_TRIES {
        let answer = web.send(request)?;
        if !matches!(answer.status.as_u16(), 429 | 502 | 503 | 504) {
            return Ok(answer);
        }
        thread::sleep(answer.retry_after().unwrap_or(pause).min(MAX_PAUSE));
        pause *= 2;
    }
    web.send(request)
}

/// An answer that is no success, as a sentence about `service`.
fn refusal(service: &str, answer: &Answer) -> String {
    let text = answer.text();
    let text: String = text.trim().chars().take(MAX_QUOTE).collect();
    let status = answer.status;
    if text.is_empty() {
        format!("{service} answered {status}")
    } else {
        format!("{service} answered {status}: {text}")
    }
}

/// The JSON of an answer.
fn json_of(service: &str, answer: &Answer) -> Result<Json, String> {
    serde_json::from_slice(&answer.body).map_err(|_| refusal(service, answer))
}

/// Percent-encoding of one part of a path or query (RFC 3986 section 2.3).
fn encoded(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A random number in the form of RFC 9562 section 5.4 (UUID version 4).
fn random_uuid() -> Result<String, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62;
    let text = format!("{number:032x}");
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let parts = parts.map(|(from, to)| text.get(from..to).unwrap_or_default());
    Ok(parts.join("-"))
}

/// The form of RFC 7578 (multipart/form-data): its content type and its bytes.
pub(crate) fn form(fields: &[(String, String)]) -> Result<(String, Vec<u8>), String> {
    let boundary = format!("tapedeck-{}", random_uuid()?);
    let mut body = Vec::new();
    for (name, value) in fields {
        // Section 4.2 leaves it open; browsers write these three so (WHATWG HTML, form submission).
        let name = name
            .replace('\r', "%0D")
            .replace('\n', "%0A")
            .replace('"', "%22");
        let head =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value.as_bytes());
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary={boundary}"), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_uuid_has_version_and_variant() {
        let uuid = random_uuid().unwrap();
        let bytes = uuid.as_bytes();
        assert_eq!((uuid.len(), bytes[14]), (36, b'4'));
        assert!(b"89ab".contains(&bytes[19]), "{uuid}");
        assert_ne!(uuid, random_uuid().unwrap());
    }

    #[test]
    fn a_form_has_one_part_a_field() {
        let fields = [
            ("a".to_owned(), "1".to_owned()),
            ("b\"".to_owned(), "2\r\n3".to_owned()),
        ];
        let (kind, body) = form(&fields).unwrap();
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        let wanted = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"b%22\"\r\n\r\n2\r\n3\r\n\
             --{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8(body).unwrap(), wanted);
    }
}
