//! `tapedeck config`: the configuration in force, and where each value came from.

use clap::Args;
use serde_json::Value as Json;

use super::Global;
use super::config::keys::Status;
use super::config::{Config, Surroundings, regenerate_path};
use super::exit::{Exit, Failure, cannot_write};
use crate::private;
use crate::script::console::is_secret;

/// Print the configuration in force, or write a file with all keys
///
/// Values of names like SECRET, TOKEN, KEY and PASSWORD are masked unless the file is written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck config
  tapedeck config --explain
  tapedeck config --regenerate
  tapedeck config --regenerate --config-path other.yaml --set tap.storageLimit=20Gi")]
pub struct ConfigArgs {
    /// Write a file with every key at its default, but for what --set says; a file that is there
    /// stays as it is
    #[arg(short, long)]
    pub regenerate: bool,

    /// Say of each key what it does here and where its value came from
    #[arg(long)]
    explain: bool,
}

/// `value` with the values of secret names replaced.
pub fn mask(value: &mut Json) {
    match value {
        Json::Object(members) => {
            for (name, member) in members {
                match is_secret(name) {
                    true => mask_all(member),
                    false => mask(member),
                }
            }
        }
        Json::Array(list) => list.iter_mut().for_each(mask),
        _ => {}
    }
}

/// `value` with every text in it replaced.
fn mask_all(value: &mut Json) {
    match value {
        Json::String(text) if !text.is_empty() => *text = "********".to_owned(),
        Json::Object(members) => members.values_mut().for_each(mask_all),
        Json::Array(list) => list.iter_mut().for_each(mask_all),
        _ => {}
    }
}

/// Runs the command.
pub fn run(args: &ConfigArgs, config: &Config) -> Result<Exit, Failure> {
    if !args.explain {
        let mut tree: Json = serde_yaml_ng::from_str(&config.yaml()).unwrap_or_default();
        mask(&mut tree);
        super::print(
            serde_yaml_ng::to_string(&tree)
                .unwrap_or_default()
                .trim_end(),
        );
        return Ok(Exit::Done);
    }
    for (key, value, came) in config.all() {
        let mut value = value.clone();
        mask(&mut value);
        let status = match key.status {
            Status::Honoured => "",
            Status::Harmless => " [accepted, changes nothing here]",
            Status::NotYet | Status::NotYetCapture => " [not acted on in this version]",
        };
        super::print(format_args!(
            "{} = {value}  ({came}){status}\n    {}",
            key.path, key.doc
        ));
    }
    if let Some(file) = &config.file {
        eprintln!("read from {}", file.display());
    }
    Ok(Exit::Done)
}

/// Writes the file that would be read, where there is none. What is there is not even looked at: it may
/// be broken, and its values are nobody else's.
pub fn regenerate(global: &Global) -> Result<Exit, Failure> {
    use std::io::Write;
    let config = Config::of_defaults(global)?;
    for warning in &config.warnings {
        eprintln!("{}", super::Style::stderr().yellow(warning));
    }
    // The file is to belong to the user who called sudo, as the folder does.
    super::tap::give_up_rights()?;
    let path = regenerate_path(global, &Surroundings::of_process());
    if let Some(folder) = path.parent() {
        private::make_folder(folder).map_err(|error| cannot_write(&path, &error))?;
    }
    // It is to hold bucket secrets under scripting.env.
    let mut file = private::options()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Failure::usage(format!(
                "{} is there already and is the file that is read; remove it first, or name another with --config-path FILE",
                path.display()
            )),
            _ => cannot_write(&path, &error),
        })?;
    file.write_all(config.yaml().as_bytes())
        .map_err(|error| cannot_write(&path, &error))?;
    eprintln!("wrote {}", path.display());
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let mut tree = serde_json::json!({"scripting": {"env": {"AWS_SECRET_ACCESS_KEY": "abc", "AWS_REGION": "r"}}});
        mask(&mut tree);
        assert_eq!(
            tree["scripting"]["env"]["AWS_SECRET_ACCESS_KEY"],
            "********"
        );
        assert_eq!(tree["scripting"]["env"]["AWS_REGION"], "r");
    }
}
