// Where a step's values lie in time: which of them are inside their streams' signals.
//
// Knows: each layer's rate, delay and length. Does not know: buffers, tasks.
#pragma once
#include <cstdint>
#include <vector>

#include "plan/plan.hpp"
#include "run/request.hpp"

namespace srvq {

// Layer 0 is the input, layer i + 1 the results of convolution i.
class EdgeTable {
public:
    void compute(const Plan &plan, const Request &request);

    // For a kernel: of all streams of a layer. Null where all values lie inside, which costs a kernel nothing.
    Edges of(size_t layer) const;
    // Of what convolution i reads: the length of that stream's signal, −1 while it is open.
    int64_t length(size_t i, int64_t stream) const { return length_[i * streams_ + static_cast<size_t>(stream)]; }
    // Of one stream of the input.
    int64_t input_low(int64_t stream) const { return low_[static_cast<size_t>(stream)]; }
    int64_t input_high(int64_t stream) const { return high_[static_cast<size_t>(stream)]; }

private:
    size_t streams_ = 0;               // of the step, the distance between layers
    std::vector<int64_t> low_, high_;  // [layer][stream]: elements [low, high) lie inside
    std::vector<int64_t> length_;      // [layer][stream]
    std::vector<char> any_outside_;    // [layer]
};

}  // namespace srvq
