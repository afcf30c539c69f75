#include "run/rounding.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace srvq {

PlainArithmetic::PlainArithmetic() {
#if defined(__x86_64__)
    before_ = _mm_getcsr();
    _mm_setcsr(0x1f80);
#elif defined(__aarch64__)
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" ::"r"(uint64_t{0}));
#else
    before_ = 0;
#endif
}

PlainArithmetic::~PlainArithmetic() {
#if defined(__x86_64__)
    _mm_setcsr(static_cast<unsigned>(before_));
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" ::"r"(before_));
#endif
}

}  // namespace srvq
