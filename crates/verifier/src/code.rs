//! The program by slots: functions, jumps, and the points worth remembering.

use beetrace_isa::{Imm64, Insn, JmpOp, Reg, Src};

use crate::helpers;
use crate::iterators;
use crate::program::{FunctionLinkage, ProgramInput};
use crate::reject::{Check, RejectKind, reject};

/// A function of the program.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub name: String,
    /// First slot.
    pub start: usize,
    /// The slot behind the last.
    pub end: usize,
    pub linkage: FunctionLinkage,
    pub returns_int: bool,
}

/// A program whose control flow was found right.
#[derive(Debug)]
pub(crate) struct Code {
    /// By slot; `None` where the second half of a 64-bit load is.
    pub insns: Vec<Option<Insn>>,
    /// By rising start.
    pub functions: Vec<Function>,
    /// Slots at which a state is compared with earlier ones.
    pub prune: Vec<bool>,
    /// Registers that may be read from each slot on, a bit each.
    pub live: Vec<u16>,
    /// By function, whether it or one that it calls may move the packet.
    pub changes_packet: Vec<bool>,
}

/// Where control goes from an instruction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Successors {
    pub next: Option<usize>,
    pub jump: Option<usize>,
}

/// The most instruction slots (`BPF_COMPLEXITY_LIMIT_INSNS`).
const MAX_SLOTS: usize = 1_000_000;
/// The most functions (`BPF_MAX_SUBPROGS`).
const MAX_FUNCTIONS: usize = 256;

/// An error and the slot where it is.
pub(crate) type At<T> = Result<T, (usize, Box<crate::reject::Stop>)>;

fn at<T>(slot: usize, check: Check<T>) -> At<T> {
    check.map_err(|stop| (slot, stop))
}

impl Code {
    pub(crate) fn new(input: &ProgramInput<'_>) -> At<Code> {
        let mut insns = Vec::new();
        for insn in input.insns {
            insns.push(Some(*insn));
            if insn.slots() == 2 {
                insns.push(None);
            }
        }
        if insns.is_empty() || insns.len() > MAX_SLOTS {
            return at(
                0,
                reject(
                    RejectKind::Instruction,
                    format!(
                        "a program has 1 to {MAX_SLOTS} instructions, not {}",
                        insns.len()
                    ),
                ),
            );
        }
        let functions = functions(input, &insns)?;
        let prune = vec![false; insns.len()];
        let live = vec![0; insns.len()];
        let mut code = Code {
            insns,
            functions,
            prune,
            live,
            changes_packet: Vec::new(),
        };
        code.check_jumps()?;
        code.check_reachable()?;
        code.mark_prune_points(input);
        code.find_live();
        code.find_packet_changes();
        Ok(code)
    }

    pub(crate) fn insn(&self, slot: usize) -> Option<Insn> {
        self.insns.get(slot).copied().flatten()
    }

    /// The function that the slot belongs to.
    pub(crate) fn function_at(&self, slot: usize) -> usize {
        self.functions
            .partition_point(|f| f.start <= slot)
            .saturating_sub(1)
    }

    /// The function that starts at the slot.
    pub(crate) fn function_starting(&self, slot: usize) -> Option<usize> {
        self.functions.binary_search_by_key(&slot, |f| f.start).ok()
    }

    pub(crate) fn successors(&self, slot: usize) -> Successors {
        let Some(insn) = self.insn(slot) else {
            return Successors::default();
        };
        let next = Some(slot + insn.slots());
        match insn {
            Insn::Exit => Successors::default(),
            Insn::Ja { off } => Successors {
                next: None,
                jump: target(slot, off.into()),
            },
            Insn::Jmp { off, .. } => Successors {
                next,
                jump: target(slot, off.into()),
            },
            _ => Successors { next, jump: None },
        }
    }

    /// Every jump stays in its function, and no function runs past its end.
    fn check_jumps(&self) -> At<()> {
        for function in &self.functions {
            let inside = |slot: usize| {
                (function.start..function.end).contains(&slot) && self.insn(slot).is_some()
            };
            for slot in function.start..function.end {
                let Some(insn) = self.insn(slot) else {
                    continue;
                };
                if matches!(insn, Insn::Ja { .. } | Insn::Jmp { .. })
                    && !self.successors(slot).jump.is_some_and(inside)
                {
                    return at(
                        slot,
                        reject(
                            RejectKind::ControlFlow,
                            "the jump leads out of the function or into the middle of an instruction",
                        ),
                    );
                }
                if slot + insn.slots() >= function.end
                    && !matches!(insn, Insn::Exit | Insn::Ja { .. })
                {
                    return at(
                        slot,
                        reject(
                            RejectKind::ControlFlow,
                            format!(
                                "function `{}` runs past its last instruction",
                                function.name
                            ),
                        ),
                    );
                }
            }
        }
        Ok(())
    }

    /// Every instruction can be reached from the entry, by jumps and calls.
    fn check_reachable(&self) -> At<()> {
        let mut seen = vec![false; self.insns.len()];
        let mut work = vec![0];
        while let Some(slot) = work.pop() {
            match seen.get_mut(slot) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            let s = self.successors(slot);
            work.extend(s.next);
            work.extend(s.jump);
            if let Some(insn) = self.insn(slot) {
                work.extend(callee(slot, &insn));
            }
        }
        for (slot, (insn, seen)) in self.insns.iter().zip(seen).enumerate() {
            if insn.is_some() && !seen {
                return at(
                    slot,
                    reject(RejectKind::Unreachable, "no path leads to this instruction"),
                );
            }
        }
        Ok(())
    }

    fn mark_prune_points(&mut self, input: &ProgramInput<'_>) {
        let mut points = Vec::new();
        for slot in 0..self.insns.len() {
            let Some(insn) = self.insn(slot) else {
                continue;
            };
            match insn {
                Insn::Jmp { .. } | Insn::Ja { .. } => {
                    if matches!(insn, Insn::Jmp { .. }) {
                        points.push(slot);
                    }
                    points.extend(self.successors(slot).jump);
                }
                Insn::CallLocal { .. } => points.push(slot + 1),
                Insn::Call { helper } if helpers::calls_back(helper) => points.push(slot),
                Insn::CallKfunc { btf_id, .. } if iterators::is_next(input, btf_id) => {
                    points.push(slot);
                }
                _ => {}
            }
        }
        for slot in points {
            if let Some(p) = self.prune.get_mut(slot) {
                *p = true;
            }
        }
    }

    /// Which registers may be read before they are written: backwards, again where something has changed behind.
    fn find_live(&mut self) {
        let mut before = vec![Vec::new(); self.insns.len()];
        for slot in 0..self.insns.len() {
            let s = self.successors(slot);
            let called = self.insn(slot).and_then(|insn| callee(slot, &insn));
            for next in [s.next, s.jump, called].into_iter().flatten() {
                if let Some(list) = before.get_mut(next) {
                    list.push(slot);
                }
            }
        }
        let mut work: Vec<usize> = (0..self.insns.len()).collect();
        let mut waiting = vec![true; self.insns.len()];
        while let Some(slot) = work.pop() {
            waiting[slot] = false;
            let Some(insn) = self.insn(slot) else {
                continue;
            };
            let s = self.successors(slot);
            let after = [s.next, s.jump]
                .into_iter()
                .flatten()
                .filter_map(|n| self.live.get(n))
                .fold(0, |all, live| all | live);
            let (reads, writes) = self.uses(slot, &insn);
            let live = (after & !writes) | reads;
            if self.live[slot] != live {
                self.live[slot] = live;
                for &slot in &before[slot] {
                    if !waiting[slot] {
                        waiting[slot] = true;
                        work.push(slot);
                    }
                }
            }
        }
    }

    fn find_packet_changes(&mut self) {
        let mut callers = vec![Vec::new(); self.functions.len()];
        let mut work = Vec::new();
        for slot in 0..self.insns.len() {
            let caller = self.function_at(slot);
            match self.insn(slot) {
                Some(Insn::Call { helper }) if helpers::changes_packet(helper) => work.push(caller),
                Some(insn) => {
                    let called = callee(slot, &insn).and_then(|s| self.function_starting(s));
                    if let Some(list) = called.and_then(|f| callers.get_mut(f)) {
                        list.push(caller);
                    }
                }
                None => {}
            }
        }
        self.changes_packet = vec![false; self.functions.len()];
        while let Some(function) = work.pop() {
            if let Some(changes) = self.changes_packet.get_mut(function)
                && !std::mem::replace(changes, true)
            {
                work.extend(callers.get(function).into_iter().flatten());
            }
        }
    }

    /// The registers that an instruction reads and those it overwrites, a bit each.
    fn uses(&self, slot: usize, insn: &Insn) -> (u16, u16) {
        let bit = |r: Reg| 1u16 << r.index();
        let src = |s: Src| match s {
            Src::Reg(r) => bit(r),
            Src::Imm(_) => 0,
        };
        const CALLER_SAVED: u16 = 0b11_1111;
        match *insn {
            Insn::Alu {
                op: beetrace_isa::AluOp::Mov,
                dst,
                src: s,
                ..
            } => (src(s), bit(dst)),
            Insn::Alu { dst, src: s, .. } => (bit(dst) | src(s), bit(dst)),
            Insn::Neg { dst, .. } | Insn::Endian { dst, .. } => (bit(dst), bit(dst)),
            Insn::MovSx { dst, src, .. } => (bit(src), bit(dst)),
            Insn::LdImm64 { dst, .. } => (0, bit(dst)),
            Insn::Load { dst, src, .. } => (bit(src), bit(dst)),
            Insn::Store { dst, src: s, .. } => (bit(dst) | src(s), 0),
            Insn::Atomic { op, dst, src, .. } => {
                let mut reads = bit(dst) | bit(src);
                if op == beetrace_isa::AtomicOp::CmpXchg {
                    reads |= bit(Reg::R0);
                }
                (reads, 0)
            }
            Insn::Ja { .. } => (0, 0),
            Insn::Jmp { dst, src: s, .. } => (bit(dst) | src(s), 0),
            Insn::Call { helper } => {
                let count = helpers::prototype(helper).map_or(5, |p| p.arguments.len());
                (((1u16 << count) - 1) << 1, CALLER_SAVED)
            }
            Insn::CallLocal { .. } => {
                let first = callee(slot, insn).and_then(|s| self.live.get(s));
                (first.copied().unwrap_or(0) & 0b11_1110, CALLER_SAVED)
            }
            Insn::CallKfunc { .. } => (0b11_1110, CALLER_SAVED),
            Insn::Exit => (bit(Reg::R0), 0),
            Insn::LdAbs { .. } => (bit(Reg::R6), CALLER_SAVED),
            Insn::LdInd { src, .. } => (bit(Reg::R6) | bit(src), CALLER_SAVED),
        }
    }
}

/// The slot that a jump or call of this distance leads to.
pub(crate) fn target(slot: usize, off: i64) -> Option<usize> {
    usize::try_from(i64::try_from(slot).ok()?.checked_add(1)?.checked_add(off)?).ok()
}

/// The function that the instruction calls or takes the address of.
fn callee(slot: usize, insn: &Insn) -> Option<usize> {
    match insn {
        Insn::CallLocal { rel } => target(slot, (*rel).into()),
        Insn::LdImm64 {
            imm: Imm64::Func(rel),
            ..
        } => target(slot, (*rel).into()),
        _ => None,
    }
}

/// The functions that are listed, called, or taken the address of.
fn functions(input: &ProgramInput<'_>, insns: &[Option<Insn>]) -> At<Vec<Function>> {
    let mut starts = vec![0usize];
    for (slot, insn) in insns.iter().enumerate() {
        let Some(insn) = insn else { continue };
        if let Insn::CallLocal { .. }
        | Insn::LdImm64 {
            imm: Imm64::Func(_),
            ..
        } = insn
        {
            match callee(slot, insn) {
                Some(start) if insns.get(start).is_some_and(Option::is_some) => {
                    starts.push(start);
                }
                _ => {
                    return at(
                        slot,
                        reject(RejectKind::ControlFlow, "the call leads out of the program"),
                    );
                }
            }
        }
    }
    starts.extend(
        input
            .functions
            .iter()
            .map(|f| f.start as usize)
            .filter(|start| insns.get(*start).is_some_and(Option::is_some)),
    );
    starts.sort_unstable();
    starts.dedup();
    let mut out: Vec<Function> = Vec::new();
    for start in starts {
        if let Some(last) = out.last_mut() {
            last.end = start;
        }
        let def = input.functions.iter().find(|f| f.start as usize == start);
        out.push(Function {
            name: def.map_or_else(|| format!("function@{start}"), |d| d.name.clone()),
            start,
            end: insns.len(),
            linkage: def.map_or(FunctionLinkage::Static, |d| d.linkage.clone()),
            returns_int: def.is_some_and(|d| d.returns_int),
        });
    }
    if out.len() > MAX_FUNCTIONS {
        return at(
            0,
            reject(
                RejectKind::ControlFlow,
                format!("a program has at most {MAX_FUNCTIONS} functions"),
            ),
        );
    }
    Ok(out)
}

/// Whether the comparison is one of equality.
pub(crate) fn is_equality(op: JmpOp) -> bool {
    matches!(op, JmpOp::Eq | JmpOp::Ne)
}
