//! Two spans of time side by side, by groups: what appeared, vanished, failed or took longer.
//!
//! In: what `/groups` answers for either. Out: one list, what matters most first. The verdicts are those
//! of the dashboard's view Compare.

use serde_json::{Value as Json, json};

/// By how much a rate or a latency moves: half as long again, or two thirds.
const MUCH: f64 = 1.5;

/// By how much a share of failures moves.
const FAILED: f64 = 0.01;

/// What went well weighs less than what broke.
const WELL: f64 = 0.15;

/// A span with its groups.
pub(super) struct Side {
    /// Its length.
    pub(super) minutes: f64,
    /// What `/groups` answered.
    pub(super) answer: Json,
}

/// Both sides of each group with a verdict.
///
/// ```text
/// {"before": sums, "after": sums, "groups": [{"labels","protocol","verdict","before","after"}],
///  "more": groups that are left out, "same": groups without a change,
///  "unknown": groups that may have appeared or vanished, or neither}
/// sums: {"count","perMinute","bad","badShare","p50","p99"}, times in milliseconds; null where there is nothing
/// ```
///
/// Where `/groups` left groups of a span out (its `more`), what the other span has alone may be among
/// them: its verdict is `unknown`.
pub(super) fn compare(before: &Side, after: &Side, limit: usize) -> Json {
    let groups = |side: &Side| {
        side.answer["groups"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let is_cut = |side: &Side| side.answer["more"].as_u64().unwrap_or_default() > 0;
    let cut = (is_cut(before), is_cut(after));
    let mut earlier = groups(before);
    let mut rows: Vec<Row> = Vec::new();
    let mut old: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for (index, group) in earlier.iter().enumerate() {
        old.insert(group["labels"].to_string(), index);
    }
    for group in groups(after) {
        let was = old.remove(&group["labels"].to_string());
        let was = was.map(|index| earlier[index].take());
        rows.push(Row::of(
            was.as_ref().map(|was| (before, was)),
            Some((after, &group)),
            cut,
        ));
    }
    for index in old.into_values() {
        rows.push(Row::of(Some((before, &earlier[index])), None, cut));
    }
    let all = rows.len();
    rows.retain(|row| row.verdict != "same");
    let same = all - rows.len();
    let unknown = rows.iter().filter(|row| row.verdict == "unknown").count();
    let labels = |row: &Row| row.shown["labels"].to_string();
    rows.sort_by(|a, b| {
        b.weight
            .total_cmp(&a.weight)
            .then_with(|| labels(a).cmp(&labels(b)))
    });
    let more = rows.len().saturating_sub(limit);
    rows.truncate(limit);
    json!({
        "before": sums(before, &before.answer["all"]),
        "after": sums(after, &after.answer["all"]),
        "groups": rows.into_iter().map(|row| row.shown).collect::<Vec<_>>(),
        "more": more,
        "same": same,
        "unknown": unknown,
    })
}

struct Row {
    verdict: &'static str,
    weight: f64,
    shown: Json,
}

impl Row {
    fn of(before: Option<(&Side, &Json)>, after: Option<(&Side, &Json)>, cut: (bool, bool)) -> Row {
        let group = after.or(before).map_or(&Json::Null, |(_, group)| group);
        let shown = |side: Option<(&Side, &Json)>| {
            side.map_or(Json::Null, |(side, group)| sums(side, group))
        };
        let (was, is) = (shown(before), shown(after));
        let (verdict, weight) = judge(&was, &is, cut);
        Row {
            verdict,
            weight,
            shown: json!({
                "labels": group["labels"], "protocol": group["protocol"], "verdict": verdict,
                "before": was, "after": is,
            }),
        }
    }
}

fn sums(side: &Side, group: &Json) -> Json {
    let number = |name: &str| group[name].as_f64().unwrap_or_default();
    let count = number("count");
    let per = |of: f64, by: f64| {
        if by > 0.0 {
            (of / by * 1000.0).round() / 1000.0
        } else {
            0.0
        }
    };
    json!({
        "count": group["count"],
        "perMinute": per(count, side.minutes),
        "bad": group["bad"],
        "badShare": per(number("bad"), count),
        "p50": group["p50"],
        "p99": group["p99"],
    })
}

/// The verdict and how much it matters; `cut` says of which side only the largest groups are there.
fn judge(before: &Json, after: &Json, cut: (bool, bool)) -> (&'static str, f64) {
    let of = |side: &Json, name: &str| side[name].as_f64().unwrap_or_default();
    let failed = of(after, "badShare") - of(before, "badShare");
    let ratio = |name: &str| match (of(before, name), of(after, name)) {
        (was, is) if was > 0.0 && is > 0.0 => is / was,
        _ => 1.0,
    };
    let slow = ratio("p50").max(ratio("p99"));
    let fast = ratio("p50").min(ratio("p99"));
    let share = (of(before, "count") + of(after, "count")).ln_1p();
    let broken = share * (1.0 + failed * 10.0);
    let rate = ratio("perMinute");
    match () {
        // That it fails is known all the same.
        () if before.is_null() && cut.0 => ("unknown", share * failed * 10.0),
        () if after.is_null() && cut.1 => ("unknown", 0.0),
        () if before.is_null() && failed > FAILED => ("appeared, failing", broken),
        () if before.is_null() => ("appeared", broken),
        () if after.is_null() => ("vanished", share),
        () if failed > FAILED => ("worse", broken),
        () if failed < -FAILED => ("better", share * (1.0 - failed * 5.0) * WELL),
        () if slow >= MUCH => ("slower", share * slow.log2()),
        () if fast <= 1.0 / MUCH => ("faster", share * -fast.log2() * WELL),
        () if rate >= MUCH => ("more", share * rate.log2() * 0.5),
        () if rate <= 1.0 / MUCH => ("fewer", share * -rate.log2() * 0.5),
        () => ("same", 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(label: &str, count: u64, bad: u64, p99: u64) -> Json {
        json!({"labels": [label], "protocol": "HTTP", "count": count, "bad": bad, "p50": 1, "p99": p99})
    }

    fn side(minutes: f64, groups: &[Json]) -> Side {
        let count: u64 = groups
            .iter()
            .filter_map(|group| group["count"].as_u64())
            .sum();
        let all = json!({"count": count, "bad": 0, "p50": 1, "p99": 2});
        let answer = json!({"groups": groups, "all": all});
        Side { minutes, answer }
    }

    #[test]
    fn each_group_has_a_verdict_and_what_broke_comes_first() {
        let before = side(
            10.0,
            &[
                group("/same", 100, 0, 10),
                group("/broke", 100, 0, 10),
                group("/slow", 100, 0, 10),
                group("/gone", 3, 0, 10),
                group("/busy", 10, 0, 10),
            ],
        );
        let after = side(
            5.0,
            &[
                group("/same", 50, 0, 10),
                group("/broke", 50, 25, 10),
                group("/slow", 50, 0, 40),
                group("/new", 1, 1, 10),
                group("/busy", 500, 0, 10),
            ],
        );
        let found = compare(&before, &after, 10);
        let verdict = |label: &str| {
            let rows = found["groups"].as_array().unwrap();
            let row = rows.iter().find(|row| row["labels"][0] == label);
            row.map_or(String::new(), |row| {
                row["verdict"].as_str().unwrap().to_owned()
            })
        };
        assert_eq!(verdict("/broke"), "worse");
        assert_eq!(verdict("/slow"), "slower");
        assert_eq!(verdict("/gone"), "vanished");
        assert_eq!(verdict("/new"), "appeared, failing");
        assert_eq!(verdict("/busy"), "more");
        assert_eq!(found["same"], 1);
        assert_eq!(found["groups"][0]["labels"][0], "/broke");
        assert_eq!(found["groups"][0]["after"]["badShare"], 0.5);
        assert_eq!(found["groups"][0]["after"]["perMinute"], 10.0);
        let short = compare(&before, &after, 2);
        assert_eq!(
            (&short["more"], short["groups"].as_array().unwrap().len()),
            (&json!(3), 2)
        );
    }

    #[test]
    fn what_is_among_the_largest_of_one_span_alone_has_no_verdict() {
        let mut before = side(1.0, &[group("/both", 9, 0, 10), group("/old", 9, 0, 10)]);
        let after = [
            group("/both", 9, 0, 10),
            group("/new", 9, 0, 10),
            group("/hang", 9, 9, 10),
        ];
        let mut after = side(1.0, &after);
        let verdicts = |found: &Json| -> Vec<String> {
            let rows = found["groups"].as_array().unwrap().iter();
            rows.map(|row| format!("{} {}", row["labels"][0], row["verdict"]).replace('"', ""))
                .collect()
        };
        before.answer["more"] = json!(300);
        let found = compare(&before, &after, 10);
        assert_eq!(
            verdicts(&found),
            ["/hang unknown", "/old vanished", "/new unknown"]
        );
        assert_eq!((&found["unknown"], &found["same"]), (&json!(2), &json!(1)));
        after.answer["more"] = json!(300);
        let found = compare(&before, &after, 10);
        assert_eq!(found["unknown"], 3);
        assert_eq!(found["groups"][0]["labels"][0], "/hang");
    }

    #[test]
    fn nothing_on_either_side_is_no_change() {
        let empty = || side(1.0, &[]);
        let found = compare(&empty(), &empty(), 10);
        assert_eq!(found["groups"], json!([]));
        assert_eq!(found["after"]["perMinute"], 0.0);
    }
}
