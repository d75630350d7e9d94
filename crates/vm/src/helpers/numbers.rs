//! Numbers out of text.

use super::{Args, family};
use crate::Errno;
use crate::errno::to_register;
use crate::run::Run;

family! {
    STRTOL => |run, args| to_register(strtol(run, args)),
    STRTOUL => |run, args| to_register(strtoul(run, args)),
}

/// What a text begins with: sign, magnitude, bytes read.
fn parse(text: &[u8], flags: u64) -> Result<(bool, u64, u64), Errno> {
    let base = match flags {
        0 => None,
        8 | 10 | 16 => Some(flags as u32),
        _ => return Err(Errno::INVAL),
    };
    let spaces = text.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let mut rest = text.get(spaces..).unwrap_or_default();
    let negative = rest.first() == Some(&b'-');
    if negative {
        rest = rest.get(1..).unwrap_or_default();
    }
    let hex = rest
        .get(..3)
        .is_some_and(|p| p.starts_with(b"0x") && p.get(2).is_some_and(u8::is_ascii_hexdigit));
    let base = base.unwrap_or(match rest.first() {
        Some(b'0') if hex => 16,
        Some(b'0') => 8,
        _ => 10,
    });
    let skip = if base == 16 && hex { 2 } else { 0 };
    let digits = rest.get(skip..).unwrap_or_default();
    let count = digits
        .iter()
        .take_while(|&&b| char::from(b).is_digit(base))
        .count();
    if count == 0 {
        return Err(Errno::INVAL);
    }
    let value = digits.iter().take(count).try_fold(0u64, |n, &b| {
        let digit = char::from(b).to_digit(base)?;
        n.checked_mul(base.into())?.checked_add(digit.into())
    });
    let used = spaces + usize::from(negative) + skip + count;
    Ok((negative, value.ok_or(Errno::RANGE)?, used as u64))
}

fn text<'m>(run: &mut Run<'_>, address: u64, size: u64) -> Result<&'m [u8], Errno> {
    let text = run.read(address, size & 0xffff_ffff)?;
    Ok(text.split(|&b| b == 0).next().unwrap_or_default())
}

fn give(run: &mut Run<'_>, to: u64, value: u64) -> Result<(), Errno> {
    run.write(to, 8)?.copy_from_slice(&value.to_ne_bytes());
    Ok(())
}

fn strtol(run: &mut Run<'_>, [address, size, flags, result, ..]: Args) -> Result<u64, Errno> {
    let (negative, value, used) = parse(text(run, address, size)?, flags)?;
    let signed = if negative {
        -i128::from(value)
    } else {
        value.into()
    };
    let signed = i64::try_from(signed).map_err(|_| Errno::RANGE)?;
    give(run, result, signed as u64)?;
    Ok(used)
}

fn strtoul(run: &mut Run<'_>, [address, size, flags, result, ..]: Args) -> Result<u64, Errno> {
    let (negative, value, used) = parse(text(run, address, size)?, flags)?;
    if negative {
        return Err(Errno::INVAL);
    }
    give(run, result, value)?;
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_and_signs() {
        assert_eq!(parse(b" 42x", 0), Ok((false, 42, 3)));
        assert_eq!(parse(b"-0x1f", 0), Ok((true, 31, 5)));
        assert_eq!(parse(b"017", 0), Ok((false, 15, 3)));
        assert_eq!(parse(b"ff", 16), Ok((false, 255, 2)));
        assert_eq!(parse(b"18446744073709551616", 10), Err(Errno::RANGE));
        assert_eq!(parse(b"x", 0), Err(Errno::INVAL));
        assert_eq!(parse(b"1", 7), Err(Errno::INVAL));
    }
}
