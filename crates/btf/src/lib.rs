//! Reading BTF lazily, layouts of C types, writing BTF.
//!
//! BTF is the compact form in which a kernel, its modules and BPF programs carry their types
//! (kernel: Documentation/bpf/btf.rst, include/uapi/linux/btf.h).
//!
//! Invariants:
//! - No input makes this crate panic, loop for ever or recurse without bound.
//! - Opening costs a look at the header. The first question walks once over the types; types,
//!   names and members are decoded when they are asked for, from the data itself.
//! - Ids and strings of a module's BTF continue those of its base, so that one [`TypeId`] is
//!   enough to name a type of either.
//! - Data is in the byte order of this machine, which has 64-bit pointers.
//!
//! ```
//! use beetrace_btf::{Btf, BtfBuilder, IntEncoding, Kind, Type};
//!
//! let mut builder = BtfBuilder::new();
//! let int = builder.int("int", 4, IntEncoding { signed: true, ..Default::default() });
//! builder.structure("point", 8, &[("x", int, 0), ("y", int, 32)]);
//!
//! let btf = Btf::parse(builder.build())?;
//! let point = btf.find(Kind::Struct, "point").ok_or("no point")?;
//! let y = btf.find_member(point, "y").ok_or("no y")?;
//! assert_eq!((y.bit_offset, btf.type_name(y.type_id).as_str()), (32, "int"));
//! assert!(matches!(btf.get(point)?, Type::Struct(s) if s.size == 8));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod btf;
mod builder;
mod error;
mod ext;
mod id;
mod layout;
mod names;
mod raw;
mod source;
mod types;

pub use btf::Btf;
pub use builder::BtfBuilder;
pub use error::BtfError;
pub use ext::{BtfExt, BtfExtBuilder, CoreKind, CoreRelo, FuncInfo, LineInfo, Section};
pub use id::TypeId;
pub use layout::{MemberPath, POINTER_SIZE};
pub use raw::Kind;
pub use types::{
    Array, Composite, DataSec, DeclTag, Enum, Enumerator, Func, FuncProto, Int, IntEncoding,
    Linkage, Member, Param, SecVar, Type, Var,
};
