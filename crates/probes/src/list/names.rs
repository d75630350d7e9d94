//! What a provider has that a pattern means.

use std::path::PathBuf;

use super::params::{self, Params};
use super::{Entry, ListOptions};
use crate::counter;
use crate::demangle::Language;
use crate::fentry::btfs;
use crate::iter;
use crate::kprobe::is_eligible;
use crate::provider::Provider;
use crate::resolve::{ResolveError, ResolveOptions};
use crate::timer::Unit;
use crate::tracepoint::raw_prototypes;
use crate::uprobe;
use crate::usdt::{self, UsdtTarget};
use crate::wildcard::{Pattern, has_wildcard};
use crate::world::World;

/// Sorted by name. The pattern is about everything behind the provider, or about what is behind the binary of user probes.
pub(super) fn find(
    provider: Provider,
    target: &str,
    pattern: &str,
    language: Option<Language>,
    world: &dyn World,
    options: &ListOptions,
) -> Result<Vec<Entry>, ResolveError> {
    let verbose = options.verbose;
    let names = |names: &mut dyn Iterator<Item = String>| -> Vec<Entry> {
        let pattern = Pattern::new(pattern);
        names
            .filter(|name| pattern.matches(name))
            .map(|name| Entry {
                name,
                params: Vec::new(),
            })
            .collect()
    };
    let mut found = match provider {
        Provider::Interval | Provider::Profile => {
            names(&mut Unit::ALL.iter().map(|unit| format!("{}:", unit.name())))
        }
        Provider::Software | Provider::Hardware => {
            names(&mut counter::names(provider).map(|name| format!("{name}:")))
        }
        Provider::Test | Provider::Bench if !target.is_empty() => {
            names(&mut std::iter::once(format!("{target}:")))
        }
        Provider::Iter => {
            let mut found = names(&mut iter::available(world).into_iter().map(str::to_owned));
            if verbose {
                for entry in &mut found {
                    entry.params = params::of_iterator(world, &entry.name);
                }
            }
            found
        }
        Provider::Tracepoint => tracepoints(pattern, world, verbose)?,
        Provider::RawTracepoint => raw_tracepoints(pattern, world, verbose),
        Provider::Kprobe | Provider::Kretprobe => {
            kernel_functions(provider, !target.is_empty(), pattern, world, verbose)?
        }
        Provider::Fentry | Provider::Fexit => trampolines(provider, pattern, world, verbose)?,
        Provider::Uprobe | Provider::Uretprobe => {
            user_functions(target, pattern, language, world, options)?
        }
        Provider::Usdt => user_tracepoints(target, pattern, world, options)?,
        _ => Vec::new(),
    };
    found.sort();
    found.dedup_by(|a, b| a.name == b.name);
    Ok(found)
}

fn tracepoints(
    pattern: &str,
    world: &dyn World,
    verbose: bool,
) -> Result<Vec<Entry>, ResolveError> {
    let pattern = Pattern::new(pattern);
    let mut found = Vec::new();
    for (category, name) in world.tracepoints()? {
        let full = format!("{category}:{name}");
        if !pattern.matches(&full) {
            continue;
        }
        let mut params = Vec::new();
        if verbose {
            let format = world.tracepoint_format(&category, &name)?;
            let own = format.fields.iter().filter(|field| !field.common);
            params.extend(own.map(|field| field.declaration()));
        }
        found.push(Entry { name: full, params });
    }
    Ok(found)
}

fn raw_tracepoints(pattern: &str, world: &dyn World, verbose: bool) -> Vec<Entry> {
    let (pattern, everything) = (Pattern::new(pattern), Pattern::new("*"));
    let mut found = Vec::new();
    for (module, btf) in btfs(world, &everything) {
        let module = module.as_deref().unwrap_or("vmlinux");
        for (name, prototype) in raw_prototypes(&btf) {
            let name = format!("{module}:{name}");
            if !pattern.matches(&name) {
                continue;
            }
            let params = match verbose {
                true => prototype
                    .iter()
                    .map(|param| params::shown(&btf, param.type_id, &param.name))
                    .collect(),
                false => Vec::new(),
            };
            found.push(Entry { name, params });
        }
    }
    found
}

fn kernel_functions(
    provider: Provider,
    with_module: bool,
    pattern: &str,
    world: &dyn World,
    verbose: bool,
) -> Result<Vec<Entry>, ResolveError> {
    let pattern = Pattern::new(pattern);
    let params = verbose.then(|| Params::new(world));
    let mut found = Vec::new();
    for function in world.kernel_functions()? {
        if !is_eligible(&function.name) {
            continue;
        }
        let module = function.module.as_deref().unwrap_or("vmlinux");
        let full = match with_module {
            true => format!("{module}:{}", function.name),
            false => function.name.clone(),
        };
        if !pattern.matches(&full) {
            continue;
        }
        let params = params
            .as_ref()
            .and_then(|params| params.of_kprobe(module, &function.name, provider.is_return()));
        found.push(Entry {
            name: full,
            params: params.unwrap_or_default(),
        });
    }
    Ok(found)
}

fn trampolines(
    provider: Provider,
    pattern: &str,
    world: &dyn World,
    verbose: bool,
) -> Result<Vec<Entry>, ResolveError> {
    let pattern = Pattern::new(pattern);
    let everything = Pattern::new("*");
    let traceable = world.kernel_functions().ok();
    let params = verbose.then(|| Params::new(world));
    let mut found = Vec::new();
    for (module, btf) in btfs(world, &everything) {
        for (name, _, proto) in btf.functions() {
            let shown = module.as_deref().unwrap_or("vmlinux");
            let full = format!("{shown}:{name}");
            if !pattern.matches(&full) || !is_eligible(name) {
                continue;
            }
            let known = traceable.as_ref().is_none_or(|known| {
                let key = (module.as_deref(), name);
                known
                    .binary_search_by(|f| (f.module.as_deref(), f.name.as_str()).cmp(&key))
                    .is_ok()
            });
            if !known || !params::fits_registers(&btf, proto) {
                continue;
            }
            let params = params
                .as_ref()
                .and_then(|params| params.of_fentry(shown, name, provider.is_return()));
            found.push(Entry {
                name: full,
                params: params.unwrap_or_default(),
            });
        }
    }
    Ok(found)
}

/// The files of a target; none where it does not exist, which is no error in a list.
fn files(target: &str, world: &dyn World, options: &ListOptions) -> Vec<PathBuf> {
    let found = match (target, options.pid) {
        ("" | "*", Some(pid)) => world.mapped_binaries(pid),
        ("" | "*", None) => world.running_binaries(),
        _ => world.find_binaries(target),
    };
    let mut found = found.unwrap_or_default();
    if !has_wildcard(target) && !target.is_empty() {
        found.truncate(1);
    }
    found
}

fn user_functions(
    target: &str,
    pattern: &str,
    language: Option<Language>,
    world: &dyn World,
    options: &ListOptions,
) -> Result<Vec<Entry>, ResolveError> {
    let mut found = Vec::new();
    for file in files(target, world, options) {
        let Ok(binary) = world.binary(&file) else {
            continue;
        };
        let Ok(functions) = uprobe::matching(binary.as_ref(), pattern, language) else {
            continue;
        };
        let path = file.display();
        found.extend(functions.into_keys().map(|name| Entry {
            name: match language {
                None => format!("{path}:{name}"),
                Some(language) => match language.demangle(&name) {
                    Some(demangled) => format!("{path}:{}:\"{demangled}\"", language.name()),
                    None => format!("{path}:{}:{name}", language.name()),
                },
            },
            params: Vec::new(),
        }));
    }
    Ok(found)
}

fn user_tracepoints(
    target: &str,
    pattern: &str,
    world: &dyn World,
    options: &ListOptions,
) -> Result<Vec<Entry>, ResolveError> {
    let (namespace, name) = pattern.split_once(':').unwrap_or(("*", pattern));
    let target = UsdtTarget {
        binary: target.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let files = match options.pid {
        Some(_) => {
            let options = ResolveOptions {
                pid: options.pid,
                ..ResolveOptions::default()
            };
            usdt::files(&target, world, &options).map_or(Vec::new(), |(files, _)| files)
        }
        None => files(&target.binary, world, options),
    };
    let mut found = Vec::new();
    for file in files {
        let Ok(binary) = world.binary(&file) else {
            continue;
        };
        let probes = usdt::matching(&target, binary.as_ref()).unwrap_or_default();
        let path = file.display();
        found.extend(probes.into_keys().map(|(provider, name)| Entry {
            name: format!("{path}:{provider}:{name}"),
            params: Vec::new(),
        }));
    }
    Ok(found)
}
