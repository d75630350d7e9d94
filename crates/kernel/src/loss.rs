//! What was lost: counted by the programs, and by the kernel.

use std::io;
use std::os::fd::AsFd;

use beetrace_engine::Losses;
use beetrace_object::{Loss, ProgramKind};

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
/// `before` is what links that are gone had counted.
pub(crate) fn missed(
    programs: &[Program],
    attachments: &[Attachment],
    before: &[(usize, u64)],
) -> Vec<(String, u64)> {
    let links = by_links(programs, attachments);
    programs
        .iter()
        .enumerate()
        .filter_map(|(index, program)| {
            let recursion = program
                .loaded
                .iter()
                .filter_map(|(_, fd)| bpf::prog_info(fd.as_fd()).ok())
                .map(|info| info.recursion_misses);
            let links = before
                .iter()
                .chain(&links)
                .filter(|(of, _)| *of == index)
                .map(|(_, missed)| *missed);
            let missed = recursion.chain(links).fold(0, u64::saturating_add);
            (missed > 0).then(|| (program.probe_name().to_owned(), missed))
        })
        .collect()
}

/// What the links of kprobes have counted, by the program's index.
pub(crate) fn by_links(programs: &[Program], attachments: &[Attachment]) -> Vec<(usize, u64)> {
    attachments
        .iter()
        .filter(|attachment| {
            let program = programs.get(attachment.program);
            program.is_some_and(|p| p.kind == ProgramKind::Kprobe)
        })
        .flat_map(|attachment| {
            let missed = attachment.fds.iter().filter_map(|fd| by_link(fd.as_fd()));
            missed.map(|missed| (attachment.program, missed))
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
