//! A double of a service on a loopback port: it notes what is asked and answers as a test says.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// Long enough for a loaded machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// One request: line, headers in lower case, body.
#[derive(Clone)]
pub struct Asked {
    pub method: String,
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// Shows what a person would want to see of it.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text().chars().take(2000).collect();
        write!(
            f,
            "{} {} {:?} {text}",
            self.method, self.target, self.headers
        )
    }
}

impl Asked {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A header, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
}

/// An answer: status, further header lines, body.
pub struct Told(pub u16, pub Vec<String>, pub Vec<u8>);

impl Told {
    pub fn ok(body: impl ToString) -> Told {
        Told::status(200, body)
    }

    pub fn status(status: u16, body: impl ToString) -> Told {
        Told(status, Vec::new(), body.to_string().into_bytes())
    }

    pub fn bytes(status: u16, body: Vec<u8>) -> Told {
        Told(status, Vec::new(), body)
    }

    /// No answer: the connection is closed.
    pub fn reset() -> Told {
        Told::status(0, "")
    }

    pub fn header(mut self, line: impl ToString) -> Told {
        self.1.push(line.to_string());
        self
    }
}

/// A service.
pub struct Double {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Double {
    /// Starts a service that answers with `answer`, which gets the number of the request too.
    pub fn start(answer: impl Fn(&Asked, usize) -> Told + Send + Sync + 'static) -> Double {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (noted, answer) = (asked.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (noted, answer) = (noted.clone(), answer.clone());
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while serve(&mut reader, &stream, &noted, answer.as_ref()).is_some() {}
                });
            }
        });
        Double { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until something was asked often enough.
    pub fn wait_for(&self, count: usize) -> Vec<Asked> {
        let until = Instant::now() + PATIENCE;
        loop {
            let asked = self.asked();
            if asked.len() >= count {
                return asked;
            }
            assert!(
                Instant::now() < until,
                "{count} requests did not come: {asked:#?}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn serve(
    reader: &mut BufReader<TcpStream>,
    mut stream: &TcpStream,
    noted: &Mutex<Vec<Asked>>,
    answer: &dyn Fn(&Asked, usize) -> Told,
) -> Option<()> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length");
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let asked = Asked {
        method,
        target,
        headers,
        body,
    };
    let number = {
        let mut noted = noted.lock().unwrap();
        noted.push(asked.clone());
        noted.len() - 1
    };
    let Told(status, more, body) = answer(&asked, number);
    if status == 0 {
        return None;
    }
    let more: String = more.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\n{more}\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    if asked.method == "HEAD" {
        return Some(());
    }
    stream.write_all(&body).ok()
}
