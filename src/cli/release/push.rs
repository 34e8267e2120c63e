//! Follows the script folders of this computer into a run elsewhere: the hub of a release.
//!
//! In: files as they are saved. Out: pushed scripts (`server::Pushed`) of the same names. Never: a script
//! that cannot be parsed in place of one that runs; a file that is half saved.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::super::instance::Instance;
use super::super::stop_on_signal;
use super::super::style::Style;
use super::super::tap::live::{script_env, script_sources};
use super::Place;
use crate::pipeline::Stop;
use crate::script::check::{self, Rule};
use crate::script::environment::Environment;
use crate::script::folder::texts;

/// Time between two looks at the folders; what is the same at two of them is saved.
const LOOK: Duration = Duration::from_millis(200);

/// Pause before a hub that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(3);

/// Pushes the scripts of the configuration, and follows them when it says so.
///
/// # Errors
/// When there is no folder, a script cannot be parsed, or the hub refuses.
pub fn run(place: &Place, config: &Config) -> Result<Exit, Failure> {
    let sources = script_sources(config);
    if sources.is_empty() {
        return Err(Failure::usage(
            "no folder of scripts is named; set scripting.source to one, as --set scripting.source=scripts/",
        ));
    }
    let mut pusher = Pusher::new(sources, script_env(config));
    let pushed = pusher.begin(&place.instance)?;
    eprintln!(
        "{} {} at the {}",
        pushed,
        if pushed == 1 {
            "script is"
        } else {
            "scripts are"
        },
        place.instance.source
    );
    tell_nodes(&place.instance);
    if !config.bool("scripting.watchScripts") {
        return Ok(Exit::Done);
    }
    eprintln!("Following changes; Ctrl+C ends that, and the scripts go on");
    let stop = Stop::default();
    stop_on_signal(&stop)?;
    while !stop.is_asked() {
        std::thread::sleep(LOOK);
        pusher.follow(&place.instance);
    }
    Ok(Exit::Done)
}

/// Says which nodes run which scripts, and what is wrong there.
fn tell_nodes(instance: &Instance) {
    let Ok(Json::Array(scripts)) = instance.get("/api/scripts") else {
        return;
    };
    let mut nodes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for script in &scripts {
        let node = script["node"].as_str().unwrap_or("hub");
        let title = script["title"].as_str().unwrap_or_default();
        let state = script["state"].as_str().unwrap_or_default();
        nodes
            .entry(node)
            .or_default()
            .push(format!("{title} {state}"));
    }
    for (node, scripts) in nodes {
        eprintln!("{node}: {}", scripts.join(", "));
    }
}

/// What was pushed, and what is to be.
pub(super) struct Pusher {
    sources: Vec<PathBuf>,
    env: Environment,
    /// Texts at the last look.
    seen: BTreeMap<String, String>,
    /// Texts and numbers that the hub has.
    there: BTreeMap<String, (u64, String)>,
    /// Sentences that were said.
    said: Vec<String>,
    /// No question before this.
    after: Option<Instant>,
    /// Whether the hub may have lost what it had.
    anew: bool,
}

impl Pusher {
    pub(super) fn new(sources: Vec<PathBuf>, env: Environment) -> Pusher {
        Pusher {
            sources,
            env,
            seen: BTreeMap::new(),
            there: BTreeMap::new(),
            said: Vec::new(),
            after: None,
            anew: false,
        }
    }

    /// Pushes env and all scripts, and says that this is all; answers how many there are.
    pub(super) fn begin(&mut self, instance: &Instance) -> Result<usize, Failure> {
        let (found, sentences) = texts(&self.sources);
        if let Some(sentence) = sentences.first() {
            return Err(Failure::usage(sentence.clone()));
        }
        for (name, code) in &found {
            // One file that cannot be read stops the loading of all.
            if let Some(sentence) = syntax_error(name, code)? {
                return Err(Failure::failed(sentence));
            }
        }
        self.seen = found.into_iter().collect();
        self.push_all(instance)?;
        Ok(self.there.len())
    }

    fn push_all(&mut self, instance: &Instance) -> Result<(), Failure> {
        self.there.clear();
        if !self.env.all.is_empty() {
            let env = Json::Object(self.env.all.clone());
            instance.post_json("/api/scripts/env", &env)?;
        }
        let scripts = self.seen.clone();
        for (name, code) in scripts {
            self.push(instance, name, code)?;
        }
        let files: Vec<&String> = self.there.keys().collect();
        instance.post_json("/api/scripts/done", &json!({"files": files}))?;
        Ok(())
    }

    fn push(&mut self, instance: &Instance, name: String, code: String) -> Result<(), Failure> {
        let script = json!({"file": name, "code": code});
        let number = match self.there.get(&name) {
            Some((number, _)) => {
                let path = format!("/api/scripts/{number}");
                instance.put_json(&path, &script)?;
                *number
            }
            None => {
                let answer = instance.post_json("/api/scripts", &script)?;
                answer["index"].as_u64().unwrap_or_default()
            }
        };
        self.there.insert(name, (number, code));
        Ok(())
    }

    /// Pushes what was saved since, and takes away what is gone.
    pub(super) fn follow(&mut self, instance: &Instance) {
        if self.after.is_some_and(|after| Instant::now() < after) {
            return;
        }
        let (found, sentences) = texts(&self.sources);
        for sentence in sentences {
            self.say(&sentence);
        }
        let now: BTreeMap<String, String> = found.into_iter().collect();
        let is_settled = now == self.seen;
        self.seen = now;
        if !is_settled {
            return;
        }
        if let Err(failure) = self.bring(instance) {
            self.say(&failure.message);
            (self.after, self.anew) = (Some(Instant::now() + PAUSE), true);
        }
    }

    fn bring(&mut self, instance: &Instance) -> Result<(), Failure> {
        if std::mem::take(&mut self.anew) {
            // A hub that was started anew elsewhere has nothing of it.
            let readable =
                |name: &String, code: &String| matches!(syntax_error(name, code), Ok(None));
            self.seen.retain(|name, code| readable(name, code));
            self.push_all(instance)?;
            eprintln!("The hub is there again and has all scripts");
            return Ok(());
        }
        let gone: Vec<(String, u64)> = self
            .there
            .iter()
            .filter(|(name, _)| !self.seen.contains_key(*name))
            .map(|(name, (number, _))| (name.clone(), *number))
            .collect();
        for (name, number) in gone {
            instance.delete(&format!("/api/scripts/{number}"))?;
            self.there.remove(&name);
            eprintln!("Removed {name}");
        }
        let news: Vec<(String, String)> = self
            .seen
            .iter()
            .filter(|(name, code)| self.there.get(*name).is_none_or(|there| there.1 != **code))
            .map(|(name, code)| (name.clone(), code.clone()))
            .collect();
        for (name, code) in news {
            match syntax_error(&name, &code)? {
                None => {
                    self.push(instance, name.clone(), code)?;
                    self.said.clear();
                    eprintln!("Pushed {name}");
                }
                Some(sentence) => self.say(&format!("{sentence}; the last good version goes on")),
            }
        }
        Ok(())
    }

    fn say(&mut self, sentence: &str) {
        if !self.said.iter().any(|said| said == sentence) {
            eprintln!("{}", Style::stderr().yellow(sentence));
            self.said.push(sentence.to_owned());
        }
    }
}

/// What makes a script unreadable, with its place.
fn syntax_error(name: &str, code: &str) -> Result<Option<String>, Failure> {
    let program = std::env::current_exe()?;
    let found = check::check(&program, code, Vec::new(), Vec::new())?;
    let mut found = found.into_iter().filter(|one| one.rule == Rule::Syntax);
    Ok(found
        .next()
        .map(|one| format!("{name}:{}:{}: {}", one.line, one.column, one.message)))
}
