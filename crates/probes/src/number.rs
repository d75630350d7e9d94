//! Numbers inside attach points: counts, addresses, durations.

/// Why a text is no number. Displays as the rest of a sentence, e.g. `invalid integer: x`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("invalid integer: {0}")]
    Invalid(String),
    #[error("invalid trailing bytes: {0}")]
    Trailing(String),
    #[error("coefficient part of scientific literal must be 1-9: {0}")]
    Coefficient(String),
    #[error("overflow error, maximum value is {max}: {text}")]
    Overflow { max: u64, text: String },
}

/// Suffix, largest value, factor.
const SUFFIXES: &[(&str, u64, u64)] = &[
    ("", u64::MAX, 1),
    ("u", u32::MAX as u64, 1),
    ("ul", u64::MAX, 1),
    ("ull", u64::MAX, 1),
    ("l", i64::MAX as u64, 1),
    ("ll", i64::MAX as u64, 1),
    ("ns", u64::MAX, 1),
    ("us", u64::MAX, 1_000),
    ("ms", u64::MAX, 1_000_000),
    ("s", u64::MAX, 1_000_000_000),
    ("m", u64::MAX, 60_000_000_000),
    ("h", u64::MAX, 3_600_000_000_000),
    ("d", u64::MAX, 86_400_000_000_000),
];

/// A number as the language writes it: decimal, `0x`, `0b`, octal with a leading zero, `_` anywhere, `1e6`, and a suffix for
/// the type (`u`, `ul`, `ull`, `l`, `ll`) or for a duration in nanoseconds (`ns`, `us`, `ms`, `s`, `m`, `h`, `d`).
pub fn parse_uint(text: &str) -> Result<u64, NumberError> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let bytes = plain.as_bytes();
    let (radix, skip) = match bytes {
        [b'0', b'x' | b'X', ..] => (16, 2),
        [b'0', b'b' | b'B', ..] => (2, 2),
        [b'0', b'0'..=b'7', ..] => (8, 1),
        // C reads a zero and stops at a digit that is not octal.
        [b'0', b'8' | b'9', ..] => (8, 0),
        _ => (10, 0),
    };
    let digits = plain.get(skip..).unwrap_or_default();
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let (number, rest) = digits.split_at(end);
    if number.is_empty() {
        return Err(NumberError::Invalid(text[skip.min(text.len())..].into()));
    }
    let overflow = |max| NumberError::Overflow {
        max,
        text: text.into(),
    };
    let mut value = u64::from_str_radix(number, radix).map_err(|_| overflow(u64::MAX))?;
    let mut rest = rest;
    if let Some((exponent, suffix)) = exponent(rest) {
        if !(1..10).contains(&value) {
            return Err(NumberError::Coefficient(text.into()));
        }
        value = exponent
            .and_then(|e| 10u64.checked_pow(e))
            .and_then(|factor| value.checked_mul(factor))
            .ok_or_else(|| overflow(u64::MAX))?;
        rest = suffix;
    }
    let (_, max, factor) = SUFFIXES
        .iter()
        .find(|(suffix, ..)| *suffix == rest)
        .ok_or_else(|| NumberError::Trailing(text.into()))?;
    if value > max / factor {
        return Err(overflow(*max));
    }
    Ok(value * factor)
}

/// The exponent of a scientific literal (`None` where it is too large) and what follows it.
fn exponent(rest: &str) -> Option<(Option<u32>, &str)> {
    let digits = rest.strip_prefix(['e', 'E'])?;
    if !digits.starts_with(|c| matches!(c, '1'..='9')) {
        return None;
    }
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let (number, suffix) = digits.split_at(end);
    Some((number.parse().ok(), suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, value) in [
            ("0", 0),
            ("42", 42),
            ("1_000", 1000),
            ("0x10", 16),
            ("0b101", 5),
            ("010", 8),
            ("1e6", 1_000_000),
            ("5E3", 5_000),
            ("1s", 1_000_000_000),
            ("10us", 10_000),
            ("1e3ms", 1_000_000_000),
            ("7ull", 7),
            ("2d", 172_800_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_uint(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, message) in [
            ("", "invalid integer: "),
            ("s", "invalid integer: s"),
            ("1x", "invalid trailing bytes: 1x"),
            ("08", "invalid trailing bytes: 08"),
            ("-1", "invalid integer: -1"),
            (
                "12e3",
                "coefficient part of scientific literal must be 1-9: 12e3",
            ),
            (
                "1e20",
                "overflow error, maximum value is 18446744073709551615: 1e20",
            ),
            (
                "5000000000u",
                "overflow error, maximum value is 4294967295: 5000000000u",
            ),
            (
                "99999999999999999999",
                "overflow error, maximum value is 18446744073709551615: 99999999999999999999",
            ),
        ] {
            assert_eq!(
                parse_uint(text).map_err(|e| e.to_string()),
                Err(message.into()),
                "{text}"
            );
        }
    }
}
