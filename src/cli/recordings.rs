//! `tapedeck recordings`: the recordings of a running instance.

use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};

use super::config::Config;
use super::exit::{Exit, Failure};
use super::instance::Instance;
use super::release::{InstanceArgs, Place};
use super::style::Style;

/// Show, add, end and seal the recordings of a running tapedeck
///
/// Recordings of the configuration (recordings: and RECORDING_KFL) follow the file; those that are
/// added here last until they are removed, also over a restart.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  tapedeck recordings
  tapedeck recordings add errors --kfl 'http and response.status >= 500' --duration 2h
  tapedeck recordings add night --kfl dns --start 22:00 --duration 8h --iterations 0 --redact credentials
  tapedeck recordings seal errors
  tapedeck recordings list -s tapedeck
  tapedeck recordings remove errors"
)]
pub struct RecordingsArgs {
    #[command(subcommand)]
    what: Option<What>,

    /// JSON instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    release: InstanceArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the recordings
    #[command(after_help = "\
Examples:
  tapedeck recordings list
  tapedeck recordings list -s tapedeck --json")]
    List {
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    Add(Box<AddArgs>),
    /// End a recording that was added; what is open is sealed and uploaded
    #[command(after_help = "\
Examples:
  tapedeck recordings remove errors")]
    Remove {
        /// Its name
        name: String,
    },
    /// Seal what is open of a recording, or of all
    #[command(after_help = "\
Examples:
  tapedeck recordings seal
  tapedeck recordings seal errors")]
    Seal {
        /// Its name; all when left out
        name: Option<String>,
    },
}

/// Add a recording, or change one that was added
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck recordings add errors --kfl 'http and response.status >= 500' --duration 2h
  tapedeck recordings add night --kfl dns --start 22:00 --duration 8h --iterations 0
  tapedeck recordings add audit --kfl http --destination s3://my-bucket/audit --redact credentials")]
struct AddArgs {
    /// Its name: a to z, 0 to 9 and -
    name: String,

    /// Which items make it take their stream
    #[arg(long, value_name = "KFL")]
    kfl: String,

    /// Time of day at which it begins, UTC; now when left out
    #[arg(long, value_name = "HH:mm")]
    start: Option<String>,

    /// On how many days; 0 is every day
    #[arg(long, value_name = "N")]
    iterations: Option<u32>,

    /// How long each time, as 90m; a bare number is minutes
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,

    /// When it ends for good, as 7d; a bare number is minutes
    #[arg(long, value_name = "TIME")]
    expiry: Option<String>,

    /// Store: s3://bucket/prefix or a folder
    #[arg(long, value_name = "URL")]
    destination: Option<String>,

    /// Form of the packets: pcapng or pcap
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,

    /// Lock of its objects: GOVERNANCE or COMPLIANCE
    #[arg(long, value_name = "MODE", requires = "lock_days")]
    lock_mode: Option<String>,

    /// Days of the lock
    #[arg(long, value_name = "DAYS", requires = "lock_mode")]
    lock_days: Option<u64>,

    /// The days once more, which a COMPLIANCE lock wants
    #[arg(long, value_name = "DAYS")]
    acknowledge_days: Option<u64>,

    /// Put a legal hold on its objects
    #[arg(long)]
    legal_hold: bool,

    /// Leave out the packets from before the match
    #[arg(long)]
    no_look_back: bool,

    /// Captured bytes a day from which on it takes no further stream, as 1Gi
    #[arg(long, value_name = "SIZE")]
    bytes_per_day: Option<String>,

    /// What is overwritten before sealing: credentials, or JSON as {"headers":["x-api-key"]}
    #[arg(long, value_name = "RULE")]
    redact: Option<String>,

    /// What is kept of payloads: full, headers or none
    #[arg(long, value_name = "WHAT")]
    payload: Option<String>,

    /// Storage class of its objects, as STANDARD_IA
    #[arg(long, value_name = "CLASS")]
    storage_class: Option<String>,
}

impl AddArgs {
    fn declaration(&self) -> Json {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Json>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        // A bare number is one of minutes.
        let time = |text: &Option<String>| {
            text.as_ref()
                .map(|text| text.parse::<u64>().map_or_else(|_| json!(text), Json::from))
        };
        put("name", Some(json!(self.name)));
        put("kfl", Some(json!(self.kfl)));
        put("start", text(&self.start));
        put("iterations", self.iterations.map(Json::from));
        put("duration", time(&self.duration));
        put("expiry", time(&self.expiry));
        put("destination", text(&self.destination));
        put("format", text(&self.format));
        let lock = self.lock_mode.as_ref().map(|mode| {
            json!({
                "mode": mode,
                "days": self.lock_days.unwrap_or_default(),
                "acknowledgeDays": self.acknowledge_days.unwrap_or_default(),
            })
        });
        put("retention", lock);
        put("legalHold", self.legal_hold.then_some(Json::Bool(true)));
        put("lookBack", self.no_look_back.then_some(Json::Bool(false)));
        let limit = self.bytes_per_day.as_ref();
        put("limits", limit.map(|limit| json!({"bytesPerDay": limit})));
        let rule = self.redact.as_ref();
        put(
            "redact",
            rule.map(|rule| serde_json::from_str(rule).unwrap_or_else(|_| json!(rule))),
        );
        put("payload", text(&self.payload));
        put("storageClass", text(&self.storage_class));
        Json::Object(fields)
    }
}

/// Runs the command.
pub fn run(args: &RecordingsArgs, config: &Config) -> Result<Exit, Failure> {
    let place = Place::find(&args.release, config)?;
    let found = &place.instance;
    match &args.what {
        None => list(found, args.json),
        Some(What::List { json }) => list(found, *json || args.json),
        Some(What::Add(add)) => {
            let made = found.post_json("/api/recordings/add", &add.declaration())?;
            eprintln!(
                "The recording {} is {}: {} to {}",
                add.name,
                made["state"].as_str().unwrap_or("on"),
                plain(&made["kfl"]),
                plain(&made["destination"]),
            );
            Ok(Exit::Done)
        }
        Some(What::Remove { name }) => {
            found.post(&format!(
                "/api/recordings/remove?name={}",
                super::percent(name)
            ))?;
            eprintln!("The recording {name} is removed; what was open is sealed for upload");
            Ok(Exit::Done)
        }
        Some(What::Seal { name }) => {
            let name = name.as_deref().unwrap_or_default();
            let sealed = found.post(&format!(
                "/api/recordings/seal?name={}",
                super::percent(name)
            ))?;
            eprintln!("{sealed} open reels are sealed for upload");
            Ok(Exit::Done)
        }
    }
}

fn list(found: &Instance, json: bool) -> Result<Exit, Failure> {
    let all = found.get("/api/recordings")?;
    if json {
        super::print(&all);
        return Ok(Exit::Done);
    }
    let style = Style::stdout();
    let list = all.as_array().map_or(&[][..], Vec::as_slice);
    if list.is_empty() {
        eprintln!("Nothing is recorded; set RECORDING_KFL, or see: tapedeck recordings add --help");
    }
    for one in list {
        let state = one["state"].as_str().unwrap_or("on");
        let painted = match state {
            "on" => style.green(state),
            _ => style.dim(state),
        };
        let number = |name: &str| one[name].as_u64().unwrap_or_default();
        let limit = match number("bytesPerDay") {
            0 => "no limit".to_owned(),
            limit => size(limit),
        };
        super::print(format_args!(
            "{:<24} {painted:<8} {} streams, {} in {} reels, today {} of {limit}, {}/s, {} a day  {}",
            plain(&one["name"]),
            number("streams"),
            size(number("bytes")),
            number("reels"),
            size(number("bytesToday")),
            size(number("rate")),
            size(number("forecast")),
            style.dim(&format!(
                "{} to {}",
                plain(&one["kfl"]),
                plain(&one["destination"])
            )),
        ));
        if let Some(error) = one["error"].as_str() {
            eprintln!("{}", style.red(error));
        }
    }
    Ok(Exit::Done)
}

fn plain(value: &Json) -> String {
    super::plain(value.as_str().unwrap_or_default())
}

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_people() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(10 << 30), "10.0 GiB");
    }
}
