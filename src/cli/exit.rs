//! Exit codes, and which error of which room ends a command with which of them.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::capture::CaptureError;
use crate::investigate::OpenError;
use crate::release::{NotFound, Refusal};
use crate::store::StoreError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Normal end, or Ctrl+C.
    Done,
    /// It failed while running.
    Failed,
    /// The command line or the configuration is wrong, or a right is missing: it fails again until
    /// somebody changes something.
    Usage,
    /// It finished with gaps: objects unreadable, packets dropped.
    Gaps,
}

/// The exit codes, for the help text.
pub const HELP: &str = "\
Exit codes:
  0  normal end, or Ctrl+C
  1  failed while running
  2  wrong usage or configuration, or a right is missing
  3  finished with gaps: objects unreadable, packets dropped, ended before it was done";

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Gaps => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// An error of another room, which knows what a command ends with that fails for it.
pub trait Cause: Display {
    /// The exit code.
    fn exit(&self) -> Exit;
}

impl Cause for io::Error {
    fn exit(&self) -> Exit {
        match self.kind() {
            io::ErrorKind::PermissionDenied => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

impl Cause for StoreError {
    fn exit(&self) -> Exit {
        match self {
            StoreError::Credentials(_) | StoreError::Denied(_) | StoreError::Refused(_) => {
                Exit::Usage
            }
            StoreError::Exists(_)
            | StoreError::Missing(_)
            | StoreError::Unavailable(_)
            | StoreError::Io(_) => Exit::Failed,
        }
    }
}

impl Cause for CaptureError {
    fn exit(&self) -> Exit {
        match self {
            CaptureError::Io { error, .. } => error.exit(),
            CaptureError::Denied { .. }
            | CaptureError::NoRight { .. }
            | CaptureError::NoInterface { .. }
            | CaptureError::Filter { .. } => Exit::Usage,
            CaptureError::Missing { .. }
            | CaptureError::Format { .. }
            | CaptureError::Live { .. }
            | CaptureError::NoCaptures { .. } => Exit::Failed,
        }
    }
}

impl Cause for OpenError {
    fn exit(&self) -> Exit {
        match self {
            OpenError::Store(error) => error.exit(),
            OpenError::Capture(error) => error.exit(),
            OpenError::Scheme(_) | OpenError::Unnamed | OpenError::Once => Exit::Usage,
            OpenError::Nothing { .. } => Exit::Failed,
        }
    }
}

impl Cause for Refusal {
    fn exit(&self) -> Exit {
        match self {
            Refusal::Denied(_) | Refusal::Unknown(_) => Exit::Usage,
            Refusal::Missing(_) | Refusal::Failed(..) | Refusal::Away { .. } => Exit::Failed,
        }
    }
}

impl Cause for NotFound {
    fn exit(&self) -> Exit {
        match self {
            NotFound::Several(_) | NotFound::NotNamed { .. } => Exit::Usage,
            NotFound::Refused(refusal) => refusal.exit(),
            NotFound::None(_)
            | NotFound::OfOtherNames { .. }
            | NotFound::Foreign(..)
            | NotFound::NotRunning(..) => Exit::Failed,
        }
    }
}

/// What another tapedeck answered instead of success.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// What it said.
    pub sentence: String,
}

impl Cause for Answer {
    fn exit(&self) -> Exit {
        match self.status {
            // What was asked is wrong, or whoever asks may not.
            400 | 401 | 403 | 409 | 422 => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

/// A failure that knows its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One sentence: what is wrong and what to do.
    pub message: String,
}

impl Failure {
    /// Wrong usage or configuration.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure {
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    /// Something that went wrong while running.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure {
            exit: Exit::Failed,
            message: message.into(),
        }
    }

    /// What `cause` led to, in words of its own.
    pub fn of(cause: &impl Cause, message: impl Into<String>) -> Failure {
        Failure {
            exit: cause.exit(),
            message: message.into(),
        }
    }
}

impl<C: Cause> From<C> for Failure {
    fn from(cause: C) -> Failure {
        Failure::of(&cause, cause.to_string())
    }
}

/// Words for an error of the system about a file that somebody named.
pub fn system(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        _ => error.to_string(),
    }
}

/// The failure for a file that cannot be written.
pub fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let sentence = format!("{} cannot be written: {}", path.display(), system(error));
    Failure::of(error, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_must_change_is_told_from_what_may_pass() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let code = |cause: &dyn Cause| cause.exit().code();
        assert_eq!(code(&denied()), 2);
        assert_eq!(code(&io::Error::from(io::ErrorKind::StorageFull)), 1);
        let path = || "a.pcap".to_owned();
        let unreadable = CaptureError::Io {
            path: path(),
            error: denied(),
        };
        assert_eq!(code(&OpenError::Capture(unreadable)), 2);
        let missing = CaptureError::Missing { path: path() };
        assert_eq!(code(&OpenError::Capture(missing)), 1);
        assert_eq!(code(&OpenError::Scheme("ftp://".into())), 2);
        let away = StoreError::Unavailable("away".into());
        assert_eq!(code(&OpenError::Store(away)), 1);
        let refused = NotFound::Refused(Refusal::Denied("no".into()));
        assert_eq!(code(&refused), 2);
        for (status, wanted) in [(400, 2), (403, 2), (404, 1), (500, 1)] {
            let sentence = String::new();
            assert_eq!(code(&Answer { status, sentence }), wanted, "{status}");
        }
        let failure = Failure::from(StoreError::Denied("may not".into()));
        assert_eq!((failure.exit, &*failure.message), (Exit::Usage, "may not"));
    }
}
