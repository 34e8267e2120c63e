//! The sending side of both ends.
//!
//! In: messages. Out: frames on the socket, with a descriptor where a batch lies in a memfd. Never: a
//! frame larger than [`MAX_FRAME`].

use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::Serialize;

use super::batch::Records;
use super::{
    BATCH_HEAD, ITEMS, JSON, MAX_FRAME, PACKET, PACKETS, QUERIED, SEALED, ToChild, ToParent,
    WireError,
};

/// Sends a message to a child.
pub fn send_to_child(socket: &UnixStream, message: &ToChild) -> Result<(), WireError> {
    match message {
        ToChild::Start(start) => send_json(socket, start),
        ToChild::Small(small) => send_json(socket, small),
        ToChild::Items(batch) => {
            let mut head = Vec::with_capacity(BATCH_HEAD + 8);
            head.extend(batch.first.to_le_bytes());
            head.extend(batch.last.to_le_bytes());
            head.extend(batch.now.nanos().to_le_bytes());
            match &batch.records {
                Records::Inline(records) => send_frame(socket, ITEMS, &[&head, records], None),
                Records::Sealed(fd, size) => {
                    head.extend((*size as u64).to_le_bytes());
                    send_frame(socket, SEALED, &[&head], Some(fd.as_fd()))
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
            send_frame(socket, PACKETS, &[&body], None)
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
            send_frame(socket, QUERIED, &[&head, record], None)
        }
    }
}

/// Sends a message to the parent.
pub fn send_to_parent(socket: &UnixStream, message: &ToParent) -> Result<(), WireError> {
    send_json(socket, message)
}

fn send_json<T: Serialize>(socket: &UnixStream, message: &T) -> Result<(), WireError> {
    let body = serde_json::to_vec(message).map_err(io::Error::from)?;
    send_frame(socket, JSON, &[&body], None)
}

fn send_frame(
    mut socket: &UnixStream,
    kind: u8,
    parts: &[&[u8]],
    fd: Option<BorrowedFd<'_>>,
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
    let Some(fd) = fd else {
        let mut all: Vec<IoSlice<'_>> = vec![IoSlice::new(&head)];
        all.extend(parts.iter().map(|part| IoSlice::new(part)));
        return Ok(write_all(socket, &mut all)?);
    };
    // The descriptor travels with the first byte of the frame.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let sent = loop {
        let slices = [IoSlice::new(&head)];
        match rustix::net::sendmsg(socket, &slices, &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result.map_err(io::Error::from)?,
        }
    };
    socket.write_all(head.get(sent..).unwrap_or_default())?;
    for part in parts {
        socket.write_all(part)?;
    }
    Ok(())
}

fn write_all(mut socket: &UnixStream, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match socket.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
