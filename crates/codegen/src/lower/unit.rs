//! What all programs of a script share: maps and the table of records.

use std::collections::HashMap;

use beetrace_lang::span::Span;
use beetrace_lang::typed::{MapId, MapInfo, Program, StringTable};
use beetrace_lang::types::{StackType, Type};
use beetrace_object::{
    Aggregate, Layout, Map, MapKind, MapRole, Object, Parameter, Record, SourceText, StackMode,
    UserMap,
};

use super::room::round_up;
use super::{LowerError, Result, Room, analysis, tables};
use crate::target::Target;

/// Size of the ring buffer in bytes where the engine does not choose another.
const RING_BYTES: u32 = 256 * 1024;
/// Bytes of a row of a table of strings.
const TABLE_ROW: u32 = 64;
/// Buckets of a map of stacks, each for one stack.
const STACK_BUCKETS: u32 = 8192;
/// Stacks that found their bucket taken by another.
const MORE_STACKS: u32 = 2048;
/// Bytes that the kernel gives a per-CPU value at the most (`PCPU_MIN_UNIT_SIZE`).
pub(super) const PER_CPU_LIMIT: u32 = 32 * 1024;

/// The object while it grows.
pub(crate) struct Unit<'p> {
    pub(super) program: &'p Program,
    pub(super) target: &'p Target,
    pub(super) room: Room,
    pub(super) script: analysis::Script,
    maps: Vec<Map>,
    records: Vec<Record>,
    records_map: Option<u32>,
    losses_map: Option<u32>,
    constants_map: Option<u32>,
    constants: Constants,
    parameters_map: Option<u32>,
    parameters: Vec<Parameter>,
    tables: HashMap<StringTable, u32>,
    frames: HashMap<Frames, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Frames {
    build_id: bool,
    limit: u32,
}

/// Bytes that programs read but never write.
#[derive(Default)]
struct Constants {
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, u32>,
    /// Where zeros lie, and how many.
    zeros: Option<(u32, u32)>,
}

impl<'p> Unit<'p> {
    pub(super) fn new(program: &'p Program, target: &'p Target, room: Room) -> Self {
        let mut unit = Unit {
            program,
            target,
            room,
            script: analysis::Script::new(program),
            maps: Vec::new(),
            records: Vec::new(),
            records_map: None,
            losses_map: None,
            constants_map: None,
            constants: Constants::default(),
            parameters_map: None,
            parameters: Vec::new(),
            tables: HashMap::new(),
            frames: HashMap::new(),
        };
        for (index, info) in program.maps.iter().enumerate() {
            let map = unit.user_map(MapId(index as u32), info);
            unit.maps.push(map);
        }
        for (index, info) in program.maps.iter().enumerate() {
            let (key, value) = (unit.layout(&info.key), unit.layout(&info.value));
            if let Some(map) = unit.maps.get_mut(index) {
                map.role = MapRole::User(UserMap {
                    key,
                    value,
                    scalar: info.is_scalar(),
                });
            }
        }
        unit
    }

    fn user_map(&self, id: MapId, info: &MapInfo) -> Map {
        let kind = self.best_kind(id, info);
        let key_size = match self.size_of(&info.key) {
            0 => 4,
            _ if !kind.is_hash() => 4,
            size => size,
        };
        let mut value_size = self.size_of(&info.value).max(1);
        if info.is_scalar() && !kind.is_hash() {
            // Behind the value is the word that says whether it is set.
            value_size = round_up(value_size).saturating_add(8);
        }
        Map {
            name: info.name.clone(),
            kind,
            key_size,
            value_size,
            max_entries: info.max_entries.max(1),
            role: MapRole::User(UserMap {
                key: Layout::Unit,
                value: Layout::Unit,
                scalar: info.is_scalar(),
            }),
        }
    }

    /// A map without keys is an array: its value is found without hashing.
    fn best_kind(&self, id: MapId, info: &MapInfo) -> MapKind {
        let is_deleted = self.script.deletes_from.contains(&id);
        match info.kind {
            _ if !info.is_scalar() => info.kind,
            MapKind::Hash => MapKind::Array,
            // To delete such a value is to reach those of all processors.
            MapKind::PerCpuHash if is_deleted && !self.target.lookup_percpu_elem => info.kind,
            MapKind::PerCpuHash
                if round_up(self.size_of(&info.value)) <= PER_CPU_LIMIT.saturating_sub(8) =>
            {
                MapKind::PerCpuArray
            }
            kind => kind,
        }
    }

    /// What kind a map of the script is in the object.
    pub(super) fn map_kind(&self, map: MapId) -> MapKind {
        self.map(map.0).map_or(MapKind::Hash, |m| m.kind)
    }

    pub(super) fn map_info(&self, map: MapId, span: Span) -> Result<&'p MapInfo> {
        self.program
            .maps
            .get(map.0 as usize)
            .ok_or(LowerError::Malformed {
                what: "a map that does not exist",
                span,
            })
    }

    pub(super) fn map(&self, index: u32) -> Option<&Map> {
        self.maps.get(index as usize)
    }

    pub(super) fn add_map(&mut self, map: Map) -> u32 {
        self.maps.push(map);
        self.maps.len() as u32 - 1
    }

    pub(super) fn map_mut(&mut self, index: u32) -> Option<&mut Map> {
        self.maps.get_mut(index as usize)
    }

    /// The number of a kind of record.
    pub(super) fn record(&mut self, record: Record) -> u32 {
        if let Some(index) = self.records.iter().position(|r| *r == record) {
            return index as u32;
        }
        self.records.push(record);
        self.records.len() as u32 - 1
    }

    pub(super) fn record_size(&self, index: u32) -> u32 {
        self.records.get(index as usize).map_or(0, Record::size)
    }

    /// The ring buffer, or the perf event array where there is none.
    pub(super) fn records_map(&mut self) -> u32 {
        if let Some(index) = self.records_map {
            return index;
        }
        let ring = self.target.ring_buffer;
        let index = self.add_map(Map {
            name: "records".into(),
            kind: if ring {
                MapKind::RingBuf
            } else {
                MapKind::PerfEventArray
            },
            key_size: if ring { 0 } else { 4 },
            value_size: if ring { 0 } else { 4 },
            max_entries: if ring { RING_BYTES } else { self.target.cpus },
            role: MapRole::Records,
        });
        self.records_map = Some(index);
        index
    }

    pub(super) fn losses_map(&mut self) -> u32 {
        if let Some(index) = self.losses_map {
            return index;
        }
        let index = self.add_map(Map {
            name: "losses".into(),
            kind: MapKind::PerCpuArray,
            key_size: 4,
            value_size: beetrace_object::Loss::ALL.len() as u32 * 8,
            max_entries: 1,
            role: MapRole::Losses,
        });
        self.losses_map = Some(index);
        index
    }

    fn constants_map(&mut self) -> u32 {
        if let Some(index) = self.constants_map {
            return index;
        }
        let index = self.add_map(Map {
            name: "constants".into(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            role: MapRole::Constants(Vec::new()),
        });
        self.constants_map = Some(index);
        index
    }

    /// Where bytes lie that never change: a map and an offset, a multiple of eight.
    pub(super) fn constant(&mut self, bytes: &[u8]) -> (u32, u32) {
        let map = self.constants_map();
        if let Some(&offset) = self.constants.known.get(bytes) {
            return (map, offset);
        }
        let offset = self.constants.push(bytes);
        self.constants.known.insert(bytes.to_vec(), offset);
        (map, offset)
    }

    /// Where so many zeros lie.
    pub(super) fn zeros(&mut self, len: u32) -> (u32, u32) {
        let map = self.constants_map();
        if let Some((offset, have)) = self.constants.zeros
            && have >= len
        {
            return (map, offset);
        }
        let offset = self.constants.push(&vec![0; len as usize]);
        self.constants.zeros = Some((offset, len));
        (map, offset)
    }

    /// Where a parameter lies: a map and an offset.
    pub(super) fn parameter(&mut self, parameter: Parameter) -> (u32, u32) {
        let map = match self.parameters_map {
            Some(index) => index,
            None => self.add_map(Map {
                name: "parameters".into(),
                kind: MapKind::Array,
                key_size: 4,
                value_size: 8,
                max_entries: 1,
                role: MapRole::Parameters(Vec::new()),
            }),
        };
        self.parameters_map = Some(map);
        let known = self.parameters.iter().position(|p| *p == parameter);
        let position = known.unwrap_or_else(|| {
            self.parameters.push(parameter);
            self.parameters.len() - 1
        });
        (map, position as u32 * 8)
    }

    /// The map of a table of strings.
    pub(super) fn table(&mut self, table: StringTable) -> u32 {
        if let Some(&index) = self.tables.get(&table) {
            return index;
        }
        let (name, rows) = tables::rows(table);
        let width = TABLE_ROW;
        let mut bytes = vec![0; rows.len() * width as usize];
        for (row, text) in bytes.chunks_exact_mut(width as usize).zip(rows) {
            let text = if text.is_empty() {
                tables::unknown(table)
            } else {
                text
            };
            for (to, from) in row.iter_mut().zip(text.bytes()) {
                *to = from;
            }
        }
        let index = self.add_map(Map {
            name: name.into(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: width,
            max_entries: rows.len() as u32,
            role: MapRole::Table(bytes),
        });
        self.tables.insert(table, index);
        index
    }

    /// The map that keeps the frames of stacks of a type; the one behind it keeps those that find no place there.
    pub(super) fn frames_map(&mut self, stack: StackType) -> u32 {
        let frames = Frames {
            build_id: stack.mode == StackMode::BuildId,
            limit: stack.limit.clamp(1, 1024),
        };
        if let Some(&index) = self.frames.get(&frames) {
            return index;
        }
        let frame_size = if frames.build_id { 32 } else { 8 };
        let role = MapRole::Frames {
            build_id: frames.build_id,
        };
        let index = self.add_map(Map {
            name: format!("stacks_{}", frames.limit),
            kind: MapKind::StackTrace,
            key_size: 4,
            value_size: frames.limit * frame_size,
            max_entries: STACK_BUCKETS,
            role: role.clone(),
        });
        self.add_map(Map {
            name: format!("more_{}", frames.limit),
            kind: MapKind::Hash,
            key_size: 8,
            value_size: frames.limit * frame_size,
            max_entries: MORE_STACKS,
            role,
        });
        self.frames.insert(frames, index);
        index
    }

    /// Whether a map's value is the sum of what every processor keeps for itself.
    pub(super) fn value_is_per_cpu_sum(&self, map: MapId, value: &Type) -> bool {
        value.is_aggregate() && self.map_kind(map).is_per_cpu()
    }

    pub(super) fn is_scratch_sized(&self, size: u32) -> bool {
        let limit = match self.room {
            Room::Normal => self.program.on_stack_limit.clamp(8, 128),
            Room::Scarce => 8,
        };
        size > limit
    }

    pub(super) fn finish(mut self) -> Object {
        if let Some(map) = self
            .constants_map
            .and_then(|i| self.maps.get_mut(i as usize))
        {
            let bytes = std::mem::take(&mut self.constants.bytes);
            map.value_size = (bytes.len() as u32).max(8);
            map.role = MapRole::Constants(bytes);
        }
        if let Some(map) = self
            .parameters_map
            .and_then(|i| self.maps.get_mut(i as usize))
        {
            map.value_size = (self.parameters.len() as u32 * 8).max(8);
            map.role = MapRole::Parameters(std::mem::take(&mut self.parameters));
        }
        let sources = self.program.sources.iter().map(|(_, source)| SourceText {
            name: source.name.clone(),
            text: source.text.to_string(),
            expanded_from: source.expanded_from.map(super::source_span),
        });
        Object {
            license: self.program.license.clone(),
            programs: Vec::new(),
            maps: self.maps,
            records: self.records,
            sources: sources.collect(),
            config: self.program.config.clone(),
        }
    }
}

impl Constants {
    fn push(&mut self, bytes: &[u8]) -> u32 {
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        let padded = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(padded, 0);
        offset
    }
}

/// The members of a record by their types.
pub(super) fn fields(unit: &mut Unit<'_>, types: &[Type]) -> std::sync::Arc<Aggregate> {
    unit.aggregate(types.iter().map(|t| (String::new(), t.clone())))
}
