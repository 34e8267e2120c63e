//! A recorded request, sent once more.
//!
//! In: an HTTP/1 item. Out: the very bytes that would be sent and where to, then the answer to them.
//! Never: anything that was not shown before (its digest comes back with the order), a target other
//! than the one that was recorded, TLS, an answer of more than [`MAX_ANSWER`].

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::store::hex;

/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 256 << 10;

/// Time that one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Times that one request is sent at most, at once or one after the other, and the time between two.
pub(super) const MAX_COUNT: u32 = 1000;
const AT_ONCE: u32 = 16;
const MAX_DELAY: Duration = Duration::from_secs(10);

/// Time that sending one request several times may take.
const MAX_TIME: Duration = Duration::from_secs(60);

/// How often and how fast a request is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How often.
    pub(super) count: u32,
    /// Time between two of one sender.
    pub(super) delay: Duration,
    /// Whether several are on their way at a time.
    pub(super) concurrent: bool,
}

/// Fields of the connection that the request came on.
const LEFT_OUT: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What would be sent.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
    /// Whether the sender is done after them: nothing in them says that the connection may end.
    pub(super) ends: bool,
}

impl Replay {
    /// The request of an item as it would be sent.
    ///
    /// # Errors
    /// One sentence: why this item cannot be sent again.
    pub(super) fn of(item: &Json) -> Result<Replay, String> {
        let version = item["protocol"]["version"].as_str().unwrap_or_default();
        let is_http1 = item["protocol"]["name"] == "http" && version.starts_with('1');
        if !is_http1 || !item["request"]["method"].is_string() {
            return Err("only requests of HTTP/1 can be sent again".to_owned());
        }
        if item["tls"] == true {
            return Err(
                "this request went over TLS and is not sent again; copy it as curl".to_owned(),
            );
        }
        let request = &item["request"];
        let word = |value: &Json, what: &str| {
            let text = value.as_str().unwrap_or_default();
            // Nothing that would end a line early.
            match !text.is_empty() && text.bytes().all(|byte| byte > b' ' && byte != 0x7f) {
                true => Ok(text.to_owned()),
                false => Err(format!("the {what} of this request cannot be sent again")),
            }
        };
        let ip: Option<IpAddr> = item["dst"]["ip"].as_str().and_then(|ip| ip.parse().ok());
        let port = match &item["dst"]["port"] {
            Json::String(text) => text.parse().ok(),
            other => other.as_u64().and_then(|port| u16::try_from(port).ok()),
        };
        let (Some(ip), Some(port)) = (ip, port) else {
            return Err("where this request went to is not known".to_owned());
        };
        let target = match request["url"].as_str() {
            Some(url) if url.starts_with('/') => word(&request["url"], "target")?,
            _ => word(&request["path"], "target")?,
        };
        let mut head = format!(
            "{} {target} HTTP/1.1\r\n",
            word(&request["method"], "method")?
        );
        let mut has_host = false;
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            let lower = name.to_ascii_lowercase();
            if LEFT_OUT.contains(&lower.as_str()) || lower.starts_with(':') {
                continue;
            }
            has_host |= lower == "host";
            let values: Vec<&Json> = match value {
                Json::Array(list) => list.iter().collect(),
                one => vec![one],
            };
            for value in values {
                let value = value.as_str().unwrap_or_default();
                let good = |text: &str| !text.contains(['\r', '\n', '\0']);
                if !good(name) || !good(value) {
                    return Err(format!("the field {name:?} cannot be sent again"));
                }
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if !has_host {
            head.push_str(&format!("Host: {}\r\n", SocketAddr::new(ip, port)));
        }
        let body = body_of(&request["postData"])?;
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("Connection: close\r\n\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(body);
        Ok(Replay {
            to: SocketAddr::new(ip, port),
            bytes,
            ends: false,
        })
    }

    /// What a confirmation shows.
    ///
    /// ```text
    /// {"to": "ip:port", "text": the bytes as text, "bytes": how many,
    ///  "sha256": of where they go, a line feed and the bytes}
    /// ```
    pub(super) fn shown(&self) -> Json {
        json!({
            "to": self.to.to_string(),
            "text": String::from_utf8_lossy(&self.bytes),
            "bytes": self.bytes.len(),
            "sha256": self.sha256(),
        })
    }

    pub(super) fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(format!("{}\n", self.to));
        digest.update(&self.bytes);
        hex(&digest.finalize().into())
    }

    /// Sends it several times and answers what the first answer was, with a count of all.
    ///
    /// ```text
    /// {..., as [`Replay::send`], "sent": how often, "failed": how many were not answered,
    ///  "statuses": {"200": count}}
    /// ```
    ///
    /// # Errors
    /// One sentence, when nobody answers the first one.
    pub(super) fn send_all(&self, pace: Pace) -> Result<Json, String> {
        let mut first = self.send()?;
        let statuses: Mutex<BTreeMap<String, u32>> = Mutex::default();
        let (sent, failed) = (AtomicU32::new(1), AtomicU32::new(0));
        let note = |answer: &Json| {
            let text = answer["text"].as_str().unwrap_or_default();
            let status = text
                .split(' ')
                .nth(1)
                .unwrap_or("?")
                .get(..3)
                .unwrap_or("?");
            let mut statuses = statuses.lock().unwrap_or_else(PoisonError::into_inner);
            *statuses.entry(status.to_owned()).or_default() += 1;
        };
        note(&first);
        let count = pace.count.clamp(1, MAX_COUNT);
        let delay = pace.delay.min(MAX_DELAY);
        let until = Instant::now() + MAX_TIME;
        let senders = if pace.concurrent { AT_ONCE } else { 1 };
        std::thread::scope(|scope| {
            for _ in 0..senders.min(count - 1) {
                scope.spawn(|| {
                    while Instant::now() < until && sent.fetch_add(1, Ordering::Relaxed) < count {
                        std::thread::sleep(delay);
                        match self.send() {
                            Ok(answer) => note(&answer),
                            Err(_) => {
                                failed.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        let statuses = statuses
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let answered: u32 = statuses.values().sum();
        let failed = failed.into_inner();
        first["sent"] = (answered + failed).into();
        first["failed"] = failed.into();
        first["statuses"] = json!(statuses);
        Ok(first)
    }

    /// Sends it.
    ///
    /// ```text
    /// {"answer": base64, "text": as text, "took": ms, "cut": whether there was more}
    /// ```
    ///
    /// # Errors
    /// One sentence, when nobody answers.
    pub(super) fn send(&self) -> Result<Json, String> {
        let failed = |error: std::io::Error| format!("{} does not answer: {error}", self.to);
        let began = Instant::now();
        let mut stream = TcpStream::connect_timeout(&self.to, PATIENCE).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.write_all(&self.bytes).map_err(failed)?;
        if self.ends {
            stream.shutdown(Shutdown::Write).map_err(failed)?;
        }
        let mut answer = Vec::new();
        let mut buffer = [0; 16 * 1024];
        let mut cut = false;
        loop {
            let left = PATIENCE.saturating_sub(began.elapsed());
            if left.is_zero() {
                cut = true;
                break;
            }
            stream.set_read_timeout(Some(left)).map_err(failed)?;
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => answer.extend(buffer.iter().take(read)),
                // What came is shown, whatever became of the rest.
                Err(_) if !answer.is_empty() => {
                    cut = true;
                    break;
                }
                Err(error) => return Err(failed(error)),
            }
            if answer.len() as u64 >= MAX_ANSWER {
                cut = true;
                break;
            }
        }
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(json!({
            "answer": STANDARD.encode(&answer), "text": String::from_utf8_lossy(&answer),
            "took": took, "cut": cut,
        }))
    }
}

fn body_of(body: &Json) -> Result<Vec<u8>, String> {
    let Some(text) = body["text"].as_str() else {
        return Ok(Vec::new());
    };
    if body["truncated"].as_bool().unwrap_or_default() {
        return Err("the body was cut when it was recorded, so it cannot be sent again".to_owned());
    }
    match body["encoding"].as_str() {
        Some("base64") => STANDARD
            .decode(text)
            .map_err(|_| "the body cannot be read".to_owned()),
        _ => Ok(text.as_bytes().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn item(port: u16) -> Json {
        json!({
            "protocol": {"name": "http", "version": "1.1"}, "tls": false, "dst": {"ip": "127.0.0.1", "port": port.to_string()},
            "request": {
                "method": "POST", "url": "/orders?x=1", "path": "/orders",
                "headers": {"Host": "shop", "X-A": ["1", "2"], "Content-Length": "99", "Connection": "keep-alive"},
                "postData": {"text": STANDARD.encode("hello"), "encoding": "base64"},
            },
        })
    }

    #[test]
    fn what_is_shown_is_what_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let replay = Replay::of(&item(listener.local_addr().unwrap().port())).unwrap();
        let wanted = "POST /orders?x=1 HTTP/1.1\r\nHost: shop\r\nX-A: 1\r\nX-A: 2\r\n\
                      Content-Length: 5\r\nConnection: close\r\n\r\nhello";
        assert_eq!(replay.shown()["text"], wanted);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; wanted.len()];
            stream.read_exact(&mut asked).unwrap();
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .unwrap();
            asked
        });
        let answer = replay.send().unwrap();
        assert_eq!(server.join().unwrap(), wanted.as_bytes());
        assert_eq!(answer["text"], "HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(answer["cut"], false);
    }

    #[test]
    fn what_cannot_be_sent_is_said() {
        let good = item(80);
        let with = |path: &str, value: Json| {
            let mut item = good.clone();
            *item.pointer_mut(path).unwrap() = value;
            Replay::of(&item).unwrap_err()
        };
        assert!(with("/protocol/name", json!("dns")).contains("HTTP/1"));
        assert!(with("/protocol/version", json!("2.0")).contains("HTTP/1"));
        assert!(with("/request/method", json!("GET /x")).contains("method"));
        assert!(with("/request/headers/X-A", json!("1\r\nX: 2")).contains("X-A"));
        assert!(with("/dst/ip", json!("shop")).contains("not known"));
        let mut tls = good.clone();
        tls["tls"] = json!(true);
        assert!(Replay::of(&tls).unwrap_err().contains("TLS"));
        let mut cut = good.clone();
        cut["request"]["postData"]["truncated"] = json!(true);
        assert!(Replay::of(&cut).unwrap_err().contains("cut"));
    }
}
