//! Any bytes as field blocks of an HTTP/2 connection: HPACK through the frames that carry it, from the
//! connection's beginning and joined late, with tables that change their size.
//!
//! ```text
//! input  = joined u8 (odd: late), blocks
//! block  = kind u8, length u8, bytes
//! kind   = bit 0 direction, bits 1-2: 0 a block of its own stream, 1 one in two frames,
//!          2 SETTINGS_HEADER_TABLE_SIZE from the first four bytes, 3 save and restore
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use tapedeck::dissect::Protocols;
use tapedeck::packet::Transport;
use tapedeck_fuzz::{Play, named, records, stream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const HEADER_TABLE_SIZE: u16 = 1;

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

fuzz_target!(|input: &[u8]| {
    let [joined, blocks @ ..] = input else { return };
    let protocol = named("http2").expect("HTTP/2 is in the list");
    let late = joined & 1 == 1;
    let info = stream(Transport::Tcp, if late { 3 } else { 0 });
    let mut play = Play::new(info, &Protocols::all(), protocol, protocol.start(&info.into()));
    if !late {
        play.chunk(0, &[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        play.chunk(1, &frame(SETTINGS, 0, 0, &[]));
    }
    // A response is for the request before it.
    let mut number = 1;
    for (kind, bytes) in records(blocks) {
        let side = usize::from(kind & 1);
        let flags = END_STREAM | END_HEADERS;
        let frames = match kind >> 1 & 3 {
            0 => frame(HEADERS, flags, number, bytes),
            1 => {
                let (first, second) = bytes.split_at(bytes.len() / 2);
                let first = frame(HEADERS, END_STREAM, number, first);
                [first, frame(CONTINUATION, END_HEADERS, number, second)].concat()
            }
            2 => {
                let mut size = [0; 4];
                for (to, from) in size.iter_mut().zip(bytes) {
                    *to = *from;
                }
                let setting = [&HEADER_TABLE_SIZE.to_be_bytes()[..], &size].concat();
                frame(SETTINGS, 0, 0, &setting)
            }
            _ => {
                play.hand_on();
                continue;
            }
        };
        if !play.chunk(side, &frames) {
            break;
        }
        if side == 1 && kind >> 1 & 3 < 2 {
            number += 2;
        }
    }
    play.end();
});
