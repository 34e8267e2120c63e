//! What is said of a command line that cannot be read.
//!
//! In: the error of the parser. Out: its words, with a number called a number, and for commands and
//! forms of another program that are no more the command that took their place.

use std::io::IsTerminal;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands of another program, with what does the same here.
static ELSEWHERE: [(&str, &str); 7] = [
    ("pcap", "a capture is opened with: tapedeck tap --pcap FILE"),
    (
        "check",
        "a bucket is checked with: tapedeck store check s3://BUCKET",
    ),
    (
        "manifests",
        "manifests are made with: helm template deploy/helm/tapedeck",
    ),
    ("helm-chart", "the chart is installed with: tapedeck tap -A"),
    ("license", "no licence is needed"),
    ("pro", "no licence is needed"),
    ("pprof", "figures of a run are in: tapedeck logs"),
];

/// Prints the error where it belongs; help goes to stdout.
pub fn print(error: &clap::Error, args: &[std::ffi::OsString]) {
    if !error.use_stderr() {
        let _ = error.print();
        return;
    }
    let text = error.render();
    let text = match std::io::stderr().is_terminal() {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    eprint!("{}", said(&text, error, args));
}

fn said(text: &str, error: &clap::Error, args: &[std::ffi::OsString]) -> String {
    let mut text = text.replace("invalid digit found in string", "it is no whole number");
    if let Some(instead) = instead(error, args) {
        // A tip of the parser is a guess.
        let tip = format!("  tip: {instead}\n");
        let lines = text.lines().filter(|line| !line.contains("tip:"));
        let mut lines: Vec<&str> = lines.collect();
        lines.dedup_by(|one, before| one.is_empty() && before.is_empty());
        let usage = lines.iter().position(|line| line.contains("Usage:"));
        lines.insert(usage.unwrap_or(lines.len()), &tip);
        text = lines.join("\n") + "\n";
    }
    text
}

/// What took the place of a command of another program.
fn instead(error: &clap::Error, args: &[std::ffi::OsString]) -> Option<&'static str> {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) => {
            let mut elsewhere = ELSEWHERE.iter();
            elsewhere
                .find(|(known, _)| known == name)
                .map(|(_, instead)| *instead)
        }
        (ErrorKind::MissingRequiredArgument, _) => {
            let is_export = args.len() == 2 && args.get(1).is_some_and(|name| name == "export");
            is_export.then_some("what all nodes captured is merged with: tapedeck pcapdump")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    fn told(args: &[&str]) -> String {
        let args: Vec<std::ffi::OsString> = ["tapedeck"]
            .iter()
            .chain(args)
            .map(std::ffi::OsString::from)
            .collect();
        let error = Cli::command().try_get_matches_from(&args).unwrap_err();
        said(&error.to_string(), &error, &args)
    }

    #[test]
    fn commands_of_another_program_lead_to_ours() {
        for (name, instead) in ELSEWHERE {
            let told = told(&[name]);
            assert!(told.contains(instead), "{told}");
            assert_eq!(told.matches("tip:").count(), 1, "{told}");
        }
        assert!(told(&["export"]).contains("tapedeck pcapdump"));
        assert!(!told(&["export", "x.pcap"]).contains("pcapdump"));
    }

    #[test]
    fn a_number_is_called_a_number() {
        let told = told(&["query", "x.pcap", "--limit", "x"]);
        assert!(told.contains("it is no whole number"), "{told}");
        assert!(told.contains("--limit"), "{told}");
    }
}
