//! The run loop: drains records, formats values, renders maps, stacks and symbols.

pub mod aggregate;
pub mod cgroups;
pub mod child;
pub mod clock;
pub mod format;
pub mod gfp;
pub mod histogram;
pub mod json;
pub mod maps;
pub mod output;
pub mod packets;
pub mod place;
pub mod records;
pub mod resolve;
pub mod run;
pub mod series;
pub mod signals;
pub mod suite;
pub mod symbols;
pub mod system;
pub mod text;
pub mod users;
pub mod value;
