//! Pointers with their length: `struct bpf_dynptr`, 16 bytes that only these helpers read.

use super::{Args, family};
use crate::Errno;
use crate::errno::{status, to_register};
use crate::run::Run;

family! {
    DYNPTR_FROM_MEM => |run, args| status(from_memory(run, args)),
    DYNPTR_READ => |run, args| status(read(run, args)),
    DYNPTR_WRITE => |run, args| status(write(run, args)),
    DYNPTR_DATA => |run, args| data(run, args).unwrap_or(0),
    RINGBUF_RESERVE_DYNPTR => |run, args| to_register(reserve(run, args)),
    RINGBUF_SUBMIT_DYNPTR => |run, [dynptr, ..]| commit(run, dynptr, false),
    RINGBUF_DISCARD_DYNPTR => |run, [dynptr, ..]| commit(run, dynptr, true),
}

/// Longest memory that a dynptr can stand for (`DYNPTR_MAX_SIZE`).
const MOST: u64 = (1 << 24) - 1;

/// Address and length; both zero where there is nothing.
#[derive(Clone, Copy, Default)]
struct Dynptr {
    address: u64,
    len: u64,
}

impl Dynptr {
    fn load(run: &mut Run<'_>, at: u64) -> Result<Dynptr, Errno> {
        match run.read(at, 16)?.as_chunks::<8>() {
            ([address, len], _) => Ok(Dynptr {
                address: u64::from_ne_bytes(*address),
                len: u64::from_ne_bytes(*len),
            }),
            _ => Err(Errno::INVAL),
        }
    }

    fn store(self, run: &mut Run<'_>, at: u64) -> Result<(), Errno> {
        let (address, len) = run.write(at, 16)?.split_at_mut(8);
        address.copy_from_slice(&self.address.to_ne_bytes());
        len.copy_from_slice(&self.len.to_ne_bytes());
        Ok(())
    }

    /// The address of `len` bytes from `offset` on.
    fn part(self, offset: u64, len: u64) -> Result<u64, Errno> {
        let (offset, len) = (offset & 0xffff_ffff, len & 0xffff_ffff);
        if self.address == 0 {
            return Err(Errno::INVAL);
        }
        if offset + len > self.len {
            return Err(Errno::TOO_BIG);
        }
        Ok(self.address + offset)
    }
}

fn from_memory(run: &mut Run<'_>, [address, size, flags, dynptr, ..]: Args) -> Result<(), Errno> {
    let len = size & 0xffff_ffff;
    let result = match (flags, len) {
        (1.., _) => Err(Errno::INVAL),
        (_, len) if len > MOST => Err(Errno::TOO_BIG),
        _ => Ok(()),
    };
    let made = if result.is_ok() {
        Dynptr { address, len }
    } else {
        Dynptr::default()
    };
    made.store(run, dynptr)?;
    result
}

fn read(run: &mut Run<'_>, [to, len, dynptr, offset, flags]: Args) -> Result<(), Errno> {
    let part = Dynptr::load(run, dynptr)?.part(offset, len)?;
    if flags != 0 {
        return Err(Errno::INVAL);
    }
    copy(run, to, part, len & 0xffff_ffff)
}

fn write(run: &mut Run<'_>, [dynptr, offset, from, len, flags]: Args) -> Result<(), Errno> {
    let part = Dynptr::load(run, dynptr)?.part(offset, len)?;
    if flags != 0 {
        return Err(Errno::INVAL);
    }
    copy(run, part, from, len & 0xffff_ffff)
}

/// The two may overlap.
fn copy(run: &mut Run<'_>, to: u64, from: u64, len: u64) -> Result<(), Errno> {
    let bytes = run.read(from, len)?.to_vec();
    run.write(to, len)?.copy_from_slice(&bytes);
    Ok(())
}

fn data(run: &mut Run<'_>, [dynptr, offset, len, ..]: Args) -> Result<u64, Errno> {
    Dynptr::load(run, dynptr)?.part(offset, len)
}

/// The dynptr is written also where there is no room, and must be given back in any case.
fn reserve(run: &mut Run<'_>, [map, size, flags, dynptr, ..]: Args) -> Result<u64, Errno> {
    let ring = run.map(map)?.ring().ok_or(Errno::INVAL)?;
    let len = size & 0xffff_ffff;
    let record = if flags == 0 { ring.reserve(len) } else { None };
    let made = record.map_or(Dynptr::default(), |address| Dynptr { address, len });
    made.store(run, dynptr)?;
    match record {
        Some(_) => Ok(0),
        None => Err(Errno::INVAL),
    }
}

fn commit(run: &mut Run<'_>, dynptr: u64, discard: bool) -> u64 {
    let Ok(Dynptr { address, .. }) = Dynptr::load(run, dynptr) else {
        return 0;
    };
    if let Some(ring) = run.map_containing(address).and_then(|map| map.ring()) {
        // As with records themselves, only checked mode can come here with what is none.
        let _outcome = ring.commit(address, discard);
    }
    // Nothing more can be done with the dynptr.
    let _cleared = Dynptr::default().store(run, dynptr);
    0
}
