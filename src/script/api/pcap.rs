//! `pcap`: the packets behind the items.

use boa_engine::object::builtins::JsArray;
use boa_engine::{Context, JsArgs, JsResult, JsString, JsValue};

use super::{Effect, Global, GlobalKind, Helper};
use crate::script::child::arguments::{optional_text, text};
use crate::script::child::engine::ask;
use crate::script::host::HostCall;

/// Folder in which the streams appear.
const FOLDER: &str = "pcaps";

/// Names that one selection may hold.
const MAX_SELECTED: u64 = 1_000_000;

pub(super) static GLOBAL: Global = Global {
    name: "pcap",
    doc: "Gives scripts the packets of streams as savefiles",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "path",
        signature: "pcap.path(stream) -> string",
        doc: "The path of a stream's savefile in the data folder; whether it is there is not looked at",
        effect: Effect::None,
        example: "pcap.path('000000000042.pcap') === 'pcaps/000000000042.pcap'",
        length: 1,
        run: path,
    },
    Helper {
        name: "snapshot",
        signature: "pcap.snapshot(selectedPcaps?, pcapsDir?) -> string",
        doc: "Merges streams, or the savefiles of a folder, into one savefile and answers its path; an empty selection means all",
        effect: Effect::Files,
        example: "pcap.snapshot(['000000000042.pcap'])",
        length: 0,
        run: snapshot,
    },
    Helper {
        name: "nameResolutionHistory",
        signature: "pcap.nameResolutionHistory() -> object",
        doc: "Which names addresses had, by the Unix second of each change",
        effect: Effect::None,
        example: "Object.keys(pcap.nameResolutionHistory())",
        length: 0,
        run: history,
    },
];

fn path(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let stream = text(args, 0, "the stream", context)?;
    Ok(JsString::from(path_of(&stream)).into())
}

/// The path of a stream's savefile, named with or without its ending.
pub(super) fn path_of(stream: &str) -> String {
    let ending = if stream.contains('.') { "" } else { ".pcap" };
    format!("{FOLDER}/{stream}{ending}")
}

fn snapshot(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let first = args.get_or_undefined(0);
    let mut selected = Vec::new();
    let mut dir = optional_text(args, 1, context)?;
    // A single text is the folder, as the first release had it.
    if first.is_string() && dir.is_none() {
        dir = optional_text(args, 0, context)?;
    } else if let Some(list) = first
        .as_object()
        .and_then(|list| JsArray::from_object(list).ok())
    {
        for index in 0..list.length(context)?.min(MAX_SELECTED) {
            let name = list.get(index, context)?.to_string(context)?;
            selected.push(name.to_std_string_lossy());
        }
    }
    JsValue::from_json(
        &ask(context, HostCall::PcapSnapshot { selected, dir })?,
        context,
    )
}

pub(super) fn history(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    JsValue::from_json(&ask(context, HostCall::PcapNameResolutionHistory)?, context)
}
