//! What was captured, left out and recorded, as text for Prometheus.
//!
//! In: counts of the run, of its recordings and of the outbox. Out: exposition format 0.0.4. Never: a
//! label whose values have no bound; protocols, reasons, recordings and destinations are few.

use std::fmt::{Display, Write as _};

use super::beat::Beat;
use crate::pipeline::Counts;
use crate::pipeline::host::escaped;
use crate::record::{self, outbox};
use crate::spool;
use crate::time::Timestamp;

/// Packets that were not dissected or recorded, by reason: the one list for manifests and metrics.
pub(super) fn left_out(counts: &Counts) -> [(&'static str, u64); 10] {
    [
        ("kernel_dropped", counts.kernel_dropped),
        ("interface_dropped", counts.interface_dropped),
        ("self", counts.own),
        ("not_targeted", counts.not_targeted),
        ("targets_unknown", counts.targets_unknown),
        ("duplicate", counts.duplicates),
        ("malformed", counts.malformed),
        ("not_dissected", counts.not_dissected),
        ("memory_short", counts.memory_short),
        ("damaged", counts.damaged),
    ]
}

/// The metrics of the capture.
pub(super) fn of_capture(counts: &Counts) -> String {
    let mut text = String::new();
    let mut one =
        |name: &str, kind: &str, help: &str, value: u64| one(&mut text, name, kind, help, value);
    let name = "tapedeck_packets_total";
    one(name, "counter", "Packets read.", counts.packets);
    let name = "tapedeck_packet_bytes_total";
    one(name, "counter", "Their captured bytes.", counts.bytes);
    let name = "tapedeck_streams_total";
    one(name, "counter", "Streams seen.", counts.streams);
    let name = "tapedeck_streams_open";
    one(name, "gauge", "Streams open now.", counts.streams_open);
    let name = "tapedeck_packets_behind";
    let help = "Packets in the spool that are still to be dissected.";
    one(name, "gauge", help, counts.behind);
    let name = "tapedeck_streams_given_up_total";
    let help = "Streams in which what was open was given up because memory was short.";
    one(name, "counter", help, counts.given_up);
    let name = "tapedeck_memory_used_bytes";
    let help = "Memory that is used and cannot be taken back, scripts included; 0 without a limit.";
    one(name, "gauge", help, counts.memory_used);
    let name = "tapedeck_memory_limit_bytes";
    let help = "Memory that may be used; 0 without a limit.";
    one(name, "gauge", help, counts.memory_limit);
    family(
        &mut text,
        "tapedeck_packets_left_out_total",
        "counter",
        "Packets that were lost or left out, by reason.",
        "reason",
        left_out(counts),
    );
    family(
        &mut text,
        "tapedeck_items_total",
        "counter",
        "Items by protocol.",
        "protocol",
        counts.items.iter().map(|(name, count)| (*name, *count)),
    );
    text
}

/// The metrics of the spool.
pub(super) fn of_spool(counts: &spool::Counts) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in [
        (
            "tapedeck_spool_bytes",
            "gauge",
            "Bytes of the spool on disk.",
            counts.on_disk,
        ),
        (
            "tapedeck_spool_not_written_total",
            "counter",
            "Packets that could not be written to the spool.",
            counts.not_written.packets,
        ),
        (
            "tapedeck_spool_overwritten_total",
            "counter",
            "Packets that were overwritten in the spool to make room.",
            counts.overwritten.packets,
        ),
        (
            "tapedeck_spool_pins_dropped_total",
            "counter",
            "Packets of streams that a script keeps, overwritten because there was no room for them.",
            counts.pins_dropped,
        ),
    ] {
        one(&mut text, name, kind, help, value);
    }
    text
}

/// What is counted of a recording.
type Count = fn(&record::Status) -> u64;

/// The metrics of the recordings that are on, and of the manifests in their stores.
pub(super) fn of_recordings(
    recordings: &[record::Status],
    outbox: &outbox::Status,
    beat: &Beat,
    now: Timestamp,
) -> String {
    let mut text = String::new();
    let of = |value: Count| {
        recordings
            .iter()
            .map(move |recording| (recording.name.as_str(), value(recording)))
    };
    let counters: [(&str, &str, Count); 8] = [
        (
            "tapedeck_recording_streams_total",
            "Streams that a recording took.",
            |recording| recording.streams,
        ),
        (
            "tapedeck_recording_bytes_total",
            "Captured bytes that it recorded.",
            |recording| recording.bytes,
        ),
        (
            "tapedeck_recording_reels_total",
            "Reels that it sealed.",
            |recording| recording.reels,
        ),
        (
            "tapedeck_recording_limited_total",
            "Streams that it did not take because the limit of the day was met.",
            |recording| recording.limited,
        ),
        (
            "tapedeck_recording_not_written_total",
            "Packets of its streams that could not be written.",
            |recording| recording.not_written,
        ),
        (
            "tapedeck_recording_refused_total",
            "Streams that it did not take because too many are followed at once.",
            |recording| recording.refused,
        ),
        (
            "tapedeck_recording_beheaded_total",
            "Streams that it took without their first packets.",
            |recording| recording.beheaded,
        ),
        (
            "tapedeck_recording_undecided_total",
            "Streams that it took because the query could not be decided in time.",
            |recording| recording.undecided,
        ),
    ];
    for (name, help, value) in counters {
        family(&mut text, name, "counter", help, "recording", of(value));
    }
    let ages = beat.ages(recordings, &outbox.newest, now);
    let intervals = ages.keys().map(|name| (*name, beat.interval.as_secs()));
    let gauge = "gauge";
    let name = "tapedeck_heartbeat_interval_seconds";
    let help = "Longest time between two manifests of a destination while it is recorded to.";
    family(&mut text, name, gauge, help, "destination", intervals);
    let name = "tapedeck_manifest_age_seconds";
    let help = "Time since a destination took its newest manifest, or since it was recorded to.";
    let values = ages.iter().map(|(name, age)| (*name, *age));
    family(&mut text, name, gauge, help, "destination", values);
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A metric without labels.
fn one(text: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    head(text, name, kind, help);
    let _ = writeln!(text, "{name} {value}");
}

/// A metric with one label; none without samples.
fn family<'a, V: Display>(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    label: &str,
    samples: impl IntoIterator<Item = (&'a str, V)>,
) {
    let mut samples = samples.into_iter().peekable();
    if samples.peek().is_some() {
        head(text, name, kind, help);
    }
    for (value_of_label, value) in samples {
        let value_of_label = escaped(value_of_label);
        let _ = writeln!(text, "{name}{{{label}=\"{value_of_label}\"}} {value}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn recording(name: &str, destination: &str) -> record::Status {
        record::Status {
            name: name.to_owned(),
            destination: destination.to_owned(),
            bytes: 7,
            not_written: 5,
            refused: 4,
            ..record::Status::default()
        }
    }

    /// All metrics of a run that records to two stores, one of which took a manifest.
    fn told() -> String {
        let counts = Counts {
            packets: 10,
            kernel_dropped: 3,
            items: BTreeMap::from([("http", 2)]),
            ..Counts::default()
        };
        let recordings = [recording("all", "s3://a/"), recording("errors", "s3://b/")];
        let outbox = outbox::Status {
            newest: BTreeMap::from([("s3://a/".to_owned(), Timestamp::from_secs(1900, 0))]),
            ..outbox::Status::default()
        };
        let now = Timestamp::from_secs(2000, 0);
        let folder = tempfile::tempdir().unwrap();
        let started = Timestamp::from_secs(1000, 0);
        let beat = Beat::start(Duration::from_secs(600), started, folder.path().join("due"));
        of_recordings(&recordings, &outbox::Status::default(), &beat, started);
        let recorded = of_recordings(&recordings, &outbox, &beat, now);
        let spooled = spool::Counts {
            pins_dropped: 6,
            ..spool::Counts::default()
        };
        of_capture(&counts)
            + &of_spool(&spooled)
            + &super::super::metrics::of_outbox(&outbox, now)
            + &recorded
    }

    #[test]
    fn losses_protocols_recordings_and_the_age_of_manifests_are_told() {
        let text = told();
        for line in [
            "tapedeck_packets_total 10",
            "tapedeck_packets_left_out_total{reason=\"kernel_dropped\"} 3",
            "tapedeck_items_total{protocol=\"http\"} 2",
            "tapedeck_recording_bytes_total{recording=\"errors\"} 7",
            "tapedeck_recording_not_written_total{recording=\"errors\"} 5",
            "tapedeck_recording_refused_total{recording=\"all\"} 4",
            "tapedeck_spool_not_written_total 0",
            "tapedeck_spool_pins_dropped_total 6",
            "tapedeck_manifest_age_seconds{destination=\"s3://a/\"} 100",
            "tapedeck_manifest_age_seconds{destination=\"s3://b/\"} 1000",
            "tapedeck_heartbeat_interval_seconds{destination=\"s3://b/\"} 600",
            "# TYPE tapedeck_heartbeat_interval_seconds gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        let heads = text.lines().filter(|line| line.starts_with("# TYPE"));
        let mut names: Vec<&str> = heads.filter_map(|line| line.split(' ').nth(2)).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a metric is told of twice");
    }

    #[test]
    fn nothing_is_due_where_nothing_is_recorded() {
        let outbox = outbox::Status::default();
        let (interval, now) = (Duration::from_secs(600), Timestamp::from_secs(9000, 0));
        let beat = Beat::start(interval, now, "/nonexistent/due".into());
        let text = of_recordings(&[], &outbox, &beat, now);
        assert_eq!(text, "");
    }

    /// Alerts and dashboard of the chart ask for metrics that exist.
    #[test]
    fn alerts_and_dashboard_ask_for_metrics_that_exist() {
        let told = told() + &crate::pipeline::host::health(&[]);
        let asked = concat!(
            include_str!("../../../deploy/helm/tapedeck/files/rules.yaml"),
            include_str!("../../../deploy/helm/tapedeck/files/dashboard.json"),
        );
        // Those of the link between worker and hub stand where they are made.
        let of_roles = concat!(
            include_str!("hub/figures.rs"),
            include_str!("worker.rs"),
            include_str!("metrics.rs"),
        );
        let mut count = 0;
        for at in asked.match_indices("tapedeck_").map(|(at, _)| at) {
            let name: String = asked[at..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let head = format!("# TYPE {name} ");
            let is_told = told.contains(&head) || of_roles.contains(&format!("\"{name}\""));
            assert!(is_told, "there is no metric {name}");
            count += 1;
        }
        assert!(count > 30, "alerts and dashboard name {count} metrics only");
    }
}
