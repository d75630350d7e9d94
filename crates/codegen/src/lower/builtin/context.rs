//! What the event itself tells: the traced function, the mode of the processor, arguments of USDT probes.

use beetrace_isa::{AluOp, JmpOp, Size, Width, helper};
use beetrace_lang::typed::{Context, UsdtArgument, UsdtPlace};
use beetrace_object::{Event, ProgramKind};

use crate::ir::{Effect, Value};
use crate::lower::Result;
use crate::lower::func::{Lower, Test};
use crate::lower::memory::{Memory, Place};

/// Offsets in `struct pt_regs` of x86-64 (arch/x86/include/asm/ptrace.h).
const INSTRUCTION_POINTER: u32 = 128;
const CODE_SEGMENT: u32 = 136;

impl Lower<'_, '_> {
    /// The address of the traced function, or of the instruction where the kernel cannot tell the function.
    pub(super) fn function_address(&mut self) -> Result<Value> {
        let is_user_return = self
            .probe
            .attach
            .iter()
            .any(|spec| matches!(&spec.event, Event::Uprobe(uprobe) if uprobe.is_return));
        if is_user_return {
            // At a return the registers are the caller's already; an older kernel does not know the function either.
            let context = self.f.context;
            let function = self.call(helper::GET_FUNC_IP, &[context], Effect::Pure);
            let zero = self.iconst(0);
            return self.choose(
                Test(JmpOp::Ne, function, zero),
                |_| Ok(function),
                |l| l.register(INSTRUCTION_POINTER),
            );
        }
        let is_user = self.probe.attach.iter().any(|spec| {
            matches!(
                spec.event,
                Event::Uprobe(_) | Event::Usdt(_) | Event::Watchpoint { .. }
            )
        });
        let asks_helper = match self.probe.kind {
            ProgramKind::Kprobe => !is_user,
            ProgramKind::Tracing => self.probe.context == Context::Arguments,
            _ => false,
        };
        if asks_helper {
            let context = self.f.context;
            return Ok(self.call(helper::GET_FUNC_IP, &[context], Effect::Pure));
        }
        self.register(INSTRUCTION_POINTER)
    }

    /// 1 where the interrupted code was the user's: the privilege level is in the low bits of the code segment.
    pub(super) fn user_mode(&mut self) -> Result<Value> {
        let segment = self.register(CODE_SEGMENT)?;
        let level = self.binary_imm(AluOp::And, segment, 3);
        let user = self.iconst(3);
        Ok(self.f.b.compare(JmpOp::Eq, Width::W64, level, user))
    }

    pub(super) fn usdt_argument(&mut self, argument: &UsdtArgument) -> Result<Value> {
        let size = Size::from_bytes(u64::from(argument.size)).unwrap_or(Size::B8);
        match &argument.place {
            UsdtPlace::Constant(n) => {
                let value = self.iconst(*n);
                Ok(self.f.b.ext(size, argument.signed, value))
            }
            UsdtPlace::Register { offset } => {
                // `%ah` and its kin lie one byte into their register.
                let value = self.register(offset & !7)?;
                let value = self.binary_imm(AluOp::Rsh, value, i64::from(offset % 8) * 8);
                Ok(self.f.b.ext(size, argument.signed, value))
            }
            UsdtPlace::Memory {
                base,
                displacement,
                index,
            } => {
                let mut address = self.register(*base)?;
                if let Some((register, scale)) = index {
                    let index = self.register(*register)?;
                    let scaled = self.binary_imm(AluOp::Mul, index, i64::from(*scale));
                    address = self.binary(AluOp::Add, address, scaled);
                }
                let place = Place::value(address, Memory::User).at(*displacement);
                self.load(place, size, argument.signed)
            }
        }
    }
}
