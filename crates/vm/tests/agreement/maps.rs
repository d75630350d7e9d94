//! Random operations on maps give what they give in the Linux kernel.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use beetrace_engine::{Engine, MapId};
use beetrace_isa::assemble;
use beetrace_object::{Layout, Map as Definition, MapKind, MapRole, UserMap};
use beetrace_vm::maps::{Map, MapSpec};
use beetrace_vm::{EmptyWorld, Program, Run};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::linux;

/// What a program does to the map.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Update {
        key: u32,
        value: u32,
        flags: u32,
    },
    Delete {
        key: u32,
    },
    Lookup {
        key: u32,
    },
    /// Adds to the value, if there is one.
    Add {
        key: u32,
        value: u32,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let (key, value) = (0..7u32, 0..1000u32);
    prop_oneof![
        4 => (key.clone(), value.clone(), 0..4u32)
            .prop_map(|(key, value, flags)| Operation::Update { key, value, flags }),
        2 => key.clone().prop_map(|key| Operation::Delete { key }),
        2 => key.clone().prop_map(|key| Operation::Lookup { key }),
        2 => (key, value).prop_map(|(key, value)| Operation::Add { key, value }),
    ]
}

/// A program that carries the operations out, with all that they give mixed into `r0`.
fn program(operations: &[Operation]) -> String {
    let mut text = String::from("r7 = 0\n");
    for (n, operation) in operations.iter().enumerate() {
        let (Operation::Update { key, .. }
        | Operation::Delete { key }
        | Operation::Lookup { key }
        | Operation::Add { key, .. }) = operation;
        let call = |name: &str| format!("call bpf_map_{name}_elem\n");
        let _infallible = write!(
            text,
            "*(u32 *)(r10 - 4) = {key}\n r1 = map[0] ll\n r2 = r10\n r2 += -4\n"
        );
        text += &match operation {
            Operation::Update { value, flags, .. } => format!(
                "*(u64 *)(r10 - 16) = {value}\n r3 = r10\n r3 += -16\n r4 = {flags}\n{}",
                call("update")
            ),
            Operation::Delete { .. } => call("delete"),
            Operation::Lookup { .. } => format!(
                "{} if r0 == 0 goto l{n}\n r0 = *(u64 *)(r0 + 0)\n l{n}:\n",
                call("lookup")
            ),
            Operation::Add { value, .. } => format!(
                "{} if r0 == 0 goto l{n}\n r1 = *(u64 *)(r0 + 0)\n r1 += {value}\n \
                 *(u64 *)(r0 + 0) = r1\n r0 = r1\n l{n}:\n",
                call("lookup")
            ),
        };
        text += "r7 *= 31\n r7 += r0\n";
    }
    text + "r0 = r7\n exit"
}

fn definition(kind: MapKind) -> Definition {
    let number = |size| Layout::Int {
        size,
        signed: false,
    };
    Definition {
        name: "@map".into(),
        kind,
        key_size: 4,
        value_size: 8,
        max_entries: 4,
        role: MapRole::User(UserMap {
            key: number(4),
            value: number(8),
            scalar: false,
        }),
    }
}

/// The sum over the processors: which one the kernel ran the program on does not matter.
fn sum(values: &[u8]) -> u64 {
    let (numbers, _) = values.as_chunks::<8>();
    numbers.iter().map(|n| u64::from_ne_bytes(*n)).sum()
}

#[test]
fn operations_give_the_same() {
    if linux::skipped() {
        return;
    }
    for kind in [
        MapKind::Hash,
        MapKind::PerCpuHash,
        MapKind::Array,
        MapKind::PerCpuArray,
    ] {
        let mut runner = TestRunner::new(linux::cases(24));
        let operations = prop::collection::vec(operation(), 1..30);
        let outcome = runner.run(&operations, |operations| {
            let insns = assemble(&program(&operations)).expect("assembles");
            let definition = definition(kind);
            let mut kernel = linux::load(&insns, vec![definition.clone()]).expect("is verified");
            let expected = linux::run(&mut kernel);

            let map = Map::new(MapSpec::of_object(&definition), 2).expect("made");
            let program = Program::new(&insns, std::slice::from_ref(&map)).expect("loads");
            let result = program.run(&mut Run::new(&EmptyWorld), &mut []);
            prop_assert_eq!(result.map(|r| u64::from(r as u32)), Ok(expected));

            let entries = kernel.entries(MapId(0)).expect("entries");
            let theirs: BTreeMap<_, _> = entries
                .iter()
                .map(|e| (e.key.clone(), sum(&e.value)))
                .collect();
            let ours: BTreeMap<_, _> = map
                .keys()
                .into_iter()
                .map(|key| (key.clone(), sum(&map.get(&key).unwrap_or_default())))
                .collect();
            prop_assert_eq!(ours, theirs);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{kind:?}: {error}");
        }
    }
}
