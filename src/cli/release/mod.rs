//! Commands that reach a release in a cluster: which one, the way to its hub, what is done there.

pub mod clean;
mod forwarded;
mod helm;
pub mod logs;
pub mod pcapdump;
mod plan;
pub mod proxy;
pub mod push;
pub mod tap;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::runtime::Runtime;

use super::config::{Came, Config};
use super::exit::Failure;
use super::instance::{self, Instance};
use super::tap::{credentials, live::runtime};
use crate::cluster;
use crate::release::{Api, DEFAULT_NAME, Forward, Named, NotFound, Release, find, find_named};

pub use forwarded::ports;

/// Time for credential plugins of a kubeconfig.
const CONNECT: Duration = Duration::from_secs(20);

/// Which release is meant.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "In a cluster")]
pub struct ReleaseArgs {
    /// Namespace of the release
    #[arg(short = 's', long, global = true, value_name = "NAME")]
    pub release_namespace: Option<String>,

    /// Name of the release
    #[arg(long, global = true, value_name = "NAME")]
    pub release_name: Option<String>,

    /// Kubeconfig; else KUBECONFIG, the service account of a pod, or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<String>,

    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
}

impl ReleaseArgs {
    /// Writes the flags over the configuration.
    pub fn over(&self, config: &mut Config) {
        let mut text = |path: &'static str, flag: &'static str, value: &Option<String>| {
            if let Some(value) = value {
                config.flag(path, flag, json!(value));
            }
        };
        let namespace = &self.release_namespace;
        text("tap.release.namespace", "release-namespace", namespace);
        text(NAME, "release-name", &self.release_name);
        text("kube.configPath", "kubeconfig", &self.kubeconfig);
        text("kube.context", "context", &self.context);
    }

    /// The flags as they were given.
    fn flags(&self) -> Vec<String> {
        let flags = [
            ("--release-namespace", &self.release_namespace),
            ("--release-name", &self.release_name),
            ("--kubeconfig", &self.kubeconfig),
            ("--context", &self.context),
        ];
        let given = flags
            .into_iter()
            .filter_map(|(flag, value)| Some([flag.to_owned(), value.clone()?]));
        given.flatten().collect()
    }

    /// Whether a cluster is meant for sure.
    pub fn is_given(&self) -> bool {
        let flags = [
            &self.release_namespace,
            &self.release_name,
            &self.kubeconfig,
            &self.context,
        ];
        flags.iter().any(|flag| flag.is_some())
    }
}

/// Which instance is meant: the one on this machine, or a release.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "In a cluster")]
pub struct InstanceArgs {
    #[command(flatten)]
    release: ReleaseArgs,

    /// Port of this computer that is forwarded to the hub; the next free one when taken
    #[arg(long, global = true, hide = true, value_name = "PORT")]
    proxy_front_port: Option<u16>,

    /// Address of that port
    #[arg(long, global = true, hide = true, value_name = "ADDRESS")]
    proxy_host: Option<String>,
}

impl InstanceArgs {
    /// Writes the flags over the configuration.
    pub fn over(&self, config: &mut Config) {
        self.release.over(config);
        if let Some(port) = self.proxy_front_port {
            config.flag(FRONT_PORT, "proxy-front-port", json!(port));
        }
        if let Some(host) = &self.proxy_host {
            config.flag("tap.proxy.host", "proxy-host", json!(host));
        }
    }

    /// The flags that name a release, as they were given.
    pub fn flags(&self) -> Vec<String> {
        self.release.flags()
    }

    /// Whether a cluster is meant for sure.
    pub fn is_given(&self) -> bool {
        self.release.is_given()
    }
}

/// The flags of [`InstanceArgs`] below a command that has them, where no instance is asked: hidden, and
/// refused.
#[derive(Debug, Default, Clone, Args)]
pub struct NoInstance {
    #[arg(short = 's', long, hide = true, value_name = "NAME")]
    release_namespace: Option<String>,

    #[arg(long, hide = true, value_name = "NAME")]
    release_name: Option<String>,

    #[arg(long, hide = true, value_name = "FILE")]
    kubeconfig: Option<String>,

    #[arg(long, hide = true, value_name = "NAME")]
    context: Option<String>,

    #[arg(long, hide = true, value_name = "PORT")]
    proxy_front_port: Option<u16>,

    #[arg(long, hide = true, value_name = "ADDRESS")]
    proxy_host: Option<String>,
}

impl NoInstance {
    /// Whether none of them is given, as `command` needs it.
    ///
    /// # Errors
    /// A usage error with the flag.
    pub fn check(&self, command: &str) -> Result<(), Failure> {
        let flags = [
            ("--release-namespace", self.release_namespace.is_some()),
            ("--release-name", self.release_name.is_some()),
            ("--kubeconfig", self.kubeconfig.is_some()),
            ("--context", self.context.is_some()),
            ("--proxy-front-port", self.proxy_front_port.is_some()),
            ("--proxy-host", self.proxy_host.is_some()),
        ];
        match flags.iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => Err(Failure::usage(format!(
                "{command} asks no cluster; leave {flag} out"
            ))),
            None => Ok(()),
        }
    }
}

const FRONT_PORT: &str = "tap.proxy.front.port";

const NAME: &str = "tap.release.name";

/// The way to a cluster.
pub struct Reach {
    /// Where requests are made.
    pub runtime: Runtime,
    /// The API server.
    pub api: Api,
}

/// The API server that the configuration and the environment lead to; `None` without credentials.
pub fn reach(config: &Config) -> Result<Option<Reach>, Failure> {
    let runtime = runtime()?;
    let credentials = credentials(config);
    let found = runtime
        .block_on(async { tokio::time::timeout(CONNECT, cluster::connect(&credentials)).await });
    match found {
        Ok(Ok(None)) => Ok(None),
        Ok(Ok(Some(connection))) => Ok(Some(Reach {
            runtime,
            api: Api::new(&connection),
        })),
        Ok(Err(error)) => Err(Failure::usage(error.to_string())),
        Err(_) => Err(Failure::failed(format!(
            "the credentials for the cluster were not there after {} s",
            CONNECT.as_secs()
        ))),
    }
}

/// The same, where there must be one.
pub fn reach_cluster(config: &Config) -> Result<Reach, Failure> {
    reach(config)?.ok_or_else(|| {
        Failure::usage(
            "there is no kubeconfig; name one with --kubeconfig FILE, kube.configPath or KUBECONFIG",
        )
    })
}

impl Reach {
    /// The release that the configuration names.
    pub fn release(&self, config: &Config) -> Result<Release, NotFound> {
        self.runtime.block_on(find(&self.api, named(config)))
    }

    /// The release that the configuration names by its own name, as what cannot be undone needs it.
    pub fn release_named(&self, config: &Config) -> Result<Release, NotFound> {
        self.runtime.block_on(find_named(&self.api, named(config)))
    }

    /// Forwards a port of this computer to the hub of `release`.
    pub fn forward(&self, release: &Release, at: &[SocketAddr]) -> Result<Hub, Failure> {
        let token = self.runtime.block_on(async {
            // Says at once what stands in the way, before a port is taken.
            release.hub(&self.api).await?;
            release.token(&self.api).await
        })?;
        let listener = self.runtime.block_on(forwarded::listen(at))?;
        let handle = self.runtime.handle();
        let forward = Forward::start(self.api.clone(), release.clone(), listener, handle)?;
        let instance = Instance {
            pid: 0,
            address: forward.address,
            token,
            source: format!("release {} in {}", release.name, release.namespace),
        };
        Ok(Hub { instance, forward })
    }
}

/// A hub that is reached through a forwarded port.
pub struct Hub {
    /// Its dashboard, as it is reached here.
    pub instance: Instance,
    /// The port.
    pub forward: Forward,
}

/// Name of the release of another program, which configuration files of its users hold.
const FOREIGN: &str = "kubeshark";

/// Which release the configuration names; a file that names the release of another program names none.
pub fn named(config: &Config) -> Named<'_> {
    let name = config.text(NAME);
    let mut all = config.all();
    let is_foreign =
        name == FOREIGN && all.any(|(key, _, came)| key.path == NAME && *came == Came::File);
    Named {
        name: if is_foreign { DEFAULT_NAME } else { name },
        name_is_said: config.is_said(NAME) && !is_foreign,
        namespace: config.text("tap.release.namespace"),
        namespace_is_said: config.is_said("tap.release.namespace"),
    }
}

/// The flags that name a release.
fn flags_of(release: &Release) -> String {
    let Release {
        name, namespace, ..
    } = release;
    match name.as_str() {
        DEFAULT_NAME => format!("-s {namespace}"),
        name => format!("-s {namespace} --release-name {name}"),
    }
}

/// An instance of tapedeck, on this machine or in a cluster.
pub struct Place {
    /// How it is asked.
    pub instance: Instance,
    /// The release, where it is in a cluster.
    release: Option<Release>,
    way: Option<(Reach, Forward)>,
}

impl Place {
    /// The one that runs on this machine; with flags of a cluster, or where none runs here and there is
    /// a kubeconfig, the hub of the release.
    ///
    /// # Errors
    /// When there is neither.
    pub fn find(args: &InstanceArgs, config: &Config) -> Result<Place, Failure> {
        let mut config = config.clone();
        args.over(&mut config);
        if !args.is_given() {
            let here = instance::find(&super::data_dir(&config)?);
            match here {
                Ok(instance) => {
                    return Ok(Place {
                        instance,
                        release: None,
                        way: None,
                    });
                }
                Err(failure) => {
                    let Some(reach) = reach(&config)? else {
                        return Err(failure);
                    };
                    return Place::of(reach, &config);
                }
            }
        }
        Place::of(reach_cluster(&config)?, &config)
    }

    /// What tells this cluster from others: the UID of its namespace `kube-system`.
    pub fn cluster_uid(&self) -> Option<String> {
        let (reach, _) = self.way.as_ref()?;
        let asked = reach.api.get("/api/v1/namespaces/kube-system");
        let namespace = reach.runtime.block_on(asked).ok()?;
        Some(namespace["metadata"]["uid"].as_str()?.to_owned())
    }

    /// The release with the way to its cluster, where it is in one.
    pub fn release(&self) -> Option<(&Reach, &Release)> {
        let (reach, _) = self.way.as_ref()?;
        Some((reach, self.release.as_ref()?))
    }

    fn of(reach: Reach, config: &Config) -> Result<Place, Failure> {
        let release = reach.release(config)?;
        // The port of the configuration is the dashboard's; only a flag means this one.
        let mut all = config.all();
        let is_flag =
            all.any(|(key, _, came)| key.path == FRONT_PORT && matches!(came, Came::Flag(_)));
        let at = match is_flag {
            true => ports(config)?,
            false => vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)],
        };
        let Hub { instance, forward } = reach.forward(&release, &at)?;
        Ok(Place {
            instance,
            release: Some(release),
            way: Some((reach, forward)),
        })
    }
}
