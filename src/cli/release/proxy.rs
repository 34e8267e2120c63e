//! `tapedeck proxy`: the dashboard of a release, on a port of this computer.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::super::instance::Instance;
use super::super::style::Style;
use super::super::{browser, stop_on_signal};
use super::{Hub, ReleaseArgs, forwarded, ports, reach_cluster};
use crate::pipeline::Stop;

/// Time between two looks at Ctrl+C and at the port.
const PACE: Duration = Duration::from_millis(200);

/// Open the dashboard of an installed release
///
/// Forwards a port of this computer to the hub, prints the address and opens the browser. Ends with
/// Ctrl+C; the release goes on. When another tapedeck of yours forwards the port already, only the browser is
/// opened.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck proxy
  tapedeck proxy -s tapedeck --proxy-front-port 9000
  tapedeck proxy --context production --headless")]
pub struct ProxyArgs {
    #[command(flatten)]
    release: ReleaseArgs,

    /// Port of the dashboard; the next free one when taken
    #[arg(long, value_name = "PORT")]
    proxy_front_port: Option<u16>,

    /// Address of the dashboard
    #[arg(long, value_name = "ADDRESS")]
    proxy_host: Option<String>,

    /// Do not open the browser
    #[arg(long)]
    headless: bool,
}

/// Runs the command.
pub fn run(args: &ProxyArgs, config: &Config) -> Result<Exit, Failure> {
    let mut config = config.clone();
    args.release.over(&mut config);
    if let Some(port) = args.proxy_front_port {
        config.flag("tap.proxy.front.port", "proxy-front-port", json!(port));
    }
    if let Some(host) = &args.proxy_host {
        config.flag("tap.proxy.host", "proxy-host", json!(host));
    }
    let headless = args.headless || config.bool("headless");
    let at = ports(&config)?;
    let reach = reach_cluster(&config)?;
    let release = reach.release(&config)?;
    let stop = Stop::default();
    stop_on_signal(&stop)?;
    // Only to a port that a command of this user forwards, whoever else listens on the one that is wanted.
    if let Some(address) = forwarded::noted(&config, &reach, &release, &at) {
        let there = Instance {
            pid: 0,
            address,
            token: reach.runtime.block_on(release.token(&reach.api))?,
            source: String::new(),
        };
        if there.get("/api/v1/session").is_ok() {
            browser::show(&there.url(), address, address.port(), headless);
            eprintln!("The port is forwarded already");
            return Ok(Exit::Done);
        }
    }
    let hub = reach.forward(&release, &at)?;
    let _noted = forwarded::note(&config, &reach, &release, hub.instance.address);
    show(&hub, &config, headless);
    eprintln!(
        "Release {} in {}; Ctrl+C ends the forwarding, and the release goes on",
        release.name, release.namespace
    );
    while !stop.is_asked() {
        std::thread::sleep(PACE);
        tell_trouble(&hub);
    }
    Ok(Exit::Done)
}

/// Prints the address of the dashboard, and opens the browser where one is wanted.
pub(super) fn show(hub: &Hub, config: &Config, headless: bool) {
    let wanted = u16::try_from(config.int("tap.proxy.front.port")).unwrap_or_default();
    let instance = &hub.instance;
    browser::show(&instance.url(), instance.address, wanted, headless);
}

/// Says why a connection could not be forwarded.
pub(super) fn tell_trouble(hub: &Hub) {
    if let Some(sentence) = hub.forward.trouble() {
        eprintln!("{}", Style::stderr().yellow(&sentence));
    }
}
