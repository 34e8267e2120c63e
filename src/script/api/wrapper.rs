//! `wrapper`: helpers that are made of other helpers.
//!
//! They are JavaScript, in `wrapper.js`, which is read when a script calls one for the first time.

use std::rc::Rc;

use boa_engine::{
    Context, JsNativeError, JsObject, JsResult, JsString, JsValue, Source, js_string,
};

use super::{Effect, Global, GlobalKind, Helper, Helpers};
use crate::script::child::engine::Shared;

/// The code, an expression that is a function of the helpers.
const CODE: &str = include_str!("wrapper.js");

/// Name of the code in traces; with this start, a fault is shown where the script made the call.
const NAME: &str = "native/wrapper.js";

pub(super) static GLOBAL: Global = Global {
    name: "wrapper",
    doc: "Does in one call what takes several helpers",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "joinMaps",
        signature: "wrapper.joinMaps(a, b) -> object",
        doc: "A new object with the keys of both: numbers under one key are added, objects are joined",
        effect: Effect::None,
        example: "wrapper.joinMaps({web: 1}, {web: 2, db: {reads: 1}})",
        length: 2,
        run: |_, args, context| run("joinMaps", args, context),
    },
    Helper {
        name: "buildHAR",
        signature: "wrapper.buildHAR(items) -> string",
        doc: "The HTTP items of a list as an HTTP archive (HAR 1.2), JSON text",
        effect: Effect::None,
        example: "wrapper.buildHAR([{request: {method: 'GET', url: '/'}, response: {status: 200}, dst: {name: 'web'}}])",
        length: 1,
        run: |_, args, context| run("buildHAR", args, context),
    },
    Helper {
        name: "pcapSnapshot",
        signature: "wrapper.pcapSnapshot(region, keyId, secret, bucket) -> string",
        doc: "Uploads an archive with the packets of all streams and the name history, and answers its URL",
        effect: Effect::Network,
        example: "wrapper.pcapSnapshot('eu-central-1', 'id', 'secret', 'my-bucket')",
        length: 4,
        run: |_, args, context| run("pcapSnapshot", args, context),
    },
    Helper {
        name: "kflPcapS3",
        signature: "wrapper.kflPcapS3(data, {kflArr, awsRegion?, awsAccessKeyId?, awsSecretAccessKey?, s3Bucket?, slackWebhook?, slackAuthToken?, slackChannelId?, active?, verbose?, maxMinutes?, maxL4Streams?, clear?})",
        doc: "Collects the streams of items that match queries, and uploads an archive for each query every so often",
        effect: Effect::Network,
        example: "function onItemCaptured(data) { wrapper.kflPcapS3(data, {kflArr: ['http'], s3Bucket: 'my-bucket'}) }",
        length: 2,
        run: |_, args, context| run("kflPcapS3", args, context),
    },
];

/// The functions of the code, made once a context.
struct Made(JsObject);

fn run(name: &str, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let functions = functions(context)?;
    let function = functions.0.get(JsString::from(name), context)?;
    let function = function.as_callable().ok_or_else(|| lost(name))?;
    function.call(&JsValue::undefined(), args, context)
}

fn functions(context: &mut Context) -> JsResult<Rc<Made>> {
    if let Some(made) = context.get_data::<Rc<Made>>() {
        return Ok(made.clone());
    }
    let helpers = context.get_data::<Rc<Helpers>>().cloned();
    let helpers = helpers.ok_or_else(|| lost("the helpers"))?;
    let version = js_string!(env!("CARGO_PKG_VERSION"));
    helpers
        .0
        .create_data_property_or_throw(js_string!("version"), version, context)?;
    let per_milli = Shared::of(context)?.start.habits.elapsed.per_milli();
    helpers
        .0
        .create_data_property_or_throw(js_string!("perMilli"), per_milli, context)?;
    let source = Source::from_bytes(CODE).with_path(std::path::Path::new(NAME));
    let factory = context.eval(source)?;
    let factory = factory.as_callable().ok_or_else(|| lost("the code"))?;
    let made = factory.call(&JsValue::undefined(), &[helpers.0.clone().into()], context)?;
    let made = made.as_object().ok_or_else(|| lost("the code"))?;
    let made = Rc::new(Made(made));
    context.insert_data(made.clone());
    Ok(made)
}

fn lost(what: &str) -> JsNativeError {
    JsNativeError::error().with_message(format!("{what} is not there"))
}
