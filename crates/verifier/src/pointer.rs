//! Arithmetic on pointers.

use beetrace_isa::{AluOp, Width};

use crate::explore::Verifier;
use crate::reject::{Check, RejectKind, reject};
use crate::scalar::{Bounds, Scalar};
use crate::state::{Kind, Reg};
use crate::tnum::Tnum;

/// Offsets stay below this in both directions (`BPF_MAX_VAR_OFF`).
pub(crate) const MAX_OFFSET: i64 = 1 << 29;

impl Verifier<'_> {
    /// The result of `left op right` where at least one is a pointer.
    pub(crate) fn pointer_alu(
        &mut self,
        slot: usize,
        width: Width,
        op: AluOp,
        left: &Reg,
        right: &Reg,
    ) -> Check<Reg> {
        if left.is_pointer() && right.is_pointer() {
            return if op == AluOp::Sub {
                Ok(Reg::unknown())
            } else {
                forbidden(op, "of two pointers")
            };
        }
        let (pointer, number, swapped) = if left.is_pointer() {
            (left, right, false)
        } else {
            (right, left, true)
        };
        self.need(number);
        if width == Width::W32 {
            return if op == AluOp::Sub {
                Ok(Reg::unknown())
            } else {
                forbidden(op, "on 32 bits of a pointer")
            };
        }
        if number.num.is_contradiction() {
            return Ok(Reg::unknown());
        }
        if pointer.nullable {
            return reject(
                RejectKind::MayBeNull,
                format!("arithmetic on {} that may be null", pointer.kind.title()),
            )
            .map_err(|stop| self.null_fact(stop, pointer));
        }
        let known = number.num.as_const();
        match pointer.kind {
            Kind::Context
            | Kind::MapValue(_)
            | Kind::MapKey(_)
            | Kind::Stack(_)
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::Memory { .. }
            | Kind::Record { .. }
            | Kind::Buffer => {}
            Kind::FlowKeys if known.is_some() => {}
            Kind::Map(_) if known == Some(0) && op == AluOp::Add => {}
            other => {
                return forbidden(op, &format!("on {}", other.title()));
            }
        }
        check_offset(number, "the number")?;
        check_offset(pointer, "the pointer")?;
        let mut out = *pointer;
        match op {
            AluOp::Add => self.pointer_add(slot, &mut out, number),
            AluOp::Sub if swapped => return forbidden(op, "of a pointer from a number"),
            AluOp::Sub if matches!(pointer.kind, Kind::Stack(_)) => {
                return forbidden(op, "of a number from a stack pointer");
            }
            AluOp::Sub => self.pointer_sub(slot, &mut out, number),
            _ => return forbidden(op, "on a pointer"),
        }
        out.num.synchronise();
        check_offset(&out, "the pointer")?;
        Ok(out)
    }

    fn pointer_add(&mut self, slot: usize, out: &mut Reg, number: &Reg) {
        if let Some(n) = number.num.as_const()
            && let Ok(n) = i32::try_from(n as i64)
            && let Some(off) = out.off.checked_add(n)
        {
            out.off = off;
            return;
        }
        out.num = sum(&out.num, &number.num);
        out.node = self.dag.join(out.node, number.node);
        if out.kind.is_packet() {
            out.id = self.new_id(slot);
            out.range = 0;
        }
    }

    fn pointer_sub(&mut self, slot: usize, out: &mut Reg, number: &Reg) {
        if let Some(n) = number.num.as_const()
            && let Ok(n) = i32::try_from(n as i64)
            && let Some(off) = out.off.checked_sub(n)
        {
            out.off = off;
            return;
        }
        let negated = Reg {
            num: difference(&out.num, &number.num),
            ..*out
        };
        out.num = negated.num;
        out.node = self.dag.join(out.node, number.node);
        if out.kind.is_packet() {
            out.id = self.new_id(slot);
            if number.num.s64.min < 0 {
                out.range = 0;
            }
        }
    }
}

/// The sum of two varying parts: bounds that overflow are lost, the lower halves are not kept.
fn sum(a: &Scalar, b: &Scalar) -> Scalar {
    let mut out = Scalar::UNKNOWN;
    if let (Some(min), Some(max)) = (
        a.s64.min.checked_add(b.s64.min),
        a.s64.max.checked_add(b.s64.max),
    ) {
        out.s64 = Bounds::new(min, max);
    }
    if let (Some(min), Some(max)) = (
        a.u64.min.checked_add(b.u64.min),
        a.u64.max.checked_add(b.u64.max),
    ) {
        out.u64 = Bounds::new(min, max);
    }
    out.bits = a.bits.add(b.bits);
    out
}

fn difference(a: &Scalar, b: &Scalar) -> Scalar {
    let mut out = Scalar::UNKNOWN;
    if let (Some(min), Some(max)) = (
        a.s64.min.checked_sub(b.s64.max),
        a.s64.max.checked_sub(b.s64.min),
    ) {
        out.s64 = Bounds::new(min, max);
    }
    if let (Some(min), Some(max)) = (
        a.u64.min.checked_sub(b.u64.max),
        a.u64.max.checked_sub(b.u64.min),
    ) {
        out.u64 = Bounds::new(min, max);
    }
    out.bits = a.bits.sub(b.bits);
    out
}

fn forbidden<T>(op: AluOp, what: &str) -> Check<T> {
    reject(
        RejectKind::PointerArithmetic,
        format!("`{}` {what} is not allowed", op.symbol()),
    )
}

/// Whether the offset can be told apart from a wild one.
fn check_offset(reg: &Reg, what: &str) -> Check {
    let limit = MAX_OFFSET;
    if let Some(n) = reg.num.as_const()
        && !(-limit + 1..limit).contains(&(n as i64))
    {
        return reject(
            RejectKind::PointerArithmetic,
            format!("an offset of {} is too large for a pointer", n as i64),
        );
    }
    if !(-limit + 1..limit).contains(&i64::from(reg.off)) {
        return reject(
            RejectKind::PointerArithmetic,
            format!("an offset of {} is too large for a pointer", reg.off),
        );
    }
    let s64 = reg.num.s64;
    if s64.min == i64::MIN || s64.min <= -limit || s64.min >= limit {
        return reject(
            RejectKind::Unbounded,
            format!("{what} that makes the offset may be very small: it has no lower bound"),
        )
        .map_err(|stop| stop.fact(format!("{what} is {}", describe(&reg.num))));
    }
    Ok(())
}

/// The number as facts state it.
pub(crate) fn describe(num: &Scalar) -> String {
    num.to_string()
}

/// Whether `bits` plus `off` is a multiple of `size` in every case.
pub(crate) fn aligned(bits: Tnum, off: i64, size: u32) -> bool {
    bits.add(Tnum::constant(off as u64)).is_aligned(size.into())
}
