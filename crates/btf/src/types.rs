//! Types as Rust sees them: one variant a kind.

use crate::raw::{Kind, Record, u32_at};
use crate::{Btf, BtfError, TypeId};

/// A type. Names that are absent, or that the data does not hold as text, are empty.
#[derive(Clone, Copy, Debug)]
pub enum Type<'a> {
    Void,
    Int(Int<'a>),
    Ptr { target: TypeId },
    Array(Array),
    Struct(Composite<'a>),
    Union(Composite<'a>),
    Enum(Enum<'a>),
    Enum64(Enum<'a>),
    Fwd { name: &'a str, union: bool },
    Typedef { name: &'a str, target: TypeId },
    Volatile { target: TypeId },
    Const { target: TypeId },
    Restrict { target: TypeId },
    TypeTag { name: &'a str, target: TypeId },
    DeclTag(DeclTag<'a>),
    Func(Func<'a>),
    FuncProto(FuncProto<'a>),
    Var(Var<'a>),
    DataSec(DataSec<'a>),
    Float { name: &'a str, size: u32 },
}

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int<'a> {
    pub name: &'a str,
    /// Bytes it occupies.
    pub size: u32,
    /// Bits that hold the value; fewer than `size` has only in old bit fields.
    pub bits: u8,
    /// Bit at which the value starts, in old bit fields only.
    pub offset: u8,
    pub encoding: IntEncoding,
}

/// How an integer is to be read and shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IntEncoding {
    pub signed: bool,
    pub char: bool,
    pub bool: bool,
}

/// An array of `len` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array {
    pub elem: TypeId,
    /// Type the index would have in C; of no consequence.
    pub index: TypeId,
    pub len: u32,
}

/// A struct or a union.
#[derive(Clone, Copy)]
pub struct Composite<'a> {
    pub name: &'a str,
    /// Bytes it occupies.
    pub size: u32,
    btf: &'a Btf,
    /// Whether member offsets carry the sizes of bit fields.
    bitfields: bool,
    members: &'a [[u8; 12]],
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Empty in an anonymous struct or union.
    pub name: &'a str,
    pub type_id: TypeId,
    /// Bits from the start of the struct.
    pub bit_offset: u32,
    /// Bits of the field, 0 where it is no bit field.
    pub bitfield_size: u8,
}

/// An enumeration of 32 or 64 bits.
#[derive(Clone, Copy)]
pub struct Enum<'a> {
    pub name: &'a str,
    /// Bytes it occupies.
    pub size: u32,
    /// Whether its values are signed.
    pub signed: bool,
    btf: &'a Btf,
    values: Values<'a>,
}

#[derive(Clone, Copy)]
enum Values<'a> {
    Narrow(&'a [[u8; 8]]),
    Wide(&'a [[u8; 12]]),
}

/// A constant of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enumerator<'a> {
    pub name: &'a str,
    /// The value. That of an unsigned 64-bit enumeration is to be cast to `u64`.
    pub value: i64,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Func<'a> {
    pub name: &'a str,
    /// Its [`Type::FuncProto`].
    pub proto: TypeId,
    pub linkage: Linkage,
}

/// How a function or variable is visible to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Linkage {
    Static,
    Global,
    Extern,
}

/// What a function takes and returns.
#[derive(Clone, Copy)]
pub struct FuncProto<'a> {
    /// [`TypeId::VOID`] where nothing is returned.
    pub ret: TypeId,
    btf: &'a Btf,
    params: &'a [[u8; 8]],
}

/// A parameter of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    pub name: &'a str,
    /// [`TypeId::VOID`] in the last parameter stands for `...`.
    pub type_id: TypeId,
}

/// A global variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var<'a> {
    pub name: &'a str,
    pub type_id: TypeId,
    pub linkage: Linkage,
}

/// The variables of a section.
#[derive(Clone, Copy)]
pub struct DataSec<'a> {
    pub name: &'a str,
    /// Bytes of the section.
    pub size: u32,
    vars: &'a [[u8; 12]],
}

/// A variable's place in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecVar {
    /// Its [`Type::Var`].
    pub var: TypeId,
    /// Bytes from the start of the section.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// A tag on a type, a member or a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclTag<'a> {
    pub name: &'a str,
    pub target: TypeId,
    /// The member or parameter, `None` for the whole type.
    pub component: Option<u32>,
}

fn word<const N: usize>(record: &[u8; N], n: usize) -> u32 {
    u32_at(record, n * 4).unwrap_or_default()
}

fn linkage(code: u32) -> Linkage {
    match code {
        0 => Linkage::Static,
        1 => Linkage::Global,
        _ => Linkage::Extern,
    }
}

impl<'a> Type<'a> {
    /// Interprets a record of `btf`.
    pub(crate) fn new(btf: &'a Btf, record: &Record<'a>) -> Type<'a> {
        let name = btf.string(record.name).unwrap_or_default();
        let target = TypeId(record.size_or_type);
        let size = record.size_or_type;
        match record.kind {
            Kind::Int => {
                let info = record.word(0);
                Type::Int(Int {
                    name,
                    size,
                    bits: info as u8,
                    offset: (info >> 16) as u8,
                    encoding: IntEncoding {
                        signed: info >> 24 & 1 != 0,
                        char: info >> 24 & 2 != 0,
                        bool: info >> 24 & 4 != 0,
                    },
                })
            }
            Kind::Ptr => Type::Ptr { target },
            Kind::Array => Type::Array(Array {
                elem: TypeId(record.word(0)),
                index: TypeId(record.word(1)),
                len: record.word(2),
            }),
            Kind::Struct | Kind::Union => {
                let composite = Composite {
                    name,
                    size,
                    btf,
                    bitfields: record.flag,
                    members: record.extra.as_chunks().0,
                };
                match record.kind {
                    Kind::Struct => Type::Struct(composite),
                    _ => Type::Union(composite),
                }
            }
            Kind::Enum => Type::Enum(Enum {
                name,
                size,
                signed: record.flag,
                btf,
                values: Values::Narrow(record.extra.as_chunks().0),
            }),
            Kind::Enum64 => Type::Enum64(Enum {
                name,
                size,
                signed: record.flag,
                btf,
                values: Values::Wide(record.extra.as_chunks().0),
            }),
            Kind::Fwd => Type::Fwd {
                name,
                union: record.flag,
            },
            Kind::Typedef => Type::Typedef { name, target },
            Kind::Volatile => Type::Volatile { target },
            Kind::Const => Type::Const { target },
            Kind::Restrict => Type::Restrict { target },
            Kind::TypeTag => Type::TypeTag { name, target },
            Kind::DeclTag => Type::DeclTag(DeclTag {
                name,
                target,
                component: match record.word(0) {
                    u32::MAX => None,
                    n => Some(n),
                },
            }),
            Kind::Func => Type::Func(Func {
                name,
                proto: target,
                linkage: linkage(record.vlen.into()),
            }),
            Kind::FuncProto => Type::FuncProto(FuncProto {
                ret: target,
                btf,
                params: record.extra.as_chunks().0,
            }),
            Kind::Var => Type::Var(Var {
                name,
                type_id: target,
                linkage: linkage(record.word(0)),
            }),
            Kind::DataSec => Type::DataSec(DataSec {
                name,
                size,
                vars: record.extra.as_chunks().0,
            }),
            Kind::Float => Type::Float { name, size },
        }
    }

    /// The type's name, empty where it has none.
    pub fn name(&self) -> &'a str {
        match *self {
            Type::Int(Int { name, .. })
            | Type::Struct(Composite { name, .. })
            | Type::Union(Composite { name, .. })
            | Type::Enum(Enum { name, .. })
            | Type::Enum64(Enum { name, .. })
            | Type::Fwd { name, .. }
            | Type::Typedef { name, .. }
            | Type::TypeTag { name, .. }
            | Type::DeclTag(DeclTag { name, .. })
            | Type::Func(Func { name, .. })
            | Type::Var(Var { name, .. })
            | Type::DataSec(DataSec { name, .. })
            | Type::Float { name, .. } => name,
            Type::Void
            | Type::Ptr { .. }
            | Type::Array(_)
            | Type::Volatile { .. }
            | Type::Const { .. }
            | Type::Restrict { .. }
            | Type::FuncProto(_) => "",
        }
    }
}

impl<'a> Composite<'a> {
    /// Number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Its members in the order of the declaration.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'a>> + use<'a> {
        let (btf, bitfields) = (self.btf, self.bitfields);
        self.members.iter().map(move |record| {
            let offset = word(record, 2);
            let (bit_offset, bitfield_size) = if bitfields {
                (offset & 0xff_ffff, (offset >> 24) as u8)
            } else {
                (offset, 0)
            };
            Member {
                name: btf.string(word(record, 0)).unwrap_or_default(),
                type_id: TypeId(word(record, 1)),
                bit_offset,
                bitfield_size,
            }
        })
    }
}

impl<'a> Enum<'a> {
    /// Number of constants.
    pub fn len(&self) -> usize {
        match self.values {
            Values::Narrow(values) => values.len(),
            Values::Wide(values) => values.len(),
        }
    }

    /// Whether it has no constants.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its constants in the order of the declaration.
    pub fn enumerators(&self) -> impl Iterator<Item = Enumerator<'a>> + use<'a> {
        let btf = self.btf;
        self.raw_values().map(move |(name, value)| Enumerator {
            name: btf.string(name).unwrap_or_default(),
            value,
        })
    }

    /// Offsets of names with values.
    pub(crate) fn raw_values(&self) -> impl Iterator<Item = (u32, i64)> + use<'a> {
        let signed = self.signed;
        let (narrow, wide) = match self.values {
            Values::Narrow(values) => (values, &[][..]),
            Values::Wide(values) => (&[][..], values),
        };
        let narrow = narrow.iter().map(move |record| {
            let value = word(record, 1);
            let value = if signed {
                i64::from(value as i32)
            } else {
                i64::from(value)
            };
            (word(record, 0), value)
        });
        let wide = wide.iter().map(|record| {
            let value = u64::from(word(record, 2)) << 32 | u64::from(word(record, 1));
            (word(record, 0), value as i64)
        });
        narrow.chain(wide)
    }
}

impl<'a> FuncProto<'a> {
    /// Its parameters in order.
    pub fn params(&self) -> impl ExactSizeIterator<Item = Param<'a>> + use<'a> {
        let btf = self.btf;
        self.params.iter().map(move |record| Param {
            name: btf.string(word(record, 0)).unwrap_or_default(),
            type_id: TypeId(word(record, 1)),
        })
    }
}

impl<'a> DataSec<'a> {
    /// Its variables in order.
    pub fn vars(&self) -> impl ExactSizeIterator<Item = SecVar> + use<'a> {
        self.vars.iter().map(|record| SecVar {
            var: TypeId(word(record, 0)),
            offset: word(record, 1),
            size: word(record, 2),
        })
    }
}

impl std::fmt::Debug for Composite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Composite")
            .field("name", &self.name)
            .field("size", &self.size)
            .field("members", &self.members().collect::<Vec<_>>())
            .finish()
    }
}

impl std::fmt::Debug for Enum<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enum")
            .field("name", &self.name)
            .field("size", &self.size)
            .field("signed", &self.signed)
            .field("enumerators", &self.enumerators().collect::<Vec<_>>())
            .finish()
    }
}

impl std::fmt::Debug for FuncProto<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FuncProto")
            .field("ret", &self.ret)
            .field("params", &self.params().collect::<Vec<_>>())
            .finish()
    }
}

impl std::fmt::Debug for DataSec<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataSec")
            .field("name", &self.name)
            .field("size", &self.size)
            .field("vars", &self.vars().collect::<Vec<_>>())
            .finish()
    }
}

impl Btf {
    /// The type with this id.
    ///
    /// # Errors
    /// [`BtfError::NoType`] for an id beyond the last type, others for malformed data.
    pub fn get(&self, id: TypeId) -> Result<Type<'_>, BtfError> {
        if id.is_void() {
            return Ok(Type::Void);
        }
        let (btf, record) = self.record(id)?;
        Ok(Type::new(btf, &record))
    }
}
