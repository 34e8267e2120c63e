//! The sending side of both ends.
//!
//! In: messages. Out: frames on the line, with sealed memory where a batch lies there. Never: a frame
//! larger than [`MAX_FRAME`].

use std::io::{self, IoSlice, Write};

use serde::Serialize;

use super::batch::Records;
use super::line::Line;
use super::sealed::Sealed;
use super::{
    BATCH_HEAD, ITEMS, JSON, MAX_FRAME, PACKET, PACKETS, QUERIED, SEALED, ToChild, ToParent,
    WireError,
};

/// Sends a message to a child.
pub fn send_to_child(line: &Line, message: &ToChild) -> Result<(), WireError> {
    match message {
        ToChild::Start(start) => send_json(line, start),
        ToChild::Small(small) => send_json(line, small),
        ToChild::Items(batch) => {
            let mut head = Vec::with_capacity(BATCH_HEAD + 8);
            head.extend(batch.first.to_le_bytes());
            head.extend(batch.last.to_le_bytes());
            head.extend(batch.now.nanos().to_le_bytes());
            match &batch.records {
                Records::Inline(records) => send_frame(line, ITEMS, &[&head, records], None),
                Records::Sealed(sealed, size) if line.carries() => {
                    head.extend((*size as u64).to_le_bytes());
                    send_frame(line, SEALED, &[&head], Some(sealed))
                }
                Records::Sealed(sealed, size) => {
                    let records = sealed.read(*size)?;
                    send_frame(line, ITEMS, &[&head, &records], None)
                }
            }
        }
        ToChild::Packets { last, packets } => {
            let mut body = Vec::with_capacity(8 + packets.len() * PACKET);
            body.extend(last.to_le_bytes());
            for packet in packets {
                body.extend(packet.at.nanos().to_le_bytes());
                body.extend(packet.caplen.to_le_bytes());
                body.extend(packet.len.to_le_bytes());
                body.push(u8::from(packet.fragmented));
            }
            send_frame(line, PACKETS, &[&body], None)
        }
        ToChild::Queried {
            call,
            query,
            record,
        } => {
            let length = u32::try_from(query.len()).map_err(|_| WireError::Size(query.len()))?;
            let mut head = Vec::with_capacity(12 + query.len());
            head.extend(call.to_le_bytes());
            head.extend(length.to_le_bytes());
            head.extend(query.as_bytes());
            send_frame(line, QUERIED, &[&head, record], None)
        }
    }
}

/// Sends a message to the parent.
pub fn send_to_parent(line: &Line, message: &ToParent) -> Result<(), WireError> {
    send_json(line, message)
}

fn send_json<T: Serialize>(line: &Line, message: &T) -> Result<(), WireError> {
    let body = serde_json::to_vec(message).map_err(io::Error::from)?;
    send_frame(line, JSON, &[&body], None)
}

fn send_frame(
    mut line: &Line,
    kind: u8,
    parts: &[&[u8]],
    sealed: Option<&Sealed>,
) -> Result<(), WireError> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    if length > MAX_FRAME {
        return Err(WireError::Size(length));
    }
    let mut head = [0; 5];
    let [a, b, c, d] = u32::try_from(length)
        .map_err(|_| WireError::Size(length))?
        .to_le_bytes();
    head.copy_from_slice(&[a, b, c, d, kind]);
    let Some(sealed) = sealed else {
        let mut all: Vec<IoSlice<'_>> = vec![IoSlice::new(&head)];
        all.extend(parts.iter().map(|part| IoSlice::new(part)));
        return Ok(write_all(line, &mut all)?);
    };
    line.send_with(&head, sealed)?;
    for part in parts {
        line.write_all(part)?;
    }
    Ok(())
}

fn write_all(mut line: &Line, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match line.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
