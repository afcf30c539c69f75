#include "run/request.hpp"

#include <algorithm>

namespace srvq {

Parts parts_of(int64_t rows, int64_t hops) {
    const auto up = [](int64_t n, int64_t by) { return (n + by - 1) / by; };
    const auto even = [&](int64_t n, int64_t most) { return up(n, up(n, most)); };
    const int64_t group = even(rows, kMaxRowHops);
    return {group, even(hops, std::max<int64_t>(1, kMaxRowHops / group))};
}

}  // namespace srvq
