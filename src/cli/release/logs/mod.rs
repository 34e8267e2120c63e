//! `tapedeck logs`: what whoever helps needs to know, in one archive, without secrets.
//!
//! In: logs and events of a release's pods, or what the tapedeck on this machine says of itself; the
//! configuration. Out: a zip. Never: a value of a secret name, a token, a key, a payload.

mod mask;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use regex::Regex;
use serde_json::{Value as Json, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::super::config::Config;
use super::super::config_command;
use super::super::exit::{Exit, Failure, cannot_write};
use super::super::instance::{self, Instance};
use super::super::style::Style;
use super::{InstanceArgs, Reach, reach};
use crate::private;
use crate::release::{Release, collect};
use mask::Masks;

/// Name of the archive when none is given.
const FILE: &str = "tapedeck_logs.zip";

/// What an instance is asked, with the member that its answer becomes.
const ASKED: [(&str, &str); 6] = [
    ("/api/status", "status.json"),
    ("/api/scripts", "scripts.json"),
    ("/api/jobs", "jobs.json"),
    ("/api/recordings", "recordings.json"),
    ("/api/coverage", "coverage.json"),
    ("/api/console", "console.json"),
];

/// Write logs, events, states and the configuration into one archive, without secrets
///
/// Of the release in the cluster and of the tapedeck that runs on this machine, as far as they are
/// there. Values of names like SECRET, TOKEN, KEY and PASSWORD are masked everywhere, and so are tokens
/// in addresses, keys of AWS and private keys. Exit code 3 says that something could not be had; the
/// archive names it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck logs
  tapedeck logs -s tapedeck -f /tmp/support.zip
  tapedeck logs --grep 'error|refused'")]
pub struct LogsArgs {
    /// The archive
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Only lines of logs that match this regular expression
    #[arg(short, long, value_name = "REGEX")]
    grep: Option<String>,

    #[command(flatten)]
    release: InstanceArgs,
}

/// Runs the command.
pub fn run(args: &LogsArgs, config: &Config) -> Result<Exit, Failure> {
    let mut config = config.clone();
    args.release.over(&mut config);
    if let Some(file) = &args.file {
        config.flag("logs.file", "file", json!(file.display().to_string()));
    }
    if let Some(grep) = &args.grep {
        config.flag("logs.grep", "grep", json!(grep));
    }
    let mut archive = Archive::create(&config)?;
    let here = match args.release.is_given() {
        true => None,
        false => instance::find(&super::super::data_dir(&config)?).ok(),
    };
    if let Some(here) = &here {
        archive.add_instance("here", here);
    }
    match reach(&config) {
        Ok(Some(reach)) => match reach.release(&config) {
            Ok(release) => archive.add_release(&reach, &release),
            // Nobody asked for a cluster, and one tapedeck was found.
            Err(why) if here.is_some() => archive.lacks("release", &why.to_string()),
            Err(why) => return Err(why.into()),
        },
        Ok(None) if here.is_none() => {
            return Err(Failure::failed(
                "there is no tapedeck on this machine and no kubeconfig; name a release with --kubeconfig and -s",
            ));
        }
        Ok(None) => {}
        Err(failure) if here.is_some() => archive.lacks("release", &failure.message),
        Err(failure) => return Err(failure),
    }
    archive.finish()
}

/// The archive of a release, at the end of `tap`.
pub fn write_archive(reach: &Reach, release: &Release, config: &Config) -> Result<Exit, Failure> {
    let mut archive = Archive::create(config)?;
    archive.add_release(reach, release);
    archive.finish()
}

/// An archive that is being written.
struct Archive {
    zip: ZipWriter<BufWriter<File>>,
    half: PathBuf,
    path: PathBuf,
    masks: Masks,
    grep: Option<Regex>,
    /// What could not be had.
    lacking: Vec<String>,
    members: usize,
}

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.half);
    }
}

impl Archive {
    /// Begins with the configuration.
    fn create(config: &Config) -> Result<Archive, Failure> {
        let path = PathBuf::from(config.text_if_set("logs.file").unwrap_or(FILE));
        let grep = match config.text_if_set("logs.grep") {
            None => None,
            Some(pattern) => Some(Regex::new(pattern).map_err(|error| {
                Failure::usage(format!(
                    "--grep {pattern} is no regular expression: {error}"
                ))
            })?),
        };
        let half = path.with_extension("zip.half");
        let file = private::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&half)
            .map_err(|error| cannot_write(&path, &error))?;
        let mut archive = Archive {
            zip: ZipWriter::new(BufWriter::new(file)),
            half,
            path,
            masks: Masks::of(config),
            grep,
            lacking: Vec::new(),
            members: 0,
        };
        let mut tree: Json = serde_yaml_ng::from_str(&config.yaml()).unwrap_or_default();
        config_command::mask(&mut tree);
        let text = serde_yaml_ng::to_string(&tree).unwrap_or_default();
        archive.add("config.yaml", &text);
        archive.add(
            "version.txt",
            &format!("tapedeck {}\n", env!("CARGO_PKG_VERSION")),
        );
        Ok(archive)
    }

    /// What a tapedeck says of itself.
    fn add_instance(&mut self, name: &str, instance: &Instance) {
        for (path, member) in ASKED {
            match instance.get(path) {
                Ok(mut answer) => {
                    config_command::mask(&mut answer);
                    let text = serde_json::to_string_pretty(&answer).unwrap_or_default();
                    self.add(&format!("{name}/{member}"), &text);
                }
                Err(failure) => self.lacks(&format!("{name}/{member}"), &failure.message),
            }
        }
    }

    /// Logs and events of a release, and what its hub says.
    fn add_release(&mut self, reach: &Reach, release: &Release) {
        let collected = reach
            .runtime
            .block_on(collect(&reach.api, release, |member| match member.text {
                Ok(text) => self.add_log(&member.name, &text),
                Err(why) => self.lacks(&member.name, &why),
            }));
        if let Err(refusal) = collected {
            self.lacks("logs of pods", &refusal.to_string());
        }
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        match reach.forward(release, &[any]) {
            Ok(hub) => self.add_instance("hub", &hub.instance),
            Err(failure) => self.lacks("hub", &failure.message),
        }
    }

    fn add_log(&mut self, name: &str, text: &str) {
        match self.grep.clone() {
            None => self.add(name, text),
            Some(pattern) => {
                let mut kept = String::new();
                for line in text.lines().filter(|line| pattern.is_match(line)) {
                    kept.push_str(line);
                    kept.push('\n');
                }
                self.add(name, &kept);
            }
        }
    }

    fn add(&mut self, name: &str, text: &str) {
        let masked = self.masks.mask(text);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(masked.len() >= u32::MAX as usize)
            .unix_permissions(0o600);
        let written = self
            .zip
            .start_file(name, options)
            .map_err(io::Error::other)
            .and_then(|()| self.zip.write_all(masked.as_bytes()));
        match written {
            Ok(()) => self.members += 1,
            Err(error) => self.lacks(name, &error.to_string()),
        }
    }

    /// Something could not be had.
    fn lacks(&mut self, name: &str, why: &str) {
        let sentence = self.masks.mask(&format!("{name}: {why}"));
        eprintln!("{}", Style::stderr().yellow(&sentence));
        self.lacking.push(sentence);
    }

    /// Ends it with what is lacking, and gives it its name.
    fn finish(mut self) -> Result<Exit, Failure> {
        if !self.lacking.is_empty() {
            let text = self.lacking.join("\n") + "\n";
            self.add("lacking.txt", &text);
        }
        let path = self.path.clone();
        let zip = std::mem::replace(
            &mut self.zip,
            ZipWriter::new(BufWriter::new(tempfile::tempfile()?)),
        );
        let file = zip
            .finish()
            .map_err(|error| cannot_write(&path, &io::Error::other(error)))?;
        let file = file
            .into_inner()
            .map_err(|error| cannot_write(&path, error.error()))?;
        file.sync_all()?;
        fs::rename(&self.half, &path).map_err(|error| cannot_write(&path, &error))?;
        eprintln!("Wrote {} files to {}", self.members, path.display());
        Ok(match self.lacking.is_empty() {
            true => Exit::Done,
            false => Exit::Gaps,
        })
    }
}
