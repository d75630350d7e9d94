//! Reading an aggregation in a program: the sum of what every processor kept for itself.

use beetrace_isa::{AluOp, JmpOp, Size, Width, helper};
use beetrace_lang::span::Span;
use beetrace_lang::typed::{Expr, ExprKind, MapId, VarId};
use beetrace_lang::types::Type;

use super::func::{Lower, Test};
use super::memory::{Memory, Place};
use super::{LowerError, Result};
use crate::ir::{Effect, Value};

/// An entry that a loop over a map has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) map: MapId,
    pub(super) key: Place,
    pub(super) value: Place,
}

impl Lower<'_, '_> {
    /// An aggregation as an integer.
    pub(super) fn map_aggregate(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        expr: &Expr,
    ) -> Result<Value> {
        let mark = self.mark();
        let number = if let Some(place) = self.direct(map, expr.span)? {
            let ty = self.unit.map_info(map, expr.span)?.value.clone();
            let words = self.words_of(place, &ty);
            self.as_number(&ty, words)?
        } else {
            let key = self.key(map, key, expr.span)?;
            self.number_of_key(map, key, expr.span)?
        };
        self.release(mark);
        Ok(self.wrap(number, &expr.ty))
    }

    fn number_of_key(&mut self, map: MapId, key: Value, span: Span) -> Result<Value> {
        let ty = self.unit.map_info(map, span)?.value.clone();
        let words = self.total_words(map, key, span)?;
        self.as_number(&ty, words)
    }

    /// The first two words of a value.
    fn words_of(&mut self, place: Place, ty: &Type) -> (Value, Value) {
        let first = self.load_raw(place, Size::B8, false);
        let second = match ty {
            Type::Count | Type::Sum(_) => self.iconst(0),
            _ => self.load_raw(place.at(8), Size::B8, false),
        };
        (first, second)
    }

    fn as_number(&mut self, ty: &Type, (first, second): (Value, Value)) -> Result<Value> {
        Ok(match ty {
            Type::Avg(sign) | Type::Stats(sign) => {
                let op = if sign.is_signed() {
                    AluOp::SDiv
                } else {
                    AluOp::Div
                };
                self.binary(op, first, second)
            }
            _ => first,
        })
    }

    /// Both words of an aggregation, over all processors.
    fn total_words(&mut self, map: MapId, key: Value, span: Span) -> Result<(Value, Value)> {
        let info = self.unit.map_info(map, span)?;
        let ty = info.value.clone();
        if !self.unit.map_kind(map).is_per_cpu() {
            let found = self.lookup(map.0, key);
            return self.words_if_found(found, &ty, None);
        }
        let zero = self.iconst(0);
        self.each_cpu(map, key, span, (zero, zero), |l, found, so_far| {
            l.words_if_found(found, &ty, Some(so_far))
        })
    }

    fn words_if_found(
        &mut self,
        found: Value,
        ty: &Type,
        so_far: Option<(Value, Value)>,
    ) -> Result<(Value, Value)> {
        let zero = self.iconst(0);
        let before = so_far.unwrap_or((zero, zero));
        let fork = self.fork();
        let (yes, _) = self.f.b.block(0);
        let (end, params) = self.f.b.block(2);
        self.f.b.branch(
            JmpOp::Ne,
            Width::W64,
            found,
            zero,
            (yes, &[]),
            (end, &[before.0, before.1]),
        );
        self.f.b.switch_to(yes);
        let words = self.words_of(Place::value(found, Memory::Own), ty);
        let (first, second) = match so_far {
            Some(so_far) => self.combine(ty, so_far, words)?,
            None => words,
        };
        self.f.b.jump(end, &[first, second]);
        self.join(end, fork);
        pair(&params, self.probe.span)
    }

    fn combine(
        &mut self,
        ty: &Type,
        so_far: (Value, Value),
        words: (Value, Value),
    ) -> Result<(Value, Value)> {
        let better = match ty {
            Type::Min(sign) if sign.is_signed() => JmpOp::Slt,
            Type::Min(_) => JmpOp::Lt,
            Type::Max(sign) if sign.is_signed() => JmpOp::Sgt,
            Type::Max(_) => JmpOp::Gt,
            _ => {
                let first = self.binary(AluOp::Add, so_far.0, words.0);
                let second = self.binary(AluOp::Add, so_far.1, words.1);
                return Ok((first, second));
            }
        };
        let zero = self.iconst(0);
        let set = self.binary(AluOp::Or, so_far.1, words.1);
        let first = self.choose(
            Test(JmpOp::Eq, words.1, zero),
            |_| Ok(so_far.0),
            |l| {
                l.choose(
                    Test(JmpOp::Eq, so_far.1, zero),
                    |_| Ok(words.0),
                    |l| {
                        l.choose(
                            Test(better, words.0, so_far.0),
                            |_| Ok(words.0),
                            |_| Ok(so_far.0),
                        )
                    },
                )
            },
        )?;
        Ok((first, set))
    }

    /// Calls for the value of each processor, null where there is none, and carries two numbers along.
    pub(super) fn each_cpu(
        &mut self,
        map: MapId,
        key: Value,
        span: Span,
        start: (Value, Value),
        work: impl FnOnce(&mut Self, Value, (Value, Value)) -> Result<(Value, Value)>,
    ) -> Result<(Value, Value)> {
        if !self.unit.target.lookup_percpu_elem {
            return Err(LowerError::Unsupported {
                what: "the value of an aggregation in a probe",
                needs: "bpf_map_lookup_percpu_elem (Linux 5.19)",
                span,
            });
        }
        let cpus = self.iconst(i64::from(self.unit.target.cpus.max(1)));
        let zero = self.iconst(0);
        let (head, params) = self.f.b.block(3);
        let (body, _) = self.f.b.block(0);
        let (end, _) = self.f.b.block(0);
        self.f.b.jump(head, &[zero, start.0, start.1]);
        self.f.b.switch_to(head);
        self.f.ssa.begin_loop(&mut self.f.b, Vec::new());
        let [cpu, first, second] = params[..] else {
            return Err(LowerError::Malformed {
                what: "a loop without its counters",
                span,
            });
        };
        self.branch(Test(JmpOp::Lt, cpu, cpus), body, end);
        self.f.b.switch_to(body);
        let map = self.map_ref(map.0);
        let found = self.call(
            helper::MAP_LOOKUP_PERCPU_ELEM,
            &[map, key, cpu],
            Effect::Reads,
        );
        let (first_next, second_next) = work(self, found, (first, second))?;
        let next = self.binary_imm(AluOp::Add, cpu, 1);
        self.f.b.jump(head, &[next, first_next, second_next]);
        self.f.b.switch_to(end);
        Ok((first, second))
    }

    /// The whole value of a key, summed up over processors.
    pub(super) fn total_into(
        &mut self,
        map: MapId,
        key: Value,
        to: Place,
        span: Span,
    ) -> Result<()> {
        let info = self.unit.map_info(map, span)?;
        let ty = info.value.clone();
        let size = self.unit.size_of(&ty);
        if !self.unit.map_kind(map).is_per_cpu() {
            let found = self.lookup(map.0, key);
            return self.copy_or_zero(found, to, size);
        }
        match ty {
            Type::Hist(_) | Type::TSeries(_) => {
                self.zero(to, size);
                let zero = self.iconst(0);
                self.each_cpu(map, key, span, (zero, zero), |l, found, so_far| {
                    l.when(Test(JmpOp::Ne, found, zero), |l| {
                        l.add_tables(to, Place::value(found, Memory::Own), size)
                    })?;
                    Ok(so_far)
                })?;
            }
            _ => {
                let (first, second) = self.total_words(map, key, span)?;
                self.store(to, Size::B8, first);
                if size > 8 {
                    self.store(to.at(8), Size::B8, second);
                }
            }
        }
        Ok(())
    }

    /// Adds the words of one table to those of another.
    fn add_tables(&mut self, to: Place, from: Place, size: u32) -> Result<()> {
        let end_at = self.iconst(i64::from(size / 8 * 8));
        let zero = self.iconst(0);
        let (head, params) = self.f.b.block(1);
        let (body, _) = self.f.b.block(0);
        let (end, _) = self.f.b.block(0);
        self.f.b.jump(head, &[zero]);
        self.f.b.switch_to(head);
        self.f.ssa.begin_loop(&mut self.f.b, Vec::new());
        let at = self.only(&params)?;
        self.branch(Test(JmpOp::Lt, at, end_at), body, end);
        self.f.b.switch_to(body);
        let (to, from) = (self.moved(to, at), self.moved(from, at));
        let sum = self.load_raw(to, Size::B8, false);
        let more = self.load_raw(from, Size::B8, false);
        let sum = self.binary(AluOp::Add, sum, more);
        self.store(to, Size::B8, sum);
        let next = self.binary_imm(AluOp::Add, at, 8);
        self.f.b.jump(head, &[next]);
        self.f.b.switch_to(end);
        Ok(())
    }

    /// Key or value of a loop's entry, as a scalar.
    pub(super) fn entry_number(&mut self, entry: Entry, index: u32, expr: &Expr) -> Result<Value> {
        let info = self.unit.map_info(entry.map, expr.span)?;
        if index == 1 && self.unit.value_is_per_cpu_sum(entry.map, &info.value) {
            let key = self.address(entry.key);
            return self.number_of_key(entry.map, key, expr.span);
        }
        let (size, signed) = self.scalar_repr(expr)?;
        let place = if index == 0 { entry.key } else { entry.value };
        self.load(place, size, signed)
    }

    /// Key or value of a loop's entry, as a place.
    pub(super) fn entry_place(&mut self, entry: Entry, index: u32, expr: &Expr) -> Result<Place> {
        let info = self.unit.map_info(entry.map, expr.span)?;
        if index == 0 {
            return Ok(entry.key);
        }
        if !self.unit.value_is_per_cpu_sum(entry.map, &info.value) {
            return Ok(entry.value);
        }
        let size = self.unit.size_of(&info.value);
        let to = self.temporary(size);
        let key = self.address(entry.key);
        self.total_into(entry.map, key, to, expr.span)?;
        Ok(to)
    }

    /// The entry as a tuple of key and value.
    pub(super) fn entry_into(&mut self, entry: Entry, var: VarId, span: Span) -> Result<()> {
        let Some(to) = self.var_memory(var, span)? else {
            return Ok(());
        };
        let Type::Tuple(members) = self.var_type(var) else {
            return Ok(());
        };
        let (offsets, size, _) = self.unit.tuple(members.iter());
        self.zero(to, size);
        for (index, (member, at)) in members.iter().zip(offsets).enumerate() {
            let part = Expr::new(ExprKind::Var(var), member.clone(), span);
            let to = to.at(i64::from(at));
            let index = index as u32;
            match self.unit.repr(member) {
                super::layout::Repr::Scalar { size, .. } => {
                    let value = self.entry_number(entry, index, &part)?;
                    self.store(to, size, value);
                }
                super::layout::Repr::Memory(size) => {
                    let mark = self.mark();
                    let from = self.entry_place(entry, index, &part)?;
                    self.copy(to, from, size)?;
                    self.release(mark);
                }
                super::layout::Repr::Void => {}
            }
        }
        Ok(())
    }

    /// An aggregation in the program's own memory as an integer.
    pub(super) fn aggregate_number(&mut self, expr: &Expr) -> Result<Value> {
        let mark = self.mark();
        let place = self.place(expr)?;
        let words = self.words_of(place, &expr.ty);
        let number = self.as_number(&expr.ty, words)?;
        self.release(mark);
        Ok(number)
    }
}

fn pair(params: &[Value], span: Span) -> Result<(Value, Value)> {
    match params {
        [a, b] => Ok((*a, *b)),
        _ => Err(LowerError::Malformed {
            what: "a block without its parameters",
            span,
        }),
    }
}
