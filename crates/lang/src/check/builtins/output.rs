//! What is told to user space: text, values, maps, the end.

use beetrace_object::Destination;

use crate::ast::{Expr, ExprKind};
use crate::check::Checker;
use crate::check::builtins::Answer;
use crate::check::coerce::cast;
use crate::check::format::{self, Part};
use crate::check::literal::Lit;
use crate::check::promote::{aggregate_int, is_multiple, numeric};
use crate::check::value::Val;
use crate::span::Span;
use crate::structs::base_name;
use crate::typed::{Action, Cast};
use crate::types::{IntType, Space, Type};

impl<'a> Checker<'a> {
    pub(crate) fn output_word(&mut self, name: &str, span: Span) -> Answer {
        match name {
            "exit" | "time" => self
                .output_call(name, &[], span)
                .or_else(|| self.time_call(name, &[], span)),
            _ => None,
        }
    }

    pub(crate) fn output_call(&mut self, name: &str, args: &'a [Expr], span: Span) -> Answer {
        let to = match name {
            "printf" => Destination::Output,
            "errorf" => Destination::Error,
            "warnf" => Destination::Warning,
            "system" => Destination::System,
            "cat" => Destination::Cat,
            "print" => return Some(self.print(args, span)),
            "exit" => return Some(self.exit(args.first(), span)),
            "join" => return Some(self.join(args, span)),
            "unwatch" => return Some(self.unwatch(args, span)),
            "debugf" => return Some(self.debugf(args, span)),
            _ => return None,
        };
        if to == Destination::System && !self.check_safety(name, span) {
            return Some(None);
        }
        Some(self.formatted(name, to, args, span))
    }

    fn formatted(
        &mut self,
        name: &str,
        to: Destination,
        args: &'a [Expr],
        span: Span,
    ) -> Option<Val> {
        let (text, args) = args.split_first()?;
        self.now.format_text = matches!(
            to,
            Destination::Output | Destination::Error | Destination::Warning
        );
        let text = self.literal_text(name, text, span);
        self.now.format_text = false;
        let values: Vec<Option<Val>> = args.iter().map(|arg| self.expr(arg)).collect();
        let text = text?;
        let values = values.into_iter().collect::<Option<Vec<Val>>>()?;
        let parts = format::parse(&text);
        self.check_format(&parts, &values, span)?;
        let args = values
            .into_iter()
            .map(|value| {
                self.complete(&value.ty);
                value.expr
            })
            .collect();
        Some(Val::action(
            Action::Format {
                format: format::finish(parts),
                to,
                args,
            },
            span,
        ))
    }

    /// The kernel itself formats the text (`bpf_bprintf_prepare` in kernel/bpf/helpers.c).
    fn debugf(&mut self, args: &'a [Expr], span: Span) -> Option<Val> {
        /// Conversions that the kernel knows.
        const CONVERSIONS: &str = "diuxXcps";
        /// The most arguments that it takes (`MAX_BPRINTF_VARARGS`).
        const MOST: usize = 12;
        let (text, args) = args.split_first()?;
        self.now.format_text = true;
        let text = self.literal_text("debugf", text, span);
        self.now.format_text = false;
        let values: Vec<Option<Val>> = args.iter().map(|arg| self.expr(arg)).collect();
        let text = text?;
        let values = values.into_iter().collect::<Option<Vec<Val>>>()?;
        let parts = format::parse(&text);
        self.check_format(&parts, &values, span)?;
        let strange = parts.iter().find_map(|part| match part {
            Part::Spec(spec) if !CONVERSIONS.contains(&spec.letters) => Some(&spec.letters),
            _ => None,
        });
        if let Some(letters) = strange {
            let message = format!("debugf() cannot print %{letters}: the kernel does not know it");
            self.error("format", span, message);
            return None;
        }
        if values.len() > MOST {
            let message = format!(
                "debugf() takes at most {MOST} values ({} provided)",
                values.len()
            );
            self.error("format", span, message);
            return None;
        }
        let action = Action::Debug {
            format: text,
            args: values.into_iter().map(|value| value.expr).collect(),
        };
        Some(Val::action(action, span))
    }

    fn check_format(&mut self, parts: &[Part], values: &[Val], span: Span) -> Option<()> {
        let specs: Vec<_> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Spec(spec) => Some(spec),
                Part::Text(_) => None,
            })
            .collect();
        if values.len() != specs.len() {
            let which = if values.len() < specs.len() {
                "not enough"
            } else {
                "too many"
            };
            self.error(
                "format",
                span,
                format!(
                    "{which} arguments for format string ({} supplied, {} expected)",
                    values.len(),
                    specs.len()
                ),
            );
            return None;
        }
        for (spec, value) in specs.into_iter().zip(values) {
            let letters = &spec.letters;
            let fits = match letters.as_str() {
                _ if value.ty == Type::Void => {
                    self.error(
                        "format",
                        span,
                        format!("unable to print none type for specifier: {letters}"),
                    );
                    return None;
                }
                "s" => true,
                "d" | "i" | "u" | "o" | "x" | "X" | "c" | "p" | "gr" => {
                    numeric(&value.ty).is_some()
                        || matches!(value.ty, Type::Bool | Type::Pointer(..))
                }
                "r" | "rx" | "rh" => matches!(value.ty, Type::Buf(_)),
                _ => {
                    self.error(
                        "format",
                        span,
                        format!("unsupported format specifier: {letters}"),
                    );
                    return None;
                }
            };
            if !fits {
                let message = format!(
                    "unsupported format specifier for type '{}': {letters}",
                    self.type_name(&value.ty)
                );
                self.error("format", span, message);
                return None;
            }
            if value.ty.is_aggregate() && aggregate_int(&value.ty).is_none() {
                let message = format!(
                    "{} type passed to printf() is not printable",
                    self.type_name(&value.ty)
                );
                self.error("format", span, message);
                return None;
            }
        }
        Some(())
    }

    fn print(&mut self, args: &'a [Expr], span: Span) -> Option<Val> {
        let (what, rest) = args.split_first()?;
        if let ExprKind::Map(name) = &what.kind {
            return self.print_map(name, what.span, rest, span);
        }
        if let ExprKind::MapKey { map, key } = &what.kind
            && rest.is_empty()
            && let Some(action) = self.print_aggregate(&map.name, key, what.span, span)?
        {
            return Some(action);
        }
        let value = self.expr(what)?;
        if !rest.is_empty() {
            self.error(
                "print",
                span,
                format!(
                    "Non-map print() only takes 1 argument, {} found",
                    args.len()
                ),
            );
            return None;
        }
        if value.ty == Type::Void {
            self.error(
                "print",
                span,
                "void type passed to print() is not printable",
            );
            return None;
        }
        self.complete(&value.ty);
        Some(Val::action(Action::PrintValue(value.expr), span))
    }

    /// `print(@map[key])` where no single number is kept: the run shows it as it shows the map. `Some(None)` for all others.
    fn print_aggregate(
        &mut self,
        name: &str,
        key: &'a Expr,
        at: Span,
        span: Span,
    ) -> Option<Option<Val>> {
        let held = self
            .maps
            .find(name)
            .and_then(|id| self.maps.get(id).value.clone());
        let Some(value) = held.filter(|v| v.is_aggregate() && aggregate_int(v).is_none()) else {
            return Some(None);
        };
        let map = self.map_use(name, true, at)?;
        let key = self.map_key(map, key, at)?;
        if is_multiple(&value) {
            let message = format!(
                "Map type {} cannot print the value of individual keys. You must print the whole map.",
                self.type_name(&value)
            );
            self.error("print", span, message);
            return None;
        }
        let key = Some(key.expr);
        Some(Some(Val::action(Action::PrintMapKey { map, key }, span)))
    }

    fn print_map(&mut self, name: &str, at: Span, rest: &'a [Expr], span: Span) -> Option<Val> {
        let mut numbers = [0u32; 2];
        for (number, arg) in numbers.iter_mut().zip(rest) {
            let n = self.literal_int("print", arg, span)?;
            *number = u32::try_from(n.max(0)).unwrap_or(u32::MAX);
        }
        let [top, div] = numbers;
        let map = self.whole_map(name, at)?;
        if self.now.loops > 0 {
            self.warn(
                "print",
                span,
                "Due to it's asynchronous nature using 'print()' in a loop can lead to unexpected behavior. The map will likely be updated before the runtime can 'print' it.",
            );
        }
        let value = self.maps.get(map).value.clone();
        if matches!(value, Some(Type::Stats(_))) && !rest.is_empty() {
            self.warn(
                "print",
                span,
                "print()'s top and div arguments are ignored when used on stats() maps.",
            );
        }
        if let Some(value) = value {
            self.complete(&value);
        }
        Some(Val::action(Action::PrintMap { map, top, div }, span))
    }

    fn exit(&mut self, code: Option<&'a Expr>, span: Span) -> Option<Val> {
        let code = match code {
            None => Val::constant(Lit::Int(0), span),
            Some(code) => self.integer("exit", code, span)?,
        };
        let code = self.explicit_int(code, &Type::Int(IntType::U8));
        Some(Val::action(Action::Exit(code.expr), span))
    }

    fn join(&mut self, args: &'a [Expr], span: Span) -> Option<Val> {
        let argv = self.expr(args.first()?)?;
        let separator = match args.get(1) {
            None => " ".to_owned(),
            Some(separator) => self.literal_text("join", separator, span)?,
        };
        let character = Type::Int(IntType::I8);
        let space = match argv.known_space() {
            Space::None => self.now.default_space(),
            space => space,
        };
        let ty = Type::pointer(Type::pointer(character, space), space);
        let argv = match &argv.ty {
            Type::Pointer(..) => cast(Cast::Int, argv, ty),
            t if numeric(t).is_some() => {
                let wide = self.wide(argv);
                cast(Cast::Int, wide, ty)
            }
            other => {
                let message = format!(
                    "() only supports int or pointer arguments ({} provided)",
                    base_name(other)
                );
                self.error("argument", span, message);
                return None;
            }
        };
        Some(Val::action(
            Action::Join {
                argv: argv.expr,
                separator,
            },
            span,
        ))
    }

    fn unwatch(&mut self, args: &'a [Expr], span: Span) -> Option<Val> {
        let address = self.integer("unwatch", args.first()?, span)?;
        let address = self.as_u64(address);
        Some(Val::action(Action::Unwatch(address.expr), span))
    }
}
