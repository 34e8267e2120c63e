//! `tapedeck store`: check a store, print least-privilege policies.

use clap::{Args, Subcommand};

use super::config::Config;
use super::exit::{Exit, Failure};
use super::tap::recording;
use crate::store::policy::{self, Role};
use crate::store::s3::{S3Options, S3Store};
use crate::store::{self, s3_parts};

/// Check a store, or print least-privilege policies for it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck store check s3://my-bucket/
  tapedeck store policy recorder my-bucket")]
pub struct StoreArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Try each right that is needed, leave nothing behind, say what the bucket is
    Check {
        /// The store, as s3://bucket/prefix or a folder
        store: String,

        #[command(flatten)]
        s3: super::source::S3Args,

        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Print the policy that a role needs, as JSON
    Policy {
        /// recorder, reader or verifier
        role: String,
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
        What::Check { store, s3, json } => check(store, s3, *json, config),
        What::Policy {
            role,
            bucket,
            prefix,
            kms_key,
        } => {
            let role = Role::named(role).ok_or_else(|| {
                let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
                Failure::usage(format!("{role} is no role; use {}", names.join(", ")))
            })?;
            let policy = policy::policy(role, bucket, prefix, kms_key.as_deref());
            super::print(format_args!(
                "{}",
                serde_json::to_string_pretty(&policy).unwrap_or_default()
            ));
            Ok(Exit::Done)
        }
    }
}

/// Checks with the credentials that the recorder would use, unless flags name others.
fn check(
    url: &str,
    s3: &super::source::S3Args,
    json: bool,
    config: &Config,
) -> Result<Exit, Failure> {
    let Some((bucket, prefix)) = s3_parts(url) else {
        let store = store::open(url, &recording::open_options(config))?;
        super::print(format_args!("{}", store.name()));
        for (name, value) in store.facts() {
            super::print(format_args!("  {name:18} {value}"));
        }
        return Ok(Exit::Done);
    };
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
        ..options
    };
    let report = S3Store::new(options)?.check();
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
                "rights": rights, "problems": report.problems,
            })
        ));
    } else {
        super::print(report.to_string().trim_end());
    }
    Ok(if report.can_record() || report.can_read() {
        Exit::Done
    } else {
        Exit::Failed
    })
}
