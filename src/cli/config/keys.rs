//! Every configuration key: name, type, default, and what becomes of it here.

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// Text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A Kubernetes quantity in bytes, as `500Mi`.
    Quantity,
    /// A duration with a unit, as `90s` or `1h30m`.
    Duration,
    /// A list of text.
    List,
    /// Names of the user's own with any values.
    Map,
    /// Names of the user's own, each with names of the user's own and their values.
    Maps,
    /// Names that others define, as deep as they go, with any values.
    Tree,
    /// A list of objects of the user's own.
    Objects,
    /// Any value; whoever reads it says what fits.
    Any,
}

impl KeyType {
    /// Whether the names below it are in no table here.
    pub fn has_names(self) -> bool {
        matches!(self, KeyType::Map | KeyType::Maps | KeyType::Tree)
    }
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does what it says.
    Honoured,
    /// Accepted; there is nothing here that it could change.
    Harmless,
    /// Accepted, not acted on in this version.
    NotYet,
    /// Not acted on in this version, and what is captured would differ: said at start.
    NotYetCapture,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct ConfigKey {
    /// Dotted path.
    pub path: &'static str,
    /// Type.
    pub kind: KeyType,
    /// Default as JSON text.
    pub default: &'static str,
    /// What becomes of it.
    pub status: Status,
    /// One sentence.
    pub doc: &'static str,
}

const fn key(
    path: &'static str,
    kind: KeyType,
    default: &'static str,
    status: Status,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey {
        path,
        kind,
        default,
        status,
        doc,
    }
}

use KeyType::{Any, Bool, Duration, Int, List, Map, Maps, Objects, Quantity, Text, Tree};
use Status::{Harmless, Honoured, NotYet, NotYetCapture};

/// The keys, in the order in which `config` prints them.
#[rustfmt::skip]
pub static KEYS: &[ConfigKey] = &[
    key("tap.regex", Text, r#"".*""#, Honoured, "pods to capture: a regular expression that their names contain"),
    key("tap.namespaces", List, "[]", Honoured, "namespaces to capture; empty means all"),
    key("tap.excludedNamespaces", List, "[]", Honoured, "namespaces to leave out"),
    key("tap.labelSelector", Text, r#""""#, Honoured, "labels of the pods to capture, as app=cart,tier in (web,api),!canary"),
    key("tap.namespaceSelector", Text, r#""""#, Honoured, "labels of the namespaces to capture"),
    key("tap.interface", Text, r#""any""#, Honoured, "network interface to capture on"),
    key("tap.bpfOverride", Text, r#""""#, Honoured, "capture filter in tcpdump syntax; with it the targets above do not count"),
    key("tap.snaplen", Int, "262144", Honoured, "octets kept of each packet"),
    key("tap.bufferSize", Quantity, r#""64Mi""#, Honoured, "kernel buffer of the capture, of all its threads together"),
    key("tap.captureThreads", Int, "0", Honoured, "threads that read the interface and share its flows; 0 takes one for each 8 cores"),
    key("tap.processes", Bool, "true", Honoured, "name the processes of this machine at the ends of connections, as far as the rights go"),
    key("tap.workers", Int, "0", Honoured, "threads that reassemble and dissect; 0 takes what the machine has"),
    key("tap.storageLimit", Quantity, r#""5Gi""#, Honoured, "disk for spool, open reels, outbox and script folders together"),
    key("tap.dataDir", Text, r#""""#, Honoured, "folder for all of that; empty means ~/.tapedeck/data"),
    key("tap.nodeName", Text, r#""""#, Honoured, "name of this node; empty means the host name"),
    key("tap.clusterName", Text, r#""local""#, Honoured, "name of the cluster in object keys"),
    key("tap.proxy.host", Text, r#""127.0.0.1""#, Honoured, "address of the dashboard"),
    key("tap.proxy.front.port", Int, "8899", Honoured, "port of the dashboard"),
    key("tap.proxy.hub.port", Int, "8898", Harmless, "everything goes through the front port"),
    key("tap.proxy.hub.srvPort", Int, "8898", Honoured, "port on which the hub of a cluster waits for workers"),
    key("tap.proxy.worker.srvPort", Int, "8897", Harmless, "everything goes through the front port"),
    key("tap.capture.captureSelf", Bool, "false", Honoured, "record tapedeck's own connections too"),
    key("tap.capture.prefilter", Bool, "false", Honoured, "capture only packets that RECORDING_KFL can match; pages and scripts see nothing else then"),
    key("tap.capture.dissection.enabled", Bool, "true", NotYet, "dissect while capturing"),
    key("tap.capture.dissection.stopAfter", Duration, r#""5m""#, Harmless, "dissection goes on as long as the run"),
    key("tap.capture.raw.enabled", Bool, "true", NotYet, "keep every packet in the spool"),
    key("tap.capture.raw.storageSize", Quantity, r#""1Gi""#, Harmless, "tap.storageLimit bounds the spool"),
    key("tap.capture.dbMaxSize", Quantity, r#""500Mi""#, Honoured, "memory for the rows of the dashboard"),
    key("tap.enabledDissectors", List, r#"["amqp","dns","http","icmp","kafka","mongodb","mysql","postgresql","redis","ws","tlsx","ldap","radius","diameter","sctp","udp-flow","tcp-flow","udp-conn","tcp-conn"]"#, Honoured, "protocols that are dissected"),
    key("tap.portMapping", Tree, "{}", Honoured, "further ports of a protocol, {\"redis\":[6380]}; content decides first, a port settles what it leaves in doubt"),
    key("tap.portLimits", Tree, "{}", Honoured, "the only ports that a protocol is looked for on, {\"redis\":[6379]}; one without an entry is looked for on all"),
    key("tap.customMacros", Map, r#"{"https":"tls and (http or http2)"}"#, Honoured, "KFL macros of your own: a name and the query that it stands for, in every query"),
    key("tap.globalFilter", Text, r#""""#, Honoured, "KFL that every item must match before anybody sees it; what it redacts nobody sees, in packets neither"),
    key("tap.defaultFilter", Text, r#""""#, Honoured, "KFL that the dashboard opens with"),
    key("tap.pcap", Text, r#""""#, Honoured, "recorded source instead of a live one"),
    key("tap.dryRun", Bool, "false", Honoured, "in a cluster: list the pods that would be captured, and end"),
    key("tap.serviceMesh", Bool, "true", NotYetCapture, "traffic of service meshes before encryption"),
    key("tap.tls", Bool, "true", NotYetCapture, "traffic of TLS libraries before encryption"),
    key("tap.tlsKeylog", Text, r#""""#, Honoured, "key log file (SSLKEYLOGFILE) whose secrets decrypt TLS"),
    key("tap.grpc.descriptors", List, "[]", Honoured, "files with a FileDescriptorSet each, by which messages of gRPC are read; what servers tell by reflection adds to them"),
    key("tap.ipv6", Bool, "true", Harmless, "IPv6 is always read"),
    key("tap.packetCapture", Text, r#""best""#, Harmless, "libpcap is the one way of capture"),
    key("tap.noKernelModule", Bool, "false", Harmless, "there is no kernel module"),
    key("tap.persistentStorage", Bool, "false", Harmless, "for releases in a cluster"),
    key("tap.persistentStorageStatic", Bool, "false", Harmless, "for releases in a cluster"),
    key("tap.storageClass", Text, r#""standard""#, Harmless, "for releases in a cluster"),
    key("tap.ignoreTainted", Bool, "false", Harmless, "for releases in a cluster"),
    key("tap.debug", Bool, "false", Honoured, "log everything"),
    key("tap.docker", Tree, "{}", Honoured, "image of a release that tap installs: registry, tag, imagePullPolicy, imagePullSecrets"),
    key("tap.release.name", Text, r#""tapedeck""#, Honoured, "name of the release that tap, proxy, scripts and the like speak with"),
    key("tap.release.namespace", Text, r#""default""#, Honoured, "namespace of the release; unless it is set, a release in another one is found too"),
    key("tap.release.repo", Text, r#""""#, Harmless, "the chart is in the program"),
    key("tap.release.helmChartPath", Text, r#""""#, Honoured, "folder or archive of another chart than the one in the program"),
    key("tap.resources", Tree, "{}", Harmless, "for releases in a cluster"),
    key("tap.labels", Map, "{}", Harmless, "for releases in a cluster"),
    key("tap.annotations", Map, "{}", Harmless, "for releases in a cluster"),
    key("tap.nodeSelectorTerms", Any, "{}", Harmless, "for releases in a cluster"),
    key("tap.auth", Tree, "{}", Harmless, "the dashboard is protected by its token"),
    key("tap.ingress", Tree, "{}", Harmless, "for releases in a cluster"),
    key("tap.routing", Tree, "{}", Harmless, "for releases in a cluster"),
    key("tap.probes", Tree, "{}", Harmless, "for releases in a cluster"),
    key("tap.tolerations", Any, "null", Harmless, "for releases in a cluster"),
    key("tap.priorityClass", Text, r#""""#, Harmless, "for releases in a cluster"),
    key("tap.dns", Tree, "{}", Harmless, "for releases in a cluster"),
    key("tap.secrets", List, "[]", Harmless, "for releases in a cluster"),
    key("tap.hostNetwork", Bool, "true", Harmless, "for releases in a cluster"),
    key("tap.mountBpf", Bool, "true", Harmless, "nothing is loaded into the kernel"),
    key("tap.persistentStoragePvcVolumeMode", Text, r#""""#, Harmless, "for releases in a cluster"),
    key("tap.efsFileSytemIdAndPath", Text, r#""""#, Harmless, "for releases in a cluster"),
    key("tap.resourceGuard", Tree, "{}", Harmless, "limits of memory and disk are always kept"),
    key("tap.watchdog", Tree, "{}", Harmless, "probes restart what does not answer"),
    key("tap.securityContext", Tree, "{}", Harmless, "for releases in a cluster"),
    key("tap.telemetry.enabled", Bool, "true", Harmless, "there is no telemetry"),
    key("tap.metrics.port", Int, "49100", Honoured, "port on which Prometheus reads the metrics of scripts; 0 switches it off"),
    key("tap.dashboard.entriesLimit", Text, r#""300000""#, Honoured, "rows that the dashboard holds"),
    key("tap.dashboard.tokens", Map, "{}", Honoured, "further tokens by role: {\"view\":\"...\",\"investigate\":\"...\",\"operate\":\"...\"}, or a list of them each; needed on any address but loopback"),
    key("tap.dashboard.tokenFile", Text, r#""""#, Honoured, "file with the token of the printed URL, as a mounted Secret; empty makes a new one at each start"),
    key("tap.dashboard.oidc", Tree, "{}", Honoured, "signing in by OpenID Connect: issuer, clientId, clientSecret, url, claim, scopes and roles: {\"view\":[\"*\"],\"operate\":[\"sre\"]}"),
    key("tap.dashboard.hosts", List, "[]", Honoured, "further names under which the dashboard is reached, as behind a proxy"),
    key("tap.dashboard.auditLog", Text, r#""""#, Honoured, "file that notes who looked at which payload and changed what; empty means audit.jsonl in the data folder"),
    key("tap.dashboard.editScripts", Bool, "false", Honoured, "let the dashboard save scripts into their folder"),
    key("tap.dashboard.replay", Bool, "false", Honoured, "let the dashboard send a recorded request once more, after a confirmation"),
    key("tap.misc.jsonTTL", Duration, r#""5m""#, Harmless, "items are bounded in bytes"),
    key("tap.misc.pcapTTL", Duration, r#""0""#, Harmless, "streams are bounded in bytes, by the spool"),
    key("tap.misc.pcapErrorTTL", Duration, r#""0""#, Harmless, "streams are bounded in bytes, by the spool"),
    key("tap.misc.trafficSampleRate", Int, "100", NotYetCapture, "share of streams to capture, in percent"),
    key("tap.misc.tcpStreamChannelTimeoutMs", Int, "10000", Harmless, "streams end by their own timeouts"),
    key("tap.misc.tcpStreamChannelTimeoutShow", Bool, "false", Harmless, "streams end by their own timeouts"),
    key("tap.misc.resolutionStrategy", Text, r#""auto""#, Harmless, "names come from the history"),
    key("tap.misc.duplicateTimeframe", Duration, r#""200ms""#, Harmless, "second sights are always left out"),
    key("tap.misc.detectDuplicates", Bool, "false", Harmless, "second sights are always left out"),
    key("tap.misc.staleTimeoutSeconds", Int, "30", Harmless, "streams end by their own timeouts"),
    key("tap.misc.tcpFlowTimeout", Int, "1200", Honoured, "seconds after which an idle TCP stream ends"),
    key("tap.misc.tcpOverlap", Text, r#""first""#, Honoured, "which bytes count where TCP segments overlap and differ: first, last, bsd, bsd-right, linux, old-linux, windows or solaris"),
    key("tap.misc.udpFlowTimeout", Int, "60", Honoured, "seconds after which an idle UDP conversation ends"),
    key("tap.delayedDissection", Tree, "{}", Harmless, "for releases in a cluster"),
    key("tap.snapshots", Tree, "{}", NotYet, "snapshots to a cloud store"),
    key("scripting.enabled", Bool, "true", Honoured, "run scripts"),
    key("scripting.env", Map, "{}", Honoured, "what scripts see as env; RECORDING_KFL switches recording on"),
    key("scripting.envFor", Maps, "{}", Honoured, "values for one script each, by its title or file name: {\"alert\":{\"SLACK_AUTH_TOKEN\":\"...\"}}"),
    key("scripting.envFolder", Text, r#""""#, Honoured, "folder with further names of env, as a mounted Secret: NAME for all scripts, TITLE/NAME for one"),
    key("scripting.consts", Map, "{}", Honoured, "older name of scripting.env"),
    key("scripting.source", Text, r#""""#, Honoured, "folder of scripts"),
    key("scripting.sources", List, "[]", Honoured, "further folders or files"),
    key("scripting.watchScripts", Bool, "true", Honoured, "follow changes of the folders"),
    key("scripting.active", List, "[]", Honoured, "titles or file names of the scripts to run; empty means all"),
    key("scripting.console", Bool, "true", Honoured, "print the script console while tapping"),
    key("scripting.hub", Text, r#""aware""#, Honoured, "scripts that have an instance at the hub too: aware (those that use hub hooks or helpers), all or none"),
    key("scripting.network.allow", List, "[]", Honoured, "hosts, *.domains and networks that scripts may reach; empty means all but link-local and metadata addresses"),
    key("scripting.chatgpt.url", Text, r#""https://api.openai.com/v1""#, Honoured, "chat completions API that chatgpt.prompt asks"),
    key("scripting.chatgpt.model", Text, r#""gpt-4o-mini""#, Honoured, "its model"),
    key("scripting.runInKeys", Bool, "true", Honoured, "name the run in the keys of what scripts upload: NODE_IP_RUN/FILE, else NODE_IP/FILE"),
    key("scripting.elapsedTime", Text, r#""ms""#, Honoured, "unit of data.elapsedTime in scripts: ms, or us for microseconds"),
    key("scripting.dates", Text, r#""standard""#, Honoured, "how dates become text in scripts: standard (ECMAScript), or otto (Fri, 02 Feb 2024 12:00:00 UTC)"),
    key("scripting.queryEveryItem", Bool, "false", Honoured, "ask onItemQueried about every item, also when nobody looks at it"),
    key("scripting.allowClear", Bool, "false", Honoured, "let scripts delete what they uploaded"),
    key("scripting.allowBlockPod", Bool, "false", Honoured, "let scripts cut a pod off with hub.blockPod: a label on it, and a network policy"),
    key("scripting.recorder", Text, r#""""#, Honoured, "who records RECORDING_KFL: native, script or both; empty leaves it to a script that records by itself, else to tapedeck"),
    key("scripting.memoryLimit", Quantity, r#""1Gi""#, Honoured, "address space of one script"),
    key("scripting.hookTimeout", Duration, r#""1s""#, Honoured, "processor time that one call of a hook may take"),
    key("scripting.jobTimeout", Duration, r#""60s""#, Honoured, "processor time that one run of a job may take"),
    key("scripting.loadTimeout", Duration, r#""5s""#, Honoured, "processor time that the top level of a script may take"),
    key("scripting.helperTimeout", Duration, r#""10m""#, Honoured, "time that helpers may take within one call of a hook or run of a job"),
    key("scripting.loopIterations", Int, "10000000", Honoured, "iterations of one loop, after which the script is stopped and started again"),
    key("scripting.budgets", Maps, "{}", Honoured, "other values for one script each, by its title or file name: {\"alert\":{\"hookTimeout\":\"200ms\",\"memoryLimit\":\"256Mi\"}}"),
    key("recording.format", Text, r#""pcapng""#, Honoured, "format of sealed packets: pcapng or pcap"),
    key("recording.destination", Text, r#""""#, Honoured, "store to record to: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or a folder; empty means S3_BUCKET, else a folder"),
    key("recording.sealFirst", Duration, r#""60s""#, Honoured, "longest wait before the first reel after a match is sealed"),
    key("recording.sealEvery", Duration, r#""5m""#, Honoured, "longest time that a reel stays open"),
    key("recording.sealBytes", Quantity, r#""64Mi""#, Honoured, "size at which a reel is sealed"),
    key("recording.heartbeat", Duration, r#""1h""#, Honoured, "time between manifests when nothing matches"),
    key("recording.lock.mode", Text, r#""""#, Honoured, "GOVERNANCE, COMPLIANCE, or empty for the bucket's own default"),
    key("recording.lock.retention", Duration, r#""""#, Honoured, "how long sealed objects are locked"),
    key("recording.lock.acknowledgeDays", Int, "0", Honoured, "days of a COMPLIANCE lock, written once more to confirm them"),
    key("recording.lock.maxDays", Int, "400", Honoured, "longest COMPLIANCE lock that is accepted"),
    key("recording.lock.legalHold", Bool, "false", Honoured, "put a legal hold on sealed objects"),
    key("recording.redact", Any, "null", Honoured, "what is overwritten before sealing: credentials, or headers, cookies, query, json, addresses"),
    key("recording.payload", Text, r#""full""#, Honoured, "what is kept of payloads: full, headers (heads of messages) or none"),
    key("recording.storageClass", Text, r#""""#, Honoured, "storage class of sealed objects, as STANDARD_IA; empty leaves the store's own"),
    key("recording.limits.bytesPerDay", Quantity, r#""10Gi""#, Honoured, "captured bytes a day and node from which on a recording takes no further stream; 0 is no limit"),
    key("recording.outbox.onFull", Text, r#""dropOldest""#, Honoured, "what gives when too much waits for the store: dropOldest (reels) or stop (recording)"),
    key("recording.signing.key", Text, r#""""#, Honoured, "file with an Ed25519 private key (PKCS#8 PEM) that signs manifests; TAPEDECK_SIGNING_KEY may hold the PEM itself"),
    key("recordings", Objects, "[]", Honoured, "recordings by name: name, kfl, schedule, destination, format, retention, redact, limits and more"),
    key("s3.endpoint", Text, r#""""#, Honoured, "S3-compatible server"),
    key("s3.region", Text, r#""""#, Honoured, "region; empty means found from the bucket"),
    key("s3.pathStyle", Bool, "false", Honoured, "bucket name in the path, as most S3-compatible servers want"),
    key("s3.profile", Text, r#""""#, Honoured, "profile of the shared AWS configuration"),
    key("s3.anonymous", Bool, "false", Honoured, "sign nothing when reading, as a public bucket lets anybody read"),
    key("cluster.hub", Text, r#""""#, Honoured, "where workers find the hub, host:port"),
    key("cluster.kept", Text, r#""""#, Honoured, "secret NAMESPACE/NAME in which the hub keeps what was added to it (recordings, pushed scripts) for its next pod; empty: its data folder alone"),
    key("cluster.listen", Text, r#""""#, Honoured, "where the hub waits for workers, address:port; empty means all addresses, tap.proxy.hub.srvPort"),
    key("cluster.tls", Text, r#""/etc/tapedeck/tls""#, Honoured, "folder with ca.crt, tls.crt and tls.key of a worker or hub"),
    key("kube.configPath", Text, r#""""#, Honoured, "kubeconfig; empty means KUBECONFIG, the service account of a pod, or ~/.kube/config"),
    key("kube.context", Text, r#""""#, Honoured, "context of the kubeconfig; empty means its current one"),
    key("logs.file", Text, r#""""#, Honoured, "file that tapedeck logs writes; empty means tapedeck_logs.zip here"),
    key("logs.grep", Text, r#""""#, Honoured, "regular expression for the lines of logs that it keeps"),
    key("dumpLogs", Bool, "false", Honoured, "write the log archive when tap -A and the like end"),
    key("pcapdump.enabled", Bool, "false", Harmless, "the spool holds every packet anyway"),
    key("pcapdump.timeInterval", Duration, r#""1m""#, Harmless, "tap.storageLimit bounds the spool"),
    key("pcapdump.maxTime", Duration, r#""1h""#, Harmless, "tap.storageLimit bounds the spool"),
    key("pcapdump.maxSize", Text, r#""500MB""#, Harmless, "tap.storageLimit bounds the spool"),
    key("pcapdump.time", Text, r#""""#, Honoured, "how far tapedeck pcapdump looks back, as 10m; empty means all"),
    key("pcapdump.dest", Text, r#""""#, Honoured, "folder that it writes to; empty means the working directory"),
    key("pcapdump.debug", Bool, "false", Harmless, "see logLevel"),
    key("headless", Bool, "false", Honoured, "do not open the browser"),
    key("logLevel", Text, r#""warning""#, Honoured, "error, warning, info, debug or trace"),
    key("timezone", Text, r#""""#, Harmless, "the browser's own"),
    key("license", Text, r#""""#, Harmless, "no licence is needed"),
    key("internetConnectivity", Bool, "true", Harmless, "nothing is fetched from anywhere"),
    key("cloudApiUrl", Text, r#""""#, Harmless, "there is no cloud service"),
    key("cloudLicenseEnabled", Bool, "false", Harmless, "there is no cloud service"),
    key("demoModeEnabled", Bool, "false", Harmless, "there is no cloud service"),
    key("supportChatEnabled", Bool, "false", Harmless, "there is no cloud service"),
    key("betaEnabled", Bool, "false", Harmless, "there is no cloud service"),
    key("manifests.dump", Bool, "false", Harmless, "for releases in a cluster"),
    key("config.regenerate", Bool, "false", Harmless, "see config --regenerate"),
];

/// Names under `scripting.env` that this program and the stock scripts read; near misses are warned about.
pub static ENV_NAMES: &[&str] = &[
    "RECORDING_KFL",
    "S3_BUCKET",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "S3_ENDPOINT",
    "S3_PATH_STYLE",
    "S3_PREFIX",
    "S3_SSE",
    "S3_KMS_KEY_ID",
    "GCS_BUCKET",
    "GCS_SA_KEY_JSON",
    "AZURE_CONTAINER_NAME",
    "AZURE_ACCOUNT_NAME",
    "AZURE_ACCOUNT_KEY",
    "AZURE_CONNECTION_STRING",
    "SLACK_WEBHOOK",
    "SLACK_AUTH_TOKEN",
    "SLACK_CHANNEL_ID",
    "WEBHOOK_URL",
    "INFLUXDB_URL",
    "INFLUXDB_TOKEN",
    "INFLUXDB_ORGANIZATION",
    "INFLUXDB_ORG",
    "INFLUXDB_BUCKET",
    "INFLUXDB_MEASUREMENT",
    "ELASTIC_CLOUD_ID",
    "ELASTIC_API_KEY",
    "ELASTIC_API_ID",
    "ELASTIC_INDEX",
    "KINESIS_STREAM_NAME",
    "KINESIS_MIN_BATCH_SIZE",
    "OPENAI_API_KEY",
    "APICALLS_KFL",
    "APICALLS_S3_BUCKET",
    "ZAP_APIKEY",
    "ZAP_SERVER_URL",
];
