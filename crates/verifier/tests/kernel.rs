//! Random programs: what the verifier accepts, Linux accepts too. Needs the right to load programs.

use beetrace_engine::{Engine, Error, LoadOptions};
use beetrace_isa::{AluOp, AtomicOp, Insn, JmpOp, Reg, Size, Src, Width, disassemble, helper};
use beetrace_kernel::Kernel;
use beetrace_object::{Map, MapKind, MapRole, Object, Program, ProgramKind};
use beetrace_verifier::{Options, Prepared, verify};

/// A small generator of pseudo-random numbers (xorshift64*), so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn imm(&mut self) -> i32 {
        match self.below(5) {
            0 => self.below(16) as i32,
            1 => -(self.below(16) as i32),
            2 => self.next() as i32,
            3 => 1 << self.below(31),
            _ => self.below(600) as i32,
        }
    }

    fn register(&mut self) -> Reg {
        self.pick(&[
            Reg::R0,
            Reg::R6,
            Reg::R7,
            Reg::R8,
            Reg::R9,
            Reg::R1,
            Reg::R2,
        ])
    }

    fn operand(&mut self) -> Src {
        if self.chance(50) {
            Src::Reg(self.register())
        } else {
            Src::Imm(self.imm())
        }
    }

    fn width(&mut self) -> Width {
        if self.chance(70) {
            Width::W64
        } else {
            Width::W32
        }
    }

    /// An instruction; `left` is how many follow.
    fn insn(&mut self, left: i16, out: &mut Vec<Insn>) {
        let stack = -8 * (1 + self.below(6) as i16)
            + if self.chance(20) {
                self.pick(&[1, 2, 4])
            } else {
                0
            };
        match self.below(17) {
            0..4 => {
                let op = self.pick(&AluOp::ALL);
                let src = match op {
                    AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if self.chance(80) => {
                        Src::Imm(self.below(32) as i32)
                    }
                    AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod => {
                        Src::Imm(1 + self.below(9) as i32)
                    }
                    _ => self.operand(),
                };
                out.push(Insn::Alu {
                    width: self.width(),
                    op,
                    dst: self.register(),
                    src,
                });
            }
            4..7 => {
                let off = self.below(left.clamp(1, 6) as u64) as i16;
                out.push(Insn::Jmp {
                    width: self.width(),
                    op: self.pick(&JmpOp::ALL),
                    dst: self.register(),
                    src: self.operand(),
                    off,
                });
            }
            7 => out.push(Insn::store(
                self.pick(&Size::ALL),
                Reg::R10,
                stack,
                self.operand(),
            )),
            8 => out.push(Insn::Load {
                size: self.pick(&Size::ALL),
                sign_extend: false,
                dst: self.register(),
                src: Reg::R10,
                off: stack,
            }),
            9 => out.push(Insn::Load {
                size: self.pick(&[Size::B1, Size::B2, Size::B4]),
                sign_extend: self.chance(50),
                dst: self.register(),
                src: self.register(),
                off: self.below(40) as i16,
            }),
            10 => out.push(Insn::store(
                self.pick(&Size::ALL),
                self.register(),
                self.below(40) as i16,
                self.operand(),
            )),
            11 => {
                // The address of a value, checked or not.
                out.push(Insn::store(Size::B4, Reg::R10, -4, 0));
                out.push(Insn::map(Reg::R1, 0));
                out.push(Insn::mov(Reg::R2, Reg::R10));
                out.push(Insn::alu(AluOp::Add, Reg::R2, -4));
                out.push(Insn::Call {
                    helper: helper::MAP_LOOKUP_ELEM,
                });
                if self.chance(90) {
                    out.push(Insn::jmp(JmpOp::Ne, Reg::R0, 0, 2));
                    out.push(Insn::mov(Reg::R0, 0));
                    out.push(Insn::Exit);
                }
                let keep = self.pick(&[Reg::R6, Reg::R7, Reg::R8, Reg::R9]);
                out.push(Insn::mov(keep, Reg::R0));
                let number = self.pick(&[Reg::R6, Reg::R7, Reg::R8, Reg::R9]);
                out.push(Insn::load(self.pick(&Size::ALL), number, Reg::R0, 8));
                out.push(Insn::mov(Reg::R1, number));
                out.push(Insn::mov(Reg::R2, 1));
            }
            14 => {
                // A pointer moved by a bounded number, and what is behind it.
                let number = self.pick(&[Reg::R6, Reg::R7]);
                let pointer = self.pick(&[Reg::R8, Reg::R9, Reg::R10]);
                out.push(match self.below(3) {
                    0 => Insn::alu(AluOp::And, number, self.pick(&[7, 15, 24, 31, 56, 63])),
                    1 => Insn::alu(AluOp::Rsh, number, 50 + self.below(14) as i32),
                    _ => Insn::jmp(
                        self.pick(&JmpOp::ALL),
                        number,
                        self.pick(&[8, 32, 56, 64]),
                        4,
                    ),
                });
                out.push(Insn::mov(Reg::R1, pointer));
                out.push(Insn::alu(
                    self.pick(&[AluOp::Add, AluOp::Add, AluOp::Sub]),
                    Reg::R1,
                    number,
                ));
                let off = if pointer == Reg::R10 {
                    -64
                } else {
                    self.below(64) as i16
                };
                out.push(Insn::load(self.pick(&Size::ALL), Reg::R0, Reg::R1, off));
                out.push(Insn::mov(Reg::R1, 3));
            }
            15 => {
                // Saved and restored.
                let slot = -8 * (1 + self.below(8) as i16);
                out.push(Insn::store(Size::B8, Reg::R10, slot, self.register()));
                out.push(Insn::load(
                    self.pick(&Size::ALL),
                    self.register(),
                    Reg::R10,
                    slot,
                ));
            }
            16 => {
                let (a, b) = (self.register(), self.register());
                out.push(Insn::mov(a, b));
            }
            12 => out.push(Insn::Atomic {
                op: self.pick(&AtomicOp::ALL),
                size: self.pick(&[Size::B4, Size::B8]),
                dst: self.pick(&[Reg::R10, Reg::R6, Reg::R7]),
                src: self.register(),
                off: stack,
            }),
            _ => {
                // Memory of a varying size.
                out.push(Insn::mov(Reg::R1, Reg::R10));
                out.push(Insn::alu(AluOp::Add, Reg::R1, -48));
                out.push(Insn::mov(Reg::R2, self.register()));
                out.push(Insn::mov(Reg::R3, 0));
                out.push(Insn::Call {
                    helper: helper::PROBE_READ_KERNEL,
                });
                out.push(Insn::mov(Reg::R1, 1));
                out.push(Insn::mov(Reg::R2, 2));
            }
        }
    }

    fn program(&mut self) -> Vec<Insn> {
        let mut out: Vec<Insn> = [Reg::R0, Reg::R2, Reg::R6, Reg::R7, Reg::R8, Reg::R9]
            .into_iter()
            .map(|r| Insn::mov(r, self.imm()))
            .collect();
        if self.chance(70) {
            self.insn_lookup(&mut out);
        }
        let length = 4 + self.below(20) as i16;
        for i in 0..length {
            self.insn(length - i, &mut out);
        }
        for _ in 0..8 {
            out.push(Insn::mov(Reg::R0, 0));
        }
        out.push(Insn::Exit);
        out
    }

    fn insn_lookup(&mut self, out: &mut Vec<Insn>) {
        out.push(Insn::Call {
            helper: helper::GET_PRANDOM_U32,
        });
        out.push(Insn::mov(Reg::R6, Reg::R0));
        out.push(Insn::Call {
            helper: helper::KTIME_GET_NS,
        });
        out.push(Insn::mov(Reg::R7, Reg::R0));
        out.push(Insn::mov(Reg::R1, Reg::R7));
        out.push(Insn::mov(Reg::R2, Reg::R6));
    }
}

fn object(insns: Vec<Insn>) -> Object {
    let mut object = Object {
        license: "GPL".into(),
        ..Object::default()
    };
    object.maps.push(Map {
        name: "values".into(),
        kind: MapKind::Array,
        key_size: 4,
        value_size: 64,
        max_entries: 4,
        role: MapRole::Scratch,
    });
    object.programs.push(Program {
        name: "random".into(),
        kind: ProgramKind::RawTracepoint,
        insns,
        functions: vec![],
        lines: vec![],
        probes: vec![],
    });
    object
}

#[test]
fn linux_accepts_what_is_accepted_here() {
    let probe = object(vec![Insn::mov(Reg::R0, 0), Insn::Exit]);
    if let Err(why) = Kernel::new().load(&probe, &LoadOptions::default()) {
        println!("skipped: needs CAP_BPF and CAP_PERFMON ({why})");
        return;
    }
    let seed = number("BEETRACE_FUZZ_SEED", 0x9e37_79b9_7f4a_7c15);
    let count = number("BEETRACE_FUZZ_COUNT", 20_000);
    let mut random = Random(seed | 1);
    let (mut accepted, mut rejected, mut strict) = (0u64, 0u64, 0u64);
    let mut unsafe_ones = Vec::new();
    for _ in 0..count {
        let object = object(random.program());
        let Some(prepared) = Prepared::new(&object, 0) else {
            continue;
        };
        if let Err(why) = verify(&prepared.input(), Options::default()) {
            // What Linux accepts and is rejected here is no danger; how much it is shows what is missing.
            if rejected < 2_000 {
                rejected += 1;
                if Kernel::new().load(&object, &LoadOptions::default()).is_ok() {
                    strict += 1;
                    let first = why.to_string();
                    println!("only Linux accepts: {}", first.lines().next().unwrap_or(""));
                }
            }
            continue;
        }
        accepted += 1;
        if let Err(Error::Rejected { reason, log, .. }) =
            Kernel::new().load(&object, &LoadOptions::default())
        {
            let text = disassemble(&object.programs[0].insns);
            unsafe_ones.push(format!("{reason}\n{text}\n{log}"));
        }
    }
    println!("{accepted} of {count} accepted; of {rejected} others Linux accepts {strict}");
    assert!(
        accepted > 0,
        "the generator makes only programs that are rejected"
    );
    assert!(
        unsafe_ones.is_empty(),
        "{} accepted here, rejected by Linux:\n{}",
        unsafe_ones.len(),
        unsafe_ones.join("\n\n")
    );
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}
