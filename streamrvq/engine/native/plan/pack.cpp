#include "plan/pack.hpp"

#include <bit>

namespace srvq {

bool exact_half(float x, uint16_t &half) {
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    const uint32_t sign = bits >> 16 & 0x8000, mantissa = bits & 0x7fffff;
    const int exponent = static_cast<int>(bits >> 23 & 255) - 127;
    if ((bits & 0x7fffffff) == 0) {
        half = static_cast<uint16_t>(sign);
        return true;
    }
    if (exponent >= -14 && exponent <= 15) {
        half = static_cast<uint16_t>(sign | static_cast<uint32_t>(exponent + 15) << 10 | mantissa >> 13);
        return (mantissa & 0x1fff) == 0;
    }
    if (exponent >= -24 && exponent < -14) {  // a subnormal of half precision, in units of 2^−24
        const uint32_t whole = mantissa | 0x800000;
        const int shift = -1 - exponent;  // 14 … 23: units of 2^(exponent − 23)
        half = static_cast<uint16_t>(sign | whole >> shift);
        return (whole & ((1u << shift) - 1)) == 0;
    }
    return false;
}

}  // namespace srvq
