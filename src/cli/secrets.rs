//! Flags for what the bytes alone do not tell: a TLS key log, descriptors of protocol buffers; and the
//! protocols with what comes of them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::config::Config;
use super::exit::{Failure, system};
use super::style::Style;
use crate::dissect::{Descriptors, Protocols, Secrets};
use crate::pipeline::Stop;
use crate::pipeline::key_log::KeyLog;

/// The value that stands for what the environment says.
const FROM_ENVIRONMENT: &str = "env";

/// The environment's variable, read only when the flag says so.
const VARIABLE: &str = "SSLKEYLOGFILE";

/// What streams are read with.
#[derive(Debug, Clone, Default, Args)]
pub struct SecretsArgs {
    /// Decrypt TLS with the secrets of this key log; `env` takes the file that SSLKEYLOGFILE names
    #[arg(long, value_name = "FILE")]
    tls_keylog: Option<String>,

    /// Read the messages of gRPC by this FileDescriptorSet (protoc --include_imports
    /// --descriptor_set_out=FILE); may be repeated
    #[arg(long, value_name = "FILE")]
    proto_descriptors: Vec<PathBuf>,
}

impl SecretsArgs {
    /// Writes the flag over the configuration.
    pub fn over(&self, config: &mut Config) -> Result<(), Failure> {
        if !self.proto_descriptors.is_empty() {
            let files = self.proto_descriptors.iter();
            let files: Vec<String> = files.map(|path| path.display().to_string()).collect();
            config.flag(DESCRIPTORS, "proto-descriptors", json!(files));
        }
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

/// Bytes of one file of descriptors; those of a large company's services take some ten.
const MAX_DESCRIPTORS: u64 = 256 << 20;

const DESCRIPTORS: &str = "tap.grpc.descriptors";

/// Protocols that the configuration switches on, with the secrets of its key log and its descriptors.
///
/// A live run gives the signal that ends it, and follows the file; a run over packets of the past
/// reads it to its end.
pub fn protocols(config: &Config, live: Option<Stop>) -> Result<Protocols, Failure> {
    let secrets = Arc::new(Secrets::default());
    if let Some(path) = config.text_if_set("tap.tlsKeylog") {
        let log = KeyLog::new(Path::new(path));
        let is_past = live.is_none();
        match live {
            Some(stop) => log.follow(secrets.clone(), stop),
            None => log.read_whole(&secrets),
        }
        .map_err(|error| no_key_log(path, &error))?;
        if is_past && secrets.counts().secrets == 0 {
            let sentence =
                format!("the key log {path} has no line that can be used: nothing is decrypted");
            eprintln!("{}", Style::stderr().yellow(&sentence));
        }
    }
    let descriptors = Arc::new(descriptors(config)?);
    let protocols = super::protocols(config)?.with_secrets(secrets);
    Ok(protocols.with_descriptors(descriptors))
}

/// The failure for a key log that cannot be read.
pub fn no_key_log(path: &str, error: &std::io::Error) -> Failure {
    Failure::usage(format!(
        "the key log {path} cannot be read: {}",
        system(error)
    ))
}

fn descriptors(config: &Config) -> Result<Descriptors, Failure> {
    let paths = config.list(DESCRIPTORS);
    let mut sets = Vec::new();
    for path in &paths {
        let fails =
            |why: &dyn std::fmt::Display| Failure::usage(format!("{DESCRIPTORS}: {path}: {why}"));
        let file = std::fs::File::open(path).map_err(|error| fails(&system(&error)))?;
        let mut bytes = Vec::new();
        file.take(MAX_DESCRIPTORS + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fails(&error))?;
        if bytes.len() as u64 > MAX_DESCRIPTORS {
            return Err(fails(&"is longer than descriptors are, 256 MiB"));
        }
        sets.push(bytes);
    }
    Descriptors::given(sets.iter().map(Vec::as_slice)).map_err(|(place, error)| {
        let path = paths.get(place).map_or("", String::as_str);
        Failure::usage(format!("{DESCRIPTORS}: {path} {error}"))
    })
}
