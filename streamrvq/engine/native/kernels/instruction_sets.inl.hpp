// The instruction sets, best first: the one list that the build, the declarations and the dispatch read.
//
// SRVQ_INSTRUCTION_SET(name, processor, compiler flags): the vector type is in isa/<name>.cpp, which is compiled with
// these flags on this processor ("any": on every one). The first set that the machine has is the default.
SRVQ_INSTRUCTION_SET(avx512, x86_64, -mavx512f -mavx512vl -mfma -Wno-maybe-uninitialized -Wno-uninitialized)
SRVQ_INSTRUCTION_SET(avx2, x86_64, -mavx2 -mfma -mf16c)
SRVQ_INSTRUCTION_SET(neon, aarch64, )
SRVQ_INSTRUCTION_SET(portable, any, )
