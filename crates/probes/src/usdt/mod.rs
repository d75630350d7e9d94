//! User-level static tracepoints: `usdt:path:provider:name`.

mod arguments;
mod notes;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use beetrace_object::{Event, ProgramKind, UprobeTarget, Usdt};

use crate::attach_point::{AttachPoint, ParseError, Parts};
use crate::resolve::{ResolveError, ResolveOptions};
use crate::uprobe::binaries;
use crate::wildcard::{Pattern, has_wildcard};
use crate::world::{Binary, UsdtNote, World};
use crate::{Arguments, Context, Match};

pub(crate) use notes::notes;

/// One argument of a USDT probe, as its note in the ELF file describes it, e.g. `-4@%eax` or `8@-16(%rbp)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Argument {
    /// 1, 2, 4 or 8 bytes.
    pub size: u8,
    pub signed: bool,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Constant(i64),
    /// Offset of the register in `struct pt_regs` (`struct user_pt_regs` on arm64).
    Register {
        offset: u32,
    },
    /// Memory at register plus displacement, plus an index register times a scale.
    Memory {
        base: u32,
        displacement: i64,
        index: Option<(u32, u8)>,
    },
}

/// What is probed. Parts that are not given are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtTarget {
    pub binary: String,
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for UsdtTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.binary, &self.namespace, &self.name] {
            if !part.is_empty() {
                write!(f, ":{part}")?;
            }
        }
        Ok(())
    }
}

pub(crate) fn parse(parts: &Parts<'_>) -> Result<UsdtTarget, ParseError> {
    let (binary, namespace, name) = match parts.items.as_slice() {
        [name] if parts.options.pid.is_some() => ("", "", name),
        [binary, name] => (binary.text.as_str(), "", name),
        [binary, namespace, name] => (binary.text.as_str(), namespace.text.as_str(), name),
        _ => return Err(parts.count_error("2 or 3")),
    };
    if name.text.is_empty() {
        return Err(parts.error("usdt probe must have a target function or wildcard"));
    }
    if binary.is_empty() && parts.options.pid.is_none() {
        return Err(parts.error(
            "usdt probe must specify at least path or pid to probe. To target all paths/pids set the path to '*'.",
        ));
    }
    Ok(UsdtTarget {
        binary: binary.to_owned(),
        namespace: namespace.to_owned(),
        name: name.text.clone(),
    })
}

/// The files to look in. A process has many, all those that it maps; a path then chooses among them.
pub(crate) fn files(
    target: &UsdtTarget,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<(Vec<PathBuf>, Option<String>), ResolveError> {
    let Some(pid) = options.pid else {
        return binaries("usdt", &target.binary, world, options);
    };
    let mut files = world.mapped_binaries(pid)?;
    if target.binary.is_empty() || target.binary == "*" {
        return Ok((files, None));
    }
    if has_wildcard(&target.binary) {
        let pattern = Pattern::new(&format!("*{}", target.binary));
        files.retain(|file| pattern.matches(&file.to_string_lossy()));
        return Ok((files, None));
    }
    let (wanted, warning) = binaries("usdt", &target.binary, world, options)?;
    files.retain(|file| wanted.iter().any(|wanted| world.is_same_file(file, wanted)));
    Ok((files, warning))
}

pub(crate) fn check(
    target: &UsdtTarget,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<Vec<String>, ResolveError> {
    files(target, world, options).map(|(_, warning)| warning.into_iter().collect())
}

pub(crate) fn resolve(
    point: &AttachPoint,
    target: &UsdtTarget,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<Vec<Match>, ResolveError> {
    let (files, _) = files(target, world, options)?;
    let mut found = Vec::new();
    for file in &files {
        // Most files have no probes, and some are no ELF files.
        if let Ok(binary) = world.binary(file) {
            found.extend(in_file(
                point,
                target,
                file,
                binary.as_ref(),
                world,
                options,
            )?);
        }
    }
    found.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    let one = !has_wildcard(&target.binary)
        && !has_wildcard(&target.namespace)
        && !has_wildcard(&target.name)
        && !target.namespace.is_empty()
        && options.pid.is_none();
    match (found.is_empty(), files.first()) {
        (true, Some(file)) if one => Err(ResolveError::no_match(
            point.provider,
            &file.display().to_string(),
            &target.name,
        )),
        _ => Ok(found),
    }
}

/// The notes of a file that a target means, by provider and name.
pub(crate) fn matching(
    target: &UsdtTarget,
    binary: &dyn Binary,
) -> Result<BTreeMap<(String, String), Vec<UsdtNote>>, ResolveError> {
    let any_namespace = target.namespace.is_empty();
    let (namespaces, names) = (Pattern::new(&target.namespace), Pattern::new(&target.name));
    let mut probes: BTreeMap<_, Vec<UsdtNote>> = BTreeMap::new();
    for note in binary.usdt_notes()? {
        if (any_namespace || namespaces.matches(&note.provider)) && names.matches(&note.name) {
            let key = (note.provider.clone(), note.name.clone());
            probes.entry(key).or_default().push(note);
        }
    }
    Ok(probes)
}

fn in_file(
    point: &AttachPoint,
    target: &UsdtTarget,
    file: &Path,
    binary: &dyn Binary,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<Vec<Match>, ResolveError> {
    let mut matches = Vec::new();
    for ((provider, name), notes) in matching(target, binary)? {
        for (arguments, targets) in layouts(binary, &notes) {
            let shown = match &point.label {
                Some(label) => label.clone(),
                None => format!("{}:{}:{provider}:{name}", point.provider, file.display()),
            };
            let event = Event::Usdt(Usdt {
                path: binary.path().to_owned(),
                provider: provider.clone(),
                name: name.clone(),
                targets,
                pid: options.pid.or_else(|| world.target_pid()),
            });
            matches.push(Match::new(
                shown,
                event,
                ProgramKind::Kprobe,
                Context::Registers,
                Arguments::Usdt(arguments),
            ));
        }
    }
    Ok(matches)
}

/// The places of one probe, together where their arguments lie alike.
fn layouts(binary: &dyn Binary, notes: &[UsdtNote]) -> Vec<(Vec<Argument>, Vec<UprobeTarget>)> {
    let mut layouts: Vec<(Vec<Argument>, Vec<UprobeTarget>)> = Vec::new();
    for note in notes {
        let Some(offset) = binary.file_offset(note.address) else {
            continue;
        };
        let ref_ctr_offset = match note.semaphore {
            0 => 0,
            address => binary.file_offset(address).unwrap_or(0),
        };
        let target = UprobeTarget {
            symbol: note.name.clone(),
            offset,
            ref_ctr_offset,
        };
        let symbol = |name: &str| binary.symbol(name).ok().flatten().map(|s| s.address);
        let arguments = arguments::parse(&note.arguments, note.address, &symbol);
        match layouts.iter_mut().find(|(known, _)| *known == arguments) {
            Some((_, targets)) => targets.push(target),
            None => layouts.push((arguments, vec![target])),
        }
    }
    layouts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach_point::ParseOptions;
    use crate::fixture::Fixture;

    fn shown(text: &str, pid: Option<u32>) -> Result<Vec<String>, String> {
        let parse = ParseOptions {
            pid,
            ..ParseOptions::default()
        };
        let options = ResolveOptions {
            pid,
            ..ResolveOptions::default()
        };
        let point = AttachPoint::parse_with(text, &parse).map_err(|e| e.message)?;
        let found = crate::resolve(&point, &Fixture::new(), &options).map_err(|e| e.to_string())?;
        Ok(found
            .iter()
            .map(|found| {
                let (Event::Usdt(usdt), Arguments::Usdt(arguments)) =
                    (&found.spec.event, &found.arguments)
                else {
                    panic!("no usdt")
                };
                let targets: Vec<String> = usdt
                    .targets
                    .iter()
                    .map(|t| match t.ref_ctr_offset {
                        0 => format!("{:#x}", t.offset),
                        semaphore => format!("{:#x}({semaphore:#x})", t.offset),
                    })
                    .collect();
                format!(
                    "{} [{}] {}",
                    found.spec.name,
                    targets.join(" "),
                    arguments.len()
                )
            })
            .collect())
    }

    #[test]
    fn finds_probes() {
        for (text, pid, expected) in [
            (
                "usdt:/bin/app:trace:start",
                None,
                &["usdt:/bin/app:trace:start [0x1010(0x3000) 0x1020(0x3000)] 2"][..],
            ),
            (
                "U:app:start",
                None,
                &["usdt:/bin/app:trace:start [0x1010(0x3000) 0x1020(0x3000)] 2"],
            ),
            (
                "usdt:/bin/app:*:*",
                None,
                &[
                    "usdt:/bin/app:other:start2 [0x1050] 0",
                    "usdt:/bin/app:trace:moved [0x1030] 1",
                    "usdt:/bin/app:trace:moved [0x1040] 1",
                    "usdt:/bin/app:trace:start [0x1010(0x3000) 0x1020(0x3000)] 2",
                ],
            ),
            (
                "usdt::other:*",
                Some(42),
                &["usdt:/proc/42/root/bin/app:other:start2 [0x1050] 0"],
            ),
            (
                "usdt:start2",
                Some(42),
                &["usdt:/proc/42/root/bin/app:other:start2 [0x1050] 0"],
            ),
            ("usdt:/bin/app:start*", Some(7), &[]),
            ("usdt:/bin/app:nothing", None, &[]),
        ] {
            let expected = expected.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(shown(text, pid), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses() {
        for (text, message) in [
            (
                "usdt:/bin/app",
                "usdt probe type requires 2 or 3 arguments, found 1",
            ),
            (
                "usdt:/bin/app:",
                "usdt probe must have a target function or wildcard",
            ),
            (
                "usdt::x",
                "usdt probe must specify at least path or pid to probe. To target all paths/pids set the path to '*'.",
            ),
            (
                "usdt:/bin/nope:x",
                "usdt target file '/bin/nope' does not exist or is not executable",
            ),
            (
                "usdt:/bin/app:trace:nothing",
                "No matches for usdt /bin/app:nothing.",
            ),
        ] {
            assert_eq!(shown(text, None), Err(message.into()), "{text}");
        }
    }
}
