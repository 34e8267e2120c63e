//! What happened while nobody watched, told once the lists that show it are complete.
//!
//! In: objects of lists and watches, pods of a life before. Out: happenings. Never: a happening twice
//! within one life; the revisions of deployments asked for unless somebody waits for rollouts.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::api::Refusal;
use super::happenings::{self, Happening, REVISIONS, Remembered, Revisions, What};
use super::kinds::Kind;
use super::objects::{Key, Node, Pod};
use super::watch::Change;
use super::who::Who;
use super::{Shared, lock};
use crate::time::Timestamp;

/// Events of a list that are looked at; an API server keeps those of an hour.
const MAX_EVENTS: usize = 10_000;

/// What is not told yet of the time before a list.
#[derive(Default)]
pub(super) struct Past {
    /// Whether the first lists were looked at: what is new in a later one came meanwhile.
    is_begun: bool,
    new: HashSet<Key>,
    nodes: HashSet<Key>,
    /// Events of a list: their pods may be listed later.
    events: Vec<Json>,
    before: Option<(Timestamp, Vec<Remembered>)>,
}

impl Past {
    /// With pods of a life before, and when they were known last.
    pub(super) fn of(before: Option<(Timestamp, Vec<Remembered>)>) -> Past {
        Past {
            before,
            ..Past::default()
        }
    }

    /// Whether it was told what became of the pods of before.
    pub(super) fn is_told(&self) -> bool {
        self.before.is_none()
    }
}

impl Shared {
    /// Tells what happened before the lists that are complete now.
    pub(super) async fn look_back(&self) {
        let Some(tell) = &self.options.on_happening else {
            return;
        };
        let is_first = {
            let past = lock(&self.past);
            let is_due = !past.new.is_empty() || !past.nodes.is_empty() || !past.events.is_empty();
            if past.is_begun && !is_due {
                return;
            }
            !past.is_begun
        };
        if !self.is_ready() {
            return;
        }
        let wants = self.options.wants.as_ref();
        let revisions = match is_first && wants.is_some_and(|wants| wants(What::Rollout)) {
            true => self.revisions().await,
            false => Revisions::default(),
        };
        let Past {
            new,
            nodes,
            events,
            before,
            ..
        } = std::mem::replace(
            &mut *lock(&self.past),
            Past {
                is_begun: true,
                ..Past::default()
            },
        );
        let now = self.options.clock.now();
        let who = lock(&self.who);
        let mut found: Vec<Happening> = Vec::new();
        for pod in new.iter().filter_map(|key| who.pod(key)) {
            found.extend(happenings::of_first(pod, &who, now));
        }
        for node in nodes.iter().filter_map(|key| who.node(key)) {
            found.extend(happenings::of_first_node(node, &who, now));
        }
        if is_first {
            let known = before.as_ref().map_or(&[][..], |(_, pods)| pods);
            found.extend(happenings::of_rollouts(&new, known, &revisions, &who, now));
        }
        // Where pods may not be listed nothing is known of those that were.
        let oldest = Timestamp::from_secs(now.secs() - happenings::MAX_AGE, 0);
        for event in &events {
            found.extend(happenings::of_probe(event, &who, oldest, now));
        }
        if let Some((since, pods)) = before.filter(|_| who.is_listed(Kind::Pods)) {
            let there: HashSet<&str> = who.pods().map(|pod| pod.uid.as_str()).collect();
            let lost = pods.iter().filter(|pod| !there.contains(pod.uid.as_str()));
            found.extend(lost.map(|pod| happenings::of_lost(pod, &who, since, now)));
        }
        drop(who);
        found.iter().for_each(|happening| tell(happening));
    }

    /// The revisions that the cluster keeps. Where they may not be listed, pods alone tell of rollouts.
    async fn revisions(&self) -> Revisions {
        let mut revisions = Revisions::default();
        for kind in REVISIONS {
            if let Err(refusal) = self.list_revisions(kind, &mut revisions).await {
                self.statuses.say(format!(
                    "rollouts of the last hour are told as far as pods still show them, {kind} cannot be listed: {refusal}"
                ));
            }
        }
        revisions
    }

    /// Lists a kind of them in the whole cluster; where that is denied, in each of the namespaces.
    async fn list_revisions(&self, kind: &str, revisions: &mut Revisions) -> Result<(), Refusal> {
        let mut add = |object: Json| revisions.add(&object);
        let whole = self
            .api
            .metadata(&format!("/apis/apps/v1/{kind}"), &mut add)
            .await;
        if !matches!(whole, Err(Refusal::Denied(_))) {
            return whole;
        }
        let namespaces = self.namespaces.borrow().clone();
        for namespace in namespaces {
            let path = format!("/apis/apps/v1/namespaces/{namespace}/{kind}");
            self.api.metadata(&path, &mut add).await?;
        }
        Ok(())
    }

    /// What an object says that happened, before it is taken in; `change` is `None` in a list.
    pub(super) fn happens(
        &self,
        kind: Kind,
        change: Option<Change>,
        object: &Json,
        who: &Who,
        now: Timestamp,
    ) -> Vec<Happening> {
        if self.options.on_happening.is_none() {
            return Vec::new();
        }
        let Some(key) = Key::of(object) else {
            return Vec::new();
        };
        match kind {
            Kind::Pods => {
                let Some(after) = Pod::of(object) else {
                    return Vec::new();
                };
                match (who.pod(&key), change) {
                    (Some(before), Some(Change::Deleted)) => {
                        happenings::of_gone(before, who, now).into_iter().collect()
                    }
                    (Some(before), _) => happenings::of_pod(before, &after, who, now),
                    (None, Some(Change::Added)) => {
                        happenings::of_new(&after, who, now).into_iter().collect()
                    }
                    // What a list has was there before, and is told when all of it is known. What a later
                    // list has came meanwhile, and those of before are still here to compare it with.
                    (None, None) => {
                        let mut past = lock(&self.past);
                        past.new.insert(key);
                        match past.is_begun && who.is_listed(Kind::Pods) {
                            true => happenings::of_new(&after, who, now).into_iter().collect(),
                            false => Vec::new(),
                        }
                    }
                    (None, Some(_)) => Vec::new(),
                }
            }
            Kind::Nodes => match (who.node(&key), Node::of(object)) {
                (Some(before), Some(after)) => happenings::of_node(before, &after, who, now),
                (None, Some(_)) => {
                    lock(&self.past).nodes.insert(key);
                    Vec::new()
                }
                (_, None) => Vec::new(),
            },
            Kind::Events if change.is_none() => {
                let mut past = lock(&self.past);
                if past.events.len() < MAX_EVENTS {
                    past.events.push(object.clone());
                }
                Vec::new()
            }
            Kind::Events if change != Some(Change::Deleted) => {
                happenings::of_probe(object, who, self.since, now)
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}
