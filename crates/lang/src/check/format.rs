//! Format strings of `printf` and its kin.

use beetrace_object::{BufStyle, Conversion, ConversionKind, Format, Piece};

/// A `%…` as it stands in the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) conversion: Conversion,
    /// The letters that choose the conversion: `d`, `s`, `rx`. Ones that nothing prints are kept for the message.
    pub(crate) letters: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Spec(Spec),
}

/// Takes a format string apart. A `%` that begins no conversion is text.
pub(crate) fn parse(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        match spec(rest) {
            Some((_, len)) if rest[..len].ends_with('%') => {
                plain.push('%');
                rest = &rest[len..];
            }
            Some((spec, len)) => {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Spec(spec));
                rest = &rest[len..];
            }
            None => {
                plain.push('%');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    parts
}

/// A conversion at the start of the text, which is a `%`, and its length in bytes.
fn spec(text: &str) -> Option<(Spec, usize)> {
    let bytes = text.as_bytes();
    let mut at = 1;
    let mut flag = |byte: u8| {
        let found = bytes.get(at) == Some(&byte);
        at += usize::from(found);
        found
    };
    let (left, plus, space, alternate, zero) =
        (flag(b'-'), flag(b'+'), flag(b' '), flag(b'#'), flag(b'0'));
    let number = |at: &mut usize| {
        let start = *at;
        if bytes.get(*at) == Some(&b'*') {
            *at += 1;
            return None;
        }
        while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
            *at += 1;
        }
        text[start..*at].parse::<u32>().ok()
    };
    let width = number(&mut at);
    let mut precision = None;
    if bytes.get(at) == Some(&b'.') {
        let dot = at;
        at += 1;
        precision = number(&mut at);
        if at == dot + 1 {
            return None;
        }
    }
    let modifiers = at;
    while bytes.get(at).is_some_and(|b| b"hlLjzt".contains(b)) {
        at += 1;
    }
    let bits = match &text[modifiers..at] {
        "" => None,
        "hh" => Some(8),
        "h" => Some(16),
        _ => Some(64),
    };
    let rest = text.get(at..)?;
    let letters = ["gr", "rh", "rx", "g", "r"]
        .into_iter()
        .find(|l| rest.starts_with(l))
        .or_else(|| {
            let first = rest.get(..1)?;
            "diouxXeEfFGaAcspn%".contains(first).then_some(first)
        })?;
    at += letters.len();
    let kind = match letters {
        "u" => ConversionKind::Unsigned,
        "x" => ConversionKind::Hex,
        "X" => ConversionKind::HexUpper,
        "o" => ConversionKind::Octal,
        "p" => ConversionKind::Pointer,
        "c" => ConversionKind::Char,
        "s" => ConversionKind::Str,
        "r" => ConversionKind::Buf(BufStyle::Mixed),
        "rx" => ConversionKind::Buf(BufStyle::Escaped),
        "rh" => ConversionKind::Buf(BufStyle::Spaced),
        "gr" => ConversionKind::GfpFlags,
        _ => ConversionKind::Signed,
    };
    let conversion = Conversion {
        left,
        zero,
        plus,
        space,
        alternate,
        width,
        precision,
        bits,
        kind,
        text: text.get(..at)?.to_owned(),
    };
    let letters = letters.to_owned();
    Some((
        Spec {
            conversion,
            letters,
        },
        at,
    ))
}

/// The format as the run will use it.
pub(crate) fn finish(parts: Vec<Part>) -> Format {
    Format {
        pieces: parts
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => Piece::Text(text),
                Part::Spec(spec) => Piece::Conversion(spec.conversion),
            })
            .collect(),
    }
}

/// The text of a format with constants in it: what `fail` says.
pub(crate) fn fill(parts: &[Part], values: &[String]) -> String {
    let mut values = values.iter();
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Spec(_) => values.next().cloned().unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Vec<String> {
        parse(text)
            .into_iter()
            .map(|part| match part {
                Part::Text(t) => format!("{t:?}"),
                Part::Spec(s) => format!("{}={}", s.conversion.text, s.letters),
            })
            .collect()
    }

    #[test]
    fn conversions_and_text_alternate() {
        assert_eq!(
            show("a %-6d|%08llx %s%%\n"),
            [
                "\"a \"", "%-6d=d", "\"|\"", "%08llx=x", "\" \"", "%s=s", "\"%\\n\""
            ]
        );
        assert_eq!(
            show("%rx %r %rh %gr"),
            [
                "%rx=rx", "\" \"", "%r=r", "\" \"", "%rh=rh", "\" \"", "%gr=gr"
            ]
        );
    }

    #[test]
    fn what_is_no_conversion_is_text() {
        assert_eq!(show("100% é%"), ["\"100% é%\""]);
        assert_eq!(show("%"), ["\"%\""]);
        assert_eq!(show("%y"), ["\"%y\""]);
        assert_eq!(show("%99999999999d"), ["%99999999999d=d"]);
        assert_eq!(show("%5%"), ["\"%\""]);
    }
}
