//! Nanoseconds an instruction of three kernels: interpreter, JIT, and the Linux kernel's JIT where it may be asked.
//! Then what an event costs that is counted in a hash map, and what compiling costs.

use beetrace_engine::{Engine, LoadOptions, ProgramId};
use beetrace_isa::{Insn, assemble};
use beetrace_kernel::{Kernel, Privileges};
use beetrace_object::{self as object, Event, Object, ProbeSpec, ProgramKind};
use beetrace_vm::maps::{Map, MapSpec, MapType};
use beetrace_vm::{EmptyWorld, Program, Run};
use rustix::time::{ClockId, clock_gettime};

/// A kernel: its name and its text. Loops are short enough for Linux to verify.
struct Workload {
    name: &'static str,
    text: &'static str,
}

const KERNELS: [Workload; 3] = [
    Workload {
        name: "integer hash",
        text: "
            r6 = 10000
            r0 = 0x9e3779b97f4a7c15 ll
            r7 = 0xff51afd7ed558ccd ll
        loop:
            r1 = r6
            r1 ^= r0
            r1 *= r7
            r2 = r1
            r2 >>= 33
            r1 ^= r2
            r1 += 0x5bd1e995
            r2 = r1
            r2 <<= 7
            r1 ^= r2
            r0 += r1
            r6 += -1
            if r6 != 0 goto loop
            exit",
    },
    Workload {
        name: "bytes on the stack",
        text: "
            r6 = 100
            r0 = 0
        outer:
            r1 = r10
            r1 += -64
            r2 = 0
        fill:
            r3 = r2
            r3 += r6
            *(u8 *)(r1 + 0) = r3
            r1 += 1
            r2 += 1
            if r2 < 64 goto fill
            r1 = r10
            r1 += -64
            r2 = 0
        sum:
            r3 = *(u8 *)(r1 + 0)
            r0 += r3
            r1 += 1
            r2 += 1
            if r2 < 64 goto sum
            r6 += -1
            if r6 != 0 goto outer
            exit",
    },
    Workload {
        name: "division primes",
        text: "
            r6 = 2
            r0 = 0
        next:
            r1 = 2
        try:
            r2 = r1
            r2 *= r1
            if r2 > r6 goto prime
            r3 = r6
            r3 /= r1
            r3 *= r1
            r4 = r6
            r4 -= r3
            if r4 == 0 goto composite
            r4 = r6
            r4 %= r1
            r0 ^= r4
            r1 += 1
            goto try
        prime:
            r0 += 1
        composite:
            r6 += 1
            if r6 < 300 goto next
            exit",
    },
];

/// How many instructions a run executes: hash, bytes, primes.
fn executed() -> [u64; 3] {
    let mut primes = 2 + 1;
    for n in 2..300u64 {
        primes += 1 + 2;
        for d in 2.. {
            primes += 3;
            if d * d > n {
                primes += 1;
                break;
            }
            primes += 5;
            if n % d == 0 {
                break;
            }
            primes += 5;
        }
    }
    [
        4 + 10_000 * 13,
        3 + 100 * (3 + 64 * 6 + 3 + 64 * 5 + 2),
        primes,
    ]
}

/// Nanoseconds that this thread has run, so that other work on the machine counts little.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The best of some runs of each way, in nanoseconds, and what it gave. The ways take turns, so that a processor that
/// slows down slows all of them.
fn measure<const N: usize>(mut ways: [&mut dyn FnMut() -> u64; N]) -> [(f64, u64); N] {
    const ROUNDS: u32 = 25;
    const REPEAT: u32 = 20;
    let mut out = [(f64::MAX, 0); N];
    for _ in 0..ROUNDS {
        for (way, (best, result)) in ways.iter_mut().zip(&mut out) {
            let begin = cpu_time();
            for _ in 0..REPEAT {
                *result = way();
            }
            *best = best.min((cpu_time() - begin) / f64::from(REPEAT));
        }
    }
    out
}

/// The program in the Linux kernel; says why where it does not take it.
fn linux(insns: &[Insn]) -> Result<Kernel, String> {
    if !Privileges::current().may_bpf() {
        return Err("needs CAP_BPF".into());
    }
    let object = Object {
        license: "GPL".into(),
        programs: vec![object::Program {
            name: "bench".into(),
            kind: ProgramKind::Syscall,
            insns: insns.to_vec(),
            functions: Vec::new(),
            lines: Vec::new(),
            probes: vec![ProbeSpec {
                name: "bench".into(),
                event: Event::Begin,
            }],
        }],
        ..Object::default()
    };
    let mut kernel = Kernel::new();
    kernel
        .load(&object, &LoadOptions::default())
        .map_err(|e| e.to_string())?;
    Ok(kernel)
}

fn main() {
    for (kernel, executed) in KERNELS.iter().zip(executed()) {
        let insns = assemble(kernel.text).expect("assembles");
        let load = || {
            let program = Program::new(&insns, &[]).expect("loads");
            // SAFETY: the programs touch their own stack only.
            unsafe { program.assume_verified() }
        };
        let (interpreted, compiled) = (load(), load().compile().expect("compiles"));
        let run = |program: &Program| {
            let mut run = Run::new(&EmptyWorld);
            program.run(&mut run, &mut []).expect("runs")
        };
        let mut oracle = linux(&insns);
        let [interpreter, jit, kernel_jit] = measure([
            &mut || run(&interpreted),
            &mut || run(&compiled),
            &mut || match &mut oracle {
                Ok(kernel) => kernel.run(ProgramId(0), 1).expect("runs").value,
                Err(_) => 0,
            },
        ]);
        assert_eq!(interpreter.1, jit.1, "{}", kernel.name);
        let each = |nanos: f64| nanos / executed as f64;
        print!(
            "{:<18} {executed:>7} instructions, ns each: interpreter {:.3}, JIT {:.3}",
            kernel.name,
            each(interpreter.0),
            each(jit.0),
        );
        match oracle {
            Ok(_) => {
                let (nanos, value) = kernel_jit;
                assert_eq!(value, u64::from(jit.1 as u32), "{}", kernel.name);
                let ratio = jit.0 / nanos;
                println!(", Linux {:.3}, JIT / Linux {ratio:.2}", each(nanos));
            }
            Err(reason) => println!(", Linux: {}", reason.lines().next().unwrap_or_default()),
        }
    }
    count_by_name();
}

/// Counts an event by the name of its task: what most scripts do.
fn count_by_name() {
    let text = "
        r1 = r10
        r1 += -16
        r2 = 16
        call bpf_get_current_comm
        r1 = map[0] ll
        r2 = r10
        r2 += -16
        call bpf_map_lookup_elem
        if r0 == 0 goto missing
        r1 = *(u64 *)(r0 + 0)
        r1 += 1
        *(u64 *)(r0 + 0) = r1
        r0 = 0
        exit
    missing:
        *(u64 *)(r10 - 24) = 1
        r1 = map[0] ll
        r2 = r10
        r2 += -16
        r3 = r10
        r3 += -24
        r4 = 0
        call bpf_map_update_elem
        r0 = 0
        exit";
    let insns = assemble(text).expect("assembles");
    let spec = MapSpec::new(MapType::PerCpuHash, 16, 8, 4096);
    let map = Map::new(spec, 2).expect("made");
    let program = Program::new(&insns, &[map]).expect("loads");
    // SAFETY: the program stays on its stack and in its value.
    let program = unsafe { program.assume_verified() };
    let begin = cpu_time();
    let program = program.compile().expect("compiles");
    let compiling = cpu_time() - begin;
    let mut run = Run::new(&EmptyWorld);
    let [(event, _)] = measure([&mut || {
        for _ in 0..1000 {
            program.run(&mut run, &mut [0; 64]).expect("runs");
        }
        0
    }]);
    println!(
        "count by name: {:.1} ns an event, compiled in {:.2} ms",
        event / 1000.0,
        compiling / 1e6
    );
}
