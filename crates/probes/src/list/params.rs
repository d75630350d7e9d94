//! Arguments of probes, as `-lv` shows them.

use std::collections::HashMap;
use std::sync::Arc;

use beetrace_btf::{Btf, FuncProto, Kind, Type, TypeId};

use crate::fentry::{MAX_PARAMS, btfs};
use crate::iter::FUNCTION;
use crate::wildcard::Pattern;
use crate::world::World;

/// A type and a name behind it, with a blank between them even where the type is a pointer.
pub(super) fn shown(btf: &Btf, type_id: u32, name: &str) -> String {
    format!("{} {name}", btf.type_name(TypeId(type_id)))
}

/// The context of an iterator, without what all iterators have.
pub(super) fn of_iterator(world: &dyn World, kind: &str) -> Vec<String> {
    let of = || {
        let btf = world.btf()?;
        let function = btf.find(Kind::Func, &format!("{FUNCTION}{kind}"))?;
        let proto = proto_of(btf, function)?;
        let params = proto.params().skip(1);
        Some(params.map(|p| shown(btf, p.type_id.0, p.name)).collect())
    };
    of().unwrap_or_default()
}

fn proto_of(btf: &Btf, function: TypeId) -> Option<FuncProto<'_>> {
    let Type::Func(function) = btf.get(function).ok()? else {
        return None;
    };
    match btf.get(function.proto).ok()? {
        Type::FuncProto(proto) => Some(proto),
        _ => None,
    }
}

/// Whether a function has no more parameters than registers pass.
pub(super) fn fits_registers(btf: &Btf, proto: TypeId) -> bool {
    match btf.get(proto) {
        Ok(Type::FuncProto(proto)) => proto.params().len() <= MAX_PARAMS,
        _ => false,
    }
}

/// Prototypes of all functions, found once for a long list.
pub(super) struct Params {
    modules: HashMap<String, Functions>,
}

struct Functions {
    btf: Arc<Btf>,
    /// Prototypes by name of the function.
    protos: HashMap<String, TypeId>,
}

impl Params {
    pub(super) fn new(world: &dyn World) -> Self {
        let everything = Pattern::new("*");
        let modules = btfs(world, &everything)
            .map(|(module, btf)| {
                let protos = btf
                    .functions()
                    .map(|(name, _, proto)| (name.to_owned(), proto))
                    .collect();
                let module = module.unwrap_or_else(|| "vmlinux".to_owned());
                (module, Functions { btf, protos })
            })
            .collect();
        Params { modules }
    }

    fn find(&self, module: &str, function: &str) -> Option<(&Btf, FuncProto<'_>)> {
        let functions = self.modules.get(module)?;
        let proto = functions.protos.get(function)?;
        match functions.btf.get(*proto).ok()? {
            Type::FuncProto(proto) => Some((&functions.btf, proto)),
            _ => None,
        }
    }

    /// Numbered, as no names are known to registers. Floating point parameters are not among them.
    pub(super) fn of_kprobe(
        &self,
        module: &str,
        function: &str,
        is_return: bool,
    ) -> Option<Vec<String>> {
        let (btf, proto) = self.find(module, function)?;
        if is_return {
            return Some(vec![match proto.ret.is_void() {
                true => "void".to_owned(),
                false => shown(btf, proto.ret.0, "retval"),
            }]);
        }
        let in_registers = proto
            .params()
            .filter(|p| !matches!(btf.get(p.type_id), Ok(Type::Float { .. })));
        Some(
            in_registers
                .enumerate()
                .map(|(index, p)| shown(btf, p.type_id.0, &format!("arg{index}")))
                .collect(),
        )
    }

    pub(super) fn of_fentry(
        &self,
        module: &str,
        function: &str,
        is_exit: bool,
    ) -> Option<Vec<String>> {
        let (btf, proto) = self.find(module, function)?;
        let mut params: Vec<String> = proto
            .params()
            .map(|p| shown(btf, p.type_id.0, p.name))
            .collect();
        if is_exit && !proto.ret.is_void() {
            params.push(shown(btf, proto.ret.0, "retval"));
        }
        Some(params)
    }
}
