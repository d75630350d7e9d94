//! Reads the text form of the IR, as the module prints it.

mod cursor;

use beetrace_isa::{AluOp, AtomicOp, JmpOp, helper_id};
use beetrace_object::{Signature, SourceSpan};

use super::text::{alu_name, atomic_name, jmp_name};
use super::{
    BlockData, Effect, Function, Inst, Module, Op, Slot, SlotData, Terminator, Value, Volatility,
};
use cursor::Cursor;

/// Text that is no IR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    pub expected: &'static str,
}

/// Reads a module. Empty lines and what follows `;` or `//` mean nothing.
pub fn parse(text: &str) -> Result<Module, ParseError> {
    let mut parser = Parser::default();
    for (i, line) in text.lines().enumerate() {
        let end = line.find("//").unwrap_or(line.len());
        let line = line[..end].split(';').next().unwrap_or("").trim();
        if !line.is_empty() {
            let mut cursor = Cursor(line);
            let read = parser.line(&mut cursor).and_then(|()| cursor.end());
            read.map_err(|expected| ParseError {
                line: i + 1,
                expected,
            })?;
        }
    }
    match parser.function {
        None => Ok(parser.module),
        Some(_) => Err(ParseError {
            line: text.lines().count(),
            expected: "`}`",
        }),
    }
}

type Expected = &'static str;

#[derive(Default)]
struct Parser {
    module: Module,
    function: Option<Function>,
    /// Whether the last block has its terminator.
    ended: bool,
}

impl Parser {
    fn line(&mut self, cursor: &mut Cursor) -> Result<(), Expected> {
        let Some(function) = &mut self.function else {
            self.function = Some(header(cursor)?);
            self.ended = true;
            return Ok(());
        };
        if cursor.eat("}") {
            if !self.ended {
                return Err("a terminator");
            }
            self.module.functions.extend(self.function.take());
            return Ok(());
        }
        if cursor.eat("block") {
            let Ok(block) = usize::try_from(cursor.number()?) else {
                return Err("the next block");
            };
            if block != function.blocks.len() || !self.ended {
                return Err("the next block");
            }
            let params = cursor.optional_values()?;
            cursor.expect(":", "`:`")?;
            note(function, &params);
            function.blocks.push(BlockData {
                params,
                insts: Vec::new(),
                end: Terminator::Unreachable,
                end_span: SourceSpan::default(),
            });
            self.ended = false;
            return Ok(());
        }
        if cursor.eat("ss") {
            cursor.number()?;
            cursor.expect("= slot", "`= slot`")?;
            let size = cursor.unsigned()?;
            cursor.expect("align", "`align`")?;
            let align = cursor.unsigned()?;
            function.slots.push(SlotData { size, align });
            return Ok(());
        }
        if self.ended {
            return Err("a block");
        }
        if let Some(end) = terminator(cursor)? {
            let end_span = cursor.span()?;
            end.for_each(|v| function.values = function.values.max(v.0 + 1));
            if let Some(block) = function.blocks.last_mut() {
                block.end = end;
                block.end_span = end_span;
            }
            self.ended = true;
            return Ok(());
        }
        let result = match cursor.try_value() {
            Some(value) => {
                cursor.expect("=", "`=`")?;
                Some(value)
            }
            None => None,
        };
        let op = op(cursor)?;
        let span = cursor.span()?;
        note(function, result.as_slice());
        op.for_each(|v| function.values = function.values.max(v.0 + 1));
        if let Some(block) = function.blocks.last_mut() {
            block.insts.push(Inst { op, result, span });
        }
        Ok(())
    }
}

fn note(function: &mut Function, values: &[Value]) {
    let max = values.iter().map(|v| v.0 + 1).max().unwrap_or(0);
    function.values = function.values.max(max);
}

fn header(cursor: &mut Cursor) -> Result<Function, Expected> {
    cursor.expect("fn", "`fn`")?;
    cursor.expect("\"", "a name in quotes")?;
    let (name, rest) = cursor.0.split_once('"').ok_or("a name in quotes")?;
    cursor.0 = rest;
    let kind = cursor.word();
    let params = cursor.optional_values()?;
    cursor.expect("{", "`{`")?;
    let signature = match kind {
        "entry" => Signature::Entry,
        "loop_callback" => Signature::LoopCallback,
        "map_callback" => Signature::MapCallback,
        "subprogram" => Signature::Subprogram(params.len() as u8),
        _ => return Err("`entry`, `loop_callback`, `map_callback` or `subprogram`"),
    };
    let mut function = Function {
        name: name.into(),
        signature,
        params: params.clone(),
        blocks: Vec::new(),
        slots: Vec::new(),
        values: 0,
    };
    note(&mut function, &params);
    Ok(function)
}

fn terminator(cursor: &mut Cursor) -> Result<Option<Terminator>, Expected> {
    let before = cursor.0;
    Ok(Some(match cursor.word() {
        "jump" => Terminator::Jump(cursor.target()?),
        "ret" => Terminator::Return(cursor.value()?),
        "unreachable" => Terminator::Unreachable,
        "br" => {
            let name = cursor.word();
            let op = find(JmpOp::ALL, jmp_name, name).ok_or("a comparison")?;
            let width = cursor.width()?;
            let (left, right) = cursor.pair()?;
            cursor.expect(",", "`,`")?;
            let then = cursor.target()?;
            cursor.expect(",", "`,`")?;
            let otherwise = cursor.target()?;
            Terminator::Branch {
                op,
                width,
                left,
                right,
                then,
                otherwise,
            }
        }
        _ => {
            cursor.0 = before;
            return Ok(None);
        }
    }))
}

fn op(cursor: &mut Cursor) -> Result<Op, Expected> {
    let name = cursor.word();
    Ok(match name {
        "const" => Op::Const(cursor.number()?),
        "neg" => Op::Neg {
            width: cursor.width()?,
            value: cursor.value()?,
        },
        "ext" => {
            let (signed, size) = cursor.signed_size()?;
            let value = cursor.value()?;
            Op::Ext {
                size,
                signed,
                value,
            }
        }
        "swap" => Op::Swap {
            size: cursor.size()?,
            value: cursor.value()?,
        },
        "select" => {
            let (cond, then) = cursor.pair()?;
            cursor.expect(",", "`,`")?;
            let otherwise = cursor.value()?;
            Op::Select {
                cond,
                then,
                otherwise,
            }
        }
        "load" => {
            let (signed, size) = cursor.signed_size()?;
            let volatility = if cursor.eat(".const") {
                Volatility::Constant
            } else {
                Volatility::Normal
            };
            let (base, offset) = cursor.place()?;
            Op::Load {
                size,
                signed,
                base,
                offset,
                volatility,
            }
        }
        "store" => {
            let size = cursor.size()?;
            let (base, offset, value) = cursor.place_and_value()?;
            Op::Store {
                size,
                base,
                offset,
                value,
            }
        }
        "slotaddr" => {
            cursor.expect("ss", "a slot")?;
            let slot = Slot(cursor.unsigned()?);
            let offset = cursor.offset()?;
            Op::SlotAddr { slot, offset }
        }
        "map" => Op::MapRef(cursor.unsigned()?),
        "mapvalue" => {
            let map = cursor.unsigned()?;
            cursor.expect("+", "`+`")?;
            let offset = cursor.unsigned()?;
            Op::MapValue { map, offset }
        }
        "func" => Op::FuncRef(cursor.function()?),
        "ksym" => Op::KernelSymbol {
            btf_id: cursor.unsigned()?,
        },
        "kfunc" => Op::CallKfunc {
            btf_id: cursor.unsigned()?,
            args: cursor.optional_values()?,
        },
        "call" => call(cursor)?,
        _ => {
            if let Some(op) = find(AluOp::ALL, alu_name, name) {
                let width = cursor.width()?;
                let (left, right) = cursor.pair()?;
                return Ok(Op::Binary {
                    op,
                    width,
                    left,
                    right,
                });
            }
            if let Some(op) = find(JmpOp::ALL, jmp_name, name) {
                let width = cursor.width()?;
                let (left, right) = cursor.pair()?;
                return Ok(Op::Compare {
                    op,
                    width,
                    left,
                    right,
                });
            }
            let op = find(AtomicOp::ALL, atomic_name, name).ok_or("an instruction")?;
            let size = cursor.size()?;
            let (base, offset, value) = cursor.place_and_value()?;
            Op::Atomic {
                op,
                size,
                base,
                offset,
                value,
            }
        }
    })
}

fn call(cursor: &mut Cursor) -> Result<Op, Expected> {
    let effect = if cursor.eat(".pure") {
        Effect::Pure
    } else if cursor.eat(".reads") {
        Effect::Reads
    } else {
        Effect::Writes
    };
    cursor.skip();
    if cursor.0.starts_with("fn") {
        return Ok(Op::CallLocal {
            function: cursor.function()?,
            args: cursor.optional_values()?,
        });
    }
    let name = cursor.word();
    let helper = helper_id(name)
        .or_else(|| name.parse().ok())
        .ok_or("a helper")?;
    Ok(Op::Call {
        helper,
        args: cursor.optional_values()?,
        effect,
    })
}

fn find<T: Copy, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
    word: &str,
) -> Option<T> {
    all.into_iter().find(|&op| name(op) == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        let text = r#"fn "all" entry(v0) {
  ss0 = slot 16 align 8
block0:
  v1 = const -5
  v2 = load.u32.const v0+8
  v3 = load.s8 v0-1
  store.16 v0+2, v1
  v4 = add.64 v1, v2 @0:3-9
  v5 = arsh.32 v4, v1
  v6 = neg.64 v5
  v7 = slt.32 v6, v1
  v8 = ext.s16 v7
  v9 = swap.64 v8
  v10 = select v7, v8, v9
  v11 = fetch_add.64 v0+0, v10
  atomic_or.32 v0+0, v10
  v12 = slotaddr ss0+8
  v13 = map 3
  v14 = mapvalue 3+16
  v15 = func fn1
  v16 = ksym 77
  v17 = call.pure get_current_pid_tgid()
  v18 = call.reads ktime_get_ns()
  v19 = call loop(v17, v15, v12, v18)
  v20 = kfunc 12(v19)
  v21 = call fn1(v20, v20)
  v22 = call 999()
  br set.64 v1, v2, block1(v3, v4), block2 @1:0-1
block1(v23, v24):
  jump block2
block2:
  ret v1
block3:
  unreachable
}

fn "sub" subprogram(v0, v1) {
block0:
  ret v1
}
"#;
        let module = parse(text).unwrap();
        assert_eq!(module.to_string(), text);
        assert_eq!(crate::ir::verify::verify(&module), Ok(()));
        assert_eq!(module.functions[0].values, 25);
    }

    #[test]
    fn mistakes_name_their_line() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            error("fn \"f\" entry() {\nblock0:\n  v1 = frob v2\n}"),
            "line 3: expected an instruction"
        );
        assert_eq!(
            error("fn \"f\" entry() {\nblock1:\n"),
            "line 2: expected the next block"
        );
        assert_eq!(
            error("fn \"f\" entry() {\nblock0:\n}"),
            "line 3: expected a terminator"
        );
        assert_eq!(error("fn \"f\" entry() {"), "line 1: expected `}`");
        assert_eq!(
            error("fn \"f\" entry(v4294967295) {\n}"),
            "line 1: expected a value"
        );
        assert_eq!(
            error("fn \"f\" entry() {\nblock0:\n  ret v0 v0\n}"),
            "line 3: expected the end of the line"
        );
    }
}
