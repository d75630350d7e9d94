//! Values as text.

use std::io::Write as _;

use crate::value::Value;

/// Appends the value in the text form of `print` and `%s`.
pub fn write_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(n) => write_display(out, n),
        Value::Uint(n) => write_display(out, n),
        Value::Str(s) => out.extend_from_slice(s),
        Value::Symbolic(name, _) => out.extend_from_slice(name.as_bytes()),
        Value::Buf(bytes) => write_buf(out, bytes, BufForm::Mixed),
        // Tuples and records have a space behind the comma, arrays have none.
        Value::Array(items) => write_list(out, items, b"[", b",", b"]"),
        Value::Tuple(items) => write_list(out, items, b"(", b", ", b")"),
        Value::Record(fields) if fields.is_empty() => out.extend_from_slice(b"{}"),
        Value::Record(fields) => {
            for (i, (name, field)) in fields.iter().enumerate() {
                out.extend_from_slice(if i == 0 { b"{ ." } else { b", ." });
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b" = ");
                write_value(out, field);
            }
            out.extend_from_slice(b" }");
        }
    }
}

fn write_list(out: &mut Vec<u8>, items: &[Value<'_>], open: &[u8], comma: &[u8], close: &[u8]) {
    out.extend_from_slice(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(comma);
        }
        write_value(out, item);
    }
    out.extend_from_slice(close);
}

/// Appends what `Display` shows.
pub fn write_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

/// How the bytes of a buffer are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufForm {
    /// Printable ASCII as it is, other bytes as `\x00`.
    Mixed,
    /// Every byte as `\x00`.
    Escaped,
    /// Every byte as `00`, with spaces between.
    Spaced,
}

pub fn write_buf(out: &mut Vec<u8>, bytes: &[u8], form: BufForm) {
    for (i, &b) in bytes.iter().enumerate() {
        match form {
            BufForm::Mixed if (32..=126).contains(&b) => out.push(b),
            BufForm::Mixed | BufForm::Escaped => write_display(out, format_args!("\\x{b:02x}")),
            BufForm::Spaced if i == 0 => write_display(out, format_args!("{b:02x}")),
            BufForm::Spaced => write_display(out, format_args!(" {b:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn text(value: Value<'_>) -> String {
        let mut out = Vec::new();
        write_value(&mut out, &value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nested_values() {
        let array = Value::Array(vec![Value::Int(1), Value::Int(2)]);
        let tuple = Value::Tuple(vec![Value::Int(-3), Value::text("x"), array]);
        assert_eq!(text(tuple), "(-3, x, [1,2])");
        let record = Value::Record(vec![
            (Cow::Borrowed("a"), Value::Bool(true)),
            (Cow::Borrowed("b"), Value::Record(Vec::new())),
        ]);
        assert_eq!(text(record), "{ .a = true, .b = {} }");
    }

    #[test]
    fn buffers_in_three_forms() {
        let form = |f| {
            let mut out = Vec::new();
            write_buf(&mut out, b"a\x00\xff", f);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(form(BufForm::Mixed), r"a\x00\xff");
        assert_eq!(form(BufForm::Escaped), r"\x61\x00\xff");
        assert_eq!(form(BufForm::Spaced), "61 00 ff");
    }
}
