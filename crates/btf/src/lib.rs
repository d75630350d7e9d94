//! Reading BTF lazily, layouts of C types, writing BTF.
