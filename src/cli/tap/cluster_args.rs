//! Flags of `tap` about pods and releases of a cluster.
//!
//! Names and meaning are those of a shell history: a flag that has a key writes it, and a flag that is
//! true or false takes its value behind `=` alone, so that a word behind it is the pattern of pods.

use clap::Args;
use serde_json::json;

use super::super::config::Config;
use super::super::release::ReleaseArgs;
use crate::units;

/// True or false, as Go reads them.
fn boolean(text: &str) -> Result<bool, String> {
    units::boolean(text).ok_or_else(|| "write true or false".to_owned())
}

/// Which pods are captured; and flags of releases in a cluster, accepted so that lines of a shell
/// history still work.
#[derive(Debug, Args)]
#[command(next_help_heading = "In a cluster")]
pub(super) struct ClusterArgs {
    /// Namespaces to capture
    #[arg(short, long, value_delimiter = ',', value_name = "NAME")]
    namespaces: Vec<String>,

    /// Namespaces to leave out
    #[arg(
        short,
        long = "excludedNamespaces",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    excluded_namespaces: Vec<String>,

    /// All namespaces
    #[arg(short = 'A', long)]
    allnamespaces: bool,

    /// Labels of the pods to capture, as 'app=cart,tier in (web,api),!canary'
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,

    /// Capture in the cluster, whatever else is said
    #[arg(long, conflicts_with_all = ["interface", "pcap"])]
    pub(super) cluster: bool,

    /// Remove the release when this ends
    #[arg(long, conflicts_with_all = ["interface", "pcap"])]
    pub(super) clean: bool,

    /// Bring a release of another version to the one of this program
    #[arg(long, conflicts_with_all = ["interface", "pcap"])]
    pub(super) upgrade: bool,

    /// List the pods that would be captured in the cluster, and end
    #[arg(long = "dryRun", alias = "dry-run", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, value_name = "BOOL")]
    dry_run: Option<bool>,

    #[command(flatten)]
    pub(super) release: ReleaseArgs,

    /// Chart to install instead of the one in this program
    #[arg(long = "release-helmChartPath", value_name = "PATH")]
    helm_chart: Option<String>,

    /// Registry of the images
    #[arg(short = 'r', long, hide = true)]
    docker_registry: Option<String>,

    /// Tag of the images
    #[arg(short = 't', long, hide = true)]
    docker_tag: Option<String>,

    /// When images are pulled
    #[arg(long = "docker-imagePullPolicy", hide = true)]
    docker_pull_policy: Option<String>,

    /// Secrets for the registry
    #[arg(long = "docker-imagePullSecrets", hide = true, value_delimiter = ',')]
    docker_pull_secrets: Vec<String>,

    /// Everything goes through the port of the dashboard
    #[arg(long, hide = true)]
    proxy_hub_port: Option<u16>,

    /// Storage that exists
    #[arg(long = "persistentStorageStatic", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    persistent_storage_static: Option<bool>,

    /// File system of EFS
    #[arg(long = "efsFileSytemIdAndPath", hide = true)]
    efs: Option<String>,

    /// Limits are always kept
    #[arg(long = "resource-guard-enabled", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    resource_guard: Option<bool>,

    /// Probes restart what does not answer
    #[arg(long = "watchdogEnabled", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    watchdog: Option<bool>,

    /// Storage class
    #[arg(long = "storageClass", hide = true)]
    storage_class: Option<String>,

    /// Keep storage over restarts
    #[arg(long = "persistentStorage", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    persistent_storage: Option<bool>,

    /// Traffic of service meshes
    #[arg(long = "serviceMesh", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    service_mesh: Option<bool>,

    /// Traffic of TLS libraries
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    tls: Option<bool>,

    /// Skip tainted nodes
    #[arg(long = "ignoreTainted", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    ignore_tainted: Option<bool>,

    /// Ingress
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    ingress_enabled: Option<bool>,

    /// There is no telemetry
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    telemetry_enabled: Option<bool>,
}

impl ClusterArgs {
    /// Writes the flags over the configuration.
    pub(super) fn over(&self, config: &mut Config) {
        if self.allnamespaces {
            config.flag("tap.namespaces", "allnamespaces", json!([]));
        } else if !self.namespaces.is_empty() {
            config.flag("tap.namespaces", "namespaces", json!(self.namespaces));
        }
        if !self.excluded_namespaces.is_empty() {
            let names = json!(self.excluded_namespaces);
            config.flag("tap.excludedNamespaces", "excludedNamespaces", names);
        }
        for (path, flag, value) in [
            ("tap.labelSelector", "selector", &self.selector),
            (
                "tap.release.helmChartPath",
                "release-helmChartPath",
                &self.helm_chart,
            ),
            ("tap.storageClass", "storageClass", &self.storage_class),
            (
                "tap.efsFileSytemIdAndPath",
                "efsFileSytemIdAndPath",
                &self.efs,
            ),
        ] {
            if let Some(value) = value {
                config.flag(path, flag, json!(value));
            }
        }
        for (path, flag, value) in [
            ("tap.dryRun", "dryRun", self.dry_run),
            (
                "tap.persistentStorageStatic",
                "persistentStorageStatic",
                self.persistent_storage_static,
            ),
            (
                "tap.persistentStorage",
                "persistentStorage",
                self.persistent_storage,
            ),
            ("tap.serviceMesh", "serviceMesh", self.service_mesh),
            ("tap.tls", "tls", self.tls),
            ("tap.ignoreTainted", "ignoreTainted", self.ignore_tainted),
            (
                "tap.telemetry.enabled",
                "telemetry-enabled",
                self.telemetry_enabled,
            ),
        ] {
            if let Some(value) = value {
                config.flag(path, flag, json!(value));
            }
        }
        for (path, flag, value) in [
            (
                "tap.resourceGuard",
                "resource-guard-enabled",
                self.resource_guard,
            ),
            ("tap.watchdog", "watchdogEnabled", self.watchdog),
            ("tap.ingress", "ingress-enabled", self.ingress_enabled),
        ] {
            if let Some(value) = value {
                let mut section = config.map(path);
                section.insert("enabled".to_owned(), json!(value));
                config.flag(path, flag, json!(section));
            }
        }
        if let Some(port) = self.proxy_hub_port {
            config.flag("tap.proxy.hub.port", "proxy-hub-port", json!(port));
        }
        self.release.over(config);
        self.image(config);
    }

    /// Whether the flags mean pods of a cluster, unless an interface of this machine is named.
    pub(super) fn names_pods(&self) -> bool {
        !self.namespaces.is_empty()
            || !self.excluded_namespaces.is_empty()
            || self.allnamespaces
            || self.release.release_namespace.is_some()
            || self.release.release_name.is_some()
            || self.dry_run == Some(true)
            || self.clean
            || self.upgrade
    }

    /// Writes what the image is to be over the configuration.
    fn image(&self, config: &mut Config) {
        let mut docker = config.map("tap.docker");
        for (name, value) in [
            ("registry", &self.docker_registry),
            ("tag", &self.docker_tag),
            ("imagePullPolicy", &self.docker_pull_policy),
        ] {
            if let Some(value) = value {
                docker.insert(name.to_owned(), json!(value));
            }
        }
        if !self.docker_pull_secrets.is_empty() {
            docker.insert(
                "imagePullSecrets".to_owned(),
                json!(self.docker_pull_secrets),
            );
        }
        if docker != config.map("tap.docker") {
            config.flag("tap.docker", "docker", json!(docker));
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::super::Global;
    use super::super::TapArgs;
    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        tap: TapArgs,
    }

    fn line(args: &[&str]) -> TapArgs {
        Line::try_parse_from([&["tap"], args].concat()).unwrap().tap
    }

    const SWITCHES: [&str; 10] = [
        "--dryRun",
        "--tls",
        "--serviceMesh",
        "--ignoreTainted",
        "--persistentStorage",
        "--persistentStorageStatic",
        "--telemetry-enabled",
        "--ingress-enabled",
        "--resource-guard-enabled",
        "--watchdogEnabled",
    ];

    #[test]
    fn a_word_behind_a_switch_is_the_pattern() {
        for switch in SWITCHES {
            let with = |flag: &str| line(&[flag, "cart.*"]).regex;
            assert_eq!(with(switch).as_deref(), Some("cart.*"), "{switch}");
            let off = with(&format!("{switch}=false"));
            assert_eq!(off.as_deref(), Some("cart.*"), "{switch}");
            let wrong = format!("{switch}=perhaps");
            assert!(Line::try_parse_from(["tap", &wrong]).is_err(), "{switch}");
        }
    }

    #[test]
    fn every_switch_writes_its_key() {
        for switch in SWITCHES {
            let mut config = Config::of_defaults(&Global::default()).unwrap();
            line(&[switch]).cluster.over(&mut config);
            let said: Vec<_> = config.said().collect();
            let [(key, value)] = said.as_slice() else {
                panic!("{switch}: {said:?}");
            };
            let is_on = **value == json!(true) || value["enabled"] == true;
            assert!(is_on, "{switch}: {} is {value}", key.path);
        }
        let mut config = Config::of_defaults(&Global::default()).unwrap();
        line(&["--tls", "--serviceMesh=false"])
            .cluster
            .over(&mut config);
        let told: Vec<&str> = config.not_yet().map(|key| key.path).collect();
        assert_eq!(told, ["tap.tls"]);
    }
}
