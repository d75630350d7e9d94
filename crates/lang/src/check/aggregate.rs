//! Functions that sum up in a map: `count`, `sum`, `hist` and their kin.

use beetrace_object::SeriesAggregate;

use crate::ast::{Expr, ExprKind};
use crate::check::Checker;
use crate::check::literal::Lit;
use crate::check::promote::{aggregate_int, numeric};
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::expanded::Stability;
use crate::span::Span;
use crate::structs::base_name;
use crate::typed::{self, MapId};
use crate::types::{HistType, Histogram, Signedness, TimeSeries, TimeSeriesType, Type};

/// The functions that must be assigned directly to a map.
pub(crate) fn is_aggregate(name: &str) -> bool {
    matches!(
        name,
        "count" | "sum" | "min" | "max" | "avg" | "stats" | "hist" | "lhist" | "tseries"
    )
}

impl<'a> Checker<'a> {
    /// `@map[key] = function(…)`. `whole` is the right side: the call, or a block that ends with it.
    pub(crate) fn aggregate(
        &mut self,
        map: MapId,
        key: Option<&'a Expr>,
        whole: &'a Expr,
        call: &'a Expr,
        span: Span,
        out: &mut Vec<typed::Stmt>,
    ) -> Option<()> {
        let ExprKind::Call { name, args } = &call.kind else {
            return None;
        };
        let name = name.name.as_str();
        let mut stmts = Vec::new();
        let mut scopes = 0;
        let mut expr = whole;
        while let ExprKind::Block(block) = &expr.kind {
            self.push_scope();
            scopes += 1;
            self.statements(&block.stmts, &mut stmts);
            match &block.value {
                Some(value) => expr = value,
                None => break,
            }
        }
        let made = self.aggregate_in_scope(map, key, name, args, call.span, span);
        for _ in 0..scopes {
            self.pop_scope();
        }
        let made = made?;
        out.extend(stmts);
        out.push(typed::Stmt { kind: made, span });
        Some(())
    }

    fn aggregate_in_scope(
        &mut self,
        map: MapId,
        key: Option<&'a Expr>,
        name: &str,
        args: &'a [Expr],
        call: Span,
        span: Span,
    ) -> Option<typed::StmtKind> {
        let (least, most) = match name {
            "count" => (0, 0),
            "hist" => (1, 2),
            "lhist" => (4, 4),
            "tseries" => (3, 4),
            _ => (1, 1),
        };
        if !self.check_arity(name, args.len(), least, most, call) {
            return None;
        }
        let key = match key {
            Some(key) => Some(self.map_key(map, key, span)?),
            None => None,
        };
        let values: Vec<Option<Val>> = args.iter().map(|arg| self.expr(arg)).collect();
        let values = values.into_iter().collect::<Option<Vec<Val>>>()?;
        let ty = self.aggregate_type(name, &values, call)?;
        if !self.aggregate_map(map, &ty, call) {
            return None;
        }
        let value = match values.into_iter().next() {
            None => None,
            Some(value) => {
                let signed = match self.maps.get(map).value.as_ref() {
                    Some(Type::Stats(sign)) => sign.is_signed(),
                    Some(Type::TSeries(series)) => series.0.signed,
                    Some(kept) => aggregate_int(kept).is_none_or(|int| int.signed),
                    None => true,
                };
                let wide = if signed { Type::I64 } else { Type::U64 };
                Some(self.explicit_int(value, &wide).expr)
            }
        };
        Some(typed::StmtKind::Aggregate {
            map,
            key: key.map(|k| k.expr),
            value,
        })
    }

    fn aggregate_type(&mut self, name: &str, values: &[Val], call: Span) -> Option<Type> {
        let Some(first) = values.first() else {
            return Some(Type::Count);
        };
        let Some(int) = numeric(&first.ty) else {
            let message = match name {
                "hist" | "lhist" | "tseries" => format!(
                    "{name}() only supports int arguments ({} provided)",
                    base_name(&first.ty)
                ),
                _ => format!(
                    "{name}() only supports integer arguments ({} provided)",
                    self.type_name(&first.ty)
                ),
            };
            self.error("argument", call, message);
            return None;
        };
        let sign = if int.signed {
            Signedness::Signed
        } else {
            Signedness::Unsigned
        };
        match name {
            "sum" => Some(Type::Sum(sign)),
            "min" => Some(Type::Min(sign)),
            "max" => Some(Type::Max(sign)),
            "avg" => Some(Type::Avg(sign)),
            "stats" => Some(Type::Stats(sign)),
            "hist" => self.hist_type(values.get(1), call),
            "lhist" => self.lhist_type(values, call),
            _ => self.tseries_type(values, int.signed, call),
        }
    }

    fn hist_type(&mut self, bits: Option<&Val>, call: Span) -> Option<Type> {
        let bits = match bits {
            None => 0,
            Some(bits) => match bits.lit.as_ref().and_then(Lit::as_int) {
                None => {
                    let message = format!(
                        "hist() expects a int literal ({} provided)",
                        base_name(&bits.ty)
                    );
                    self.error("argument", call, message);
                    return None;
                }
                Some(n) => n,
            },
        };
        match u8::try_from(bits).ok().filter(|&n| n <= 5) {
            Some(bits) => Some(Type::Hist(HistType(Histogram::Log2 { bits }))),
            None => {
                self.error("argument", call, format!("hist: bits {bits} must be 0..5"));
                None
            }
        }
    }

    fn lhist_type(&mut self, values: &[Val], call: Span) -> Option<Type> {
        let mut bounds = [0i128; 3];
        let names = [
            "min value (must be non-negative literal)",
            "max value (must be non-negative literal)",
            "step value",
        ];
        for ((bound, name), value) in bounds.iter_mut().zip(names).zip(values.get(1..)?) {
            match value.lit.as_ref().and_then(Lit::as_int).filter(|n| *n >= 0) {
                Some(n) => *bound = n,
                None => {
                    self.error("argument", call, format!("lhist: invalid {name}"));
                    return None;
                }
            }
        }
        let [min, max, step] = bounds;
        let mut problems = Vec::new();
        if step < 1 {
            problems.push(format!("lhist() step must be >= 1 ({step} provided)"));
        } else if (max - min) / step > 1000 {
            problems.push(format!(
                "lhist() too many buckets, must be <= 1000 (would need {})",
                (max - min) / step
            ));
        }
        if min > max {
            problems.push(format!(
                "lhist() min must be less than max (provided min {min} and max {max})"
            ));
        } else if max - min < step {
            problems.push(format!(
                "lhist() step is too large for the given range (provided step {step} for range {})",
                max - min
            ));
        }
        let narrow = |n: i128| i64::try_from(n).ok();
        match (narrow(min), narrow(max), narrow(step)) {
            (Some(min), Some(max), Some(step)) if problems.is_empty() => {
                Some(Type::Hist(HistType(Histogram::Linear { min, max, step })))
            }
            _ => {
                for problem in problems {
                    self.error("argument", call, problem);
                }
                None
            }
        }
    }

    fn tseries_type(&mut self, values: &[Val], signed: bool, call: Span) -> Option<Type> {
        match self.script.settings.unstable_tseries {
            Stability::Enable => {}
            // About the script, not about a place in it.
            Stability::Warn => self.report(Diagnostic::warning(
                "unstable",
                "Script is using an unstable feature. To prevent this warning you must explicitly enable the unstable feature in the config e.g. unstable_tseries=enable",
            )),
            Stability::Error => {
                self.report(
                    Diagnostic::error("unstable", "tseries feature is not enabled by default. To enable this unstable feature, set the config flag to enable. unstable_tseries=enable")
                        .at(call, ""),
                );
                return None;
            }
        }
        let number = |i: usize| values.get(i).and_then(|v| v.lit.as_ref()?.as_int());
        let Some(interval) = number(1).filter(|n| *n >= 0) else {
            self.error(
                "argument",
                call,
                "tseries: invalid interval_ns value (must be non-negative literal)",
            );
            return None;
        };
        let Some(count) = number(2).filter(|n| *n >= 0) else {
            self.error(
                "argument",
                call,
                "tseries: invalid num_intervals value (must be non-negative literal)",
            );
            return None;
        };
        if interval < 1 {
            self.error(
                "argument",
                call,
                format!("tseries() interval_ns must be >= 1 ({interval} provided)"),
            );
            return None;
        }
        if count < 1 {
            self.error(
                "argument",
                call,
                format!("tseries() num_intervals must be >= 1 ({count} provided)"),
            );
            return None;
        }
        if count > 1_000_000 {
            self.error(
                "argument",
                call,
                format!("tseries() num_intervals must be < 1000000 ({count} provided)"),
            );
            return None;
        }
        let aggregate = match values.get(3) {
            None => None,
            Some(value) => match value.lit.as_ref().and_then(Lit::as_str) {
                Some("avg") => Some(SeriesAggregate::Avg),
                Some("max") => Some(SeriesAggregate::Max),
                Some("min") => Some(SeriesAggregate::Min),
                Some("sum") => Some(SeriesAggregate::Sum),
                Some(other) => {
                    self.error(
                        "argument",
                        call,
                        format!("tseries() expects one of the following aggregation functions: avg, max, min, sum (\"{other}\" provided)"),
                    );
                    return None;
                }
                None => {
                    self.error(
                        "argument",
                        call,
                        format!(
                            "tseries() expects a string literal ({} provided)",
                            base_name(&value.ty)
                        ),
                    );
                    return None;
                }
            },
        };
        Some(Type::TSeries(TimeSeriesType(TimeSeries {
            interval: u64::try_from(interval).unwrap_or(u64::MAX),
            buckets: u32::try_from(count).unwrap_or(1),
            aggregate,
            signed,
        })))
    }

    /// Whether the value can be assigned to the map: what one map sums up does not move to another.
    pub(crate) fn check_map_value(&mut self, map: MapId, value: &Val, span: Span) -> bool {
        let state = self.maps.get(map);
        let name = state.name.clone();
        let holds_integers = state.value.as_ref().is_some_and(Type::is_integer);
        if value.ty == Type::Void {
            self.error(
                "assignment",
                span,
                "Value 'void' cannot be assigned to a map.",
            );
            return false;
        }
        if !value.ty.is_aggregate() || (aggregate_int(&value.ty).is_some() && holds_integers) {
            return true;
        }
        self.maps.get_mut(map).refused = true;
        let call = match &value.ty {
            Type::Count => "count()",
            Type::Sum(_) => "sum(retval)",
            Type::Min(_) => "min(retval)",
            Type::Max(_) => "max(retval)",
            Type::Avg(_) => "avg(retval)",
            Type::Stats(_) => "stats(arg2)",
            Type::Hist(HistType(Histogram::Linear { .. })) => "lhist(rand %10, 0, 10, 1)",
            Type::Hist(_) => "hist(retval)",
            _ => "tseries(rand %10, 10s, 1)",
        };
        let mut diagnostic = Diagnostic::error(
            "assignment",
            format!(
                "Map value '{}' cannot be assigned from one map to another. The function that returns this type must be called directly e.g. `{name} = {call};`.",
                self.type_name(&value.ty)
            ),
        )
        .at(span, "");
        if let typed::ExprKind::MapAggregate { map, .. } = &value.expr.kind
            && aggregate_int(&value.ty).is_some()
        {
            let other = self.maps.get(*map).name.clone();
            diagnostic = diagnostic.help(format!(
                "Add a cast to integer if you want the value of the aggregate, e.g. `{name} = (int64){other};`."
            ));
        }
        self.report(diagnostic);
        false
    }
}
