//! Sums of the Internet protocols.

use super::{Args, family};
use crate::Errno;
use crate::errno::to_register;
use crate::run::Run;

family! {
    CSUM_DIFF => |run, args| to_register(difference(run, args)),
}

/// Longest run of bytes on either side (`MAX_BPF_STACK`).
const MOST: u64 = 512;

/// What a sum becomes when the bytes `from` leave and `to` come.
fn difference(run: &mut Run<'_>, [from, from_size, to, to_size, seed]: Args) -> Result<u64, Errno> {
    let (from_size, to_size) = (from_size & 0xffff_ffff, to_size & 0xffff_ffff);
    if from_size % 4 != 0 || to_size % 4 != 0 || from_size + to_size > MOST {
        return Err(Errno::INVAL);
    }
    let (from, to) = (run.read(from, from_size)?, run.read(to, to_size)?);
    let mut sum = u64::from(seed as u32);
    for word in words(from) {
        sum += u64::from(!word);
    }
    for word in words(to) {
        sum += u64::from(word);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    Ok(sum)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|w| u32::from_ne_bytes(*w))
}
