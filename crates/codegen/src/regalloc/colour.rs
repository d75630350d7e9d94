//! Colouring by iterated register coalescing (George and Appel, 1996).
//!
//! Simplify, coalesce, freeze and choose what to spill until no node is left; then give colours in reverse. Copies between
//! registers that do not interfere vanish whenever that cannot make the graph uncolourable.

use std::collections::VecDeque;

use beetrace_isa::Reg;

use super::graph::Graph;
use crate::emit::mir::{FIRST_VIRTUAL, VReg};

/// `r0` to `r9`.
const COLOURS: usize = 10;

/// The order colours are tried in: what calls destroy first, so that a program saves few registers.
const PREFERENCE: [Reg; COLOURS] = [
    Reg::R1,
    Reg::R2,
    Reg::R3,
    Reg::R4,
    Reg::R5,
    Reg::R0,
    Reg::R6,
    Reg::R7,
    Reg::R8,
    Reg::R9,
];

/// What colouring came to.
pub(crate) enum Colouring {
    /// A machine register for every register.
    Done(Vec<Option<Reg>>),
    /// These must go to memory first; the registers of one group were to be one.
    Spill(Vec<Vec<VReg>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not in the function.
    Absent,
    Fixed,
    /// Few neighbours and part of no copy that may still vanish.
    Simple,
    /// Few neighbours, but part of such a copy.
    Freezable,
    /// Too many neighbours.
    Spillable,
    OnStack,
    Coalesced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MoveState {
    Ready,
    /// Not now; perhaps when a neighbour has gone.
    Waiting,
    Done,
}

pub(crate) fn colour(graph: Graph, present: &[bool]) -> Colouring {
    let mut colourer = Colourer::new(graph, present);
    colourer.run();
    colourer.assign()
}

struct Colourer {
    graph: Graph,
    state: Vec<State>,
    degree: Vec<usize>,
    /// The register that stands for a coalesced one.
    alias: Vec<VReg>,
    moves_of: Vec<Vec<usize>>,
    move_state: Vec<MoveState>,
    simple: Vec<VReg>,
    freezable: VecDeque<VReg>,
    spillable: Vec<VReg>,
    ready: VecDeque<usize>,
    stack: Vec<VReg>,
}

impl Colourer {
    fn new(graph: Graph, present: &[bool]) -> Self {
        let regs = graph.neighbours.len();
        let mut moves_of = vec![Vec::new(); regs];
        for (i, &(dst, src)) in graph.moves.iter().enumerate() {
            moves_of[dst.index()].push(i);
            if src != dst {
                moves_of[src.index()].push(i);
            }
        }
        let move_state = vec![MoveState::Ready; graph.moves.len()];
        let mut this = Colourer {
            state: vec![State::Absent; regs],
            degree: graph.neighbours.iter().map(Vec::len).collect(),
            alias: (0..regs as u32).map(VReg).collect(),
            moves_of,
            ready: (0..graph.moves.len()).collect(),
            move_state,
            simple: Vec::new(),
            freezable: VecDeque::new(),
            spillable: Vec::new(),
            stack: Vec::new(),
            graph,
        };
        for state in this.state.iter_mut().take(COLOURS) {
            *state = State::Fixed;
        }
        for (index, &present) in present.iter().enumerate() {
            let reg = VReg(index as u32);
            if present && reg.is_virtual() {
                this.file(reg);
            }
        }
        this
    }

    fn run(&mut self) {
        loop {
            if let Some(reg) = self.simple.pop() {
                if self.state(reg) == State::Simple {
                    self.push(reg);
                }
            } else if let Some(copy) = self.ready.pop_front() {
                if self.move_state[copy] == MoveState::Ready {
                    self.coalesce(copy);
                }
            } else if let Some(reg) = self.freezable.pop_front() {
                if self.state(reg) == State::Freezable {
                    self.freeze(reg);
                }
            } else if let Some(reg) = self.cheapest() {
                self.freeze_moves(reg);
                self.set(reg, State::Simple);
                self.simple.push(reg);
            } else {
                return;
            }
        }
    }

    fn state(&self, reg: VReg) -> State {
        self.state[reg.index()]
    }

    fn set(&mut self, reg: VReg, state: State) {
        self.state[reg.index()] = state;
    }

    /// Puts a node into the list that its degree and copies call for.
    fn file(&mut self, reg: VReg) {
        if self.degree[reg.index()] >= COLOURS {
            self.set(reg, State::Spillable);
            self.spillable.push(reg);
        } else if self.has_moves(reg) {
            self.set(reg, State::Freezable);
            self.freezable.push_back(reg);
        } else {
            self.set(reg, State::Simple);
            self.simple.push(reg);
        }
    }

    fn has_moves(&self, reg: VReg) -> bool {
        self.moves_of[reg.index()]
            .iter()
            .any(|&m| self.move_state[m] != MoveState::Done)
    }

    /// Neighbours that are still in the graph.
    fn adjacent(&self, reg: VReg) -> Vec<VReg> {
        let gone = |n: &VReg| matches!(self.state(*n), State::OnStack | State::Coalesced);
        let all = self.graph.neighbours[reg.index()].iter();
        all.filter(|n| !gone(n)).copied().collect()
    }

    fn push(&mut self, reg: VReg) {
        self.set(reg, State::OnStack);
        self.stack.push(reg);
        for neighbour in self.adjacent(reg) {
            self.lose_neighbour(neighbour);
        }
    }

    fn lose_neighbour(&mut self, reg: VReg) {
        if self.state(reg) == State::Fixed {
            return;
        }
        let degree = &mut self.degree[reg.index()];
        *degree -= 1;
        if *degree + 1 == COLOURS {
            self.wake(reg);
            for neighbour in self.adjacent(reg) {
                self.wake(neighbour);
            }
            if self.state(reg) == State::Spillable {
                self.file(reg);
            }
        }
    }

    /// Copies that waited may work now.
    fn wake(&mut self, reg: VReg) {
        for &copy in &self.moves_of[reg.index()] {
            if self.move_state[copy] == MoveState::Waiting {
                self.move_state[copy] = MoveState::Ready;
                self.ready.push_back(copy);
            }
        }
    }

    fn root(&self, mut reg: VReg) -> VReg {
        while self.state(reg) == State::Coalesced {
            reg = self.alias[reg.index()];
        }
        reg
    }

    fn coalesce(&mut self, copy: usize) {
        let (dst, src) = self.graph.moves[copy];
        let (dst, src) = (self.root(dst), self.root(src));
        let (keep, join) = if self.state(src) == State::Fixed {
            (src, dst)
        } else {
            (dst, src)
        };
        if keep == join {
            self.move_state[copy] = MoveState::Done;
        } else if self.state(join) == State::Fixed || self.graph.interferes(keep, join) {
            self.move_state[copy] = MoveState::Done;
            self.unfreeze(join);
        } else if self.may_join(keep, join) {
            self.move_state[copy] = MoveState::Done;
            self.join(keep, join);
        } else {
            self.move_state[copy] = MoveState::Waiting;
            return;
        }
        self.unfreeze(keep);
    }

    /// A node whose last copy is settled need not wait for it.
    fn unfreeze(&mut self, reg: VReg) {
        let waits = matches!(self.state(reg), State::Freezable);
        if waits && !self.has_moves(reg) && self.degree[reg.index()] < COLOURS {
            self.set(reg, State::Simple);
            self.simple.push(reg);
        }
    }

    /// Whether joining keeps a colourable graph colourable: by George's test for a fixed register, by Briggs's else.
    fn may_join(&self, keep: VReg, join: VReg) -> bool {
        if self.state(keep) == State::Fixed {
            return self.adjacent(join).into_iter().all(|n| {
                self.state(n) == State::Fixed
                    || self.degree[n.index()] < COLOURS
                    || self.graph.interferes(n, keep)
            });
        }
        let mut all = self.adjacent(keep);
        all.extend(self.adjacent(join));
        all.sort_unstable();
        let mut significant = 0;
        let mut rest = all.as_slice();
        while let Some((&n, tail)) = rest.split_first() {
            let shared = tail.first() == Some(&n);
            // A common neighbour loses one.
            let degree = match self.state(n) {
                State::Fixed => usize::MAX,
                _ => self.degree[n.index()] - usize::from(shared),
            };
            significant += usize::from(degree >= COLOURS);
            rest = if shared { &tail[1..] } else { tail };
        }
        significant < COLOURS
    }

    fn join(&mut self, keep: VReg, join: VReg) {
        self.set(join, State::Coalesced);
        self.alias[join.index()] = keep;
        let moves = std::mem::take(&mut self.moves_of[join.index()]);
        self.moves_of[keep.index()].extend(&moves);
        for copy in moves {
            if self.move_state[copy] == MoveState::Waiting {
                self.move_state[copy] = MoveState::Ready;
                self.ready.push_back(copy);
            }
        }
        self.graph.cost[keep.index()] += self.graph.cost[join.index()];
        for neighbour in self.adjacent(join) {
            if !self.graph.interferes(neighbour, keep) {
                self.graph.add(neighbour, keep);
                for reg in [neighbour, keep] {
                    if self.state(reg) != State::Fixed {
                        self.degree[reg.index()] += 1;
                    }
                }
            }
            self.lose_neighbour(neighbour);
        }
        let few = matches!(self.state(keep), State::Freezable | State::Simple);
        if few && self.degree[keep.index()] >= COLOURS {
            self.set(keep, State::Spillable);
            self.spillable.push(keep);
        }
    }

    /// Gives up the copies of a node so that it can be simplified.
    fn freeze(&mut self, reg: VReg) {
        self.set(reg, State::Simple);
        self.simple.push(reg);
        self.freeze_moves(reg);
    }

    fn freeze_moves(&mut self, reg: VReg) {
        for copy in self.moves_of[reg.index()].clone() {
            if self.move_state[copy] == MoveState::Done {
                continue;
            }
            self.move_state[copy] = MoveState::Done;
            let (dst, src) = self.graph.moves[copy];
            let (dst, src) = (self.root(dst), self.root(src));
            self.unfreeze(if dst == self.root(reg) { src } else { dst });
        }
    }

    /// The node that is cheapest to keep in memory for the room that it makes.
    fn cheapest(&mut self) -> Option<VReg> {
        let mut spillable = std::mem::take(&mut self.spillable);
        spillable.retain(|&r| self.state(r) == State::Spillable);
        spillable.sort_unstable();
        spillable.dedup();
        let price = |r: &VReg| self.graph.cost[r.index()] / (self.degree[r.index()].max(1) as f32);
        let best = spillable
            .iter()
            .copied()
            .min_by(|a, b| price(a).total_cmp(&price(b)));
        self.spillable = spillable;
        best
    }

    fn assign(mut self) -> Colouring {
        let mut colours: Vec<Option<Reg>> = vec![None; self.state.len()];
        for reg in Reg::ALL {
            colours[reg.index()] = Some(reg);
        }
        let mut spilled = Vec::new();
        let wishes = self.wishes();
        while let Some(reg) = self.stack.pop() {
            let mut taken = [false; 11];
            for &neighbour in &self.graph.neighbours[reg.index()] {
                if let Some(colour) = colours[self.root(neighbour).index()] {
                    taken[colour.index()] = true;
                }
            }
            let wished = wishes[reg.index()]
                .iter()
                .filter_map(|&other| colours[self.root(other).index()])
                .chain(PREFERENCE)
                .find(|colour| !taken[colour.index()]);
            match wished {
                Some(colour) => colours[reg.index()] = Some(colour),
                None => spilled.push(reg),
            }
        }
        if !spilled.is_empty() {
            return Colouring::Spill(self.groups(&spilled));
        }
        for index in 0..self.state.len() {
            if self.state[index] == State::Coalesced {
                colours[index] = colours[self.root(VReg(index as u32)).index()];
            }
        }
        Colouring::Done(colours)
    }

    /// Each of the nodes with all that were coalesced into it.
    fn groups(&self, nodes: &[VReg]) -> Vec<Vec<VReg>> {
        let mut groups: Vec<Vec<VReg>> = nodes.iter().map(|&n| vec![n]).collect();
        for index in FIRST_VIRTUAL as usize..self.state.len() {
            let reg = VReg(index as u32);
            if self.state(reg) == State::Coalesced {
                let root = self.root(reg);
                if let Some(i) = nodes.iter().position(|&n| n == root) {
                    groups[i].push(reg);
                }
            }
        }
        groups
    }

    /// By node: the nodes whose colour it would like, because copies join them that were not coalesced.
    fn wishes(&self) -> Vec<Vec<VReg>> {
        let mut wishes = vec![Vec::new(); self.state.len()];
        for &(dst, src) in &self.graph.moves {
            let (dst, src) = (self.root(dst), self.root(src));
            if dst != src {
                wishes[dst.index()].push(src);
                wishes[src.index()].push(dst);
            }
        }
        wishes
    }
}
