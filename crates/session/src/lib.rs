//! The run loop: drains records, formats values, renders maps, stacks and symbols.
