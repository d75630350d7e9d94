//! Branches whose outcome the way to them implies: the same two values were compared before.

use beetrace_isa::{JmpOp, Width};

use crate::ir::cfg::Cfg;
use crate::ir::{Block, Function, Terminator, Value};

/// How far up the dominators are searched.
const DISTANCE: usize = 64;

/// Two values compared with each other.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Test {
    op: JmpOp,
    width: Width,
    left: Value,
    right: Value,
}

/// Turns branches that are decided already into jumps. True where anything changed.
pub(crate) fn remove_implied(function: &mut Function) -> bool {
    let cfg = Cfg::new(function);
    let mut changed = false;
    for &block in &cfg.order {
        let Terminator::Branch {
            then, otherwise, ..
        } = &function.blocks[block.0 as usize].end
        else {
            continue;
        };
        let Some((test, _)) = test_of(function, block) else {
            continue;
        };
        if let Some(holds) = outcome(function, &cfg, block, test) {
            let target = if holds { then } else { otherwise };
            function.blocks[block.0 as usize].end = Terminator::Jump(target.clone());
            changed = true;
        }
    }
    changed
}

/// What a block compares at its end, and the blocks that it goes to where that holds and where not.
fn test_of(function: &Function, block: Block) -> Option<(Test, [Block; 2])> {
    match &function.blocks[block.0 as usize].end {
        Terminator::Branch {
            op,
            width,
            left,
            right,
            then,
            otherwise,
        } => Some((
            Test {
                op: *op,
                width: *width,
                left: *left,
                right: *right,
            },
            [then.block, otherwise.block],
        )),
        _ => None,
    }
}

fn outcome(function: &Function, cfg: &Cfg, block: Block, test: Test) -> Option<bool> {
    let mut at = block;
    for _ in 0..DISTANCE {
        if let [pred] = cfg.preds[at.0 as usize].as_slice() {
            // The blocks between are part of no choice only where one edge leads here.
            if let Some((known, [then, otherwise])) = test_of(function, *pred)
                && then != otherwise
            {
                let implied = implies(known, at == then, test);
                if implied.is_some() {
                    return implied;
                }
            }
        }
        at = cfg.idom(at)?;
    }
    None
}

/// Whether a test must hold, or cannot, when another did or did not.
fn implies(known: Test, held: bool, test: Test) -> Option<bool> {
    if (known.width, known.left, known.right) != (test.width, test.left, test.right) {
        return None;
    }
    if known.op == test.op {
        return Some(held);
    }
    let op = if held { known.op } else { known.op.negate()? };
    let (known_orders, test_orders) = (orders(op)?, orders(test.op)?);
    // Signed and unsigned order agree on what is equal alone.
    let is_mixed = op.is_signed() != test.op.is_signed();
    let is_equality = |op| matches!(op, JmpOp::Eq | JmpOp::Ne);
    if is_mixed && !is_equality(op) && !is_equality(test.op) {
        return None;
    }
    if known_orders & !test_orders == 0 {
        return Some(true);
    }
    (known_orders & test_orders == 0).then_some(false)
}

/// The orders of two numbers in which a comparison holds: less, equal, greater.
fn orders(op: JmpOp) -> Option<u8> {
    Some(match op {
        JmpOp::Lt | JmpOp::Slt => 0b100,
        JmpOp::Le | JmpOp::Sle => 0b110,
        JmpOp::Eq => 0b010,
        JmpOp::Ge | JmpOp::Sge => 0b011,
        JmpOp::Gt | JmpOp::Sgt => 0b001,
        JmpOp::Ne => 0b101,
        JmpOp::Set => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn a_second_check_is_not_made() {
        check(
            &[remove_implied],
            "block0:
             v1 = const 0
             br ne.64 v0, v1, block1, block4
             block1:
             br sgt.64 v0, v1, block2, block3
             block2:
             jump block3
             block3:
             br eq.64 v0, v1, block4, block5
             block4:
             ret v0
             block5:
             ret v1",
            "block0:
             v1 = const 0
             br ne.64 v0, v1, block1, block4
             block1:
             br sgt.64 v0, v1, block2, block3
             block2:
             jump block3
             block3:
             jump block5
             block4:
             ret v0
             block5:
             ret v1",
        );
    }

    #[test]
    fn where_ways_meet_nothing_is_known() {
        let text = "block0:
             v1 = const 0
             br lt.64 v0, v1, block1, block2
             block1:
             br slt.64 v0, v1, block2, block3
             block2:
             br lt.64 v0, v1, block3, block4
             block3:
             ret v0
             block4:
             ret v1";
        check(&[remove_implied], text, text);
    }

    #[test]
    fn implications_of_comparisons() {
        use JmpOp::{Eq, Ge, Gt, Le, Lt, Ne, Set, Slt};
        let test = |op| Test {
            op,
            width: Width::W64,
            left: Value(1),
            right: Value(2),
        };
        let cases = [
            (Lt, true, Le, Some(true)),
            (Lt, true, Gt, Some(false)),
            (Lt, false, Ge, Some(true)),
            (Le, true, Lt, None),
            (Eq, true, Slt, Some(false)),
            (Slt, true, Ne, Some(true)),
            (Slt, true, Lt, None),
            (Ne, false, Ge, Some(true)),
            (Set, true, Set, Some(true)),
            (Set, true, Ne, None),
        ];
        for (known, held, op, expected) in cases {
            assert_eq!(
                implies(test(known), held, test(op)),
                expected,
                "{known:?} {held} {op:?}"
            );
        }
    }
}
