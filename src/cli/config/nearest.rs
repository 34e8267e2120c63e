//! The nearest known name to a misspelt one.

use super::keys::KEYS;

/// The key or section that a misspelt path means: the nearest path; else the map that the first names
/// of it nearly are, with the rest; else the one key that is called so elsewhere.
pub fn nearest_key(path: &str) -> Option<String> {
    let sections = KEYS.iter().flat_map(|key| {
        let dots = key.path.match_indices('.');
        dots.filter_map(|(dot, _)| key.path.get(..dot))
    });
    let paths = KEYS.iter().map(|key| key.path).chain(sections);
    if let Some(near) = nearest(path, paths) {
        return Some(near.to_owned());
    }
    let maps = || {
        let maps = KEYS.iter().filter(|key| key.kind.has_names());
        maps.map(|key| key.path)
    };
    for (dot, _) in path.rmatch_indices('.') {
        let (Some(first), Some(rest)) = (path.get(..dot), path.get(dot..)) else {
            continue;
        };
        if let Some(map) = nearest(first, maps()) {
            return Some(format!("{map}{rest}"));
        }
    }
    let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    let wanted = path.rsplit('.').next().unwrap_or(path);
    let near = nearest(wanted, KEYS.iter().map(|key| last(key.path)))?;
    let mut called_so = KEYS.iter().filter(|key| last(key.path) == near);
    match (called_so.next(), called_so.next()) {
        (Some(only), None) => Some(only.path.to_owned()),
        _ => None,
    }
}

/// The candidate that differs least from `name`; `None` when none is near.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_ascii_lowercase();
    let cap = wanted.len() / 4 + 1;
    candidates
        .filter(|candidate| candidate.len().abs_diff(wanted.len()) <= cap)
        .map(|candidate| {
            (
                distance(&wanted, &candidate.to_ascii_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= cap)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance over bytes; both texts are short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (corner + usize::from(x != y))
                .min(above + 1)
                .min(row[j] + 1);
            corner = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{nearest, nearest_key};

    #[test]
    fn near_names_are_found_and_far_ones_not() {
        let names = ["RECORDING_KFL", "S3_BUCKET"];
        assert_eq!(
            nearest("RECORDNG_KFL", names.into_iter()),
            Some("RECORDING_KFL")
        );
        assert_eq!(nearest("MY_OWN", names.into_iter()), None);
    }

    #[test]
    fn misspelt_paths_lead_to_keys_sections_and_names_below_maps() {
        for (path, meant) in [
            ("tap.proxy.frnt", Some("tap.proxy.front")),
            ("tap.headles", Some("headless")),
            (
                "scripting.evn.RECORDING_KFL",
                Some("scripting.env.RECORDING_KFL"),
            ),
            ("tap.storageLimt", Some("tap.storageLimit")),
            ("moon.phase.of.the.night", None),
        ] {
            assert_eq!(nearest_key(path).as_deref(), meant, "{path}");
        }
    }
}
