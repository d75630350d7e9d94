//! Loads that extend what they load as it is wanted.

use crate::Target;
use crate::ir::{Function, Op, Value};

/// Lets a load extend by itself where an extension is all that its value is used for.
pub(crate) fn extend_loads(function: &mut Function, target: &Target) {
    let uses = function.use_counts();
    let mut replaced: Vec<Option<Value>> = vec![None; function.values as usize];
    for block in &mut function.blocks {
        for index in 0..block.insts.len() {
            let (
                Op::Ext {
                    size,
                    signed,
                    value,
                },
                Some(result),
            ) = (&block.insts[index].op, block.insts[index].result)
            else {
                continue;
            };
            let (size, signed, value) = (*size, *signed, *value);
            if uses[value.0 as usize] != 1 || (signed && !target.isa_v4) {
                continue;
            }
            let load = block.insts[..index]
                .iter_mut()
                .rev()
                .find(|i| i.result == Some(value));
            if let Some(Op::Load {
                size: loaded,
                signed: extension,
                ..
            }) = load.map(|i| &mut i.op)
                && *loaded == size
            {
                *extension = signed;
                replaced[result.0 as usize] = Some(value);
            }
        }
        block
            .insts
            .retain(|i| i.result.is_none_or(|v| replaced[v.0 as usize].is_none()));
    }
    for block in &mut function.blocks {
        for inst in &mut block.insts {
            inst.op.map(|v| replaced[v.0 as usize].unwrap_or(v));
        }
        block.end.map(|v| replaced[v.0 as usize].unwrap_or(v));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::parse::parse;

    fn after(isa_v4: bool) -> String {
        let text = "fn \"f\" entry(v0) {
            block0:
              v1 = load.u32 v0+0
              v2 = load.s16 v0+4
              store.64 v0+0, v0
              v3 = ext.s32 v1
              v4 = ext.u16 v2
              v5 = add.64 v3, v4
              ret v5
            }";
        let mut module = parse(text).expect("IR");
        let target = Target {
            isa_v4,
            ..Target::default()
        };
        extend_loads(&mut module.functions[0], &target);
        module.to_string()
    }

    #[test]
    fn the_load_stays_where_it_is() {
        assert_eq!(
            after(true),
            "fn \"f\" entry(v0) {
block0:
  v1 = load.s32 v0+0
  v2 = load.u16 v0+4
  store.64 v0+0, v0
  v5 = add.64 v1, v2
  ret v5
}
"
        );
    }

    #[test]
    fn without_extending_loads_only_zeros_are_folded() {
        assert_eq!(
            after(false),
            "fn \"f\" entry(v0) {
block0:
  v1 = load.u32 v0+0
  v2 = load.u16 v0+4
  store.64 v0+0, v0
  v3 = ext.s32 v1
  v5 = add.64 v3, v2
  ret v5
}
"
        );
    }
}
