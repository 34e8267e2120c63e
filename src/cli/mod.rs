//! The command line: one file per subcommand, exit codes, and the effects that only a program has
//! (environment, standard streams, signals).
//!
//! Data goes to stdout, everything else to stderr. Messages to people are one sentence.

pub mod config;
mod exit;
mod style;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::Exit;

/// Records the Kubernetes traffic that matters and keeps it where nobody can change it.
#[derive(Debug, Parser)]
#[command(name = "tapedeck", version, max_term_width = 100, after_help = exit::HELP)]
struct Cli {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Read this configuration file and no other
    #[arg(long, global = true, value_name = "FILE")]
    config_path: Option<std::path::PathBuf>,

    /// Set a configuration value, as --set tap.storageLimit=1Gi; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Set a configuration value to JSON, as --set-json 'scripting.env={"S3_BUCKET":"b"}'
    #[arg(long, global = true, value_name = "KEY=JSON")]
    set_json: Vec<String>,

    /// Warn about unknown --set keys instead of refusing them
    #[arg(long, global = true)]
    set_lenient: bool,

    /// Log everything
    #[arg(short, long, global = true)]
    debug: bool,
}

#[derive(Debug, Subcommand)]
enum Command {}

/// Runs the program with the process's own arguments.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
            .into();
        }
    };
    match cli.command {}
}
