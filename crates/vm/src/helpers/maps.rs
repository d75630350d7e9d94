//! Map operations.

use std::ptr::NonNull;

use super::{Args, family};
use crate::Errno;
use crate::errno::status;
use crate::run::Run;

family! {
    MAP_LOOKUP_ELEM => lookup,
    MAP_UPDATE_ELEM => |run, args| status(update(run, args)),
    MAP_DELETE_ELEM => |run, args| status(delete(run, args)),
    MAP_PUSH_ELEM => |run, args| status(push(run, args)),
    MAP_POP_ELEM => |run, args| status(pop(run, args)),
    MAP_PEEK_ELEM => |run, args| status(peek(run, args)),
    MAP_LOOKUP_PERCPU_ELEM => lookup_per_cpu,
    TASK_STORAGE_GET => task_storage_get,
    TASK_STORAGE_DELETE => |run, args| status(task_storage_delete(run, args)),
}

/// An address, or null.
fn pointer(at: Option<NonNull<u8>>) -> u64 {
    at.map_or(0, |at| at.as_ptr() as u64)
}

fn lookup(run: &mut Run<'_>, [map, key, ..]: Args) -> u64 {
    let cpu = run.cpu;
    lookup_on(run, map, key, cpu)
}

fn lookup_per_cpu(run: &mut Run<'_>, [map, key, cpu, ..]: Args) -> u64 {
    match run.map(map) {
        Ok(m) if (cpu as u32) < m.cpus() => lookup_on(run, map, key, cpu as u32),
        _ => 0,
    }
}

fn lookup_on(run: &mut Run<'_>, map: u64, key: u64, cpu: u32) -> u64 {
    let Ok(map) = run.map(map) else { return 0 };
    let Ok(key) = run.read(key, map.spec().key_size.into()) else {
        return 0;
    };
    pointer(map.store().lookup(key, cpu))
}

fn update(run: &mut Run<'_>, [map, key, value, flags, ..]: Args) -> Result<(), Errno> {
    let map = run.map(map)?;
    let key = run.read(key, map.spec().key_size.into())?;
    let value = run.read(value, map.spec().value_size.into())?;
    map.store().update(key, value, flags, run.cpu)
}

fn delete(run: &mut Run<'_>, [map, key, ..]: Args) -> Result<(), Errno> {
    let map = run.map(map)?;
    let key = run.read(key, map.spec().key_size.into())?;
    map.store().delete(key)
}

fn push(run: &mut Run<'_>, [map, value, flags, ..]: Args) -> Result<(), Errno> {
    let map = run.map(map)?;
    let value = run.read(value, map.spec().value_size.into())?;
    map.store().push(value, flags)
}

fn pop(run: &mut Run<'_>, [map, value, ..]: Args) -> Result<(), Errno> {
    let map = run.map(map)?;
    map.store()
        .pop(run.write(value, map.spec().value_size.into())?)
}

fn peek(run: &mut Run<'_>, [map, value, ..]: Args) -> Result<(), Errno> {
    let map = run.map(map)?;
    map.store()
        .peek(run.write(value, map.spec().value_size.into())?)
}

/// Creates the value where it is missing (`BPF_LOCAL_STORAGE_GET_F_CREATE`).
const CREATE: u64 = 1;

fn task_storage_get(run: &mut Run<'_>, [map, task, value, flags, ..]: Args) -> u64 {
    let Ok(map) = run.map(map) else { return 0 };
    let Some(tasks) = map.tasks() else { return 0 };
    if flags & !CREATE != 0 || task == 0 {
        return 0;
    }
    let initial = match value {
        0 => None,
        address => match run.read(address, map.spec().value_size.into()) {
            Ok(bytes) => Some(bytes),
            Err(_) => return 0,
        },
    };
    // Storage is kept by thread, as user space names it.
    let thread = u64::from(run.world.pid_tgid() as u32);
    pointer(tasks.value(thread, flags & CREATE != 0, initial))
}

fn task_storage_delete(run: &mut Run<'_>, [map, ..]: Args) -> Result<(), Errno> {
    let tasks = run.map(map)?.tasks().ok_or(Errno::INVAL)?;
    tasks.end(u64::from(run.world.pid_tgid() as u32))
}
