//! Memory that several children read and none can change.
//!
//! In: bytes. Out: the same bytes. Never: a page that a child can write. On Linux that is a sealed
//! memfd, which goes from process to process; other systems have no such thing, and batches are copied
//! to each child.

#[cfg(target_os = "linux")]
pub(super) use self::linux::Sealed;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::fs::{MemfdFlags, SealFlags};

    /// A sealed memfd (memfd_create(2)).
    #[derive(Debug)]
    pub(in crate::script::wire) struct Sealed(OwnedFd);

    impl Sealed {
        /// Memory that holds `bytes`; `None` when the system gives none.
        pub(in crate::script::wire) fn new(bytes: &[u8]) -> Option<Sealed> {
            seal(bytes).ok().map(Sealed)
        }

        /// Its first `size` bytes.
        pub(in crate::script::wire) fn read(&self, size: usize) -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; size];
            let mut read = 0;
            while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
                match rustix::io::pread(&self.0, rest, read as u64)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => read += count,
                }
            }
            Ok(bytes)
        }
    }

    impl From<OwnedFd> for Sealed {
        fn from(fd: OwnedFd) -> Sealed {
            Sealed(fd)
        }
    }

    impl AsFd for Sealed {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    fn seal(bytes: &[u8]) -> io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create("items", flags)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = rustix::io::write(&fd, rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&fd, seals)?;
        Ok(fd)
    }
}

/// There is none.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) enum Sealed {}

#[cfg(not(target_os = "linux"))]
impl Sealed {
    pub(super) fn new(_: &[u8]) -> Option<Sealed> {
        None
    }

    pub(super) fn read(&self, _: usize) -> std::io::Result<Vec<u8>> {
        match *self {}
    }
}
