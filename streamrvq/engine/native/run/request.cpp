#include "run/request.hpp"

#include <algorithm>

namespace srvq {

Parts parts_of(int64_t streams, int64_t hops, int64_t least) {
    const auto up = [](int64_t n, int64_t by) { return (n + by - 1) / by; };
    const auto even = [&](int64_t n, int64_t most) { return up(n, up(n, most)); };
    least = std::min(least, hops);
    const int64_t group = even(streams, kMaxStreamHops / least);
    return {group, std::max(least, even(hops, std::max<int64_t>(1, kMaxStreamHops / group)))};
}

}  // namespace srvq
