//! Entry and return of kernel functions: `kprobe[:module]:function[+offset]`, `kprobe:address`, `kretprobe`.

use std::fmt;

use beetrace_object::{Event, ProgramKind};

use crate::attach_point::{AttachPoint, ParseError, Part, Parts};
use crate::number::parse_uint;
use crate::provider::Provider;
use crate::resolve::{ResolveError, ResolveOptions};
use crate::wildcard::{Pattern, has_wildcard};
use crate::world::World;
use crate::{Arguments, Context, Match};

/// A place in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KprobeTarget {
    /// As written; empty where none is given.
    pub module: String,
    /// Empty where there is an address.
    pub function: String,
    /// In bytes from the start of the function.
    pub offset: u64,
    pub address: Option<u64>,
}

impl fmt::Display for KprobeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.module.is_empty() {
            write!(f, ":{}", self.module)?;
        }
        match self.address {
            Some(address) => write!(f, ":{address}"),
            None => {
                write!(f, ":{}", self.function)?;
                match self.offset {
                    0 => Ok(()),
                    offset => write!(f, "+{offset}"),
                }
            }
        }
    }
}

pub(crate) fn parse(parts: &Parts<'_>) -> Result<KprobeTarget, ParseError> {
    let (module, place) = match parts.items.as_slice() {
        [place] => (String::new(), place),
        [module, place] => (module.text.clone(), place),
        _ => return Err(parts.count_error("1 or 2")),
    };
    if place.text.is_empty() {
        return Err(parts.error("kprobes should be attached to a function or an address"));
    }
    let mut target = KprobeTarget {
        module,
        function: place.text.clone(),
        offset: 0,
        address: None,
    };
    if let Some((function, offset)) = split_offset(place, parts.provider)? {
        target.function = function;
        target.offset = offset;
    } else if let Ok(address) = parse_uint(&place.text) {
        if !parts.options.allow_unsafe {
            return Err(place
                .error("Probing by address requires --unsafe")
                .help("nothing checks that the address is the start of an instruction"));
        }
        target.function.clear();
        target.address = Some(address);
    }
    Ok(target)
}

/// The parts of `function+offset`; `None` without a plus.
pub(crate) fn split_offset(
    place: &Part,
    provider: Provider,
) -> Result<Option<(String, u64)>, ParseError> {
    let mut pieces = place.text.split('+');
    let function = pieces.next().unwrap_or_default();
    let Some(offset) = pieces.next() else {
        return Ok(None);
    };
    if provider.is_return() {
        return Err(place
            .error("Offset not allowed")
            .help("a function returns once, wherever it is probed"));
    }
    if pieces.next().is_some() {
        return Err(place.error("Cannot take more than one offset"));
    }
    if function.is_empty() || offset.is_empty() {
        return Err(place.error("Invalid offset"));
    }
    let offset =
        parse_uint(offset).map_err(|error| place.error(format!("Invalid offset: {error}")))?;
    Ok(Some((function.to_owned(), offset)))
}

/// Whether tracing it endangers the machine although the kernel would allow it, or whether it is no function at all
/// (the list of the kernel's own tests, tools/testing/selftests/bpf/prog_tests/kprobe_multi_test.c).
pub(crate) fn is_dangerous(function: &str) -> bool {
    matches!(
        function,
        "arch_cpu_idle" | "default_idle" | "bpf_dispatcher_xdp_func"
    ) || function.starts_with("__ftrace_invalid_address__")
        || function.starts_with("rcu_")
}

/// Whether a wildcard may mean this function.
pub(crate) fn is_eligible(function: &str) -> bool {
    !is_dangerous(function) && !function.contains(".part.")
}

pub(crate) fn check(target: &KprobeTarget, world: &dyn World) -> Vec<String> {
    let KprobeTarget { function, .. } = target;
    if function.is_empty() || has_wildcard(function) || is_traceable(world, "", function) {
        return Vec::new();
    }
    vec![format!(
        "{function} is not traceable (either non-existing, inlined, or marked as \"notrace\"); attaching to it will \
         likely fail"
    )]
}

/// Whether the kernel has it among the functions that it lets trace. An empty module means any.
fn is_traceable(world: &dyn World, module: &str, function: &str) -> bool {
    if is_dangerous(function) {
        return false;
    }
    match world.find_kernel_functions(function) {
        Ok(found) => found
            .iter()
            .any(|f| module.is_empty() || module == f.module.as_deref().unwrap_or("vmlinux")),
        // Where nobody may know, the kernel decides when it attaches.
        Err(_) => true,
    }
}

pub(crate) fn resolve(
    point: &AttachPoint,
    target: &KprobeTarget,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<Vec<Match>, ResolveError> {
    if target.address.is_some() {
        return Ok(vec![found(point, target)]);
    }
    if !has_wildcard(&target.function) && !has_wildcard(&target.module) {
        return exact(point, target, world, options).map(|found| vec![found]);
    }
    let functions = Pattern::new(&target.function);
    let modules = (!target.module.is_empty()).then(|| Pattern::new(&target.module));
    let mut places = Vec::new();
    for function in world.kernel_functions()? {
        let module = function.module.as_deref().unwrap_or("vmlinux");
        if functions.matches(&function.name)
            && modules
                .as_ref()
                .is_none_or(|modules| modules.matches(module))
            && is_eligible(&function.name)
        {
            places.push(KprobeTarget {
                module: modules
                    .as_ref()
                    .map_or(String::new(), |_| module.to_owned()),
                function: function.name,
                ..target.clone()
            });
        }
    }
    places.sort_by(|a, b| (&a.module, &a.function).cmp(&(&b.module, &b.function)));
    places.dedup();
    Ok(places.iter().map(|place| found(point, place)).collect())
}

fn exact(
    point: &AttachPoint,
    target: &KprobeTarget,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<Match, ResolveError> {
    let KprobeTarget {
        module, function, ..
    } = target;
    if !module.is_empty() && module != "vmlinux" && !is_loaded(world, module) {
        return Err(ResolveError::invalid(format!(
            "specified module {module} in probe {}:{module}:{function} is not loaded.",
            point.provider
        )));
    }
    if !options.allow_unsafe && !is_traceable(world, module, function) {
        return Err(ResolveError::no_match(point.provider, module, function));
    }
    Ok(found(point, target))
}

fn is_loaded(world: &dyn World, module: &str) -> bool {
    world.modules().iter().any(|known| known == module)
        || world.kernel_functions().is_ok_and(|functions| {
            functions
                .iter()
                .any(|function| function.module.as_deref() == Some(module))
        })
}

fn found(point: &AttachPoint, target: &KprobeTarget) -> Match {
    let name = match &point.label {
        Some(label) => label.clone(),
        None => format!("{}{target}", point.provider),
    };
    let is_return = point.provider.is_return();
    // The kernel takes `module:function` for a function of a module.
    let symbol = match target.module.as_str() {
        "" | "vmlinux" => target.function.clone(),
        module => format!("{module}:{}", target.function),
    };
    Match::new(
        name,
        Event::Kprobe {
            symbol,
            offset: target.offset,
            address: target.address,
            is_return,
        },
        ProgramKind::Kprobe,
        Context::Registers,
        if is_return {
            Arguments::None
        } else {
            Arguments::Registers
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach_point::ParseOptions;
    use crate::fixture::Fixture;

    fn names(text: &str, allow_unsafe: bool) -> Result<Vec<String>, String> {
        let parse = ParseOptions {
            allow_unsafe,
            ..ParseOptions::default()
        };
        let options = ResolveOptions {
            allow_unsafe,
            ..ResolveOptions::default()
        };
        let point = AttachPoint::parse_with(text, &parse).map_err(|e| e.message)?;
        crate::resolve(&point, &Fixture::new(), &options)
            .map(|found| found.into_iter().map(|m| m.spec.name).collect())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn finds_functions() {
        for (text, expected) in [
            ("kprobe:vfs_read", &["kprobe:vfs_read"][..]),
            ("k:vfs_read+0x10", &["kprobe:vfs_read+16"]),
            (
                "kretprobe:vmlinux:vfs_read",
                &["kretprobe:vmlinux:vfs_read"],
            ),
            ("kprobe:vfs_re*", &["kprobe:vfs_read", "kprobe:vfs_readv"]),
            ("kprobe:vmlinu*:vfs_open", &["kprobe:vmlinux:vfs_open"]),
            ("kprobe:nft:nft_*", &["kprobe:nft:nft_trace"]),
            ("kprobe:nothing*", &[]),
            ("kprobe:rcu_*", &[]),
        ] {
            let expected = expected.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(names(text, false), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses() {
        for (text, message) in [
            (
                "kprobe:a:b:c",
                "kprobe probe type requires 1 or 2 arguments, found 3",
            ),
            (
                "kprobe:",
                "kprobes should be attached to a function or an address",
            ),
            ("kprobe:0x1234", "Probing by address requires --unsafe"),
            ("kretprobe:a+1", "Offset not allowed"),
            ("kprobe:a+1+2", "Cannot take more than one offset"),
            ("kprobe:a+x", "Invalid offset: invalid integer: x"),
            ("kprobe:nonsense", "No matches for kprobe nonsense."),
            (
                "kprobe:vmlinux:nonsense",
                "No matches for kprobe vmlinux:nonsense.",
            ),
            (
                "kprobe:nonsense:vfs_read",
                "specified module nonsense in probe kprobe:nonsense:vfs_read is not loaded.",
            ),
            ("kprobe:nft:vfs_read", "No matches for kprobe nft:vfs_read."),
        ] {
            assert_eq!(names(text, false), Err(message.into()), "{text}");
        }
    }

    #[test]
    fn unsafe_lets_through_what_nobody_knows() {
        assert_eq!(
            names("kprobe:nonsense", true),
            Ok(vec!["kprobe:nonsense".into()])
        );
        assert_eq!(names("kprobe:0x1234", true), Ok(vec!["kprobe:4660".into()]));
    }

    #[test]
    fn a_module_is_part_of_the_symbol() {
        let point = AttachPoint::parse("kretprobe:nft:nft_trace").unwrap();
        let found = crate::resolve(&point, &Fixture::new(), &ResolveOptions::default()).unwrap();
        assert_eq!(
            found[0].spec.event,
            Event::Kprobe {
                symbol: "nft:nft_trace".into(),
                offset: 0,
                address: None,
                is_return: true
            }
        );
        assert_eq!(found[0].arguments, Arguments::None);
    }

    #[test]
    fn warns_of_what_will_fail() {
        let check = |text| {
            let point = AttachPoint::parse(text).unwrap();
            crate::check(&point, &Fixture::new(), &ResolveOptions::default()).unwrap()
        };
        assert_eq!(check("kprobe:vfs_read"), Vec::<String>::new());
        assert_eq!(
            check("kprobe:bad"),
            [
                "bad is not traceable (either non-existing, inlined, or marked as \"notrace\"); attaching to it will \
                 likely fail"
            ]
        );
    }
}
