//! The chains: every manifest but the first names the one before it, and nobody names one twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use ahash::RandomState;
use sha2::{Digest as _, Sha256};

use super::listing::is_before;
use super::object::{Link, Seen, bytes_of};
use super::{Chain, Finding, Options, SealedPart, What};
use crate::record::digest_of;
use crate::record::manifest::ChainHead;
use crate::store::{Digest, Store, StoreError, hex};

/// Time beyond its promise after which a node counts as silent: uploads take a while.
const LATE: Duration = Duration::from_secs(600);

/// What became of the chains.
pub(super) struct Judged {
    pub(super) chains: Vec<Chain>,
    pub(super) findings: Vec<Finding>,
    pub(super) remarks: Vec<String>,
    pub(super) parts: Vec<SealedPart>,
}

/// Links by their hash.
type ByHash<'l> = HashMap<Digest, &'l Link, RandomState>;

/// Ties the links together, and compares them with roll-ups, anchor and expected nodes.
pub(super) fn judge(store: &dyn Store, options: &Options, mut seen: Seen) -> Judged {
    let mut findings = std::mem::take(&mut seen.findings);
    let mut remarks = Vec::new();
    for far in &seen.far {
        seen.unnamed.remove(far);
    }
    let mut young = 0;
    for (key, is_old) in &seen.unnamed {
        if *is_old {
            findings.push(Finding {
                what: What::Unnamed,
                key: key.clone(),
                sentence: format!(
                    "{key} is named by no manifest: its manifest is missing, or somebody else put it there"
                ),
            });
        } else {
            young += 1;
        }
    }
    if young > 0 {
        remarks.push(format!(
            "{young} objects have no manifest yet; they came in the last ten minutes"
        ));
    }
    let mut by_node: BTreeMap<(&str, &str), Vec<&Link>> = BTreeMap::new();
    for link in &seen.links {
        let node = (link.cluster.as_str(), link.node.as_str());
        by_node.entry(node).or_default().push(link);
    }
    let all: ByHash<'_> = seen.links.iter().map(|link| (link.sha256, link)).collect();
    let mut judge = Judge {
        store,
        options,
        all: &all,
        findings: &mut findings,
        remarks: &mut remarks,
    };
    let mut chains = Vec::new();
    for links in by_node.values_mut() {
        chains.extend(judge.chain(links));
    }
    for link in &seen.links {
        for head in &link.heads {
            let why = format!("the roll-up {} names it as the head", link.key);
            judge.witness(head, &why);
        }
    }
    if let Some(anchor) = &options.anchor {
        let why = format!("the anchor of {} names it as the head", anchor.taken);
        for head in &anchor.chains {
            judge.witness(head, &why);
        }
    }
    let there: BTreeSet<&str> = by_node.keys().map(|(_, node)| *node).collect();
    for node in &options.expect_nodes {
        if !there.contains(node.as_str()) {
            judge.findings.push(Finding {
                what: What::Silent,
                key: node.clone(),
                sentence: format!("the node {node} is missing: there is no manifest of it"),
            });
        }
    }
    Judged {
        chains,
        findings,
        remarks,
        parts: seen.parts,
    }
}

struct Judge<'j> {
    store: &'j dyn Store,
    options: &'j Options,
    all: &'j ByHash<'j>,
    findings: &'j mut Vec<Finding>,
    remarks: &'j mut Vec<String>,
}

impl Judge<'_> {
    fn find(&mut self, what: What, key: &str, sentence: String) {
        self.findings.push(Finding {
            what,
            key: key.to_owned(),
            sentence,
        });
    }

    /// Looks at the links of one node; answers what its chain is.
    fn chain(&mut self, links: &mut [&Link]) -> Option<Chain> {
        links.sort_by(|a, b| (a.sealed, &a.key).cmp(&(b.sealed, &b.key)));
        let mut after: HashMap<Digest, &Link, RandomState> = HashMap::default();
        let mut firsts: Vec<&Link> = Vec::new();
        let mut torn: Vec<&Link> = Vec::new();
        for link in links.iter().copied() {
            let Some(previous) = &link.previous else {
                firsts.push(link);
                continue;
            };
            let hash = digest_of(&previous.sha256).unwrap_or_default();
            if let Some(other) = after.insert(hash, link).filter(|o| o.sha256 != link.sha256) {
                let (key, other) = (&link.key, &other.key);
                self.find(
                    What::OutOfOrder,
                    key,
                    format!("{key} and {other} both name {} as the manifest before them: one of them was put there by somebody else", previous.key),
                );
            }
            if !self.all.contains_key(&hash) {
                torn.push(link);
            }
        }
        // Heads: nobody names them. The one sealed last is the chain's; others stand before a gap.
        let heads: Vec<&Link> = links
            .iter()
            .copied()
            .filter(|link| !after.contains_key(&link.sha256))
            .collect();
        for link in torn {
            self.torn(link, &heads);
        }
        let head = *heads.last().or(links.last())?;
        self.born_again(&firsts);
        self.silent(links);
        let runs: BTreeSet<u64> = links.iter().map(|link| link.run).collect();
        Some(Chain {
            head: ChainHead {
                cluster: head.cluster.clone(),
                node: head.node.clone(),
                run: head.run,
                key: head.key.clone(),
                sha256: hex(&head.sha256),
            },
            manifests: links.len() as u64,
            runs: runs.len() as u64,
            from: links.first()?.sealed.to_string(),
            to: head.sealed.to_string(),
            ended: head.due.is_none(),
        })
    }

    /// A link whose predecessor was not listed: it may lie before the time asked for, or have come
    /// while the listing went on; else it is gone.
    fn torn(&mut self, link: &Link, heads: &[&Link]) {
        let Some(previous) = &link.previous else {
            return;
        };
        let (key, by) = (&previous.key, &link.key);
        match self.fetch(key) {
            Ok(Some(hash)) if hex(&hash) == previous.sha256 => {}
            Ok(Some(_)) => self.find(
                What::Changed,
                key,
                format!("{key} was changed: {by}, which came after it, names another hash"),
            ),
            Ok(None) => {
                let before = heads
                    .iter()
                    .rfind(|head| head.sealed <= link.sealed && head.sha256 != link.sha256);
                let since = match before {
                    Some(before) => format!(
                        "what the node {} sealed between {} and {} is gone",
                        link.node, before.sealed, link.sealed
                    ),
                    None => format!(
                        "all that the node {} sealed before {} is gone",
                        link.node, link.sealed
                    ),
                };
                self.find(
                    What::Missing,
                    key,
                    format!(
                        "{key} of the run {} is missing: {by} names it as the manifest before it; {since}",
                        previous.run
                    ),
                );
            }
            Err(error) => self.find(
                What::Unreadable,
                key,
                format!("{key} cannot be read: {error}"),
            ),
        }
    }

    /// The hash of an object's bytes; `None` when it is not there.
    fn fetch(&self, key: &str) -> Result<Option<Digest>, StoreError> {
        if self.store.head(key)?.is_none() {
            return Ok(None);
        }
        match bytes_of(self.store, key, None) {
            Ok(bytes) => Ok(Some(Sha256::digest(&bytes).into())),
            Err(StoreError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Something that was seen earlier must be there still.
    fn witness(&mut self, head: &ChainHead, why: &str) {
        let ChainHead {
            node, key, sha256, ..
        } = head;
        let is_there = digest_of(sha256).is_some_and(|hash| self.all.contains_key(&hash));
        if is_there || is_before(key, self.options) {
            return;
        }
        match self.fetch(key) {
            Ok(Some(hash)) if hex(&hash) == *sha256 => {}
            Ok(Some(_)) => self.find(
                What::Changed,
                key,
                format!("{key} was changed: {why} of the node {node}, with another hash"),
            ),
            Ok(None) => self.find(
                What::Missing,
                key,
                format!(
                    "{key} is missing: {why} of the node {node}, and the chain does not hold it"
                ),
            ),
            Err(error) => self.find(
                What::Unreadable,
                key,
                format!("{key} cannot be read: {error}"),
            ),
        }
    }

    /// A node that lost its disk begins a new chain; nobody can tell that from a hand.
    fn born_again(&mut self, firsts: &[&Link]) {
        for first in firsts.iter().skip(1) {
            self.remarks.push(format!(
                "the chain of the node {} begins anew with {} at {}: its recorder had lost what it knew, or somebody else wrote it",
                first.node, first.key, first.sealed
            ));
        }
    }

    /// Says when a node has missed its promise.
    fn silent(&mut self, links: &[&Link]) {
        let mut last: BTreeMap<&str, &Link> = BTreeMap::new();
        for link in links {
            last.insert(&link.recording, link);
        }
        let now = self.options.now;
        let late = last
            .values()
            .filter_map(|link| Some((*link, link.due?)))
            .find(|(_, due)| *due + LATE < now);
        let Some((link, due)) = late else { return };
        let sentence = format!(
            "the node {} is silent since {}: its next manifest was due at {due}; it was stopped without notice, cannot upload, or its newest objects are gone",
            link.node, link.sealed
        );
        let is_expected = self.options.expect_nodes.contains(&link.node);
        match is_expected {
            true => self.find(What::Silent, &link.node.clone(), sentence),
            false => self.remarks.push(sentence),
        }
    }
}
