//! A small site on loopback for recording tests: nginx, a DNS responder, and clients for both.
//!
//! Every request carries a number of its own in its path or name, `rq000042z`, so that a recording
//! can be counted.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::seaweed::free_ports;

/// Requests on one connection.
pub const ON_A_CONNECTION: u32 = 50;

/// Requests under way at a time.
const CLIENTS: u32 = 4;

/// Every connection whose number is a multiple of this one has a request answered with 500.
pub const FAILS: u32 = 20;

/// The failing request on such a connection; those before it are found only by looking back.
const FAILS_AT: u32 = 30;

/// A wait for an answer; a busy machine is slow, but not that slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// Running servers; they end when it is dropped.
pub struct Site {
    /// Port of nginx.
    pub http: u16,
    dns: u16,
    nginx: Child,
    ended: Arc<AtomicBool>,
    responder: Option<JoinHandle<()>>,
}

impl Site {
    /// Starts the servers with their files in `folder`; `None` with a printed line without nginx.
    pub fn start(folder: &Path) -> Option<Site> {
        let http = free_ports(1)[0];
        let config = format!(
            "daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; keepalive_requests 100000; default_type text/plain;\n\
             client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fcgi;\n\
             uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n\
             server {{ listen 127.0.0.1:{http};\n\
             location /ok {{ return 200 \"ok\\n\"; }}\n\
             location /err {{ return 500 \"ok\\n\"; }} }} }}\n",
            folder.display()
        );
        let path = folder.join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        // Even if the test is killed, no server stays behind.
        let nginx = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nginx", "-c"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut nginx) = nginx else {
            println!("skipped: setpriv is not installed");
            return None;
        };
        let begun = std::time::Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, http)).is_err() {
            if nginx.try_wait().unwrap().is_some() {
                println!("skipped: nginx is not installed; run tools/test-deps.sh");
                return None;
            }
            assert!(begun.elapsed() < PATIENCE, "nginx does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let dns = socket.local_addr().unwrap().port();
        let ended = Arc::new(AtomicBool::new(false));
        let responder = thread::spawn({
            let ended = ended.clone();
            move || respond(&socket, &ended)
        });
        Some(Site {
            http,
            dns,
            nginx,
            ended,
            responder: Some(responder),
        })
    }

    /// The capture filter for the traffic of this site alone.
    pub fn bpf(&self) -> String {
        format!("port {} or port {}", self.http, self.dns)
    }

    /// Makes one HTTP request for each number, `ON_A_CONNECTION` to a connection; some fail.
    pub fn http_load(&self, numbers: Range<u32>) {
        let port = self.http;
        let connections: Vec<u32> = numbers.clone().step_by(ON_A_CONNECTION as usize).collect();
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let mine = connections
                    .iter()
                    .skip(client as usize)
                    .step_by(CLIENTS as usize);
                let numbers = numbers.clone();
                scope.spawn(move || {
                    for &first in mine {
                        converse(port, first..numbers.end.min(first + ON_A_CONNECTION));
                    }
                });
            }
        });
    }

    /// Asks one DNS question for each number, 100 from a port.
    pub fn dns_load(&self, numbers: Range<u32>) {
        let mut socket = None;
        for number in numbers {
            if number % 100 == 0 || socket.is_none() {
                let fresh = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                fresh.connect((Ipv4Addr::LOCALHOST, self.dns)).unwrap();
                fresh.set_read_timeout(Some(PATIENCE)).unwrap();
                socket = Some(fresh);
            }
            let socket = socket.as_ref().expect("made above");
            socket.send(&question(number)).unwrap();
            let mut answer = [0u8; 512];
            socket.recv(&mut answer).unwrap();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
        self.ended.store(true, Ordering::SeqCst);
        if let Some(responder) = self.responder.take() {
            let _ = responder.join();
        }
    }
}

/// The mark of a request.
fn mark(number: u32) -> String {
    format!("rq{number:06}z")
}

/// The number in the first mark of `text`.
pub fn number_in(text: &str) -> Option<u32> {
    text.match_indices("rq").find_map(|(at, _)| {
        let (digits, rest) = text.get(at + 2..)?.split_at_checked(6)?;
        rest.starts_with('z').then(|| digits.parse().ok())?
    })
}

/// Whether the HTTP request of this number was answered with 500.
pub fn fails(number: u32) -> bool {
    has_failure(number) && number % ON_A_CONNECTION == FAILS_AT
}

/// Whether a request on the same connection was answered with 500.
pub fn has_failure(number: u32) -> bool {
    (number / ON_A_CONNECTION).is_multiple_of(FAILS)
}

fn converse(port: u16, numbers: Range<u32>) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in numbers {
        let place = if fails(number) { "err" } else { "ok" };
        let path = format!("/{place}/{}", mark(number));
        let request = format!("GET {path} HTTP/1.1\r\nHost: site.test\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok\n") {
            let mut piece = [0u8; 1024];
            let count = stream.read(&mut piece).unwrap();
            assert_ne!(count, 0, "nginx closed the connection at {path}");
            answer.extend_from_slice(&piece[..count]);
        }
    }
}

fn question(number: u32) -> Vec<u8> {
    let mut message = u16::try_from(number & 0xffff)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    // Recursion desired, one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in [mark(number).as_str(), "site", "test"] {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    // The root, type A, class IN.
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// Answers every question with one address.
fn respond(socket: &UdpSocket, ended: &AtomicBool) {
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut message = [0u8; 512];
    while !ended.load(Ordering::SeqCst) {
        let Ok((length, from)) = socket.recv_from(&mut message) else {
            continue;
        };
        let mut answer = message[..length].to_vec();
        // A response, recursion available, no error; one answer.
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        answer[7] = 1;
        // The name of the question, type A, class IN, 60 seconds, four octets.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        socket.send_to(&answer, from).unwrap();
    }
}
