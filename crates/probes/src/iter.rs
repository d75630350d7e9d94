//! BPF iterators: `iter:task[:pin]`, `iter:task_file[:pin]`, `iter:task_vma[:pin]`.

use std::path::{Path, PathBuf};

use beetrace_btf::Kind;
use beetrace_object::{BtfTarget, Event, IterKind, ProgramKind};

use crate::attach_point::{AttachPoint, ParseError, Parts};
use crate::resolve::ResolveError;
use crate::wildcard::has_wildcard;
use crate::world::World;
use crate::{Arguments, Context, Match};

/// Where pins go that are not absolute.
const BPFFS: &str = "/sys/fs/bpf";

/// What is iterated over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IterTarget {
    /// As the kernel names it, e.g. `task_file`.
    pub kind: String,
    /// As written.
    pub pin: Option<String>,
}

/// Prefix of the struct that a program of this iterator gets, and of the function that stands for the iterator.
const CONTEXT: &str = "bpf_iter__";
pub(crate) const FUNCTION: &str = "bpf_iter_";

const KINDS: &[(&str, IterKind)] = &[
    ("task", IterKind::Task),
    ("task_file", IterKind::TaskFile),
    ("task_vma", IterKind::TaskVma),
];

pub(crate) fn parse(parts: &Parts<'_>) -> Result<IterTarget, ParseError> {
    let (kind, pin) = match parts.items.as_slice() {
        [kind] => (kind, None),
        [kind, pin] => (kind, Some(pin)),
        _ => {
            return Err(parts
                .error("iter probe type takes 2 arguments (1 optional)")
                .skippable());
        }
    };
    if has_wildcard(&kind.text) || pin.is_some_and(|pin| has_wildcard(&pin.text)) {
        let error = parts.error("iter probe type does not support wildcards");
        return Err(if parts.from_wildcard {
            error.skippable()
        } else {
            error
        });
    }
    if kind.text.is_empty() {
        return Err(parts.error("iter should specify a iterator's name"));
    }
    Ok(IterTarget {
        kind: kind.text.clone(),
        pin: pin.map(|pin| pin.text.clone()),
    })
}

pub(crate) fn check(target: &IterTarget, world: &dyn World) -> Result<(), ResolveError> {
    find(target, world).map(|_| ())
}

fn find(target: &IterTarget, world: &dyn World) -> Result<(IterKind, u32, u32), ResolveError> {
    let IterTarget { kind, .. } = target;
    let btf = world.btf().ok_or_else(|| {
        ResolveError::invalid("iterators need the kernel's BTF")
            .help("the kernel must be built with CONFIG_DEBUG_INFO_BTF")
    })?;
    let missing = || {
        let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        ResolveError::invalid(format!(
            "iter {kind} not available for your kernel version."
        ))
        .help(format!("the iterators are {}", known.join(", ")))
    };
    let context = btf
        .find(Kind::Struct, &format!("{CONTEXT}{kind}"))
        .ok_or_else(missing)?;
    let function = btf
        .find(Kind::Func, &format!("{FUNCTION}{kind}"))
        .ok_or_else(missing)?;
    let (_, kind) = KINDS
        .iter()
        .find(|(name, _)| name == kind)
        .ok_or_else(missing)?;
    Ok((*kind, function.0, context.0))
}

/// Iterators of the kernel that a script can use, sorted.
pub(crate) fn available(world: &dyn World) -> Vec<&'static str> {
    KINDS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| {
            let target = IterTarget {
                kind: (*name).to_owned(),
                pin: None,
            };
            find(&target, world).is_ok()
        })
        .collect()
}

pub(crate) fn resolve(
    point: &AttachPoint,
    target: &IterTarget,
    world: &dyn World,
) -> Result<Vec<Match>, ResolveError> {
    let (kind, function, context_type) = find(target, world)?;
    let pin = target.pin.as_deref().map(|pin| -> PathBuf {
        // An absolute path replaces what it is joined to.
        Path::new(BPFFS).join(pin)
    });
    Ok(vec![Match::new(
        point.to_string(),
        Event::Iter {
            kind,
            target: BtfTarget {
                module: None,
                type_id: function,
            },
            pin,
        },
        ProgramKind::Tracing,
        Context::Iterator,
        Arguments::Iterator { context_type },
    )])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use crate::resolve::ResolveOptions;

    fn resolved(text: &str) -> Result<Match, String> {
        let point = AttachPoint::parse(text).map_err(|e| e.message)?;
        let mut found = crate::resolve(&point, &Fixture::new(), &ResolveOptions::default())
            .map_err(|e| e.to_string())?;
        Ok(found.remove(0))
    }

    #[test]
    fn finds_the_context() {
        let found = resolved("it:task:list").unwrap();
        assert_eq!(found.spec.name, "iter:task");
        let Event::Iter { kind, pin, .. } = found.spec.event else {
            panic!("no iterator")
        };
        assert_eq!(kind, IterKind::Task);
        assert_eq!(pin, Some("/sys/fs/bpf/list".into()));
        assert!(
            matches!(found.arguments, Arguments::Iterator { context_type } if context_type != 0)
        );
        let Event::Iter { pin, .. } = resolved("iter:task:/mnt/x").unwrap().spec.event else {
            panic!("no iterator")
        };
        assert_eq!(pin, Some("/mnt/x".into()));
    }

    #[test]
    fn refuses() {
        for (text, message) in [
            ("iter", "iter probe type takes 2 arguments (1 optional)"),
            ("iter:task*", "iter probe type does not support wildcards"),
            ("iter:task:*", "iter probe type does not support wildcards"),
            (
                "iter:tas",
                "iter tas not available for your kernel version.",
            ),
            (
                "iter:task_vma",
                "iter task_vma not available for your kernel version.",
            ),
        ] {
            assert_eq!(
                resolved(text).map(|m| m.spec.name),
                Err(message.into()),
                "{text}"
            );
        }
    }
}
