//! The revisions that the cluster keeps of deployments, stateful sets and daemon sets.
//!
//! In: metadata of replica sets and controller revisions. Out: whether a revision is the newest of several,
//! and when it was made. Never: their specifications; more of them than [`MAX_REVISIONS`].

use std::collections::HashMap;

use serde_json::Value as Json;

use super::super::objects::{Key, Owner, creation, text};

/// Paths, below a group's version, where the API server has them; each is listed by metadata alone.
pub(in crate::cluster) const KINDS: [&str; 2] = ["replicasets", "controllerrevisions"];

/// Revisions that are kept: ten of each of the deployments that the largest clusters have.
const MAX_REVISIONS: usize = 200_000;

/// Revisions by the owner of their pods.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Revisions {
    of: HashMap<(String, String, String), Vec<Revision>, ahash::RandomState>,
    count: usize,
}

/// One revision.
#[derive(Debug)]
struct Revision {
    /// The object's name: a pod of a stateful set names its revision so.
    name: String,
    /// The hash that pods have as a label.
    hash: String,
    /// When it was made (Unix seconds).
    made: i64,
}

impl Revisions {
    /// Takes in a replica set or controller revision; what nothing controls is no revision.
    pub(in crate::cluster) fn add(&mut self, object: &Json) {
        let read = || {
            let metadata = object.get("metadata")?;
            let key = Key::of(object)?;
            let owner = Owner::of(metadata)?;
            let label = |name: &str| {
                Some(text(metadata.get("labels")?, name)).filter(|one| !one.is_empty())
            };
            let hash = label("pod-template-hash")
                .or_else(|| label("controller-revision-hash"))
                .or_else(|| label("controller.kubernetes.io/hash"));
            let revision = Revision {
                hash: hash.unwrap_or_default().to_owned(),
                made: creation(metadata)?,
                name: key.name,
            };
            Some(((key.namespace, owner.kind, owner.name), revision))
        };
        if self.count < MAX_REVISIONS
            && let Some((of, revision)) = read()
        {
            self.count += 1;
            self.of.entry(of).or_default().push(revision);
        }
    }

    /// When a revision was made, where it is the newest of several of its owner; `None` where it is not, and
    /// where the owner's revisions are not known.
    pub(super) fn newest(&self, namespace: &str, owner: &Owner, revision: &str) -> Option<i64> {
        let all = self.all(namespace, owner)?;
        let newest = all.iter().max_by_key(|one| one.made)?;
        let is_it = newest.hash == revision || newest.name == revision;
        (is_it && all.len() > 1).then_some(newest.made)
    }

    /// Whether revisions of an owner are known.
    pub(super) fn knows(&self, namespace: &str, owner: &Owner) -> bool {
        self.all(namespace, owner).is_some()
    }

    fn all(&self, namespace: &str, owner: &Owner) -> Option<&Vec<Revision>> {
        let of = (namespace.to_owned(), owner.kind.clone(), owner.name.clone());
        self.of.get(&of)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owner(kind: &str, name: &str) -> Owner {
        Owner {
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }

    fn object(name: &str, kind: &str, label: (&str, &str), made: &str) -> Json {
        json!({"metadata": {
            "namespace": "shop", "name": name, "creationTimestamp": made, "labels": {label.0: label.1},
            "ownerReferences": [{"kind": kind, "name": "cart", "controller": true}],
        }})
    }

    #[test]
    fn the_newest_of_several_revisions_is_known_by_its_hash_or_name() {
        let mut revisions = Revisions::default();
        let sets = [
            ("cart-aaa", "aaa", "2023-11-14T20:00:00Z"),
            ("cart-bbb", "bbb", "2023-11-14T22:00:00Z"),
        ];
        for (name, hash, made) in sets {
            revisions.add(&object(
                name,
                "Deployment",
                ("pod-template-hash", hash),
                made,
            ));
            revisions.add(&object(
                name,
                "StatefulSet",
                ("controller.kubernetes.io/hash", hash),
                made,
            ));
        }
        revisions.add(&object(
            "cart-ccc",
            "DaemonSet",
            ("controller-revision-hash", "ccc"),
            sets[0].2,
        ));
        let newest =
            |kind: &str, revision: &str| revisions.newest("shop", &owner(kind, "cart"), revision);
        assert_eq!(newest("Deployment", "bbb"), Some(1_699_999_200));
        assert_eq!(newest("Deployment", "aaa"), None);
        assert_eq!(newest("StatefulSet", "cart-bbb"), Some(1_699_999_200));
        // The first of all is no rollout.
        assert_eq!(newest("DaemonSet", "ccc"), None);
        assert!(revisions.knows("shop", &owner("DaemonSet", "cart")));
        assert!(!revisions.knows("pay", &owner("DaemonSet", "cart")));
    }

    #[test]
    fn what_nobody_owns_or_has_no_time_is_no_revision() {
        let mut revisions = Revisions::default();
        let mut alone = object(
            "cart-aaa",
            "Deployment",
            ("pod-template-hash", "aaa"),
            "2023-11-14T20:00:00Z",
        );
        alone["metadata"]["ownerReferences"] = json!([]);
        revisions.add(&alone);
        revisions.add(&object(
            "cart-bbb",
            "Deployment",
            ("pod-template-hash", "bbb"),
            "yesterday",
        ));
        revisions.add(&json!({"metadata": 7}));
        assert_eq!(revisions.count, 0);
    }
}
