//! Sizes and alignments of types.

use crate::structs::Structs;
use crate::types::{StackMode, Type};

impl Structs {
    /// Size of a value in bytes, as `sizeof` gives it.
    pub fn size_of(&self, ty: &Type) -> u64 {
        match ty {
            Type::Void => 0,
            Type::Bool => 1,
            Type::Int(t) | Type::Enum(_, t) => u64::from(t.bytes()),
            Type::Str(size) => u64::from(*size),
            Type::Buf(size) => u64::from(*size) + 4,
            Type::Pointer(..) => 8,
            Type::Array(of, len) => self.size_of(of).saturating_mul(u64::from(*len)),
            Type::Tuple(elements) => self.aggregate(elements.iter()).0,
            Type::Record(members) => self.aggregate(members.iter().map(|(_, t)| t)).0,
            Type::Struct(id, _) => u64::from(self.get(*id).size),
            Type::Stack(stack) => {
                let frame = if stack.mode == StackMode::BuildId {
                    32
                } else {
                    8
                };
                u64::from(stack.limit) * frame + if stack.user { 16 } else { 8 }
            }
            Type::Usym | Type::Timestamp(_) | Type::CgroupPath(_) => 16,
            Type::Inet => 24,
            Type::Mac => 6,
            Type::Ksym
            | Type::Username
            | Type::Count
            | Type::Sum(_)
            | Type::Min(_)
            | Type::Max(_)
            | Type::Avg(_)
            | Type::Stats(_)
            | Type::Hist(_)
            | Type::TSeries(_) => 8,
        }
    }

    /// Alignment in bytes of a value inside a tuple or record.
    pub fn align_of(&self, ty: &Type) -> u64 {
        match ty {
            Type::Str(_)
            | Type::Buf(_)
            | Type::Usym
            | Type::Inet
            | Type::Mac
            | Type::Timestamp(_)
            | Type::CgroupPath(_) => 1,
            Type::Array(of, _) => self.align_of(of),
            Type::Tuple(elements) => self.aggregate(elements.iter()).1,
            Type::Record(members) => self.aggregate(members.iter().map(|(_, t)| t)).1,
            Type::Struct(id, _) => u64::from(self.get(*id).align.max(1)),
            ty => self.size_of(ty).clamp(1, 8),
        }
    }

    /// Size and alignment of a C struct with these members.
    fn aggregate<'t>(&self, members: impl Iterator<Item = &'t Type>) -> (u64, u64) {
        let (mut size, mut most) = (0u64, 1);
        for ty in members {
            let align = self.align_of(ty).max(1);
            most = most.max(align);
            size = size
                .next_multiple_of(align)
                .saturating_add(self.size_of(ty));
        }
        (size.next_multiple_of(most), most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::IntType;

    #[test]
    fn tuples_lie_like_c_structs() {
        let structs = Structs::default();
        let i8 = Type::Int(IntType::I8);
        assert_eq!(
            structs.size_of(&Type::Tuple([i8.clone(), Type::I64, i8.clone()].into())),
            24
        );
        assert_eq!(
            structs.size_of(&Type::Tuple([i8.clone(), Type::Str(5)].into())),
            6
        );
        assert_eq!(structs.size_of(&Type::Tuple([].into())), 0);
        assert_eq!(
            structs.size_of(&Type::Array(
                Box::new(Type::pointer(i8, Default::default())),
                10
            )),
            80
        );
    }
}
