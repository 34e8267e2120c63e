//! What two hubs keep in one place.
//!
//! In: the files of a hub as it kept them last and as they are, and those of the place, which another hub may
//! have changed. Out: changes of the place. Never: a file or recording of the other hub that goes with them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::RECORDINGS;
use crate::cluster::Files;

/// What is to be changed in `there` so that it has what became of `base` in `now`.
pub(super) fn rebased(
    base: &Files,
    now: &Files,
    there: &Files,
) -> BTreeMap<String, Option<Vec<u8>>> {
    let gone = base.keys().filter(|name| !now.contains_key(*name));
    let gone = gone.map(|name| (name.clone(), None));
    let other = now
        .iter()
        .filter(|(name, bytes)| base.get(*name) != Some(bytes))
        .map(|(name, bytes)| (name.clone(), Some(bytes.clone())));
    let with_theirs = |(name, bytes): (String, Option<Vec<u8>>)| {
        let (ours, theirs) = (base.get(&name), there.get(&name));
        let bytes = match theirs {
            Some(theirs) if name == RECORDINGS && ours != Some(theirs) => {
                lists(ours, bytes.as_ref(), theirs).or(bytes)
            }
            _ => bytes,
        };
        (name, bytes)
    };
    gone.chain(other)
        .map(with_theirs)
        .filter(|(name, bytes)| there.get(name) != bytes.as_ref())
        .collect()
}

/// The recordings of both: theirs, with what became of ours. `None` where one is no list.
fn lists(base: Option<&Vec<u8>>, now: Option<&Vec<u8>>, theirs: &[u8]) -> Option<Vec<u8>> {
    let read = |bytes: Option<&Vec<u8>>| match bytes {
        None => Some(Vec::new()),
        Some(bytes) => serde_json::from_slice::<Vec<Json>>(bytes).ok(),
    };
    let (base, now) = (read(base)?, read(now)?);
    let mut both = serde_json::from_slice::<Vec<Json>>(theirs).ok()?;
    let is_in = |all: &[Json], one: &Json| all.iter().any(|other| other["name"] == one["name"]);
    both.retain(|one| !is_in(&base, one) || is_in(&now, one));
    for one in now.into_iter().filter(|one| !base.contains(one)) {
        both.retain(|other| other["name"] != one["name"]);
        both.push(one);
    }
    serde_json::to_vec(&both).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[(&str, &str)]) -> Files {
        let of = of.iter();
        of.map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect()
    }

    fn changed(of: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<Vec<u8>>> {
        let of = of.iter();
        of.map(|(name, text)| {
            (
                (*name).to_owned(),
                text.map(|text| text.as_bytes().to_vec()),
            )
        })
        .collect()
    }

    #[test]
    fn changes_are_what_is_new_other_or_gone() {
        let held = files(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let now = files(&[("a", "1"), ("b", "4"), ("d", "5")]);
        let expected = changed(&[("b", Some("4")), ("c", None), ("d", Some("5"))]);
        assert_eq!(rebased(&held, &now, &held), expected);
        assert!(rebased(&now, &now, &now).is_empty());
        // What another hub has stays, and what is there already is not written.
        let there = files(&[("b", "4"), ("e", "6")]);
        let expected = changed(&[("d", Some("5"))]);
        assert_eq!(rebased(&held, &now, &there), expected);
    }

    #[test]
    fn recordings_of_both_hubs_stay() {
        let list = |of: &[(&str, &str)]| {
            let of = of.iter();
            let all: Vec<Json> = of
                .map(|(name, kfl)| serde_json::json!({"name": name, "kfl": kfl}))
                .collect();
            serde_json::to_string(&all).unwrap()
        };
        let of = |text: &str| files(&[(RECORDINGS, text)]);
        let both = |base: &Files, now: &str, theirs: &str| {
            let mut changes = rebased(base, &of(now), &of(theirs));
            changes.remove(RECORDINGS).flatten()
        };
        let (one, two) = (list(&[("one", "dns")]), list(&[("two", "http")]));
        let all = list(&[("one", "dns"), ("two", "http")]);
        let bytes = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(both(&Files::new(), &two, &one), bytes(&all));
        // One that was removed here goes, one that was changed here is as here.
        assert_eq!(both(&of(&two), "[]", &all), bytes(&one));
        let other = list(&[("two", "redis")]);
        let expected = list(&[("one", "dns"), ("two", "redis")]);
        assert_eq!(both(&of(&two), &other, &all), bytes(&expected));
        assert_eq!(both(&of(&two), &two, &all), None);
        assert_eq!(both(&of(&two), &other, "{"), bytes(&other));
    }
}
