//! Recordings of the configuration's list, and those that commands and the API added: their schedules.
//!
//! In: declarations. Out: plans at the desk, kept over restarts; each is on when its schedule says.
//! Never: an invalid list in force; the last good one stays.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::declared::same_name;
use super::super::planned::{Memory, Plan};
use super::{Desk, Wishes};

/// Recordings that commands and the API may add.
const MAX_ADDED: usize = 256;

/// Time between two looks at the schedules.
const LOOK: Duration = Duration::from_secs(1);

impl Desk {
    /// Goes on with the recordings that were added in earlier runs, kept in the file `path`.
    pub fn remember(&self, path: PathBuf) {
        let (memory, said) = Memory::open(path);
        for sentence in said {
            (self.said)(&sentence);
        }
        let mut wishes = self.wishes();
        for declared in memory.added() {
            match self.basis.read(&declared) {
                Ok((wish, schedule)) => {
                    let made = memory
                        .made(&wish.name, &declared)
                        .unwrap_or_else(|| self.clock.now());
                    wishes.added.push(Plan {
                        wish,
                        schedule,
                        made,
                        declared,
                    });
                }
                Err(sentence) => (self.said)(&format!(
                    "a recording that was added is left out: {sentence}"
                )),
            }
        }
        wishes.memory = memory;
        self.apply(&mut wishes);
    }

    /// Begins and ends what the schedules say.
    pub(super) fn look(&self) {
        let mut wishes = self.wishes();
        let now = self.clock.now();
        // What was looked at ahead of `now` is looked at again: the clock was set back.
        let is_fresh = (wishes.looked..wishes.looked + LOOK).contains(&now);
        if is_fresh || wishes.plans().next().is_none() {
            return;
        }
        wishes.looked = now;
        if wishes.on(now) != wishes.on {
            self.apply(&mut wishes);
        }
    }

    /// Takes `recordings:` as it is now; with an invalid one the last good list stays.
    ///
    /// # Errors
    /// One sentence that names the recording and what is wrong with it.
    pub fn configure_list(&self, list: &Json) -> Result<(), String> {
        let list = list.as_array().map_or(&[][..], Vec::as_slice);
        let mut wishes = self.wishes();
        let mut plans: Vec<Plan> = Vec::new();
        for declared in list {
            let (wish, schedule) = self.basis.read(declared)?;
            self.warn(&wish);
            if plans.iter().any(|plan| plan.wish.name == wish.name) {
                return Err(same_name(&wish.name));
            }
            let made = wishes
                .memory
                .made(&wish.name, declared)
                .unwrap_or_else(|| self.clock.now());
            let declared = declared.clone();
            plans.push(Plan {
                wish,
                schedule,
                made,
                declared,
            });
        }
        if plans
            .iter()
            .map(|plan| &plan.declared)
            .eq(wishes.listed.iter().map(|plan| &plan.declared))
        {
            return Ok(());
        }
        wishes.listed = plans;
        self.keep(&mut wishes);
        self.apply(&mut wishes);
        Ok(())
    }

    /// Adds a recording, or changes one that was added.
    ///
    /// # Errors
    /// One sentence, when the declaration is wrong or the name is the configuration's.
    pub fn add(&self, declared: &Json) -> Result<Json, String> {
        let (wish, schedule) = self.basis.read(declared)?;
        self.warn(&wish);
        let name = wish.name.clone();
        let mut wishes = self.wishes();
        self.refuse_configured(&wishes, &name)?;
        wishes.added.retain(|plan| plan.wish.name != name);
        if wishes.added.len() >= MAX_ADDED {
            return Err(format!(
                "there can be {MAX_ADDED} added recordings; remove one first"
            ));
        }
        let declared = declared.clone();
        let made = self.clock.now();
        wishes.added.push(Plan {
            wish,
            schedule,
            made,
            declared,
        });
        self.keep(&mut wishes);
        self.apply(&mut wishes);
        drop(wishes);
        Ok(self.one(&name))
    }

    /// Ends a recording that was added and seals what is open of it.
    ///
    /// # Errors
    /// One sentence, when there is none, or it is the configuration's.
    pub fn remove(&self, name: &str) -> Result<Json, String> {
        let mut wishes = self.wishes();
        let before = wishes.added.len();
        wishes.added.retain(|plan| plan.wish.name != name);
        if wishes.added.len() == before {
            self.refuse_configured(&wishes, name)?;
            return Err(format!(
                "there is no recording {name} that was added; see: tapedeck recordings list"
            ));
        }
        self.keep(&mut wishes);
        self.apply(&mut wishes);
        Ok(json!({"removed": name}))
    }

    fn refuse_configured(&self, wishes: &Wishes, name: &str) -> Result<(), String> {
        if wishes.line.as_ref().is_some_and(|line| line.name == name) {
            return Err(format!(
                "the recording {name} is RECORDING_KFL; change it in the configuration"
            ));
        }
        if wishes.listed.iter().any(|plan| plan.wish.name == name) {
            return Err(format!(
                "the recording {name} stands in the configuration; change it there"
            ));
        }
        if wishes
            .scripts
            .values()
            .flatten()
            .any(|wish| wish.name == name)
        {
            return Err(format!(
                "the recording {name} is a script's; change it there"
            ));
        }
        Ok(())
    }

    fn keep(&self, wishes: &mut Wishes) {
        let plans: Vec<(Plan, bool)> = {
            let added = wishes.added.iter().map(|plan| (plan.clone(), true));
            added
                .chain(wishes.listed.iter().map(|plan| (plan.clone(), false)))
                .collect()
        };
        if let Err(error) = wishes.memory.keep(&plans) {
            (self.said)(&format!(
                "recordings that were added are forgotten at the end of this run: {error}"
            ));
        }
    }
}
