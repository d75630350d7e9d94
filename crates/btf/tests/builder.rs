//! What is written reads back, and reads as C.

use beetrace_btf::{
    Array, Btf, BtfBuilder, BtfError, BtfExt, BtfExtBuilder, CoreKind, FuncInfo, IntEncoding, Kind,
    Linkage, Type, TypeId,
};
use std::sync::Arc;

const SIGNED: IntEncoding = IntEncoding {
    signed: true,
    char: false,
    bool: false,
};
const UNSIGNED: IntEncoding = IntEncoding {
    signed: false,
    char: false,
    bool: false,
};

/// One of everything.
fn everything() -> BtfBuilder {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, SIGNED);
    let u64 = b.int("unsigned long", 8, UNSIGNED);
    let byte = b.int(
        "char",
        1,
        IntEncoding {
            signed: true,
            char: true,
            bool: false,
        },
    );
    let bool = b.int(
        "_Bool",
        1,
        IntEncoding {
            bool: true,
            ..UNSIGNED
        },
    );
    let double = b.float("double", 8);
    let text = b.constant(byte);
    let text = b.ptr(text);
    let name = b.array(byte, u64, 16);
    let size = b.typedef("size_t", u64);
    let color = b.enumeration("color", 4, &[("RED", 0), ("GREEN", -1)]);
    let big = b.enum64("big", false, &[("HUGE", -1), ("ONE", 1)]);
    let hidden = b.union("", 8, &[("whole", u64, 0), ("half", int, 0)]);
    // The list refers to itself.
    let list = b.next_id();
    let next = TypeId(list.0 + 1);
    let list = b.structure(
        "list",
        56,
        &[
            ("next", next, 0),
            ("name", name, 64),
            ("", hidden, 192),
            ("size", size, 256),
            ("color", color, 320),
            ("flag", bool, 352),
            ("ratio", double, 384),
        ],
    );
    assert_eq!(b.ptr(list), next);
    b.bitfields(
        "bits",
        8,
        &[("a", int, 0, 3), ("b", int, 3, 5), ("c", int, 32, 0)],
    );
    let proto = b.func_proto(int, &[("list", next), ("text", text), ("", TypeId::VOID)]);
    b.func("walk", proto, Linkage::Global);
    let callback = b.ptr(proto);
    let table = b.array(callback, u64, 2);
    let volatile = b.volatile(int);
    let restrict = b.restrict(text);
    b.structure(
        "ops",
        32,
        &[
            ("call", callback, 0),
            ("volatile_one", volatile, 64),
            ("restrict_one", restrict, 128),
            ("big", big, 192),
        ],
    );
    let counter = b.var("counter", u64, Linkage::Static);
    b.var("table", table, Linkage::Extern);
    b.datasec(".bss", 8, &[(counter, 0, 8)]);
    b.fwd("opaque", true);
    b.type_tag("user", byte);
    b.decl_tag("note", list, Some(2));
    b
}

#[test]
fn layouts_read_back() {
    let btf = Btf::parse(everything().build()).unwrap();
    btf.check().unwrap();
    let list = btf.find(Kind::Struct, "list").unwrap();
    assert_eq!(btf.size_of(list).unwrap(), 56);
    assert_eq!(btf.align_of(list).unwrap(), 8);
    let half = btf.find_member(list, "half").unwrap();
    assert_eq!((half.bit_offset, half.indices), (192, vec![2, 1]));
    assert_eq!(btf.type_name(half.type_id), "int");
    assert!(btf.find_member(list, "absent").is_none());
    assert!(btf.find_member(list, "").is_none());

    let bits = btf.find(Kind::Struct, "bits").unwrap();
    let b = btf.find_member(bits, "b").unwrap();
    assert_eq!((b.bit_offset, b.bitfield_size), (3, 5));
    let c = btf.find_member(bits, "c").unwrap();
    assert_eq!((c.bit_offset, c.bitfield_size), (32, 0));

    let size = btf.find(Kind::Typedef, "size_t").unwrap();
    assert_eq!(btf.size_of(size).unwrap(), 8);
    assert_eq!(btf.get_resolved(size).unwrap().name(), "unsigned long");
}

#[test]
fn constants_and_functions_are_found() {
    let btf = Btf::parse(everything().build()).unwrap();
    let color = btf.find(Kind::Enum, "color").unwrap();
    let big = btf.find(Kind::Enum64, "big").unwrap();
    assert_eq!(btf.enumerator("GREEN"), Some((color, -1)));
    assert_eq!(btf.enumerator("HUGE"), Some((big, -1)));
    assert_eq!(btf.enumerator("BLUE"), None);
    let names: Vec<_> = btf.functions().map(|(name, ..)| name).collect();
    assert_eq!(names, ["walk"]);
    let counter = btf.find(Kind::Var, "counter").unwrap();
    assert_eq!(btf.size_of(counter).unwrap(), 8);
    let Ok(Type::DataSec(bss)) = btf.get(btf.find(Kind::DataSec, ".bss").unwrap()) else {
        panic!("no .bss");
    };
    assert_eq!(bss.vars().next().unwrap().var, counter);
    let tag = btf.find(Kind::DeclTag, "note").unwrap();
    assert!(matches!(btf.get(tag), Ok(Type::DeclTag(t)) if t.component == Some(2)));
}

#[test]
fn types_read_as_c() {
    let btf = Btf::parse(everything().build()).unwrap();
    let show = |kind, name| {
        btf.struct_definition(btf.find(kind, name).unwrap())
            .unwrap()
    };
    assert_eq!(
        show(Kind::Struct, "list"),
        "\
struct list {
	struct list *next;
	char name[16];
	union {
		unsigned long whole;
		int half;
	};
	size_t size;
	enum color color;
	_Bool flag;
	double ratio;
};"
    );
    assert_eq!(
        show(Kind::Struct, "bits"),
        "\
struct bits {
	int a: 3;
	int b: 5;
	int c;
};"
    );
    assert_eq!(
        show(Kind::Struct, "ops"),
        "\
struct ops {
	int (*call)(struct list *list, const char *text, ...);
	volatile int volatile_one;
	const char * restrict restrict_one;
	enum big big;
};"
    );
    assert_eq!(
        show(Kind::Enum, "color"),
        "enum color {\n\tRED = 0,\n\tGREEN = -1,\n};"
    );
    assert_eq!(
        show(Kind::Enum64, "big"),
        "enum big {\n\tHUGE = 18446744073709551615ULL,\n\tONE = 1ULL,\n};"
    );
    let table = btf.find(Kind::Var, "table").unwrap();
    let Ok(Type::Var(table)) = btf.get(table) else {
        panic!("no variable");
    };
    assert_eq!(
        btf.declaration(table.type_id, "table"),
        "int (*table[2])(struct list *, const char *, ...)"
            .replace("list *,", "list *list,")
            .replace("char *,", "char *text,")
    );
    let opaque = btf.find(Kind::Fwd, "opaque").unwrap();
    assert_eq!(btf.type_name(opaque), "union opaque");
    assert_eq!(btf.type_name(TypeId::VOID), "void");
    assert_eq!(btf.type_name(TypeId(9999)), "[9999]");
}

#[test]
fn gaps_are_named_where_a_compiler_leaves_none() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, SIGNED);
    let byte = b.int("char", 1, SIGNED);
    let apart = b.structure("apart", 64, &[("a", int, 0), ("b", int, 192)]);
    let close = b.structure("close", 5, &[("a", byte, 0), ("b", int, 8)]);
    let bits = b.bitfields("bits", 8, &[("a", int, 0, 1), ("b", int, 33, 2)]);
    let empty = b.structure("empty", 0, &[]);
    let btf = Btf::parse(b.build()).unwrap();
    let show = |id| btf.struct_definition(id).unwrap();
    assert_eq!(
        show(apart),
        "\
struct apart {
	int a;
	long: 64;
	long: 64;
	int b;
	long: 64;
	long: 64;
	long: 64;
	long: 64;
};"
    );
    assert_eq!(
        show(close),
        "struct close {\n\tchar a;\n\tint b;\n} __attribute__((packed));"
    );
    assert_eq!(
        show(bits),
        "struct bits {\n\tint a: 1;\n\tint: 31;\n\tchar: 1;\n\tint b: 2;\n};"
    );
    assert_eq!(show(empty), "struct empty {};");
}

#[test]
fn declarators_nest() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, SIGNED);
    let row = b.array(int, int, 3);
    let matrix = b.array(row, int, 2);
    let to_row = b.ptr(row);
    let constant = b.constant(int);
    let to_constant = b.ptr(constant);
    let constant_pointer = b.constant(to_constant);
    let plain = b.func_proto(TypeId::VOID, &[]);
    let to_plain = b.ptr(plain);
    let returning = b.func_proto(to_plain, &[("n", int)]);
    let to_returning = b.ptr(returning);
    let btf = Btf::parse(b.build()).unwrap();
    let cases = [
        (matrix, "int x[2][3]", "int[2][3]"),
        (to_row, "int (*x)[3]", "int(*)[3]"),
        (constant_pointer, "const int * const x", "const int * const"),
        (to_plain, "void (*x)(void)", "void (*)(void)"),
        (
            to_returning,
            "void (* (*x)(int n))(void)",
            "void (* (*)(int n))(void)",
        ),
    ];
    for (id, declared, named) in cases {
        assert_eq!(btf.declaration(id, "x"), declared);
        assert_eq!(btf.type_name(id), named);
    }
}

#[test]
fn equal_types_are_stored_once() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, SIGNED);
    assert_eq!(b.int("int", 4, SIGNED), int);
    assert_eq!(b.ptr(int), b.ptr(int));
    assert_eq!(b.next_id(), TypeId(3));
    assert_eq!(b.string("int"), b.string("int"));
    assert_eq!(b.string(""), 0);
}

#[test]
fn a_module_continues_its_base() {
    let mut base = BtfBuilder::new();
    let int = base.int("int", 4, SIGNED);
    base.structure("shared", 4, &[("x", int, 0)]);
    let base_bytes = base.build();
    let base_strings = "\0int\0shared\0x\0".len() as u32;
    let base = Arc::new(Btf::parse(base_bytes).unwrap());

    // A split BTF by hand: one pointer to the base's struct and one typedef of it.
    let mut own = Vec::new();
    let strings = b"alias\0shared_too\0";
    let types: [u32; 6] = [0, 2 << 24, 2, base_strings, 8 << 24, 2];
    own.extend(0xeb9fu16.to_ne_bytes());
    own.extend([1, 0]);
    for word in [24u32, 0, 24, 24, strings.len() as u32] {
        own.extend(word.to_ne_bytes());
    }
    own.extend(types.iter().flat_map(|w| w.to_ne_bytes()));
    own.extend(strings);
    let module = Btf::parse_split(base.clone(), own).unwrap();

    module.check().unwrap();
    assert_eq!((module.first_id(), module.end_id()), (TypeId(3), TypeId(5)));
    assert_eq!(module.type_name(TypeId(3)), "struct shared *");
    assert_eq!(module.find(Kind::Typedef, "alias"), Some(TypeId(4)));
    assert_eq!(module.find(Kind::Struct, "shared"), Some(TypeId(2)));
    assert_eq!(base.find(Kind::Typedef, "alias"), None);
    assert_eq!(module.size_of(TypeId(4)).unwrap(), 4);
    assert!(matches!(
        module.get(TypeId(5)),
        Err(BtfError::NoType(TypeId(5)))
    ));
}

#[test]
fn tables_of_instructions_read_back() {
    let mut btf = BtfBuilder::new();
    let int = btf.int("int", 4, SIGNED);
    let mut ext = BtfExtBuilder::new();
    for (section, insn_off) in [("kprobe/a", 0), ("kprobe/b", 0), ("kprobe/a", 64)] {
        let info = FuncInfo {
            insn_off,
            type_id: int,
        };
        ext.func_info(&mut btf, section, info);
        ext.line_info(&mut btf, section, insn_off, ("script.bt", "exit();", 12, 3));
    }
    ext.core_relo(
        &mut btf,
        "kprobe/a",
        8,
        (int, "0:1", CoreKind::FieldByteOffset),
    );
    let tables = BtfExt::parse(&ext.build()).unwrap();
    assert_eq!(&tables, ext.tables());
    assert_eq!(tables.func_info.len(), 2);
    assert_eq!(tables.func_info[0].rows[1].insn_off, 64);
    let line = tables.line_info[1].rows[0];
    assert_eq!((line.line, line.column), (12, 3));
    let btf = Btf::parse(btf.build()).unwrap();
    assert_eq!(btf.string(line.line_off), Some("exit();"));
    assert_eq!(btf.string(line.file_name_off), Some("script.bt"));
    assert_eq!(btf.string(tables.line_info[1].name_off), Some("kprobe/b"));
}

#[test]
fn arrays_of_arrays_have_sizes() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, SIGNED);
    let row = b.array(int, int, 3);
    let matrix = b.array(row, int, 2);
    let flexible = b.array(matrix, int, 0);
    let btf = Btf::parse(b.build()).unwrap();
    assert_eq!(btf.size_of(matrix).unwrap(), 24);
    assert_eq!(btf.size_of(flexible).unwrap(), 0);
    assert_eq!(btf.align_of(matrix).unwrap(), 4);
    let Ok(Type::Array(Array { elem, len, .. })) = btf.get(matrix) else {
        panic!("no array");
    };
    assert_eq!((elem, len), (row, 2));
}
