//! Malformed BTF gives errors: nothing panics, nothing runs without end.

use beetrace_btf::{Btf, BtfBuilder, BtfError, BtfExt, IntEncoding, Kind, Linkage, Type, TypeId};
use proptest::prelude::*;

fn sample() -> Vec<u8> {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::default());
    let array = b.array(int, int, 4);
    let ptr = b.ptr(array);
    let def = b.typedef("def", ptr);
    let anon = b.union("", 8, &[("u", int, 0), ("v", def, 0)]);
    let s = b.structure("s", 24, &[("a", int, 0), ("", anon, 64), ("p", ptr, 128)]);
    let bits = b.bitfields("bits", 8, &[("x", int, 0, 3), ("y", s, 32, 0)]);
    b.enumeration("e", 4, &[("A", 1), ("B", -2)]);
    b.enum64("f", true, &[("C", i64::MIN)]);
    let proto = b.func_proto(int, &[("p", ptr), ("", TypeId::VOID)]);
    b.func("function", proto, Linkage::Global);
    let var = b.var("var", bits, Linkage::Static);
    b.datasec(".data", 8, &[(var, 0, 8)]);
    b.fwd("fwd", false);
    let tag = b.type_tag("tag", s);
    let tagged = b.constant(tag);
    b.volatile(tagged);
    b.decl_tag("note", s, None);
    b.float("float", 4);
    b.build()
}

/// Asks everything about every type.
fn walk(btf: &Btf) {
    let _ = btf.check();
    for (id, ty) in btf.types() {
        let _ = format!("{ty:?}");
        let _ = (btf.resolve(id), btf.size_of(id), btf.align_of(id));
        let _ = (btf.type_name(id), btf.struct_definition(id));
        for name in ["a", "u", "y", "absent"] {
            let _ = btf.find_member(id, name);
        }
    }
    for kind in [Kind::Struct, Kind::Int, Kind::Func] {
        let _ = (btf.find(kind, "s"), btf.find_all(kind, "int"));
    }
    let _ = (btf.enumerator("B"), btf.functions().count());
    let _ = btf.get(TypeId(u32::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn changed_bytes_do_no_harm(
        changes in prop::collection::vec((0usize..1000, any::<u8>()), 1..6),
        cut in prop::option::of(0usize..1000),
    ) {
        let mut data = sample();
        for (at, byte) in changes {
            let len = data.len();
            data[at % len] = byte;
        }
        data.truncate(cut.unwrap_or(usize::MAX));
        if let Ok(btf) = Btf::parse(data) {
            walk(&btf);
        }
    }

    /// Small numbers in the place of types make circles.
    #[test]
    fn changed_words_do_no_harm(changes in prop::collection::vec((6usize..150, 0u32..24), 1..8)) {
        let mut data = sample();
        for (at, word) in changes {
            if let Some(place) = data.get_mut(at * 4..at * 4 + 4) {
                place.copy_from_slice(&word.to_ne_bytes());
            }
        }
        if let Ok(btf) = Btf::parse(data) {
            walk(&btf);
        }
    }

    #[test]
    fn any_bytes_do_no_harm(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut data = vec![0x9f, 0xeb, 1, 0];
        data.extend(&tail);
        if let Ok(btf) = Btf::parse(data.clone()) {
            walk(&btf);
        }
        let _ = BtfExt::parse(&data);
    }
}

#[test]
fn wrong_headers_are_named() {
    let error = |data: &[u8]| Btf::parse(data.to_vec()).unwrap_err().to_string();
    assert_eq!(
        error(b""),
        "BTF is truncated: the header does not fit into the data"
    );
    assert_eq!(
        error(b"\x7fELF"),
        "not BTF: magic number 0x457f instead of 0xeb9f"
    );
    assert_eq!(error(&[0x9f, 0xeb, 2, 0]), "BTF version 2 is unknown");
    let mut data = sample();
    data.pop();
    assert_eq!(
        error(&data),
        "BTF is truncated: the string section does not fit into the data"
    );
    let error = Btf::from_file("/nonexistent/btf").unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read BTF from /nonexistent/btf: "),
        "{error}"
    );
}

#[test]
fn what_precedes_an_unknown_kind_stays_readable() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::default());
    let ptr = b.ptr(int);
    let mut data = b.build();
    // The last byte of the pointer's info word holds its kind.
    data[24 + 16 + 7] = 31;
    let btf = Btf::parse(data).unwrap();
    assert!(matches!(btf.get(int), Ok(Type::Int(_))));
    let unknown = BtfError::Kind { id: ptr, kind: 31 };
    assert_eq!(btf.get(ptr).unwrap_err().to_string(), unknown.to_string());
    assert!(btf.check().is_err());
}

#[test]
fn circles_end() {
    let mut b = BtfBuilder::new();
    let first = b.next_id();
    b.typedef("a", TypeId(2));
    b.typedef("b", TypeId(1));
    let inner = b.next_id();
    b.structure("", 8, &[("", inner, 0), ("", inner, 0)]);
    b.array(TypeId(4), TypeId(4), 9);
    let btf = Btf::parse(b.build()).unwrap();
    assert!(matches!(btf.resolve(first), Err(BtfError::Cycle(_))));
    assert!(matches!(btf.size_of(TypeId(4)), Err(BtfError::Cycle(_))));
    assert!(btf.align_of(inner).is_err());
    assert!(btf.struct_definition(inner).is_err());
    assert!(btf.find_member(inner, "x").is_none());
}
