//! `tapedeck clean`: removes a release.

use clap::Args;

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::helm::Helm;
use super::{InstanceArgs, reach_cluster};

/// Remove an installed release
///
/// Uninstalls the Helm release tapedeck in the namespace default, or the one that --release-name and -s
/// name, and no other; helm must be installed on this computer. What workers sealed and did not upload yet
/// stays on the disks of the nodes, and what was recorded stays in its store.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck clean
  tapedeck clean -s tapedeck --release-name tapedeck")]
pub struct CleanArgs {
    #[command(flatten)]
    release: InstanceArgs,
}

/// Runs the command.
pub fn run(args: &CleanArgs, config: &Config) -> Result<Exit, Failure> {
    let mut config = config.clone();
    args.release.over(&mut config);
    let reach = reach_cluster(&config)?;
    let release = reach.release_named(&config)?;
    Helm::find(&config)?.uninstall(&release.name, &release.namespace)?;
    eprintln!(
        "Removed the release {} from {}; what waits for upload stays on the nodes, see: docs/install.md",
        release.name, release.namespace
    );
    Ok(Exit::Done)
}
