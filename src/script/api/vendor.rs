//! `vendor`: services outside.

use boa_engine::{Context, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper};
use crate::script::child::arguments::texts;
use crate::script::child::engine::ask;
use crate::script::host::HostCall;

pub(super) static GLOBAL: Global = Global {
    name: "vendor",
    doc: "Hands files to services outside",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "s3.put",
        signature: "vendor.s3.put(bucket, path, region, keyId?, secret?) -> string",
        doc: "Uploads a file of the data folder and answers the object's URL; the order (region, keyId, secret, bucket, path) is understood too",
        effect: Effect::Network,
        example: "vendor.s3.put('my-bucket', 'report.json', 'eu-central-1')",
        length: 3,
        run: put,
    },
    Helper {
        name: "s3.clear",
        signature: "vendor.s3.clear(region, keyId, secret, bucket)",
        doc: "Deletes what scripts of this node uploaded, never a sealed recording",
        effect: Effect::Network,
        example: "vendor.s3.clear('eu-central-1', 'id', 'secret', 'my-bucket')",
        length: 4,
        run: clear,
    },
];

fn put(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let arguments = texts(args, context)?;
    JsValue::from_json(&ask(context, HostCall::S3Put { arguments })?, context)
}

fn clear(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let arguments = texts(args, context)?;
    ask(context, HostCall::S3Clear { arguments })?;
    Ok(JsValue::undefined())
}
