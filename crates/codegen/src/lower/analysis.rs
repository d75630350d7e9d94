//! What the compiler must know of a script before it lowers the first statement.

use std::collections::{BTreeSet, HashSet};

use beetrace_lang::ast::BinaryOp;
use beetrace_lang::structs::StructId;
use beetrace_lang::typed::{
    Action, Call, Expr, ExprKind, MapId, Probe, Program, Stmt, StmtKind, UnaryOp, VarId,
};
use beetrace_lang::types::Type;

use super::btf::BtfFacts;
use super::walk::{Visit, walk_expr, walk_stmt};
use crate::target::Target;

/// Loops of at most that many constant rounds stay in the program; the others call a function back.
const NATIVE_ROUNDS: u64 = 64;

/// Facts about the whole script.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Maps that something is deleted from.
    pub(super) deletes_from: HashSet<MapId>,
    /// Whether anything asks for the number of a stack's frames.
    pub(super) counts_frames: bool,
}

impl Script {
    pub(super) fn new(program: &Program) -> Self {
        let mut script = Script::default();
        for probe in &program.probes {
            if let Some(predicate) = &probe.predicate {
                script.expr(predicate);
            }
            script.block(&probe.body);
        }
        script
    }
}

impl<'a> Visit<'a> for Script {
    fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Delete { map, .. } => {
                self.deletes_from.insert(*map);
            }
            ExprKind::Call(Call::StackLen(_)) => self.counts_frames = true,
            _ => {}
        }
        walk_expr(self, expr);
    }
}

/// Facts about the variables of one probe.
#[derive(Debug, Default)]
pub(super) struct ProbeFacts {
    pub(super) vars: Vec<VarFacts>,
    /// Whether any loop calls a function back.
    pub(super) has_callbacks: bool,
    /// Loops over numbers that call back: each keeps its first number in the frame.
    pub(super) range_callbacks: u32,
    /// Whether a statement in a callback ends the probe.
    pub(super) returns_from_callback: bool,
}

#[derive(Debug, Default)]
pub(super) struct VarFacts {
    /// Functions that name it: 0 is the entry, the callbacks count from 1 in the order of their loops.
    pub(super) functions: BTreeSet<u32>,
    pub(super) address_taken: bool,
    /// The variable of a loop over a map that is used as a whole, not only by its key or value.
    pub(super) is_used_whole: bool,
    /// Points to kernel memory that the verifier knows as this struct.
    pub(super) btf: Option<StructId>,
}

impl ProbeFacts {
    pub(super) fn new(program: &Program, target: &Target, probe: &Probe) -> Self {
        let mut scan = Scan {
            target,
            facts: ProbeFacts::default(),
            current: 0,
            functions: 0,
            assigned: Vec::new(),
        };
        scan.facts
            .vars
            .resize_with(probe.vars.len(), VarFacts::default);
        if let Some(predicate) = &probe.predicate {
            scan.expr(predicate);
        }
        scan.block(&probe.body);
        let Scan {
            mut facts,
            assigned,
            ..
        } = scan;
        facts.find_btf_pointers(program, target, probe, &assigned);
        facts
    }

    /// Assumes that every variable with a pointer to a struct keeps what the verifier knows, then takes back what an assignment contradicts.
    fn find_btf_pointers(
        &mut self,
        program: &Program,
        target: &Target,
        probe: &Probe,
        assigned: &[(VarId, Option<&Expr>)],
    ) {
        let mut known: Vec<Option<StructId>> = probe
            .vars
            .iter()
            .zip(&self.vars)
            .map(|(var, facts)| match &var.ty {
                Type::Pointer(to, _) if facts.functions.len() <= 1 && !facts.address_taken => {
                    match **to {
                        Type::Struct(id, _) => Some(id),
                        _ => None,
                    }
                }
                _ => None,
            })
            .collect();
        loop {
            let facts = BtfFacts {
                program,
                target,
                probe,
                vars: &known,
            };
            let wrong: Vec<usize> = assigned
                .iter()
                .filter(|(var, value)| {
                    let assumed = known.get(var.0 as usize).copied().flatten();
                    assumed.is_some() && assumed != value.and_then(|e| facts.pointer(e))
                })
                .map(|(var, _)| var.0 as usize)
                .collect();
            if wrong.is_empty() {
                break;
            }
            for index in wrong {
                if let Some(slot) = known.get_mut(index) {
                    *slot = None;
                }
            }
        }
        for (facts, known) in self.vars.iter_mut().zip(known) {
            facts.btf = known;
        }
    }

    pub(super) fn var(&self, var: VarId) -> Option<&VarFacts> {
        self.vars.get(var.0 as usize)
    }
}

/// How a loop over numbers runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangePlan {
    Native,
    Callback,
}

pub(super) fn range_plan(target: &Target, start: &Expr, end: &Expr) -> RangePlan {
    let rounds = match (constant(start), constant(end)) {
        (Some(start), Some(end)) => u64::try_from(i128::from(end) - i128::from(start)).unwrap_or(0),
        _ => u64::MAX,
    };
    if rounds <= NATIVE_ROUNDS || !target.bpf_loop {
        RangePlan::Native
    } else {
        RangePlan::Callback
    }
}

/// The value of a constant expression.
pub(super) fn constant(expr: &Expr) -> Option<i64> {
    match &expr.kind {
        ExprKind::Int(n) => Some(*n as i64),
        ExprKind::Unary {
            op: UnaryOp::Minus,
            expr,
        } => constant(expr)?.checked_neg(),
        _ => None,
    }
}

struct Scan<'a> {
    target: &'a Target,
    facts: ProbeFacts,
    current: u32,
    functions: u32,
    /// What is assigned to variables; `None` for what is no expression.
    assigned: Vec<(VarId, Option<&'a Expr>)>,
}

impl<'a> Scan<'a> {
    fn uses(&mut self, var: VarId, whole: bool) {
        let current = self.current;
        if let Some(facts) = self.facts.vars.get_mut(var.0 as usize) {
            facts.functions.insert(current);
            facts.is_used_whole |= whole;
        }
    }

    fn callback(&mut self, var: VarId, body: &'a [Stmt]) {
        self.facts.has_callbacks = true;
        self.functions += 1;
        let outer = std::mem::replace(&mut self.current, self.functions);
        self.uses(var, false);
        self.block(body);
        self.current = outer;
    }
}

impl<'a> Visit<'a> for Scan<'a> {
    fn stmt(&mut self, stmt: &'a Stmt) {
        match &stmt.kind {
            StmtKind::ForMap { var, body, .. } => {
                self.assigned.push((*var, None));
                return self.callback(*var, body);
            }
            StmtKind::ForRange {
                var,
                start,
                end,
                body,
            } => {
                self.expr(start);
                self.expr(end);
                self.assigned.push((*var, None));
                match range_plan(self.target, start, end) {
                    RangePlan::Callback => {
                        self.facts.range_callbacks += 1;
                        self.callback(*var, body);
                    }
                    RangePlan::Native => {
                        self.uses(*var, true);
                        self.block(body);
                    }
                }
                return;
            }
            StmtKind::SetVar { var, value } => {
                self.uses(*var, true);
                self.assigned.push((*var, Some(value)));
            }
            StmtKind::Declare(var) => self.uses(*var, true),
            StmtKind::Return(_) | StmtKind::Action(Action::Exit(_)) if self.current != 0 => {
                self.facts.returns_from_callback = true;
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Var(var) => self.uses(*var, true),
            ExprKind::AddressOfVar(var) => {
                self.uses(*var, true);
                if let Some(facts) = self.facts.vars.get_mut(var.0 as usize) {
                    facts.address_taken = true;
                }
            }
            ExprKind::Find { var, .. } => {
                self.uses(*var, true);
                self.assigned.push((*var, None));
            }
            ExprKind::Step { target, .. } => {
                if let ExprKind::Var(var) = target.kind {
                    self.assigned.push((var, None));
                }
            }
            ExprKind::Element { base, .. } => {
                if let ExprKind::Var(var) = base.kind {
                    return self.uses(var, false);
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}

/// The variables that statements assign, each once.
/// Callbacks have their own, so their loops are not looked into.
pub(super) fn assigned_vars<'a>(
    target: &'a Target,
    body: &'a [Stmt],
    cond: Option<&'a Expr>,
) -> Vec<VarId> {
    let mut found = Assigned {
        target,
        vars: BTreeSet::new(),
    };
    found.block(body);
    if let Some(cond) = cond {
        found.expr(cond);
    }
    found.vars.into_iter().collect()
}

struct Assigned<'t> {
    target: &'t Target,
    vars: BTreeSet<VarId>,
}

impl<'a> Visit<'a> for Assigned<'_> {
    fn stmt(&mut self, stmt: &'a Stmt) {
        match &stmt.kind {
            StmtKind::Declare(var) | StmtKind::SetVar { var, .. } => {
                self.vars.insert(*var);
            }
            StmtKind::ForMap { .. } => return,
            StmtKind::ForRange {
                var, start, end, ..
            } => {
                if range_plan(self.target, start, end) == RangePlan::Callback {
                    self.expr(start);
                    self.expr(end);
                    return;
                }
                self.vars.insert(*var);
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Find { var, .. } => {
                self.vars.insert(*var);
            }
            ExprKind::Step { target, .. } => {
                if let ExprKind::Var(var) = target.kind {
                    self.vars.insert(var);
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}

/// Whether an expression only computes: nothing it does would be missed if its result were never asked for, it never leaves
/// the probe, and it calls nothing back.
pub(super) fn is_plain(expr: &Expr) -> bool {
    let mut search = Plain(true);
    search.expr(expr);
    search.0
}

struct Plain(bool);

impl<'a> Visit<'a> for Plain {
    fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Block { .. }
            | ExprKind::Step { .. }
            | ExprKind::Delete { .. }
            | ExprKind::Find { .. }
            | ExprKind::MapLen(_)
            | ExprKind::Call(
                Call::Strstr { .. }
                | Call::Signal { .. }
                | Call::Override(_)
                | Call::WriteUser { .. }
                | Call::SkbOutput { .. },
            ) => self.0 = false,
            ExprKind::Index { index, .. } if constant(index).is_none() => self.0 = false,
            ExprKind::Binary {
                op: BinaryOp::Div | BinaryOp::Mod,
                right,
                ..
            } if constant(right).is_none() => self.0 = false,
            _ => {}
        }
        if self.0 {
            walk_expr(self, expr);
        }
    }
}
