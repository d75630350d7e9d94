//! The bytes of BTF: header, type records and their extents
//! (Documentation/bpf/btf.rst, include/uapi/linux/btf.h).

use std::ops::Range;

use crate::BtfError;

/// `BTF_MAGIC`.
pub(crate) const MAGIC: u16 = 0xeb9f;
/// `BTF_VERSION`.
pub(crate) const VERSION: u8 = 1;
/// Bytes of `struct btf_header`.
pub(crate) const HEADER_LEN: usize = 24;
/// Bytes of `struct btf_type`, which starts every type record.
pub(crate) const TYPE_LEN: usize = 12;

/// The kinds of types (`BTF_KIND_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    DataSec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

impl Kind {
    pub(crate) const fn new(kind: u8) -> Option<Kind> {
        Some(match kind {
            1 => Kind::Int,
            2 => Kind::Ptr,
            3 => Kind::Array,
            4 => Kind::Struct,
            5 => Kind::Union,
            6 => Kind::Enum,
            7 => Kind::Fwd,
            8 => Kind::Typedef,
            9 => Kind::Volatile,
            10 => Kind::Const,
            11 => Kind::Restrict,
            12 => Kind::Func,
            13 => Kind::FuncProto,
            14 => Kind::Var,
            15 => Kind::DataSec,
            16 => Kind::Float,
            17 => Kind::DeclTag,
            18 => Kind::TypeTag,
            19 => Kind::Enum64,
            _ => return None,
        })
    }

    /// Bytes that follow `struct btf_type`: a fixed number, and so many an element.
    pub(crate) const fn extra(self) -> (usize, usize) {
        match self {
            Kind::Int | Kind::Var | Kind::DeclTag => (4, 0),
            Kind::Array => (12, 0),
            Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => (0, 12),
            Kind::Enum | Kind::FuncProto => (0, 8),
            Kind::Ptr
            | Kind::Fwd
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::Float
            | Kind::TypeTag => (0, 0),
        }
    }
}

/// Bytes of a record by the code of its kind: a fixed number, 0 for unknown kinds, and so many an
/// element. A table lets a walk over all types go without a branch a kind.
static SPANS: [(u8, u8); 32] = {
    let mut spans = [(0, 0); 32];
    let mut code = 0;
    while code < 32 {
        if let Some(kind) = Kind::new(code as u8) {
            let (fixed, each) = kind.extra();
            spans[code] = ((TYPE_LEN + fixed) as u8, each as u8);
        }
        code += 1;
    }
    spans
};

/// The number at `at` in the machine's byte order, as the kernel writes BTF.
pub(crate) fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*bytes))
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_ne_bytes(*bytes))
}

/// Where the sections are, as ranges of the whole data.
pub(crate) struct Sections {
    pub(crate) types: Range<usize>,
    pub(crate) strings: Range<usize>,
}

pub(crate) fn parse_header(data: &[u8]) -> Result<Sections, BtfError> {
    let short = BtfError::Truncated("the header");
    let magic = u16_at(data, 0).ok_or(BtfError::Truncated("the header"))?;
    if magic != MAGIC {
        return Err(BtfError::Magic(magic));
    }
    let version = *data.get(2).ok_or(BtfError::Truncated("the header"))?;
    if version != VERSION {
        return Err(BtfError::Version(version));
    }
    let field = |n: usize| u32_at(data, n).and_then(|v| usize::try_from(v).ok());
    let fields = (field(4), field(8), field(12), field(16), field(20));
    let (Some(header), Some(type_off), Some(type_len), Some(str_off), Some(str_len)) = fields
    else {
        return Err(short);
    };
    if header < HEADER_LEN {
        return Err(short);
    }
    let section = |off: usize, len: usize, what| {
        let start = header.checked_add(off);
        let end = start.and_then(|s| s.checked_add(len));
        match (start, end) {
            (Some(start), Some(end)) if end <= data.len() => Ok(start..end),
            _ => Err(BtfError::Truncated(what)),
        }
    };
    Ok(Sections {
        types: section(type_off, type_len, "the type section")?,
        strings: section(str_off, str_len, "the string section")?,
    })
}

/// The start of a type record (`struct btf_type`).
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) name: u32,
    info: u32,
    size_or_type: u32,
}

impl Head {
    /// Reads the start of the record at the start of `data`.
    #[inline]
    pub(crate) fn read(data: &[u8]) -> Option<Head> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *data.first_chunk::<TYPE_LEN>()?;
        Some(Head {
            name: u32::from_ne_bytes([a, b, c, d]),
            info: u32::from_ne_bytes([e, f, g, h]),
            size_or_type: u32::from_ne_bytes([i, j, k, l]),
        })
    }

    /// The code of the kind.
    #[inline]
    pub(crate) fn code(self) -> u8 {
        (self.info >> 24) as u8 & 0x1f
    }

    /// Bytes of the whole record, 0 for an unknown kind.
    #[inline]
    pub(crate) fn span(self) -> usize {
        let (fixed, each) = SPANS[usize::from(self.code())];
        usize::from(fixed) + usize::from(each) * usize::from(self.info as u16)
    }
}

/// One type record: the fields of `struct btf_type` and the bytes that follow them.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: u32,
    /// Number of elements: members, enumerators, parameters, variables.
    pub(crate) vlen: u16,
    /// Meaning depends on the kind: bit fields present, signed, union.
    pub(crate) flag: bool,
    /// Size in bytes or type referred to, by kind.
    pub(crate) size_or_type: u32,
    pub(crate) extra: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the record that starts so at the start of `data`; `None` if it does not fit.
    pub(crate) fn read(head: Head, data: &'a [u8]) -> Option<Record<'a>> {
        Some(Record {
            kind: Kind::new(head.code())?,
            name: head.name,
            vlen: head.info as u16,
            flag: head.info >> 31 != 0,
            size_or_type: head.size_or_type,
            extra: data.get(TYPE_LEN..head.span())?,
        })
    }

    /// The `n`th 32-bit word behind `struct btf_type`.
    pub(crate) fn word(&self, n: usize) -> u32 {
        // The extent was checked when the record was read.
        u32_at(self.extra, n * 4).unwrap_or_default()
    }
}
