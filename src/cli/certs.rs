//! `tapedeck certs`: a CA of one's own, and the certificates of hub and workers.

use std::path::PathBuf;

use clap::Args;

use super::exit::{Exit, Failure};
use crate::hub::certs;
use crate::time::{Clock, SystemClock};

/// Make the certificates with which workers and hub know each other
///
/// Writes ca.crt and ca.key into the folder, and below hub/ and worker/ the three files that each
/// mounts: ca.crt, tls.crt and tls.key. A CA that is there signs again, so the same command renews
/// the certificates; running workers and hubs take new files without a restart. Keep ca.key away from
/// both.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck certs --out certs/
  tapedeck certs --out certs/ --days 90
  kubectl create secret generic tapedeck-hub-tls --from-file=certs/hub/
  kubectl create secret generic tapedeck-worker-tls --from-file=certs/worker/")]
pub struct CertsArgs {
    /// Folder to write to
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Days for which the certificates are valid; the CA is for ten times as long
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

/// Runs the command.
pub fn run(args: &CertsArgs) -> Result<Exit, Failure> {
    let made = certs::make(&args.out, SystemClock.now(), args.days).map_err(Failure::failed)?;
    let ca = match made.new_ca {
        true => "a new CA",
        false => "the CA that was there",
    };
    eprintln!(
        "Made certificates for {} days, signed by {ca}: mount {} in the hub and {} in workers",
        args.days,
        made.hub.display(),
        made.worker.display()
    );
    Ok(Exit::Done)
}
