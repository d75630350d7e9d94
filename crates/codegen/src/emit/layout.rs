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

/// Follows control from block to block and prefers a successor whose other predecessors are all placed.
fn order(func: &MFunc) -> Vec<Label> {
    let mut waiting = predecessors(func);
    let mut placed = vec![false; func.blocks.len()];
    let mut order = Vec::new();
    let mut open = vec![0];
    while let Some(start) = open.pop() {
        let mut at = start;
        while !std::mem::replace(&mut placed[at], true) {
            order.push(at);
            let mut targets: Vec<Label> = func.blocks[at].end.targets().collect();
            for &target in &targets {
                waiting[target] -= 1;
            }
            // The arm that is not taken falls through: it comes first where nothing else decides.
            targets.reverse();
            targets.retain(|&t| !placed[t]);
            let Some(&next) = targets.iter().min_by_key(|&&t| waiting[t]) else {
                break;
            };
            open.extend(targets.into_iter().filter(|&t| t != next));
            at = next;
        }
    }
    order
}
