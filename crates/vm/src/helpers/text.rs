//! Strings: comparison and formatting into a buffer.

use super::format::{self, Arguments};
use super::{Args, family};
use crate::Errno;
use crate::errno::to_register;
use crate::run::Run;

family! {
    STRNCMP => |run, args| to_register(compare(run, args)),
    SNPRINTF => |run, args| to_register(snprintf(run, args)),
}

/// Longest format (one page, as a map value that holds it).
const MOST_FORMAT: u64 = 4096;

/// The second string is constant and ends with a NUL.
fn compare(run: &mut Run<'_>, [first, size, second, ..]: Args) -> Result<u64, Errno> {
    let size = size & 0xffff_ffff;
    for at in 0..size {
        let a = run
            .read(first.wrapping_add(at), 1)?
            .first()
            .copied()
            .unwrap_or(0);
        let b = run
            .read(second.wrapping_add(at), 1)?
            .first()
            .copied()
            .unwrap_or(0);
        if a != b {
            return Ok(i64::from(if a < b { -1 } else { 1 }) as u64);
        }
        if a == 0 {
            break;
        }
    }
    Ok(0)
}

/// Gives the length with the NUL of the whole text, also where the buffer was too small for it.
fn snprintf(run: &mut Run<'_>, [buffer, size, format, data, bytes]: Args) -> Result<u64, Errno> {
    let arguments = format::arguments(run, data, bytes)?;
    let format = run.read_string(format, MOST_FORMAT)?;
    let text = format::format(run, format, Arguments::new(&arguments))?;
    let buffer = run.write(buffer, size & 0xffff_ffff)?;
    if let Some(room) = buffer.len().checked_sub(1) {
        let len = text.len().min(room);
        for (to, from) in buffer.iter_mut().zip(text.iter().take(len).chain([&0])) {
            *to = *from;
        }
    }
    Ok(text.len() as u64 + 1)
}
