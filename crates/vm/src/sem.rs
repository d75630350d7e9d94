//! What arithmetic means where Rust's and the machine's differ from eBPF's (RFC 9669, section 4.1).

macro_rules! division {
    ($unsigned:ty, $signed:ty, $div:ident, $rem:ident, $sdiv:ident, $srem:ident) => {
        /// Zero where the divisor is zero.
        #[inline(always)]
        pub(crate) fn $div(a: $unsigned, b: $unsigned) -> $unsigned {
            a.checked_div(b).unwrap_or(0)
        }

        /// The dividend where the divisor is zero.
        #[inline(always)]
        pub(crate) fn $rem(a: $unsigned, b: $unsigned) -> $unsigned {
            a.checked_rem(b).unwrap_or(a)
        }

        /// Zero where the divisor is zero; the lowest number divided by -1 is itself.
        #[inline(always)]
        pub(crate) fn $sdiv(a: $unsigned, b: $unsigned) -> $unsigned {
            match b {
                0 => 0,
                b => (a as $signed).wrapping_div(b as $signed) as $unsigned,
            }
        }

        /// The dividend where the divisor is zero; the sign is the dividend's.
        #[inline(always)]
        pub(crate) fn $srem(a: $unsigned, b: $unsigned) -> $unsigned {
            match b {
                0 => a,
                b => (a as $signed).wrapping_rem(b as $signed) as $unsigned,
            }
        }
    };
}

division!(u64, i64, div64, rem64, sdiv64, srem64);
division!(u32, i32, div32, rem32, sdiv32, srem32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_by_zero_is_defined() {
        assert_eq!((div64(7, 0), rem64(7, 0)), (0, 7));
        assert_eq!((sdiv32(7, 0), srem32(7, 0)), (0, 7));
    }

    #[test]
    fn the_lowest_number_over_minus_one_stays() {
        let low = i64::MIN as u64;
        assert_eq!((sdiv64(low, u64::MAX), srem64(low, u64::MAX)), (low, 0));
        assert_eq!(srem32(-13i32 as u32, 3), -1i32 as u32);
    }
}
