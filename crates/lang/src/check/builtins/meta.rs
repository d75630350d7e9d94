//! Questions about types and about the compilation itself.

use beetrace_object::MissingProbes;
use beetrace_probes::world::Feature;

use crate::ast::{Expr, ExprKind};
use crate::check::Checker;
use crate::check::builtins::Answer;
use crate::check::format;
use crate::check::literal::Lit;
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::expanded::Stability;
use crate::span::Span;
use crate::structs::{base_name, stack_mode_name};
use crate::types::Type;

impl<'a> Checker<'a> {
    pub(crate) fn meta_word(&mut self, name: &str, span: Span) -> Answer {
        let lit = match name {
            "config" => self.settings_record(),
            "safe_mode" => Lit::Bool(!self.options.allow_unsafe),
            "arch" => Lit::Str(crate::check::registers::machine().into()),
            "elf_is_exe" | "elf_info" => return Some(self.elf(name, span)),
            _ => return None,
        };
        Some(Some(Val::constant(lit, span)))
    }

    fn elf(&mut self, name: &str, span: Span) -> Option<Val> {
        let Some(path) = self.now.binary() else {
            let message = format!(
                "{name} can not be used for this probetype: {}",
                self.now.provider()
            );
            self.error("context", span, message);
            return None;
        };
        let movable = self
            .btf
            .world
            .binary(path)
            .is_ok_and(|b| b.is_position_independent());
        if name == "elf_info" {
            self.error("unsupported", span, "elf_info is not supported");
            return None;
        }
        Some(Val::constant(Lit::Bool(!movable), span))
    }

    /// `config`
    fn settings_record(&self) -> Lit {
        let s = &self.script.settings;
        let c = &s.config;
        let int = |n: u64| Lit::Int(i128::from(n));
        let text = |t: &str| Lit::Str(t.to_owned());
        let stability = match s.unstable_tseries {
            Stability::Error => "error",
            Stability::Warn => "warn",
            Stability::Enable => "enable",
        };
        let missing = match c.missing_probes {
            MissingProbes::Error => "error",
            MissingProbes::Warn => "warn",
            MissingProbes::Ignore => "ignore",
        };
        Lit::Record(
            [
                ("cpp_demangle", Lit::Bool(c.cpp_demangle)),
                ("lazy_symbolication", Lit::Bool(c.lazy_symbolication)),
                ("print_maps_on_exit", Lit::Bool(c.print_maps_on_exit)),
                ("show_debug_info", Lit::Bool(c.show_debug_info)),
                ("log_size", int(c.log_size.into())),
                ("max_bpf_progs", int(s.max_bpf_progs)),
                ("max_cat_bytes", int(c.max_cat_bytes)),
                ("max_map_keys", int(s.max_map_keys)),
                ("max_probes", int(s.max_probes)),
                ("max_strlen", int(s.max_strlen)),
                ("on_stack_limit", int(s.on_stack_limit)),
                ("perf_rb_pages", int(c.perf_rb_pages.unwrap_or(0))),
                ("str_trunc_trailer", text(&c.str_trunc_trailer)),
                ("unstable_tseries", text(stability)),
                ("missing_probes", text(missing)),
                ("stack_mode", text(stack_mode_name(s.stack_mode))),
                ("license", text(&s.license)),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        )
    }

    pub(crate) fn meta_call(&mut self, name: &str, args: &'a [Expr], span: Span) -> Answer {
        match (name, args) {
            ("sizeof", [of]) => Some(self.sizeof(of, span)),
            ("offsetof", [of, path]) => Some(self.offsetof(of, path, span)),
            ("typeinfo", [of]) => Some(self.typeinfo(of, span)),
            ("is_literal", [of]) => {
                let value = self.expr(of);
                Some(value.map(|v| Val::constant(Lit::Bool(v.lit.is_some()), span)))
            }
            ("is_ptr" | "is_array" | "is_str" | "is_integer" | "is_unsigned_integer", [of]) => {
                Some(self.is_kind(name, of, span))
            }
            ("kfunc_exist" | "kfunc_allowed", [kfunc]) => Some(self.kfunc(name, kfunc, span)),
            ("fail", [text, values @ ..]) => Some(self.fail(text, values, span)),
            ("static_assert", [cond, text]) => Some(self.static_assert(cond, text, span)),
            _ => None,
        }
    }

    fn sizeof(&mut self, of: &'a Expr, span: Span) -> Option<Val> {
        let ty = self.type_of(of)?;
        let size = self.structs.size_of(&ty);
        Some(Val::constant(Lit::Int(i128::from(size)), span))
    }

    fn offsetof(&mut self, of: &'a Expr, path: &'a Expr, span: Span) -> Option<Val> {
        let mut ty = self.type_of(of)?;
        let mut offset = 0u64;
        for name in field_path(path) {
            let Type::Struct(id, _) = ty else {
                let message = format!("'{}' is not a C type.", self.type_name(&ty));
                self.error("offsetof", span, message);
                return None;
            };
            self.structs.load_fields(&self.btf, id);
            let Some(field) = self.structs.find_field(id, name) else {
                let message = format!("'{}' has no field named '{name}'", self.type_name(&ty));
                self.error("offsetof", span, message);
                return None;
            };
            offset = offset.saturating_add(field.offset.into());
            ty = field.ty;
        }
        Some(Val::constant(Lit::Int(i128::from(offset)), span))
    }

    fn typeinfo(&mut self, of: &'a Expr, span: Span) -> Option<Val> {
        let ty = self.type_of(of)?;
        let lit = Lit::Record(vec![
            ("btf_id".into(), Lit::Int(0)),
            ("base_type".into(), Lit::Str(base_name(&ty).into())),
            ("full_type".into(), Lit::Str(self.type_name(&ty))),
        ]);
        Some(Val::constant(lit, span))
    }

    fn is_kind(&mut self, name: &str, of: &'a Expr, span: Span) -> Option<Val> {
        let ty = self.type_of(of)?;
        let answer = match name {
            "is_ptr" => matches!(ty, Type::Pointer(..)),
            "is_array" => matches!(ty, Type::Array(..)),
            "is_str" => matches!(ty, Type::Str(_)),
            "is_integer" => ty.is_integer(),
            _ => ty.as_int().is_some_and(|t| !t.signed),
        };
        Some(Val::constant(Lit::Bool(answer), span))
    }

    fn kfunc(&mut self, name: &str, kfunc: &'a Expr, span: Span) -> Option<Val> {
        let value = self.expr(kfunc)?;
        let Some(Lit::Str(kfunc)) = &value.lit else {
            self.error(
                "argument",
                span,
                format!("{name}() accepts a string literal only"),
            );
            return None;
        };
        // The world answers for names that the compiler itself may call.
        const KNOWN: &[&str] = &["bpf_task_from_pid", "bpf_map_sum_elem_count"];
        let answer = match KNOWN.iter().find(|k| *k == kfunc) {
            Some(known) => self.btf.world.supports(Feature::Kfunc(known)),
            None => self
                .btf
                .world
                .btf()
                .is_some_and(|btf| btf.find(beetrace_btf::Kind::Func, kfunc).is_some()),
        };
        Some(Val::constant(Lit::Bool(answer), span))
    }

    /// `fail(format, …)`: the script itself says what is wrong with it.
    fn fail(&mut self, text: &'a Expr, values: &'a [Expr], span: Span) -> Option<Val> {
        let text = self.expr(text)?;
        let Some(Lit::Str(text)) = &text.lit else {
            self.error(
                "fail",
                span,
                "first argument to fail() must be a string literal",
            );
            return None;
        };
        let mut constants = Vec::new();
        for value in values {
            let value = self.expr(value)?;
            match &value.lit {
                Some(Lit::Str(s)) => constants.push(s.clone()),
                Some(Lit::Int(n)) => constants.push(n.to_string()),
                Some(Lit::Bool(b)) => constants.push(u8::from(*b).to_string()),
                _ => {
                    self.error("fail", span, "fail() arguments need to be literals");
                    return None;
                }
            }
        }
        let parts = format::parse(text);
        let message = format::fill(&parts, &constants);
        self.report(Diagnostic::error("fail", message).at(span, ""));
        None
    }

    fn static_assert(&mut self, cond: &'a Expr, text: &'a Expr, span: Span) -> Option<Val> {
        let cond = self.expr(cond)?;
        let text = self.expr(text)?;
        match cond.lit.as_ref().and_then(Lit::truth) {
            Some(true) => Some(Val::void(Vec::new(), span)),
            Some(false) => {
                let text = text.lit.as_ref().and_then(Lit::as_str).unwrap_or("");
                self.error("static-assert", span, text.to_owned());
                None
            }
            None => {
                self.error("comptime", span, "Unable to resolve comptime expression");
                None
            }
        }
    }
}

/// The names of `offsetof`'s path from the outermost.
fn field_path(path: &Expr) -> Vec<&str> {
    let mut names = Vec::new();
    let mut expr = path;
    loop {
        match &expr.kind {
            ExprKind::Field { base, field } => {
                names.push(field.name.as_str());
                expr = base;
            }
            ExprKind::Ident(name) => {
                names.push(name);
                break;
            }
            _ => break,
        }
    }
    names.reverse();
    names
}
