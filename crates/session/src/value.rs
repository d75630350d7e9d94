//! Values as user space sees them, decoded from the bytes of a record or a map.

use std::borrow::Cow;
use std::cmp::Ordering;

use beetrace_object::{Aggregate, BitField, Clock, EnumLayout, Layout};

use crate::resolve::Resolve;

/// A decoded value. Strings are bytes, because a traced program owes nobody UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value: an interval of a time series in which nothing happened.
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Str(Cow<'a, [u8]>),
    /// A number with a name: an enumerator, a pointer, a label of a histogram. Text shows the name, JSON the number.
    Symbolic(String, u64),
    Buf(&'a [u8]),
    Array(Vec<Value<'a>>),
    Tuple(Vec<Value<'a>>),
    /// Members with names, of a record or a C struct.
    Record(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl Value<'_> {
    pub fn text(s: impl Into<String>) -> Value<'static> {
        Value::Str(Cow::Owned(s.into().into_bytes()))
    }

    /// The number behind the value, where there is one.
    pub fn number(&self) -> Option<i128> {
        match self {
            Value::Bool(b) => Some(i128::from(*b)),
            Value::Int(n) => Some(i128::from(*n)),
            Value::Uint(n) | Value::Symbolic(_, n) => Some(i128::from(*n)),
            _ => None,
        }
    }

    /// Numbers by size, all else as equal.
    pub fn compare_numbers(&self, other: &Value<'_>) -> Ordering {
        self.number().cmp(&other.number())
    }
}

/// The bytes at `offset`; what lies beyond the end reads as nothing.
fn bytes(data: &[u8], offset: usize, len: usize) -> &[u8] {
    let end = offset.saturating_add(len).min(data.len());
    data.get(offset.min(end)..end).unwrap_or(&[])
}

/// A little number of up to eight bytes, zero-extended; missing bytes are zero.
pub fn read_uint(data: &[u8], offset: usize, size: usize) -> u64 {
    let mut le = [0u8; 8];
    let from = bytes(data, offset, size.min(8));
    if cfg!(target_endian = "little") {
        le[..from.len()].copy_from_slice(from);
        u64::from_le_bytes(le)
    } else {
        le[8 - from.len()..].copy_from_slice(from);
        u64::from_be_bytes(le)
    }
}

/// The same, sign-extended.
pub fn read_int(data: &[u8], offset: usize, size: usize) -> i64 {
    sign_extend(read_uint(data, offset, size), size as u32 * 8)
}

fn sign_extend(n: u64, bits: u32) -> i64 {
    let unused = 64 - bits.clamp(1, 64);
    ((n << unused) as i64) >> unused
}

/// The bytes of a string up to its NUL, with the trailer where it filled its space.
fn string<'a>(data: &'a [u8], size: usize, trailer: &str) -> Cow<'a, [u8]> {
    let space = bytes(data, 0, size);
    match space.iter().position(|&b| b == 0) {
        Some(end) => Cow::Borrowed(&space[..end]),
        None if size == 0 || trailer.is_empty() => Cow::Borrowed(space),
        None => Cow::Owned([space, trailer.as_bytes()].concat()),
    }
}

fn bit_field(data: &[u8], size: usize, signed: bool, bits: BitField) -> Value<'static> {
    let raw = read_uint(data, 0, size) >> bits.shift.min(63);
    let mask = if bits.width >= 64 {
        u64::MAX
    } else {
        (1 << bits.width) - 1
    };
    let n = raw & mask;
    if signed {
        Value::Int(sign_extend(n, bits.width))
    } else {
        Value::Uint(n)
    }
}

fn enumerator(e: &EnumLayout, data: &[u8]) -> Value<'static> {
    let size = usize::from(e.size);
    let n = if e.signed {
        read_int(data, 0, size) as u64
    } else {
        read_uint(data, 0, size)
    };
    match e.variants.iter().find(|(value, _)| *value == n) {
        Some((_, name)) => Value::Symbolic(name.clone(), n),
        None => Value::Symbolic(n.to_string(), n),
    }
}

fn members<'a>(
    a: &'a Aggregate,
    data: &'a [u8],
    resolve: &mut dyn Resolve,
) -> impl Iterator<Item = Value<'a>> {
    a.members
        .iter()
        .map(|m| {
            let at = bytes(data, m.offset as usize, m.layout.size() as usize);
            match (m.bits, &m.layout) {
                (Some(bits), Layout::Int { size, signed }) => {
                    bit_field(at, usize::from(*size), *signed, bits)
                }
                (Some(bits), Layout::Enum(e)) => bit_field(at, usize::from(e.size), e.signed, bits),
                (Some(bits), Layout::Bool) => {
                    Value::Bool(bit_field(at, 1, false, bits).number() != Some(0))
                }
                _ => decode(&m.layout, at, resolve),
            }
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// Decodes one value. Short data reads as zeros. Aggregates are for [`crate::maps`]; here they show their total on one processor.
pub fn decode<'a>(layout: &'a Layout, data: &'a [u8], resolve: &mut dyn Resolve) -> Value<'a> {
    match layout {
        Layout::Unit => Value::Tuple(Vec::new()),
        Layout::Bool => Value::Bool(read_uint(data, 0, 1) != 0),
        Layout::Int { size, signed: true } => Value::Int(read_int(data, 0, usize::from(*size))),
        Layout::Int {
            size,
            signed: false,
        } => Value::Uint(read_uint(data, 0, usize::from(*size))),
        Layout::Enum(e) => enumerator(e, data),
        Layout::Pointer { .. } => {
            let n = read_uint(data, 0, 8);
            Value::Symbolic(format!("{n:#x}"), n)
        }
        Layout::Str { size } => {
            Value::Str(string(data, *size as usize, resolve.truncation_trailer()))
        }
        Layout::Buf { capacity } => {
            let len = (read_uint(data, 0, 4) as usize).min(*capacity as usize);
            Value::Buf(bytes(data, 4, len))
        }
        Layout::Array { of, len } => {
            let size = of.size() as usize;
            let element = |i: u32| decode(of, bytes(data, i as usize * size, size), resolve);
            Value::Array((0..*len).map(element).collect())
        }
        Layout::Tuple(a) => Value::Tuple(members(a, data, resolve).collect()),
        // Bytes that the language cannot read, such as a `float`.
        Layout::Struct(a) if a.members.is_empty() && a.size > 0 => Value::Null,
        Layout::Record(a) | Layout::Struct(a) => {
            let names = a.members.iter().map(|m| Cow::Borrowed(m.name.as_str()));
            Value::Record(names.zip(members(a, data, resolve)).collect())
        }
        Layout::Ksym => Value::text(resolve.kernel_symbol(read_uint(data, 0, 8))),
        Layout::Usym => {
            let (address, pid) = (read_uint(data, 0, 8), read_uint(data, 8, 4) as u32);
            Value::text(resolve.user_symbol(address, pid, read_uint(data, 12, 4) as u32))
        }
        Layout::Stack(stack) => {
            Value::text(resolve.stack(stack, read_uint(data, 0, 8), read_uint(data, 8, 4) as u32))
        }
        Layout::Inet => Value::text(address(data)),
        Layout::Mac => Value::text(mac(data)),
        Layout::Timestamp { format } => {
            let clock = match read_uint(data, 8, 4) {
                0 => Clock::Monotonic,
                2 => Clock::Tai,
                3 => Clock::SwTai,
                _ => Clock::Boot,
            };
            Value::text(resolve.timestamp(format, read_uint(data, 0, 8), clock))
        }
        Layout::CgroupPath { filter } => {
            Value::text(resolve.cgroup_path(read_uint(data, 0, 8), filter.as_deref()))
        }
        Layout::Username => Value::text(resolve.username(read_uint(data, 0, 8))),
        Layout::Count => Value::Uint(read_uint(data, 0, 8)),
        Layout::Sum { signed } | Layout::Min { signed } | Layout::Max { signed } => {
            number(data, *signed)
        }
        Layout::Avg { signed } | Layout::Stats { signed } => number(data, *signed),
        Layout::Hist(_) | Layout::TSeries(_) => Value::Null,
    }
}

fn number(data: &[u8], signed: bool) -> Value<'static> {
    if signed {
        Value::Int(read_int(data, 0, 8))
    } else {
        Value::Uint(read_uint(data, 0, 8))
    }
}

/// `AF_INET6` of Linux (include/linux/socket.h).
const AF_INET6: u64 = 10;

fn address(data: &[u8]) -> String {
    let octets = bytes(data, 4, 16);
    if read_uint(data, 0, 4) == AF_INET6 {
        <[u8; 16]>::try_from(octets).map_or_else(
            |_| String::new(),
            |a| std::net::Ipv6Addr::from(a).to_string(),
        )
    } else {
        let first = octets.first_chunk::<4>();
        first.map_or_else(String::new, |a| std::net::Ipv4Addr::from(*a).to_string())
    }
}

fn mac(data: &[u8]) -> String {
    let hex: Vec<String> = bytes(data, 0, 6)
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    hex.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Unresolved;

    fn show(layout: &Layout, data: &[u8]) -> Value<'static> {
        match decode(layout, data, &mut Unresolved) {
            Value::Str(s) => Value::Str(Cow::Owned(s.into_owned())),
            Value::Int(n) => Value::Int(n),
            Value::Uint(n) => Value::Uint(n),
            Value::Symbolic(s, n) => Value::Symbolic(s, n),
            other => panic!("unexpected {other:?}"),
        }
    }

    #[test]
    fn integers_of_every_size() {
        let data = [0xff; 8];
        assert_eq!(
            show(
                &Layout::Int {
                    size: 2,
                    signed: true
                },
                &data
            ),
            Value::Int(-1)
        );
        assert_eq!(
            show(
                &Layout::Int {
                    size: 2,
                    signed: false
                },
                &data
            ),
            Value::Uint(0xffff)
        );
        assert_eq!(
            show(
                &Layout::Int {
                    size: 8,
                    signed: false
                },
                &[1]
            ),
            Value::Uint(1)
        );
    }

    #[test]
    fn a_full_string_gets_a_trailer() {
        let layout = Layout::Str { size: 4 };
        assert_eq!(show(&layout, b"abc\0"), Value::text("abc"));
        assert_eq!(show(&layout, b"abcd"), Value::text("abcd.."));
    }

    #[test]
    fn what_has_no_fields_has_no_value() {
        let float = Layout::Struct(
            Aggregate {
                name: "float".into(),
                size: 4,
                members: Vec::new(),
            }
            .into(),
        );
        assert_eq!(decode(&float, &[0; 4], &mut Unresolved), Value::Null);
    }

    #[test]
    fn addresses() {
        let mut data = [0u8; 20];
        data[0] = 2;
        data[4..8].copy_from_slice(&[127, 0, 0, 1]);
        assert_eq!(show(&Layout::Inet, &data), Value::text("127.0.0.1"));
        data[0] = 10;
        data[4..20].copy_from_slice(&std::net::Ipv6Addr::LOCALHOST.octets());
        assert_eq!(show(&Layout::Inet, &data), Value::text("::1"));
        assert_eq!(
            show(&Layout::Mac, &[0x18, 0xc0, 0, 1, 2, 3]),
            Value::text("18:C0:00:01:02:03")
        );
    }

    #[test]
    fn bit_fields_keep_their_sign() {
        assert_eq!(
            bit_field(&[0b1110_0000], 1, true, BitField { shift: 5, width: 3 }),
            Value::Int(-1)
        );
        assert_eq!(
            bit_field(&[0b1110_0000], 1, false, BitField { shift: 4, width: 3 }),
            Value::Uint(6)
        );
    }
}
