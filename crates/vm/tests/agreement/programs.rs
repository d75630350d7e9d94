//! Random programs give the same result in checked mode, in the interpreter, as machine code, and in the Linux kernel.

use std::cell::Cell;

use beetrace_isa::{AluOp, AtomicOp, Endian, Insn, JmpOp, Reg, Size, Src, Width};
use beetrace_vm::{EmptyWorld, Program, Run};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::linux;

/// Registers that hold numbers; `r10` alone holds an address.
fn reg() -> impl Strategy<Value = Reg> {
    select(&Reg::ALL[..10])
}

fn width() -> impl Strategy<Value = Width> {
    select(&[Width::W32, Width::W64][..])
}

fn src() -> impl Strategy<Value = Src> {
    let small = select(&[0, 1, -1, 2, 7, 31, 32, 63, i32::MIN, i32::MAX][..]);
    prop_oneof![
        reg().prop_map(Src::Reg),
        any::<i32>().prop_map(Src::Imm),
        small.prop_map(Src::Imm),
    ]
}

/// An offset of aligned bytes in the first 64 of the frame.
fn slot(size: Size) -> impl Strategy<Value = i16> {
    let bytes = size.bytes() as i16;
    (1..=64 / bytes).prop_map(move |n| -n * bytes)
}

fn size() -> impl Strategy<Value = Size> {
    select(&Size::ALL[..])
}

fn insn() -> impl Strategy<Value = Insn> {
    let alu = (width(), select(&AluOp::ALL[..]), reg(), src()).prop_map(|(width, op, dst, src)| {
        Insn::Alu {
            width,
            op,
            dst,
            src,
        }
    });
    let neg = (width(), reg()).prop_map(|(width, dst)| Insn::Neg { width, dst });
    let kinds = [
        (Width::W32, Size::B1),
        (Width::W32, Size::B2),
        (Width::W64, Size::B1),
        (Width::W64, Size::B2),
        (Width::W64, Size::B4),
    ];
    let extend =
        (select(kinds.to_vec()), reg(), reg()).prop_map(|((width, from), dst, src)| Insn::MovSx {
            width,
            from,
            dst,
            src,
        });
    let swaps = select(vec![Endian::Le, Endian::Be, Endian::Swap]);
    let endian = (swaps, select(vec![Size::B2, Size::B4, Size::B8]), reg())
        .prop_map(|(op, size, dst)| Insn::Endian { op, size, dst });
    let wide = (reg(), any::<u64>()).prop_map(|(dst, value)| Insn::imm64(dst, value));
    let load = size().prop_flat_map(|size| {
        (slot(size), reg(), any::<bool>()).prop_map(move |(off, dst, sign)| Insn::Load {
            size,
            sign_extend: sign && size != Size::B8,
            dst,
            src: Reg::R10,
            off,
        })
    });
    let store = size().prop_flat_map(|size| {
        (slot(size), src()).prop_map(move |(off, src)| Insn::store(size, Reg::R10, off, src))
    });
    let atomic = select(vec![Size::B4, Size::B8]).prop_flat_map(|size| {
        (slot(size), reg(), select(&AtomicOp::ALL[..])).prop_map(move |(off, src, op)| {
            Insn::Atomic {
                op,
                size,
                dst: Reg::R10,
                src,
                off,
            }
        })
    });
    prop_oneof![8 => alu, 1 => neg, 1 => extend, 1 => endian, 1 => wide, 3 => load, 3 => store, 2 => atomic]
}

/// A part of a body: an instruction, or a jump forward over some parts.
fn part() -> impl Strategy<Value = (Insn, Option<usize>)> {
    let jump = (width(), select(&JmpOp::ALL[..]), reg(), src(), 0..6usize).prop_map(
        |(width, op, dst, src, over)| {
            let insn = Insn::Jmp {
                width,
                op,
                dst,
                src,
                off: 0,
            };
            (insn, Some(over))
        },
    );
    prop_oneof![6 => insn().prop_map(|insn| (insn, None)), 1 => jump]
}

type Part = (Insn, Option<usize>);

/// All instructions of one function: its frame gets numbers first, and at the end all that it holds goes into `r0`.
fn body(insns: &mut Vec<Insn>, parts: &[Part]) {
    for n in 1..=8 {
        let reg = Reg::ALL[n as usize];
        insns.push(Insn::store(Size::B8, Reg::R10, -8 * n, reg));
    }
    for (at, &(mut insn, over)) in parts.iter().enumerate() {
        if let (Insn::Jmp { off, .. }, Some(over)) = (&mut insn, over) {
            let skipped = parts[at + 1..].iter().take(over);
            *off = skipped.map(|(insn, _)| insn.slots() as i16).sum();
        }
        insns.push(insn);
    }
    for &reg in &Reg::ALL[1..10] {
        insns.push(Insn::alu(AluOp::Mul, Reg::R0, 31));
        insns.push(Insn::alu(AluOp::Xor, Reg::R0, reg));
    }
    for n in 1..=8 {
        insns.push(Insn::load(Size::B8, Reg::R1, Reg::R10, -8 * n));
        insns.push(Insn::alu(AluOp::Mul, Reg::R0, 31));
        insns.push(Insn::alu(AluOp::Xor, Reg::R0, Reg::R1));
    }
}

/// A program of two functions: what the first holds at its end is an argument of the second.
fn program(numbers: &[u64], first: &[Part], second: &[Part]) -> Vec<Insn> {
    let mut insns: Vec<Insn> = Reg::ALL[..10]
        .iter()
        .zip(numbers)
        .map(|(&reg, &n)| Insn::imm64(reg, n))
        .collect();
    body(&mut insns, first);
    insns.push(Insn::mov(Reg::R1, Reg::R0));
    insns.push(Insn::CallLocal { rel: 2 });
    insns.push(Insn::alu(AluOp::Add, Reg::R0, Reg::R6));
    insns.push(Insn::Exit);
    for (to, from) in [(0, 1), (6, 2), (7, 3), (8, 4), (9, 5)] {
        insns.push(Insn::mov(Reg::ALL[to], Reg::ALL[from]));
    }
    body(&mut insns, second);
    insns.push(Insn::Exit);
    insns
}

#[test]
fn linux_agrees() {
    if linux::skipped() {
        return;
    }
    let numbers = prop::collection::vec(any::<u64>(), 10);
    let parts = || prop::collection::vec(part(), 0..30);
    let mut runner = TestRunner::new(linux::cases(96));
    let accepted = Cell::new(0);
    runner
        .run(&(numbers, parts(), parts()), |(numbers, first, second)| {
            let insns = program(&numbers, &first, &second);
            let Some(expected) = linux::returns(&insns) else {
                return Ok(());
            };
            accepted.set(accepted.get() + 1);
            let program = Program::new(&insns, &[]).expect("loads");
            let result = program.run(&mut Run::new(&EmptyWorld), &mut []);
            prop_assert_eq!(result.map(|r| u64::from(r as u32)), Ok(expected));
            Ok(())
        })
        .expect("the machines agree");
    println!("{} programs run by Linux too", accepted.get());
    assert!(accepted.get() > 0, "Linux took none of the programs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn all_ways_agree(
        numbers in prop::collection::vec(any::<u64>(), 10),
        first in prop::collection::vec(part(), 0..40),
        second in prop::collection::vec(part(), 0..40),
    ) {
        let insns = program(&numbers, &first, &second);
        let load = || Program::new(&insns, &[]).expect("loads");
        let mut run = Run::new(&EmptyWorld);
        let checked = load().run(&mut run, &mut []);
        prop_assert!(checked.is_ok(), "{checked:?}");
        // SAFETY: checked mode found nothing wrong, and the program reads no other input.
        let verified = || unsafe { load().assume_verified() };
        prop_assert_eq!(&checked, &verified().run(&mut run, &mut []));
        let compiled = verified().compile().expect("compiles");
        prop_assert_eq!(&checked, &compiled.run(&mut run, &mut []));
    }
}
