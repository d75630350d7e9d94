//! Verdicts as a person reads them: programs as text, answers as text.

use beetrace_isa::{Imm64, Insn, Reg, assemble};
use beetrace_verifier::{
    ArgumentType, FunctionDef, FunctionLinkage, KernelFunction, LineDef, MapDef, Options,
    ProgramInput, ProgramType, Refusal, RejectKind, map_type, verify,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn maps() -> Vec<MapDef> {
    let mut locked = MapDef::new("locked", map_type::HASH, 8, 16, 8);
    locked.spin_lock = Some(0);
    locked.has_btf = true;
    vec![
        MapDef::new("counts", map_type::HASH, 8, 16, 64),
        MapDef::new("events", map_type::RINGBUF, 0, 0, 4096),
        locked,
    ]
}

/// The verdict on a program: `accepted`, or the rejection as text.
fn verdict(kind: ProgramType, text: &str) -> Result<String, Box<dyn std::error::Error>> {
    let insns = assemble(text)?;
    Ok(answer(kind, &insns, &[], &[]))
}

fn answer(
    kind: ProgramType,
    insns: &[Insn],
    lines: &[LineDef],
    functions: &[FunctionDef],
) -> String {
    let maps = maps();
    let input = ProgramInput {
        insns,
        kind,
        maps: &maps,
        functions,
        lines,
        kernel_functions: &[],
    };
    match verify(&input, Options::default()) {
        Ok(_) => "accepted".into(),
        Err(why) => why.to_string(),
    }
}

/// The first line of the verdict.
fn first(kind: ProgramType, text: &str) -> Result<String, Box<dyn std::error::Error>> {
    Ok(verdict(kind, text)?.lines().next().unwrap_or("").to_owned())
}

const LOOKUP: &str =
    "*(u64 *)(r10 - 8) = 0\n r1 = map[0] ll\n r2 = r10\n r2 += -8\n call bpf_map_lookup_elem\n";

#[test]
fn a_lookup_that_may_miss() -> Outcome {
    let text = format!(
        "r6 = *(u32 *)(r1 + 0)\n if r6 != 5 goto +2\n r0 = 0\n exit\n {LOOKUP} r1 = *(u64 *)(r0 + 0)\n exit"
    );
    let insns = assemble(&text)?;
    let lines = [
        LineDef {
            slot: 0,
            file: "a.bt".into(),
            line: 2,
            column: 3,
            text: "if (cpu == 5) { return }".into(),
        },
        LineDef {
            slot: 4,
            file: "a.bt".into(),
            line: 3,
            column: 8,
            text: "  $p = @counts[0];".into(),
        },
        LineDef {
            slot: 10,
            file: "a.bt".into(),
            line: 4,
            column: 9,
            text: "  print(*$p);".into(),
        },
    ];
    assert_eq!(
        answer(ProgramType::Tracepoint, &insns, &lines, &[]),
        "r0 may be null here: a map value is accessed without a check\n  --> a.bt:4:9\n   | print(*$p);\n   \
         = instruction 10: r1 = *(u64 *)(r0 + 0)\n   \
         = known: the lookup in `counts` on line 3 finds nothing if the key is not there\n   \
         = path:\n       line 2: if r6 != 5 goto +2 (taken)\n   \
         = help: compare the pointer with null first, and use it only where it is not"
    );
    Ok(())
}

#[test]
fn a_checked_lookup_is_accepted() -> Outcome {
    let text = format!(
        "{LOOKUP} if r0 == 0 goto +2\n r1 = *(u64 *)(r0 + 8)\n *(u64 *)(r0 + 0) = r1\n r0 = 0\n exit"
    );
    assert_eq!(verdict(ProgramType::Kprobe, &text)?, "accepted");
    Ok(())
}

#[test]
fn an_index_without_a_bound() -> Outcome {
    let access = "if r0 == 0 goto out\n r1 = *(u64 *)(r0 + 0)\n";
    let end = "r0 += r1\n r0 = *(u8 *)(r0 + 0)\n out: r0 = 0\n exit";
    assert_eq!(
        verdict(ProgramType::Kprobe, &format!("{LOOKUP}{access}{end}"))?,
        "the number that makes the offset may be very small: it has no lower bound\n   \
         = instruction 8: r0 += r1\n   \
         = known: the number is any number\n   \
         = path:\n       6: if r0 == 0 goto +3 (not taken)\n   \
         = help: bound the number first: `n &= 0xff`, or `if (n < 256)` with n unsigned"
    );
    let masked = first(
        ProgramType::Kprobe,
        &format!("{LOOKUP}{access} r1 &= 31\n{end}"),
    )?;
    assert_eq!(
        masked,
        "r0 may reach outside of a map value: 1 bytes at offset 31 of 16"
    );
    assert_eq!(
        verdict(
            ProgramType::Kprobe,
            &format!("{LOOKUP}{access} r1 &= 15\n{end}")
        )?,
        "accepted"
    );
    assert_eq!(
        verdict(
            ProgramType::Kprobe,
            &format!("{LOOKUP}{access} if r1 > 15 goto out\n{end}")
        )?,
        "accepted"
    );
    Ok(())
}

#[test]
fn loops_end() -> Outcome {
    assert_eq!(
        verdict(
            ProgramType::Kprobe,
            "r0 = 0\n again: r0 += 1\n if r0 < 100 goto again\n r0 = 0\n exit"
        )?,
        "accepted"
    );
    assert_eq!(
        first(
            ProgramType::Kprobe,
            "r0 = 0\n again: if r0 == 0 goto again\n exit"
        )?,
        "this loop never ends: nothing has changed when it comes back here"
    );
    assert_eq!(
        first(ProgramType::Kprobe, "r0 = 0\n again: r0 += 1\n goto again")?,
        "the program is too complex: 1000000 instructions were followed and there is no end"
    );
    Ok(())
}

#[test]
fn a_loop_by_callback() -> Outcome {
    let mut insns = assemble(
        "r1 = 1000000\n r3 = r10\n r3 += -8\n *(u64 *)(r10 - 8) = 0\n r4 = 0\n call bpf_loop\n r0 = 0\n exit\n \
         r1 = *(u64 *)(r2 + 0)\n r1 += 1\n *(u64 *)(r2 + 0) = r1\n r0 = 0\n exit",
    )?;
    let callback = Imm64::Func(8);
    insns.insert(
        1,
        Insn::LdImm64 {
            dst: Reg::R2,
            imm: callback,
        },
    );
    assert_eq!(answer(ProgramType::Kprobe, &insns, &[], &[]), "accepted");
    Ok(())
}

#[test]
fn a_loop_around_callbacks_must_end_itself() -> Outcome {
    let mut insns = assemble(
        "again: r1 = 10\n r3 = 0\n r4 = 0\n call bpf_loop\n r0 = 0\n goto again\n r0 = 0\n exit",
    )?;
    let callback = Imm64::Func(6);
    insns.insert(
        1,
        Insn::LdImm64 {
            dst: Reg::R2,
            imm: callback,
        },
    );
    if let Some(Insn::Ja { off }) = insns.get_mut(6) {
        *off = -8;
    }
    assert_eq!(
        answer(ProgramType::Kprobe, &insns, &[], &[]).lines().next(),
        Some("this loop never ends: nothing has changed when it comes back here")
    );
    Ok(())
}

#[test]
fn an_iterator_ends_once() -> Outcome {
    let program = |after: &str, back: i32| -> Result<Vec<Insn>, beetrace_isa::AsmError> {
        let mut insns = assemble(&format!(
            "r1 = r10\n r1 += -8\n r2 = 0\n r3 = 9\n r1 = r10\n r1 += -8\n {after}"
        ))?;
        insns.insert(
            4,
            Insn::CallKfunc {
                btf_id: 1,
                fd_idx: 0,
            },
        );
        insns.insert(
            7,
            Insn::CallKfunc {
                btf_id: 2,
                fd_idx: 0,
            },
        );
        for insn in &mut insns {
            if let Insn::Ja { off } = insn {
                *off = back;
            }
        }
        Ok(insns)
    };
    let functions: Vec<KernelFunction> = [
        "bpf_iter_num_new",
        "bpf_iter_num_next",
        "bpf_iter_num_destroy",
    ]
    .iter()
    .zip(1..)
    .map(|(name, btf_id)| KernelFunction {
        btf_id,
        name: (*name).into(),
    })
    .collect();
    let answer = |insns: &[Insn]| {
        let input = ProgramInput {
            insns,
            kernel_functions: &functions,
            ..ProgramInput::default()
        };
        match verify(&input, Options::default()) {
            Ok(_) => "accepted".to_owned(),
            Err(why) => why.to_string().lines().next().unwrap_or("").to_owned(),
        }
    };
    let mut good = program(
        "if r0 == 0 goto +1\n goto -1\n r1 = r10\n r1 += -8\n r0 = 0\n exit",
        -5,
    )?;
    good.insert(
        12,
        Insn::CallKfunc {
            btf_id: 3,
            fd_idx: 0,
        },
    );
    assert_eq!(answer(&good), "accepted");
    let endless = program("goto -1", -4)?;
    assert_eq!(
        answer(&endless),
        "this loop never ends: nothing has changed when it comes back here"
    );
    let left = program("if r0 == 0 goto +1\n goto -1\n r0 = 0\n exit", -5)?;
    assert_eq!(
        answer(&left),
        "what was acquired at instruction 4 is not given back"
    );
    Ok(())
}

#[test]
fn control_flow() -> Outcome {
    assert_eq!(
        first(ProgramType::Kprobe, "r0 = 0\n exit\n r0 = 1\n exit")?,
        "no path leads to this instruction"
    );
    assert_eq!(
        first(ProgramType::Kprobe, "r0 = 0")?,
        "function `function@0` runs past its last instruction"
    );
    assert_eq!(
        first(ProgramType::Kprobe, "r0 = 0\n if r0 == 1 goto +5\n exit")?,
        "the jump leads out of the function or into the middle of an instruction"
    );
    assert_eq!(
        first(ProgramType::Kprobe, "exit")?,
        "r0 is read but holds nothing here"
    );
    Ok(())
}

#[test]
fn what_was_acquired_is_given_back() -> Outcome {
    let reserve = "r1 = map[1] ll\n r2 = 16\n r3 = 0\n call bpf_ringbuf_reserve\n if r0 == 0 goto out\n *(u64 *)(r0 + 8) = 1\n";
    assert_eq!(
        first(
            ProgramType::Kprobe,
            &format!("{reserve} out: r0 = 0\n exit")
        )?,
        "what was acquired at instruction 4 is not given back"
    );
    let submit = "r1 = r0\n r2 = 0\n call bpf_ringbuf_submit\n out: r0 = 0\n exit";
    assert_eq!(
        verdict(ProgramType::Kprobe, &format!("{reserve}{submit}"))?,
        "accepted"
    );
    let twice = "r6 = r0\n r1 = r0\n r2 = 0\n call bpf_ringbuf_submit\n *(u64 *)(r6 + 0) = 1\n out: r0 = 0\n exit";
    assert_eq!(
        first(ProgramType::Kprobe, &format!("{reserve}{twice}"))?,
        "r6 is read but holds nothing here"
    );
    Ok(())
}

#[test]
fn locks() -> Outcome {
    let lookup = LOOKUP.replace("map[0]", "map[2]");
    let body = "if r0 == 0 goto out\n r6 = r0\n r1 = r0\n call bpf_spin_lock\n";
    let end = "r1 = r6\n call bpf_spin_unlock\n out: r0 = 0\n exit";
    let tc = ProgramType::TrafficControl;
    assert_eq!(verdict(tc, &format!("{lookup}{body}{end}"))?, "accepted");
    assert_eq!(
        first(tc, &format!("{lookup}{body} out: r0 = 0\n exit"))?,
        "the lock taken at instruction 9 is still held"
    );
    assert_eq!(
        first(tc, &format!("{lookup}{body} call bpf_ktime_get_ns\n{end}"))?,
        "bpf_ktime_get_ns is called while a lock is held"
    );
    assert_eq!(
        first(ProgramType::Kprobe, &format!("{lookup}{body}{end}"))?,
        "map `locked` has a spin lock, which tracing programs cannot use"
    );
    Ok(())
}

#[test]
fn packets_have_an_end() -> Outcome {
    let pointers = "r2 = *(u32 *)(r1 + 76)\n r3 = *(u32 *)(r1 + 80)\n r4 = r2\n r4 += 14\n";
    let tc = ProgramType::TrafficControl;
    assert_eq!(
        verdict(
            tc,
            &format!(
                "{pointers} if r4 > r3 goto out\n r0 = *(u16 *)(r2 + 12)\n out: r0 = 0\n exit"
            )
        )?,
        "accepted"
    );
    assert_eq!(
        first(
            tc,
            &format!(
                "{pointers} if r4 > r3 goto out\n r0 = *(u16 *)(r2 + 13)\n out: r0 = 0\n exit"
            )
        )?,
        "r2 may reach behind the packet: 2 bytes at offset 13, of which 14 are known to be there"
    );
    Ok(())
}

#[test]
fn helpers_and_contexts_of_the_kind() -> Outcome {
    assert_eq!(
        first(
            ProgramType::SocketFilter,
            "call bpf_get_current_pid_tgid\n r0 = 0\n exit"
        )?,
        "programs of this kind cannot call bpf_get_current_pid_tgid"
    );
    assert_eq!(
        first(ProgramType::Kprobe, "r0 = *(u64 *)(r1 + 168)\n exit")?,
        "the context of this kind of program has no field of 8 bytes at 168 that can be read"
    );
    assert_eq!(
        first(
            ProgramType::Kprobe,
            "call bpf_get_current_task_btf\n r0 = 0\n exit"
        )?,
        "not supported outside of the kernel: helper bpf_get_current_task_btf (instruction 0)"
    );
    Ok(())
}

#[test]
fn stacks_have_an_end() -> Outcome {
    assert_eq!(
        first(
            ProgramType::Kprobe,
            "*(u64 *)(r10 - 520) = 0\n r0 = 0\n exit"
        )?,
        "the access of 8 bytes at offset -520 is outside of the stack, which goes from -512 to 0"
    );
    assert_eq!(
        first(ProgramType::Kprobe, "*(u64 *)(r10 - 4) = 0\n r0 = 0\n exit")?,
        "an access of 8 bytes to the stack at offset -4 is not aligned"
    );
    Ok(())
}

#[test]
fn a_global_function_is_verified_on_its_own() -> Outcome {
    let mut insns = assemble(
        "r1 = r10\n r1 += -8\n *(u64 *)(r10 - 8) = 1\n exit\n r0 = *(u64 *)(r1 + 0)\n exit",
    )?;
    insns.insert(3, Insn::CallLocal { rel: 1 });
    let function = |linkage| FunctionDef {
        name: "read".into(),
        start: 5,
        linkage,
        returns_int: true,
    };
    let global = function(FunctionLinkage::Global {
        arguments: vec![ArgumentType::Memory {
            size: 8,
            nonnull: false,
        }],
        returns: true,
    });
    assert_eq!(
        answer(ProgramType::Kprobe, &insns, &[], &[global])
            .lines()
            .next(),
        Some("r1 may be null here: memory is accessed without a check")
    );
    let local = function(FunctionLinkage::Static);
    assert_eq!(
        answer(ProgramType::Kprobe, &insns, &[], &[local]),
        "accepted"
    );
    Ok(())
}

#[test]
fn branches_that_do_not_matter_are_joined() -> Outcome {
    // Forty undecided branches: without pruning a million million paths.
    let mut text = String::from("r6 = 0\n");
    for i in 0..40 {
        text += &format!(
            "call bpf_get_prandom_u32\n if r0 == {i} goto l{i}\n r6 += 1\n l{i}: r0 = 0\n"
        );
    }
    text += "*(u64 *)(r10 - 8) = r6\n exit";
    let insns = assemble(&text)?;
    let input = ProgramInput {
        insns: &insns,
        ..ProgramInput::default()
    };
    let verified = verify(&input, Options::default())?;
    assert!(
        verified.instructions < 2000,
        "{} instructions",
        verified.instructions
    );
    Ok(())
}

#[test]
fn the_trace_shows_states() -> Outcome {
    let insns = assemble("r0 = 7\n *(u64 *)(r10 - 8) = r0\n r0 &= 3\n exit")?;
    let input = ProgramInput {
        insns: &insns,
        ..ProgramInput::default()
    };
    let options = Options {
        trace: true,
        ..Options::default()
    };
    assert_eq!(
        verify(&input, options)?.trace,
        "0: r1=ctx\n    r0 = 7\n1: r0=7 r1=ctx\n    *(u64 *)(r10 - 8) = r0\n2: r0=7 r1=ctx fp-8=7\n    r0 &= 3\n3: r0=3 r1=ctx fp-8=7\n    exit\n"
    );
    Ok(())
}

#[test]
fn no_program_makes_it_panic() {
    let mut seed = 1u64;
    for _ in 0..20_000 {
        let mut raw = Vec::new();
        for _ in 0..12 {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            raw.extend_from_slice(&(seed >> 3).to_le_bytes());
        }
        let insns: Vec<Insn> = beetrace_isa::from_bytes(&raw)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|i| {
                beetrace_isa::decode_one(i, Some(beetrace_isa::RawInsn::default())).ok()
            })
            .chain([Insn::Exit])
            .collect();
        let input = ProgramInput {
            insns: &insns,
            ..ProgramInput::default()
        };
        if let Err(Refusal::Rejected(why)) = verify(
            &input,
            Options {
                instruction_budget: 1000,
                ..Options::default()
            },
        ) {
            assert!(!why.message.is_empty() && why.kind != RejectKind::Other);
        }
    }
}
