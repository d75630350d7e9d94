//! The text form, read and written, and what is refused.

use beetrace_isa::{
    AtomicOp, DecodeErrorKind, Imm64, Insn, RawInsn, Reg, Size, assemble, decode, decode_one,
    disassemble, encode, from_bytes, to_bytes,
};

/// Every line of the text form is printed as it was read.
#[test]
fn forms_print_as_they_are_written() {
    let text = "\
r1 = r6
w0 = 0
w1 = w2
r1 += -8
w3 s/= w4
r3 s%= 7
r5 s>>= 32
r1 = -r1
w1 = -w1
r1 = (s32)r2
w1 = (s8)w2
r1 = le32 r1
r1 = be16 r1
r1 = bswap64 r1
r1 = 0x1122334455667788 ll
r1 = map[3] ll
r1 = map[3][0]+16 ll
r1 = map[fd:7] ll
r1 = map[fd:7][0]+4 ll
r1 = var[1234] ll
r1 = var[1234 fd:5] ll
r2 = func[+12] ll
r1 = *(u64 *)(r6 + 8)
r1 = *(s16 *)(r10 - 24)
*(u32 *)(r10 - 4) = 0
*(u8 *)(r1 + 0) = r2
lock *(u64 *)(r1 + 0) += r2
lock *(u32 *)(r1 + 8) ^= w2
r2 = atomic64_fetch_add((u64 *)(r1 + 0), r2)
w2 = atomic_fetch_or((u32 *)(r1 + 0), w2)
r3 = atomic64_xchg((u64 *)(r1 - 8), r3)
r0 = atomic64_cmpxchg((u64 *)(r1 + 0), r0, r5)
goto +3
goto -70000
if r1 s> 5 goto +3
if w1 & 1 goto -2
if r1 != r2 goto +0
call 14
call pc-5
call kfunc[99]
call kfunc[99 fd:1]
r0 = *(u16 *)skb[12]
r0 = *(u8 *)skb[r7 + 1]
exit
";
    let program = assemble(text).unwrap();
    let printed: String = program.iter().map(|i| format!("{i}\n")).collect();
    assert_eq!(printed, text);
    assert_eq!(decode(&encode(&program)).unwrap(), program);
}

/// Bytes taken from the tables of RFC 9669 and include/linux/filter.h.
#[test]
fn slots_are_those_of_the_kernel() {
    let cases = [
        ("r6 = r1", "bf16000000000000"),
        ("w0 = 0", "b400000000000000"),
        ("r0 = *(u64 *)(r1 + 16)", "7910100000000000"),
        ("*(u64 *)(r10 - 8) = r1", "7b1af8ff00000000"),
        ("*(u32 *)(r10 - 4) = 1", "620afcff01000000"),
        ("r1 = 0x100000002 ll", "18010000020000000000000001000000"),
        ("r1 = map[fd:3] ll", "18110000030000000000000000000000"),
        ("lock *(u64 *)(r0 + 0) += r1", "db10000000000000"),
        (
            "r0 = atomic64_cmpxchg((u64 *)(r1 + 0), r0, r2)",
            "db210000f1000000",
        ),
        ("r1 = be16 r1", "dc01000010000000"),
        ("r1 = bswap32 r1", "d701000020000000"),
        ("r1 s/= 3", "3701010003000000"),
        ("r1 = (s8)r2", "bf21080000000000"),
        ("r1 = *(s8 *)(r2 + 1)", "9121010000000000"),
        ("if r1 s> 5 goto +3", "6501030005000000"),
        ("if w1 == w2 goto -1", "1e21ffff00000000"),
        ("goto +1", "0500010000000000"),
        ("goto +100000", "06000000a0860100"),
        ("call 14", "850000000e000000"),
        ("call pc+2", "8510000002000000"),
        ("call kfunc[7 fd:1]", "8520010007000000"),
        ("exit", "9500000000000000"),
    ];
    for (text, hex) in cases {
        let program = assemble(text).unwrap();
        let bytes = to_bytes(&encode(&program));
        let found: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(found, hex, "{text}");
        assert_eq!(decode(&from_bytes(&bytes).unwrap()).unwrap(), program);
    }
}

#[test]
fn a_listing_numbers_slots_and_names_helpers() {
    let program = [
        Insn::map(Reg::R1, 0),
        Insn::Call { helper: 5 },
        Insn::Atomic {
            op: AtomicOp::Add { fetch: false },
            size: Size::B8,
            dst: Reg::R0,
            src: Reg::R1,
            off: 0,
        },
        Insn::Exit,
    ];
    assert_eq!(
        disassemble(&program),
        "   0: r1 = map[0] ll
   2: call bpf_ktime_get_ns#5
   3: lock *(u64 *)(r0 + 0) += r1
   4: exit
"
    );
}

#[test]
fn labels_lead_across_wide_loads() {
    let program = assemble(
        "start:
            r1 = func[callback] ll   ; two slots
            call bpf_loop
            if r0 == 0 goto start    // back
            goto done
        done: end: exit
        callback:
            r0 = 0
            call callback
            exit",
    )
    .unwrap();
    let shown: Vec<_> = program.iter().map(Insn::to_string).collect();
    assert_eq!(
        shown,
        [
            "r1 = func[+5] ll",
            "call 181",
            "if r0 == 0 goto -4",
            "goto +0",
            "exit",
            "r0 = 0",
            "call pc-2",
            "exit"
        ]
    );
    assert!(matches!(
        program[0],
        Insn::LdImm64 {
            imm: Imm64::Func(5),
            ..
        }
    ));
}

#[test]
fn wrong_text_is_refused_with_its_line() {
    let cases = [
        (
            "exit\nr11 = 0",
            "line 2: expected an instruction, found r11",
        ),
        (
            "r1 = w2",
            "line 1: expected registers of one width before this, found the end of the line",
        ),
        ("r1 = 0x80000000", "line 1: the immediate is out of range"),
        (
            "goto nowhere",
            "line 1: no label or helper function is named nowhere",
        ),
        (
            "call bpf_nothing",
            "line 1: no label or helper function is named bpf_nothing",
        ),
        ("a: exit\na: exit", "line 2: label a is defined twice"),
        (
            "r1 = r2 r3",
            "line 1: expected the end of the line, found r3",
        ),
        (
            "if r1 = 2 goto +1",
            "line 1: expected a comparison, found 2",
        ),
        (
            "r1 = *(u64 *)(r2 + 40000)",
            "line 1: the offset is out of range",
        ),
        ("r1 = @", "line 1: unexpected character '@'"),
        (
            "lock *(u8 *)(r1 + 0) += r2",
            "line 1: expected u32 or u64 before this, found +=",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(assemble(text).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn an_unsigned_immediate_fits_beside_a_32_bit_register() {
    assert_eq!(
        assemble("w1 = 0xffffffff").unwrap(),
        [Insn::mov32(Reg::R1, -1)]
    );
}

#[test]
fn reserved_fields_are_refused() {
    let reserved = |code, field| DecodeErrorKind::Reserved { code, field };
    let value = |code, field, value| DecodeErrorKind::Value { code, field, value };
    let cases = [
        (RawInsn::new(0x95, 1, 0, 0, 0), reserved(0x95, "dst_reg")),
        (RawInsn::new(0xbf, 1, 2, 0, 5), reserved(0xbf, "imm")),
        (RawInsn::new(0xb7, 1, 2, 0, 5), reserved(0xb7, "src_reg")),
        (RawInsn::new(0x07, 1, 0, 3, 5), reserved(0x07, "off")),
        (RawInsn::new(0x79, 1, 2, 0, 1), reserved(0x79, "imm")),
        (RawInsn::new(0x3f, 1, 2, 2, 0), value(0x3f, "off", 2)),
        (RawInsn::new(0xbc, 1, 2, 32, 0), value(0xbc, "off", 32)),
        (RawInsn::new(0xdc, 1, 0, 0, 8), value(0xdc, "imm", 8)),
        (RawInsn::new(0xdb, 1, 2, 0, 0x20), value(0xdb, "imm", 0x20)),
        (RawInsn::new(0x85, 0, 3, 0, 1), value(0x85, "src_reg", 3)),
        (RawInsn::new(0x18, 1, 7, 0, 1), value(0x18, "src_reg", 7)),
        (
            RawInsn::new(0xbf, 11, 2, 0, 0),
            DecodeErrorKind::Register(11),
        ),
        (
            RawInsn::new(0xbf, 1, 15, 0, 0),
            DecodeErrorKind::Register(15),
        ),
        (
            RawInsn::new(0x99, 1, 2, 0, 0),
            DecodeErrorKind::Opcode(0x99),
        ),
        (
            RawInsn::new(0xd3, 1, 2, 0, 0),
            DecodeErrorKind::Opcode(0xd3),
        ),
        (
            RawInsn::new(0x8d, 0, 0, 0, 1),
            DecodeErrorKind::Opcode(0x8d),
        ),
    ];
    for (raw, error) in cases {
        assert_eq!(
            decode_one(raw, Some(RawInsn::default())),
            Err(error),
            "{raw:?}"
        );
    }
}

#[test]
fn a_truncated_program_names_the_slot() {
    let raw = encode(&[Insn::Exit, Insn::imm64(Reg::R1, 1)]);
    let error = decode(&raw[..2]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "instruction slot 1: the program ends inside an instruction"
    );
    let error = from_bytes(&[0; 12]).unwrap_err();
    assert_eq!((error.slot, error.kind), (1, DecodeErrorKind::Truncated));
}
