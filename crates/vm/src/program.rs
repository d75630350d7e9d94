//! Loaded programs: instructions checked for form, decoded, with their maps and functions resolved.

use std::fmt;
use std::sync::Arc;

use beetrace_isa::{Imm64, Insn, Reg, Src, helper, helper_name};

use crate::Errno;
use crate::functions::{Functions, StructureError};
use crate::helpers;
use crate::interp;
use crate::jit::{self, CompileError};
use crate::maps::Map;
use crate::op::{self, Code, Op};
use crate::run::{Fault, Run};

/// Bytes of stack that a function of a program has.
pub const FRAME_BYTES: usize = 512;

/// Most functions of a program that can be active at once, callbacks included (`MAX_CALL_FRAMES` of the kernel).
pub const MAX_FRAMES: usize = 8;

/// Marks addresses of functions of interpreted programs; the low half is the index of the first instruction.
pub(crate) const FUNCTION_TAG: u64 = 0xbee0_0000_0000_0000;

/// Why instructions are no program of this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("the program is empty")]
    Empty,
    #[error("instruction {insn}: {error}")]
    Structure { insn: usize, error: StructureError },
    #[error("instruction {insn}: helper function {name} is not supported in user space")]
    Helper { insn: usize, name: String },
    #[error("instruction {insn}: {what} is not supported in user space")]
    Unsupported { insn: usize, what: &'static str },
    #[error("instruction {insn}: there is no map {index}")]
    Map { insn: usize, index: u32 },
    #[error("instruction {insn}: no address {offset} bytes into map {index}: {error}")]
    MapValue {
        insn: usize,
        index: u32,
        offset: u32,
        error: Errno,
    },
}

/// A program ready to run.
pub struct Program {
    pub(crate) insns: Box<[Insn]>,
    pub(crate) ops: Box<[Op]>,
    pub(crate) functions: Functions,
    pub(crate) maps: Box<[Arc<Map>]>,
    verified: bool,
    native: Option<jit::Native>,
}

impl Program {
    /// Loads instructions whose [`Imm64::MapIdx`] and [`Imm64::MapIdxValue`] are indexes into `maps`.
    ///
    /// The program runs in checked mode until [`Program::assume_verified`].
    pub fn new(insns: &[Insn], maps: &[Arc<Map>]) -> Result<Program, LoadError> {
        if insns.is_empty() {
            return Err(LoadError::Empty);
        }
        let functions =
            Functions::find(insns).map_err(|(insn, error)| LoadError::Structure { insn, error })?;
        let ops = insns
            .iter()
            .enumerate()
            .map(|(at, insn)| decode(at, insn, &functions, maps))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Program {
            insns: insns.into(),
            ops: ops.into_boxed_slice(),
            functions,
            maps: maps.into(),
            verified: false,
            native: None,
        })
    }

    /// Lets the program run without checks.
    ///
    /// # Safety
    ///
    /// A verifier must have accepted the program for the context, packet and maps that it will run with: every memory
    /// access and every argument of a helper is taken on trust from now on.
    pub unsafe fn assume_verified(mut self) -> Program {
        self.verified = true;
        self
    }

    /// Compiles the program to machine code, which its runs then use.
    pub fn compile(mut self) -> Result<Program, CompileError> {
        if !self.verified {
            return Err(CompileError::Unverified);
        }
        self.native = Some(jit::compile(&self)?);
        Ok(self)
    }

    /// Whether it runs without checks.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// Whether it runs as machine code.
    pub fn is_compiled(&self) -> bool {
        self.native.is_some()
    }

    /// Runs the program: `r1` holds the context's address, `r2` its length. Gives `r0`.
    ///
    /// Only programs that are not verified give faults.
    pub fn run(&self, run: &mut Run<'_>, context: &mut [u8]) -> Result<u64, Fault> {
        run.enter(self, context, |program, run, args| {
            program.execute(run, args)
        })
    }

    /// The same through the interpreter, even where the program is compiled.
    pub fn interpret(&self, run: &mut Run<'_>, context: &mut [u8]) -> Result<u64, Fault> {
        run.enter(self, context, |program, run, args| {
            program.interpret_at(run, 0, args)
        })
    }

    /// Runs the whole program with these arguments, in the best way that it has.
    pub(crate) fn execute(&self, run: &mut Run<'_>, args: [u64; 5]) -> Result<u64, Fault> {
        match &self.native {
            Some(native) if !run.is_checked() => Ok(native.run(run, args)),
            _ => self.interpret_at(run, 0, args),
        }
    }

    /// Interprets the function that starts at an instruction.
    pub(crate) fn interpret_at(
        &self,
        run: &mut Run<'_>,
        start: usize,
        args: [u64; 5],
    ) -> Result<u64, Fault> {
        if self.verified && !run.is_checked() {
            // SAFETY: `assume_verified` promises that a verifier accepted the program.
            unsafe { interp::execute::<false>(run, self, start, args) }
        } else {
            // SAFETY: in checked mode every access is checked before it is made.
            unsafe { interp::execute::<true>(run, self, start, args) }
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("insns", &self.insns.len())
            .field("maps", &self.maps.len())
            .field("verified", &self.verified)
            .field("compiled", &self.is_compiled())
            .finish()
    }
}

fn extend(imm: i32) -> u64 {
    i64::from(imm) as u64
}

/// Register number and immediate of a second operand.
fn operand(src: Src) -> (u8, u64) {
    match src {
        Src::Reg(r) => (r.number(), 0),
        Src::Imm(imm) => (0, extend(imm)),
    }
}

fn decode(
    at: usize,
    insn: &Insn,
    functions: &Functions,
    maps: &[Arc<Map>],
) -> Result<Op, LoadError> {
    let op = |code: Code, dst: Reg, (src, imm): (u8, u64), off: i32| {
        let dst = dst.number();
        Ok(Op {
            code,
            dst,
            src,
            off,
            imm,
        })
    };
    let unsupported = |what| LoadError::Unsupported { insn: at, what };
    let target = || functions.target(at) as i32;
    let reg = |r: Reg| (r.number(), 0);
    match *insn {
        Insn::Alu {
            width,
            op: o,
            dst,
            src,
        } => op(op::alu(o, width, src), dst, operand(src), 0),
        Insn::Neg { width, dst } => {
            let code = match width {
                beetrace_isa::Width::W64 => Code::Neg64,
                beetrace_isa::Width::W32 => Code::Neg32,
            };
            op(code, dst, (0, 0), 0)
        }
        Insn::MovSx {
            width,
            from,
            dst,
            src,
        } => {
            let code = op::sign_extend(width, from)
                .ok_or_else(|| unsupported("this sign-extending move"))?;
            op(code, dst, reg(src), 0)
        }
        Insn::Endian { op: o, size, dst } => {
            let code = op::endian(o, size).ok_or_else(|| unsupported("this byte swap"))?;
            op(code, dst, (0, 0), 0)
        }
        Insn::LdImm64 { dst, imm } => {
            let value = resolve(at, imm, functions, maps)?;
            op(Code::LdImm, dst, (0, value), 0)
        }
        Insn::Load {
            size,
            sign_extend,
            dst,
            src,
            off,
        } => {
            let code = op::load(size, sign_extend)
                .ok_or_else(|| unsupported("this sign-extending load"))?;
            op(code, dst, reg(src), off.into())
        }
        Insn::Store {
            size,
            dst,
            off,
            src,
        } => op(op::store(size, src), dst, operand(src), off.into()),
        Insn::Atomic {
            op: o,
            size,
            dst,
            src,
            off,
        } => {
            let code = match size {
                beetrace_isa::Size::B8 => Code::Atomic64,
                _ => Code::Atomic32,
            };
            op(code, dst, (src.number(), op::atomic_number(o)), off.into())
        }
        Insn::Ja { .. } => op(Code::Ja, Reg::R0, (0, 0), target()),
        Insn::Jmp {
            width,
            op: o,
            dst,
            src,
            ..
        } => op(op::jump(o, width, src), dst, operand(src), target()),
        Insn::Call {
            helper: helper::TAIL_CALL,
        } => op(Code::TailCall, Reg::R0, (0, 0), 0),
        Insn::Call { helper } => {
            if helpers::find(helper).is_none() {
                let name = helper_name(helper).map_or_else(|| helper.to_string(), str::to_owned);
                return Err(LoadError::Helper { insn: at, name });
            }
            op(Code::Call, Reg::R0, (0, 0), helper as i32)
        }
        Insn::CallLocal { .. } => op(Code::CallLocal, Reg::R0, (0, 0), target()),
        Insn::CallKfunc { .. } => Err(unsupported("a kernel function")),
        Insn::Exit => op(Code::Exit, Reg::R0, (0, 0), 0),
        Insn::LdAbs { size, imm } => {
            op(Code::LdAbs, Reg::R0, (0, extend(imm)), size.bytes() as i32)
        }
        Insn::LdInd { size, src, imm } => op(
            Code::LdInd,
            Reg::R0,
            (src.number(), extend(imm)),
            size.bytes() as i32,
        ),
    }
}

/// The number that a 64-bit load puts into its register.
fn resolve(
    at: usize,
    imm: Imm64,
    functions: &Functions,
    maps: &[Arc<Map>],
) -> Result<u64, LoadError> {
    let map = |index: u32| {
        maps.get(index as usize)
            .ok_or(LoadError::Map { insn: at, index })
    };
    Ok(match imm {
        Imm64::Value(value) => value,
        Imm64::Func(_) => FUNCTION_TAG | functions.target(at) as u64,
        Imm64::MapIdx(index) => Map::handle(map(index)?),
        Imm64::MapIdxValue { idx, off } => {
            map(idx)?
                .direct_value(off)
                .map_err(|error| LoadError::MapValue {
                    insn: at,
                    index: idx,
                    offset: off,
                    error,
                })?
        }
        Imm64::MapFd(_) | Imm64::MapFdValue { .. } => {
            let what = "a map given by its file descriptor";
            return Err(LoadError::Unsupported { insn: at, what });
        }
        Imm64::BtfVar { .. } => {
            let what = "a kernel variable";
            return Err(LoadError::Unsupported { insn: at, what });
        }
    })
}

/// The value of a 64-bit load, for the compiler, which has addresses of its own for functions.
pub(crate) fn constant(program: &Program, at: usize) -> u64 {
    program.ops.get(at).map_or(0, |op| op.imm)
}
