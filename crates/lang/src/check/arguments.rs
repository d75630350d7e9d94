//! What a probe passes to its program: `args`, `argN`, `retval`, `ctx`.

use beetrace_object::Event;
use beetrace_probes::usdt::{Argument, Place};
use beetrace_probes::{Arguments, BtfParam, Context, Match, tracepoint};

use crate::check::Checker;
use crate::check::cast::wrap;
use crate::check::coerce::cast;
use crate::check::registers;
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::structs::{FieldDef, StructId};
use crate::typed::{self, Cast};
use crate::types::{IntType, Space, Type};

impl<'a> Checker<'a> {
    /// `args`
    pub(crate) fn args(&mut self, span: Span) -> Option<Val> {
        let Some(matched) = self.now.matched else {
            self.error("context", span, "Builtin args not supported outside probe");
            return None;
        };
        let id = match self.now.arguments {
            Some(id) => id,
            None => {
                let id = self.arguments_struct(matched, span)?;
                self.now.arguments = Some(id);
                id
            }
        };
        self.outside_loops("args", span)?;
        Some(Val::new(
            typed::ExprKind::Context,
            Type::Struct(id, Space::Context),
            span,
        ))
    }

    fn arguments_struct(&mut self, matched: &'a Match, span: Span) -> Option<StructId> {
        let name = format!("struct {}", argument_struct_name(matched));
        if let Some(id) = self.structs.named(&name) {
            return Some(id);
        }
        match &matched.arguments {
            Arguments::Tracepoint(format) => Some(self.tracepoint_struct(name, format)),
            Arguments::Btf { module, params, .. } => {
                if params.is_empty() {
                    self.error("context", span, "Cannot read function parameters");
                    return None;
                }
                Some(self.parameter_struct(name, module.as_deref(), params))
            }
            _ => {
                let message = format!(
                    "The args builtin can only be used with tracepoint, rawtracepoint, fentry/fexit, and uprobe probes ({} used here)",
                    self.now.provider()
                );
                self.error("context", span, message);
                None
            }
        }
    }

    fn tracepoint_struct(&mut self, name: String, format: &tracepoint::Format) -> StructId {
        let mut fields = Vec::new();
        let mut size = 0;
        for field in &format.fields {
            size = size.max(field.offset.saturating_add(field.size));
            let is_loc = field.data_loc || field.rel_loc;
            let ty = if is_loc {
                Type::pointer(Type::Int(IntType::I8), Space::Kernel)
            } else {
                self.tracepoint_type(field)
            };
            fields.push(FieldDef {
                name: field.name.clone(),
                ty,
                offset: field.offset,
                bits: None,
                data_loc: is_loc,
            });
        }
        self.structs.add(name, size, 8, fields)
    }

    fn tracepoint_type(&mut self, field: &tracepoint::FormatField) -> Type {
        let int = |bytes: u32, signed| match bytes {
            1 => Some(IntType { bits: 8, signed }),
            2 => Some(IntType { bits: 16, signed }),
            4 => Some(IntType { bits: 32, signed }),
            8 => Some(IntType { bits: 64, signed }),
            _ => None,
        };
        let ty = self.structs.c_text(&self.btf, &field.ty);
        if let Some(len) = field.array {
            if field.ty.trim() == "char" && len > 0 {
                return Type::Str(len);
            }
            let size = field.size.checked_div(len).unwrap_or(0);
            let of = match ty {
                Some(ty) if ty != Type::Void => ty,
                _ => int(size, field.signed).map_or(Type::Int(IntType::U8), Type::Int),
            };
            return Type::Array(Box::new(of), len);
        }
        match (ty, int(field.size, field.signed)) {
            // The file knows better than the name how wide the field is.
            (Some(Type::Int(_)) | None, Some(int)) => Type::Int(int),
            (Some(Type::Enum(id, _)), Some(int)) => Type::Enum(id, int),
            (Some(ty), _) => ty,
            (None, None) => Type::Array(Box::new(Type::Int(IntType::U8)), field.size),
        }
    }

    fn parameter_struct(
        &mut self,
        name: String,
        module: Option<&str>,
        params: &[BtfParam],
    ) -> StructId {
        let mut fields = Vec::new();
        for (index, param) in params.iter().enumerate() {
            let ty = self
                .structs
                .btf_type(&self.btf, module, beetrace_btf::TypeId(param.type_id));
            fields.push(FieldDef {
                name: param.name.clone(),
                ty,
                offset: u32::try_from(index * 8).unwrap_or(u32::MAX),
                bits: None,
                data_loc: false,
            });
        }
        let size = u32::try_from(params.len() * 8).unwrap_or(u32::MAX);
        self.structs.add(name, size, 8, fields)
    }

    pub(crate) fn is_arguments(&self, base: &Val) -> bool {
        match base.ty {
            Type::Struct(id, Space::Context) => self.now.arguments == Some(id),
            _ => false,
        }
    }

    /// A member of `args`, where that is no plain place in the context. The inner `None` is an error that was reported.
    pub(crate) fn argument_member(
        &mut self,
        base: &Val,
        field: &FieldDef,
        span: Span,
    ) -> Option<Option<Val>> {
        if !self.is_arguments(base) {
            return None;
        }
        match &self.now.matched?.arguments {
            Arguments::Tracepoint(format) => {
                let common = format
                    .fields
                    .iter()
                    .any(|f| f.name == field.name && (f.common || f.offset < 8));
                if common {
                    self.error(
                        "context",
                        span,
                        "BPF does not support accessing common tracepoint fields",
                    );
                    return Some(None);
                }
                if !field.data_loc {
                    return None;
                }
                let kind = typed::ExprKind::DataLoc {
                    base: Box::new(base.expr.clone()),
                    offset: field.offset,
                };
                Some(Some(Val::new(kind, field.ty.clone(), span)))
            }
            Arguments::Btf { .. } => {
                Some(self.word(field.offset / 8, &field.ty, &field.name, span))
            }
            _ => None,
        }
    }

    /// The `n`th 64-bit word of the context as a value of that type.
    fn word(&mut self, n: u32, ty: &Type, name: &str, span: Span) -> Option<Val> {
        let word = typed::ExprKind::Argument(n);
        let space = self.now.default_space();
        match ty {
            Type::Pointer(to, Space::None) => {
                let space = match **to {
                    Type::Struct(..) => Space::Btf,
                    _ => space,
                };
                Some(Val::new(word, Type::pointer((**to).clone(), space), span))
            }
            Type::Pointer(..) => Some(Val::new(word, ty.clone(), span)),
            Type::Int(_) | Type::Enum(..) => {
                let word = Val::new(word, Type::U64, span).in_space(space);
                Some(cast(Cast::Int, word, ty.clone()))
            }
            Type::Bool => {
                let word = Val::new(word, Type::U64, span);
                let byte = cast(Cast::Int, word, Type::Int(IntType::U8));
                Some(cast(Cast::Bool, byte, Type::Bool))
            }
            _ => {
                self.error("context", span, format!("{name} has unsupported type"));
                None
            }
        }
    }

    /// The body of a `for` runs as a function of its own, which has no context.
    pub(crate) fn outside_loops(&mut self, name: &str, span: Span) -> Option<()> {
        if self.now.loop_bodies == 0 {
            return Some(());
        }
        self.report(
            Diagnostic::error(
                "context",
                format!("'{name}' builtin is not allowed in a for-loop"),
            )
            .at(span, "")
            .help("read it into a variable before the loop"),
        );
        None
    }

    /// `argN`
    pub(crate) fn argument(&mut self, n: u32, span: Span) -> Option<Val> {
        self.outside_loops(&format!("arg{n}"), span)?;
        let space = self.now.default_space();
        let matched = self.now.matched?;
        let kind = match (&matched.arguments, matched.context) {
            (Arguments::Usdt(arguments), _) => match arguments.get(n as usize) {
                Some(Argument {
                    size,
                    signed,
                    place: Place::Constant(n),
                }) => typed::ExprKind::Int(constant_argument(*n, *size, *signed)),
                Some(argument) => {
                    typed::ExprKind::Call(typed::Call::UsdtArgument(argument.clone()))
                }
                None => {
                    self.error(
                        "context",
                        span,
                        format!("couldn't get argument {n} for {}", matched.spec.name),
                    );
                    return None;
                }
            },
            (_, Context::Registers | Context::PerfEvent) => match registers::argument(n) {
                Some(offset) => typed::ExprKind::Register { offset, size: 8 },
                None => {
                    self.error(
                        "context",
                        span,
                        format!("{} doesn't support arg{n}", registers::machine()),
                    );
                    return None;
                }
            },
            (_, Context::Arguments) => typed::ExprKind::Argument(n),
            _ => {
                let message = format!(
                    "The arg{n} builtin can not be used with '{}' probes",
                    self.now.written_provider()
                );
                self.error("context", span, message);
                return None;
            }
        };
        Some(Val::new(kind, Type::U64, span).in_space(space))
    }

    /// `retval`
    pub(crate) fn retval(&mut self, span: Span) -> Option<Val> {
        self.outside_loops("retval", span)?;
        let space = self.now.default_space();
        let matched = self.now.matched?;
        match (&matched.arguments, matched.context) {
            (
                Arguments::Btf {
                    module,
                    params,
                    result: Some(result),
                },
                _,
            ) => {
                let ty = self.structs.btf_type(
                    &self.btf,
                    module.as_deref(),
                    beetrace_btf::TypeId(*result),
                );
                let n = u32::try_from(params.len()).unwrap_or(u32::MAX);
                self.word(n, &ty, "retval", span)
            }
            (_, Context::Registers) => {
                let offset = registers::result()?;
                let kind = typed::ExprKind::Register { offset, size: 8 };
                Some(Val::new(kind, Type::U64, span).in_space(space))
            }
            (Arguments::Btf { .. }, _) => {
                self.error("context", span, "Can't find a field retval");
                None
            }
            _ => {
                self.error(
                    "context",
                    span,
                    "The retval builtin can only be used with 'kretprobe' and 'uretprobe' and 'fentry' probes",
                );
                None
            }
        }
    }

    /// `ctx`
    pub(crate) fn ctx(&mut self, span: Span) -> Option<Val> {
        let matched = self.now.matched?;
        let tag = match (&matched.arguments, matched.context) {
            (Arguments::Iterator { context_type }, _) => {
                let ty =
                    self.structs
                        .btf_type(&self.btf, None, beetrace_btf::TypeId(*context_type));
                return self.context_pointer(ty, span);
            }
            (_, Context::Registers) => "pt_regs",
            (_, Context::PerfEvent) => "bpf_perf_event_data",
            (_, Context::Tracepoint) => {
                self.error("context", span, "Use args instead of ctx in tracepoint");
                return None;
            }
            _ => {
                let message = format!(
                    "The ctx builtin can not be used with '{}' probes",
                    self.now.written_provider()
                );
                self.error("context", span, message);
                return None;
            }
        };
        let ty = match self.structs.named(&format!("struct {tag}")) {
            Some(id) => Type::Struct(id, Space::None),
            None => match self.structs.btf_struct(&self.btf, false, tag) {
                Some(id) => Type::Struct(id, Space::None),
                None => Type::Void,
            },
        };
        self.context_pointer(ty, span)
    }

    fn context_pointer(&mut self, to: Type, span: Span) -> Option<Val> {
        self.outside_loops("ctx", span)?;
        Some(Val::new(
            typed::ExprKind::Context,
            Type::pointer(to, Space::Context),
            span,
        ))
    }
}

/// A constant of so many bytes as a 64-bit pattern.
fn constant_argument(n: i64, size: u8, signed: bool) -> u64 {
    let bits = size.clamp(1, 8) * 8;
    wrap(i128::from(n), IntType { bits, signed }) as u64
}

/// What the struct of a probe's arguments is called.
fn argument_struct_name(matched: &Match) -> String {
    match &matched.spec.event {
        Event::Tracepoint { category, name } => format!("_tracepoint_{category}_{name}"),
        _ => format!("{}_args", matched.spec.name),
    }
}
