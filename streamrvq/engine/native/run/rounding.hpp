// The processor's rounding mode, on which every bit depends.
#pragma once
#include <cstdint>

namespace srvq {

// While an object of this class exists, numbers round to nearest and denormal numbers are kept. Its destructor restores the
// mode that was set before.
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
