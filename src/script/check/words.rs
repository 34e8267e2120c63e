//! Small readings of text: a line of a script, the parameters of a signature.

/// Characters of a source line that are quoted.
const MAX_QUOTE: usize = 120;

/// A line of a script, from 1, blanks around it cut off.
pub(super) fn line(code: &str, line: u32) -> String {
    let index = usize::try_from(line)
        .ok()
        .and_then(|line| line.checked_sub(1));
    let text = index.and_then(|index| code.lines().nth(index));
    text.unwrap_or_default()
        .trim()
        .chars()
        .take(MAX_QUOTE)
        .collect()
}

/// The parameters of a signature such as `file.temp(name, dir?, extension?) -> string`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameters<'a> {
    /// Their texts, in order.
    pub(super) names: Vec<&'a str>,
    /// How many a call may have; `None` when there is no end.
    pub(super) most: Option<usize>,
}

/// Reads the parameters out of a signature; braces hold what is one parameter.
pub(super) fn parameters(signature: &str) -> Parameters<'_> {
    let inside = signature
        .split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(')'))
        .map_or("", |(inside, _)| inside);
    let mut names = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let name = inside.get(start..at).unwrap_or_default().trim();
                if !name.is_empty() {
                    names.push(name);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    let endless = names.last().is_some_and(|name| name.starts_with("..."));
    let most = (!endless).then_some(names.len());
    Parameters { names, most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read() {
        let read = parameters("file.temp(name, dir?, extension?) -> string");
        assert_eq!(read.names, ["name", "dir?", "extension?"]);
        assert_eq!(read.most, Some(3));
        assert_eq!(parameters("console.log(...values)").most, None);
        assert_eq!(parameters("console.clear()").names, [""; 0]);
        let read = parameters("recording.set({name, kfl, ...}) -> object");
        assert_eq!((read.names, read.most), (vec!["{name, kfl, ...}"], Some(1)));
    }
}
