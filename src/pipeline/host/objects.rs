//! `vendor.s3`: where a script's upload goes, told from its arguments.
//!
//! In: the arguments as the script gave them. Out: a [`Target`](S3Target) with the path, keys of
//! this node. Never: a connection; the store comes from a factory that the caller holds.
//!
//! Two argument orders are in use and told apart by what the arguments look like.

use std::sync::Arc;

use crate::store::Store;

/// Where a script wants to put or clear objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Target {
    /// Bucket.
    pub bucket: String,
    /// Region.
    pub region: String,
    /// Access key id; `None` means the default chain.
    pub key_id: Option<String>,
    /// Secret access key; `None` means the default chain.
    pub secret: Option<String>,
}

/// Opens the store of a target; the sentence says why it cannot be opened.
pub type StoreFactory = dyn Fn(&S3Target) -> Result<Arc<dyn Store>, String> + Send + Sync;

/// The node as object keys name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName {
    /// Kubernetes node name, or the host's name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// The run: its Unix start second.
    pub run: u64,
    /// Whether keys name the run (`scripting.runInKeys`).
    pub run_in_keys: bool,
}

impl NodeName {
    /// Key of an object: `<node>_<ip>_<run>/<basename>`, or without the run.
    pub(crate) fn key(&self, basename: &str) -> String {
        match self.run_in_keys {
            true => format!("{}_{}_{}/{basename}", self.name, self.ip, self.run),
            false => self.key_of_node(basename),
        }
    }

    /// Key of an object without the run, as Azure's has it: `<node>_<ip>/<basename>`.
    pub(crate) fn key_of_node(&self, basename: &str) -> String {
        format!("{}_{}/{basename}", self.name, self.ip)
    }

    /// Prefixes of all this node's objects, each ending at a border so that `a_10.0.0.1` is not
    /// also `a_10.0.0.12`; `None` when name or address is unknown.
    pub(crate) fn prefixes(&self) -> Option<[String; 2]> {
        let known = !self.name.is_empty() && !self.ip.is_empty();
        known.then(|| ["_", "/"].map(|border| format!("{}_{}{border}", self.name, self.ip)))
    }
}

/// Which of the two orders was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// `(bucket, path, region, key id?, secret?)`, since v41.2.
    New,
    /// `(region, key id, secret, bucket, path)`.
    Old,
}

/// Reads the arguments of `vendor.s3.put`; `exists` says whether a path is a file of the data root.
pub(crate) fn put_arguments(
    arguments: &[Option<String>],
    exists: impl Fn(&str) -> bool,
) -> Result<(S3Target, String, Order), String> {
    let argument = |at: usize| arguments.get(at).cloned().flatten().unwrap_or_default();
    let order = put_order(arguments, exists);
    let (target, path) = match order {
        Order::New => (
            target(argument(0), argument(2), argument(3), argument(4)),
            argument(1),
        ),
        Order::Old => (
            target(argument(3), argument(0), argument(1), argument(2)),
            argument(4),
        ),
    };
    if target.bucket.is_empty() || path.is_empty() {
        return Err(
            "vendor.s3.put needs (bucket, path, region) or (bucket, path, region, key id, secret)"
                .into(),
        );
    }
    Ok((target, path, order))
}

fn put_order(arguments: &[Option<String>], exists: impl Fn(&str) -> bool) -> Order {
    let given = |at: usize| {
        let argument = arguments.get(at).and_then(Option::as_deref);
        argument.filter(|text| !text.is_empty())
    };
    if given(4).is_none() {
        return Order::New;
    }
    match (given(1).is_some_and(&exists), given(4).is_some_and(&exists)) {
        (true, false) => return Order::New,
        (false, true) => return Order::Old,
        _ => {}
    }
    match (
        given(2).is_some_and(is_region),
        given(0).is_some_and(is_region),
    ) {
        (true, false) => return Order::New,
        (false, true) => return Order::Old,
        _ => {}
    }
    let endings = [".pcap", ".json", ".tar.gz", ".har", ".txt"];
    if given(4).is_some_and(|last| endings.iter().any(|ending| last.ends_with(ending))) {
        Order::Old
    } else {
        Order::New
    }
}

/// Reads the arguments of `vendor.s3.clear`: `(region, key id, secret, bucket)`, or
/// `(bucket, region, key id?, secret?)` when the second looks like a region.
pub(crate) fn clear_arguments(arguments: &[Option<String>]) -> Result<S3Target, String> {
    let argument = |at: usize| arguments.get(at).cloned().flatten().unwrap_or_default();
    let found = if is_region(&argument(1)) {
        target(argument(0), argument(1), argument(2), argument(3))
    } else {
        target(argument(3), argument(0), argument(1), argument(2))
    };
    if found.bucket.is_empty() {
        return Err("vendor.s3.clear needs (region, key id, secret, bucket)".into());
    }
    Ok(found)
}

fn target(bucket: String, region: String, key_id: String, secret: String) -> S3Target {
    let given = |text: String| (!text.is_empty()).then_some(text);
    S3Target {
        bucket,
        region,
        key_id: given(key_id),
        secret: given(secret),
    }
}

/// `eu-west-1`, `us-gov-east-1`: letters, then parts of letters, then a number.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.as_slice() {
        [first, middle @ .., last] => {
            first.len() >= 2
                && letters(first)
                && !middle.is_empty()
                && middle.iter().all(letters)
                && !last.is_empty()
                && last.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

/// Address of an object as S3 names it.
pub(crate) fn url(target: &S3Target, key: &str) -> String {
    format!(
        "https://{}.s3.{}.amazonaws.com/{key}",
        target.bucket, target.region
    )
}

/// MIME type by the first bytes.
pub(crate) fn content_type(start: &[u8]) -> &'static str {
    match start {
        [0x1f, 0x8b, ..] => "application/gzip",
        [0xd4, 0xc3, 0xb2, 0xa1, ..]
        | [0xa1, 0xb2, 0xc3, 0xd4, ..]
        | [0x4d, 0x3c, 0xb2, 0xa1, ..]
        | [0xa1, 0xb2, 0x3c, 0x4d, ..] => "application/vnd.tcpdump.pcap",
        [b'{' | b'[', ..] => "application/json",
        text if std::str::from_utf8(text).is_ok() => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(texts: &[&str]) -> Vec<Option<String>> {
        texts
            .iter()
            .map(|text| (*text != "undefined").then(|| (*text).to_owned()))
            .collect()
    }

    fn order(texts: &[&str], file: &str) -> Order {
        let read = put_arguments(&arguments(texts), |path| path == file);
        let (target, path, order) = read.unwrap();
        assert_eq!(
            (target.bucket.as_str(), target.region.as_str()),
            ("b", "eu-west-1")
        );
        assert_eq!(path, "f.pcap");
        order
    }

    #[test]
    fn both_orders_of_put_are_told_apart() {
        assert_eq!(order(&["b", "f.pcap", "eu-west-1"], ""), Order::New);
        let undefined = ["b", "f.pcap", "eu-west-1", "undefined", "undefined"];
        assert_eq!(order(&undefined, ""), Order::New);
        let new = ["b", "f.pcap", "eu-west-1", "k", "s"];
        assert_eq!(order(&new, "f.pcap"), Order::New);
        assert_eq!(order(&new, ""), Order::New);
        let old = ["eu-west-1", "k", "s", "b", "f.pcap"];
        assert_eq!(order(&old, "f.pcap"), Order::Old);
        assert_eq!(order(&old, ""), Order::Old);
    }

    #[test]
    fn without_any_other_sign_the_ending_decides() {
        let read = put_arguments(&arguments(&["home", "k", "s", "b", "f.txt"]), |_| false).unwrap();
        assert_eq!((read.0.region.as_str(), read.2), ("home", Order::Old));
        let read = put_arguments(&arguments(&["b", "f", "home", "k", "s"]), |_| false).unwrap();
        assert_eq!((read.0.region.as_str(), read.2), ("home", Order::New));
    }

    #[test]
    fn regions_look_like_regions() {
        for region in ["eu-west-1", "us-gov-east-1", "ap-southeast-12"] {
            assert!(is_region(region), "{region}");
        }
        for other in [
            "",
            "home",
            "AKIA-1",
            "eu-west",
            "e-west-1",
            "my-bucket-",
            "1-1",
        ] {
            assert!(!is_region(other), "{other}");
        }
    }

    #[test]
    fn a_node_clears_only_its_own_objects() {
        let node = |name: &str, ip: &str| NodeName {
            name: name.into(),
            ip: ip.into(),
            run: 17,
            run_in_keys: true,
        };
        assert_eq!(node("a", "10.0.0.1").key("x.pcap"), "a_10.0.0.1_17/x.pcap");
        let without_run = NodeName {
            run_in_keys: false,
            ..node("a", "10.0.0.1")
        };
        assert_eq!(without_run.key("x.pcap"), "a_10.0.0.1/x.pcap");
        let prefixes = node("a", "10.0.0.1").prefixes().unwrap();
        assert!(
            prefixes
                .iter()
                .any(|prefix| "a_10.0.0.1_17/x".starts_with(prefix))
        );
        assert!(
            !prefixes
                .iter()
                .any(|prefix| "a_10.0.0.12_17/x".starts_with(prefix))
        );
        assert_eq!(node("", "10.0.0.1").prefixes(), None);
        assert_eq!(node("a", "").prefixes(), None);
    }

    #[test]
    fn clear_takes_both_orders() {
        let old = clear_arguments(&arguments(&["eu-west-1", "k", "s", "b"])).unwrap();
        let new = clear_arguments(&arguments(&["b", "eu-west-1", "k", "s"])).unwrap();
        assert_eq!(old, new);
        assert!(clear_arguments(&arguments(&["eu-west-1"])).is_err());
    }
}
