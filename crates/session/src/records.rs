//! What to do with each record.

use std::fs::File;
use std::io::Read;
use std::process::Command;

use beetrace_engine::{Engine, MapId};
use beetrace_object::{
    Action, Destination, FailureSeverity, Format, Layout, MapRole, Object, RECORD_HEADER, Record,
    SourceSpan, UserMap,
};

use crate::clock;
use crate::format::write_format;
use crate::maps::{self, PrintOptions, Table};
use crate::output::{Message, Output};
use crate::place::Place;
use crate::resolve::Resolve;
use crate::value::{Value, decode, read_int, read_uint};

/// What the record means for the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Nothing,
    /// `exit(code)`
    Exit(u8),
    /// Needs the engine, which is busy giving out records: to be done by [`after`] before the next record.
    Deferred(Deferred),
}

/// Work on maps, in the order of the records that asked for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Deferred {
    PrintMap {
        map: u32,
        options: PrintOptions,
    },
    PrintMapKey {
        map: u32,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Clear(u32),
    Zero(u32),
    Unwatch(u64),
}

/// How messages are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageOptions {
    /// No warnings at all.
    pub no_warnings: bool,
    /// Every helper that failed, not only those that lose data.
    pub helper_errors: bool,
}

/// Acts on one record. A record that does not fit the object is skipped.
pub fn handle(
    object: &Object,
    record: &[u8],
    output: &mut Output,
    resolve: &mut dyn Resolve,
    options: MessageOptions,
) -> Outcome {
    let Some(kind) = object.records.get(read_uint(record, 0, 4) as usize) else {
        return Outcome::Nothing;
    };
    let fields = record.get(RECORD_HEADER as usize..).unwrap_or(&[]);
    match &kind.action {
        Action::Format { format, to, span } => {
            formatted(
                object,
                kind,
                fields,
                (format, *to, *span),
                output,
                resolve,
                options,
            );
        }
        Action::PrintValue => {
            if let Some(value) = values(kind, fields, resolve).next() {
                output.value(&value);
            }
        }
        Action::PrintMap { map } => {
            let options = PrintOptions {
                top: field_uint(kind, fields, 0) as u32,
                div: field_uint(kind, fields, 1) as u32,
            };
            return Outcome::Deferred(Deferred::PrintMap { map: *map, options });
        }
        Action::PrintMapKey { map } => {
            let (key, value) = (
                field(kind, fields, 0).to_vec(),
                field(kind, fields, 1).to_vec(),
            );
            return Outcome::Deferred(Deferred::PrintMapKey {
                map: *map,
                key,
                value,
            });
        }
        Action::ClearMap { map } => return Outcome::Deferred(Deferred::Clear(*map)),
        Action::ZeroMap { map } => return Outcome::Deferred(Deferred::Zero(*map)),
        Action::Exit => return Outcome::Exit(field_uint(kind, fields, 0) as u8),
        Action::Time { format } => output.time(&clock::now(format)),
        Action::Join { separator } => join(kind, fields, separator, output, resolve),
        Action::Unwatch => {
            return Outcome::Deferred(Deferred::Unwatch(field_uint(kind, fields, 0)));
        }
        // Packets are written by the session, which keeps the capture files.
        Action::Packet { .. } => {}
        Action::HelperFailed {
            helper,
            span,
            severity,
        } => {
            let shown = *severity == FailureSeverity::Always || options.helper_errors;
            if shown && !options.no_warnings {
                let result = read_int(field(kind, fields, 0), 0, 4) as i32;
                helper_failed(object, *helper, result, *span, output);
            }
        }
        Action::RuntimeMessage {
            text,
            span,
            is_error,
        } => {
            if *is_error || !options.no_warnings {
                output.message(&Message {
                    kind: "runtime_error",
                    is_error: *is_error,
                    text,
                    facts: &[],
                    members: &[],
                    place: &Place::new(object, *span),
                    quote: true,
                });
            }
        }
    }
    Outcome::Nothing
}

fn values<'a>(
    kind: &'a Record,
    fields: &'a [u8],
    resolve: &'a mut dyn Resolve,
) -> impl Iterator<Item = Value<'a>> {
    kind.fields
        .members
        .iter()
        .enumerate()
        .map(move |(i, m)| decode(&m.layout, field(kind, fields, i), resolve))
}

/// The bytes of one field; short where the record is.
fn field<'a>(kind: &Record, fields: &'a [u8], index: usize) -> &'a [u8] {
    let Some(member) = kind.fields.members.get(index) else {
        return &[];
    };
    let start = (member.offset as usize).min(fields.len());
    let end = start
        .saturating_add(member.layout.size() as usize)
        .min(fields.len());
    &fields[start..end]
}

fn field_uint(kind: &Record, fields: &[u8], index: usize) -> u64 {
    let bytes = field(kind, fields, index);
    read_uint(bytes, 0, bytes.len())
}

fn formatted(
    object: &Object,
    kind: &Record,
    fields: &[u8],
    (format, to, span): (&Format, Destination, SourceSpan),
    output: &mut Output,
    resolve: &mut dyn Resolve,
    options: MessageOptions,
) {
    if to == Destination::Output {
        output.printf(|out| write_format(out, format, values(kind, fields, resolve)));
        return;
    }
    let mut bytes = Vec::new();
    write_format(&mut bytes, format, values(kind, fields, resolve));
    let text = String::from_utf8_lossy(&bytes);
    match to {
        Destination::Output => {}
        Destination::Error | Destination::Warning => {
            let is_error = to == Destination::Error;
            if is_error || !options.no_warnings {
                output.message(&Message {
                    kind: if is_error { "errorf" } else { "warnf" },
                    is_error,
                    text: &text,
                    facts: &[],
                    members: &[],
                    place: &Place::new(object, span),
                    quote: false,
                });
            }
        }
        Destination::System => system(&text, output),
        Destination::Cat => cat(&text, object.config.max_cat_bytes, output),
    }
}

/// Runs a command through the shell and shows what it prints.
fn system(command: &str, output: &mut Output) {
    output.flush();
    match Command::new("sh")
        .arg("-c")
        .arg(command)
        .stderr(std::process::Stdio::inherit())
        .output()
    {
        Ok(done) => {
            let text = done.stdout;
            output.system(&text);
        }
        Err(e) => output.note(&format!("ERROR: cannot run `{command}`: {e}\n")),
    }
}

fn cat(path: &str, limit: u64, output: &mut Output) {
    let mut contents = Vec::new();
    match File::open(path).and_then(|f| f.take(limit).read_to_end(&mut contents)) {
        Ok(_) => output.cat(&contents),
        Err(e) => output.note(&format!(
            "ERROR: failed to open file '{path}' ({})\n",
            plain(&e)
        )),
    }
}

/// The system's words for an error, without Rust's number behind them.
pub fn plain(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_string()
}

fn join(
    kind: &Record,
    fields: &[u8],
    separator: &str,
    output: &mut Output,
    resolve: &mut dyn Resolve,
) {
    let mut text = Vec::new();
    if let Some(Value::Array(words)) = values(kind, fields, resolve).next() {
        for (i, word) in words.iter().enumerate() {
            let Value::Str(word) = word else { break };
            if word.is_empty() {
                break;
            }
            if i > 0 {
                text.extend_from_slice(separator.as_bytes());
            }
            text.extend_from_slice(word);
        }
    }
    output.join(&text);
}

/// Helper numbers of include/uapi/linux/bpf.h.
const MAP_LOOKUP_ELEM: u32 = 1;
const MAP_UPDATE_ELEM: u32 = 2;
const MAP_DELETE_ELEM: u32 = 3;
/// `E2BIG` and `ENOENT` as helpers return them.
const TOO_BIG: i32 = -7;
const NO_ENTRY: i32 = -2;

fn helper_failed(object: &Object, helper: u32, result: i32, span: SourceSpan, output: &mut Output) {
    let name = beetrace_isa::helper_name(helper).unwrap_or("unknown");
    let name = name.strip_prefix("bpf_").unwrap_or(name);
    let reason = plain(&std::io::Error::from_raw_os_error(result.wrapping_neg()));
    let text = match (helper, result) {
        (MAP_UPDATE_ELEM, TOO_BIG) => {
            "Map full; can't update element. Try increasing max_map_keys config \
             or manually setting the max entries in a map declaration e.g. `let @a = hash(5000)`"
                .to_string()
        }
        (MAP_DELETE_ELEM, NO_ENTRY) => {
            "Can't delete map element because it does not exist.".to_string()
        }
        (MAP_LOOKUP_ELEM, _) => "Can't lookup map element because it does not exist.".to_string(),
        _ => reason.clone(),
    };
    let json = output.form() == crate::output::Form::Json;
    output.message(&Message {
        kind: "helper_error",
        is_error: false,
        text: if json { &reason } else { &text },
        facts: &[format!(
            "Additional Info - helper: {name}, retcode: {result}"
        )],
        members: &[
            ("helper", Value::text(name)),
            ("retcode", Value::Int(i64::from(result))),
        ],
        place: &Place::new(object, span),
        quote: true,
    });
}

fn user_map(object: &Object, map: u32) -> Option<(&str, &UserMap)> {
    match object.maps.get(map as usize)? {
        beetrace_object::Map {
            name,
            role: MapRole::User(user),
            ..
        } => Some((name, user)),
        _ => None,
    }
}

/// Does what a record left to be done.
pub fn after(
    deferred: &Deferred,
    object: &Object,
    engine: &mut dyn Engine,
    output: &mut Output,
    resolve: &mut dyn Resolve,
) -> Result<(), beetrace_engine::Error> {
    match deferred {
        Deferred::PrintMap { map, options } => {
            print_map(object, engine, *map, *options, true, output, resolve)
        }
        Deferred::PrintMapKey { map, key, value } => {
            if let Some((name, user)) = user_map(object, *map) {
                let entries = [beetrace_engine::Entry {
                    key: key.clone(),
                    value: value.clone(),
                }];
                if let Some(table) = maps::table(user, &entries, PrintOptions::default(), resolve) {
                    output.map(name, &table, resolve);
                }
            }
            Ok(())
        }
        Deferred::Clear(map) => engine.clear(MapId(*map)),
        Deferred::Zero(map) => engine.zero(MapId(*map)),
        Deferred::Unwatch(address) => engine.unwatch(*address),
    }
}

/// Prints a map of the script. `even_unset`: one without keys that was never set shows zero; else it shows nothing.
pub fn print_map(
    object: &Object,
    engine: &mut dyn Engine,
    map: u32,
    options: PrintOptions,
    even_unset: bool,
    output: &mut Output,
    resolve: &mut dyn Resolve,
) -> Result<(), beetrace_engine::Error> {
    let Some((name, user)) = user_map(object, map) else {
        return Ok(());
    };
    let entries = engine.entries(MapId(map))?;
    // Stacks are looked up while values are decoded, and the engine is at hand only here.
    resolve_stacks(user, &entries, engine, resolve)?;
    let zeros = vec![0; user.value.size() as usize];
    let table = match maps::table(user, &entries, options, resolve) {
        Some(table) => table,
        None if even_unset => maps::unset(user, &zeros, resolve),
        None => return Ok(()),
    };
    if !matches!(&table, Table::Keyed(rows) if rows.is_empty()) {
        output.map(name, &table, resolve);
    }
    Ok(())
}

/// Reads the frames of every stack in the entries, so that printing finds them.
fn resolve_stacks(
    user: &UserMap,
    entries: &[beetrace_engine::Entry],
    engine: &mut dyn Engine,
    resolve: &mut dyn Resolve,
) -> Result<(), beetrace_engine::Error> {
    for entry in entries {
        fetch_stacks(&user.key, &entry.key, engine, resolve)?;
        fetch_stacks(&user.value, &entry.value, engine, resolve)?;
    }
    Ok(())
}

/// Reads the frames of the stacks in one value.
pub fn fetch_stacks(
    layout: &Layout,
    data: &[u8],
    engine: &mut dyn Engine,
    resolve: &mut dyn Resolve,
) -> Result<(), beetrace_engine::Error> {
    match layout {
        Layout::Stack(stack) => {
            let id = read_uint(data, 0, 8);
            if !resolve.has_frames(stack.frames, id) {
                let (map, key) = stack.place(id);
                let frames = engine.lookup(MapId(map), &key)?;
                resolve.add_frames(stack.frames, id, frames.unwrap_or_default());
            }
            Ok(())
        }
        Layout::Tuple(a) | Layout::Record(a) | Layout::Struct(a) => {
            for member in &a.members {
                let start = (member.offset as usize).min(data.len());
                fetch_stacks(&member.layout, &data[start..], engine, resolve)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether a value of this layout holds a stack anywhere.
pub fn holds_stack(layout: &Layout) -> bool {
    match layout {
        Layout::Stack(_) => true,
        Layout::Tuple(a) | Layout::Record(a) | Layout::Struct(a) => {
            a.members.iter().any(|m| holds_stack(&m.layout))
        }
        _ => false,
    }
}

/// Reads the frames of the stacks in a record.
pub fn fetch_record_stacks(
    object: &Object,
    record: &[u8],
    engine: &mut dyn Engine,
    resolve: &mut dyn Resolve,
) -> Result<(), beetrace_engine::Error> {
    let Some(kind) = object.records.get(read_uint(record, 0, 4) as usize) else {
        return Ok(());
    };
    let fields = record.get(RECORD_HEADER as usize..).unwrap_or(&[]);
    for (i, layout) in kind.layouts().enumerate() {
        fetch_stacks(layout, field(kind, fields, i), engine, resolve)?;
    }
    Ok(())
}
