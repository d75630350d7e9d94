//! Places in memory, and how bytes are read from and written to them.

use beetrace_isa::{JmpOp, Size, helper};
use beetrace_lang::structs::StructId;
use beetrace_lang::typed::Context;
use beetrace_lang::types::Space;
use beetrace_object::ProgramKind;

use super::func::{Lower, Test};
use super::layout::Repr;
use super::{LowerError, Result};
use crate::ir::{Effect, Op, Slot, Value, Volatility};

/// Bytes that are copied or zeroed one word after the other; more go through a helper.
const UNROLLED: u32 = 128;

/// Whose memory a place is in, and so how it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// The stack: loads and stores must be aligned.
    Stack,
    /// A map's value, a record, scratch memory, constants.
    Own,
    /// The program's context, at a constant offset.
    Context,
    Kernel,
    User,
    /// The kernel's or the user's: the address tells.
    Any,
    /// Behind a pointer that the verifier knows as a pointer to that struct.
    Btf {
        id: StructId,
        is_never_null: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Slot(Slot),
    Value(Value),
    Context,
}

/// Where bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) base: Base,
    pub(super) offset: i64,
    pub(super) memory: Memory,
}

impl Place {
    pub(super) fn slot(slot: Slot) -> Self {
        Place {
            base: Base::Slot(slot),
            offset: 0,
            memory: Memory::Stack,
        }
    }

    pub(super) fn value(base: Value, memory: Memory) -> Self {
        Place {
            base: Base::Value(base),
            offset: 0,
            memory,
        }
    }

    pub(super) fn context() -> Self {
        Place {
            base: Base::Context,
            offset: 0,
            memory: Memory::Context,
        }
    }

    /// So many bytes further.
    pub(super) fn at(self, offset: i64) -> Self {
        Place {
            offset: self.offset.wrapping_add(offset),
            ..self
        }
    }

    /// Whether a program may load and store there without a helper.
    pub(super) fn is_own(self) -> bool {
        matches!(self.memory, Memory::Stack | Memory::Own)
    }

    /// Whether an access of that size may be made at an offset from the place.
    pub(super) fn allows(self, at: u32, size: Size) -> bool {
        self.memory != Memory::Stack
            || (self.offset.wrapping_add(i64::from(at))) % i64::from(size.bytes()) == 0
    }
}

impl Memory {
    pub(super) fn of(space: Space) -> Self {
        match space {
            Space::User => Memory::User,
            Space::None => Memory::Any,
            Space::Kernel | Space::Btf | Space::Context | Space::Bpf => Memory::Kernel,
        }
    }

    fn read_helper(self) -> u32 {
        match self {
            Memory::User => helper::PROBE_READ_USER,
            Memory::Any => helper::PROBE_READ,
            _ => helper::PROBE_READ_KERNEL,
        }
    }

    fn read_str_helper(self) -> u32 {
        match self {
            Memory::User => helper::PROBE_READ_USER_STR,
            Memory::Any => helper::PROBE_READ_STR,
            _ => helper::PROBE_READ_KERNEL_STR,
        }
    }
}

impl Lower<'_, '_> {
    /// The address of a place.
    pub(super) fn address(&mut self, place: Place) -> Value {
        match place.base {
            Base::Slot(slot) => match i32::try_from(place.offset) {
                Ok(offset) => self.f.b.slot_addr(slot, offset),
                Err(_) => {
                    let base = self.f.b.slot_addr(slot, 0);
                    self.f.b.add_imm(base, place.offset)
                }
            },
            Base::Value(base) => self.f.b.add_imm(base, place.offset),
            Base::Context => {
                let base = self.f.context;
                self.f.b.add_imm(base, place.offset)
            }
        }
    }

    /// A base and an offset that an instruction can hold.
    fn operand(&mut self, place: Place) -> (Value, i32) {
        match i16::try_from(place.offset) {
            Ok(offset) => (self.address(place.at(-place.offset)), i32::from(offset)),
            Err(_) => (self.address(place), 0),
        }
    }

    /// A load without a helper.
    pub(super) fn load_raw(&mut self, place: Place, size: Size, signed: bool) -> Value {
        let (base, offset) = self.operand(place);
        let volatility = match place.memory {
            Memory::Context => Volatility::Constant,
            _ => Volatility::Normal,
        };
        self.f.b.def(Op::Load {
            size,
            signed,
            base,
            offset,
            volatility,
        })
    }

    /// A scalar, from whatever memory it is in; zero where it cannot be read.
    pub(super) fn load(&mut self, place: Place, size: Size, signed: bool) -> Result<Value> {
        match place.memory {
            Memory::Stack | Memory::Own => Ok(self.load_raw(place, size, signed)),
            Memory::Context if self.context_allows(place, size) => {
                Ok(self.load_raw(place, size, signed))
            }
            Memory::Btf { id, is_never_null } if self.btf_allows(id, place, size) => {
                if is_never_null {
                    return Ok(self.load_raw(place, size, signed));
                }
                let Base::Value(base) = place.base else {
                    return self.load_by_helper(place, size, signed);
                };
                let zero = self.iconst(0);
                self.choose(
                    Test(JmpOp::Eq, base, zero),
                    |_| Ok(zero),
                    |l| Ok(l.load_raw(place, size, signed)),
                )
            }
            _ => self.load_by_helper(place, size, signed),
        }
    }

    fn load_by_helper(&mut self, place: Place, size: Size, signed: bool) -> Result<Value> {
        let mark = self.mark();
        let to = self.temporary(8);
        self.read(to, place, size.bytes())?;
        let value = self.load_raw(to, size, signed);
        self.release(mark);
        Ok(value)
    }

    fn btf_allows(&self, id: StructId, place: Place, size: Size) -> bool {
        u32::try_from(place.offset)
            .is_ok_and(|offset| self.btf().walk(id, offset, size.bytes()).is_some())
    }

    /// What the kernel lets each kind of program read of its context.
    fn context_allows(&self, place: Place, size: Size) -> bool {
        let aligned = place.offset >= 0 && place.offset % i64::from(size.bytes()) == 0;
        aligned
            && match self.probe.context {
                Context::Tracepoint => {
                    self.probe.kind == ProgramKind::Tracepoint && place.offset >= 8
                }
                Context::Registers => true,
                Context::PerfEvent | Context::Arguments | Context::Iterator => size == Size::B8,
                Context::None => false,
            }
    }

    pub(super) fn store(&mut self, place: Place, size: Size, value: Value) {
        let (base, offset) = self.operand(place);
        self.f.b.store(size, base, offset, value);
    }

    /// Reads bytes of any memory into the program's own; all zeros where they cannot be read.
    pub(super) fn read(&mut self, to: Place, from: Place, len: u32) -> Result<()> {
        let helper = from.memory.read_helper();
        let (to, len, from) = (
            self.address(to),
            self.iconst(i64::from(len)),
            self.address(from),
        );
        let result = self.call(helper, &[to, len, from], Effect::Writes);
        self.report_failure(helper, result)
    }

    /// Reads a string up to its NUL, at most `len` bytes with it; the result is how many, or negative.
    pub(super) fn read_str(&mut self, to: Place, from: Place, len: Value) -> Result<Value> {
        let helper = from.memory.read_str_helper();
        let (to, from) = (self.address(to), self.address(from));
        let result = self.call(helper, &[to, len, from], Effect::Writes);
        self.report_failure(helper, result)?;
        Ok(result)
    }

    /// Reads a number of bytes that is known only at run time.
    pub(super) fn read_dynamic(&mut self, to: Place, from: Place, len: Value) -> Result<()> {
        let helper = from.memory.read_helper();
        let (to, from) = (self.address(to), self.address(from));
        let result = self.call(helper, &[to, len, from], Effect::Writes);
        self.report_failure(helper, result)
    }

    /// Zeroes bytes of the program's own memory.
    pub(super) fn zero(&mut self, to: Place, len: u32) {
        if len > UNROLLED {
            // A read from address zero fails at once, and then the helper zeroes all that it was to fill.
            let (to, len, from) = (
                self.address(to),
                self.iconst(i64::from(len)),
                self.iconst(0),
            );
            self.call(helper::PROBE_READ_KERNEL, &[to, len, from], Effect::Writes);
            return;
        }
        let zero = self.iconst(0);
        for (at, size) in chunks(len, |at, size| to.allows(at, size)) {
            self.store(to.at(i64::from(at)), size, zero);
        }
    }

    /// Copies bytes from anywhere into the program's own memory.
    pub(super) fn copy(&mut self, to: Place, from: Place, len: u32) -> Result<()> {
        if to == from || len == 0 {
            return Ok(());
        }
        if !from.is_own() || len > UNROLLED {
            return self.read(to, from, len);
        }
        for (at, size) in chunks(len, |at, size| to.allows(at, size) && from.allows(at, size)) {
            let value = self.load_raw(from.at(i64::from(at)), size, false);
            self.store(to.at(i64::from(at)), size, value);
        }
        Ok(())
    }

    /// Writes constant bytes, zero up to `len`.
    pub(super) fn write_bytes(&mut self, to: Place, bytes: &[u8], len: u32) -> Result<()> {
        let used = bytes
            .get(..bytes.len().min(len as usize))
            .unwrap_or_default();
        let text = (used.len() as u32)
            .checked_next_multiple_of(8)
            .unwrap_or(len)
            .min(len);
        if text > UNROLLED {
            let from = self.constant(used);
            self.copy(to, from, used.len() as u32)?;
            let rest = used.len() as u32;
            self.zero(to.at(i64::from(rest)), len - rest);
            return Ok(());
        }
        for (at, size) in chunks(text, |at, size| to.allows(at, size)) {
            let word = (0..size.bytes()).fold(0u64, |word, i| {
                let byte = used.get((at + i) as usize).copied().unwrap_or(0);
                word | u64::from(byte) << (8 * i)
            });
            let value = self.iconst(word as i64);
            self.store(to.at(i64::from(at)), size, value);
        }
        self.zero(to.at(i64::from(text)), len - text);
        Ok(())
    }

    /// Constant bytes as a place.
    pub(super) fn constant(&mut self, bytes: &[u8]) -> Place {
        let (map, offset) = self.unit.constant(bytes);
        Place::value(self.f.b.def(Op::MapValue { map, offset }), Memory::Own)
    }

    /// So many zeros as a place.
    pub(super) fn zeros(&mut self, len: u32) -> Place {
        let (map, offset) = self.unit.zeros(len);
        Place::value(self.f.b.def(Op::MapValue { map, offset }), Memory::Own)
    }

    /// What a scalar type is in memory.
    pub(super) fn scalar_repr(&self, expr: &beetrace_lang::typed::Expr) -> Result<(Size, bool)> {
        match self.unit.repr(&expr.ty) {
            Repr::Scalar { size, signed } => Ok((size, signed)),
            _ => Err(LowerError::Malformed {
                what: "a number was expected",
                span: expr.span,
            }),
        }
    }
}

/// Cuts bytes into words as large as allowed at each place.
fn chunks(len: u32, allowed: impl Fn(u32, Size) -> bool) -> Vec<(u32, Size)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < len {
        let size = Size::ALL
            .into_iter()
            .rev()
            .find(|&s| s.bytes() <= len - at && allowed(at, s))
            .unwrap_or(Size::B1);
        found.push((at, size));
        at += size.bytes();
    }
    found
}
