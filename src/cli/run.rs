//! `tapedeck run`: scripts over a recorded source, to its end.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value as Json;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::secrets::SecretsArgs;
use super::source::{self, S3Args};
use super::tap::live::{script_env, script_sources};
use super::tap::session::{Session, Setup};
use crate::capture::own::OwnSockets;
use crate::pipeline::Stop;

/// Run scripts over a recorded source to its end
///
/// The same host as while tapping, for trying and testing scripts: jobs, timers and Date follow the
/// time of the packets, and no item is left out. The exit code is 1 when a script could not run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck run alert.js --pcap capture.pcapng
  tapedeck run scripts/ --pcap s3://my-bucket/ --env WEBHOOK_URL=http://127.0.0.1:9000 --run-jobs-at-end")]
pub struct RunArgs {
    /// Scripts, or folders of them; none takes those of the configuration
    #[arg(value_name = "SCRIPT")]
    scripts: Vec<PathBuf>,

    /// Source to read; may be repeated
    #[arg(short, long, required = true, value_name = "SRC")]
    pcap: Vec<String>,

    /// What scripts see as env.NAME; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Run every job once more when the source has ended
    #[arg(long)]
    run_jobs_at_end: bool,

    /// Keep what scripts write in this folder; a temporary one otherwise
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    #[command(flatten)]
    s3: S3Args,

    #[command(flatten)]
    secrets: SecretsArgs,
}

/// Runs the command.
pub fn run(args: &RunArgs, config: &Config) -> Result<Exit, Failure> {
    let mut config = config.clone();
    args.secrets.over(&mut config)?;
    let config = &config;
    let scripts = if args.scripts.is_empty() {
        script_sources(config)
    } else {
        args.scripts.clone()
    };
    if scripts.is_empty() {
        return Err(Failure::usage(
            "no script is named; name files or folders, or set scripting.source",
        ));
    }
    if let Some(missing) = scripts.iter().find(|path| !path.exists()) {
        return Err(Failure::usage(format!(
            "{} is not there",
            missing.display()
        )));
    }
    let mut env = script_env(config);
    for setting in &args.env {
        let Some((name, value)) = setting.split_once('=') else {
            return Err(Failure::usage(format!("--env {setting} has no =")));
        };
        env.all
            .insert(name.to_owned(), Json::String(value.to_owned()));
    }
    let opened = source::open(&args.pcap, &args.s3, config)?;
    let temporary = tempfile::tempdir()?;
    let data = args
        .data
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    let stop = Stop::default();
    super::stop_on_signal(&stop)?;
    let names = opened.names;
    let setup = Setup {
        source: opened.source,
        names: Some(source::names_of(names)),
        is_live: false,
        what: args.pcap.join(" "),
        data,
        scripts,
        env,
        own: OwnSockets::default(),
        stop: stop.clone(),
    };
    let mut session = Session::start(config, setup)?;
    session.wait(&stop);
    let failed = session.facts.failed_scripts();
    let exit = session.finish(args.run_jobs_at_end)?;
    for sentence in &failed {
        eprintln!("{}", super::Style::stderr().red(sentence));
    }
    Ok(if failed.is_empty() {
        exit
    } else {
        Exit::Failed
    })
}
