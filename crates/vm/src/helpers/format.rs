//! The format language of `bpf_snprintf` and `bpf_trace_printk`.

use std::fmt::Write as _;

use super::memory::{Space, fill_str};
use crate::Errno;
use crate::run::Run;

/// Most arguments of a call (`MAX_BPRINTF_VARARGS`).
const MOST_ARGUMENTS: u64 = 12;
/// Longest string that `%s` takes.
const MOST_STRING: usize = 512;

/// The numbers that are still to be printed.
pub(super) struct Arguments<'a>(std::slice::Iter<'a, u64>);

impl<'a> Arguments<'a> {
    pub(super) fn new(numbers: &'a [u64]) -> Arguments<'a> {
        Arguments(numbers.iter())
    }

    fn next(&mut self) -> Result<u64, Errno> {
        self.0.next().copied().ok_or(Errno::INVAL)
    }
}

/// An array of 64-bit arguments in the program's memory.
pub(super) fn arguments(run: &mut Run<'_>, data: u64, bytes: u64) -> Result<Vec<u64>, Errno> {
    let bytes = bytes & 0xffff_ffff;
    if !bytes.is_multiple_of(8) || bytes > MOST_ARGUMENTS * 8 || (bytes > 0 && data == 0) {
        return Err(Errno::INVAL);
    }
    let (words, _) = run.read(data, bytes)?.as_chunks::<8>();
    Ok(words.iter().map(|w| u64::from_ne_bytes(*w)).collect())
}

/// What stands between `%` and the conversion.
#[derive(Default)]
struct Spec {
    left: bool,
    zeros: bool,
    width: usize,
    /// Bytes of the number: 4, or 8 for `l` and `ll`.
    size: usize,
}

/// Prints `text` with `arguments`; `EINVAL` for what the kernel does not know.
pub(super) fn format(
    run: &mut Run<'_>,
    text: &[u8],
    mut arguments: Arguments<'_>,
) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        if bytes.next_if_eq(&b'%').is_some() {
            out.push(b'%');
            continue;
        }
        let mut spec = Spec {
            size: 4,
            ..Spec::default()
        };
        while let Some(flag) = bytes.next_if(|b| b"0+- ".contains(b)) {
            spec.left |= flag == b'-';
            spec.zeros |= flag == b'0';
        }
        while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
            spec.width = (spec.width * 10 + usize::from(digit - b'0')).min(256);
        }
        while bytes.next_if_eq(&b'l').is_some() {
            spec.size = 8;
        }
        let conversion = bytes.next().ok_or(Errno::INVAL)?;
        let value = match conversion {
            b'p' => {
                // `%pks` and `%pus` are strings of the kernel's and of the task's memory.
                let space = match bytes.peek() {
                    Some(b'k') => Some(Space::Kernel),
                    Some(b'u') => Some(Space::User),
                    _ => None,
                };
                match space {
                    Some(space) => {
                        bytes.next();
                        bytes.next_if_eq(&b's').ok_or(Errno::INVAL)?;
                        string(run, space, arguments.next()?)
                    }
                    None => {
                        // Extensions such as `%px` only print the number too.
                        bytes.next_if(|b| b"xKBSs".contains(b));
                        spec.width = 16;
                        spec.zeros = true;
                        number(arguments.next()?, b'x', 8)
                    }
                }
            }
            b's' => string(run, Space::Any, arguments.next()?),
            b'c' => vec![arguments.next()? as u8],
            b'd' | b'i' | b'u' | b'x' | b'X' => number(arguments.next()?, conversion, spec.size),
            _ => return Err(Errno::INVAL),
        };
        pad(&mut out, &value, &spec);
    }
    Ok(out)
}

fn number(value: u64, conversion: u8, size: usize) -> Vec<u8> {
    let cut = if size == 4 {
        u64::from(value as u32)
    } else {
        value
    };
    let signed = if size == 4 {
        i64::from(value as i32)
    } else {
        value as i64
    };
    let mut text = String::new();
    let _infallible = match conversion {
        b'd' | b'i' => write!(text, "{signed}"),
        b'x' => write!(text, "{cut:x}"),
        b'X' => write!(text, "{cut:X}"),
        _ => write!(text, "{cut}"),
    };
    text.into_bytes()
}

/// A string that cannot be read is empty.
fn string(run: &Run<'_>, space: Space, address: u64) -> Vec<u8> {
    let mut buffer = vec![0; MOST_STRING];
    let len = fill_str(run, space, address, &mut buffer).unwrap_or(1);
    buffer.truncate((len as usize).saturating_sub(1));
    buffer
}

fn pad(out: &mut Vec<u8>, value: &[u8], spec: &Spec) {
    let missing = spec.width.saturating_sub(value.len());
    if spec.left {
        out.extend_from_slice(value);
        out.extend(std::iter::repeat_n(b' ', missing));
        return;
    }
    if spec.zeros {
        let (sign, digits) = match value {
            [b'-', digits @ ..] => (&b"-"[..], digits),
            digits => (&b""[..], digits),
        };
        out.extend_from_slice(sign);
        out.extend(std::iter::repeat_n(b'0', missing));
        out.extend_from_slice(digits);
        return;
    }
    out.extend(std::iter::repeat_n(b' ', missing));
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::EmptyWorld;

    fn print(text: &str, arguments: &[u64]) -> Result<String, Errno> {
        let mut run = Run::new(&EmptyWorld);
        let bytes = format(&mut run, text.as_bytes(), Arguments::new(arguments))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn numbers_have_widths_and_signs() {
        let minus = -5i64 as u64;
        assert_eq!(
            print("%d %u %lld|", &[minus, minus, minus]).as_deref(),
            Ok("-5 4294967291 -5|")
        );
        assert_eq!(
            print("%5d|%-5d|%05d", &[42, 42, minus]).as_deref(),
            Ok("   42|42   |-0005")
        );
        assert_eq!(
            print("%x %lX %c %%", &[255, 1 << 36, 65]).as_deref(),
            Ok("ff 1000000000 A %")
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        assert_eq!(print("%d", &[]), Err(Errno::INVAL));
        assert_eq!(print("%q", &[1]), Err(Errno::INVAL));
        assert_eq!(print("%", &[1]), Err(Errno::INVAL));
    }
}
