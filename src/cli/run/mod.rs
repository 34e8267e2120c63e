//! `tapedeck run`: scripts over a recorded source, to its end; again on every save with `--watch`.

mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::Value as Json;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::secrets::SecretsArgs;
use super::source::{self, S3Args};
use super::tap::Asked;
use super::tap::live::{script_env, script_sources};
use super::tap::session::{Dry, Session, Setup};
use crate::capture::own::OwnSockets;
use crate::pipeline::Stop;
use crate::pipeline::host::SentLog;
use crate::script::environment::Environment;
use crate::script::folder::scripts_of;

/// Run scripts over a recorded source to its end
///
/// The same host as while tapping, for trying and testing scripts: jobs, timers and Date follow the
/// time of the packets, and no item is left out. The exit code is 1 when a script could not run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck run alert.js --pcap capture.pcapng
  tapedeck run alert.js --pcap capture.pcapng --watch --dry-run
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

    /// Run again from the start whenever a script is saved, until Ctrl+C
    #[arg(long)]
    watch: bool,

    /// Print what would be sent (uploads, webhooks) instead of sending it
    ///
    /// Files are written to a temporary folder, and recordings are sealed into it.
    #[arg(long, conflicts_with = "data")]
    dry_run: bool,

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
    if !args.watch {
        check_scripts(&scripts)?;
    }
    let mut env = script_env(config);
    add_env(&mut env, &args.env)?;
    let stop = Stop::default();
    super::stop_on_signal(&stop)?;
    if args.watch {
        return watch::run(args, config, &scripts, &env, &stop);
    }
    let temporary = tempfile::tempdir()?;
    let data = args.data.as_deref().unwrap_or(temporary.path());
    once(args, config, &scripts, &env, data, &stop, &|| false)
}

/// Refuses what holds no script.
fn check_scripts(scripts: &[PathBuf]) -> Result<(), Failure> {
    for path in scripts {
        let found = scripts_of(path)
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        if found.is_empty() {
            return Err(Failure::usage(format!(
                "there is no script in {}; scripts end in .js",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Adds `NAME=VALUE` settings to what scripts see.
pub fn add_env(env: &mut Environment, settings: &[String]) -> Result<(), Failure> {
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else {
            return Err(Failure::usage(format!("--env {setting} has no =")));
        };
        env.all
            .insert(name.to_owned(), Json::String(value.to_owned()));
    }
    Ok(())
}

/// One run; `is_stale` says that it is to end early because another one follows.
fn once(
    args: &RunArgs,
    config: &Config,
    scripts: &[PathBuf],
    env: &Environment,
    data: &Path,
    stop: &Stop,
    is_stale: &dyn Fn() -> bool,
) -> Result<Exit, Failure> {
    let opened = source::open(&args.pcap, &args.s3, config)?;
    let run_stop = Stop::default();
    let setup = Setup {
        source: opened.source,
        names: Some(source::names_of(opened.names)),
        cluster: Asked::default(),
        is_live: false,
        what: args.pcap.join(" "),
        data: data.to_owned(),
        scripts: scripts.to_vec(),
        env: env.clone(),
        own: OwnSockets::default(),
        hub: None,
        dry: args.dry_run.then(|| Dry {
            sent: Arc::new(SentLog::default()),
            quiet: false,
            watcher: None,
        }),
        stop: run_stop.clone(),
    };
    let mut session = Session::start(config, setup)?;
    while session.step() {
        if stop.is_asked() || is_stale() {
            run_stop.stop();
        }
    }
    let facts = session.facts.clone();
    let exit = session.finish(args.run_jobs_at_end && !is_stale())?;
    let failed = facts.failed_scripts();
    for sentence in &failed {
        eprintln!("{}", super::Style::stderr().red(sentence));
    }
    Ok(if failed.is_empty() {
        exit
    } else {
        Exit::Failed
    })
}
