//! The BTF of maps: their definitions, and the types of their keys and values.

use beetrace_btf::{BtfBuilder, IntEncoding, TypeId};

use crate::debug_info::identifier;
use crate::{Aggregate, EnumLayout, Histogram, Layout, Map, MapKind, MapRole};

const UNSIGNED: IntEncoding = IntEncoding {
    signed: false,
    char: false,
    bool: false,
};
const SIGNED: IntEncoding = IntEncoding {
    signed: true,
    ..UNSIGNED
};

/// An integer of 1, 2, 4 or 8 bytes under its name in C.
pub(super) fn int(btf: &mut BtfBuilder, size: u8, signed: bool) -> TypeId {
    let (name, size) = match (size, signed) {
        (1, true) => ("signed char", 1),
        (1, false) => ("unsigned char", 1),
        (2, true) => ("short", 2),
        (2, false) => ("unsigned short", 2),
        (4, true) => ("int", 4),
        (4, false) => ("unsigned int", 4),
        (_, true) => ("long", 8),
        (_, false) => ("unsigned long", 8),
    };
    btf.int(name, size, if signed { SIGNED } else { UNSIGNED })
}

fn array(btf: &mut BtfBuilder, of: TypeId, len: u32) -> TypeId {
    let index = int(btf, 4, false);
    btf.array(of, index, len)
}

/// So many bytes, as a number where that is a number's size.
pub(super) fn bytes(btf: &mut BtfBuilder, size: u32) -> TypeId {
    match size {
        1 | 2 | 4 | 8 => int(btf, size as u8, false),
        _ => {
            let byte = int(btf, 1, false);
            array(btf, byte, size)
        }
    }
}

/// A definition for `.maps`: the type of its variable, and the variable's size in bytes. Numbers are
/// the lengths of arrays that members point to.
pub(super) fn map(btf: &mut BtfBuilder, map: &Map) -> (TypeId, u32) {
    let mut members = vec![("type", number(btf, map.kind as u32))];
    let typed = |layout: &Layout, size: u32, btf: &mut BtfBuilder| {
        let id = match layout.size() == size && size > 0 {
            true => layout_type(btf, layout),
            false => bytes(btf, size),
        };
        btf.ptr(id)
    };
    match (map.kind, &map.role) {
        (MapKind::RingBuf, _) => {}
        (_, MapRole::User(user)) => {
            members.push(("key", typed(&user.key, map.key_size, btf)));
            members.push(("value", typed(&user.value, map.value_size, btf)));
        }
        _ => {
            members.push(("key_size", number(btf, map.key_size)));
            members.push(("value_size", number(btf, map.value_size)));
        }
    }
    members.push(("max_entries", number(btf, map.max_entries)));
    let places = members.iter().zip((0..).step_by(64));
    let members: Vec<_> = places.map(|((name, id), at)| (*name, *id, at)).collect();
    let size = members.len() as u32 * 8;
    (btf.structure("", size, &members), size)
}

/// `int (*)[n]`
fn number(btf: &mut BtfBuilder, n: u32) -> TypeId {
    let int = int(btf, 4, true);
    let array = array(btf, int, n);
    btf.ptr(array)
}

/// The type of a value, of the layout's size.
fn layout_type(btf: &mut BtfBuilder, layout: &Layout) -> TypeId {
    match layout {
        Layout::Unit => array_of_bytes(btf, 0),
        Layout::Bool => {
            let encoding = IntEncoding {
                bool: true,
                ..UNSIGNED
            };
            btf.int("_Bool", 1, encoding)
        }
        Layout::Int { size, signed } => int(btf, *size, *signed),
        Layout::Enum(e) => enumeration(btf, e),
        Layout::Pointer { .. } => btf.ptr(TypeId::VOID),
        Layout::Str { size } => {
            let encoding = IntEncoding {
                char: true,
                ..SIGNED
            };
            let char = btf.int("char", 1, encoding);
            array(btf, char, *size)
        }
        Layout::Buf { capacity } => {
            let len = int(btf, 4, false);
            let data = array_of_bytes(btf, *capacity);
            structure(btf, "buffer", &[("len", len, 4), ("data", data, *capacity)])
        }
        Layout::Array { of, len } => {
            let of = layout_type(btf, of);
            array(btf, of, *len)
        }
        Layout::Tuple(a) | Layout::Record(a) | Layout::Struct(a) => aggregate(btf, a),
        Layout::Ksym | Layout::CgroupPath { .. } | Layout::Username | Layout::Count => {
            int(btf, 8, false)
        }
        Layout::Usym => numbers(
            btf,
            "user_symbol",
            &[("address", 8), ("pid", 4), ("program", 4)],
        ),
        Layout::Stack(_) => numbers(btf, "stack", &[("id", 8), ("pid", 4), ("frames", 4)]),
        Layout::Inet => {
            let family = int(btf, 4, false);
            let address = array_of_bytes(btf, 16);
            structure(
                btf,
                "address",
                &[("family", family, 4), ("bytes", address, 16)],
            )
        }
        Layout::Mac => array_of_bytes(btf, 6),
        Layout::Timestamp { .. } => {
            numbers(btf, "timestamp", &[("nsecs", 8), ("clock", 4), ("zero", 4)])
        }
        Layout::Sum { signed } => int(btf, 8, *signed),
        Layout::Min { signed } | Layout::Max { signed } => {
            pair(btf, "extreme", ["value", "set"], *signed)
        }
        Layout::Avg { signed } | Layout::Stats { signed } => {
            pair(btf, "statistics", ["total", "count"], *signed)
        }
        Layout::Hist(histogram) => counters(btf, *histogram),
        Layout::TSeries(series) => {
            let number = int(btf, 8, false);
            let value = int(btf, 8, true);
            let members = [
                ("epoch", number, 8),
                ("value", value, 8),
                ("meta", number, 8),
                ("zero", number, 8),
            ];
            let entry = structure(btf, "series_entry", &members);
            array(btf, entry, series.buckets)
        }
    }
}

fn counters(btf: &mut BtfBuilder, histogram: Histogram) -> TypeId {
    let counter = int(btf, 8, false);
    array(btf, counter, histogram.buckets())
}

fn array_of_bytes(btf: &mut BtfBuilder, len: u32) -> TypeId {
    let byte = int(btf, 1, false);
    array(btf, byte, len)
}

/// A struct of members one behind the other: name, type, size in bytes.
fn structure(btf: &mut BtfBuilder, name: &str, members: &[(&str, TypeId, u32)]) -> TypeId {
    let mut at = 0u32;
    let mut placed = Vec::new();
    for (name, id, size) in members {
        placed.push((*name, *id, at.saturating_mul(8)));
        at = at.saturating_add(*size);
    }
    btf.structure(name, at, &placed)
}

/// A struct of unsigned numbers: name, size in bytes.
fn numbers(btf: &mut BtfBuilder, name: &str, members: &[(&str, u8)]) -> TypeId {
    let members: Vec<_> = members
        .iter()
        .map(|(name, size)| (*name, int(btf, *size, false), u32::from(*size)))
        .collect();
    structure(btf, name, &members)
}

/// A number of the aggregate's sign, and an unsigned one.
fn pair(btf: &mut BtfBuilder, name: &str, members: [&str; 2], signed: bool) -> TypeId {
    let first = int(btf, 8, signed);
    let second = int(btf, 8, false);
    let [a, b] = members;
    structure(btf, name, &[(a, first, 8), (b, second, 8)])
}

fn enumeration(btf: &mut BtfBuilder, e: &EnumLayout) -> TypeId {
    let values: Vec<_> = e
        .variants
        .iter()
        .map(|(value, name)| (name.as_str(), *value as i64))
        .collect();
    match e.size {
        8 => btf.enum64(&e.name, e.signed, &values),
        size => btf.enumeration(&e.name, size.into(), &values),
    }
}

fn aggregate(btf: &mut BtfBuilder, a: &Aggregate) -> TypeId {
    let members: Vec<_> = a
        .members
        .iter()
        .filter(|m| m.layout.size() > 0)
        .enumerate()
        .map(|(n, m)| {
            let name = match m.name.is_empty() {
                true => format!("_{n}"),
                false => identifier(&m.name),
            };
            let shift = m.bits.map_or(0, |bits| bits.shift);
            let width = m.bits.map_or(0, |bits| bits.width);
            let at = m.offset.saturating_mul(8).saturating_add(shift);
            (name, layout_type(btf, &m.layout), at, width)
        })
        .collect();
    let name = match a.name.is_empty() {
        true => String::new(),
        false => identifier(a.name.rsplit(' ').next().unwrap_or_default()),
    };
    if members.iter().any(|m| m.3 != 0) {
        let members: Vec<_> = members
            .iter()
            .map(|(name, id, at, width)| (name.as_str(), *id, *at, *width as u8))
            .collect();
        return btf.bitfields(&name, a.size, &members);
    }
    let members: Vec<_> = members
        .iter()
        .map(|(name, id, at, _)| (name.as_str(), *id, *at))
        .collect();
    btf.structure(&name, a.size, &members)
}
