//! What a test says about itself in the comments at its head.
//!
//! ```text
//! // @pcap ../examples/demo.pcap     the capture, relative to the test; else --pcap
//! // @script other.js                a script to run, relative to the test; else the one it is named after
//! // @env SLOW_MS=200                what the script sees as env.SLOW_MS
//! // @run-jobs-at-end                every job runs once more when the capture has ended
//! ```

use std::path::{Path, PathBuf};

/// How one test file wants its scripts to be run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    /// Captures, in order; empty means those of the command line.
    pub(super) pcaps: Vec<String>,
    /// The scripts under test.
    pub(super) scripts: Vec<PathBuf>,
    /// Settings `NAME=VALUE`.
    pub(super) env: Vec<String>,
    /// Whether jobs run once more at the end.
    pub(super) run_jobs_at_end: bool,
}

/// Reads the comments at the head of a test.
///
/// # Errors
/// A sentence with the line when a directive is unknown, or nothing says which script is meant.
pub(super) fn read(path: &Path, code: &str) -> Result<Directives, String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut found = Directives::default();
    let comments = code
        .lines()
        .map(str::trim)
        .take_while(|line| line.is_empty() || line.starts_with("//"));
    for (index, line) in comments.enumerate() {
        let Some(directive) = line.trim_start_matches('/').trim().strip_prefix('@') else {
            continue;
        };
        let (name, value) = directive
            .split_once(char::is_whitespace)
            .unwrap_or((directive, ""));
        let value = value.trim();
        match name {
            "pcap" if value.contains("://") => found.pcaps.push(value.to_owned()),
            "pcap" => found.pcaps.push(folder.join(value).display().to_string()),
            "script" => found.scripts.push(folder.join(value)),
            "env" => found.env.push(value.to_owned()),
            "run-jobs-at-end" => found.run_jobs_at_end = true,
            _ => {
                return Err(format!(
                    "line {}: @{name} is none of @pcap, @script, @env and @run-jobs-at-end",
                    index + 1
                ));
            }
        }
    }
    if found.scripts.is_empty() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let script = folder.join(format!("{}.js", name.trim_end_matches(".test.js")));
        found.scripts.push(script);
    }
    match found.scripts.iter().find(|script| !script.is_file()) {
        Some(missing) => Err(format!("the script {} is not there", missing.display())),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_test_says_how_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let test = dir.path().join("a.test.js");
        let script = dir.path().join("a.js");
        assert!(read(&test, "").unwrap_err().contains("a.js is not there"));
        std::fs::write(&script, "").unwrap();
        let code = "// A test\n//\n// @pcap x.pcap\n// @pcap s3://b/\n// @env A=1=2\n\n// @run-jobs-at-end\nit();\n// @nothing";
        let expected = Directives {
            pcaps: vec![
                dir.path().join("x.pcap").display().to_string(),
                "s3://b/".to_owned(),
            ],
            scripts: vec![script],
            env: vec!["A=1=2".to_owned()],
            run_jobs_at_end: true,
        };
        assert_eq!(read(&test, code), Ok(expected));
        let error = read(&test, "\n// @envs A=1").unwrap_err();
        assert!(error.starts_with("line 2: @envs is none"), "{error}");
    }
}
