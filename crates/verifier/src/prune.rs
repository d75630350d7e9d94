//! Remembering states, so that what was found safe once is not followed again.
//!
//! A checkpoint is a state at an instruction, and with it the promise that every path from there ends well, given
//! only what mattered (see [`Dag`](crate::dag)). While such paths are still open, the checkpoint can only tell that
//! a path has come back to it unchanged.

use beetrace_isa::{Insn, Reg as RegName};

use crate::dag::{Dag, Node};
use crate::explore::Verifier;
use crate::helpers;
use crate::iterators;
use crate::program::MapDef;
use crate::reject::{Check, RejectKind, reject};
use crate::state::{Byte, Frame, Kind, Reg, Slot, State};

#[derive(Debug)]
struct Checkpoint {
    /// `None` once it is no longer compared with.
    state: Option<State>,
    parent: Option<u32>,
    /// Paths from here that are not finished.
    open: u32,
    hits: u32,
    misses: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    all: Vec<Checkpoint>,
    /// By slot of the instruction.
    at: Vec<Vec<u32>>,
    last_jumps: usize,
    last_instructions: usize,
}

/// How closely an old state must cover a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closeness {
    /// In what mattered.
    Relevant,
    /// In everything.
    Whole,
    /// Both are the same.
    Equal,
}

impl Checkpoints {
    pub(crate) fn new(slots: usize) -> Checkpoints {
        Checkpoints {
            at: vec![Vec::new(); slots],
            ..Checkpoints::default()
        }
    }

    /// Forgets all, before another function is verified.
    pub(crate) fn clear(&mut self) {
        *self = Checkpoints::new(self.at.len());
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Checkpoint> {
        self.all.get_mut(index as usize)
    }
}

impl Verifier<'_> {
    /// Counts a new path from the state's checkpoint.
    pub(crate) fn open_path(&mut self, state: &State) {
        if let Some(c) = state.parent.and_then(|p| self.checkpoints.get_mut(p)) {
            c.open += 1;
        }
    }

    /// The state's path is at its end.
    pub(crate) fn end_path(&mut self, state: &State) {
        let mut at = state.parent;
        while let Some(c) = at.and_then(|p| self.checkpoints.get_mut(p)) {
            c.open = c.open.saturating_sub(1);
            if c.open > 0 {
                break;
            }
            at = c.parent;
        }
    }

    /// Compares the state with those seen here; true if its path need not be followed. Else remembers it, if that
    /// is likely to pay.
    pub(crate) fn visit(&mut self, state: &mut State) -> Check<bool> {
        let pc = state.pc;
        // Loops through callbacks and iterators end by themselves: here it is enough that nothing new is known.
        let resumed = std::mem::take(&mut state.resumed);
        let (calls_back, ends) = match self.code.insn(pc) {
            Some(Insn::Call { helper }) => (helpers::calls_back(helper), resumed),
            Some(Insn::CallKfunc { btf_id, .. }) => {
                (iterators::is_next(self.input, btf_id), self.iterates(state))
            }
            _ => (false, false),
        };
        let since_jumps = self.jumps - self.checkpoints.last_jumps;
        let since_instructions = self.instructions - self.checkpoints.last_instructions;
        let mut remember = calls_back || since_jumps >= 2 && since_instructions >= 8;
        let list = match self.checkpoints.at.get_mut(pc) {
            Some(list) => std::mem::take(list),
            None => return Ok(false),
        };
        let mut kept = Vec::with_capacity(list.len() + 1);
        let mut covered = None;
        for (position, &index) in list.iter().enumerate() {
            if covered.is_some() {
                kept.extend_from_slice(list.get(position..).unwrap_or_default());
                break;
            }
            let Some(c) = self.checkpoints.all.get(index as usize) else {
                continue;
            };
            let Some(old) = &c.state else { continue };
            let cover = Cover {
                dag: &self.dag,
                live: &self.code.live,
                maps: self.input.maps,
            };
            let hit = if c.open > 0 {
                if calls_back && ends {
                    cover.states(old, state, Closeness::Whole)
                } else {
                    if same_registers(old, state) && cover.states(old, state, Closeness::Equal) {
                        return reject(
                            RejectKind::InfiniteLoop,
                            "this loop never ends: nothing has changed when it comes back here",
                        );
                    }
                    if since_jumps < 20 && since_instructions < 100 {
                        remember = false;
                    }
                    false
                }
            } else {
                cover.states(old, state, Closeness::Relevant)
            };
            if hit {
                covered = Some(index);
                kept.push(index);
                continue;
            }
            if let Some(c) = self.checkpoints.get_mut(index) {
                c.misses += 1;
                let patience = if calls_back { 64 } else { 3 };
                if c.misses > c.hits * patience + patience {
                    c.state = None;
                } else {
                    kept.push(index);
                }
            }
        }
        if let Some(place) = self.checkpoints.at.get_mut(pc) {
            *place = kept;
        }
        if let Some(index) = covered {
            self.rest_on(index, state);
            return Ok(true);
        }
        if remember {
            self.remember(state);
        }
        Ok(false)
    }

    /// The verdict on `state` is that of the checkpoint: what mattered there matters here.
    fn rest_on(&mut self, index: u32, state: &State) {
        let Some(c) = self.checkpoints.get_mut(index) else {
            return;
        };
        c.hits += 1;
        if c.open > 0 {
            // What will matter there is not known yet, so everything does.
            for frame in &state.frames {
                for reg in &frame.regs {
                    self.dag.mark(reg.node);
                }
                for slot in &frame.stack {
                    self.dag.mark(slot.reg.node);
                    self.dag.mark(slot.read);
                }
            }
            return;
        }
        let Some(old) = self
            .checkpoints
            .all
            .get(index as usize)
            .and_then(|c| c.state.as_ref())
        else {
            return;
        };
        let dag = &mut self.dag;
        for (old, new) in old.frames.iter().zip(&state.frames) {
            for (old, new) in old.regs.iter().zip(&new.regs) {
                if dag.is_marked(old.node) {
                    dag.mark(new.node);
                }
            }
            for (old, new) in old.stack.iter().zip(&new.stack) {
                if dag.is_marked(old.read) {
                    dag.mark(new.read);
                }
                if dag.is_marked(old.reg.node) {
                    dag.mark(new.reg.node);
                }
            }
        }
    }

    fn remember(&mut self, state: &mut State) {
        for frame in &mut state.frames {
            for reg in &mut frame.regs {
                if reg.kind != Kind::Uninit {
                    reg.node = self.dag.fresh(reg.node, Node::ROOT);
                }
            }
            for slot in &mut frame.stack {
                slot.read = self.dag.fresh(slot.read, Node::ROOT);
                if slot.is_spill() {
                    slot.reg.node = self.dag.fresh(slot.reg.node, Node::ROOT);
                }
            }
        }
        self.checkpoints.last_jumps = self.jumps;
        self.checkpoints.last_instructions = self.instructions;
        let index = u32::try_from(self.checkpoints.all.len()).unwrap_or(u32::MAX);
        let parent = state.parent;
        self.checkpoints.all.push(Checkpoint {
            state: Some(state.clone()),
            parent,
            open: 1,
            hits: 0,
            misses: 0,
        });
        state.parent = Some(index);
        if let Some(list) = self.checkpoints.at.get_mut(state.pc) {
            list.push(index);
        }
    }

    /// Forgets numbers that differ from those at the last visit of this instruction on this path and that nothing
    /// rests on, so that a loop through a callback comes to an end.
    pub(crate) fn widen(&mut self, state: &mut State) {
        self.widen_from(state, state.parent);
    }

    /// As [`widen`](Self::widen), for a state of which the newest checkpoint is this visit's.
    pub(crate) fn widen_again(&mut self, state: &mut State) {
        let newest = state.parent.and_then(|p| self.checkpoints.get_mut(p));
        let before = newest.and_then(|c| c.parent);
        self.widen_from(state, before);
    }

    fn widen_from(&self, state: &mut State, mut at: Option<u32>) {
        let old = loop {
            let Some(c) = at.and_then(|p| self.checkpoints.all.get(p as usize)) else {
                return;
            };
            match &c.state {
                Some(old) if old.pc == state.pc && old.frames.len() == state.frames.len() => {
                    break old;
                }
                _ => at = c.parent,
            }
        };
        let dag = &self.dag;
        let widen = |old: &Reg, new: &mut Reg| {
            let same = old.num == new.num && old.id == new.id;
            if old.is_scalar()
                && new.is_scalar()
                && !same
                && !dag.is_marked(old.node)
                && !dag.is_marked(new.node)
            {
                *new = Reg::scalar(crate::scalar::Scalar::UNKNOWN, new.node);
            }
        };
        for (old, new) in old.frames.iter().zip(&mut state.frames) {
            for (old, new) in old.regs.iter().zip(&mut new.regs) {
                widen(old, new);
            }
            for (old, new) in old.stack.iter().zip(&mut new.stack) {
                if old.is_spill() && new.is_spill() {
                    widen(&old.reg, &mut new.reg);
                }
            }
        }
    }
}

/// A quick look whether a loop may have changed nothing.
fn same_registers(old: &State, new: &State) -> bool {
    old.frames.len() == new.frames.len()
        && old
            .frame()
            .regs
            .iter()
            .zip(&new.frame().regs)
            .all(|(a, b)| a.kind == b.kind && a.off == b.off && a.num == b.num)
}

/// The comparison of two states.
struct Cover<'a> {
    dag: &'a Dag,
    live: &'a [u16],
    maps: &'a [MapDef],
}

/// Which ids of the old state stand for which of the new.
#[derive(Default)]
struct Ids(Vec<(u32, u32)>);

impl Ids {
    /// Whether the pair goes with those seen before; each id stands for one other.
    fn pair(&mut self, old: u32, new: u32) -> bool {
        if (old == 0) != (new == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for &(a, b) in &self.0 {
            if a == old || b == new {
                return a == old && b == new;
            }
        }
        self.0.push((old, new));
        true
    }

    /// For linked numbers it is enough that those linked in the old state are so in the new.
    fn link(&mut self, old: u32, new: u32) -> bool {
        if old == 0 {
            return true;
        }
        if new == 0 {
            return !self.0.iter().any(|(a, _)| *a == old) && {
                self.0.push((old, u32::MAX));
                true
            };
        }
        match self.0.iter().find(|(a, _)| *a == old) {
            Some(&(_, b)) => b == new,
            None => {
                self.0.push((old, new));
                true
            }
        }
    }
}

impl Cover<'_> {
    /// Whether a path from `new` can do nothing that one from `old` cannot.
    fn states(&self, old: &State, new: &State, closeness: Closeness) -> bool {
        if old.frames.len() != new.frames.len() || old.references.len() != new.references.len() {
            return false;
        }
        let mut ids = Ids::default();
        let innermost = old.frames.len() - 1;
        for (i, (a, b)) in old.frames.iter().zip(&new.frames).enumerate() {
            if a.callsite != b.callsite || a.callback != b.callback || a.function != b.function {
                return false;
            }
            // With fewer rounds behind it the old state had more rounds to go.
            let same_rounds = a.callback_depth == b.callback_depth;
            if a.callback_depth > b.callback_depth || closeness == Closeness::Equal && !same_rounds
            {
                return false;
            }
            // A frame that waits for a call goes on at the call itself.
            let at = match old.frames.get(i + 1) {
                Some(inner) if i < innermost => inner.callsite,
                _ => old.pc,
            };
            let live = if closeness == Closeness::Equal {
                u16::MAX
            } else {
                self.live.get(at).copied().unwrap_or(u16::MAX)
            };
            if !self.frames(a, b, live, closeness, &mut ids) {
                return false;
            }
        }
        let references = old
            .references
            .iter()
            .zip(&new.references)
            .all(|(a, b)| ids.pair(a.id, b.id));
        let lock = match (&old.lock, &new.lock) {
            (None, None) => true,
            (Some(a), Some(b)) => a.map == b.map && ids.pair(a.id, b.id),
            _ => false,
        };
        references && lock
    }

    fn frames(&self, a: &Frame, b: &Frame, live: u16, c: Closeness, ids: &mut Ids) -> bool {
        for name in RegName::ALL.iter().take(10) {
            if live & (1 << name.index()) != 0 && !self.regs(a.reg(*name), b.reg(*name), c, ids) {
                return false;
            }
        }
        let empty = Slot::EMPTY;
        for (i, old) in a.stack.iter().enumerate() {
            let new = b.stack.get(i).unwrap_or(&empty);
            if !self.slots(old, new, c, ids) {
                return false;
            }
        }
        c != Closeness::Equal || a.stack.len() == b.stack.len()
    }

    fn slots(&self, old: &Slot, new: &Slot, c: Closeness, ids: &mut Ids) -> bool {
        let iterator = |s: &Slot| s.bytes.contains(&Byte::Iterator);
        if iterator(old) || iterator(new) {
            let rounds = c != Closeness::Equal || old.reg.range == new.reg.range;
            return old.bytes == new.bytes
                && old.reg.kind == new.reg.kind
                && rounds
                && ids.pair(old.reg.reference, new.reg.reference);
        }
        if c == Closeness::Relevant && !self.dag.is_marked(old.read) {
            return true;
        }
        if c == Closeness::Equal && old.bytes != new.bytes {
            return false;
        }
        for (a, b) in old.bytes.iter().zip(&new.bytes) {
            let fine = match (a, b) {
                (Byte::Invalid | Byte::Misc, _) => true,
                (Byte::Zero, Byte::Zero) => true,
                (Byte::Spill, Byte::Spill) => true,
                // A saved number of which nothing is known, or nothing matters, is as good as any bytes.
                (Byte::Spill, Byte::Misc | Byte::Zero | Byte::Invalid) => {
                    old.reg.is_scalar()
                        && (old.reg.num.is_unknown() && old.reg.id == 0
                            || c == Closeness::Relevant && !self.dag.is_marked(old.reg.node))
                }
                _ => false,
            };
            if !fine {
                return false;
            }
        }
        if old.is_spill() && new.is_spill() {
            return old.spill_size() == new.spill_size() && self.regs(&old.reg, &new.reg, c, ids);
        }
        true
    }

    fn regs(&self, old: &Reg, new: &Reg, c: Closeness, ids: &mut Ids) -> bool {
        if c == Closeness::Equal {
            return old.kind == new.kind
                && old.nullable == new.nullable
                && old.off == new.off
                && old.num == new.num
                && old.range == new.range
                && old.delta == new.delta
                && ids.pair(old.id, new.id)
                && ids.pair(old.reference, new.reference);
        }
        if old.kind == Kind::Uninit {
            return true;
        }
        if old.kind != new.kind || old.nullable != new.nullable {
            return false;
        }
        match old.kind {
            Kind::Scalar => {
                if c == Closeness::Relevant && !self.dag.is_marked(old.node) {
                    return true;
                }
                old.num.includes(&new.num)
                    && (old.id == 0 || old.delta == new.delta)
                    && ids.link(old.id, new.id)
            }
            Kind::Packet | Kind::PacketMeta => {
                old.off == new.off
                    && old.range <= new.range
                    && old.num.includes(&new.num)
                    && ids.pair(old.id, new.id)
            }
            Kind::MapValue(map) => {
                let locked = self
                    .maps
                    .get(map.index as usize)
                    .is_some_and(|m| m.spin_lock.is_some() || m.inner.is_some());
                old.off == new.off
                    && old.num.includes(&new.num)
                    && (!old.nullable && !locked || ids.pair(old.id, new.id))
            }
            _ => {
                old.off == new.off
                    && old.num.includes(&new.num)
                    && ids.pair(old.id, new.id)
                    && ids.pair(old.reference, new.reference)
            }
        }
    }
}
