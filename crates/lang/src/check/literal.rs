//! Values that are known while checking, and arithmetic on them.
//!
//! Integers are mathematical here: a literal lies between the smallest `int64` and the largest `uint64`.

use std::cmp::Ordering;

use crate::ast::{BinaryOp, UnaryOp};

/// What a constant expression is worth.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Lit {
    Int(i128),
    Bool(bool),
    Str(String),
    Tuple(Vec<Lit>),
    Record(Vec<(String, Lit)>),
}

/// A result that no 64-bit integer holds, or a division by zero.
#[derive(Debug, PartialEq)]
pub(crate) struct OutOfRange;

impl Lit {
    /// As a condition; composites have none.
    pub(crate) fn truth(&self) -> Option<bool> {
        match self {
            Lit::Int(n) => Some(*n != 0),
            Lit::Bool(b) => Some(*b),
            Lit::Str(s) => Some(!s.is_empty()),
            Lit::Tuple(_) | Lit::Record(_) => None,
        }
    }

    /// The 64-bit pattern of an integer or a boolean.
    pub(crate) fn bits(&self) -> Option<u64> {
        match self {
            Lit::Int(n) => Some(*n as u64),
            Lit::Bool(b) => Some(u64::from(*b)),
            _ => None,
        }
    }

    pub(crate) fn as_int(&self) -> Option<i128> {
        match self {
            Lit::Int(n) => Some(*n),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Lit::Str(s) => Some(s),
            _ => None,
        }
    }
}

fn in_range(n: i128) -> Result<Lit, OutOfRange> {
    if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&n) {
        Ok(Lit::Int(n))
    } else {
        Err(OutOfRange)
    }
}

/// Folds a unary operator; `None` where it is left for run time.
pub(crate) fn unary(op: UnaryOp, lit: &Lit) -> Option<Result<Lit, OutOfRange>> {
    match (op, lit) {
        (UnaryOp::Not, Lit::Tuple(_) | Lit::Record(_) | Lit::Str(_)) => None,
        (UnaryOp::Not, lit) => Some(Ok(Lit::Bool(!lit.truth()?))),
        (UnaryOp::Minus, Lit::Int(n)) => Some(match -n {
            m if m < i128::from(i64::MIN) => Err(OutOfRange),
            m => Ok(Lit::Int(m)),
        }),
        (UnaryOp::Plus, Lit::Int(n)) => Some(Ok(Lit::Int(*n))),
        (UnaryOp::BitNot, Lit::Int(n)) => Some(Ok(Lit::Int(i128::from(!(*n as u64))))),
        _ => None,
    }
}

/// Folds a binary operator; `None` where it is left for run time or for the type checks.
pub(crate) fn binary(op: BinaryOp, left: &Lit, right: &Lit) -> Option<Result<Lit, OutOfRange>> {
    if matches!(op, BinaryOp::And | BinaryOp::Or) {
        if matches!(
            (left, right),
            (Lit::Str(_), Lit::Int(_)) | (Lit::Int(_), Lit::Str(_))
        ) {
            return None;
        }
        let (l, r) = (left.truth()?, right.truth()?);
        return Some(Ok(Lit::Bool(if op == BinaryOp::And {
            l && r
        } else {
            l || r
        })));
    }
    match (left, right) {
        (Lit::Int(l), Lit::Int(r)) => Some(integers(op, *l, *r)),
        (Lit::Str(l), Lit::Str(r)) => match op {
            BinaryOp::Add => Some(Ok(Lit::Str(format!("{l}{r}")))),
            op => compare(op, l.cmp(r)),
        },
        (Lit::Str(s), Lit::Int(n)) | (Lit::Int(n), Lit::Str(s)) if op == BinaryOp::Add => {
            let skip = usize::try_from(*n).unwrap_or(usize::MAX);
            Some(Ok(Lit::Str(s.get(skip..).unwrap_or("").to_owned())))
        }
        (Lit::Bool(l), Lit::Bool(r)) => booleans(op, *l, *r),
        (Lit::Tuple(_), Lit::Tuple(_)) | (Lit::Record(_), Lit::Record(_)) => {
            let equal = equal(left, right)?;
            match op {
                BinaryOp::Eq => Some(Ok(Lit::Bool(equal))),
                BinaryOp::Ne => Some(Ok(Lit::Bool(!equal))),
                _ => None,
            }
        }
        _ => None,
    }
}

fn equal(left: &Lit, right: &Lit) -> Option<bool> {
    match (left, right) {
        (Lit::Record(l), Lit::Record(r)) => {
            if l.len() != r.len() {
                return Some(false);
            }
            for (name, value) in l {
                let (_, other) = r.iter().find(|(n, _)| n == name)?;
                if !equal(value, other)? {
                    return Some(false);
                }
            }
            Some(true)
        }
        (l, r) => Some(l == r),
    }
}

fn compare(op: BinaryOp, order: Ordering) -> Option<Result<Lit, OutOfRange>> {
    let value = match op {
        BinaryOp::Eq => order.is_eq(),
        BinaryOp::Ne => order.is_ne(),
        BinaryOp::Lt => order.is_lt(),
        BinaryOp::Le => order.is_le(),
        BinaryOp::Gt => order.is_gt(),
        BinaryOp::Ge => order.is_ge(),
        _ => return None,
    };
    Some(Ok(Lit::Bool(value)))
}

fn booleans(op: BinaryOp, left: bool, right: bool) -> Option<Result<Lit, OutOfRange>> {
    let value = match op {
        BinaryOp::Add | BinaryOp::BitOr => left | right,
        BinaryOp::Sub | BinaryOp::BitXor => left ^ right,
        BinaryOp::Mul | BinaryOp::BitAnd => left & right,
        BinaryOp::Div if !right => return Some(Err(OutOfRange)),
        BinaryOp::Mod if !right => return Some(Err(OutOfRange)),
        BinaryOp::Div => left,
        BinaryOp::Mod => false,
        op => return compare(op, left.cmp(&right)),
    };
    Some(Ok(Lit::Bool(value)))
}

fn integers(op: BinaryOp, left: i128, right: i128) -> Result<Lit, OutOfRange> {
    if let Some(result) = compare(op, left.cmp(&right)) {
        return result;
    }
    // A bit operation keeps a pattern of 64 bits: signed as soon as one side is negative.
    let pattern = |bits: u64| {
        if left < 0 || right < 0 {
            Lit::Int(i128::from(bits as i64))
        } else {
            Lit::Int(i128::from(bits))
        }
    };
    let (l, r) = (left as u64, right as u64);
    match op {
        BinaryOp::Add => in_range(left.checked_add(right).ok_or(OutOfRange)?),
        BinaryOp::Sub => in_range(left.checked_sub(right).ok_or(OutOfRange)?),
        BinaryOp::Mul => in_range(left.checked_mul(right).ok_or(OutOfRange)?),
        BinaryOp::Div => in_range(left.checked_div(right).ok_or(OutOfRange)?),
        BinaryOp::Mod => in_range(left.checked_rem(right).ok_or(OutOfRange)?),
        BinaryOp::BitAnd => Ok(pattern(l & r)),
        BinaryOp::BitOr => Ok(pattern(l | r)),
        BinaryOp::BitXor => Ok(pattern(l ^ r)),
        BinaryOp::Shl | BinaryOp::Shr => {
            let count = u32::try_from(right)
                .ok()
                .filter(|&n| n < 64)
                .ok_or(OutOfRange)?;
            Ok(match op {
                BinaryOp::Shl => pattern(l << count),
                _ => Lit::Int(left >> count),
            })
        }
        _ => Err(OutOfRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(op: BinaryOp, l: i128, r: i128) -> Option<Result<Lit, OutOfRange>> {
        binary(op, &Lit::Int(l), &Lit::Int(r))
    }

    #[test]
    fn integers_grow_until_64_bits_hold_them_no_more() {
        let max = i128::from(u64::MAX);
        assert_eq!(int(BinaryOp::Sub, 1, 2), Some(Ok(Lit::Int(-1))));
        assert_eq!(int(BinaryOp::Add, max, 1), Some(Err(OutOfRange)));
        assert_eq!(int(BinaryOp::Add, max, -1), Some(Ok(Lit::Int(max - 1))));
        assert_eq!(int(BinaryOp::Div, 1, 0), Some(Err(OutOfRange)));
        assert_eq!(int(BinaryOp::Shl, 1, 64), Some(Err(OutOfRange)));
        assert_eq!(
            unary(UnaryOp::BitNot, &Lit::Int(0)),
            Some(Ok(Lit::Int(max)))
        );
    }

    #[test]
    fn strings_compare_join_and_lose_their_beginning() {
        let s = |s: &str| Lit::Str(s.into());
        let fold = |op, l: &Lit, r: &Lit| binary(op, l, r);
        assert_eq!(
            fold(BinaryOp::Eq, &s("a"), &s("a")),
            Some(Ok(Lit::Bool(true)))
        );
        assert_eq!(fold(BinaryOp::Add, &s("a"), &s("b")), Some(Ok(s("ab"))));
        assert_eq!(
            fold(BinaryOp::Add, &s("abc"), &Lit::Int(1)),
            Some(Ok(s("bc")))
        );
        assert_eq!(
            fold(BinaryOp::Add, &s("abc"), &Lit::Int(9)),
            Some(Ok(s("")))
        );
        assert_eq!(fold(BinaryOp::Mul, &s("a"), &s("b")), None);
    }
}
