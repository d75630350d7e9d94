//! Error numbers that helpers and maps give to programs.

use std::fmt;

/// A positive Linux error number (include/uapi/asm-generic/errno-base.h). Programs see it negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub struct Errno(pub i32);

macro_rules! numbers {
    ($($name:ident $n:literal)*) => {
        impl Errno {
            $(#[doc = concat!("`E", stringify!($name), "`")] pub const $name: Errno = Errno($n);)*
        }

        fn name(n: i32) -> Option<&'static str> {
            match n { 7 => Some("E2BIG"), $($n => Some(concat!("E", stringify!($name))),)* _ => None }
        }
    };
}

numbers! {
    PERM 1
    NOENT 2
    SRCH 3
    AGAIN 11
    NOMEM 12
    FAULT 14
    BUSY 16
    EXIST 17
    INVAL 22
    NOSPC 28
    RANGE 34
    LOOP 40
    OPNOTSUPP 95
    NOTSUPP 524
}

impl Errno {
    /// `E2BIG`
    pub const TOO_BIG: Errno = Errno(7);

    /// What a program finds in `r0`.
    pub fn to_register(self) -> u64 {
        i64::from(-self.0) as u64
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "error {}", self.0),
        }
    }
}

/// A result as a program finds it in `r0`: the value, or the negated error number.
pub(crate) fn to_register(result: Result<u64, Errno>) -> u64 {
    result.unwrap_or_else(Errno::to_register)
}

/// The same for a call without a value.
pub(crate) fn status(result: Result<(), Errno>) -> u64 {
    to_register(result.map(|()| 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_see_negated_numbers() {
        assert_eq!(to_register(Err(Errno::NOENT)), -2i64 as u64);
        assert_eq!(status(Ok(())), 0);
        assert_eq!(Errno::RANGE.to_string(), "ERANGE");
    }
}
