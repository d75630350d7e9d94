//! `printf`: a format taken apart, and values put into it.

use beetrace_object::{BufStyle, Conversion, ConversionKind, Format, Piece};

use crate::gfp;
use crate::text::{BufForm, write_buf, write_display, write_value};
use crate::value::Value;

/// Appends the format with the values in the places of its conversions.
pub fn write_format<'a>(
    out: &mut Vec<u8>,
    format: &Format,
    mut values: impl Iterator<Item = Value<'a>>,
) {
    for piece in &format.pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Conversion(c) => {
                if let Some(value) = values.next() {
                    write_conversion(out, c, &value);
                }
            }
        }
    }
}

fn write_conversion(out: &mut Vec<u8>, c: &Conversion, value: &Value<'_>) {
    let start = out.len();
    match (c.kind, value.number()) {
        (ConversionKind::Str, _) => write_value(out, value),
        (ConversionKind::Buf(style), _) => match value {
            Value::Buf(bytes) => {
                let form = match style {
                    BufStyle::Mixed => BufForm::Mixed,
                    BufStyle::Escaped => BufForm::Escaped,
                    BufStyle::Spaced => BufForm::Spaced,
                };
                write_buf(out, bytes, form);
            }
            other => write_value(out, other),
        },
        // The checker lets only numbers through to the rest; a string that got here shows itself.
        (_, None) => write_value(out, value),
        (kind, Some(n)) => write_number(out, c, kind, n as u64),
    }
    pad(out, start, c);
}

/// `n` is the number's low 64 bits.
fn write_number(out: &mut Vec<u8>, c: &Conversion, kind: ConversionKind, n: u64) {
    let bits = u32::from(c.bits.unwrap_or(32)).clamp(8, 64);
    let unsigned = n & (u64::MAX >> (64 - bits));
    let signed = ((n << (64 - bits)) as i64) >> (64 - bits);
    match kind {
        ConversionKind::Signed => {
            if c.plus && signed >= 0 {
                out.push(b'+');
            }
            write_display(out, signed);
        }
        ConversionKind::Unsigned => write_display(out, unsigned),
        ConversionKind::Hex if c.alternate && unsigned != 0 => {
            write_display(out, format_args!("{unsigned:#x}"))
        }
        ConversionKind::Hex => write_display(out, format_args!("{unsigned:x}")),
        ConversionKind::HexUpper if c.alternate && unsigned != 0 => {
            write_display(out, format_args!("0X{unsigned:X}"));
        }
        ConversionKind::HexUpper => write_display(out, format_args!("{unsigned:X}")),
        ConversionKind::Octal if c.alternate && unsigned != 0 => {
            write_display(out, format_args!("0{unsigned:o}"))
        }
        ConversionKind::Octal => write_display(out, format_args!("{unsigned:o}")),
        ConversionKind::Pointer if n == 0 => out.push(b'0'),
        ConversionKind::Pointer => write_display(out, format_args!("{n:#x}")),
        ConversionKind::Char => out.push(n as u8),
        ConversionKind::GfpFlags => out.extend_from_slice(gfp::flags(n).as_bytes()),
        ConversionKind::Str | ConversionKind::Buf(_) => {}
    }
}

/// Widens what stands behind `start` to the conversion's width.
fn pad(out: &mut Vec<u8>, start: usize, c: &Conversion) {
    let width = c.width.unwrap_or(0) as usize;
    let have = out.len() - start;
    let Some(missing) = width.checked_sub(have).filter(|n| *n > 0) else {
        return;
    };
    let fill = if c.zero { b'0' } else { b' ' };
    if c.left {
        out.resize(start + width, fill);
    } else {
        // The fill goes before the sign, too: that is what the peer's streams do.
        out.splice(start..start, std::iter::repeat_n(fill, missing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversion(kind: ConversionKind) -> Conversion {
        Conversion {
            left: false,
            zero: false,
            plus: false,
            space: false,
            alternate: false,
            width: None,
            precision: None,
            bits: None,
            kind,
            text: String::new(),
        }
    }

    fn show(c: Conversion, value: Value<'_>) -> String {
        let mut out = Vec::new();
        let format = Format {
            pieces: vec![
                Piece::Text("<".into()),
                Piece::Conversion(c),
                Piece::Text(">".into()),
            ],
        };
        write_format(&mut out, &format, std::iter::once(value));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_are_cut_to_their_length() {
        assert_eq!(
            show(conversion(ConversionKind::Signed), Value::Uint(0xffff_ffff)),
            "<-1>"
        );
        let long = Conversion {
            bits: Some(64),
            ..conversion(ConversionKind::Signed)
        };
        assert_eq!(show(long, Value::Uint(0xffff_ffff)), "<4294967295>");
        let byte = Conversion {
            bits: Some(8),
            ..conversion(ConversionKind::Hex)
        };
        assert_eq!(show(byte, Value::Int(-1)), "<ff>");
    }

    #[test]
    fn widths() {
        let c = Conversion {
            width: Some(5),
            ..conversion(ConversionKind::Signed)
        };
        assert_eq!(show(c.clone(), Value::Int(42)), "<   42>");
        assert_eq!(
            show(
                Conversion {
                    left: true,
                    ..c.clone()
                },
                Value::Int(42)
            ),
            "<42   >"
        );
        assert_eq!(
            show(
                Conversion {
                    zero: true,
                    ..c.clone()
                },
                Value::Int(42)
            ),
            "<00042>"
        );
        assert_eq!(
            show(
                Conversion {
                    kind: ConversionKind::Str,
                    ..c
                },
                Value::text("ab")
            ),
            "<   ab>"
        );
    }

    #[test]
    fn other_bases_and_characters() {
        let alternate = Conversion {
            alternate: true,
            ..conversion(ConversionKind::Hex)
        };
        assert_eq!(show(alternate, Value::Uint(255)), "<0xff>");
        assert_eq!(
            show(conversion(ConversionKind::Pointer), Value::Uint(0x1234)),
            "<0x1234>"
        );
        assert_eq!(
            show(conversion(ConversionKind::Char), Value::Uint(65)),
            "<A>"
        );
        assert_eq!(
            show(conversion(ConversionKind::Octal), Value::Uint(8)),
            "<10>"
        );
    }

    #[test]
    fn enumerators_have_a_number_and_a_name() {
        let e = || Value::Symbolic("FOO".into(), 6);
        assert_eq!(show(conversion(ConversionKind::Signed), e()), "<6>");
        assert_eq!(show(conversion(ConversionKind::Str), e()), "<FOO>");
    }
}
