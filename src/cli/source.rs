//! Flags that name a recorded source and how to reach it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::config::{Config, home};
use super::exit::Failure;
use crate::investigate::{self, Cache, DEFAULT_CACHE_BYTES, Wanted};
use crate::record::sign::MAX_PEM;
use crate::store::OpenOptions;
use crate::store::cloud::CloudOptions;
use crate::store::cloud::azure::Account;
use crate::store::s3::S3Options;

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

    /// Sign nothing, as a public bucket lets anybody read
    #[arg(long, conflicts_with = "profile")]
    s3_anonymous: bool,
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
                anonymous: self.is_anonymous(config),
                ..S3Options::default()
            },
            cloud: cloud_options(),
        }
    }

    /// Whether nothing is signed; a profile that is named signs.
    pub fn is_anonymous(&self, config: &Config) -> bool {
        self.s3_anonymous || (self.profile.is_none() && config.bool("s3.anonymous"))
    }
}

impl SourceArgs {
    /// Opens what is wanted of the sources.
    pub fn open(&self, wanted: Wanted, config: &Config) -> Result<investigate::Opened, Failure> {
        open_some(&self.sources, wanted, &self.s3, config)
    }
}

impl SourceArgs {
    /// What people call the source.
    #[cfg(feature = "sql")]
    pub fn name(&self) -> &str {
        self.sources.first().map_or("the source", String::as_str)
    }

    /// The archive that the one source is, when it has reels in it.
    pub fn archive(&self, config: &Config) -> Result<Option<investigate::Archive>, Failure> {
        archive(&self.sources, &self.s3, config)
    }
}

#[cfg(not(feature = "sql"))]
impl SourceArgs {
    /// The one source and how it is reached, where DuckDB may read it: a bucket, or a folder.
    pub fn archive_of_duckdb(
        &self,
        config: &Config,
    ) -> Option<(String, crate::sql::duckdb::Reach)> {
        let [source] = self.sources.as_slice() else {
            return None;
        };
        let path = source.strip_prefix("file://").unwrap_or(source);
        if !path.contains("://") && !Path::new(path).is_dir() {
            return None;
        }
        let s3 = self.s3.open_options(config).s3;
        let reach = crate::sql::duckdb::Reach {
            endpoint: s3.endpoint,
            region: s3.region,
            is_path_style: s3.path_style == Some(true),
        };
        Some((path.to_owned(), reach))
    }
}

/// The archive that the one source is, when it has reels in it.
pub fn archive(
    sources: &[String],
    s3: &S3Args,
    config: &Config,
) -> Result<Option<investigate::Archive>, Failure> {
    let [source] = sources else {
        return Ok(None);
    };
    let options = investigate::Options {
        store: s3.open_options(config),
        ..Default::default()
    };
    Ok(investigate::Archive::open(source, &options)?)
}

/// How packets of an archive are read that its indexes do not tell.
pub fn reading(config: &Config) -> Result<investigate::Reading, Failure> {
    let what: Vec<String> = config
        .list("tap.enabledDissectors")
        .into_iter()
        .chain(READ_BY.iter().map(|key| format!("{:?}", config.any(key))))
        .collect();
    Ok(investigate::Reading {
        protocols: super::secrets::protocols(config, None)?,
        limits: super::limits(config),
        mark: what.join(" "),
    })
}

/// Settings, beside the list of protocols, with which the same packets give other items.
const READ_BY: [&str; 6] = [
    super::FURTHER_PORTS,
    super::ONLY_PORTS,
    "tap.misc.tcpOverlap",
    "tap.misc.tcpFlowTimeout",
    "tap.misc.udpFlowTimeout",
    "tap.tlsKeylog",
];

/// The user's cache of what was read of indexes; none where there is no home.
pub fn cache() -> Result<Option<Arc<Cache>>, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let usual = || match cfg!(windows) {
        true => set("LOCALAPPDATA").map(PathBuf::from),
        false => Some(home()?.join(".cache")),
    };
    let Some(base) = set("XDG_CACHE_HOME").map(PathBuf::from).or_else(usual) else {
        return Ok(None);
    };
    let folder = base.join("tapedeck").join("ranges");
    let cache = Cache::open(&folder, DEFAULT_CACHE_BYTES).map_err(|error| {
        let sentence = format!("the cache {} cannot be used: {error}", folder.display());
        Failure::of(&error, sentence)
    })?;
    Ok(Some(Arc::new(cache)))
}

/// Opens what `sources` name.
pub fn open(
    sources: &[String],
    s3: &S3Args,
    config: &Config,
) -> Result<investigate::Opened, Failure> {
    open_some(sources, Wanted::default(), s3, config)
}

/// Opens what is wanted of what `sources` name.
pub fn open_some(
    sources: &[String],
    wanted: Wanted,
    s3: &S3Args,
    config: &Config,
) -> Result<investigate::Opened, Failure> {
    let options = investigate::Options {
        store: s3.open_options(config),
        wanted,
        ..Default::default()
    };
    Ok(investigate::open(sources, &options)?)
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

/// The names that come with a source, as the pipeline asks for them.
pub fn names_of(names: investigate::SourceNames) -> crate::pipeline::NamesOf {
    Box::new(move |origin| names.of(origin))
}
