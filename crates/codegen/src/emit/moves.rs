//! Copies that happen all at once, made into copies one by one.

use super::mir::VReg;

/// Orders parallel copies `(to, from)` so that no source is overwritten before it is read. `to` are all different.
/// A cycle is broken through a register that `fresh` gives.
pub(crate) fn sequence(
    copies: &[(VReg, VReg)],
    mut fresh: impl FnMut() -> VReg,
) -> Vec<(VReg, VReg)> {
    let mut pending: Vec<(VReg, VReg)> = copies
        .iter()
        .copied()
        .filter(|(to, from)| to != from)
        .collect();
    let mut out = Vec::with_capacity(pending.len());
    while !pending.is_empty() {
        let is_free = |to: VReg| pending.iter().all(|&(_, from)| from != to);
        if let Some(i) = pending.iter().position(|&(to, _)| is_free(to)) {
            out.push(pending.remove(i));
        } else {
            let saved = fresh();
            out.push((saved, pending[0].1));
            pending[0].1 = saved;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(copies: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let copies: Vec<_> = copies.iter().map(|&(a, b)| (VReg(a), VReg(b))).collect();
        let mut next = 99;
        let out = sequence(&copies, || {
            next += 1;
            VReg(next)
        });
        out.into_iter().map(|(a, b)| (a.0, b.0)).collect()
    }

    #[test]
    fn a_chain_runs_from_its_end() {
        assert_eq!(run(&[(1, 2), (2, 3), (3, 4)]), [(1, 2), (2, 3), (3, 4)]);
        assert_eq!(run(&[(3, 2), (2, 1), (5, 5)]), [(3, 2), (2, 1)]);
    }

    #[test]
    fn a_swap_goes_through_a_third_register() {
        assert_eq!(run(&[(1, 2), (2, 1)]), [(100, 2), (2, 1), (1, 100)]);
    }

    #[test]
    fn one_source_may_go_to_many() {
        assert_eq!(
            run(&[(1, 2), (3, 2), (2, 1)]),
            [(3, 2), (100, 2), (2, 1), (1, 100)]
        );
    }
}
