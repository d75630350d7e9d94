//! What is encoded decodes to itself, what is printed assembles to itself, and no input panics.

use beetrace_isa::{
    AluOp, AtomicOp, Endian, Imm64, Insn, JmpOp, RawInsn, Reg, Size, Src, Width, assemble, decode,
    disassemble, encode, from_bytes, to_bytes,
};
use proptest::prelude::*;
use proptest::sample::select;

fn reg() -> impl Strategy<Value = Reg> + Clone {
    select(&Reg::ALL[..])
}

fn src() -> impl Strategy<Value = Src> {
    prop_oneof![reg().prop_map(Src::Reg), any::<i32>().prop_map(Src::Imm)]
}

fn width() -> impl Strategy<Value = Width> {
    select(&[Width::W32, Width::W64][..])
}

fn size() -> impl Strategy<Value = Size> {
    select(&Size::ALL[..])
}

fn imm64() -> impl Strategy<Value = Imm64> {
    prop_oneof![
        any::<u64>().prop_map(Imm64::Value),
        any::<i32>().prop_map(Imm64::MapFd),
        (any::<i32>(), any::<u32>()).prop_map(|(fd, off)| Imm64::MapFdValue { fd, off }),
        (any::<u32>(), any::<i32>())
            .prop_map(|(btf_id, module_fd)| Imm64::BtfVar { btf_id, module_fd }),
        any::<i32>().prop_map(Imm64::Func),
        any::<u32>().prop_map(Imm64::MapIdx),
        any::<(u32, u32)>().prop_map(|(idx, off)| Imm64::MapIdxValue { idx, off }),
    ]
}

/// Every instruction that the instruction set does not reserve.
fn insn() -> impl Strategy<Value = Insn> {
    let narrow = select(&Size::ALL[..3]);
    let swap = select(&Size::ALL[1..]);
    let order = select(&[Endian::Le, Endian::Be, Endian::Swap][..]);
    prop_oneof![
        (width(), select(&AluOp::ALL[..]), reg(), src()).prop_map(|(width, op, dst, src)| {
            Insn::Alu {
                width,
                op,
                dst,
                src,
            }
        }),
        (width(), reg()).prop_map(|(width, dst)| Insn::Neg { width, dst }),
        (narrow.clone(), width(), reg(), reg()).prop_map(|(from, width, dst, src)| {
            let width = if from == Size::B4 { Width::W64 } else { width };
            Insn::MovSx {
                width,
                from,
                dst,
                src,
            }
        }),
        (order, swap, reg()).prop_map(|(op, size, dst)| Insn::Endian { op, size, dst }),
        (reg(), imm64()).prop_map(|(dst, imm)| Insn::LdImm64 { dst, imm }),
        (size(), any::<bool>(), reg(), reg(), any::<i16>()).prop_map(
            |(size, signed, dst, src, off)| Insn::Load {
                size,
                sign_extend: signed && size != Size::B8,
                dst,
                src,
                off,
            }
        ),
        (size(), reg(), any::<i16>(), src()).prop_map(|(size, dst, off, src)| Insn::Store {
            size,
            dst,
            off,
            src
        }),
        (
            select(&AtomicOp::ALL[..]),
            select(&Size::ALL[2..]),
            reg(),
            reg(),
            any::<i16>()
        )
            .prop_map(|(op, size, dst, src, off)| Insn::Atomic {
                op,
                size,
                dst,
                src,
                off
            }),
        prop_oneof![any::<i32>(), -40000..40000].prop_map(|off| Insn::Ja { off }),
        (width(), select(&JmpOp::ALL[..]), reg(), src(), any::<i16>()).prop_map(
            |(width, op, dst, src, off)| Insn::Jmp {
                width,
                op,
                dst,
                src,
                off
            }
        ),
        prop_oneof![any::<u32>(), 0..220u32].prop_map(|helper| Insn::Call { helper }),
        any::<i32>().prop_map(|rel| Insn::CallLocal { rel }),
        (any::<u32>(), any::<i16>())
            .prop_map(|(btf_id, fd_idx)| Insn::CallKfunc { btf_id, fd_idx }),
        Just(Insn::Exit),
        (narrow.clone(), any::<i32>()).prop_map(|(size, imm)| Insn::LdAbs { size, imm }),
        (narrow, reg(), any::<i32>()).prop_map(|(size, src, imm)| Insn::LdInd { size, src, imm }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn encoded_decodes_to_itself(program in prop::collection::vec(insn(), 0..8)) {
        let raw = encode(&program);
        prop_assert_eq!(raw.len(), program.iter().map(Insn::slots).sum::<usize>());
        prop_assert_eq!(from_bytes(&to_bytes(&raw)), Ok(raw.clone()));
        prop_assert_eq!(decode(&raw), Ok(program));
    }

    #[test]
    fn printed_assembles_to_itself(insn in insn()) {
        let text = insn.to_string();
        prop_assert_eq!(assemble(&text), Ok(vec![insn]), "{}", text);
    }

    #[test]
    fn a_listing_assembles_to_itself(program in prop::collection::vec(insn(), 0..8)) {
        let text = disassemble(&program);
        prop_assert_eq!(assemble(&text), Ok(program), "{}", text);
    }

    #[test]
    fn decoded_encodes_to_the_same_slots(
        raw in prop::collection::vec((any::<u8>(), any::<u8>(), -1i16..40, -1i32..300), 1..3)
    ) {
        let raw: Vec<_> = raw
            .into_iter()
            .map(|(code, regs, off, imm)| RawInsn { code, regs, off, imm })
            .collect();
        if let Ok(program) = decode(&raw) {
            let short = |raw: &RawInsn| raw.code == 0x06;
            if !raw.iter().any(short) {
                prop_assert_eq!(encode(&program), raw);
            }
        }
    }

    #[test]
    fn any_text_gives_a_program_or_an_error(text in "[rwsuif0-9 =*+<>&|()\\[\\]:;,#x.-]{0,24}|\\PC{0,12}") {
        let _ = assemble(&text);
    }
}
