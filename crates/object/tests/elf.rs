//! Objects written as ELF files: they read back as they were, and other tools read them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use beetrace_btf::{Btf, BtfExt};
use beetrace_isa::{Imm64, Insn, Reg, assemble};
use beetrace_object::elf::{ElfError, read, write};
use beetrace_object::*;
use object::{Object as _, ObjectSection};

fn line(insn: u32, start: u32) -> Line {
    Line {
        insn,
        span: SourceSpan {
            source: 0,
            start,
            end: start + 1,
        },
    }
}

fn map(name: &str, kind: MapKind, sizes: (u32, u32), max_entries: u32, role: MapRole) -> Map {
    Map {
        name: name.into(),
        kind,
        key_size: sizes.0,
        value_size: sizes.1,
        max_entries,
        role,
    }
}

fn maps() -> Vec<Map> {
    let stack = StackLayout {
        user: false,
        mode: StackMode::Bpftrace,
        limit: 127,
        frames: 3,
    };
    let comm = Layout::Str { size: 16 };
    let member = |offset, layout| Member {
        name: String::new(),
        offset,
        layout,
        bits: None,
    };
    let key = Aggregate {
        name: String::new(),
        size: 32,
        members: vec![member(0, comm), member(16, Layout::Stack(stack))],
    };
    let value = Layout::Count;
    let user = UserMap {
        key: Layout::Tuple(Arc::new(key)),
        value,
        scalar: false,
    };
    let scalar = UserMap {
        key: Layout::Unit,
        value: Layout::Hist(Histogram::Log2 { bits: 0 }),
        scalar: true,
    };
    vec![
        map(
            "records",
            MapKind::RingBuf,
            (0, 0),
            262_144,
            MapRole::Records,
        ),
        map("@", MapKind::PerCpuHash, (32, 8), 4096, MapRole::User(user)),
        map(
            "@h",
            MapKind::PerCpuHash,
            (8, 520),
            1,
            MapRole::User(scalar),
        ),
        map(
            "frames",
            MapKind::LruHash,
            (8, 1016),
            8192,
            MapRole::Frames { build_id: false },
        ),
        map(
            "constants",
            MapKind::Array,
            (4, 12),
            1,
            MapRole::Constants(b"hello".to_vec()),
        ),
        map("losses", MapKind::PerCpuArray, (4, 24), 1, MapRole::Losses),
        map(
            "records",
            MapKind::Array,
            (4, 8),
            1,
            MapRole::Parameters(vec![Parameter::Cpus]),
        ),
    ]
}

fn sample() -> Object {
    let entry = assemble(
        "   r6 = r1
            r1 = map[4][0]+3 ll
            r2 = func[callback] ll
            r1 = map[0] ll
            call helper_like
            r1 = map[6][0]+0 ll
            if r0 == 0 goto out
            call callback
        out:
            r0 = 0
            exit
        callback:
            r0 = 0
            exit
        helper_like:
            r1 = map[1] ll
            r0 = 1
            call callback
            exit",
    )
    .unwrap();
    let function = |name: &str, start, signature| Function {
        name: name.into(),
        start,
        signature,
    };
    let open = Program {
        name: "kprobe_do_sys_open_1".into(),
        kind: ProgramKind::Kprobe,
        insns: entry,
        functions: vec![
            function("kprobe_do_sys_open_1", 0, Signature::Entry),
            function("callback", 10, Signature::LoopCallback),
            function("helper_like", 12, Signature::Subprogram(2)),
        ],
        lines: vec![line(0, 0), line(5, 24), line(12, 0)],
        probes: vec![ProbeSpec {
            name: "kprobe:do_sys_open".into(),
            event: Event::Kprobe {
                symbol: "do_sys_open".into(),
                offset: 0,
                address: None,
                is_return: false,
            },
        }],
    };
    let end = Program {
        name: "end_1".into(),
        kind: ProgramKind::Syscall,
        insns: vec![Insn::mov(Reg::R0, 0), Insn::Exit],
        functions: vec![],
        lines: vec![],
        probes: vec![ProbeSpec {
            name: "end".into(),
            event: Event::End,
        }],
    };
    let uprobe = Program {
        name: "uprobe_1".into(),
        probes: vec![ProbeSpec {
            name: "uprobe:/bin/true:main".into(),
            event: Event::Uprobe(Uprobe {
                path: PathBuf::from("/bin/true"),
                targets: vec![UprobeTarget {
                    symbol: "main".into(),
                    offset: 0x1000,
                    ref_ctr_offset: 0,
                }],
                is_return: false,
                pid: Some(7),
            }),
        }],
        ..open.clone()
    };
    Object {
        license: "GPL".into(),
        programs: vec![open, end, uprobe],
        maps: maps(),
        records: vec![
            Record {
                action: Action::Exit,
                fields: Arc::new(Aggregate {
                    name: String::new(),
                    size: 8,
                    members: vec![],
                }),
            },
            Record {
                action: Action::PrintMap { map: 1 },
                fields: Arc::new(Aggregate {
                    name: String::new(),
                    size: 8,
                    members: vec![],
                }),
            },
        ],
        sources: vec![SourceText {
            name: "script.bt".into(),
            text: "kprobe:do_sys_open {\n   exit();\n}\n".into(),
            expanded_from: None,
        }],
        config: Config::default(),
    }
}

#[test]
fn an_object_reads_back_as_it_was() {
    let object = sample();
    let bytes = write(&object).unwrap();
    assert_eq!(read(&bytes).unwrap(), object);
    assert_eq!(write(&object).unwrap(), bytes);
    let empty = Object::default();
    assert_eq!(read(&write(&empty).unwrap()).unwrap(), empty);
}

#[test]
fn parts_are_where_tools_expect_them() {
    let bytes = write(&sample()).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let names: Vec<_> = file.sections().filter_map(|s| s.name().ok()).collect();
    let expected = [
        ".maps",
        ".rodata.constants",
        ".data.records_2",
        "kprobe/do_sys_open",
        ".text",
        "syscall",
        "uprobe//bin/true:main",
        "license",
        ".BTF",
        ".BTF.ext",
        ".beetrace",
    ];
    for name in expected {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let data = |name| file.section_by_name(name).unwrap().data().unwrap();
    assert_eq!(data("license"), b"GPL\0");
    assert_eq!(data(".rodata.constants"), b"hello\0\0\0\0\0\0\0");
    let btf = Btf::parse(data(".BTF").to_vec()).unwrap();
    btf.check().unwrap();
    let functions: Vec<_> = btf.functions().map(|(name, ..)| name).collect();
    assert_eq!(
        functions[..2],
        ["kprobe_do_sys_open_1", "kprobe_do_sys_open_1_callback"]
    );
    let ext = BtfExt::parse(data(".BTF.ext")).unwrap();
    let text = &ext.line_info[1];
    assert_eq!(btf.string(text.name_off), Some(".text"));
    assert_eq!(btf.string(text.rows[0].line_off), Some("   exit();"));
    let places: Vec<_> = ext.func_info[1].rows.iter().map(|r| r.insn_off).collect();
    assert_eq!(places, [0, 16, 56, 72]);
}

#[test]
fn maps_are_defined_by_their_types() {
    let bytes = write(&sample()).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let data = file.section_by_name(".BTF").unwrap().data().unwrap();
    let btf = Btf::parse(data.to_vec()).unwrap();
    let show = |name| {
        let var = btf.find(beetrace_btf::Kind::Var, name).unwrap();
        let Ok(beetrace_btf::Type::Var(var)) = btf.get(var) else {
            panic!("no variable");
        };
        btf.struct_definition(var.type_id).unwrap()
    };
    assert_eq!(
        show("map_"),
        "struct {\n\tint (*type)[5];\n\tstruct {\n\t\tchar _0[16];\n\t\tstruct stack _1;\n\t} *key;\n\t\
         unsigned long *value;\n\tint (*max_entries)[4096];\n};"
    );
    assert_eq!(
        show("map_h"),
        "struct {\n\tint (*type)[5];\n\tunsigned long *key;\n\tunsigned long (*value)[65];\n\t\
         int (*max_entries)[1];\n};"
    );
    assert_eq!(
        show("records"),
        "struct {\n\tint (*type)[27];\n\tint (*max_entries)[262144];\n};"
    );
}

#[test]
fn references_to_nothing_are_refused() {
    let refused = |change: fn(&mut Object)| {
        let mut object = sample();
        change(&mut object);
        write(&object).unwrap_err().to_string()
    };
    let first = |object: &mut Object, insn| object.programs[0].insns[0] = insn;
    assert_eq!(
        refused(|o| o.programs[0].insns[1] = Insn::map(Reg::R1, 7)),
        "program kprobe_do_sys_open_1: slot 1 refers to no map"
    );
    assert_eq!(
        refused(|o| o.programs[0].insns[4] = Insn::CallLocal { rel: 1 }),
        "program kprobe_do_sys_open_1: slot 7 refers to no function"
    );
    assert_eq!(
        refused(|o| o.programs[0].functions[1].start = 90),
        "program kprobe_do_sys_open_1: its functions do not follow each other"
    );
    let mut object = sample();
    let imm = Imm64::MapFd(3);
    first(&mut object, Insn::LdImm64 { dst: Reg::R1, imm });
    assert_eq!(
        write(&object).unwrap_err().to_string(),
        "program kprobe_do_sys_open_1: slot 0 refers to a file descriptor"
    );
}

#[test]
fn other_files_are_refused() {
    assert!(matches!(read(b"nothing"), Err(ElfError::Read(_))));
    let own = std::fs::read("/proc/self/exe").unwrap();
    assert!(matches!(read(&own), Err(ElfError::Machine)));
    let mut object = sample();
    object.records[1].action = Action::PrintMap { map: 99 };
    let bytes = write(&object).unwrap();
    assert!(matches!(read(&bytes), Err(ElfError::Dangling("a record"))));
}

/// Whatever byte is changed, reading gives an object or an error.
#[test]
fn damaged_files_do_no_harm() {
    let bytes = write(&sample()).unwrap();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let _ = read(&damaged);
        }
    }
    for len in (0..bytes.len()).step_by(7) {
        assert!(read(&bytes[..len]).is_err());
    }
}

/// Runs a tool on the sample's file, `None` where the tool is not installed.
fn run(tool: &str, args: &[&str], file: &str) -> Option<String> {
    let path = std::env::temp_dir().join(format!("{}-{file}", std::process::id()));
    std::fs::write(&path, write(&sample()).unwrap()).unwrap();
    let output = Command::new(tool).args(args).arg(&path).output();
    std::fs::remove_file(&path).unwrap();
    let Ok(output) = output else {
        println!("skipped: needs {tool}");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn llvm_objdump_disassembles_it() {
    let Some(text) = run("llvm-objdump", &["-dr"], "objdump.o") else {
        return;
    };
    let expected = [
        "<kprobe_do_sys_open_1>:",
        "R_BPF_64_64\tmap_",
        "R_BPF_64_64\trecords",
        "R_BPF_64_32\tkprobe_do_sys_open_1_callback",
        "r1 = 3 ll",
        "<end_1>:",
    ];
    for part in expected {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn bpftool_reads_its_types() {
    let Some(text) = run("bpftool", &["btf", "dump", "file"], "btf.o") else {
        return;
    };
    for part in [
        "DATASEC '.maps'",
        "FUNC 'end_1'",
        "DATASEC '.rodata.constants'",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn bpftool_opens_it_as_a_loader_does() {
    let Some(text) = run("bpftool", &["gen", "skeleton"], "skeleton.o") else {
        return;
    };
    for part in ["*kprobe_do_sys_open_1;", "*map_;", "*uprobe_1;"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
