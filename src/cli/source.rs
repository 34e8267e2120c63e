//! Flags that name a recorded source and how to reach it.

use std::path::PathBuf;

use clap::Args;

use super::config::Config;
use super::exit::{Exit, Failure};
use crate::investigate;
use crate::record::sign::MAX_PEM;
use crate::store::cloud::CloudOptions;
use crate::store::cloud::azure::Account;
use crate::store::s3::S3Options;
use crate::store::{OpenOptions, StoreError};

/// Where to read from.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Savefile, folder, archive, `-` for stdin, or s3://bucket/prefix, gs:// or az://; several are read one after the other
    #[arg(required = true, value_name = "SRC")]
    sources: Vec<String>,

    #[command(flatten)]
    s3: S3Args,
}

/// How to reach S3.
#[derive(Debug, Clone, Default, Args)]
pub struct S3Args {
    /// S3-compatible server, as http://127.0.0.1:9000
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,

    /// Region; found from the bucket when not set
    #[arg(long, value_name = "REGION")]
    s3_region: Option<String>,

    /// Put the bucket's name in the path, as most S3-compatible servers want
    #[arg(long)]
    s3_path_style: bool,

    /// Profile of the shared AWS configuration
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

impl S3Args {
    /// How to open stores by these flags and the configuration.
    ///
    /// Reading takes the caller's own credentials: `scripting.env` belongs to the recorder.
    pub fn open_options(&self, config: &Config) -> OpenOptions {
        let first = |flag: &Option<String>, key: &str| {
            flag.clone()
                .or_else(|| config.text_if_set(key).map(str::to_owned))
        };
        let path_style = self.s3_path_style || config.bool("s3.pathStyle");
        OpenOptions {
            s3: S3Options {
                endpoint: first(&self.s3_endpoint, "s3.endpoint"),
                region: first(&self.s3_region, "s3.region"),
                path_style: path_style.then_some(true),
                profile: first(&self.profile, "s3.profile"),
                ..S3Options::default()
            },
            cloud: cloud_options(),
        }
    }
}

impl SourceArgs {
    /// Opens the sources.
    pub fn open(&self, config: &Config) -> Result<investigate::Opened, Failure> {
        open(&self.sources, &self.s3, config)
    }
}

impl SourceArgs {
    /// The archive that the one source is, when it has reels in it.
    pub fn archive(&self, config: &Config) -> Result<Option<investigate::Archive>, Failure> {
        let [source] = self.sources.as_slice() else {
            return Ok(None);
        };
        let options = investigate::Options {
            store: self.s3.open_options(config),
            ..Default::default()
        };
        investigate::Archive::open(source, &options)
            .map_err(|error| Failure::failed(error.to_string()))
    }
}

/// Opens what `sources` name.
pub fn open(
    sources: &[String],
    s3: &S3Args,
    config: &Config,
) -> Result<investigate::Opened, Failure> {
    let options = investigate::Options {
        store: s3.open_options(config),
        ..Default::default()
    };
    investigate::open(sources, &options).map_err(|error| Failure::failed(error.to_string()))
}

/// What the environment says of clouds, for readers and recorders alike.
pub fn cloud_options() -> CloudOptions {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    CloudOptions {
        google_server: variable("STORAGE_EMULATOR_HOST")
            .and_then(|server| server.into_string().ok()),
        azure: variable("AZURE_STORAGE_CONNECTION_STRING")
            .and_then(|text| Account::of_connection(text.to_str()?).ok()),
        ca_bundle: variable("AWS_CA_BUNDLE").map(PathBuf::from),
        ..CloudOptions::default()
    }
}

/// The text of a PEM file.
pub fn read_pem(path: &std::path::Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let failed = |error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(MAX_PEM)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let exit = match error {
            StoreError::Credentials(_) | StoreError::Refused(_) => Exit::Usage,
            _ => Exit::Failed,
        };
        Failure {
            exit,
            message: error.to_string(),
        }
    }
}

/// The names that come with a source, as the pipeline asks for them.
pub fn names_of(names: investigate::SourceNames) -> crate::pipeline::NamesOf {
    Box::new(move |origin| names.of(origin))
}
