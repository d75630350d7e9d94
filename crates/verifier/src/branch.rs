//! Conditional jumps: which ways are possible, and what each teaches.

use beetrace_isa::{AluOp, JmpOp, Reg as RegName, Src, Width};

use crate::code::is_equality;
use crate::compare::{decided, refine};
use crate::dag::Node;
use crate::explore::{Flow, Verifier};
use crate::reject::{Check, Stop};
use crate::scalar::Scalar;
use crate::state::{Kind, Reg, State};

/// The largest offset into a packet (`MAX_PACKET_OFF`).
const MAX_PACKET: u64 = 0xffff;

impl Verifier<'_> {
    pub(crate) fn branch(
        &mut self,
        state: &mut State,
        width: Width,
        op: JmpOp,
        dst: RegName,
        src: Src,
    ) -> Check<Flow> {
        let right = self.operand(state, src)?;
        let left = *self.read(state, dst)?;
        let slot = state.pc;
        let to = self.code.successors(slot);
        let (Some(next), Some(jump)) = (to.next, to.jump) else {
            return Ok(Flow::End);
        };
        if let Some(taken) = known_outcome(width, op, &left, &right) {
            for reg in [&left, &right] {
                if reg.is_scalar() {
                    self.need(reg);
                }
            }
            state.trail = self.push_trail(state.trail, slot, taken);
            state.pc = if taken { jump } else { next };
            return Ok(Flow::Continue);
        }
        let mut other = state.clone();
        other.pc = jump;
        other.trail = self.push_trail(state.trail, slot, true);
        state.pc = next;
        state.trail = self.push_trail(state.trail, slot, false);
        if left.is_scalar() && right.is_scalar() {
            self.learn_numbers(&mut other, true, width, op, dst, src);
            self.learn_numbers(state, false, width, op, dst, src);
        } else if width == Width::W64 {
            if right.is_zero() && is_equality(op) && left.nullable {
                self.need(&right);
                mark_null(&mut other, &left, op == JmpOp::Eq, self);
                mark_null(state, &left, op == JmpOp::Ne, self);
            } else if is_equality(op)
                && left.is_pointer()
                && right.is_pointer()
                && left.nullable != right.nullable
            {
                // Equal to a pointer that is not null: not null either.
                let maybe = if left.nullable { &left } else { &right };
                let equal = if op == JmpOp::Eq {
                    &mut other
                } else {
                    &mut *state
                };
                mark_null(equal, maybe, false, self);
            } else {
                learn_packet(&mut other, state, op, &left, &right);
            }
        }
        self.push_pending(other)?;
        Ok(Flow::Continue)
    }

    /// Narrows two numbers, and all that are linked to them, to those for which the jump goes this way.
    fn learn_numbers(
        &mut self,
        state: &mut State,
        taken: bool,
        width: Width,
        op: JmpOp,
        dst: RegName,
        src: Src,
    ) {
        let left = *state.reg(dst);
        let right = match src {
            Src::Reg(name) => *state.reg(name),
            Src::Imm(n) => Reg::constant(i64::from(n) as u64),
        };
        let (mut a, mut b) = (left.num, right.num);
        refine(op, taken, &mut a, &mut b, width);
        let node = self.dag.join(left.node, right.node);
        let mut learn = |name: RegName, num: Scalar| {
            let reg = state.reg_mut(name);
            reg.num = num;
            reg.node = node;
            let known = *reg;
            if known.id != 0 {
                self.tell_linked(state, &known);
            }
        };
        learn(dst, a);
        if let Src::Reg(name) = src
            && name != dst
        {
            learn(name, b);
        }
    }

    /// What is known of one number holds for those of equal id, at their distance.
    fn tell_linked(&mut self, state: &mut State, known: &Reg) {
        let dag = &mut self.dag;
        state.each_reg(|reg| {
            if !reg.is_scalar() || reg.id != known.id {
                return;
            }
            let (delta, from) = (reg.delta, known.delta);
            if delta == from {
                reg.num = known.num;
            } else {
                let distance = i64::from(delta.unwrap_or(0)) - i64::from(from.unwrap_or(0));
                let distance = Scalar::constant(distance as u64);
                reg.num = known.num.alu(AluOp::Add, distance, Width::W64);
            }
            reg.node = if reg.node == known.node {
                reg.node
            } else {
                dag.fresh(reg.node, known.node)
            };
        });
    }

    /// Why a pointer may be null.
    pub(crate) fn null_fact(&self, stop: Box<Stop>, reg: &Reg) -> Box<Stop> {
        let Some(&slot) = self.id_origins.get(reg.id as usize) else {
            return stop;
        };
        if reg.id == 0 {
            return stop;
        }
        let place = self.place(slot);
        stop.fact(match reg.kind {
            Kind::MapValue(map) => {
                let name = self.map(map).map_or("a map", |d| d.title());
                format!("the lookup in `{name}` {place} finds nothing if the key is not there")
            }
            Kind::Record { .. } => {
                format!("the ring buffer may have no room for the record reserved {place}")
            }
            _ => format!("it comes from {place}, which may give null"),
        })
    }

    /// Where an instruction is, by its line if that is known.
    pub(crate) fn place(&self, slot: usize) -> String {
        match self.line_of(slot) {
            Some(line) => format!("on line {}", line.line),
            None => format!("at instruction {slot}"),
        }
    }
}

fn known_outcome(width: Width, op: JmpOp, left: &Reg, right: &Reg) -> Option<bool> {
    if left.is_scalar() && right.is_scalar() {
        return decided(op, &left.num, &right.num, width);
    }
    if left.is_pointer() && right.is_pointer() {
        return None;
    }
    let (pointer, number) = if left.is_pointer() {
        (left, right)
    } else {
        (right, left)
    };
    let not_null = !pointer.nullable
        && matches!(
            pointer.kind,
            Kind::MapValue(_)
                | Kind::MapKey(_)
                | Kind::Map(_)
                | Kind::Memory { .. }
                | Kind::Record { .. }
                | Kind::Socket(_)
        );
    if !not_null || number.num.as_const_of(width) != Some(0) {
        return None;
    }
    match op {
        JmpOp::Eq => Some(false),
        JmpOp::Ne => Some(true),
        _ => None,
    }
}

/// Sets all copies of a pointer to null, or to not null.
fn mark_null(state: &mut State, pointer: &Reg, null: bool, v: &Verifier<'_>) {
    let id = pointer.id;
    if null && pointer.reference != 0 {
        // Nothing was acquired on this way.
        state.references.retain(|r| r.id != pointer.reference);
    }
    state.each_reg(|reg| {
        if reg.id != id || !reg.nullable {
            return;
        }
        if null {
            *reg = Reg::scalar(Scalar::constant(0), Node::ROOT);
            return;
        }
        reg.nullable = false;
        reg.node = Node::ROOT;
        if let Kind::MapValue(map) = reg.kind {
            // Values of a map of maps are maps.
            if let Ok(def) = v.map(map)
                && def.inner.is_some()
                && !map.inner
            {
                reg.kind = Kind::Map(crate::state::MapRef {
                    index: map.index,
                    inner: true,
                });
                return;
            }
            let locked = v.map(map).is_ok_and(|d| d.spin_lock.is_some());
            if !locked {
                reg.id = 0;
            }
        } else if reg.reference == 0 {
            reg.id = 0;
        }
    });
}

/// Learns how much of the packet is there from a comparison of a pointer into it with its end.
fn learn_packet(taken: &mut State, not_taken: &mut State, op: JmpOp, left: &Reg, right: &Reg) {
    let ends = |p: &Reg, e: &Reg| {
        p.kind == Kind::Packet && e.kind == Kind::PacketEnd
            || p.kind == Kind::PacketMeta
                && e.kind == Kind::Packet
                && e.off == 0
                && e.num.as_const() == Some(0)
                && e.id == 0
    };
    let (pointer, op) = if ends(left, right) {
        (left, op)
    } else if ends(right, left) {
        (right, op.swap())
    } else {
        return;
    };
    // `pointer op end`: on which way the pointer is not behind the end, and whether it is before it.
    match op {
        JmpOp::Gt => extend_range(not_taken, pointer, false),
        JmpOp::Lt => extend_range(taken, pointer, true),
        JmpOp::Ge => extend_range(not_taken, pointer, true),
        JmpOp::Le => extend_range(taken, pointer, false),
        _ => {}
    }
}

fn extend_range(state: &mut State, pointer: &Reg, before_end: bool) {
    let Ok(off) = u32::try_from(pointer.off) else {
        return;
    };
    let most = pointer.num.u64.max;
    if off == 0 && before_end || most > MAX_PACKET || most.saturating_add(off.into()) > MAX_PACKET {
        return;
    }
    let range = off + u32::from(before_end);
    state.each_reg(|reg| {
        if reg.kind == pointer.kind && reg.id == pointer.id {
            reg.range = reg.range.max(range);
        }
    });
}
