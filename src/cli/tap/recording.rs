//! What the configuration says about recording: destination, format, lock, credentials.

use std::path::Path;
use std::sync::Arc;

use super::super::config::Config;
use super::super::exit::Failure;
use crate::kfl;
use crate::pipeline::{Basis, payload};
use crate::record::outbox::OnFull;
use crate::record::sign::Signer;
use crate::record::{Format, Retention, Sealing, Wish};
use crate::redact::Rule;
use crate::store::OpenOptions;
use crate::store::cloud::CloudOptions;
use crate::store::cloud::azure::Account;
use crate::store::s3::{Keys, S3Options};

/// What recordings are declared on.
pub fn basis(config: &Config, data: &Path) -> Result<Basis, Failure> {
    let mut basis = Basis::new(template(config, data)?, super::super::schema(config));
    basis.max_lock_days = config.int("recording.lock.maxDays");
    Ok(basis)
}

/// A recording with everything but its query: what all recordings of the configuration share.
fn template(config: &Config, data: &Path) -> Result<Wish, Failure> {
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
    wish.storage_class = config.text("recording.storageClass").to_owned();
    wish.bytes_per_day = config.bytes("recording.limits.bytesPerDay");
    wish.redact = Rule::parse(&config.any("recording.redact")).map_err(Failure::usage)?;
    wish.redact.payload = payload(config.text("recording.payload")).map_err(Failure::usage)?;
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

/// The lock that the configuration asks for all recordings.
fn retention(config: &Config) -> Result<Option<Retention>, Failure> {
    Retention::asked(
        "recording.lock",
        config.text("recording.lock.mode"),
        config.duration("recording.lock.retention"),
        config.int("recording.lock.acknowledgeDays"),
        config.int("recording.lock.maxDays"),
    )
    .map_err(Failure::usage)
}

/// What gives when too much waits for the store.
pub fn on_full(config: &Config) -> Result<OnFull, Failure> {
    let name = config.text("recording.outbox.onFull");
    OnFull::named(name).ok_or_else(|| {
        Failure::usage(format!(
            "recording.outbox.onFull must be dropOldest or stop, not {name}"
        ))
    })
}

/// The key that signs manifests, of the environment or a file; none when neither is set.
pub fn signer(config: &Config) -> Result<Option<Arc<Signer>>, Failure> {
    let (what, pem) = match std::env::var_os(SIGNING_KEY).filter(|pem| !pem.is_empty()) {
        Some(pem) => (SIGNING_KEY.to_owned(), pem.to_string_lossy().into_owned()),
        None => match config.text_if_set("recording.signing.key") {
            Some(path) => {
                let pem = super::super::source::read_pem(Path::new(path))?;
                (format!("recording.signing.key: {path}"), pem)
            }
            None => return Ok(None),
        },
    };
    match Signer::from_pem(&pem) {
        Ok(signer) => Ok(Some(Arc::new(signer))),
        Err(error) => Err(Failure::usage(format!("{what}: {error}"))),
    }
}

/// Variable that holds the signing key itself.
const SIGNING_KEY: &str = "TAPEDECK_SIGNING_KEY";

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
        cloud: cloud_options(config),
    }
}

/// Credentials of clouds under `scripting.env`, by the names of the helpers, before those of the
/// environment.
fn cloud_options(config: &Config) -> CloudOptions {
    let env = |name: &str| config.env_text(name);
    let mut options = super::super::source::cloud_options();
    options.google_key = env("GCS_SA_KEY_JSON");
    let of_text =
        env("AZURE_CONNECTION_STRING").and_then(|text| Account::of_connection(&text).ok());
    let by_name = || {
        Some(Account {
            name: env("AZURE_ACCOUNT_NAME")?,
            key: env("AZURE_ACCOUNT_KEY"),
            ..Account::default()
        })
    };
    options.azure = of_text.or_else(by_name).or(options.azure);
    options
}

fn path_style(config: &Config) -> Option<bool> {
    let said = config
        .env_text("S3_PATH_STYLE")
        .and_then(|text| crate::units::boolean(&text));
    said.or_else(|| config.bool("s3.pathStyle").then_some(true))
}
