//! The code of small programs: IR in, instructions out.

use beetrace_codegen::ir::parse::parse;
use beetrace_codegen::{EmitError, Emitted, Target, emit, optimise};
use beetrace_isa::disassemble;

use crate::target;

fn build(text: &str, target: &Target) -> Result<Emitted, EmitError> {
    let mut module = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    optimise(&mut module);
    emit(&module, target)
}

/// Compares the instructions with those expected; numbers of slots and indentation do not count.
#[track_caller]
fn check(isa_v4: bool, text: &str, expected: &str) {
    let emitted = build(text, &target(isa_v4)).unwrap_or_else(|e| panic!("{e}"));
    let found = bare(&disassemble(&emitted.insns));
    assert!(found == bare(expected), "found:\n{found}");
}

fn bare(listing: &str) -> String {
    let lines = listing.lines().map(str::trim).filter(|l| !l.is_empty());
    let insns = lines.map(|l| match l.split_once(": ") {
        Some((slot, insn)) if slot.parse::<u32>().is_ok() => insn,
        _ => l,
    });
    insns.map(|l| format!("{l}\n")).collect()
}

#[test]
fn counting_by_name() {
    check(
        true,
        r#"fn "count" entry(v0) {
            ss0 = slot 16 align 8
            ss1 = slot 8 align 8
        block0:
            v1 = slotaddr ss0+0
            v2 = const 16
            v3 = call get_current_comm(v1, v2)
            v4 = map 0
            v5 = call.reads map_lookup_elem(v4, v1)
            v6 = const 0
            br ne.64 v5, v6, block1, block2
        block1:
            v7 = load.u64 v5+0
            v8 = const 1
            v9 = add.64 v7, v8
            store.64 v5+0, v9
            jump block3
        block2:
            v10 = slotaddr ss1+0
            v11 = const 1
            store.64 v10+0, v11
            v12 = map 0
            v13 = call map_update_elem(v12, v1, v10, v11)
            jump block3
        block3:
            v14 = const 0
            ret v14
        }"#,
        "r1 = r10
        r1 += -16
        r2 = 16
        call bpf_get_current_comm#16
        r1 = map[0] ll
        r2 = r10
        r2 += -16
        call bpf_map_lookup_elem#1
        if r0 == 0 goto +5
        r1 = *(u64 *)(r0 + 0)
        r1 += 1
        *(u64 *)(r0 + 0) = r1
        r0 = 0
        exit
        *(u64 *)(r10 - 24) = 1
        r1 = map[0] ll
        r2 = r10
        r2 += -16
        r3 = r10
        r3 += -24
        r4 = 1
        call bpf_map_update_elem#2
        goto -12",
    );
}

#[test]
fn a_loop_tests_at_its_end() {
    check(
        true,
        r#"fn "loop" entry(v0) {
        block0:
            v1 = const 0
            v2 = const 1
            v3 = const 16
            jump block1(v1, v1)
        block1(v4, v5):
            br lt.64 v4, v3, block2, block3
        block2:
            v6 = mul.64 v4, v4
            v7 = add.64 v6, v5
            v8 = add.64 v4, v2
            jump block1(v8, v7)
        block3:
            ret v5
        }"#,
        "r1 = 0
        r0 = 0
        goto +4
        r2 = r1
        r2 *= r1
        r0 += r2
        r1 += 1
        if r1 < 16 goto -5
        exit",
    );
}

#[test]
fn values_live_across_calls_in_saved_registers() {
    check(
        true,
        r#"fn "saved" entry(v0) {
        block0:
            v1 = load.u64 v0+0
            v2 = call ktime_get_ns()
            v3 = load.u64 v0+8
            v4 = call ktime_get_ns()
            v5 = sub.64 v4, v2
            v6 = add.64 v5, v1
            v7 = add.64 v6, v3
            ret v7
        }"#,
        "r8 = r1
        r7 = *(u64 *)(r8 + 0)
        call bpf_ktime_get_ns#5
        r6 = r0
        r8 = *(u64 *)(r8 + 8)
        call bpf_ktime_get_ns#5
        r0 -= r6
        r0 += r7
        r0 += r8
        exit",
    );
}

#[test]
fn what_does_not_fit_is_kept_on_the_stack_as_a_whole() {
    check(
        true,
        r#"fn "spilled" entry(v0) {
        block0:
            v1 = load.u64 v0+0
            v2 = load.u32 v0+8
            v3 = load.u64 v0+16
            v4 = load.u64 v0+24
            v5 = load.u64 v0+32
            v6 = call ktime_get_ns()
            v7 = add.64 v6, v1
            v8 = add.64 v7, v2
            v9 = add.64 v8, v3
            v10 = add.64 v9, v4
            v11 = add.64 v10, v5
            ret v11
        }"#,
        "r2 = *(u64 *)(r1 + 0)
        *(u64 *)(r10 - 8) = r2
        r6 = *(u32 *)(r1 + 8)
        r7 = *(u64 *)(r1 + 16)
        r8 = *(u64 *)(r1 + 24)
        r9 = *(u64 *)(r1 + 32)
        call bpf_ktime_get_ns#5
        r1 = *(u64 *)(r10 - 8)
        r0 += r1
        r0 += r6
        r0 += r7
        r0 += r8
        r0 += r9
        exit",
    );
}

#[test]
fn signed_division_without_its_instruction() {
    check(
        false,
        r#"fn "divide" entry(v0) {
        block0:
            v1 = load.s32 v0+0
            v2 = const 8
            v3 = sdiv.64 v1, v2
            ret v3
        }"#,
        "r1 = *(u32 *)(r1 + 0)
        r1 <<= 32
        r1 s>>= 32
        r0 = r1
        r0 s>>= 63
        r0 >>= 61
        r0 += r1
        r0 s>>= 3
        exit",
    );
    check(
        true,
        r#"fn "divide" entry(v0) {
        block0:
            v1 = load.s32 v0+0
            v2 = const 8
            v3 = sdiv.64 v1, v2
            ret v3
        }"#,
        "r0 = *(s32 *)(r1 + 0)
        r0 s/= 8
        exit",
    );
}

#[test]
fn constants_take_the_shortest_form() {
    check(
        true,
        r#"fn "constants" entry(v0) {
        block0:
            v1 = load.u64 v0+0
            v2 = const -1
            store.64 v0+8, v2
            v3 = const 0x123456789
            store.64 v0+16, v3
            v4 = const 0xfffffff0
            v5 = and.64 v1, v4
            store.64 v0+24, v5
            v6 = xor.64 v1, v4
            ret v6
        }"#,
        "r0 = *(u64 *)(r1 + 0)
        *(u64 *)(r1 + 8) = -1
        r2 = 0x123456789 ll
        *(u64 *)(r1 + 16) = r2
        r2 = r0
        w2 &= -16
        *(u64 *)(r1 + 24) = r2
        w1 = -16
        r0 ^= r1
        exit",
    );
}

#[test]
fn slots_that_are_never_in_use_together_share_bytes() {
    let slots: String = (0..40)
        .map(|i| format!("ss{i} = slot 24 align 8\n"))
        .collect();
    let uses: String = (0..40)
        .map(|i| {
            let (address, size, result) = (3 * i + 1, 3 * i + 2, 3 * i + 3);
            format!(
                "v{address} = slotaddr ss{i}+0\nv{size} = const 24\n\
                 v{result} = call get_current_comm(v{address}, v{size})\n"
            )
        })
        .collect();
    let text = format!("fn \"f\" entry(v0) {{\n{slots}block0:\n{uses}ret v3\n}}");
    let emitted = build(&text, &target(true)).expect("code");
    let listing = disassemble(&emitted.insns);
    assert_eq!(listing.matches("r1 += -24\n").count(), 40, "{listing}");
}

#[test]
fn functions_follow_each_other() {
    let text = r#"fn "entry" entry(v0) {
        block0:
            v1 = const 10 @0:1-2
            v2 = func fn2 @0:3-9
            v3 = const 0
            v4 = call loop(v1, v2, v3, v3) @0:3-9
            v5 = call fn3(v4) @0:10-12
            ret v5
        }
        fn "unused" subprogram(v0) {
        block0:
            ret v0
        }
        fn "callback" loop_callback(v0, v1) {
        block0:
            v2 = call.reads ktime_get_ns() @0:5-6
            v3 = const 0
            ret v3
        }
        fn "half" subprogram(v0) {
        block0:
            v1 = const 1
            v2 = rsh.64 v0, v1
            ret v2
        }"#;
    check(
        true,
        text,
        "r1 = 10
        r2 = func[+7] ll
        r3 = 0
        r4 = 0
        call bpf_loop#181
        r1 = r0
        call pc+3
        exit
        r0 = 0
        exit
        r0 = r1
        r0 >>= 1
        exit",
    );
    let emitted = build(text, &target(true)).expect("code");
    let functions = emitted.functions.iter().map(|f| (f.name.as_str(), f.start));
    let expected = [("entry", 0), ("callback", 8), ("half", 10)];
    assert_eq!(functions.collect::<Vec<_>>(), expected);
    let lines: Vec<_> = emitted
        .lines
        .iter()
        .map(|l| (l.insn, l.span.start))
        .collect();
    assert_eq!(lines, [(0, 3), (6, 10), (7, 0), (8, 0), (10, 0)]);
}

#[test]
fn what_is_never_reached_is_left_out() {
    // Also without optimisation.
    let text = r#"fn "entry" entry(v0) {
        block0:
            v1 = func fn1
            ret v0
        block1:
            v2 = call fn1(v0)
            ret v2
        }
        fn "sub" subprogram(v0) {
        block0:
            ret v0
        }"#;
    let module = parse(text).expect("IR");
    let emitted = emit(&module, &target(true)).expect("code");
    assert_eq!(disassemble(&emitted.insns), "   0: r0 = r1\n   1: exit\n");
}

fn error(text: &str, target: &Target) -> (String, u32) {
    let error = build(text, target).expect_err("an error");
    (error.to_string(), error.span.start)
}

#[test]
fn what_cannot_be_is_told() {
    let large = r#"fn "large" entry(v0) {
            ss0 = slot 480 align 8
            ss1 = slot 40 align 8
        block0:
            v1 = slotaddr ss0+0
            v2 = slotaddr ss1+0
            v3 = call get_current_comm(v1, v2) @0:7-9
            ret v3
        }"#;
    assert_eq!(
        error(large, &target(true)),
        (
            "too much to keep on the stack: `large` needs 520 of 512 bytes".into(),
            7
        )
    );
    let deep = r#"fn "entry" entry(v0) {
            ss0 = slot 400 align 8
        block0:
            v1 = slotaddr ss0+0
            v2 = call fn1(v1) @0:7-9
            ret v2
        }
        fn "sub" subprogram(v0) {
            ss0 = slot 120 align 8
        block0:
            v1 = slotaddr ss0+0
            v2 = call get_current_comm(v1, v0)
            ret v2
        }"#;
    assert_eq!(
        error(deep, &target(true)),
        (
            "too much to keep on the stack: a chain of calls needs 544 of 512 bytes".into(),
            7
        )
    );
    let recursive = r#"fn "entry" entry(v0) {
        block0:
            v1 = call fn0(v0) @0:7-9
            ret v1
        }"#;
    assert_eq!(
        error(recursive, &target(true)),
        ("a function calls itself".into(), 7)
    );
    let fetching = r#"fn "entry" entry(v0) {
        block0:
            v1 = fetch_add.64 v0+0, v0 @0:7-9
            ret v1
        }"#;
    let old = Target {
        atomic_fetch: false,
        ..target(true)
    };
    assert_eq!(
        error(fetching, &old).0,
        "this kernel has no atomic operation that this needs (Linux 5.12)"
    );
}

#[test]
fn branches_that_are_too_far_go_over_long_jumps() {
    let stores = "store.64 v0+0, v1\n".repeat(33_000);
    let text = |op: &str| {
        format!(
            "fn \"far\" entry(v0) {{
            block0:
            v1 = load.u64 v0+0
            v2 = const 5
            br {op}.64 v1, v2, block2, block1
            block1:
            {stores}
            jump block2
            block2:
            ret v1
            }}"
        )
    };
    for (op, expected) in [
        (
            "eq",
            "0: r0 = *(u64 *)(r1 + 0)\n1: if r0 != 5 goto +1\n2: goto +33000\n3: *(u64 *)(r1 + 0) = r0\n",
        ),
        (
            "set",
            "0: r0 = *(u64 *)(r1 + 0)\n1: if r0 & 5 goto +1\n2: goto +1\n3: goto +33000\n4: *(u64 *)(r1 + 0) = r0\n",
        ),
    ] {
        let emitted = build(&text(op), &target(true)).expect("code");
        let listing = bare(&disassemble(&emitted.insns[..5]));
        assert!(listing.starts_with(&bare(expected)), "{listing}");
        assert_eq!(
            error(&text(op), &target(false)).0,
            "the program is too long for this kernel: a jump is farther than 32767 instructions"
        );
    }
}
