//! `tapedeck tap`: capture and record, or look at what was recorded.

mod aimed;
mod beat;
mod beside;
mod budgets;
mod chosen;
mod claim;
mod cluster;
mod cluster_args;
mod facts;
mod figures;
mod filters;
mod follow;
pub mod hub;
pub mod live;
mod metrics;
mod news;
mod offline;
mod only;
#[cfg(feature = "live")]
mod prefilter;
mod primed;
mod queried;
pub mod recording;
mod scripting;
pub mod session;
mod source;
mod spooled;
mod standing;
mod stores;
mod told;
mod view;
mod watch;
pub mod worker;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::Global;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::reading::{MaxReadArgs, RangeArgs};
use super::release;
use super::secrets::SecretsArgs;
use super::source::S3Args;
use crate::capture::own::OwnSockets;
use crate::capture::targets::SharedTargets;
use cluster_args::ClusterArgs;

/// Capture traffic and record what matters; with --pcap, look at what was recorded
///
/// Records what RECORDING_KFL (under scripting.env in the configuration) selects, runs the scripts of
/// scripting.source, and serves the dashboard. Ends with Ctrl+C: what is open is sealed and uploaded.
///
/// With a pod pattern, -n, -A, -e, -s or --cluster, and without -i, it captures in the cluster: installs
/// the release (with helm) or finds it, forwards the dashboard to this computer, and follows the script
/// folder into the cluster. A release that is there keeps its targets, unless the command names some: those,
/// with the rest of the configuration's, then take the place of all that it has. Ctrl+C ends the forwarding;
/// the release goes on, unless --clean is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck tap
  tapedeck tap -i eth0 --bpf 'port 80' --set scripting.env.RECORDING_KFL='http or dns'
  tapedeck tap -A
  tapedeck tap 'cart.*' -n shop -s tapedeck
  tapedeck tap 'cart.*' -n shop -i any
  tapedeck tap --pcap s3://my-bucket/
  tapedeck tap --pcap s3://my-bucket/ --from 2h --to 1h --kfl 'response.status >= 500'
  tapedeck tap --pcap capture.pcapng --headless")]
pub struct TapArgs {
    /// Pods to capture: a regular expression that their names contain
    #[arg(value_name = "POD REGEX")]
    regex: Option<String>,

    /// Look at a recorded source: savefile, folder, archive, `-`, or s3://bucket/prefix; may be repeated
    #[arg(short, long, value_name = "SRC")]
    pcap: Vec<String>,

    /// Read all packets, also where an index tells what is in them
    #[arg(long, requires = "pcap")]
    dissect: bool,

    /// Write the index of a source that is no archive beside it, for others who open it
    #[arg(long, requires = "pcap", conflicts_with = "dissect")]
    write_index: bool,

    #[command(flatten)]
    range: RangeArgs,

    /// With --pcap: only items that match this KFL query
    #[arg(long, value_name = "KFL")]
    kfl: Option<String>,

    #[command(flatten)]
    max_read: MaxReadArgs,

    /// Network interface to capture on
    #[arg(short, long, value_name = "NAME")]
    interface: Option<String>,

    /// List the interfaces and end
    #[arg(short = 'D', long)]
    list_interfaces: bool,

    /// Capture filter in tcpdump syntax
    #[arg(long, value_name = "FILTER")]
    bpf: Option<String>,

    /// Octets kept of each packet
    #[arg(long, value_name = "N")]
    snaplen: Option<u32>,

    /// Port of the dashboard; the next free one when taken
    #[arg(long, value_name = "PORT")]
    proxy_front_port: Option<u16>,

    /// Address of the dashboard
    #[arg(long, value_name = "ADDRESS")]
    proxy_host: Option<String>,

    /// Do not open the browser
    #[arg(long)]
    headless: bool,

    /// Disk for spool, open reels, outbox and script folders together
    #[arg(long = "storageLimit", alias = "storage-limit", value_name = "SIZE")]
    storage_limit: Option<String>,

    #[command(flatten)]
    secrets: SecretsArgs,

    #[command(flatten)]
    s3: S3Args,

    #[command(flatten)]
    cluster: ClusterArgs,
}

impl TapArgs {
    /// Writes the named flags over the configuration.
    fn over(&self, config: &mut Config) -> Result<(), Failure> {
        let mut text = |path: &'static str, flag: &'static str, value: &Option<String>| {
            if let Some(value) = value {
                config.flag(path, flag, json!(value));
            }
        };
        text("tap.interface", "interface", &self.interface);
        text("tap.bpfOverride", "bpf", &self.bpf);
        text("tap.proxy.host", "proxy-host", &self.proxy_host);
        text("tap.regex", "regex", &self.regex);
        text("tap.storageLimit", "storageLimit", &self.storage_limit);
        if crate::units::quantity(config.text("tap.storageLimit")).is_none() {
            let found = config.text("tap.storageLimit");
            return Err(Failure::usage(format!(
                "--storageLimit {found} is not a size such as 5Gi"
            )));
        }
        if let Some(snaplen) = self.snaplen {
            config.flag("tap.snaplen", "snaplen", json!(snaplen));
        }
        if let Some(port) = self.proxy_front_port {
            config.flag("tap.proxy.front.port", "proxy-front-port", json!(port));
        }
        if self.headless {
            config.flag("headless", "headless", json!(true));
        }
        self.cluster.over(config);
        self.secrets.over(config)
    }

    /// Whether pods of a cluster are meant: they are named, and no interface of this machine is.
    fn is_in_cluster(&self) -> bool {
        let names_pods = self.regex.is_some() || self.cluster.names_pods();
        self.cluster.cluster || (names_pods && self.interface.is_none())
    }

    fn sources(&self, config: &Config) -> Vec<String> {
        match config.text_if_set("tap.pcap") {
            Some(source) if self.pcap.is_empty() => vec![source.to_owned()],
            _ => self.pcap.clone(),
        }
    }
}

/// Runs the command.
pub fn run(args: &TapArgs, global: &Global, mut config: Config) -> Result<Exit, Failure> {
    if args.list_interfaces {
        return live::list_interfaces();
    }
    args.over(&mut config)?;
    let sources = args.sources(&config);
    if sources.is_empty() && (args.range.is_given() || args.kfl.is_some()) {
        return Err(Failure::usage(
            "--from, --to and --kfl narrow a recorded source; name one with --pcap SRC",
        ));
    }
    if sources.is_empty() && args.is_in_cluster() {
        let asked = release::tap::Asked {
            clean: args.cluster.clean,
            upgrade: args.cluster.upgrade,
        };
        release::tap::run(asked, &config)
    } else if sources.is_empty() {
        live::run(&config, global)
    } else {
        let how = offline::How {
            dissect: args.dissect,
            write_index: args.write_index,
            max_read: args.max_read.clone(),
            only: only::Only::asked(&args.range, args.kfl.as_deref(), &config)?,
        };
        offline::run(&sources, &args.s3, &how, &config)
    }
}

/// Where the dashboard listens.
pub fn server_options(config: &Config) -> Result<crate::server::Options, Failure> {
    let host = config.text("tap.proxy.host");
    let host: IpAddr = match host {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        host => host.parse().map_err(|_| {
            Failure::usage(format!("tap.proxy.host must be an address, not {host}"))
        })?,
    };
    let port = u16::try_from(config.int("tap.proxy.front.port"))
        .map_err(|_| Failure::usage("tap.proxy.front.port must be a port, 0 to 65535"))?;
    let grants =
        crate::server::grants(&config.map("tap.dashboard.tokens")).map_err(Failure::usage)?;
    let oidc = crate::server::OidcOptions::read(&config.map("tap.dashboard.oidc"))
        .map_err(Failure::usage)?;
    if !host.is_loopback() && grants.is_empty() && oidc.is_none() {
        return Err(Failure::usage(format!(
            "the dashboard on {host} would be open to others on the network: give them tokens with tap.dashboard.tokens (view, investigate, operate) or a login with tap.dashboard.oidc, or leave tap.proxy.host at 127.0.0.1"
        )));
    }
    // The address that logins lead back to is one of ours.
    let of_login = oidc.as_ref().and_then(|oidc| {
        let uri: axum::http::Uri = oidc.url.parse().ok()?;
        Some(uri.authority()?.to_string())
    });
    Ok(crate::server::Options {
        host,
        port,
        token: token(config)?,
        hosts: config
            .list("tap.dashboard.hosts")
            .into_iter()
            .chain(of_login)
            .collect(),
        grants,
        oidc,
        audit: audit_log(config)?,
    })
}

/// Shortest token that a file may give.
const MIN_TOKEN: usize = 16;

/// The token that a file gives.
fn token(config: &Config) -> Result<Option<crate::server::Token>, Failure> {
    let Some(path) = config.text_if_set("tap.dashboard.tokenFile") else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!(
            "tap.dashboard.tokenFile: {path} cannot be read: {error}"
        ))
    })?;
    let text = text.trim();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if text.len() < MIN_TOKEN || !text.bytes().all(fits) {
        return Err(Failure::usage(format!(
            "tap.dashboard.tokenFile: {path} must hold at least {MIN_TOKEN} letters, digits, - and _; make it with: openssl rand -hex 24"
        )));
    }
    Ok(Some(crate::server::Token::of(text)))
}

/// The file of the audit log.
fn audit_log(config: &Config) -> Result<PathBuf, Failure> {
    if let Some(path) = config.text_if_set("tap.dashboard.auditLog") {
        return Ok(PathBuf::from(path));
    }
    // A file of root in the caller's home would stand in the way of later runs without sudo.
    let name = match source::writes_for_another() {
        true => "audit-sudo.jsonl",
        false => "audit.jsonl",
    };
    Ok(super::data_dir(config)?.join(name))
}

/// Serves recorded sources until Ctrl+C.
pub fn open_recorded(sources: &[String], config: &Config) -> Result<Exit, Failure> {
    offline::run(
        sources,
        &S3Args::default(),
        &offline::How::default(),
        config,
    )
}

/// Opens the live source that the configuration names.
pub fn open_live(
    config: &Config,
    own: &OwnSockets,
) -> Result<Box<dyn crate::capture::Source>, Failure> {
    source::open(config, own, &SharedTargets::default()).map(|(source, _)| source)
}

pub use cluster::{Asked, TARGETS, credentials, targets};
pub use filters::{TELLS_FILTERS, refusal as filter_refusal};
pub use source::{as_caller, give_up_rights};
