//! Types of the language.

use std::fmt;
use std::sync::Arc;

pub use beetrace_object::{Clock, Histogram, StackMode, TimeSeries};

use crate::structs::{EnumId, StructId};

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// No value: `printf(…)`, `clear(@x)`.
    Void,
    Bool,
    Int(IntType),
    /// A constant type of C: an integer that prints by name with `%s`.
    Enum(EnumId, IntType),
    /// A string in a space of that many bytes, NUL included.
    Str(u32),
    /// Up to that many bytes with their length.
    Buf(u32),
    Pointer(Box<Type>, Space),
    Array(Box<Type>, u32),
    Tuple(Arc<[Type]>),
    Record(Arc<[(String, Type)]>),
    /// A C struct or union; as an expression it is a place in memory of that space.
    Struct(StructId, Space),
    Stack(StackType),
    Ksym,
    Usym,
    Inet,
    Mac,
    /// What `strftime` gives, with its format.
    Timestamp(Arc<str>),
    CgroupPath(Option<Arc<str>>),
    Username,
    Count,
    Sum(Signedness),
    Min(Signedness),
    Max(Signedness),
    Avg(Signedness),
    Stats(Signedness),
    Hist(HistType),
    TSeries(TimeSeriesType),
}

/// Width and sign of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntType {
    /// 8, 16, 32 or 64.
    pub bits: u8,
    pub signed: bool,
}

impl IntType {
    pub const I8: IntType = IntType {
        bits: 8,
        signed: true,
    };
    pub const I16: IntType = IntType {
        bits: 16,
        signed: true,
    };
    pub const I32: IntType = IntType {
        bits: 32,
        signed: true,
    };
    pub const I64: IntType = IntType {
        bits: 64,
        signed: true,
    };
    pub const U8: IntType = IntType {
        bits: 8,
        signed: false,
    };
    pub const U16: IntType = IntType {
        bits: 16,
        signed: false,
    };
    pub const U32: IntType = IntType {
        bits: 32,
        signed: false,
    };
    pub const U64: IntType = IntType {
        bits: 64,
        signed: false,
    };

    /// Size in bytes.
    pub fn bytes(self) -> u32 {
        u32::from(self.bits) / 8
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signedness {
    Signed,
    Unsigned,
}

/// Which memory an address means, and so how it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Space {
    /// Not known: an integer that was cast.
    #[default]
    None,
    Kernel,
    User,
    /// A program's own memory: its stack, a map value.
    Bpf,
    /// The program's context, read directly at fixed offsets.
    Context,
    /// Kernel memory that the verifier knows by its BTF type: may be read directly.
    Btf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StackType {
    pub user: bool,
    pub mode: StackMode,
    /// The most frames.
    pub limit: u32,
}

/// A histogram's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HistType(pub Histogram);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeSeriesType(pub TimeSeries);

impl Type {
    pub const I64: Type = Type::Int(IntType::I64);
    pub const U64: Type = Type::Int(IntType::U64);
    pub const U32: Type = Type::Int(IntType::U32);

    pub fn pointer(to: Type, space: Space) -> Type {
        Type::Pointer(Box::new(to), space)
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, Type::Int(_) | Type::Enum(..))
    }

    /// The integer type of an integer or a constant.
    pub fn as_int(&self) -> Option<IntType> {
        match self {
            Type::Int(t) | Type::Enum(_, t) => Some(*t),
            _ => None,
        }
    }

    /// Whether a map holds it as a sum over processors.
    pub fn is_aggregate(&self) -> bool {
        matches!(
            self,
            Type::Count
                | Type::Sum(_)
                | Type::Min(_)
                | Type::Max(_)
                | Type::Avg(_)
                | Type::Stats(_)
                | Type::Hist(_)
                | Type::TSeries(_)
        )
    }
}

impl fmt::Display for IntType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}int{}", if self.signed { "" } else { "u" }, self.bits)
    }
}
