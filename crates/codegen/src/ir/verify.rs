//! Checks that a module keeps the rules of the IR.

use beetrace_isa::{AluOp, AtomicOp, Size};
use beetrace_object::SourceSpan;

use super::cfg::Cfg;
use super::{Block, FuncId, Function, Inst, Module, Op, Slot, Target, Value};

/// A rule that a module breaks: a mistake of the lowering or of a pass, never of a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{function}, {place}: {problem}")]
pub struct VerifyError {
    /// Name of the function.
    pub function: String,
    /// The block, and what it is about in it.
    pub place: String,
    pub span: SourceSpan,
    pub problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("a module has at least one function, a function at least one block")]
    Empty,
    #[error("more than five parameters or arguments")]
    TooManyArguments,
    #[error("the entry block has parameters")]
    EntryParameters,
    #[error("v{} is out of range", .0.0)]
    NoSuchValue(Value),
    #[error("block{} does not exist", .0.0)]
    NoSuchBlock(Block),
    #[error("ss{} does not exist", .0.0)]
    NoSuchSlot(Slot),
    #[error("fn{} does not exist", .0.0)]
    NoSuchFunction(FuncId),
    #[error("v{} is defined twice", .0.0)]
    DefinedTwice(Value),
    #[error("v{} is used where its definition does not dominate", .0.0)]
    NotDominated(Value),
    #[error("block{} takes {takes} arguments, not {given}", .block.0)]
    WrongArguments {
        block: Block,
        takes: usize,
        given: usize,
    },
    #[error("fn{} takes {takes} arguments, not {given}", .function.0)]
    WrongCall {
        function: FuncId,
        takes: usize,
        given: usize,
    },
    #[error("the instruction defines no value, or must define one")]
    Result,
    #[error("`mov` is no arithmetic")]
    Mov,
    #[error("an atomic operation is 4 or 8 bytes wide, and no compare-and-exchange")]
    Atomic,
    #[error("a slot's alignment is 1, 2, 4 or 8")]
    Alignment,
}

/// Checks every function of a module: names are defined once and before their use, targets and calls fit.
pub fn verify(module: &Module) -> Result<(), Box<VerifyError>> {
    if module.functions.is_empty() {
        return Err(Box::new(VerifyError {
            function: String::new(),
            place: "module".into(),
            span: SourceSpan::default(),
            problem: Problem::Empty,
        }));
    }
    module
        .functions
        .iter()
        .try_for_each(|function| Checker::new(module, function).run())
}

struct Checker<'a> {
    module: &'a Module,
    function: &'a Function,
    /// Where each value is defined: the block and the position in it (0 for parameters).
    defs: Vec<Option<(Option<Block>, usize)>>,
}

impl<'a> Checker<'a> {
    fn new(module: &'a Module, function: &'a Function) -> Self {
        Checker {
            module,
            function,
            defs: vec![None; function.values as usize],
        }
    }

    fn run(mut self) -> Result<(), Box<VerifyError>> {
        let function = self.function;
        let at = |problem| self.error("signature", SourceSpan::default(), problem);
        if function.blocks.is_empty() {
            return Err(at(Problem::Empty));
        }
        if function.params.len() > 5 {
            return Err(at(Problem::TooManyArguments));
        }
        if !function.blocks[0].params.is_empty() {
            return Err(at(Problem::EntryParameters));
        }
        if function
            .slots
            .iter()
            .any(|s| !matches!(s.align, 1 | 2 | 4 | 8))
        {
            return Err(at(Problem::Alignment));
        }
        for &param in &function.params {
            self.define(None, 0, param)
                .map_err(|p| self.error("signature", SourceSpan::default(), p))?;
        }
        for (block, data) in blocks(function) {
            for &param in &data.params {
                self.define(Some(block), 0, param)
                    .map_err(|p| self.error(&format!("block{}", block.0), data.end_span, p))?;
            }
        }
        self.each_inst(|this, block, index, inst| {
            this.check_inst(inst)?;
            match inst.result {
                Some(value) => this.define(Some(block), index + 1, value),
                None => Ok(()),
            }
        })?;
        for (block, data) in blocks(function) {
            data.end.targets().try_for_each(|target| {
                self.check_target(target)
                    .map_err(|p| self.error(&end_name(block), data.end_span, p))
            })?;
        }
        let cfg = Cfg::new(function);
        self.each_inst(|this, block, index, inst| {
            let mut result = Ok(());
            inst.op.for_each(|v| {
                let used = this.check_use(&cfg, block, index + 1, v);
                if result.is_ok() {
                    result = used;
                }
            });
            result
        })?;
        for (block, data) in blocks(function) {
            let mut result = Ok(());
            data.end.for_each(|v| {
                let used = self.check_use(&cfg, block, usize::MAX, v);
                if result.is_ok() {
                    result = used;
                }
            });
            result.map_err(|p| self.error(&end_name(block), data.end_span, p))?;
        }
        Ok(())
    }

    fn each_inst(
        &mut self,
        mut check: impl FnMut(&mut Self, Block, usize, &Inst) -> Result<(), Problem>,
    ) -> Result<(), Box<VerifyError>> {
        for (block, data) in blocks(self.function) {
            for (index, inst) in data.insts.iter().enumerate() {
                check(self, block, index, inst).map_err(|p| {
                    let place = format!("block{}, instruction {index}", block.0);
                    self.error(&place, inst.span, p)
                })?;
            }
        }
        Ok(())
    }

    fn check_inst(&self, inst: &Inst) -> Result<(), Problem> {
        let has = inst.result.is_some();
        let fits = match inst.op {
            Op::Store { .. } => !has,
            Op::Atomic { .. } | Op::Call { .. } | Op::CallKfunc { .. } | Op::CallLocal { .. } => {
                true
            }
            _ => has,
        };
        if !fits {
            return Err(Problem::Result);
        }
        match &inst.op {
            Op::Binary { op: AluOp::Mov, .. } => Err(Problem::Mov),
            Op::Atomic { op, size, .. }
                if *op == AtomicOp::CmpXchg || !matches!(size, Size::B4 | Size::B8) =>
            {
                Err(Problem::Atomic)
            }
            Op::SlotAddr { slot, .. } if slot.0 as usize >= self.function.slots.len() => {
                Err(Problem::NoSuchSlot(*slot))
            }
            Op::FuncRef(function) if function.0 as usize >= self.module.functions.len() => {
                Err(Problem::NoSuchFunction(*function))
            }
            Op::CallLocal { function, args } => {
                let callee = self
                    .module
                    .functions
                    .get(function.0 as usize)
                    .ok_or(Problem::NoSuchFunction(*function))?;
                let (takes, given) = (callee.params.len(), args.len());
                if takes != given {
                    return Err(Problem::WrongCall {
                        function: *function,
                        takes,
                        given,
                    });
                }
                Ok(())
            }
            Op::Call { args, .. } | Op::CallKfunc { args, .. } if args.len() > 5 => {
                Err(Problem::TooManyArguments)
            }
            _ => Ok(()),
        }
    }

    fn check_target(&self, target: &Target) -> Result<(), Problem> {
        let data = self
            .function
            .blocks
            .get(target.block.0 as usize)
            .ok_or(Problem::NoSuchBlock(target.block))?;
        let (takes, given) = (data.params.len(), target.args.len());
        if takes == given {
            return Ok(());
        }
        Err(Problem::WrongArguments {
            block: target.block,
            takes,
            given,
        })
    }

    fn define(&mut self, block: Option<Block>, index: usize, value: Value) -> Result<(), Problem> {
        let def = self
            .defs
            .get_mut(value.0 as usize)
            .ok_or(Problem::NoSuchValue(value))?;
        if def.is_some() {
            return Err(Problem::DefinedTwice(value));
        }
        *def = Some((block, index));
        Ok(())
    }

    fn check_use(
        &self,
        cfg: &Cfg,
        block: Block,
        index: usize,
        value: Value,
    ) -> Result<(), Problem> {
        let def = self
            .defs
            .get(value.0 as usize)
            .ok_or(Problem::NoSuchValue(value))?;
        let dominated = match def {
            None => false,
            Some((None, _)) => true,
            Some((Some(at), position)) if *at == block => *position < index,
            Some((Some(at), _)) => cfg.dominates(*at, block) || !cfg.is_reached(block),
        };
        if dominated {
            Ok(())
        } else {
            Err(Problem::NotDominated(value))
        }
    }

    fn error(&self, place: &str, span: SourceSpan, problem: Problem) -> Box<VerifyError> {
        Box::new(VerifyError {
            function: self.function.name.clone(),
            place: place.into(),
            span,
            problem,
        })
    }
}

fn blocks(function: &Function) -> impl Iterator<Item = (Block, &super::BlockData)> {
    function
        .blocks
        .iter()
        .enumerate()
        .map(|(i, data)| (Block(i as u32), data))
}

fn end_name(block: Block) -> String {
    format!("end of block{}", block.0)
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    /// The complaint about a function of these slots and blocks.
    fn problem(body: &str) -> String {
        let text = format!("fn \"f\" entry(v0) {{\n{body}\n}}");
        match parse(&text).map(|m| verify(&m)) {
            Ok(Ok(())) => "none".into(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn definitions_come_first() {
        assert_eq!(
            problem("block0:\nv1 = add.64 v0, v2\nv2 = const 1\nret v1"),
            "f, block0, instruction 0: v2 is used where its definition does not dominate"
        );
        assert_eq!(
            problem(
                "block0:\nbr eq.64 v0, v0, block1, block2\nblock1:\nv1 = const 1\njump block2\n\
                 block2:\nret v1"
            ),
            "f, end of block2: v1 is used where its definition does not dominate"
        );
        assert_eq!(
            problem("block0:\nv1 = const 1\nv1 = const 2\nret v1"),
            "f, block0, instruction 1: v1 is defined twice"
        );
    }

    #[test]
    fn a_loop_may_use_what_it_defined_before() {
        assert_eq!(
            problem(
                "block0:\njump block1(v0)\nblock1(v1):\nv2 = add.64 v1, v0\n\
                 br lt.64 v2, v0, block1(v2), block2\nblock2:\nret v2"
            ),
            "none"
        );
    }

    #[test]
    fn what_is_named_exists() {
        assert_eq!(
            problem("block0:\njump block7"),
            "f, end of block0: block7 does not exist"
        );
        assert_eq!(
            problem("block0:\njump block1(v0)\nblock1:\nret v0"),
            "f, end of block0: block1 takes 0 arguments, not 1"
        );
        assert_eq!(
            problem("block0:\nv1 = slotaddr ss0+0\nret v1"),
            "f, block0, instruction 0: ss0 does not exist"
        );
        assert_eq!(
            problem("block0:\nv1 = call fn3(v0)\nret v1"),
            "f, block0, instruction 0: fn3 does not exist"
        );
        assert_eq!(
            problem("block0:\nv1 = call fn0(v0, v0)\nret v1"),
            "f, block0, instruction 0: fn0 takes 1 arguments, not 2"
        );
    }

    #[test]
    fn operations_have_their_shapes() {
        assert_eq!(
            problem("block0(v1):\nret v1"),
            "f, signature: the entry block has parameters"
        );
        assert_eq!(
            problem("block0:\nadd.64 v0, v0\nret v0"),
            "f, block0, instruction 0: the instruction defines no value, or must define one"
        );
        assert_eq!(
            problem("block0:\nv1 = cmpxchg.64 v0+0, v0\nret v1"),
            "f, block0, instruction 0: an atomic operation is 4 or 8 bytes wide, and no compare-and-exchange"
        );
        assert_eq!(
            problem("block0:\nv1 = call 5(v0, v0, v0, v0, v0, v0)\nret v1"),
            "f, block0, instruction 0: more than five parameters or arguments"
        );
        assert_eq!(
            problem("ss0 = slot 8 align 3\nblock0:\nret v0"),
            "f, signature: a slot's alignment is 1, 2, 4 or 8"
        );
    }
}
