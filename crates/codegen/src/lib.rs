//! From a typed program to bytecode: lowering, IR, optimisation, register allocation, emission.
