//! Helm, which installs and removes releases: the chart lies in this program, helm on the computer.
//!
//! In: values as the configuration has them. Out: what helm says, when it fails. Never: a shell; values
//! go in a file that only this user reads, since they hold keys of buckets.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rust_embed::RustEmbed;
use serde_json::{Map, Value as Json, json};

use super::super::config::{Came, Config};
use super::super::exit::Failure;
use super::super::tap::credentials;
use crate::private;

/// The chart.
#[derive(RustEmbed)]
#[folder = "deploy/helm/tapedeck/"]
#[exclude = "ci/*"]
struct Chart;

/// Name of the chart.
const CHART: &str = "tapedeck";

/// What helm 3 and helm 4 say of a name that a release has.
const TAKEN: [&str; 2] = [
    "cannot re-use a name that is still in use",
    "cannot reuse a name that is still in use",
];

/// Bytes of what helm says that are shown.
const SHOWN: usize = 2000;

/// Parts of the configuration that are values of the chart too.
const PARTS: [&str; 6] = [
    "tap",
    "scripting",
    "recording",
    "recordings",
    "s3",
    "logLevel",
];

/// What of them is for this computer alone.
const HERE: [&str; 15] = [
    "tap.dataDir",
    "tap.nodeName",
    "tap.interface",
    "tap.pcap",
    "tap.dryRun",
    "tap.proxy.host",
    "tap.proxy.front.port",
    "tap.release.",
    "tap.dashboard.",
    "tap.snapshots.",
    "tap.tlsKeylog",
    "scripting.source",
    "scripting.sources",
    "scripting.envFolder",
    "recording.signing.",
];

/// Registry of another program, which configuration files of its users name.
const FOREIGN: &str = "docker.io/kubeshark";

/// Variables by which helm would go to another cluster than the kubeconfig says.
const ELSEWHERE: [&str; 2] = ["HELM_KUBECONTEXT", "HELM_KUBEAPISERVER"];

/// Helm on this computer.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: Vec<PathBuf>,
    context: String,
    chart: Option<PathBuf>,
}

impl Helm {
    /// The program on the PATH.
    ///
    /// # Errors
    /// When it is not there, with what to do.
    pub fn find(config: &Config) -> Result<Helm, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            .map(|folder| folder.join("helm"))
            .find(|program| program.is_file());
        let program = program.ok_or_else(|| {
            Failure::usage(
                "helm is not on the PATH; install it (https://helm.sh/docs/intro/install), or let somebody install the release: what is installed is found without helm",
            )
        })?;
        let chart = config.text_if_set("tap.release.helmChartPath");
        let chart = chart.map(str::to_owned).or_else(|| {
            std::env::var_os("TAPEDECK_HELM_CHART_PATH")?
                .into_string()
                .ok()
        });
        let credentials = credentials(config);
        let usual = credentials.usual.filter(|path| path.exists());
        let kubeconfig = match credentials.kubeconfig {
            files if files.is_empty() => usual.into_iter().collect(),
            files => files,
        };
        Ok(Helm {
            program,
            kubeconfig,
            context: credentials.context,
            chart: chart.filter(|path| !path.is_empty()).map(PathBuf::from),
        })
    }

    /// Version of the program that the chart installs.
    ///
    /// # Errors
    /// When the chart is another program's, or cannot be read.
    pub fn version(&self) -> Result<String, Failure> {
        let (place, text) = match &self.chart {
            Some(path) => {
                let mut command = Command::new(&self.program);
                command.args(["show", "chart"]).arg(path);
                (path.display().to_string(), run(command)?)
            }
            None => {
                let about = Chart::get("Chart.yaml").map(|file| file.data.into_owned());
                let text = String::from_utf8(about.unwrap_or_default()).unwrap_or_default();
                ("this program".to_owned(), text)
            }
        };
        let about: Json = serde_yaml_ng::from_str(&text).unwrap_or_default();
        match (about["name"].as_str(), about["appVersion"].as_str()) {
            (Some(CHART), Some(version)) => Ok(version.to_owned()),
            (name, _) => Err(Failure::usage(format!(
                "the chart of {place} is {}, not one of {CHART}; leave tap.release.helmChartPath out to take the one in this program",
                name.unwrap_or("unknown")
            ))),
        }
    }

    /// Installs a release. A name that another release has is refused, whatever program that is of.
    ///
    /// # Errors
    /// What helm says.
    pub fn install(&self, name: &str, namespace: &str, values: &Json) -> Result<(), Failure> {
        // A chart of another program is no release of ours.
        self.version()?;
        let arguments = ["install", name, "--create-namespace"];
        let installed = self.apply(namespace, &arguments, values);
        installed.map_err(|failure| {
            let is_taken = TAKEN.iter().any(|taken| failure.message.contains(taken));
            match is_taken {
                true => Failure::usage(format!(
                    "there is a Helm release {name} in {namespace}, and none of tapedeck that works; look at it with: helm -n {namespace} status {name}; name another one with --release-name"
                )),
                false => failure,
            }
        })
    }

    /// Gives a release of tapedeck values beside those that were given to it before; with `upgrades` it
    /// takes the defaults of the chart anew, which may be of another version.
    ///
    /// # Errors
    /// What helm says.
    pub fn upgrade(
        &self,
        name: &str,
        namespace: &str,
        values: &Json,
        upgrades: bool,
    ) -> Result<(), Failure> {
        let reuse = match upgrades {
            true => "--reset-then-reuse-values",
            false => "--reuse-values",
        };
        self.apply(namespace, &["upgrade", name, reuse], values)
    }

    /// Lets helm apply the chart with values.
    fn apply(&self, namespace: &str, arguments: &[&str], values: &Json) -> Result<(), Failure> {
        let folder = tempfile::tempdir()?;
        let chart = match &self.chart {
            Some(path) => path.clone(),
            None => unpack(folder.path())?,
        };
        let file = folder.path().join("values.json");
        let mut out = private::options()
            .write(true)
            .create_new(true)
            .open(&file)?;
        out.write_all(values.to_string().as_bytes())?;
        drop(out);
        let mut command = self.command(namespace);
        command.args(arguments).arg("--values").arg(file).arg(chart);
        run(command).map(drop)
    }

    /// Removes a release.
    ///
    /// # Errors
    /// What helm says.
    pub fn uninstall(&self, name: &str, namespace: &str) -> Result<(), Failure> {
        let mut command = self.command(namespace);
        command.args(["uninstall", name]);
        run(command).map(drop)
    }

    fn command(&self, namespace: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--namespace", namespace]);
        match self.kubeconfig.as_slice() {
            [] => {}
            [file] => drop(command.arg("--kubeconfig").arg(file)),
            // The flag takes one file; the variable merges several, as it does here.
            several => {
                if let Ok(list) = std::env::join_paths(several) {
                    command.env("KUBECONFIG", list);
                }
            }
        }
        // Another cluster than the one that was looked at is nobody's wish.
        for name in ELSEWHERE {
            command.env_remove(name);
        }
        if !self.context.is_empty() {
            command.args(["--kube-context", &self.context]);
        }
        command
    }
}

/// What helm prints.
fn run(mut command: Command) -> Result<String, Failure> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::failed(format!("helm cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let end = said.floor_char_boundary(SHOWN);
    Err(Failure::failed(format!(
        "helm failed: {}",
        said.get(..end).unwrap_or_default()
    )))
}

/// Writes the chart below `folder`.
fn unpack(folder: &Path) -> std::io::Result<PathBuf> {
    let chart = folder.join(CHART);
    for name in Chart::iter() {
        let path = chart.join(&*name);
        if let (Some(parent), Some(file)) = (path.parent(), Chart::get(&name)) {
            fs::create_dir_all(parent)?;
            fs::write(path, file.data)?;
        }
    }
    Ok(chart)
}

/// Whether a key of the configuration is a value of the chart.
pub fn is_value(path: &str) -> bool {
    let first = path.split('.').next().unwrap_or_default();
    let is_here = HERE.iter().any(|here| match here.ends_with('.') {
        true => path.starts_with(here),
        false => path == *here,
    });
    PARTS.contains(&first) && !is_here
}

/// The values of a release: what the configuration sets, as far as it is for the cluster.
pub fn values(config: &Config) -> Json {
    let mut values = Map::new();
    for (key, value) in config.said() {
        if is_value(key.path) && key.path != "tap.docker" {
            put(&mut values, key.path, value.clone());
        }
    }
    image(&config.map("tap.docker"), &mut values);
    Json::Object(values)
}

/// The image that flags and `--set` of the command name.
pub fn image_of_flags(config: &Config, values: &mut Map<String, Json>) {
    let mut all = config.all();
    let docker = all.find(|(key, _, came)| {
        key.path == "tap.docker" && matches!(came, Came::Flag(_) | Came::Set)
    });
    if let Some((_, Json::Object(docker), _)) = docker {
        image(docker, values);
    }
}

/// The image, as flags of other releases name it.
fn image(docker: &Map<String, Json>, values: &mut Map<String, Json>) {
    // A tag of digits alone is a number in YAML.
    let text = |name: &str| match docker.get(name) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let registry = text("registry");
    let registry = registry.trim_end_matches('/');
    if registry.starts_with(FOREIGN) {
        return;
    }
    if !registry.is_empty() {
        put(
            values,
            "image.repository",
            json!(format!("{registry}/tapedeck")),
        );
    }
    if !text("tag").is_empty() {
        put(values, "image.tag", json!(text("tag")));
    }
    for name in ["imagePullPolicy", "imagePullSecrets"] {
        if let Some(value) = docker.get(name) {
            put(values, &format!("tap.docker.{name}"), value.clone());
        }
    }
}

/// Puts a value at a dotted path.
fn put(values: &mut Map<String, Json>, path: &str, value: Json) {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let Some(rest) = rest else {
        values.insert(first.to_owned(), value);
        return;
    };
    let below = values.entry(first).or_insert_with(|| json!({}));
    if let Json::Object(below) = below {
        put(below, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Global;
    use super::super::super::config::Surroundings;
    use super::*;

    fn config(yaml: &str) -> Config {
        let mut config = Config::load(&Global::default(), &Surroundings::default()).unwrap();
        config.read_yaml(yaml, Path::new("kubeshark.yaml")).unwrap();
        config
    }

    #[test]
    fn what_the_configuration_sets_becomes_values() {
        let config = config(
            "
tap:
  docker: {registry: example.org/tools, tag: '1.2', imagePullPolicy: Always}
  regex: cart.*
  namespaces: [shop]
  proxy: {front: {port: 9000}, host: 127.0.0.1}
  release: {namespace: tools}
  dashboard: {tokens: {view: sesame-open-sesame}}
scripting:
  env: {RECORDING_KFL: http, AWS_SECRET_ACCESS_KEY: hunter2}
  source: /home/me/scripts
kube: {context: production}
headless: true
",
        );
        let wanted = json!({
            "tap": {"regex": "cart.*", "namespaces": ["shop"], "docker": {"imagePullPolicy": "Always"}},
            "scripting": {"env": {"RECORDING_KFL": "http", "AWS_SECRET_ACCESS_KEY": "hunter2"}},
            "image": {"repository": "example.org/tools/tapedeck", "tag": "1.2"},
        });
        assert_eq!(values(&config), wanted);
    }

    #[test]
    fn the_image_of_another_program_is_not_taken() {
        let config = config("tap: {docker: {registry: docker.io/kubeshark, tag: v52}}");
        assert_eq!(values(&config), json!({}));
    }

    #[test]
    fn defaults_of_a_whole_file_are_left_to_the_chart() {
        let whole = Config::load(&Global::default(), &Surroundings::default()).unwrap();
        assert_eq!(values(&config(&whole.yaml())), json!({}));
        let tagged = config("tap: {docker: {registry: example.org, tag: 52}}");
        assert_eq!(values(&tagged)["image"]["tag"], "52");
    }

    #[test]
    fn the_chart_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let chart = unpack(folder.path()).unwrap();
        for name in [
            "Chart.yaml",
            "values.yaml",
            "values.schema.json",
            "templates/hub.yaml",
            "files/seccomp.json",
        ] {
            assert!(chart.join(name).is_file(), "{name}");
        }
        assert!(!chart.join("ci").exists());
    }
}
