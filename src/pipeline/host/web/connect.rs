//! Connections of helpers: judged when a name is resolved, announced while they are open.
//!
//! In: what the HTTP client wants to reach. Out: addresses that may be reached, connections that the
//! capture leaves out as our own. Never: another address than those that were judged.

use std::net::IpAddr;
use std::sync::Arc;

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::policy::NetworkPolicy;
use crate::capture::own::{Expected, OwnSockets};
use crate::packet::Endpoint;

/// Resolves names and refuses addresses that helpers may not reach.
#[derive(Debug)]
pub(super) struct Judging {
    pub(super) policy: Arc<NetworkPolicy>,
    /// Host of a proxy, which the user chose and no script.
    pub(super) proxy: Option<String>,
}

/// Why an address is refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

impl Resolver for Judging {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let host = uri.host().unwrap_or_default();
        if self.proxy.as_deref() == Some(host) {
            return Ok(found);
        }
        let addresses: Vec<IpAddr> = found.iter().map(|address| address.ip()).collect();
        let port = found.first().map_or(0, |address| address.port());
        self.policy
            .judge(host, port, &addresses)
            .map_err(|why| Error::Other(Box::new(Refused(why))))?;
        Ok(found)
    }
}

/// Says of each connection that it is ours, before its first packet leaves.
#[derive(Debug)]
pub(super) struct Announcing<C> {
    pub(super) connector: C,
    pub(super) own: OwnSockets,
}

impl<C: Connector<()>> Connector<()> for Announcing<C> {
    type Out = Announced<C::Out>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let expected = details
            .addrs
            .iter()
            .map(|address| {
                self.own.expect(Endpoint {
                    ip: address.ip(),
                    port: address.port(),
                })
            })
            .collect();
        let transport = self.connector.connect(details, chained)?;
        Ok(transport.map(|transport| Announced {
            transport,
            _expected: expected,
        }))
    }
}

/// A connection that is announced until it is closed.
#[derive(Debug)]
pub(super) struct Announced<T> {
    transport: T,
    _expected: Vec<Expected>,
}

impl<T: Transport> Transport for Announced<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.transport.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.transport.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}
