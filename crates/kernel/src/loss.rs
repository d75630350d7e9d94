//! What was lost: counted by the programs, and by the kernel.

use std::io;
use std::os::fd::AsFd;

use beetrace_engine::Losses;
use beetrace_object::Loss;

use crate::kernel::Attachment;
use crate::map::Map;
use crate::program::Program;
use crate::sys::bpf;

/// `enum bpf_link_type`.
const LINK_PERF_EVENT: u32 = 7;
const LINK_KPROBE_MULTI: u32 = 8;
/// `enum bpf_perf_event_type`.
const PERF_KPROBE: u32 = 3;
const PERF_KRETPROBE: u32 = 4;

/// The sums over all processors of a [`Losses`](beetrace_object::MapRole::Losses) map.
pub(crate) fn counted(map: &Map) -> io::Result<Losses> {
    let bytes = map.lookup(&0_u32.to_ne_bytes())?.unwrap_or_default();
    let counters: Vec<u64> = bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|word| u64::from_ne_bytes(*word))
        .collect();
    let sum = |loss: Loss| {
        counters
            .iter()
            .skip(loss as usize)
            .step_by(Loss::ALL.len())
            .fold(0, |sum: u64, n| sum.saturating_add(*n))
    };
    Ok(Losses {
        records: sum(Loss::RecordDropped),
        map_updates: sum(Loss::MapUpdateFailed),
        stacks: sum(Loss::StackFailed),
        missed: Vec::new(),
    })
}

/// Calls that the kernel left out, by probe: because a program ran there already, or because a kprobe could not be served.
pub(crate) fn missed(programs: &[Program], attachments: &[Attachment]) -> Vec<(String, u64)> {
    programs
        .iter()
        .enumerate()
        .filter_map(|(index, program)| {
            let recursion = program
                .loaded
                .iter()
                .filter_map(|(_, fd)| bpf::prog_info(fd.as_fd()).ok())
                .fold(0_u64, |sum, info| sum.saturating_add(info.recursion_misses));
            let links = attachments
                .iter()
                .filter(|attachment| attachment.program == index)
                .flat_map(|attachment| &attachment.fds)
                .filter_map(|fd| by_link(fd.as_fd()))
                .fold(0_u64, |sum, n| sum.saturating_add(n));
            let missed = recursion.saturating_add(links);
            (missed > 0).then(|| (program.probe_name().to_owned(), missed))
        })
        .collect()
}

/// What a link of kprobes counted (Linux 6.7 and newer).
fn by_link(link: std::os::fd::BorrowedFd) -> Option<u64> {
    let info = bpf::link_info(link).ok()?;
    match (info.kind, info.words) {
        // addrs, count and flags, missed
        (LINK_KPROBE_MULTI, [_, _, missed, ..]) => Some(missed),
        // type, func_name, name_len and offset, addr, missed
        (LINK_PERF_EVENT, [kind, _, _, _, missed, ..])
            if matches!(kind as u32, PERF_KPROBE | PERF_KRETPROBE) =>
        {
            Some(missed)
        }
        _ => None,
    }
}
