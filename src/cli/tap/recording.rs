//! What the configuration says about recording: destination, format, lock, credentials.

use std::path::Path;
use std::time::Duration;

use super::super::config::Config;
use super::super::exit::Failure;
use crate::kfl;
use crate::record::{Format, Retention, Sealing, Wish};
use crate::store::s3::{Keys, S3Options};
use crate::store::{LockMode, OpenOptions};

const DAY: Duration = Duration::from_secs(86_400);

/// A recording with everything but its query: what all recordings of the configuration share.
pub fn template(config: &Config, data: &Path) -> Result<Wish, Failure> {
    let everything = kfl::compile("true", &kfl::Schema::empty()).expect("true is a query");
    let mut wish = Wish::new("recording", everything, destination(config, data));
    wish.format = match config.text("recording.format") {
        "pcapng" | "" => Format::Pcapng,
        "pcap" => Format::Pcap,
        other => {
            return Err(Failure::usage(format!(
                "recording.format must be pcapng or pcap, not {other}"
            )));
        }
    };
    wish.sealing = Sealing {
        first: config.duration("recording.sealFirst"),
        every: config.duration("recording.sealEvery"),
        bytes: config.bytes("recording.sealBytes"),
    };
    wish.retention = retention(config)?;
    wish.legal_hold = config.bool("recording.lock.legalHold");
    Ok(wish)
}

/// `recording.destination`, else the bucket of the environment, else a folder beside the spool.
fn destination(config: &Config, data: &Path) -> String {
    if let Some(named) = config.text_if_set("recording.destination") {
        return named.to_owned();
    }
    let prefix = config.env_text("S3_PREFIX").unwrap_or_default();
    match config.env_text("S3_BUCKET") {
        Some(bucket) => format!("s3://{bucket}/{}", prefix.trim_matches('/')),
        None => data.join("recordings").display().to_string(),
    }
}

/// The lock asked for; nothing chooses COMPLIANCE by itself, and it wants its days written twice.
fn retention(config: &Config) -> Result<Option<Retention>, Failure> {
    let mode = match config
        .text("recording.lock.mode")
        .to_ascii_uppercase()
        .as_str()
    {
        "" => None,
        "GOVERNANCE" => Some(LockMode::Governance),
        "COMPLIANCE" => Some(LockMode::Compliance),
        other => {
            return Err(Failure::usage(format!(
                "recording.lock.mode must be GOVERNANCE or COMPLIANCE, not {other}"
            )));
        }
    };
    let period = config.duration("recording.lock.retention");
    match (mode, period.is_zero()) {
        (None, true) => Ok(None),
        (None, false) => Err(Failure::usage(
            "recording.lock.retention needs recording.lock.mode: GOVERNANCE or COMPLIANCE",
        )),
        (Some(_), true) => Err(Failure::usage(
            "recording.lock.mode needs recording.lock.retention, such as 30d",
        )),
        (Some(LockMode::Compliance), false) => {
            let days = period.as_secs().div_ceil(DAY.as_secs());
            let most = config.int("recording.lock.maxDays");
            if days > most {
                return Err(Failure::usage(format!(
                    "a COMPLIANCE lock of {days} days is longer than recording.lock.maxDays ({most}); nobody can lift it"
                )));
            }
            if config.int("recording.lock.acknowledgeDays") != days {
                return Err(Failure::usage(format!(
                    "nobody can lift a COMPLIANCE lock; confirm it with recording.lock.acknowledgeDays: {days}"
                )));
            }
            Ok(Some(Retention {
                mode: LockMode::Compliance,
                period,
            }))
        }
        (Some(mode), false) => Ok(Some(Retention { mode, period })),
    }
}

/// How the recorder reaches its stores: credentials of `scripting.env` first, else the default chain.
pub fn open_options(config: &Config) -> OpenOptions {
    let env = |name: &str| config.env_text(name);
    let keys = env("AWS_ACCESS_KEY_ID").zip(env("AWS_SECRET_ACCESS_KEY"));
    OpenOptions {
        s3: S3Options {
            region: env("AWS_REGION")
                .or_else(|| config.text_if_set("s3.region").map(str::to_owned)),
            endpoint: env("S3_ENDPOINT")
                .or_else(|| config.text_if_set("s3.endpoint").map(str::to_owned)),
            path_style: path_style(config),
            keys: keys.map(|(access_key_id, secret_access_key)| Keys {
                access_key_id,
                secret_access_key,
                session_token: env("AWS_SESSION_TOKEN"),
            }),
            profile: config.text_if_set("s3.profile").map(str::to_owned),
            sse: env("S3_SSE"),
            kms_key_id: env("S3_KMS_KEY_ID"),
            ..S3Options::default()
        },
    }
}

fn path_style(config: &Config) -> Option<bool> {
    let said = config
        .env_text("S3_PATH_STYLE")
        .and_then(|text| super::super::config::units::boolean(&text));
    said.or_else(|| config.bool("s3.pathStyle").then_some(true))
}
