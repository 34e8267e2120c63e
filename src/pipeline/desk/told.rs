//! The recordings as pages, commands and scripts see them.

use serde_json::{Value as Json, json};

use super::super::planned::plan_json;
use super::Desk;
use crate::record::Status;

impl Desk {
    /// All recordings with what they are and did, also those that wait for their time.
    pub fn list(&self) -> Json {
        let (status, past) = {
            let recorder = self.recorder();
            (recorder.status(), recorder.past())
        };
        let wishes = self.wishes();
        let now = self.clock.now();
        let mut list: Vec<Json> = status
            .iter()
            .map(|status| {
                let mut json = status_json(status);
                let mut plans = wishes.plans();
                match plans.find(|plan| plan.wish.name == status.name) {
                    Some(plan) => plan_json(&mut json, plan, now),
                    None => json["state"] = "on".into(),
                }
                json
            })
            .collect();
        for plan in wishes.plans() {
            if status.iter().all(|status| status.name != plan.wish.name) {
                let did = past.iter().find(|past| past.name == plan.wish.name);
                let mut json = did.map_or_else(|| json!({}), status_json);
                json["name"] = json!(plan.wish.name);
                json["kfl"] = json!(plan.wish.query.text());
                json["on"] = json!(plan.wish.trigger.as_ref().map(ToString::to_string));
                json["destination"] = json!(plan.wish.destination);
                plan_json(&mut json, plan, now);
                list.push(json);
            }
        }
        for json in &mut list {
            let name = json["name"].as_str().unwrap_or_default();
            let source = match name {
                name if wishes.added.iter().any(|plan| plan.wish.name == name) => "added",
                name if wishes
                    .scripts
                    .values()
                    .flatten()
                    .any(|wish| wish.name == name) =>
                {
                    "script"
                }
                _ => "configuration",
            };
            json["source"] = source.into();
        }
        Json::Array(list)
    }

    pub(super) fn one(&self, name: &str) -> Json {
        let list = self.list();
        let mut found = list.as_array().into_iter().flatten();
        found
            .find(|one| one["name"] == name)
            .cloned()
            .unwrap_or_default()
    }

    /// The recordings now, for pages and scripts.
    pub fn status_json(&self) -> Json {
        let status = self.status();
        status.iter().map(|status| self.shown(status)).collect()
    }

    /// A recording, and until when it runs if it ends by itself.
    pub(super) fn shown(&self, status: &Status) -> Json {
        let mut shown = status_json(status);
        let wishes = self.wishes();
        let window = wishes
            .windows
            .iter()
            .find(|window| window.wish.name == status.name);
        if let Some(until) = window.and_then(|window| window.until) {
            shown["until"] = json!(until.to_string());
        }
        shown
    }
}

fn status_json(status: &Status) -> Json {
    json!({
        "name": status.name,
        "kfl": status.kfl,
        "on": status.on,
        "destination": status.destination,
        "streams": status.streams,
        "openStreams": status.open_streams,
        "packets": status.packets,
        "bytes": status.bytes,
        "reels": status.reels,
        "openPackets": status.open_packets,
        "lastMatch": status.last_match.map(|at| at.to_string()),
        "undecided": status.undecided,
        "refused": status.refused,
        "notWritten": status.not_written,
        "limited": status.limited,
        "bytesToday": status.bytes_today,
        "bytesPerDay": status.bytes_per_day,
        "rate": status.rate,
        "forecast": status.rate.saturating_mul(86_400),
        "redacted": status.redacted,
        "error": status.error,
    })
}
