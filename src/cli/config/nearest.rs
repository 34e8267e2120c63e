//! The nearest known name to a misspelt one.

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
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_not() {
        let names = ["RECORDING_KFL", "S3_BUCKET"];
        assert_eq!(
            nearest("RECORDNG_KFL", names.into_iter()),
            Some("RECORDING_KFL")
        );
        assert_eq!(nearest("MY_OWN", names.into_iter()), None);
    }
}
