//! Entry and exit of kernel functions through BPF trampolines: `fentry[:module]:function`, `fexit`.

use std::fmt;
use std::sync::Arc;

use beetrace_btf::{Btf, Kind, Type, TypeId};
use beetrace_object::{BtfTarget, Event, ProgramKind};

use crate::attach_point::{AttachPoint, ParseError, Parts};
use crate::kprobe::{is_dangerous, is_eligible};
use crate::number::parse_uint;
use crate::resolve::ResolveError;
use crate::wildcard::{Pattern, has_wildcard};
use crate::world::{KernelFunction, World};
use crate::{Arguments, BtfParam, Context, Match};

/// A wildcard never means functions with more parameters than registers pass on every architecture.
pub(crate) const MAX_PARAMS: usize = 6;

/// What is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FentryTarget {
    /// The module is empty where none is given.
    Function { module: String, function: String },
    /// `fentry:bpf[:prog_id]:prog_name`
    Program { id: Option<u32>, name: String },
}

impl fmt::Display for FentryTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FentryTarget::Function { module, function } if module.is_empty() => {
                write!(f, ":{function}")
            }
            FentryTarget::Function { module, function } => write!(f, ":{module}:{function}"),
            FentryTarget::Program { id: None, name } => write!(f, ":bpf:{name}"),
            FentryTarget::Program { id: Some(id), name } => write!(f, ":bpf:{id}:{name}"),
        }
    }
}

pub(crate) fn parse(parts: &Parts<'_>) -> Result<FentryTarget, ParseError> {
    let function = |module: &str, function: &str| {
        if function.is_empty() {
            return Err(parts.error("fentry/fexit should specify a function"));
        }
        Ok(FentryTarget::Function {
            module: module.to_owned(),
            function: function.to_owned(),
        })
    };
    match parts.items.as_slice() {
        [bpf] if bpf.text == "bpf" => Err(parts.error(
            "the 'bpf' variant of this probe requires a bpf program name and optional bpf program id",
        )),
        [bpf, name] if bpf.text == "bpf" => Ok(FentryTarget::Program {
            id: None,
            name: name.text.clone(),
        }),
        [bpf, id, name] if bpf.text == "bpf" => Ok(FentryTarget::Program {
            id: match id.text.as_str() {
                "*" => None,
                text => Some(
                    parse_uint(text)
                        .ok()
                        .and_then(|id| u32::try_from(id).ok())
                        .ok_or_else(|| id.error("bpf program id must be a number or '*'"))?,
                ),
            },
            name: name.text.clone(),
        }),
        [name] => function(if has_wildcard(&name.text) { "*" } else { "" }, &name.text),
        [module, name] => function(&module.text, &name.text),
        [_, _, _] => {
            Err(parts.error("Only the 'bpf' variant of this probe supports 4 arguments"))
        }
        _ => Err(parts.count_error("1 or 3")),
    }
}

pub(crate) fn check(target: &FentryTarget, world: &dyn World) -> Result<(), ResolveError> {
    let FentryTarget::Function { module, function } = target else {
        return Err(
            ResolveError::invalid("attaching to other BPF programs is not supported")
                .help("trace the kernel function that the program is attached to"),
        );
    };
    if world.btf().is_none() {
        return Err(
            ResolveError::invalid("fentry and fexit need the kernel's BTF")
                .help("use `kprobe` and `kretprobe`, which need no types"),
        );
    }
    if !module.is_empty() || has_wildcard(function) {
        return Ok(());
    }
    let mut modules: Vec<_> = world
        .find_kernel_functions(function)
        .unwrap_or_default()
        .into_iter()
        .map(|function| function.module)
        .collect();
    modules.sort();
    modules.dedup();
    match modules.as_slice() {
        [] | [_] => Ok(()),
        [first, ..] => Err(ResolveError::invalid(format!(
            "ambiguous attach point, please specify module containing the function '{function}'"
        ))
        .help(format!(
            "as in `fentry:{}:{function}`",
            first.as_deref().unwrap_or("vmlinux")
        ))),
    }
}

pub(crate) fn resolve(
    point: &AttachPoint,
    target: &FentryTarget,
    world: &dyn World,
) -> Result<Vec<Match>, ResolveError> {
    check(target, world)?;
    let FentryTarget::Function { module, function } = target else {
        return Ok(Vec::new());
    };
    if !has_wildcard(module) && !has_wildcard(function) {
        return exact(point, module, function, world).map(|found| vec![found]);
    }
    let (modules, functions) = (Pattern::new(module), Pattern::new(function));
    let traceable = world.kernel_functions().ok();
    let mut matches = Vec::new();
    for (module, btf) in btfs(world, &modules) {
        let mut names: Vec<_> = btf
            .functions()
            .filter(|(name, ..)| functions.matches(name) && is_eligible(name))
            .filter(|(name, ..)| match &traceable {
                Some(known) => is_known(known, module.as_deref(), name),
                None => true,
            })
            .map(|(name, id, _)| (name, id))
            .collect();
        names.sort_by_key(|(name, _)| *name);
        names.dedup_by_key(|(name, _)| *name);
        for (name, id) in names {
            if let Some(found) = found(point, module.as_deref(), name, id, &btf)
                && !matches!(&found.arguments, Arguments::Btf { params, .. } if params.len() > MAX_PARAMS)
            {
                matches.push(found);
            }
        }
    }
    matches.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    Ok(matches)
}

fn exact(
    point: &AttachPoint,
    module: &str,
    function: &str,
    world: &dyn World,
) -> Result<Match, ResolveError> {
    let missing = || ResolveError::no_match(point.provider, module, function);
    if is_dangerous(function) {
        return Err(missing());
    }
    let traceable = world.find_kernel_functions(function).ok();
    if traceable.as_ref().is_some_and(Vec::is_empty) {
        return Err(missing());
    }
    let pattern = Pattern::new(if module.is_empty() { "*" } else { module });
    btfs(world, &pattern)
        .filter(|(module, _)| match &traceable {
            Some(known) => known.iter().any(|f| f.module == *module),
            None => true,
        })
        .find_map(|(module, btf)| {
            let id = btf
                .find(Kind::Func, function)
                .filter(|id| *id >= btf.first_id())?;
            found(point, module.as_deref(), function, id, &btf)
        })
        .ok_or_else(missing)
}

/// The BTF of the kernel and its modules, with their names; `None` for the kernel's.
pub(crate) fn btfs<'a>(
    world: &'a dyn World,
    modules: &'a Pattern,
) -> impl Iterator<Item = (Option<String>, Arc<Btf>)> + 'a {
    let kernel = world
        .btf()
        .filter(|_| modules.matches("vmlinux"))
        .map(|btf| (None, Arc::clone(btf)));
    let names = world.modules().into_iter();
    kernel.into_iter().chain(
        names
            .filter(|name| modules.matches(name))
            .filter_map(|name| {
                let btf = world.module_btf(&name)?;
                Some((Some(name), btf))
            }),
    )
}

/// Looks in a sorted list.
fn is_known(sorted: &[KernelFunction], module: Option<&str>, name: &str) -> bool {
    sorted
        .binary_search_by(|f| (f.module.as_deref(), f.name.as_str()).cmp(&(module, name)))
        .is_ok()
}

fn found(
    point: &AttachPoint,
    module: Option<&str>,
    function: &str,
    id: TypeId,
    btf: &Btf,
) -> Option<Match> {
    let Type::Func(func) = btf.get(id).ok()? else {
        return None;
    };
    let Type::FuncProto(proto) = btf.get(func.proto).ok()? else {
        return None;
    };
    let is_exit = point.provider.is_return();
    let name = match &point.label {
        Some(label) => label.clone(),
        None => format!(
            "{}:{}:{function}",
            point.provider,
            module.unwrap_or("vmlinux")
        ),
    };
    let module = module.map(str::to_owned);
    Some(Match::new(
        name,
        Event::Fentry {
            function: function.to_owned(),
            target: BtfTarget {
                module: module.clone(),
                type_id: id.0,
            },
            is_exit,
        },
        ProgramKind::Tracing,
        Context::Arguments,
        Arguments::Btf {
            module,
            params: proto
                .params()
                .map(|param| BtfParam {
                    name: param.name.to_owned(),
                    type_id: param.type_id.0,
                })
                .collect(),
            result: (is_exit && !proto.ret.is_void()).then_some(proto.ret.0),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use crate::resolve::ResolveOptions;

    fn resolved(text: &str) -> Result<Vec<Match>, String> {
        let point = AttachPoint::parse(text).map_err(|e| e.message)?;
        crate::resolve(&point, &Fixture::new(), &ResolveOptions::default())
            .map_err(|e| e.to_string())
    }

    fn names(text: &str) -> Result<Vec<String>, String> {
        resolved(text).map(|found| found.into_iter().map(|m| m.spec.name).collect())
    }

    #[test]
    fn finds_functions() {
        for (text, expected) in [
            ("fentry:vfs_read", &["fentry:vmlinux:vfs_read"][..]),
            ("kfunc:vmlinux:vfs_read", &["fentry:vmlinux:vfs_read"]),
            ("kretfunc:vfs_open", &["fexit:vmlinux:vfs_open"]),
            ("f:vfs_re*ad", &["fentry:vmlinux:vfs_read"]),
            ("fr:vmlinu*:vfs_read", &["fexit:vmlinux:vfs_read"]),
            ("fentry:nft_trace", &["fentry:nft:nft_trace"]),
            ("fentry:none*", &[]),
        ] {
            let expected = expected.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(names(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses() {
        for (text, message) in [
            (
                "fentry",
                "fentry probe type requires 1 or 3 arguments, found 0",
            ),
            ("fentry:", "fentry/fexit should specify a function"),
            (
                "fentry:bpf",
                "the 'bpf' variant of this probe requires a bpf program name and optional bpf program id",
            ),
            ("fentry:bpf:x:y", "bpf program id must be a number or '*'"),
            (
                "fentry:a:b:c",
                "Only the 'bpf' variant of this probe supports 4 arguments",
            ),
            ("fentry:nonsense", "No matches for fentry nonsense."),
            ("fentry:nft:vfs_read", "No matches for fentry nft:vfs_read."),
            (
                "fentry:twice",
                "ambiguous attach point, please specify module containing the function 'twice'",
            ),
            (
                "fentry:bpf:1:prog",
                "attaching to other BPF programs is not supported",
            ),
        ] {
            assert_eq!(names(text), Err(message.into()), "{text}");
        }
    }

    #[test]
    fn exit_has_a_result() {
        let world = Fixture::new();
        let btf = world.btf().unwrap();
        let shown = |text: &str| {
            let found = resolved(text).unwrap().remove(0);
            let Arguments::Btf { params, result, .. } = found.arguments else {
                panic!("{text} is not typed")
            };
            let mut shown: Vec<String> = params
                .iter()
                .map(|p| btf.declaration(TypeId(p.type_id), &p.name))
                .collect();
            shown.extend(result.map(|id| format!("-> {}", btf.type_name(TypeId(id)))));
            shown
        };
        let params = ["struct file *file", "char *buf", "size_t count"];
        assert_eq!(shown("fentry:vfs_read"), params);
        assert_eq!(
            shown("fexit:vfs_read"),
            [&params[..], &["-> ssize_t"]].concat()
        );
    }
}
