//! C definitions and the preprocessor.

use crate::tree;

#[test]
fn c_definitions() {
    let script = r#"#!/usr/bin/env beetrace
#include <linux/sched.h>
#include "own.h"
#define MAX 4 /* slots */
#define SUM(a, b) a + \
  b
enum color { RED, GREEN = MAX << 1, BLUE, LAST = -1 };
struct ahead;
typedef unsigned long long u64, *u64p;
typedef struct { int x; } point_t;
struct __attribute__((packed)) S {
  const char *name, tag[MAX];
  unsigned int low : 3, : 5, high : 8;
  struct { int a; union { short b; char c; }; } pair[2];
  struct nested { struct S *next; } *list;
  int (*call)(int, void *);
  int (*row)[BLUE];
  int grid[2][3];
  enum color hue
} __attribute__((aligned(8)));
struct Empty {} begin { }
"#;
    assert_eq!(
        tree(script),
        r#"
include <linux/sched.h>
include "own.h"
define MAX "4"
define SUM(a, b) "a + \\\n  b"
enum color
  RED
  GREEN
    int 8
  BLUE
  LAST
    unary -
      int 1
typedef u64 = unsigned long long
typedef u64p = unsigned long long*
struct point_t
  field x: int
typedef point_t = struct point_t
struct nested
  field next: struct S*
struct S packed aligned 8
  field name: char*
  field tag: char[4]
  field low: unsigned int : 3
  field : unsigned int : 5
  field high: unsigned int : 8
  field pair[2]: struct
    field a: int
    field : union
      field b: short
      field c: char
  field list: struct nested*
  field call: void*
  field row: int[9]*
  field grid: int[3][2]
  field hue: enum color
struct Empty
probe begin
"#
    );
}

#[test]
fn conditionals() {
    let script = r#"#ifndef BPFTRACE_HAVE_BTF
#include "missing.h"
#elif 2 > 1 && !defined(NOPE)
#define CHOSEN 1
#if CHOSEN == 1
struct s {
#ifdef CHOSEN
  int yes;
#else
  int no;
#endif
};
#endif
#else
#error never
#endif
#undef CHOSEN
"#;
    assert_eq!(
        tree(script),
        r#"
struct s
  field yes: int
"#
    );
}
