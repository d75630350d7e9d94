//! Random programs mean the same before and after optimisation, and as bytecode.

use beetrace_codegen::ir::{Module, parse::parse, verify::verify};
use beetrace_codegen::{EmitErrorKind, emit, optimise};
use beetrace_isa::disassemble;
use proptest::prelude::*;

use crate::{CONTEXT, Trace, bpf, generate, interpret, target};

/// What a run leaves: its result, the context, and the calls that it made.
type Outcome = (u64, Vec<u8>, Trace);

fn interpreted(module: &Module) -> Outcome {
    let (mut bytes, mut trace) = (vec![0; CONTEXT], Trace::default());
    match interpret::run(module, &mut bytes, &mut trace) {
        Ok(result) => (result, bytes, trace),
        Err(error) => panic!("{error}\n{module}"),
    }
}

fn emitted(module: &Module, isa_v4: bool) -> Option<Outcome> {
    let program = match emit(module, &target(isa_v4)) {
        Ok(program) => program,
        Err(error) if matches!(error.kind, EmitErrorKind::FrameTooLarge { .. }) => return None,
        Err(error) => panic!("{error}\n{module}"),
    };
    let (mut bytes, mut trace) = (vec![0; CONTEXT], Trace::default());
    match bpf::run(&program.insns, isa_v4, &mut bytes, &mut trace) {
        Ok(result) => Some((result, bytes, trace)),
        Err(error) => panic!("{error}\n{module}\n{}", disassemble(&program.insns)),
    }
}

fn check(choices: &[u16]) {
    let module = generate::module(choices);
    assert_eq!(verify(&module), Ok(()), "{module}");
    assert_eq!(parse(&module.to_string()).as_ref(), Ok(&module));
    let expected = interpreted(&module);
    for isa_v4 in [false, true] {
        if let Some(outcome) = emitted(&module, isa_v4) {
            assert_eq!(outcome, expected, "{module}");
        }
    }
    let mut optimised = module.clone();
    optimise(&mut optimised);
    assert_eq!(verify(&optimised), Ok(()), "{module}\n{optimised}");
    assert_eq!(interpreted(&optimised), expected, "{module}\n{optimised}");
    for isa_v4 in [false, true] {
        if let Some(outcome) = emitted(&optimised, isa_v4) {
            assert_eq!(outcome, expected, "{module}\n{optimised}");
        }
    }
}

/// `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn small_programs(choices in proptest::collection::vec(any::<u16>(), 0..60)) {
        check(&choices);
    }

    #[test]
    fn large_programs(choices in proptest::collection::vec(any::<u16>(), 0..600)) {
        check(&choices);
    }
}
