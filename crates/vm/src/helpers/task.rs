//! The task that the event belongs to, and the processor.

use super::{Args, family};
use crate::Errno;
use crate::errno::status;
use crate::run::Run;

family! {
    GET_CURRENT_PID_TGID => |run, _| run.world.pid_tgid(),
    GET_CURRENT_UID_GID => |run, _| run.world.uid_gid(),
    GET_CURRENT_COMM => |run, args| status(comm(run, args)),
    GET_CURRENT_TASK => |run, _| run.world.address(),
    GET_CURRENT_TASK_BTF => |run, _| run.world.address(),
    GET_CURRENT_CGROUP_ID => |run, _| run.world.cgroup_id(),
    GET_CURRENT_ANCESTOR_CGROUP_ID => |run, [level, ..]| run.world.ancestor_cgroup_id(level as i32),
    GET_NS_CURRENT_PID_TGID => |run, args| status(namespace_ids(run, args)),
    SEND_SIGNAL => |run, [signal, ..]| status(send_signal(run, signal, false)),
    SEND_SIGNAL_THREAD => |run, [signal, ..]| status(send_signal(run, signal, true)),
    GET_SMP_PROCESSOR_ID => |run, _| run.cpu.into(),
    GET_NUMA_NODE_ID => |run, _| run.world.numa_node().into(),
    GET_PRANDOM_U32 => |run, _| run.world.random().into(),
}

/// The name is cut to the buffer, with a NUL at its end and zeros behind.
fn comm(run: &mut Run<'_>, [buffer, size, ..]: Args) -> Result<(), Errno> {
    let buffer = run.write(buffer, size & 0xffff_ffff)?;
    let name = run.world.comm();
    let len = name.iter().position(|&b| b == 0).unwrap_or(name.len() - 1);
    for (at, byte) in buffer.iter_mut().enumerate() {
        *byte = if at < len {
            name.get(at).copied().unwrap_or(0)
        } else {
            0
        };
    }
    if let Some(last) = buffer.last_mut() {
        *last = 0;
    }
    Ok(())
}

/// Fills a `struct bpf_pidns_info`: thread and process, four bytes each.
fn namespace_ids(run: &mut Run<'_>, [device, inode, info, size, ..]: Args) -> Result<(), Errno> {
    let info = run.write(info, size & 0xffff_ffff)?;
    let result = match info.len() {
        8 => run.world.namespace_ids(device, inode),
        _ => Err(Errno::INVAL),
    };
    match result {
        Ok((pid, tgid)) => {
            let (low, high) = info.split_at_mut(4);
            low.copy_from_slice(&pid.to_ne_bytes());
            high.copy_from_slice(&tgid.to_ne_bytes());
            Ok(())
        }
        Err(errno) => {
            info.fill(0);
            Err(errno)
        }
    }
}

fn send_signal(run: &mut Run<'_>, signal: u64, thread: bool) -> Result<(), Errno> {
    run.world.send_signal(signal as u32, thread)
}
