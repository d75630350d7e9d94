//! todo
super::family! {}
