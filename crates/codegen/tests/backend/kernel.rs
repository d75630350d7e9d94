//! The kernel takes random programs, and gets the same results from them.

use beetrace_codegen::ir::Module;
use beetrace_codegen::{EmitErrorKind, emit, optimise};
use beetrace_engine::{Engine, LoadOptions, ProgramId};
use beetrace_isa::disassemble;
use beetrace_kernel::{Kernel, Privileges};
use beetrace_object::{Object, Program, ProgramKind};
use proptest::prelude::*;

use crate::{CONTEXT, Trace, generate, interpret, target};

/// Says why and answers `true` where this process may not load programs.
fn skipped() -> bool {
    let skip = !Privileges::current().may_bpf();
    if skip {
        eprintln!("skipped: needs CAP_BPF");
    }
    skip
}

fn check(module: &Module) {
    let (mut context, mut trace) = (vec![0; CONTEXT], Trace::default());
    let expected = interpret::run(module, &mut context, &mut trace).expect("a result");
    for isa_v4 in [false, true] {
        let emitted = match emit(module, &target(isa_v4)) {
            Ok(emitted) => emitted,
            Err(error)
                if matches!(
                    error.kind,
                    EmitErrorKind::FrameTooLarge { .. } | EmitErrorKind::StackTooDeep { .. }
                ) =>
            {
                continue;
            }
            Err(error) => panic!("{error}\n{module}"),
        };
        let program = Program {
            name: "random".into(),
            kind: ProgramKind::Syscall,
            insns: emitted.insns,
            functions: emitted.functions,
            lines: emitted.lines,
            probes: Vec::new(),
        };
        let listing = disassemble(&program.insns);
        let object = Object {
            license: "GPL".into(),
            programs: vec![program],
            ..Object::default()
        };
        let mut kernel = Kernel::new();
        let result = kernel
            .load(&object, &LoadOptions::default())
            .and_then(|()| kernel.run(ProgramId(0), 1));
        match result {
            Ok(result) => assert_eq!(result.value, expected, "{module}\n{listing}"),
            Err(error) => panic!("{error:?}\n{module}\n{listing}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_programs_run_in_the_kernel(choices in proptest::collection::vec(any::<u16>(), 0..500)) {
        if !skipped() {
            let mut module = generate::module(&choices);
            check(&module);
            optimise(&mut module);
            check(&module);
        }
    }
}
