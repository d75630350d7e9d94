//! What is known about a number in a register: bounds as 64 and 32 bits, unsigned and signed, and known bits.

use std::fmt;

use beetrace_isa::Width;

use crate::tnum::Tnum;

/// Bounds, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds<T> {
    pub min: T,
    pub max: T,
}

impl<T: Ord + Copy> Bounds<T> {
    pub const fn new(min: T, max: T) -> Bounds<T> {
        Bounds { min, max }
    }

    /// Narrows to what is in both.
    pub fn narrow(&mut self, min: T, max: T) {
        self.min = self.min.max(min);
        self.max = self.max.min(max);
    }

    pub fn includes(self, other: Bounds<T>) -> bool {
        self.min <= other.min && self.max >= other.max
    }

    fn is_empty(self) -> bool {
        self.min > self.max
    }
}

/// A set of numbers. Each field holds all of them; together they say more than each alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scalar {
    pub bits: Tnum,
    pub u64: Bounds<u64>,
    pub s64: Bounds<i64>,
    /// Of the lower half.
    pub u32: Bounds<u32>,
    pub s32: Bounds<i32>,
}

const U64: Bounds<u64> = Bounds::new(0, u64::MAX);
const S64: Bounds<i64> = Bounds::new(i64::MIN, i64::MAX);
const U32: Bounds<u32> = Bounds::new(0, u32::MAX);
const S32: Bounds<i32> = Bounds::new(i32::MIN, i32::MAX);

impl Scalar {
    pub const UNKNOWN: Scalar = Scalar {
        bits: Tnum::UNKNOWN,
        u64: U64,
        s64: S64,
        u32: U32,
        s32: S32,
    };

    pub const fn constant(n: u64) -> Scalar {
        Scalar {
            bits: Tnum::constant(n),
            u64: Bounds::new(n, n),
            s64: Bounds::new(n as i64, n as i64),
            u32: Bounds::new(n as u32, n as u32),
            s32: Bounds::new(n as i32, n as i32),
        }
    }

    /// The numbers from `min` to `max`.
    pub fn unsigned(min: u64, max: u64) -> Scalar {
        let mut s = Scalar::UNKNOWN;
        s.u64 = Bounds::new(min, max);
        s.synchronise();
        s
    }

    /// The numbers from `min` to `max`.
    pub fn signed(min: i64, max: i64) -> Scalar {
        let mut s = Scalar::UNKNOWN;
        s.s64 = Bounds::new(min, max);
        s.synchronise();
        s
    }

    pub const fn is_const(&self) -> bool {
        self.bits.is_const()
    }

    /// The number, if there is only one.
    pub fn as_const(&self) -> Option<u64> {
        self.is_const().then_some(self.bits.value)
    }

    /// The number as the width sees it, if there is only one.
    pub fn as_const_of(&self, width: Width) -> Option<u64> {
        match width {
            Width::W64 => self.as_const(),
            Width::W32 => {
                let low = self.bits.low();
                low.is_const().then_some(low.value)
            }
        }
    }

    pub fn is_unknown(&self) -> bool {
        *self == Scalar::UNKNOWN
    }

    /// How many low bits may be set.
    pub const fn width(&self) -> u32 {
        64 - self.u64.max.leading_zeros()
    }

    /// Whether `other` holds no number that this does not.
    pub fn includes(&self, other: &Scalar) -> bool {
        self.bits.includes(other.bits)
            && self.u64.includes(other.u64)
            && self.s64.includes(other.s64)
            && self.u32.includes(other.u32)
            && self.s32.includes(other.s32)
    }

    /// Whether a run that leaves `n` here is among those described.
    pub fn contains(&self, n: u64) -> bool {
        self.includes(&Scalar::constant(n))
    }

    /// Lets every field tell the others what it knows.
    pub fn synchronise(&mut self) {
        self.bounds_from_bits();
        for _ in 0..3 {
            self.deduce_32();
            self.deduce_64();
            self.deduce_mixed();
        }
        self.bits_from_bounds();
        self.bounds_from_bits();
    }

    /// Whether refinement has left no number: the branch cannot be taken.
    pub fn is_contradiction(&self) -> bool {
        self.u64.is_empty()
            || self.s64.is_empty()
            || self.u32.is_empty()
            || self.s32.is_empty()
            || self.u64.min == self.u64.max && !self.bits.contains(self.u64.min)
    }

    fn bounds_from_bits(&mut self) {
        let Tnum { value, mask } = self.bits;
        let sign = 1u64 << 63;
        self.u64.narrow(self.bits.min(), self.bits.max());
        self.s64.narrow(
            (value | (mask & sign)) as i64,
            (value | (mask & !sign)) as i64,
        );
        let (value, mask, sign) = (value as u32, mask as u32, 1u32 << 31);
        self.u32.narrow(value, value | mask);
        self.s32.narrow(
            (value | (mask & sign)) as i32,
            (value | (mask & !sign)) as i32,
        );
    }

    fn bits_from_bounds(&mut self) {
        let whole = self.bits.intersect(Tnum::range(self.u64.min, self.u64.max));
        let low = whole
            .low()
            .intersect(Tnum::range(self.u32.min.into(), self.u32.max.into()));
        self.bits = whole.with_low(low);
    }

    /// What the bounds of the whole number say about its lower half.
    fn deduce_32(&mut self) {
        let (umin, umax) = (self.u64.min, self.u64.max);
        let (smin, smax) = (self.s64.min, self.s64.max);
        // With equal upper halves the lower halves are in order.
        if umin >> 32 == umax >> 32 {
            self.u32.narrow(umin as u32, umax as u32);
            if umin as i32 <= umax as i32 {
                self.s32.narrow(umin as i32, umax as i32);
            }
        }
        if smin >> 32 == smax >> 32 {
            if smin as u32 <= smax as u32 {
                self.u32.narrow(smin as u32, smax as u32);
            }
            if smin as i32 <= smax as i32 {
                self.s32.narrow(smin as i32, smax as i32);
            }
        }
        // The range steps over a multiple of 2³², from negative lower halves to others.
        if ((umin >> 32) as u32).wrapping_add(1) == (umax >> 32) as u32
            && (umin as i32) < 0
            && umax as i32 >= 0
        {
            self.s32.narrow(umin as i32, umax as i32);
        }
        if ((smin >> 32) as u32).wrapping_add(1) == (smax >> 32) as u32
            && (smin as i32) < 0
            && smax as i32 >= 0
        {
            self.s32.narrow(smin as i32, smax as i32);
        }
        if self.u32.min as i32 <= self.u32.max as i32 {
            self.s32.narrow(self.u32.min as i32, self.u32.max as i32);
        }
        let (smin, smax) = (self.s32.min as u32, self.s32.max as u32);
        if smin <= smax {
            self.u32.narrow(smin, smax);
        } else if self.u32.max < smin {
            // As for the whole number: the signed range holds both signs, the unsigned one only one.
            self.s32.min = self.u32.min as i32;
            self.u32.max = self.u32.max.min(smax);
        } else if smax < self.u32.min {
            self.s32.max = self.u32.max as i32;
            self.u32.min = self.u32.min.max(smin);
        }
    }

    /// What the unsigned and the signed bounds of the whole number say about each other.
    fn deduce_64(&mut self) {
        if self.u64.min as i64 <= self.u64.max as i64 {
            self.s64.narrow(self.u64.min as i64, self.u64.max as i64);
        }
        let (smin, smax) = (self.s64.min as u64, self.s64.max as u64);
        if smin <= smax {
            self.u64.narrow(smin, smax);
        } else if self.u64.max < smin {
            // The signed range holds numbers on both sides of zero; only those above are possible.
            self.s64.min = self.u64.min as i64;
            self.u64.max = self.u64.max.min(smax);
        } else if smax < self.u64.min {
            self.s64.max = self.u64.max as i64;
            self.u64.min = self.u64.min.max(smin);
        }
    }

    /// What the bounds of the lower half say about the whole number.
    fn deduce_mixed(&mut self) {
        let high = !0xffff_ffffu64;
        let (low_min, low_max) = (u64::from(self.u32.min), u64::from(self.u32.max));
        self.u64.narrow(
            (self.u64.min & high) | low_min,
            (self.u64.max & high) | low_max,
        );
        self.s64.narrow(
            ((self.s64.min as u64 & high) | low_min) as i64,
            ((self.s64.max as u64 & high) | low_max) as i64,
        );
        // The number fits 32 bits with its sign, so that its signed value is that of its lower half.
        if self.s64.min >= i64::from(i32::MIN) && self.s64.max <= i64::from(i32::MAX) {
            self.s64.narrow(self.s32.min.into(), self.s32.max.into());
        }
    }

    /// The lower half with zeros above.
    pub fn zero_extend(mut self) -> Scalar {
        self.bits = self.bits.low();
        self.u64 = Bounds::new(self.u32.min.into(), self.u32.max.into());
        self.s64 = Bounds::new(self.u32.min.into(), self.u32.max.into());
        self.synchronise();
        self
    }

    /// The low `bytes` bytes with zeros above.
    pub fn truncate(mut self, bytes: u32) -> Scalar {
        if bytes >= 8 {
            return self;
        }
        let keep = (1u64 << (bytes * 8)) - 1;
        self.bits = self.bits.cast(bytes);
        self.u64 = if self.u64.min & !keep == self.u64.max & !keep {
            Bounds::new(self.u64.min & keep, self.u64.max & keep)
        } else {
            Bounds::new(0, keep)
        };
        self.s64 = Bounds::new(self.u64.min as i64, self.u64.max as i64);
        if bytes < 4 {
            self.u32 = U32;
            self.s32 = S32;
        }
        self.synchronise();
        self
    }

    /// The low `bytes` bytes, sign-extended to 64 bits.
    pub fn sign_extend(mut self, bytes: u32) -> Scalar {
        if bytes >= 8 {
            return self;
        }
        let unused = 64 - bytes * 8;
        let extend = |n: u64| ((n << unused) as i64) >> unused;
        if let Some(n) = self.as_const() {
            return Scalar::constant(extend(n) as u64);
        }
        let top = |n: i64| n >> (bytes * 8);
        let (a, b) = (extend(self.s64.min as u64), extend(self.s64.max as u64));
        let (min, max) = (a.min(b), a.max(b));
        if top(self.s64.min) == top(self.s64.max) && (min >= 0) == (max >= 0) {
            self = Scalar::UNKNOWN;
            self.s64 = Bounds::new(min, max);
            self.u64 = Bounds::new(min as u64, max as u64);
            self.bits = Tnum::range(min as u64, max as u64);
        } else {
            self = Scalar::UNKNOWN;
            self.s64 = Bounds::new(extend(1 << (bytes * 8 - 1)), !extend(1 << (bytes * 8 - 1)));
        }
        self.synchronise();
        self
    }

    /// Sign extension within the lower half, zeros above.
    pub fn sign_extend_32(self, bytes: u32) -> Scalar {
        self.zero_extend().sign_extend(bytes).zero_extend()
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(n) = self.as_const() {
            return write!(f, "{}", n as i64);
        }
        let mut facts = Vec::new();
        if self.u64 != U64 {
            facts.push(format!("{}..={}", self.u64.min, self.u64.max));
        }
        if self.s64 != S64 && (self.s64.min < 0 || self.u64 == U64) {
            facts.push(format!("signed {}..={}", self.s64.min, self.s64.max));
        }
        let fits_32 = self.s64.min >= i32::MIN.into() && self.s64.max <= i32::MAX.into();
        if self.u64.max > u64::from(u32::MAX) && !fits_32 {
            if self.u32 != U32 {
                facts.push(format!("low {}..={}", self.u32.min, self.u32.max));
            }
            if self.s32 != S32 && self.s32.min < 0 {
                facts.push(format!("low signed {}..={}", self.s32.min, self.s32.max));
            }
        }
        if !self.bits.is_unknown() && self.bits != Tnum::range(self.u64.min, self.u64.max) {
            facts.push(format!("bits {}", self.bits));
        }
        if facts.is_empty() {
            f.write_str("any number")
        } else {
            f.write_str(&facts.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_bits_teach_each_other() {
        let s = Scalar::unsigned(16, 19);
        assert_eq!(s.bits, Tnum { value: 16, mask: 3 });
        assert_eq!(s.s32, Bounds::new(16, 19));
        assert_eq!(s.to_string(), "16..=19");
        assert_eq!(Scalar::signed(-1, 1).to_string(), "signed -1..=1");
        assert_eq!(Scalar::constant(u64::MAX).to_string(), "-1");
        assert_eq!(Scalar::UNKNOWN.to_string(), "any number");
    }

    #[test]
    fn narrower_views() {
        assert_eq!(Scalar::UNKNOWN.truncate(1), Scalar::unsigned(0, 255));
        assert_eq!(
            Scalar::constant(0x1_0000_0080).truncate(1).as_const(),
            Some(0x80)
        );
        assert_eq!(
            Scalar::constant(0x80).sign_extend(1).as_const(),
            Some(!0x7f)
        );
        assert_eq!(
            Scalar::UNKNOWN.sign_extend(2).s64,
            Bounds::new(-32768, 32767)
        );
        assert_eq!(
            Scalar::unsigned(0, 100).sign_extend(1).u64,
            Bounds::new(0, 100)
        );
        assert_eq!(Scalar::UNKNOWN.sign_extend_32(1).u64.max, 0xffff_ffff);
        assert_eq!(Scalar::unsigned(0, 0xff).width(), 8);
    }
}
