//! `tapedeck store`: check a store, print least-privilege policies.

use std::path::Path;

use clap::{Args, Subcommand};

use super::config::Config;
use super::exit::{Exit, Failure, cannot_write};
use super::tap::recording;
use crate::investigate::Archive;
use crate::store::policy::{self, Role};
use crate::store::s3::check::{CheckReport, Met};
use crate::store::s3::{S3Options, S3Store};
use crate::store::{self, StoreError, s3_parts};
use crate::time::{Clock, SystemClock};
use crate::units;

/// Check a store, or print least-privilege policies for it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck store check s3://my-bucket/
  tapedeck store rollup s3://my-bucket/ --older-than 7d
  tapedeck store policy recorder my-bucket")]
pub struct StoreArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Try each right that is needed, leave nothing behind, say what the bucket is
    ///
    /// Ends with 0 when the rights suffice for what --for names, with 2 when one is missing or the
    /// credentials do not count.
    #[command(after_help = "\
Examples:
  tapedeck store check s3://my-bucket/
  tapedeck store check s3://my-bucket/ --for reader --profile laptop
  tapedeck store check ./recordings --json")]
    Check {
        /// The store, as s3://bucket/prefix, gs://, az:// or a folder
        store: String,

        /// Whose rights are wanted: recorder, reader or verifier
        #[arg(long = "for", value_name = "ROLE", default_value = "recorder", value_parser = role)]
        role: Role,

        #[command(flatten)]
        s3: super::source::S3Args,

        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Write roll-ups of an archive's days, so that opening it lists less
    ///
    /// A roll-up is one object with the names of all objects of a day. Reels that are uploaded later
    /// are marked by their recorder and seen all the same; such a day is rolled up anew.
    #[command(after_help = "\
Examples:
  tapedeck store rollup s3://my-bucket/ --older-than 7d
  tapedeck store rollup s3://my-bucket/ --check")]
    Rollup {
        /// The archive, as s3://bucket/prefix or a folder
        store: String,

        #[command(flatten)]
        s3: super::source::S3Args,

        /// Only days that have been over for this long
        #[arg(long, value_name = "TIME", default_value = "7d")]
        older_than: String,

        /// Hours that have been over for as long too
        #[arg(long)]
        hourly: bool,

        /// Hold the roll-ups that there are against the reels; write nothing
        #[arg(long)]
        check: bool,
    },
    /// Print the policy that a role needs, as JSON
    #[command(after_help = "\
Examples:
  tapedeck store policy recorder my-bucket > recorder.json
  tapedeck store policy reader my-bucket --prefix production")]
    Policy {
        /// recorder, reader or verifier
        #[arg(value_parser = role)]
        role: Role,
        /// The bucket
        bucket: String,
        /// Only below this prefix
        #[arg(long, default_value = "")]
        prefix: String,
        /// Key of SSE-KMS, by ARN
        #[arg(long, value_name = "ARN")]
        kms_key: Option<String>,
    },
}

/// Runs the command.
pub fn run(args: &StoreArgs, config: &Config) -> Result<Exit, Failure> {
    match &args.what {
        What::Check {
            store,
            role,
            s3,
            json,
        } => check(store, *role, s3, *json, config),
        What::Rollup {
            store,
            s3,
            older_than,
            hourly,
            check,
        } => {
            let archive = super::source::archive(std::slice::from_ref(store), s3, config)?;
            let archive = archive
                .ok_or_else(|| Failure::usage(format!("{store} is no archive: it has no reels")))?;
            match check {
                true => check_rollups(&archive),
                false => roll_up(&archive, older_than, *hourly),
            }
        }
        What::Policy {
            role,
            bucket,
            prefix,
            kms_key,
        } => {
            let policy = policy::policy(*role, bucket, prefix, kms_key.as_deref());
            super::print(format_args!(
                "{}",
                serde_json::to_string_pretty(&policy).unwrap_or_default()
            ));
            Ok(Exit::Done)
        }
    }
}

/// The role of a name.
fn role(name: &str) -> Result<Role, String> {
    Role::named(name).ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

fn roll_up(archive: &Archive, older_than: &str, hourly: bool) -> Result<Exit, Failure> {
    let age = units::duration(older_than).ok_or_else(|| {
        Failure::usage(format!(
            "--older-than {older_than} is no time such as 7d or 12h"
        ))
    })?;
    let now = SystemClock.now();
    let mut count = 0;
    archive.roll_up(now - age, now, hourly, &mut |one| {
        count += 1;
        super::print(format_args!("{}: {} objects", one.folder, one.objects));
    })?;
    eprintln!("{count} roll-ups were written");
    Ok(Exit::Done)
}

fn check_rollups(archive: &Archive) -> Result<Exit, Failure> {
    let (mut count, mut wrong, mut unread) = (0, 0, 0);
    archive.check_rollups(&mut |one| {
        count += 1;
        if let Some(why) = &one.unread {
            unread += 1;
            super::print(format_args!("{}: {why}", one.folder));
        }
        for key in &one.differs {
            wrong += 1;
            super::print(format_args!("{}: not as in its roll-up: {key}", one.folder));
        }
    })?;
    eprintln!(
        "{count} roll-ups were checked; {wrong} objects differ, {unread} roll-ups could not be read"
    );
    Ok(match wrong + unread {
        0 => Exit::Done,
        _ => Exit::Gaps,
    })
}

/// Checks with the credentials that the recorder would use, unless flags name others.
fn check(
    url: &str,
    role: Role,
    s3: &super::source::S3Args,
    json: bool,
    config: &Config,
) -> Result<Exit, Failure> {
    let Some((bucket, prefix)) = s3_parts(url) else {
        return check_other(url, role, json, config);
    };
    let report = check_s3(bucket, prefix, s3, config)?;
    if json {
        let rights: Vec<serde_json::Value> = report
            .rights
            .iter()
            .map(|right| {
                serde_json::json!({
                    "permission": right.permission,
                    "neededBy": right.needed_by,
                    "state": format!("{:?}", right.state).to_lowercase(),
                })
            })
            .collect();
        super::print(format_args!(
            "{}",
            serde_json::json!({
                "store": report.name, "identity": report.identity, "facts": report.facts,
                "rights": rights, "problems": report.problems, "role": role.name(),
                "suffices": report.suffices(role),
            })
        ));
    } else {
        super::print(report.to_string().trim_end());
    }
    if report.suffices(role) {
        return Ok(Exit::Done);
    }
    Err(match report.met {
        Met::Away => Failure::failed(format!("{} cannot be checked", report.name)),
        Met::Refused => Failure::usage(format!("{} does not take the credentials", report.name)),
        Met::In => {
            let others = Role::ALL.iter().filter(|other| report.suffices(**other));
            let others: Vec<&str> = others.map(|other| other.name()).collect();
            let role = role.name();
            Failure::usage(match others.as_slice() {
                [] => format!(
                    "the rights do not suffice for a {role}; see: tapedeck store policy {role} {bucket}"
                ),
                others => format!(
                    "the rights suffice for a {}, but not for a {role}; see: tapedeck store policy {role} {bucket}",
                    others.join(" and a ")
                ),
            })
        }
    })
}

fn check_s3(
    bucket: &str,
    prefix: &str,
    s3: &super::source::S3Args,
    config: &Config,
) -> Result<CheckReport, Failure> {
    let mut options = recording::open_options(config).s3;
    let flags = s3.open_options(config).s3;
    if flags.profile.is_some() {
        options.keys = None;
    }
    let options = S3Options {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        region: flags.region.or(options.region),
        endpoint: flags.endpoint.or(options.endpoint),
        path_style: flags.path_style.or(options.path_style),
        profile: flags.profile.or(options.profile),
        anonymous: flags.anonymous,
        ..options
    };
    Ok(S3Store::new(options)?.check())
}

/// What can be told of a folder, or of a bucket of another cloud, without leaving anything behind.
fn check_other(url: &str, role: Role, json: bool, config: &Config) -> Result<Exit, Failure> {
    let path = Path::new(url.strip_prefix("file://").unwrap_or(url));
    let is_folder = !url.contains("://") || url.starts_with("file://");
    if is_folder && !path.is_dir() {
        return Err(Failure::failed(format!(
            "there is no folder {}; a recording makes it when it begins",
            path.display()
        )));
    }
    let store = store::open(url, &recording::open_options(config))?;
    match store.list("", &mut |_| false) {
        // Whether a recorder may put is seen at its first object alone.
        Err(StoreError::Denied(_)) if role == Role::Recorder && !is_folder => {}
        listed => listed?,
    }
    if role == Role::Recorder && is_folder {
        tempfile::tempfile_in(path).map_err(|error| cannot_write(path, &error))?;
    }
    if json {
        let report = serde_json::json!({
            "store": store.name(), "facts": store.facts(), "role": role.name(), "suffices": true,
        });
        super::print(report);
        return Ok(Exit::Done);
    }
    super::print(store.name());
    for (name, value) in store.facts() {
        super::print(format_args!("  {name:18} {value}"));
    }
    Ok(Exit::Done)
}
