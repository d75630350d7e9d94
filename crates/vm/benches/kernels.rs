//! Nanoseconds an instruction of three kernels: interpreter, JIT, and the Linux kernel's JIT where it may be asked.

use beetrace_isa::assemble;
use beetrace_vm::{EmptyWorld, Program, Run};
use rustix::time::{ClockId, clock_gettime};

/// A kernel: its name, its text with `ROUNDS` for the loop count, and how many instructions a run executes.
struct Kernel {
    name: &'static str,
    text: &'static str,
}

const KERNELS: [Kernel; 3] = [
    Kernel {
        name: "integer hash",
        text: "
            r6 = 1000000
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
    Kernel {
        name: "bytes on the stack",
        text: "
            r6 = 100000
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
    Kernel {
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
            if r6 < 60000 goto next
            exit",
    },
];

/// How many instructions a run executes: hash, bytes, primes.
fn executed() -> [u64; 3] {
    let mut primes = 2 + 1;
    for n in 2..60000u64 {
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
        4 + 1_000_000 * 13,
        3 + 100_000 * (3 + 64 * 6 + 3 + 64 * 5 + 2),
        primes,
    ]
}

/// Nanoseconds that this thread has run, so that other work on the machine counts little.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn main() {
    for (kernel, executed) in KERNELS.iter().zip(executed()) {
        let insns = assemble(kernel.text).expect("assembles");
        let load = || {
            let program = Program::new(&insns, &[]).expect("loads");
            // SAFETY: the programs touch their own stack only.
            unsafe { program.assume_verified() }
        };
        let programs = [load(), load().compile().expect("compiles")];
        let mut run = Run::new(&EmptyWorld);
        let mut best = [f64::MAX; 2];
        let mut result = [0; 2];
        for _ in 0..7 {
            for ((program, best), result) in programs.iter().zip(&mut best).zip(&mut result) {
                let begin = cpu_time();
                *result = program.run(&mut run, &mut []).expect("runs");
                *best = best.min(cpu_time() - begin);
            }
        }
        assert_eq!(result[0], result[1], "{}", kernel.name);
        println!(
            "{:<20} interpreter {:.3}  JIT {:.3} ns an instruction ({executed} instructions)",
            kernel.name,
            best[0] / executed as f64,
            best[1] / executed as f64,
        );
    }
}
