//! The line between a parent and a child.
//!
//! In: bytes, and sealed memory where the system hands it on. Out: the same at the other end. Never:
//! what the bytes mean. On Unix it is a pair of stream sockets, and the child's end its standard input.
//! On Windows, which has no sockets to hand to a process, it is two pipes: the child's standard input
//! and output.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
#[cfg(any(windows, test))]
use std::io::{PipeReader, PipeWriter};
#[cfg(unix)]
use std::process::Stdio;
use std::process::{Child, Command};

use super::sealed::Sealed;

/// One end.
#[derive(Debug)]
pub struct Line(End);

#[derive(Debug)]
enum End {
    #[cfg(unix)]
    Socket(std::os::unix::net::UnixStream),
    // Tests speak over pipes on every system.
    #[cfg(any(windows, test))]
    Pipes(PipeReader, PipeWriter),
}

/// Bytes that a vector grows by for one read of a pipe.
#[cfg(any(windows, test))]
const GROW: usize = 64 << 10;

impl Line {
    /// Both ends of a new line.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn pair() -> io::Result<(Line, Line)> {
        #[cfg(unix)]
        {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            Ok((Line(End::Socket(ours)), Line(End::Socket(theirs))))
        }
        #[cfg(windows)]
        Line::pipes()
    }

    /// Both ends of a line of two pipes.
    #[cfg(any(windows, test))]
    pub(crate) fn pipes() -> io::Result<(Line, Line)> {
        let (from_theirs, to_ours) = io::pipe()?;
        let (from_ours, to_theirs) = io::pipe()?;
        Ok((
            Line(End::Pipes(from_theirs, to_theirs)),
            Line(End::Pipes(from_ours, to_ours)),
        ))
    }

    /// The end that a parent gave to this process.
    ///
    /// # Errors
    /// When the process has no standard input.
    pub fn of_process() -> io::Result<Line> {
        #[cfg(unix)]
        {
            use std::os::fd::AsFd;
            let socket = io::stdin().as_fd().try_clone_to_owned()?;
            Ok(Line(End::Socket(socket.into())))
        }
        #[cfg(windows)]
        {
            use std::os::windows::io::AsHandle;
            let input = io::stdin().as_handle().try_clone_to_owned()?;
            let output = io::stdout().as_handle().try_clone_to_owned()?;
            Ok(Line(End::Pipes(input.into(), output.into())))
        }
    }

    /// Starts a process that has this end as [`Line::of_process`]; this process keeps nothing of it, so
    /// that the other end notices when the child is gone.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(self, mut command: Command) -> io::Result<Child> {
        match self.0 {
            #[cfg(unix)]
            End::Socket(socket) => {
                let socket = std::os::fd::OwnedFd::from(socket);
                command.stdin(socket).stdout(Stdio::null());
            }
            #[cfg(any(windows, test))]
            End::Pipes(input, output) => {
                command.stdin(input).stdout(output);
            }
        }
        command.spawn()
    }

    /// The same end once more.
    ///
    /// # Errors
    /// When the system has no room for it.
    pub fn try_clone(&self) -> io::Result<Line> {
        Ok(Line(match &self.0 {
            #[cfg(unix)]
            End::Socket(socket) => End::Socket(socket.try_clone()?),
            #[cfg(any(windows, test))]
            End::Pipes(input, output) => End::Pipes(input.try_clone()?, output.try_clone()?),
        }))
    }

    /// Has reads of this end fail instead of waiting.
    ///
    /// # Errors
    /// When the system cannot.
    #[cfg(unix)]
    pub(in crate::script) fn do_not_wait(&self) -> io::Result<()> {
        match &self.0 {
            End::Socket(socket) => socket.set_nonblocking(true),
            #[cfg(test)]
            End::Pipes(..) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether sealed memory can go over it.
    pub(super) fn carries(&self) -> bool {
        match &self.0 {
            #[cfg(unix)]
            End::Socket(_) => cfg!(target_os = "linux"),
            #[cfg(any(windows, test))]
            End::Pipes(..) => false,
        }
    }

    /// Sends all of `head`, with sealed memory, over a line that [carries](Line::carries) it.
    pub(super) fn send_with(&self, head: &[u8], sealed: &Sealed) -> io::Result<()> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            End::Socket(socket) => {
                let sent = linux::send(socket, head, sealed)?;
                (&mut &*self).write_all(head.get(sent..).unwrap_or_default())
            }
            #[cfg(all(unix, not(target_os = "linux")))]
            End::Socket(_) => {
                let _ = head;
                match *sealed {}
            }
            #[cfg(any(windows, test))]
            End::Pipes(..) => {
                let _ = (head, sealed);
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    /// Reads once; sealed memory that comes along goes to `sealed`.
    pub(super) fn receive(
        &self,
        into: &mut [u8],
        sealed: &mut VecDeque<Sealed>,
    ) -> io::Result<usize> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            End::Socket(socket) => linux::receive(socket, into, sealed),
            #[cfg(not(target_os = "linux"))]
            _ => {
                let _ = sealed;
                read_on(|| (&mut &*self).read(into))
            }
            #[cfg(all(target_os = "linux", test))]
            End::Pipes(..) => read_on(|| (&mut &*self).read(into)),
        }
    }

    /// Reads once, at most `most` bytes, to the end of `into`, which has room for them; nothing else
    /// comes along.
    pub(super) fn append(&self, into: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        match &self.0 {
            #[cfg(unix)]
            End::Socket(socket) => {
                let _ = most;
                read_on(|| {
                    let room = rustix::buffer::spare_capacity(into);
                    let flags = rustix::net::RecvFlags::empty();
                    let (count, _) = rustix::net::recv(socket, room, flags)?;
                    Ok(count)
                })
            }
            #[cfg(any(windows, test))]
            End::Pipes(input, _) => {
                let at = into.len();
                into.resize(at + most.min(GROW), 0);
                let room = into.get_mut(at..).unwrap_or_default();
                let count = read_on(|| (&mut &*input).read(room))?;
                into.truncate(at + count);
                Ok(count)
            }
        }
    }
}

impl Read for &Line {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            #[cfg(unix)]
            End::Socket(socket) => (&mut &*socket).read(into),
            #[cfg(any(windows, test))]
            End::Pipes(input, _) => (&mut &*input).read(into),
        }
    }
}

impl Read for Line {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(into)
    }
}

impl Write for &Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            #[cfg(unix)]
            End::Socket(socket) => (&mut &*socket).write(bytes),
            #[cfg(any(windows, test))]
            End::Pipes(_, output) => (&mut &*output).write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.0 {
            #[cfg(unix)]
            End::Socket(socket) => (&mut &*socket).write_vectored(slices),
            #[cfg(any(windows, test))]
            End::Pipes(_, output) => (&mut &*output).write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads until no signal comes in between.
fn read_on(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    //! Sealed memory over a socket: SCM_RIGHTS (unix(7)).

    use std::collections::VecDeque;
    use std::io::{self, IoSlice, IoSliceMut};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use rustix::net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags,
    };

    use super::super::sealed::Sealed;

    /// File descriptors that one read may bring.
    const FDS: usize = 8;

    /// Sends some of `head`; the descriptor travels with its first byte.
    pub(super) fn send(socket: &UnixStream, head: &[u8], sealed: &Sealed) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [sealed.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        loop {
            let slices = [IoSlice::new(head)];
            match rustix::net::sendmsg(socket, &slices, &mut control, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                result => return result.map_err(io::Error::from),
            }
        }
    }

    pub(super) fn receive(
        socket: &UnixStream,
        into: &mut [u8],
        sealed: &mut VecDeque<Sealed>,
    ) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(into)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match rustix::net::recvmsg(socket, &mut slices, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(message) => {
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(received) = message {
                            sealed.extend(received.map(Sealed::from));
                        }
                    }
                    return Ok(message.bytes);
                }
            }
        }
    }
}
