//! Exit codes.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Normal end, or Ctrl+C.
    Done,
    /// It failed while running.
    Failed,
    /// The command line or the configuration is wrong, or a right is missing.
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
  3  finished with gaps: objects unreadable, packets dropped";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Gaps => 3,
        })
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
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::failed(error.to_string())
    }
}
