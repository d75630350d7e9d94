//! Stacks.

use super::{Args, family};
use crate::Errno;
use crate::errno::to_register;
use crate::maps::{FAST_STACK_CMP, REUSE_STACKID};
use crate::run::Run;

family! {
    GET_STACKID => |run, args| to_register(id(run, args)),
    GET_STACK => |run, [_, buffer, size, flags, ..]| to_register(into(run, buffer, size, flags)),
    GET_TASK_STACK => |run, args| to_register(of_task(run, args)),
}

const SKIP: u64 = 0xff;
const USER: u64 = 1 << 8;

/// Most frames of a stack (`sysctl_perf_event_max_stack`).
const MOST_FRAMES: usize = 127;

fn frames(run: &Run<'_>, flags: u64, most: usize) -> Result<Vec<u64>, Errno> {
    let skip = (flags & SKIP) as usize;
    let mut frames = vec![0; (most + skip).min(MOST_FRAMES + SKIP as usize)];
    let count = run.world.stack(flags & USER != 0, &mut frames)?;
    frames.truncate(count);
    if skip > frames.len() {
        return Err(Errno::FAULT);
    }
    frames.drain(..skip);
    frames.truncate(most);
    Ok(frames)
}

fn id(run: &mut Run<'_>, [_, map, flags, ..]: Args) -> Result<u64, Errno> {
    if flags & !(SKIP | USER | FAST_STACK_CMP | REUSE_STACKID) != 0 {
        return Err(Errno::INVAL);
    }
    let stacks = run.map(map)?.stacks().ok_or(Errno::INVAL)?;
    let frames = frames(run, flags, stacks.frames())?;
    if frames.is_empty() {
        return Err(Errno::FAULT);
    }
    stacks.insert(&frames, flags)
}

/// Writes the frames and gives how many bytes they take; what is behind them becomes zero.
fn into(run: &mut Run<'_>, buffer: u64, size: u64, flags: u64) -> Result<u64, Errno> {
    let buffer = run.write(buffer, size & 0xffff_ffff)?;
    let result = if flags & !(SKIP | USER) != 0 || buffer.len() % 8 != 0 {
        Err(Errno::INVAL)
    } else {
        frames(run, flags, (buffer.len() / 8).min(MOST_FRAMES))
    };
    let frames = match result {
        Ok(frames) => frames,
        Err(errno) => {
            buffer.fill(0);
            return Err(errno);
        }
    };
    let bytes: Vec<u8> = frames.iter().flat_map(|f| f.to_ne_bytes()).collect();
    for (at, byte) in buffer.iter_mut().enumerate() {
        *byte = bytes.get(at).copied().unwrap_or(0);
    }
    Ok(bytes.len() as u64)
}

/// Only the current task has a stack here.
fn of_task(run: &mut Run<'_>, [task, buffer, size, flags, ..]: Args) -> Result<u64, Errno> {
    if task != run.world.address() {
        return Err(Errno::OPNOTSUPP);
    }
    into(run, buffer, size, flags)
}
