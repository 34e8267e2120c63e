//! The command line: one file per subcommand, exit codes, and the effects that only a program has
//! (environment, standard streams, signals).
//!
//! Data goes to stdout, everything else to stderr. Messages to people are one sentence.

mod backtest;
mod browser;
mod certs;
pub mod config;
mod config_command;
mod console;
mod demo;
mod diff;
mod exit;
mod export;
mod grep;
mod heard;
mod instance;
mod kfl_command;
mod mcp;
mod pass;
mod probe;
mod progress;
mod query;
mod reading;
mod recordings;
mod reference;
mod release;
mod run;
mod scripts;
mod secrets;
mod signals;
mod source;
mod store;
mod style;
mod tap;
mod testing;
mod usage;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use crate::dissect::{self, Protocols};
use crate::flow::{Limits, OverlapPolicy};
use crate::item::Origin;
use crate::kfl::Schema;
use crate::pipeline::{self, Consumer, NamesOf, Stop};
use crate::script::check;
use crate::time::SystemClock;
use config::{Config, Surroundings};
pub use exit::{Exit, Failure};
pub use signals::stop_on_signal;
use style::Style;
use tracing_subscriber::layer::{Layer as _, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Records the Kubernetes traffic that matters and keeps it where nobody can change it.
#[derive(Debug, Parser)]
#[command(name = "tapedeck", version, max_term_width = 100, after_help = exit::HELP)]
struct Cli {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct Global {
    /// Read this configuration file and no other
    #[arg(long, global = true, value_name = "FILE")]
    config_path: Option<PathBuf>,

    /// Set a configuration value, as --set tap.storageLimit=1Gi; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Set a configuration value to JSON, as --set-json 'scripting.env={"S3_BUCKET":"b"}'
    #[arg(long, global = true, value_name = "KEY=JSON")]
    set_json: Vec<String>,

    /// Warn about unknown --set keys instead of refusing them
    #[arg(long, global = true)]
    set_lenient: bool,

    /// Log everything
    #[arg(short, long, global = true)]
    debug: bool,
}

impl Global {
    /// The flags as they were given, files with their whole paths; for a command that is started elsewhere.
    fn flags(&self) -> std::io::Result<Vec<String>> {
        let mut flags = Vec::new();
        let mut add = |flag: &str, value: &str| flags.extend([flag.to_owned(), value.to_owned()]);
        if let Some(path) = &self.config_path {
            let path = std::path::absolute(path)?;
            add("--config-path", &path.display().to_string());
        }
        self.set.iter().for_each(|pair| add("--set", pair));
        self.set_json
            .iter()
            .for_each(|pair| add("--set-json", pair));
        if self.set_lenient {
            flags.push("--set-lenient".to_owned());
        }
        if self.debug {
            flags.push("--debug".to_owned());
        }
        Ok(flags)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Tap(Box<tap::TapArgs>),
    Worker(tap::worker::WorkerArgs),
    Hub(tap::hub::HubArgs),
    Probe(probe::ProbeArgs),
    Certs(certs::CertsArgs),
    Query(query::QueryArgs),
    Recordings(recordings::RecordingsArgs),
    Export(export::ExportArgs),
    Backtest(backtest::BacktestArgs),
    Diff(diff::DiffArgs),
    Run(run::RunArgs),
    Test(testing::TestArgs),
    Scripts(scripts::ScriptsArgs),
    Console(console::ConsoleArgs),
    Mcp(mcp::McpArgs),
    Proxy(release::proxy::ProxyArgs),
    Clean(release::clean::CleanArgs),
    Logs(release::logs::LogsArgs),
    Pcapdump(release::pcapdump::PcapdumpArgs),
    Store(store::StoreArgs),
    Verify(verify::VerifyArgs),
    Kfl(kfl_command::KflArgs),
    Config(config_command::ConfigArgs),
    Demo(demo::DemoArgs),
    /// Print the version
    #[command(after_help = "\
Examples:
  tapedeck version")]
    Version,
    /// Print completion for a shell
    #[command(after_help = "\
Examples:
  tapedeck completion bash > ~/.local/share/bash-completion/completions/tapedeck
  tapedeck completion fish > ~/.config/fish/completions/tapedeck.fish
  tapedeck completion zsh > ~/.zfunc/_tapedeck    # with fpath+=(~/.zfunc) before compinit in ~/.zshrc")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Hidden first argument under which tapedeck starts itself for each script.
pub const SCRIPT_HOST: &str = "script-host";

/// Stack of the thread that does the work on Windows, whose first thread has an eighth of what others
/// have; engine and parsers are measured for this much.
#[cfg(windows)]
const STACK: usize = 8 << 20;

/// Runs the program with the process's own arguments.
#[cfg(windows)]
pub fn main() -> ExitCode {
    let thread = std::thread::Builder::new().name("main".into());
    let main = thread.stack_size(STACK).spawn(main_here);
    let ended = main.ok().and_then(|main| main.join().ok());
    // What panicked has said so.
    ended.unwrap_or_else(|| ExitCode::from(101))
}

/// Runs the program with the process's own arguments.
#[cfg(not(windows))]
pub fn main() -> ExitCode {
    main_here()
}

fn main_here() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|first| first == SCRIPT_HOST) {
        return crate::script::child::main(&fixed_schema());
    }
    if args
        .get(1)
        .is_some_and(|first| first == check::SCRIPT_CHECK)
    {
        return check::main(&fixed_schema(), |name, candidates| {
            config::nearest(name, candidates.iter().copied())
        });
    }
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            usage::print(&error, &args);
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
            .into();
        }
    };
    match dispatch(&cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("{}", Style::stderr().red(&failure.message));
            failure.exit.into()
        }
    }
}

fn dispatch(cli: &Cli) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Version => {
            print(format_args!("tapedeck {}", env!("CARGO_PKG_VERSION")));
            return Ok(Exit::Done);
        }
        Command::Completion { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "tapedeck", &mut text);
            print(String::from_utf8_lossy(&text).trim_end());
            match shell {
                clap_complete::Shell::Bash => print(include_str!("kfl_complete.bash").trim_end()),
                clap_complete::Shell::Fish => print(include_str!("kfl_complete.fish").trim_end()),
                clap_complete::Shell::Zsh => print(include_str!("kfl_complete.zsh").trim_end()),
                _ => {}
            }
            return Ok(Exit::Done);
        }
        // It runs again and again beside a worker: it needs neither configuration nor log.
        Command::Probe(args) => return probe::run(args),
        _ => {}
    }
    // The demo keeps root's home: it writes there as root.
    if !matches!(cli.command, Command::Demo(_)) {
        tap::as_caller()?;
    }
    if let Command::Config(args) = &cli.command
        && args.regenerate
    {
        return config_command::regenerate(&cli.global);
    }
    let config = Config::load(&cli.global, &Surroundings::of_process())?;
    start_log(
        cli.global.debug || config.bool("tap.debug"),
        config.text("logLevel"),
    )?;
    let (_, of_macros) = schema_and_faults(&config);
    let unknown = unknown_dissectors(&config.list(DISSECTORS));
    for warning in config.warnings.iter().chain(&of_macros).chain(&unknown) {
        eprintln!("{}", Style::stderr().yellow(warning));
    }
    match &cli.command {
        Command::Tap(args) => tap::run(args, &cli.global, config),
        Command::Worker(args) => tap::worker::run(args, &cli.global, config),
        Command::Hub(args) => tap::hub::run(args, &cli.global, config),
        Command::Certs(args) => certs::run(args),
        Command::Query(args) => query::run(args, &config),
        Command::Export(args) => export::run(args, &config),
        Command::Backtest(args) => backtest::run(args, &config),
        Command::Diff(args) => diff::run(args, &config),
        Command::Recordings(args) => recordings::run(args, &config),
        Command::Run(args) => run::run(args, &config),
        Command::Test(args) => testing::run(args, &config),
        Command::Scripts(args) => scripts::run(args, &config),
        Command::Console(args) => console::run(args, &config),
        Command::Mcp(args) => mcp::run(args, &cli.global, &config),
        Command::Proxy(args) => release::proxy::run(args, &config),
        Command::Clean(args) => release::clean::run(args, &config),
        Command::Logs(args) => release::logs::run(args, &config),
        Command::Pcapdump(args) => release::pcapdump::run(args, &config),
        Command::Store(args) => store::run(args, &config),
        Command::Verify(args) => verify::run(args, &config),
        Command::Kfl(args) => kfl_command::run(args, &config),
        Command::Config(args) => config_command::run(args, &config),
        Command::Demo(args) => demo::run(args, &cli.global, config),
        Command::Version | Command::Completion { .. } | Command::Probe(_) => Ok(Exit::Done),
    }
}

/// Prints a line on stdout.
///
/// The program ends here when that fails: quietly when whoever read it has gone away.
pub fn print(line: impl std::fmt::Display) {
    use std::io::Write;
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("{}", Style::stderr().red(&no_output(&error)));
        std::process::exit(1);
    }
}

/// Control characters of the traffic must not reach the terminal.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The sentence for output that could not be written.
pub fn no_output(error: &std::io::Error) -> String {
    format!("the output cannot be written: {error}")
}

/// Levels of the log, the quietest first, with what else they are called.
static LEVELS: [(&str, &[&str]); 5] = [
    ("error", &["fatal", "panic"]),
    ("warning", &["warn"]),
    ("info", &[]),
    ("debug", &[]),
    ("trace", &[]),
];

/// The level of a name, as the log calls it.
fn level(name: &str) -> Result<&'static str, Failure> {
    let is = |known: &&str| known.eq_ignore_ascii_case(name.trim());
    let mut levels = LEVELS.iter();
    let found = levels.find(|(level, others)| is(level) || others.iter().any(is));
    match found {
        Some(("warning", _)) => Ok("warn"),
        Some((level, _)) => Ok(level),
        None => Err(Failure::usage(format!(
            "logLevel {name} is no level; there are {}",
            LEVELS.map(|(level, _)| level).join(", ")
        ))),
    }
}

fn start_log(debug: bool, name: &str) -> Result<(), Failure> {
    let level = level(if debug { "debug" } else { name })?;
    let filter = tracing_subscriber::EnvFilter::try_new(format!("off,tapedeck={level}"))
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off,tapedeck=warn"));
    let printed = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(Style::stderr().is_on())
        .with_filter(filter);
    // Scripts hear records that nobody prints, too.
    let heard = heard::Heard.with_filter(tracing_subscriber::EnvFilter::new("off,tapedeck=info"));
    let _ = tracing_subscriber::registry()
        .with(printed)
        .with(heard)
        .try_init();
    Ok(())
}

/// Every field and macro that filters know, those of the configuration among them.
pub fn schema(config: &Config) -> Arc<Schema> {
    Arc::new(schema_and_faults(config).0)
}

/// The same, with a sentence about each macro of the configuration that is none.
fn schema_and_faults(config: &Config) -> (Schema, Vec<String>) {
    const KEY: &str = "tap.customMacros";
    let named = config.map(KEY);
    let texts = named
        .iter()
        .filter_map(|(name, text)| Some((name.as_str(), text.as_str()?)));
    let (schema, mut faults) = fixed_schema().with_macros(texts);
    let others = named.iter().filter(|(_, text)| !text.is_string());
    faults.extend(others.map(|(name, _)| format!("{name}: the query must be a text")));
    let told = faults
        .iter()
        .map(|fault| format!("{KEY}.{fault}"))
        .collect();
    (schema, told)
}

/// Every field and macro that filters know wherever they run; made once.
pub fn fixed_schema() -> Schema {
    static FIXED: LazyLock<Schema> = LazyLock::new(|| {
        let kinds = dissect::PROTOCOLS
            .iter()
            .flat_map(|protocol| protocol.kinds().iter().copied());
        let owners = dissect::PROTOCOLS.iter().flat_map(|protocol| {
            let fields = protocol.fields().iter();
            fields.map(|field| (field.path, protocol.name()))
        });
        Schema::new(dissect::fields(), kinds).with_owners(owners)
    });
    FIXED.clone()
}

/// The folder for spool, reels, outbox and script data.
pub fn data_dir(config: &Config) -> Result<PathBuf, Failure> {
    if let Some(dir) = config.text_if_set("tap.dataDir") {
        return Ok(PathBuf::from(dir));
    }
    match Surroundings::of_process().home {
        Some(home) => Ok(home.join(".tapedeck/data")),
        None => Err(Failure::usage(
            "there is no home folder; name a folder with --set tap.dataDir=DIR",
        )),
    }
}

/// `text` as a part of a URL's query.
pub fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Protocols that the configuration switches on, with their ports, and how streams are read.
pub fn protocols(config: &Config) -> Result<Protocols, Failure> {
    let names = config.list(DISSECTORS);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (further, only) = (ports(config, FURTHER_PORTS)?, ports(config, ONLY_PORTS)?);
    let policy = config.text("tap.misc.tcpOverlap");
    let overlap = OverlapPolicy::named(policy).ok_or_else(|| {
        let known: Vec<&str> = OverlapPolicy::ALL
            .iter()
            .map(|(_, name, _)| *name)
            .collect();
        Failure::usage(format!(
            "tap.misc.tcpOverlap: {policy} is no policy; there are {}",
            known.join(", ")
        ))
    })?;
    let protocols = dissect::enabled(&names).0.with_overlap(overlap);
    protocols.with_ports(&further, &only).map_err(|error| {
        let key = match dissect::Protocols::all().with_ports(&further, &[]) {
            Err(_) => FURTHER_PORTS,
            Ok(_) => ONLY_PORTS,
        };
        Failure::usage(format!("{key}: {error}"))
    })
}

/// A sentence for each entry of `tap.enabledDissectors` that switches nothing on.
fn unknown_dissectors<S: AsRef<str>>(names: &[S]) -> Vec<String> {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let unknown = dissect::enabled(&names).1.into_iter();
    let sentence = |name: &str| {
        let known = dissect::PROTOCOLS.iter().flat_map(|protocol| {
            let others = protocol.aliases().iter().copied();
            others.chain([protocol.enabled_by()])
        });
        let near = config::nearest(name, known).map(|near| format!("; did you mean {near}?"));
        let near = near.unwrap_or_default();
        format!("{DISSECTORS}: {name} is no protocol and switches nothing on{near}")
    };
    unknown.map(sentence).collect()
}

const DISSECTORS: &str = "tap.enabledDissectors";
const FURTHER_PORTS: &str = "tap.portMapping";
const ONLY_PORTS: &str = "tap.portLimits";

/// Ports by protocol: `{"redis": [6379, 6380]}`.
fn ports(config: &Config, key: &str) -> Result<Vec<(String, Vec<u16>)>, Failure> {
    let port_of = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    let mut lists = Vec::new();
    for (name, value) in config.map(key) {
        let values = match value {
            serde_json::Value::Array(values) => values,
            one => vec![one],
        };
        let ports: Option<Vec<u16>> = values
            .iter()
            .map(|value| port_of(value).filter(|port| *port > 0))
            .collect();
        let ports = ports.ok_or_else(|| {
            Failure::usage(format!(
                "{key}.{name}: write a list of ports from 1 to 65535, as [6379, 6380]"
            ))
        })?;
        lists.push((name, ports));
    }
    Ok(lists)
}

/// Flow limits from the configuration.
pub fn limits(config: &Config) -> Limits {
    Limits {
        tcp_idle: Duration::from_secs(config.int("tap.misc.tcpFlowTimeout")),
        udp_idle: Duration::from_secs(config.int("tap.misc.udpFlowTimeout")),
        ..Limits::default()
    }
}

/// A run over a recorded source.
pub fn offline_options(
    config: &Config,
    names: Option<NamesOf>,
    stop: Stop,
    consumers: Vec<Box<dyn Consumer>>,
) -> Result<pipeline::Options, Failure> {
    Ok(pipeline::Options {
        workers: usize::try_from(config.int("tap.workers")).unwrap_or_default(),
        protocols: secrets::protocols(config, None)?,
        limits: limits(config),
        origin: Arc::new(Origin::offline()),
        names,
        spool: None,
        live: false,
        clock: Arc::new(SystemClock),
        stop,
        counters: Arc::default(),
        cuts: pipeline::Cuts::default(),
        consumers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples_in_its_help() {
        fn lacking(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            for below in command
                .get_subcommands()
                .filter(|below| !below.is_hide_set())
            {
                let path = format!("{path} {}", below.get_name());
                let help = below.get_after_help().map(ToString::to_string);
                let has = help.is_some_and(|help| {
                    help.contains("Examples:\n") && help.contains("\n  tapedeck ")
                });
                if !has {
                    found.push(path.clone());
                }
                lacking(below, &path, found);
            }
        }
        let mut found = Vec::new();
        lacking(&Cli::command(), "tapedeck", &mut found);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn unknown_dissectors_are_named_with_the_nearest() {
        assert_eq!(
            unknown_dissectors(&["http", "ridis", "Kafka", "nonsense"]),
            [
                "tap.enabledDissectors: ridis is no protocol and switches nothing on; \
                 did you mean redis?",
                "tap.enabledDissectors: nonsense is no protocol and switches nothing on"
            ]
        );
        let defaults = Config::of_defaults(&Global::default()).unwrap();
        let names = defaults.list(DISSECTORS);
        assert!(!names.is_empty());
        assert_eq!(unknown_dissectors(&names), Vec::<String>::new());
    }

    #[test]
    fn levels_of_the_log_are_checked() {
        for (name, wanted) in [("warning", "warn"), ("WARN", "warn"), ("fatal", "error")] {
            assert_eq!(level(name).unwrap(), wanted, "{name}");
        }
        assert_eq!(
            level("loud").unwrap_err().message,
            "logLevel loud is no level; there are error, warning, info, debug, trace"
        );
    }
}
