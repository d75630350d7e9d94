//! Numbers of which some bits are known.

use std::fmt;

/// A set of 64-bit numbers: those that agree with `value` in every bit that `mask` leaves clear.
/// A bit is never set in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tnum {
    pub value: u64,
    /// The bits that are not known.
    pub mask: u64,
}

impl Tnum {
    /// All numbers.
    pub const UNKNOWN: Tnum = Tnum {
        value: 0,
        mask: u64::MAX,
    };

    /// The set of one number.
    pub const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// The smallest set that holds every number of `min..=max`: what all of them have in common
    /// are the bits above the highest in which the ends differ.
    pub fn range(min: u64, max: u64) -> Tnum {
        let differing = 64 - (min ^ max).leading_zeros();
        let mask = low_bits(differing);
        Tnum {
            value: min & !mask,
            mask,
        }
    }

    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Whether nothing is known.
    pub const fn is_unknown(self) -> bool {
        self.mask == u64::MAX
    }

    pub const fn contains(self, n: u64) -> bool {
        n & !self.mask == self.value
    }

    /// Whether every number of `other` is one of these.
    pub const fn includes(self, other: Tnum) -> bool {
        other.mask & !self.mask == 0 && other.value & !self.mask == self.value
    }

    /// The smallest number of the set.
    pub const fn min(self) -> u64 {
        self.value
    }

    /// The largest number of the set.
    pub const fn max(self) -> u64 {
        self.value | self.mask
    }

    /// Whether all numbers of the set are multiples of `size`, a power of two.
    pub const fn is_aligned(self, size: u64) -> bool {
        (self.value | self.mask) & size.wrapping_sub(1) == 0
    }

    /// Sums: a bit is unknown where an operand's is or where a carry may or may not arrive.
    pub const fn add(self, other: Tnum) -> Tnum {
        let least = self.value.wrapping_add(other.value);
        let most = least.wrapping_add(self.mask.wrapping_add(other.mask));
        let mask = (most ^ least) | self.mask | other.mask;
        Tnum {
            value: least & !mask,
            mask,
        }
    }

    /// Differences, as [`add`](Tnum::add).
    pub const fn sub(self, other: Tnum) -> Tnum {
        let base = self.value.wrapping_sub(other.value);
        let high = base.wrapping_add(self.mask);
        let low = base.wrapping_sub(other.mask);
        let mask = (high ^ low) | self.mask | other.mask;
        Tnum {
            value: base & !mask,
            mask,
        }
    }

    pub const fn neg(self) -> Tnum {
        Tnum::constant(0).sub(self)
    }

    pub const fn and(self, other: Tnum) -> Tnum {
        let value = self.value & other.value;
        Tnum {
            value,
            mask: (self.value | self.mask) & (other.value | other.mask) & !value,
        }
    }

    pub const fn or(self, other: Tnum) -> Tnum {
        let value = self.value | other.value;
        Tnum {
            value,
            mask: (self.mask | other.mask) & !value,
        }
    }

    pub const fn xor(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask;
        Tnum {
            value: (self.value ^ other.value) & !mask,
            mask,
        }
    }

    /// Products: one shifted copy of `other` for every bit that may be set. A bit that is not known
    /// adds either nothing or the copy.
    pub fn times(self, other: Tnum) -> Tnum {
        let mut sum = Tnum::constant(self.value.wrapping_mul(other.value));
        let (mut a, mut b) = (self, other);
        while a.value != 0 || a.mask != 0 {
            let unknown = if a.mask & 1 != 0 {
                b.value | b.mask
            } else if a.value & 1 != 0 {
                b.mask
            } else {
                0
            };
            if unknown != 0 {
                sum = sum.add(Tnum {
                    value: 0,
                    mask: unknown,
                });
            }
            a = a.shr(1);
            b = b.shl(1);
        }
        sum
    }

    /// Shifted left by `n` below 64.
    pub const fn shl(self, n: u32) -> Tnum {
        Tnum {
            value: self.value << (n & 63),
            mask: self.mask << (n & 63),
        }
    }

    /// Shifted right by `n` below 64, zeros moving in.
    pub const fn shr(self, n: u32) -> Tnum {
        Tnum {
            value: self.value >> (n & 63),
            mask: self.mask >> (n & 63),
        }
    }

    /// Shifted right by `n` below `bits` (32 or 64), the sign of that width moving in.
    pub const fn sar(self, n: u32, bits: u32) -> Tnum {
        if bits == 32 {
            let value = ((self.value as i32) >> (n & 31)) as u32;
            let mask = ((self.mask as i32) >> (n & 31)) as u32;
            Tnum {
                value: value as u64,
                mask: mask as u64,
            }
        } else {
            Tnum {
                value: ((self.value as i64) >> (n & 63)) as u64,
                mask: ((self.mask as i64) >> (n & 63)) as u64,
            }
        }
    }

    /// The numbers of both sets. Where they contradict each other the result is arbitrary.
    pub const fn intersect(self, other: Tnum) -> Tnum {
        let mask = self.mask & other.mask;
        Tnum {
            value: (self.value | other.value) & !mask,
            mask,
        }
    }

    /// The low `bytes` bytes.
    pub fn cast(self, bytes: u32) -> Tnum {
        let keep = low_bits(bytes.saturating_mul(8));
        Tnum {
            value: self.value & keep,
            mask: self.mask & keep,
        }
    }

    /// The lower half.
    pub const fn low(self) -> Tnum {
        Tnum {
            value: self.value & 0xffff_ffff,
            mask: self.mask & 0xffff_ffff,
        }
    }

    /// This set with the lower half of every number exchanged for one of `low`'s.
    pub const fn with_low(self, low: Tnum) -> Tnum {
        Tnum {
            value: (self.value & !0xffff_ffff) | (low.value & 0xffff_ffff),
            mask: (self.mask & !0xffff_ffff) | (low.mask & 0xffff_ffff),
        }
    }
}

/// A number with the low `n` bits set.
fn low_bits(n: u32) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

impl fmt::Display for Tnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:#x}; {:#x})", self.value, self.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A set and two of its numbers.
    fn set() -> impl Strategy<Value = (Tnum, u64)> {
        (any::<u64>(), any::<u64>(), any::<u64>(), 0u32..64).prop_map(|(v, m, pick, narrow)| {
            let mask = m >> narrow;
            let t = Tnum {
                value: v & !mask,
                mask,
            };
            (t, t.value | (pick & mask))
        })
    }

    proptest! {
        #[test]
        fn operations_hold_the_results_of_their_numbers((a, x) in set(), (b, y) in set(), n in 0u32..64) {
            prop_assert!(a.add(b).contains(x.wrapping_add(y)));
            prop_assert!(a.sub(b).contains(x.wrapping_sub(y)));
            prop_assert!(a.times(b).contains(x.wrapping_mul(y)));
            prop_assert!(a.and(b).contains(x & y));
            prop_assert!(a.or(b).contains(x | y));
            prop_assert!(a.xor(b).contains(x ^ y));
            prop_assert!(a.neg().contains(x.wrapping_neg()));
            prop_assert!(a.shl(n).contains(x << n));
            prop_assert!(a.shr(n).contains(x >> n));
            prop_assert!(a.sar(n, 64).contains((x as i64 >> n) as u64));
            prop_assert!(a.low().sar(n & 31, 32).contains(u64::from((x as i32 >> (n & 31)) as u32)));
            prop_assert!(a.cast(2).contains(x & 0xffff));
        }

        #[test]
        fn a_range_holds_what_is_between(a in any::<u64>(), b in any::<u64>(), shift in 0u32..64, pick in any::<u64>()) {
            let (a, b) = (a >> shift, b >> shift);
            let (lo, hi) = (a.min(b), a.max(b));
            let n = lo + pick.checked_rem(hi - lo).unwrap_or(0);
            prop_assert!(Tnum::range(lo, hi).contains(n));
        }
    }

    #[test]
    fn what_is_common_to_a_range() {
        let t = Tnum::range(8, 11);
        assert_eq!(t.to_string(), "(0x8; 0x3)");
        assert!(t.contains(10) && !t.contains(12));
        assert!(Tnum::UNKNOWN.includes(t) && !t.includes(Tnum::UNKNOWN));
        assert!(t.shl(3).is_aligned(8) && !t.is_aligned(2));
    }
}
