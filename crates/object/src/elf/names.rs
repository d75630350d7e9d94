//! Names of sections and symbols. Both the writer and the reader derive them from the tables alone.

use std::collections::HashSet;

use crate::debug_info::identifier;
use crate::{Event, IterKind, Object, Program, ProgramKind};

/// Where subprograms and callbacks go, as loaders expect.
pub(super) const TEXT: &str = ".text";
pub(super) const MAPS: &str = ".maps";
pub(super) const LICENSE: &str = "license";
pub(super) const BTF: &str = ".BTF";
pub(super) const BTF_EXT: &str = ".BTF.ext";
/// Our own tables.
pub(super) const TABLES: &str = ".beetrace";

/// The names of an object's parts, all of them different.
pub(super) struct Names {
    /// A symbol for each function of each program, the entry first.
    pub(super) functions: Vec<Vec<String>>,
    /// A symbol for each map.
    pub(super) maps: Vec<String>,
}

impl Names {
    pub(super) fn new(object: &Object) -> Names {
        let mut taken = HashSet::new();
        let entries: Vec<_> = object
            .programs
            .iter()
            .map(|program| unique(&mut taken, identifier(&program.name)))
            .collect();
        // Maps of the script lose their `@`, which no identifier may have.
        let maps = object
            .maps
            .iter()
            .map(|map| match map.name.strip_prefix('@') {
                Some(name) => unique(&mut taken, identifier(&format!("map_{name}"))),
                None => unique(&mut taken, identifier(&map.name)),
            })
            .collect();
        let functions = object
            .programs
            .iter()
            .zip(entries)
            .map(|(program, entry)| {
                let callbacks = program.functions.iter().skip(1).map(|function| {
                    let name = identifier(&format!("{entry}_{}", function.name));
                    unique(&mut taken, name)
                });
                let callbacks: Vec<_> = callbacks.collect();
                std::iter::once(entry).chain(callbacks).collect()
            })
            .collect();
        Names { functions, maps }
    }
}

/// The name, with a number behind it if it is taken.
fn unique(taken: &mut HashSet<String>, name: String) -> String {
    let mut candidate = name.clone();
    let mut number = 1;
    while !taken.insert(candidate.clone()) {
        number += 1;
        candidate = format!("{name}_{number}");
    }
    candidate
}

/// The section of a program's entry, which tells loaders its type and where to attach it.
pub(super) fn section(program: &Program) -> String {
    let event = program.probes.first().map(|probe| &probe.event);
    match (program.kind, event) {
        (
            ProgramKind::Kprobe,
            Some(Event::Kprobe {
                symbol,
                offset,
                is_return,
                ..
            }),
        ) => match (is_return, offset) {
            (true, _) => format!("kretprobe/{symbol}"),
            (false, 0) => format!("kprobe/{symbol}"),
            (false, offset) => format!("kprobe/{symbol}+{offset:#x}"),
        },
        (ProgramKind::Kprobe, Some(Event::Uprobe(uprobe))) => {
            let kind = if uprobe.is_return {
                "uretprobe"
            } else {
                "uprobe"
            };
            let path = uprobe.path.display();
            match uprobe.targets.first() {
                Some(target) if !target.symbol.is_empty() => {
                    format!("{kind}/{path}:{}", target.symbol)
                }
                Some(target) => format!("{kind}/{path}:{:#x}", target.offset),
                None => kind.to_owned(),
            }
        }
        (ProgramKind::Kprobe, Some(Event::Usdt(usdt))) => format!(
            "usdt/{}:{}:{}",
            usdt.path.display(),
            usdt.provider,
            usdt.name
        ),
        (ProgramKind::Tracepoint, Some(Event::Tracepoint { category, name })) => {
            format!("tracepoint/{category}/{name}")
        }
        (ProgramKind::RawTracepoint, Some(Event::RawTracepoint { name, .. })) => {
            format!("raw_tp/{name}")
        }
        (ProgramKind::Tracing, Some(Event::RawTracepoint { name, .. })) => {
            format!("tp_btf/{name}")
        }
        (
            ProgramKind::Tracing,
            Some(Event::Fentry {
                function, is_exit, ..
            }),
        ) => match is_exit {
            true => format!("fexit/{function}"),
            false => format!("fentry/{function}"),
        },
        (ProgramKind::Tracing, Some(Event::Iter { kind, .. })) => match kind {
            IterKind::Task => "iter/task".to_owned(),
            IterKind::TaskFile => "iter/task_file".to_owned(),
            IterKind::TaskVma => "iter/task_vma".to_owned(),
        },
        (ProgramKind::Kprobe, _) => "kprobe".to_owned(),
        (ProgramKind::Tracepoint, _) => "tracepoint".to_owned(),
        (ProgramKind::PerfEvent, _) => "perf_event".to_owned(),
        (ProgramKind::RawTracepoint, _) => "raw_tp".to_owned(),
        (ProgramKind::Tracing, _) => "fentry".to_owned(),
        (ProgramKind::Syscall, _) => "syscall".to_owned(),
    }
}
