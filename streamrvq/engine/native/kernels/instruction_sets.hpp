// Declares each instruction set's kernels, and lists them best first. A file of isa/ defines each function.
#pragma once
#include "kernels/kernels.hpp"

namespace srvq {

// Null where this build or this machine does not have the set.
#define SRVQ_INSTRUCTION_SET(name, processor, flags) const Kernels *name##_kernels();
#include "kernels/instruction_sets.inl.hpp"
#undef SRVQ_INSTRUCTION_SET

#define SRVQ_INSTRUCTION_SET(name, processor, flags) name##_kernels,
constexpr const Kernels *(*kInstructionSets[])() = {
#include "kernels/instruction_sets.inl.hpp"
};
#undef SRVQ_INSTRUCTION_SET

}  // namespace srvq
