//! Packet sockets that share an interface's packets, each flow's with one of them (`PACKET_FANOUT`).
//!
//! In: packet sockets that are bound alike. Out: a group of them. Never: anything but that one option,
//! which no crate offers in safe form; the two calls below hand the kernel a number of four bytes and
//! its size, and own nothing.
//! Interface: packet(7), <https://docs.kernel.org/networking/packet_mmap.html>.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{PACKET_FANOUT, PACKET_FANOUT_FLAG_UNIQUEID, PACKET_FANOUT_HASH, SOL_PACKET};

/// A group of sockets, by the number that the kernel gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group(u16);

impl Group {
    /// Makes a group of one socket.
    ///
    /// # Errors
    /// When the kernel has no groups, or none of its own numbers left.
    pub(super) fn new(first: BorrowedFd<'_>) -> io::Result<Group> {
        // The kernel chooses a number, so that no other program's group is joined.
        set(first, PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID, 0)?;
        Ok(Group((get(first)? & 0xffff) as u16))
    }

    /// Adds a socket. Both directions of a flow come to the same socket of the group.
    ///
    /// # Errors
    /// When the socket is not bound like the others.
    pub(super) fn join(self, socket: BorrowedFd<'_>) -> io::Result<()> {
        set(socket, PACKET_FANOUT_HASH, self.0)
    }
}

fn set(socket: BorrowedFd<'_>, mode: u32, number: u16) -> io::Result<()> {
    let value = mode << 16 | u32::from(number);
    let size = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    #[expect(unsafe_code, reason = "the option has no safe wrapper")]
    // SAFETY: the descriptor is open while it is borrowed; the kernel reads `size` bytes of `value`.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            SOL_PACKET,
            PACKET_FANOUT,
            (&raw const value).cast(),
            size,
        )
    };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn get(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut value = 0_u32;
    let mut size = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    #[expect(unsafe_code, reason = "the option has no safe wrapper")]
    // SAFETY: the descriptor is open while it is borrowed; the kernel writes at most `size` bytes to
    // `value`, any of which make a number.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            SOL_PACKET,
            PACKET_FANOUT,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    match answer {
        0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}
