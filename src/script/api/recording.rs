//! `recording`: says what is to be kept; the recorder itself does it.

use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper};
use crate::script::child::arguments::{optional_text, text};
use crate::script::child::engine::ask;
use crate::script::child::json;
use crate::script::host::HostCall;

pub(super) static GLOBAL: Global = Global {
    name: "recording",
    doc: "Declares what is to be recorded; whole streams are kept by the recorder, whatever scripts miss",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "set",
        signature: "recording.set({name, kfl, ...}) -> object",
        doc: "Declares a recording, or changes the one with that name, and answers its status",
        effect: Effect::Recording,
        example: "recording.set({name: 'errors', kfl: 'http and response.status == 500'})",
        length: 1,
        run: |_, args, context| {
            let recording = settings(args, "a recording needs an object", context)?;
            asked(HostCall::RecordingSet { recording }, context)
        },
    },
    Helper {
        name: "take",
        signature: "recording.take(stream, name?)",
        doc: "Has a recording take a whole stream, from its first packet in the spool to its end",
        effect: Effect::Recording,
        example: "recording.take('000000000042.pcap', 'errors')",
        length: 1,
        run: |_, args, context| {
            let stream = text(args, 0, "the stream", context)?;
            let name = optional_text(args, 1, context)?;
            asked(HostCall::RecordingTake { stream, name }, context)
        },
    },
    Helper {
        name: "seal",
        signature: "recording.seal(name?)",
        doc: "Closes what is open of a recording, or of all, and hands it to the store",
        effect: Effect::Recording,
        example: "recording.seal()",
        length: 0,
        run: |_, args, context| {
            let name = optional_text(args, 0, context)?;
            asked(HostCall::RecordingSeal { name }, context)
        },
    },
    Helper {
        name: "status",
        signature: "recording.status(name?) -> object",
        doc: "What a recording, or each of them, has kept so far",
        effect: Effect::None,
        example: "JSON.stringify(recording.status())",
        length: 0,
        run: |_, args, context| {
            let name = optional_text(args, 0, context)?;
            asked(HostCall::RecordingStatus { name }, context)
        },
    },
    Helper {
        name: "capture",
        signature: "recording.capture({name?, kfl?, seconds?, minutes?, lookBack?, destination?, format?}) -> object",
        doc: "Records for a window of time from now on, everything unless a query says what, and answers its status; it ends by itself after 60 seconds or what is given, and begins anew when it is called again under its name; `lookBack: false` leaves out packets from before the match",
        effect: Effect::Recording,
        example: "recording.capture({name: 'incident', kfl: 'http', minutes: 5})",
        length: 1,
        run: |_, args, context| {
            let settings = settings(args, "a capture needs an object", context)?;
            asked(HostCall::RecordingCapture { settings }, context)
        },
    },
];

fn settings(
    args: &[JsValue],
    otherwise: &'static str,
    context: &mut Context,
) -> JsResult<serde_json::Value> {
    let value = args.get_or_undefined(0);
    if !value.is_object() {
        return Err(JsNativeError::typ().with_message(otherwise).into());
    }
    json::json_of(value, context)
}

fn asked(call: HostCall, context: &mut Context) -> JsResult<JsValue> {
    let json = ask(context, call)?;
    if json.is_null() {
        return Ok(JsValue::undefined());
    }
    JsValue::from_json(&json, context)
}
