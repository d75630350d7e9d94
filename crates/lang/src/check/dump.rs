//! The typed program as text, for `-d typed` and for tests: one statement a line, expressions in the language's own
//! notation with every conversion written out.

use std::fmt::Write;

use beetrace_object::{Destination, Piece};

use crate::check::binary::symbol;
use crate::typed::{
    Action, Call, Cast, Expr, ExprKind, MapId, Probe, Program, Stmt, StmtKind, UnaryOp,
};
use crate::types::{Space, Type};

/// The whole program: its maps, then each probe with its variables and body.
pub fn dump(program: &Program) -> String {
    let mut dump = Dump {
        program,
        probe: None,
        out: String::new(),
        indent: 0,
    };
    for map in &program.maps {
        let key = match &map.key {
            Type::Void => String::new(),
            key => format!("[{}]", dump.ty(key)),
        };
        let line = format!(
            "map {}{key}: {} ({:?}, {})",
            map.name,
            dump.ty(&map.value),
            map.kind,
            map.max_entries
        );
        dump.line(&line);
    }
    for probe in &program.probes {
        dump.probe(probe);
    }
    dump.out
}

struct Dump<'p> {
    program: &'p Program,
    probe: Option<&'p Probe>,
    out: String,
    indent: usize,
}

impl<'p> Dump<'p> {
    fn line(&mut self, text: &str) {
        let indent = self.indent * 2;
        let _ = writeln!(self.out, "{:indent$}{text}", "");
    }

    fn ty(&self, ty: &Type) -> String {
        let name = self.program.structs.type_name(ty);
        match ty {
            Type::Pointer(_, space) | Type::Struct(_, space) => match space {
                Space::None => name,
                space => format!("{name} {}", format!("{space:?}").to_lowercase()),
            },
            Type::Hist(h) => format!("{name} {:?}", h.0),
            Type::TSeries(t) => format!("{name} {:?}", t.0),
            _ => name,
        }
    }

    fn probe(&mut self, probe: &'p Probe) {
        self.probe = Some(probe);
        let names: Vec<&str> = probe.attach.iter().map(|a| a.name.as_str()).collect();
        self.line(&format!("probe {}", names.join(", ")));
        self.indent += 1;
        for (index, var) in probe.vars.iter().enumerate() {
            let line = format!("let {}: {}", self.var_name(index), self.ty(&var.ty));
            self.line(&line);
        }
        if let Some(predicate) = &probe.predicate {
            let line = format!("if {}", self.expr(predicate));
            self.line(&line);
        }
        self.stmts(&probe.body);
        self.indent -= 1;
        self.probe = None;
    }

    fn var_name(&self, index: usize) -> String {
        match self.probe.and_then(|p| p.vars.get(index)) {
            Some(var) if !var.name.is_empty() => {
                // A name may serve several blocks.
                let twins = self.probe.map_or(0, |p| {
                    p.vars[..index]
                        .iter()
                        .filter(|v| v.name == var.name)
                        .count()
                });
                match twins {
                    0 => var.name.clone(),
                    n => format!("{}'{n}", var.name),
                }
            }
            _ => format!("${index}"),
        }
    }

    fn map_name(&self, map: MapId) -> &'p str {
        self.program
            .maps
            .get(map.0 as usize)
            .map_or("@?", |m| m.name.as_str())
    }

    fn at(&self, map: MapId, key: Option<&Expr>) -> String {
        match key {
            Some(key) => format!("{}[{}]", self.map_name(map), self.expr(key)),
            None => self.map_name(map).to_owned(),
        }
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn nested(&mut self, head: &str, stmts: &[Stmt]) {
        self.line(head);
        self.indent += 1;
        self.stmts(stmts);
        self.indent -= 1;
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Expr(e) => {
                let line = self.expr(e);
                self.line(&line);
            }
            StmtKind::Declare(var) => {
                let line = format!("{} = zero", self.var_name(var.0 as usize));
                self.line(&line);
            }
            StmtKind::SetVar { var, value } => {
                let line = format!("{} = {}", self.var_name(var.0 as usize), self.expr(value));
                self.line(&line);
            }
            StmtKind::SetMap { map, key, value } => {
                let line = format!("{} = {}", self.at(*map, key.as_ref()), self.expr(value));
                self.line(&line);
            }
            StmtKind::Aggregate { map, key, value } => {
                let value = value.as_ref().map_or(String::new(), |v| self.expr(v));
                let line = format!("{} <- {value}", self.at(*map, key.as_ref()));
                self.line(line.trim_end());
            }
            StmtKind::If {
                cond,
                then,
                otherwise,
            } => {
                let head = format!("if {}", self.expr(cond));
                self.nested(&head, then);
                if !otherwise.is_empty() {
                    self.nested("else", otherwise);
                }
            }
            StmtKind::While { cond, body } => {
                let head = format!("while {}", self.expr(cond));
                self.nested(&head, body);
            }
            StmtKind::Unroll { count, body } => self.nested(&format!("unroll {count}"), body),
            StmtKind::ForMap { var, map, body } => {
                let head = format!(
                    "for {} in {}",
                    self.var_name(var.0 as usize),
                    self.map_name(*map)
                );
                self.nested(&head, body);
            }
            StmtKind::ForRange {
                var,
                start,
                end,
                body,
            } => {
                let head = format!(
                    "for {} in {}..{}",
                    self.var_name(var.0 as usize),
                    self.expr(start),
                    self.expr(end)
                );
                self.nested(&head, body);
            }
            StmtKind::Block(stmts) => self.nested("block", stmts),
            StmtKind::Break => self.line("break"),
            StmtKind::Continue => self.line("continue"),
            StmtKind::Return(None) => self.line("return"),
            StmtKind::Return(Some(value)) => {
                let line = format!("return {}", self.expr(value));
                self.line(&line);
            }
            StmtKind::Action(action) => {
                let line = self.action(action);
                self.line(&line);
            }
        }
    }

    fn action(&self, action: &Action) -> String {
        match action {
            Action::Format { format, to, args } => {
                let text: String = format
                    .pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Text(text) => text.replace('%', "%%"),
                        Piece::Conversion(c) => c.text.clone(),
                    })
                    .collect();
                let name = match to {
                    Destination::Output => "printf",
                    Destination::Error => "errorf",
                    Destination::Warning => "warnf",
                    Destination::System => "system",
                    Destination::Cat => "cat",
                };
                let args: String = args
                    .iter()
                    .map(|arg| format!(", {}: {}", self.expr(arg), self.ty(&arg.ty)))
                    .collect();
                format!("{name}({text:?}{args})")
            }
            Action::PrintValue(value) => {
                format!("print({}: {})", self.expr(value), self.ty(&value.ty))
            }
            Action::PrintMap { map, top, div } => {
                format!("print({}, {top}, {div})", self.map_name(*map))
            }
            Action::PrintMapKey { map, key } => format!("print({})", self.at(*map, key.as_ref())),
            Action::Clear(map) => format!("clear({})", self.map_name(*map)),
            Action::Zero(map) => format!("zero({})", self.map_name(*map)),
            Action::Exit(code) => format!("exit({})", self.expr(code)),
            Action::Time { format } => format!("time({format:?})"),
            Action::Join { argv, separator } => {
                format!("join({}, {separator:?})", self.expr(argv))
            }
            Action::Unwatch(address) => format!("unwatch({})", self.expr(address)),
            Action::Debug { format, args } => {
                let args: String = args.iter().map(|a| format!(", {}", self.expr(a))).collect();
                format!("debugf({format:?}{args})")
            }
        }
    }

    fn list(&self, exprs: &[Expr]) -> String {
        let all: Vec<String> = exprs.iter().map(|e| self.expr(e)).collect();
        all.join(", ")
    }

    fn expr(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Int(bits) => match &expr.ty {
                Type::Bool => (*bits != 0).to_string(),
                ty if ty.as_int().is_some_and(|t| t.signed) => (*bits as i64).to_string(),
                Type::Int(_) => bits.to_string(),
                ty => format!("{bits}:{}", self.ty(ty)),
            },
            ExprKind::Str(text) => format!("{text:?}"),
            ExprKind::Bytes(bytes) => format!("bytes{bytes:?}"),
            ExprKind::Var(var) => self.var_name(var.0 as usize),
            ExprKind::AddressOfVar(var) => format!("&{}", self.var_name(var.0 as usize)),
            ExprKind::AddressOfMap { map, key } => format!("&{}", self.at(*map, key.as_deref())),
            ExprKind::MapGet { map, key } => self.at(*map, key.as_deref()),
            ExprKind::MapAggregate { map, key } => {
                format!("total({})", self.at(*map, key.as_deref()))
            }
            ExprKind::HasKey { map, key } => {
                format!("has_key({}, {})", self.map_name(*map), self.expr(key))
            }
            ExprKind::Find { map, key, var } => format!(
                "find({}, {}, {})",
                self.map_name(*map),
                self.expr(key),
                self.var_name(var.0 as usize)
            ),
            ExprKind::Delete { map, key, warn } => format!(
                "delete{}({})",
                if *warn { "!" } else { "" },
                self.at(*map, key.as_deref())
            ),
            ExprKind::MapLen(map) => format!("len({})", self.map_name(*map)),
            ExprKind::Unary { op, expr } => {
                let op = match op {
                    UnaryOp::Not => "!",
                    UnaryOp::BitNot => "~",
                    UnaryOp::Minus => "-",
                };
                format!("{op}{}", self.expr(expr))
            }
            ExprKind::Binary { op, left, right } => {
                format!("({} {} {})", self.expr(left), symbol(*op), self.expr(right))
            }
            ExprKind::Offset {
                pointer,
                bytes,
                negative,
            } => format!(
                "({} {} {} bytes)",
                self.expr(pointer),
                if *negative { "-" } else { "+" },
                self.expr(bytes)
            ),
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => format!(
                "({} ? {} : {})",
                self.expr(cond),
                self.expr(then),
                self.expr(otherwise)
            ),
            ExprKind::Cast { cast, expr: inner } => {
                let kind = match cast {
                    Cast::Int | Cast::Bool => "",
                    Cast::Bytes => "bytes ",
                    Cast::Str => "text ",
                    Cast::Reinterpret => "as ",
                    Cast::Members => "members ",
                };
                format!("({kind}{}){}", self.ty(&expr.ty), self.expr(inner))
            }
            ExprKind::Deref(pointer) => format!("*{}", self.expr(pointer)),
            ExprKind::Field { base, offset, bits } => {
                let bits = bits.map_or(String::new(), |b| format!(":{}+{}", b.shift, b.width));
                format!(
                    "{}.<{offset}{bits}: {}>",
                    self.expr(base),
                    self.ty(&expr.ty)
                )
            }
            ExprKind::DataLoc { base, offset } => format!("{}.<loc {offset}>", self.expr(base)),
            ExprKind::Index { base, index } => {
                format!("{}[{}]", self.expr(base), self.expr(index))
            }
            ExprKind::Element { base, index } => format!("{}.{index}", self.expr(base)),
            ExprKind::Tuple(elements) => format!("({})", self.list(elements)),
            ExprKind::Record { values, order } => {
                let names: Vec<&str> = match &expr.ty {
                    Type::Record(members) => members.iter().map(|(n, _)| n.as_str()).collect(),
                    _ => Vec::new(),
                };
                let all: Vec<String> = values
                    .iter()
                    .enumerate()
                    .map(|(i, v)| {
                        format!(
                            "{} = {}",
                            names.get(i).copied().unwrap_or("?"),
                            self.expr(v)
                        )
                    })
                    .collect();
                let natural = order.iter().enumerate().all(|(i, n)| i as u32 == *n);
                let order = if natural {
                    String::new()
                } else {
                    format!(" in order {order:?}")
                };
                format!("({}){order}", all.join(", "))
            }
            ExprKind::Context => "ctx".into(),
            ExprKind::Argument(n) => format!("word({n})"),
            ExprKind::Register { offset, size } => format!("reg({offset}, {size})"),
            ExprKind::Step { target, by, prefix } => {
                let target = self.expr(target);
                if *prefix {
                    format!("({target} += {by})")
                } else {
                    format!("({target} += {by}, before)")
                }
            }
            ExprKind::Block { stmts, value } => {
                let mut inner = Dump {
                    program: self.program,
                    probe: self.probe,
                    out: String::new(),
                    indent: 0,
                };
                inner.stmts(stmts);
                let lines: Vec<&str> = inner.out.lines().map(str::trim).collect();
                let value = value.as_ref().map_or(String::new(), |v| self.expr(v));
                format!("{{ {}; {value} }}", lines.join("; "))
            }
            ExprKind::Call(call) => self.call(call, &expr.ty),
        }
    }

    fn call(&self, call: &Call, ty: &Type) -> String {
        let of = |name: &str, args: &[&Expr]| {
            let args: Vec<String> = args.iter().map(|a| self.expr(a)).collect();
            format!("{name}({})", args.join(", "))
        };
        let sized = |name: &str, args: &[&Expr]| format!("{}: {}", of(name, args), self.ty(ty));
        match call {
            Call::Pid { initial_namespace } => format!("pid{}", namespace(*initial_namespace)),
            Call::Tid { initial_namespace } => format!("tid{}", namespace(*initial_namespace)),
            Call::Uid => "uid".into(),
            Call::Gid => "gid".into(),
            Call::Comm => "comm".into(),
            Call::Nsecs(clock) => format!("nsecs({clock:?})").to_lowercase(),
            Call::Elapsed => "elapsed".into(),
            Call::Jiffies => "jiffies".into(),
            Call::Cpu => "cpu".into(),
            Call::Numaid => "numaid".into(),
            Call::Curtask => "curtask".into(),
            Call::Rand => "rand".into(),
            Call::Cgroup => "cgroup".into(),
            Call::FunctionAddress => format!("func: {}", self.ty(ty)),
            Call::UserMode => "usermode".into(),
            Call::Parameter(parameter) => format!("{parameter:?}"),
            Call::Str { pointer, length } => match length {
                Some(length) => sized("str", &[pointer, length]),
                None => sized("str", &[pointer]),
            },
            Call::Buf { pointer, length } => sized("buf", &[pointer, length]),
            Call::Stack => self.ty(ty),
            Call::StackLen(stack) => of("stack_len", &[stack]),
            Call::Ksym(address) => of("ksym", &[address]),
            Call::Usym(address) => of("usym", &[address]),
            Call::Ntop { family, address } => match family {
                Some(family) => of("ntop", &[family, address]),
                None => of("ntop", &[address]),
            },
            Call::Macaddr(address) => of("macaddr", &[address]),
            Call::Strftime { nanos, clock } => {
                format!("{} {clock:?}", of("strftime", &[nanos]))
            }
            Call::CgroupPath(id) => of("cgroup_path", &[id]),
            Call::Username => "username".into(),
            Call::Strncmp { left, right, len } => {
                format!("{} {len}", of("strncmp", &[left, right]))
            }
            Call::Strstr { haystack, needle } => of("strstr", &[haystack, needle]),
            Call::Strlen(text) => of("strlen", &[text]),
            Call::StrConcat { left, right } => of("str_concat", &[left, right]),
            Call::Memcmp { left, right, len } => of("memcmp", &[left, right, len]),
            Call::Table { table, index } => of(&format!("{table:?}").to_lowercase(), &[index]),
            Call::Bswap(value) => sized("bswap", &[value]),
            Call::Signal { number, thread } => {
                of(if *thread { "signal_thread" } else { "signal" }, &[number])
            }
            Call::Override(value) => of("override", &[value]),
            Call::PerCpuAddress { symbol_btf_id, cpu } => match cpu {
                Some(cpu) => format!("percpu_kaddr({symbol_btf_id}, {})", self.expr(cpu)),
                None => format!("percpu_kaddr({symbol_btf_id})"),
            },
            Call::Path { path } => sized("path", &[path]),
            Call::SocketCookie(socket) => of("socket_cookie", &[socket]),
            Call::WriteUser { dst, src, len } => of("write_user", &[dst, src, len]),
            Call::SkbOutput {
                path,
                skb,
                len,
                offset,
            } => format!("{} {path:?}", of("skboutput", &[skb, len, offset])),
            Call::UsdtArgument(argument) => format!("usdt({argument:?})"),
        }
    }
}

fn namespace(initial: bool) -> &'static str {
    if initial { "(init)" } else { "" }
}
