//! The flat names of February 2023.
//!
//! A script that declares a function of such a name has its own; names that collide with nothing
//! else are here for scripts that were never changed.

use boa_engine::{Context, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper, pcap, test, vendor};

pub(super) static GLOBAL: Global = Global {
    name: "flat names",
    doc: "Helpers as they were called in February 2023",
    kind: GlobalKind::Functions(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "webhook",
        signature: "webhook(method, url, body) -> string",
        doc: "The same as `vendor.webhook`",
        effect: Effect::Network,
        example: "webhook('POST', 'https://alerts.example/', 'down')",
        length: 3,
        run: vendor::webhook,
    },
    Helper {
        name: "slack",
        signature: "slack(token, channelId, pretext, text, color)",
        doc: "The same as `vendor.slackBot` without fields and files",
        effect: Effect::Network,
        example: "slack('xoxb-1', 'C012', 'Server error', '/cart', '#ff0000')",
        length: 5,
        run: vendor::slack,
    },
    Helper {
        name: "influxdb",
        signature: "influxdb(url, token, measurement, org, bucket, data)",
        doc: "As `vendor.influxdb`, with the measurement before organisation and bucket",
        effect: Effect::Network,
        example: "influxdb('http://influx.example:8086', 'token', 'calls', 'org', 'bucket', {latency: 12})",
        length: 6,
        run: influxdb,
    },
    Helper {
        name: "s3",
        signature: "s3(region, keyId, secret, bucket, stream) -> string",
        doc: "The same as calling `vendor.s3` itself",
        effect: Effect::Network,
        example: "s3('eu-central-1', 'id', 'secret', 'my-bucket', '000000000042')",
        length: 5,
        run: vendor::s3_stream,
    },
    Helper {
        name: "pass",
        signature: "pass(data) -> object",
        doc: "The same as `test.pass`",
        effect: Effect::Item,
        example: "pass({})",
        length: 1,
        run: test::pass,
    },
    Helper {
        name: "fail",
        signature: "fail(data) -> object",
        doc: "The same as `test.fail`",
        effect: Effect::Item,
        example: "fail({})",
        length: 1,
        run: test::fail,
    },
    Helper {
        name: "nameResolutionHistory",
        signature: "nameResolutionHistory() -> object",
        doc: "The same as `pcap.nameResolutionHistory`",
        effect: Effect::None,
        example: "Object.keys(nameResolutionHistory())",
        length: 0,
        run: pcap::history,
    },
];

fn influxdb(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let mut args = args.to_vec();
    // (url, token, measurement, org, bucket, data) to (url, token, org, bucket, measurement, data).
    if let Some(moved) = args.get_mut(2..5) {
        moved.rotate_left(1);
    }
    vendor::influxdb(this, &args, context)
}
