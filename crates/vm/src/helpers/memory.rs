//! Reading memory that programs cannot reach by themselves, and copies of strings.

use super::{Args, family};
use crate::Errno;
use crate::errno::{status, to_register};
use crate::run::Run;

family! {
    PROBE_READ => |run, args| status(read(run, args, Space::Any)),
    PROBE_READ_USER => |run, args| status(read(run, args, Space::User)),
    PROBE_READ_KERNEL => |run, args| status(read(run, args, Space::Kernel)),
    COPY_FROM_USER => |run, args| status(read(run, args, Space::User)),
    COPY_FROM_USER_TASK => |run, args| status(read_task(run, args)),
    PROBE_READ_STR => |run, args| to_register(read_str(run, args, Space::Any)),
    PROBE_READ_USER_STR => |run, args| to_register(read_str(run, args, Space::User)),
    PROBE_READ_KERNEL_STR => |run, args| to_register(read_str(run, args, Space::Kernel)),
    PROBE_WRITE_USER => |run, args| status(write_user(run, args)),
}

/// Where an address points.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    User,
    /// What the kernel's own addresses are to programs: the machine's memory, else the world's kernel.
    Kernel,
    /// As the kernel, then as user memory.
    Any,
}

/// Bytes that are read at once while the end of a string is looked for.
const CHUNK: usize = 256;

/// Fills `into` from memory outside of the program's reach.
pub(super) fn fill(
    run: &Run<'_>,
    space: Space,
    address: u64,
    into: &mut [u8],
) -> Result<(), Errno> {
    if space == Space::User {
        return run.world.read_user(address, into);
    }
    if run.owns(address, into.len() as u64) {
        // SAFETY: all these bytes are the machine's own, and `copy` allows `into` to be among them.
        unsafe { std::ptr::copy(address as *const u8, into.as_mut_ptr(), into.len()) };
        return Ok(());
    }
    match run.world.read_kernel(address, into) {
        Err(_) if space == Space::Any => run.world.read_user(address, into),
        result => result,
    }
}

/// What cannot be read becomes zero, as in the kernel.
fn read(run: &mut Run<'_>, [to, size, from, ..]: Args, space: Space) -> Result<(), Errno> {
    let to = run.write(to, size & 0xffff_ffff)?;
    fill(run, space, from, to).inspect_err(|_| to.fill(0))
}

/// Only the current task's memory can be read.
fn read_task(run: &mut Run<'_>, [to, size, from, task, flags]: Args) -> Result<(), Errno> {
    let to = run.write(to, size & 0xffff_ffff)?;
    let result = if flags != 0 {
        Err(Errno::INVAL)
    } else if task != run.world.address() {
        Err(Errno::FAULT)
    } else {
        run.world.read_user(from, to)
    };
    result.inspect_err(|_| to.fill(0))
}

/// Gives the length with the NUL, which is always there unless the size is 0.
fn read_str(run: &mut Run<'_>, [to, size, from, ..]: Args, space: Space) -> Result<u64, Errno> {
    let to = run.write(to, size & 0xffff_ffff)?;
    let result = fill_str(run, space, from, to);
    if result.is_err() {
        to.fill(0);
    }
    result
}

/// Copies up to the NUL, cut to the buffer; gives the length with the NUL.
pub(super) fn fill_str(
    run: &Run<'_>,
    space: Space,
    from: u64,
    to: &mut [u8],
) -> Result<u64, Errno> {
    let Some(room) = to.len().checked_sub(1) else {
        return Ok(0);
    };
    let mut len = 0;
    while len < room {
        let address = from.wrapping_add(len as u64);
        // Chunks end at multiples of their size, so that none reaches into a page that may be missing.
        let wanted = (CHUNK - address as usize % CHUNK).min(room - len);
        let Some(chunk) = to.get_mut(len..len + wanted) else {
            break;
        };
        if fill(run, space, address, chunk).is_err() {
            // A value of a map may end inside of the chunk.
            let Some(byte) = chunk.get_mut(..1) else {
                break;
            };
            fill(run, space, address, byte)?;
            if byte == [0] {
                return Ok(len as u64 + 1);
            }
            len += 1;
            continue;
        }
        if let Some(end) = chunk.iter().position(|&b| b == 0) {
            return Ok((len + end) as u64 + 1);
        }
        len += wanted;
    }
    if let Some(last) = to.get_mut(len) {
        *last = 0;
    }
    Ok(len as u64 + 1)
}

fn write_user(run: &mut Run<'_>, [to, from, size, ..]: Args) -> Result<(), Errno> {
    let from = run.read(from, size & 0xffff_ffff)?;
    run.world.write_user(to, from)
}
