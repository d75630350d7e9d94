//! Whatever a program does in checked mode, it ends with a result or a fault, and touches nothing that is not its own.

use std::sync::Arc;

use beetrace_isa::{
    AluOp, AtomicOp, Imm64, Insn, JmpOp, RawInsn, Reg, Size, Src, Width, decode, helper,
};
use beetrace_vm::maps::{Map, MapFlags, MapSpec, MapType};
use beetrace_vm::{EmptyWorld, Program, Run, is_supported};
use proptest::prelude::*;
use proptest::sample::select;

/// One map of each kind that programs handle.
fn maps() -> Vec<Arc<Map>> {
    let specs = [
        (MapType::Array, 4, 16, 1),
        (MapType::PerCpuArray, 4, 8, 2),
        (MapType::Hash, 8, 16, 4),
        (MapType::LruHash, 4, 8, 2),
        (MapType::PerCpuHash, 4, 8, 2),
        (MapType::Queue, 0, 8, 2),
        (MapType::Stack, 0, 8, 2),
        (MapType::BloomFilter, 0, 8, 16),
        (MapType::RingBuf, 0, 0, 4096),
        (MapType::PerfEventArray, 4, 4, 2),
        (MapType::StackTrace, 4, 16, 4),
        (MapType::ProgArray, 4, 4, 2),
    ];
    let mut maps: Vec<_> = specs
        .into_iter()
        .map(|(kind, key, value, entries)| {
            Map::new(MapSpec::new(kind, key, value, entries), 2).expect("made")
        })
        .collect();
    for (kind, entries) in [(MapType::LpmTrie, 4), (MapType::TaskStorage, 0)] {
        let key = if kind == MapType::LpmTrie { 8 } else { 4 };
        let mut spec = MapSpec::new(kind, key, 8, entries);
        spec.flags = MapFlags::NO_PREALLOC;
        maps.push(Map::new(spec, 1).expect("made"));
    }
    let spec = MapSpec::new(MapType::ArrayOfMaps, 4, 4, 2);
    let outer = Map::of_maps(spec, &maps[0]).expect("made");
    assert_eq!(outer.set_inner(&[0; 4], maps[0].clone(), 0), Ok(()));
    maps.push(outer);
    maps
}

/// Helpers that exist, those of maps most often.
fn helpers() -> impl Strategy<Value = u32> {
    let all: Vec<u32> = (0..212).filter(|&id| is_supported(id)).collect();
    prop_oneof![
        select(all),
        select(vec![
            helper::MAP_LOOKUP_ELEM,
            helper::MAP_UPDATE_ELEM,
            helper::MAP_DELETE_ELEM,
            helper::FOR_EACH_MAP_ELEM,
            helper::LOOP,
            helper::RINGBUF_RESERVE,
            helper::RINGBUF_SUBMIT,
        ]),
    ]
}

fn small() -> impl Strategy<Value = i32> {
    prop_oneof![-64..64i32, any::<i32>()]
}

fn reg() -> impl Strategy<Value = Reg> {
    select(&Reg::ALL[..])
}

/// Registers that programs may write.
fn dst() -> impl Strategy<Value = Reg> {
    select(&Reg::ALL[..10])
}

fn src() -> impl Strategy<Value = Src> {
    prop_oneof![reg().prop_map(Src::Reg), small().prop_map(Src::Imm)]
}

fn size() -> impl Strategy<Value = Size> {
    select(&Size::ALL[..])
}

/// A step of a program; jumps and calls lead to the step of their number, as far as there is one.
#[derive(Clone, Copy, Debug)]
enum Step {
    Plain(Insn),
    Jump(JmpOp, Reg, Src, usize),
    Callback(Reg, usize),
    Call(usize),
    Exit,
}

fn step(maps: u32) -> impl Strategy<Value = Step> {
    let alu = (select(&AluOp::ALL[..]), dst(), src())
        .prop_map(|(op, dst, src)| Step::Plain(Insn::alu(op, dst, src)));
    let load = (size(), dst(), reg(), -40..40i16)
        .prop_map(|(size, dst, src, off)| Step::Plain(Insn::load(size, dst, src, off)));
    let store = (size(), reg(), -40..40i16, src())
        .prop_map(|(size, dst, off, src)| Step::Plain(Insn::store(size, dst, off, src)));
    let atomic =
        (select(&AtomicOp::ALL[..]), reg(), dst(), -5..5i16).prop_map(|(op, dst, src, off)| {
            let (size, off) = (Size::B8, off * 8);
            Step::Plain(Insn::Atomic {
                op,
                size,
                dst,
                src,
                off,
            })
        });
    let address = dst().prop_map(|dst| Step::Plain(Insn::mov(dst, Reg::R10)));
    let below =
        (dst(), 1..64i32).prop_map(|(dst, n)| Step::Plain(Insn::alu(AluOp::Add, dst, n * -8)));
    let map = (dst(), 0..maps).prop_map(|(dst, idx)| Step::Plain(Insn::map(dst, idx)));
    let value = (dst(), 0..20u32).prop_map(|(dst, off)| {
        let imm = Imm64::MapIdxValue { idx: 0, off };
        Step::Plain(Insn::LdImm64 { dst, imm })
    });
    let call = helpers().prop_map(|helper| Step::Plain(Insn::Call { helper }));
    let packet = (select(vec![Size::B1, Size::B2, Size::B4]), reg(), small())
        .prop_map(|(size, src, imm)| Step::Plain(Insn::LdInd { size, src, imm }));
    let jump = (select(&JmpOp::ALL[..]), reg(), src(), 0..40usize)
        .prop_map(|(op, dst, src, to)| Step::Jump(op, dst, src, to));
    let callback = (dst(), 0..40usize).prop_map(|(dst, to)| Step::Callback(dst, to));
    prop_oneof![
        6 => alu,
        4 => load,
        4 => store,
        2 => atomic,
        3 => address,
        3 => below,
        4 => map,
        2 => value,
        6 => call,
        1 => packet,
        3 => jump,
        1 => callback,
        1 => (0..40usize).prop_map(Step::Call),
        1 => Just(Step::Exit),
    ]
}

fn assemble(steps: &[Step]) -> Vec<Insn> {
    let slots = |step: &Step| match step {
        Step::Plain(insn) => insn.slots(),
        Step::Callback(..) => 2,
        _ => 1,
    };
    let starts: Vec<i64> = steps
        .iter()
        .scan(0, |at, step| {
            let start = *at;
            *at += slots(step) as i64;
            Some(start)
        })
        .collect();
    let mut insns: Vec<Insn> = steps
        .iter()
        .zip(&starts)
        .map(|(step, start)| {
            let distance = |to: usize| (starts[to % steps.len()] - start - 1) as i32;
            match *step {
                Step::Plain(insn) => insn,
                Step::Jump(op, dst, src, to) => Insn::Jmp {
                    width: Width::W64,
                    op,
                    dst,
                    src,
                    off: distance(to) as i16,
                },
                Step::Callback(dst, to) => Insn::LdImm64 {
                    dst,
                    imm: Imm64::Func(distance(to)),
                },
                Step::Call(to) => Insn::CallLocal { rel: distance(to) },
                Step::Exit => Insn::Exit,
            }
        })
        .collect();
    insns.push(Insn::Exit);
    insns
}

fn run(program: &Program) {
    let packet = [1, 2, 3, 4, 5, 6, 7, 8];
    let mut around = [0xa5u8; 48];
    let mut run = Run::new(&EmptyWorld);
    run.set_budget(500);
    run.set_packet(&packet);
    // Both a result and a fault are right; only the context may change.
    let _outcome = program.run(&mut run, &mut around[16..32]);
    assert!(around[..16].iter().chain(&around[32..]).all(|&b| b == 0xa5));
    assert_eq!(packet, [1, 2, 3, 4, 5, 6, 7, 8]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn programs_stay_inside(steps in prop::collection::vec(step(15), 1..40)) {
        let maps = maps();
        if let Ok(program) = Program::new(&assemble(&steps), &maps) {
            run(&program);
            // What user space reads afterwards must not depend on the program's good manners.
            for map in &maps {
                for key in map.keys() {
                    let _value = map.get(&key);
                }
                if let Some(ring) = map.ring() {
                    ring.drain(&mut |record| record.len() <= 4096);
                }
            }
        }
    }

    #[test]
    fn any_slots_are_refused_or_run(words in prop::collection::vec(any::<u64>(), 1..20)) {
        let mut slots: Vec<_> = words.iter().map(|w| RawInsn::from_bytes(w.to_le_bytes())).collect();
        slots.push(RawInsn::new(0x95, 0, 0, 0, 0));
        if let Ok(insns) = decode(&slots)
            && let Ok(program) = Program::new(&insns, &maps())
        {
            run(&program);
        }
    }
}
