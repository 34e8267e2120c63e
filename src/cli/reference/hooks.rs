//! What is said about hooks: their arguments, and when they are called.

use crate::script::wire::Hook;

/// A hook for people and editors.
pub(super) struct HookDoc {
    /// The hook's name.
    pub(super) name: &'static str,
    /// Its parameters in TypeScript.
    pub(super) parameters: &'static str,
    /// What it may return, in TypeScript.
    pub(super) returns: &'static str,
    /// When it is called, and what a return value does.
    pub(super) doc: &'static str,
}

static HOOKS: &[HookDoc] = &[
    HookDoc {
        name: "onPacketCaptured",
        parameters: "info: PacketInfo",
        returns: "void",
        doc: "Called for every packet that was captured, fragments too",
    },
    HookDoc {
        name: "onItemCaptured",
        parameters: "data: Item",
        returns: "void",
        doc: "Called once for every item: a request with its response, or a single message; of those only that `onItemCaptured.kfl` matches, when the script states a query there",
    },
    HookDoc {
        name: "onItemQueried",
        parameters: "data: Item, query: string",
        returns: "object | void",
        doc: "Called for an item that is about to be shown to somebody who asked with this query; an object that is returned takes its place, the last script's wins; of members such as `id`, `stream` and `timestamp` that it leaves out those of the item stay",
    },
    HookDoc {
        name: "onJobPassed",
        parameters: "tag: string, cron: string, limit: number",
        returns: "void",
        doc: "Called in every script when a job of any script has ended well",
    },
    HookDoc {
        name: "onJobFailed",
        parameters: "tag: string, cron: string, limit: number, err: string",
        returns: "void",
        doc: "Called in every script when a job of any script has thrown",
    },
    HookDoc {
        name: "onPodEvent",
        parameters: "event: string, pod: any",
        returns: "void",
        doc: "Called when a pod was added, modified or deleted (`ADDED`, `MODIFIED`, `DELETED`)",
    },
    HookDoc {
        name: "onHubAction",
        parameters: "action: string, object: any",
        returns: "void",
        doc: "Called in the hub instance of every script when any script calls `hub.action`",
    },
    HookDoc {
        name: "onLogCall",
        parameters: "level: string, msg: string",
        returns: "void",
        doc: "Called for each log record of tapedeck itself; the message is JSON text",
    },
];

/// The hooks that there are, with what is said about each.
pub(super) fn documented() -> impl Iterator<Item = (Hook, Option<&'static HookDoc>)> {
    Hook::ALL
        .into_iter()
        .map(|hook| (hook, HOOKS.iter().find(|doc| doc.name == hook.name())))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_hook_is_documented() {
        for (hook, doc) in super::documented() {
            assert!(doc.is_some(), "say in HOOKS what {} is", hook.name());
        }
    }
}
