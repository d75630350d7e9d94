//! The values of literals: integers with their suffixes, strings with their escapes.

use std::ops::Range;

/// Why a literal has no value, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct LiteralError {
    pub(crate) message: String,
    /// Bytes of the literal's own text.
    pub(crate) range: Range<usize>,
    pub(crate) help: Option<&'static str>,
}

impl LiteralError {
    fn new(message: impl Into<String>, range: Range<usize>) -> Self {
        LiteralError {
            message: message.into(),
            range,
            help: None,
        }
    }

    fn help(mut self, help: &'static str) -> Self {
        self.help = Some(help);
        self
    }
}

/// Nanoseconds in each unit of time that a literal may end with.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// The value of an integer literal: decimal, `0x` hexadecimal, `0` octal or `1e6`, underscores between the digits,
/// then C's suffixes (which change nothing) or a unit of time (which makes it nanoseconds).
pub(crate) fn integer(text: &str) -> Result<u64, LiteralError> {
    let bytes = text.as_bytes();
    let (radix, prefix) = match bytes {
        [b'0', b'x' | b'X', ..] => (16, 2),
        [b'0', b'0'..=b'9', ..] => (8, 0),
        _ => (10, 0),
    };
    let digits_end = run(bytes, prefix, |b| (b as char).is_digit(radix));
    let mut value = digits(text, prefix..digits_end, radix)?;
    let mut end = digits_end;
    if radix == 10 && matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent_end = run(bytes, end + 1, |b| b.is_ascii_digit());
        if !(1..10).contains(&value) {
            return Err(LiteralError::new(
                "the part before `e` must be a single digit from 1 to 9",
                0..end,
            ));
        }
        if exponent_end == end + 1 {
            return Err(
                LiteralError::new("the exponent has no digits", end..text.len())
                    .help("write a whole number, such as `1e6`; there are no fractions"),
            );
        }
        let exponent = digits(text, end + 1..exponent_end, 10)?;
        value = u32::try_from(exponent)
            .ok()
            .and_then(|e| 10u64.checked_pow(e))
            .and_then(|scale| value.checked_mul(scale))
            .ok_or_else(|| too_large(text))?;
        end = exponent_end;
    }
    let suffix = text.get(end..).unwrap_or_default();
    if let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == suffix) {
        return value.checked_mul(*scale).ok_or_else(|| too_large(text));
    }
    match suffix.to_ascii_lowercase().as_str() {
        "" | "u" | "l" | "ll" | "ul" | "ull" | "lu" | "llu" => Ok(value),
        _ => Err(LiteralError::new(
            format!("invalid suffix `{suffix}` of an integer"),
            end..text.len(),
        )
        .help("suffixes are the units ns, us, ms, s, m, h, d and C's u, l, ul, ll, ull")),
    }
}

fn too_large(text: &str) -> LiteralError {
    LiteralError::new(
        format!("integer is too large: the largest is {}", u64::MAX),
        0..text.len(),
    )
}

/// The end of the run of digits and underscores from `at`.
fn run(bytes: &[u8], at: usize, is_digit: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .take_while(|&&b| is_digit(b) || b == b'_')
        .count()
}

fn digits(text: &str, range: Range<usize>, radix: u32) -> Result<u64, LiteralError> {
    let part = text.get(range.clone()).unwrap_or_default();
    if part.ends_with('_') {
        return Err(LiteralError::new(
            "an integer cannot end with an underscore",
            range.end - 1..range.end,
        ));
    }
    let mut value = 0u64;
    let mut any = false;
    for digit in part.chars().filter_map(|c| c.to_digit(radix)) {
        any = true;
        value = value
            .checked_mul(u64::from(radix))
            .and_then(|v| v.checked_add(u64::from(digit)))
            .ok_or_else(|| too_large(text))?;
    }
    if any {
        Ok(value)
    } else {
        Err(LiteralError::new("integer has no digits", 0..text.len()))
    }
}

/// First of the 128 private characters that stand for bytes 0x80 to 0xff outside UTF-8.
const LOOSE: u32 = 0x10_ff00;

/// The text of a string literal given with its quotes, and every mistake in it.
///
/// Escapes may make bytes that are no UTF-8 (`"\xff"`). Each such byte becomes a character of Unicode's last private
/// range; [`bytes`] turns it back, and is the only way to the bytes of a string of the tree.
pub(crate) fn string(text: &str) -> (String, Vec<LiteralError>) {
    let mut errors = Vec::new();
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 1;
    let mut closed = false;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'"' => {
                closed = true;
                break;
            }
            b'\\' => at = escape(text, at, &mut out, &mut errors),
            _ => {
                out.push(b);
                at += 1;
            }
        }
    }
    if !closed {
        errors.push(
            LiteralError::new("string is not closed", 0..text.len())
                .help("add `\"` at the end, or write `\\n` for a line break"),
        );
    }
    (from_bytes(&out), errors)
}

/// Reads one escape whose backslash is at `at`; returns the place behind it.
fn escape(text: &str, at: usize, out: &mut Vec<u8>, errors: &mut Vec<LiteralError>) -> usize {
    let bytes = text.as_bytes();
    let mut plain = |b: u8| {
        out.push(b);
        at + 2
    };
    match bytes.get(at + 1).copied() {
        Some(b'n') => plain(b'\n'),
        Some(b't') => plain(b'\t'),
        Some(b'r') => plain(b'\r'),
        Some(b @ (b'"' | b'\\' | b'\'')) => plain(b),
        Some(b'\n') => at + 2,
        Some(b'\r') if bytes.get(at + 2) == Some(&b'\n') => at + 3,
        Some(b'0'..=b'7') => numeric(text, at, at + 1, 3, 8, out, errors),
        Some(b'x' | b'X') => numeric(text, at, at + 2, 2, 16, out, errors),
        Some(_) => {
            let c = text
                .get(at + 1..)
                .and_then(|t| t.chars().next())
                .unwrap_or('\\');
            let end = at + 1 + c.len_utf8();
            errors.push(
                LiteralError::new(format!("unknown escape `\\{c}`"), at..end).help(
                    "escapes are \\n \\t \\r \\\" \\\\, \\nnn in octal and \\xnn in hexadecimal",
                ),
            );
            end
        }
        None => at + 1,
    }
}

/// An escape by number: up to `max` digits from `first`.
fn numeric(
    text: &str,
    at: usize,
    first: usize,
    max: usize,
    radix: u32,
    out: &mut Vec<u8>,
    errors: &mut Vec<LiteralError>,
) -> usize {
    let mut value = 0u32;
    let mut end = first;
    for c in text.get(first..).unwrap_or_default().chars().take(max) {
        let Some(digit) = c.to_digit(radix) else {
            break;
        };
        value = value * radix + digit;
        end += 1;
    }
    if end == first {
        errors.push(LiteralError::new(
            "an escape `\\x` needs one or two hexadecimal digits",
            at..end,
        ));
        return end;
    }
    match u8::try_from(value) {
        Ok(b) => out.push(b),
        Err(_) => errors.push(LiteralError::new(
            format!("octal escape `\\{value:o}` is larger than a byte"),
            at..end,
        )),
    }
    end
}

fn from_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(
            chunk
                .invalid()
                .iter()
                .filter_map(|&b| char::from_u32(LOOSE + u32::from(b))),
        );
    }
    text
}

/// The bytes that a string of the tree stands for: UTF-8, apart from single bytes made by escapes.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c).checked_sub(LOOSE).map(u8::try_from) {
            Some(Ok(b @ 0x80..)) => out.push(b),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_integers() {
        for (text, value) in [
            ("0", 0),
            ("1_000", 1000),
            ("0x5e5", 0x5e5),
            ("0XFFul", 255),
            ("0777", 0o777),
            ("1e6", 1_000_000),
            ("5e1_0", 50_000_000_000),
            ("7ULL", 7),
            ("3us", 3_000),
            ("1m", 60_000_000_000),
            ("2d", 172_800_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(integer(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn refuses_integers() {
        for (text, message) in [
            (
                "18446744073709551616",
                "integer is too large: the largest is 18446744073709551615",
            ),
            (
                "1e20",
                "integer is too large: the largest is 18446744073709551615",
            ),
            (
                "300000d",
                "integer is too large: the largest is 18446744073709551615",
            ),
            (
                "12e4",
                "the part before `e` must be a single digit from 1 to 9",
            ),
            ("1e", "the exponent has no digits"),
            ("1_", "an integer cannot end with an underscore"),
            ("1ulll", "invalid suffix `ulll` of an integer"),
            ("0x", "integer has no digits"),
            ("08", "invalid suffix `8` of an integer"),
        ] {
            match integer(text) {
                Err(e) => assert_eq!(e.message, message, "{text}"),
                Ok(v) => assert_eq!(v.to_string(), message, "{text} has a value"),
            }
        }
    }

    #[test]
    fn reads_escapes() {
        assert_eq!(
            string(r#""a\tb\n\"\\\101\x41\xe2\x82\xac""#),
            ("a\tb\n\"\\AA€".to_string(), vec![])
        );
        assert_eq!(string("\"one \\\ntwo\"").0, "one two");
    }

    #[test]
    fn keeps_loose_bytes() {
        let (text, errors) = string(r#""é\xff\0""#);
        assert_eq!(errors, []);
        assert_eq!(bytes(&text), [0xc3, 0xa9, 0xff, 0]);
    }

    #[test]
    fn reports_each_bad_escape() {
        let (_, errors) = string(r#""\q\777\xz"#);
        let messages: Vec<_> = errors
            .iter()
            .map(|e| (e.message.as_str(), e.range.clone()))
            .collect();
        assert_eq!(
            messages,
            [
                ("unknown escape `\\q`", 1..3),
                ("octal escape `\\777` is larger than a byte", 3..7),
                ("an escape `\\x` needs one or two hexadecimal digits", 7..9),
                ("string is not closed", 0..10),
            ]
        );
    }
}
