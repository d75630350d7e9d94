//! From an [`Object`] to maps and programs of the kernel.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use beetrace_btf::{FuncInfo, LineInfo};
use beetrace_engine::{Error, LoadOptions};
use beetrace_isa::{Imm64, Insn};
use beetrace_object::{
    DebugInfo, LoadBtf, Map as MapDefinition, MapKind, MapRole, Object, Parameter,
};

use crate::caps;
use crate::gate::{self, Gate};
use crate::map::{Definition, Map};
use crate::perfbuf::PerfBuffer;
use crate::program::{Loader, Program};
use crate::ringbuf::{self, RingBuffer};
use crate::sys::attr::{F_RDONLY_PROG, F_STACK_BUILD_ID};
use crate::sys::bpf;

/// Where records come from.
#[derive(Debug)]
pub(crate) enum Records {
    Ring(RingBuffer),
    Perf(PerfBuffer),
}

/// Processors: how many values a per-CPU map has, the highest number, and those that run.
#[derive(Clone, Debug)]
pub(crate) struct Cpus {
    pub(crate) possible: Vec<u32>,
    pub(crate) online: Vec<u32>,
}

/// Creates all maps, with what they hold from the beginning.
pub(crate) fn maps(object: &Object, options: &LoadOptions, cpus: &Cpus) -> Result<Vec<Map>, Error> {
    object
        .maps
        .iter()
        .map(|definition| {
            create(object, definition, options, cpus).map_err(|error| {
                caps::bpf_error(format!("creating the map {}", definition.name), error)
            })
        })
        .collect()
}

fn create(
    object: &Object,
    definition: &MapDefinition,
    options: &LoadOptions,
    cpus: &Cpus,
) -> io::Result<Map> {
    let read_only = matches!(
        definition.role,
        MapRole::Constants(_) | MapRole::Table(_) | MapRole::Parameters(_)
    );
    let flags = match definition.role {
        _ if read_only => F_RDONLY_PROG,
        MapRole::Frames { build_id: true } if definition.kind == MapKind::StackTrace => {
            F_STACK_BUILD_ID
        }
        _ => 0,
    };
    let (key_size, value_size, max_entries) = match definition.kind {
        MapKind::RingBuf => {
            let size = ringbuf::size(object.config.perf_rb_pages, cpus.possible.len());
            (0, 0, size)
        }
        MapKind::PerfEventArray => {
            let cpus = cpus.possible.iter().max().map_or(1, |last| last + 1);
            (4, 4, cpus)
        }
        _ => (
            definition.key_size,
            definition.value_size,
            definition.max_entries,
        ),
    };
    let map = Map::create(
        &Definition {
            name: &definition.name,
            kind: definition.kind,
            key_size,
            value_size,
            max_entries,
            flags,
            presence: definition.presence(),
        },
        cpus.possible.len(),
    )?;
    match &definition.role {
        MapRole::Constants(bytes) | MapRole::Table(bytes) => {
            let size = (value_size as usize).max(1);
            for (index, value) in (0_u32..).zip(bytes.chunks(size)) {
                map.set(&index.to_ne_bytes(), value)?;
            }
        }
        MapRole::Parameters(parameters) => {
            let value: Vec<u8> = parameters
                .iter()
                .flat_map(|p| parameter(*p, options, cpus).to_ne_bytes())
                .collect();
            map.set(&0_u32.to_ne_bytes(), &value)?;
        }
        _ => {}
    }
    if read_only && max_entries == 1 {
        // Then the verifier knows the values, and takes out the branches that they decide. Of a frozen array with more
        // values it refuses every read.
        map.freeze()?;
    }
    Ok(map)
}

fn parameter(wanted: Parameter, options: &LoadOptions, cpus: &Cpus) -> u64 {
    let given = options.parameters.iter().find(|(p, _)| *p == wanted);
    match (given, wanted) {
        (Some((_, value)), _) => *value,
        (None, Parameter::Cpus) => cpus.possible.len() as u64,
        (None, _) => 0,
    }
}

/// The process that the run is about: that of `-p`, or the command of `-c`; zero for none.
pub(crate) fn target_pid(options: &LoadOptions) -> u32 {
    [Parameter::TargetPid, Parameter::ChildPid]
        .into_iter()
        .filter_map(|wanted| options.parameters.iter().find(|(p, _)| *p == wanted))
        .map(|(_, value)| *value as u32)
        .find(|pid| *pid != 0)
        .unwrap_or(0)
}

pub(crate) fn loader(
    object: &Object,
    options: &LoadOptions,
    types: &LoadBtf,
) -> Result<Loader, Error> {
    let license = CString::new(object.license.as_str())
        .map_err(|_| invalid("the licence holds a NUL byte"))?;
    Ok(Loader {
        license,
        // Only programs with callbacks need it, and those are rejected without.
        btf: bpf::btf_load(&types.btf).ok(),
        log_size: object.config.log_size.max(4096),
        keep_logs: options.verifier_log,
        ..Loader::default()
    })
}

/// The programs, with the maps' descriptors for their indices; none is loaded yet.
pub(crate) fn programs(
    object: &Object,
    maps: &[Map],
    types: &LoadBtf,
    gate: Option<&Gate>,
) -> Result<Vec<Program>, Error> {
    let nothing = DebugInfo::default();
    object
        .programs
        .iter()
        .enumerate()
        .map(|(index, program)| {
            let debug = types.programs.get(index).unwrap_or(&nothing);
            let prologue = match gate {
                Some(gate) if gate::is_slow(&program.probes) => gate.prologue().to_vec(),
                _ => Vec::new(),
            };
            let shift: usize = prologue.iter().map(Insn::slots).sum();
            let body = relocate(&program.insns, maps)?;
            let mut slots = Vec::with_capacity(body.len());
            let mut slot = shift as u32;
            for insn in &body {
                slots.push(slot);
                slot += insn.slots() as u32;
            }
            let insns = [prologue, body].concat();
            Ok(Program {
                name: program.name.clone(),
                kind: program.kind,
                insns: beetrace_isa::to_bytes(&beetrace_isa::encode(&insns)),
                slots,
                lines: program.lines.clone(),
                probes: program.probes.clone(),
                func_info: shifted(debug.func_info_bytes(), FuncInfo::SIZE as usize, shift),
                line_info: shifted(debug.line_info_bytes(), LineInfo::SIZE as usize, shift),
                loaded: Vec::new(),
                is_no_packet: false,
            })
        })
        .collect()
}

/// Moves what records of the kernel say of slots behind a prologue. Each begins with a slot; the first stays where the program begins.
fn shifted(mut records: Vec<u8>, size: usize, slots: usize) -> Vec<u8> {
    for record in records.chunks_exact_mut(size).skip(1) {
        if let Some(offset) = record.first_chunk_mut::<4>() {
            *offset = u32::from_ne_bytes(*offset)
                .saturating_add(slots as u32)
                .to_ne_bytes();
        }
    }
    records
}

fn relocate(insns: &[Insn], maps: &[Map]) -> Result<Vec<Insn>, Error> {
    let fd = |index: u32| {
        let map = maps.get(index as usize);
        map.map(|map| map.as_fd().as_raw_fd())
            .ok_or_else(|| invalid("an instruction names a map that is not there"))
    };
    insns
        .iter()
        .map(|insn| {
            let Insn::LdImm64 { dst, imm } = *insn else {
                return Ok(*insn);
            };
            let imm = match imm {
                Imm64::MapIdx(index) => Imm64::MapFd(fd(index)?),
                Imm64::MapIdxValue { idx, off } => Imm64::MapFdValue { fd: fd(idx)?, off },
                other => other,
            };
            Ok(Insn::LdImm64 { dst, imm })
        })
        .collect()
}

/// Opens the reader's side of the object's records, if it has any.
pub(crate) fn records(
    object: &Object,
    maps: &[Map],
    cpus: &Cpus,
) -> Result<Option<(usize, Records)>, Error> {
    let is_records = |m: &MapDefinition| matches!(m.role, MapRole::Records);
    let Some(index) = object.maps.iter().position(is_records) else {
        return Ok(None);
    };
    let (Some(definition), Some(map)) = (object.maps.get(index), maps.get(index)) else {
        return Ok(None);
    };
    let size = ringbuf::size(object.config.perf_rb_pages, cpus.possible.len());
    let records = match definition.kind {
        MapKind::PerfEventArray => {
            PerfBuffer::new(map, &cpus.online, size as usize).map(Records::Perf)
        }
        _ => RingBuffer::new(map.as_fd(), map.max_entries() as usize).map(Records::Ring),
    };
    match records {
        Ok(records) => Ok(Some((index, records))),
        Err(error) => Err(caps::perf_error(
            "opening the buffer of records".into(),
            error,
        )),
    }
}

fn invalid(what: &str) -> Error {
    Error::Io {
        action: "reading the compiled program".into(),
        source: io::Error::new(io::ErrorKind::InvalidData, what.to_owned()),
    }
}
