//! `docs/reference/scripting.md`: hooks, globals, helpers.

use super::super::hooks;
use super::{GENERATED, code, head, row};
use crate::pipeline::host::{CREDENTIALS, Used};
use crate::script::api::{Effect, GLOBALS, Global, GlobalKind};

const INTRODUCTION: &str = "\
# Scripts

A script is a file of plain JavaScript in a folder of `scripting.source`. It defines hooks, which are
called when something happens, and calls helpers, which are globals. Each script runs in a process of
its own without files and network; whatever it changes goes through a helper.

- `tapedeck scripts new NAME` starts one, with types for the editor beside it.
- `tapedeck scripts check FOLDER` finds mistakes without running anything.
- `tapedeck run SCRIPT --pcap FILE --watch` runs it over a capture, and again whenever it is saved;
  `--dry-run` shows what would be sent instead of sending it.
- `tapedeck test FOLDER --pcap FILE` runs the tests beside scripts, see
  [testing scripts](../testing-scripts.md).

What hooks are told is described in [item.md](item.md), what each protocol adds in
[protocols.md](protocols.md).

";

const FILTER: &str = "
### Only some items

A query at the item hook keeps other items out of the script altogether: they are left out before
anything is sent to its process, and cost it nothing.

```js
function onItemCaptured(data) { console.log(data.request.path) }
onItemCaptured.kfl = 'http and response.status >= 500'
```

Without it, or with `undefined` or an empty text, the hook is told every item. A query that is invalid
when the script is loaded makes the load fail; one that is set later is told on the console, and the
last good one stays. `tapedeck scripts` shows how many items the query left out.
`onItemQueried` and `onPacketCaptured` have no such query.

### What others see

`onItemQueried` is asked about each item that a dashboard or client gets: rows, details, searches and
the feeds, after `tap.globalFilter` and the query with what they redact. It is asked while tapping, on
each node of a cluster, and over a recorded source, where scripts without the hook are not started and
helpers that reach out are refused. Sums, packets, downloads and `tapedeck query` do not ask it; what
must never be seen is for `redact` in `tap.globalFilter`.

An item about which a script has not answered within half a second is withheld: a row says so in its
place. After two seconds of such waiting the rest of an answer is withheld without asking. A script that
throws leaves the item as it is.
";

const SECRETS: &str = "
## Credentials

A script sees the values of `scripting.env`, and those of `scripting.envFor` that are meant for it; it
passes them to helpers. What it leaves empty may come from the environment of tapedeck itself, which no
script can read. A credential of the environment is never sent to an address that a script chose.

";

const HABITS: &str = "
## Scripts of other times

- `scripting.elapsedTime: us` gives `data.elapsedTime` in microseconds; without it, in milliseconds.
  `kfl.match` and `wrapper.buildHAR` know which it is: a query compares the microseconds of the item
  either way, and of an object of the script's own the number that it has.
- `kfl.validate(undefined)` is true, as it was when `undefined` was taken for the name of a field;
  `kfl.match(undefined, data)` is false. A query that is a text must be valid.
- `scripting.dates: otto` makes text of dates as the engine otto did, `Fri, 02 Feb 2024 12:00:00 UTC`;
  without it, as ECMAScript says. `Date.parse` and `JSON.stringify` are the same in both.
";

/// The page.
pub(super) fn render() -> String {
    let mut out = GENERATED.to_owned() + INTRODUCTION;
    out.push_str("## Hooks\n\nA hook is a function at the top level of a script. An exception in one is printed on the console, and the script goes on.\n\n");
    out.push_str(&head(&["hook", "called", "name of early 2023"]));
    for (hook, doc) in hooks::documented() {
        if let Some(doc) = doc {
            let names: Vec<&str> = doc
                .parameters
                .split(", ")
                .filter_map(|parameter| parameter.split(':').next())
                .collect();
            let call = code(&format!("{}({})", hook.name(), names.join(", ")));
            let old = match hook.old_name() {
                old if old == hook.name() => String::new(),
                old => code(old),
            };
            out.push_str(&row(&[&call, doc.doc, &old]));
        }
    }
    out.push_str(FILTER);
    out.push_str("\n## Globals\n");
    for global in GLOBALS {
        out.push_str(&section(global));
    }
    out.push_str(SECRETS);
    out.push_str(&head(&["helper", "argument", "variables", "used"]));
    for one in CREDENTIALS {
        let variables: Vec<String> = one.variables.iter().map(|name| code(name)).collect();
        let used = match one.used {
            Used::Always => "when the argument is empty",
            Used::AtItsAddress => {
                "when the argument is empty and the address is the environment's too"
            }
            Used::ByItsClient => "as the service's own client does, which looks in further places",
        };
        let helpers: Vec<String> = one.helper.split(", ").map(code).collect();
        let arguments: Vec<String> = one.argument.split(", ").map(code).collect();
        out.push_str(&row(&[
            &helpers.join(", "),
            &arguments.join(", "),
            &variables.join(", "),
            used,
        ]));
    }
    out.push_str(HABITS);
    out
}

fn section(global: &Global) -> String {
    let mut out = format!("\n### `{}`\n\n{}.\n", global.name, global.doc);
    let helpers = global.helpers();
    if helpers.is_empty() || matches!(global.kind, GlobalKind::Values(_)) {
        return out;
    }
    out.push('\n');
    out.push_str(&head(&["call", "what it does", "what it may change"]));
    for helper in helpers {
        out.push_str(&row(&[
            &code(helper.signature),
            helper.doc,
            changes(helper.effect),
        ]));
    }
    out.push_str("\n```js\n");
    for helper in helpers {
        out.push_str(helper.example);
        out.push('\n');
    }
    out.push_str("```\n");
    out
}

fn changes(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "",
        Effect::Console => "the console",
        Effect::Item => "the item",
        Effect::Files => "the script's data folder",
        Effect::Network => "services outside",
        Effect::Recording => "recordings",
        Effect::Schedule => "jobs and timers",
    }
}
