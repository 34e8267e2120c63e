#!/usr/bin/env python3
"""Holds the chart against the program and against Kubernetes.

check.py schema    values.schema.json and docs/install.md against the configuration keys of the program
check.py render    lint, templates of every file in ci/, schemas of Kubernetes, and rules of the house
check.py jobs      the manifests of deploy/jobs against the schemas of Kubernetes, and rules of the house
check.py refuses   values that must be refused with a sentence that names them
check.py release   the image of a release in the chart, in what is built of it, and the order of the jobs
check.py installs  install, upgrade and uninstall at a real API server, and what the roles may do there

UPDATE=1 check.py schema writes both files anew. The environment names the tools: TAPEDECK, HELM, and for
the last ETCD and APISERVER.
Exit code 0, or 1 with one sentence a fault.
"""
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/tapedeck"
JOBS = ROOT / "deploy/jobs"
SCHEMA = CHART / "values.schema.json"
PAGE = ROOT / "docs/install.md"
UNREAD = CHART / "files/unread.json"
KNOWN = CHART / "files/known.json"
DEFAULTS = CHART / "files/defaults.json"
# Parts of the values that the program reads.
OF_PROGRAM = ["tap", "scripting", "recording", "recordings", "s3", "logLevel"]
# Keys of them that the chart sets by itself.
SET_BY_CHART = ["scripting.source", "scripting.sources", "scripting.envFolder"]
# Usual values of other releases of the drop-in, beside the defaults of the program.
USUAL = {
    "tap.proxy.worker.srvPort": [48999], "cloudLicenseEnabled": [True], "supportChatEnabled": [True],
    "demoModeEnabled": [True], "dissectorsUpdatingEnabled": [True], "aiAssistantEnabled": [True],
    "tap.persistentStoragePvcVolumeMode": ["FileSystem"],
}
# What the notes have a sentence of their own about.
NOTED = ["scripting.source", "scripting.sources", "tap.docker.registry", "tap.docker.tag"]
# Kubernetes versions whose schemas the manifests are held against, and the oldest that is rendered for.
VERSIONS = ["1.25.0", "1.31.0", "1.37.0"]
OLDEST = "1.20.2"
# Kinds that come with operators, so that the schemas of Kubernetes do not have them.
OF_OPERATORS = {
    "Certificate": ["secretName", "dnsNames", "issuerRef"],
    "ServiceMonitor": ["selector", "endpoints"],
    "PodMonitor": ["selector", "podMetricsEndpoints"],
    "PrometheusRule": ["groups"],
    "SecurityContextConstraints": None,
}
faults = []


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)


def helm(*arguments):
    return run(os.environ["HELM"], *arguments)


def program(*arguments):
    with tempfile.TemporaryDirectory() as home:
        return run(os.environ["TAPEDECK"], *arguments, cwd=home, env={"HOME": home, "NO_COLOR": "1"})


# --- schema ---------------------------------------------------------------------------------------

def keys():
    """Configuration keys of the program: path, default, whether they do anything, one sentence."""
    told = program("config", "--explain")
    if told.returncode:
        sys.exit(f"tapedeck config --explain failed: {told.stderr}")
    found = re.findall(r"^(\S+) = (.*?)  \(default\)(?: \[(.*?)\])?\n    (.*)$", told.stdout, re.M)
    if len(found) < 100:
        sys.exit(f"tapedeck config --explain told of {len(found)} keys only")
    return [(path, json.loads(value), not status, doc) for path, value, status, doc in found]


NUMBER = r"([0-9]+\.?[0-9]*|\.[0-9]+)"
# Texts that the program reads as sizes and durations: src/units.rs.
WRITTEN = {
    "Quantity": rf"^\s*{NUMBER}\s*([kMGTP]B?|K|KB|B|[KMGTP]iB?)?\s*$",
    "Duration": rf"^(\s*(0|({NUMBER}(ns|us|µs|ms|s|m|h|d))+)\s*)?$",
}


def patterns():
    """Patterns of the keys that hold sizes and durations, by their paths."""
    text = (ROOT / "src/cli/config/keys.rs").read_text()
    found = dict(re.findall(r'key\("([^"]+)", (\w+),', text))
    return {path: WRITTEN[kind] for path, kind in found.items() if kind in WRITTEN}


def node(default, doc):
    kind = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}
    told = {"description": doc[0].upper() + doc[1:] + "."}
    if type(default) in kind:
        told = {"type": kind[type(default)], **told, "default": default}
    return told


def merged(schema, there):
    """The schema with every key of the program in it, and none that it no longer has."""
    schema = json.loads(json.dumps(schema))
    known = {path.lower() for path, *_ in keys()}
    of_kubernetes, written = not_for_program(), patterns()

    def prune(tree, prefix):
        for name, below in list(tree.get("properties", {}).items()):
            path = f"{prefix}.{name}"
            if any(key.startswith(path.lower() + ".") for key in known) and "properties" in below:
                prune(below, path)
            elif "default" in below and path.lower() not in known:
                del tree["properties"][name]

    for part in OF_PROGRAM:
        if part in schema["properties"]:
            prune(schema["properties"][part], part)
    for path, default, works, doc in there:
        names = path.split(".")
        if names[0] not in OF_PROGRAM or path in SET_BY_CHART:
            continue
        if names[0] == "tap" and names[1] in of_kubernetes:
            continue
        at = schema
        for name in names[:-1]:
            at = at.setdefault("properties", {}).setdefault(name, {"type": "object"})
        doc = doc if works else f"{doc} (accepted, changes nothing)"
        at.setdefault("properties", {})[names[-1]] = node(default, doc)
        if works and path in written and re.search(written[path], str(default)):
            at["properties"][names[-1]]["pattern"] = written[path]
    for part in schema["properties"].values():
        nullable(part)
    return schema


def nullable(tree):
    """A name whose value is left empty in YAML is null, and not set."""
    kinds = tree.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if kinds and "null" not in kinds:
        tree["type"] = [*kinds, "null"]
    if None not in tree.get("enum", [None]):
        tree["enum"].append(None)
    others = tree.get("additionalProperties")
    for below in [*tree.get("properties", {}).values(), *([others] if isinstance(others, dict) else [])]:
        nullable(below)


def not_for_program():
    text = (CHART / "templates/_helpers.tpl").read_text()
    listed = re.search(r'define "tapedeck.notForProgram" -}}\n{{- list (.*?) \|', text).group(1)
    return re.findall(r'"(.*?)"', listed)


def table(schema, values):
    """Rows of the values table: name, default, description."""
    rows = []

    def walk(tree, path, value):
        for name, below in tree.get("properties", {}).items():
            full = f"{path}.{name}" if path else name
            told = below.get("description", "")
            if re.search(r"^Not read|changes nothing\)", told):
                continue
            at = value.get(name) if isinstance(value, dict) else None
            if below.get("properties"):
                walk(below, full, at)
                continue
            default = at if at is not None else below.get("default")
            shown = "" if default in (None, "", [], {}) else json.dumps(default, ensure_ascii=False)
            shown = shown.replace("|", "\\|")
            if len(shown) > 60:
                shown = "see values.yaml" if at is not None else "all"
            rows.append(f"| `{full}` | {f'`{shown}`' if shown else ''} | {told.replace('|', chr(92) + '|')} |")

    walk(schema, "", values)
    return "\n".join(["| value | default | what it is |", "|---|---|---|", *rows])


def unread(schema, there):
    """Values that nothing reads: path, why, and the values that they usually have, as JSON."""
    usual = {path: [default] for path, default, *_ in there}
    found = {}

    def walk(tree, path):
        for name, below in tree.get("properties", {}).items():
            full = f"{path}.{name}" if path else name
            doc = below.get("description", "")
            if re.search(r"^Not read|changes nothing\)", doc):
                if full in NOTED:
                    continue
                why = re.sub(r"^Not read: |( \(accepted, changes nothing\))?\.$", "", doc)
                values = usual.get(full, []) + USUAL.get(full, [])
                # What is empty asks for nothing anyway.
                texts = [json.dumps(value, separators=(",", ":")) for value in values if value]
                found[full] = {"why": why[0].lower() + why[1:] if why[1].islower() else why, "usual": texts}
            else:
                walk(below, full)

    walk(schema, "")
    return dict(sorted(found.items()))


def names_of(tree):
    """Names of a part of the values as a tree, in small letters; below a leaf there may be any."""
    return {name.lower(): names_of(below) for name, below in sorted(tree.get("properties", {}).items())}


def defaults(values, schema, path=""):
    """Defaults of the chart by their paths; what is a map or list of Kubernetes is one of them."""
    found = {}
    for name, value in values.items():
        full = f"{path}.{name}" if path else name
        below = schema.get("properties", {}).get(name, {})
        if value and isinstance(value, dict) and below.get("properties"):
            found |= defaults(value, below, full)
        else:
            found[full] = value
    return found


def check_schema():
    import yaml
    there = keys()
    schema = json.loads(SCHEMA.read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    fresh = merged(schema, there)
    text = json.dumps(fresh, indent=2, ensure_ascii=False) + "\n"
    page = PAGE.read_text()
    start, end = "<!-- values -->\n", "\n<!-- /values -->"
    before, rest = page.split(start)
    after = rest.split(end)[1]
    fresh_page = before + start + table(fresh, values) + end + after
    fresh_unread = json.dumps(unread(fresh, there), indent=2) + "\n"
    fresh_known = json.dumps(names_of(fresh["properties"]["tap"]), indent=2) + "\n"
    fresh_defaults = json.dumps(defaults(values, fresh), indent=2) + "\n"
    if os.environ.get("UPDATE"):
        DEFAULTS.write_text(fresh_defaults)
        KNOWN.write_text(fresh_known)
        UNREAD.write_text(fresh_unread)
        SCHEMA.write_text(text)
        PAGE.write_text(fresh_page)
    if SCHEMA.read_text() != text:
        faults.append("values.schema.json is stale; run UPDATE=1 cargo test packaging")
    if PAGE.read_text() != fresh_page:
        faults.append("the table of values in docs/install.md is stale; run UPDATE=1 cargo test packaging")
    if UNREAD.read_text() != fresh_unread:
        faults.append("files/unread.json is stale; run UPDATE=1 cargo test packaging")
    if DEFAULTS.read_text() != fresh_defaults:
        faults.append("files/defaults.json is stale; run UPDATE=1 cargo test packaging")
    described(fresh, "")
    beside(values, fresh, "")
    if KNOWN.read_text() != fresh_known:
        faults.append("files/known.json is stale; run UPDATE=1 cargo test packaging")
    # What the chart writes into the program's file must be a key of it, or for Kubernetes.
    known = {path.lower() for path, *_ in there}
    for name in fresh["properties"]["tap"]["properties"]:
        is_key = any(key == f"tap.{name.lower()}" or key.startswith(f"tap.{name.lower()}.") for key in known)
        if not is_key and name not in not_for_program():
            faults.append(f"tap.{name} is no key of the program, and the chart does not keep it from it")


def described(tree, path):
    for name, below in tree.get("properties", {}).items():
        full = f"{path}.{name}" if path else name
        if "description" not in below and "properties" not in below:
            faults.append(f"{full} has no description in values.schema.json")
        described(below, full)


def beside(values, schema, path):
    """Every value of values.yaml is in the schema, and every object of ours in the schema in it."""
    for name, value in values.items():
        full = f"{path}.{name}" if path else name
        below = schema.get("properties", {}).get(name)
        if below is None:
            faults.append(f"{full} is in values.yaml, but not in values.schema.json")
        elif isinstance(value, dict) and below.get("properties"):
            beside(value, below, full)
    if path and path.split(".")[0] not in OF_PROGRAM:
        for name in schema.get("properties", {}):
            if name not in values:
                faults.append(f"{path}.{name} is in values.schema.json, but not in values.yaml")


# --- render ---------------------------------------------------------------------------------------

def rendered(values, version, *more):
    import yaml
    told = helm("template", "tapedeck", CHART, "-n", "tapedeck", "--kube-version", version, "-f", values, *more)
    if told.returncode:
        faults.append(f"{values.name} for {version}: {told.stderr.strip()}")
        return []
    return [one for one in yaml.safe_load_all(told.stdout) if one]


def valid(manifests, version, name):
    """Holds manifests against the schemas of Kubernetes, unknown fields included."""
    import kubernetes_validate
    for one in manifests:
        kind = one["kind"]
        if kind in OF_OPERATORS:
            wanted = OF_OPERATORS[kind]
            for field in wanted or []:
                if field not in one["spec"]:
                    faults.append(f"{name}: {kind} lacks spec.{field}")
            continue
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(part) for part in error.path)
            faults.append(f"{name} for {version}: {kind} {one['metadata']['name']} {where}: {error.message}")


def house_rules(manifests, name):
    """What no schema holds."""
    by_kind = {}
    for one in manifests:
        by_kind.setdefault(one["kind"], []).append(one)
        if not one["metadata"].get("namespace", "the release's"):
            faults.append(f"{name}: {one['kind']} {one['metadata']['name']} is in a namespace without a name")
        if "app.kubernetes.io/name" not in one["metadata"].get("labels", {}):
            faults.append(f"{name}: {one['kind']} {one['metadata']['name']} has no labels of the release")
    names = {(one["kind"], one["metadata"]["name"]) for one in manifests}
    if len(names) != len([one for one in manifests if one["kind"] not in ("Role", "RoleBinding")]) + len(
        {("r", one["metadata"]["name"], one["kind"]) for one in manifests if one["kind"] in ("Role", "RoleBinding")}
    ):
        faults.append(f"{name}: two objects have one name")
    for one in by_kind.get("DaemonSet", []) + by_kind.get("Deployment", []) + by_kind.get("Job", []):
        pod = one["spec"]["template"]
        spec, what = pod["spec"], f"{name}: {one['kind']}"
        # A job selects its pods by itself.
        for label, value in one["spec"].get("selector", {}).get("matchLabels", {}).items():
            if pod["metadata"]["labels"].get(label) != value:
                faults.append(f"{what} does not select its own pods by {label}")
        for container in spec["containers"] + spec.get("initContainers", []):
            rights = container["securityContext"]
            if not rights["readOnlyRootFilesystem"] or rights["allowPrivilegeEscalation"] or rights.get("privileged"):
                faults.append(f"{what} {container['name']} may do more than it must")
            if rights["capabilities"]["drop"] != ["ALL"]:
                faults.append(f"{what} {container['name']} keeps capabilities")
            allowed = {"NET_RAW", "NET_ADMIN"} | ({"SYS_PTRACE"} if spec.get("hostPID") else set())
            if not set(rights["capabilities"].get("add", [])) <= allowed:
                faults.append(f"{what} {container['name']} adds capabilities")
            if "memory" not in container.get("resources", {}).get("limits", {}):
                if "no-limits" not in name:
                    faults.append(f"{what} {container['name']} has no limit of memory")
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            if not mounted <= {volume["name"] for volume in spec["volumes"]}:
                faults.append(f"{what} {container['name']} mounts what is no volume")
        for volume in spec["volumes"]:
            source = volume.get("configMap", {}).get("name") or volume.get("secret", {}).get("secretName")
            kind = "ConfigMap" if "configMap" in volume else "Secret"
            if source and source.startswith("tapedeck") and (kind, source) not in names:
                if not (kind == "Secret" and "Certificate" in by_kind):
                    faults.append(f"{what} mounts {kind} {source}, which is not made")
    for one in by_kind.get("Deployment", []):
        spec = one["spec"]["template"]["spec"]
        if not spec["securityContext"]["runAsNonRoot"] or spec.get("hostNetwork"):
            faults.append(f"{name}: the hub would not run under the restricted PodSecurity level")
    for one in by_kind.get("Service", []):
        if not one["spec"].get("publishNotReadyAddresses"):
            faults.append(f"{name}: workers do not find a hub that waits for them before it is ready")
    for one in by_kind.get("DaemonSet", []):
        if one["spec"]["template"]["spec"]["automountServiceAccountToken"]:
            faults.append(f"{name}: the worker gets a token that it has no use for")
    for one in by_kind.get("ClusterRole", []) + by_kind.get("Role", []):
        for rule in one["rules"]:
            # The one secret in which the hub keeps what is added to it.
            if "secrets" in rule["resources"] and len(rule.get("resourceNames", [])) == 1 and rule["resourceNames"][0].endswith("-hub-kept"):
                continue
            if not set(rule["verbs"]) <= {"get", "list", "watch", "use"} or "*" in rule["resources"]:
                faults.append(f"{name}: {one['kind']} may do more than look")
            if "secrets" in rule["resources"]:
                faults.append(f"{name}: {one['kind']} may read secrets")
    # What is added to the hub outlives its pod in a volume or in a secret.
    for one in by_kind.get("Deployment", []):
        spec = one["spec"]["template"]["spec"]
        of_volume = any("persistentVolumeClaim" in volume for volume in spec["volumes"])
        kept = [argument for argument in spec["containers"][0]["args"] if argument.startswith("--set=cluster.kept=")]
        secret = f"{one['metadata']['name']}-kept"
        if not of_volume and ("ClusterRole" in by_kind or "Role" in by_kind) and (len(kept) != 1 or not kept[0].endswith(f"/{secret}") or ("Secret", secret) not in names or ("Role", secret) not in names):
            faults.append(f"{name}: what is added to the hub is gone with its pod")
        if of_volume and (kept or ("Secret", secret) in names):
            faults.append(f"{name}: the hub has a secret beside its volume")
    return by_kind


def read_by_program(by_kind, name):
    """The program reads the configuration that the chart writes, without a complaint."""
    for one in by_kind.get("ConfigMap", []):
        text = one["data"].get("config.yaml")
        if text is None:
            continue
        if re.search(r"^ *- (null|\{\})?$", text, re.M):
            faults.append(f"{name}: a list of the ConfigMap has an entry without a value")
        for secret in ["AKIA", "hunter2"]:
            if secret in text:
                faults.append(f"{name}: the ConfigMap holds a secret")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "config.yaml"
            path.write_text(text.replace("/etc/tapedeck/env", folder))
            told = program("config", "--config-path", path)
            if told.returncode or told.stderr.strip():
                faults.append(f"{name}: the program says of its configuration: {told.stderr.strip()}")


def at(manifests, kind, name, path):
    """The value at a dotted path of an object; None without the object or the path."""
    found = next((one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name)), None)
    for part in path.split("."):
        if isinstance(found, list):
            found = found[int(part)] if int(part) < len(found) else None
        else:
            found = (found or {}).get(part)
    return found


HUB, WORKER = ("Deployment", "tapedeck-hub"), ("DaemonSet", "tapedeck-worker")
LIMITS = "spec.template.spec.containers.0.resources.limits"
ANNOTATIONS = "metadata.annotations"
ROLE = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/kubeshark", "owner": "platform"}
DNS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
DNS_OF_PODS = [{"port": 5353, "protocol": "UDP"}, {"port": 5353, "protocol": "TCP"}]
# What values become: file of ci/, further settings, object, path, value.
BECOMES = [
    # The identity of the drop-in; that of the role's own values goes first.
    ("drop-in", [], ("ServiceAccount", "tapedeck-worker"), ANNOTATIONS, ROLE),
    ("drop-in", [], ("ServiceAccount", "tapedeck-hub"), ANNOTATIONS, ROLE),
    ("drop-in", ["worker.serviceAccount.annotations.owner=me"], ("ServiceAccount", "tapedeck-worker"),
     ANNOTATIONS, {**ROLE, "owner": "me"}),
    # Names in small letters, as older releases of the drop-in write them, mean the same for ports and the program.
    ("defaults", ["tap.proxy.hub.srvport=7777"], ("Service", "tapedeck-hub"), "spec.ports.0.port", 7777),
    ("defaults", ["tap.proxy.hub.srvport=7777"], HUB, "spec.template.spec.containers.0.ports.0.containerPort", 7777),
    ("defaults", ["tap.Proxy.Front.Port=7778"], HUB, "spec.template.spec.containers.0.ports.1.containerPort", 7778),
    ("defaults", ["tap.Metrics.Port=7779"], WORKER, "spec.template.spec.containers.0.ports.0.containerPort", 7779),
    ("small-letters", [], ("Service", "tapedeck-hub"), "spec.ports.0.port", 7777),
    ("small-letters", [], WORKER, "spec.template.spec.imagePullSecrets", [{"name": "regcred"}]),
    ("small-letters", [], WORKER, "spec.template.spec.tolerations", None),
    ("defaults", ["tap.docker.imagepullpolicy=Never"], WORKER, "spec.template.spec.containers.0.imagePullPolicy",
     "Never"),
    # Whoever has the port of a worker, it is alive while it says so on its socket.
    ("defaults", [], WORKER, "spec.template.spec.containers.0.livenessProbe", {
        "exec": {"command": ["/usr/local/bin/tapedeck", "probe", "alive", "--socket=/tmp/probe.sock"]},
        "periodSeconds": 30, "failureThreshold": 4, "timeoutSeconds": 10}),
    ("defaults", [], WORKER, "spec.template.spec.containers.0.args.4", "--probe-socket=/tmp/probe.sock"),
    ("defaults", [], WORKER, "spec.template.spec.containers.0.startupProbe.exec.command.2", "alive"),
    ("defaults", ["tap.metrics.port=49200"], WORKER, "spec.template.spec.containers.0.readinessProbe.httpGet",
     {"path": "/readyz", "port": 49200}),
    ("drop-in", [], WORKER, "spec.template.spec.containers.0.livenessProbe.periodSeconds", 5),
    ("defaults", [], HUB, "spec.template.spec.containers.0.livenessProbe", {
        "httpGet": {"path": "/healthz", "port": 49100},
        "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 3}),
    # Resources of the worker, under both names of it; those of a file of defaults are nobody's choice.
    ("defaults", ["tap.resources.worker.limits.memory=4Gi"], WORKER, LIMITS, {"memory": "4Gi"}),
    ("defaults", ["tap.resources.worker.limits.memory=4Gi", "tap.resources.sniffer.limits.memory=3Gi"], WORKER,
     LIMITS, {"memory": "3Gi"}),
    ("script-era", [], WORKER, LIMITS, {"memory": "2Gi"}),
    # Names that are left empty are not set.
    ("null", [], WORKER, LIMITS, {"memory": "2Gi"}),
    ("null", [], ("Secret", "tapedeck-env"), "stringData", None),
    # Numbers become the text that they were.
    ("defaults", ["scripting.env.A=9007199254740991,scripting.env.B=-5,scripting.env.C=0.25"],
     ("Secret", "tapedeck-env"), "stringData", {"A": "9007199254740991", "B": "-5", "C": "0.25"}),
    ("defaults", ["scripting.env.A=x,scripting.env.B=null"], ("Secret", "tapedeck-env"), "stringData", {"A": "x"}),
    *(("defaults", [f"{part}=null"], WORKER, "spec.template.spec.containers.0.name", "worker")
      for part in OF_PROGRAM),
    ("script-era", ["tap.resources.worker.limits.memory=4Gi"], WORKER, LIMITS, {"cpu": "750m", "memory": "4Gi"}),
    # One hub: a budget is made for those who ask for it alone, and never holds up a drain unless that is said.
    ("defaults", [], ("PodDisruptionBudget", "tapedeck-hub"), "spec", None),
    ("everything", [], ("PodDisruptionBudget", "tapedeck-hub"), "spec.maxUnavailable", 1),
    ("everything", ["hub.podDisruptionBudget.maxUnavailable=0"], ("PodDisruptionBudget", "tapedeck-hub"),
     "spec.maxUnavailable", 0),
    # A policy sees packets after the address of the DNS service was translated.
    ("namespaced", [], ("NetworkPolicy", "tapedeck-hub"), "spec.egress.0.ports", DNS),
    ("openshift", [], ("NetworkPolicy", "tapedeck-hub"), "spec.egress.0.ports", DNS + DNS_OF_PODS),
]


def becomes():
    for name, settings, (kind, object_name), path, wanted in BECOMES:
        more = [part for setting in settings for part in ("--set", setting)]
        found = at(rendered(CHART / f"ci/{name}.yaml", VERSIONS[-1], *more), kind, object_name, path)
        if found != wanted:
            faults.append(f"{name}.yaml with {settings}: {kind} {object_name} has {path} {found}, not {wanted}")


def alerts_of_release():
    """Alerts ask for the workers of their own release."""
    more = ["-n", "elsewhere", "--set", "fullnameOverride=all"]
    manifests = rendered(CHART / "ci/everything.yaml", VERSIONS[-1], *more)
    text = json.dumps(at(manifests, "PrometheusRule", "all", "spec.groups") or []).replace('\\"', '"')
    for wanted in ['job="elsewhere/all"', 'namespace="elsewhere",daemonset="all-worker"']:
        if wanted not in text:
            faults.append(f"the alerts of a release do not ask for {wanted}")
    if 'job="tapedeck/' in text or "tapedeck-worker" in text:
        faults.append("the alerts of a release ask for workers of another one")


# Settings, the names that the notes of helm must have, and those that they must not.
NOTES = [
    ("defaults", [], ["Nothing is recorded yet"], ["change nothing"]),
    ("defaults", ["scripting.env.RECORDING_KFL=http"], [], ["Nothing is recorded yet"]),
    ("defaults", ["scripting.consts.RECORDING_KFL=http"], [], ["Nothing is recorded yet"]),
    # The file of defaults of the drop-in asks for nothing.
    ("script-era", [], [], ["change nothing"]),
    ("drop-in", [], ["tap.snapshots: "], ["tap.storageClass", "srvPort", "tap.misc", "tap.ingress", "license"]),
    ("defaults", ["tap.persistentStorage=true", "tap.storageClass=fast", "tap.misc.trafficSampleRate=50"],
     ["tap.persistentStorage: ", "tap.storageClass: ", "tap.misc.trafficSampleRate: "], []),
    ("defaults", ["tap.storageclass=fast", "tap.ingress.enabled=true", "license=mine", "tap.auth.enabled=true"],
     ["tap.storageClass: ", "tap.ingress: ", "license: ", "tap.auth: "], []),
    ("defaults", ["tap.docker.registry=mirror.example"], ["tap.docker.registry"], []),
    # Names of other releases of the drop-in, and misspelt ones.
    ("unknown", [], ["tap.docker.overrideTag: ", "tap.pprof: ", "tap.liveConfigMapChangesDisabled: ", "tap.license: ",
                     "tap.dashboard.clusterWideMapEnabled: ", "tap.misc.jsonTTLs: "], ["tap.sentry", "tap.gitops"]),
    # What is read before encryption elsewhere, which is usual there, has a sentence of its own.
    ("defaults", [], [], ["before encryption"]),
    ("script-era", [], ["before encryption", "key log"], []),
    ("small-letters", [], ["before encryption"], []),
    # The port that Kubeshark's own workers take on the same nodes.
    ("drop-in", [], ["port 49100 of each node"], []),
    ("defaults", ["tap.metrics.port=49200"], ["port 49200 of each node"], []),
    ("defaults", ["worker.hostNetwork=false"], [], ["of each node"]),
]


def notes():
    for name, settings, said, unsaid in NOTES:
        more = [part for setting in settings for part in ("--set", setting)]
        told = helm("install", "tapedeck", CHART, "--dry-run=client", "-f", CHART / f"ci/{name}.yaml", *more)
        text = told.stdout.split("NOTES:")[-1]
        if told.returncode:
            faults.append(f"the notes of {name}.yaml with {settings}: {told.stderr.strip()}")
        for wanted in said:
            if wanted not in text:
                faults.append(f"the notes of {name}.yaml with {settings} do not name {wanted}")
        for unwanted in unsaid:
            if unwanted in text:
                faults.append(f"the notes of {name}.yaml with {settings} name {unwanted}")


# Figures of the hub and of its workers that the dashboard must show.
SHOWN = [
    "tapedeck_hub_workers_connected", "tapedeck_hub_workers_missing", "tapedeck_kube_watch",
    "tapedeck_worker_hub_connected",
]


def dashboard():
    """Panels show the hub too, have numbers of their own, and the program has what they ask of it."""
    panels = json.loads((CHART / "files/dashboard.json").read_text())["panels"]
    asked = {name for panel in panels for target in panel["targets"] for name in re.findall(r"tapedeck_\w+", target["expr"])}
    for name in SHOWN:
        if name not in asked:
            faults.append(f"the dashboard does not show {name}")
    source = "".join(file.read_text() for file in (ROOT / "src").rglob("*.rs"))
    for name in SHOWN:
        if name not in source:
            faults.append(f"the dashboard is to show {name}, which the program does not have")
    if len({panel["id"] for panel in panels}) != len(panels):
        faults.append("two panels of the dashboard have one id")


def without_secrets(manifests):
    """Manifests without what is made anew each time."""
    for one in manifests:
        if one["kind"] == "Secret" and (one["type"] == "kubernetes.io/tls" or one["metadata"]["name"].endswith("-token")):
            one.pop("data", None)
    return manifests


def tree(paths):
    """Values in which these paths are left empty."""
    found = {}
    for path in paths:
        at = found
        *above, name = path.split(".")
        for part in above:
            at = at.setdefault(part, {})
        at[name] = None
    return found


def nulls():
    """Names that are left empty, of values and of whole parts, have their defaults."""
    import yaml
    for template in [*CHART.glob("templates/*.yaml"), CHART / "templates/NOTES.txt"]:
        if not template.read_text().startswith('{{- include "tapedeck.fill" . -}}\n'):
            faults.append(f"{template.name} does not begin with the defaults of what is null")
    leaves = json.loads(DEFAULTS.read_text())
    parts = {path.rsplit(".", up)[0] for path in leaves for up in range(path.count(".") + 1)}
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "values.yaml"
        for name in ["defaults", "everything"]:
            values = CHART / f"ci/{name}.yaml"
            given = yaml.safe_load(values.read_text()) or {}

            def is_free(path):
                """Whether neither it nor anything below is given."""
                at = given
                for part in path.split("."):
                    if part not in at:
                        return True
                    at = at[part] if isinstance(at[part], dict) else {}
                return False

            before = without_secrets(rendered(values, VERSIONS[-1]))
            for depth in range(max(path.count(".") for path in parts) + 1):
                paths = [path for path in sorted(parts) if path.count(".") == depth and is_free(path)]
                file.write_text(yaml.safe_dump(tree(paths)))
                after = without_secrets(rendered(values, VERSIONS[-1], "-f", file))
                changed = [f"{one['kind']} {one['metadata']['name']}" for one in before if one not in after]
                if changed or len(before) != len(after):
                    faults.append(f"{name}.yaml with null of {', '.join(paths)}: {changed} are not as without")


def check_render():
    becomes()
    nulls()
    dashboard()
    alerts_of_release()
    notes()
    files = sorted((CHART / "ci").glob("*.yaml"))
    if len(files) < 5:
        faults.append(f"there are {len(files)} files in ci/ only")
    for values in files:
        linted = helm("lint", "--strict", CHART, "-f", values)
        if linted.returncode:
            faults.append(f"helm lint with {values.name}: {linted.stdout} {linted.stderr}")
        for version in [OLDEST, *VERSIONS]:
            more = ["--api-versions", "security.openshift.io/v1"] if "openshift" in values.name else []
            manifests = rendered(values, version, *more)
            by_kind = house_rules(manifests, values.name)
            if version != OLDEST:
                valid(manifests, version, values.name)
            else:
                budget = by_kind.get("PodDisruptionBudget", [])
                if any(one["apiVersion"] != "policy/v1beta1" for one in budget):
                    faults.append(f"{values.name}: Kubernetes {OLDEST} has no policy/v1")
            if version == VERSIONS[-1]:
                read_by_program(by_kind, values.name)
                print(f"{values.name}: {len(manifests)} manifests", file=sys.stderr)


# --- jobs -----------------------------------------------------------------------------------------

def check_jobs():
    import yaml
    files = sorted(JOBS.glob("*.yaml"))
    if not files:
        faults.append("deploy/jobs has no manifest")
    for file in files:
        manifests = list(yaml.safe_load_all(file.read_text()))
        house_rules(manifests, file.name)
        for version in VERSIONS:
            valid(manifests, version, file.name)


# --- refuses --------------------------------------------------------------------------------------

WRONG = [
    (["workers.enabled=true"], "workers"),
    (["worker.enabled=perhaps"], "enabled"),
    (["worker.dataPath=var/lib"], "dataPath"),
    (["worker.seccomp.localhostProfile=../x"], "localhostProfile"),
    (["image.pullPolicy=Sometimes"], "pullPolicy"),
    (["hub.service.type=Public"], "type"),
    (["recording.sealevery=5m"], "sealevery"),
    (["hub.podDisruptionBudget.maxUnavailable=2"], "maxUnavailable"),
    (["tap.snaplen=many"], "snaplen"),
    (["tap.metrics.port=0"], "tap.metrics.port"),
    (["tap.dashboard.tokens.view=secret"], "tap.dashboard.tokens"),
    (["tap.Dashboard.Tokens.view=secret"], "tap.dashboard.tokens"),
    (["tap.dashboard.oidc.clientSecret=secret"], "tap.dashboard.oidc.clientSecret"),
    (["tap.dashboard.oidc.clientsecret=secret"], "tap.dashboard.oidc.clientSecret"),
    (["certificates.certManager.enabled=true"], "issuerRef"),
    (["certificates.existingSecrets.hub=corp-hub"], "certificates.existingSecrets.worker"),
    (["certificates.existingSecrets.worker=corp-worker"], "certificates.existingSecrets.hub"),
    (["scripting.files.alert=console.log(1)"], "alert"),
    (["tap.storageLimit=abc"], "storageLimit"),
    (["tap.bufferSize=64 Mib"], "bufferSize"),
    (["recording.sealEvery=5"], "sealEvery"),
    (["fullnameOverride=UPPER"], "fullnameOverride"),
    (["nameOverride=with.dots"], "nameOverride"),
    # Workers would wait for ever for somebody who says which pods these are.
    (["hub.enabled=false", "tap.regex=^cart"], "hub.enabled is false"),
    (["hub.enabled=false", "tap.excludedNamespaces={kube-system}"], "tap.excludedNamespaces"),
    (["hub.enabled=false", "tap.labelselector=app=cart"], "the hub alone knows"),
    # Credentials in what would lie in the ConfigMap.
    (["recording.destination=https://u:hunter2@store/b"], "recording.destination"),
    (["recordings[0].name=a,recordings[0].destination=https://u:hunter2@store/b"], "recordings.0.destination"),
    (["s3.endpoint=https://hunter2@store"], "s3.endpoint"),
    (["scripting.chatgpt.url=https://:hunter2@store/"], "scripting.chatgpt.url"),
]


# Files of values that are refused, and what the sentence has.
WRONG_FILES = [
    ("scripting: {env: {ACCOUNT: 12345678901234567890}}", "scripting.env.ACCOUNT: put it in quotes"),
    ("scripting: {consts: {ACCOUNT: -9007199254740993}}", "scripting.env.ACCOUNT: put it in quotes"),
    ("scripting: {env: {ALL: {of: [1, 9007199254740993]}}}", "scripting.env.ALL: put it in quotes"),
    ("recordings: [null]", "recordings[0] is empty"),
    ("scripting: {envFor: {alert: {CHAT: 9007199254740993}}}", "scripting.envFor.alert.CHAT: put it in quotes"),
]


def check_refuses():
    with tempfile.TemporaryDirectory() as folder:
        for text, name in WRONG_FILES:
            file = pathlib.Path(folder) / "values.yaml"
            file.write_text(text)
            told = helm("template", "tapedeck", CHART, "-f", file)
            if not told.returncode:
                faults.append(f"{text} is not refused")
            elif name not in told.stderr:
                faults.append(f"{text} is refused without saying {name}: {told.stderr.strip()}")
    for settings, name in WRONG:
        told = helm("template", "tapedeck", CHART, *[part for setting in settings for part in ("--set", setting)])
        if not told.returncode:
            faults.append(f"--set {settings} is not refused")
        elif name not in told.stderr:
            faults.append(f"--set {settings} is refused without naming {name}: {told.stderr.strip()}")


# --- release --------------------------------------------------------------------------------------

IMAGE = "ghcr.io/somebody/tapedeck"
DIGEST = "sha256:" + "0123456789abcdef" * 4
# Settings of somebody who installs a released chart, and the image that comes of them.
IMAGES = [
    ([], f"{IMAGE}@{DIGEST}"),
    (["image.tag=1.2"], f"{IMAGE}:1.2"),
    (["image.repository=mirror.example/tapedeck"], "mirror.example/tapedeck:VERSION"),
    (["image.repository=mirror.example/tapedeck", f"image.digest={DIGEST}"], f"mirror.example/tapedeck@{DIGEST}"),
]


def check_release():
    import yaml
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    script = ROOT / "tools/chart-image.sh"
    with tempfile.TemporaryDirectory() as folder:
        chart = pathlib.Path(folder) / "tapedeck"
        shutil.copytree(CHART, chart)
        told = run("sh", script, IMAGE, DIGEST, env={**os.environ, "CHART": str(chart)})
        if told.returncode:
            faults.append(f"chart-image.sh: {told.stderr.strip()}")
        for settings, image in IMAGES:
            told = helm("template", "tapedeck", chart, *[part for one in settings for part in ("--set", one)])
            found = set(re.findall(r"^ +image: (.*)$", told.stdout, re.M))
            if found != {image.replace("VERSION", version)}:
                faults.append(f"a released chart with {settings} installs {found} {told.stderr.strip()}")
        # A program holds the chart's files between bytes of all kinds.
        program = pathlib.Path(folder) / "program"
        program.write_bytes(b"\x7fELF\xff\0" + (chart / "files/image.yaml").read_bytes() + b"\0\xfe")
        helm("package", chart, "--destination", folder)
        for file in [program, pathlib.Path(folder) / f"tapedeck-{version}.tgz"]:
            for image, digest, fits in [(IMAGE, DIGEST, True), (IMAGE, "", False), ("tapedeck", DIGEST, False)]:
                told = run("sh", script, "--in", file, image, digest)
                if (told.returncode == 0) != fits:
                    word = "is refused" if fits else "passes"
                    faults.append(f"chart-image.sh --in {file.name}: {image} {digest} {word}: {told.stderr.strip()}")
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    for name, job in jobs.items():
        # What a job does, in order: the commands of its steps, and the actions that it takes.
        lines = [line for step in job["steps"] for line in step.get("run", step.get("uses", "")).splitlines()]

        def first(pattern):
            return next((at for at, line in enumerate(lines) if re.search(pattern, line)), None)

        built = first(r"cargo .*build --release|docker/build-push-action|helm package")
        if built is None:
            continue
        named = first(r"chart-image\.sh \"\$IMAGE\"")
        if named is None or named > built:
            faults.append(f"release.yml: {name} builds before the chart names the image of the release")
        if name == "image":
            continue
        needs = job["needs"] if isinstance(job["needs"], list) else [job["needs"]]
        if "manifest" not in needs or "$DIGEST" not in lines[named or 0]:
            faults.append(f"release.yml: {name} does not know the digest of the image")
        proved = first(r"chart-image\.sh --in ")
        if proved is None or proved < built:
            faults.append(f"release.yml: {name} does not look into what it built")
    # The image is built of what the Dockerfile copies: all that the program holds.
    copied = re.findall(r"^COPY (?!--)(?:.* )?(\S+) \S+$", (ROOT / "deploy/image/Dockerfile").read_text(), re.M)
    let_in = re.findall(r"^!(.*)$", (ROOT / "deploy/image/Dockerfile.dockerignore").read_text(), re.M)
    for source in (ROOT / "src").rglob("*.rs"):
        for held in re.findall(r'^#\[folder = "(.*?)/?"\]', source.read_text(), re.M):
            for there, what in [(copied, "Dockerfile"), (let_in, "Dockerfile.dockerignore")]:
                if not any(held == part or held.startswith(f"{part}/") for part in there):
                    faults.append(f"{what} leaves out {held}, which {source.relative_to(ROOT)} holds")


# --- installs -------------------------------------------------------------------------------------

# What each role may do in the cluster: verb, group, resource, namespace (empty is all), and whether.
RIGHTS = {
    ("all", "hub"): [
        ("list", "", "pods", "", True),
        ("watch", "", "services", "", True),
        ("watch", "discovery.k8s.io", "endpointslices", "", True),
        ("list", "", "nodes", "", True),
        ("watch", "", "namespaces", "", True),
        ("get", "", "secrets", "tapedeck", False),
        ("list", "", "configmaps", "", False),
        ("list", "", "events", "", False),
        ("list", "apps", "replicasets", "", False),
        ("create", "", "pods", "tapedeck", False),
        ("delete", "", "pods", "shop", False),
    ],
    ("all", "worker"): [("list", "", "pods", "", False), ("get", "", "secrets", "tapedeck", False)],
    ("some", "hub"): [
        ("list", "", "pods", "shop", True),
        ("watch", "discovery.k8s.io", "endpointslices", "payments", True),
        ("list", "", "pods", "tapedeck", False),
        ("list", "", "pods", "", False),
        ("list", "", "nodes", "", False),
    ],
}


class Server:
    """etcd and an API server in a folder, with one administrator; ended with the block."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        here = self.folder.name
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            for each in (one, two, three):
                each.bind(("127.0.0.1", 0))
            etcd, peers, self.port = (each.getsockname()[1] for each in (one, two, three))
        run("openssl", "genrsa", "-out", f"{here}/key", "2048", check=True)
        pathlib.Path(f"{here}/tokens").write_text('token,admin,admin,"system:masters"\n')
        self.log = open(f"{here}/log", "w+")
        url, peer = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peers}"
        self.running = [
            self.start(os.environ["ETCD"], f"--data-dir={here}/etcd", f"--listen-client-urls={url}",
                       f"--advertise-client-urls={url}", f"--listen-peer-urls={peer}"),
            self.start(os.environ["APISERVER"], f"--etcd-servers={url}", f"--secure-port={self.port}",
                       "--bind-address=127.0.0.1", f"--cert-dir={here}/certs",
                       "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC",
                       f"--token-auth-file={here}/tokens", f"--service-account-key-file={here}/key",
                       f"--service-account-signing-key-file={here}/key",
                       "--service-account-issuer=https://kubernetes.default.svc",
                       "--disable-admission-plugins=ServiceAccount"),
        ]
        user = {"name": "admin", "user": {"token": "token"}}
        cluster = {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here", "users": [user],
            "clusters": [{"name": "here", "cluster": cluster}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
        }
        self.kubeconfig = f"{here}/kubeconfig"
        pathlib.Path(self.kubeconfig).write_text(json.dumps(config))
        for _ in range(600):
            try:
                self.ask("/readyz")
                return self
            except OSError:
                time.sleep(0.1)
        self.log.seek(0)
        said = self.log.read()[-2000:]
        self.__exit__()
        sys.exit(f"the API server does not start: {said}")

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.terminate()
            process.wait()
        self.log.close()
        self.folder.cleanup()

    def start(self, *command):
        return subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def ask(self, path, body=None):
        headers = {"Authorization": "Bearer token", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", data, headers)
        context = ssl._create_unverified_context()
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            text = answer.read().decode()
        return json.loads(text) if text.startswith("{") else text

    def helm(self, *arguments):
        told = helm(*arguments, "--kubeconfig", self.kubeconfig, "-n", "tapedeck")
        if told.returncode:
            faults.append(f"helm {' '.join(str(one) for one in arguments)}: {told.stderr.strip()}")

    def may(self, account, verb, group, resource, namespace):
        asked = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        spec = {"user": f"system:serviceaccount:tapedeck:{account}", "resourceAttributes": asked}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = self.ask("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return answer["status"]["allowed"]

    def names(self, path):
        return sorted(one["metadata"]["name"] for one in self.ask(path)["items"])


def check_installs():
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        chart = pathlib.Path(folder) / "tapedeck"
        shutil.copytree(CHART, chart)
        if server.ask("/version")["gitVersion"].startswith("v0."):
            # A server that is built outside a release tells no version that helm could compare.
            named = chart / "Chart.yaml"
            named.write_text(re.sub(r"(?m)^kubeVersion:.*\n", "", named.read_text()))
        for name in ["tapedeck", "shop", "payments"]:
            named = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            server.ask("/api/v1/namespaces", named)
        server.helm("install", "all", chart, "--set", "fullnameOverride=all")
        server.helm("install", "some", chart, "--set", "fullnameOverride=some", "-f", chart / "ci/namespaced.yaml")
        for (release, role), rights in RIGHTS.items():
            for verb, group, resource, namespace, allowed in rights:
                if server.may(f"{release}-{role}", verb, group, resource, namespace) != allowed:
                    word = "may not" if allowed else "may"
                    where = f"in {namespace}" if namespace else "everywhere"
                    faults.append(f"{release}: the {role} {word} {verb} {resource} {where}")
        secret = "/api/v1/namespaces/tapedeck/secrets/all-hub-tls"
        before = server.ask(secret)["data"]
        server.helm("upgrade", "all", chart, "--set", "fullnameOverride=all", "--set", "logLevel=debug")
        if server.ask(secret)["data"] != before:
            faults.append("an upgrade makes new certificates")
        config = server.ask("/api/v1/namespaces/tapedeck/configmaps/all-config")["data"]["config.yaml"]
        if "debug" not in config:
            faults.append("an upgrade does not change the configuration")
        for release in ["all", "some"]:
            server.helm("uninstall", release)
        left = [
            *server.names("/apis/apps/v1/namespaces/tapedeck/daemonsets"),
            *server.names("/apis/apps/v1/namespaces/tapedeck/deployments"),
            *server.names("/api/v1/namespaces/tapedeck/secrets"),
            *server.names("/api/v1/namespaces/tapedeck/services"),
            *(name for name in server.names("/apis/rbac.authorization.k8s.io/v1/clusterroles") if "tapedeck" in name),
            *server.names("/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles"),
        ]
        if left:
            faults.append(f"uninstall leaves {left}")


def main():
    checks = {
        "schema": check_schema, "render": check_render, "jobs": check_jobs, "refuses": check_refuses,
        "release": check_release, "installs": check_installs,
    }
    if len(sys.argv) != 2 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    checks[sys.argv[1]]()
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main()
