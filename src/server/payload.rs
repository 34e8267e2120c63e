//! What the client of a TCP stream sent, to be sent once more.
//!
//! In: the savefile of a stream. Out: the bytes in order, and where they went or shall go. Never: bytes
//! with a hole, more than [`MAX_PAYLOAD`], what was encrypted, an address that only this machine's
//! link knows.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use super::packets::record_of;
use super::replay::Replay;
use crate::flow::{Budget, Event, Limits, Reassembly, Segment, Table};
use crate::packet::headers::{Decoder, Found};
use crate::packet::savefile::{Entry, Records};
use crate::packet::{Decoded, Direction, Endpoint};
use crate::pipeline::host::NetworkPolicy;
use crate::time::Timestamp;

/// Bytes of a client that are sent once more.
const MAX_PAYLOAD: usize = 1 << 20;

/// Bytes of a savefile that is read for that.
const MAX_SAVEFILE: usize = 64 << 20;

/// What is refused for its size.
const TOO_LONG: &str = "this stream is longer than what is sent once more";

/// A savefile in memory, bounded.
#[derive(Debug, Default)]
pub(super) struct Savefile(Vec<u8>);

impl Write for Savefile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_SAVEFILE {
            return Err(io::Error::other(TOO_LONG));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the client sent, to go to `host` and `port`, or where it went.
///
/// # Errors
/// One sentence: why it cannot be sent once more.
pub(super) fn replay(
    savefile: &Savefile,
    host: Option<IpAddr>,
    port: Option<u16>,
) -> Result<Replay, String> {
    let (server, bytes) = sent(&savefile.0)?;
    let (ip, port) = (host.unwrap_or(server.ip), port.unwrap_or(server.port));
    let judged = NetworkPolicy::default().judge(&ip.to_string(), port, &[ip]);
    judged.map_err(|_| {
        format!("{ip} is an address where machines get their credentials; nothing is sent there")
    })?;
    Ok(Replay {
        to: SocketAddr::new(ip, port),
        bytes,
        ends: true,
    })
}

/// The server of a stream, and what its client sent.
fn sent(savefile: &[u8]) -> Result<(Endpoint, Vec<u8>), String> {
    let mut records = Records::new(savefile);
    let (mut decoder, mut found) = (Decoder::new(), Found::default());
    let mut table = Table::new(Limits::default());
    let mut reassembly = Reassembly::new(Budget::new(MAX_SAVEFILE));
    let mut server = None;
    let mut events = Vec::new();
    let mut ordinal = 0;
    while let Some(entry) = records.advance().map_err(|error| error.to_string())? {
        let Entry::Packet { head, bytes, .. } = entry else {
            continue;
        };
        let record = record_of(&head);
        let Decoded::Flow(layers) = decoder.decode(ordinal, &record, bytes, &mut found) else {
            continue;
        };
        let Some(tcp) = layers.tcp else {
            return Err("only TCP streams can be sent once more".to_owned());
        };
        let direction = table.assign(ordinal, head.ts, &layers).direction;
        server.get_or_insert(match direction {
            Direction::ToServer => layers.tuple.dst,
            Direction::ToClient => layers.tuple.src,
        });
        let start = layers.payload_start as usize;
        let payload = bytes.get(start..start + layers.payload_len as usize);
        let segment = Segment {
            direction,
            tcp,
            payload: bytes::Bytes::copy_from_slice(payload.unwrap_or_default()),
            wire_len: layers.payload_wire_len,
            ts: head.ts,
            ordinal,
        };
        reassembly.push(segment, &mut events);
        ordinal += 1;
    }
    reassembly.finish(Timestamp::default(), ordinal, &mut events);
    let mut client = Vec::new();
    for event in events {
        match event {
            Event::Chunk(chunk) if chunk.direction == Direction::ToServer => {
                client.extend_from_slice(&chunk.bytes);
            }
            Event::Gap(gap) if gap.direction == Direction::ToServer => {
                return Err(format!(
                    "{} bytes of the client were not captured, so the stream cannot be sent once more",
                    gap.len
                ));
            }
            _ => {}
        }
        if client.len() > MAX_PAYLOAD {
            return Err(TOO_LONG.to_owned());
        }
    }
    // A TLS record of a handshake (RFC 8446 section 5.1).
    if client.starts_with(&[22, 3]) {
        return Err("this stream is encrypted; sent once more, nobody could read it".to_owned());
    }
    match server {
        Some(server) if !client.is_empty() => Ok((server, client)),
        _ => Err("the client of this stream sent nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;
    use crate::synth::{self, Frame};

    fn of(frames: &[Frame]) -> Savefile {
        Savefile(synth::savefile(frames))
    }

    fn stream() -> synth::Tcp {
        synth::tcp(([10, 0, 0, 1], 40000), ([10, 0, 0, 2], 80))
    }

    #[test]
    fn what_the_client_sent_is_sent_to_where_it_went() {
        let frames = stream()
            .to_server("PING\r\n")
            .to_client("+PONG\r\n")
            .to_server("GET a\r\n")
            .fin();
        let made = replay(&of(&frames), None, None).unwrap();
        assert_eq!(made.to.to_string(), "10.0.0.2:80");
        assert_eq!(made.bytes, b"PING\r\nGET a\r\n");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let made = replay(&of(&frames), Some(here.ip()), Some(here.port())).unwrap();
        assert_ne!(
            made.sha256(),
            replay(&of(&frames), None, None).unwrap().sha256()
        );
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            // Ends, since the sender is done.
            stream.read_to_end(&mut asked).unwrap();
            stream.write_all(b"+PONG\r\n$-1\r\n").unwrap();
            asked
        });
        let answer = made.send().unwrap();
        assert_eq!(server.join().unwrap(), b"PING\r\nGET a\r\n");
        assert_eq!(answer["text"], "+PONG\r\n$-1\r\n");
    }

    #[test]
    fn what_cannot_be_sent_once_more_is_said() {
        let why = |frames: &[Frame], host: Option<&str>| {
            let host = host.map(|host| host.parse().unwrap());
            replay(&of(frames), host, None).unwrap_err()
        };
        let plain = stream().to_server("PING\r\n").fin();
        assert!(why(&stream().fin(), None).contains("sent nothing"));
        assert!(
            why(&stream().to_server("a").gap(40).to_server("b").fin(), None).contains("40 bytes")
        );
        assert!(why(&stream().to_server("\u{16}\u{3}\u{1}").fin(), None).contains("encrypted"));
        assert!(why(&plain, Some("169.254.169.254")).contains("credentials"));
        assert!(why(&plain, Some("fe80::1")).contains("credentials"));
        let long = stream().to_server("x".repeat(MAX_PAYLOAD + 1)).fin();
        assert!(why(&long, None).contains("longer"));
    }

    #[test]
    fn a_savefile_is_taken_up_to_its_bound() {
        let mut file = Savefile::default();
        file.write_all(&vec![0; MAX_SAVEFILE]).unwrap();
        assert!(file.write_all(&[0]).is_err());
    }
}
