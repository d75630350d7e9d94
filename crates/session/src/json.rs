//! Values as JSON.

use crate::text::{write_display, write_value};
use crate::value::Value;

/// Appends a string literal. Bytes that are no UTF-8 are replaced, since JSON has no way to say them.
pub fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if c < ' ' => write_display(out, format_args!("\\u{:04x}", u32::from(c))),
            c => write_display(out, c),
        }
    }
    out.push(b'"');
}

/// Appends a number, in quotes where a double cannot hold it.
fn write_number(out: &mut Vec<u8>, n: i128) {
    if n as f64 as i128 == n {
        write_display(out, n);
    } else {
        write_display(out, format_args!("\"{n}\""));
    }
}

pub fn write_json(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => write_display(out, b),
        Value::Int(n) => write_number(out, i128::from(*n)),
        Value::Uint(n) | Value::Symbolic(_, n) => write_number(out, i128::from(*n)),
        Value::Str(s) => write_string(out, s),
        Value::Buf(bytes) => {
            // A list of signed characters, as the peer has it.
            let items: Vec<_> = bytes
                .iter()
                .map(|&b| Value::Int(i64::from(b as i8)))
                .collect();
            write_list(out, &items);
        }
        Value::Array(items) | Value::Tuple(items) => write_list(out, items),
        Value::Record(fields) => {
            out.push(b'{');
            for (i, (name, field)) in fields.iter().enumerate() {
                if i > 0 {
                    out.extend_from_slice(b", ");
                }
                write_string(out, name.as_bytes());
                out.extend_from_slice(b": ");
                write_json(out, field);
            }
            out.push(b'}');
        }
    }
}

fn write_list(out: &mut Vec<u8>, items: &[Value<'_>]) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_json(out, item);
    }
    out.push(b']');
}

/// Appends a map's key as the name of a member: its text without spaces and without the parentheses of a tuple.
pub fn write_key(out: &mut Vec<u8>, key: &Value<'_>) {
    let mut text = Vec::new();
    write_value(&mut text, key);
    if text.len() >= 2 && text.starts_with(b"(") && text.ends_with(b")") {
        text = text[1..text.len() - 1].to_vec();
    }
    text.retain(|&b| b != b' ');
    write_string(out, &text);
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn json(value: Value<'_>) -> String {
        let mut out = Vec::new();
        write_json(&mut out, &value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_that_no_double_holds_are_quoted() {
        assert_eq!(json(Value::Uint(1 << 53)), "9007199254740992");
        assert_eq!(json(Value::Uint((1 << 53) + 1)), "\"9007199254740993\"");
        assert_eq!(json(Value::Int(-5)), "-5");
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(json(Value::text("a\"\\\n\u{1}")), r#""a\"\\\n\u0001""#);
    }

    #[test]
    fn nested_values() {
        let record = Value::Record(vec![(Cow::Borrowed("a"), Value::Buf(b"\x01\xff"))]);
        assert_eq!(
            json(Value::Tuple(vec![Value::Null, record])),
            r#"[null,{"a": [1,-1]}]"#
        );
    }

    #[test]
    fn keys_are_bare() {
        let mut out = Vec::new();
        write_key(
            &mut out,
            &Value::Tuple(vec![Value::text("a b"), Value::Int(2)]),
        );
        assert_eq!(out, b"\"ab,2\"");
    }
}
