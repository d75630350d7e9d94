//! Records for user space: ring buffers, perf events, trace lines.

use super::format::{self, Arguments};
use super::{Args, family};
use crate::Errno;
use crate::errno::{status, to_register};
use crate::maps::RingBuf;
use crate::run::Run;

family! {
    RINGBUF_OUTPUT => |run, args| status(output(run, args)),
    RINGBUF_RESERVE => reserve,
    RINGBUF_SUBMIT => |run, [record, ..]| commit(run, record, false),
    RINGBUF_DISCARD => |run, [record, ..]| commit(run, record, true),
    RINGBUF_QUERY => query,
    PERF_EVENT_OUTPUT => |run, args| status(perf_output(run, args)),
    TRACE_PRINTK => |run, args| to_register(trace(run, args)),
    TRACE_VPRINTK => |run, args| to_register(trace_array(run, args)),
}

/// Bits of the wake-up, which user space decides for itself here.
const WAKEUP: u64 = 0b11;

/// `BPF_F_CURRENT_CPU`
const CURRENT_CPU: u64 = 0xffff_ffff;

/// Longest trace line (`MAX_TRACE_PRINTK_VARARGS` and the buffer behind it).
const MOST_TRACE: usize = 1024;

fn ring<'m>(run: &mut Run<'_>, map: u64) -> Result<&'m RingBuf, Errno> {
    run.map(map)?.ring().ok_or(Errno::INVAL)
}

fn output(run: &mut Run<'_>, [map, data, size, flags, ..]: Args) -> Result<(), Errno> {
    let ring = ring(run, map)?;
    if flags & !WAKEUP != 0 {
        return Err(Errno::INVAL);
    }
    ring.output(run.read(data, size)?)
}

fn reserve(run: &mut Run<'_>, [map, size, flags, ..]: Args) -> u64 {
    match ring(run, map) {
        Ok(ring) if flags == 0 => ring.reserve(size).unwrap_or(0),
        _ => 0,
    }
}

/// The record says by its address which ring it is of.
fn commit(run: &mut Run<'_>, record: u64, discard: bool) -> u64 {
    let Some(map) = run.map_containing(record) else {
        return 0;
    };
    if let Some(ring) = map.ring() {
        // A record that is none, or is finished, can only come in checked mode, where nothing happens then.
        let _outcome = ring.commit(record, discard);
    }
    0
}

fn query(run: &mut Run<'_>, [map, flags, ..]: Args) -> u64 {
    ring(run, map).map_or(0, |ring| ring.query(flags))
}

fn perf_output(run: &mut Run<'_>, [_, map, flags, data, size]: Args) -> Result<(), Errno> {
    let perf = run.map(map)?.perf().ok_or(Errno::INVAL)?;
    if flags & !CURRENT_CPU != 0 {
        return Err(Errno::INVAL);
    }
    let cpu = match flags & CURRENT_CPU {
        CURRENT_CPU => run.cpu,
        cpu => cpu as u32,
    };
    perf.output(cpu, run.read(data, size)?)
}

fn trace(run: &mut Run<'_>, [format, size, a, b, c]: Args) -> Result<u64, Errno> {
    let format = run.read(format, size & 0xffff_ffff)?;
    line(run, format, &[a, b, c])
}

fn trace_array(run: &mut Run<'_>, [format, size, data, bytes, ..]: Args) -> Result<u64, Errno> {
    let format = run.read(format, size & 0xffff_ffff)?;
    let data = format::arguments(run, data, bytes)?;
    line(run, format, &data)
}

fn line(run: &mut Run<'_>, format: &[u8], arguments: &[u64]) -> Result<u64, Errno> {
    // The format ends with its NUL.
    let format = match format.iter().position(|&b| b == 0) {
        Some(end) => format.get(..end).unwrap_or_default(),
        None => return Err(Errno::INVAL),
    };
    let mut text = format::format(run, format, Arguments::new(arguments))?;
    text.truncate(MOST_TRACE - 1);
    run.world.trace(&text);
    Ok(text.len() as u64)
}
