//! The chart, its alerts, the image, the workflows and the scripts, by the tools of their makers.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A tool of `tools/test-deps.sh` or of the system; `None` when it is not installed.
fn tool(name: &str) -> Option<PathBuf> {
    let folder = cached("TAPEDECK_TOOLS", "tools");
    let folders = [folder.join("venv/bin"), PathBuf::from("/usr/bin")];
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Fails with what the command printed, unless it succeeded.
fn succeeded(output: &Output, what: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{what}:\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

fn run(program: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command.output().unwrap()
}

/// A folder below the cache of tools and servers, which a variable may name otherwise.
fn cached(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || {
            let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
            home.join(".cache/tapedeck").join(name)
        },
        PathBuf::from,
    )
}

/// Runs a part of `tests/packaging/check.py` with these variables.
fn check_with(part: &str, variables: &[(&str, &Path)]) {
    let (Some(helm), Some(python)) = (
        tool("helm"),
        tool("kubernetes-validate").and(tool("python")),
    ) else {
        println!("skipped: helm is not installed; run tools/test-deps.sh");
        return;
    };
    let output = Command::new(python)
        .arg(root().join("tests/packaging/check.py"))
        .arg(part)
        .env("HELM", helm)
        .env("TAPEDECK", env!("CARGO_BIN_EXE_tapedeck"))
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    succeeded(&output, part);
}

fn check(part: &str) {
    check_with(part, &[]);
}

#[test]
fn values_schema_and_install_page_follow_the_configuration_keys() {
    check("schema");
}

#[test]
fn the_chart_renders_valid_manifests_and_a_configuration_that_is_read() {
    check("render");
}

#[test]
fn jobs_are_valid_manifests() {
    check("jobs");
}

/// The pods of the job read an archive's parts: here one after the other, of a small archive.
#[test]
fn the_pods_of_the_job_read_every_item_once() {
    use serde_json::Value;
    let text = fs::read_to_string(root().join("deploy/jobs/shards.yaml")).unwrap();
    let version = format!("image: tapedeck:{}\n", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version), "the image is not of this version");
    let job = serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .find(|document: &Value| document["kind"] == "Job")
        .unwrap();
    let args: Vec<&str> = job["spec"]["template"]["spec"]["containers"][0]["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arg| arg.as_str().unwrap())
        .collect();
    let pods = job["spec"]["completions"].as_u64().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let archive = crate::lake::recorded(dir.path(), crate::lake::traffic());
    let mut found = Vec::new();
    for pod in 0..pods {
        let own = args.iter().map(|arg| {
            arg.replace("$(JOB_COMPLETION_INDEX)", &pod.to_string())
                .replace("s3://my-bucket/", archive.to_str().unwrap())
                .replace("/out/", &format!("{}/", dir.path().display()))
        });
        let output = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .args(own)
            .env("HOME", dir.path())
            .output()
            .unwrap();
        succeeded(&output, "a pod");
        assert!(output.stdout.is_empty(), "it goes into a file");
        let out = fs::read_to_string(dir.path().join(format!("items-{pod}.jsonl"))).unwrap();
        let items = out.lines().map(|line| serde_json::from_str(line).unwrap());
        found.extend(items.collect::<Vec<Value>>());
    }
    let kfl = args[args.iter().position(|arg| *arg == "--kfl").unwrap() + 1];
    let whole = crate::lake::query(&archive, &["--kfl", kfl]);
    assert!(!whole.is_empty());
    assert_eq!(
        crate::lake::comparable(&found),
        crate::lake::comparable(&whole)
    );
}

#[test]
fn the_chart_refuses_wrong_values_by_their_names() {
    check("refuses");
}

#[test]
fn a_release_names_its_image_in_the_chart_before_it_builds() {
    check("release");
}

#[test]
fn the_chart_installs_and_upgrades_with_small_rights_and_leaves_nothing() {
    let apiserver = cached("TAPEDECK_KUBE", "kube").join("kube-apiserver");
    let (true, Some(etcd)) = (apiserver.is_file(), tool("etcd")) else {
        println!(
            "skipped: the Kubernetes API server is not built; run tools/kube.sh once (15 minutes)"
        );
        return;
    };
    let servers: [(&str, &Path); 2] = [("APISERVER", &apiserver), ("ETCD", &etcd)];
    check_with("installs", &servers);
}

#[test]
fn alerts_ring_when_they_should() {
    let Some(promtool) = tool("promtool") else {
        println!("skipped: promtool is not installed; run tools/test-deps.sh");
        return;
    };
    let rules = "deploy/helm/tapedeck/files/rules.yaml";
    succeeded(&run(&promtool, ["check", "rules", rules]), rules);
    let cases = "tests/packaging/rules.yaml";
    succeeded(&run(&promtool, ["test", "rules", cases]), cases);
}

#[test]
fn image_workflows_and_shell_scripts_pass_their_linters() {
    let tools = (tool("hadolint"), tool("actionlint"), tool("shellcheck"));
    let (Some(hadolint), Some(actionlint), Some(shellcheck)) = tools else {
        println!("skipped: linters are not installed; run tools/test-deps.sh");
        return;
    };
    let file = "deploy/image/Dockerfile";
    succeeded(&run(&hadolint, [file]), file);
    let below = |folder: &str, ending: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let mut found: Vec<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|there| there == ending))
            .collect();
        found.sort();
        assert!(!found.is_empty(), "{folder} has no .{ending}");
        found
    };
    let workflows = below(".github/workflows", "yml");
    let shell = format!("-shellcheck={}", shellcheck.display());
    let arguments = [shell.into(), "-no-color".into()];
    let output = run(&actionlint, arguments.into_iter().chain(workflows));
    succeeded(&output, "workflows");
    let mut scripts = below("tools", "sh");
    scripts.push(root().join(".ci/run"));
    let severity: [PathBuf; 2] = ["--severity".into(), "warning".into()];
    succeeded(
        &run(&shellcheck, severity.into_iter().chain(scripts)),
        "tools",
    );
}

/// One version for the program, the chart and the image in it.
#[test]
fn chart_and_program_have_one_version() {
    let chart = fs::read_to_string(root().join("deploy/helm/tapedeck/Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        format!("version: {version}"),
        format!("appVersion: \"{version}\""),
    ] {
        assert!(chart.lines().any(|there| there == line), "no {line}");
    }
}

/// A server of releases: a folder that curl reads by its file URL.
fn release(folder: &Path, program: &str) -> String {
    let name = "tapedeck-9.9.9-linux-amd64";
    let inside = folder.join(name);
    fs::create_dir_all(&inside).unwrap();
    fs::write(inside.join("tapedeck"), program).unwrap();
    let out = folder.join("v9.9.9");
    fs::create_dir_all(&out).unwrap();
    let archive = out.join(format!("{name}.tar.gz"));
    let tar = Command::new("tar")
        .args(["-czf"])
        .arg(&archive)
        .arg("-C")
        .arg(folder)
        .arg(name)
        .output()
        .unwrap();
    succeeded(&tar, "tar");
    let sums = Command::new("sha256sum")
        .arg(format!("{name}.tar.gz"))
        .current_dir(&out)
        .output()
        .unwrap();
    fs::write(out.join("SHA256SUMS"), sums.stdout).unwrap();
    format!("file://{}", folder.display())
}

fn install(releases: &str, into: &Path, version: &str) -> Output {
    Command::new("sh")
        .arg(root().join("tools/install.sh"))
        .args(["--version", version, "--to"])
        .arg(into)
        .env("TAPEDECK_RELEASES", releases)
        .env("TAPEDECK_PLATFORM", "linux-amd64")
        .output()
        .unwrap()
}

#[test]
fn the_installer_says_where_the_program_for_windows_is() {
    if tool("curl").is_none() {
        println!("skipped: curl is not installed; run tools/test-deps.sh");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let uname = folder.path().join("uname");
    fs::write(&uname, "#!/bin/sh\necho MINGW64_NT-10.0-26100\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&uname, mode).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let output = Command::new("sh")
        .arg(root().join("tools/install.sh"))
        .env("TAPEDECK_RELEASES", "https://example.org/releases")
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["windows-amd64.zip", "https://example.org/releases"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn the_installer_installs_what_has_the_right_checksum_and_nothing_else() {
    if tool("curl").is_none() {
        println!("skipped: curl is not installed; run tools/test-deps.sh");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let releases = release(folder.path(), "#!/bin/sh\necho tapedeck 9.9.9\n");
    let into = folder.path().join("bin");
    succeeded(&install(&releases, &into, "9.9.9"), "install.sh");
    let said = run(&into.join("tapedeck"), ["version"]);
    assert_eq!(String::from_utf8_lossy(&said.stdout), "tapedeck 9.9.9\n");

    let archive = folder
        .path()
        .join("v9.9.9/tapedeck-9.9.9-linux-amd64.tar.gz");
    let mut bytes = fs::read(&archive).unwrap();
    bytes.push(0);
    fs::write(&archive, bytes).unwrap();
    let other = folder.path().join("other");
    let output = install(&releases, &other, "9.9.9");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("does not have the checksum"), "{said}");
    assert!(!other.join("tapedeck").exists());

    fs::write(folder.path().join("v9.9.9/SHA256SUMS"), "").unwrap();
    let output = install(&releases, &other, "9.9.9");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("SHA256SUMS does not name"), "{said}");
    assert!(!other.join("tapedeck").exists());

    let output = install(&releases, &other, "8.0.0");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("8.0.0"), "{said}");
}
