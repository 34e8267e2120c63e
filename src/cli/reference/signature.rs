//! Signatures of helpers, `file.temp(name, dir?) -> string`, as TypeScript.
//!
//! In: the text that the reference page shows. Out: parameters and result with types. Never: a guess
//! that forbids a right call; what is not known is `any`.

/// Types of parameters by their names, which mean the same in every helper.
const TYPES: &[(&str, &[&str])] = &[
    (
        "string",
        &[
            "accountKey",
            "accountName",
            "action",
            "apiKey",
            "bucket",
            "certificateFingerprint",
            "channelId",
            "cloudId",
            "color",
            "connectionString",
            "container",
            "content",
            "cron",
            "description",
            "dir",
            "extension",
            "from",
            "jsonText",
            "key",
            "keyId",
            "level",
            "measurement",
            "method",
            "name",
            "namespace",
            "org",
            "password",
            "path",
            "pcapsDir",
            "pretext",
            "prompt",
            "query",
            "region",
            "secret",
            "serviceToken",
            "stream",
            "tag",
            "text",
            "to",
            "token",
            "url",
            "username",
            "webhookUrl",
        ],
    ),
    ("number", &["id", "limit", "maxTokens", "ms", "value"]),
    ("boolean", &["quiet"]),
    ("string[]", &["selectedPcaps"]),
    ("Item[]", &["items"]),
    ("(...args: any[]) => void", &["task"]),
    ("{ [name: string]: any }", &["headers", "labels", "tags"]),
];

/// The parameters in parentheses and the result, as a method's signature in TypeScript.
pub(super) fn typescript(signature: &str) -> String {
    let (call, returned) = match signature.rsplit_once(") -> ") {
        Some((call, returned)) => (call, Some(returned.trim())),
        None => (signature.trim_end_matches(')'), None),
    };
    let inside = call.split_once('(').map_or("", |(_, inside)| inside);
    let parameters: Vec<String> = split(inside).iter().map(|one| parameter(one)).collect();
    format!("({}): {}", parameters.join(", "), result(returned))
}

/// Parameters at the top level of a list.
fn split(inside: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let part = inside.get(start..at).unwrap_or_default().trim();
                if !part.is_empty() {
                    parts.push(part);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

fn parameter(text: &str) -> String {
    if let Some(rest) = text.strip_prefix("...") {
        return format!("...{rest}: any[]");
    }
    if text.starts_with('{') {
        return format!("options: {}", members(text, "any"));
    }
    let (name, optional) = match text.strip_suffix('?') {
        Some(name) => (name, "?"),
        None => (text, ""),
    };
    format!("{name}{optional}: {}", type_of(name))
}

fn type_of(name: &str) -> &'static str {
    TYPES
        .iter()
        .find(|(_, names)| names.contains(&name))
        .map_or("any", |(kind, _)| kind)
}

/// `{name, kfl, ...}` as a type whose members are all optional.
fn members(text: &str, kind: &str) -> String {
    let inside = text.trim_start_matches('{').trim_end_matches('}');
    let mut members = Vec::new();
    let mut open = false;
    for name in split(inside) {
        match name.trim_end_matches('?') {
            "..." => open = true,
            name => members.push(format!("{name}?: {kind}")),
        }
    }
    if open {
        members.push("[name: string]: any".to_owned());
    }
    format!("{{ {} }}", members.join("; "))
}

fn result(returned: Option<&str>) -> String {
    match returned {
        None => "void".to_owned(),
        Some("id") => "number".to_owned(),
        Some("object" | "data") => "any".to_owned(),
        Some(text) if text.starts_with('{') => members(text, "number").replace("?:", ":"),
        Some(text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::typescript;

    #[test]
    fn signatures_become_typescript() {
        let cases = [
            ("console.clear()", "(): void"),
            (
                "file.temp(name, dir?, extension?) -> string",
                "(name: string, dir?: string, extension?: string): string",
            ),
            (
                "jobs.schedule(tag, cron, task, limit?, ...args)",
                "(tag: string, cron: string, task: (...args: any[]) => void, limit?: number, ...args: any[]): void",
            ),
            (
                "recording.set({name, kfl, ...}) -> object",
                "(options: { name?: any; kfl?: any; [name: string]: any }): any",
            ),
            (
                "setTimeout(task, ms) -> id",
                "(task: (...args: any[]) => void, ms: number): number",
            ),
            (
                "x.y(text) -> {neg, pos}",
                "(text: string): { neg: number; pos: number }",
            ),
        ];
        for (signature, expected) in cases {
            assert_eq!(typescript(signature), expected);
        }
    }
}
