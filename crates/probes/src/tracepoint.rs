//! Kernel static tracepoints: `tracepoint:category:name` and `rawtracepoint[:module]:name`.

use std::collections::BTreeMap;

use beetrace_btf::{Btf, Kind, Type, TypeId};
use beetrace_object::{BtfTarget, Event, ProgramKind};

use crate::attach_point::{AttachPoint, ParseError, Parts, Target};
use crate::fentry::btfs;
use crate::resolve::ResolveError;
use crate::wildcard::{Pattern, has_wildcard};
use crate::world::World;
use crate::{Arguments, BtfParam, Context, Match};

/// The layout of a tracepoint's record, from the `format` file of tracefs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Format {
    pub fields: Vec<FormatField>,
}

/// One `field:` line.
#[derive(Clone, Debug, PartialEq)]
pub struct FormatField {
    pub name: String,
    /// The C type as written, without `__data_loc` and array brackets, e.g. `const char *`.
    pub ty: String,
    /// Length where it is an array.
    pub array: Option<u32>,
    /// In bytes from the start of the record.
    pub offset: u32,
    pub size: u32,
    pub signed: bool,
    /// A `__data_loc` field: 32 bits that say where the array lies, offset in the low half, length in the high half.
    pub data_loc: bool,
    /// A `__rel_loc` field: the same, but the offset counts from the end of the field.
    pub rel_loc: bool,
    /// One of the `common_` fields, which `args` does not show.
    pub common: bool,
}

impl Format {
    /// Reads the text of a `format` file (kernel: Documentation/trace/events.rst). Lines that make no sense are left out.
    pub fn parse(text: &str) -> Format {
        let mut common = true;
        let mut fields = Vec::new();
        for line in text.lines() {
            match line.trim_start().strip_prefix("field:") {
                Some(field) => fields.extend(FormatField::parse(field, common)),
                // An empty line parts the common fields from the tracepoint's own.
                None if line.trim().is_empty() && !fields.is_empty() => common = false,
                None => {}
            }
        }
        Format { fields }
    }
}

impl FormatField {
    fn parse(line: &str, common: bool) -> Option<FormatField> {
        let mut items = line.split(';').map(str::trim);
        let declaration = items.next()?;
        let mut number = |key: &str| -> Option<u32> {
            items
                .next()?
                .strip_prefix(key)?
                .strip_prefix(':')?
                .parse()
                .ok()
        };
        let (offset, size) = (number("offset")?, number("size")?);
        let signed = number("signed").unwrap_or(0) != 0;
        let (data_loc, rest) = strip_word(declaration, "__data_loc");
        let (rel_loc, rest) = strip_word(rest, "__rel_loc");
        let (before, after) = match rest.find('[') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        // Either `char[] name` or `char name[16]`.
        let behind = after.rfind(']').map_or("", |at| &after[at + 1..]).trim();
        let (ty, name) = if behind.is_empty() {
            let at = before
                .rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .map_or(0, |at| at + 1);
            before.split_at(at)
        } else {
            (before, behind)
        };
        let ty = ty.trim().to_owned();
        let array = (!after.is_empty() && !data_loc && !rel_loc)
            .then(|| dimensions(after).unwrap_or_else(|| size / element_size(&ty).unwrap_or(1)));
        Some(FormatField {
            name: name.trim().to_owned(),
            ty,
            array,
            offset,
            size,
            signed,
            data_loc,
            rel_loc,
            common,
        })
    }

    /// The field as the file declares it, e.g. `__data_loc char[] name` or `u8 fsid[16]`.
    pub fn declaration(&self) -> String {
        let FormatField { name, ty, .. } = self;
        match (self.data_loc, self.rel_loc, self.array) {
            (true, ..) => format!("__data_loc {ty}[] {name}"),
            (_, true, _) => format!("__rel_loc {ty}[] {name}"),
            (_, _, Some(0)) => format!("{ty} {name}[]"),
            (_, _, Some(len)) => format!("{ty} {name}[{len}]"),
            _ => format!("{ty} {name}"),
        }
    }
}

fn strip_word<'a>(text: &'a str, word: &str) -> (bool, &'a str) {
    match text.strip_prefix(word) {
        Some(rest) if rest.starts_with(' ') => (true, rest.trim_start()),
        _ => (false, text),
    }
}

/// The number of elements in `[16]` or `[2][3]`; none in `[]` are zero.
fn dimensions(brackets: &str) -> Option<u32> {
    brackets
        .split('[')
        .skip(1)
        .map(|dimension| match dimension.split(']').next()?.trim() {
            "" => Some(0),
            number => number.parse::<u32>().ok(),
        })
        .try_fold(1u32, |product, length| product.checked_mul(length?))
}

fn element_size(ty: &str) -> Option<u32> {
    let ty = ty
        .trim_start_matches("const ")
        .trim_start_matches("unsigned ");
    Some(match ty {
        "char" | "u8" | "s8" | "__u8" | "__s8" | "bool" => 1,
        "short" | "u16" | "s16" | "__u16" | "__s16" | "__be16" => 2,
        "int" | "unsigned" | "u32" | "s32" | "__u32" | "__s32" | "__be32" => 4,
        "long" | "u64" | "s64" | "__u64" | "__s64" | "__be64" | "long long" => 8,
        ty if ty.ends_with('*') => 8,
        _ => return None,
    })
}

pub(crate) fn parse(parts: &Parts<'_>) -> Result<Target, ParseError> {
    let (category, name) = match parts.items.as_slice() {
        // Most people who look for a tracepoint know its name only.
        [name] if has_wildcard(&name.text) => ("*", name.text.as_str()),
        [category, name] => (category.text.as_str(), name.text.as_str()),
        _ => return Err(parts.count_error("2")),
    };
    if category.is_empty() || name.is_empty() {
        return Err(parts.error("tracepoint probe must have a target"));
    }
    Ok(Target::Tracepoint {
        category: category.to_owned(),
        name: name.to_owned(),
    })
}

pub(crate) fn resolve(
    point: &AttachPoint,
    category: &str,
    name: &str,
    world: &dyn World,
) -> Result<Vec<Match>, ResolveError> {
    if !has_wildcard(category) && !has_wildcard(name) {
        return match world.tracepoint_format(category, name) {
            Ok(format) => Ok(vec![found(point, category, name, format)]),
            Err(error) => {
                let known = world.tracepoints()?;
                if known.iter().any(|(c, n)| c == category && n == name) {
                    return Err(error.into());
                }
                let error = ResolveError::no_match(point.provider, category, name);
                Err(match category {
                    "syscall" => error.help(format!("did you mean `tracepoint:syscalls:{name}`?")),
                    _ => error,
                })
            }
        };
    }
    let (categories, names) = (Pattern::new(category), Pattern::new(name));
    let mut matches = Vec::new();
    for (category, name) in world.tracepoints()? {
        if categories.matches(&category) && names.matches(&name) {
            let format = world.tracepoint_format(&category, &name)?;
            matches.push(found(point, &category, &name, format));
        }
    }
    Ok(matches)
}

fn found(point: &AttachPoint, category: &str, name: &str, format: Format) -> Match {
    let shown = match &point.label {
        Some(label) => label.clone(),
        None => format!("{}:{category}:{name}", point.provider),
    };
    Match::new(
        shown,
        Event::Tracepoint {
            category: category.to_owned(),
            name: name.to_owned(),
        },
        ProgramKind::Tracepoint,
        Context::Tracepoint,
        Arguments::Tracepoint(format),
    )
}

pub(crate) fn parse_raw(parts: &Parts<'_>) -> Result<Target, ParseError> {
    let (module, name) = match parts.items.as_slice() {
        [name] => ("*", name.text.as_str()),
        [module, name] => (module.text.as_str(), name.text.as_str()),
        _ => return Err(parts.count_error("2 or 1")),
    };
    if name.is_empty() {
        return Err(parts.error("rawtracepoint should be attached to a function"));
    }
    Ok(Target::RawTracepoint {
        module: module.to_owned(),
        name: name.to_owned(),
    })
}

pub(crate) fn resolve_raw(
    point: &AttachPoint,
    module: &str,
    name: &str,
    world: &dyn World,
) -> Result<Vec<Match>, ResolveError> {
    let mut places = Vec::new();
    let modules = Pattern::new(module);
    if has_wildcard(name) {
        let names = Pattern::new(name);
        for (module, btf) in btfs(world, &modules) {
            let found = raw_prototypes(&btf).into_iter();
            let found = found.filter(|(name, _)| names.matches(name));
            places.extend(found.map(|(name, params)| (module.clone(), name, params, None)));
        }
    } else {
        for (module, btf) in btfs(world, &modules) {
            if let Some(params) = raw_prototype(&btf, name) {
                let typed = typed_prototype(&btf, name, &params);
                places.push((module, name.to_owned(), params, typed));
            }
        }
        if places.is_empty() && world.btf().is_none() {
            // Nothing here knows the raw tracepoints; the kernel does.
            let module = Some(module.to_owned()).filter(|m| !has_wildcard(m) && m != "vmlinux");
            places.push((module, name.to_owned(), Vec::new(), None));
        }
        if places.is_empty() && !has_wildcard(module) {
            return Err(ResolveError::no_match(point.provider, module, name));
        }
    }
    Ok(places
        .into_iter()
        .map(|(module, name, params, typed)| {
            let btf = typed.map(|type_id| BtfTarget {
                module: module.clone(),
                type_id,
            });
            // A program that knows its arguments' types reads what they point to without a helper, but it is bound to the
            // one tracepoint.
            let kind = match &btf {
                Some(_) => ProgramKind::Tracing,
                None => ProgramKind::RawTracepoint,
            };
            let shown = match &point.label {
                Some(label) => label.clone(),
                None => format!(
                    "{}:{}:{name}",
                    point.provider,
                    module.as_deref().unwrap_or("vmlinux")
                ),
            };
            Match::new(
                shown,
                Event::RawTracepoint { name, btf },
                kind,
                Context::Arguments,
                Arguments::Btf {
                    module,
                    params,
                    result: None,
                },
            )
        })
        .collect())
}

/// Functions that carry a raw tracepoint's name and prototype with names of arguments, the newest kernels' first.
const STUBS: [&str; 2] = ["__probestub_", "__traceiter_"];

/// The typedef that has every raw tracepoint's prototype, without names of arguments.
const TYPEDEF: &str = "btf_trace_";

/// The arguments of a raw tracepoint of that BTF itself, `None` where there is no such tracepoint.
fn raw_prototype(btf: &Btf, name: &str) -> Option<Vec<BtfParam>> {
    // What a module's BTF finds may be the kernel's.
    let find = |kind, prefix: &str| {
        btf.find(kind, &format!("{prefix}{name}"))
            .filter(|id| *id >= btf.first_id())
    };
    let stub = STUBS.iter().find_map(|stub| find(Kind::Func, stub));
    match stub {
        Some(function) => match btf.get(function).ok()? {
            Type::Func(function) => params_of(btf, function.proto),
            _ => None,
        },
        None => match btf.get(find(Kind::Typedef, TYPEDEF)?).ok()? {
            Type::Typedef { target, .. } => params_behind(btf, target),
            _ => None,
        },
    }
}

/// The type that a program of typed arguments names, where the kernel lets it read each of them: before Linux 6.16 a pointer to
/// a pointer makes the verifier refuse the argument.
fn typed_prototype(btf: &Btf, name: &str, params: &[BtfParam]) -> Option<u32> {
    let typedef = btf
        .find(Kind::Typedef, &format!("{TYPEDEF}{name}"))
        .filter(|id| *id >= btf.first_id())?;
    let is_plain = |id| {
        let resolved = btf.resolve(TypeId(id)).and_then(|id| btf.get(id));
        match resolved {
            Ok(Type::Int(_) | Type::Enum(_) | Type::Enum64(_)) => true,
            Ok(Type::Ptr { target }) => matches!(
                btf.resolve(target).and_then(|id| btf.get(id)),
                Ok(Type::Void | Type::Int(_) | Type::Struct(_))
            ),
            _ => false,
        }
    };
    params
        .iter()
        .all(|param| is_plain(param.type_id))
        .then_some(typedef.0)
}

fn params_behind(btf: &Btf, pointer: TypeId) -> Option<Vec<BtfParam>> {
    match btf.get(pointer).ok()? {
        Type::Ptr { target } => params_of(btf, target),
        _ => None,
    }
}

fn params_of(btf: &Btf, proto: TypeId) -> Option<Vec<BtfParam>> {
    let Type::FuncProto(proto) = btf.get(proto).ok()? else {
        return None;
    };
    // The first one is the tracepoint's own data, which programs do not get.
    let params = proto.params().skip(1).map(|param| BtfParam {
        name: param.name.to_owned(),
        type_id: param.type_id.0,
    });
    Some(params.collect())
}

/// All raw tracepoints of a BTF itself with their arguments, by name.
pub(crate) fn raw_prototypes(btf: &Btf) -> BTreeMap<String, Vec<BtfParam>> {
    let mut found = BTreeMap::new();
    for stub in STUBS {
        for (name, _, proto) in btf.functions() {
            if let Some(name) = name.strip_prefix(stub)
                && !found.contains_key(name)
                && let Some(params) = params_of(btf, proto)
            {
                found.insert(name.to_owned(), params);
            }
        }
    }
    if found.is_empty() {
        for (_, ty) in btf.types() {
            if let Type::Typedef { name, target } = ty
                && let Some(name) = name.strip_prefix(TYPEDEF)
                && let Some(params) = params_behind(btf, target)
            {
                found.insert(name.to_owned(), params);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use crate::resolve::ResolveOptions;

    const FORMAT: &str = "\
name: sys_enter_openat
ID: 700
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:int __syscall_nr;	offset:8;	size:4;	signed:1;
	field:const char * filename;	offset:16;	size:8;	signed:0;
	field:__data_loc char[] name;	offset:24;	size:4;	signed:0;
	field:__rel_loc u32[] values;	offset:28;	size:4;	signed:0;
	field:char comm[16];	offset:32;	size:16;	signed:0;
	field:unsigned long args[6];	offset:48;	size:48;	signed:0;
	field:char task[TASK_COMM_LEN];	offset:96;	size:16;	signed:0;
	field:u32 buf[];	offset:112;	size:0;	signed:0;

print fmt: \"field:%d\", REC->x
";

    #[test]
    fn reads_a_format_file() {
        let format = Format::parse(FORMAT);
        let text: Vec<String> = format
            .fields
            .iter()
            .map(|f| {
                let kind = match (f.common, f.signed) {
                    (true, _) => "common ",
                    (_, true) => "signed ",
                    _ => "",
                };
                format!(
                    "{kind}{}@{}+{} {:?}",
                    f.declaration(),
                    f.offset,
                    f.size,
                    f.array
                )
            })
            .collect();
        assert_eq!(
            text,
            [
                "common unsigned short common_type@0+2 None",
                "common int common_pid@4+4 None",
                "signed int __syscall_nr@8+4 None",
                "const char * filename@16+8 None",
                "__data_loc char[] name@24+4 None",
                "__rel_loc u32[] values@28+4 None",
                "char comm[16]@32+16 Some(16)",
                "unsigned long args[6]@48+48 Some(6)",
                "char task[16]@96+16 Some(16)",
                "u32 buf[]@112+0 Some(0)",
            ]
        );
    }

    fn names(text: &str) -> Result<Vec<String>, String> {
        let point = AttachPoint::parse(text).map_err(|e| e.message)?;
        crate::resolve(&point, &Fixture::new(), &ResolveOptions::default())
            .map(|found| found.into_iter().map(|m| m.spec.name).collect())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn finds_tracepoints() {
        assert_eq!(
            names("t:syscalls:sys_enter_openat"),
            Ok(vec!["tracepoint:syscalls:sys_enter_openat".into()])
        );
        assert_eq!(
            names("tracepoint:sys*:*read"),
            Ok(vec![
                "tracepoint:syscalls:sys_enter_read".into(),
                "tracepoint:syscalls:sys_exit_read".into()
            ])
        );
        assert_eq!(
            names("tracepoint:*switch"),
            names("tracepoint:sched:sched_switch")
        );
        assert_eq!(names("tracepoint:sched:none*"), Ok(vec![]));
        assert_eq!(
            names("tracepoint:syscalls:nonsense"),
            Err("No matches for tracepoint syscalls:nonsense.".into())
        );
        assert_eq!(
            names("tracepoint:sched"),
            Err("tracepoint probe type requires 2 arguments, found 1".into())
        );
    }

    #[test]
    fn finds_raw_tracepoints() {
        assert_eq!(
            names("rt:sched_switch"),
            Ok(vec!["rawtracepoint:vmlinux:sched_switch".into()])
        );
        assert_eq!(
            names("rawtracepoint:vmlinu*:sched_*"),
            Ok(vec!["rawtracepoint:vmlinux:sched_switch".into()])
        );
        assert_eq!(names("rawtracepoint:nonsense"), Ok(vec![]));
        assert_eq!(
            names("rawtracepoint:nonsense:sched_switch"),
            Err("No matches for rawtracepoint nonsense:sched_switch.".into())
        );
        assert_eq!(
            names("rawtracepoint:a:b:c"),
            Err("rawtracepoint probe type requires 2 or 1 arguments, found 3".into())
        );
    }

    #[test]
    fn a_raw_tracepoint_has_typed_arguments() {
        let world = Fixture::new();
        let point = AttachPoint::parse("rawtracepoint:sched_switch").unwrap();
        let found = crate::resolve(&point, &world, &ResolveOptions::default()).unwrap();
        let Arguments::Btf {
            module,
            params,
            result,
        } = &found[0].arguments
        else {
            panic!("not typed")
        };
        assert_eq!((module, result), (&None, &None));
        let btf = world.btf().unwrap();
        let params: Vec<String> = params
            .iter()
            .map(|p| btf.declaration(TypeId(p.type_id), &p.name))
            .collect();
        assert_eq!(
            params,
            [
                "bool preempt",
                "struct task_struct *prev",
                "struct task_struct *next"
            ]
        );
        assert_eq!(found[0].context, Context::Arguments);
    }
}
