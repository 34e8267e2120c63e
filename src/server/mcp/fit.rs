//! Answers of a bounded size: what is too long is cut where it is longest, stays JSON, and says so.

use std::io::Write;

use serde_json::{Map, Value as Json};

/// Bytes of a member of an object that say nothing yet: quotes, colon, comma.
const AROUND: usize = 4;

/// Bytes that a member of an object, or the first element of a list, is left with at least.
const LEAST: usize = 64;

/// Cuts that are told one by one.
const MAX_TOLD: usize = 8;

/// What was cut.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    told: Vec<String>,
    more: usize,
    /// Whether a list lost elements at its end.
    pub(super) lists: bool,
}

impl Cuts {
    /// Whether nothing was.
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// What was cut, for people: `rows 23 of 100`.
    pub(super) fn sentence(&self) -> String {
        let mut text = self.told.join(", ");
        if self.more > 0 {
            text.push_str(&format!(" and {} more places", self.more));
        }
        text
    }

    fn tell(&mut self, path: &str, shown: usize, of: usize, what: &str) {
        match self.told.len() < MAX_TOLD {
            true => {
                let path = if path.is_empty() { "the answer" } else { path };
                self.told.push(format!("{path} {shown} of {of}{what}"));
            }
            false => self.more += 1,
        }
    }
}

/// Bytes of a value as JSON.
pub(super) fn size(value: &Json) -> usize {
    struct Counter(usize);
    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// Cuts `value` to about `budget` bytes of JSON. Values come from JSON that was read, so they are no
/// deeper than its reader allows.
pub(super) fn fit(value: &mut Json, budget: usize) -> Cuts {
    let mut cuts = Cuts::default();
    cut(value, budget, "", &mut cuts);
    cuts
}

fn cut(value: &mut Json, budget: usize, path: &str, cuts: &mut Cuts) {
    if size(value) <= budget {
        return;
    }
    match value {
        Json::String(text) => {
            let of = text.chars().count();
            let mut end = text.len().min(budget);
            // Escapes make a text longer than its bytes.
            while end > 0 {
                end = text.floor_char_boundary(end);
                if escaped(&text[..end]) <= budget {
                    break;
                }
                end /= 2;
            }
            text.truncate(end);
            let shown = text.chars().count();
            text.push('…');
            cuts.tell(path, shown, of, " characters");
        }
        Json::Array(list) => {
            let of = list.len();
            let (mut used, mut kept) = (2, 0);
            for (index, element) in list.iter_mut().enumerate() {
                let share = (budget / 4).max(LEAST);
                cut(element, share, &format!("{path}[{index}]"), cuts);
                used += size(element) + 1;
                if used > budget && index > 0 {
                    break;
                }
                kept = index + 1;
            }
            if kept < of {
                list.truncate(kept);
                cuts.lists = true;
                cuts.tell(path, kept, of, "");
            }
        }
        Json::Object(members) => cut_members(members, budget, path, cuts),
        _ => {}
    }
}

/// Small members stay whole; what they leave is shared among the long ones.
fn cut_members(members: &mut Map<String, Json>, budget: usize, path: &str, cuts: &mut Cuts) {
    let of = members.len();
    let most = (budget / LEAST).max(1);
    if of > most {
        let gone: Vec<String> = members.keys().skip(most).cloned().collect();
        gone.iter()
            .for_each(|name| drop(members.shift_remove(name)));
        cuts.tell(path, most, of, " members");
    }
    let mut sizes: Vec<usize> = members.values().map(size).collect();
    sizes.sort_unstable();
    let names: usize = members.keys().map(|name| name.len() + AROUND).sum();
    let mut left = budget.saturating_sub(names);
    let mut share = left;
    for (index, size) in sizes.iter().enumerate() {
        share = left / (sizes.len() - index);
        if *size > share {
            break;
        }
        left -= size;
    }
    for (name, member) in members.iter_mut() {
        let path = match path.is_empty() {
            true => name.clone(),
            false => format!("{path}.{name}"),
        };
        cut(member, share, &path, cuts);
    }
}

/// Bytes of a text as JSON.
fn escaped(text: &str) -> usize {
    size(&Json::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        let mut value = json!({"rows": [1, 2, 3], "next": null});
        let before = value.clone();
        assert!(fit(&mut value, 100).is_empty());
        assert_eq!(value, before);
        assert_eq!(size(&value), value.to_string().len());
    }

    #[test]
    fn a_list_loses_its_end_and_small_members_stay() {
        let rows: Vec<Json> = (0..1000)
            .map(|n| json!({"n": n, "path": "/orders"}))
            .collect();
        let mut value = json!({"end": 7, "rows": rows, "next": 12});
        let cuts = fit(&mut value, 4096);
        assert!(size(&value) <= 4096, "{}", size(&value));
        let kept = value["rows"].as_array().unwrap().len();
        assert!((80..1000).contains(&kept), "{kept}");
        assert_eq!((&value["end"], &value["next"]), (&json!(7), &json!(12)));
        assert!(cuts.lists);
        assert_eq!(cuts.sentence(), format!("rows {kept} of 1000"));
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_how_long_it_was() {
        let mut value = json!({"item": {"body": "ä\n".repeat(5000), "status": 200}});
        let cuts = fit(&mut value, 1000);
        assert!(size(&value) <= 1010, "{}", size(&value));
        assert_eq!(value["item"]["status"], 200);
        assert!(value["item"]["body"].as_str().unwrap().ends_with('…'));
        assert!(
            cuts.sentence().ends_with("of 10000 characters"),
            "{}",
            cuts.sentence()
        );
        assert!(!cuts.lists);
    }

    #[test]
    fn many_members_and_deep_values_are_bounded() {
        let many: Map<String, Json> = (0..5000)
            .map(|n| (format!("header-{n}"), json!("x".repeat(100))))
            .collect();
        let mut value = json!({"headers": many});
        assert!(!fit(&mut value, 4096).is_empty());
        assert!(size(&value) <= 8192, "{}", size(&value));
        let mut deep = json!("x".repeat(10_000));
        for _ in 0..100 {
            deep = json!([deep]);
        }
        fit(&mut deep, 1024);
        assert!(size(&deep) <= 4096, "{}", size(&deep));
    }
}
