//! `tapedeck scripts`: the scripts of a running instance and their jobs; `new` starts one, `check`
//! finds mistakes.

pub mod check;
mod new;

use clap::{Args, Subcommand};

use super::config::Config;
use super::exit::{Exit, Failure};
use super::{instance, style::Style};

/// Show the scripts of a running tapedeck, start new ones, check them
///
/// Without a subcommand: what runs, what is broken and why; jobs can be run by hand. The instance
/// follows its script folders by itself.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  tapedeck scripts
  tapedeck scripts --jobs
  tapedeck scripts --run dfir
  tapedeck scripts new slow_orders --dir scripts/
  tapedeck scripts check scripts/"
)]
pub struct ScriptsArgs {
    #[command(subcommand)]
    what: Option<What>,

    /// Show the jobs too
    #[arg(long)]
    jobs: bool,

    /// Run every job with this tag now
    #[arg(long, value_name = "TAG")]
    run: Option<String>,

    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    New(new::NewArgs),
    Check(check::CheckArgs),
}

/// Runs the command.
pub fn run(args: &ScriptsArgs, config: &Config) -> Result<Exit, Failure> {
    match &args.what {
        Some(What::New(args)) => return new::run(args),
        Some(What::Check(args)) => return check::run(args, config),
        None => {}
    }
    let found = instance::find(&super::data_dir(config)?)?;
    if let Some(tag) = &args.run {
        found.post(&format!("/api/jobs/run?tag={}", super::percent(tag)))?;
        eprintln!("Triggered the job: {tag}");
        return Ok(Exit::Done);
    }
    let scripts = found.get("/api/scripts")?;
    let jobs = if args.jobs {
        Some(found.get("/api/jobs")?)
    } else {
        None
    };
    if args.json {
        super::print(format_args!(
            "{}",
            serde_json::json!({"scripts": scripts, "jobs": jobs})
        ));
        return Ok(Exit::Done);
    }
    let style = Style::stdout();
    let list = scripts.as_array().cloned().unwrap_or_default();
    if list.is_empty() {
        eprintln!("No scripts are loaded; set scripting.source to a folder of .js files");
    }
    for script in &list {
        let state = script["state"].as_str().unwrap_or("?");
        let title = script["title"].as_str().unwrap_or_default();
        let title = match script["role"].as_str() {
            Some("hub") => format!("{title} (hub)"),
            _ => title.to_owned(),
        };
        let painted = if state == "running" {
            style.green(state)
        } else {
            style.red(state)
        };
        let left_out = match script["kfl"].as_str() {
            Some(_) => format!(", {} left out by its KFL", script["filtered"]),
            None => String::new(),
        };
        super::print(format_args!(
            "{:>3} {painted:<12} {title:<32} {} items, {} dropped{left_out}  {}",
            script["index"],
            script["told"],
            script["dropped"],
            style.dim(
                script["reason"]
                    .as_str()
                    .or(script["path"].as_str())
                    .unwrap_or_default()
            ),
        ));
    }
    for job in jobs
        .as_ref()
        .and_then(|jobs| jobs.as_array())
        .into_iter()
        .flatten()
    {
        super::print(format_args!(
            "job {:<32} {:<20} runs {} next {}",
            job["tag"].as_str().unwrap_or_default(),
            job["cron"].as_str().unwrap_or_default(),
            job["runs"],
            job["next"].as_str().unwrap_or("-"),
        ));
    }
    Ok(Exit::Done)
}
