//! `tapedeck demo`: the whole way once on this machine, without account, cluster or S3.

mod traffic;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::Global;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::tap::Asked;
use super::tap::session::{Session, Setup};
use super::tap::{self};
use crate::capture::Source;
use crate::capture::file::FileSource;
use crate::capture::own::OwnSockets;
use crate::pipeline::Stop;
use crate::script::environment::Environment;

/// Rounds of the shop's client.
const ROUNDS: u32 = 40;

/// Time for the capture to begin before the traffic does.
const SETTLE: Duration = Duration::from_millis(300);

/// The conversation that is replayed where capturing is not allowed.
static SHIPPED: &[u8] = include_bytes!("../../../examples/demo.pcap");

/// Record a conversation on this machine and open the dashboard on what was sealed
///
/// A small HTTP and DNS shop on loopback is captured (or, without the right to capture, a shipped
/// capture of it is replayed), recorded with the query "http or dns" into a folder, and opened again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck demo
  tapedeck demo --record-only --dir /tmp/demo")]
pub struct DemoArgs {
    /// Folder for the recorded reels; a new one below the data folder otherwise
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// End after recording, without the dashboard
    #[arg(long)]
    record_only: bool,

    /// Do not open the browser
    #[arg(long)]
    headless: bool,

    /// Port of the dashboard; the next free one when taken
    #[arg(long, value_name = "PORT")]
    proxy_front_port: Option<u16>,

    /// Replay the shipped capture even where capturing is allowed
    #[arg(long)]
    replay: bool,
}

/// Runs the command.
pub fn run(args: &DemoArgs, _global: &Global, mut config: Config) -> Result<Exit, Failure> {
    let home = super::data_dir(&config)?;
    let stamp = crate::time::Clock::now(&crate::time::SystemClock).secs();
    let dir = args
        .dir
        .clone()
        .unwrap_or_else(|| home.join(format!("demo/{stamp}")));
    let reels = dir.join("reels-of-the-demo");
    config.flag("tap.dataDir", "dir", json!(dir.join("data")));
    config.flag("recording.destination", "dir", json!(reels));
    config.flag("tap.nodeName", "dir", json!("demo-node"));
    config.flag(
        "scripting.env",
        "dir",
        json!({"RECORDING_KFL": "http or dns"}),
    );
    config.flag("headless", "headless", json!(args.headless));
    if let Some(port) = args.proxy_front_port {
        config.flag("tap.proxy.front.port", "proxy-front-port", json!(port));
    }
    let runtime = tap::live::runtime()?;
    let shop = traffic::Shop::open(runtime.handle())?;
    let captured = if args.replay {
        None
    } else {
        live_source(&mut config, &shop)
    };
    match captured {
        Some(source) => record(&config, source, Some(&shop), &dir)?,
        None => record(&config, shipped()?, None, &dir)?,
    }
    drop(runtime);
    eprintln!("Sealed reels are in {}", reels.display());
    if args.record_only {
        return Ok(Exit::Done);
    }
    tap::open_recorded(&[reels.display().to_string()], &config)
}

fn live_source(config: &mut Config, shop: &traffic::Shop) -> Option<Box<dyn Source>> {
    config.flag("tap.interface", "interface", json!("lo"));
    config.flag("tap.bpfOverride", "bpf", json!(shop.bpf()));
    // The shop is part of this process: it is what the demo is to see.
    config.flag("tap.capture.captureSelf", "interface", json!(true));
    match tap::open_live(config, &OwnSockets::default()) {
        Ok(source) => Some(source),
        Err(failure) => {
            eprintln!("{}; replaying the shipped capture instead", failure.message);
            None
        }
    }
}

fn shipped() -> Result<Box<dyn Source>, Failure> {
    let source = FileSource::new("demo.pcap", Box::new(SHIPPED), 0)?;
    Ok(Box::new(source))
}

fn record(
    config: &Config,
    source: Box<dyn Source>,
    shop: Option<&traffic::Shop>,
    dir: &Path,
) -> Result<(), Failure> {
    let stop = Stop::default();
    let setup = Setup {
        source,
        names: None,
        cluster: Asked::default(),
        is_live: shop.is_some(),
        what: shop.map_or("the shipped capture".to_owned(), traffic::Shop::addresses),
        data: dir.join("data"),
        scripts: Vec::new(),
        env: Environment::of_all(config.env()),
        own: OwnSockets::default(),
        hub: None,
        dry: None,
        stop: stop.clone(),
    };
    let mut session = Session::start(config, setup)?;
    if let Some(shop) = shop {
        eprintln!("Capturing a shop on loopback: {}", shop.addresses());
        std::thread::sleep(SETTLE);
        let asked = shop.visit(ROUNDS)?;
        eprintln!(
            "{asked} HTTP requests and {} DNS queries were made",
            ROUNDS * 3
        );
        stop.stop();
    }
    session.wait(&stop);
    session.finish(false).map(|_| ())
}
