//! Built-ins: one file a family.

mod context;
mod process;
mod read;
mod system;

use beetrace_isa::{AluOp, Size, helper};
use beetrace_lang::typed::{Call, Expr};
use beetrace_object::Parameter;

use super::func::Lower;
use super::into::Fill;
use super::memory::Place;
use super::{LowerError, Result};
use crate::ir::{Effect, Value};

impl Lower<'_, '_> {
    /// A built-in whose result is a scalar, or nothing.
    pub(super) fn call_scalar(&mut self, call: &Call, expr: &Expr) -> Result<Value> {
        match call {
            Call::Pid { initial_namespace } => self.process_id(*initial_namespace),
            Call::Tid { initial_namespace } => self.thread_id(*initial_namespace),
            Call::Uid | Call::Username => Ok(self.user_id()),
            Call::Gid => Ok(self.group_id()),
            Call::Nsecs(clock) => self.nanoseconds(*clock),
            Call::Elapsed => self.elapsed(),
            Call::Jiffies => Ok(self.call(helper::JIFFIES64, &[], Effect::Reads)),
            Call::Cpu => Ok(self.call(helper::GET_SMP_PROCESSOR_ID, &[], Effect::Pure)),
            Call::Numaid => Ok(self.call(helper::GET_NUMA_NODE_ID, &[], Effect::Pure)),
            Call::Curtask => Ok(self.call(helper::GET_CURRENT_TASK, &[], Effect::Pure)),
            Call::Rand => Ok(self.call(helper::GET_PRANDOM_U32, &[], Effect::Reads)),
            Call::Cgroup => Ok(self.call(helper::GET_CURRENT_CGROUP_ID, &[], Effect::Pure)),
            Call::FunctionAddress => self.function_address(),
            Call::UserMode => self.user_mode(),
            Call::Parameter(parameter) => Ok(self.parameter(*parameter)),
            Call::StackLen(stack) => self.stack_len(stack),
            Call::Ksym(address) | Call::CgroupPath(address) => self.number(address),
            Call::Strncmp { left, right, len } => self.strncmp(left, right, *len),
            Call::Strstr { haystack, needle } => self.strstr(haystack, needle),
            Call::Strlen(text) => self.strlen(text),
            Call::Memcmp { left, right, len } => self.memcmp(left, right, len),
            Call::Bswap(value) => self.bswap(value),
            Call::Signal { number, thread } => self.signal(number, *thread),
            Call::Override(value) => self.override_return(value),
            Call::PerCpuAddress { symbol_btf_id, cpu } => {
                self.per_cpu_address(*symbol_btf_id, cpu.as_deref())
            }
            Call::SocketCookie(socket) => self.socket_cookie(socket),
            Call::WriteUser { dst, src, len } => self.write_user(dst, src, len),
            Call::SkbOutput {
                path,
                skb,
                len,
                offset,
            } => self.skb_output(path, skb, len, offset, expr.span),
            Call::UsdtArgument(argument) => self.usdt_argument(argument),
            Call::Comm
            | Call::Str { .. }
            | Call::Buf { .. }
            | Call::Stack
            | Call::Usym(_)
            | Call::Ntop { .. }
            | Call::Macaddr(_)
            | Call::Strftime { .. }
            | Call::StrConcat { .. }
            | Call::Table { .. }
            | Call::Path { .. } => Err(LowerError::Malformed {
                what: "a built-in that gives no number",
                span: expr.span,
            }),
        }
    }

    /// Whether a built-in's result lies in memory already.
    pub(super) fn call_has_place(&self, call: &Call) -> bool {
        matches!(call, Call::Table { .. })
    }

    /// A built-in whose result is a composite, built at a place.
    pub(super) fn call_into(
        &mut self,
        call: &Call,
        expr: &Expr,
        to: Place,
        fill: Fill,
    ) -> Result<()> {
        let len = self.unit.size_of(&expr.ty);
        match call {
            Call::Comm => {
                self.comm_into(to, len);
                Ok(())
            }
            Call::Str { pointer, length } => {
                self.str_into(pointer, length.as_deref(), to, len, fill)
            }
            Call::Buf { pointer, length } => self.buf_into(pointer, length, to, len, fill),
            Call::Stack => self.stack_into(expr, to),
            Call::Usym(address) => self.usym_into(address, to),
            Call::FunctionAddress => {
                let address = self.function_address()?;
                self.usym_parts(address, to)
            }
            Call::Ntop { family, address } => self.inet_into(family.as_deref(), address, to),
            Call::Macaddr(address) => self.mac_into(address, to),
            Call::Strftime { nanos, clock } => {
                let nanos = self.scalar(nanos)?;
                self.store(to, Size::B8, nanos);
                let clock = self.iconst(*clock as i64);
                self.store(to.at(8), Size::B8, clock);
                Ok(())
            }
            Call::StrConcat { left, right } => self.concat_into(left, right, to, len, fill),
            Call::Path { path } => self.path_into(path, to, len),
            _ => Err(LowerError::Malformed {
                what: "a built-in that gives a number only",
                span: expr.span,
            }),
        }
    }

    /// A number that user space gave before the run.
    pub(super) fn parameter(&mut self, parameter: Parameter) -> Value {
        let at = self.unit.parameter(parameter);
        let place = self.map_value(at);
        self.load_raw(place, Size::B8, false)
    }

    fn bswap(&mut self, value: &Expr) -> Result<Value> {
        let number = self.scalar(value)?;
        let (size, signed) = self.scalar_repr(value)?;
        if size == Size::B1 {
            return Ok(number);
        }
        let swapped = self.f.b.def(crate::ir::Op::Swap {
            size,
            value: number,
        });
        Ok(if signed && size != Size::B8 {
            self.f.b.ext(size, true, swapped)
        } else {
            swapped
        })
    }

    pub(super) fn high_half(&mut self, value: Value) -> Value {
        self.binary_imm(AluOp::Rsh, value, 32)
    }

    pub(super) fn low_half(&mut self, value: Value) -> Value {
        self.f.b.ext(Size::B4, false, value)
    }
}
