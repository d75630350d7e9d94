//! The Linux kernel as the oracle.

use beetrace_engine::{Engine, Error, LoadOptions, ProgramId};
use beetrace_isa::Insn;
use beetrace_kernel::{Kernel, Privileges};
use beetrace_object::{Event, Function, Map, Object, ProbeSpec, Program, ProgramKind, Signature};
use proptest::test_runner::Config as ProptestConfig;

/// So many random cases, and no file of failures.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Says why and answers `true` where this process may not load programs.
pub(crate) fn skipped() -> bool {
    let skip = !Privileges::current().may_bpf();
    if skip {
        println!("skipped: needs CAP_BPF");
    }
    skip
}

/// The entry, and the function behind its end if there is one.
fn functions(insns: &[Insn]) -> Vec<Function> {
    let end = insns.iter().position(|insn| *insn == Insn::Exit);
    let second = end.map(|end| end + 1).filter(|&start| start < insns.len());
    let function = |start: usize, signature| Function {
        name: format!("function_{start}"),
        start: start as u32,
        signature,
    };
    std::iter::once(function(0, Signature::Entry))
        .chain(second.map(|start| function(start, Signature::Subprogram(5))))
        .collect()
}

/// Loads a program with its maps; `None` where the verifier does not take it.
pub(crate) fn load(insns: &[Insn], maps: Vec<Map>) -> Option<Kernel> {
    let object = Object {
        license: "GPL".into(),
        programs: vec![Program {
            name: "agreement".into(),
            kind: ProgramKind::Syscall,
            insns: insns.to_vec(),
            functions: functions(insns),
            lines: Vec::new(),
            probes: vec![ProbeSpec {
                name: "agreement".into(),
                event: Event::Begin,
            }],
        }],
        maps,
        ..Object::default()
    };
    let mut kernel = Kernel::new();
    match kernel.load(&object, &LoadOptions::default()) {
        Ok(()) => Some(kernel),
        Err(Error::Rejected { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The low half of what a loaded program returns.
pub(crate) fn run(kernel: &mut Kernel) -> u64 {
    kernel.run(ProgramId(0), 1).expect("runs").value
}

/// The low half of what a program without maps returns; `None` where the verifier does not take it.
pub(crate) fn returns(insns: &[Insn]) -> Option<u64> {
    load(insns, Vec::new()).map(|mut kernel| run(&mut kernel))
}
