//! The stores of a run, and what they tell the capture of their connections.
//!
//! In: URLs of destinations, buckets that scripts name. Out: one store for each, opened once; a store
//! whose endpoint is known announces every call, so that connections that end within a hand-over of the
//! kernel are still known as ours. Never: an endpoint of Amazon, whose addresses change; its connections
//! live long enough to be found by their sockets.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::config::Config;
use super::super::exit::Failure;
use crate::capture::own::{Expected, OwnSockets};
use crate::investigate::Archive;
use crate::packet::Endpoint;
use crate::pipeline::host::S3Target;
use crate::server::Archived;
use crate::store::{self, Body, Entry, OpenOptions, PutOptions, Receipt, State, Store, StoreError};

/// Stores by their URL, opened once.
pub(super) struct Stores {
    options: OpenOptions,
    own: OwnSockets,
    open: Mutex<BTreeMap<String, Arc<dyn Store>>>,
}

impl Stores {
    /// Stores that are reached with `options`, and tell `own` when they are.
    pub(super) fn new(options: OpenOptions, own: OwnSockets) -> Arc<Stores> {
        Arc::new(Stores {
            options,
            own,
            open: Mutex::default(),
        })
    }

    /// The store of this URL.
    ///
    /// # Errors
    /// As [`store::open`].
    pub(super) fn open(&self, url: &str) -> Result<Arc<dyn Store>, StoreError> {
        self.open_with(url, url, &self.options)
    }

    /// The bucket that a script names, with its own keys when it gives them.
    ///
    /// # Errors
    /// One sentence, as [`store::open`] says it.
    pub(super) fn of_script(&self, target: &S3Target) -> Result<Arc<dyn Store>, String> {
        let mut options = self.options.clone();
        if !target.region.is_empty() {
            options.s3.region = Some(target.region.clone());
        }
        if let (Some(id), Some(secret)) = (&target.key_id, &target.secret) {
            options.s3.keys = Some(store::s3::Keys {
                access_key_id: id.clone(),
                secret_access_key: secret.clone(),
                session_token: None,
            });
        }
        let url = format!("s3://{}/", target.bucket);
        let name = format!(
            "{url} {} {:?} {:?}",
            target.region, target.key_id, target.secret
        );
        self.open_with(&name, &url, &options)
            .map_err(|error| error.to_string())
    }

    fn open_with(
        &self,
        name: &str,
        url: &str,
        options: &OpenOptions,
    ) -> Result<Arc<dyn Store>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(name) {
            return Ok(store.clone());
        }
        let mut store = store::open(url, options)?;
        if store::s3_parts(url).is_some() {
            let remotes = remotes(options.s3.endpoint.as_deref());
            if !remotes.is_empty() {
                store = Arc::new(Announced {
                    store,
                    own: self.own.clone(),
                    remotes,
                });
            }
        }
        open.insert(name.to_owned(), store.clone());
        Ok(store)
    }
}

/// The archives in `stores`, opened when they are asked for.
///
/// # Errors
/// When the configuration does not say how packets are read.
pub(super) fn archived(config: &Config, stores: &Arc<Stores>) -> Result<Archived, Failure> {
    let stores = stores.clone();
    let open = move |url: &str| {
        let store = stores.open(url).map_err(|error| error.to_string())?;
        Archive::over(store).map_err(|error| error.to_string())
    };
    let reading = super::super::source::reading(config)?;
    let open_cache = || match super::super::source::cache() {
        Ok(cache) => cache,
        Err(failure) => {
            tracing::warn!(why = failure.message, "archives are read without a cache");
            None
        }
    };
    Ok(Archived::new(Box::new(open), reading, Box::new(open_cache)))
}

/// Whether a store lies on a disk of the node that writes to it.
pub(super) fn is_folder(url: &str) -> bool {
    !url.contains("://") || url.starts_with("file://")
}

/// Variables in which the SDK looks for an endpoint, in its order.
const ENDPOINT_VARIABLES: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

/// Where a configured endpoint is reached; nothing when there is none or its name is unknown.
fn remotes(configured: Option<&str>) -> Vec<Endpoint> {
    let of_environment = || {
        ENDPOINT_VARIABLES
            .iter()
            .find_map(|name| std::env::var_os(name)?.into_string().ok())
    };
    configured
        .map(str::to_owned)
        .or_else(of_environment)
        .map(|url| addresses(&url))
        .unwrap_or_default()
}

/// Addresses of `http://host:port`, as the system resolves them now.
fn addresses(url: &str) -> Vec<Endpoint> {
    let Ok(url) = url.parse::<axum::http::Uri>() else {
        return Vec::new();
    };
    let Some(host) = url.host() else {
        return Vec::new();
    };
    let port = match url.scheme_str() {
        Some("http") => 80,
        _ => 443,
    };
    let port = url.port_u16().unwrap_or(port);
    (host.trim_matches(['[', ']']), port)
        .to_socket_addrs()
        .into_iter()
        .flatten()
        .map(|address| Endpoint {
            ip: address.ip(),
            port,
        })
        .collect()
}

/// A store that says when it is about to talk to its endpoint.
struct Announced {
    store: Arc<dyn Store>,
    own: OwnSockets,
    remotes: Vec<Endpoint>,
}

impl Announced {
    fn expect(&self) -> Vec<Expected> {
        self.remotes
            .iter()
            .map(|remote| self.own.expect(*remote))
            .collect()
    }
}

impl Store for Announced {
    fn name(&self) -> String {
        self.store.name()
    }

    fn put(&self, key: &str, body: Body<'_>, options: &PutOptions) -> Result<Receipt, StoreError> {
        let _expected = self.expect();
        self.store.put(key, body, options)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError> {
        let _expected = self.expect();
        self.store.list(prefix, each)
    }

    fn get(
        &self,
        key: &str,
        version: Option<&str>,
        range: Option<(u64, u64)>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        let _expected = self.expect();
        self.store.get(key, version, range)
    }

    fn get_latest(&self, key: &str) -> Result<Box<dyn Read + Send>, StoreError> {
        let _expected = self.expect();
        self.store.get_latest(key)
    }

    fn head(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let _expected = self.expect();
        self.store.head(key)
    }

    fn state(&self, key: &str, version: Option<&str>) -> Result<Option<State>, StoreError> {
        let _expected = self.expect();
        self.store.state(key, version)
    }

    fn clear(&self, prefix: &str) -> Result<u64, StoreError> {
        let _expected = self.expect();
        self.store.clear(prefix)
    }

    fn facts(&self) -> BTreeMap<&'static str, String> {
        let _expected = self.expect();
        self.store.facts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::s3::S3Options;

    #[test]
    fn an_endpoint_is_resolved_with_the_port_of_its_scheme() {
        let at = |ip: &str, port| Endpoint {
            ip: ip.parse().unwrap(),
            port,
        };
        let cases = [
            ("http://192.0.2.7:9000/", vec![at("192.0.2.7", 9000)]),
            ("http://192.0.2.7", vec![at("192.0.2.7", 80)]),
            ("https://[2001:db8::1]", vec![at("2001:db8::1", 443)]),
            ("not a url", vec![]),
        ];
        for (url, expected) in cases {
            assert_eq!(addresses(url), expected, "{url}");
        }
    }

    /// A call is announced while it runs and no longer, also when it fails.
    #[test]
    fn calls_are_announced_while_they_run() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let remote = listener.local_addr().unwrap();
        let own = OwnSockets::default();
        let seen = own.clone();
        let server = std::thread::spawn(move || {
            let (connection, _) = listener.accept().unwrap();
            let during = seen.expects_now(Endpoint {
                ip: remote.ip(),
                port: remote.port(),
            });
            drop((connection, listener));
            during
        });
        let options = OpenOptions {
            s3: S3Options {
                endpoint: Some(format!("http://{remote}")),
                region: Some("us-east-1".to_owned()),
                anonymous: true,
                ..S3Options::default()
            },
            ..OpenOptions::default()
        };
        let stores = Stores::new(options, own.clone());
        let store = stores.open("s3://bucket/").unwrap();
        assert!(store.head("key").is_err());
        assert!(server.join().unwrap());
        assert!(!own.expects_now(Endpoint {
            ip: remote.ip(),
            port: remote.port(),
        }));
    }
}
