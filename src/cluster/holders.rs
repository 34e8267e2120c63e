//! Who held an address when, from what several objects claim.
//!
//! In: claims of pods, services, slices and nodes to addresses, each with the time from which it may
//! hold, from which it surely holds, and at which it ended. Out: the changes of each address, as
//! [`Update`]s. Never: more than [`MAX_CLAIMS`] claims to one address.
//!
//! At a moment the address belongs to the claim that surely holds, the last to have begun; else to
//! one that may hold already; else, for [`LINGER`], to the one that ended last: what is still on its
//! way to a pod that is gone was meant for it. A port of an address does so no longer than until
//! another pod has the address.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::resolve::{Address, Change, Name, Update};

/// Seconds for which the address of a pod that ended keeps its name, unless somebody else has it:
/// as long as TCP waits for stray segments.
pub(super) const LINGER: i64 = 60;

/// Claims to one address that are remembered; older ones that ended are dropped.
const MAX_CLAIMS: usize = 16;

/// Seconds after its beginning in which what a claim says may still be completed: the parts of a new
/// pod (address, slice, container) arrive one after the other.
const SETTLE: i64 = 5;

/// Which claim counts when several hold: the later in this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The first address of a node's pod network, which bridges of the node have.
    Gateway,
    /// A service's address, or its node port.
    Service,
    /// A node's address.
    Node,
    /// An endpoint of a service that is no pod.
    Endpoint,
    /// A pod.
    Pod,
}

/// A claim to an address.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) rank: Rank,
    /// Unix seconds from which it may hold.
    pub(super) from: i64,
    /// From which it surely holds.
    pub(super) sure: i64,
    /// At which it ended.
    pub(super) to: Option<i64>,
    pub(super) name: Name,
}

#[derive(Debug)]
struct Owned {
    owner: Arc<str>,
    claim: Claim,
    /// When this claim was first heard of.
    heard: i64,
    /// Whether the same owner says something else of the address by now.
    replaced: bool,
    /// Before this it says nothing: what its owner said before counts then.
    floor: i64,
}

/// All claims.
#[derive(Debug, Default)]
pub(super) struct Holders {
    by_address: HashMap<Address, Vec<Owned>, ahash::RandomState>,
    by_owner: HashMap<Arc<str>, BTreeSet<Address>, ahash::RandomState>,
    /// Addresses with one of their ports that somebody claims, by address.
    ports: HashMap<IpAddr, BTreeSet<Address>, ahash::RandomState>,
}

impl Holders {
    /// Takes in all that `owner` claims at `now`; what it claimed before and does not any more ends
    /// now. With `settling` claims that say something new replace the old ones from their beginning.
    pub(super) fn put(
        &mut self,
        owner: &str,
        claims: Vec<(Address, Claim)>,
        now: i64,
        settling: bool,
    ) -> Vec<Update> {
        let mut updates = Vec::new();
        let wanted: BTreeSet<Address> = claims.iter().map(|(address, _)| *address).collect();
        let owner: Arc<str> = match self.by_owner.get_key_value(owner) {
            Some((known, _)) => known.clone(),
            None => owner.into(),
        };
        let before = self.by_owner.get(&owner).cloned().unwrap_or_default();
        for gone in before.difference(&wanted) {
            self.alter(*gone, &mut updates, |held| end(held, &owner, now));
        }
        for (address, claim) in claims {
            self.alter(address, &mut updates, |held| {
                put(held, &owner, claim, now, settling);
            });
        }
        match wanted.is_empty() {
            true => self.by_owner.remove(&owner),
            false => self.by_owner.insert(owner, wanted),
        };
        updates
    }

    /// Ends all that `owner` claims, at `at`; what it says itself of its end counts.
    pub(super) fn end(&mut self, owner: &str, at: i64) -> Vec<Update> {
        self.put(owner, Vec::new(), at, false)
    }

    /// Drops claims that ended before `secs`; the history has them.
    pub(super) fn forget_before(&mut self, secs: i64) {
        self.by_address.retain(|_, held| {
            held.retain(|one| one.claim.to.is_none_or(|to| to + LINGER >= secs));
            !held.is_empty()
        });
        self.ports.retain(|_, ports| {
            ports.retain(|address| self.by_address.contains_key(address));
            !ports.is_empty()
        });
    }

    /// Addresses that somebody claims, and claims.
    pub(super) fn size(&self) -> (usize, usize) {
        let claims = self.by_address.values().map(Vec::len).sum();
        (self.by_address.len(), claims)
    }

    fn alter(
        &mut self,
        address: Address,
        updates: &mut Vec<Update>,
        change: impl FnOnce(&mut Vec<Owned>),
    ) {
        let mut concerned = vec![address];
        match address {
            Address::Ip(ip) => concerned.extend(self.ports.get(&ip).into_iter().flatten()),
            Address::Endpoint(endpoint) => {
                self.ports.entry(endpoint.ip).or_default().insert(address);
            }
            Address::NodePort(_) => {}
        }
        let before: Vec<Vec<Change>> = concerned.iter().map(|one| self.timeline(one)).collect();
        let held = self.by_address.entry(address).or_default();
        change(held);
        let after: Vec<Vec<Change>> = concerned.iter().map(|one| self.timeline(one)).collect();
        let held = self.by_address.entry(address).or_default();
        while held.len() > MAX_CLAIMS {
            let oldest = held
                .iter()
                .enumerate()
                .min_by_key(|(_, one)| (one.claim.to.is_none(), one.claim.from))
                .map_or(0, |(index, _)| index);
            held.remove(oldest);
        }
        for ((address, before), after) in concerned.into_iter().zip(&before).zip(&after) {
            updates.extend(update(address, before, after));
        }
    }

    fn claims(&self, address: &Address) -> &[Owned] {
        self.by_address.get(address).map_or(&[], Vec::as_slice)
    }

    /// Claims to the address of which this is a port.
    fn claims_around(&self, address: &Address) -> &[Owned] {
        match address {
            Address::Endpoint(endpoint) => self.claims(&Address::Ip(endpoint.ip)),
            Address::Ip(_) | Address::NodePort(_) => &[],
        }
    }

    fn timeline(&self, address: &Address) -> Vec<Change> {
        timeline(self.claims(address), self.claims_around(address))
    }
}

/// What differs from the first difference on.
fn update(address: Address, before: &[Change], after: &[Change]) -> Option<Update> {
    let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    if same == before.len() && same == after.len() {
        return None;
    }
    // An update replaces all from its first change on, so it begins with one that stays.
    let begin = same.saturating_sub(1);
    let mut changes = after.get(begin..).unwrap_or_default().to_vec();
    if same == 0
        && let Some(first) = before.first()
        && changes
            .first()
            .is_none_or(|change| change.from > first.from)
    {
        changes.insert(
            0,
            Change {
                from: first.from,
                name: None,
            },
        );
    }
    Some(Update { address, changes })
}

fn end(held: &mut [Owned], owner: &Arc<str>, at: i64) {
    for one in held.iter_mut().filter(|one| one.owner == *owner) {
        let claim = &mut one.claim;
        claim.to = Some(claim.to.unwrap_or(at));
    }
}

fn put(held: &mut Vec<Owned>, owner: &Arc<str>, claim: Claim, now: i64, settling: bool) {
    let current = held
        .iter_mut()
        .rev()
        .find(|one| one.owner == *owner && !one.replaced);
    if let Some(one) = current {
        if one.claim.to.is_some_and(|to| to <= now) && claim.to.is_none() {
            // It had let go of the address, and has it again.
            one.replaced = true;
            let to = one.claim.to.unwrap_or(now);
            let claim = Claim {
                from: claim.from.max(to),
                sure: claim.sure.max(to),
                ..claim
            };
            held.push(Owned {
                owner: owner.clone(),
                claim,
                heard: now,
                replaced: false,
                floor: to,
            });
            return;
        }
        let same = one.claim.name == claim.name;
        if same || settling || now < one.heard + SETTLE {
            // What was sure before stays so: a container that runs again began later.
            let (from, sure) = (one.claim.from, one.claim.sure);
            one.claim = Claim {
                from: from.min(claim.from).max(one.floor),
                sure: sure.min(claim.sure).max(one.floor),
                ..claim
            };
            return;
        }
        one.replaced = true;
        one.claim.to = Some(one.claim.to.map_or(now, |to| to.min(now)));
        held.push(Owned {
            owner: owner.clone(),
            claim: Claim {
                from: now,
                sure: now,
                ..claim
            },
            heard: now,
            replaced: false,
            floor: now,
        });
        return;
    }
    held.push(Owned {
        owner: owner.clone(),
        claim,
        heard: now,
        replaced: false,
        floor: i64::MIN,
    });
}

/// Until when the name of a claim that ended at `to` lingers: another pod that has come to the address
/// `around` its port since the claim began is meant by what still comes.
fn lingers_until(one: &Owned, to: i64, around: &[Owned]) -> i64 {
    let came = around.iter().filter(|other| {
        let claim = &other.claim;
        claim.rank == Rank::Pod
            && other.owner != one.owner
            && claim.from > one.claim.from
            && claim.to.is_none_or(|end| end > to)
    });
    let came = came.map(|other| other.claim.from.max(to)).min();
    came.map_or(to + LINGER, |came| came.min(to + LINGER))
}

/// Who has the address at `at`; `around` are the claims to the whole address, where it is a port.
fn holder<'a>(held: &'a [Owned], around: &[Owned], at: i64) -> Option<&'a Owned> {
    let began = held.iter().filter(|one| one.claim.from <= at);
    let standing = |one: &Owned| {
        let claim = &one.claim;
        match claim.to {
            Some(to) if at >= to && at >= lingers_until(one, to, around) => 0,
            Some(to) if at >= to => 1,
            _ if at < claim.sure => 2,
            _ => 3,
        }
    };
    began
        .enumerate()
        .map(|(place, one)| (standing(one), place, one))
        .filter(|(standing, ..)| *standing > 0)
        // Who may hold goes before who ended, whatever their ranks; among equals the later one.
        .max_by_key(|(standing, place, one)| {
            let claim = &one.claim;
            let begin = match standing {
                1 => claim.to.unwrap_or(claim.from),
                2 => claim.from,
                _ => claim.sure,
            };
            (*standing, claim.rank, begin, *place)
        })
        .map(|(.., one)| one)
}

fn timeline(held: &[Owned], around: &[Owned]) -> Vec<Change> {
    let mut moments = BTreeSet::new();
    for one in held {
        let claim = &one.claim;
        moments.extend([claim.from, claim.sure]);
        let ends = |to| [to, lingers_until(one, to, around)];
        moments.extend(claim.to.into_iter().flat_map(ends));
    }
    let mut changes: Vec<Change> = Vec::new();
    for at in moments {
        let name = holder(held, around, at).map(|one| &one.claim.name);
        let last = changes.last().and_then(|change| change.name.as_ref());
        // The first change names somebody: before it nobody is known.
        if last != name {
            changes.push(Change {
                from: at,
                name: name.cloned(),
            });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::Endpoint;
    use crate::resolve::LiveHistory;
    use crate::time::Timestamp;

    fn address() -> Address {
        Address::Ip([10, 244, 1, 7].into())
    }

    fn at_port() -> Address {
        let ip = [10, 244, 1, 7].into();
        Address::Endpoint(Endpoint { ip, port: 8080 })
    }

    fn claim(name: &str, from: i64, sure: i64, to: Option<i64>) -> (Address, Claim) {
        let claim = Claim {
            rank: Rank::Pod,
            from,
            sure,
            to,
            name: Name::plain(name, "shop"),
        };
        (address(), claim)
    }

    /// A pod that says on which port it listens.
    fn listening(name: &str, from: i64, sure: i64) -> Vec<(Address, Claim)> {
        let (address, claim) = claim(name, from, sure, None);
        vec![(address, claim.clone()), (at_port(), claim)]
    }

    struct Told {
        holders: Holders,
        history: LiveHistory,
    }

    impl Told {
        fn new() -> Told {
            Told {
                holders: Holders::default(),
                history: LiveHistory::new(),
            }
        }

        fn put(&mut self, owner: &str, claims: Vec<(Address, Claim)>, now: i64) {
            let updates = self.holders.put(owner, claims, now, false);
            self.history.apply(&updates, Timestamp::from_secs(now, 0));
        }

        fn end(&mut self, owner: &str, at: i64) {
            let updates = self.holders.end(owner, at);
            self.history.apply(&updates, Timestamp::from_secs(at, 0));
        }

        fn at(&self, at: i64) -> String {
            let found = self.history.read(|history| {
                history.lookup_ip([10, 244, 1, 7].into(), Timestamp::from_secs(at, 0))
            });
            found.map_or("-".to_owned(), |named| named.name.to_string())
        }

        /// Who is asked at the port.
        fn asked(&self, at: i64) -> String {
            let (ip, port) = ([10, 244, 1, 7].into(), 8080);
            let found = self
                .history
                .read(|history| history.lookup(Endpoint { ip, port }, Timestamp::from_secs(at, 0)));
            found.map_or("-".to_owned(), |named| named.name.to_string())
        }
    }

    #[test]
    fn an_address_passes_from_pod_to_pod() {
        let mut told = Told::new();
        told.put("a", vec![claim("a", 1000, 1002, None)], 1003);
        assert_eq!(told.at(1000), "a");
        // The node took the second one on while the first still ran; its container came later.
        told.put("b", vec![claim("b", 1100, 1112, None)], 1113);
        told.end("a", 1110);
        let at = [1099, 1105, 1109, 1111, 1112, 1500].map(|at| told.at(at));
        assert_eq!(at, ["a", "a", "a", "b", "b", "b"]);
    }

    /// What a claim says anew within moments of each other never reaches back over what it said before.
    #[test]
    fn a_claim_that_changes_twice_at_once_leaves_its_past_alone() {
        let mut told = Told::new();
        told.put("a", vec![claim("with", 1000, 1001, None)], 1003);
        told.put("a", vec![claim("other", 1000, 1001, None)], 1100);
        told.put("a", vec![claim("without", 1000, 1001, None)], 1100);
        let at = [1000, 1050, 1099, 1100, 1200].map(|at| told.at(at));
        assert_eq!(at, ["with", "with", "with", "without", "without"]);
    }

    #[test]
    fn the_name_of_a_pod_that_is_gone_lingers() {
        let mut told = Told::new();
        told.put("a", vec![claim("a", 1000, 1000, None)], 1000);
        told.end("a", 1100);
        let at = [1099, 1100, 1159, 1160].map(|at| told.at(at));
        assert_eq!(at, ["a", "a", "a", "-"]);
        // Somebody else does not wait for that.
        told.put("b", vec![claim("b", 1120, 1125, None)], 1126);
        let at = [1119, 1120, 1200].map(|at| told.at(at));
        assert_eq!(at, ["a", "b", "b"]);
    }

    /// A port that the new pod does not declare is the new pod's all the same.
    #[test]
    fn a_port_of_a_pod_that_is_gone_passes_with_the_address() {
        let mut told = Told::new();
        told.put("a", listening("a", 1000, 1000), 1000);
        told.end("a", 1100);
        assert_eq!([1099, 1159, 1160].map(|at| told.asked(at)), ["a", "a", "-"]);
        told.put("b", vec![claim("b", 1110, 1112, None)], 1113);
        let at = [1099, 1109, 1110, 1130].map(|at| told.asked(at));
        assert_eq!(at, ["a", "a", "b", "b"]);

        // The same when the end of the first one is heard of last, and for what a slice says.
        let mut told = Told::new();
        told.put("a", vec![claim("a", 1000, 1000, None)], 1000);
        let mut of_slice = listening("a in the service", 1001, 1001);
        told.put("slice", of_slice.split_off(1), 1001);
        told.put("b", vec![claim("b", 1110, 1112, None)], 1113);
        told.end("slice", 1115);
        told.end("a", 1115);
        let at = [1105, 1114, 1115, 1130].map(|at| told.asked(at));
        assert_eq!(at, ["a in the service", "a in the service", "b", "b"]);
    }

    /// A pod that its service does not count on any more is still who is asked for it.
    #[test]
    fn a_port_of_a_pod_that_is_still_there_lingers() {
        let mut told = Told::new();
        told.put("a", vec![claim("a", 1000, 1000, None)], 1000);
        let mut of_slice = listening("a in the service", 1001, 1001);
        told.put("slice", of_slice.split_off(1), 1001);
        told.end("slice", 1100);
        let at = [1100, 1159, 1160].map(|at| told.asked(at));
        assert_eq!(at, ["a in the service", "a in the service", "a"]);
    }

    #[test]
    fn a_finished_job_whose_object_stays_does_not_hold_its_address() {
        let mut told = Told::new();
        told.put("job", vec![claim("job", 1000, 1001, None)], 1001);
        told.put("job", vec![claim("job", 1000, 1001, Some(1010))], 1011);
        told.put("web", vec![claim("web", 1012, 1013, None)], 1014);
        // The job's object is changed and at last deleted, long after.
        told.put("job", vec![claim("job", 1000, 1001, Some(1010))], 5000);
        told.end("job", 6000);
        let at = [1009, 1011, 1012, 5000, 6000].map(|at| told.at(at));
        assert_eq!(at, ["job", "job", "web", "web", "web"]);
    }

    #[test]
    fn what_is_told_later_counts_from_then_on() {
        let mut told = Told::new();
        told.put("a", vec![claim("a", 1000, 1000, None)], 1000);
        told.put("a", vec![claim("a-ready", 1000, 1000, None)], 1003);
        told.put("a", vec![claim("a-renamed", 1000, 1000, None)], 1100);
        let at = [1000, 1050, 1099, 1100].map(|at| told.at(at));
        assert_eq!(at, ["a-ready", "a-ready", "a-ready", "a-renamed"]);
    }

    #[test]
    fn claims_that_ended_are_not_kept_for_ever() {
        let mut told = Told::new();
        for index in 0..1000 {
            let name = format!("pod-{index}");
            let at = 1000 + index * 100;
            told.put(&name, vec![claim(&name, at, at, None)], at);
            told.end(&name, at + 90);
        }
        assert_eq!(told.holders.size(), (1, MAX_CLAIMS));
        assert_eq!(told.at(1000 + 900 * 100 + 5), "pod-900");
        told.holders.forget_before(1_000_000);
        assert_eq!(told.holders.size(), (0, 0));
        assert!(told.holders.by_owner.is_empty());
        told.put("a", listening("a", 1_000_000, 1_000_000), 1_000_000);
        assert_eq!(told.holders.ports.len(), 1);
        told.end("a", 1_000_001);
        told.holders.forget_before(2_000_000);
        assert!(told.holders.ports.is_empty());
    }

    proptest! {
        /// The history that grew by updates says what all claims together say.
        #[test]
        fn updates_add_up(steps in proptest::collection::vec(
            (0..4usize, 0..50i64, 0..10i64, proptest::option::of(1..60i64), any::<bool>(), any::<bool>()), 1..14,
        )) {
            let mut told = Told::new();
            let mut now = 1000;
            for (owner, back, sure, to, ends, listens) in steps {
                now += 7;
                let name = format!("pod-{owner}");
                if ends {
                    told.end(&name, now);
                } else {
                    let from = now - back;
                    let to = to.map(|to| from + to);
                    let whole = claim(&name, from, from + sure, to);
                    let port = listens.then(|| (at_port(), whole.1.clone()));
                    told.put(&name, port.into_iter().chain([whole]).collect(), now);
                }
            }
            let (held, at_its_port) = (told.holders.claims(&address()), told.holders.claims(&at_port()));
            let first = held.iter().chain(at_its_port).map(|one| one.claim.from).min();
            // Before the first table the first one counts.
            for at in first.unwrap_or(i64::MAX)..now + 200 {
                let whole = holder(held, &[], at);
                let asked = holder(at_its_port, held, at).or(whole);
                let name = |one: Option<&Owned>| one.map_or("-".to_owned(), |one| one.claim.name.name.to_string());
                prop_assert_eq!(told.at(at), name(whole), "at {}", at);
                prop_assert_eq!(told.asked(at), name(asked), "asked at {}", at);
            }
        }
    }
}
