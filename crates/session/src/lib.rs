//! The run loop: drains records, formats values, renders maps, stacks and symbols.

pub mod aggregate;
pub mod format;
pub mod gfp;
pub mod histogram;
pub mod json;
pub mod maps;
pub mod output;
pub mod resolve;
pub mod series;
pub mod text;
pub mod value;
