//! Types of the kernel and its modules by name.

use std::collections::BTreeMap;

use beetrace_btf::{Btf, Type, TypeId};

use crate::fentry::btfs;
use crate::wildcard::Pattern;
use crate::world::World;

/// The types that a pattern such as `struct *path` means, sorted; with the name of the module and the definition where
/// `verbose`.
pub(super) fn list(pattern: &str, world: &dyn World, verbose: bool) -> Vec<String> {
    let pattern = Pattern::new(pattern);
    let everything = Pattern::new("*");
    // By text, with the modules that have it. What the kernel has is not shown again for its modules.
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (module, btf) in btfs(world, &everything) {
        let module = module.unwrap_or_else(|| "vmlinux".to_owned());
        for (id, ty) in btf.types() {
            let Some(name) = full_name(&ty).filter(|name| pattern.matches(name)) else {
                continue;
            };
            let Some(text) = text(&btf, id, name, verbose) else {
                continue;
            };
            let modules = found.entry(text).or_default();
            if !modules
                .iter()
                .any(|known| known == "vmlinux" || *known == module)
            {
                modules.push(module.clone());
            }
        }
    }
    if !verbose {
        return found.into_keys().collect();
    }
    let shown = found.iter().flat_map(|(text, modules)| {
        modules
            .iter()
            .map(move |module| format!("{module}: {text}\n"))
    });
    shown.collect()
}

fn text(btf: &Btf, id: TypeId, name: String, verbose: bool) -> Option<String> {
    match verbose {
        true => btf.struct_definition(id).ok(),
        false => Some(name),
    }
}

/// `None` for types without a name, and for those that are neither structs, unions nor enumerations.
fn full_name(ty: &Type<'_>) -> Option<String> {
    let word = match ty {
        Type::Struct(_) => "struct",
        Type::Union(_) => "union",
        Type::Enum(_) | Type::Enum64(_) => "enum",
        _ => return None,
    };
    match ty.name() {
        "" => None,
        name => Some(format!("{word} {name}")),
    }
}
