//! Maps: whether they have keys, what they hold, and how they are kept.

use std::collections::HashMap;

use beetrace_object::MapKind;

use crate::ast::Expr;
use crate::check::Checker;
use crate::check::locked::Asked;
use crate::check::promote::{aggregate_int, promote, same_aggregate, settle, settle_value};
use crate::check::scope::stored;
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::typed::{MapId, MapInfo};
use crate::types::{IntType, Space, Type};

#[derive(Clone, Debug)]
pub(crate) struct MapState {
    pub(crate) name: String,
    /// Decided by the first use that tells.
    pub(crate) scalar: Option<bool>,
    pub(crate) key: Option<Type>,
    pub(crate) value: Option<Type>,
    /// Of integers: the memory that they are addresses of.
    pub(crate) space: Space,
    pub(crate) span: Span,
    pub(crate) used: bool,
    /// Something was assigned that a map cannot take from another; so the value has no default.
    pub(crate) refused: bool,
    pub(crate) declared: Option<(MapKind, u32)>,
}

/// All maps in the order of their first use.
#[derive(Default)]
pub(crate) struct Maps {
    all: Vec<MapState>,
    by_name: HashMap<String, usize>,
}

impl Maps {
    pub(crate) fn get(&self, id: MapId) -> &MapState {
        &self.all[id.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, id: MapId) -> &mut MapState {
        &mut self.all[id.0 as usize]
    }

    pub(crate) fn find(&self, name: &str) -> Option<MapId> {
        self.by_name.get(name).map(|&i| MapId(i as u32))
    }

    /// The map of that name, known from here on.
    pub(crate) fn intern(&mut self, name: &str, span: Span) -> MapId {
        if let Some(id) = self.find(name) {
            return id;
        }
        self.all.push(MapState {
            name: name.to_owned(),
            scalar: None,
            key: None,
            value: None,
            space: Space::None,
            span,
            used: false,
            refused: false,
            declared: None,
        });
        self.by_name.insert(name.to_owned(), self.all.len() - 1);
        MapId(self.all.len() as u32 - 1)
    }

    /// A map that nothing but its own value is ever assigned to (`@a++`), or that is only read, holds small integers.
    pub(crate) fn default_values(&mut self) -> bool {
        let mut changed = false;
        for map in &mut self.all {
            if map.value.is_none() && map.scalar.is_some() && !map.refused {
                map.value = Some(Type::Int(IntType::I8));
                changed = true;
            }
        }
        changed
    }

    pub(crate) fn start_building(&mut self) {
        for map in &mut self.all {
            map.used = false;
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|m| m.name.as_str())
    }

    pub(crate) fn finish(self) -> Vec<MapInfo> {
        self.all
            .into_iter()
            .map(|map| {
                let value = map.value.unwrap_or(Type::Void);
                let default = if value.is_aggregate() {
                    MapKind::PerCpuHash
                } else {
                    MapKind::Hash
                };
                let (kind, max_entries) = map.declared.unwrap_or((default, 0));
                let scalar = map.scalar != Some(false);
                MapInfo {
                    name: map.name,
                    key: if scalar {
                        Type::Void
                    } else {
                        settle_value(&map.key.unwrap_or(Type::Void))
                    },
                    value: settle(&value),
                    kind,
                    max_entries: if scalar { 1 } else { max_entries },
                    span: map.span,
                }
            })
            .collect()
    }
}

impl<'a> Checker<'a> {
    /// A use of the whole map, which does not say whether it has keys.
    pub(crate) fn whole_map(&mut self, name: &str, span: Span) -> Option<MapId> {
        let known = self.maps.find(name);
        let id = known.unwrap_or_else(|| self.maps.intern(name, span));
        self.maps.get_mut(id).used = true;
        if self.maps.get(id).scalar.is_none() {
            let near = crate::suggest::nearest(name, self.maps.names().filter(|n| *n != name))
                .map(str::to_owned);
            let mut diagnostic =
                Diagnostic::error("unknown-map", format!("Undefined map: {name}")).at(span, "");
            if let Some(near) = near {
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            }
            self.report(diagnostic);
            return None;
        }
        Some(id)
    }

    /// A use of the map's value: with a key, or as a scalar.
    pub(crate) fn map_use(&mut self, name: &str, keyed: bool, span: Span) -> Option<MapId> {
        let id = self.maps.intern(name, span);
        let map = self.maps.get_mut(id);
        map.used = true;
        match map.scalar {
            None => {
                map.scalar = Some(!keyed);
                self.changed = true;
                Some(id)
            }
            Some(scalar) if scalar != keyed => Some(id),
            Some(true) => {
                self.error(
                    "map-keys",
                    span,
                    format!(
                        "{name} used as a map with an explicit key (non-scalar map), previously used without an explicit key (scalar map)"
                    ),
                );
                None
            }
            Some(false) => {
                self.error(
                    "map-keys",
                    span,
                    format!(
                        "{name} used as a map without an explicit key (scalar map), previously used with an explicit key (non-scalar map)"
                    ),
                );
                None
            }
        }
    }

    /// Checks a key and gives it the map's type of keys.
    pub(crate) fn map_key(&mut self, id: MapId, key: &'a Expr, span: Span) -> Option<Val> {
        let key = self.expr(key)?;
        self.use_key(id, key, span)
    }

    pub(crate) fn use_key(&mut self, id: MapId, key: Val, span: Span) -> Option<Val> {
        let histogram = |ty: &Type| ty.is_aggregate() && aggregate_int(ty).is_none();
        let elements: Vec<Type> = match &key.ty {
            Type::Tuple(elements) => elements.to_vec(),
            ty => vec![ty.clone()],
        };
        for ty in &elements {
            if histogram(ty) {
                let message = format!(
                    "Value '{}' cannot be used as a map key.",
                    self.type_name(ty)
                );
                self.error("map-key", span, message);
                return None;
            }
            if matches!(ty, Type::Pointer(_, Space::Context)) {
                self.error("map-key", key.span(), "context cannot be part of a map key");
                return None;
            }
        }
        if key.ty == Type::Void {
            self.error(
                "map-key",
                key.span(),
                "Value 'void' cannot be used as a map key.",
            );
            return None;
        }
        let ty = stored(&key.ty);
        let map = self.maps.get(id);
        let (name, current) = (map.name.clone(), map.key.clone());
        if !self.respects_lock(Asked::Key(id), &name, &ty, span) {
            return None;
        }
        let promoted = match &current {
            None => Some(super::coerce::first_type(&ty)),
            Some(current) => promote(current, &ty),
        };
        let Some(promoted) = promoted else {
            let message = format!(
                "Argument mismatch for {name}: trying to access with arguments: '{}' when map expects arguments: '{}'",
                self.type_name(&ty),
                self.type_name(current.as_ref().unwrap_or(&Type::Void))
            );
            self.error("type-mismatch", span, message);
            return None;
        };
        if current.as_ref() != Some(&promoted) {
            self.maps.get_mut(id).key = Some(promoted.clone());
            self.changed = true;
        }
        let from = self.type_name(&key.ty);
        let Some(key) = self.coerce(key, &promoted) else {
            let message = format!(
                "Type mismatch for {name}: trying to assign key of type '{from}' when map already has a key type '{}'",
                self.type_name(&promoted)
            );
            self.error("type-mismatch", span, message);
            return None;
        };
        Some(key)
    }

    /// Takes a value's type into the map's. An error is reported where they do not go together.
    pub(crate) fn widen_map(&mut self, id: MapId, ty: &Type, space: Space, span: Span) -> bool {
        let ty = stored(ty);
        let map = self.maps.get(id);
        let (name, current) = (map.name.clone(), map.value.clone());
        if !self.respects_lock(Asked::Value(id), &name, &ty, span) {
            return false;
        }
        let promoted = match &current {
            None => Some(super::coerce::first_type(&ty)),
            Some(current) if current.is_aggregate() => None,
            Some(current) => promote(current, &ty),
        };
        let Some(promoted) = promoted else {
            self.value_mismatch(&name, &ty, current.as_ref(), span);
            return false;
        };
        if current.as_ref() != Some(&promoted) {
            self.maps.get_mut(id).value = Some(promoted);
            self.changed = true;
        }
        let map = self.maps.get_mut(id);
        if space != Space::None && map.space == Space::None {
            map.space = space;
            self.changed = true;
        }
        true
    }

    /// Says that the map holds that aggregate.
    pub(crate) fn aggregate_map(&mut self, id: MapId, ty: &Type, span: Span) -> bool {
        let map = self.maps.get(id);
        let (name, current) = (map.name.clone(), map.value.clone());
        let merged = match &current {
            None => Some(ty.clone()),
            Some(current) if current.is_aggregate() && same_aggregate(current, ty) => {
                promote(current, ty)
            }
            Some(_) => None,
        };
        let Some(merged) = merged else {
            self.value_mismatch(&name, ty, current.as_ref(), span);
            return false;
        };
        if current.as_ref() != Some(&merged) {
            self.maps.get_mut(id).value = Some(merged);
            self.changed = true;
        }
        true
    }

    fn value_mismatch(&mut self, name: &str, ty: &Type, current: Option<&Type>, span: Span) {
        let message = format!(
            "Type mismatch for {name}: trying to assign value of type '{}' when map already has a type '{}'",
            self.type_name(ty),
            self.type_name(current.unwrap_or(&Type::Void))
        );
        self.error("type-mismatch", span, message);
    }

    /// Takes in `let @name = kind(max);` and checks it against what the map turned out to hold.
    pub(crate) fn declare_maps(&mut self) {
        let default_size = u32::try_from(self.script.settings.max_map_keys).unwrap_or(u32::MAX);
        for map in &mut self.maps.all {
            let kind = match &map.value {
                Some(value) if value.is_aggregate() => MapKind::PerCpuHash,
                _ => MapKind::Hash,
            };
            map.declared = Some((kind, default_size));
        }
        for decl in &self.script.maps {
            let kind = match decl.kind.name.as_str() {
                "hash" => MapKind::Hash,
                "lruhash" => MapKind::LruHash,
                "percpuhash" => MapKind::PerCpuHash,
                "percpulruhash" => MapKind::LruPerCpuHash,
                other => {
                    self.report(
                        Diagnostic::error("map-kind", format!("Invalid bpf map type: {other}"))
                            .at(decl.span, "")
                            .help("Valid map types: percpulruhash, percpuhash, lruhash, hash"),
                    );
                    continue;
                }
            };
            let size = self
                .expr(&decl.max_entries)
                .and_then(|v| v.lit)
                .and_then(|lit| lit.as_int())
                .and_then(|n| u32::try_from(n).ok())
                .filter(|&n| n > 0);
            let Some(size) = size else {
                self.error(
                    "map-size",
                    decl.max_entries.span,
                    "the number of entries must be a positive integer literal",
                );
                continue;
            };
            let Some(id) = self.maps.find(&decl.name.name) else {
                continue;
            };
            let map = self.maps.get_mut(id);
            let aggregate = map.value.as_ref().is_some_and(Type::is_aggregate);
            map.declared = Some((kind, size));
            let span = map.span;
            if aggregate != kind.is_per_cpu() {
                let actual = if aggregate { "percpuhash" } else { "hash" };
                self.error(
                    "map-kind",
                    span,
                    format!(
                        "Incompatible map types. Type from declaration: {}. Type from value/key type: {actual}",
                        decl.kind.name
                    ),
                );
            }
        }
    }

    pub(crate) fn unused_maps(&mut self) {
        for decl in &self.script.maps {
            let used = self
                .maps
                .find(&decl.name.name)
                .is_some_and(|id| self.maps.get(id).used);
            if !used {
                self.warn(
                    "unused-map",
                    decl.span,
                    format!("Unused map: {}", decl.name.name),
                );
            }
        }
    }
}
