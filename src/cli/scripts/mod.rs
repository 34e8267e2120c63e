//! `tapedeck scripts`: the scripts of a running instance and their jobs; `new` starts one, `check`
//! finds mistakes.

pub mod check;
mod new;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::instance::Instance;
use super::release::{InstanceArgs, Place, push};
use super::style::Style;

/// Show the scripts of a running tapedeck, push them into a cluster, start new ones, check them
///
/// Without a subcommand: of the tapedeck on this machine, what runs, what is broken and why; jobs can be
/// run by hand. Where none runs here, the folder of scripting.source is pushed into the release of the
/// cluster and followed, as with push.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  tapedeck scripts
  tapedeck scripts --jobs
  tapedeck scripts --run dfir
  tapedeck scripts push --set scripting.source=scripts/
  tapedeck scripts list -s tapedeck
  tapedeck scripts new slow_orders --dir scripts/
  tapedeck scripts check scripts/"
)]
pub struct ScriptsArgs {
    #[command(subcommand)]
    what: Option<What>,

    #[command(flatten)]
    shown: Shown,

    #[command(flatten)]
    release: InstanceArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    New(new::NewArgs),
    Check(check::CheckArgs),
    /// Show what runs, on this machine or in the cluster
    #[command(after_help = "\
Examples:
  tapedeck scripts list --jobs
  tapedeck scripts list -s tapedeck --json")]
    List(Shown),
    /// Push the folder of scripting.source into the release, and follow it
    #[command(after_help = "\
Examples:
  tapedeck scripts push --set scripting.source=scripts/
  tapedeck scripts push -s tapedeck --context production")]
    Push,
}

/// What is shown of scripts.
#[derive(Debug, Args)]
struct Shown {
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

/// Runs the command.
pub fn run(args: &ScriptsArgs, config: &Config) -> Result<Exit, Failure> {
    match &args.what {
        Some(What::New(args)) => {
            args.no_instance.check("scripts new")?;
            new::run(args)
        }
        Some(What::Check(args)) => {
            args.no_instance.check("scripts check")?;
            check::run(args, config)
        }
        Some(What::Push) => {
            let place = Place::find(&args.release, config)?;
            push::run(&place, &over(&args.release, config))
        }
        Some(What::List(shown)) => {
            let place = Place::find(&args.release, config)?;
            list(shown, &place.instance)
        }
        None => {
            let place = Place::find(&args.release, config)?;
            let only_shows = args.shown.jobs || args.shown.json || args.shown.run.is_some();
            match place.release() {
                Some(_) if !only_shows => push::run(&place, &over(&args.release, config)),
                _ => list(&args.shown, &place.instance),
            }
        }
    }
}

fn over(args: &InstanceArgs, config: &Config) -> Config {
    let mut config = config.clone();
    args.over(&mut config);
    config
}

/// Shows what runs.
fn list(args: &Shown, found: &Instance) -> Result<Exit, Failure> {
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
        let title = match (script["node"].as_str(), script["role"].as_str()) {
            (Some(node), _) => format!("{title} ({node})"),
            (None, Some("hub")) => format!("{title} (hub)"),
            _ => title.to_owned(),
        };
        let painted = match state {
            "running" => style.green(state),
            "off" => style.dim(state),
            _ => style.red(state),
        };
        let left_out = match script["kfl"].as_str() {
            Some(_) => format!(", {} left out by its KFL", script["filtered"]),
            None => String::new(),
        };
        super::print(format_args!(
            "{:>3} {painted:<12} {title:<32} {}{left_out}  {}",
            script["index"],
            taken(script),
            style.dim(
                script["reason"]
                    .as_str()
                    .or(script["path"].as_str())
                    .unwrap_or_default()
            ),
        ));
        for call in script["calls"].as_array().into_iter().flatten() {
            super::print(format_args!(
                "    {:<12} {:<32} {} calls, {} errors, p50 {}, p99 {}",
                "",
                call["name"].as_str().unwrap_or_default(),
                call["calls"],
                call["errors"],
                time(&call["p50Nanos"]),
                time(&call["p99Nanos"]),
            ));
        }
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

/// Items, restarts and memory of a script.
fn taken(script: &Json) -> String {
    let mut text = format!(
        "{} items, {} lost, {} restarts",
        script["told"], script["dropped"], script["restarts"]
    );
    let mib = |value: &Json| value.as_u64().map(|bytes| bytes >> 20);
    if let Some((held, most)) = mib(&script["memory"]).zip(mib(&script["allowed"]["memory"])) {
        text.push_str(&format!(", {held} of {most} MiB"));
    }
    text
}

/// Nanoseconds for people.
fn time(nanos: &Json) -> String {
    match nanos.as_u64() {
        None => "-".to_owned(),
        Some(nanos) if nanos < 1_000_000 => format!("{} us", nanos.div_ceil(1000)),
        Some(nanos) if nanos < 1_000_000_000 => format!("{} ms", nanos.div_ceil(1_000_000)),
        Some(nanos) => format!("{:.1} s", Duration::from_nanos(nanos).as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_short() {
        assert_eq!(time(&Json::Null), "-");
        assert_eq!(time(&json!(34_500)), "35 us");
        assert_eq!(time(&json!(12_000_000)), "12 ms");
        assert_eq!(time(&json!(2_340_000_000_u64)), "2.3 s");
        let script = json!({
            "told": 7, "dropped": 1, "restarts": 2, "memory": 40 << 20,
            "allowed": {"memory": 1 << 30},
        });
        assert_eq!(
            taken(&script),
            "7 items, 1 lost, 2 restarts, 40 of 1024 MiB"
        );
    }
}
