//! The flag that names a TLS key log, and the protocols with the secrets that come of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::config::Config;
use super::exit::Failure;
use crate::dissect::{Protocols, Secrets};
use crate::pipeline::Stop;
use crate::pipeline::key_log::KeyLog;

/// The value that stands for what the environment says.
const FROM_ENVIRONMENT: &str = "env";

/// The environment's variable, read only when the flag says so.
const VARIABLE: &str = "SSLKEYLOGFILE";

/// Secrets for decryption.
#[derive(Debug, Clone, Default, Args)]
pub struct SecretsArgs {
    /// Decrypt TLS with the secrets of this key log; `env` takes the file that SSLKEYLOGFILE names
    #[arg(long, value_name = "FILE")]
    tls_keylog: Option<String>,
}

impl SecretsArgs {
    /// Writes the flag over the configuration.
    pub fn over(&self, config: &mut Config) -> Result<(), Failure> {
        let path =
            match self.tls_keylog.as_deref() {
                None => return Ok(()),
                Some(FROM_ENVIRONMENT) => std::env::var_os(VARIABLE)
                    .map(PathBuf::from)
                    .ok_or_else(|| {
                        Failure::usage(format!("--tls-keylog env: {VARIABLE} is not set"))
                    })?,
                Some(path) => PathBuf::from(path),
            };
        config.flag(
            "tap.tlsKeylog",
            "tls-keylog",
            json!(path.display().to_string()),
        );
        Ok(())
    }
}

/// Protocols that the configuration switches on, with the secrets of its key log.
///
/// A live run gives the signal that ends it, and follows the file; a run over packets of the past
/// reads it to its end.
pub fn protocols(config: &Config, live: Option<Stop>) -> Result<Protocols, Failure> {
    let secrets = Arc::new(Secrets::default());
    if let Some(path) = config.text_if_set("tap.tlsKeylog") {
        let log = KeyLog::new(Path::new(path));
        match live {
            Some(stop) => log.follow(secrets.clone(), stop),
            None => log.read_whole(&secrets),
        }
        .map_err(|error| Failure::failed(format!("the key log {path} cannot be read: {error}")))?;
    }
    Ok(super::protocols(config).with_secrets(secrets))
}
