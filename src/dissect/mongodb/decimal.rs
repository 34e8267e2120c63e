//! Decimal numbers of 128 bits, as BSON has them, as text.
//!
//! In: the two halves of a number in the binary integer encoding of IEEE 754-2008. Out: its text in
//! the form that "MongoDB Extended JSON (v2)" asks for. Never: arithmetic beyond that.

/// What is taken off the exponent as it is stored.
const BIAS: i32 = 6176;

/// Largest coefficient: 34 digits.
const MAX_COEFFICIENT: u128 = 10u128.pow(34) - 1;

/// The text of a number.
pub(super) fn text(high: u64, low: u64) -> String {
    let sign = if high >> 63 == 1 { "-" } else { "" };
    match high >> 58 & 0x1f {
        0x1f => return "NaN".into(),
        0x1e => return format!("{sign}Infinity"),
        _ => {}
    }
    // With both bits set the coefficient would have more than 34 digits: such a number is zero.
    let is_large = high >> 61 & 3 == 3;
    let shift = if is_large { 47 } else { 49 };
    let exponent = i32::try_from(high >> shift & 0x3fff).unwrap_or_default() - BIAS;
    let coefficient = u128::from(high & 0x0001_ffff_ffff_ffff) << 64 | u128::from(low);
    let digits = match is_large || coefficient > MAX_COEFFICIENT {
        true => "0".to_owned(),
        false => coefficient.to_string(),
    };
    format!("{sign}{}", placed(&digits, exponent))
}

/// Digits with the point where the exponent puts it.
fn placed(digits: &str, exponent: i32) -> String {
    let count = i32::try_from(digits.len()).unwrap_or_default();
    let scientific = count - 1 + exponent;
    if exponent > 0 || scientific < -6 {
        let (first, rest) = digits.split_at_checked(1).unwrap_or_default();
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{first}{point}{rest}E{scientific:+}");
    }
    if exponent == 0 {
        return digits.to_owned();
    }
    let point = usize::try_from(count + exponent).unwrap_or_default();
    match digits.split_at_checked(point) {
        Some((whole, fraction)) if point > 0 => format!("{whole}.{fraction}"),
        _ => {
            let zeros = usize::try_from(-(count + exponent)).unwrap_or_default();
            format!("0.{}{digits}", "0".repeat(zeros))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    /// Vectors of the BSON corpus, `decimal128-1.json`.
    #[test]
    fn numbers_have_the_text_of_the_corpus() {
        let cases = [
            (0x7c00_0000_0000_0000, 0, "NaN"),
            (0x7800_0000_0000_0000, 0, "Infinity"),
            (0xf800_0000_0000_0000, 0, "-Infinity"),
            (0x3040_0000_0000_0000, 0, "0"),
            (0xb040_0000_0000_0000, 0, "-0"),
            (0x3040_0000_0000_0000, 1, "1"),
            (0x303a_0000_0000_0000, 0x3039, "12.345"),
            (0x3036_0000_0000_0000, 1, "0.00001"),
            (0x3032_0000_0000_0000, 1, "1E-7"),
            (0x3046_0000_0000_0000, 1, "1E+3"),
            (0x3046_0000_0000_0000, 12, "1.2E+4"),
            (
                0x5fff_ed09_bead_87c0,
                0x378d_8e63_ffff_ffff,
                "9.999999999999999999999999999999999E+6144",
            ),
            (0x6c10_0000_0000_0000, 0, "0"),
        ];
        for (high, low, expected) in cases {
            assert_eq!(text(high, low), expected, "{high:x} {low:x}");
        }
    }
}
