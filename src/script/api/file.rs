//! `file`: the script's data folder.
//!
//! All paths are relative to that folder, and none leads out of it.

use boa_engine::{Context, JsArgs, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper};
use crate::script::child::arguments::{optional_text, text};
use crate::script::child::engine::ask;
use crate::script::child::json;
use crate::script::host::HostCall;

pub(super) static GLOBAL: Global = Global {
    name: "file",
    doc: "Keeps files in the script's data folder",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "write",
        signature: "file.write(path, content)",
        doc: "Writes a file, replacing what it held; the folder must be there",
        effect: Effect::Files,
        example: "file.write('report.json', JSON.stringify({count: 1}))",
        length: 2,
        run: write,
    },
    Helper {
        name: "append",
        signature: "file.append(path, content)",
        doc: "Adds to the end of a file, making it if it is not there",
        effect: Effect::Files,
        example: "file.append('log.txt', 'one line\\n')",
        length: 2,
        run: append,
    },
    Helper {
        name: "move",
        signature: "file.move(from, to)",
        doc: "Moves a file or folder, into `to` when that is a folder",
        effect: Effect::Files,
        example: "file.move('a.txt', 'b.txt')",
        length: 2,
        run: |_, args, context| {
            let from = text(args, 0, "what to move", context)?;
            let to = text(args, 1, "where to move it", context)?;
            answer(HostCall::FileMove { from, to }, context)
        },
    },
    Helper {
        name: "copy",
        signature: "file.copy(from, to)",
        doc: "Copies a file; the copy of a stream keeps its packets, also those yet to come",
        effect: Effect::Files,
        example: "file.copy(pcap.path('000000000042.pcap'), 'kept.pcap')",
        length: 2,
        run: |_, args, context| {
            let from = text(args, 0, "what to copy", context)?;
            let to = text(args, 1, "where to copy it", context)?;
            answer(HostCall::FileCopy { from, to }, context)
        },
    },
    Helper {
        name: "delete",
        signature: "file.delete(path)",
        doc: "Deletes a file, or a folder with all that is in it; nothing there is no error",
        effect: Effect::Files,
        example: "file.delete('report.json')",
        length: 1,
        run: |_, args, context| {
            let path = text(args, 0, "what to delete", context)?;
            answer(HostCall::FileDelete { path }, context)
        },
    },
    Helper {
        name: "exists",
        signature: "file.exists(path) -> boolean",
        doc: "Whether there is a file or folder",
        effect: Effect::None,
        example: "file.exists('report.json')",
        length: 1,
        run: |_, args, context| {
            let path = text(args, 0, "what to look for", context)?;
            answer(HostCall::FileExists { path }, context)
        },
    },
    Helper {
        name: "mkdir",
        signature: "file.mkdir(path)",
        doc: "Makes a folder with its parents; one that is there is no error",
        effect: Effect::Files,
        example: "file.mkdir('recordings/today')",
        length: 1,
        run: |_, args, context| {
            let path = text(args, 0, "the folder", context)?;
            answer(HostCall::FileMkdir { path }, context)
        },
    },
    Helper {
        name: "mkdirTemp",
        signature: "file.mkdirTemp(name?, dir?) -> string",
        doc: "Makes a folder with a new name and answers its path",
        effect: Effect::Files,
        example: "file.mkdirTemp('snapshot')",
        length: 0,
        run: |_, args, context| {
            let name = optional_text(args, 0, context)?;
            let dir = optional_text(args, 1, context)?;
            answer(HostCall::FileMkdirTemp { name, dir }, context)
        },
    },
    Helper {
        name: "temp",
        signature: "file.temp(name, dir?, extension?) -> string",
        doc: "Makes an empty file with a new name and answers its path",
        effect: Effect::Files,
        example: "file.temp('calls', '.', 'json')",
        length: 1,
        run: |_, args, context| {
            let name = optional_text(args, 0, context)?.unwrap_or_default();
            let dir = optional_text(args, 1, context)?;
            let extension = optional_text(args, 2, context)?;
            let call = HostCall::FileTemp {
                name,
                dir,
                extension,
            };
            answer(call, context)
        },
    },
    Helper {
        name: "tar",
        signature: "file.tar(dir) -> string",
        doc: "Packs a folder into a `.tar.gz` in the data folder and answers its path",
        effect: Effect::Files,
        example: "file.tar('recordings')",
        length: 1,
        run: |_, args, context| {
            let dir = text(args, 0, "the folder", context)?;
            answer(HostCall::FileTar { dir }, context)
        },
    },
];

fn answer(call: HostCall, context: &mut Context) -> JsResult<JsValue> {
    let json = ask(context, call)?;
    if json.is_null() {
        return Ok(JsValue::undefined());
    }
    JsValue::from_json(&json, context)
}

fn write(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let path = text(args, 0, "the path", context)?;
    let content = content(args, context)?;
    answer(HostCall::FileWrite { path, content }, context)
}

fn append(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let path = text(args, 0, "the path", context)?;
    let content = content(args, context)?;
    answer(HostCall::FileAppend { path, content }, context)
}

/// What to write: text as it is, a plain object as JSON, nothing as nothing.
fn content(args: &[JsValue], context: &mut Context) -> JsResult<String> {
    let value = args.get_or_undefined(1);
    let text = optional_text(args, 1, context)?.unwrap_or_default();
    if text != "[object Object]" || !value.is_object() {
        return Ok(text);
    }
    let undefined = JsValue::undefined();
    let json = json::text_of(value, &undefined, &undefined, context)?;
    Ok(json.map_or(text, |json| json.to_std_string_lossy()))
}
