//! `tapedeck probe`: asks a running worker how it is, over the socket that it was told to answer on.
//!
//! In: the socket. Out: its answer, as an exit code and one sentence. Never: a wait beyond the limit, and
//! a start that reads more than the command line.

#[cfg(unix)]
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::exit::{Exit, Failure};
use super::plain;

/// Most bytes of an answer that are read.
#[cfg(unix)]
const MAX_ANSWER: u64 = 64 << 10;

/// Ask a running worker whether it is alive or ready
///
/// For probes that run a command in the container, as those of the chart: the worker answers on a socket
/// of its own (tapedeck worker --probe-socket FILE), whoever has the port of its metrics. A worker is alive
/// while the loop that follows everything goes round, also when it waits or lacks something; it is ready
/// when it does its work and its port answers. Prints what the worker says; exit code 0 says yes, 1 says
/// no, or that nobody answered in time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck probe alive --socket /tmp/probe.sock
  tapedeck probe ready --socket /tmp/probe.sock --within 2
  kubectl exec tapedeck-worker-x7k2p -- tapedeck probe ready --socket /tmp/probe.sock")]
pub struct ProbeArgs {
    /// What to ask
    #[arg(value_enum)]
    what: What,

    /// Socket of the worker
    #[arg(long, value_name = "FILE")]
    socket: PathBuf,

    /// Seconds in which the answer must be there
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    within: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Whether it goes on, or stands still and is to be started anew
    Alive,
    /// Whether it does its work
    Ready,
}

/// Runs the command.
pub fn run(args: &ProbeArgs) -> Result<Exit, Failure> {
    let limit = Duration::from_secs(args.within);
    let (tell, told) = mpsc::channel();
    let (socket, what) = (args.socket.clone(), args.what);
    // Of a program that stands still even the connection may wait; the thread ends with the process.
    std::thread::spawn(move || tell.send(ask(&socket, what, limit)));
    let answer = match told.recv_timeout(limit) {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", args.within)),
    };
    match answer {
        Ok((true, said)) => {
            super::print(plain(&said));
            Ok(Exit::Done)
        }
        Ok((false, said)) => Err(Failure::failed(plain(&said))),
        Err(why) => Err(Failure::failed(format!(
            "the worker at {} does not answer: {}",
            args.socket.display(),
            plain(&why)
        ))),
    }
}

/// Whether it says yes, and what else it says.
fn ask(socket: &Path, what: What, limit: Duration) -> Result<(bool, String), String> {
    let path = match what {
        What::Alive => "/healthz",
        What::Ready => "/readyz",
    };
    let answer = exchange(socket, path, limit).map_err(|error| error.to_string())?;
    parse(&answer).ok_or_else(|| "what came is no answer of tapedeck".to_owned())
}

#[cfg(unix)]
fn exchange(socket: &Path, path: &str, limit: Duration) -> std::io::Result<Vec<u8>> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(limit))?;
    stream.set_read_timeout(Some(limit))?;
    // HTTP/1.0 (RFC 1945): the answer ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: tapedeck\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// No worker runs where there are no such sockets.
#[cfg(not(unix))]
fn exchange(_: &Path, _: &str, _: Duration) -> std::io::Result<Vec<u8>> {
    let sentence = "workers and their sockets are on Linux alone";
    Err(std::io::Error::new(
        std::io::ErrorKind::Unsupported,
        sentence,
    ))
}

/// Whether the status is 200, and the body.
fn parse(answer: &[u8]) -> Option<(bool, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.split(' ');
    words.next().filter(|word| word.starts_with("HTTP/1."))?;
    let status: u16 = words.next()?.parse().ok()?;
    Some((status == 200, body.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_all_else_is_none() {
        let of = |text: &str| parse(text.as_bytes());
        let ok = "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nalive";
        assert_eq!(of(ok), Some((true, "alive".to_owned())));
        let no = "HTTP/1.1 503 Service Unavailable\r\n\r\nit waits\n";
        assert_eq!(of(no), Some((false, "it waits".to_owned())));
        for wrong in [
            "",
            "HTTP/1.0 200 OK\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.0 \r\n\r\n",
        ] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
