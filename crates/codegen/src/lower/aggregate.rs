//! Aggregations: what `count`, `sum`, `min`, `max`, `avg`, `stats`, `hist`, `lhist` and `tseries` do to a map's value.

use beetrace_isa::{AluOp, AtomicOp, JmpOp, Size};
use beetrace_lang::span::Span;
use beetrace_lang::typed::{Expr, MapId};
use beetrace_lang::types::{Clock, Signedness, Type};
use beetrace_object::{Histogram, SeriesAggregate, TimeSeries};

use super::func::{Lower, Test};
use super::maps::BPF_NOEXIST;
use super::memory::Place;
use super::{LowerError, Result};
use crate::ir::Value;

/// How a value of two words takes another number.
#[derive(Clone, Copy, Debug)]
enum Words {
    /// Adds to the first word.
    Add,
    /// Adds to the first word, counts in the second.
    AddAndCount,
    /// Keeps the smaller or the larger in the first word; the second says that there is one.
    Extreme(JmpOp),
}

impl Lower<'_, '_> {
    pub(super) fn aggregate(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        value: Option<&Expr>,
        span: Span,
    ) -> Result<()> {
        let mark = self.mark();
        let ty = self.unit.map_info(map, span)?.value.clone();
        let number = match value {
            Some(value) => self.scalar(value)?,
            None => self.iconst(1),
        };
        match ty {
            Type::Count => {
                let one = self.iconst(1);
                self.words(map, key, one, Words::Add, span)?;
            }
            Type::Sum(_) => self.words(map, key, number, Words::Add, span)?,
            Type::Avg(_) | Type::Stats(_) => {
                self.words(map, key, number, Words::AddAndCount, span)?;
            }
            Type::Min(sign) => {
                let op = if sign == Signedness::Signed {
                    JmpOp::Slt
                } else {
                    JmpOp::Lt
                };
                self.words(map, key, number, Words::Extreme(op), span)?;
            }
            Type::Max(sign) => {
                let op = if sign == Signedness::Signed {
                    JmpOp::Sgt
                } else {
                    JmpOp::Gt
                };
                self.words(map, key, number, Words::Extreme(op), span)?;
            }
            Type::Hist(hist) => {
                let bucket = self.bucket(hist.0, number)?;
                let buckets = i64::from(hist.0.buckets());
                let bucket = self.at_most(bucket, buckets - 1)?;
                let at = self.binary_imm(AluOp::Lsh, bucket, 3);
                self.in_table(map, key, &ty, span, |l, table| {
                    let counter = l.moved(table, at);
                    let old = l.load_raw(counter, Size::B8, false);
                    let new = l.binary_imm(AluOp::Add, old, 1);
                    l.store(counter, Size::B8, new);
                    Ok(())
                })?;
            }
            Type::TSeries(series) => {
                self.in_table(map, key, &ty, span, |l, table| {
                    l.series(series.0, number, table)
                })?;
            }
            _ => {
                return Err(LowerError::Malformed {
                    what: "an aggregation into a map that holds none",
                    span,
                });
            }
        }
        self.release(mark);
        Ok(())
    }

    /// A place at a distance that is known only at run time.
    pub(super) fn moved(&mut self, place: Place, by: Value) -> Place {
        let start = self.address(place);
        let address = self.binary(AluOp::Add, start, by);
        Place::value(address, place.memory)
    }

    fn words(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        number: Value,
        words: Words,
        span: Span,
    ) -> Result<()> {
        let kind = self.unit.map_kind(map);
        let shared = !kind.is_per_cpu();
        if let Some(place) = self.direct(map, span)? {
            self.mark_set(map, place);
            return self.words_in_place(place, number, words, shared);
        }
        let key = self.key(map, key, span)?;
        let found = self.lookup(map.0, key);
        self.if_found(
            found,
            |l, place| {
                l.mark_set(map, place);
                l.words_in_place(place, number, words, shared)
            },
            |l| {
                if !kind.is_hash() {
                    return Ok(());
                }
                let first = l.temporary(16);
                l.store(first, Size::B8, number);
                if !matches!(words, Words::Add) {
                    let one = l.iconst(1);
                    l.store(first.at(8), Size::B8, one);
                }
                let first = l.address(first);
                l.update(map, key, first)
            },
        )
    }

    fn words_in_place(
        &mut self,
        place: Place,
        number: Value,
        words: Words,
        shared: bool,
    ) -> Result<()> {
        match words {
            Words::Add => self.add(place, number, shared),
            Words::AddAndCount => {
                self.add(place, number, shared);
                let one = self.iconst(1);
                self.add(place.at(8), one, shared);
            }
            Words::Extreme(op) => return self.extreme(place, number, op),
        }
        Ok(())
    }

    fn add(&mut self, place: Place, number: Value, shared: bool) {
        if shared {
            let base = self.address(place);
            let op = AtomicOp::Add { fetch: false };
            self.f.b.atomic(op, Size::B8, base, 0, number);
            return;
        }
        let old = self.load_raw(place, Size::B8, false);
        let new = self.binary(AluOp::Add, old, number);
        self.store(place, Size::B8, new);
    }

    /// The second word is not zero once the first is set.
    fn extreme(&mut self, place: Place, number: Value, op: JmpOp) -> Result<()> {
        let fork = self.fork();
        let (compare, _) = self.f.b.block(0);
        let (write, _) = self.f.b.block(0);
        let (end, _) = self.f.b.block(0);
        let zero = self.iconst(0);
        let set = self.load_raw(place.at(8), Size::B8, false);
        self.branch(Test(JmpOp::Ne, set, zero), compare, write);
        self.f.b.switch_to(compare);
        let old = self.load_raw(place, Size::B8, false);
        self.branch(Test(op, number, old), write, end);
        self.f.b.switch_to(write);
        self.store(place, Size::B8, number);
        let one = self.iconst(1);
        self.store(place.at(8), Size::B8, one);
        self.f.b.jump(end, &[]);
        self.join(end, fork);
        Ok(())
    }

    /// Does something to a value that is too large to be built: one of zeros is inserted where there is none.
    fn in_table(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        ty: &Type,
        span: Span,
        work: impl FnOnce(&mut Self, Place) -> Result<()>,
    ) -> Result<()> {
        if let Some(place) = self.direct(map, span)? {
            self.mark_set(map, place);
            return work(self, place);
        }
        let is_hash = self.unit.map_kind(map).is_hash();
        let size = self.unit.size_of(ty);
        let key = self.key(map, key, span)?;
        let found = self.lookup(map.0, key);
        let zero = self.iconst(0);
        let found = if is_hash {
            self.choose(
                Test(JmpOp::Ne, found, zero),
                |_| Ok(found),
                |l| {
                    let zeros = l.zeros(size);
                    let zeros = l.address(zeros);
                    let result = l.update_with(map, key, zeros, BPF_NOEXIST);
                    let found = l.lookup(map.0, key);
                    let none = l.iconst(0);
                    l.when(Test(JmpOp::Eq, found, none), |l| l.update_failed(result))?;
                    Ok(found)
                },
            )?
        } else {
            found
        };
        self.if_found(
            found,
            |l, place| {
                l.mark_set(map, place);
                work(l, place)
            },
            |_| Ok(()),
        )
    }

    /// The bucket of a number.
    fn bucket(&mut self, histogram: Histogram, number: Value) -> Result<Value> {
        let zero = self.iconst(0);
        match histogram {
            Histogram::Linear { min, max, step } => {
                let last = self.iconst(i64::from(histogram.buckets()) - 1);
                let (low, high) = (self.iconst(min), self.iconst(max));
                self.choose(
                    Test(JmpOp::Slt, number, low),
                    |_| Ok(zero),
                    |l| {
                        l.choose(
                            Test(JmpOp::Sge, number, high),
                            |_| Ok(last),
                            |l| {
                                let from = l.binary(AluOp::Sub, number, low);
                                let inner = l.binary_imm(AluOp::Div, from, step.max(1));
                                Ok(l.binary_imm(AluOp::Add, inner, 1))
                            },
                        )
                    },
                )
            }
            Histogram::Log2 { bits } => {
                let bits = i64::from(bits.min(8));
                let exact = self.iconst(1 << bits);
                self.choose(
                    Test(JmpOp::Slt, number, zero),
                    |_| Ok(zero),
                    |l| {
                        l.choose(
                            Test(JmpOp::Slt, number, exact),
                            |l| Ok(l.binary_imm(AluOp::Add, number, 1)),
                            |l| l.log2_bucket(number, bits),
                        )
                    },
                )
            }
        }
    }

    /// The bucket of a number of at least `1 << bits`.
    fn log2_bucket(&mut self, number: Value, bits: i64) -> Result<Value> {
        let mut rest = number;
        let mut power = self.iconst(0);
        for step in [32, 16, 8, 4, 2, 1] {
            let (more, _) = self.f.b.block(0);
            let (end, params) = self.f.b.block(2);
            let fork = self.fork();
            let limit = self.iconst(1i64 << step);
            self.f.b.branch(
                JmpOp::Ge,
                beetrace_isa::Width::W64,
                rest,
                limit,
                (more, &[]),
                (end, &[rest, power]),
            );
            self.f.b.switch_to(more);
            let less = self.binary_imm(AluOp::Rsh, rest, step);
            let greater = self.binary_imm(AluOp::Add, power, step);
            self.f.b.jump(end, &[less, greater]);
            self.join(end, fork);
            if let [r, p] = params[..] {
                rest = r;
                power = p;
            }
        }
        // One bucket for each number below `1 << bits`, then `1 << bits` buckets for each power.
        let shift = self.binary_imm(AluOp::Sub, power, bits);
        let group = self.binary_imm(AluOp::Lsh, shift, bits);
        let within = self.binary(AluOp::Rsh, number, shift);
        let bucket = self.binary(AluOp::Add, group, within);
        Ok(self.binary_imm(AluOp::Add, bucket, 1))
    }

    /// Adds a number to the interval of now.
    fn series(&mut self, series: TimeSeries, number: Value, table: Place) -> Result<()> {
        let now = self.nanoseconds(Clock::SwTai)?;
        let interval = i64::try_from(series.interval).unwrap_or(i64::MAX).max(1);
        let buckets = i64::from(series.buckets.max(1));
        let epoch = self.binary_imm(AluOp::Div, now, interval);
        let index = self.binary_imm(AluOp::Mod, epoch, buckets);
        let index = self.at_most(index, buckets - 1)?;
        let distance = self.binary_imm(AluOp::Lsh, index, 5);
        let entry = self.moved(table, distance);
        let (value, meta) = (entry.at(8), entry.at(16));
        let Some(aggregate) = series.aggregate else {
            self.store(entry, Size::B8, epoch);
            self.store(value, Size::B8, number);
            self.store(meta, Size::B8, now);
            return Ok(());
        };
        let fork = self.fork();
        let (same, _) = self.f.b.block(0);
        let (fresh, _) = self.f.b.block(0);
        let (end, _) = self.f.b.block(0);
        let before = self.load_raw(entry, Size::B8, false);
        self.branch(Test(JmpOp::Eq, before, epoch), same, fresh);
        self.f.b.switch_to(fresh);
        self.store(entry, Size::B8, epoch);
        self.store(value, Size::B8, number);
        let one = self.iconst(1);
        self.store(meta, Size::B8, one);
        self.f.b.jump(end, &[]);
        self.f.b.switch_to(same);
        match (aggregate, series.signed) {
            (SeriesAggregate::Sum, _) => self.add(value, number, false),
            (SeriesAggregate::Avg, _) => {
                self.add(value, number, false);
                let one = self.iconst(1);
                self.add(meta, one, false);
            }
            (SeriesAggregate::Min, true) => self.extreme(value, number, JmpOp::Slt)?,
            (SeriesAggregate::Min, false) => self.extreme(value, number, JmpOp::Lt)?,
            (SeriesAggregate::Max, true) => self.extreme(value, number, JmpOp::Sgt)?,
            (SeriesAggregate::Max, false) => self.extreme(value, number, JmpOp::Gt)?,
        }
        self.f.b.jump(end, &[]);
        self.join(end, fork);
        Ok(())
    }
}
