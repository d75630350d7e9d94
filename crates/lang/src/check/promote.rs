//! How types meet: the common type of two values, and what fits into what.
//!
//! The type of a non-negative literal is *flexible*: it is the smallest signed type that holds it, and takes the sign of
//! whatever it meets. A flexible type is written as an enum type with an id that no enum has; [`settle`] makes it an ordinary
//! signed integer, and nothing flexible leaves the checker.

use std::sync::Arc;

use crate::structs::EnumId;
use crate::types::{IntType, Signedness, Space, Type};

const FLEXIBLE: EnumId = EnumId(u32::MAX);

/// The type of an integer literal.
pub(crate) fn literal_type(value: i128) -> Type {
    let bits = [8u8, 16, 32, 64]
        .into_iter()
        .find(|&bits| holds(IntType { bits, signed: true }, value));
    match bits {
        Some(bits) if value < 0 => Type::Int(IntType { bits, signed: true }),
        Some(bits) => Type::Enum(FLEXIBLE, IntType { bits, signed: true }),
        None => Type::U64,
    }
}

/// Whether an integer type has that value.
pub(crate) fn holds(ty: IntType, value: i128) -> bool {
    let bits = u32::from(ty.bits.clamp(1, 64));
    if ty.signed {
        let limit = 1i128 << (bits - 1);
        (-limit..limit).contains(&value)
    } else {
        (0..1i128 << bits).contains(&value)
    }
}

pub(crate) fn is_flexible(ty: &Type) -> bool {
    matches!(ty, Type::Enum(FLEXIBLE, _))
}

/// The type without anything flexible in it; aggregates that became part of a value are the integers they are read as.
pub(crate) fn settle(ty: &Type) -> Type {
    match ty {
        Type::Enum(FLEXIBLE, int) => Type::Int(*int),
        Type::Pointer(to, space) => Type::pointer(settle(to), *space),
        Type::Array(of, len) => Type::Array(Box::new(settle(of)), *len),
        Type::Tuple(elements) => Type::Tuple(elements.iter().map(settle_value).collect()),
        Type::Record(members) => Type::Record(
            members
                .iter()
                .map(|(n, t)| (n.clone(), settle_value(t)))
                .collect(),
        ),
        ty => ty.clone(),
    }
}

/// As [`settle`], of a value: an aggregate is the integer that it is read as.
pub(crate) fn settle_value(ty: &Type) -> Type {
    match aggregate_int(ty) {
        Some(int) => Type::Int(int),
        None => settle(ty),
    }
}

/// The integer that an aggregate is read as: `None` for statistics, histograms and series, which are none, and for other types.
pub(crate) fn aggregate_int(ty: &Type) -> Option<IntType> {
    let signedness = match ty {
        Type::Count => Signedness::Unsigned,
        Type::Sum(s) | Type::Min(s) | Type::Max(s) | Type::Avg(s) => *s,
        _ => return None,
    };
    Some(if signedness.is_signed() {
        IntType::I64
    } else {
        IntType::U64
    })
}

/// Whether a key of the map keeps many numbers, so that it is shown as a whole only.
pub(crate) fn is_multiple(ty: &Type) -> bool {
    matches!(ty, Type::Hist(_) | Type::TSeries(_))
}

/// An integer, or an aggregate that can be read as one.
pub(crate) fn numeric(ty: &Type) -> Option<IntType> {
    ty.as_int().or_else(|| aggregate_int(ty))
}

pub(crate) fn is_signed(ty: &Type) -> bool {
    numeric(ty).is_some_and(|t| t.signed)
}

/// Whether they are one type, whatever memory pointers lead to and whether literals may still change sign.
pub(crate) fn same(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Pointer(a, _), Type::Pointer(b, _)) => same(a, b),
        (Type::Struct(a, _), Type::Struct(b, _)) => a == b,
        (Type::Array(a, n), Type::Array(b, m)) => n == m && same(a, b),
        (Type::Tuple(a), Type::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(&b[..]).all(|(a, b)| same(a, b))
        }
        (Type::Record(a), Type::Record(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(&b[..])
                    .all(|((n, a), (m, b))| n == m && same(a, b))
        }
        (Type::Enum(FLEXIBLE, a), Type::Int(b)) | (Type::Int(b), Type::Enum(FLEXIBLE, a)) => a == b,
        (a, b) => a == b,
    }
}

/// Whether values of both may be compared, or be kept in one variable.
pub(crate) fn compatible(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (a, b) if a.is_integer() && b.is_integer() => true,
        (Type::Str(_), Type::Str(_)) | (Type::Buf(_), Type::Buf(_)) => true,
        (Type::Pointer(a, _), Type::Pointer(b, _)) => compatible(a, b),
        (Type::Tuple(a), Type::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(&b[..]).all(|(a, b)| compatible(a, b))
        }
        (Type::Record(a), Type::Record(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| member(b, name).is_some_and(|b| compatible(a, b)))
        }
        (Type::Array(a, n), Type::Array(b, m)) => (n == m || *n == 0 || *m == 0) && same(a, b),
        (Type::Struct(a, _), Type::Struct(b, _)) => a == b,
        (Type::Timestamp(_), Type::Timestamp(_)) | (Type::CgroupPath(_), Type::CgroupPath(_)) => {
            true
        }
        (a, b) if a.is_aggregate() && b.is_aggregate() => same_aggregate(a, b),
        (a, b) => a == b,
    }
}

/// Whether both are made by one function (`sum`, say), whatever the sign.
pub(crate) fn same_aggregate(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Count, Type::Count)
        | (Type::Sum(_), Type::Sum(_))
        | (Type::Min(_), Type::Min(_))
        | (Type::Max(_), Type::Max(_))
        | (Type::Avg(_), Type::Avg(_))
        | (Type::Stats(_), Type::Stats(_)) => true,
        (a, b) => a == b,
    }
}

/// A member of a record's type.
pub(crate) fn member<'t>(members: &'t [(String, Type)], name: &str) -> Option<&'t Type> {
    members.iter().find(|(n, _)| n == name).map(|(_, t)| t)
}

/// The type that holds values of both, or none.
pub(crate) fn promote(current: &Type, new: &Type) -> Option<Type> {
    if !compatible(current, new) {
        return match (numeric(current), numeric(new)) {
            (Some(a), Some(b)) => Some(Type::Int(promote_int(a, b))),
            _ => None,
        };
    }
    Some(match (current, new) {
        (Type::Enum(a, _), Type::Enum(b, _)) if a == b && *a != FLEXIBLE => new.clone(),
        (a, b) if a.is_integer() => promote_flexible(a, b)?,
        (Type::Str(a), Type::Str(b)) => Type::Str(*a.max(b)),
        (Type::Buf(a), Type::Buf(b)) => Type::Buf(*a.max(b)),
        (Type::Tuple(a), Type::Tuple(b)) => Type::Tuple(
            a.iter()
                .zip(&b[..])
                .map(|(a, b)| promote(a, b))
                .collect::<Option<Arc<[Type]>>>()?,
        ),
        (Type::Record(a), Type::Record(b)) => Type::Record(
            a.iter()
                .map(|(name, a)| Some((name.clone(), promote(a, member(b, name)?)?)))
                .collect::<Option<Arc<[_]>>>()?,
        ),
        (Type::Pointer(a, from), Type::Pointer(b, to)) => {
            let space = if *from == Space::None { *to } else { *from };
            Type::pointer(promote(a, b)?, space)
        }
        (Type::Array(_, 0), b) => b.clone(),
        (a, b) if a.is_aggregate() => {
            if is_signed(b) && !is_signed(a) {
                b.clone()
            } else {
                a.clone()
            }
        }
        (a, _) => a.clone(),
    })
}

fn promote_flexible(a: &Type, b: &Type) -> Option<Type> {
    let (int_a, int_b) = (a.as_int()?, b.as_int()?);
    let bits = int_a.bits.max(int_b.bits);
    Some(match (is_flexible(a), is_flexible(b)) {
        (true, true) => Type::Enum(FLEXIBLE, IntType { bits, signed: true }),
        (true, false) => Type::Int(IntType {
            bits,
            signed: int_b.signed,
        }),
        (false, true) => Type::Int(IntType {
            bits,
            signed: int_a.signed,
        }),
        (false, false) => Type::Int(promote_int(int_a, int_b)),
    })
}

/// The common type of two integer types. Two of 64 bits and different sign have none: they meet in `int64`.
pub(crate) fn promote_int(a: IntType, b: IntType) -> IntType {
    let bits = a.bits.max(b.bits);
    if a.signed == b.signed {
        return IntType {
            bits,
            signed: a.signed,
        };
    }
    let (signed, unsigned) = if a.signed { (a, b) } else { (b, a) };
    let bits = if signed.bits > unsigned.bits {
        signed.bits
    } else {
        bits.saturating_mul(2).min(64)
    };
    IntType { bits, signed: true }
}

/// Whether every value of `from` is one of `to`.
pub(crate) fn fits(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (a, b) if a.is_integer() && b.is_integer() => {
            let (Some(x), Some(y)) = (a.as_int(), b.as_int()) else {
                return false;
            };
            if x.signed == y.signed || is_flexible(a) {
                x.bits <= y.bits
            } else {
                !x.signed && x.bits < y.bits
            }
        }
        (Type::Str(a), Type::Str(b)) => a <= b,
        (Type::Tuple(a), Type::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(&b[..]).all(|(a, b)| fits(a, b))
        }
        (Type::Record(a), Type::Record(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| member(b, name).is_some_and(|b| fits(a, b)))
        }
        (a, b) => same(a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const I8: Type = Type::Int(IntType::I8);
    const U8: Type = Type::Int(IntType::U8);
    const U32: Type = Type::U32;

    #[test]
    fn a_literal_takes_the_sign_that_it_meets() {
        let one = literal_type(1);
        assert_eq!(settle(&one), I8);
        assert_eq!(promote(&one, &Type::U64), Some(Type::U64));
        assert_eq!(
            promote(&U8, &literal_type(1000)),
            Some(Type::Int(IntType::U16))
        );
        assert!(is_flexible(&promote(&one, &literal_type(300)).unwrap()));
        assert_eq!(literal_type(i128::from(u64::MAX)), Type::U64);
    }

    #[test]
    fn signs_meet_in_the_next_wider_signed_type() {
        assert_eq!(promote(&I8, &U8), Some(Type::Int(IntType::I16)));
        assert_eq!(promote(&U32, &I8), Some(Type::I64));
        assert_eq!(promote(&Type::U64, &Type::I64), Some(Type::I64));
        assert_eq!(promote(&Type::I64, &U8), Some(Type::I64));
    }

    #[test]
    fn tuples_meet_member_by_member() {
        let tuple = |a: Type, b: Type| Type::Tuple([a, b].into());
        assert_eq!(
            promote(
                &tuple(literal_type(1), Type::Str(3)),
                &tuple(U32, Type::Str(9))
            ),
            Some(tuple(U32, Type::Str(9)))
        );
        assert_eq!(promote(&tuple(I8, Type::Str(3)), &tuple(I8, I8)), None);
    }

    #[test]
    fn an_unsigned_value_fits_only_a_wider_signed_type() {
        assert!(fits(&U32, &Type::I64));
        assert!(!fits(&U32, &Type::Int(IntType::I32)));
        assert!(!fits(&I8, &Type::U64));
        assert!(fits(&literal_type(5), &U8));
    }
}
