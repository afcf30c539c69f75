// The processor's rounding mode, on which every bit depends.
#pragma once
#include <cstdint>

namespace srvq {

// Round to nearest and keep denormal numbers, while it lives. Then the mode that was there before is put back.
class PlainArithmetic {
public:
    PlainArithmetic();
    ~PlainArithmetic();
    PlainArithmetic(const PlainArithmetic &) = delete;
    PlainArithmetic &operator=(const PlainArithmetic &) = delete;

private:
    uint64_t before_;
};

}  // namespace srvq
