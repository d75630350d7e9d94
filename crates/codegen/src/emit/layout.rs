//! The order of blocks: as few jumps as possible, nothing that is never reached.

use super::mir::{Label, MBlock, MEnd, MFunc};

/// Skips empty blocks, joins a block with its only successor's only predecessor, and gives the order to write blocks in,
/// the entry first.
pub(crate) fn arrange(func: &mut MFunc) -> Vec<Label> {
    thread(func);
    join(func);
    order(func)
}

/// Jumps to a block that only jumps on go to where that one goes.
fn thread(func: &mut MFunc) {
    let goal: Vec<Label> = (0..func.blocks.len())
        .map(|label| {
            let mut at = label;
            // A loop of empty blocks has no end: any block of it will do.
            for _ in 0..func.blocks.len() {
                match &func.blocks[at] {
                    MBlock {
                        insts,
                        end: MEnd::Jump(next),
                        ..
                    } if insts.is_empty() => at = *next,
                    _ => break,
                }
            }
            at
        })
        .collect();
    for block in &mut func.blocks {
        match &mut block.end {
            MEnd::Jump(target) => *target = goal[*target],
            MEnd::Branch {
                then, otherwise, ..
            } => {
                *then = goal[*then];
                *otherwise = goal[*otherwise];
                if then == otherwise {
                    block.end = MEnd::Jump(*then);
                }
            }
            MEnd::Exit => {}
        }
    }
}

fn join(func: &mut MFunc) {
    let mut label = 0;
    let mut preds = predecessors(func);
    while label < func.blocks.len() {
        match func.blocks[label].end {
            MEnd::Jump(next) if preds[label] > 0 && preds[next] == 1 && next != label => {
                let tail = func.blocks[next].clone();
                preds[next] = 0;
                func.blocks[next].insts.clear();
                func.blocks[next].end = MEnd::Exit;
                let block = &mut func.blocks[label];
                block.insts.extend(tail.insts);
                block.end = tail.end;
                block.end_span = tail.end_span;
            }
            _ => label += 1,
        }
    }
}

/// How many jumps lead to each block, from blocks that are reached.
pub(crate) fn predecessors(func: &MFunc) -> Vec<u32> {
    let mut preds = vec![0; func.blocks.len()];
    preds[0] = 1;
    let mut seen = vec![false; func.blocks.len()];
    let mut work = vec![0];
    seen[0] = true;
    while let Some(label) = work.pop() {
        for target in func.blocks[label].end.targets() {
            preds[target] += 1;
            if !std::mem::replace(&mut seen[target], true) {
                work.push(target);
            }
        }
    }
    preds
}

/// Follows control from block to block, along what is likely, and prefers a successor whose other predecessors are all placed.
/// What is unlikely comes last.
fn order(func: &MFunc) -> Vec<Label> {
    let mut placer = Placer {
        func,
        waiting: predecessors(func),
        bodies: loop_bodies(func),
        placed: vec![false; func.blocks.len()],
        order: Vec::new(),
        open: vec![0],
        unlikely: Vec::new(),
    };
    while let Some(start) = placer.open.pop().or_else(|| placer.unlikely.pop()) {
        placer.trace(start);
    }
    placer.order
}

struct Placer<'a> {
    func: &'a MFunc,
    /// How many predecessors of each block are not placed yet.
    waiting: Vec<u32>,
    /// By head of a loop: where the loop goes on from there.
    bodies: Vec<Option<Label>>,
    placed: Vec<bool>,
    order: Vec<Label>,
    open: Vec<Label>,
    unlikely: Vec<Label>,
}

impl Placer<'_> {
    fn trace(&mut self, start: Label) {
        let mut next = Some(start);
        while let Some(at) = next {
            if std::mem::replace(&mut self.placed[at], true) {
                return;
            }
            self.order.push(at);
            for target in self.func.blocks[at].end.targets() {
                self.waiting[target] -= 1;
            }
            next = self.next(at).map(|next| self.turned(next));
        }
    }

    /// The block to put behind another; the other target is put off.
    fn next(&mut self, at: Label) -> Option<Label> {
        let (then, otherwise, likely) = match self.func.blocks[at].end {
            MEnd::Exit => return None,
            MEnd::Jump(target) => return (!self.placed[target]).then_some(target),
            MEnd::Branch {
                then,
                otherwise,
                likely,
                ..
            } => (then, otherwise, likely),
        };
        let (taken, rare) = match likely {
            Some(true) => (then, otherwise),
            Some(false) => (otherwise, then),
            None => {
                // The arm that is not taken falls through where nothing else decides.
                let first = if self.waiting[then] < self.waiting[otherwise] {
                    (then, otherwise)
                } else {
                    (otherwise, then)
                };
                return self.either(first.0, first.1);
            }
        };
        // A detour costs a jump back if it is not on the way.
        if self.func.blocks[rare].end == MEnd::Jump(taken) {
            return self.either(rare, taken);
        }
        if self.placed[taken] {
            return (!self.placed[rare]).then_some(rare);
        }
        self.unlikely.push(rare);
        Some(taken)
    }

    fn either(&mut self, first: Label, second: Label) -> Option<Label> {
        if self.placed[first] {
            return (!self.placed[second]).then_some(second);
        }
        self.open.push(second);
        Some(first)
    }

    /// The body of a loop goes before its head, which then needs no jump back to it.
    fn turned(&mut self, next: Label) -> Label {
        match self.bodies[next] {
            Some(body) if !self.placed[next] && !self.placed[body] => {
                self.open.push(next);
                body
            }
            _ => next,
        }
    }
}

/// For each block that decides whether a loop goes on, and that the loop jumps back to: where it goes on.
fn loop_bodies(func: &MFunc) -> Vec<Option<Label>> {
    let mut bodies = vec![None; func.blocks.len()];
    for (latch, block) in func.blocks.iter().enumerate() {
        let MEnd::Jump(head) = block.end else {
            continue;
        };
        let MEnd::Branch {
            then, otherwise, ..
        } = func.blocks[head].end
        else {
            continue;
        };
        let goes_on = |from| reaches(func, from, latch, head);
        bodies[head] = match (goes_on(then), goes_on(otherwise)) {
            (true, false) => Some(then),
            (false, true) => Some(otherwise),
            _ => bodies[head],
        };
    }
    bodies
}

/// Whether control may come from one block to another without going through a third.
fn reaches(func: &MFunc, from: Label, to: Label, without: Label) -> bool {
    let mut seen = vec![false; func.blocks.len()];
    let mut work = vec![from];
    while let Some(at) = work.pop() {
        if at == without || std::mem::replace(&mut seen[at], true) {
            continue;
        }
        if at == to {
            return true;
        }
        work.extend(func.blocks[at].end.targets());
    }
    false
}
