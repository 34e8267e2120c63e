//! Running instances: a small file each tells other commands where the dashboard is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::exit::{Answer, Failure};
use crate::private;

/// Wait for an instance's answer at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Wait for the head of a long answer at most.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// Octets of a refusal that are read.
const MAX_REFUSAL: u64 = 64 * 1024;

/// Octets of an answer that are read at most.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// What the file says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    /// Process.
    pub pid: u32,
    /// Address of the dashboard.
    pub address: SocketAddr,
    /// Its token.
    pub token: String,
    /// What it looks at.
    pub source: String,
}

/// The file of this process; removed when dropped.
#[derive(Debug)]
pub struct Registered(PathBuf);

impl Drop for Registered {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("run")
}

/// Writes the file of this process, readable by its user alone.
pub fn register(data: &Path, instance: &Instance) -> std::io::Result<Registered> {
    let folder = folder(data);
    private::make_folder(&folder)?;
    let path = folder.join(format!("{}.json", instance.pid));
    let mut file = private::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    file.write_all(&serde_json::to_vec(instance)?)?;
    Ok(Registered(path))
}

/// The instance that answers, the newest first.
///
/// # Errors
/// When none is running.
pub fn find(data: &Path) -> Result<Instance, Failure> {
    let files = std::fs::read_dir(folder(data))
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut found: Vec<(std::time::SystemTime, Instance)> = files
        .filter_map(|entry| {
            let instance: Instance =
                serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok()?;
            lives(&instance).then_some(())?;
            Some((entry.metadata().ok()?.modified().ok()?, instance))
        })
        .collect();
    found.sort_by_key(|(modified, _)| std::cmp::Reverse(*modified));
    found
        .into_iter()
        .map(|(_, instance)| instance)
        .next()
        .ok_or_else(|| {
            Failure::failed("no running tapedeck was found; start one with: tapedeck tap")
        })
}

/// Whether its process runs.
#[cfg(unix)]
fn lives(instance: &Instance) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let pid = i32::try_from(instance.pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// Whether somebody answers where it did.
#[cfg(not(unix))]
fn lives(instance: &Instance) -> bool {
    const AT_ONCE: Duration = Duration::from_millis(300);
    TcpStream::connect_timeout(&instance.address, AT_ONCE).is_ok()
}

impl Instance {
    /// This process, serving at `server`.
    pub fn of_process(server: &crate::server::Server, source: &str) -> Instance {
        Instance {
            pid: std::process::id(),
            address: server.address,
            token: server.token.text().to_owned(),
            source: source.to_owned(),
        }
    }

    /// Asks the instance for JSON.
    pub fn get(&self, path: &str) -> Result<Json, Failure> {
        self.ask("GET", path, "")
    }

    /// Lets the instance do something.
    pub fn post(&self, path: &str) -> Result<Json, Failure> {
        self.ask("POST", path, "")
    }

    /// Hands the instance JSON.
    pub fn post_json(&self, path: &str, body: &Json) -> Result<Json, Failure> {
        self.ask("POST", path, &body.to_string())
    }

    /// Replaces something by JSON.
    pub fn put_json(&self, path: &str, body: &Json) -> Result<Json, Failure> {
        self.ask("PUT", path, &body.to_string())
    }

    /// Takes something away.
    pub fn delete(&self, path: &str) -> Result<Json, Failure> {
        self.ask("DELETE", path, "")
    }

    /// The address to open, token included.
    pub fn url(&self) -> String {
        format!("http://{}/?token={}", self.address, self.token)
    }

    /// Writes a body of any length to `out`; answers its bytes.
    ///
    /// # Errors
    /// When it is refused, cut off, or `out` takes no more.
    pub fn download(&self, path: &str, out: &mut impl Write) -> Result<u64, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::failed(format!("the tapedeck at {}: {error}", self.address))
        };
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(LONG_PATIENCE))
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let answer = agent
            .get(format!("http://{}{path}", self.address))
            .header("Authorization", format!("Bearer {}", self.token))
            .call();
        let answer = answer.map_err(|error| failed(&error))?;
        let status = answer.status();
        let mut body = answer.into_body().into_reader();
        if status.as_u16() != 200 {
            let mut said = String::new();
            let _ = body.take(MAX_REFUSAL).read_to_string(&mut said);
            let json: Json = serde_json::from_str(&said).unwrap_or_default();
            let sentence = json["error"].as_str().unwrap_or(said.trim());
            let (status, sentence) = (status.as_u16(), sentence.to_owned());
            return Err(Answer { status, sentence }.into());
        }
        std::io::copy(&mut body, out).map_err(|error| failed(&error))
    }

    /// One request over a connection of its own: loopback only, so no client library is needed.
    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Json, Failure> {
        let answer = self.exchange(method, path, body).map_err(|error| {
            Failure::failed(format!(
                "the tapedeck at {} does not answer: {error}",
                self.address
            ))
        })?;
        let (head, said) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let json: Json = serde_json::from_str(said).unwrap_or(Json::Null);
        if head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200") {
            return Ok(json);
        }
        let sentence = json
            .get("error")
            .and_then(Json::as_str)
            .unwrap_or(said.trim());
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Err(Answer {
            status: status.unwrap_or_default(),
            sentence: sentence.to_owned(),
        }
        .into())
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // HTTP/1.0: the answer is not chunked and ends with the connection.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
