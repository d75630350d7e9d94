//! Rules for comparisons and branches.

use beetrace_isa::{AluOp, JmpOp, Size, Width};

use super::fold;
use super::simplify::{Change, Simplifier, constant};
use crate::ir::{Op, Terminator, Value};

/// A comparison and what it compares.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Test {
    op: JmpOp,
    width: Width,
    left: Value,
    right: Value,
}

/// What is known of a test.
enum Outcome {
    Always(bool),
    /// The same as this one.
    Same(Test),
    /// The opposite of this one, which has none of its own.
    Opposite(Test),
}

impl Simplifier {
    pub(crate) fn compare(
        &mut self,
        op: JmpOp,
        width: Width,
        left: Value,
        right: Value,
    ) -> Option<Change> {
        let test = Test {
            op,
            width,
            left,
            right,
        };
        // A boolean that is compared with a boolean constant is that boolean, or its opposite.
        if self.facts.known(left).max() <= 1
            && let Some(n @ (0 | 1)) = self.facts.constant(right)
            && matches!(op, JmpOp::Eq | JmpOp::Ne)
        {
            if (op == JmpOp::Eq) == (n == 1) {
                return Some(Change::Value(left));
            }
            if let Some(op) = self.negated(left) {
                return Some(Change::Op(op));
            }
        }
        match self.test(test)? {
            Outcome::Always(holds) => Some(constant(i64::from(holds))),
            Outcome::Same(test) => Some(Change::Op(Op::Compare {
                op: test.op,
                width: test.width,
                left: test.left,
                right: test.right,
            })),
            Outcome::Opposite(_) => None,
        }
    }

    /// Rewrites a terminator.
    pub(crate) fn end(&mut self, end: &Terminator) -> Option<Terminator> {
        let Terminator::Branch {
            op,
            width,
            left,
            right,
            then,
            otherwise,
        } = end
        else {
            return None;
        };
        if then == otherwise {
            return Some(Terminator::Jump(then.clone()));
        }
        let test = Test {
            op: *op,
            width: *width,
            left: *left,
            right: *right,
        };
        let branch = |test: Test, then, otherwise| Terminator::Branch {
            op: test.op,
            width: test.width,
            left: test.left,
            right: test.right,
            then,
            otherwise,
        };
        let (then, otherwise) = (then.clone(), otherwise.clone());
        match self.fused(test).or_else(|| self.test(test))? {
            Outcome::Always(true) => Some(Terminator::Jump(then)),
            Outcome::Always(false) => Some(Terminator::Jump(otherwise)),
            Outcome::Same(test) => Some(branch(test, then, otherwise)),
            Outcome::Opposite(test) => Some(branch(test, otherwise, then)),
        }
    }

    /// A branch on the result of a comparison or a mask tests what that tests.
    fn fused(&self, test: Test) -> Option<Outcome> {
        let Test { op, left, .. } = test;
        let wanted = match (op, self.facts.constant(test.right)?) {
            (JmpOp::Ne, 0) | (JmpOp::Eq, 1) => true,
            (JmpOp::Eq, 0) | (JmpOp::Ne, 1) => false,
            _ => return None,
        };
        let is_zero = self.facts.constant(test.right) == Some(0);
        let inner = match *self.facts.def(left)? {
            Op::Compare {
                op,
                width,
                left,
                right,
            } => Test {
                op,
                width,
                left,
                right,
            },
            Op::Binary {
                op: AluOp::And,
                width,
                left,
                right,
            } if is_zero && self.is_single(test.left) => {
                let width = width.min(test.width);
                // An immediate that a 64-bit instruction cannot hold costs more than the mask.
                let n = self.facts.constant(right);
                if width == Width::W64 && n.is_some_and(|n| i32::try_from(n).is_err()) {
                    return None;
                }
                Test {
                    op: JmpOp::Set,
                    width,
                    left,
                    right,
                }
            }
            // A negated boolean.
            Op::Binary {
                op: AluOp::Xor,
                left,
                right,
                ..
            } if self.facts.constant(right) == Some(1) && self.facts.known(left).max() <= 1 => {
                let test = Test { left, ..test };
                return Some(Outcome::Opposite(test));
            }
            _ => return None,
        };
        Some(if wanted {
            Outcome::Same(inner)
        } else {
            Outcome::Opposite(inner)
        })
    }

    fn test(&mut self, test: Test) -> Option<Outcome> {
        let Test {
            op,
            width,
            left,
            right,
        } = test;
        let same = |test| Some(Outcome::Same(test));
        let (a, b) = (self.facts.constant(left), self.facts.constant(right));
        if let (Some(a), Some(b)) = (a, b) {
            return Some(Outcome::Always(fold::compare(op, width, a, b)));
        }
        if a.is_some() {
            return same(Test {
                op: op.swap(),
                left: right,
                right: left,
                ..test
            });
        }
        if left == right && op != JmpOp::Set {
            return Some(Outcome::Always(fold::compare(op, width, 0, 0)));
        }
        if width == Width::W32 {
            let (a, b) = (self.peel(left, Size::B4), self.peel(right, Size::B4));
            if a.is_some() || b.is_some() {
                return same(Test {
                    left: a.unwrap_or(left),
                    right: b.unwrap_or(right),
                    ..test
                });
            }
            return None;
        }
        self.decided(test)
            .map(Outcome::Always)
            .or_else(|| self.strict(test).map(Outcome::Same))
            .or_else(|| self.half(test).map(Outcome::Same))
    }

    /// What the known bits of both sides decide.
    fn decided(&self, test: Test) -> Option<bool> {
        let (a, b) = (self.facts.known(test.left), self.facts.known(test.right));
        let (below, above) = (a.max() < b.min(), a.min() > b.max());
        let (not_above, not_below) = (a.max() <= b.min(), a.min() >= b.max());
        match test.op {
            JmpOp::Eq if below || above => Some(false),
            JmpOp::Ne if below || above => Some(true),
            JmpOp::Lt if below => Some(true),
            JmpOp::Lt if not_below => Some(false),
            JmpOp::Le if not_above => Some(true),
            JmpOp::Le if above => Some(false),
            JmpOp::Gt if above => Some(true),
            JmpOp::Gt if not_above => Some(false),
            JmpOp::Ge if not_below => Some(true),
            JmpOp::Ge if below => Some(false),
            JmpOp::Set if a.max() & b.max() == 0 => Some(false),
            _ => None,
        }
    }

    /// Comparisons with the ends of the range, as comparisons with zero.
    fn strict(&mut self, test: Test) -> Option<Test> {
        let n = self.facts.constant(test.right)?;
        let op = match (test.op, n) {
            (JmpOp::Gt, 0) => JmpOp::Ne,
            (JmpOp::Le, 0) => JmpOp::Eq,
            (JmpOp::Ge, 1) => JmpOp::Ne,
            (JmpOp::Lt, 1) => JmpOp::Eq,
            _ => return None,
        };
        let right = if n == 0 { test.right } else { self.iconst(0) };
        Some(Test { op, right, ..test })
    }

    /// A comparison of the lower halves, where those decide: it needs no extension and holds larger constants.
    fn half(&mut self, test: Test) -> Option<Test> {
        let Test {
            op, left, right, ..
        } = test;
        let n = self.facts.constant(right)?;
        let narrow = |op, left| Test {
            op,
            width: Width::W32,
            left,
            right,
        };
        let is_word = u32::try_from(n).is_ok();
        let is_int = i32::try_from(n).is_ok();
        if is_word && !is_int && !op.is_signed() && self.facts.known(left).is_word() {
            return Some(narrow(op, left));
        }
        if !self.is_single(left) {
            return None;
        }
        match *self.facts.def(left)? {
            Op::Ext {
                size: Size::B4,
                signed,
                value,
            } if !self.facts.may_be_pointer(value) => {
                let fits = match signed {
                    // Unsigned comparison of extended values keeps its order, too, as both are extended alike.
                    true => is_int,
                    false => is_word && !op.is_signed(),
                };
                (fits && op != JmpOp::Set).then(|| narrow(op, value))
            }
            Op::Ext {
                size,
                signed: false,
                value,
            } if n == 0 && op == JmpOp::Ne && !self.facts.may_be_pointer(value) => {
                let right = self.iconst(fold::mask(size) as i64);
                Some(Test {
                    op: JmpOp::Set,
                    width: Width::W32,
                    left: value,
                    right,
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dead::remove_dead;
    use super::super::simplify::simplify;
    use super::super::testing::check;

    #[track_caller]
    fn expect(body: &str, expected: &str) {
        let ends = "block1:\n ret v0\n block2:\n unreachable";
        let body = format!("block0:\n v1 = load.u64 v0+0\n v2 = load.u32 v0+8\n{body}\n{ends}");
        let expected = format!("block0:\n{expected}\n{ends}");
        check(&[simplify, simplify, remove_dead], &body, &expected);
    }

    #[test]
    fn a_branch_tests_what_a_comparison_tests() {
        expect(
            "v3 = slt.64 v1, v2
             v4 = const 0
             br ne.64 v3, v4, block1, block2",
            "v1 = load.u64 v0+0
             v2 = load.u32 v0+8
             br slt.64 v1, v2, block1, block2",
        );
        expect(
            "v3 = set.64 v1, v2
             v4 = const 0
             br eq.64 v3, v4, block1, block2",
            "v1 = load.u64 v0+0
             v2 = load.u32 v0+8
             br set.64 v1, v2, block2, block1",
        );
    }

    #[test]
    fn a_mask_against_zero_is_a_bit_test() {
        expect(
            "v3 = const 0x40
             v4 = and.64 v1, v3
             v5 = const 0
             br eq.64 v4, v5, block1, block2",
            "v1 = load.u64 v0+0
             v3 = const 64
             br set.64 v1, v3, block2, block1",
        );
    }

    #[test]
    fn constants_go_right() {
        expect(
            "v3 = const 5
             br lt.64 v3, v1, block1, block2",
            "v1 = load.u64 v0+0
             v3 = const 5
             br gt.64 v1, v3, block1, block2",
        );
    }

    #[test]
    fn ranges_decide() {
        expect(
            "v3 = const 0x100000000
             br lt.64 v2, v3, block1, block2",
            "jump block1",
        );
        expect(
            "v3 = const 0
             br ge.64 v1, v3, block2, block1",
            "jump block2",
        );
    }

    #[test]
    fn halves_are_compared_where_they_decide() {
        expect(
            "v3 = const 0xfffffff2
             br eq.64 v2, v3, block1, block2",
            "v2 = load.u32 v0+8
             v3 = const 4294967282
             br eq.32 v2, v3, block1, block2",
        );
        expect(
            "v3 = const -2
             v4 = mul.64 v2, v2
             v5 = ext.s32 v4
             br sgt.64 v5, v3, block1, block2",
            "v2 = load.u32 v0+8
             v3 = const -2
             v4 = mul.64 v2, v2
             br sgt.32 v4, v3, block1, block2",
        );
    }

    #[test]
    fn what_is_checked_stays_what_is_used() {
        // The extended value is used after its check: the check must be of that value.
        check(
            &[simplify, simplify, remove_dead],
            "block0:
             v1 = load.u64 v0+0
             v2 = ext.u32 v1
             v3 = const 64
             br le.64 v2, v3, block1, block2
             block1:
             ret v2
             block2:
             ret v3",
            "block0:
             v1 = load.u64 v0+0
             v2 = ext.u32 v1
             v3 = const 64
             br le.64 v2, v3, block1, block2
             block1:
             ret v2
             block2:
             ret v3",
        );
    }
}
