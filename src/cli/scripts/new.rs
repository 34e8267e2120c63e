//! `tapedeck scripts new`: a script to start from, with types beside it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::super::exit::{Exit, Failure, cannot_write};
use super::super::reference::{DECLARATIONS, declarations};
use super::super::release::NoInstance;

/// What every new script begins as.
const STARTER: &str = include_str!("starter.js");

/// Tells editors that scripts and types in this folder belong together.
const EDITOR: &str = r#"{
  "compilerOptions": {
    "checkJs": false,
    "lib": ["ES2022"],
    "types": []
  },
  "include": ["*.js", "tapedeck.d.ts"]
}
"#;

/// Start a new script, with types for the editor beside it
///
/// Writes NAME.js, which is never overwritten, tapedeck.d.ts with the types of this version, and
/// jsconfig.json if there is none.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck scripts new slow_orders
  tapedeck scripts new slow_orders --dir scripts/")]
pub struct NewArgs {
    /// Name of the script, which is its file's name too
    name: String,

    /// Folder to write to; made if it is not there
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    dir: PathBuf,

    #[command(flatten)]
    pub(super) no_instance: NoInstance,
}

/// Runs the command.
pub fn run(args: &NewArgs) -> Result<Exit, Failure> {
    let name = args.name.strip_suffix(".js").unwrap_or(&args.name);
    let is_plain = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(Failure::usage(format!(
            "{name:?} is no name for a script; use letters, digits, - and _"
        )));
    }
    fs::create_dir_all(&args.dir).map_err(|error| {
        Failure::of(
            &error,
            format!("{} cannot be made: {error}", args.dir.display()),
        )
    })?;
    let path = args.dir.join(format!("{name}.js"));
    if !write_new(&path, &starter(name, &path))? {
        return Err(Failure::usage(format!(
            "{} is there already; choose another name",
            path.display()
        )));
    }
    let types = args.dir.join(DECLARATIONS);
    fs::write(&types, declarations()).map_err(|error| cannot_write(&types, &error))?;
    write_new(&args.dir.join("jsconfig.json"), EDITOR)?;
    super::super::print(path.display());
    eprintln!(
        "Try it on a capture: tapedeck run {} --pcap FILE --watch",
        path.display()
    );
    Ok(Exit::Done)
}

fn starter(name: &str, path: &Path) -> String {
    let words = name.replace(['_', '-'], " ");
    let mut letters = words.chars();
    let title: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(letters)
        .collect();
    STARTER
        .replace("@TITLE@", &title)
        .replace("@FILE@", &path.display().to_string())
        .replace("@TAG@", &name.to_lowercase().replace([' ', '_'], "-"))
}

/// Writes a file that must not be there yet; false when it is.
fn write_new(path: &Path, text: &str) -> Result<bool, Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    match opened {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(cannot_write(path, &error)),
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .map_err(|error| cannot_write(path, &error))?,
    }
    Ok(true)
}
