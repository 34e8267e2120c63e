// Types of what tapedeck gives scripts, for editors. Written by `tapedeck scripts new`; scripts
// themselves are plain JavaScript and never read it.

/** Writes lines into the program's own log, with a level of the script's choice. */
declare const aggregation: {
  /** Writes `<time> <level> <text>`. */
  msg(level: string, text: string): void;
  /** Writes `<time> <level> <key>=<json>`. */
  json(level: string, key: string, object: any): void;
  /** Writes `<time> <level> <text> <key>=<json>`. */
  jsonWithMsg(level: string, key: string, object: any, text: string): void;
};

/** Asks a language model, and scores the mood of a text. */
declare const chatgpt: {
  /** Asks the language model that the configuration names and answers its text. */
  prompt(apiKey: string, prompt: string, maxTokens?: number): string;
  /** Scores a text: the shares of negative, neutral and positive words, and -1 to 1 for all of it. */
  sentiment(text: string): { neg: number; neu: number; pos: number; compound: number };
};

/** Prints lines on the console that all scripts share. */
declare const console: {
  /** Prints the values, joined by a space; plain objects as JSON. */
  log(...values: any[]): void;
  /** The same as `console.log`. */
  info(...values: any[]): void;
  /** The same as `console.log`. */
  debug(...values: any[]): void;
  /** Prints an error line. */
  error(...values: any[]): void;
  /** The same as `console.error`. */
  warn(...values: any[]): void;
  /** Clears what this script printed for everyone who looks later; error lines stay. */
  clear(): void;
};

/** The values of `scripting.env`; each is a global of its own name too, and `CONSTS` lists the names. */
declare const env: { [name: string]: any };
/** The names in `env`. */
declare const CONSTS: string[];

/** Keeps files in the script's data folder. */
declare const file: {
  /** Writes a file, replacing what it held; the folder must be there. */
  write(path: string, content: string): void;
  /** Adds to the end of a file, making it if it is not there. */
  append(path: string, content: string): void;
  /** Moves a file or folder, into `to` when that is a folder. */
  move(from: string, to: string): void;
  /** Copies a file; the copy of a stream keeps its packets, also those yet to come. */
  copy(from: string, to: string): void;
  /** Deletes a file, or a folder with all that is in it; nothing there is no error. */
  delete(path: string): void;
  /** Whether there is a file or folder. */
  exists(path: string): boolean;
  /** Makes a folder with its parents; one that is there is no error. */
  mkdir(path: string): void;
  /** Makes a folder with a new name and answers its path. */
  mkdirTemp(name?: string, dir?: string): string;
  /** Makes an empty file with a new name and answers its path. */
  temp(name: string, dir?: string, extension?: string): string;
  /** Packs a folder into a `.tar.gz` in the data folder and answers its path. */
  tar(dir: string): string;
};

/** The same as `vendor.webhook`. */
declare function webhook(method: string, url: string, body: any): string;
/** The same as `vendor.slackBot` without fields and files. */
declare function slack(token: string, channelId: string, pretext: string, text: string, color: string): void;
/** As `vendor.influxdb`, with the measurement before organisation and bucket. */
declare function influxdb(url: string, token: string, measurement: string, org: string, bucket: string, data: any): void;
/** The same as calling `vendor.s3` itself. */
declare function s3(region: string, keyId: string, secret: string, bucket: string, stream: string): string;
/** The same as `test.pass`. */
declare function pass(data: any): any;
/** The same as `test.fail`. */
declare function fail(data: any): any;
/** The same as `pcap.nameResolutionHistory`. */
declare function nameResolutionHistory(): any;

/** Sends to the hub's instances of scripts, and asks about the cluster. */
declare const hub: {
  /** Calls `onHubAction(action, object)` of every script at the hub, with a JSON copy of the object. */
  action(action: string, object: any): void;
  /** JSON text `{"targets": [...], "excluded": [...]}` with the pods that are captured and those that are not. */
  targeted(): string;
  /** Cuts a pod off by a network policy that allows nothing in or out, and answers a sentence; throws where that is not allowed (`scripting.allowBlockPod`). */
  blockPod(name: string, namespace: string): string;
};

/** Runs functions on a schedule, in UTC. */
declare const jobs: {
  /** Runs the function whenever the cron text says (seconds first), at most `limit` times when that is not 0. */
  schedule(tag: string, cron: string, task: (...args: any[]) => void, limit?: number, ...args: any[]): void;
  /** Takes away all jobs with the tag. */
  remove(tag: string): void;
  /** Takes away all jobs of all scripts. */
  removeAll(): void;
  /** The tags of all jobs, those of this script first. */
  list(): string[];
  /** Runs the jobs with the tag now, without waiting for them. */
  run(tag: string): void;
  /** Runs all jobs of all scripts now, without waiting for them. */
  runAll(): void;
  scheduler: {
    /** Whether the scheduler runs. */
    isRunning(): boolean;
    /** Lets the scheduler of all scripts go on. */
    start(): void;
    /** Halts the scheduler of all scripts. */
    stop(): void;
  };
};

/** Asks whether an item is what a KFL query describes. */
declare const kfl: {
  /** Whether the item matches the query; an empty query matches everything, undefined nothing, an invalid one throws. */
  match(query: string, data: any): boolean;
  /** Whether the query is valid, as undefined is; prints what is wrong with it unless told to be quiet. */
  validate(query: string, quiet?: boolean): boolean;
};

/** Gives scripts the packets of streams as savefiles. */
declare const pcap: {
  /** The path of a stream's savefile in the data folder; whether it is there is not looked at. */
  path(stream: string): string;
  /** Merges streams, or the savefiles of a folder, into one savefile and answers its path; an empty selection means all. */
  snapshot(selectedPcaps?: string[], pcapsDir?: string): string;
  /** Which names addresses had, by the Unix second of each change. */
  nameResolutionHistory(): any;
};

/** Keeps metrics for Prometheus: type 1 is a counter, 2 a gauge, 3 untyped. */
declare const prometheus: {
  /** Sets a sample. */
  metric(name: string, description: string, type: any, value: number, labels?: { [name: string]: any }): string;
  /** Adds to a counter, or sets a gauge, of a family whose samples differ in the values of their labels. */
  vector(name: string, description: string, type: any, value: number, labels: { [name: string]: any }): string;
};

/** Declares what is to be recorded; whole streams are kept by the recorder, whatever scripts miss. */
declare const recording: {
  /** Declares a recording, or changes the one with that name, and answers its status. */
  set(options: { name?: any; kfl?: any; [name: string]: any }): any;
  /** Has a recording take a whole stream, from its first packet in the spool to its end. */
  take(stream: string, name?: string): void;
  /** Closes what is open of a recording, or of all, and hands it to the store. */
  seal(name?: string): void;
  /** What a recording, or each of them, has kept so far. */
  status(name?: string): any;
  /** Records for a window of time from now on, everything unless a query says what, and answers its status; it ends by itself after 60 seconds or what is given, and begins anew when it is called again under its name; `lookBack: false` leaves out packets from before the match. */
  capture(options: { name?: any; kfl?: any; seconds?: any; minutes?: any; lookBack?: any; destination?: any; format?: any }): any;
};

/** Marks an item as passed or failed, to be returned from `onItemQueried`. */
declare const test: {
  /** Sets `passed` and returns the same object. */
  pass(data: any): any;
  /** Sets `failed` and returns the same object. */
  fail(data: any): any;
};

/** Calls the function once after that many milliseconds. */
declare function setTimeout(task: (...args: any[]) => void, ms: number, ...args: any[]): number;
/** Calls the function every so many milliseconds. */
declare function setInterval(task: (...args: any[]) => void, ms: number, ...args: any[]): number;
/** Takes a timer away; an unknown id is no error. */
declare function clearTimeout(id: number): void;
/** The same as `clearTimeout`. */
declare function clearInterval(id: number): void;

/** Tells where the script runs, and writes YAML. */
declare const utils: {
  /** The node's name, or `hub` for an instance that gathers what all nodes send. */
  nodeName(): string;
  /** A JSON text as YAML with sorted keys; a text that is no JSON throws. */
  json2Yaml(jsonText: string): string;
};

/** Hands messages, points, documents and files to services outside. */
declare const vendor: {
  /** Sends a request and answers the text of the response, whatever its status; an object is sent as JSON. */
  webhook(method: string, url: string, body?: any, headers?: { [name: string]: any }): string;
  /** Sends a form of several parts (multipart/form-data) and answers the text of the response. */
  webhookForm(method: string, url: string, fields: any): string;
  /** Posts a note through an incoming webhook of Slack; with five arguments the first two are token and channel. */
  slack(webhookUrl: string, pretext: string, text: string, color: string): void;
  /** Posts a note as a bot of Slack and shares files of the data folder in the channel. */
  slackBot(token: string, channelId: string, pretext: string, text: string, color: string, fields?: any, files?: any): void;
  /** Writes one point into InfluxDB, in the background and with retries. */
  influxdb(url: string, token: string, org: string, bucket: string, measurement: string, data: any, tags?: { [name: string]: any }): void;
  /** Indexes one document in Elasticsearch and answers its id. */
  elastic(url: string, index: any, data: any, username?: string, password?: string, cloudId?: string, apiKey?: string, serviceToken?: string, certificateFingerprint?: string): string;
  kinesis: {
    /** Puts one record into a Kinesis stream, an object as JSON, and answers what the service said. */
    put(stream: string, payload: any, region: string, keyId?: string, secret?: string): any;
  };
  s3: {
    /** Uploads the savefile of a stream, as scripts of February 2023 did. */
    (region: string, keyId: string, secret: string, bucket: string, stream: string): string;
    /** Uploads a file of the data folder and answers the object's URL; the order (region, keyId, secret, bucket, path) is understood too. */
    put(bucket: string, path: string, region: string, keyId?: string, secret?: string): string;
    /** Deletes what scripts of this node uploaded, never a sealed recording. */
    clear(region: string, keyId: string, secret: string, bucket: string): void;
  };
  gcs: {
    /** Uploads a file of the data folder to Google Cloud Storage and answers the object's URL; the key is the parsed JSON of a service account. */
    put(bucket: string, path: string, serviceAccountKey?: any): string;
    /** Deletes what scripts of this node uploaded to a bucket of Google Cloud Storage, never a sealed recording. */
    clear(bucket: string, serviceAccountKey?: any): void;
  };
  azure: {
    /** Uploads a file of the data folder to a container of Azure Blob Storage and answers the blob's URL. */
    put(container: string, path: string, accountName?: string, accountKey?: string, connectionString?: string): string;
  };
};

/** Does in one call what takes several helpers. */
declare const wrapper: {
  /** A new object with the keys of both: numbers under one key are added, objects are joined. */
  joinMaps(a: any, b: any): any;
  /** The HTTP items of a list as an HTTP archive (HAR 1.2), JSON text. */
  buildHAR(items: Item[]): string;
  /** Uploads an archive with the packets of all streams and the name history, and answers its URL. */
  pcapSnapshot(region: string, keyId: string, secret: string, bucket: string): string;
  /** Collects the streams of items that match queries, and uploads an archive for each query every so often. */
  kflPcapS3(data: any, options: { kflArr?: any; awsRegion?: any; awsAccessKeyId?: any; awsSecretAccessKey?: any; s3Bucket?: any; slackWebhook?: any; slackAuthToken?: any; slackChannelId?: any; active?: any; verbose?: any; maxMinutes?: any; maxL4Streams?: any; clear?: any }): void;
};

/** What `onPacketCaptured` is told of a packet. */
interface PacketInfo {
  /** When it was captured, RFC 3339 with nanoseconds. */
  timestamp: string;
  /** Bytes that were captured. */
  captureLength: number;
  /** Bytes on the wire. */
  length: number;
  /** Whether bytes are missing at its end. */
  truncated: boolean;
  /** Whether it is a fragment that does not end its datagram. */
  fragmented: boolean;
}

/** Functions that tapedeck calls when a script defines them. */
interface Hooks {
  /** Called for every packet that was captured, fragments too. */
  onPacketCaptured(info: PacketInfo): void;
  /** Called once for every item: a request with its response, or a single message; of those only that `onItemCaptured.kfl` matches, when the script states a query there. */
  onItemCaptured: { (data: Item): void; kfl?: string };
  /** Called for an item that is about to be shown to somebody who asked with this query; an object that is returned takes its place, the last script's wins; of members such as `id`, `stream` and `timestamp` that it leaves out those of the item stay. */
  onItemQueried(data: Item, query: string): object | void;
  /** Called in every script when a job of any script has ended well. */
  onJobPassed(tag: string, cron: string, limit: number): void;
  /** Called in every script when a job of any script has thrown. */
  onJobFailed(tag: string, cron: string, limit: number, err: string): void;
  /** Called when a pod was added, modified or deleted (`ADDED`, `MODIFIED`, `DELETED`). */
  onPodEvent(event: string, pod: any): void;
  /** Called in the hub instance of every script when any script calls `hub.action`. */
  onHubAction(action: string, object: any): void;
  /** Called for each log record of tapedeck itself; the message is JSON text. */
  onLogCall(level: string, msg: string): void;
}

/** What every item has. */
interface Envelope {
  /** worker, stream and index of the item. */
  id: string;
  /** ordinal of the item within its stream, from 0. */
  index: number;
  /** name of the stream's pcap. */
  stream: string;
  /** address and port of the capture process. */
  worker: string;
  /** the node that captured it. */
  node: {
    /** address of the node. */
    ip: string;
    /** name of the node. */
    name: string;
  };
  /** namespace of the destination, else of the source. */
  namespace: string;
  /** what kind of item it is. */
  protocol: {
    /** protocol name, shared by related kinds. */
    name: string;
    /** protocol version. */
    version: string;
    /** short protocol name. */
    abbr: string;
    /** protocol name in full. */
    longName: string;
    /** the KFL macro that selects it. */
    macro: string;
    /** colour of the protocol's stripe. */
    backgroundColor: string;
    /** colour of the text on the stripe. */
    foregroundColor: string;
    /** size of the text on the stripe, in points. */
    fontSize: number;
    /** the protocol's specification. */
    referenceLink: string;
    /** the protocol's usual ports. */
    ports: any[];
    /** network layer. */
    layer3: string;
    /** transport layer. */
    layer4: string;
    /** order among protocols. */
    priority: number;
  };
  /** whether it was decrypted from TLS. */
  tls: boolean;
  /** who asked. */
  src: {
    /** client address. */
    ip: string;
    /** client port. */
    port: string;
    /** client name at the time; empty when unresolved. */
    name: string;
    /** client namespace. */
    namespace: string;
    /** client pod; null when none is known. */
    pod: {
      metadata: {
        /** name of the client pod. */
        name: string;
        /** its namespace. */
        namespace: string;
        /** its labels. */
        labels: { [name: string]: string };
      };
      spec: {
        /** node that runs it. */
        nodeName: string;
      };
      owner: {
        /** deployment, job or other owner that made it. */
        name: string;
      };
    } | null;
    /** client service; null when none is known. */
    service: {
      metadata: {
        /** name of the client service. */
        name: string;
        /** its namespace. */
        namespace: string;
      };
    } | null;
    /** process that holds the client's end; empty when it is not of this node, or not known. */
    processName: string;
    /** its number, in a container that of the container; 0 when not known. */
    processId: number;
    /** the program that it runs. */
    processPath: string;
    /** container of the process, else of the client's port. */
    containerId: string;
    /** always 0: not measured. */
    cpuUsage: number;
    /** always 0: not measured. */
    memoryUsage: number;
  };
  /** who was asked. */
  dst: {
    /** server address. */
    ip: string;
    /** server port. */
    port: string;
    /** server name at the time; empty when unresolved. */
    name: string;
    /** server namespace. */
    namespace: string;
    /** server pod; null when none is known. */
    pod: {
      metadata: {
        /** name of the server pod. */
        name: string;
        /** its namespace. */
        namespace: string;
        /** its labels. */
        labels: { [name: string]: string };
      };
      spec: {
        /** node that runs it. */
        nodeName: string;
      };
      owner: {
        /** deployment, job or other owner that made it. */
        name: string;
      };
    } | null;
    /** server service; null when none is known. */
    service: {
      metadata: {
        /** name of the server service. */
        name: string;
        /** its namespace. */
        namespace: string;
      };
    } | null;
    /** process that holds the server's end; empty when it is not of this node, or not known. */
    processName: string;
    /** its number, in a container that of the container; 0 when not known. */
    processId: number;
    /** the program that it runs. */
    processPath: string;
    /** container of the process, else of the server's port. */
    containerId: string;
    /** always 0: not measured. */
    cpuUsage: number;
    /** always 0: not measured. */
    memoryUsage: number;
  };
  /** whether it was asked from the node that captured it: from an address of its own, or by one of its pods. */
  outgoing: boolean;
  /** time of the request, Unix milliseconds. */
  timestamp: number;
  /** time of the request, RFC 3339 with nanoseconds. */
  startTime: string;
  /** bytes of the request as captured. */
  requestSize: number;
  /** bytes of the response as captured. */
  responseSize: number;
  /** milliseconds from request to response; queries compare microseconds. */
  elapsedTime: number;
  /** set by scripts. */
  passed: boolean;
  /** set by scripts. */
  failed: boolean;
  /** what went wrong; null when nothing did. */
  error: {
    /** dissection, connection, timeout or pair-not-found. */
    type: string;
    /** what went wrong, one sentence. */
    msg: string;
  } | null;
  /** name of the item's JSON file. */
  entryFile: string;
  /** name of the recording it was read back from. */
  record: string;
  /** bytes of request and response. */
  size: number;
  /** always empty: parts are in the item itself. */
  requestRef: string;
  /** always empty, likewise. */
  responseRef: string;
  /** always empty, likewise. */
  eventRef: string;
  /** always empty, likewise. */
  dataRef: string;
  /** always null: the row of a list is made from the item. */
  base: any;
  /** always null: there is one way of capturing. */
  capture: any;
  /** always empty: packets seen twice are left out before. */
  checksums: any[];
  /** always empty, likewise. */
  duplicate: string;
  /** always empty: pairs are told by stream and index. */
  matcherKey: string;
  /** the tunnel that its packets came in; missing when there was none. */
  tunnel?: {
    /** vxlan, geneve, gre, erspan, ip-in-ip, gtp-u, mpls or pppoe. */
    type: string;
    /** VXLAN and Geneve network identifier, GRE key, ERSPAN session, GTP tunnel endpoint, bottom label of MPLS, PPPoE session; null when it has none. */
    id: number;
    /** outer address on the side of src; null when no IP header stands around it. */
    src: {
      /** outer source address. */
      ip: string;
      /** outer source port; 0 where the tunnel has none. */
      port: string;
    } | null;
    /** outer address on the side of dst; null when no IP header stands around it. */
    dst: {
      /** outer destination address. */
      ip: string;
      /** outer destination port; 0 where the tunnel has none. */
      port: string;
    } | null;
    /** the tunnel around that one, with the same members; missing when there was none. */
    outer?: any;
  };
}

/** An item of any protocol: what `onItemCaptured` is told. Which members there are depends on
 * `protocol`; each says whose it is. */
interface Item extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** request method, such as GET (http2, http, amqp, diameter). */
    method: string;
    /** request target as sent, query included (http2, http, ws). */
    url: string;
    /** the same as request.url (http2, http). */
    targetUri: string;
    /** path of the request target, without query (http2, http, ws). */
    path: string;
    /** parts of the path between slashes (http2, http). */
    pathSegments: any[];
    /** HTTP/2.0, or HTTP/1.1 of a request that was upgraded (http2, http). */
    httpVersion: string;
    /** header fields in lower case, pseudo-header fields and trailers among them; names and values that were sent where nobody captured them are `<unknown>` (http2, http). */
    headers: { [name: string]: string };
    /** cookies of the request by name (http2, http). */
    cookies: { [name: string]: string };
    /** parameters of the query, decoded; a list where a name is repeated (http2, http). */
    queryString: { [name: string]: string };
    /** always -1 (http2, http). */
    headersSize: number;
    /** bytes of the body as sent, without framing (http2, http). */
    bodySize: number;
    /** body of the request; absent without one (http2, http). */
    postData: {
      /** Content-Type of the request (http2, http). */
      mimeType: string;
      /** always empty (http2, http). */
      params: any[];
      /** body of the request, decompressed; of gRPC in base64 (http2, http). */
      text: string;
      /** true when part of the body is left out (http2, http). */
      truncated: boolean;
    };
    /** true when the server promised the request (PUSH_PROMISE); otherwise absent (http2). */
    pushed: boolean;
    /** the call; absent outside gRPC (http2). */
    grpc: {
      /** service with its package, such as shop.Cart (http2). */
      service: string;
      /** method of the service (http2). */
      method: string;
      /** messages with compressed, size as sent, data in base64 and decompressed, message (by the names of their descriptor) or fields (by field numbers, when there is none), and truncated when cut (http2). */
      messages: any[];
    };
    /** text, binary, close, ping or pong; continuation when the message's first frame was not seen (ws, mongodb). */
    opcode: string;
    /** content of the message, inflated; of a close its reason; in base64 unless text or close (ws, kafka). */
    payload: any;
    /** base64 when the payload is in it; absent otherwise (ws). */
    encoding: string;
    /** bytes of the content; where it could not be inflated, as sent (ws, radius, diameter, icmp). */
    length: number;
    /** whether it was masked on the wire (ws). */
    masked: boolean;
    /** client or server (ws). */
    sender: string;
    /** frames that the message came in (ws). */
    frames: number;
    /** whether it was sent compressed (permessage-deflate) (ws). */
    compressed: boolean;
    /** subprotocol that was agreed on; empty without one (ws). */
    subprotocol: string;
    /** status code of a close, 0 without one; absent on other messages (ws). */
    closeCode: number;
    /** reason of a close; absent on other messages (ws). */
    closeReason: string;
    /** true when part of the payload is left out (ws, amqp, kafka, redis, postgresql, mysql, mongodb). */
    truncated: boolean;
    /** `ClientHello` (tls, amqp, redis, ldap, icmp). */
    type: string;
    /** version in the hello's own field, `TLS 1.2` for 1.3 too (tls, ldap, icmp). */
    version: any;
    /** the same as a number (tls). */
    versionCode: number;
    /** versions that the client supports, when it lists them (tls). */
    versions: any[];
    /** host that the client asks for (SNI); empty without one (tls). */
    serverName: string;
    /** the same under its short name (tls). */
    sni: string;
    /** cipher suites offered, by IANA name (tls). */
    cipherSuites: any[];
    /** application protocols offered (tls). */
    alpn: any[];
    /** groups for key exchange (tls). */
    groups: any[];
    /** signature schemes accepted (tls). */
    signatureAlgorithms: any[];
    /** groups of the key shares sent along (tls). */
    keyShares: any[];
    /** names of the extensions, in order (tls). */
    extensions: any[];
    /** client random, hexadecimal; key logs name connections by it (tls). */
    random: string;
    /** hexadecimal (tls). */
    sessionId: string;
    /** whether it brings a ticket of TLS 1.2 (tls). */
    sessionTicket: boolean;
    /** pre-shared keys offered, tickets of TLS 1.3 among them (tls). */
    pskIdentities: number;
    /** whether 0-RTT data follows (tls). */
    earlyData: boolean;
    /** whether the real hello may be encrypted within (ECH); the name is then that of the front (tls). */
    encryptedClientHello: boolean;
    /** certificates of the client, when it sent some (tls). */
    certificates: any[];
    /** JA3 fingerprint (tls). */
    ja3: string;
    /** JA4 fingerprint (tls). */
    ja4: string;
    /** server name, else first protocol offered, else first cipher suite (tls, amqp, kafka, ldap, radius, diameter). */
    summary: string;
    /** version of QUIC: `1`, `2` or `draft-29`; all else as for TLS (quic). */
    quicVersion: string;
    /** exchange that is published to, delivered from, declared or bound (amqp). */
    exchange: string;
    /** routing key of a message or binding (amqp). */
    routingKey: string;
    /** whether a message that no queue takes comes back (amqp). */
    mandatory: boolean;
    /** whether a message that no consumer takes at once comes back (amqp). */
    immediate: boolean;
    /** properties of the message; only those that were sent (amqp). */
    properties: {
      /** MIME type of the body (amqp). */
      contentType: string;
      /** MIME encoding of the body (amqp). */
      contentEncoding: string;
      /** headers of the application (amqp). */
      headers: any;
      /** 1 transient, 2 persistent (amqp). */
      deliveryMode: number;
      /** priority, 0 to 9 (amqp). */
      priority: number;
      /** identifier of the request that this answers (amqp). */
      correlationId: string;
      /** queue for the answer (amqp). */
      replyTo: string;
      /** time to live in milliseconds, as text (amqp). */
      expiration: string;
      /** identifier of the message (amqp). */
      messageId: string;
      /** time of the message, Unix seconds (amqp). */
      timestamp: number;
      /** name of the message's type (amqp). */
      type: string;
      /** user who sent it (amqp). */
      userId: string;
      /** application that sent it (amqp). */
      appId: string;
      /** deprecated (amqp). */
      clusterId: string;
    };
    /** body of the message, base64 (amqp). */
    body: string;
    /** name of the consumer (amqp). */
    consumerTag: string;
    /** number of the delivery on its channel (amqp). */
    deliveryTag: number;
    /** whether it was delivered before (amqp). */
    redelivered: boolean;
    /** whether all deliveries up to the tag are meant (amqp). */
    multiple: boolean;
    /** whether the message goes back to its queue (amqp). */
    requeue: boolean;
    /** name of the queue (amqp). */
    queue: string;
    /** whether it must exist already (amqp). */
    passive: boolean;
    /** whether it outlives the broker (amqp). */
    durable: boolean;
    /** whether only this connection may use it (amqp). */
    exclusive: boolean;
    /** whether it goes with its last user (amqp). */
    autoDelete: boolean;
    /** whether only other exchanges may publish to it (amqp). */
    internal: boolean;
    /** whether no answer is wanted (amqp). */
    noWait: boolean;
    /** whether own messages are left out (amqp). */
    noLocal: boolean;
    /** whether no acknowledgements come (amqp). */
    noAck: boolean;
    /** whether it is deleted only when nobody uses it (amqp). */
    ifUnused: boolean;
    /** whether it is deleted only when it is empty (amqp). */
    ifEmpty: boolean;
    /** further arguments (amqp). */
    arguments: any;
    /** exchange that a binding leads from (amqp). */
    source: string;
    /** exchange that a binding leads to (amqp). */
    destination: string;
    /** bytes that may await acknowledgement (amqp). */
    prefetchSize: number;
    /** messages that may await acknowledgement (amqp). */
    prefetchCount: number;
    /** whether that holds for all consumers of the channel (amqp). */
    global: boolean;
    /** whether the peer may send contents (amqp). */
    active: boolean;
    /** major version of the protocol (amqp). */
    versionMajor: number;
    /** minor version of the protocol (amqp). */
    versionMinor: number;
    /** revision of the protocol, of a protocol header (amqp). */
    versionRevision: number;
    /** 0 AMQP, 2 TLS, 3 SASL, of a protocol header (amqp). */
    protocolId: number;
    /** what the broker tells of itself (amqp). */
    serverProperties: any;
    /** SASL mechanisms, with blanks between (amqp). */
    mechanisms: string;
    /** locales, with blanks between (amqp). */
    locales: string;
    /** challenge of the SASL mechanism (amqp). */
    challenge: string;
    /** channels at most; 0 is no limit (amqp). */
    channelMax: number;
    /** bytes of a frame at most; 0 is no limit (amqp). */
    frameMax: number;
    /** seconds between heartbeats; 0 is none (amqp). */
    heartbeat: number;
    /** virtual host (amqp). */
    virtualHost: string;
    /** the same as `replyCode` (amqp). */
    relyCode: number;
    /** why something was closed or came back, as 404 (amqp). */
    replyCode: number;
    /** the same in words (amqp). */
    replyText: string;
    /** class of the method that failed (amqp). */
    classId: number;
    /** method that failed (amqp). */
    methodId: number;
    /** why a connection is blocked or a secret was changed (amqp). */
    reason: string;
    /** length of the new secret (amqp). */
    newSecret: string;
    /** channel of an AMQP 1.0 frame (amqp). */
    channel: number;
    /** `AMQP` or `SASL`, of an AMQP 1.0 frame (amqp). */
    frameType: string;
    /** bytes of an AMQP 1.0 frame (amqp, kafka). */
    size: number;
    /** name of the API, as `Produce` (kafka). */
    apiKeyName: string;
    /** number of the API (kafka). */
    apiKey: number;
    /** version of the API (kafka). */
    apiVersion: number;
    /** number that the response repeats (kafka). */
    correlationID: number;
    /** who says to be asking (kafka). */
    clientID: string;
    /** time of the request, RFC 3339 (kafka). */
    captureTime: string;
    /** the verb, upper case (redis, postgresql, mysql, mongodb). */
    command: string;
    /** first key, or the channel (redis). */
    key: string;
    /** the other words, as `[a, b]` (redis). */
    value: string;
    /** second word of commands such as `CONFIG SET`, upper case (redis). */
    keyword: string;
    /** the whole command, its first 1024 bytes (redis). */
    commandLine: string;
    /** SQL text; of an Execute that of its Parse (postgresql, mysql, mongodb). */
    query: any;
    /** name of the prepared statement (postgresql). */
    statement: string;
    /** name of the portal (postgresql). */
    portal: string;
    /** parameter values; binary ones as base64 (postgresql, mysql). */
    parameters: any[];
    /** most rows that an Execute asks for (postgresql). */
    maxRows: number;
    /** user of the connection (postgresql, mysql). */
    user: string;
    /** database of the connection (postgresql, mysql, mongodb). */
    database: string;
    /** version that a StartupMessage asks for (postgresql). */
    protocolVersion: string;
    /** parameters of a StartupMessage (postgresql). */
    startupParameters: { [name: string]: string };
    /** whether the client sent a password or proof (postgresql). */
    passwordSent: boolean;
    /** SASL mechanism that the client chose (postgresql, ldap). */
    mechanism: string;
    /** server process that a CancelRequest is about (postgresql). */
    processId: number;
    /** function that a FunctionCall runs (postgresql). */
    functionOid: number;
    /** number of the prepared statement (mysql). */
    statementId: number;
    /** number of the client's collation (mysql). */
    characterSet: number;
    /** capability flags of the client (mysql). */
    capabilities: any[];
    /** authentication plugin of the client (mysql). */
    authPlugin: string;
    /** whether the client sent a proof of its password (mysql). */
    authSent: boolean;
    /** connection attributes (mysql, ldap, radius). */
    attributes: any;
    /** collection (mongodb). */
    collection: string;
    /** the first documents that are written (mongodb). */
    documents: any[];
    /** documents that are written (mongodb). */
    documentCount: number;
    /** flags of OP_MSG (mongodb, diameter). */
    flags: any[];
    /** how the message was compressed (mongodb). */
    compressor: string;
    /** operation, as `search`; the same on both sides (ldap). */
    operation: string;
    /** identifier of the operation on its connection (ldap). */
    messageId: number;
    /** who binds (ldap). */
    name: string;
    /** `simple` or `sasl` (ldap). */
    authentication: string;
    /** octets of the password of a simple bind; the password itself is not kept (ldap). */
    passwordLength: number;
    /** octets of SASL credentials; they are not kept (ldap). */
    credentialsLength: number;
    /** where a search begins (ldap). */
    baseObject: string;
    /** `baseObject`, `singleLevel`, `wholeSubtree` (ldap). */
    scope: string;
    /** when aliases are followed (ldap). */
    derefAliases: string;
    /** entries wanted at most; 0 is no limit (ldap). */
    sizeLimit: number;
    /** seconds that a search may take; 0 is no limit (ldap). */
    timeLimit: number;
    /** whether only names of attributes are wanted (ldap). */
    typesOnly: boolean;
    /** filter of a search, in the form of RFC 4515 (ldap). */
    filter: string;
    /** entry that is modified (ldap). */
    object: string;
    /** modifications: operation, type, vals (ldap). */
    changes: any[];
    /** entry that is added, deleted, renamed or compared (ldap). */
    entry: string;
    /** new relative name (ldap). */
    newrdn: string;
    /** whether the old relative name goes (ldap). */
    deleteoldrdn: boolean;
    /** new parent (ldap). */
    newSuperior: string;
    /** attribute that is compared (ldap). */
    attributeDesc: string;
    /** value that it is compared with (ldap). */
    assertionValue: string;
    /** operation that is given up (ldap). */
    abandonedId: number;
    /** object identifier of an extended operation (ldap). */
    requestName: string;
    /** its value, base64 (ldap). */
    requestValue: string;
    /** name of the extended operation, as `StartTLS` (ldap). */
    extension: string;
    /** controls: controlType, name, criticality, controlValue (ldap). */
    controls: any[];
    /** kind of query, as `Query` (dns). */
    opCode: string;
    /** what was asked: name, type, class (dns). */
    questions: {
      /** name that was asked for (dns). */
      name: string;
      /** type that was asked for, as `AAAA` (dns). */
      type: string;
      /** class that was asked for, as `IN` (dns). */
      class: string;
    }[];
    /** code of the request, as 1 (radius, icmp). */
    code: number;
    /** the same in words, as `Access-Request` (radius, icmp). */
    codeName: string;
    /** identifier, the same in the response (radius, icmp). */
    id: number;
    /** request authenticator, hexadecimal (radius). */
    authenticator: string;
    /** times that the request was sent again; absent for none (radius). */
    retransmissions: number;
    /** code of the command (diameter). */
    commandCode: number;
    /** application that the command belongs to (diameter). */
    applicationId: number;
    /** its name, as `Credit Control` (diameter). */
    application: string;
    /** identifier that pairs request and answer (diameter). */
    hopByHopId: number;
    /** identifier that tells repeated requests (diameter). */
    endToEndId: number;
    /** attributes in their order (diameter). */
    avps: {
      /** code of the attribute (diameter). */
      code: number;
      /** name of the attribute (diameter). */
      name: string;
      /** vendor of the attribute (diameter). */
      vendorId: number;
      /** value, by the attribute's type (diameter). */
      value: string;
    }[];
    /** sequence number of an echo (icmp). */
    seq: number;
    /** largest packet of the next hop, in bytes (icmp). */
    mtu: number;
    /** better router, told by a redirect (icmp). */
    gateway: string;
    /** offset of what was wrong in the quoted packet (icmp). */
    pointer: number;
    /** address asked for, answered for or redirected (icmp). */
    target: string;
    /** multicast group of a listener message (icmp). */
    group: string;
    /** the packet that caused an error (icmp). */
    quoted: {
      src: {
        /** its sender's address (icmp). */
        ip: string;
        /** its sender's port (icmp). */
        port: string;
      };
      dst: {
        /** its receiver's address (icmp). */
        ip: string;
        /** its receiver's port (icmp). */
        port: string;
      };
      /** its transport, as `udp` (icmp). */
      protocol: string;
    };
    /** options of neighbour discovery (icmp). */
    options: any[];
  } | null;
  /** the response; null when unseen. */
  response: {
    /** status code; 0 when no response was seen (http2, http, postgresql, mysql, mongodb). */
    status: any;
    /** reason phrase; HTTP/2 has none (http2, http). */
    statusText: string;
    /** `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0` (http2, http). */
    httpVersion: string;
    /** header fields in lower case, pseudo-header fields and trailers among them; names and values that were sent where nobody captured them are `<unknown>` (http2, http). */
    headers: { [name: string]: string };
    /** cookies that the response sets, by name (http2, http). */
    cookies: { [name: string]: string };
    /** body of the response (http2, http). */
    content: {
      /** bytes of the body, decompressed (http2, http). */
      size: number;
      /** Content-Type of the response (http2, http). */
      mimeType: string;
      /** always base64 (http2, http). */
      encoding: string;
      /** body of the response, decompressed, in base64; absent when empty (http2, http). */
      text: string;
      /** true when part of the body is left out (http2, http). */
      truncated: boolean;
    };
    /** Location of the response (http2, http). */
    redirectURL: string;
    /** always -1 (http2, http). */
    headersSize: number;
    /** bytes of the body as sent, without framing (http2, http). */
    bodySize: number;
    /** how the call ended; absent outside gRPC (http2). */
    grpc: {
      /** status code of the call; absent when none was seen (http2). */
      status: number;
      /** its name, such as NOT_FOUND; empty when it has none (http2). */
      statusName: string;
      /** what went wrong, decoded (http2). */
      message: string;
      /** messages with compressed, size as sent, data in base64 and decompressed, message (by the names of their descriptor) or fields (by field numbers, when there is none), and truncated when cut (http2). */
      messages: any[];
    };
    /** `ServerHello` or `Alert` (tls, redis, ldap, icmp). */
    type: string;
    /** version chosen, as `TLS 1.3` (tls). */
    version: string;
    /** the same as a number (tls). */
    versionCode: number;
    /** cipher suite chosen, by IANA name (tls). */
    cipherSuite: string;
    /** the same as a number (tls). */
    cipherSuiteCode: number;
    /** application protocol chosen; in TLS 1.3 known only when decrypted (tls). */
    alpn: string;
    /** group of the key share (TLS 1.3) (tls). */
    group: string;
    /** names of the extensions, in order (tls). */
    extensions: any[];
    /** server random, hexadecimal (tls). */
    random: string;
    /** hexadecimal (tls). */
    sessionId: string;
    /** whether the session goes on from an earlier one (tls). */
    resumed: boolean;
    /** whether the server asked for another hello first (tls). */
    helloRetryRequest: boolean;
    /** whether 0-RTT data was accepted; known only when decrypted (tls). */
    earlyData: boolean;
    /** certificates of the server, its own first; in TLS 1.3 only when decrypted (tls). */
    certificates: {
      /** distinguished name (tls). */
      subject: string;
      /** distinguished name of who signed it (tls). */
      issuer: string;
      /** serial number, hexadecimal (tls). */
      serial: string;
      /** valid from, RFC 3339 (tls). */
      notBefore: string;
      /** valid until, RFC 3339 (tls). */
      notAfter: string;
      /** subject alternative names (tls). */
      names: any[];
      /** whether it may sign others (tls). */
      isCA: boolean;
      /** fingerprint, hexadecimal (tls). */
      sha256: string;
    }[];
    /** JA3S fingerprint (tls). */
    ja3s: string;
    /** version, cipher suite and protocol chosen, in one line (tls, mysql). */
    info: string;
    /** protocol chosen, else cipher suite (tls, radius). */
    summary: string;
    /** the answer, as `queue declare-ok`; `empty` when none is due (amqp, diameter). */
    method: string;
    /** name of the queue (amqp). */
    queue: string;
    /** messages in the queue (amqp). */
    messageCount: number;
    /** consumers of the queue (amqp). */
    consumerCount: number;
    /** name of the consumer (amqp). */
    consumerTag: string;
    /** number of the delivery on its channel (amqp). */
    deliveryTag: number;
    /** whether it was delivered before (amqp). */
    redelivered: boolean;
    /** exchange that a fetched message was published to (amqp). */
    exchange: string;
    /** routing key of a fetched message (amqp). */
    routingKey: string;
    /** properties of a fetched message, as in `request` (amqp). */
    properties: any;
    /** body of a fetched message, base64 (amqp). */
    body: string;
    /** true when the body is longer than what is shown (amqp, kafka, redis, postgresql, mysql, mongodb, ldap). */
    truncated: boolean;
    /** what the client tells of itself (amqp). */
    clientProperties: any;
    /** chosen SASL mechanism (amqp). */
    mechanism: string;
    /** answer of the SASL mechanism with the secret's length in its place (amqp). */
    response: string;
    /** chosen locale (amqp). */
    locale: string;
    /** channels at most; 0 is no limit (amqp). */
    channelMax: number;
    /** bytes of a frame at most; 0 is no limit (amqp). */
    frameMax: number;
    /** seconds between heartbeats; 0 is none (amqp). */
    heartbeat: number;
    /** whether the peer may send contents (amqp). */
    active: boolean;
    /** bytes of the response behind its size (kafka). */
    size: number;
    /** number of the request (kafka). */
    correlationID: number;
    /** fields of the response; null when its API is not read whole (kafka). */
    payload: {
      /** how it went; 0 is well (kafka). */
      errorCode: number;
      /** milliseconds of a quota (kafka). */
      throttleTimeMs: number;
      /** topics of Produce and Fetch with partitionResponses (kafka). */
      responses: any[];
      /** brokers, of Metadata (kafka). */
      brokers: any[];
      /** topics with their errors (kafka). */
      topics: any[];
      /** cluster, of Metadata (kafka). */
      clusterID: string;
      /** controller, of Metadata (kafka). */
      controllerID: number;
      /** versions, of ApiVersions (kafka). */
      apiKeys: any[];
      /** 0 when ApiVersions is answered in its oldest version instead of the one asked for (kafka). */
      apiVersion: number;
    } | null;
    /** time of the response, RFC 3339 (kafka). */
    captureTime: string;
    /** always empty (redis). */
    command: string;
    /** channel of a pushed message (redis). */
    key: string;
    /** the reply as text (redis). */
    value: string;
    /** kind of a pushed message, as `MESSAGE`, or code of an error (redis). */
    keyword: string;
    /** whether there was no error (postgresql, mysql, mongodb). */
    success: boolean;
    /** SQLSTATE of the error (postgresql, mysql, mongodb). */
    errorCode: any;
    /** text of the error (postgresql, mysql, mongodb). */
    errorMessage: string;
    /** all fields of the error (postgresql). */
    error: { [name: string]: string };
    /** command tag, as `INSERT 0 5` (postgresql). */
    commandTag: string;
    /** rows that the command tag names (postgresql, mysql). */
    affectedRows: number;
    /** names of the columns (postgresql, mysql). */
    columns: any[];
    /** rows that were sent (postgresql, mysql, mongodb). */
    rowCount: number;
    /** the first rows, each a list of values (postgresql, mysql, mongodb). */
    rows: any[];
    /** whether the portal has more rows (postgresql). */
    suspended: boolean;
    /** what COPY moved (postgresql). */
    copy: {
      /** `in`, `out` or `both` (postgresql). */
      direction: string;
      /** `text` or `binary` (postgresql). */
      format: string;
      /** columns of a row (postgresql). */
      columns: number;
      /** bytes of data (postgresql). */
      bytes: number;
      /** CopyData messages (postgresql). */
      messages: number;
      /** why the client broke it off (postgresql). */
      failed: string;
    };
    /** one entry a statement of a Query with several (postgresql, mysql, ldap). */
    results: any[];
    /** whether results are left out of `results` (postgresql, mysql). */
    moreResults: boolean;
    /** notices and warnings (postgresql). */
    notices: any[];
    /** channel, payload and process of a NOTIFY (postgresql). */
    notification: { [name: string]: string };
    /** run-time parameters that the server reports (postgresql). */
    parameterStatus: { [name: string]: string };
    /** names of the authentication messages (postgresql). */
    authentication: any[];
    /** SASL mechanisms that the server offers (postgresql). */
    mechanisms: any[];
    /** server process of the connection (postgresql). */
    processId: number;
    /** whether the server agreed to encrypt (postgresql). */
    encryption: boolean;
    /** `idle`, `in transaction` or `failed` (postgresql). */
    transactionStatus: string;
    /** SQLSTATE of the error (mysql). */
    sqlState: string;
    /** value that AUTO_INCREMENT gave (mysql). */
    lastInsertId: number;
    /** count of warnings (mysql). */
    warnings: number;
    /** text of COM_STATISTICS (mysql). */
    text: string;
    /** status flags of the server (mysql). */
    serverStatus: any[];
    /** file that the server asked for (mysql). */
    localInfile: string;
    /** bytes of that file (mysql). */
    localInfileBytes: number;
    /** events of the binary log (mysql). */
    events: number;
    /** bytes of those events (mysql). */
    eventBytes: number;
    /** version of the server (mysql). */
    serverVersion: string;
    /** thread of the connection (mysql). */
    threadId: number;
    /** capability flags of the server (mysql). */
    serverCapabilities: any[];
    /** authentication plugin of the server (mysql). */
    serverAuthPlugin: string;
    /** plugins that the server went over to (mysql). */
    authSwitch: any[];
    /** number that a prepared statement got (mysql). */
    statementId: number;
    /** columns of a prepared statement (mysql). */
    columnCount: number;
    /** parameters of a prepared statement (mysql). */
    parameterCount: number;
    /** name of the error (mongodb). */
    errorCodeName: string;
    /** cursor that has more; 0 when none has (mongodb). */
    cursorId: number;
    /** the reply without its cursor (mongodb). */
    reply: { [name: string]: string };
    /** flags of OP_MSG (mongodb). */
    flags: any[];
    /** name of the operation (mongodb). */
    opcode: string;
    /** how the message was compressed (mongodb). */
    compressor: string;
    /** operation, as `search` (ldap). */
    operation: string;
    /** identifier of the operation; 0 when nobody asked (ldap). */
    messageId: number;
    /** how it went; 0 is success (ldap, diameter). */
    resultCode: number;
    /** the same in a word, as `noSuchObject` (ldap). */
    resultName: string;
    /** nearest entry that exists (ldap). */
    matchedDN: string;
    /** message for people (ldap). */
    diagnosticMessage: string;
    /** servers to ask instead (ldap). */
    referral: any[];
    /** octets of the SASL challenge (ldap). */
    serverSaslCredsLength: number;
    /** object identifier of an extended response (ldap). */
    responseName: string;
    /** its value, base64 (ldap). */
    responseValue: string;
    /** name of the extended response (ldap). */
    extension: string;
    /** controls, as in `request` (ldap). */
    controls: any[];
    /** count of intermediate responses (ldap). */
    intermediates: number;
    /** count of entries that a search found (ldap). */
    entries: number;
    /** count of references that a search found (ldap). */
    references: number;
    /** how it went, as `No Error` (dns, radius). */
    code: any;
    /** records that answer the question (dns). */
    answers: {
      /** name of the record (dns). */
      name: string;
      /** type of the record (dns). */
      type: string;
      /** class of the record (dns). */
      class: string;
      /** seconds that the record may be kept (dns). */
      ttl: number;
      /** address of an A or AAAA record (dns). */
      ip: string;
      /** server named by an NS record (dns). */
      ns: string;
      /** name that a CNAME or DNAME record points to (dns). */
      cname: string;
      /** name that a PTR record points to (dns). */
      ptr: string;
      /** texts of a TXT record, joined by a comma (dns). */
      txts: string;
      /** an SOA record's seven values (dns). */
      soa: string;
      /** priority, weight, port and target of an SRV record (dns). */
      srv: string;
      /** preference and host of an MX record (dns). */
      mx: string;
      /** EDNS parameters and options (dns). */
      opt: string;
      /** priority, weight and target of a URI record (dns). */
      uri: string;
      /** a record of any other type, as in a zone file (dns). */
      data: string;
    }[];
    /** records of the servers in charge (dns). */
    authorities: any[];
    /** records that may help (dns). */
    additionals: any[];
    /** the same in words, as `Access-Accept` (radius). */
    codeName: string;
    /** identifier of the request (radius, icmp). */
    id: number;
    /** response authenticator, hexadecimal (radius). */
    authenticator: string;
    /** bytes of the packet, as it says itself (radius). */
    length: number;
    /** attributes in wire order, as in `request` (radius). */
    attributes: any[];
    /** name of the result, as `DIAMETER_SUCCESS` (diameter). */
    result: string;
    /** attributes in their order (diameter). */
    avps: any[];
    /** sequence number of the reply (icmp). */
    seq: number;
  } | null;
  data: {
    /** `Alert` (tls, ldap). */
    type: string;
    /** `warning` or `fatal` (tls). */
    level: string;
    /** name of the alert, as `handshake_failure` (tls). */
    description: string;
    /** number of the alert (tls). */
    code: number;
    /** `protected` (ldap). */
    operation: string;
    /** SASL mechanism that protects it (ldap). */
    mechanism: string;
    /** the same in a line (ldap). */
    summary: string;
    /** checksum of the packet as captured (sctp, udp-flow). */
    checksum: number;
    /** type of the chunk (sctp). */
    chunkType: string;
    /** bytes of the chunk (sctp, tcp-flow, udp-flow). */
    length: number;
    /** flags of the chunk (sctp). */
    flags: number;
    /** tag that the receiver chose for the association (sctp). */
    verificationTag: number;
    /** transmission sequence number of the message's first piece (sctp). */
    tsn: number;
    /** stream of the message within the association (sctp). */
    streamId: number;
    /** number of the message within its stream (sctp). */
    streamSeq: number;
    /** payload protocol identifier (sctp). */
    payloadProtocol: number;
    /** what it stands for, as `M3UA` (sctp). */
    payloadProtocolName: string;
    /** the message, base64 (sctp, tcp-flow, udp-flow). */
    payload: string;
    /** why an association was aborted (sctp). */
    causes: any[];
    /** the server's first bytes (tcp-flow, udp-flow). */
    serverPayload: string;
    /** TCP flags that were seen, as `SYN,PSH,ACK` (tcp-flow). */
    method: string;
    /** packets from the client (tcp-flow, udp-flow). */
    clientPackets: number;
    /** payload bytes from the client, those sent again too (tcp-flow, udp-flow). */
    clientBytes: number;
    /** packets from the server (tcp-flow, udp-flow). */
    serverPackets: number;
    /** payload bytes from the server, those sent again too (tcp-flow, udp-flow). */
    serverBytes: number;
    /** milliseconds from the first packet to the last (tcp-flow, udp-flow). */
    duration: number;
    /** how it ended: fin, rst, idle, reused, evicted or source-end (tcp-flow, udp-flow). */
    end: string;
  };
}

/** Hypertext Transfer Protocol -- HTTP/2. */
interface Http2Item extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** request method, such as GET. */
    method: string;
    /** request target as sent, query included. */
    url: string;
    /** the same as request.url. */
    targetUri: string;
    /** path of the request target, without query. */
    path: string;
    /** parts of the path between slashes. */
    pathSegments: any[];
    /** HTTP/2.0, or HTTP/1.1 of a request that was upgraded. */
    httpVersion: string;
    /** header fields in lower case, pseudo-header fields and trailers among them; names and values that were sent where nobody captured them are `<unknown>`. */
    headers: { [name: string]: string };
    /** cookies of the request by name. */
    cookies: { [name: string]: string };
    /** parameters of the query, decoded; a list where a name is repeated. */
    queryString: { [name: string]: string };
    /** always -1. */
    headersSize: number;
    /** bytes of the body as sent, without framing. */
    bodySize: number;
    /** body of the request; absent without one. */
    postData: {
      /** Content-Type of the request. */
      mimeType: string;
      /** always empty. */
      params: any[];
      /** body of the request, decompressed; of gRPC in base64. */
      text: string;
      /** true when part of the body is left out. */
      truncated: boolean;
    };
    /** true when the server promised the request (PUSH_PROMISE); otherwise absent. */
    pushed: boolean;
    /** the call; absent outside gRPC. */
    grpc: {
      /** service with its package, such as shop.Cart. */
      service: string;
      /** method of the service. */
      method: string;
      /** messages with compressed, size as sent, data in base64 and decompressed, message (by the names of their descriptor) or fields (by field numbers, when there is none), and truncated when cut. */
      messages: any[];
    };
  } | null;
  /** the response; null when unseen. */
  response: {
    /** status code; 0 when no response was seen. */
    status: number;
    /** reason phrase; HTTP/2 has none. */
    statusText: string;
    /** `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`. */
    httpVersion: string;
    /** header fields in lower case, pseudo-header fields and trailers among them; names and values that were sent where nobody captured them are `<unknown>`. */
    headers: { [name: string]: string };
    /** cookies that the response sets, by name. */
    cookies: { [name: string]: string };
    /** body of the response. */
    content: {
      /** bytes of the body, decompressed. */
      size: number;
      /** Content-Type of the response. */
      mimeType: string;
      /** always base64. */
      encoding: string;
      /** body of the response, decompressed, in base64; absent when empty. */
      text: string;
      /** true when part of the body is left out. */
      truncated: boolean;
    };
    /** Location of the response. */
    redirectURL: string;
    /** always -1. */
    headersSize: number;
    /** bytes of the body as sent, without framing. */
    bodySize: number;
    /** how the call ended; absent outside gRPC. */
    grpc: {
      /** status code of the call; absent when none was seen. */
      status: number;
      /** its name, such as NOT_FOUND; empty when it has none. */
      statusName: string;
      /** what went wrong, decoded. */
      message: string;
      /** messages with compressed, size as sent, data in base64 and decompressed, message (by the names of their descriptor) or fields (by field numbers, when there is none), and truncated when cut. */
      messages: any[];
    };
  } | null;
}

/** Hypertext Transfer Protocol -- HTTP/1.1. */
interface HttpItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** request method, such as GET. */
    method: string;
    /** request target as sent, query included. */
    url: string;
    /** the same as request.url. */
    targetUri: string;
    /** path of the request target, without query. */
    path: string;
    /** parts of the path between slashes. */
    pathSegments: any[];
    /** version of the request, such as HTTP/1.1. */
    httpVersion: string;
    /** header and trailer fields by canonical name, repeated ones joined with a comma. */
    headers: { [name: string]: string };
    /** cookies of the request by name. */
    cookies: { [name: string]: string };
    /** parameters of the query, decoded; a list where a name is repeated. */
    queryString: { [name: string]: string };
    /** always -1. */
    headersSize: number;
    /** bytes of the body as sent, without chunk framing. */
    bodySize: number;
    /** body of the request; absent without one. */
    postData: {
      /** Content-Type of the request. */
      mimeType: string;
      /** always empty. */
      params: any[];
      /** body of the request, decompressed. */
      text: string;
      /** true when part of the body is left out. */
      truncated: boolean;
    };
  } | null;
  /** the response; null when unseen. */
  response: {
    /** status code; 0 when no response was seen. */
    status: number;
    /** reason phrase of the response. */
    statusText: string;
    /** version of the response, such as HTTP/1.1. */
    httpVersion: string;
    /** header and trailer fields by canonical name, repeated ones joined with a comma. */
    headers: { [name: string]: string };
    /** cookies that the response sets, by name. */
    cookies: { [name: string]: string };
    /** body of the response. */
    content: {
      /** bytes of the body, decompressed. */
      size: number;
      /** Content-Type of the response. */
      mimeType: string;
      /** always base64. */
      encoding: string;
      /** body of the response, decompressed, in base64; absent when empty. */
      text: string;
      /** true when part of the body is left out. */
      truncated: boolean;
    };
    /** Location of the response. */
    redirectURL: string;
    /** always -1. */
    headersSize: number;
    /** bytes of the body as sent, without chunk framing. */
    bodySize: number;
  } | null;
}

/** The WebSocket Protocol. */
interface WsItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** text, binary, close, ping or pong; continuation when the message's first frame was not seen. */
    opcode: string;
    /** content of the message, inflated; of a close its reason; in base64 unless text or close. */
    payload: string;
    /** base64 when the payload is in it; absent otherwise. */
    encoding: string;
    /** bytes of the content; where it could not be inflated, as sent. */
    length: number;
    /** whether it was masked on the wire. */
    masked: boolean;
    /** client or server. */
    sender: string;
    /** frames that the message came in. */
    frames: number;
    /** whether it was sent compressed (permessage-deflate). */
    compressed: boolean;
    /** request target of the handshake; empty when unseen. */
    url: string;
    /** path of the request target, without query. */
    path: string;
    /** subprotocol that was agreed on; empty without one. */
    subprotocol: string;
    /** status code of a close, 0 without one; absent on other messages. */
    closeCode: number;
    /** reason of a close; absent on other messages. */
    closeReason: string;
    /** true when part of the payload is left out. */
    truncated: boolean;
  } | null;
  /** the response; null when unseen. */
  response: any;
}

/** Transport Layer Security. */
interface TlsItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** `ClientHello`. */
    type: string;
    /** version in the hello's own field, `TLS 1.2` for 1.3 too. */
    version: string;
    /** the same as a number. */
    versionCode: number;
    /** versions that the client supports, when it lists them. */
    versions: any[];
    /** host that the client asks for (SNI); empty without one. */
    serverName: string;
    /** the same under its short name. */
    sni: string;
    /** cipher suites offered, by IANA name. */
    cipherSuites: any[];
    /** application protocols offered. */
    alpn: any[];
    /** groups for key exchange. */
    groups: any[];
    /** signature schemes accepted. */
    signatureAlgorithms: any[];
    /** groups of the key shares sent along. */
    keyShares: any[];
    /** names of the extensions, in order. */
    extensions: any[];
    /** client random, hexadecimal; key logs name connections by it. */
    random: string;
    /** hexadecimal. */
    sessionId: string;
    /** whether it brings a ticket of TLS 1.2. */
    sessionTicket: boolean;
    /** pre-shared keys offered, tickets of TLS 1.3 among them. */
    pskIdentities: number;
    /** whether 0-RTT data follows. */
    earlyData: boolean;
    /** whether the real hello may be encrypted within (ECH); the name is then that of the front. */
    encryptedClientHello: boolean;
    /** certificates of the client, when it sent some. */
    certificates: any[];
    /** JA3 fingerprint. */
    ja3: string;
    /** JA4 fingerprint. */
    ja4: string;
    /** server name, else first protocol offered, else first cipher suite. */
    summary: string;
  } | null;
  /** the response; null when unseen. */
  response: {
    /** `ServerHello` or `Alert`. */
    type: string;
    /** version chosen, as `TLS 1.3`. */
    version: string;
    /** the same as a number. */
    versionCode: number;
    /** cipher suite chosen, by IANA name. */
    cipherSuite: string;
    /** the same as a number. */
    cipherSuiteCode: number;
    /** application protocol chosen; in TLS 1.3 known only when decrypted. */
    alpn: string;
    /** group of the key share (TLS 1.3). */
    group: string;
    /** names of the extensions, in order. */
    extensions: any[];
    /** server random, hexadecimal. */
    random: string;
    /** hexadecimal. */
    sessionId: string;
    /** whether the session goes on from an earlier one. */
    resumed: boolean;
    /** whether the server asked for another hello first. */
    helloRetryRequest: boolean;
    /** whether 0-RTT data was accepted; known only when decrypted. */
    earlyData: boolean;
    /** certificates of the server, its own first; in TLS 1.3 only when decrypted. */
    certificates: {
      /** distinguished name. */
      subject: string;
      /** distinguished name of who signed it. */
      issuer: string;
      /** serial number, hexadecimal. */
      serial: string;
      /** valid from, RFC 3339. */
      notBefore: string;
      /** valid until, RFC 3339. */
      notAfter: string;
      /** subject alternative names. */
      names: any[];
      /** whether it may sign others. */
      isCA: boolean;
      /** fingerprint, hexadecimal. */
      sha256: string;
    }[];
    /** JA3S fingerprint. */
    ja3s: string;
    /** version, cipher suite and protocol chosen, in one line. */
    info: string;
    /** protocol chosen, else cipher suite. */
    summary: string;
  } | null;
  data: {
    /** `Alert`. */
    type: string;
    /** `warning` or `fatal`. */
    level: string;
    /** name of the alert, as `handshake_failure`. */
    description: string;
    /** number of the alert. */
    code: number;
  };
}

/** QUIC: A UDP-Based Multiplexed and Secure Transport. */
interface QuicItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** version of QUIC: `1`, `2` or `draft-29`; all else as for TLS. */
    quicVersion: string;
  } | null;
  /** the response; null when unseen. */
  response: any;
}

/** Advanced Message Queuing Protocol 0-9-1. */
interface AmqpItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** class and method, as `basic publish`; a performative in AMQP 1.0. */
    method: string;
    /** what the method is about: queue, exchange, routing key, reason. */
    summary: string;
    /** exchange that is published to, delivered from, declared or bound. */
    exchange: string;
    /** routing key of a message or binding. */
    routingKey: string;
    /** whether a message that no queue takes comes back. */
    mandatory: boolean;
    /** whether a message that no consumer takes at once comes back. */
    immediate: boolean;
    /** properties of the message; only those that were sent. */
    properties: {
      /** MIME type of the body. */
      contentType: string;
      /** MIME encoding of the body. */
      contentEncoding: string;
      /** headers of the application. */
      headers: any;
      /** 1 transient, 2 persistent. */
      deliveryMode: number;
      /** priority, 0 to 9. */
      priority: number;
      /** identifier of the request that this answers. */
      correlationId: string;
      /** queue for the answer. */
      replyTo: string;
      /** time to live in milliseconds, as text. */
      expiration: string;
      /** identifier of the message. */
      messageId: string;
      /** time of the message, Unix seconds. */
      timestamp: number;
      /** name of the message's type. */
      type: string;
      /** user who sent it. */
      userId: string;
      /** application that sent it. */
      appId: string;
      /** deprecated. */
      clusterId: string;
    };
    /** body of the message, base64. */
    body: string;
    /** true when the body is longer than what is shown. */
    truncated: boolean;
    /** name of the consumer. */
    consumerTag: string;
    /** number of the delivery on its channel. */
    deliveryTag: number;
    /** whether it was delivered before. */
    redelivered: boolean;
    /** whether all deliveries up to the tag are meant. */
    multiple: boolean;
    /** whether the message goes back to its queue. */
    requeue: boolean;
    /** name of the queue. */
    queue: string;
    /** whether it must exist already. */
    passive: boolean;
    /** whether it outlives the broker. */
    durable: boolean;
    /** whether only this connection may use it. */
    exclusive: boolean;
    /** whether it goes with its last user. */
    autoDelete: boolean;
    /** whether only other exchanges may publish to it. */
    internal: boolean;
    /** whether no answer is wanted. */
    noWait: boolean;
    /** whether own messages are left out. */
    noLocal: boolean;
    /** whether no acknowledgements come. */
    noAck: boolean;
    /** whether it is deleted only when nobody uses it. */
    ifUnused: boolean;
    /** whether it is deleted only when it is empty. */
    ifEmpty: boolean;
    /** further arguments. */
    arguments: any;
    /** type of the exchange, as `topic`. */
    type: string;
    /** exchange that a binding leads from. */
    source: string;
    /** exchange that a binding leads to. */
    destination: string;
    /** bytes that may await acknowledgement. */
    prefetchSize: number;
    /** messages that may await acknowledgement. */
    prefetchCount: number;
    /** whether that holds for all consumers of the channel. */
    global: boolean;
    /** whether the peer may send contents. */
    active: boolean;
    /** major version of the protocol. */
    versionMajor: number;
    /** minor version of the protocol. */
    versionMinor: number;
    /** revision of the protocol, of a protocol header. */
    versionRevision: number;
    /** 0 AMQP, 2 TLS, 3 SASL, of a protocol header. */
    protocolId: number;
    /** what the broker tells of itself. */
    serverProperties: any;
    /** SASL mechanisms, with blanks between. */
    mechanisms: string;
    /** locales, with blanks between. */
    locales: string;
    /** challenge of the SASL mechanism. */
    challenge: string;
    /** channels at most; 0 is no limit. */
    channelMax: number;
    /** bytes of a frame at most; 0 is no limit. */
    frameMax: number;
    /** seconds between heartbeats; 0 is none. */
    heartbeat: number;
    /** virtual host. */
    virtualHost: string;
    /** the same as `replyCode`. */
    relyCode: number;
    /** why something was closed or came back, as 404. */
    replyCode: number;
    /** the same in words. */
    replyText: string;
    /** class of the method that failed. */
    classId: number;
    /** method that failed. */
    methodId: number;
    /** why a connection is blocked or a secret was changed. */
    reason: string;
    /** length of the new secret. */
    newSecret: string;
    /** channel of an AMQP 1.0 frame. */
    channel: number;
    /** `AMQP` or `SASL`, of an AMQP 1.0 frame. */
    frameType: string;
    /** bytes of an AMQP 1.0 frame. */
    size: number;
  } | null;
  /** the response; null when unseen. */
  response: {
    /** the answer, as `queue declare-ok`; `empty` when none is due. */
    method: string;
    /** name of the queue. */
    queue: string;
    /** messages in the queue. */
    messageCount: number;
    /** consumers of the queue. */
    consumerCount: number;
    /** name of the consumer. */
    consumerTag: string;
    /** number of the delivery on its channel. */
    deliveryTag: number;
    /** whether it was delivered before. */
    redelivered: boolean;
    /** exchange that a fetched message was published to. */
    exchange: string;
    /** routing key of a fetched message. */
    routingKey: string;
    /** properties of a fetched message, as in `request`. */
    properties: any;
    /** body of a fetched message, base64. */
    body: string;
    /** true when the body is longer than what is shown. */
    truncated: boolean;
    /** what the client tells of itself. */
    clientProperties: any;
    /** chosen SASL mechanism. */
    mechanism: string;
    /** answer of the SASL mechanism with the secret's length in its place. */
    response: string;
    /** chosen locale. */
    locale: string;
    /** channels at most; 0 is no limit. */
    channelMax: number;
    /** bytes of a frame at most; 0 is no limit. */
    frameMax: number;
    /** seconds between heartbeats; 0 is none. */
    heartbeat: number;
    /** whether the peer may send contents. */
    active: boolean;
  } | null;
}

/** Apache Kafka Protocol. */
interface KafkaItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** bytes of the request behind its size. */
    size: number;
    /** name of the API, as `Produce`. */
    apiKeyName: string;
    /** number of the API. */
    apiKey: number;
    /** version of the API. */
    apiVersion: number;
    /** number that the response repeats. */
    correlationID: number;
    /** who says to be asking. */
    clientID: string;
    /** fields of the request; null when its API is not read whole. */
    payload: {
      /** transaction of a Produce. */
      transactionalID: string;
      /** acknowledgements that a Produce waits for: 0, 1, or -1 for all. */
      requiredAcks: number;
      /** milliseconds that a Produce waits. */
      timeout: number;
      /** what is produced: topic, and partitions with length and partitionData. */
      topicData: any[];
      /** topics that are asked for. */
      topics: any[];
      /** consumer group. */
      groupId: string;
      /** client library, of ApiVersions. */
      clientSoftwareName: string;
      /** its version. */
      clientSoftwareVersion: string;
    } | null;
    /** time of the request, RFC 3339. */
    captureTime: string;
    /** topics, else the group or what else is named. */
    summary: string;
    /** true when the request was cut. */
    truncated: boolean;
  } | null;
  /** the response; null when unseen. */
  response: {
    /** bytes of the response behind its size. */
    size: number;
    /** number of the request. */
    correlationID: number;
    /** fields of the response; null when its API is not read whole. */
    payload: {
      /** how it went; 0 is well. */
      errorCode: number;
      /** milliseconds of a quota. */
      throttleTimeMs: number;
      /** topics of Produce and Fetch with partitionResponses. */
      responses: any[];
      /** brokers, of Metadata. */
      brokers: any[];
      /** topics with their errors. */
      topics: any[];
      /** cluster, of Metadata. */
      clusterID: string;
      /** controller, of Metadata. */
      controllerID: number;
      /** versions, of ApiVersions. */
      apiKeys: any[];
      /** 0 when ApiVersions is answered in its oldest version instead of the one asked for. */
      apiVersion: number;
    } | null;
    /** time of the response, RFC 3339. */
    captureTime: string;
    /** true when the response was cut. */
    truncated: boolean;
  } | null;
}

/** Redis Serialization Protocol. */
interface RedisItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** `Array`, or `N/A` of an inline command. */
    type: string;
    /** the verb, upper case. */
    command: string;
    /** first key, or the channel. */
    key: string;
    /** the other words, as `[a, b]`. */
    value: string;
    /** second word of commands such as `CONFIG SET`, upper case. */
    keyword: string;
    /** the whole command, its first 1024 bytes. */
    commandLine: string;
    /** true when the command was cut. */
    truncated: boolean;
  } | null;
  /** the response; null when unseen. */
  response: {
    /** type of the reply, as `Bulk String` or `Error`. */
    type: string;
    /** always empty. */
    command: string;
    /** channel of a pushed message. */
    key: string;
    /** the reply as text. */
    value: string;
    /** kind of a pushed message, as `MESSAGE`, or code of an error. */
    keyword: string;
    /** true when the reply was cut. */
    truncated: boolean;
  } | null;
}

/** PostgreSQL Frontend/Backend Protocol. */
interface PostgresqlItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** name of the message, as `Query` or `Execute`. */
    command: string;
    /** SQL text; of an Execute that of its Parse. */
    query: string;
    /** name of the prepared statement. */
    statement: string;
    /** name of the portal. */
    portal: string;
    /** parameter values; binary ones as base64. */
    parameters: any[];
    /** most rows that an Execute asks for. */
    maxRows: number;
    /** user of the connection. */
    user: string;
    /** database of the connection. */
    database: string;
    /** version that a StartupMessage asks for. */
    protocolVersion: string;
    /** parameters of a StartupMessage. */
    startupParameters: { [name: string]: string };
    /** whether the client sent a password or proof. */
    passwordSent: boolean;
    /** SASL mechanism that the client chose. */
    mechanism: string;
    /** server process that a CancelRequest is about. */
    processId: number;
    /** function that a FunctionCall runs. */
    functionOid: number;
    /** whether query or parameters are not kept whole. */
    truncated: boolean;
  } | null;
  /** the response; null when unseen. */
  response: {
    /** `ok`, an SQLSTATE, `aborted` or `incomplete`. */
    status: string;
    /** whether there was no error. */
    success: boolean;
    /** SQLSTATE of the error. */
    errorCode: string;
    /** text of the error. */
    errorMessage: string;
    /** all fields of the error. */
    error: { [name: string]: string };
    /** command tag, as `INSERT 0 5`. */
    commandTag: string;
    /** rows that the command tag names. */
    affectedRows: number;
    /** names of the columns. */
    columns: any[];
    /** rows that were sent. */
    rowCount: number;
    /** the first rows, each a list of values. */
    rows: any[];
    /** whether the portal has more rows. */
    suspended: boolean;
    /** whether rows are not shown whole. */
    truncated: boolean;
    /** what COPY moved. */
    copy: {
      /** `in`, `out` or `both`. */
      direction: string;
      /** `text` or `binary`. */
      format: string;
      /** columns of a row. */
      columns: number;
      /** bytes of data. */
      bytes: number;
      /** CopyData messages. */
      messages: number;
      /** why the client broke it off. */
      failed: string;
    };
    /** one entry a statement of a Query with several. */
    results: any[];
    /** whether results are left out of `results`. */
    moreResults: boolean;
    /** notices and warnings. */
    notices: any[];
    /** channel, payload and process of a NOTIFY. */
    notification: { [name: string]: string };
    /** run-time parameters that the server reports. */
    parameterStatus: { [name: string]: string };
    /** names of the authentication messages. */
    authentication: any[];
    /** SASL mechanisms that the server offers. */
    mechanisms: any[];
    /** server process of the connection. */
    processId: number;
    /** whether the server agreed to encrypt. */
    encryption: boolean;
    /** `idle`, `in transaction` or `failed`. */
    transactionStatus: string;
  } | null;
}

/** MySQL Client/Server Protocol. */
interface MysqlItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** name of the command, as `COM_QUERY`. */
    command: string;
    /** SQL text, or the schema of COM_INIT_DB. */
    query: string;
    /** number of the prepared statement. */
    statementId: number;
    /** parameter values of COM_STMT_EXECUTE. */
    parameters: any[];
    /** user of the connection. */
    user: string;
    /** schema in use. */
    database: string;
    /** number of the client's collation. */
    characterSet: number;
    /** capability flags of the client. */
    capabilities: any[];
    /** authentication plugin of the client. */
    authPlugin: string;
    /** whether the client sent a proof of its password. */
    authSent: boolean;
    /** connection attributes. */
    attributes: { [name: string]: string };
    /** whether the command is not kept whole. */
    truncated: boolean;
  } | null;
  /** the response; null when unseen. */
  response: {
    /** `ok`, the error number or `incomplete`. */
    status: string;
    /** whether there was no error. */
    success: boolean;
    /** number of the error. */
    errorCode: number;
    /** SQLSTATE of the error. */
    sqlState: string;
    /** text of the error. */
    errorMessage: string;
    /** names of the columns. */
    columns: any[];
    /** rows that were sent. */
    rowCount: number;
    /** the first rows, each a list of values. */
    rows: any[];
    /** rows that the command changed. */
    affectedRows: number;
    /** value that AUTO_INCREMENT gave. */
    lastInsertId: number;
    /** count of warnings. */
    warnings: number;
    /** what the server says about the command. */
    info: string;
    /** text of COM_STATISTICS. */
    text: string;
    /** status flags of the server. */
    serverStatus: any[];
    /** whether rows are not shown whole. */
    truncated: boolean;
    /** all results when there are several. */
    results: any[];
    /** whether results are left out of `results`. */
    moreResults: boolean;
    /** file that the server asked for. */
    localInfile: string;
    /** bytes of that file. */
    localInfileBytes: number;
    /** events of the binary log. */
    events: number;
    /** bytes of those events. */
    eventBytes: number;
    /** version of the server. */
    serverVersion: string;
    /** thread of the connection. */
    threadId: number;
    /** capability flags of the server. */
    serverCapabilities: any[];
    /** authentication plugin of the server. */
    serverAuthPlugin: string;
    /** plugins that the server went over to. */
    authSwitch: any[];
    /** number that a prepared statement got. */
    statementId: number;
    /** columns of a prepared statement. */
    columnCount: number;
    /** parameters of a prepared statement. */
    parameterCount: number;
  } | null;
}

/** MongoDB Wire Protocol. */
interface MongodbItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** name of the command, as `find`. */
    command: string;
    /** database. */
    database: string;
    /** collection. */
    collection: string;
    /** the command document, as relaxed extended JSON. */
    query: { [name: string]: string };
    /** the first documents that are written. */
    documents: any[];
    /** documents that are written. */
    documentCount: number;
    /** flags of OP_MSG. */
    flags: any[];
    /** name of the operation, as `OP_MSG`. */
    opcode: string;
    /** how the message was compressed. */
    compressor: string;
    /** whether a part is not shown. */
    truncated: boolean;
  } | null;
  /** the response; null when unseen. */
  response: {
    /** `ok`, the error number, `error` or `unknown`. */
    status: string;
    /** whether there was no error. */
    success: boolean;
    /** number of the error. */
    errorCode: number;
    /** name of the error. */
    errorCodeName: string;
    /** text of the error. */
    errorMessage: string;
    /** cursor that has more; 0 when none has. */
    cursorId: number;
    /** the reply without its cursor. */
    reply: { [name: string]: string };
    /** documents of the batch that are kept. */
    rowCount: number;
    /** the first documents of the batch. */
    rows: any[];
    /** flags of OP_MSG. */
    flags: any[];
    /** name of the operation. */
    opcode: string;
    /** how the message was compressed. */
    compressor: string;
    /** whether a part is not shown. */
    truncated: boolean;
  } | null;
}

/** Lightweight Directory Access Protocol. */
interface LdapItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** what was asked, as `search request`. */
    type: string;
    /** operation, as `search`; the same on both sides. */
    operation: string;
    /** identifier of the operation on its connection. */
    messageId: number;
    /** name or base object and filter that the request is about. */
    summary: string;
    /** protocol version of a bind. */
    version: number;
    /** who binds. */
    name: string;
    /** `simple` or `sasl`. */
    authentication: string;
    /** octets of the password of a simple bind; the password itself is not kept. */
    passwordLength: number;
    /** SASL mechanism. */
    mechanism: string;
    /** octets of SASL credentials; they are not kept. */
    credentialsLength: number;
    /** where a search begins. */
    baseObject: string;
    /** `baseObject`, `singleLevel`, `wholeSubtree`. */
    scope: string;
    /** when aliases are followed. */
    derefAliases: string;
    /** entries wanted at most; 0 is no limit. */
    sizeLimit: number;
    /** seconds that a search may take; 0 is no limit. */
    timeLimit: number;
    /** whether only names of attributes are wanted. */
    typesOnly: boolean;
    /** filter of a search, in the form of RFC 4515. */
    filter: string;
    /** attributes that are wanted, or of a new entry: type, vals. */
    attributes: any[];
    /** entry that is modified. */
    object: string;
    /** modifications: operation, type, vals. */
    changes: any[];
    /** entry that is added, deleted, renamed or compared. */
    entry: string;
    /** new relative name. */
    newrdn: string;
    /** whether the old relative name goes. */
    deleteoldrdn: boolean;
    /** new parent. */
    newSuperior: string;
    /** attribute that is compared. */
    attributeDesc: string;
    /** value that it is compared with. */
    assertionValue: string;
    /** operation that is given up. */
    abandonedId: number;
    /** object identifier of an extended operation. */
    requestName: string;
    /** its value, base64. */
    requestValue: string;
    /** name of the extended operation, as `StartTLS`. */
    extension: string;
    /** controls: controlType, name, criticality, controlValue. */
    controls: any[];
  } | null;
  /** the response; null when unseen. */
  response: {
    /** last response, as `search result done`. */
    type: string;
    /** operation, as `search`. */
    operation: string;
    /** identifier of the operation; 0 when nobody asked. */
    messageId: number;
    /** how it went; 0 is success. */
    resultCode: number;
    /** the same in a word, as `noSuchObject`. */
    resultName: string;
    /** nearest entry that exists. */
    matchedDN: string;
    /** message for people. */
    diagnosticMessage: string;
    /** servers to ask instead. */
    referral: any[];
    /** octets of the SASL challenge. */
    serverSaslCredsLength: number;
    /** object identifier of an extended response. */
    responseName: string;
    /** its value, base64. */
    responseValue: string;
    /** name of the extended response. */
    extension: string;
    /** controls, as in `request`. */
    controls: any[];
    /** count of intermediate responses. */
    intermediates: number;
    /** count of entries that a search found. */
    entries: number;
    /** count of references that a search found. */
    references: number;
    /** the first of them: objectName and attributes, or referral. */
    results: any[];
    /** true when not all of them are shown. */
    truncated: boolean;
  } | null;
  data: {
    /** `protected data`: SASL protects what follows. */
    type: string;
    /** `protected`. */
    operation: string;
    /** SASL mechanism that protects it. */
    mechanism: string;
    /** the same in a line. */
    summary: string;
  };
}

/** Domain Name System. */
interface DnsItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** kind of query, as `Query`. */
    opCode: string;
    /** what was asked: name, type, class. */
    questions: {
      /** name that was asked for. */
      name: string;
      /** type that was asked for, as `AAAA`. */
      type: string;
      /** class that was asked for, as `IN`. */
      class: string;
    }[];
  } | null;
  /** the response; null when unseen. */
  response: {
    /** how it went, as `No Error`. */
    code: string;
    /** records that answer the question. */
    answers: {
      /** name of the record. */
      name: string;
      /** type of the record. */
      type: string;
      /** class of the record. */
      class: string;
      /** seconds that the record may be kept. */
      ttl: number;
      /** address of an A or AAAA record. */
      ip: string;
      /** server named by an NS record. */
      ns: string;
      /** name that a CNAME or DNAME record points to. */
      cname: string;
      /** name that a PTR record points to. */
      ptr: string;
      /** texts of a TXT record, joined by a comma. */
      txts: string;
      /** an SOA record's seven values. */
      soa: string;
      /** priority, weight, port and target of an SRV record. */
      srv: string;
      /** preference and host of an MX record. */
      mx: string;
      /** EDNS parameters and options. */
      opt: string;
      /** priority, weight and target of a URI record. */
      uri: string;
      /** a record of any other type, as in a zone file. */
      data: string;
    }[];
    /** records of the servers in charge. */
    authorities: any[];
    /** records that may help. */
    additionals: any[];
  } | null;
}

/** Remote Authentication Dial In User Service. */
interface RadiusItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** code of the request, as 1. */
    code: number;
    /** the same in words, as `Access-Request`. */
    codeName: string;
    /** identifier, the same in the response. */
    id: number;
    /** request authenticator, hexadecimal. */
    authenticator: string;
    /** bytes of the packet, as it says itself. */
    length: number;
    /** attributes in wire order: type, name, value. */
    attributes: {
      /** number of the attribute. */
      type: number;
      /** name of the attribute, as `User-Name`. */
      name: string;
      /** its value; of secrets the length. */
      value: string;
      /** number of the vendor of a Vendor-Specific attribute. */
      vendorId: number;
      /** name of that vendor. */
      vendor: string;
      /** the vendor's attributes. */
      attributes: any[];
    }[];
    /** times that the request was sent again; absent for none. */
    retransmissions: number;
    /** accounting status and user, station or access server. */
    summary: string;
  } | null;
  /** the response; null when unseen. */
  response: {
    /** code of the response, as 2. */
    code: number;
    /** the same in words, as `Access-Accept`. */
    codeName: string;
    /** identifier of the request. */
    id: number;
    /** response authenticator, hexadecimal. */
    authenticator: string;
    /** bytes of the packet, as it says itself. */
    length: number;
    /** attributes in wire order, as in `request`. */
    attributes: any[];
    /** user, station or access server. */
    summary: string;
  } | null;
}

/** Diameter. */
interface DiameterItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** command, as `Credit-Control-Request`. */
    method: string;
    /** code of the command. */
    commandCode: number;
    /** application that the command belongs to. */
    applicationId: number;
    /** its name, as `Credit Control`. */
    application: string;
    /** flags of the header: request, proxiable, error, retransmitted. */
    flags: any[];
    /** identifier that pairs request and answer. */
    hopByHopId: number;
    /** identifier that tells repeated requests. */
    endToEndId: number;
    /** bytes of the message. */
    length: number;
    /** command, kind of request and session in a line. */
    summary: string;
    /** attributes in their order. */
    avps: {
      /** code of the attribute. */
      code: number;
      /** name of the attribute. */
      name: string;
      /** vendor of the attribute. */
      vendorId: number;
      /** value, by the attribute's type. */
      value: string;
    }[];
  } | null;
  /** the response; null when unseen. */
  response: {
    /** command of the answer. */
    method: string;
    /** result, the experimental one where there is no other. */
    resultCode: number;
    /** name of the result, as `DIAMETER_SUCCESS`. */
    result: string;
    /** attributes in their order. */
    avps: any[];
  } | null;
}

/** Internet Control Message Protocol. */
interface IcmpItem extends Envelope {
  /** the request; null when unseen. */
  request: {
    /** type of the message, as `EchoRequest`. */
    type: string;
    /** 4 or 6. */
    version: number;
    /** bytes of the message as captured. */
    length: number;
    /** code within the type. */
    code: number;
    /** what the code means, as `PortUnreachable`. */
    codeName: string;
    /** identifier of an echo. */
    id: number;
    /** sequence number of an echo. */
    seq: number;
    /** largest packet of the next hop, in bytes. */
    mtu: number;
    /** better router, told by a redirect. */
    gateway: string;
    /** offset of what was wrong in the quoted packet. */
    pointer: number;
    /** address asked for, answered for or redirected. */
    target: string;
    /** multicast group of a listener message. */
    group: string;
    /** the packet that caused an error. */
    quoted: {
      src: {
        /** its sender's address. */
        ip: string;
        /** its sender's port. */
        port: string;
      };
      dst: {
        /** its receiver's address. */
        ip: string;
        /** its receiver's port. */
        port: string;
      };
      /** its transport, as `udp`. */
      protocol: string;
    };
    /** options of neighbour discovery. */
    options: any[];
  } | null;
  /** the response; null when unseen. */
  response: {
    /** type of the reply. */
    type: string;
    /** identifier of the reply. */
    id: number;
    /** sequence number of the reply. */
    seq: number;
  } | null;
}

/** Stream Control Transmission Protocol. */
interface SctpItem extends Envelope {
  data: {
    /** checksum of the packet as captured. */
    checksum: number;
    /** type of the chunk. */
    chunkType: string;
    /** bytes of the chunk. */
    length: number;
    /** flags of the chunk. */
    flags: number;
    /** tag that the receiver chose for the association. */
    verificationTag: number;
    /** transmission sequence number of the message's first piece. */
    tsn: number;
    /** stream of the message within the association. */
    streamId: number;
    /** number of the message within its stream. */
    streamSeq: number;
    /** payload protocol identifier. */
    payloadProtocol: number;
    /** what it stands for, as `M3UA`. */
    payloadProtocolName: string;
    /** the message, base64. */
    payload: string;
    /** why an association was aborted. */
    causes: any[];
  };
  /** the request; null when unseen. */
  request: any;
  /** the response; null when unseen. */
  response: any;
}

/** Transmission Control Protocol. */
interface TcpflowItem extends Envelope {
  data: {
    /** the client's first bytes, else the server's. */
    payload: string;
    /** the server's first bytes. */
    serverPayload: string;
    /** TCP flags that were seen, as `SYN,PSH,ACK`. */
    method: string;
    /** payload bytes of both sides. */
    length: number;
    /** packets from the client. */
    clientPackets: number;
    /** payload bytes from the client, those sent again too. */
    clientBytes: number;
    /** packets from the server. */
    serverPackets: number;
    /** payload bytes from the server, those sent again too. */
    serverBytes: number;
    /** milliseconds from the first packet to the last. */
    duration: number;
    /** how it ended: fin, rst, idle, reused, evicted or source-end. */
    end: string;
  };
  /** the request; null when unseen. */
  request: any;
  /** the response; null when unseen. */
  response: any;
}

/** Transmission Control Protocol. */
interface TcpconnItem extends Envelope {
  /** the request; null when unseen. */
  request: any;
  /** the response; null when unseen. */
  response: any;
}

/** User Datagram Protocol. */
interface UdpflowItem extends Envelope {
  data: {
    /** the client's first bytes, else the server's. */
    payload: string;
    /** the server's first bytes. */
    serverPayload: string;
    /** payload bytes of both sides. */
    length: number;
    /** checksum of the first datagram as captured. */
    checksum: number;
    /** packets from the client. */
    clientPackets: number;
    /** payload bytes from the client, those sent again too. */
    clientBytes: number;
    /** packets from the server. */
    serverPackets: number;
    /** payload bytes from the server, those sent again too. */
    serverBytes: number;
    /** milliseconds from the first packet to the last. */
    duration: number;
    /** how it ended: fin, rst, idle, reused, evicted or source-end. */
    end: string;
  };
  /** the request; null when unseen. */
  request: any;
  /** the response; null when unseen. */
  response: any;
}

/** User Datagram Protocol. */
interface UdpconnItem extends Envelope {
  /** the request; null when unseen. */
  request: any;
  /** the response; null when unseen. */
  response: any;
}

/** In NAME.test.js: what came of running NAME.js over the capture. */
declare const result: {
  /** Lines of the console, without their prefix. */
  console: string[];
  /** Error lines, and why a script does not run. */
  errors: string[];
  /** How many items there were. */
  items: number;
  /** Calls that would have left, with their arguments; secrets are masked. */
  sent: { helper: string; arguments: { [name: string]: any }; upload?: any }[];
  /** Files that would have been uploaded; `text` is null when it is none or a long one. */
  uploads: { bucket: string; key: string; path: string; bytes: number; text: string | null }[];
  /** Files of the data folder by their path; null when it is no text or a long one. */
  files: { [path: string]: string | null };
  /** What was recorded, before it was sealed at the end. */
  recordings: { name: string; kfl: string; streams: number; packets: number; [name: string]: any }[];
  /** Items that onItemQueried marked with test.pass and test.fail. */
  tests: { passed: number; failed: number };
};
/** In NAME.test.js: one test; it fails when the function throws. */
declare function it(name: string, check: () => void): void;
/** In NAME.test.js: something to check; `not` turns the check around. */
declare function expect(value: any): Expectation & { not: Expectation };
interface Expectation {
  /** The very same value. */
  toBe(other: any): void;
  /** The same content, member by member. */
  toEqual(other: any): void;
  /** A text that holds a text, or a list with an element that equals. */
  toContain(part: any): void;
  /** A list of lines, one of which holds the text or matches the pattern. */
  toHaveLine(line: string | RegExp): void;
  /** A text that holds the text or matches the pattern. */
  toMatch(pattern: string | RegExp): void;
  /** A text or list of that length. */
  toHaveLength(length: number): void;
  /** An object with that member. */
  toHaveProperty(name: string): void;
  /** A greater number. */
  toBeGreaterThan(other: number): void;
  /** A smaller number. */
  toBeLessThan(other: number): void;
  /** Anything but false, 0, an empty text, null, undefined and NaN. */
  toBeTruthy(): void;
  /** A function that throws, with a message that holds the text or matches the pattern. */
  toThrow(message?: string | RegExp): void;
}
