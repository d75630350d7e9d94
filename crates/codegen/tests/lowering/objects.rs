//! What else is in an object: maps, records, tables.

use beetrace_object::{
    Action, Layout, Loss, MapKind, MapRole, Parameter, ProgramKind, RECORD_HEADER,
};

use crate::object;

#[test]
fn maps_have_the_layouts_of_their_types() {
    let object = object(
        r#"begin { @a = 1; @b[1, "x"] = (2, "y"); @c = count(); @h[pid] = hist(3); @s = "text"; }"#,
    );
    let maps: Vec<_> = object
        .maps
        .iter()
        .filter(|m| matches!(m.role, MapRole::User(_)))
        .map(|m| (m.name.as_str(), m.kind, m.key_size, m.value_size))
        .collect();
    assert_eq!(
        maps,
        [
            ("@a", MapKind::Array, 4, 16),
            ("@b", MapKind::Hash, 3, 3),
            ("@c", MapKind::PerCpuArray, 4, 16),
            ("@h", MapKind::PerCpuHash, 4, 65 * 8),
            ("@s", MapKind::Array, 4, 16),
        ]
    );
}

#[test]
fn equal_records_are_one() {
    let object = object("begin { print(1); print(2); clear(@a); @a = 1; clear(@a); }");
    let actions: Vec<&Action> = object.records.iter().map(|r| &r.action).collect();
    assert_eq!(actions, [&Action::PrintValue, &Action::ClearMap { map: 0 }]);
}

#[test]
fn a_record_has_its_fields_where_c_would_put_them() {
    let object = object(r#"begin { printf("%d %s %d", (uint8)cpu, comm, nsecs); }"#);
    let record = &object.records[0];
    let members: Vec<_> = record
        .fields
        .members
        .iter()
        .map(|m| (m.offset, m.layout.clone()))
        .collect();
    assert_eq!(
        members,
        [
            (
                0,
                Layout::Int {
                    size: 1,
                    signed: false
                }
            ),
            (1, Layout::Str { size: 16 }),
            (
                24,
                Layout::Int {
                    size: 8,
                    signed: false
                }
            ),
        ]
    );
    assert_eq!(record.size(), RECORD_HEADER + 32);
}

#[test]
fn begin_probes_are_raw_tracepoints() {
    let object = object("begin { @ = 1; } end { @ = 2; }");
    let kinds: Vec<ProgramKind> = object.programs.iter().map(|p| p.kind).collect();
    assert_eq!(kinds, [ProgramKind::RawTracepoint; 2]);
}

#[test]
fn parameters_and_tables_are_maps() {
    let object = object("begin { print(elapsed); print(strerror(2)); }");
    assert!(object.maps.iter().any(|m| match &m.role {
        MapRole::Parameters(p) => p[..] == [Parameter::StartTime],
        _ => false,
    }));
    let errors = object.maps.iter().find_map(|m| match &m.role {
        MapRole::Table(bytes) => Some((m.value_size as usize, bytes)),
        _ => None,
    });
    let (width, rows) = errors.expect("a table of errors");
    assert!(rows[2 * width..].starts_with(b"No such file or directory\0"));
    assert_eq!(rows.len() % width, 0);
}

#[test]
fn losses_have_a_counter_each() {
    let object = object("begin { print(1); }");
    let losses = object.maps.iter().find(|m| m.role == MapRole::Losses);
    let size = losses.map(|m| m.value_size);
    assert_eq!(size, Some(Loss::ALL.len() as u32 * 8));
}

#[test]
fn every_instruction_has_a_line() {
    let object = object("begin { @a = 1;\n @b = count(); }");
    let program = &object.programs[0];
    assert_eq!(program.lines[0].insn, 0);
    let text = &object.sources[0].text;
    let pieces: Vec<&str> = program
        .lines
        .iter()
        .map(|l| &text[l.span.start as usize..l.span.end as usize])
        .collect();
    assert!(pieces.contains(&"@b = count();"), "{pieces:?}");
}
