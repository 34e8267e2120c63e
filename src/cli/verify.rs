//! `tapedeck verify`: whether an archive is as it was sealed.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::config::{Config, units};
use super::exit::{Exit, Failure};
use super::progress::Bar;
use super::source::{S3Args, read_pem};
use super::style::Style;
use crate::investigate::verify::{self, Anchor, Options, Report, SealedPart};
use crate::pipeline::Stop;
use crate::record::PREFIX;
use crate::record::sign::PublicKey;
use crate::store::folder::FolderStore;
use crate::store::{self, Store};
use crate::time::{Clock, SystemClock, Timestamp};

/// Prove that nothing in an archive is missing, changed, unlocked or out of order
///
/// Follows the chain of manifests of every node, and compares each object with what was sealed:
/// name, size, checksum, version, lock and legal hold. Reads manifests alone; --deep reads and
/// hashes every byte.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck verify s3://my-bucket/
  tapedeck verify s3://my-bucket/ --public-key public.pem --expect-nodes node-a,node-b
  tapedeck verify s3://my-bucket/ --print-head > heads.json    # keep it elsewhere
  tapedeck verify s3://my-bucket/ --head heads.json --deep --yes

Exit codes:
  0  everything is as it was sealed
  1  the archive cannot be looked at
  2  wrong usage, or a right is missing
  3  something is missing, changed, unlocked or out of order; it is named")]
pub struct VerifyArgs {
    /// What recordings were sent to: s3://bucket/prefix, gs://, az:// or a folder
    #[arg(value_name = "SRC")]
    source: String,

    #[command(flatten)]
    s3: S3Args,

    /// Read and hash all bytes
    #[arg(long)]
    deep: bool,

    /// With --deep, ask before more than this is read
    #[arg(long, value_name = "SIZE", default_value = "1Gi")]
    max_read: String,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Public key (PEM) that every manifest must be signed with; may be repeated
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,

    /// Nodes that must be there and must not be silent
    #[arg(long, value_name = "NODE,...", value_delimiter = ',')]
    expect_nodes: Vec<String>,

    /// Only what began since then: 24h, 2024-02-03 or 2024-02-03T04:05:06Z
    #[arg(long, value_name = "DURATION|TIME")]
    since: Option<String>,

    /// Compare with heads that --print-head printed earlier
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,

    /// Print the heads of all chains as JSON, to be kept elsewhere; the report goes to stderr
    #[arg(long)]
    print_head: bool,

    /// How to print the report
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// Runs the command.
pub fn run(args: &VerifyArgs, config: &Config) -> Result<Exit, Failure> {
    let now = SystemClock.now();
    let max_read = units::quantity(&args.max_read).ok_or_else(|| {
        Failure::usage(format!(
            "--max-read {} is no size; write it as 500Mi or 2Gi",
            args.max_read
        ))
    })?;
    let options = Options {
        keys: args
            .public_key
            .iter()
            .map(|path| public_key(path))
            .collect::<Result<_, _>>()?,
        expect_nodes: args.expect_nodes.clone(),
        since: args
            .since
            .as_deref()
            .map(|text| since(text, now))
            .transpose()?,
        anchor: args.head.as_deref().map(anchor).transpose()?,
        deep: args.deep,
        now,
    };
    let store = open(&args.source, &args.s3, config)?;
    if let Some(anchor) = &options.anchor
        && anchor.store != store.name()
    {
        let sentence = format!(
            "the anchor was taken of {}, not of {}",
            anchor.store,
            store.name()
        );
        eprintln!("{}", Style::stderr().yellow(&sentence));
    }
    let mut report = verify::check(&*store, &options, &|| true)?;
    if report.counts.objects == 0 && options.since.is_none() && options.anchor.is_none() {
        return Err(Failure::failed(format!(
            "there is nothing below {}/{PREFIX}; name what recordings were sent to, as `tapedeck config --explain` says it",
            store.name().trim_end_matches('/')
        )));
    }
    if args.deep {
        let parts = std::mem::take(&mut report.parts);
        confirm(&parts, max_read, args.yes)?;
        deep(&*store, &parts, &mut report)?;
    }
    report.blind_spots = verify::blind_spots(&report, &options);
    if args.print_head {
        let heads = serde_json::to_string_pretty(&report.anchor()).unwrap_or_default();
        super::print(heads);
        eprint!("{}", text(&report, Style::stderr()));
    } else if args.format == Format::Json {
        super::print(serde_json::to_string(&report).unwrap_or_default());
    } else {
        super::print(text(&report, Style::stdout()).trim_end());
    }
    Ok(match report.is_clean() {
        true => Exit::Done,
        false => Exit::Gaps,
    })
}

/// Opens the store; a folder must exist.
fn open(source: &str, s3: &S3Args, config: &Config) -> Result<Arc<dyn Store>, Failure> {
    let path = source.strip_prefix("file://").unwrap_or(source);
    if path.contains("://") {
        return Ok(store::open(source, &s3.open_options(config))?);
    }
    Ok(Arc::new(FolderStore::open(Path::new(path))?))
}

fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&read_pem(path)?)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn anchor(path: &Path) -> Result<Anchor, Failure> {
    let failed = |error: String| Failure::usage(format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(Anchor::MAX_BYTES).read_to_end(&mut bytes))
        .map_err(|error| failed(error.to_string()))?;
    Anchor::parse(&bytes).map_err(failed)
}

/// A time, or a duration before now.
fn since(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Some(ago) = units::duration(text) {
        return Ok(now - ago);
    }
    let at = Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}T00:00:00Z")));
    at.ok_or_else(|| {
        Failure::usage(format!(
            "--since {text} is no time; write it as 24h, 2024-02-03 or 2024-02-03T04:05:06Z"
        ))
    })
}

/// Says how much is read, and asks when it is much.
fn confirm(parts: &[SealedPart], most: u64, yes: bool) -> Result<(), Failure> {
    let bytes: u64 = parts.iter().map(|part| part.size).sum();
    let what = format!("{} objects with {} bytes", parts.len(), bytes);
    eprintln!("Reading {what}");
    if yes || bytes <= most {
        return Ok(());
    }
    let refused = || {
        Failure::usage(format!(
            "{what} are more than --max-read; add --yes to read them"
        ))
    };
    if !std::io::stdin().is_terminal() {
        return Err(refused());
    }
    eprint!("This is more than --max-read. Go on? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(refused()),
    }
}

fn deep(store: &dyn Store, parts: &[SealedPart], report: &mut Report) -> Result<(), Failure> {
    let stop = Stop::default();
    super::stop_on_signal(&stop)?;
    let bar = Bar::for_reading();
    let all = parts.iter().map(|part| part.size).sum();
    let (read, findings) = verify::read_parts(store, parts, &|done| {
        bar.set(done, all);
        !stop.is_asked()
    });
    if stop.is_asked() {
        return Err(Failure::failed(format!(
            "stopped after {read} of {} objects",
            parts.len()
        )));
    }
    report.counts.read = read;
    report.extend(findings);
    Ok(())
}

/// The report for people.
fn text(report: &Report, style: Style) -> String {
    let mut lines = vec![style.bold(&report.store)];
    for (name, value) in &report.facts {
        lines.push(format!("  {name:18} {value}"));
    }
    for chain in &report.chains {
        let state = match chain.ended {
            true => "ended",
            false => "goes on",
        };
        lines.push(format!(
            "{} (cluster {}): {} manifests of {} runs, {} to {}, {state}",
            style.bold(&chain.head.node),
            chain.head.cluster,
            chain.manifests,
            chain.runs,
            chain.from,
            chain.to
        ));
        lines.push(format!("  head {} {}", chain.head.sha256, chain.head.key));
    }
    let counts = &report.counts;
    lines.push(format!(
        "{} objects: {} manifests, {} reels with {} bytes; {} equal checksums, {} read and hashed",
        counts.objects, counts.manifests, counts.reels, counts.bytes, counts.checksums, counts.read
    ));
    lines.push(format!(
        "locks: {} hold, {} ended, {} never were, {} unknown; {} under legal hold; {} signatures hold",
        counts.locked,
        counts.lock_ended,
        counts.not_locked,
        counts.lock_unknown,
        counts.held,
        counts.signed
    ));
    for remark in &report.remarks {
        lines.push(style.yellow(remark));
    }
    for finding in &report.findings {
        let title = style.red(finding.what.title());
        lines.push(format!("{title}: {}", finding.sentence));
    }
    if report.more_findings > 0 {
        lines.push(format!("and {} more", report.more_findings));
    }
    for spot in &report.blind_spots {
        lines.push(style.dim(&format!("not seen: {spot}")));
    }
    lines.push(match report.is_clean() {
        true if report.counts.has_bytes() => {
            style.green("everything that was looked at is as it was sealed")
        }
        true => style.yellow(
            "manifests, sizes and locks are as it was sealed; the bytes of reels were not read: --deep reads them",
        ),
        false => style.red(&format!(
            "{} objects are not as they were sealed",
            report.findings.len() as u64 + report.more_findings
        )),
    });
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_durations_dates_and_times() {
        let now = Timestamp::from_secs(1_706_933_106, 0);
        let cases = [
            ("24h", "2024-02-02T04:05:06.000000000Z"),
            ("2024-02-01", "2024-02-01T00:00:00.000000000Z"),
            (
                "2024-02-01T06:00:00+02:00",
                "2024-02-01T04:00:00.000000000Z",
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(since(text, now).unwrap().to_string(), wanted, "{text}");
        }
        let error = since("yesterday", now).unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.message.contains("24h"), "{error}");
    }

    #[test]
    fn much_is_not_read_without_a_yes() {
        let part = SealedPart {
            key: "k".into(),
            version: None,
            size: 100,
            sha256: [0; 32],
        };
        let parts = [part];
        assert!(confirm(&parts, 100, false).is_ok());
        assert!(confirm(&parts, 99, true).is_ok());
        if !std::io::stdin().is_terminal() {
            let error = confirm(&parts, 99, false).unwrap_err();
            assert!(error.message.contains("--yes"), "{error}");
        }
    }
}
