//! Real traffic on the loopback interface, and a capture of it.
//!
//! In: nothing. Out: conversations of HTTP between two threads, one after the other, counted as they
//! end. Never: another packet on the captured port.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tapedeck::capture::live::{self, LiveOptions};
use tapedeck::capture::{CaptureError, Source};

use super::traffic::{REQUESTS, Sent};

/// Time between two conversations.
const PAUSE: Duration = Duration::from_millis(5);

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The two that talk.
pub struct Talk {
    stop: Arc<AtomicBool>,
    client: Option<JoinHandle<()>>,
    server: Option<JoinHandle<()>>,
}

impl Talk {
    /// Opens a capture and begins to talk; `None` with a message without the right to capture.
    pub fn start(sent: &Arc<Sent>) -> Option<(Talk, Box<dyn Source>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = LiveOptions {
            interface: "lo".to_owned(),
            bpf: format!("tcp port {port}"),
            // The two are threads of this program.
            capture_self: true,
            ..LiveOptions::default()
        };
        let source = match live::open(&options) {
            Ok(source) => source,
            Err(CaptureError::NoRight { .. }) => {
                println!("skipped: capturing needs CAP_NET_RAW");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let (sent, ended) = (Arc::clone(sent), Arc::clone(&stop));
        let client = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                converse(port, &sent);
                thread::sleep(PAUSE);
            }
        });
        let ended = Arc::clone(&stop);
        let server = thread::spawn(move || serve(&listener, &ended));
        let talk = Talk {
            stop,
            client: Some(client),
            server: Some(server),
        };
        Some((talk, source))
    }

    /// Ends after the present conversation.
    pub fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in [self.client.take(), self.server.take()] {
            thread.into_iter().for_each(|thread| thread.join().unwrap());
        }
    }
}

fn converse(port: u16, sent: &Sent) {
    let stream = sent.streams.load(Ordering::Relaxed);
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut sum = 0;
    for number in stream * REQUESTS..(stream + 1) * REQUESTS {
        sum += number;
        let request = format!("GET /q{number} HTTP/1.1\r\nHost: shop\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; ANSWER.len()];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ANSWER);
    }
    sent.streams.fetch_add(1, Ordering::Relaxed);
    sent.sum.fetch_add(sum, Ordering::Relaxed);
    sent.items.fetch_add(REQUESTS, Ordering::Relaxed);
}

/// Answers one client after the other until all is to end.
fn serve(listener: &TcpListener, ended: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    loop {
        let mut socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        socket.set_nonblocking(false).unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while socket.read(&mut byte).unwrap() > 0 {
            request.push(byte[0]);
            if request.ends_with(b"\r\n\r\n") {
                request.clear();
                socket.write_all(ANSWER).unwrap();
            }
        }
    }
}
