//! Instructions that compute a register: arithmetic and moves.

use beetrace_isa::{AluOp, Reg as RegName, Src, Width};

use crate::explore::Verifier;
use crate::reject::{Check, RejectKind, reject};
use crate::scalar::Scalar;
use crate::state::{Reg, State};

impl Verifier<'_> {
    pub(crate) fn alu(
        &mut self,
        state: &mut State,
        width: Width,
        op: AluOp,
        dst: RegName,
        src: Src,
    ) -> Check {
        if op == AluOp::Mov {
            return self.mov(state, width, dst, src);
        }
        let right = self.operand(state, src)?;
        let left = *self.read(state, dst)?;
        if let Src::Imm(n) = src {
            let bits = i64::from(width.bits());
            match op {
                AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod if n == 0 => {
                    return reject(RejectKind::Instruction, "division by the constant zero");
                }
                AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if !(0..bits).contains(&i64::from(n)) => {
                    return reject(
                        RejectKind::Instruction,
                        format!("a shift by {n} of a number of {bits} bits"),
                    );
                }
                _ => {}
            }
        }
        let mut out = if left.is_pointer() || right.is_pointer() {
            self.pointer_alu(state.pc, width, op, &left, &right)?
        } else {
            let node = self.dag.join(left.node, right.node);
            Reg::scalar(left.num.alu(op, right.num, width), node)
        };
        // A number that is a known distance from another one stays linked to it.
        if op == AluOp::Add
            && width == Width::W64
            && left.is_scalar()
            && left.id != 0
            && left.delta.is_none()
            && let Some(n) = right.as_const()
            && let Ok(n) = i32::try_from(n as i64)
        {
            out.id = left.id;
            out.delta = Some(n);
        }
        self.write(state, dst, out)
    }

    fn mov(&mut self, state: &mut State, width: Width, dst: RegName, src: Src) -> Check {
        let name = match src {
            Src::Imm(n) => {
                let n = match width {
                    Width::W64 => i64::from(n) as u64,
                    Width::W32 => u64::from(n as u32),
                };
                return self.write(state, dst, Reg::constant(n));
            }
            Src::Reg(name) => name,
        };
        self.read(state, name)?;
        if width == Width::W64 {
            self.link(state, name);
            let reg = *state.reg(name);
            return self.write(state, dst, reg);
        }
        let reg = *state.reg(name);
        if !reg.is_scalar() {
            return self.write(
                state,
                dst,
                Reg::scalar(Scalar::unsigned(0, u32::MAX.into()), reg.node),
            );
        }
        let fits = reg.num.width() <= 32;
        if fits {
            self.link(state, name);
        }
        let mut out = *state.reg(name);
        if !fits {
            out.unlink();
        }
        out.num = out.num.zero_extend();
        self.write(state, dst, out)
    }

    /// Gives a number that is about to be copied an id, so that both are known to be equal.
    pub(crate) fn link(&mut self, state: &mut State, name: RegName) {
        let pc = state.pc;
        let reg = state.reg_mut(name);
        if !reg.is_scalar() {
            return;
        }
        if reg.delta.is_some() {
            reg.unlink();
        }
        if reg.id == 0 && !reg.num.is_const() {
            let id = self.new_id(pc);
            state.reg_mut(name).id = id;
        }
    }

    pub(crate) fn move_sign_extended(
        &mut self,
        state: &mut State,
        width: Width,
        bytes: u32,
        dst: RegName,
        src: RegName,
    ) -> Check {
        let reg = *self.read(state, src)?;
        if !reg.is_scalar() {
            return self.write(state, dst, Reg::scalar(Scalar::UNKNOWN, reg.node));
        }
        // Nothing to extend if the sign bit is known to be clear.
        let unchanged = reg.num.u64.max < 1u64 << (bytes * 8 - 1);
        if unchanged {
            self.link(state, src);
        }
        let mut out = *state.reg(src);
        if !unchanged {
            out.unlink();
        }
        out.num = match width {
            Width::W64 => out.num.sign_extend(bytes),
            Width::W32 => out.num.sign_extend_32(bytes),
        };
        self.write(state, dst, out)
    }
}
