//! `vendor`: services outside.
//!
//! Every call is made by the host, which knows where scripts may go. What a service answers with an
//! error status, and a service that does not answer, is an exception; `vendor.webhook` alone takes
//! any answer. What a script signs in with may be left out when tapedeck's own environment has it; the
//! host knows.

use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper, told};
use crate::script::child::arguments::{body, optional_text, pairs, text, texts};
use crate::script::child::json;
use crate::script::host::{ElasticLogin, HostCall, Note};

pub(super) static GLOBAL: Global = Global {
    name: "vendor",
    doc: "Hands messages, points, documents and files to services outside",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "webhook",
        signature: "vendor.webhook(method, url, body?, headers?) -> string",
        doc: "Sends a request and answers the text of the response, whatever its status; an object is sent as JSON",
        effect: Effect::Network,
        example: "vendor.webhook('POST', 'https://alerts.example/', {path: '/health'}, {'X-Team': 'shop'})",
        length: 2,
        run: webhook,
    },
    Helper {
        name: "webhookForm",
        signature: "vendor.webhookForm(method, url, fields) -> string",
        doc: "Sends a form of several parts (multipart/form-data) and answers the text of the response",
        effect: Effect::Network,
        example: "vendor.webhookForm('POST', 'https://zap.example/upload', {fileName: 'a.har', fileContents: '{}'})",
        length: 3,
        run: webhook_form,
    },
    Helper {
        name: "slack",
        signature: "vendor.slack(webhookUrl, pretext, text, color)",
        doc: "Posts a note through an incoming webhook of Slack; with five arguments the first two are token and channel",
        effect: Effect::Network,
        example: "vendor.slack('https://hooks.slack.example/services/x', 'Server error', '/cart answered 500', '#ff0000')",
        length: 4,
        run: slack,
    },
    Helper {
        name: "slackBot",
        signature: "vendor.slackBot(token, channelId, pretext, text, color, fields?, files?)",
        doc: "Posts a note as a bot of Slack and shares files of the data folder in the channel",
        effect: Effect::Network,
        example: "vendor.slackBot('xoxb-1', 'C012', 'Server error', '/cart', '#ff0000', {Status: 500}, {'item.json': 'item.json'})",
        length: 5,
        run: slack_bot,
    },
    Helper {
        name: "influxdb",
        signature: "vendor.influxdb(url, token, org, bucket, measurement, data, tags?)",
        doc: "Writes one point into InfluxDB, in the background and with retries",
        effect: Effect::Network,
        example: "vendor.influxdb('http://influx.example:8086', 'token', 'org', 'bucket', 'calls', {latency: 12}, {path: '/cart'})",
        length: 6,
        run: influxdb,
    },
    Helper {
        name: "elastic",
        signature: "vendor.elastic(url, index, data, username?, password?, cloudId?, apiKey?, serviceToken?, certificateFingerprint?) -> string",
        doc: "Indexes one document in Elasticsearch and answers its id",
        effect: Effect::Network,
        example: "vendor.elastic('http://elastic.example:9200', 'status-codes', {200: 17})",
        length: 3,
        run: elastic,
    },
    Helper {
        name: "kinesis.put",
        signature: "vendor.kinesis.put(stream, payload, region, keyId?, secret?) -> object",
        doc: "Puts one record into a Kinesis stream, an object as JSON, and answers what the service said",
        effect: Effect::Network,
        example: "vendor.kinesis.put('traffic', {count: 1}, 'eu-central-1')",
        length: 3,
        run: kinesis_put,
    },
    Helper {
        name: "s3",
        signature: "vendor.s3(region, keyId, secret, bucket, stream) -> string",
        doc: "Uploads the savefile of a stream, as scripts of February 2023 did",
        effect: Effect::Network,
        example: "vendor.s3('eu-central-1', 'id', 'secret', 'my-bucket', '000000000042')",
        length: 5,
        run: s3_stream,
    },
    Helper {
        name: "s3.put",
        signature: "vendor.s3.put(bucket, path, region, keyId?, secret?) -> string",
        doc: "Uploads a file of the data folder and answers the object's URL; the order (region, keyId, secret, bucket, path) is understood too",
        effect: Effect::Network,
        example: "vendor.s3.put('my-bucket', 'report.json', 'eu-central-1')",
        length: 3,
        run: |_, args, context| {
            let arguments = texts(args, context)?;
            told(HostCall::S3Put { arguments }, context)
        },
    },
    Helper {
        name: "s3.clear",
        signature: "vendor.s3.clear(region, keyId, secret, bucket)",
        doc: "Deletes what scripts of this node uploaded, never a sealed recording",
        effect: Effect::Network,
        example: "vendor.s3.clear('eu-central-1', 'id', 'secret', 'my-bucket')",
        length: 4,
        run: |_, args, context| {
            let arguments = texts(args, context)?;
            told(HostCall::S3Clear { arguments }, context)
        },
    },
    Helper {
        name: "gcs.put",
        signature: "vendor.gcs.put(bucket, path, serviceAccountKey?) -> string",
        doc: "Uploads a file of the data folder to Google Cloud Storage and answers the object's URL; the key is the parsed JSON of a service account",
        effect: Effect::Network,
        example: "vendor.gcs.put('my-bucket', 'report.json', JSON.parse('{}'))",
        length: 2,
        run: |_, args, context| {
            let bucket = text(args, 0, "the bucket", context)?;
            let path = text(args, 1, "the path", context)?;
            let key = account_key(args.get_or_undefined(2), context)?;
            told(HostCall::GcsPut { bucket, path, key }, context)
        },
    },
    Helper {
        name: "gcs.clear",
        signature: "vendor.gcs.clear(bucket, serviceAccountKey?)",
        doc: "Deletes what scripts of this node uploaded to a bucket of Google Cloud Storage, never a sealed recording",
        effect: Effect::Network,
        example: "vendor.gcs.clear('my-bucket', JSON.parse('{}'))",
        length: 1,
        run: |_, args, context| {
            let bucket = text(args, 0, "the bucket", context)?;
            // The argument between is one that the documentation of 2023 shows empty.
            let last = args.get(1..).and_then(<[JsValue]>::last);
            let key = account_key(&last.cloned().unwrap_or_default(), context)?;
            told(HostCall::GcsClear { bucket, key }, context)
        },
    },
    Helper {
        name: "azure.put",
        signature: "vendor.azure.put(container, path, accountName?, accountKey?, connectionString?) -> string",
        doc: "Uploads a file of the data folder to a container of Azure Blob Storage and answers the blob's URL",
        effect: Effect::Network,
        example: "vendor.azure.put('my-container', 'report.json', 'myaccount', 'a2V5')",
        length: 2,
        run: |_, args, context| {
            let container = text(args, 0, "the container", context)?;
            let path = text(args, 1, "the path", context)?;
            let call = HostCall::AzurePut {
                container,
                path,
                account: given(args, 2, context)?,
                key: given(args, 3, context)?,
                connection: given(args, 4, context)?,
            };
            told(call, context)
        },
    },
];

/// A text that is not empty.
fn given(args: &[JsValue], index: usize, context: &mut Context) -> JsResult<Option<String>> {
    let text = optional_text(args, index, context)?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// A text, empty when absent.
fn or_empty(args: &[JsValue], index: usize, context: &mut Context) -> JsResult<String> {
    Ok(optional_text(args, index, context)?.unwrap_or_default())
}

pub(super) fn webhook(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let method = text(args, 0, "the method", context)?;
    let url = text(args, 1, "the address", context)?;
    let mut headers = pairs(args.get_or_undefined(3), || None, context)?;
    let sent = args.get_or_undefined(2);
    let body = if sent.is_null_or_undefined() {
        None
    } else {
        let (text, is_json) = body(sent, context)?;
        let typed = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
        if is_json && !headers.iter().any(typed) {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        Some(text)
    };
    let call = HostCall::Webhook {
        method,
        url,
        body,
        headers,
    };
    told(call, context)
}

fn webhook_form(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let method = text(args, 0, "the method", context)?;
    let url = text(args, 1, "the address", context)?;
    let fields = pairs(args.get_or_undefined(2), || None, context)?;
    let call = HostCall::WebhookForm {
        method,
        url,
        fields,
    };
    told(call, context)
}

pub(super) fn slack(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    if args.len() >= 5 {
        return bot(args, context);
    }
    let url = or_empty(args, 0, context)?;
    let note = note(args, 1, context)?;
    told(HostCall::Slack { url, note }, context)
}

fn slack_bot(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    bot(args, context)
}

fn bot(args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let call = HostCall::SlackBot {
        token: or_empty(args, 0, context)?,
        channel: text(args, 1, "the channel", context)?,
        note: note(args, 2, context)?,
        fields: pairs(args.get_or_undefined(5), || None, context)?,
        files: pairs(args.get_or_undefined(6), || None, context)?,
    };
    told(call, context)
}

/// Pretext, text and colour from the argument `from` on.
fn note(args: &[JsValue], from: usize, context: &mut Context) -> JsResult<Note> {
    Ok(Note {
        pretext: or_empty(args, from, context)?,
        text: or_empty(args, from + 1, context)?,
        color: or_empty(args, from + 2, context)?,
    })
}

pub(super) fn influxdb(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let data = args.get_or_undefined(5);
    if !data.is_object() {
        return Err(JsNativeError::typ()
            .with_message("argument 6 is missing: an object with the fields of the point")
            .into());
    }
    let fields = json::json_of(data, context)?;
    let call = HostCall::Influxdb {
        url: or_empty(args, 0, context)?,
        token: or_empty(args, 1, context)?,
        org: or_empty(args, 2, context)?,
        bucket: text(args, 3, "the bucket", context)?,
        measurement: text(args, 4, "the measurement", context)?,
        fields: fields.as_object().cloned().unwrap_or_default(),
        tags: pairs(args.get_or_undefined(6), || None, context)?,
    };
    told(call, context)
}

fn elastic(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let data = args.get_or_undefined(2);
    if !data.is_object() {
        return Err(JsNativeError::typ()
            .with_message("argument 3 is missing: the document")
            .into());
    }
    let call = HostCall::Elastic {
        url: or_empty(args, 0, context)?,
        index: text(args, 1, "the index", context)?,
        document: json::json_of(data, context)?,
        login: ElasticLogin {
            username: given(args, 3, context)?,
            password: given(args, 4, context)?,
            cloud_id: given(args, 5, context)?,
            api_key: given(args, 6, context)?,
            service_token: given(args, 7, context)?,
            certificate_fingerprint: given(args, 8, context)?,
        },
    };
    told(call, context)
}

fn kinesis_put(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let payload = args.get_or_undefined(1);
    let call = HostCall::KinesisPut {
        stream: text(args, 0, "the stream", context)?,
        payload: body(payload, context)?.0,
        region: text(args, 2, "the region", context)?,
        key_id: given(args, 3, context)?,
        secret: given(args, 4, context)?,
    };
    let answer = told(call, context)?;
    if let Some(object) = answer.as_object() {
        super::readable(&object, context)?;
    }
    Ok(answer)
}

/// The call of February 2023: a stream's number instead of a path.
pub(super) fn s3_stream(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let mut arguments = texts(args, context)?;
    if let Some(Some(stream)) = arguments.get_mut(4) {
        *stream = super::pcap::path_of(stream);
    }
    told(HostCall::S3Put { arguments }, context)
}

/// A parsed key; one that is still JSON text is parsed.
fn account_key(value: &JsValue, context: &mut Context) -> JsResult<Option<serde_json::Value>> {
    if value.is_null_or_undefined() {
        return Ok(None);
    }
    if let Some(text) = value.as_string() {
        let text = text.to_std_string_lossy();
        if text.is_empty() {
            return Ok(None);
        }
        return serde_json::from_str(&text).map(Some).map_err(|error| {
            JsNativeError::typ()
                .with_message(format!("the service account's key is not JSON: {error}"))
                .into()
        });
    }
    Ok(Some(json::json_of(value, context)?))
}
