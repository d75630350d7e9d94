//! The running kernel's own types.

use beetrace_btf::{Btf, Kind, Type};

fn vmlinux() -> Option<Btf> {
    match Btf::from_file(Btf::VMLINUX) {
        Ok(btf) => Some(btf),
        Err(_) => {
            println!("skipped: needs {}", Btf::VMLINUX);
            None
        }
    }
}

#[test]
fn well_known_types_are_found() {
    let Some(btf) = vmlinux() else { return };
    btf.check().unwrap();

    let task = btf.find(Kind::Struct, "task_struct").unwrap();
    let pid = btf.find_member(task, "pid").unwrap();
    assert_eq!(btf.type_name(pid.type_id), "pid_t");
    assert_eq!(btf.size_of(pid.type_id).unwrap(), 4);
    assert_eq!(pid.bit_offset % 32, 0);
    assert!(btf.size_of(task).unwrap() * 8 > pid.bit_offset);
    let comm = btf.find_member(task, "comm").unwrap();
    assert_eq!(btf.type_name(comm.type_id), "char[16]");

    let file = btf.find(Kind::Struct, "file").unwrap();
    let op = btf.find_member(file, "f_op").unwrap();
    assert_eq!(btf.type_name(op.type_id), "const struct file_operations *");

    let map_type = btf.find(Kind::Enum, "bpf_map_type").unwrap();
    assert_eq!(btf.enumerator("BPF_MAP_TYPE_RINGBUF"), Some((map_type, 27)));
    assert!(btf.find(Kind::Struct, "no_such_struct_anywhere").is_none());
    assert!(btf.find(Kind::Typedef, "task_struct").is_none());
}

#[test]
fn functions_have_prototypes() {
    let Some(btf) = vmlinux() else { return };
    let id = btf.find(Kind::Func, "vfs_read").unwrap();
    let Type::Func(func) = btf.get(id).unwrap() else {
        panic!("not a function");
    };
    assert_eq!(
        btf.declaration(func.proto, func.name),
        "ssize_t vfs_read(struct file *file, char *buf, size_t count, loff_t *pos)"
    );
    assert!(
        btf.functions()
            .any(|(name, f, _)| name == "vfs_read" && f == id)
    );
}

#[test]
fn definitions_read_as_c() {
    let Some(btf) = vmlinux() else { return };
    let path = btf.find(Kind::Struct, "path").unwrap();
    assert_eq!(
        btf.struct_definition(path).unwrap(),
        "struct path {\n\tstruct vfsmount *mnt;\n\tstruct dentry *dentry;\n};"
    );
}

#[test]
fn every_type_can_be_walked() {
    let Some(btf) = vmlinux() else { return };
    let mut count = 0;
    for (id, ty) in btf.types() {
        count += 1;
        assert_eq!(btf.get(id).unwrap().name(), ty.name());
        btf.resolve(id).unwrap();
        if let Type::Struct(s) | Type::Union(s) = ty {
            assert_eq!(btf.size_of(id).unwrap(), u64::from(s.size));
            btf.align_of(id).unwrap();
            btf.struct_definition(id).unwrap();
        }
    }
    assert_eq!(btf.end_id().0, count + 1);
    assert!(btf.get(btf.end_id()).is_err());
}
