//! Entry and return of functions in user space: `uprobe:binary:function[+offset]`, `uprobe:binary:address`, `uretprobe`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use beetrace_object::{Event, ProgramKind, Uprobe, UprobeTarget};

use crate::attach_point::{AttachPoint, ParseError, Part, Parts};
use crate::demangle::{Language, without_parameters};
use crate::kprobe::split_offset;
use crate::number::parse_uint;
use crate::resolve::{ResolveError, ResolveOptions};
use crate::wildcard::{Pattern, has_wildcard};
use crate::world::{Binary, ElfSymbol, Feature, World};
use crate::{Arguments, Context, Match};

/// Where in which binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UprobePlace {
    /// As written; empty for the executable of the traced process.
    pub binary: String,
    pub language: Option<Language>,
    pub function: Function,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Function {
    /// A name, perhaps with wildcards, and an offset in bytes.
    Named { name: String, offset: u64 },
    /// A virtual address of the file.
    Address(u64),
    /// A place in the source.
    Line {
        file: String,
        line: u64,
        column: Option<u64>,
    },
}

impl fmt::Display for UprobePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.binary)?;
        if let Some(language) = self.language {
            write!(f, ":{}", language.name())?;
        }
        match &self.function {
            Function::Named { name, offset: 0 } => write!(f, ":{name}"),
            Function::Named { name, offset } => write!(f, ":{name}+{offset}"),
            Function::Address(address) => write!(f, ":{address}"),
            Function::Line { file, line, .. } => write!(f, "@{file}:{line}"),
        }
    }
}

const UNSAFE_HINT: &str = "Use --unsafe to force attachment. WARNING: This option could lead to data corruption in the target process.";

pub(crate) fn parse(mut parts: Parts<'_>) -> Result<UprobePlace, ParseError> {
    let implied = match parts.items.as_slice() {
        _ if parts.options.pid.is_none() => false,
        [_] => true,
        [language, _] => Language::find(&language.text).is_some(),
        _ => false,
    };
    if implied {
        let start = parts.items.first().map_or(0, |part| part.range.start);
        parts.items.insert(
            0,
            Part {
                text: String::new(),
                range: start..start,
            },
        );
    }
    let parts = parts;
    if parts.items.get(1).is_some_and(|part| part.text == "@") {
        return parse_line(&parts);
    }
    let (binary, language, function) = match parts.items.as_slice() {
        [binary, function] => (binary, None, function),
        [binary, language, function] => match Language::find(&language.text) {
            Some(known) => (binary, Some(known), function),
            None if language.text.is_empty() => (binary, None, function),
            None => {
                return Err(language
                    .error(format!("unsupported language type: {}", language.text))
                    .help("the languages are `cpp` and `rust`"));
            }
        },
        _ => return Err(parts.count_error("2 or 3")),
    };
    if binary.text.is_empty() && !implied {
        return Err(parts.error(format!("{} should have a target", parts.provider)));
    }
    if function.text.is_empty() {
        return Err(parts.error(format!(
            "{} should be attached to a function and/or address",
            parts.provider
        )));
    }
    Ok(UprobePlace {
        binary: binary.text.clone(),
        language,
        function: parse_function(&parts, binary, language, function)?,
    })
}

fn parse_function(
    parts: &Parts<'_>,
    binary: &Part,
    language: Option<Language>,
    function: &Part,
) -> Result<Function, ParseError> {
    // `operator+` is a name.
    if language.is_none()
        && let Some((name, offset)) = split_offset(function, parts.provider)?
    {
        return Ok(Function::Named { name, offset });
    }
    match parse_uint(&function.text) {
        Ok(_) if has_wildcard(&binary.text) => {
            Err(function.error("Cannot use wildcards with absolute address"))
        }
        Ok(0) if !parts.options.allow_unsafe => Err(parts.error(format!(
            "{} should be attached to a function and/or address",
            parts.provider
        ))),
        Ok(address) => Ok(Function::Address(address)),
        Err(_) => Ok(Function::Named {
            name: function.text.clone(),
            offset: 0,
        }),
    }
}

/// `binary@file:line[:column]`
fn parse_line(parts: &Parts<'_>) -> Result<UprobePlace, ParseError> {
    if parts.provider.is_return() {
        return Err(parts.error("Source code location not allowed"));
    }
    let binary = parts.text(0);
    if has_wildcard(binary) {
        return Err(parts.error_at(0, "Cannot use wildcards with source code location"));
    }
    let (file, line, column) = match parts.items.as_slice() {
        [_, _, file, line] => (file, line, None),
        [_, _, file, line, column] => (file, line, Some(column)),
        _ => return Err(bad_line(parts)),
    };
    if file.text.is_empty() || line.text.is_empty() {
        return Err(bad_line(parts));
    }
    let number = |what: &str, part: &Part| {
        parse_uint(&part.text)
            .map_err(|error| part.error(format!("Invalid {what} number: {error}")))
    };
    let line = number("line", line)?;
    let column = column.map(|column| number("column", column)).transpose()?;
    if binary.is_empty() {
        return Err(
            parts.error("Unspecified target binary, cannot attach by source code location.")
        );
    }
    Ok(UprobePlace {
        binary: binary.to_owned(),
        language: None,
        function: Function::Line {
            file: file.text.clone(),
            line,
            column,
        },
    })
}

fn bad_line(parts: &Parts<'_>) -> ParseError {
    parts.error("Invalid uprobe arguments, expected format: uprobe:TARGET@FILE:LINE[:COL]")
}

/// The files that the binary of an attach point means. One file unless there is a wildcard, and what to warn of.
pub(crate) fn binaries(
    kind: &str,
    binary: &str,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<(Vec<PathBuf>, Option<String>), ResolveError> {
    let found = match (binary, options.pid) {
        ("", Some(pid)) => world.mapped_binaries(pid)?.into_iter().take(1).collect(),
        ("*", Some(pid)) => world.mapped_binaries(pid)?,
        ("*", None) => world.running_binaries()?,
        _ => world.find_binaries(binary)?,
    };
    if found.is_empty() {
        let error = ResolveError::invalid(format!(
            "{kind} target file '{binary}' does not exist or is not executable"
        ));
        return Err(if binary.contains('/') {
            error
        } else {
            error.help("give its path, or the name of a command or library that the system finds")
        });
    }
    if has_wildcard(binary) || found.len() == 1 {
        return Ok((found, None));
    }
    let warning = format!(
        "attaching to {kind} target file '{}' but matched {} binaries",
        found[0].display(),
        found.len()
    );
    Ok((found.into_iter().take(1).collect(), Some(warning)))
}

/// The files of an attach point. One by address may be of any format where nobody minds what is at that place.
fn files(
    place: &UprobePlace,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<(Vec<PathBuf>, Option<String>), ResolveError> {
    let path = Path::new(&place.binary);
    if matches!(place.function, Function::Address(_)) && options.allow_unsafe && world.is_file(path)
    {
        return Ok((vec![path.to_owned()], None));
    }
    binaries("uprobe", &place.binary, world, options)
}

pub(crate) fn check(
    point: &AttachPoint,
    place: &UprobePlace,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<Vec<String>, ResolveError> {
    if let Function::Line { .. } = place.function {
        return Err(ResolveError::invalid(format!(
            "No DWARF debug info found for '{}', cannot attach by source code location.",
            place.binary
        ))
        .help(format!(
            "{} by source line is not supported yet: give the function, or function and offset",
            point.provider
        )));
    }
    let (_, warning) = files(place, world, options)?;
    Ok(warning.into_iter().collect())
}

pub(crate) fn resolve(
    point: &AttachPoint,
    place: &UprobePlace,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<Vec<Match>, ResolveError> {
    let (paths, _) = files(place, world, options)?;
    let probe = Prober {
        point,
        place,
        world,
        options,
    };
    match &place.function {
        Function::Named { name, offset }
            if !has_wildcard(name) && !has_wildcard(&place.binary) && place.language.is_none() =>
        {
            let Some(path) = paths.first() else {
                return Ok(Vec::new());
            };
            Ok(vec![probe.exact(path, name, *offset)?])
        }
        Function::Named { name, .. } => {
            let mut matches = Vec::new();
            for path in &paths {
                // A file that vanished or is no ELF file is no reason to miss the others.
                match world.binary(path) {
                    Ok(binary) => matches.extend(probe.wildcard(path, binary.as_ref(), name)?),
                    Err(error) if paths.len() == 1 => return Err(error.into()),
                    Err(_) => {}
                }
            }
            Ok(matches)
        }
        Function::Address(address) => {
            let Some(path) = paths.first() else {
                return Ok(Vec::new());
            };
            Ok(vec![probe.address(path, *address)?])
        }
        Function::Line { .. } => {
            check(point, place, world, options)?;
            Ok(Vec::new())
        }
    }
}

struct Prober<'a> {
    point: &'a AttachPoint,
    place: &'a UprobePlace,
    world: &'a dyn World,
    options: &'a ResolveOptions,
}

impl Prober<'_> {
    fn exact(&self, path: &Path, name: &str, offset: u64) -> Result<Match, ResolveError> {
        let binary = self.world.binary(path)?;
        let symbol = binary
            .symbol(name)?
            .filter(|symbol| symbol.is_function)
            .ok_or_else(|| {
                let shown = path.display().to_string();
                let error = ResolveError::no_match(self.point.provider, &shown, name);
                error.help(format!(
                    "`-l '{}:{shown}:*'` shows the functions that there are",
                    self.point.provider
                ))
            })?;
        self.check_bounds(&symbol, offset)?;
        let place = self.file_offset(path, binary.as_ref(), &symbol, offset)?;
        Ok(self.found(
            binary.path(),
            &UprobePlace {
                binary: path.display().to_string(),
                ..self.place.clone()
            },
            vec![place],
        ))
    }

    fn check_bounds(&self, symbol: &ElfSymbol, offset: u64) -> Result<(), ResolveError> {
        let ElfSymbol { name, size, .. } = symbol;
        match (*size, offset) {
            (0, 0) if self.options.allow_unsafe => Ok(()),
            (0, 0) => Err(ResolveError::attach(format!(
                "Could not determine boundary for {name} (symbol has size 0).\n{UNSAFE_HINT}"
            ))),
            (size, offset) if offset >= size => Err(ResolveError::attach(format!(
                "Offset outside the function bounds ('{name}' size is {size})"
            ))),
            _ => Ok(()),
        }
    }

    fn address(&self, path: &Path, address: u64) -> Result<Match, ResolveError> {
        let place = UprobePlace {
            binary: path.display().to_string(),
            ..self.place.clone()
        };
        let binary = match self.world.binary(path) {
            Ok(binary) => binary,
            Err(_) if self.options.allow_unsafe => {
                return Ok(self.found(path, &place, vec![raw(address)]));
            }
            Err(e) => return Err(e.into()),
        };
        let symbols = binary.symbols()?;
        let around = symbols
            .iter()
            .filter(|s| s.address <= address && address - s.address < s.size)
            .max_by_key(|s| (s.address, s.is_function));
        let target = match around {
            Some(symbol) => {
                let offset = address - symbol.address;
                if self.point.provider.is_return() && offset != 0 {
                    return Err(ResolveError::attach(format!(
                        "uretprobes cannot be attached at function offset. (address resolved to: {}+{offset})",
                        symbol.name
                    )));
                }
                self.file_offset(path, binary.as_ref(), symbol, offset)?
            }
            None if self.options.allow_unsafe => {
                raw(binary.file_offset(address).unwrap_or(address))
            }
            None => {
                return Err(ResolveError::attach(format!(
                    "Could not resolve address: {}:{address:#x}",
                    path.display()
                )));
            }
        };
        Ok(self.found(binary.path(), &place, vec![target]))
    }

    /// All functions of one file that a pattern means.
    fn wildcard(
        &self,
        path: &Path,
        binary: &dyn Binary,
        name: &str,
    ) -> Result<Vec<Match>, ResolveError> {
        let functions = matching(binary, name, self.place.language)?;
        let shown = UprobePlace {
            binary: path.display().to_string(),
            ..self.place.clone()
        };
        let mut targets = Vec::new();
        for symbol in functions.values() {
            // A symbol that no segment loads has no place to probe.
            let Ok(target) = self.file_offset(path, binary, symbol, 0) else {
                continue;
            };
            targets.push(target);
        }
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        if !self.options.split && self.world.supports(Feature::UprobeMulti) {
            return Ok(vec![self.found(binary.path(), &shown, targets)]);
        }
        Ok(targets
            .into_iter()
            .map(|target| {
                let place = UprobePlace {
                    function: Function::Named {
                        name: target.symbol.clone(),
                        offset: 0,
                    },
                    ..shown.clone()
                };
                self.found(binary.path(), &place, vec![target])
            })
            .collect())
    }

    fn file_offset(
        &self,
        path: &Path,
        binary: &dyn Binary,
        symbol: &ElfSymbol,
        offset: u64,
    ) -> Result<UprobeTarget, ResolveError> {
        let place = symbol
            .address
            .checked_add(offset)
            .and_then(|address| binary.file_offset(address))
            .ok_or_else(|| {
                ResolveError::attach(format!(
                    "Could not resolve symbol: {}:{}",
                    path.display(),
                    symbol.name
                ))
            })?;
        Ok(UprobeTarget {
            symbol: symbol.name.clone(),
            offset: place,
            ref_ctr_offset: 0,
        })
    }

    fn found(&self, path: &Path, place: &UprobePlace, targets: Vec<UprobeTarget>) -> Match {
        let provider = self.point.provider;
        let name = match &self.point.label {
            Some(label) => label.clone(),
            None => format!("{provider}:{place}"),
        };
        Match::new(
            name,
            Event::Uprobe(Uprobe {
                path: path.to_owned(),
                targets,
                is_return: provider.is_return(),
                pid: self.options.pid.or_else(|| self.world.target_pid()),
            }),
            ProgramKind::Kprobe,
            Context::Registers,
            if provider.is_return() {
                Arguments::None
            } else {
                Arguments::Registers
            },
        )
    }
}

/// A place in a file that no symbol names.
fn raw(offset: u64) -> UprobeTarget {
    UprobeTarget {
        symbol: String::new(),
        offset,
        ref_ctr_offset: 0,
    }
}

/// Functions whose name, or whose demangled name, matches a pattern; sorted by name.
pub(crate) fn matching(
    binary: &dyn Binary,
    pattern: &str,
    language: Option<Language>,
) -> Result<BTreeMap<String, ElfSymbol>, ResolveError> {
    let parameters = pattern.contains('(');
    let pattern = Pattern::new(pattern);
    let matches = |symbol: &ElfSymbol| {
        if pattern.matches(&symbol.name) {
            return true;
        }
        match language.and_then(|language| language.demangle(&symbol.name)) {
            Some(name) if parameters => pattern.matches(&name),
            Some(name) => pattern.matches(without_parameters(&name)),
            None => false,
        }
    };
    Ok(binary
        .symbols()?
        .into_iter()
        .filter(|symbol| symbol.is_function && !symbol.name.contains(".part."))
        .filter(matches)
        .map(|symbol| (symbol.name.clone(), symbol))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach_point::ParseOptions;
    use crate::fixture::Fixture;

    fn resolved(
        text: &str,
        parse: ParseOptions<'_>,
        options: &ResolveOptions,
    ) -> Result<Vec<Match>, String> {
        let point = AttachPoint::parse_with(text, &parse).map_err(|e| e.message)?;
        let world = Fixture::new();
        crate::check(&point, &world, options).map_err(|e| e.to_string())?;
        crate::resolve(&point, &world, options).map_err(|e| e.to_string())
    }

    fn shown(text: &str) -> Result<Vec<String>, String> {
        let found = resolved(text, ParseOptions::default(), &ResolveOptions::default())?;
        Ok(found.iter().map(show).collect())
    }

    fn show(found: &Match) -> String {
        let Event::Uprobe(uprobe) = &found.spec.event else {
            panic!("no uprobe")
        };
        let targets: Vec<String> = uprobe
            .targets
            .iter()
            .map(|t| format!("{}@{:#x}", t.symbol, t.offset))
            .collect();
        format!("{} [{}]", found.spec.name, targets.join(" "))
    }

    #[test]
    fn finds_functions() {
        for (text, expected) in [
            (
                "uprobe:/bin/app:main",
                &["uprobe:/bin/app:main [main@0x1000]"][..],
            ),
            ("u:app:main+4", &["uprobe:/bin/app:main+4 [main@0x1004]"]),
            (
                "u:app:\"main\"+4",
                &["uprobe:/bin/app:main+4 [main@0x1004]"],
            ),
            (
                "uretprobe:libapp:work",
                &["uretprobe:/lib/libapp.so.1:work [work@0x2000]"],
            ),
            (
                "uprobe:/bin/app:work*",
                &["uprobe:/bin/app:work* [work_one@0x1100 work_two@0x1200]"],
            ),
            (
                "uprobe:/bin/app:0x401004",
                &["uprobe:/bin/app:4198404 [main@0x1004]"],
            ),
            (
                "uprobe:*app*:wor*",
                &[
                    "uprobe:/bin/app:wor* [work_one@0x1100 work_two@0x1200]",
                    "uprobe:/lib/libapp.so.1:wor* [work@0x2000]",
                ],
            ),
            (
                "uprobe:/bin/app:cpp:\"ns::run\"",
                &["uprobe:/bin/app:cpp:ns::run [_ZN2ns3runEc@0x1400 _ZN2ns3runEi@0x1300]"],
            ),
            (
                "uprobe:/bin/app:cpp:\"ns::run(int)\"",
                &["uprobe:/bin/app:cpp:ns::run(int) [_ZN2ns3runEi@0x1300]"],
            ),
            ("uprobe:/bin/app:nothing*", &[]),
        ] {
            let expected = expected.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(shown(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn splits_when_asked() {
        let options = ResolveOptions {
            split: true,
            ..ResolveOptions::default()
        };
        let found = resolved("uprobe:app:work*", ParseOptions::default(), &options).unwrap();
        assert_eq!(
            found.iter().map(show).collect::<Vec<_>>(),
            [
                "uprobe:/bin/app:work_one [work_one@0x1100]",
                "uprobe:/bin/app:work_two [work_two@0x1200]",
            ]
        );
    }

    #[test]
    fn a_process_implies_its_binary() {
        let parse = ParseOptions {
            pid: Some(42),
            ..ParseOptions::default()
        };
        let options = ResolveOptions {
            pid: Some(42),
            ..ResolveOptions::default()
        };
        for (text, expected) in [
            (
                "uprobe:main",
                "uprobe:/proc/42/root/bin/app:main [main@0x1000]",
            ),
            (
                "uprobe:cpp:\"ns::run(int)\"",
                "uprobe:/proc/42/root/bin/app:cpp:ns::run(int) [_ZN2ns3runEi@0x1300]",
            ),
        ] {
            let found = resolved(text, parse, &options).unwrap();
            assert_eq!(show(&found[0]), expected);
            let Event::Uprobe(uprobe) = &found[0].spec.event else {
                panic!("no uprobe")
            };
            assert_eq!(uprobe.pid, Some(42));
        }
    }

    #[test]
    fn refuses() {
        for (text, message) in [
            (
                "uprobe:/bin/app",
                "uprobe probe type requires 2 or 3 arguments, found 1",
            ),
            ("uprobe::main", "uprobe should have a target"),
            (
                "uprobe:/bin/app:",
                "uprobe should be attached to a function and/or address",
            ),
            ("uprobe:/bin/app:go:main", "unsupported language type: go"),
            (
                "uprobe:/bin/app:main+1+2",
                "Cannot take more than one offset",
            ),
            ("uretprobe:/bin/app:main+1", "Offset not allowed"),
            (
                "uprobe:*:0x10",
                "Cannot use wildcards with absolute address",
            ),
            (
                "uprobe:/bin/nope:main",
                "uprobe target file '/bin/nope' does not exist or is not executable",
            ),
            (
                "uprobe:/bin/app:nosuch",
                "No matches for uprobe /bin/app:nosuch.",
            ),
            (
                "uprobe:/bin/app:main+1000000",
                "Offset outside the function bounds ('main' size is 64)",
            ),
            (
                "uprobe:/bin/app:_init",
                "Could not determine boundary for _init (symbol has size 0).\nUse --unsafe to force attachment. \
                 WARNING: This option could lead to data corruption in the target process.",
            ),
            (
                "uprobe:/bin/app:10",
                "Could not resolve address: /bin/app:0xa",
            ),
            (
                "uretprobe:/bin/app:0x401004",
                "uretprobes cannot be attached at function offset. (address resolved to: main+4)",
            ),
            (
                "uprobe:/bin/app@main.c:12",
                "No DWARF debug info found for '/bin/app', cannot attach by source code location.",
            ),
            (
                "uretprobe:/bin/app@main.c:12",
                "Source code location not allowed",
            ),
            (
                "uprobe:*@main.c:12",
                "Cannot use wildcards with source code location",
            ),
            (
                "uprobe:/bin/app@main.c",
                "Invalid uprobe arguments, expected format: uprobe:TARGET@FILE:LINE[:COL]",
            ),
            (
                "uprobe:/bin/app@main.c:x",
                "Invalid line number: invalid integer: x",
            ),
            (
                "uprobe:/bin/app@main.c:1:x",
                "Invalid column number: invalid integer: x",
            ),
            (
                "uprobe:@main.c:1",
                "Unspecified target binary, cannot attach by source code location.",
            ),
        ] {
            assert_eq!(shown(text), Err(message.into()), "{text}");
        }
    }

    #[test]
    fn unsafe_lets_through_what_cannot_be_checked() {
        let options = ResolveOptions {
            allow_unsafe: true,
            ..ResolveOptions::default()
        };
        for (text, expected) in [
            ("uprobe:app:_init", "uprobe:/bin/app:_init [_init@0x900]"),
            ("uprobe:app:10", "uprobe:/bin/app:10 [@0xa]"),
        ] {
            let found = resolved(text, ParseOptions::default(), &options).unwrap();
            assert_eq!(show(&found[0]), expected);
        }
    }
}
